/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/irq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

/* Writes "+5 -5 " for GSI 5 going up and down. */
typedef struct {
    GString *log;
    bool level[IRQ_GSI_COUNT];
    unsigned wrong[IRQ_GSI_COUNT]; /* reports of a level it had already */
} Recorder;

static void
record(void *opaque, unsigned gsi, bool level)
{
    Recorder *recorder = opaque;
    recorder->wrong[gsi] += recorder->level[gsi] == level;
    recorder->level[gsi] = level;
    if (recorder->log) {
        g_string_append_printf(recorder->log, "%c%u ", level ? '+' : '-', gsi);
    }
}

static const IrqSink recording_sink = {record};

typedef struct {
    IrqLines *lines;
    Recorder sink;
} Fixture;

static int
setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->lines = irq_lines_new();
    fixture->sink.log = g_string_new(NULL);
    irq_lines_set_sink(fixture->lines, &recording_sink, &fixture->sink);
    *state = fixture;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *fixture = *state;
    irq_lines_free(fixture->lines);
    if (fixture->sink.log) {
        (void)g_string_free(fixture->sink.log, TRUE);
    }
    g_free(fixture);
    return 0;
}

static void
test_line_is_high_while_any_source_is(void **state)
{
    Fixture *fixture = *state;
    IrqSource *a = irq_source_new(fixture->lines, 11);
    IrqSource *b = irq_source_new(fixture->lines, 11);
    irq_source_set(a, true);
    irq_source_set(b, true);
    irq_source_set(a, true);
    assert_true(irq_lines_level(fixture->lines, 11));
    irq_source_set(a, false);
    assert_true(irq_lines_level(fixture->lines, 11));
    assert_false(irq_source_level(a));
    irq_source_set(b, false);
    assert_false(irq_lines_level(fixture->lines, 11));
    assert_string_equal(fixture->sink.log->str, "+11 -11 ");
    irq_source_free(a);
    irq_source_free(b);
}

static void
test_moving_a_high_source_lowers_the_old_line_and_raises_the_new(void **state)
{
    Fixture *fixture = *state;
    IrqSource *moving = irq_source_new(fixture->lines, 10);
    IrqSource *staying = irq_source_new(fixture->lines, 5);
    irq_source_move(moving, 9); /* low: nobody hears of it */
    irq_source_set(moving, true);
    irq_source_move(moving, 9);
    irq_source_move(moving, 5);
    irq_source_set(staying, true);
    irq_source_move(moving, 10); /* 5 stays high: the other source */
    irq_source_set(moving, false);
    assert_string_equal(fixture->sink.log->str, "+9 -9 +5 +10 -10 ");
    irq_source_free(moving);
    irq_source_free(staying);
    assert_string_equal(fixture->sink.log->str, "+9 -9 +5 +10 -10 -5 ");
}

static void
test_observer_hears_what_the_sink_hears_while_it_is_set(void **state)
{
    Fixture *fixture = *state;
    Recorder observer = {.log = g_string_new(NULL)};
    IrqSource *source = irq_source_new(fixture->lines, 3);
    irq_source_set(source, true);
    irq_lines_set_observer(fixture->lines, &recording_sink, &observer);
    irq_source_set(source, false);
    irq_source_set(source, true);
    irq_lines_set_observer(fixture->lines, NULL, NULL);
    irq_source_set(source, false);
    assert_string_equal(fixture->sink.log->str, "+3 -3 +3 -3 ");
    assert_string_equal(observer.log->str, "-3 +3 ");
    irq_source_free(source);
    (void)g_string_free(observer.log, TRUE);
}

typedef struct {
    IrqLines *lines;
    IrqSource *source;
    unsigned calls;
    bool remove;
} Listener;

static void
on_eoi(void *opaque)
{
    Listener *listener = opaque;
    listener->calls++;
    irq_source_set(listener->source, false);
    if (listener->remove) {
        irq_lines_remove_eoi(listener->lines, 11, on_eoi, listener);
    }
}

static void
test_end_of_interrupt_reaches_every_listener_of_its_line(void **state)
{
    Fixture *fixture = *state;
    Listener a = {fixture->lines, irq_source_new(fixture->lines, 11), 0, false};
    Listener b = {fixture->lines, irq_source_new(fixture->lines, 11), 0, true};
    irq_lines_add_eoi(fixture->lines, 11, on_eoi, &a);
    irq_lines_add_eoi(fixture->lines, 11, on_eoi, &b);
    irq_source_set(a.source, true);
    irq_lines_eoi(fixture->lines, 10);
    assert_int_equal(a.calls, 0);
    irq_lines_eoi(fixture->lines, 11);
    assert_int_equal(a.calls, 1);
    assert_int_equal(b.calls, 1);
    assert_false(irq_lines_level(fixture->lines, 11));
    irq_lines_eoi(fixture->lines, 11);
    assert_int_equal(a.calls, 2);
    assert_int_equal(b.calls, 1); /* it had removed itself */
    irq_lines_remove_eoi(fixture->lines, 11, on_eoi, &a);
    irq_lines_eoi(fixture->lines, 11);
    assert_int_equal(a.calls, 2);
    irq_source_free(a.source);
    irq_source_free(b.source);
}

static void *
toggle_and_move(void *opaque)
{
    IrqSource *source = opaque;
    for (unsigned i = 0; i < 3000; i++) {
        irq_source_set(source, i % 2);
        irq_source_move(source, 9 + i % 3);
    }
    return NULL;
}

static void *
toggle(void *opaque)
{
    IrqSource *source = opaque;
    for (unsigned i = 0; i < 3000; i++) {
        irq_source_set(source, i % 2);
    }
    return NULL;
}

static void
test_concurrent_sources_leave_every_line_consistent(void **state)
{
    Fixture *fixture = *state;
    IrqSource *sources[3];
    pthread_t threads[4];
    (void)g_string_free(g_steal_pointer(&fixture->sink.log), TRUE);
    for (unsigned i = 0; i < 3; i++) {
        sources[i] = irq_source_new(fixture->lines, 9);
        assert_int_equal(pthread_create(&threads[i], NULL, toggle_and_move, sources[i]), 0);
    }
    assert_int_equal(pthread_create(&threads[3], NULL, toggle, sources[0]), 0);
    for (unsigned i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    for (unsigned i = 0; i < 3; i++) {
        irq_source_free(sources[i]);
    }
    for (unsigned gsi = 0; gsi < IRQ_GSI_COUNT; gsi++) {
        assert_false(irq_lines_level(fixture->lines, gsi));
        assert_false(fixture->sink.level[gsi]);
        assert_int_equal(fixture->sink.wrong[gsi], 0);
    }
}

static void *
end_interrupts(void *opaque)
{
    IrqLines *lines = opaque;
    for (unsigned i = 0; i < 3000; i++) {
        irq_lines_eoi(lines, 11);
    }
    return NULL;
}

static void
count_eoi(void *opaque)
{
    (void)__atomic_fetch_add((unsigned *)opaque, 1, __ATOMIC_RELAXED);
}

static void
test_removed_listener_is_not_called_any_more(void **state)
{
    Fixture *fixture = *state;
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, end_interrupts, fixture->lines), 0);
    }
    for (unsigned i = 0; i < 300; i++) {
        unsigned *memory = g_new0(unsigned, 1);
        irq_lines_add_eoi(fixture->lines, 11, count_eoi, memory);
        if (i % 2) {
            g_usleep(i % 13);
        }
        irq_lines_remove_eoi(fixture->lines, 11, count_eoi, memory);
        g_free(memory); /* a late call would write here */
    }
    for (unsigned i = 0; i < 2; i++) {
        (void)pthread_join(threads[i], NULL);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_line_is_high_while_any_source_is),
        TEST(test_moving_a_high_source_lowers_the_old_line_and_raises_the_new),
        TEST(test_observer_hears_what_the_sink_hears_while_it_is_set),
        TEST(test_end_of_interrupt_reaches_every_listener_of_its_line),
        TEST(test_concurrent_sources_leave_every_line_consistent),
        TEST(test_removed_listener_is_not_called_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
