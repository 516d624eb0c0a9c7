/* SPDX-License-Identifier: Apache-2.0 */
/* Network cards (bp.nic/1): their cables, their announcements, what they let through. */
#include "control/qmp_private.h"
#include "plugin/args.h"

#include <backplane/nic.h>

#include <errno.h>
#include <string.h>

static bool
nic_ops(Instance *card, struct bp_nic_ops *ops)
{
    const void *table = instance_query(card, BP_NIC_ID);

    return table != NULL && table_copy(ops, sizeof(*ops), table) == 0;
}

/* A device with that name, or the one behind which a backend of that name stands. */
static Instance *
find_card(Machine *machine, const char *name)
{
    Instance *card = machine_device_find(machine, name);
    const Instance *backend = card == NULL ? machine_backend_find(machine, name) : NULL;
    struct bp_nic_ops ops;

    while (card == NULL && backend != NULL) {
        g_autoptr(MachineSlot) slot = machine_slot_of_backend(machine, backend);
        backend = slot != NULL ? slot->consumer : NULL;
        card = backend != NULL && backend->plan->is_device ? slot->consumer : NULL;
    }
    return card != NULL && nic_ops(card, &ops) ? card : NULL;
}

static Instance *
must_find_card(QmpCall *call, const char *name)
{
    Instance *card = find_card(call->machine, name);

    if (card == NULL) {
        qmp_call_fail(call, "DeviceNotFound", "Device '%.64s' not found", name);
    }
    return card;
}

/* --- cable and announcement ---------------------------------------------------------------------
 */

void
qmp_set_link(QmpCall *call)
{
    Instance *card = must_find_card(call, qmp_text(call, "name", ""));
    struct bp_nic_ops ops;
    int32_t result = -EOPNOTSUPP;
    DeviceCall lock;

    if (card == NULL) {
        return;
    }
    if (nic_ops(card, &ops) && ops.set_link != NULL) {
        instance_lock(card, &lock);
        result = ops.set_link(card->self, qmp_flag(call, "up", true));
        device_call_leave(&lock);
    }
    if (result < 0) {
        qmp_call_fail(call, "GenericError", "Device '%s' has no cable: %s", card->id,
                      g_strerror(-result));
    }
}

/* A guest that cannot be told is passed over, as it is by others. */
static void
announce(Instance *card)
{
    struct bp_nic_ops ops;
    int32_t result;
    DeviceCall lock;

    if (nic_ops(card, &ops) && ops.announce != NULL) {
        instance_lock(card, &lock);
        result = ops.announce(card->self);
        device_call_leave(&lock);
        log_debug("qmp", "%s announces itself: %d", card->id, result);
    }
}

/* The times and numbers of rounds are checked and not needed: the guest's driver repeats by itself.
 */
void
qmp_announce_self(QmpCall *call)
{
    JsonNode *names = json_object_get_member(call->arguments, "interfaces");
    const GPtrArray *devices = machine_devices(call->machine);
    JsonArray *list;
    guint i;

    if (names == NULL) {
        for (i = 0; i < devices->len; i++) {
            announce(devices->pdata[i]);
        }
        return;
    }
    if (!JSON_NODE_HOLDS_ARRAY(names)) {
        qmp_call_fail(call, "GenericError",
                      "Invalid parameter type for 'interfaces', expected: array");
        return;
    }
    list = json_node_get_array(names);
    for (i = 0; i < json_array_get_length(list); i++) {
        JsonNode *name = json_array_get_element(list, i);
        const char *text = JSON_NODE_HOLDS_VALUE(name) ? json_node_get_string(name) : NULL;
        Instance *card = must_find_card(call, text != NULL ? text : "");
        if (card == NULL) {
            return;
        }
        announce(card);
    }
}

/* --- filter -------------------------------------------------------------------------------------
 */

static void
add_mac(JsonArray *list, const uint8_t *mac)
{
    g_autofree char *text = g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                                            mac[3], mac[4], mac[5]);

    json_array_add_string_element(list, text);
}

static JsonArray *
macs(const uint8_t (*table)[8], uint32_t count)
{
    JsonArray *list = json_array_new();
    uint32_t i;

    for (i = 0; i < MIN(count, BP_NIC_MAX_MACS); i++) {
        add_mac(list, table[i]);
    }
    return list;
}

static JsonArray *
vlans(const struct bp_nic_filter *filter)
{
    JsonArray *list = json_array_new();
    guint id;

    for (id = 0; id < G_N_ELEMENTS(filter->vlans) * 64; id++) {
        if ((filter->vlans[id / 64] >> (id % 64) & 1) != 0) {
            json_array_add_int_element(list, id);
        }
    }
    return list;
}

static const char *
mode(const struct bp_nic_filter *filter, uint32_t none, uint32_t all)
{
    return (filter->flags & none) != 0 ? "none" : (filter->flags & all) != 0 ? "all" : "normal";
}

static JsonObject *
describe(const Instance *card, const struct bp_nic_filter *filter)
{
    JsonObject *object = json_object_new();
    JsonArray *main_mac = json_array_new();

    json_object_set_string_member(object, "name", card->id);
    json_object_set_boolean_member(object, "promiscuous",
                                   (filter->flags & BP_NIC_PROMISCUOUS) != 0);
    json_object_set_string_member(object, "multicast",
                                  mode(filter, BP_NIC_NO_MULTICAST, BP_NIC_ALL_MULTICAST));
    json_object_set_string_member(object, "unicast",
                                  mode(filter, BP_NIC_NO_UNICAST, BP_NIC_ALL_UNICAST));
    json_object_set_string_member(object, "vlan",
                                  (filter->flags & BP_NIC_VLANS) != 0 ? "normal" : "all");
    json_object_set_boolean_member(object, "broadcast-allowed",
                                   (filter->flags & BP_NIC_NO_BROADCAST) == 0);
    json_object_set_boolean_member(object, "multicast-overflow",
                                   (filter->flags & BP_NIC_MANY_MULTICAST) != 0);
    json_object_set_boolean_member(object, "unicast-overflow",
                                   (filter->flags & BP_NIC_MANY_UNICAST) != 0);
    add_mac(main_mac, filter->mac);
    json_object_set_string_member(object, "main-mac", json_array_get_string_element(main_mac, 0));
    json_array_unref(main_mac);
    json_object_set_array_member(object, "unicast-table",
                                 macs(filter->unicast, filter->unicast_count));
    json_object_set_array_member(object, "multicast-table",
                                 macs(filter->multicast, filter->multicast_count));
    json_object_set_array_member(object, "vlan-table", vlans(filter));
    return object;
}

static bool
get_filter(Instance *card, struct bp_nic_filter *filter)
{
    struct bp_nic_ops ops;
    int32_t result = -EOPNOTSUPP;
    DeviceCall lock;

    *filter = (struct bp_nic_filter){.size = sizeof(*filter)};
    if (nic_ops(card, &ops) && ops.filter != NULL) {
        instance_lock(card, &lock);
        result = ops.filter(card->self, filter);
        device_call_leave(&lock);
    }
    return result == 0;
}

void
qmp_query_rx_filter(QmpCall *call)
{
    const char *name = qmp_text(call, "name", NULL);
    const GPtrArray *devices = machine_devices(call->machine);
    Instance *only = name != NULL ? must_find_card(call, name) : NULL;
    g_autoptr(JsonArray) list = json_array_new();
    guint i;

    if (name != NULL && only == NULL) {
        return;
    }
    for (i = 0; i < devices->len; i++) {
        struct bp_nic_filter filter;
        if ((only == NULL || devices->pdata[i] == only) && get_filter(devices->pdata[i], &filter)) {
            json_array_add_object_element(list, describe(devices->pdata[i], &filter));
        }
    }
    if (only != NULL && json_array_get_length(list) == 0) {
        qmp_call_fail(call, "GenericError", "Device '%s' does not tell what it lets through",
                      only->id);
        return;
    }
    qmp_call_return_array(call, g_steal_pointer(&list));
}
