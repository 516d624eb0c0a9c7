/* SPDX-License-Identifier: Apache-2.0 */
/* bp.state/1. Nothing is in flight when it is called: a command in progress is what struct
 * fdc_transfer says, and its next request is made by after_restore() or the resume that follows.
 *
 * Tags: 0xxh the controller, 1xxh the command in progress, 2xxh to 5xxh seeks, 6xxh and 7xxh
 * drives; FFh of the command: the buffer, while there is one. */
#include "floppy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRANSFER_BASE 0x100u
#define SEEK_BASE     0x200u
#define DRIVE_BASE    0x600u
#define OBJECT_SHIFT  8u
#define TAG_BUFFER    (TRANSFER_BASE + 0xffu)
#define MAX_FIELDS    32u

#define F(tag, member, max) BP_STATE_FIELD(tag, struct fdc, member, BP_FIELD_REQUIRED, max)
#define FA(tag, member)     BP_STATE_ARRAY(tag, struct fdc, member, BP_FIELD_REQUIRED)
#define T(tag, member, max)                                                                        \
    BP_STATE_FIELD(TRANSFER_BASE + (tag), struct fdc, transfer.member, BP_FIELD_REQUIRED, max)
#define TA(tag, member)                                                                            \
    BP_STATE_ARRAY(TRANSFER_BASE + (tag), struct fdc, transfer.member, BP_FIELD_REQUIRED)
#define S(tag, member, max) BP_STATE_FIELD(tag, struct fdc_seek, member, BP_FIELD_REQUIRED, max)
#define D(tag, member, max) BP_STATE_FIELD(tag, struct fdc_drive, member, BP_FIELD_REQUIRED, max)

static const struct bp_state_field fdc_fields[] = {
    F(0x01, dor, 0),
    F(0x02, tdr, TDR_TAPE | TDR_BOOT_SEL),
    F(0x03, dsr, 0x7f),
    F(0x04, sra, 0),
    F(0x05, srb, 0),
    F(0x06, interrupt, 1),
    F(0x07, phase, FDC_PHASE_RESULT),
    F(0x08, parameter_count, FDC_PARAMETERS - 1),
    F(0x09, parameter_total, FDC_PARAMETERS),
    FA(0x0a, parameters),
    F(0x0b, result_count, FDC_RESULT_BYTES),
    F(0x0c, result_next, FDC_RESULT_BYTES - 1),
    FA(0x0d, result),
    F(0x0e, result_interrupts, 1),
    FA(0x0f, pcn),
    FA(0x10, specify),
    F(0x11, config, 0x7f),
    F(0x12, precomp_start, 0),
    F(0x13, perpendicular, 0x3f),
    F(0x14, locked, 1),
    F(0x15, last_count, 0),
    F(0x16, power_mode, 0),
    F(0x17, option, 1),
    FA(0x18, drive_spec),
    FA(0x19, scan),
};

static const struct bp_state_field transfer_fields[] = {
    T(0x01, op, FDC_OPS - 1),
    T(0x02, step, FDC_STEPS - 1),
    T(0x03, select, SELECT_DRIVE),
    T(0x04, unit, FDC_DRIVES),
    T(0x05, head, 1),
    T(0x06, c, 0),
    T(0x07, h, 0),
    T(0x08, r, 0),
    T(0x09, n, 0),
    T(0x0a, eot, 0),
    T(0x0b, stride, 2),
    T(0x0c, filler, 0),
    T(0x0d, st0, 0),
    T(0x0e, st1, 0),
    T(0x0f, st2, 0),
    T(0x10, done, 0),
    T(0x11, fifo, FDC_FIFO_BYTES),
    TA(0x12, id),
    T(0x13, flags, FDC_T_ALL),
    T(0x14, left, 256),
    T(0x15, moved, FLOPPY_SECTOR_BYTES + 4),
    T(0x16, cylinder, UINT8_MAX),
    T(0x17, deadline_ns, 0),
    TA(0x18, valid),
    TA(0x19, dirty),
    T(0x1a, host_deadline_ns, 0),
};

static const struct bp_state_field seek_fields[] = {
    S(0x01, busy, 1),        S(0x02, target, FLOPPY_MAX_CYLINDERS - 1),
    S(0x03, pcn, 0),         S(0x04, steps, 0),
    S(0x05, status, 0),      S(0x06, pending, FDC_PENDING_POLL),
    S(0x07, deadline_ns, 0),
};

/* What is in a drive is not state but description; its type and format are, to see that they are
 * the same. */
static const struct bp_state_field drive_fields[] = {
    D(0x01, type, FLOPPY_DRIVE_TYPES - 1),
    D(0x02, medium.inserted, 1),
    D(0x03, medium.format.cylinders, 0),
    D(0x04, medium.format.heads, 0),
    D(0x05, medium.format.sectors, 0),
    D(0x06, head_at, FLOPPY_MAX_CYLINDERS - 1),
    D(0x07, changed, 1),
    D(0x08, next_id, FLOPPY_MAX_SECTORS - 1),
    D(0x09, motor_ns, 0),
    BP_STATE_ARRAY(0x0a, struct fdc_drive, medium.deleted, BP_FIELD_REQUIRED),
};

_Static_assert(BP_ARRAY_LENGTH(fdc_fields) <= MAX_FIELDS, "tag table too small");
_Static_assert(BP_ARRAY_LENGTH(transfer_fields) <= MAX_FIELDS, "tag table too small");

/* A table with its tags moved to an object's range. */
struct table {
    uint32_t count;
    struct bp_state_field fields[MAX_FIELDS];
};

static void
table_make(struct table *table, const struct bp_state_field *fields, uint32_t count, uint32_t base)
{
    table->count = count;
    for (uint32_t i = 0; i < count; i++) {
        table->fields[i] = fields[i];
        table->fields[i].tag += base;
    }
}

/* --- objects ------------------------------------------------------------------------------------
 */

#define OBJECTS (2u + FDC_SELECTS + FDC_DRIVES)

/* The n-th object of a controller and its table. */
static void *
object(struct fdc *fdc, uint32_t n, struct table *table)
{
    if (n == 0) {
        table_make(table, fdc_fields, BP_ARRAY_LENGTH(fdc_fields), 0);
        return fdc;
    }
    if (n == 1) {
        table_make(table, transfer_fields, BP_ARRAY_LENGTH(transfer_fields), 0);
        return fdc;
    }
    n -= 2;
    if (n < FDC_SELECTS) {
        table_make(table, seek_fields, BP_ARRAY_LENGTH(seek_fields),
                   SEEK_BASE + (n << OBJECT_SHIFT));
        return &fdc->seeks[n];
    }
    n -= FDC_SELECTS;
    table_make(table, drive_fields, BP_ARRAY_LENGTH(drive_fields),
               DRIVE_BASE + (n << OBJECT_SHIFT));
    return &fdc->drives[n];
}

static int32_t
floppy_save(void *self, const struct bp_state_sink *sink)
{
    struct fdc *fdc = self;
    struct table table;

    for (uint32_t i = 0; i < OBJECTS; i++) {
        const void *at = object(fdc, i, &table);
        int32_t r = bp_state_save(table.fields, table.count, at, sink);
        if (r != 0) {
            return r;
        }
    }
    return fdc->transfer.op == FDC_OP_NONE
               ? 0
               : sink->put(sink, TAG_BUFFER, fdc->buffer, FDC_BUFFER_BYTES);
}

/* --- checking -----------------------------------------------------------------------------------
 */

/* What no table can say: a command that could be where it says it is. */
static int32_t
check_transfer(const struct fdc *fdc)
{
    const struct fdc_transfer *t = &fdc->transfer;
    const struct fdc_medium *medium = t->unit < FDC_DRIVES ? &fdc->drives[t->unit].medium : NULL;
    uint64_t all;

    if ((t->op == FDC_OP_NONE) != (t->step == FDC_STEP_IDLE) ||
        (t->op != FDC_OP_NONE) != (fdc->phase == FDC_PHASE_EXECUTION)) {
        return -EINVAL;
    }
    if (t->op == FDC_OP_NONE || t->step <= FDC_STEP_ARRIVE) {
        return t->flags & FDC_T_SERVICE ? -EINVAL : 0;
    }
    if (medium == NULL || !medium->inserted) {
        /* only the end is left */
        return t->step >= FDC_STEP_FLUSH && !(t->flags & FDC_T_SERVICE) ? 0 : -EINVAL;
    }
    all = (UINT64_C(1) << medium->format.sectors) - 1;
    for (uint32_t i = 0; i < FLOPPY_MAX_HEADS; i++) {
        uint64_t may = i < medium->format.heads ? all : 0;
        if ((t->valid[i] & ~may) != 0 || (t->dirty[i] & ~may) != 0) {
            return -EINVAL;
        }
    }
    if (t->step < FDC_STEP_FLUSH && (t->cylinder >= medium->format.cylinders ||
                                     t->head >= medium->format.heads || t->op == FDC_OP_READ_ID)) {
        return -EINVAL;
    }
    return 0;
}

/* Steps in the middle of a sector need a sector that is there. */
static int32_t
check_sector(const struct fdc *fdc)
{
    const struct fdc_transfer *t = &fdc->transfer;
    uint32_t format = t->op == FDC_OP_FORMAT || t->op == FDC_OP_FORMAT_WRITE;
    uint32_t unit = t->op == FDC_OP_FORMAT         ? 4
                    : t->op == FDC_OP_FORMAT_WRITE ? FLOPPY_SECTOR_BYTES + 4
                                                   : FLOPPY_SECTOR_BYTES;

    if (t->step < FDC_STEP_FIND || t->step > FDC_STEP_SECTOR) {
        return t->flags & FDC_T_SERVICE ? -EINVAL : 0;
    }
    if (!format && t->op != FDC_OP_READ_TRACK &&
        (t->r == 0 || t->r > fdc->drives[t->unit].medium.format.sectors) &&
        t->step != FDC_STEP_FIND) {
        return -EINVAL;
    }
    if (t->step == FDC_STEP_MOVE && t->moved >= unit) {
        return -EINVAL;
    }
    if ((t->flags & FDC_T_SERVICE) && t->step != FDC_STEP_MOVE) {
        return -EINVAL;
    }
    if (t->op == FDC_OP_VERIFY && t->step == FDC_STEP_MOVE) {
        return -EINVAL;
    }
    if (format && (t->step == FDC_STEP_FIND || t->step == FDC_STEP_LOAD)) {
        return -EINVAL;
    }
    return t->moved > unit ? -EINVAL : 0;
}

static int32_t
check(const struct fdc *fdc, const struct fdc *now)
{
    int32_t r;

    for (uint32_t i = 0; i < FDC_DRIVES; i++) {
        const struct fdc_drive *saved = &fdc->drives[i];
        const struct fdc_drive *here = &now->drives[i];
        if (saved->type != here->type || saved->medium.inserted != here->medium.inserted ||
            saved->medium.format.cylinders != here->medium.format.cylinders ||
            saved->medium.format.heads != here->medium.format.heads ||
            saved->medium.format.sectors != here->medium.format.sectors) {
            return -EINVAL;
        }
    }
    if ((fdc->phase == FDC_PHASE_RESULT && fdc->result_next >= fdc->result_count) ||
        (fdc->phase != FDC_PHASE_COMMAND && fdc->parameter_count != 0 &&
         fdc->phase == FDC_PHASE_RESULT)) {
        return -EINVAL;
    }
    if (fdc->phase == FDC_PHASE_COMMAND && fdc->parameter_count != 0 &&
        fdc->parameter_count >= fdc->parameter_total && fdc->parameter_total != 0) {
        return -EINVAL;
    }
    r = check_transfer(fdc);
    return r != 0 || fdc->transfer.op == FDC_OP_NONE || fdc->transfer.step <= FDC_STEP_ARRIVE
               ? r
               : check_sector(fdc);
}

/* --- restoring ----------------------------------------------------------------------------------
 */

/* One pass over the records for each object. */
static int32_t
take_object(const struct table *table, void *at, const void *data, uint64_t length)
{
    struct bp_state_reader reader;
    struct bp_state_record record;
    uint32_t found = 0;
    int32_t r;

    bp_state_reader_init(&reader, data, length);
    while ((r = bp_state_next(&reader, &record)) == 1) {
        int32_t mine = bp_state_check_record(table->fields, table->count, &record);
        if (mine < 0) {
            return mine;
        }
        if (mine == 1) {
            (void)bp_state_take_record(table->fields, table->count, at, &record);
            found++;
        }
    }
    return r < 0 ? r : found < table->count ? -EINVAL : 0;
}

/* Tags that must be understood: there are none beyond the tables yet. */
static int32_t
find_buffer(const void *data, uint64_t length, const uint8_t **buffer)
{
    struct bp_state_reader reader;
    struct bp_state_record record;
    int32_t r;

    bp_state_reader_init(&reader, data, length);
    while ((r = bp_state_next(&reader, &record)) == 1) {
        if (record.tag & BP_STATE_MUST) {
            return -EPROTO;
        }
        if (record.tag == TAG_BUFFER && record.length != FDC_BUFFER_BYTES) {
            return -EINVAL;
        }
        *buffer = record.tag == TAG_BUFFER ? record.data : *buffer;
    }
    return r;
}

/* Fills a copy of the controller, checks it, and takes it over if that is wanted. */
static int32_t
load(struct fdc *fdc, const void *data, uint64_t length, uint32_t apply)
{
    struct fdc *trial = malloc(sizeof(*trial));
    const uint8_t *buffer = NULL;
    struct table table;
    int32_t r;

    if (trial == NULL) {
        return -ENOMEM;
    }
    *trial = *fdc;
    r = find_buffer(data, length, &buffer);
    for (uint32_t i = 0; i < OBJECTS && r == 0; i++) {
        void *at = object(trial, i, &table);
        r = take_object(&table, at, data, length);
    }
    if (r == 0) {
        trial->transfer.awaiting = trial->transfer.count = trial->transfer.first = 0;
        r = check(trial, fdc);
    }
    if (r == 0 && trial->transfer.op != FDC_OP_NONE && buffer == NULL) {
        r = -EINVAL;
    }
    if (r == 0 && apply) {
        *fdc = *trial;
        if (buffer != NULL) {
            memcpy(fdc->buffer, buffer, FDC_BUFFER_BYTES);
        }
    }
    free(trial);
    return r;
}

static int32_t
floppy_validate(void *self, uint32_t version, const void *data, uint64_t length)
{
    return load(self, data, length, 0);
}

static int32_t
floppy_restore(void *self, uint32_t version, const void *data, uint64_t length)
{
    return load(self, data, length, 1);
}

static void
restore_timer(struct fdc *fdc, uint32_t timer, uint32_t armed, uint64_t deadline_ns)
{
    if (armed) {
        fdc->host.timer->arm(fdc->host.instance, timer, deadline_ns);
    } else {
        fdc->host.timer->cancel(fdc->host.instance, timer);
    }
}

/* Lines, timers, and the request that was held. */
static int32_t
floppy_after_restore(void *self)
{
    struct fdc *fdc = self;
    struct fdc_transfer *t = &fdc->transfer;
    struct bp_instance *instance = fdc->host.instance;

    fdc_interrupt(fdc, fdc->interrupt);
    fdc->host.isadma->dreq(instance, FDC_DMA_CHANNEL,
                           (t->flags & FDC_T_SERVICE) && !(t->flags & FDC_T_PIO));
    for (uint32_t i = 0; i < FDC_SELECTS; i++) {
        restore_timer(fdc, FDC_TIMER_SEEK + i, fdc->seeks[i].busy, fdc->seeks[i].deadline_ns);
    }
    restore_timer(fdc, FDC_TIMER_RUN, t->flags & FDC_T_WAITING, t->deadline_ns);
    restore_timer(fdc, FDC_TIMER_HOST, t->host_deadline_ns != 0 && (t->flags & FDC_T_SERVICE),
                  t->host_deadline_ns);
    if (!fdc->quiescing) {
        t->flags &= ~FDC_T_HELD;
        fdc_run(fdc);
    }
    return 0;
}

const struct bp_state_ops floppy_state_ops = {
    .size = sizeof(floppy_state_ops),
    .save = floppy_save,
    .validate = floppy_validate,
    .restore = floppy_restore,
    .after_restore = floppy_after_restore,
};
