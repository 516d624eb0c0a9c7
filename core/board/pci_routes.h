/* SPDX-License-Identifier: Apache-2.0 */
/* Where the interrupt pins of PCI slots arrive: what the _PRT and the MP table say, and what
 * firmware (or board_setup_direct_boot()) programs into the PIRQ registers. */
#pragma once

#include "bus/pci.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint8_t slot;
    uint8_t pin; /* 0 INTA .. 3 INTD */
    uint8_t gsi;
} PciRoute;

/* IRQ of PIRQA-PIRQD, as SeaBIOS programs them. */
extern const uint8_t pci_pirq_irqs[4];

/* GSI of a function's pin (1-4). */
unsigned pci_route_gsi(unsigned devfn, unsigned pin);
/* An array of PciRoute in the order of slots: each pin used by a function, and, with empty_slots,
 * INTA of each empty slot (a card plugged later). */
GArray *pci_routes_new(PciBus *bus, bool empty_slots);
