/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins of a machine and the instances made of them. */
#include "machine/machine_private.h"

#include <string.h>

static Plugin *
load_plugin(Machine *machine, PluginImage *image, GError **error)
{
    Plugin *plugin = g_hash_table_lookup(machine->plugins, image);

    if (plugin == NULL) {
        plugin = plugin_load(image, error);
        if (plugin != NULL) {
            (void)g_hash_table_insert(machine->plugins, image, plugin);
        }
    }
    return plugin;
}

static Instance *
find_by_id(const GPtrArray *instances, const char *id)
{
    unsigned i;

    for (i = 0; i < instances->len; i++) {
        Instance *instance = instances->pdata[i];
        if (strcmp(instance->id, id) == 0) {
            return instance;
        }
    }
    return NULL;
}

Instance *
machine_find_instance(Machine *machine, const char *id)
{
    Instance *backend = find_by_id(machine->backends, id);

    return backend != NULL ? backend : find_by_id(machine->devices, id);
}

static bool
attach_slots(Machine *machine, Instance *instance, GError **error)
{
    const PlanInstance *plan = instance->plan;
    unsigned i;

    for (i = 0; i < plan->slot_uses->len; i++) {
        const PlanSlotUse *use = &g_array_index(plan->slot_uses, PlanSlotUse, i);
        Instance *backend = machine_find_instance(machine, use->backend->id);
        if (backend == NULL || !instance_attach(instance, use, backend, error)) {
            return false;
        }
    }
    return true;
}

Instance *
machine_make_instance(Machine *machine, PlanInstance *plan, GError **error)
{
    Plugin *plugin = load_plugin(machine, plan->image, error);
    g_autoptr(Instance) instance =
        plugin != NULL ? instance_new(&machine->services, plan, plugin, error) : NULL;

    if (instance == NULL || !attach_slots(machine, instance, error) ||
        !instance_realize(instance, error)) {
        return NULL;
    }
    return g_steal_pointer(&instance);
}

static bool
make_all(Machine *machine, const GPtrArray *plans, GPtrArray *instances, GError **error)
{
    unsigned i;

    for (i = 0; i < plans->len; i++) {
        Instance *instance = machine_make_instance(machine, plans->pdata[i], error);
        if (instance == NULL) {
            return false;
        }
        g_ptr_array_add(instances, instance);
    }
    return true;
}

bool
machine_make_instances(Machine *machine, GError **error)
{
    return make_all(machine, machine->plan->backends, machine->backends, error) &&
           make_all(machine, machine->plan->devices, machine->devices, error);
}

static bool
uses(const Instance *consumer, const Instance *backend)
{
    const GArray *slot_uses = consumer->plan->slot_uses;

    for (guint i = 0; i < slot_uses->len; i++) {
        if (g_array_index(slot_uses, PlanSlotUse, i).backend == backend->plan) {
            return true;
        }
    }
    return false;
}

static bool
is_used(const GPtrArray *consumers, const Instance *backend)
{
    for (guint i = 0; i < consumers->len; i++) {
        if (uses(consumers->pdata[i], backend)) {
            return true;
        }
    }
    return false;
}

/* A consumer before what it consumes. Last made, first gone, is that order, unless backends changed
 * places since. */
static void
free_all(GPtrArray *instances)
{
    while (instances->len > 0) {
        guint i = instances->len - 1;
        while (i > 0 && is_used(instances, instances->pdata[i])) {
            i--;
        }
        instance_free(g_ptr_array_steal_index(instances, i));
    }
}

void
machine_free_instances(Machine *machine)
{
    free_all(machine->devices);
    free_all(machine->backends);
}

void
machine_start_instances(Machine *machine)
{
    unsigned i;

    for (i = 0; i < machine->backends->len; i++) {
        instance_start(machine->backends->pdata[i]);
    }
    for (i = 0; i < machine->devices->len; i++) {
        instance_start(machine->devices->pdata[i]);
    }
}

void
machine_stop_instances(Machine *machine)
{
    unsigned i;

    for (i = machine->devices->len; i > 0; i--) {
        instance_stop(machine->devices->pdata[i - 1]);
    }
    for (i = machine->backends->len; i > 0; i--) {
        instance_stop(machine->backends->pdata[i - 1]);
    }
}

void
machine_reset_instances(Machine *machine, uint32_t kind)
{
    unsigned i;

    for (i = 0; i < machine->devices->len; i++) {
        instance_reset(machine->devices->pdata[i], kind);
    }
    for (i = 0; i < machine->backends->len; i++) {
        instance_reset(machine->backends->pdata[i], kind);
    }
}
