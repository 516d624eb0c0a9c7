/* SPDX-License-Identifier: Apache-2.0 */
/* human-monitor-command: the few that scripts use, in the shape they look for. */
#include "control/qmp_private.h"

#include <string.h>

static void
info_status(Machine *machine, GString *out)
{
    const char *status = machine_status(machine);

    if (machine_is_running(machine) || strcmp(status, "paused") == 0) {
        g_string_append_printf(out, "VM status: %s\r\n", status);
    } else {
        g_string_append_printf(out, "VM status: paused (%s)\r\n", status);
    }
}

static void
info_block_slot(const MachineSlot *slot, GString *out)
{
    bool is_removable = (slot->flags & BP_MEDIA_REMOVABLE) != 0;
    struct bp_block_info info;

    g_string_append(out, slot->name);
    if (slot->backend != NULL) {
        const Node *path = node_child(slot->backend->plan->node, "path");
        (void)qmp_block_info(slot->backend, &info);
        g_string_append_printf(out, " (%s): %s (%s%s)\r\n", slot->backend->id,
                               node_text(path, slot->backend->id), slot->backend->class->name,
                               (info.flags & BP_BLOCK_READONLY) != 0 ? ", read-only" : "");
    } else {
        g_string_append(out, ": [not inserted]\r\n");
    }
    g_string_append_printf(out, "    Attached to:      %s\r\n", slot->consumer->id);
    if (is_removable) {
        g_string_append_printf(out, "    Removable device: %slocked, tray %s\r\n",
                               (slot->flags & BP_MEDIA_LOCKED) != 0 ? "" : "not ",
                               (slot->flags & BP_MEDIA_OPEN) != 0 ? "open" : "closed");
    }
}

static void
info_block(Machine *machine, GString *out)
{
    g_autoptr(GPtrArray) slots = machine_slots(machine, true);
    guint i;

    for (i = 0; i < slots->len; i++) {
        if (qmp_is_block_slot(slots->pdata[i])) {
            g_string_append(out, out->len == 0 ? "" : "\r\n");
            info_block_slot(slots->pdata[i], out);
        }
    }
}

static void
info_pci_region(JsonObject *region, GString *out)
{
    gint64 address = json_object_get_int_member(region, "address");
    gint64 last = address + json_object_get_int_member(region, "size") - 1;

    g_string_append_printf(out, "      BAR%d: ", (int)json_object_get_int_member(region, "bar"));
    if (strcmp(json_object_get_string_member(region, "type"), "io") == 0) {
        g_string_append_printf(
            out, "I/O at 0x%04" G_GINT64_MODIFIER "x [0x%04" G_GINT64_MODIFIER "x].\r\n", address,
            last);
        return;
    }
    g_string_append_printf(
        out, "%d bit%s memory at 0x%08" G_GINT64_MODIFIER "x [0x%08" G_GINT64_MODIFIER "x].\r\n",
        json_object_get_boolean_member(region, "mem_type_64") ? 64 : 32,
        json_object_get_boolean_member(region, "prefetch") ? " prefetchable" : "", address, last);
}

static void
info_pci_function(JsonObject *device, GString *out)
{
    JsonObject *class = json_object_get_object_member(device, "class_info");
    JsonObject *id = json_object_get_object_member(device, "id");
    JsonArray *regions = json_object_get_array_member(device, "regions");
    gint64 pin = json_object_get_int_member(device, "irq_pin");
    guint i;

    g_string_append_printf(out, "  Bus  0, device %3d, function %d:\r\n",
                           (int)json_object_get_int_member(device, "slot"),
                           (int)json_object_get_int_member(device, "function"));
    g_string_append_printf(out, "    %s: PCI device %04x:%04x\r\n",
                           json_object_get_string_member(class, "desc"),
                           (unsigned)json_object_get_int_member(id, "vendor"),
                           (unsigned)json_object_get_int_member(id, "device"));
    if (json_object_get_int_member(id, "subsystem-vendor") != 0) {
        g_string_append_printf(out, "      PCI subsystem %04x:%04x\r\n",
                               (unsigned)json_object_get_int_member(id, "subsystem-vendor"),
                               (unsigned)json_object_get_int_member(id, "subsystem"));
    }
    if (pin != 0) {
        g_string_append_printf(out, "      IRQ %d, pin %c\r\n",
                               (int)json_object_get_int_member(device, "irq"),
                               (char)('A' + (pin - 1) % 4));
    }
    for (i = 0; i < json_array_get_length(regions); i++) {
        info_pci_region(json_array_get_object_element(regions, i), out);
    }
    g_string_append_printf(out, "      id \"%s\"\r\n",
                           json_object_get_string_member(device, "qdev_id"));
}

static void
info_pci(Machine *machine, GString *out)
{
    g_autoptr(JsonArray) devices = qmp_pci_devices(machine);
    guint i;

    for (i = 0; i < json_array_get_length(devices); i++) {
        info_pci_function(json_array_get_object_element(devices, i), out);
    }
}

static void
info_qtree_slots(Machine *machine, const Instance *device, GString *out)
{
    g_autoptr(GPtrArray) slots = machine_slots(machine, true);
    guint i;

    for (i = 0; i < slots->len; i++) {
        const MachineSlot *slot = slots->pdata[i];
        if (slot->consumer == device) {
            g_string_append_printf(out, "    %s = \"%s\"\r\n", machine_slot_class(slot)->name,
                                   slot->backend != NULL ? slot->backend->id : "");
        }
    }
}

static void
info_qtree(Machine *machine, GString *out)
{
    const GPtrArray *devices = machine_devices(machine);
    guint i;

    g_string_append(out, "bus: main-system-bus\r\n  type System\r\n");
    for (i = 0; i < devices->len; i++) {
        const Instance *device = devices->pdata[i];
        g_string_append_printf(out, "  dev: %s, id \"%s\"\r\n", device->class->name, device->id);
        if (device->class->bus == BP_BUS_PCI) {
            unsigned devfn = device->plan->devfn % PLAN_BUS_DEVFNS;
            g_string_append_printf(out, "    addr = %02x.%x\r\n", devfn >> 3, devfn & 7);
        }
        info_qtree_slots(machine, device, out);
    }
}

static const struct {
    const char *line;
    void (*print)(Machine *machine, GString *out);
} lines[] = {
    {"info status", info_status},
    {"info block", info_block},
    {"info pci", info_pci},
    {"info qtree", info_qtree},
};

void
qmp_human_monitor_command(QmpCall *call)
{
    g_autofree char *line = g_strdup(qmp_text(call, "command-line", ""));
    g_autoptr(GString) out = g_string_new(NULL);
    bool is_known = false;
    size_t i;

    (void)g_strstrip(line);
    for (i = 0; i < G_N_ELEMENTS(lines); i++) {
        if (strcmp(lines[i].line, line) == 0) {
            lines[i].print(call->machine, out);
            is_known = true;
        }
    }
    if (!is_known) {
        g_string_append_printf(out, "unknown command: '%.256s'\r\n", line);
    }
    qmp_call_return(call, json_node_init_string(json_node_alloc(), out->str));
}
