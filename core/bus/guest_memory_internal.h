/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by guest_memory.c (RAM, ROM), guest_memory_map.c (the host's memory) and guest_shadow.c
 * (A0000-FFFFF, KVM's slots). */
#pragma once

#include "bus/guest_memory.h"

#define MIB              UINT64_C(0x100000)
#define HUGEPAGE_2M      (2 * MIB)
#define HUGEPAGE_1G      (1024 * MIB)
#define GUEST_PAGE_BYTES UINT64_C(0x1000)
#define SHADOW_START     UINT64_C(0xA0000) /* first address whose nature the host bridge steers */
#define SHADOW_ROM_START UINT64_C(0xC0000) /* below lies the VGA hole: never ROM */
#define SHADOW_END       UINT64_C(0x100000)
#define SHADOW_PAGES     ((unsigned)((SHADOW_END - SHADOW_START) / GUEST_PAGE_BYTES))
#define HIGH_RAM_START   UINT64_C(0x100000000)
#define ROM_MAX          8
#define FIXED_SLOT_MAX   (3 + ROM_MAX) /* RAM below A0000, RAM above 1 MiB, RAM above 4 GiB */
#define SLOT_MAX         (FIXED_SLOT_MAX + SHADOW_PAGES)

typedef struct {
    uint64_t gpa;
    uint64_t length; /* 0: free */
    uint8_t *hva;
    bool readonly;
} MemorySlot;

typedef struct {
    uint64_t gpa;
    uint64_t length;
    uint8_t *hva;
} RomRange;

struct GuestMemory {
    int fd;       /* behind RAM; -1: memory of this process alone */
    uint8_t *hva; /* size bytes: low RAM, then high RAM */
    uint64_t size;
    uint64_t low_size;
    RamRange ranges[2];
    unsigned range_count;
    RomRange roms[ROM_MAX];
    unsigned rom_count;

    RomRange shadow_rom;         /* length 0: none */
    uint8_t modes[SHADOW_PAGES]; /* ShadowMode of each page; atomic, written under slot_lock */

    GMutex slot_lock; /* protects: slots, backend, the order of changes of modes */
    const GuestMemoryBackend *backend;
    void *backend_opaque;
    MemorySlot slots[SLOT_MAX]; /* [0, FIXED_SLOT_MAX): RAM and ROM; then the shadow segment's */
};

/* The part of guest_memory_lookup() for SHADOW_START <= gpa < SHADOW_END. */
uint64_t guest_shadow_lookup(GuestMemory *memory, uint64_t gpa, uint64_t length, bool is_write,
                             uint8_t **hva);
/* A page-aligned private copy of data, zero-filled up to length, not writable; NULL: no memory. */
uint8_t *guest_rom_copy(const void *data, uint64_t length);
/* Sets fd, hva and size. */
bool guest_memory_map_ram(GuestMemory *memory, const GuestMemoryArgs *args, GError **error);
