/* SPDX-License-Identifier: Apache-2.0 */
/* Loops on a GMainContext, with a virtual clock that moves by hand: everything on one thread, so
 * every order is exact. */
#include "loop/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

typedef struct {
    GMainContext *context;
    VirtualClock *clock;
    Loop *loop;
    LoopTimer *timer;
    unsigned calls;
    uint64_t times[8];
    unsigned order[8];
} Fixture;

static int
setup(void **state, LoopEngine engine)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->context = g_main_context_new();
    fixture->clock = virtual_clock_new(true);
    fixture->loop = loop_new("control", engine, fixture->clock, NULL);
    if (fixture->loop) {
        loop_attach(fixture->loop, fixture->context);
    }
    *state = fixture;
    return fixture->loop || engine == LOOP_ENGINE_URING ? 0 : -1;
}

static int
setup_epoll(void **state)
{
    return setup(state, LOOP_ENGINE_EPOLL);
}

static int
setup_uring(void **state)
{
    return setup(state, LOOP_ENGINE_URING);
}

static int
teardown(void **state)
{
    Fixture *fixture = *state;
    loop_free(fixture->loop);
    virtual_clock_free(fixture->clock);
    g_main_context_unref(fixture->context);
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
run_until(Fixture *fixture, unsigned calls)
{
    while (fixture->calls < calls) {
        (void)g_main_context_iteration(fixture->context, TRUE);
    }
}

static void
run_dry(Fixture *fixture)
{
    while (g_main_context_iteration(fixture->context, FALSE)) {
    }
}

static void
count_call(void *opaque)
{
    Fixture *fixture = opaque;
    assert_true(loop_is_current(fixture->loop));
    fixture->calls++;
}

static void
count_event(void *opaque, int fd, uint32_t events)
{
    Fixture *fixture = opaque;
    eventfd_t value;
    assert_int_equal(eventfd_read(fd, &value), 0);
    fixture->calls++;
}

static void
test_descriptor_wakes_the_context(void **state)
{
    Fixture *fixture = fixture_of(state);
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    LoopFd *source = loop_fd_add(fixture->loop, fd, EPOLLIN, NULL, count_event, fixture);
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(eventfd_write(fd, 1), 0);
        run_until(fixture, i);
    }
    run_dry(fixture);
    assert_int_equal(fixture->calls, 5);
    loop_fd_remove(source);
    (void)close(fd);
}

static void
test_host_timer_wakes_the_context(void **state)
{
    Fixture *fixture = fixture_of(state);
    for (unsigned i = 0; i < 2; i++) {
        ClockSource source = i == 0 ? CLOCK_SOURCE_MONOTONIC : CLOCK_SOURCE_WALL;
        LoopTimer *timer = loop_timer_new(fixture->loop, source, NULL, count_call, fixture);
        uint64_t deadline = clock_source_now(source, NULL) + 2 * MS;
        loop_timer_arm(timer, deadline);
        run_until(fixture, i + 1);
        assert_true(clock_source_now(source, NULL) >= deadline);
        loop_timer_free(timer);
    }
}

static void
test_deferred_call_runs_on_the_next_iteration(void **state)
{
    Fixture *fixture = fixture_of(state);
    loop_defer(fixture->loop, NULL, count_call, fixture);
    assert_int_equal(fixture->calls, 0);
    run_until(fixture, 1);
}

static void *
call_from_thread(void *opaque)
{
    Fixture *fixture = opaque;
    assert_false(loop_is_current(fixture->loop));
    loop_call(fixture->loop, count_call, fixture);
    return NULL;
}

static void
test_other_thread_calls_and_waits(void **state)
{
    Fixture *fixture = fixture_of(state);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, call_from_thread, fixture), 0);
    run_until(fixture, 1);
    (void)pthread_join(thread, NULL);
    assert_int_equal(fixture->calls, 1);
}

/* ---- stepping the virtual clock ---- */

typedef struct {
    Fixture *fixture;
    unsigned number;
} Numbered;

static void
note_time(void *opaque)
{
    Numbered *numbered = opaque;
    Fixture *fixture = numbered->fixture;
    fixture->times[fixture->calls] = virtual_clock_now(fixture->clock);
    fixture->order[fixture->calls++] = numbered->number;
}

/* What the test protocol's clock_step does. */
static void
step_to(Fixture *fixture, uint64_t target)
{
    for (;;) {
        uint64_t deadline = loop_next_virtual_deadline(fixture->loop);
        if (deadline > target) {
            break;
        }
        virtual_clock_set(fixture->clock, MAX(deadline, virtual_clock_now(fixture->clock)));
        loop_run_virtual_timers(fixture->loop);
    }
    virtual_clock_set(fixture->clock, target);
}

static void
test_step_runs_each_timer_at_its_own_deadline_in_order(void **state)
{
    static const uint64_t deadlines[] = {500, 100, 300, 100, 900};
    static const unsigned expected[] = {1, 3, 2, 0};
    Fixture *fixture = fixture_of(state);
    Numbered numbered[5];
    LoopTimer *timers[5];
    for (unsigned i = 0; i < 5; i++) {
        numbered[i] = (Numbered){fixture, i};
        timers[i] =
            loop_timer_new(fixture->loop, CLOCK_SOURCE_VIRTUAL, NULL, note_time, &numbered[i]);
        loop_timer_arm(timers[i], deadlines[i]);
    }
    assert_int_equal(loop_next_virtual_deadline(fixture->loop), 100);
    step_to(fixture, 600);
    assert_int_equal(fixture->calls, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(fixture->order[i], expected[i]);
        assert_int_equal(fixture->times[i], deadlines[expected[i]]);
    }
    assert_int_equal(virtual_clock_now(fixture->clock), 600);
    assert_int_equal(loop_next_virtual_deadline(fixture->loop), 900);
    for (unsigned i = 0; i < 5; i++) {
        loop_timer_free(timers[i]);
    }
    assert_int_equal(loop_next_virtual_deadline(fixture->loop), UINT64_MAX);
}

static void
rearm_in_a_hundred(void *opaque)
{
    Fixture *fixture = opaque;
    uint64_t now = virtual_clock_now(fixture->clock);
    fixture->times[fixture->calls++] = now;
    loop_timer_arm(fixture->timer, now + 100);
}

static void
test_periodic_timer_sees_every_period_of_one_step(void **state)
{
    Fixture *fixture = fixture_of(state);
    fixture->timer =
        loop_timer_new(fixture->loop, CLOCK_SOURCE_VIRTUAL, NULL, rearm_in_a_hundred, fixture);
    loop_timer_arm(fixture->timer, 100);
    step_to(fixture, 550);
    assert_int_equal(fixture->calls, 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(fixture->times[i], 100 * (i + 1));
    }
    loop_timer_free(fixture->timer);
}

static void
test_manual_clock_runs_no_timer_by_itself(void **state)
{
    Fixture *fixture = fixture_of(state);
    LoopTimer *timer =
        loop_timer_new(fixture->loop, CLOCK_SOURCE_VIRTUAL, NULL, count_call, fixture);
    virtual_clock_start(fixture->clock); /* does nothing */
    assert_false(virtual_clock_is_running(fixture->clock));
    loop_timer_arm(timer, 10);
    virtual_clock_set(fixture->clock, 20);
    run_dry(fixture);
    assert_int_equal(fixture->calls, 0);
    loop_run_virtual_timers(fixture->loop);
    assert_int_equal(fixture->calls, 1);
    loop_timer_free(timer);
}

static void
rearm_in_the_past(void *opaque)
{
    Fixture *fixture = opaque;
    fixture->calls++;
    loop_timer_arm(fixture->timer, 0);
}

static void
test_timer_that_arms_itself_in_the_past_ends_the_run_at_some_point(void **state)
{
    Fixture *fixture = fixture_of(state);
    fixture->timer =
        loop_timer_new(fixture->loop, CLOCK_SOURCE_VIRTUAL, NULL, rearm_in_the_past, fixture);
    loop_timer_arm(fixture->timer, 0);
    loop_run_virtual_timers(fixture->loop);
    assert_true(fixture->calls > 1);
    loop_timer_free(fixture->timer);
}

static void
stop_inside(void *opaque)
{
    Fixture *fixture = opaque;
    fixture->calls++;
    loop_stop(fixture->loop);
}

static void
test_loop_may_be_stopped_from_its_own_callback(void **state)
{
    Fixture *fixture = fixture_of(state);
    loop_defer(fixture->loop, NULL, stop_inside, fixture);
    loop_defer(fixture->loop, NULL, count_call, fixture);
    run_until(fixture, 1);
    run_dry(fixture);
    assert_int_equal(fixture->calls, 1);
}

/* ---- the clock itself ---- */

static void
count_change(void *opaque)
{
    (*(unsigned *)opaque)++;
}

static void
test_clock_runs_stops_and_tells_its_listeners(void **state)
{
    VirtualClock *clock = virtual_clock_new(false);
    unsigned changes = 0;
    virtual_clock_add_listener(clock, count_change, &changes);
    assert_int_equal(virtual_clock_now(clock), 0);
    virtual_clock_stop(clock); /* stopped already: no news */
    assert_int_equal(changes, 0);
    virtual_clock_start(clock);
    virtual_clock_start(clock);
    assert_int_equal(changes, 1);
    uint64_t earlier = virtual_clock_now(clock);
    while (virtual_clock_now(clock) == earlier) {
    }
    assert_true(virtual_clock_now(clock) > earlier);
    virtual_clock_stop(clock);
    uint64_t stopped = virtual_clock_now(clock);
    assert_int_equal(virtual_clock_now(clock), stopped);
    virtual_clock_set(clock, 42);
    assert_int_equal(virtual_clock_now(clock), 42);
    virtual_clock_set(clock, UINT64_MAX);
    assert_int_equal(virtual_clock_now(clock), VIRTUAL_CLOCK_MAX_NS);
    assert_int_equal(changes, 4);
    virtual_clock_remove_listener(clock, count_change, &changes);
    virtual_clock_set(clock, 1);
    assert_int_equal(changes, 4);
    virtual_clock_free(clock);
}

static void
test_time_goes_on_where_it_stopped(void **state)
{
    VirtualClock *clock = virtual_clock_new(false);
    virtual_clock_set(clock, 1000 * MS);
    virtual_clock_start(clock);
    uint64_t now = virtual_clock_now(clock);
    assert_true(now >= 1000 * MS && now < 1000000 * MS);
    virtual_clock_stop(clock);
    uint64_t stopped = virtual_clock_now(clock);
    virtual_clock_start(clock);
    assert_true(virtual_clock_now(clock) >= stopped);
    virtual_clock_free(clock);
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
        BOTH(test_descriptor_wakes_the_context),
        BOTH(test_host_timer_wakes_the_context),
        BOTH(test_deferred_call_runs_on_the_next_iteration),
        BOTH(test_other_thread_calls_and_waits),
        BOTH(test_step_runs_each_timer_at_its_own_deadline_in_order),
        BOTH(test_periodic_timer_sees_every_period_of_one_step),
        BOTH(test_manual_clock_runs_no_timer_by_itself),
        BOTH(test_timer_that_arms_itself_in_the_past_ends_the_run_at_some_point),
        BOTH(test_loop_may_be_stopped_from_its_own_callback),
        cmocka_unit_test(test_clock_runs_stops_and_tells_its_listeners),
        cmocka_unit_test(test_time_goes_on_where_it_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
