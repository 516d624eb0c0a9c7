/* SPDX-License-Identifier: Apache-2.0 */
/* scsi-cd: a SCSI CD/DVD drive (MMC-6) over any block backend.
 * The unit and its commands are the SCSI engine's (sdk/scsi).
 *
 * Threads: PARALLEL; the target's lock is around the unit. */
#include <backplane/sdk/scsi_target.h>
#include <backplane/sdk/sdk.h>

#define PLUGIN_VERSION "1.0"

static int32_t
scsi_cd_create(const struct bp_create *args, void **self)
{
    struct bp_scsi_identity identity = {.type = BP_SCSI_TYPE_CDROM};

    return bp_scsi_target_create(args, &identity, NULL, self);
}

static const struct bp_prop scsi_cd_props[] = {
    {.name = "backend",
     .type = BP_PROP_BACKEND,
     .help = "the medium: an image of blocks of 2048 bytes; without it the drive is empty"},
    BP_SCSI_TARGET_PROPS("CD-ROM"),
    {.name = NULL},
};

static const struct bp_slot scsi_cd_slots[] = {
    {.name = "backend", .interface_id = BP_BLOCK_ID, .max = 1, .flags = BP_SLOT_HOTPLUG},
    {.name = NULL},
};

static const char *const scsi_cd_provides[] = {BP_SCSI_ID, NULL};

static const struct bp_class scsi_cd_class = {
    .size = sizeof(scsi_cd_class),
    .kind = BP_KIND_BACKEND,
    .name = "scsi-cd",
    .thread_model = BP_THREADS_PARALLEL,
    .state_version = 1,
    .state_min = 1,
    .bus = BP_BUS_NONE,
    .help = "SCSI CD/DVD drive over a block backend",
    .props = scsi_cd_props,
    .slots = scsi_cd_slots,
    .provides = scsi_cd_provides,
    .create = scsi_cd_create,
    .destroy = bp_scsi_target_destroy,
    .query = bp_scsi_target_query,
};

static const struct bp_class *const scsi_cd_classes[] = {&scsi_cd_class, NULL};

BP_PLUGIN_NOTE(.id = "scsi-cd", .version = PLUGIN_VERSION,
               .classes = {{"scsi-cd", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 1, 1, 0}},
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
    .id = "scsi-cd",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "SCSI CD/DVD drive over a block backend",
    .classes = scsi_cd_classes,
};
