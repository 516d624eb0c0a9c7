/* SPDX-License-Identifier: Apache-2.0 */
/* ELF kernels with a PVH entry: 32-bit flat, EBX points to a start info structure. References:
 * Xen's docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h; System V ABI, chapters 4 and 5.
 * Every field of the headers comes from a file that may be anything. */
#include "boot/boot_private.h"

#include <elf.h>
#include <stddef.h>
#include <string.h>

#define NOTE_PHYS32_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define NOTE_BYTES_MAX    (UINT64_C(64) << 10)
#define START_MAGIC       0x336ec578u
#define START_VERSION     1u
#define INITRD_MAX_BYTE   UINT64_C(0x7fffffff) /* what Linux' own header says */
#define LINUX_CMDLINE_MAX 2047u

typedef struct {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, cmdline, rsdp, memory_map;
    uint32_t memory_map_count, reserved;
} StartInfo;

typedef struct {
    uint64_t address, size, cmdline, reserved;
} StartModule;

typedef struct {
    uint64_t address, size;
    uint32_t type, reserved;
} StartMemory;

/* One program header of either class. */
typedef struct {
    uint32_t type;
    uint64_t offset, paddr, file_bytes, memory_bytes;
} ProgramHeader;

typedef struct {
    uint64_t offset;
    unsigned count;
    bool is_64;
} ProgramTable;

static bool
read_elf_header(const BootFile *file, ProgramTable *table, GError **error)
{
    Elf64_Ehdr header = {0};
    uint64_t entry_size;

    if (file->size_bytes < sizeof(header) ||
        !boot_file_read(file, &header, 0, sizeof(header), NULL)) {
        return boot_file_refuse(file, error, "the file is cut short");
    }
    table->is_64 = header.e_ident[EI_CLASS] == ELFCLASS64;
    if (header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_machine != (table->is_64 ? EM_X86_64 : EM_386)) {
        return boot_file_refuse(file, error, "it is an ELF file, but not for x86");
    }
    if (table->is_64) {
        table->offset = header.e_phoff;
        table->count = header.e_phnum;
        entry_size = header.e_phentsize;
    } else {
        Elf32_Ehdr header_32;
        memcpy(&header_32, &header, sizeof(header_32));
        table->offset = header_32.e_phoff;
        table->count = header_32.e_phnum;
        entry_size = header_32.e_phentsize;
    }
    uint64_t wanted = table->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    if (table->count == 0 || table->count > BOOT_SEGMENTS_MAX || entry_size != wanted) {
        return boot_file_refuse(file, error,
                                "its ELF program headers are unusable (%u of %u bytes)",
                                table->count, (unsigned)entry_size);
    }
    if (table->offset > file->size_bytes ||
        table->count * wanted > file->size_bytes - table->offset) {
        return boot_file_refuse(file, error, "the file is cut short");
    }
    return true;
}

static bool
read_program_header(const BootFile *file, const ProgramTable *table, unsigned index,
                    ProgramHeader *ret_header, GError **error)
{
    if (table->is_64) {
        Elf64_Phdr header;
        if (!boot_file_read(file, &header, table->offset + index * sizeof(header), sizeof(header),
                            error)) {
            return false;
        }
        *ret_header = (ProgramHeader){header.p_type, header.p_offset, header.p_paddr,
                                      header.p_filesz, header.p_memsz};
    } else {
        Elf32_Phdr header;
        if (!boot_file_read(file, &header, table->offset + index * sizeof(header), sizeof(header),
                            error)) {
            return false;
        }
        *ret_header = (ProgramHeader){header.p_type, header.p_offset, header.p_paddr,
                                      header.p_filesz, header.p_memsz};
    }
    if (ret_header->offset > file->size_bytes ||
        ret_header->file_bytes > file->size_bytes - ret_header->offset) {
        return boot_file_refuse(file, error, "the file is cut short");
    }
    return true;
}

/* Looks through the notes of one segment; true when the entry was found. Names and descriptors are
 * padded to four bytes. */
static bool
find_entry_note(const uint8_t *notes, uint64_t length, uint64_t *ret_entry)
{
    Elf64_Nhdr note; /* the same in both classes */

    for (uint64_t at = 0; length - at >= sizeof(note);) {
        memcpy(&note, notes + at, sizeof(note));
        at += sizeof(note);
        uint64_t name_bytes = ((uint64_t)note.n_namesz + 3) & ~UINT64_C(3);
        uint64_t data_bytes = ((uint64_t)note.n_descsz + 3) & ~UINT64_C(3);
        if (name_bytes > length - at || data_bytes > length - at - name_bytes) {
            return false;
        }
        if (note.n_type == NOTE_PHYS32_ENTRY && note.n_namesz == 4 &&
            memcmp(notes + at, "Xen", 4) == 0 && (note.n_descsz == 4 || note.n_descsz == 8)) {
            *ret_entry = 0;
            memcpy(ret_entry, notes + at + name_bytes, note.n_descsz);
            return true;
        }
        at += name_bytes + data_bytes;
    }
    return false;
}

static bool
parse_notes(BootKernel *kernel, const ProgramHeader *header, bool *found, GError **error)
{
    uint64_t length = MIN(header->file_bytes, NOTE_BYTES_MAX);
    g_autofree uint8_t *notes = g_malloc(length);

    if (!boot_file_read(&kernel->kernel, notes, header->offset, length, error)) {
        return false;
    }
    if (!*found) {
        *found = find_entry_note(notes, length, &kernel->entry);
    }
    return true;
}

static bool
add_segment(BootKernel *kernel, const GuestMemory *memory, const ProgramHeader *header,
            GError **error)
{
    if (header->memory_bytes == 0) {
        return true;
    }
    if (header->file_bytes > header->memory_bytes) {
        return boot_file_refuse(&kernel->kernel, error,
                                "an ELF segment is larger in the file than in memory");
    }
    if (header->paddr < BOOT_HIGH_MEMORY) {
        return boot_file_refuse(&kernel->kernel, error,
                                "an ELF segment at %#" G_GINT64_MODIFIER
                                "x lies below 1 MiB, which is not the kernel's",
                                header->paddr);
    }
    if (guest_memory_translate(memory, header->paddr, header->memory_bytes) == NULL) {
        return boot_file_refuse(&kernel->kernel, error,
                                "an ELF segment of %" G_GUINT64_FORMAT
                                " KiB at %#" G_GINT64_MODIFIER
                                "x lies outside the machine's memory",
                                header->memory_bytes >> 10, header->paddr);
    }
    kernel->segments[kernel->segment_count++] = (BootSegment){
        .gpa = header->paddr,
        .file_offset = header->offset,
        .file_bytes = header->file_bytes,
        .memory_bytes = header->memory_bytes,
    };
    kernel->reserved_start = MIN(kernel->reserved_start, header->paddr);
    kernel->reserved_end = MAX(kernel->reserved_end, header->paddr + header->memory_bytes);
    return true;
}

static bool
entry_is_loaded(const BootKernel *kernel)
{
    for (unsigned i = 0; i < kernel->segment_count; i++) {
        const BootSegment *segment = &kernel->segments[i];
        if (kernel->entry >= segment->gpa && kernel->entry - segment->gpa < segment->memory_bytes) {
            return kernel->entry <= UINT32_MAX;
        }
    }
    return false;
}

bool
boot_pvh_parse(BootKernel *kernel, const GuestMemory *memory, GError **error)
{
    ProgramTable table = {0};
    bool has_entry = false;

    if (!read_elf_header(&kernel->kernel, &table, error)) {
        return false;
    }
    kernel->reserved_start = UINT64_MAX;
    for (unsigned i = 0; i < table.count; i++) {
        ProgramHeader header = {0};
        if (!read_program_header(&kernel->kernel, &table, i, &header, error) ||
            (header.type == PT_LOAD && !add_segment(kernel, memory, &header, error)) ||
            (header.type == PT_NOTE && !parse_notes(kernel, &header, &has_entry, error))) {
            return false;
        }
    }
    if (!has_entry) {
        return boot_file_refuse(&kernel->kernel, error,
                                "it has no PVH entry (Xen note 18): build it with CONFIG_PVH, or "
                                "give its bzImage");
    }
    if (!entry_is_loaded(kernel)) {
        return boot_file_refuse(&kernel->kernel, error,
                                "its PVH entry %#" G_GINT64_MODIFIER "x lies in no segment",
                                kernel->entry);
    }
    kernel->initrd_address_max = INITRD_MAX_BYTE;
    kernel->cmdline_max = LINUX_CMDLINE_MAX;
    return true;
}

/* Everything in the page at BOOT_INFO_ADDRESS. */
typedef struct {
    StartInfo info;
    StartModule module;
    StartMemory map[BOOT_E820_MAX];
} StartPage;

bool
boot_pvh_write_info(const BootKernel *kernel, GuestMemory *memory)
{
    E820Entry entries[BOOT_E820_MAX];
    unsigned count = boot_e820(memory, true, entries, BOOT_E820_MAX);
    StartPage page = {
        .info =
            {
                .magic = START_MAGIC,
                .version = START_VERSION,
                .cmdline = BOOT_CMDLINE_ADDRESS,
                .rsdp = kernel->rsdp,
                .memory_map = BOOT_INFO_ADDRESS + offsetof(StartPage, map),
                .memory_map_count = count,
            },
    };

    if (kernel->initrd.path != NULL) {
        page.info.module_count = 1;
        page.info.modules = BOOT_INFO_ADDRESS + offsetof(StartPage, module);
        page.module.address = kernel->initrd_gpa;
        page.module.size = kernel->initrd.size_bytes;
    }
    for (unsigned i = 0; i < count; i++) {
        page.map[i] = (StartMemory){
            .address = entries[i].start,
            .size = entries[i].length,
            .type = entries[i].type,
        };
    }
    return boot_write(memory, BOOT_INFO_ADDRESS, &page, sizeof(page));
}
