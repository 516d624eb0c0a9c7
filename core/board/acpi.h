/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI tables of the board: RSDP, RSDT, FADT, FACS, DSDT, MADT, WAET, as fw_cfg files and a
 * table-loader script that links them. Reference: ACPI 6.4; WAET: Microsoft's Windows ACPI emulated
 * devices table. Static: no table computes anything,
 * because an interpreter reads it at each boot. */
#pragma once

#include "board/board.h"
#include "board/pci_routes.h"

#include <glib.h>
#include <stdint.h>

#define ACPI_FILE_TABLES "etc/acpi/tables"
#define ACPI_FILE_RSDP   "etc/acpi/rsdp"
#define ACPI_FILE_LOADER "etc/table-loader"

typedef struct {
    unsigned cpus;
    uint32_t pci_memory_start;    /* what lies between here and the IOAPIC is PCI's */
    const GArray *routes;         /* PciRoute */
    const GPtrArray *isa_devices; /* BoardIsaDevice, beyond the board's own */
    bool display;                 /* a VGA-compatible adapter is there */
    bool hotplug;                 /* pci_hotplug.h */
} AcpiArgs;

typedef struct {
    GByteArray *tables, *rsdp, *loader;
} AcpiTables;

void acpi_tables_build(AcpiTables *tables, const AcpiArgs *args);
void acpi_tables_done(AcpiTables *tables);

/* The DSDT's contents after its header. */
void acpi_dsdt_append(GByteArray *aml, const AcpiArgs *args);
/* What hot-plug adds to the PCI root bridge, and beside \\_SB. */
void acpi_hotplug_append(GByteArray *aml);
void acpi_hotplug_append_event(GByteArray *aml);
