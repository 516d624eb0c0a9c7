/* SPDX-License-Identifier: Apache-2.0 */
/* Host protected area: READ NATIVE MAX ADDRESS and SET MAX ADDRESS, with their 48-bit forms
 * (ATA/ATAPI-7 V1, 4.10), and its security extension, whose password lasts until the next
 * power-on (4.10.3). */
#include "ata_disk.h"

#include <string.h>

#define SET_MAX_ADDRESS  0x00u /* Features of SET MAX */
#define SET_MAX_PASSWORD 0x01u
#define SET_MAX_LOCK     0x02u
#define SET_MAX_UNLOCK   0x03u
#define SET_MAX_FREEZE   0x04u

#define PASSWORD_AT    2u /* byte of the block that is sent */
#define ATTEMPTS       5u
#define VALUE_VOLATILE 0x01u /* Count bit 0: also after the next hardware reset */

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

void
ata_max_lock_reset(struct ata_disk *disk)
{
    memset(&disk->max_lock, 0, sizeof(disk->max_lock));
    disk->max_lock.attempts = ATTEMPTS;
}

/* Which state takes which command: the diagram of 4.10.3. */
static uint32_t
lock_takes(const struct ata_max_lock *lock, uint8_t feature)
{
    switch (feature) {
    case SET_MAX_PASSWORD:
        return !lock->locked && !lock->frozen;
    case SET_MAX_LOCK:
        return lock->active && !lock->frozen;
    case SET_MAX_UNLOCK:
        return lock->active && !lock->frozen && lock->attempts > 0;
    case SET_MAX_FREEZE:
        return lock->active && !lock->frozen;
    default:
        return 0;
    }
}

static void
change_lock(struct ata_disk *disk, uint8_t feature)
{
    struct ata_max_lock *lock = &disk->max_lock;

    if (!lock_takes(lock, feature)) {
        ata_disk_abort(disk, ATA_ABRT);
    } else if (feature == SET_MAX_PASSWORD || feature == SET_MAX_UNLOCK) {
        ata_page_start(disk, ATA_T_PAGE_OUT, 1);
    } else {
        lock->locked |= feature == SET_MAX_LOCK;
        lock->frozen |= feature == SET_MAX_FREEZE;
        ata_disk_abort(disk, 0);
    }
}

uint8_t
ata_set_max_received(struct ata_disk *disk)
{
    struct ata_max_lock *lock = &disk->max_lock;
    const uint8_t *password = disk->buffer + PASSWORD_AT;
    uint8_t feature = disk->device.regs.features[0];

    if (!lock_takes(lock, feature)) {
        return ATA_ABRT; /* a restored state may say anything */
    }
    if (feature == SET_MAX_PASSWORD) {
        memcpy(lock->password, password, sizeof(lock->password));
        lock->active = 1;
        return 0;
    }
    if (memcmp(lock->password, password, sizeof(lock->password)) != 0) {
        lock->attempts -= lock->locked;
        return ATA_ABRT;
    }
    lock->locked = 0;
    lock->attempts = ATTEMPTS;
    return 0;
}

/* The new end of the disk: the address in the registers. A value that names more than the disk has
 * is an address beyond the end. */
static void
set_address(struct ata_disk *disk, uint8_t kind)
{
    struct ide_registers *regs = &disk->device.regs;
    uint8_t keep = regs->count[0] & VALUE_VOLATILE;
    uint64_t shown = disk->sectors;
    uint8_t error;

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

/* Right after READ NATIVE MAX ADDRESS it is SET MAX ADDRESS, whatever Features says (6.48). */
void
ata_set_max(struct ata_disk *disk, uint8_t addressing)
{
    uint8_t kind = addressing == ATA_LBA48 ? ATA_LBA48 : ata_address_kind(disk);
    uint8_t feature = disk->device.regs.features[0];
    uint8_t native_read = disk->native_read;

    disk->native_read = 0;
    if (!native_read && addressing != ATA_LBA48 && feature != SET_MAX_ADDRESS) {
        change_lock(disk, feature);
    } else if (!native_read || disk->max_lock.locked || disk->max_lock.frozen) {
        ata_disk_abort(disk, ATA_ABRT);
    } else {
        set_address(disk, kind);
    }
}
