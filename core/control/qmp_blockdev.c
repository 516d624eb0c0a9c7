/* SPDX-License-Identifier: Apache-2.0 */
/* blockdev-add's arguments as the options of a plugin. Those QEMU's clients know have their names
 * there; everything else is passed to the plugin's schema as it is. */
#include "config/description.h"
#include "control/qmp_private.h"

#include <string.h>

static const struct {
    const char *theirs;
    const char *ours;
} names[] = {
    {"read-only", "readonly"},
    {"filename", "path"},
    {"detect-zeroes", "detect_zeroes"},
};

/* Node names are clients' names: capitals and such are no ids of a description. */
static bool
is_taken_care_of(const char *name)
{
    return strcmp(name, "driver") == 0 || strcmp(name, "node-name") == 0 ||
           strcmp(name, "auto-read-only") == 0;
}

/* {"direct": true} and {"no-flush": true} are modes of the cache. */
static const char *
cache_mode(JsonObject *cache)
{
    if (json_object_get_boolean_member_with_default(cache, "no-flush", FALSE)) {
        return "unsafe";
    }
    return json_object_get_boolean_member_with_default(cache, "direct", FALSE) ? "none"
                                                                               : "writeback";
}

static bool add_members(QmpCall *call, Node *group, JsonObject *object, unsigned depth);

static bool
add_member(QmpCall *call, Node *group, const char *name, JsonNode *value, unsigned depth)
{
    g_autofree char *problem = NULL;
    g_autoptr(JsonNode) mode = NULL;
    Node *node;
    size_t i;

    if (strcmp(name, "file") == 0 && JSON_NODE_HOLDS_OBJECT(value) && depth == 0) {
        return add_members(call, group, json_node_get_object(value), depth + 1);
    }
    if (strcmp(name, "cache") == 0 && JSON_NODE_HOLDS_OBJECT(value)) {
        mode = json_node_init_string(json_node_alloc(), cache_mode(json_node_get_object(value)));
        value = mode;
    } else if (strcmp(name, "file") == 0) {
        name = "below";
    }
    for (i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(name, names[i].theirs) == 0) {
            name = names[i].ours;
        }
    }
    node = qmp_node_of_json(name, value, &problem);
    if (node == NULL) {
        qmp_call_fail(call, "GenericError", "%s", problem);
        return false;
    }
    g_ptr_array_add(group->children, node);
    return true;
}

static bool
add_members(QmpCall *call, Node *group, JsonObject *object, unsigned depth)
{
    g_autoptr(GList) members = json_object_get_members(object);
    GList *member;

    for (member = members; member != NULL; member = member->next) {
        const char *name = member->data;
        if (!is_taken_care_of(name) &&
            !add_member(call, group, name, json_object_get_member(object, name), depth)) {
            return false;
        }
    }
    return true;
}

Node *
qmp_blockdev_options(QmpCall *call, JsonObject *arguments)
{
    const char *driver = json_object_get_string_member_with_default(arguments, "driver", "");
    const char *id = json_object_get_string_member_with_default(arguments, "node-name", "");
    g_autofree char *plugin = qmp_block_plugin(call->machine, driver);
    g_autoptr(Node) group = node_new(BP_NODE_GROUP, id, FILE_CONTROL, 0);
    Node *name = node_new(BP_NODE_STRING, "plugin", FILE_CONTROL, 0);

    node_set_text(name, plugin != NULL ? plugin : driver);
    g_ptr_array_add(group->children, name);
    if (!add_members(call, group, arguments, 0)) {
        return NULL;
    }
    return g_steal_pointer(&group);
}
