/* SPDX-License-Identifier: Apache-2.0 */
/* bp.timer/1 on a clock that moves only on command. */
#include "th.h"

#include <stdlib.h>

#define MONOTONIC_BASE_NS UINT64_C(1000000000000)       /* an arbitrary uptime */
#define WALL_BASE_NS      UINT64_C(1767225600000000000) /* 2026-01-01 00:00 UTC */

struct th_timer {
    struct th_timer *next;
    struct bp_instance *owner;
    struct bp_timer_args args;
    uint32_t armed;
    uint64_t deadline; /* virtual ns */
    uint64_t sequence; /* order of arming, for equal deadlines */
};

static uint64_t
clock_base(uint32_t clock)
{
    return clock == BP_CLOCK_WALL        ? WALL_BASE_NS
           : clock == BP_CLOCK_MONOTONIC ? MONOTONIC_BASE_NS
                                         : 0;
}

static struct th_timer *
timer_find(struct bp_instance *instance, uint32_t id)
{
    struct th_timer *timer;

    for (timer = instance->th->timers; timer != NULL; timer = timer->next) {
        if (timer->owner == instance && timer->args.id == id) {
            return timer;
        }
    }
    return NULL;
}

static struct th_timer *
timer_earliest(struct th_host *th)
{
    struct th_timer *timer, *best = NULL;

    for (timer = th->timers; timer != NULL; timer = timer->next) {
        if (timer->armed &&
            (best == NULL || timer->deadline < best->deadline ||
             (timer->deadline == best->deadline && timer->sequence < best->sequence))) {
            best = timer;
        }
    }
    return best;
}

static uint64_t
timer_now(struct bp_instance *instance, uint32_t clock)
{
    (void)th_call(instance, "timer.now", 0);
    return clock > BP_CLOCK_WALL ? 0 : clock_base(clock) + th_clock_now(instance->th);
}

static int32_t
timer_create_host(struct bp_instance *instance, const struct bp_timer_args *args)
{
    struct th_timer *timer;
    struct bp_timer_args copy;
    int32_t result = th_call(instance, "timer.create", TH_CONTROL | TH_FAILS);

    if (result == 0) {
        result = th_copy_args(instance, "timer.create", &copy, sizeof(copy), args, args->size);
    }
    if (result == 0) {
        result = th_check_loop(instance, "timer.create", copy.loop);
    }
    if (result != 0) {
        return result;
    }
    if (copy.clock > BP_CLOCK_WALL || copy.flags != 0 || copy.expired == NULL) {
        return -EINVAL;
    }
    if (timer_find(instance, copy.id) != NULL) {
        th_violate(instance->th, "%s: timer id %u made twice", instance->id, copy.id);
        return -EEXIST;
    }
    timer = th_alloc(sizeof(*timer));
    timer->owner = instance;
    timer->args = copy;
    pthread_mutex_lock(&instance->th->lock);
    timer->next = instance->th->timers;
    instance->th->timers = timer;
    pthread_mutex_unlock(&instance->th->lock);
    return 0;
}

static void
timer_arm(struct bp_instance *instance, uint32_t id, uint64_t deadline_ns)
{
    struct th_host *th = instance->th;
    struct th_timer *timer;
    uint64_t base;

    (void)th_call(instance, "timer.arm", 0);
    pthread_mutex_lock(&th->lock);
    timer = timer_find(instance, id);
    if (timer == NULL) {
        th_violate(th, "%s: timer.arm: no timer %u", instance->id, id);
    } else {
        base = clock_base(timer->args.clock);
        timer->deadline = deadline_ns < base ? 0 : deadline_ns - base;
        timer->armed = 1;
        timer->sequence = ++th->timer_sequence;
    }
    pthread_mutex_unlock(&th->lock);
    th_wake(th);
}

static void
timer_cancel(struct bp_instance *instance, uint32_t id)
{
    struct th_timer *timer;

    (void)th_call(instance, "timer.cancel", 0);
    pthread_mutex_lock(&instance->th->lock);
    timer = timer_find(instance, id);
    if (timer != NULL) {
        timer->armed = 0;
    }
    pthread_mutex_unlock(&instance->th->lock);
}

int
th_timer_run(struct th_host *th)
{
    struct th_timer *timer;
    enum th_context before;

    pthread_mutex_lock(&th->lock);
    timer = timer_earliest(th);
    if (timer == NULL || timer->deadline > th->now) {
        pthread_mutex_unlock(&th->lock);
        return 0;
    }
    timer->armed = 0;
    pthread_mutex_unlock(&th->lock);
    before = th_enter(th, TH_IN_LOOP);
    timer->args.expired(timer->args.opaque);
    th_leave(th, before);
    return 1;
}

uint64_t
th_clock_now(struct th_host *th)
{
    uint64_t now;

    pthread_mutex_lock(&th->lock);
    now = th->now;
    pthread_mutex_unlock(&th->lock);
    return now;
}

uint64_t
th_clock_next(struct th_host *th)
{
    const struct th_timer *timer;
    uint64_t next;

    pthread_mutex_lock(&th->lock);
    timer = timer_earliest(th);
    next = timer == NULL ? UINT64_MAX : timer->deadline;
    pthread_mutex_unlock(&th->lock);
    return next;
}

static void
clock_set(struct th_host *th, uint64_t now)
{
    pthread_mutex_lock(&th->lock);
    th->now = now;
    pthread_mutex_unlock(&th->lock);
}

void
th_clock_step(struct th_host *th, uint64_t ns)
{
    uint64_t end = th->now + ns;
    uint64_t next;

    th_run(th);
    while ((next = th_clock_next(th)) <= end) {
        clock_set(th, next < th->now ? th->now : next);
        th_run(th);
    }
    clock_set(th, end);
    th_run(th);
}

uint32_t
th_timer_armed(struct bp_instance *instance, uint32_t id)
{
    const struct th_timer *timer = timer_find(instance, id);

    return timer != NULL && timer->armed;
}

void
th_timer_drop(struct bp_instance *instance)
{
    struct th_timer **link = &instance->th->timers;

    pthread_mutex_lock(&instance->th->lock);
    while (*link != NULL) {
        struct th_timer *timer = *link;
        if (timer->owner == instance) {
            *link = timer->next;
            free(timer);
        } else {
            link = &timer->next;
        }
    }
    pthread_mutex_unlock(&instance->th->lock);
}

const struct bp_timer_host th_timer_table = {
    .size = sizeof(struct bp_timer_host),
    .now = timer_now,
    .create = timer_create_host,
    .arm = timer_arm,
    .cancel = timer_cancel,
};
