/* SPDX-License-Identifier: Apache-2.0 */
/* Runs: transfers of one submission that follow each other in the image and go to the kernel as one
 * system call. Guests read ahead in many requests; the host's disk wants few. */
#ifndef BLOCK_FILE_RUN_H
#define BLOCK_FILE_RUN_H

#include "request.h"

#define RUN_MAX_BYTES   (UINT64_C(1) << 20) /* more makes nothing faster and keeps others waiting */
#define RUN_BUFFERS_MAX 512u                /* in all merged runs of one submission */

/* The run at hand, and the room for the buffers of merged ones. The kernel has read them when the
 * submission is sent (IORING_FEAT_SUBMIT_STABLE, 5.5). */
struct run {
    struct request *first, *last; /* NULL: none at hand */
    uint64_t length;
    uint32_t iov_count;
    uint32_t used; /* of buffers, by runs before */
    struct bp_iovec buffers[RUN_BUFFERS_MAX];
};

static inline void
run_init(struct run *run)
{
    run->first = NULL;
    run->used = 0;
}

/* Begins with a request. */
void run_begin(struct run *run, struct request *request);
/* Appends the request if it follows and there is room. Returns 1 if so. */
uint32_t run_extend(struct run *run, struct request *request);
/* Ends the run. *ret_iov, *ret_count: all its buffers, those of the request itself if it is alone.
 * Returns its first request, or NULL if there is none. */
const struct request *run_end(struct run *run, const struct bp_iovec **ret_iov,
                              uint32_t *ret_count);

#endif
