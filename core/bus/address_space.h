/* SPDX-License-Identifier: Apache-2.0 */
/* Where a port or a guest-physical address leads: the PIO space (64 Ki ports) and the MMIO space.
 *
 * Readers (vCPU threads) take no lock: they look into an immutable flat table that a writer
 * replaces as a whole. Regions may overlap; the higher priority wins, then the older one. An access
 * that leaves its region is split; one wider or narrower than the region implements is split or
 * widened as real ISA/PCI buses do. What nobody answers reads as all ones and ignores writes.
 *
 * A device may access the space from within its own accesses and callbacks (DMA that hits a
 * device). An access that would enter a device twice on one thread is answered as if nobody were
 * there: all ones, write lost (base/device_call.h). */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct AddressSpace AddressSpace;
typedef struct Region Region;

#define PIO_SPACE_SIZE UINT64_C(0x10000)

/* offset is relative to the region; size in bytes: 1, 2, 4 (and 8 on MMIO). */
typedef struct {
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, unsigned size, uint64_t value);
    /* REP INS / REP OUTS on one port: count accesses of size bytes. NULL: the bus loops. */
    void (*read_block)(void *opaque, uint64_t offset, unsigned size, uint32_t count, void *data);
    void (*write_block)(void *opaque, uint64_t offset, unsigned size, uint32_t count,
                        const void *data);
    /* 1|2|4|8: accesses of that many bytes are passed as one call, always naturally aligned. 0
     * means 1 only. Others are split; a read narrower than all takes its bytes out of the
     * narrowest, a write narrower than all is lost. */
    uint32_t widths;
} RegionOps;

enum {
    REGION_PRIORITY_DEFAULT = 0, /* whoever comes first: holes, catch-alls */
    REGION_PRIORITY_BAR = 10,    /* a PCI BAR: the guest can place it on top of anything */
    REGION_PRIORITY_FIXED = 20,  /* board and ISA ports: a BAR cannot take them away */
};

/* limit: one past the last address. */
AddressSpace *address_space_new(const char *name, uint64_t limit);
void address_space_free(AddressSpace *space);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AddressSpace, address_space_free)

typedef struct {
    const char *name; /* borrowed for the call; for messages */
    uint64_t base;
    uint64_t length;
    int priority;         /* REGION_PRIORITY_* */
    bool exclusive;       /* refuse to overlap another region of the same priority */
    const RegionOps *ops; /* outlives the region */
    void *opaque;
    GMutex *lock; /* held around each call into ops, or NULL */
} RegionArgs;

/* A new region is disabled. Fails (ERROR_CONFIG, naming both) when exclusive and overlapping, or
 * out of the space. [control] */
Region *region_new(AddressSpace *space, const RegionArgs *args, GError **error);
/* Disables; returns when no reader is inside. Not from within an access of the same region, and not
 * while holding the region's lock. [control] Takes NULL. */
void region_free(Region *region);
/* [control] [vcpu]: a guest moves BARs from a vCPU. Returns without waiting for readers. */
void region_set_enabled(Region *region, bool enabled);
void region_move(Region *region, uint64_t base);
bool region_is_enabled(const Region *region);
uint64_t region_base(const Region *region);
uint64_t region_length(const Region *region);

/* Called when a region's placement or enablement changed, so that doorbells (ioeventfds) follow it.
 * Called by the thread that changes it, no lock of the space held. */
void region_set_moved(Region *region, void (*moved)(Region *region, void *opaque), void *opaque);

/* One access. size 1, 2, 4 or 8. [vcpu] */
uint64_t address_space_read(AddressSpace *space, uint64_t address, unsigned size);
void address_space_write(AddressSpace *space, uint64_t address, unsigned size, uint64_t value);
/* count accesses to the same port (string I/O). [vcpu] */
void address_space_read_block(AddressSpace *space, uint64_t address, unsigned size, uint32_t count,
                              void *data);
void address_space_write_block(AddressSpace *space, uint64_t address, unsigned size, uint32_t count,
                               const void *data);
/* How many bytes from address on nobody answers; 0 when the address is mapped. [any] */
uint64_t address_space_hole(AddressSpace *space, uint64_t address);
/* A region covers the address. [any] */
bool address_space_is_mapped(AddressSpace *space, uint64_t address);
/* Calls each() for every enabled flat range in address order; it must free no region. [control] */
void address_space_foreach(AddressSpace *space,
                           void (*each)(uint64_t base, uint64_t length, const char *name,
                                        void *opaque),
                           void *opaque);
