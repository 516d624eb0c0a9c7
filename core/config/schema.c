/* SPDX-License-Identifier: Apache-2.0 */
/* The schema check: see schema.h. Values are checked and converted in place,
 * then defaults added. */
#include "config/schema.h"

#include "base/nearest.h"
#include "config/description.h"
#include "config/schema_value.h"

#include <string.h>

const struct bp_prop *
schema_find(const struct bp_prop *const *tables, const char *name)
{
    for (; *tables != NULL; tables++) {
        const struct bp_prop *prop = *tables;
        while (prop->name != NULL && strcmp(prop->name, name) != 0) {
            prop++;
        }
        if (prop->name != NULL) {
            return prop;
        }
    }
    return NULL;
}

char *
schema_suggest(const char *wanted, const char *const *known)
{
    const char *nearest = nearest_name(wanted, known);

    return nearest != NULL ? g_strdup_printf(" (did you mean \"%s\"?)", nearest) : g_strdup("");
}

static void
report_unknown(const SchemaCheck *check, const Node *node, const struct bp_prop *const *tables,
               const char *path)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new();

    for (; *tables != NULL; tables++) {
        for (const struct bp_prop *prop = *tables; prop->name != NULL; prop++) {
            g_ptr_array_add(known, (gpointer)(uintptr_t)prop->name);
        }
    }
    g_ptr_array_add(known, NULL);
    g_autofree char *hint = schema_suggest(node->name, (const char *const *)known->pdata);
    error_list_add(check->errors, node->file, node->line, path, "unknown option%s", hint);
}

static void
check_members(const SchemaCheck *check, Node *group, const struct bp_prop *const *tables,
              const char *path)
{
    for (unsigned i = 0; i < node_count(group); i++) {
        Node *child = node_at(group, i);
        const struct bp_prop *prop = schema_find(tables, child->name);
        g_autofree char *child_path = g_strdup_printf("%s.%s", path, child->name);
        if (prop == NULL) {
            report_unknown(check, child, tables, child_path);
        } else {
            schema_check_value(check, child, prop, child_path);
        }
    }
}

static void
report_missing(const SchemaCheck *check, const Node *group, const struct bp_prop *prop,
               const char *path)
{
    g_autofree char *child_path = g_strdup_printf("%s.%s", path, prop->name);

    error_list_add(check->errors, group->file, group->line, child_path,
                   "missing: this option must be given%s%s%s", prop->help != NULL ? " (" : "",
                   prop->help != NULL ? prop->help : "", prop->help != NULL ? ")" : "");
}

static bool
has_required(const struct bp_prop *props)
{
    for (; props->name != NULL; props++) {
        if ((props->flags & BP_PROP_REQUIRED) != 0) {
            return true;
        }
    }
    return false;
}

/* The value an absent option has, or NULL if it stays absent. */
static Node *
default_of(const SchemaCheck *check, const Node *group, const struct bp_prop *prop,
           const char *path)
{
    if (prop->def != NULL) {
        Node *value = schema_default(prop, prop->def);
        if (value == NULL) {
            error_list_add(check->errors, group->file, group->line, path,
                           "the plugin's default for \"%s\" is broken: \"%s\"", prop->name,
                           prop->def);
        }
        return value;
    }
    /* An absent list is empty; an absent group has its members' defaults, if all can be absent. */
    if (prop->type == BP_PROP_LIST && prop->min <= 0) {
        return node_new(BP_NODE_LIST, prop->name, FILE_DEFAULT, 0);
    }
    if (prop->type == BP_PROP_GROUP && !has_required(prop->children)) {
        return node_new(BP_NODE_GROUP, prop->name, FILE_DEFAULT, 0);
    }
    return NULL;
}

static void
fill_default(const SchemaCheck *check, Node *group, const struct bp_prop *prop, const char *path)
{
    /* Given, or the value of an option of the same name in an earlier table. */
    if (node_child(group, prop->name) != NULL) {
        return;
    }
    if ((prop->flags & BP_PROP_REQUIRED) != 0) {
        report_missing(check, group, prop, path);
        return;
    }
    if ((prop->flags & BP_PROP_PER_INSTANCE) != 0) {
        return; /* dealt out when all instances are known */
    }
    Node *value = default_of(check, group, prop, path);
    if (value == NULL) {
        return;
    }
    g_autofree char *child_path = g_strdup_printf("%s.%s", path, prop->name);
    value->is_default = true;
    g_ptr_array_add(group->children, value);
    schema_check_value(check, value, prop, child_path);
}

static void
fill_defaults(const SchemaCheck *check, Node *group, const struct bp_prop *const *tables,
              const char *path)
{
    for (const struct bp_prop *const *table = tables; *table != NULL; table++) {
        for (const struct bp_prop *prop = *table; prop->name != NULL; prop++) {
            fill_default(check, group, prop, path);
        }
    }
}

void
schema_check(const SchemaCheck *check, Node *group, const struct bp_prop *const *tables,
             const char *path)
{
    check_members(check, group, tables, path);
    fill_defaults(check, group, tables, path);
}

static void
check_list(const SchemaCheck *check, Node *list, const struct bp_prop *prop, const char *path)
{
    unsigned count = node_count(list);

    if ((prop->min != 0 || prop->max != 0) && (count < prop->min || count > prop->max)) {
        error_list_add(check->errors, list->file, list->line, path,
                       "%u elements are out of range: %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
                       count, prop->min, prop->max);
    }
    for (unsigned i = 0; i < count; i++) {
        g_autofree char *element_path = g_strdup_printf("%s[%u]", path, i);
        schema_check_value(check, node_at(list, i), &prop->children[0], element_path);
    }
}

/* Recursion ends: the depth of a plugin's schema is bounded when its image is read. */
void
schema_check_value(const SchemaCheck *check, Node *node, const struct bp_prop *prop,
                   const char *path)
{
    const struct bp_prop *tables[] = {prop->children, NULL};
    g_autofree char *problem = schema_value_convert(node, prop);

    if (problem != NULL) {
        error_list_add(check->errors, node->file, node->line, path, "%s", problem);
        return;
    }
    switch (prop->type) {
    case BP_PROP_LIST:
        check_list(check, node, prop, path);
        break;
    case BP_PROP_GROUP:
        schema_check(check, node, tables, path);
        break;
    case BP_PROP_BACKEND:
        if (check->reference != NULL) {
            check->reference(check->opaque, prop, node, path);
        }
        break;
    default:
        break;
    }
}

static Node *
default_scalar(const struct bp_prop *prop, const char *text)
{
    Node *node;

    switch (prop->type) {
    case BP_PROP_STRING:
    case BP_PROP_PATH:
    case BP_PROP_ENUM:
    case BP_PROP_BACKEND:
        node = node_new(BP_NODE_STRING, prop->name, FILE_DEFAULT, 0);
        node->text = g_strdup(text);
        return node;
    case BP_PROP_SIZE:
        node = description_read_value(text, prop->name, FILE_DEFAULT);
        if (node == NULL) {
            node = node_new(BP_NODE_STRING, prop->name, FILE_DEFAULT, 0);
            node->text = g_strdup(text);
        }
        return node;
    default:
        return description_read_value(text, prop->name, FILE_DEFAULT);
    }
}

Node *
schema_default(const struct bp_prop *prop, const char *text)
{
    g_autoptr(Node) node = default_scalar(prop, text);
    bool is_list = prop->type == BP_PROP_LIST || prop->type == BP_PROP_GROUP;

    if (node == NULL) {
        return NULL;
    }
    node->is_default = true;
    /* What is in lists and groups is checked with the rest of the tree. */
    g_autofree char *problem = is_list ? NULL : schema_value_convert(node, prop);
    return problem == NULL ? g_steal_pointer(&node) : NULL;
}
