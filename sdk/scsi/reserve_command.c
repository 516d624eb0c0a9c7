/* SPDX-License-Identifier: Apache-2.0 */
/* PERSISTENT RESERVE IN and OUT, RESERVE and RELEASE as commands (SPC-4 6.15, 6.16, SPC-2 7.17,
 * 7.21); which commands reservations let pass; what initiators are told. */
#include "reserve.h"

#include "engine.h"

#include <string.h>

/* An initiator port without a name gets one that is locally assigned. */
static void
identify(const struct bp_scsi_nexus *nexus, struct reserve_actor *actor)
{
    memset(actor, 0, sizeof(*actor));
    actor->id_length = nexus->transport_id_length;
    memcpy(actor->id, nexus->transport_id, nexus->transport_id_length);
    if (actor->id_length == 0) {
        actor->id_length = 24;
        actor->id[0] = 0x06; /* SAS: NAA 3 */
        put_be(actor->id + 4, 8, UINT64_C(3) << 60 | (nexus->initiator & (UINT64_MAX >> 4)));
    }
}

static uint32_t
find_nexus(const struct bp_scsi_reservations *state, const struct bp_scsi_nexus *nexus)
{
    struct reserve_actor actor;

    identify(nexus, &actor);
    return reserve_find(state, &actor);
}

/* --- conflicts (SPC-4 table 52, SBC-3 table 13; SPC-2 table 9 for RESERVE) ---------------------
 */

/* Spinning up and allowing removal harm nobody. */
static uint32_t
is_harmless(const uint8_t *cdb)
{
    return (cdb[0] == 0x1b && cdb[4] == 0x01) || (cdb[0] == 0x1e && (cdb[4] & 3) == 0);
}

static uint32_t
is_reading(const struct bp_scsi_reservations *state)
{
    return state->type == RESERVE_WRITE || state->type == RESERVE_WRITE_RO ||
           state->type == RESERVE_WRITE_AR;
}

uint32_t
scsi_reserve_conflicts(const struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    const struct bp_scsi_reservations *state = &unit->reservations;
    uint32_t flags = task->command->flags;
    uint32_t own;

    if ((flags & CMD_CONFLICT) || is_harmless(task->cdb)) {
        return 0;
    }
    if (unit->reserved_by != NULL) { /* excludes persistent ones */
        return unit->reserved_by != task->nexus;
    }
    if (state->type == RESERVE_NONE || (flags & CMD_SHARED)) {
        return 0;
    }
    own = find_nexus(state, task->nexus);
    if (reserve_holds(state, own) ||
        (own != UINT32_MAX && state->type != RESERVE_WRITE && state->type != RESERVE_ALL)) {
        return 0;
    }
    return !((flags & CMD_READS) && is_reading(state));
}

/* --- what initiators are told ------------------------------------------------------------------
 */

void
scsi_reserve_replace(struct bp_scsi_unit *unit, const struct bp_scsi_reservations *to,
                     const struct bp_scsi_nexus *by, uint32_t abort)
{
    const struct bp_scsi_reservations from = unit->reservations;

    unit->reservations = *to;
    for (struct bp_scsi_nexus *nexus = unit->nexuses; nexus != NULL; nexus = nexus->next) {
        uint32_t was = find_nexus(&from, nexus) != UINT32_MAX;
        uint32_t is = find_nexus(to, nexus) != UINT32_MAX;

        if (nexus == by || !was) {
            continue;
        }
        if (!is) {
            /* reservations, or registrations, preempted */
            bp_scsi_nexus_attention(nexus, to->cleared > from.sequence ? 0x2a03 : 0x2a05);
        } else if (to->released > from.sequence) {
            bp_scsi_nexus_attention(nexus, 0x2a04); /* reservations released */
        }
        if (!is && abort && unit->port->preempted != NULL) {
            unit->port->preempted(unit->opaque, nexus);
        }
    }
}

/* --- PERSISTENT RESERVE IN ---------------------------------------------------------------------
 */

static void
page_in(struct bp_scsi_task *task, uint32_t length)
{
    task_page_in(task, length, get_be(task->cdb + 7, 2));
}

void
scsi_reserve_keys(struct bp_scsi_task *task)
{
    const struct bp_scsi_reservations *state = &task_unit(task)->reservations;
    uint32_t at = 8;

    for (uint32_t i = 0; i < state->count; i++, at += 8) {
        put_be(task->page + at, 8, state->registrants[i].key);
    }
    put_be(task->page, 4, state->generation);
    put_be(task->page + 4, 4, at - 8);
    page_in(task, at);
}

void
scsi_reserve_reservation(struct bp_scsi_task *task)
{
    const struct bp_scsi_reservations *state = &task_unit(task)->reservations;
    uint32_t length = state->type != RESERVE_NONE ? 24 : 8;

    memset(task->page, 0, 24);
    put_be(task->page, 4, state->generation);
    put_be(task->page + 4, 4, length - 8);
    if (length > 8) {
        put_be(task->page + 8, 8,
               reserve_of_all(state->type) ? 0 : state->registrants[state->holder].key);
        task->page[21] = (uint8_t)state->type;
    }
    page_in(task, length);
}

void
scsi_reserve_capabilities(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint32_t persistent = unit->identity.shared;
    uint8_t *page = task->page;

    memset(page, 0, 8);
    put_be(page, 2, 8);
    /* CRH where there is RESERVE, ATP_C; no SPEC_I_PT: who wants to share registers itself */
    page[2] = (uint8_t)(0x04 | (persistent ? 0x01 : 0x10));
    page[3] = (uint8_t)(0x80 | (persistent && unit->reservations.aptpl)); /* TMV, PTPL_A */
    page[4] = 0xea;                                                       /* all types */
    page[5] = 0x01;
    page_in(task, 8);
}

void
scsi_reserve_status(struct bp_scsi_task *task)
{
    const struct bp_scsi_reservations *state = &task_unit(task)->reservations;
    uint32_t at = 8;

    for (uint32_t i = 0; i < state->count; i++) {
        const struct bp_scsi_registrant *from = &state->registrants[i];
        uint8_t *to = task->page + at;

        memset(to, 0, 24);
        put_be(to, 8, from->key);
        to[12] = from->flags & RESERVE_ALL_PORTS ? 0x02 : 0;
        if (reserve_holds(state, i)) {
            to[12] |= 0x01; /* R_HOLDER */
            to[13] = (uint8_t)state->type;
        }
        put_be(to + 18, 2, from->flags & RESERVE_ALL_PORTS ? 0 : 1);
        put_be(to + 20, 4, from->id_length);
        memcpy(to + 24, from->id, from->id_length);
        at += 24 + from->id_length;
    }
    put_be(task->page, 4, state->generation);
    put_be(task->page + 4, 4, at - 8);
    page_in(task, at);
}

/* --- PERSISTENT RESERVE OUT --------------------------------------------------------------------
 */

void
scsi_reserve_out(struct bp_scsi_task *task)
{
    uint32_t length = get_be(task->cdb + 5, 4);
    uint32_t move = (task->cdb[1] & 0x1f) == RESERVE_REGISTER_MOVE;

    if (task_unit(task)->reserved_by != NULL) {
        task_status(task, BP_SCSI_RESERVATION_CONFLICT);
    } else if (move ? length < RESERVE_LIST_BYTES ||
                          length > RESERVE_LIST_BYTES + BP_SCSI_TRANSPORT_ID_BYTES
                    : length != RESERVE_LIST_BYTES) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x1a00);
    } else {
        task_page_out(task, length);
    }
}

void
scsi_reserve_prepare(const struct bp_scsi_task *task, struct reserve_actor *actor, uint8_t *list)
{
    identify(task->nexus, actor);
    memset(list, 0, RESERVE_LIST_BYTES + BP_SCSI_TRANSPORT_ID_BYTES);
    memcpy(list, task->page, task->length);
}

void
scsi_reserve_end(struct bp_scsi_task *task, const struct bp_scsi_reservations *state,
                 const struct reserve_outcome *outcome)
{
    uint32_t abort = (task->cdb[1] & 0x1f) == RESERVE_PREEMPT_ABORT;

    if (outcome->changed) {
        scsi_reserve_replace(task_unit(task), state, task->nexus, abort);
    }
    if (outcome->status != BP_SCSI_CHECK_CONDITION) {
        task_status(task, outcome->status);
    } else if (outcome->field == 0) {
        task_fail(task, outcome->key, outcome->code);
    } else if (outcome->in_cdb) {
        task_fail_cdb(task, outcome->field, 8);
    } else {
        task_fail_list(task, outcome->field, 8);
    }
}

void
scsi_reserve_out_advance(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    struct bp_scsi_reservations state = unit->reservations;
    uint8_t list[RESERVE_LIST_BYTES + BP_SCSI_TRANSPORT_ID_BYTES];
    struct reserve_outcome outcome;
    struct reserve_actor actor;

    scsi_reserve_prepare(task, &actor, list);
    if ((task->cdb[1] & 0x1f) == RESERVE_REGISTER_MOVE &&
        task->length != RESERVE_LIST_BYTES + get_be(list + 20, 4)) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x1a00);
    } else if (unit->port->reserve != NULL) {
        unit->port->reserve(unit->opaque, task); /* others have a say, too */
    } else {
        reserve_out(&state, &actor, task->cdb, list, 0, &outcome);
        scsi_reserve_end(task, &state, &outcome);
    }
}

/* --- RESERVE, RELEASE --------------------------------------------------------------------------
 */

/* Returns 1 if persistent reservations decide (CRH, SPC-4 5.12.3); the task has ended. */
static uint32_t
is_persistent(struct bp_scsi_task *task)
{
    const struct bp_scsi_reservations *state = &task_unit(task)->reservations;
    uint32_t own = find_nexus(state, task->nexus);

    if (task_unit(task)->identity.shared) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x2000); /* other machines would not know */
        return 1;
    }
    if (state->count == 0) {
        return 0;
    }
    if (reserve_holds(state, own) ||
        (own != UINT32_MAX && (state->type == RESERVE_WRITE_RO || state->type == RESERVE_ALL_RO))) {
        task_good(task);
    } else {
        task_status(task, BP_SCSI_RESERVATION_CONFLICT);
    }
    return 1;
}

void
scsi_reserve(struct bp_scsi_task *task)
{
    if (!is_persistent(task)) {
        task_unit(task)->reserved_by = task->nexus; /* another's was refused before */
        task_good(task);
    }
}

void
scsi_release(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);

    if (!is_persistent(task)) {
        unit->reserved_by = unit->reserved_by == task->nexus ? NULL : unit->reserved_by;
        task_good(task);
    }
}
