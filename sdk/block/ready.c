/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of backends whose requests are done when submit() returns.
 *
 * tail is the submitter's and head the loop's; each stores its own with release after it is done
 * with an entry and loads the other's with acquire before it touches one. head moves before the
 * client is told, so that a client which submits from complete() finds room; delivered moves after
 * it. */
#include <backplane/sdk/block.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 64u /* completions in one call of the client */

struct entry {
    uint64_t user;
    uint64_t due_ns;
    int32_t status;
};

/* Padding keeps what the two threads write on cache lines of its own. */
struct bp_block_ready { // NOLINT(clang-analyzer-optin.performance.Padding)
    struct bp_block_ready *next;
    struct bp_block_ready_set *set;
    struct bp_block_client client;
    void *opaque;
    uint32_t id; /* of the timer */
    uint32_t loop;
    uint32_t depth;
    uint32_t mask;
    uint32_t open; /* the control thread's: closed ones wait to be used again */
    struct entry *entries;
    _Atomic(uint32_t) tail __attribute__((aligned(64)));
    _Atomic(uint32_t) head __attribute__((aligned(64)));
    _Atomic(uint32_t) delivered;
    _Atomic(uint32_t) scheduled; /* the loop is going to look */
    _Atomic(uint32_t) coming;    /* deferred calls that have not returned yet */
    _Atomic(uint32_t) hurry;     /* drain: do not wait for due_ns */
    _Atomic(uint32_t) events;    /* bit n: BP_BLOCK_EVENT_ n */
    pthread_mutex_t lock;        /* protects: nothing but the wait for delivered */
    pthread_cond_t drained;
};

static uint32_t
in_flight(struct bp_block_ready *queue)
{
    return atomic_load(&queue->tail) - atomic_load(&queue->delivered);
}

/* Takes what is due, at most BATCH. *ret_wait_ns: when the next one is due,
 * 0 if none is waiting. */
static uint32_t
take_due(struct bp_block_ready *queue, struct bp_block_completion *completions,
         uint64_t *ret_wait_ns)
{
    const struct bp_services *services = queue->set->services;
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_acquire);
    uint32_t hurry = atomic_load(&queue->hurry);
    uint64_t now = 0;
    uint32_t count = 0;

    *ret_wait_ns = 0;
    if (queue->set->delayed && head != tail) {
        now = services->timer->now(services->instance, queue->set->clock);
    }
    for (; head != tail && count < BATCH; head++) {
        const struct entry *entry = &queue->entries[head & queue->mask];

        if (entry->due_ns > now && !hurry) {
            *ret_wait_ns = entry->due_ns;
            break;
        }
        completions[count].user = entry->user;
        completions[count].status = entry->status;
        completions[count].flags = 0;
        count++;
    }
    atomic_store_explicit(&queue->head, head, memory_order_release);
    return count;
}

static void
tell_events(struct bp_block_ready *queue)
{
    uint32_t events = atomic_exchange(&queue->events, 0);
    uint32_t event;

    for (event = 0; events != 0; event++, events >>= 1) {
        if ((events & 1) != 0 && queue->client.event != NULL) {
            queue->client.event(queue->opaque, event);
        }
    }
}

/* On the loop. */
static void
deliver(struct bp_block_ready *queue)
{
    const struct bp_services *services = queue->set->services;
    struct bp_block_completion completions[BATCH];
    uint64_t wait_ns;
    uint32_t count, rounds = 0;

    do {
        count = take_due(queue, completions, &wait_ns);
        if (count > 0) {
            queue->client.complete(queue->opaque, completions, count);
            atomic_fetch_add(&queue->delivered, count);
        }
        /* A client that submits from complete() can keep this going: others want the loop, too. */
    } while (count == BATCH && ++rounds < BP_BLOCK_MAX_DEPTH / BATCH);
    if (count == BATCH) {
        bp_block_ready_kick(queue);
    } else if (wait_ns != 0) {
        services->timer->arm(services->instance, queue->id, wait_ns);
    }
    tell_events(queue);
    if (atomic_load(&queue->hurry) && in_flight(queue) == 0) {
        pthread_mutex_lock(&queue->lock);
        pthread_cond_broadcast(&queue->drained);
        pthread_mutex_unlock(&queue->lock);
    }
}

static void
deferred(void *opaque)
{
    struct bp_block_ready *queue = opaque;

    /* Reset before looking: who adds something later calls again. */
    atomic_store(&queue->scheduled, 0);
    deliver(queue);
    atomic_fetch_sub(&queue->coming, 1);
}

static void
expired(void *opaque)
{
    deliver(opaque);
}

void
bp_block_ready_kick(struct bp_block_ready *queue)
{
    const struct bp_services *services = queue->set->services;

    if (atomic_exchange(&queue->scheduled, 1) != 0) {
        return;
    }
    atomic_fetch_add(&queue->coming, 1);
    if (services->loop->defer(services->instance, queue->loop, deferred, queue) != 0) {
        /* Cannot be: the loop was there when the queue was made. The next submit() tries again. */
        atomic_fetch_sub(&queue->coming, 1);
        atomic_store(&queue->scheduled, 0);
    }
}

uint32_t
bp_block_ready_room(struct bp_block_ready *queue)
{
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_acquire);

    return queue->depth - (tail - head);
}

void
bp_block_ready_add(struct bp_block_ready *queue, uint64_t user, int32_t status, uint64_t delay_ns)
{
    const struct bp_services *services = queue->set->services;
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    struct entry *entry = &queue->entries[tail & queue->mask];

    entry->user = user;
    entry->status = status;
    entry->due_ns =
        delay_ns == 0 ? 0 : services->timer->now(services->instance, queue->set->clock) + delay_ns;
    atomic_store_explicit(&queue->tail, tail + 1, memory_order_release);
}

void
bp_block_ready_drain(struct bp_block_ready *queue)
{
    const struct bp_services *services = queue->set->services;
    const struct bp_loop_host *loop = services->loop;

    if (in_flight(queue) == 0) {
        return;
    }
    atomic_store(&queue->hurry, 1);
    if (BP_HAS(loop, is_current) && loop->is_current(services->instance, queue->loop)) {
        while (in_flight(queue) != 0) {
            deliver(queue);
        }
    } else {
        bp_block_ready_kick(queue);
        pthread_mutex_lock(&queue->lock);
        while (in_flight(queue) != 0) {
            pthread_cond_wait(&queue->drained, &queue->lock);
        }
        pthread_mutex_unlock(&queue->lock);
    }
    atomic_store(&queue->hurry, 0);
}

void
bp_block_ready_event(struct bp_block_ready_set *set, uint32_t event)
{
    struct bp_block_ready *queue;

    for (queue = set->first; queue != NULL; queue = queue->next) {
        if (queue->open) {
            atomic_fetch_or(&queue->events, 1u << event);
            bp_block_ready_kick(queue);
        }
    }
}

/* --- open and
 * close ---------------------------------------------------------------------------- */

static void
free_queue(struct bp_block_ready *queue)
{
    pthread_cond_destroy(&queue->drained);
    pthread_mutex_destroy(&queue->lock);
    free(queue->entries);
    free(queue);
}

/* A closed queue of the same loop: its timer is there already, and the core takes none back before
 * the instance goes. One that a deferred call is still on the way to is left alone. */
static struct bp_block_ready *
find_closed(struct bp_block_ready_set *set, uint32_t loop)
{
    struct bp_block_ready *queue;

    for (queue = set->first; queue != NULL; queue = queue->next) {
        if (!queue->open && queue->loop == loop && atomic_load(&queue->coming) == 0) {
            return queue;
        }
    }
    return NULL;
}

static int32_t
make_queue(struct bp_block_ready_set *set, uint32_t loop, struct bp_block_ready **ret_queue)
{
    const struct bp_services *services = set->services;
    struct bp_block_ready *queue = aligned_alloc(_Alignof(struct bp_block_ready), sizeof(*queue));
    int32_t result = 0;

    if (queue == NULL) {
        return -ENOMEM;
    }
    memset(queue, 0, sizeof(*queue));
    queue->set = set;
    queue->id = set->next_id;
    queue->loop = loop;
    if (set->delayed) {
        struct bp_timer_args timer = {.size = sizeof(timer),
                                      .id = queue->id,
                                      .clock = set->clock,
                                      .loop = loop,
                                      .expired = expired,
                                      .opaque = queue};
        result = services->timer->create(services->instance, &timer);
    }
    if (result != 0) {
        free(queue);
        return result;
    }
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->drained, NULL);
    set->next_id++;
    queue->next = set->first;
    set->first = queue;
    *ret_queue = queue;
    return 0;
}

int32_t
bp_block_ready_open(struct bp_block_ready_set *set, const struct bp_block_queue_args *args,
                    struct bp_block_ready **ret_queue)
{
    const struct bp_services *services = set->services;
    struct bp_block_ready *queue;
    struct entry *entries;
    uint32_t size = 1;
    int32_t result;

    if (args->loop >= services->loop->count(services->instance)) {
        return -ENOENT;
    }
    while (size < args->depth) {
        size *= 2;
    }
    entries = calloc(size, sizeof(*entries));
    if (entries == NULL) {
        return -ENOMEM;
    }
    queue = find_closed(set, args->loop);
    if (queue == NULL) {
        result = make_queue(set, args->loop, &queue);
        if (result != 0) {
            free(entries);
            return result;
        }
    }
    free(queue->entries);
    queue->entries = entries;
    queue->mask = size - 1;
    queue->depth = args->depth;
    queue->client = *args->client;
    queue->opaque = args->opaque;
    queue->open = 1;
    atomic_store(&queue->events, 0);
    *ret_queue = queue;
    return 0;
}

void
bp_block_ready_close(struct bp_block_ready_set *set, struct bp_block_ready *queue)
{
    const struct bp_services *services = set->services;

    bp_block_ready_drain(queue);
    if (set->delayed) {
        services->timer->cancel(services->instance, queue->id);
    }
    /* An event that nobody waits for any more must not reach the client. */
    atomic_store(&queue->events, 0);
    queue->open = 0;
}

void
bp_block_ready_done(struct bp_block_ready_set *set)
{
    while (set->first != NULL) {
        struct bp_block_ready *queue = set->first;

        set->first = queue->next;
        free_queue(queue);
    }
}
