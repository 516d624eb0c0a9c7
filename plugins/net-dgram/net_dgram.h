/* SPDX-License-Identifier: Apache-2.0 */
/* net-dgram from the inside: one frame in one datagram, over UDP to one other end, over UDP to a
 * multicast group (as QEMU's socket,mcast), over unix datagram sockets, or over a descriptor. After
 * the making, everything happens on the queue's loop. */
#pragma once

#include <backplane/sdk/net.h>
#include <backplane/sdk/net_address.h>

#define DGRAM_BATCH 16u

struct net_dgram {
    struct bp_services host;
    struct bp_net_address local, remote; /* remote of a group: the group */
    struct bp_net_address self;          /* group: what our own datagrams come from */
    int fd;
    int sender;         /* group: sends; else the same as fd */
    uint32_t is_bound;  /* local is a path of ours */
    uint32_t connected; /* 0: a unix socket whose other end is not there */
    struct bp_net_queue queue;
    uint32_t open;
    uint32_t events;       /* watched of fd */
    uint32_t out_watched;  /* of sender, if that is another */
    uint32_t read_planned; /* a deferred delivery is on its way */
    uint8_t *frames;       /* DGRAM_BATCH of BP_NET_MAX_FRAME bytes */
    uint32_t lengths[DGRAM_BATCH];
    uint32_t next, count; /* frames[next..count) came and were not delivered */
};

/* open.c: [control], but for connect. */
int32_t dgram_set_up(struct net_dgram *dgram, const struct bp_node *options);
void dgram_take_down(struct net_dgram *dgram);
/* Finds the other end of a unix socket, again if it is another now. */
void dgram_connect(struct net_dgram *dgram);

/* data.c: [loop]. read returns 0 when nothing is left to read or to put it into. */
int dgram_read(struct net_dgram *dgram);
int dgram_deliver(struct net_dgram *dgram);
uint32_t dgram_send(struct net_dgram *dgram, const struct bp_net_frame *frames, uint32_t count);
