/* SPDX-License-Identifier: Apache-2.0 */
/* Frames through the rings, each behind a header of VU_HEADER bytes: copied into our memory, copied
 * out of it. See vhost_user.h. */
#include "vhost_user.h"

#include <string.h>
#include <unistd.h>

#define NUM_BUFFERS   BP_NET_VNET_HEADER /* offset in the header: two bytes */
#define CHAINS_A_TURN 256u               /* then others on the loop have theirs */

/* --- to the other end ------------------------------------------------------------------------ */

static void
free_chain(struct vu_ring *ring, uint32_t head)
{
    uint32_t count = ring->length[head], entry = head;

    vu_ring_take(ring, head);
    for (; count > 0; count--) {
        ring->free[ring->free_count++] = (uint16_t)entry;
        entry = ring->next[entry];
    }
}

/* Takes back what was sent. Returns 0: the other end does not keep to its ring. */
static int
reclaim(struct vu_pair *pair)
{
    struct vu_ring *ring = &pair->tx;
    int32_t count = vu_ring_used(ring);
    uint32_t head, length;

    for (; count > 0; count--) {
        if (vu_ring_peek(ring, 0, &head, &length) != 0) {
            count = -1;
            break;
        }
        free_chain(ring, head);
    }
    if (count < 0) {
        vu_broken(pair, "used frames that it had not");
    }
    return count == 0;
}

/* Bytes of the header and the frame into one entry's buffer, from `at` on. */
static uint32_t
fill(struct vu_ring *ring, uint32_t entry, const struct bp_net_frame *frame, uint64_t at)
{
    uint8_t *to = vu_ring_buffer(ring, entry);
    uint32_t begin = 0;

    if (at == 0) {
        memset(to, 0, VU_HEADER);
        bp_net_vnet_write(frame, to);
        begin = VU_HEADER;
    } else {
        at -= VU_HEADER;
    }
    ring->bytes[entry] = (uint16_t)(begin + bp_net_iov_copy(frame->iov, frame->iov_count, at,
                                                            to + begin, VU_BUFFER - begin));
    return ring->bytes[entry];
}

/* Returns 0: there is no room. */
static int
send_one(struct vu_ring *ring, const struct bp_net_frame *frame)
{
    uint64_t size = VU_HEADER + frame->length, at = 0;
    uint32_t count = (uint32_t)((size + VU_BUFFER - 1) / VU_BUFFER), entry, head, i;

    if (count > ring->free_count) {
        return 0;
    }
    entry = head = ring->free[--ring->free_count];
    for (i = 0; i < count; i++) {
        at += fill(ring, entry, frame, at);
        if (i + 1 < count) {
            ring->next[entry] = ring->free[--ring->free_count];
            entry = ring->next[entry];
        }
    }
    vu_ring_add(ring, head, count);
    return 1;
}

/* Returns how many are gone, or will not go. */
static uint32_t
send_some(struct vu_pair *pair, const struct bp_net_frame *frames, uint32_t count)
{
    uint32_t features = atomic_load_explicit(&pair->vu->tx_features, memory_order_relaxed), i;

    for (i = 0; i < count; i++) {
        if (bp_net_frame_ok(&frames[i], features) && !send_one(&pair->tx, &frames[i])) {
            break;
        }
    }
    return i;
}

uint32_t
vu_transmit(struct vu_pair *pair, const struct bp_net_frame *frames, uint32_t count)
{
    uint32_t done = 0;

    if (pair->state != VU_RUNNING) {
        return pair->state == VU_DOWN ? count : 0;
    }
    if (!reclaim(pair)) {
        return count;
    }
    done = send_some(pair, frames, count);
    if (done < count) { /* it shall call when there is room; unless there is by now */
        vu_ring_kick(&pair->tx);
        vu_ring_wish(&pair->tx, 1);
        if (vu_ring_used(&pair->tx) != 0 && reclaim(pair)) {
            done += send_some(pair, frames + done, count - done);
        }
    }
    vu_ring_kick(&pair->tx);
    return done;
}

static void
make_room(struct vu_pair *pair)
{
    if (pair->queue.wants_room && vu_ring_used(&pair->tx) != 0 && reclaim(pair)) {
        vu_ring_wish(&pair->tx, 0);
        bp_net_tx_room(&pair->queue);
    }
}

/* --- from the other end ---------------------------------------------------------------------- */

/* A frame in the ring: its buffers, as they were used. */
struct found {
    uint32_t heads[VU_MAX_BUFFERS];
    struct bp_iovec iov[VU_MAX_BUFFERS * VU_LONG_CHAIN];
    uint32_t buffers, pieces;
    uint64_t length; /* without the header */
    uint8_t header[VU_HEADER];
};

static int32_t
add_chain(const struct vu_pair *pair, uint32_t head, uint32_t length, struct found *found)
{
    const struct vu_ring *ring = &pair->rx;
    uint32_t i, skip = found->buffers == 0 ? VU_HEADER : 0;

    for (i = 0; i < found->buffers; i++) {
        if (found->heads[i] == head) {
            return -EPROTO;
        }
    }
    if (length > pair->chain * VU_BUFFER || length <= skip) {
        return -EPROTO;
    }
    found->heads[found->buffers++] = head;
    found->length += length - skip;
    /* Buffers of a long chain lie side by side. */
    found->iov[found->pieces++] =
        (struct bp_iovec){vu_ring_buffer(ring, head) + skip, length - skip};
    return 0;
}

/* Looks for the next frame, whose buffers are used all at once. Returns 1; 0: none; negative: it
 * breaks the rules. */
static int32_t
find_frame(const struct vu_pair *pair, struct found *found)
{
    const struct vu_ring *ring = &pair->rx;
    int32_t there = vu_ring_used(ring), result = 0;
    uint32_t wanted = 1, head, length, i;

    found->buffers = found->pieces = 0;
    found->length = 0;
    if (there <= 0) {
        return there;
    }
    for (i = 0; i < wanted && result == 0; i++) {
        result = i < (uint32_t)there ? vu_ring_peek(ring, i, &head, &length) : -EPROTO;
        if (i == 0 && result == 0) {
            memcpy(found->header, vu_ring_buffer(ring, head), VU_HEADER);
            wanted = pair->chain == 1 ? (uint32_t)bp_load_le(found->header + NUM_BUFFERS, 2) : 1;
            wanted = wanted == 0 ? 1 : wanted; /* some leave it at that */
        }
        if (result == 0) {
            result = i < VU_MAX_BUFFERS ? add_chain(pair, head, length, found) : -EPROTO;
        }
    }
    return result == 0 ? 1 : result;
}

static void
give_back(struct vu_pair *pair, const struct found *found)
{
    for (uint32_t i = 0; i < found->buffers; i++) {
        vu_ring_take(&pair->rx, found->heads[i]);
        vu_ring_add(&pair->rx, found->heads[i], pair->chain);
    }
}

/* Moves a frame into posted buffers. Returns 0: none is there, or too few. */
static int
deliver_one(struct vu_pair *pair, const struct found *found)
{
    uint32_t wanted = atomic_load_explicit(&pair->vu->wanted, memory_order_relaxed);
    struct bp_net_frame frame = {
        .iov = found->iov, .iov_count = found->pieces, .length = found->length};

    if (found->length > BP_NET_MAX_FRAME ||
        !bp_net_vnet_read(found->header, wanted, &frame.offload) ||
        !bp_net_frame_ok(&frame, wanted)) {
        return 1; /* nothing that the consumer could make use of */
    }
    return bp_net_rx_gather(&pair->queue, found->iov, found->pieces, (uint32_t)found->length,
                            &frame.offload) != 0;
}

/* Moves frames until there are none, or no posted buffers. Returns how many. */
static uint32_t
move_frames(struct vu_pair *pair)
{
    struct found found;
    uint32_t frames = 0;
    int32_t result = 1;

    while (frames < CHAINS_A_TURN) {
        result = find_frame(pair, &found);
        if (result <= 0 || !deliver_one(pair, &found)) {
            break;
        }
        give_back(pair, &found);
        frames++;
    }
    bp_net_rx_deliver(&pair->queue); /* may post more */
    if (result < 0) {
        vu_broken(pair, "wrote a ring that cannot be");
    }
    return frames;
}

static void
receive_later(void *opaque)
{
    struct vu_pair *pair = opaque;

    pair->receive_planned = 0;
    if (atomic_load(&pair->open)) {
        vu_receive(pair);
    }
}

static void
plan(struct vu_pair *pair)
{
    const struct bp_services *host = &pair->vu->host;

    if (!pair->receive_planned) {
        pair->receive_planned =
            host->loop->defer(host->instance, atomic_load(&pair->loop), receive_later, pair) == 0;
    }
}

void
vu_posted(struct vu_pair *pair)
{
    if (pair->state != VU_PARKED && vu_ring_used(&pair->rx) != 0) {
        plan(pair);
    }
}

void
vu_receive(struct vu_pair *pair)
{
    if (pair->state == VU_PARKED || move_frames(pair) == 0) {
        return;
    }
    if (pair->state == VU_RUNNING) {
        vu_ring_kick(&pair->rx);
    }
    /* The index that asks for a call before a look at what needs none. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (vu_ring_used(&pair->rx) > 0 && bp_net_queue_posted(&pair->queue) > 0) {
        plan(pair);
    }
}

/* --- being called ---------------------------------------------------------------------------- */

void
vu_called(void *opaque, uint32_t events)
{
    struct vu_pair *pair = opaque;
    uint64_t count;

    (void)!read(pair->call, &count, sizeof(count)); /* a poll comes without one */
    if (pair->state != VU_PARKED) {
        make_room(pair);
        vu_receive(pair);
    }
}

int32_t
vu_poll(void *opaque, uint32_t phase)
{
    struct vu_pair *pair = opaque;

    if (pair->state != VU_RUNNING) {
        return 0;
    }
    if (phase != BP_POLL_LOOK) {
        vu_ring_wish(&pair->rx, phase == BP_POLL_END);
    }
    return (vu_ring_used(&pair->rx) > 0 && bp_net_queue_posted(&pair->queue) > 0) ||
           (pair->queue.wants_room && vu_ring_used(&pair->tx) != 0);
}

/* --- a new round ----------------------------------------------------------------------------- */

/* Features are known, and the other end touches nothing: its rings as it is to find them. */
void
vu_pair_prepare(struct vu_pair *pair)
{
    uint64_t features = atomic_load(&pair->vu->features);
    uint32_t chain = (features & VU_F_MRG_RXBUF) != 0 ? 1 : VU_LONG_CHAIN, head, i;
    struct vu_ring *rx = &pair->rx;

    if (chain != pair->chain) { /* another kind of other end: what the last one left is lost */
        vu_ring_forget(rx);
        pair->chain = chain;
    }
    for (i = 0; i < VU_ENTRIES; i++) {
        rx->next[i] = (uint16_t)((i + 1) % VU_ENTRIES);
        rx->bytes[i] = VU_BUFFER;
    }
    vu_ring_rewind(rx, (features & VU_F_EVENT_IDX) != 0, !pair->spoilt);
    for (head = 0; head < VU_ENTRIES; head += chain) {
        if (rx->length[head] == 0) {
            vu_ring_add(rx, head, chain);
        }
    }
    vu_ring_wish(rx, 1);
    vu_ring_rewind(&pair->tx, (features & VU_F_EVENT_IDX) != 0, !pair->spoilt);
    pair->spoilt = 0;
}
