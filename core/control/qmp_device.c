/* SPDX-License-Identifier: Apache-2.0 */
/* device_add and device_del. Clients that know QEMU say what they mean in its words; what is no
 * such word is an option of the plugin, and its schema judges it. */
#include "config/description.h"
#include "control/qmp_private.h"

#include <string.h>

#define TRANSPORT_SUFFIX "-pci"
#define ROOT_BUS         "pci.0"

/* --- names --------------------------------------------------------------------------------------
 */

/* A driver is a plugin, or a plugin and "-pci". */
char *
qmp_find_plugin(Machine *machine, const char *driver)
{
    PluginSearch *search = machine_plan(machine)->search;
    g_autofree char *name = g_strdup(driver);

    if (strchr(driver, '/') != NULL || plugin_search_find(search, driver, NULL) != NULL) {
        return g_steal_pointer(&name);
    }
    if (g_str_has_suffix(name, TRANSPORT_SUFFIX)) {
        name[strlen(name) - strlen(TRANSPORT_SUFFIX)] = '\0';
        if (plugin_search_find(search, name, NULL) != NULL) {
            return g_steal_pointer(&name);
        }
    }
    return NULL;
}

const struct bp_prop *
qmp_plugin_props(Machine *machine, const char *plugin, uint32_t kind)
{
    const PluginImage *image = plugin_search_find(machine_plan(machine)->search, plugin, NULL);
    unsigned i;

    for (i = 0; image != NULL && i < plugin_image_class_count(image); i++) {
        const PluginClass *class = plugin_image_class(image, i);
        if (class->kind == kind) {
            return class->props;
        }
    }
    return NULL;
}

bool
qmp_has_option(const struct bp_prop *props, const char *name)
{
    for (; props != NULL && props->name != NULL; props++) {
        if (strcmp(props->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static const char *
backend_option(const struct bp_prop *props)
{
    for (; props != NULL && props->name != NULL; props++) {
        if (props->type == BP_PROP_BACKEND) {
            return props->name;
        }
    }
    return NULL;
}

/* "drive", "netdev" and "chardev" are what stands behind; words are joined by '_' here. */
char *
qmp_option_name(const struct bp_prop *props, const char *name)
{
    static const char *const behind[] = {"drive", "netdev", "chardev", NULL};
    g_autofree char *other = g_strdelimit(g_strdup(name), "-", '_');

    if (qmp_has_option(props, name)) {
        return g_strdup(name);
    }
    if (g_strv_contains(behind, name) && backend_option(props) != NULL) {
        return g_strdup(backend_option(props));
    }
    return qmp_has_option(props, other) ? g_steal_pointer(&other) : g_strdup(name);
}

/* --- options ------------------------------------------------------------------------------------
 */

void
qmp_add_text(Node *group, const char *name, const char *text)
{
    Node *node = node_new(BP_NODE_STRING, name, FILE_CONTROL, 0);

    node_set_text(node, text);
    g_ptr_array_add(group->children, node);
}

/* "5", "0x5", "5.0", or the number of a function as the bus counts them. */
static bool
add_address(QmpCall *call, Node *group, JsonNode *value)
{
    GType type = JSON_NODE_HOLDS_VALUE(value) ? json_node_get_value_type(value) : G_TYPE_NONE;
    g_autofree char *text = NULL;

    if (type == G_TYPE_INT64) {
        gint64 devfn = json_node_get_int(value) & 0xff;
        text = g_strdup_printf("%02x.%x", (unsigned)devfn >> 3, (unsigned)devfn & 7);
    } else if (type == G_TYPE_STRING) {
        const char *given = json_node_get_string(value);
        given += g_str_has_prefix(given, "0x") ? 2 : 0;
        text = strchr(given, '.') != NULL ? g_strdup(given) : g_strdup_printf("%s.0", given);
    } else {
        qmp_call_fail(call, "GenericError", "Invalid parameter type for 'addr', expected: string");
        return false;
    }
    qmp_add_text(group, "address", text);
    return true;
}

static bool
is_own(const char *name)
{
    static const char *const own[] = {"driver", "id", "bus", "addr", NULL};

    return g_strv_contains(own, name);
}

bool
qmp_add_option(QmpCall *call, Node *group, const char *name, JsonNode *value)
{
    g_autofree char *problem = NULL;
    Node *node = qmp_node_of_json(name, value, &problem);

    if (node == NULL) {
        qmp_call_fail(call, "GenericError", "%s", problem);
        return false;
    }
    g_ptr_array_add(group->children, node);
    return true;
}

static bool
add_options(QmpCall *call, Node *group, const struct bp_prop *props)
{
    g_autoptr(GList) members = json_object_get_members(call->arguments);
    GList *member;

    for (member = members; member != NULL; member = member->next) {
        const char *name = member->data;
        JsonNode *value = json_object_get_member(call->arguments, name);
        g_autofree char *option = qmp_option_name(props, name);
        if (!is_own(name) && !qmp_add_option(call, group, option, value)) {
            return false;
        }
    }
    return true;
}

/* The options as a description would have them; NULL after failing the call. */
static Node *
device_options(QmpCall *call, const char *id, const char *plugin)
{
    g_autoptr(Node) group = node_new(BP_NODE_GROUP, id, FILE_CONTROL, 0);
    JsonNode *address = json_object_get_member(call->arguments, "addr");

    qmp_add_text(group, "plugin", plugin);
    if ((address != NULL && !add_address(call, group, address)) ||
        !add_options(call, group, qmp_plugin_props(call->machine, plugin, BP_KIND_DEVICE))) {
        return NULL;
    }
    return g_steal_pointer(&group);
}

/* --- commands -----------------------------------------------------------------------------------
 */

static bool
is_root_bus(const char *bus)
{
    return strcmp(bus, ROOT_BUS) == 0 || strcmp(bus, "pci") == 0;
}

/* "adapter0.0", or the device alone. */
static Instance *
find_bus(Machine *machine, const char *bus)
{
    g_autofree char *id = g_strdup(bus);
    char *dot = strrchr(id, '.');

    if (dot != NULL) {
        *dot = '\0';
    }
    return machine_device_find(machine, id);
}

static bool
check_device(QmpCall *call, const char *id, const char *plugin)
{
    const char *bus = qmp_text(call, "bus", ROOT_BUS);

    if (plugin == NULL) {
        qmp_call_fail(call, "GenericError", "'%.64s' is not a valid device model name",
                      qmp_text(call, "driver", ""));
    } else if (!is_root_bus(bus)) {
        qmp_call_fail(call, "GenericError", "Bus '%.64s' not found", bus);
    } else if (machine_device_find(call->machine, id) != NULL) {
        qmp_call_fail(call, "GenericError", "Duplicate device ID '%s'", id);
    } else {
        return true;
    }
    return false;
}

void
qmp_device_add(QmpCall *call)
{
    g_autofree char *plugin = qmp_find_plugin(call->machine, qmp_text(call, "driver", ""));
    g_autofree char *unused = machine_unused_id(call->machine, "device");
    const char *id = qmp_text(call, "id", unused);
    Instance *bus = find_bus(call->machine, qmp_text(call, "bus", ROOT_BUS));
    g_autoptr(GError) error = NULL;
    Node *options;

    if (bus != NULL && machine_places(bus) != NULL) {
        qmp_unit_add(call, bus);
        return;
    }
    if (!check_device(call, id, plugin)) {
        return;
    }
    options = device_options(call, id, plugin);
    if (options != NULL && machine_device_add(call->machine, options, &error) == NULL) {
        qmp_call_take_error(call, error);
    }
}

static void
removed(void *opaque, const GError *error)
{
    QmpCall *call = opaque;

    if (error != NULL) {
        qmp_call_take_error(call, error);
    }
    qmp_call_finish(call);
}

void
qmp_device_del(QmpCall *call)
{
    const char *id = qmp_text(call, "id", "");
    Instance *device = machine_device_find(call->machine, id);
    g_autoptr(MachineSlot) unit = qmp_unit_find(call->machine, id);
    g_autoptr(GError) error = NULL;

    if (unit != NULL) {
        qmp_unit_del(call, unit);
    } else if (device == NULL) {
        qmp_call_fail(call, "DeviceNotFound", "Device '%.64s' not found", id);
    } else if (qmp_flag(call, "force", false)) {
        call->is_deferred = true;
        machine_device_remove(call->machine, device, removed, call);
    } else if (!machine_device_request(call->machine, device, &error)) {
        qmp_call_take_error(call, error);
    }
}
