/* SPDX-License-Identifier: Apache-2.0 */
/* backplane sdk: begins a plugin from a template, checks one that was built. */
#include "control/commands.h"
#include "control/options.h"
#include "control/sdk_check.h"
#include "control/sdk_template.h"

#include <stdio.h>
#include <string.h>

static const char help_text[] =
    "Usage: backplane sdk new NAME --kind=KIND [--directory=DIR]\n"
    "       backplane sdk check FILE.so...\n\n"
    "new    writes a plugin that builds and whose test passes: C source, test on the SDK's fake\n"
    "       core, manual page, meson.build. In Backplane's source root it becomes plugins/NAME "
    "and\n"
    "       a line in plugins/meson.build; elsewhere, or with --directory, a project of its own.\n"
    "check  reads a built plugin as data and reports what is wrong or odd: its image, imports\n"
    "       and exports, descriptor, options and their defaults.\n\n"
    "Options:\n"
    "  --kind=KIND      what to make, such as pci-device; a wrong one lists them all\n"
    "  --directory=DIR  where to make the folder NAME\n"
    "  -h, --help       show this help\n\n"
    "Exit status: 0 done or nothing wrong, 1 the plugin is refused, 2 a mistake in the command\n"
    "line or a file that cannot be read or written.\n";

static int
run_new(int argc, char **argv)
{
    g_autofree char *kind = NULL;
    g_autofree char *directory = NULL;
    const GOptionEntry entries[] = {
        {"kind", 0, 0, G_OPTION_ARG_STRING, &kind, "what to make", "KIND"},
        {"directory", 0, 0, G_OPTION_ARG_FILENAME, &directory, "where to make it", "DIR"},
        {NULL, 0, 0, 0, NULL, NULL, NULL},
    };
    g_autoptr(GOptionContext) context = g_option_context_new("NAME");
    g_autoptr(GError) error = NULL;
    int status = 0;

    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_summary(context, "Write a plugin that builds and whose test passes.");
    if (!options_parse(context, "sdk new", &argc, &argv, &status)) {
        return status;
    }
    if (argc != 2 || kind == NULL) {
        (void)fprintf(stderr, "backplane: sdk new: it takes a NAME and --kind=KIND; "
                              "try: backplane sdk --help\n");
        return 2;
    }
    if (!sdk_template_new(argv[1], kind, directory, &error)) {
        (void)fprintf(stderr, "backplane: %s\n", error->message);
        return 2;
    }
    return 0;
}

static int
run_check(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new("FILE.so...");
    int status = 0;

    g_option_context_set_summary(context, "Read a built plugin as data, say what is wrong or odd.");
    if (!options_parse(context, "sdk check", &argc, &argv, &status)) {
        return status;
    }
    if (argc < 2) {
        (void)fprintf(stderr, "backplane: sdk check: it takes the plugin's file; "
                              "try: backplane sdk --help\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        int one = sdk_check(argv[i]);
        status = MAX(status, one);
    }
    return status;
}

int
cmd_sdk(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
        (void)fputs(help_text, stdout);
        return 0;
    }
    if (strcmp(what, "new") == 0) {
        return run_new(argc - 1, argv + 1);
    }
    if (strcmp(what, "check") == 0) {
        return run_check(argc - 1, argv + 1);
    }
    (void)fprintf(stderr, "backplane: sdk: %s%s%s; try: backplane sdk --help\n",
                  argc > 1 ? "there is no \"" : "it takes \"new\" or \"check\"", what,
                  argc > 1 ? "\"" : "");
    return 2;
}
