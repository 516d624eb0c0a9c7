/* SPDX-License-Identifier: Apache-2.0 */
/* bp.timer/1. */
#include "plugin/args.h"
#include "plugin/instance.h"

#include <errno.h>

_Static_assert(BP_CLOCK_VIRTUAL == CLOCK_SOURCE_VIRTUAL && BP_CLOCK_WALL == CLOCK_SOURCE_WALL &&
                   BP_CLOCK_MONOTONIC == CLOCK_SOURCE_MONOTONIC,
               "the ABI's clocks are the core's");

static uint64_t
host_clock(clockid_t id)
{
    struct timespec now;

    (void)clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t
timer_host_now(Instance *instance, uint32_t clock)
{
    switch (clock) {
    case BP_CLOCK_VIRTUAL:
        return virtual_clock_now(instance->services->clock);
    case BP_CLOCK_MONOTONIC:
        return host_clock(CLOCK_MONOTONIC);
    case BP_CLOCK_WALL:
        return host_clock(CLOCK_REALTIME);
    default:
        return 0;
    }
}

static int32_t
timer_host_create(Instance *instance, const struct bp_timer_args *given)
{
    struct bp_timer_args args;
    LoopTimer *timer;
    Loop *loop;
    int result = args_copy(&args, sizeof(args), given);

    if (result != 0) {
        return result;
    }
    if (args.flags != 0 || args.clock > BP_CLOCK_WALL || args.expired == NULL) {
        return -EINVAL;
    }
    loop = services_loop(instance->services, args.loop);
    if (loop == NULL) {
        return -ENOENT;
    }
    timer = loop_timer_new(loop, (ClockSource)args.clock, instance->loop_lock, args.expired,
                           args.opaque);
    result = id_table_add(&instance->timers, args.id, timer);
    if (result != 0) {
        loop_timer_free(timer);
    }
    return result;
}

static void
timer_host_arm(Instance *instance, uint32_t id, uint64_t deadline_ns)
{
    LoopTimer *timer = id_table_find(&instance->timers, id);

    if (timer != NULL) {
        loop_timer_arm(timer, deadline_ns);
    }
}

static void
timer_host_cancel(Instance *instance, uint32_t id)
{
    LoopTimer *timer = id_table_find(&instance->timers, id);

    if (timer != NULL) {
        loop_timer_cancel(timer);
    }
}

static void
free_timer(void *value)
{
    loop_timer_free(value);
}

void
host_timer_withdraw(Instance *instance)
{
    id_table_done(&instance->timers, free_timer);
}

const struct bp_timer_host host_timer = {
    .size = sizeof(host_timer),
    .now = timer_host_now,
    .create = timer_host_create,
    .arm = timer_host_arm,
    .cancel = timer_host_cancel,
};
