/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/machine_slots.h"

#include "base/error.h"
#include "machine/machine_private.h"

#include <string.h>

void
machine_slot_free(MachineSlot *slot)
{
    if (slot != NULL) {
        g_free(slot->name);
        g_free(slot->unit_name);
        g_free(slot);
    }
}

static void
free_slot(gpointer slot)
{
    machine_slot_free(slot);
}

/* What the plugin says about its slots is held against its class. */
static bool
is_slot(const Instance *consumer, unsigned slot, unsigned use)
{
    const struct bp_slot *slots = consumer->class->slots;
    unsigned i;

    for (i = 0; slots != NULL && slots[i].name != NULL; i++) {
        if (i == slot) {
            return use < slots[i].max;
        }
    }
    return false;
}

static void
add_drives(GPtrArray *list, Instance *consumer)
{
    unsigned i;

    for (i = 0; i < consumer->drives->len; i++) {
        struct bp_media_drive drive;
        MachineSlot *slot;
        if (instance_drive(consumer, i, &drive) != 0 || !is_slot(consumer, drive.slot, drive.use)) {
            continue;
        }
        slot = g_new0(MachineSlot, 1);
        slot->name = g_strdup(consumer->drives->pdata[i]);
        slot->unit_name = g_strdup_printf("%s:%s", consumer->id, drive.unit);
        slot->consumer = consumer;
        slot->slot = drive.slot;
        slot->use = drive.use;
        slot->drive = (int)i;
        slot->flags = drive.flags;
        slot->backend = instance_backend_at(consumer, drive.slot, drive.use);
        g_ptr_array_add(list, slot);
    }
}

static bool
is_listed(const GPtrArray *list, guint first, const PlanSlotUse *use)
{
    guint i;

    for (i = first; i < list->len; i++) {
        const MachineSlot *slot = list->pdata[i];
        if (slot->slot == use->slot && slot->use == use->use) {
            return true;
        }
    }
    return false;
}

/* "devices.ide0.drives[0].disk" without its first word. */
static char *
path_name(const char *path)
{
    const char *dot = strchr(path, '.');

    return g_strdup(dot != NULL ? dot + 1 : path);
}

/* One that was empty at start has no option that names its backend. */
static char *
slot_name(const Instance *consumer, const PlanSlotUse *use)
{
    if (consumer->plan->slot_uses->len == 1) {
        return g_strdup(consumer->id);
    }
    return use->path[0] != '\0' ? path_name(use->path)
                                : g_strdup_printf("%s.%s[%u]", consumer->id,
                                                  consumer->class->slots[use->slot].name, use->use);
}

static void
add_slots(GPtrArray *list, Instance *consumer)
{
    const GArray *uses = consumer->plan->slot_uses;
    guint first = list->len;
    guint i;

    add_drives(list, consumer);
    for (i = 0; i < uses->len; i++) {
        const PlanSlotUse *use = &g_array_index(uses, PlanSlotUse, i);
        MachineSlot *slot;
        if (is_listed(list, first, use)) {
            continue;
        }
        slot = g_new0(MachineSlot, 1);
        slot->name = slot_name(consumer, use);
        slot->consumer = consumer;
        slot->slot = use->slot;
        slot->use = use->use;
        slot->drive = -1;
        slot->backend = instance_backend_at(consumer, use->slot, use->use);
        g_ptr_array_add(list, slot);
    }
}

GPtrArray *
machine_slots(Machine *machine, bool of_devices)
{
    const GPtrArray *consumers = of_devices ? machine->devices : machine->backends;
    GPtrArray *list = g_ptr_array_new_with_free_func(free_slot);
    guint i;

    for (i = 0; i < consumers->len; i++) {
        add_slots(list, consumers->pdata[i]);
    }
    return list;
}

static MachineSlot *
take(GPtrArray *list, guint index)
{
    return g_ptr_array_steal_index(list, index);
}

/* Its name, "instance:unit", or the instance if it has but one. */
static MachineSlot *
find_in(GPtrArray *list, const char *name)
{
    guint i, only = 0, count = 0;

    for (i = 0; i < list->len; i++) {
        const MachineSlot *slot = list->pdata[i];
        if (strcmp(slot->name, name) == 0 || g_strcmp0(slot->unit_name, name) == 0) {
            return take(list, i);
        }
        if (strcmp(slot->consumer->id, name) == 0) {
            only = i;
            count++;
        }
    }
    return count == 1 ? take(list, only) : NULL;
}

MachineSlot *
machine_slot_find(Machine *machine, const char *name, GError **error)
{
    g_autoptr(GPtrArray) devices = machine_slots(machine, true);
    g_autoptr(GPtrArray) backends = machine_slots(machine, false);
    MachineSlot *slot = find_in(devices, name);

    if (slot == NULL) {
        slot = find_in(backends, name);
    }
    if (slot == NULL) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_NOT_FOUND, "Device '%s' not found", name);
    }
    return slot;
}

static MachineSlot *
find_backend(GPtrArray *list, const Instance *backend)
{
    guint i;

    for (i = 0; i < list->len; i++) {
        const MachineSlot *slot = list->pdata[i];
        if (slot->backend == backend) {
            return take(list, i);
        }
    }
    return NULL;
}

MachineSlot *
machine_slot_of_backend(Machine *machine, const Instance *backend)
{
    g_autoptr(GPtrArray) devices = machine_slots(machine, true);
    g_autoptr(GPtrArray) backends = machine_slots(machine, false);
    MachineSlot *slot = find_backend(devices, backend);

    return slot != NULL ? slot : find_backend(backends, backend);
}
