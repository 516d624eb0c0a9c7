/* SPDX-License-Identifier: Apache-2.0 */
/* An io_uring for one queue: the submitting thread fills and sends, the loop reaps, neither waits
 * for the other. In a build without liburing ring_open()
 * says -ENOSYS and nothing else is called. */
#ifndef BLOCK_FILE_RING_H
#define BLOCK_FILE_RING_H

#include "pool.h"

#include <stdint.h>

struct ring;

#define RING_BATCH 64u /* most requests prepared for one ring_send() */

struct ring_result {
    uint64_t tag;
    int32_t result; /* of the system call: 0, bytes, or a negative errno */
};

/* -ENOSYS, -EPERM: no io_uring here. -ENOMEM, -EMFILE ... depth: most requests at a time. */
int32_t ring_open(struct ring **ret_ring, uint32_t depth, const struct image *image);
/* Registers guest memory with the kernel, which then need not find and hold the pages of each
 * request; instead of what was registered before. Nothing is being submitted. Returns 0, or a
 * negative errno: nothing is registered, and all works as without. [control] */
int32_t ring_pin(struct ring *ring, const struct bp_ram_view *view);
/* Takes NULL. Nothing is in flight. */
void ring_close(struct ring *ring);
/* Readable while there is something to reap. */
int ring_fd(const struct ring *ring);

/* Prepares a request whose way is REQUEST_WAY_KERNEL. iov, count: its buffers and those of what is
 * merged with it, until ring_send(). tag: comes back with the result.
 * Returns 0 if there is no room. The submitter's. */
uint32_t ring_add(struct ring *ring, const struct image *image, const struct request *request,
                  const struct bp_iovec *iov, uint32_t count, uint64_t tag);
/* Sends what was prepared, in one system call. Returns how many of the last ones the kernel did not
 * take: those will give no result. The submitter's. */
uint32_t ring_send(struct ring *ring);
/* Fetches at most max results. Returns how many. The loop's. */
uint32_t ring_reap(struct ring *ring, struct ring_result *results, uint32_t max);
/* There is something to reap. Asks nobody. The loop's. */
uint32_t ring_has_results(const struct ring *ring);
/* Tries to end a request early, UINT64_MAX: all. Any thread's. */
void ring_cancel(struct ring *ring, uint64_t tag);

#endif
