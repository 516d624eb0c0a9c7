/* SPDX-License-Identifier: Apache-2.0 */
/* Host protected area: READ NATIVE MAX ADDRESS and SET MAX ADDRESS, with their 48-bit forms
 * (ATA/ATAPI-7 V1, 4.10). The security extension (SET MAX PASSWORD, LOCK) is not offered. */
#include "ata_disk.h"

#define SET_MAX_ADDRESS 0x00u /* Features of SET MAX */
#define VALUE_VOLATILE  0x01u /* Count bit 0: also after the next hardware reset */

void
ata_read_native_max(struct ata_disk *disk, uint8_t addressing)
{
    uint64_t max = disk->native_sectors - 1;

    if (addressing == ATA_LBA28 && max > 0x0ffffffe) {
        max = 0x0ffffffe;
    }
    if (addressing == ATA_LBA28) {
        addressing = ata_address_kind(disk);
    }
    ata_address_write(disk, addressing, max);
    ata_disk_abort(disk, 0);
    disk->native_read = 1;
}

/* A value that names more than the disk has is an address beyond the end. */
void
ata_set_max(struct ata_disk *disk, uint8_t addressing)
{
    struct ide_registers *regs = &disk->device.regs;
    uint8_t keep = regs->count[0] & VALUE_VOLATILE;
    uint8_t kind = addressing == ATA_LBA48 ? ATA_LBA48 : ata_address_kind(disk);
    uint64_t shown = disk->sectors;
    uint8_t error;

    if (!disk->native_read || (addressing != ATA_LBA48 && (regs->features[0] != SET_MAX_ADDRESS))) {
        disk->native_read = 0;
        ata_disk_abort(disk, ATA_ABRT);
        return;
    }
    disk->native_read = 0;
    regs->count[0] = 1;
    regs->count[1] = 0;
    disk->sectors = disk->native_sectors;
    error = ata_address_read(disk, kind);
    disk->sectors = error == 0 ? disk->transfer.lba + 1 : shown;
    if (error == 0 && keep) {
        disk->kept_sectors = disk->sectors;
    }
    ata_disk_abort(disk, error);
}
