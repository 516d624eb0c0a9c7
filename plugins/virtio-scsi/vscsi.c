/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin "virtio-scsi": creation, life, description. See vscsi.h. */
#include "vscsi.h"

#include <stdio.h>
#include <stdlib.h>

/* --- the transport's calls ----------------------------------------------------------------------
 */

static void
vscsi_run(void *device, struct bp_virtqueue *ring)
{
    struct vscsi *vscsi = device;
    uint32_t index = bp_virtqueue_index(ring);

    switch (index) {
    case VSCSI_CONTROL:
        vscsi_run_control(vscsi);
        break;
    case VSCSI_EVENT:
        vscsi_run_events(vscsi);
        break;
    default:
        vscsi_run_requests(&vscsi->queues[index - VSCSI_REQUEST]);
        break;
    }
}

/* Only control requests are ever held. */
static void
vscsi_retry(void *device, struct bp_virtqueue *ring)
{
    if (bp_virtqueue_index(ring) == VSCSI_CONTROL) {
        vscsi_retry_control(device);
    }
}

static void
vscsi_queue_drain(void *device, struct bp_virtqueue *ring)
{
    struct vscsi *vscsi = device;
    uint32_t index = bp_virtqueue_index(ring);

    for (uint32_t i = 0; i < vscsi->unit_count && index >= VSCSI_REQUEST; i++) {
        struct vscsi_unit *unit = &vscsi->units[i];

        if (atomic_load(&unit->present)) {
            unit->ops->drain(unit->self, unit->paths[index - VSCSI_REQUEST].backend);
        }
    }
}

static void
vscsi_device_reset(void *device)
{
    struct vscsi *vscsi = device;

    bp_virtqueue_enter(vscsi->event);
    vscsi->missed = 0;
    bp_virtqueue_leave(vscsi->event);
    vscsi_set_sizes(vscsi, VSCSI_SENSE_DEFAULT, VSCSI_CDB_DEFAULT);
    vscsi_abort_all(vscsi);
}

static const struct bp_virtio_ops vscsi_virtio_ops = {
    .run = vscsi_run,
    .retry = vscsi_retry,
    .drain = vscsi_queue_drain,
    .config_write = vscsi_config_write,
    .reset = vscsi_device_reset,
};

/* --- life --------------------------------------------------------------------------------------
 */

/* SeaBIOS names a disk by channel, target and LUN below the function. */
static int32_t
name_boot_path(struct vscsi *vscsi, const struct vscsi_unit *unit)
{
    const struct bp_core_host *core = vscsi->host.core;
    char place[24];
    char path[40];
    int32_t result = 0;

    (void)snprintf(place, sizeof(place), "%u.%u", unit->target, unit->lun);
    (void)snprintf(path, sizeof(path), "channel@0/disk@%x,%x", unit->target, unit->lun);
    if (unit->use == 0) {
        result = core->boot_path(vscsi->host.instance, "", path);
    }
    if (result == 0) {
        result = core->boot_path(vscsi->host.instance, place, path);
    }
    return result == 0
               ? 0
               : bp_fail(&vscsi->host, result, NULL, "cannot describe target %u LUN %u to firmware",
                         unit->target, unit->lun);
}

static int32_t
vscsi_realize(void *self)
{
    struct vscsi *vscsi = self;

    vscsi_describe(vscsi);
    for (uint32_t i = 0; i < vscsi->unit_count; i++) {
        int32_t result = name_boot_path(vscsi, &vscsi->units[i]);
        if (result != 0) {
            return result;
        }
    }
    vscsi->realized = 1;
    return 0;
}

static void
vscsi_start(void *self)
{
    bp_virtio_start(((struct vscsi *)self)->virtio);
}

static void
vscsi_stop(void *self)
{
    bp_virtio_stop(((struct vscsi *)self)->virtio);
}

static void
vscsi_reset(void *self, uint32_t kind)
{
    bp_virtio_reset(((struct vscsi *)self)->virtio);
}

static int32_t
vscsi_quiesce(void *self, uint64_t deadline_ns)
{
    return bp_virtio_quiesce(((struct vscsi *)self)->virtio);
}

static void
vscsi_resume(void *self)
{
    bp_virtio_resume(((struct vscsi *)self)->virtio);
}

static void
vscsi_ram_changed(void *self)
{
    bp_virtio_ram_changed(((struct vscsi *)self)->virtio);
}

static const struct bp_life_ops vscsi_life = {
    .size = sizeof(vscsi_life),
    .realize = vscsi_realize,
    .start = vscsi_start,
    .stop = vscsi_stop,
    .reset = vscsi_reset,
    .quiesce = vscsi_quiesce,
    .resume = vscsi_resume,
    .attach = vscsi_attach,
    .detach = vscsi_detach,
    .ram_changed = vscsi_ram_changed,
};

/* --- creation ----------------------------------------------------------------------------------
 */

static void
vscsi_destroy(void *self)
{
    struct vscsi *vscsi = self;

    bp_virtio_free(vscsi->virtio);
    free(vscsi->units);
    free(vscsi->paths);
    (void)pthread_mutex_destroy(&vscsi->unit_lock);
    free(vscsi);
}

static int32_t
make_transport(struct vscsi *vscsi, const struct bp_node *options)
{
    const struct bp_virtio_args args = {
        .services = &vscsi->host,
        .ops = &vscsi_virtio_ops,
        .device = vscsi,
        .options = options,
        .type = BP_VIRTIO_TYPE_SCSI,
        .base_class = 0x01, /* mass storage, SCSI */
        .sub_class = 0x00,
        .config_length = VSCSI_CFG_BYTES,
        .queues = vscsi->queue_count + VSCSI_REQUEST,
        .request_size = sizeof(struct vscsi_request), /* the larger one */
    };
    int32_t result = bp_virtio_new(&args, &vscsi->virtio);

    if (result != 0) {
        return result;
    }
    vscsi->control = bp_virtio_queue(vscsi->virtio, VSCSI_CONTROL);
    vscsi->event = bp_virtio_queue(vscsi->virtio, VSCSI_EVENT);
    for (uint32_t i = 0; i < vscsi->queue_count; i++) {
        vscsi->queues[i].vscsi = vscsi;
        vscsi->queues[i].ring = bp_virtio_queue(vscsi->virtio, VSCSI_REQUEST + i);
    }
    return 0;
}

_Static_assert(sizeof(struct vscsi_control) <= sizeof(struct vscsi_request),
               "a chain has room for both kinds of requests");

static int32_t
vscsi_create(const struct bp_create *args, void **self)
{
    struct vscsi *vscsi = calloc(1, sizeof(*vscsi));
    struct bp_services host;
    int32_t result;

    bp_services_init(&host, args->host, args->instance);
    if (vscsi == NULL) {
        return bp_fail(&host, -ENOMEM, NULL, "out of memory");
    }
    vscsi->host = host;
    vscsi->id = args->id;
    (void)pthread_mutex_init(&vscsi->unit_lock, NULL); /* cannot fail with the defaults */
    result = vscsi_options_read(vscsi, args->config);
    if (result == 0) {
        result = make_transport(vscsi, args->config);
    }
    if (result != 0) {
        vscsi_destroy(vscsi);
        return result;
    }
    *self = vscsi;
    return 0;
}

static int32_t
vscsi_answer(void *self, const char *name, const struct bp_node *options,
             const struct bp_inspect_answer *answer)
{
    const struct vscsi *vscsi = self;

    return bp_virtio_answer(vscsi->virtio, vscsi->id, name, options, answer);
}

static const struct bp_inspect_ops vscsi_inspect = {
    .size = sizeof(vscsi_inspect),
    .questions = bp_virtio_questions,
    .answer = vscsi_answer,
};

static const void *
vscsi_query(void *self, const char *interface_id)
{
    if (bp_same_id(interface_id, BP_LIFE_ID)) {
        return &vscsi_life;
    }
    if (bp_same_id(interface_id, BP_INSPECT_ID)) {
        return &vscsi_inspect;
    }
    return bp_same_id(interface_id, BP_STATE_ID) ? &vscsi_state : NULL;
}

/* --- description -------------------------------------------------------------------------------
 */

#define VSCSI_PROMISES (BP_PROMISE_SANDBOX | BP_PROMISE_UPGRADE | BP_PROMISE_DIRTY_TRACKED)

static const struct bp_slot vscsi_slots[] = {
    {.name = "backend",
     .interface_id = BP_SCSI_ID,
     .max = VSCSI_MAX_UNITS,
     .flags = BP_SLOT_HOTPLUG},
    {.name = NULL},
};

static const struct bp_class vscsi_class = {
    .size = sizeof(vscsi_class),
    .kind = BP_KIND_DEVICE,
    .name = "virtio-scsi",
    .thread_model = BP_THREADS_PER_QUEUE,
    .promises = VSCSI_PROMISES,
    .state_version = 1,
    .state_min = 1,
    .bus = BP_BUS_PCI,
    .help = "virtio SCSI host bus adapter",
    .props = vscsi_props,
    .slots = vscsi_slots,
    .create = vscsi_create,
    .destroy = vscsi_destroy,
    .query = vscsi_query,
};

static const struct bp_class *const vscsi_classes[] = {&vscsi_class, NULL};

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "virtio-scsi",
    .version = "1.0",
    .license = "Apache-2.0",
    .help = "virtio SCSI host bus adapter",
    .classes = vscsi_classes,
};

BP_PLUGIN_NOTE(.id = "virtio-scsi", .version = "1.0",
               .classes = {{"virtio-scsi", BP_KIND_DEVICE, BP_THREADS_PER_QUEUE, VSCSI_PROMISES, 1,
                            1, 0}},
               .needs = {BP_VIRTIO_NEEDS});
