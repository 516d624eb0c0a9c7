/* SPDX-License-Identifier: Apache-2.0 */
/* Task management of a target (SAM-5 7). A function that aborts commands ends when the last of them
 * was delivered: from then on nobody touches their memory. */
#include "target.h"

#include <string.h>

static uint32_t
is_running(const struct bp_scsi_target_slot *slot)
{
    return slot->state == SLOT_BLOCKED || slot->state == SLOT_ACTIVE;
}

/* Whether the function is about this command. */
static uint32_t
is_meant(const struct bp_scsi_target_queue *queue, const struct bp_scsi_management *management,
         const struct bp_scsi_target_slot *slot)
{
    switch (management->function) {
    case BP_SCSI_ABORT_TASK:
    case BP_SCSI_QUERY_TASK:
        return slot->queue->nexus == queue->nexus && slot->request.user == management->request;
    case BP_SCSI_ABORT_TASK_SET:
    case BP_SCSI_QUERY_TASK_SET:
    case BP_SCSI_NEXUS_RESET:
        return slot->queue->nexus == queue->nexus;
    default:
        return 1;
    }
}

static void
abort_slot(struct bp_scsi_target_slot *slot)
{
    if (!is_running(slot)) {
        return;
    }
    slot->result = -ECANCELED;
    if (slot->state == SLOT_BLOCKED) {
        target_unlink_blocked(slot);
        target_end(slot);
    } else if (target_gate_abort(slot)) {
        return;
    } else if (bp_scsi_abort(&slot->task) == BP_SCSI_DONE) {
        target_end(slot);
    }
}

void
target_abort_all(struct bp_scsi_target *target)
{
    for (struct bp_scsi_target_queue *queue = target->queues; queue != NULL; queue = queue->next) {
        for (uint32_t i = 0; i < queue->slots_used; i++) {
            abort_slot(&queue->slots[i]);
        }
    }
}

/* SAM-5 5.6: TASK ABORTED, as the control mode page says (TAS). */
static void
preempt_slot(struct bp_scsi_target_slot *slot)
{
    slot->preempted = 1;
    slot->queue->target->preempted++;
    if (slot->state == SLOT_BLOCKED) {
        target_unlink_blocked(slot);
        slot->task.status = BP_SCSI_TASK_ABORTED;
        slot->task.direction = 0;
        target_end(slot);
    } else if (bp_scsi_abort(&slot->task) == BP_SCSI_DONE) {
        target_end(slot);
    }
}

static void
preempt_queue(struct bp_scsi_target_queue *queue)
{
    for (uint32_t i = 0; i < queue->slots_used; i++) {
        if (is_running(&queue->slots[i]) && !queue->slots[i].preempted) {
            preempt_slot(&queue->slots[i]);
        }
    }
}

void
target_preempt(struct bp_scsi_target *target, struct bp_scsi_nexus *nexus)
{
    for (struct bp_scsi_target_queue *queue = target->queues; queue != NULL; queue = queue->next) {
        if (&queue->nexus->nexus == nexus) {
            preempt_queue(queue);
        }
    }
}

/* What is left to do once no command is in the way. */
static void
finish(struct target_function *function)
{
    struct bp_scsi_target_queue *queue = function->queue;
    struct bp_scsi_target *target = queue->target;

    if (function->function == BP_SCSI_UNIT_RESET) {
        bp_scsi_unit_reset(&target->unit, 0x2903);
    } else if (function->function == BP_SCSI_NEXUS_RESET) {
        bp_scsi_nexus_reset(&queue->nexus->nexus);
        bp_scsi_nexus_attention(&queue->nexus->nexus, 0x2907); /* I_T nexus loss occurred */
    }
    function->ended = 1;
    target_kick(queue);
}

static void
progress(struct target_function *function, const struct bp_scsi_target_slot *slot)
{
    if (function->used && !function->ended && (slot->waiters >> function->bit & 1) &&
        --function->waiting == 0) {
        finish(function);
    }
}

void
target_function_progress(struct bp_scsi_target_slot *slot)
{
    struct bp_scsi_target *target = slot->queue->target;

    if (slot->waiters == 0) {
        return;
    }
    for (struct bp_scsi_target_queue *queue = target->queues; queue != NULL; queue = queue->next) {
        for (uint32_t i = 0; i < TARGET_FUNCTIONS; i++) {
            progress(&queue->functions[i], slot);
        }
    }
    slot->waiters = 0;
}

/* A bit that no function in use has. */
static uint32_t
free_bit(const struct bp_scsi_target *target)
{
    uint64_t used = 0;
    uint32_t bit = 0;

    for (const struct bp_scsi_target_queue *queue = target->queues; queue != NULL;
         queue = queue->next) {
        for (uint32_t i = 0; i < TARGET_FUNCTIONS; i++) {
            used |= queue->functions[i].used ? UINT64_C(1) << queue->functions[i].bit : 0;
        }
    }
    while (bit < 64 && (used >> bit & 1)) {
        bit++;
    }
    return bit;
}

static struct target_function *
new_function(struct bp_scsi_target_queue *queue, const struct bp_scsi_management *management)
{
    uint32_t bit = free_bit(queue->target);

    for (uint32_t i = 0; i < TARGET_FUNCTIONS && bit < 64; i++) {
        struct target_function *function = &queue->functions[i];

        if (!function->used) {
            *function = (struct target_function){.queue = queue,
                                                 .user = management->user,
                                                 .function = management->function,
                                                 .bit = bit,
                                                 .used = 1};
            return function;
        }
    }
    return NULL;
}

/* Aborts, or counts, one command that the function is about. Returns 1 if it was running. */
static uint32_t
visit_slot(struct bp_scsi_target_slot *slot, struct target_function *function)
{
    uint32_t running = is_running(slot);

    if (function->function >= BP_SCSI_QUERY_TASK) {
        return running;
    }
    /* ended ones, too, are waited for until they were delivered */
    slot->waiters |= UINT64_C(1) << function->bit;
    function->waiting++;
    abort_slot(slot);
    return running;
}

/* Returns how many commands there were. */
static uint32_t
visit(struct bp_scsi_target_queue *queue, const struct bp_scsi_management *management,
      struct target_function *function)
{
    uint32_t count = 0;

    for (struct bp_scsi_target_queue *at = queue->target->queues; at != NULL; at = at->next) {
        for (uint32_t i = 0; i < at->slots_used; i++) {
            struct bp_scsi_target_slot *slot = &at->slots[i];

            count += slot->state != SLOT_FREE && is_meant(queue, management, slot)
                         ? visit_slot(slot, function)
                         : 0;
        }
    }
    return count;
}

/* Initiators whose commands were cleared by another one hear of it (SAM-5 5.3.2, TAS is 1: their
 * commands end by themselves; the unit attention says why). */
static void
tell_cleared(struct bp_scsi_target_queue *queue)
{
    for (struct bp_scsi_target_nexus *nexus = queue->target->nexuses; nexus != NULL;
         nexus = nexus->next) {
        if (nexus != queue->nexus) {
            bp_scsi_nexus_attention(&nexus->nexus, 0x2f00);
        }
    }
}

int32_t
target_manage(void *self, void *opaque, const struct bp_scsi_management *management)
{
    struct bp_scsi_target *target = self;
    struct bp_scsi_target_queue *queue = opaque;
    struct target_function *function;
    uint32_t count;

    if (management->function < BP_SCSI_ABORT_TASK ||
        management->function > BP_SCSI_QUERY_TASK_SET || management->flags != 0) {
        return -EINVAL;
    }
    pthread_mutex_lock(&target->lock);
    function = new_function(queue, management);
    if (function == NULL) {
        pthread_mutex_unlock(&target->lock);
        return -EBUSY;
    }
    count = visit(queue, management, function);
    if (management->function >= BP_SCSI_QUERY_TASK) {
        function->result = count > 0;
    } else if (management->function == BP_SCSI_CLEAR_TASK_SET && count > 0) {
        tell_cleared(queue);
    }
    if (function->waiting == 0) {
        finish(function);
    }
    target_unblock(target);
    pthread_mutex_unlock(&target->lock);
    return 0;
}
