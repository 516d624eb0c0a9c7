/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of copied frames between a loop and the thread. */
#include "capture.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int32_t
capture_ring_init(struct capture_ring *ring, uint32_t size)
{
    if (ring->memory == NULL) {
        ring->memory = malloc(size);
        ring->size = size;
    }
    return ring->memory != NULL ? 0 : -ENOMEM;
}

static struct capture_record *
record_at(const struct capture_ring *ring, uint32_t at)
{
    /* Aligned: positions are multiples of 8. */
    return (struct capture_record *)(void *)(ring->memory + (at & (ring->size - 1)));
}

static uint32_t
left_to_end(const struct capture_ring *ring, uint32_t at)
{
    return ring->size - (at & (ring->size - 1));
}

/* Room for size bytes in one piece. Returns NULL if there is none. tail: where the next will be. */
static struct capture_record *
reserve(struct capture_ring *ring, uint32_t size, uint32_t *tail)
{
    uint32_t left, used;

    *tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    /* Pairs with the release of capture_pop(): what was read there may be written over here. */
    used = *tail - atomic_load_explicit(&ring->head, memory_order_acquire);
    left = left_to_end(ring, *tail);
    if (size + (left < size ? left : 0) > ring->size - used) {
        return NULL;
    }
    if (left < size) {
        record_at(ring, *tail)->size = 0; /* fits: everything is a multiple of 8 */
        *tail += left;
    }
    return record_at(ring, *tail);
}

void
capture_put(struct capture *capture, uint32_t index, const struct bp_iovec *iov, uint32_t iov_count,
            struct capture_record record)
{
    struct capture_ring *ring = &capture->rings[index];
    struct capture_record *place;
    uint64_t one = 1;
    uint32_t tail;

    atomic_fetch_add_explicit(&ring->seen, 1, memory_order_relaxed);
    record.captured = bp_min_u32(record.original, capture->snap_length);
    record.size = (uint32_t)(sizeof(record) + record.captured + 7) & ~7u;
    place = atomic_load(&capture->failed) ? NULL : reserve(ring, record.size, &tail);
    if (place == NULL) {
        atomic_fetch_add_explicit(&ring->lost, 1, memory_order_relaxed);
        return;
    }
    *place = record;
    (void)bp_net_iov_copy(iov, iov_count, 0, place + 1, record.captured);
    /* Pairs with the acquire of capture_peek(): the frame is there before its place is known. */
    atomic_store_explicit(&ring->tail, tail + record.size, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst); /* the thread says it sleeps, then looks again */
    if (atomic_load_explicit(&capture->sleeping, memory_order_relaxed) &&
        atomic_exchange(&capture->sleeping, 0)) {
        (void)!write(capture->wake, &one, sizeof(one)); /* an eventfd takes it */
    }
}

const struct capture_record *
capture_peek(struct capture_ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

    if (head == atomic_load_explicit(&ring->tail, memory_order_acquire)) {
        return NULL;
    }
    if (record_at(ring, head)->size == 0) {
        head += left_to_end(ring, head);
        atomic_store_explicit(&ring->head, head, memory_order_release);
    }
    return record_at(ring, head);
}

void
capture_pop(struct capture_ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

    atomic_store_explicit(&ring->head, head + record_at(ring, head)->size, memory_order_release);
}
