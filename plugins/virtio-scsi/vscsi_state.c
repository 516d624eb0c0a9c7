/* SPDX-License-Identifier: Apache-2.0 */
/* Saved state: the sizes that the driver can change and whether it missed events, then the
 * transport's records. Commands have ended; control requests that wait are chains of their queue.
 */
#include "vscsi.h"

struct vscsi_saved {
    uint32_t sense_size;
    uint32_t cdb_size;
    uint32_t missed;
};

static const struct bp_state_field fields[] = {
    BP_STATE_FIELD(1, struct vscsi_saved, sense_size, BP_FIELD_REQUIRED, VSCSI_SENSE_MAX),
    BP_STATE_FIELD(2, struct vscsi_saved, cdb_size, BP_FIELD_REQUIRED, VSCSI_CDB_MAX),
    BP_STATE_FIELD(3, struct vscsi_saved, missed, BP_FIELD_REQUIRED, 1),
};

#define FIELD_COUNT BP_ARRAY_LENGTH(fields)

static int32_t
vscsi_save(void *self, const struct bp_state_sink *sink)
{
    struct vscsi *vscsi = self;
    struct vscsi_saved saved = {
        .sense_size = atomic_load(&vscsi->sense_size),
        .cdb_size = atomic_load(&vscsi->cdb_size),
        .missed = vscsi->missed,
    };
    int32_t result = bp_state_save(fields, FIELD_COUNT, &saved, sink);

    return result == 0 ? bp_virtio_save(vscsi->virtio, sink) : result;
}

/* The device's own records; the transport looks at its own. */
static int32_t
take(struct vscsi_saved *saved, const void *data, uint64_t length)
{
    int32_t result =
        bp_state_restore_part(fields, FIELD_COUNT, saved, data, length, BP_VIRTIO_STATE_TAGS);

    return result == 0 && saved->cdb_size == 0 ? -EINVAL : result;
}

static int32_t
vscsi_validate(void *self, uint32_t version, const void *data, uint64_t length)
{
    struct vscsi *vscsi = self;
    struct vscsi_saved saved;
    int32_t result = take(&saved, data, length);

    return result == 0 ? bp_virtio_validate(vscsi->virtio, data, length) : result;
}

static int32_t
vscsi_restore(void *self, uint32_t version, const void *data, uint64_t length)
{
    struct vscsi *vscsi = self;
    struct vscsi_saved saved;
    int32_t result = take(&saved, data, length);

    if (result == 0) {
        result = bp_virtio_restore(vscsi->virtio, data, length);
    }
    if (result == 0) {
        vscsi_set_sizes(vscsi, saved.sense_size, saved.cdb_size);
        bp_virtqueue_enter(vscsi->event);
        vscsi->missed = saved.missed;
        bp_virtqueue_leave(vscsi->event);
    }
    return result;
}

static int32_t
vscsi_after_restore(void *self)
{
    return bp_virtio_after_restore(((struct vscsi *)self)->virtio);
}

const struct bp_state_ops vscsi_state = {
    .size = sizeof(vscsi_state),
    .save = vscsi_save,
    .validate = vscsi_validate,
    .restore = vscsi_restore,
    .after_restore = vscsi_after_restore,
};
