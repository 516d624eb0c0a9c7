/* SPDX-License-Identifier: Apache-2.0 */
/* The packed ring (virtio 1.2, 2.8). In a descriptor, the 16 bits after the length are the buffer
 * id and the last 16 are the flags: `flags` and `next` of struct virtio_desc change places. */
#include "virtio_internal.h"

#define DESC_BYTES  16u
#define DESC_LENGTH 8u
#define DESC_ID     12u
#define DESC_FLAGS  14u
#define EVENT_INDEX 0u
#define EVENT_FLAGS 2u
#define EVENT_WRAP  0x8000u

static uint32_t
is_available(uint16_t flags, uint32_t wrap)
{
    uint32_t avail = (flags & VIRTIO_DESC_AVAIL) != 0;
    uint32_t used = (flags & VIRTIO_DESC_USED) != 0;

    return avail == wrap && used != wrap;
}

uint32_t
packed_empty(struct bp_virtqueue *queue)
{
    const uint8_t *desc = queue->ring.desc + (size_t)queue->last_avail * DESC_BYTES;

    return !is_available(ring_load16_acquire(desc + DESC_FLAGS), queue->avail_wrap);
}

/* In an indirect table only the WRITE flag means something (2.8.7). */
static int32_t
walk_table(struct bp_virtqueue *queue, struct bp_virtio_chain *chain,
           const struct virtio_desc *pointer)
{
    uint32_t count = 0;
    const uint8_t *table = chain_table(queue, pointer, &count);

    for (uint32_t i = 0; i < count && table != NULL; i++) {
        struct virtio_desc desc = ring_load_desc(table + (size_t)i * DESC_BYTES);
        if (chain_add(queue, chain, &desc, desc.next & VIRTIO_DESC_WRITE) != 0) {
            return -EINVAL;
        }
    }
    return table != NULL ? 0 : -EINVAL;
}

static int32_t
walk(struct bp_virtqueue *queue, struct bp_virtio_chain *chain)
{
    uint32_t at = queue->last_avail;
    uint32_t seen;

    for (seen = 1; seen <= queue->entries; seen++) {
        struct virtio_desc desc = ring_load_desc(queue->ring.desc + (size_t)at * DESC_BYTES);
        uint16_t flags = desc.next;
        int32_t result;

        if ((flags & VIRTIO_DESC_INDIRECT) && (seen > 1 || (flags & VIRTIO_DESC_NEXT))) {
            bp_virtio_broken(queue->virtio, "queue %u: an indirect descriptor in a chain",
                             queue->index);
            return -EINVAL;
        }
        result = flags & VIRTIO_DESC_INDIRECT
                     ? walk_table(queue, chain, &desc)
                     : chain_add(queue, chain, &desc, flags & VIRTIO_DESC_WRITE);
        if (result != 0) {
            return result;
        }
        if (!(flags & VIRTIO_DESC_NEXT)) {
            chain->id = desc.flags; /* of the last one (2.8.6) */
            chain->descriptors = (uint16_t)seen;
            return 0;
        }
        at = at + 1 == queue->entries ? 0 : at + 1;
    }
    bp_virtio_broken(queue->virtio, "queue %u: a chain runs in a circle", queue->index);
    return -EINVAL;
}

static void
advance(const struct bp_virtqueue *queue, uint16_t *position, uint8_t *wrap, uint32_t count)
{
    uint32_t at = *position + count;

    if (at >= queue->entries) {
        at -= queue->entries;
        *wrap ^= 1;
    }
    *position = (uint16_t)at;
}

int32_t
packed_pop(struct bp_virtqueue *queue, struct bp_virtio_chain *chain)
{
    if (packed_empty(queue)) {
        return 0;
    }
    if (walk(queue, chain) != 0) {
        return -EINVAL;
    }
    advance(queue, &queue->last_avail, &queue->avail_wrap, chain->descriptors);
    return 1;
}

void
packed_unpop(struct bp_virtqueue *queue, const struct bp_virtio_chain *chain)
{
    if (queue->last_avail < chain->descriptors) {
        queue->last_avail = (uint16_t)(queue->last_avail + queue->entries);
        queue->avail_wrap ^= 1;
    }
    queue->last_avail = (uint16_t)(queue->last_avail - chain->descriptors);
}

/* The flags make it visible, so they are written last; a batch needs no publication. */
void
packed_use(struct bp_virtqueue *queue, const struct bp_virtio_chain *chain)
{
    uint64_t offset = (uint64_t)queue->used * DESC_BYTES;
    uint8_t *desc = queue->ring.desc + offset;
    uint16_t flags = queue->used_wrap ? VIRTIO_DESC_AVAIL | VIRTIO_DESC_USED : 0;

    if (chain->in_count != 0) {
        flags |= VIRTIO_DESC_WRITE; /* the length means something (2.8.8) */
    }
    ring_store16(desc + DESC_ID, chain->id);
    ring_store32(desc + DESC_LENGTH, chain->written);
    ring_store16_release(desc + DESC_FLAGS, flags);
    bp_ram_mark_dirty(queue->view, queue->ring.desc_gpa + offset, DESC_BYTES);
    advance(queue, &queue->used, &queue->used_wrap, chain->descriptors);
    queue->unsignalled = (uint16_t)(queue->unsignalled + chain->descriptors);
}

uint32_t
packed_publish(struct bp_virtqueue *queue)
{
    uint16_t moved = queue->unsignalled;
    uint16_t flags, event;
    uint16_t index;

    queue->unsignalled = 0;
    /* What is used must be visible before the driver's wish is read (2.8.14). */
    atomic_thread_fence(memory_order_seq_cst);
    flags = ring_load16_acquire(queue->ring.driver + EVENT_FLAGS) & 3;
    if (flags != VIRTIO_EVENT_DESC || !queue->events) {
        return flags != VIRTIO_EVENT_DISABLE;
    }
    /* Positions are put on one line: those before the wrap are negative. */
    event = ring_load16(queue->ring.driver + EVENT_INDEX);
    index = event & (EVENT_WRAP - 1);
    if ((event >> 15) != queue->used_wrap) {
        index = (uint16_t)(index - queue->entries);
    }
    return (uint16_t)(queue->used - index - 1) < moved;
}

void
packed_notify(struct bp_virtqueue *queue, uint32_t on)
{
    uint8_t *event = queue->ring.device;

    if (on && queue->events) {
        ring_store16(event + EVENT_INDEX,
                     (uint16_t)(queue->last_avail | (queue->avail_wrap ? EVENT_WRAP : 0)));
    }
    ring_store16_release(event + EVENT_FLAGS,
                         !on ? VIRTIO_EVENT_DISABLE
                             : (queue->events ? VIRTIO_EVENT_DESC : VIRTIO_EVENT_ENABLE));
    bp_ram_mark_dirty(queue->view, queue->ring.device_gpa, 4);
    if (on) {
        /* The driver makes a descriptor available, then looks whether to notify. */
        atomic_thread_fence(memory_order_seq_cst);
    }
}
