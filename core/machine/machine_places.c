/* SPDX-License-Identifier: Apache-2.0 */
/* Places for backends that a device's description names one by one, in a list of groups, each with
 * what tells it from the others and perhaps a backend: units of an adapter, say. One that is empty
 * is filled while the machine runs. */
#include "machine/machine_slots.h"

#include "base/error.h"

#include <string.h>

/* The option that names the backend in an element of a list, or NULL. */
static const struct bp_prop *
backend_prop(const struct bp_prop *element)
{
    const struct bp_prop *prop;

    if (element == NULL || element->type != BP_PROP_GROUP) {
        return NULL;
    }
    for (prop = element->children; prop != NULL && prop->name != NULL; prop++) {
        if (prop->type == BP_PROP_BACKEND) {
            return prop;
        }
    }
    return NULL;
}

static bool
find_slot(const Instance *device, const char *name, unsigned *slot)
{
    const struct bp_slot *slots = device->class->slots;
    unsigned i;

    for (i = 0; slots != NULL && slots[i].name != NULL; i++) {
        if (strcmp(slots[i].name, name) == 0) {
            *slot = i;
            return (slots[i].flags & BP_SLOT_HOTPLUG) != 0;
        }
    }
    return false;
}

const struct bp_prop *
machine_places(const Instance *device)
{
    const struct bp_prop *prop = device->class->props;
    unsigned slot;

    for (; prop != NULL && prop->name != NULL; prop++) {
        const struct bp_prop *backend =
            prop->type == BP_PROP_LIST ? backend_prop(prop->children) : NULL;
        if (backend != NULL && find_slot(device, backend->name, &slot)) {
            return prop;
        }
    }
    return NULL;
}

static bool
is_same(const Node *a, const Node *b)
{
    if (a->type != b->type) {
        return false;
    }
    return a->type == BP_NODE_STRING ? strcmp(a->text, b->text) == 0 : a->integer == b->integer;
}

static bool
matches(const Node *element, const Node *where)
{
    unsigned i;

    for (i = 0; i < node_count(where); i++) {
        const Node *wanted = node_at(where, i);
        const Node *value = node_child(element, wanted->name);
        if (value == NULL || !is_same(value, wanted)) {
            return false;
        }
    }
    return true;
}

/* Uses are numbered as plugin.h has it: places that the description fills first, then the others.
 */
static unsigned
use_of(const Node *list, unsigned index, const char *backend)
{
    bool is_given = node_child(node_at(list, index), backend) != NULL;
    unsigned i, use = 0;

    for (i = 0; i < node_count(list); i++) {
        bool other = node_child(node_at(list, i), backend) != NULL;
        use += is_given ? other && i < index : other || i < index;
    }
    return use;
}

static bool
is_taken(const Instance *device, unsigned slot, unsigned use)
{
    return instance_backend_at(device, slot, use) != NULL;
}

static MachineSlot *
place_new(Instance *device, const char *list, unsigned index, const PlanSlotUse *use)
{
    MachineSlot *place = g_new0(MachineSlot, 1);

    place->name = g_strdup_printf("%s.%s[%u].%s", device->id, list, index,
                                  device->class->slots[use->slot].name);
    place->consumer = device;
    place->slot = use->slot;
    place->use = use->use;
    place->drive = -1;
    return place;
}

MachineSlot *
machine_slot_find_place(Instance *device, const Node *where, GError **error)
{
    const struct bp_prop *places = machine_places(device);
    const Node *list = places != NULL ? node_child(device->plan->node, places->name) : NULL;
    const struct bp_prop *prop = places != NULL ? backend_prop(places->children) : NULL;
    const char *backend = prop != NULL ? prop->name : "";
    PlanSlotUse use = {.slot = 0};
    bool is_there = false;
    unsigned i;

    for (i = 0; i < node_count(list) && find_slot(device, backend, &use.slot); i++) {
        bool is_it = matches(node_at(list, i), where);
        use.use = use_of(list, i, backend);
        if (is_it && !is_taken(device, use.slot, use.use)) {
            return place_new(device, places->name, i, &use);
        }
        is_there = is_there || is_it;
    }
    g_set_error(error, BACKPLANE_ERROR, ERROR_STATE,
                is_there ? "Device '%s': the place is taken"
                         : "Device '%s' has no such place: its description names them, empty ones, "
                           "too",
                device->id);
    return NULL;
}
