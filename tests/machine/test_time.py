#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What depends on time: RTC, 8254, PM timer. The clock moves when told and only then."""

import calendar
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from registers import TestMachine, equal  # noqa: E402

SECOND = 1000000000
PIT_HZ, PM_HZ = 1193182, 3579545
A, B, C, D, CENTURY = 0x0a, 0x0b, 0x0c, 0x0d, 0x32
SET, PIE, AIE, UIE, BINARY, H24 = 0x80, 0x40, 0x20, 0x10, 0x04, 0x02
PF, AF, UF, IRQF = 0x40, 0x20, 0x10, 0x80
POWER = 0x0b


def machine(directory, rtc=""):
    m = TestMachine(f'machine = {{ memory = "16M"; {rtc} }};', directory)
    m.intercept()
    return m


def fixed(directory, when):
    return machine(directory, f'rtc = {{ base = "{when}"; }};')


def number(m, cell):
    value = m.cmos(cell)
    return value if m.cmos(B) & BINARY else (value >> 4) * 10 + (value & 15)


def date(m):
    return tuple(number(m, cell) for cell in (CENTURY, 9, 8, 7, 4, 2, 0))


# RTC


def test_rtc_starts_with_the_hosts_time(directory):
    before = int(time.time())
    with machine(directory) as m:
        century, year, month, day, hour, minute, second = date(m)
        got = calendar.timegm((century * 100 + year, month, day, hour, minute, second))
        check(before <= got <= int(time.time()) + 1, f"{got} is not now ({before})")
        equal(m.cmos(B), H24, "24 hours, BCD")
        equal(m.cmos(D), 0x80, "valid RAM and time")


def test_rtc_shows_each_format(directory):
    with fixed(directory, "2026-11-22T17:45:38") as m:
        for mode, seconds, minutes, hours in ((H24, 0x38, 0x45, 0x17), (0, 0x38, 0x45, 0x85),
                                              (H24 | BINARY, 38, 45, 17), (BINARY, 38, 45, 0x85)):
            m.cmos(B, mode)
            equal((m.cmos(0), m.cmos(2), m.cmos(4)), (seconds, minutes, hours), f"register B {mode:x}")


def test_midnight_and_noon_are_12_in_12_hours(directory):
    for i, (hour, shown) in enumerate(((0, 0x12), (1, 0x01), (11, 0x11), (12, 0x92), (13, 0x81), (23, 0x91))):
        place = os.path.join(directory, str(i))
        os.mkdir(place)
        with fixed(place, f"2026-01-01T{hour:02}:00:00") as m:
            m.cmos(B, 0)
            equal(m.cmos(4), shown, f"{hour} h")


def test_the_year_rolls_over(directory):
    with fixed(directory, "1999-12-31T23:59:58") as m:
        equal(date(m), (19, 99, 12, 31, 23, 59, 58), "before")
        m.step(2 * SECOND)
        equal(date(m), (20, 0, 1, 1, 0, 0, 0), "after")
        equal(m.cmos(6), 7, "a Saturday")


def test_leap_days_are_known(directory):
    for i, (year, after) in enumerate(((2000, (2, 29)), (2024, (2, 29)), (2025, (3, 1)), (2100, (3, 1)))):
        place = os.path.join(directory, str(i))
        os.mkdir(place)
        with fixed(place, f"{year}-02-28T23:59:59") as m:
            m.ask(f"clock_set {SECOND}")
            equal(date(m)[2:4], after, f"{year}")


def test_a_time_set_by_the_guest_goes_on_from_there(directory):
    with machine(directory) as m:
        m.cmos(B, SET | H24)
        for cell, value in ((0, 0x58), (2, 0x59), (4, 0x23), (7, 0x28), (8, 0x02), (9, 0x24), (CENTURY, 0x20)):
            m.cmos(cell, value)
        m.step(5 * SECOND)
        equal(m.cmos(0), 0x58, "held")
        m.cmos(B, H24)
        m.step(2 * SECOND)
        equal(date(m), (20, 24, 2, 29, 0, 0, 0), "two seconds later")


def test_the_alarm_comes_at_its_second_once(directory):
    with fixed(directory, "2026-11-22T10:00:00") as m:
        for cell, value in ((1, 0x05), (3, 0x00), (5, 0x10)):
            m.cmos(cell, value)
        m.cmos(B, H24 | AIE)
        m.step(5 * SECOND - 1)
        equal(m.irqs, [], "too early")
        m.step(1)
        equal(m.irqs, [("raise", 8)], "in time")
        equal(m.cmos(C) & ~PF, IRQF | AF | UF, "register C")
        equal(m.cmos(C), 0, "cleared by its read")
        check(not m.irq(8), "the line")
        m.step(86399 * SECOND)
        equal(m.irqs.count(("raise", 8)), 1, "not before the next day")
        m.step(SECOND)
        equal(m.irqs.count(("raise", 8)), 2, "the next day")


def test_an_alarm_may_not_care(directory):
    with fixed(directory, "2026-11-22T10:00:00") as m:
        for cell, value in ((1, 0x30), (3, 0xc0), (5, 0xff)):
            m.cmos(cell, value)
        m.cmos(B, H24 | AIE)
        for minute in range(3):
            m.step(60 * SECOND if minute else 30 * SECOND)
            equal(m.irqs.count(("raise", 8)), minute + 1, f"minute {minute}")
            m.cmos(C)


def test_the_update_interrupt_comes_each_second(directory):
    with fixed(directory, "2026-11-22T10:00:00") as m:
        m.cmos(B, H24 | UIE)
        for second in range(1, 6):
            m.step(SECOND)
            equal(m.irqs.count(("raise", 8)), second, "interrupts")
            equal(m.cmos(C) & (IRQF | UF), IRQF | UF, "register C")
            equal(m.cmos(0), second, "seconds")


def test_update_in_progress_leads_the_update(directory):
    with fixed(directory, "2026-11-22T10:00:00") as m:
        m.step(SECOND - 300000)
        equal(m.cmos(A) & 0x80, 0, "more than 244 us before")
        m.step(200000)
        equal(m.cmos(A) & 0x80, 0x80, "100 us before")
        equal(m.cmos(0), 0, "not updated yet")
        m.step(100000)
        equal((m.cmos(A) & 0x80, m.cmos(0)), (0, 1), "updated")


def test_periodic_rates_are_powers_of_two(directory):
    with machine(directory) as m:
        for rate, hz in ((0x6, 1024), (0x3, 8192), (0xf, 2), (0xa, 64), (0x1, 256), (0x2, 128)):
            m.cmos(B, H24)
            m.cmos(A, 0x20 | rate)
            m.cmos(C)
            m.irqs.clear()
            m.cmos(B, H24 | PIE)
            count, start = 16, m.step(0)
            m.step()
            first = m.step(0)
            for _ in range(count):
                equal(m.cmos(C) & (IRQF | PF), IRQF | PF, "register C")
                m.step()
            took = m.step(0) - first
            check(abs(took - count * SECOND / hz) < 100000, f"{hz} Hz: {count} periods took {took} ns from {start}")
            equal(m.irqs.count(("raise", 8)), count + 1, f"{hz} Hz")
        m.cmos(A, 0x20)
        m.cmos(C)
        m.irqs.clear()
        m.step(10 * SECOND)
        equal(m.irqs, [], "rate 0 is off")


def test_flags_are_set_without_an_interrupt(directory):
    with machine(directory) as m:
        m.cmos(A, 0x26)
        m.cmos(C)
        m.step(SECOND)
        equal(m.cmos(C) & (IRQF | PF | UF), PF | UF, "register C")
        equal(m.irqs, [], "no interrupt")


def test_other_cells_keep_what_is_written(directory):
    with machine(directory) as m:
        for cell in [*range(0x0e, 0x32), *range(0x33, 0x80)]:
            m.cmos(cell, cell ^ 0x5a)
        for cell in [*range(0x0e, 0x32), *range(0x33, 0x80)]:
            equal(m.cmos(cell), cell ^ 0x5a, f"cell {cell:x}")
        m.outb(0x70, 0x80 | 0x40)
        equal(m.inb(0x71), 0x40 ^ 0x5a, "bit 7 of the index is the NMI mask")


def test_clock_set_moves_the_time_of_day(directory):
    with fixed(directory, "2026-11-22T10:00:00") as m:
        m.ask(f"clock_set {(25 * 3600 + 61) * SECOND}")
        equal(date(m), (20, 26, 11, 23, 11, 1, 1), "a day, an hour, a minute, a second")


# 8254


def count_of(m, channel):
    m.outb(0x43, channel << 6)
    return m.inb(0x40 + channel) | m.inb(0x40 + channel) << 8


def program(m, channel, mode, count):
    m.outb(0x43, channel << 6 | 0x30 | mode << 1)
    m.outb(0x40 + channel, count & 0xff)
    m.outb(0x40 + channel, count >> 8)


def test_pit_counts_down_at_its_rate(directory):
    with machine(directory) as m:
        m.outb(0x61, 1)
        for channel in range(3):
            program(m, channel, 2, 0)
            m.step(10000)
            start = count_of(m, channel)
            m.step(SECOND // 100)
            moved = (start - count_of(m, channel)) & 0xffff
            check(abs(moved - PIT_HZ // 100) <= 1, f"channel {channel}: {moved} in 10 ms")


def test_pit_channel_0_interrupts_at_the_programmed_rate(directory):
    with machine(directory) as m:
        for mode in (2, 3):
            program(m, 0, mode, 11932)  # 100 Hz
            m.step(SECOND // 10)
            m.irqs.clear()
            m.step(SECOND)
            check(99 <= m.irqs.count(("raise", 0)) <= 101, f"mode {mode}: {m.irqs.count(('raise', 0))} in a second")


def test_pit_mode_0_interrupts_once(directory):
    with machine(directory) as m:
        program(m, 0, 2, 100)
        m.step(SECOND // 1000)
        program(m, 0, 0, 11932)
        m.irqs.clear()
        m.step(SECOND // 200)
        equal(m.irqs, [], "half way")
        m.step(SECOND // 10)
        equal(m.irqs, [("raise", 0)], "one interrupt")


def test_pit_read_back_latches_status_and_count(directory):
    with machine(directory) as m:
        program(m, 2, 3, 0x1234)
        m.outb(0x61, 1)
        m.step(100000)
        m.outb(0x43, 0xc0 | 8)
        status = m.inb(0x42)
        equal(status & 0x7f, 0x36, "status: both bytes, mode 3, loaded")
        latched = m.inb(0x42) | m.inb(0x42) << 8
        check(0 < latched <= 0x1234, f"count {latched:x}")
        m.outb(0x43, 0xd0 | 8)  # count only
        first = m.inb(0x42)
        m.step(50000)
        second = m.inb(0x42)
        check(first | second << 8 <= 0x1234, "the latched count stands still")


def test_port_61_gates_and_shows_channel_2(directory):
    with machine(directory) as m:
        m.outb(0x61, 0)
        program(m, 2, 0, 1193)  # 1 ms
        m.outb(0x61, 1)
        equal(m.inb(0x61) & 0x21, 0x01, "running")
        m.step(500000)
        m.outb(0x61, 0)
        m.step(10000000)
        equal(m.inb(0x61) & 0x20, 0, "the gate stops mode 0")
        m.outb(0x61, 1)
        m.step(600000)
        equal(m.inb(0x61) & 0x20, 0x20, "terminal count")
        seen = set()
        for _ in range(8):
            seen.add(m.inb(0x61) & 0x10)
            m.step(15085)
        equal(seen, {0, 0x10}, "refresh toggles")


# PM timer


def pm(m):
    m.config_write(POWER, 0x40, 0x601)
    m.config_write(POWER, 0x80, 1, 1)


def test_pm_timer_counts_24_bits_at_its_rate(directory):
    with machine(directory) as m:
        pm(m)
        start = m.inl(0x608)
        m.step(SECOND)
        check(abs(((m.inl(0x608) - start) & 0xffffff) - PM_HZ) <= 1, "one second")
        m.step(4 * SECOND)
        equal(m.inl(0x608) >> 24, 0, "24 bits")
        check(abs(((m.inl(0x608) - start) & 0xffffff) - (5 * PM_HZ & 0xffffff)) <= 1, "it wraps")


def test_pm_timer_overflow_raises_sci(directory):
    with machine(directory) as m:
        pm(m)
        m.outw(0x604, 1)
        m.outw(0x602, 1)
        half = (1 << 23) * SECOND // PM_HZ
        m.step(half - 1000)
        equal(m.irqs, [], "before bit 23 changes")
        m.step(2000)
        equal(m.irqs, [("raise", 9)], "SCI")
        equal(m.inw(0x600) & 1, 1, "TMROF_STS")
        m.outw(0x600, 1)
        check(not m.irq(9), "cleared")
        m.step(half)
        check(m.irq(9), "every change")


if __name__ == "__main__":
    run_tests([value for name, value in sorted(globals().items()) if name.startswith("test_")])
