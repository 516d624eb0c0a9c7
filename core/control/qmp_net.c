/* SPDX-License-Identifier: Apache-2.0 */
/* Backends of networks and of characters. */
#include "config/description.h"
#include "control/qmp_private.h"

#include <string.h>

/* "user" and a prefix "net-" make a plugin's name, unless it is one already. */
static char *
find_plugin(Machine *machine, const char *prefix, const char *type)
{
    PluginSearch *search = machine_plan(machine)->search;
    g_autofree char *name = g_strdup_printf("%s%s", prefix, type);

    if (plugin_search_find(search, name, NULL) != NULL) {
        return g_steal_pointer(&name);
    }
    return plugin_search_find(search, type, NULL) != NULL ? g_strdup(type) : NULL;
}

static bool
provides(const Instance *backend, const char *interface_id)
{
    return instance_query((Instance *)(uintptr_t)backend, interface_id) != NULL;
}

static bool
add_members(QmpCall *call, Node *options, JsonObject *object, const struct bp_prop *props)
{
    static const char *const own[] = {"id", "type", NULL};
    g_autoptr(GList) members = json_object_get_members(object);
    GList *member;

    for (member = members; member != NULL; member = member->next) {
        const char *name = member->data;
        g_autofree char *option = qmp_option_name(props, name);
        if (!g_strv_contains(own, name) &&
            !qmp_add_option(call, options, option, json_object_get_member(object, name))) {
            return false;
        }
    }
    return true;
}

/* A backend that must provide an interface; else it goes again. */
static void
add_backend(QmpCall *call, const char *plugin, JsonObject *given, const char *interface_id)
{
    g_autoptr(Node) options = node_new(BP_NODE_GROUP, qmp_text(call, "id", ""), FILE_CONTROL, 0);
    g_autoptr(GError) error = NULL;
    Instance *backend;

    qmp_add_text(options, "plugin", plugin);
    if (!add_members(call, options, given,
                     qmp_plugin_props(call->machine, plugin, BP_KIND_BACKEND))) {
        return;
    }
    backend = machine_backend_add(call->machine, g_steal_pointer(&options), &error);
    if (backend == NULL) {
        qmp_call_take_error(call, error);
    } else if (!provides(backend, interface_id)) {
        (void)machine_backend_remove(call->machine, backend, NULL);
        qmp_call_fail(call, "GenericError", "\"%s\" provides no %s", plugin, interface_id);
    }
}

static void
remove_backend(QmpCall *call, const char *interface_id, const char *kind)
{
    const char *id = qmp_text(call, "id", "");
    Instance *backend = machine_backend_find(call->machine, id);
    g_autoptr(GError) error = NULL;

    if (backend == NULL || !provides(backend, interface_id)) {
        qmp_call_fail(call, "DeviceNotFound", "%s '%.64s' not found", kind, id);
    } else if (!machine_backend_remove(call->machine, backend, &error)) {
        qmp_call_take_error(call, error);
    }
}

void
qmp_netdev_add(QmpCall *call)
{
    const char *type = qmp_text(call, "type", "");
    g_autofree char *plugin = find_plugin(call->machine, "net-", type);

    if (plugin == NULL) {
        qmp_call_fail(call, "GenericError", "Parameter 'type' does not accept value '%.64s'", type);
        return;
    }
    add_backend(call, plugin, call->arguments, BP_NET_ID);
}

void
qmp_netdev_del(QmpCall *call)
{
    remove_backend(call, BP_NET_ID, "Device");
}

/* --- characters ---------------------------------------------------------------------------------
 */

/* {"type": "file", "data": {...}}; "out" is a file's path there, "addr" a socket's. */
void
qmp_chardev_add(QmpCall *call)
{
    JsonObject *given = json_object_get_object_member(call->arguments, "backend");
    const char *type = json_object_get_string_member_with_default(given, "type", "");
    JsonNode *data = json_object_get_member(given, "data");
    g_autofree char *plugin = find_plugin(call->machine, "char-", type != NULL ? type : "");
    g_autoptr(JsonObject) none = json_object_new();

    if (plugin == NULL) {
        qmp_call_fail(call, "GenericError", "Parameter 'type' does not accept value '%.64s'",
                      type != NULL ? type : "");
    } else if (data != NULL && !JSON_NODE_HOLDS_OBJECT(data)) {
        qmp_call_fail(call, "GenericError",
                      "Invalid parameter type for 'backend.data', expected: object");
    } else {
        add_backend(call, plugin, data != NULL ? json_node_get_object(data) : none, BP_CHAR_ID);
    }
}

void
qmp_chardev_remove(QmpCall *call)
{
    remove_backend(call, BP_CHAR_ID, "Chardev");
}
