/* SPDX-License-Identifier: Apache-2.0 */
/* Reference counts. One change at a time (`counting`), each written at once. Clusters come from a
 * supply that is counted before it is needed, many in one write; so a crash may lose the supply's
 * space, and nothing else. */
#include "image.h"

#include <stdlib.h>
#include <string.h>

#define SUPPLY_BYTES (4u << 20)
#define SUPPLY_LEAST 4u

/* Counts narrower than a byte fill it from its low bits on. */
uint64_t
count_get(const struct image *image, const uint8_t *block, uint64_t index)
{
    uint32_t order = image->header.refcount_order;

    switch (order) {
    case 4:
        return get16(block + index * 2);
    case 5:
        return get32(block + index * 4);
    case 6:
        return get64(block + index * 8);
    default: {
        uint32_t bits = 1u << order;
        uint64_t bit = index << order;
        return (uint64_t)(block[bit / 8] >> (bit % 8)) & ((1u << bits) - 1);
    }
    }
}

void
count_put(const struct image *image, uint8_t *block, uint64_t index, uint64_t value)
{
    uint32_t order = image->header.refcount_order;
    uint64_t bit = index << order;

    switch (order) {
    case 4:
        block[index * 2] = (uint8_t)(value >> 8);
        block[index * 2 + 1] = (uint8_t)value;
        return;
    case 5:
        put32(block + index * 4, (uint32_t)value);
        return;
    case 6:
        put64(block + index * 8, value);
        return;
    default: {
        uint32_t mask = ((1u << (1u << order)) - 1) << (bit % 8);
        block[bit / 8] =
            (uint8_t)((block[bit / 8] & ~mask) | ((uint32_t)value << (bit % 8) & mask));
    }
    }
}

/* --- writing what changed -------------------------------------------------------------------- */

/* Writes the counts [first, end) of the block in count_table. */
static void
write_counts(struct image *image, uint64_t first, uint64_t end,
             void (*done)(struct transfer *transfer, int32_t status))
{
    uint32_t order = image->header.refcount_order;
    uint64_t from = ((first << order) / 8) & ~(uint64_t)(BP_BLOCK_SECTOR - 1);
    uint64_t to = ((end << order) + 7) / 8;

    to = (to + BP_BLOCK_SECTOR - 1) & ~(uint64_t)(BP_BLOCK_SECTOR - 1);
    image->count_transfer.done = done;
    transfer_start(&image->count_transfer, image->count_request.lane, BP_BLOCK_WRITE,
                   image->count_table->offset + from, image->count_table->data + from, to - from);
}

static void
end_counting(struct image *image, int32_t error)
{
    if (image->count_table != NULL) {
        if (error != 0) {
            /* What is in memory is not what is on disk. */
            image->count_table->pins = 0;
            cache_forget(&image->refs, image->count_table->offset);
        } else {
            cache_put(image, image->count_table);
        }
    }
    image->count_table = NULL;
    image->counting = 0;
    wake_all(&image->supply_waiting, error);
}

/* --- the supply ------------------------------------------------------------------------------ */

static void
supply_written(struct transfer *transfer, int32_t status)
{
    struct image *image = transfer->owner;

    if (status == 0) {
        image->supply = image->next;
        image->supply_end = image->count_end;
        image->next = image->count_end;
    }
    end_counting(image, status);
}

static void
count_supply(struct image *image)
{
    uint64_t mask = (UINT64_C(1) << image->count_bits) - 1;
    uint64_t wanted = SUPPLY_BYTES >> image->cluster_bits, end, cluster;

    wanted = wanted > SUPPLY_LEAST ? wanted : SUPPLY_LEAST;
    end = (image->next | mask) + 1;
    end = end < image->next + wanted ? end : image->next + wanted;
    end = end < image->limit ? end : image->limit;
    for (cluster = image->next; cluster < end; cluster++) {
        if (count_get(image, image->count_table->data, cluster & mask) != 0) {
            end_counting(image,
                         image_broken(image, "a cluster behind the end is counted", cluster));
            return;
        }
        count_put(image, image->count_table->data, cluster & mask, 1);
    }
    image->count_end = end;
    write_counts(image, image->next & mask, ((end - 1) & mask) + 1, supply_written);
}

static void
block_referred(struct transfer *transfer, int32_t status)
{
    struct image *image = transfer->owner;

    if (status != 0) {
        image->reftable[(image->next - 1) >> image->count_bits] = 0;
        end_counting(image, status);
    } else if (image->next >= image->limit ||
               (image->next & ((UINT64_C(1) << image->count_bits) - 1)) == 0) {
        end_counting(image, 0); /* the block was the last cluster it counts: who waits asks again */
    } else {
        count_supply(image);
    }
}

/* The new block is on disk: now the refcount table may refer to it. */
static void
block_written(struct transfer *transfer, int32_t status)
{
    struct image *image = transfer->owner;
    uint64_t index = image->next >> image->count_bits, first = index & ~UINT64_C(63), i;

    if (status != 0) {
        end_counting(image, status);
        return;
    }
    image->reftable[index] = image->next << image->cluster_bits;
    for (i = 0; i < 64; i++) {
        put64(image->sector + i * 8,
              first + i < image->reftable_size ? image->reftable[first + i] : 0);
    }
    image->next++;
    image->count_transfer.done = block_referred;
    transfer_start(&image->count_transfer, image->count_request.lane, BP_BLOCK_WRITE,
                   image->header.reftable_offset + first * 8, image->sector, BP_BLOCK_SECTOR);
}

/* A part of the file that has no counts yet: its first free cluster becomes the block for them. */
static void
make_block(struct image *image)
{
    uint64_t mask = (UINT64_C(1) << image->count_bits) - 1;
    struct table *table = cache_new(image, &image->refs, image->next << image->cluster_bits);

    if (table == NULL) {
        end_counting(image, -ENOMEM); /* cannot be: nobody else pins them */
        return;
    }
    memset(table->data, 0, image->cluster_size);
    count_put(image, table->data, image->next & mask, 1);
    image->count_table = table;
    image->count_transfer.done = block_written;
    transfer_start(&image->count_transfer, image->count_request.lane, BP_BLOCK_WRITE, table->offset,
                   table->data, image->cluster_size);
}

static void
supply_more(struct request *own)
{
    struct image *image = own->image;
    uint64_t index = image->next >> image->count_bits;
    int32_t error = own->error;

    if (error == 0 && (image->next >= image->limit || index >= image->reftable_size)) {
        error = -ENOSPC;
    }
    if (error == 0 && image->reftable[index] != 0) {
        error = offset_check(image, image->reftable[index], image->cluster_size);
    }
    if (error != 0) {
        end_counting(image, error);
    } else if (image->reftable[index] == 0) {
        make_block(image);
    } else {
        image->count_table =
            cache_get(image, &image->refs, image->reftable[index], own, supply_more);
        if (image->count_table != NULL) {
            count_supply(image);
        }
    }
}

static void
start_counting(struct image *image, struct bp_block_lane *lane,
               void (*step)(struct request *request))
{
    image->counting = 1;
    image->count_table = NULL;
    image->count_request.lane = lane;
    image->count_request.error = 0;
    image->count_transfer.owner = image;
    image->count_transfer.most = image->most;
    image->count_transfer.io.slot = SLOT_FILE;
    step(&image->count_request);
}

uint64_t
clusters_take(struct request *request, uint64_t count, void (*step)(struct request *request),
              uint64_t *ret_cluster, int32_t *ret_error)
{
    struct image *image = request->image;
    uint64_t left = image->supply_end - image->supply;

    (void)ret_error;
    image->took_fresh = 0;
    if (image->recycled_count > 0 && (count == 1 || left == 0)) {
        *ret_cluster = image->recycled[--image->recycled_count];
        return 1;
    }
    if (left > 0) {
        count = count < left ? count : left;
        *ret_cluster = image->supply;
        image->took_fresh = image->supply >= image->zero_from && image->supply >= image->fresh_from;
        image->supply += count;
        image->fresh_from = image->supply > image->fresh_from ? image->supply : image->fresh_from;
        return count;
    }
    wait_for(&image->supply_waiting, request, step);
    if (!image->counting) {
        start_counting(image, request->lane, supply_more);
    }
    return 0;
}

void
clusters_return(struct image *image, uint64_t cluster, uint64_t count)
{
    if (cluster + count == image->supply) {
        image->supply = cluster; /* the last that was taken */
        return;
    }
    /* Beyond that the space is lost until the next qemu-img check: it happens after write errors.
     */
    for (; count > 0 && image->recycled_count < MAX_RECYCLED; count--) {
        image->recycled[image->recycled_count++] = cluster++;
    }
}

/* --- lowering -------------------------------------------------------------------------------- */

static void lower_next(struct request *own);

static void
lowered(struct transfer *transfer, int32_t status)
{
    struct image *image = transfer->owner;

    if (status != 0) {
        end_counting(image, status);
        checkpoint_freed(image, status);
        return;
    }
    cache_put(image, image->count_table);
    image->count_table = NULL;
    lower_next(&image->count_request);
}

static void
end_lowering(struct image *image, int32_t status)
{
    end_counting(image, status);
    checkpoint_freed(image, status);
}

/* Lowers all that are in the block of freeing[freeing_at]: they are sorted. */
static int32_t
lower_block(struct image *image, uint64_t *ret_first, uint64_t *ret_last)
{
    uint64_t mask = (UINT64_C(1) << image->count_bits) - 1;
    uint64_t block = image->freeing[image->freeing_at].cluster >> image->count_bits;

    *ret_first = image->freeing[image->freeing_at].cluster & mask;
    while (image->freeing_at < image->freeing_count &&
           image->freeing[image->freeing_at].cluster >> image->count_bits == block) {
        uint64_t index = image->freeing[image->freeing_at++].cluster & mask;
        uint64_t count = count_get(image, image->count_table->data, index);

        if (count == 0) {
            return image_broken(image, "a cluster in use is not counted", index);
        }
        count_put(image, image->count_table->data, index, count - 1);
        *ret_last = index;
    }
    return 0;
}

static void
lower_next(struct request *own)
{
    struct image *image = own->image;
    uint64_t first, last = 0, index;
    int32_t error = own->error;

    if (error != 0 || image->freeing_at == image->freeing_count) {
        end_lowering(image, error);
        return;
    }
    index = image->freeing[image->freeing_at].cluster >> image->count_bits;
    if (index >= image->reftable_size || image->reftable[index] == 0) {
        end_lowering(image, image_broken(image, "a cluster in use is not counted", index));
        return;
    }
    error = offset_check(image, image->reftable[index], image->cluster_size);
    if (error != 0) {
        end_lowering(image, error);
        return;
    }
    image->count_table = cache_get(image, &image->refs, image->reftable[index], own, lower_next);
    if (image->count_table == NULL) {
        return;
    }
    error = lower_block(image, &first, &last);
    if (error != 0) {
        end_lowering(image, error);
        return;
    }
    write_counts(image, first, last + 1, lowered);
}

static int
compare_freed(const void *a, const void *b)
{
    const struct freed *x = a, *y = b;

    return x->cluster < y->cluster ? -1 : x->cluster > y->cluster;
}

static void
lower_when_free(struct request *request)
{
    struct image *image = request->image;

    if (image->counting) {
        wait_for(&image->supply_waiting, request, lower_when_free);
        return;
    }
    start_counting(image, request->lane, lower_next);
}

/* What nobody else uses stays counted and is used again; the others are lowered. */
static void
recycle(struct image *image)
{
    uint32_t i, kept = 0;

    image->freeing_at = 0;
    for (i = 0; i < image->freeing_count; i++) {
        if (image->freeing[i].single && !image->closing && image->recycled_count < MAX_RECYCLED) {
            image->recycled[image->recycled_count++] = image->freeing[i].cluster;
        } else {
            image->freeing[kept++] = image->freeing[i];
        }
    }
    image->freeing_count = kept;
    lower_when_free(&image->sync_request);
}

static void discard_next(struct image *image);

/* It is only about space: a failure changes nothing. */
static void
discarded(struct bp_block_io *io, int32_t status, uint32_t flags)
{
    const struct transfer *transfer =
        (struct transfer *)(void *)((uint8_t *)io - offsetof(struct transfer, io));

    (void)status;
    (void)flags;
    discard_next(transfer->owner);
}

/* Nothing refers to these clusters any more, on disk either, and they are used again only after
 * this. */
static void
discard_next(struct image *image)
{
    const struct freed *freeing = image->freeing;
    uint64_t most = image->max_discard >> image->cluster_bits, first, count = 0;
    struct bp_block_io *io = &image->sync_transfer.io;
    uint32_t at = image->freeing_at;

    while (at < image->freeing_count && !freeing[at].single) {
        at++;
    }
    if (at == image->freeing_count || most == 0 || image->closing) {
        recycle(image);
        return;
    }
    first = freeing[at].cluster;
    while (at < image->freeing_count && freeing[at].single && count < most &&
           freeing[at].cluster == first + count) {
        at++;
        count++;
    }
    image->freeing_at = at;
    image->sync_transfer.owner = image;
    io->request = (struct bp_block_request){.op = BP_BLOCK_DISCARD,
                                            .offset = first << image->cluster_bits,
                                            .length = count << image->cluster_bits};
    io->slot = SLOT_FILE;
    io->done = discarded;
    bp_block_io_send(image->sync_request.lane, io);
}

void
counts_lower(struct image *image)
{
    image->freeing_at = 0;
    qsort(image->freeing, image->freeing_count, sizeof(image->freeing[0]), compare_freed);
    discard_next(image);
}
