/* SPDX-License-Identifier: Apache-2.0 */
/* Logs: by READ and WRITE LOG EXT (general purpose logging, ATA/ATAPI-7 V1, 6.24 and 6.58; the DMA
 * forms: ACS-2) and by SMART READ and WRITE LOG (ATA/ATAPI-7 V1, 6.54.8). The host's own logs
 * outlive resets, not the program: nothing is written to the image for them. */
#include "ata_disk.h"

#include <string.h>

#define LOG_DIRECTORY     0x00u
#define LOG_ERRORS        0x01u /* SMART only */
#define LOG_EXT_ERRORS    0x03u /* general purpose only */
#define LOG_SELFTESTS     0x06u /* SMART only */
#define LOG_EXT_SELFTESTS 0x07u /* general purpose only */
#define LOG_STREAM_SPEED  0x20u /* general purpose only, so are the next two */
#define LOG_STREAM_WRITES 0x21u
#define LOG_STREAM_READS  0x22u
#define LOG_HOST          0x80u
#define LOG_HOST_END      (LOG_HOST + ATA_HOST_LOGS)

#define EXT_SELFTESTS 19u /* entries of a block */

static uint32_t
is_host_log(uint8_t number)
{
    return number >= LOG_HOST && number < LOG_HOST_END;
}

/* Blocks of a log; 0: there is none. */
static uint32_t
log_blocks(const struct ata_disk *disk, uint8_t number, uint32_t general)
{
    switch (number) {
    case LOG_DIRECTORY:
        return 1;
    case LOG_ERRORS:
        return !general && ata_has(disk, ATA_DCO_SMART_ERRORS);
    case LOG_EXT_ERRORS:
        return general && ata_has(disk, ATA_DCO_SMART_ERRORS);
    case LOG_SELFTESTS:
        return !general && ata_has(disk, ATA_DCO_SMART_SELFTEST);
    case LOG_EXT_SELFTESTS:
        return general && ata_has(disk, ATA_DCO_SMART_SELFTEST);
    case LOG_STREAM_SPEED:
    case LOG_STREAM_WRITES:
    case LOG_STREAM_READS:
        return general && ata_has(disk, ATA_DCO_STREAMS);
    default:
        return is_host_log(number) ? ATA_HOST_LOG_BLOCKS : 0;
    }
}

static void
make_directory(const struct ata_disk *disk, uint8_t *page, uint32_t general)
{
    bp_store_le(page, 2, 1); /* version */
    for (uint32_t i = 1; i < 256; i++) {
        bp_store_le(page + (size_t)2 * i, 2, log_blocks(disk, (uint8_t)i, general));
    }
}

/* The newest entry is number `count`, those before it follow each other in time. */
static void
make_selftests(const struct ata_disk *disk, uint8_t *page)
{
    bp_store_le(page, 2, 1);
    for (uint32_t i = 0; i < disk->selftest_count; i++) {
        uint8_t *entry = page + 2 + (size_t)24 * i;
        entry[0] = disk->selftest_log[i];
        bp_store_le(entry + 2, 2, disk->selftest_hours[i]);
    }
    page[508] = disk->selftest_count;
}

static void
make_ext_selftests(const struct ata_disk *disk, uint8_t *page)
{
    uint32_t count = bp_min_u32(disk->selftest_count, EXT_SELFTESTS);
    uint32_t first = disk->selftest_count - count;

    page[0] = 1;
    bp_store_le(page + 2, 2, count);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *entry = page + 4 + (size_t)26 * i;
        entry[0] = disk->selftest_log[first + i];
        bp_store_le(entry + 2, 2, disk->selftest_hours[first + i]);
    }
}

static void
make_log(const struct ata_disk *disk, uint8_t number, uint32_t general, uint8_t *page)
{
    memset(page, 0, ATA_SECTOR);
    switch (number) {
    case LOG_DIRECTORY:
        make_directory(disk, page, general);
        return; /* without a checksum, as those of streams */
    case LOG_STREAM_SPEED:
        ata_stream_make_performance(disk, page);
        return;
    case LOG_STREAM_WRITES:
    case LOG_STREAM_READS:
        ata_stream_make_errors(disk, number == LOG_STREAM_WRITES, page);
        return;
    case LOG_SELFTESTS:
        make_selftests(disk, page);
        break;
    case LOG_EXT_SELFTESTS:
        make_ext_selftests(disk, page);
        break;
    default:
        page[0] = 1; /* version; errors are the backend's, and in the host's own log */
        break;
    }
    ata_close_page(page);
}

/* Which blocks of which log the registers name. Returns 0 if they do not exist. */
static uint32_t
named_blocks(const struct ata_disk *disk, uint32_t *first, uint32_t *count)
{
    const struct ide_registers *regs = &disk->device.regs;
    uint32_t general = disk->transfer.opcode != ATA_SMART;
    uint32_t blocks = log_blocks(disk, regs->low[0], general);

    *first = general ? regs->mid[0] | (uint32_t)regs->mid[1] << 8 : 0;
    *count = regs->count[0] | (general ? (uint32_t)regs->count[1] << 8 : 0);
    return *count != 0 && *first < blocks && *count <= blocks - *first;
}

static uint8_t *
host_log(struct ata_disk *disk, uint8_t number, uint32_t block)
{
    return disk->host_logs +
           ((size_t)(number - LOG_HOST) * ATA_HOST_LOG_BLOCKS + block) * ATA_SECTOR;
}

void
ata_log_read(struct ata_disk *disk, uint32_t dma)
{
    uint8_t number = disk->device.regs.low[0];
    uint32_t first, count;

    if (!named_blocks(disk, &first, &count)) {
        ata_disk_abort(disk, ATA_ABRT);
        return;
    }
    if (is_host_log(number)) {
        memcpy(disk->buffer, host_log(disk, number, first), (size_t)count * ATA_SECTOR);
    } else {
        make_log(disk, number, disk->transfer.opcode != ATA_SMART, disk->buffer);
    }
    ata_page_start(disk, dma ? ATA_T_PAGE_DMA_IN : ATA_T_PAGE_IN, count);
}

void
ata_log_write(struct ata_disk *disk, uint32_t dma)
{
    uint32_t first, count;

    if (!is_host_log(disk->device.regs.low[0]) || !named_blocks(disk, &first, &count)) {
        ata_disk_abort(disk, ATA_ABRT);
        return;
    }
    ata_page_start(disk, dma ? ATA_T_PAGE_DMA_OUT : ATA_T_PAGE_OUT, count);
}

uint8_t
ata_log_received(struct ata_disk *disk)
{
    uint8_t number = disk->device.regs.low[0];
    uint32_t first, count;

    /* looked at again: the state may have been restored */
    if (!is_host_log(number) || !named_blocks(disk, &first, &count) ||
        count != disk->transfer.chunk) {
        return ATA_ABRT;
    }
    memcpy(host_log(disk, number, first), disk->buffer, (size_t)count * ATA_SECTOR);
    return 0;
}

/* The errors of streams are told once. */
void
ata_log_delivered(struct ata_disk *disk)
{
    uint8_t opcode = disk->transfer.opcode;
    uint8_t number = disk->device.regs.low[0];

    if ((opcode == ATA_READ_LOG_EXT || opcode == ATA_READ_LOG_DMA_EXT) &&
        (number == LOG_STREAM_WRITES || number == LOG_STREAM_READS)) {
        ata_stream_forget_errors(disk, number == LOG_STREAM_WRITES);
    }
}
