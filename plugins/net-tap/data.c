/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between the kernel and the consumer's buffers. */
#include "net_tap.h"

#include <string.h>
#include <sys/uio.h>

#define FRAMES_A_TURN 256u /* then others on the loop have theirs */

void
tap_watch(struct tap_queue *queue, uint32_t events)
{
    const struct bp_services *host = &queue->tap->host;

    if (events != queue->events) {
        queue->events = events;
        host->loop->fd_modify(host->instance, queue->index, events);
    }
}

/* --- to the guest ---------------------------------------------------------------------------- */

/* The longest frame that can be expected: what need not be made room for. */
static uint32_t
longest(const struct net_tap *tap)
{
    const uint32_t large = BP_NET_TSO4 | BP_NET_TSO6 | BP_NET_UFO | BP_NET_USO4 | BP_NET_USO6;

    if ((atomic_load_explicit(&tap->wanted, memory_order_relaxed) & large) != 0) {
        return BP_NET_MAX_FRAME;
    }
    return tap->mtu + BP_NET_ETH_HEADER + BP_NET_VLAN_TAG;
}

/* Puts the pieces of a frame that was longer than what was posted for it into one: it is delivered
 * when more is posted, if it can be merged, and else dropped for good. */
static void
hold(struct tap_queue *queue, const struct iovec *iov, uint32_t count, uint32_t room,
     uint32_t length, const struct bp_net_offload *offload)
{
    uint32_t at = 0, i;

    if (length > BP_NET_MAX_FRAME) {
        return;
    }
    memmove(queue->held + room, queue->held, length - room);
    for (i = 0; i < count && at < room; i++) {
        uint32_t n = bp_min_u32((uint32_t)iov[i].iov_len, room - at);
        memcpy(queue->held + at, iov[i].iov_base, n);
        at += n;
    }
    queue->held_length = length;
    queue->held_offload = *offload;
}

/* Returns 0: it still waits. */
static int
deliver_held(struct tap_queue *queue)
{
    if (queue->held_length > 0 &&
        bp_net_rx_copy(&queue->queue, queue->held, queue->held_length, &queue->held_offload) == 0) {
        return 0;
    }
    queue->held_length = 0;
    return 1;
}

/* Reads one frame. Returns 1; 0: none, or no buffers; negative: the interface is gone. */
static int
read_one(struct tap_queue *queue)
{
    struct net_tap *tap = queue->tap;
    uint8_t header[TAP_HEADER] = {0};
    struct bp_net_offload offload = {0};
    struct iovec iov[BP_NET_MAX_IOV + 2];
    uint64_t room;
    uint32_t first = tap->header != 0, pieces;
    ssize_t n;

    if (!deliver_held(queue)) {
        return 0;
    }
    pieces = bp_net_rx_place(&queue->queue, iov + first, BP_NET_MAX_IOV, longest(tap), &room);
    if (pieces == 0) {
        return 0;
    }
    if (first) {
        iov[0] = (struct iovec){header, sizeof(header)};
    }
    /* The kernel cuts a frame without a word; the piece at the end tells, and keeps what is cut. */
    iov[first + pieces] = (struct iovec){queue->held, BP_NET_MAX_FRAME};
    do {
        n = readv(queue->fd, iov, (int)(first + pieces + 1));
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EAGAIN ? 0 : -errno;
    }
    if (n < (ssize_t)tap->header + (ssize_t)BP_NET_ETH_HEADER ||
        !bp_net_vnet_read(header, atomic_load_explicit(&tap->wanted, memory_order_relaxed),
                          &offload)) {
        return 1;
    }
    n -= (ssize_t)tap->header;
    if ((uint64_t)n > room) {
        hold(queue, iov + first, pieces, (uint32_t)room, (uint32_t)n, &offload);
    } else {
        bp_net_rx_filled(&queue->queue, (uint32_t)n, &offload);
    }
    return 1;
}

static void
interface_gone(struct tap_queue *queue, int error)
{
    struct net_tap *tap = queue->tap;

    tap_watch(queue, 0);
    if (!atomic_exchange(&tap->gone, 1)) {
        bp_warn(&tap->host, "interface '%s' is gone (%s): its link is down", tap->name,
                strerror(error));
        bp_net_queue_event(&queue->queue, BP_NET_EVENT_LINK);
    }
    bp_net_tx_room(&queue->queue); /* what waits can go nowhere: it is dropped */
}

/* Gives the consumer what was read. Returns 1 if it posted what a held frame lacked. */
static int
deliver(struct tap_queue *queue)
{
    bp_net_rx_deliver(&queue->queue);
    if (queue->held_length == 0 || !deliver_held(queue)) {
        return 0;
    }
    bp_net_rx_deliver(&queue->queue);
    return 1;
}

void
tap_read(struct tap_queue *queue)
{
    uint32_t frames = 0;
    int result;

    do {
        result = read_one(queue);
        frames++;
        /* A batch at a time: the consumer posts anew meanwhile. */
        if (result <= 0 || frames % BP_NET_BATCH == 0 || bp_net_queue_posted(&queue->queue) == 0) {
            result = deliver(queue) && result == 0 ? 1 : result;
        }
    } while (result > 0 && frames < FRAMES_A_TURN);
    if (result < 0) {
        interface_gone(queue, -result);
    } else if (result == 0 && (queue->held_length > 0 || bp_net_queue_posted(&queue->queue) == 0)) {
        tap_watch(queue, queue->events & ~BP_FD_IN); /* until something is posted */
    }
}

/* --- from the guest -------------------------------------------------------------------------- */

/* Returns 0: the interface is full. A frame that the kernel refuses (EINVAL), or one for an
 * interface that is down (EIO), is dropped. */
static int
write_one(struct tap_queue *queue, const struct bp_net_frame *frame)
{
    const struct net_tap *tap = queue->tap;
    uint8_t header[TAP_HEADER];
    struct iovec iov[BP_NET_MAX_IOV + 1];
    uint32_t used = 0, i;
    ssize_t n;

    if (!bp_net_frame_ok(frame, tap->features)) {
        return 1;
    }
    if (tap->header != 0) {
        bp_net_vnet_write(frame, header);
        iov[used++] = (struct iovec){header, sizeof(header)};
    }
    for (i = 0; i < frame->iov_count; i++) {
        iov[used++] = (struct iovec){frame->iov[i].base, frame->iov[i].length};
    }
    do {
        n = writev(queue->fd, iov, (int)used);
    } while (n < 0 && errno == EINTR);
    return n >= 0 || errno != EAGAIN;
}

uint32_t
tap_write(struct tap_queue *queue, const struct bp_net_frame *frames, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        if (!atomic_load_explicit(&queue->tap->gone, memory_order_relaxed) &&
            !write_one(queue, &frames[i])) {
            break;
        }
    }
    return i;
}
