/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of a build without liburing: there is none. */
#include "ring.h"

#include <errno.h>

int32_t
ring_open(struct ring **ret_ring, uint32_t depth, const struct image *image)
{
    return -ENOSYS;
}

int32_t
ring_pin(struct ring *ring, const struct bp_ram_view *view)
{
    return -ENOSYS;
}

void
ring_close(struct ring *ring)
{
}

int
ring_fd(const struct ring *ring)
{
    return -1;
}

uint32_t
ring_add(struct ring *ring, const struct image *image, const struct request *request,
         const struct bp_iovec *iov, uint32_t count, uint64_t tag)
{
    return 0;
}

uint32_t
ring_send(struct ring *ring)
{
    return 0;
}

uint32_t
ring_reap(struct ring *ring, struct ring_result *results, uint32_t max)
{
    return 0;
}

uint32_t
ring_has_results(const struct ring *ring)
{
    return 0;
}

void
ring_cancel(struct ring *ring, uint64_t tag)
{
}
