/* SPDX-License-Identifier: Apache-2.0 */
/* A plan that changes with its machine: instances come and go, slots get another backend. The plan
 * always says what the machine is like now. */
#include "config/plan_steps.h"

#include <string.h>

static GPtrArray *
list_of(const MachinePlan *plan, bool is_device)
{
    return is_device ? plan->devices : plan->backends;
}

static Node *
group_of(const MachinePlan *plan, bool is_device)
{
    return node_child(plan->root, is_device ? "devices" : "backends");
}

static bool
is_taken(const GPtrArray *instances, const char *id)
{
    for (guint i = 0; i < instances->len; i++) {
        const PlanInstance *instance = g_ptr_array_index(instances, i);
        if (strcmp(instance->id, id) == 0) {
            return true;
        }
    }
    return false;
}

PlanInstance *
machine_plan_add(MachinePlan *plan, Node *node, bool is_device, ErrorList *errors)
{
    GPtrArray *list = list_of(plan, is_device);
    guint before = list->len;

    if (is_taken(plan->backends, node->name) || is_taken(plan->devices, node->name)) {
        error_list_add(errors, NULL, 0, NULL, "there is something with the id \"%s\" already",
                       node->name);
    } else if (before >= PLAN_INSTANCES_MAX) {
        error_list_add(errors, NULL, 0, NULL, "there are %u already: no machine is that large",
                       before);
    } else {
        plan_add_instance(plan, list, node, is_device, errors);
    }
    if (list->len == before) {
        node_free(node);
        return NULL;
    }
    PlanInstance *added = g_ptr_array_index(list, before);
    g_ptr_array_add(group_of(plan, is_device)->children, node);
    references_resolve_added(plan, added, errors);
    if (is_device) {
        pci_addresses_assign_added(plan, added, errors);
    }
    if (error_list_count(errors) > 0) {
        machine_plan_remove(plan, added);
        return NULL;
    }
    return added;
}

void
machine_plan_remove(MachinePlan *plan, PlanInstance *instance)
{
    Node *node = instance->node;
    Node *group = group_of(plan, instance->is_device);

    (void)g_ptr_array_remove(list_of(plan, instance->is_device), instance);
    (void)g_ptr_array_remove(group->children, node);
}

static PlanSlotUse *
find_use(PlanInstance *instance, unsigned slot, unsigned use)
{
    for (guint i = 0; i < instance->slot_uses->len; i++) {
        PlanSlotUse *entry = &g_array_index(instance->slot_uses, PlanSlotUse, i);
        if (entry->slot == slot && entry->use == use) {
            return entry;
        }
    }
    return NULL;
}

const PlanSlotUse *
plan_instance_set_use(PlanInstance *instance, unsigned slot, unsigned use,
                      const PlanInstance *backend)
{
    PlanSlotUse *entry = find_use(instance, slot, use);

    if (entry == NULL) {
        PlanSlotUse added = {
            .slot = slot, .use = use, .node = instance->node, .path = g_intern_string("")};
        if (backend == NULL) {
            return NULL;
        }
        g_array_append_val(instance->slot_uses, added);
        entry = find_use(instance, slot, use);
    }
    entry->backend = backend;
    return entry;
}
