/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as text: libconfig's language, and JSON. */
#include "base/json_writer.h"
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
write_json(JsonWriter *json, const Node *node)
{
    switch (node->type) {
    case BP_NODE_BOOL:
        json_writer_bool(json, node->boolean);
        break;
    case BP_NODE_INT:
        json_writer_int(json, node->integer);
        break;
    case BP_NODE_FLOAT:
        json_writer_real(json, node->real);
        break;
    case BP_NODE_STRING:
        json_writer_text(json, node->text);
        break;
    default:
        json_writer_begin(json, node->type == BP_NODE_GROUP ? '{' : '[');
        for (unsigned i = 0; i < node_count(node); i++) {
            const Node *child = node_at(node, i);
            if (node->type == BP_NODE_GROUP) {
                json_writer_name(json, child->name);
            }
            write_json(json, child);
        }
        json_writer_end(json);
        break;
    }
}

char *
machine_plan_print_json(const MachinePlan *plan)
{
    g_autoptr(JsonWriter) json = json_writer_new();

    write_json(json, plan->root);
    return json_writer_finish(json);
}
