/* SPDX-License-Identifier: Apache-2.0 */
/* backplane show: the resolved machine. */
#include "control/commands.h"
#include "control/options.h"

#include <stdio.h>

static const InspectUsage usage = {
    .command = "show",
    .arguments = "FILE",
    .summary = "Print the machine that FILE describes with every default filled in and every PCI\n"
               "address assigned, as a description that run and show accept again.",
    .description = "Exit status: 0 printed, 2 the description has errors (see backplane check).",
    .has_overrides = true,
    .min = 1,
    .max = 1,
};

int
cmd_show(int argc, char **argv)
{
    g_auto(InspectOptions) options = {0};
    g_autoptr(ErrorList) errors = error_list_new();
    int status = 0;

    if (!inspect_options_parse(&options, &usage, argc, argv, &status)) {
        return status;
    }
    g_autoptr(MachinePlan) plan =
        machine_plan_new(options.arguments[0], (const char *const *)options.overrides,
                         (const char *const *)options.plugin_path, errors);
    if (plan == NULL) {
        error_list_print(errors, stderr);
        return 2;
    }
    g_autofree char *text = options.json ? machine_plan_print_json(plan) : machine_plan_print(plan);
    return inspect_print(text);
}
