/* SPDX-License-Identifier: Apache-2.0 */
/* Vital product data of disks (SBC-3 6.6): block limits, characteristics, provisioning. */
#include "sbc.h"

static uint32_t
block_limits(const struct bp_scsi_unit *unit, uint8_t *page)
{
    uint32_t size = unit->block_size;
    uint64_t unmap = unit->max_discard != 0 ? unit->max_discard : 1u << 30;

    page[4] = 0x01; /* WSNZ */
    page[5] = (uint8_t)bp_min_u64(sbc_max_compare(unit), 255);
    put_be(page + 6, 2, bp_min_u64(unit->physical_size / size, UINT16_MAX));
    put_be(page + 12, 4, unit->optimal_io / size);
    if (sbc_provisioned(unit)) {
        put_be(page + 20, 4, bp_min_u64(unmap / size, UINT32_MAX));
        put_be(page + 24, 4, SBC_UNMAP_DESCRIPTORS);
        put_be(page + 28, 4, unit->discard_granularity / size);
        put_be(page + 32, 4, 0x80000000u); /* UGAVALID: from block 0 on */
    }
    put_be(page + 36, 4, 0);
    put_be(page + 40, 4, SBC_MAX_SAME / size);
    return 64;
}

static uint32_t
characteristics(const struct bp_scsi_unit *unit, uint8_t *page)
{
    uint32_t rate = unit->identity.rotation_rate;

    if (rate == 0 && !(unit->block_flags & BP_BLOCK_ROTATIONAL)) {
        rate = 1; /* does not rotate */
    }
    put_be(page + 4, 2, rate);
    return 64;
}

static uint32_t
provisioning(const struct bp_scsi_unit *unit, uint8_t *page)
{
    if (sbc_provisioned(unit)) {
        page[5] = (uint8_t)(0xe0 | (sbc_zeroed(unit) ? 0x04 : 0)); /* LBPU LBPWS LBPWS10 LBPRZ */
        page[6] = 0x02;                                            /* thin */
    } else {
        page[6] = 0x01; /* fully provisioned, as far as it tells */
    }
    return 8;
}

uint32_t
sbc_vpd(const struct bp_scsi_unit *unit, uint32_t code, uint8_t *page)
{
    switch (code) {
    case 0xb0:
        return block_limits(unit, page);
    case 0xb1:
        return characteristics(unit, page);
    case 0xb2:
        return provisioning(unit, page);
    case 0xb6:
        return 64; /* no zones */
    default:
        return 0;
    }
}
