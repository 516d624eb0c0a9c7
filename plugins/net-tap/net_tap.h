/* SPDX-License-Identifier: Apache-2.0 */
/* net-tap from the inside: a TAP interface of the kernel (Linux,
 * Documentation/networking/tuntap.rst), one descriptor for each queue. Frames go straight between
 * the kernel and the consumer's memory, each by one readv() or writev(). io_uring was measured and
 * is no faster: 4.0 us a frame in batches of 32, 3.5 us by writev(); the way through the kernel's
 * network costs more than the system call. */
#pragma once

#include <backplane/sdk/net.h>

#include <linux/if_tun.h>
#include <net/if.h>
#include <stdatomic.h>

#define TAP_HEADER    BP_NET_VNET_HEADER
#define TAP_MAX_QUEUE 256u

struct net_tap;

struct tap_queue {
    struct net_tap *tap;
    struct bp_net_queue queue;
    int fd;
    uint32_t index;
    uint32_t open;
    uint32_t events;       /* watched; 0: nothing */
    uint32_t read_planned; /* a deferred read is on its way */
    uint32_t held_length;  /* a frame for which too little was posted; 0: none */
    struct bp_net_offload held_offload;
    uint8_t *held; /* BP_NET_MAX_FRAME bytes; takes what does not fit into what is posted */
};

struct net_tap {
    struct bp_services host;
    char name[IFNAMSIZ];
    const char *down_script; /* or NULL */
    uint32_t count;          /* of queues; 0: none made yet */
    uint32_t multi;          /* the interface is IFF_MULTI_QUEUE */
    uint32_t header;         /* bytes before each frame: 0 or TAP_HEADER */
    uint32_t send_buffer;    /* bytes the kernel holds before it is full; 0: any number */
    uint32_t mtu;
    uint32_t features;        /* what the kernel can do, in both directions */
    _Atomic(uint32_t) wanted; /* set_features */
    _Atomic(uint32_t) gone;   /* somebody has deleted the interface */
    struct tap_queue *queue;  /* count of them */
};

/* open.c: in create() and destroy(). */
int32_t tap_set_up(struct net_tap *tap, const struct bp_node *options);
void tap_take_down(struct net_tap *tap);
/* [any] -EINVAL */
int32_t tap_set_offloads(struct net_tap *tap, uint32_t features);

/* Whether the kernel gives a queue frames: only where there may be several. */
void tap_take_part(struct tap_queue *queue, uint32_t enabled);

/* script.c: runs `path name` and waits for it, for half a minute at most.
 * Returns 0, a negative errno, or its exit status. */
int32_t tap_run_script(const char *path, const char *name);

/* data.c: on the queue's loop. */
void tap_read(struct tap_queue *queue);
uint32_t tap_write(struct tap_queue *queue, const struct bp_net_frame *frames, uint32_t count);
void tap_watch(struct tap_queue *queue, uint32_t events);
