/* SPDX-License-Identifier: Apache-2.0 */
/* What operators have to do with a target: its drive (bp.media/1), media that are exchanged while
 * the machine runs, and what becomes of commands that the backend fails. */
#include "target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- the drive ---------------------------------------------------------------------------------
 */

/* With the lock. */
static uint32_t
drive_flags(const struct bp_scsi_unit *unit)
{
    return BP_MEDIA_REMOVABLE | BP_MEDIA_TRAY | BP_MEDIA_READ_ONLY |
           (unit->tray_open ? BP_MEDIA_OPEN : 0) |
           (unit->present && !unit->tray_open ? BP_MEDIA_PRESENT : 0) |
           (bp_scsi_unit_locked(unit) ? BP_MEDIA_LOCKED : 0) |
           (unit->eject_request ? BP_MEDIA_EJECT_REQUESTED : 0);
}

static int32_t
media_drive(void *self, uint32_t index, struct bp_media_drive *drive)
{
    struct bp_scsi_target *target = self;

    if (index != 0) {
        return -ENOENT;
    }
    pthread_mutex_lock(&target->front.lock);
    drive->flags = drive_flags(&target->unit);
    pthread_mutex_unlock(&target->front.lock);
    drive->slot = 0;
    drive->use = 0;
    drive->unit = "0";
    drive->name = NULL;
    return 0;
}

void
target_tell_tray(struct bp_scsi_target *target)
{
    const struct bp_services *services = &target->services;
    uint32_t open = target->unit.tray_open != 0;

    if (open == target->tray_known) {
        return;
    }
    target->tray_known = open;
    if (services->media != NULL && BP_HAS(services->media, tray_moved)) {
        services->media->tray_moved(services->instance, 0, open);
    }
}

static int32_t
move_tray(struct bp_scsi_target *target, uint32_t open, uint32_t force)
{
    struct bp_scsi_unit *unit = &target->unit;
    int32_t r = 0;

    bp_scsi_front_enter(&target->front);
    for (struct bp_scsi_nexus *nexus = unit->nexuses; force && nexus != NULL; nexus = nexus->next) {
        nexus->prevented = 0;
    }
    if (unit->tray_open != open) {
        r = bp_scsi_unit_set_tray(unit, open, 0);
        target_tell_tray(target);
    }
    bp_scsi_front_leave(&target->front);
    return r;
}

static int32_t
media_open(void *self, uint32_t index, uint32_t flags)
{
    if (index != 0) {
        return -ENOENT;
    }
    /* the engine asks the guest to let go: GET EVENT STATUS NOTIFICATION */
    return move_tray(self, 1, flags & BP_MEDIA_FORCE) != 0 ? BP_MEDIA_REFUSED : 0;
}

static int32_t
media_close(void *self, uint32_t index)
{
    return index == 0 ? move_tray(self, 0, 0) : -ENOENT;
}

const struct bp_media_ops target_media_ops = {
    .size = sizeof(target_media_ops),
    .drive = media_drive,
    .open = media_open,
    .close = media_close,
};

/* --- another medium ----------------------------------------------------------------------------
 */

/* Requests that are held go to the backend that is there now. */
static void
use_queue(struct bp_scsi_queue *queue, void *block_queue)
{
    target_queue(queue)->block_queue = block_queue;
    for (uint32_t i = 0; i < queue->slots_used; i++) {
        target_slot(bp_scsi_queue_slot(queue, i))->task.queue = block_queue;
    }
}

void
target_close_queues(struct bp_scsi_target *target)
{
    for (struct bp_scsi_queue *queue = target->front.queues; queue != NULL; queue = queue->next) {
        if (target_queue(queue)->block_queue != NULL) {
            bp_scsi_unit_queue_close(&target->unit, target_queue(queue)->block_queue);
            use_queue(queue, NULL);
        }
    }
}

int32_t
target_open_queues(struct bp_scsi_target *target)
{
    for (struct bp_scsi_queue *queue = target->front.queues; queue != NULL; queue = queue->next) {
        void *block_queue = NULL;
        int32_t r = bp_scsi_unit_queue_open(&target->unit, queue->loop, queue->depth, &block_queue);

        if (r != 0) {
            target_close_queues(target);
            return r;
        }
        use_queue(queue, block_queue);
    }
    return 0;
}

int32_t
bp_scsi_target_attach(struct bp_scsi_target *target, const struct bp_peer *peer)
{
    const struct bp_services *services = &target->services;
    int32_t r;

    (void)snprintf(target->backend, sizeof(target->backend), "%s", peer->id);
    bp_scsi_front_enter(&target->front);
    r = bp_scsi_unit_attach(&target->unit, peer->table, peer->self,
                            services->loop->home(services->instance), 1);
    if (r == 0) {
        r = target_open_queues(target);
        if (r != 0) {
            bp_scsi_unit_detach(&target->unit);
        }
    }
    if (r == 0 && target->front.queues == NULL) { /* it is there from the beginning */
        bp_scsi_unit_reset(&target->unit, 0);
    }
    bp_scsi_front_leave(&target->front);
    return r;
}

void
bp_scsi_target_detach(struct bp_scsi_target *target)
{
    bp_scsi_front_enter(&target->front);
    target_close_queues(target);
    bp_scsi_unit_detach(&target->unit);
    bp_scsi_front_leave(&target->front);
}

int32_t
target_quiesce(void *self, uint64_t deadline_ns)
{
    struct bp_scsi_target *target = self;
    uint32_t busy;

    pthread_mutex_lock(&target->front.lock);
    bp_scsi_unit_hold(&target->unit, 1);
    busy = target->unit.in_flight != 0;
    target->quiesce_due = busy;
    pthread_mutex_unlock(&target->front.lock);
    return busy ? BP_LIFE_PENDING : 0;
}

void
target_settled(struct bp_scsi_target *target)
{
    if (target->quiesce_due) {
        target->quiesce_due = 0;
        target->services.core->quiesced(target->services.instance, 0);
    }
}

void
target_resume(void *self)
{
    struct bp_scsi_target *target = self;

    bp_scsi_front_enter(&target->front);
    target->quiesce_due = 0;
    bp_scsi_unit_hold(&target->unit, 0);
    bp_scsi_unit_retry(&target->unit);
    bp_scsi_front_leave(&target->front);
}

/* --- errors of the backend ---------------------------------------------------------------------
 */

uint32_t
target_decide(struct bp_scsi_target *target, uint32_t op, int32_t status)
{
    static const uint32_t answers[] = {[BP_ON_ERROR_REPORT] = BP_SCSI_REPORT,
                                       [BP_ON_ERROR_IGNORE] = BP_SCSI_IGNORE,
                                       [BP_ON_ERROR_STOP] = BP_SCSI_HOLD};
    uint32_t action = bp_on_error_action(&target->on_error, op, status);

    bp_on_error_tell(&target->services, target->id, target->backend, op, status, action);
    return answers[action];
}

void
target_retry(void *self)
{
    struct bp_scsi_target *target = self;

    bp_scsi_front_enter(&target->front);
    bp_scsi_unit_retry(&target->unit);
    bp_scsi_front_leave(&target->front);
}

/* The engine's list of what the policy holds. */
static struct bp_scsi_target_slot *
find_held(const struct bp_scsi_queue *queue)
{
    struct bp_scsi_task *task = target_of_front(queue->front)->unit.held_first;

    while (task != NULL && target_slot_of_task(task)->slot.queue != queue) {
        task = task->next;
    }
    return task != NULL ? target_slot_of_task(task) : NULL;
}

void
target_cancel_held(struct bp_scsi_queue *queue)
{
    struct bp_scsi_target_slot *slot;

    while ((slot = find_held(queue)) != NULL) {
        slot->slot.result = -ECANCELED;
        if (bp_scsi_abort(&slot->task) != BP_SCSI_DONE) {
            return;
        }
        target_end(slot);
    }
}
