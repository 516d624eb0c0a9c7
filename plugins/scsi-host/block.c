/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that may go the block path (SBC-4 5.12 - 5.20, 5.37 - 5.45). Everything unusual about
 * one sends it to the device itself, which knows what to say. */
#include "host.h"

#include <backplane/sdk/bits.h>

#define PROTECT 0xe0u /* RDPROTECT, WRPROTECT */
#define FUA     0x08u

static uint64_t
load_be(const uint8_t *from, uint32_t bytes)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < bytes; i++) {
        value = value << 8 | from[i];
    }
    return value;
}

/* Blocks of a READ or WRITE; 0: it is none, or none of these. */
static uint32_t
take_apart(const uint8_t *cdb, uint64_t *lba, uint8_t *flags)
{
    uint32_t count;

    *flags = cdb[0] < 0x20 ? 0 : cdb[1];
    switch (cdb[0]) {
    case 0x08:
    case 0x0a:
        *lba = load_be(cdb + 1, 3) & 0x1fffff;
        return cdb[4] != 0 ? cdb[4] : 256;
    case 0x28:
    case 0x2a:
        *lba = load_be(cdb + 2, 4);
        count = (uint32_t)load_be(cdb + 7, 2);
        break;
    case 0xa8:
    case 0xaa:
        *lba = load_be(cdb + 2, 4);
        count = (uint32_t)load_be(cdb + 6, 4);
        break;
    case 0x88:
    case 0x8a:
        *lba = load_be(cdb + 2, 8);
        count = (uint32_t)load_be(cdb + 10, 4);
        break;
    default:
        count = 0;
        break;
    }
    return count;
}

uint32_t
host_block_range(const struct host_device *device, const struct bp_scsi_request *request,
                 struct host_range *range)
{
    uint8_t flags = 0;
    uint64_t lba = 0;
    uint32_t count = device->is_block ? take_apart(request->cdb, &lba, &flags) : 0;
    uint32_t out = (request->cdb[0] & 0x1f) == 0x0a;

    if (count == 0 || (flags & PROTECT) != 0 || lba >= device->blocks ||
        count > device->blocks - lba) {
        return 0;
    }
    range->offset = lba * device->block_size;
    range->length = (uint64_t)count * device->block_size;
    range->out = out;
    range->stable = (flags & FUA) != 0;
    return range->length == (out ? request->out_length : request->in_length) &&
           (out ? request->in_length : request->out_length) == 0;
}
