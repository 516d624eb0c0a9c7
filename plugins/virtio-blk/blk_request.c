/* SPDX-License-Identifier: Apache-2.0 */
/* Requests on their way from the ring to the backend and back. Everything here runs under the
 * queue's lock, on its loop. */
#include "virtio_blk.h"

/* Whatever was not read reads as zeroes, so that the used length is true for a failure, too. */
static void
finish(struct blk_request *request, uint32_t status)
{
    struct bp_virtio_chain *chain = request->chain;

    if (status != BLK_S_OK && request->type == BLK_T_IN) {
        blk_zero_rest(request);
    }
    __atomic_store_n(request->status, (uint8_t)status, __ATOMIC_RELAXED);
    bp_virtqueue_push(chain, (uint32_t)bp_min_u64(chain->in_bytes, UINT32_MAX));
}

static void
failed(struct blk_queue *queue, struct blk_request *request, int32_t error)
{
    const struct blk *blk = queue->blk;
    uint32_t action;

    if (error == -EOPNOTSUPP && request->op != BP_BLOCK_READ && request->op != BP_BLOCK_WRITE) {
        finish(request, BLK_S_UNSUPP);
        return;
    }
    action = bp_on_error_action(&blk->options.on_error, request->op, error);
    bp_on_error_tell(&blk->host, blk->id, blk->backend, request->op, error, action);
    if (action == BP_ON_ERROR_STOP) {
        bp_virtqueue_hold(request->chain);
    } else {
        if (request->type == BLK_T_IN) {
            blk_zero_rest(request);
        }
        finish(request, action == BP_ON_ERROR_IGNORE ? BLK_S_OK : BLK_S_IOERR);
    }
}

/* One call for the batch. A backend that takes less than its depth has failed the rest. */
static void
submit(struct blk_queue *queue)
{
    struct blk *blk = queue->blk;
    uint32_t count = queue->batched;
    int32_t taken;

    if (count == 0) {
        return;
    }
    queue->batched = 0;
    taken = blk->ops->submit(blk->self, queue->backend, queue->batch, count);
    for (uint32_t i = taken > 0 ? (uint32_t)taken : 0; i < count; i++) {
        struct bp_virtio_chain *chain = bp_virtqueue_chain(queue->ring, queue->batch[i].user);
        if (chain != NULL) {
            failed(queue, chain->request, -EIO);
        }
    }
}

static void
advance(struct blk_queue *queue, struct blk_request *request)
{
    uint32_t status;

    if (queue->batched == BLK_BATCH) {
        submit(queue);
    }
    status = blk_next_step(queue->blk, request, &queue->batch[queue->batched]);
    if (status == BLK_S_GO_ON) {
        queue->batched++;
    } else {
        finish(request, status);
    }
}

static void
begin(struct blk_queue *queue, struct bp_virtio_chain *chain)
{
    struct blk_request *request = chain->request;
    uint32_t status;

    request->chain = chain;
    status = blk_begin(queue->blk, request);
    if (status == BLK_S_GO_ON) {
        advance(queue, request);
    } else if (status == BLK_S_BROKEN) {
        bp_virtqueue_push(chain, 0);
    } else {
        finish(request, status);
    }
}

void
blk_run(void *device, struct bp_virtqueue *ring)
{
    struct blk *blk = device;
    struct blk_queue *queue = &blk->queues[bp_virtqueue_index(ring)];
    struct bp_virtio_chain *chain;

    while ((chain = bp_virtqueue_pop(ring)) != NULL) {
        begin(queue, chain);
    }
    submit(queue);
}

/* Those held at the start; what is held anew meanwhile waits for the next start. */
void
blk_retry(void *device, struct bp_virtqueue *ring)
{
    struct blk *blk = device;
    struct blk_queue *queue = &blk->queues[bp_virtqueue_index(ring)];
    uint32_t count = bp_virtqueue_held(ring);

    while (count-- > 0) {
        struct bp_virtio_chain *chain = bp_virtqueue_next_held(ring);
        if (chain != NULL) {
            begin(queue, chain);
        }
    }
    submit(queue);
}

void
blk_complete(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    struct blk_queue *queue = opaque;

    bp_virtqueue_enter(queue->ring);
    for (uint32_t i = 0; i < count; i++) {
        struct bp_virtio_chain *chain = bp_virtqueue_chain(queue->ring, completions[i].user);

        if (chain == NULL) {
            continue; /* the backend made it up */
        }
        if (bp_virtqueue_stale(chain)) {
            bp_virtqueue_push(chain, 0);
        } else if (completions[i].status < 0) {
            failed(queue, chain->request, completions[i].status);
        } else {
            blk_step_done(chain->request);
            advance(queue, chain->request);
        }
    }
    submit(queue);
    bp_virtqueue_leave(queue->ring);
}
