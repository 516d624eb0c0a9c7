/* SPDX-License-Identifier: Apache-2.0 */
/* The map of an address space: regions, the flat table made of them, and how it is replaced.
 *
 * The way of an access (address_access.c): search the flat table, count oneself in as a user of the
 * region found, leave the table, enter the device. A search runs no foreign code and takes no lock,
 * so the writer that has replaced the table can wait for the searches that may still see the old
 * one: they are counted in `searching`, spread over cache lines by thread. It never waits for a
 * device: a vCPU that moves a BAR is itself inside one. Only region_free() waits until the region
 * has no users. */
#include "bus/address_space_internal.h"

#include "base/error.h"

#include <inttypes.h>
#include <sched.h>

#define SHARD_SHIFT      60 /* the top 4 bits of the hash */
#define SEARCH_SPINS     256
#define FREE_WAIT_MIN_US 20
#define FREE_WAIT_MAX_US 1000
#define WIDTHS_VALID     0xfu
#define GOLDEN_RATIO_64  UINT64_C(0x9E3779B97F4A7C15)

AddressSpace *
address_space_new(const char *name, uint64_t limit)
{
    AddressSpace *space = g_aligned_alloc0(1, sizeof *space, CACHE_LINE_BYTES);
    space->name = g_strdup(name);
    space->limit = limit;
    g_mutex_init(&space->lock);
    space->regions = g_ptr_array_new();
    space->table = flat_table_new(NULL, 0, limit, 0);
    return space;
}

static void
region_destroy(Region *region)
{
    g_free(region->name);
    g_free(region);
}

void
address_space_free(AddressSpace *space)
{
    if (!space) {
        return;
    }
    for (guint i = 0; i < space->regions->len; i++) {
        region_destroy(space->regions->pdata[i]);
    }
    g_ptr_array_unref(space->regions);
    flat_table_free(space->table);
    g_mutex_clear(&space->lock);
    g_free(space->name);
    g_aligned_free(space);
}

/* ---- searching ---- */

/* Threads are told apart by where their thread-local storage lies. Two on one shard only share a
 * cache line. */
static ReaderShard *
own_shard(AddressSpace *space)
{
    static _Thread_local char marker;
    uint64_t hash = ((uint64_t)(uintptr_t)&marker >> 12) * GOLDEN_RATIO_64;
    return &space->shards[hash >> SHARD_SHIFT];
}

/* Sequentially consistent: either the writer sees this search in its shard, or this search, which
 * comes after the writer's look, sees the writer's new table. */
static const FlatTable *
search_begin(AddressSpace *space, ReaderShard *shard)
{
    __atomic_fetch_add(&shard->searching, 1, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&space->table, __ATOMIC_SEQ_CST);
}

static void
search_end(ReaderShard *shard)
{
    __atomic_fetch_sub(&shard->searching, 1, __ATOMIC_RELEASE);
}

Target
address_space_pin(AddressSpace *space, uint64_t address)
{
    ReaderShard *shard = own_shard(space);
    const FlatTable *table = search_begin(space, shard);
    uint64_t next = UINT64_MAX;
    const FlatRange *range = flat_table_find(table, address, &next);
    Target target = {.room = next - address};
    if (range) {
        target = (Target){
            .region = range->region,
            .region_base = range->region_base,
            .room = range->last - address + 1,
        };
        /* Still in the search: region_free() has either taken the region out of the table this
         * search sees, or will find this user. */
        __atomic_fetch_add(&range->region->users, 1, __ATOMIC_RELAXED);
    }
    search_end(shard);
    return target;
}

void
address_space_unpin(const Target *target)
{
    /* The last touch: the region may be gone after it. */
    __atomic_fetch_sub(&target->region->users, 1, __ATOMIC_RELEASE);
}

/* ---- changing the map ---- */

/* Until the shard was empty once: whoever searches later sees the new table. */
static void
wait_for_shard(const ReaderShard *shard)
{
    unsigned spins = 0;
    while (__atomic_load_n(&shard->searching, __ATOMIC_SEQ_CST) != 0) {
        if (++spins > SEARCH_SPINS) {
            (void)sched_yield(); /* a searching thread was preempted */
        }
    }
}

static void
wait_for_searches(AddressSpace *space)
{
    for (unsigned i = 0; i < SHARD_COUNT; i++) {
        wait_for_shard(&space->shards[i]);
    }
}

static void
rebuild_locked(AddressSpace *space)
{
    g_autofree FlatInput *inputs = g_new(FlatInput, space->regions->len + 1);
    unsigned count = 0;
    for (guint i = 0; i < space->regions->len; i++) {
        Region *region = space->regions->pdata[i];
        if (region->enabled) {
            inputs[count++] = (FlatInput){region->base, region->length, region};
        }
    }
    FlatTable *old = space->table;
    FlatTable *table = flat_table_new(inputs, count, space->limit, old->generation + 1);
    __atomic_store_n(&space->table, table, __ATOMIC_SEQ_CST);
    wait_for_searches(space);
    flat_table_free(old);
}

static bool
overlap(uint64_t base_a, uint64_t length_a, uint64_t base_b, uint64_t length_b)
{
    return base_a < base_b ? base_b - base_a < length_a : base_a - base_b < length_b;
}

/* What an exclusive newcomer must not touch: what is there, and what has a claim while disabled. */
static const Region *
find_conflict_locked(const AddressSpace *space, const RegionArgs *args)
{
    if (!args->exclusive) {
        return NULL;
    }
    for (guint i = 0; i < space->regions->len; i++) {
        const Region *other = space->regions->pdata[i];
        if (other->priority == args->priority && (other->enabled || other->exclusive) &&
            overlap(other->base, other->length, args->base, args->length)) {
            return other;
        }
    }
    return NULL;
}

static bool
check_args_locked(const AddressSpace *space, const RegionArgs *args, GError **error)
{
    if (args->length == 0 || args->length > space->limit ||
        args->base > space->limit - args->length) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "%s: 0x%" PRIx64 " bytes at 0x%" PRIx64 " do not fit into the %s space, which "
                    "ends at 0x%" PRIx64,
                    args->name, args->length, args->base, space->name, space->limit);
        return false;
    }
    const Region *other = find_conflict_locked(space, args);
    if (other) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "%s: %s 0x%" PRIx64 "-0x%" PRIx64 " overlaps %s at 0x%" PRIx64 "-0x%" PRIx64
                    ": give one of them another address",
                    args->name, space->name, args->base, args->base + args->length - 1, other->name,
                    other->base, other->base + other->length - 1);
        return false;
    }
    return true;
}

/* Behind those that are as strong: the older one wins. */
static void
insert_by_precedence_locked(AddressSpace *space, Region *region)
{
    guint index = 0;
    while (index < space->regions->len) {
        const Region *other = space->regions->pdata[index];
        if (other->priority < region->priority) {
            break;
        }
        index++;
    }
    g_ptr_array_insert(space->regions, (gint)index, region);
}

Region *
region_new(AddressSpace *space, const RegionArgs *args, GError **error)
{
    g_mutex_lock(&space->lock);
    if (!check_args_locked(space, args, error)) {
        g_mutex_unlock(&space->lock);
        return NULL;
    }
    Region *region = g_new0(Region, 1);
    region->space = space;
    region->name = g_strdup(args->name);
    region->ops = args->ops;
    region->opaque = args->opaque;
    region->lock = args->lock;
    region->widths = args->ops->widths & WIDTHS_VALID ? args->ops->widths & WIDTHS_VALID : 1;
    region->priority = args->priority;
    region->exclusive = args->exclusive;
    region->length = args->length;
    region->base = args->base;
    insert_by_precedence_locked(space, region);
    g_mutex_unlock(&space->lock);
    return region;
}

static void
notify_moved(Region *region)
{
    if (region->moved) {
        region->moved(region, region->moved_opaque);
    }
}

/* Sleeps instead of a wake-up per access: freeing is rare, accesses are not, and they are short. */
static void
wait_for_users(const Region *region)
{
    unsigned pause_us = FREE_WAIT_MIN_US;
    while (__atomic_load_n(&region->users, __ATOMIC_ACQUIRE) != 0) {
        g_usleep(pause_us);
        pause_us = MIN(pause_us * 2, FREE_WAIT_MAX_US);
    }
}

void
region_free(Region *region)
{
    if (!region) {
        return;
    }
    AddressSpace *space = region->space;
    region_set_enabled(region, false);
    wait_for_users(region);
    g_mutex_lock(&space->lock);
    (void)g_ptr_array_remove(space->regions, region);
    g_mutex_unlock(&space->lock);
    region_destroy(region);
}

void
region_set_enabled(Region *region, bool enabled)
{
    AddressSpace *space = region->space;
    g_mutex_lock(&space->lock);
    bool changed = region->enabled != enabled;
    if (changed) {
        __atomic_store_n(&region->enabled, enabled, __ATOMIC_RELEASE);
        rebuild_locked(space);
    }
    g_mutex_unlock(&space->lock);
    if (changed) {
        notify_moved(region);
    }
}

void
region_move(Region *region, uint64_t base)
{
    AddressSpace *space = region->space;
    g_mutex_lock(&space->lock);
    bool changed = region->base != base;
    __atomic_store_n(&region->base, base, __ATOMIC_RELEASE);
    bool visible = changed && region->enabled;
    if (visible) {
        rebuild_locked(space);
    }
    g_mutex_unlock(&space->lock);
    if (visible) {
        notify_moved(region);
    }
}

bool
region_is_enabled(const Region *region)
{
    return __atomic_load_n(&region->enabled, __ATOMIC_ACQUIRE);
}

uint64_t
region_base(const Region *region)
{
    return __atomic_load_n(&region->base, __ATOMIC_ACQUIRE);
}

uint64_t
region_length(const Region *region)
{
    return region->length;
}

void
region_set_moved(Region *region, void (*moved)(Region *region, void *opaque), void *opaque)
{
    region->moved = moved;
    region->moved_opaque = opaque;
}

/* ---- looking ---- */

uint64_t
address_space_hole(AddressSpace *space, uint64_t address)
{
    ReaderShard *shard = own_shard(space);
    const FlatTable *table = search_begin(space, shard);
    uint64_t next = UINT64_MAX;
    bool mapped = flat_table_find(table, address, &next) != NULL;
    search_end(shard);
    return mapped ? 0 : next - address;
}

bool
address_space_is_mapped(AddressSpace *space, uint64_t address)
{
    ReaderShard *shard = own_shard(space);
    const FlatTable *table = search_begin(space, shard);
    bool mapped = flat_table_find(table, address, NULL) != NULL;
    search_end(shard);
    return mapped;
}

void
address_space_foreach(AddressSpace *space,
                      void (*each)(uint64_t base, uint64_t length, const char *name, void *opaque),
                      void *opaque)
{
    g_mutex_lock(&space->lock);
    gsize size = sizeof *space->table + space->table->count * sizeof space->table->ranges[0];
    g_autofree FlatTable *table = g_memdup2(space->table, size);
    g_mutex_unlock(&space->lock);
    for (unsigned i = 0; i < table->count; i++) {
        const FlatRange *range = &table->ranges[i];
        each(range->first, range->last - range->first + 1, range->region->name, opaque);
    }
}
