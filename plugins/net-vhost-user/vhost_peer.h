/* SPDX-License-Identifier: Apache-2.0 */
/* The other end of a vhost-user socket, for tests: it answers on a thread, and serves rings when it
 * is told to. It is as good or as bad as its settings. */
#pragma once

#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdint.h>

#define PEER_RINGS 8u

struct peer_ring {
    uint32_t entries, base, enabled, started;
    uint64_t desc, used, avail; /* as told */
    uint16_t next;              /* of avail */
    int kick, call;
};

struct vhost_peer {
    /* Settings, before it starts. */
    uint64_t features, protocol, queues;
    uint32_t refuse;  /* request that is acknowledged with an error */
    uint32_t mistake; /* PEER_... */
    /* What it learnt. */
    pthread_mutex_t lock; /* protects: all of it */
    uint64_t acked, protocol_acked, mtu;
    uint32_t requests[32]; /* how often each came */
    struct peer_ring ring[PEER_RINGS];
    uint8_t *map;
    uint64_t guest_at, user_at, length;
    int fd;
    pthread_t thread;
};

#define PEER_WRONG_REQUEST 1u
#define PEER_LONG_ANSWER   2u
#define PEER_NO_REPLY_FLAG 3u
#define PEER_CHATTERS      4u /* answers what nobody asked */

#define PEER_FEATURES                                                                              \
    (UINT64_C(1) << 0 | UINT64_C(1) << 1 | UINT64_C(1) << 7 | UINT64_C(1) << 11 |                  \
     UINT64_C(1) << 15 | UINT64_C(1) << 22 | UINT64_C(1) << 30 | UINT64_C(1) << 32)
#define PEER_EVENT_IDX (UINT64_C(1) << 29)
#define PEER_MERGE     (UINT64_C(1) << 15)

/* A good one, not started. */
void vhost_peer_init(struct vhost_peer *peer);
/* Serves a connected socket until its other end closes it, or stop. */
void vhost_peer_start(struct vhost_peer *peer, int fd);
void vhost_peer_stop(struct vhost_peer *peer);
/* Rings that run. */
uint32_t vhost_peer_running(struct vhost_peer *peer);

/* Takes a frame that was sent through a ring, with its 12 bytes before it. Returns its length, 0:
 * there is none. use: 0 leaves the buffer out. */
uint32_t vhost_peer_take(struct vhost_peer *peer, uint32_t ring, void *data, uint32_t size);
/* Uses as many buffers as `data`, header first, needs. Returns 0: there are too few. */
int vhost_peer_give(struct vhost_peer *peer, uint32_t ring, const void *data, uint32_t length);
struct vring_used *vhost_peer_used(struct vhost_peer *peer, uint32_t ring);
void vhost_peer_call(struct vhost_peer *peer, uint32_t ring);
