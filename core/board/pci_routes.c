/* SPDX-License-Identifier: Apache-2.0 */
/* PCI interrupt routes. */
#include "board/pci_routes.h"

#include "board/piix4_pm.h"

enum {
    SLOTS = 32,
    PINS = 4,
    REGISTER_INTERRUPT_PIN = 0x3D,
    POWER_MANAGEMENT_DEVFN = 1 << 3 | 3,
};

const uint8_t pci_pirq_irqs[4] = {10, 10, 11, 11};

unsigned
pci_route_gsi(unsigned devfn, unsigned pin)
{
    if (devfn == POWER_MANAGEMENT_DEVFN) {
        return PIIX4_PM_SCI_IRQ; /* wired, not routed */
    }
    return pci_pirq_irqs[pci_slot_pirq(devfn >> 3, pin)];
}

typedef struct {
    bool present[SLOTS];
    uint8_t gsi[SLOTS][PINS]; /* 0: pin not used */
} PinMap;

static void
note_function(PciFunction *function, void *opaque)
{
    PinMap *map = opaque;
    unsigned devfn = pci_function_devfn(function);
    unsigned slot = devfn >> 3 & (SLOTS - 1);
    unsigned pin = pci_function_peek(function, REGISTER_INTERRUPT_PIN, 1);

    if (pci_function_bus(function) != 0) {
        return; /* a system turns the pin and looks up the bridge's */
    }
    map->present[slot] = true;
    for (unsigned i = 1; i <= PINS && pci_function_leads_to(function) != 0; i++) {
        map->gsi[slot][i - 1] = (uint8_t)pci_route_gsi(devfn, i);
    }
    if (pin >= 1 && pin <= PINS) {
        map->gsi[slot][pin - 1] = (uint8_t)pci_route_gsi(devfn, pin);
    }
}

GArray *
pci_routes_new(PciBus *bus, bool empty_slots)
{
    GArray *routes = g_array_new(FALSE, FALSE, sizeof(PciRoute));
    PinMap map = {0};

    pci_bus_foreach(bus, note_function, &map);
    for (unsigned i = 0; i < SLOTS * PINS; i++) {
        unsigned slot = i / PINS, pin = i % PINS;
        PciRoute route = {.slot = (uint8_t)slot, .pin = (uint8_t)pin, .gsi = map.gsi[slot][pin]};
        if (empty_slots && !map.present[slot] && pin == 0) {
            route.gsi = (uint8_t)pci_route_gsi(slot << 3, 1);
        }
        if (route.gsi != 0) {
            g_array_append_vals(routes, &route, 1);
        }
    }
    return routes;
}
