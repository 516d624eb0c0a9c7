/* SPDX-License-Identifier: Apache-2.0 */
/* A shared object's memory as the dynamic linker would lay it out, built in private memory and
 * never executed. Every offset of the file is an enemy's until it has been checked. Reference:
 * System V ABI, chapters 4 and 5 and the x86-64 psABI;
 * DT_GNU_HASH and DT_RELR as glibc reads them. */
#pragma once

#include <elf.h>
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_IMAGE_MAX   (64u << 20) /* bytes of memory */
#define ELF_SYMBOLS_MAX 65536u
#define ELF_NEEDED_MAX  64u

typedef struct {
    uint64_t string_table, string_size;
    uint64_t symbol_table;
    uint64_t hash, gnu_hash;
    uint64_t version_symbols;
    uint64_t rela, rela_size, relr, relr_size, plt_rela, plt_rela_size;
    uint64_t init, fini, init_array_size, fini_array_size, preinit_array_size;
    uint64_t flags, flags_1, run_path;
    bool has_text_relocations, has_init, has_fini, has_run_path;
    uint64_t needed[ELF_NEEDED_MAX]; /* offsets in the string table */
    unsigned needed_count;
} ElfDynamic;

typedef struct {
    char *path;
    uint8_t *memory; /* span bytes: addresses base .. base + span */
    uint64_t base;
    uint64_t span;
    Elf64_Phdr *headers;
    unsigned header_count;
    ElfDynamic dynamic;
    uint32_t symbol_count;
} ElfImage;

/* Reads a shared object for x86-64. The error names path. */
ElfImage *elf_image_read(int fd, const char *path, GError **error);
void elf_image_free(ElfImage *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ElfImage, elf_image_free)

/* Makes pointers in the image real pointers into its memory: RELATIVE, RELR, and 64 and GLOB_DAT
 * against symbols of its own. What leads elsewhere becomes NULL. */
bool elf_image_relocate(ElfImage *image, GError **error);

/* length bytes at a virtual address; NULL if they are not all inside. */
uint8_t *elf_image_at(const ElfImage *image, uint64_t address, uint64_t length);
/* True if [pointer, pointer + length) lies in the memory. */
bool elf_image_contains(const ElfImage *image, const void *pointer, uint64_t length);
/* The string at an offset of the string table; NULL if it does not end inside. */
const char *elf_image_string(const ElfImage *image, uint64_t offset);
/* Symbol index of symbol_count; false past the end. *name is never NULL on success. */
bool elf_image_symbol(const ElfImage *image, uint32_t index, Elf64_Sym *symbol, const char **name);
/* A defined symbol by name, and its index if wanted. */
bool elf_image_find_symbol(const ElfImage *image, const char *name, Elf64_Sym *symbol);
/* Version index of a symbol: 0 local, 1 global without version, above: with one. */
uint16_t elf_image_symbol_version(const ElfImage *image, uint32_t index);
/* True if a relocation asks the linker to call code of the object (indirect functions). */
bool elf_image_has_irelative(const ElfImage *image);
