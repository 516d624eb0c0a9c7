/* SPDX-License-Identifier: Apache-2.0 */
/* bp.scsi/1: the front's queues, and how they are drained. */
#include "iscsi.h"

#include <backplane/sdk/bits.h>

#include <errno.h>
#include <string.h>

static int32_t
unit_info(void *self, struct bp_scsi_info *info)
{
    const struct unit *unit = self;
    const struct bp_scsi_info full = {
        .size = info->size, .type = unit->type, .max_iov = 1024, .max_transfer = ISCSI_MAX_BYTES};

    memcpy(info, &full, bp_min_u32(info->size, (uint32_t)sizeof(full)));
    return 0;
}

static int32_t
unit_queue_open(void *self, const struct bp_scsi_queue_args *args, void **ret_queue)
{
    struct unit *unit = self;

    return bp_scsi_front_queue_open(&unit->front, args, ret_queue);
}

static int32_t
unit_submit(void *self, void *queue, const struct bp_scsi_request *requests, uint32_t count)
{
    struct unit *unit = self;

    return bp_scsi_front_submit(&unit->front, queue, requests, count);
}

static void
unit_drain(void *self, void *opaque)
{
    struct unit *unit = self;
    struct bp_scsi_queue *queue = opaque;
    const struct bp_services *services = &unit->services;
    uint32_t home = services->loop->home(services->instance);
    uint32_t serves = (uint32_t)services->loop->is_current(services->instance, home);
    uint32_t delivers = bp_scsi_queue_is_here(queue);

    pthread_mutex_lock(&unit->front.lock);
    while (bp_scsi_queue_busy(queue)) {
        if (unit->state != SESSION_READY) {
            commands_fail_pending(unit); /* nobody knows when it comes back */
        }
        if (serves) {
            session_poll(unit);
            bp_scsi_front_run(&unit->front);
            session_update(unit);
        }
        if (delivers) {
            bp_scsi_queue_deliver(queue);
        }
        if (!serves && bp_scsi_queue_busy(queue)) {
            bp_scsi_front_wait(&unit->front);
        }
    }
    pthread_mutex_unlock(&unit->front.lock);
}

static void
unit_queue_close(void *self, void *queue)
{
    struct unit *unit = self;

    unit_drain(self, queue);
    pthread_mutex_lock(&unit->front.lock);
    bp_scsi_queue_close(queue);
    pthread_mutex_unlock(&unit->front.lock);
}

const struct bp_scsi_ops iscsi_ops = {
    .size = sizeof(iscsi_ops),
    .info = unit_info,
    .queue_open = unit_queue_open,
    .queue_close = unit_queue_close,
    .submit = unit_submit,
    .manage = iscsi_manage,
    .drain = unit_drain,
};
