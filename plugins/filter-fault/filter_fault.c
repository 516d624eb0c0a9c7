/* SPDX-License-Identifier: Apache-2.0 */
/* filter-fault: a disk that fails, dawdles or hangs when it is told to.
 *
 * Threads: requests on the loop of each queue. The rules are replaced by the control thread; each
 * lane shows in `looking` which set it reads, and sets nobody reads are freed with the next change.
 */
#include "rules.h"

#include <backplane/sdk/block_stack.h>

#include <stdlib.h>
#include <string.h>

#define PLUGIN_VERSION "1.0"

struct filter_fault {
    struct bp_services services;
    struct bp_block_stack stack;
    _Atomic(struct rules *) rules;
    _Atomic(uint32_t) enabled;
    struct rules *replaced;
};

struct fault_lane {
    struct bp_block_flight *kept;
    _Atomic(struct rules *) looking;
};

/* What becomes of a request. */
struct fault_flight {
    uint64_t due_ns; /* UINT64_MAX: hangs */
    int32_t error;
    uint32_t flags; /* of the completion */
    uint32_t after;
};

/* --- on the loop ----------------------------------------------------------------------------- */

static void
carried_out(struct bp_block_io *io, int32_t status, uint32_t flags)
{
    struct bp_block_flight *flight =
        (struct bp_block_flight *)(void *)((uint8_t *)io - offsetof(struct bp_block_flight, io));
    const struct fault_flight *fault = flight->data;

    if (status == 0) {
        bp_block_end(flight, fault->error, fault->flags);
    } else {
        bp_block_end(flight, status, flags);
    }
}

/* The wait, if any, is over. */
static void
go_on(struct bp_block_flight *flight)
{
    const struct fault_flight *fault = flight->data;

    if (fault->error == 0) {
        bp_block_pass(flight);
    } else if (fault->after) {
        bp_block_pass(flight);
        flight->io.done = carried_out;
    } else {
        bp_block_end(flight, fault->error, fault->flags);
    }
}

static uint64_t
now_ns(struct bp_block_lane *lane)
{
    const struct filter_fault *filter = bp_block_lane_self(lane);

    return filter->services.timer->now(filter->services.instance, BP_CLOCK_VIRTUAL);
}

/* Lets everything go on that is due by then; arms the timer for the next one. */
static void
release(struct bp_block_lane *lane, uint64_t until_ns)
{
    struct fault_lane *own = bp_block_lane_data(lane);
    struct bp_block_flight **link = &own->kept;
    uint64_t next_ns = UINT64_MAX;

    while (*link != NULL) {
        struct bp_block_flight *flight = *link;
        const struct fault_flight *fault = flight->data;

        if (fault->due_ns <= until_ns) {
            *link = flight->next;
            go_on(flight);
        } else {
            next_ns = fault->due_ns < next_ns ? fault->due_ns : next_ns;
            link = &flight->next;
        }
    }
    if (next_ns != UINT64_MAX) {
        bp_block_lane_arm(lane, next_ns);
    }
}

static void
keep(struct bp_block_flight *flight)
{
    struct fault_lane *own = bp_block_lane_data(flight->lane);
    struct bp_block_flight **end = &own->kept;

    while (*end != NULL) {
        end = &(*end)->next;
    }
    flight->next = NULL;
    *end = flight;
}

static void
apply(struct bp_block_flight *flight, const struct rule *rule)
{
    const struct filter_fault *filter = bp_block_lane_self(flight->lane);
    struct fault_flight *fault = flight->data;

    fault->error = rule->action == ACTION_ERROR ? rule->error : 0;
    fault->flags = rule->action == ACTION_ERROR && rule->recoverable ? BP_BLOCK_RECOVERABLE : 0;
    fault->after = rule->after;
    fault->due_ns = rule->action == ACTION_HANG ? UINT64_MAX
                    : rule->delay_ns > 0        ? now_ns(flight->lane) + rule->delay_ns
                                                : 0;
    bp_debug(&filter->services, "op %u at %llu+%llu: %s", flight->request.op,
             (unsigned long long)flight->request.offset, (unsigned long long)flight->request.length,
             rule->action == ACTION_HANG ? "hangs"
             : fault->error != 0         ? strerror(-fault->error)
                                         : "is delayed");
}

static void
fault_start(struct bp_block_flight *flight)
{
    struct filter_fault *filter = bp_block_lane_self(flight->lane);
    struct fault_lane *own = bp_block_lane_data(flight->lane);
    struct fault_flight *fault = flight->data;
    const struct rule *rule = NULL;
    struct rules *rules;

    if (atomic_load(&filter->enabled)) {
        do {
            rules = atomic_load(&filter->rules);
            atomic_store(&own->looking, rules);
        } while (rules != atomic_load(&filter->rules));
        rule = rules_find(rules, &flight->request);
    }
    if (rule == NULL) {
        bp_block_pass(flight);
    } else {
        apply(flight, rule);
        if (fault->due_ns == 0) {
            go_on(flight);
        } else {
            keep(flight);
            release(flight->lane, 0); /* for its timer */
        }
    }
    atomic_store(&own->looking, NULL);
}

static void
fault_cancel(struct bp_block_flight *flight)
{
    struct fault_lane *own = bp_block_lane_data(flight->lane);
    struct bp_block_flight **link = &own->kept;

    while (*link != NULL && *link != flight) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        bp_block_io_cancel(flight->lane, &flight->io);
        return;
    }
    *link = flight->next;
    bp_block_end(flight, -ECANCELED, 0);
}

static void
fault_hurry(struct bp_block_lane *lane)
{
    release(lane, UINT64_MAX);
}

static void
fault_expired(struct bp_block_lane *lane)
{
    release(lane, now_ns(lane));
}

static const struct bp_block_stack_ops fault_stack_ops = {
    .start = fault_start,
    .cancel = fault_cancel,
    .hurry = fault_hurry,
    .expired = fault_expired,
    .flight_size = sizeof(struct fault_flight),
    .lane_size = sizeof(struct fault_lane),
};

BP_BLOCK_STACK_FUNCTIONS(fault, filter_fault)

static int32_t
fault_resize(void *self, uint64_t capacity)
{
    struct filter_fault *filter = self;

    return bp_block_stack_resize(&filter->stack, capacity);
}

static const struct bp_block_ops fault_ops = {
    .size = sizeof(fault_ops),
    .info = fault_info,
    .queue_open = fault_queue_open,
    .queue_close = fault_queue_close,
    .submit = fault_submit,
    .cancel = fault_cancel_request,
    .drain = fault_drain,
    .resize = fault_resize,
};

/* --- life ------------------------------------------------------------------------------------ */

static uint32_t
is_read(const struct filter_fault *filter, const struct rules *rules)
{
    struct bp_block_lane *lane = NULL;

    while ((lane = bp_block_lane_next(&filter->stack, lane)) != NULL) {
        struct fault_lane *own = bp_block_lane_data(lane);

        if (atomic_load(&own->looking) == rules) {
            return 1;
        }
    }
    return 0;
}

static void
free_replaced(struct filter_fault *filter)
{
    struct rules **link = &filter->replaced;

    while (*link != NULL) {
        struct rules *rules = *link;

        if (is_read(filter, rules)) {
            link = &rules->next;
        } else {
            *link = rules->next;
            free(rules);
        }
    }
}

static int32_t
set_rules(struct filter_fault *filter, const struct bp_node *node)
{
    struct rules *rules, *before;
    int32_t result = rules_new(&filter->services, node, &rules);

    if (result != 0) {
        return result;
    }
    before = atomic_exchange(&filter->rules, rules);
    if (before != NULL) {
        before->next = filter->replaced;
        filter->replaced = before;
        free_replaced(filter);
    }
    return 0;
}

/* Whatever changes: what hangs or waits by the old rules goes on. */
static int32_t
fault_set(void *self, const char *name, const struct bp_node *node)
{
    struct filter_fault *filter = self;
    uint32_t enabled = 1;
    int32_t result;

    if (strcmp(name, "rules") == 0) {
        result = set_rules(filter, node);
    } else {
        result = filter->services.config->get_bool(filter->services.instance, node, &enabled);
        if (result == 0) {
            atomic_store(&filter->enabled, enabled);
        }
    }
    if (result == 0) {
        bp_block_stack_hurry(&filter->stack);
    }
    return result;
}

static void
fault_stop(void *self)
{
    struct filter_fault *filter = self;

    bp_block_stack_hurry(&filter->stack);
}

static const struct bp_life_ops fault_life = {
    .size = sizeof(fault_life),
    .stop = fault_stop,
    .quiesce = fault_quiesce,
    .attach = fault_attach,
    .detach = fault_detach,
    .set = fault_set,
};

static const void *
fault_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_BLOCK_ID)  ? (const void *)&fault_ops
           : bp_same_id(interface_id, BP_LIFE_ID) ? (const void *)&fault_life
                                                  : NULL;
}

static void
fault_destroy(void *self)
{
    struct filter_fault *filter = self;

    if (filter == NULL) {
        return;
    }
    bp_block_stack_done(&filter->stack);
    free_replaced(filter);
    free(atomic_load(&filter->rules));
    free(filter);
}

static int32_t
fault_create(const struct bp_create *args, void **self)
{
    struct filter_fault *filter = calloc(1, sizeof(*filter));
    int32_t result;

    if (filter == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&filter->services, args->host, args->instance);
    filter->stack.services = &filter->services;
    filter->stack.ops = &fault_stack_ops;
    filter->stack.self = filter;
    filter->stack.slots = 1;
    filter->stack.has_timer = 1;
    filter->stack.clock = BP_CLOCK_VIRTUAL;
    atomic_store(&filter->enabled, bp_option_bool(&filter->services, args->config, "enabled", 1));
    result = set_rules(filter, bp_option(&filter->services, args->config, "rules"));
    if (result != 0) {
        fault_destroy(filter);
        return result;
    }
    *self = filter;
    return 0;
}

/* --- the plugin ------------------------------------------------------------------------------ */

static const struct bp_slot fault_slots[] = {
    {.name = "below", .interface_id = BP_BLOCK_ID, .min = 1, .max = 1, .flags = BP_SLOT_HOTPLUG},
    {.name = NULL},
};

static const char *const fault_provides[] = {BP_BLOCK_ID, NULL};

static const struct bp_class fault_class = {
    .size = sizeof(fault_class),
    .kind = BP_KIND_BACKEND,
    .name = "filter-fault",
    .thread_model = BP_THREADS_PARALLEL,
    .bus = BP_BUS_NONE,
    .help = "makes chosen requests fail, wait or hang",
    .props = rules_props,
    .slots = fault_slots,
    .provides = fault_provides,
    .create = fault_create,
    .destroy = fault_destroy,
    .query = fault_query,
};

static const struct bp_class *const fault_classes[] = {&fault_class, NULL};

BP_PLUGIN_NOTE(.id = "filter-fault", .version = PLUGIN_VERSION,
               .classes = {{"filter-fault", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         {BP_LOOP_ID, offsetof(struct bp_loop_host, is_current), 0}});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "filter-fault",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "fault injection for block backends",
    .classes = fault_classes,
};
