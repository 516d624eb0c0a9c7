/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of adapters: made, drained, closed; and what has ended is delivered. With the lock, but
 * for the calls of the adapter. */
#include "iscsi.h"

#include <backplane/sdk/bits.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- delivery ----------------------------------------------------------------------------------
 */

static void
fill(struct slot *slot, struct bp_scsi_completion *completion)
{
    const struct bp_scsi_request *request = &slot->request;
    uint32_t sense = bp_min_u32(slot->sense_length, request->sense_size);

    *completion = (struct bp_scsi_completion){.user = request->user,
                                              .result = slot->result,
                                              .in_residual = request->in_length,
                                              .out_residual = request->out_length};
    if (slot->result != 0) {
        return;
    }
    completion->status = slot->status;
    if (request->sense != NULL && sense > 0) {
        memcpy(request->sense, slot->sense, sense);
        completion->sense_length = sense;
    }
    if (request->out_length != 0) {
        completion->out_residual -= slot->moved;
    } else {
        completion->in_residual -= slot->moved;
    }
}

static uint32_t
deliver_commands(struct unit_queue *queue)
{
    struct unit *unit = queue->unit;
    struct bp_scsi_completion completions[ISCSI_BATCH];
    struct slot *slots[ISCSI_BATCH];
    uint32_t count = 0;

    while (count < ISCSI_BATCH && queue->ended_first != NULL) {
        struct slot *slot = queue->ended_first;

        queue->ended_first = slot->next;
        queue->ended_last = slot->next != NULL ? queue->ended_last : NULL;
        slots[count] = slot;
        fill(slot, &completions[count++]);
    }
    if (count == 0) {
        return 0;
    }
    pthread_mutex_unlock(&unit->lock);
    queue->client.complete(queue->opaque, completions, count);
    pthread_mutex_lock(&unit->lock);
    for (uint32_t i = 0; i < count; i++) {
        slots[i]->state = SLOT_FREE;
        slots[i]->next = queue->free;
        queue->free = slots[i];
    }
    queue->taken -= count;
    return count;
}

static void
deliver(struct unit_queue *queue)
{
    struct unit *unit = queue->unit;

    for (uint32_t i = 0; i < BP_SCSI_MAX_DEPTH / ISCSI_BATCH && deliver_commands(queue) != 0; i++) {
    }
    for (uint32_t i = 0; i < ISCSI_FUNCTIONS; i++) {
        struct function function = queue->functions[i];

        if (function.kind != 0 && function.ended && queue->ended_first == NULL) {
            pthread_mutex_unlock(&unit->lock);
            queue->client.managed(queue->opaque, function.user, function.result);
            pthread_mutex_lock(&unit->lock);
            queue->functions[i].kind = 0;
        }
    }
    pthread_cond_broadcast(&unit->idle);
}

static uint32_t
has_news(const struct unit_queue *queue)
{
    uint32_t news = queue->ended_first != NULL;

    for (uint32_t i = 0; i < ISCSI_FUNCTIONS; i++) {
        news |= queue->functions[i].kind != 0 && queue->functions[i].ended;
    }
    return news;
}

static void
deferred(void *opaque)
{
    struct unit_queue *queue = opaque;
    struct unit *unit = queue->unit;
    uint32_t gone;

    pthread_mutex_lock(&unit->lock);
    queue->scheduled = 0;
    deliver(queue);
    commands_send(unit);
    if (has_news(queue)) {
        queue_kick(queue);
    }
    queue->coming--;
    gone = queue->closed && queue->coming == 0;
    pthread_mutex_unlock(&unit->lock);
    if (gone) {
        free(queue->slots);
        free(queue);
    }
}

void
queue_kick(struct unit_queue *queue)
{
    const struct bp_services *services = &queue->unit->services;

    if (queue->scheduled) {
        return;
    }
    queue->scheduled = 1;
    queue->coming++;
    if (services->loop->defer(services->instance, queue->loop, deferred, queue) != 0) {
        /* cannot be: the loop was there when the queue was made */
        queue->scheduled = 0;
        queue->coming--;
    }
}

/* --- queues ------------------------------------------------------------------------------------
 */

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
    struct unit_queue *queue;

    if (args->depth == 0 || args->depth > BP_SCSI_MAX_DEPTH || args->client == NULL ||
        args->client->complete == NULL || !BP_HAS(args->client, managed) || args->flags != 0) {
        return -EINVAL;
    }
    if (args->loop >= unit->services.loop->count(unit->services.instance)) {
        return -ENOENT;
    }
    queue = calloc(1, sizeof(*queue));
    if (queue != NULL) {
        /* those of a batch that is being delivered are not free yet */
        queue->slot_count = args->depth + ISCSI_BATCH;
        queue->slots = calloc(queue->slot_count, sizeof(*queue->slots));
    }
    if (queue == NULL || queue->slots == NULL) {
        free(queue);
        return -ENOMEM;
    }
    for (uint32_t i = queue->slot_count; i-- > 0;) {
        queue->slots[i].queue = queue;
        queue->slots[i].next = queue->free;
        queue->free = &queue->slots[i];
    }
    queue->unit = unit;
    memcpy(&queue->client, args->client,
           bp_min_u32(args->client->size, (uint32_t)sizeof(queue->client)));
    queue->opaque = args->opaque;
    queue->loop = args->loop;
    queue->initiator = args->initiator;
    pthread_mutex_lock(&unit->lock);
    queue->next = unit->queues;
    unit->queues = queue;
    pthread_mutex_unlock(&unit->lock);
    *ret_queue = queue;
    return 0;
}

static uint32_t
is_busy(const struct unit_queue *queue)
{
    uint32_t busy = queue->taken;

    for (uint32_t i = 0; i < ISCSI_FUNCTIONS; i++) {
        busy += queue->functions[i].kind != 0;
    }
    return busy;
}

static void
drain_there(struct unit *unit)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    (void)pthread_cond_timedwait(&unit->idle, &unit->lock, &until);
}

static void
unit_drain(void *self, void *opaque)
{
    struct unit *unit = self;
    struct unit_queue *queue = opaque;
    const struct bp_services *services = &unit->services;
    uint32_t home = services->loop->home(services->instance);
    uint32_t serves = (uint32_t)services->loop->is_current(services->instance, home);
    uint32_t delivers = (uint32_t)services->loop->is_current(services->instance, queue->loop);

    pthread_mutex_lock(&unit->lock);
    while (is_busy(queue)) {
        if (unit->state != SESSION_READY) {
            commands_fail_pending(unit); /* nobody knows when it comes back */
        }
        if (serves) {
            session_poll(unit);
            commands_send(unit);
            session_update(unit);
        }
        if (delivers) {
            deliver(queue);
        }
        if (!serves && is_busy(queue)) {
            drain_there(unit);
        }
    }
    pthread_mutex_unlock(&unit->lock);
}

static void
unit_queue_close(void *self, void *opaque)
{
    struct unit *unit = self;
    struct unit_queue *queue = opaque;
    struct unit_queue **at = &unit->queues;
    uint32_t gone;

    unit_drain(self, queue);
    pthread_mutex_lock(&unit->lock);
    while (*at != queue) {
        at = &(*at)->next;
    }
    *at = queue->next;
    queue->closed = 1;
    gone = queue->coming == 0;
    pthread_mutex_unlock(&unit->lock);
    if (gone) {
        free(queue->slots);
        free(queue);
    }
}

const struct bp_scsi_ops iscsi_ops = {
    .size = sizeof(iscsi_ops),
    .info = unit_info,
    .queue_open = unit_queue_open,
    .queue_close = unit_queue_close,
    .submit = iscsi_submit,
    .manage = iscsi_manage,
    .drain = unit_drain,
};
