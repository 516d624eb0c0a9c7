/* SPDX-License-Identifier: Apache-2.0 */
/* bp.media/1: the drives for operators; trays of CD drives. */
#include "atapi.h"

void
atapi_tell_tray(struct atapi *cd)
{
    struct ide *ide = cd->device.ide;
    uint8_t open = cd->unit.tray_open != 0;

    if (open == cd->tray_known) {
        return;
    }
    cd->tray_known = open;
    if (ide->host.media != NULL && BP_HAS(ide->host.media, tray_moved)) {
        ide->host.media->tray_moved(ide->host.instance, cd->index, open);
    }
}

static uint32_t
cd_flags(const struct atapi *cd)
{
    const struct bp_scsi_unit *unit = &cd->unit;

    return BP_MEDIA_REMOVABLE | BP_MEDIA_TRAY | BP_MEDIA_READ_ONLY |
           (unit->tray_open ? BP_MEDIA_OPEN : 0) |
           (unit->present && !unit->tray_open ? BP_MEDIA_PRESENT : 0) |
           (bp_scsi_unit_locked(unit) ? BP_MEDIA_LOCKED : 0) |
           (unit->eject_request ? BP_MEDIA_EJECT_REQUESTED : 0);
}

static int32_t
media_drive(void *self, uint32_t index, struct bp_media_drive *drive)
{
    const struct ide *ide = self;
    const struct ide_device *device;

    if (index >= ide->drive_count) {
        return -ENOENT;
    }
    device = ide->drives[index];
    drive->flags =
        device->slot == IDE_SLOT_CDROM ? cd_flags((const struct atapi *)device) : BP_MEDIA_PRESENT;
    drive->slot = device->slot;
    drive->use = device->use;
    drive->unit = device->place;
    drive->name = NULL;
    return 0;
}

/* Returns NULL and sets *error if the drive has no tray. */
static struct atapi *
drive_with_tray(struct ide *ide, uint32_t index, int32_t *error)
{
    if (index >= ide->drive_count) {
        *error = -ENOENT;
        return NULL;
    }
    *error = -EOPNOTSUPP;
    return ide->drives[index]->slot == IDE_SLOT_CDROM ? (struct atapi *)ide->drives[index] : NULL;
}

static int32_t
media_open(void *self, uint32_t index, uint32_t flags)
{
    int32_t error;
    struct atapi *cd = drive_with_tray(self, index, &error);

    if (cd == NULL) {
        return error;
    }
    if (cd->unit.tray_open) {
        return 0;
    }
    if (flags & BP_MEDIA_FORCE) {
        cd->nexus.prevented = 0;
    }
    if (bp_scsi_unit_set_tray(&cd->unit, 1, 0) != 0) {
        return BP_MEDIA_REFUSED; /* the engine asks the guest: GET EVENT STATUS NOTIFICATION */
    }
    atapi_tell_tray(cd);
    return 0;
}

static int32_t
media_close(void *self, uint32_t index)
{
    int32_t error;
    struct atapi *cd = drive_with_tray(self, index, &error);

    if (cd == NULL) {
        return error;
    }
    error = bp_scsi_unit_set_tray(&cd->unit, 0, 0);
    atapi_tell_tray(cd);
    return error;
}

const struct bp_media_ops ide_media_ops = {
    .size = sizeof(ide_media_ops),
    .drive = media_drive,
    .open = media_open,
    .close = media_close,
};
