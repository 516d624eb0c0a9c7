/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/physical.h"

#include <string.h>

#define PAGE_BYTES   UINT64_C(0x1000)
#define ACCESS_BYTES 8 /* the widest access a device sees */

/* The guest may look at the same bytes: a naturally aligned 1, 2, 4 or 8 is moved in one piece. */
static void
copy_from_guest(void *data, const uint8_t *hva, uint64_t length)
{
    bool aligned = (uintptr_t)hva % length == 0;
    if (length == sizeof(uint64_t) && aligned) {
        uint64_t value = __atomic_load_n((const uint64_t *)(const void *)hva, __ATOMIC_RELAXED);
        memcpy(data, &value, sizeof value);
    } else if (length == sizeof(uint32_t) && aligned) {
        uint32_t value = __atomic_load_n((const uint32_t *)(const void *)hva, __ATOMIC_RELAXED);
        memcpy(data, &value, sizeof value);
    } else if (length == sizeof(uint16_t) && aligned) {
        uint16_t value = __atomic_load_n((const uint16_t *)(const void *)hva, __ATOMIC_RELAXED);
        memcpy(data, &value, sizeof value);
    } else {
        memcpy(data, hva, length);
    }
}

static void
copy_to_guest(uint8_t *hva, const void *data, uint64_t length)
{
    bool aligned = (uintptr_t)hva % length == 0;
    if (length == sizeof(uint64_t) && aligned) {
        uint64_t value;
        memcpy(&value, data, sizeof value);
        __atomic_store_n((uint64_t *)(void *)hva, value, __ATOMIC_RELAXED);
    } else if (length == sizeof(uint32_t) && aligned) {
        uint32_t value;
        memcpy(&value, data, sizeof value);
        __atomic_store_n((uint32_t *)(void *)hva, value, __ATOMIC_RELAXED);
    } else if (length == sizeof(uint16_t) && aligned) {
        uint16_t value;
        memcpy(&value, data, sizeof value);
        __atomic_store_n((uint16_t *)(void *)hva, value, __ATOMIC_RELAXED);
    } else {
        memcpy(hva, data, length);
    }
}

/* Size of the next access to a device: a whole transfer of 1, 2, 4 or 8 bytes as it is, else the
 * widest that is aligned. Never across a page: memory may begin there. */
static unsigned
access_size(uint64_t gpa, uint64_t length)
{
    uint64_t page_room = PAGE_BYTES - gpa % PAGE_BYTES;
    if (length <= ACCESS_BYTES && (length & (length - 1)) == 0 && length <= page_room) {
        return (unsigned)length;
    }
    unsigned size = ACCESS_BYTES;
    while (size > length || gpa % size != 0) {
        size /= 2;
    }
    return size;
}

/* Bytes from gpa on, within its page, for which neither memory nor a device answers. */
static uint64_t
hole_length(const PhysicalBus *bus, uint64_t gpa, uint64_t length)
{
    uint64_t page_room = PAGE_BYTES - gpa % PAGE_BYTES;
    return MIN(MIN(address_space_hole(bus->mmio, gpa), length), page_room);
}

static uint64_t
read_bus(const PhysicalBus *bus, uint64_t gpa, void *data, uint64_t length)
{
    uint64_t hole = hole_length(bus, gpa, length);
    if (hole > 0) {
        memset(data, 0xff, hole);
        return hole;
    }
    unsigned size = access_size(gpa, length);
    uint64_t value = address_space_read(bus->mmio, gpa, size);
    memcpy(data, &value, size); /* little-endian, as the host is */
    return size;
}

static uint64_t
write_bus(const PhysicalBus *bus, uint64_t gpa, const void *data, uint64_t length)
{
    uint64_t hole = hole_length(bus, gpa, length);
    if (hole > 0) {
        return hole;
    }
    unsigned size = access_size(gpa, length);
    uint64_t value = 0;
    memcpy(&value, data, size);
    address_space_write(bus->mmio, gpa, size, value);
    return size;
}

void
physical_read(const PhysicalBus *bus, uint64_t gpa, void *data, uint64_t length)
{
    uint8_t *at = data;
    while (length > 0) {
        uint8_t *hva = NULL;
        uint64_t done = guest_memory_lookup(bus->memory, gpa, length, false, &hva);
        if (done > 0) {
            copy_from_guest(at, hva, done);
        } else {
            done = read_bus(bus, gpa, at, length);
        }
        gpa += done; /* wraps around at the top, like the bus */
        at += done;
        length -= done;
    }
}

void
physical_write(const PhysicalBus *bus, uint64_t gpa, const void *data, uint64_t length)
{
    const uint8_t *at = data;
    while (length > 0) {
        uint8_t *hva = NULL;
        uint64_t done = guest_memory_lookup(bus->memory, gpa, length, true, &hva);
        if (done == 0) {
            done = write_bus(bus, gpa, at, length);
        } else if (hva) {
            copy_to_guest(hva, at, done);
        }
        gpa += done;
        at += done;
        length -= done;
    }
}
