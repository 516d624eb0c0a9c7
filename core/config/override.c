/* SPDX-License-Identifier: Apache-2.0 */
/* "-s devices.ide0.drives[1].disk=slow" */
#include "config/description.h"

#include <string.h>

typedef struct {
    Node *node;       /* where the path leads so far */
    const char *at;   /* rest of the path */
    const char *text; /* the whole path, for messages */
    ErrorList *errors;
} Walk;

static bool
fail(const Walk *walk, const char *text)
{
    g_autofree char *path = g_strndup(walk->text, (size_t)(walk->at - walk->text));

    error_list_add(walk->errors, FILE_COMMAND_LINE, 0, NULL, "-s %s: %s",
                   *path != '\0' ? path : walk->text, text);
    return false;
}

static size_t
name_length(const char *text)
{
    size_t length = 0;

    if (g_ascii_isalpha(*text)) {
        while (g_ascii_isalnum(text[length]) || text[length] == '_' || text[length] == '-') {
            length++;
        }
    }
    return length;
}

static void
set_value(Node *parent, Node *old, Node *value)
{
    guint index = 0;

    if (old != NULL && g_ptr_array_find(parent->children, old, &index)) {
        node_free(old);
        g_ptr_array_index(parent->children, index) = value;
    } else {
        g_ptr_array_add(parent->children, value);
    }
}

static Node *
make_value(const char *name, const char *text)
{
    Node *value = description_read_value(text, name, FILE_COMMAND_LINE);

    if (value == NULL) {
        value = node_new(BP_NODE_STRING, name, FILE_COMMAND_LINE, 0);
        value->text = g_strdup(text);
    }
    value->raw = g_strdup(text);
    return value;
}

/* One "[index]" or ".name"; the last one is set to value, others are walked into. */
static bool
step_index(Walk *walk, const char *value)
{
    char *end = NULL;
    guint64 index = g_ascii_isdigit(walk->at[1]) ? g_ascii_strtoull(walk->at + 1, &end, 10) : 0;

    if (end == NULL || *end != ']') {
        return fail(walk, "a number and \"]\" must follow \"[\"");
    }
    if (walk->node->type != BP_NODE_LIST) {
        return fail(walk, "this is no list");
    }
    unsigned count = node_count(walk->node);
    bool is_last = end[1] == '\0';
    if (index > count || (index == count && !is_last)) {
        g_autofree char *text = g_strdup_printf("the list has %u elements", count);
        return fail(walk, text);
    }
    Node *element = node_at(walk->node, (unsigned)index);
    walk->at = end + 1;
    if (is_last) {
        set_value(walk->node, element, make_value(NULL, value));
    } else {
        walk->node = element;
    }
    return true;
}

static bool
step_name(Walk *walk, const char *value)
{
    size_t length = name_length(walk->at);

    if (length == 0) {
        return fail(walk, "a name is missing here");
    }
    if (walk->node->type != BP_NODE_GROUP) {
        return fail(walk, "this is no group");
    }
    g_autofree char *name = g_strndup(walk->at, length);
    Node *child = node_child(walk->node, name);
    walk->at += length;
    if (*walk->at == '\0') {
        set_value(walk->node, child, make_value(name, value));
        return true;
    }
    if (child == NULL) {
        if (*walk->at != '.') {
            return fail(walk, "there is no such list");
        }
        child = node_new(BP_NODE_GROUP, name, FILE_COMMAND_LINE, 0);
        g_ptr_array_add(walk->node->children, child);
    }
    walk->node = child;
    return true;
}

void
description_override(Node *root, const char *assignment, ErrorList *errors)
{
    const char *equals = strchr(assignment, '=');

    if (equals == NULL || equals == assignment) {
        error_list_add(errors, FILE_COMMAND_LINE, 0, NULL,
                       "-s %s: must be of the form path=value, such as devices.net0.backend=wan",
                       assignment);
        return;
    }
    g_autofree char *path = g_strndup(assignment, (size_t)(equals - assignment));
    Walk walk = {root, path, path, errors};
    bool more = step_name(&walk, equals + 1);
    while (more && *walk.at != '\0') {
        if (*walk.at == '[') {
            more = step_index(&walk, equals + 1);
        } else if (*walk.at == '.') {
            walk.at++;
            more = step_name(&walk, equals + 1);
        } else {
            more = fail(&walk, "\".\" or \"[\" must follow");
        }
    }
}
