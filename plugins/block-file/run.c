/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <string.h>

void
run_begin(struct run *run, struct request *request)
{
    run->first = request;
    run->last = request;
    run->length = request->length;
    run->iov_count = request->iov_count;
}

uint32_t
run_extend(struct run *run, struct request *request)
{
    const struct request *first = run->first;

    if (first == NULL || (first->op != BP_BLOCK_READ && first->op != BP_BLOCK_WRITE) ||
        request->op != first->op || request->flags != first->flags ||
        request->offset != first->offset + run->length ||
        run->length + request->length > RUN_MAX_BYTES ||
        run->iov_count + request->iov_count > IMAGE_MAX_IOV ||
        run->used + run->iov_count + request->iov_count > RUN_BUFFERS_MAX) {
        return 0;
    }
    run->last->merged = request;
    run->last = request;
    run->length += request->length;
    run->iov_count += request->iov_count;
    return 1;
}

const struct request *
run_end(struct run *run, const struct bp_iovec **ret_iov, uint32_t *ret_count)
{
    struct request *first = run->first;
    struct bp_iovec *to = &run->buffers[run->used];
    const struct request *at;

    run->first = NULL;
    if (first == NULL) {
        return NULL;
    }
    *ret_iov = first->merged == NULL ? first->iov : to;
    *ret_count = run->iov_count;
    for (at = first; first->merged != NULL && at != NULL; at = at->merged) {
        memcpy(to, at->iov, at->iov_count * sizeof(*to));
        to += at->iov_count;
        run->used += at->iov_count;
    }
    return first;
}
