/* SPDX-License-Identifier: Apache-2.0 */
/* Notification coalescing (virtio 1.2, 5.1.6.5.8): used chains are given back together, after a
 * number of packets or a time since the first of them. */
#include "virtio_net.h"

#include <stdlib.h>

static uint32_t
timer_id(const struct net_pair *pair, const struct net_coalesce *coalesce)
{
    return pair->index * 2 + (coalesce == &pair->tx_coalesce);
}

void
net_coalesce_flush(struct net_coalesce *coalesce, struct bp_virtqueue *queue)
{
    uint32_t i;

    for (i = 0; i < coalesce->count; i++) {
        struct bp_virtio_chain *chain = bp_virtqueue_chain(queue, coalesce->chains[i]);
        if (chain != NULL) {
            bp_virtqueue_push(chain, coalesce->written[i]);
        }
    }
    coalesce->count = 0;
}

void
net_coalesce_push(struct net_pair *pair, struct net_coalesce *coalesce,
                  struct bp_virtio_chain *chain, uint32_t written)
{
    struct bp_virtqueue *queue = chain->queue;
    const struct bp_services *host = &pair->net->host;
    uint32_t most = bp_virtqueue_max_size(queue) / 2;

    if (coalesce->max_usecs == 0 || coalesce->max_packets <= 1) {
        net_coalesce_flush(coalesce, queue);
        bp_virtqueue_push(chain, written);
        return;
    }
    coalesce->chains[coalesce->count] = chain->index;
    coalesce->written[coalesce->count++] = written;
    if (coalesce->count >= coalesce->max_packets || coalesce->count >= most) {
        net_coalesce_flush(coalesce, queue);
    } else if (coalesce->count == 1) {
        host->timer->arm(host->instance, timer_id(pair, coalesce),
                         host->timer->now(host->instance, BP_CLOCK_VIRTUAL) +
                             (uint64_t)coalesce->max_usecs * 1000);
    }
}

static void
rx_expired(void *opaque)
{
    struct net_pair *pair = opaque;

    bp_virtqueue_enter(pair->rx);
    net_coalesce_flush(&pair->rx_coalesce, pair->rx);
    bp_virtqueue_leave(pair->rx);
}

static void
tx_expired(void *opaque)
{
    struct net_pair *pair = opaque;

    bp_virtqueue_enter(pair->tx);
    net_coalesce_flush(&pair->tx_coalesce, pair->tx);
    bp_virtqueue_leave(pair->tx);
}

static int32_t
init_one(struct net_pair *pair, struct net_coalesce *coalesce, struct bp_virtqueue *queue,
         void (*expired)(void *opaque))
{
    const struct bp_services *host = &pair->net->host;
    const struct bp_timer_args args = {
        .size = sizeof(args),
        .id = timer_id(pair, coalesce),
        .clock = BP_CLOCK_VIRTUAL,
        .loop = pair->loop,
        .expired = expired,
        .opaque = pair,
    };
    uint32_t size = bp_virtqueue_max_size(queue);

    coalesce->chains = calloc(size, sizeof(*coalesce->chains));
    coalesce->written = calloc(size, sizeof(*coalesce->written));
    if (coalesce->chains == NULL || coalesce->written == NULL) {
        return -ENOMEM;
    }
    return host->timer->create(host->instance, &args);
}

int32_t
net_coalesce_init(struct net_pair *pair)
{
    int32_t result = init_one(pair, &pair->rx_coalesce, pair->rx, rx_expired);

    return result != 0 ? result : init_one(pair, &pair->tx_coalesce, pair->tx, tx_expired);
}

void
net_coalesce_done(struct net_pair *pair)
{
    free(pair->rx_coalesce.chains);
    free(pair->rx_coalesce.written);
    free(pair->tx_coalesce.chains);
    free(pair->tx_coalesce.written);
}

static void
reset_one(struct net_coalesce *coalesce)
{
    atomic_store(&coalesce->max_packets, 0);
    atomic_store(&coalesce->max_usecs, 0);
}

void
net_coalesce_reset(struct net_pair *pair)
{
    reset_one(&pair->rx_coalesce);
    reset_one(&pair->tx_coalesce);
}
