/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay.h"

#include <string.h>
#include <sys/mman.h>

#define ARENA_ID 0u

static int32_t
read_store(struct filter_overlay *overlay, struct bp_block_sync *store, uint64_t offset, void *data,
           uint64_t length)
{
    if (overlay->memory != NULL) {
        memcpy(data, overlay->memory + offset, length);
        return 0;
    }
    return bp_block_sync_io(store, BP_BLOCK_READ, 0, offset, data, length);
}

static int32_t
copy_all(struct filter_overlay *overlay, struct bp_block_sync *below, struct bp_block_sync *store,
         void *data)
{
    struct changed *changed = &overlay->changed;
    uint64_t block = 0, count;
    int32_t result = 0;
    uint32_t set;

    while (result == 0 && (block = changed_next(changed, block)) < changed->blocks) {
        uint64_t most = changed->blocks - block;

        most = most < MAX_TRANSFER / BP_BLOCK_SECTOR ? most : MAX_TRANSFER / BP_BLOCK_SECTOR;
        count = changed_run(changed, block, most, &set);
        result = read_store(overlay, store, block * BP_BLOCK_SECTOR, data, count * BP_BLOCK_SECTOR);
        if (result == 0) {
            result = bp_block_sync_io(below, BP_BLOCK_WRITE, 0, block * BP_BLOCK_SECTOR, data,
                                      count * BP_BLOCK_SECTOR);
        }
        block += count;
    }
    return result == 0 ? bp_block_sync_io(below, BP_BLOCK_FLUSH, 0, 0, NULL, 0) : result;
}

static int32_t
open_sync(struct filter_overlay *overlay, uint32_t slot, struct bp_block_sync *sync)
{
    return bp_block_sync_open(sync, &overlay->services, overlay->stack.below[slot],
                              overlay->stack.below_self[slot]);
}

int32_t
overlay_drop(struct filter_overlay *overlay)
{
    struct bp_block_sync store = {.queue = NULL};
    uint64_t offset, length;
    int32_t result;

    changed_clear(&overlay->changed);
    if (overlay->memory != NULL) {
        return madvise(overlay->memory, overlay->memory_bytes, MADV_DONTNEED) < 0 ? -errno : 0;
    }
    /* Only to give the space back: what is there is not looked at again. */
    result = open_sync(overlay, STORE, &store);
    for (offset = 0; result == 0 && offset < overlay->capacity; offset += length) {
        length = overlay->capacity - offset;
        length = length < (16u << 20) ? length : 16u << 20;
        result = bp_block_sync_io(&store, BP_BLOCK_DISCARD, 0, offset, NULL, length);
    }
    bp_block_sync_close(&store);
    return result == -EOPNOTSUPP || result == -EINVAL ? 0 : result;
}

int32_t
overlay_commit(struct filter_overlay *overlay)
{
    const struct bp_services *services = &overlay->services;
    struct bp_block_sync below = {.queue = NULL}, store = {.queue = NULL};
    void *data;
    int32_t result =
        services->memory->arena_alloc(services->instance, ARENA_ID, MAX_TRANSFER, 4096, &data);

    if (result != 0) {
        return result;
    }
    result = open_sync(overlay, BELOW, &below);
    if (result == 0 && overlay->memory == NULL) {
        result = open_sync(overlay, STORE, &store);
    }
    if (result == 0) {
        result = copy_all(overlay, &below, &store, data);
    }
    bp_block_sync_close(&store);
    bp_block_sync_close(&below);
    services->memory->arena_free(services->instance, ARENA_ID);
    return result == 0 ? overlay_drop(overlay) : result;
}
