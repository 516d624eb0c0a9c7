/* SPDX-License-Identifier: Apache-2.0 */
/* bp.scsi/1 over a unit: the commands that the front starts run in the unit, under its lock. */
#include "target.h"

#include <stdlib.h>
#include <string.h>

#define PERSISTENT_RESERVE_OUT 0x5fu

/* --- commands ----------------------------------------------------------------------------------
 */

/* Where others share the unit, a change of reservations excludes all else, and nobody overtakes. */
static int32_t
check(struct bp_scsi_slot *slot)
{
    struct bp_scsi_target_slot *command = target_slot(slot);

    command->preempted = 0;
    command->task.status = 0;
    command->task.moved = 0;
    command->task.sense_length = 0;
    if (target_of_slot(command)->gate != NULL) {
        slot->ordered |= slot->request.cdb[0] == PERSISTENT_RESERVE_OUT;
        slot->urgent = 0;
    }
    return 0;
}

static uint32_t
must_wait(struct bp_scsi_slot *slot)
{
    return !target_gate_admits(target_of_slot(target_slot(slot)));
}

/* The last command that PREEMPT AND ABORT has ended: it ends, too. */
static void
end_preempting(struct bp_scsi_target *target)
{
    while (target->preempted == 0 && target->preempting != NULL) {
        struct bp_scsi_target_slot *slot = target->preempting;

        target->preempting = slot->next;
        bp_scsi_slot_deliver(&slot->slot);
    }
}

void
target_end(struct bp_scsi_target_slot *slot)
{
    struct bp_scsi_target *target = target_of_slot(slot);

    bp_scsi_slot_retire(&slot->slot);
    target->preempted -= slot->preempted;
    slot->preempted = 0;
    if (target->preempted != 0 && slot->slot.request.cdb[0] == PERSISTENT_RESERVE_OUT) {
        slot->next = target->preempting;
        target->preempting = slot;
    } else {
        bp_scsi_slot_deliver(&slot->slot);
    }
    end_preempting(target);
    target_gate_idle(target);
}

/* Gives the task its buffers, until it waits or has ended. */
static void
run(struct bp_scsi_target_slot *slot, uint32_t state)
{
    const struct bp_scsi_request *request = &slot->slot.request;
    struct bp_scsi_task *task = &slot->task;

    if (state == BP_SCSI_IN || state == BP_SCSI_OUT) {
        uint32_t in = state == BP_SCSI_IN;
        uint64_t room = in ? request->in_length : request->out_length;

        if (task->wanted > room) {
            slot->slot.result = -EOVERFLOW;
            state = bp_scsi_abort(task);
        } else {
            state = bp_scsi_move(task, in ? request->in_iov : request->out_iov,
                                 in ? request->in_count : request->out_count, task->length);
        }
    }
    if (state == BP_SCSI_DONE) {
        target_end(slot);
    }
}

static void
start(struct bp_scsi_slot *slot)
{
    struct bp_scsi_target_slot *command = target_slot(slot);
    struct bp_scsi_target *target = target_of_slot(command);
    struct bp_scsi_task *task = &command->task;

    if (target_gate_failed(target)) {
        slot->result = -EIO;
        target_end(command);
        return;
    }
    bp_scsi_task_init(task, &target_queue(slot->queue)->nexus->nexus, slot->request.cdb,
                      slot->request.cdb_length);
    task->page = target->page; /* windows follow right here */
    task->queue = target_queue(slot->queue)->block_queue;
    task->tag = slot->request.user;
    run(command, bp_scsi_start(task));
}

static void
outcome(const struct bp_scsi_slot *slot, struct bp_scsi_outcome *outcome)
{
    const struct bp_scsi_task *task =
        &((const struct bp_scsi_target_slot *)(const void *)slot)->task;

    outcome->status = task->status;
    outcome->sense = task->sense;
    outcome->sense_length = task->sense_length;
    outcome->in_moved = task->direction == BP_SCSI_IN ? task->moved : 0;
    outcome->out_moved = task->direction == BP_SCSI_OUT ? task->moved : 0;
}

static const struct bp_scsi_front_ops front_ops = {
    .queue_bytes = sizeof(struct bp_scsi_target_queue),
    .slot_bytes = sizeof(struct bp_scsi_target_slot),
    .check = check,
    .must_wait = must_wait,
    .start = start,
    .abort = target_abort,
    .outcome = outcome,
    .finish = target_finish,
};

static int32_t
target_submit(void *self, void *queue, const struct bp_scsi_request *requests, uint32_t count)
{
    struct bp_scsi_target *target = self;

    return bp_scsi_front_submit(&target->front, queue, requests, count);
}

/* --- the unit's port ---------------------------------------------------------------------------
 */

static void
port_enter(void *opaque)
{
    bp_scsi_front_enter(&((struct bp_scsi_target *)opaque)->front);
}

static void
port_leave(void *opaque)
{
    bp_scsi_front_leave(&((struct bp_scsi_target *)opaque)->front);
}

void
target_wake(struct bp_scsi_target *target, struct bp_scsi_task *task)
{
    run(target_slot_of_task(task), task->state);
}

static void
port_wake(void *opaque, struct bp_scsi_task *task)
{
    target_wake(opaque, task);
}

static uint32_t
port_failed(void *opaque, struct bp_scsi_task *task, uint32_t op, int32_t status, uint32_t flags)
{
    return target_decide(opaque, op, status);
}

static void
port_settled(void *opaque)
{
    target_settled(opaque);
}

static void
port_tray(void *opaque)
{
    target_tell_tray(opaque);
}

static void
port_reserve(void *opaque, struct bp_scsi_task *task)
{
    target_gate_change(opaque, task);
}

static void
port_preempted(void *opaque, struct bp_scsi_nexus *nexus)
{
    target_preempt(opaque, nexus);
}

static void
port_attention(void *opaque, struct bp_scsi_nexus *nexus, uint16_t code)
{
    struct bp_scsi_target *target = opaque;

    struct bp_scsi_queue *queue = target->front.queues;

    /* one of the initiator's queues is enough */
    while (queue != NULL && &target_queue(queue)->nexus->nexus != nexus) {
        queue = queue->next;
    }
    if (queue != NULL) {
        bp_scsi_queue_event(queue, code);
    }
}

static const struct bp_scsi_port port = {
    .enter = port_enter,
    .leave = port_leave,
    .wake = port_wake,
    .failed = port_failed,
    .settled = port_settled,
    .tray = port_tray,
    .attention = port_attention,
    .preempted = port_preempted,
};

static const struct bp_scsi_port shared_port = {
    .enter = port_enter,
    .leave = port_leave,
    .wake = port_wake,
    .failed = port_failed,
    .settled = port_settled,
    .tray = port_tray,
    .attention = port_attention,
    .reserve = port_reserve,
    .preempted = port_preempted,
};

/* --- the target --------------------------------------------------------------------------------
 */

static int32_t
target_info(void *self, struct bp_scsi_info *info)
{
    const struct bp_scsi_target *target = self;
    struct bp_scsi_info full = {
        .size = info->size,
        .type = target->unit.identity.type,
        .max_iov = 1024, /* more are split */
        .optimal_io_size = target->unit.optimal_io,
    };

    memcpy(info, &full, bp_min_u32(info->size, (uint32_t)sizeof(full)));
    return 0;
}

const struct bp_scsi_ops bp_scsi_target_ops = {
    .size = sizeof(bp_scsi_target_ops),
    .info = target_info,
    .queue_open = target_queue_open,
    .queue_close = target_queue_close,
    .submit = target_submit,
    .manage = target_manage,
    .drain = target_drain,
};

int32_t
bp_scsi_target_init(struct bp_scsi_target *target, const struct bp_scsi_identity *identity)
{
    const struct bp_services *services = &target->services;
    struct bp_scsi_unit_args args = {.services = services,
                                     .identity = *identity,
                                     .port = identity->shared ? &shared_port : &port,
                                     .opaque = target};
    void *arena = NULL;
    int32_t r =
        services->memory->arena_alloc(services->instance, 0, BP_SCSI_ARENA_BYTES, 4096, &arena);

    if (r == 0) {
        target->page = calloc(1, BP_SCSI_PAGE_BYTES);
    }
    if (target->page == NULL) {
        return bp_fail(services, r != 0 ? r : -ENOMEM, NULL, "no memory for the unit's buffers");
    }
    bp_scsi_front_init(&target->front, services, &front_ops);
    args.arena = arena;
    bp_scsi_unit_init(&target->unit, &args);
    return 0;
}

void
bp_scsi_target_done(struct bp_scsi_target *target)
{
    target_gate_close(target);
    bp_scsi_front_done(&target->front);
    free(target->page);
}

void
bp_scsi_target_reset(struct bp_scsi_target *target, uint16_t code)
{
    pthread_mutex_lock(&target->front.lock);
    target_abort_all(target);
    bp_scsi_unit_reset(&target->unit, code);
    pthread_mutex_unlock(&target->front.lock);
}
