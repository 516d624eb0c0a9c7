/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net: the network card. See virtio_net.h. */
#include "virtio_net.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLUGIN_VERSION "1.0"
#define ARENA_SOFT     16u /* + pair */

int
net_has(const struct net *net, uint64_t feature)
{
    return (bp_virtio_features(net->virtio) & feature) != 0;
}

int
net_link_up(const struct net *net)
{
    return atomic_load_explicit(&net->link, memory_order_relaxed) &&
           atomic_load_explicit(&net->backend_link, memory_order_relaxed);
}

void
net_show_status(struct net *net, uint32_t notify)
{
    uint8_t status[2];

    bp_store_le(status, 2,
                (net_link_up(net) ? NET_STATUS_LINK_UP : 0) |
                    (atomic_load(&net->announce) ? NET_STATUS_ANNOUNCE : 0));
    bp_virtio_config_set(net->virtio, NET_CFG_STATUS, status, 2, notify);
}

void
net_set_link(struct net *net, uint32_t up)
{
    if (atomic_exchange(&net->link, up) != up) {
        net_show_status(net, 1);
    }
}

void
net_ask_announcement(struct net *net)
{
    if (net_has(net, NET_F_GUEST_ANNOUNCE)) {
        atomic_store(&net->announce, 1);
        net_show_status(net, 1);
    }
}

void
net_show_mac(struct net *net)
{
    bp_virtio_config_set(net->virtio, NET_CFG_MAC, net->rules.mac, 6, 0);
}

void
net_show_all(struct net *net)
{
    uint8_t at[NET_CFG_BYTES];

    memset(at, 0, sizeof(at));
    bp_store_le(at + NET_CFG_MAX_PAIRS, 2, net->pairs);
    bp_store_le(at + NET_CFG_MTU, 2, net->mtu);
    bp_store_le(at + NET_CFG_SPEED, 4, net->speed != 0 ? net->speed : UINT32_MAX);
    at[NET_CFG_DUPLEX] = net->speed != 0 ? (uint8_t)net->duplex : 0xff;
    at[NET_CFG_KEY_SIZE] = BP_NET_HASH_KEY_MAX;
    bp_store_le(at + NET_CFG_TABLE_SIZE, 2, net->rss ? NET_RSS_TABLE : 0);
    bp_store_le(at + NET_CFG_HASHES, 4, NET_HASH_TYPES);
    bp_virtio_config_set(net->virtio, NET_CFG_MAX_PAIRS, at + NET_CFG_MAX_PAIRS,
                         sizeof(at) - NET_CFG_MAX_PAIRS, 0);
    net_show_mac(net);
    net_show_status(net, 0);
}

/* --- the transport's view -------------------------------------------------------------------- */

/* Without MQ and RSS the control queue follows the first pair (5.1.2). */
static uint32_t
control_index(const struct net *net)
{
    return net_has(net, NET_F_MQ | NET_F_RSS) ? net->pairs * 2 : 2;
}

static void
net_run(void *device, struct bp_virtqueue *queue)
{
    struct net *net = device;
    uint32_t index = bp_virtqueue_index(queue);

    if (index == control_index(net) && net_has(net, NET_F_CTRL_VQ)) {
        net_control_run(net, queue);
    } else if (index >= net->pairs * 2) {
        bp_virtqueue_wait(queue); /* nobody's: a control queue that was not negotiated */
    } else if (index & 1) {
        net_tx_run(&net->pair[index / 2]);
    } else {
        net_rx_run(&net->pair[index / 2]);
    }
}

static void
net_retry(void *device, struct bp_virtqueue *queue)
{
    struct net *net = device;
    uint32_t index = bp_virtqueue_index(queue);

    if (index < net->pairs * 2 && (index & 1) == 0) {
        net_rx_retry(&net->pair[index / 2]);
    }
}

/* The first queue of a new driver starts: what follows from its features. */
static void
settle(struct net *net)
{
    pthread_mutex_lock(&net->lock);
    net->rules.filter_vlans = (uint8_t)net_has(net, NET_F_CTRL_VLAN);
    net_rules_publish(net);
    pthread_mutex_unlock(&net->lock);
    atomic_store(&net->offloads, bp_virtio_features(net->virtio));
    net_apply_offloads(net);
    net_apply_pairs(net);
}

/* Features are settled: what a pair needs to know of them for each packet. */
static void
net_queue_start(void *device, struct bp_virtqueue *queue)
{
    struct net *net = device;
    uint32_t index = bp_virtqueue_index(queue);
    struct net_pair *pair;

    if (index >= net->pairs * 2) {
        return;
    }
    pair = &net->pair[index / 2];
    pair->merge = net_has(net, NET_F_MRG_RXBUF) ? BP_NET_MERGE : 0;
    pair->takes_hash = net_has(net, NET_F_HASH_REPORT);
    pair->spreads = net_has(net, NET_F_RSS);
    pair->header = pair->takes_hash                                     ? NET_HDR_WITH_HASH
                   : pair->merge || net_has(net, BP_VIRTIO_F_VERSION_1) ? NET_HDR_MERGE
                                                                        : NET_HDR_LEGACY;
    if ((index & 1) == 0) {
        pair->is_live = 1;
    }
    if (atomic_exchange(&net->settled, 1) == 0) {
        settle(net);
    }
}

static void
retract_later(struct net *net, struct net_pair *pair, uint32_t loop)
{
    if (net->host.loop->defer(net->host.instance, loop, net_retract, pair) != 0) {
        bp_error(&net->host, "cannot stop the queues of pair %u", pair->index);
    }
}

/* The driver takes a queue back, under its lock: the chains come back by way of the loop. */
static void
net_queue_stop(void *device, struct bp_virtqueue *queue)
{
    struct net *net = device;
    uint32_t index = bp_virtqueue_index(queue), i;
    const struct net_pair *outlet;
    struct net_pair *pair;

    if (index >= net->pairs * 2) {
        return;
    }
    pair = &net->pair[index / 2];
    outlet = net_outlet(pair);
    if ((index & 1) == 0) {
        pair->is_live = 0;
    }
    if (pair->spreads) { /* any pair's staging buffers may serve this one */
        for (i = 0; i < net->pairs; i++) {
            retract_later(net, &net->pair[i], net->pair[i].loop);
        }
        return;
    }
    /* A transmit queue's frames are with its outlet, whose flush may touch its neighbours: they are
     * held, and tried again. */
    retract_later(net, outlet != NULL && (index & 1) ? &net->pair[outlet->index] : pair,
                  outlet != NULL ? outlet->loop : pair->loop);
}

static void
net_queue_drain(void *device, struct bp_virtqueue *queue)
{
    struct net *net = device;

    if (bp_virtqueue_index(queue) == 0) {
        net_retract_all(net);
    }
}

static int32_t
net_features(void *device, uint64_t features)
{
    return net_features_check(features);
}

/* Drivers without CTRL_MAC_ADDR set the address here, byte by byte (5.1.4.1). */
static void
net_config_write(void *device, uint32_t offset, uint32_t width, uint64_t value)
{
    struct net *net = device;
    uint8_t bytes[8];

    if (!bp_virtio_legacy(net->virtio) || net_has(net, NET_F_CTRL_MAC_ADDR) ||
        offset + width > NET_CFG_MAC + 6) {
        return;
    }
    bp_store_le(bytes, width, value);
    pthread_mutex_lock(&net->lock);
    memcpy(net->rules.mac + offset, bytes, width);
    net_show_mac(net);
    net_rules_publish(net);
    pthread_mutex_unlock(&net->lock);
}

static void
net_reset_device(void *device)
{
    struct net *net = device;

    atomic_fetch_add(&net->epoch, 1);
    atomic_store(&net->settled, 0);
    atomic_store(&net->announce, 0);
    atomic_store(&net->active_pairs, 1);
    atomic_store(&net->offloads, 0);
    for (uint32_t i = 0; i < net->pairs; i++) {
        net_coalesce_reset(&net->pair[i]);
        net->pair[i].soft->skip = 0;
    }
    pthread_mutex_lock(&net->lock);
    net_rules_reset(net);
    net_rules_publish(net);
    pthread_mutex_unlock(&net->lock);
    net_show_all(net);
}

static const struct bp_virtio_ops net_virtio_ops = {
    .run = net_run,
    .retry = net_retry,
    .start = net_queue_start,
    .stop = net_queue_stop,
    .drain = net_queue_drain,
    .features = net_features,
    .config_write = net_config_write,
    .reset = net_reset_device,
};

/* --- life ------------------------------------------------------------------------------------ */

static int32_t
net_realize(void *self)
{
    struct net *net = self;
    int32_t result;

    net_show_all(net);
    /* SeaBIOS looks for the function's part of it when it runs the ROM. */
    result = net->host.core->boot_path(net->host.instance, "", "ethernet-phy@0");
    return result == 0 ? 0 : bp_fail(&net->host, result, NULL, "cannot be described to firmware");
}

static void
net_start(void *self)
{
    bp_virtio_start(((struct net *)self)->virtio);
}

static void
net_stop(void *self)
{
    struct net *net = self;

    bp_virtio_stop(net->virtio);
    net_retract_all(net);
}

static void
net_reset(void *self, uint32_t kind)
{
    bp_virtio_reset(((struct net *)self)->virtio);
}

static int32_t
net_quiesce(void *self, uint64_t deadline_ns)
{
    struct net *net = self;
    int32_t result;

    atomic_fetch_or(&net->parked, PARKED_QUIET);
    result = bp_virtio_quiesce(net->virtio);
    net_retract_all(net);
    return result;
}

static void
net_resume(void *self)
{
    struct net *net = self;

    atomic_fetch_and(&net->parked, ~PARKED_QUIET);
    bp_virtio_resume(net->virtio);
}

static void
net_ram_changed(void *self)
{
    bp_virtio_ram_changed(((struct net *)self)->virtio);
}

static int32_t
net_set(void *self, const char *name, const struct bp_node *node)
{
    struct net *net = self;
    uint32_t link;

    if (!bp_same_id(name, "link") ||
        net->host.config->get_bool(net->host.instance, node, &link) != 0) {
        return -EINVAL;
    }
    net_set_link(net, link);
    return 0;
}

static const struct bp_life_ops net_life = {
    .size = sizeof(net_life),
    .realize = net_realize,
    .start = net_start,
    .stop = net_stop,
    .reset = net_reset,
    .quiesce = net_quiesce,
    .resume = net_resume,
    .attach = net_attach,
    .detach = net_detach,
    .ram_changed = net_ram_changed,
    .set = net_set,
};

/* --- creation -------------------------------------------------------------------------------- */

static void
net_destroy(void *self)
{
    struct net *net = self;

    for (uint32_t i = 0; i < net->pairs && net->pair != NULL; i++) {
        net_coalesce_done(&net->pair[i]);
        pthread_mutex_destroy(&net->pair[i].lock);
        net_steer_done(&net->pair[i]);
        free(net->pair[i].soft);
    }
    pthread_mutex_destroy(&net->lock);
    bp_virtio_free(net->virtio);
    free(net->pair);
    free(net);
}

static int32_t
make_pair(struct net *net, uint32_t index)
{
    struct net_pair *pair = &net->pair[index];
    void *headers = NULL;
    int32_t result;

    pair->net = net;
    pair->index = index;
    pair->rx = bp_virtio_queue(net->virtio, index * 2);
    pair->tx = bp_virtio_queue(net->virtio, index * 2 + 1);
    pair->loop = bp_virtqueue_loop(pair->rx);
    if (bp_virtqueue_loop(pair->tx) != pair->loop) {
        return bp_fail(&net->host, -EINVAL, NULL,
                       "queue_loops: queues %u and %u are a pair and need the same loop", index * 2,
                       index * 2 + 1);
    }
    pair->soft = calloc(1, sizeof(*pair->soft));
    if (pair->soft == NULL) {
        return -ENOMEM;
    }
    result =
        net->host.memory->arena_alloc(net->host.instance, ARENA_SOFT + index,
                                      (uint64_t)SOFT_SLOTS * BP_NET_SEGMENT_HEADER, 64, &headers);
    pair->soft->headers = headers;
    if (result == 0 && net->rss) {
        result = net_steer_init(pair);
    }
    return result == 0 ? net_coalesce_init(pair) : result;
}

/* The ROM, if it is there: a default that is not installed is no error. */
static const char *
rom_path(const struct net *net, const struct bp_node *options)
{
    const char *path = bp_option_str(&net->host, options, "rom", "");

    return path[0] != '\0' && access(path, R_OK) == 0 ? path : NULL;
}

static int32_t
make_transport(struct net *net, const struct bp_node *options)
{
    const struct bp_virtio_args args = {
        .services = &net->host,
        .ops = &net_virtio_ops,
        .device = net,
        .options = options,
        .type = BP_VIRTIO_TYPE_NET,
        .base_class = 0x02, /* network, Ethernet */
        .sub_class = 0x00,
        .config_length = NET_CFG_BYTES,
        .queues = net->pairs * 2 + 1,
        .rom_path = rom_path(net, options),
    };
    int32_t result;

    net->pair = calloc(net->pairs, sizeof(*net->pair));
    if (net->pair == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < net->pairs; i++) {
        pthread_mutex_init(&net->pair[i].lock, NULL);
    }
    result = bp_virtio_new(&args, &net->virtio);
    for (uint32_t i = 0; i < net->pairs && result == 0; i++) {
        result = make_pair(net, i);
    }
    return result;
}

static int32_t
net_create(const struct bp_create *args, void **self)
{
    struct net *net = calloc(1, sizeof(*net));
    int32_t result;

    if (net == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_init(&net->lock, NULL);
    bp_services_init(&net->host, args->host, args->instance);
    net->id = args->id;
    result = net_read_options(net, args->config);
    if (result == 0) {
        result = make_transport(net, args->config);
    }
    if (result != 0) {
        /* Whoever knew more has said it already: the first text counts. */
        result = bp_fail(&net->host, result, NULL, "cannot be set up: %s", strerror(-result));
        net_destroy(net);
        return result;
    }
    bp_virtio_offer(net->virtio, net_features_offered(net, args->config),
                    NET_F_NOTF_COAL | NET_F_VQ_NOTF_COAL | NET_F_HASH_REPORT | NET_F_RSS |
                        NET_F_SPEED_DUPLEX);
    net_reset_device(net);
    *self = net;
    return 0;
}

static int32_t
net_answer(void *self, const char *name, const struct bp_node *options,
           const struct bp_inspect_answer *answer)
{
    const struct net *net = self;

    return bp_virtio_answer(net->virtio, net->id, name, options, answer);
}

static const struct bp_inspect_ops net_inspect = {
    .size = sizeof(net_inspect),
    .questions = bp_virtio_questions,
    .answer = net_answer,
};

static const void *
net_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_LIFE_ID)      ? (const void *)&net_life
           : bp_same_id(interface_id, BP_STATE_ID)   ? (const void *)&net_state
           : bp_same_id(interface_id, BP_NIC_ID)     ? (const void *)&net_nic
           : bp_same_id(interface_id, BP_INSPECT_ID) ? (const void *)&net_inspect
                                                     : NULL;
}

/* --- description ----------------------------------------------------------------------------- */

#define NET_PROMISES BP_PROMISE_DIRTY_TRACKED

static const struct bp_slot net_slots[] = {
    [SLOT_BACKEND] = {.name = "backend",
                      .interface_id = BP_NET_ID,
                      .min = 1,
                      .max = 1,
                      .flags = BP_SLOT_HOTPLUG},
    {.name = NULL},
};

static const struct bp_class net_class = {
    .size = sizeof(net_class),
    .kind = BP_KIND_DEVICE,
    .name = "virtio-net",
    .thread_model = BP_THREADS_PER_QUEUE,
    .promises = NET_PROMISES,
    .state_version = 1,
    .state_min = 1,
    .bus = BP_BUS_PCI,
    .help = "virtio network card",
    .props = net_props,
    .slots = net_slots,
    .create = net_create,
    .destroy = net_destroy,
    .query = net_query,
};

static const struct bp_class *const net_classes[] = {&net_class, NULL};

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "virtio-net",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "virtio network card",
    .classes = net_classes,
};

BP_PLUGIN_NOTE(.id = "virtio-net", .version = PLUGIN_VERSION,
               .classes = {{"virtio-net", BP_KIND_DEVICE, BP_THREADS_PER_QUEUE, NET_PROMISES, 1, 1,
                            0}},
               .needs = {BP_VIRTIO_NEEDS, BP_NEED(BP_TIMER_ID, struct bp_timer_host)});
