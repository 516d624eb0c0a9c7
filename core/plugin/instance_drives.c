/* SPDX-License-Identifier: Apache-2.0 */
/* Drives with removable media (bp.media/1) as the core sees them. */
#include "plugin/instance.h"

#include <errno.h>

#define DRIVES_MAX 256u

int32_t
instance_drive(Instance *instance, unsigned index, struct bp_media_drive *drive)
{
    int32_t result;
    DeviceCall call;

    *drive = (struct bp_media_drive){.size = sizeof(*drive)};
    if (instance->media.drive == NULL || index >= DRIVES_MAX) {
        return -ENOENT;
    }
    instance_lock(instance, &call);
    result = instance->media.drive(instance->self, index, drive);
    device_call_leave(&call);
    if (drive->unit == NULL) {
        drive->unit = "";
    }
    return result;
}

int32_t
instance_drive_open(Instance *instance, unsigned index, bool force)
{
    int32_t result = -EOPNOTSUPP;
    DeviceCall call;

    if (instance->media.open != NULL) {
        instance_lock(instance, &call);
        result = instance->media.open(instance->self, index, force ? BP_MEDIA_FORCE : 0);
        device_call_leave(&call);
    }
    return result;
}

int32_t
instance_drive_close(Instance *instance, unsigned index)
{
    int32_t result = -EOPNOTSUPP;
    DeviceCall call;

    if (instance->media.close != NULL) {
        instance_lock(instance, &call);
        result = instance->media.close(instance->self, index);
        device_call_leave(&call);
    }
    return result;
}

/* The names are kept, so that tray_moved can be told from any thread without asking the device. */
void
instance_learn_drives(Instance *instance)
{
    struct bp_media_drive drive;
    unsigned i;

    for (i = 0; instance_drive(instance, i, &drive) == 0; i++) {
        char *name;
        if (drive.name != NULL && drive.name[0] != '\0') {
            name = g_strdup(drive.name);
        } else if (drive.unit[0] != '\0') {
            name = g_strdup_printf("%s:%s", instance->id, drive.unit);
        } else {
            name = g_strdup(instance->id);
        }
        g_ptr_array_add(instance->drives, name);
    }
}
