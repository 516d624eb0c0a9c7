/* SPDX-License-Identifier: Apache-2.0 */
/* Sector addresses in the registers: CHS, 28-bit and 48-bit LBA (ATA/ATAPI-6, 6.2; ATA/ATAPI-7
 * V1, 4.2). */
#include "ata_disk.h"

#define DEFAULT_HEADS   16u
#define DEFAULT_SECTORS 63u
#define MAX_CYLINDERS   16383u

void
ata_geometry_default(const struct ata_disk *disk, uint32_t *cylinders, uint32_t *heads,
                     uint32_t *sectors)
{
    uint64_t c;

    if (disk->options.cylinders != 0) {
        *cylinders = disk->options.cylinders;
        *heads = disk->options.heads;
        *sectors = disk->options.sectors;
        return;
    }
    *heads = DEFAULT_HEADS;
    *sectors = DEFAULT_SECTORS;
    c = disk->native_sectors / DEFAULT_HEADS / DEFAULT_SECTORS;
    *cylinders = c > MAX_CYLINDERS ? MAX_CYLINDERS : c < 2 ? 2 : (uint32_t)c;
}

uint8_t
ata_address_kind(const struct ata_disk *disk)
{
    return (disk->device.regs.device & ATA_DEVICE_LBA) ? ATA_LBA28 : ATA_CHS;
}

static uint64_t
low_24(const struct ide_registers *regs, uint32_t depth)
{
    return regs->low[depth] | (uint64_t)regs->mid[depth] << 8 | (uint64_t)regs->high[depth] << 16;
}

/* Returns 0 if the registers name a sector of the current translation. */
static uint8_t
read_chs(const struct ata_disk *disk, uint64_t *lba)
{
    const struct ide_registers *regs = &disk->device.regs;
    const struct ata_settings *settings = &disk->settings;
    uint32_t cylinder = regs->mid[0] | (uint32_t)regs->high[0] << 8;
    uint32_t head = regs->device & 0x0f;
    uint32_t sector = regs->low[0];

    if (sector == 0 || sector > settings->sectors || head >= settings->heads ||
        cylinder >= settings->cylinders) {
        return ATA_IDNF | ATA_ABRT;
    }
    *lba = ((uint64_t)cylinder * settings->heads + head) * settings->sectors + sector - 1;
    return 0;
}

/* Beyond the end both bits are set: the standard lets a device choose between IDNF and ABRT, and
 * drivers test one or the other. The first address that does not exist is left in the registers,
 * and with the number of those that follow it in disk->transfer. */
uint8_t
ata_address_read(struct ata_disk *disk, uint8_t addressing)
{
    const struct ide_registers *regs = &disk->device.regs;
    struct ata_transfer *t = &disk->transfer;
    uint32_t count = regs->count[0] != 0 ? regs->count[0] : 256;
    uint64_t lba = 0;

    if (addressing == ATA_LBA48) {
        lba = low_24(regs, 0) | low_24(regs, 1) << 24;
        count = regs->count[0] | (uint32_t)regs->count[1] << 8;
        count = count != 0 ? count : 65536;
    } else if (addressing == ATA_LBA28) {
        lba = low_24(regs, 0) | (uint64_t)(regs->device & 0x0f) << 24;
    } else {
        uint8_t error = read_chs(disk, &lba);
        if (error != 0) {
            return error;
        }
    }
    if (lba >= disk->sectors || count > disk->sectors - lba) {
        t->lba = lba > disk->sectors ? lba : disk->sectors;
        t->left = (uint32_t)(lba + count - t->lba);
        ata_address_write(disk, addressing, t->lba);
        return ATA_IDNF | ATA_ABRT;
    }
    t->addressing = addressing;
    t->lba = lba;
    t->left = count;
    return 0;
}

static void
write_low_24(struct ide_registers *regs, uint32_t depth, uint64_t value)
{
    regs->low[depth] = (uint8_t)value;
    regs->mid[depth] = (uint8_t)(value >> 8);
    regs->high[depth] = (uint8_t)(value >> 16);
}

void
ata_address_write(struct ata_disk *disk, uint8_t addressing, uint64_t lba)
{
    struct ide_registers *regs = &disk->device.regs;
    const struct ata_settings *settings = &disk->settings;
    uint8_t top = (uint8_t)(lba >> 24) & 0x0f;

    if (addressing == ATA_LBA48) {
        write_low_24(regs, 0, lba);
        write_low_24(regs, 1, lba >> 24);
        return;
    }
    if (addressing == ATA_LBA28) {
        write_low_24(regs, 0, lba);
    } else if (settings->heads != 0 && settings->sectors != 0) {
        uint64_t track = lba / settings->sectors;
        uint64_t cylinder = track / settings->heads;
        regs->low[0] = (uint8_t)(lba % settings->sectors + 1);
        regs->mid[0] = (uint8_t)cylinder;
        regs->high[0] = (uint8_t)(cylinder >> 8);
        top = (uint8_t)(track % settings->heads);
    }
    regs->device = (uint8_t)((regs->device & 0xf0) | top);
}
