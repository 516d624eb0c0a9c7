/* SPDX-License-Identifier: Apache-2.0 */
/* Requests the control thread waits for: opening, growing, closing. */
#include "image.h"

#include <string.h>

int32_t
sync_begin(struct image *image)
{
    const struct bp_services *services = &image->services;
    void *memory;
    int32_t result =
        services->memory->arena_alloc(services->instance, ARENA_OPEN, SYNC_BYTES, 4096, &memory);

    if (result != 0) {
        return result;
    }
    image->sync_data = memory;
    result = bp_block_sync_open(&image->sync, services, image->stack.below[SLOT_FILE],
                                image->stack.below_self[SLOT_FILE]);
    if (result != 0) {
        sync_end(image);
    }
    return result;
}

void
sync_end(struct image *image)
{
    if (image->sync_data != NULL) {
        bp_block_sync_close(&image->sync);
        image->services.memory->arena_free(image->services.instance, ARENA_OPEN);
        image->sync_data = NULL;
    }
}

static uint64_t
up(uint64_t value)
{
    return (value + BP_BLOCK_SECTOR - 1) & ~(uint64_t)(BP_BLOCK_SECTOR - 1);
}

/* What lies behind the end of the file reads as zeroes. */
int32_t
sync_read(struct image *image, uint64_t offset, void *data, uint64_t length)
{
    uint8_t *to = data;
    int32_t result = 0;

    while (length > 0 && result == 0) {
        uint64_t start = offset & ~(uint64_t)(BP_BLOCK_SECTOR - 1), skip = offset - start;
        uint64_t piece =
            length < image->most - BP_BLOCK_SECTOR ? length : image->most - BP_BLOCK_SECTOR;
        uint64_t whole = up(skip + piece);

        if (start >= image->file_size || whole > image->file_size - start) {
            whole = start < image->file_size ? image->file_size - start : 0;
        }
        memset(image->sync_data, 0, up(skip + piece));
        if (whole > 0) {
            result =
                bp_block_sync_io(&image->sync, BP_BLOCK_READ, 0, start, image->sync_data, whole);
        }
        if (result == 0) {
            memcpy(to, image->sync_data + skip, piece);
        }
        to += piece;
        offset += piece;
        length -= piece;
    }
    return result;
}

/* offset: a sector's; the rest of the last sector becomes zero. */
int32_t
sync_write(struct image *image, uint64_t offset, const void *data, uint64_t length)
{
    const uint8_t *from = data;
    int32_t result = 0;

    while (length > 0 && result == 0) {
        uint64_t piece = length < image->most ? length : image->most;

        memset(image->sync_data, 0, up(piece));
        memcpy(image->sync_data, from, piece);
        result =
            bp_block_sync_io(&image->sync, BP_BLOCK_WRITE, 0, offset, image->sync_data, up(piece));
        from += piece;
        offset += piece;
        length -= piece;
    }
    return result;
}

int32_t
sync_flush(struct image *image)
{
    return bp_block_sync_io(&image->sync, BP_BLOCK_FLUSH, 0, 0, NULL, 0);
}

int32_t
sync_header(struct image *image, uint32_t at, const void *data, uint32_t length)
{
    uint8_t sector[BP_BLOCK_SECTOR];
    int32_t result = sync_read(image, 0, sector, sizeof(sector));

    if (result == 0) {
        memcpy(sector + at, data, length);
        result = sync_write(image, 0, sector, sizeof(sector));
    }
    return result == 0 ? sync_flush(image) : result;
}

/* --- counts ------------------------------------------------------------------------------------
 */

/* The sector of a refcount block that has a cluster's count. */
static uint64_t
count_sector(const struct image *image, uint64_t cluster, uint64_t *ret_index)
{
    uint64_t mask = (UINT64_C(1) << image->count_bits) - 1;
    uint64_t in_sector = UINT64_C(4096) >> image->header.refcount_order;

    *ret_index = (cluster & mask) % in_sector;
    return image->reftable[cluster >> image->count_bits] +
           (cluster & mask) / in_sector * BP_BLOCK_SECTOR;
}

static int32_t
write_entry(struct image *image, uint64_t index)
{
    uint8_t sector[BP_BLOCK_SECTOR];
    uint64_t first = index & ~UINT64_C(63), i;

    if (image->table_moves) {
        return 0;
    }
    for (i = 0; i < 64; i++) {
        put64(sector + i * 8, first + i < image->reftable_size ? image->reftable[first + i] : 0);
    }
    return sync_write(image, image->header.reftable_offset + first * 8, sector, sizeof(sector));
}

/* A block of counts in the first cluster that it counts. */
static int32_t
make_block(struct image *image)
{
    uint64_t cluster = image->next, index = cluster >> image->count_bits, i, at;
    uint8_t sector[BP_BLOCK_SECTOR] = {0};
    int32_t result = 0;

    image->reftable[index] = cluster << image->cluster_bits;
    for (i = 0; i < image->cluster_size && result == 0; i += BP_BLOCK_SECTOR) {
        result = sync_write(image, image->reftable[index] + i, sector, sizeof(sector));
    }
    at = result == 0 ? count_sector(image, cluster, &i) : 0;
    if (result == 0) {
        count_put(image, sector, i, 1);
        result = sync_write(image, at, sector, sizeof(sector));
    }
    if (result == 0) {
        result = write_entry(image, index);
    }
    if (result != 0) {
        image->reftable[index] = 0;
        return result;
    }
    image->next++;
    return 0;
}

static int32_t
change_count(struct image *image, uint64_t cluster, int32_t by)
{
    uint8_t sector[BP_BLOCK_SECTOR];
    uint64_t index, at, count;
    int32_t result;

    if (cluster >> image->count_bits >= image->reftable_size ||
        image->reftable[cluster >> image->count_bits] == 0) {
        return -EIO;
    }
    at = count_sector(image, cluster, &index);
    result = sync_read(image, at, sector, sizeof(sector));
    if (result != 0) {
        return result;
    }
    count = count_get(image, sector, index);
    if (by > 0 ? count != 0 : count == 0) {
        return -EIO;
    }
    count_put(image, sector, index, by > 0 ? 1 : count - 1);
    return sync_write(image, at, sector, sizeof(sector));
}

static int32_t
take_one(struct image *image, uint64_t *ret_cluster)
{
    uint64_t index = image->next >> image->count_bits;
    int32_t result = 0;

    if (index < image->reftable_size && image->reftable[index] == 0 && image->next < image->limit) {
        result = make_block(image);
        index = image->next >> image->count_bits;
    }
    if (result == 0 && (index >= image->reftable_size || image->next >= image->limit)) {
        result = -ENOSPC;
    }
    if (result == 0) {
        result = change_count(image, image->next, 1);
    }
    if (result == 0) {
        *ret_cluster = image->next++;
    }
    return result;
}

int32_t
sync_take(struct image *image, uint64_t count, uint64_t *ret_cluster)
{
    uint64_t region = UINT64_C(1) << image->count_bits, first = 0, got, cluster;
    int32_t result;

    if (count >= region) {
        return -ENOSPC; /* a block of counts would come between */
    }
    result = take_one(image, &first);
    for (got = 1; result == 0 && got < count; got++) {
        result = take_one(image, &cluster);
        if (result == 0 && cluster != first + got) {
            /* One came between: start behind it. What was taken is lost space. */
            first = cluster;
            got = 0;
        }
    }
    *ret_cluster = first;
    return result;
}

int32_t
sync_lower(struct image *image, uint64_t cluster, uint64_t count)
{
    int32_t result = 0;

    while (count-- > 0 && result == 0) {
        result = change_count(image, cluster++, -1);
    }
    return result;
}
