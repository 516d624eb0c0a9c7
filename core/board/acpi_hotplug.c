/* SPDX-License-Identifier: Apache-2.0 */
/* Hot-plug in the DSDT. Each slot is a device with _SUN, _ADR and _EJ0, by which an operating
 * system knows that it can be filled and emptied. GPE 1 runs \_GPE._E01, which asks the registers
 * of pci_hotplug.h what changed and notifies those slots; _EJ0 gives a slot back. BLCK keeps the
 * choice of a bus and the access that follows together. */
#include "board/acpi.h"
#include "board/aml.h"
#include "board/pci_hotplug.h"

#include <stdio.h>

enum {
    NOTIFY_DEVICE_CHECK = 1, /* look: something is there (ACPI 6.4, table 5.6) */
    NOTIFY_EJECT_REQUEST = 3,
    STATUS_PRESENT_HIDDEN = 0x0B,
};

static void
slot_name(char name[8], unsigned slot)
{
    (void)snprintf(name, 8, "S%02X", (slot << 3) & 0xFF);
}

/* Keeps others away from the registers. */
static void
append_claim(GByteArray *aml)
{
    g_autoptr(GByteArray) resources = g_byte_array_new();
    AmlMark device = aml_open_device(aml, "PHPR");

    aml_name(aml, "_HID");
    aml_hardware_id(aml, "PNP0A06");
    aml_name(aml, "_UID");
    aml_string(aml, "PCI Hotplug resources");
    aml_name(aml, "_STA");
    aml_integer(aml, STATUS_PRESENT_HIDDEN);
    aml_resource_io(resources, PCI_HOTPLUG_BASE, PCI_HOTPLUG_SIZE);
    aml_name(aml, "_CRS");
    aml_resources(aml, resources);
    aml_close(aml, device);
}

static void
append_registers(GByteArray *aml)
{
    static const char *const events[] = {"PCIU", "PCID", NULL};
    static const char *const eject[] = {"B0EJ", NULL};
    static const char *const bus[] = {"BNUM", NULL};

    aml_io_region(aml, "PCST", PCI_HOTPLUG_BASE, PCI_HOTPLUG_EJECT);
    aml_dword_field(aml, "PCST", events);
    aml_io_region(aml, "SEJ", PCI_HOTPLUG_BASE + PCI_HOTPLUG_EJECT, 4);
    aml_dword_field(aml, "SEJ", eject);
    aml_io_region(aml, "BNMR", PCI_HOTPLUG_BASE + PCI_HOTPLUG_BUS, 4);
    aml_dword_field(aml, "BNMR", bus);
    aml_mutex(aml, "BLCK");
}

/* PCEJ(bus, slot): B0EJ = 1 << slot. */
static void
append_eject(GByteArray *aml)
{
    AmlMark method = aml_open_method(aml, "PCEJ", 2, false);

    aml_acquire(aml, "BLCK");
    aml_store(aml);
    aml_argument(aml, 0);
    aml_path(aml, "BNUM");
    aml_store(aml);
    aml_shift_left(aml);
    aml_integer(aml, 1);
    aml_argument(aml, 1);
    aml_end_target(aml);
    aml_path(aml, "B0EJ");
    aml_release(aml, "BLCK");
    aml_close(aml, method);
}

static void
append_slot(GByteArray *aml, unsigned bus, unsigned slot)
{
    AmlMark device, method;
    char name[8];

    slot_name(name, slot);
    device = aml_open_device(aml, name);
    aml_name(aml, "_SUN");
    aml_integer(aml, slot);
    aml_name(aml, "_ADR");
    aml_integer(aml, (uint64_t)slot << 16);
    method = aml_open_method(aml, "_EJ0", 1, false);
    aml_path(aml, "PCEJ");
    aml_integer(aml, bus);
    aml_integer(aml, slot);
    aml_close(aml, method);
    aml_close(aml, device);
}

/* DVNT(slots, event): notifies each slot whose bit is set. */
static void
append_notify(GByteArray *aml)
{
    AmlMark method = aml_open_method(aml, "DVNT", 2, false);

    for (unsigned slot = PCI_HOTPLUG_FIRST_SLOT; slot < PCI_HOTPLUG_SLOTS; slot++) {
        AmlMark test = aml_open_if(aml);
        char name[8];
        aml_and(aml);
        aml_argument(aml, 0);
        aml_integer(aml, 1u << slot);
        aml_end_target(aml);
        slot_name(name, slot);
        aml_notify(aml);
        aml_path(aml, name);
        aml_argument(aml, 1);
        aml_close(aml, test);
    }
    aml_close(aml, method);
}

static void
append_event(GByteArray *aml, const char *slots, unsigned event)
{
    aml_path(aml, "DVNT");
    aml_path(aml, slots);
    aml_integer(aml, event);
}

/* PCNT(): what the registers say of this bus. */
static void
append_look(GByteArray *aml, unsigned bus)
{
    AmlMark method = aml_open_method(aml, "PCNT", 0, false);

    aml_store(aml);
    aml_integer(aml, bus);
    aml_path(aml, "BNUM");
    append_event(aml, "PCIU", NOTIFY_DEVICE_CHECK);
    append_event(aml, "PCID", NOTIFY_EJECT_REQUEST);
    aml_close(aml, method);
}

void
acpi_hotplug_append(GByteArray *aml)
{
    append_claim(aml);
    append_registers(aml);
    append_eject(aml);
    for (unsigned slot = PCI_HOTPLUG_FIRST_SLOT; slot < PCI_HOTPLUG_SLOTS; slot++) {
        append_slot(aml, 0, slot);
    }
    append_notify(aml);
    append_look(aml, 0);
}

void
acpi_hotplug_append_event(GByteArray *aml)
{
    AmlMark scope = aml_open_scope(aml, "\\_GPE"), method;

    method = aml_open_method(aml, "_E01", 0, true);
    aml_acquire(aml, "\\_SB.PCI0.BLCK");
    aml_path(aml, "\\_SB.PCI0.PCNT");
    aml_release(aml, "\\_SB.PCI0.BLCK");
    aml_close(aml, method);
    aml_close(aml, scope);
}
