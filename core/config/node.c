/* SPDX-License-Identifier: Apache-2.0 */
/* Values of a machine description. */
#include "config/node.h"

#include <string.h>

Node *
node_new(uint32_t type, const char *name, const char *file, unsigned line)
{
    Node *node = g_new0(Node, 1);

    node->type = type;
    node->name = g_strdup(name);
    node->file = g_intern_string(file);
    node->line = line;
    if (type == BP_NODE_LIST || type == BP_NODE_GROUP) {
        node->children = g_ptr_array_new_with_free_func((GDestroyNotify)node_free);
    }
    return node;
}

void
node_free(Node *node)
{
    if (node == NULL) {
        return;
    }
    if (node->type == BP_NODE_STRING) {
        g_free(node->text);
    }
    if (node->children != NULL) {
        g_ptr_array_unref(node->children);
    }
    g_free(node->name);
    g_free(node->raw);
    g_free(node);
}

Node *
node_child(const Node *group, const char *name)
{
    if (group == NULL || group->type != BP_NODE_GROUP) {
        return NULL;
    }
    for (guint i = 0; i < group->children->len; i++) {
        Node *child = g_ptr_array_index(group->children, i);
        if (strcmp(child->name, name) == 0) {
            return child;
        }
    }
    return NULL;
}

Node *
node_at(const Node *parent, unsigned index)
{
    return index < node_count(parent) ? g_ptr_array_index(parent->children, index) : NULL;
}

unsigned
node_count(const Node *node)
{
    return node != NULL && node->children != NULL ? node->children->len : 0;
}

void
node_set_text(Node *node, const char *text)
{
    char *copy = g_strdup(text);

    if (node->type == BP_NODE_STRING) {
        g_free(node->text);
    }
    if (node->children != NULL) {
        g_ptr_array_unref(node->children);
        node->children = NULL;
    }
    node->type = BP_NODE_STRING;
    node->text = copy;
}

const char *
node_text(const Node *node, const char *fallback)
{
    return node != NULL && node->type == BP_NODE_STRING ? node->text : fallback;
}

uint64_t
node_u64(const Node *node, uint64_t fallback)
{
    return node != NULL && node->type == BP_NODE_INT ? (uint64_t)node->integer : fallback;
}

int64_t
node_i64(const Node *node, int64_t fallback)
{
    return node != NULL && node->type == BP_NODE_INT ? node->integer : fallback;
}

bool
node_bool(const Node *node, bool fallback)
{
    return node != NULL && node->type == BP_NODE_BOOL ? node->boolean : fallback;
}
