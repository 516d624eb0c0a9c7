/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin "virtio-blk": creation, life, state, description. See virtio_blk.h. */
#include "virtio_blk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_DISK    0u
#define ARENA_ZEROES 0u

/* --- queues of the backend ---------------------------------------------------------------------
 */

static const struct bp_block_client client = {
    .size = sizeof(client),
    .complete = blk_complete,
    .event = blk_event,
};

static void
close_queues(struct blk *blk)
{
    for (uint32_t i = 0; i < blk->options.queues; i++) {
        if (blk->queues[i].backend != NULL) {
            blk->ops->queue_close(blk->self, blk->queues[i].backend);
            blk->queues[i].backend = NULL;
        }
    }
}

/* A chain has one request at the backend at most, so the ring's size is depth enough. */
static int32_t
open_queues(struct blk *blk)
{
    for (uint32_t i = 0; i < blk->options.queues; i++) {
        struct blk_queue *queue = &blk->queues[i];
        const struct bp_block_queue_args args = {
            .size = sizeof(args),
            .depth = bp_virtqueue_max_size(queue->ring),
            .loop = bp_virtqueue_loop(queue->ring),
            .client = &client,
            .opaque = queue,
        };
        int32_t result = blk->ops->queue_open(blk->self, &args, &queue->backend);
        if (result != 0) {
            close_queues(blk);
            return result;
        }
    }
    return 0;
}

static void
blk_queue_stop(void *device, struct bp_virtqueue *ring)
{
    struct blk *blk = device;
    struct blk_queue *queue = &blk->queues[bp_virtqueue_index(ring)];

    if (queue->backend != NULL && BP_HAS(blk->ops, cancel)) {
        blk->ops->cancel(blk->self, queue->backend, UINT64_MAX);
    }
}

static void
blk_queue_drain(void *device, struct bp_virtqueue *ring)
{
    struct blk *blk = device;
    struct blk_queue *queue = &blk->queues[bp_virtqueue_index(ring)];

    if (queue->backend != NULL) {
        blk->ops->drain(blk->self, queue->backend);
    }
}

static const struct bp_virtio_ops blk_virtio_ops = {
    .run = blk_run,
    .retry = blk_retry,
    .stop = blk_queue_stop,
    .drain = blk_queue_drain,
    .features = blk_features,
    .config_write = blk_config_write,
    .reset = blk_reset_config,
};

/* --- life --------------------------------------------------------------------------------------
 */

static int32_t
prepare_erase(struct blk *blk)
{
    void *memory = NULL;
    int32_t result;

    if (!blk->options.secure_erase) {
        return 0;
    }
    result = blk->host.memory->arena_alloc(blk->host.instance, ARENA_ZEROES, BLK_ZEROES_BYTES, 4096,
                                           &memory);
    blk->zero_iov = calloc(blk->max_iov, sizeof(*blk->zero_iov));
    if (result != 0 || blk->zero_iov == NULL) {
        return -ENOMEM;
    }
    blk->zeroes = memory;
    for (uint32_t i = 0; i < blk->max_iov; i++) {
        blk->zero_iov[i].base = memory;
        blk->zero_iov[i].length = BLK_ZEROES_BYTES;
    }
    return 0;
}

static void
forget_erase(struct blk *blk)
{
    if (blk->zeroes != NULL) {
        blk->host.memory->arena_free(blk->host.instance, ARENA_ZEROES);
        blk->zeroes = NULL;
    }
    free(blk->zero_iov);
    blk->zero_iov = NULL;
}

static int32_t
blk_attach(void *self, uint32_t slot, uint32_t use, const struct bp_peer *peer)
{
    struct blk *blk = self;
    int32_t result;

    if (slot != SLOT_DISK || use != 0) {
        return bp_fail(&blk->host, -EINVAL, NULL, "there is no place for backend '%s'", peer->id);
    }
    blk->ops = peer->table;
    blk->self = peer->self;
    (void)snprintf(blk->backend, sizeof(blk->backend), "%s", peer->id != NULL ? peer->id : "");
    result = blk->realized ? blk_learn_again(blk) : blk_learn(blk);
    if (result == 0) {
        result = prepare_erase(blk);
    }
    if (result == 0) {
        result = open_queues(blk);
    }
    if (result != 0) {
        forget_erase(blk);
        blk->ops = NULL;
        return bp_fail(&blk->host, result, NULL, "backend '%s' cannot be used as a disk: %s",
                       peer->id,
                       result == -ENOMEDIUM ? "it has no medium"
                       : result == -EINVAL ? "it is smaller than a block, or its blocks do not fit "
                                             "logical_block_size"
                       : result == -EROFS  ? "it is read-only, and the guest writes to the disk"
                                           : "it refused the connection");
    }
    return 0;
}

static void
blk_detach(void *self, uint32_t slot, uint32_t use)
{
    struct blk *blk = self;

    if (slot != SLOT_DISK || use != 0 || blk->ops == NULL) {
        return;
    }
    bp_virtio_detach(blk->virtio);
    close_queues(blk);
    forget_erase(blk);
    blk->ops = NULL;
}

static int32_t
blk_realize(void *self)
{
    struct blk *blk = self;
    int32_t result;

    if (blk->ops == NULL) {
        return bp_fail(&blk->host, -ENODEV, NULL, "it has no backend");
    }
    blk_describe(blk);
    if (blk->logical_size != BLK_SECTOR) {
        bp_warn(&blk->host, "blocks of %u bytes: firmware cannot boot from it", blk->logical_size);
    }
    /* SeaBIOS names a disk by its unit below the function. */
    result = blk->host.core->boot_path(blk->host.instance, "", "disk@0,0");
    blk->realized = 1;
    return result == 0 ? 0 : bp_fail(&blk->host, result, NULL, "cannot be described to firmware");
}

static void
blk_start(void *self)
{
    bp_virtio_start(((struct blk *)self)->virtio);
}

static void
blk_stop(void *self)
{
    bp_virtio_stop(((struct blk *)self)->virtio);
}

static void
blk_reset(void *self, uint32_t kind)
{
    bp_virtio_reset(((struct blk *)self)->virtio);
}

static int32_t
blk_quiesce(void *self, uint64_t deadline_ns)
{
    return bp_virtio_quiesce(((struct blk *)self)->virtio);
}

static void
blk_resume(void *self)
{
    bp_virtio_resume(((struct blk *)self)->virtio);
}

static void
blk_ram_changed(void *self)
{
    bp_virtio_ram_changed(((struct blk *)self)->virtio);
}

static const struct bp_life_ops blk_life = {
    .size = sizeof(blk_life),
    .realize = blk_realize,
    .start = blk_start,
    .stop = blk_stop,
    .reset = blk_reset,
    .quiesce = blk_quiesce,
    .resume = blk_resume,
    .attach = blk_attach,
    .detach = blk_detach,
    .ram_changed = blk_ram_changed,
};

/* --- creation ----------------------------------------------------------------------------------
 */

static void
blk_destroy(void *self)
{
    struct blk *blk = self;

    bp_virtio_free(blk->virtio);
    free(blk->zero_iov);
    free(blk);
}

static int32_t
make_transport(struct blk *blk, const struct bp_node *options)
{
    const struct bp_virtio_args args = {
        .services = &blk->host,
        .ops = &blk_virtio_ops,
        .device = blk,
        .options = options,
        .type = BP_VIRTIO_TYPE_BLOCK,
        .base_class = 0x01, /* mass storage, SCSI */
        .sub_class = 0x00,
        .config_length = BLK_CFG_BYTES,
        .queues = blk->options.queues,
        .request_size = sizeof(struct blk_request),
    };
    int32_t result = bp_virtio_new(&args, &blk->virtio);

    for (uint32_t i = 0; i < blk->options.queues && result == 0; i++) {
        blk->queues[i].blk = blk;
        blk->queues[i].ring = bp_virtio_queue(blk->virtio, i);
    }
    return result;
}

static int32_t
blk_create(const struct bp_create *args, void **self)
{
    struct blk *blk = calloc(1, sizeof(*blk));
    struct bp_services host;
    int32_t result;

    bp_services_init(&host, args->host, args->instance);
    if (blk == NULL) {
        return bp_fail(&host, -ENOMEM, NULL, "out of memory");
    }
    blk->host = host;
    blk->id = args->id;
    result = blk_options_read(blk, args->config);
    if (result == 0) {
        result = make_transport(blk, args->config);
    }
    if (result != 0) {
        blk_destroy(blk);
        return result;
    }
    *self = blk;
    return 0;
}

static int32_t
blk_answer(void *self, const char *name, const struct bp_node *options,
           const struct bp_inspect_answer *answer)
{
    const struct blk *blk = self;

    return bp_virtio_answer(blk->virtio, blk->id, name, options, answer);
}

static const struct bp_inspect_ops blk_inspect = {
    .size = sizeof(blk_inspect),
    .questions = bp_virtio_questions,
    .answer = blk_answer,
};

static const void *
blk_query(void *self, const char *interface_id)
{
    if (bp_same_id(interface_id, BP_LIFE_ID)) {
        return &blk_life;
    }
    if (bp_same_id(interface_id, BP_INSPECT_ID)) {
        return &blk_inspect;
    }
    return bp_same_id(interface_id, BP_STATE_ID) ? &blk_state : NULL;
}

/* --- description -------------------------------------------------------------------------------
 */

#define BLK_PROMISES (BP_PROMISE_SANDBOX | BP_PROMISE_UPGRADE | BP_PROMISE_DIRTY_TRACKED)

static const struct bp_slot blk_slots[] = {
    [SLOT_DISK] = {.name = "backend",
                   .interface_id = BP_BLOCK_ID,
                   .min = 1,
                   .max = 1,
                   .flags = BP_SLOT_HOTPLUG},
    {.name = NULL},
};

static const struct bp_class blk_class = {
    .size = sizeof(blk_class),
    .kind = BP_KIND_DEVICE,
    .name = "virtio-blk",
    .thread_model = BP_THREADS_PER_QUEUE,
    .promises = BLK_PROMISES,
    .state_version = 1,
    .state_min = 1,
    .bus = BP_BUS_PCI,
    .help = "virtio block device",
    .props = blk_props,
    .slots = blk_slots,
    .create = blk_create,
    .destroy = blk_destroy,
    .query = blk_query,
};

static const struct bp_class *const blk_classes[] = {&blk_class, NULL};

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "virtio-blk",
    .version = "1.0",
    .license = "Apache-2.0",
    .help = "virtio block device",
    .classes = blk_classes,
};

BP_PLUGIN_NOTE(.id = "virtio-blk", .version = "1.0",
               .classes = {{"virtio-blk", BP_KIND_DEVICE, BP_THREADS_PER_QUEUE, BLK_PROMISES, 1, 1,
                            0}},
               .needs = {BP_VIRTIO_NEEDS});
