/* SPDX-License-Identifier: Apache-2.0 */
/* filter-throttle: limits operations and bytes a second, with bursts, on the virtual clock.
 *
 * A request takes from every limit that concerns it when it comes and waits in its lane until its
 * time. Requests of one direction have times that never fall, so that two lists in order of arrival
 * are all there is to search.
 *
 * Threads: requests on the loop of each queue; the buckets are shared by all and take no lock. */
#include "bucket.h"

#include <backplane/sdk/block_stack.h>

#include <stdlib.h>
#include <string.h>

#define PLUGIN_VERSION "1.0"
#define MAX_RATE       (INT64_C(1) << 40)
#define MAX_LENGTH_S   3600

enum { ALL, READS, WRITES, DIRECTIONS };
enum { OPERATIONS, BYTES, KINDS };

struct filter_throttle {
    struct bp_services services;
    struct bp_block_stack stack;
    struct limit limits[KINDS][DIRECTIONS];
    _Atomic(uint64_t) operation_size;
    /* The control thread's, to set a limit anew when one of its options changes. */
    uint64_t rates[KINDS][DIRECTIONS], peaks[KINDS][DIRECTIONS], length_s;
};

struct waiting {
    struct bp_block_flight *first, **last;
};

struct throttle_lane {
    struct waiting reads, writes;
};

struct throttle_flight {
    uint64_t due_ns;
};

/* --- on the loop ----------------------------------------------------------------------------- */

static uint64_t
now_ns(struct bp_block_lane *lane)
{
    const struct filter_throttle *filter = bp_block_lane_self(lane);

    return filter->services.timer->now(filter->services.instance, BP_CLOCK_VIRTUAL);
}

static uint64_t
units_of(struct filter_throttle *filter, const struct bp_block_request *request, uint32_t kind)
{
    uint32_t moves_data = request->op == BP_BLOCK_READ || request->op == BP_BLOCK_WRITE;
    uint64_t size = atomic_load_explicit(&filter->operation_size, memory_order_relaxed);

    if (kind == BYTES) {
        return moves_data ? request->length : 0;
    }
    return size == 0 || !moves_data || request->length <= size
               ? 1
               : (request->length + size - 1) / size;
}

static uint64_t
take(struct filter_throttle *filter, const struct bp_block_request *request, uint64_t now)
{
    uint32_t kind, direction = request->op == BP_BLOCK_READ ? READS : WRITES;
    uint64_t due_ns = now;

    for (kind = 0; kind < KINDS; kind++) {
        uint64_t units = units_of(filter, request, kind);
        uint64_t all_ns = limit_take(&filter->limits[kind][ALL], units, now);
        uint64_t own_ns = limit_take(&filter->limits[kind][direction], units, now);

        due_ns = all_ns > due_ns ? all_ns : due_ns;
        due_ns = own_ns > due_ns ? own_ns : due_ns;
    }
    return due_ns;
}

static void
give_back(struct filter_throttle *filter, const struct bp_block_request *request)
{
    uint32_t kind, direction = request->op == BP_BLOCK_READ ? READS : WRITES;

    for (kind = 0; kind < KINDS; kind++) {
        uint64_t units = units_of(filter, request, kind);

        limit_return(&filter->limits[kind][ALL], units);
        limit_return(&filter->limits[kind][direction], units);
    }
}

static void
add(struct waiting *waiting, struct bp_block_flight *flight)
{
    flight->next = NULL;
    *waiting->last = flight;
    waiting->last = &flight->next;
}

static uint64_t
due_of(const struct waiting *waiting)
{
    return waiting->first != NULL ? ((const struct throttle_flight *)waiting->first->data)->due_ns
                                  : UINT64_MAX;
}

static void
release(struct waiting *waiting, uint64_t until_ns)
{
    while (waiting->first != NULL && due_of(waiting) <= until_ns) {
        struct bp_block_flight *flight = waiting->first;

        waiting->first = flight->next;
        if (waiting->first == NULL) {
            waiting->last = &waiting->first;
        }
        bp_block_pass(flight);
    }
}

static void
release_both(struct bp_block_lane *lane, uint64_t until_ns)
{
    struct throttle_lane *own = bp_block_lane_data(lane);
    uint64_t read_ns, write_ns;

    release(&own->reads, until_ns);
    release(&own->writes, until_ns);
    read_ns = due_of(&own->reads);
    write_ns = due_of(&own->writes);
    if (read_ns != UINT64_MAX || write_ns != UINT64_MAX) {
        bp_block_lane_arm(lane, read_ns < write_ns ? read_ns : write_ns);
    }
}

static void
throttle_start(struct bp_block_flight *flight)
{
    struct filter_throttle *filter = bp_block_lane_self(flight->lane);
    struct throttle_lane *own = bp_block_lane_data(flight->lane);
    struct throttle_flight *throttle = flight->data;
    struct waiting *waiting = flight->request.op == BP_BLOCK_READ ? &own->reads : &own->writes;
    uint64_t now;

    /* A flush moves nothing and must not wait for what it does not cover. */
    if (flight->request.op == BP_BLOCK_FLUSH) {
        bp_block_pass(flight);
        return;
    }
    now = now_ns(flight->lane);
    throttle->due_ns = take(filter, &flight->request, now);
    if (throttle->due_ns <= now && waiting->first == NULL) {
        bp_block_pass(flight);
        return;
    }
    add(waiting, flight);
    release_both(flight->lane, now);
}

static uint32_t
take_out(struct waiting *waiting, struct bp_block_flight *flight)
{
    struct bp_block_flight **link = &waiting->first;

    while (*link != NULL && *link != flight) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        return 0;
    }
    *link = flight->next;
    if (*link == NULL) {
        waiting->last = link;
    }
    return 1;
}

static void
throttle_cancel(struct bp_block_flight *flight)
{
    struct filter_throttle *filter = bp_block_lane_self(flight->lane);
    struct throttle_lane *own = bp_block_lane_data(flight->lane);

    if (take_out(&own->reads, flight) || take_out(&own->writes, flight)) {
        give_back(filter, &flight->request);
        bp_block_end(flight, -ECANCELED, 0);
    } else {
        bp_block_io_cancel(flight->lane, &flight->io);
    }
}

static void
throttle_hurry(struct bp_block_lane *lane)
{
    release_both(lane, UINT64_MAX - 1);
}

static void
throttle_expired(struct bp_block_lane *lane)
{
    release_both(lane, now_ns(lane));
}

/* The limits changed: everyone who waits queues up again, in the same order. */
static void
throttle_kicked(struct bp_block_lane *lane)
{
    struct filter_throttle *filter = bp_block_lane_self(lane);
    struct throttle_lane *own = bp_block_lane_data(lane);
    uint64_t now = now_ns(lane);
    struct bp_block_flight *flight;

    for (flight = own->reads.first; flight != NULL; flight = flight->next) {
        ((struct throttle_flight *)flight->data)->due_ns = take(filter, &flight->request, now);
    }
    for (flight = own->writes.first; flight != NULL; flight = flight->next) {
        ((struct throttle_flight *)flight->data)->due_ns = take(filter, &flight->request, now);
    }
    release_both(lane, now);
}

static int32_t
throttle_lane_init(struct bp_block_lane *lane)
{
    struct throttle_lane *own = bp_block_lane_data(lane);

    own->reads.first = NULL;
    own->reads.last = &own->reads.first;
    own->writes.first = NULL;
    own->writes.last = &own->writes.first;
    return 0;
}

static const struct bp_block_stack_ops throttle_stack_ops = {
    .start = throttle_start,
    .cancel = throttle_cancel,
    .hurry = throttle_hurry,
    .expired = throttle_expired,
    .kicked = throttle_kicked,
    .lane_init = throttle_lane_init,
    .flight_size = sizeof(struct throttle_flight),
    .lane_size = sizeof(struct throttle_lane),
};

BP_BLOCK_STACK_FUNCTIONS(throttle, filter_throttle)

static int32_t
throttle_resize(void *self, uint64_t capacity)
{
    struct filter_throttle *filter = self;

    return bp_block_stack_resize(&filter->stack, capacity);
}

static const struct bp_block_ops throttle_ops = {
    .size = sizeof(throttle_ops),
    .info = throttle_info,
    .queue_open = throttle_queue_open,
    .queue_close = throttle_queue_close,
    .submit = throttle_submit,
    .cancel = throttle_cancel_request,
    .drain = throttle_drain,
    .resize = throttle_resize,
};

/* --- options --------------------------------------------------------------------------------- */

static const struct {
    const char *rate, *peak;
} names[KINDS][DIRECTIONS] = {
    {{"iops", "iops_burst"}, {"iops_read", "iops_read_burst"}, {"iops_write", "iops_write_burst"}},
    {{"bps", "bps_burst"}, {"bps_read", "bps_read_burst"}, {"bps_write", "bps_write_burst"}},
};

static void
set_limits(struct filter_throttle *filter)
{
    uint32_t kind, direction;

    for (kind = 0; kind < KINDS; kind++) {
        for (direction = 0; direction < DIRECTIONS; direction++) {
            limit_set(&filter->limits[kind][direction], filter->rates[kind][direction],
                      filter->peaks[kind][direction], filter->length_s);
        }
    }
}

static uint64_t *
option_place(struct filter_throttle *filter, const char *name)
{
    uint32_t i;

    for (i = 0; i < KINDS * DIRECTIONS; i++) {
        uint32_t kind = i / DIRECTIONS, direction = i % DIRECTIONS;

        if (strcmp(name, names[kind][direction].rate) == 0) {
            return &filter->rates[kind][direction];
        }
        if (strcmp(name, names[kind][direction].peak) == 0) {
            return &filter->peaks[kind][direction];
        }
    }
    return strcmp(name, "burst_length") == 0 ? &filter->length_s : NULL;
}

static int32_t
throttle_set(void *self, const char *name, const struct bp_node *node)
{
    struct filter_throttle *filter = self;
    uint64_t *place = option_place(filter, name), value;
    int32_t result = filter->services.config->get_u64(filter->services.instance, node, &value);

    if (result != 0) {
        return result;
    }
    if (place != NULL) {
        *place = value;
    } else {
        atomic_store(&filter->operation_size, value);
    }
    set_limits(filter);
    bp_block_stack_kick(&filter->stack);
    return 0;
}

static void
read_options(struct filter_throttle *filter, const struct bp_node *options)
{
    const struct bp_services *services = &filter->services;
    uint32_t kind, direction;

    for (kind = 0; kind < KINDS; kind++) {
        for (direction = 0; direction < DIRECTIONS; direction++) {
            filter->rates[kind][direction] =
                bp_option_u64(services, options, names[kind][direction].rate, 0);
            filter->peaks[kind][direction] =
                bp_option_u64(services, options, names[kind][direction].peak, 0);
        }
    }
    filter->length_s = bp_option_u64(services, options, "burst_length", 1);
    atomic_store(&filter->operation_size, bp_option_u64(services, options, "iops_size", 0));
    set_limits(filter);
}

/* --- life ------------------------------------------------------------------------------------ */

static const struct bp_life_ops throttle_life = {
    .size = sizeof(throttle_life),
    .quiesce = throttle_quiesce,
    .attach = throttle_attach,
    .detach = throttle_detach,
    .set = throttle_set,
};

static const void *
throttle_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_BLOCK_ID)  ? (const void *)&throttle_ops
           : bp_same_id(interface_id, BP_LIFE_ID) ? (const void *)&throttle_life
                                                  : NULL;
}

static void
throttle_destroy(void *self)
{
    struct filter_throttle *filter = self;

    if (filter != NULL) {
        bp_block_stack_done(&filter->stack);
        free(filter);
    }
}

static int32_t
throttle_create(const struct bp_create *args, void **self)
{
    struct filter_throttle *filter = calloc(1, sizeof(*filter));

    if (filter == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&filter->services, args->host, args->instance);
    filter->stack.services = &filter->services;
    filter->stack.ops = &throttle_stack_ops;
    filter->stack.self = filter;
    filter->stack.slots = 1;
    filter->stack.has_timer = 1;
    filter->stack.clock = BP_CLOCK_VIRTUAL;
    read_options(filter, args->config);
    *self = filter;
    return 0;
}

/* --- the plugin ------------------------------------------------------------------------------ */

#define RATE(option, kind, text)                                                                   \
    {                                                                                              \
        .name = (option), .type = (kind), .flags = BP_PROP_RUNTIME, .def = "0", .max = MAX_RATE,   \
        .help = (text)                                                                             \
    }

static const struct bp_prop throttle_props[] = {
    {.name = "below",
     .type = BP_PROP_BACKEND,
     .flags = BP_PROP_REQUIRED,
     .help = "the disk this one stands on"},
    RATE("iops", BP_PROP_UINT, "operations a second; 0: any number"),
    RATE("iops_read", BP_PROP_UINT, "reads a second"),
    RATE("iops_write", BP_PROP_UINT, "writes, discards and zeroings a second"),
    RATE("bps", BP_PROP_SIZE, "bytes a second; 0: any number"),
    RATE("bps_read", BP_PROP_SIZE, "bytes read a second"),
    RATE("bps_write", BP_PROP_SIZE, "bytes written a second"),
    RATE("iops_burst", BP_PROP_UINT, "iops during a burst; 0: no bursts"),
    RATE("iops_read_burst", BP_PROP_UINT, "iops_read during a burst"),
    RATE("iops_write_burst", BP_PROP_UINT, "iops_write during a burst"),
    RATE("bps_burst", BP_PROP_SIZE, "bps during a burst; 0: no bursts"),
    RATE("bps_read_burst", BP_PROP_SIZE, "bps_read during a burst"),
    RATE("bps_write_burst", BP_PROP_SIZE, "bps_write during a burst"),
    {.name = "burst_length",
     .type = BP_PROP_UINT,
     .flags = BP_PROP_RUNTIME,
     .def = "1",
     .min = 1,
     .max = MAX_LENGTH_S,
     .help = "seconds a burst may last after a rest"},
    {.name = "iops_size",
     .type = BP_PROP_SIZE,
     .flags = BP_PROP_RUNTIME,
     .def = "0",
     .max = MAX_RATE,
     .help = "a larger request counts as several; 0: as one"},
    {.name = NULL},
};

static const struct bp_slot throttle_slots[] = {
    {.name = "below", .interface_id = BP_BLOCK_ID, .min = 1, .max = 1, .flags = BP_SLOT_HOTPLUG},
    {.name = NULL},
};

static const char *const throttle_provides[] = {BP_BLOCK_ID, NULL};

static const struct bp_class throttle_class = {
    .size = sizeof(throttle_class),
    .kind = BP_KIND_BACKEND,
    .name = "filter-throttle",
    .thread_model = BP_THREADS_PARALLEL,
    .bus = BP_BUS_NONE,
    .help = "limits operations and bytes a second",
    .props = throttle_props,
    .slots = throttle_slots,
    .provides = throttle_provides,
    .create = throttle_create,
    .destroy = throttle_destroy,
    .query = throttle_query,
};

static const struct bp_class *const throttle_classes[] = {&throttle_class, NULL};

BP_PLUGIN_NOTE(.id = "filter-throttle", .version = PLUGIN_VERSION,
               .classes = {{"filter-throttle", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         {BP_LOOP_ID, offsetof(struct bp_loop_host, is_current), 0}});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "filter-throttle",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "limits for block backends",
    .classes = throttle_classes,
};
