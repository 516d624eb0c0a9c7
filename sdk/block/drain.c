/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for lanes, from the control thread. */
#include "lane.h"

#include <time.h>

#define NS_PER_S 1000000000L
#define WAIT_NS  10000000L /* then it looks again, whatever happened */

/* Has the loop look once, send everything below, and then close the gate: what is below may be
 * drained then, for nothing is submitted to it. */
static void
step(struct bp_block_lane *lane)
{
    atomic_store(&lane->step, 1);
    if (bp_block_lane_is_current(lane, lane->loop)) {
        uint32_t running = lane->running;

        lane->running = 0; /* a drain from inside a completion looks for itself */
        bp_block_lane_run(lane);
        lane->running = running;
        return;
    }
    bp_block_lane_kick(lane);
    pthread_mutex_lock(&lane->lock);
    while (atomic_load(&lane->step) != 0) {
        pthread_cond_wait(&lane->stepped, &lane->lock);
    }
    pthread_mutex_unlock(&lane->lock);
}

static void
drain_below(struct bp_block_lane *lane)
{
    const struct bp_block_stack *stack = lane->stack;
    uint32_t i;

    for (i = 0; i < stack->slots; i++) {
        if (lane->lower[i].queue != NULL) {
            stack->below[i]->drain(stack->below_self[i], lane->lower[i].queue);
        }
    }
}

/* Nobody below to drain: the plugin's own I/O ends flights. */
static void
wait_for_flights(struct bp_block_lane *lane)
{
    struct timespec until;

    if (bp_block_lane_is_current(lane, lane->loop)) {
        if (lane->stack->ops->wait != NULL) {
            lane->stack->ops->wait(lane);
        }
        return;
    }
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += WAIT_NS;
    if (until.tv_nsec >= NS_PER_S) {
        until.tv_nsec -= NS_PER_S;
        until.tv_sec++;
    }
    pthread_mutex_lock(&lane->lock);
    if (bp_block_lane_in_flight(lane) != 0) {
        (void)pthread_cond_timedwait(&lane->stepped, &lane->lock, &until);
    }
    pthread_mutex_unlock(&lane->lock);
}

static void
drain_lane(struct bp_block_lane *lane)
{
    atomic_store(&lane->draining, 1);
    while (atomic_load(&lane->frozen) ? atomic_load(&lane->started) != atomic_load(&lane->delivered)
                                      : bp_block_lane_in_flight(lane) != 0) {
        step(lane);
        drain_below(lane);
        if (lane->stack->slots == 0) {
            wait_for_flights(lane);
        }
        if (lane->client_loop != lane->loop && bp_block_lane_is_current(lane, lane->client_loop)) {
            bp_block_lane_deliver_abroad(lane);
        }
    }
    atomic_store(&lane->draining, 0);
    if (atomic_exchange(&lane->gate, 0) != 0) {
        bp_block_lane_kick(lane);
    }
}

void
bp_block_stack_drain(struct bp_block_stack *stack, void *queue)
{
    (void)stack;
    drain_lane(queue);
}

void
bp_block_stack_freeze(struct bp_block_stack *stack)
{
    struct bp_block_lane *lane = NULL;

    while ((lane = bp_block_lane_next(stack, lane)) != NULL) {
        atomic_store(&lane->frozen, 1);
        step(lane); /* the loop may just have been starting one */
        drain_lane(lane);
    }
}

void
bp_block_stack_thaw(struct bp_block_stack *stack)
{
    struct bp_block_lane *lane = NULL;

    while ((lane = bp_block_lane_next(stack, lane)) != NULL) {
        atomic_store(&lane->frozen, 0);
        bp_block_lane_kick(lane);
    }
}

void
bp_block_stack_quiesce(struct bp_block_stack *stack)
{
    struct bp_block_lane *lane;

    for (lane = stack->first; lane != NULL; lane = lane->next) {
        if (lane->open) {
            bp_block_stack_drain(stack, lane);
        }
    }
}
