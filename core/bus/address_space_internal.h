/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by address_space.c (the map) and address_access.c (the accesses). */
#pragma once

#include "bus/address_space.h"
#include "bus/flat_table.h"

#define SHARD_COUNT      16
#define CACHE_LINE_BYTES 64

typedef struct {
    uint32_t searching; /* threads that look at the table */
} __attribute__((aligned(CACHE_LINE_BYTES))) ReaderShard;

struct AddressSpace {
    ReaderShard shards[SHARD_COUNT];
    FlatTable *table; /* atomic; replaced as a whole */
    uint64_t limit;
    char *name;
    GMutex lock;        /* protects: regions, their placement, the replacement of the table */
    GPtrArray *regions; /* strongest first */
};

struct Region {
    AddressSpace *space;
    char *name;
    const RegionOps *ops;
    void *opaque;
    GMutex *lock;
    uint32_t widths;
    int priority;
    bool exclusive;
    uint64_t length;
    uint64_t base;  /* atomic; written under the space's lock */
    bool enabled;   /* atomic; written under the space's lock */
    uint32_t users; /* atomic: threads inside, or on their way */
    void (*moved)(Region *region, void *opaque);
    void *moved_opaque;
};

/* Where an address leads. The region is pinned: it is not freed before it is unpinned. */
typedef struct {
    Region *region; /* NULL: nobody answers */
    uint64_t region_base;
    uint64_t room; /* bytes up to the end of the range or of the hole */
} Target;

/* Wait-free but for a change of the map that happens at the same time. */
Target address_space_pin(AddressSpace *space, uint64_t address);
/* target->region must not be NULL. */
void address_space_unpin(const Target *target);
