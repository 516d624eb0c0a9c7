/* SPDX-License-Identifier: Apache-2.0 */
/* Holds groups of a machine description against the options that a plugin, or the core,
 * declares. */
#pragma once

#include "config/error_list.h"
#include "config/node.h"

#include <backplane/plugin.h>

#include <stdbool.h>

typedef struct {
    ErrorList *errors;
    /* Called for each BACKEND option given, in order of the description. path: borrowed. */
    void (*reference)(void *opaque, const struct bp_prop *prop, const Node *node, const char *path);
    void *opaque;
} SchemaCheck;

/* Checks types and values of every member of group, reports unknown and missing ones, turns values
 * into their final form (bytes for SIZE, absolute text for PATH) and fills in defaults, which are
 * added at the end, in order of the schema. tables: lists of options, NULL-terminated; where two
 * lists have the same name the first one counts. path: of the group, for messages. [control] */
void schema_check(const SchemaCheck *check, Node *group, const struct bp_prop *const *tables,
                  const char *path);

/* Likewise one value, with all that is in it. path: its own. [control] */
void schema_check_value(const SchemaCheck *check, Node *node, const struct bp_prop *prop,
                        const char *path);

/* A default's text as a value of the option; NULL if it is none, which is the plugin's fault. */
Node *schema_default(const struct bp_prop *prop, const char *text);
/* The option of that name; NULL if there is none. */
const struct bp_prop *schema_find(const struct bp_prop *const *tables, const char *name);
/* "64K" or "1G" as bytes. */
bool schema_parse_size(const char *text, uint64_t *bytes);
/* The reverse: the shortest exact form. */
char *schema_format_size(uint64_t bytes);
/* What a type is called: "number", "text", ... */
const char *schema_type_name(uint32_t type);
/* " (did you mean \"x\"?)" or "". known: NULL-terminated. */
char *schema_suggest(const char *wanted, const char *const *known);
