/* SPDX-License-Identifier: Apache-2.0 */
/* Types, ranges and choices of single values. */
#include "config/schema_value.h"

#include "config/description.h"
#include "config/schema.h"

#include <string.h>

const char *
schema_type_name(uint32_t type)
{
    static const char *const names[] = {
        [BP_PROP_BOOL] = "boolean", [BP_PROP_INT] = "integer", [BP_PROP_UINT] = "unsigned",
        [BP_PROP_SIZE] = "size",    [BP_PROP_FLOAT] = "float", [BP_PROP_STRING] = "string",
        [BP_PROP_PATH] = "path",    [BP_PROP_ENUM] = "choice", [BP_PROP_BACKEND] = "backend",
        [BP_PROP_LIST] = "list",    [BP_PROP_GROUP] = "group",
    };

    return type < G_N_ELEMENTS(names) && names[type] != NULL ? names[type] : "unknown";
}

static const char *
node_kind(const Node *node)
{
    switch (node->type) {
    case BP_NODE_BOOL:
        return "a boolean";
    case BP_NODE_INT:
        return "a whole number";
    case BP_NODE_FLOAT:
        return "a number with a fraction";
    case BP_NODE_STRING:
        return "a text";
    case BP_NODE_LIST:
        return "a list";
    default:
        return "a group";
    }
}

/* What the option wants, and the node kinds it takes. */
static const char *
wanted(uint32_t type)
{
    switch (type) {
    case BP_PROP_BOOL:
        return "true or false";
    case BP_PROP_INT:
    case BP_PROP_UINT:
        return "a whole number";
    case BP_PROP_SIZE:
        return "a size, such as 4096 or \"64K\" or \"1G\"";
    case BP_PROP_FLOAT:
        return "a number";
    case BP_PROP_PATH:
        return "the path of a file, in quotes";
    case BP_PROP_BACKEND:
        return "the id of a backend, in quotes";
    case BP_PROP_LIST:
        return "a list: ( ... ) or [ ... ]";
    case BP_PROP_GROUP:
        return "a group: { ... }";
    default:
        return "a text, in quotes";
    }
}

static bool
takes(uint32_t prop_type, uint32_t node_type)
{
    switch (prop_type) {
    case BP_PROP_BOOL:
        return node_type == BP_NODE_BOOL;
    case BP_PROP_INT:
    case BP_PROP_UINT:
        return node_type == BP_NODE_INT;
    case BP_PROP_SIZE:
        return node_type == BP_NODE_INT || node_type == BP_NODE_STRING;
    case BP_PROP_FLOAT:
        return node_type == BP_NODE_FLOAT || node_type == BP_NODE_INT;
    case BP_PROP_LIST:
        return node_type == BP_NODE_LIST;
    case BP_PROP_GROUP:
        return node_type == BP_NODE_GROUP;
    default:
        return node_type == BP_NODE_STRING;
    }
}

bool
schema_parse_size(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMGTPE";
    char *end = NULL;
    guint64 value = g_ascii_isdigit(*text) ? g_ascii_strtoull(text, &end, 0) : 0;

    if (end == NULL || (value == G_MAXUINT64)) {
        return false;
    }
    unsigned shift = 0;
    if (*end != '\0') {
        const char *unit = strchr(units, g_ascii_toupper(*end));
        if (unit == NULL) {
            return false;
        }
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
        if (strcmp(end, "iB") == 0 || strcmp(end, "B") == 0) {
            end += strlen(end);
        }
    }
    if (*end != '\0' || value > (uint64_t)G_MAXINT64 >> shift) {
        return false;
    }
    *bytes = value << shift;
    return true;
}

char *
schema_format_size(uint64_t bytes)
{
    static const char units[] = "KMGTPE";
    int unit = -1;

    while (bytes != 0 && (bytes & 1023) == 0 && unit + 1 < (int)strlen(units)) {
        bytes >>= 10;
        unit++;
    }
    return unit < 0 ? g_strdup_printf("%" G_GUINT64_FORMAT, bytes)
                    : g_strdup_printf("%" G_GUINT64_FORMAT "%c", bytes, units[unit]);
}

static char *
limit_text(const struct bp_prop *prop, int64_t value)
{
    return prop->type == BP_PROP_SIZE && value >= 0 ? schema_format_size((uint64_t)value)
                                                    : g_strdup_printf("%" G_GINT64_FORMAT, value);
}

static char *
check_range(const Node *node, const struct bp_prop *prop)
{
    int64_t low = prop->min;
    int64_t high = prop->max;

    if (low == 0 && high == 0) {
        low = prop->type == BP_PROP_INT ? G_MININT64 : 0;
        high = G_MAXINT64;
    }
    if (node->integer >= low && node->integer <= high) {
        return NULL;
    }
    g_autofree char *value = limit_text(prop, node->integer);
    g_autofree char *from = limit_text(prop, low);
    g_autofree char *to = limit_text(prop, high);
    if (high == G_MAXINT64) {
        return g_strdup_printf("%s is too small: at least %s", value, from);
    }
    return g_strdup_printf("%s is out of range: %s to %s", value, from, to);
}

static char *
convert_size(Node *node, const struct bp_prop *prop)
{
    uint64_t bytes = 0;

    if (node->type == BP_NODE_STRING) {
        if (!schema_parse_size(node->text, &bytes)) {
            return g_strdup_printf("\"%s\" is no size: a number, then nothing or one of K M G T",
                                   node->text);
        }
        g_free(node->text);
        node->type = BP_NODE_INT;
        node->integer = (int64_t)bytes;
    }
    node->is_size = true;
    node->is_unsigned = node->integer >= 0;
    return check_range(node, prop);
}

static char *
check_choice(const Node *node, const struct bp_prop *prop)
{
    GString *text;

    for (const char *const *choice = prop->choices; *choice != NULL; choice++) {
        if (strcmp(*choice, node->text) == 0) {
            return NULL;
        }
    }
    text = g_string_new(NULL);
    g_string_append_printf(text, "\"%s\" is none of", node->text);
    for (const char *const *choice = prop->choices; *choice != NULL; choice++) {
        g_string_append_printf(text, "%s \"%s\"", choice == prop->choices ? "" : ",", *choice);
    }
    g_autofree char *hint = schema_suggest(node->text, prop->choices);
    g_string_append(text, hint);
    return g_string_free(text, FALSE);
}

static char *
check_length(const Node *node, const struct bp_prop *prop)
{
    glong length = g_utf8_strlen(node->text, -1);

    if ((prop->min == 0 && prop->max == 0) || (length >= prop->min && length <= prop->max)) {
        return NULL;
    }
    return g_strdup_printf("%ld characters are out of range: %" G_GINT64_FORMAT
                           " to %" G_GINT64_FORMAT,
                           length, prop->min, prop->max);
}

static void
convert_path(Node *node)
{
    /* A default stands as it is; an empty path means "none". */
    if (*node->text == '\0' || strcmp(node->file, FILE_DEFAULT) == 0) {
        return;
    }
    g_autofree char *absolute = description_resolve_path(node, node->text);
    node_set_text(node, absolute);
}

char *
schema_value_convert(Node *node, const struct bp_prop *prop)
{
    /* -s machine.name=5: the shell took the quotes away, so take what was typed. */
    if (node->raw != NULL && takes(prop->type, BP_NODE_STRING) && prop->type != BP_PROP_SIZE &&
        node->type != BP_NODE_STRING) {
        node_set_text(node, node->raw);
    }
    if (!takes(prop->type, node->type)) {
        return g_strdup_printf("must be %s, not %s", wanted(prop->type), node_kind(node));
    }
    switch (prop->type) {
    case BP_PROP_UINT:
        node->is_unsigned = true;
        return check_range(node, prop);
    case BP_PROP_INT:
        return check_range(node, prop);
    case BP_PROP_SIZE:
        return convert_size(node, prop);
    case BP_PROP_FLOAT:
        if (node->type == BP_NODE_INT) {
            node->real = (double)node->integer;
            node->type = BP_NODE_FLOAT;
        }
        return NULL;
    case BP_PROP_STRING:
        return check_length(node, prop);
    case BP_PROP_ENUM:
        return check_choice(node, prop);
    case BP_PROP_PATH:
        convert_path(node);
        return NULL;
    default:
        return NULL;
    }
}
