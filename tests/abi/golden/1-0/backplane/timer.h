/* SPDX-License-Identifier: Apache-2.0 */
/* bp.timer/1: clocks and one-shot timers. */
#ifndef BACKPLANE_TIMER_H
#define BACKPLANE_TIMER_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_TIMER_ID "bp.timer/1"

#define BP_CLOCK_VIRTUAL   0u /* ns since power-on; stands still while the machine is stopped */
#define BP_CLOCK_MONOTONIC 1u /* ns, the host's monotonic clock */
#define BP_CLOCK_WALL      2u /* ns since 1970-01-01 UTC */

struct bp_timer_args {
    uint32_t size;
    uint32_t flags; /* 0 */
    uint32_t id;    /* chosen by the plugin, unique in the instance */
    uint32_t clock; /* BP_CLOCK_... */
    uint32_t loop;  /* loop on which expired is called */
    uint32_t reserved;
    /* The deadline passed. The timer is disarmed; it may be armed again from here.
     * [loop] */
    void (*expired)(void *opaque);
    void *opaque;
};

struct bp_timer_host {
    uint32_t size;
    uint32_t flags;

    /* The time on a clock, ns; 0 for an unknown clock.
     * [any] */
    uint64_t (*now)(struct bp_instance *instance, uint32_t clock);
    /* Makes a timer, disarmed. Removed by the core before destroy().
     * [control] -EEXIST: the id is in use. -EINVAL: clock. -ENOENT: loop. */
    int32_t (*create)(struct bp_instance *instance,
                      const struct bp_timer_args *args) BP_MUST_CHECK;
    /* Arms or re-arms. deadline_ns: on the timer's clock; in the past means as soon as possible. An
     * unknown id does nothing.
     * [any] */
    void (*arm)(struct bp_instance *instance, uint32_t id, uint64_t deadline_ns);
    /* Disarms. Synchronous: expired is not running afterwards, except when called from it. A PARALLEL
     * instance must not hold a lock here that expired takes.
     * [any] */
    void (*cancel)(struct bp_instance *instance, uint32_t id);
};

#ifdef __cplusplus
}
#endif

#endif
