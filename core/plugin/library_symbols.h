/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the libraries a plugin is linked with can provide a symbol it imports. */
#pragma once

#include "plugin/elf_image.h"

/* Looks into each DT_NEEDED library on the plugin's run path and in the system's directories. True
 * as well when one of the libraries is not found there: only the dynamic linker knows then, and it
 * refuses by itself, before any code of the plugin runs. */
bool library_symbols_provide(const ElfImage *image, const char *name);
