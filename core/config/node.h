/* SPDX-License-Identifier: Apache-2.0 */
/* A value of the machine description, with the place it comes from. It is what a plugin sees as an
 * opaque struct bp_node. */
#pragma once

#include <backplane/config.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct bp_node Node;

struct bp_node {
    uint32_t type; /* BP_NODE_... */
    char *name;    /* NULL for list elements and the root */
    union {
        bool boolean;
        int64_t
            integer; /* SIZE options are turned into this: bytes; unsigned ones are stored as is */
        double real;
        char *text; /* PATH options: already absolute */
    };
    bool is_unsigned;    /* integer holds an uint64_t */
    bool is_default;     /* filled in from the schema */
    bool is_hex;         /* integer was written in hexadecimal, and is printed so */
    bool is_size;        /* integer is a number of bytes, printed as "64K" where it is even */
    char *raw;           /* a value of the command line as it was typed; else NULL */
    GPtrArray *children; /* Node*, owned; LIST and GROUP */
    const char *file;    /* interned; "command line", "default" */
    unsigned line;       /* from 1; 0 none */
};

Node *node_new(uint32_t type, const char *name, const char *file, unsigned line);
void node_free(Node *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Node, node_free)
Node *node_child(const Node *group, const char *name); /* NULL if absent or group is NULL */
Node *node_at(const Node *parent, unsigned index);
unsigned node_count(const Node *node);
/* Turns a node into a STRING; text is copied and may be the node's own. */
void node_set_text(Node *node, const char *text);
/* Defaults are filled in by then; these take a NULL node and give the fallback. */
const char *node_text(const Node *node, const char *fallback);
uint64_t node_u64(const Node *node, uint64_t fallback);
int64_t node_i64(const Node *node, int64_t fallback);
bool node_bool(const Node *node, bool fallback);
