/* SPDX-License-Identifier: Apache-2.0 */
/* Help for net backends that are one connection of a stream socket: listened for or made, watched,
 * lost, made again. Not ABI. */
#ifndef BACKPLANE_SDK_NET_SOCKET_H
#define BACKPLANE_SDK_NET_SOCKET_H

#include <backplane/sdk/net_address.h>

#include <stdatomic.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Ids that it uses of the instance's. */
#define BP_NET_SOCKET_FD_LISTENER 0u
#define BP_NET_SOCKET_FD_PEER     1u
#define BP_NET_SOCKET_TIMER       0u

/* What the backend hears of its connection. [loop] */
struct bp_net_socket_ops {
    void (*connected)(void *opaque);
    /* It is gone, after connected(). */
    void (*lost)(void *opaque);
    /* events: BP_FD_... of what is watched. */
    void (*ready)(void *opaque, uint32_t events);
};

/* Zeroed, then bp_net_socket_init(). */
struct bp_net_socket {
    const struct bp_services *host;
    const struct bp_net_socket_ops *ops;
    void *opaque;
    struct bp_net_address place;
    int listener; /* -1: client, or a given descriptor */
    int given;    /* a connected descriptor of the options; -1: none, or used up */
    uint64_t reconnect_ns;
    _Atomic(uint32_t) loop;
    uint32_t open; /* on the loop from here on */
    int peer;      /* -1: nobody */
    uint32_t connecting;
    uint32_t events; /* watched of the peer */
};

/* For the plugin's list of options: those of bp_net_socket_set_up() that do not say where the other
 * end is. */
#define BP_NET_SOCKET_PROPS(server_default, server_help)                                           \
    {.name = "fd",                                                                                 \
     .type = BP_PROP_UINT,                                                                         \
     .max = INT32_MAX,                                                                             \
     .help = "a connected socket the program was started with"},                                   \
        {.name = "server", .type = BP_PROP_BOOL, .def = (server_default), .help = (server_help)},  \
    {                                                                                              \
        .name = "reconnect", .type = BP_PROP_UINT, .def = "1000", .min = 10, .max = 3600000,       \
        .help = "client: milliseconds between attempts to connect"                                 \
    }

/* Before everything else: so that bp_net_socket_done() can be called. */
void bp_net_socket_init(struct bp_net_socket *sock, const struct bp_services *host,
                        const struct bp_net_socket_ops *ops, void *opaque);
/* Reads the options path, address, fd, server and reconnect, those that the class has, and listens
 * if it is to. server: what it is if the option is not given.
 * [control] 0, or a negative errno that was explained. */
int32_t bp_net_socket_set_up(struct bp_net_socket *sock, const struct bp_node *options,
                             uint32_t server) BP_MUST_CHECK;
/* [control] */
void bp_net_socket_done(struct bp_net_socket *sock);
/* Connects, or waits for who connects, on a loop. [control] */
int32_t bp_net_socket_begin(struct bp_net_socket *sock, uint32_t loop) BP_MUST_CHECK;
/* Ends what begin() began; lost() is not called. [loop], or nothing runs there. */
void bp_net_socket_end(struct bp_net_socket *sock);

/* All [loop]. */
/* Whether there is a connection. */
static inline int
bp_net_socket_up(const struct bp_net_socket *sock)
{
    return sock->peer >= 0 && !sock->connecting;
}
void bp_net_socket_watch(struct bp_net_socket *sock, uint32_t events);
/* Cuts the connection: lost() is called, then another one is looked for. */
void bp_net_socket_drop(struct bp_net_socket *sock);

#ifdef __cplusplus
}
#endif

#endif
