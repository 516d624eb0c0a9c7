/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes come and go, and so does the backend below: see <backplane/sdk/net_stack.h>. */
#include "stack.h"

#include <stdlib.h>
#include <string.h>

/* --- a lane and the backend ------------------------------------------------------------------ */

struct change {
    struct bp_net_lane *lane;
    void *queue;
};

/* On the loop: from now on the lane uses the new queue. */
static void
join(void *opaque)
{
    const struct change *change = opaque;
    struct bp_net_lane *lane = change->lane;
    struct bp_net_stack *stack = lane->stack;

    lane->below = change->queue;
    if (lane->disabled) {
        bp_net_stack_enable(stack, lane, 0);
    }
    if (lane->own_count > 0) {
        bp_net_own_flushed(lane);
        return;
    }
    for (uint32_t at = lane->queue.head; at != lane->queue.tail; at++) {
        if (stack->below->post(stack->below_self, lane->below,
                               &lane->queue.ring[at & lane->queue.ring_mask], 1) != 1) {
            bp_warn(stack->services, "the backend refuses buffers, ignoring it");
            return;
        }
    }
}

/* On the loop: the lane lets its queue go. What the backend still had of the consumer is done. */
static void
leave(void *opaque)
{
    struct change *change = opaque;
    struct bp_net_lane *lane = change->lane;
    const struct bp_net_stack *stack = lane->stack;
    uint32_t count = lane->flying_count;

    change->queue = lane->below;
    if (lane->below != NULL) {
        stack->below->flush(stack->below_self, lane->below);
        lane->below = NULL;
    }
    lane->flying_count = 0;
    if (count > 0) {
        bp_net_tell_transmitted(lane, lane->flying, count);
    }
}

static int32_t
open_below(struct bp_net_lane *lane)
{
    const struct bp_net_stack *stack = lane->stack;
    const struct bp_net_queue_args args = {
        .size = sizeof(args),
        .index = lane->index,
        .loop = lane->queue.args.loop,
        .tx_depth = lane->queue.args.tx_depth,
        .rx_depth = lane->own_count > 0 ? lane->own_count : lane->queue.args.rx_depth,
        .client = &bp_net_lane_client,
        .opaque = lane,
    };
    struct change change = {.lane = lane};
    int32_t result = stack->below->queue_open(stack->below_self, &args, &change.queue);

    if (result == 0) {
        result = bp_net_on_loop(stack->services, args.loop, join, &change);
        if (result != 0) {
            stack->below->queue_close(stack->below_self, change.queue);
        }
    }
    return result;
}

static void
close_below(struct bp_net_lane *lane)
{
    const struct bp_net_stack *stack = lane->stack;
    struct change change = {.lane = lane};

    if (bp_net_on_loop(stack->services, lane->queue.args.loop, leave, &change) != 0) {
        leave(&change);
    }
    if (change.queue != NULL) {
        stack->below->queue_close(stack->below_self, change.queue);
    }
}

/* --- lanes ----------------------------------------------------------------------------------- */

static void
lane_expired(void *opaque)
{
    struct bp_net_lane *lane = opaque;

    if (lane->open) {
        lane->stack->ops->expired(lane);
    }
}

/* A timer cannot be given back: a lane keeps its own as long as its loop is the same. */
static int32_t
make_timer(struct bp_net_lane *lane)
{
    struct bp_net_stack *stack = lane->stack;
    const struct bp_timer_args args = {
        .size = sizeof(args),
        .id = stack->next_timer,
        .clock = stack->clock,
        .loop = lane->queue.args.loop,
        .expired = lane_expired,
        .opaque = lane,
    };
    int32_t result;

    if (!stack->has_timer || (lane->timer != 0 && lane->timer_loop == args.loop)) {
        return 0;
    }
    result = stack->services->timer->create(stack->services->instance, &args);
    if (result == 0) {
        lane->timer = ++stack->next_timer;
        lane->timer_loop = args.loop;
    }
    return result;
}

static void
clear_lane(struct bp_net_lane *lane)
{
    bp_net_own_done(lane);
    bp_net_queue_done(&lane->queue);
    free(lane->flying);
    free(lane->late);
    free(lane->data);
    lane->flying = lane->late = NULL;
    lane->data = NULL;
}

static int32_t
fill_lane(struct bp_net_lane *lane, const struct bp_net_queue *fresh)
{
    const struct bp_net_stack_ops *ops = lane->stack->ops;
    uint32_t depth = fresh->args.tx_depth;

    lane->queue = *fresh;
    lane->queue.args.client = &lane->queue.client;
    lane->flying_count = lane->late_count = lane->late_planned = lane->disabled = 0;
    lane->flying = calloc(depth, sizeof(*lane->flying));
    lane->late = calloc(depth, sizeof(*lane->late));
    lane->data = calloc(1, ops->lane_size > 0 ? ops->lane_size : 1);
    if (lane->flying == NULL || lane->late == NULL || lane->data == NULL) {
        return -ENOMEM;
    }
    return bp_net_own_init(lane);
}

static int32_t
open_lane(struct bp_net_lane *lane, const struct bp_net_queue *fresh)
{
    const struct bp_net_stack_ops *ops = lane->stack->ops;
    int32_t result = fill_lane(lane, fresh);

    if (result == 0) {
        result = make_timer(lane);
    }
    if (result == 0 && ops->lane_init != NULL) {
        result = ops->lane_init(lane);
    }
    if (result != 0) {
        return result;
    }
    lane->open = 1;
    result = open_below(lane);
    if (result != 0) {
        lane->open = 0;
        if (ops->lane_done != NULL) {
            ops->lane_done(lane);
        }
    }
    return result;
}

int32_t
bp_net_stack_open(struct bp_net_stack *stack, const struct bp_net_queue_args *args,
                  void **ret_queue)
{
    struct bp_net_queue fresh;
    struct bp_net_lane *lane;
    int32_t result = bp_net_queue_init(&fresh, args, BP_NET_MAX_QUEUES);

    if (result != 0) {
        return result;
    }
    lane = stack->lanes[fresh.args.index];
    if (lane == NULL) {
        lane = calloc(1, sizeof(*lane));
        stack->lanes[fresh.args.index] = lane;
    }
    if (lane == NULL || lane->open || stack->below == NULL) {
        bp_net_queue_done(&fresh);
        return lane == NULL ? -ENOMEM : lane->open ? -EBUSY : -ENOENT;
    }
    lane->stack = stack;
    lane->index = fresh.args.index;
    result = open_lane(lane, &fresh);
    if (result != 0) {
        clear_lane(lane);
        return result;
    }
    *ret_queue = lane;
    return 0;
}

static void
shut(void *opaque)
{
    struct bp_net_lane *lane = opaque;

    bp_net_stack_flush(lane->stack, lane);
    lane->open = 0; /* the timer and what is deferred look at it */
    if (lane->timer != 0) {
        lane->stack->services->timer->cancel(lane->stack->services->instance, lane->timer - 1);
    }
}

void
bp_net_stack_close(struct bp_net_stack *stack, void *queue)
{
    struct bp_net_lane *lane = queue;

    if (bp_net_on_loop(stack->services, lane->queue.args.loop, shut, lane) != 0) {
        shut(lane);
    }
    close_below(lane);
    if (stack->ops->lane_done != NULL) {
        stack->ops->lane_done(lane);
    }
    clear_lane(lane);
}

void
bp_net_stack_done(struct bp_net_stack *stack)
{
    for (uint32_t i = 0; i < BP_NET_MAX_QUEUES; i++) {
        free(stack->lanes[i]);
    }
}

/* --- the backend ----------------------------------------------------------------------------- */

static void
close_all(struct bp_net_stack *stack)
{
    for (uint32_t i = 0; i < BP_NET_MAX_QUEUES; i++) {
        if (stack->lanes[i] != NULL && stack->lanes[i]->open) {
            close_below(stack->lanes[i]);
        }
    }
}

static int32_t
open_all(struct bp_net_stack *stack, const struct bp_peer *peer)
{
    int32_t result = 0;

    for (uint32_t i = 0; i < BP_NET_MAX_QUEUES && result == 0; i++) {
        if (stack->lanes[i] != NULL && stack->lanes[i]->open) {
            result = open_below(stack->lanes[i]);
        }
    }
    if (result != 0) {
        close_all(stack);
        return bp_fail(stack->services, result, NULL, "backend '%s' cannot be used here: %s",
                       peer->id, strerror(-result));
    }
    return 0;
}

/* On the loop: whoever waits for room, or for the link, learns that there is a backend again. */
static void
wake(void *opaque)
{
    struct bp_net_lane *lane = opaque;

    if (!lane->open || lane->below == NULL) {
        return;
    }
    bp_net_lane_client.writable(lane);
    bp_net_queue_event(&lane->queue, BP_NET_EVENT_LINK);
}

int32_t
bp_net_stack_attach(struct bp_net_stack *stack, const struct bp_peer *peer)
{
    const struct bp_services *host = stack->services;
    struct bp_net_info info = {.size = sizeof(info)};
    int32_t result;

    stack->below = peer->table;
    stack->below_self = peer->self;
    (void)stack->below->info(stack->below_self, &info);
    if ((stack->told & ~info.tx_features) != 0) {
        stack->below = NULL;
        return bp_fail(host, -ENOTSUP, NULL,
                       "backend '%s' does not do what the guest leaves to the one it is to replace "
                       "(checksums, segmentation): exchange it right below the device",
                       peer->id);
    }
    result = open_all(stack, peer);
    if (result == 0 && stack->features != 0) {
        result = stack->below->set_features(stack->below_self, stack->features & info.rx_features);
    }
    if (result != 0) {
        close_all(stack);
        stack->below = NULL;
        return result;
    }
    for (uint32_t i = 0; i < BP_NET_MAX_QUEUES && result == 0; i++) {
        struct bp_net_lane *lane = stack->lanes[i];
        if (lane != NULL && lane->open) {
            result = host->loop->defer(host->instance, lane->queue.args.loop, wake, lane);
        }
    }
    return result;
}

void
bp_net_stack_detach(struct bp_net_stack *stack)
{
    if (stack->below != NULL) {
        close_all(stack);
        stack->below = NULL;
    }
}
