/* SPDX-License-Identifier: Apache-2.0 */
/* A lane's own receive buffers: see <backplane/sdk/net_stack.h>. They go round in one order: what
 * was posted first is filled first, taken first and posted again first. */
#include "stack.h"

#include <stdlib.h>
#include <string.h>

int32_t
bp_net_own_init(struct bp_net_lane *lane)
{
    const struct bp_services *host = lane->stack->services;
    uint64_t bytes = lane->stack->ops->own_bytes;
    uint32_t count = (uint32_t)(bytes / BP_NET_OWN_BUFFER);
    void *memory;
    int32_t result;

    if (bytes == 0) {
        return 0;
    }
    result = host->memory->arena_alloc(host->instance, BP_NET_ARENA_OWN + lane->index, bytes, 4096,
                                       &memory);
    if (result != 0) {
        return result;
    }
    lane->own = memory;
    lane->own_iov = calloc(count, sizeof(*lane->own_iov));
    lane->kept = calloc(count, sizeof(*lane->kept));
    if (lane->own_iov == NULL || lane->kept == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        lane->own_iov[i] =
            (struct bp_iovec){lane->own + (uint64_t)i * BP_NET_OWN_BUFFER, BP_NET_OWN_BUFFER};
    }
    lane->own_count = count;
    lane->kept_head = lane->kept_count = 0;
    return 0;
}

void
bp_net_own_done(struct bp_net_lane *lane)
{
    const struct bp_services *host = lane->stack->services;

    if (lane->own != NULL) {
        host->memory->arena_free(host->instance, BP_NET_ARENA_OWN + lane->index);
    }
    free(lane->own_iov);
    free(lane->kept);
    lane->own = NULL;
    lane->own_iov = NULL;
    lane->kept = NULL;
    lane->own_count = 0;
}

static void
post_own(struct bp_net_lane *lane, uint32_t first, uint32_t count)
{
    const struct bp_net_stack *stack = lane->stack;

    for (uint32_t i = 0; i < count && lane->below != NULL; i++) {
        uint32_t index = (first + i) % lane->own_count;
        const struct bp_net_buffer buffer = {
            .user = index,
            .iov = &lane->own_iov[index],
            .iov_count = 1,
            .length = BP_NET_OWN_BUFFER,
            .flags = BP_NET_MERGE,
        };
        if (stack->below->post(stack->below_self, lane->below, &buffer, 1) != 1) {
            bp_warn(stack->services, "the backend refuses buffers, ignoring it");
            return;
        }
    }
}

void
bp_net_own_flushed(struct bp_net_lane *lane)
{
    if (lane->own_count > 0) {
        post_own(lane, lane->kept_head + lane->kept_count, lane->own_count - lane->kept_count);
    }
}

/* Offers the oldest frame that is kept. Returns 0: not now. */
static int
offer_one(struct bp_net_lane *lane)
{
    struct bp_iovec iov[BP_NET_MAX_IOV];
    uint32_t head = lane->kept_head, count = lane->kept[head].buffers;
    uint64_t length = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (head + i) % lane->own_count;
        iov[i] = (struct bp_iovec){lane->own_iov[at].base, lane->kept[at].length};
        length += lane->kept[at].length;
    }
    if (!lane->stack->ops->arrived(lane, iov, count, length, &lane->kept[head].offload)) {
        return 0;
    }
    lane->kept_head = (head + count) % lane->own_count;
    lane->kept_count -= count;
    post_own(lane, head, count);
    return 1;
}

void
bp_net_lane_retry(struct bp_net_lane *lane)
{
    while (lane->kept_count > 0 && offer_one(lane)) {
    }
    bp_net_rx_deliver(&lane->queue);
}

void
bp_net_own_receive(struct bp_net_lane *lane, const struct bp_net_received *records, uint32_t count)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (lane->kept_head + lane->kept_count) % lane->own_count;
        left = left == 0 ? records[i].buffers : left;
        if (records[i].user != at || records[i].length > BP_NET_OWN_BUFFER || left == 0 ||
            left > BP_NET_MAX_IOV || left > count - i || lane->kept_count == lane->own_count) {
            bp_warn(lane->stack->services, "the backend gives back what it has not, ignoring it");
            break;
        }
        lane->kept[at] = records[i];
        lane->kept_count++;
        left--;
    }
    bp_net_lane_retry(lane);
}
