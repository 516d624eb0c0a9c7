/* SPDX-License-Identifier: Apache-2.0 */
/* PCI addresses, given in this order: the bridges', those the description states, those that
 * classes prefer, then the next free slots, first of the board's bus, then of those behind bridges.
 * Slot 0 is the host bridge; of slot 1, functions 0 and 3 are the board's ISA bridge and power
 * management.
 */
#include "config/description.h"
#include "config/plan_steps.h"

#include <string.h>

#define SLOTS       32u
#define FUNCTIONS   8u
#define FIRST_FREE  2u
#define BOARD_SLOT  1u
#define DEVFN(s, f) ((s)*FUNCTIONS + (f))
#define BUSES       (1 + PLAN_PCI_BRIDGES_MAX)

typedef struct {
    ErrorList *errors;
    const MachinePlan *plan;
    unsigned last_bus; /* of those where free slots are dealt out */
    const PlanInstance *owners[BUSES * PLAN_BUS_DEVFNS];
    bool is_placed[PLAN_INSTANCES_MAX];
} PciPlaces;

static const char *
board_owner(const MachinePlan *plan, unsigned devfn)
{
    for (unsigned i = 0; i < plan->pci_bridge_count; i++) {
        if (plan->pci_bridges[i] == devfn) {
            return "machine.pci_bridges";
        }
    }
    if (devfn < FUNCTIONS) {
        return "the host bridge";
    }
    if (devfn == DEVFN(BOARD_SLOT, 0)) {
        return "the ISA bridge";
    }
    return devfn == DEVFN(BOARD_SLOT, 3) ? "the board's power management" : NULL;
}

static char *
address_text(unsigned place)
{
    unsigned bus = place / PLAN_BUS_DEVFNS, devfn = place % PLAN_BUS_DEVFNS;

    return bus == 0 ? g_strdup_printf("%02x.%u", devfn / FUNCTIONS, devfn % FUNCTIONS)
                    : g_strdup_printf("%u:%02x.%u", bus, devfn / FUNCTIONS, devfn % FUNCTIONS);
}

static bool
parse_address(const char *text, unsigned *devfn)
{
    char *end = NULL;
    guint64 slot = g_ascii_isxdigit(*text) ? g_ascii_strtoull(text, &end, 16) : SLOTS;

    if (end == NULL || end - text > 2 || slot >= SLOTS || *end != '.' || end[1] < '0' ||
        end[1] > '7' || end[2] != '\0') {
        return false;
    }
    *devfn = DEVFN((unsigned)slot, (unsigned)(end[1] - '0'));
    return true;
}

/* One digit for the bus, before a colon, if it is not the board's. */
static bool
parse_place(const MachinePlan *plan, const char *text, unsigned *place)
{
    unsigned bus = 0, devfn = 0;

    if (text[0] >= '1' && text[0] <= '9' && text[1] == ':') {
        bus = (unsigned)(text[0] - '0');
        text += 2;
    }
    if (bus > plan->pci_bridge_count || !parse_address(text, &devfn) ||
        (bus != 0 && devfn < FUNCTIONS)) {
        return false;
    }
    *place = bus * PLAN_BUS_DEVFNS + devfn;
    return true;
}

static void
place(PciPlaces *places, PlanInstance *device, unsigned devfn)
{
    places->owners[devfn] = device;
    device->devfn = devfn;
}

static void
place_stated(PciPlaces *places, PlanInstance *device, Node *address)
{
    g_autofree char *path = g_strdup_printf("devices.%s.address", device->id);
    unsigned devfn = 0;

    if (address->type != BP_NODE_STRING) {
        return; /* reported by the schema check */
    }
    if (!parse_place(places->plan, address->text, &devfn)) {
        error_list_add(places->errors, address->file, address->line, path,
                       "\"%s\" is no PCI address: slot 01 to 1f in hexadecimal, a dot, function 0 "
                       "to 7, such as \"05.0\"; behind a bridge of machine.pci_bridges \"1:05.0\"",
                       address->text);
        return;
    }
    const char *board = board_owner(places->plan, devfn);
    const PlanInstance *owner = places->owners[devfn];
    if (board != NULL || owner != NULL) {
        g_autofree char *taken = address_text(devfn);
        error_list_add(places->errors, address->file, address->line, path,
                       "PCI address %s is taken by %s%s", taken, owner != NULL ? "devices." : board,
                       owner != NULL ? owner->id : "");
        return;
    }
    place(places, device, devfn);
    g_autofree char *usual = address_text(devfn);
    node_set_text(address, usual);
}

/* Guests look at the other functions of a slot only if there is a function 0 (PCI 3.0, 6.1). */
static void
check_function_zero(PciPlaces *places, const PlanInstance *device)
{
    unsigned slot = device->devfn / FUNCTIONS;
    const Node *address = node_child(device->node, "address");

    if (device->devfn % FUNCTIONS == 0 || slot == BOARD_SLOT ||
        places->owners[DEVFN(slot, 0)] != NULL) {
        return;
    }
    g_autofree char *path = g_strdup_printf("devices.%s.address", device->id);
    error_list_add(places->errors, address->file, address->line, path,
                   "slot %02x has no function 0, so no guest would find function %u", slot % SLOTS,
                   device->devfn % FUNCTIONS);
}

static void
state_address(PlanInstance *device)
{
    Node *node = node_new(BP_NODE_STRING, "address", FILE_DEFAULT, 0);

    node->text = address_text(device->devfn);
    node->is_default = true;
    g_ptr_array_add(device->node->children, node);
}

static bool
place_preferred(PciPlaces *places, PlanInstance *device)
{
    unsigned devfn = plan_instance_class(device)->preferred_devfn;
    bool has_zero = devfn % FUNCTIONS == 0 || devfn / FUNCTIONS == BOARD_SLOT ||
                    places->owners[devfn & ~(FUNCTIONS - 1)] != NULL;

    if (devfn == 0 || board_owner(places->plan, devfn) != NULL || places->owners[devfn] != NULL ||
        !has_zero) {
        return false;
    }
    place(places, device, devfn);
    state_address(device);
    return true;
}

static bool
is_free(const PciPlaces *places, unsigned bus, unsigned slot)
{
    for (unsigned function = 0; function < FUNCTIONS; function++) {
        unsigned place = bus * PLAN_BUS_DEVFNS + DEVFN(slot, function);
        if (places->owners[place] != NULL || board_owner(places->plan, place) != NULL) {
            return false;
        }
    }
    return true;
}

static bool
place_on_bus(PciPlaces *places, PlanInstance *device, unsigned bus)
{
    for (unsigned slot = bus == 0 ? FIRST_FREE : 1; slot < SLOTS; slot++) {
        if (is_free(places, bus, slot)) {
            place(places, device, bus * PLAN_BUS_DEVFNS + DEVFN(slot, 0));
            state_address(device);
            return true;
        }
    }
    return false;
}

static void
place_anywhere(PciPlaces *places, PlanInstance *device)
{
    for (unsigned bus = 0; bus <= places->last_bus; bus++) {
        if (place_on_bus(places, device, bus)) {
            return;
        }
    }
    g_autofree char *path = g_strdup_printf("devices.%s", device->id);
    error_list_add(
        places->errors, device->node->file, device->node->line, path,
        "the PCI bus is full: all slots up to 1f are taken; give addresses with functions, "
        "such as \"05.1\", or list machine.pci_bridges");
}

static bool
is_pci(const PlanInstance *device)
{
    const PluginClass *class = plan_instance_class(device);

    return class != NULL && class->kind == BP_KIND_DEVICE && class->bus == BP_BUS_PCI;
}

/* Bus n is behind the n-th. */
static void
place_bridges(MachinePlan *plan, ErrorList *errors)
{
    const Node *list = node_child(plan->machine, "pci_bridges");
    unsigned devfn = 0;

    plan->pci_bridge_count = 0;
    for (unsigned i = 0; list != NULL && i < node_count(list); i++) {
        const Node *node = node_at(list, i);
        const char *text = node_text(node, "");
        bool is_slot = parse_address(text, &devfn) && devfn % FUNCTIONS == 0;
        const char *owner = is_slot ? board_owner(plan, devfn) : NULL;

        if (!is_slot || owner != NULL || i == PLAN_PCI_BRIDGES_MAX) {
            error_list_add(errors, node->file, node->line, "machine.pci_bridges",
                           is_slot && owner != NULL ? "\"%s\" is taken by %s"
                                                    : "\"%s\" is no place for a bridge: slot 02 to "
                                                      "1f in hexadecimal and function 0, such as "
                                                      "\"1f.0\"%s",
                           text, owner != NULL ? owner : "");
            return;
        }
        plan->pci_bridges[plan->pci_bridge_count++] = devfn;
    }
}

void
pci_addresses_assign(MachinePlan *plan, ErrorList *errors)
{
    PciPlaces places = {.errors = errors, .plan = plan};
    guint count = MIN(plan->devices->len, PLAN_INSTANCES_MAX);

    place_bridges(plan, errors);
    places.last_bus = plan->pci_bridge_count;
    for (guint i = 0; i < count; i++) {
        PlanInstance *device = g_ptr_array_index(plan->devices, i);
        Node *address = is_pci(device) ? node_child(device->node, "address") : NULL;
        places.is_placed[i] = address != NULL || !is_pci(device);
        if (address != NULL) {
            place_stated(&places, device, address);
        }
    }
    for (guint i = 0; i < count; i++) {
        PlanInstance *device = g_ptr_array_index(plan->devices, i);
        if (is_pci(device) && device->devfn != 0) {
            check_function_zero(&places, device);
        }
        places.is_placed[i] = places.is_placed[i] || place_preferred(&places, device);
    }
    for (guint i = 0; i < count; i++) {
        if (!places.is_placed[i]) {
            place_anywhere(&places, g_ptr_array_index(plan->devices, i));
        }
    }
}

void
pci_addresses_assign_added(MachinePlan *plan, PlanInstance *added, ErrorList *errors)
{
    PciPlaces places = {.errors = errors, .plan = plan};
    Node *address = node_child(added->node, "address");

    if (!is_pci(added)) {
        return;
    }
    for (guint i = 0; i < plan->devices->len; i++) {
        const PlanInstance *device = g_ptr_array_index(plan->devices, i);
        if (device != added && is_pci(device)) {
            places.owners[device->devfn] = device;
        }
    }
    if (address != NULL) {
        place_stated(&places, added, address);
    } else {
        place_anywhere(&places, added);
    }
    if (added->devfn != 0) {
        check_function_zero(&places, added);
    }
}
