/* SPDX-License-Identifier: Apache-2.0 */
/* The machine as a whole: what it is, whether it runs. */
#include "build_config.h"
#include "control/qmp_private.h"

#include <string.h>

JsonNode *
qmp_version(void)
{
    g_auto(GStrv) parts = g_strsplit(BACKPLANE_VERSION, ".", 3);
    JsonObject *version = json_object_new();
    JsonObject *numbers = json_object_new();
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    const char *const names[] = {"major", "minor", "micro"};
    unsigned i;

    for (i = 0; i < 3 && parts[i] != NULL; i++) {
        json_object_set_int_member(numbers, names[i], g_ascii_strtoll(parts[i], NULL, 10));
    }
    /* Clients look for the member that names the program they know. */
    json_object_set_object_member(version, "qemu", numbers);
    json_object_set_string_member(version, "package", "backplane-" BACKPLANE_VERSION);
    json_node_take_object(node, version);
    return node;
}

void
qmp_query_version(QmpCall *call)
{
    qmp_call_return(call, qmp_version());
}

void
qmp_query_status(QmpCall *call)
{
    JsonObject *status = json_object_new();

    json_object_set_boolean_member(status, "running", machine_is_running(call->machine));
    json_object_set_boolean_member(status, "singlestep", FALSE);
    json_object_set_string_member(status, "status", machine_status(call->machine));
    qmp_call_return_object(call, status);
}

void
qmp_query_name(QmpCall *call)
{
    JsonObject *name = json_object_new();

    json_object_set_string_member(name, "name", machine_name(call->machine));
    qmp_call_return_object(call, name);
}

void
qmp_query_uuid(QmpCall *call)
{
    const char *uuid = node_text(node_child(machine_plan(call->machine)->machine, "uuid"), "");
    JsonObject *object = json_object_new();

    json_object_set_string_member(object, "UUID",
                                  uuid[0] != '\0' ? uuid : "00000000-0000-0000-0000-000000000000");
    qmp_call_return_object(call, object);
}

JsonObject *
qmp_describe_command(const char *name, const char *arguments, const char *help)
{
    JsonObject *entry = json_object_new();

    json_object_set_string_member(entry, "name", name);
    json_object_set_string_member(entry, "arguments", arguments);
    json_object_set_string_member(entry, "help", help);
    return entry;
}

static gint
compare_names(gconstpointer a, gconstpointer b, gpointer opaque)
{
    return strcmp(a, b);
}

static void
unref_object(gpointer object)
{
    json_object_unref(object);
}

static gboolean
add_entry(gpointer name, gpointer entry, gpointer list)
{
    json_array_add_object_element(list, json_object_ref(entry));
    return FALSE;
}

/* The arguments and the help beside each name are ours: they are what `backplane ctl` completes. */
void
qmp_query_commands(QmpCall *call)
{
    GTree *commands = g_tree_new_full(compare_names, NULL, g_free, unref_object);
    JsonArray *list = json_array_new();
    const QmpCommand *command;
    unsigned i;

    for (i = 0; (command = qmp_command_at(i)) != NULL; i++) {
        g_tree_insert(commands, g_strdup(command->name),
                      qmp_describe_command(command->name, command->arguments, command->help));
    }
    qmp_inspect_add_commands(call->machine, commands);
    g_tree_foreach(commands, add_entry, list);
    g_tree_destroy(commands);
    qmp_call_return_array(call, list);
}

void
qmp_stop(QmpCall *call)
{
    machine_pause(call->machine);
}

void
qmp_cont(QmpCall *call)
{
    machine_resume(call->machine);
}

void
qmp_system_reset(QmpCall *call)
{
    machine_request(call->machine, MACHINE_REQUEST_HOST_RESET, "qmp", "system_reset");
}

void
qmp_system_powerdown(QmpCall *call)
{
    machine_request(call->machine, MACHINE_REQUEST_POWER_BUTTON, "qmp", "system_powerdown");
}

void
qmp_system_wakeup(QmpCall *call)
{
    if (!machine_is_suspended(call->machine)) {
        qmp_call_fail(call, "GenericError", "Unable to wake up: guest is not in suspended state");
        return;
    }
    machine_request(call->machine, MACHINE_REQUEST_WAKE, "qmp", "system_wakeup");
}

void
qmp_quit(QmpCall *call)
{
    machine_request(call->machine, MACHINE_REQUEST_QUIT, "qmp", "quit");
}
