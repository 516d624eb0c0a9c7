/* SPDX-License-Identifier: Apache-2.0 */
/* Options that come as JSON, turned into what a machine description's parser makes. */
#include "config/description.h"
#include "control/qmp_private.h"

#include <string.h>

#define DEPTH_MAX 16u

static Node *convert(const char *name, JsonNode *value, unsigned depth, char **problem);

static bool
add(Node *parent, const char *name, JsonNode *value, unsigned depth, char **problem)
{
    Node *child = convert(name, value, depth + 1, problem);

    if (child != NULL) {
        g_ptr_array_add(parent->children, child);
    }
    return child != NULL;
}

static Node *
convert_object(const char *name, JsonObject *object, unsigned depth, char **problem)
{
    g_autoptr(Node) node = node_new(BP_NODE_GROUP, name, FILE_CONTROL, 0);
    g_autoptr(GList) members = json_object_get_members(object);
    GList *member;

    for (member = members; member != NULL; member = member->next) {
        const char *key = member->data;
        if (!add(node, key, json_object_get_member(object, key), depth, problem)) {
            return NULL;
        }
    }
    return g_steal_pointer(&node);
}

static Node *
convert_array(const char *name, JsonArray *array, unsigned depth, char **problem)
{
    g_autoptr(Node) node = node_new(BP_NODE_LIST, name, FILE_CONTROL, 0);
    guint i;

    for (i = 0; i < json_array_get_length(array); i++) {
        if (!add(node, NULL, json_array_get_element(array, i), depth, problem)) {
            return NULL;
        }
    }
    return g_steal_pointer(&node);
}

static Node *
convert_value(const char *name, JsonNode *value)
{
    GType type = json_node_get_value_type(value);
    Node *node = NULL;

    if (type == G_TYPE_STRING) {
        node = node_new(BP_NODE_STRING, name, FILE_CONTROL, 0);
        node_set_text(node, json_node_get_string(value));
    } else if (type == G_TYPE_INT64) {
        node = node_new(BP_NODE_INT, name, FILE_CONTROL, 0);
        node->integer = json_node_get_int(value);
    } else if (type == G_TYPE_BOOLEAN) {
        node = node_new(BP_NODE_BOOL, name, FILE_CONTROL, 0);
        node->boolean = json_node_get_boolean(value);
    } else if (type == G_TYPE_DOUBLE) {
        node = node_new(BP_NODE_FLOAT, name, FILE_CONTROL, 0);
        node->real = json_node_get_double(value);
    }
    return node;
}

static Node *
convert(const char *name, JsonNode *value, unsigned depth, char **problem)
{
    Node *node = NULL;

    if (depth > DEPTH_MAX) {
        *problem = g_strdup("the options are nested too deep");
        return NULL;
    }
    if (JSON_NODE_HOLDS_OBJECT(value)) {
        return convert_object(name, json_node_get_object(value), depth, problem);
    }
    if (JSON_NODE_HOLDS_ARRAY(value)) {
        return convert_array(name, json_node_get_array(value), depth, problem);
    }
    if (JSON_NODE_HOLDS_VALUE(value)) {
        node = convert_value(name, value);
    }
    if (node == NULL) {
        *problem = g_strdup_printf("option '%.64s' has no value", name != NULL ? name : "");
    }
    return node;
}

Node *
qmp_node_of_json(const char *name, JsonNode *value, char **problem)
{
    return convert(name, value, 0, problem);
}
