/* SPDX-License-Identifier: Apache-2.0 */
/* bp.scsi/1 over a unit: queues and commands.
 *
 * A command is taken by submit(), runs in the unit under the target's lock, waits in its queue's
 * list of ended ones, and is delivered on the queue's loop without the lock. */
#include "target.h"

#include <stdlib.h>
#include <string.h>

/* --- commands ----------------------------------------------------------------------------------
 */

/* Where others share the unit, a change of reservations excludes all else. */
static uint32_t
is_ordered(const struct bp_scsi_target_slot *slot)
{
    return slot->request.attribute == BP_SCSI_ORDERED ||
           (slot->queue->target->gate != NULL && slot->request.cdb[0] == 0x5f);
}

static void
put_ended(struct bp_scsi_target_slot *slot)
{
    struct bp_scsi_target_queue *queue = slot->queue;

    slot->next = NULL;
    if (queue->ended_last != NULL) {
        queue->ended_last->next = slot;
    } else {
        queue->ended_first = slot;
    }
    queue->ended_last = slot;
    target_kick(queue);
}

/* The last command that PREEMPT AND ABORT has ended: it ends, too. */
static void
end_preempting(struct bp_scsi_target *target)
{
    while (target->preempted == 0 && target->preempting != NULL) {
        struct bp_scsi_target_slot *slot = target->preempting;

        target->preempting = slot->next;
        put_ended(slot);
    }
}

void
target_end(struct bp_scsi_target_slot *slot)
{
    struct bp_scsi_target *target = slot->queue->target;

    if (slot->state == SLOT_ACTIVE) {
        target->active--;
        target->ordered -= is_ordered(slot);
    }
    target->preempted -= slot->preempted;
    slot->preempted = 0;
    slot->state = SLOT_ENDED;
    if (target->preempted != 0 && slot->request.cdb[0] == 0x5f) {
        slot->next = target->preempting;
        target->preempting = slot;
    } else {
        put_ended(slot);
    }
    end_preempting(target);
    target_gate_idle(target);
}

/* Gives the task its buffers, until it waits or has ended. */
static void
run(struct bp_scsi_target_slot *slot, uint32_t state)
{
    const struct bp_scsi_request *request = &slot->request;
    struct bp_scsi_task *task = &slot->task;

    if (state == BP_SCSI_IN || state == BP_SCSI_OUT) {
        uint32_t in = state == BP_SCSI_IN;
        uint64_t room = in ? request->in_length : request->out_length;

        if (task->wanted > room) {
            slot->result = -EOVERFLOW;
            state = bp_scsi_abort(task);
        } else {
            state = bp_scsi_move(task, in ? request->in_iov : request->out_iov,
                                 in ? request->in_count : request->out_count, task->length);
        }
    }
    if (state == BP_SCSI_DONE) {
        target_end(slot);
    }
}

void
target_start(struct bp_scsi_target_slot *slot)
{
    struct bp_scsi_target *target = slot->queue->target;
    struct bp_scsi_task *task = &slot->task;

    slot->state = SLOT_ACTIVE;
    target->active++;
    target->ordered += is_ordered(slot);
    if (target_gate_failed(target)) {
        slot->result = -EIO;
        target_end(slot);
        return;
    }
    bp_scsi_task_init(task, &slot->queue->nexus->nexus, slot->request.cdb,
                      slot->request.cdb_length);
    task->page = target->page; /* windows follow right here */
    task->queue = slot->queue->block_queue;
    task->tag = slot->request.user;
    run(slot, bp_scsi_start(task));
}

/* ORDERED: after all older ones, before all younger ones. HEAD OF QUEUE: at once (SAM-5 8.7). */
static uint32_t
must_wait(struct bp_scsi_target *target, const struct bp_scsi_target_slot *slot)
{
    uint32_t head = slot->request.attribute == BP_SCSI_HEAD_OF_QUEUE && target->gate == NULL;

    if (!head && (target->ordered != 0 || (is_ordered(slot) && target->active != 0))) {
        return 1;
    }
    return !target_gate_admits(target);
}

void
target_unlink_blocked(struct bp_scsi_target_slot *slot)
{
    struct bp_scsi_target *target = slot->queue->target;
    struct bp_scsi_target_slot *before = NULL;

    for (struct bp_scsi_target_slot *at = target->blocked_first; at != NULL;
         before = at, at = at->next) {
        if (at != slot) {
            continue;
        }
        if (before != NULL) {
            before->next = slot->next;
        } else {
            target->blocked_first = slot->next;
        }
        target->blocked_last = target->blocked_last == slot ? before : target->blocked_last;
        slot->next = NULL;
        return;
    }
}

void
target_unblock(struct bp_scsi_target *target)
{
    while (target->blocked_first != NULL && !must_wait(target, target->blocked_first)) {
        struct bp_scsi_target_slot *slot = target->blocked_first;

        target_unlink_blocked(slot);
        target_start(slot);
    }
}

/* NULL: all are taken. */
static struct bp_scsi_target_slot *
free_slot(struct bp_scsi_target_queue *queue)
{
    struct bp_scsi_target_slot *slot = queue->free;

    if (slot != NULL) {
        queue->free = slot->next;
    } else if (queue->slots_used < queue->slot_count) {
        slot = &queue->slots[queue->slots_used++];
        *slot = (struct bp_scsi_target_slot){.queue = queue};
    }
    return slot;
}

static void
take(struct bp_scsi_target_queue *queue, struct bp_scsi_target_slot *slot,
     const struct bp_scsi_request *request)
{
    struct bp_scsi_target *target = queue->target;

    queue->taken++;
    slot->next = NULL;
    slot->request = *request;
    slot->result = 0;
    slot->waiters = 0;
    slot->preempted = 0;
    slot->task.status = 0;
    slot->task.moved = 0;
    slot->task.sense_length = 0;
    if (request->cdb_length == 0 || request->cdb_length > BP_SCSI_MAX_CDB || request->flags != 0 ||
        request->attribute > BP_SCSI_ORDERED) {
        slot->state = SLOT_FREE;
        slot->result = -EINVAL;
        target_end(slot);
    } else if ((target->blocked_first != NULL && request->attribute != BP_SCSI_HEAD_OF_QUEUE) ||
               must_wait(target, slot)) {
        slot->state = SLOT_BLOCKED;
        if (target->blocked_last != NULL) {
            target->blocked_last->next = slot;
        } else {
            target->blocked_first = slot;
        }
        target->blocked_last = slot;
    } else {
        target_start(slot);
    }
}

static int32_t
target_submit(void *self, void *opaque, const struct bp_scsi_request *requests, uint32_t count)
{
    struct bp_scsi_target *target = self;
    struct bp_scsi_target_queue *queue = opaque;
    struct bp_scsi_target_slot *slot;
    uint32_t taken = 0;

    pthread_mutex_lock(&target->lock);
    while (taken < count && (slot = free_slot(queue)) != NULL) {
        take(queue, slot, &requests[taken++]);
    }
    target_unblock(target);
    pthread_mutex_unlock(&target->lock);
    return (int32_t)taken;
}

/* --- delivery ----------------------------------------------------------------------------------
 */

static void
fill(struct bp_scsi_target_slot *slot, struct bp_scsi_completion *completion)
{
    const struct bp_scsi_request *request = &slot->request;
    const struct bp_scsi_task *task = &slot->task;
    uint32_t sense = bp_min_u32(task->sense_length, request->sense_size);

    *completion = (struct bp_scsi_completion){
        .user = request->user,
        .result = slot->result,
        .in_residual = request->in_length,
        .out_residual = request->out_length,
    };
    if (slot->result != 0) {
        return;
    }
    completion->status = task->status;
    if (request->sense != NULL && sense > 0) {
        memcpy(request->sense, task->sense, sense);
        completion->sense_length = sense;
    }
    if (task->direction == BP_SCSI_IN) {
        completion->in_residual -= task->moved;
    } else if (task->direction == BP_SCSI_OUT) {
        completion->out_residual -= task->moved;
    }
}

static uint32_t
deliver_commands(struct bp_scsi_target_queue *queue)
{
    struct bp_scsi_target *target = queue->target;
    struct bp_scsi_completion completions[TARGET_BATCH];
    struct bp_scsi_target_slot *slots[TARGET_BATCH];
    uint32_t count = 0;

    while (count < TARGET_BATCH && queue->ended_first != NULL) {
        struct bp_scsi_target_slot *slot = queue->ended_first;

        queue->ended_first = slot->next;
        queue->ended_last = slot->next != NULL ? queue->ended_last : NULL;
        slots[count] = slot;
        fill(slot, &completions[count++]);
    }
    if (count == 0) {
        return 0;
    }
    pthread_mutex_unlock(&target->lock);
    queue->client.complete(queue->opaque, completions, count);
    pthread_mutex_lock(&target->lock);
    for (uint32_t i = 0; i < count; i++) {
        target_function_progress(slots[i]);
        slots[i]->state = SLOT_FREE;
        slots[i]->next = queue->free;
        queue->free = slots[i];
    }
    queue->taken -= count;
    return count;
}

static void
deliver_functions(struct bp_scsi_target_queue *queue)
{
    struct bp_scsi_target *target = queue->target;

    for (uint32_t i = 0; i < TARGET_FUNCTIONS; i++) {
        struct target_function function = queue->functions[i];

        if (function.used && function.ended) {
            pthread_mutex_unlock(&target->lock);
            queue->client.managed(queue->opaque, function.user, function.result);
            pthread_mutex_lock(&target->lock);
            queue->functions[i].used = 0;
        }
    }
    while (queue->event_count > 0) {
        uint32_t code = queue->events[--queue->event_count];

        if (queue->client.event != NULL) {
            pthread_mutex_unlock(&target->lock);
            queue->client.event(queue->opaque, BP_SCSI_EVENT_ATTENTION, code);
            pthread_mutex_lock(&target->lock);
        }
    }
}

/* On the queue's loop, with the lock, which it lets go of meanwhile. */
void
target_deliver(struct bp_scsi_target_queue *queue)
{
    struct bp_scsi_target *target = queue->target;

    for (uint32_t rounds = 0; rounds < BP_SCSI_MAX_DEPTH / TARGET_BATCH; rounds++) {
        if (deliver_commands(queue) == 0) {
            break;
        }
        target_unblock(target);
    }
    deliver_functions(queue);
    if (queue->ended_first != NULL) {
        target_kick(queue); /* others want the loop, too */
    }
    pthread_cond_broadcast(&target->idle);
}

static void
deferred(void *opaque)
{
    struct bp_scsi_target_queue *queue = opaque;
    struct bp_scsi_target *target = queue->target;

    pthread_mutex_lock(&target->lock);
    queue->scheduled = 0;
    target_deliver(queue);
    queue->coming--;
    pthread_cond_broadcast(&target->idle);
    pthread_mutex_unlock(&target->lock);
}

void
target_kick(struct bp_scsi_target_queue *queue)
{
    const struct bp_services *services = &queue->target->services;

    /* what a completion brings is delivered when it leaves */
    if (queue->scheduled || queue->target->completing) {
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

/* --- the unit's port ---------------------------------------------------------------------------
 */

void
target_enter(struct bp_scsi_target *target)
{
    pthread_mutex_lock(&target->lock);
    target->completing = 1;
}

static void
port_enter(void *opaque)
{
    target_enter(opaque);
}

static uint32_t
has_news(const struct bp_scsi_target_queue *queue)
{
    uint32_t news = queue->ended_first != NULL || queue->event_count > 0;

    for (uint32_t i = 0; i < TARGET_FUNCTIONS; i++) {
        news |= queue->functions[i].used && queue->functions[i].ended;
    }
    return news;
}

/* A queue that has something to deliver, on the loop that this thread runs. */
static struct bp_scsi_target_queue *
find_news(const struct bp_scsi_target *target)
{
    const struct bp_loop_host *loop = target->services.loop;

    for (struct bp_scsi_target_queue *queue = target->queues; queue != NULL; queue = queue->next) {
        if (has_news(queue) && BP_HAS(loop, is_current) &&
            loop->is_current(target->services.instance, queue->loop)) {
            return queue;
        }
    }
    return NULL;
}

static void
kick_all(struct bp_scsi_target *target)
{
    for (struct bp_scsi_target_queue *queue = target->queues; queue != NULL; queue = queue->next) {
        if (has_news(queue)) {
            target_kick(queue);
        }
    }
}

void
target_leave(struct bp_scsi_target *target)
{
    struct bp_scsi_target_queue *queue;

    target_unblock(target);
    target->completing = 0;
    queue = find_news(target);
    if (queue != NULL) {
        queue->coming++; /* keeps it from being freed */
        target_deliver(queue);
        queue->coming--;
    }
    kick_all(target);
    pthread_mutex_unlock(&target->lock);
}

static void
port_leave(void *opaque)
{
    target_leave(opaque);
}

void
target_wake(struct bp_scsi_target *target, struct bp_scsi_task *task)
{
    run((struct bp_scsi_target_slot *)(void *)task, task->state);
}

static void
port_wake(void *opaque, struct bp_scsi_task *task)
{
    target_wake(opaque, task);
}

static uint32_t
port_failed(void *opaque, struct bp_scsi_task *task, uint32_t op, int32_t status, uint32_t flags)
{
    return target_decide(opaque, op, status);
}

static void
port_settled(void *opaque)
{
    target_settled(opaque);
}

static void
port_tray(void *opaque)
{
    target_tell_tray(opaque);
}

static void
port_reserve(void *opaque, struct bp_scsi_task *task)
{
    target_gate_change(opaque, task);
}

static void
port_preempted(void *opaque, struct bp_scsi_nexus *nexus)
{
    target_preempt(opaque, nexus);
}

static void
port_attention(void *opaque, struct bp_scsi_nexus *nexus, uint16_t code)
{
    struct bp_scsi_target *target = opaque;

    /* one of the initiator's queues is enough */
    for (struct bp_scsi_target_queue *queue = target->queues; queue != NULL; queue = queue->next) {
        if (&queue->nexus->nexus == nexus && queue->event_count < TARGET_EVENTS) {
            queue->events[queue->event_count++] = code;
            target_kick(queue);
            return;
        }
    }
}

static const struct bp_scsi_port port = {
    .enter = port_enter,
    .leave = port_leave,
    .wake = port_wake,
    .failed = port_failed,
    .settled = port_settled,
    .tray = port_tray,
    .attention = port_attention,
    .preempted = port_preempted,
};

static const struct bp_scsi_port shared_port = {
    .enter = port_enter,
    .leave = port_leave,
    .wake = port_wake,
    .failed = port_failed,
    .settled = port_settled,
    .tray = port_tray,
    .attention = port_attention,
    .reserve = port_reserve,
    .preempted = port_preempted,
};

/* --- the target --------------------------------------------------------------------------------
 */

static int32_t
target_info(void *self, struct bp_scsi_info *info)
{
    const struct bp_scsi_target *target = self;
    struct bp_scsi_info full = {
        .size = info->size,
        .type = target->unit.identity.type,
        .max_iov = 1024, /* more are split */
        .optimal_io_size = target->unit.optimal_io,
    };

    memcpy(info, &full, bp_min_u32(info->size, (uint32_t)sizeof(full)));
    return 0;
}

const struct bp_scsi_ops bp_scsi_target_ops = {
    .size = sizeof(bp_scsi_target_ops),
    .info = target_info,
    .queue_open = target_queue_open,
    .queue_close = target_queue_close,
    .submit = target_submit,
    .manage = target_manage,
    .drain = target_drain,
};

int32_t
bp_scsi_target_init(struct bp_scsi_target *target, const struct bp_scsi_identity *identity)
{
    const struct bp_services *services = &target->services;
    struct bp_scsi_unit_args args = {.services = services,
                                     .identity = *identity,
                                     .port = identity->shared ? &shared_port : &port,
                                     .opaque = target};
    void *arena = NULL;
    int32_t r =
        services->memory->arena_alloc(services->instance, 0, BP_SCSI_ARENA_BYTES, 4096, &arena);

    if (r == 0) {
        target->page = calloc(1, BP_SCSI_PAGE_BYTES);
    }
    if (target->page == NULL) {
        return bp_fail(services, r != 0 ? r : -ENOMEM, NULL, "no memory for the unit's buffers");
    }
    pthread_mutex_init(&target->lock, NULL);
    pthread_cond_init(&target->idle, NULL);
    args.arena = arena;
    bp_scsi_unit_init(&target->unit, &args);
    return 0;
}

void
bp_scsi_target_done(struct bp_scsi_target *target)
{
    while (target->closed != NULL) {
        struct bp_scsi_target_queue *queue = target->closed;

        target->closed = queue->next;
        target_free_queue(queue);
    }
    target_gate_close(target);
    if (target->page != NULL) {
        pthread_cond_destroy(&target->idle);
        pthread_mutex_destroy(&target->lock);
    }
    free(target->page);
}

void
bp_scsi_target_reset(struct bp_scsi_target *target, uint16_t code)
{
    pthread_mutex_lock(&target->lock);
    target_abort_all(target);
    bp_scsi_unit_reset(&target->unit, code);
    pthread_mutex_unlock(&target->lock);
}
