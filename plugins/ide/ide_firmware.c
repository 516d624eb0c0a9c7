/* SPDX-License-Identifier: Apache-2.0 */
/* What firmware is told of the drives: boot paths, CMOS cells as a PC's set-up program leaves them,
 * and the file "bios-geometry" for disks whose logical geometry the description or the partition
 * table gives. */
#include "ata_disk.h"

#include <stdio.h>
#include <string.h>

/* A core that refuses a cell costs a guest nothing it needs. */
static void
set_cmos(struct ide *ide, uint32_t cell, uint32_t mask, uint32_t value)
{
    int32_t r = ide->host.core->cmos(ide->host.instance, cell, mask, value);

    if (r != 0) {
        bp_warn(&ide->host, "cannot set CMOS cell %02xh, ignoring", cell);
    }
}

/* Types at 12h, 47 = user defined at 19h/1Ah, the geometry from 1Bh and 24h on, for the disks of
 * the primary channel. */
static void
describe_type(struct ide *ide, const struct ata_disk *disk, uint32_t number)
{
    const uint32_t base = number == 0 ? 0x1b : 0x24;
    uint32_t cylinders, heads, sectors;
    uint8_t cells[9];

    ata_geometry_default(disk, &cylinders, &heads, &sectors);
    cells[0] = (uint8_t)cylinders;
    cells[1] = (uint8_t)(cylinders >> 8);
    cells[2] = (uint8_t)heads;
    cells[3] = 0xff; /* no write precompensation */
    cells[4] = 0xff;
    cells[5] = (uint8_t)(0xc0 | (heads > 8 ? 0x08 : 0)); /* no retries; more than eight heads */
    cells[6] = (uint8_t)cylinders;                       /* landing zone */
    cells[7] = (uint8_t)(cylinders >> 8);
    cells[8] = (uint8_t)sectors;
    for (uint32_t i = 0; i < 9; i++) {
        set_cmos(ide, base + i, 0xff, cells[i]);
    }
    set_cmos(ide, 0x12, number == 0 ? 0xf0 : 0x0f, 0xff);
    set_cmos(ide, 0x19 + number, 0xff, 47);
}

/* The translation that firmware is to use: two bits of cell 39h for each place, in the order of
 * ATA_TRANSLATION_.... By itself: none if the geometry needs none, else LBA. */
static void
describe_translation(struct ide *ide, const struct ata_disk *disk)
{
    uint32_t place = disk->device.channel->number * 2 + disk->device.unit;
    uint32_t cylinders, heads, sectors;
    uint32_t bits = disk->options.translation;

    ata_geometry_default(disk, &cylinders, &heads, &sectors);
    if (bits == ATA_TRANSLATION_AUTO) {
        bits = cylinders > 1024 || heads > 16 || sectors > 63 ? ATA_TRANSLATION_LBA
                                                              : ATA_TRANSLATION_NONE;
    }
    set_cmos(ide, 0x39, 3u << (2 * place), bits << (2 * place));
}

/* --- geometry out of the partition table ----------------------------------------------------- */

#define MBR_SIGNATURE_AT 510u
#define MBR_ENTRIES_AT   446u
#define MBR_ENTRY_BYTES  16u

/* Partitions end on cylinder boundaries, so the end of one tells heads and sectors that the disk
 * was used with. Up to 16 heads the disk itself may have had; more are a translation. */
static void
guess_geometry(struct ata_disk *disk, const uint8_t *mbr)
{
    struct ata_options *options = &disk->options;

    if (mbr[MBR_SIGNATURE_AT] != 0x55 || mbr[MBR_SIGNATURE_AT + 1] != 0xaa) {
        return;
    }
    for (uint32_t i = 0; i < 4; i++) {
        const uint8_t *entry = mbr + MBR_ENTRIES_AT + (size_t)MBR_ENTRY_BYTES * i;
        uint32_t heads = entry[5] + 1u;
        uint32_t sectors = entry[6] & 63u;
        uint64_t cylinders = sectors != 0 ? disk->native_sectors / heads / sectors : 0;
        if (entry[4] == 0 || cylinders == 0 || cylinders > 16383) {
            continue;
        }
        if (heads <= 16) {
            options->cylinders = (uint32_t)cylinders;
            options->heads = heads;
            options->sectors = sectors;
        } else {
            options->logical_cylinders = (uint32_t)(cylinders < 1024 ? cylinders : 1024);
            options->logical_heads = heads;
            options->logical_sectors = sectors;
        }
        ata_settings_default(disk);
        return;
    }
}

/* Only when asked for: a disk is not read otherwise before its guest does. */
static void
look_at_partitions(struct ide *ide, struct ata_disk *disk)
{
    const struct ata_options *o = &disk->options;

    if (!o->guess_geometry || o->cylinders != 0 || o->logical_cylinders != 0) {
        return;
    }
    if (ata_io_read_first(disk) != 0) {
        bp_warn(&ide->host, "cannot read the partition table of drive %s, ignoring",
                disk->device.place);
        return;
    }
    guess_geometry(disk, disk->buffer);
}

/* --- bios-geometry --------------------------------------------------------------------------- */

/* One line "path cylinders heads sectors" for each disk that has a logical geometry. */
static int32_t
add_geometry_file(struct ide *ide)
{
    int32_t address = ide->host.pci->address(ide->host.instance);
    char text[IDE_CHANNELS * IDE_UNITS * 80];
    size_t length = 0;

    for (uint32_t i = 0; i < ide->drive_count; i++) {
        const struct ata_disk *disk = (const struct ata_disk *)ide->drives[i];
        int n;
        if (ide->drives[i]->slot != IDE_SLOT_DISK || disk->options.logical_cylinders == 0) {
            continue;
        }
        n = snprintf(text + length, sizeof(text) - length,
                     "/pci@i0cf8/ide@%x,%x/drive@%x/disk@%x %u %u %u\n",
                     (uint32_t)address >> 3 & 31, (uint32_t)address & 7,
                     disk->device.channel->number, disk->device.unit,
                     disk->options.logical_cylinders, disk->options.logical_heads,
                     disk->options.logical_sectors);
        length += n > 0 ? (size_t)n : 0;
    }
    if (length == 0) {
        return 0;
    }
    return ide->host.core->firmware_file(ide->host.instance, "bios-geometry", text, length + 1);
}

static int32_t
name_boot_path(struct ide *ide, const struct ide_device *drive)
{
    char path[32];
    int32_t r;

    (void)snprintf(path, sizeof(path), "drive@%u/disk@%u", drive->channel->number & 1,
                   drive->unit & 1);
    r = ide->host.core->boot_path(ide->host.instance, drive->place, path);
    return r == 0
               ? 0
               : bp_fail(&ide->host, r, NULL, "cannot describe drive %s to firmware", drive->place);
}

int32_t
ide_firmware_describe(struct ide *ide)
{
    int32_t r = 0;

    for (uint32_t i = 0; i < ide->drive_count && r == 0; i++) {
        r = name_boot_path(ide, ide->drives[i]);
        if (r == 0 && ide->drives[i]->slot == IDE_SLOT_DISK) {
            look_at_partitions(ide, (struct ata_disk *)ide->drives[i]);
            describe_translation(ide, (const struct ata_disk *)ide->drives[i]);
        }
    }
    for (uint32_t unit = 0; unit < IDE_UNITS && r == 0; unit++) {
        const struct ide_device *drive = ide->channels[0].devices[unit];
        if (drive != NULL && drive->slot == IDE_SLOT_DISK) {
            describe_type(ide, (const struct ata_disk *)drive, unit);
        }
    }
    if (r != 0) {
        return r;
    }
    r = add_geometry_file(ide);
    return r == 0 ? 0
                  : bp_fail(&ide->host, r, NULL,
                            "cannot tell firmware logical geometries: another controller has");
}
