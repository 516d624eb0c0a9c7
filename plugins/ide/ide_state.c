/* SPDX-License-Identifier: Apache-2.0 */
/* bp.state/1. Nothing is in flight when it is called: a command in progress is what struct
 * ata_transfer says, and its next request is made by after_restore() or the resume that follows.
 *
 * Tags: 0oft, o: object (0, 1 channel; 4-7 place of a disk), ft: field of the tables below. */
#include "ata_disk.h"

#include <stdlib.h>
#include <string.h>

#define CHANNEL_BASE 0x0000u
#define DISK_BASE    0x0400u
#define OBJECT_SHIFT 8u
#define TAG_BUFFER                                                                                 \
    0x80u /* of a disk: the arena buffer, while a block or a list of ranges is in it */
#define MAX_FIELDS 80u

#define C(tag, member, max) BP_STATE_FIELD(tag, struct ide_channel, member, BP_FIELD_REQUIRED, max)
#define D(tag, member, max) BP_STATE_FIELD(tag, struct ata_disk, member, BP_FIELD_REQUIRED, max)
#define DA(tag, member)     BP_STATE_ARRAY(tag, struct ata_disk, member, BP_FIELD_REQUIRED)

/* Presence is part of the shape: a state of another set of drives is refused. */
static const struct bp_state_field channel_fields[] = {
    C(0x01, selected, 1),          C(0x02, control, 0),
    C(0x03, bm.command, 9),        C(0x04, bm.status, 0x67),
    C(0x05, bm.stopping, 1),       C(0x06, bm.table, 0),
    C(0x07, bm.cursor.next, 0),    C(0x08, bm.cursor.budget, 0x2000),
    C(0x09, bm.cursor.address, 0), C(0x0a, bm.cursor.left, 0x10000),
    C(0x0b, bm.cursor.last, 1),
};

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
    D(0x35, selftest_count, 21),
    DA(0x36, selftest_log),
    DA(0x37, sector_buffer),
};

_Static_assert(BP_ARRAY_LENGTH(disk_fields) <= MAX_FIELDS, "tag table too small");

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

static uint32_t
disk_base(const struct ata_disk *disk)
{
    uint32_t place = disk->device.channel->number * IDE_UNITS + disk->device.unit;

    return DISK_BASE + (place << OBJECT_SHIFT);
}

/* --- saving ---------------------------------------------------------------------------------- */

static int32_t
save_disk(const struct ata_disk *disk, const struct bp_state_sink *sink)
{
    struct table table;
    int32_t r;

    table_make(&table, disk_fields, BP_ARRAY_LENGTH(disk_fields), disk_base(disk));
    r = bp_state_save(table.fields, table.count, disk, sink);
    if (r != 0 || disk->transfer.kind == ATA_T_NONE) {
        return r;
    }
    return sink->put(sink, disk_base(disk) + TAG_BUFFER, disk->buffer,
                     ATA_BUFFER_BYTES + ATA_SECTOR);
}

static int32_t
ide_save(void *self, const struct bp_state_sink *sink)
{
    const struct ide *ide = self;
    struct table table;
    int32_t r = 0;

    for (uint32_t i = 0; i < IDE_CHANNELS && r == 0; i++) {
        table_make(&table, channel_fields, BP_ARRAY_LENGTH(channel_fields),
                   CHANNEL_BASE + (i << OBJECT_SHIFT));
        r = bp_state_save(table.fields, table.count, &ide->channels[i], sink);
    }
    for (uint32_t i = 0; i < ide->disk_count && r == 0; i++) {
        r = save_disk(ide->disks[i], sink);
    }
    return r;
}

/* --- checking -------------------------------------------------------------------------------- */

/* PIO: the counts fit the buffer and each other, and a data block is the one that they name. */
static int32_t
check_pio(const struct ata_disk *disk)
{
    const struct ata_transfer *t = &disk->transfer;
    uint32_t page = t->kind == ATA_T_PAGE_IN || t->kind == ATA_T_PAGE_OUT;

    if (disk->device.data_end == 0) {
        return 0;
    }
    if (page) {
        return disk->device.data_end == ATA_SECTOR ? 0 : -EINVAL;
    }
    if ((t->kind != ATA_T_PIO_IN && t->kind != ATA_T_PIO_OUT) || t->taken >= t->chunk ||
        disk->device.data_end != bp_min_u32(t->block, t->chunk - t->taken) * ATA_SECTOR) {
        return -EINVAL;
    }
    return 0;
}

static int32_t
check_transfer(const struct ata_disk *disk)
{
    const struct ata_transfer *t = &disk->transfer;
    uint32_t addressed = t->kind >= ATA_T_PIO_IN && t->kind <= ATA_T_VERIFY;
    uint32_t buffered =
        t->kind == ATA_T_PIO_IN || t->kind == ATA_T_PIO_OUT || t->kind == ATA_T_VERIFY;

    if (addressed && (t->lba > disk->native_sectors || t->left > disk->native_sectors - t->lba ||
                      t->block == 0 || t->limit == 0)) {
        return -EINVAL;
    }
    if (buffered && (t->chunk == 0 || t->chunk > ATA_BUFFER_SECTORS || t->filled > t->chunk ||
                     t->taken > t->chunk)) {
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
        disk->sectors == 0 || disk->kept_sectors == 0 ||
        (disk->device.dmarq && disk->transfer.kind != ATA_T_DMA_IN &&
         disk->transfer.kind != ATA_T_DMA_OUT && disk->transfer.kind != ATA_T_TRIM)) {
        return -EINVAL;
    }
    return check_pio(disk) != 0 ? -EINVAL : check_transfer(disk);
}

/* One pass over the records: fields of one object go to `object`, its buffer to *buffer. */
static int32_t
take_object(const struct table *table, uint32_t base, void *object, const void *data,
            uint64_t length, const uint8_t **buffer)
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
            (void)bp_state_take_record(table->fields, table->count, object, &record);
            found++;
        } else if (record.tag == base + TAG_BUFFER &&
                   record.length == ATA_BUFFER_BYTES + ATA_SECTOR) {
            *buffer = record.data;
        }
    }
    return r < 0 ? r : found < table->count ? -EINVAL : 0;
}

/* Tags that must be understood: there are none beyond the tables yet. */
static int32_t
check_tags(const void *data, uint64_t length)
{
    struct bp_state_reader reader;
    struct bp_state_record record;
    int32_t r;

    bp_state_reader_init(&reader, data, length);
    while ((r = bp_state_next(&reader, &record)) == 1) {
        if (record.tag & BP_STATE_MUST) {
            return -EPROTO;
        }
    }
    return r;
}

/* Reads a disk's records; takes them over only if apply. */
static int32_t
load_disk(struct ata_disk *disk, const void *data, uint64_t length, uint32_t apply)
{
    struct ata_disk *trial = malloc(sizeof(*trial));
    const uint8_t *buffer = NULL;
    struct table table;
    int32_t r;

    if (trial == NULL) {
        return -ENOMEM;
    }
    *trial = *disk;
    table_make(&table, disk_fields, BP_ARRAY_LENGTH(disk_fields), disk_base(disk));
    r = take_object(&table, disk_base(disk), trial, data, length, &buffer);
    if (r == 0) {
        r = check_disk(trial);
    }
    if (r == 0 && trial->transfer.kind != ATA_T_NONE && buffer == NULL) {
        r = -EINVAL;
    }
    if (r == 0 && apply) {
        *disk = *trial;
        if (buffer != NULL) {
            memcpy(disk->buffer, buffer, ATA_BUFFER_BYTES + ATA_SECTOR);
        }
        disk->transfer.op = 0;
        disk->transfer.request = 0;
        disk->device.data = disk->transfer.kind >= ATA_T_PAGE_IN
                                ? disk->page
                                : disk->buffer + (size_t)disk->transfer.taken * ATA_SECTOR;
    }
    free(trial);
    return r;
}

static int32_t
load_channel(struct ide_channel *channel, const void *data, uint64_t length, uint32_t apply)
{
    struct ide_channel trial = *channel;
    const uint8_t *buffer = NULL; /* a channel has none */
    struct table table;
    uint32_t base = CHANNEL_BASE + (channel->number << OBJECT_SHIFT);
    int32_t r;

    table_make(&table, channel_fields, BP_ARRAY_LENGTH(channel_fields), base);
    r = take_object(&table, base, &trial, data, length, &buffer);
    if (r == 0 && apply) {
        *channel = trial;
        channel->line = 0; /* after_restore() drives it anew */
    }
    return r;
}

static int32_t
load(struct ide *ide, const void *data, uint64_t length, uint32_t apply)
{
    int32_t r = check_tags(data, length);

    for (uint32_t i = 0; i < IDE_CHANNELS && r == 0; i++) {
        r = load_channel(&ide->channels[i], data, length, apply);
    }
    for (uint32_t i = 0; i < ide->disk_count && r == 0; i++) {
        r = load_disk(ide->disks[i], data, length, apply);
    }
    return r;
}

static int32_t
ide_validate(void *self, uint32_t version, const void *data, uint64_t length)
{
    return load(self, data, length, 0);
}

static int32_t
ide_restore(void *self, uint32_t version, const void *data, uint64_t length)
{
    int32_t r = load(self, data, length, 0);

    return r == 0 ? load(self, data, length, 1) : r;
}

/* Lines follow the restored registers; the rising edge was latched before the state was saved.
 * Requests that were held are made again. */
static int32_t
ide_after_restore(void *self)
{
    struct ide *ide = self;

    for (uint32_t i = 0; i < IDE_CHANNELS; i++) {
        uint8_t status = ide->channels[i].bm.status;
        ide_channel_update_irq(&ide->channels[i]);
        ide->channels[i].bm.status = status;
    }
    for (uint32_t i = 0; i < ide->disk_count; i++) {
        ata_transfer_retry(ide->disks[i]);
    }
    return 0;
}

const struct bp_state_ops ide_state_ops = {
    .size = sizeof(ide_state_ops),
    .save = ide_save,
    .validate = ide_validate,
    .restore = ide_restore,
    .after_restore = ide_after_restore,
};
