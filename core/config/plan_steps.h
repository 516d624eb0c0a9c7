/* SPDX-License-Identifier: Apache-2.0 */
/* The steps in which a plan is made, after each instance has been held against its schema. Each
 * adds what it finds wrong to errors and goes on, so that the user sees everything at once.
 * Instances whose plugin is missing (image NULL) take part only by their ids. */
#pragma once

#include "config/plan.h"

#define PLAN_INSTANCES_MAX 1024u /* of each kind */

/* Makes an instance of a group and holds it against its schema; the group is checked in place. */
void plan_add_instance(MachinePlan *plan, GPtrArray *list, Node *node, bool is_device,
                       ErrorList *errors);
void plan_instance_free(gpointer instance);
/* Gives options with BP_PROP_PER_INSTANCE their values. */
void per_instance_deal(MachinePlan *plan, ErrorList *errors);
/* Finds the backend of each slot use, checks interfaces and numbers, sorts the backends. */
void references_resolve(MachinePlan *plan, ErrorList *errors);
/* The same for one instance that joins the others. */
void references_resolve_added(MachinePlan *plan, PlanInstance *added, ErrorList *errors);
/* Gives each PCI device its address, which its group then states. */
void pci_addresses_assign(MachinePlan *plan, ErrorList *errors);
/* The same for one device that joins the others. */
void pci_addresses_assign_added(MachinePlan *plan, PlanInstance *added, ErrorList *errors);

static inline const char *
plan_group_name(const PlanInstance *instance)
{
    return instance->is_device ? "devices" : "backends";
}
