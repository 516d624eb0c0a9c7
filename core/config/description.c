/* SPDX-License-Identifier: Apache-2.0 */
/* From libconfig's tree to ours. */
#include "config/description.h"

#include "config/source_text.h"

#include <libconfig.h>
#include <string.h>

typedef config_t LibConfig;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LibConfig, config_destroy)

static Node *convert(const config_setting_t *setting, const SourceText *source);

static Node *
convert_children(const config_setting_t *setting, uint32_t type, const SourceText *source)
{
    SourcePlace place = source_text_place(source, config_setting_source_line(setting));
    Node *node = node_new(type, config_setting_name(setting), place.file, place.line);
    int count = config_setting_length(setting);

    for (int i = 0; i < count; i++) {
        const config_setting_t *child = config_setting_get_elem(setting, (unsigned)i);
        g_ptr_array_add(node->children, convert(child, source));
    }
    return node;
}

static Node *
convert_scalar(const config_setting_t *setting, const SourceText *source)
{
    SourcePlace place = source_text_place(source, config_setting_source_line(setting));
    Node *node = node_new(BP_NODE_INT, config_setting_name(setting), place.file, place.line);

    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_BOOL:
        node->type = BP_NODE_BOOL;
        node->boolean = config_setting_get_bool(setting) != 0;
        break;
    case CONFIG_TYPE_FLOAT:
        node->type = BP_NODE_FLOAT;
        node->real = config_setting_get_float(setting);
        break;
    case CONFIG_TYPE_STRING:
        node->type = BP_NODE_STRING;
        node->text = g_strdup(config_setting_get_string(setting));
        break;
    default:
        node->integer = config_setting_get_int64(setting);
        node->is_hex = config_setting_get_format(setting) == CONFIG_FORMAT_HEX;
        break;
    }
    return node;
}

/* Recursion ends: the source text bounds the nesting. */
static Node *
convert(const config_setting_t *setting, const SourceText *source)
{
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_GROUP:
        return convert_children(setting, BP_NODE_GROUP, source);
    case CONFIG_TYPE_ARRAY:
    case CONFIG_TYPE_LIST:
        return convert_children(setting, BP_NODE_LIST, source);
    default:
        return convert_scalar(setting, source);
    }
}

static const char *
explain(const char *text)
{
    if (strcmp(text, "duplicate setting name") == 0) {
        return "this name is given twice in its group";
    }
    if (strcmp(text, "mismatched element type in array") == 0) {
        return "all elements between [ and ] must be of one type; use ( and ) for a mixture";
    }
    return text;
}

static Node *
parse(const SourceText *source, ErrorList *errors)
{
    g_auto(LibConfig) config;

    config_init(&config);
    if (config_read_string(&config, source->text->str) != CONFIG_TRUE) {
        SourcePlace place = source_text_place(source, (unsigned)config_error_line(&config));
        error_list_add(errors, place.file, place.line, NULL, "%s",
                       explain(config_error_text(&config)));
        return NULL;
    }
    return convert(config_root_setting(&config), source);
}

Node *
description_read(const char *path, ErrorList *errors)
{
    g_auto(SourceText) source = {0};

    return source_text_read(&source, path, errors) ? parse(&source, errors) : NULL;
}

/* Such a value stands on no line of a file. */
static void
forget_lines(Node *node)
{
    node->line = 0;
    for (unsigned i = 0; i < node_count(node); i++) {
        forget_lines(node_at(node, i));
    }
}

Node *
description_read_value(const char *text, const char *name, const char *file)
{
    g_autoptr(ErrorList) ignored = error_list_new();
    g_autofree char *assignment = g_strdup_printf("value = %s\n;", text);
    g_auto(SourceText) source = {0};

    if (!source_text_from_string(&source, assignment, file, ignored)) {
        return NULL;
    }
    g_autoptr(Node) root = parse(&source, ignored);
    if (root == NULL || node_count(root) != 1) {
        return NULL;
    }
    Node *node = g_ptr_array_steal_index(root->children, 0);
    g_free(node->name);
    node->name = g_strdup(name);
    forget_lines(node);
    return node;
}

char *
description_resolve_path(const Node *node, const char *path)
{
    if (g_path_is_absolute(path)) {
        return g_strdup(path);
    }
    while (g_str_has_prefix(path, "./")) {
        path += 2 + strspn(path + 2, "/");
    }
    g_autofree char *working = g_get_current_dir();
    /* What comes through a pipe has no directory of its own. */
    if (strcmp(node->file, FILE_COMMAND_LINE) == 0 || g_str_has_prefix(node->file, "/dev/") ||
        strchr(node->file, '/') == NULL) {
        return g_build_filename(working, path, NULL);
    }
    g_autofree char *directory = g_path_get_dirname(node->file);
    g_autofree char *absolute = g_path_is_absolute(directory)
                                    ? g_strdup(directory)
                                    : g_build_filename(working, directory, NULL);
    return g_build_filename(absolute, path, NULL);
}
