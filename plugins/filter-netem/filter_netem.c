/* SPDX-License-Identifier: Apache-2.0 */
/* filter-netem: a network as it is outside: slow, late, lossy, out of order. Time is the guest's.
 *
 * Threads: each lane on its loop; the control thread changes the rules, which are atomic. */
#include "netem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define PLUGIN_VERSION "1.0"
#define OWN_BYTES      (256u << 10) /* receive buffers: three of the longest frames */
#define SEND_BATCH     16u

struct netem_lane {
    struct netem_pipe pipe[2]; /* NETEM_SEND, NETEM_RECEIVE */
    uint32_t look_planned;
};

struct filter_netem {
    struct bp_services services;
    struct bp_net_stack stack;
    struct netem_rules rules;
    uint64_t seed;
    uint32_t limit, chunks;
};

static uint64_t
now_ns(const struct bp_net_lane *lane)
{
    const struct bp_services *host = lane->stack->services;

    return host->timer->now(host->instance, BP_CLOCK_VIRTUAL);
}

/* --- to the network -------------------------------------------------------------------------- */

/* Up to SEND_BATCH frames that are due. Returns how many are gone. */
static uint32_t
send_batch(struct bp_net_lane *lane, struct netem_pipe *pipe, uint64_t now)
{
    struct bp_iovec iov[SEND_BATCH][NETEM_PIECES];
    struct netem_entry entries[SEND_BATCH];
    struct bp_net_frame frames[SEND_BATCH];
    uint32_t most = bp_min_u32(SEND_BATCH, lane->queue.args.tx_depth - lane->flying_count);
    uint32_t count = 0, taken, done;

    while (count < most && netem_pipe_due(pipe, now) != NULL) {
        entries[count] = netem_pipe_pop(pipe);
        frames[count] = (struct bp_net_frame){
            .user = entries[count].first,
            .iov = iov[count],
            .iov_count = netem_pipe_pieces(pipe, &entries[count], iov[count]),
            .length = entries[count].length,
            .offload = entries[count].offload,
        };
        count++;
    }
    if (count == 0) {
        return 0;
    }
    taken = bp_net_lane_send(lane, frames, count, &done);
    for (uint32_t i = 0; i < done; i++) {
        netem_pipe_free(pipe, entries[i].first);
    }
    for (uint32_t i = taken; i < count; i++) {
        netem_pipe_unpop(pipe, &entries[i]);
    }
    return taken;
}

static void
send_due(struct bp_net_lane *lane)
{
    struct netem_lane *own = lane->data;
    uint64_t now = now_ns(lane);

    while (send_batch(lane, &own->pipe[NETEM_SEND], now) > 0) {
    }
}

/* --- to the guest ---------------------------------------------------------------------------- */

static void
receive_due(struct bp_net_lane *lane)
{
    struct netem_lane *own = lane->data;
    struct netem_pipe *pipe = &own->pipe[NETEM_RECEIVE];
    const struct netem_entry *entry;
    struct bp_iovec iov[NETEM_PIECES];
    uint64_t now = now_ns(lane);

    while ((entry = netem_pipe_due(pipe, now)) != NULL) {
        uint32_t pieces = netem_pipe_pieces(pipe, entry, iov);
        if (bp_net_rx_gather(&lane->queue, iov, pieces, entry->length, &entry->offload) == 0) {
            return; /* until something is posted */
        }
        netem_pipe_free(pipe, netem_pipe_pop(pipe).first);
    }
}

/* --- both ------------------------------------------------------------------------------------ */

/* The next moment at which something comes out that is not held up by others. */
static void
arm(struct bp_net_lane *lane)
{
    const struct netem_lane *own = lane->data;
    uint64_t now = now_ns(lane), next = UINT64_MAX;

    for (uint32_t i = 0; i < 2; i++) {
        const struct netem_pipe *pipe = &own->pipe[i];
        if (pipe->count > 0 && pipe->heap[0].due_ns > now && pipe->heap[0].due_ns < next) {
            next = pipe->heap[0].due_ns;
        }
    }
    if (next != UINT64_MAX) {
        bp_net_lane_arm(lane, next);
    }
}

static void
look(struct bp_net_lane *lane)
{
    send_due(lane);
    receive_due(lane);
    bp_net_lane_retry(lane); /* and what waited for room; delivers */
    arm(lane);
    bp_net_tx_room(&lane->queue);
}

static void
look_later(void *opaque)
{
    struct bp_net_lane *lane = opaque;

    if (lane->open) {
        ((struct netem_lane *)lane->data)->look_planned = 0;
        look(lane);
    }
}

static void
netem_posted(struct bp_net_lane *lane)
{
    const struct bp_services *host = lane->stack->services;
    struct netem_lane *own = lane->data;

    if (!own->look_planned && (own->pipe[NETEM_RECEIVE].count > 0 || lane->kept_count > 0)) {
        own->look_planned =
            host->loop->defer(host->instance, lane->queue.args.loop, look_later, lane) == 0;
    }
}

static uint32_t
netem_transmit(struct bp_net_lane *lane, const struct bp_net_frame *frames, uint32_t count,
               uint32_t *done)
{
    struct netem_lane *own = lane->data;
    uint32_t taken = 0, before;

    do {
        before = taken;
        while (taken < count &&
               netem_pipe_push(&own->pipe[NETEM_SEND], now_ns(lane), frames[taken].iov,
                               frames[taken].iov_count,
                               (uint32_t)bp_min_u64(frames[taken].length, UINT32_MAX),
                               &frames[taken].offload)) {
            taken++;
        }
        send_due(lane);
    } while (taken < count && taken > before);
    arm(lane);
    *done = taken; /* copied */
    return taken;
}

static void
netem_transmitted(struct bp_net_lane *lane, const uint64_t *users, uint32_t count)
{
    struct netem_lane *own = lane->data;

    for (uint32_t i = 0; i < count; i++) {
        netem_pipe_free(&own->pipe[NETEM_SEND], (uint32_t)users[i]);
    }
    look(lane);
}

static void
netem_flushed(struct bp_net_lane *lane)
{
    struct netem_lane *own = lane->data;

    for (uint32_t i = 0; i < lane->flying_count; i++) {
        netem_pipe_free(&own->pipe[NETEM_SEND], (uint32_t)lane->flying[i]);
    }
}

static uint32_t
netem_arrived(struct bp_net_lane *lane, const struct bp_iovec *iov, uint32_t iov_count,
              uint64_t length, const struct bp_net_offload *offload)
{
    struct netem_lane *own = lane->data;
    int taken = netem_pipe_push(&own->pipe[NETEM_RECEIVE], now_ns(lane), iov, iov_count,
                                (uint32_t)bp_min_u64(length, UINT32_MAX), offload);

    receive_due(lane);
    arm(lane);
    return taken != 0;
}

static int32_t
init_pipe(struct bp_net_lane *lane, uint32_t direction)
{
    const struct filter_netem *filter = lane->stack->self;
    const struct bp_services *host = &filter->services;
    struct netem_lane *own = lane->data;
    uint32_t id = 2 * lane->index + direction;
    void *memory;
    int32_t result = host->memory->arena_alloc(
        host->instance, id, (uint64_t)filter->chunks * NETEM_CHUNK, 4096, &memory);

    return result != 0 ? result
                       : netem_pipe_init(&own->pipe[direction], &filter->rules, memory,
                                         filter->chunks, filter->limit, filter->seed + id);
}

static void
netem_lane_done(struct bp_net_lane *lane)
{
    const struct bp_services *host = lane->stack->services;
    struct netem_lane *own = lane->data;

    for (uint32_t i = 0; i < 2; i++) {
        netem_pipe_done(&own->pipe[i]);
        host->memory->arena_free(host->instance, 2 * lane->index + i);
    }
}

static int32_t
netem_lane_init(struct bp_net_lane *lane)
{
    const struct bp_net_stack_ops *ops = lane->stack->ops;
    int32_t result = ops->transmit != NULL ? init_pipe(lane, NETEM_SEND) : 0;

    if (result == 0 && ops->arrived != NULL) {
        result = init_pipe(lane, NETEM_RECEIVE);
    }
    if (result != 0) {
        netem_lane_done(lane);
    }
    return result;
}

#define SENDING                                                                                    \
    .transmit = netem_transmit, .transmitted = netem_transmitted, .flushed = netem_flushed,        \
    .writable = look
#define RECEIVING .arrived = netem_arrived, .posted = netem_posted, .own_bytes = OWN_BYTES
#define ALWAYS                                                                                     \
    .expired = look, .lane_init = netem_lane_init, .lane_done = netem_lane_done,                   \
    .lane_size = sizeof(struct netem_lane)

static const struct bp_net_stack_ops netem_both = {SENDING, RECEIVING, ALWAYS};
static const struct bp_net_stack_ops netem_send = {SENDING, ALWAYS};
static const struct bp_net_stack_ops netem_receive = {RECEIVING, ALWAYS};

/* --- life ------------------------------------------------------------------------------------ */

/* Takes one of the rules over. Returns 0: it is none of them. */
static int
set_rule(struct filter_netem *filter, const char *name, double value)
{
    struct netem_rules *rules = &filter->rules;
    const struct {
        const char *name;
        _Atomic(uint64_t) *rule;
        double unit;
    } table[] = {
        {"delay_us", &rules->delay_ns, 1e3},           {"jitter_us", &rules->jitter_ns, 1e3},
        {"rate_kbit", &rules->bits_per_second, 1e3},   {"loss", &rules->loss, 42949672.96},
        {"duplicate", &rules->duplicate, 42949672.96}, {"reorder", &rules->reorder, 42949672.96},
    };

    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(table); i++) {
        if (strcmp(table[i].name, name) == 0) {
            atomic_store(table[i].rule, (uint64_t)(value * table[i].unit + 0.5));
            return 1;
        }
    }
    return 0;
}

static int32_t
read_rule(struct filter_netem *filter, const char *name, const struct bp_node *node)
{
    const struct bp_services *host = &filter->services;
    int percent =
        strcmp(name, "loss") == 0 || strcmp(name, "duplicate") == 0 || strcmp(name, "reorder") == 0;
    double value = 0;

    if (node != NULL && host->config->get_f64(host->instance, node, &value) != 0) {
        return -EINVAL;
    }
    if (percent && !(value >= 0 && value <= 100)) {
        return bp_fail(host, -EINVAL, node, "%s must be 0 to 100 per cent", name);
    }
    return set_rule(filter, name, value) ? 0 : -EINVAL;
}

static int32_t
netem_set(void *self, const char *name, const struct bp_node *node)
{
    return read_rule(self, name, node);
}

BP_NET_STACK_TABLES(netem_net, filter_netem, .set = netem_set);

static void
netem_destroy(void *self)
{
    struct filter_netem *filter = self;

    bp_net_stack_done(&filter->stack);
    free(filter);
}

static int32_t
read_options(struct filter_netem *filter, const struct bp_node *options)
{
    static const char *const rules[] = {"delay_us", "jitter_us", "rate_kbit",
                                        "loss",     "duplicate", "reorder"};
    const struct bp_services *host = &filter->services;
    const char *direction = bp_option_str(host, options, "direction", "both");
    int32_t result = 0;

    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(rules) && result == 0; i++) {
        result = read_rule(filter, rules[i], bp_option(host, options, rules[i]));
    }
    filter->stack.ops = strcmp(direction, "send") == 0      ? &netem_send
                        : strcmp(direction, "receive") == 0 ? &netem_receive
                                                            : &netem_both;
    filter->limit = (uint32_t)bp_option_u64(host, options, "limit", 1000);
    filter->chunks = (uint32_t)(bp_option_u64(host, options, "memory", 4u << 20) / NETEM_CHUNK);
    filter->seed = bp_option_u64(host, options, "seed", 0);
    if (filter->seed == 0 &&
        getrandom(&filter->seed, sizeof(filter->seed), 0) != (ssize_t)sizeof(filter->seed)) {
        filter->seed = 1;
    }
    return result;
}

static int32_t
netem_create(const struct bp_create *args, void **self)
{
    struct filter_netem *filter = calloc(1, sizeof(*filter));
    int32_t result;

    if (filter == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&filter->services, args->host, args->instance);
    filter->stack.services = &filter->services;
    filter->stack.self = filter;
    filter->stack.has_timer = 1;
    filter->stack.clock = BP_CLOCK_VIRTUAL;
    result = read_options(filter, args->config);
    if (result != 0) {
        netem_destroy(filter);
        return result;
    }
    *self = filter;
    return 0;
}

static const void *
netem_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_NET_ID)    ? (const void *)&netem_net_ops
           : bp_same_id(interface_id, BP_LIFE_ID) ? (const void *)&netem_net_life
                                                  : NULL;
}

static const char *const netem_directions[] = {"both", "send", "receive", NULL};

static const struct bp_prop netem_props[] = {
    {.name = "below",
     .type = BP_PROP_BACKEND,
     .flags = BP_PROP_REQUIRED,
     .help = "the network this one stands on"},
    {.name = "direction",
     .type = BP_PROP_ENUM,
     .def = "both",
     .choices = netem_directions,
     .help = "of the frames, as the guest sees it"},
    {.name = "delay_us",
     .type = BP_PROP_UINT,
     .flags = BP_PROP_RUNTIME,
     .def = "0",
     .max = 60000000,
     .help = "microseconds that a frame travels"},
    {.name = "jitter_us",
     .type = BP_PROP_UINT,
     .flags = BP_PROP_RUNTIME,
     .def = "0",
     .max = 60000000,
     .help = "microseconds that it may be early or late; order stays"},
    {.name = "rate_kbit",
     .type = BP_PROP_UINT,
     .flags = BP_PROP_RUNTIME,
     .def = "0",
     .max = 1000000000,
     .help = "kilobits a second; 0: any number"},
    {.name = "loss",
     .type = BP_PROP_FLOAT,
     .flags = BP_PROP_RUNTIME,
     .def = "0.0",
     .help = "per cent of frames that are lost"},
    {.name = "duplicate",
     .type = BP_PROP_FLOAT,
     .flags = BP_PROP_RUNTIME,
     .def = "0.0",
     .help = "per cent of frames that come twice"},
    {.name = "reorder",
     .type = BP_PROP_FLOAT,
     .flags = BP_PROP_RUNTIME,
     .def = "0.0",
     .help = "per cent of frames that do not wait for delay_us"},
    {.name = "limit",
     .type = BP_PROP_UINT,
     .def = "1000",
     .min = 1,
     .max = 1 << 20,
     .help = "frames that travel at a time, in each direction of each queue"},
    {.name = "memory",
     .type = BP_PROP_SIZE,
     .def = "4M",
     .min = 128 << 10,
     .max = 256 << 20,
     .help = "bytes for them"},
    {.name = "seed",
     .type = BP_PROP_UINT,
     .def = "0",
     .help = "the same seed gives the same fate; 0: another each time"},
    {.name = NULL},
};

static const struct bp_slot netem_slots[] = {
    {.name = "below", .interface_id = BP_NET_ID, .min = 1, .max = 1, .flags = BP_SLOT_HOTPLUG},
    {.name = NULL},
};

static const char *const netem_provides[] = {BP_NET_ID, NULL};

static const struct bp_class netem_class = {
    .size = sizeof(netem_class),
    .kind = BP_KIND_BACKEND,
    .name = "filter-netem",
    .thread_model = BP_THREADS_PARALLEL,
    .help = "delays, loses, doubles and reorders frames",
    .props = netem_props,
    .slots = netem_slots,
    .provides = netem_provides,
    .create = netem_create,
    .destroy = netem_destroy,
    .query = netem_query,
};

static const struct bp_class *const netem_classes[] = {&netem_class, NULL};

BP_PLUGIN_NOTE(.id = "filter-netem", .version = PLUGIN_VERSION,
               .classes = {{"filter-netem", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_MEMORY_ID, struct bp_memory_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host)});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "filter-netem",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "delays, loses, doubles and reorders frames",
    .classes = netem_classes,
};
