/* SPDX-License-Identifier: Apache-2.0 */
/* Where the tables lie. An image in which two of them share a cluster, or one lies where free space
 * is said to be, must not be written: the first write could destroy what is left of it. And no
 * entry for data may lead to a table, or the guest could write the tables.
 *
 * A table's cluster never becomes data while the image is open (refcount.c uses only clusters again
 * that were data, and new ones), so what is found here stays true. */
#include "image.h"

#include <stdlib.h>

#define FIRST_ROOM 64u

struct layout {
    uint64_t *clusters;
    uint64_t count, room;
    const char *damage;
};

static int32_t
add(struct image *image, struct layout *layout, uint64_t offset, uint64_t length,
    const char *damage)
{
    uint64_t cluster = offset >> image->cluster_bits, end;

    if (offset > image->file_size || length > image->file_size - offset) {
        layout->damage = damage;
        return -EINVAL;
    }
    end = (offset + length + image->cluster_size - 1) >> image->cluster_bits;
    if (end > image->next) {
        layout->damage = damage;
        return -EINVAL;
    }
    if (end - cluster > layout->room - layout->count) {
        uint64_t room = layout->room * 2 + (end - cluster);
        uint64_t *grown = realloc(layout->clusters, room * sizeof(*grown));

        if (grown == NULL) {
            return -ENOMEM;
        }
        layout->clusters = grown;
        layout->room = room;
    }
    while (cluster < end) {
        layout->clusters[layout->count++] = cluster++;
    }
    return 0;
}

/* A table of one cluster that another table refers to. */
static int32_t
add_table(struct image *image, struct layout *layout, uint64_t offset, const char *damage)
{
    if (offset == 0) {
        return 0;
    }
    if ((offset & (image->cluster_size - 1)) != 0) {
        layout->damage = damage;
        return -EINVAL;
    }
    return add(image, layout, offset, image->cluster_size, damage);
}

static int32_t
add_snapshots(struct image *image, struct layout *layout)
{
    const char *damage = "its snapshot table lies where free space is counted, or outside";
    uint64_t start = image->header.snapshots_offset, offset = start;
    struct snapshot snapshot;
    int32_t result = 0;
    uint32_t i;

    for (i = 0; i < image->header.snapshots && result >= 0; i++) {
        result = snapshot_read(image, &offset, "", &snapshot);
        if (result >= 0) {
            result = add(image, layout, snapshot.l1_offset, (uint64_t)snapshot.l1_size * 8,
                         "a snapshot's L1 table lies where free space is counted, or outside");
        }
    }
    return result < 0 || i == 0 ? result : add(image, layout, start, offset - start, damage);
}

static int32_t
add_all(struct image *image, struct layout *layout)
{
    const struct header *header = &image->header;
    int32_t result = add(image, layout, 0, image->cluster_size, "its header is not counted");
    uint64_t i;

    if (result == 0) {
        result = add(image, layout, header->l1_offset, (uint64_t)image->l1_size * 8,
                     "its L1 table lies where free space is counted");
    }
    if (result == 0) {
        result = add(image, layout, header->reftable_offset, image->reftable_size * 8,
                     "its refcount table lies where free space is counted");
    }
    for (i = 0; i < image->reftable_size && result == 0; i++) {
        result = add_table(image, layout, image->reftable[i],
                           "a refcount block lies between clusters, where free space is counted, "
                           "or outside");
    }
    for (i = 0; i < image->l1_size && result == 0; i++) {
        result = add_table(image, layout, image->l1[i] & OFFSET_MASK,
                           "an L2 table lies between clusters, where free space is counted, or "
                           "outside");
    }
    return result == 0 ? add_snapshots(image, layout) : result;
}

static int
compare_clusters(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

int32_t
layout_check(struct image *image, const char **ret_damage)
{
    struct layout layout = {malloc(FIRST_ROOM * sizeof(uint64_t)), 0, FIRST_ROOM, NULL};
    int32_t result = layout.clusters == NULL ? -ENOMEM : add_all(image, &layout);
    uint64_t i;

    if (result == 0) {
        qsort(layout.clusters, layout.count, sizeof(*layout.clusters), compare_clusters);
    }
    for (i = 1; i < layout.count && result == 0; i++) {
        if (layout.clusters[i] == layout.clusters[i - 1]) {
            layout.damage = "two of its tables share a cluster";
            result = -EINVAL;
        }
    }
    if (result != 0) {
        free(layout.clusters);
        *ret_damage = layout.damage != NULL ? layout.damage : "its snapshot table cannot be read";
        return result;
    }
    image->layout = layout.clusters;
    image->layout_count = layout.count;
    return 0;
}

uint32_t
layout_has(const struct image *image, uint64_t cluster, uint64_t count)
{
    uint64_t low = 0, high = image->layout_count;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (image->layout[middle] < cluster) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < image->layout_count && image->layout[low] - cluster < count;
}
