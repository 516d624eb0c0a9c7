/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM and ROM: RAM, split at the PCI hole, ROM images, and the shadowed segment
 * C0000-FFFFF whose reads and writes the host bridge steers (PAM). KVM slots follow it through a
 * backend; without KVM (test protocol) it is simply read and written. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct GuestMemory GuestMemory;

typedef struct {
    uint64_t size_bytes;     /* multiple of 1 MiB, at least 2 MiB */
    uint64_t hole_start;     /* RAM above this continues at 4 GiB; 0 means 0xC0000000 */
    uint64_t hugepage_bytes; /* 0, 2 MiB or 1 GiB: memfd with MFD_HUGETLB */
    bool shared;             /* in a memfd, that other processes can map */
    bool prealloc;           /* populate now, fail now */
} GuestMemoryArgs;

/* Fails with ERROR_HOST: more than the host has, no such hugepages. RAM is not touched, so it costs
 * no resident memory until used. */
GuestMemory *guest_memory_new(const GuestMemoryArgs *args, GError **error);
void guest_memory_free(GuestMemory *memory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestMemory, guest_memory_free)

typedef struct {
    uint64_t gpa;
    uint64_t length;
    uint8_t *hva;
} RamRange;

/* RAM as DMA sees it: [0, low_top) and [4 GiB, high_top); constant for the machine's life. */
const RamRange *guest_memory_ranges(const GuestMemory *memory, unsigned *count);
uint64_t guest_memory_low_top(const GuestMemory *memory);  /* end of RAM below 4 GiB */
uint64_t guest_memory_high_top(const GuestMemory *memory); /* end of RAM above 4 GiB, or 4 GiB */
uint64_t guest_memory_size(const GuestMemory *memory);
/* The memfd that holds all RAM, ranges one after the other; -1 unless shared or of hugepages. */
int guest_memory_fd(const GuestMemory *memory);
/* NULL unless [gpa, gpa + length) lies in one RAM range. [any] */
void *guest_memory_translate(const GuestMemory *memory, uint64_t gpa, uint64_t length);

/* Zeroes RAM without making pages that were never touched resident. False: it is not in one RAM
 * range. No vCPU runs. [control] */
bool guest_memory_zero(const GuestMemory *memory, uint64_t gpa, uint64_t length);

/* A ROM of length bytes (4 KiB multiple) at gpa; data is copied. [control, before start] */
bool guest_memory_add_rom(GuestMemory *memory, uint64_t gpa, const void *data, uint64_t length,
                          GError **error);
/* What lies under the shadow segment when reads are not steered to RAM: the last `length` bytes
 * before 1 MiB show these bytes (the alias of the firmware ROM). [control, before start] */
bool guest_memory_set_shadow_rom(GuestMemory *memory, const void *data, uint64_t length,
                                 GError **error);

/* PAM: how [gpa, gpa + length) within A0000-FFFFF behaves. Page-aligned.
 * SHADOW_NONE outside C0000-FFFFF is the VGA hole: reads FF, writes lost. */
typedef enum {
    SHADOW_NONE = 0,       /* reads from ROM or the bus, writes to the bus */
    SHADOW_READ = 1,       /* reads from RAM, writes to the bus */
    SHADOW_WRITE = 2,      /* reads from ROM or the bus, writes to RAM */
    SHADOW_READ_WRITE = 3, /* plain RAM */
} ShadowMode;
/* [control] [vcpu] Applied at once. The slots of this segment end at fixed boundaries, so that
 * pages whose mode stays are not touched (guest_shadow.c says why). */
void guest_memory_set_shadow(GuestMemory *memory, uint64_t gpa, uint64_t length, ShadowMode mode);

/* The CPU's view, through RAM, ROM and shadow. Returns how many bytes at gpa, up to length, are
 * memory for this direction (0: the bus answers), and their address in *hva. A write to ROM or to a
 * write-protected segment is `length` bytes with *hva NULL: it is lost. [any] */
uint64_t guest_memory_lookup(GuestMemory *memory, uint64_t gpa, uint64_t length, bool is_write,
                             uint8_t **hva);

/* KVM's memory slots, or nothing. set: slot numbers are small and reused; length 0 deletes. */
typedef struct {
    int (*set_slot)(void *opaque, uint32_t slot, uint64_t gpa, uint64_t length, void *hva,
                    bool readonly); /* 0 or -errno */
} GuestMemoryBackend;
/* Sets every slot now and on each later change. backend NULL: no more changes (the VM is gone). */
bool guest_memory_bind(GuestMemory *memory, const GuestMemoryBackend *backend, void *opaque,
                       GError **error);
