/* SPDX-License-Identifier: Apache-2.0 */
/* Symbols and relocations of an ELF image. */
#include "base/error.h"
#include "plugin/elf_image.h"

#include <string.h>

const char *
elf_image_string(const ElfImage *image, uint64_t offset)
{
    const ElfDynamic *dynamic = &image->dynamic;
    const uint8_t *table = elf_image_at(image, dynamic->string_table, dynamic->string_size);

    if (table == NULL || offset >= dynamic->string_size ||
        memchr(table + offset, '\0', dynamic->string_size - offset) == NULL) {
        return NULL;
    }
    return (const char *)table + offset;
}

bool
elf_image_symbol(const ElfImage *image, uint32_t index, Elf64_Sym *symbol, const char **name)
{
    uint64_t address = image->dynamic.symbol_table + UINT64_C(1) * index * sizeof(*symbol);
    const uint8_t *bytes =
        index < image->symbol_count ? elf_image_at(image, address, sizeof(*symbol)) : NULL;

    if (bytes == NULL) {
        return false;
    }
    memcpy(symbol, bytes, sizeof(*symbol));
    *name = elf_image_string(image, symbol->st_name);
    if (*name == NULL) {
        *name = "";
    }
    return true;
}

bool
elf_image_find_symbol(const ElfImage *image, const char *name, Elf64_Sym *symbol)
{
    const char *found;

    for (uint32_t i = 1; elf_image_symbol(image, i, symbol, &found); i++) {
        if (symbol->st_shndx != SHN_UNDEF && strcmp(found, name) == 0) {
            return true;
        }
    }
    return false;
}

uint16_t
elf_image_symbol_version(const ElfImage *image, uint32_t index)
{
    uint64_t table = image->dynamic.version_symbols;
    const uint8_t *bytes = table != 0 ? elf_image_at(image, table + UINT64_C(2) * index, 2) : NULL;
    uint16_t version = 1;

    if (bytes != NULL) {
        memcpy(&version, bytes, sizeof(version));
    }
    return version & 0x7FFF; /* the top bit hides a version from static linking */
}

static bool
table_has_irelative(const ElfImage *image, uint64_t table, uint64_t size)
{
    const uint8_t *bytes = elf_image_at(image, table, size);

    for (uint64_t i = 0; bytes != NULL && i < size / sizeof(Elf64_Rela); i++) {
        Elf64_Rela rela;
        memcpy(&rela, bytes + i * sizeof(rela), sizeof(rela));
        if (ELF64_R_TYPE(rela.r_info) == R_X86_64_IRELATIVE) {
            return true;
        }
    }
    return false;
}

bool
elf_image_has_irelative(const ElfImage *image)
{
    const ElfDynamic *dynamic = &image->dynamic;

    return table_has_irelative(image, dynamic->rela, dynamic->rela_size) ||
           table_has_irelative(image, dynamic->plt_rela, dynamic->plt_rela_size);
}

/* The pointer an address becomes; NULL if it leads outside. */
static uint64_t
pointer_to(const ElfImage *image, uint64_t address)
{
    return (uint64_t)(uintptr_t)elf_image_at(image, address, 0);
}

static uint64_t
symbol_pointer(const ElfImage *image, uint32_t index, int64_t addend)
{
    Elf64_Sym symbol;
    const char *name;

    if (!elf_image_symbol(image, index, &symbol, &name) || symbol.st_shndx == SHN_UNDEF) {
        return 0;
    }
    return pointer_to(image, symbol.st_value + (uint64_t)addend);
}

static bool
apply_rela(ElfImage *image, const Elf64_Rela *rela)
{
    uint8_t *place = elf_image_at(image, rela->r_offset, sizeof(uint64_t));
    uint64_t value;

    switch (ELF64_R_TYPE(rela->r_info)) {
    case R_X86_64_RELATIVE:
        value = pointer_to(image, (uint64_t)rela->r_addend);
        break;
    case R_X86_64_64:
        value = symbol_pointer(image, (uint32_t)ELF64_R_SYM(rela->r_info), rela->r_addend);
        break;
    case R_X86_64_GLOB_DAT:
        value = symbol_pointer(image, (uint32_t)ELF64_R_SYM(rela->r_info), 0);
        break;
    default:
        return true; /* thread-local storage and the like: no pointer a descriptor needs */
    }
    if (place != NULL) {
        memcpy(place, &value, sizeof(value));
    }
    return place != NULL;
}

static bool
relocate_one(ElfImage *image, uint64_t address)
{
    uint8_t *place = elf_image_at(image, address, sizeof(uint64_t));
    uint64_t value;

    if (place == NULL) {
        return false;
    }
    memcpy(&value, place, sizeof(value));
    value = pointer_to(image, value);
    memcpy(place, &value, sizeof(value));
    return true;
}

/* The 63 words from `first` on that a bitmap marks. */
static bool
relocate_marked(ElfImage *image, uint64_t first, uint64_t marks)
{
    for (uint64_t i = 0; i < 63; i++) {
        if ((marks >> i & 1) != 0 && !relocate_one(image, first + i * sizeof(uint64_t))) {
            return false;
        }
    }
    return true;
}

/* An even word is the address of one relative relocation; an odd one holds 63 bits for the words
 * that follow it. */
static bool
apply_relr(ElfImage *image)
{
    uint64_t size = image->dynamic.relr_size;
    const uint8_t *table = elf_image_at(image, image->dynamic.relr, size);
    bool is_good = size == 0 || table != NULL;
    uint64_t next = 0;

    for (uint64_t i = 0; is_good && i < size / sizeof(uint64_t); i++) {
        uint64_t word;
        memcpy(&word, table + i * sizeof(word), sizeof(word));
        if ((word & 1) == 0) {
            is_good = relocate_one(image, word);
            next = word + sizeof(word);
        } else {
            is_good = relocate_marked(image, next, word >> 1);
            next += 63 * sizeof(word);
        }
    }
    return is_good;
}

bool
elf_image_relocate(ElfImage *image, GError **error)
{
    uint64_t size = image->dynamic.rela_size;
    const uint8_t *table = elf_image_at(image, image->dynamic.rela, size);
    bool is_good = size == 0 || table != NULL;

    for (uint64_t i = 0; is_good && i < size / sizeof(Elf64_Rela); i++) {
        Elf64_Rela rela;
        memcpy(&rela, table + i * sizeof(rela), sizeof(rela));
        is_good = apply_rela(image, &rela);
    }
    if (!is_good || !apply_relr(image)) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_PLUGIN,
                    "%s: damaged: relocations lead outside its memory", image->path);
        return false;
    }
    return true;
}
