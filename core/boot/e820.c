/* SPDX-License-Identifier: Apache-2.0 */
/* The memory map of a PC (ACPI 6.4, 15.1: int 15h, E820h). */
#include "boot/boot_private.h"

#include "kvm/vm.h"

#define E820_RAM      1
#define E820_RESERVED 2

#define EBDA_START UINT64_C(0x9fc00) /* 1 KiB below 640 KiB */
#define ONE_MIB    UINT64_C(0x100000)
#define FOUR_GIB   (UINT64_C(4) << 30)

typedef struct {
    E820Entry *entries;
    unsigned count, max;
} E820Map;

static void
add(E820Map *map, uint64_t start, uint64_t end, uint32_t type)
{
    if (end > start && map->count < map->max) {
        map->entries[map->count++] =
            (E820Entry){.start = start, .length = end - start, .type = type};
    }
}

unsigned
boot_e820(const GuestMemory *memory, bool legacy_holes, E820Entry *entries, unsigned max)
{
    E820Map map = {.entries = entries, .max = max};
    uint64_t low_top = guest_memory_low_top(memory);

    if (legacy_holes) {
        add(&map, 0, EBDA_START, E820_RAM);
        add(&map, EBDA_START, ONE_MIB, E820_RESERVED);
        add(&map, ONE_MIB, low_top, E820_RAM);
    } else {
        add(&map, 0, low_top, E820_RAM);
    }
    add(&map, VM_RESERVED_START, VM_RESERVED_END, E820_RESERVED);
    add(&map, FOUR_GIB, guest_memory_high_top(memory), E820_RAM);
    return map.count;
}
