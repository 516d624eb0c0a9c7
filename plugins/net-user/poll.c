/* SPDX-License-Identifier: Apache-2.0 */
/* libslirp's descriptors and timers on our loop. Its descriptors change with every packet; they are
 * gathered in an epoll instance, which is the one descriptor that the loop sees. */
#include "net_user.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define FD_EPOLL      0u
#define TIMER_TIMEOUT 0u /* then the timers of libslirp */
#define NS_PER_MS     1000000u
#define EVENTS        64

static void sync_now(void *opaque);

void
user_poll_sync(struct net_user *user)
{
    const struct bp_services *host = &user->host;

    if (!user->sync_planned && user->open) {
        user->sync_planned =
            host->loop->defer(host->instance, atomic_load(&user->loop), sync_now, user) == 0;
    }
}

/* --- descriptors ----------------------------------------------------------------------------- */

static uint32_t
to_epoll(uint32_t wanted)
{
    return (wanted & SLIRP_POLL_IN ? EPOLLIN : 0u) | (wanted & SLIRP_POLL_OUT ? EPOLLOUT : 0u) |
           (wanted & SLIRP_POLL_PRI ? EPOLLPRI : 0u);
}

static uint32_t
from_epoll(uint32_t events)
{
    return (events & EPOLLIN ? SLIRP_POLL_IN : 0u) | (events & EPOLLOUT ? SLIRP_POLL_OUT : 0u) |
           (events & EPOLLPRI ? SLIRP_POLL_PRI : 0u) | (events & EPOLLERR ? SLIRP_POLL_ERR : 0u) |
           (events & EPOLLHUP ? SLIRP_POLL_HUP : 0u);
}

static int
find(const struct net_user *user, int fd)
{
    for (uint32_t i = 0; i < user->poll_count; i++) {
        if (user->polls[i].fd == fd) {
            return (int)i;
        }
    }
    return -1;
}

static int
add_poll(int fd, int events, void *opaque)
{
    struct net_user *user = opaque;
    int index = find(user, fd);

    if (index < 0) {
        if (user->poll_count == user->poll_room) {
            return -1; /* as many as the process may open: does not happen */
        }
        index = (int)user->poll_count++;
        user->polls[index] = (struct user_poll){.fd = fd};
    }
    user->polls[index].wanted = (uint32_t)events;
    return index;
}

static void
watch(struct net_user *user, uint32_t index)
{
    struct user_poll *poll = &user->polls[index];
    uint32_t wanted = to_epoll(poll->wanted);
    struct epoll_event event = {.events = wanted, .data.fd = poll->fd};

    if (wanted == poll->watched) {
        return;
    }
    if (wanted == 0) {
        (void)epoll_ctl(user->epoll, EPOLL_CTL_DEL, poll->fd, NULL);
    } else if (epoll_ctl(user->epoll, EPOLL_CTL_MOD, poll->fd, &event) != 0) {
        (void)epoll_ctl(user->epoll, EPOLL_CTL_ADD, poll->fd, &event);
    }
    poll->watched = wanted;
}

static void
drop_unused(struct net_user *user)
{
    uint32_t i = 0;

    while (i < user->poll_count) {
        watch(user, i);
        if (user->polls[i].wanted == 0) {
            user->polls[i] = user->polls[--user->poll_count];
        } else {
            i++;
        }
    }
}

static void
sync_now(void *opaque)
{
    struct net_user *user = opaque;
    const struct bp_services *host = &user->host;
    uint32_t timeout = UINT32_MAX;

    user->sync_planned = 0;
    if (!user->open) {
        return;
    }
    for (uint32_t i = 0; i < user->poll_count; i++) {
        user->polls[i].wanted = 0;
    }
    slirp_pollfds_fill(user->slirp, &timeout, add_poll, user);
    drop_unused(user);
    if (timeout != UINT32_MAX) {
        host->timer->arm(host->instance, TIMER_TIMEOUT,
                         host->timer->now(host->instance, BP_CLOCK_MONOTONIC) +
                             (uint64_t)timeout * NS_PER_MS);
    }
}

static int
get_events(int index, void *opaque)
{
    const struct net_user *user = opaque;

    return index >= 0 && (uint32_t)index < user->poll_count ? (int)user->polls[index].got : 0;
}

/* Lets libslirp look at its descriptors; it needs the indices of the last fill. */
static void
poll_now(struct net_user *user)
{
    struct epoll_event events[EVENTS];
    int count, i;

    /* slirp_pollfds_poll() asks by the index that fill gave it: fill right before. */
    sync_now(user);
    for (uint32_t k = 0; k < user->poll_count; k++) {
        user->polls[k].got = 0;
    }
    count = epoll_wait(user->epoll, events, EVENTS, 0);
    for (i = 0; i < count; i++) {
        int index = find(user, events[i].data.fd);
        if (index >= 0) {
            user->polls[index].got = from_epoll(events[i].events);
        }
    }
    slirp_pollfds_poll(user->slirp, count < 0, get_events, user);
    (void)bp_net_fifo_drain(&user->waiting, &user->queue);
    bp_net_rx_deliver(&user->queue);
    user_poll_sync(user);
}

static void
epoll_ready(void *opaque, uint32_t events)
{
    struct net_user *user = opaque;
    const struct bp_services *host = &user->host;

    if (user->waiting.count > 0 && bp_net_fifo_drain(&user->waiting, &user->queue) > 0) {
        user->closed_input = 1; /* until a buffer is posted */
        host->loop->fd_modify(host->instance, FD_EPOLL, 0);
        return;
    }
    poll_now(user);
}

int32_t
user_poll_start(struct net_user *user, uint32_t loop)
{
    const struct bp_services *host = &user->host;
    struct bp_fd_args args = {
        .size = sizeof(args),
        .id = FD_EPOLL,
        .loop = loop,
        .fd = user->epoll,
        .events = BP_FD_IN,
        .ready = epoll_ready,
        .opaque = user,
    };
    int32_t result = host->loop->fd_add(host->instance, &args);

    if (result == 0) {
        atomic_store(&user->loop, loop);
        user->open = 1;
        user->sync_planned = 0;
        user_poll_sync(user);
    }
    return result;
}

void
user_poll_stop(struct net_user *user)
{
    const struct bp_services *host = &user->host;

    host->loop->fd_del(host->instance, FD_EPOLL);
    user->open = 0;
}

/* --- timers ---------------------------------------------------------------------------------- */

static void
timeout_now(void *opaque)
{
    struct net_user *user = opaque;

    if (user->open && !user->closed_input) {
        poll_now(user);
    }
}

static void
timers_now(void *opaque)
{
    struct net_user *user = opaque;

    for (uint32_t i = 0; i < USER_TIMERS; i++) {
        struct user_timer *timer = &user->timers[i];
        if (atomic_exchange(&timer->due, 0) && timer->used && user->open) {
            timer->func(timer->opaque);
        }
    }
    bp_net_rx_deliver(&user->queue);
    user_poll_sync(user);
}

/* Timers belong to the instance's loop, the network to its consumer's. */
static void
run_on_loop(struct net_user *user, void (*func)(void *opaque))
{
    if (user->host.loop->defer(user->host.instance, atomic_load(&user->loop), func, user) != 0) {
        bp_warn(&user->host, "a timer of the network is lost");
    }
}

static void
timeout_expired(void *opaque)
{
    struct net_user *user = opaque;

    run_on_loop(user, timeout_now);
}

static void
timer_expired(void *opaque)
{
    struct user_timer *timer = opaque;
    struct net_user *user = timer->user;

    atomic_store(&timer->due, 1);
    run_on_loop(user, timers_now);
}

static int64_t
cb_clock(void *opaque)
{
    const struct net_user *user = opaque;

    return (int64_t)user->host.timer->now(user->host.instance, BP_CLOCK_MONOTONIC);
}

static void *
cb_timer_new(SlirpTimerCb func, void *func_opaque, void *opaque)
{
    struct net_user *user = opaque;

    for (uint32_t i = 0; i < USER_TIMERS; i++) {
        struct user_timer *timer = &user->timers[i];
        if (!timer->used) {
            timer->used = 1;
            timer->func = func;
            timer->opaque = func_opaque;
            return timer;
        }
    }
    return NULL;
}

static uint32_t
timer_id(const struct user_timer *timer)
{
    return 1 + (uint32_t)(timer - timer->user->timers);
}

static void
cb_timer_free(void *given, void *opaque)
{
    struct user_timer *timer = given;

    if (timer != NULL) {
        timer->user->host.timer->cancel(timer->user->host.instance, timer_id(timer));
        timer->used = 0;
    }
}

/* expire: milliseconds of the clock. */
static void
cb_timer_mod(void *given, int64_t expire, void *opaque)
{
    struct user_timer *timer = given;

    if (timer != NULL) {
        timer->user->host.timer->arm(timer->user->host.instance, timer_id(timer),
                                     (uint64_t)expire * NS_PER_MS);
    }
}

static void
cb_register(int fd, void *opaque)
{
}

/* The number may be another socket's at once. */
static void
cb_unregister(int fd, void *opaque)
{
    struct net_user *user = opaque;
    int index = find(user, fd);

    if (index >= 0) {
        (void)epoll_ctl(user->epoll, EPOLL_CTL_DEL, fd, NULL);
        user->polls[index].watched = 0;
    }
}

static void
cb_notify(void *opaque)
{
    user_poll_sync(opaque);
}

static void
cb_guest_error(const char *text, void *opaque)
{
    struct net_user *user = opaque;

    bp_debug(&user->host, "the guest: %s", text);
}

const SlirpCb user_callbacks = {
    .send_packet = user_send_packet,
    .guest_error = cb_guest_error,
    .clock_get_ns = cb_clock,
    .timer_new = cb_timer_new,
    .timer_free = cb_timer_free,
    .timer_mod = cb_timer_mod,
    .register_poll_fd = cb_register,
    .unregister_poll_fd = cb_unregister,
    .notify = cb_notify,
};

static int32_t
make_timer(struct net_user *user, uint32_t id, void (*expired)(void *opaque), void *opaque)
{
    const struct bp_services *host = &user->host;
    const struct bp_timer_args args = {
        .size = sizeof(args),
        .id = id,
        .clock = BP_CLOCK_MONOTONIC,
        .loop = host->loop->home(host->instance),
        .expired = expired,
        .opaque = opaque,
    };

    return host->timer->create(host->instance, &args);
}

int32_t
user_poll_init(struct net_user *user)
{
    int32_t result;

    user->poll_room = USER_POLLS;
    user->polls = calloc(user->poll_room, sizeof(*user->polls));
    user->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (user->polls == NULL || user->epoll < 0) {
        return -ENOMEM;
    }
    result = make_timer(user, TIMER_TIMEOUT, timeout_expired, user);
    for (uint32_t i = 0; i < USER_TIMERS && result == 0; i++) {
        user->timers[i].user = user;
        result = make_timer(user, 1 + i, timer_expired, &user->timers[i]);
    }
    return result;
}

void
user_poll_done(struct net_user *user)
{
    if (user->epoll >= 0) {
        (void)close(user->epoll);
    }
    free(user->polls);
}
