/* SPDX-License-Identifier: Apache-2.0 */
/* net-user from the inside. The network is libslirp's; it runs on the queue's loop and nowhere
 * else, but for its making in realize(), when there is no queue yet. */
#pragma once

#include <backplane/sdk/net.h>

#include <libslirp.h>
#include <stdatomic.h>

#define USER_TIMERS 4u /* libslirp asks for one */
#define USER_POLLS  4096u

struct net_user;

/* A descriptor that libslirp wants to hear of. */
struct user_poll {
    int fd;
    uint32_t wanted;  /* SLIRP_POLL_... of the round */
    uint32_t watched; /* EPOLL... as registered; 0: not */
    uint32_t got;     /* SLIRP_POLL_... */
};

struct user_timer {
    struct net_user *user;
    SlirpTimerCb func;
    void *opaque;
    uint32_t used;
    _Atomic(uint32_t) due;
};

struct net_user {
    struct bp_services host;
    const struct bp_node *options; /* valid as long as the instance */
    Slirp *slirp;
    struct bp_net_queue queue;
    uint32_t open;
    uint32_t closed_input; /* too much is waiting for the guest: sockets are left alone */
    _Atomic(uint32_t) loop;
    struct bp_net_fifo waiting; /* frames for the guest */
    uint8_t *frame;             /* a sent frame in one piece */
    int epoll;                  /* all of libslirp's descriptors, one for the loop */
    struct user_poll *polls;
    uint32_t poll_count, poll_room;
    uint32_t sync_planned;
    struct user_timer timers[USER_TIMERS];
    _Atomic(uint32_t) timeout_due;
};

/* poll.c: on the loop. */
int32_t user_poll_init(struct net_user *user);
void user_poll_done(struct net_user *user);
int32_t user_poll_start(struct net_user *user, uint32_t loop);
void user_poll_stop(struct net_user *user);
/* Something happened: what libslirp waits for may be other things now. */
void user_poll_sync(struct net_user *user);
extern const SlirpCb user_callbacks;

/* options.c */
int32_t user_make_network(struct net_user *user);
extern const struct bp_prop user_props[];

/* net_user.c: a frame from the network. */
ssize_t user_send_packet(const void *data, size_t length, void *opaque);
