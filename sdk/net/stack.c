/* SPDX-License-Identifier: Apache-2.0 */
/* A lane at work: see <backplane/sdk/net_stack.h>. */
#include "stack.h"

#include <string.h>

/* --- sending --------------------------------------------------------------------------------- */

static void
forget_flying(struct bp_net_lane *lane, uint64_t user)
{
    for (uint32_t i = 0; i < lane->flying_count; i++) {
        if (lane->flying[i] == user) { /* nearly always the first */
            lane->flying_count--;
            memmove(lane->flying + i, lane->flying + i + 1,
                    (lane->flying_count - i) * sizeof(*lane->flying));
            return;
        }
    }
}

void
bp_net_tell_transmitted(struct bp_net_lane *lane, const uint64_t *users, uint32_t count)
{
    if (lane->stack->ops->transmitted != NULL) {
        lane->stack->ops->transmitted(lane, users, count);
    } else {
        lane->queue.client.transmitted(lane->queue.args.opaque, users, count);
    }
}

static void
lane_transmitted(void *opaque, const uint64_t *users, uint32_t count)
{
    struct bp_net_lane *lane = opaque;

    for (uint32_t i = 0; i < count; i++) {
        forget_flying(lane, users[i]);
    }
    bp_net_tell_transmitted(lane, users, count);
}

static void
lane_writable(void *opaque)
{
    struct bp_net_lane *lane = opaque;

    if (lane->stack->ops->writable != NULL) {
        lane->stack->ops->writable(lane);
    } else {
        bp_net_tx_room(&lane->queue);
    }
}

uint32_t
bp_net_lane_send(struct bp_net_lane *lane, const struct bp_net_frame *frames, uint32_t count,
                 uint32_t *done)
{
    const struct bp_net_stack *stack = lane->stack;
    int32_t taken;

    *done = 0;
    if (lane->below == NULL || count == 0) {
        return 0;
    }
    taken = stack->below->transmit(stack->below_self, lane->below, frames, count, done);
    if (taken < 0 || (uint32_t)taken > count || *done > (uint32_t)taken) {
        *done = 0; /* it breaks its contract */
        return 0;
    }
    for (uint32_t i = *done; i < (uint32_t)taken && lane->flying_count < lane->queue.args.tx_depth;
         i++) {
        lane->flying[lane->flying_count++] = frames[i].user;
    }
    if (taken > 0 && stack->ops->sent != NULL) {
        stack->ops->sent(lane, frames, (uint32_t)taken);
    }
    return (uint32_t)taken;
}

int32_t
bp_net_stack_transmit(struct bp_net_stack *stack, void *queue, const struct bp_net_frame *frames,
                      uint32_t count, uint32_t *done)
{
    struct bp_net_lane *lane = queue;
    uint32_t taken;

    taken = stack->ops->transmit != NULL ? stack->ops->transmit(lane, frames, count, done)
                                         : bp_net_lane_send(lane, frames, count, done);
    lane->queue.wants_room |= taken < count;
    return (int32_t)taken;
}

static void
tell_late(void *opaque)
{
    struct bp_net_lane *lane = opaque;
    uint64_t users[BP_NET_BATCH];

    lane->late_planned = 0;
    while (lane->open && lane->late_count > 0) {
        uint32_t count = bp_min_u32(lane->late_count, BP_NET_BATCH);
        memcpy(users, lane->late, count * sizeof(*users));
        lane->late_count -= count;
        memmove(lane->late, lane->late + count, lane->late_count * sizeof(*users));
        lane->queue.client.transmitted(lane->queue.args.opaque, users, count);
    }
}

void
bp_net_lane_finish(struct bp_net_lane *lane, uint64_t user)
{
    const struct bp_services *host = lane->stack->services;

    if (lane->late_count < lane->queue.args.tx_depth) {
        lane->late[lane->late_count++] = user;
    }
    if (!lane->late_planned) {
        lane->late_planned =
            host->loop->defer(host->instance, lane->queue.args.loop, tell_late, lane) == 0;
    }
}

/* --- receiving into the consumer's buffers --------------------------------------------------- */

/* Shows the filter one frame: the pieces that are filled of the oldest posted buffers. */
static void
show_frame(struct bp_net_lane *lane, const struct bp_net_received *records, uint32_t count)
{
    struct bp_iovec iov[BP_NET_MAX_IOV];
    uint32_t used = 0;
    uint64_t length = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct bp_net_buffer *buffer =
            &lane->queue.ring[(lane->queue.head + i) & lane->queue.ring_mask];
        used += bp_net_iov_slice(buffer->iov, buffer->iov_count, i == 0 ? buffer->headroom : 0,
                                 records[i].length, iov + used, BP_NET_MAX_IOV - used);
        length += records[i].length;
    }
    lane->stack->ops->seen(lane, iov, used, records, length);
}

static void
pass_received(struct bp_net_lane *lane, const struct bp_net_received *records, uint32_t count)
{
    for (uint32_t i = 0, n; i < count; i += n) {
        n = records[i].buffers;
        if (n == 0 || n > count - i || n > bp_net_queue_posted(&lane->queue)) {
            bp_warn(lane->stack->services, "the backend gives back what it has not, ignoring it");
            return;
        }
        if (lane->stack->ops->seen != NULL) {
            show_frame(lane, records + i, n);
        }
        lane->queue.head += n;
    }
    lane->queue.client.receive(lane->queue.args.opaque, records, count);
}

static void
lane_receive(void *opaque, const struct bp_net_received *records, uint32_t count)
{
    struct bp_net_lane *lane = opaque;

    if (lane->own_count > 0) {
        bp_net_own_receive(lane, records, count);
    } else {
        pass_received(lane, records, count);
    }
}

int32_t
bp_net_stack_post(struct bp_net_stack *stack, void *queue, const struct bp_net_buffer *buffers,
                  uint32_t count)
{
    struct bp_net_lane *lane = queue;
    int32_t taken = bp_net_queue_post(&lane->queue, buffers, count);

    if (lane->own_count == 0 && lane->below != NULL && taken > 0 &&
        stack->below->post(stack->below_self, lane->below, buffers, (uint32_t)taken) != taken) {
        bp_warn(stack->services, "the backend refuses buffers, ignoring it");
    }
    if (stack->ops->posted != NULL) {
        stack->ops->posted(lane);
    }
    return taken;
}

/* --- events, flush, offloads ----------------------------------------------------------------- */

static void
lane_event(void *opaque, uint32_t event)
{
    struct bp_net_lane *lane = opaque;

    bp_net_queue_event(&lane->queue, event);
}

const struct bp_net_client bp_net_lane_client = {
    .size = sizeof(bp_net_lane_client),
    .receive = lane_receive,
    .transmitted = lane_transmitted,
    .writable = lane_writable,
    .event = lane_event,
};

void
bp_net_stack_flush(struct bp_net_stack *stack, void *queue)
{
    struct bp_net_lane *lane = queue;

    if (lane->below != NULL) {
        stack->below->flush(stack->below_self, lane->below);
        bp_net_own_flushed(lane);
    }
    if (stack->ops->flushed != NULL) {
        stack->ops->flushed(lane);
    }
    lane->flying_count = lane->late_count = 0;
    bp_net_queue_flush(&lane->queue);
}

void
bp_net_stack_enable(struct bp_net_stack *stack, void *queue, uint32_t enabled)
{
    struct bp_net_lane *lane = queue;

    lane->disabled = !enabled;
    if (lane->below != NULL && BP_HAS(stack->below, queue_enable)) {
        stack->below->queue_enable(stack->below_self, lane->below, enabled);
    }
}

int32_t
bp_net_stack_info(struct bp_net_stack *stack, struct bp_net_info *info)
{
    struct bp_net_info full = {.size = sizeof(full), .queues = 1};

    if (stack->below != NULL) {
        (void)stack->below->info(stack->below_self, &full);
        full.size = sizeof(full);
    }
    stack->told = full.tx_features;
    bp_net_info_copy(info, &full);
    return 0;
}

int32_t
bp_net_stack_set_features(struct bp_net_stack *stack, uint32_t features)
{
    int32_t result = 0;

    if (stack->below != NULL) {
        result = stack->below->set_features(stack->below_self, features);
    }
    if (result == 0) {
        stack->features = features;
    }
    return result;
}

void
bp_net_lane_arm(struct bp_net_lane *lane, uint64_t deadline_ns)
{
    const struct bp_services *host = lane->stack->services;

    host->timer->arm(host->instance, lane->timer - 1, deadline_ns);
}
