/* SPDX-License-Identifier: Apache-2.0 */
/* Accesses: from an address to calls of a device.
 *
 * Sizes. A device declares the widths it takes as one call; each call is naturally aligned, as a
 * cycle on the bus is.
 *   - An access that is wider, unaligned or leaves the region is split, lowest address first, each
 *     part as wide as possible.
 *   - A read that is narrower than all widths reads the narrowest one around it and takes its bytes
 *     out (ISA and PCI: the device drives all lanes, the master looks at those it enabled).
 *   - A write that is narrower than all widths is lost. Filling the other lanes with zeros would
 *     change bytes the guest did not touch, and reading them first has side effects of its own.
 * That is what an 82441FX does with a byte write to CF8h, its dword register (data sheet 3.1.1). */
#include "base/device_call.h"
#include "base/log.h"
#include "bus/address_space_internal.h"

#include <inttypes.h>
#include <string.h>

#define BITS_PER_BYTE 8

static uint64_t
ones(unsigned size)
{
    return size >= sizeof(uint64_t) ? UINT64_MAX : (UINT64_C(1) << (size * BITS_PER_BYTE)) - 1;
}

static bool
enter_device(DeviceCall *call, Region *region)
{
    if (device_call_enter(call, region->lock, region)) {
        return true;
    }
    log_debug("bus", "%s: access from within a device's own access, not passed on", region->name);
    return false;
}

static uint64_t
call_read(Region *region, uint64_t offset, unsigned size)
{
    DeviceCall call;
    if (!region->ops->read || !enter_device(&call, region)) {
        return ones(size);
    }
    uint64_t value = region->ops->read(region->opaque, offset, size);
    device_call_leave(&call);
    return value & ones(size);
}

static void
call_write(Region *region, uint64_t offset, unsigned size, uint64_t value)
{
    DeviceCall call;
    if (!region->ops->write || !enter_device(&call, region)) {
        return;
    }
    region->ops->write(region->opaque, offset, size, value & ones(size));
    device_call_leave(&call);
}

/* The widest implemented access of at most length bytes that is aligned here;
 * 0 if there is none. */
static unsigned
widest_aligned(const Region *region, uint64_t address, uint64_t length)
{
    for (unsigned width = sizeof(uint64_t); width > 0; width /= 2) {
        if ((region->widths & width) && width <= length && address % width == 0) {
            return width;
        }
    }
    return 0;
}

static unsigned
narrowest(const Region *region)
{
    return 1u << __builtin_ctz(region->widths);
}

/* Reads the bytes [address, address + *length) out of the narrowest access around them; *length is
 * cut at that access's end. */
static uint64_t
read_narrow(const Target *target, uint64_t address, unsigned *length)
{
    Region *region = target->region;
    unsigned width = narrowest(region);
    unsigned skip = address % width;
    *length = MIN(*length, width - skip);
    uint64_t start = address - skip;
    if (start < target->region_base || region->length < width ||
        start - target->region_base > region->length - width) {
        return ones(*length); /* the register would stick out of the region */
    }
    uint64_t value = call_read(region, start - target->region_base, width);
    return (value >> (skip * BITS_PER_BYTE)) & ones(*length);
}

/* Reads what one call can give; *length becomes the number of bytes it gave, at least 1. */
static uint64_t
read_part(AddressSpace *space, uint64_t address, unsigned *length)
{
    Target target = address_space_pin(space, address);
    *length = (unsigned)MIN(*length, target.room);
    if (!target.region) {
        return ones(*length);
    }
    unsigned width = widest_aligned(target.region, address, *length);
    uint64_t value;
    if (width > 0) {
        *length = width;
        value = call_read(target.region, address - target.region_base, width);
    } else {
        value = read_narrow(&target, address, length);
    }
    address_space_unpin(&target);
    return value;
}

static unsigned
write_part(AddressSpace *space, uint64_t address, unsigned length, uint64_t value)
{
    Target target = address_space_pin(space, address);
    length = (unsigned)MIN(length, target.room);
    if (!target.region) {
        return length;
    }
    unsigned width = widest_aligned(target.region, address, length);
    if (width > 0) {
        length = width;
        call_write(target.region, address - target.region_base, width, value);
    } else {
        unsigned lane = narrowest(target.region);
        length = MIN(length, lane - (unsigned)(address % lane));
        log_debug("bus", "%s: write of %u bytes at 0x%" PRIx64 " is too narrow, dropped",
                  target.region->name, length, address);
    }
    address_space_unpin(&target);
    return length;
}

/* An access that would wrap around the top of the address space has no meaning on any bus. */
static bool
access_wraps(uint64_t address, unsigned size)
{
    return address > UINT64_MAX - size;
}

uint64_t
address_space_read(AddressSpace *space, uint64_t address, unsigned size)
{
    if (access_wraps(address, size)) {
        return ones(size);
    }
    uint64_t value = 0;
    for (unsigned done = 0; done < size;) {
        unsigned length = size - done;
        uint64_t part = read_part(space, address + done, &length);
        value |= part << (done * BITS_PER_BYTE);
        done += length;
    }
    return value;
}

void
address_space_write(AddressSpace *space, uint64_t address, unsigned size, uint64_t value)
{
    if (access_wraps(address, size)) {
        return;
    }
    for (unsigned done = 0; done < size;) {
        done += write_part(space, address + done, size - done, value >> (done * BITS_PER_BYTE));
    }
}

/* The region takes count accesses of this size at this address in one call. */
static bool
takes_block(const Target *target, uint64_t address, unsigned size)
{
    return target->region && target->room >= size &&
           widest_aligned(target->region, address, size) == size;
}

void
address_space_read_block(AddressSpace *space, uint64_t address, unsigned size, uint32_t count,
                         void *data)
{
    Target target = address_space_pin(space, address);
    bool done = false;
    if (takes_block(&target, address, size) && target.region->ops->read_block) {
        DeviceCall call;
        if (enter_device(&call, target.region)) {
            target.region->ops->read_block(target.region->opaque, address - target.region_base,
                                           size, count, data);
            device_call_leave(&call);
            done = true;
        }
    }
    if (target.region) {
        address_space_unpin(&target);
    }
    for (uint32_t i = 0; !done && i < count; i++) {
        uint64_t value = address_space_read(space, address, size);
        memcpy((uint8_t *)data + (size_t)i * size, &value, size);
    }
}

void
address_space_write_block(AddressSpace *space, uint64_t address, unsigned size, uint32_t count,
                          const void *data)
{
    Target target = address_space_pin(space, address);
    bool done = false;
    if (takes_block(&target, address, size) && target.region->ops->write_block) {
        DeviceCall call;
        if (enter_device(&call, target.region)) {
            target.region->ops->write_block(target.region->opaque, address - target.region_base,
                                            size, count, data);
            device_call_leave(&call);
            done = true;
        }
    }
    if (target.region) {
        address_space_unpin(&target);
    }
    for (uint32_t i = 0; !done && i < count; i++) {
        uint64_t value = 0;
        memcpy(&value, (const uint8_t *)data + (size_t)i * size, size);
        address_space_write(space, address, size, value);
    }
}
