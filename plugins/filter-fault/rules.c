/* SPDX-License-Identifier: Apache-2.0 */
#include "rules.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)

struct word {
    const char *text;
    int32_t value;
};

static const struct word ops[] = {
    {"any", 0},
    {"read", BP_BLOCK_READ},
    {"write", BP_BLOCK_WRITE},
    {"flush", BP_BLOCK_FLUSH},
    {"discard", BP_BLOCK_DISCARD},
    {"zero", BP_BLOCK_WRITE_ZEROES},
    {NULL, 0},
};

static const struct word actions[] = {
    {"error", ACTION_ERROR},
    {"delay", ACTION_DELAY},
    {"hang", ACTION_HANG},
    {NULL, 0},
};

static const struct word errors[] = {
    {"EIO", -EIO},
    {"ENOSPC", -ENOSPC},
    {"EROFS", -EROFS},
    {"EAGAIN", -EAGAIN},
    {"ENOMEDIUM", -ENOMEDIUM},
    {"EOPNOTSUPP", -EOPNOTSUPP},
    {"EINVAL", -EINVAL},
    {"EPERM", -EPERM},
    {"ENOMEM", -ENOMEM},
    {"ECANCELED", -ECANCELED},
    {"ETIMEDOUT", -ETIMEDOUT},
    {"ENOTCONN", -ENOTCONN},
    {NULL, 0},
};

static const char *const op_choices[] = {"any", "read", "write", "flush", "discard", "zero", NULL};
static const char *const action_choices[] = {"error", "delay", "hang", NULL};
static const char *const error_choices[] = {
    "EIO",   "ENOSPC", "EROFS",     "EAGAIN",    "ENOMEDIUM", "EOPNOTSUPP", "EINVAL",
    "EPERM", "ENOMEM", "ECANCELED", "ETIMEDOUT", "ENOTCONN",  NULL};

static const struct bp_prop rule_members[] = {
    {.name = "op",
     .type = BP_PROP_ENUM,
     .def = "any",
     .choices = op_choices,
     .help = "which requests"},
    {.name = "offset", .type = BP_PROP_SIZE, .def = "0", .help = "first byte of the range"},
    {.name = "length",
     .type = BP_PROP_SIZE,
     .def = "0",
     .help = "bytes of the range; 0: up to the end"},
    {.name = "nth",
     .type = BP_PROP_UINT,
     .def = "1",
     .min = 1,
     .max = INT64_MAX,
     .help = "first matching request to touch"},
    {.name = "every",
     .type = BP_PROP_UINT,
     .def = "1",
     .min = 1,
     .max = INT64_MAX,
     .help = "from there, every so many"},
    {.name = "count", .type = BP_PROP_UINT, .def = "0", .help = "how many at most; 0: any number"},
    {.name = "action",
     .type = BP_PROP_ENUM,
     .def = "error",
     .choices = action_choices,
     .help = "what happens to it"},
    {.name = "error",
     .type = BP_PROP_ENUM,
     .def = "EIO",
     .choices = error_choices,
     .help = "status of action error"},
    {.name = "recoverable",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "say that trying again may succeed; ENOSPC always does"},
    {.name = "after",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "carry the request out, then report the error"},
    {.name = "delay_ms",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = 3600000,
     .help = "guest time before delay or error act"},
    {.name = NULL},
};

static const struct bp_prop rule_element[] = {
    {.name = "rule",
     .type = BP_PROP_GROUP,
     .children = rule_members,
     .help = "requests to touch, and how"},
    {.name = NULL},
};

const struct bp_prop rules_props[] = {
    {.name = "below",
     .type = BP_PROP_BACKEND,
     .flags = BP_PROP_REQUIRED,
     .help = "the disk this one stands on"},
    {.name = "rules",
     .type = BP_PROP_LIST,
     .flags = BP_PROP_RUNTIME,
     .max = MAX_RULES,
     .children = rule_element,
     .help = "faults, in order: the first that fires counts"},
    {.name = "enabled",
     .type = BP_PROP_BOOL,
     .flags = BP_PROP_RUNTIME,
     .def = "true",
     .help = "whether rules apply"},
    {.name = NULL},
};

static int32_t
value_of(const struct word *words, const char *text)
{
    while (words->text != NULL && strcmp(words->text, text) != 0) {
        words++;
    }
    return words->value;
}

static void
read_rule(struct rule *rule, const struct bp_services *services, const struct bp_node *node)
{
    rule->op = (uint32_t)value_of(ops, bp_option_str(services, node, "op", "any"));
    rule->offset = bp_option_u64(services, node, "offset", 0);
    rule->length = bp_option_u64(services, node, "length", 0);
    rule->nth = bp_option_u64(services, node, "nth", 1);
    rule->every = bp_option_u64(services, node, "every", 1);
    rule->count = bp_option_u64(services, node, "count", 0);
    rule->action = (enum action)value_of(actions, bp_option_str(services, node, "action", "error"));
    rule->error = value_of(errors, bp_option_str(services, node, "error", "EIO"));
    rule->recoverable = bp_option_bool(services, node, "recoverable", 0) || rule->error == -ENOSPC;
    rule->after = bp_option_bool(services, node, "after", 0);
    rule->delay_ns = bp_option_u64(services, node, "delay_ms", 0) * NS_PER_MS;
}

static int32_t
check_rule(const struct rule *rule, const struct bp_services *services, const struct bp_node *node)
{
    if (rule->action == ACTION_DELAY && rule->delay_ns == 0) {
        return bp_fail(services, -EINVAL, node, "action \"delay\" needs delay_ms");
    }
    if (rule->op == BP_BLOCK_FLUSH && (rule->offset != 0 || rule->length != 0)) {
        return bp_fail(services, -EINVAL, node,
                       "a flush has no range: leave offset and length out");
    }
    return 0;
}

int32_t
rules_new(const struct bp_services *services, const struct bp_node *node, struct rules **ret_rules)
{
    const struct bp_config_host *config = services->config;
    uint32_t i, count = node != NULL ? config->count(services->instance, node) : 0;
    struct rules *rules = calloc(1, sizeof(*rules) + count * sizeof(rules->rules[0]));
    int32_t result = 0;

    if (rules == NULL) {
        return -ENOMEM;
    }
    rules->count = count;
    for (i = 0; i < count && result == 0; i++) {
        const struct bp_node *element = config->at(services->instance, node, i);

        read_rule(&rules->rules[i], services, element);
        result = check_rule(&rules->rules[i], services, element);
    }
    if (result != 0) {
        free(rules);
        return result;
    }
    *ret_rules = rules;
    return 0;
}

static uint32_t
matches(const struct rule *rule, const struct bp_block_request *request)
{
    if (rule->op != 0 && rule->op != request->op) {
        return 0;
    }
    if (rule->offset == 0 && rule->length == 0) {
        return 1;
    }
    if (request->op == BP_BLOCK_FLUSH || request->offset + request->length <= rule->offset) {
        return 0;
    }
    return rule->length == 0 || request->offset < rule->offset ||
           request->offset - rule->offset < rule->length;
}

/* Whether the n-th match, from 0, is one to touch. */
static uint32_t
fires(const struct rule *rule, uint64_t n)
{
    if (n < rule->nth - 1) {
        return 0;
    }
    n -= rule->nth - 1;
    return n % rule->every == 0 && (rule->count == 0 || n / rule->every < rule->count);
}

const struct rule *
rules_find(struct rules *rules, const struct bp_block_request *request)
{
    uint32_t i;

    for (i = 0; i < rules->count; i++) {
        struct rule *rule = &rules->rules[i];

        if (matches(rule, request) && fires(rule, atomic_fetch_add(&rule->seen, 1))) {
            return rule;
        }
    }
    return NULL;
}
