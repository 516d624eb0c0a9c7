/* SPDX-License-Identifier: Apache-2.0 */
/* Entering a device: its lock is taken, and the thread remembers that it is inside. A device's DMA
 * may hit its own registers, or those of a second device that does the same to the first; a guest
 * can arrange both. Neither may hang the machine, so a thread that is inside a device already
 * never waits for another lock without an end. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct DeviceCall DeviceCall;

/* Lives on the stack of the caller from enter to leave. */
struct DeviceCall {
    GMutex *lock;       /* NULL: the device does its own locking */
    const void *object; /* what was entered: a region; NULL: nothing that could be re-entered */
    DeviceCall *outer;
    bool holds_lock; /* this call or one further out */
    unsigned depth;
};

/* Waits for the lock when this thread is inside no device. Otherwise false, with nothing taken,
 * when the thread is in the same object or holds the same lock, when the calls are nested too deep,
 * or when the lock stays busy for about a millisecond. [any] */
bool device_call_enter(DeviceCall *call, GMutex *lock, const void *object);
/* For a call that may not be lost, such as a completion; waits however long it takes. This thread
 * may be inside that device already, if it has let go of the lock to wait for this very call.
 * [any] */
void device_call_enter_always(DeviceCall *call, GMutex *lock);
/* Calls end in the reverse order of their beginning. [any] */
void device_call_leave(DeviceCall *call);
