/* SPDX-License-Identifier: Apache-2.0 */
/* Base address registers and the expansion ROM: what they decode, and the regions that move with
 * them. Reference: PCI Local Bus 3.0, 6.2.5. */
#include "base/error.h"
#include "bus/pci_internal.h"

#include <string.h>

#define BAR_IO_MIN       4u
#define BAR_IO_MAX       0x8000u
#define BAR_MEMORY_MIN   16u
#define BAR_32BIT_MAX    (UINT64_C(1) << 31)
#define BAR_64BIT_MAX    (UINT64_C(1) << 46)
#define BAR_TYPE_IO      0x1u
#define BAR_TYPE_64BIT   0x4u
#define BAR_PREFETCHABLE 0x8u
#define ROM_ENABLE       0x1u
#define ROM_SIZE_MIN     0x800u
#define ROM_SIZE_MAX     (16u << 20)
/* No processor addresses more; a BAR beyond it is written but decodes nothing. */
#define PHYSICAL_LIMIT (UINT64_C(1) << 52)

static bool
bar_error(const PciFunctionArgs *args, unsigned bar, const char *what, GError **error)
{
    g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG, "pci function '%s': BAR %u %s", args->name,
                bar, what);
    return false;
}

static bool
bar_check(const PciFunctionArgs *args, unsigned bar, GError **error)
{
    const PciBarArgs *want = &args->bars[bar];

    if ((want->size & (want->size - 1)) != 0) {
        return bar_error(args, bar, "has a size that is no power of two", error);
    }
    if (want->is_io) {
        if (want->is_64bit || want->size < BAR_IO_MIN || want->size > BAR_IO_MAX) {
            return bar_error(args, bar, "of I/O ports must have 4 to 32768 of them", error);
        }
        return true;
    }
    if (want->size < BAR_MEMORY_MIN ||
        want->size > (want->is_64bit ? BAR_64BIT_MAX : BAR_32BIT_MAX)) {
        return bar_error(args, bar, "of memory is smaller than 16 bytes or too large", error);
    }
    if (want->is_64bit && (bar + 1 >= PCI_BAR_COUNT || args->bars[bar + 1].size != 0)) {
        return bar_error(args, bar, "of 64 bits needs the next one absent", error);
    }
    return true;
}

bool
pci_bars_check(const PciFunctionArgs *args, GError **error)
{
    for (unsigned bar = 0; bar < PCI_BAR_COUNT; bar++) {
        if (args->bars[bar].size != 0 && !bar_check(args, bar, error)) {
            return false;
        }
    }
    if (args->rom != NULL && (args->rom_length == 0 || args->rom_length > ROM_SIZE_MAX)) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "pci function '%s': expansion ROM of %u bytes; 1 byte to 16 MiB are possible",
                    args->name, args->rom_length);
        return false;
    }
    return true;
}

static unsigned
bar_register(unsigned bar)
{
    return bar == PCI_ROM_BAR ? PCI_REG_ROM : PCI_REG_BAR0 + 4 * bar;
}

static void
bar_declare(PciFunction *function, unsigned bar)
{
    const PciBarArgs *args = &function->bars[bar].args;
    unsigned reg = bar_register(bar);
    uint64_t mask = ~(args->size - 1);

    if (bar == PCI_ROM_BAR) {
        pci_put32(&function->write_mask[reg], (uint32_t)mask | ROM_ENABLE);
        return;
    }
    pci_put32(&function->write_mask[reg], (uint32_t)mask);
    if (args->is_io) {
        function->reset_value[reg] = BAR_TYPE_IO;
        return;
    }
    function->reset_value[reg] = (uint8_t)((args->is_64bit ? BAR_TYPE_64BIT : 0) |
                                           (args->prefetchable ? BAR_PREFETCHABLE : 0));
    if (args->is_64bit) {
        pci_put32(&function->write_mask[reg + 4], (uint32_t)(mask >> 32));
    }
}

static uint64_t
rom_read(void *opaque, uint64_t offset, unsigned size)
{
    const PciFunction *function = opaque;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        uint64_t at = offset + i;
        uint8_t byte = at < function->rom_length ? function->rom[at] : 0xFF;
        value |= (uint64_t)byte << (8 * i);
    }
    return value;
}

static void
rom_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
}

static const RegionOps rom_ops = {
    .read = rom_read,
    .write = rom_write,
    .widths = 1 | 2 | 4 | 8,
};

static bool
rom_init(PciFunction *function, const PciFunctionArgs *args, GError **error)
{
    PciBar *bar = &function->bars[PCI_ROM_BAR];
    RegionArgs region = {.name = args->name, .ops = &rom_ops, .opaque = function};

    bar->args.size = ROM_SIZE_MIN;
    while (bar->args.size < args->rom_length) {
        bar->args.size *= 2;
    }
    function->rom = g_memdup2(args->rom, args->rom_length);
    function->rom_length = args->rom_length;
    bar_declare(function, PCI_ROM_BAR);
    region.length = bar->args.size;
    function->rom_region = pci_bar_map(function, PCI_ROM_BAR, &region, 0, error);
    return function->rom_region != NULL;
}

bool
pci_bars_init(PciFunction *function, const PciFunctionArgs *args, GError **error)
{
    for (unsigned bar = 0; bar < PCI_REGIONS; bar++) {
        function->bars[bar].mappings = g_array_new(FALSE, FALSE, sizeof(PciMapping));
        atomic_init(&function->bars[bar].address, PCI_NOT_DECODED);
    }
    for (unsigned bar = 0; bar < PCI_BAR_COUNT; bar++) {
        function->bars[bar].args = args->bars[bar];
        if (args->bars[bar].size != 0) {
            bar_declare(function, bar);
        }
    }
    return args->rom == NULL || rom_init(function, args, error);
}

void
pci_bars_done(PciFunction *function)
{
    for (unsigned bar = 0; bar < PCI_REGIONS; bar++) {
        GArray *mappings = function->bars[bar].mappings;
        for (unsigned i = 0; mappings != NULL && i < mappings->len; i++) {
            region_free(g_array_index(mappings, PciMapping, i).region);
        }
        if (mappings != NULL) {
            g_array_unref(mappings);
        }
    }
    g_clear_pointer(&function->rom, g_free);
}

/* Where a BAR answers now. A BAR that ends with the last address of its space is one that is being
 * sized (all ones were written), not one that was placed there. */
static uint64_t
bar_decoded_address(const PciFunction *function, unsigned bar)
{
    const PciBarArgs *args = &function->bars[bar].args;
    unsigned command = atomic_load(&function->command);
    unsigned reg = bar_register(bar);
    uint64_t address = pci_get32(&function->config[reg]);
    uint64_t last;

    if (args->size == 0 || (command & (args->is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) == 0 ||
        (bar == PCI_ROM_BAR && (address & ROM_ENABLE) == 0)) {
        return PCI_NOT_DECODED;
    }
    if (args->is_64bit) {
        address |= (uint64_t)pci_get32(&function->config[reg + 4]) << 32;
    }
    address &= ~(args->size - 1);
    last = address + (args->size - 1);
    if (args->is_io ? last >= PIO_SPACE_SIZE : last == UINT32_MAX || last >= PHYSICAL_LIMIT) {
        return PCI_NOT_DECODED;
    }
    return pci_bridge_passes(function, args->is_io, address, last) ? address : PCI_NOT_DECODED;
}

static void
mapping_follow(const PciMapping *mapping, uint64_t address)
{
    if (address == PCI_NOT_DECODED) {
        region_set_enabled(mapping->region, false);
        return;
    }
    region_move(mapping->region, address + mapping->offset);
    region_set_enabled(mapping->region, true);
}

void
pci_bars_update_locked(PciFunction *function)
{
    for (unsigned bar = 0; bar < PCI_REGIONS; bar++) {
        GArray *mappings = function->bars[bar].mappings;
        uint64_t address = bar_decoded_address(function, bar);

        if (address == atomic_load(&function->bars[bar].address)) {
            continue;
        }
        atomic_store(&function->bars[bar].address, address);
        for (unsigned i = 0; i < mappings->len; i++) {
            mapping_follow(&g_array_index(mappings, PciMapping, i), address);
        }
    }
}

Region *
pci_bar_map(PciFunction *function, unsigned bar, const RegionArgs *args, uint64_t offset,
            GError **error)
{
    PciBus *bus = function->bus;
    const PciBarArgs *bar_args = &function->bars[bar].args;
    RegionArgs region_args = *args;
    PciMapping mapping = {.offset = offset};
    uint64_t address;

    if (bar_args->size == 0 || args->length == 0 || offset > bar_args->size ||
        args->length > bar_args->size - offset) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "pci function '%s': a region of 0x%" G_GINT64_MODIFIER
                    "x bytes at 0x%" G_GINT64_MODIFIER "x does not fit BAR %u",
                    function->name, args->length, offset, bar);
        return NULL;
    }
    region_args.base = offset;
    region_args.priority += REGION_PRIORITY_BAR;
    mapping.region =
        region_new(bar_args->is_io ? bus->args.pio : bus->args.mmio, &region_args, error);
    if (mapping.region == NULL) {
        return NULL;
    }
    g_mutex_lock(&bus->update_lock);
    g_array_append_val(function->bars[bar].mappings, mapping);
    address = atomic_load(&function->bars[bar].address);
    if (address != PCI_NOT_DECODED) {
        mapping_follow(&mapping, address);
    }
    g_mutex_unlock(&bus->update_lock);
    return mapping.region;
}

Region * /* NOLINTNEXTLINE(readability-function-size): the interface names all of them */
pci_function_map_bar(PciFunction *function, unsigned bar, uint64_t offset, uint64_t length,
                     const RegionOps *ops, void *region_opaque, GMutex *lock, GError **error)
{
    RegionArgs args = {
        .name = function->name,
        .length = length,
        .ops = ops,
        .opaque = region_opaque,
        .lock = lock,
    };

    if (bar >= PCI_BAR_COUNT) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG, "pci function '%s': there is no BAR %u",
                    function->name, bar);
        return NULL;
    }
    return pci_bar_map(function, bar, &args, offset, error);
}

static bool
bar_forget(PciBar *bar, const Region *region)
{
    for (unsigned i = 0; i < bar->mappings->len; i++) {
        if (g_array_index(bar->mappings, PciMapping, i).region == region) {
            g_array_remove_index(bar->mappings, i);
            return true;
        }
    }
    return false;
}

void
pci_function_unmap_bar(PciFunction *function, Region *region)
{
    bool found = false;

    g_mutex_lock(&function->bus->update_lock);
    for (unsigned bar = 0; bar < PCI_REGIONS && !found; bar++) {
        found = bar_forget(&function->bars[bar], region);
    }
    g_mutex_unlock(&function->bus->update_lock);
    if (found) {
        region_free(region); /* waits for readers: no lock held */
    }
}

uint64_t
pci_function_bar_size(const PciFunction *function, unsigned bar)
{
    return bar < PCI_REGIONS ? function->bars[bar].args.size : 0;
}

uint64_t
pci_function_bar_address(const PciFunction *function, unsigned bar)
{
    return bar < PCI_REGIONS ? atomic_load(&function->bars[bar].address) : PCI_NOT_DECODED;
}
