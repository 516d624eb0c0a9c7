/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters of metadata in memory. A pinned one stays; a dirty one stays until a checkpoint has
 * written it; of the others the one unused for longest goes. */
#include "image.h"

#include <stdlib.h>

int32_t
cache_init(struct image *image, struct cache *cache, uint32_t count, uint32_t arena_id)
{
    const struct bp_services *services = &image->services;
    void *memory;
    int32_t result;
    uint32_t i;

    result = services->memory->arena_alloc(services->instance, arena_id,
                                           count * image->cluster_size, 4096, &memory);
    if (result != 0) {
        return result;
    }
    cache->tables = calloc(count, sizeof(*cache->tables));
    if (cache->tables == NULL) {
        return -ENOMEM;
    }
    cache->count = count;
    for (i = 0; i < count; i++) {
        cache->tables[i].image = image;
        cache->tables[i].data = (uint8_t *)memory + i * image->cluster_size;
        cache->tables[i].transfer.most = image->most;
        waiting_init(&cache->tables[i].waiting);
    }
    return 0;
}

void
cache_done(struct cache *cache)
{
    free(cache->tables);
    cache->tables = NULL;
    cache->count = 0;
}

struct table *
cache_find(struct cache *cache, uint64_t offset)
{
    uint32_t i;

    for (i = 0; i < cache->count; i++) {
        if (cache->tables[i].offset == offset) {
            return &cache->tables[i];
        }
    }
    return NULL;
}

static struct table *
find_victim(struct cache *cache)
{
    struct table *victim = NULL;
    uint32_t i;

    for (i = 0; i < cache->count; i++) {
        struct table *table = &cache->tables[i];

        if (table->pins == 0 && !table->loading && table->dirty_from == table->dirty_to &&
            (victim == NULL || table->used < victim->used)) {
            victim = table;
        }
    }
    return victim;
}

static void
loaded(struct transfer *transfer, int32_t status)
{
    struct table *table = transfer->owner;
    struct image *image = table->image;

    table->loading = 0;
    if (status != 0) {
        table->offset = 0;
    }
    wake_all(&table->waiting, status);
    if (table->pins == 0) {
        wake_all(&image->cache_waiting, 0);
    }
}

struct table *
cache_new(struct image *image, struct cache *cache, uint64_t offset)
{
    struct table *table = find_victim(cache);

    if (table == NULL) {
        return NULL;
    }
    table->offset = offset;
    table->pins = 1;
    table->used = ++cache->clock;
    table->transfer.owner = table;
    return table;
}

static uint32_t
has_dirty(const struct cache *cache)
{
    uint32_t i;

    for (i = 0; i < cache->count; i++) {
        if (cache->tables[i].dirty_from != cache->tables[i].dirty_to) {
            return 1;
        }
    }
    return 0;
}

/* Nothing in the cache can go: all are pinned, which ends, or dirty, which a checkpoint ends. */
static void
wait_for_victim(struct image *image, const struct cache *cache, struct request *request,
                void (*step)(struct request *request))
{
    if (has_dirty(cache)) {
        checkpoint_wait(request, step);
    } else {
        wait_for(&image->cache_waiting, request, step);
    }
}

struct table *
cache_get(struct image *image, struct cache *cache, uint64_t offset, struct request *request,
          void (*step)(struct request *request))
{
    struct table *table = cache_find(cache, offset);

    if (table == NULL) {
        table = cache_new(image, cache, offset);
        if (table == NULL) {
            wait_for_victim(image, cache, request, step);
            return NULL;
        }
        table->pins = 0;
        table->loading = 1;
        table->transfer.done = loaded;
        table->transfer.io.slot = SLOT_FILE;
        wait_for(&table->waiting, request, step);
        transfer_start(&table->transfer, request->lane, BP_BLOCK_READ, offset, table->data,
                       image->cluster_size);
        return NULL;
    }
    if (table->loading) {
        wait_for(&table->waiting, request, step);
        return NULL;
    }
    table->pins++;
    table->used = ++cache->clock;
    return table;
}

void
cache_put(struct image *image, struct table *table)
{
    if (table != NULL && --table->pins == 0 && image->cache_waiting.first != NULL) {
        wake_all(&image->cache_waiting, 0);
    }
}

void
cache_forget(struct cache *cache, uint64_t offset)
{
    struct table *table = cache_find(cache, offset);

    if (table != NULL && table->pins == 0 && !table->loading) {
        table->offset = 0;
        table->dirty_from = table->dirty_to = 0;
    }
}

void
table_dirty(struct table *table, uint64_t from, uint64_t to)
{
    if (table->dirty_from == table->dirty_to) {
        table->dirty_from = from;
        table->dirty_to = to;
        return;
    }
    table->dirty_from = from < table->dirty_from ? from : table->dirty_from;
    table->dirty_to = to > table->dirty_to ? to : table->dirty_to;
}
