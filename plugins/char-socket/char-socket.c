/* SPDX-License-Identifier: Apache-2.0 */
/* A char backend on a unix stream socket, as its server (one peer at a time) or as a client that
 * connects again when it is cut off.
 * PARALLEL: write() comes from any thread, the socket is accepted, connected, read and closed on
 * the client's loop; `lock` guards what both touch and is not held while the client is called. */
#include "endpoint.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET_FD_LISTEN 0u
#define SOCKET_FD_PEER   1u
#define SOCKET_TIMER     0u
#define INPUT_BYTES      4096u
#define NS_PER_MS        UINT64_C(1000000)

struct charsocket {
    struct bp_services host;
    struct bp_char_port port;
    struct endpoint endpoint; /* set up by realize, constant then */
    uint32_t waits;           /* option: output waits for a peer */
    uint64_t reconnect_ns;

    pthread_mutex_t lock; /* protects: the members up to the next blank line */
    uint32_t connected, loop;
    int peer; /* -1: nobody is there */
    uint32_t out_waits;
    uint32_t in_paused;
    uint32_t pump_planned;
    uint32_t realized;

    struct bp_fifo input; /* loop only */
    uint8_t input_data[INPUT_BYTES];
};

static void try_connect(void *opaque);

/* --- output ---------------------------------------------------------------------------------- */

/* What is watched of the peer now. Locked. */
static void
watch_peer_locked(struct charsocket *socket)
{
    uint32_t events = (socket->in_paused ? 0 : BP_FD_IN) | (socket->out_waits ? BP_FD_OUT : 0);

    socket->host.loop->fd_modify(socket->host.instance, SOCKET_FD_PEER, events);
}

static int32_t
send_locked(struct charsocket *socket, const uint8_t *data, uint32_t length)
{
    ssize_t n;

    if (socket->peer < 0) {
        return socket->waits ? 0 : (int32_t)length;
    }
    n = send(socket->peer, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
        /* Cut off: the loop will see it; until then bytes go nowhere. */
        n = errno == EAGAIN || errno == EINTR ? 0 : (ssize_t)length;
    }
    return (int32_t)n;
}

static int32_t
charsocket_write(void *self, const uint8_t *data, uint32_t length)
{
    struct charsocket *socket = self;
    int32_t taken;

    pthread_mutex_lock(&socket->lock);
    taken = send_locked(socket, data, length);
    if (taken < (int32_t)length && !socket->out_waits) {
        socket->out_waits = 1;
        if (socket->peer >= 0) {
            watch_peer_locked(socket);
        }
    }
    pthread_mutex_unlock(&socket->lock);
    return taken;
}

/* --- the peer -------------------------------------------------------------------------------- */

static void
deliver(struct charsocket *socket)
{
    const uint8_t *run;
    uint32_t length, taken = 1;

    while (taken > 0 && (length = bp_fifo_peek(&socket->input, &run)) > 0) {
        taken = bp_char_port_receive(&socket->port, run, length);
        bp_fifo_drop(&socket->input, taken);
    }
}

static void
schedule_reconnect(struct charsocket *socket)
{
    const struct bp_services *host = &socket->host;

    host->timer->arm(host->instance, SOCKET_TIMER,
                     host->timer->now(host->instance, BP_CLOCK_MONOTONIC) + socket->reconnect_ns);
}

/* Lets the peer go. tell: the client hears of it. */
static void
drop_peer(struct charsocket *socket, uint32_t tell)
{
    int peer;

    pthread_mutex_lock(&socket->lock);
    peer = socket->peer;
    socket->peer = -1;
    pthread_mutex_unlock(&socket->lock);
    if (peer < 0) {
        return;
    }
    socket->host.loop->fd_del(socket->host.instance, SOCKET_FD_PEER);
    (void)close(peer);
    if (!tell) {
        return;
    }
    bp_char_port_event(&socket->port, BP_CHAR_EVENT_CLOSED);
    if (socket->endpoint.listens) {
        socket->host.loop->fd_modify(socket->host.instance, SOCKET_FD_LISTEN, BP_FD_IN);
    } else {
        schedule_reconnect(socket);
    }
    if (!socket->waits) {
        bp_char_port_writable(&socket->port); /* what waited for the peer can go nowhere now */
    }
}

/* Returns 0 when the peer has closed or failed. */
static uint32_t
read_peer(struct charsocket *socket)
{
    uint8_t data[INPUT_BYTES];
    uint32_t room = bp_fifo_room(&socket->input);
    ssize_t n;

    if (room == 0) {
        return 1;
    }
    n = recv(socket->peer, data, room, MSG_DONTWAIT);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    (void)bp_fifo_write(&socket->input, data, (uint32_t)n);
    return n > 0;
}

static void
update_input(struct charsocket *socket)
{
    uint32_t full;

    deliver(socket);
    full = bp_fifo_room(&socket->input) == 0;
    pthread_mutex_lock(&socket->lock);
    if (socket->peer >= 0 && full != socket->in_paused) {
        socket->in_paused = full;
        watch_peer_locked(socket);
    }
    pthread_mutex_unlock(&socket->lock);
}

static void
peer_ready(void *opaque, uint32_t events)
{
    struct charsocket *socket = opaque;
    uint32_t writable = 0;

    if ((events & BP_FD_OUT) != 0) {
        pthread_mutex_lock(&socket->lock);
        writable = socket->out_waits;
        socket->out_waits = 0;
        watch_peer_locked(socket);
        pthread_mutex_unlock(&socket->lock);
    }
    if (writable) {
        bp_char_port_writable(&socket->port);
    }
    if ((events & (BP_FD_IN | BP_FD_HUP | BP_FD_ERR)) == 0) {
        return;
    }
    if (!read_peer(socket)) {
        deliver(socket); /* its last words */
        drop_peer(socket, 1);
        return;
    }
    update_input(socket);
}

/* Somebody is there: fd is ours now. */
static void
take_peer(struct charsocket *socket, int fd)
{
    struct bp_fd_args args = {
        .size = sizeof(args),
        .id = SOCKET_FD_PEER,
        .loop = socket->loop,
        .fd = fd,
        .events = BP_FD_IN,
        .ready = peer_ready,
        .opaque = socket,
    };
    uint32_t waited;

    if (socket->host.loop->fd_add(socket->host.instance, &args) < 0) {
        bp_warn(&socket->host, "cannot watch the connection, ignoring it");
        (void)close(fd);
        if (!socket->endpoint.listens) {
            schedule_reconnect(socket);
        }
        return;
    }
    pthread_mutex_lock(&socket->lock);
    socket->peer = fd;
    socket->in_paused = 0;
    waited = socket->out_waits;
    socket->out_waits = 0;
    pthread_mutex_unlock(&socket->lock);
    if (socket->endpoint.listens) {
        socket->host.loop->fd_modify(socket->host.instance, SOCKET_FD_LISTEN, 0);
    }
    bp_char_port_event(&socket->port, BP_CHAR_EVENT_OPENED);
    if (waited) {
        bp_char_port_writable(&socket->port);
    }
}

static void
listen_ready(void *opaque, uint32_t events)
{
    struct charsocket *socket = opaque;
    int fd = accept4(socket->endpoint.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0) {
        take_peer(socket, fd);
    }
}

static void
try_connect(void *opaque)
{
    struct charsocket *socket = opaque;
    uint32_t wanted;
    int fd;

    pthread_mutex_lock(&socket->lock);
    wanted = socket->connected && socket->peer < 0;
    pthread_mutex_unlock(&socket->lock);
    if (!wanted) {
        return;
    }
    fd = endpoint_connect(&socket->endpoint);
    if (fd >= 0) {
        take_peer(socket, fd);
    } else {
        schedule_reconnect(socket);
    }
}

static void
reconnect_due(void *opaque)
{
    struct charsocket *socket = opaque;

    if (socket->host.loop->defer(socket->host.instance, socket->loop, try_connect, socket) < 0) {
        bp_warn(&socket->host, "cannot connect again");
    }
}

static void
charsocket_pump(void *opaque)
{
    struct charsocket *socket = opaque;

    pthread_mutex_lock(&socket->lock);
    socket->pump_planned = 0;
    pthread_mutex_unlock(&socket->lock);
    update_input(socket);
}

static void
charsocket_credit(void *self, uint32_t bytes)
{
    struct charsocket *socket = self;

    bp_char_port_set_credit(&socket->port, bytes);
    pthread_mutex_lock(&socket->lock);
    if (bytes > 0 && socket->connected && !socket->pump_planned) {
        socket->pump_planned = socket->host.loop->defer(socket->host.instance, socket->loop,
                                                        charsocket_pump, socket) == 0;
    }
    pthread_mutex_unlock(&socket->lock);
}

/* --- connection of the client ---------------------------------------------------------------- */

static int32_t
begin(struct charsocket *socket)
{
    const struct bp_services *host = &socket->host;
    struct bp_fd_args args = {
        .size = sizeof(args),
        .id = SOCKET_FD_LISTEN,
        .loop = socket->loop,
        .fd = socket->endpoint.fd,
        .events = BP_FD_IN,
        .ready = listen_ready,
        .opaque = socket,
    };

    if (socket->endpoint.listens) {
        return host->loop->fd_add(host->instance, &args);
    }
    return host->loop->defer(host->instance, socket->loop, try_connect, socket);
}

static int32_t
charsocket_connect(void *self, const struct bp_char_connect *args)
{
    struct charsocket *socket = self;
    int32_t status = bp_char_port_connect(&socket->port, args);
    uint32_t realized;

    if (status < 0) {
        return status;
    }
    pthread_mutex_lock(&socket->lock);
    socket->loop = args->loop;
    socket->connected = 1;
    socket->out_waits = 0;
    realized = socket->realized;
    pthread_mutex_unlock(&socket->lock);
    status = realized ? begin(socket) : 0;
    if (status < 0) {
        pthread_mutex_lock(&socket->lock);
        socket->connected = 0;
        pthread_mutex_unlock(&socket->lock);
        bp_char_port_disconnect(&socket->port);
    }
    return status;
}

static void
charsocket_disconnect(void *self)
{
    struct charsocket *socket = self;

    pthread_mutex_lock(&socket->lock);
    socket->connected = 0;
    pthread_mutex_unlock(&socket->lock);
    socket->host.timer->cancel(socket->host.instance, SOCKET_TIMER);
    socket->host.loop->fd_del(socket->host.instance, SOCKET_FD_LISTEN);
    socket->host.loop->fd_del(socket->host.instance, SOCKET_FD_PEER);
    bp_char_port_disconnect(&socket->port);
    drop_peer(socket, 0);
    bp_fifo_clear(&socket->input);
}

static const struct bp_char_ops charsocket_char = {
    .size = sizeof(charsocket_char),
    .connect = charsocket_connect,
    .disconnect = charsocket_disconnect,
    .write = charsocket_write,
    .credit = charsocket_credit,
};

/* --- life ------------------------------------------------------------------------------------ */

static int32_t
charsocket_realize(void *self)
{
    struct charsocket *socket = self;
    int32_t status = endpoint_listen(&socket->endpoint, &socket->host);

    if (status < 0) {
        return status;
    }
    pthread_mutex_lock(&socket->lock);
    socket->realized = 1;
    pthread_mutex_unlock(&socket->lock);
    if (socket->connected && begin(socket) < 0) {
        return bp_fail(&socket->host, -ENOMEM, NULL, "cannot watch the socket");
    }
    return 0;
}

static const struct bp_life_ops charsocket_life = {
    .size = sizeof(charsocket_life),
    .realize = charsocket_realize,
};

static void
charsocket_destroy(void *self)
{
    struct charsocket *socket = self;

    endpoint_done(&socket->endpoint);
    pthread_mutex_destroy(&socket->lock);
    bp_char_port_done(&socket->port);
    free(socket);
}

static int32_t
charsocket_timer(struct charsocket *socket)
{
    const struct bp_timer_args args = {
        .size = sizeof(args),
        .id = SOCKET_TIMER,
        .clock = BP_CLOCK_MONOTONIC,
        .loop = socket->host.loop->home(socket->host.instance),
        .expired = reconnect_due,
        .opaque = socket,
    };
    int32_t status = socket->host.timer->create(socket->host.instance, &args);

    return status < 0 ? bp_fail(&socket->host, status, NULL, "cannot make a timer") : 0;
}

static int32_t
charsocket_create(const struct bp_create *args, void **self)
{
    struct charsocket *socket = calloc(1, sizeof(*socket));
    struct bp_services host;
    int32_t status;

    bp_services_init(&host, args->host, args->instance);
    if (socket == NULL || bp_char_port_init(&socket->port) < 0) {
        free(socket);
        return bp_fail(&host, -ENOMEM, NULL, "out of memory");
    }
    socket->host = host;
    socket->peer = -1;
    pthread_mutex_init(&socket->lock, NULL);
    bp_fifo_init(&socket->input, socket->input_data, INPUT_BYTES);
    socket->waits = bp_option_bool(&host, args->config, "wait", 0);
    socket->reconnect_ns = bp_option_u64(&host, args->config, "reconnect", 1000) * NS_PER_MS;
    status = endpoint_init(&socket->endpoint, &host, args->config);
    if (status == 0) {
        status = charsocket_timer(socket);
    }
    if (status < 0) {
        charsocket_destroy(socket);
        return status;
    }
    *self = socket;
    return 0;
}

static const void *
charsocket_query(void *self, const char *interface_id)
{
    if (bp_same_id(interface_id, BP_CHAR_ID)) {
        return &charsocket_char;
    }
    return bp_same_id(interface_id, BP_LIFE_ID) ? &charsocket_life : NULL;
}

static const struct bp_prop charsocket_props[] = {
    {.name = "path", .type = BP_PROP_PATH, .flags = BP_PROP_REQUIRED, .help = "of the socket"},
    {.name = "server",
     .type = BP_PROP_BOOL,
     .def = "true",
     .help = "make the socket and wait for peers; else connect to it"},
    {.name = "mode",
     .type = BP_PROP_STRING,
     .def = "0600",
     .help = "server: who may connect, octal, as of chmod"},
    {.name = "wait",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "output waits while nobody is connected; by default it is dropped"},
    {.name = "reconnect",
     .type = BP_PROP_UINT,
     .def = "1000",
     .min = 10,
     .max = 3600000,
     .help = "client: milliseconds between attempts to connect"},
    {.name = NULL},
};

static const char *const charsocket_provides[] = {BP_CHAR_ID, NULL};

static const struct bp_class charsocket_class = {
    .size = sizeof(charsocket_class),
    .kind = BP_KIND_BACKEND,
    .name = "char-socket",
    .thread_model = BP_THREADS_PARALLEL,
    .help = "unix stream socket, server or client",
    .props = charsocket_props,
    .provides = charsocket_provides,
    .create = charsocket_create,
    .destroy = charsocket_destroy,
    .query = charsocket_query,
};

static const struct bp_class *const charsocket_classes[] = {&charsocket_class, NULL};

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "char-socket",
    .version = "1.0",
    .license = "Apache-2.0",
    .help = "char backend on a unix socket",
    .classes = charsocket_classes,
};

BP_PLUGIN_NOTE(.id = "char-socket", .version = "1.0",
               .classes = {{"char-socket", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host)});
