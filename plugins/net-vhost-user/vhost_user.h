/* SPDX-License-Identifier: Apache-2.0 */
/* net-vhost-user from the inside: a driver of the rings that the other end serves. References:
 * QEMU's "Vhost-user Protocol", virtio 1.2, 2.7 and 5.1.6. See docs/adr/0020.
 *
 * All memory that the other end sees is one file of our own: rings and buffers, into which frames
 * are copied. It is read as what a stranger wrote: once, checked, and what the rings hold is known
 * from records of our own.
 *
 * Threads: the session (messages over the socket) belongs to the instance's own loop; a pair of
 * rings to the loop of its queue. The session stops a pair, and starts it, by a call deferred to
 * the pair's loop; as long as it is not running, the rings' memory is the session's. */
#pragma once

#include <backplane/sdk/net.h>
#include <backplane/sdk/net_socket.h>

#include <linux/virtio_ring.h>
#include <stdatomic.h>

#define VU_MAX_PAIRS 16u
#define VU_ENTRIES   512u /* of a ring */
/* Of a buffer: not a power of two, so that first bytes of frames spread over the cache. */
#define VU_BUFFER      2112u
#define VU_BASE        (UINT64_C(1) << 30) /* where the other end sees our memory: any place will do */
#define VU_HEADER      12u                 /* BP_NET_VNET_HEADER and the number of buffers */
#define VU_MAX_BUFFERS 64u                 /* of one frame: more than the longest one needs */
/* Without mergeable buffers each chain takes the longest frame. */
#define VU_LONG_CHAIN 32u

_Static_assert(VU_LONG_CHAIN *VU_BUFFER >= BP_NET_MAX_FRAME + VU_HEADER, "the longest frame fits");

/* Features: virtio 1.2, 5.1.3 and 6. */
#define VU_F_CSUM       (UINT64_C(1) << 0)
#define VU_F_GUEST_CSUM (UINT64_C(1) << 1)
#define VU_F_GUEST_TSO4 (UINT64_C(1) << 7)
#define VU_F_GUEST_TSO6 (UINT64_C(1) << 8)
#define VU_F_GUEST_ECN  (UINT64_C(1) << 9)
#define VU_F_GUEST_UFO  (UINT64_C(1) << 10)
#define VU_F_HOST_TSO4  (UINT64_C(1) << 11)
#define VU_F_HOST_TSO6  (UINT64_C(1) << 12)
#define VU_F_HOST_ECN   (UINT64_C(1) << 13)
#define VU_F_HOST_UFO   (UINT64_C(1) << 14)
#define VU_F_MRG_RXBUF  (UINT64_C(1) << 15)
#define VU_F_MQ         (UINT64_C(1) << 22)
#define VU_F_EVENT_IDX  (UINT64_C(1) << 29)
#define VU_F_PROTOCOL   (UINT64_C(1) << 30)
#define VU_F_VERSION_1  (UINT64_C(1) << 32)
#define VU_F_GUEST_USO4 (UINT64_C(1) << 54)
#define VU_F_GUEST_USO6 (UINT64_C(1) << 55)
#define VU_F_HOST_USO   (UINT64_C(1) << 56)

#define VU_P_MQ        (UINT64_C(1) << 0)
#define VU_P_REPLY_ACK (UINT64_C(1) << 3)
#define VU_P_MTU       (UINT64_C(1) << 4)

struct vhost_user;

/* A ring. What the other end can write to is never asked what a record of our own knows. */
struct vu_ring {
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    uint8_t *buffers;    /* VU_ENTRIES times VU_BUFFER */
    uint64_t buffers_at; /* for the other end */
    uint32_t receives;
    uint16_t avail_index, last_used; /* free running */
    uint16_t base;                   /* where the other end is told to begin */
    uint16_t kicked;                 /* avail_index when it was last told, or looked */
    uint16_t out;                    /* chains that it has, or has used and we have not taken */
    uint16_t events;                 /* EVENT_IDX */
    uint16_t wants_calls;
    uint16_t length[VU_ENTRIES]; /* of a chain that is out and begins here; else 0 */
    uint16_t next[VU_ENTRIES];   /* entry of the same chain */
    uint16_t bytes[VU_ENTRIES];
    uint32_t order[VU_ENTRIES]; /* of chains that are out: when it got them */
    uint32_t next_order;
    uint16_t free[VU_ENTRIES]; /* sending: entries that are in no chain */
    uint16_t free_count;
    int kick; /* eventfd */
};

#define VU_DOWN    0u /* nobody is there: frames go nowhere */
#define VU_PARKED  1u /* the session has the rings: frames wait */
#define VU_RUNNING 2u

struct vu_pair {
    struct vhost_user *vu;
    uint32_t index;
    _Atomic(uint32_t) open;
    _Atomic(uint32_t) loop;
    _Atomic(uint32_t) enabled;
    struct bp_net_queue queue;
    struct vu_ring rx, tx;
    uint32_t chain;  /* entries of a receive chain */
    uint32_t state;  /* VU_...; on the pair's loop */
    uint32_t spoilt; /* the last one to serve the rings lied */
    int call;        /* eventfd, of both rings */
    uint32_t receive_planned;
};

struct vu_message {
    uint32_t request, flags, size;
    uint8_t payload[40];
};

struct vhost_user {
    struct bp_services host;
    struct bp_net_socket sock;
    uint32_t home;
    uint32_t pairs; /* of the options */
    uint32_t mtu;
    int memory; /* memfd */
    uint8_t *map;
    uint64_t map_length;
    uint32_t opened;                            /* pairs. [control] */
    _Atomic(uint32_t) connected;                /* frames flow */
    _Atomic(uint32_t) tx_features, rx_features; /* what the other end can do */
    _Atomic(uint32_t) wanted;                   /* set_features */
    _Atomic(uint64_t) features;                 /* acknowledged */
    _Atomic(uint32_t) visits;                   /* calls on loops of pairs that are under way */
    _Atomic(uint32_t) visit;                    /* what they are for: index of a step */
    _Atomic(uint32_t) change_due;               /* a look at what changed is deferred */
    _Atomic(uint32_t) reports;                  /* of what the other end did wrong, for the log */
    /* The session's. */
    uint64_t offered, protocol;
    uint32_t step, item;
    uint32_t changed;         /* it is to be told anew of rings and features */
    uint32_t fresh;           /* its first round: there is nothing to stop */
    uint32_t awaited;         /* request whose answer is to come; 0: none */
    uint32_t asked;           /* and it is a value, not an acknowledgement */
    struct vu_message out;    /* being sent */
    uint32_t out_at, out_end; /* bytes of it */
    int out_fd;
    uint8_t in[20];
    uint32_t in_count;
    struct vu_pair pair[VU_MAX_PAIRS];
};

/* session.c: on the instance's own loop but for those tagged. */
extern const struct bp_net_socket_ops vu_socket_ops;
/* Something that the other end must know has changed. [any] */
void vu_change(struct vhost_user *vu);
void vu_session_reset(struct vhost_user *vu);
/* The other end broke the protocol in a pair's rings. [loop] of the pair */
void vu_broken(struct vu_pair *pair, const char *what);
/* Says so, a few times. [any] */
void vu_complain(struct vhost_user *vu, const char *what);

/* steps.c: what is said in a session, in order. */
struct vu_step {
    /* Makes message number `item`. Returns 0: there are no more. */
    uint32_t (*build)(struct vhost_user *vu, uint32_t item, struct vu_message *message, int *fd);
    /* Takes the answer's value. Negative: it will not do, said so. NULL: no answer is asked for. */
    int32_t (*answer)(struct vhost_user *vu, uint32_t item, uint64_t value);
    /* Or: done for each open pair, on its loop. */
    void (*visit)(struct vu_pair *pair);
    uint32_t before_ack; /* cannot be acknowledged yet */
};
extern const struct vu_step vu_steps[];
extern const uint32_t vu_step_count, vu_step_again; /* where a change of a session begins */

/* ring.c: on the pair's loop. */
uint64_t vu_ring_bytes(void);
/* Lays a ring out in its memory, which the other end sees at `at`. */
void vu_ring_place(struct vu_ring *ring, uint8_t *memory, uint64_t at, uint32_t receives);
/* Makes it ready for somebody who is told to begin at `base`: what the last one did not use is
 * there again, in its order. believe: what it used and we have not taken counts. */
void vu_ring_rewind(struct vu_ring *ring, uint32_t events, uint32_t believe);
/* Forgets all chains. */
void vu_ring_forget(struct vu_ring *ring);
/* Shows the other end a chain, made by next[] and bytes[], of `count` entries. */
void vu_ring_add(struct vu_ring *ring, uint32_t head, uint32_t count);
/* Tells it, if it wants to be told. */
void vu_ring_kick(struct vu_ring *ring);
/* Chains it used and we have not taken; negative: more than it had. */
int32_t vu_ring_used(const struct vu_ring *ring);
/* Number `ahead` of them. -EPROTO: it did not have that one. */
int32_t vu_ring_peek(const struct vu_ring *ring, uint32_t ahead, uint32_t *head, uint32_t *length);
/* The next of them, as peeked, is ours again. */
void vu_ring_take(struct vu_ring *ring, uint32_t head);
/* Whether it shall call when it has used something. */
void vu_ring_wish(struct vu_ring *ring, uint32_t calls);

static inline uint8_t *
vu_ring_buffer(const struct vu_ring *ring, uint32_t entry)
{
    return ring->buffers + (size_t)entry * VU_BUFFER;
}

/* data.c: on the pair's loop. */
void vu_pair_prepare(struct vu_pair *pair);
uint32_t vu_transmit(struct vu_pair *pair, const struct bp_net_frame *frames, uint32_t count);
void vu_receive(struct vu_pair *pair);
/* Buffers were posted. */
void vu_posted(struct vu_pair *pair);
/* The call eventfd. */
void vu_called(void *opaque, uint32_t events);
int32_t vu_poll(void *opaque, uint32_t phase);
