/* SPDX-License-Identifier: Apache-2.0 */
/* io_uring(7) by liburing. */
#include "ring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#define PIN_RANGES_MAX 16u  /* of guest memory; a PC has three */
#define PIN_PIECES_MAX 256u /* registered buffers, the largest the kernel takes */
#define PIN_PIECE_BITS 30

/* A range of guest memory and the first of its registered pieces. */
struct pinned {
    uintptr_t start;
    uint64_t length;
    uint32_t first;
};

struct ring {
    struct io_uring uring;
    int fd;         /* of the image: a number of the process, or in the ring's own table */
    uint32_t flags; /* of each entry: IOSQE_FIXED_FILE */
    uint32_t pinned_count;
    struct pinned pinned[PIN_RANGES_MAX];
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
    uint32_t entries = power_of_two_at_least(depth < RING_BATCH ? depth : RING_BATCH);
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
    params.cq_entries = power_of_two_at_least(depth);
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

/* Cuts a range into pieces. Returns how many there are now, or 0: no room for all of them. */
static uint32_t
cut_range(const struct bp_ram_range *range, struct iovec *pieces, uint32_t count)
{
    uint64_t done, step;

    for (done = 0; done < range->length; done += step) {
        if (count == PIN_PIECES_MAX) {
            return 0;
        }
        step = range->length - done;
        step = step < UINT64_C(1) << PIN_PIECE_BITS ? step : UINT64_C(1) << PIN_PIECE_BITS;
        pieces[count++] = (struct iovec){range->hva + done, step};
    }
    return count;
}

int32_t
ring_pin(struct ring *ring, const struct bp_ram_view *view)
{
    struct iovec pieces[PIN_PIECES_MAX];
    struct pinned pinned[PIN_RANGES_MAX];
    uint32_t i, ranges = 0, count = 0;
    int32_t result;

    if (ring->pinned_count > 0) {
        ring->pinned_count = 0;
        (void)io_uring_unregister_buffers(&ring->uring);
    }
    for (i = 0; i < view->range_count && ranges < PIN_RANGES_MAX; i++) {
        const struct bp_ram_range *range = &view->ranges[i];
        /* What must not be written cannot be registered: the kernel asks for both. */
        uint32_t more = (range->flags & BP_RAM_READONLY) == 0 ? cut_range(range, pieces, count) : 0;

        if (more > 0) {
            pinned[ranges++] = (struct pinned){(uintptr_t)range->hva, range->length, count};
            count = more;
        }
    }
    if (count == 0) {
        return 0;
    }
    result = io_uring_register_buffers(&ring->uring, pieces, count);
    if (result == 0) {
        memcpy(ring->pinned, pinned, ranges * sizeof(*pinned));
        ring->pinned_count = ranges;
    }
    return result;
}

/* The registered buffer in which this piece of memory lies, or -1. */
static int32_t
pinned_index(const struct ring *ring, const struct bp_iovec *iov)
{
    uint32_t i;

    for (i = 0; i < ring->pinned_count; i++) {
        const struct pinned *pinned = &ring->pinned[i];
        uint64_t offset = (uintptr_t)iov->base - pinned->start;

        if ((uintptr_t)iov->base >= pinned->start && offset < pinned->length &&
            iov->length <= pinned->length - offset) {
            uint64_t last = offset + (iov->length > 0 ? iov->length - 1 : 0);

            return offset >> PIN_PIECE_BITS == last >> PIN_PIECE_BITS
                       ? (int32_t)(pinned->first + (offset >> PIN_PIECE_BITS))
                       : -1;
        }
    }
    return -1;
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
    int32_t index = count == 1 ? pinned_index(ring, iov) : -1;

    if (index >= 0) {
        io_uring_prep_rw(is_write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED, sqe, ring->fd,
                         iov->base, (unsigned int)iov->length, request->offset);
        sqe->buf_index = (uint16_t)index;
    } else if (count == 1) {
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
