/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of the commands that look at things and start nothing. */
#pragma once

#include "config/plan.h"

#include <glib.h>
#include <stdbool.h>

typedef struct {
    char **overrides;   /* -s */
    char **plugin_path; /* --plugin-path */
    char **arguments;   /* NULL if there are none */
    gboolean json;      /* --json */
} InspectOptions;

typedef struct {
    const char *command;   /* "check" */
    const char *arguments; /* "FILE" */
    const char *summary;
    const char *description;
    bool has_overrides; /* takes -s */
    unsigned min, max;  /* number of arguments */
} InspectUsage;

/* True to go on; else *status is the exit status: after --help, or a message to stderr. */
bool inspect_options_parse(InspectOptions *options, const InspectUsage *usage, int argc,
                           char **argv, int *status);
void inspect_options_clear(InspectOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(InspectOptions, inspect_options_clear)

/* g_option_context_parse() with a --help that returns: true to go on, else *status is the exit
 * status. command: "check". */
bool options_parse(GOptionContext *context, const char *command, int *argc, char ***argv,
                   int *status);

/* Writes all of text to stdout; 0, or 1 after a message if it could not be written. */
int inspect_print(const char *text);
