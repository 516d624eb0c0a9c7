/* SPDX-License-Identifier: Apache-2.0 */
/* The saved state of a hard disk. A command in progress is what struct ata_transfer says. */
#include "ata_disk.h"
#include "ide_state.h"

#include <stdlib.h>
#include <string.h>

#define TAG_BUFFER  0x80u /* what a command in progress has in the arena */
#define TAG_LOGS    0xa0u /* the host's logs that are not empty */
#define RANGE_BYTES 8u    /* of TRIM */

#define D(tag, member, max) BP_STATE_FIELD(tag, struct ata_disk, member, BP_FIELD_REQUIRED, max)
#define DA(tag, member)     BP_STATE_ARRAY(tag, struct ata_disk, member, BP_FIELD_REQUIRED)
/* Came later: a state without them is one of a disk that has their defaults. */
#define L(tag, member, max) BP_STATE_FIELD(tag, struct ata_disk, member, 0, max)
#define LA(tag, member)     BP_STATE_ARRAY(tag, struct ata_disk, member, 0)

static const struct bp_state_field disk_fields[] = {
    DA(0x01, device.regs.features),
    DA(0x02, device.regs.count),
    DA(0x03, device.regs.low),
    DA(0x04, device.regs.mid),
    DA(0x05, device.regs.high),
    D(0x06, device.regs.device, 0),
    D(0x07, device.regs.status, 0),
    D(0x08, device.regs.error, 0),
    D(0x09, device.intrq, 1),
    D(0x0a, device.dmarq, 1),
    D(0x0b, device.asleep, 1),
    D(0x0c, device.data_in, 1),
    D(0x0d, device.data_pos, ATA_BUFFER_BYTES),
    D(0x0e, device.data_end, ATA_BUFFER_BYTES),
    D(0x10, settings.write_cache, 1),
    D(0x11, settings.look_ahead, 1),
    D(0x12, settings.revert, 1),
    D(0x13, settings.multiple, ATA_MAX_MULTIPLE),
    D(0x14, settings.pio_mode, 4),
    D(0x15, settings.dma_mode, 0x45),
    D(0x16, settings.apm, 0xfe),
    D(0x17, settings.aam, 0),
    D(0x18, settings.smart, 1),
    D(0x19, settings.smart_autosave, 1),
    D(0x1a, settings.power, 0),
    D(0x1b, settings.standby_timer, 0),
    D(0x1c, settings.cylinders, 0),
    D(0x1d, settings.heads, 16),
    D(0x1e, settings.sectors, 0),
    D(0x20, transfer.kind, ATA_T_KINDS - 1),
    D(0x21, transfer.flags, ATA_TF_ALL),
    D(0x22, transfer.addressing, ATA_LBA48),
    D(0x23, transfer.opcode, 0),
    D(0x24, transfer.lba, 0),
    D(0x25, transfer.left, 65536),
    D(0x26, transfer.limit, 0),
    D(0x27, transfer.block, ATA_MAX_MULTIPLE),
    D(0x28, transfer.chunk, ATA_TRIM_RANGES),
    D(0x29, transfer.filled, ATA_TRIM_RANGES),
    D(0x2a, transfer.taken, ATA_BUFFER_SECTORS),
    D(0x30, sectors, 0),
    D(0x31, kept_sectors, 0),
    D(0x32, active_ns, 0),
    D(0x33, native_read, 1),
    D(0x34, selftest_status, 0),
    D(0x35, selftest_count, ATA_SELFTESTS),
    DA(0x36, selftest_log),
    DA(0x37, sector_buffer),
    LA(0x38, selftest_hours),
    L(0x40, security.enabled, 1),
    L(0x41, security.locked, 1),
    L(0x42, security.frozen, 1),
    L(0x43, security.maximum, 1),
    L(0x44, security.attempts, 5),
    L(0x45, security.prepared, 1),
    L(0x46, security.revision, 0),
    LA(0x47, security.user),
    LA(0x48, security.master),
    L(0x49, max_lock.active, 1),
    L(0x4a, max_lock.locked, 1),
    L(0x4b, max_lock.frozen, 1),
    L(0x4c, max_lock.attempts, 5),
    LA(0x4d, max_lock.password),
    L(0x50, dco.modified, 1),
    L(0x51, dco.frozen, 1),
    L(0x52, dco.multiword, ATA_MULTIWORD_MODES),
    L(0x53, dco.ultra, ATA_ULTRA_MODES),
    L(0x54, dco.features, ATA_DCO_ALL),
    L(0x55, dco.sectors, 0),
    LA(0x58, streams.valid),
    LA(0x59, streams.limit),
    L(0x5a, streams.log[0].count, 0),
    L(0x5b, streams.log[0].newest, 31),
    LA(0x5c, streams.log[0].entries),
    L(0x5d, streams.log[1].count, 0),
    L(0x5e, streams.log[1].newest, 31),
    LA(0x5f, streams.log[1].entries),
    L(0x60, transfer.stream, ATA_STREAM_ALL),
    L(0x61, transfer.bad_error, 0),
    L(0x62, transfer.bad_lba, 0),
    L(0x63, transfer.bad_sectors, 65536),
};

_Static_assert(BP_ARRAY_LENGTH(disk_fields) <= IDE_STATE_FIELDS, "tag table too small");

static uint32_t
is_page(uint8_t kind)
{
    return kind >= ATA_T_PAGE_IN && kind <= ATA_T_PAGE_DMA_OUT;
}

/* PIO: the counts fit the buffer and each other, and a data block is the one that they name. */
static int32_t
check_pio(const struct ata_disk *disk)
{
    const struct ata_transfer *t = &disk->transfer;
    uint32_t pio = t->kind == ATA_T_PIO_IN || t->kind == ATA_T_PIO_OUT ||
                   t->kind == ATA_T_PAGE_IN || t->kind == ATA_T_PAGE_OUT;

    if (disk->device.data_end == 0) {
        return 0;
    }
    if (!pio || t->taken >= t->chunk ||
        disk->device.data_end != bp_min_u32(t->block, t->chunk - t->taken) * ATA_SECTOR) {
        return -EINVAL;
    }
    return 0;
}

/* A streaming command moves sectors by 48-bit addresses, and knows on which of them it failed. */
static int32_t
check_stream(const struct ata_disk *disk)
{
    const struct ata_transfer *t = &disk->transfer;

    if (t->stream == 0) {
        return t->bad_error == 0 ? 0 : -EINVAL;
    }
    return !(t->stream & ATA_STREAM_ON) || t->kind < ATA_T_PIO_IN || t->kind > ATA_T_DMA_OUT ||
                   t->addressing != ATA_LBA48 || t->bad_lba > disk->native_sectors
               ? -EINVAL
               : 0;
}

static int32_t
check_transfer(const struct ata_disk *disk)
{
    const struct ata_transfer *t = &disk->transfer;
    uint32_t addressed = t->kind >= ATA_T_PIO_IN && t->kind <= ATA_T_VERIFY;
    uint32_t buffered =
        t->kind == ATA_T_PIO_IN || t->kind == ATA_T_PIO_OUT || t->kind == ATA_T_VERIFY;
    uint32_t page = is_page(t->kind);

    if (addressed && (t->lba > disk->native_sectors || t->left > disk->native_sectors - t->lba ||
                      t->block == 0 || t->limit == 0)) {
        return -EINVAL;
    }
    if ((t->kind == ATA_T_ERASE && t->lba > disk->native_sectors) ||
        (page && (t->block != 1 || (t->flags & ATA_TF_FLUSH)))) {
        return -EINVAL;
    }
    if ((buffered || page) && (t->chunk == 0 || t->chunk > ATA_BUFFER_SECTORS ||
                               t->filled > t->chunk || t->taken > t->chunk)) {
        return -EINVAL;
    }
    /* the backend still has to do a part of the chunk */
    if ((t->kind == ATA_T_PIO_OUT || (buffered && (t->flags & ATA_TF_HELD))) &&
        !(t->flags & ATA_TF_FLUSH) && (t->filled == t->chunk || t->chunk - t->filled > t->left)) {
        return -EINVAL;
    }
    if ((t->kind == ATA_T_DMA_IN || t->kind == ATA_T_DMA_OUT) && t->left == 0 &&
        !(t->flags & ATA_TF_FLUSH)) {
        return -EINVAL;
    }
    if (t->kind == ATA_T_TRIM &&
        (t->chunk > ATA_TRIM_RANGES || t->left > ATA_TRIM_BLOCKS || t->filled > t->chunk ||
         ((t->flags & ATA_TF_RANGES) &&
          (t->lba > disk->native_sectors || t->limit > disk->native_sectors - t->lba)))) {
        return -EINVAL;
    }
    return 0;
}

/* What no table can say. disk: a scratch copy that has the new fields. */
static int32_t
check_disk(const struct ata_disk *disk)
{
    const struct ata_settings *s = &disk->settings;

    if (disk->device.data_pos > disk->device.data_end ||
        (disk->device.data_end != 0 && disk->device.data_pos == disk->device.data_end) ||
        s->heads == 0 || s->sectors == 0 || (s->multiple & (s->multiple - 1)) != 0 ||
        disk->sectors > disk->native_sectors || disk->kept_sectors > disk->native_sectors ||
        disk->sectors == 0 || disk->kept_sectors == 0 || !ata_dco_valid(disk) ||
        (disk->device.dmarq && disk->transfer.kind != ATA_T_DMA_IN &&
         disk->transfer.kind != ATA_T_DMA_OUT && disk->transfer.kind != ATA_T_TRIM &&
         disk->transfer.kind != ATA_T_PAGE_DMA_IN && disk->transfer.kind != ATA_T_PAGE_DMA_OUT)) {
        return -EINVAL;
    }
    if (check_pio(disk) != 0 || check_stream(disk) != 0) {
        return -EINVAL;
    }
    return check_transfer(disk);
}

/* What of the buffer a command in progress needs. */
static uint64_t
buffer_bytes(const struct ata_disk *disk)
{
    const struct ata_transfer *t = &disk->transfer;

    switch (t->kind) {
    case ATA_T_PIO_IN:
    case ATA_T_PIO_OUT:
    case ATA_T_PAGE_IN:
    case ATA_T_PAGE_OUT:
    case ATA_T_PAGE_DMA_IN:
    case ATA_T_PAGE_DMA_OUT:
        return (uint64_t)t->chunk * ATA_SECTOR;
    case ATA_T_TRIM:
        return (t->flags & ATA_TF_RANGES) ? (uint64_t)t->chunk * RANGE_BYTES : 0;
    default:
        return 0;
    }
}

static uint8_t *
host_log(const struct ata_disk *disk, uint32_t i)
{
    return disk->host_logs + (size_t)i * ATA_HOST_LOG_BYTES;
}

static int32_t
save_host_logs(const struct ata_disk *disk, uint32_t base, const struct bp_state_sink *sink)
{
    int32_t r = 0;

    for (uint32_t i = 0; i < ATA_HOST_LOGS && r == 0; i++) {
        const uint8_t *log = host_log(disk, i);
        if (log[0] != 0 || memcmp(log, log + 1, ATA_HOST_LOG_BYTES - 1) != 0) {
            r = sink->put(sink, base + TAG_LOGS + i, log, ATA_HOST_LOG_BYTES);
        }
    }
    return r;
}

int32_t
ata_disk_save(const struct ide_device *device, const struct bp_state_sink *sink)
{
    const struct ata_disk *disk = (const struct ata_disk *)device;
    uint32_t base = ide_state_base(device);
    struct ide_state_table table;
    int32_t r;

    ide_state_table_make(&table, disk_fields, BP_ARRAY_LENGTH(disk_fields), base);
    r = bp_state_save(table.fields, table.count, disk, sink);
    if (r == 0) {
        r = save_host_logs(disk, base, sink);
    }
    if (r != 0 || buffer_bytes(disk) == 0) {
        return r;
    }
    return sink->put(sink, base + TAG_BUFFER, disk->buffer, buffer_bytes(disk));
}

/* Not a block more than the disk gave itself. */
static int32_t
check_blobs(const struct ata_disk *trial, const struct ide_state_blob *blobs)
{
    for (uint32_t i = 1; i <= ATA_HOST_LOGS; i++) {
        if (blobs[i].data != NULL && blobs[i].length != ATA_HOST_LOG_BYTES) {
            return -EINVAL;
        }
    }
    return blobs[0].length == buffer_bytes(trial) ? 0 : -EINVAL;
}

static void
apply_blobs(struct ata_disk *disk, const struct ide_state_blob *blobs)
{
    if (blobs[0].data != NULL) {
        memcpy(disk->buffer, blobs[0].data, blobs[0].length);
    }
    memset(disk->host_logs, 0, (size_t)ATA_HOST_LOGS * ATA_HOST_LOG_BYTES);
    for (uint32_t i = 1; i <= ATA_HOST_LOGS; i++) {
        if (blobs[i].data != NULL) {
            memcpy(host_log(disk, i - 1), blobs[i].data, ATA_HOST_LOG_BYTES);
        }
    }
}

/* Reads a disk's records; takes them over only if apply. */
int32_t
ata_disk_load(struct ide_device *device, const void *data, uint64_t length, uint32_t apply)
{
    struct ata_disk *disk = (struct ata_disk *)device;
    struct ide_state_blob blobs[1 + ATA_HOST_LOGS] = {{.tag = TAG_BUFFER}};
    struct ata_disk *trial = malloc(sizeof(*trial));
    struct ide_state_table table;
    int32_t r;

    if (trial == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < ATA_HOST_LOGS; i++) {
        blobs[1 + i].tag = TAG_LOGS + i;
    }
    *trial = *disk;
    ide_state_table_make(&table, disk_fields, BP_ARRAY_LENGTH(disk_fields), ide_state_base(device));
    r = ide_state_take(&table, trial, data, length, blobs, BP_ARRAY_LENGTH(blobs));
    if (r == 0) {
        trial->native_sectors = ata_dco_sectors(trial);
        r = check_disk(trial);
    }
    if (r == 0) {
        r = check_blobs(trial, blobs);
    }
    if (r == 0 && apply) {
        *disk = *trial;
        apply_blobs(disk, blobs);
        disk->transfer.op = 0;
        disk->transfer.request = 0;
        disk->device.data = disk->buffer + (size_t)disk->transfer.taken * ATA_SECTOR;
    }
    free(trial);
    return r;
}
