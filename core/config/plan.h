/* SPDX-License-Identifier: Apache-2.0 */
/* A machine description that was read, checked against the schemas of its plugins and resolved:
 * every default filled in, every reference found, every PCI address assigned. Making a plan has no
 * side effects: no plugin code runs, nothing but descriptions and plugin files is opened. */
#pragma once

#include "config/error_list.h"
#include "config/node.h"
#include "plugin/plugin_image.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct PlanInstance PlanInstance;
typedef struct MachinePlan MachinePlan;

typedef struct {
    unsigned slot;               /* index in the class's slots[] */
    unsigned use;                /* number of the use of that slot */
    const PlanInstance *backend; /* what is attached there */
    const Node *node;            /* the option that names it, for messages */
    const char *path;            /* of that option, interned: "devices.ide0.drives[0].disk" */
} PlanSlotUse;

struct PlanInstance {
    char *id;
    bool is_device;
    PluginImage *image;   /* not owned */
    unsigned class_index; /* in the image's classes */
    Node *node;           /* its group in the description, defaults filled in */
    GArray *slot_uses;    /* PlanSlotUse */
    unsigned devfn; /* BP_BUS_PCI: assigned address, bus * 256 + slot * 8 + function; else 0 */
    unsigned loop;  /* option "loop" */
};

#define PLAN_BUS_DEVFNS      256u
#define PLAN_PCI_BRIDGES_MAX 8u

struct MachinePlan {
    char *path;          /* of the description */
    Node *root;          /* resolved tree: machine, backends, devices */
    const Node *machine; /* the "machine" group, defaults filled in (see machine_schema.h) */
    GPtrArray *backends; /* PlanInstance*, in an order in which each comes after those below it */
    GPtrArray *devices;  /* PlanInstance*, in order of the description */
    unsigned
        pci_bridges[PLAN_PCI_BRIDGES_MAX]; /* slot * 8 + function of the one to bus 1, 2, ... */
    unsigned pci_bridge_count;
    PluginSearch *search; /* where plugins were looked for; owns the images */
};

/* overrides: "path=value" texts of -s, NULL-terminated or NULL. plugin_path: directories of
 * --plugin-path, NULL-terminated or NULL. Returns NULL after adding to errors. [control] */
MachinePlan *machine_plan_new(const char *path, const char *const *overrides,
                              const char *const *plugin_path, ErrorList *errors);
void machine_plan_free(MachinePlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MachinePlan, machine_plan_free)

/* Adds an instance to the plan of a machine that runs, held against the same rules. node: its
 * group, named by its id; taken over. NULL after adding to errors, with the plan as it was. */
PlanInstance *machine_plan_add(MachinePlan *plan, Node *node, bool is_device, ErrorList *errors);
/* Nothing uses it any more; it is freed. */
void machine_plan_remove(MachinePlan *plan, PlanInstance *instance);
/* Another backend is in a use of a slot now; NULL: none. Returns the use, NULL if there is none. */
const PlanSlotUse *plan_instance_set_use(PlanInstance *instance, unsigned slot, unsigned use,
                                         const PlanInstance *backend);

const PluginClass *plan_instance_class(const PlanInstance *instance);

/* The resolved machine as a description that machine_plan_new() accepts again, same meaning. */
char *machine_plan_print(const MachinePlan *plan);
char *machine_plan_print_json(const MachinePlan *plan);
