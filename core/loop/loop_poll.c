/* SPDX-License-Identifier: Apache-2.0 */
/* Looking around for a while before the loop sleeps: what comes within that time is handled without
 * a system call, and whoever sends it need not wake the loop.
 *
 * How long pays is learnt from how long waits are. max_ns is what a sleep that is spared is worth.
 * Every so often the loop looks for as long as that, to see a wait's true length, which a sleep
 * hides behind the time that waking takes; in between it looks for as long as would have gained
 * most on what was seen lately. So a disk that takes longer than max_ns does not hide a driver that
 * answers at once, and an idle loop does not look.
 *
 * While it looks around (loop->polling) the list of polled sources belongs to the loop's thread;
 * who wants to change it makes it stop first. */
#include "loop/loop_internal.h"

#include <immintrin.h>

#define SEEN_ONE       4096u /* weight of the newest wait */
#define SEEN_SHIFT     3     /* of the older ones, 1/8 goes with each new one */
#define FULL_LOOKS     17u   /* every so many waits; odd, as waits often alternate */
#define FIRST_LOOKS_NS UINT64_C(1000)

/* ---- how long ---- */

/* Waits of bucket i are no longer than this. */
static uint64_t
bucket_limit(const LoopWaits *waits, unsigned i)
{
    return waits->max_ns >> (LOOP_WAIT_BUCKETS - 1 - i);
}

/* The limit for which the waits seen would have gained most: each found one spares max_ns for the
 * time it took, each other one costs the limit. */
static uint64_t
choose_limit(const LoopWaits *waits)
{
    int64_t longer = waits->longer;
    int64_t gained = 0;
    int64_t best = 0;
    uint64_t limit = 0;
    for (unsigned i = 0; i < LOOP_WAIT_BUCKETS; i++) {
        longer += waits->seen[i];
    }
    for (unsigned i = 0; i < LOOP_WAIT_BUCKETS; i++) {
        int64_t bound = (int64_t)bucket_limit(waits, i);
        longer -= waits->seen[i];
        gained += waits->seen[i] * ((int64_t)waits->max_ns - bound * 3 / 4);
        if (gained - longer * bound > best) {
            best = gained - longer * bound;
            limit = (uint64_t)bound;
        }
    }
    return limit;
}

static void
note_wait(LoopWaits *waits, bool found, uint64_t length_ns)
{
    unsigned i = 0;
    for (unsigned k = 0; k < LOOP_WAIT_BUCKETS; k++) {
        waits->seen[k] -= waits->seen[k] >> SEEN_SHIFT;
    }
    waits->longer -= waits->longer >> SEEN_SHIFT;
    while (found && i < LOOP_WAIT_BUCKETS && length_ns > bucket_limit(waits, i)) {
        i++;
    }
    if (found && i < LOOP_WAIT_BUCKETS) {
        waits->seen[i] += SEEN_ONE;
    } else {
        waits->longer += SEEN_ONE;
    }
    waits->limit_ns = choose_limit(waits);
}

static uint64_t
next_limit(LoopWaits *waits)
{
    if (waits->until_full == 0) {
        waits->until_full = FULL_LOOKS;
        return waits->max_ns;
    }
    waits->until_full--;
    return waits->limit_ns;
}

/* ---- the sources ---- */

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
        source->poll_told = source->poll_hit = false;
        g_ptr_array_add(loop->polled, source);
    }
    g_mutex_unlock(&loop->lock);
}

/* Those that have not been told to BEGIN are, instead of being asked to LOOK; END is for those that
 * have. */
static bool
ask_all(Loop *loop, LoopPollPhase phase)
{
    bool hit = false;
    for (guint i = 0; i < loop->polled->len; i++) {
        LoopFd *source = g_ptr_array_index(loop->polled, i);
        bool was_told = source->poll_told;
        source->poll_told = phase != LOOP_POLL_END;
        if ((was_told || source->poll_told) &&
            source->poll(source->opaque, was_told ? phase : LOOP_POLL_BEGIN)) {
            source->poll_hit = true;
            hit = true;
        }
    }
    loop->poll_told = phase != LOOP_POLL_END;
    return hit;
}

static bool
look_around(Loop *loop, uint64_t until)
{
    do {
        if (ask_all(loop, LOOP_POLL_LOOK) || loop->ops->has_ready(loop->engine)) {
            return true;
        }
        _mm_pause();
    } while (!__atomic_load_n(&loop->poll_break, __ATOMIC_RELAXED) &&
             clock_source_now(CLOCK_SOURCE_MONOTONIC, NULL) < until);
    return false;
}

/* Before it sleeps. The first moments are without a system call; after them, what is not polled
 * must be able to show itself, too. */
static bool
look_before_sleep(Loop *loop, uint64_t limit_ns)
{
    uint64_t start = clock_source_now(CLOCK_SOURCE_MONOTONIC, NULL);
    bool found = look_around(loop, start + MIN(limit_ns, FIRST_LOOKS_NS));
    if (!found && !__atomic_load_n(&loop->poll_break, __ATOMIC_RELAXED)) {
        loop->ops->submit(loop->engine);
        found = look_around(loop, start + limit_ns);
    }
    if (limit_ns == loop->waits.max_ns && !__atomic_load_n(&loop->poll_break, __ATOMIC_RELAXED)) {
        note_wait(&loop->waits, found, clock_source_now(CLOCK_SOURCE_MONOTONIC, NULL) - start);
    }
    return found;
}

bool
loop_poll_locked(Loop *loop, int64_t timeout_ns)
{
    bool sleeps = timeout_ns != 0;
    uint64_t limit = sleeps && loop->waits.max_ns > 0 ? next_limit(&loop->waits) : 0;
    if (timeout_ns > 0) {
        limit = MIN(limit, (uint64_t)timeout_ns);
    }
    if (loop->polled->len == 0 || (limit == 0 && !loop->poll_told)) {
        return false;
    }
    loop->polling = true;
    loop->poll_break = false;
    g_mutex_unlock(&loop->lock);
    bool found = false;
    if (limit > 0) {
        found = look_before_sleep(loop, limit);
    } else if (!sleeps) {
        found = ask_all(loop, LOOP_POLL_LOOK);
    }
    if (sleeps && !found) {
        found = ask_all(loop, LOOP_POLL_END);
    }
    g_mutex_lock(&loop->lock);
    loop->polling = false;
    if (loop->waiters > 0) {
        g_cond_broadcast(&loop->changed);
    }
    return found;
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
    loop_poll_stop_locked(loop);
    loop->waits = (LoopWaits){.max_ns = limit_ns};
    g_mutex_unlock(&loop->lock);
}
