/* SPDX-License-Identifier: Apache-2.0 */
/* Units, their initiators, and the medium: tray, lock, and what is told of a change.
 *
 * An initiator learns of another medium in two steps, as from a real drive: NOT READY, medium not
 * present, and then UNIT ATTENTION 28h. Whoever did not ask while there was none is told so
 * afterwards (nexus->change). */
#include "mmc.h"

#include <string.h>

#define CHANGE_SEEN 1u /* was told that there is no medium */
#define CHANGE_OWED 2u /* must be told so, although there is one again */

static uint32_t
is_cd(const struct bp_scsi_unit *unit)
{
    return unit->identity.type == BP_SCSI_TYPE_CDROM;
}

void
bp_scsi_unit_init(struct bp_scsi_unit *unit, const struct bp_scsi_unit_args *args)
{
    memset(unit, 0, sizeof(*unit));
    unit->identity = args->identity;
    unit->services = args->services;
    unit->port = args->port;
    unit->opaque = args->opaque;
    unit->arena = args->arena;
    unit->block_size = args->identity.block_size != 0 ? args->identity.block_size : 512;
    if (is_cd(unit)) {
        unit->block_size = 2048;
        unit->identity.flags |= BP_SCSI_REMOVABLE;
    }
    unit->saved_write_cache = 1;
    unit->read_speed = MMC_SPEED_MAX;
    scsi_mode_reset(unit);
}

void
bp_scsi_nexus_init(struct bp_scsi_nexus *nexus, struct bp_scsi_unit *unit, uint32_t flags)
{
    struct bp_scsi_nexus **last = &unit->nexuses;

    memset(nexus, 0, sizeof(*nexus));
    nexus->unit = unit;
    nexus->flags = flags;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = nexus;
}

void
bp_scsi_nexus_done(struct bp_scsi_nexus *nexus)
{
    if (nexus->unit->reserved_by == nexus) {
        nexus->unit->reserved_by = NULL;
    }
    for (struct bp_scsi_nexus **at = &nexus->unit->nexuses; *at != NULL; at = &(*at)->next) {
        if (*at == nexus) {
            *at = nexus->next;
            return;
        }
    }
}

void
bp_scsi_nexus_reset(struct bp_scsi_nexus *nexus)
{
    nexus_forget(nexus, 0);
    nexus->prevented = 0;
}

void
bp_scsi_unit_reset(struct bp_scsi_unit *unit, uint16_t code)
{
    scsi_mode_reset(unit);
    unit->stopped = 0;
    unit->reserved_by = NULL;
    unit->spun_down = 0;
    unit->eject_request = 0;
    unit->media_event = 0;
    unit->operational = 0;
    unit->power_event = 0;
    unit->power_state = 0;
    unit->read_speed = MMC_SPEED_MAX;
    for (struct bp_scsi_nexus *nexus = unit->nexuses; nexus != NULL; nexus = nexus->next) {
        bp_scsi_nexus_reset(nexus);
        nexus_forget(nexus, 1);
        nexus->change = 0;
        if (code != 0) {
            bp_scsi_nexus_attention(nexus, code);
        }
    }
}

/* --- ready -------------------------------------------------------------------------------------
 */

uint32_t
media_ready(const struct bp_scsi_unit *unit)
{
    return unit->present && !unit->tray_open;
}

uint32_t
media_not_ready(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    struct bp_scsi_nexus *nexus = task->nexus;

    if (!media_ready(unit)) {
        nexus->change = CHANGE_SEEN;
        task_fail(task, BP_SCSI_NOT_READY,
                  unit->tray_open ? 0x3a02 : (is_cd(unit) ? 0x3a01 : 0x3a00));
        return 1;
    }
    if (nexus->change == CHANGE_OWED) {
        nexus->change = 0;
        bp_scsi_nexus_attention(nexus, 0x2800);
        task_fail(task, BP_SCSI_NOT_READY, 0x3a00);
        return 1;
    }
    if (unit->stopped) {
        task_fail(task, BP_SCSI_NOT_READY, 0x0402); /* initializing command required */
        return 1;
    }
    unit->spun_down = 0;
    return 0;
}

/* --- change ------------------------------------------------------------------------------------
 */

static void
tell_arrival(struct bp_scsi_nexus *nexus)
{
    const struct bp_scsi_port *port = nexus->unit->port;

    if (nexus->change == CHANGE_SEEN) {
        nexus->change = 0;
        bp_scsi_nexus_attention(nexus, 0x2800);
        return;
    }
    nexus->change = CHANGE_OWED;
    if (port->attention != NULL) {
        port->attention(nexus->unit->opaque, nexus, 0x2800);
    }
}

static void
arrived(struct bp_scsi_unit *unit)
{
    unit->media_event = 2; /* new medium */
    unit->operational = 1; /* another profile */
    unit->spun_down = 0;
    unit->stopped = 0;
    for (struct bp_scsi_nexus *nexus = unit->nexuses; nexus != NULL; nexus = nexus->next) {
        tell_arrival(nexus);
    }
}

/* by: the initiator that did it and knows. */
static void
left(struct bp_scsi_unit *unit, const struct bp_scsi_nexus *by)
{
    unit->media_event = 3; /* medium removal */
    unit->operational = 1;
    unit->eject_request = 0;
    for (struct bp_scsi_nexus *nexus = unit->nexuses; nexus != NULL; nexus = nexus->next) {
        nexus->change = nexus == by ? CHANGE_SEEN : 0;
    }
}

void
media_moved(struct bp_scsi_unit *unit, uint32_t open, struct bp_scsi_nexus *by)
{
    uint32_t before = media_ready(unit);

    if ((open != 0) == (unit->tray_open != 0)) {
        return;
    }
    unit->tray_open = open != 0;
    if (before && !media_ready(unit)) {
        left(unit, by);
    } else if (!before && media_ready(unit)) {
        arrived(unit);
    }
}

/* A disk grew or shrank, or its medium is another one. */
static void
compare(struct bp_scsi_unit *unit, uint64_t blocks, uint64_t generation, uint32_t medium)
{
    if ((medium && unit->generation != generation) || (unit->blocks != blocks && is_cd(unit))) {
        left(unit, NULL);
        arrived(unit);
    } else if (unit->blocks != blocks) {
        bp_scsi_unit_attention(unit, NULL, 0x2a09); /* capacity data has changed */
    }
}

void
media_look(struct bp_scsi_unit *unit, uint32_t medium)
{
    uint64_t blocks = unit->blocks;
    uint64_t generation = unit->generation;
    uint32_t before = media_ready(unit);

    if (unit->ops == NULL || io_learn(unit) != 0) {
        unit->present = 0;
        unit->blocks = 0;
    }
    if (before && media_ready(unit)) {
        compare(unit, blocks, generation, medium);
    } else if (before) {
        left(unit, NULL);
    } else if (media_ready(unit)) {
        arrived(unit);
    }
}

/* A fixed disk is the same one, whatever holds it: its guest hears nothing but another capacity. */
static uint32_t
is_fixed(const struct bp_scsi_unit *unit)
{
    return !is_cd(unit) && !(unit->identity.flags & BP_SCSI_REMOVABLE);
}

void
media_came(struct bp_scsi_unit *unit, uint64_t blocks)
{
    if (!is_fixed(unit)) {
        unit->present = 0;
        media_look(unit, 1);
    } else if (blocks != 0 && unit->blocks != blocks) {
        bp_scsi_unit_attention(unit, NULL, 0x2a09); /* capacity data has changed */
    }
}

void
media_went(struct bp_scsi_unit *unit)
{
    if (is_fixed(unit)) {
        unit->present = 0; /* how large it was is compared with what comes */
    } else {
        media_look(unit, 1);
    }
}

/* --- the operator ------------------------------------------------------------------------------
 */

uint32_t
bp_scsi_unit_locked(const struct bp_scsi_unit *unit)
{
    for (const struct bp_scsi_nexus *nexus = unit->nexuses; nexus != NULL; nexus = nexus->next) {
        if (nexus->prevented != 0) {
            return 1;
        }
    }
    return 0;
}

void
bp_scsi_unit_request_eject(struct bp_scsi_unit *unit)
{
    unit->eject_request = 1;
}

int32_t
bp_scsi_unit_set_tray(struct bp_scsi_unit *unit, uint32_t open, uint32_t force)
{
    if (open && bp_scsi_unit_locked(unit) && !force) {
        unit->eject_request = 1;
        return -EBUSY;
    }
    media_moved(unit, open, NULL);
    return 0;
}
