/* SPDX-License-Identifier: Apache-2.0 */
/* CMOS cells. The layout is the PC/AT's (10h-2Fh) with those that SeaBIOS reads for more memory. */
#include "board/board_cmos.h"

enum {
    CELL_EQUIPMENT = 0x14,
    CELL_BASE_KIB = 0x15,
    CELL_EXTENDED_KIB = 0x17,
    CELL_EXTENDED_KIB_FOUND = 0x30,
    CELL_ABOVE_16M = 0x34, /* in 64 KiB */
    CELL_ABOVE_4G = 0x5B,  /* in 64 KiB, 24 bits */
    CELL_CPUS_LESS_1 = 0x5F,
    CELL_CHECKED_FIRST = 0x10,
    CELL_CHECKED_LAST = 0x2D,
    CELL_CHECKSUM = 0x2E,
    EQUIPMENT_FPU = 0x02,
    EQUIPMENT_POINTER = 0x04,
    BASE_KIB = 640,
    MAX_U16 = 0xFFFF,
};

#define KIB      UINT64_C(1024)
#define MIB      (KIB * 1024)
#define UNIT_64K (KIB * 64)
#define FOUR_GIB (MIB * 4096)

static void
put(Mc146818 *rtc, uint8_t cell, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        mc146818_write_cell(rtc, (uint8_t)(cell + i), (uint8_t)(value >> (8 * i)));
    }
}

void
cmos_fill(Mc146818 *rtc, const GuestMemory *memory, unsigned cpus)
{
    uint64_t low = guest_memory_low_top(memory);
    uint64_t high = guest_memory_high_top(memory) - FOUR_GIB;
    uint64_t extended = MIN((low - MIB) / KIB, (uint64_t)MAX_U16);
    uint64_t above_16m = low > 16 * MIB ? MIN((low - 16 * MIB) / UNIT_64K, (uint64_t)MAX_U16) : 0;

    put(rtc, CELL_BASE_KIB, BASE_KIB, 2);
    put(rtc, CELL_EXTENDED_KIB, extended, 2);
    put(rtc, CELL_EXTENDED_KIB_FOUND, extended, 2);
    put(rtc, CELL_ABOVE_16M, above_16m, 2);
    put(rtc, CELL_ABOVE_4G, MIN(high / UNIT_64K, UINT64_C(0xFFFFFF)), 3);
    put(rtc, CELL_CPUS_LESS_1, cpus - 1, 1);
    /* Other bits of the equipment byte belong to the devices that set them. */
    put(rtc, CELL_EQUIPMENT,
        mc146818_read_cell(rtc, CELL_EQUIPMENT) | EQUIPMENT_FPU | EQUIPMENT_POINTER, 1);
    cmos_update_checksum(rtc);
}

void
cmos_update_checksum(Mc146818 *rtc)
{
    unsigned sum = 0;

    for (unsigned cell = CELL_CHECKED_FIRST; cell <= CELL_CHECKED_LAST; cell++) {
        sum += mc146818_read_cell(rtc, (uint8_t)cell);
    }
    mc146818_write_cell(rtc, CELL_CHECKSUM, (uint8_t)(sum >> 8));
    mc146818_write_cell(rtc, CELL_CHECKSUM + 1, (uint8_t)sum);
}
