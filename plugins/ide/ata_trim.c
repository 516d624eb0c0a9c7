/* SPDX-License-Identifier: Apache-2.0 */
/* DATA SET MANAGEMENT with TRIM (ACS-2, 7.5): a list of ranges comes by DMA, each 48 bits of
 * address and 16 bits of length, and is handed to the backend as discards, neighbours joined. */
#include "ata_disk.h"

#define RANGE_BYTES  8u
#define FEATURE_TRIM 0x01u

/* In a trim, transfer.filled counts ranges done and transfer.taken sectors done of the current one;
 * transfer.chunk is the number of ranges. */

static uint64_t
range_at(const struct ata_disk *disk, uint32_t index)
{
    return bp_load_le(disk->buffer + (size_t)index * RANGE_BYTES, RANGE_BYTES);
}

static uint64_t
range_lba(uint64_t range)
{
    return range & UINT64_C(0xffffffffffff);
}

static uint32_t
range_sectors(uint64_t range)
{
    return (uint32_t)(range >> 48);
}

/* Nothing is discarded unless every range lies on the disk. */
static uint32_t
ranges_valid(const struct ata_disk *disk)
{
    for (uint32_t i = 0; i < disk->transfer.chunk; i++) {
        uint64_t range = range_at(disk, i);
        if (range_sectors(range) != 0 &&
            (range_lba(range) >= disk->sectors ||
             range_sectors(range) > disk->sectors - range_lba(range))) {
            return 0;
        }
    }
    return 1;
}

/* The count has 16 bits. Software that writes the register once leaves what was in it before as the
 * high half; a count that no disk of 64 blocks takes is such a one, and its low half is meant. */
static uint32_t
count_of_blocks(const struct ide_registers *regs)
{
    uint32_t blocks = regs->count[0] | (uint32_t)regs->count[1] << 8;

    return blocks <= ATA_TRIM_BLOCKS ? blocks : regs->count[0];
}

void
ata_trim(struct ata_disk *disk)
{
    struct ide_registers *regs = &disk->device.regs;
    uint32_t blocks = count_of_blocks(regs);

    if (!disk->io.can_discard || !disk->options.discard || regs->features[0] != FEATURE_TRIM ||
        blocks == 0 || blocks > ATA_TRIM_BLOCKS) {
        ata_disk_abort(disk, ATA_ABRT);
        return;
    }
    ata_disk_touch(disk, 1);
    disk->transfer.kind = ATA_T_TRIM;
    disk->transfer.left = blocks;
    disk->transfer.chunk = blocks * (ATA_SECTOR / RANGE_BYTES);
    ata_transfer_start(disk);
}

/* Fetches the ranges. Returns 0 if the command ended. */
static uint32_t
fetch_ranges(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;
    struct ide_prd_cursor end;
    uint32_t copied;
    int32_t r;

    if (!ide_may_master(disk->device.ide)) {
        ata_transfer_fail(disk, ATA_ABRT); /* as a write that gets no data */
        return 0;
    }
    r = ide_bus_master_copy(disk->device.channel, disk->buffer, t->left * ATA_SECTOR, 0, &end,
                            &copied);
    if (r != IDE_SG_OK) {
        ata_transfer_bus_error(disk, r == IDE_SG_FAULT);
        return 0;
    }
    ide_bus_master_commit(disk->device.channel, &end);
    if (!ranges_valid(disk)) {
        ata_transfer_fail(disk, ATA_IDNF | ATA_ABRT);
        return 0;
    }
    t->flags |= ATA_TF_RANGES;
    return 1;
}

/* The next piece to discard: ranges that follow each other on the disk are one. Returns 0 at the
 * end. */
static uint64_t
next_piece(struct ata_disk *disk, uint64_t *lba)
{
    struct ata_transfer *t = &disk->transfer;
    uint64_t sectors = 0;

    for (; t->filled < t->chunk; t->filled++) {
        uint64_t range = range_at(disk, t->filled);
        if (range_sectors(range) == 0) {
            continue;
        }
        if (sectors != 0 && range_lba(range) != *lba + sectors) {
            break;
        }
        *lba = sectors != 0 ? *lba : range_lba(range);
        sectors += range_sectors(range);
    }
    return sectors;
}

/* t->lba, t->limit: the piece being discarded and what is left of it. */
void
ata_trim_advance(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;
    uint64_t max = disk->io.max_discard != 0 ? disk->io.max_discard : UINT32_MAX;
    uint64_t count;

    if (!(t->flags & ATA_TF_RANGES)) {
        t->limit = 0;
        if (!fetch_ranges(disk)) {
            return;
        }
    }
    if (t->limit == 0) {
        uint64_t lba = 0;
        t->limit = (uint32_t)next_piece(disk, &lba);
        t->lba = lba;
    }
    if (t->limit == 0) {
        ata_transfer_finish(disk);
        return;
    }
    count = t->limit < max ? t->limit : max;
    t->request = (uint32_t)count;
    if (ata_io_submit(disk, BP_BLOCK_DISCARD, t->lba, count, NULL, 0) != 0) {
        ata_transfer_fail(disk, ATA_ABRT);
    }
}

void
ata_trim_completed(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;

    t->lba += t->request;
    t->limit -= t->request;
    ata_transfer_advance(disk);
}
