/* SPDX-License-Identifier: Apache-2.0 */
/* net-dgram: a network of datagrams. See net_dgram.h. */
#include "net_dgram.h"

#include <stdlib.h>
#include <string.h>

#define PLUGIN_VERSION "1.0"

#define FD_SOCKET  0u
#define FD_SENDER  1u
#define TIMER_PEER 0u
#define PEER_NS    1000000000u /* between looks whether the other end is another now */

/* --- watching -------------------------------------------------------------------------------- */

static void
watch(struct net_dgram *dgram, uint32_t events)
{
    if (events != dgram->events) {
        dgram->events = events;
        dgram->host.loop->fd_modify(dgram->host.instance, FD_SOCKET, events);
    }
}

static void
watch_room(struct net_dgram *dgram, uint32_t wanted)
{
    if (dgram->sender == dgram->fd) {
        watch(dgram, wanted ? dgram->events | BP_FD_OUT : dgram->events & ~BP_FD_OUT);
    } else if (wanted != dgram->out_watched) {
        dgram->out_watched = wanted;
        dgram->host.loop->fd_modify(dgram->host.instance, FD_SENDER, wanted ? BP_FD_OUT : 0);
    }
}

static void
read_all(struct net_dgram *dgram)
{
    uint32_t turns = 0;

    while (dgram_read(dgram) && turns++ < DGRAM_BATCH) {
    }
    if (dgram->next < dgram->count || bp_net_queue_posted(&dgram->queue) == 0) {
        watch(dgram, dgram->events & ~BP_FD_IN); /* until something is posted */
    }
}

static void
socket_ready(void *opaque, uint32_t events)
{
    struct net_dgram *dgram = opaque;

    if ((events & BP_FD_OUT) != 0) {
        watch_room(dgram, 0);
        bp_net_tx_room(&dgram->queue);
    }
    if ((events & (BP_FD_IN | BP_FD_ERR)) != 0) {
        read_all(dgram);
    }
}

static void
sender_ready(void *opaque, uint32_t events)
{
    struct net_dgram *dgram = opaque;

    if ((events & BP_FD_ERR) != 0) {
        int error;
        socklen_t length = sizeof(error);
        (void)getsockopt(dgram->sender, SOL_SOCKET, SO_ERROR, &error, &length);
    }
    watch_room(dgram, 0);
    bp_net_tx_room(&dgram->queue);
}

/* On the loop: another process may have made the other end's socket anew. */
static void
look_for_peer(void *opaque)
{
    struct net_dgram *dgram = opaque;
    const struct bp_services *host = &dgram->host;

    if (!dgram->open) {
        return;
    }
    dgram_connect(dgram);
    if (!dgram->connected) {
        bp_net_tx_room(&dgram->queue); /* what waits can go nowhere: it is dropped */
    }
    host->timer->arm(host->instance, TIMER_PEER,
                     host->timer->now(host->instance, BP_CLOCK_MONOTONIC) + PEER_NS);
}

static void
peer_due(void *opaque)
{
    struct net_dgram *dgram = opaque;

    if (dgram->host.loop->defer(dgram->host.instance, dgram->queue.args.loop, look_for_peer,
                                dgram) != 0) {
        bp_warn(&dgram->host, "cannot look for '%s' any more", dgram->remote.text);
    }
}

/* --- bp.net/1 -------------------------------------------------------------------------------- */

static int32_t
dgram_info(void *self, struct bp_net_info *info)
{
    const struct bp_net_info full = {.size = sizeof(full), .flags = BP_NET_LINK_UP, .queues = 1};

    bp_net_info_copy(info, &full);
    return 0;
}

static int32_t
start(struct net_dgram *dgram)
{
    const struct bp_services *host = &dgram->host;
    struct bp_fd_args args = {
        .size = sizeof(args),
        .id = FD_SOCKET,
        .loop = dgram->queue.args.loop,
        .fd = dgram->fd,
        .events = BP_FD_IN,
        .ready = socket_ready,
        .opaque = dgram,
    };
    int32_t result = host->loop->fd_add(host->instance, &args);

    if (result == 0 && dgram->sender != dgram->fd) {
        args.id = FD_SENDER;
        args.fd = dgram->sender;
        args.events = 0;
        args.ready = sender_ready;
        result = host->loop->fd_add(host->instance, &args);
    }
    if (result != 0) {
        host->loop->fd_del(host->instance, FD_SOCKET);
        return result;
    }
    dgram->open = 1;
    dgram->events = BP_FD_IN;
    dgram->out_watched = dgram->next = dgram->count = dgram->read_planned = 0;
    if (dgram->is_bound && dgram->remote.address.ss_family == AF_UNIX) {
        peer_due(dgram);
    }
    return 0;
}

static int32_t
dgram_queue_open(void *self, const struct bp_net_queue_args *args, void **ret_queue)
{
    struct net_dgram *dgram = self;
    int32_t result;

    if (dgram->open) {
        return args->index == 0 ? -EBUSY : -ENOENT;
    }
    result = bp_net_queue_init(&dgram->queue, args, 1);
    if (result != 0) {
        return result;
    }
    result = start(dgram);
    if (result != 0) {
        bp_net_queue_done(&dgram->queue);
        return result;
    }
    *ret_queue = &dgram->queue;
    return 0;
}

static void
close_on_loop(void *opaque)
{
    struct net_dgram *dgram = opaque;
    const struct bp_services *host = &dgram->host;

    host->timer->cancel(host->instance, TIMER_PEER);
    host->loop->fd_del(host->instance, FD_SOCKET);
    host->loop->fd_del(host->instance, FD_SENDER);
    dgram->open = 0;
}

static void
dgram_queue_close(void *self, void *queue)
{
    struct net_dgram *dgram = self;

    if (bp_net_on_loop(&dgram->host, dgram->queue.args.loop, close_on_loop, dgram) != 0) {
        close_on_loop(dgram);
    }
    bp_net_queue_done(&dgram->queue);
}

static int32_t
dgram_set_features(void *self, uint32_t features)
{
    return features == 0 ? 0 : -EINVAL;
}

static int32_t
dgram_transmit(void *self, void *queue, const struct bp_net_frame *frames, uint32_t count,
               uint32_t *done)
{
    struct net_dgram *dgram = self;
    uint32_t taken = 0, now;

    do {
        now = dgram_send(dgram, frames + taken, count - taken);
        taken += now;
    } while (now > 0 && taken < count);
    if (taken < count) {
        dgram->queue.wants_room = 1;
        watch_room(dgram, 1);
    }
    *done = taken;
    return (int32_t)taken;
}

static void
read_later(void *opaque)
{
    struct net_dgram *dgram = opaque;

    dgram->read_planned = 0;
    if (dgram->open) {
        watch(dgram, dgram->events | BP_FD_IN);
        read_all(dgram);
    }
}

static int32_t
dgram_post(void *self, void *queue, const struct bp_net_buffer *buffers, uint32_t count)
{
    struct net_dgram *dgram = self;
    int32_t taken = bp_net_queue_post(queue, buffers, count);

    if ((dgram->events & BP_FD_IN) == 0 && !dgram->read_planned) {
        dgram->read_planned = dgram->host.loop->defer(dgram->host.instance, dgram->queue.args.loop,
                                                      read_later, dgram) == 0;
    }
    return taken;
}

static void
dgram_flush(void *self, void *queue)
{
    bp_net_queue_flush(queue);
}

static const struct bp_net_ops dgram_ops = {
    .size = sizeof(dgram_ops),
    .info = dgram_info,
    .queue_open = dgram_queue_open,
    .queue_close = dgram_queue_close,
    .set_features = dgram_set_features,
    .transmit = dgram_transmit,
    .post = dgram_post,
    .flush = dgram_flush,
};

/* --- life ------------------------------------------------------------------------------------ */

static void
dgram_destroy(void *self)
{
    struct net_dgram *dgram = self;

    dgram_take_down(dgram);
    free(dgram->frames);
    free(dgram);
}

static int32_t
dgram_create(const struct bp_create *args, void **self)
{
    struct net_dgram *dgram = calloc(1, sizeof(*dgram));
    const struct bp_services *host;
    struct bp_timer_args timer = {
        .size = sizeof(timer),
        .id = TIMER_PEER,
        .clock = BP_CLOCK_MONOTONIC,
        .expired = peer_due,
        .opaque = dgram,
    };
    int32_t result;

    if (dgram == NULL) {
        return -ENOMEM;
    }
    host = &dgram->host;
    bp_services_init(&dgram->host, args->host, args->instance);
    dgram->fd = dgram->sender = -1;
    dgram->frames = malloc((size_t)DGRAM_BATCH * BP_NET_MAX_FRAME);
    timer.loop = host->loop->home(host->instance);
    result = dgram->frames != NULL ? host->timer->create(host->instance, &timer) : -ENOMEM;
    if (result == 0) {
        result = dgram_set_up(dgram, args->config);
    }
    if (result != 0) {
        result = bp_fail(host, result, NULL, "cannot be set up: %s",
                         strerror(-result)); /* a reason given before counts */
        dgram_destroy(dgram);
        return result;
    }
    *self = dgram;
    return 0;
}

static const void *
dgram_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_NET_ID) ? &dgram_ops : NULL;
}

static const struct bp_prop dgram_props[] = {
    {.name = "path", .type = BP_PROP_PATH, .help = "unix: this end's socket"},
    {.name = "peer_path", .type = BP_PROP_PATH, .help = "unix: the other end's socket"},
    {.name = "address", .type = BP_PROP_STRING, .help = "UDP: this end, \"127.0.0.1:5000\""},
    {.name = "peer", .type = BP_PROP_STRING, .help = "UDP: the other end"},
    {.name = "group", .type = BP_PROP_STRING, .help = "UDP: multicast group, \"230.0.0.1:1234\""},
    {.name = "group_interface",
     .type = BP_PROP_STRING,
     .help = "group: address of the host's interface to use"},
    {.name = "fd",
     .type = BP_PROP_UINT,
     .max = INT32_MAX,
     .help = "a connected datagram socket the program was started with"},
    {.name = NULL},
};

static const char *const dgram_provides[] = {BP_NET_ID, NULL};

static const struct bp_class dgram_class = {
    .size = sizeof(dgram_class),
    .kind = BP_KIND_BACKEND,
    .name = "net-dgram",
    .thread_model = BP_THREADS_PARALLEL,
    .help = "network of datagrams",
    .props = dgram_props,
    .provides = dgram_provides,
    .create = dgram_create,
    .destroy = dgram_destroy,
    .query = dgram_query,
};

static const struct bp_class *const dgram_classes[] = {&dgram_class, NULL};

BP_PLUGIN_NOTE(.id = "net-dgram", .version = PLUGIN_VERSION,
               .classes = {{"net-dgram", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host)});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "net-dgram",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "network of datagrams, by UDP or unix sockets",
    .classes = dgram_classes,
};
