/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/peer_block_times.h"

#include <time.h>

#define NS_PER_S    UINT64_C(1000000000)
#define INDEX_BITS  16 /* depth is at most 4096 */
#define INDEX_MASK  0xffffu
#define NOT_FOUND   UINT64_MAX
#define IS_FREE(at) ((at)->start_ns == 0)

typedef struct {
    uint64_t user, start_ns; /* start_ns 0: free */
    uint64_t round;          /* tells the uses of a place apart */
    uint32_t op;
} Flight;

struct BlockTimes {
    GMutex lock; /* protects: all below; somebody looks, so it may cost */
    uint32_t depth;
    Flight *flights;
    uint32_t *free, free_count; /* a stack of places */
    PeerBlockTimes sum;
};

static uint64_t
now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

BlockTimes *
block_times_new(uint32_t depth)
{
    BlockTimes *times = g_new0(BlockTimes, 1);

    g_mutex_init(&times->lock);
    times->depth = depth;
    times->flights = g_new0(Flight, depth);
    times->free = g_new(uint32_t, depth);
    for (; times->free_count < depth; times->free_count++) {
        times->free[times->free_count] = times->free_count;
    }
    return times;
}

void
block_times_free(BlockTimes *times)
{
    if (times != NULL) {
        g_mutex_clear(&times->lock);
        g_free(times->flights);
        g_free(times->free);
        g_free(times);
    }
}

uint32_t
block_times_begin(BlockTimes *times, const struct bp_block_request *requests, uint32_t count,
                  struct bp_block_request *out)
{
    uint64_t now = now_ns();
    uint32_t i;

    g_mutex_lock(&times->lock);
    for (i = 0; i < count && times->free_count > 0; i++) {
        uint32_t place = times->free[--times->free_count];
        Flight *flight = &times->flights[place];
        flight->user = requests[i].user;
        flight->op = requests[i].op < PEER_BLOCK_OPS ? requests[i].op : 0;
        flight->start_ns = now;
        flight->round++;
        out[i] = requests[i];
        out[i].user = flight->round << INDEX_BITS | place;
    }
    g_mutex_unlock(&times->lock);
    return i;
}

/* The flight of a number that came from a backend, which may make one up. */
static Flight *
find_flight(BlockTimes *times, uint64_t number)
{
    uint32_t place = (uint32_t)(number & INDEX_MASK);
    Flight *flight = place < times->depth ? &times->flights[place] : NULL;

    return flight != NULL && !IS_FREE(flight) && flight->round == number >> INDEX_BITS ? flight
                                                                                       : NULL;
}

static void
release(BlockTimes *times, Flight *flight)
{
    flight->start_ns = 0;
    times->free[times->free_count++] = (uint32_t)(flight - times->flights);
}

void
block_times_undo(BlockTimes *times, const struct bp_block_request *requests, uint32_t count)
{
    uint32_t i;

    g_mutex_lock(&times->lock);
    for (i = count; i > 0; i--) {
        Flight *flight = find_flight(times, requests[i - 1].user);
        if (flight != NULL) {
            release(times, flight);
        }
    }
    g_mutex_unlock(&times->lock);
}

static void
count_latency(PeerBlockTimes *sum, const PeerBlockLatency *latency, uint32_t op, uint64_t ns)
{
    const PeerBlockBounds *bounds = &latency->bounds[op];
    uint32_t bin = 0;

    sum->total_ns[op] += ns;
    while (bin < bounds->count && ns >= bounds->ns[bin]) {
        bin++;
    }
    sum->bins[op][bin]++;
}

void
block_times_end(BlockTimes *times, const struct bp_block_completion *completions, uint32_t count,
                const PeerBlockLatency *latency, struct bp_block_completion *out)
{
    uint64_t now = now_ns();
    uint32_t i;

    g_mutex_lock(&times->lock);
    for (i = 0; i < count; i++) {
        Flight *flight = find_flight(times, completions[i].user);
        out[i] = completions[i];
        if (flight != NULL) {
            out[i].user = flight->user;
            count_latency(&times->sum, latency, flight->op, now - flight->start_ns);
            release(times, flight);
        }
    }
    g_mutex_unlock(&times->lock);
}

uint64_t
block_times_find(BlockTimes *times, uint64_t user)
{
    uint64_t found = NOT_FOUND;
    uint32_t i;

    g_mutex_lock(&times->lock);
    for (i = 0; i < times->depth && found == NOT_FOUND; i++) {
        const Flight *flight = &times->flights[i];
        if (!IS_FREE(flight) && flight->user == user) {
            found = flight->round << INDEX_BITS | i;
        }
    }
    g_mutex_unlock(&times->lock);
    return found;
}

void
block_times_add(BlockTimes *times, PeerBlockTimes *sum)
{
    uint32_t op, bin;

    g_mutex_lock(&times->lock);
    for (op = 0; op < PEER_BLOCK_OPS; op++) {
        sum->total_ns[op] += times->sum.total_ns[op];
        for (bin = 0; bin <= PEER_BLOCK_BOUNDS; bin++) {
            sum->bins[op][bin] += times->sum.bins[op][bin];
        }
    }
    g_mutex_unlock(&times->lock);
}
