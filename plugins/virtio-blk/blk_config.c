/* SPDX-License-Identifier: Apache-2.0 */
/* Features and configuration space (virtio 1.2, 5.2.3 to 5.2.5). */
#include "virtio_blk.h"

#include <string.h>

#define HEADS   16u
#define SECTORS 63u

int32_t
blk_learn(struct blk *blk)
{
    struct bp_block_info info = {.size = sizeof(info)};
    uint32_t logical = blk->options.logical_size;
    int32_t result = blk->ops->info(blk->self, &info);

    if (result != 0) {
        return result;
    }
    logical = logical > info.block_size ? logical : info.block_size;
    logical = logical != 0 ? logical : BLK_SECTOR;
    if (info.capacity < logical || logical % BLK_SECTOR != 0 ||
        (info.block_size != 0 && logical % info.block_size != 0)) {
        return -EINVAL;
    }
    blk->logical_size = logical;
    blk->info_flags = info.flags;
    blk->readonly = blk->options.readonly || (info.flags & BP_BLOCK_READONLY);
    blk->physical_size =
        blk->options.physical_size != 0 ? blk->options.physical_size : info.physical_block_size;
    blk->opt_io_size =
        blk->options.opt_io_size != 0 ? blk->options.opt_io_size : info.optimal_io_size;
    blk->discard_granularity = info.discard_granularity;
    blk->max_iov = info.max_iov != 0 ? info.max_iov : 1;
    blk->max_transfer = info.max_transfer / logical * logical;
    blk->max_transfer = blk->max_transfer != 0 ? blk->max_transfer : logical;
    blk->max_discard = info.max_discard / logical * logical;
    blk->max_zeroes = info.flags & BP_BLOCK_CAN_ZERO && blk->max_discard > blk->max_transfer
                          ? blk->max_discard
                          : blk->max_transfer;
    atomic_store(&blk->capacity, info.capacity / logical * (logical / BLK_SECTOR));
    return 0;
}

static void
put(struct blk *blk, uint32_t offset, uint32_t width, uint64_t value)
{
    uint8_t data[8];

    bp_store_le(data, width, value);
    bp_virtio_config_set(blk->virtio, offset, data, width, 0);
}

void
blk_put_writeback(struct blk *blk, uint8_t writeback)
{
    blk->config_writeback = writeback;
    put(blk, BLK_CFG_WRITEBACK, 1, writeback);
}

static void
put_geometry(struct blk *blk)
{
    uint32_t heads = blk->options.heads != 0 ? blk->options.heads : HEADS;
    uint32_t sectors = blk->options.sectors != 0 ? blk->options.sectors : SECTORS;
    uint64_t cylinders = atomic_load(&blk->capacity) / ((uint64_t)heads * sectors);

    if (blk->options.cylinders != 0) {
        cylinders = blk->options.cylinders;
    }
    put(blk, BLK_CFG_CYLINDERS, 2, bp_min_u64(cylinders, 65535));
    put(blk, BLK_CFG_HEADS, 1, heads);
    put(blk, BLK_CFG_SECTORS, 1, sectors);
}

static uint32_t
blocks_of(const struct blk *blk, uint32_t bytes)
{
    return bytes / blk->logical_size;
}

static void
put_topology(struct blk *blk)
{
    uint32_t physical =
        blk->physical_size > blk->logical_size ? blk->physical_size : blk->logical_size;
    uint32_t least = blk->options.min_io_size != 0 ? blk->options.min_io_size : physical;
    uint32_t exponent = 0;

    while ((blk->logical_size << (exponent + 1)) <= physical && exponent < 16) {
        exponent++;
    }
    put(blk, BLK_CFG_BLK_SIZE, 4, blk->logical_size);
    put(blk, BLK_CFG_PHYSICAL_EXP, 1, exponent);
    put(blk, BLK_CFG_ALIGNMENT, 1, 0);
    put(blk, BLK_CFG_MIN_IO, 2, bp_min_u32(blocks_of(blk, least), 65535));
    put(blk, BLK_CFG_OPT_IO, 4, blocks_of(blk, blk->opt_io_size));
}

/* 4.1.5.1.3: indirect or not, a chain is no longer than the queue; header and status need two
 * descriptors of it. */
static uint32_t
seg_max(const struct blk *blk)
{
    uint32_t size = bp_min_u32(bp_virtqueue_max_size(blk->queues[0].ring), 256);
    uint32_t most = size > 3 ? size - 2 : 1;

    most = bp_min_u32(most, blk->max_iov);
    return blk->options.seg_max != 0 ? bp_min_u32(blk->options.seg_max, most) : most;
}

static void
put_ranges(struct blk *blk)
{
    uint32_t granularity = blk->discard_granularity / BLK_SECTOR;
    uint32_t align = blk->logical_size / BLK_SECTOR;

    put(blk, BLK_CFG_DISCARD_MAX, 4, UINT32_MAX / align * align);
    put(blk, BLK_CFG_DISCARD_SEG, 4, BLK_MAX_RANGES);
    put(blk, BLK_CFG_DISCARD_ALIGN, 4, granularity > align ? granularity : align);
    put(blk, BLK_CFG_ZEROES_MAX, 4, UINT32_MAX / align * align);
    put(blk, BLK_CFG_ZEROES_SEG, 4, BLK_MAX_RANGES);
    put(blk, BLK_CFG_ZEROES_UNMAP, 1, (blk->info_flags & BP_BLOCK_CAN_DISCARD) != 0);
    put(blk, BLK_CFG_ERASE_MAX, 4, UINT32_MAX / align * align);
    put(blk, BLK_CFG_ERASE_SEG, 4, BLK_MAX_RANGES);
    put(blk, BLK_CFG_ERASE_ALIGN, 4, align);
}

static uint64_t
offered(const struct blk *blk)
{
    const struct blk_options *options = &blk->options;
    uint64_t features = BLK_F_SEG_MAX | BLK_F_GEOMETRY | BLK_F_BLK_SIZE | BLK_F_TOPOLOGY;

    features |= options->size_max != 0 ? BLK_F_SIZE_MAX : 0;
    features |= options->queues > 1 ? BLK_F_MQ : 0;
    features |= blk->info_flags & BP_BLOCK_HAS_LIFETIME ? BLK_F_LIFETIME : 0;
    if (blk->readonly) {
        return features | BLK_F_RO | BLK_F_FLUSH;
    }
    features |= BLK_F_FLUSH;
    features |= options->config_wce ? BLK_F_CONFIG_WCE : 0;
    features |= options->discard && (blk->info_flags & BP_BLOCK_CAN_DISCARD) && blk->max_discard
                    ? BLK_F_DISCARD
                    : 0;
    features |= options->write_zeroes ? BLK_F_WRITE_ZEROES : 0;
    features |= options->secure_erase ? BLK_F_SECURE_ERASE : 0;
    return features;
}

void
blk_describe(struct blk *blk)
{
    bp_virtio_offer(blk->virtio, offered(blk), BLK_F_LIFETIME | BLK_F_SECURE_ERASE);
    put(blk, BLK_CFG_CAPACITY, 8, atomic_load(&blk->capacity));
    put(blk, BLK_CFG_SIZE_MAX, 4, blk->options.size_max);
    put(blk, BLK_CFG_SEG_MAX, 4, seg_max(blk));
    put_geometry(blk);
    put_topology(blk);
    blk_put_writeback(blk, blk->options.write_cache);
    put(blk, BLK_CFG_NUM_QUEUES, 2, blk->options.queues);
    put_ranges(blk);
}

/* 5.2.5.2: without FLUSH and CONFIG_WCE a driver cannot flush, so every write is stable. */
int32_t
blk_features(void *device, uint64_t features)
{
    struct blk *blk = device;
    uint32_t can_flush = (features & (BLK_F_FLUSH | BLK_F_CONFIG_WCE)) != 0;

    atomic_store(&blk->writeback, can_flush && blk->options.write_cache);
    return 0;
}

void
blk_config_write(void *device, uint32_t offset, uint32_t width, uint64_t value)
{
    struct blk *blk = device;
    uint8_t writeback = (uint8_t)value;

    if (offset != BLK_CFG_WRITEBACK || width != 1 ||
        !(bp_virtio_features(blk->virtio) & BLK_F_CONFIG_WCE)) {
        return;
    }
    writeback = writeback != 0;
    atomic_store(&blk->writeback, writeback);
    blk_put_writeback(blk, writeback);
}

void
blk_reset_config(void *device)
{
    struct blk *blk = device;

    atomic_store(&blk->writeback, 0);
    blk_put_writeback(blk, blk->options.write_cache);
}

static void
tell_capacity(struct blk *blk)
{
    uint8_t data[8];

    bp_store_le(data, sizeof(data), atomic_load(&blk->capacity));
    bp_virtio_config_set(blk->virtio, BLK_CFG_CAPACITY, data, sizeof(data), 1);
}

/* What is negotiated stays; limits that the guest does not see follow the new backend. */
int32_t
blk_learn_again(struct blk *blk)
{
    const uint64_t capacity = atomic_load(&blk->capacity);
    const uint32_t logical_size = blk->logical_size;
    const uint8_t readonly = blk->readonly;
    int32_t result = blk_learn(blk);

    if (result == 0 && blk->logical_size != logical_size) {
        result = -EINVAL;
    } else if (result == 0 && blk->readonly && !readonly) {
        result = -EROFS;
    }
    blk->logical_size = logical_size;
    blk->readonly = readonly;
    if (result != 0) {
        atomic_store(&blk->capacity, capacity);
    } else if (atomic_load(&blk->capacity) != capacity) {
        tell_capacity(blk);
    }
    return result;
}

/* Each queue's client is told; the first one's loop does the work. */
void
blk_event(void *opaque, uint32_t event)
{
    struct blk_queue *queue = opaque;
    struct blk *blk = queue->blk;
    struct bp_block_info info = {.size = sizeof(info)};
    uint64_t capacity;

    if (queue != &blk->queues[0] || blk->ops->info(blk->self, &info) != 0) {
        return; /* requests will fail, and the policy says what becomes of them */
    }
    capacity = info.capacity / blk->logical_size * (blk->logical_size / BLK_SECTOR);
    if (capacity != atomic_exchange(&blk->capacity, capacity)) {
        tell_capacity(blk);
    }
}
