/* SPDX-License-Identifier: Apache-2.0 */
/* Help for plugins that provide or consume bp.net/1: queues, headers of frames, checksums,
 * segmentation, hashes. Not ABI. */
#ifndef BACKPLANE_SDK_NET_H
#define BACKPLANE_SDK_NET_H

#include <backplane/sdk/bits.h>
#include <backplane/sdk/services.h>

#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_NET_ETH_HEADER 14u
#define BP_NET_VLAN_TAG   4u

/* --- a backend's queue ---------------------------------------------------------------------------
 */

#define BP_NET_BATCH 64u

/* Posted buffers and the records of those that are filled. One thread: the queue's loop. */
struct bp_net_queue {
    struct bp_net_queue_args args; /* client points to `client` */
    struct bp_net_client client;
    struct bp_net_buffer *ring; /* power of two, at least rx_depth */
    uint32_t ring_mask;
    uint32_t head, tail; /* free running: oldest posted, next free */
    uint32_t batch_count;
    uint32_t wants_room; /* a transmit came short: writable() is due when there is room */
    struct bp_net_received batch[BP_NET_BATCH];
};

/* Takes over the arguments of queue_open by the ABI's size rule. max_queues: info.queues.
 * Returns 0, -EINVAL, -E2BIG, -ENOENT or -ENOMEM. */
int32_t bp_net_queue_init(struct bp_net_queue *queue, const struct bp_net_queue_args *given,
                          uint32_t max_queues) BP_MUST_CHECK;
void bp_net_queue_done(struct bp_net_queue *queue);
/* bp_net_ops.post and the part of flush that is about received frames. */
int32_t bp_net_queue_post(struct bp_net_queue *queue, const struct bp_net_buffer *buffers,
                          uint32_t count);
void bp_net_queue_flush(struct bp_net_queue *queue);

static inline uint32_t
bp_net_queue_posted(const struct bp_net_queue *queue)
{
    return queue->tail - queue->head;
}

/* The place of the next frame: up to max pieces, up to `wanted` bytes.
 * Returns the number of pieces; *room: their bytes. 0: nothing is posted. */
uint32_t bp_net_rx_place(const struct bp_net_queue *queue, struct iovec *iov, uint32_t max,
                         uint64_t wanted, uint64_t *room);
/* A frame of length bytes, at least 1, was put into the last bp_net_rx_place(). */
void bp_net_rx_filled(struct bp_net_queue *queue, uint32_t length,
                      const struct bp_net_offload *offload);
/* Copies a frame into posted buffers. Returns 1; 0: no buffers: try again later; -EMSGSIZE: it is
 * too long for this queue and dropped. */
int32_t bp_net_rx_copy(struct bp_net_queue *queue, const void *data, uint32_t length,
                       const struct bp_net_offload *offload);
/* Likewise a frame in pieces. */
int32_t bp_net_rx_gather(struct bp_net_queue *queue, const struct bp_iovec *from,
                         uint32_t from_count, uint32_t length,
                         const struct bp_net_offload *offload);
/* Gives the client what is filled. Not inside post() or transmit(). */
void bp_net_rx_deliver(struct bp_net_queue *queue);
/* Calls writable() if somebody waits for it. Not inside transmit(). */
void bp_net_tx_room(struct bp_net_queue *queue);
/* Gives an event to the client. On the loop. */
void bp_net_queue_event(struct bp_net_queue *queue, uint32_t event);

/* Fills as much of an out struct as its size says. */
void bp_net_info_copy(struct bp_net_info *to, const struct bp_net_info *from);
/* Whether a frame's pieces, length and offload record can be what they say, with these offloads. */
int bp_net_frame_ok(const struct bp_net_frame *frame, uint32_t features);
/* The header that TAP interfaces and virtio rings have before each frame, in its first form. */
#define BP_NET_VNET_HEADER 10u
/* header: BP_NET_VNET_HEADER bytes. wanted: what the consumer takes. A frame that was on its way
 * while the consumer gave offloads up may still ask for one. Returns 0 then: drop it. */
int bp_net_vnet_read(const uint8_t *header, uint32_t wanted, struct bp_net_offload *offload);
void bp_net_vnet_write(const struct bp_net_frame *frame, uint8_t *header);
/* Copies bytes [from, from + length) of pieces; what lies beyond their end is left out. Returns how
 * many were copied. */
uint64_t bp_net_iov_copy(const struct bp_iovec *iov, uint32_t count, uint64_t from, void *data,
                         uint64_t length);
/* The other way: data to bytes [from, from + length) of pieces. Returns how many were copied. */
uint64_t bp_net_iov_fill(const struct bp_iovec *iov, uint32_t count, uint64_t from,
                         const void *data, uint64_t length);
/* Sub-pieces of [from, from + length): up to max. Returns their number, 0 if they are more. */
uint32_t bp_net_iov_slice(const struct bp_iovec *iov, uint32_t count, uint64_t from,
                          uint64_t length, struct bp_iovec *slice, uint32_t max);

/* Runs func on a loop's thread and waits for it; at once if this is that thread. Not while holding
 * what the loop's callbacks take. */
int32_t bp_net_on_loop(const struct bp_services *services, uint32_t loop,
                       void (*func)(void *opaque), void *opaque) BP_MUST_CHECK;

/* --- frames waiting ------------------------------------------------------------------------------
 */

/* A bounded line of copied frames. One thread. */
struct bp_net_fifo {
    uint8_t *memory;
    uint32_t capacity;   /* bytes, a power of two */
    uint32_t head, tail; /* free running */
    uint32_t count;      /* frames */
};

int32_t bp_net_fifo_init(struct bp_net_fifo *fifo, uint32_t capacity) BP_MUST_CHECK;
void bp_net_fifo_done(struct bp_net_fifo *fifo);
void bp_net_fifo_clear(struct bp_net_fifo *fifo);
/* Whether a frame of length bytes fits. */
int bp_net_fifo_fits(const struct bp_net_fifo *fifo, uint32_t length);
/* Appends a copy. Returns 1, or 0: no room. */
int bp_net_fifo_push(struct bp_net_fifo *fifo, const void *data, uint32_t length,
                     const struct bp_net_offload *offload);
/* The oldest frame, in one piece; NULL: empty. offload: or NULL. */
const uint8_t *bp_net_fifo_peek(const struct bp_net_fifo *fifo, uint32_t *length,
                                struct bp_net_offload *offload);
void bp_net_fifo_pop(struct bp_net_fifo *fifo);
/* Moves frames into posted buffers and delivers them. Returns how many are left. */
uint32_t bp_net_fifo_drain(struct bp_net_fifo *fifo, struct bp_net_queue *queue);

/* --- headers -------------------------------------------------------------------------------------
 */

#define BP_NET_HEADERS_MAX 192u /* bytes of a frame that are looked at */

#define BP_NET_ETH_IP4  0x0800u
#define BP_NET_ETH_IP6  0x86ddu
#define BP_NET_ETH_VLAN 0x8100u
#define BP_NET_ETH_QINQ 0x88a8u

#define BP_NET_IP_TCP 6u
#define BP_NET_IP_UDP 17u

struct bp_net_headers {
    uint16_t ether_type; /* behind the tags */
    uint16_t vlan;       /* id of the first tag, 0..4095; UINT16_MAX: none */
    uint16_t l3;         /* offset of the IP header, 0: no IP */
    uint16_t l4;         /* offset behind the IP headers, 0: unknown or not the first fragment */
    uint16_t payload;    /* offset behind the TCP or UDP header; 0: none of them */
    uint8_t version;     /* 4, 6 or 0 */
    uint8_t protocol;    /* of l4 */
    uint8_t fragment;    /* 1: of a fragmented packet */
    uint8_t next_at;     /* IPv6: offset of the byte, from l3, that names the protocol of l4 */
    uint16_t home;       /* IPv6: offset, in the frame, of a home address option's address, or 0 */
    uint16_t route; /* IPv6: offset, in the frame, of a type 2 routing header's address, or 0 */
};

/* data: the first length bytes of a frame; more than BP_NET_HEADERS_MAX are not needed. */
void bp_net_parse(const uint8_t *data, uint32_t length, struct bp_net_headers *headers);

static inline uint16_t
bp_net_load16(const uint8_t *data)
{
    return (uint16_t)(data[0] << 8 | data[1]);
}

static inline void
bp_net_store16(uint8_t *data, uint32_t value)
{
    data[0] = (uint8_t)(value >> 8);
    data[1] = (uint8_t)value;
}

static inline uint32_t
bp_net_load32(const uint8_t *data)
{
    return (uint32_t)bp_net_load16(data) << 16 | bp_net_load16(data + 2);
}

static inline void
bp_net_store32(uint8_t *data, uint32_t value)
{
    bp_net_store16(data, value >> 16);
    bp_net_store16(data + 2, value);
}

/* --- checksums: RFC 1071 -------------------------------------------------------------------------
 */

/* A sum over pieces: begin with 0, add in order, fold at the end. odd: the number of bytes added so
 * far, modulo 2. */
uint64_t bp_net_sum(const void *data, uint64_t length, uint64_t sum, uint32_t odd);
uint64_t bp_net_sum_iov(const struct bp_iovec *iov, uint32_t count, uint64_t from, uint64_t length,
                        uint64_t sum);
/* The checksum field's value, not yet in network order: store with bp_net_store16(). */
uint16_t bp_net_sum_fold(uint64_t sum);
/* Sum over the pseudo header of TCP or UDP. l3: the IP header. length: bytes from the TCP or UDP
 * header on. */
uint64_t bp_net_pseudo_sum(const uint8_t *l3, uint32_t version, uint32_t protocol, uint32_t length);

/* --- doing a frame's offloads in software --------------------------------------------------------
 */

/* Room for what a segment does not take from the original: the headers, and IPv6's fragment header.
 */
#define BP_NET_SEGMENT_HEADER (BP_NET_HEADERS_MAX + 8u)

struct bp_net_segmenter {
    const struct bp_iovec *iov;
    uint32_t iov_count;
    uint32_t segments;   /* in all */
    uint32_t index;      /* of the next one */
    uint64_t length;     /* of the frame */
    uint32_t header;     /* bytes that each segment repeats */
    uint32_t step;       /* payload bytes of a segment */
    uint64_t payload_at; /* in the frame */
    uint32_t identification;
    struct bp_net_offload offload;
    struct bp_net_headers headers;
    uint8_t head[BP_NET_SEGMENT_HEADER];
};

/* Prepares a frame whose offload record asks for something. identification: for fragments of IPv6,
 * another one each time.
 * Returns the number of frames it becomes, or -EINVAL: its headers do not fit its record. */
int32_t bp_net_segment_begin(struct bp_net_segmenter *segmenter, const struct bp_net_frame *frame,
                             uint32_t identification);
/* The next frame, complete with checksums. header: BP_NET_SEGMENT_HEADER bytes that stay with the
 * frame; iov: room for max pieces, at least the frame's number + 3.
 * Returns 1; 0: that was all. */
int bp_net_segment_next(struct bp_net_segmenter *segmenter, uint8_t *header, struct bp_iovec *iov,
                        uint32_t max, struct bp_net_frame *out);

/* --- receive side scaling: virtio 1.2, 5.1.6.4.3 -------------------------------------------------
 */

#define BP_NET_HASH_KEY_MAX 40u

/* The Toeplitz hash. key: at least length + 4 bytes, zero-padded by the caller. */
uint32_t bp_net_toeplitz(const uint8_t *key, uint32_t key_length, const uint8_t *data,
                         uint32_t length);

/* Bits of virtio's hash types. */
#define BP_NET_HASH_IP4    (1u << 0)
#define BP_NET_HASH_TCP4   (1u << 1)
#define BP_NET_HASH_UDP4   (1u << 2)
#define BP_NET_HASH_IP6    (1u << 3)
#define BP_NET_HASH_TCP6   (1u << 4)
#define BP_NET_HASH_UDP6   (1u << 5)
#define BP_NET_HASH_IP6EX  (1u << 6)
#define BP_NET_HASH_TCP6EX (1u << 7)
#define BP_NET_HASH_UDP6EX (1u << 8)

struct bp_net_hash_rules {
    uint32_t types; /* what is enabled */
    uint32_t key_length;
    const uint8_t *key; /* as for bp_net_toeplitz() */
};

/* The hash of a received frame and its kind. data, length: as for bp_net_parse().
 * Returns the hash report value (1 IPv4 .. 9 UDPv6_EX), 0: none applies, *hash is 0 then. */
uint32_t bp_net_hash(const uint8_t *data, uint32_t length, const struct bp_net_headers *headers,
                     const struct bp_net_hash_rules *rules, uint32_t *hash);

#ifdef __cplusplus
}
#endif

#endif
