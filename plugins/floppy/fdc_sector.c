/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a data command that are about one sector: find its ID, have its data, take what the
 * host gave. See fdc_steps.c. */
#include "floppy.h"

#include <string.h>

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

    if (!fdc_has_marks(fdc, drive)) {
        return fdc_fail_after_two_turns(fdc, ST1_MISSING, 0);
    }
    if (t->op == FDC_OP_READ_TRACK) {
        compare_id(fdc, drive);
    } else if (t->c != t->cylinder) {
        return fdc_fail_after_two_turns(fdc, ST1_NO_DATA, ST2_CYLINDER);
    } else if (t->h != t->head || t->n != FLOPPY_SIZE_CODE || t->r == 0 ||
               t->r > drive->medium.format.sectors) {
        return fdc_fail_after_two_turns(fdc, ST1_NO_DATA, 0);
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

uint32_t
fdc_submit(struct fdc *fdc, struct fdc_drive *drive, uint32_t op, uint32_t first, uint32_t count)
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
        return fdc_pause(fdc, fdc_until_sector_end(fdc, drive, index % sectors + 1));
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
    return fdc_submit(fdc, drive, BP_BLOCK_READ, index, count);
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
    fdc->srb ^= fdc_is_write(t) ? SRB_WRITE_DATA : SRB_READ_DATA;
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
