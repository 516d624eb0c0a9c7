/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual clock is one atomic word, so that reading it is wait-free and never torn: bit 0 says
 * whether it runs; the rest is the time (stopped), or what to add to CLOCK_MONOTONIC (running). */
#include "loop/clock.h"

#include <time.h>

#define NS_PER_SECOND UINT64_C(1000000000)
#define RUNNING_BIT   1

typedef struct {
    void (*changed)(void *opaque);
    void *opaque;
} Listener;

struct VirtualClock {
    int64_t state; /* atomic; (value << 1) | running */
    bool manual;
    GArray *listeners; /* of Listener; control thread only */
};

static uint64_t
host_clock(clockid_t id)
{
    struct timespec now;
    (void)clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t
clock_source_now(ClockSource source, const VirtualClock *clock)
{
    switch (source) {
    case CLOCK_SOURCE_VIRTUAL:
        return virtual_clock_now(clock);
    case CLOCK_SOURCE_WALL:
        return host_clock(CLOCK_REALTIME);
    case CLOCK_SOURCE_MONOTONIC:
    case CLOCK_SOURCE_COUNT:
        break;
    }
    return host_clock(CLOCK_MONOTONIC);
}

VirtualClock *
virtual_clock_new(bool manual)
{
    VirtualClock *clock = g_new0(VirtualClock, 1);
    clock->manual = manual;
    clock->listeners = g_array_new(FALSE, FALSE, sizeof(Listener));
    return clock;
}

void
virtual_clock_free(VirtualClock *clock)
{
    if (!clock) {
        return;
    }
    g_array_unref(clock->listeners);
    g_free(clock);
}

static int64_t
load_state(const VirtualClock *clock)
{
    return __atomic_load_n(&clock->state, __ATOMIC_ACQUIRE);
}

static void
notify(const VirtualClock *clock)
{
    for (guint i = 0; i < clock->listeners->len; i++) {
        const Listener *listener = &g_array_index(clock->listeners, Listener, i);
        listener->changed(listener->opaque);
    }
}

static void
store_state(VirtualClock *clock, uint64_t now_ns, bool running)
{
    int64_t value = (int64_t)now_ns;
    if (running) {
        value -= (int64_t)host_clock(CLOCK_MONOTONIC);
    }
    int64_t state = value * 2 + (running ? RUNNING_BIT : 0); /* no shift: value may be negative */
    __atomic_store_n(&clock->state, state, __ATOMIC_RELEASE);
    notify(clock);
}

uint64_t
virtual_clock_now(const VirtualClock *clock)
{
    int64_t state = load_state(clock);
    bool running = state & RUNNING_BIT;
    int64_t value = (state - (running ? RUNNING_BIT : 0)) / 2;
    return (uint64_t)(running ? value + (int64_t)host_clock(CLOCK_MONOTONIC) : value);
}

bool
virtual_clock_is_manual(const VirtualClock *clock)
{
    return clock->manual;
}

bool
virtual_clock_is_running(const VirtualClock *clock)
{
    return load_state(clock) & RUNNING_BIT;
}

void
virtual_clock_start(VirtualClock *clock)
{
    if (!clock->manual && !virtual_clock_is_running(clock)) {
        store_state(clock, virtual_clock_now(clock), true);
    }
}

void
virtual_clock_stop(VirtualClock *clock)
{
    if (virtual_clock_is_running(clock)) {
        store_state(clock, virtual_clock_now(clock), false);
    }
}

void
virtual_clock_set(VirtualClock *clock, uint64_t now_ns)
{
    store_state(clock, MIN(now_ns, VIRTUAL_CLOCK_MAX_NS), virtual_clock_is_running(clock));
}

void
virtual_clock_add_listener(VirtualClock *clock, void (*changed)(void *opaque), void *opaque)
{
    Listener listener = {changed, opaque};
    g_array_append_val(clock->listeners, listener);
}

void
virtual_clock_remove_listener(VirtualClock *clock, void (*changed)(void *opaque), void *opaque)
{
    for (guint i = 0; i < clock->listeners->len; i++) {
        const Listener *listener = &g_array_index(clock->listeners, Listener, i);
        if (listener->changed == changed && listener->opaque == opaque) {
            g_array_remove_index(clock->listeners, i);
            return;
        }
    }
}
