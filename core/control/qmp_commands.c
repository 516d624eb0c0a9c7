/* SPDX-License-Identifier: Apache-2.0 */
#include "control/qmp_commands.h"

#include "build_config.h"

#include <string.h>

typedef struct {
    const char *name;
    void (*run)(Machine *machine, JsonObject *arguments, QmpResult *result);
} QmpCommand;

static void
run_query_version(Machine *machine, JsonObject *arguments, QmpResult *result)
{
    g_auto(GStrv) parts = g_strsplit(BACKPLANE_VERSION, ".", 3);
    JsonObject *version = json_object_new();
    JsonObject *numbers = json_object_new();
    const char *const names[] = {"major", "minor", "micro"};
    unsigned i;

    for (i = 0; i < 3 && parts[i] != NULL; i++) {
        json_object_set_int_member(numbers, names[i], g_ascii_strtoll(parts[i], NULL, 10));
    }
    /* Clients look for the member that names the program they know. */
    json_object_set_object_member(version, "qemu", numbers);
    json_object_set_string_member(version, "package", "backplane-" BACKPLANE_VERSION);
    result->value = json_node_init_object(json_node_alloc(), version);
    json_object_unref(version);
}

static void
run_query_status(Machine *machine, JsonObject *arguments, QmpResult *result)
{
    JsonObject *status = json_object_new();
    bool running = machine_is_running(machine);

    json_object_set_boolean_member(status, "running", running);
    json_object_set_boolean_member(status, "singlestep", FALSE);
    json_object_set_string_member(status, "status",
                                  machine_is_suspended(machine) ? "suspended"
                                  : running                     ? "running"
                                                                : "paused");
    result->value = json_node_init_object(json_node_alloc(), status);
    json_object_unref(status);
}

static void
run_query_name(Machine *machine, JsonObject *arguments, QmpResult *result)
{
    JsonObject *name = json_object_new();

    json_object_set_string_member(name, "name", machine_name(machine));
    result->value = json_node_init_object(json_node_alloc(), name);
    json_object_unref(name);
}

static void
run_query_uuid(Machine *machine, JsonObject *arguments, QmpResult *result)
{
    const char *uuid = node_text(node_child(machine_plan(machine)->machine, "uuid"), "");
    JsonObject *object = json_object_new();

    json_object_set_string_member(object, "UUID",
                                  uuid[0] != '\0' ? uuid : "00000000-0000-0000-0000-000000000000");
    result->value = json_node_init_object(json_node_alloc(), object);
    json_object_unref(object);
}

static void
run_stop(Machine *machine, JsonObject *arguments, QmpResult *result)
{
    machine_pause(machine);
}

static void
run_cont(Machine *machine, JsonObject *arguments, QmpResult *result)
{
    machine_resume(machine);
}

static void
run_system_reset(Machine *machine, JsonObject *arguments, QmpResult *result)
{
    machine_request(machine, MACHINE_REQUEST_HOST_RESET, "qmp", "system_reset");
}

static void
run_system_powerdown(Machine *machine, JsonObject *arguments, QmpResult *result)
{
    machine_request(machine, MACHINE_REQUEST_POWER_BUTTON, "qmp", "system_powerdown");
}

static void
run_system_wakeup(Machine *machine, JsonObject *arguments, QmpResult *result)
{
    if (!machine_is_suspended(machine)) {
        result->error_class = "GenericError";
        result->error_text = g_strdup("Unable to wake up: guest is not in suspended state");
        return;
    }
    machine_request(machine, MACHINE_REQUEST_WAKE, "qmp", "system_wakeup");
}

static void
run_quit(Machine *machine, JsonObject *arguments, QmpResult *result)
{
    machine_request(machine, MACHINE_REQUEST_QUIT, "qmp", "quit");
}

static void run_query_commands(Machine *machine, JsonObject *arguments, QmpResult *result);

static const QmpCommand qmp_commands[] = {
    {"cont", run_cont},
    {"query-commands", run_query_commands},
    {"query-name", run_query_name},
    {"query-status", run_query_status},
    {"query-uuid", run_query_uuid},
    {"query-version", run_query_version},
    {"quit", run_quit},
    {"stop", run_stop},
    {"system_powerdown", run_system_powerdown},
    {"system_reset", run_system_reset},
    {"system_wakeup", run_system_wakeup},
};

static void
run_query_commands(Machine *machine, JsonObject *arguments, QmpResult *result)
{
    JsonArray *list = json_array_new();
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(qmp_commands); i++) {
        JsonObject *entry = json_object_new();
        json_object_set_string_member(entry, "name", qmp_commands[i].name);
        json_array_add_object_element(list, entry);
    }
    result->value = json_node_init_array(json_node_alloc(), list);
    json_array_unref(list);
}

void
qmp_result_clear(QmpResult *result)
{
    g_free(result->error_text);
    g_clear_pointer(&result->value, json_node_unref);
}

void
qmp_commands_run(Machine *machine, const char *name, JsonObject *arguments, QmpResult *result)
{
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(qmp_commands); i++) {
        if (strcmp(qmp_commands[i].name, name) == 0) {
            qmp_commands[i].run(machine, arguments, result);
            return;
        }
    }
    result->error_class = "CommandNotFound";
    result->error_text = g_strdup_printf("The command %.64s has not been found", name);
}
