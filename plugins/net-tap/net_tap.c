/* SPDX-License-Identifier: Apache-2.0 */
/* net-tap: a TAP interface of the kernel. See net_tap.h. */
#include "net_tap.h"

#include <stdlib.h>
#include <string.h>

#define PLUGIN_VERSION "1.0"

/* --- bp.net/1 -------------------------------------------------------------------------------- */

static int32_t
net_tap_info(void *self, struct bp_net_info *info)
{
    struct net_tap *tap = self;
    const struct bp_net_info full = {
        .size = sizeof(full),
        .flags = atomic_load(&tap->gone) ? 0 : BP_NET_LINK_UP,
        .tx_features = tap->features,
        .rx_features = tap->features,
        .queues = tap->count,
        .mtu = tap->mtu,
    };

    bp_net_info_copy(info, &full);
    return 0;
}

static void
ready(void *opaque, uint32_t events)
{
    struct tap_queue *queue = opaque;

    if ((events & BP_FD_OUT) != 0) {
        tap_watch(queue, queue->events & ~BP_FD_OUT);
        bp_net_tx_room(&queue->queue);
    }
    if ((events & (BP_FD_IN | BP_FD_ERR | BP_FD_HUP)) != 0) {
        tap_read(queue);
    }
}

static int32_t
start_queue(struct tap_queue *queue)
{
    const struct bp_services *host = &queue->tap->host;
    const struct bp_fd_args args = {
        .size = sizeof(args),
        .id = queue->index,
        .loop = queue->queue.args.loop,
        .fd = queue->fd,
        .events = BP_FD_IN,
        .ready = ready,
        .opaque = queue,
    };
    int32_t result = host->loop->fd_add(host->instance, &args);

    if (result == 0) {
        queue->open = 1;
        queue->events = BP_FD_IN;
        queue->held_length = 0;
        tap_take_part(queue, 1);
    }
    return result;
}

static int32_t
net_tap_queue_open(void *self, const struct bp_net_queue_args *args, void **ret_queue)
{
    struct net_tap *tap = self;
    struct bp_net_queue fresh;
    struct tap_queue *queue;
    int32_t result = bp_net_queue_init(&fresh, args, tap->count);

    if (result != 0) {
        return result;
    }
    queue = &tap->queue[fresh.args.index];
    if (queue->open) {
        bp_net_queue_done(&fresh);
        return -EBUSY;
    }
    queue->queue = fresh;
    queue->queue.args.client = &queue->queue.client;
    result = start_queue(queue);
    if (result != 0) {
        bp_net_queue_done(&queue->queue);
        return result;
    }
    *ret_queue = queue;
    return 0;
}

static void
close_on_loop(void *opaque)
{
    struct tap_queue *queue = opaque;

    queue->tap->host.loop->fd_del(queue->tap->host.instance, queue->index);
    queue->open = 0;
}

static void
net_tap_queue_close(void *self, void *opaque)
{
    struct net_tap *tap = self;
    struct tap_queue *queue = opaque;

    tap_take_part(queue, 0);
    if (bp_net_on_loop(&tap->host, queue->queue.args.loop, close_on_loop, queue) != 0) {
        close_on_loop(queue);
    }
    bp_net_queue_done(&queue->queue);
}

static int32_t
net_tap_set_features(void *self, uint32_t features)
{
    return tap_set_offloads(self, features);
}

static int32_t
net_tap_transmit(void *self, void *opaque, const struct bp_net_frame *frames, uint32_t count,
                 uint32_t *done)
{
    struct tap_queue *queue = opaque;
    uint32_t taken = tap_write(queue, frames, count);

    if (taken < count) {
        queue->queue.wants_room = 1;
        tap_watch(queue, queue->events | BP_FD_OUT);
    }
    *done = taken;
    return (int32_t)taken;
}

static void
read_later(void *opaque)
{
    struct tap_queue *queue = opaque;

    queue->read_planned = 0;
    if (queue->open && !atomic_load(&queue->tap->gone)) {
        tap_watch(queue, queue->events | BP_FD_IN);
        tap_read(queue);
    }
}

static int32_t
net_tap_post(void *self, void *opaque, const struct bp_net_buffer *buffers, uint32_t count)
{
    struct net_tap *tap = self;
    struct tap_queue *queue = opaque;
    int32_t taken = bp_net_queue_post(&queue->queue, buffers, count);

    if ((queue->events & BP_FD_IN) == 0 && !queue->read_planned) {
        queue->read_planned = tap->host.loop->defer(tap->host.instance, queue->queue.args.loop,
                                                    read_later, queue) == 0;
    }
    return taken;
}

static void
net_tap_flush(void *self, void *opaque)
{
    struct tap_queue *queue = opaque;

    bp_net_queue_flush(&queue->queue);
}

static void
net_tap_queue_enable(void *self, void *opaque, uint32_t enabled)
{
    tap_take_part(opaque, enabled);
}

static const struct bp_net_ops net_tap_ops = {
    .size = sizeof(net_tap_ops),
    .info = net_tap_info,
    .queue_open = net_tap_queue_open,
    .queue_close = net_tap_queue_close,
    .set_features = net_tap_set_features,
    .transmit = net_tap_transmit,
    .post = net_tap_post,
    .flush = net_tap_flush,
    .queue_enable = net_tap_queue_enable,
};

/* --- life ------------------------------------------------------------------------------------ */

static void
net_tap_destroy(void *self)
{
    tap_take_down(self);
    free(self);
}

static int32_t
net_tap_create(const struct bp_create *args, void **self)
{
    struct net_tap *tap = calloc(1, sizeof(*tap));
    int32_t result;

    if (tap == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&tap->host, args->host, args->instance);
    result = tap_set_up(tap, args->config);
    if (result != 0) {
        result = bp_fail(&tap->host, result, NULL, "cannot be set up: %s",
                         strerror(-result)); /* a reason given before counts */
        net_tap_destroy(tap);
        return result;
    }
    bp_info(&tap->host, "is interface '%s'", tap->name);
    *self = tap;
    return 0;
}

static const void *
net_tap_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_NET_ID) ? &net_tap_ops : NULL;
}

static const struct bp_prop fd_element = {
    .type = BP_PROP_UINT, .max = INT32_MAX, .help = "one queue"};

static const struct bp_prop net_tap_props[] = {
    {.name = "interface",
     .type = BP_PROP_STRING,
     .help = "its name; made if it is missing; without a name the kernel finds one"},
    {.name = "fds",
     .type = BP_PROP_LIST,
     .max = TAP_MAX_QUEUE,
     .children = &fd_element,
     .help = "descriptors the program was started with, one for each queue, instead of a name"},
    {.name = "queues",
     .type = BP_PROP_UINT,
     .def = "1",
     .min = 1,
     .max = TAP_MAX_QUEUE,
     .help = "queue pairs it offers"},
    {.name = "vnet_hdr",
     .type = BP_PROP_BOOL,
     .def = "true",
     .help = "exchange checksum and segmentation offloads with the kernel"},
    {.name = "bridge", .type = BP_PROP_STRING, .help = "bridge to put the interface on"},
    {.name = "mtu",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = 65521,
     .help = "MTU to set; 0: leave it"},
    {.name = "send_buffer",
     .type = BP_PROP_SIZE,
     .def = "0",
     .max = INT32_MAX,
     .help =
         "bytes the host may hold of what the guest sent before the guest waits; 0: any number"},
    {.name = "script",
     .type = BP_PROP_PATH,
     .help = "program to run before the interface is set up, with its name"},
    {.name = "down_script",
     .type = BP_PROP_PATH,
     .help = "program to run at the end, with its name"},
    {.name = NULL},
};

static const char *const net_tap_provides[] = {BP_NET_ID, NULL};

static const struct bp_class net_tap_class = {
    .size = sizeof(net_tap_class),
    .kind = BP_KIND_BACKEND,
    .name = "net-tap",
    .thread_model = BP_THREADS_PARALLEL,
    .help = "network interface of the host",
    .props = net_tap_props,
    .provides = net_tap_provides,
    .create = net_tap_create,
    .destroy = net_tap_destroy,
    .query = net_tap_query,
};

static const struct bp_class *const net_tap_classes[] = {&net_tap_class, NULL};

BP_PLUGIN_NOTE(.id = "net-tap", .version = PLUGIN_VERSION,
               .classes = {{"net-tap", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_CORE_ID, struct bp_core_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host)});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "net-tap",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "network interface of the host",
    .classes = net_tap_classes,
};
