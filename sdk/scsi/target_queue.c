/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of a target: made, drained, closed; and the initiators behind them. */
#include "target.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static int32_t
check_args(const struct bp_scsi_target *target, const struct bp_scsi_queue_args *args)
{
    const struct bp_services *services = &target->services;

    if (args->size < offsetof(struct bp_scsi_queue_args, initiator) || args->flags != 0 ||
        args->depth == 0 || args->depth > BP_SCSI_MAX_DEPTH || args->client == NULL ||
        args->transport_id_length > sizeof(target->nexuses->nexus.transport_id) ||
        !BP_HAS(args->client, managed) || args->client->complete == NULL) {
        return -EINVAL;
    }
    return args->loop < services->loop->count(services->instance) ? 0 : -ENOENT;
}

void
target_free_queue(struct bp_scsi_target_queue *queue)
{
    free(queue->slots);
    free(queue);
}

static struct bp_scsi_target_queue *
make_queue(struct bp_scsi_target *target, const struct bp_scsi_queue_args *args)
{
    struct bp_scsi_target_queue *queue = calloc(1, sizeof(*queue));

    if (queue == NULL) {
        return NULL;
    }
    /* those of a batch that is being delivered are not free yet */
    queue->slot_count = args->depth + TARGET_BATCH;
    queue->slots = malloc(queue->slot_count * sizeof(*queue->slots)); /* zeroed by free_slot() */
    if (queue->slots == NULL) {
        free(queue);
        return NULL;
    }
    queue->target = target;
    memcpy(&queue->client, args->client,
           bp_min_u32(args->client->size, (uint32_t)sizeof(queue->client)));
    queue->opaque = args->opaque;
    queue->loop = args->loop;
    return queue;
}

int32_t
target_queue_open(void *self, const struct bp_scsi_queue_args *given, void **ret_queue)
{
    struct bp_scsi_target *target = self;
    struct bp_scsi_queue_args args = {0};
    struct bp_scsi_target_queue *queue;
    int32_t r;

    memcpy(&args, given, bp_min_u32(given->size, (uint32_t)sizeof(args)));
    r = check_args(target, &args);
    if (r != 0) {
        return r;
    }
    queue = make_queue(target, &args);
    if (queue == NULL) {
        return -ENOMEM;
    }
    if (target->unit.ops != NULL) {
        r = bp_scsi_unit_queue_open(&target->unit, args.loop, args.depth, &queue->block_queue);
    }
    if (r != 0) {
        target_free_queue(queue);
        return r;
    }
    pthread_mutex_lock(&target->lock);
    queue->nexus = find_nexus(target, &args);
    if (queue->nexus != NULL) {
        queue->next = target->queues;
        target->queues = queue;
    }
    pthread_mutex_unlock(&target->lock);
    if (queue->nexus == NULL) {
        if (queue->block_queue != NULL) {
            bp_scsi_unit_queue_close(&target->unit, queue->block_queue);
        }
        target_free_queue(queue);
        return target->gate != NULL ? -EBUSY : -ENOMEM;
    }
    *ret_queue = queue;
    return 0;
}

/* With the lock: what the thread of this loop can do by itself. */
static void
drain_here(struct bp_scsi_target *target, struct bp_scsi_target_queue *queue)
{
    const struct bp_services *services = &target->services;

    /* a command may wait for one of another queue, whose loop this thread may run as well */
    for (struct bp_scsi_target_queue *at = target->queues; at != NULL; at = at->next) {
        if (at->block_queue != NULL && services->loop->is_current(services->instance, at->loop)) {
            pthread_mutex_unlock(&target->lock);
            target->unit.ops->drain(target->unit.self, at->block_queue);
            pthread_mutex_lock(&target->lock);
        }
    }
    target_gate_poll(target);
    target_unblock(target);
    target_deliver(queue);
    pthread_mutex_unlock(&target->lock);
    target_gate_wait(target);
    pthread_mutex_lock(&target->lock);
}

/* With the lock: what others do; a thread that waits for another machine is told to give up. */
static void
drain_there(struct bp_scsi_target *target)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    (void)pthread_cond_timedwait(&target->idle, &target->lock, &until);
}

static uint32_t
is_busy(const struct bp_scsi_target_queue *queue)
{
    uint32_t busy = queue->taken;

    for (uint32_t i = 0; i < TARGET_FUNCTIONS; i++) {
        busy += queue->functions[i].used;
    }
    return busy;
}

void
target_drain(void *self, void *opaque)
{
    struct bp_scsi_target *target = self;
    struct bp_scsi_target_queue *queue = opaque;
    const struct bp_loop_host *loop = target->services.loop;
    uint32_t here =
        BP_HAS(loop, is_current) && loop->is_current(target->services.instance, queue->loop);

    pthread_mutex_lock(&target->lock);
    while (is_busy(queue)) {
        target_cancel_held(queue);
        target_gate_hurry(target);
        if (here) {
            drain_here(target, queue);
        } else {
            drain_there(target);
        }
    }
    pthread_mutex_unlock(&target->lock);
}

/* Frees closed queues that nobody is on the way to. */
static void
reap(struct bp_scsi_target *target)
{
    struct bp_scsi_target_queue **at = &target->closed;

    while (*at != NULL) {
        struct bp_scsi_target_queue *queue = *at;

        if (queue->coming == 0) {
            *at = queue->next;
            target_free_queue(queue);
        } else {
            at = &queue->next;
        }
    }
}

void
target_queue_close(void *self, void *opaque)
{
    struct bp_scsi_target *target = self;
    struct bp_scsi_target_queue *queue = opaque;
    struct bp_scsi_target_queue **at = &target->queues;

    target_drain(self, queue);
    if (queue->block_queue != NULL) {
        bp_scsi_unit_queue_close(&target->unit, queue->block_queue);
    }
    pthread_mutex_lock(&target->lock);
    while (*at != queue) {
        at = &(*at)->next;
    }
    *at = queue->next;
    put_nexus(target, queue->nexus);
    queue->nexus = NULL;
    queue->event_count = 0;
    /* one that a deferred call is still on the way to is kept for it */
    queue->next = target->closed;
    target->closed = queue;
    reap(target);
    pthread_mutex_unlock(&target->lock);
}
