/* SPDX-License-Identifier: Apache-2.0 */
/* The guest-physical address space as a bus master or the test protocol sees it: memory first, then
 * the MMIO regions. */
#pragma once

#include "bus/address_space.h"
#include "bus/guest_memory.h"

typedef struct {
    GuestMemory *memory; /* not owned */
    AddressSpace *mmio;
    AddressSpace *pio;
} PhysicalBus;

/* Any length; a device sees 1, 2, 4 and 8-byte accesses as such, longer ones split into the widest
 * that are aligned. [any] */
void physical_read(const PhysicalBus *bus, uint64_t gpa, void *data, uint64_t length);
void physical_write(const PhysicalBus *bus, uint64_t gpa, const void *data, uint64_t length);
