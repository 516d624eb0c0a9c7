/* SPDX-License-Identifier: Apache-2.0 */
/* bp.config/1: the options of an instance, as a tree of opaque nodes. Before create() the core has
 * checked the tree against the class's schema and filled in every default, so a plugin reads what it
 * declared and need not check types or ranges again. */
#ifndef BACKPLANE_CONFIG_H
#define BACKPLANE_CONFIG_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_CONFIG_ID "bp.config/1"

/* A value of the machine description. Valid until destroy() has returned. */
struct bp_node;

#define BP_NODE_BOOL   1u
#define BP_NODE_INT    2u
#define BP_NODE_FLOAT  3u
#define BP_NODE_STRING 4u
#define BP_NODE_LIST   5u
#define BP_NODE_GROUP  6u

struct bp_config_host {
    uint32_t size;
    uint32_t flags;

    /* Type of a node: BP_NODE_BOOL .. BP_NODE_GROUP.
     * [any] -EINVAL: node is NULL. */
    int32_t (*type)(struct bp_instance *instance, const struct bp_node *node) BP_MUST_CHECK;
    /* Number of members of a group or elements of a list; 0 for others.
     * [any] */
    uint32_t (*count)(struct bp_instance *instance, const struct bp_node *node);
    /* Member of a group by name.
     * Returns NULL if the description does not give it and it has no default.
     * [any] */
    const struct bp_node *(*child)(struct bp_instance *instance, const struct bp_node *node,
                                   const char *name);
    /* Element of a list, or member of a group in order of the description; NULL past the end.
     * [any] */
    const struct bp_node *(*at)(struct bp_instance *instance, const struct bp_node *node,
                                uint32_t index);
    /* Value of an INT, UINT or SIZE option (SIZE in bytes).
     * *value: untouched on failure.
     * [any] -ENOENT: node is NULL. -EINVAL: not a number. -ERANGE: negative. */
    int32_t (*get_u64)(struct bp_instance *instance, const struct bp_node *node,
                       uint64_t *value) BP_MUST_CHECK;
    /* Value of an INT option.
     * *value: untouched on failure.
     * [any] -ENOENT: node is NULL. -EINVAL: not a number. -ERANGE: above INT64_MAX. */
    int32_t (*get_i64)(struct bp_instance *instance, const struct bp_node *node,
                       int64_t *value) BP_MUST_CHECK;
    /* Value of a FLOAT option; integers convert.
     * *value: untouched on failure.
     * [any] -ENOENT: node is NULL. -EINVAL: not a number. */
    int32_t (*get_f64)(struct bp_instance *instance, const struct bp_node *node,
                       double *value) BP_MUST_CHECK;
    /* Value of a BOOL option as 0 or 1.
     * *value: untouched on failure.
     * [any] -ENOENT: node is NULL. -EINVAL: not a boolean. */
    int32_t (*get_bool)(struct bp_instance *instance, const struct bp_node *node,
                        uint32_t *value) BP_MUST_CHECK;
    /* Value of a STRING, ENUM, BACKEND or PATH option; a PATH is already resolved against the file
     * that names it.
     * Returns NULL if node is NULL or not a string. Valid as long as the node.
     * [any] */
    const char *(*get_str)(struct bp_instance *instance, const struct bp_node *node);
    /* Where the node stands in the description.
     * *file: valid as long as the node; may be "command line" or "default". *line: from 1, 0 if none.
     * [any] -ENOENT: node is NULL. */
    int32_t (*where)(struct bp_instance *instance, const struct bp_node *node, const char **file,
                     uint32_t *line);
};

#ifdef __cplusplus
}
#endif

#endif
