/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, and the check of arguments against it. */
#include "base/error.h"
#include "control/qmp_private.h"

#include <string.h>

/* In alphabetical order. */
static const QmpCommand qmp_commands[] = {
    {"announce-self", "initial:i max:i rounds:i step:i interfaces:x? id:s?", qmp_announce_self,
     "ask guests' network cards to tell the network where they are"},
    {"backend-swap", "device:s backend:x verify:s?", qmp_backend_swap,
     "replace a backend, or insert or remove a filter, while the guest runs"},
    {"block-latency-histogram-set",
     "id:s boundaries:x? boundaries-read:x? boundaries-write:x? boundaries-flush:x? "
     "boundaries-unmap:x? boundaries-zero:x?",
     qmp_block_latency_histogram_set, "count how long a disk's requests take; no boundaries: stop"},
    {"block_resize", "device:s? node-name:s? size:i", qmp_block_resize,
     "change the capacity of a disk"},
    {"block_set_io_throttle",
     "device:s? id:s? bps:i bps_rd:i bps_wr:i iops:i iops_rd:i iops_wr:i bps_max:i? bps_rd_max:i? "
     "bps_wr_max:i? iops_max:i? iops_rd_max:i? iops_wr_max:i? iops_size:i?",
     qmp_block_set_io_throttle, "set the limits of the filter above a disk"},
    {"blockdev-add", "driver:s node-name:s? *", qmp_blockdev_add,
     "make a backend: driver names a plugin or a format, the rest are its options"},
    {"blockdev-change-medium", "device:s? id:s? filename:s format:s? force:b? read-only-mode:s?",
     qmp_blockdev_change_medium, "put another image into a drive"},
    {"blockdev-close-tray", "device:s? id:s?", qmp_blockdev_close_tray, "push a tray in"},
    {"blockdev-del", "node-name:s", qmp_blockdev_del, "remove a backend that nothing uses"},
    {"blockdev-insert-medium", "device:s? id:s? node-name:s", qmp_blockdev_insert_medium,
     "put a backend into a drive whose tray is open"},
    {"blockdev-open-tray", "device:s? id:s? force:b?", qmp_blockdev_open_tray,
     "press the eject button"},
    {"blockdev-remove-medium", "device:s? id:s?", qmp_blockdev_remove_medium,
     "take the medium out of a drive whose tray is open"},
    {"chardev-add", "id:s backend:o", qmp_chardev_add, "make a character backend"},
    {"chardev-remove", "id:s", qmp_chardev_remove, "remove a character backend that nothing uses"},
    {"cont", "", qmp_cont, "let the machine go on"},
    {"device-list-properties", "typename:s", qmp_device_list_properties, "options of a class"},
    {"device_add", "driver:s id:s? bus:s? addr:x? *", qmp_device_add,
     "plug a device in: driver names a plugin, the rest are its options"},
    {"device_del", "id:s force:b?", qmp_device_del,
     "ask the guest to let go of a device; force: take it out"},
    {"eject", "device:s? id:s? force:b?", qmp_eject, "open the tray and take the medium out"},
    {"human-monitor-command", "command-line:s cpu-index:i?", qmp_human_monitor_command,
     "info status, info block, info pci, info qtree"},
    {"inject-nmi", "", qmp_inject_nmi, "raise the processors' NMI"},
    {"netdev_add", "type:s id:s *", qmp_netdev_add,
     "make a network backend: type names a plugin, the rest are its options"},
    {"netdev_del", "id:s", qmp_netdev_del, "remove a network backend that nothing uses"},
    {"pmemsave", "val:i size:i filename:s", qmp_pmemsave, "write guest memory to a file"},
    {"qom-list-types", "implements:s? abstract:b?", qmp_qom_list_types,
     "classes of the plugins that are installed"},
    {"qom-set", "path:s property:s value:x", qmp_qom_set,
     "change an option of a device or a backend while it runs"},
    {"query-block", "", qmp_query_block, "disks and drives, and what is in them"},
    {"query-blockstats", "query-nodes:b?", qmp_query_blockstats, "what went through disks"},
    {"query-chardev", "", qmp_query_chardev, "character backends"},
    {"query-commands", "", qmp_query_commands, "names of all commands"},
    {"query-cpus-fast", "", qmp_query_cpus_fast, "processors and their threads"},
    {"query-machines", "", qmp_query_machines, "machine types"},
    {"query-name", "", qmp_query_name, "name of the machine"},
    {"query-named-block-nodes", "flat:b?", qmp_query_named_block_nodes, "block backends"},
    {"query-pci", "", qmp_query_pci, "PCI functions"},
    {"query-rx-filter", "name:s?", qmp_query_rx_filter, "which frames network cards let through"},
    {"query-status", "", qmp_query_status, "whether the machine runs"},
    {"query-uuid", "", qmp_query_uuid, "UUID of the machine"},
    {"query-version", "", qmp_query_version, "version of the program"},
    {"quit", "", qmp_quit, "end the program"},
    {"screendump", "filename:s *", qmp_screendump, "refused: no device draws a screen"},
    {"set_link", "name:s up:b", qmp_set_link, "plug a network cable in, or pull it"},
    {"stop", "", qmp_stop, "pause the machine"},
    {"system_powerdown", "", qmp_system_powerdown, "press the power button"},
    {"system_reset", "", qmp_system_reset, "press the reset button"},
    {"system_wakeup", "", qmp_system_wakeup, "wake the machine from S3"},
};

const QmpCommand *
qmp_command_at(unsigned index)
{
    return index < G_N_ELEMENTS(qmp_commands) ? &qmp_commands[index] : NULL;
}

/* --- a call's end -------------------------------------------------------------------------------
 */

void
qmp_call_fail(QmpCall *call, const char *error_class, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_free(call->error_text);
    call->error_class = error_class;
    call->error_text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
}

void
qmp_call_take_error(QmpCall *call, const GError *error)
{
    bool is_missing = g_error_matches(error, BACKPLANE_ERROR, ERROR_NOT_FOUND);

    qmp_call_fail(call, is_missing ? "DeviceNotFound" : "GenericError", "%s", error->message);
}

void
qmp_call_return(QmpCall *call, JsonNode *value)
{
    g_clear_pointer(&call->value, json_node_unref);
    call->value = value;
}

void
qmp_call_return_object(QmpCall *call, JsonObject *object)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);

    json_node_take_object(node, object);
    qmp_call_return(call, node);
}

void
qmp_call_return_array(QmpCall *call, JsonArray *array)
{
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);

    json_node_take_array(node, array);
    qmp_call_return(call, node);
}

static void
call_end(QmpCall *call)
{
    if (call->done != NULL) {
        call->done(call, call->opaque);
    }
    json_object_unref(call->arguments);
    g_free(call->error_text);
    g_clear_pointer(&call->value, json_node_unref);
    g_free(call);
}

/* Often at once: what is at rest already need not be waited for. */
void
qmp_call_finish(QmpCall *call)
{
    call->is_finished = true;
    if (!call->is_running) {
        call_end(call);
    }
}

void
qmp_call_abandon(QmpCall *call)
{
    call->done = NULL;
}

/* --- arguments ----------------------------------------------------------------------------------
 */

const char *
qmp_text(const QmpCall *call, const char *name, const char *fallback)
{
    return json_object_get_string_member_with_default(call->arguments, name, fallback);
}

bool
qmp_flag(const QmpCall *call, const char *name, bool fallback)
{
    return json_object_get_boolean_member_with_default(call->arguments, name, fallback);
}

int64_t
qmp_number(const QmpCall *call, const char *name, int64_t fallback)
{
    return json_object_get_int_member_with_default(call->arguments, name, fallback);
}

static bool
has_type(JsonNode *value, char type)
{
    GType held = JSON_NODE_HOLDS_VALUE(value) ? json_node_get_value_type(value) : G_TYPE_NONE;

    switch (type) {
    case 's':
        return held == G_TYPE_STRING;
    case 'b':
        return held == G_TYPE_BOOLEAN;
    case 'i':
        return held == G_TYPE_INT64;
    case 'n':
        return held == G_TYPE_INT64 || held == G_TYPE_DOUBLE;
    case 'o':
        return JSON_NODE_HOLDS_OBJECT(value);
    default:
        return true;
    }
}

static const char *
type_name(char type)
{
    switch (type) {
    case 's':
        return "string";
    case 'b':
        return "boolean";
    case 'i':
        return "integer";
    case 'n':
        return "number";
    default:
        return "object";
    }
}

/* One "name:type?" of a command's list. */
static bool
check_argument(QmpCall *call, const char *entry)
{
    const char *colon = strchr(entry, ':');
    g_autofree char *name = g_strndup(entry, (gsize)(colon - entry));
    JsonNode *value = json_object_get_member(call->arguments, name);

    if (value == NULL) {
        if (colon[2] != '?') {
            qmp_call_fail(call, "GenericError", "Parameter '%s' is missing", name);
        }
        return colon[2] == '?';
    }
    if (!has_type(value, colon[1])) {
        qmp_call_fail(call, "GenericError", "Invalid parameter type for '%s', expected: %s", name,
                      type_name(colon[1]));
        return false;
    }
    return true;
}

static bool
is_known(char **entries, const char *name)
{
    gsize length = strlen(name);

    for (; *entries != NULL; entries++) {
        if (strcmp(*entries, "*") == 0 ||
            (strncmp(*entries, name, length) == 0 && (*entries)[length] == ':')) {
            return true;
        }
    }
    return false;
}

static bool
check_arguments(QmpCall *call, const QmpCommand *command)
{
    g_auto(GStrv) entries = g_strsplit(command->arguments, " ", -1);
    g_autoptr(GList) given = json_object_get_members(call->arguments);
    GList *member;
    guint i;

    for (i = 0; entries[i] != NULL; i++) {
        if (strchr(entries[i], ':') != NULL && !check_argument(call, entries[i])) {
            return false;
        }
    }
    for (member = given; member != NULL; member = member->next) {
        if (!is_known(entries, member->data)) {
            qmp_call_fail(call, "GenericError", "Parameter '%.64s' is unexpected",
                          (const char *)member->data);
            return false;
        }
    }
    return true;
}

/* --- carrying out -------------------------------------------------------------------------------
 */

static const QmpCommand *
find(const char *name)
{
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(qmp_commands); i++) {
        if (strcmp(qmp_commands[i].name, name) == 0) {
            return &qmp_commands[i];
        }
    }
    return NULL;
}

QmpCall *
qmp_call_run(Machine *machine, const char *name, JsonObject *arguments,
             void (*done)(QmpCall *call, void *opaque), void *opaque)
{
    const QmpCommand *command = find(name);
    QmpCall *call = g_new0(QmpCall, 1);

    call->machine = machine;
    call->arguments = arguments != NULL ? json_object_ref(arguments) : json_object_new();
    call->done = done;
    call->opaque = opaque;
    if (command == NULL) {
        if (!qmp_inspect(call, name)) {
            qmp_call_fail(call, "CommandNotFound", "The command %.64s has not been found", name);
        }
    } else if (check_arguments(call, command)) {
        call->is_running = true;
        command->run(call);
        call->is_running = false;
    }
    if (call->is_deferred && !call->is_finished) {
        return call;
    }
    call_end(call);
    return NULL;
}
