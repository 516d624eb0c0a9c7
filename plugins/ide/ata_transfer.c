/* SPDX-License-Identifier: Apache-2.0 */
/* Moves the data of a command between host, buffer and backend: see ata_disk.h. */
#include "ata_disk.h"

#include <string.h>

static uint32_t
is_dma(uint8_t kind)
{
    return kind == ATA_T_DMA_IN || kind == ATA_T_DMA_OUT || kind == ATA_T_TRIM ||
           kind == ATA_T_PAGE_DMA_IN || kind == ATA_T_PAGE_DMA_OUT;
}

/* Whether the registers of the command are the address of sectors that move. */
static uint32_t
is_addressed(uint8_t kind)
{
    return kind >= ATA_T_PIO_IN && kind <= ATA_T_VERIFY;
}

/* --- the end of a command -------------------------------------------------------------------- */

/* The registers of a command that moved sectors end at the last one, with nothing left to do. */
static void
end_registers(struct ata_disk *disk)
{
    const struct ata_transfer *t = &disk->transfer;
    struct ide_registers *regs = &disk->device.regs;

    if (!is_addressed(t->kind) || t->lba == 0) {
        return;
    }
    ata_address_write(disk, t->addressing, t->lba - 1);
    regs->count[0] = 0;
    if (t->addressing == ATA_LBA48) {
        regs->count[1] = 0;
    }
}

static void
power_after_flush(struct ata_disk *disk)
{
    if (disk->transfer.flags & ATA_TF_STANDBY) {
        disk->settings.power = ATA_POWER_STANDBY;
    }
    if (disk->transfer.flags & ATA_TF_SLEEP) {
        disk->device.asleep = 1;
    }
}

/* In the Status register of a streaming command bit 5 is the stream error, and bit 4 a deferred
 * write error, of which there are none. */
static void
stream_status(struct ata_disk *disk, uint8_t bits)
{
    disk->device.regs.status = (uint8_t)((disk->device.regs.status & ~ATA_DSC) | bits);
}

void
ata_transfer_end(struct ata_disk *disk, uint8_t error, uint32_t interrupt)
{
    struct ata_transfer *t = &disk->transfer;
    uint32_t dma = is_dma(t->kind);
    uint8_t stream = t->stream;
    uint8_t bits = 0;

    if (stream) {
        error = ata_stream_end(disk, &bits);
    }
    memset(t, 0, sizeof(*t));
    if (dma) {
        ide_bus_master_finish(disk->device.channel);
    }
    ide_device_idle(&disk->device, error);
    if (stream) {
        stream_status(disk, bits);
    }
    if (interrupt) {
        ide_device_interrupt(&disk->device);
    }
}

void
ata_transfer_finish(struct ata_disk *disk)
{
    end_registers(disk);
    power_after_flush(disk);
    if (disk->transfer.kind == ATA_T_ERASE) {
        ata_erase_finished(disk);
    }
    /* the last block of a PIO read was announced by its own interrupt */
    ata_transfer_end(disk, 0, disk->transfer.kind != ATA_T_PIO_IN);
}

void
ata_transfer_fail(struct ata_disk *disk, uint8_t error)
{
    struct ata_transfer *t = &disk->transfer;

    if (t->stream) {
        ata_stream_note(disk, error, t->lba, 1);
    } else if (is_addressed(t->kind)) {
        ata_address_write(disk, t->addressing, t->lba);
        disk->device.regs.count[0] = (uint8_t)t->left;
        if (t->addressing == ATA_LBA48) {
            disk->device.regs.count[1] = (uint8_t)(t->left >> 8);
        }
    }
    ata_transfer_end(disk, error, 1);
}

void
ata_transfer_refuse(struct ata_disk *disk, uint8_t error)
{
    if (disk->transfer.stream) {
        ata_stream_note(disk, error, disk->transfer.lba, disk->transfer.left);
    }
    ata_transfer_end(disk, error, 1);
}

/* The table of the bus master was too short, or led nowhere. A real disk would wait for the rest of
 * its data until a reset; here the command ends, without an interrupt, so that Active and Interrupt
 * are both 0 and the driver's error handling finds a disk that is ready. */
void
ata_transfer_bus_error(struct ata_disk *disk, uint32_t error)
{
    uint8_t stream = disk->transfer.stream;

    memset(&disk->transfer, 0, sizeof(disk->transfer));
    ide_bus_master_fail(disk->device.channel, error);
    ide_device_idle(&disk->device, 0);
    if (stream) {
        stream_status(disk, 0);
    }
}

/* --- requests -------------------------------------------------------------------------------- */

/* Sectors [first, first + count) of the buffer as the memory of a request. */
static void
submit_buffer(struct ata_disk *disk, uint32_t op, uint32_t first, uint32_t count)
{
    struct ata_transfer *t = &disk->transfer;

    t->request = count;
    disk->io.buffer_iov.base = disk->buffer + (size_t)first * ATA_SECTOR;
    disk->io.buffer_iov.length = (uint64_t)count * ATA_SECTOR;
    if (ata_io_submit(disk, op, t->lba, count, &disk->io.buffer_iov, 1) != 0) {
        ata_transfer_fail(disk, ATA_ABRT);
    }
}

static void
submit_flush(struct ata_disk *disk)
{
    if (ata_io_submit(disk, BP_BLOCK_FLUSH, 0, 0, NULL, 0) != 0) {
        ata_transfer_fail(disk, ATA_ABRT);
    }
}

/* The part of the chunk that the backend has not done yet. */
static void
advance_chunk(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;
    uint32_t count = bp_min_u32(t->chunk - t->filled, t->limit);

    count = (uint32_t)(count < disk->io.max_sectors ? count : disk->io.max_sectors);
    submit_buffer(disk, t->kind == ATA_T_PIO_OUT ? BP_BLOCK_WRITE : BP_BLOCK_READ, t->filled,
                  count);
}

static void
begin_chunk(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;

    t->chunk = bp_min_u32(t->left, ATA_BUFFER_SECTORS);
    t->filled = 0;
    t->taken = 0;
}

/* Through the buffer: a sector lies in more pieces than a request may have, or the table ends
 * inside it. A write that does not get a whole sector does not happen. */
static void
advance_bounced(struct ata_disk *disk, uint32_t short_table)
{
    struct ata_transfer *t = &disk->transfer;
    uint32_t count =
        bp_min_u32(bp_min_u32(t->left, t->limit), short_table ? 1 : ATA_BUFFER_SECTORS);
    uint32_t copied;
    int32_t r;

    count = (uint32_t)(count < disk->io.max_sectors ? count : disk->io.max_sectors);
    t->bounced = 1;
    if (t->kind == ATA_T_DMA_IN) {
        submit_buffer(disk, BP_BLOCK_READ, 0, count);
        return;
    }
    r = ide_bus_master_copy(disk->device.channel, disk->buffer, count * ATA_SECTOR, 0,
                            &disk->io.sg.end, &copied);
    if (r == IDE_SG_SHORT && copied >= ATA_SECTOR) {
        copied -= copied % ATA_SECTOR;
        r = ide_bus_master_copy(disk->device.channel, disk->buffer, copied, 0, &disk->io.sg.end,
                                &copied);
    }
    if (r != IDE_SG_OK || copied < ATA_SECTOR) {
        ata_transfer_bus_error(disk, r == IDE_SG_FAULT);
        return;
    }
    submit_buffer(disk, BP_BLOCK_WRITE, 0, copied / ATA_SECTOR);
}

/* The function may not master the bus: nothing can be fetched. What a disk sends is lost; what it
 * does not get is an error. Interrupt and Active as for a table that is not exhausted. */
static void
transfer_without_bus(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;

    if (t->kind == ATA_T_DMA_IN) {
        t->lba += t->left;
        t->left = 0;
        ata_transfer_finish(disk);
    } else {
        ata_transfer_fail(disk, ATA_ABRT);
    }
}

static void
advance_dma(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;
    uint32_t in = t->kind == ATA_T_DMA_IN;
    uint64_t want = bp_min_u32(t->left, t->limit);
    struct ide_sg *sg = &disk->io.sg;
    int32_t r;

    if (!ide_may_master(disk->device.ide)) {
        transfer_without_bus(disk);
        return;
    }
    want = want < disk->io.max_sectors ? want : disk->io.max_sectors;
    r = ide_bus_master_gather(disk->device.channel, want * ATA_SECTOR, ATA_SECTOR, in, sg);
    if (r == IDE_SG_FULL || (r == IDE_SG_SHORT && sg->bytes != 0 && in)) {
        advance_bounced(disk, r == IDE_SG_SHORT);
        return;
    }
    if (r != IDE_SG_OK) {
        ata_transfer_bus_error(disk, r == IDE_SG_FAULT);
        return;
    }
    t->bounced = 0;
    t->request = (uint32_t)(sg->bytes / ATA_SECTOR);
    disk->io.dma_read = (uint8_t)in;
    if (ata_io_submit(disk, in ? BP_BLOCK_READ : BP_BLOCK_WRITE, t->lba, t->request, sg->iov,
                      sg->count) != 0) {
        ata_transfer_fail(disk, ATA_ABRT);
    }
}

void
ata_transfer_advance(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;

    ide_device_busy(&disk->device);
    if (disk->device.ide->quiescing) {
        t->flags |= ATA_TF_HELD;
        return;
    }
    if (ata_stream_expired(disk)) {
        return;
    }
    if (t->flags & ATA_TF_FLUSH) {
        submit_flush(disk);
        return;
    }
    switch (t->kind) {
    case ATA_T_PIO_IN:
    case ATA_T_PIO_OUT:
    case ATA_T_VERIFY:
        advance_chunk(disk);
        break;
    case ATA_T_DMA_IN:
    case ATA_T_DMA_OUT:
        advance_dma(disk);
        break;
    case ATA_T_FLUSH:
        submit_flush(disk);
        break;
    case ATA_T_TRIM:
        ata_trim_advance(disk);
        break;
    case ATA_T_ERASE:
        ata_erase_advance(disk);
        break;
    case ATA_T_PAGE_DMA_IN:
    case ATA_T_PAGE_DMA_OUT:
        ata_page_dma(disk);
        break;
    default:
        break;
    }
}

void
ata_transfer_retry(struct ata_disk *disk)
{
    if (disk->transfer.flags & ATA_TF_HELD) {
        disk->transfer.flags &= (uint8_t)~ATA_TF_HELD;
        ata_transfer_advance(disk);
    }
}

/* --- data blocks ----------------------------------------------------------------------------- */

void
ata_transfer_offer(struct ata_disk *disk, uint32_t interrupt)
{
    struct ata_transfer *t = &disk->transfer;
    uint32_t count = bp_min_u32(t->block, t->chunk - t->taken);

    ide_device_data(&disk->device, disk->buffer + (size_t)t->taken * ATA_SECTOR, count * ATA_SECTOR,
                    t->kind == ATA_T_PIO_IN || t->kind == ATA_T_PAGE_IN, interrupt);
    if (t->stream) {
        stream_status(disk, 0);
    }
}

static void
host_read_block(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;

    t->taken += bp_min_u32(t->block, t->chunk - t->taken);
    if (t->taken < t->chunk) {
        ata_transfer_offer(disk, 1);
    } else if (t->flags & ATA_TF_FAILED) {
        ata_transfer_fail(disk, ATA_UNC);
    } else if (t->left != 0) {
        begin_chunk(disk);
        ata_transfer_advance(disk);
    } else {
        ata_transfer_finish(disk);
    }
}

static void
host_wrote_block(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;

    t->taken += bp_min_u32(t->block, t->chunk - t->taken);
    if (t->taken < t->chunk) {
        ata_transfer_offer(disk, 1);
    } else {
        ata_transfer_advance(disk);
    }
}

void
ata_transfer_block_done(struct ide_device *device)
{
    struct ata_disk *disk = (struct ata_disk *)device;

    switch (disk->transfer.kind) {
    case ATA_T_PIO_IN:
        host_read_block(disk);
        break;
    case ATA_T_PIO_OUT:
        host_wrote_block(disk);
        break;
    default:
        ata_page_block_done(disk);
        break;
    }
}

void
ata_transfer_start(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;

    t->limit = UINT32_MAX;
    if (is_dma(t->kind)) {
        ide_device_request_dma(&disk->device);
        if (t->stream && disk->device.dmarq) {
            stream_status(disk, 0);
        }
        return;
    }
    begin_chunk(disk);
    if (t->kind == ATA_T_PIO_OUT) {
        ata_transfer_offer(disk, 0); /* the first block of a write is announced by DRQ alone */
    } else {
        ata_transfer_advance(disk);
    }
}

void
ata_transfer_dma(struct ide_device *device)
{
    struct ata_disk *disk = (struct ata_disk *)device;

    ata_transfer_advance(disk);
}

/* --- completions ----------------------------------------------------------------------------- */

/* All sectors are through; what must be on stable storage is flushed before the command ends. */
static void
data_complete(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;
    uint32_t write = t->kind == ATA_T_PIO_OUT || t->kind == ATA_T_DMA_OUT;
    uint32_t stable = ((t->flags & ATA_TF_FUA) && !disk->io.can_fua && disk->io.volatile_cache) ||
                      (t->stream & ATA_STREAM_FLUSH);

    if (write && stable) {
        t->flags |= ATA_TF_FLUSH;
        ata_transfer_advance(disk);
    } else {
        ata_transfer_finish(disk);
    }
}

/* A part of the chunk is done. */
static void
chunk_completed(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;

    t->filled += t->request;
    if (t->filled < t->chunk) {
        ata_transfer_advance(disk);
    } else if (t->kind == ATA_T_PIO_IN) {
        ata_transfer_offer(disk, 1);
    } else if (t->left == 0) {
        data_complete(disk);
    } else {
        begin_chunk(disk);
        if (t->kind == ATA_T_PIO_OUT) {
            ata_transfer_offer(disk, 1);
        } else {
            ata_transfer_advance(disk);
        }
    }
}

static void
dma_completed(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;
    uint32_t copied;
    int32_t r = IDE_SG_OK;

    if (t->bounced && t->kind == ATA_T_DMA_IN) {
        r = ide_bus_master_copy(disk->device.channel, disk->buffer, t->request * ATA_SECTOR, 1,
                                &disk->io.sg.end, &copied);
    }
    ide_bus_master_commit(disk->device.channel, &disk->io.sg.end);
    if (r != IDE_SG_OK) {
        ata_transfer_bus_error(disk, r == IDE_SG_FAULT);
    } else if (t->left != 0) {
        ata_transfer_advance(disk);
    } else {
        data_complete(disk);
    }
}

static void
request_done(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;

    if (t->kind == ATA_T_TRIM) {
        ata_trim_completed(disk);
        return;
    }
    if (t->kind == ATA_T_FLUSH || (t->flags & ATA_TF_FLUSH)) {
        ata_transfer_finish(disk);
        return;
    }
    t->lba += t->request;
    if (t->kind == ATA_T_ERASE) {
        ata_transfer_advance(disk);
        return;
    }
    t->left -= t->request;
    if (is_dma(t->kind)) {
        dma_completed(disk);
    } else {
        chunk_completed(disk);
    }
}

static void
zero_in_place(struct ata_disk *disk)
{
    const struct ide_sg *sg = &disk->io.sg;

    (void)bp_iovec_fill(sg->iov, sg->count, 0, 0, sg->bytes);
    ide_sg_mark_dirty(disk->device.ide, &disk->io.sg);
}

/* A bad sector read with the policy "ignore" reads as zeroes. */
static void
ignore_error(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;

    if (t->op == BP_BLOCK_READ && is_dma(t->kind) && !t->bounced) {
        zero_in_place(disk);
    } else if (t->op == BP_BLOCK_READ) {
        memset(disk->io.buffer_iov.base, 0, disk->io.buffer_iov.length);
    }
    t->limit = UINT32_MAX;
    request_done(disk);
}

/* The first bad sector was found at t->lba. A streaming command may go on after it.
 * A PIO read first delivers the whole blocks before it. */
static void
report_error(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;

    if ((t->stream & ATA_STREAM_CONTINUE) && t->op != BP_BLOCK_FLUSH) {
        ata_stream_note(disk, t->op == BP_BLOCK_READ ? ATA_UNC : ATA_ABRT, t->lba, 1);
        ignore_error(disk);
        return;
    }
    if (t->kind == ATA_T_PIO_IN) {
        uint32_t good = t->filled - t->filled % t->block;
        if (good != 0) {
            t->chunk = good;
            t->flags |= ATA_TF_FAILED;
            ata_transfer_offer(disk, 1);
            return;
        }
    }
    ata_transfer_fail(disk, t->op == BP_BLOCK_READ ? ATA_UNC : ATA_ABRT);
}

static void
request_failed(struct ata_disk *disk, int32_t status)
{
    struct ata_transfer *t = &disk->transfer;
    uint32_t action = bp_on_error_action(&disk->options.on_error, t->op, status);

    if (action == BP_ON_ERROR_STOP) {
        t->flags |= ATA_TF_HELD;
        ide_tell_error(&disk->device, t->op, status, action);
        return;
    }
    if ((t->op == BP_BLOCK_READ || t->op == BP_BLOCK_WRITE) && t->request > 1) {
        t->limit = t->request / 2; /* closes in on the first bad sector */
        ata_transfer_advance(disk);
        return;
    }
    ide_tell_error(&disk->device, t->op, status, action);
    if (action == BP_ON_ERROR_IGNORE) {
        ignore_error(disk);
    } else {
        report_error(disk);
    }
}

void
ata_transfer_completed(struct ata_disk *disk, int32_t status)
{
    struct ata_io *io = &disk->io;
    struct ata_transfer *t = &disk->transfer;

    if (io->dma_read) {
        ide_sg_mark_dirty(
            disk->device.ide,
            &disk->io.sg); /* whatever became of the command, memory may have changed */
        io->dma_read = 0;
    }
    if (io->dropped) {
        io->dropped = 0;
        ide_bus_master_settle(disk->device.channel);
        if (io->reset_due) {
            io->reset_due = 0;
            disk->device.regs.status = ATA_DRDY | ATA_DSC;
        }
    } else if (t->kind == ATA_T_NONE || ata_stream_expired(disk)) {
        return;
    } else if (status == 0) {
        request_done(disk);
    } else {
        request_failed(disk, status);
    }
}
