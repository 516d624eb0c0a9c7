/* SPDX-License-Identifier: Apache-2.0 */
/* Logical units come and go. [control] */
#include "vscsi.h"

#include <string.h>

/* All rings of an adapter are one initiator; each unit serves one adapter. */
#define INITIATOR 1u

static const struct bp_scsi_client client = {
    .size = sizeof(client),
    .complete = vscsi_complete,
    .managed = vscsi_managed,
    .event = vscsi_unit_event,
};

static struct vscsi_unit *
find_use(struct vscsi *vscsi, uint32_t slot, uint32_t use)
{
    for (uint32_t i = 0; i < vscsi->unit_count && slot == 0; i++) {
        if (vscsi->units[i].use == use) {
            return &vscsi->units[i];
        }
    }
    return NULL;
}

static void
close_paths(struct vscsi_unit *unit)
{
    for (uint32_t i = 0; i < unit->vscsi->queue_count; i++) {
        struct vscsi_path *path = &unit->paths[i];

        if (path->backend != NULL) {
            unit->ops->drain(unit->self, path->backend);
        }
    }
    for (uint32_t i = 0; i < unit->vscsi->queue_count; i++) {
        struct vscsi_path *path = &unit->paths[i];

        if (path->backend != NULL) {
            unit->ops->queue_close(unit->self, path->backend);
            path->backend = NULL;
        }
    }
    unit->ops = NULL;
}

static int32_t
open_paths(struct vscsi_unit *unit)
{
    struct vscsi *vscsi = unit->vscsi;

    for (uint32_t i = 0; i < vscsi->queue_count; i++) {
        struct vscsi_path *path = &unit->paths[i];
        const struct bp_scsi_queue_args args = {
            .size = sizeof(args),
            .depth = vscsi->cmd_per_lun,
            .loop = bp_virtqueue_loop(vscsi->queues[i].ring),
            .client = &client,
            .opaque = path,
            .initiator = INITIATOR,
            .transport_id = vscsi->initiator,
            .transport_id_length = vscsi->initiator_length,
        };
        int32_t result = unit->ops->queue_open(unit->self, &args, &path->backend);

        if (result != 0) {
            path->backend = NULL;
            close_paths(unit);
            return result;
        }
    }
    return 0;
}

/* The guest hears of a unit that comes when it runs already. */
static void
announce(struct vscsi_unit *unit, uint32_t reason)
{
    struct vscsi *vscsi = unit->vscsi;

    if (vscsi->realized) {
        vscsi_inventory_changed(vscsi, unit);
        vscsi_send(vscsi, VSCSI_T_TRANSPORT_RESET, unit, reason);
    }
}

int32_t
vscsi_attach(void *self, uint32_t slot, uint32_t use, const struct bp_peer *peer)
{
    struct vscsi *vscsi = self;
    struct vscsi_unit *unit = find_use(vscsi, slot, use);
    struct bp_scsi_info info = {.size = sizeof(info)};
    int32_t result;

    if (unit == NULL || unit->ops != NULL) {
        return bp_fail(&vscsi->host, -EINVAL, NULL, "there is no place for backend '%s'", peer->id);
    }
    unit->ops = peer->table;
    unit->self = peer->self;
    result = unit->ops->info(unit->self, &info);
    if (result == 0) {
        unit->max_iov = info.max_iov;
        unit->max_transfer = info.max_transfer;
        result = open_paths(unit);
    }
    if (result != 0) {
        unit->ops = NULL;
        return bp_fail(&vscsi->host, result, NULL,
                       "backend '%s' cannot be used as target %u LUN %u: it refused the connection",
                       peer->id, unit->target, unit->lun);
    }
    atomic_store(&unit->present, 1);
    announce(unit, VSCSI_RESET_RESCAN);
    return 0;
}

/* When each ring's lock was free once, no command that saw the unit is on its way to it. */
static void
let_pass(struct vscsi *vscsi)
{
    for (uint32_t i = 0; i < vscsi->queue_count; i++) {
        bp_virtqueue_enter(vscsi->queues[i].ring);
        bp_virtqueue_leave(vscsi->queues[i].ring);
    }
}

void
vscsi_detach(void *self, uint32_t slot, uint32_t use)
{
    struct vscsi *vscsi = self;
    struct vscsi_unit *unit = find_use(vscsi, slot, use);

    if (unit == NULL || unit->ops == NULL) {
        return;
    }
    pthread_mutex_lock(&vscsi->unit_lock);
    atomic_store(&unit->present, 0);
    pthread_mutex_unlock(&vscsi->unit_lock);
    let_pass(vscsi);
    announce(unit, VSCSI_RESET_REMOVED);
    close_paths(unit);
    atomic_store(&unit->changed, 0);
    atomic_store(&unit->resets, 0);
}
