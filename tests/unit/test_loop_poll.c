/* SPDX-License-Identifier: Apache-2.0 */
/* A loop that looks around before it sleeps. */
#include "loop/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_NS    (UINT64_C(10) * 1000 * 1000 * 1000) /* no sleep of a test is longer */
#define SHORT_NS    UINT64_C(20000)
#define PATIENCE_US (20 * G_USEC_PER_SEC)

typedef struct {
    VirtualClock *clock;
    Loop *loop;
    int fd;
    int begun, ended, looked; /* atomic, as are those below */
    int work;                 /* what LOOK answers */
    int work_at_end;
    int polled_calls, fd_calls;
} Fixture;

static bool
poll_source(void *opaque, LoopPollPhase phase)
{
    Fixture *fixture = opaque;
    switch (phase) {
    case LOOP_POLL_BEGIN:
        g_atomic_int_inc(&fixture->begun);
        return false;
    case LOOP_POLL_LOOK:
        g_atomic_int_inc(&fixture->looked);
        return g_atomic_int_get(&fixture->work) != 0;
    default:
        g_atomic_int_inc(&fixture->ended);
        return g_atomic_int_get(&fixture->work_at_end) != 0;
    }
}

static void
ready(void *opaque, int fd, uint32_t events)
{
    Fixture *fixture = opaque;
    eventfd_t count;
    if (events == LOOP_EVENT_POLLED) {
        g_atomic_int_set(&fixture->work, 0);
        g_atomic_int_set(&fixture->work_at_end, 0);
        g_atomic_int_inc(&fixture->polled_calls);
    } else if (eventfd_read(fd, &count) == 0) {
        g_atomic_int_inc(&fixture->fd_calls);
    }
}

static int
setup(void **state, LoopEngine engine)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->clock = virtual_clock_new(false);
    fixture->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fixture->loop = loop_new("test", engine, fixture->clock, NULL);
    *state = fixture;
    if (fixture->loop == NULL) {
        return 0; /* io_uring is refused here */
    }
    loop_set_poll_limit(fixture->loop, LIMIT_NS);
    return loop_start_thread(fixture->loop, NULL) ? 0 : -1;
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
    (void)close(fixture->fd);
    g_free(fixture);
    return 0;
}

static Fixture *
fixture_of(void **state)
{
    Fixture *fixture = *state;
    if (fixture->loop == NULL) {
        skip();
    }
    return fixture;
}

/* Keeps the loop busy until the value, which only it changes, is at least so much. */
static void
busy_until(Fixture *fixture, int *value, int least)
{
    gint64 deadline = g_get_monotonic_time() + PATIENCE_US;
    while (g_atomic_int_get(value) < least) {
        assert_true(g_get_monotonic_time() < deadline);
        assert_int_equal(eventfd_write(fixture->fd, 1), 0);
        g_usleep(100);
    }
}

static void
wait_until(int *value, int least)
{
    gint64 deadline = g_get_monotonic_time() + PATIENCE_US;
    while (g_atomic_int_get(value) < least) {
        assert_true(g_get_monotonic_time() < deadline);
        g_usleep(100);
    }
}

static void
test_work_is_found_that_nobody_told_of(void **state)
{
    Fixture *fixture = fixture_of(state);
    LoopFd *source = loop_fd_add(fixture->loop, fixture->fd, EPOLLIN, NULL, ready, fixture);

    loop_fd_set_poll(source, poll_source);
    for (int round = 1; round <= 20; round++) {
        g_atomic_int_set(&fixture->work, 1);
        busy_until(fixture, &fixture->polled_calls, round);
    }
    assert_true(g_atomic_int_get(&fixture->fd_calls) > 0);
    loop_fd_remove(source);
    assert_true(fixture->begun == fixture->ended || fixture->begun == fixture->ended + 1);
}

static void
test_what_the_end_finds_is_not_slept_on(void **state)
{
    Fixture *fixture = fixture_of(state);
    LoopFd *source = loop_fd_add(fixture->loop, fixture->fd, EPOLLIN, NULL, ready, fixture);

    loop_set_poll_limit(fixture->loop, SHORT_NS); /* it does sleep between two of our signs */
    loop_fd_set_poll(source, poll_source);
    g_atomic_int_set(&fixture->work_at_end, 1);
    busy_until(fixture, &fixture->polled_calls, 1);
    loop_fd_remove(source);
}

static void
note(void *opaque)
{
    Fixture *fixture = opaque;
    g_atomic_int_inc(&fixture->polled_calls);
}

static void
test_a_deferred_call_interrupts_the_looking(void **state)
{
    Fixture *fixture = fixture_of(state);
    LoopFd *source = loop_fd_add(fixture->loop, fixture->fd, EPOLLIN, NULL, ready, fixture);

    loop_fd_set_poll(source, poll_source);
    for (int round = 1; round <= 200; round++) {
        loop_defer(fixture->loop, NULL, note, fixture);
        wait_until(&fixture->polled_calls, round);
    }
    loop_fd_remove(source);
}

static void
test_a_source_removed_while_it_is_asked_is_asked_no_more(void **state)
{
    Fixture *fixture = fixture_of(state);

    for (int round = 0; round < 300; round++) {
        LoopFd *source = loop_fd_add(fixture->loop, fixture->fd, EPOLLIN, NULL, ready, fixture);

        loop_fd_set_poll(source, poll_source);
        busy_until(fixture, &fixture->looked, round + 1);
        loop_fd_remove(source);
        int looked = g_atomic_int_get(&fixture->looked);
        assert_int_equal(eventfd_write(fixture->fd, 1), 0);
        assert_int_equal(g_atomic_int_get(&fixture->looked), looked);
    }
    assert_in_range(fixture->begun, fixture->ended, fixture->ended + 300);
}

#define BOTH(test)                                                                                 \
    {#test "_on_io_uring", test, setup_uring, teardown, NULL},                                     \
    {                                                                                              \
#test "_on_epoll", test, setup_epoll, teardown, NULL                                       \
    }

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_work_is_found_that_nobody_told_of),
        BOTH(test_what_the_end_finds_is_not_slept_on),
        BOTH(test_a_deferred_call_interrupts_the_looking),
        BOTH(test_a_source_removed_while_it_is_asked_is_asked_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
