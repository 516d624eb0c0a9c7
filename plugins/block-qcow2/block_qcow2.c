/* SPDX-License-Identifier: Apache-2.0 */
/* block-qcow2: images in QEMU's format, over any block backend that holds the file.
 *
 * Threads: every request runs on the instance's home loop; opening, growing and closing on the
 * control thread while nothing runs. image.h explains the rest. */
#include "image.h"

#include <stdlib.h>
#include <string.h>

#define PLUGIN_VERSION "1.0"
#define MAX_DISCARD    (UINT64_C(1) << 30)

static int32_t
qcow2_own_info(void *self, struct bp_block_info *info)
{
    const struct image *image = self;

    info->flags &= BP_BLOCK_ROTATIONAL;
    info->capacity = image->size;
    info->block_size = BP_BLOCK_SECTOR;
    info->max_transfer = info->max_transfer < image->most ? info->max_transfer : image->most;
    info->max_iov = info->max_iov < MAX_IOV ? info->max_iov : MAX_IOV;
    if (image->readonly) {
        info->flags |= BP_BLOCK_READONLY;
        return 0;
    }
    info->flags |=
        BP_BLOCK_CAN_DISCARD | BP_BLOCK_CAN_ZERO | BP_BLOCK_WRITE_CACHE | BP_BLOCK_CAN_RESIZE;
    info->discard_granularity = (uint32_t)image->cluster_size;
    info->max_discard = MAX_DISCARD;
    return 0;
}

static const struct bp_block_stack_ops qcow2_stack_ops = {
    .start = qcow2_start,
    .info = qcow2_own_info,
    .cancel = NULL,
    .flight_size = sizeof(struct request),
    .ios = 2,
};

BP_BLOCK_STACK_FUNCTIONS(qcow2, image)

static int32_t
qcow2_resize(void *self, uint64_t capacity)
{
    return image_resize(self, capacity);
}

static const struct bp_block_ops qcow2_ops = {
    .size = sizeof(qcow2_ops),
    .info = qcow2_info,
    .queue_open = qcow2_queue_open,
    .queue_close = qcow2_queue_close,
    .submit = qcow2_submit,
    .cancel = qcow2_cancel_request,
    .drain = qcow2_drain,
    .resize = qcow2_resize,
};

/* --- life ------------------------------------------------------------------------------------ */

static int32_t
qcow2_realize(void *self)
{
    return image_open(self);
}

/* Both backends are still there when the first of them goes. */
static void
qcow2_last_detach(void *self, uint32_t slot, uint32_t use)
{
    image_close(self);
    qcow2_detach(self, slot, use);
}

static const struct bp_life_ops qcow2_life = {
    .size = sizeof(qcow2_life),
    .realize = qcow2_realize,
    .quiesce = qcow2_quiesce,
    .attach = qcow2_attach,
    .detach = qcow2_last_detach,
};

static const void *
qcow2_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_BLOCK_ID)  ? (const void *)&qcow2_ops
           : bp_same_id(interface_id, BP_LIFE_ID) ? (const void *)&qcow2_life
                                                  : NULL;
}

static void
qcow2_destroy(void *self)
{
    struct image *image = self;

    if (image != NULL) {
        bp_block_stack_done(&image->stack);
        image_free(image);
        free(image);
    }
}

static int32_t
qcow2_create(const struct bp_create *args, void **self)
{
    struct image *image = calloc(1, sizeof(*image));

    if (image == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&image->services, args->host, args->instance);
    image->options = args->config;
    image->stack.services = &image->services;
    image->stack.ops = &qcow2_stack_ops;
    image->stack.self = image;
    image->stack.slots = 1;
    image->stack.one_loop = 1;
    *self = image;
    return 0;
}

/* --- the plugin ------------------------------------------------------------------------------ */

static const struct bp_prop qcow2_props[] = {
    {.name = "file",
     .type = BP_PROP_BACKEND,
     .flags = BP_PROP_REQUIRED,
     .help = "the backend that holds the image file"},
    {.name = "backing",
     .type = BP_PROP_BACKEND,
     .help = "the disk the image stands on, if it names one"},
    {.name = "readonly", .type = BP_PROP_BOOL, .def = "false", .help = "refuse writes"},
    {.name = "snapshot", .type = BP_PROP_STRING, .help = "read this snapshot, by id or name"},
    {.name = "cache",
     .type = BP_PROP_SIZE,
     .def = "0",
     .max = 256 << 20,
     .help = "memory for L2 tables; 0: enough for the disk, at most 32M"},
    {.name = NULL},
};

static const struct bp_slot qcow2_slots[] = {
    {.name = "file", .interface_id = BP_BLOCK_ID, .min = 1, .max = 1},
    {.name = "backing", .interface_id = BP_BLOCK_ID, .min = 0, .max = 1},
    {.name = NULL},
};

static const char *const qcow2_provides[] = {BP_BLOCK_ID, NULL};

static const struct bp_class qcow2_class = {
    .size = sizeof(qcow2_class),
    .kind = BP_KIND_BACKEND,
    .name = "block-qcow2",
    .thread_model = BP_THREADS_PARALLEL,
    .bus = BP_BUS_NONE,
    .help = "disk image in qcow2 format",
    .props = qcow2_props,
    .slots = qcow2_slots,
    .provides = qcow2_provides,
    .create = qcow2_create,
    .destroy = qcow2_destroy,
    .query = qcow2_query,
};

static const struct bp_class *const qcow2_classes[] = {&qcow2_class, NULL};

BP_PLUGIN_NOTE(.id = "block-qcow2", .version = PLUGIN_VERSION,
               .classes = {{"block-qcow2", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_MEMORY_ID, struct bp_memory_host),
                         {BP_LOOP_ID, offsetof(struct bp_loop_host, is_current), 0}});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "block-qcow2",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "qcow2 disk images",
    .classes = qcow2_classes,
};
