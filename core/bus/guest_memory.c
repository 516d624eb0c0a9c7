/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM and ROM. RAM is one memfd, mapped once and sealed in size: other processes (sandboxed
 * devices, vhost-user) map the same file,
 * and none of them can make this one fault by shrinking it. */
#include "bus/guest_memory_internal.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB                UINT64_C(0x100000)
#define GIB                UINT64_C(0x40000000)
#define SIZE_MIN           (2 * MIB)
#define HUGEPAGE_2M        (2 * MIB)
#define HUGEPAGE_1G        GIB
#define HOLE_START_DEFAULT UINT64_C(0xC0000000)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

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
set_ram_error(GError **error, const GuestMemoryArgs *args, const char *what, int code)
{
    if (args->hugepage_bytes != 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                    "cannot %s %" PRIu64 " hugepages of %" PRIu64
                    " MiB: %s (reserve them in /sys/kernel/mm/hugepages/hugepages-%" PRIu64
                    "kB/nr_hugepages)",
                    what, args->size_bytes / args->hugepage_bytes, args->hugepage_bytes / MIB,
                    g_strerror(code), args->hugepage_bytes / 1024);
    } else {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "cannot %s %" PRIu64 " MiB of memory: %s",
                    what, args->size_bytes / MIB, g_strerror(code));
    }
}

static int
open_memfd(const GuestMemoryArgs *args)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    if (args->hugepage_bytes == HUGEPAGE_2M) {
        flags |= MFD_HUGETLB | MFD_HUGE_2MB;
    } else if (args->hugepage_bytes == HUGEPAGE_1G) {
        flags |= MFD_HUGETLB | MFD_HUGE_1GB;
    }
    autofd int fd = memfd_create("backplane-ram", flags);
    if (fd < 0 || ftruncate(fd, (off_t)args->size_bytes) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return -errno;
    }
    return fd_steal(&fd);
}

/* 0 or -errno. */
static int
populate(const GuestMemory *memory)
{
    if (madvise(memory->hva, memory->size, MADV_POPULATE_WRITE) == 0) {
        return 0;
    }
    if (errno != EINVAL) {
        return -errno;
    }
    /* Before Linux 5.14: at least the pages exist and are ours. */
    return fallocate(memory->fd, 0, 0, (off_t)memory->size) == 0 ? 0 : -errno;
}

static bool
map_ram(GuestMemory *memory, const GuestMemoryArgs *args, GError **error)
{
    memory->fd = open_memfd(args);
    if (memory->fd < 0) {
        set_ram_error(error, args, "create", -memory->fd);
        return false;
    }
    /* With hugepages the mapping reserves them: a lack shows here and not as SIGBUS later. */
    int reserve = args->hugepage_bytes ? 0 : MAP_NORESERVE;
    void *hva =
        mmap(NULL, args->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | reserve, memory->fd, 0);
    if (hva == MAP_FAILED) {
        set_ram_error(error, args, "map", errno);
        return false;
    }
    memory->hva = hva;
    memory->size = args->size_bytes;
    (void)madvise(hva, memory->size, MADV_DONTDUMP); /* a guest's secrets stay out of core dumps */
    int result = args->prealloc ? populate(memory) : 0;
    if (result < 0) {
        set_ram_error(error, args, "preallocate", -result);
        return false;
    }
    return true;
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
    memory->ranges[0] =
        (RamRange){.length = memory->low_size, .hva = memory->hva, .fd = memory->fd};
    memory->range_count = 1;
    uint64_t high_size = memory->size - memory->low_size;
    if (high_size > 0) {
        memory->ranges[memory->range_count++] = (RamRange){
            .gpa = HIGH_RAM_START,
            .length = high_size,
            .hva = memory->hva + memory->low_size,
            .fd = memory->fd,
            .fd_offset = memory->low_size,
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
    if (!map_ram(memory, args, error)) {
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
