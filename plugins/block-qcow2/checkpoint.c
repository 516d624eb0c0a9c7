/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints: what is in memory reaches the disk, in the order that image.h explains. While one
 * writes tables, nobody changes them: requests that would are held. */
#include "image.h"

#include <string.h>

#define L1_PIECE (BP_BLOCK_SECTOR / 8)

enum { FLUSH_FIRST, WRITE_TABLES, FLUSH_TABLES, WRITE_L1, FLUSH_L1, FREE };

static void advance(struct image *image, int32_t status);

/* --- requests at the data -------------------------------------------------------------------- */

void
pin_data(struct request *request)
{
    request->generation = request->image->generation;
    request->pinned = 1;
    request->image->pins[request->generation]++;
}

void
unpin_data(struct request *request)
{
    struct image *image = request->image;

    if (!request->pinned) {
        return;
    }
    request->pinned = 0;
    if (--image->pins[request->generation] == 0 && image->pins_awaited &&
        request->generation != image->generation) {
        image->pins_awaited = 0;
        counts_lower(image);
    }
}

/* --- what is not referred to any more ----------------------------------------------------------
 */

uint32_t
frees_room(const struct image *image)
{
    return image->free_count + 8 <= MAX_FREES;
}

void
free_cluster(struct image *image, uint64_t cluster, uint32_t single)
{
    if (image->free_count < MAX_FREES) {
        image->frees[image->free_count].cluster = cluster;
        image->frees[image->free_count].single = single;
        image->free_count++;
    }
}

void
free_entry(struct image *image, uint64_t entry)
{
    uint64_t offset, length, cluster;

    if (entry_is_compressed(entry)) {
        entry_packed(image, entry, &offset, &length);
        for (cluster = offset >> image->cluster_bits;
             cluster <= (offset + length - 1) >> image->cluster_bits; cluster++) {
            free_cluster(image, cluster, 0);
        }
    } else if ((entry & OFFSET_MASK) != 0) {
        free_cluster(image, (entry & OFFSET_MASK) >> image->cluster_bits, (entry & COPIED) != 0);
    }
}

/* --- the steps ---------------------------------------------------------------------------------
 */

static uint32_t
is_clean(const struct image *image)
{
    uint32_t i;

    for (i = 0; i < image->tables.count; i++) {
        if (image->tables.tables[i].dirty_from != image->tables.tables[i].dirty_to) {
            return 0;
        }
    }
    return image->l1_dirty_from == image->l1_dirty_to && image->free_count == 0;
}

static void
finish(struct image *image, int32_t status)
{
    struct waiting ended = image->sync_waiting, next;

    if (ended.first == NULL) {
        waiting_init(&ended);
    }
    waiting_init(&image->sync_waiting);
    image->syncing = 0;
    image->holding = 0;
    wake_all(&image->held, 0);
    wake_all(&ended, status);
    if (!image->syncing && image->sync_next.first != NULL) {
        next = image->sync_next;
        waiting_init(&image->sync_next);
        image->sync_waiting = next;
        image->syncing = 1;
        image->sync_request.lane = next.first->lane;
        advance(image, 1);
    }
}

static void
transferred(struct transfer *transfer, int32_t status)
{
    struct image *image = transfer->owner;

    if (image->sync_table != NULL) {
        struct table *table = image->sync_table;
        image->sync_table = NULL;
        if (status == 0) {
            table->dirty_from = table->dirty_to = 0;
        }
        cache_put(image, table);
    }
    advance(image, status);
}

static void
transfer(struct image *image, uint32_t op, uint64_t offset, uint8_t *data, uint64_t length)
{
    image->sync_transfer.done = transferred;
    image->sync_transfer.owner = image;
    image->sync_transfer.most = image->most;
    image->sync_transfer.io.slot = SLOT_FILE;
    transfer_start(&image->sync_transfer, image->sync_request.lane, op, offset, data, length);
}

/* Writes one dirty table. Returns 0 if there is none. Nobody changes it meanwhile. */
static uint32_t
write_table(struct image *image)
{
    uint32_t i;

    for (i = 0; i < image->tables.count; i++) {
        struct table *table = &image->tables.tables[i];
        uint64_t from = table->dirty_from & ~(uint64_t)(BP_BLOCK_SECTOR - 1);
        uint64_t to = (table->dirty_to + BP_BLOCK_SECTOR - 1) & ~(uint64_t)(BP_BLOCK_SECTOR - 1);

        if (table->dirty_from != table->dirty_to) {
            table->pins++;
            image->sync_table = table;
            transfer(image, BP_BLOCK_WRITE, table->offset + from, table->data + from, to - from);
            return 1;
        }
    }
    return 0;
}

/* Writes as much of the L1 table as fits into a buffer. Returns 0 if it is clean. */
static uint32_t
write_l1(struct image *image)
{
    uint64_t from = image->l1_dirty_from / L1_PIECE * L1_PIECE, to = image->l1_dirty_to, i;
    uint64_t room = image->cluster_size / 8;

    if (image->l1_dirty_from == image->l1_dirty_to) {
        return 0;
    }
    to = (to + L1_PIECE - 1) / L1_PIECE * L1_PIECE;
    to = to - from < room ? to : from + room;
    for (i = from; i < to; i++) {
        put64(image->bounce + (i - from) * 8, i < image->l1_size ? image->l1[i] : 0);
    }
    image->l1_dirty_from = to < image->l1_dirty_to ? to : image->l1_dirty_to;
    transfer(image, BP_BLOCK_WRITE, image->header.l1_offset + from * 8, image->bounce,
             (to - from) * 8);
    return 1;
}

/* Tables are written: everyone may change them again. What they had stopped referring to before may
 * be freed as soon as those who still are at it have ended. */
static void
start_freeing(struct image *image)
{
    uint32_t before = image->generation;

    memcpy(image->freeing, image->frees, image->free_count * sizeof(image->frees[0]));
    image->freeing_count = image->free_count;
    image->free_count = 0;
    image->generation ^= 1;
    image->holding = 0;
    image->sync_at = FREE;
    image->pins_awaited = image->pins[before] != 0;
    if (!image->pins_awaited) {
        counts_lower(image);
    }
    wake_all(&image->held, 0);
}

void
checkpoint_freed(struct image *image, int32_t status)
{
    finish(image, status);
}

/* status 1: from the start. */
static void
advance(struct image *image, int32_t status)
{
    if (status < 0) {
        if (image->sync_at >= WRITE_L1 && image->l1_dirty_to > 0) {
            image->l1_dirty_from = 0; /* again, all of it */
        }
        finish(image, status);
        return;
    }
    if (status == 1) {
        image->sync_at = FLUSH_FIRST;
        image->holding = !is_clean(image);
        transfer(image, BP_BLOCK_FLUSH, 0, NULL, 0);
        return;
    }
    if (!image->holding) {
        finish(image, 0); /* there was nothing to write */
        return;
    }
    if (image->sync_at <= WRITE_TABLES) {
        image->sync_at = WRITE_TABLES;
        if (write_table(image)) {
            return;
        }
        image->sync_at = FLUSH_TABLES;
        transfer(image, BP_BLOCK_FLUSH, 0, NULL, 0);
        return;
    }
    if (image->sync_at <= WRITE_L1) {
        uint32_t first = image->sync_at == FLUSH_TABLES;

        image->sync_at = WRITE_L1;
        if (write_l1(image)) {
            return;
        }
        image->l1_dirty_from = image->l1_dirty_to = 0;
        if (!first) {
            image->sync_at = FLUSH_L1;
            transfer(image, BP_BLOCK_FLUSH, 0, NULL, 0);
            return;
        }
    }
    start_freeing(image);
}

void
checkpoint_wait(struct request *request, void (*step)(struct request *request))
{
    struct image *image = request->image;

    if (image->syncing) {
        wait_for(&image->sync_next, request, step);
        return;
    }
    image->syncing = 1;
    wait_for(&image->sync_waiting, request, step);
    image->sync_request.lane = request->lane;
    advance(image, 1);
}
