/* SPDX-License-Identifier: Apache-2.0 */
/* Writing to guest RAM before the guest runs. */
#include "boot/boot_private.h"

#include <string.h>

/* Intel SDM vol. 3, 4.5: IA-32e paging with 2 MiB pages. */
#define PAGE_SIZE        UINT64_C(0x1000)
#define PAGE_ENTRIES     UINT64_C(512)
#define PAGE_PRESENT     UINT64_C(0x1)
#define PAGE_WRITABLE    UINT64_C(0x2)
#define PAGE_LARGE       UINT64_C(0x80)
#define DIRECTORIES      UINT64_C(4) /* of 1 GiB each */
#define LARGE_PAGE_SHIFT 21

/* Segment descriptors (Intel SDM vol. 3, 3.4.5): base 0, limit 4 GiB, ring 0, accessed. */
#define GDT_CODE_32 UINT64_C(0x00cf9b000000ffff)
#define GDT_CODE_64 UINT64_C(0x00af9b000000ffff)
#define GDT_DATA    UINT64_C(0x00cf93000000ffff)
#define GDT_TSS     UINT64_C(0x00008b0000000067) /* busy, base 0, limit 67h */

bool
boot_write(const GuestMemory *memory, uint64_t gpa, const void *data, uint64_t length)
{
    void *hva = guest_memory_translate(memory, gpa, length);

    if (hva == NULL) {
        return false;
    }
    memcpy(hva, data, length);
    return true;
}

bool
boot_write_gdt(const GuestMemory *memory, bool long_mode)
{
    /* A 64-bit TSS descriptor takes two entries; its upper half is zero. */
    const uint64_t gdt[] = {0, 0, long_mode ? GDT_CODE_64 : GDT_CODE_32, GDT_DATA, GDT_TSS, 0};

    return boot_write(memory, BOOT_GDT_ADDRESS, gdt, sizeof(gdt));
}

bool
boot_write_page_tables(const GuestMemory *memory)
{
    const uint64_t flags = PAGE_PRESENT | PAGE_WRITABLE;
    uint64_t *tables =
        guest_memory_translate(memory, BOOT_PAGE_TABLES_ADDRESS, (2 + DIRECTORIES) * PAGE_SIZE);

    if (tables == NULL) {
        return false;
    }
    uint64_t *pdpt = tables + PAGE_ENTRIES;
    uint64_t *directories = pdpt + PAGE_ENTRIES;
    memset(tables, 0, 2 * PAGE_SIZE);
    tables[0] = (BOOT_PAGE_TABLES_ADDRESS + PAGE_SIZE) | flags;
    for (uint64_t i = 0; i < DIRECTORIES; i++) {
        pdpt[i] = (BOOT_PAGE_TABLES_ADDRESS + (2 + i) * PAGE_SIZE) | flags;
    }
    for (uint64_t i = 0; i < DIRECTORIES * PAGE_ENTRIES; i++) {
        directories[i] = (i << LARGE_PAGE_SHIFT) | flags | PAGE_LARGE;
    }
    return true;
}
