/* SPDX-License-Identifier: Apache-2.0 */
/* What task management (SAM-5 7) and PREEMPT AND ABORT do to commands. */
#include "target.h"

#include <string.h>

void
target_abort(struct bp_scsi_slot *slot)
{
    struct bp_scsi_target_slot *command = target_slot(slot);

    slot->result = -ECANCELED;
    if (slot->state == BP_SCSI_SLOT_HELD ||
        (!target_gate_abort(command) && bp_scsi_abort(&command->task) == BP_SCSI_DONE)) {
        target_end(command);
    }
}

static void
abort_queue(struct bp_scsi_queue *queue)
{
    for (uint32_t i = 0; i < queue->slots_used; i++) {
        struct bp_scsi_slot *slot = bp_scsi_queue_slot(queue, i);

        if (bp_scsi_slot_is_running(slot)) {
            target_abort(slot);
        }
    }
}

void
target_abort_all(struct bp_scsi_target *target)
{
    for (struct bp_scsi_queue *queue = target->front.queues; queue != NULL; queue = queue->next) {
        abort_queue(queue);
    }
}

/* SAM-5 5.6: TASK ABORTED, as the control mode page says (TAS). */
static void
preempt_slot(struct bp_scsi_target_slot *slot)
{
    slot->preempted = 1;
    target_of_slot(slot)->preempted++;
    if (slot->slot.state == BP_SCSI_SLOT_HELD) {
        slot->task.status = BP_SCSI_TASK_ABORTED;
        slot->task.direction = 0;
        target_end(slot);
    } else if (bp_scsi_abort(&slot->task) == BP_SCSI_DONE) {
        target_end(slot);
    }
}

static void
preempt_queue(struct bp_scsi_queue *queue)
{
    for (uint32_t i = 0; i < queue->slots_used; i++) {
        struct bp_scsi_slot *slot = bp_scsi_queue_slot(queue, i);

        if (bp_scsi_slot_is_running(slot) && !target_slot(slot)->preempted) {
            preempt_slot(target_slot(slot));
        }
    }
}

void
target_preempt(struct bp_scsi_target *target, struct bp_scsi_nexus *nexus)
{
    for (struct bp_scsi_queue *queue = target->front.queues; queue != NULL; queue = queue->next) {
        if (&target_queue(queue)->nexus->nexus == nexus) {
            preempt_queue(queue);
        }
    }
}

/* What is left to do once no command is in the way. */
void
target_finish(struct bp_scsi_function *function)
{
    struct bp_scsi_target *target = target_of_front(function->queue->front);
    struct bp_scsi_nexus *nexus = &target_queue(function->queue)->nexus->nexus;

    if (function->kind == BP_SCSI_UNIT_RESET) {
        bp_scsi_unit_reset(&target->unit, 0x2903);
    } else if (function->kind == BP_SCSI_NEXUS_RESET) {
        bp_scsi_nexus_reset(nexus);
        bp_scsi_nexus_attention(nexus, 0x2907); /* I_T nexus loss occurred */
    }
}

/* Initiators whose commands were cleared by another one hear of it (SAM-5 5.3.2, TAS is 1: their
 * commands end by themselves; the unit attention says why). */
static void
tell_cleared(struct bp_scsi_target *target, struct bp_scsi_target_queue *queue)
{
    for (struct bp_scsi_target_nexus *nexus = target->nexuses; nexus != NULL; nexus = nexus->next) {
        if (nexus != queue->nexus) {
            bp_scsi_nexus_attention(&nexus->nexus, 0x2f00);
        }
    }
}

int32_t
target_manage(void *self, void *queue, const struct bp_scsi_management *management)
{
    struct bp_scsi_target *target = self;
    struct bp_scsi_function *function;
    int32_t r;

    pthread_mutex_lock(&target->front.lock);
    r = bp_scsi_function_new(queue, management, &function);
    if (r == 0) {
        uint32_t running = bp_scsi_function_carry_out(function, 0);

        if (management->function == BP_SCSI_CLEAR_TASK_SET && running > 0) {
            tell_cleared(target, queue);
        }
        bp_scsi_front_run(&target->front);
    }
    pthread_mutex_unlock(&target->front.lock);
    return r;
}
