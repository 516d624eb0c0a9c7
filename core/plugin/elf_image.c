/* SPDX-License-Identifier: Apache-2.0 */
/* Reading ELF: headers, loadable segments, the dynamic table. */
#include "plugin/elf_image.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADERS_MAX 64u
#define DYNAMIC_MAX 1024u

static bool
refuse(const char *path, GError **error, const char *text)
{
    g_set_error(error, BACKPLANE_ERROR, ERROR_PLUGIN, "%s: %s", path, text);
    return false;
}

static bool
read_at(int fd, void *data, size_t length, uint64_t offset)
{
    uint8_t *at = data;

    while (length > 0) {
        ssize_t got = pread(fd, at, length, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        at += got;
        offset += (uint64_t)got;
        length -= (size_t)got;
    }
    return true;
}

static const char *
machine_name(uint16_t machine)
{
    switch (machine) {
    case EM_X86_64:
        return "x86-64";
    case EM_386:
        return "i386";
    case EM_ARM:
        return "ARM";
    case EM_AARCH64:
        return "AArch64";
    case EM_RISCV:
        return "RISC-V";
    case EM_PPC64:
        return "PowerPC64";
    case EM_S390:
        return "S/390";
    case EM_MIPS:
        return "MIPS";
    case EM_LOONGARCH:
        return "LoongArch";
    default:
        return NULL;
    }
}

static bool
check_machine(const ElfImage *image, const Elf64_Ehdr *header, GError **error)
{
    bool is_64 = header->e_ident[EI_CLASS] == ELFCLASS64;
    bool is_little = header->e_ident[EI_DATA] == ELFDATA2LSB;
    uint16_t machine = is_little ? header->e_machine : GUINT16_SWAP_LE_BE(header->e_machine);
    const char *name = machine_name(machine);

    if (is_64 && is_little && machine == EM_X86_64) {
        return true;
    }
    g_autofree char *number = g_strdup_printf("machine type %u", machine);
    g_set_error(error, BACKPLANE_ERROR, ERROR_PLUGIN,
                "%s: built for %s (%s-bit, %s-endian); this host runs x86-64 (64-bit, "
                "little-endian)",
                image->path, name != NULL ? name : number, is_64 ? "64" : "32",
                is_little ? "little" : "big");
    return false;
}

static bool
read_headers(ElfImage *image, int fd, GError **error)
{
    Elf64_Ehdr header = {0};
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return refuse(image->path, error, g_strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return refuse(image->path, error, "not a regular file");
    }
    if (!read_at(fd, header.e_ident, EI_NIDENT, 0) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
        return refuse(image->path, error, "not a shared object (no ELF header)");
    }
    /* e_type and e_machine stand at the same place in 32-bit files. */
    if (!read_at(fd, &header, sizeof(header), 0)) {
        return refuse(image->path, error, "truncated: the ELF header is not complete");
    }
    if (!check_machine(image, &header, error)) {
        return false;
    }
    if (header.e_type != ET_DYN || header.e_phentsize != sizeof(Elf64_Phdr) ||
        header.e_phnum == 0 || header.e_phnum > HEADERS_MAX) {
        return refuse(image->path, error, "not a shared object (wrong ELF type or headers)");
    }
    image->header_count = header.e_phnum;
    image->headers = g_new0(Elf64_Phdr, image->header_count);
    if (!read_at(fd, image->headers, image->header_count * sizeof(Elf64_Phdr), header.e_phoff)) {
        return refuse(image->path, error, "truncated: program headers lie beyond its end");
    }
    return true;
}

/* Where the segments lie: base and span. */
static bool
measure(ElfImage *image, GError **error)
{
    uint64_t end = 0;
    bool found = false;

    for (unsigned i = 0; i < image->header_count; i++) {
        const Elf64_Phdr *header = &image->headers[i];
        if (header->p_type != PT_LOAD) {
            continue;
        }
        if (header->p_filesz > header->p_memsz || header->p_memsz > ELF_IMAGE_MAX ||
            header->p_vaddr > UINT64_MAX - header->p_memsz || (found && header->p_vaddr < end)) {
            return refuse(image->path, error, "damaged: its segments make no sense");
        }
        if (!found) {
            /* Pages start aligned, so alignment in the image is alignment in our copy. */
            image->base = header->p_vaddr & ~UINT64_C(0xFFF);
        }
        found = true;
        end = header->p_vaddr + header->p_memsz;
    }
    if (!found || end - image->base > ELF_IMAGE_MAX) {
        return refuse(image->path, error,
                      found ? "damaged: larger than 64 MiB in memory"
                            : "damaged: nothing in it is to be loaded");
    }
    image->span = end - image->base;
    return true;
}

static bool
read_segments(ElfImage *image, int fd, GError **error)
{
    image->memory = g_try_malloc0(MAX(image->span, 1));
    if (image->memory == NULL) {
        return refuse(image->path, error, "no memory to read it");
    }
    for (unsigned i = 0; i < image->header_count; i++) {
        const Elf64_Phdr *header = &image->headers[i];
        if (header->p_type == PT_LOAD && header->p_filesz > 0 &&
            !read_at(fd, image->memory + (header->p_vaddr - image->base), header->p_filesz,
                     header->p_offset)) {
            return refuse(image->path, error, "truncated: a segment lies beyond its end");
        }
    }
    return true;
}

/* Where the values go; the others are of no interest here. */
static const struct {
    int64_t tag;
    size_t field;
} dynamic_values[] = {
    {DT_STRTAB, offsetof(ElfDynamic, string_table)},
    {DT_STRSZ, offsetof(ElfDynamic, string_size)},
    {DT_SYMTAB, offsetof(ElfDynamic, symbol_table)},
    {DT_HASH, offsetof(ElfDynamic, hash)},
    {DT_GNU_HASH, offsetof(ElfDynamic, gnu_hash)},
    {DT_VERSYM, offsetof(ElfDynamic, version_symbols)},
    {DT_RELA, offsetof(ElfDynamic, rela)},
    {DT_RELASZ, offsetof(ElfDynamic, rela_size)},
    {DT_RELR, offsetof(ElfDynamic, relr)},
    {DT_RELRSZ, offsetof(ElfDynamic, relr_size)},
    {DT_JMPREL, offsetof(ElfDynamic, plt_rela)},
    {DT_PLTRELSZ, offsetof(ElfDynamic, plt_rela_size)},
    {DT_INIT, offsetof(ElfDynamic, init)},
    {DT_FINI, offsetof(ElfDynamic, fini)},
    {DT_INIT_ARRAYSZ, offsetof(ElfDynamic, init_array_size)},
    {DT_FINI_ARRAYSZ, offsetof(ElfDynamic, fini_array_size)},
    {DT_PREINIT_ARRAYSZ, offsetof(ElfDynamic, preinit_array_size)},
    {DT_FLAGS, offsetof(ElfDynamic, flags)},
    {DT_FLAGS_1, offsetof(ElfDynamic, flags_1)},
    {DT_RPATH, offsetof(ElfDynamic, run_path)},
    {DT_RUNPATH, offsetof(ElfDynamic, run_path)},
};

static void
take_dynamic(ElfDynamic *dynamic, const Elf64_Dyn *entry)
{
    int64_t tag = entry->d_tag;

    for (size_t i = 0; i < G_N_ELEMENTS(dynamic_values); i++) {
        if (dynamic_values[i].tag == tag) {
            memcpy((uint8_t *)dynamic + dynamic_values[i].field, &entry->d_un.d_val,
                   sizeof(entry->d_un.d_val));
        }
    }
    if (tag == DT_NEEDED && dynamic->needed_count < ELF_NEEDED_MAX) {
        dynamic->needed[dynamic->needed_count++] = entry->d_un.d_val;
    }
    dynamic->has_text_relocations = dynamic->has_text_relocations || tag == DT_TEXTREL;
    dynamic->has_init = dynamic->has_init || tag == DT_INIT;
    dynamic->has_fini = dynamic->has_fini || tag == DT_FINI;
    dynamic->has_run_path = dynamic->has_run_path || tag == DT_RPATH || tag == DT_RUNPATH;
}

static bool
read_dynamic(ElfImage *image, GError **error)
{
    const Elf64_Phdr *found = NULL;

    for (unsigned i = 0; i < image->header_count; i++) {
        if (image->headers[i].p_type == PT_DYNAMIC) {
            found = &image->headers[i];
        }
    }
    if (found == NULL) {
        return refuse(image->path, error, "damaged: no dynamic table");
    }
    uint64_t count = MIN(found->p_memsz / sizeof(Elf64_Dyn), DYNAMIC_MAX);
    const uint8_t *table = elf_image_at(image, found->p_vaddr, count * sizeof(Elf64_Dyn));
    if (table == NULL) {
        return refuse(image->path, error, "damaged: the dynamic table lies outside its memory");
    }
    for (uint64_t i = 0; i < count; i++) {
        Elf64_Dyn entry;
        memcpy(&entry, table + i * sizeof(entry), sizeof(entry));
        if (entry.d_tag == DT_NULL) {
            break;
        }
        take_dynamic(&image->dynamic, &entry);
    }
    return true;
}

static bool
read_u32(const ElfImage *image, uint64_t address, uint32_t *value)
{
    const uint8_t *bytes = elf_image_at(image, address, sizeof(*value));

    if (bytes != NULL) {
        memcpy(value, bytes, sizeof(*value));
    }
    return bytes != NULL;
}

/* DT_GNU_HASH does not say how many symbols there are: the last one ends the chain of the highest
 * bucket. */
static uint32_t
count_by_gnu_hash(const ElfImage *image)
{
    uint64_t table = image->dynamic.gnu_hash;
    uint32_t buckets, first, bloom_words, last = 0;

    if (!read_u32(image, table, &buckets) || !read_u32(image, table + 4, &first) ||
        !read_u32(image, table + 8, &bloom_words) || buckets > ELF_SYMBOLS_MAX) {
        return 0;
    }
    uint64_t bucket_table = table + 16 + UINT64_C(8) * bloom_words;
    uint64_t chain_table = bucket_table + UINT64_C(4) * buckets;
    for (uint32_t i = 0; i < buckets; i++) {
        uint32_t start;
        if (!read_u32(image, bucket_table + UINT64_C(4) * i, &start)) {
            return 0;
        }
        last = MAX(last, start);
    }
    if (last < first) {
        return MIN(first, ELF_SYMBOLS_MAX);
    }
    while (last < ELF_SYMBOLS_MAX) {
        uint32_t hash;
        if (!read_u32(image, chain_table + UINT64_C(4) * (last - first), &hash)) {
            return 0;
        }
        last++;
        if ((hash & 1) != 0) {
            break;
        }
    }
    return last;
}

static bool
count_symbols(ElfImage *image, GError **error)
{
    const ElfDynamic *dynamic = &image->dynamic;
    uint32_t count = 0;

    if (dynamic->hash != 0) {
        (void)read_u32(image, dynamic->hash + 4, &count);
        count = MIN(count, ELF_SYMBOLS_MAX);
    } else if (dynamic->gnu_hash != 0) {
        count = count_by_gnu_hash(image);
    }
    if (count == 0 ||
        elf_image_at(image, dynamic->symbol_table, UINT64_C(1) * count * sizeof(Elf64_Sym)) ==
            NULL ||
        elf_image_at(image, dynamic->string_table, dynamic->string_size) == NULL) {
        return refuse(image->path, error, "damaged: its symbol table makes no sense");
    }
    image->symbol_count = count;
    return true;
}

ElfImage *
elf_image_read(int fd, const char *path, GError **error)
{
    g_autoptr(ElfImage) image = g_new0(ElfImage, 1);

    image->path = g_strdup(path);
    if (!read_headers(image, fd, error) || !measure(image, error) ||
        !read_segments(image, fd, error) || !read_dynamic(image, error) ||
        !count_symbols(image, error)) {
        return NULL;
    }
    return g_steal_pointer(&image);
}

void
elf_image_free(ElfImage *image)
{
    if (image == NULL) {
        return;
    }
    g_free(image->memory);
    g_free(image->headers);
    g_free(image->path);
    g_free(image);
}

uint8_t *
elf_image_at(const ElfImage *image, uint64_t address, uint64_t length)
{
    if (address < image->base || address - image->base > image->span ||
        length > image->span - (address - image->base)) {
        return NULL;
    }
    return image->memory + (address - image->base);
}

bool
elf_image_contains(const ElfImage *image, const void *pointer, uint64_t length)
{
    uintptr_t start = (uintptr_t)image->memory;
    uintptr_t at = (uintptr_t)pointer;

    return at >= start && at - start <= image->span && length <= image->span - (at - start);
}
