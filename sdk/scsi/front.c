/* SPDX-License-Identifier: Apache-2.0 */
/* Queues and commands of a unit, and their delivery. See scsi_front.h. */
#include "front.h"

#include <backplane/sdk/bits.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- commands ----------------------------------------------------------------------------------
 */

static void
unlink_held(struct bp_scsi_slot *slot)
{
    struct bp_scsi_front *front = slot->queue->front;
    struct bp_scsi_slot *before = NULL;

    for (struct bp_scsi_slot *at = front->held_first; at != NULL; before = at, at = at->next) {
        if (at != slot) {
            continue;
        }
        if (before != NULL) {
            before->next = slot->next;
        } else {
            front->held_first = slot->next;
        }
        front->held_last = front->held_last == slot ? before : front->held_last;
        slot->next = NULL;
        return;
    }
}

static void
append_held(struct bp_scsi_slot *slot)
{
    struct bp_scsi_front *front = slot->queue->front;

    slot->state = BP_SCSI_SLOT_HELD;
    slot->next = NULL;
    if (front->held_last != NULL) {
        front->held_last->next = slot;
    } else {
        front->held_first = slot;
    }
    front->held_last = slot;
}

void
bp_scsi_slot_retire(struct bp_scsi_slot *slot)
{
    struct bp_scsi_front *front = slot->queue->front;

    if (slot->state == BP_SCSI_SLOT_ACTIVE) {
        front->active--;
        front->ordered -= slot->ordered;
    } else if (slot->state == BP_SCSI_SLOT_HELD) {
        unlink_held(slot);
    }
    slot->state = BP_SCSI_SLOT_ENDED;
}

void
bp_scsi_slot_deliver(struct bp_scsi_slot *slot)
{
    struct bp_scsi_queue *queue = slot->queue;

    slot->next = NULL;
    if (queue->ended_last != NULL) {
        queue->ended_last->next = slot;
    } else {
        queue->ended_first = slot;
    }
    queue->ended_last = slot;
    front_kick(queue);
}

void
bp_scsi_slot_end(struct bp_scsi_slot *slot, int32_t result)
{
    slot->result = result;
    bp_scsi_slot_retire(slot);
    bp_scsi_slot_deliver(slot);
}

void
bp_scsi_slot_hold(struct bp_scsi_slot *slot)
{
    bp_scsi_slot_retire(slot);
    append_held(slot);
}

/* ORDERED: after all older ones, before all younger ones. HEAD OF QUEUE: at once (SAM-5 8.7). */
static uint32_t
must_wait(struct bp_scsi_slot *slot)
{
    struct bp_scsi_front *front = slot->queue->front;

    if (!slot->urgent && (front->ordered != 0 || (slot->ordered && front->active != 0))) {
        return 1;
    }
    return front->ops->must_wait != NULL && front->ops->must_wait(slot);
}

static void
start(struct bp_scsi_slot *slot)
{
    struct bp_scsi_front *front = slot->queue->front;

    slot->state = BP_SCSI_SLOT_ACTIVE;
    front->active++;
    front->ordered += slot->ordered;
    front->ops->start(slot);
}

void
bp_scsi_front_run(struct bp_scsi_front *front)
{
    while (front->held_first != NULL && !must_wait(front->held_first)) {
        struct bp_scsi_slot *slot = front->held_first;

        unlink_held(slot);
        start(slot);
    }
}

/* NULL: all are taken. */
static struct bp_scsi_slot *
free_slot(struct bp_scsi_queue *queue)
{
    struct bp_scsi_slot *slot = queue->free;

    if (slot != NULL) {
        queue->free = slot->next;
    } else if (queue->slots_used < queue->slot_count) {
        slot = bp_scsi_queue_slot(queue, queue->slots_used++);
        memset(slot, 0, queue->front->ops->slot_bytes);
        slot->queue = queue;
    }
    return slot;
}

static void
take(struct bp_scsi_slot *slot, const struct bp_scsi_request *request)
{
    struct bp_scsi_front *front = slot->queue->front;

    slot->queue->taken++;
    slot->next = NULL;
    slot->request = *request;
    slot->state = BP_SCSI_SLOT_FREE;
    slot->ordered = request->attribute == BP_SCSI_ORDERED;
    slot->urgent = request->attribute == BP_SCSI_HEAD_OF_QUEUE;
    slot->result = 0;
    slot->waiters = 0;
    if (request->cdb_length == 0 || request->cdb_length > BP_SCSI_MAX_CDB || request->flags != 0 ||
        request->attribute > BP_SCSI_ORDERED ||
        (front->ops->check != NULL && front->ops->check(slot) != 0)) {
        bp_scsi_slot_end(slot, -EINVAL);
    } else if ((front->held_first != NULL && !slot->urgent) || must_wait(slot)) {
        append_held(slot);
    } else {
        start(slot);
    }
}

int32_t
bp_scsi_front_submit(struct bp_scsi_front *front, struct bp_scsi_queue *queue,
                     const struct bp_scsi_request *requests, uint32_t count)
{
    struct bp_scsi_slot *slot;
    uint32_t taken = 0;

    pthread_mutex_lock(&front->lock);
    while (taken < count && (slot = free_slot(queue)) != NULL) {
        take(slot, &requests[taken++]);
    }
    bp_scsi_front_run(front);
    pthread_mutex_unlock(&front->lock);
    return (int32_t)taken;
}

/* --- delivery ----------------------------------------------------------------------------------
 */

static void
fill(const struct bp_scsi_slot *slot, struct bp_scsi_completion *completion)
{
    const struct bp_scsi_request *request = &slot->request;
    struct bp_scsi_outcome outcome = {0};
    uint32_t sense;

    *completion = (struct bp_scsi_completion){
        .user = request->user,
        .result = slot->result,
        .in_residual = request->in_length,
        .out_residual = request->out_length,
    };
    if (slot->result != 0) {
        return;
    }
    slot->queue->front->ops->outcome(slot, &outcome);
    completion->status = outcome.status;
    completion->in_residual -= bp_min_u64(outcome.in_moved, request->in_length);
    completion->out_residual -= bp_min_u64(outcome.out_moved, request->out_length);
    sense = bp_min_u32(outcome.sense_length, request->sense_size);
    if (request->sense != NULL && sense > 0) {
        memcpy(request->sense, outcome.sense, sense);
        completion->sense_length = sense;
    }
}

static uint32_t
deliver_commands(struct bp_scsi_queue *queue)
{
    struct bp_scsi_front *front = queue->front;
    struct bp_scsi_completion completions[BP_SCSI_BATCH];
    struct bp_scsi_slot *slots[BP_SCSI_BATCH];
    uint32_t count = 0;

    while (count < BP_SCSI_BATCH && queue->ended_first != NULL) {
        struct bp_scsi_slot *slot = queue->ended_first;

        queue->ended_first = slot->next;
        queue->ended_last = slot->next != NULL ? queue->ended_last : NULL;
        slots[count] = slot;
        fill(slot, &completions[count++]);
    }
    if (count == 0) {
        return 0;
    }
    pthread_mutex_unlock(&front->lock);
    queue->client.complete(queue->opaque, completions, count);
    pthread_mutex_lock(&front->lock);
    for (uint32_t i = 0; i < count; i++) {
        front_function_delivered(slots[i]);
        slots[i]->state = BP_SCSI_SLOT_FREE;
        slots[i]->next = queue->free;
        queue->free = slots[i];
    }
    queue->taken -= count;
    return count;
}

static void
deliver_functions(struct bp_scsi_queue *queue)
{
    struct bp_scsi_front *front = queue->front;

    for (uint32_t i = 0; i < BP_SCSI_FUNCTIONS; i++) {
        struct bp_scsi_function function = queue->functions[i];

        if (function.kind != 0 && function.ended) {
            pthread_mutex_unlock(&front->lock);
            queue->client.managed(queue->opaque, function.user, function.result);
            pthread_mutex_lock(&front->lock);
            queue->functions[i].kind = 0;
        }
    }
    if (queue->gone) {
        queue->gone = 0;
        if (queue->client.event != NULL) {
            pthread_mutex_unlock(&front->lock);
            queue->client.event(queue->opaque, BP_SCSI_EVENT_GONE, 0);
            pthread_mutex_lock(&front->lock);
        }
    }
    while (queue->event_count > 0) {
        uint32_t code = queue->events[--queue->event_count];

        if (queue->client.event != NULL) {
            pthread_mutex_unlock(&front->lock);
            queue->client.event(queue->opaque, BP_SCSI_EVENT_ATTENTION, code);
            pthread_mutex_lock(&front->lock);
        }
    }
}

void
bp_scsi_queue_deliver(struct bp_scsi_queue *queue)
{
    struct bp_scsi_front *front = queue->front;

    for (uint32_t rounds = 0; rounds < BP_SCSI_MAX_DEPTH / BP_SCSI_BATCH; rounds++) {
        if (deliver_commands(queue) == 0) {
            break;
        }
        bp_scsi_front_run(front);
    }
    deliver_functions(queue);
    if (queue->ended_first != NULL) {
        front_kick(queue); /* others want the loop, too */
    }
    pthread_cond_broadcast(&front->idle);
}

static void
deferred(void *opaque)
{
    struct bp_scsi_queue *queue = opaque;
    struct bp_scsi_front *front = queue->front;

    pthread_mutex_lock(&front->lock);
    queue->scheduled = 0;
    bp_scsi_queue_deliver(queue);
    queue->coming--;
    pthread_cond_broadcast(&front->idle);
    pthread_mutex_unlock(&front->lock);
}

/* Sees to it that the queue's loop comes and delivers. */
void
front_kick(struct bp_scsi_queue *queue)
{
    const struct bp_services *services = queue->front->services;

    /* what a completion brings is delivered when it leaves */
    if (queue->scheduled || queue->front->completing) {
        return;
    }
    queue->scheduled = 1;
    queue->coming++;
    if (services->loop->defer(services->instance, queue->loop, deferred, queue) != 0) {
        /* Cannot be: the loop was there when the queue was made. The next end tries again. */
        queue->scheduled = 0;
        queue->coming--;
    }
}

void
bp_scsi_queue_event(struct bp_scsi_queue *queue, uint16_t code)
{
    if (queue->event_count < BP_SCSI_EVENTS) {
        queue->events[queue->event_count++] = code;
        front_kick(queue);
    }
}

void
bp_scsi_front_gone(struct bp_scsi_front *front)
{
    for (struct bp_scsi_queue *queue = front->queues; queue != NULL; queue = queue->next) {
        queue->gone = 1;
        front_kick(queue);
    }
}

static uint32_t
has_news(const struct bp_scsi_queue *queue)
{
    uint32_t news = queue->ended_first != NULL || queue->event_count > 0 || queue->gone;

    for (uint32_t i = 0; i < BP_SCSI_FUNCTIONS; i++) {
        news |= queue->functions[i].kind != 0 && queue->functions[i].ended;
    }
    return news;
}

uint32_t
bp_scsi_queue_is_here(const struct bp_scsi_queue *queue)
{
    const struct bp_services *services = queue->front->services;

    return BP_HAS(services->loop, is_current) &&
           services->loop->is_current(services->instance, queue->loop) != 0;
}

void
bp_scsi_front_enter(struct bp_scsi_front *front)
{
    pthread_mutex_lock(&front->lock);
    front->completing = 1;
}

void
bp_scsi_front_leave(struct bp_scsi_front *front)
{
    struct bp_scsi_queue *queue = front->queues;

    bp_scsi_front_run(front);
    front->completing = 0;
    while (queue != NULL && !(has_news(queue) && bp_scsi_queue_is_here(queue))) {
        queue = queue->next;
    }
    if (queue != NULL) {
        queue->coming++; /* keeps it from being freed */
        bp_scsi_queue_deliver(queue);
        queue->coming--;
    }
    for (queue = front->queues; queue != NULL; queue = queue->next) {
        if (has_news(queue)) {
            front_kick(queue);
        }
    }
    pthread_mutex_unlock(&front->lock);
}

/* --- queues ------------------------------------------------------------------------------------
 */

void
bp_scsi_front_init(struct bp_scsi_front *front, const struct bp_services *services,
                   const struct bp_scsi_front_ops *ops)
{
    front->services = services;
    front->ops = ops;
    (void)pthread_mutex_init(&front->lock, NULL);
    (void)pthread_cond_init(&front->idle, NULL);
}

void
bp_scsi_queue_free(struct bp_scsi_queue *queue)
{
    free(queue->slots);
    free(queue);
}

void
bp_scsi_front_done(struct bp_scsi_front *front)
{
    if (front->ops == NULL) {
        return;
    }
    while (front->closed != NULL) {
        struct bp_scsi_queue *queue = front->closed;

        front->closed = queue->next;
        bp_scsi_queue_free(queue);
    }
    (void)pthread_cond_destroy(&front->idle);
    (void)pthread_mutex_destroy(&front->lock);
}

static int32_t
check_args(const struct bp_services *services, const struct bp_scsi_queue_args *args)
{
    if (args->size < offsetof(struct bp_scsi_queue_args, initiator) || args->flags != 0 ||
        args->depth == 0 || args->depth > BP_SCSI_MAX_DEPTH || args->client == NULL ||
        !BP_HAS(args->client, managed) || args->client->complete == NULL) {
        return -EINVAL;
    }
    return args->loop < services->loop->count(services->instance) ? 0 : -ENOENT;
}

int32_t
bp_scsi_front_open(struct bp_scsi_front *front, const struct bp_scsi_queue_args *args,
                   struct bp_scsi_queue **ret_queue)
{
    struct bp_scsi_queue *queue;
    int32_t r = check_args(front->services, args);

    if (r != 0) {
        return r;
    }
    queue = calloc(1, front->ops->queue_bytes);
    if (queue == NULL) {
        return -ENOMEM;
    }
    /* those of a batch that is being delivered are not free yet; zeroed by free_slot() */
    queue->slot_count = args->depth + BP_SCSI_BATCH;
    queue->slots = malloc((uint64_t)queue->slot_count * front->ops->slot_bytes);
    if (queue->slots == NULL) {
        free(queue);
        return -ENOMEM;
    }
    queue->front = front;
    memcpy(&queue->client, args->client,
           bp_min_u32(args->client->size, (uint32_t)sizeof(queue->client)));
    queue->opaque = args->opaque;
    queue->loop = args->loop;
    queue->depth = args->depth;
    queue->initiator = BP_HAS(args, initiator) ? args->initiator : 0;
    *ret_queue = queue;
    return 0;
}

void
bp_scsi_queue_link(struct bp_scsi_queue *queue)
{
    queue->next = queue->front->queues;
    queue->front->queues = queue;
}

int32_t
bp_scsi_front_queue_open(struct bp_scsi_front *front, const struct bp_scsi_queue_args *args,
                         void **ret_queue)
{
    struct bp_scsi_queue *queue = NULL;
    int32_t r = bp_scsi_front_open(front, args, &queue);

    if (r == 0) {
        pthread_mutex_lock(&front->lock);
        bp_scsi_queue_link(queue);
        pthread_mutex_unlock(&front->lock);
        *ret_queue = queue;
    }
    return r;
}

/* Frees closed queues that nobody is on the way to. */
static void
reap(struct bp_scsi_front *front)
{
    struct bp_scsi_queue **at = &front->closed;

    while (*at != NULL) {
        struct bp_scsi_queue *queue = *at;

        if (queue->coming == 0) {
            *at = queue->next;
            bp_scsi_queue_free(queue);
        } else {
            at = &queue->next;
        }
    }
}

void
bp_scsi_queue_close(struct bp_scsi_queue *queue)
{
    struct bp_scsi_front *front = queue->front;
    struct bp_scsi_queue **at = &front->queues;

    while (*at != queue) {
        at = &(*at)->next;
    }
    *at = queue->next;
    queue->event_count = queue->gone = 0;
    /* one that a deferred call is still on the way to is kept for it */
    queue->next = front->closed;
    front->closed = queue;
    reap(front);
}

uint32_t
bp_scsi_queue_busy(const struct bp_scsi_queue *queue)
{
    uint32_t busy = queue->taken;

    for (uint32_t i = 0; i < BP_SCSI_FUNCTIONS; i++) {
        busy += queue->functions[i].kind != 0;
    }
    return busy;
}

void
bp_scsi_front_wait(struct bp_scsi_front *front)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    (void)pthread_cond_timedwait(&front->idle, &front->lock, &until);
}
