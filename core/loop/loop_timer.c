/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: one binary heap for each clock. Only the earliest deadline matters to the sleep, and only
 * an earlier one than the sleep's end wakes the loop. */
#include "base/error.h"
#include "base/log.h"
#include "loop/loop_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NS_PER_SECOND      UINT64_C(1000000000)
#define VIRTUAL_RUN_BUDGET 100000 /* callbacks in one loop_run_virtual_timers() */

/* ---- the heap ---- */

static LoopTimer *
heap_at(const LoopHeap *heap, guint index)
{
    return heap->timers->pdata[index];
}

static LoopTimer *
heap_top(const LoopHeap *heap)
{
    return heap->timers->len > 0 ? heap_at(heap, 0) : NULL;
}

static bool
fires_before(const LoopTimer *a, const LoopTimer *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->sequence < b->sequence;
}

static void
heap_put(LoopHeap *heap, guint index, LoopTimer *timer)
{
    heap->timers->pdata[index] = timer;
    timer->index = (int)index;
}

/* Moves the timer at index up or down to where it belongs. */
static void
heap_settle(LoopHeap *heap, guint index)
{
    LoopTimer *timer = heap_at(heap, index);
    while (index > 0 && fires_before(timer, heap_at(heap, (index - 1) / 2))) {
        heap_put(heap, index, heap_at(heap, (index - 1) / 2));
        index = (index - 1) / 2;
    }
    for (guint child = 2 * index + 1; child < heap->timers->len; child = 2 * index + 1) {
        if (child + 1 < heap->timers->len &&
            fires_before(heap_at(heap, child + 1), heap_at(heap, child))) {
            child++;
        }
        if (!fires_before(heap_at(heap, child), timer)) {
            break;
        }
        heap_put(heap, index, heap_at(heap, child));
        index = child;
    }
    heap_put(heap, index, timer);
}

static void
heap_insert(LoopHeap *heap, LoopTimer *timer)
{
    g_ptr_array_add(heap->timers, timer);
    timer->index = (int)heap->timers->len - 1;
    heap_settle(heap, (guint)timer->index);
}

static void
heap_remove(LoopHeap *heap, LoopTimer *timer)
{
    if (timer->index < 0) {
        return;
    }
    guint index = (guint)timer->index;
    LoopTimer *last = g_ptr_array_steal_index(heap->timers, heap->timers->len - 1);
    timer->index = -1;
    if (last != timer) {
        heap_put(heap, index, last);
        heap_settle(heap, index);
    }
}

/* ---- the wall clock ---- */

/* The turn that called this looks at the clock itself. What remains is to take the news off the
 * timerfd, and to have it set again: after a jump (ECANCELED) it does not fire any more. */
static void
wall_clock_news(void *opaque, int fd, uint32_t events)
{
    Loop *loop = opaque;
    uint64_t expirations;
    (void)!read(fd, &expirations, sizeof expirations);
    g_mutex_lock(&loop->lock);
    loop->wall_deadline = NO_DEADLINE;
    g_mutex_unlock(&loop->lock);
}

static void
set_wall_timer_locked(Loop *loop, uint64_t deadline)
{
    if (loop->wall_fd < 0 || loop->wall_deadline == deadline) {
        return;
    }
    /* 0 would disarm, which also stops the news of a jump: never asked for, a deadline in the past
     * fires at once. */
    struct itimerspec setting = {
        .it_value =
            {
                .tv_sec = (time_t)(deadline / NS_PER_SECOND),
                .tv_nsec = (long)(deadline % NS_PER_SECOND),
            },
    };
    (void)timerfd_settime(loop->wall_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &setting,
                          NULL);
    loop->wall_deadline = deadline;
}

static void
watch_wall_clock(Loop *loop)
{
    if (loop->wall_source) {
        return;
    }
    loop->wall_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->wall_fd < 0) {
        log_error("loop", "cannot create a timer for the wall clock: %s", g_strerror(errno));
        return;
    }
    loop->wall_deadline = NO_DEADLINE;
    loop->wall_source = loop_fd_add(loop, loop->wall_fd, EPOLLIN, NULL, wall_clock_news, loop);
}

/* ---- deadlines ---- */

static bool
virtual_timers_run(const Loop *loop)
{
    return loop->clock && !virtual_clock_is_manual(loop->clock) &&
           virtual_clock_is_running(loop->clock);
}

static uint64_t
saturating_add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* When the timer is due, on CLOCK_MONOTONIC: 0 if it is, NO_DEADLINE if nothing but a change of its
 * clock (which wakes the loop) can make it so. */
static uint64_t
due_at(const Loop *loop, const LoopTimer *timer)
{
    if (timer->source == CLOCK_SOURCE_VIRTUAL && !virtual_timers_run(loop)) {
        return NO_DEADLINE;
    }
    uint64_t now = clock_source_now(timer->source, loop->clock);
    if (timer->deadline <= now) {
        return 0;
    }
    if (timer->source == CLOCK_SOURCE_WALL) {
        return NO_DEADLINE; /* the timerfd tells */
    }
    uint64_t monotonic = clock_source_now(CLOCK_SOURCE_MONOTONIC, NULL);
    return saturating_add(monotonic, timer->deadline - now);
}

uint64_t
loop_timers_next_locked(Loop *loop)
{
    uint64_t next = NO_DEADLINE;
    for (unsigned source = 0; source < CLOCK_SOURCE_COUNT; source++) {
        const LoopTimer *timer = heap_top(&loop->heaps[source]);
        if (timer) {
            next = MIN(next, due_at(loop, timer));
        }
    }
    const LoopTimer *wall = heap_top(&loop->heaps[CLOCK_SOURCE_WALL]);
    if (wall) {
        set_wall_timer_locked(loop, wall->deadline);
    }
    return next;
}

static void
fire_locked(Loop *loop, LoopTimer *timer)
{
    LoopDispatch dispatch = {
        .item = timer,
        .lock = timer->lock,
        .func = timer->func,
        .opaque = timer->opaque,
    };
    heap_remove(&loop->heaps[timer->source], timer);
    loop_dispatch_locked(loop, &dispatch);
}

/* Fires at most `budget` timers that are due: one that arms itself again in the past waits for the
 * next turn and cannot starve the rest. */
static void
run_heap_locked(Loop *loop, ClockSource source, unsigned budget)
{
    const LoopHeap *heap = &loop->heaps[source];
    uint64_t now = heap->timers->len > 0 ? clock_source_now(source, loop->clock) : 0;
    for (; budget > 0 && !loop->stop; budget--) {
        LoopTimer *timer = heap_top(heap);
        if (!timer || timer->deadline > now) {
            return;
        }
        fire_locked(loop, timer);
    }
}

void
loop_run_timers_locked(Loop *loop)
{
    for (unsigned source = 0; source < CLOCK_SOURCE_COUNT; source++) {
        if (source != CLOCK_SOURCE_VIRTUAL || virtual_timers_run(loop)) {
            run_heap_locked(loop, source, loop->heaps[source].timers->len);
        }
    }
}

uint64_t
loop_next_virtual_deadline(Loop *loop)
{
    g_mutex_lock(&loop->lock);
    const LoopTimer *timer = heap_top(&loop->heaps[CLOCK_SOURCE_VIRTUAL]);
    uint64_t deadline = timer ? timer->deadline : UINT64_MAX;
    g_mutex_unlock(&loop->lock);
    return deadline;
}

void
loop_run_virtual_timers(Loop *loop)
{
    g_mutex_lock(&loop->lock);
    /* A guest that makes a device arm in the past again and again gets no further than this. */
    run_heap_locked(loop, CLOCK_SOURCE_VIRTUAL, VIRTUAL_RUN_BUDGET);
    g_mutex_unlock(&loop->lock);
}

/* ---- life ---- */

void
loop_timers_init(Loop *loop)
{
    g_queue_init(&loop->timers);
    loop->wall_fd = -1;
    for (unsigned source = 0; source < CLOCK_SOURCE_COUNT; source++) {
        loop->heaps[source].timers = g_ptr_array_new();
    }
}

void
loop_timers_done(Loop *loop)
{
    for (GList *link = loop->timers.head; link;) {
        LoopTimer *timer = link->data;
        link = link->next;
        g_free(timer);
    }
    for (unsigned source = 0; source < CLOCK_SOURCE_COUNT; source++) {
        if (loop->heaps[source].timers) {
            g_ptr_array_unref(loop->heaps[source].timers);
        }
    }
    if (loop->wall_fd >= 0) {
        (void)close(loop->wall_fd);
    }
}

LoopTimer *
loop_timer_new(Loop *loop, ClockSource source, GMutex *lock, LoopFunc *func, void *opaque)
{
    LoopTimer *timer = g_new0(LoopTimer, 1);
    timer->loop = loop;
    timer->source = source;
    timer->lock = lock;
    timer->func = func;
    timer->opaque = opaque;
    timer->index = -1;
    timer->link.data = timer;
    if (source == CLOCK_SOURCE_WALL) {
        watch_wall_clock(loop);
    }
    g_mutex_lock(&loop->lock);
    g_queue_push_tail_link(&loop->timers, &timer->link);
    g_mutex_unlock(&loop->lock);
    return timer;
}

void
loop_timer_free(LoopTimer *timer)
{
    if (!timer) {
        return;
    }
    Loop *loop = timer->loop;
    loop_timer_cancel(timer);
    g_mutex_lock(&loop->lock);
    g_queue_unlink(&loop->timers, &timer->link);
    g_mutex_unlock(&loop->lock);
    g_free(timer);
}

/* A dispatch of the item that has not begun is called off. */
static void
call_off_locked(Loop *loop, const LoopTimer *timer)
{
    for (LoopDispatch *dispatch = loop->dispatch; dispatch; dispatch = dispatch->outer) {
        if (!dispatch->deferred && dispatch->item == timer && !dispatch->entered) {
            dispatch->cancelled = true;
        }
    }
}

void
loop_timer_arm(LoopTimer *timer, uint64_t deadline_ns)
{
    Loop *loop = timer->loop;
    LoopHeap *heap = &loop->heaps[timer->source];
    g_mutex_lock(&loop->lock);
    call_off_locked(loop, timer);
    heap_remove(heap, timer);
    timer->deadline = deadline_ns;
    timer->sequence = ++loop->timer_sequence;
    heap_insert(heap, timer);
    if (loop->sleeping && timer->index == 0) {
        uint64_t due = due_at(loop, timer);
        if (due < loop->wake_at) {
            loop_wake_locked(loop);
        } else if (timer->source == CLOCK_SOURCE_WALL) {
            set_wall_timer_locked(loop, deadline_ns);
        }
    }
    g_mutex_unlock(&loop->lock);
}

void
loop_timer_cancel(LoopTimer *timer)
{
    Loop *loop = timer->loop;
    g_mutex_lock(&loop->lock);
    do {
        heap_remove(&loop->heaps[timer->source], timer);
    } while (loop_callback_busy_locked(loop, timer, false));
    g_mutex_unlock(&loop->lock);
}

bool
loop_timer_armed(const LoopTimer *timer)
{
    Loop *loop = timer->loop;
    g_mutex_lock(&loop->lock);
    bool armed = timer->index >= 0;
    for (const LoopDispatch *at = loop->dispatch; at && !armed; at = at->outer) {
        armed = !at->deferred && at->item == timer && !at->entered && !at->cancelled;
    }
    g_mutex_unlock(&loop->lock);
    return armed;
}
