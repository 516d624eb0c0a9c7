/* SPDX-License-Identifier: Apache-2.0 */
/* Options from libconfig text, held against the class's schema. */
#include "node.h"

#include <libconfig.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What parsing needs to hand down. */
struct parse {
    struct th_host *th;
    const struct bp_class *class;
    struct th_slot_use **uses;
    char *error;
    size_t error_size;
};

static void
parse_error(const struct parse *parse, const char *name, const char *text)
{
    if (parse->error[0] == '\0') {
        (void)snprintf(parse->error, parse->error_size, "option '%s': %s", name, text);
    }
}

/* "64K", "0x10", "12": returns 0 if it is a number. */
static int
text_number(const char *text, uint64_t *value)
{
    static const char units[] = "KMGT";
    char *end;
    const char *unit;

    errno = 0;
    *value = text[0] == '-' ? (uint64_t)strtoll(text, &end, 0) : strtoull(text, &end, 0);
    if (end == text || errno != 0) {
        return -1;
    }
    if (*end != '\0' && (unit = strchr(units, *end)) != NULL) {
        *value <<= 10 * (unit - units + 1);
        end++;
    }
    return *end == '\0' ? 0 : -1;
}

static int
range_ok(const struct bp_prop *prop, const struct bp_node *node)
{
    uint64_t value = node->integer;

    if (prop->min == 0 && prop->max == 0) {
        return 1;
    }
    if (node->type == BP_NODE_STRING) {
        value = strlen(node->text);
    } else if (node->type == BP_NODE_LIST) {
        value = node->count;
    } else if (prop->type == BP_PROP_INT) {
        return (int64_t)value >= prop->min && (int64_t)value <= prop->max;
    }
    return value >= (uint64_t)prop->min && value <= (uint64_t)prop->max;
}

static int
choice_ok(const struct bp_prop *prop, const char *text)
{
    uint32_t i;

    for (i = 0; prop->choices != NULL && prop->choices[i] != NULL; i++) {
        if (strcmp(prop->choices[i], text) == 0) {
            return 1;
        }
    }
    return 0;
}

static void
add_use(const struct parse *parse, const struct bp_prop *prop, const char *backend)
{
    const struct bp_slot *slots = parse->class->slots;
    struct th_slot_use **end = parse->uses;
    struct th_slot_use *use;
    uint32_t slot = 0, count = 0;

    while (slots != NULL && slots[slot].name != NULL && strcmp(slots[slot].name, prop->name) != 0) {
        slot++;
    }
    if (slots == NULL || slots[slot].name == NULL) {
        parse_error(parse, prop->name, "a backend option without a slot of that name");
        return;
    }
    for (; *end != NULL; end = &(*end)->next) {
        count += (*end)->slot == slot;
    }
    use = th_alloc(sizeof(*use));
    use->slot = slot;
    use->use = count;
    use->backend = th_strdup(backend);
    *end = use;
}

static char *
absolute_path(const char *path)
{
    char directory[PATH_MAX];
    char *result;
    size_t length;

    if (path[0] == '/' || path[0] == '\0' || getcwd(directory, sizeof(directory)) == NULL) {
        return th_strdup(path);
    }
    length = strlen(directory) + strlen(path) + 2;
    result = th_alloc(length);
    (void)snprintf(result, length, "%s/%s", directory, path);
    return result;
}

static void
scalar_from_text(const struct parse *parse, const struct bp_prop *prop, struct bp_node *node,
                 const char *text)
{
    switch (prop->type) {
    case BP_PROP_BOOL:
        node->type = BP_NODE_BOOL;
        node->integer = strcmp(text, "true") == 0;
        if (node->integer == 0 && strcmp(text, "false") != 0) {
            parse_error(parse, prop->name, "neither true nor false");
        }
        break;
    case BP_PROP_INT:
    case BP_PROP_UINT:
    case BP_PROP_SIZE:
        node->type = BP_NODE_INT;
        node->is_unsigned = prop->type != BP_PROP_INT;
        if (text_number(text, &node->integer) != 0) {
            parse_error(parse, prop->name, "not a number");
        }
        break;
    case BP_PROP_FLOAT:
        node->type = BP_NODE_FLOAT;
        node->real = strtod(text, NULL);
        break;
    default:
        node->type = BP_NODE_STRING;
        node->text = prop->type == BP_PROP_PATH ? absolute_path(text) : th_strdup(text);
        break;
    }
}

static struct bp_node *parse_group(const struct parse *parse, const struct bp_prop *props,
                                   const config_setting_t *setting, const char *name);
static struct bp_node *parse_value(const struct parse *parse, const struct bp_prop *prop,
                                   const config_setting_t *setting, const char *name);

static struct bp_node *
parse_list(const struct parse *parse, const struct bp_prop *prop, const config_setting_t *setting,
           const char *name)
{
    struct bp_node *node = th_node_new(BP_NODE_LIST, name);
    int i;

    for (i = 0; i < config_setting_length(setting); i++) {
        th_node_add(node, parse_value(parse, &prop->children[0],
                                      config_setting_get_elem(setting, (unsigned)i), NULL));
    }
    return node;
}

static struct bp_node *
parse_scalar(const struct parse *parse, const struct bp_prop *prop, const config_setting_t *setting,
             const char *name)
{
    struct bp_node *node = th_node_new(BP_NODE_STRING, name);
    char number[32];

    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_BOOL:
        if (prop->type != BP_PROP_BOOL) {
            parse_error(parse, prop->name, "a truth value is not what it takes");
        }
        node->type = BP_NODE_BOOL;
        node->integer = config_setting_get_bool(setting) != 0;
        return node;
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        if (prop->type < BP_PROP_INT || prop->type > BP_PROP_FLOAT) {
            parse_error(parse, prop->name, "a number is not what it takes");
        }
        (void)snprintf(number, sizeof(number), "%lld", config_setting_get_int64(setting));
        if (prop->type != BP_PROP_INT && prop->type != BP_PROP_FLOAT && number[0] == '-') {
            parse_error(parse, prop->name, "negative");
        }
        scalar_from_text(parse, prop, node, number);
        return node;
    case CONFIG_TYPE_FLOAT:
        if (prop->type != BP_PROP_FLOAT) {
            parse_error(parse, prop->name, "a fraction is not what it takes");
        }
        node->type = BP_NODE_FLOAT;
        node->real = config_setting_get_float(setting);
        return node;
    case CONFIG_TYPE_STRING:
        if (prop->type < BP_PROP_SIZE || prop->type == BP_PROP_FLOAT) {
            parse_error(parse, prop->name, "a text is not what it takes");
        }
        scalar_from_text(parse, prop, node, config_setting_get_string(setting));
        return node;
    default:
        parse_error(parse, prop->name, "wrong type");
        node->text = th_strdup("");
        return node;
    }
}

static struct bp_node *
parse_value(const struct parse *parse, const struct bp_prop *prop, const config_setting_t *setting,
            const char *name)
{
    int type = config_setting_type(setting);
    struct bp_node *node;

    if (prop->type == BP_PROP_LIST && (type == CONFIG_TYPE_LIST || type == CONFIG_TYPE_ARRAY)) {
        node = parse_list(parse, prop, setting, name);
    } else if (prop->type == BP_PROP_GROUP && type == CONFIG_TYPE_GROUP) {
        node = parse_group(parse, prop->children, setting, name);
    } else if (prop->type == BP_PROP_LIST || prop->type == BP_PROP_GROUP) {
        parse_error(parse, prop->name == NULL ? "element" : prop->name, "wrong type");
        node = th_node_new(BP_NODE_GROUP, name);
    } else {
        node = parse_scalar(parse, prop, setting, name);
    }
    node->prop = prop;
    node->line = config_setting_source_line(setting);
    if (!range_ok(prop, node)) {
        parse_error(parse, prop->name == NULL ? "element" : prop->name, "out of range");
    }
    if (prop->type == BP_PROP_ENUM && (node->text == NULL || !choice_ok(prop, node->text))) {
        parse_error(parse, prop->name, "not one of the choices");
    }
    if (prop->type == BP_PROP_BACKEND && node->text != NULL) {
        add_use(parse, prop, node->text);
    }
    return node;
}

/* The n-th of the comma-separated values, NULL past the end; the caller frees. */
static char *
nth_value(const char *list, uint32_t n)
{
    const char *end;
    char *value;

    for (; n > 0; n--) {
        list = strchr(list, ',');
        if (list == NULL) {
            return NULL;
        }
        list++;
    }
    while (*list == ' ') {
        list++;
    }
    end = strchr(list, ',');
    value = th_strdup(list);
    if (end != NULL) {
        value[end - list] = '\0';
    }
    return value;
}

/* The row of the per-instance defaults whose first option has this value; -1: none. */
static int
deal_row(const struct bp_prop *key, const struct bp_node *value)
{
    int row = 0;
    char *text;

    for (; (text = nth_value(key->def, (uint32_t)row)) != NULL; row++) {
        uint64_t number;
        int same = value->type == BP_NODE_INT
                       ? text_number(text, &number) == 0 && number == value->integer
                       : value->text != NULL && strcmp(text, value->text) == 0;
        free(text);
        if (same) {
            return row;
        }
    }
    return -1;
}

static int
deal_is_taken(const struct parse *parse, const struct bp_prop *key, int row)
{
    const struct bp_instance *other;

    for (other = parse->th->instances; other != NULL; other = other->next) {
        const struct bp_node *value = th_node_find(other->config, key->name);
        if (!other->destroyed && value != NULL &&
            strcmp(other->class.name, parse->class->name) == 0 && deal_row(key, value) == row) {
            return 1;
        }
    }
    return 0;
}

/* The row an instance gets, as in the core: the first per-instance option is the key. One that
 * states it has that row, or none; the others get the first row that is left. */
static uint32_t
deal_find(const struct parse *parse, const struct bp_prop *props, const config_setting_t *setting)
{
    const struct bp_prop *key = props;
    const config_setting_t *stated;
    int row = 0;

    while (key != NULL && key->name != NULL && !(key->flags & BP_PROP_PER_INSTANCE)) {
        key++;
    }
    if (key == NULL || key->name == NULL || key->def == NULL) {
        return 0;
    }
    stated = config_setting_get_member(setting, key->name);
    if (stated != NULL) {
        struct bp_node *value = parse_value(parse, key, stated, key->name);
        row = deal_row(key, value);
        th_config_free(value);
        return row < 0 ? UINT32_MAX : (uint32_t)row;
    }
    while (deal_is_taken(parse, key, row)) {
        row++;
    }
    return (uint32_t)row;
}

static void
fill_default(const struct parse *parse, const struct bp_prop *prop, struct bp_node *group,
             uint32_t deal)
{
    struct bp_node *node;
    char *value;

    if (prop->def == NULL) {
        if (prop->flags & BP_PROP_REQUIRED) {
            parse_error(parse, prop->name, "is required");
        }
        return;
    }
    value = prop->flags & BP_PROP_PER_INSTANCE ? nth_value(prop->def, deal) : th_strdup(prop->def);
    if (value == NULL) {
        parse_error(parse, prop->name, "no default is left for one more instance");
        return;
    }
    if (prop->type == BP_PROP_LIST || prop->type == BP_PROP_GROUP) {
        node = th_config_value(prop, value, parse->error, parse->error_size);
    } else {
        node = th_node_new(BP_NODE_STRING, prop->name);
        scalar_from_text(parse, prop, node, value);
    }
    free(value);
    if (node == NULL) {
        return;
    }
    if (prop->type == BP_PROP_BACKEND) {
        add_use(parse, prop, node->text);
    }
    node->prop = prop;
    node->is_default = 1;
    th_node_add(group, node);
}

static void
refuse_unknown(const struct parse *parse, const struct bp_prop *props,
               const config_setting_t *setting, int top)
{
    int i;

    for (i = 0; i < config_setting_length(setting); i++) {
        const char *name = config_setting_name(config_setting_get_elem(setting, (unsigned)i));
        const struct bp_prop *prop = props;
        while (prop != NULL && prop->name != NULL && strcmp(prop->name, name) != 0) {
            prop++;
        }
        if ((prop == NULL || prop->name == NULL) &&
            !(top && (strcmp(name, "loop") == 0 || strcmp(name, "address") == 0))) {
            parse_error(parse, name, "there is no such option");
        }
    }
}

static struct bp_node *
parse_group(const struct parse *parse, const struct bp_prop *props, const config_setting_t *setting,
            const char *name)
{
    struct bp_node *group = th_node_new(BP_NODE_GROUP, name);
    const struct bp_prop *prop;
    uint32_t deal = deal_find(parse, props, setting);

    refuse_unknown(parse, props, setting, name == NULL && config_setting_is_root(setting));
    for (prop = props; prop != NULL && prop->name != NULL; prop++) {
        const config_setting_t *member = config_setting_get_member(setting, prop->name);
        if (member != NULL) {
            th_node_add(group, parse_value(parse, prop, member, prop->name));
        } else {
            fill_default(parse, prop, group, deal);
        }
    }
    return group;
}

/* What every instance has. */
static void
parse_common(const struct parse *parse, const config_t *config, struct bp_node *root)
{
    static const struct bp_prop common[] = {
        {.name = "loop", .type = BP_PROP_UINT},
        {.name = "address", .type = BP_PROP_STRING},
        {.name = NULL},
    };
    const struct bp_prop *prop;

    for (prop = common; prop->name != NULL; prop++) {
        const config_setting_t *member = config_lookup(config, prop->name);
        if (member != NULL && th_node_find(root, prop->name) == NULL) {
            th_node_add(root, parse_value(parse, prop, member, prop->name));
        }
    }
}

struct bp_node *
th_config_new(struct th_host *th, const struct bp_class *class, const char *options,
              struct th_slot_use **uses, char *error, size_t error_size)
{
    struct parse parse = {.th = th, .class = class, .uses = uses, .error = error};
    struct bp_node *root = NULL;
    config_t config;

    parse.error_size = error_size;
    error[0] = '\0';
    config_init(&config);
    if (config_read_string(&config, options == NULL ? "" : options) == CONFIG_TRUE) {
        root = parse_group(&parse, class->props, config_root_setting(&config), NULL);
        parse_common(&parse, &config, root);
    } else {
        (void)snprintf(error, error_size, "line %d: %s", config_error_line(&config),
                       config_error_text(&config));
    }
    config_destroy(&config);
    if (error[0] != '\0') {
        th_config_free(root);
        return NULL;
    }
    return root;
}

struct bp_node *
th_config_value(const struct bp_prop *prop, const char *value, char *error, size_t error_size)
{
    struct parse parse = {.error = error, .error_size = error_size};
    struct bp_node *node = NULL;
    char text[TH_TEXT_MAX];
    config_t config;

    error[0] = '\0';
    (void)snprintf(text, sizeof(text), "x = %s;", value);
    config_init(&config);
    if (config_read_string(&config, text) == CONFIG_TRUE) {
        node = parse_value(&parse, prop, config_lookup(&config, "x"), prop->name);
    } else {
        (void)snprintf(error, error_size, "option '%s': cannot parse '%s'", prop->name, value);
    }
    config_destroy(&config);
    if (error[0] != '\0') {
        th_config_free(node);
        return NULL;
    }
    return node;
}
