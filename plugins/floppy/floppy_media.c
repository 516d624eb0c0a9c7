/* SPDX-License-Identifier: Apache-2.0 */
/* bp.media/1: the drives as operators see them. A floppy drive has no tray and nothing holds a
 * floppy in it, so there is nothing to open or to close; the guest notices by the disk change line.
 */
#include "floppy.h"

#include <errno.h>

static const struct fdc_drive *
drive_at(const struct fdc *fdc, uint32_t index)
{
    for (uint32_t i = 0; i < FDC_DRIVES; i++) {
        if (fdc->drives[i].type != FLOPPY_DRIVE_NONE && index-- == 0) {
            return &fdc->drives[i];
        }
    }
    return NULL;
}

static int32_t
media_drive(void *self, uint32_t index, struct bp_media_drive *drive)
{
    static const char *const units[FDC_DRIVES] = {"0", "1"};
    const struct fdc_drive *found = drive_at(self, index);

    if (found == NULL) {
        return -ENOENT;
    }
    drive->flags = BP_MEDIA_REMOVABLE | (found->medium.inserted ? BP_MEDIA_PRESENT : 0) |
                   (found->protect ? BP_MEDIA_READ_ONLY : 0);
    drive->slot = FDC_SLOT_DISK;
    drive->use = found->use;
    drive->unit = units[found->unit];
    drive->name = found->name;
    return 0;
}

const struct bp_media_ops floppy_media_ops = {
    .size = sizeof(floppy_media_ops),
    .drive = media_drive,
};
