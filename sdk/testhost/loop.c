/* SPDX-License-Identifier: Apache-2.0 */
/* bp.loop/1: one queue of things to do, real descriptors, real threads. All loops are the one
 * thread of the test. */
#include "th.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 1000000u
#define POLL_MAX   128u

struct th_fd {
    struct th_fd *next;
    struct bp_instance *owner;
    struct bp_fd_args args;
};

struct th_event_fd {
    struct th_event_fd *next;
    struct bp_instance *owner;
    uint32_t id;
    int fd;
    void (*signalled)(void *opaque);
    void *opaque;
};

struct th_deferred {
    struct th_deferred *next;
    struct bp_instance *owner;
    void (*func)(void *opaque);
    void *opaque;
};

struct th_thread {
    struct th_thread *next;
    struct bp_instance *owner;
    uint32_t id;
    pthread_t thread;
    void (*func)(void *opaque);
    void (*stop)(void *opaque);
    void *opaque;
};

static uint32_t
loop_count(struct bp_instance *instance)
{
    (void)th_call(instance, "loop.count", 0);
    return instance->th->loops;
}

static uint32_t
loop_home(struct bp_instance *instance)
{
    (void)th_call(instance, "loop.home", 0);
    return instance->loop;
}

static struct th_fd *
fd_find(struct bp_instance *instance, uint32_t id)
{
    struct th_fd *fd;

    for (fd = instance->th->fds; fd != NULL; fd = fd->next) {
        if (fd->owner == instance && fd->args.id == id) {
            return fd;
        }
    }
    return NULL;
}

static int32_t
loop_fd_add(struct bp_instance *instance, const struct bp_fd_args *args)
{
    struct th_host *th = instance->th;
    struct bp_fd_args copy;
    struct th_fd *fd;
    int32_t result = th_call(instance, "loop.fd_add", TH_FAILS);

    if (result == 0) {
        result = th_copy_args(instance, "loop.fd_add", &copy, sizeof(copy), args, args->size);
    }
    if (result == 0) {
        result = th_check_loop(instance, "loop.fd_add", copy.loop);
    }
    if (result != 0) {
        return result;
    }
    if (fcntl(copy.fd, F_GETFD) < 0) {
        return -EBADF;
    }
    if ((copy.events & ~(BP_FD_IN | BP_FD_OUT)) != 0 || copy.flags != 0 || copy.ready == NULL) {
        return -EINVAL;
    }
    fd = th_alloc(sizeof(*fd));
    fd->owner = instance;
    fd->args = copy;
    pthread_mutex_lock(&th->lock);
    if (fd_find(instance, copy.id) != NULL) {
        pthread_mutex_unlock(&th->lock);
        free(fd);
        th_violate(th, "%s: fd id %u made twice", instance->id, copy.id);
        return -EEXIST;
    }
    fd->next = th->fds;
    th->fds = fd;
    pthread_mutex_unlock(&th->lock);
    th_wake(th);
    return 0;
}

static void
loop_fd_modify(struct bp_instance *instance, uint32_t id, uint32_t events)
{
    struct th_fd *fd;

    (void)th_call(instance, "loop.fd_modify", 0);
    pthread_mutex_lock(&instance->th->lock);
    fd = fd_find(instance, id);
    if (fd != NULL) {
        fd->args.events = events;
    }
    pthread_mutex_unlock(&instance->th->lock);
    th_wake(instance->th);
}

static void
fd_check_open(const struct th_fd *fd)
{
    if (fcntl(fd->args.fd, F_GETFD) < 0) {
        th_violate(fd->owner->th, "%s: descriptor of fd id %u closed while it was watched",
                   fd->owner->id, fd->args.id);
    }
}

static void
fd_drop(struct bp_instance *instance, const uint32_t *id)
{
    struct th_fd **link = &instance->th->fds;

    pthread_mutex_lock(&instance->th->lock);
    while (*link != NULL) {
        struct th_fd *fd = *link;
        if (fd->owner == instance && (id == NULL || fd->args.id == *id)) {
            fd_check_open(fd);
            *link = fd->next;
            free(fd);
        } else {
            link = &fd->next;
        }
    }
    pthread_mutex_unlock(&instance->th->lock);
}

static void
loop_fd_del(struct bp_instance *instance, uint32_t id)
{
    (void)th_call(instance, "loop.fd_del", 0);
    fd_drop(instance, &id);
}

static int32_t
loop_event(struct bp_instance *instance, uint32_t id, uint32_t loop,
           void (*signalled)(void *opaque), void *opaque)
{
    struct th_host *th = instance->th;
    struct th_event_fd *event;
    int32_t result = th_call(instance, "loop.event", TH_CONTROL | TH_FAILS);

    if (result == 0) {
        result = th_check_loop(instance, "loop.event", loop);
    }
    if (result < 0) {
        return result;
    }
    for (event = th->events; event != NULL; event = event->next) {
        if (event->owner == instance && event->id == id) {
            th_violate(th, "%s: event id %u made twice", instance->id, id);
            return -EEXIST;
        }
    }
    event = th_alloc(sizeof(*event));
    event->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event->fd < 0) {
        free(event);
        return -EMFILE;
    }
    event->owner = instance;
    event->id = id;
    event->signalled = signalled;
    event->opaque = opaque;
    event->next = th->events;
    th->events = event;
    return event->fd;
}

static int32_t
loop_defer(struct bp_instance *instance, uint32_t loop, void (*func)(void *opaque), void *opaque)
{
    struct th_host *th = instance->th;
    struct th_deferred *deferred, **end;
    int32_t result = th_call(instance, "loop.defer", TH_FAILS);

    if (result == 0) {
        result = th_check_loop(instance, "loop.defer", loop);
    }
    if (result < 0) {
        return result;
    }
    deferred = th_alloc(sizeof(*deferred));
    deferred->owner = instance;
    deferred->func = func;
    deferred->opaque = opaque;
    pthread_mutex_lock(&th->lock);
    for (end = &th->deferred; *end != NULL; end = &(*end)->next) {
    }
    *end = deferred;
    pthread_mutex_unlock(&th->lock);
    th_wake(th);
    return 0;
}

static void *
thread_main(void *opaque)
{
    struct th_thread *thread = opaque;

    thread->func(thread->opaque);
    return NULL;
}

static int32_t
loop_thread_start(struct bp_instance *instance, uint32_t id, const char *name,
                  void (*func)(void *opaque), void (*stop)(void *opaque), void *opaque)
{
    struct th_host *th = instance->th;
    struct th_thread *thread;
    int32_t result = th_call(instance, "loop.thread_start", TH_CONTROL | TH_FAILS);

    if (result < 0) {
        return result;
    }
    for (thread = th->threads; thread != NULL; thread = thread->next) {
        if (thread->owner == instance && thread->id == id) {
            th_violate(th, "%s: thread id %u made twice", instance->id, id);
            return -EEXIST;
        }
    }
    if (name == NULL || func == NULL || stop == NULL) {
        th_violate(th, "%s: loop.thread_start without name, func or stop", instance->id);
        return -EAGAIN;
    }
    thread = th_alloc(sizeof(*thread));
    thread->owner = instance;
    thread->id = id;
    thread->func = func;
    thread->stop = stop;
    thread->opaque = opaque;
    if (pthread_create(&thread->thread, NULL, thread_main, thread) != 0) {
        free(thread);
        return -EAGAIN;
    }
    thread->next = th->threads;
    th->threads = thread;
    return 0;
}

static void
threads_stop(struct bp_instance *instance, const uint32_t *id)
{
    struct th_thread **link = &instance->th->threads;

    while (*link != NULL) {
        struct th_thread *thread = *link;
        if (thread->owner == instance && (id == NULL || thread->id == *id)) {
            thread->stop(thread->opaque);
            (void)pthread_join(thread->thread, NULL);
            *link = thread->next;
            free(thread);
        } else {
            link = &thread->next;
        }
    }
}

static void
loop_thread_stop(struct bp_instance *instance, uint32_t id)
{
    (void)th_call(instance, "loop.thread_stop", TH_CONTROL);
    threads_stop(instance, &id);
}

static int32_t
loop_is_current(struct bp_instance *instance, uint32_t loop)
{
    (void)th_call(instance, "loop.is_current", 0);
    return loop < instance->th->loops && pthread_equal(pthread_self(), instance->th->control);
}

void
th_threads_stop(struct bp_instance *instance)
{
    threads_stop(instance, NULL);
}

static void
event_free(struct th_event_fd *event)
{
    if (close(event->fd) != 0) {
        th_violate(event->owner->th, "%s: eventfd of event id %u closed by the plugin",
                   event->owner->id, event->id);
    }
    free(event);
}

void
th_loop_drop(struct bp_instance *instance)
{
    struct th_event_fd **event = &instance->th->events;
    struct th_deferred **link = &instance->th->deferred;

    fd_drop(instance, NULL);
    while (*event != NULL) {
        struct th_event_fd *found = *event;
        if (found->owner == instance) {
            *event = found->next;
            event_free(found);
        } else {
            event = &found->next;
        }
    }
    pthread_mutex_lock(&instance->th->lock);
    while (*link != NULL) {
        struct th_deferred *deferred = *link;
        if (deferred->owner == instance) {
            *link = deferred->next;
            free(deferred);
        } else {
            link = &deferred->next;
        }
    }
    pthread_mutex_unlock(&instance->th->lock);
}

/* --- running --------------------------------------------------------------------------------- */

static int
run_deferred(struct th_host *th)
{
    struct th_deferred *deferred;
    enum th_context before;

    pthread_mutex_lock(&th->lock);
    deferred = th->deferred;
    if (deferred != NULL) {
        th->deferred = deferred->next;
    }
    pthread_mutex_unlock(&th->lock);
    if (deferred == NULL) {
        return 0;
    }
    before = th_enter(th, TH_IN_LOOP);
    deferred->func(deferred->opaque);
    th_leave(th, before);
    free(deferred);
    return 1;
}

static uint32_t
to_bp_events(int revents)
{
    return (revents & POLLIN ? BP_FD_IN : 0) | (revents & POLLOUT ? BP_FD_OUT : 0) |
           (revents & (POLLERR | POLLNVAL) ? BP_FD_ERR : 0) | (revents & POLLHUP ? BP_FD_HUP : 0);
}

static int
call_event(struct th_host *th, int fd)
{
    struct th_event_fd *event;
    uint64_t count;

    for (event = th->events; event != NULL; event = event->next) {
        if (event->fd == fd && read(fd, &count, sizeof(count)) == sizeof(count)) {
            enum th_context before = th_enter(th, TH_IN_LOOP);
            event->signalled(event->opaque);
            th_leave(th, before);
            return 1;
        }
    }
    return 0;
}

static int
call_fd(struct th_host *th, struct bp_instance *owner, uint32_t id, uint32_t events)
{
    struct th_fd *fd;
    struct bp_fd_args args = {.events = 0};
    enum th_context before;

    pthread_mutex_lock(&th->lock);
    fd = fd_find(owner, id); /* an earlier callback may have removed it */
    if (fd != NULL) {
        args = fd->args;
        events &= args.events | BP_FD_ERR | BP_FD_HUP;
    }
    pthread_mutex_unlock(&th->lock);
    if (fd == NULL || events == 0 || args.events == 0) {
        return 0;
    }
    before = th_enter(th, TH_IN_LOOP);
    args.ready(args.opaque, events);
    th_leave(th, before);
    return 1;
}

struct poll_set {
    struct pollfd fds[POLL_MAX];
    struct bp_instance *owner[POLL_MAX]; /* NULL: an event */
    uint32_t id[POLL_MAX];
    nfds_t count;
};

static void
poll_fill(struct th_host *th, struct poll_set *set)
{
    const struct th_event_fd *event;
    const struct th_fd *fd;

    set->fds[0].fd = th->wake_fd;
    set->fds[0].events = POLLIN;
    set->owner[0] = NULL;
    set->count = 1;
    pthread_mutex_lock(&th->lock);
    for (event = th->events; event != NULL && set->count < POLL_MAX; event = event->next) {
        set->fds[set->count].fd = event->fd;
        set->fds[set->count].events = POLLIN;
        set->owner[set->count++] = NULL;
    }
    for (fd = th->fds; fd != NULL && set->count < POLL_MAX; fd = fd->next) {
        if (fd->args.events == 0) {
            continue; /* paused: not even an error is reported */
        }
        set->fds[set->count].fd = fd->args.fd;
        set->fds[set->count].events = (short)((fd->args.events & BP_FD_IN ? POLLIN : 0) |
                                              (fd->args.events & BP_FD_OUT ? POLLOUT : 0));
        set->id[set->count] = fd->args.id;
        set->owner[set->count++] = fd->owner;
    }
    pthread_mutex_unlock(&th->lock);
}

int
th_loop_run(struct th_host *th, int timeout_ms)
{
    struct poll_set set;
    uint64_t count;
    int did = 0;
    nfds_t i;

    if (run_deferred(th)) {
        return 1;
    }
    poll_fill(th, &set);
    if (poll(set.fds, set.count, timeout_ms) <= 0) {
        return 0;
    }
    if (set.fds[0].revents != 0 && read(th->wake_fd, &count, sizeof(count)) > 0) {
        did = 1;
    }
    for (i = 1; i < set.count; i++) {
        if (set.fds[i].revents == 0) {
            continue;
        }
        did |= set.owner[i] == NULL
                   ? call_event(th, set.fds[i].fd)
                   : call_fd(th, set.owner[i], set.id[i], to_bp_events(set.fds[i].revents));
    }
    return did;
}

static int
run_backends(struct th_host *th)
{
    struct th_backend *backend;
    int did = 0;

    for (backend = th->backends; backend != NULL; backend = backend->next) {
        enum th_context before = th_enter(th, TH_IN_LOOP);
        did |= backend->run(backend->self);
        th_leave(th, before);
    }
    return did;
}

/* One round of everything that is due now. A fake backend goes last,
 * so that a device has settled. */
static int
run_once(struct th_host *th, int timeout_ms)
{
    return th_doorbell_run(th) || th_loop_run(th, 0) || th_dma_run(th) || th_irq_run(th) ||
           th_msix_run(th) || th_timer_run(th) || run_backends(th) ||
           (timeout_ms > 0 && th_loop_run(th, timeout_ms));
}

void
th_run(struct th_host *th)
{
    uint32_t rounds;

    for (rounds = 0; run_once(th, 0); rounds++) {
        if (rounds == ROUNDS_MAX) {
            fprintf(stderr, "testhost: th_run: still not idle after %u rounds\n", ROUNDS_MAX);
            abort();
        }
    }
}

static uint64_t
real_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int
th_run_until(struct th_host *th, int (*done)(void *opaque), void *opaque, uint32_t timeout_ms)
{
    uint64_t end = real_ms() + timeout_ms;
    int result;

    while ((result = done(opaque)) == 0) {
        uint64_t now = real_ms();
        if (now >= end) {
            return 0;
        }
        (void)run_once(th, end - now < 50 ? (int)(end - now) : 50);
    }
    return result;
}

const struct bp_loop_host th_loop_table = {
    .size = sizeof(struct bp_loop_host),
    .count = loop_count,
    .home = loop_home,
    .fd_add = loop_fd_add,
    .fd_modify = loop_fd_modify,
    .fd_del = loop_fd_del,
    .event = loop_event,
    .defer = loop_defer,
    .thread_start = loop_thread_start,
    .thread_stop = loop_thread_stop,
    .is_current = loop_is_current,
};
