/* SPDX-License-Identifier: Apache-2.0 */
/* The event queue (virtio 1.2, 5.6.6.3). The driver keeps buffers there; what happens while there
 * is none, or while the queue stands still, is told by the EVENTS_MISSED flag of the next one. */
#include "vscsi.h"

#include <string.h>

static void
deliver(struct vscsi *vscsi, struct bp_virtio_chain *chain, uint32_t event,
        const struct vscsi_unit *unit, uint32_t reason)
{
    uint8_t data[VSCSI_EVENT_BYTES] = {0};
    uint64_t written;

    bp_store_le(data, 4, event | (vscsi->missed ? VSCSI_T_EVENTS_MISSED : 0));
    if (unit != NULL) {
        vscsi_put_lun(unit, data + 6); /* six bytes of it are zeroes, or the reason's */
        data[4] = 1;
        data[5] = unit->target;
    }
    bp_store_le(data + 12, 4, reason);
    vscsi->missed = 0;
    written = bp_iovec_write(chain->iov + chain->out_count, chain->in_count, 0, data,
                             bp_min_u64(sizeof(data), chain->in_bytes));
    bp_virtqueue_push(chain, (uint32_t)written);
}

/* Without anything to tell, its notifications are of no interest. */
void
vscsi_run_events(struct vscsi *vscsi)
{
    struct bp_virtio_chain *chain = vscsi->missed ? bp_virtqueue_pop(vscsi->event) : NULL;

    if (chain != NULL) {
        deliver(vscsi, chain, VSCSI_T_NO_EVENT, NULL, 0);
    }
    if (!vscsi->missed) {
        bp_virtqueue_wait(vscsi->event);
    }
}

void
vscsi_send(struct vscsi *vscsi, uint32_t event, const struct vscsi_unit *unit, uint32_t reason)
{
    uint64_t needs = event == VSCSI_T_PARAM_CHANGE ? VSCSI_F_CHANGE : VSCSI_F_HOTPLUG;
    struct bp_virtio_chain *chain = NULL;

    if (!(bp_virtio_features(vscsi->virtio) & needs)) {
        return;
    }
    bp_virtqueue_enter(vscsi->event);
    if (bp_virtqueue_running(vscsi->event)) {
        chain = bp_virtqueue_pop(vscsi->event);
    }
    if (chain != NULL) {
        deliver(vscsi, chain, event, unit, reason);
    } else {
        vscsi->missed = 1;
        bp_virtqueue_kick(vscsi->event);
    }
    bp_virtqueue_leave(vscsi->event);
}

void
vscsi_unit_event(void *opaque, uint32_t event, uint32_t detail)
{
    struct vscsi_path *path = opaque;
    struct vscsi *vscsi = path->unit->vscsi;
    uint32_t code = detail >> 8 & 0xff;

    if (event == BP_SCSI_EVENT_GONE && path == &path->unit->paths[0]) {
        vscsi_send(vscsi, VSCSI_T_TRANSPORT_RESET, path->unit, VSCSI_RESET_REMOVED);
    } else if (event == BP_SCSI_EVENT_ATTENTION && code != 0x29 && code != 0x2f) {
        /* resets and cleared commands are no change of parameters; ASC is the low byte */
        vscsi_send(vscsi, VSCSI_T_PARAM_CHANGE, path->unit, code | (detail & 0xff) << 8);
    }
}
