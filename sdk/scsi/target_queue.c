/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of a target: made, drained, closed; and the initiators behind them. */
#include "target.h"

#include <stdlib.h>
#include <string.h>

static struct bp_scsi_target_nexus *
find_nexus(struct bp_scsi_target *target, const struct bp_scsi_queue_args *args)
{
    struct bp_scsi_target_nexus *nexus;

    for (nexus = target->nexuses; nexus != NULL; nexus = nexus->next) {
        if (nexus->nexus.initiator == args->initiator) {
            nexus->users++;
            return nexus;
        }
    }
    nexus = calloc(1, sizeof(*nexus));
    if (nexus == NULL) {
        return NULL;
    }
    bp_scsi_nexus_init(&nexus->nexus, &target->unit, 0);
    nexus->nexus.initiator = args->initiator;
    nexus->nexus.transport_id_length = args->transport_id_length;
    if (args->transport_id != NULL) {
        memcpy(nexus->nexus.transport_id, args->transport_id, args->transport_id_length);
    }
    if (target_gate_enlist(target, &nexus->nexus) != 0) {
        bp_scsi_nexus_done(&nexus->nexus);
        free(nexus);
        return NULL;
    }
    bp_scsi_nexus_attention(&nexus->nexus, 0x2901); /* power on */
    nexus->users = 1;
    nexus->next = target->nexuses;
    target->nexuses = nexus;
    return nexus;
}

static void
put_nexus(struct bp_scsi_target *target, struct bp_scsi_target_nexus *nexus)
{
    struct bp_scsi_target_nexus **at = &target->nexuses;

    if (nexus == NULL || --nexus->users > 0) {
        return;
    }
    while (*at != nexus) {
        at = &(*at)->next;
    }
    *at = nexus->next;
    target_gate_discharge(target, &nexus->nexus);
    bp_scsi_nexus_done(&nexus->nexus);
    free(nexus);
}

int32_t
target_queue_open(void *self, const struct bp_scsi_queue_args *given, void **ret_queue)
{
    struct bp_scsi_target *target = self;
    struct bp_scsi_queue_args args = {0};
    struct bp_scsi_target_queue *queue;
    struct bp_scsi_queue *opened = NULL;
    int32_t r;

    memcpy(&args, given, bp_min_u32(given->size, (uint32_t)sizeof(args)));
    if (args.transport_id_length > sizeof(target->nexuses->nexus.transport_id)) {
        return -EINVAL;
    }
    r = bp_scsi_front_open(&target->front, &args, &opened);
    if (r != 0) {
        return r;
    }
    queue = target_queue(opened);
    if (target->unit.ops != NULL) {
        r = bp_scsi_unit_queue_open(&target->unit, args.loop, args.depth, &queue->block_queue);
    }
    if (r != 0) {
        bp_scsi_queue_free(opened);
        return r;
    }
    pthread_mutex_lock(&target->front.lock);
    queue->nexus = find_nexus(target, &args);
    if (queue->nexus != NULL) {
        bp_scsi_queue_link(opened);
    }
    pthread_mutex_unlock(&target->front.lock);
    if (queue->nexus == NULL) {
        if (queue->block_queue != NULL) {
            bp_scsi_unit_queue_close(&target->unit, queue->block_queue);
        }
        bp_scsi_queue_free(opened);
        return target->gate != NULL ? -EBUSY : -ENOMEM;
    }
    *ret_queue = queue;
    return 0;
}

/* With the lock: what the thread of this loop can do by itself. */
static void
drain_here(struct bp_scsi_target *target, struct bp_scsi_queue *queue)
{
    /* a command may wait for one of another queue, whose loop this thread may run as well */
    for (struct bp_scsi_queue *at = target->front.queues; at != NULL; at = at->next) {
        void *block_queue = target_queue(at)->block_queue;

        if (block_queue != NULL && bp_scsi_queue_is_here(at)) {
            pthread_mutex_unlock(&target->front.lock);
            target->unit.ops->drain(target->unit.self, block_queue);
            pthread_mutex_lock(&target->front.lock);
        }
    }
    target_gate_poll(target);
    bp_scsi_front_run(&target->front);
    bp_scsi_queue_deliver(queue);
    pthread_mutex_unlock(&target->front.lock);
    target_gate_wait(target);
    pthread_mutex_lock(&target->front.lock);
}

void
target_drain(void *self, void *opaque)
{
    struct bp_scsi_target *target = self;
    struct bp_scsi_queue *queue = opaque;
    uint32_t here = bp_scsi_queue_is_here(queue);

    pthread_mutex_lock(&target->front.lock);
    while (bp_scsi_queue_busy(queue)) {
        target_cancel_held(queue);
        target_gate_hurry(target); /* a thread that waits for another machine is told to give up */
        if (here) {
            drain_here(target, queue);
        } else {
            bp_scsi_front_wait(&target->front);
        }
    }
    pthread_mutex_unlock(&target->front.lock);
}

void
target_queue_close(void *self, void *opaque)
{
    struct bp_scsi_target *target = self;
    struct bp_scsi_target_queue *queue = opaque;

    target_drain(self, queue);
    if (queue->block_queue != NULL) {
        bp_scsi_unit_queue_close(&target->unit, queue->block_queue);
    }
    pthread_mutex_lock(&target->front.lock);
    put_nexus(target, queue->nexus);
    queue->nexus = NULL;
    bp_scsi_queue_close(&queue->queue);
    pthread_mutex_unlock(&target->front.lock);
}
