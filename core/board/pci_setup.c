/* SPDX-License-Identifier: Apache-2.0 */
/* PCI set-up for direct boots, through configuration space like firmware (PCI 3.0, 6.2.5.1). */
#include "board/pci_setup.h"

#include "base/log.h"
#include "board/pci_routes.h"

enum {
    REGISTER_COMMAND = 0x04,
    REGISTER_BAR0 = 0x10,
    REGISTER_BUS_NUMBERS = 0x18,
    REGISTER_IO_WINDOW = 0x1C,
    REGISTER_MEMORY_WINDOW = 0x20,
    REGISTER_PREFETCH_WINDOW = 0x24,
    REGISTER_INTERRUPT_LINE = 0x3C,
    COMMAND_IO = 1,
    COMMAND_MEMORY = 2,
    COMMAND_MASTER = 4,
    BAR_IO = 1,
    BAR_64BIT = 4,
    BAR_TYPE_MASK = 6,
    IO_START = 0xC000,
    IO_END = 0x10000,
    IO_STEP = 0x1000, /* of a bridge's windows */
    MEMORY_STEP = 0x100000,
    WINDOW_CLOSED = 0xFFF0, /* a base above every limit */
};

/* The ports that are left when the first range is full: above those of ISA cards, below the board's
 * hot-plug and power management. */
enum {
    IO_START_LOW = 0x1000,
    IO_END_LOW = 0xA000,
};

typedef struct {
    PciBus *bus;
    unsigned bus_index; /* whose functions are being set up */
    uint64_t io_next, io_end, memory_next, memory_end;
} Setup;

typedef struct {
    PciBus *bus;
    unsigned number, devfn;
} Place;

static Place
place_of(const Setup *setup, const PciFunction *function)
{
    return (Place){setup->bus, setup->bus_index, pci_function_devfn(function)};
}

static uint32_t
read_config(const Place *place, uint16_t offset, unsigned size)
{
    return pci_bus_config_read(place->bus, place->number, place->devfn, offset, size);
}

static void
write_config(const Place *place, uint16_t offset, unsigned size, uint32_t value)
{
    pci_bus_config_write(place->bus, place->number, place->devfn, offset, size, value);
}

static uint32_t
probe(const Place *place, uint16_t offset)
{
    write_config(place, offset, 4, UINT32_MAX);
    return read_config(place, offset, 4);
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

static uint64_t
take_io(Setup *setup, uint64_t size)
{
    uint64_t base = take(&setup->io_next, setup->io_end, size);

    if (base == 0 && setup->io_end == IO_END) {
        setup->io_next = IO_START_LOW;
        setup->io_end = IO_END_LOW;
        base = take(&setup->io_next, setup->io_end, size);
    }
    return base;
}

/* Returns how many BAR registers the BAR takes. */
static unsigned
place_bar(Setup *setup, const PciFunction *function, unsigned bar)
{
    const Place place = place_of(setup, function);
    uint16_t offset = (uint16_t)(REGISTER_BAR0 + 4 * bar);
    uint32_t low = probe(&place, offset);
    bool is_io = (low & BAR_IO) != 0;
    bool is_64bit = !is_io && (low & BAR_TYPE_MASK) == BAR_64BIT;
    uint64_t mask = low & (is_io ? ~UINT32_C(3) : ~UINT32_C(15));
    uint64_t base;

    if (mask == 0 && !is_64bit) {
        return 1; /* absent */
    }
    mask |= is_io ? UINT64_C(0xFFFFFFFFFFFF0000) : UINT64_C(0xFFFFFFFF00000000);
    if (is_64bit) {
        mask = (mask & UINT32_MAX) | (uint64_t)probe(&place, offset + 4) << 32;
    }
    base =
        is_io ? take_io(setup, ~mask + 1) : take(&setup->memory_next, setup->memory_end, ~mask + 1);
    if (base == 0) {
        log_warn("pci", "no room for BAR %u of %s, ignoring it", bar, pci_function_name(function));
    }
    write_config(&place, offset, 4, (uint32_t)base);
    if (is_64bit) {
        write_config(&place, offset + 4, 4, (uint32_t)(base >> 32));
    }
    return is_64bit ? 2 : 1;
}

static void
set_up_function(PciFunction *function, void *opaque)
{
    Setup *setup = opaque;
    const Place place = place_of(setup, function);
    unsigned slot, pin;

    if (pci_function_bus(function) != setup->bus_index || pci_function_leads_to(function) != 0) {
        return;
    }
    for (unsigned bar = 0; bar < PCI_BAR_COUNT;) {
        bar += place_bar(setup, function, bar);
    }
    pin = pci_function_board_pin(function, &slot);
    if (pin >= 1 && pin <= 4) {
        unsigned devfn = setup->bus_index == 0 ? place.devfn : PCI_DEVFN(slot, 0);
        write_config(&place, REGISTER_INTERRUPT_LINE, 1, pci_route_gsi(devfn, pin));
    }
    write_config(&place, REGISTER_COMMAND, 2,
                 read_config(&place, REGISTER_COMMAND, 2) | COMMAND_IO | COMMAND_MEMORY);
}

/* Base and limit of a window, as its registers have them; shift: of an address. */
static uint32_t
window(uint64_t from, uint64_t to, unsigned shift, unsigned width)
{
    uint32_t base = from < to ? (uint32_t)(from >> shift) : WINDOW_CLOSED & ((1u << width) - 1);
    uint32_t limit = from < to ? (uint32_t)((to - 1) >> shift) : 0;

    return base | limit << width;
}

static uint64_t
round_up(uint64_t value, uint64_t step)
{
    return (value + step - 1) / step * step;
}

/* A bridge's bus has the bridge's index as its number. Its functions are placed one behind the
 * other, and the windows are what they took; the ports come from one range. */
static void
set_up_bridge(PciFunction *function, void *opaque)
{
    Setup *setup = opaque;
    const Place place = place_of(setup, function);
    unsigned index = pci_function_leads_to(function);
    uint64_t io, memory;

    if (index == 0) {
        return;
    }
    write_config(&place, REGISTER_BUS_NUMBERS, 4, index << 8 | index << 16);
    setup->io_next = round_up(setup->io_next, IO_STEP);
    if (setup->io_next + IO_STEP > setup->io_end && setup->io_end == IO_END) {
        setup->io_next = IO_START_LOW;
        setup->io_end = IO_END_LOW;
    }
    io = setup->io_next;
    memory = setup->memory_next = round_up(setup->memory_next, MEMORY_STEP);
    setup->bus_index = index;
    pci_bus_foreach(setup->bus, set_up_function, setup);
    setup->bus_index = 0;
    setup->io_next = round_up(setup->io_next, IO_STEP);
    setup->memory_next = round_up(setup->memory_next, MEMORY_STEP);
    write_config(&place, REGISTER_IO_WINDOW, 2, window(io, setup->io_next, 8, 8));
    write_config(&place, REGISTER_MEMORY_WINDOW, 4, window(memory, setup->memory_next, 16, 16));
    write_config(&place, REGISTER_PREFETCH_WINDOW, 4, window(0, 0, 16, 16));
    write_config(&place, REGISTER_COMMAND, 2, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER);
}

void
pci_setup(PciBus *bus, uint32_t memory_start, uint32_t memory_end)
{
    Setup setup = {.bus = bus,
                   .io_next = IO_START,
                   .io_end = IO_END,
                   .memory_next = memory_start,
                   .memory_end = memory_end};

    pci_bus_foreach(bus, set_up_function, &setup);
    pci_bus_foreach(bus, set_up_bridge, &setup);
}
