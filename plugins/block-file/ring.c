/* SPDX-License-Identifier: Apache-2.0 */
/* io_uring(7) by liburing. */
#include "ring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

struct ring {
    struct io_uring uring;
    int fd;         /* of the image: a number of the process, or in the ring's own table */
    uint32_t flags; /* of each entry: IOSQE_FIXED_FILE */
};

static uint32_t
power_of_two_at_least(uint32_t value)
{
    uint32_t power = 1;

    while (power < value) {
        power *= 2;
    }
    return power;
}

int32_t
ring_open(struct ring **ret_ring, uint32_t depth, const struct image *image)
{
    uint32_t entries = power_of_two_at_least(depth);
    struct ring *ring = calloc(1, sizeof(*ring));
    struct io_uring_params params;
    int32_t result;

    if (ring == NULL) {
        return -ENOMEM;
    }
    memset(&params, 0, sizeof(params));
    /* At most depth results are ever waiting, so the completion ring never overflows. No task flags
     * (COOP_TASKRUN, SINGLE_ISSUER): the thread that submits may stay in the guest for long, and is
     * not the one that reaps. */
    params.flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;
    params.cq_entries = 2 * entries;
    result = io_uring_queue_init_params(entries, &ring->uring, &params);
    if (result == 0 && (params.features & IORING_FEAT_FAST_POLL) == 0) {
        io_uring_queue_exit(
            &ring->uring); /* before 5.7, i.e. perhaps without IORING_OP_READ (5.6) */
        result = -ENOSYS;
    }
    if (result != 0) {
        free(ring);
        return result;
    }
    ring->fd = image->fd;
    if (io_uring_register_files(&ring->uring, &image->fd, 1) == 0) {
        ring->fd = 0;
        ring->flags = IOSQE_FIXED_FILE; /* saves taking and dropping a reference each time */
    }
    *ret_ring = ring;
    return 0;
}

void
ring_close(struct ring *ring)
{
    if (ring != NULL) {
        io_uring_queue_exit(&ring->uring);
        free(ring);
    }
}

int
ring_fd(const struct ring *ring)
{
    return ring->uring.ring_fd;
}

static void
prepare_transfer(struct io_uring_sqe *sqe, const struct ring *ring, const struct image *image,
                 const struct request *request, const struct bp_iovec *iov, uint32_t count)
{
    uint32_t is_write = request->op == BP_BLOCK_WRITE;

    if (count == 1) {
        io_uring_prep_rw(is_write ? IORING_OP_WRITE : IORING_OP_READ, sqe, ring->fd, iov->base,
                         (unsigned int)iov->length, request->offset);
    } else {
        io_uring_prep_rw(is_write ? IORING_OP_WRITEV : IORING_OP_READV, sqe, ring->fd, iov, count,
                         request->offset);
    }
    if (is_write && request_wants_dsync(request, image)) {
        sqe->rw_flags = RWF_DSYNC;
    }
}

uint32_t
ring_add(struct ring *ring, const struct image *image, const struct request *request,
         const struct bp_iovec *iov, uint32_t count, uint64_t tag)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

    if (sqe == NULL) {
        return 0;
    }
    switch (request->op) {
    case BP_BLOCK_READ:
    case BP_BLOCK_WRITE:
        prepare_transfer(sqe, ring, image, request, iov, count);
        break;
    case BP_BLOCK_FLUSH:
        io_uring_prep_fsync(sqe, ring->fd, IORING_FSYNC_DATASYNC);
        break;
    default:
        io_uring_prep_fallocate(sqe, ring->fd, request->mode, request->offset, request->length);
        break;
    }
    sqe->flags |= (uint8_t)ring->flags;
    io_uring_sqe_set_data64(sqe, tag);
    return 1;
}

uint32_t
ring_send(struct ring *ring)
{
    struct io_uring_sq *sq = &ring->uring.sq;
    uint32_t left;
    int sent;

    do {
        sent = io_uring_submit(&ring->uring);
        left = io_uring_sq_ready(&ring->uring);
    } while (left > 0 && (sent > 0 || sent == -EINTR));
    if (left > 0) {
        /* The kernel is out of memory. It looks at the ring only when told to, so what it did not
         * take can be withdrawn. */
        *sq->ktail = *sq->khead;
        sq->sqe_tail = *sq->khead;
        sq->sqe_head = *sq->khead;
    }
    return left;
}

uint32_t
ring_reap(struct ring *ring, struct ring_result *results, uint32_t max)
{
    struct io_uring_cqe *cqe;
    uint32_t head, count = 0;

    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        if (count == max) {
            break;
        }
        results[count].tag = cqe->user_data;
        results[count].result = cqe->res;
        count++;
    }
    io_uring_cq_advance(&ring->uring, count);
    return count;
}

uint32_t
ring_has_results(const struct ring *ring)
{
    return io_uring_cq_ready(&ring->uring) > 0;
}

void
ring_cancel(struct ring *ring, uint64_t tag)
{
    struct io_uring_sync_cancel_reg what;

    /* Needs no entry of the submission ring, which is the submitter's; since 6.0. Asks, does not
     * wait. */
    memset(&what, 0, sizeof(what));
    what.addr = tag;
    what.fd = -1;
    what.flags = tag == UINT64_MAX ? IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL : 0;
    (void)io_uring_register_sync_cancel(&ring->uring, &what);
}
