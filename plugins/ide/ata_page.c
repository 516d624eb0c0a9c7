/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of data that no sector holds: what the disk tells of itself, and what it is told. They lie
 * at the start of the buffer; by PIO each block is announced by itself, by DMA they move at once.
 */
#include "ata_disk.h"

#include <string.h>

void
ata_page_start(struct ata_disk *disk, uint8_t kind, uint32_t blocks)
{
    struct ata_transfer *t = &disk->transfer;

    t->kind = kind;
    t->block = 1;
    t->chunk = blocks;
    t->taken = 0;
    if (kind == ATA_T_PAGE_DMA_IN || kind == ATA_T_PAGE_DMA_OUT) {
        ide_device_request_dma(&disk->device);
    } else {
        ata_transfer_offer(disk, kind == ATA_T_PAGE_IN);
    }
}

/* What the host sent is in the buffer. */
static uint8_t
take_blocks(struct ata_disk *disk)
{
    switch (disk->transfer.opcode) {
    case ATA_WRITE_BUFFER:
    case ATA_WRITE_BUFFER_DMA:
        memcpy(disk->sector_buffer, disk->buffer, ATA_SECTOR);
        return 0;
    case ATA_DEVICE_CONFIGURATION:
        return ata_dco_received(disk);
    case ATA_SET_MAX:
        return ata_set_max_received(disk);
    case ATA_SMART:
    case ATA_WRITE_LOG_EXT:
    case ATA_WRITE_LOG_DMA_EXT:
        return ata_log_received(disk);
    default:
        return ata_security_received(disk);
    }
}

static void
received(struct ata_disk *disk)
{
    uint32_t dma = disk->transfer.kind == ATA_T_PAGE_DMA_OUT;
    uint8_t error = take_blocks(disk);

    if (dma) {
        ide_bus_master_finish(disk->device.channel);
    }
    if (error == 0 && disk->transfer.kind == ATA_T_ERASE) {
        ata_transfer_advance(disk); /* the password was right */
    } else {
        ata_disk_abort(disk, error);
    }
}

void
ata_page_block_done(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;

    t->taken++;
    if (t->taken < t->chunk) {
        ata_transfer_offer(disk, 1);
    } else if (t->kind == ATA_T_PAGE_OUT) {
        received(disk);
    } else {
        ata_log_delivered(disk);
        memset(t, 0, sizeof(*t));
        ide_device_idle(&disk->device, 0); /* announced by the interrupt before the last block */
    }
}

void
ata_page_dma(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;
    uint32_t in = t->kind == ATA_T_PAGE_DMA_IN;
    struct ide_prd_cursor end;
    uint32_t copied;
    int32_t r;

    if (!ide_may_master(disk->device.ide)) {
        ide_bus_master_finish(disk->device.channel);
        ata_disk_abort(disk, in ? 0 : ATA_ABRT); /* as for sectors: see transfer_without_bus() */
        return;
    }
    r = ide_bus_master_copy(disk->device.channel, disk->buffer, t->chunk * ATA_SECTOR, in, &end,
                            &copied);
    if (r != IDE_SG_OK) {
        ata_transfer_bus_error(disk, r == IDE_SG_FAULT);
        return;
    }
    ide_bus_master_commit(disk->device.channel, &end);
    if (in) {
        ata_log_delivered(disk);
        ata_transfer_finish(disk);
    } else {
        received(disk);
    }
}
