/* SPDX-License-Identifier: Apache-2.0 */
/* What PERSISTENT RESERVE OUT does to the state (SPC-4 5.12.5 to 5.12.11, 6.16). */
#include "reserve.h"

#include "engine.h"

#include <errno.h>
#include <string.h>

/* --- registrants -------------------------------------------------------------------------------
 */

uint32_t
reserve_find(const struct bp_scsi_reservations *state, const struct reserve_actor *actor)
{
    for (uint32_t i = 0; i < state->count; i++) {
        const struct bp_scsi_registrant *at = &state->registrants[i];

        if (at->id_length == actor->id_length && memcmp(at->id, actor->id, at->id_length) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

uint32_t
reserve_holds(const struct bp_scsi_reservations *state, uint32_t index)
{
    return state->type != RESERVE_NONE && index < state->count &&
           (reserve_of_all(state->type) || state->holder == index);
}

/* Takes a registration off the list. Whether it held the reservation is the caller's business. */
static void
drop(struct bp_scsi_reservations *state, uint32_t index)
{
    state->count--;
    for (uint32_t i = index; i < state->count; i++) {
        state->registrants[i] = state->registrants[i + 1];
    }
    memset(&state->registrants[state->count], 0, sizeof(state->registrants[0]));
    state->holder -= state->holder > index;
}

/* Ends the reservation. Others hear of it if registrants have shared it (SPC-4 5.12.11.1.2). */
static void
end_reservation(struct bp_scsi_reservations *state)
{
    if (state->type != RESERVE_WRITE && state->type != RESERVE_ALL) {
        state->released = state->sequence;
    }
    state->type = RESERVE_NONE;
    state->holder = 0;
}

/* An initiator's own wish, SPC-4 5.12.11.3. */
static void
unregister(struct bp_scsi_reservations *state, uint32_t index)
{
    if (reserve_holds(state, index) && (!reserve_of_all(state->type) || state->count == 1)) {
        end_reservation(state);
    }
    drop(state, index);
}

/* --- how it ends -------------------------------------------------------------------------------
 */

static void
conflict(struct reserve_outcome *outcome)
{
    outcome->status = BP_SCSI_RESERVATION_CONFLICT;
}

static void
refuse(struct reserve_outcome *outcome, uint16_t code, uint16_t field, uint8_t in_cdb)
{
    *outcome = (struct reserve_outcome){.status = BP_SCSI_CHECK_CONDITION,
                                        .key = BP_SCSI_ILLEGAL_REQUEST,
                                        .code = code,
                                        .field = field,
                                        .in_cdb = in_cdb};
}

/* --- service actions ---------------------------------------------------------------------------
 */

struct request {
    struct bp_scsi_reservations *state;
    const struct reserve_actor *actor;
    struct reserve_outcome *outcome;
    const uint8_t *list;
    uint64_t key;    /* the initiator's, as it says */
    uint64_t action; /* service action reservation key */
    uint32_t own;    /* index of its registration, UINT32_MAX */
    uint32_t scope;
    uint32_t type;
};

/* Adds a registration. Returns its index, or UINT32_MAX: there is no room. */
static uint32_t
add(struct request *r, const struct reserve_actor *who, uint64_t key, uint32_t flags)
{
    struct bp_scsi_reservations *state = r->state;
    struct bp_scsi_registrant *to = &state->registrants[state->count];

    if (state->count == BP_SCSI_REGISTRANTS) {
        refuse(r->outcome, 0x5504, 0, 0); /* insufficient registration resources */
        return UINT32_MAX;
    }
    *to = (struct bp_scsi_registrant){.key = key, .flags = flags, .id_length = who->id_length};
    memcpy(to->id, who->id, who->id_length);
    return state->count++;
}

static void
do_register(struct request *r, uint32_t ignore)
{
    struct bp_scsi_reservations *state = r->state;
    uint32_t flags = r->list[20] & 4 ? RESERVE_ALL_PORTS : 0;
    uint64_t known = r->own != UINT32_MAX ? state->registrants[r->own].key : 0;

    if (!ignore && r->key != known) {
        conflict(r->outcome);
        return;
    }
    if (r->own == UINT32_MAX && r->action == 0) {
        return;
    }
    if (r->action == 0) {
        unregister(state, r->own);
    } else if (r->own != UINT32_MAX) {
        state->registrants[r->own].key = r->action;
        state->registrants[r->own].flags = flags;
    } else if (add(r, r->actor, r->action, flags) == UINT32_MAX) {
        return;
    }
    state->aptpl = r->list[20] & 1;
    state->generation++;
    r->outcome->changed = 1;
}

/* Scope and type as the CDB has them. */
static uint32_t
bad_type(struct request *r)
{
    static const uint16_t types = 1u << RESERVE_WRITE | 1u << RESERVE_ALL | 1u << RESERVE_WRITE_RO |
                                  1u << RESERVE_ALL_RO | 1u << RESERVE_WRITE_AR |
                                  1u << RESERVE_ALL_AR;

    if (r->scope == 0 && (types >> r->type & 1)) {
        return 0;
    }
    refuse(r->outcome, 0x2400, 2, 1);
    return 1;
}

static void
do_reserve(struct request *r)
{
    struct bp_scsi_reservations *state = r->state;

    if (bad_type(r)) {
        return;
    }
    if (state->type == RESERVE_NONE) {
        state->type = r->type;
        state->holder = r->own;
        r->outcome->changed = 1;
    } else if (!reserve_holds(state, r->own) || state->type != r->type) {
        conflict(r->outcome);
    }
}

static void
do_release(struct request *r)
{
    struct bp_scsi_reservations *state = r->state;

    if (!reserve_holds(state, r->own)) {
        return;
    }
    if (state->type != r->type || r->scope != 0) {
        refuse(r->outcome, 0x2604, 0, 0); /* invalid release of persistent reservation */
        return;
    }
    end_reservation(state);
    r->outcome->changed = 1;
}

static void
do_clear(struct request *r)
{
    struct bp_scsi_reservations *state = r->state;

    memset(state->registrants, 0, sizeof(state->registrants));
    state->count = 0;
    state->type = RESERVE_NONE;
    state->holder = 0;
    state->cleared = state->sequence;
    state->generation++;
    r->outcome->changed = 1;
}

/* Removes others' registrations with this key, or all of them. Returns how many. */
static uint32_t
remove_others(struct request *r, uint32_t all)
{
    struct bp_scsi_reservations *state = r->state;
    uint32_t removed = 0;

    for (uint32_t i = state->count; i-- > 0;) {
        if (i != r->own && (all || state->registrants[i].key == r->action)) {
            drop(state, i);
            r->own -= r->own > i;
            removed++;
        }
    }
    return removed;
}

/* SPC-4 5.12.11.2, table 61. */
static void
do_preempt(struct request *r)
{
    struct bp_scsi_reservations *state = r->state;
    uint32_t all = reserve_of_all(state->type);
    uint32_t whole = all && r->action == 0;
    uint32_t before = state->type;

    if (r->action == 0 && !all) {
        refuse(r->outcome, 0x2600, 8, 0);
        return;
    }
    if (whole ||
        (before != RESERVE_NONE && !all && state->registrants[state->holder].key == r->action)) {
        if (bad_type(r)) {
            return;
        }
        (void)remove_others(r, whole);
        if (before != r->type) {
            state->released = state->sequence;
        }
        state->type = r->type;
        state->holder = r->own;
    } else if (remove_others(r, 0) == 0) {
        conflict(r->outcome);
        return;
    }
    state->generation++;
    r->outcome->changed = 1;
}

/* The TransportID behind a list of REGISTER AND MOVE. */
static uint32_t
bad_destination(struct request *r, struct reserve_actor *to)
{
    uint32_t length = get_be(r->list + 20, 4);
    const uint8_t *id = r->list + RESERVE_LIST_BYTES;
    uint32_t iscsi = (id[0] & 0x0f) == 0x05;

    if (get_be(r->list + 18, 2) != 1) { /* there is one port */
        refuse(r->outcome, 0x2600, 18, 0);
        return 1;
    }
    if (length < 24 || length > sizeof(to->id) || length % 4 != 0 ||
        (iscsi ? get_be(id + 2, 2) + 4 != length : length != 24)) {
        refuse(r->outcome, 0x2600, 20, 0);
        return 1;
    }
    to->id_length = length;
    memcpy(to->id, id, length);
    if (to->id_length == r->actor->id_length && memcmp(to->id, r->actor->id, length) == 0) {
        refuse(r->outcome, 0x2600, 24, 0);
        return 1;
    }
    return 0;
}

static void
do_move(struct request *r)
{
    struct bp_scsi_reservations *state = r->state;
    struct reserve_actor to = {0};
    uint32_t index;

    if (reserve_of_all(state->type) || !reserve_holds(state, r->own)) {
        conflict(r->outcome);
        return;
    }
    if (r->action == 0) {
        refuse(r->outcome, 0x2600, 8, 0);
        return;
    }
    if (bad_destination(r, &to)) {
        return;
    }
    index = reserve_find(state, &to);
    index = index == UINT32_MAX ? add(r, &to, r->action, 0) : index;
    if (index == UINT32_MAX) {
        return;
    }
    state->registrants[index].key = r->action;
    state->holder = index;
    if (r->list[17] & 2) {
        drop(state, r->own); /* UNREG */
    }
    state->aptpl = r->list[17] & 1;
    state->generation++;
    r->outcome->changed = 1;
}

/* --- the command -------------------------------------------------------------------------------
 */

/* What every service action's list must have right. Returns 1 if it has not. */
static uint32_t
bad_list(struct request *r, uint32_t service, uint32_t persistent)
{
    uint32_t flags = service == RESERVE_REGISTER_MOVE ? 17 : 20;

    if (service != RESERVE_REGISTER_MOVE && (r->list[20] & 0x08)) {
        refuse(r->outcome, 0x2600, 20, 0); /* SPEC_I_PT: see REPORT CAPABILITIES */
        return 1;
    }
    if ((r->list[flags] & 1) && !persistent &&
        (service == RESERVE_REGISTER || service == RESERVE_REGISTER_IGNORE ||
         service == RESERVE_REGISTER_MOVE)) {
        refuse(r->outcome, 0x2600, (uint16_t)flags, 0); /* APTPL */
        return 1;
    }
    return 0;
}

static void
perform(struct request *r, uint32_t service)
{
    if (service == RESERVE_REGISTER || service == RESERVE_REGISTER_IGNORE) {
        do_register(r, service == RESERVE_REGISTER_IGNORE);
        return;
    }
    /* all the others are for who is registered, and knows its key */
    if (r->own == UINT32_MAX || r->state->registrants[r->own].key != r->key) {
        conflict(r->outcome);
        return;
    }
    switch (service) {
    case RESERVE_RESERVE:
        do_reserve(r);
        break;
    case RESERVE_RELEASE:
        do_release(r);
        break;
    case RESERVE_CLEAR:
        do_clear(r);
        break;
    case RESERVE_PREEMPT:
    case RESERVE_PREEMPT_ABORT:
        do_preempt(r);
        break;
    default:
        do_move(r);
        break;
    }
}

void
reserve_out(struct bp_scsi_reservations *state, const struct reserve_actor *actor,
            const uint8_t *cdb, const uint8_t *list, uint32_t persistent,
            struct reserve_outcome *ret_outcome)
{
    struct request r = {
        .state = state,
        .actor = actor,
        .outcome = ret_outcome,
        .list = list,
        .key = get_be64(list),
        .action = get_be64(list + 8),
        .own = reserve_find(state, actor),
        .scope = cdb[2] >> 4,
        .type = cdb[2] & 15,
    };

    *ret_outcome = (struct reserve_outcome){.status = BP_SCSI_GOOD};
    if (bad_list(&r, cdb[1] & 0x1f, persistent)) {
        return;
    }
    state->sequence++;
    perform(&r, cdb[1] & 0x1f);
    if (!ret_outcome->changed) {
        state->sequence--;
    }
}

/* --- as bytes ----------------------------------------------------------------------------------
 * All little endian: 0 "BPRESERV", 8 version, 12 CRC-32 of bytes 16 to the end, 16 sequence,
 * 24 generation, 28 APTPL, 32 type, 36 holder, 40 cleared, 48 released, 56 count, 60 zero; from 64
 * on registrants of 80 bytes: 0 key, 8 flags, 12 length of the TransportID, 16 TransportID. */

#define VERSION 1u
#define HEADER  64u
#define ENTRY   80u

static const char magic[8] = {'B', 'P', 'R', 'E', 'S', 'E', 'R', 'V'};

/* CRC-32 of IEEE 802.3. */
static uint32_t
checksum(const uint8_t *data, uint32_t length)
{
    uint32_t crc = UINT32_MAX;

    for (uint32_t i = 0; i < length; i++) {
        crc ^= data[i];
        for (uint32_t bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
    }
    return ~crc;
}

void
reserve_encode(const struct bp_scsi_reservations *state, uint8_t *image)
{
    memset(image, 0, RESERVE_IMAGE_BYTES);
    memcpy(image, magic, sizeof(magic));
    bp_store_le(image + 8, 4, VERSION);
    bp_store_le(image + 16, 8, state->sequence);
    bp_store_le(image + 24, 4, state->generation);
    bp_store_le(image + 28, 4, state->aptpl);
    bp_store_le(image + 32, 4, state->type);
    bp_store_le(image + 36, 4, state->holder);
    bp_store_le(image + 40, 8, state->cleared);
    bp_store_le(image + 48, 8, state->released);
    bp_store_le(image + 56, 4, state->count);
    for (uint32_t i = 0; i < state->count; i++) {
        const struct bp_scsi_registrant *from = &state->registrants[i];
        uint8_t *to = image + HEADER + (size_t)i * ENTRY;

        bp_store_le(to, 8, from->key);
        bp_store_le(to + 8, 4, from->flags);
        bp_store_le(to + 12, 4, from->id_length);
        memcpy(to + 16, from->id, from->id_length);
    }
    bp_store_le(image + 12, 4, checksum(image + 16, RESERVE_IMAGE_BYTES - 16));
}

static void
read_header(struct bp_scsi_reservations *state, const uint8_t *image)
{
    *state = (struct bp_scsi_reservations){
        .sequence = bp_load_le(image + 16, 8),
        .generation = (uint32_t)bp_load_le(image + 24, 4),
        .aptpl = (uint32_t)bp_load_le(image + 28, 4) & 1,
        .type = (uint32_t)bp_load_le(image + 32, 4),
        .holder = (uint32_t)bp_load_le(image + 36, 4),
        .cleared = bp_load_le(image + 40, 8),
        .released = bp_load_le(image + 48, 8),
        .count = (uint32_t)bp_load_le(image + 56, 4),
    };
}

int32_t
reserve_decode(struct bp_scsi_reservations *state, const uint8_t *image)
{
    struct bp_scsi_reservations read;

    if (memcmp(image, magic, sizeof(magic)) != 0 || bp_load_le(image + 8, 4) != VERSION ||
        bp_load_le(image + 12, 4) != checksum(image + 16, RESERVE_IMAGE_BYTES - 16)) {
        return -EINVAL;
    }
    read_header(&read, image);
    if (read.count > BP_SCSI_REGISTRANTS || read.type > RESERVE_ALL_AR || read.type == 2 ||
        read.type == 4 || read.sequence == UINT64_MAX ||
        (read.type != RESERVE_NONE && read.holder >= read.count)) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < read.count; i++) {
        struct bp_scsi_registrant *to = &read.registrants[i];
        const uint8_t *from = image + HEADER + (size_t)i * ENTRY;

        to->key = bp_load_le(from, 8);
        to->flags = (uint32_t)bp_load_le(from + 8, 4);
        to->id_length = (uint32_t)bp_load_le(from + 12, 4);
        if (to->id_length > sizeof(to->id) || to->id_length % 4 != 0 || to->id_length < 24 ||
            to->key == 0) {
            return -EINVAL;
        }
        memcpy(to->id, from + 16, to->id_length);
    }
    *state = read;
    return 0;
}
