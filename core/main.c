/* SPDX-License-Identifier: Apache-2.0 */
/* The backplane program: finds the command and hands over to it. */
#include "base/nearest.h"
#include "build_config.h"
#include "control/commands.h"

#include <backplane/abi.h>

#include <stdio.h>
#include <string.h>

typedef struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *arguments;
    const char *summary;
} Command;

/* One line a command. */
static const Command commands[] = {
    {"run", cmd_run, "FILE", "run the machine that FILE describes"},
    {"check", cmd_check, "FILE", "say what is wrong with a description, start nothing"},
    {"show", cmd_show, "FILE", "print the resolved machine: defaults, addresses"},
    {"plugins", cmd_plugins, "[NAME|PATH]", "list the plugins, or print one's manifest"},
    {"ctl", cmd_ctl, "SOCKET COMMAND", "send a command to a machine that runs"},
    {"sdk", cmd_sdk, "new|check", "begin a plugin from a template, check a built one"},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void
print_help(FILE *out)
{
    (void)fputs("Usage: backplane COMMAND [OPTION...]\n\n"
                "Backplane runs virtual machines whose every device and backend is a plugin.\n\n"
                "Commands:\n",
                out);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        (void)fprintf(out, "  %-8s %-14s %s\n", commands[i].name, commands[i].arguments,
                      commands[i].summary);
    }
    (void)fputs("\nOptions:\n"
                "  -h, --help    show this help; after a command, the command's own\n"
                "  -V, --version show the version\n\n"
                "Exit status: 0 all well, 1 it ran and failed, 2 it could not start: a mistake in\n"
                "the command line or the description, a plugin or a part of the host missing.\n"
                "See backplane(1) and backplane.cfg(5).\n",
                out);
}

static int
report_unknown(const char *name)
{
    const char *known[COMMAND_COUNT + 1] = {NULL};

    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        known[i] = commands[i].name;
    }
    const char *nearest = nearest_name(name, known);
    (void)fprintf(stderr, "backplane: there is no command \"%s\"", name);
    if (nearest != NULL) {
        (void)fprintf(stderr, " (did you mean \"%s\"?)", nearest);
    }
    (void)fputs("; try: backplane --help\n", stderr);
    return 2;
}

int
main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        (void)printf("backplane %s (plugin ABI %u.%u)\n", BACKPLANE_VERSION, BP_ABI_MAJOR,
                     BP_ABI_MINOR);
        return 0;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    return report_unknown(name);
}
