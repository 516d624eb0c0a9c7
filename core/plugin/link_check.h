/* SPDX-License-Identifier: Apache-2.0 */
/* How a plugin may be linked: nothing of it runs before create(), nothing of it stays behind,
 * nothing in it asks the core for symbols. */
#pragma once

#include "plugin/elf_image.h"

/* The first rule the image breaks is the error. upgradable: it promises live upgrade, and so must
 * not import what leaves traces in the process. */
bool link_check(const ElfImage *image, bool upgradable, GError **error);
