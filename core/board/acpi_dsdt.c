/* SPDX-License-Identifier: Apache-2.0 */
/* The DSDT: S5, the PCI root with its windows and interrupt routes, the board's ISA devices and
 * those of plugins, the processors. */
#include "board/acpi.h"
#include "board/aml.h"
#include "board/blob.h"
#include "board/ioapic.h"
#include "board/piix4_pm.h"

#include <stdio.h>

enum {
    BUS_LAST = 0xFF,
    CONFIG_PORTS = 0xCF8,
    CONFIG_PORTS_LENGTH = 8,
    VGA_FIRST = 0xA0000,
    VGA_LAST = 0xBFFFF,
    ISA_BRIDGE_ADDRESS = 1 << 16, /* slot 1, function 0 */
    ANY_FUNCTION = 0xFFFF,
    STATUS_PRESENT_HIDDEN = 0x0B, /* present, enabled, working; not shown to the user */
    SMBUS_LENGTH = 0x10,
};

/* The board's own devices. PNP0C02 keeps others away from ports that belong to no device of the
 * list. */
static const BoardIsaDevice board_devices[] = {
    {.hid = "PNP0000", .io = {{0x20, 2}, {0xA0, 2}}, .irq = 2, .dma = -1},
    {.hid = "PNP0100", .io = {{0x40, 4}}, .irq = 0, .dma = -1},
    {.hid = "PNP0200", .io = {{0x00, 0x10}, {0x80, 0x10}, {0xC0, 0x20}}, .irq = -1, .dma = 4},
    {.hid = "PNP0303", .io = {{0x60, 1}, {0x64, 1}}, .irq = 1, .dma = -1},
    {.hid = "PNP0F13", .irq = 12, .dma = -1},
    {.hid = "PNP0800", .io = {{0x61, 1}}, .irq = -1, .dma = -1},
    {.hid = "PNP0B00", .io = {{0x70, 4}}, .irq = 8, .dma = -1},
    {.hid = "PNP0C02",
     .uid = 0,
     .io = {{0x92, 1}, {PIIX4_PM_SMI_CMD, 2}, {0x4D0, 2}, {PIIX4_PM_GPE0_BASE, PIIX4_PM_GPE0_SIZE}},
     .irq = -1,
     .dma = -1},
    {.hid = "PNP0C02",
     .uid = 1,
     .io = {{PIIX4_PM_DEFAULT_BASE, PIIX4_PM_IO_SIZE}, {PIIX4_PM_DEFAULT_SMBASE, SMBUS_LENGTH}},
     .irq = -1,
     .dma = -1},
};

static void
named_integer(GByteArray *aml, const char *name, uint64_t value)
{
    aml_name(aml, name);
    aml_integer(aml, value);
}

static void
named_id(GByteArray *aml, const char *id)
{
    aml_name(aml, "_HID");
    aml_hardware_id(aml, id);
}

/* SLP_TYP for PM1a and PM1b. No _S3: nothing declares what does not work end to end. */
static void
append_s5(GByteArray *aml)
{
    AmlMark package;

    aml_name(aml, "\\_S5");
    package = aml_open_package(aml, 4);
    aml_integer(aml, PIIX4_PM_SLP_TYP_S5);
    aml_integer(aml, PIIX4_PM_SLP_TYP_S5);
    aml_integer(aml, 0);
    aml_integer(aml, 0);
    aml_close(aml, package);
}

static void
append_pci_windows(GByteArray *aml, const AcpiArgs *args)
{
    g_autoptr(GByteArray) resources = g_byte_array_new();

    aml_resource_bus_window(resources, 0, BUS_LAST);
    aml_resource_io(resources, CONFIG_PORTS, CONFIG_PORTS_LENGTH);
    aml_resource_io_window(resources, 0, CONFIG_PORTS - 1);
    aml_resource_io_window(resources, CONFIG_PORTS + CONFIG_PORTS_LENGTH, UINT16_MAX);
    aml_resource_memory_window(resources, VGA_FIRST, VGA_LAST);
    aml_resource_memory_window(resources, args->pci_memory_start, (uint32_t)IOAPIC_BASE - 1);
    aml_name(aml, "_CRS");
    aml_resources(aml, resources);
}

/* A plain package with GSI numbers: no link devices,
 * no method to run for each interrupt looked up. */
static void
append_routes(GByteArray *aml, const GArray *routes)
{
    AmlMark table;

    aml_name(aml, "_PRT");
    table = aml_open_package(aml, (uint8_t)MIN(routes->len, UINT8_MAX));
    for (guint i = 0; i < routes->len && i < UINT8_MAX; i++) {
        const PciRoute *route = &g_array_index(routes, PciRoute, i);
        AmlMark entry = aml_open_package(aml, 4);
        aml_integer(aml, (uint32_t)route->slot << 16 | ANY_FUNCTION);
        aml_integer(aml, route->pin);
        aml_integer(aml, 0); /* the source is a GSI, */
        aml_integer(aml, route->gsi);
        aml_close(aml, entry);
    }
    aml_close(aml, table);
}

static void
append_isa_device(GByteArray *aml, const BoardIsaDevice *device, unsigned index)
{
    g_autoptr(GByteArray) resources = g_byte_array_new();
    char name[8];
    AmlMark mark;

    (void)snprintf(name, sizeof(name), "D%03X", index & 0xFFF);
    mark = aml_open_device(aml, name);
    named_id(aml, device->hid);
    named_integer(aml, "_UID", device->uid);
    for (unsigned i = 0; i < BOARD_ISA_IO_MAX; i++) {
        if (device->io[i].length > 0) {
            aml_resource_io(resources, device->io[i].base, device->io[i].length);
        }
    }
    if (device->irq >= 0) {
        aml_resource_irq(resources, (unsigned)device->irq);
    }
    if (device->dma >= 0) {
        aml_resource_dma(resources, (unsigned)device->dma);
    }
    aml_name(aml, "_CRS");
    aml_resources(aml, resources);
    aml_close(aml, mark);
}

static void
append_isa_bridge(GByteArray *aml, const AcpiArgs *args)
{
    AmlMark bridge = aml_open_device(aml, "ISA");
    unsigned index = 0;

    named_integer(aml, "_ADR", ISA_BRIDGE_ADDRESS);
    for (; index < G_N_ELEMENTS(board_devices); index++) {
        append_isa_device(aml, &board_devices[index], index);
    }
    for (guint i = 0; i < args->isa_devices->len; i++) {
        append_isa_device(aml, g_ptr_array_index(args->isa_devices, i), index + i);
    }
    aml_close(aml, bridge);
}

static void
append_fw_cfg(GByteArray *aml)
{
    g_autoptr(GByteArray) resources = g_byte_array_new();
    AmlMark device = aml_open_device(aml, "FWCF");

    named_id(aml, "QEMU0002");
    named_integer(aml, "_STA", STATUS_PRESENT_HIDDEN);
    aml_resource_io(resources, 0x510, 12);
    aml_name(aml, "_CRS");
    aml_resources(aml, resources);
    aml_close(aml, device);
}

static void
append_cpus(GByteArray *aml, unsigned cpus)
{
    for (unsigned i = 0; i < cpus; i++) {
        char name[8];
        AmlMark device;
        (void)snprintf(name, sizeof(name), "C%03X", i & 0xFFF);
        device = aml_open_device(aml, name);
        named_id(aml, "ACPI0007");
        named_integer(aml, "_UID", i); /* as in the MADT */
        aml_close(aml, device);
    }
}

void
acpi_dsdt_append(GByteArray *aml, const AcpiArgs *args)
{
    AmlMark scope, pci;

    append_s5(aml);
    scope = aml_open_scope(aml, "\\_SB");
    pci = aml_open_device(aml, "PCI0");
    named_id(aml, "PNP0A03");
    named_integer(aml, "_UID", 0);
    append_pci_windows(aml, args);
    append_routes(aml, args->routes);
    append_isa_bridge(aml, args);
    append_fw_cfg(aml);
    if (args->hotplug) {
        acpi_hotplug_append(aml);
    }
    aml_close(aml, pci);
    append_cpus(aml, args->cpus);
    aml_close(aml, scope);
    if (args->hotplug) {
        acpi_hotplug_append_event(aml);
    }
}
