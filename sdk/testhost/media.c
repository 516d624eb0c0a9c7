/* SPDX-License-Identifier: Apache-2.0 */
/* bp.media/1: the operator's side of drives, and the trays that moved. */
#include "th.h"

static void
tray_moved(struct bp_instance *instance, uint32_t index, uint32_t open)
{
    char json[TH_TEXT_MAX];

    if (open > 1) {
        th_violate(instance->th, "%s: media.tray_moved to %u", instance->id, open);
    }
    (void)snprintf(json, sizeof(json), "{\"id\": \"%s\", \"drive\": %u, \"tray-open\": %s}",
                   instance->id, index, open ? "true" : "false");
    th_core_table.event(instance, "DEVICE_TRAY_MOVED", json);
}

const struct bp_media_host th_media_table = {
    .size = sizeof(struct bp_media_host),
    .tray_moved = tray_moved,
};

int32_t
th_drive(struct bp_instance *instance, uint32_t index, struct bp_media_drive *drive)
{
    const struct bp_media_ops *ops = th_table(instance, BP_MEDIA_ID);
    int32_t status;

    *drive = (struct bp_media_drive){.size = sizeof(*drive)};
    if (ops == NULL) {
        return -EOPNOTSUPP;
    }
    status = ops->drive(instance->self, index, drive);
    if (status == 0 && (drive->unit == NULL || drive->size != sizeof(*drive))) {
        th_violate(instance->th, "%s: media.drive(%u) tells no unit, or changed size", instance->id,
                   index);
    }
    return status;
}

int32_t
th_tray_open(struct bp_instance *instance, uint32_t index, uint32_t flags)
{
    const struct bp_media_ops *ops = th_table(instance, BP_MEDIA_ID);

    return ops != NULL && BP_HAS(ops, open) ? ops->open(instance->self, index, flags) : -EOPNOTSUPP;
}

int32_t
th_tray_close(struct bp_instance *instance, uint32_t index)
{
    const struct bp_media_ops *ops = th_table(instance, BP_MEDIA_ID);

    return ops != NULL && BP_HAS(ops, close) ? ops->close(instance->self, index) : -EOPNOTSUPP;
}
