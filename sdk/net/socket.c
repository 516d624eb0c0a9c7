/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's life: see <backplane/sdk/net_socket.h>. */
#include <backplane/sdk/net_socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* --- what it is to be ------------------------------------------------------------------------ */

void
bp_net_socket_init(struct bp_net_socket *sock, const struct bp_services *host,
                   const struct bp_net_socket_ops *ops, void *opaque)
{
    sock->host = host;
    sock->ops = ops;
    sock->opaque = opaque;
    sock->listener = sock->given = sock->peer = -1;
}

static int32_t
begin_listening(struct bp_net_socket *sock, const struct bp_node *node)
{
    int family = sock->place.address.ss_family, on = 1;

    bp_net_address_remove_stale(&sock->place, SOCK_STREAM);
    sock->listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock->listener >= 0 && family != AF_UNIX) {
        (void)setsockopt(sock->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    if (sock->listener < 0 ||
        bind(sock->listener, (const struct sockaddr *)&sock->place.address, sock->place.length) !=
            0 ||
        listen(sock->listener, 1) != 0) {
        return bp_fail(sock->host, -errno, node, "cannot listen on '%s': %s", sock->place.text,
                       strerror(errno));
    }
    return 0;
}

static int32_t
find_place(struct bp_net_socket *sock, const struct bp_node *options, uint32_t server)
{
    const struct bp_services *host = sock->host;
    const struct bp_node *fd = bp_option(host, options, "fd");
    const char *path = bp_option_str(host, options, "path", NULL);
    const char *address = bp_option_str(host, options, "address", NULL);
    const struct bp_node *node = bp_option(host, options, path != NULL ? "path" : "address");
    int32_t result;

    server = bp_option_bool(host, options, "server", server);
    sock->reconnect_ns = bp_option_u64(host, options, "reconnect", 1000) * 1000000;
    if ((path != NULL) + (address != NULL) + (fd != NULL) != 1) {
        return bp_fail(host, -EINVAL, NULL, "give it a path, or an address, or an fd, one of them");
    }
    if (fd != NULL) {
        sock->given =
            bp_net_take_socket(host, fd, bp_option_u64(host, options, "fd", 0), SOCK_STREAM);
        return sock->given < 0 ? sock->given : 0;
    }
    result = path != NULL
                 ? bp_net_address_unix(host, node, path, &sock->place)
                 : bp_net_address_inet(host, node, address, SOCK_STREAM, server, &sock->place);
    return result == 0 && server ? begin_listening(sock, node) : result;
}

static void connect_now(void *opaque);

static void
retry_due(void *opaque)
{
    struct bp_net_socket *sock = opaque;

    if (sock->host->loop->defer(sock->host->instance, atomic_load(&sock->loop), connect_now,
                                sock) != 0) {
        bp_warn(sock->host, "cannot connect again");
    }
}

int32_t
bp_net_socket_set_up(struct bp_net_socket *sock, const struct bp_node *options, uint32_t server)
{
    const struct bp_services *host = sock->host;
    const struct bp_timer_args timer = {
        .size = sizeof(timer),
        .id = BP_NET_SOCKET_TIMER,
        .clock = BP_CLOCK_MONOTONIC,
        .loop = host->loop->home(host->instance),
        .expired = retry_due,
        .opaque = sock,
    };
    int32_t result = host->timer->create(host->instance, &timer);

    return result == 0 ? find_place(sock, options, server) : result;
}

static void
close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

void
bp_net_socket_done(struct bp_net_socket *sock)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&sock->place.address;

    if (sock->listener >= 0 && un->sun_family == AF_UNIX) {
        (void)unlink(un->sun_path);
    }
    close_fd(&sock->listener);
    close_fd(&sock->given);
    close_fd(&sock->peer);
}

/* --- its life -------------------------------------------------------------------------------- */

void
bp_net_socket_watch(struct bp_net_socket *sock, uint32_t events)
{
    if (sock->peer >= 0 && events != sock->events) {
        sock->events = events;
        sock->host->loop->fd_modify(sock->host->instance, BP_NET_SOCKET_FD_PEER, events);
    }
}

static void
retry_later(struct bp_net_socket *sock)
{
    const struct bp_services *host = sock->host;

    host->timer->arm(host->instance, BP_NET_SOCKET_TIMER,
                     host->timer->now(host->instance, BP_CLOCK_MONOTONIC) + sock->reconnect_ns);
}

static void
forget_peer(struct bp_net_socket *sock)
{
    sock->host->loop->fd_del(sock->host->instance, BP_NET_SOCKET_FD_PEER);
    close_fd(&sock->peer);
    sock->connecting = 0;
}

void
bp_net_socket_drop(struct bp_net_socket *sock)
{
    uint32_t was_up = bp_net_socket_up(sock);

    if (sock->peer < 0) {
        return;
    }
    forget_peer(sock);
    if (sock->listener >= 0) {
        sock->host->loop->fd_modify(sock->host->instance, BP_NET_SOCKET_FD_LISTENER, BP_FD_IN);
    } else if (sock->place.length > 0) {
        retry_later(sock);
    }
    if (was_up) {
        sock->ops->lost(sock->opaque);
    }
}

static void
connected(struct bp_net_socket *sock)
{
    int on = 1;

    sock->connecting = 0;
    if (sock->place.address.ss_family != AF_UNIX) {
        (void)setsockopt(sock->peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    bp_net_socket_watch(sock, BP_FD_IN);
    sock->ops->connected(sock->opaque);
}

static void
peer_ready(void *opaque, uint32_t events)
{
    struct bp_net_socket *sock = opaque;
    int error = 0;
    socklen_t length = sizeof(error);

    if (!sock->connecting) {
        sock->ops->ready(sock->opaque, events);
    } else if (getsockopt(sock->peer, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0) {
        bp_net_socket_drop(sock);
    } else {
        connected(sock);
    }
}

static void
take_peer(struct bp_net_socket *sock, int fd, uint32_t connecting)
{
    struct bp_fd_args args = {
        .size = sizeof(args),
        .id = BP_NET_SOCKET_FD_PEER,
        .loop = atomic_load(&sock->loop),
        .fd = fd,
        .events = connecting ? BP_FD_OUT : BP_FD_IN,
        .ready = peer_ready,
        .opaque = sock,
    };

    if (sock->host->loop->fd_add(sock->host->instance, &args) < 0) {
        bp_warn(sock->host, "cannot watch the connection to '%s', ignoring it", sock->place.text);
        (void)close(fd);
        return;
    }
    sock->peer = fd;
    sock->events = args.events;
    sock->connecting = connecting;
    if (!connecting) {
        connected(sock);
    }
}

static void
listener_ready(void *opaque, uint32_t events)
{
    struct bp_net_socket *sock = opaque;
    int fd = accept4(sock->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0) {
        sock->host->loop->fd_modify(sock->host->instance, BP_NET_SOCKET_FD_LISTENER, 0);
        take_peer(sock, fd, 0);
        if (sock->peer < 0) {
            sock->host->loop->fd_modify(sock->host->instance, BP_NET_SOCKET_FD_LISTENER, BP_FD_IN);
        }
    }
}

/* On the loop. */
static void
connect_now(void *opaque)
{
    struct bp_net_socket *sock = opaque;
    int fd;

    if (!sock->open || sock->peer >= 0) {
        return;
    }
    if (sock->given >= 0) {
        fd = sock->given;
        sock->given = -1;
        take_peer(sock, fd, 0);
        return;
    }
    if (sock->place.length == 0) {
        return;
    }
    fd = socket(sock->place.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 &&
        connect(fd, (const struct sockaddr *)&sock->place.address, sock->place.length) == 0) {
        take_peer(sock, fd, 0);
    } else if (fd >= 0 && errno == EINPROGRESS) {
        take_peer(sock, fd, 1);
    } else {
        close_fd(&fd);
        retry_later(sock);
    }
}

int32_t
bp_net_socket_begin(struct bp_net_socket *sock, uint32_t loop)
{
    const struct bp_services *host = sock->host;
    struct bp_fd_args args = {
        .size = sizeof(args),
        .id = BP_NET_SOCKET_FD_LISTENER,
        .loop = loop,
        .fd = sock->listener,
        .events = BP_FD_IN,
        .ready = listener_ready,
        .opaque = sock,
    };
    int32_t result;

    atomic_store(&sock->loop, loop);
    sock->open = 1;
    result = sock->listener >= 0 ? host->loop->fd_add(host->instance, &args)
                                 : host->loop->defer(host->instance, loop, connect_now, sock);
    if (result != 0) {
        sock->open = 0;
    }
    return result;
}

void
bp_net_socket_end(struct bp_net_socket *sock)
{
    const struct bp_services *host = sock->host;

    sock->open = 0;
    host->timer->cancel(host->instance, BP_NET_SOCKET_TIMER);
    if (sock->listener >= 0) {
        host->loop->fd_del(host->instance, BP_NET_SOCKET_FD_LISTENER);
    }
    if (sock->peer >= 0) {
        forget_peer(sock);
    }
}
