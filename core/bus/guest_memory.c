/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM and ROM: layout, and who finds what at an address. */
#include "bus/guest_memory_internal.h"

#include "base/error.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE_MIN           (2 * MIB)
#define HOLE_START_DEFAULT UINT64_C(0xC0000000)

static bool
check_layout(const GuestMemoryArgs *args, uint64_t hole_start, GError **error)
{
    if (args->size_bytes < SIZE_MIN || args->size_bytes % MIB) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "memory of %" PRIu64 " bytes: must be a whole number of MiB, at least 2",
                    args->size_bytes);
        return false;
    }
    if (hole_start < SIZE_MIN || hole_start > HIGH_RAM_START || hole_start % MIB) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "PCI hole at 0x%" PRIx64 ": must start at a whole MiB between 2 MiB and 4 GiB",
                    hole_start);
        return false;
    }
    uint64_t page = args->hugepage_bytes;
    if (page != 0 && page != HUGEPAGE_2M && page != HUGEPAGE_1G) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "hugepages of %" PRIu64 " bytes: must be 2 MiB or 1 GiB", page);
        return false;
    }
    if (page != 0 && (args->size_bytes % page || hole_start % page)) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "memory of %" PRIu64 " MiB: must be a whole number of %" PRIu64
                    " MiB hugepages, below the PCI hole, too",
                    args->size_bytes / MIB, page / MIB);
        return false;
    }
    return true;
}

static bool
check_host(const GuestMemoryArgs *args, GError **error)
{
    uint64_t host = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    if (args->size_bytes <= host) {
        return true;
    }
    g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                "memory of %" PRIu64 " MiB is more than the %" PRIu64
                " MiB this host has: choose less",
                args->size_bytes / MIB, host / MIB);
    return false;
}

static void
add_ram_slot(GuestMemory *memory, unsigned slot, uint64_t gpa, uint64_t end, uint64_t offset)
{
    if (end > gpa) {
        memory->slots[slot] =
            (MemorySlot){.gpa = gpa, .length = end - gpa, .hva = memory->hva + offset};
    }
}

static void
lay_out_ram(GuestMemory *memory, uint64_t hole_start)
{
    memory->low_size = MIN(memory->size, hole_start);
    memory->ranges[0] = (RamRange){.length = memory->low_size, .hva = memory->hva};
    memory->range_count = 1;
    uint64_t high_size = memory->size - memory->low_size;
    if (high_size > 0) {
        memory->ranges[memory->range_count++] = (RamRange){
            .gpa = HIGH_RAM_START,
            .length = high_size,
            .hva = memory->hva + memory->low_size,
        };
    }
    add_ram_slot(memory, 0, 0, SHADOW_START, 0);
    add_ram_slot(memory, 1, SHADOW_END, memory->low_size, SHADOW_END);
    add_ram_slot(memory, 2, HIGH_RAM_START, HIGH_RAM_START + high_size, memory->low_size);
}

GuestMemory *
guest_memory_new(const GuestMemoryArgs *args, GError **error)
{
    uint64_t hole_start = args->hole_start ? args->hole_start : HOLE_START_DEFAULT;
    if (!check_layout(args, hole_start, error) || !check_host(args, error)) {
        return NULL;
    }
    g_autoptr(GuestMemory) memory = g_new0(GuestMemory, 1);
    memory->fd = -1;
    g_mutex_init(&memory->slot_lock);
    if (!guest_memory_map_ram(memory, args, error)) {
        return NULL;
    }
    lay_out_ram(memory, hole_start);
    return g_steal_pointer(&memory);
}

static void
rom_release(RomRange *rom)
{
    if (rom->hva) {
        (void)munmap(rom->hva, rom->length);
    }
}

void
guest_memory_free(GuestMemory *memory)
{
    if (!memory) {
        return;
    }
    for (unsigned i = 0; i < memory->rom_count; i++) {
        rom_release(&memory->roms[i]);
    }
    rom_release(&memory->shadow_rom);
    if (memory->hva) {
        (void)munmap(memory->hva, memory->size);
    }
    if (memory->fd >= 0) {
        (void)close(memory->fd);
    }
    g_mutex_clear(&memory->slot_lock);
    g_free(memory);
}

const RamRange *
guest_memory_ranges(const GuestMemory *memory, unsigned *count)
{
    *count = memory->range_count;
    return memory->ranges;
}

uint64_t
guest_memory_low_top(const GuestMemory *memory)
{
    return memory->low_size;
}

uint64_t
guest_memory_high_top(const GuestMemory *memory)
{
    return HIGH_RAM_START + (memory->size - memory->low_size);
}

int
guest_memory_fd(const GuestMemory *memory)
{
    return memory->fd;
}

uint64_t
guest_memory_size(const GuestMemory *memory)
{
    return memory->size;
}

void *
guest_memory_translate(const GuestMemory *memory, uint64_t gpa, uint64_t length)
{
    for (unsigned i = 0; i < memory->range_count; i++) {
        const RamRange *range = &memory->ranges[i];
        if (gpa >= range->gpa && length <= range->length &&
            gpa - range->gpa <= range->length - length) {
            return range->hva + (gpa - range->gpa);
        }
    }
    return NULL;
}

uint8_t *
guest_rom_copy(const void *data, uint64_t length)
{
    void *copy = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED) {
        return NULL;
    }
    memcpy(copy, data, length);
    (void)mprotect(copy, length, PROT_READ);
    return copy;
}

static bool
overlap(uint64_t gpa_a, uint64_t length_a, uint64_t gpa_b, uint64_t length_b)
{
    return gpa_a < gpa_b ? gpa_b - gpa_a < length_a : gpa_a - gpa_b < length_b;
}

static bool
rom_fits(const GuestMemory *memory, uint64_t gpa, uint64_t length)
{
    if (length == 0 || length % GUEST_PAGE_BYTES || gpa % GUEST_PAGE_BYTES ||
        gpa > UINT64_MAX - length) {
        return false;
    }
    for (unsigned i = 0; i < memory->range_count; i++) {
        if (overlap(memory->ranges[i].gpa, memory->ranges[i].length, gpa, length)) {
            return false;
        }
    }
    for (unsigned i = 0; i < memory->rom_count; i++) {
        if (overlap(memory->roms[i].gpa, memory->roms[i].length, gpa, length)) {
            return false;
        }
    }
    return memory->rom_count < ROM_MAX;
}

bool
guest_memory_add_rom(GuestMemory *memory, uint64_t gpa, const void *data, uint64_t length,
                     GError **error)
{
    if (!rom_fits(memory, gpa, length)) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                    "cannot place a ROM of %" PRIu64 " bytes at 0x%" PRIx64
                    ": it must be whole pages and overlap neither RAM nor another ROM",
                    length, gpa);
        return false;
    }
    uint8_t *copy = guest_rom_copy(data, length);
    if (!copy) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "no memory for a ROM of %" PRIu64 " bytes",
                    length);
        return false;
    }
    unsigned slot = FIXED_SLOT_MAX - ROM_MAX + memory->rom_count;
    memory->roms[memory->rom_count++] = (RomRange){gpa, length, copy};
    memory->slots[slot] = (MemorySlot){gpa, length, copy, true};
    return true;
}

static uint64_t
rom_lookup(const GuestMemory *memory, uint64_t gpa, uint64_t length, bool is_write, uint8_t **hva)
{
    for (unsigned i = 0; i < memory->rom_count; i++) {
        const RomRange *rom = &memory->roms[i];
        if (gpa >= rom->gpa && gpa - rom->gpa < rom->length) {
            uint64_t offset = gpa - rom->gpa;
            *hva = is_write ? NULL : rom->hva + offset;
            return MIN(length, rom->length - offset);
        }
    }
    return 0;
}

uint64_t
guest_memory_lookup(GuestMemory *memory, uint64_t gpa, uint64_t length, bool is_write,
                    uint8_t **hva)
{
    *hva = NULL;
    if (gpa >= SHADOW_START && gpa < SHADOW_END) {
        return guest_shadow_lookup(memory, gpa, length, is_write, hva);
    }
    for (unsigned i = 0; i < memory->range_count; i++) {
        const RamRange *range = &memory->ranges[i];
        if (gpa >= range->gpa && gpa - range->gpa < range->length) {
            uint64_t end = gpa < SHADOW_START ? SHADOW_START : range->gpa + range->length;
            *hva = range->hva + (gpa - range->gpa);
            return MIN(length, end - gpa);
        }
    }
    return rom_lookup(memory, gpa, length, is_write, hva);
}
