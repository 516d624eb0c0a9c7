/* SPDX-License-Identifier: Apache-2.0 */
/* bp.scsi/1 for a SERIAL consumer: what the target calls comes under the consumer's lock, and
 * drain() lets go of that lock while it waits. */
#include "base/device_call.h"
#include "plugin/args.h"
#include "plugin/peer.h"

#include <errno.h>

typedef struct {
    struct bp_scsi_ops ops; /* the consumer's table */
    const struct bp_scsi_ops *below;
    void *below_self;
    Instance *consumer;
} ScsiShim;

typedef struct {
    ScsiShim *shim;
    void *below;
    struct bp_scsi_client client;
    void *opaque;
} ScsiQueue;

/* The thread is a loop's and inside no device, or inside this one in drain(), which has let go. */
static void
enter(const ScsiQueue *queue, DeviceCall *call)
{
    device_call_enter_always(call, queue->shim->consumer->loop_lock);
}

static void
queue_complete(void *opaque, const struct bp_scsi_completion *completions, uint32_t count)
{
    ScsiQueue *queue = opaque;
    DeviceCall call;

    enter(queue, &call);
    queue->client.complete(queue->opaque, completions, count);
    device_call_leave(&call);
}

static void
queue_managed(void *opaque, uint64_t user, int32_t result)
{
    ScsiQueue *queue = opaque;
    DeviceCall call;

    enter(queue, &call);
    queue->client.managed(queue->opaque, user, result);
    device_call_leave(&call);
}

static void
queue_event(void *opaque, uint32_t event, uint32_t detail)
{
    ScsiQueue *queue = opaque;
    DeviceCall call;

    enter(queue, &call);
    queue->client.event(queue->opaque, event, detail);
    device_call_leave(&call);
}

static int32_t
shim_info(void *self, struct bp_scsi_info *info)
{
    const ScsiShim *shim = self;

    return shim->below->info(shim->below_self, info);
}

static int32_t
shim_queue_open(void *self, const struct bp_scsi_queue_args *given, void **queue_out)
{
    ScsiShim *shim = self;
    struct bp_scsi_queue_args args;
    struct bp_scsi_client client = {
        .size = sizeof(client), .complete = queue_complete, .managed = queue_managed};
    ScsiQueue *queue;
    int result = args_copy(&args, sizeof(args), given);

    if (result != 0) {
        return result;
    }
    queue = g_new0(ScsiQueue, 1);
    queue->shim = shim;
    queue->opaque = args.opaque;
    if (table_copy(&queue->client, sizeof(queue->client), args.client) != 0 ||
        queue->client.complete == NULL || queue->client.managed == NULL) {
        g_free(queue);
        return -EINVAL;
    }
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
    const ScsiShim *shim = self;
    const ScsiQueue *queue = opaque;

    g_mutex_unlock(shim->consumer->loop_lock);
    shim->below->drain(shim->below_self, queue->below);
    g_mutex_lock(shim->consumer->loop_lock);
}

static void
shim_queue_close(void *self, void *opaque)
{
    const ScsiShim *shim = self;
    ScsiQueue *queue = opaque;

    g_mutex_unlock(shim->consumer->loop_lock);
    shim->below->queue_close(shim->below_self, queue->below);
    g_mutex_lock(shim->consumer->loop_lock);
    g_free(queue);
}

static int32_t
shim_submit(void *self, void *opaque, const struct bp_scsi_request *requests, uint32_t count)
{
    const ScsiShim *shim = self;
    const ScsiQueue *queue = opaque;

    return shim->below->submit(shim->below_self, queue->below, requests, count);
}

static int32_t
shim_manage(void *self, void *opaque, const struct bp_scsi_management *management)
{
    const ScsiShim *shim = self;
    const ScsiQueue *queue = opaque;

    return shim->below->manage(shim->below_self, queue->below, management);
}

bool
peer_scsi_complete(const struct bp_scsi_ops *ops)
{
    return ops->info != NULL && ops->queue_open != NULL && ops->queue_close != NULL &&
           ops->submit != NULL && ops->manage != NULL && ops->drain != NULL;
}

void
peer_scsi_shim(PeerShim *out, Instance *consumer, const struct bp_scsi_ops *below, void *below_self)
{
    ScsiShim *shim = g_new0(ScsiShim, 1);

    shim->consumer = consumer;
    shim->below = below;
    shim->below_self = below_self;
    shim->ops = (struct bp_scsi_ops){
        .size = sizeof(shim->ops),
        .info = shim_info,
        .queue_open = shim_queue_open,
        .queue_close = shim_queue_close,
        .submit = shim_submit,
        .manage = shim_manage,
        .drain = shim_drain,
    };
    out->table = &shim->ops;
    out->self = shim;
    out->free_self = g_free;
}
