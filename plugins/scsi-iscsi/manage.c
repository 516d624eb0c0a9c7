/* SPDX-License-Identifier: Apache-2.0 */
/* Task management: to the target, and here. With the lock, but for manage(). */
#include "iscsi.h"

#include <errno.h>

/* Once for each that was sent, at the latest when its context goes. Without an answer of the target
 * its commands are ended here all the same: a session that is lost has none. */
static void
managed(struct iscsi_context *context, int status, void *data, void *opaque)
{
    uint32_t refused = status == SCSI_STATUS_GOOD && data != NULL &&
                       *(const uint32_t *)data == ISCSI_TMR_TMF_NOT_SUPPORTED;

    (void)bp_scsi_function_carry_out(opaque, refused ? -EOPNOTSUPP : 0);
}

/* Returns 1 if managed() will come. */
static uint32_t
send_function(struct unit *unit, struct bp_scsi_function *function)
{
    static const enum iscsi_task_mgmt_funcs functions[] = {
        [BP_SCSI_ABORT_TASK] = ISCSI_TM_ABORT_TASK,
        [BP_SCSI_ABORT_TASK_SET] = ISCSI_TM_ABORT_TASK_SET,
        [BP_SCSI_CLEAR_TASK_SET] = ISCSI_TM_CLEAR_TASK_SET,
        [BP_SCSI_UNIT_RESET] = ISCSI_TM_LUN_RESET,
        [BP_SCSI_NEXUS_RESET] = ISCSI_TM_ABORT_TASK_SET,
    };
    const struct scsi_task *task = NULL;

    if (function->kind >= BP_SCSI_QUERY_TASK || unit->state != SESSION_READY || unit->broken) {
        return 0;
    }
    if (function->kind == BP_SCSI_ABORT_TASK) {
        struct bp_scsi_slot *slot = bp_scsi_function_next(function, NULL);
        const struct job *job = slot != NULL ? iscsi_slot(slot)->job : NULL;

        if (job == NULL) {
            return 0; /* the target does not know it */
        }
        task = job->task;
    }
    return iscsi_task_mgmt_async(unit->context, (int)unit->lun, functions[function->kind],
                                 task != NULL ? task->itt : 0xffffffff,
                                 task != NULL ? task->cmdsn : 0, managed, function) == 0;
}

int32_t
iscsi_manage(void *self, void *queue, const struct bp_scsi_management *management)
{
    struct unit *unit = self;
    struct bp_scsi_function *function;
    int32_t r;

    pthread_mutex_lock(&unit->front.lock);
    r = bp_scsi_function_new(queue, management, &function);
    if (r == 0) {
        if (!send_function(unit, function)) {
            (void)bp_scsi_function_carry_out(function, 0);
        }
        session_update(unit);
    }
    pthread_mutex_unlock(&unit->front.lock);
    return r;
}
