/* SPDX-License-Identifier: Apache-2.0 */
/* The epoll engine. The kernel takes changes from any thread at once,
 * so nothing waits for a turn. */
#include "base/log.h"
#include "loop/loop_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND 1000000000
#define NS_PER_MS     1000000

typedef struct {
    int fd;
    int wake_fd;
    GPtrArray *always;    /* of LoopFd; under loop->lock. epoll refuses regular files */
    GArray *always_ready; /* of LoopReady: copied by prepare() for wait(), which has no lock */
    bool no_pwait2;
} EpollEngine;

static void
epoll_close(void *opaque)
{
    EpollEngine *engine = opaque;
    if (engine->fd >= 0) {
        (void)close(engine->fd);
    }
    g_ptr_array_unref(engine->always);
    g_array_unref(engine->always_ready);
    g_free(engine);
}

static void *
epoll_open(int wake_fd, int *error)
{
    EpollEngine *engine = g_new0(EpollEngine, 1);
    engine->always = g_ptr_array_new();
    engine->always_ready = g_array_new(FALSE, FALSE, sizeof(LoopReady));
    engine->wake_fd = wake_fd;
    engine->fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = LOOP_ID_WAKE};
    if (engine->fd < 0 || epoll_ctl(engine->fd, EPOLL_CTL_ADD, wake_fd, &event) != 0) {
        *error = -errno;
        epoll_close(engine);
        return NULL;
    }
    return engine;
}

static int
epoll_pollable_fd(void *opaque)
{
    const EpollEngine *engine = opaque;
    return engine->fd;
}

static int
watched_fd(const LoopFd *source)
{
    return source->own_fd >= 0 ? source->own_fd : source->fd;
}

static int
watch(const EpollEngine *engine, const LoopFd *source, int operation)
{
    struct epoll_event event = {.events = source->events, .data.u64 = source->id};
    return epoll_ctl(engine->fd, operation, watched_fd(source), &event) == 0 ? 0 : -errno;
}

/* epoll knows a descriptor once: a second source on it watches a duplicate. */
static int
add_watch(const EpollEngine *engine, LoopFd *source)
{
    int result = watch(engine, source, EPOLL_CTL_ADD);
    if (result == -EEXIST) {
        source->own_fd = fcntl(source->fd, F_DUPFD_CLOEXEC, 0);
        result = source->own_fd < 0 ? -errno : watch(engine, source, EPOLL_CTL_ADD);
    }
    return result;
}

/* epoll reports errors and hang-ups even when asked for nothing, again and again: a source that
 * wants nothing is not in the set. */
static bool
epoll_update(void *opaque, LoopFd *source)
{
    EpollEngine *engine = opaque;
    if (source->always) {
        return true;
    }
    int result = 0;
    if (source->events == 0) {
        result = source->armed ? watch(engine, source, EPOLL_CTL_DEL) : 0;
    } else if (source->armed) {
        result = watch(engine, source, EPOLL_CTL_MOD);
    } else {
        result = add_watch(engine, source);
    }
    source->armed = result == 0 && source->events != 0;
    if (result == -EPERM) {
        source->always = true;
        g_ptr_array_add(engine->always, source);
        return true;
    }
    if (result < 0) {
        log_error("loop", "descriptor %d cannot be watched: %s", source->fd, g_strerror(-result));
    }
    return false;
}

static bool
epoll_forget(void *opaque, LoopFd *source)
{
    EpollEngine *engine = opaque;
    if (source->armed) {
        (void)watch(engine, source, EPOLL_CTL_DEL);
    }
    if (source->always) {
        (void)g_ptr_array_remove(engine->always, source);
    }
    return false;
}

static void
epoll_reported(void *opaque, LoopFd *source)
{
}

static void
epoll_prepare(void *opaque)
{
    EpollEngine *engine = opaque;
    g_array_set_size(engine->always_ready, 0);
    for (guint i = 0; i < engine->always->len && i < LOOP_READY_MAX / 2; i++) {
        const LoopFd *source = engine->always->pdata[i];
        LoopReady ready = {source->id, source->events & (EPOLLIN | EPOLLOUT)};
        if (ready.events != 0) {
            g_array_append_val(engine->always_ready, ready);
        }
    }
}

static void
epoll_submit(void *opaque)
{
    const EpollEngine *engine = opaque;
    if (engine->always_ready->len > 0) {
        uint64_t one = 1; /* makes pollable_fd() readable: these files never do */
        (void)!write(engine->wake_fd, &one, sizeof one);
    }
}

static int
wait_for_events(EpollEngine *engine, int64_t timeout_ns, struct epoll_event *events, int max)
{
    if (!engine->no_pwait2) {
        struct timespec limit = {
            .tv_sec = timeout_ns / NS_PER_SECOND,
            .tv_nsec = timeout_ns % NS_PER_SECOND,
        };
        int count = epoll_pwait2(engine->fd, events, max, timeout_ns < 0 ? NULL : &limit, NULL);
        if (count >= 0 || errno != ENOSYS) {
            return count;
        }
        engine->no_pwait2 = true; /* before Linux 5.11 */
    }
    int64_t ms = timeout_ns < 0 ? -1 : timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);
    return epoll_wait(engine->fd, events, max, (int)MIN(ms, G_MAXINT));
}

static unsigned
epoll_engine_wait(void *opaque, int64_t timeout_ns, LoopReady ready[LOOP_READY_MAX])
{
    EpollEngine *engine = opaque;
    struct epoll_event events[LOOP_READY_MAX];
    unsigned count = 0;
    for (guint i = 0; i < engine->always_ready->len; i++) {
        ready[count++] = g_array_index(engine->always_ready, LoopReady, i);
    }
    int room = (int)(LOOP_READY_MAX - count);
    int reported = wait_for_events(engine, count > 0 ? 0 : timeout_ns, events, room);
    for (int i = 0; i < reported; i++) {
        if (events[i].data.u64 == LOOP_ID_WAKE) {
            uint64_t value;
            (void)!read(engine->wake_fd, &value, sizeof value);
        } else {
            ready[count++] = (LoopReady){events[i].data.u64, events[i].events};
        }
    }
    return count;
}

/* A system call after all: epoll has no other way to tell. It takes nothing. */
static bool
epoll_has_ready(void *opaque)
{
    const EpollEngine *engine = opaque;
    struct pollfd request = {.fd = engine->fd, .events = POLLIN};
    return poll(&request, 1, 0) > 0;
}

const LoopEngineOps *
loop_epoll_engine(void)
{
    static const LoopEngineOps ops = {
        .name = "epoll",
        .open = epoll_open,
        .close = epoll_close,
        .pollable_fd = epoll_pollable_fd,
        .update = epoll_update,
        .forget = epoll_forget,
        .reported = epoll_reported,
        .prepare = epoll_prepare,
        .submit = epoll_submit,
        .wait = epoll_engine_wait,
        .has_ready = epoll_has_ready,
    };
    return &ops;
}
