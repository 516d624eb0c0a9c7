/* SPDX-License-Identifier: Apache-2.0 */
/* Sending: chains of the driver become frames of the backend (virtio 1.2, 5.1.6.2). One that the
 * backend does not take stays in the ring. */
#include "virtio_net.h"

#include <string.h>

#define BATCH 32u

/* A frame's name for the backend: pair, and chain. */
#define USER(pair, chain) ((uint64_t)(pair)->index << 32 | (chain)->index)

struct batch {
    struct bp_net_frame frames[BATCH];
    struct bp_virtio_chain *chains[BATCH];
    uint32_t count;
};

void
net_tx_done(struct net_pair *pair, struct bp_virtio_chain *chain)
{
    net_coalesce_push(pair, &pair->tx_coalesce, chain, 0);
}

/* The frame behind the header of a chain. Returns 0: it is not one. */
static int
read_frame(const struct net_pair *pair, struct bp_virtio_chain *chain, struct bp_net_frame *frame)
{
    uint8_t header[NET_HDR_WITH_HASH];
    struct bp_iovec *iov = chain->iov;
    uint32_t left = pair->header, count = chain->out_count;

    memset(frame, 0, sizeof(*frame));
    if (chain->out_bytes < (uint64_t)left + BP_NET_ETH_HEADER ||
        bp_net_iov_copy(iov, count, 0, header, left) != left) {
        return 0;
    }
    while (left > 0 && left >= iov->length) {
        left -= (uint32_t)iov->length;
        iov++;
        count--;
    }
    iov->base = (uint8_t *)iov->base + left;
    iov->length -= left;
    frame->user = USER(pair, chain);
    frame->iov = iov;
    frame->iov_count = count;
    frame->length = chain->out_bytes - pair->header;
    frame->offload.flags = header[NET_HDR_FLAGS] & BP_NET_NEEDS_CSUM;
    frame->offload.gso_type = header[NET_HDR_GSO_TYPE];
    if (frame->offload.gso_type != BP_NET_GSO_NONE) {
        frame->offload.header_length = (uint16_t)bp_load_le(header + NET_HDR_LENGTH, 2);
        frame->offload.gso_size = (uint16_t)bp_load_le(header + NET_HDR_GSO_SIZE, 2);
    }
    if (frame->offload.flags & BP_NET_NEEDS_CSUM) {
        frame->offload.csum_start = (uint16_t)bp_load_le(header + NET_HDR_CSUM_START, 2);
        frame->offload.csum_offset = (uint16_t)bp_load_le(header + NET_HDR_CSUM_OFFSET, 2);
    }
    return 1;
}

/* What the driver may ask for, as bits of bp.net/1. */
static uint32_t
negotiated(const struct net *net)
{
    uint32_t features = 0;

    features |= net_has(net, NET_F_CSUM) ? BP_NET_CSUM : 0;
    features |= net_has(net, NET_F_HOST_TSO4) ? BP_NET_TSO4 : 0;
    features |= net_has(net, NET_F_HOST_TSO6) ? BP_NET_TSO6 : 0;
    features |= net_has(net, NET_F_HOST_ECN) ? BP_NET_ECN : 0;
    features |= net_has(net, NET_F_HOST_UFO) ? BP_NET_UFO : 0;
    features |= net_has(net, NET_F_HOST_USO) ? BP_NET_USO4 | BP_NET_USO6 : 0;
    return features;
}

/* Sends the batch. extra: a chain popped after it that is not part of it, or NULL.
 * Returns 0 if the backend did not take all: the rest is back in the ring, with extra. */
static int
send_batch(struct net_pair *pair, const struct net_pair *outlet, struct batch *batch,
           struct bp_virtio_chain *extra)
{
    const struct net *net = pair->net;
    uint32_t done = 0, taken, i;
    int32_t result;

    if (batch->count == 0) {
        return 1;
    }
    result = net->ops->transmit(net->self, outlet->queue, batch->frames, batch->count, &done);
    taken = result > 0 ? bp_min_u32((uint32_t)result, batch->count) : 0;
    for (i = 0; i < done && i < taken; i++) {
        net_tx_done(pair, batch->chains[i]);
    }
    if (taken < batch->count) {
        if (extra != NULL) {
            bp_virtqueue_unpop(extra);
        }
        for (i = batch->count; i > taken; i--) {
            bp_virtqueue_unpop(batch->chains[i - 1]);
        }
        bp_virtqueue_wait(pair->tx);
    }
    i = batch->count;
    batch->count = 0;
    return taken == i;
}

/* Returns 0 when no more is to be popped. */
static int
send_chain(struct net_pair *pair, struct net_pair *outlet, struct batch *batch,
           struct bp_virtio_chain *chain, uint32_t features)
{
    struct bp_net_frame *frame = &batch->frames[batch->count];
    int valid = read_frame(pair, chain, frame) && net_link_up(pair->net) &&
                bp_net_frame_ok(frame, features);

    if (valid && bp_net_frame_ok(
                     frame, atomic_load_explicit(&pair->net->tx_features, memory_order_relaxed))) {
        batch->chains[batch->count++] = chain;
        return batch->count < BATCH || send_batch(pair, outlet, batch, NULL);
    }
    /* What follows works on the frame itself: a copy, since the batch is sent first. */
    struct bp_net_frame copy = *frame;
    if (!send_batch(pair, outlet, batch, chain)) {
        return 0;
    }
    if (!valid || !net_soft_begin(pair, chain, &copy, 0)) {
        net_tx_done(pair, chain); /* dropped: there is no way to tell the driver */
        return 1;
    }
    return net_soft_go_on(pair, outlet);
}

/* A frame that was on its way when the queue came to rest. Returns 0 when no more is to be sent. */
static int
send_held(struct net_pair *pair, struct net_pair *outlet, struct bp_virtio_chain *chain,
          uint32_t features)
{
    struct bp_net_frame frame;

    if (!read_frame(pair, chain, &frame) || !bp_net_frame_ok(&frame, features) ||
        !net_soft_begin(pair, chain, &frame, 1)) {
        net_tx_done(pair, chain);
        return 1;
    }
    return net_soft_go_on(pair, outlet);
}

/* Returns 0: something waits for the backend, which will have the queue looked at. */
static int
work(struct net_pair *pair, struct net_pair *outlet)
{
    uint32_t features = negotiated(pair->net);
    struct bp_virtio_chain *chain;
    struct batch batch;

    batch.count = 0;
    if (pair->soft->chain != NULL && !net_soft_go_on(pair, outlet)) {
        return 0;
    }
    while ((chain = bp_virtqueue_next_held(pair->tx)) != NULL) {
        if (!send_held(pair, outlet, chain, features)) {
            return 0;
        }
    }
    while ((chain = bp_virtqueue_pop(pair->tx)) != NULL) {
        if (!send_chain(pair, outlet, &batch, chain, features)) {
            return 0;
        }
    }
    return send_batch(pair, outlet, &batch, NULL);
}

/* On the outlet's loop, which is not the pair's. The queue waited meanwhile; now its own loop is to
 * listen to the driver again. */
static void
work_elsewhere(void *opaque)
{
    struct net_pair *pair = opaque;
    struct net_pair *outlet = net_outlet(pair);

    bp_virtqueue_enter(pair->tx);
    if (outlet != NULL && bp_virtqueue_running(pair->tx) && work(pair, outlet)) {
        bp_virtqueue_kick(pair->tx);
    }
    bp_virtqueue_leave(pair->tx);
}

/* Whether there is something to send. [queue] */
static int
has_work(struct net_pair *pair)
{
    return pair->soft->chain != NULL || bp_virtqueue_held(pair->tx) > 0 ||
           !bp_virtqueue_empty(pair->tx);
}

void
net_tx_run(struct net_pair *pair)
{
    const struct bp_services *host = &pair->net->host;
    struct net_pair *outlet = net_outlet(pair);

    if (outlet == NULL) {
        bp_virtqueue_wait(pair->tx);
    } else if (outlet == pair || outlet->loop == pair->loop) {
        (void)work(pair, outlet);
    } else if (has_work(pair)) {
        bp_virtqueue_wait(pair->tx);
        if (host->loop->defer(host->instance, outlet->loop, work_elsewhere, pair) != 0) {
            bp_warn(&pair->net->host, "transmit queue %u cannot reach its loop", pair->index);
        }
    }
}

static void
frame_done(struct net_pair *pair, uint32_t index)
{
    struct net_soft *soft = pair->soft;
    struct bp_virtio_chain *chain;

    if (soft->chain != NULL && soft->chain->index == index) {
        if (soft->in_flight > 0) {
            soft->in_flight--;
        }
        if (soft->in_flight == 0) {
            bp_virtqueue_kick(pair->tx);
        }
        return;
    }
    chain = bp_virtqueue_chain(pair->tx, index);
    if (chain != NULL) {
        net_tx_done(pair, chain);
    }
}

/* From one pair's queue to another's; either may be NULL. */
static struct net_pair *
switch_queue(struct net_pair *from, struct net_pair *to)
{
    if (from != to && from != NULL) {
        bp_virtqueue_leave(from->tx);
    }
    if (from != to && to != NULL) {
        bp_virtqueue_enter(to->tx);
    }
    return to;
}

void
net_tx_transmitted(void *opaque, const uint64_t *users, uint32_t count)
{
    const struct net *net = ((struct net_pair *)opaque)->net;
    struct net_pair *entered = NULL;
    uint32_t i;

    for (i = 0; i < count; i++) {
        uint64_t index = users[i] >> 32;
        if (index >= net->pairs) {
            continue;
        }
        entered = switch_queue(entered, &net->pair[index]);
        frame_done(entered, (uint32_t)users[i]);
    }
    (void)switch_queue(entered, NULL);
}

void
net_tx_writable(void *opaque)
{
    const struct net_pair *outlet = opaque;
    uint32_t i;

    for (i = 0; i < outlet->net->pairs; i++) {
        if (net_outlet(&outlet->net->pair[i]) == outlet) {
            bp_virtqueue_kick(outlet->net->pair[i].tx);
        }
    }
}
