/* SPDX-License-Identifier: Apache-2.0 */
/* filter-macguard: a guest that can only speak for itself. Frames from the guest are judged by
 * their headers; those are copied first, so that what is sent is what was judged, whatever the
 * guest writes meanwhile. Frames to the guest pass.
 *
 * Threads: each lane on its loop; rules do not change; counters are atomic. */
#include "macguard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLUGIN_VERSION "1.0"
#define SLOTS          BP_NET_BATCH /* frames below at a time */
#define ARENA_HEADS    0u           /* arena ids, one for each lane */
#define REPORT_NS      1000000000u  /* between events */

/* One frame on its way: the headers as they were judged, and the rest where it is. */
struct guard_slot {
    uint64_t user;
    uint8_t *head; /* BP_NET_HEADERS_MAX bytes in the arena */
    struct bp_iovec iov[BP_NET_MAX_IOV + 1];
};

struct guard_lane {
    uint8_t *heads;
    uint32_t free_count;
    uint32_t free_slots[SLOTS];
    struct guard_slot slots[SLOTS];
};

struct macguard {
    struct bp_services services;
    struct bp_net_stack stack;
    struct guard_rules rules;
    _Atomic(uint64_t) dropped[GUARD_REASONS];
    _Atomic(uint64_t) reported_ns;
};

/* --- counting -------------------------------------------------------------------------------- */

static void
report(struct macguard *guard, uint32_t reason)
{
    static const char *const reasons[GUARD_REASONS] = {"", "mac", "address", "service", "protocol"};
    const struct bp_services *host = &guard->services;
    uint64_t now = host->timer->now(host->instance, BP_CLOCK_MONOTONIC); /* + 1: 0 is never */
    uint64_t before = atomic_load(&guard->reported_ns);
    char json[256];

    atomic_fetch_add(&guard->dropped[reason], 1);
    if ((before != 0 && now + 1 - before < REPORT_NS) ||
        !atomic_compare_exchange_strong(&guard->reported_ns, &before, now + 1)) {
        return;
    }
    (void)snprintf(json, sizeof(json),
                   "{\"reason\": \"%s\", \"mac\": %llu, \"address\": %llu, \"service\": %llu, "
                   "\"protocol\": %llu}",
                   reasons[reason], (unsigned long long)atomic_load(&guard->dropped[GUARD_MAC]),
                   (unsigned long long)atomic_load(&guard->dropped[GUARD_ADDRESS]),
                   (unsigned long long)atomic_load(&guard->dropped[GUARD_SERVICE]),
                   (unsigned long long)atomic_load(&guard->dropped[GUARD_PROTOCOL]));
    host->core->event(host->instance, "NET_FRAME_REFUSED", json);
}

/* --- on the loop ----------------------------------------------------------------------------- */

static void
free_slot(struct guard_lane *own, uint32_t slot)
{
    own->free_slots[own->free_count++] = slot;
}

/* Copies a frame's headers and judges them. Returns GUARD_...; out: what may be sent. */
static uint32_t
judge(const struct macguard *guard, struct guard_slot *slot, const struct bp_net_frame *frame,
      struct bp_net_frame *out)
{
    uint32_t length = (uint32_t)bp_min_u64(frame->length, BP_NET_HEADERS_MAX), pieces = 1, verdict;

    if (frame->iov_count > BP_NET_MAX_IOV || frame->length < BP_NET_ETH_HEADER ||
        bp_net_iov_copy(frame->iov, frame->iov_count, 0, slot->head, length) != length) {
        return GUARD_PROTOCOL;
    }
    verdict = guard_judge(&guard->rules, slot->head, length, length == frame->length);
    if (verdict != GUARD_PASS) {
        return verdict;
    }
    slot->user = frame->user;
    slot->iov[0] = (struct bp_iovec){slot->head, length};
    if (frame->length > length) {
        pieces += bp_net_iov_slice(frame->iov, frame->iov_count, length, frame->length - length,
                                   slot->iov + 1, BP_NET_MAX_IOV - 1);
        if (pieces == 1) {
            return GUARD_PROTOCOL; /* in more pieces than a frame may have with one more */
        }
    }
    *out = *frame;
    out->iov = slot->iov;
    out->iov_count = pieces;
    return GUARD_PASS;
}

/* A batch of frames: what was thought of each, and those that go on. */
struct guard_batch {
    uint32_t count, good;
    uint8_t passed[SLOTS];
    uint32_t slot[SLOTS]; /* of those that go on, in order */
    struct bp_net_frame frames[SLOTS];
};

static void
judge_batch(struct macguard *guard, struct guard_lane *own, const struct bp_net_frame *frames,
            uint32_t count, struct guard_batch *batch)
{
    batch->good = 0;
    for (batch->count = 0; batch->count < count && own->free_count > 0; batch->count++) {
        uint32_t slot = own->free_slots[--own->free_count];
        struct bp_net_frame *out = &batch->frames[batch->good];
        uint32_t verdict = judge(guard, &own->slots[slot], &frames[batch->count], out);

        batch->passed[batch->count] = verdict == GUARD_PASS;
        if (verdict == GUARD_PASS) {
            out->user = slot;
            batch->slot[batch->good++] = slot;
        } else {
            free_slot(own, slot);
            report(guard, verdict);
        }
    }
}

/* Only what is done from the first frame on can be said at once; the others are told of later. */
static void
finished(struct bp_net_lane *lane, uint64_t user, uint32_t at, uint32_t *done)
{
    if (*done == at) {
        (*done)++;
    } else {
        bp_net_lane_finish(lane, user);
    }
}

/* Returns how many frames are taken; *done continues from what was taken before. */
static uint32_t
send_batch(struct bp_net_lane *lane, const struct bp_net_frame *frames, uint32_t before,
           struct guard_batch *batch, uint32_t *done)
{
    struct guard_lane *own = lane->data;
    uint32_t below_done, i, good = 0;
    uint32_t taken = bp_net_lane_send(lane, batch->frames, batch->good, &below_done);

    for (i = 0; i < batch->count; i++) {
        if (!batch->passed[i]) {
            finished(lane, frames[i].user, before + i, done);
            continue;
        }
        if (good == taken) {
            break;
        }
        if (good < below_done) {
            free_slot(own, batch->slot[good]);
            finished(lane, frames[i].user, before + i, done);
        }
        good++;
    }
    while (good < batch->good) {
        free_slot(own, batch->slot[good++]);
    }
    return i;
}

static uint32_t
guard_transmit(struct bp_net_lane *lane, const struct bp_net_frame *frames, uint32_t count,
               uint32_t *done)
{
    struct guard_batch batch;
    uint32_t taken = 0, now;

    *done = 0;
    do {
        judge_batch(lane->stack->self, lane->data, frames + taken, bp_min_u32(count - taken, SLOTS),
                    &batch);
        now = send_batch(lane, frames + taken, taken, &batch, done);
        taken += now;
    } while (now > 0 && taken < count);
    return taken;
}

static void
guard_transmitted(struct bp_net_lane *lane, const uint64_t *users, uint32_t count)
{
    struct guard_lane *own = lane->data;
    uint64_t told[SLOTS];
    uint32_t n = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (users[i] < SLOTS && own->free_count < SLOTS && n < SLOTS) {
            told[n++] = own->slots[users[i]].user;
            free_slot(own, (uint32_t)users[i]);
        }
    }
    lane->queue.client.transmitted(lane->queue.args.opaque, told, n);
    bp_net_tx_room(&lane->queue); /* it may have waited for a slot */
}

static void
guard_flushed(struct bp_net_lane *lane)
{
    struct guard_lane *own = lane->data;

    own->free_count = 0;
    for (uint32_t i = 0; i < SLOTS; i++) {
        free_slot(own, SLOTS - 1 - i);
    }
}

static int32_t
guard_lane_init(struct bp_net_lane *lane)
{
    const struct bp_services *host = lane->stack->services;
    struct guard_lane *own = lane->data;
    void *heads;
    int32_t result = host->memory->arena_alloc(host->instance, ARENA_HEADS + lane->index,
                                               (uint64_t)SLOTS * BP_NET_HEADERS_MAX, 64, &heads);

    if (result != 0) {
        return result;
    }
    own->heads = heads;
    for (uint32_t i = 0; i < SLOTS; i++) {
        own->slots[i].head = own->heads + (size_t)i * BP_NET_HEADERS_MAX;
    }
    guard_flushed(lane);
    return 0;
}

static void
guard_lane_done(struct bp_net_lane *lane)
{
    const struct bp_services *host = lane->stack->services;

    host->memory->arena_free(host->instance, ARENA_HEADS + lane->index);
}

static const struct bp_net_stack_ops guard_stack_ops = {
    .transmit = guard_transmit,
    .transmitted = guard_transmitted,
    .flushed = guard_flushed,
    .lane_init = guard_lane_init,
    .lane_done = guard_lane_done,
    .lane_size = sizeof(struct guard_lane),
};

BP_NET_STACK_TABLES(guard_net, macguard, .flags = 0);

/* --- life ------------------------------------------------------------------------------------ */

static int32_t
read_lists(struct macguard *guard, const struct bp_node *options)
{
    const struct bp_services *host = &guard->services;
    const struct bp_node *macs = bp_option(host, options, "macs");
    const struct bp_node *addresses = bp_option(host, options, "addresses"), *node;
    struct guard_rules *rules = &guard->rules;

    rules->mac_count = host->config->count(host->instance, macs);
    for (uint32_t i = 0; i < rules->mac_count; i++) {
        node = host->config->at(host->instance, macs, i);
        if (!guard_read_mac(host->config->get_str(host->instance, node), rules->macs[i])) {
            return bp_fail(host, -EINVAL, node,
                           "\"%s\" is no hardware address of one card, like \"02:00:00:00:00:01\"",
                           host->config->get_str(host->instance, node));
        }
    }
    rules->address_count = addresses != NULL ? host->config->count(host->instance, addresses) : 0;
    for (uint32_t i = 0; i < rules->address_count; i++) {
        node = host->config->at(host->instance, addresses, i);
        if (!guard_read_address(host->config->get_str(host->instance, node),
                                &rules->addresses[i])) {
            return bp_fail(host, -EINVAL, node,
                           "\"%s\" is no address, like \"10.0.0.5\", \"10.0.0.0/28\" or "
                           "\"2001:db8::5\"",
                           host->config->get_str(host->instance, node));
        }
    }
    return 0;
}

static void
guard_destroy(void *self)
{
    struct macguard *guard = self;
    uint64_t count = 0;

    for (uint32_t i = 1; i < GUARD_REASONS; i++) {
        count += atomic_load(&guard->dropped[i]);
    }
    if (count > 0) {
        bp_info(&guard->services,
                "%llu frames refused: %llu for their MAC, %llu for their address, %llu as "
                "services, %llu for their protocol",
                (unsigned long long)count, (unsigned long long)guard->dropped[GUARD_MAC],
                (unsigned long long)guard->dropped[GUARD_ADDRESS],
                (unsigned long long)guard->dropped[GUARD_SERVICE],
                (unsigned long long)guard->dropped[GUARD_PROTOCOL]);
    }
    bp_net_stack_done(&guard->stack);
    free(guard);
}

static int32_t
guard_create(const struct bp_create *args, void **self)
{
    struct macguard *guard = calloc(1, sizeof(*guard));
    int32_t result;

    if (guard == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&guard->services, args->host, args->instance);
    guard->stack.services = &guard->services;
    guard->stack.ops = &guard_stack_ops;
    guard->stack.self = guard;
    guard->rules.services = bp_option_bool(&guard->services, args->config, "services", 0);
    guard->rules.link_local = bp_option_bool(&guard->services, args->config, "link_local", 1);
    result = read_lists(guard, args->config);
    if (result != 0) {
        guard_destroy(guard);
        return result;
    }
    *self = guard;
    return 0;
}

static const void *
guard_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_NET_ID)    ? (const void *)&guard_net_ops
           : bp_same_id(interface_id, BP_LIFE_ID) ? (const void *)&guard_net_life
                                                  : NULL;
}

static const struct bp_prop mac_element = {.type = BP_PROP_STRING, .help = "one hardware address"};
static const struct bp_prop address_element = {.type = BP_PROP_STRING,
                                               .help = "one address, or a network"};

static const struct bp_prop guard_props[] = {
    {.name = "below",
     .type = BP_PROP_BACKEND,
     .flags = BP_PROP_REQUIRED,
     .help = "the network this one stands on"},
    {.name = "macs",
     .type = BP_PROP_LIST,
     .flags = BP_PROP_REQUIRED,
     .min = 1,
     .max = GUARD_LIST,
     .children = &mac_element,
     .help = "hardware addresses the guest may use"},
    {.name = "addresses",
     .type = BP_PROP_LIST,
     .max = GUARD_LIST,
     .children = &address_element,
     .help = "IP addresses the guest may use; without a list: any"},
    {.name = "link_local",
     .type = BP_PROP_BOOL,
     .def = "true",
     .help = "fe80::/10 is allowed beside the list"},
    {.name = "services",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "the guest may be a router or a DHCP server"},
    {.name = NULL},
};

static const struct bp_slot guard_slots[] = {
    {.name = "below", .interface_id = BP_NET_ID, .min = 1, .max = 1, .flags = BP_SLOT_HOTPLUG},
    {.name = NULL},
};

static const char *const guard_provides[] = {BP_NET_ID, NULL};

static const struct bp_class guard_class = {
    .size = sizeof(guard_class),
    .kind = BP_KIND_BACKEND,
    .name = "filter-macguard",
    .thread_model = BP_THREADS_PARALLEL,
    .help = "lets a guest speak for itself only",
    .props = guard_props,
    .slots = guard_slots,
    .provides = guard_provides,
    .create = guard_create,
    .destroy = guard_destroy,
    .query = guard_query,
};

static const struct bp_class *const guard_classes[] = {&guard_class, NULL};

BP_PLUGIN_NOTE(.id = "filter-macguard", .version = PLUGIN_VERSION,
               .classes = {{"filter-macguard", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_CORE_ID, struct bp_core_host),
                         BP_NEED(BP_MEMORY_ID, struct bp_memory_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host)});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "filter-macguard",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "lets a guest speak for itself only",
    .classes = guard_classes,
};
