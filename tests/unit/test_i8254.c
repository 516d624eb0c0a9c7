/* SPDX-License-Identifier: Apache-2.0 */
/* The 8254 and port 61h, on a clock that moves by ticks of the timer. */
#include "board_parts.h"

#include "board/i8254.h"

typedef struct {
    Parts parts;
    I8254 *pit;
    unsigned rises, falls;
    uint64_t rose_at; /* ns */
} Fixture;

static void
observe(void *opaque, unsigned gsi, bool level)
{
    Fixture *f = opaque;

    assert_int_equal(gsi, 0);
    if (level) {
        f->rises++;
        f->rose_at = virtual_clock_now(f->parts.clock);
    } else {
        f->falls++;
    }
}

static const IrqSink observer = {.set = observe};

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    I8254Args args = {0};

    parts_init(&f->parts);
    args.pio = f->parts.bus.pio;
    args.irqs = f->parts.irqs;
    args.loop = f->parts.loop;
    args.clock = f->parts.clock;
    f->pit = i8254_new(&args, NULL);
    assert_non_null(f->pit);
    irq_lines_set_observer(f->parts.irqs, &observer, f);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    irq_lines_set_observer(f->parts.irqs, NULL, NULL);
    i8254_free(f->pit);
    parts_done(&f->parts);
    g_free(f);
    return 0;
}

static uint64_t
ns_of(uint64_t ticks)
{
    return (ticks * 1000000000u + I8254_HZ - 1) / I8254_HZ;
}

/* To a tick, counted from power-on. */
static void
go_to(Fixture *f, uint64_t tick)
{
    parts_step(&f->parts, ns_of(tick) - virtual_clock_now(f->parts.clock));
}

static void
program(Fixture *f, unsigned counter, uint8_t control, uint16_t count)
{
    parts_out(&f->parts, 0x43, (uint8_t)(counter << 6 | control));
    parts_out(&f->parts, (uint16_t)(0x40 + counter), (uint8_t)count);
    parts_out(&f->parts, (uint16_t)(0x40 + counter), (uint8_t)(count >> 8));
}

static unsigned
latched(Fixture *f, unsigned counter)
{
    unsigned low;

    parts_out(&f->parts, 0x43, (uint8_t)(counter << 6));
    low = parts_in(&f->parts, (uint16_t)(0x40 + counter));
    return low | (unsigned)parts_in(&f->parts, (uint16_t)(0x40 + counter)) << 8;
}

static unsigned
status(Fixture *f, unsigned counter)
{
    parts_out(&f->parts, 0x43, (uint8_t)(0xE0 | 2u << counter));
    return parts_in(&f->parts, (uint16_t)(0x40 + counter));
}

static bool
out2(Fixture *f)
{
    return (parts_in(&f->parts, 0x61) & 0x20) != 0;
}

static void
test_mode_0_raises_irq0_after_the_count(void **state)
{
    Fixture *f = *state;

    program(f, 0, 0x30, 100);
    assert_false(irq_lines_level(f->parts.irqs, 0));
    go_to(f, 100);
    assert_int_equal(f->rises, 0);
    go_to(f, 101); /* N + 1 clocks after the write */
    assert_int_equal(f->rises, 1);
    assert_int_equal(latched(f, 0), 0);
    go_to(f, 102);
    assert_int_equal(latched(f, 0), 0xFFFF); /* goes on counting */
    go_to(f, 400000);
    assert_int_equal(f->rises, 1);
    parts_out(&f->parts, 0x40, 10); /* the first byte of a new count: OUT low, stopped */
    assert_int_equal(f->falls, 1);
    go_to(f, 500000);
    assert_int_equal(f->rises, 1);
    parts_out(&f->parts, 0x40, 0);
    go_to(f, 500011);
    assert_int_equal(f->rises, 2);
}

static void
test_mode_2_is_periodic_with_one_low_clock(void **state)
{
    Fixture *f = *state;

    program(f, 0, 0x34, 1000);
    assert_true(irq_lines_level(f->parts.irqs, 0));
    f->rises = 0;
    go_to(f, 999);
    assert_true(irq_lines_level(f->parts.irqs, 0));
    go_to(f, 1000);
    assert_false(irq_lines_level(f->parts.irqs, 0));
    go_to(f, 1001);
    assert_true(irq_lines_level(f->parts.irqs, 0));
    assert_int_equal(f->rose_at, ns_of(1001));
    go_to(f, 10001);
    assert_int_equal(f->rises, 10);
}

static void
test_mode_2_counts_down_and_reloads(void **state)
{
    Fixture *f = *state;

    program(f, 0, 0x34, 1000);
    go_to(f, 1);
    assert_int_equal(latched(f, 0), 1000);
    go_to(f, 11);
    assert_int_equal(latched(f, 0), 990);
    go_to(f, 1000);
    assert_int_equal(latched(f, 0), 1);
    go_to(f, 1001);
    assert_int_equal(latched(f, 0), 1000);
}

static void
test_mode_2_takes_a_new_count_at_the_end_of_the_period(void **state)
{
    Fixture *f = *state;

    program(f, 0, 0x34, 1000);
    go_to(f, 500);
    parts_out(&f->parts, 0x40, 100);
    parts_out(&f->parts, 0x40, 0);
    assert_int_equal(status(f, 0) & 0x40, 0x40); /* null count */
    assert_int_equal(latched(f, 0), 501);
    f->rises = 0;
    go_to(f, 1001);
    assert_int_equal(f->rises, 1);
    assert_int_equal(status(f, 0) & 0x40, 0);
    go_to(f, 1101);
    assert_int_equal(f->rises, 2);
}

static void
test_mode_3_is_a_square_wave_that_counts_by_two(void **state)
{
    Fixture *f = *state;

    program(f, 0, 0x36, 100);
    go_to(f, 1);
    assert_int_equal(latched(f, 0), 100);
    go_to(f, 11);
    assert_int_equal(latched(f, 0), 80);
    go_to(f, 50);
    assert_true(irq_lines_level(f->parts.irqs, 0));
    go_to(f, 51);
    assert_false(irq_lines_level(f->parts.irqs, 0));
    assert_int_equal(latched(f, 0), 100);
    f->rises = 0;
    go_to(f, 101);
    assert_int_equal(f->rises, 1);
    go_to(f, 1001);
    assert_int_equal(f->rises, 10);
}

static void
test_mode_3_with_an_odd_count_is_high_longer(void **state)
{
    Fixture *f = *state;

    program(f, 0, 0x36, 5);
    go_to(f, 3);
    assert_true(irq_lines_level(f->parts.irqs, 0));
    go_to(f, 4);
    assert_false(irq_lines_level(f->parts.irqs, 0));
    go_to(f, 5);
    assert_false(irq_lines_level(f->parts.irqs, 0));
    go_to(f, 6);
    assert_true(irq_lines_level(f->parts.irqs, 0));
}

static void
test_mode_3_takes_a_new_count_at_the_half_period(void **state)
{
    Fixture *f = *state;

    program(f, 0, 0x36, 100);
    go_to(f, 20);
    parts_out(&f->parts, 0x40, 10);
    parts_out(&f->parts, 0x40, 0);
    go_to(f, 51); /* the high half of the old count ends, the low half of the new one begins */
    assert_false(irq_lines_level(f->parts.irqs, 0));
    f->rises = 0;
    go_to(f, 55);
    assert_int_equal(f->rises, 0);
    go_to(f, 56);
    assert_int_equal(f->rises, 1);
    go_to(f, 66);
    assert_int_equal(f->rises, 2);
}

static void
test_count_zero_is_the_largest(void **state)
{
    Fixture *f = *state;

    program(f, 0, 0x34, 0);
    f->rises = 0;
    go_to(f, 65536);
    assert_int_equal(f->rises, 0);
    go_to(f, 65537);
    assert_int_equal(f->rises, 1);
    assert_int_equal(latched(f, 0), 0);
    program(f, 0, 0x35, 0); /* BCD: 10000 */
    f->rises = 0;
    go_to(f, 65537 + 10001);
    assert_int_equal(f->rises, 1);
}

static void
test_bcd_counts_in_decimal(void **state)
{
    Fixture *f = *state;

    program(f, 0, 0x35, 0x1000);
    go_to(f, 2);
    assert_int_equal(latched(f, 0), 0x0999);
    go_to(f, 101);
    assert_int_equal(latched(f, 0), 0x0900);
}

static void
test_mode_4_strobes_once(void **state)
{
    Fixture *f = *state;

    program(f, 0, 0x38, 10);
    assert_true(irq_lines_level(f->parts.irqs, 0));
    f->rises = 0;
    go_to(f, 11);
    assert_false(irq_lines_level(f->parts.irqs, 0));
    go_to(f, 12);
    assert_int_equal(f->rises, 1);
    go_to(f, 200000);
    assert_int_equal(f->rises, 1);
}

static void
test_mode_1_waits_for_the_gate_and_can_be_retriggered(void **state)
{
    Fixture *f = *state;

    program(f, 2, 0x32, 50);
    assert_true(out2(f));
    go_to(f, 100);
    assert_true(out2(f));
    assert_int_equal(status(f, 2) & 0x40, 0x40); /* not loaded: no trigger yet */
    parts_out(&f->parts, 0x61, 0x01);
    go_to(f, 101);
    assert_false(out2(f));
    go_to(f, 130);
    parts_out(&f->parts, 0x61, 0x00);
    parts_out(&f->parts, 0x61, 0x01);
    assert_false(out2(f));
    go_to(f, 180);
    assert_false(out2(f));
    go_to(f, 181);
    assert_true(out2(f));
}

static void
test_mode_5_strobes_after_the_trigger(void **state)
{
    Fixture *f = *state;

    program(f, 2, 0x3A, 20);
    go_to(f, 100);
    assert_true(out2(f));
    parts_out(&f->parts, 0x61, 0x01);
    go_to(f, 120);
    assert_true(out2(f));
    go_to(f, 121);
    assert_false(out2(f));
    go_to(f, 122);
    assert_true(out2(f));
}

static void
test_the_gate_holds_mode_0(void **state)
{
    Fixture *f = *state;

    parts_out(&f->parts, 0x61, 0x01);
    program(f, 2, 0x30, 100);
    go_to(f, 41);
    parts_out(&f->parts, 0x61, 0x00);
    assert_int_equal(latched(f, 2), 60);
    go_to(f, 1000);
    assert_int_equal(latched(f, 2), 60);
    assert_false(out2(f));
    parts_out(&f->parts, 0x61, 0x01);
    go_to(f, 1059);
    assert_false(out2(f));
    go_to(f, 1060);
    assert_true(out2(f));
}

static void
test_the_gate_restarts_modes_2_and_3(void **state)
{
    Fixture *f = *state;

    parts_out(&f->parts, 0x61, 0x01);
    program(f, 2, 0x36, 100);
    go_to(f, 60);
    assert_false(out2(f));
    parts_out(&f->parts, 0x61, 0x00);
    assert_true(out2(f)); /* high at once */
    go_to(f, 200);
    assert_true(out2(f));
    parts_out(&f->parts, 0x61, 0x01);
    go_to(f, 201);
    assert_int_equal(latched(f, 2), 100);
    go_to(f, 251);
    assert_false(out2(f));
}

static void
test_access_modes_move_one_byte_or_two(void **state)
{
    Fixture *f = *state;

    parts_out(&f->parts, 0x43, 0x14); /* counter 0, low byte, mode 2 */
    parts_out(&f->parts, 0x40, 0x80);
    go_to(f, 1);
    assert_int_equal(parts_in(&f->parts, 0x40), 0x80);
    assert_int_equal(parts_in(&f->parts, 0x40), 0x80);
    parts_out(&f->parts, 0x43, 0x24); /* high byte */
    parts_out(&f->parts, 0x40, 0x12);
    go_to(f, 2);
    assert_int_equal(parts_in(&f->parts, 0x40), 0x12);
    parts_out(&f->parts, 0x43, 0x34); /* both: low, then high */
    parts_out(&f->parts, 0x40, 0x34);
    parts_out(&f->parts, 0x40, 0x12);
    go_to(f, 3);
    assert_int_equal(parts_in(&f->parts, 0x40), 0x34);
    assert_int_equal(parts_in(&f->parts, 0x40), 0x12);
}

static void
test_a_latch_holds_until_it_is_read(void **state)
{
    Fixture *f = *state;

    program(f, 0, 0x34, 1000);
    go_to(f, 101);
    parts_out(&f->parts, 0x43, 0x00);
    go_to(f, 201);
    parts_out(&f->parts, 0x43, 0x00); /* ignored: one is held */
    assert_int_equal(parts_in(&f->parts, 0x40), 900 & 0xFF);
    assert_int_equal(parts_in(&f->parts, 0x40), 900 >> 8);
    assert_int_equal(parts_in(&f->parts, 0x40), 800 & 0xFF);
}

static void
test_read_back_gives_status_then_count(void **state)
{
    Fixture *f = *state;

    program(f, 0, 0x34, 1000);
    go_to(f, 101);
    parts_out(&f->parts, 0x43, 0xC2); /* both, counter 0 */
    assert_int_equal(parts_in(&f->parts, 0x40), 0x80 | 0x34);
    assert_int_equal(parts_in(&f->parts, 0x40), 900 & 0xFF);
    assert_int_equal(parts_in(&f->parts, 0x40), 900 >> 8);
    program(f, 2, 0x30, 77);
    assert_int_equal(status(f, 2), 0x30); /* gate low: loaded, not counting, OUT low */
    parts_out(&f->parts, 0x43, 0xBE);
    assert_int_equal(status(f, 2), 0x3E | 0x40 | 0x80);
    assert_int_equal(parts_in(&f->parts, 0x43), 0xFF);
}

static void
test_port_61_has_gate_speaker_refresh_and_out2(void **state)
{
    Fixture *f = *state;
    uint8_t before;
    unsigned toggles = 0;

    parts_out(&f->parts, 0x61, 0xFF);
    assert_int_equal(parts_in(&f->parts, 0x61) & 0xCF, 0x0F);
    parts_out(&f->parts, 0x61, 0x00);
    assert_int_equal(parts_in(&f->parts, 0x61) & 0xCF, 0x00);
    before = parts_in(&f->parts, 0x61);
    for (unsigned i = 0; i < 100; i++) {
        parts_step(&f->parts, 15086);
        toggles += ((parts_in(&f->parts, 0x61) ^ before) & 0x10) != 0;
        before = parts_in(&f->parts, 0x61);
    }
    assert_in_range(toggles, 98, 100);
}

static void
test_a_calibration_loop_of_firmware_ends(void **state)
{
    Fixture *f = *state;
    unsigned steps = 0;

    parts_out(&f->parts, 0x61, 0x01);
    parts_out(&f->parts, 0x43, 0xB0); /* counter 2, mode 0: as Linux and SeaBIOS time the TSC */
    parts_out(&f->parts, 0x42, 0x9B);
    parts_out(&f->parts, 0x42, 0x2E);
    while (!out2(f)) {
        parts_step(&f->parts, 100000);
        steps++;
    }
    assert_int_equal(steps, 101); /* 11931 + 1 ticks: 10.0002 ms */
}

static void
test_a_late_timer_still_makes_an_edge(void **state)
{
    Fixture *f = *state;

    program(f, 0, 0x34, 1000);
    f->rises = f->falls = 0;
    virtual_clock_set(f->parts.clock, ns_of(5500)); /* five periods at once */
    loop_run_virtual_timers(f->parts.loop);
    assert_true(f->rises >= 1 && f->rises == f->falls);
    assert_true(irq_lines_level(f->parts.irqs, 0));
    go_to(f, 6001);
    assert_int_equal(f->rose_at, ns_of(6001));
}

static void
test_reset_stops_everything(void **state)
{
    Fixture *f = *state;

    program(f, 0, 0x34, 1000);
    parts_out(&f->parts, 0x61, 0x03);
    i8254_reset(f->pit);
    assert_false(irq_lines_level(f->parts.irqs, 0));
    assert_int_equal(parts_in(&f->parts, 0x61) & 0x0F, 0);
    assert_true(loop_next_virtual_deadline(f->parts.loop) == UINT64_MAX);
}

int
main(void)
{
#define PIT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        PIT_TEST(test_mode_0_raises_irq0_after_the_count),
        PIT_TEST(test_mode_2_is_periodic_with_one_low_clock),
        PIT_TEST(test_mode_2_counts_down_and_reloads),
        PIT_TEST(test_mode_2_takes_a_new_count_at_the_end_of_the_period),
        PIT_TEST(test_mode_3_is_a_square_wave_that_counts_by_two),
        PIT_TEST(test_mode_3_with_an_odd_count_is_high_longer),
        PIT_TEST(test_mode_3_takes_a_new_count_at_the_half_period),
        PIT_TEST(test_count_zero_is_the_largest),
        PIT_TEST(test_bcd_counts_in_decimal),
        PIT_TEST(test_mode_4_strobes_once),
        PIT_TEST(test_mode_1_waits_for_the_gate_and_can_be_retriggered),
        PIT_TEST(test_mode_5_strobes_after_the_trigger),
        PIT_TEST(test_the_gate_holds_mode_0),
        PIT_TEST(test_the_gate_restarts_modes_2_and_3),
        PIT_TEST(test_access_modes_move_one_byte_or_two),
        PIT_TEST(test_a_latch_holds_until_it_is_read),
        PIT_TEST(test_read_back_gives_status_then_count),
        PIT_TEST(test_port_61_has_gate_speaker_refresh_and_out2),
        PIT_TEST(test_a_calibration_loop_of_firmware_ends),
        PIT_TEST(test_a_late_timer_still_makes_an_edge),
        PIT_TEST(test_reset_stops_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
