/* SPDX-License-Identifier: Apache-2.0 */
/* Frames whose offloads the backend lacks: cut into plain ones here, some at a time. */
#include "virtio_net.h"

#include <string.h>

int
net_soft_begin(struct net_pair *pair, struct bp_virtio_chain *chain,
               const struct bp_net_frame *frame)
{
    struct net_soft *soft = pair->soft;

    if (bp_net_segment_begin(&soft->segmenter, frame, pair->net->fragment_id++) <= 0) {
        return 0;
    }
    soft->chain = chain;
    soft->prepared = soft->taken = soft->in_flight = 0;
    return 1;
}

static void
prepare(struct net_pair *pair)
{
    struct net_soft *soft = pair->soft;
    uint32_t used = 0;

    soft->prepared = soft->taken = 0;
    while (soft->prepared < SOFT_SLOTS &&
           bp_net_segment_next(
               &soft->segmenter, soft->headers + (uint64_t)soft->prepared * BP_NET_SEGMENT_HEADER,
               soft->pieces + used, SOFT_PIECES - used, &soft->frames[soft->prepared])) {
        soft->frames[soft->prepared].user = (uint64_t)pair->index << 32 | soft->chain->index;
        used += soft->frames[soft->prepared].iov_count;
        soft->prepared++;
    }
}

int
net_soft_go_on(struct net_pair *pair, struct net_pair *outlet)
{
    struct net_soft *soft = pair->soft;
    const struct net *net = pair->net;
    struct bp_virtio_chain *chain = soft->chain;

    for (;;) {
        uint32_t done = 0, taken;
        int32_t result;

        if (soft->taken == soft->prepared) {
            if (soft->in_flight > 0) { /* its headers are still in use */
                bp_virtqueue_wait(pair->tx);
                return 0;
            }
            prepare(pair);
            if (soft->prepared == 0) {
                break;
            }
        }
        result = net->ops->transmit(net->self, outlet->queue, soft->frames + soft->taken,
                                    soft->prepared - soft->taken, &done);
        taken = result > 0 ? bp_min_u32((uint32_t)result, soft->prepared - soft->taken) : 0;
        soft->taken += taken;
        soft->in_flight += taken - bp_min_u32(done, taken);
        if (soft->taken < soft->prepared) {
            bp_virtqueue_wait(pair->tx);
            return 0;
        }
    }
    soft->chain = NULL;
    net_tx_done(pair, chain);
    return 1;
}
