/* SPDX-License-Identifier: Apache-2.0 */
/* The streaming feature set (ATA/ATAPI-7 V1, 4.17, 6.4, 6.35, 6.36, 6.63, 6.64): reads and writes
 * with a limit of time, which may go on after errors. Those are told by the Stream Error bit and
 * put down in a log. Urgency, order and allocation units are hints, and change nothing here. */
#include "ata_disk.h"

#include <string.h>

/* Features of CONFIGURE STREAM; those of the others are ATA_STREAM_... */
#define CONFIGURE_ADD 0x80u
#define STREAM_ID     0x07u

#define ERROR_CCTO 0x01u /* command completion time-out, in the Error register */
#define STATUS_SE  0x20u /* stream error */

#define UNIT_NS (UINT64_C(1000) * ATA_STREAM_UNIT_US)

#define LOG_ENTRIES     31u
#define LOG_ENTRY_BYTES 16u
#define LOG_VERSION     2u

void
ata_stream_reset(struct ata_disk *disk)
{
    memset(&disk->streams, 0, sizeof(disk->streams));
}

uint32_t
ata_stream_configured(const struct ata_disk *disk)
{
    for (uint32_t i = 0; i < ATA_STREAMS; i++) {
        if (disk->streams.valid[i]) {
            return 1;
        }
    }
    return 0;
}

void
ata_stream_configure(struct ata_disk *disk)
{
    const struct ide_registers *regs = &disk->device.regs;
    uint32_t id = regs->features[0] & STREAM_ID;
    uint32_t add = regs->features[0] & CONFIGURE_ADD;

    if (!add && !disk->streams.valid[id]) {
        ata_disk_abort(disk, ATA_ABRT);
        return;
    }
    disk->streams.valid[id] = add != 0;
    disk->streams.limit[id] = regs->features[1];
    ata_disk_abort(disk, 0);
}

/* --- the limit of time ----------------------------------------------------------------------- */

/* Sectors that the host was not given stay undone. A write's count as done when the backend has
 * them. */
static void
expire(struct ata_disk *disk)
{
    struct ata_transfer *t = &disk->transfer;
    uint32_t kept = t->kind == ATA_T_PIO_IN ? t->filled - t->taken : 0;

    ata_stream_note(disk, ERROR_CCTO, t->lba - kept, t->left + kept);
    ata_transfer_end(disk, 0, 1);
}

uint32_t
ata_stream_expired(struct ata_disk *disk)
{
    if (!(disk->transfer.stream & ATA_STREAM_EXPIRED)) {
        return 0;
    }
    expire(disk);
    return 1;
}

/* A request in flight is cancelled; the command ends when that has ended. */
static void
time_is_up(void *opaque)
{
    struct ata_disk *disk = opaque;
    struct ata_transfer *t = &disk->transfer;

    if (t->stream == 0) {
        return;
    }
    t->stream |= ATA_STREAM_EXPIRED;
    if (disk->io.in_flight) {
        ata_io_cancel(disk);
    } else if (!(t->flags & ATA_TF_HELD)) {
        expire(disk);
    }
}

int32_t
ata_stream_init(struct ata_disk *disk, uint32_t timer)
{
    struct ide *ide = disk->device.ide;
    const struct bp_timer_args args = {
        .size = sizeof(args),
        .id = timer,
        .clock = BP_CLOCK_VIRTUAL,
        .loop = ide->loop,
        .expired = time_is_up,
        .opaque = disk,
    };

    disk->timer = timer;
    return ide->host.timer->create(ide->host.instance, &args);
}

/* From now on, by the command's own limit or the stream's. */
static void
start_clock(struct ata_disk *disk)
{
    const struct ide_registers *regs = &disk->device.regs;
    const struct bp_timer_host *timer = disk->device.ide->host.timer;
    struct bp_instance *instance = disk->device.ide->host.instance;
    uint32_t id = regs->features[0] & STREAM_ID;
    uint64_t units = regs->features[1];

    if (units == 0 && disk->streams.valid[id]) {
        units = disk->streams.limit[id];
    }
    if (units == 0) {
        timer->cancel(instance, disk->timer);
    } else {
        timer->arm(instance, disk->timer, timer->now(instance, BP_CLOCK_VIRTUAL) + units * UNIT_NS);
    }
}

void
ata_stream_begin(struct ata_disk *disk, uint32_t write)
{
    uint8_t features = disk->device.regs.features[0];

    disk->transfer.stream = (uint8_t)(ATA_STREAM_ON | (features & ATA_STREAM_CONTINUE) |
                                      (write ? features & ATA_STREAM_FLUSH : 0));
    start_clock(disk);
}

/* --- errors ---------------------------------------------------------------------------------- */

/* One range of sectors that may be in error, from the first to the last. */
void
ata_stream_note(struct ata_disk *disk, uint8_t error, uint64_t lba, uint32_t sectors)
{
    struct ata_transfer *t = &disk->transfer;
    uint64_t first = t->bad_error != 0 ? bp_min_u64(t->bad_lba, lba) : lba;
    uint64_t end = t->bad_error != 0 ? t->bad_lba + t->bad_sectors : 0;

    end = end > lba + sectors ? end : lba + sectors;
    t->bad_error |= error;
    t->bad_lba = first;
    t->bad_sectors = (uint32_t)(end - first);
}

static uint32_t
is_write(uint8_t opcode)
{
    return opcode == ATA_WRITE_STREAM_EXT || opcode == ATA_WRITE_STREAM_DMA_EXT;
}

static void
log_error(struct ata_disk *disk)
{
    const struct ata_transfer *t = &disk->transfer;
    struct ata_stream_log *log = &disk->streams.log[is_write(t->opcode)];
    uint8_t *entry = log->entries + (size_t)LOG_ENTRY_BYTES * (log->newest % LOG_ENTRIES);

    log->newest = (uint8_t)(log->newest % LOG_ENTRIES + 1);
    log->count += log->count != UINT16_MAX;
    memset(entry, 0, LOG_ENTRY_BYTES);
    entry[0] = disk->device.regs.features[0];
    entry[1] = disk->device.regs.features[1];
    entry[2] = ATA_DRDY | STATUS_SE;
    entry[3] = t->bad_error;
    bp_store_le(entry + 4, 4, t->bad_lba);
    bp_store_le(entry + 8, 2, t->bad_lba >> 32);
    bp_store_le(entry + 12, 2, t->bad_sectors);
}

uint8_t
ata_stream_end(struct ata_disk *disk, uint8_t *status)
{
    const struct ata_transfer *t = &disk->transfer;
    struct ide_registers *regs = &disk->device.regs;
    struct ide *ide = disk->device.ide;

    ide->host.timer->cancel(ide->host.instance, disk->timer);
    *status = 0;
    if (t->bad_error == 0) {
        return 0;
    }
    ata_address_write(disk, ATA_LBA48, t->bad_lba);
    regs->count[0] = (uint8_t)t->bad_sectors;
    regs->count[1] = (uint8_t)(t->bad_sectors >> 8);
    if (!(t->stream & ATA_STREAM_CONTINUE)) {
        return t->bad_error;
    }
    log_error(disk);
    *status = STATUS_SE;
    return 0;
}

/* --- logs ------------------------------------------------------------------------------------ */

void
ata_stream_make_errors(const struct ata_disk *disk, uint32_t write, uint8_t *page)
{
    const struct ata_stream_log *log = &disk->streams.log[write];

    page[0] = LOG_VERSION;
    page[1] = log->newest;
    bp_store_le(page + 2, 2, log->count);
    memcpy(page + LOG_ENTRY_BYTES, log->entries, sizeof(log->entries));
}

void
ata_stream_forget_errors(struct ata_disk *disk, uint32_t write)
{
    memset(&disk->streams.log[write], 0, sizeof(disk->streams.log[write]));
}

/* Every sector takes as long as every other, and so does every way: two points of each curve. */
void
ata_stream_make_performance(const struct ata_disk *disk, uint8_t *page)
{
    uint64_t last = disk->sectors - 1;

    for (uint32_t i = 0; i < 4; i++) {
        bp_store_le(page + (size_t)2 * i, 2, 2); /* version, then the lengths of three arrays */
    }
    bp_store_le(page + 14, 2, ATA_STREAM_SECTOR_TIME);
    bp_store_le(page + 16, 4, last);
    bp_store_le(page + 20, 2, last >> 32);
    bp_store_le(page + 22, 2, ATA_STREAM_SECTOR_TIME);
    bp_store_le(page + 32, 4, last); /* positions: 0 to 32767 */
    bp_store_le(page + 36, 2, last >> 32);
    bp_store_le(page + 38, 2, 32767);
    bp_store_le(page + 42, 2, ATA_STREAM_LATENCY);
    bp_store_le(page + 44, 2, 32767);
    bp_store_le(page + 46, 2, ATA_STREAM_LATENCY);
}
