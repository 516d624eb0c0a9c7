/* SPDX-License-Identifier: Apache-2.0 */
/* block-latency-histogram-set: how long a disk's requests take, counted only while it is asked for.
 * The device is at rest for a moment when that changes, so that requests that ran before are not
 * mistaken for others. */
#include "control/qmp_private.h"
#include "plugin/peer.h"

#include <string.h>

/* Which requests a list of boundaries is for, and what they are called in the answers. */
static const struct {
    const char *argument; /* instead of "boundaries" */
    const char *name;
    uint32_t op;
} kinds[] = {
    {"boundaries-read", "rd", BP_BLOCK_READ},
    {"boundaries-write", "wr", BP_BLOCK_WRITE},
    {"boundaries-flush", "flush", BP_BLOCK_FLUSH},
    {"boundaries-unmap", "unmap", BP_BLOCK_DISCARD},
    {"boundaries-zero", "zero", BP_BLOCK_WRITE_ZEROES},
};

typedef struct {
    QmpCall *call;
    Instance *consumer;
    unsigned slot, use;
    bool is_on;
    PeerBlockLatency latency;
} LatencyChange;

static bool
take_bounds(QmpCall *call, const char *name, PeerBlockBounds *bounds)
{
    JsonNode *node = json_object_get_member(call->arguments, name);
    JsonArray *list =
        node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    guint i;

    bounds->count = 0;
    if (list == NULL || json_array_get_length(list) == 0 ||
        json_array_get_length(list) > PEER_BLOCK_BOUNDS) {
        qmp_call_fail(call, "GenericError", "Parameter '%s' expects a list of 1 to %u numbers",
                      name, PEER_BLOCK_BOUNDS);
        return false;
    }
    for (i = 0; i < json_array_get_length(list); i++) {
        JsonNode *element = json_array_get_element(list, i);
        gint64 ns = JSON_NODE_HOLDS_VALUE(element) ? json_node_get_int(element) : 0;
        if (ns <= 0 || (i > 0 && (uint64_t)ns <= bounds->ns[i - 1])) {
            qmp_call_fail(call, "GenericError",
                          "Parameter '%s' expects positive numbers of nanoseconds that rise", name);
            return false;
        }
        bounds->ns[i] = (uint64_t)ns;
    }
    bounds->count = i;
    return true;
}

/* False: the call has failed. Absent: bounds stay as they are. */
static bool
take_given(QmpCall *call, LatencyChange *change, const char *name, PeerBlockBounds *bounds)
{
    if (!json_object_has_member(call->arguments, name)) {
        return true;
    }
    change->is_on = true;
    return take_bounds(call, name, bounds);
}

/* None given: off. */
static bool
take_all_bounds(QmpCall *call, LatencyChange *change)
{
    PeerBlockBounds common = {.count = 0};
    bool is_good = take_given(call, change, "boundaries", &common);
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(kinds) && is_good; i++) {
        PeerBlockBounds *bounds = &change->latency.bounds[kinds[i].op];
        *bounds = common;
        is_good = take_given(call, change, kinds[i].argument, bounds);
    }
    return is_good;
}

static void
at_rest(void *opaque, const GError *error)
{
    g_autofree LatencyChange *change = opaque;
    QmpCall *call = change->call;
    const Peer *peer;

    if (error != NULL) {
        qmp_call_take_error(call, error);
    } else {
        peer = instance_peer_at(change->consumer, change->slot, change->use);
        if (peer == NULL ||
            !peer_block_set_latency(peer, change->is_on ? &change->latency : NULL)) {
            qmp_call_fail(call, "GenericError", "Nothing is counted for this device");
        }
        machine_at_rest_end(call->machine, change->consumer);
    }
    qmp_call_finish(call);
}

void
qmp_block_latency_histogram_set(QmpCall *call)
{
    const char *id = qmp_text(call, "id", "");
    g_autoptr(GError) error = NULL;
    g_autoptr(MachineSlot) slot = machine_slot_find(call->machine, id, &error);
    g_autofree LatencyChange *change = g_new0(LatencyChange, 1);

    if (slot == NULL) {
        qmp_call_take_error(call, error);
        return;
    }
    if (!qmp_is_block_slot(slot) || slot->backend == NULL) {
        qmp_call_fail(call, "GenericError", "Device '%s' has no medium", slot->name);
        return;
    }
    if (!take_all_bounds(call, change)) {
        return;
    }
    change->call = call;
    change->consumer = slot->consumer;
    change->slot = slot->slot;
    change->use = slot->use;
    call->is_deferred = true;
    machine_at_rest(call->machine, slot->consumer, at_rest, g_steal_pointer(&change));
}

/* --- the answers --------------------------------------------------------------------------------
 */

static JsonObject *
histogram(const PeerBlockBounds *bounds, const uint64_t *bins)
{
    JsonObject *object = json_object_new();
    JsonArray *edges = json_array_new(), *counts = json_array_new();
    uint32_t i;

    for (i = 0; i < bounds->count; i++) {
        json_array_add_int_element(edges, (gint64)bounds->ns[i]);
    }
    for (i = 0; i <= bounds->count; i++) {
        json_array_add_int_element(counts, (gint64)bins[i]);
    }
    json_object_set_array_member(object, "boundaries", edges);
    json_object_set_array_member(object, "bins", counts);
    return object;
}

void
qmp_add_latency(const Peer *peer, JsonObject *stats)
{
    PeerBlockTimes times;
    const PeerBlockLatency *latency = peer_block_latency(peer, &times);
    size_t i;

    for (i = 0; latency != NULL && i < G_N_ELEMENTS(kinds); i++) {
        uint32_t op = kinds[i].op;
        g_autofree char *total = g_strdup_printf("%s_total_time_ns", kinds[i].name);
        g_autofree char *bins = g_strdup_printf("%s_latency_histogram", kinds[i].name);
        json_object_set_int_member(stats, total, (gint64)times.total_ns[op]);
        if (latency->bounds[op].count > 0) {
            json_object_set_object_member(stats, bins,
                                          histogram(&latency->bounds[op], times.bins[op]));
        }
    }
}
