/* SPDX-License-Identifier: Apache-2.0 */
/* Units, nexuses and tasks as records: one record of the transport's, in which records of the
 * engine's follow each other. Tags: unit 001-0FF, nexus 100-1FF (repeated, in order), task 200-2FF.
 */
#include "engine.h"
#include "reserve.h"

#include <backplane/sdk/state.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TAG_RESERVATIONS 0x019u /* reserve_encode() */
#define TAG_NEXUS        0x100u /* begins a nexus */
#define TAG_RESERVES     0x1ffu
#define TAG_PAGE         0x2ffu

#define U(tag, member, max) BP_STATE_FIELD(tag, struct bp_scsi_unit, member, 0, max)
#define UA(tag, member)     BP_STATE_ARRAY(tag, struct bp_scsi_unit, member, 0)
#define N(tag, member, max) BP_STATE_FIELD(tag, struct bp_scsi_nexus, member, 0, max)
#define NA(tag, member)     BP_STATE_ARRAY(tag, struct bp_scsi_nexus, member, 0)
#define T(tag, member, max) BP_STATE_FIELD(tag, struct bp_scsi_task, member, BP_FIELD_REQUIRED, max)
#define TA(tag, member)     BP_STATE_ARRAY(tag, struct bp_scsi_task, member, BP_FIELD_REQUIRED)

static const struct bp_state_field unit_fields[] = {
    U(0x01, tray_open, 1),
    U(0x02, spun_down, 1),
    U(0x03, eject_request, 1),
    U(0x04, media_event, 4),
    U(0x05, operational, 1),
    U(0x06, power_event, 1),
    U(0x07, power_state, 4),
    U(0x08, read_speed, 0),
    UA(0x09, recovery),
    UA(0x0a, audio),
    UA(0x0b, power),
    U(0x0c, inactivity, 15),
    U(0x10, write_cache, 1),
    U(0x11, saved_write_cache, 1),
    U(0x12, read_cache_off, 1),
    U(0x13, saved_read_cache_off, 1),
    U(0x14, descriptor_sense, 1),
    U(0x15, saved_descriptor_sense, 1),
    U(0x16, software_protect, 1),
    U(0x17, saved_software_protect, 1),
    U(0x18, stopped, 1),
};

static const struct bp_state_field nexus_fields[] = {
    N(0x101, prevented, 3),
    N(0x102, change, 2),
    N(0x103, attention_count, BP_SCSI_ATTENTIONS),
    NA(0x104, attentions),
    N(0x105, kept.key, 15),
    N(0x106, kept.flags, 0),
    N(0x107, kept.code, 0),
    N(0x108, kept.field, 0),
    N(0x109, kept.bit, 7),
    N(0x10a, kept.information, 0),
    N(0x10b, kept_attention, 1),
};

static const struct bp_state_field task_fields[] = {
    TA(0x201, cdb),
    T(0x202, cdb_length, BP_SCSI_CDB_BYTES),
    T(0x203, tag, 0),
    T(0x204, state, BP_SCSI_WAIT),
    T(0x205, direction, BP_SCSI_OUT),
    T(0x206, grain, 4096),
    T(0x207, wanted, 0),
    T(0x208, length, 0),
    T(0x209, moved, 0),
    T(0x20a, kind, KINDS - 1),
    T(0x20b, flags, 0),
    T(0x20c, phase, 0),
    T(0x20d, lba, 0),
    T(0x20e, blocks, 0),
    T(0x20f, done_blocks, 0),
    TA(0x210, detail),
};

/* Where nested records go: first only counted, then written. */
struct nested {
    struct bp_state_sink sink; /* first member: put() casts */
    uint8_t *data;
    uint64_t length;
};

static int32_t
nested_put(const struct bp_state_sink *sink, uint32_t tag, const void *data, uint64_t length)
{
    /* the sink is part of a struct nested that is not const */
    struct nested *nested = (struct nested *)(uintptr_t)sink;
    uint64_t padded = (length + 7) & ~UINT64_C(7);

    if (nested->data != NULL) {
        uint8_t *to = nested->data + nested->length;

        memset(to, 0, 8 + padded);
        bp_store_le(to, 2, tag);
        bp_store_le(to + 4, 4, length);
        if (length != 0) {
            memcpy(to + 8, data, length);
        }
    }
    nested->length += 8 + padded;
    return 0;
}

static uint32_t
reserves(const struct bp_scsi_nexus *nexus)
{
    return nexus->unit->reserved_by == nexus;
}

/* Those that are shared are where they are shared. */
static int32_t
write_reservations(const struct bp_scsi_unit *unit, const struct bp_state_sink *sink)
{
    uint8_t image[RESERVE_IMAGE_BYTES];

    if (unit->identity.shared || unit->reservations.sequence == 0) {
        return 0;
    }
    reserve_encode(&unit->reservations, image);
    return sink->put(sink, TAG_RESERVATIONS, image, sizeof(image));
}

/* Checks them, or takes them over. */
static int32_t
read_reservations(struct bp_scsi_unit *apply, const struct bp_state_record *record)
{
    struct bp_scsi_reservations state;
    int32_t r =
        record->length == RESERVE_IMAGE_BYTES ? reserve_decode(&state, record->data) : -EINVAL;

    if (r == 0 && apply != NULL && !apply->identity.shared) {
        apply->reservations = state;
    }
    return r;
}

static int32_t
write_unit(const struct bp_scsi_unit *unit, const struct bp_state_sink *sink)
{
    int32_t r = bp_state_save(unit_fields, BP_ARRAY_LENGTH(unit_fields), unit, sink);

    r = r == 0 ? write_reservations(unit, sink) : r;
    for (const struct bp_scsi_nexus *nexus = unit->nexuses; nexus != NULL && r == 0;
         nexus = nexus->next) {
        r = sink->put(sink, TAG_NEXUS, NULL, 0);
        if (r == 0) {
            r = bp_state_save(nexus_fields, BP_ARRAY_LENGTH(nexus_fields), nexus, sink);
        }
        if (r == 0 && reserves(nexus)) {
            r = sink->put(sink, TAG_RESERVES, NULL, 0);
        }
    }
    return r;
}

static int32_t
write_task(const struct bp_scsi_task *task, const struct bp_state_sink *sink)
{
    int32_t r = bp_state_save(task_fields, BP_ARRAY_LENGTH(task_fields), task, sink);

    if (r == 0 && (task->kind == KIND_PAGE_IN || task->kind == KIND_PAGE_OUT)) {
        r = sink->put(sink, TAG_PAGE, task->page, task->length);
    }
    return r;
}

static int32_t
write_either(const struct bp_scsi_unit *unit, const struct bp_scsi_task *task,
             const struct bp_state_sink *sink)
{
    if (task != NULL) {
        return write_task(task, sink);
    }
    return unit != NULL ? write_unit(unit, sink) : -EINVAL;
}

/* Makes one record of all that a unit or a task puts. */
static int32_t
put_nested(const struct bp_state_sink *sink, uint32_t tag, const struct bp_scsi_unit *unit,
           const struct bp_scsi_task *task)
{
    struct nested nested = {.sink = {.size = sizeof(nested.sink), .put = nested_put}};
    uint8_t *data;
    int32_t r;

    r = write_either(unit, task, &nested.sink);
    if (r != 0) {
        return r;
    }
    data = malloc(nested.length);
    if (data == NULL) {
        return -ENOMEM;
    }
    nested.data = data;
    nested.length = 0;
    r = write_either(unit, task, &nested.sink);
    if (r == 0) {
        r = sink->put(sink, tag, data, nested.length);
    }
    free(data);
    return r;
}

int32_t
bp_scsi_unit_save(const struct bp_scsi_unit *unit, const struct bp_state_sink *sink, uint32_t tag)
{
    return put_nested(sink, tag, unit, NULL);
}

int32_t
bp_scsi_task_save(const struct bp_scsi_task *task, const struct bp_state_sink *sink, uint32_t tag)
{
    return put_nested(sink, tag, NULL, task);
}

/* --- units -------------------------------------------------------------------------------------
 */

/* One record, for the unit or the nexus that was begun last. Returns 0, or why it is none. */
static int32_t
read_record(struct bp_scsi_unit *apply, struct bp_scsi_nexus *nexus,
            const struct bp_state_record *record)
{
    int32_t known = bp_state_check_record(unit_fields, BP_ARRAY_LENGTH(unit_fields), record);

    if (known == 0) {
        known = bp_state_check_record(nexus_fields, BP_ARRAY_LENGTH(nexus_fields), record);
    }
    if (known < 0) {
        return known;
    }
    if (record->tag == TAG_RESERVATIONS) {
        return read_reservations(apply, record);
    }
    if (known == 0 && record->tag != TAG_NEXUS && (record->tag & BP_STATE_MUST)) {
        return -EPROTO;
    }
    if (record->tag > TAG_NEXUS && nexus == NULL) {
        return -EINVAL;
    }
    if (apply != NULL && record->tag == TAG_RESERVES) {
        apply->reserved_by = nexus;
    } else if (apply != NULL && record->tag < TAG_NEXUS) {
        (void)bp_state_take_record(unit_fields, BP_ARRAY_LENGTH(unit_fields), apply, record);
    } else if (apply != NULL && record->tag != TAG_NEXUS) {
        (void)bp_state_take_record(nexus_fields, BP_ARRAY_LENGTH(nexus_fields), nexus, record);
    }
    return 0;
}

/* Walks a unit's records; with apply they are taken over. */
static int32_t
read_unit(const struct bp_scsi_unit *unit, struct bp_scsi_unit *apply, const void *data,
          uint64_t length)
{
    struct bp_scsi_nexus *nexus = NULL, *next = unit->nexuses;
    struct bp_state_reader reader;
    struct bp_state_record record;
    int32_t r, bad = 0;

    bp_state_reader_init(&reader, data, length);
    while (bad == 0 && (r = bp_state_next(&reader, &record)) == 1) {
        if (record.tag == TAG_NEXUS && next == NULL) {
            return -EINVAL; /* more initiators than there are */
        }
        if (record.tag == TAG_NEXUS) {
            nexus = next;
            next = nexus->next;
        }
        bad = read_record(apply, nexus, &record);
    }
    return bad != 0 ? bad : r;
}

int32_t
bp_scsi_unit_check(const struct bp_scsi_unit *unit, const void *data, uint64_t length)
{
    return read_unit(unit, NULL, data, length);
}

int32_t
bp_scsi_unit_restore(struct bp_scsi_unit *unit, const void *data, uint64_t length)
{
    int32_t r = read_unit(unit, NULL, data, length);

    if (r != 0) {
        return r;
    }
    unit->reserved_by = NULL;
    if (!unit->identity.shared) {
        memset(&unit->reservations, 0, sizeof(unit->reservations));
    }
    return read_unit(unit, unit, data, length);
}

/* --- tasks -------------------------------------------------------------------------------------
 */

/* Commands that go on by themselves, and how each may. */
static uint32_t
kind_fits(const struct bp_scsi_task *task)
{
    static const struct {
        uint8_t opcode;
        uint8_t kinds; /* bit n: KIND_... n */
    } fits[] = {
        {0x04, 1u << KIND_PAGE_OUT | 1u << KIND_STEPS},
        {0x15, 1u << KIND_PAGE_OUT},
        {0x1b, 1u << KIND_STEPS},
        {0x2e, 1u << KIND_BOUNCE},
        {0x2f, 1u << KIND_BOUNCE | 1u << KIND_STEPS | 1u << KIND_BUFFER},
        {0x35, 1u << KIND_STEPS},
        {0x41, 1u << KIND_BUFFER},
        {0x42, 1u << KIND_BUFFER},
        {0x55, 1u << KIND_PAGE_OUT},
        {0x5f, 1u << KIND_PAGE_OUT},
        {0x89, 1u << KIND_BUFFER},
        {0x8b, 1u << KIND_BOUNCE},
        {0x8e, 1u << KIND_BOUNCE},
        {0x8f, 1u << KIND_BOUNCE | 1u << KIND_STEPS | 1u << KIND_BUFFER},
        {0x91, 1u << KIND_STEPS},
        {0x93, 1u << KIND_BUFFER | 1u << KIND_STEPS},
        {0xae, 1u << KIND_BOUNCE},
        {0xaf, 1u << KIND_BOUNCE | 1u << KIND_STEPS | 1u << KIND_BUFFER},
        {0xb6, 1u << KIND_PAGE_OUT},
        {0xb9, 1u << KIND_BOUNCE},
        {0xbe, 1u << KIND_BOUNCE},
    };

    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(fits); i++) {
        if (fits[i].opcode == task->cdb[0]) {
            return task->command->advance != NULL && (fits[i].kinds >> task->kind & 1);
        }
    }
    return task->command->advance == NULL &&
           (task->kind == KIND_PAGE_IN || task->kind == KIND_READ || task->kind == KIND_WRITE);
}

/* What the fields must be to each other: the state may come from anywhere. */
static int32_t
check_task(const struct bp_scsi_unit *unit, const struct bp_scsi_task *task, uint64_t page)
{
    uint32_t paged = task->kind == KIND_PAGE_IN || task->kind == KIND_PAGE_OUT;
    uint32_t cd = unit->identity.type == BP_SCSI_TYPE_CDROM;
    uint64_t unit_bytes = task->kind == KIND_BOUNCE && cd ? task->detail[0] : unit->block_size;

    if (task->command == NULL || !kind_fits(task) || task->state == BP_SCSI_IDLE ||
        task->kind == KIND_NONE || task->moved > task->length ||
        (task->state != BP_SCSI_WAIT && task->moved == task->length) ||
        (task->state != BP_SCSI_WAIT && task->state != task->direction)) {
        return -EINVAL;
    }
    if (paged) {
        return task->length <= BP_SCSI_PAGE_BYTES && page == task->length && task->grain == 1
                   ? 0
                   : -EINVAL;
    }
    if (task->kind == KIND_STEPS) {
        return task->length == 0 && task->done_blocks <= task->blocks ? 0 : -EINVAL;
    }
    if (task->kind == KIND_BUFFER) {
        /* COMPARE AND WRITE puts half as much behind it */
        return task->length <= (uint64_t)BP_SCSI_ARENA_BYTES / 3 * 2 ? 0 : -EINVAL;
    }
    /* an address range that a start() could have let through, on a medium that may be another */
    if (task->grain == 0 || unit_bytes == 0 || unit_bytes > 4096 || task->blocks > UINT32_MAX ||
        task->lba > UINT64_MAX / 2 / unit_bytes || task->length != task->blocks * unit_bytes ||
        task->moved % task->grain != 0 ||
        ((task->kind != KIND_BOUNCE || !cd) && task->grain != unit_bytes)) {
        return -EINVAL;
    }
    return 0;
}

/* Reads the records into a task whose nexus is set; its page is filled if there is one. */
static int32_t
read_task(const struct bp_scsi_unit *unit, struct bp_scsi_task *task, const void *data,
          uint64_t length)
{
    struct bp_state_reader reader;
    struct bp_state_record record;
    uint8_t nowhere[BP_SCSI_PAGE_BYTES];
    uint64_t page = 0;
    int32_t r;

    r = bp_state_validate(task_fields, BP_ARRAY_LENGTH(task_fields), data, length);
    if (r != 0) {
        return r;
    }
    bp_state_reader_init(&reader, data, length);
    while ((r = bp_state_next(&reader, &record)) == 1) {
        if (record.tag != TAG_PAGE || record.length > BP_SCSI_PAGE_BYTES) {
            (void)bp_state_take_record(task_fields, BP_ARRAY_LENGTH(task_fields), task, &record);
            continue;
        }
        page = record.length;
        memcpy(task->page != NULL ? task->page : nowhere, record.data, record.length);
    }
    if (r != 0) {
        return r;
    }
    task->command = scsi_find_command(unit, task->cdb);
    return check_task(unit, task, page);
}

int32_t
bp_scsi_task_check(const struct bp_scsi_unit *unit, const void *data, uint64_t length)
{
    struct bp_scsi_task scratch = {0};

    return read_task(unit, &scratch, data, length);
}

int32_t
bp_scsi_task_restore(struct bp_scsi_task *task, const void *data, uint64_t length)
{
    struct bp_scsi_unit *unit = task_unit(task);
    int32_t r = bp_scsi_task_check(unit, data, length);

    if (r != 0) {
        return r;
    }
    (void)read_task(unit, task, data, length);
    /* a window that was under way is given again, and so is what was in the bounce buffer; a step
     * whose request had not ended is taken again from its beginning */
    task->window = task->window_done = 0;
    task->phase = 0;
    if (task->kind == KIND_BUFFER) {
        task->moved = 0;
        task->done_blocks = 0;
        memset(task->detail, 0, sizeof(task->detail));
    }
    if (task->state == BP_SCSI_WAIT && task->moved < task->length) {
        task->state = task->direction;
    }
    if (task->state == BP_SCSI_WAIT) {
        task_hold_restored(task);
    }
    return 0;
}
