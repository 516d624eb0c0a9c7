/* SPDX-License-Identifier: Apache-2.0 */
/* Hot-plug of PCI slots by ACPI: registers at AE00h that the DSDT's methods work with, and an
 * event, GPE 1, that makes an operating system run them. The registers are those of other machines
 * with an i440FX, so that a DSDT, a test or a guest made for them finds what it knows:
 *
 *   AE00h  slots with something new, one bit each; cleared by reading
 *   AE04h  slots whose device is wanted back
 *   AE08h  write: eject what is in these slots; read: 0, no optional features
 *   AE0Ch  slots whose device can be taken out
 *   AE10h  which bus the others are about; 0: the root
 *   AE14h  a slot's number given by firmware, none: 0
 *
 * Thirty-two bits each, accessed as such. */
#pragma once

#include "base/chip_state.h"
#include "bus/address_space.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct PciHotplug PciHotplug;

#define PCI_HOTPLUG_BASE      0xAE00
#define PCI_HOTPLUG_SIZE      0x18
#define PCI_HOTPLUG_GPE       1
#define PCI_HOTPLUG_UP        0x00
#define PCI_HOTPLUG_DOWN      0x04
#define PCI_HOTPLUG_EJECT     0x08
#define PCI_HOTPLUG_REMOVABLE 0x0C
#define PCI_HOTPLUG_BUS       0x10
#define PCI_HOTPLUG_INDEX     0x14

#define PCI_HOTPLUG_FIRST_SLOT 2u /* below are the board's own functions */
#define PCI_HOTPLUG_SLOTS      32u
#define PCI_HOTPLUG_BUSES      1u

typedef struct {
    AddressSpace *pio;
    /* GPE 1 is to be raised. [control] */
    void (*notify)(void *opaque);
    /* The guest has let go of the functions of a slot. [vcpu] */
    void (*ejected)(void *opaque, unsigned bus, unsigned slot);
    void *opaque;
} PciHotplugArgs;

PciHotplug *pci_hotplug_new(const PciHotplugArgs *args, GError **error);
void pci_hotplug_free(PciHotplug *hotplug);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PciHotplug, pci_hotplug_free)
void pci_hotplug_reset(PciHotplug *hotplug);
/* See base/chip_state.h. */
void pci_hotplug_state(void *chip, ChipState *state);

/* There is something new in a slot. [control] */
void pci_hotplug_plugged(PciHotplug *hotplug, unsigned bus, unsigned slot);
/* Someone wants a slot's device back. [control] */
void pci_hotplug_request(PciHotplug *hotplug, unsigned bus, unsigned slot);
/* It is gone. [control] */
void pci_hotplug_unplugged(PciHotplug *hotplug, unsigned bus, unsigned slot);
