/* SPDX-License-Identifier: Apache-2.0 */
/* scsi-cd: a SCSI CD/DVD drive (MMC-6) over any block backend.
 * The unit and its commands are the SCSI engine's (sdk/scsi).
 *
 * Threads: PARALLEL; the target's lock is around the unit. */
#include <backplane/sdk/scsi_target.h>
#include <backplane/sdk/sdk.h>

#include <stdlib.h>

#define PLUGIN_VERSION "1.0"
#define TAG_UNIT       1u

struct scsi_cd {
    struct bp_scsi_target target; /* first member: the table's self */
    uint32_t attached;
};

/* --- life --------------------------------------------------------------------------------------
 */

static int32_t
scsi_cd_attach(void *self, uint32_t slot, uint32_t use, const struct bp_peer *peer)
{
    struct scsi_cd *cd = self;
    int32_t r = bp_scsi_target_attach(&cd->target, peer);

    if (r != 0) {
        return bp_fail(&cd->target.services, r, NULL,
                       "backend \"%s\" cannot be used as a CD of blocks of %u bytes", peer->id,
                       cd->target.unit.block_size);
    }
    cd->attached = 1;
    return 0;
}

static void
scsi_cd_detach(void *self, uint32_t slot, uint32_t use)
{
    struct scsi_cd *cd = self;

    if (cd->attached) {
        bp_scsi_target_detach(&cd->target);
        cd->attached = 0;
    }
}

static void
scsi_cd_reset(void *self, uint32_t kind)
{
    struct scsi_cd *cd = self;

    /* 29h: power on, or reset of the bus */
    bp_scsi_target_reset(&cd->target, kind == BP_RESET_POWER_ON ? 0x2901 : 0x2902);
}

static const struct bp_life_ops scsi_cd_life = {
    .size = sizeof(scsi_cd_life),
    .reset = scsi_cd_reset,
    .attach = scsi_cd_attach,
    .detach = scsi_cd_detach,
};

/* --- state: the adapter's commands have ended before ---------------------------------------------
 */

static int32_t
scsi_cd_save(void *self, const struct bp_state_sink *sink)
{
    struct scsi_cd *cd = self;

    return bp_scsi_unit_save(&cd->target.unit, sink, TAG_UNIT);
}

/* Checks the record of the unit, or takes it over. */
static int32_t
read_state(struct scsi_cd *cd, const void *data, uint64_t length, uint32_t apply)
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
            bad = apply ? bp_scsi_unit_restore(&cd->target.unit, record.data, record.length)
                        : bp_scsi_unit_check(&cd->target.unit, record.data, record.length);
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
scsi_cd_validate(void *self, uint32_t version, const void *data, uint64_t length)
{
    return read_state(self, data, length, 0);
}

static int32_t
scsi_cd_restore(void *self, uint32_t version, const void *data, uint64_t length)
{
    return read_state(self, data, length, 1);
}

static const struct bp_state_ops scsi_cd_state = {
    .size = sizeof(scsi_cd_state),
    .save = scsi_cd_save,
    .validate = scsi_cd_validate,
    .restore = scsi_cd_restore,
};

/* --- the class ---------------------------------------------------------------------------------
 */

static const void *
scsi_cd_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_SCSI_ID)    ? (const void *)&bp_scsi_target_ops
           : bp_same_id(interface_id, BP_LIFE_ID)  ? (const void *)&scsi_cd_life
           : bp_same_id(interface_id, BP_STATE_ID) ? (const void *)&scsi_cd_state
                                                   : NULL;
}

static int32_t
read_options(struct scsi_cd *cd, const struct bp_create *args, struct bp_scsi_identity *identity)
{
    const struct bp_services *services = &cd->target.services;
    const struct bp_node *options = args->config;

    return bp_scsi_target_identity(services, options, args->id, identity);
}

static void
scsi_cd_destroy(void *self)
{
    struct scsi_cd *cd = self;

    if (cd != NULL) {
        bp_scsi_target_done(&cd->target);
        free(cd);
    }
}

static int32_t
scsi_cd_create(const struct bp_create *args, void **self)
{
    struct scsi_cd *cd = calloc(1, sizeof(*cd));
    struct bp_scsi_identity identity = {.type = BP_SCSI_TYPE_CDROM};
    int32_t r;

    if (cd == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&cd->target.services, args->host, args->instance);
    r = read_options(cd, args, &identity);
    if (r == 0) {
        r = bp_scsi_target_init(&cd->target, &identity);
    }
    if (r != 0) {
        scsi_cd_destroy(cd);
        return r;
    }
    *self = cd;
    return 0;
}

static const struct bp_prop scsi_cd_props[] = {
    {.name = "backend",
     .type = BP_PROP_BACKEND,
     .flags = BP_PROP_REQUIRED,
     .help = "the medium: an image of blocks of 2048 bytes"},
    BP_SCSI_TARGET_PROPS("CD-ROM"),
    {.name = NULL},
};

static const struct bp_slot scsi_cd_slots[] = {
    {.name = "backend", .interface_id = BP_BLOCK_ID, .min = 1, .max = 1},
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
    .destroy = scsi_cd_destroy,
    .query = scsi_cd_query,
};

static const struct bp_class *const scsi_cd_classes[] = {&scsi_cd_class, NULL};

BP_PLUGIN_NOTE(.id = "scsi-cd", .version = PLUGIN_VERSION,
               .classes = {{"scsi-cd", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 1, 1, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_MEMORY_ID, struct bp_memory_host),
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
