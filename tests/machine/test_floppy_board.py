#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The 82078 together with the rest: the 8237, two drives at once, time, and what guests have done to
controllers to get out (CVE-2015-3456 "VENOM", CVE-2021-20196, CVE-2021-3507)."""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from floppy import (CCR, COUNT_ONLY, DATA, DIR, DOR, FIFO, FROM_MEMORY, MSR, RATE_250, SECTOR,  # noqa: E402
                    SRA, TDR, TO_MEMORY, Floppy, make_image, pattern, sectors_of)
from registers import Qmp, equal  # noqa: E402

MS = 1000000


def one_drive(directory, options="", kilobytes=1440):
    image = make_image(directory, "a.img", kilobytes)
    return Floppy(directory, [(image, "")], options), image


def two_drives(directory, options=""):
    images = make_image(directory, "a.img", 1440), make_image(directory, "b.img", 720, 5)
    return Floppy(directory, [(image, 'type = "1.44M";') for image in images], options), images


# --- DMA


def test_dma_wraps_within_64_kib_and_leaves_the_rest_alone(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        m.write(0x30000, b"\x99" * SECTOR)
        m.dma(TO_MEMORY, SECTOR, 0x2ff00)
        m.transfer(0x46, 0, 0, 0, 1, 18)
        m.expect("READ over the end of the page", 0, 0, 0, 0, 0, 2, 2)
        equal(m.read(0x2ff00, 256), pattern(0)[:256], "the end of the page")
        equal(m.read(0x20000, 256), pattern(0)[256:], "its beginning")
        equal(m.read(0x30000, SECTOR), b"\x99" * SECTOR, "the next page")


def test_dma_moves_64_kib_in_one_command(directory):
    machine, _ = one_drive(directory, kilobytes=2880)
    with machine as m:
        m.outb(CCR, 3)
        m.dma(TO_MEMORY, 0x9000, 0x40000)  # a whole cylinder of 72 sectors
        m.transfer(0xc6, 0, 0, 0, 1, 36)
        m.expect("a cylinder", 0x04, 0, 0, 1, 0, 1, 2)
        equal(m.read(0x40000, 0x9000), b"".join(pattern(i) for i in range(72)), "the data")
        m.write(0x40000, bytes(SECTOR))
        m.dma(TO_MEMORY, 0x10000, 0x40000)
        m.transfer(0xc6, 0, 0, 0, 1, 36)
        m.expect("the cylinder ends before the count", 0x44, 0x80, 0, 1, 0, 1, 2)
        equal(m.read(0x40000, 0x9000), b"".join(pattern(i) for i in range(72)), "the data")


def test_channel_that_counts_only_moves_nothing(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        m.write(DATA, b"\x99" * SECTOR)
        m.dma(COUNT_ONLY, SECTOR)
        m.transfer(0x46, 0, 0, 0, 1, 18)
        m.expect("READ in verify mode", 0, 0, 0, 0, 0, 2, 2)
        equal(m.read(DATA, SECTOR), b"\x99" * SECTOR, "memory")


def test_command_waits_for_its_channel(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        m.dma(TO_MEMORY, SECTOR)
        m.outb(0x0a, 0x06)
        m.transfer(0x46, 0, 0, 0, 1, 18)
        m.step(50 * MS)
        equal(m.inb(MSR), 0x10, "MSR: busy, no data for the processor")
        equal(m.irq(6), False, "IRQ 6")
        m.outb(0x0a, 0x02)
        m.expect("READ", 0, 0, 0, 0, 0, 2, 2)
        equal(m.read(DATA, SECTOR), pattern(0), "the data")
        m.dma(FROM_MEMORY, SECTOR)  # the other way: nothing moves until it is right
        m.transfer(0x46, 0, 0, 0, 2, 18)
        m.step(50 * MS)
        equal(m.inb(MSR), 0x10, "MSR")
        m.dma(TO_MEMORY, SECTOR)
        m.expect("READ", 0, 0, 0, 0, 0, 3, 2)
        equal(m.read(DATA, SECTOR), pattern(1), "the data")


def test_channel_that_begins_again_by_itself_reads_twice(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        m.dma(TO_MEMORY | 0x10, SECTOR)
        for sector in (1, 2):
            m.transfer(0x46, 0, 0, 0, sector, 18)
            m.expect("READ", 0, 0, 0, 0, 0, sector + 1, 2)
            equal(m.read(DATA, SECTOR), pattern(sector - 1), "the data")


def test_dma_where_no_memory_is_reads_ones_and_loses_what_is_written(directory):
    machine, image = one_drive(directory)
    with machine as m:
        m.dma(TO_MEMORY, SECTOR, 0xa0000)
        m.transfer(0x46, 0, 0, 0, 1, 18)
        m.expect("READ to nowhere", 0, 0, 0, 0, 0, 2, 2)
        m.dma(FROM_MEMORY, SECTOR, 0xa0000)
        m.transfer(0x45, 0, 0, 0, 1, 18)
        m.expect("WRITE from nowhere", 0, 0, 0, 0, 0, 2, 2)
        equal(sectors_of(image, 0), b"\xff" * SECTOR, "the sector")


# --- two drives


def test_two_drives_take_turns(directory):
    machine, images = two_drives(directory)
    with machine as m:
        m.command(0x0f, 0, 30)
        m.command(0x0f, 1, 60)
        answers = {m.sense_interrupt(), m.sense_interrupt()}
        equal(answers, {(0x20, 30), (0x21, 60)}, "both seeks")
        equal(m.irq(6), False, "IRQ 6")
        for sector in range(1, 10):
            m.outb(CCR, 0)
            equal(m.read_sectors(0, 30, 1, sector, 1), pattern(30 * 36 + 17 + sector), "drive 0")
            m.outb(CCR, RATE_250)
            equal(m.read_sectors(1, 60, 0, sector, 1), pattern(60 * 18 + sector - 1, 5), "drive 1")
            m.write(DATA, pattern(sector, 9))
            m.dma(FROM_MEMORY, SECTOR)
            m.transfer(0x45, 5, 60, 1, sector, 9)
            m.wait_result()
            equal(m.result(7)[0], 0x05, "WRITE to drive 1")
        equal(sectors_of(images[1], 60 * 18 + 9, 9), b"".join(pattern(i, 9) for i in range(1, 10)),
              "what was written to drive 1")


def test_boot_select_exchanges_the_drives(directory):
    machine, _ = two_drives(directory)
    with machine as m:
        m.outb(CCR, RATE_250)
        m.outb(TDR, 0x04)
        equal(m.read_sectors(0, 0, 0, 1, 1), pattern(0, 5), "drive 1 answers for 0")
        m.outb(TDR, 0x00)
        equal(m.read_sectors(1, 0, 0, 1, 1), pattern(0, 5), "and for itself")


def test_change_line_belongs_to_the_drive_that_is_selected(directory):
    machine, _ = two_drives(directory)
    with machine as m:
        for drive in (0, 1):
            m.outb(DOR, 0x0c | drive)
            equal(m.inb(DIR) & 0x80, 0x80, f"drive {drive} after power-on")
            m.seek(drive, 0)
            equal(m.inb(DIR) & 0x80, 0x80, "no step, no change")
            m.seek(drive, 1)
            equal(m.inb(DIR) & 0x80, 0x00, "a step with a floppy in")
            m.outb(DOR, 0x0c | drive ^ 1)
            equal(m.inb(DIR) & 0x80, 0x00 if drive else 0x80, "the other drive")


# --- floppies that come and go


class Changing(Floppy):
    """With a control socket."""

    def __init__(self, directory, drives, options=""):
        self.control = os.path.join(directory, "control")
        super().__init__(directory, drives, options, "--control", self.control)
        self.qmp = Qmp(self.control)

    def __exit__(self, *arguments):
        self.qmp.__exit__()
        super().__exit__(*arguments)

    def change(self, image, **more):
        self.qmp.ask("blockdev-change-medium", device="floppy0", filename=image, format="raw", **more)


def named(image):
    return [(image, 'type = "1.44M"; name = "floppy0";')]


def test_change_line_tells_of_every_change_until_a_step_finds_a_floppy(directory):
    images = make_image(directory, "a.img", 1440), make_image(directory, "b.img", 1440, 5)
    with Changing(directory, named(None)) as m:
        def changed():
            return m.inb(DIR) & 0x80 != 0
        equal(changed(), True, "an empty drive")
        for image, salt in ((images[0], 0), (images[1], 5)):
            m.change(image)
            equal((changed(), changed()), (True, True), "a floppy came")
            m.seek(0, 0)
            equal(changed(), True, "a seek without a step")
            m.command(0x4a, 0)
            m.wait_result()
            equal(m.result(7)[0], 0, "READ ID does not need a step")
            equal(changed(), True, "nor clears the line")
            m.seek(0, 1)
            equal(changed(), False, "a step")
            m.seek(0, 0)
            equal(m.read_sectors(0, 0, 0, 1, 1), pattern(0, salt), "its first sector")
        m.qmp.ask("eject", device="floppy0")
        for cylinder in (1, 0):
            m.seek(0, cylinder)
            equal(changed(), True, "no step clears it without a floppy")
        m.transfer(0x46, 0, 0, 0, 1, 18)
        m.expect("READ", 0x40, 0x01, 0, 0, 0, 1, 2)


def test_other_floppy_has_its_own_rate_size_and_protection(directory):
    images = make_image(directory, "a.img", 1440), make_image(directory, "b.img", 720, 5)
    with Changing(directory, named(images[0])) as m:
        m.change(images[1], read__only__mode="read-only")
        m.seek(0, 1)
        m.command(0x4a, 0)
        m.expect("READ ID at the old rate", 0x40, 0x01, 0, 0, 0, 0, 2)
        m.outb(CCR, RATE_250)
        equal(m.read_sectors(0, 1, 0, 9, 1), pattern(18 + 8, 5), "the last of nine sectors")
        m.dma(FROM_MEMORY, SECTOR)
        m.transfer(0x45, 0, 1, 0, 1, 9)
        m.expect("WRITE", 0x40, 0x02, 0, 1, 0, 1, 2)
        equal(sectors_of(images[1], 18), pattern(18, 5), "the image")


def test_floppy_that_does_not_fit_is_refused_and_the_old_one_stays(directory):
    images = make_image(directory, "a.img", 1440), make_image(directory, "b.img", 1200, 5)
    with Changing(directory, named(images[0])) as m:
        m.qmp.fails("no floppy which fits the drive", "blockdev-change-medium", device="floppy0",
                    filename=images[1], format="raw")
        equal(m.cmos(0x10), 0x40, "the drive is what it was")
        equal(m.read_sectors(0, 0, 0, 1, 1), pattern(0), "its first sector")


def test_command_under_way_ends_when_its_floppy_goes(directory):
    images = make_image(directory, "a.img", 1440), make_image(directory, "b.img", 1440, 5)
    with Changing(directory, named(images[0])) as m:
        for code, mode in ((0x46, TO_MEMORY), (0x45, FROM_MEMORY)):
            m.dma(mode, SECTOR)
            m.outb(0x0a, 0x06)
            m.transfer(code, 0, 0, 0, 1, 18)
            equal(m.inb(MSR), 0x10, "it waits for its channel")
            m.qmp.ask("eject", device="floppy0")
            m.expect(f"{code:02x}", 0x40, 0x01, 0, 0, 0, 1, 2)
            m.change(images[1])
        equal(sectors_of(images[0], 0), pattern(0), "the first floppy")
        equal(sectors_of(images[1], 0), pattern(0, 5), "the second")


# --- time


def test_seeks_take_their_time(directory):
    machine, _ = two_drives(directory, 'timing = "real";')
    with machine as m:
        m.command(0x03, 0xdf, 0x02)  # 3 ms a step at 500 kbit/s
        m.command(0x0f, 0, 10)
        m.command(0x0f, 1, 20)
        equal(m.inb(MSR), 0x83, "both drives are busy, the controller is not")
        m.step(29 * MS)
        equal(m.irq(6), False, "not yet")
        m.step(17 * MS)
        equal(m.inb(MSR), 0x82, "drive 0 is there")
        equal(m.sense_interrupt(), (0x20, 10), "drive 0")
        m.step(30 * MS)
        equal(m.inb(MSR), 0x80, "both are there")
        equal(m.sense_interrupt(), (0x21, 20), "drive 1")


def test_reads_wait_for_motor_and_turns_and_lose_data_nobody_takes(directory):
    machine, _ = one_drive(directory, 'timing = "real";')
    with machine as m:
        m.specify(1)
        m.outb(DOR, 0x1c)
        m.transfer(0x46, 0, 0, 0, 1, 18)
        m.step(250 * MS)
        equal(m.inb(MSR) & 0x80, 0, "the motor is not up to speed yet")
        for _ in range(300):
            if m.inb(MSR) & 0x80:
                break
            m.step(1 * MS)
        equal(m.inb(MSR) & 0xf0, 0xf0, "the first byte, within a turn")
        equal(m.inb(FIFO), pattern(0)[0], "the first byte")
        m.step(400 * MS)
        m.expect("a host that does not come", 0x40, 0x10, 0, 0, 0, 1, 2)


def test_motor_that_stands_still_finds_nothing(directory):
    machine, _ = one_drive(directory, 'timing = "real";')
    with machine as m:
        m.command(0x4a, 0)
        m.step(500 * MS)
        m.expect("READ ID", 0x40, 0x01, 0, 0, 0, 0, 2)


# --- what guests have tried


def test_commands_with_too_many_parameters_go_nowhere(directory):
    """CVE-2015-3456: READ ID and DRIVE SPECIFICATION took parameters without an end."""
    machine, image = one_drive(directory)
    with machine as m:
        for code in (0x8e, 0x0a, 0x4a, 0x4e, 0x33, 0x12, 0x06, 0xff):
            m.outb(FIFO, code)
            for _ in range(1500):
                m.outb(FIFO, 0x41)
            m.reset()
            m.command(0x10)
            equal(m.result(1), b"\x90", f"VERSION after {code:02x}")
        m.outb(CCR, 0)  # RESTORE took another rate, and no DMA
        m.specify(0)
        equal(m.read_sectors(0, 0, 0, 1, 1), pattern(0), "READ")
        equal(sectors_of(image, 0, 4), b"".join(pattern(i) for i in range(4)), "the image")


def test_data_beyond_the_buffer_is_not_reached_by_dma(directory):
    """CVE-2021-3507: a transfer whose lengths do not fit each other read past the buffer."""
    machine, _ = one_drive(directory)
    with machine as m:
        for code in (0x06, 0x46, 0x16, 0x42, 0x45, 0x51):
            for n, last in ((0, 0x00), (0, 0xff), (1, 2), (7, 0xff), (0xff, 0xff), (2, 0)):
                for eot in (0, 1, 18, 255):
                    m.write(DATA - 16, b"\x99" * 16)
                    m.dma(TO_MEMORY if code & 0x1f in (2, 6) else FROM_MEMORY, 0x10000)
                    m.transfer(code, 0, 0, 0, 1, eot, n, last)
                    m.wait_until(lambda: m.inb(MSR) & 0x80 or m.inb(MSR) == 0x10, "an end")
                    equal(m.read(DATA - 16, 16), b"\x99" * 16, "memory below")
                    m.reset()


def test_drives_that_are_not_there_can_be_named_in_every_register(directory):
    """CVE-2021-20196: registers that named a drive without a floppy led to a null pointer."""
    with Floppy(directory, []) as m:
        for drive in range(4):
            m.outb(DOR, 0xfc | drive)
            for port in (SRA, SRA + 1, DOR, TDR, MSR, DIR):
                m.inb(port)
            for code in (0x46, 0x45, 0x4c, 0x49, 0x42, 0x56, 0x51):
                m.dma(TO_MEMORY, SECTOR)
                m.transfer(code, drive | 4, 1, 1, 1, 18)
                m.wait_result()
                equal(m.result(7)[:2], bytes((0x44 | drive, 0x01)), f"{code:02x} of drive {drive}")
            m.command(0x4d, drive, 2, 18, 0x54, 0xf6)
            m.wait_result()
            equal(m.result(7)[0], 0x40 | drive, "FORMAT TRACK")
            m.command(0x07, drive)
            equal(m.sense_interrupt(), (0x70 | drive, 0), "RECALIBRATE")
            m.command(0x04, drive)
            check(m.result(1)[0] & 0x03 == drive, "SENSE DRIVE STATUS")


def test_random_accesses_are_survived(directory):
    machine, _ = two_drives(directory)
    generator = random.Random(82078)
    with machine as m:
        for _ in range(6000):
            port = 0x3f0 + generator.randrange(8)
            width = generator.choice((m.outb, m.outw, m.outl))
            if generator.random() < 0.3:
                m.inb(port)
            else:
                width(port, generator.randrange(1 << 32) if width == m.outl else generator.randrange(256))
            if generator.random() < 0.01:
                m.dma(generator.choice((TO_MEMORY, FROM_MEMORY, COUNT_ONLY)), generator.randrange(1, 0x10001))
        m.reset()
        m.command(0x10)
        equal(m.result(1), b"\x90", "VERSION")


if __name__ == "__main__":
    run_tests([value for name, value in list(globals().items()) if name.startswith("test_")])
