/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer for the tests of block backends. */
#include "th.h"

#include <stdlib.h>
#include <string.h>

#define IO_TIMEOUT_MS 30000u

struct th_queue {
    struct th_host *th;
    struct bp_instance *backend;
    const struct bp_block_ops *ops;
    void *queue;
    pthread_t thread;
    uint32_t submitting;
    struct bp_block_completion *done;
    uint32_t count, room, batches, taken;
    uint32_t events[4];
    uint32_t wanted;
};

static void
queue_complete(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    struct th_queue *queue = opaque;

    if (queue->submitting || !pthread_equal(pthread_self(), queue->thread) ||
        queue->th->context == TH_IN_VCPU) {
        th_violate(queue->th, "%s: complete() %s", queue->backend->id,
                   queue->submitting ? "inside submit()" : "not on the queue's loop");
    }
    queue->batches++;
    if (queue->count + count > queue->room) {
        struct bp_block_completion *grown;
        queue->room = (queue->count + count) * 2;
        grown = th_alloc(queue->room * sizeof(*grown));
        if (queue->count > 0) {
            memcpy(grown, queue->done, queue->count * sizeof(*grown));
        }
        free(queue->done);
        queue->done = grown;
    }
    memcpy(queue->done + queue->count, completions, count * sizeof(*completions));
    queue->count += count;
    if (queue->count > queue->taken) {
        th_violate(queue->th, "%s: %u completions for %u requests", queue->backend->id,
                   queue->count, queue->taken);
    }
}

static void
queue_event(void *opaque, uint32_t event)
{
    struct th_queue *queue = opaque;

    if (event < 4) {
        queue->events[event]++;
    }
}

struct th_queue *
th_queue_open(struct bp_instance *backend, uint32_t depth)
{
    static const struct bp_block_client client = {
        .size = sizeof(client),
        .complete = queue_complete,
        .event = queue_event,
    };
    struct bp_block_queue_args args = {.size = sizeof(args)};
    struct th_queue *queue = th_alloc(sizeof(*queue));

    queue->th = backend->th;
    queue->backend = backend;
    queue->ops = th_table(backend, BP_BLOCK_ID);
    queue->thread = pthread_self();
    args.depth = depth;
    args.client = &client;
    args.opaque = queue;
    backend->th->status =
        queue->ops == NULL ? -ENOENT : queue->ops->queue_open(backend->self, &args, &queue->queue);
    if (backend->th->status < 0) {
        free(queue);
        return NULL;
    }
    return queue;
}

void
th_queue_close(struct th_queue *queue)
{
    queue->ops->drain(queue->backend->self, queue->queue);
    if (queue->count != queue->taken) {
        th_violate(queue->th, "%s: after drain() %u of %u requests have completed",
                   queue->backend->id, queue->count, queue->taken);
    }
    queue->ops->queue_close(queue->backend->self, queue->queue);
    free(queue->done);
    free(queue);
}

int32_t
th_queue_submit(struct th_queue *queue, const struct bp_block_request *requests, uint32_t count)
{
    int32_t taken;

    queue->submitting = 1;
    queue->taken += count; /* generous meanwhile: another thread may be fast */
    taken = queue->ops->submit(queue->backend->self, queue->queue, requests, count);
    queue->taken -= count - (taken > 0 ? (uint32_t)taken : 0);
    queue->submitting = 0;
    return taken;
}

static int
queue_has(void *opaque)
{
    const struct th_queue *queue = opaque;

    return queue->count >= queue->wanted;
}

int
th_queue_wait(struct th_queue *queue, uint32_t count, uint32_t timeout_ms)
{
    queue->wanted = count;
    return th_run_until(queue->th, queue_has, queue, timeout_ms);
}

int32_t
th_queue_io(struct th_queue *queue, uint32_t op, uint32_t flags, uint64_t offset, void *data,
            uint64_t length)
{
    struct bp_instance *backend = queue->backend;
    uint32_t has_data = op == BP_BLOCK_READ || op == BP_BLOCK_WRITE;
    struct bp_iovec iov = {.length = length};
    struct bp_block_request request = {.op = op, .flags = flags, .offset = offset};

    request.user = queue->count + UINT64_C(0x1000000000);
    request.length = length;
    if (has_data) {
        iov.base = th_arena(backend->th, length);
        request.iov = &iov;
        request.iov_count = 1;
        if (op == BP_BLOCK_WRITE) {
            memcpy(iov.base, data, length);
        }
    }
    if (th_queue_submit(queue, &request, 1) != 1) {
        return -EAGAIN;
    }
    if (!th_queue_wait(queue, queue->taken, IO_TIMEOUT_MS)) {
        return -ETIMEDOUT;
    }
    if (op == BP_BLOCK_READ) {
        memcpy(data, iov.base, length);
    }
    return queue->done[queue->count - 1].status;
}

uint32_t
th_queue_completed(const struct th_queue *queue)
{
    return queue->count;
}

const struct bp_block_completion *
th_queue_completion(const struct th_queue *queue, uint32_t n)
{
    return n < queue->count ? &queue->done[n] : NULL;
}

uint32_t
th_queue_batches(const struct th_queue *queue)
{
    return queue->batches;
}

uint32_t
th_queue_events(const struct th_queue *queue, uint32_t event)
{
    return event < 4 ? queue->events[event] : 0;
}
