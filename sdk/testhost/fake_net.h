/* SPDX-License-Identifier: Apache-2.0 */
/* The fake net backend from the inside: fake_net.c serves the consumer, net_control.c the test. */
#ifndef TESTHOST_FAKE_NET_H
#define TESTHOST_FAKE_NET_H

#include "th.h"

#define MAX_QUEUES 256u

struct net_input {
    struct net_input *next;
    struct bp_net_offload offload;
    uint32_t length, queue;
    uint8_t data[];
};

struct net_queue {
    struct th_net *net;
    struct bp_net_queue_args args;
    struct bp_net_client client;
    struct bp_net_buffer *posted; /* args.rx_depth */
    uint32_t posted_count, disabled;
    uint64_t *held; /* args.tx_depth */
    uint32_t held_count;
    uint32_t calling; /* inside receive() or transmitted() */
    uint32_t wants_room;
};

struct th_net {
    struct th_host *th;
    char *id;
    struct bp_net_info info;
    struct net_queue *queues[MAX_QUEUES];
    uint32_t open, features, room, hold, transmits, dropped, flushes;
    struct th_net_frame *sent;
    uint32_t sent_count;
    struct net_input *inputs;
    uint32_t events[16], event_count;
};

#endif
