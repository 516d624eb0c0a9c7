/* SPDX-License-Identifier: Apache-2.0 */
/* Order between writes that share a block of the device.
 *
 * A guest may write neighbouring sectors at the same time. Where the host can only write larger
 * blocks, one such write reads the block, changes a part, and writes it back: another write to the
 * same block in between would be lost. So each writer holds the range of whole blocks it touches;
 * one that reads and writes back (exclusive) has it alone, others share it. First come, first
 * served. */
#ifndef BLOCK_FILE_RANGE_H
#define BLOCK_FILE_RANGE_H

#include <pthread.h>
#include <stdint.h>

struct range {
    uint64_t start; /* bytes, whole blocks */
    uint64_t end;   /* first byte after it */
    uint32_t exclusive;
    uint32_t held; /* linked in a table; of use to the owner alone */
    struct range *next;
    struct range *previous;
};

struct range_table {
    pthread_mutex_t lock; /* protects: the list */
    pthread_cond_t dropped;
    struct range *first; /* oldest */
    struct range *last;
    uint32_t waiting; /* threads in range_wait() */
};

void range_table_init(struct range_table *table);
void range_table_done(struct range_table *table);

/* Takes the range if nothing is in its way. Returns 1 if it is held now, else 0. */
uint32_t range_try(struct range_table *table, struct range *range);
/* Takes the range when those before it are gone. The caller holds no other range. */
void range_wait(struct range_table *table, struct range *range);
/* Gives a held range back; any thread may. */
void range_drop(struct range_table *table, struct range *range);

#endif
