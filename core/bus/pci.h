/* SPDX-License-Identifier: Apache-2.0 */
/* PCI functions and configuration space, owned by the core: a device declares what it is and gets
 * its BARs mapped, its capabilities listed and its interrupts routed; it never sees a configuration
 * access except as a notification. Reference: PCI Local Bus 3.0; MSI-X: PCI 3.0, 6.8. */
#pragma once

#include "base/chip_state.h"
#include "bus/address_space.h"
#include "bus/irq.h"
#include "bus/msi.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct PciBus PciBus;
typedef struct PciFunction PciFunction;

#define PCI_DEVFN(slot, function) ((unsigned)(((slot) << 3) | (function)))
#define PCI_DEVFN_AUTO            0xFFFFu
#define PCI_BAR_COUNT             6
#define PCI_ROM_BAR               6
#define PCI_BRIDGES_MAX           8u

typedef struct {
    uint64_t size; /* 0: absent; power of two; at least 4 for I/O, 16 for memory */
    bool is_io;
    bool is_64bit; /* takes the next slot too */
    bool prefetchable;
} PciBarArgs;

typedef struct {
    const char *name;
    unsigned bus;   /* 0: the board's; n: the one behind the n-th bridge */
    unsigned devfn; /* or PCI_DEVFN_AUTO: the first free slot */
    uint16_t vendor_id, device_id;
    uint16_t subsystem_vendor_id, subsystem_id;
    uint8_t revision, prog_if, sub_class, base_class;
    uint8_t header_type;   /* 0 here; the bus sets the multifunction bit */
    uint8_t interrupt_pin; /* 0 none, 1 INTA .. 4 INTD */
    PciBarArgs bars[PCI_BAR_COUNT];
    const void *rom; /* expansion ROM image, copied; or NULL */
    uint32_t rom_length;
    /* Called after a write to configuration space took effect (not under the bus's lock). */
    void (*config_written)(void *opaque, uint16_t offset, unsigned size, uint32_t value);
    /* Called before 40h-FFh are read, so that a poke can change what is read. */
    void (*config_reading)(void *opaque, uint16_t offset, unsigned size);
    /* Called after COMMAND's bus-master, I/O or memory bit changed. */
    void (*command_changed)(void *opaque, uint16_t command);
    void *opaque;
    GMutex *lock; /* taken around the three calls above, or NULL */
} PciFunctionArgs;

/* set_pirq: the chipset's PIRQ inputs 0-3 (wired-OR done by the bus); called in order, under a lock
 * of the bus: must not call back into it. */
typedef struct {
    AddressSpace *pio;
    AddressSpace *mmio;
    MsiController *msi;
    void (*set_pirq)(void *opaque, unsigned pirq, bool level);
    void *opaque;
} PciBusArgs;

PciBus *pci_bus_new(const PciBusArgs *args);
void pci_bus_free(PciBus *bus);
/* Configuration space, MSI-X tables and pending messages of all functions, see base/chip_state.h.
 */
void pci_bus_state(void *bus, ChipState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PciBus, pci_bus_free)

/* A bridge to another bus, which is numbered from 1 here, in the order of these calls, whatever
 * number the guest gives it. ERROR_CONFIG: as below, or there are too many. [control] */
bool pci_bus_add_bridge(PciBus *bus, unsigned devfn, GError **error);

/* ERROR_CONFIG: devfn taken, bus full (says which slots are taken by what), a bad BAR. [control] */
PciFunction *pci_function_new(PciBus *bus, const PciFunctionArgs *args, GError **error);
/* Returns when no guest access is inside the function any more: not under args.lock, not from the
 * function's own callbacks. Takes NULL. [control] */
void pci_function_free(PciFunction *function);
/* From now on the guest finds and reaches nothing of it any more; for a device about to go. Like
 * pci_function_free(), waits for accesses that are inside. [control] */
void pci_function_hide(PciFunction *function);
/* Reset values: COMMAND 0, BARs unplaced, INTx low, MSI/MSI-X off and masked. Reports a COMMAND
 * that changed, under args.lock like a guest's write; config_written is not called. [control] */
void pci_function_reset(PciFunction *function);
unsigned pci_function_devfn(const PciFunction *function);
unsigned pci_function_bus(const PciFunction *function); /* as in its arguments */
unsigned
pci_function_bus_number(const PciFunction *function); /* as the guest counts; 0: none yet */
/* The path of its bus in the firmware's device tree. */
char *pci_function_parent_path(const PciFunction *function);
/* The bus that a bridge leads to; 0: it is no bridge. */
unsigned pci_function_leads_to(const PciFunction *function);
/* The pin (0: none) and slot of the board's bus at which its INTx arrives: a bridge turns pins. */
unsigned pci_function_board_pin(const PciFunction *function, unsigned *slot);
uint16_t pci_function_command(const PciFunction *function); /* current COMMAND; wait-free [any] */
void pci_function_set_intx(PciFunction *function, bool level); /* honours INTX_DISABLE [any] */

/* Declares length bytes at offset: reset value and which bits the guest may write. write_mask NULL:
 * read-only. write1clear NULL: none. -EINVAL: outside 40h-FFh or over a capability (the header's
 * own registers 04h-3Fh may be declared too where the chip differs from the usual). [control] */
int pci_function_set_config(PciFunction *function, uint16_t offset, uint16_t length,
                            const uint8_t *value, const uint8_t *write_mask,
                            const uint8_t *write1clear);
/* Changes what the guest reads, now (status bits of the device's own registers). [any] */
void pci_function_poke(PciFunction *function, uint16_t offset, unsigned size, uint32_t value);
uint32_t pci_function_peek(const PciFunction *function, uint16_t offset, unsigned size);
/* Adds a capability of length + 2 bytes at the end of the list; data and write_mask (NULL:
 * read-only) exclude the two header bytes. offset 0: the first free place. Returns the offset, or
 * -ENOSPC, -EINVAL. [control] */
int pci_function_add_capability(PciFunction *function, uint8_t id, uint8_t offset, uint8_t length,
                                const uint8_t *data, const uint8_t *write_mask);

/* A region within a BAR; the bus maps and moves it with the BAR. Its moved() callback must neither
 * call back into this header's [control] functions nor access configuration space. [control] */
Region *pci_function_map_bar(PciFunction *function, unsigned bar, uint64_t offset, uint64_t length,
                             const RegionOps *ops, void *region_opaque, GMutex *lock,
                             GError **error);
void pci_function_unmap_bar(PciFunction *function, Region *region);
/* Where the guest put a BAR, or UINT64_MAX when it is not decoded now. [any] */
uint64_t pci_function_bar_address(const PciFunction *function, unsigned bar);
uint64_t pci_function_bar_size(const PciFunction *function, unsigned bar); /* 0: there is none */

/* MSI-X: vectors 1..2048, table and pending bits at the given offsets of a BAR the function
 * declared. MSI: vectors 1, 2, 4 .. 32. -EINVAL on nonsense, -ENOSPC. [control] */
int pci_function_enable_msix(PciFunction *function, unsigned vectors, unsigned bar,
                             uint32_t table_offset, uint32_t pba_offset);
int pci_function_enable_msi(PciFunction *function, unsigned vectors);
bool pci_function_msix_active(const PciFunction *function); /* the guest enabled MSI-X [any] */
bool pci_function_msi_active(const PciFunction *function);
void pci_function_fire(PciFunction *function, unsigned vector);          /* MSI-X, else MSI [any] */
int pci_function_vector_eventfd(PciFunction *function, unsigned vector); /* or -EINVAL */

/* How INTA-INTD (pin 1-4) of a slot is wired to PIRQA-PIRQD (0-3): a PIIX board's rotation, which
 * SeaBIOS takes for granted and the DSDT's _PRT must repeat. Slot 1 INTA is PIRQA, slot 2 INTA is
 * PIRQB. */
static inline unsigned
pci_slot_pirq(unsigned slot, unsigned pin)
{
    return (slot - 1 + pin - 1) & 3;
}

/* Configuration mechanism and enumeration. size 1, 2 or 4; absent functions read all ones. */
uint32_t pci_bus_config_read(PciBus *bus, unsigned bus_number, unsigned devfn, uint16_t offset,
                             unsigned size);
void pci_bus_config_write(PciBus *bus, unsigned bus_number, unsigned devfn, uint16_t offset,
                          unsigned size, uint32_t value);
void pci_bus_reset(PciBus *bus);
void pci_bus_foreach(PciBus *bus, void (*each)(PciFunction *function, void *opaque), void *opaque);
const char *pci_function_name(const PciFunction *function);
