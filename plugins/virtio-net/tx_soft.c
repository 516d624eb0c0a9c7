/* SPDX-License-Identifier: Apache-2.0 */
/* Frames whose offloads the backend lacks: cut into plain ones here, some at a time. */
#include "virtio_net.h"

#include <string.h>

/* Makes the next frame in a slot. Returns 0: that was all, or there is no room for it. */
static int
cut(struct net_pair *pair, uint32_t slot, uint32_t used)
{
    struct net_soft *soft = pair->soft;

    return bp_net_segment_next(&soft->segmenter,
                               soft->headers + (uint64_t)slot * BP_NET_SEGMENT_HEADER,
                               soft->pieces + used, SOFT_PIECES - used, &soft->frames[slot]);
}

int
net_soft_begin(struct net_pair *pair, struct bp_virtio_chain *chain,
               const struct bp_net_frame *frame, uint32_t is_held)
{
    struct net_soft *soft = pair->soft;
    uint32_t skip = is_held ? soft->skip : 0, i;

    soft->identification =
        is_held ? soft->skip_identification : atomic_fetch_add(&pair->net->fragment_id, 1);
    soft->skip = 0;
    if (bp_net_segment_begin(&soft->segmenter, frame, soft->identification) <= 0) {
        return 0;
    }
    soft->chain = chain;
    soft->prepared = soft->taken = soft->in_flight = 0;
    for (i = 0; i < skip && cut(pair, 0, 0); i++) {
    }
    soft->base = i;
    return 1;
}

void
net_soft_hold(struct net_pair *pair)
{
    struct net_soft *soft = pair->soft;

    soft->skip = soft->base + soft->taken;
    soft->skip_identification = soft->identification;
    bp_virtqueue_hold(soft->chain);
    soft->chain = NULL;
}

static void
prepare(struct net_pair *pair)
{
    struct net_soft *soft = pair->soft;
    uint32_t used = 0;

    soft->base += soft->prepared;
    soft->prepared = soft->taken = 0;
    while (soft->prepared < SOFT_SLOTS && cut(pair, soft->prepared, used)) {
        soft->frames[soft->prepared].user = (uint64_t)pair->index << 32 | soft->chain->index;
        used += soft->frames[soft->prepared].iov_count;
        soft->prepared++;
    }
}

/* Gives the backend what is prepared. Returns 0: it did not take everything. */
static int
hand_over(const struct net *net, struct net_soft *soft, struct net_pair *outlet)
{
    uint32_t left = soft->prepared - soft->taken, done = 0, taken;
    int32_t result =
        net->ops->transmit(net->self, outlet->queue, soft->frames + soft->taken, left, &done);

    taken = result > 0 ? bp_min_u32((uint32_t)result, left) : 0;
    soft->taken += taken;
    soft->in_flight += taken - bp_min_u32(done, taken);
    return taken == left;
}

int
net_soft_go_on(struct net_pair *pair, struct net_pair *outlet)
{
    struct net_soft *soft = pair->soft;
    struct bp_virtio_chain *chain = soft->chain;

    for (;;) {
        uint32_t is_handed = soft->taken == soft->prepared;
        if (is_handed && soft->in_flight > 0) { /* its headers are still in use */
            bp_virtqueue_wait(pair->tx);
            return 0;
        }
        if (is_handed) {
            prepare(pair);
        }
        if (soft->prepared == 0) {
            break;
        }
        if (!hand_over(pair->net, soft, outlet)) {
            bp_virtqueue_wait(pair->tx);
            return 0;
        }
    }
    soft->chain = NULL;
    net_tx_done(pair, chain);
    return 1;
}
