/* SPDX-License-Identifier: Apache-2.0 */
/* From the guest's place to the file's: L1 and L2 tables. Nothing in them is trusted. */
#include "image.h"

#include <string.h>

#define SUBCLUSTERS 32u

uint32_t
entry_is_compressed(uint64_t entry)
{
    return (entry & COMPRESSED) != 0;
}

void
entry_packed(const struct image *image, uint64_t entry, uint64_t *offset, uint64_t *length)
{
    uint32_t bits = 62 - (image->cluster_bits - 8);
    uint64_t sectors = ((entry & ~(COPIED | COMPRESSED)) >> bits) + 1;

    *offset = entry & ((UINT64_C(1) << bits) - 1);
    *length = sectors * BP_BLOCK_SECTOR - (*offset & (BP_BLOCK_SECTOR - 1));
}

uint32_t
entry_kind(const struct image *image, uint64_t entry)
{
    if (entry_is_compressed(entry)) {
        return IS_PACKED;
    }
    if (image->header.version >= 3 && (entry & ZERO) != 0) {
        return IS_ZERO;
    }
    return (entry & OFFSET_MASK) != 0 ? IS_DATA : IS_NOTHING;
}

static uint32_t
has_long_entries(const struct image *image)
{
    return (image->header.incompatible & INCOMPATIBLE_LONG_L2) != 0;
}

uint64_t
place_granule(const struct image *image)
{
    return has_long_entries(image) ? image->cluster_size / SUBCLUSTERS : image->cluster_size;
}

uint32_t
place_kind(const struct image *image, const struct table *table, uint64_t place,
           uint64_t *ret_entry)
{
    uint64_t index = place >> image->cluster_bits & ((UINT64_C(1) << image->l2_bits) - 1);
    uint64_t part = (place & (image->cluster_size - 1)) / place_granule(image), bits;

    if (!has_long_entries(image)) {
        *ret_entry = get64(table->data + index * 8);
        return entry_kind(image, *ret_entry);
    }
    *ret_entry = get64(table->data + index * 16);
    bits = get64(table->data + index * 16 + 8);
    if (entry_is_compressed(*ret_entry)) {
        return IS_PACKED;
    }
    if ((bits >> (SUBCLUSTERS + part) & 1) != 0) {
        return IS_ZERO;
    }
    return (bits >> part & 1) != 0 ? IS_DATA : IS_NOTHING;
}

static uint32_t
overlaps(uint64_t offset, uint64_t length, uint64_t other, uint64_t other_length)
{
    return offset < other + other_length && other < offset + length;
}

/* Data over the header or a table would let the guest write those. */
int32_t
offset_check(struct image *image, uint64_t offset, uint64_t length)
{
    const struct header *header = &image->header;
    uint64_t end = image->next << image->cluster_bits;

    end = end < image->file_size ? end : image->file_size;
    if ((offset & (image->cluster_size - 1)) != 0 || offset > end || length > end - offset) {
        return image_broken(image, "a table refers outside of the file", offset);
    }
    if (offset < image->cluster_size ||
        overlaps(offset, length, header->l1_offset, (uint64_t)image->l1_size * 8) ||
        overlaps(offset, length, header->reftable_offset, image->reftable_size * 8) ||
        (header->snapshots > 0 && overlaps(offset, length, header->snapshots_offset, 1))) {
        return image_broken(image, "a table refers to the file's own structures", offset);
    }
    return 0;
}

int32_t
data_check(struct image *image, uint64_t offset, uint64_t length)
{
    int32_t error = offset_check(image, offset, length);

    if (error == 0 &&
        layout_has(image, offset >> image->cluster_bits, length >> image->cluster_bits)) {
        error = image_broken(image, "data lies in a table", offset);
    }
    return error;
}

int32_t
entry_check(struct image *image, uint64_t entry)
{
    uint64_t offset, length;

    if (entry_is_compressed(entry)) {
        entry_packed(image, entry, &offset, &length);
        /* The last sector may be cut off by the end of the file. */
        if (offset < image->cluster_size || offset >= image->file_size) {
            return image_broken(image, "compressed data outside of the file", offset);
        }
        return 0;
    }
    if ((entry & OFFSET_MASK) == 0 || has_long_entries(image)) {
        return 0; /* a part of a cluster may lie behind the end of the file: whoever reads looks */
    }
    return data_check(image, entry & OFFSET_MASK, image->cluster_size);
}

static struct table *
make_table(struct request *request, uint64_t l1_index, struct table *shared,
           void (*step)(struct request *request), int32_t *ret_error)
{
    struct image *image = request->image;
    uint64_t cluster, before = image->l1[l1_index];
    struct table *table;

    if (image->holding) {
        wait_for(&image->held, request, step);
        return NULL;
    }
    if (!frees_room(image)) {
        checkpoint_wait(request, step);
        return NULL;
    }
    if (clusters_take(request, 1, step, &cluster, ret_error) == 0) {
        return NULL;
    }
    table = cache_new(image, &image->tables, cluster << image->cluster_bits);
    if (table == NULL) {
        clusters_return(image, cluster, 1);
        checkpoint_wait(request, step);
        return NULL;
    }
    if (shared != NULL) {
        memcpy(table->data, shared->data, image->cluster_size);
        free_cluster(image, (before & OFFSET_MASK) >> image->cluster_bits, 0);
    } else {
        memset(table->data, 0, image->cluster_size);
    }
    table_dirty(table, 0, image->cluster_size);
    image->l1[l1_index] = table->offset | COPIED;
    if (image->l1_dirty_from == image->l1_dirty_to) {
        image->l1_dirty_from = l1_index;
        image->l1_dirty_to = l1_index + 1;
    }
    image->l1_dirty_from = l1_index < image->l1_dirty_from ? l1_index : image->l1_dirty_from;
    image->l1_dirty_to = l1_index >= image->l1_dirty_to ? l1_index + 1 : image->l1_dirty_to;
    return table;
}

struct table *
map_for_write(struct request *request, uint64_t place, void (*step)(struct request *request),
              int32_t *ret_error)
{
    struct image *image = request->image;
    uint64_t l1_index = place >> (image->cluster_bits + image->l2_bits);
    uint64_t entry, offset;
    struct table *table = NULL, *made;

    *ret_error = 0;
    if (l1_index >= image->l1_size) {
        *ret_error = image_broken(image, "the disk is larger than its L1 table", l1_index);
        return NULL;
    }
    entry = image->l1[l1_index];
    offset = entry & OFFSET_MASK;
    if (offset != 0) {
        *ret_error = offset_check(image, offset, image->cluster_size);
        if (*ret_error != 0) {
            return NULL;
        }
        table = cache_get(image, &image->tables, offset, request, step);
        if (table == NULL || (entry & COPIED) != 0) {
            return table;
        }
    }
    made = make_table(request, l1_index, table, step, ret_error);
    cache_put(image, table);
    return made;
}
