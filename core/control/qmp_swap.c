/* SPDX-License-Identifier: Apache-2.0 */
/* backend-swap: another backend, or a filter more or less, under a running guest. Ours alone. */
#include "config/description.h"
#include "control/qmp_private.h"

#include <string.h>

static void
swapped(void *opaque, const GError *error)
{
    QmpCall *call = opaque;

    if (error != NULL) {
        qmp_call_take_error(call, error);
    }
    qmp_call_finish(call);
}

static const char *
slot_of_class(const PluginClass *class, const char *interface_id)
{
    const struct bp_slot *slot = class->slots;

    while (slot != NULL && slot->name != NULL) {
        if (strcmp(slot->interface_id, interface_id) == 0) {
            return slot->name;
        }
        slot++;
    }
    return NULL;
}

/* The slot by which a filter stands on what provides the same interface; NULL: it is no filter. */
static const char *
slot_below(Machine *machine, const char *plugin, const char *interface_id)
{
    const PluginImage *image = plugin_search_find(machine_plan(machine)->search, plugin, NULL);
    const char *name = NULL;
    unsigned i;

    for (i = 0; name == NULL && image != NULL && i < plugin_image_class_count(image); i++) {
        const PluginClass *class = plugin_image_class(image, i);
        if (class->kind == BP_KIND_BACKEND) {
            name = slot_of_class(class, interface_id);
        }
    }
    return name;
}

static Node *
filter_options(QmpCall *call, const MachineSlot *slot, JsonObject *given)
{
    g_autoptr(Node) options = NULL;
    const char *below;
    Node *node;

    if (slot->backend == NULL) {
        qmp_call_fail(call, "GenericError",
                      "Device '%s' has no backend that a filter could stand on", slot->name);
        return NULL;
    }
    if (!json_object_has_member(given, "node-name")) {
        g_autofree char *id = machine_unused_id(call->machine, "filter");
        json_object_set_string_member(given, "node-name", id);
    }
    options = qmp_blockdev_options(call, given);
    if (options == NULL) {
        return NULL;
    }
    below = slot_below(call->machine, node_text(node_child(options, "plugin"), ""),
                       machine_slot_class(slot)->interface_id);
    if (below == NULL) {
        qmp_call_fail(call, "GenericError", "\"%s\" is no filter: make it with blockdev-add",
                      node_text(node_child(options, "plugin"), ""));
        return NULL;
    }
    if (node_child(options, below) == NULL) {
        node = node_new(BP_NODE_STRING, below, FILE_CONTROL, 0);
        node_set_text(node, slot->backend->id);
        g_ptr_array_add(options->children, node);
    }
    return g_steal_pointer(&options);
}

/* "backend": an id, or an object of options. */
static bool
find_new(QmpCall *call, const MachineSlot *slot, MachineSwap *swap)
{
    JsonNode *given = json_object_get_member(call->arguments, "backend");
    const char *id;

    if (JSON_NODE_HOLDS_OBJECT(given)) {
        swap->filter = filter_options(call, slot, json_node_get_object(given));
        return swap->filter != NULL;
    }
    if (!JSON_NODE_HOLDS_VALUE(given) || json_node_get_value_type(given) != G_TYPE_STRING) {
        qmp_call_fail(call, "GenericError",
                      "Invalid parameter type for 'backend', expected: string or object");
        return false;
    }
    id = json_node_get_string(given);
    swap->backend = machine_backend_find(call->machine, id);
    if (swap->backend == NULL) {
        qmp_call_fail(call, "GenericError", "Node '%.64s' not found", id);
        return false;
    }
    if (swap->backend == slot->backend) {
        qmp_call_fail(call, "GenericError", "Node '%s' is there already", id);
        return false;
    }
    return true;
}

/* "size", "id", both with a comma between them, or "none". */
static bool
take_checks(QmpCall *call, MachineSwap *swap)
{
    const char *verify = qmp_text(call, "verify", "size");
    g_auto(GStrv) checks = g_strsplit(verify, ",", 8);
    guint i;

    for (i = 0; checks[i] != NULL; i++) {
        bool is_size = strcmp(checks[i], "size") == 0;
        bool is_id = strcmp(checks[i], "id") == 0;
        if (!is_size && !is_id && strcmp(verify, "none") != 0) {
            qmp_call_fail(call, "GenericError", "Parameter 'verify' does not accept value '%.64s'",
                          verify);
            return false;
        }
        swap->same_size |= is_size;
        swap->same_disk |= is_id;
    }
    return true;
}

void
qmp_backend_swap(QmpCall *call)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MachineSlot) slot =
        machine_slot_find(call->machine, qmp_text(call, "device", ""), &error);
    MachineSwap swap = {.same_size = false};

    if (slot == NULL) {
        qmp_call_take_error(call, error);
        return;
    }
    if (take_checks(call, &swap) && find_new(call, slot, &swap)) {
        call->is_deferred = true;
        machine_swap(call->machine, slot, &swap, swapped, call);
    }
}
