/* SPDX-License-Identifier: Apache-2.0 */
/* Direct boot: which kind of kernel it is, where the initrd goes, and placing it all. */
#include "boot/boot_private.h"

#include "base/error.h"

#include <elf.h>
#include <string.h>

#define PAGE_SIZE        UINT64_C(0x1000)
#define PROBE_BYTES      0x206u
#define BOOT_FLAG_OFFSET 0x1fe
#define HEADER_OFFSET    0x202

static bool
parse_kernel(BootKernel *kernel, const GuestMemory *memory, GError **error)
{
    uint8_t start[PROBE_BYTES] = {0};

    if (!boot_file_read(&kernel->kernel, start, 0, MIN(kernel->kernel.size_bytes, sizeof(start)),
                        error)) {
        return false;
    }
    if (memcmp(start, ELFMAG, SELFMAG) == 0) {
        return boot_pvh_parse(kernel, memory, error);
    }
    if (start[BOOT_FLAG_OFFSET] == 0x55 && start[BOOT_FLAG_OFFSET + 1] == 0xaa &&
        memcmp(&start[HEADER_OFFSET], "HdrS", 4) == 0) {
        return boot_bzimage_parse(kernel, memory, error);
    }
    if (start[0] == 0x1f && start[1] == 0x8b) {
        return boot_file_refuse(&kernel->kernel, error,
                                "it is compressed with gzip: decompress it first");
    }
    return boot_file_refuse(&kernel->kernel, error,
                            "it is no kernel, neither a bzImage nor an ELF file");
}

static bool
check_cmdline(BootKernel *kernel, const char *cmdline, GError **error)
{
    uint64_t limit = MIN(kernel->cmdline_max, BOOT_CMDLINE_MAX - 1);
    size_t length = strlen(cmdline);

    if (length > limit) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "the kernel command line has %zu bytes, '%s' takes %" G_GUINT64_FORMAT, length,
                    kernel->kernel.path, limit);
        return false;
    }
    kernel->cmdline = g_strdup(cmdline);
    return true;
}

/* As high as the kernel can find it, above the kernel; where that has no room, below it. */
static bool
place_initrd(BootKernel *kernel, const GuestMemory *memory, GError **error)
{
    uint64_t bytes = kernel->initrd.size_bytes;
    uint64_t top = MIN(guest_memory_low_top(memory), kernel->initrd_address_max + 1);
    uint64_t floor = MAX(kernel->reserved_end, BOOT_HIGH_MEMORY);

    if (bytes == 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG, "initrd '%s' is empty",
                    kernel->initrd.path);
        return false;
    }
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        if (top > floor && bytes <= top - floor && ((top - bytes) & ~(PAGE_SIZE - 1)) >= floor) {
            kernel->initrd_gpa = (top - bytes) & ~(PAGE_SIZE - 1);
            return true;
        }
        top = MIN(top, kernel->reserved_start);
        floor = BOOT_HIGH_MEMORY;
    }
    g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                "initrd '%s' of %" G_GUINT64_FORMAT
                " KiB does not fit into the machine's memory beside the kernel",
                kernel->initrd.path, bytes >> 10);
    return false;
}

BootKernel *
boot_kernel_open(const BootKernelArgs *args, const GuestMemory *memory, GError **error)
{
    g_autoptr(BootKernel) kernel = g_new0(BootKernel, 1);

    kernel->rsdp = args->rsdp;
    if (!boot_file_open(&kernel->kernel, "kernel", args->kernel, error) ||
        !parse_kernel(kernel, memory, error) ||
        !check_cmdline(kernel, args->cmdline != NULL ? args->cmdline : "", error)) {
        return NULL;
    }
    if (args->initrd != NULL && (!boot_file_open(&kernel->initrd, "initrd", args->initrd, error) ||
                                 !place_initrd(kernel, memory, error))) {
        return NULL;
    }
    return g_steal_pointer(&kernel);
}

static bool
place_file(const BootFile *file, const BootSegment *segment, GuestMemory *memory, GError **error)
{
    uint8_t *hva = guest_memory_translate(memory, segment->gpa, segment->memory_bytes);

    if (hva == NULL) {
        return boot_file_refuse(file, error, "it does not fit into the machine's memory");
    }
    return boot_file_read(file, hva, segment->file_offset, segment->file_bytes, error) &&
           guest_memory_zero(memory, segment->gpa + segment->file_bytes,
                             segment->memory_bytes - segment->file_bytes);
}

static bool
place_files(const BootKernel *kernel, GuestMemory *memory, GError **error)
{
    for (unsigned i = 0; i < kernel->segment_count; i++) {
        if (!place_file(&kernel->kernel, &kernel->segments[i], memory, error)) {
            return false;
        }
    }
    const BootSegment initrd = {
        .gpa = kernel->initrd_gpa,
        .file_bytes = kernel->initrd.size_bytes,
        .memory_bytes = kernel->initrd.size_bytes,
    };
    return kernel->initrd.path == NULL || place_file(&kernel->initrd, &initrd, memory, error);
}

bool
boot_kernel_place(BootKernel *kernel, GuestMemory *memory, VmEntry *entry, GError **error)
{
    if (!place_files(kernel, memory, error)) {
        return false;
    }
    /* Low memory is there in every machine: 2 MiB are the least it can have. */
    if (!boot_write(memory, BOOT_CMDLINE_ADDRESS, kernel->cmdline, strlen(kernel->cmdline) + 1) ||
        !boot_write_gdt(memory, kernel->long_mode) ||
        (kernel->long_mode && !boot_write_page_tables(memory)) ||
        !(kernel->zero_page != NULL ? boot_bzimage_write_info(kernel, memory)
                                    : boot_pvh_write_info(kernel, memory))) {
        return boot_file_refuse(&kernel->kernel, error, "the machine has too little memory");
    }
    *entry = (VmEntry){
        .long_mode = kernel->long_mode,
        .rip = kernel->entry,
        .rsi = kernel->zero_page != NULL ? BOOT_INFO_ADDRESS : 0,
        .rbx = kernel->zero_page != NULL ? 0 : BOOT_INFO_ADDRESS,
        .cr3 = kernel->long_mode ? BOOT_PAGE_TABLES_ADDRESS : 0,
        .gdt_base = BOOT_GDT_ADDRESS,
        .gdt_limit = 6 * 8 - 1,
        .code_selector = BOOT_CODE_SELECTOR,
        .data_selector = BOOT_DATA_SELECTOR,
        .tss_selector = BOOT_TSS_SELECTOR,
    };
    return true;
}

void
boot_kernel_free(BootKernel *kernel)
{
    if (kernel == NULL) {
        return;
    }
    boot_file_close(&kernel->kernel);
    boot_file_close(&kernel->initrd);
    g_free(kernel->zero_page);
    g_free(kernel->cmdline);
    g_free(kernel);
}
