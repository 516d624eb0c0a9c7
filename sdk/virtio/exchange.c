/* SPDX-License-Identifier: Apache-2.0 */
/* Chains on their way between the ring and the device. */
#include "virtio_internal.h"

void
chain_free(struct bp_virtqueue *queue, struct bp_virtio_chain *chain)
{
    chain->state = CHAIN_FREE;
    chain->next = queue->free;
    queue->free = chain;
    queue->in_flight--;
}

struct bp_virtio_chain *
bp_virtqueue_pop(struct bp_virtqueue *queue)
{
    struct bp_virtio_chain *chain = queue->free;

    if (!bp_virtqueue_running(queue)) {
        return NULL;
    }
    if (chain == NULL) {
        if (!ring_empty(queue)) {
            bp_virtio_broken(queue->virtio, "queue %u: more requests than the ring has entries",
                             queue->index);
        }
        return NULL;
    }
    chain_clear(queue, chain);
    if (ring_pop(queue, chain) <= 0) {
        return NULL;
    }
    queue->free = chain->next;
    chain->next = NULL;
    chain->state = CHAIN_DEVICE;
    chain->epoch = queue->epoch;
    chain->order = queue->order_next++;
    queue->in_flight++;
    return chain;
}

void
bp_virtqueue_unpop(struct bp_virtio_chain *chain)
{
    struct bp_virtqueue *queue = chain->queue;

    if (chain->epoch == queue->epoch) {
        ring_unpop(queue, chain);
        queue->order_next--;
    }
    chain_free(queue, chain);
}

struct bp_virtio_chain *
bp_virtqueue_chain(struct bp_virtqueue *queue, uint64_t index)
{
    struct bp_virtio_chain *chain =
        index < queue->slot_count ? chain_at(queue, (uint32_t)index) : NULL;

    return chain != NULL && chain->state == CHAIN_DEVICE ? chain : NULL;
}

uint32_t
bp_virtqueue_empty(struct bp_virtqueue *queue)
{
    return !bp_virtqueue_running(queue) || ring_empty(queue);
}

/* Whatever a backend may have written of it counts as written. */
static void
mark_dirty(const struct bp_virtqueue *queue, const struct bp_virtio_chain *chain)
{
    for (uint32_t i = chain->out_count; i < chain->out_count + chain->in_count; i++) {
        bp_ram_mark_dirty(queue->view, chain->pieces[i].gpa, chain->pieces[i].length);
    }
}

static void
use_in_order(struct bp_virtqueue *queue, struct bp_virtio_chain *chain)
{
    struct bp_virtio_chain **place = &queue->by_order[chain->order % queue->slot_count];

    *place = chain;
    chain->state = CHAIN_DONE;
    queue->held++;
    for (;;) {
        place = &queue->by_order[queue->order_done % queue->slot_count];
        chain = *place;
        if (chain == NULL || chain->state != CHAIN_DONE || chain->order != queue->order_done) {
            return;
        }
        *place = NULL;
        queue->order_done++;
        queue->held--;
        ring_use(queue, chain);
        chain_free(queue, chain);
    }
}

void
bp_virtqueue_push(struct bp_virtio_chain *chain, uint32_t written)
{
    struct bp_virtqueue *queue = chain->queue;

    mark_dirty(queue, chain);
    chain->written = written;
    if (chain->epoch != queue->epoch) {
        chain_free(queue, chain);
    } else if (queue->ordered) {
        use_in_order(queue, chain);
    } else {
        ring_use(queue, chain);
        chain_free(queue, chain);
    }
}

static void
list_held(struct bp_virtqueue *queue, struct bp_virtio_chain *chain)
{
    chain->state = CHAIN_HELD;
    chain->next = NULL;
    if (queue->held_last != NULL) {
        queue->held_last->next = chain;
    } else {
        queue->held_first = chain;
    }
    queue->held_last = chain;
    queue->held++;
    queue->held_listed++;
}

void
bp_virtqueue_hold(struct bp_virtio_chain *chain)
{
    struct bp_virtqueue *queue = chain->queue;

    if (chain->epoch != queue->epoch) {
        chain_free(queue, chain);
        return;
    }
    (void)chain_restore_iov(queue, chain); /* RAM has not changed since it was popped */
    list_held(queue, chain);
}

void
chain_take_back(struct bp_virtqueue *queue, struct bp_virtio_chain *chain, uint32_t done)
{
    queue->in_flight++;
    if (done) {
        chain->state = CHAIN_DONE;
        queue->by_order[chain->order % queue->slot_count] = chain;
        queue->held++;
    } else {
        list_held(queue, chain);
    }
}

struct bp_virtio_chain *
bp_virtqueue_next_held(struct bp_virtqueue *queue)
{
    struct bp_virtio_chain *chain = queue->held_first;

    if (chain != NULL) {
        queue->held_first = chain->next;
        if (queue->held_first == NULL) {
            queue->held_last = NULL;
        }
        chain->next = NULL;
        chain->state = CHAIN_DEVICE;
        queue->held--;
        queue->held_listed--;
    }
    return chain;
}

uint32_t
bp_virtqueue_held(const struct bp_virtqueue *queue)
{
    return queue->held_listed;
}

uint32_t
bp_virtqueue_taken(const struct bp_virtqueue *queue)
{
    return queue->in_flight - queue->held;
}

uint32_t
bp_virtqueue_stale(const struct bp_virtio_chain *chain)
{
    return chain->epoch != chain->queue->epoch;
}
