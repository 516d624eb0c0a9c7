/* SPDX-License-Identifier: Apache-2.0 */
/* bp.config/1: the resolved tree, read-only. */
#include "plugin/instance.h"

#include <errno.h>

static int32_t
config_host_type(Instance *instance, const struct bp_node *node)
{
    return node != NULL ? (int32_t)node->type : -EINVAL;
}

static uint32_t
config_host_count(Instance *instance, const struct bp_node *node)
{
    return node_count(node);
}

static const struct bp_node *
config_host_child(Instance *instance, const struct bp_node *node, const char *name)
{
    return name != NULL ? node_child(node, name) : NULL;
}

static const struct bp_node *
config_host_at(Instance *instance, const struct bp_node *node, uint32_t index)
{
    return node_at(node, index);
}

static int32_t
config_host_get_u64(Instance *instance, const struct bp_node *node, uint64_t *value)
{
    if (node == NULL) {
        return -ENOENT;
    }
    if (node->type != BP_NODE_INT) {
        return -EINVAL;
    }
    if (!node->is_unsigned && node->integer < 0) {
        return -ERANGE;
    }
    *value = (uint64_t)node->integer;
    return 0;
}

static int32_t
config_host_get_i64(Instance *instance, const struct bp_node *node, int64_t *value)
{
    if (node == NULL) {
        return -ENOENT;
    }
    if (node->type != BP_NODE_INT) {
        return -EINVAL;
    }
    if (node->is_unsigned && node->integer < 0) {
        return -ERANGE;
    }
    *value = node->integer;
    return 0;
}

static int32_t
config_host_get_f64(Instance *instance, const struct bp_node *node, double *value)
{
    if (node == NULL) {
        return -ENOENT;
    }
    if (node->type == BP_NODE_FLOAT) {
        *value = node->real;
        return 0;
    }
    if (node->type == BP_NODE_INT) {
        *value = node->is_unsigned ? (double)(uint64_t)node->integer : (double)node->integer;
        return 0;
    }
    return -EINVAL;
}

static int32_t
config_host_get_bool(Instance *instance, const struct bp_node *node, uint32_t *value)
{
    if (node == NULL) {
        return -ENOENT;
    }
    if (node->type != BP_NODE_BOOL) {
        return -EINVAL;
    }
    *value = node->boolean;
    return 0;
}

static const char *
config_host_get_str(Instance *instance, const struct bp_node *node)
{
    return node != NULL && node->type == BP_NODE_STRING ? node->text : NULL;
}

static int32_t
config_host_where(Instance *instance, const struct bp_node *node, const char **file, uint32_t *line)
{
    if (node == NULL) {
        return -ENOENT;
    }
    *file = node->file != NULL ? node->file : "default";
    *line = node->line;
    return 0;
}

const struct bp_config_host host_config = {
    .size = sizeof(host_config),
    .type = config_host_type,
    .count = config_host_count,
    .child = config_host_child,
    .at = config_host_at,
    .get_u64 = config_host_get_u64,
    .get_i64 = config_host_get_i64,
    .get_f64 = config_host_get_f64,
    .get_bool = config_host_get_bool,
    .get_str = config_host_get_str,
    .where = config_host_where,
};
