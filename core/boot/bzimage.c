/* SPDX-License-Identifier: Apache-2.0 */
/* Linux' bzImage by its boot protocol: the 64-bit entry where the kernel offers it (XLF_KERNEL_64),
 * else the 32-bit one. Reference: Documentation/arch/x86/boot.rst of Linux. Every field of the
 * header comes from a file that may be anything. */
#include "boot/boot_private.h"

#include <asm/bootparam.h>
#include <stddef.h>
#include <string.h>

#define HEADER_MAGIC     0x53726448u /* "HdrS" */
#define SECTOR           512u
#define SETUP_SECTS_OLD  4u     /* what 0 means */
#define PROTOCOL_MIN     0x0206 /* cmdline_size */
#define PROTOCOL_PREF    0x020a /* pref_address, init_size */
#define PROTOCOL_XFLAGS  0x020c
#define ENTRY_64_OFFSET  0x200u
#define LOADER_UNDEFINED 0xff
#define VIDEO_NORMAL     0xffff
#define ALIGNMENT_MIN    0x1000u
#define ALIGNMENT_MAX    0x40000000u

/* The setup header ends where its jump instruction leads (boot.rst,
 * "The Real-Mode Kernel Header"). */
static uint64_t
header_end(const uint8_t *zero_page)
{
    size_t jump = offsetof(struct boot_params, hdr) + offsetof(struct setup_header, jump);
    uint64_t end = jump + 2 + zero_page[jump + 1];

    return MIN(end, offsetof(struct boot_params, hdr) + sizeof(struct setup_header));
}

/* Takes the header out of the file's first page into a zero page that is otherwise empty. */
static bool
read_header(BootKernel *kernel, GError **error)
{
    const size_t start = offsetof(struct boot_params, hdr);
    g_autofree uint8_t *page = g_malloc0(sizeof(struct boot_params));

    if (!boot_file_read(&kernel->kernel, page, 0, sizeof(struct boot_params), error)) {
        return false;
    }
    uint64_t end = header_end(page);
    memset(page, 0, start);
    memset(page + end, 0, sizeof(struct boot_params) - end);
    kernel->zero_page = g_steal_pointer(&page);
    return true;
}

static bool
check_header(const BootKernel *kernel, const struct setup_header *header, GError **error)
{
    if (header->version < PROTOCOL_MIN) {
        return boot_file_refuse(&kernel->kernel, error,
                                "its boot protocol %u.%02u is too old, 2.06 is needed",
                                header->version >> 8, header->version & 0xff);
    }
    if ((header->loadflags & LOADED_HIGH) == 0) {
        return boot_file_refuse(&kernel->kernel, error,
                                "it is a zImage, loaded below 640 KiB: build a bzImage");
    }
    if (header->relocatable_kernel != 0 &&
        (header->kernel_alignment < ALIGNMENT_MIN || header->kernel_alignment > ALIGNMENT_MAX ||
         (header->kernel_alignment & (header->kernel_alignment - 1)) != 0)) {
        return boot_file_refuse(&kernel->kernel, error, "kernel_alignment %#x is no alignment",
                                header->kernel_alignment);
    }
    return true;
}

/* Where the protected-mode part goes, and which memory the kernel then runs in. */
static bool
choose_addresses(BootKernel *kernel, const struct setup_header *header, uint64_t bytes,
                 GError **error)
{
    bool has_window = header->version >= PROTOCOL_PREF;
    uint64_t load = BOOT_HIGH_MEMORY;
    uint64_t run = has_window ? header->pref_address : load;
    uint64_t window = has_window ? MAX(header->init_size, bytes) : bytes;

    if (header->relocatable_kernel != 0 && has_window) {
        uint64_t alignment = header->kernel_alignment;
        load = MAX(header->pref_address, BOOT_HIGH_MEMORY);
        if (load > UINT32_MAX) {
            return boot_file_refuse(&kernel->kernel, error,
                                    "pref_address %#" G_GINT64_MODIFIER "x is above 4 GiB", load);
        }
        load = (load + alignment - 1) & ~(alignment - 1);
        run = load;
    }
    if (run > UINT32_MAX) {
        return boot_file_refuse(&kernel->kernel, error,
                                "pref_address %#" G_GINT64_MODIFIER "x is above 4 GiB", run);
    }
    kernel->reserved_start = MIN(load, run);
    kernel->reserved_end = MAX(load + bytes, run + window);
    kernel->segments[0].gpa = load;
    return true;
}

static bool
check_memory(const BootKernel *kernel, const GuestMemory *memory, GError **error)
{
    uint64_t end = kernel->reserved_end;

    if (end > guest_memory_low_top(memory)) {
        return boot_file_refuse(&kernel->kernel, error,
                                "it needs memory up to %" G_GUINT64_FORMAT
                                " MiB and the machine has less",
                                (end >> 20) + 1);
    }
    return true;
}

bool
boot_bzimage_parse(BootKernel *kernel, const GuestMemory *memory, GError **error)
{
    if (kernel->kernel.size_bytes < sizeof(struct boot_params)) {
        return boot_file_refuse(&kernel->kernel, error, "the file is cut short");
    }
    if (!read_header(kernel, error)) {
        return false;
    }
    struct setup_header header;
    memcpy(&header, kernel->zero_page + offsetof(struct boot_params, hdr), sizeof(header));
    if (!check_header(kernel, &header, error)) {
        return false;
    }
    unsigned sectors = header.setup_sects != 0 ? header.setup_sects : SETUP_SECTS_OLD;
    uint64_t offset = ((uint64_t)sectors + 1) * SECTOR;
    if (offset + ENTRY_64_OFFSET >= kernel->kernel.size_bytes) {
        return boot_file_refuse(&kernel->kernel, error, "the file is cut short");
    }
    /* syssize counts paragraphs; a file may carry more behind (a signature), not less. */
    uint64_t bytes = (uint64_t)header.syssize * 16;
    if (bytes <= ENTRY_64_OFFSET || bytes > kernel->kernel.size_bytes - offset + 15) {
        return boot_file_refuse(&kernel->kernel, error, "the file is cut short");
    }
    bytes = MIN(bytes, kernel->kernel.size_bytes - offset);
    if (!choose_addresses(kernel, &header, bytes, error) || !check_memory(kernel, memory, error)) {
        return false;
    }
    kernel->segments[0].file_offset = offset;
    kernel->segments[0].file_bytes = bytes;
    kernel->segments[0].memory_bytes = bytes;
    kernel->segment_count = 1;
    kernel->long_mode =
        header.version >= PROTOCOL_XFLAGS && (header.xloadflags & XLF_KERNEL_64) != 0;
    kernel->entry = kernel->segments[0].gpa + (kernel->long_mode ? ENTRY_64_OFFSET : 0);
    kernel->initrd_address_max = header.initrd_addr_max;
    kernel->cmdline_max = header.cmdline_size;
    return true;
}

static void
fill_e820(struct boot_params *params, const GuestMemory *memory)
{
    E820Entry entries[BOOT_E820_MAX];
    unsigned count = boot_e820(memory, true, entries, BOOT_E820_MAX);

    for (unsigned i = 0; i < count; i++) {
        params->e820_table[i] = (struct boot_e820_entry){
            .addr = entries[i].start,
            .size = entries[i].length,
            .type = entries[i].type,
        };
    }
    params->e820_entries = (uint8_t)count;
}

bool
boot_bzimage_write_info(const BootKernel *kernel, GuestMemory *memory)
{
    struct boot_params params;

    memcpy(&params, kernel->zero_page, sizeof(params));
    params.hdr.type_of_loader = LOADER_UNDEFINED;
    params.hdr.loadflags &= (uint8_t)~CAN_USE_HEAP;
    params.hdr.vid_mode = VIDEO_NORMAL;
    params.hdr.code32_start = (uint32_t)kernel->segments[0].gpa;
    params.hdr.cmd_line_ptr = (uint32_t)BOOT_CMDLINE_ADDRESS;
    params.hdr.setup_data = 0;
    params.hdr.ramdisk_image = (uint32_t)kernel->initrd_gpa;
    params.hdr.ramdisk_size = (uint32_t)kernel->initrd.size_bytes;
    params.acpi_rsdp_addr = kernel->rsdp;
    fill_e820(&params, memory);
    return boot_write(memory, BOOT_INFO_ADDRESS, &params, sizeof(params));
}
