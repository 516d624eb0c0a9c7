/* SPDX-License-Identifier: Apache-2.0 */
/* A lane from the inside: stack.c has what happens on its loop, stack_open.c what the control
 * thread does, lower.c the side of the backends below. */
#ifndef BACKPLANE_SDK_BLOCK_LANE_H
#define BACKPLANE_SDK_BLOCK_LANE_H

#include <backplane/sdk/block_stack.h>

#include <pthread.h>

/* Padding keeps what the two threads write on cache lines of its own. */
struct bp_block_ring { // NOLINT(clang-analyzer-optin.performance.Padding)
    uint32_t *entries;
    _Atomic(uint32_t) tail __attribute__((aligned(64))); /* the writer's */
    _Atomic(uint32_t) head __attribute__((aligned(64))); /* the reader's */
};

struct bp_block_lane { // NOLINT(clang-analyzer-optin.performance.Padding)
    struct bp_block_lane *next;
    struct bp_block_stack *stack;
    struct bp_block_lower lower[BP_BLOCK_STACK_SLOTS];
    struct bp_block_client client;
    void *opaque;
    void *data;
    uint32_t id, loop, depth, mask;
    uint32_t open; /* the control thread's */
    struct bp_block_flight *flights;
    uint8_t *flight_data;
    struct bp_block_info info; /* the loop's: what requests are checked against */
    int32_t info_status;
    struct bp_block_flight *over; /* the loop's: ended, not delivered yet */
    struct bp_block_flight **over_last;
    uint32_t running; /* the loop's */
    uint32_t
        client_loop; /* where completions and events are told: `loop`, or with one_loop another */
    struct bp_block_ring taken, free;
    struct bp_block_ring completed; /* to the client's loop, if that is another */
    _Atomic(uint32_t) scheduled_abroad;
    _Atomic(uint32_t) delivered;
    _Atomic(uint32_t) started;   /* how many start() has seen */
    _Atomic(uint32_t) frozen;    /* start none */
    _Atomic(uint32_t) scheduled; /* the loop is going to look */
    _Atomic(uint32_t) coming;    /* deferred calls that have not returned yet */
    _Atomic(uint32_t) cancels;   /* some flight is to be cancelled */
    _Atomic(uint32_t) kicks;
    _Atomic(uint32_t) hurries;  /* once */
    _Atomic(uint32_t) draining; /* as long as it is set */
    _Atomic(uint32_t) gate;     /* closed: the control thread drains what is below */
    _Atomic(uint32_t) step;     /* drain() waits for one run */
    _Atomic(uint32_t) events;   /* bit n: BP_BLOCK_EVENT_ n */
    pthread_mutex_t lock;       /* protects: nothing but the wait for step */
    pthread_cond_t stepped;
};

int32_t bp_block_lower_open(struct bp_block_lower *lower, struct bp_block_lane *lane,
                            uint32_t slot) BP_MUST_CHECK;
void bp_block_lower_close(struct bp_block_lower *lower);
void bp_block_lower_free(struct bp_block_lower *lower);
/* Hands over what waits. [loop] */
void bp_block_lower_flush(struct bp_block_lower *lower);

void bp_block_ring_put(struct bp_block_ring *ring, uint32_t mask, uint32_t value);
void bp_block_lane_event(struct bp_block_lane *lane, uint32_t event); /* [loop] */
void bp_block_lane_expired(void *opaque);                             /* [loop] */
void bp_block_lane_refresh(struct bp_block_lane *lane);
void bp_block_lane_kick(struct bp_block_lane *lane); /* [any] */
void bp_block_lane_deliver_abroad(struct bp_block_lane *lane);
uint32_t bp_block_lane_is_current(const struct bp_block_lane *lane, uint32_t loop);
uint32_t bp_block_lane_in_flight(struct bp_block_lane *lane);

#endif
