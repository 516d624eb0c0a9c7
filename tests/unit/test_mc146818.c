/* SPDX-License-Identifier: Apache-2.0 */
/* The real-time clock, driven by its ports on a clock that moves only by command. */
#include "board_parts.h"

#include "board/mc146818.h"

#define SECOND   UINT64_C(1000000000)
#define UIP_NS   UINT64_C(244140)
#define RTC_IRQ  8
#define YEAR     INT64_C(31556952)
#define CLOCK_HZ UINT64_C(32768)

enum {
    SEC = 0,
    SEC_ALARM = 1,
    MIN_ = 2,
    MIN_ALARM = 3,
    HOUR = 4,
    HOUR_ALARM = 5,
    WEEKDAY = 6,
    DAY = 7,
    MONTH = 8,
    YEAR_ = 9,
    A = 0x0A,
    B = 0x0B,
    C = 0x0C,
    D = 0x0D,
    CENTURY = 0x32,
    ANY = 0xC0,
    HALT = 0x76,
    RUN = 0x26,
};

enum {
    UIP = 0x80,
    SET = 0x80,
    PIE = 0x40,
    AIE = 0x20,
    UIE = 0x10,
    SQWE = 0x08,
    DM = 0x04,
    H24 = 0x02,
    DSE = 0x01,
    IRQF = 0x80,
    PF = 0x40,
    AF = 0x20,
    UF = 0x10,
};

typedef struct {
    Parts parts;
    Mc146818 *rtc;
} Fixture;

static void
start_at(Fixture *f, ClockSource source, int64_t base_s)
{
    parts_init(&f->parts);
    Mc146818Args args = {.pio = f->parts.bus.pio,
                         .irqs = f->parts.irqs,
                         .loop = f->parts.loop,
                         .clock = f->parts.clock,
                         .source = source,
                         .base_s = base_s};
    f->rtc = mc146818_new(&args, NULL);
    assert_non_null(f->rtc);
    mc146818_reset(f->rtc);
}

static int
setup(void **state)
{
    static Fixture fixture;

    start_at(&fixture, CLOCK_SOURCE_VIRTUAL, 0);
    *state = &fixture;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    mc146818_free(f->rtc);
    parts_done(&f->parts);
    return 0;
}

static uint8_t
get(Fixture *f, uint8_t cell)
{
    parts_out(&f->parts, 0x70, cell);
    return parts_in(&f->parts, 0x71);
}

static void
put(Fixture *f, uint8_t cell, uint8_t value)
{
    parts_out(&f->parts, 0x70, cell);
    parts_out(&f->parts, 0x71, value);
}

static bool
irq(Fixture *f)
{
    return irq_lines_level(f->parts.irqs, RTC_IRQ);
}

static void
put_time(Fixture *f, uint8_t h, uint8_t m, uint8_t s)
{
    put(f, HOUR, h);
    put(f, MIN_, m);
    put(f, SEC, s);
}

static void
put_date(Fixture *f, uint8_t century, uint8_t year, uint8_t month, uint8_t day)
{
    put(f, CENTURY, century);
    put(f, YEAR_, year);
    put(f, MONTH, month);
    put(f, DAY, day);
}

/* Halted divider, so that the first update comes half a second after this. */
static void
set_clock(Fixture *f, uint8_t mode, uint8_t h, uint8_t m, uint8_t s)
{
    put(f, B, mode);
    put(f, A, HALT);
    put_time(f, h, m, s);
    put(f, A, RUN);
}

static void
expect_time(Fixture *f, uint8_t h, uint8_t m, uint8_t s)
{
    assert_int_equal(get(f, HOUR), h);
    assert_int_equal(get(f, MIN_), m);
    assert_int_equal(get(f, SEC), s);
}

static void
expect_date(Fixture *f, uint8_t century, uint8_t year, uint8_t month, uint8_t day)
{
    assert_int_equal(get(f, CENTURY), century);
    assert_int_equal(get(f, YEAR_), year);
    assert_int_equal(get(f, MONTH), month);
    assert_int_equal(get(f, DAY), day);
}

static void
test_power_on_values_are_those_of_a_pc(void **state)
{
    Fixture *f = *state;

    assert_int_equal(get(f, A), 0x26);
    assert_int_equal(get(f, B), H24);
    assert_int_equal(get(f, C), 0);
    assert_int_equal(get(f, D), 0x80);
    expect_date(f, 0x19, 0x70, 0x01, 0x01);
    expect_time(f, 0, 0, 0);
    assert_int_equal(get(f, WEEKDAY), 5); /* a Thursday */
}

static void
test_idle_clock_arms_no_timer(void **state)
{
    Fixture *f = *state;

    parts_step(&f->parts, 10 * SECOND);
    (void)get(f, SEC);
    (void)get(f, A);
    (void)get(f, C);
    assert_int_equal(loop_next_virtual_deadline(f->parts.loop), UINT64_MAX);
    put(f, B, H24 | UIE);
    assert_int_not_equal(loop_next_virtual_deadline(f->parts.loop), UINT64_MAX);
    parts_step(&f->parts, SECOND);
    assert_true(irq(f));
    /* Pending: nothing to wait for until register C is read. */
    assert_int_equal(loop_next_virtual_deadline(f->parts.loop), UINT64_MAX);
}

static void
test_time_follows_the_virtual_clock(void **state)
{
    Fixture *f = *state;

    parts_step(&f->parts, 59 * SECOND + SECOND / 2);
    expect_time(f, 0, 0, 0x59);
    parts_step(&f->parts, SECOND / 2);
    expect_time(f, 0, 0x01, 0);
    parts_step(&f->parts, 86400 * SECOND);
    expect_date(f, 0x19, 0x70, 0x01, 0x02);
    assert_int_equal(get(f, WEEKDAY), 6);
}

static void
test_wall_clock_source_shows_the_hosts_time(void **state)
{
    Fixture f;
    int64_t before, after;
    GDateTime *shown;
    (void)state;

    start_at(&f, CLOCK_SOURCE_WALL, 12345);
    put(&f, B, H24 | DM);
    do { /* the second may change between the reads */
        before = g_get_real_time() / G_USEC_PER_SEC;
        shown = g_date_time_new_utc(get(&f, CENTURY) * 100 + get(&f, YEAR_), get(&f, MONTH),
                                    get(&f, DAY), get(&f, HOUR), get(&f, MIN_), get(&f, SEC));
        after = g_get_real_time() / G_USEC_PER_SEC;
        if (before == after) {
            assert_int_equal(g_date_time_to_unix(shown), before);
        }
        g_date_time_unref(shown);
    } while (before != after);
    mc146818_free(f.rtc);
    parts_done(&f.parts);
}

static void
test_12_hour_bcd_counts_through_noon_and_midnight(void **state)
{
    Fixture *f = *state;

    set_clock(f, 0, 0x81, 0x59, 0x00);
    parts_step(&f->parts, SECOND);
    expect_time(f, 0x81, 0x59, 0x01);
    parts_step(&f->parts, 59 * SECOND);
    expect_time(f, 0x82, 0x00, 0x00);
    set_clock(f, 0, 0x09, 0x59, 0x59);
    parts_step(&f->parts, 60 * SECOND);
    expect_time(f, 0x10, 0x00, 0x59);
    set_clock(f, 0, 0x12, 0x59, 0x59); /* 12 AM -> 1 AM */
    parts_step(&f->parts, SECOND);
    expect_time(f, 0x01, 0x00, 0x00);
    set_clock(f, 0, 0x92, 0x59, 0x59); /* 12 PM -> 1 PM */
    parts_step(&f->parts, SECOND);
    expect_time(f, 0x81, 0x00, 0x00);
    set_clock(f, 0, 0x11, 0x59, 0x59); /* 11 AM -> 12 PM */
    parts_step(&f->parts, SECOND);
    expect_time(f, 0x92, 0x00, 0x00);
    set_clock(f, 0, 0x91, 0x59, 0x59); /* 11 PM -> 12 AM, the next day */
    put_date(f, 0x20, 0x24, 0x02, 0x28);
    parts_step(&f->parts, SECOND);
    expect_time(f, 0x12, 0x00, 0x00);
    expect_date(f, 0x20, 0x24, 0x02, 0x29);
}

static void
test_12_hour_binary_has_the_pm_bit(void **state)
{
    Fixture *f = *state;

    set_clock(f, DM, 0x8B, 59, 59); /* 11 PM */
    parts_step(&f->parts, SECOND);
    expect_time(f, 12, 0, 0);
    set_clock(f, DM, 0x0B, 59, 59);
    parts_step(&f->parts, SECOND);
    expect_time(f, 0x8C, 0, 0);
    set_clock(f, DM, 0x8C, 59, 59);
    parts_step(&f->parts, SECOND);
    expect_time(f, 0x81, 0, 0);
}

static void
test_24_hour_modes_count_past_midnight(void **state)
{
    Fixture *f = *state;

    set_clock(f, H24, 0x09, 0x59, 0x59);
    parts_step(&f->parts, SECOND);
    expect_time(f, 0x10, 0x00, 0x00);
    set_clock(f, H24, 0x23, 0x59, 0x00);
    parts_step(&f->parts, 60 * SECOND);
    expect_time(f, 0x00, 0x00, 0x00);
    set_clock(f, H24 | DM, 23, 59, 0);
    parts_step(&f->parts, 60 * SECOND);
    expect_time(f, 0, 0, 0);
}

static void
test_mode_change_shows_the_same_time_in_the_new_format(void **state)
{
    Fixture *f = *state;

    set_clock(f, H24, 0x21, 0x34, 0x56);
    put(f, B, H24 | DM);
    expect_time(f, 21, 34, 56);
    put(f, B, DM);
    expect_time(f, 0x89, 34, 56);
    put(f, B, 0);
    expect_time(f, 0x89, 0x34, 0x56);
}

static void
test_years_from_1980_to_2099_hold(void **state)
{
    static const uint8_t years[][2] = {{0x19, 0x80}, {0x19, 0x99}, {0x20, 0x00}, {0x20, 0x11},
                                       {0x20, 0x38}, {0x20, 0x80}, {0x20, 0x99}};
    Fixture *f = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(years); i++) {
        put(f, B, H24);
        put(f, A, HALT);
        put_date(f, years[i][0], years[i][1], 0x02, 0x02);
        put_time(f, 0x02, 0x04, 0x58);
        put(f, A, RUN);
        expect_date(f, years[i][0], years[i][1], 0x02, 0x02);
        expect_time(f, 0x02, 0x04, 0x58);
        parts_step(&f->parts, 2 * SECOND);
        expect_time(f, 0x02, 0x05, 0x00);
        expect_date(f, years[i][0], years[i][1], 0x02, 0x02);
    }
}

static void
expect_rollover(Fixture *f, const uint8_t from[4], const uint8_t to[4])
{
    put(f, B, H24);
    put(f, A, HALT);
    put_date(f, from[0], from[1], from[2], from[3]);
    put_time(f, 0x23, 0x59, 0x59);
    put(f, A, RUN);
    parts_step(&f->parts, SECOND);
    expect_time(f, 0, 0, 0);
    expect_date(f, to[0], to[1], to[2], to[3]);
}

static void
test_calendar_rolls_over_months_leap_years_and_centuries(void **state)
{
    static const uint8_t cases[][2][4] = {
        {{0x19, 0x99, 0x12, 0x31}, {0x20, 0x00, 0x01, 0x01}},
        {{0x20, 0x00, 0x02, 0x28}, {0x20, 0x00, 0x02, 0x29}}, /* divisible by 400: leap */
        {{0x21, 0x00, 0x02, 0x28}, {0x21, 0x00, 0x03, 0x01}}, /* by 100: not */
        {{0x20, 0x23, 0x02, 0x28}, {0x20, 0x23, 0x03, 0x01}},
        {{0x20, 0x24, 0x02, 0x29}, {0x20, 0x24, 0x03, 0x01}},
        {{0x20, 0x24, 0x04, 0x30}, {0x20, 0x24, 0x05, 0x01}},
        {{0x99, 0x99, 0x12, 0x31}, {0x00, 0x00, 0x01, 0x01}},
    };
    Fixture *f = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        expect_rollover(f, cases[i][0], cases[i][1]);
    }
}

static void
test_day_of_week_is_a_counter_of_its_own(void **state)
{
    Fixture *f = *state;

    put_date(f, 0x20, 0x24, 0x01, 0x01); /* a Monday */
    put(f, WEEKDAY, 7);                  /* the guest says Saturday */
    parts_step(&f->parts, 86400 * SECOND);
    assert_int_equal(get(f, WEEKDAY), 1);
    parts_step(&f->parts, 6 * 86400 * SECOND);
    assert_int_equal(get(f, WEEKDAY), 7);
}

static void
test_fields_written_one_by_one_in_a_running_clock_survive_impossible_dates(void **state)
{
    Fixture *f = *state;

    put_date(f, 0x20, 0x24, 0x02, 0x10);
    put(f, DAY, 0x31); /* 31 February for a moment */
    put(f, MONTH, 0x03);
    expect_date(f, 0x20, 0x24, 0x03, 0x31);
    parts_step(&f->parts, 86400 * SECOND);
    expect_date(f, 0x20, 0x24, 0x04, 0x01);
}

static void
test_set_bit_freezes_and_registers_keep_what_is_written(void **state)
{
    Fixture *f = *state;

    put(f, B, H24 | SET | UIE);
    assert_int_equal(get(f, B), H24 | SET); /* SET clears UIE */
    put_date(f, 0x20, 0x11, 0x02, 0x02);
    put_time(f, 0x02, 0x04, 0x58);
    put(f, WEEKDAY, 0x04);
    (void)get(f, C);
    parts_step(&f->parts, 5 * SECOND);
    expect_time(f, 0x02, 0x04, 0x58);
    expect_date(f, 0x20, 0x11, 0x02, 0x02);
    assert_int_equal(get(f, A) & UIP, 0);
    assert_int_equal(get(f, C) & (UF | AF), 0);
    put(f, B, H24);
    expect_time(f, 0x02, 0x04, 0x58);
    parts_step(&f->parts, SECOND);
    expect_time(f, 0x02, 0x04, 0x59);
    assert_int_equal(get(f, WEEKDAY), 4);
}

static void
test_set_bit_keeps_the_phase_of_the_divider(void **state)
{
    Fixture *f = *state;

    parts_step(&f->parts, SECOND / 4);
    put(f, B, H24 | SET);
    put_time(f, 0x10, 0x00, 0x00);
    parts_step(&f->parts, SECOND);
    put(f, B, H24);
    parts_step(&f->parts, 3 * SECOND / 4 - 1);
    expect_time(f, 0x10, 0x00, 0x00);
    parts_step(&f->parts, 1);
    expect_time(f, 0x10, 0x00, 0x01);
}

static void
test_divider_reset_holds_and_first_update_comes_after_half_a_second(void **state)
{
    Fixture *f = *state;

    parts_step(&f->parts, SECOND / 3);
    put(f, B, H24);
    put(f, A, HALT);
    put_date(f, 0x20, 0x11, 0x02, 0x02);
    put_time(f, 0x02, 0x04, 0x58);
    parts_step(&f->parts, SECOND);
    expect_time(f, 0x02, 0x04, 0x58);
    put(f, A, RUN);
    parts_step(&f->parts, SECOND / 2 - UIP_NS - 1);
    assert_int_equal(get(f, A) & UIP, 0);
    expect_time(f, 0x02, 0x04, 0x58);
    parts_step(&f->parts, 1);
    assert_int_equal(get(f, A) & UIP, UIP);
    parts_step(&f->parts, UIP_NS - 1);
    assert_int_equal(get(f, A) & UIP, UIP);
    expect_time(f, 0x02, 0x04, 0x58);
    parts_step(&f->parts, 1);
    assert_int_equal(get(f, A) & UIP, 0);
    expect_time(f, 0x02, 0x04, 0x59);
}

static void
test_uip_does_not_stick_when_the_alarm_moves(void **state)
{
    Fixture *f = *state;

    set_clock(f, H24, 0x02, 0x04, 0x58);
    (void)get(f, C);
    parts_step(&f->parts, SECOND / 2);
    assert_int_equal(get(f, A) & UIP, 0);
    put(f, HOUR_ALARM, 0x02);
    put(f, MIN_ALARM, ANY);
    put(f, SEC_ALARM, ANY);
    parts_step(&f->parts, SECOND - UIP_NS / 2);
    assert_int_equal(get(f, A) & UIP, UIP);
    put(f, HOUR_ALARM, 0x03);
    parts_step(&f->parts, UIP_NS);
    assert_int_equal(get(f, A) & UIP, 0);
}

static void
test_update_ended_interrupt_comes_every_second(void **state)
{
    Fixture *f = *state;

    put(f, B, H24 | UIE);
    for (unsigned i = 0; i < 5; i++) {
        assert_false(irq(f));
        parts_step(&f->parts, SECOND - 1);
        assert_false(irq(f));
        parts_step(&f->parts, 1);
        assert_true(irq(f));
        assert_int_equal(get(f, C) & (IRQF | UF | AF), IRQF | UF);
        assert_int_equal(get(f, C), 0);
    }
}

static void
test_flags_are_set_without_interrupts_enabled(void **state)
{
    Fixture *f = *state;

    (void)get(f, C);
    parts_step(&f->parts, SECOND);
    assert_false(irq(f));
    /* Every alarm byte is 0 at power-on: 00:00:00 did not come. */
    assert_int_equal(get(f, C), UF | PF);
    assert_int_equal(get(f, C), 0);
}

static void
test_enabling_an_interrupt_whose_flag_is_set_raises_it_at_once(void **state)
{
    Fixture *f = *state;

    parts_step(&f->parts, SECOND);
    put(f, B, H24 | UIE);
    assert_true(irq(f));
    put(f, B, H24);
    assert_false(irq(f));
    assert_int_equal(get(f, C), UF | PF); /* IRQF followed */
}

static void
test_alarm_fires_at_its_second_and_again_after_a_day(void **state)
{
    Fixture *f = *state;

    put(f, HOUR_ALARM, 0x01);
    put(f, MIN_ALARM, 0x02);
    put(f, SEC_ALARM, 0x03);
    put(f, B, H24 | AIE);
    parts_step(&f->parts, 3723 * SECOND - 1);
    assert_false(irq(f));
    parts_step(&f->parts, 1);
    assert_true(irq(f));
    assert_int_equal(get(f, C), IRQF | AF | UF | PF);
    assert_int_equal(get(f, C), 0);
    parts_step(&f->parts, 86400 * SECOND - 1);
    assert_false(irq(f));
    parts_step(&f->parts, 1);
    assert_true(irq(f));
}

static void
test_alarm_takes_one_wake_up_however_far_it_is(void **state)
{
    Fixture *f = *state;

    put(f, HOUR_ALARM, 0x23);
    put(f, MIN_ALARM, 0x59);
    put(f, SEC_ALARM, 0x59);
    put(f, B, H24 | AIE);
    assert_true(parts_step_to_timer(&f->parts));
    assert_int_equal(virtual_clock_now(f->parts.clock), 86399 * SECOND);
    assert_true(irq(f));
}

/* Counts alarms until `span` has passed. */
static unsigned
count_alarms(Fixture *f, uint64_t span_s)
{
    unsigned count = 0;

    (void)get(f, C);
    for (uint64_t i = 0; i < span_s; i++) {
        parts_step(&f->parts, SECOND);
        if (irq(f)) {
            assert_int_equal(get(f, C) & AF, AF);
            assert_false(irq(f));
            count++;
        }
    }
    return count;
}

static void
test_alarm_bytes_from_c0_to_ff_match_anything(void **state)
{
    Fixture *f = *state;

    put(f, B, H24 | AIE);
    put(f, HOUR_ALARM, 0xC0);
    put(f, MIN_ALARM, 0xFF);
    put(f, SEC_ALARM, 0xE5);
    assert_int_equal(count_alarms(f, 10), 10);
    put(f, SEC_ALARM, 0x30);
    assert_int_equal(count_alarms(f, 600), 10);
    put(f, MIN_ALARM, 0x30);
    assert_int_equal(count_alarms(f, 7200), 2);
}

static void
test_alarm_bytes_that_no_time_shows_never_match(void **state)
{
    Fixture *f = *state;

    put(f, B, H24 | AIE);
    put(f, HOUR_ALARM, 0xC0);
    put(f, MIN_ALARM, 0xC0);
    put(f, SEC_ALARM, 0x3A); /* no BCD number */
    assert_int_equal(loop_next_virtual_deadline(f->parts.loop), UINT64_MAX);
    put(f, SEC_ALARM, 0x60);
    assert_int_equal(loop_next_virtual_deadline(f->parts.loop), UINT64_MAX);
    assert_int_equal(count_alarms(f, 120), 0);
}

static uint8_t
bcd(unsigned value)
{
    return (uint8_t)(value / 10 << 4 | value % 10);
}

/* The timer stands at the very second that a search through the day finds. */
static void
test_alarm_is_found_wherever_it_is(void **state)
{
    Fixture *f = *state;
    g_autoptr(GRand) rand = g_rand_new_with_seed(8);

    for (unsigned round = 0; round < 2000; round++) {
        unsigned now = (unsigned)g_rand_int_range(rand, 0, 86400), wait = 1;
        int alarm[3];
        for (unsigned i = 0; i < 3; i++) {
            alarm[i] = g_rand_boolean(rand) ? -1 : g_rand_int_range(rand, 0, i == 0 ? 24 : 60);
        }
        put(f, B, H24);
        put(f, HOUR_ALARM, alarm[0] < 0 ? ANY : bcd((unsigned)alarm[0]));
        put(f, MIN_ALARM, alarm[1] < 0 ? ANY : bcd((unsigned)alarm[1]));
        put(f, SEC_ALARM, alarm[2] < 0 ? ANY : bcd((unsigned)alarm[2]));
        put_time(f, bcd(now / 3600), bcd(now / 60 % 60), bcd(now % 60));
        (void)get(f, C);
        put(f, B, H24 | AIE);
        for (; wait <= 86400; wait++) {
            unsigned t = (now + wait) % 86400;
            const int shown[3] = {(int)(t / 3600), (int)(t / 60 % 60), (int)(t % 60)};
            if ((alarm[0] < 0 || alarm[0] == shown[0]) && (alarm[1] < 0 || alarm[1] == shown[1]) &&
                (alarm[2] < 0 || alarm[2] == shown[2])) {
                break;
            }
        }
        assert_int_equal(loop_next_virtual_deadline(f->parts.loop), wait * SECOND);
    }
}

static void
test_alarm_tells_morning_from_evening(void **state)
{
    static const struct {
        uint8_t mode, alarm_hour, hour;
        bool fires;
    } cases[] = {
        {0, 0x82, 0x81, true},    {DM, 0x82, 0x81, true},
        {0, 0x82, 0x01, false},   {DM, 0x82, 0x01, false},
        {0, 0x12, 0x91, true}, /* midnight */
        {0, 0x92, 0x11, true},    /* noon */ {H24, 0x14, 0x13, true},
        {H24 | DM, 14, 13, true}, {H24 | DM, 0x14, 13, false},
    };
    Fixture *f = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        put(f, MIN_ALARM, ANY);
        put(f, SEC_ALARM, ANY);
        put(f, HOUR_ALARM, cases[i].alarm_hour);
        set_clock(f, cases[i].mode, cases[i].hour, (cases[i].mode & DM) != 0 ? 59 : 0x59, 0);
        (void)get(f, C);
        parts_step(&f->parts, 60 * SECOND);
        assert_int_equal((get(f, C) & AF) != 0, cases[i].fires);
    }
}

static void
test_alarm_follows_a_time_set_later(void **state)
{
    Fixture *f = *state;

    put(f, HOUR_ALARM, 0x12);
    put(f, MIN_ALARM, 0x00);
    put(f, SEC_ALARM, 0x00);
    put(f, B, H24 | AIE);
    put_time(f, 0x11, 0x59, 0x59);
    parts_step(&f->parts, SECOND);
    assert_true(irq(f));
}

static uint64_t
wait_for_irq(Fixture *f)
{
    while (!irq(f)) {
        assert_true(parts_step_to_timer(&f->parts));
    }
    assert_int_equal(get(f, C) & PF, PF);
    return virtual_clock_now(f->parts.clock);
}

static void
test_periodic_interrupt_runs_at_each_rate(void **state)
{
    /* Crystal clocks by RS; 1 and 2 repeat 8 and 9 with a crystal of 32768 Hz. */
    static const uint64_t clocks[16] = {0,   128, 256, 4,    8,    16,   32,   64,
                                        128, 256, 512, 1024, 2048, 4096, 8192, 16384};
    Fixture *f = *state;

    for (uint8_t rs = 1; rs < 16; rs++) {
        uint64_t start, end;
        put(f, B, H24);
        put(f, A, 0x20 | rs);
        (void)get(f, C);
        put(f, B, H24 | PIE);
        start = wait_for_irq(f);
        for (unsigned i = 0; i < 100; i++) {
            end = wait_for_irq(f);
        }
        assert_in_range(end - start, 100 * clocks[rs] * SECOND / CLOCK_HZ - 1,
                        100 * clocks[rs] * SECOND / CLOCK_HZ + 1);
    }
}

static void
test_rate_zero_stops_the_periodic_interrupt(void **state)
{
    Fixture *f = *state;

    put(f, A, 0x20);
    put(f, B, H24 | PIE);
    assert_int_equal(loop_next_virtual_deadline(f->parts.loop), UINT64_MAX);
    (void)get(f, C);
    parts_step(&f->parts, SECOND);
    assert_int_equal(get(f, C) & PF, 0);
}

static void
test_changing_the_rate_counts_from_the_last_tick(void **state)
{
    Fixture *f = *state;
    uint64_t start, now = 0;

    /* DV 000: software that only sets a rate finds the clock going. */
    put(f, A, 13);
    put(f, B, H24 | PIE);
    start = wait_for_irq(f);
    for (unsigned i = 0; i < 50; i++) {
        put(f, A, 15);
        now = wait_for_irq(f);
        put(f, A, 13);
        now = wait_for_irq(f);
    }
    assert_in_range(now - start, 50 * SECOND * 5 / 8 - 2, 50 * SECOND * 5 / 8 + 2);
}

static void
test_periodic_interrupt_goes_on_while_set_holds_the_time(void **state)
{
    Fixture *f = *state;

    put(f, A, 0x2F);
    put(f, B, H24 | SET | PIE);
    (void)get(f, C);
    assert_int_equal(wait_for_irq(f), SECOND / 2);
    put(f, A, 0x7F); /* but not while the divider is held */
    assert_int_equal(loop_next_virtual_deadline(f->parts.loop), UINT64_MAX);
}

static void
test_daylight_saving_changes_twice_a_year(void **state)
{
    Fixture *f = *state;

    put(f, B, H24 | DSE);
    put_date(f, 0x20, 0x24, 0x04, 0x28); /* last Sunday of April */
    put_time(f, 0x01, 0x59, 0x59);
    parts_step(&f->parts, SECOND);
    expect_time(f, 0x03, 0x00, 0x00);
    put_date(f, 0x20, 0x24, 0x10, 0x27);
    put_time(f, 0x01, 0x59, 0x59);
    parts_step(&f->parts, SECOND);
    expect_time(f, 0x01, 0x00, 0x00);
    parts_step(&f->parts, 3600 * SECOND); /* only once */
    expect_time(f, 0x02, 0x00, 0x00);
    put_date(f, 0x20, 0x24, 0x04, 0x21); /* another Sunday */
    put_time(f, 0x01, 0x59, 0x59);
    parts_step(&f->parts, SECOND);
    expect_time(f, 0x02, 0x00, 0x00);
    put(f, B, H24);
    put_date(f, 0x20, 0x24, 0x04, 0x28);
    put_time(f, 0x01, 0x59, 0x59);
    parts_step(&f->parts, SECOND);
    expect_time(f, 0x02, 0x00, 0x00);
}

static void
test_daylight_saving_moves_the_alarm_with_it(void **state)
{
    Fixture *f = *state;

    put_date(f, 0x20, 0x24, 0x04, 0x28);
    put_time(f, 0x01, 0x00, 0x00);
    put(f, HOUR_ALARM, 0x03);
    put(f, MIN_ALARM, 0x00);
    put(f, SEC_ALARM, 0x00);
    (void)get(f, C);
    put(f, B, H24 | DSE | AIE);
    parts_step(&f->parts, 3600 * SECOND - 1);
    assert_false(irq(f));
    parts_step(&f->parts, 1);
    assert_true(irq(f));
}

static void
test_daylight_saving_over_a_century_asleep_ends(void **state)
{
    Fixture *f = *state;

    put(f, B, H24 | DSE);
    parts_step(&f->parts, 100 * (uint64_t)YEAR * SECOND);
    /* 1 January is winter again. */
    assert_int_equal(get(f, CENTURY), 0x20);
    assert_int_equal(get(f, YEAR_), 0x69);
}

static void
test_reset_clears_interrupts_but_not_time_or_memory(void **state)
{
    Fixture *f = *state;

    put(f, B, H24 | PIE | AIE | UIE | SQWE);
    put(f, 0x40, 0x5A);
    put_time(f, 0x12, 0x34, 0x56);
    parts_step(&f->parts, SECOND);
    assert_true(irq(f));
    mc146818_reset(f->rtc);
    assert_false(irq(f));
    assert_int_equal(get(f, B), H24);
    assert_int_equal(get(f, C), 0);
    assert_int_equal(get(f, 0x40), 0x5A);
    expect_time(f, 0x12, 0x34, 0x57);
}

static void
test_memory_cells_and_second_bank_are_ram(void **state)
{
    Fixture *f = *state;

    for (unsigned cell = 0x0E; cell < 0x80; cell++) {
        if (cell != CENTURY) {
            put(f, (uint8_t)cell, (uint8_t)(cell * 7));
        }
    }
    for (unsigned cell = 0; cell < 0x80; cell++) {
        parts_out(&f->parts, 0x72, (uint8_t)cell);
        parts_out(&f->parts, 0x73, (uint8_t)~cell);
    }
    for (unsigned cell = 0x0E; cell < 0x80; cell++) {
        if (cell != CENTURY) {
            assert_int_equal(get(f, (uint8_t)cell), (uint8_t)(cell * 7));
        }
    }
    for (unsigned cell = 0; cell < 0x80; cell++) {
        parts_out(&f->parts, 0x72, (uint8_t)(cell | 0x80));
        assert_int_equal(parts_in(&f->parts, 0x73), (uint8_t)~cell);
    }
    assert_int_equal(parts_in(&f->parts, 0x70), 0xFF);
    assert_int_equal(parts_in(&f->parts, 0x72), 0xFF);
}

static void
test_index_bit_7_is_the_nmi_mask(void **state)
{
    Fixture *f = *state;

    assert_true(mc146818_nmi_masked(f->rtc));
    put(f, 0x40, 0x77);
    assert_false(mc146818_nmi_masked(f->rtc));
    parts_out(&f->parts, 0x70, 0xC0);
    assert_true(mc146818_nmi_masked(f->rtc));
    assert_int_equal(parts_in(&f->parts, 0x71), 0x77);
}

static void
test_read_only_registers_ignore_writes(void **state)
{
    Fixture *f = *state;

    put(f, C, 0xFF);
    put(f, D, 0x00);
    put(f, A, 0xFF & ~0x50);
    assert_int_equal(get(f, C) & IRQF, 0);
    assert_int_equal(get(f, D), 0x80);
    assert_int_equal(get(f, A), 0x2F); /* UIP is not stored */
}

static void
test_any_register_values_leave_the_clock_usable(void **state)
{
    Fixture *f = *state;
    g_autoptr(GRand) rand = g_rand_new_with_seed(146818);

    for (unsigned i = 0; i < 20000; i++) {
        uint8_t cell = (uint8_t)g_rand_int_range(rand, 0, 16);
        put(f, cell == 15 ? CENTURY : cell, (uint8_t)g_rand_int_range(rand, 0, 256));
        (void)get(f, (uint8_t)g_rand_int_range(rand, 0, 16));
        if (i % 16 == 0) {
            parts_step(&f->parts, (uint64_t)g_rand_int_range(rand, 0, 1 << 20));
        }
    }
    set_clock(f, H24, 0x10, 0x20, 0x30);
    put_date(f, 0x20, 0x20, 0x05, 0x05);
    parts_step(&f->parts, 2 * SECOND);
    expect_time(f, 0x10, 0x20, 0x32);
    expect_date(f, 0x20, 0x20, 0x05, 0x05);
}

static void
test_two_clocks_are_independent(void **state)
{
    Fixture *f = *state;
    Fixture other;

    start_at(&other, CLOCK_SOURCE_VIRTUAL, 1000000000);
    put_time(f, 0x05, 0x06, 0x07);
    expect_time(&other, 0x01, 0x46, 0x40);
    expect_date(&other, 0x20, 0x01, 0x09, 0x09);
    expect_time(f, 0x05, 0x06, 0x07);
    mc146818_free(other.rtc);
    parts_done(&other.parts);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_power_on_values_are_those_of_a_pc),
        TEST(test_idle_clock_arms_no_timer),
        TEST(test_time_follows_the_virtual_clock),
        cmocka_unit_test(test_wall_clock_source_shows_the_hosts_time),
        TEST(test_12_hour_bcd_counts_through_noon_and_midnight),
        TEST(test_12_hour_binary_has_the_pm_bit),
        TEST(test_24_hour_modes_count_past_midnight),
        TEST(test_mode_change_shows_the_same_time_in_the_new_format),
        TEST(test_years_from_1980_to_2099_hold),
        TEST(test_calendar_rolls_over_months_leap_years_and_centuries),
        TEST(test_day_of_week_is_a_counter_of_its_own),
        TEST(test_fields_written_one_by_one_in_a_running_clock_survive_impossible_dates),
        TEST(test_set_bit_freezes_and_registers_keep_what_is_written),
        TEST(test_set_bit_keeps_the_phase_of_the_divider),
        TEST(test_divider_reset_holds_and_first_update_comes_after_half_a_second),
        TEST(test_uip_does_not_stick_when_the_alarm_moves),
        TEST(test_update_ended_interrupt_comes_every_second),
        TEST(test_flags_are_set_without_interrupts_enabled),
        TEST(test_enabling_an_interrupt_whose_flag_is_set_raises_it_at_once),
        TEST(test_alarm_fires_at_its_second_and_again_after_a_day),
        TEST(test_alarm_takes_one_wake_up_however_far_it_is),
        TEST(test_alarm_bytes_from_c0_to_ff_match_anything),
        TEST(test_alarm_bytes_that_no_time_shows_never_match),
        TEST(test_alarm_is_found_wherever_it_is),
        TEST(test_alarm_tells_morning_from_evening),
        TEST(test_alarm_follows_a_time_set_later),
        TEST(test_periodic_interrupt_runs_at_each_rate),
        TEST(test_rate_zero_stops_the_periodic_interrupt),
        TEST(test_changing_the_rate_counts_from_the_last_tick),
        TEST(test_periodic_interrupt_goes_on_while_set_holds_the_time),
        TEST(test_daylight_saving_changes_twice_a_year),
        TEST(test_daylight_saving_moves_the_alarm_with_it),
        TEST(test_daylight_saving_over_a_century_asleep_ends),
        TEST(test_reset_clears_interrupts_but_not_time_or_memory),
        TEST(test_memory_cells_and_second_bank_are_ram),
        TEST(test_index_bit_7_is_the_nmi_mask),
        TEST(test_read_only_registers_ignore_writes),
        TEST(test_any_register_values_leave_the_clock_usable),
        TEST(test_two_clocks_are_independent),
    };

    return cmocka_run_group_tests_name("mc146818", tests, NULL, NULL);
}
