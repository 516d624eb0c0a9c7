/* SPDX-License-Identifier: Apache-2.0 */
/* bp.net/1: Ethernet frames in both directions, provided by backends and filters, consumed by devices
 * and filters.
 *
 * A queue carries both directions. To send, the consumer hands over frames; to receive, it posts
 * buffers, which the backend fills in place. Frames begin with the Ethernet header and have no frame
 * check sequence; short ones are not padded. Buffers lie in guest RAM or in the arena (memory.h).
 *
 * Threads: everything that carries data runs on the queue's loop, in both directions; so neither side
 * needs a lock for a queue.
 *
 * Back-pressure: a backend that can send no more takes fewer frames than it was offered and calls
 * writable() later; one that finds no posted buffer stops reading its source, or keeps a bounded
 * number of frames. A backend whose other end is gone takes frames and drops them, like a cable that
 * ends nowhere.
 *
 * Offloads: what BP_NET_... bits are set in info.tx_features may be left to the backend in frames that
 * are sent; what the consumer sets by set_features may be left to it in frames that it receives. */
#ifndef BACKPLANE_NET_H
#define BACKPLANE_NET_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_NET_ID "bp.net/1"

#define BP_NET_MAX_IOV   512u    /* pieces of one frame, or of one posted buffer */
#define BP_NET_MAX_FRAME 65553u  /* bytes: 65535 after an Ethernet header with one VLAN tag */
#define BP_NET_MAX_DEPTH 4096u   /* frames, or buffers, of one queue at a time */
#define BP_NET_MAX_QUEUES 256u   /* queues of one backend */

#define BP_NET_CSUM (1u << 0) /* TCP and UDP checksums (BP_NET_NEEDS_CSUM) */
#define BP_NET_TSO4 (1u << 1) /* BP_NET_GSO_TCP4; needs CSUM */
#define BP_NET_TSO6 (1u << 2) /* BP_NET_GSO_TCP6; needs CSUM */
#define BP_NET_ECN  (1u << 3) /* TSO with BP_NET_GSO_ECN */
#define BP_NET_UFO  (1u << 4) /* BP_NET_GSO_UDP, by fragments; needs CSUM */
#define BP_NET_USO4 (1u << 5) /* BP_NET_GSO_UDP_L4 over IPv4; needs CSUM */
#define BP_NET_USO6 (1u << 6) /* BP_NET_GSO_UDP_L4 over IPv6; needs CSUM */

/* Flags of an offload record. */
#define BP_NET_NEEDS_CSUM (1u << 0) /* the checksum field holds the pseudo header's sum; the sum from
                                     * csum_start to the end of the frame is still to be put there */
#define BP_NET_DATA_VALID (1u << 1) /* received: the checksums were verified */
#define BP_NET_HAS_HASH   (1u << 2) /* received: hash and hash_type are valid */

#define BP_NET_GSO_NONE   0u
#define BP_NET_GSO_TCP4   1u
#define BP_NET_GSO_UDP    3u /* one datagram to be cut into IP fragments */
#define BP_NET_GSO_TCP6   4u
#define BP_NET_GSO_UDP_L4 5u /* datagrams of gso_size bytes each */
#define BP_NET_GSO_ECN    0x80u /* or-ed to TCP4, TCP6: the first segment has CWR set */

/* What is left to do to a frame, or was done to it. Values in the machine's byte order. Offsets count
 * from the frame's first byte. Frozen: 16 bytes. */
struct bp_net_offload {
    uint8_t flags;         /* BP_NET_NEEDS_CSUM ... */
    uint8_t gso_type;      /* BP_NET_GSO_... */
    uint16_t header_length; /* GSO: bytes up to the payload; a hint, 0: unknown */
    uint16_t gso_size;     /* GSO: payload bytes of one segment, at least 1 */
    uint16_t csum_start;   /* NEEDS_CSUM */
    uint16_t csum_offset;  /* NEEDS_CSUM: of the checksum field, from csum_start */
    uint16_t hash_type;    /* HAS_HASH: as of virtio 1.2, 5.1.6.4.4 */
    uint32_t hash;         /* HAS_HASH */
};

/* A frame to send. Frozen: 64 bytes. */
struct bp_net_frame {
    uint64_t user;              /* given back by transmitted() */
    const struct bp_iovec *iov; /* valid until the frame is taken and done */
    uint32_t iov_count;         /* 1..BP_NET_MAX_IOV */
    uint32_t flags;             /* 0 */
    uint64_t length;            /* bytes: 14..BP_NET_MAX_FRAME; the sum of iov's lengths */
    struct bp_net_offload offload;
    uint64_t reserved[2];
};

/* Flags of a posted buffer. */
#define BP_NET_MERGE (1u << 0) /* a frame that begins here may go on in the next buffer, if that has
                                * the flag, too; else one that does not fit is dropped */

/* A buffer for received frames. A frame begins `headroom` bytes into the first buffer it uses, and at
 * the first byte of each further one. Frozen: 48 bytes. */
struct bp_net_buffer {
    uint64_t user;              /* given back in bp_net_received */
    const struct bp_iovec *iov; /* valid, with the memory, until the buffer comes back */
    uint32_t iov_count;         /* 1..BP_NET_MAX_IOV */
    uint32_t headroom;          /* bytes; less than length */
    uint64_t length;            /* bytes; the sum of iov's lengths */
    uint32_t flags;             /* BP_NET_MERGE */
    uint32_t reserved;
    uint64_t reserved2;
};

#define BP_NET_MORE (1u << 0) /* the frame goes on in the next record's buffer */

/* One filled buffer. The records of one frame come side by side, in one call. Frozen: 48 bytes. */
struct bp_net_received {
    uint64_t user;
    uint32_t length; /* bytes of the frame in this buffer */
    uint32_t flags;  /* BP_NET_MORE */
    uint32_t buffers; /* in the first record of a frame: how many it has; else 0 */
    uint32_t reserved;
    struct bp_net_offload offload; /* in the first record of a frame; else 0 */
    uint64_t reserved2;
};

#define BP_NET_LINK_UP     (1u << 0)
#define BP_NET_HAS_MAC     (1u << 1) /* mac is valid: what the backend wants its guest to use */
#define BP_NET_HALF_DUPLEX (1u << 2)

/* Out struct. */
struct bp_net_info {
    uint32_t size;
    uint32_t flags;       /* BP_NET_LINK_UP ... */
    uint32_t tx_features; /* BP_NET_CSUM ...: may be left to the backend */
    uint32_t rx_features; /* BP_NET_CSUM ...: what it can leave to its consumer, if that wants */
    uint32_t queues;      /* most queues open at a time, at least 1 */
    uint32_t mtu;         /* bytes after the Ethernet header; 0: unknown */
    uint32_t speed;       /* Mbit/s; 0: unknown */
    uint8_t mac[8];       /* 6 bytes, then 0 */
    uint32_t reserved;
};

#define BP_NET_EVENT_LINK     1u /* link, MTU, speed, features may have changed: ask info again */
#define BP_NET_EVENT_ANNOUNCE 2u /* the network has forgotten its guest: it should announce itself */

/* What the consumer offers. */
struct bp_net_client {
    uint32_t size;
    uint32_t flags;
    /* Frames arrived, in the buffers posted first. Never called inside post() or transmit(); both may
     * be called from here.
     * records: count, borrowed.
     * [loop] the queue's loop. */
    void (*receive)(void *opaque, const struct bp_net_received *records, uint32_t count);
    /* Frames that transmit() took but did not finish are done. Never called inside transmit().
     * users: count, borrowed.
     * [loop] the queue's loop. */
    void (*transmitted)(void *opaque, const uint64_t *users, uint32_t count);
    /* After a transmit() that took less than offered there is room again. Never called inside
     * transmit().
     * [loop] the queue's loop. */
    void (*writable)(void *opaque);
    /* Optional. event: BP_NET_EVENT_..., for the backend as a whole: to its first queue.
     * [loop] the queue's loop. */
    void (*event)(void *opaque, uint32_t event);
};

struct bp_net_queue_args {
    uint32_t size;
    uint32_t flags;    /* 0 */
    uint32_t index;    /* 0..info.queues - 1; none is opened twice */
    uint32_t loop;     /* loop of the client's functions, and of transmit, post and flush */
    uint32_t tx_depth; /* most frames in flight: 1..BP_NET_MAX_DEPTH */
    uint32_t rx_depth; /* most posted buffers: 1..BP_NET_MAX_DEPTH */
    const struct bp_net_client *client; /* copied */
    void *opaque;      /* first argument of the client's functions */
};

/* A backend's table. self: the instance; queue: what queue_open made. */
struct bp_net_ops {
    uint32_t size;
    uint32_t flags;

    /* Tells what the network is like, now.
     * info: the caller sets size.
     * [any] */
    int32_t (*info)(void *self, struct bp_net_info *info);
    /* Makes a queue. It receives nothing before a buffer is posted.
     * *queue: untouched on failure; closed by queue_close.
     * [control] -EINVAL: flags, depths, client. -ENOENT: loop, or index beyond info.queues. -EBUSY: the
     * index is open. -ENOMEM. -EMFILE. */
    int32_t (*queue_open)(void *self, const struct bp_net_queue_args *args,
                          void **queue) BP_MUST_CHECK;
    /* Ends a queue, as after a flush.
     * [control] */
    void (*queue_close)(void *self, void *queue);
    /* Says which offloads the consumer takes in frames it receives: none at first. Frames that are on
     * their way may still be of the old kind until a flush.
     * features: some of info.rx_features.
     * [any] -EINVAL: others. */
    int32_t (*set_features)(void *self, uint32_t features) BP_MUST_CHECK;
    /* Hands frames over, in order; the records may be reused when it returns. A frame that is wrong or
     * cannot be delivered is taken and dropped.
     * count: 1 or more. *done: how many of those taken, from the first on, are finished already: their
     * memory is free again. transmitted() tells of the others.
     * Returns how many were taken, from the first on; after fewer than count, writable() will come.
     * [loop] the queue's loop; not inside transmitted(). */
    int32_t (*transmit)(void *self, void *queue, const struct bp_net_frame *frames, uint32_t count,
                        uint32_t *done) BP_MUST_CHECK;
    /* Adds buffers; they are used in this order. The records may be reused when it returns, what iov
     * points to not.
     * Returns how many were taken, from the first on; fewer only when rx_depth is reached.
     * [loop] the queue's loop. */
    int32_t (*post)(void *self, void *queue, const struct bp_net_buffer *buffers,
                    uint32_t count) BP_MUST_CHECK;
    /* Gives everything back: when it returns, no posted buffer and no frame in flight is touched any
     * more, and none of them will be told of by receive() or transmitted(). Frames in flight are sent
     * or dropped. The queue stays open. Synchronous.
     * [loop] the queue's loop, not from a function of the client; a SERIAL consumer may call it from
     * any of its callbacks. */
    void (*flush)(void *self, void *queue);
    /* Optional: whether a queue takes part in receiving, when there are several; all do at first. One
     * that does not gets no further frames; the others get them.
     * enabled: 0 or 1.
     * [loop] the queue's loop. */
    void (*queue_enable)(void *self, void *queue, uint32_t enabled);
};

#ifdef __cplusplus
}
#endif

#endif
