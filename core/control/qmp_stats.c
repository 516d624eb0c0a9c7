/* SPDX-License-Identifier: Apache-2.0 */
/* What went through disks, and how much of it may. */
#include "config/description.h"
#include "control/qmp_private.h"
#include "plugin/peer.h"

#include <string.h>

#define QUEUES_MAX 1024u

static void
set_number(JsonObject *object, const char *name, uint64_t value)
{
    json_object_set_int_member(object, name, (gint64)value);
}

static JsonObject *
stats_object(const PeerBlockStats *stats)
{
    JsonObject *object = json_object_new();

    set_number(object, "rd_operations", stats->operations[BP_BLOCK_READ]);
    set_number(object, "rd_bytes", stats->bytes[BP_BLOCK_READ]);
    set_number(object, "wr_operations", stats->operations[BP_BLOCK_WRITE]);
    set_number(object, "wr_bytes", stats->bytes[BP_BLOCK_WRITE]);
    set_number(object, "flush_operations", stats->operations[BP_BLOCK_FLUSH]);
    set_number(object, "unmap_operations", stats->operations[BP_BLOCK_DISCARD]);
    set_number(object, "unmap_bytes", stats->bytes[BP_BLOCK_DISCARD]);
    set_number(object, "zero_operations", stats->operations[BP_BLOCK_WRITE_ZEROES]);
    set_number(object, "zero_bytes", stats->bytes[BP_BLOCK_WRITE_ZEROES]);
    set_number(object, "completed_operations", stats->completed);
    set_number(object, "failed_operations", stats->failed);
    return object;
}

/* Each queue of a device that has several counts for itself. */
static void
add_queues(const Peer *peer, JsonObject *stats)
{
    g_autofree PeerBlockStats *each = g_new0(PeerBlockStats, QUEUES_MAX);
    unsigned i, count = peer_block_queue_stats(peer, each, QUEUES_MAX);
    JsonArray *list;

    if (count < 2) {
        return;
    }
    list = json_array_new();
    for (i = 0; i < count; i++) {
        json_array_add_object_element(list, stats_object(&each[i]));
    }
    json_object_set_array_member(stats, "queues", list);
}

void
qmp_query_blockstats(QmpCall *call)
{
    g_autoptr(GPtrArray) slots = machine_slots(call->machine, true);
    JsonArray *list = json_array_new();
    guint i;

    for (i = 0; i < slots->len; i++) {
        const MachineSlot *slot = slots->pdata[i];
        const Peer *peer = instance_peer_at(slot->consumer, slot->slot, slot->use);
        PeerBlockStats stats = {.failed = 0};
        JsonObject *object, *counted;
        if (!qmp_is_block_slot(slot) || (peer != NULL && !peer_block_stats(peer, &stats))) {
            continue;
        }
        object = json_object_new();
        json_object_set_string_member(object, "device", slot->name);
        json_object_set_string_member(object, "qdev", slot->name);
        if (slot->backend != NULL) {
            json_object_set_string_member(object, "node-name", slot->backend->id);
        }
        counted = stats_object(&stats);
        if (peer != NULL) {
            add_queues(peer, counted);
            qmp_add_latency(peer, counted);
        }
        json_object_set_object_member(object, "stats", counted);
        json_array_add_object_element(list, object);
    }
    qmp_call_return_array(call, list);
}

/* --- limits -------------------------------------------------------------------------------------
 */

/* QEMU's name of each limit, and the option of a filter. */
static const struct {
    const char *argument;
    const char *option;
} limits[] = {
    {"bps", "bps"},
    {"bps_rd", "bps_read"},
    {"bps_wr", "bps_write"},
    {"iops", "iops"},
    {"iops_rd", "iops_read"},
    {"iops_wr", "iops_write"},
    {"bps_max", "bps_burst"},
    {"bps_rd_max", "bps_read_burst"},
    {"bps_wr_max", "bps_write_burst"},
    {"iops_max", "iops_burst"},
    {"iops_rd_max", "iops_read_burst"},
    {"iops_wr_max", "iops_write_burst"},
    {"iops_size", "iops_size"},
};

static bool
has_limits(const Instance *backend)
{
    const struct bp_prop *prop = backend->class->props;

    for (; prop != NULL && prop->name != NULL; prop++) {
        if (strcmp(prop->name, "iops_read") == 0 && (prop->flags & BP_PROP_RUNTIME) != 0) {
            return true;
        }
    }
    return false;
}

/* The first backend from the device down that can be limited. */
static Instance *
find_limiter(QmpCall *call, Instance *backend)
{
    while (backend != NULL && !has_limits(backend)) {
        backend = backend->class->slots != NULL ? instance_backend_at(backend, 0, 0) : NULL;
    }
    if (backend == NULL) {
        qmp_call_fail(
            call, "GenericError",
            "No filter between the device and its storage sets limits: put one there with "
            "backend-swap");
    }
    return backend;
}

static bool
set_limit(const QmpCall *call, Instance *limiter, size_t i, GError **error)
{
    Node *value = node_new(BP_NODE_INT, limits[i].option, FILE_CONTROL, 0);

    value->integer = qmp_number(call, limits[i].argument, 0);
    return instance_set(limiter, value, error);
}

void
qmp_block_set_io_throttle(QmpCall *call)
{
    g_autoptr(MachineSlot) slot = qmp_block_slot(call);
    Instance *limiter = slot != NULL ? find_limiter(call, slot->backend) : NULL;
    g_autoptr(GError) error = NULL;
    size_t i;

    for (i = 0; limiter != NULL && i < G_N_ELEMENTS(limits); i++) {
        if (!set_limit(call, limiter, i, &error)) {
            qmp_call_take_error(call, error);
            return;
        }
    }
}
