/* SPDX-License-Identifier: Apache-2.0 */
/* The card's other side: what it tells the backend and learns of it, its queues, and how everything
 * comes back from them. */
#include "virtio_net.h"

#include <string.h>

void
net_apply_offloads(struct net *net)
{
    static const struct {
        uint64_t feature;
        uint32_t bits;
    } map[] = {
        {NET_F_GUEST_CSUM, BP_NET_CSUM}, {NET_F_GUEST_TSO4, BP_NET_TSO4},
        {NET_F_GUEST_TSO6, BP_NET_TSO6}, {NET_F_GUEST_ECN, BP_NET_ECN},
        {NET_F_GUEST_UFO, BP_NET_UFO},   {NET_F_GUEST_USO4, BP_NET_USO4},
        {NET_F_GUEST_USO6, BP_NET_USO6},
    };
    uint64_t offloads = atomic_load(&net->offloads);
    uint32_t features = 0, i;

    for (i = 0; i < BP_ARRAY_LENGTH(map); i++) {
        features |= (offloads & map[i].feature) != 0 ? map[i].bits : 0;
    }
    if ((features & BP_NET_CSUM) == 0) {
        features = 0; /* the others need it, and a driver may have switched off that one alone */
    }
    if (net->ops != NULL &&
        net->ops->set_features(net->self, features & atomic_load(&net->rx_features)) != 0) {
        bp_warn(&net->host, "the backend refuses offloads it has offered, going on without");
    }
}

/* With RSS a frame may come by any queue: the hash says whose it is. */
static void
tell_enabled(void *opaque)
{
    struct net_pair *pair = opaque;
    struct net *net = pair->net;
    uint32_t wanted = pair->spreads || pair->index < atomic_load(&net->active_pairs);

    if (pair->queue != NULL && BP_HAS(net->ops, queue_enable) && pair->enabled != wanted) {
        pair->enabled = wanted;
        net->ops->queue_enable(net->self, pair->queue, wanted);
    }
}

void
net_apply_pairs(struct net *net)
{
    const struct bp_services *host = &net->host;

    for (uint32_t i = 0; i < net->pairs; i++) {
        if (host->loop->defer(host->instance, net->pair[i].loop, tell_enabled, &net->pair[i]) !=
            0) {
            bp_warn(host, "cannot tell the backend about queue pair %u", i);
        }
    }
}

struct net_pair *
net_outlet(const struct net_pair *pair)
{
    struct net *net = pair->net;

    if (net->ops == NULL) {
        return NULL;
    }
    return &net->pair[pair->index % bp_min_u32(net->queues, net->pairs)];
}

/* On the backend queue's loop: everything comes back. Chains of a queue that runs on are held
 * (receive) or done (transmit). */
static void
retract_queue(struct net_pair *pair, struct bp_virtqueue *queue, struct net_coalesce *coalesce)
{
    uint32_t i, size = bp_virtqueue_max_size(queue);
    struct bp_virtio_chain *chain;

    bp_virtqueue_enter(queue);
    net_coalesce_flush(coalesce, queue);
    if (queue == pair->rx) {
        net_steer_forget(pair);
    }
    for (i = 0; i < size && bp_virtqueue_taken(queue) > 0; i++) {
        chain = bp_virtqueue_chain(queue, i);
        if (chain == NULL) {
            continue;
        }
        if (queue == pair->rx) {
            bp_virtqueue_hold(chain); /* of a stopped queue: only frees it */
        } else if (chain != pair->soft->chain) {
            bp_virtqueue_push(chain, 0);
        }
    }
    if (queue == pair->tx && pair->soft->chain != NULL) {
        net_soft_hold(pair);
    }
    if (!atomic_load(&pair->net->parked) && bp_virtqueue_running(queue)) {
        if (queue == pair->rx) {
            net_rx_retry(pair); /* its neighbour was stopped, not this one */
        } else {
            bp_virtqueue_kick(queue);
        }
    }
    bp_virtqueue_leave(queue);
}

void
net_retract(void *opaque)
{
    struct net_pair *pair = opaque;
    struct net *net = pair->net;

    if (pair->queue != NULL) {
        net->ops->flush(net->self, pair->queue);
    }
    if (pair->stage != NULL) {
        atomic_store(&pair->stage->posted, 0);
    }
    retract_queue(pair, pair->rx, &pair->rx_coalesce);
    for (uint32_t i = 0; i < net->pairs; i++) {
        if (&net->pair[i] == pair || (pair->queue != NULL && net_outlet(&net->pair[i]) == pair)) {
            retract_queue(&net->pair[i], net->pair[i].tx, &net->pair[i].tx_coalesce);
        }
    }
}

void
net_retract_all(struct net *net)
{
    for (uint32_t i = 0; i < net->pairs; i++) {
        if (bp_net_on_loop(&net->host, net->pair[i].loop, net_retract, &net->pair[i]) != 0) {
            bp_error(&net->host, "cannot reach the loop of queue pair %u", i);
        }
    }
}

/* Returns whether its link has changed. */
static uint32_t
learn(struct net *net, struct bp_net_info *info)
{
    uint32_t up;

    memset(info, 0, sizeof(*info));
    info->size = sizeof(*info);
    (void)net->ops->info(net->self, info);
    atomic_store(&net->tx_features, info->tx_features);
    atomic_store(&net->rx_features, info->rx_features);
    up = (info->flags & BP_NET_LINK_UP) != 0;
    return atomic_exchange(&net->backend_link, up) != up;
}

/* With the link may come another end, of other offloads. */
static void
net_event(void *opaque, uint32_t event)
{
    struct net *net = ((struct net_pair *)opaque)->net;
    struct bp_net_info info;

    if (event == BP_NET_EVENT_LINK) {
        uint32_t changed = learn(net, &info);
        net_apply_offloads(net);
        if (changed) {
            net_show_status(net, 1);
        }
    } else if (event == BP_NET_EVENT_ANNOUNCE) {
        net_ask_announcement(net);
    }
}

static const struct bp_net_client net_client = {
    .size = sizeof(net_client),
    .receive = net_rx_receive,
    .transmitted = net_tx_transmitted,
    .writable = net_tx_writable,
    .event = net_event,
};

static void
close_queues(struct net *net)
{
    for (uint32_t i = 0; i < net->pairs; i++) {
        if (net->pair[i].queue != NULL) {
            net->ops->queue_close(net->self, net->pair[i].queue);
            net->pair[i].queue = NULL;
        }
    }
}

static int32_t
open_queues(struct net *net)
{
    int32_t result = 0;

    for (uint32_t i = 0; i < net->pairs && i < net->queues && result == 0; i++) {
        struct net_pair *pair = &net->pair[i];
        uint32_t size = bp_virtqueue_max_size(pair->rx);
        uint32_t depth = net->rss && size < STAGE_BUFFERS ? STAGE_BUFFERS : size;
        const struct bp_net_queue_args args = {
            .size = sizeof(args),
            .index = i,
            .loop = pair->loop,
            .tx_depth = BP_NET_MAX_DEPTH,
            .rx_depth = depth,
            .client = &net_client,
            .opaque = pair,
        };
        result = net->ops->queue_open(net->self, &args, &pair->queue);
        pair->enabled = 1;
    }
    if (result != 0) {
        close_queues(net);
    }
    return result;
}

int32_t
net_attach(void *self, uint32_t slot, uint32_t use, const struct bp_peer *peer)
{
    struct net *net = self;
    struct bp_net_info info;
    int32_t result;

    net->ops = peer->table;
    net->self = peer->self;
    (void)learn(net, &info);
    net->queues = info.queues != 0 ? info.queues : 1;
    result = open_queues(net);
    if (result != 0) {
        net->ops = NULL;
        return bp_fail(&net->host, result, NULL, "backend '%s' cannot be used as a network: %s",
                       peer->id, strerror(-result));
    }
    atomic_fetch_and(&net->parked, ~PARKED_DETACHED);
    net_apply_offloads(net);
    net_apply_pairs(net);
    net_show_status(net, 1);
    return 0;
}

void
net_detach(void *self, uint32_t slot, uint32_t use)
{
    struct net *net = self;

    if (net->ops != NULL) {
        atomic_fetch_or(&net->parked, PARKED_DETACHED);
        net_retract_all(net);
        close_queues(net);
        net->ops = NULL;
        atomic_store(&net->backend_link, 0);
        net_show_status(net, 1);
    }
}
