/* SPDX-License-Identifier: Apache-2.0 */
/* SMART (ATA/ATAPI-7 V1, 6.54): a disk in good health. Self-tests end at once and are logged; the
 * attributes are the usual four, whose raw values are the truth of a disk that wears no parts. */
#include "ata_disk.h"

#include <string.h>

#define SMART_READ_DATA       0xd0u
#define SMART_READ_THRESHOLDS 0xd1u
#define SMART_AUTOSAVE        0xd2u
#define SMART_SAVE            0xd3u
#define SMART_OFFLINE         0xd4u
#define SMART_READ_LOG        0xd5u
#define SMART_WRITE_LOG       0xd6u
#define SMART_ENABLE          0xd8u
#define SMART_DISABLE         0xd9u
#define SMART_STATUS          0xdau
#define SMART_AUTO_OFFLINE    0xdbu

#define SMART_KEY_MID  0x4fu
#define SMART_KEY_HIGH 0xc2u

struct attribute {
    uint8_t id;
    uint8_t flags;
    uint8_t threshold;
};

static const struct attribute attributes[] = {
    {1, 0x03, 6},   /* raw read error rate */
    {5, 0x03, 36},  /* reallocated sectors */
    {9, 0x02, 0},   /* power-on hours */
    {197, 0x02, 0}, /* pending sectors */
};

void
ata_close_page(uint8_t *page)
{
    uint8_t sum = 0;

    for (uint32_t i = 0; i < ATA_SECTOR - 1; i++) {
        sum = (uint8_t)(sum + page[i]);
    }
    page[ATA_SECTOR - 1] = (uint8_t)-sum;
}

static uint32_t
power_on_hours(const struct ata_disk *disk)
{
    uint64_t now =
        disk->device.ide->host.timer->now(disk->device.ide->host.instance, BP_CLOCK_VIRTUAL);

    return (uint32_t)(now / (UINT64_C(3600) * 1000000000));
}

static void
read_data(const struct ata_disk *disk, uint8_t *page)
{
    bp_store_le(page, 2, 1); /* revision of the structure */
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(attributes); i++) {
        uint8_t *entry = page + 2 + (size_t)12 * i;
        entry[0] = attributes[i].id;
        entry[1] = attributes[i].flags;
        entry[3] = 100; /* now */
        entry[4] = 100; /* worst */
        if (attributes[i].id == 9) {
            bp_store_le(entry + 5, 4, power_on_hours(disk));
        }
    }
    page[362] = 0x82; /* off-line collection completed, automatic collection enabled */
    page[363] = disk->selftest_status;
    page[364] = 0; /* seconds of an off-line collection */
    /* can: off-line, automatic, immediate self-tests */
    page[367] = ata_has(disk, ATA_DCO_SMART_SELFTEST) ? 0x79 : 0x69;
    page[368] = 0x03;                                              /* saves attributes */
    page[370] = ata_has(disk, ATA_DCO_SMART_ERRORS) ? 0x01 : 0x00; /* error log */
    page[372] = 1; /* minutes of a short, an extended self-test */
    page[373] = 1;
}

static void
read_thresholds(uint8_t *page)
{
    bp_store_le(page, 2, 1);
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(attributes); i++) {
        uint8_t *entry = page + 2 + (size_t)12 * i;
        entry[0] = attributes[i].id;
        entry[1] = attributes[i].threshold;
    }
}

static void
log_selftest(struct ata_disk *disk, uint8_t kind)
{
    uint8_t *kinds = disk->selftest_log;
    uint16_t *hours = disk->selftest_hours;

    disk->selftest_status = 0; /* completed without error */
    if (disk->selftest_count == ATA_SELFTESTS) {
        memmove(kinds, kinds + 1, (ATA_SELFTESTS - 1) * sizeof(*kinds));
        memmove(hours, hours + 1, (ATA_SELFTESTS - 1) * sizeof(*hours));
        disk->selftest_count--;
    }
    kinds[disk->selftest_count] = kind;
    hours[disk->selftest_count] = (uint16_t)power_on_hours(disk);
    disk->selftest_count++;
}

/* Off-line collections (0) and self-tests (1 short, 2 extended, 4 selective; 81h.. captive) find a
 * healthy disk in no time. */
static uint8_t
run_offline(struct ata_disk *disk)
{
    uint8_t kind = disk->device.regs.low[0];

    if (kind == 0 || kind == 0x7f) { /* collect; abort a self-test */
        return 0;
    }
    if (((kind & 0x7f) != 1 && (kind & 0x7f) != 2) || !ata_has(disk, ATA_DCO_SMART_SELFTEST)) {
        return ATA_ABRT;
    }
    log_selftest(disk, kind);
    if (kind & 0x80) { /* captive: the key says that the test passed */
        disk->device.regs.mid[0] = SMART_KEY_MID;
        disk->device.regs.high[0] = SMART_KEY_HIGH;
    }
    return 0;
}

static void
send_page(struct ata_disk *disk, uint8_t subcommand)
{
    memset(disk->buffer, 0, ATA_SECTOR);
    if (subcommand == SMART_READ_DATA) {
        read_data(disk, disk->buffer);
    } else {
        read_thresholds(disk->buffer);
    }
    ata_close_page(disk->buffer);
    ata_page_start(disk, ATA_T_PAGE_IN, 1);
}

static uint8_t
set_autosave(struct ata_disk *disk)
{
    uint8_t value = disk->device.regs.count[0];

    if (value != 0 && value != 0xf1) {
        return ATA_ABRT;
    }
    disk->settings.smart_autosave = value != 0;
    return 0;
}

/* STATUS: the key comes back as it was while no threshold is exceeded. */
void
ata_smart(struct ata_disk *disk)
{
    const struct ide_registers *regs = &disk->device.regs;
    uint8_t subcommand = regs->features[0];
    uint32_t known = regs->mid[0] == SMART_KEY_MID && regs->high[0] == SMART_KEY_HIGH;

    if (!known || (!disk->settings.smart && subcommand != SMART_ENABLE)) {
        ata_disk_abort(disk, ATA_ABRT);
        return;
    }
    switch (subcommand) {
    case SMART_READ_DATA:
    case SMART_READ_THRESHOLDS:
        send_page(disk, subcommand);
        break;
    case SMART_READ_LOG:
        ata_log_read(disk, 0);
        break;
    case SMART_WRITE_LOG:
        ata_log_write(disk, 0);
        break;
    case SMART_ENABLE:
    case SMART_DISABLE:
        disk->settings.smart = subcommand == SMART_ENABLE;
        ata_disk_abort(disk, 0);
        break;
    case SMART_AUTOSAVE:
    case SMART_AUTO_OFFLINE:
        ata_disk_abort(disk, set_autosave(disk));
        break;
    case SMART_OFFLINE:
        ata_disk_abort(disk, run_offline(disk));
        break;
    case SMART_SAVE:
    case SMART_STATUS:
        ata_disk_abort(disk, 0);
        break;
    default:
        ata_disk_abort(disk, ATA_ABRT);
        break;
    }
}
