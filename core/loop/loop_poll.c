/* SPDX-License-Identifier: Apache-2.0 */
/* Looking around for a while before the loop sleeps: what comes within that time is handled without
 * a system call, and whoever sends it need not wake the loop. The time adapts: it grows while work
 * comes soon after the loop has gone to sleep, and is nothing for a loop that idles.
 *
 * While it looks around (loop->polling) the list of polled sources belongs to the loop's thread;
 * who wants to change it makes it stop first. */
#include "loop/loop_internal.h"

#include <immintrin.h>

#define POLL_FIRST_NS 4000

void
loop_poll_stop_locked(Loop *loop)
{
    while (loop->polling && !loop_is_current(loop)) {
        __atomic_store_n(&loop->poll_break, true, __ATOMIC_RELAXED);
        loop_wait_locked(loop);
    }
}

void
loop_poll_forget_locked(Loop *loop, LoopFd *source)
{
    if (source->poll != NULL) {
        loop_poll_stop_locked(loop);
        (void)g_ptr_array_remove_fast(loop->polled, source);
        source->poll = NULL;
    }
}

void
loop_fd_set_poll(LoopFd *source, LoopPollFunc *poll)
{
    Loop *loop = source->loop;
    g_mutex_lock(&loop->lock);
    loop_poll_forget_locked(loop, source);
    if (poll != NULL) {
        loop_poll_stop_locked(loop);
        source->poll = poll;
        g_ptr_array_add(loop->polled, source);
    }
    g_mutex_unlock(&loop->lock);
}

static unsigned
ask_all(Loop *loop, LoopPollPhase phase)
{
    unsigned hits = 0;
    for (guint i = 0; i < loop->polled->len; i++) {
        LoopFd *source = g_ptr_array_index(loop->polled, i);
        if (source->poll(source->opaque, phase)) {
            source->poll_hit = true;
            hits++;
        }
    }
    return hits;
}

static bool
look_around(Loop *loop, uint64_t until)
{
    do {
        if (ask_all(loop, LOOP_POLL_LOOK) > 0 || loop->ops->has_ready(loop->engine)) {
            return true;
        }
        _mm_pause();
    } while (!__atomic_load_n(&loop->poll_break, __ATOMIC_RELAXED) &&
             clock_source_now(CLOCK_SOURCE_MONOTONIC, NULL) < until);
    return false;
}

bool
loop_poll_locked(Loop *loop, int64_t timeout_ns)
{
    uint64_t now = clock_source_now(CLOCK_SOURCE_MONOTONIC, NULL);
    uint64_t limit = loop->poll_ns;
    if (timeout_ns >= 0 && (uint64_t)timeout_ns < limit) {
        limit = (uint64_t)timeout_ns;
    }
    loop->slept_at = now;
    if (limit == 0 || loop->polled->len == 0) {
        return false;
    }
    loop->polling = true;
    loop->poll_break = false;
    g_mutex_unlock(&loop->lock);
    loop->ops->submit(loop->engine); /* what is not polled must be able to show itself */
    bool ready = ask_all(loop, LOOP_POLL_BEGIN) > 0 || look_around(loop, now + limit);
    ready = ask_all(loop, LOOP_POLL_END) > 0 || ready;
    g_mutex_lock(&loop->lock);
    loop->polling = false;
    if (loop->waiters > 0) {
        g_cond_broadcast(&loop->changed);
    }
    return ready;
}

/* After a sleep that looking around for the longest time would have spared, look longer; after one
 * that it would not, do not look at all. */
void
loop_poll_adapt_locked(Loop *loop)
{
    uint64_t slept = clock_source_now(CLOCK_SOURCE_MONOTONIC, NULL) - loop->slept_at;
    if (slept > loop->poll_max_ns) {
        loop->poll_ns = 0;
    } else if (slept > loop->poll_ns) {
        loop->poll_ns = MIN(MAX(loop->poll_ns * 2, POLL_FIRST_NS), loop->poll_max_ns);
    }
}

void
loop_poll_run_locked(Loop *loop)
{
    /* A callback may change the list: start again after each. */
    for (guint i = 0; i < loop->polled->len && !loop->stop;) {
        LoopFd *source = g_ptr_array_index(loop->polled, i);
        if (!source->poll_hit) {
            i++;
            continue;
        }
        source->poll_hit = false;
        LoopDispatch dispatch = {
            .item = source,
            .lock = source->lock,
            .fd_func = source->func,
            .fd = source->fd,
            .events = LOOP_EVENT_POLLED,
            .opaque = source->opaque,
        };
        loop_dispatch_locked(loop, &dispatch);
        i = 0;
    }
}

void
loop_set_poll_limit(Loop *loop, uint64_t limit_ns)
{
    g_mutex_lock(&loop->lock);
    loop->poll_max_ns = limit_ns;
    loop->poll_ns = 0;
    g_mutex_unlock(&loop->lock);
}
