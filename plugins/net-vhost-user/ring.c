/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's side of a split ring (virtio 1.2, 2.7). See vhost_user.h. */
#include "vhost_user.h"

#include <string.h>
#include <unistd.h>

#define PAGE 4096u

static uint64_t
whole_pages(uint64_t bytes)
{
    return (bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

/* flags, index, entries, and the index of the event in the last two bytes. */
#define AVAIL_BYTES (4 + VU_ENTRIES * sizeof(uint16_t) + 2)
#define USED_BYTES  (4 + VU_ENTRIES * sizeof(struct vring_used_elem) + 2)

uint64_t
vu_ring_bytes(void)
{
    return whole_pages(VU_ENTRIES * sizeof(struct vring_desc)) + whole_pages(AVAIL_BYTES) +
           whole_pages(USED_BYTES) + whole_pages((uint64_t)VU_ENTRIES * VU_BUFFER);
}

void
vu_ring_place(struct vu_ring *ring, uint8_t *memory, uint64_t at, uint32_t receives)
{
    const uint8_t *begin = memory;

    ring->receives = receives;
    ring->desc = (void *)memory;
    memory += whole_pages(VU_ENTRIES * sizeof(struct vring_desc));
    ring->avail = (void *)memory;
    memory += whole_pages(AVAIL_BYTES);
    ring->used = (void *)memory;
    memory += whole_pages(USED_BYTES);
    ring->buffers = memory;
    ring->buffers_at = at + (uint64_t)(memory - begin);
    vu_ring_forget(ring);
}

static uint16_t *
used_event(const struct vu_ring *ring)
{
    return &ring->avail->ring[VU_ENTRIES];
}

static const uint16_t *
avail_event(const struct vu_ring *ring)
{
    return (const uint16_t *)(const void *)&ring->used->ring[VU_ENTRIES];
}

static uint16_t
load(const uint16_t *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static void
store(uint16_t *at, uint32_t value)
{
    __atomic_store_n(at, (uint16_t)value, __ATOMIC_RELEASE);
}

static void
write_chain(struct vu_ring *ring, uint32_t head)
{
    uint32_t entry = head, left;

    for (left = ring->length[head]; left > 0; left--) {
        ring->desc[entry] = (struct vring_desc){
            .addr = ring->buffers_at + (uint64_t)entry * VU_BUFFER,
            .len = ring->bytes[entry],
            .flags = (uint16_t)((ring->receives ? VRING_DESC_F_WRITE : 0) |
                                (left > 1 ? VRING_DESC_F_NEXT : 0)),
            .next = ring->next[entry],
        };
        entry = ring->next[entry];
    }
}

void
vu_ring_forget(struct vu_ring *ring)
{
    memset(ring->length, 0, sizeof(ring->length));
    ring->out = 0;
    ring->last_used = load(&ring->used->idx);
    for (uint32_t i = 0; i < VU_ENTRIES; i++) {
        ring->free[i] = (uint16_t)(VU_ENTRIES - 1 - i);
    }
    ring->free_count = VU_ENTRIES;
}

/* Marks what was used and not taken. Nonsense there is as good as nothing. */
static uint32_t
mark_used(struct vu_ring *ring, uint32_t believe, uint8_t *used)
{
    int32_t count = believe ? vu_ring_used(ring) : -EPROTO, i;
    uint32_t head, length;

    memset(used, 0, VU_ENTRIES);
    for (i = 0; i < count; i++) {
        if (vu_ring_peek(ring, (uint32_t)i, &head, &length) != 0 || used[head]) {
            count = -EPROTO;
            break;
        }
        used[head] = 1;
    }
    if (count < 0) {
        memset(used, 0, VU_ENTRIES);
        store(&ring->used->idx, ring->last_used);
        return 0;
    }
    return (uint32_t)count;
}

/* The chains it still has, oldest first. */
static uint32_t
list_unused(const struct vu_ring *ring, const uint8_t *used, uint16_t *heads)
{
    uint32_t count = 0, i, k;

    for (i = 0; i < VU_ENTRIES; i++) {
        if (ring->length[i] == 0 || used[i]) {
            continue;
        }
        for (k = count++; k > 0 && (int32_t)(ring->order[heads[k - 1]] - ring->order[i]) > 0; k--) {
            heads[k] = heads[k - 1];
        }
        heads[k] = (uint16_t)i;
    }
    return count;
}

void
vu_ring_rewind(struct vu_ring *ring, uint32_t events, uint32_t believe)
{
    uint16_t heads[VU_ENTRIES];
    uint8_t used[VU_ENTRIES];
    uint32_t pending = mark_used(ring, believe, used), count = list_unused(ring, used, heads), i;

    ring->base = (uint16_t)(ring->last_used + pending);
    for (i = 0; i < count; i++) {
        write_chain(ring, heads[i]);
        ring->avail->ring[(uint16_t)(ring->base + i) % VU_ENTRIES] = heads[i];
    }
    ring->events = events != 0;
    ring->avail_index = (uint16_t)(ring->base + count);
    ring->kicked = ring->base;
    store(&ring->avail->idx, ring->avail_index);
    vu_ring_wish(ring, ring->wants_calls);
}

void
vu_ring_add(struct vu_ring *ring, uint32_t head, uint32_t count)
{
    ring->length[head] = (uint16_t)count;
    ring->order[head] = ring->next_order++;
    ring->out++;
    write_chain(ring, head);
    ring->avail->ring[ring->avail_index++ % VU_ENTRIES] = (uint16_t)head;
    store(&ring->avail->idx, ring->avail_index);
}

void
vu_ring_kick(struct vu_ring *ring)
{
    const uint64_t one = 1;
    uint16_t from = ring->kicked;
    uint32_t wanted;

    if (from == ring->avail_index) {
        return;
    }
    ring->kicked = ring->avail_index;
    /* What it sees of the ring before what we see of its wish (2.7.13.4.1). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    wanted = ring->events ? vring_need_event(load(avail_event(ring)), ring->avail_index, from)
                          : (load(&ring->used->flags) & VRING_USED_F_NO_NOTIFY) == 0;
    if (wanted) {
        (void)!write(ring->kick, &one, sizeof(one)); /* full: it has been told often enough */
    }
}

int32_t
vu_ring_used(const struct vu_ring *ring)
{
    uint16_t count = (uint16_t)(load(&ring->used->idx) - ring->last_used);

    return count <= ring->out ? count : -EPROTO;
}

int32_t
vu_ring_peek(const struct vu_ring *ring, uint32_t ahead, uint32_t *head, uint32_t *length)
{
    const struct vring_used_elem *at =
        &ring->used->ring[(uint16_t)(ring->last_used + ahead) % VU_ENTRIES];

    *head = __atomic_load_n(&at->id, __ATOMIC_RELAXED);
    *length = __atomic_load_n(&at->len, __ATOMIC_RELAXED);
    return *head < VU_ENTRIES && ring->length[*head] != 0 ? 0 : -EPROTO;
}

void
vu_ring_take(struct vu_ring *ring, uint32_t head)
{
    ring->length[head] = 0;
    ring->out--;
    ring->last_used++;
    if (ring->events && ring->wants_calls) {
        store(used_event(ring), ring->last_used);
    }
}

/* An event index half the range behind is not reached soon; whoever takes does not look there. */
void
vu_ring_wish(struct vu_ring *ring, uint32_t calls)
{
    ring->wants_calls = calls != 0;
    if (ring->events) {
        store(used_event(ring), calls ? ring->last_used : ring->last_used + 0x8000u);
    }
    store(&ring->avail->flags, calls || ring->events ? 0 : VRING_AVAIL_F_NO_INTERRUPT);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* before we look whether it has used something */
}
