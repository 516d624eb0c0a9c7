/* SPDX-License-Identifier: Apache-2.0 */
/* Task management functions of a front (SAM-5 7). See scsi_front.h. */
#include "front.h"

#include <errno.h>

static void
end_function(struct bp_scsi_function *function)
{
    const struct bp_scsi_front_ops *ops = function->queue->front->ops;

    if (ops->finish != NULL) {
        ops->finish(function);
    }
    function->ended = 1;
    front_kick(function->queue);
}

static void
progress(struct bp_scsi_function *function, const struct bp_scsi_slot *slot)
{
    if (function->kind != 0 && !function->ended && (slot->waiters >> function->number & 1) &&
        --function->waiting == 0) {
        end_function(function);
    }
}

void
front_function_delivered(struct bp_scsi_slot *slot)
{
    struct bp_scsi_queue *queue = slot->waiters != 0 ? slot->queue->front->queues : NULL;

    for (; queue != NULL; queue = queue->next) {
        for (uint32_t i = 0; i < BP_SCSI_FUNCTIONS; i++) {
            progress(&queue->functions[i], slot);
        }
    }
    slot->waiters = 0;
}

/* A number that no function in use has; 64: there is none. */
static uint32_t
free_number(const struct bp_scsi_front *front)
{
    uint64_t used = 0;
    uint32_t number = 0;

    for (const struct bp_scsi_queue *queue = front->queues; queue != NULL; queue = queue->next) {
        for (uint32_t i = 0; i < BP_SCSI_FUNCTIONS; i++) {
            const struct bp_scsi_function *function = &queue->functions[i];

            used |= function->kind != 0 ? UINT64_C(1) << function->number : 0;
        }
    }
    while (number < 64 && (used >> number & 1)) {
        number++;
    }
    return number;
}

int32_t
bp_scsi_function_new(struct bp_scsi_queue *queue, const struct bp_scsi_management *management,
                     struct bp_scsi_function **ret_function)
{
    uint32_t number = free_number(queue->front);
    struct bp_scsi_function *function = queue->functions;

    if (management->function < BP_SCSI_ABORT_TASK ||
        management->function > BP_SCSI_QUERY_TASK_SET || management->flags != 0) {
        return -EINVAL;
    }
    while (function < queue->functions + BP_SCSI_FUNCTIONS && function->kind != 0) {
        function++;
    }
    if (number == 64 || function == queue->functions + BP_SCSI_FUNCTIONS) {
        return -EBUSY;
    }
    *function = (struct bp_scsi_function){.queue = queue,
                                          .user = management->user,
                                          .request = management->request,
                                          .kind = management->function,
                                          .number = number};
    *ret_function = function;
    return 0;
}

static uint32_t
is_meant(const struct bp_scsi_function *function, const struct bp_scsi_slot *slot)
{
    uint32_t same = slot->queue->initiator == function->queue->initiator;

    if (slot->state == BP_SCSI_SLOT_FREE) {
        return 0;
    }
    switch (function->kind) {
    case BP_SCSI_ABORT_TASK:
    case BP_SCSI_QUERY_TASK:
        return same && slot->request.user == function->request;
    case BP_SCSI_ABORT_TASK_SET:
    case BP_SCSI_QUERY_TASK_SET:
    case BP_SCSI_NEXUS_RESET:
        return same;
    default:
        return 1;
    }
}

struct bp_scsi_slot *
bp_scsi_function_next(const struct bp_scsi_function *function, struct bp_scsi_slot *after)
{
    struct bp_scsi_queue *queue = after != NULL ? after->queue : function->queue->front->queues;
    uint32_t i = 0;

    if (after != NULL) {
        i = (uint32_t)((uint64_t)((uint8_t *)after - queue->slots) /
                       queue->front->ops->slot_bytes) +
            1;
    }
    while (queue != NULL) {
        while (i < queue->slots_used && !is_meant(function, bp_scsi_queue_slot(queue, i))) {
            i++;
        }
        if (i < queue->slots_used) {
            return bp_scsi_queue_slot(queue, i);
        }
        queue = queue->next;
        i = 0;
    }
    return NULL;
}

uint32_t
bp_scsi_function_carry_out(struct bp_scsi_function *function, int32_t result)
{
    struct bp_scsi_front *front = function->queue->front;
    struct bp_scsi_slot *slot = NULL;
    uint32_t query = function->kind >= BP_SCSI_QUERY_TASK;
    uint32_t running = 0;

    function->waiting = 1; /* until all are known */
    while ((slot = bp_scsi_function_next(function, slot)) != NULL) {
        uint32_t runs = bp_scsi_slot_is_running(slot);

        running += runs;
        if (query) {
            continue;
        }
        /* ended ones, too, are waited for until they were delivered */
        slot->waiters |= UINT64_C(1) << function->number;
        function->waiting++;
        if (runs) {
            front->ops->abort(slot);
        }
    }
    function->result = query ? running > 0 : result;
    if (--function->waiting == 0) {
        end_function(function);
    }
    return running;
}
