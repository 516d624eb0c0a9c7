/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the board share. */
#pragma once

#include "board/acpi.h"
#include "board/board.h"
#include "board/fw_cfg.h"
#include "board/i440fx.h"
#include "board/i8042.h"
#include "board/i8237.h"
#include "board/i8254.h"
#include "board/i8259.h"
#include "board/ioapic.h"
#include "board/mc146818.h"
#include "board/msi_memory.h"
#include "board/pci_hotplug.h"
#include "board/piix3.h"
#include "board/piix4_pm.h"
#include "board/smbios.h"

struct Board {
    PhysicalBus bus;
    IrqLines *irqs;
    unsigned cpus;
    bool own_irqchip;
    uint8_t uuid[16]; /* in the order of the text */
    void (*request)(void *opaque, BoardRequest request);
    void (*ejected)(void *opaque, unsigned slot);
    void (*extint)(void *opaque, bool level);
    void *opaque;

    MsiController *msi;
    MsiMemory *msi_memory; /* NULL: msi is somebody else's */
    PciBus *pci;
    I440fx *host_bridge;
    Piix3 *isa_bridge;
    Piix4Pm *power;      /* NULL without ACPI */
    PciHotplug *hotplug; /* NULL without it */
    IsaDma *isa_dma;
    I8259 *pic; /* these three: NULL unless own_irqchip */
    Ioapic *ioapic;
    I8254 *pit;
    Mc146818 *rtc;
    I8042 *keyboard;
    FwCfg *fw_cfg;

    GPtrArray *isa_devices; /* BoardIsaDevice, with hid owned */
    AcpiTables acpi;        /* empty without ACPI, and before board_finalize() */
    Smbios smbios;
    GByteArray *mp_config;
};

/* Guest RAM below 4 GiB ends here; PCI memory starts. */
static inline uint32_t
board_pci_memory_start(const Board *board)
{
    return (uint32_t)guest_memory_low_top(board->bus.memory);
}

/* Build what fw_cfg and board_place_tables() hand out: SMBIOS with the board,
 * the rest at the end. */
bool board_build_smbios(Board *board, const BoardIdentity *identity, GError **error);
bool board_build_tables(Board *board, GError **error);
void board_free_tables(Board *board);
