/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/machine_backends.h"

#include "base/error.h"
#include "machine/machine_private.h"

#include <string.h>

const GPtrArray *
machine_backends(const Machine *machine)
{
    return machine->backends;
}

const GPtrArray *
machine_devices(const Machine *machine)
{
    return machine->devices;
}

Instance *
machine_backend_find(Machine *machine, const char *id)
{
    Instance *instance = machine_find_instance(machine, id);

    return instance != NULL && !instance->plan->is_device ? instance : NULL;
}

char *
machine_unused_id(Machine *machine, const char *prefix)
{
    unsigned i;

    for (i = 0;; i++) {
        g_autofree char *id = g_strdup_printf("%s%u", prefix, i);
        if (machine_find_instance(machine, id) == NULL) {
            return g_steal_pointer(&id);
        }
    }
}

void
machine_backend_set_transient(Machine *machine, Instance *backend)
{
    (void)g_hash_table_add(machine->transient, backend);
}

bool
machine_backend_is_transient(const Machine *machine, const Instance *backend)
{
    return g_hash_table_contains(machine->transient, backend);
}

/* Places in the control socket's text mean nothing to its client. */
static void
add_problem(void *opaque, const char *file, unsigned line, const char *path, const char *text)
{
    GString *all = opaque;

    g_string_append_printf(all, "%s%s%s%s", all->len > 0 ? "; " : "", path != NULL ? path : "",
                           path != NULL ? ": " : "", text);
}

PlanInstance *
machine_plan_instance(Machine *machine, Node *options, bool is_device, GError **error)
{
    g_autoptr(ErrorList) errors = error_list_new();
    PlanInstance *plan = machine_plan_add(machine->plan, options, is_device, errors);
    g_autoptr(GString) text = g_string_new(NULL);

    if (plan == NULL) {
        error_list_foreach(errors, add_problem, text);
        g_set_error_literal(error, BACKPLANE_ERROR, ERROR_CONFIG, text->str);
    }
    return plan;
}

Instance *
machine_backend_add(Machine *machine, Node *options, GError **error)
{
    PlanInstance *plan = machine_plan_instance(machine, options, false, error);
    Instance *instance;

    if (plan == NULL) {
        return NULL;
    }
    instance = machine_make_instance(machine, plan, error);
    if (instance == NULL) {
        machine_plan_remove(machine->plan, plan);
        return NULL;
    }
    g_ptr_array_add(machine->backends, instance);
    instance_reset(instance, BP_RESET_POWER_ON);
    if (machine->running) {
        instance_start(instance);
    }
    return instance;
}

bool
machine_backend_remove(Machine *machine, Instance *backend, GError **error)
{
    g_autoptr(MachineSlot) slot = machine_slot_of_backend(machine, backend);
    PlanInstance *plan = backend->plan;

    if (slot != NULL || machine_is_quiesced(machine, backend)) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_STATE, "Node %s is in use", backend->id);
        return false;
    }
    if (machine->running) {
        instance_stop(backend);
    }
    (void)g_hash_table_remove(machine->transient, backend);
    (void)g_ptr_array_remove(machine->backends, backend);
    instance_free(backend);
    machine_plan_remove(machine->plan, plan);
    return true;
}
