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
static uint64_t
until_sector_end(const struct fdc *fdc, const struct fdc_drive *drive, uint32_t n)
{
    uint64_t turn = floppy_drive_turn_ns(drive->type);
    uint64_t end = drive->medium.format.sectors != 0 ? turn * n / drive->medium.format.sectors : 0;
    uint64_t delay = (end + turn - now(fdc) % turn) % turn;

    return delay != 0 ? delay : turn;
}

/* No address mark, no sector: known after the index hole was seen twice (82077AA, 5.1.1). */
static uint32_t
fail_after_two_turns(struct fdc *fdc, uint32_t st1, uint32_t st2)
{
    const struct fdc_drive *drive = fdc_transfer_drive(fdc);
    uint64_t turn = floppy_drive_turn_ns(drive != NULL ? drive->type : FLOPPY_DRIVE_1440K);

    (void)fdc_fail(fdc, 0, st1, st2);
    return fdc_pause(fdc, 2 * turn - now(fdc) % turn);
}

/* --- beginning ----------------------------------------------------------------------------------
 */

static uint32_t
seeks_first(const struct fdc *fdc)
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
    if (seeks_first(fdc)) {
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

    if (!seeks_first(fdc)) {
        return;
    }
    if (drive != NULL) {
        at = (int32_t)drive->head_at + t->c - fdc->pcn[t->select];
        fdc_drive_arrive(drive, at > 0 ? (uint32_t)at : 0, 1);
    }
    fdc->pcn[t->select] = t->c;
}

/* Only a medium that turns, is formatted here and was written at this data rate has address marks.
 */
static uint32_t
has_marks(const struct fdc *fdc, const struct fdc_drive *drive)
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

static uint32_t
is_write(const struct fdc_transfer *t)
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
    if (drive != NULL && is_write(t) && fdc_drive_protected(drive)) {
        return fdc_fail(fdc, 0, ST1_PROTECTED, 0);
    }
    if (drive != NULL) {
        t->cylinder = fdc_drive_cylinder(drive, t->op < FDC_OP_FORMAT ? t->c : drive->head_at);
    }
    if (!has_marks(fdc, drive)) {
        return fail_after_two_turns(fdc, ST1_MISSING, 0);
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

/* --- one sector ---------------------------------------------------------------------------------
 */

/* What the deleted data mark of the sector means for a command that reads (82077AA, tables 5-4,
 * 5-5). */
static void
look_at_mark(struct fdc *fdc, const struct fdc_drive *drive)
{
    struct fdc_transfer *t = &fdc->transfer;
    uint32_t index = fdc_sector_index(fdc) % drive->medium.format.sectors;
    uint32_t deleted = fdc_deleted_get(&drive->medium, t->cylinder, t->head, index + 1);

    t->flags &= ~(FDC_T_STOP | FDC_T_SKIPPED);
    if (deleted == ((t->flags & FDC_T_DELETED) != 0)) {
        return;
    }
    t->st2 |= ST2_MARK;
    if (t->op != FDC_OP_READ_TRACK) {
        t->flags |= t->flags & FDC_T_SKIP ? FDC_T_SKIPPED : FDC_T_STOP;
    }
}

/* READ TRACK takes the sectors as they come from the index hole on, and only says whether their IDs
 * were the expected ones (82077AA, 5.1.3). */
static void
compare_id(struct fdc *fdc, const struct fdc_drive *drive)
{
    struct fdc_transfer *t = &fdc->transfer;
    uint32_t r = t->done % drive->medium.format.sectors + 1;

    if (t->c != t->cylinder || t->h != t->head || t->r != r || t->n != FLOPPY_SIZE_CODE) {
        t->st1 |= ST1_NO_DATA;
        t->st0 |= ST0_ABNORMAL;
    }
}

uint32_t
fdc_step_find(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;
    struct fdc_drive *drive = fdc_transfer_drive(fdc);

    if (!has_marks(fdc, drive)) {
        return fail_after_two_turns(fdc, ST1_MISSING, 0);
    }
    if (t->op == FDC_OP_READ_TRACK) {
        compare_id(fdc, drive);
    } else if (t->c != t->cylinder) {
        return fail_after_two_turns(fdc, ST1_NO_DATA, ST2_CYLINDER);
    } else if (t->h != t->head || t->n != FLOPPY_SIZE_CODE || t->r == 0 ||
               t->r > drive->medium.format.sectors) {
        return fail_after_two_turns(fdc, ST1_NO_DATA, 0);
    }
    t->moved = 0;
    if (t->op == FDC_OP_WRITE) {
        t->step = FDC_STEP_MOVE;
        return 1;
    }
    look_at_mark(fdc, drive);
    t->step = t->flags & FDC_T_SKIPPED ? FDC_STEP_NEXT : FDC_STEP_LOAD;
    return 1;
}

/* How many sectors from `index` on the command will want, as far as they lie side by side. */
static uint32_t
wanted(struct fdc *fdc, const struct fdc_drive *drive, uint32_t index)
{
    struct fdc_transfer *t = &fdc->transfer;
    uint32_t sectors = drive->medium.format.sectors;
    uint32_t last = bp_min_u32(t->eot, sectors);
    uint32_t end;
    struct bp_isadma_status status = {.size = sizeof(status)};

    if (t->flags & FDC_T_SINGLE) {
        return 1;
    }
    end = t->head * sectors + last;
    if ((t->flags & FDC_T_MULTI) && t->head == 0 && drive->medium.format.heads == 2) {
        end = sectors + last;
    }
    end = end > index ? end - index : 1;
    if (t->flags & FDC_T_COUNT) {
        end = bp_min_u32(end, t->left);
    } else if (t->op != FDC_OP_VERIFY && !(t->flags & FDC_T_PIO) &&
               fdc->host.isadma->status(fdc->host.instance, FDC_DMA_CHANNEL, &status) == 0 &&
               !status.autoinit) {
        uint64_t want = (status.remaining + FLOPPY_SECTOR_BYTES - 1) / FLOPPY_SECTOR_BYTES;
        end = (uint32_t)bp_min_u64(end, want);
    }
    return end != 0 ? end : 1;
}

/* An image that ends before the format does reads as zeroes there. */
static uint32_t
on_image(const struct fdc_drive *drive, uint32_t cylinder, uint32_t index, uint32_t count)
{
    const struct floppy_format *format = &drive->medium.format;
    uint32_t lba = cylinder * format->heads * format->sectors + index;

    return lba < drive->medium.sectors ? bp_min_u32(count, drive->medium.sectors - lba) : 0;
}

/* Returns what the step returns: a request that is refused is over. */
static uint32_t
submit(struct fdc *fdc, struct fdc_drive *drive, uint32_t op, uint32_t first, uint32_t count)
{
    struct fdc_transfer *t = &fdc->transfer;
    int32_t r;

    t->first = first;
    t->count = count;
    t->awaiting = 1;
    r = fdc_io_submit(drive, op, t->cylinder, first, count);
    if (r != 0) {
        fdc_transfer_completed(fdc, r);
    }
    return r != 0;
}

uint32_t
fdc_step_load(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;
    struct fdc_drive *drive = fdc_transfer_drive(fdc);
    uint32_t index = fdc_sector_index(fdc);
    uint32_t sectors = drive->medium.format.sectors;
    uint32_t count;

    if (t->valid[index / sectors] >> (index % sectors) & 1) {
        t->step = t->op == FDC_OP_VERIFY ? FDC_STEP_SECTOR : FDC_STEP_MOVE;
        return fdc_pause(fdc, until_sector_end(fdc, drive, index % sectors + 1));
    }
    count = on_image(drive, t->cylinder, index, wanted(fdc, drive, index));
    if (count == 0) {
        t->valid[index / sectors] |= UINT64_C(1) << (index % sectors); /* the buffer has zeroes */
        return 1;
    }
    if (fdc->quiescing) {
        t->flags |= FDC_T_HELD;
        return 0;
    }
    return submit(fdc, drive, BP_BLOCK_READ, index, count);
}

/* FORMAT: the host named a sector. An image holds the sectors of its format and no others. */
static void
take_id(struct fdc *fdc, const struct fdc_drive *drive)
{
    struct fdc_transfer *t = &fdc->transfer;
    const struct floppy_format *format = &drive->medium.format;
    uint32_t index = t->head * format->sectors + t->id[2] - 1;

    if (t->id[0] != t->cylinder || t->id[1] != t->head || t->id[2] == 0 ||
        t->id[2] > format->sectors || t->id[3] != FLOPPY_SIZE_CODE || t->n != FLOPPY_SIZE_CODE ||
        on_image(drive, t->cylinder, index, 1) == 0) {
        t->flags |= FDC_T_IMPOSSIBLE;
        return;
    }
    t->r = t->id[2];
    t->valid[t->head] |= UINT64_C(1) << (t->r - 1);
    if (t->op == FDC_OP_FORMAT) {
        memset(fdc->buffer + (size_t)index * FLOPPY_SECTOR_BYTES, t->filler, FLOPPY_SECTOR_BYTES);
    } else {
        memcpy(fdc->buffer + (size_t)index * FLOPPY_SECTOR_BYTES, fdc->scan, FLOPPY_SECTOR_BYTES);
    }
}

/* FFh on either side matches anything (8272A, "Scan commands"). */
static void
compare(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;
    const uint8_t *data = fdc->buffer + (size_t)fdc_sector_index(fdc) * FLOPPY_SECTOR_BYTES;
    uint32_t i = 0;

    while (i < t->moved && (data[i] == fdc->scan[i] || data[i] == 0xff || fdc->scan[i] == 0xff)) {
        i++;
    }
    t->st2 &= (uint8_t) ~(ST2_SCAN_HIT | ST2_SCAN_MISS);
    if (i == t->moved) {
        t->st2 |= ST2_SCAN_HIT;
    } else if (t->op == FDC_OP_SCAN_EQUAL ||
               (data[i] < fdc->scan[i]) != (t->op == FDC_OP_SCAN_LOW)) {
        t->st2 |= ST2_SCAN_MISS;
    }
}

uint32_t
fdc_step_sector(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;
    struct fdc_drive *drive = fdc_transfer_drive(fdc);
    uint32_t index = fdc_sector_index(fdc);

    t->step = FDC_STEP_NEXT;
    if (!drive->medium.inserted) {
        return fdc_fail(fdc, 0, ST1_MISSING, 0);
    }
    fdc->srb ^= is_write(t) ? SRB_WRITE_DATA : SRB_READ_DATA;
    switch (t->op) {
    case FDC_OP_WRITE:
        if (on_image(drive, t->cylinder, index, 1) == 0) {
            return fdc_fail(fdc, 0, ST1_CRC, 0);
        }
        t->dirty[t->head % FLOPPY_MAX_HEADS] |= UINT64_C(1) << (t->r - 1);
        fdc_deleted_set(&drive->medium, t->cylinder, t->head, t->r, t->flags & FDC_T_DELETED);
        break;
    case FDC_OP_SCAN_EQUAL:
    case FDC_OP_SCAN_LOW:
    case FDC_OP_SCAN_HIGH:
        compare(fdc);
        break;
    case FDC_OP_FORMAT:
    case FDC_OP_FORMAT_WRITE:
        take_id(fdc, drive);
        break;
    default:
        break;
    }
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
        return fail_after_two_turns(fdc, ST1_NO_DATA, 0);
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
                     until_sector_end(fdc, drive, sectors) + floppy_drive_turn_ns(drive->type));
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
    return submit(fdc, drive, count != 0 ? BP_BLOCK_WRITE : BP_BLOCK_FLUSH, first, count);
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
