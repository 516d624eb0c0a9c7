/* SPDX-License-Identifier: Apache-2.0 */
#include "control/ctl_print.h"

#include <stdbool.h>
#include <string.h>

/* name.member ... of nested objects, in order, each once. */
typedef struct {
    GPtrArray *names;   /* char* */
    GHashTable *values; /* name -> char*, of the row that is being made */
} Row;

static char *
scalar_text(JsonNode *node)
{
    if (JSON_NODE_HOLDS_NULL(node)) {
        return g_strdup("-");
    }
    if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING) {
        return g_strdup(json_node_get_string(node));
    }
    return json_to_string(node, FALSE);
}

static void
add_value(Row *row, const char *name, JsonNode *node)
{
    g_autoptr(GList) members = NULL;
    GList *member;

    if (!JSON_NODE_HOLDS_OBJECT(node)) {
        if (!g_ptr_array_find_with_equal_func(row->names, name, g_str_equal, NULL)) {
            g_ptr_array_add(row->names, g_strdup(name));
        }
        g_hash_table_replace(row->values, g_strdup(name), scalar_text(node));
        return;
    }
    members = json_object_get_members(json_node_get_object(node));
    for (member = members; member != NULL; member = member->next) {
        const char *key = member->data;
        g_autofree char *path =
            name[0] != '\0' ? g_strdup_printf("%s.%s", name, key) : g_strdup(key);
        add_value(row, path, json_object_get_member(json_node_get_object(node), key));
    }
}

static void
print_object(GString *out, JsonNode *node)
{
    Row row = {g_ptr_array_new_with_free_func(g_free),
               g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free)};
    glong width = 0;
    guint i;

    add_value(&row, "", node);
    for (i = 0; i < row.names->len; i++) {
        width = MAX(width, g_utf8_strlen(row.names->pdata[i], -1));
    }
    for (i = 0; i < row.names->len; i++) {
        const char *name = row.names->pdata[i];
        g_string_append_printf(out, "%-*s  %s\n", (int)width, name,
                               (const char *)g_hash_table_lookup(row.values, name));
    }
    g_ptr_array_free(row.names, TRUE);
    g_hash_table_destroy(row.values);
}

/* A list of objects in a table has its longest members last, or it would be wider than a screen:
 * more than this many columns are printed object by object. */
#define COLUMNS_MAX 8

static bool
is_row(JsonObject *object)
{
    g_autoptr(GList) members = json_object_get_values(object);
    GList *member = members;

    while (member != NULL && JSON_NODE_HOLDS_VALUE((JsonNode *)member->data)) {
        member = member->next;
    }
    return member == NULL && json_object_get_size(object) <= COLUMNS_MAX;
}

static bool
is_table(JsonArray *list)
{
    guint i;

    for (i = 0; i < json_array_get_length(list); i++) {
        JsonNode *node = json_array_get_element(list, i);
        if (!JSON_NODE_HOLDS_OBJECT(node) || !is_row(json_node_get_object(node))) {
            return false;
        }
    }
    return json_array_get_length(list) > 0;
}

static void
add_columns(GPtrArray *names, JsonObject *object)
{
    g_autoptr(GList) members = json_object_get_members(object);
    GList *member;

    for (member = members; member != NULL; member = member->next) {
        if (!g_ptr_array_find_with_equal_func(names, member->data, g_str_equal, NULL)) {
            g_ptr_array_add(names, g_strdup(member->data));
        }
    }
}

static GPtrArray *
table_columns(JsonArray *list)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    guint i;

    for (i = 0; i < json_array_get_length(list); i++) {
        add_columns(names, json_array_get_object_element(list, i));
    }
    return names;
}

static char *
cell_text(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);

    return node != NULL ? scalar_text(node) : g_strdup("-");
}

static void
print_column(GString *out, const char *text, int width, bool is_last)
{
    if (is_last) {
        g_string_append_printf(out, "%s\n", text);
    } else {
        g_string_append_printf(out, "%-*s  ", width, text);
    }
}

static void
print_table(GString *out, JsonArray *list)
{
    g_autoptr(GPtrArray) names = table_columns(list);
    g_autofree int *widths = g_new0(int, names->len + 1);
    guint i, j;

    for (j = 0; j < names->len; j++) {
        widths[j] = (int)strlen(names->pdata[j]);
        for (i = 0; i < json_array_get_length(list); i++) {
            g_autofree char *text =
                cell_text(json_array_get_object_element(list, i), names->pdata[j]);
            widths[j] = MAX(widths[j], (int)strlen(text));
        }
    }
    for (j = 0; j < names->len; j++) {
        print_column(out, names->pdata[j], widths[j], j + 1 == names->len);
    }
    for (i = 0; i < json_array_get_length(list); i++) {
        for (j = 0; j < names->len; j++) {
            g_autofree char *text =
                cell_text(json_array_get_object_element(list, i), names->pdata[j]);
            print_column(out, text, widths[j], j + 1 == names->len);
        }
    }
}

static void
print_list(GString *out, JsonArray *list)
{
    guint i;

    for (i = 0; i < json_array_get_length(list); i++) {
        JsonNode *node = json_array_get_element(list, i);
        if (JSON_NODE_HOLDS_OBJECT(node)) {
            g_string_append(out, i > 0 ? "\n" : "");
            print_object(out, node);
        } else {
            g_autofree char *text = scalar_text(node);
            g_string_append_printf(out, "%s\n", text);
        }
    }
}

/* A human's monitor ends lines as terminals do. */
static void
remove_returns(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        if (*from != '\r') {
            *to++ = *from;
        }
    }
    *to = '\0';
}

char *
ctl_print(JsonNode *value)
{
    GString *out = g_string_new(NULL);

    if (value == NULL) {
        return g_string_free(out, FALSE);
    }
    if (JSON_NODE_HOLDS_OBJECT(value)) {
        print_object(out, value);
    } else if (JSON_NODE_HOLDS_ARRAY(value) && is_table(json_node_get_array(value))) {
        print_table(out, json_node_get_array(value));
    } else if (JSON_NODE_HOLDS_ARRAY(value)) {
        print_list(out, json_node_get_array(value));
    } else {
        g_autofree char *text = scalar_text(value);
        remove_returns(text);
        g_string_append(out, text);
    }
    return g_string_free(out, FALSE);
}
