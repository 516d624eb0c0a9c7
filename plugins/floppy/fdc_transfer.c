/* SPDX-License-Identifier: Apache-2.0 */
/* Data commands: how they start, go on and end (82077AA, 5.1). What each step does: fdc_steps.c. */
#include "floppy.h"

#include <string.h>

#define OP_MASK         0x1fu
#define FORMAT_WRITE    0xadu
#define CODE_DELETED_RW 0x08u /* of READ and WRITE: 09h, 0Ch */

struct fdc_drive *
fdc_transfer_drive(struct fdc *fdc)
{
    const struct fdc_transfer *t = &fdc->transfer;

    return t->op != FDC_OP_NONE && t->unit < FDC_DRIVES ? &fdc->drives[t->unit] : NULL;
}

uint32_t
fdc_sector_index(struct fdc *fdc)
{
    const struct fdc_transfer *t = &fdc->transfer;
    const struct fdc_drive *drive = fdc_transfer_drive(fdc);
    uint32_t sectors = drive != NULL ? drive->medium.format.sectors : 0;
    uint32_t in_track =
        t->op == FDC_OP_READ_TRACK ? (sectors != 0 ? t->done % sectors : 0) : (uint32_t)t->r - 1;

    return bp_min_u32(t->head * sectors + in_track, FLOPPY_CYLINDER_SECTORS - 1);
}

/* --- running ------------------------------------------------------------------------------------
 */

void
fdc_run(struct fdc *fdc)
{
    static uint32_t (*const steps[FDC_STEPS])(struct fdc *) = {
        [FDC_STEP_BEGIN] = fdc_step_begin, [FDC_STEP_ARRIVE] = fdc_step_arrive,
        [FDC_STEP_FIND] = fdc_step_find,   [FDC_STEP_LOAD] = fdc_step_load,
        [FDC_STEP_MOVE] = fdc_step_move,   [FDC_STEP_SECTOR] = fdc_step_sector,
        [FDC_STEP_NEXT] = fdc_step_next,   [FDC_STEP_FLUSH] = fdc_step_flush,
        [FDC_STEP_END] = fdc_step_end,
    };
    struct fdc_transfer *t = &fdc->transfer;

    while (t->step != FDC_STEP_IDLE && !t->awaiting && !(t->flags & (FDC_T_WAITING | FDC_T_HELD))) {
        if (!steps[t->step](fdc)) {
            break;
        }
    }
}

uint32_t
fdc_pause(struct fdc *fdc, uint64_t delay_ns)
{
    struct fdc_transfer *t = &fdc->transfer;

    if (!fdc->real_time || delay_ns == 0) {
        return 1;
    }
    t->flags |= FDC_T_WAITING;
    t->deadline_ns = fdc->host.timer->now(fdc->host.instance, BP_CLOCK_VIRTUAL) + delay_ns;
    fdc->host.timer->arm(fdc->host.instance, FDC_TIMER_RUN, t->deadline_ns);
    return 0;
}

uint32_t
fdc_fail(struct fdc *fdc, uint32_t st0, uint32_t st1, uint32_t st2)
{
    struct fdc_transfer *t = &fdc->transfer;

    t->st0 |= (uint8_t)(ST0_ABNORMAL | st0);
    t->st1 |= (uint8_t)st1;
    t->st2 |= (uint8_t)st2;
    t->step = FDC_STEP_FLUSH;
    fdc_service_end(fdc);
    return 1;
}

void
fdc_transfer_abort(struct fdc *fdc)
{
    if (fdc->transfer.op == FDC_OP_NONE) {
        return;
    }
    fdc_service_end(fdc);
    fdc->host.timer->cancel(fdc->host.instance, FDC_TIMER_RUN);
    memset(&fdc->transfer, 0, sizeof(fdc->transfer));
}

/* The data the command still had to write belonged to that medium. */
void
fdc_transfer_medium_left(struct fdc *fdc, const struct fdc_drive *drive)
{
    struct fdc_transfer *t = &fdc->transfer;

    if (drive != fdc_transfer_drive(fdc) || t->step <= FDC_STEP_ARRIVE) {
        return;
    }
    memset(t->valid, 0, sizeof(t->valid));
    memset(t->dirty, 0, sizeof(t->dirty));
    t->flags &= ~FDC_T_SYNC;
    t->flags |= FDC_T_LOST;
    (void)fdc_fail(fdc, 0, ST1_MISSING, 0);
}

/* --- requests -----------------------------------------------------------------------------------
 */

/* The sector a request of one was for goes into the result. */
static void
name_bad_sector(struct fdc *fdc, const struct fdc_drive *drive)
{
    struct fdc_transfer *t = &fdc->transfer;
    uint32_t sectors = drive->medium.format.sectors;

    if (t->count == 0 || sectors == 0 || t->op == FDC_OP_READ_TRACK) {
        return;
    }
    t->head = (uint8_t)(t->first / sectors);
    t->c = (uint8_t)t->cylinder;
    t->h = t->head;
    t->r = (uint8_t)(t->first % sectors + 1);
}

static void
mark(uint64_t bits[FLOPPY_MAX_HEADS], uint32_t sectors, uint32_t first, uint32_t count,
     uint32_t value)
{
    for (uint32_t i = first; i < first + count; i++) {
        uint64_t bit = UINT64_C(1) << (i % sectors);
        uint64_t *word = &bits[i / sectors % FLOPPY_MAX_HEADS];
        *word = value ? *word | bit : *word & ~bit;
    }
}

static void
request_done(struct fdc *fdc, const struct fdc_drive *drive)
{
    struct fdc_transfer *t = &fdc->transfer;
    uint32_t sectors = drive->medium.format.sectors;

    if (t->count == 0) {
        t->flags &= ~FDC_T_SYNC;
    } else if (sectors != 0 && drive->flight_op == BP_BLOCK_READ) {
        mark(t->valid, sectors, t->first, t->count, 1);
    } else if (sectors != 0) {
        mark(t->dirty, sectors, t->first, t->count, 0);
        if (!drive->medium.can_fua && drive->medium.volatile_cache) {
            t->flags |= FDC_T_SYNC;
        }
    }
}

/* Data that cannot be read has a CRC error in its data field; where it cannot be written, the ID
 * itself is bad. */
static void
request_failed(struct fdc *fdc, struct fdc_drive *drive, int32_t status)
{
    struct fdc_transfer *t = &fdc->transfer;

    switch (fdc_io_failed(drive, status)) {
    case BP_ON_ERROR_STOP:
        t->flags |= FDC_T_HELD;
        break;
    case BP_ON_ERROR_IGNORE:
        if (t->count != 0 && drive->flight_op == BP_BLOCK_READ) {
            memset(fdc->buffer + (size_t)t->first * FLOPPY_SECTOR_BYTES, 0,
                   (size_t)t->count * FLOPPY_SECTOR_BYTES);
        }
        request_done(fdc, drive);
        break;
    default:
        name_bad_sector(fdc, drive);
        memset(t->dirty, 0, sizeof(t->dirty));
        t->flags &= ~FDC_T_SYNC;
        (void)fdc_fail(fdc, 0, ST1_CRC, drive->flight_op == BP_BLOCK_READ ? ST2_CRC : 0);
        break;
    }
}

void
fdc_transfer_completed(struct fdc *fdc, int32_t status)
{
    struct fdc_transfer *t = &fdc->transfer;
    struct fdc_drive *drive = fdc_transfer_drive(fdc);

    t->awaiting = 0;
    if (drive == NULL || (t->flags & FDC_T_LOST)) {
        return;
    }
    if (status == 0) {
        request_done(fdc, drive);
    } else if (t->count > 1) {
        t->flags |= FDC_T_SINGLE; /* once more, one by one: which is it? */
    } else {
        request_failed(fdc, drive, status);
    }
}

/* --- starting -----------------------------------------------------------------------------------
 */

/* What all data commands have in their first two bytes. */
static struct fdc_transfer *
start(struct fdc *fdc, uint32_t op)
{
    struct fdc_transfer *t = &fdc->transfer;
    const struct fdc_drive *drive = fdc_drive_selected(fdc, fdc->parameters[1]);

    memset(t, 0, sizeof(*t));
    t->op = (uint8_t)op;
    t->step = FDC_STEP_BEGIN;
    t->select = fdc->parameters[1] & SELECT_DRIVE;
    t->unit = (uint8_t)(drive != NULL ? drive->unit : FDC_DRIVES);
    t->head = (fdc->parameters[1] & SELECT_HEAD) != 0;
    t->n = FLOPPY_SIZE_CODE;
    if (fdc->specify[1] & SPECIFY_NON_DMA) {
        t->flags |= FDC_T_PIO;
    } else if (!(fdc->dor & DOR_DMA_GATE)) {
        t->flags |= FDC_T_PIO | FDC_T_GATE;
    }
    fdc->sra = (uint8_t)((fdc->sra & ~(SRA_HEAD | SRA_STEP)) | (t->head ? SRA_HEAD : 0));
    fdc->phase = FDC_PHASE_EXECUTION;
    return t;
}

/* And those that name a sector. */
static struct fdc_transfer *
start_sectors(struct fdc *fdc, uint32_t op)
{
    struct fdc_transfer *t = start(fdc, op);

    t->c = fdc->parameters[2];
    t->h = fdc->parameters[3];
    t->r = fdc->parameters[4];
    t->n = fdc->parameters[5];
    t->eot = fdc->parameters[6];
    t->flags |= fdc->parameters[0] & CMD_MULTI_TRACK ? FDC_T_MULTI : 0;
    t->flags |= fdc->parameters[0] & CMD_SKIP ? FDC_T_SKIP : 0;
    fdc->last_count = t->eot;
    return t;
}

void
fdc_start_read(struct fdc *fdc)
{
    struct fdc_transfer *t = start_sectors(fdc, FDC_OP_READ);

    t->flags |= fdc->parameters[0] & CODE_DELETED_RW ? FDC_T_DELETED : 0;
    fdc_run(fdc);
}

void
fdc_start_write(struct fdc *fdc)
{
    struct fdc_transfer *t = start_sectors(fdc, FDC_OP_WRITE);

    t->flags &= ~FDC_T_SKIP;
    t->flags |= fdc->parameters[0] & CODE_DELETED_RW ? FDC_T_DELETED : 0;
    fdc_run(fdc);
}

void
fdc_start_read_track(struct fdc *fdc)
{
    struct fdc_transfer *t = start_sectors(fdc, FDC_OP_READ_TRACK);

    t->flags &= ~(FDC_T_MULTI | FDC_T_SKIP);
    fdc_run(fdc);
}

void
fdc_start_verify(struct fdc *fdc)
{
    struct fdc_transfer *t = start_sectors(fdc, FDC_OP_VERIFY);

    t->flags &= ~(FDC_T_PIO | FDC_T_GATE);
    if (fdc->parameters[1] & VERIFY_COUNT) {
        t->flags |= FDC_T_COUNT;
        t->left = fdc->parameters[8] != 0 ? fdc->parameters[8] : 256;
    }
    fdc_run(fdc);
}

void
fdc_start_scan(struct fdc *fdc)
{
    uint32_t code = fdc->parameters[0] & OP_MASK;
    struct fdc_transfer *t = start_sectors(fdc, code == 0x11   ? FDC_OP_SCAN_EQUAL
                                                : code == 0x19 ? FDC_OP_SCAN_LOW
                                                               : FDC_OP_SCAN_HIGH);

    t->stride = fdc->parameters[8] == 2 ? 2 : 1; /* 8272A: 01 or 02 */
    fdc_run(fdc);
}

void
fdc_start_format(struct fdc *fdc)
{
    uint32_t write = (fdc->parameters[0] & ~0x40u) == FORMAT_WRITE;
    struct fdc_transfer *t = start(fdc, write ? FDC_OP_FORMAT_WRITE : FDC_OP_FORMAT);

    t->n = fdc->parameters[2];
    t->left = fdc->parameters[3];
    t->filler = fdc->parameters[5];
    fdc->last_count = fdc->parameters[3];
    fdc_run(fdc);
}

void
fdc_start_read_id(struct fdc *fdc)
{
    struct fdc_transfer *t = start(fdc, FDC_OP_READ_ID);

    t->flags &= ~(FDC_T_PIO | FDC_T_GATE);
    fdc_run(fdc);
}
