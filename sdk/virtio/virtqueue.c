/* SPDX-License-Identifier: Apache-2.0 */
/* A queue: its life, its chains, and the batches in which it is worked on. */
#include "virtio_internal.h"

#include <string.h>

#define ROUNDS 16u /* of run before other work of the loop gets its turn */

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

static void
take_formats(struct bp_virtqueue *queue)
{
    const struct bp_virtio *virtio = queue->virtio;

    queue->packed = virtio_has(virtio, BP_VIRTIO_F_RING_PACKED) != 0;
    queue->events = virtio_has(virtio, BP_VIRTIO_F_EVENT_IDX) != 0;
    queue->ordered = virtio_has(virtio, BP_VIRTIO_F_IN_ORDER) != 0;
    queue->entries = queue->size;
}

/* A packed ring's positions lie inside it; a split one's indices run freely, but its ring is a
 * power of two. */
static uint32_t
positions_valid(const struct bp_virtqueue *queue)
{
    if (queue->packed) {
        return queue->last_avail < queue->entries && queue->used < queue->entries;
    }
    return (queue->entries & (queue->entries - 1)) == 0;
}

/* Chains of an earlier life are still out: it starts when they are back. */
static void
start_locked(struct bp_virtqueue *queue)
{
    struct bp_virtio *virtio = queue->virtio;

    if (queue->live || !queue->wanted || queue->in_flight != 0 || atomic_load(&virtio->broken)) {
        return;
    }
    take_formats(queue);
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

/* Held chains, and those that wait for older ones, go back at once; the device's come by push(). */
static void
stop_locked(struct bp_virtqueue *queue)
{
    struct bp_virtio *virtio = queue->virtio;

    if (!queue->live && queue->held == 0) {
        return;
    }
    queue->live = queue->restored = 0;
    queue->epoch++;
    queue->held_first = queue->held_last = NULL;
    queue->held = queue->held_listed = 0;
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

void
virtqueue_abandon(struct bp_virtqueue *queue)
{
    pthread_mutex_lock(&queue->lock);
    if (queue->in_flight != queue->held) {
        stop_locked(queue);
    }
    pthread_mutex_unlock(&queue->lock);
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

int32_t
virtqueue_remap(struct bp_virtqueue *queue)
{
    int32_t result = virtqueue_map(queue);

    for (uint32_t i = 0; i < queue->slot_count && result == 0; i++) {
        struct bp_virtio_chain *chain = chain_at(queue, i);
        if (chain->state == CHAIN_HELD || chain->state == CHAIN_DONE) {
            result = chain_restore_iov(queue, chain);
        }
    }
    return result;
}

static void
go_on_locked(struct bp_virtqueue *queue)
{
    struct bp_virtio *virtio = queue->virtio;

    take_formats(queue);
    if (atomic_load(&virtio->broken) || !positions_valid(queue) || virtqueue_remap(queue) != 0) {
        return;
    }
    queue->live = 1;
    queue->waiting = 0;
    queue->retry = 1;
    if (virtio->ops->start != NULL) {
        virtio->ops->start(virtio->opaque, queue);
    }
}

void
virtqueue_go_on(struct bp_virtqueue *queue)
{
    pthread_mutex_lock(&queue->lock);
    if (queue->restored) {
        go_on_locked(queue);
    }
    queue->restored = 0;
    pthread_mutex_unlock(&queue->lock);
    bp_virtqueue_kick(queue);
}

/* --- work --------------------------------------------------------------------------------------
 */

uint32_t
bp_virtqueue_running(const struct bp_virtqueue *queue)
{
    struct bp_virtio *virtio = queue->virtio;

    /* Drivers of 0.9.5 forget to make the function a bus master. */
    if (!bp_virtio_legacy(virtio) && !atomic_load_explicit(&virtio->master, memory_order_relaxed)) {
        return 0;
    }
    return queue->live && !atomic_load_explicit(&virtio->broken, memory_order_relaxed) &&
           !atomic_load_explicit(&virtio->stopped, memory_order_relaxed) &&
           !atomic_load_explicit(&virtio->quiescing, memory_order_relaxed);
}

/* Notifications are off while it works, so that a driver that keeps up sends none; and as long as
 * the loop looks at the queue in each turn. */
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
        if (queue->waiting || queue->polled || !bp_virtqueue_running(queue)) {
            return; /* the loop comes back by itself, or there is a kick */
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

/* Each wish is heard with the lock, also by a queue that does not run: it may run again before the
 * next one. */
static uint32_t
hear_poll(struct bp_virtqueue *queue, uint32_t phase)
{
    queue->polled = phase == BP_POLL_BEGIN;
    if (queue->waiting || !bp_virtqueue_running(queue)) {
        return 0;
    }
    ring_notify(queue, !queue->polled);
    return !ring_empty(queue);
}

int32_t
virtqueue_poll(void *opaque, uint32_t phase)
{
    struct bp_virtqueue *queue = opaque;
    uint32_t work = 0;

    if (phase != BP_POLL_LOOK) {
        pthread_mutex_lock(&queue->lock);
        work = hear_poll(queue, phase);
    } else if (pthread_mutex_trylock(&queue->lock) != 0) {
        return 0;
    } else if (!queue->waiting && bp_virtqueue_running(queue)) {
        work = !ring_empty(queue);
    }
    pthread_mutex_unlock(&queue->lock);
    return (int32_t)work;
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
