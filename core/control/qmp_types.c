/* SPDX-License-Identifier: Apache-2.0 */
/* What machines can be made of: machine types, plugins' classes, their options. */
#include "control/qmp_private.h"

#include <string.h>

#define CPUS_MAX 255

void
qmp_query_machines(QmpCall *call)
{
    JsonArray *list = json_array_new();
    JsonObject *pc = json_object_new();

    json_object_set_string_member(pc, "name", "pc");
    json_object_set_boolean_member(pc, "is-default", TRUE);
    json_object_set_int_member(pc, "cpu-max", CPUS_MAX);
    json_object_set_boolean_member(pc, "hotpluggable-cpus", FALSE);
    json_object_set_boolean_member(pc, "numa-mem-supported", FALSE);
    json_object_set_boolean_member(pc, "deprecated", FALSE);
    json_object_set_string_member(pc, "default-cpu-type", "host");
    json_array_add_object_element(list, pc);
    qmp_call_return_array(call, list);
}

void
qmp_query_chardev(QmpCall *call)
{
    const GPtrArray *backends = machine_backends(call->machine);
    JsonArray *list = json_array_new();
    guint i;

    for (i = 0; i < backends->len; i++) {
        Instance *backend = backends->pdata[i];
        g_autoptr(MachineSlot) slot = NULL;
        JsonObject *object;
        if (instance_query(backend, BP_CHAR_ID) == NULL) {
            continue;
        }
        slot = machine_slot_of_backend(call->machine, backend);
        object = json_object_new();
        json_object_set_string_member(object, "label", backend->id);
        json_object_set_string_member(
            object, "filename",
            node_text(node_child(backend->plan->node, "path"), backend->class->name));
        json_object_set_boolean_member(object, "frontend-open", slot != NULL);
        json_array_add_object_element(list, object);
    }
    qmp_call_return_array(call, list);
}

/* --- classes ------------------------------------------------------------------------------------
 */

typedef void EachClass(const PluginClass *class, void *opaque);

static void
foreach_class(Machine *machine, EachClass *each, void *opaque)
{
    PluginSearch *search = machine_plan(machine)->search;
    g_auto(GStrv) names = plugin_search_list(search);
    char **name;
    unsigned i;

    for (name = names; *name != NULL; name++) {
        const PluginImage *image = plugin_search_find(search, *name, NULL);
        for (i = 0; image != NULL && i < plugin_image_class_count(image); i++) {
            each(plugin_image_class(image, i), opaque);
        }
    }
}

typedef struct {
    JsonArray *list;
    const char *implements; /* or NULL: all */
} TypeList;

static void
add_type(const PluginClass *class, void *opaque)
{
    TypeList *types = opaque;
    const char *parent = class->kind == BP_KIND_DEVICE ? "device" : "backend";
    JsonObject *object;

    if (types->implements != NULL && strcmp(types->implements, parent) != 0 &&
        strcmp(types->implements, class->name) != 0) {
        return;
    }
    object = json_object_new();
    json_object_set_string_member(object, "name", class->name);
    json_object_set_string_member(object, "parent", parent);
    json_array_add_object_element(types->list, object);
}

void
qmp_qom_list_types(QmpCall *call)
{
    TypeList types = {json_array_new(), qmp_text(call, "implements", NULL)};

    foreach_class(call->machine, add_type, &types);
    qmp_call_return_array(call, types.list);
}

typedef struct {
    const char *name;
    const PluginClass *found;
} ClassSearch;

static void
look_at(const PluginClass *class, void *opaque)
{
    ClassSearch *search = opaque;

    if (strcmp(class->name, search->name) == 0) {
        search->found = class;
    }
}

static const char *
type_name(uint32_t type)
{
    static const char *const names[] = {
        [BP_PROP_BOOL] = "bool", [BP_PROP_INT] = "int64",    [BP_PROP_UINT] = "uint64",
        [BP_PROP_SIZE] = "size", [BP_PROP_FLOAT] = "number", [BP_PROP_STRING] = "str",
        [BP_PROP_PATH] = "path", [BP_PROP_ENUM] = "enum",    [BP_PROP_BACKEND] = "backend",
        [BP_PROP_LIST] = "list", [BP_PROP_GROUP] = "group",
    };

    return type < G_N_ELEMENTS(names) && names[type] != NULL ? names[type] : "unknown";
}

void
qmp_device_list_properties(QmpCall *call)
{
    ClassSearch search = {qmp_text(call, "typename", ""), NULL};
    const struct bp_prop *prop;
    JsonArray *list;

    foreach_class(call->machine, look_at, &search);
    if (search.found == NULL) {
        qmp_call_fail(call, "DeviceNotFound", "Device '%.64s' not found", search.name);
        return;
    }
    list = json_array_new();
    for (prop = search.found->props; prop != NULL && prop->name != NULL; prop++) {
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "name", prop->name);
        json_object_set_string_member(object, "type", type_name(prop->type));
        if (prop->help != NULL) {
            json_object_set_string_member(object, "description", prop->help);
        }
        if (prop->def != NULL) {
            json_object_set_string_member(object, "default-value", prop->def);
        }
        json_array_add_object_element(list, object);
    }
    qmp_call_return_array(call, list);
}

/* --- options that change while the machine runs ------------------------------------------------
 */

/* "/machine/peripheral/ID", "/objects/ID" or the id alone. */
static Instance *
find_by_path(Machine *machine, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *id = slash != NULL ? slash + 1 : path;
    Instance *found = machine_backend_find(machine, id);

    return found != NULL ? found : machine_device_find(machine, id);
}

void
qmp_qom_set(QmpCall *call)
{
    const char *path = qmp_text(call, "path", "");
    Instance *instance = find_by_path(call->machine, path);
    JsonNode *given = json_object_get_member(call->arguments, "value");
    g_autofree char *problem = NULL;
    g_autoptr(GError) error = NULL;
    Node *value;

    if (instance == NULL) {
        qmp_call_fail(call, "DeviceNotFound", "Device '%.64s' not found", path);
        return;
    }
    value = qmp_node_of_json(qmp_text(call, "property", ""), given, &problem);
    if (value == NULL) {
        qmp_call_fail(call, "GenericError", "%s", problem);
    } else if (!instance_set(instance, value, &error)) {
        qmp_call_take_error(call, error);
    }
}
