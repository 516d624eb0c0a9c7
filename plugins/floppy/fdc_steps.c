/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a data command. Each sets the next one; it returns 1 to go on at once and 0 if
 * something must happen first. */
#include "floppy.h"

#include <string.h>

#define SPIN_UP_NS 300000000u

/* --- time ---------------------------------------------------------------------------------------
 */

static uint64_t
now(const struct fdc *fdc)
{
    return fdc->host.timer->now(fdc->host.instance, BP_CLOCK_VIRTUAL);
}

/* Until the end of the n-th sector of the track passes the head; the index hole is where the clock
 * is a multiple of a turn. Exactly now means a turn from now. */
uint64_t
fdc_until_sector_end(const struct fdc *fdc, const struct fdc_drive *drive, uint32_t n)
{
    uint64_t turn = floppy_drive_turn_ns(drive->type);
    uint64_t end = drive->medium.format.sectors != 0 ? turn * n / drive->medium.format.sectors : 0;
    uint64_t delay = (end + turn - now(fdc) % turn) % turn;

    return delay != 0 ? delay : turn;
}

uint32_t
fdc_fail_after_two_turns(struct fdc *fdc, uint32_t st1, uint32_t st2)
{
    const struct fdc_drive *drive = fdc_transfer_drive(fdc);
    uint64_t turn = floppy_drive_turn_ns(drive != NULL ? drive->type : FLOPPY_DRIVE_1440K);

    (void)fdc_fail(fdc, 0, st1, st2);
    return fdc_pause(fdc, 2 * turn - now(fdc) % turn);
}

/* --- beginning ----------------------------------------------------------------------------------
 */

uint32_t
fdc_seeks_first(const struct fdc *fdc)
{
    const struct fdc_transfer *t = &fdc->transfer;

    return (fdc->config & CONFIG_IMPLIED_SEEK) && t->c != fdc->pcn[t->select] &&
           (t->op == FDC_OP_READ || t->op == FDC_OP_WRITE || t->op == FDC_OP_VERIFY ||
            (t->op >= FDC_OP_SCAN_EQUAL && t->op <= FDC_OP_SCAN_HIGH));
}

/* Waits for what the drive or a dropped command is still doing; then for an implied seek. */
uint32_t
fdc_step_begin(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;
    uint32_t pcn = fdc->pcn[t->select];
    const struct fdc_drive *drive = fdc_transfer_drive(fdc);
    uint64_t delay = 0;

    if (fdc->drives[0].in_flight || fdc->drives[1].in_flight || fdc->seeks[t->select].busy) {
        return 0;
    }
    t->step = FDC_STEP_ARRIVE;
    if (fdc_seeks_first(fdc)) {
        delay = fdc_step_time(fdc, t->select, t->c > pcn ? t->c - pcn : pcn - t->c);
    }
    if (drive != NULL && fdc->real_time && (fdc->dor & DOR_MOTOR0 << t->select)) {
        uint64_t running = now(fdc) - drive->motor_ns;
        delay += running < SPIN_UP_NS ? SPIN_UP_NS - running : 0;
    }
    return fdc_pause(fdc, delay);
}

static void
finish_implied_seek(struct fdc *fdc, struct fdc_drive *drive)
{
    struct fdc_transfer *t = &fdc->transfer;
    int32_t at;

    if (!fdc_seeks_first(fdc)) {
        return;
    }
    if (drive != NULL) {
        at = (int32_t)drive->head_at + t->c - fdc->pcn[t->select];
        fdc_drive_arrive(drive, at > 0 ? (uint32_t)at : 0, 1);
    }
    fdc->pcn[t->select] = t->c;
    t->st0 |= ST0_SEEK_END; /* 82077AA, table 6-1, SE */
}

uint32_t
fdc_has_marks(const struct fdc *fdc, const struct fdc_drive *drive)
{
    const struct fdc_transfer *t = &fdc->transfer;

    if (drive == NULL || !drive->medium.inserted || drive->queue == NULL) {
        return 0;
    }
    if (fdc->real_time && !(fdc->dor & DOR_MOTOR0 << t->select)) {
        return 0;
    }
    return fdc_rate_matches(fdc, drive, t->select) &&
           t->cylinder < drive->medium.format.cylinders && t->head < drive->medium.format.heads;
}

uint32_t
fdc_is_write(const struct fdc_transfer *t)
{
    return t->op == FDC_OP_WRITE || t->op == FDC_OP_FORMAT || t->op == FDC_OP_FORMAT_WRITE;
}

/* The next ID to come round; without timing each READ ID sees the following one. */
static uint32_t
read_id(struct fdc *fdc, struct fdc_drive *drive)
{
    struct fdc_transfer *t = &fdc->transfer;
    const struct floppy_format *format = &drive->medium.format;
    uint64_t turn = floppy_drive_turn_ns(drive->type);
    uint32_t next = drive->next_id % format->sectors;

    drive->next_id = (uint8_t)((next + 1) % format->sectors);
    if (fdc->real_time) {
        next = (uint32_t)(now(fdc) % turn * format->sectors / turn + 1) % format->sectors;
    }
    t->c = (uint8_t)t->cylinder;
    t->h = t->head;
    t->r = (uint8_t)(next + 1);
    t->n = FLOPPY_SIZE_CODE;
    t->step = FDC_STEP_FLUSH;
    return fdc_pause(fdc, turn / format->sectors);
}

uint32_t
fdc_step_arrive(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;
    struct fdc_drive *drive = fdc_transfer_drive(fdc);

    finish_implied_seek(fdc, drive);
    if (drive != NULL && fdc_is_write(t) && fdc_drive_protected(drive)) {
        return fdc_fail(fdc, 0, ST1_PROTECTED, 0);
    }
    if (drive != NULL) {
        t->cylinder = fdc_drive_cylinder(drive, t->op < FDC_OP_FORMAT ? t->c : drive->head_at);
    }
    if (!fdc_has_marks(fdc, drive)) {
        return fdc_fail_after_two_turns(fdc, ST1_MISSING, 0);
    }
    memset(fdc->buffer, 0, FDC_BUFFER_BYTES);
    if (t->op == FDC_OP_READ_ID) {
        return read_id(fdc, drive);
    }
    if (t->op == FDC_OP_FORMAT || t->op == FDC_OP_FORMAT_WRITE) {
        t->c = (uint8_t)t->cylinder;
        t->h = t->head;
        t->step = FDC_STEP_NEXT;
        return 1;
    }
    t->step = FDC_STEP_FIND;
    return 1;
}

/* --- the sector after it ------------------------------------------------------------------------
 */

static uint32_t
succeed(struct fdc_transfer *t)
{
    t->step = FDC_STEP_FLUSH;
    return 1;
}

/* The ID after the one under way (82077AA, table 5-6). Returns 1 if the end of the cylinder, or of
 * the track without MT, was reached. */
static uint32_t
advance(struct fdc_transfer *t)
{
    uint32_t stride = t->stride != 0 ? t->stride : 1;
    uint32_t at_end = t->op == FDC_OP_READ_TRACK ? (uint8_t)(t->done + 1) == t->eot
                      : t->stride == 2           ? t->r == t->eot || t->r + 1 == t->eot
                                                 : t->r == t->eot;

    t->done++;
    if (!at_end) {
        t->r = (uint8_t)(t->r + stride);
        return 0;
    }
    t->r = 1;
    if (!(t->flags & FDC_T_MULTI)) {
        t->c++;
        return 1;
    }
    t->h ^= 1;
    if (t->head == 0) {
        t->head = 1;
        return 0;
    }
    t->c++;
    return 1;
}

static uint32_t
next_scan(struct fdc *fdc, uint32_t at_end)
{
    struct fdc_transfer *t = &fdc->transfer;

    if (!(t->flags & FDC_T_SKIPPED) && !(t->st2 & ST2_SCAN_MISS)) {
        return succeed(t);
    }
    if (at_end || (t->flags & (FDC_T_TERMINAL | FDC_T_STOP))) {
        t->st2 |= t->st2 & ST2_SCAN_HIT ? 0 : ST2_SCAN_MISS;
        return succeed(t);
    }
    t->step = FDC_STEP_FIND;
    return 1;
}

static uint32_t
next_sector(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;
    uint8_t head = t->head;
    uint32_t at_end;

    if ((t->flags & FDC_T_STOP) && !(t->op >= FDC_OP_SCAN_EQUAL && t->op <= FDC_OP_SCAN_HIGH)) {
        return succeed(t); /* the address is not incremented */
    }
    at_end = advance(t);
    if (t->op >= FDC_OP_SCAN_EQUAL && t->op <= FDC_OP_SCAN_HIGH) {
        return next_scan(fdc, at_end);
    }
    if ((t->flags & FDC_T_COUNT) && --t->left == 0) {
        t->flags |= FDC_T_TERMINAL;
    }
    if (t->flags & FDC_T_TERMINAL) {
        t->head = head; /* no sector of the other side was touched */
        return succeed(t);
    }
    if (at_end) {
        if (t->op == FDC_OP_VERIFY ? !(t->flags & FDC_T_COUNT) : t->flags & FDC_T_GATE) {
            return succeed(t);
        }
        return fdc_fail(fdc, 0, ST1_END, 0);
    }
    t->step = FDC_STEP_FIND;
    return 1;
}

/* All IDs are known before anything is written: a layout that cannot be is refused as a whole. */
static uint32_t
end_format(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;
    struct fdc_drive *drive = fdc_transfer_drive(fdc);
    uint32_t sectors = drive->medium.format.sectors;

    if (t->flags & FDC_T_IMPOSSIBLE) {
        return fdc_fail_after_two_turns(fdc, ST1_NO_DATA, 0);
    }
    t->dirty[t->head] = t->valid[t->head];
    for (uint32_t r = 1; r <= sectors; r++) {
        if (t->dirty[t->head] >> (r - 1) & 1) {
            fdc_deleted_set(&drive->medium, t->cylinder, t->head, r, 0);
        }
    }
    t->step = FDC_STEP_FLUSH;
    /* from index hole to index hole */
    return fdc_pause(fdc,
                     fdc_until_sector_end(fdc, drive, sectors) + floppy_drive_turn_ns(drive->type));
}

uint32_t
fdc_step_next(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;

    if (t->op != FDC_OP_FORMAT && t->op != FDC_OP_FORMAT_WRITE) {
        return next_sector(fdc);
    }
    if (t->left == 0 || (t->flags & FDC_T_TERMINAL)) {
        return end_format(fdc);
    }
    t->left--;
    t->moved = 0;
    t->step = FDC_STEP_MOVE;
    return 1;
}

/* --- the end ------------------------------------------------------------------------------------
 */

/* The first run of sectors to be written; 0: none. */
static uint32_t
first_dirty(const struct fdc_transfer *t, uint32_t sectors, uint32_t *first)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < FLOPPY_MAX_HEADS * sectors; i++) {
        if (t->dirty[i / sectors] >> (i % sectors) & 1) {
            *first = count == 0 ? i : *first;
            count++;
        } else if (count != 0) {
            break;
        }
    }
    return count != 0 && (t->flags & FDC_T_SINGLE) ? 1 : count;
}

/* What was written is stable when the command ends: a drive has no cache. */
uint32_t
fdc_step_flush(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;
    struct fdc_drive *drive = fdc_transfer_drive(fdc);
    uint32_t first = 0, count = 0;

    if (drive != NULL && drive->medium.inserted) {
        count = first_dirty(t, drive->medium.format.sectors, &first);
    }
    if (count == 0 && !(t->flags & FDC_T_SYNC)) {
        t->step = FDC_STEP_END;
        return 1;
    }
    if (fdc->quiescing) {
        t->flags |= FDC_T_HELD;
        return 0;
    }
    return fdc_submit(fdc, drive, count != 0 ? BP_BLOCK_WRITE : BP_BLOCK_FLUSH, first, count);
}

uint32_t
fdc_step_end(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;

    fdc_service_end(fdc);
    fdc->result[0] = (uint8_t)(t->st0 | (t->head ? ST0_HEAD : 0) | t->select);
    fdc->result[1] = t->st1;
    fdc->result[2] = t->st2;
    fdc->result[3] = t->c;
    fdc->result[4] = t->h;
    fdc->result[5] = t->r;
    fdc->result[6] = t->n;
    memset(t, 0, sizeof(*t));
    fdc_result(fdc, 7, 1);
    return 0;
}
