/* SPDX-License-Identifier: Apache-2.0 */
/* PCI set-up for direct boots, through configuration space like firmware (PCI 3.0, 6.2.5.1). */
#include "board/pci_setup.h"

#include "base/log.h"
#include "board/pci_routes.h"

enum {
    REGISTER_COMMAND = 0x04,
    REGISTER_HEADER_TYPE = 0x0E,
    REGISTER_BAR0 = 0x10,
    REGISTER_INTERRUPT_LINE = 0x3C,
    REGISTER_INTERRUPT_PIN = 0x3D,
    COMMAND_IO = 1,
    COMMAND_MEMORY = 2,
    HEADER_TYPE_MASK = 0x7F,
    BAR_IO = 1,
    BAR_64BIT = 4,
    BAR_TYPE_MASK = 6,
    IO_START = 0xC000,
    IO_END = 0x10000,
};

typedef struct {
    PciBus *bus;
    uint64_t io_next, memory_next, memory_end;
} Setup;

static uint32_t
probe(const Setup *setup, unsigned devfn, uint16_t offset)
{
    pci_bus_config_write(setup->bus, 0, devfn, offset, 4, UINT32_MAX);
    return pci_bus_config_read(setup->bus, 0, devfn, offset, 4);
}

/* An aligned range of size bytes (a power of two), or 0. */
static uint64_t
take(uint64_t *next, uint64_t end, uint64_t size)
{
    uint64_t base = (*next + size - 1) & ~(size - 1);

    if (size > end || base > end - size) {
        return 0;
    }
    *next = base + size;
    return base;
}

/* Returns how many BAR registers the BAR takes. */
static unsigned
place_bar(Setup *setup, PciFunction *function, unsigned bar)
{
    unsigned devfn = pci_function_devfn(function);
    uint16_t offset = (uint16_t)(REGISTER_BAR0 + 4 * bar);
    uint32_t low = probe(setup, devfn, offset);
    bool is_io = (low & BAR_IO) != 0;
    bool is_64bit = !is_io && (low & BAR_TYPE_MASK) == BAR_64BIT;
    uint64_t mask = low & (is_io ? ~UINT32_C(3) : ~UINT32_C(15));
    uint64_t base;

    if (mask == 0 && !is_64bit) {
        return 1; /* absent */
    }
    mask |= is_io ? UINT64_C(0xFFFFFFFFFFFF0000) : UINT64_C(0xFFFFFFFF00000000);
    if (is_64bit) {
        mask = (mask & UINT32_MAX) | (uint64_t)probe(setup, devfn, offset + 4) << 32;
    }
    base = is_io ? take(&setup->io_next, IO_END, ~mask + 1)
                 : take(&setup->memory_next, setup->memory_end, ~mask + 1);
    if (base == 0) {
        log_warn("pci", "no room for BAR %u of %s, ignoring it", bar, pci_function_name(function));
    }
    pci_bus_config_write(setup->bus, 0, devfn, offset, 4, (uint32_t)base);
    if (is_64bit) {
        pci_bus_config_write(setup->bus, 0, devfn, offset + 4, 4, (uint32_t)(base >> 32));
    }
    return is_64bit ? 2 : 1;
}

static void
set_up_function(PciFunction *function, void *opaque)
{
    Setup *setup = opaque;
    unsigned devfn = pci_function_devfn(function);
    uint32_t header = pci_bus_config_read(setup->bus, 0, devfn, REGISTER_HEADER_TYPE, 1);
    uint32_t pin = pci_bus_config_read(setup->bus, 0, devfn, REGISTER_INTERRUPT_PIN, 1);
    uint32_t command = pci_bus_config_read(setup->bus, 0, devfn, REGISTER_COMMAND, 2);

    if ((header & HEADER_TYPE_MASK) != 0) {
        return;
    }
    for (unsigned bar = 0; bar < PCI_BAR_COUNT;) {
        bar += place_bar(setup, function, bar);
    }
    if (pin >= 1 && pin <= 4) {
        pci_bus_config_write(setup->bus, 0, devfn, REGISTER_INTERRUPT_LINE, 1,
                             pci_route_gsi(devfn, pin));
    }
    pci_bus_config_write(setup->bus, 0, devfn, REGISTER_COMMAND, 2,
                         command | COMMAND_IO | COMMAND_MEMORY);
}

void
pci_setup(PciBus *bus, uint32_t memory_start, uint32_t memory_end)
{
    Setup setup = {
        .bus = bus, .io_next = IO_START, .memory_next = memory_start, .memory_end = memory_end};

    pci_bus_foreach(bus, set_up_function, &setup);
}
