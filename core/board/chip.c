/* SPDX-License-Identifier: Apache-2.0 */
#include "board/chip.h"

void
chip_declare_registers(PciFunction *function, const ChipRegister *registers, size_t count)
{
    bool declared = true;

    for (size_t i = 0; i < count; i++) {
        const ChipRegister *reg = &registers[i];
        declared &= pci_function_set_config(function, reg->offset, reg->length, reg->value,
                                            reg->write_mask, reg->write1clear) == 0;
    }
    g_assert(declared); /* the tables are ours */
}

Region *
chip_claim(AddressSpace *space, const RegionArgs *args, GError **error)
{
    RegionArgs region_args = *args;
    Region *region;

    region_args.priority = REGION_PRIORITY_FIXED;
    region_args.exclusive = true;
    region = region_new(space, &region_args, error);
    if (region != NULL) {
        region_set_enabled(region, true);
    }
    return region;
}
