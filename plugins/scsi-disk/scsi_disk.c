/* SPDX-License-Identifier: Apache-2.0 */
/* scsi-disk: a SCSI disk (SBC-3) over any block backend.
 * The unit and its commands are the SCSI engine's (sdk/scsi).
 *
 * Threads: PARALLEL; the target's lock is around the unit. */
#include <backplane/sdk/scsi_target.h>
#include <backplane/sdk/sdk.h>

#include <stdlib.h>

#define PLUGIN_VERSION "1.0"
#define TAG_UNIT       1u

struct scsi_disk {
    struct bp_scsi_target target; /* first member: the table's self */
    uint32_t attached;
};

/* --- life --------------------------------------------------------------------------------------
 */

static int32_t
scsi_disk_attach(void *self, uint32_t slot, uint32_t use, const struct bp_peer *peer)
{
    struct scsi_disk *disk = self;
    int32_t r = bp_scsi_target_attach(&disk->target, peer);

    if (r != 0) {
        return bp_fail(&disk->target.services, r, NULL,
                       "backend \"%s\" cannot be used as a disk of blocks of %u bytes", peer->id,
                       disk->target.unit.block_size);
    }
    disk->attached = 1;
    return 0;
}

static void
scsi_disk_detach(void *self, uint32_t slot, uint32_t use)
{
    struct scsi_disk *disk = self;

    if (disk->attached) {
        bp_scsi_target_detach(&disk->target);
        disk->attached = 0;
    }
}

static void
scsi_disk_reset(void *self, uint32_t kind)
{
    struct scsi_disk *disk = self;

    /* 29h: power on, or reset of the bus */
    bp_scsi_target_reset(&disk->target, kind == BP_RESET_POWER_ON ? 0x2901 : 0x2902);
}

static const struct bp_life_ops scsi_disk_life = {
    .size = sizeof(scsi_disk_life),
    .reset = scsi_disk_reset,
    .attach = scsi_disk_attach,
    .detach = scsi_disk_detach,
};

/* --- state: the adapter's commands have ended before ---------------------------------------------
 */

static int32_t
scsi_disk_save(void *self, const struct bp_state_sink *sink)
{
    struct scsi_disk *disk = self;

    return bp_scsi_unit_save(&disk->target.unit, sink, TAG_UNIT);
}

/* Checks the record of the unit, or takes it over. */
static int32_t
read_state(struct scsi_disk *disk, const void *data, uint64_t length, uint32_t apply)
{
    struct bp_state_reader reader;
    struct bp_state_record record;
    uint32_t found = 0;
    int32_t r;

    bp_state_reader_init(&reader, data, length);
    while ((r = bp_state_next(&reader, &record)) == 1) {
        int32_t bad = 0;

        if (record.tag == TAG_UNIT) {
            found++;
            bad = apply ? bp_scsi_unit_restore(&disk->target.unit, record.data, record.length)
                        : bp_scsi_unit_check(&disk->target.unit, record.data, record.length);
        } else if (record.tag & BP_STATE_MUST) {
            bad = -EPROTO;
        }
        if (bad != 0) {
            return bad;
        }
    }
    return r == 0 && found != 1 ? -EINVAL : r;
}

static int32_t
scsi_disk_validate(void *self, uint32_t version, const void *data, uint64_t length)
{
    return read_state(self, data, length, 0);
}

static int32_t
scsi_disk_restore(void *self, uint32_t version, const void *data, uint64_t length)
{
    return read_state(self, data, length, 1);
}

static const struct bp_state_ops scsi_disk_state = {
    .size = sizeof(scsi_disk_state),
    .save = scsi_disk_save,
    .validate = scsi_disk_validate,
    .restore = scsi_disk_restore,
};

/* --- the class ---------------------------------------------------------------------------------
 */

static const void *
scsi_disk_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_SCSI_ID)    ? (const void *)&bp_scsi_target_ops
           : bp_same_id(interface_id, BP_LIFE_ID)  ? (const void *)&scsi_disk_life
           : bp_same_id(interface_id, BP_STATE_ID) ? (const void *)&scsi_disk_state
                                                   : NULL;
}

static int32_t
read_options(struct scsi_disk *disk, const struct bp_create *args,
             struct bp_scsi_identity *identity)
{
    const struct bp_services *services = &disk->target.services;
    const struct bp_node *options = args->config;

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
    return bp_scsi_target_identity(services, options, args->id, identity);
}

static void
scsi_disk_destroy(void *self)
{
    struct scsi_disk *disk = self;

    if (disk != NULL) {
        bp_scsi_target_done(&disk->target);
        free(disk);
    }
}

static int32_t
scsi_disk_create(const struct bp_create *args, void **self)
{
    struct scsi_disk *disk = calloc(1, sizeof(*disk));
    struct bp_scsi_identity identity = {.type = BP_SCSI_TYPE_DISK};
    int32_t r;

    if (disk == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&disk->target.services, args->host, args->instance);
    r = read_options(disk, args, &identity);
    if (r == 0) {
        r = bp_scsi_target_init(&disk->target, &identity);
    }
    if (r != 0) {
        scsi_disk_destroy(disk);
        return r;
    }
    *self = disk;
    return 0;
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
    {.name = "removable", .type = BP_PROP_BOOL, .def = "false", .help = "the medium is removable"},
    {.name = NULL},
};

static const struct bp_slot scsi_disk_slots[] = {
    {.name = "backend", .interface_id = BP_BLOCK_ID, .min = 1, .max = 1},
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
    .destroy = scsi_disk_destroy,
    .query = scsi_disk_query,
};

static const struct bp_class *const scsi_disk_classes[] = {&scsi_disk_class, NULL};

BP_PLUGIN_NOTE(.id = "scsi-disk", .version = PLUGIN_VERSION,
               .classes = {{"scsi-disk", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 1, 1, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_MEMORY_ID, struct bp_memory_host),
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
