/* SPDX-License-Identifier: Apache-2.0 */
/* Room in the file, and a larger disk. [control] */
#include "image.h"

#include <stdlib.h>
#include <string.h>

/* --- room to grow ------------------------------------------------------------------------------
 */

static uint64_t
clusters_wanted(const struct image *image, uint64_t size)
{
    uint64_t data = (size >> image->cluster_bits) + 1;
    uint64_t tables = (data >> image->l2_bits) + 1, all = image->next + data + tables;

    return all + (all >> image->count_bits) + 64 + (REFTABLE_MAX_BYTES >> image->cluster_bits);
}

/* Has the file below made as long as it may ever become. It costs nothing in a sparse file, and
 * nothing has to wait for the control thread later. */
static void
lengthen_file(struct image *image, uint64_t clusters)
{
    const struct bp_block_ops *below = image->stack.below[SLOT_FILE];
    void *self = image->stack.below_self[SLOT_FILE];
    uint64_t least = image->next + 64, bytes;
    int32_t result = -EOPNOTSUPP;

    image->zero_from = UINT64_MAX;
    while (BP_HAS(below, resize) && result != 0 && clusters > least) {
        bytes = clusters << image->cluster_bits;
        if (bytes <= image->file_size) {
            break;
        }
        result = below->resize(self, bytes);
        if (result == 0) {
            image->zero_from = (image->file_size + image->cluster_size - 1) >> image->cluster_bits;
            image->file_size = bytes;
        } else if (result == -EOPNOTSUPP || result == -EROFS) {
            break;
        }
        clusters = least + (clusters - least) / 2;
    }
    image->limit = image->file_size >> image->cluster_bits;
}

/* From now on the header refers to a table's new place. If it cannot be written, nobody knows which
 * of the two the file has, and the image must not change any more. */
static int32_t
refer_to(struct image *image, uint32_t at, const uint8_t *field, uint32_t length)
{
    int32_t result = sync_header(image, at, field, length);

    if (result != 0) {
        (void)image_broken(image, "its header cannot be written", at);
    }
    return result;
}

static int32_t
move_reftable(struct image *image, uint64_t clusters)
{
    uint64_t entries = clusters << image->cluster_bits >> 3, cluster, i, before;
    uint64_t *table = calloc(entries, sizeof(*table)), *raw = calloc(entries, sizeof(*raw));
    uint64_t *old = image->reftable, old_size = image->reftable_size;
    uint8_t field[12];
    int32_t result = table == NULL || raw == NULL ? -ENOMEM : 0;

    if (result == 0) {
        memcpy(table, old, old_size * sizeof(*table));
        image->reftable = table;
        image->reftable_size = entries;
        image->table_moves = 1;
        result = sync_take(image, clusters, &cluster);
        image->table_moves = 0;
    }
    for (i = 0; result == 0 && i < entries; i++) {
        raw[i] = htobe64(image->reftable[i]);
    }
    if (result == 0) {
        result = sync_write(image, cluster << image->cluster_bits, raw, entries * 8);
    }
    if (result == 0) {
        result = sync_flush(image);
    }
    free(raw);
    if (result != 0) {
        /* Nothing refers to what was done: the old table is as it was. */
        free(table);
        image->reftable = old;
        image->reftable_size = old_size;
        return result;
    }
    before = image->header.reftable_offset >> image->cluster_bits;
    i = image->header.reftable_clusters;
    put64(field, cluster << image->cluster_bits);
    put32(field + 8, (uint32_t)clusters);
    image->header.reftable_offset = cluster << image->cluster_bits;
    image->header.reftable_clusters = (uint32_t)clusters;
    free(old);
    result = refer_to(image, HEADER_AT_REFTABLE, field, sizeof(field));
    return result == 0 ? sync_lower(image, before, i) : result;
}

int32_t
image_make_room(struct image *image, uint64_t size)
{
    uint64_t wanted = clusters_wanted(image, size), entries, clusters, next = image->next;
    int32_t result = 0;

    lengthen_file(image, wanted);
    entries = (image->limit >> image->count_bits) + 1;
    if (entries > image->reftable_size) {
        clusters = (entries * 8 + image->cluster_size - 1) >> image->cluster_bits;
        if (clusters << image->cluster_bits <= REFTABLE_MAX_BYTES) {
            result = move_reftable(image, clusters);
        }
        if (result == -ENOSPC) {
            result = 0; /* do with what the old one can count */
            image->next = next > image->next ? next : image->next;
        }
    }
    image->fresh_from = image->next;
    return result;
}

/* --- growing -----------------------------------------------------------------------------------
 */

static int32_t
move_l1(struct image *image, uint64_t entries)
{
    uint64_t clusters = (entries * 8 + image->cluster_size - 1) >> image->cluster_bits, cluster, i;
    uint64_t *table = calloc(entries, sizeof(*table)), *raw = calloc(entries, sizeof(*raw));
    uint64_t before = image->header.l1_offset >> image->cluster_bits;
    uint64_t count =
        ((uint64_t)image->l1_size * 8 + image->cluster_size - 1) >> image->cluster_bits;
    uint8_t field[12];
    int32_t result = table == NULL || raw == NULL ? -ENOMEM : 0;

    if (result == 0) {
        memcpy(table, image->l1, image->l1_size * sizeof(*table));
        for (i = 0; i < image->l1_size; i++) {
            raw[i] = htobe64(table[i]);
        }
        result = sync_take(image, clusters, &cluster);
    }
    if (result == 0) {
        result = sync_write(image, cluster << image->cluster_bits, raw, entries * 8);
    }
    if (result == 0) {
        result = sync_flush(image);
    }
    free(raw);
    if (result != 0) {
        free(table);
        return result;
    }
    put32(field, (uint32_t)entries);
    put64(field + 4, cluster << image->cluster_bits);
    free(image->l1);
    image->l1 = table;
    image->l1_size = (uint32_t)entries;
    image->header.l1_offset = cluster << image->cluster_bits;
    result = refer_to(image, HEADER_AT_L1_SIZE, field, sizeof(field));
    return result == 0 ? sync_lower(image, before, count) : result;
}

static int32_t
grow(struct image *image, uint64_t size)
{
    uint64_t entries = header_l1_needed(&image->header, size);
    uint8_t field[8];
    uint32_t i;
    int32_t result = entries > L1_MAX_BYTES / 8 ? -EFBIG : image_make_room(image, size);

    if (result == 0 && entries > image->l1_size) {
        result = move_l1(image, entries);
    }
    /* What the cache knows of the counts is old now. */
    for (i = 0; i < image->refs.count; i++) {
        image->refs.tables[i].offset = 0;
    }
    put64(field, size);
    if (result == 0) {
        result = sync_header(image, HEADER_AT_SIZE, field, sizeof(field));
    }
    if (result == 0) {
        image->size = size;
        image->header.size = size;
    }
    return result;
}

int32_t
image_resize(struct image *image, uint64_t size)
{
    int32_t result;

    if (image->readonly) {
        return -EROFS;
    }
    if (size % BP_BLOCK_SECTOR != 0 || size == 0) {
        return -EINVAL;
    }
    if (size < image->size || image->broken) {
        return -EOPNOTSUPP;
    }
    bp_block_stack_freeze(&image->stack);
    result = image_flush(image);
    if (result == 0) {
        result = sync_begin(image);
    }
    if (result == 0) {
        result = grow(image, size);
        sync_end(image);
    }
    bp_block_stack_thaw(&image->stack);
    if (result == 0) {
        bp_block_stack_event(&image->stack, BP_BLOCK_EVENT_RESIZED);
    }
    return result;
}
