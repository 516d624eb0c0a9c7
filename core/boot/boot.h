/* SPDX-License-Identifier: Apache-2.0 */
/* Putting the first code into guest memory: firmware ROM, or a Linux kernel directly (bzImage by
 * the 64-bit boot protocol, PVH ELF by hvm_start_info). References: Documentation/arch/x86/boot.rst
 * of Linux, the PVH start-of-day ABI of Xen. */
#pragma once

#include "bus/guest_memory.h"
#include "kvm/vm.h"

#include <glib.h>

/* Loads a firmware image (SeaBIOS: 64 KiB to 16 MiB, a multiple of 64 KiB) so that it ends at 4
 * GiB, and shows its last 128 KiB below 1 MiB. */
bool boot_load_firmware(GuestMemory *memory, const char *path, GError **error);

typedef struct {
    const char *kernel;  /* path */
    const char *initrd;  /* path or NULL */
    const char *cmdline; /* or NULL */
    /* ACPI tables already placed: physical address of the RSDP, or 0. */
    uint64_t rsdp;
    /* An MP table for guests without ACPI is already placed by the board; nothing to say here. */
} BootKernelArgs;

/* What a direct boot leaves in memory, kept so that a reset can put it back. */
typedef struct BootKernel BootKernel;
/* Reads and checks the files (ERROR_CONFIG or ERROR_HOST, naming the file and what is wrong). */
BootKernel *boot_kernel_open(const BootKernelArgs *args, const GuestMemory *memory, GError **error);
/* Writes kernel, initrd, command line, zero page or start info, GDT, page tables; at each reset. */
bool boot_kernel_place(BootKernel *kernel, GuestMemory *memory, VmEntry *entry, GError **error);
void boot_kernel_free(BootKernel *kernel);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BootKernel, boot_kernel_free)

/* The E820 view of a machine: shared by the zero page, PVH's memory map and fw_cfg's etc/e820. */
typedef struct {
    uint64_t start, length;
    uint32_t type; /* 1 RAM, 2 reserved, 3 ACPI */
} E820Entry;
/* Fills up to max entries for direct boots (legacy_holes: EBDA, 640K-1M reserved),
 * returns count. */
unsigned boot_e820(const GuestMemory *memory, bool legacy_holes, E820Entry *entries, unsigned max);
