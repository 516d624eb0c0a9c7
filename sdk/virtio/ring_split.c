/* SPDX-License-Identifier: Apache-2.0 */
/* The split ring (virtio 1.2, 2.7). */
#include "virtio_internal.h"

#define DESC_BYTES  16u
#define RING_FLAGS  0u
#define RING_INDEX  2u
#define RING_ENTRY  4u
#define AVAIL_BYTES 2u /* an entry */
#define USED_BYTES  8u

/* New entries; never more than the ring has. */
static int32_t
available(struct bp_virtqueue *queue)
{
    uint16_t count = (uint16_t)(queue->avail_seen - queue->last_avail);

    if (count != 0) {
        return count;
    }
    /* Acquire: the entries and descriptors were written before the index (2.7.13.3). */
    queue->avail_seen = ring_load16_acquire(queue->ring.driver + RING_INDEX);
    count = (uint16_t)(queue->avail_seen - queue->last_avail);
    if (count > queue->entries) {
        bp_virtio_broken(queue->virtio, "queue %u: %u entries are available in a ring of %u",
                         queue->index, count, queue->entries);
        return -EINVAL;
    }
    return count;
}

uint32_t
split_empty(struct bp_virtqueue *queue)
{
    return available(queue) <= 0;
}

struct walk {
    const uint8_t *table;
    uint32_t count; /* entries of the table */
    uint32_t at;
    uint32_t seen;
    uint32_t indirect;
};

/* 2.7.5.3.1: a table is not in a table, and ends the chain. */
static int32_t
enter_table(struct bp_virtqueue *queue, struct walk *walk, const struct virtio_desc *desc)
{
    if (walk->indirect || (desc->flags & VIRTIO_DESC_NEXT)) {
        bp_virtio_broken(queue->virtio, "queue %u: an indirect descriptor %s", queue->index,
                         walk->indirect ? "in an indirect table" : "with a next one");
        return -EINVAL;
    }
    walk->table = chain_table(queue, desc, &walk->count);
    walk->indirect = 1;
    walk->at = walk->seen = 0;
    return walk->table != NULL ? 1 : -EINVAL;
}

static int32_t
go_to_next(struct bp_virtqueue *queue, struct walk *walk, const struct virtio_desc *desc)
{
    if (!(desc->flags & VIRTIO_DESC_NEXT)) {
        return 0;
    }
    walk->at = desc->next;
    walk->seen++;
    if (walk->at >= walk->count || walk->seen >= walk->count) {
        bp_virtio_broken(queue->virtio, "queue %u: a chain %s", queue->index,
                         walk->at >= walk->count ? "leaves its table" : "runs in a circle");
        return -EINVAL;
    }
    return 1;
}

/* Follows a chain through the table it starts in, then through an indirect one at most. */
static int32_t
follow(struct bp_virtqueue *queue, struct bp_virtio_chain *chain)
{
    struct walk walk = {.table = queue->ring.desc, .count = queue->entries, .at = chain->id};
    int32_t more = 1;

    while (more > 0) {
        struct virtio_desc desc = ring_load_desc(walk.table + (size_t)walk.at * DESC_BYTES);

        if (desc.flags & VIRTIO_DESC_INDIRECT) {
            more = enter_table(queue, &walk, &desc);
        } else {
            more = chain_add(queue, chain, &desc, desc.flags & VIRTIO_DESC_WRITE);
            more = more == 0 ? go_to_next(queue, &walk, &desc) : more;
        }
    }
    return more;
}

int32_t
split_pop(struct bp_virtqueue *queue, struct bp_virtio_chain *chain)
{
    int32_t count = available(queue);
    uint32_t at = queue->last_avail % queue->entries;

    if (count <= 0) {
        return count;
    }
    chain->id = ring_load16(queue->ring.driver + RING_ENTRY + (size_t)at * AVAIL_BYTES);
    chain->descriptors = 1;
    if (chain->id >= queue->entries) {
        bp_virtio_broken(queue->virtio, "queue %u: descriptor %u in a table of %u", queue->index,
                         chain->id, queue->entries);
        return -EINVAL;
    }
    if (follow(queue, chain) != 0) {
        return -EINVAL;
    }
    queue->last_avail++;
    return 1;
}

void
split_unpop(struct bp_virtqueue *queue, const struct bp_virtio_chain *chain)
{
    queue->last_avail--;
}

void
split_use(struct bp_virtqueue *queue, const struct bp_virtio_chain *chain)
{
    uint32_t at = RING_ENTRY + queue->used % queue->entries * USED_BYTES;

    ring_store32(queue->ring.device + at, chain->id);
    ring_store32(queue->ring.device + at + 4, chain->written);
    bp_ram_mark_dirty(queue->view, queue->ring.device_gpa + at, USED_BYTES);
    queue->used++;
    queue->unsignalled++;
}

uint32_t
split_publish(struct bp_virtqueue *queue)
{
    uint16_t moved = queue->unsignalled;
    uint16_t event;

    ring_store16_release(queue->ring.device + RING_INDEX, queue->used);
    bp_ram_mark_dirty(queue->view, queue->ring.device_gpa, RING_ENTRY);
    queue->unsignalled = 0;
    /* The index must be visible before the driver's wish is read: it writes that, then looks at the
     * index (2.7.7.2). */
    atomic_thread_fence(memory_order_seq_cst);
    if (queue->events) {
        event = ring_load16(queue->ring.driver + RING_ENTRY + (size_t)queue->entries * AVAIL_BYTES);
        return (uint16_t)(queue->used - event - 1) < moved;
    }
    if (virtio_has(queue->virtio, BP_VIRTIO_F_NOTIFY_ON_EMPTY) && queue->in_flight == 0 &&
        split_empty(queue)) {
        return 1;
    }
    return !(ring_load16(queue->ring.driver + RING_FLAGS) & VIRTIO_AVAIL_NO_INTERRUPT);
}

/* With event indices, one that stays behind says "do not notify". */
void
split_notify(struct bp_virtqueue *queue, uint32_t on)
{
    uint32_t event = RING_ENTRY + queue->entries * USED_BYTES;

    if (queue->events) {
        ring_store16(queue->ring.device + event, (uint16_t)(queue->last_avail - !on));
        bp_ram_mark_dirty(queue->view, queue->ring.device_gpa + event, 2);
    } else {
        ring_store16(queue->ring.device + RING_FLAGS, on ? 0 : VIRTIO_USED_NO_NOTIFY);
        bp_ram_mark_dirty(queue->view, queue->ring.device_gpa, 2);
    }
    if (on) {
        /* The driver writes its index, then looks whether to notify; this side the other way
         * round (2.7.10). */
        atomic_thread_fence(memory_order_seq_cst);
    }
}
