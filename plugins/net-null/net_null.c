/* SPDX-License-Identifier: Apache-2.0 */
/* net-null: a cable that ends nowhere. What is sent disappears at once, nothing is ever received.
 * With every offload, so that it measures what is above it.
 *
 * Threads: none of its own; each queue is its loop's. */
#include <backplane/sdk/net.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PLUGIN_VERSION "1.0"
#define ALL_FEATURES                                                                               \
    (BP_NET_CSUM | BP_NET_TSO4 | BP_NET_TSO6 | BP_NET_ECN | BP_NET_UFO | BP_NET_USO4 | BP_NET_USO6)

struct net_null {
    struct bp_services services;
    struct bp_net_info info;
    uint32_t open[BP_NET_MAX_QUEUES]; /* [control] */
    _Atomic(uint32_t) link;
};

static int32_t
net_null_info(void *self, struct bp_net_info *info)
{
    struct net_null *null = self;
    struct bp_net_info full = null->info;

    full.flags = atomic_load(&null->link) ? BP_NET_LINK_UP : 0;
    bp_net_info_copy(info, &full);
    return 0;
}

static int32_t
net_null_queue_open(void *self, const struct bp_net_queue_args *args, void **ret_queue)
{
    struct net_null *null = self;
    struct bp_net_queue *queue = malloc(sizeof(*queue));
    int32_t result = queue != NULL ? bp_net_queue_init(queue, args, null->info.queues) : -ENOMEM;

    if (result == 0 && null->open[queue->args.index]) {
        bp_net_queue_done(queue);
        result = -EBUSY;
    }
    if (result == 0 && queue->args.loop >= null->services.loop->count(null->services.instance)) {
        bp_net_queue_done(queue);
        result = -ENOENT;
    }
    if (result != 0) {
        free(queue);
        return result;
    }
    null->open[queue->args.index] = 1;
    *ret_queue = queue;
    return 0;
}

static void
net_null_queue_close(void *self, void *opaque)
{
    struct net_null *null = self;
    struct bp_net_queue *queue = opaque;

    null->open[queue->args.index] = 0;
    bp_net_queue_done(queue);
    free(queue);
}

static int32_t
net_null_set_features(void *self, uint32_t features)
{
    return (features & ~ALL_FEATURES) == 0 ? 0 : -EINVAL;
}

static int32_t
net_null_transmit(void *self, void *queue, const struct bp_net_frame *frames, uint32_t count,
                  uint32_t *done)
{
    *done = count;
    return (int32_t)count;
}

static int32_t
net_null_post(void *self, void *queue, const struct bp_net_buffer *buffers, uint32_t count)
{
    return bp_net_queue_post(queue, buffers, count);
}

static void
net_null_flush(void *self, void *queue)
{
    bp_net_queue_flush(queue);
}

static const struct bp_net_ops net_null_ops = {
    .size = sizeof(net_null_ops),
    .info = net_null_info,
    .queue_open = net_null_queue_open,
    .queue_close = net_null_queue_close,
    .set_features = net_null_set_features,
    .transmit = net_null_transmit,
    .post = net_null_post,
    .flush = net_null_flush,
};

static const void *
net_null_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_NET_ID) ? &net_null_ops : NULL;
}

static int32_t
net_null_create(const struct bp_create *args, void **self)
{
    struct net_null *null = calloc(1, sizeof(*null));
    struct bp_services *services;

    if (null == NULL) {
        return -ENOMEM;
    }
    services = &null->services;
    bp_services_init(services, args->host, args->instance);
    null->info.size = sizeof(null->info);
    null->info.tx_features = ALL_FEATURES;
    null->info.rx_features = ALL_FEATURES;
    null->info.queues = (uint32_t)bp_option_u64(services, args->config, "queues", 16);
    null->info.mtu = (uint32_t)bp_option_u64(services, args->config, "mtu", 0);
    null->info.speed = (uint32_t)bp_option_u64(services, args->config, "speed", 0);
    atomic_store(&null->link, bp_option_bool(services, args->config, "link", 1));
    *self = null;
    return 0;
}

static void
net_null_destroy(void *self)
{
    free(self);
}

static const struct bp_prop net_null_props[] = {
    {.name = "link", .type = BP_PROP_BOOL, .def = "true", .help = "the cable is plugged in"},
    {.name = "queues",
     .type = BP_PROP_UINT,
     .def = "16",
     .min = 1,
     .max = BP_NET_MAX_QUEUES,
     .help = "queue pairs it offers"},
    {.name = "mtu",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = 65535,
     .help = "MTU it tells its device; 0: none"},
    {.name = "speed",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = 1000000,
     .help = "speed it tells its device, Mbit/s; 0: unknown"},
    {.name = NULL},
};

static const char *const net_null_provides[] = {BP_NET_ID, NULL};

static const struct bp_class net_null_class = {
    .size = sizeof(net_null_class),
    .kind = BP_KIND_BACKEND,
    .name = "net-null",
    .thread_model = BP_THREADS_PARALLEL,
    .help = "network that nobody is on",
    .props = net_null_props,
    .provides = net_null_provides,
    .create = net_null_create,
    .destroy = net_null_destroy,
    .query = net_null_query,
};

static const struct bp_class *const net_null_classes[] = {&net_null_class, NULL};

BP_PLUGIN_NOTE(.id = "net-null", .version = PLUGIN_VERSION,
               .classes = {{"net-null", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host)});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "net-null",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "network that nobody is on",
    .classes = net_null_classes,
};
