/* SPDX-License-Identifier: Apache-2.0 */
/* Task management: to the target, and here. With the lock, but for manage(). */
#include "iscsi.h"

#include <errno.h>
#include <stdlib.h>

/* Ends a command here; what the network still has of it finds nobody. */
static void
cancel(struct slot *slot)
{
    struct unit *unit = slot->queue->unit;
    struct job *job = slot->job;

    if (slot->state == SLOT_PENDING) {
        command_unlink(slot);
        command_end(slot, -ECANCELED);
    } else if (slot->state == SLOT_ACTIVE) {
        slot->job = NULL;
        command_end(slot, -ECANCELED);
        if (job != NULL) {
            job->slot = NULL;
            (void)iscsi_scsi_cancel_task(unit->context, job->task);
        }
    }
}

static uint32_t
is_running(const struct slot *slot)
{
    return slot->state == SLOT_PENDING || slot->state == SLOT_ACTIVE;
}

static uint32_t
is_meant(const struct unit_queue *queue, uint32_t kind, uint64_t request, const struct slot *slot)
{
    if (!is_running(slot)) {
        return 0;
    }
    switch (kind) {
    case BP_SCSI_ABORT_TASK:
    case BP_SCSI_QUERY_TASK:
        return slot->queue->initiator == queue->initiator && slot->request.user == request;
    case BP_SCSI_ABORT_TASK_SET:
    case BP_SCSI_QUERY_TASK_SET:
    case BP_SCSI_NEXUS_RESET:
        return slot->queue->initiator == queue->initiator;
    default:
        return 1;
    }
}

/* The first command that the function is about, or NULL. */
static struct slot *
find_meant(struct unit_queue *queue, uint32_t kind, uint64_t request)
{
    for (struct unit_queue *at = queue->unit->queues; at != NULL; at = at->next) {
        uint32_t i = 0;

        while (i < at->slot_count && !is_meant(queue, kind, request, &at->slots[i])) {
            i++;
        }
        if (i < at->slot_count) {
            return &at->slots[i];
        }
    }
    return NULL;
}

static void
end_function(struct function *function, int32_t result)
{
    struct slot *slot;

    while (function->kind < BP_SCSI_QUERY_TASK &&
           (slot = find_meant(function->queue, function->kind, function->request)) != NULL) {
        cancel(slot);
    }
    function->result = result;
    function->ended = 1;
    queue_kick(function->queue);
}

static uint32_t
is_open(const struct function *function, uint32_t serial)
{
    return function->kind != 0 && !function->ended && function->serial == serial;
}

static struct function *
find_function(struct unit *unit, uint32_t serial)
{
    for (struct unit_queue *queue = unit->queues; queue != NULL; queue = queue->next) {
        uint32_t i = 0;

        while (i < ISCSI_FUNCTIONS && !is_open(&queue->functions[i], serial)) {
            i++;
        }
        if (i < ISCSI_FUNCTIONS) {
            return &queue->functions[i];
        }
    }
    return NULL;
}

struct answer {
    struct unit *unit;
    uint32_t serial;
};

/* Without an answer of the target its commands are ended here all the same: a session that is lost
 * has none. */
static void
managed(struct iscsi_context *context, int status, void *data, void *opaque)
{
    struct answer *answer = opaque;
    struct function *function = find_function(answer->unit, answer->serial);
    uint32_t refused = status == SCSI_STATUS_GOOD && data != NULL &&
                       *(const uint32_t *)data == ISCSI_TMR_TMF_NOT_SUPPORTED;

    if (function != NULL) {
        end_function(function, refused ? -EOPNOTSUPP : 0);
    }
    free(answer);
}

static void
start_function(struct function *function)
{
    static const enum iscsi_task_mgmt_funcs functions[] = {
        [BP_SCSI_ABORT_TASK] = ISCSI_TM_ABORT_TASK,
        [BP_SCSI_ABORT_TASK_SET] = ISCSI_TM_ABORT_TASK_SET,
        [BP_SCSI_CLEAR_TASK_SET] = ISCSI_TM_CLEAR_TASK_SET,
        [BP_SCSI_UNIT_RESET] = ISCSI_TM_LUN_RESET,
        [BP_SCSI_NEXUS_RESET] = ISCSI_TM_ABORT_TASK_SET,
    };
    struct unit *unit = function->queue->unit;
    const struct slot *slot = find_meant(function->queue, function->kind, function->request);
    uint32_t one = function->kind == BP_SCSI_ABORT_TASK;
    uint32_t remote = unit->state == SESSION_READY && !unit->broken &&
                      (!one || (slot != NULL && slot->job != NULL));
    struct answer *answer = remote ? malloc(sizeof(*answer)) : NULL;

    if (answer == NULL) {
        end_function(function, 0);
        return;
    }
    *answer = (struct answer){unit, function->serial};
    if (iscsi_task_mgmt_async(unit->context, (int)unit->lun, functions[function->kind],
                              one ? slot->job->task->itt : 0xffffffff,
                              one ? slot->job->task->cmdsn : 0, managed, answer) != 0) {
        free(answer);
        end_function(function, 0);
    }
}

static struct function *
new_function(struct unit_queue *queue, const struct bp_scsi_management *management)
{
    for (uint32_t i = 0; i < ISCSI_FUNCTIONS; i++) {
        struct function *function = &queue->functions[i];

        if (function->kind == 0) {
            *function = (struct function){.queue = queue,
                                          .user = management->user,
                                          .request = management->request,
                                          .kind = management->function,
                                          .serial = ++queue->unit->serial};
            return function;
        }
    }
    return NULL;
}

int32_t
iscsi_manage(void *self, void *opaque, const struct bp_scsi_management *management)
{
    struct unit *unit = self;
    struct unit_queue *queue = opaque;
    struct function *function;
    int32_t r = 0;

    if (management->function < BP_SCSI_ABORT_TASK ||
        management->function > BP_SCSI_QUERY_TASK_SET || management->flags != 0) {
        return -EINVAL;
    }
    pthread_mutex_lock(&unit->lock);
    function = new_function(queue, management);
    if (function == NULL) {
        r = -EBUSY;
    } else if (function->kind >= BP_SCSI_QUERY_TASK) {
        end_function(function, find_meant(queue, function->kind, function->request) != NULL);
    } else {
        start_function(function);
        session_update(unit);
    }
    pthread_mutex_unlock(&unit->lock);
    return r;
}
