/* SPDX-License-Identifier: Apache-2.0 */
/* Options of check, show and plugins. */
#include "control/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* GLib ends the program after printing its own --help, in the locale's character set, which is
 * never set here: so help is an option like any other, and its one character outside ASCII is
 * replaced. */
static int
print_help(GOptionContext *context)
{
    g_autofree char *help = g_option_context_get_help(context, TRUE, NULL);
    g_auto(GStrv) parts = g_strsplit(help, "\xe2\x80\xa6", -1); /* the ellipsis */
    g_autofree char *text = g_strjoinv("...", parts);

    return inspect_print(text);
}

bool
options_parse(GOptionContext *context, const char *command, int *argc, char ***argv, int *status)
{
    g_autofree char *name = g_strdup_printf("backplane %s", command);
    g_autoptr(GError) error = NULL;
    gboolean help = FALSE;
    const GOptionEntry entries[] = {
        {"help", 'h', 0, G_OPTION_ARG_NONE, &help, "Show this help", NULL},
        {NULL},
    };

    g_set_prgname(name); /* what the help calls it */
    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, &error)) {
        (void)fprintf(stderr, "%s: %s (try --help)\n", name, error->message);
        *status = 2;
        return false;
    }
    if (help) {
        *status = print_help(context);
    }
    return !help;
}

static bool
parse(InspectOptions *options, const InspectUsage *usage, int *argc, char ***argv, int *status)
{
    const GOptionEntry all[] = {
        {"plugin-path", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->plugin_path,
         "Look for plugins here first; may be given several times", "DIRECTORY"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options->json, "Print JSON", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->arguments, NULL,
         usage->arguments},
        {NULL},
    };
    const GOptionEntry set[] = {
        {"set", 's', 0, G_OPTION_ARG_STRING_ARRAY, &options->overrides,
         "Override an option of the description: devices.net0.backend=wan2", "PATH=VALUE"},
        {NULL},
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);

    g_option_context_set_summary(context, usage->summary);
    g_option_context_set_description(context, usage->description);
    if (usage->has_overrides) {
        g_option_context_add_main_entries(context, set, NULL);
    }
    g_option_context_add_main_entries(context, all, NULL);
    return options_parse(context, usage->command, argc, argv, status);
}

bool
inspect_options_parse(InspectOptions *options, const InspectUsage *usage, int argc, char **argv,
                      int *status)
{
    if (!parse(options, usage, &argc, &argv, status)) {
        return false;
    }
    unsigned count = options->arguments != NULL ? g_strv_length(options->arguments) : 0;
    if (count < usage->min || count > usage->max) {
        (void)fprintf(stderr, "usage: backplane %s [OPTION...] %s (try --help)\n", usage->command,
                      usage->arguments);
        *status = 2;
        return false;
    }
    return true;
}

void
inspect_options_clear(InspectOptions *options)
{
    g_strfreev(options->overrides);
    g_strfreev(options->plugin_path);
    g_strfreev(options->arguments);
}

int
inspect_print(const char *text)
{
    if (fputs(text, stdout) == EOF || fflush(stdout) == EOF) {
        (void)fprintf(stderr, "backplane: cannot write: %s\n", g_strerror(errno));
        return 1;
    }
    return 0;
}
