/* SPDX-License-Identifier: Apache-2.0 */
/* net-stream: a cable to another machine, by a stream socket. See net_stream.h. */
#include "net_stream.h"

#include <stdlib.h>
#include <string.h>

#define PLUGIN_VERSION "1.0"

/* --- the connection -------------------------------------------------------------------------- */

static void
tell_link(struct net_stream *stream, uint32_t up)
{
    atomic_store(&stream->connected, up);
    bp_net_queue_event(&stream->queue, BP_NET_EVENT_LINK);
}

static void
stream_connected(void *opaque)
{
    tell_link(opaque, 1);
}

static void
forget(struct net_stream *stream)
{
    stream->in_head = stream->in_tail = 0;
    stream->out_at = stream->out_end = 0;
}

static void
stream_lost(void *opaque)
{
    struct net_stream *stream = opaque;

    forget(stream);
    tell_link(stream, 0);
    bp_net_tx_room(&stream->queue); /* what waits can go nowhere now: it is dropped */
}

static void
stream_ready(void *opaque, uint32_t events)
{
    struct net_stream *stream = opaque;
    struct bp_net_socket *sock = &stream->sock;

    if ((events & BP_FD_OUT) != 0) {
        if (!stream_write_rest(stream)) {
            bp_net_socket_drop(sock);
            return;
        }
        if (stream->out_at == stream->out_end) {
            bp_net_socket_watch(sock, sock->events & ~BP_FD_OUT);
            bp_net_tx_room(&stream->queue);
        }
    }
    if (sock->peer >= 0 && (events & (BP_FD_IN | BP_FD_HUP | BP_FD_ERR)) != 0) {
        if (stream->in_tail == STREAM_INPUT) {
            bp_net_socket_watch(sock, sock->events & ~BP_FD_IN); /* until buffers are posted */
        } else if (!stream_read(stream)) {
            bp_net_socket_drop(sock);
        }
    }
}

static const struct bp_net_socket_ops socket_ops = {
    .connected = stream_connected,
    .lost = stream_lost,
    .ready = stream_ready,
};

/* --- the network ----------------------------------------------------------------------------- */

static int32_t
stream_info(void *self, struct bp_net_info *info)
{
    struct net_stream *stream = self;
    const struct bp_net_info full = {
        .size = sizeof(full),
        .flags = atomic_load(&stream->connected) ? BP_NET_LINK_UP : 0,
        .queues = 1,
    };

    bp_net_info_copy(info, &full);
    return 0;
}

static int32_t
stream_queue_open(void *self, const struct bp_net_queue_args *args, void **ret_queue)
{
    struct net_stream *stream = self;
    int32_t result;

    if (stream->open) {
        return args->index == 0 ? -EBUSY : -ENOENT;
    }
    result = bp_net_queue_init(&stream->queue, args, 1);
    if (result != 0) {
        return result;
    }
    stream->open = 1;
    result = bp_net_socket_begin(&stream->sock, args->loop);
    if (result != 0) {
        stream->open = 0;
        bp_net_queue_done(&stream->queue);
        return result;
    }
    *ret_queue = &stream->queue;
    return 0;
}

static void
close_on_loop(void *opaque)
{
    struct net_stream *stream = opaque;

    bp_net_socket_end(&stream->sock);
    forget(stream);
    atomic_store(&stream->connected, 0);
    stream->open = 0;
}

static void
stream_queue_close(void *self, void *queue)
{
    struct net_stream *stream = self;

    if (bp_net_on_loop(&stream->host, atomic_load(&stream->sock.loop), close_on_loop, stream) !=
        0) {
        close_on_loop(stream);
    }
    bp_net_queue_done(&stream->queue);
}

static int32_t
stream_set_features(void *self, uint32_t features)
{
    return features == 0 ? 0 : -EINVAL;
}

static int32_t
stream_transmit(void *self, void *queue, const struct bp_net_frame *frames, uint32_t count,
                uint32_t *done)
{
    struct net_stream *stream = self;
    uint32_t taken = 0, now = 1;

    if (!bp_net_socket_up(&stream->sock)) {
        taken = count; /* a cable that ends nowhere */
    }
    while (taken < count && now > 0 && stream->out_at == stream->out_end) {
        now = stream_send(stream, frames + taken, count - taken);
        taken += now;
    }
    if (taken < count || stream->out_at != stream->out_end) {
        stream->queue.wants_room |= taken < count;
        bp_net_socket_watch(&stream->sock, stream->sock.events | BP_FD_OUT);
    }
    *done = taken;
    return (int32_t)taken;
}

static void
deliver_later(void *opaque)
{
    struct net_stream *stream = opaque;

    stream->deliver_planned = 0;
    if (!bp_net_socket_up(&stream->sock)) {
        return;
    }
    if (!stream_deliver(stream)) {
        bp_net_socket_drop(&stream->sock);
    } else if (stream->in_tail < STREAM_INPUT) {
        bp_net_socket_watch(&stream->sock, stream->sock.events | BP_FD_IN);
    }
}

static int32_t
stream_post(void *self, void *queue, const struct bp_net_buffer *buffers, uint32_t count)
{
    struct net_stream *stream = self;
    int32_t taken = bp_net_queue_post(queue, buffers, count);

    if (stream->in_tail > 0 && !stream->deliver_planned) {
        stream->deliver_planned =
            stream->host.loop->defer(stream->host.instance, atomic_load(&stream->sock.loop),
                                     deliver_later, stream) == 0;
    }
    return taken;
}

static void
stream_flush(void *self, void *queue)
{
    bp_net_queue_flush(queue);
}

static const struct bp_net_ops stream_ops = {
    .size = sizeof(stream_ops),
    .info = stream_info,
    .queue_open = stream_queue_open,
    .queue_close = stream_queue_close,
    .set_features = stream_set_features,
    .transmit = stream_transmit,
    .post = stream_post,
    .flush = stream_flush,
};

static void
stream_destroy(void *self)
{
    struct net_stream *stream = self;

    bp_net_socket_done(&stream->sock);
    free(stream->input);
    free(stream->output);
    free(stream);
}

static int32_t
set_up(struct net_stream *stream, const struct bp_node *options)
{
    stream->input = malloc(STREAM_INPUT);
    stream->output = malloc(STREAM_OUTPUT);
    return stream->input != NULL && stream->output != NULL
               ? bp_net_socket_set_up(&stream->sock, options, 1)
               : -ENOMEM;
}

static int32_t
stream_create(const struct bp_create *args, void **self)
{
    struct net_stream *stream = calloc(1, sizeof(*stream));
    int32_t result;

    if (stream == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&stream->host, args->host, args->instance);
    bp_net_socket_init(&stream->sock, &stream->host, &socket_ops, stream);
    result = set_up(stream, args->config);
    if (result != 0) {
        result = bp_fail(&stream->host, result, NULL, "cannot be set up: %s",
                         strerror(-result)); /* a reason given before counts */
        stream_destroy(stream);
        return result;
    }
    *self = stream;
    return 0;
}

static const void *
stream_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_NET_ID) ? &stream_ops : NULL;
}

static const struct bp_prop stream_props[] = {
    {.name = "path", .type = BP_PROP_PATH, .help = "unix socket"},
    {.name = "address", .type = BP_PROP_STRING, .help = "TCP: \"127.0.0.1:5000\""},
    BP_NET_SOCKET_PROPS("true", "wait for the other end; else connect to it"),
    {.name = NULL},
};

static const char *const stream_provides[] = {BP_NET_ID, NULL};

static const struct bp_class stream_class = {
    .size = sizeof(stream_class),
    .kind = BP_KIND_BACKEND,
    .name = "net-stream",
    .thread_model = BP_THREADS_PARALLEL,
    .help = "network cable by a stream socket",
    .props = stream_props,
    .provides = stream_provides,
    .create = stream_create,
    .destroy = stream_destroy,
    .query = stream_query,
};

static const struct bp_class *const stream_classes[] = {&stream_class, NULL};

BP_PLUGIN_NOTE(.id = "net-stream", .version = PLUGIN_VERSION,
               .classes = {{"net-stream", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host)});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "net-stream",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "network cable by a stream socket",
    .classes = stream_classes,
};
