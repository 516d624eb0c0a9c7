/* SPDX-License-Identifier: Apache-2.0 */
/* The connection's life: accepted or made, watched, lost, made again. */
#include "net_stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#define FD_LISTENER 0u
#define FD_PEER     1u
#define TIMER_RETRY 0u

void
stream_watch(struct net_stream *stream, uint32_t events)
{
    if (stream->peer >= 0 && events != stream->events) {
        stream->events = events;
        stream->host.loop->fd_modify(stream->host.instance, FD_PEER, events);
    }
}

static void
retry_later(struct net_stream *stream)
{
    const struct bp_services *host = &stream->host;

    host->timer->arm(host->instance, TIMER_RETRY,
                     host->timer->now(host->instance, BP_CLOCK_MONOTONIC) + stream->reconnect_ns);
}

static void
forget_peer(struct net_stream *stream)
{
    stream->host.loop->fd_del(stream->host.instance, FD_PEER);
    (void)close(stream->peer);
    stream->peer = -1;
    stream->connecting = 0;
    stream->in_head = stream->in_tail = 0;
    stream->out_at = stream->out_end = 0;
}

void
stream_drop(struct net_stream *stream)
{
    uint32_t was_up = !stream->connecting;

    if (stream->peer < 0) {
        return;
    }
    forget_peer(stream);
    if (stream->listener >= 0) {
        stream->host.loop->fd_modify(stream->host.instance, FD_LISTENER, BP_FD_IN);
    } else if (stream->place.length > 0) {
        retry_later(stream);
    }
    if (was_up) {
        stream_tell_link(stream, 0);
        bp_net_tx_room(&stream->queue); /* what waits can go nowhere now: it is dropped */
    }
}

static void
connected(struct net_stream *stream)
{
    int on = 1;

    stream->connecting = 0;
    if (stream->place.address.ss_family != AF_UNIX) {
        (void)setsockopt(stream->peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    stream_watch(stream, BP_FD_IN);
    stream_tell_link(stream, 1);
}

static void
peer_ready(void *opaque, uint32_t events)
{
    struct net_stream *stream = opaque;
    int error = 0;
    socklen_t length = sizeof(error);

    if (stream->connecting) {
        if (getsockopt(stream->peer, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0) {
            stream_drop(stream);
        } else {
            connected(stream);
        }
        return;
    }
    if ((events & BP_FD_OUT) != 0) {
        if (!stream_write_rest(stream)) {
            stream_drop(stream);
            return;
        }
        if (stream->out_at == stream->out_end) {
            stream_watch(stream, stream->events & ~BP_FD_OUT);
            bp_net_tx_room(&stream->queue);
        }
    }
    if (stream->peer >= 0 && (events & (BP_FD_IN | BP_FD_HUP | BP_FD_ERR)) != 0) {
        if (stream->in_tail == STREAM_INPUT) {
            stream_watch(stream, stream->events & ~BP_FD_IN); /* until buffers are posted */
        } else if (!stream_read(stream)) {
            stream_drop(stream);
        }
    }
}

static void
take_peer(struct net_stream *stream, int fd, uint32_t connecting)
{
    struct bp_fd_args args = {
        .size = sizeof(args),
        .id = FD_PEER,
        .loop = atomic_load(&stream->loop),
        .fd = fd,
        .events = connecting ? BP_FD_OUT : BP_FD_IN,
        .ready = peer_ready,
        .opaque = stream,
    };

    if (stream->host.loop->fd_add(stream->host.instance, &args) < 0) {
        bp_warn(&stream->host, "cannot watch the connection to '%s', ignoring it",
                stream->place.text);
        (void)close(fd);
        return;
    }
    stream->peer = fd;
    stream->events = args.events;
    stream->connecting = connecting;
    if (!connecting) {
        connected(stream);
    }
}

static void
listener_ready(void *opaque, uint32_t events)
{
    struct net_stream *stream = opaque;
    int fd = accept4(stream->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0) {
        stream->host.loop->fd_modify(stream->host.instance, FD_LISTENER, 0);
        take_peer(stream, fd, 0);
        if (stream->peer < 0) {
            stream->host.loop->fd_modify(stream->host.instance, FD_LISTENER, BP_FD_IN);
        }
    }
}

/* On the loop. */
void
stream_connect_now(void *opaque)
{
    struct net_stream *stream = opaque;
    int fd;

    if (!stream->open || stream->peer >= 0) {
        return;
    }
    if (stream->given >= 0) {
        fd = stream->given;
        stream->given = -1;
        take_peer(stream, fd, 0);
        return;
    }
    if (stream->place.length == 0) {
        return;
    }
    fd = socket(stream->place.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 &&
        connect(fd, (const struct sockaddr *)&stream->place.address, stream->place.length) == 0) {
        take_peer(stream, fd, 0);
    } else if (fd >= 0 && errno == EINPROGRESS) {
        take_peer(stream, fd, 1);
    } else {
        if (fd >= 0) {
            (void)close(fd);
        }
        retry_later(stream);
    }
}

int32_t
stream_begin(struct net_stream *stream)
{
    const struct bp_services *host = &stream->host;
    struct bp_fd_args args = {
        .size = sizeof(args),
        .id = FD_LISTENER,
        .loop = atomic_load(&stream->loop),
        .fd = stream->listener,
        .events = BP_FD_IN,
        .ready = listener_ready,
        .opaque = stream,
    };

    if (stream->listener >= 0) {
        return host->loop->fd_add(host->instance, &args);
    }
    return host->loop->defer(host->instance, atomic_load(&stream->loop), stream_connect_now,
                             stream);
}

void
stream_end(struct net_stream *stream)
{
    const struct bp_services *host = &stream->host;

    host->timer->cancel(host->instance, TIMER_RETRY);
    if (stream->listener >= 0) {
        host->loop->fd_del(host->instance, FD_LISTENER);
    }
    if (stream->peer >= 0) {
        forget_peer(stream);
        atomic_store(&stream->connected, 0);
    }
}
