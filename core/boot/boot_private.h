/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of core/boot share. All of it runs on the control thread.
 *
 * A kernel file is checked when it is opened and its parts are only noted (file offset, address);
 * placing reads them from the file straight into guest RAM, so that nothing is held twice.
 *
 * Low memory of a direct boot, below what boot_e820() calls reserved:
 *   00500  GDT
 *   07000  zero page (Linux) or start info with memory map and module list (PVH)
 *   08000  page tables: PML4, PDPT and four directories map the first 4 GiB (64-bit entry)
 *   20000  command line, at most 64 KiB
 * Kernels and initrds lie at 1 MiB or above. */
#pragma once

#include "boot/boot.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define BOOT_GDT_ADDRESS         UINT64_C(0x500)
#define BOOT_INFO_ADDRESS        UINT64_C(0x7000)
#define BOOT_PAGE_TABLES_ADDRESS UINT64_C(0x8000)
#define BOOT_CMDLINE_ADDRESS     UINT64_C(0x20000)
#define BOOT_CMDLINE_MAX         0x10000u /* bytes, with the NUL */
#define BOOT_HIGH_MEMORY         UINT64_C(0x100000)

#define BOOT_SEGMENTS_MAX 64u
#define BOOT_E820_MAX     16u

#define BOOT_CODE_SELECTOR 0x10
#define BOOT_DATA_SELECTOR 0x18
#define BOOT_TSS_SELECTOR  0x20

/* Bytes of the file that go to RAM; zeroes follow up to memory_bytes. */
typedef struct {
    uint64_t gpa;
    uint64_t file_offset;
    uint64_t file_bytes;
    uint64_t memory_bytes;
} BootSegment;

typedef struct {
    char *path;
    int fd;
    uint64_t size_bytes;
} BootFile;

struct BootKernel {
    BootFile kernel;
    BootFile initrd; /* path NULL: none */
    char *cmdline;
    uint64_t rsdp;

    BootSegment segments[BOOT_SEGMENTS_MAX];
    unsigned segment_count;
    /* RAM the kernel uses before it can look at a memory map: the initrd keeps out of it. */
    uint64_t reserved_start, reserved_end;
    uint64_t initrd_address_max; /* highest byte the initrd may occupy */
    uint64_t cmdline_max;        /* bytes, without the NUL */
    uint64_t initrd_gpa;

    uint64_t entry;
    bool long_mode;
    uint8_t *zero_page; /* Linux boot protocol: 4 KiB, owned; NULL: PVH */
};

/* file.c */
/* what: "kernel", "initrd", "firmware": for messages. Regular files only. */
bool boot_file_open(BootFile *file, const char *what, const char *path, GError **error);
void boot_file_close(BootFile *file);
/* Reads exactly [offset, offset + length). False: end of file or an error, set. */
bool boot_file_read(const BootFile *file, void *data, uint64_t offset, uint64_t length,
                    GError **error);
/* "'vmlinux' is no kernel: " and the reason, as ERROR_CONFIG; returns false. */
bool boot_file_refuse(const BootFile *file, GError **error, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* bzimage.c, pvh.c: read the headers, fill in everything about the kernel but the initrd. */
bool boot_bzimage_parse(BootKernel *kernel, const GuestMemory *memory, GError **error);
bool boot_pvh_parse(BootKernel *kernel, const GuestMemory *memory, GError **error);
/* Write zero page or start info; everything else is placed already. */
bool boot_bzimage_write_info(const BootKernel *kernel, GuestMemory *memory);
bool boot_pvh_write_info(const BootKernel *kernel, GuestMemory *memory);

/* place.c */
bool boot_write(const GuestMemory *memory, uint64_t gpa, const void *data, uint64_t length);
bool boot_write_gdt(const GuestMemory *memory, bool long_mode);
bool boot_write_page_tables(const GuestMemory *memory);
