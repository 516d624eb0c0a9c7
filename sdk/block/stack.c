/* SPDX-License-Identifier: Apache-2.0 */
/* The upper side of a lane: the consumer's requests.
 *
 * Two rings of flight numbers join submitter and loop, each with one writer and one reader:
 * `taken` from submit() to the loop, `free` back. A flight's word holds its use count and two
 * flags, so that cancel(), from any thread, marks the request it means or none. */
#include "lane.h"

#include <string.h>

#define BATCH      64u
#define MAX_ROUNDS 64u

#define WORD_BUSY   1u
#define WORD_CANCEL 2u
#define WORD_NEXT   4u

/* --- rings ----------------------------------------------------------------------------------- */

static uint32_t
ring_take(struct bp_block_ring *ring, uint32_t mask, uint32_t *value)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

    if (head == atomic_load_explicit(&ring->tail, memory_order_acquire)) {
        return 0;
    }
    *value = ring->entries[head & mask];
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return 1;
}

/* There is always room: as many places as flights. */
void
bp_block_ring_put(struct bp_block_ring *ring, uint32_t mask, uint32_t value)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    ring->entries[tail & mask] = value;
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
}

/* Whether there are requests that may be started. */
static uint32_t
has_taken(struct bp_block_lane *lane)
{
    return atomic_load(&lane->frozen) == 0 &&
           atomic_load(&lane->taken.head) != atomic_load(&lane->taken.tail);
}

/* --- on the loop ----------------------------------------------------------------------------- */

uint32_t
bp_block_lane_in_flight(struct bp_block_lane *lane)
{
    return atomic_load(&lane->taken.tail) - atomic_load(&lane->delivered);
}

static void
lane_deferred(void *opaque)
{
    struct bp_block_lane *lane = opaque;

    /* Reset before looking: who adds something later calls again. */
    atomic_store(&lane->scheduled, 0);
    bp_block_lane_run(lane);
    atomic_fetch_sub(&lane->coming, 1);
}

void
bp_block_lane_kick(struct bp_block_lane *lane)
{
    const struct bp_services *services = lane->stack->services;

    if (atomic_exchange(&lane->scheduled, 1) != 0) {
        return;
    }
    atomic_fetch_add(&lane->coming, 1);
    if (services->loop->defer(services->instance, lane->loop, lane_deferred, lane) != 0) {
        /* Cannot be: the loop was there when the lane was made. */
        atomic_fetch_sub(&lane->coming, 1);
        atomic_store(&lane->scheduled, 0);
    }
}

void
bp_block_lane_expired(void *opaque)
{
    struct bp_block_lane *lane = opaque;

    if (lane->stack->ops->expired != NULL) {
        lane->stack->ops->expired(lane);
    }
    bp_block_lane_run(lane);
}

void
bp_block_lane_refresh(struct bp_block_lane *lane)
{
    memset(&lane->info, 0, sizeof(lane->info));
    lane->info.size = sizeof(lane->info);
    lane->info_status = bp_block_stack_info(lane->stack, &lane->info);
}

/* A request that does not fit gets a second look: the disk may have grown meanwhile. */
static int32_t
check_flight(struct bp_block_lane *lane, const struct bp_block_flight *flight)
{
    if (lane->info_status != 0 || bp_block_check(&flight->request, &lane->info) != 0) {
        bp_block_lane_refresh(lane);
    }
    return lane->info_status != 0 ? lane->info_status
                                  : bp_block_check(&flight->request, &lane->info);
}

static void
start_flight(struct bp_block_lane *lane, uint32_t index)
{
    struct bp_block_flight *flight = &lane->flights[index];
    int32_t status = check_flight(lane, flight);

    flight->cancelled = 0;
    flight->next = NULL;
    flight->io.index = UINT32_MAX;
    flight->started = 1;
    atomic_fetch_add(&lane->started, 1);
    if ((atomic_load(&flight->word) & WORD_CANCEL) != 0) {
        status = -ECANCELED; /* before we came to it */
    }
    if (status != 0) {
        bp_block_end(flight, status, 0);
        return;
    }
    lane->stack->ops->start(flight);
}

static void
cancel_flights(struct bp_block_lane *lane)
{
    uint32_t i;

    for (i = 0; i < lane->depth; i++) {
        struct bp_block_flight *flight = &lane->flights[i];
        uint32_t word = atomic_load_explicit(&flight->word, memory_order_acquire);

        if ((word & (WORD_BUSY | WORD_CANCEL)) != (WORD_BUSY | WORD_CANCEL) || !flight->started ||
            flight->cancelled) {
            continue;
        }
        flight->cancelled = 1;
        if (lane->stack->ops->cancel != NULL) {
            lane->stack->ops->cancel(flight);
        } else {
            bp_block_io_cancel(lane, &flight->io);
        }
    }
}

/* --- completions ----------------------------------------------------------------------------- */

void
bp_block_end(struct bp_block_flight *flight, int32_t status, uint32_t flags)
{
    struct bp_block_lane *lane = flight->lane;

    flight->status = status;
    flight->flags = flags;
    flight->started = 0;
    flight->next = NULL;
    *lane->over_last = flight;
    lane->over_last = &flight->next;
}

/* Gives a flight's place back. */
static void
free_flight(struct bp_block_lane *lane, struct bp_block_flight *flight)
{
    uint32_t word = atomic_load_explicit(&flight->word, memory_order_relaxed);

    /* The count moves on: a cancel() that looked at this request marks nothing any more. */
    atomic_store(&flight->word, (word & ~(WORD_BUSY | WORD_CANCEL)) + WORD_NEXT);
    bp_block_ring_put(&lane->free, lane->mask, flight->index);
}

/* The client's loop: tells of at most BATCH flights. */
static void
complete_flights(struct bp_block_lane *lane, struct bp_block_flight *const *flights, uint32_t count)
{
    struct bp_block_completion completions[BATCH];
    uint32_t i;

    for (i = 0; i < count; i++) {
        completions[i].user = flights[i]->request.user;
        completions[i].status = flights[i]->status;
        completions[i].flags = flights[i]->flags;
        free_flight(lane, flights[i]); /* before the client is told: it may submit at once */
    }
    lane->client.complete(lane->opaque, completions, count);
    atomic_fetch_add(&lane->delivered, count);
}

static void tell_events(struct bp_block_lane *lane);

/* On the client's loop, where that is another one. */
void
bp_block_lane_deliver_abroad(struct bp_block_lane *lane)
{
    struct bp_block_flight *flights[BATCH];
    uint32_t index, count;

    do {
        for (count = 0; count < BATCH && ring_take(&lane->completed, lane->mask, &index); count++) {
            flights[count] = &lane->flights[index];
        }
        if (count > 0) {
            complete_flights(lane, flights, count);
        }
    } while (count == BATCH);
    tell_events(lane);
}

static void
deferred_abroad(void *opaque)
{
    struct bp_block_lane *lane = opaque;

    atomic_store(&lane->scheduled_abroad, 0);
    bp_block_lane_deliver_abroad(lane);
    atomic_fetch_sub(&lane->coming, 1);
}

static void
kick_abroad(struct bp_block_lane *lane)
{
    const struct bp_services *services = lane->stack->services;

    if (atomic_exchange(&lane->scheduled_abroad, 1) != 0) {
        return;
    }
    atomic_fetch_add(&lane->coming, 1);
    if (services->loop->defer(services->instance, lane->client_loop, deferred_abroad, lane) != 0) {
        atomic_fetch_sub(&lane->coming, 1);
        atomic_store(&lane->scheduled_abroad, 0);
    }
}

static void
deliver_batch(struct bp_block_lane *lane)
{
    struct bp_block_flight *flights[BATCH];
    uint32_t i, count = 0;

    while (lane->over != NULL && count < BATCH) {
        flights[count++] = lane->over;
        lane->over = lane->over->next;
    }
    if (lane->over == NULL) {
        lane->over_last = &lane->over;
    }
    if (lane->client_loop == lane->loop) {
        complete_flights(lane, flights, count);
        return;
    }
    for (i = 0; i < count; i++) {
        bp_block_ring_put(&lane->completed, lane->mask, flights[i]->index);
    }
    kick_abroad(lane);
}

static void
tell_events(struct bp_block_lane *lane)
{
    uint32_t events = atomic_exchange(&lane->events, 0);
    uint32_t event;

    for (event = 0; events != 0; event++, events >>= 1) {
        if ((events & 1) != 0 && lane->client.event != NULL) {
            lane->client.event(lane->opaque, event);
        }
    }
}

/* One look at everything that other threads left for the loop. */
static void
work(struct bp_block_lane *lane)
{
    const struct bp_block_stack_ops *ops = lane->stack->ops;
    uint32_t i, index;

    if (atomic_exchange(&lane->kicks, 0) != 0 && ops->kicked != NULL) {
        ops->kicked(lane);
    }
    for (i = 0; i < lane->depth && atomic_load(&lane->frozen) == 0 &&
                ring_take(&lane->taken, lane->mask, &index);
         i++) {
        start_flight(lane, index);
    }
    if (atomic_exchange(&lane->cancels, 0) != 0) {
        cancel_flights(lane);
    }
    if ((atomic_exchange(&lane->hurries, 0) != 0 || atomic_load(&lane->draining) != 0) &&
        ops->hurry != NULL) {
        ops->hurry(lane);
    }
    for (i = 0; i < lane->stack->slots && atomic_load(&lane->gate) == 0; i++) {
        bp_block_lower_flush(&lane->lower[i]);
    }
}

static void
run(struct bp_block_lane *lane, uint32_t may_deliver)
{
    uint32_t rounds = 0;

    if (lane->running) {
        return; /* the outer call looks again */
    }
    lane->running = 1;
    do {
        work(lane);
        if (may_deliver && lane->over != NULL) {
            deliver_batch(lane);
        }
        if (atomic_load(&lane->events) != 0) {
            bp_block_lane_refresh(lane);
        }
        if (may_deliver && lane->client_loop == lane->loop) {
            tell_events(lane);
        } else if (may_deliver && atomic_load(&lane->events) != 0) {
            kick_abroad(lane);
        }
    } while (rounds++ < MAX_ROUNDS && (has_taken(lane) || atomic_load(&lane->cancels) ||
                                       (may_deliver && lane->over != NULL)));
    lane->running = 0;
    if (lane->over != NULL || has_taken(lane)) {
        bp_block_lane_kick(lane);
    }
}

static void
end_step(struct bp_block_lane *lane)
{
    if (atomic_load(&lane->step) == 0) {
        return;
    }
    pthread_mutex_lock(&lane->lock);
    atomic_store(&lane->gate, 1);
    atomic_store(&lane->step, 0);
    pthread_cond_broadcast(&lane->stepped);
    pthread_mutex_unlock(&lane->lock);
}

void
bp_block_lane_run(struct bp_block_lane *lane)
{
    uint32_t stepping = atomic_load(&lane->step);

    if (lane->running) {
        return;
    }
    if (stepping) {
        atomic_store(&lane->gate, 0);
    }
    run(lane, 1);
    if (stepping) {
        end_step(lane);
    }
}

/* --- submit and cancel, from any thread ------------------------------------------------------ */

uint32_t
bp_block_lane_is_current(const struct bp_block_lane *lane, uint32_t loop)
{
    const struct bp_services *services = lane->stack->services;

    return BP_HAS(services->loop, is_current) &&
           services->loop->is_current(services->instance, loop);
}

int32_t
bp_block_stack_submit(struct bp_block_stack *stack, void *queue,
                      const struct bp_block_request *requests, uint32_t count)
{
    struct bp_block_lane *lane = queue;
    uint32_t i, index;

    (void)stack;
    for (i = 0; i < count && ring_take(&lane->free, lane->mask, &index); i++) {
        struct bp_block_flight *flight = &lane->flights[index];

        flight->request = requests[i];
        atomic_store_explicit(&flight->user, requests[i].user, memory_order_relaxed);
        atomic_fetch_or_explicit(&flight->word, WORD_BUSY, memory_order_release);
        bp_block_ring_put(&lane->taken, lane->mask, index);
    }
    if (i > 0 && bp_block_lane_is_current(lane, lane->loop)) {
        run(lane, 0);
    } else if (i > 0) {
        bp_block_lane_kick(lane);
    }
    return (int32_t)i;
}

void
bp_block_stack_cancel(struct bp_block_stack *stack, void *queue, uint64_t user)
{
    struct bp_block_lane *lane = queue;
    uint32_t i, found = 0;

    (void)stack;
    for (i = 0; i < lane->depth; i++) {
        struct bp_block_flight *flight = &lane->flights[i];
        uint32_t word = atomic_load_explicit(&flight->word, memory_order_acquire);

        if ((word & WORD_BUSY) != 0 && (user == UINT64_MAX || atomic_load(&flight->user) == user)) {
            found |= atomic_compare_exchange_strong(&flight->word, &word, word | WORD_CANCEL);
        }
    }
    if (found) {
        atomic_store(&lane->cancels, 1);
        bp_block_lane_kick(lane);
    }
}

/* --- what the plugin uses -------------------------------------------------------------------- */

static void
passed(struct bp_block_io *io, int32_t status, uint32_t flags)
{
    struct bp_block_flight *flight =
        (struct bp_block_flight *)(void *)((uint8_t *)io - offsetof(struct bp_block_flight, io));

    bp_block_end(flight, status, flags);
}

void
bp_block_pass(struct bp_block_flight *flight)
{
    flight->io.request = flight->request;
    flight->io.slot = 0;
    flight->io.done = passed;
    bp_block_io_send(flight->lane, &flight->io);
}

void *
bp_block_lane_data(struct bp_block_lane *lane)
{
    return lane->data;
}

void *
bp_block_lane_self(struct bp_block_lane *lane)
{
    return lane->stack->self;
}

uint32_t
bp_block_lane_hurries(const struct bp_block_lane *lane)
{
    return atomic_load(&lane->draining);
}

uint32_t
bp_block_lane_id(const struct bp_block_lane *lane)
{
    return lane->id;
}

uint32_t
bp_block_lane_loop(const struct bp_block_lane *lane)
{
    return lane->loop;
}

uint32_t
bp_block_lane_depth(const struct bp_block_lane *lane)
{
    return lane->depth;
}

void
bp_block_lane_arm(struct bp_block_lane *lane, uint64_t deadline_ns)
{
    const struct bp_services *services = lane->stack->services;

    services->timer->arm(services->instance, lane->id, deadline_ns);
}

void
bp_block_lane_event(struct bp_block_lane *lane, uint32_t event)
{
    atomic_fetch_or(&lane->events, event < 32 ? 1u << event : 0);
    bp_block_lane_run(lane);
}

struct bp_block_lane *
bp_block_lane_next(const struct bp_block_stack *stack, const struct bp_block_lane *lane)
{
    struct bp_block_lane *next = lane == NULL ? stack->first : lane->next;

    while (next != NULL && !next->open) {
        next = next->next;
    }
    return next;
}

void
bp_block_stack_kick(struct bp_block_stack *stack)
{
    struct bp_block_lane *lane = NULL;

    while ((lane = bp_block_lane_next(stack, lane)) != NULL) {
        atomic_store(&lane->kicks, 1);
        bp_block_lane_kick(lane);
    }
}

void
bp_block_stack_hurry(struct bp_block_stack *stack)
{
    struct bp_block_lane *lane = NULL;

    while ((lane = bp_block_lane_next(stack, lane)) != NULL) {
        atomic_store(&lane->hurries, 1);
        bp_block_lane_kick(lane);
    }
}

void
bp_block_stack_event(struct bp_block_stack *stack, uint32_t event)
{
    struct bp_block_lane *lane = NULL;

    while ((lane = bp_block_lane_next(stack, lane)) != NULL) {
        atomic_fetch_or(&lane->events, 1u << event);
        bp_block_lane_kick(lane);
    }
}
