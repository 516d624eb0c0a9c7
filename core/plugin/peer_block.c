/* SPDX-License-Identifier: Apache-2.0 */
/* bp.block/1 for a SERIAL consumer: completions and events come under the consumer's lock, and
 * drain() lets go of that lock while it waits for them. */
#include "base/device_call.h"
#include "plugin/args.h"
#include "plugin/peer.h"

#include <errno.h>

typedef struct {
    struct bp_block_ops ops; /* the consumer's table */
    const struct bp_block_ops *below;
    void *below_self;
    Instance *consumer;
} BlockShim;

typedef struct {
    BlockShim *shim;
    void *below;
    struct bp_block_client client;
    void *opaque;
} BlockQueue;

/* The thread is a loop's and inside no device, or inside this one in drain(), which has let go. */
static void
enter(Instance *consumer, DeviceCall *call)
{
    device_call_enter_always(call, consumer->loop_lock);
}

static void
queue_complete(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    BlockQueue *queue = opaque;
    DeviceCall call;

    enter(queue->shim->consumer, &call);
    queue->client.complete(queue->opaque, completions, count);
    device_call_leave(&call);
}

static void
queue_event(void *opaque, uint32_t event)
{
    BlockQueue *queue = opaque;
    DeviceCall call;

    enter(queue->shim->consumer, &call);
    queue->client.event(queue->opaque, event);
    device_call_leave(&call);
}

static int32_t
shim_info(void *self, struct bp_block_info *info)
{
    const BlockShim *shim = self;

    return shim->below->info(shim->below_self, info);
}

static int32_t
shim_queue_open(void *self, const struct bp_block_queue_args *given, void **queue_out)
{
    BlockShim *shim = self;
    struct bp_block_queue_args args;
    struct bp_block_client client = {.size = sizeof(client)};
    BlockQueue *queue;
    int result = args_copy(&args, sizeof(args), given);

    if (result != 0) {
        return result;
    }
    queue = g_new0(BlockQueue, 1);
    queue->shim = shim;
    queue->opaque = args.opaque;
    if (table_copy(&queue->client, sizeof(queue->client), args.client) != 0 ||
        queue->client.complete == NULL) {
        g_free(queue);
        return -EINVAL;
    }
    client.complete = queue_complete;
    client.event = queue->client.event != NULL ? queue_event : NULL;
    args.size = sizeof(args);
    args.client = &client;
    args.opaque = queue;
    result = shim->below->queue_open(shim->below_self, &args, &queue->below);
    if (result != 0) {
        g_free(queue);
        return result;
    }
    *queue_out = queue;
    return 0;
}

/* The lock is the caller's by the SERIAL rule; a completion on its way needs it. */
static void
shim_drain(void *self, void *opaque)
{
    const BlockShim *shim = self;
    const BlockQueue *queue = opaque;

    g_mutex_unlock(shim->consumer->loop_lock);
    shim->below->drain(shim->below_self, queue->below);
    g_mutex_lock(shim->consumer->loop_lock);
}

static void
shim_queue_close(void *self, void *opaque)
{
    const BlockShim *shim = self;
    BlockQueue *queue = opaque;

    g_mutex_unlock(shim->consumer->loop_lock);
    shim->below->queue_close(shim->below_self, queue->below);
    g_mutex_lock(shim->consumer->loop_lock);
    g_free(queue);
}

static int32_t
shim_submit(void *self, void *opaque, const struct bp_block_request *requests, uint32_t count)
{
    const BlockShim *shim = self;
    const BlockQueue *queue = opaque;

    return shim->below->submit(shim->below_self, queue->below, requests, count);
}

static void
shim_cancel(void *self, void *opaque, uint64_t user)
{
    const BlockShim *shim = self;
    const BlockQueue *queue = opaque;

    shim->below->cancel(shim->below_self, queue->below, user);
}

static int32_t
shim_resize(void *self, uint64_t capacity)
{
    const BlockShim *shim = self;

    return shim->below->resize(shim->below_self, capacity);
}

void
peer_block_shim(PeerShim *out, Instance *consumer, const struct bp_block_ops *below,
                void *below_self)
{
    BlockShim *shim = g_new0(BlockShim, 1);

    shim->consumer = consumer;
    shim->below = below;
    shim->below_self = below_self;
    shim->ops = (struct bp_block_ops){
        .size = sizeof(shim->ops),
        .info = shim_info,
        .queue_open = shim_queue_open,
        .queue_close = shim_queue_close,
        .submit = shim_submit,
        .cancel = below->cancel != NULL ? shim_cancel : NULL,
        .drain = shim_drain,
        .resize = below->resize != NULL ? shim_resize : NULL,
    };
    out->table = &shim->ops;
    out->self = shim;
    out->free_self = g_free;
}
