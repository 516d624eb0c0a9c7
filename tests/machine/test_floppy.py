#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The 82078 register by register: resets, control commands, and every data command in success and in
each error. References: Intel 82077AA (290166), 82078 (290474), 8272A for SCAN."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from floppy import (CCR, COUNT_ONLY, DATA, DIR, DOR, DSR, FIFO, FORMATS, FROM_MEMORY, MSR,  # noqa: E402
                    RATE_250, RATE_500, SECTOR, SRA, SRB, TDR, TO_MEMORY, Floppy, make_image, pattern,
                    sectors_of)
from registers import TestMachine, equal  # noqa: E402


def one_drive(directory, options="", drive=""):
    image = make_image(directory, "a.img", 1440)
    return Floppy(directory, [(image, drive)], options), image


# --- registers, resets, no controller


def test_registers_after_power_on(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        equal(m.inb(DOR), 0x0c, "DOR")
        equal(m.inb(TDR), 0x00, "TDR")
        equal(m.inb(MSR), 0x80, "MSR")
        equal(m.inb(SRA) & 0xc0, 0x40, "SRA: no interrupt, no second drive")
        equal(m.inb(SRB), 0xc0, "SRB")
        equal(m.inb(DIR) & 0x80, 0x80, "DIR: a floppy that no step has been made with")
        equal(m.irq(6), False, "IRQ 6")
        equal(m.sense_interrupt(), (0x80, None), "no interrupt is pending")
        m.outb(DOR, 0x3d)
        equal(m.inb(SRB), 0xe3, "SRB: motors and select")
        m.outb(TDR, 0xfe)
        equal(m.inb(TDR) & 0x03, 0x02, "TDR keeps the tape select bits")
        m.outb(SRA, 0xff)
        m.outb(SRB, 0xff)
        equal(m.inb(DOR), 0x3d, "SRA and SRB cannot be written")


def test_no_controller_means_no_ports_no_irq_and_no_drives_in_cmos(directory):
    with TestMachine('machine = { memory = "16M"; };', directory) as m:
        m.intercept()
        for port in (SRA, SRB, DOR, TDR, MSR, FIFO, DIR):
            equal(m.inb(port), 0xff, f"port {port:x}")
        for value in (0x00, 0x0c):
            m.outb(DOR, value)
        equal(m.irqs, [], "interrupts")
        equal(m.cmos(0x10), 0, "CMOS 10h")
        equal(m.cmos(0x14) & 0xc1, 0, "equipment byte")


def test_cmos_names_the_drives(directory):
    for types, cell, equipment in ((("1.44M",), 0x40, 0x01), (("1.2M", "360K"), 0x21, 0x41),
                                   (("2.88M", "720K"), 0x53, 0x41), (("none", "1.44M"), 0x04, 0x01)):
        with Floppy(directory, [(None, f'type = "{name}";') for name in types]) as m:
            equal(m.cmos(0x10), cell, f"CMOS 10h with {types}")
            equal(m.cmos(0x14) & 0xc1, equipment, f"equipment byte with {types}")
            equal(m.cmos(0x38) & 0x01, 0, "firmware looks for a signature")
    with Floppy(directory, [(None, "")], "check_signature = false;") as m:
        equal(m.cmos(0x38), 0x31, "CMOS 38h: unsigned floppies; the boot order stays")


def test_reset_is_followed_by_four_answers_of_the_polling(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        m.outb(DOR, 0x08)
        equal(m.inb(MSR) & 0x80, 0, "MSR in reset")
        m.reset()
        equal(m.sense_interrupt(), (0x80, None), "a fifth")
        m.outb(DSR, 0x80)
        equal(m.irq(6), True, "reset by DSR ends by itself")
        for drive in range(4):
            equal(m.sense_interrupt()[0], 0xc0 | drive, "polling")
        equal(m.irq(6), False, "IRQ 6")


def test_reset_drops_a_command_in_every_phase(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        for what, steps in (
                ("half a command", lambda: m.command(0x46, 0, 0, 0)),
                ("data for the host", lambda: (m.specify(1), m.transfer(0x46, 0, 0, 0, 1, 18),
                                               m.wait_until(lambda: m.inb(MSR) == 0xf0, "data"),
                                               m.inb(FIFO))),
                ("data from the host", lambda: (m.specify(1), m.transfer(0x45, 0, 0, 0, 1, 18),
                                                m.outb(FIFO, 0x55))),
                ("a masked channel", lambda: (m.specify(0), m.outb(0x0a, 6),
                                              m.transfer(0x46, 0, 0, 0, 1, 18))),
                ("half a result", lambda: (m.command(0x0e), m.inb(FIFO)))):
            steps()
            m.reset()
            m.command(0x10)
            equal(m.result(1), b"\x90", "VERSION after " + what)


# --- commands without data


def test_invalid_commands_answer_80h_without_an_interrupt(directory):
    valid = {0x03, 0x04, 0x07, 0x08, 0x0e, 0x0f, 0x10, 0x12, 0x13, 0x14, 0x94, 0x17, 0x18, 0x2e, 0x33,
             0x4e, 0x8e, 0x8f, 0xcf, 0xad, 0xed}
    valid |= {code for code in range(256) if code & 0x1f in (0x02, 0x05, 0x06, 0x09, 0x0a, 0x0c, 0x0d,
                                                             0x11, 0x16, 0x19, 0x1d)}
    machine, _ = one_drive(directory)
    with machine as m:
        for code in sorted(set(range(256)) - valid):
            m.command(code)
            equal(m.result(1), b"\x80", f"command {code:02x}")
            equal(m.irq(6), False, f"IRQ 6 after command {code:02x}")


def test_control_commands_answer_what_was_programmed(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        for code, answer in ((0x10, 0x90), (0x18, 0x41), (0x94, 0x10), (0x14, 0x00)):
            m.command(code)
            equal(m.result(1)[0], answer, f"command {code:02x}")
        m.command(0x03, 0xaf, 0x1e)
        m.command(0x13, 0, 0x57, 0x22)
        m.command(0x12, 0x84)
        m.command(0x94)
        m.result(1)
        m.seek(1, 7)
        m.command(0x0e)
        equal(m.result(10).hex(), "00070000" "af1e" "00" "84" "57" "22", "DUMPREG")
        m.reset()
        m.command(0x0e)
        equal(m.result(10)[8:].hex(), "0722", "what LOCK keeps of CONFIGURE")
        m.command(0x14)
        m.result(1)
        m.reset()
        m.command(0x0e)
        equal(m.result(10)[8:].hex(), "2000", "without LOCK: FIFO off, no precompensation")
        m.command(0x17, 0x35)
        equal(m.result(1)[0], 0x35, "POWERDOWN MODE")
        m.command(0x33, 0x01)
        m.command(0x8e, 0x04, 0x28, 0x80)
        equal(m.result(4).hex(), "04080000", "DRIVE SPECIFICATION")


def test_save_and_restore_carry_registers_over(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        m.seek(0, 9)
        m.command(0x13, 0, 0x48, 0x11)
        m.command(0x2e)
        saved = m.result(16)
        m.reset()
        m.command(0x4e, *saved)
        m.command(0x2e)
        equal(m.result(16), saved, "SAVE after RESTORE")
        m.command(0x0e)
        dump = m.result(10)
        equal((dump[0], dump[8], dump[9]), (9, 0x48, 0x11), "PCN and CONFIGURE")


def test_sense_drive_status_shows_track_0_head_and_protection(directory):
    image = make_image(directory, "a.img", 1440)
    with Floppy(directory, [(image, ""), (make_image(directory, "b.img", 1440), "readonly = true;")]) as m:
        for select, wanted in ((0, 0x38), (4, 0x3c), (1, 0x79), (5, 0x7d), (2, 0x2a)):
            m.command(0x04, select)
            equal(m.result(1)[0], wanted, f"ST3 of {select}")
        m.seek(0, 3)
        m.command(0x04, 0)
        equal(m.result(1)[0], 0x28, "ST3 away from track 0")


def test_seeks_recalibrates_and_relative_seeks(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        m.seek(0, 79)
        for bytes_, wanted in (((0x07, 0), (0x20, 0)), ((0xcf, 0, 1), (0x20, 1)),
                               ((0xcf, 4, 9), (0x20, 10)), ((0x8f, 0, 1), (0x20, 9)),
                               ((0x0f, 0, 255), (0x20, 255)), ((0x07, 2), (0x72, 0))):
            m.command(*bytes_)
            equal(m.irq(6), True, f"IRQ 6 after {bytes(bytes_).hex()}")
            equal(m.sense_interrupt(), wanted, f"the end of {bytes(bytes_).hex()}")


# --- reading


def test_every_format_has_its_first_and_last_sector_and_none_after(directory):
    for kilobytes, (drive, rate, cylinders, heads, sectors) in FORMATS.items():
        image = make_image(directory, "any.img", kilobytes)
        with Floppy(directory, [(image, f'type = "{drive}";')]) as m:
            m.outb(CCR, rate)
            last = (cylinders - 1, heads - 1, sectors)
            equal(m.read_sectors(0, 0, 0, 1, 1), pattern(0), f"{kilobytes} KB: first sector")
            m.seek(0, last[0])
            equal(m.read_sectors(0, *last, 1), pattern(kilobytes * 2 - 1), f"{kilobytes} KB: last")
            m.dma(TO_MEMORY, SECTOR)
            m.transfer(0x46, last[1] << 2, *last[:2], sectors + 1, sectors + 1)
            m.expect(f"{kilobytes} KB: a sector too many", 0x40 | last[1] << 2, 0x04, 0, *last[:2],
                     sectors + 1, 2)
            m.seek(0, cylinders)
            m.transfer(0x46, 0, cylinders, 0, 1, sectors)
            if cylinders < (42 if drive == "360K" else 84):
                m.expect(f"{kilobytes} KB: a cylinder too many", 0x40, 0x01, 0, cylinders, 0, 1, 2)
            else:
                check(m.result(7)[0] & 0xc0 == 0x40, "a cylinder too many")


def test_other_floppies_fit_no_drive(directory):
    image = make_image(directory, "a.img", 1440)
    with Floppy(directory, [(None, 'type = "none";'), (image, "")]) as m:
        m.command(0x4a, 0)
        m.expect("READ ID of no drive", 0x40, 0x01, 0, 0, 0, 0, 2)
        m.command(0x4a, 1)
        m.wait_result()
        equal(m.result(7)[0], 0x01, "READ ID of drive 1")


def test_result_names_the_sector_after_the_last_one(directory):
    """82077AA, table 5-6."""
    machine, _ = one_drive(directory)
    with machine as m:
        for code, head, r, count, wanted in ((0x46, 0, 3, 2, (0, 0, 5)), (0x46, 0, 17, 2, (1, 0, 1)),
                                             (0x46, 1, 3, 2, (0, 1, 5)), (0x46, 1, 17, 2, (1, 1, 1)),
                                             (0xc6, 0, 3, 2, (0, 0, 5)), (0xc6, 0, 17, 2, (0, 1, 1)),
                                             (0xc6, 1, 3, 2, (0, 1, 5)), (0xc6, 1, 17, 2, (1, 0, 1))):
            m.dma(TO_MEMORY, count * SECTOR)
            m.transfer(code, head << 2, 0, head, r, 18)
            m.expect(f"{code:02x} head {head} from {r}", head << 2, 0, 0, *wanted, 2)
            equal(m.read(DATA, SECTOR), pattern(head * 18 + r - 1), "data")
        m.dma(TO_MEMORY, 0x10000)
        m.transfer(0x46, 0, 0, 0, 18, 18)
        m.expect("the end without terminal count", 0x40, 0x80, 0, 1, 0, 1, 2)
        m.dma(TO_MEMORY, 0x10000)
        m.transfer(0xc6, 0, 0, 0, 1, 18)
        m.expect("both sides without terminal count", 0x44, 0x80, 0, 1, 0, 1, 2)
        equal(m.read(DATA, 36 * SECTOR), b"".join(pattern(i) for i in range(36)), "the cylinder")


def test_ids_that_are_not_there(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        for code in (0x46, 0x4c, 0x45, 0x49, 0x56, 0x51):
            for what, c, h, r, n, st1, st2 in (("cylinder", 1, 0, 1, 2, 0x04, 0x10),
                                               ("head", 0, 1, 1, 2, 0x04, 0x00),
                                               ("sector 0", 0, 0, 0, 2, 0x04, 0x00),
                                               ("sector 19", 0, 0, 19, 2, 0x04, 0x00),
                                               ("size", 0, 0, 1, 3, 0x04, 0x00),
                                               ("size 0 with a length", 0, 0, 1, 0, 0x04, 0x00)):
                m.dma(TO_MEMORY if code in (0x46, 0x4c) else FROM_MEMORY, SECTOR)
                m.transfer(code, 0, c, h, r, 18, n, 0x80 if n == 0 else 0xff)
                m.expect(f"{code:02x}, another {what}", 0x40, st1, st2, c, h, r, n)


def test_terminal_count_within_a_sector(directory):
    machine, image = one_drive(directory)
    with machine as m:
        m.write(DATA, bytes(SECTOR))
        m.dma(TO_MEMORY, 100)
        m.transfer(0x46, 0, 0, 0, 5, 18)
        m.expect("READ of 100 bytes", 0, 0, 0, 0, 0, 6, 2)
        equal(m.read(DATA, SECTOR), pattern(4)[:100] + bytes(412), "100 bytes and no more")
        m.write(DATA, b"\xee" * SECTOR)
        m.dma(FROM_MEMORY, 100)
        m.transfer(0x45, 0, 0, 0, 5, 18)
        m.expect("WRITE of 100 bytes", 0, 0, 0, 0, 0, 6, 2)
        equal(sectors_of(image, 4), b"\xee" * 100 + bytes(412), "zeroes fill the sector")


def pio_read(m, count):
    data = bytearray()
    for _ in range(count):
        m.wait_until(lambda: m.inb(MSR) == 0xf0, "a byte")
        data.append(m.inb(FIFO))
    return bytes(data)


def pio_write(m, data):
    for byte in data:
        m.wait_until(lambda: m.inb(MSR) == 0xb0, "room for a byte")
        equal(m.irq(6), True, "IRQ 6")
        m.outb(FIFO, byte)


def test_sectors_go_byte_by_byte_without_dma(directory):
    machine, image = one_drive(directory)
    with machine as m:
        m.specify(1)
        m.transfer(0x46, 0, 0, 0, 17, 18)
        equal(pio_read(m, 2 * SECTOR), pattern(16) + pattern(17), "two sectors")
        m.expect("READ without terminal count", 0x40, 0x80, 0, 1, 0, 1, 2)
        m.reset()
        m.transfer(0x45, 0, 0, 0, 18, 18)
        data = bytes(i & 0xff ^ 0x5a for i in range(SECTOR))
        pio_write(m, data)
        m.expect("WRITE without terminal count", 0x40, 0x80, 0, 1, 0, 1, 2)
        equal(sectors_of(image, 17), data, "the sector")


def test_closed_dma_gate_moves_both_sides_through_the_fifo(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        m.outb(DOR, 0x04)
        m.transfer(0xe6, 0, 0, 0, 1, 1)
        equal(pio_read(m, 2 * SECTOR), pattern(0) + pattern(18), "a sector of each side")
        m.expect("the end of the cylinder", 0x04, 0, 0, 1, 0, 1, 2)


def test_read_track_takes_sectors_from_the_index_hole_on(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        m.dma(TO_MEMORY, 3 * SECTOR)
        m.transfer(0x42, 0, 0, 0, 1, 3)
        m.wait_result()
        equal(m.result(7)[1] & 0x04, 0, "the IDs are as expected")
        equal(m.read(DATA, 3 * SECTOR), pattern(0) + pattern(1) + pattern(2), "three sectors")
        m.dma(TO_MEMORY, 2 * SECTOR)
        m.transfer(0x42, 0, 0, 0, 9, 2)
        m.wait_result()
        equal(m.result(7)[1] & 0x04, 0x04, "another ID is told")
        equal(m.read(DATA, 2 * SECTOR), pattern(0) + pattern(1), "and read all the same")


def test_deleted_marks_with_and_without_skip(directory):
    """82077AA, tables 5-4 and 5-5."""
    machine, _ = one_drive(directory)
    with machine as m:
        m.write(DATA, b"\x44" * SECTOR)
        m.dma(FROM_MEMORY, SECTOR)
        m.transfer(0x49, 0, 0, 0, 2, 18)
        m.expect("WRITE DELETED", 0, 0, 0, 0, 0, 3, 2)
        normal = pattern(0) + b"\x44" * SECTOR
        for code, st2, r, count, data in ((0x46, 0x40, 2, 3, normal),
                                          (0x66, 0x40, 5, 3, pattern(0) + pattern(2) + pattern(3)),
                                          (0x4c, 0x40, 1, 2, pattern(0)),
                                          (0x6c, 0x40, 3, 1, b"\x44" * SECTOR)):
            m.dma(TO_MEMORY, count * SECTOR)
            m.transfer(code, 0, 0, 0, 1, 18)
            m.expect(f"{code:02x}", 0, 0, st2, 0, 0, r, 2)
            equal(m.read(DATA, len(data)), data, f"{code:02x}: data")
        m.dma(FROM_MEMORY, SECTOR)
        m.transfer(0x45, 0, 0, 0, 2, 18)
        m.expect("WRITE", 0, 0, 0, 0, 0, 3, 2)
        m.dma(TO_MEMORY, SECTOR)
        m.transfer(0x46, 0, 0, 0, 2, 18)
        m.expect("the mark is gone", 0, 0, 0, 0, 0, 3, 2)


def test_verify_ends_as_its_table_says(directory):
    """82077AA, table 5-7: MT, EC, SC and EOT."""
    machine, _ = one_drive(directory)
    with machine as m:
        for code, select, last, eot, st0, st1 in ((0x56, 0x00, 0xff, 18, 0x00, 0x00),
                                                  (0x56, 0x00, 0xff, 19, 0x40, 0x04),
                                                  (0x56, 0x80, 18, 18, 0x00, 0x00),
                                                  (0x56, 0x80, 19, 18, 0x40, 0x80),
                                                  (0xd6, 0x00, 0xff, 18, 0x04, 0x00),
                                                  (0xd6, 0x80, 36, 18, 0x04, 0x00),
                                                  (0xd6, 0x80, 37, 18, 0x44, 0x80)):
            m.transfer(code, select, 0, 0, 1, eot, 2, last)
            m.wait_result()
            status = m.result(7)
            equal((status[0], status[1]), (st0, st1), f"VERIFY {code:02x} {select:02x} SC {last} EOT {eot}")


def test_scans_tell_equal_low_and_high(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        for sector, byte in ((1, 0x10), (2, 0x20), (3, 0x30), (4, 0xff)):
            m.write(DATA, bytes((byte,)) * SECTOR)
            m.dma(FROM_MEMORY, SECTOR)
            m.transfer(0x45, 0, 0, 0, sector, 18)
            m.result(7)
        for code, byte, st2, r, what in ((0x51, 0x20, 0x08, 3, "equal in sector 2"),
                                         (0x51, 0x21, 0x08, 5, "equal by the FFh of sector 4"),
                                         (0x59, 0x05, 0x04, 4, "low or equal: none"),
                                         (0x59, 0x15, 0x00, 2, "low or equal: sector 1"),
                                         (0x5d, 0x25, 0x00, 4, "high or equal: sector 3"),
                                         (0x5d, 0x20, 0x08, 3, "high or equal: sector 2")):
            m.write(DATA, bytes((byte,)) * (4 * SECTOR))
            m.dma(FROM_MEMORY, 4 * SECTOR)
            m.transfer(code, 0, 0, 0, 1, 3 if r == 4 and st2 == 4 else 18, 2, 1)
            m.wait_result()
            status = m.result(7)
            equal(status[2], st2, what + ": ST2")
            equal(status[5], 1 if st2 == 4 else r, what + ": R")


def test_read_id_needs_a_floppy_written_at_this_rate(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        for rate in (RATE_250, 1, 3):
            m.outb(CCR, rate)
            m.command(0x4a, 0)
            m.expect(f"READ ID at rate {rate}", 0x40, 0x01, 0, 0, 0, 0, 2)
            m.dma(TO_MEMORY, SECTOR)
            m.transfer(0x46, 0, 0, 0, 1, 18)
            m.expect(f"READ at rate {rate}", 0x40, 0x01, 0, 0, 0, 1, 2)
        m.outb(DSR, RATE_500)
        m.seek(0, 8)
        m.command(0x4a, 4)
        m.wait_result()
        status = m.result(7)
        equal((status[:3], status[3:5], status[6]), (b"\x04\0\0", b"\x08\x01", 2), "READ ID")
        check(1 <= status[5] <= 18, f"sector {status[5]}")


def test_seeks_are_implied_when_configured(directory):
    machine, _ = one_drive(directory)
    with machine as m:
        m.command(0x13, 0, 0x60, 0)
        m.dma(TO_MEMORY, SECTOR)
        m.transfer(0x46, 0, 40, 0, 1, 18)
        m.expect("READ with a seek", 0x20, 0, 0, 40, 0, 2, 2)
        equal(m.read(DATA, SECTOR), pattern(40 * 36), "cylinder 40")
        m.dma(TO_MEMORY, SECTOR)
        m.transfer(0x46, 0, 40, 0, 2, 18)
        m.expect("READ without", 0, 0, 0, 40, 0, 3, 2)


# --- writing


def test_protected_floppies_refuse_every_write(directory):
    machine, image = one_drive(directory, drive="readonly = true;")
    with machine as m:
        for code in (0x45, 0x49):
            m.dma(FROM_MEMORY, SECTOR)
            m.transfer(code, 0, 0, 0, 1, 18)
            m.expect(f"{code:02x}", 0x40, 0x02, 0, 0, 0, 1, 2)
        equal(m.format_track(0, 0, 0, 18, 0xf6)[:2], b"\x40\x02", "FORMAT TRACK")
        equal(m.read_sectors(0, 0, 0, 1, 1), pattern(0), "READ")
        equal(sectors_of(image, 0, 18), b"".join(pattern(i) for i in range(18)), "the image")


def test_every_format_is_formatted_and_written(directory):
    for kilobytes, (drive, rate, cylinders, heads, sectors) in FORMATS.items():
        image = make_image(directory, "any.img", kilobytes)
        c, h = cylinders - 1, heads - 1
        first = (c * heads + h) * sectors
        with Floppy(directory, [(image, f'type = "{drive}";')]) as m:
            m.outb(CCR, rate)
            m.seek(0, c)
            equal(m.format_track(0, c, h, sectors, 0xe5)[:3], bytes((h << 2, 0, 0)), "FORMAT TRACK")
            equal(sectors_of(image, first, sectors), b"\xe5" * sectors * SECTOR,
                  f"{kilobytes} KB: the last track")
            equal(sectors_of(image, first - 1), pattern(first - 1), f"{kilobytes} KB: the one before")
            m.write(DATA, pattern(7, 1) + pattern(8, 1))
            m.dma(FROM_MEMORY, 2 * SECTOR)
            m.transfer(0x45, h << 2, c, h, sectors - 1, sectors)
            m.expect(f"{kilobytes} KB: WRITE", h << 2, 0, 0, cylinders, h, 1, 2)
            equal(sectors_of(image, first + sectors - 2, 2), pattern(7, 1) + pattern(8, 1),
                  f"{kilobytes} KB: the last two sectors")
            equal(os.path.getsize(image), kilobytes * 1024, f"{kilobytes} KB: size")


def test_format_takes_sectors_in_any_order_and_refuses_what_an_image_cannot_hold(directory):
    machine, image = one_drive(directory)
    with machine as m:
        interleaved = [*range(1, 19, 2), *range(2, 19, 2)]
        equal(m.format_track(0, 0, 0, 18, 0x11, interleaved)[0], 0, "interleaved")
        equal(sectors_of(image, 0, 18), b"\x11" * 18 * SECTOR, "track 0")
        equal(m.format_track(0, 0, 0, 9, 0x22)[0], 0, "nine sectors")
        equal(sectors_of(image, 8, 2), b"\x22" * SECTOR + b"\x11" * SECTOR, "nine and no more")
        for what, arguments in (("N = 3", {"n": 3}), ("sector 19", {"order": range(2, 20)}),
                                ("sector 0", {"order": range(0, 18)})):
            equal(m.format_track(0, 0, 0, 18, 0x33, **arguments)[0], 0x40, what)
        equal(m.format_track(0, 1, 0, 18, 0x33)[0], 0x40, "another cylinder")
        equal(m.format_track(0, 0, 0, 18, 0x44, code=0xcd)[0], 0, "bit 7 set, as MS-DOS has it")
        equal(sectors_of(image, 0, 19), b"\x44" * 18 * SECTOR + pattern(18), "track 0 alone")
        m.write(DATA, bytes((0, 0, 3, 2)) + b"\x77" * SECTOR + bytes((0, 0, 4, 2)) + b"\x88" * SECTOR)
        m.dma(FROM_MEMORY, 2 * (SECTOR + 4))
        m.command(0xed, 0, 2, 2, 0x54, 0xf6)
        m.wait_result()
        equal(m.result(7)[:3], bytes(3), "FORMAT AND WRITE")
        equal(sectors_of(image, 2, 2), b"\x77" * SECTOR + b"\x88" * SECTOR, "data with the IDs")


def test_empty_drive_ends_every_data_command(directory):
    with Floppy(directory, [(None, "")]) as m:
        for cylinder in (1, 0):
            m.seek(0, cylinder)
            equal(m.inb(DIR) & 0x80, 0x80, "DIR: no floppy")
        for code in (0x45, 0x46, 0x49, 0x4c, 0x42, 0x56, 0x51, 0x59, 0x5d):
            m.dma(TO_MEMORY, SECTOR)
            m.transfer(code, 0, 0, 0, 1, 1)
            m.expect(f"{code:02x}", 0x40, 0x01, 0, 0, 0, 1, 2)
        m.command(0x4d, 0, 2, 18, 0x54, 0xf6)
        m.wait_result()
        equal(m.result(7)[:2], b"\x40\x01", "FORMAT TRACK")


if __name__ == "__main__":
    run_tests([value for name, value in list(globals().items()) if name.startswith("test_")])
