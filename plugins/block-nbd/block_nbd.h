/* SPDX-License-Identifier: Apache-2.0 */
/* block-nbd's parts: connection.c keeps the connection, block_nbd.c carries requests over it. */
#ifndef BLOCK_NBD_BLOCK_NBD_H
#define BLOCK_NBD_BLOCK_NBD_H

#include <backplane/sdk/block_stack.h>

#include <libnbd.h>

#define TIMER_ID     0u
#define ARENA_ZEROES 0u
#define ZEROES_BYTES (1u << 20)

enum state {
    STATE_CONNECTED,
    STATE_CONNECTING, /* the handshake is under way */
    STATE_WAITING,    /* the timer starts the next attempt */
    STATE_CLOSED,
};

struct block_nbd {
    struct bp_services services;
    struct bp_block_stack stack;
    const struct bp_node *options;
    const char *uri;
    uint32_t readonly;
    uint64_t delay_ns;    /* between attempts */
    uint64_t patience_ns; /* how long requests wait for a connection */

    /* The home loop's, or the control thread's while there is no lane. */
    struct nbd_handle *nbd;
    enum state state;
    uint32_t fd_id, has_fd;
    int32_t fd;                                      /* a copy of the library's */
    uint64_t lost_ns;                                /* when the connection was lost */
    uint32_t impatient;                              /* requests do not wait any more */
    struct bp_block_flight *pending, **pending_last; /* to be sent */
    struct bp_block_lane *touched;                   /* has flights to deliver */
    uint8_t *zeroes;

    /* What the server offers: written by the loop, read by info() on any thread. */
    _Atomic(uint64_t) capacity;
    _Atomic(uint32_t) flags; /* BP_BLOCK_... */
    _Atomic(uint32_t) block_size;
    _Atomic(uint32_t) max_transfer;
    _Atomic(uint32_t) can_flush;
};

/* Connects and waits for it. [control] */
int32_t connection_open(struct block_nbd *nbd) BP_MUST_CHECK;
void connection_close(struct block_nbd *nbd);
/* The library may want other events, or found the connection dead. [loop] */
void connection_update(struct block_nbd *nbd);
/* Waits up to some milliseconds for the server. [loop] */
void connection_poll(struct block_nbd *nbd);
/* The timer. [loop] */
void connection_timer(void *opaque);

/* The connection is there: send what is pending. [loop] */
void requests_send(struct block_nbd *nbd);
/* Ends what is pending. [loop] */
void requests_fail(struct block_nbd *nbd);
/* Tells the consumers of what has ended. [loop] */
void requests_deliver(struct block_nbd *nbd);

#endif
