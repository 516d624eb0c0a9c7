/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as text: libconfig's language, and JSON. */
#include "base/json_text.h"
#include "config/plan.h"
#include "config/schema.h"

#include <string.h>

static void print_value(GString *text, const Node *node, unsigned depth);

static void
indent(GString *text, unsigned depth)
{
    for (; depth > 0; depth--) {
        g_string_append(text, "    ");
    }
}

static void
print_text(GString *text, const char *value)
{
    g_string_append_c(text, '"');
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            g_string_append_printf(text, "\\%c", *c);
        } else if ((unsigned char)*c < 0x20 || *c == 0x7F) {
            g_string_append_printf(text, "\\x%02x", (unsigned)*c);
        } else {
            g_string_append_c(text, *c);
        }
    }
    g_string_append_c(text, '"');
}

static void
print_integer(GString *text, const Node *node)
{
    bool is_wide = node->integer > G_MAXINT32 || node->integer < G_MININT32;

    if (node->is_size && node->integer >= 1024 && (node->integer & 1023) == 0) {
        g_autofree char *size = schema_format_size((uint64_t)node->integer);
        g_string_append_printf(text, "\"%s\"", size);
        return;
    }
    if (node->is_hex && node->integer >= 0) {
        g_string_append_printf(text, "0x%" G_GINT64_MODIFIER "x", node->integer);
    } else {
        g_string_append_printf(text, "%" G_GINT64_FORMAT, node->integer);
    }
    g_string_append(text, is_wide ? "L" : "");
}

static void
print_real(GString *text, double value)
{
    char buffer[G_ASCII_DTOSTR_BUF_SIZE];

    g_ascii_dtostr(buffer, sizeof(buffer), value);
    g_string_append(text, buffer);
    if (strpbrk(buffer, ".eE") == NULL) {
        g_string_append(text, ".0");
    }
}

static void
print_members(GString *text, const Node *group, unsigned depth)
{
    for (unsigned i = 0; i < node_count(group); i++) {
        const Node *child = node_at(group, i);
        indent(text, depth);
        g_string_append_printf(text, "%s = ", child->name);
        print_value(text, child, depth);
        g_string_append(text, ";\n");
    }
}

static void
print_list(GString *text, const Node *list, unsigned depth)
{
    bool has_groups = node_count(list) > 0 && node_at(list, 0)->children != NULL;

    g_string_append_c(text, '(');
    for (unsigned i = 0; i < node_count(list); i++) {
        g_string_append(text, i == 0 ? "" : ",");
        if (has_groups) {
            g_string_append_c(text, '\n');
            indent(text, depth + 1);
        } else {
            g_string_append_c(text, ' ');
        }
        print_value(text, node_at(list, i), depth + 1);
    }
    if (has_groups) {
        g_string_append_c(text, '\n');
        indent(text, depth);
    } else if (node_count(list) > 0) {
        g_string_append_c(text, ' ');
    }
    g_string_append_c(text, ')');
}

static void
print_value(GString *text, const Node *node, unsigned depth)
{
    switch (node->type) {
    case BP_NODE_BOOL:
        g_string_append(text, node->boolean ? "true" : "false");
        break;
    case BP_NODE_INT:
        print_integer(text, node);
        break;
    case BP_NODE_FLOAT:
        print_real(text, node->real);
        break;
    case BP_NODE_STRING:
        print_text(text, node->text);
        break;
    case BP_NODE_LIST:
        print_list(text, node, depth);
        break;
    default:
        g_string_append(text, "{\n");
        print_members(text, node, depth + 1);
        indent(text, depth);
        g_string_append_c(text, '}');
        break;
    }
}

char *
machine_plan_print(const MachinePlan *plan)
{
    GString *text = g_string_new(NULL);

    print_members(text, plan->root, 0);
    return g_string_free(text, FALSE);
}

static void
write_json(JsonBuilder *json, const Node *node)
{
    switch (node->type) {
    case BP_NODE_BOOL:
        json_builder_add_boolean_value(json, node->boolean);
        break;
    case BP_NODE_INT:
        json_builder_add_int_value(json, node->integer);
        break;
    case BP_NODE_FLOAT:
        json_builder_add_double_value(json, node->real);
        break;
    case BP_NODE_STRING:
        json_builder_add_string_value(json, node->text);
        break;
    case BP_NODE_LIST:
        json_builder_begin_array(json);
        for (unsigned i = 0; i < node_count(node); i++) {
            write_json(json, node_at(node, i));
        }
        json_builder_end_array(json);
        break;
    default:
        json_builder_begin_object(json);
        for (unsigned i = 0; i < node_count(node); i++) {
            json_builder_set_member_name(json, node_at(node, i)->name);
            write_json(json, node_at(node, i));
        }
        json_builder_end_object(json);
        break;
    }
}

char *
machine_plan_print_json(const MachinePlan *plan)
{
    g_autoptr(JsonBuilder) json = json_builder_new();

    write_json(json, plan->root);
    return json_text(json);
}
