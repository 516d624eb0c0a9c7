/* SPDX-License-Identifier: Apache-2.0 */
/* bp.net/1 for a SERIAL consumer: what the backend calls comes under the consumer's lock, and
 * flush() may come from any thread: it lets go of that lock and goes to the queue's loop. */
#include "base/device_call.h"
#include "plugin/args.h"
#include "plugin/peer.h"

#include <errno.h>

typedef struct {
    struct bp_net_ops ops; /* the consumer's table */
    const struct bp_net_ops *below;
    void *below_self;
    Instance *consumer;
} NetShim;

typedef struct {
    NetShim *shim;
    void *below;
    Loop *loop;
    struct bp_net_client client;
    void *opaque;
} NetQueue;

/* The thread is a loop's and inside no device, or inside this one in flush(), which has let go. */
static void
enter(Instance *consumer, DeviceCall *call)
{
    device_call_enter_always(call, consumer->loop_lock);
}

static void
queue_receive(void *opaque, const struct bp_net_received *records, uint32_t count)
{
    NetQueue *queue = opaque;
    DeviceCall call;

    enter(queue->shim->consumer, &call);
    queue->client.receive(queue->opaque, records, count);
    device_call_leave(&call);
}

static void
queue_transmitted(void *opaque, const uint64_t *users, uint32_t count)
{
    NetQueue *queue = opaque;
    DeviceCall call;

    enter(queue->shim->consumer, &call);
    queue->client.transmitted(queue->opaque, users, count);
    device_call_leave(&call);
}

static void
queue_writable(void *opaque)
{
    NetQueue *queue = opaque;
    DeviceCall call;

    enter(queue->shim->consumer, &call);
    queue->client.writable(queue->opaque);
    device_call_leave(&call);
}

static void
queue_event(void *opaque, uint32_t event)
{
    NetQueue *queue = opaque;
    DeviceCall call;

    enter(queue->shim->consumer, &call);
    queue->client.event(queue->opaque, event);
    device_call_leave(&call);
}

static int32_t
shim_info(void *self, struct bp_net_info *info)
{
    const NetShim *shim = self;

    return shim->below->info(shim->below_self, info);
}

static int32_t
take_client(NetQueue *queue, const struct bp_net_queue_args *args)
{
    int result = table_copy(&queue->client, sizeof(queue->client), args->client);

    queue->opaque = args->opaque;
    if (result != 0 || queue->client.receive == NULL || queue->client.transmitted == NULL ||
        queue->client.writable == NULL) {
        return -EINVAL;
    }
    return queue->loop != NULL ? 0 : -ENOENT;
}

static int32_t
shim_queue_open(void *self, const struct bp_net_queue_args *given, void **queue_out)
{
    NetShim *shim = self;
    struct bp_net_queue_args args;
    struct bp_net_client client = {.size = sizeof(client)};
    NetQueue *queue;
    int result = args_copy(&args, sizeof(args), given);

    if (result != 0) {
        return result;
    }
    queue = g_new0(NetQueue, 1);
    queue->shim = shim;
    queue->loop = services_loop(shim->consumer->services, args.loop);
    result = take_client(queue, &args);
    if (result != 0) {
        g_free(queue);
        return result;
    }
    client.receive = queue_receive;
    client.transmitted = queue_transmitted;
    client.writable = queue_writable;
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

static void
flush_below(void *opaque)
{
    const NetQueue *queue = opaque;

    queue->shim->below->flush(queue->shim->below_self, queue->below);
}

/* The lock is the caller's by the SERIAL rule; a callback on its way needs it. */
static void
shim_flush(void *self, void *opaque)
{
    const NetShim *shim = self;
    NetQueue *queue = opaque;

    g_mutex_unlock(shim->consumer->loop_lock);
    loop_call(queue->loop, flush_below, queue);
    g_mutex_lock(shim->consumer->loop_lock);
}

static void
shim_queue_close(void *self, void *opaque)
{
    const NetShim *shim = self;
    NetQueue *queue = opaque;

    g_mutex_unlock(shim->consumer->loop_lock);
    shim->below->queue_close(shim->below_self, queue->below);
    g_mutex_lock(shim->consumer->loop_lock);
    g_free(queue);
}

static int32_t
shim_set_features(void *self, uint32_t features)
{
    const NetShim *shim = self;

    return shim->below->set_features(shim->below_self, features);
}

static int32_t
shim_transmit(void *self, void *opaque, const struct bp_net_frame *frames, uint32_t count,
              uint32_t *done)
{
    const NetShim *shim = self;
    const NetQueue *queue = opaque;

    return shim->below->transmit(shim->below_self, queue->below, frames, count, done);
}

static int32_t
shim_post(void *self, void *opaque, const struct bp_net_buffer *buffers, uint32_t count)
{
    const NetShim *shim = self;
    const NetQueue *queue = opaque;

    return shim->below->post(shim->below_self, queue->below, buffers, count);
}

static void
shim_queue_enable(void *self, void *opaque, uint32_t enabled)
{
    const NetShim *shim = self;
    const NetQueue *queue = opaque;

    shim->below->queue_enable(shim->below_self, queue->below, enabled);
}

bool
peer_net_complete(const struct bp_net_ops *ops)
{
    return ops->info != NULL && ops->queue_open != NULL && ops->queue_close != NULL &&
           ops->set_features != NULL && ops->transmit != NULL && ops->post != NULL &&
           ops->flush != NULL;
}

void
peer_net_shim(PeerShim *out, Instance *consumer, const struct bp_net_ops *below, void *below_self)
{
    NetShim *shim = g_new0(NetShim, 1);

    shim->consumer = consumer;
    shim->below = below;
    shim->below_self = below_self;
    shim->ops = (struct bp_net_ops){
        .size = sizeof(shim->ops),
        .info = shim_info,
        .queue_open = shim_queue_open,
        .queue_close = shim_queue_close,
        .set_features = shim_set_features,
        .transmit = shim_transmit,
        .post = shim_post,
        .flush = shim_flush,
        .queue_enable = below->queue_enable != NULL ? shim_queue_enable : NULL,
    };
    out->table = &shim->ops;
    out->self = shim;
    out->free_self = g_free;
}
