/* SPDX-License-Identifier: Apache-2.0 */
/* backplane plugins: what is installed, and what a plugin says of itself. Reads files, runs nothing
 * of them. */
#include "control/commands.h"
#include "control/manifest.h"
#include "control/options.h"

#include <stdio.h>

static const InspectUsage usage = {
    .command = "plugins",
    .arguments = "[NAME|PATH]",
    .summary =
        "List the plugins, or print the manifest of one: its classes, promises and options.\n"
        "Plugins are read as data; none of their code runs.",
    .description =
        "Directories are searched in this order: --plugin-path, BACKPLANE_PLUGIN_PATH, the\n"
        "build tree if the program runs from it, the installed ones.\n"
        "Exit status: 0 printed, 2 there is no such plugin or it is refused.",
    .min = 0,
    .max = 1,
};

static int
print_one(PluginSearch *search, const char *name, bool as_json)
{
    g_autoptr(GError) error = NULL;
    const PluginImage *image = plugin_search_find(search, name, &error);

    if (image == NULL) {
        (void)fprintf(stderr, "backplane: %s\n", error->message);
        return 2;
    }
    g_autofree char *text = as_json ? manifest_json(image) : manifest_text(image);
    return inspect_print(text);
}

static int
print_all(PluginSearch *search, bool as_json)
{
    g_auto(GStrv) names = plugin_search_list(search);
    g_autoptr(ManifestTable) table = manifest_table_new(as_json);
    int status = 0;

    for (char **name = names; *name != NULL; name++) {
        g_autoptr(GError) error = NULL;
        const PluginImage *image = plugin_search_find(search, *name, &error);
        if (image != NULL) {
            manifest_table_add(table, image);
        } else {
            (void)fprintf(stderr, "backplane: %s\n", error->message);
            status = 2;
        }
    }
    g_autofree char *text = manifest_table_finish(table);
    int written = inspect_print(text);
    return written != 0 ? written : status;
}

int
cmd_plugins(int argc, char **argv)
{
    g_auto(InspectOptions) options = {0};
    int status = 0;

    if (!inspect_options_parse(&options, &usage, argc, argv, &status)) {
        return status;
    }
    g_autoptr(PluginSearch) search = plugin_search_new((const char *const *)options.plugin_path);
    return options.arguments != NULL ? print_one(search, options.arguments[0], options.json)
                                     : print_all(search, options.json);
}
