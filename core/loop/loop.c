/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/loop.h"

#include "base/device_call.h"
#include "base/error.h"
#include "base/log.h"
#include "loop/loop_internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREAD_STACK_BYTES ((size_t)512 * 1024)
#define FAILURES_MAX       1000 /* of the engine in a row, for one descriptor */
#define THREAD_NAME_BYTES  16   /* the kernel's limit, with the NUL */

/* ---- engines ---- */

static bool
open_engine(Loop *loop, const LoopEngineOps *ops, int *error)
{
    if (!ops) {
        *error = -ENOSYS;
        return false;
    }
    loop->engine = ops->open(loop->wake_fd, error);
    loop->ops = ops;
    return loop->engine != NULL;
}

static bool
use_epoll(Loop *loop, GError **error)
{
    int code = 0;
    if (open_engine(loop, loop_epoll_engine(), &code)) {
        return true;
    }
    g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "loop %s: cannot use epoll: %s", loop->name,
                g_strerror(-code));
    return false;
}

static bool
choose_engine(Loop *loop, LoopEngine engine, GError **error)
{
    int code = 0;
    if (engine == LOOP_ENGINE_EPOLL) {
        return use_epoll(loop, error);
    }
    if (open_engine(loop, loop_uring_engine(), &code)) {
        return true;
    }
    if (engine == LOOP_ENGINE_URING) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "loop %s: io_uring is not available: %s",
                    loop->name, g_strerror(-code));
        return false;
    }
    log_debug("loop", "%s: io_uring is not available (%s), using epoll", loop->name,
              g_strerror(-code));
    return use_epoll(loop, error);
}

/* ---- life ---- */

/* The virtual clock was started, stopped or set: the time to sleep has changed. */
static void
clock_changed(void *opaque)
{
    Loop *loop = opaque;
    g_mutex_lock(&loop->lock);
    loop_wake_locked(loop);
    g_mutex_unlock(&loop->lock);
}

Loop *
loop_new(const char *name, LoopEngine engine, VirtualClock *clock, GError **error)
{
    g_autoptr(Loop) loop = g_new0(Loop, 1);
    loop->name = g_strdup(name);
    loop->wake_fd = -1;
    g_mutex_init(&loop->lock);
    g_cond_init(&loop->changed);
    loop->fds = g_hash_table_new(NULL, NULL);
    loop->polled = g_ptr_array_new();
    loop->deferred_tail = &loop->deferred_head;
    loop_timers_init(loop);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (loop->wake_fd < 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "loop %s: cannot create an eventfd: %s",
                    name, g_strerror(errno));
        return NULL;
    }
    if (!choose_engine(loop, engine, error)) {
        return NULL;
    }
    loop->clock = clock;
    if (clock) {
        virtual_clock_add_listener(clock, clock_changed, loop);
    }
    return g_steal_pointer(&loop);
}

static void
free_fd_source(LoopFd *source)
{
    if (source->own_fd >= 0) {
        (void)close(source->own_fd);
    }
    g_free(source);
}

void
loop_free(Loop *loop)
{
    if (!loop) {
        return;
    }
    loop_stop(loop);
    if (loop->clock) {
        virtual_clock_remove_listener(loop->clock, clock_changed, loop);
    }
    if (loop->engine) {
        loop->ops->close(loop->engine);
    }
    GHashTableIter iter;
    gpointer source = NULL;
    g_hash_table_iter_init(&iter, loop->fds);
    while (g_hash_table_iter_next(&iter, NULL, &source)) {
        free_fd_source(source);
    }
    g_hash_table_unref(loop->fds);
    g_ptr_array_unref(loop->polled);
    loop_timers_done(loop);
    loop_deferred_done(loop);
    if (loop->wake_fd >= 0) {
        (void)close(loop->wake_fd);
    }
    g_cond_clear(&loop->changed);
    g_mutex_clear(&loop->lock);
    g_free(loop->name);
    g_free(loop);
}

static void *
loop_thread(void *opaque)
{
    Loop *loop = opaque;
    g_mutex_lock(&loop->lock); /* until loop_start_thread() has filled in who we are */
    while (!loop->stop) {
        g_mutex_unlock(&loop->lock);
        loop_turn(loop, true);
        g_mutex_lock(&loop->lock);
    }
    g_mutex_unlock(&loop->lock);
    return NULL;
}

/* 0 or an errno number. Signals are the control thread's. */
static int
create_thread(Loop *loop)
{
    pthread_attr_t attr;
    sigset_t all;
    sigset_t old;
    (void)sigfillset(&all);
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int result = pthread_create(&loop->thread, &attr, loop_thread, loop);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    (void)pthread_attr_destroy(&attr);
    return result;
}

bool
loop_start_thread(Loop *loop, GError **error)
{
    g_mutex_lock(&loop->lock);
    int result = create_thread(loop);
    if (result == 0) {
        char name[THREAD_NAME_BYTES];
        (void)g_strlcpy(name, loop->name, sizeof name);
        (void)pthread_setname_np(loop->thread, name);
        loop->has_thread = true;
        __atomic_store_n(&loop->running, true, __ATOMIC_RELEASE);
    }
    g_mutex_unlock(&loop->lock);
    if (result != 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "loop %s: cannot create a thread: %s",
                    loop->name, g_strerror(result));
        return false;
    }
    return true;
}

void
loop_attach(Loop *loop, GMainContext *context)
{
    g_mutex_lock(&loop->lock);
    loop->thread = pthread_self();
    loop->source = loop_source_new(loop);
    __atomic_store_n(&loop->running, true, __ATOMIC_RELEASE);
    g_mutex_unlock(&loop->lock);
    (void)g_source_attach(loop->source, context);
}

void
loop_stop(Loop *loop)
{
    g_mutex_lock(&loop->lock);
    loop->stop = true;
    loop_wake_locked(loop);
    bool has_thread = loop->has_thread;
    GSource *source = g_steal_pointer(&loop->source);
    loop->has_thread = false;
    g_mutex_unlock(&loop->lock);
    if (has_thread) {
        (void)pthread_join(loop->thread, NULL);
    }
    if (source) {
        g_source_destroy(source);
        g_source_unref(source);
    }
    g_mutex_lock(&loop->lock);
    __atomic_store_n(&loop->running, false, __ATOMIC_RELEASE);
    loop->sleeping = false;
    g_cond_broadcast(&loop->changed); /* calls that wait */
    g_mutex_unlock(&loop->lock);
}

const char *
loop_engine_name(const Loop *loop)
{
    return loop->ops->name;
}

bool
loop_is_current(const Loop *loop)
{
    return __atomic_load_n(&loop->running, __ATOMIC_ACQUIRE) &&
           pthread_equal(loop->thread, pthread_self());
}

/* ---- dispatch ---- */

void
loop_wake_locked(Loop *loop)
{
    if (!loop->sleeping) {
        return; /* it looks at everything before it sleeps again */
    }
    loop->sleeping = false; /* one write a sleep */
    uint64_t one = 1;
    (void)!write(loop->wake_fd, &one, sizeof one);
}

static void
invoke(const LoopDispatch *dispatch)
{
    if (dispatch->func) {
        dispatch->func(dispatch->opaque);
    } else {
        dispatch->fd_func(dispatch->opaque, dispatch->fd, dispatch->events);
    }
}

/* Takes the lock and finds out, under both locks, whether the callback is still wanted. Whoever
 * cancels while holding the source's lock either comes first, and it is not, or later, when the
 * callback has returned. */
static void
invoke_with_lock(Loop *loop, LoopDispatch *dispatch)
{
    DeviceCall call;
    if (!device_call_enter(&call, dispatch->lock, NULL)) {
        log_error("loop", "%s: a callback was dropped: the loop ran inside a device's access",
                  loop->name);
        return;
    }
    g_mutex_lock(&loop->lock);
    dispatch->entered = !dispatch->cancelled;
    g_mutex_unlock(&loop->lock);
    if (dispatch->entered) {
        invoke(dispatch);
    }
    device_call_leave(&call);
}

void
loop_dispatch_locked(Loop *loop, LoopDispatch *dispatch)
{
    dispatch->outer = loop->dispatch;
    dispatch->entered = dispatch->lock == NULL;
    loop->dispatch = dispatch;
    g_mutex_unlock(&loop->lock);
    if (dispatch->lock) {
        invoke_with_lock(loop, dispatch);
    } else {
        invoke(dispatch);
    }
    g_mutex_lock(&loop->lock);
    loop->dispatch = dispatch->outer;
    loop->dispatch_count += loop->dispatch == NULL;
    if (loop->waiters > 0) {
        g_cond_broadcast(&loop->changed);
    }
}

void
loop_wait_locked(Loop *loop)
{
    loop->waiters++;
    g_cond_wait(&loop->changed, &loop->lock);
    loop->waiters--;
}

bool
loop_callback_runs_locked(const Loop *loop, const void *item, bool deferred)
{
    for (const LoopDispatch *at = loop->dispatch; at; at = at->outer) {
        if (at->item == item && at->deferred == deferred && at->entered) {
            return true;
        }
    }
    return false;
}

bool
loop_callback_busy_locked(Loop *loop, const void *item, bool deferred)
{
    for (LoopDispatch *at = loop->dispatch; at; at = at->outer) {
        if (at->item == item && at->deferred == deferred) {
            at->cancelled = true;
        }
    }
    if (loop_is_current(loop) || !loop_callback_runs_locked(loop, item, deferred)) {
        return false;
    }
    loop_wait_locked(loop); /* it holds its source's lock: so the caller does not, and may wait */
    return true;
}

void
loop_drain(Loop *loop)
{
    g_mutex_lock(&loop->lock);
    uint64_t count = loop->dispatch_count;
    while (loop->dispatch && loop->dispatch_count == count && !loop_is_current(loop)) {
        loop_wait_locked(loop);
    }
    g_mutex_unlock(&loop->lock);
}

/* The engine could not say what is ready. io_uring does so without a lasting reason, for example
 * when a terminal's attributes change while it is watched: ask poll(2), and give up only if that
 * refuses, or after the engine has failed too often in a row. */
static bool
recover_locked(const Loop *loop, LoopFd *source, uint32_t *events)
{
    struct pollfd request = {.fd = source->fd, .events = (short)source->events};
    if (poll(&request, 1, 0) < 0 || (request.revents & POLLNVAL) != 0 ||
        ++source->failures > FAILURES_MAX) {
        log_error("loop", "%s: descriptor %d cannot be watched", loop->name, source->fd);
        return false;
    }
    *events = (uint32_t)request.revents;
    return true;
}

static void
run_ready_locked(Loop *loop, const LoopReady *ready)
{
    LoopFd *source = g_hash_table_lookup(loop->fds, GSIZE_TO_POINTER(ready->id));
    uint32_t reported = ready->events;
    if (!source) {
        return; /* removed or modified since */
    }
    if (reported != 0) {
        source->failures = 0;
    } else if (!recover_locked(loop, source, &reported)) {
        return;
    }
    loop->ops->reported(loop->engine, source);
    /* Another callback of this turn may have asked for less. */
    uint32_t events = reported & (source->events | EPOLLERR | EPOLLHUP);
    if (events == 0 || source->events == 0) {
        return;
    }
    LoopDispatch dispatch = {
        .item = source,
        .lock = source->lock,
        .fd_func = source->func,
        .fd = source->fd,
        .events = events,
        .opaque = source->opaque,
    };
    loop_dispatch_locked(loop, &dispatch);
}

int64_t
loop_timeout_locked(Loop *loop)
{
    uint64_t next = loop_timers_next_locked(loop);
    if (next == 0 || loop->deferred_head || loop->stop) {
        return 0;
    }
    loop->wake_at = next;
    if (next == NO_DEADLINE) {
        return -1;
    }
    uint64_t now = clock_source_now(CLOCK_SOURCE_MONOTONIC, NULL);
    return next <= now ? 0 : (int64_t)MIN(next - now, (uint64_t)G_MAXINT64);
}

void
loop_turn(Loop *loop, bool may_block)
{
    LoopReady ready[LOOP_READY_MAX];
    g_mutex_lock(&loop->lock);
    loop->ops->prepare(loop->engine);
    int64_t timeout = may_block ? loop_timeout_locked(loop) : 0;
    loop->sleeping = timeout != 0;
    if (loop_poll_locked(loop, timeout)) {
        timeout = 0;
    }
    g_mutex_unlock(&loop->lock);
    unsigned count = loop->ops->wait(loop->engine, timeout, ready);
    g_mutex_lock(&loop->lock);
    loop->sleeping = false;
    loop_poll_run_locked(loop);
    loop_run_timers_locked(loop);
    for (unsigned i = 0; i < count && !loop->stop; i++) {
        run_ready_locked(loop, &ready[i]);
    }
    loop_run_deferred_locked(loop); /* the last: those of the callbacks above are among them */
    g_mutex_unlock(&loop->lock);
}

/* ---- descriptors ---- */

void
loop_fd_renew_id(LoopFd *source)
{
    Loop *loop = source->loop;
    (void)g_hash_table_remove(loop->fds, GSIZE_TO_POINTER(source->id));
    source->id = ++loop->last_id;
    (void)g_hash_table_insert(loop->fds, GSIZE_TO_POINTER(source->id), source);
}

/* What an engine puts off until its next wait is applied by a loop that is awake in any case. */
static void
after_update_locked(Loop *loop, bool needs_wake)
{
    if (needs_wake) {
        loop_wake_locked(loop);
    }
}

LoopFd *
loop_fd_add(Loop *loop, int fd, uint32_t events, GMutex *lock, LoopFdFunc *func, void *opaque)
{
    LoopFd *source = g_new0(LoopFd, 1);
    source->loop = loop;
    source->fd = fd;
    source->own_fd = -1;
    source->events = events;
    source->lock = lock;
    source->func = func;
    source->opaque = opaque;
    g_mutex_lock(&loop->lock);
    source->id = ++loop->last_id;
    (void)g_hash_table_insert(loop->fds, GSIZE_TO_POINTER(source->id), source);
    after_update_locked(loop, loop->ops->update(loop->engine, source));
    g_mutex_unlock(&loop->lock);
    return source;
}

void
loop_fd_modify(LoopFd *source, uint32_t events)
{
    Loop *loop = source->loop;
    g_mutex_lock(&loop->lock);
    if (source->events != events && !source->removed) {
        source->events = events;
        after_update_locked(loop, loop->ops->update(loop->engine, source));
    }
    g_mutex_unlock(&loop->lock);
}

void
loop_fd_remove(LoopFd *source)
{
    if (!source) {
        return;
    }
    Loop *loop = source->loop;
    g_mutex_lock(&loop->lock);
    source->removed = true;
    loop_poll_forget_locked(loop, source);
    after_update_locked(loop, loop->ops->forget(loop->engine, source));
    (void)g_hash_table_remove(loop->fds, GSIZE_TO_POINTER(source->id));
    while (loop_callback_busy_locked(loop, source, false)) {
    }
    g_mutex_unlock(&loop->lock);
    free_fd_source(source);
}
