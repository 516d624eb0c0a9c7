/* SPDX-License-Identifier: Apache-2.0 */
/* device_add with the bus of a device that has places for units: the driver is a backend's plugin,
 * and what it makes goes into an empty place. The guest learns of it by the device's own means, and
 * of its end likewise. */
#include "config/description.h"
#include "control/qmp_private.h"

#include <string.h>

/* What clients call the number of a target. */
#define TARGET_NAME  "scsi-id"
#define TARGET_PLACE "target"

typedef struct {
    QmpCall *call;
    char *id;
} UnitChange;

static UnitChange *
unit_change_new(QmpCall *call, const char *id)
{
    UnitChange *change = g_new0(UnitChange, 1);

    change->call = call;
    change->id = g_strdup(id);
    return change;
}

static void
unit_change_end(UnitChange *change, const GError *error)
{
    if (error != NULL) {
        qmp_call_take_error(change->call, error);
    }
    qmp_call_finish(change->call);
    g_free(change->id);
    g_free(change);
}

static void
remove_backend(Machine *machine, const char *id)
{
    Instance *backend = machine_backend_find(machine, id);

    if (backend != NULL) {
        (void)machine_backend_remove(machine, backend, NULL);
    }
}

/* --- add ----------------------------------------------------------------------------------------
 */

static bool
is_own(const char *name)
{
    static const char *const own[] = {"driver", "id", "bus", NULL};

    return g_strv_contains(own, name);
}

/* Splits the arguments: what says where, and what says what. */
static bool
split_options(QmpCall *call, Instance *device, Node *where, Node *options,
              const struct bp_prop *props)
{
    const struct bp_prop *place = machine_places(device)->children->children;
    g_autoptr(GList) members = json_object_get_members(call->arguments);
    GList *member;

    for (member = members; member != NULL; member = member->next) {
        const char *name = member->data;
        JsonNode *value = json_object_get_member(call->arguments, name);
        const char *at = strcmp(name, TARGET_NAME) == 0 ? TARGET_PLACE : name;
        g_autofree char *option = qmp_option_name(props, name);
        if (is_own(name)) {
            continue;
        }
        if (!(qmp_has_option(place, at) ? qmp_add_option(call, where, at, value)
                                        : qmp_add_option(call, options, option, value))) {
            return false;
        }
    }
    return true;
}

static void
added(void *opaque, const GError *error)
{
    UnitChange *change = opaque;

    if (error != NULL) {
        remove_backend(change->call->machine, change->id);
    }
    unit_change_end(change, error);
}

void
qmp_unit_add(QmpCall *call, Instance *device)
{
    g_autofree char *plugin = qmp_find_plugin(call->machine, qmp_text(call, "driver", ""));
    g_autofree char *unused = machine_unused_id(call->machine, "device");
    const char *id = qmp_text(call, "id", unused);
    g_autoptr(Node) where = node_new(BP_NODE_GROUP, "place", FILE_CONTROL, 0);
    g_autoptr(Node) options = node_new(BP_NODE_GROUP, id, FILE_CONTROL, 0);
    g_autoptr(MachineSlot) slot = NULL;
    g_autoptr(GError) error = NULL;
    Instance *backend = NULL;

    if (plugin == NULL) {
        qmp_call_fail(call, "GenericError", "'%.64s' is not a valid device model name",
                      qmp_text(call, "driver", ""));
        return;
    }
    qmp_add_text(options, "plugin", plugin);
    if (!split_options(call, device, where, options,
                       qmp_plugin_props(call->machine, plugin, BP_KIND_BACKEND))) {
        return;
    }
    slot = machine_slot_find_place(device, where, &error);
    if (slot != NULL) {
        backend = machine_backend_add(call->machine, g_steal_pointer(&options), &error);
    }
    if (backend == NULL) {
        qmp_call_take_error(call, error);
        return;
    }
    call->is_deferred = true;
    machine_exchange(call->machine, slot, backend, added, unit_change_new(call, backend->id));
}

/* --- del ----------------------------------------------------------------------------------------
 */

MachineSlot *
qmp_unit_find(Machine *machine, const char *id)
{
    const Instance *backend = machine_backend_find(machine, id);
    g_autoptr(MachineSlot) slot =
        backend != NULL ? machine_slot_of_backend(machine, backend) : NULL;
    const struct bp_prop *places = slot != NULL ? machine_places(slot->consumer) : NULL;

    return places != NULL && slot->consumer->plan->is_device && slot->drive < 0 &&
                   qmp_has_option(places->children->children, machine_slot_class(slot)->name)
               ? g_steal_pointer(&slot)
               : NULL;
}

static void
deleted(void *opaque, const GError *error)
{
    UnitChange *change = opaque;
    Machine *machine = change->call->machine;

    if (error == NULL) {
        remove_backend(machine, change->id);
        machine_device_deleted(machine, change->id);
    }
    unit_change_end(change, error);
}

void
qmp_unit_del(QmpCall *call, const MachineSlot *slot)
{
    call->is_deferred = true;
    machine_exchange(call->machine, slot, NULL, deleted, unit_change_new(call, slot->backend->id));
}
