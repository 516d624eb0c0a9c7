/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes between the FIFO and the host: by DMA, or by INT and RQM (82077AA, 4.2). */
#include "floppy.h"

#include <string.h>

#define ID_BYTES 4u

uint32_t
fdc_moves_to_host(const struct fdc_transfer *transfer)
{
    return transfer->op == FDC_OP_READ || transfer->op == FDC_OP_READ_TRACK;
}

/* Bytes of one unit: a sector, or what FORMAT wants for each. */
static uint32_t
unit_bytes(const struct fdc_transfer *t)
{
    switch (t->op) {
    case FDC_OP_FORMAT:
        return ID_BYTES;
    case FDC_OP_FORMAT_WRITE:
        return ID_BYTES + FLOPPY_SECTOR_BYTES;
    default:
        return FLOPPY_SECTOR_BYTES;
    }
}

/* Where the next byte of the unit is, and how many follow there. */
static uint8_t *
unit_data(struct fdc *fdc, uint32_t *left)
{
    struct fdc_transfer *t = &fdc->transfer;
    uint32_t moved = t->moved;

    if (t->op == FDC_OP_FORMAT || (t->op == FDC_OP_FORMAT_WRITE && moved < ID_BYTES)) {
        *left = ID_BYTES - moved;
        return t->id + moved;
    }
    if (t->op == FDC_OP_FORMAT_WRITE) {
        moved -= ID_BYTES;
    }
    *left = FLOPPY_SECTOR_BYTES - moved;
    if (t->op == FDC_OP_READ || t->op == FDC_OP_READ_TRACK || t->op == FDC_OP_WRITE) {
        return fdc->buffer + (size_t)fdc_sector_index(fdc) * FLOPPY_SECTOR_BYTES + moved;
    }
    return fdc->scan + moved;
}

/* --- asking the host ----------------------------------------------------------------------------
 */

/* With timing a host that leaves the FIFO alone for the time of a sector has lost data. The chip
 * itself waits for 1 to 16 bytes only; no guest that shares its processor could keep up. */
void
fdc_watch_host(struct fdc *fdc)
{
    const struct fdc_drive *drive = fdc_transfer_drive(fdc);
    uint64_t now, sector;

    if (!fdc->real_time || !(fdc->transfer.flags & FDC_T_SERVICE) || drive == NULL ||
        drive->medium.format.sectors == 0) {
        return;
    }
    now = fdc->host.timer->now(fdc->host.instance, BP_CLOCK_VIRTUAL);
    sector = floppy_drive_turn_ns(drive->type) / drive->medium.format.sectors;
    fdc->transfer.host_deadline_ns = now + sector;
    fdc->host.timer->arm(fdc->host.instance, FDC_TIMER_HOST, now + sector);
}

void
fdc_host_expired(void *opaque)
{
    struct fdc *fdc = opaque;

    if (fdc->transfer.flags & FDC_T_SERVICE) {
        (void)fdc_fail(fdc, 0, ST1_OVERRUN, 0);
        fdc_run(fdc);
    }
}

void
fdc_service_end(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;

    if (!(t->flags & FDC_T_SERVICE)) {
        return;
    }
    t->flags &= ~FDC_T_SERVICE;
    if (fdc->real_time) {
        fdc->host.timer->cancel(fdc->host.instance, FDC_TIMER_HOST);
        t->host_deadline_ns = 0;
    }
    if (t->flags & FDC_T_PIO) {
        fdc_interrupt(fdc, 0);
    } else {
        fdc->host.isadma->dreq(fdc->host.instance, FDC_DMA_CHANNEL, 0);
    }
}

/* Bytes the host can move before INT drops: one without FIFO, else from the threshold on. */
static uint8_t
fifo_share(const struct fdc *fdc)
{
    uint32_t threshold = (fdc->config & CONFIG_THRESHOLD) + 1;

    if (fdc->config & CONFIG_NO_FIFO) {
        return 1;
    }
    if (!fdc_moves_to_host(&fdc->transfer) && fdc->transfer.moved == 0) {
        return FDC_FIFO_BYTES;
    }
    return (uint8_t)(threshold < FDC_FIFO_BYTES ? FDC_FIFO_BYTES - threshold : 1);
}

/* --- the unit is through ------------------------------------------------------------------------
 */

/* Terminal count within a sector that is written: zeroes fill it (82077AA, 5.1.5). */
static uint32_t
unit_done(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;
    struct fdc_drive *drive = fdc_transfer_drive(fdc);
    uint32_t left = 0;
    uint8_t *rest = unit_data(fdc, &left);

    fdc_service_end(fdc);
    if (t->moved < unit_bytes(t) && t->op == FDC_OP_FORMAT) {
        t->step = FDC_STEP_NEXT; /* half an ID names no sector */
        return 1;
    }
    if (t->moved < unit_bytes(t) && t->op == FDC_OP_FORMAT_WRITE && t->moved < ID_BYTES) {
        t->step = FDC_STEP_NEXT;
        return 1;
    }
    if (t->moved < unit_bytes(t) && !fdc_moves_to_host(t) &&
        !(t->op >= FDC_OP_SCAN_EQUAL && t->op <= FDC_OP_SCAN_HIGH)) {
        memset(rest, 0, left);
    }
    t->step = FDC_STEP_SECTOR;
    if (t->op != FDC_OP_WRITE || drive == NULL || drive->medium.format.sectors == 0) {
        return 1;
    }
    return fdc_pause(fdc, floppy_drive_turn_ns(drive->type) / drive->medium.format.sectors);
}

/* --- DMA ----------------------------------------------------------------------------------------
 */

/* Whether the channel is programmed for what the command does. One that counts without moving
 * serves commands that read. */
static uint32_t
channel_fits(struct fdc *fdc)
{
    struct bp_isadma_status status = {.size = sizeof(status)};
    uint32_t to_host = fdc_moves_to_host(&fdc->transfer);

    if (fdc->host.isadma->status(fdc->host.instance, FDC_DMA_CHANNEL, &status) != 0 ||
        status.masked) {
        return 0;
    }
    return status.direction == (to_host ? BP_ISADMA_TO_MEMORY : BP_ISADMA_FROM_MEMORY) ||
           (status.direction == BP_ISADMA_VERIFY && to_host);
}

static uint32_t
move_by_dma(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;

    if (!(t->flags & FDC_T_SERVICE)) {
        t->flags |= FDC_T_SERVICE;
        fdc->host.isadma->dreq(fdc->host.instance, FDC_DMA_CHANNEL, 1);
        fdc_watch_host(fdc);
    }
    while (t->moved < unit_bytes(t) && !(t->flags & FDC_T_TERMINAL)) {
        uint32_t left = 0, terminal = 0;
        uint8_t *data = unit_data(fdc, &left);
        int32_t n;

        if (!channel_fits(fdc)) {
            return 0;
        }
        n = fdc->host.isadma->transfer(fdc->host.instance, FDC_DMA_CHANNEL, data, left, &terminal);
        if (n <= 0) {
            return 0;
        }
        t->moved += bp_min_u32((uint32_t)n, left);
        t->flags |= terminal ? FDC_T_TERMINAL : 0;
    }
    return unit_done(fdc);
}

void
fdc_dma_ready(void *opaque)
{
    struct fdc *fdc = opaque;

    if (fdc->transfer.step == FDC_STEP_MOVE && !(fdc->transfer.flags & FDC_T_PIO)) {
        fdc_run(fdc);
    }
}

/* --- PIO ----------------------------------------------------------------------------------------
 */

uint32_t
fdc_step_move(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;

    if (!(t->flags & FDC_T_PIO)) {
        return move_by_dma(fdc);
    }
    if (t->moved >= unit_bytes(t)) {
        return unit_done(fdc);
    }
    if (!(t->flags & FDC_T_SERVICE)) {
        t->flags |= FDC_T_SERVICE;
        t->fifo = fifo_share(fdc);
        fdc_interrupt(fdc, 1);
        fdc_watch_host(fdc);
    }
    return 0;
}

/* A byte went through the FIFO. */
static void
pio_moved(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;

    t->moved++;
    if (t->moved >= unit_bytes(t)) {
        fdc_run(fdc);
        return;
    }
    fdc_watch_host(fdc);
    if (t->fifo > 1) {
        t->fifo--;
    } else {
        t->fifo = fifo_share(fdc);
        fdc_interrupt_again(fdc);
    }
}

uint8_t
fdc_pio_read(struct fdc *fdc)
{
    struct fdc_transfer *t = &fdc->transfer;
    uint32_t left = 0;
    uint8_t value;

    if (!(t->flags & FDC_T_PIO) || !(t->flags & FDC_T_SERVICE) || !fdc_moves_to_host(t)) {
        return 0;
    }
    value = *unit_data(fdc, &left);
    pio_moved(fdc);
    return value;
}

void
fdc_pio_write(struct fdc *fdc, uint8_t value)
{
    struct fdc_transfer *t = &fdc->transfer;
    uint32_t left = 0;

    if ((t->flags & FDC_T_PIO) && (t->flags & FDC_T_SERVICE) && !fdc_moves_to_host(t)) {
        *unit_data(fdc, &left) = value;
        pio_moved(fdc);
    }
}
