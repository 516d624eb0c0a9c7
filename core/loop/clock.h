/* SPDX-License-Identifier: Apache-2.0 */
/* The three clocks a machine knows. The virtual clock counts nanoseconds from power-on and stands
 * still while the machine is stopped; in the test protocol it moves only on command. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    CLOCK_SOURCE_VIRTUAL,   /* ns since power-on; stops with the machine */
    CLOCK_SOURCE_MONOTONIC, /* CLOCK_MONOTONIC */
    CLOCK_SOURCE_WALL,      /* CLOCK_REALTIME, ns since 1970 */
    CLOCK_SOURCE_COUNT,
} ClockSource;

typedef struct VirtualClock VirtualClock;

#define VIRTUAL_CLOCK_MAX_NS (UINT64_MAX >> 2) /* 146 years */

/* manual: the clock moves only by virtual_clock_set(). A new clock stands at 0, stopped. */
VirtualClock *virtual_clock_new(bool manual);
void virtual_clock_free(VirtualClock *clock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VirtualClock, virtual_clock_free)

/* The time on any of the clocks, in ns; clock is needed for CLOCK_SOURCE_VIRTUAL only. [any] */
uint64_t clock_source_now(ClockSource source, const VirtualClock *clock);

/* Wait-free. [any] */
uint64_t virtual_clock_now(const VirtualClock *clock);
bool virtual_clock_is_manual(const VirtualClock *clock);
/* Starting a running clock and stopping a stopped one do nothing; a manual clock never runs.
 * [control] */
void virtual_clock_start(VirtualClock *clock);
void virtual_clock_stop(VirtualClock *clock);
bool virtual_clock_is_running(const VirtualClock *clock);
/* Sets the time, at most VIRTUAL_CLOCK_MAX_NS: a manual clock's step, or the value restored from a
 * snapshot (clock stopped).
 * [control] */
void virtual_clock_set(VirtualClock *clock, uint64_t now_ns);
/* Calls changed() after every start, stop and set: a loop recomputes its timeout. [control] */
void virtual_clock_add_listener(VirtualClock *clock, void (*changed)(void *opaque), void *opaque);
void virtual_clock_remove_listener(VirtualClock *clock, void (*changed)(void *opaque),
                                   void *opaque);
