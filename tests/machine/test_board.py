#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The PC board register by register: PCI, shadow RAM, interrupts, DMA, keyboard, resets."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from registers import Qmp, TestMachine, equal  # noqa: E402

CONFIG = """
machine = { memory = "64M"; };
devices = { ide0 = { plugin = "ide"; }; };
"""
HOST, ISA, IDE, POWER = 0x00, 0x08, 0x09, 0x0b
# 13 segments, each (PAM register, shift, address, length); 440FX data sheet, 3.2.18.
SEGMENTS = [(0x59, 4, 0xf0000, 0x10000)] + [
    (0x5a + i // 2, 4 * (i % 2), 0xc0000 + 0x4000 * i, 0x4000) for i in range(12)]


def machine(directory, *arguments, config=CONFIG):
    return TestMachine(config, directory, *arguments)


# PCI


def test_enumeration_finds_each_function_once(directory):
    with machine(directory) as m:
        equal(m.functions(), [HOST, ISA, IDE, POWER], "functions")
        ids = [m.config_read(devfn, 0) for devfn in m.functions()]
        equal(ids, [0x12378086, 0x70008086, 0x70108086, 0x71138086], "ids")
        equal([m.config_read(devfn, 8) >> 8 for devfn in m.functions()],
              [0x060000, 0x060100, 0x010180, 0x068000], "class codes")
        for bus in (1, 255):
            m.outl(0xcf8, 0x80000000 | bus << 16)
            equal(m.inl(0xcfc), 0xffffffff, f"bus {bus}")


def test_configuration_space_is_reached_by_bytes_words_and_dwords(directory):
    with machine(directory) as m:
        m.outl(0xcf8, 0x80000000)
        equal([m.inb(0xcfc + i) for i in range(4)], [0x86, 0x80, 0x37, 0x12], "bytes")
        equal([m.inw(0xcfc), m.inw(0xcfe)], [0x8086, 0x1237], "words")
        m.outl(0xcf8, 0)
        equal(m.inl(0xcfc), 0xffffffff, "without the enable bit")
        m.outl(0xcf8, 0x80000000)
        m.outb(0xcf8, 0x12)
        equal(m.inl(0xcf8), 0x80000000, "a byte does not write CONFADD")


def test_host_bridge_has_the_data_sheets_defaults(directory):
    with machine(directory) as m:
        for offset, width, wanted in (
                (4, 2, 0x0006), (6, 2, 0x0280), (0x0d, 1, 0), (0x0e, 1, 0), (0x0f, 1, 0),
                (0x50, 2, 0), (0x52, 1, 0), (0x53, 1, 0x80), (0x54, 1, 0), (0x55, 2, 0),
                (0x57, 1, 0x01), (0x58, 1, 0x10), *((0x59 + i, 1, 0) for i in range(7)),
                *((0x60 + i, 1, 1) for i in range(8)), (0x68, 1, 0), (0x70, 1, 0), (0x71, 1, 0x10),
                (0x72, 1, 0x02), (0x90, 1, 0), (0x91, 1, 0), (0x93, 1, 0),
                (0x2c, 4, 0x11001af4)):
            equal(m.config_read(HOST, offset, width), wanted, f"register {offset:02x}")


def test_read_only_registers_stay_as_they_are(directory):
    with machine(directory) as m:
        for devfn in m.functions():
            before = [m.config_read(devfn, offset) for offset in (0, 8, 0x2c)]
            for offset in (0, 8, 0x2c):
                m.config_write(devfn, offset, 0xffffffff)
                m.config_write(devfn, offset, 0)
            equal([m.config_read(devfn, offset) for offset in (0, 8, 0x2c)], before, f"{devfn:02x}")


def test_interrupt_line_is_scratch_where_there_is_a_pin(directory):
    with machine(directory) as m:
        for devfn in m.functions():
            m.config_write(devfn, 0x3c, 0x5a, 1)
            pin = m.config_read(devfn, 0x3d, 1)
            if pin != 0:
                equal(m.config_read(devfn, 0x3c, 1), 0x5a, f"{devfn:02x}")


def test_bar_sizes_are_powers_of_two_and_end(directory):
    with machine(directory) as m:
        sizes = {(devfn, offset): m.bar_size(devfn, offset)
                 for devfn in m.functions() for offset in (0x10, 0x14, 0x18, 0x1c, 0x20, 0x24)}
        equal({key: value for key, value in sizes.items() if value[0]}, {(IDE, 0x20): (16, True)}, "BARs")
        for devfn in m.functions():
            m.config_write(devfn, 0x30, 0xffffffff)
            equal(m.config_read(devfn, 0x30), 0, "no expansion ROM")


def test_a_bar_answers_where_it_is_and_only_when_enabled(directory):
    with machine(directory) as m:
        m.config_write(IDE, 0x20, 0xc000)
        equal(m.config_read(IDE, 0x20), 0xc001, "BAR 4")
        m.outl(0xc004, 0x12345678)
        equal(m.inl(0xc004), 0xffffffff, "I/O is off")
        m.config_write(IDE, 4, 1, 2)
        m.outl(0xc004, 0x12345678)
        equal(m.inl(0xc004), 0x12345678, "I/O is on")
        m.config_write(IDE, 0x20, 0xd000)
        equal(m.inl(0xc004), 0xffffffff, "the old place")
        equal(m.inl(0xd004), 0x12345678, "the new place")
        m.config_write(IDE, 4, 0, 2)
        equal(m.inl(0xd004), 0xffffffff, "off again")


# Memory map


def segment(m, register, shift, value):
    keep = m.config_read(HOST, register, 1) & (0xf0 if shift == 0 else 0x0f)
    m.config_write(HOST, register, keep | value << shift, 1)


def test_pam_opens_each_of_the_13_segments_alone(directory):
    with machine(directory) as m:
        for register, shift, address, length in SEGMENTS:
            segment(m, register, shift, 3)
            m.ask(f"memset 0x{address:x} 0x{length:x} 0x{0x40 + shift + (register & 15):x}")
            segment(m, register, shift, 0)
        for register, shift, address, length in SEGMENTS:
            segment(m, register, shift, 1)
            equal(set(m.read(address, length)), {0x40 + shift + (register & 15)}, f"RAM at {address:x}")
            for _, _, other, _ in SEGMENTS:
                byte = m.read(other, 1)[0]
                check(other == address or byte not in range(0x40, 0x60) or other >= 0xe0000,
                      f"{other:x} shows RAM when {address:x} is opened")
            segment(m, register, shift, 0)


def test_pam_protects_against_writes_and_writes_through(directory):
    with machine(directory) as m:
        for register, shift, address, length in SEGMENTS:
            bus = m.read(address, 64)
            segment(m, register, shift, 1)
            equal(m.read(address, 64), b"\0" * 64, f"RAM at {address:x} is clear")
            m.ask(f"writel 0x{address:x} 0x12345678")
            equal(m.read(address, 4), b"\0" * 4, "read-only")
            segment(m, register, shift, 2)
            m.ask(f"writel 0x{address:x} 0x12345678")
            equal(m.read(address, 64), bus, "write-only reads from the bus")
            m.ask(f"writel 0x{address + length - 4:x} 0x9abcdef0")
            segment(m, register, shift, 3)
            equal(m.read(address, 4), bytes.fromhex("78563412"), "first word")
            equal(m.read(address + length - 4, 4), bytes.fromhex("f0debc9a"), "last word")
            segment(m, register, shift, 0)
            equal(m.read(address, 64), bus, "closed")


def test_an_access_across_two_segments_obeys_both(directory):
    with machine(directory) as m:
        m.config_write(HOST, 0x5a, 0x33, 1)
        m.ask("writeq 0xc3ffc 0x1111111122222222")
        m.config_write(HOST, 0x5a, 0x31, 1)  # C0000 read-only, C4000 open
        m.ask("writeq 0xc3ffc 0xaaaaaaaabbbbbbbb")
        equal(m.ask("readq 0xc3ffc"), "0xaaaaaaaa22222222", "both")


def test_firmware_is_at_the_top_and_below_1_mib(directory):
    rom = os.path.join(directory, "rom")
    data = bytes((i * 7 + (i >> 8)) & 0xff for i in range(0x20000))
    with open(rom, "wb") as file:
        file.write(data)
    config = CONFIG.replace('"64M";', f'"64M"; boot = {{ firmware = "{rom}"; }};')
    with machine(directory, config=config) as m:
        equal(m.read(0xfffe0000, 0x20000) == data, True, "at 4 GiB")
        equal(m.read(0xe0000, 0x20000) == data, True, "at 1 MiB")
        m.write(0xffff0000, b"\0" * 16)
        m.write(0xf0000, b"\0" * 16)
        equal(m.read(0xffff0000, 16), data[0x10000:0x10010], "a ROM")
        equal(m.read(0xf0000, 16), data[0x10000:0x10010], "a ROM below")


def test_smram_opens_and_locks(directory):
    with machine(directory) as m:
        m.write(0xa0000, b"\x55")
        equal(m.read(0xa0000, 1), b"\xff", "closed")
        m.config_write(HOST, 0x72, 0x4a, 1)
        m.write(0xa0000, b"\x55")
        m.write(0xbffff, b"\x66")
        equal((m.read(0xa0000, 1), m.read(0xbffff, 1)), (b"\x55", b"\x66"), "open")
        m.config_write(HOST, 0x72, 0x1a, 1)
        equal(m.config_read(HOST, 0x72, 1), 0x1a, "locked")
        m.config_write(HOST, 0x72, 0x4a, 1)
        equal(m.config_read(HOST, 0x72, 1), 0x1a, "locked for good")
        equal(m.read(0xa0000, 1), b"\xff", "closed for good")


def test_memory_ends_where_it_should(directory):
    with machine(directory) as m:
        m.write(0x4000000 - 4, b"\x12\x34\x56\x78" + b"\xaa" * 4)
        equal(m.read(0x4000000 - 4, 8), b"\x12\x34\x56\x78" + b"\xff" * 4, "64 MiB")
        m.write(0x9fffc, b"\x01\x02\x03\x04")
        equal(m.read(0x9fffc, 4), b"\x01\x02\x03\x04", "640 KiB")


def test_memory_above_4_gib_is_there(directory):
    with machine(directory, config=CONFIG.replace("64M", "4097M")) as m:
        files = m.fw_cfg_file("etc/e820")
        ranges = [(int.from_bytes(files[i:i + 8], "little"), int.from_bytes(files[i + 8:i + 16], "little"),
                   int.from_bytes(files[i + 16:i + 20], "little")) for i in range(0, len(files), 20)]
        ram = sorted(r[:2] for r in ranges if r[2] == 1)
        equal(sum(size for _, size in ram), 4097 << 20, "RAM in e820")
        start, size = ram[-1]
        equal(start, 1 << 32, "the high part")
        m.ask(f"writeq 0x{start + size - 8:x} 0x1122334455667788")
        equal(m.ask(f"readq 0x{start + size - 8:x}"), "0x1122334455667788", "its end")
        equal(m.read(start + size, 4), b"\xff" * 4, "behind it")


# Interrupts


def pic_init(m, masks=(0xff, 0xff), icw4=1):
    for port, vector, icw3, mask in ((0x20, 0x08, 4, masks[0]), (0xa0, 0x70, 2, masks[1])):
        m.outb(port, 0x11)
        m.outb(port + 1, vector)
        m.outb(port + 1, icw3)
        m.outb(port + 1, icw4)
        m.outb(port + 1, mask)


def pic(m, port, register):
    m.outb(port, {"irr": 0x0a, "isr": 0x0b}[register])
    return m.inb(port)


def poll(m, port):
    m.outb(port, 0x0c)
    return m.inb(port)


def keyboard_byte(m, value, aux=False):
    """A byte that looks as if a device had sent it: raises IRQ 1 or 12."""
    m.outb(0x64, 0xd3 if aux else 0xd2)
    m.outb(0x60, value)


def keyboard_interrupts(m):
    m.outb(0x64, 0x60)
    m.outb(0x60, 0x03)


def test_8259_masks_requests_and_keeps_them(directory):
    with machine(directory) as m:
        pic_init(m)
        equal((m.inb(0x21), m.inb(0xa1)), (0xff, 0xff), "masks")
        keyboard_interrupts(m)
        keyboard_byte(m, 0x55)
        equal(pic(m, 0x20, "irr") & 2, 2, "IRR")
        equal(poll(m, 0x20), 0, "masked: no interrupt")
        m.outb(0x21, 0xfd)
        equal(poll(m, 0x20), 0x81, "IRQ 1 by poll")
        equal(pic(m, 0x20, "isr"), 0x02, "in service")
        equal(pic(m, 0x20, "irr") & 2, 0, "edge taken")
        m.outb(0x20, 0x61)
        equal(pic(m, 0x20, "isr"), 0, "specific EOI")


def test_8259_cascades_and_ends_both(directory):
    with machine(directory) as m:
        pic_init(m, (0xfb, 0xef))
        keyboard_interrupts(m)
        keyboard_byte(m, 0x66, aux=True)
        equal(pic(m, 0xa0, "irr"), 0x10, "slave's IRR")
        equal(pic(m, 0x20, "irr") & 4, 4, "master's IRR")
        equal(poll(m, 0x20), 0x82, "master")
        equal(poll(m, 0xa0), 0x84, "slave: IRQ 12")
        equal((pic(m, 0x20, "isr"), pic(m, 0xa0, "isr")), (4, 0x10), "both in service")
        m.outb(0xa0, 0x20)
        m.outb(0x20, 0x20)
        equal((pic(m, 0x20, "isr"), pic(m, 0xa0, "isr")), (0, 0), "both ended")


def test_8259_automatic_eoi_leaves_nothing_in_service(directory):
    with machine(directory) as m:
        pic_init(m, (0xfd, 0xff), icw4=3)
        keyboard_interrupts(m)
        keyboard_byte(m, 1)
        equal(poll(m, 0x20), 0x81, "poll")
        equal(pic(m, 0x20, "isr"), 0, "ISR")


def test_8259_remembers_an_edge_that_is_gone(directory):
    with machine(directory) as m:
        pic_init(m, (0xfd, 0xff))
        keyboard_interrupts(m)
        keyboard_byte(m, 1)
        m.inb(0x60)
        equal(poll(m, 0x20), 0x81, "IRQ 1 was a pulse")
        m.outb(0x20, 0x20)
        equal(poll(m, 0x20), 0, "once")


def test_elcr_keeps_the_edge_interrupts_edge(directory):
    with machine(directory) as m:
        equal((m.inb(0x4d0), m.inb(0x4d1)), (0, 0), "reset")
        m.outb(0x4d0, 0xff)
        m.outb(0x4d1, 0xff)
        equal((m.inb(0x4d0), m.inb(0x4d1)), (0xf8, 0xde), "0, 1, 2, 8 and 13 stay")
        equal(m.inw(0x4d0), 0xdef8, "as a word")


def sci(m):
    """Raises and lowers SCI by the power button's status."""
    m.config_write(POWER, 0x40, 0x601)
    m.config_write(POWER, 0x80, 1, 1)
    m.outw(0x602, 0x100)
    m.outw(0x604, 1)


def test_power_button_raises_sci_until_its_status_is_cleared(directory):
    control = os.path.join(directory, "control")
    with machine(directory, "--control", control) as m:
        m.intercept()
        sci(m)
        with Qmp(control) as qmp:
            qmp.ask("system_powerdown")
            m.wait_until(lambda: m.inw(0x600) & 0x100, "PWRBTN_STS")
            equal(m.irqs, [("raise", 9)], "SCI")
            m.outw(0x600, 0x100)
            equal(m.irqs, [("raise", 9), ("lower", 9)], "SCI")
            qmp.event("POWERDOWN")


def test_pirq_registers_take_legal_routes_only(directory):
    with machine(directory) as m:
        for register in range(0x60, 0x64):
            equal(m.config_read(ISA, register, 1), 0x80, "off at reset")
            m.config_write(ISA, register, 0x0b, 1)
            equal(m.config_read(ISA, register, 1), 0x0b, "IRQ 11")


# DMA controllers


def test_8237_registers_count_bytes_through_the_flip_flop(directory):
    with machine(directory) as m:
        for base, step in ((0x00, 1), (0xc0, 2)):
            m.outb(base + 0xd * step, 0)
            for register in range(8):
                port = base + register * step
                m.outb(base + 0xc * step, 0)
                m.outb(port, 0x34 + register)
                m.outb(port, 0x12)
                equal((m.inb(port), m.inb(port)), (0x34 + register, 0x12), f"port {port:x}")
            m.inb(base)
            m.outb(base + 0xc * step, 0)
            equal(m.inb(base), 0x34, "clear flip-flop")


def test_8237_page_registers_are_eight_bits_each(directory):
    with machine(directory) as m:
        for port in (0x81, 0x82, 0x83, 0x87, 0x89, 0x8a, 0x8b, 0x8f):
            m.outb(port, port ^ 0x5a)
        for port in (0x81, 0x82, 0x83, 0x87, 0x89, 0x8a, 0x8b, 0x8f):
            equal(m.inb(port), port ^ 0x5a, f"page {port:x}")


# Keyboard controller


def drain(m):
    got = []
    while m.inb(0x64) & 1:
        got.append(m.inb(0x60))
        check(len(got) < 50, "the keyboard never stops")
    return got


def test_i8042_passes_its_self_tests(directory):
    with machine(directory) as m:
        for command, answer in ((0xaa, [0x55]), (0xab, [0x00]), (0xa9, [0x00])):
            m.outb(0x64, command)
            equal(drain(m), answer, f"command {command:x}")
        equal(m.inb(0x64) & 4, 4, "system flag after the self test")


def test_i8042_command_byte_reads_back(directory):
    with machine(directory) as m:
        m.outb(0x64, 0x60)
        m.outb(0x60, 0x47)
        m.outb(0x64, 0x20)
        equal(drain(m), [0x47], "command byte")
        m.outb(0x64, 0xad)
        m.outb(0x64, 0xa7)
        m.outb(0x64, 0x20)
        equal(drain(m), [0x77], "both devices off")


def test_keyboard_and_mouse_answer_reset_and_identify(directory):
    with machine(directory) as m:
        m.outb(0x64, 0x60)
        m.outb(0x60, 0x00)
        m.outb(0x60, 0xff)
        equal(drain(m), [0xfa, 0xaa], "keyboard reset")
        m.outb(0x60, 0xf2)
        equal(drain(m), [0xfa, 0xab, 0x83], "keyboard id")
        m.outb(0x60, 0xee)
        equal(drain(m), [0xee], "echo")
        for byte, answer in ((0xff, [0xfa, 0xaa, 0x00]), (0xf2, [0xfa, 0x00])):
            m.outb(0x64, 0xd4)
            m.outb(0x60, byte)
            equal(m.inb(0x64) & 0x21, 0x21, "the mouse's data")
            equal(drain(m), answer, f"mouse {byte:x}")


def test_keyboard_interrupt_follows_the_output_buffer(directory):
    with machine(directory) as m:
        keyboard_interrupts(m)
        m.intercept()
        m.outb(0x60, 0xf2)
        check(m.irq(1), "IRQ 1")
        m.inb(0x60)
        check(m.irq(1), "IRQ 1 for the next byte")
        drain(m)
        check(not m.irq(1), "empty")
        equal(len([irq for irq in m.irqs if irq == ("raise", 1)]), 3, "one edge a byte")


# Resets and ends


def with_control(directory, *arguments):
    control = os.path.join(directory, "control")
    return machine(directory, "--control", control, *arguments), control


def check_resets(directory, act):
    m, control = with_control(directory)
    with m, Qmp(control) as qmp:
        m.config_write(HOST, 0x5a, 0x33, 1)
        m.outb(0x4d0, 0x20)
        m.write(0x1000, b"kept")
        act(m)
        equal(qmp.event("RESET"), {"guest": True, "reason": "guest-reset"}, "event")
        m.wait_until(lambda: m.config_read(HOST, 0x5a, 1) == 0, "the host bridge is reset")
        equal(m.inb(0x4d0), 0, "ELCR")
        equal(m.read(0x1000, 4), b"kept", "memory")


def test_cf9_resets_on_the_rising_edge(directory):
    def act(m):
        m.outb(0xcf9, 0x02)
        equal(m.inb(0xcf9), 0x02, "SRST alone")
        m.outb(0xcf9, 0x06)

    check_resets(directory, act)


def test_port_92_resets(directory):
    check_resets(directory, lambda m: m.outb(0x92, 0x01))


def test_keyboard_controller_resets(directory):
    check_resets(directory, lambda m: m.outb(0x64, 0xfe))


def test_system_reset_resets(directory):
    m, control = with_control(directory)
    with m, Qmp(control) as qmp:
        m.outb(0x4d0, 0x20)
        qmp.ask("system_reset")
        equal(qmp.event("RESET"), {"guest": False, "reason": "host-qmp-system-reset"}, "event")
        m.wait_until(lambda: m.inb(0x4d0) == 0, "reset")


def test_no_reboot_turns_a_reset_into_the_end(directory):
    m, control = with_control(directory, "--no-reboot")
    with m, Qmp(control) as qmp:
        m.outb(0xcf9, 0x06)
        equal(qmp.event("SHUTDOWN"), {"guest": True, "reason": "guest-reset"}, "event")
        equal(m.process.wait(20), 0, "exit status")


def test_s5_ends_the_machine(directory):
    m, control = with_control(directory)
    with m, Qmp(control) as qmp:
        m.config_write(POWER, 0x40, 0x601)
        m.config_write(POWER, 0x80, 1, 1)
        dsdt = m.fw_cfg_file("etc/acpi/tables")
        at = dsdt.find(b"_S5_")
        check(at > 0, "no _S5 in the DSDT")
        after = dsdt[at + 4:at + 10]  # PackageOp, length, count, first element
        kind = after[4] if after[3] == 0x0a else after[3]
        m.outw(0x604, 0x2001 | (kind & 7) << 10)
        equal(qmp.event("SHUTDOWN"), {"guest": True, "reason": "guest-shutdown"}, "event")
        equal(m.process.wait(20), 0, "exit status")


if __name__ == "__main__":
    run_tests([value for name, value in sorted(globals().items()) if name.startswith("test_")])
