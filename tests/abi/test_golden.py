#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A plugin of an earlier ABI, built from that ABI's headers alone, in today's core: registers, a timer,
an interrupt, a backend of today's, reset, its end.

usage: test_golden.py GOLDEN.so"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from registers import TestMachine  # noqa: E402

PLUGIN = os.path.abspath(sys.argv[1])
SECTOR = bytes((7 * i + 3) & 0xff for i in range(512))
RESET, START, TIMER, SECTOR_READ = 8, 16, 1, 2


def machine(directory):
    with open(os.path.join(directory, "disk.img"), "wb") as file:
        file.write(SECTOR * 8)
    return TestMachine("""machine = { memory = "8M"; };
        backends = { disk = { plugin = "block-file"; path = "disk.img"; readonly = true; }; };
        devices = { old = { plugin = "%s"; disk = "disk"; }; };""" % PLUGIN, directory)


def test_it_loads_is_reset_and_started(directory):
    with machine(directory) as m:
        check(m.raw("inb 0x300") == "OK 0x0047", "its register")
        check(m.raw("inb 0x301") == "OK 0x%04x" % (RESET | START), m.raw("inb 0x301"))


def test_its_timer_raises_its_interrupt(directory):
    with machine(directory) as m:
        m.ask("outb 0x300 1")
        m.ask("clock_step 999")
        check(m.raw("inb 0x301") == "OK 0x%04x" % (RESET | START), "too early")
        m.ask("clock_step 1")
        check(m.raw("inb 0x301") == "OK 0x%04x" % (RESET | START | TIMER), "the timer")
        m.ask("outb 0x20 0x0a")
        check(m.raw("inb 0x20") == "OK 0x0020", "IRQ 5 at the 8259")


def test_it_reads_from_a_backend_of_today(directory):
    with machine(directory) as m:
        m.ask("outb 0x300 3")
        wanted = "OK 0x%04x" % (RESET | START | SECTOR_READ)
        for _ in range(10000):
            status = m.raw("inb 0x301")
            if status == wanted:
                break
        check(status == wanted, status)
        for i in range(512):
            check(m.raw("inb 0x302") == "OK 0x%04x" % SECTOR[i], "byte %d" % i)


def test_a_reset_reaches_it(directory):
    with machine(directory) as m:
        m.ask("outb 0x300 1")
        m.ask("clock_step 1000")
        m.ask("outb 0xcf9 6")
        for _ in range(10000):
            status = int(m.raw("inb 0x301").split()[1], 0)
            if not status & TIMER:
                break
        check(status & (RESET | TIMER) == RESET, hex(status))


sys.exit(run_tests([value for name, value in sorted(globals().items()) if name.startswith("test_")]))
