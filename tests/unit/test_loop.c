/* SPDX-License-Identifier: Apache-2.0 */
/* Loops: each test runs on both engines, on a thread of the loop's own. */
#include "loop/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#define MS         UINT64_C(1000000)
#define FAR_FUTURE (UINT64_C(3600) * 1000 * MS)
#define ROUNDS     300

/* Something tests wait for: counted under a mutex, never by sleeping. */
typedef struct {
    GMutex lock;
    GCond cond;
    unsigned count;
} Event;

static void
event_init(Event *event)
{
    g_mutex_init(&event->lock);
    g_cond_init(&event->cond);
    event->count = 0;
}

static void
event_signal(Event *event)
{
    g_mutex_lock(&event->lock);
    event->count++;
    g_cond_broadcast(&event->cond);
    g_mutex_unlock(&event->lock);
}

static void
event_wait(Event *event, unsigned count)
{
    g_mutex_lock(&event->lock);
    while (event->count < count) {
        g_cond_wait(&event->cond, &event->lock);
    }
    g_mutex_unlock(&event->lock);
}

static unsigned
event_count(Event *event)
{
    g_mutex_lock(&event->lock);
    unsigned count = event->count;
    g_mutex_unlock(&event->lock);
    return count;
}

typedef struct {
    LoopEngine engine;
    VirtualClock *clock;
    Loop *loop;
    Event event;
    GMutex lock;
    /* What callbacks note, on the loop's thread or under lock. */
    unsigned calls;
    unsigned order[16];
    LoopFd *fd_source;
    LoopTimer *timer;
    int fds[2];
} Fixture;

static void
nothing(void *opaque)
{
}

static int
setup(void **state, LoopEngine engine)
{
    Fixture *fixture = g_new0(Fixture, 1);
    GError *error = NULL;
    fixture->engine = engine;
    fixture->clock = virtual_clock_new(false);
    fixture->loop = loop_new("test", engine, fixture->clock, &error);
    if (!fixture->loop && engine == LOOP_ENGINE_URING) {
        print_message("# io_uring is refused here: %s\n", error->message);
        g_clear_error(&error);
        *state = fixture;
        return 0;
    }
    assert_null(error);
    event_init(&fixture->event);
    g_mutex_init(&fixture->lock);
    fixture->fds[0] = fixture->fds[1] = -1;
    *state = fixture;
    return loop_start_thread(fixture->loop, &error) ? 0 : -1;
}

static int
setup_uring(void **state)
{
    return setup(state, LOOP_ENGINE_URING);
}

static int
setup_epoll(void **state)
{
    return setup(state, LOOP_ENGINE_EPOLL);
}

static int
teardown(void **state)
{
    Fixture *fixture = *state;
    loop_free(fixture->loop);
    virtual_clock_free(fixture->clock);
    for (unsigned i = 0; fixture->loop && i < 2; i++) {
        if (fixture->fds[i] >= 0) {
            (void)close(fixture->fds[i]);
        }
    }
    g_free(fixture);
    return 0;
}

static Fixture *
fixture_of(void **state)
{
    Fixture *fixture = *state;
    if (!fixture->loop) {
        skip();
    }
    return fixture;
}

static void
open_pair(Fixture *fixture)
{
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fixture->fds), 0);
}

/* ---- descriptors ---- */

/* Reads one byte a call: called again only because more is there. */
static void
read_one_byte(void *opaque, int fd, uint32_t events)
{
    Fixture *fixture = opaque;
    char byte;
    assert_true(events & EPOLLIN);
    assert_true(loop_is_current(fixture->loop));
    if (read(fd, &byte, 1) == 1) {
        event_signal(&fixture->event);
    }
}

static void
test_readable_descriptor_is_reported_until_it_is_drained(void **state)
{
    Fixture *fixture = fixture_of(state);
    open_pair(fixture);
    LoopFd *source =
        loop_fd_add(fixture->loop, fixture->fds[0], EPOLLIN, NULL, read_one_byte, fixture);
    assert_int_equal(write(fixture->fds[1], "abcde", 5), 5);
    event_wait(&fixture->event, 5);
    assert_int_equal(write(fixture->fds[1], "fg", 2), 2);
    event_wait(&fixture->event, 7);
    loop_fd_remove(source);
}

static void
note_write_ready(void *opaque, int fd, uint32_t events)
{
    Fixture *fixture = opaque;
    if (events & EPOLLOUT) {
        loop_fd_modify(fixture->fd_source, 0);
        event_signal(&fixture->event);
    }
}

static void
test_modify_from_callback_and_from_elsewhere_takes_effect(void **state)
{
    Fixture *fixture = fixture_of(state);
    open_pair(fixture);
    fixture->fd_source =
        loop_fd_add(fixture->loop, fixture->fds[0], 0, NULL, note_write_ready, fixture);
    loop_call(fixture->loop, nothing, NULL);
    assert_int_equal(event_count(&fixture->event), 0);
    for (unsigned i = 1; i <= 20; i++) {
        loop_fd_modify(fixture->fd_source, EPOLLOUT);
        event_wait(&fixture->event, i);
    }
    for (unsigned i = 0; i < 5; i++) {
        loop_call(fixture->loop, nothing, NULL);
    }
    assert_int_equal(event_count(&fixture->event), 20);
    loop_fd_remove(fixture->fd_source);
}

static void
count_hangups(void *opaque, int fd, uint32_t events)
{
    Fixture *fixture = opaque;
    event_signal(&fixture->event);
    loop_fd_modify(fixture->fd_source, 0);
}

static void
test_descriptor_that_wants_nothing_is_silent_even_after_hangup(void **state)
{
    Fixture *fixture = fixture_of(state);
    open_pair(fixture);
    fixture->fd_source =
        loop_fd_add(fixture->loop, fixture->fds[0], 0, NULL, count_hangups, fixture);
    loop_fd_modify(fixture->fd_source, EPOLLIN);
    (void)close(fixture->fds[1]);
    fixture->fds[1] = -1;
    event_wait(&fixture->event, 1);
    for (unsigned i = 0; i < 5; i++) {
        loop_call(fixture->loop, nothing, NULL);
    }
    assert_int_equal(event_count(&fixture->event), 1);
    loop_fd_remove(fixture->fd_source);
}

static void
test_two_sources_on_one_descriptor_are_both_reported(void **state)
{
    Fixture *fixture = fixture_of(state);
    Event other;
    event_init(&other);
    open_pair(fixture);
    LoopFd *reader =
        loop_fd_add(fixture->loop, fixture->fds[0], EPOLLIN, NULL, read_one_byte, fixture);
    fixture->fd_source =
        loop_fd_add(fixture->loop, fixture->fds[0], 0, NULL, note_write_ready, fixture);
    loop_fd_modify(fixture->fd_source, EPOLLOUT);
    event_wait(&fixture->event, 1);
    assert_int_equal(write(fixture->fds[1], "a", 1), 1);
    event_wait(&fixture->event, 2);
    loop_fd_remove(reader);
    loop_fd_remove(fixture->fd_source);
}

/* io_uring reports an error when a terminal's attributes change under its poll. */
static void
test_terminal_that_changes_its_mode_is_still_reported(void **state)
{
    Fixture *fixture = fixture_of(state);
    struct termios attributes;
    int terminal;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0 && tcgetattr(terminal, &attributes) == 0);
    LoopFd *source = loop_fd_add(fixture->loop, terminal, EPOLLIN, NULL, read_one_byte, fixture);
    /* A byte first: the poll is armed when it has been seen. */
    cfmakeraw(&attributes);
    assert_int_equal(tcsetattr(terminal, TCSANOW, &attributes), 0);
    assert_int_equal(write(master, "a", 1), 1);
    event_wait(&fixture->event, 1);
    for (unsigned i = 0; i < 3; i++) {
        loop_call(fixture->loop, nothing, NULL);
        assert_int_equal(tcsetattr(terminal, TCSANOW, &attributes), 0);
        loop_call(fixture->loop, nothing, NULL);
        assert_int_equal(write(master, "b", 1), 1);
        event_wait(&fixture->event, i + 2);
    }
    loop_fd_remove(source);
    (void)close(terminal);
    (void)close(master);
}

static void
test_regular_file_is_always_ready(void **state)
{
    Fixture *fixture = fixture_of(state);
    char path[] = "/tmp/backplane-loop-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)unlink(path);
    assert_int_equal(write(fd, "xyz", 3), 3);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    LoopFd *source = loop_fd_add(fixture->loop, fd, EPOLLIN, NULL, read_one_byte, fixture);
    event_wait(&fixture->event, 3);
    loop_fd_remove(source);
    (void)close(fd);
}

static void
remove_myself(void *opaque, int fd, uint32_t events)
{
    Fixture *fixture = opaque;
    loop_fd_remove(fixture->fd_source);
    fixture->fd_source = NULL;
    event_signal(&fixture->event);
}

static void
test_callback_may_remove_its_own_source(void **state)
{
    Fixture *fixture = fixture_of(state);
    open_pair(fixture);
    fixture->fd_source =
        loop_fd_add(fixture->loop, fixture->fds[0], 0, NULL, remove_myself, fixture);
    loop_fd_modify(fixture->fd_source, EPOLLIN | EPOLLOUT);
    event_wait(&fixture->event, 1);
    loop_call(fixture->loop, nothing, NULL);
    loop_call(fixture->loop, nothing, NULL);
    assert_int_equal(event_count(&fixture->event), 1);
}

/* Touches memory that its remover frees: the sanitizers see a callback that comes too late. */
typedef struct {
    GMutex *lock;
    volatile unsigned *memory;
    Event *event;
} Victim;

static void
touch_victim(void *opaque, int fd, uint32_t events)
{
    Victim *victim = opaque;
    (*victim->memory)++;
    if (victim->event) {
        event_signal(victim->event);
    }
}

static void
remove_under_load(Fixture *fixture, GMutex *lock, bool hold)
{
    open_pair(fixture); /* writable all the time: the callback runs again and again */
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned *memory = g_new0(unsigned, 1);
        Victim victim = {lock, memory, i % 2 ? &fixture->event : NULL};
        unsigned before = event_count(&fixture->event);
        LoopFd *source =
            loop_fd_add(fixture->loop, fixture->fds[0], EPOLLOUT, lock, touch_victim, &victim);
        if (i % 2) {
            event_wait(&fixture->event, before + 1);
        }
        if (hold) {
            g_mutex_lock(lock);
        }
        loop_fd_remove(source);
        g_free(memory);
        if (hold) {
            g_mutex_unlock(lock);
        }
    }
}

static void
test_removal_without_lock_waits_for_the_callback(void **state)
{
    remove_under_load(fixture_of(state), NULL, false);
}

static void
test_removal_holding_the_lock_is_synchronous(void **state)
{
    Fixture *fixture = fixture_of(state);
    remove_under_load(fixture, &fixture->lock, true);
}

static void
test_removal_not_holding_the_lock_waits_for_the_callback(void **state)
{
    Fixture *fixture = fixture_of(state);
    remove_under_load(fixture, &fixture->lock, false);
}

static void
change_again_and_again(void *opaque, int fd, uint32_t events)
{
    Fixture *fixture = opaque;
    event_signal(&fixture->event);
    for (unsigned i = 0; i < 20; i++) {
        loop_fd_modify(fixture->fd_source, i % 2 ? EPOLLOUT : EPOLLOUT | EPOLLIN);
    }
}

static void
test_callback_may_change_a_source_that_is_being_removed(void **state)
{
    Fixture *fixture = fixture_of(state);
    open_pair(fixture);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned before = event_count(&fixture->event);
        fixture->fd_source =
            loop_fd_add(fixture->loop, fixture->fds[0], 0, NULL, change_again_and_again, fixture);
        loop_fd_modify(fixture->fd_source, EPOLLOUT);
        event_wait(&fixture->event, before + 1);
        loop_fd_remove(fixture->fd_source);
    }
    loop_call(fixture->loop, nothing, NULL);
}

static void
note_under_lock(void *opaque, int fd, uint32_t events)
{
    Fixture *fixture = opaque;
    assert_false(g_mutex_trylock(&fixture->lock));
    loop_fd_modify(fixture->fd_source, 0);
    event_signal(&fixture->event);
}

static void
test_callback_runs_with_the_lock_held(void **state)
{
    Fixture *fixture = fixture_of(state);
    open_pair(fixture);
    g_mutex_lock(&fixture->lock);
    fixture->fd_source = loop_fd_add(fixture->loop, fixture->fds[0], EPOLLOUT, &fixture->lock,
                                     note_under_lock, fixture);
    g_mutex_unlock(&fixture->lock);
    event_wait(&fixture->event, 1);
    loop_fd_remove(fixture->fd_source);
}

/* More than one batch of events, and more than the ring has entries. */
static void
test_two_hundred_descriptors_are_all_reported(void **state)
{
    enum { COUNT = 200 };
    Fixture *fixture = fixture_of(state);
    LoopFd *sources[COUNT];
    int fds[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        assert_true(fds[i] >= 0);
    }
    unsigned values[COUNT] = {0};
    Victim victims[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        victims[i] = (Victim){NULL, &values[i], NULL};
        sources[i] = loop_fd_add(fixture->loop, fds[i], EPOLLIN, NULL, touch_victim, &victims[i]);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(eventfd_write(fds[i], 1), 0);
    }
    for (unsigned turn = 0; turn < 64; turn++) {
        loop_call(fixture->loop, nothing, NULL);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        loop_fd_remove(sources[i]);
        assert_true(values[i] > 0);
        (void)close(fds[i]);
    }
}

/* ---- deferred calls ---- */

typedef struct {
    Fixture *fixture;
    unsigned number;
} Numbered;

static void
note_number(void *opaque)
{
    Numbered *numbered = opaque;
    Fixture *fixture = numbered->fixture;
    fixture->order[fixture->calls++] = numbered->number;
    event_signal(&fixture->event);
}

static void
test_deferred_calls_run_in_order(void **state)
{
    Fixture *fixture = fixture_of(state);
    Numbered numbered[10];
    for (unsigned i = 0; i < 10; i++) {
        numbered[i] = (Numbered){fixture, i};
        loop_defer(fixture->loop, NULL, note_number, &numbered[i]);
    }
    event_wait(&fixture->event, 10);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(fixture->order[i], i);
    }
}

static void
wait_for_lock_holder(void *opaque)
{
    Fixture *fixture = opaque;
    event_signal(&fixture->event);
    g_mutex_lock(&fixture->lock);
    g_mutex_unlock(&fixture->lock);
}

static void
test_cancelled_deferred_call_does_not_run(void **state)
{
    Fixture *fixture = fixture_of(state);
    Numbered kept = {fixture, 1};
    Numbered dropped = {fixture, 2};
    g_mutex_lock(&fixture->lock);
    loop_defer(fixture->loop, NULL, wait_for_lock_holder, fixture); /* keeps the loop busy */
    event_wait(&fixture->event, 1);
    loop_defer(fixture->loop, NULL, note_number, &dropped);
    loop_defer(fixture->loop, NULL, note_number, &kept);
    loop_defer(fixture->loop, NULL, note_number, &dropped);
    loop_defer_cancel(fixture->loop, &dropped);
    g_mutex_unlock(&fixture->lock);
    event_wait(&fixture->event, 2);
    loop_call(fixture->loop, nothing, NULL);
    assert_int_equal(fixture->calls, 1);
    assert_int_equal(fixture->order[0], 1);
}

static void
test_deferred_call_blocked_on_the_lock_can_still_be_cancelled(void **state)
{
    Fixture *fixture = fixture_of(state);
    Numbered late = {fixture, 1};
    for (unsigned i = 0; i < ROUNDS; i++) {
        g_mutex_lock(&fixture->lock);
        loop_defer(fixture->loop, &fixture->lock, note_number, &late);
        if (i % 3) {
            g_usleep(i % 7); /* lets the loop come as far as the lock, sometimes */
        }
        loop_defer_cancel(fixture->loop, &late);
        unsigned calls = fixture->calls;
        g_mutex_unlock(&fixture->lock);
        loop_call(fixture->loop, nothing, NULL);
        assert_int_equal(fixture->calls, calls);
    }
    assert_int_equal(fixture->calls, 0);
}

static void
defer_myself_again(void *opaque)
{
    Fixture *fixture = opaque;
    event_signal(&fixture->event);
    loop_defer(fixture->loop, NULL, defer_myself_again, fixture);
}

static void
test_cancel_ends_a_call_that_defers_itself_again(void **state)
{
    Fixture *fixture = fixture_of(state);
    loop_defer(fixture->loop, NULL, defer_myself_again, fixture);
    event_wait(&fixture->event, 3);
    loop_defer_cancel(fixture->loop, fixture);
    unsigned count = event_count(&fixture->event);
    loop_call(fixture->loop, nothing, NULL);
    loop_call(fixture->loop, nothing, NULL);
    assert_int_equal(event_count(&fixture->event), count);
}

static void
call_inner(void *opaque)
{
    Fixture *fixture = opaque;
    assert_true(loop_is_current(fixture->loop));
    fixture->calls++;
}

static void
call_outer(void *opaque)
{
    Fixture *fixture = opaque;
    loop_call(fixture->loop, call_inner, fixture);
    fixture->calls++;
}

static void
test_call_runs_on_the_loop_and_nests(void **state)
{
    Fixture *fixture = fixture_of(state);
    assert_false(loop_is_current(fixture->loop));
    loop_call(fixture->loop, call_outer, fixture);
    assert_int_equal(fixture->calls, 2);
}

static void
count_call(void *opaque)
{
    (*(unsigned *)opaque)++;
}

static void
test_call_on_a_stopped_loop_runs_directly(void **state)
{
    Fixture *fixture = fixture_of(state);
    unsigned calls = 0;
    loop_stop(fixture->loop);
    loop_call(fixture->loop, count_call, &calls);
    assert_int_equal(calls, 1);
    assert_false(loop_is_current(fixture->loop));
}

static void *
call_many_times(void *opaque)
{
    Fixture *fixture = opaque;
    unsigned calls = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        loop_call(fixture->loop, count_call, &calls);
    }
    assert_int_equal(calls, ROUNDS);
    event_signal(&fixture->event);
    return NULL;
}

static void
test_stop_lets_no_caller_wait_forever(void **state)
{
    Fixture *fixture = fixture_of(state);
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, call_many_times, fixture), 0);
    }
    g_usleep(1000);
    loop_stop(fixture->loop);
    for (unsigned i = 0; i < 2; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_int_equal(event_count(&fixture->event), 2);
}

static void
test_drain_waits_for_the_callback_that_runs(void **state)
{
    Fixture *fixture = fixture_of(state);
    for (unsigned i = 0; i < ROUNDS; i++) {
        GMutex *lock = g_new0(GMutex, 1);
        g_mutex_init(lock);
        g_mutex_lock(lock);
        Numbered numbered = {fixture, 0};
        loop_defer(fixture->loop, lock, note_number, &numbered);
        if (i % 2) {
            g_usleep(i % 11);
        }
        loop_defer_cancel(fixture->loop, &numbered);
        g_mutex_unlock(lock);
        loop_drain(fixture->loop);
        g_mutex_clear(lock);
        g_free(lock);
    }
    assert_int_equal(fixture->calls, 0);
}

/* ---- timers ---- */

static void
signal_event(void *opaque)
{
    event_signal(opaque);
}

static void
test_timer_on_each_clock_fires_not_before_its_deadline(void **state)
{
    Fixture *fixture = fixture_of(state);
    virtual_clock_start(fixture->clock);
    for (unsigned source = 0; source < CLOCK_SOURCE_COUNT; source++) {
        Event fired;
        event_init(&fired);
        LoopTimer *timer = loop_timer_new(fixture->loop, source, NULL, signal_event, &fired);
        uint64_t deadline = clock_source_now(source, fixture->clock) + 3 * MS;
        loop_timer_arm(timer, deadline);
        event_wait(&fired, 1);
        assert_true(clock_source_now(source, fixture->clock) >= deadline);
        assert_false(loop_timer_armed(timer));
        loop_timer_arm(timer, 1); /* long past: at once */
        event_wait(&fired, 2);
        loop_timer_free(timer);
    }
}

static void
test_earlier_deadline_wakes_a_sleeping_loop(void **state)
{
    Fixture *fixture = fixture_of(state);
    virtual_clock_start(fixture->clock);
    for (unsigned source = 0; source < CLOCK_SOURCE_COUNT; source++) {
        Event fired;
        event_init(&fired);
        LoopTimer *late = loop_timer_new(fixture->loop, source, NULL, nothing, NULL);
        LoopTimer *early = loop_timer_new(fixture->loop, source, NULL, signal_event, &fired);
        loop_timer_arm(late, clock_source_now(source, fixture->clock) + FAR_FUTURE);
        loop_call(fixture->loop, nothing, NULL);
        loop_timer_arm(early, clock_source_now(source, fixture->clock) + MS);
        event_wait(&fired, 1);
        assert_true(loop_timer_armed(late));
        loop_timer_free(late);
        loop_timer_free(early);
    }
}

static void
test_timers_fire_in_order_of_deadline_then_of_arming(void **state)
{
    static const unsigned delays[] = {5, 3, 9, 3, 1, 7, 5, 1, 9, 3};
    static const unsigned expected[] = {4, 7, 1, 3, 9, 0, 6, 5, 2, 8};
    Fixture *fixture = fixture_of(state);
    Numbered numbered[G_N_ELEMENTS(delays)];
    LoopTimer *timers[G_N_ELEMENTS(delays)];
    for (unsigned i = 0; i < G_N_ELEMENTS(delays); i++) {
        numbered[i] = (Numbered){fixture, i};
        timers[i] =
            loop_timer_new(fixture->loop, CLOCK_SOURCE_VIRTUAL, NULL, note_number, &numbered[i]);
        loop_timer_arm(timers[i], delays[i]);
    }
    loop_call(fixture->loop, nothing, NULL);
    assert_int_equal(event_count(&fixture->event), 0); /* the clock stands still */
    virtual_clock_start(fixture->clock);
    event_wait(&fixture->event, G_N_ELEMENTS(delays));
    for (unsigned i = 0; i < G_N_ELEMENTS(delays); i++) {
        assert_int_equal(fixture->order[i], expected[i]);
        loop_timer_free(timers[i]);
    }
}

static void
test_virtual_timers_rest_while_the_clock_is_stopped(void **state)
{
    Fixture *fixture = fixture_of(state);
    LoopTimer *timer =
        loop_timer_new(fixture->loop, CLOCK_SOURCE_VIRTUAL, NULL, signal_event, &fixture->event);
    virtual_clock_start(fixture->clock);
    virtual_clock_stop(fixture->clock);
    uint64_t stopped_at = virtual_clock_now(fixture->clock);
    loop_timer_arm(timer, stopped_at); /* due, but time stands still */
    loop_call(fixture->loop, nothing, NULL);
    loop_call(fixture->loop, nothing, NULL);
    assert_int_equal(event_count(&fixture->event), 0);
    assert_int_equal(virtual_clock_now(fixture->clock), stopped_at);
    virtual_clock_start(fixture->clock);
    event_wait(&fixture->event, 1);
    loop_timer_free(timer);
}

static void
test_cancelled_timer_does_not_fire(void **state)
{
    Fixture *fixture = fixture_of(state);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned *memory = g_new0(unsigned, 1);
        LoopTimer *timer = loop_timer_new(fixture->loop, CLOCK_SOURCE_MONOTONIC,
                                          i % 2 ? &fixture->lock : NULL, count_call, memory);
        uint64_t now = clock_source_now(CLOCK_SOURCE_MONOTONIC, NULL);
        loop_timer_arm(timer, now + (i % 5) * MS / 50);
        if (i % 3) {
            g_usleep(i % 60);
        }
        bool hold = i % 4 == 1;
        if (hold) {
            g_mutex_lock(&fixture->lock);
        }
        loop_timer_cancel(timer);
        assert_false(loop_timer_armed(timer));
        g_free(memory); /* a late callback would write here */
        loop_timer_free(timer);
        if (hold) {
            g_mutex_unlock(&fixture->lock);
        }
    }
}

static void
arm_again(void *opaque)
{
    Fixture *fixture = opaque;
    event_signal(&fixture->event);
    loop_timer_arm(fixture->timer, 0);
}

static void
test_cancel_ends_a_timer_that_arms_itself_again(void **state)
{
    Fixture *fixture = fixture_of(state);
    fixture->timer =
        loop_timer_new(fixture->loop, CLOCK_SOURCE_MONOTONIC, NULL, arm_again, fixture);
    loop_timer_arm(fixture->timer, 0);
    event_wait(&fixture->event, 10);
    loop_timer_cancel(fixture->timer);
    unsigned count = event_count(&fixture->event);
    loop_call(fixture->loop, nothing, NULL);
    assert_int_equal(event_count(&fixture->event), count);
    assert_false(loop_timer_armed(fixture->timer));
    loop_timer_free(fixture->timer);
}

static void
test_timer_in_the_past_does_not_starve_descriptors(void **state)
{
    Fixture *fixture = fixture_of(state);
    Event reads;
    event_init(&reads);
    unsigned value = 0;
    Victim victim = {NULL, &value, &reads};
    open_pair(fixture);
    fixture->timer =
        loop_timer_new(fixture->loop, CLOCK_SOURCE_MONOTONIC, NULL, arm_again, fixture);
    loop_timer_arm(fixture->timer, 0);
    LoopFd *source =
        loop_fd_add(fixture->loop, fixture->fds[0], EPOLLOUT, NULL, touch_victim, &victim);
    event_wait(&reads, 3);
    loop_fd_remove(source);
    loop_timer_free(fixture->timer);
}

static void
free_my_timer(void *opaque)
{
    Fixture *fixture = opaque;
    loop_timer_free(fixture->timer);
    fixture->timer = NULL;
    event_signal(&fixture->event);
}

static void
test_callback_may_free_its_own_timer(void **state)
{
    Fixture *fixture = fixture_of(state);
    fixture->timer = loop_timer_new(fixture->loop, CLOCK_SOURCE_MONOTONIC, &fixture->lock,
                                    free_my_timer, fixture);
    loop_timer_arm(fixture->timer, 1);
    event_wait(&fixture->event, 1);
    loop_call(fixture->loop, nothing, NULL);
}

static void *
arm_and_cancel(void *opaque)
{
    Fixture *fixture = opaque;
    LoopTimer *timer = loop_timer_new(fixture->loop, CLOCK_SOURCE_VIRTUAL, &fixture->lock,
                                      count_call, &fixture->calls);
    for (unsigned i = 0; i < ROUNDS * 4; i++) {
        loop_timer_arm(timer, virtual_clock_now(fixture->clock) + (i % 3) * 1000);
        if (i % 7 == 0) {
            loop_timer_cancel(timer);
        }
    }
    loop_timer_free(timer);
    return NULL;
}

static void
test_timers_of_several_threads_do_not_disturb_each_other(void **state)
{
    Fixture *fixture = fixture_of(state);
    pthread_t threads[3];
    virtual_clock_start(fixture->clock);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, arm_and_cancel, fixture), 0);
    }
    for (unsigned i = 0; i < 50; i++) {
        virtual_clock_stop(fixture->clock);
        virtual_clock_start(fixture->clock);
    }
    for (unsigned i = 0; i < 3; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_int_equal(loop_next_virtual_deadline(fixture->loop), UINT64_MAX);
}

#define BOTH(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, setup_epoll, teardown),                                  \
    {                                                                                              \
#test "_on_io_uring", test, setup_uring, teardown, NULL                                    \
    }

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_readable_descriptor_is_reported_until_it_is_drained),
        BOTH(test_modify_from_callback_and_from_elsewhere_takes_effect),
        BOTH(test_descriptor_that_wants_nothing_is_silent_even_after_hangup),
        BOTH(test_two_sources_on_one_descriptor_are_both_reported),
        BOTH(test_terminal_that_changes_its_mode_is_still_reported),
        BOTH(test_regular_file_is_always_ready),
        BOTH(test_callback_may_remove_its_own_source),
        BOTH(test_removal_without_lock_waits_for_the_callback),
        BOTH(test_removal_holding_the_lock_is_synchronous),
        BOTH(test_removal_not_holding_the_lock_waits_for_the_callback),
        BOTH(test_callback_may_change_a_source_that_is_being_removed),
        BOTH(test_callback_runs_with_the_lock_held),
        BOTH(test_two_hundred_descriptors_are_all_reported),
        BOTH(test_deferred_calls_run_in_order),
        BOTH(test_cancelled_deferred_call_does_not_run),
        BOTH(test_deferred_call_blocked_on_the_lock_can_still_be_cancelled),
        BOTH(test_cancel_ends_a_call_that_defers_itself_again),
        BOTH(test_call_runs_on_the_loop_and_nests),
        BOTH(test_call_on_a_stopped_loop_runs_directly),
        BOTH(test_stop_lets_no_caller_wait_forever),
        BOTH(test_drain_waits_for_the_callback_that_runs),
        BOTH(test_timer_on_each_clock_fires_not_before_its_deadline),
        BOTH(test_earlier_deadline_wakes_a_sleeping_loop),
        BOTH(test_timers_fire_in_order_of_deadline_then_of_arming),
        BOTH(test_virtual_timers_rest_while_the_clock_is_stopped),
        BOTH(test_cancelled_timer_does_not_fire),
        BOTH(test_cancel_ends_a_timer_that_arms_itself_again),
        BOTH(test_timer_in_the_past_does_not_starve_descriptors),
        BOTH(test_callback_may_free_its_own_timer),
        BOTH(test_timers_of_several_threads_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
