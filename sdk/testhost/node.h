/* SPDX-License-Identifier: Apache-2.0 */
/* A value of an instance's options. */
#ifndef TESTHOST_NODE_H
#define TESTHOST_NODE_H

#include "th.h"

struct bp_node {
    uint32_t type;
    uint32_t line;
    uint32_t is_default;
    uint32_t count;
    char *name;
    char *text;
    uint64_t integer;
    uint32_t is_unsigned;
    double real;
    const struct bp_prop *prop;
    struct bp_node **children;
};

struct bp_node *th_node_new(uint32_t type, const char *name);
void th_node_add(struct bp_node *parent, struct bp_node *child);
const struct bp_node *th_node_find(const struct bp_node *group, const char *name);

#endif
