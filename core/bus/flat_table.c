/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/flat_table.h"

#include <string.h>

/* Index of the first range that ends at or behind address; count if there is none. */
static unsigned
lower_bound(const FlatTable *table, uint64_t address)
{
    unsigned low = 0;
    unsigned high = table->count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (table->ranges[middle].last < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void
insert_range(FlatTable *table, unsigned index, const FlatInput *input, uint64_t first,
             uint64_t last)
{
    FlatRange *at = &table->ranges[index];
    memmove(at + 1, at, (table->count - index) * sizeof *at);
    *at = (FlatRange){
        .first = first,
        .last = last,
        .region_base = input->base,
        .region = input->region,
    };
    table->count++;
}

/* Puts the parts of the input that nobody stronger has taken into the gaps. */
static void
insert_input(FlatTable *table, const FlatInput *input, uint64_t last)
{
    uint64_t cursor = input->base;
    unsigned index = lower_bound(table, cursor);
    while (index < table->count && table->ranges[index].first <= last) {
        uint64_t taken_first = table->ranges[index].first;
        uint64_t taken_last = table->ranges[index].last;
        if (cursor < taken_first) {
            insert_range(table, index, input, cursor, taken_first - 1);
            index++;
        }
        if (taken_last >= last) {
            return;
        }
        cursor = taken_last + 1;
        index++;
    }
    insert_range(table, index, input, cursor, last);
}

FlatTable *
flat_table_new(const FlatInput *inputs, unsigned count, uint64_t limit, uint64_t generation)
{
    /* Each input adds one range and cuts none: the stronger ones, which it may surround, raise the
     * number of its pieces by one each. So n inputs come to at most 2n - 1 ranges. */
    FlatTable *table = g_malloc(sizeof *table + 2 * (gsize)count * sizeof table->ranges[0]);
    table->generation = generation;
    table->count = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t base = inputs[i].base;
        if (base >= limit) {
            continue;
        }
        uint64_t room = limit - base;
        insert_input(table, &inputs[i], base + MIN(inputs[i].length, room) - 1);
    }
    return table;
}

void
flat_table_free(FlatTable *table)
{
    g_free(table);
}

const FlatRange *
flat_table_find(const FlatTable *table, uint64_t address, uint64_t *next)
{
    unsigned index = lower_bound(table, address);
    const FlatRange *range = index < table->count ? &table->ranges[index] : NULL;
    if (range && range->first <= address) {
        return range;
    }
    if (next) {
        *next = range ? range->first : UINT64_MAX;
    }
    return NULL;
}
