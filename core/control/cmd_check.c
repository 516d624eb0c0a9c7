/* SPDX-License-Identifier: Apache-2.0 */
/* backplane check: everything that is wrong with a description, at once, and nothing else. */
#include "base/json_text.h"
#include "control/commands.h"
#include "control/options.h"

#include <stdio.h>

static const InspectUsage usage = {
    .command = "check",
    .arguments = "FILE",
    .summary =
        "Check a machine description and the plugins it needs. Nothing is started, no image\n"
        "is touched, no plugin's code runs.",
    .description =
        "Exit status: 0 the machine can be built, 2 it cannot; each reason is one line on\n"
        "stderr (with --json: an element of \"errors\" on stdout).",
    .has_overrides = true,
    .min = 1,
    .max = 1,
};

static void
write_error(void *opaque, const char *file, unsigned line, const char *path, const char *text)
{
    JsonBuilder *json = opaque;

    json_builder_begin_object(json);
    json_builder_set_member_name(json, "file");
    json_builder_add_string_value(json, file);
    json_builder_set_member_name(json, "line");
    json_builder_add_int_value(json, line);
    json_builder_set_member_name(json, "path");
    json_builder_add_string_value(json, path);
    json_builder_set_member_name(json, "message");
    json_builder_add_string_value(json, text);
    json_builder_end_object(json);
}

static int
print_json(const char *file, const ErrorList *errors)
{
    g_autoptr(JsonBuilder) json = json_builder_new();

    json_builder_begin_object(json);
    json_builder_set_member_name(json, "file");
    json_builder_add_string_value(json, file);
    json_builder_set_member_name(json, "ok");
    json_builder_add_boolean_value(json, error_list_count(errors) == 0);
    json_builder_set_member_name(json, "errors");
    json_builder_begin_array(json);
    error_list_foreach(errors, write_error, json);
    json_builder_end_array(json);
    json_builder_end_object(json);
    g_autofree char *text = json_text(json);
    return inspect_print(text);
}

/* Only a machine that is to run needs firmware, so its absence is no fault of the plan. */
static void
check_firmware(const MachinePlan *plan, ErrorList *errors)
{
    const Node *boot = node_child(plan->machine, "boot");

    if (node_child(boot, "kernel") == NULL && node_child(boot, "firmware") == NULL) {
        error_list_add(errors, plan->path, 0, "machine.boot.firmware",
                       "no firmware is installed: install SeaBIOS (package seabios), or name a "
                       "firmware or a kernel");
    }
}

int
cmd_check(int argc, char **argv)
{
    g_auto(InspectOptions) options = {0};
    g_autoptr(ErrorList) errors = error_list_new();
    int status = 0;

    if (!inspect_options_parse(&options, &usage, argc, argv, &status)) {
        return status;
    }
    const char *file = options.arguments[0];
    g_autoptr(MachinePlan) plan =
        machine_plan_new(file, (const char *const *)options.overrides,
                         (const char *const *)options.plugin_path, errors);
    if (plan != NULL) {
        check_firmware(plan, errors);
    }
    status = error_list_count(errors) == 0 ? 0 : 2;
    if (options.json) {
        return print_json(file, errors) != 0 ? 1 : status;
    }
    if (status == 0) {
        g_autofree char *text = g_strdup_printf("%s: ok\n", file);
        return inspect_print(text);
    }
    error_list_print(errors, stderr);
    return status;
}
