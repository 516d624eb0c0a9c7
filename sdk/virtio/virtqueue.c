/* SPDX-License-Identifier: Apache-2.0 */
/* A queue: its life, its chains, and the batches in which it is worked on. */
#include "virtio_internal.h"

#include <string.h>

#define ROUNDS 16u /* of run before other work of the loop gets its turn */

/* --- what depends on the ring's format ---------------------------------------------------------
 */

static int32_t
ring_pop(struct bp_virtqueue *queue, struct bp_virtio_chain *chain)
{
    return queue->packed ? packed_pop(queue, chain) : split_pop(queue, chain);
}

static void
ring_use(struct bp_virtqueue *queue, const struct bp_virtio_chain *chain)
{
    if (queue->packed) {
        packed_use(queue, chain);
    } else {
        split_use(queue, chain);
    }
}

static void
ring_notify(struct bp_virtqueue *queue, uint32_t on)
{
    if (queue->packed) {
        packed_notify(queue, on);
    } else {
        split_notify(queue, on);
    }
}

static uint32_t
ring_empty(struct bp_virtqueue *queue)
{
    return queue->packed ? packed_empty(queue) : split_empty(queue);
}

/* --- life --------------------------------------------------------------------------------------
 */

static void
ring_shape(struct bp_virtqueue *queue)
{
    struct virtio_ring *ring = &queue->ring;
    uint32_t entries = queue->size;

    ring->desc_gpa = queue->desc;
    ring->driver_gpa = queue->driver;
    ring->device_gpa = queue->device;
    ring->desc_length = entries * 16;
    if (queue->packed) {
        ring->driver_length = ring->device_length = 4;
    } else {
        ring->driver_length = 4 + entries * 2 + (queue->events ? 2 : 0);
        ring->device_length = 4 + entries * 8 + (queue->events ? 2 : 0);
    }
}

/* The parts' alignments are those of the specification (2.7, 2.8.10). */
int32_t
virtqueue_map(struct bp_virtqueue *queue)
{
    const struct bp_services *host = queue->virtio->host;
    struct virtio_ring *ring = &queue->ring;
    uint64_t crooked;

    queue->view = host->memory->view(host->instance);
    ring_shape(queue);
    crooked = (ring->desc_gpa & 15) | (ring->driver_gpa & (queue->packed ? 3 : 1)) |
              (ring->device_gpa & 3);
    ring->desc = bp_ram_translate(queue->view, ring->desc_gpa, ring->desc_length, queue->packed);
    ring->driver = bp_ram_translate(queue->view, ring->driver_gpa, ring->driver_length, 0);
    ring->device = bp_ram_translate(queue->view, ring->device_gpa, ring->device_length, 1);
    if (crooked || ring->desc == NULL || ring->driver == NULL || ring->device == NULL) {
        bp_virtio_broken(queue->virtio, "queue %u: a ring that is %s", queue->index,
                         crooked ? "not aligned" : "not in RAM");
        return -EINVAL;
    }
    return 0;
}

static void
rewind_ring(struct bp_virtqueue *queue)
{
    queue->last_avail = queue->avail_seen = 0;
    queue->used = queue->unsignalled = 0;
    queue->avail_wrap = queue->used_wrap = 1;
    queue->order_next = queue->order_done = 0;
    memset(queue->by_order, 0, queue->slot_count * sizeof(*queue->by_order));
}

/* Chains of an earlier life are still out: it starts when they are back. */
static void
start_locked(struct bp_virtqueue *queue)
{
    struct bp_virtio *virtio = queue->virtio;

    if (queue->live || !queue->wanted || queue->in_flight != 0 || atomic_load(&virtio->broken)) {
        return;
    }
    queue->packed = virtio_has(virtio, BP_VIRTIO_F_RING_PACKED) != 0;
    queue->events = virtio_has(virtio, BP_VIRTIO_F_EVENT_IDX) != 0;
    queue->ordered = virtio_has(virtio, BP_VIRTIO_F_IN_ORDER) != 0;
    queue->entries = queue->size;
    rewind_ring(queue);
    if (queue->entries == 0 || virtqueue_map(queue) != 0) {
        return;
    }
    queue->live = 1;
    queue->waiting = 0;
    if (virtio->ops->start != NULL) {
        virtio->ops->start(virtio->opaque, queue);
    }
    bp_virtqueue_kick(queue);
}

static void
chain_free(struct bp_virtqueue *queue, struct bp_virtio_chain *chain)
{
    chain->state = CHAIN_FREE;
    chain->next = queue->free;
    queue->free = chain;
    queue->in_flight--;
}

/* Held chains, and those that wait for older ones, go back at once; the device's come by push(). */
static void
stop_locked(struct bp_virtqueue *queue)
{
    struct bp_virtio *virtio = queue->virtio;

    if (!queue->live) {
        return;
    }
    queue->live = 0;
    queue->epoch++;
    queue->held_first = queue->held_last = NULL;
    queue->held = 0;
    queue->retry = 0;
    for (uint32_t i = 0; i < queue->slot_count && queue->in_flight != 0; i++) {
        struct bp_virtio_chain *chain = chain_at(queue, i);
        if (chain->state == CHAIN_HELD || chain->state == CHAIN_DONE) {
            chain_free(queue, chain);
        }
    }
    if (virtio->ops->stop != NULL) {
        virtio->ops->stop(virtio->opaque, queue);
    }
}

void
virtqueue_update(struct bp_virtqueue *queue)
{
    struct bp_virtio *virtio = queue->virtio;
    uint32_t status = atomic_load(&virtio->status);
    uint32_t wanted;

    /* Legacy drivers use a queue as soon as it has an address. */
    wanted = virtio->legacy ? queue->pfn != 0 : queue->enabled && (status & BP_VIRTIO_DRIVER_OK);
    pthread_mutex_lock(&queue->lock);
    if (wanted != queue->wanted) {
        queue->wanted = (uint8_t)wanted;
        if (wanted) {
            start_locked(queue);
        } else {
            stop_locked(queue);
        }
    }
    pthread_mutex_unlock(&queue->lock);
}

void
virtqueue_reset(struct bp_virtqueue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->wanted = 0;
    stop_locked(queue);
    pthread_mutex_unlock(&queue->lock);
    queue->size = (uint16_t)queue->max_size;
    queue->desc = queue->driver = queue->device = 0;
    queue->pfn = 0;
    queue->enabled = 0;
    atomic_store(&queue->vector, VIRTIO_NO_VECTOR);
}

uint32_t
virtqueue_busy(struct bp_virtqueue *queue)
{
    uint32_t busy;

    pthread_mutex_lock(&queue->lock);
    busy = queue->live ? 0 : queue->in_flight;
    pthread_mutex_unlock(&queue->lock);
    return busy;
}

uint32_t
virtqueue_in_flight(struct bp_virtqueue *queue)
{
    uint32_t count;

    pthread_mutex_lock(&queue->lock);
    count = queue->in_flight - queue->held;
    pthread_mutex_unlock(&queue->lock);
    return count;
}

/* --- work --------------------------------------------------------------------------------------
 */

uint32_t
bp_virtqueue_running(const struct bp_virtqueue *queue)
{
    struct bp_virtio *virtio = queue->virtio;

    return queue->live && !atomic_load_explicit(&virtio->broken, memory_order_relaxed) &&
           !atomic_load_explicit(&virtio->stopped, memory_order_relaxed) &&
           !atomic_load_explicit(&virtio->quiescing, memory_order_relaxed);
}

/* Notifications are off while it works, so that a driver that keeps up sends none. */
static void
work_locked(struct bp_virtqueue *queue)
{
    struct bp_virtio *virtio = queue->virtio;
    uint32_t rounds = 0;

    if (queue->retry && bp_virtqueue_running(queue)) {
        queue->retry = 0;
        if (virtio->ops->retry != NULL) {
            virtio->ops->retry(virtio->opaque, queue);
        }
    }
    while (!queue->waiting && bp_virtqueue_running(queue)) {
        ring_notify(queue, 0);
        virtio->ops->run(virtio->opaque, queue);
        if (queue->waiting || !bp_virtqueue_running(queue)) {
            return;
        }
        ring_notify(queue, 1);
        if (ring_empty(queue)) {
            return;
        }
        if (++rounds == ROUNDS) {
            bp_virtqueue_kick(queue);
            return;
        }
    }
}

static void
flush_locked(struct bp_virtqueue *queue)
{
    uint32_t interrupt;

    if (!queue->live || queue->unsignalled == 0) {
        return;
    }
    interrupt = queue->packed ? packed_publish(queue) : split_publish(queue);
    if (interrupt) {
        virtio_interrupt(queue->virtio, atomic_load_explicit(&queue->vector, memory_order_relaxed),
                         VIRTIO_ISR_QUEUE);
    }
}

void
bp_virtqueue_enter(struct bp_virtqueue *queue)
{
    pthread_mutex_lock(&queue->lock);
}

/* The last chain of a quiesce ends it. */
static void
settle(struct bp_virtio *virtio)
{
    uint32_t due = 1;

    for (uint32_t i = 0; i < virtio->queue_count; i++) {
        if (virtqueue_in_flight(&virtio->queues[i]) != 0) {
            return;
        }
    }
    if (atomic_compare_exchange_strong(&virtio->quiesce_due, &due, 0)) {
        virtio->host->core->quiesced(virtio->host->instance, 0);
    }
}

void
bp_virtqueue_leave(struct bp_virtqueue *queue)
{
    struct bp_virtio *virtio = queue->virtio;

    flush_locked(queue);
    if (queue->in_flight == 0) {
        atomic_store(&queue->resetting, 0);
        start_locked(queue);
    }
    pthread_mutex_unlock(&queue->lock);
    if (atomic_load_explicit(&virtio->quiesce_due, memory_order_relaxed)) {
        settle(virtio);
    }
}

void
virtqueue_ring(void *opaque)
{
    struct bp_virtqueue *queue = opaque;

    bp_virtqueue_enter(queue);
    work_locked(queue);
    bp_virtqueue_leave(queue);
}

static void
run_kicked(void *opaque)
{
    struct bp_virtqueue *queue = opaque;

    atomic_store(&queue->kicked, 0);
    bp_virtqueue_enter(queue);
    queue->waiting = 0;
    work_locked(queue);
    bp_virtqueue_leave(queue);
}

/* At most one call waits on the loop, however often the driver asks. */
void
bp_virtqueue_kick(struct bp_virtqueue *queue)
{
    const struct bp_services *host = queue->virtio->host;

    if (atomic_exchange(&queue->kicked, 1) == 0 &&
        host->loop->defer(host->instance, queue->loop, run_kicked, queue) != 0) {
        atomic_store(&queue->kicked, 0);
    }
}

void
bp_virtqueue_wait(struct bp_virtqueue *queue)
{
    queue->waiting = 1;
}

/* --- chains ------------------------------------------------------------------------------------
 */

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
        if (queue->packed) {
            packed_unpop(queue, chain);
        } else {
            split_unpop(queue, chain);
        }
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
    for (;;) {
        place = &queue->by_order[queue->order_done % queue->slot_count];
        chain = *place;
        if (chain == NULL || chain->state != CHAIN_DONE || chain->order != queue->order_done) {
            return;
        }
        *place = NULL;
        queue->order_done++;
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

void
bp_virtqueue_hold(struct bp_virtio_chain *chain)
{
    struct bp_virtqueue *queue = chain->queue;

    if (chain->epoch != queue->epoch) {
        chain_free(queue, chain);
        return;
    }
    chain_restore_iov(queue, chain);
    chain->state = CHAIN_HELD;
    chain->next = NULL;
    if (queue->held_last != NULL) {
        queue->held_last->next = chain;
    } else {
        queue->held_first = chain;
    }
    queue->held_last = chain;
    queue->held++;
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
    }
    return chain;
}

uint32_t
bp_virtqueue_held(const struct bp_virtqueue *queue)
{
    return queue->held;
}

uint32_t
bp_virtqueue_stale(const struct bp_virtio_chain *chain)
{
    return chain->epoch != chain->queue->epoch;
}

uint32_t
bp_virtqueue_index(const struct bp_virtqueue *queue)
{
    return queue->index;
}

uint32_t
bp_virtqueue_loop(const struct bp_virtqueue *queue)
{
    return queue->loop;
}

uint32_t
bp_virtqueue_max_size(const struct bp_virtqueue *queue)
{
    return queue->max_size;
}

int32_t
virtqueue_init(struct bp_virtio *virtio, uint32_t index, const struct bp_virtio_args *args)
{
    struct bp_virtqueue *queue = &virtio->queues[index];

    queue->virtio = virtio;
    queue->index = index;
    if (pthread_mutex_init(&queue->lock, NULL) != 0) {
        return -ENOMEM;
    }
    atomic_store(&queue->vector, VIRTIO_NO_VECTOR);
    queue->size = (uint16_t)queue->max_size;
    return chains_init(queue, args->request_size, args->max_pieces);
}

void
virtqueue_done(struct bp_virtqueue *queue)
{
    if (queue->virtio != NULL) {
        chains_done(queue);
        (void)pthread_mutex_destroy(&queue->lock);
    }
}
