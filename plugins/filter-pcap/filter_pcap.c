/* SPDX-License-Identifier: Apache-2.0 */
/* filter-pcap: writes down what passes. See capture.h. */
#include "capture.h"

#include <stdlib.h>
#include <string.h>

#define PLUGIN_VERSION "1.0"
#define THREAD         0u

/* pcapng, epb_flags. */
#define FLAG_CHECKSUM_NOT_READY (1u << 9)
#define FLAG_CHECKSUM_VALID     (1u << 10)
#define FLAG_SEGMENTATION       (1u << 11)

struct filter_pcap {
    struct bp_services services;
    struct bp_net_stack stack;
    struct capture capture;
    uint32_t ring_size;
};

/* --- on the loop ----------------------------------------------------------------------------- */

static void
note(struct bp_net_lane *lane, uint32_t direction, const struct bp_iovec *iov, uint32_t iov_count,
     uint64_t length, const struct bp_net_offload *offload)
{
    struct filter_pcap *filter = lane->stack->self;
    const struct bp_services *host = &filter->services;
    struct capture_record record = {
        .original = (uint32_t)length,
        .flags = direction,
        .wall_ns = host->timer->now(host->instance, BP_CLOCK_WALL),
    };

    record.flags |= (offload->flags & BP_NET_NEEDS_CSUM) != 0 ? FLAG_CHECKSUM_NOT_READY : 0;
    record.flags |= (offload->flags & BP_NET_DATA_VALID) != 0 ? FLAG_CHECKSUM_VALID : 0;
    record.flags |= offload->gso_type != BP_NET_GSO_NONE ? FLAG_SEGMENTATION : 0;
    capture_put(&filter->capture, lane->index, iov, iov_count, record);
}

static void
pcap_sent(struct bp_net_lane *lane, const struct bp_net_frame *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (frames[i].length <= BP_NET_MAX_FRAME) {
            note(lane, CAPTURE_OUTBOUND, frames[i].iov, frames[i].iov_count, frames[i].length,
                 &frames[i].offload);
        }
    }
}

static void
pcap_seen(struct bp_net_lane *lane, const struct bp_iovec *iov, uint32_t iov_count,
          const struct bp_net_received *first, uint64_t length)
{
    if (length <= BP_NET_MAX_FRAME) {
        note(lane, CAPTURE_INBOUND, iov, iov_count, length, &first->offload);
    }
}

static int32_t
pcap_lane_init(struct bp_net_lane *lane)
{
    struct filter_pcap *filter = lane->stack->self;
    struct capture *capture = &filter->capture;
    int32_t result = capture_ring_init(&capture->rings[lane->index], filter->ring_size);

    if (result == 0 && lane->index >= atomic_load(&capture->ring_count)) {
        /* Pairs with the acquire of the thread: the ring is there before its number. */
        atomic_store_explicit(&capture->ring_count, lane->index + 1, memory_order_release);
    }
    return result;
}

static const struct bp_net_stack_ops pcap_stack_ops = {
    .sent = pcap_sent,
    .seen = pcap_seen,
    .lane_init = pcap_lane_init,
};

BP_NET_STACK_TABLES(pcap_net, filter_pcap, .flags = 0);

/* --- life ------------------------------------------------------------------------------------ */

static void
pcap_destroy(void *self)
{
    struct filter_pcap *filter = self;

    capture_end(&filter->capture);
    bp_net_stack_done(&filter->stack);
    free(filter);
}

static int32_t
begin(struct filter_pcap *filter, const struct bp_create *args)
{
    const struct bp_services *host = &filter->services;
    struct capture *capture = &filter->capture;
    const struct bp_node *node = bp_option(host, args->config, "path");
    const char *path = bp_option_str(host, args->config, "path", "");
    uint64_t size = bp_option_u64(host, args->config, "buffer", 4u << 20);
    int32_t result;

    filter->ring_size = 1u << 17; /* the longest frame fits */
    while (filter->ring_size < size) {
        filter->ring_size <<= 1;
    }
    capture->snap_length = (uint32_t)bp_option_u64(host, args->config, "snap_length", 0);
    if (capture->snap_length == 0) {
        capture->snap_length = BP_NET_MAX_FRAME;
    }
    capture->max_size = bp_option_u64(host, args->config, "max_size", 0);
    capture->fd =
        host->core->open(host->instance, path, BP_OPEN_WRITE | BP_OPEN_CREATE | BP_OPEN_TRUNC);
    if (capture->fd < 0) {
        return bp_fail(host, capture->fd, node, "cannot write '%s': %s", path,
                       strerror(-capture->fd));
    }
    result = capture_begin(capture, args->id);
    if (result != 0) {
        return bp_fail(host, result, node, "cannot begin the capture in '%s'", path);
    }
    return host->loop->thread_start(host->instance, THREAD, "pcap", capture_thread, capture_stop,
                                    capture);
}

static int32_t
pcap_create(const struct bp_create *args, void **self)
{
    struct filter_pcap *filter = calloc(1, sizeof(*filter));
    int32_t result;

    if (filter == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&filter->services, args->host, args->instance);
    filter->stack.services = &filter->services;
    filter->stack.ops = &pcap_stack_ops;
    filter->stack.self = filter;
    filter->capture.host = &filter->services;
    filter->capture.fd = filter->capture.wake = -1;
    result = begin(filter, args);
    if (result != 0) {
        result = bp_fail(&filter->services, result, NULL, "cannot be set up: %s",
                         strerror(-result)); /* a reason given before counts */
        pcap_destroy(filter);
        return result;
    }
    *self = filter;
    return 0;
}

static const void *
pcap_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_NET_ID)    ? (const void *)&pcap_net_ops
           : bp_same_id(interface_id, BP_LIFE_ID) ? (const void *)&pcap_net_life
                                                  : NULL;
}

static const struct bp_prop pcap_props[] = {
    {.name = "below",
     .type = BP_PROP_BACKEND,
     .flags = BP_PROP_REQUIRED,
     .help = "the network this one stands on"},
    {.name = "path",
     .type = BP_PROP_PATH,
     .flags = BP_PROP_REQUIRED,
     .help = "file to write, anew each time"},
    {.name = "snap_length",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = BP_NET_MAX_FRAME,
     .help = "bytes of each frame to keep; 0: all"},
    {.name = "max_size",
     .type = BP_PROP_SIZE,
     .def = "0",
     .help = "size at which the capture ends; 0: none"},
    {.name = "buffer",
     .type = BP_PROP_SIZE,
     .def = "4M",
     .min = 128 << 10,
     .max = 1 << 30,
     .help = "bytes of each queue that may wait for the disk"},
    {.name = NULL},
};

static const struct bp_slot pcap_slots[] = {
    {.name = "below", .interface_id = BP_NET_ID, .min = 1, .max = 1, .flags = BP_SLOT_HOTPLUG},
    {.name = NULL},
};

static const char *const pcap_provides[] = {BP_NET_ID, NULL};

static const struct bp_class pcap_class = {
    .size = sizeof(pcap_class),
    .kind = BP_KIND_BACKEND,
    .name = "filter-pcap",
    .thread_model = BP_THREADS_PARALLEL,
    .help = "writes what passes to a pcapng file",
    .props = pcap_props,
    .slots = pcap_slots,
    .provides = pcap_provides,
    .create = pcap_create,
    .destroy = pcap_destroy,
    .query = pcap_query,
};

static const struct bp_class *const pcap_classes[] = {&pcap_class, NULL};

BP_PLUGIN_NOTE(.id = "filter-pcap", .version = PLUGIN_VERSION,
               .classes = {{"filter-pcap", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_CORE_ID, struct bp_core_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host)});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "filter-pcap",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "writes what passes to a pcapng file",
    .classes = pcap_classes,
};
