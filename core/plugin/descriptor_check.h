/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a class of a descriptor in an ELF image, with every pointer and count checked. */
#pragma once

#include "plugin/elf_image.h"

#include <backplane/plugin.h>

/* Copies a class (the smaller of both sizes, function pointers left out) and checks all it points
 * to. NULL, or what is wrong, owned by the caller. */
char *descriptor_read_class(const ElfImage *elf, const struct bp_class *raw,
                            struct bp_class *class);

/* True for an UTF-8 text of reasonable length inside the image. */
bool descriptor_is_text(const ElfImage *elf, const char *text);
/* True if a fixed-size array of a note holds a terminated text. */
bool descriptor_text_ends(const char *text, size_t size);
/* Lower-case letters, digits, '_' and '-', a letter first, at most 31. */
bool descriptor_is_name(const char *text);
