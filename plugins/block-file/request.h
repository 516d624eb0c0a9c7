/* SPDX-License-Identifier: Apache-2.0 */
/* One request in flight, and the two things done with it: choosing its way, and carrying it out on
 * a worker thread. */
#ifndef BLOCK_FILE_REQUEST_H
#define BLOCK_FILE_REQUEST_H

#include "image.h"

struct queue;

/* Parts of request.mark. What is above them counts the uses of the record, so that a cancel which
 * comes late cannot hit the record's next user. */
#define MARK_BUSY   1u
#define MARK_CANCEL 2u
#define MARK_NEXT   4u

/* Whoever has the request owns it whole: the submitter from taking the record until it hands it on;
 * then the kernel (io_uring), a worker, or the done list; at last the loop, which gives the record
 * back. Only mark and user are looked at by others, in cancel. Storing mark with release before the
 * hand-over and loading it with acquire after it carries the rest across. */
struct request {
    struct request *next;   /* in a worker list or the done list */
    struct request *merged; /* in the kernel: the next one of the same run (run.h) */
    struct queue *queue;
    _Atomic(uint64_t) mark;
    _Atomic(uint64_t) user;
    uint32_t op;
    uint32_t flags;
    uint64_t offset;
    uint64_t length;
    const struct bp_iovec *iov;
    uint32_t iov_count;
    int32_t status;
    int mode; /* of the fallocate() that is tried */
    struct range range;
};

/* What a worker thread has for copies: memory from the arena, aligned for every device. */
struct bounce {
    uint8_t *memory;
    uint64_t length; /* multiple of the largest block */
};

#define REQUEST_WAY_KERNEL 1u /* one system call does it */
#define REQUEST_WAY_WORKER 2u /* several steps, copies, or an ioctl */
#define REQUEST_WAY_DONE   3u /* nothing to do: status is set */

/* Checks the request against the image and its own rules, and chooses its way. The submitter's
 * part: does not block. */
uint32_t request_plan(struct request *request, struct image *image);
/* Mode of the fallocate() that does a WRITE_ZEROES or DISCARD, or -1: none would. */
int request_fallocate_mode(const struct image *image, uint32_t op, uint32_t flags);
/* Takes note that the fallocate() failed so. Returns 1 if another way should be tried. */
uint32_t request_fallocate_failed(struct image *image, uint32_t op, int mode, int32_t status);
/* A WRITE must reach stable storage and the descriptor alone does not see to that. */
uint32_t request_wants_dsync(const struct request *request, const struct image *image);
/* The blocks that a write touches, for image.ranges. Returns 0 if it need not be kept in order. */
uint32_t request_range(struct request *request, const struct image *image);

/* Carries the request out from start to end, whatever was tried before. Blocks.
 * Returns the status. */
int32_t request_run(struct request *request, struct image *image, const struct bounce *bounce);

static inline uint32_t
request_is_cancelled(const struct request *request)
{
    return (atomic_load_explicit(&request->mark, memory_order_relaxed) & MARK_CANCEL) != 0;
}

#endif
