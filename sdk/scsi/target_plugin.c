/* SPDX-License-Identifier: Apache-2.0 */
/* What every plugin whose instances are targets does alike: creation, life, state. */
#include "target.h"

#include <backplane/sdk/state.h>

#include <stdio.h>
#include <stdlib.h>

#define TAG_UNIT 1u

/* --- life --------------------------------------------------------------------------------------
 */

static int32_t
target_attach(void *self, uint32_t slot, uint32_t use, const struct bp_peer *peer)
{
    struct bp_scsi_target *target = self;
    int32_t r = bp_scsi_target_attach(target, peer);

    if (r != 0) {
        return bp_fail(&target->services, r, NULL,
                       "backend \"%s\" cannot be used as a %s of blocks of %u bytes", peer->id,
                       target->unit.identity.type == BP_SCSI_TYPE_CDROM ? "CD" : "disk",
                       target->unit.block_size);
    }
    target->attached = 1;
    return 0;
}

static void
target_detach(void *self, uint32_t slot, uint32_t use)
{
    struct bp_scsi_target *target = self;

    if (target->attached) {
        bp_scsi_target_detach(target);
        target->attached = 0;
    }
}

static void
target_reset(void *self, uint32_t kind)
{
    /* 29h: power on, or reset of the bus */
    bp_scsi_target_reset(self, kind == BP_RESET_POWER_ON ? 0x2901 : 0x2902);
}

static const struct bp_life_ops target_life = {
    .size = sizeof(target_life),
    .start = target_retry,
    .quiesce = target_quiesce,
    .resume = target_resume,
    .reset = target_reset,
    .attach = target_attach,
    .detach = target_detach,
};

/* --- state: the adapter's commands have ended before ---------------------------------------------
 */

static int32_t
target_save(void *self, const struct bp_state_sink *sink)
{
    struct bp_scsi_target *target = self;

    return bp_scsi_unit_save(&target->unit, sink, TAG_UNIT);
}

/* Checks the record of the unit, or takes it over. */
static int32_t
read_state(struct bp_scsi_target *target, const void *data, uint64_t length, uint32_t apply)
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
            bad = apply ? bp_scsi_unit_restore(&target->unit, record.data, record.length)
                        : bp_scsi_unit_check(&target->unit, record.data, record.length);
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
target_validate(void *self, uint32_t version, const void *data, uint64_t length)
{
    return read_state(self, data, length, 0);
}

static int32_t
target_restore(void *self, uint32_t version, const void *data, uint64_t length)
{
    return read_state(self, data, length, 1);
}

static const struct bp_state_ops target_state = {
    .size = sizeof(target_state),
    .save = target_save,
    .validate = target_validate,
    .restore = target_restore,
};

/* --- the class ---------------------------------------------------------------------------------
 */

const void *
bp_scsi_target_query(void *self, const char *interface_id)
{
    const struct bp_scsi_target *target = self;

    if (bp_same_id(interface_id, BP_MEDIA_ID)) {
        return target->unit.identity.type == BP_SCSI_TYPE_CDROM ? &target_media_ops : NULL;
    }
    return bp_same_id(interface_id, BP_SCSI_ID)    ? (const void *)&bp_scsi_target_ops
           : bp_same_id(interface_id, BP_LIFE_ID)  ? (const void *)&target_life
           : bp_same_id(interface_id, BP_STATE_ID) ? (const void *)&target_state
                                                   : NULL;
}

int32_t
bp_scsi_target_create(const struct bp_create *args, struct bp_scsi_identity *identity,
                      bp_scsi_target_options *read_options, void **self)
{
    struct bp_scsi_target *target = calloc(1, sizeof(*target));
    const char *shared;
    int32_t r = 0;

    if (target == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&target->services, args->host, args->instance);
    shared = bp_option_str(&target->services, args->config, "reservations", NULL);
    identity->shared = shared != NULL;
    (void)snprintf(target->id, sizeof(target->id), "%s", args->id);
    target->on_error = bp_on_error_options(&target->services, args->config);
    if (read_options != NULL) {
        r = read_options(&target->services, args->config, identity);
    }
    if (r == 0) {
        r = bp_scsi_target_identity(&target->services, args->config, args->id, identity);
    }
    if (r == 0) {
        r = bp_scsi_target_init(target, identity);
    }
    if (r == 0 && shared != NULL) {
        r = target_gate_open(target, shared);
    }
    if (r != 0) {
        bp_scsi_target_destroy(target);
        return r;
    }
    *self = target;
    return 0;
}

void
bp_scsi_target_destroy(void *self)
{
    if (self != NULL) {
        bp_scsi_target_done(self);
        free(self);
    }
}
