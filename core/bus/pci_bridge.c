/* SPDX-License-Identifier: Apache-2.0 */
/* A PCI-to-PCI bridge between the bus of the board and one with more slots: bus numbers, windows,
 * and the rotation of interrupt pins. Reference: PCI-to-PCI Bridge Architecture 1.2, chapter 3;
 * identity: DEC 21154.
 *
 * What is behind a bridge may master the bus whatever the bridge's own COMMAND says: firmware that
 * boots from such a disk sets the bit in the disk's function only. */
#include "bus/pci_internal.h"

#include "base/error.h"

#define VENDOR_DEC        0x1011
#define DEVICE_21154      0x0026
#define REVISION_21154    0x05
#define CLASS_BRIDGE      0x06
#define SUBCLASS_PCI      0x04
#define HEADER_BRIDGE     0x01
#define STATUS_66_FAST_BB 0xA0 /* 66 MHz, fast back-to-back */
#define STATUS_DEVSEL     0x02 /* medium; high byte */

enum {
    REG_PRIMARY = 0x18,
    REG_SECONDARY = 0x19,
    REG_IO_BASE = 0x1C,
    REG_IO_LIMIT = 0x1D,
    REG_MEMORY_BASE = 0x20,
    REG_MEMORY_LIMIT = 0x22,
    REG_PREFETCH_BASE = 0x24,
    REG_PREFETCH_LIMIT = 0x26,
    REG_PREFETCH_BASE_UPPER = 0x28,
    REG_PREFETCH_LIMIT_UPPER = 0x2C,
    REG_CONTROL = 0x3E,
    CONTROL_RESET = 0x40,
};

typedef struct {
    uint16_t offset, length;
    uint8_t value[8], write_mask[8], clear_mask[8];
} BridgeRegisters;

/* Windows of I/O are 16 bits wide and of 4 KiB, of memory of 1 MiB; the prefetchable one has 64
 * bits. Bridge control: parity, SERR, master abort, reset, fast back-to-back, discard timers. */
static const BridgeRegisters registers[] = {
    {REG_PRIMARY, 4, {0}, {0xFF, 0xFF, 0xFF, 0xF8}, {0}},
    {REG_IO_BASE, 2, {0}, {0xF0, 0xF0}, {0}},
    {0x1E, 2, {STATUS_66_FAST_BB, STATUS_DEVSEL}, {0}, {0, 0xF9}},
    {REG_MEMORY_BASE, 4, {0}, {0xF0, 0xFF, 0xF0, 0xFF}, {0}},
    {REG_PREFETCH_BASE, 4, {1, 0, 1, 0}, {0xF0, 0xFF, 0xF0, 0xFF}, {0}},
    {REG_PREFETCH_BASE_UPPER, 8, {0}, {255, 255, 255, 255, 255, 255, 255, 255}, {0}},
    {0x30, 4, {0}, {0}, {0}},
    {REG_CONTROL, 2, {0}, {0xE3, 0x0B}, {0, 0x04}},
};

static void
bridge_written(void *opaque, uint16_t offset, unsigned size, uint32_t value)
{
    PciFunction *bridge = opaque;

    if (offset <= REG_CONTROL && offset + size > REG_CONTROL &&
        (value >> 8 * (REG_CONTROL - offset) & CONTROL_RESET) != 0) {
        pci_bridge_each(bridge, pci_function_reset);
    }
}

bool
pci_bus_add_bridge(PciBus *bus, unsigned devfn, GError **error)
{
    g_autofree char *name = g_strdup_printf("pci-bridge-%u", bus->bridge_count + 1);
    PciFunctionArgs args = {
        .name = name,
        .devfn = devfn,
        .vendor_id = VENDOR_DEC,
        .device_id = DEVICE_21154,
        .revision = REVISION_21154,
        .base_class = CLASS_BRIDGE,
        .sub_class = SUBCLASS_PCI,
        .header_type = HEADER_BRIDGE,
        .config_written = bridge_written,
    };
    PciFunction *bridge;

    if (bus->bridge_count == PCI_BRIDGES_MAX) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG, "there can be %u PCI bridges",
                    PCI_BRIDGES_MAX);
        return false;
    }
    bridge = pci_function_new(bus, &args, error);
    if (bridge == NULL) {
        return false;
    }
    bridge->opaque = bridge;
    for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++) {
        const BridgeRegisters *at = &registers[i];
        (void)pci_function_set_config(bridge, at->offset, at->length, at->value, at->write_mask,
                                      at->clear_mask);
    }
    bus->bridges[bus->bridge_count++] = bridge;
    bridge->leads_to = bus->bridge_count;
    return true;
}

void
pci_bridge_each(PciFunction *bridge, void (*each)(PciFunction *function))
{
    PciBus *bus = bridge->bus;

    for (unsigned devfn = 0; devfn < PCI_BUS_DEVFNS; devfn++) {
        PciFunction *function = pci_function_enter(bus, pci_place(bridge->leads_to, devfn));
        if (function != NULL) {
            each(function);
            pci_function_leave(function);
        }
    }
}

/* A base and a limit of 16 bits whose low 4 are not part of the address. */
static bool
passes(const uint8_t *config, unsigned base, unsigned limit, uint64_t first, uint64_t last)
{
    uint64_t from = (uint64_t)(pci_get16(&config[base]) & 0xFFF0) << 16;
    uint64_t to = (uint64_t)(pci_get16(&config[limit]) & 0xFFF0) << 16 | 0xFFFFF;

    if (base == REG_PREFETCH_BASE) {
        from |= (uint64_t)pci_get32(&config[REG_PREFETCH_BASE_UPPER]) << 32;
        to |= (uint64_t)pci_get32(&config[REG_PREFETCH_LIMIT_UPPER]) << 32;
    }
    return from <= first && last <= to;
}

bool
pci_bridge_passes(const PciFunction *function, bool is_io, uint64_t first, uint64_t last)
{
    const PciFunction *bridge = pci_bridge_of(function);
    unsigned command;

    if (bridge == NULL) {
        return true;
    }
    command = atomic_load(&bridge->command);
    if (is_io) {
        uint64_t from = (uint64_t)(bridge->config[REG_IO_BASE] & 0xF0) << 8;
        uint64_t to = (uint64_t)(bridge->config[REG_IO_LIMIT] & 0xF0) << 8 | 0xFFF;
        return (command & PCI_COMMAND_IO) != 0 && from <= first && last <= to;
    }
    return (command & PCI_COMMAND_MEMORY) != 0 &&
           (passes(bridge->config, REG_MEMORY_BASE, REG_MEMORY_LIMIT, first, last) ||
            passes(bridge->config, REG_PREFETCH_BASE, REG_PREFETCH_LIMIT, first, last));
}

unsigned
pci_bus_with_number_locked(const PciBus *bus, unsigned number)
{
    for (unsigned i = 0; i < bus->bridge_count; i++) {
        if (bus->bridges[i]->config[REG_SECONDARY] == number) {
            return i + 1;
        }
    }
    return PCI_NO_BUS;
}

unsigned
pci_function_bus_number(const PciFunction *function)
{
    const PciFunction *bridge = pci_bridge_of(function);

    return bridge != NULL ? pci_function_peek(bridge, REG_SECONDARY, 1) : 0;
}

unsigned
pci_function_board_pin(const PciFunction *function, unsigned *slot)
{
    const PciFunction *bridge = pci_bridge_of(function);
    unsigned pin = function->pin;

    *slot = function->devfn >> 3;
    if (bridge != NULL && pin != 0) {
        pin = ((*slot + pin - 1) & 3) + 1; /* table 9-1: turned by one for each slot */
        *slot = bridge->devfn >> 3;
    }
    return pin;
}

char *
pci_function_parent_path(const PciFunction *function)
{
    const PciFunction *bridge = pci_bridge_of(function);
    unsigned devfn = bridge != NULL ? bridge->devfn : 0;

    if (bridge == NULL) {
        return g_strdup("/pci@i0cf8");
    }
    return (devfn & 7) != 0 ? g_strdup_printf("/pci@i0cf8/pci-bridge@%x,%x", devfn >> 3, devfn & 7)
                            : g_strdup_printf("/pci@i0cf8/pci-bridge@%x", devfn >> 3);
}
