/* SPDX-License-Identifier: Apache-2.0 */
/* scsi-disk: a SCSI disk (SBC-3) over any block backend.
 * The unit and its commands are the SCSI engine's (sdk/scsi).
 *
 * Threads: PARALLEL; the target's lock is around the unit. */
#include <backplane/sdk/scsi_target.h>
#include <backplane/sdk/sdk.h>

#define PLUGIN_VERSION "1.0"

static int32_t
read_options(const struct bp_services *services, const struct bp_node *options,
             struct bp_scsi_identity *identity)
{
    identity->block_size = (uint32_t)bp_option_u64(services, options, "block_size", 512);
    identity->physical_size = (uint32_t)bp_option_u64(services, options, "physical_block_size", 0);
    identity->rotation_rate = (uint32_t)bp_option_u64(services, options, "rotation_rate", 0);
    identity->read_only = bp_option_bool(services, options, "read_only", 0);
    identity->no_unmap = !bp_option_bool(services, options, "discard", 1);
    identity->flags = bp_option_bool(services, options, "removable", 0) ? BP_SCSI_REMOVABLE : 0;
    if ((identity->block_size & (identity->block_size - 1)) != 0) {
        return bp_fail(services, -EINVAL, bp_option(services, options, "block_size"),
                       "block_size must be 512, 1024, 2048 or 4096, not %u", identity->block_size);
    }
    return 0;
}

static int32_t
scsi_disk_create(const struct bp_create *args, void **self)
{
    struct bp_scsi_identity identity = {.type = BP_SCSI_TYPE_DISK};

    return bp_scsi_target_create(args, &identity, read_options, self);
}

static const struct bp_prop scsi_disk_props[] = {
    {.name = "backend",
     .type = BP_PROP_BACKEND,
     .flags = BP_PROP_REQUIRED,
     .help = "what the disk holds"},
    BP_SCSI_TARGET_PROPS("DISK"),
    {.name = "block_size",
     .type = BP_PROP_SIZE,
     .def = "512",
     .min = 512,
     .max = 4096,
     .help = "logical block, a power of two"},
    {.name = "physical_block_size",
     .type = BP_PROP_SIZE,
     .def = "0",
     .max = 1 << 20,
     .help = "what is written without reading; 0: as the backend says"},
    {.name = "rotation_rate",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = 65534,
     .help = "revolutions a minute, 1: does not rotate, 0: as the backend says"},
    {.name = "read_only", .type = BP_PROP_BOOL, .def = "false", .help = "write protected"},
    {.name = "discard", .type = BP_PROP_BOOL, .def = "true", .help = "offer UNMAP"},
    BP_ON_ERROR_PROPS,
    {.name = "reservations",
     .type = BP_PROP_PATH,
     .help = "file of persistent reservations, for disks that several machines share"},
    {.name = "removable", .type = BP_PROP_BOOL, .def = "false", .help = "the medium is removable"},
    {.name = NULL},
};

static const struct bp_slot scsi_disk_slots[] = {
    {.name = "backend", .interface_id = BP_BLOCK_ID, .min = 1, .max = 1, .flags = BP_SLOT_HOTPLUG},
    {.name = NULL},
};

static const char *const scsi_disk_provides[] = {BP_SCSI_ID, NULL};

static const struct bp_class scsi_disk_class = {
    .size = sizeof(scsi_disk_class),
    .kind = BP_KIND_BACKEND,
    .name = "scsi-disk",
    .thread_model = BP_THREADS_PARALLEL,
    .state_version = 1,
    .state_min = 1,
    .bus = BP_BUS_NONE,
    .help = "SCSI disk over a block backend",
    .props = scsi_disk_props,
    .slots = scsi_disk_slots,
    .provides = scsi_disk_provides,
    .create = scsi_disk_create,
    .destroy = bp_scsi_target_destroy,
    .query = bp_scsi_target_query,
};

static const struct bp_class *const scsi_disk_classes[] = {&scsi_disk_class, NULL};

BP_PLUGIN_NOTE(.id = "scsi-disk", .version = PLUGIN_VERSION,
               .classes = {{"scsi-disk", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 1, 1, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_MEMORY_ID, struct bp_memory_host),
                         BP_NEED(BP_CORE_ID, struct bp_core_host),
                         {BP_LOOP_ID, offsetof(struct bp_loop_host, is_current), 0}});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "scsi-disk",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "SCSI disk over a block backend",
    .classes = scsi_disk_classes,
};
