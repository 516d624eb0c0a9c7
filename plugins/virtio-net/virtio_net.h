/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net from the inside. Reference: virtio 1.2, 5.1.
 *
 * A pair is a receive queue and a transmit queue of the driver, both on one loop, and the backend's
 * queue of the same number if there is one. Frames go both ways without a copy: chains of the
 * receive queue are posted to the backend, which fills them; chains of the transmit queue are
 * handed to it.
 *
 * Threads: a pair's work is done on its loop under the virtqueue's lock; the control queue's on its
 * own. What the control queue changes of a pair is `rules`, a copy each, under the pair's own lock.
 */
#pragma once

#include <backplane/nic.h>
#include <backplane/sdk/bits.h>
#include <backplane/sdk/net.h>
#include <backplane/sdk/virtio.h>

#include <pthread.h>
#include <stdatomic.h>

#define NET_MAX_PAIRS 16u
#define SLOT_BACKEND  0u

/* Feature bits (5.1.3). */
#define NET_F_CSUM           (UINT64_C(1) << 0)
#define NET_F_GUEST_CSUM     (UINT64_C(1) << 1)
#define NET_F_CTRL_OFFLOADS  (UINT64_C(1) << 2)
#define NET_F_MTU            (UINT64_C(1) << 3)
#define NET_F_MAC            (UINT64_C(1) << 5)
#define NET_F_GUEST_TSO4     (UINT64_C(1) << 7)
#define NET_F_GUEST_TSO6     (UINT64_C(1) << 8)
#define NET_F_GUEST_ECN      (UINT64_C(1) << 9)
#define NET_F_GUEST_UFO      (UINT64_C(1) << 10)
#define NET_F_HOST_TSO4      (UINT64_C(1) << 11)
#define NET_F_HOST_TSO6      (UINT64_C(1) << 12)
#define NET_F_HOST_ECN       (UINT64_C(1) << 13)
#define NET_F_HOST_UFO       (UINT64_C(1) << 14)
#define NET_F_MRG_RXBUF      (UINT64_C(1) << 15)
#define NET_F_STATUS         (UINT64_C(1) << 16)
#define NET_F_CTRL_VQ        (UINT64_C(1) << 17)
#define NET_F_CTRL_RX        (UINT64_C(1) << 18)
#define NET_F_CTRL_VLAN      (UINT64_C(1) << 19)
#define NET_F_CTRL_RX_EXTRA  (UINT64_C(1) << 20)
#define NET_F_GUEST_ANNOUNCE (UINT64_C(1) << 21)
#define NET_F_MQ             (UINT64_C(1) << 22)
#define NET_F_CTRL_MAC_ADDR  (UINT64_C(1) << 23)
#define NET_F_VQ_NOTF_COAL   (UINT64_C(1) << 52)
#define NET_F_NOTF_COAL      (UINT64_C(1) << 53)
#define NET_F_GUEST_USO4     (UINT64_C(1) << 54)
#define NET_F_GUEST_USO6     (UINT64_C(1) << 55)
#define NET_F_HOST_USO       (UINT64_C(1) << 56)
#define NET_F_HASH_REPORT    (UINT64_C(1) << 57)
#define NET_F_RSS            (UINT64_C(1) << 60)
#define NET_F_SPEED_DUPLEX   (UINT64_C(1) << 63)

/* Configuration space (5.1.4). */
#define NET_CFG_MAC        0u
#define NET_CFG_STATUS     6u
#define NET_CFG_MAX_PAIRS  8u
#define NET_CFG_MTU        10u
#define NET_CFG_SPEED      12u
#define NET_CFG_DUPLEX     16u
#define NET_CFG_KEY_SIZE   17u
#define NET_CFG_TABLE_SIZE 18u
#define NET_CFG_HASHES     20u
#define NET_CFG_BYTES      24u

#define NET_STATUS_LINK_UP  1u
#define NET_STATUS_ANNOUNCE 2u

/* The header of each packet (5.1.6). */
#define NET_HDR_FLAGS       0u
#define NET_HDR_GSO_TYPE    1u
#define NET_HDR_LENGTH      2u
#define NET_HDR_GSO_SIZE    4u
#define NET_HDR_CSUM_START  6u
#define NET_HDR_CSUM_OFFSET 8u
#define NET_HDR_BUFFERS     10u
#define NET_HDR_HASH        12u
#define NET_HDR_REPORT      16u
#define NET_HDR_LEGACY      10u
#define NET_HDR_MERGE       12u
#define NET_HDR_WITH_HASH   20u

#define NET_HASH_TYPES 0x1ffu
#define NET_RSS_TABLE  128u
#define NET_MAX_MACS   64u
#define NET_MAX_USECS  1000000u /* whoever wants no interrupt for longer gets one a second */

#define NET_MODE_PROMISC  (1u << 0)
#define NET_MODE_ALLMULTI (1u << 1)
#define NET_MODE_ALLUNI   (1u << 2)
#define NET_MODE_NOMULTI  (1u << 3)
#define NET_MODE_NOUNI    (1u << 4)
#define NET_MODE_NOBCAST  (1u << 5)

/* Which frames are received, and their hash: set by the control queue. */
struct net_rules {
    uint32_t mode; /* NET_MODE_... */
    uint8_t mac[6];
    uint8_t filter_vlans;
    uint8_t key_length;
    uint32_t unicast,
        multicast; /* addresses in macs[]: unicast ones first; over NET_MAX_MACS: all */
    uint8_t macs[2 * NET_MAX_MACS][6];
    uint64_t vlans[64]; /* bit n of the 4096: VLAN n */
    uint32_t hash_types;
    uint8_t key[BP_NET_HASH_KEY_MAX];
    /* RSS, if `spread`: a frame's pair is table[its hash & table_mask]. */
    uint8_t spread;
    uint16_t unclassified; /* pair of frames without a hash */
    uint16_t table_mask;
    uint16_t table[NET_RSS_TABLE];
};

/* Used chains that wait for more of them or for a timer (NOTF_COAL). */
struct net_coalesce {
    _Atomic(uint32_t) max_packets, max_usecs;
    uint32_t count;
    uint32_t *chains; /* index of each; queue size of them */
    uint32_t *written;
};

#define SOFT_SLOTS  64u
#define SOFT_PIECES 1600u /* BP_NET_MAX_IOV + 3 and more */

/* A frame whose offloads are done here, since the backend lacks them. If it must wait, its chain is
 * held; the frames it becomes that are gone already are not sent again. */
struct net_soft {
    struct bp_virtio_chain *chain; /* NULL: none */
    uint32_t skip;                 /* of the oldest held chain's frames: gone already */
    uint32_t skip_identification;  /* what it was begun with */
    uint32_t identification;
    uint32_t base; /* frames of the chain before those prepared */
    struct bp_net_segmenter segmenter;
    struct bp_net_frame frames[SOFT_SLOTS];
    struct bp_iovec pieces[SOFT_PIECES];
    uint8_t *headers; /* arena: SOFT_SLOTS times BP_NET_SEGMENT_HEADER */
    uint32_t prepared, taken, in_flight;
};

#define STAGE_BUFFERS 256u
#define STAGE_BYTES   4096u
#define STAGE_USER    (UINT64_C(1) << 63)

/* A frame in staging buffers that waits for its pair. */
struct net_staged {
    uint16_t first, count; /* buffers[first], ... by `next` */
    uint16_t target;
    uint8_t report, reserved;
    uint32_t length, hash;
    struct bp_net_offload offload;
};

/* With RSS a frame's pair is known only when it is here. So the backend fills buffers of the
 * card's own, from which frames are copied to the pair they belong to; those whose pair has no
 * buffers wait here. Belongs to the loop of its pair. */
struct net_stage {
    uint8_t *memory; /* arena: STAGE_BUFFERS times STAGE_BYTES */
    struct bp_iovec iov[STAGE_BUFFERS];
    uint16_t next[STAGE_BUFFERS]; /* of the same frame */
    struct net_staged waiting[STAGE_BUFFERS];
    uint32_t count;
    uint32_t epoch;           /* of the net: frames of an earlier driver are not for this one */
    _Atomic(uint32_t) posted; /* the backend has the others */
    _Atomic(uint32_t) has_waiting; /* count > 0 */
    _Atomic(uint32_t) looked_for;  /* a look at it is deferred */
};

/* Receive buffers of a pair that frames are copied to. [queue] */
struct net_ready {
    uint32_t *chains; /* a ring of the queue's greatest size */
    uint32_t head, count;
};

#define PARKED_DETACHED 1u /* no backend */
#define PARKED_QUIET    2u /* quiesced */

struct net;

struct net_pair {
    struct net *net;
    uint32_t index;
    uint32_t loop;
    struct bp_virtqueue *rx, *tx;
    void *queue;         /* the backend's, or NULL */
    uint32_t header;     /* bytes, as negotiated */
    uint32_t merge;      /* BP_NET_MERGE or 0 */
    uint32_t takes_hash; /* HASH_REPORT */
    uint32_t spreads;    /* RSS: receives by way of staging buffers */
    uint32_t is_live;    /* the driver has a receive queue. [queue] */
    uint32_t enabled;    /* the backend knows that its queue takes part; on the loop */
    struct net_coalesce rx_coalesce, tx_coalesce;
    struct net_soft *soft;
    struct net_stage *stage; /* NULL: RSS is not offered */
    struct net_ready ready;

    pthread_mutex_t lock; /* protects: rules */
    struct net_rules rules;
};

struct net {
    struct bp_services host;
    const char *id;
    struct bp_virtio *virtio;
    struct bp_virtqueue *control; /* of the features in force: see net_role() */
    const struct bp_net_ops *ops;
    void *self;                                 /* NULL ops: nothing attached */
    _Atomic(uint32_t) tx_features, rx_features; /* the backend's, as it last said */
    uint32_t queues;
    uint32_t pairs;
    struct net_pair *pair; /* pairs of them */
    uint64_t offered;
    uint32_t rss; /* offered */
    uint32_t mtu;
    uint32_t speed, duplex;
    uint8_t mac[6];
    _Atomic(uint32_t) fragment_id;
    _Atomic(uint32_t) link; /* the operator's wish */
    _Atomic(uint32_t) backend_link;
    _Atomic(uint32_t) announce;
    _Atomic(uint32_t) parked;       /* PARKED_...: nothing is posted */
    _Atomic(uint32_t) settled;      /* the driver's features count: its first queue has started */
    _Atomic(uint32_t) active_pairs; /* that the driver asked for */
    _Atomic(uint64_t) offloads;     /* GUEST_... in force */
    _Atomic(uint32_t) epoch;        /* drivers so far */
    pthread_mutex_t lock;           /* protects: rules. Before a pair's. */
    uint32_t told;                  /* operators know that the rules changed. [lock] */
    struct net_rules rules;         /* the control queue's; pairs have copies */
};

/* virtio_net.c */
int net_has(const struct net *net, uint64_t feature);
int net_link_up(const struct net *net);
/* The operator plugs the cable in or pulls it. [control] */
void net_set_link(struct net *net, uint32_t up);
/* The driver is asked to announce itself, if it can. [any] */
void net_ask_announcement(struct net *net);
/* Writes MAC, status and what else the driver sees. notify: tell the driver. */
void net_show_status(struct net *net, uint32_t notify);
void net_show_mac(struct net *net);
void net_show_all(struct net *net);
/* options.c */
extern const struct bp_prop net_props[];
int32_t net_read_options(struct net *net, const struct bp_node *options);
/* Features an instance offers. modern: those that legacy drivers do not see. */
uint64_t net_features_offered(const struct net *net, const struct bp_node *options);
int32_t net_features_check(uint64_t features);

/* backend.c */
int32_t net_attach(void *self, uint32_t slot, uint32_t use, const struct bp_peer *peer);
void net_detach(void *self, uint32_t slot, uint32_t use);
/* Tells the backend which offloads the driver takes. [any] */
void net_apply_offloads(struct net *net);
/* Tells the backend which of its queues take part, each on its loop. [any] */
void net_apply_pairs(struct net *net);
/* The pair whose backend queue a pair transmits through; NULL: there is none. */
struct net_pair *net_outlet(const struct net_pair *pair);
/* On a backend queue's loop: everything comes back from it. opaque: its pair. */
void net_retract(void *opaque);
void net_retract_all(struct net *net);

/* steer.c: on the pair's loop, but for net_steer_wake(). */
int32_t net_steer_init(struct net_pair *pair);
void net_steer_done(struct net_pair *pair);
/* Takes what the driver made available. [queue] */
void net_steer_run(struct net_pair *pair);
/* Everything came back from the pair's queues. [queue] */
void net_steer_forget(struct net_pair *pair);
/* Has frames that wait, and unposted staging buffers, looked at. [any] */
void net_steer_wake(struct net *net);
void net_steer_receive(struct net_pair *pair, const struct bp_net_received *records,
                       uint32_t count);

/* rx.c: on the pair's loop. */
/* Whether a buffer is longer than the header; if not, the device is broken. [queue] */
int net_rx_fits(struct net_pair *pair, struct bp_virtio_chain *chain);
/* Completes what the driver takes no part in. Returns 0: it cannot have this frame. */
int net_rx_complete(const struct net *net, const struct bp_iovec *iov, uint32_t count,
                    uint64_t from, uint64_t length, struct bp_net_offload *offload);
void net_rx_make_header(const struct net_pair *pair, const struct bp_net_offload *offload,
                        uint32_t buffers, uint32_t hash, uint32_t report, uint8_t *header);
void net_rx_run(struct net_pair *pair);
void net_rx_retry(struct net_pair *pair);
void net_rx_receive(void *opaque, const struct bp_net_received *records, uint32_t count);

/* tx.c: on the outlet's loop. */
void net_tx_run(struct net_pair *pair);
void net_tx_transmitted(void *opaque, const uint64_t *users, uint32_t count);
void net_tx_writable(void *opaque);
/* A frame is done. [queue] */
void net_tx_done(struct net_pair *pair, struct bp_virtio_chain *chain);
/* tx_soft.c. begin: returns 0 if it is not to be sent at all. go_on: 0 if the backend takes no more
 * as yet, or frames are still out. [queue] */
int net_soft_begin(struct net_pair *pair, struct bp_virtio_chain *chain,
                   const struct bp_net_frame *frame, uint32_t is_held);
int net_soft_go_on(struct net_pair *pair, struct net_pair *outlet);

/* Puts the frame that is being sent back among the held chains. [queue] */
void net_soft_hold(struct net_pair *pair);

/* coalesce.c */
/* Gives a chain back now or later. [queue] */
void net_coalesce_push(struct net_pair *pair, struct net_coalesce *coalesce,
                       struct bp_virtio_chain *chain, uint32_t written);
void net_coalesce_flush(struct net_coalesce *coalesce, struct bp_virtqueue *queue);
int32_t net_coalesce_init(struct net_pair *pair);
void net_coalesce_done(struct net_pair *pair);
void net_coalesce_reset(struct net_pair *pair);

/* control.c */
#define NET_ACK_OK    0u
#define NET_ACK_ERROR 1u

/* A command's data, read piece by piece; each byte of the guest's once. */
struct net_command {
    struct bp_virtio_chain *chain;
    uint64_t at;      /* next byte */
    uint32_t written; /* bytes of the result, behind the answer */
};

/* Returns 0 if there is not as much. */
int net_command_take(struct net_command *command, void *data, uint32_t length);
int net_command_number(struct net_command *command, uint32_t width, uint64_t *value);
void net_control_run(struct net *net, struct bp_virtqueue *queue);
void net_rules_reset(struct net *net);
/* Copies the rules to the pairs. */
void net_rules_publish(struct net *net);

/* control_queues.c: commands about pairs and their queues. [net->lock] */
uint32_t net_set_pairs(struct net *net, uint32_t number, struct net_command *command);
uint32_t net_set_coalesce(struct net *net, uint32_t number, struct net_command *command);

/* nic.c */
extern const struct bp_nic_ops net_nic;
/* The guest changed which frames it receives. [net->lock] */
void net_filter_changed(struct net *net);

/* state.c */
extern const struct bp_state_ops net_state;

/* rules.c: whether a frame is for this guest. data: its first length bytes. */
int net_rules_accept(const struct net_rules *rules, const uint8_t *data, uint32_t length);
