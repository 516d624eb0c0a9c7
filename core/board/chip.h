/* SPDX-License-Identifier: Apache-2.0 */
/* What the board's chips do alike: tables of configuration registers, and fixed ports. */
#pragma once

#include "bus/address_space.h"
#include "bus/pci.h"

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* length bytes at offset: reset value, which bits can be written,
 * which are cleared by writing one. */
typedef struct {
    uint8_t offset, length;
    uint8_t value[8], write_mask[8], write1clear[8];
} ChipRegister;

void chip_declare_registers(PciFunction *function, const ChipRegister *registers, size_t count);

/* A new, enabled region that no BAR can take away; args gives name, base, length, ops, opaque,
 * lock. */
Region *chip_claim(AddressSpace *space, const RegionArgs *args, GError **error);

/* An access of size bytes at offset touches [first, first + count). */
static inline bool
chip_touches(unsigned offset, unsigned size, unsigned first, unsigned count)
{
    return offset < first + count && offset + size > first;
}
