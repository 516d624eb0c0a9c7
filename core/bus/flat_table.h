/* SPDX-License-Identifier: Apache-2.0 */
/* An address space as a sorted array of ranges that do not overlap: what priorities and ages of the
 * regions come to. Immutable once built; readers search it without a lock. */
#pragma once

#include "bus/address_space.h"

typedef struct {
    uint64_t first;
    uint64_t last;        /* inclusive: a range may end at the top of the space */
    uint64_t region_base; /* of the region when the table was built */
    Region *region;
} FlatRange;

typedef struct {
    uint64_t generation;
    unsigned count;
    FlatRange ranges[];
} FlatTable;

/* A region as the table's builder wants it. */
typedef struct {
    uint64_t base;
    uint64_t length; /* at least 1 */
    Region *region;
} FlatInput;

/* inputs: strongest first. What lies at or beyond limit, or wraps around, is cut off. */
FlatTable *flat_table_new(const FlatInput *inputs, unsigned count, uint64_t limit,
                          uint64_t generation);
void flat_table_free(FlatTable *table);
/* The range that holds address; NULL when there is none. *next: the first address of the range
 * behind the hole, or UINT64_MAX; may be NULL. */
const FlatRange *flat_table_find(const FlatTable *table, uint64_t address, uint64_t *next);
