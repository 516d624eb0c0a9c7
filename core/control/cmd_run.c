/* SPDX-License-Identifier: Apache-2.0 */
/* backplane run: a machine from a description until it ends. */
#include "base/log.h"
#include "control/commands.h"
#include "control/options.h"
#include "control/qmp_server.h"
#include "control/test_server.h"
#include "machine/machine.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

typedef struct {
    char **overrides;
    char **plugin_path;
    char *control;
    char *test_socket;
    char *debug;
    char **files;
    gboolean no_reboot;
    gboolean paused;
} RunOptions;

static void
run_options_clear(RunOptions *options)
{
    g_strfreev(options->overrides);
    g_strfreev(options->plugin_path);
    g_strfreev(options->files);
    g_free(options->control);
    g_free(options->test_socket);
    g_free(options->debug);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RunOptions, run_options_clear)

static bool
parse(RunOptions *options, int *argc, char ***argv, int *status)
{
    const GOptionEntry entries[] = {
        {"set", 's', 0, G_OPTION_ARG_STRING_ARRAY, &options->overrides,
         "Override an option of the description: devices.net0.backend=wan2", "PATH=VALUE"},
        {"plugin-path", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->plugin_path,
         "Look for plugins here first; may be given several times", "DIRECTORY"},
        {"control", 0, 0, G_OPTION_ARG_FILENAME, &options->control, "Serve QMP on this unix socket",
         "SOCKET"},
        {"paused", 0, 0, G_OPTION_ARG_NONE, &options->paused,
         "Build the machine but do not let it run yet", NULL},
        {"no-reboot", 0, 0, G_OPTION_ARG_NONE, &options->no_reboot,
         "End when the guest resets the machine", NULL},
        {"test-socket", 0, 0, G_OPTION_ARG_FILENAME, &options->test_socket,
         "No vCPU: drive registers over this socket (\"PATH\" or \"PATH,server\")", "SOCKET"},
        {"debug", 'D', 0, G_OPTION_ARG_STRING, &options->debug,
         "Log these topics (instance ids, core parts, or all)", "TOPIC,..."},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->files, NULL, "FILE"},
        {NULL},
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);

    g_option_context_set_summary(context, "Run a machine from its description.");
    g_option_context_set_description(
        context, "Ends with status 0 when the guest powers off, on SIGINT, SIGTERM or quit;\n"
                 "1 when it cannot go on; 2 when it could not start. Ctrl-A x leaves a console.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!options_parse(context, "run", argc, argv, status)) {
        return false;
    }
    *status = 2;
    if (options->files == NULL || options->files[1] != NULL) {
        (void)fprintf(stderr, "backplane run: name one machine description (try --help)\n");
        return false;
    }
    return true;
}

static gboolean
signalled(gint fd, GIOCondition condition, gpointer opaque)
{
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        machine_request(opaque, MACHINE_REQUEST_SIGNAL, "signal", strsignal((int)info.ssi_signo));
    }
    return G_SOURCE_CONTINUE;
}

/* Blocked before any thread exists, so that every thread inherits it and only the descriptor hears
 * them. A closed terminal (SIGHUP) is an end like any other. */
static int
block_signals(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int
run_machine(Machine *machine, const RunOptions *options, int signal_fd, GError **error)
{
    g_autoptr(QmpServer) qmp_server = NULL;
    g_autoptr(TestServer) test_server = NULL;
    g_autoptr(GSource) source = NULL;
    const char *control = options->control;
    int status;

    if (signal_fd >= 0) {
        source = g_unix_fd_source_new(signal_fd, G_IO_IN);
        g_source_set_callback(source, G_SOURCE_FUNC(signalled), machine, NULL);
        (void)g_source_attach(source, machine_context(machine));
    }
    if (control == NULL) {
        control = node_text(node_child(machine_plan(machine)->machine, "control"), "");
    }
    if (control[0] != '\0') {
        qmp_server = qmp_server_new(machine, control, error);
        if (qmp_server == NULL) {
            return 2;
        }
    }
    if (!machine_start(machine, error)) {
        return 2;
    }
    if (options->test_socket != NULL) {
        test_server = test_server_new(machine, options->test_socket, error);
        if (test_server == NULL) {
            return 2;
        }
    }
    status = machine_run(machine);
    if (source != NULL) {
        g_source_destroy(source);
    }
    return status;
}

int
cmd_run(int argc, char **argv)
{
    g_auto(RunOptions) options = {0};
    g_autoptr(ErrorList) errors = error_list_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(MachinePlan) plan = NULL;
    g_autoptr(Machine) machine = NULL;
    MachineArgs args = {0};
    int signal_fd, status = 2;

    if (!parse(&options, &argc, &argv, &status)) {
        return status;
    }
    log_configure(LOG_INFO, options.debug);
    signal_fd = block_signals();
    plan = machine_plan_new(options.files[0], (const char *const *)options.overrides,
                            (const char *const *)options.plugin_path, errors);
    if (plan == NULL) {
        error_list_print(errors, stderr);
        return 2;
    }
    args.test = options.test_socket != NULL;
    args.paused = options.paused;
    args.no_reboot = options.no_reboot;
    machine = machine_new(plan, &args, &error);
    if (machine != NULL) {
        status = run_machine(machine, &options, signal_fd, &error);
    }
    if (error != NULL) {
        (void)fprintf(stderr, "backplane: %s\n", error->message);
    }
    /* The terminal is restored before the last descriptor of ours goes. */
    g_clear_pointer(&machine, machine_free);
    if (signal_fd >= 0) {
        (void)close(signal_fd);
    }
    return status;
}
