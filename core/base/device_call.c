/* SPDX-License-Identifier: Apache-2.0 */
#include "base/device_call.h"

#define DEPTH_MAX        8
#define BUSY_SPINS       64
#define BUSY_DEADLINE_US 20000
#define BUSY_PAUSE_US    50

static DeviceCall **
innermost_call(void)
{
    static _Thread_local DeviceCall *innermost;
    return &innermost;
}

/* Two devices whose DMA targets each other's registers wait for each other's lock: the one whose
 * patience ends first answers like a bus on which nobody responds, and the other goes on. */
static bool
lock_with_patience(GMutex *lock)
{
    for (unsigned i = 0; i < BUSY_SPINS; i++) {
        if (g_mutex_trylock(lock)) {
            return true;
        }
    }
    gint64 deadline = g_get_monotonic_time() + BUSY_DEADLINE_US;
    while (g_get_monotonic_time() < deadline) {
        if (g_mutex_trylock(lock)) {
            return true;
        }
        g_usleep(BUSY_PAUSE_US);
    }
    return false;
}

static bool
may_nest(const DeviceCall *outer, const GMutex *lock, const void *object)
{
    if (outer->depth + 1 >= DEPTH_MAX) {
        return false;
    }
    for (const DeviceCall *call = outer; call; call = call->outer) {
        if ((lock && call->lock == lock) || (object && call->object == object)) {
            return false;
        }
    }
    return true;
}

bool
device_call_enter(DeviceCall *call, GMutex *lock, const void *object)
{
    DeviceCall **innermost = innermost_call();
    DeviceCall *outer = *innermost;
    if (outer && !may_nest(outer, lock, object)) {
        return false;
    }
    bool holds_lock = outer && outer->holds_lock;
    if (lock && holds_lock) {
        if (!lock_with_patience(lock)) {
            return false;
        }
    } else if (lock) {
        g_mutex_lock(lock);
    }
    *call = (DeviceCall){
        .lock = lock,
        .object = object,
        .outer = outer,
        .holds_lock = lock || holds_lock,
        .depth = outer ? outer->depth + 1 : 0,
    };
    *innermost = call;
    return true;
}

void
device_call_enter_always(DeviceCall *call, GMutex *lock)
{
    DeviceCall **innermost = innermost_call();
    DeviceCall *outer = *innermost;

    g_mutex_lock(lock);
    *call = (DeviceCall){
        .lock = lock,
        .outer = outer,
        .holds_lock = true,
        .depth = outer ? outer->depth + 1 : 0,
    };
    *innermost = call;
}

void
device_call_leave(DeviceCall *call)
{
    *innermost_call() = call->outer;
    if (call->lock) {
        g_mutex_unlock(call->lock);
    }
}
