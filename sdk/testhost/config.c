/* SPDX-License-Identifier: Apache-2.0 */
/* bp.config/1: the tree of an instance's options. */
#include "node.h"

#include <stdlib.h>
#include <string.h>

void
th_config_free(struct bp_node *node)
{
    uint32_t i;

    if (node == NULL) {
        return;
    }
    for (i = 0; i < node->count; i++) {
        th_config_free(node->children[i]);
    }
    free(node->children);
    free(node->name);
    free(node->text);
    free(node);
}

struct bp_node *
th_node_new(uint32_t type, const char *name)
{
    struct bp_node *node = th_alloc(sizeof(*node));

    node->type = type;
    node->name = name == NULL ? NULL : th_strdup(name);
    return node;
}

void
th_node_add(struct bp_node *parent, struct bp_node *child)
{
    struct bp_node **children = th_alloc((parent->count + 1) * sizeof(*children));

    if (parent->count > 0) {
        memcpy(children, parent->children, parent->count * sizeof(*children));
    }
    children[parent->count++] = child;
    free(parent->children);
    parent->children = children;
}

const struct bp_node *
th_node_find(const struct bp_node *group, const char *name)
{
    uint32_t i;

    for (i = 0; group != NULL && i < group->count; i++) {
        if (group->children[i]->name != NULL && strcmp(group->children[i]->name, name) == 0) {
            return group->children[i];
        }
    }
    return NULL;
}

uint32_t
th_config_loop(const struct bp_node *node)
{
    const struct bp_node *loop = th_node_find(node, "loop");

    return loop == NULL ? 0 : (uint32_t)loop->integer;
}

uint32_t
th_config_devfn(const struct bp_node *node)
{
    const struct bp_node *address = th_node_find(node, "address");
    unsigned slot, function;

    if (address == NULL || address->type != BP_NODE_STRING ||
        sscanf(address->text, "%x.%x", &slot, &function) != 2) {
        return UINT32_MAX;
    }
    return (slot & 31) << 3 | (function & 7);
}

/* --- the table ------------------------------------------------------------------------------- */

static int32_t
config_type(struct bp_instance *instance, const struct bp_node *node)
{
    (void)th_call(instance, "config.type", 0);
    return node == NULL ? -EINVAL : (int32_t)node->type;
}

static uint32_t
config_count(struct bp_instance *instance, const struct bp_node *node)
{
    (void)th_call(instance, "config.count", 0);
    return node == NULL ? 0 : node->count;
}

static const struct bp_node *
config_child(struct bp_instance *instance, const struct bp_node *node, const char *name)
{
    (void)th_call(instance, "config.child", 0);
    return th_node_find(node, name);
}

static const struct bp_node *
config_at(struct bp_instance *instance, const struct bp_node *node, uint32_t index)
{
    (void)th_call(instance, "config.at", 0);
    return node == NULL || index >= node->count ? NULL : node->children[index];
}

static int32_t
config_u64(struct bp_instance *instance, const struct bp_node *node, uint64_t *value)
{
    (void)th_call(instance, "config.get_u64", 0);
    if (node == NULL) {
        return -ENOENT;
    }
    if (node->type != BP_NODE_INT) {
        return -EINVAL;
    }
    if (!node->is_unsigned && (int64_t)node->integer < 0) {
        return -ERANGE;
    }
    *value = node->integer;
    return 0;
}

static int32_t
config_i64(struct bp_instance *instance, const struct bp_node *node, int64_t *value)
{
    (void)th_call(instance, "config.get_i64", 0);
    if (node == NULL) {
        return -ENOENT;
    }
    if (node->type != BP_NODE_INT) {
        return -EINVAL;
    }
    if (node->is_unsigned && node->integer > INT64_MAX) {
        return -ERANGE;
    }
    *value = (int64_t)node->integer;
    return 0;
}

static int32_t
config_f64(struct bp_instance *instance, const struct bp_node *node, double *value)
{
    (void)th_call(instance, "config.get_f64", 0);
    if (node == NULL) {
        return -ENOENT;
    }
    if (node->type == BP_NODE_INT) {
        *value = node->is_unsigned ? (double)node->integer : (double)(int64_t)node->integer;
        return 0;
    }
    if (node->type != BP_NODE_FLOAT) {
        return -EINVAL;
    }
    *value = node->real;
    return 0;
}

static int32_t
config_bool(struct bp_instance *instance, const struct bp_node *node, uint32_t *value)
{
    (void)th_call(instance, "config.get_bool", 0);
    if (node == NULL) {
        return -ENOENT;
    }
    if (node->type != BP_NODE_BOOL) {
        return -EINVAL;
    }
    *value = (uint32_t)node->integer;
    return 0;
}

static const char *
config_str(struct bp_instance *instance, const struct bp_node *node)
{
    (void)th_call(instance, "config.get_str", 0);
    return node == NULL || node->type != BP_NODE_STRING ? NULL : node->text;
}

static int32_t
config_where(struct bp_instance *instance, const struct bp_node *node, const char **file,
             uint32_t *line)
{
    (void)th_call(instance, "config.where", 0);
    if (node == NULL) {
        return -ENOENT;
    }
    *file = node->is_default ? "default" : "test";
    *line = node->line;
    return 0;
}

const struct bp_config_host th_config_table = {
    .size = sizeof(struct bp_config_host),
    .type = config_type,
    .count = config_count,
    .child = config_child,
    .at = config_at,
    .get_u64 = config_u64,
    .get_i64 = config_i64,
    .get_f64 = config_f64,
    .get_bool = config_bool,
    .get_str = config_str,
    .where = config_where,
};
