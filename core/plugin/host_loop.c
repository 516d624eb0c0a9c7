/* SPDX-License-Identifier: Apache-2.0 */
/* bp.loop/1: descriptors, events, deferred calls, threads. */
#include "plugin/args.h"
#include "plugin/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

_Static_assert(BP_FD_IN == EPOLLIN && BP_FD_OUT == EPOLLOUT && BP_FD_ERR == EPOLLERR &&
                   BP_FD_HUP == EPOLLHUP,
               "the ABI's event bits are epoll's");

typedef struct {
    LoopFd *source;
    int own_fd; /* an event's eventfd, else -1 */
    void (*ready)(void *opaque, uint32_t events);
    void (*signalled)(void *opaque);
    int32_t (*poll)(void *opaque, uint32_t phase);
    void *opaque;
} HostFd;

typedef struct {
    GThread *thread;
    void (*func)(void *opaque);
    void (*stop)(void *opaque);
    void *opaque;
} HostThread;

static uint32_t
loop_host_count(Instance *instance)
{
    return instance->services->loops->len;
}

static uint32_t
loop_host_home(Instance *instance)
{
    return instance->plan->loop;
}

static void
fd_ready(void *opaque, int fd, uint32_t events)
{
    HostFd *entry = opaque;

    entry->ready(entry->opaque, events == LOOP_EVENT_POLLED
                                    ? BP_FD_IN
                                    : events & (BP_FD_IN | BP_FD_OUT | BP_FD_ERR | BP_FD_HUP));
}

_Static_assert(BP_POLL_BEGIN == LOOP_POLL_BEGIN && BP_POLL_LOOK == LOOP_POLL_LOOK &&
                   BP_POLL_END == LOOP_POLL_END,
               "the ABI's phases are the loop's");

static bool
fd_poll(void *opaque, LoopPollPhase phase)
{
    HostFd *entry = opaque;

    return entry->poll(entry->opaque, phase) > 0;
}

static void
event_ready(void *opaque, int fd, uint32_t events)
{
    HostFd *entry = opaque;
    eventfd_t count;

    if (eventfd_read(fd, &count) == 0) {
        entry->signalled(entry->opaque);
    }
}

static void
host_fd_free(void *value)
{
    HostFd *entry = value;

    loop_fd_remove(entry->source);
    if (entry->own_fd >= 0) {
        (void)close(entry->own_fd);
    }
    g_free(entry);
}

/* Paused until the entry knows its source: the callback may come before this returns, on the loop's
 * thread, and ask for other events. */
static void
watch(Instance *instance, Loop *loop, HostFd *entry, int fd, uint32_t events, LoopFdFunc *func)
{
    entry->source = loop_fd_add(loop, fd, 0, instance->loop_lock, func, entry);
    if (entry->poll != NULL && instance->loop_lock == NULL) {
        loop_fd_set_poll(entry->source, fd_poll);
    }
    loop_fd_modify(entry->source, events);
}

static int32_t
loop_host_fd_add(Instance *instance, const struct bp_fd_args *given)
{
    struct bp_fd_args args;
    HostFd *entry;
    Loop *loop;
    int result = args_copy(&args, sizeof(args), given);

    if (result != 0) {
        return result;
    }
    loop = services_loop(instance->services, args.loop);
    if (args.flags != 0 || (args.events & ~(BP_FD_IN | BP_FD_OUT)) != 0 || args.ready == NULL) {
        return -EINVAL;
    }
    if (args.fd < 0 || fcntl(args.fd, F_GETFD) < 0) {
        return -EBADF;
    }
    if (loop == NULL) {
        return -ENOENT;
    }
    entry = g_new0(HostFd, 1);
    entry->own_fd = -1;
    entry->ready = args.ready;
    entry->poll = args.poll;
    entry->opaque = args.opaque;
    result = id_table_add(&instance->fds, args.id, entry);
    if (result != 0) {
        g_free(entry);
        return result;
    }
    watch(instance, loop, entry, args.fd, args.events, fd_ready);
    return 0;
}

static void
loop_host_fd_modify(Instance *instance, uint32_t id, uint32_t events)
{
    HostFd *entry = id_table_find(&instance->fds, id);

    if (entry != NULL) {
        loop_fd_modify(entry->source, events & (BP_FD_IN | BP_FD_OUT));
    }
}

static void
loop_host_fd_del(Instance *instance, uint32_t id)
{
    HostFd *entry = id_table_take(&instance->fds, id);

    if (entry != NULL) {
        host_fd_free(entry);
    }
}

static int32_t
loop_host_event(Instance *instance, uint32_t id, uint32_t loop_index,
                void (*signalled)(void *opaque), void *opaque)
{
    Loop *loop = services_loop(instance->services, loop_index);
    HostFd *entry;
    int result;

    if (loop == NULL) {
        return -ENOENT;
    }
    if (signalled == NULL) {
        return -EINVAL;
    }
    entry = g_new0(HostFd, 1);
    entry->signalled = signalled;
    entry->opaque = opaque;
    entry->own_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    result = entry->own_fd < 0 ? -errno : id_table_add(&instance->events, id, entry);
    if (result != 0) {
        host_fd_free(entry);
        return result;
    }
    watch(instance, loop, entry, entry->own_fd, EPOLLIN, event_ready);
    return entry->own_fd;
}

static int32_t
loop_host_defer(Instance *instance, uint32_t loop_index, void (*func)(void *opaque), void *opaque)
{
    Loop *loop = services_loop(instance->services, loop_index);

    if (loop == NULL || func == NULL) {
        return -ENOENT;
    }
    loop_defer_owned(loop, instance, instance->loop_lock, func, opaque);
    return 0;
}

static int32_t
loop_host_is_current(Instance *instance, uint32_t loop_index)
{
    Loop *loop = services_loop(instance->services, loop_index);

    return loop != NULL && loop_is_current(loop);
}

static gpointer
thread_main(gpointer opaque)
{
    HostThread *thread = opaque;

    thread->func(thread->opaque);
    return NULL;
}

static void
stop_thread(void *value, void *opaque)
{
    HostThread *thread = value;

    if (thread->stop != NULL) {
        thread->stop(thread->opaque);
        thread->stop = NULL;
    }
    if (thread->thread != NULL) {
        (void)g_thread_join(thread->thread);
        thread->thread = NULL;
    }
}

static void
host_thread_free(void *value)
{
    stop_thread(value, NULL);
    g_free(value);
}

static int32_t
loop_host_thread_start(Instance *instance, uint32_t id, const char *name,
                       void (*func)(void *opaque), void (*stop)(void *opaque), void *opaque)
{
    HostThread *thread;
    int result;

    if (func == NULL) {
        return -EINVAL;
    }
    if (id_table_find(&instance->threads, id) != NULL) {
        return -EEXIST;
    }
    thread = g_new0(HostThread, 1);
    thread->func = func;
    thread->stop = stop;
    thread->opaque = opaque;
    thread->thread =
        g_thread_try_new(name != NULL ? name : instance->id, thread_main, thread, NULL);
    result = thread->thread == NULL ? -EAGAIN : id_table_add(&instance->threads, id, thread);
    if (thread->thread == NULL) {
        g_free(thread);
    }
    return result;
}

static void
loop_host_thread_stop(Instance *instance, uint32_t id)
{
    HostThread *thread = id_table_take(&instance->threads, id);

    if (thread != NULL) {
        host_thread_free(thread);
    }
}

void
host_loop_stop_threads(Instance *instance)
{
    id_table_foreach(&instance->threads, stop_thread, NULL);
}

void
host_loop_withdraw(Instance *instance)
{
    unsigned i;

    id_table_done(&instance->threads, host_thread_free);
    id_table_done(&instance->events, host_fd_free);
    id_table_done(&instance->fds, host_fd_free);
    for (i = 0; i < instance->services->loops->len; i++) {
        loop_defer_cancel(instance->services->loops->pdata[i], instance);
    }
}

const struct bp_loop_host host_loop = {
    .size = sizeof(host_loop),
    .count = loop_host_count,
    .home = loop_host_home,
    .fd_add = loop_host_fd_add,
    .fd_modify = loop_host_fd_modify,
    .fd_del = loop_host_fd_del,
    .event = loop_host_event,
    .defer = loop_host_defer,
    .thread_start = loop_host_thread_start,
    .thread_stop = loop_host_thread_stop,
    .is_current = loop_host_is_current,
};
