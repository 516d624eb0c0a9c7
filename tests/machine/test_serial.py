#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Serial ports in the whole machine: ports, interrupts, a socket as the line."""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from registers import TestMachine, equal  # noqa: E402

DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR = range(8)
PORTS = ((0x3f8, 4), (0x2f8, 3), (0x3e8, 4), (0x2e8, 3))


def machine(directory, config=None):
    return TestMachine(config or """
machine = { memory = "16M"; };
devices = { com1 = { plugin = "serial"; }; com2 = { plugin = "serial"; };
            com3 = { plugin = "serial"; }; com4 = { plugin = "serial"; }; };
""", directory)


def test_four_ports_have_their_places_and_interrupts(directory):
    with machine(directory) as m:
        m.intercept()
        for i, (base, _) in enumerate(PORTS):
            m.outb(base + SCR, 0xa0 + i)
        for i, (base, irq) in enumerate(PORTS):
            equal(m.inb(base + SCR), 0xa0 + i, f"scratch of {base:x}")
            m.outb(base + MCR, 0x08)
            m.outb(base + IER, 0x02)
            check(m.irq(irq), f"IRQ {irq} of {base:x}")
            equal(m.inb(base + IIR) & 0x0f, 2, "transmitter empty")
            check(not m.irq(irq), "IIR's read ends it")
            m.outb(base + IER, 0)


def test_registers_after_reset(directory):
    with machine(directory) as m:
        base = 0x3f8
        equal([m.inb(base + r) for r in (IER, IIR, LCR, MCR, LSR)], [0, 1, 0, 0, 0x60], "registers")
        m.outb(base + LCR, 0x80)
        m.outb(base + DATA, 0x34)
        m.outb(base + IER, 0x12)
        equal((m.inb(base + DATA), m.inb(base + IER)), (0x34, 0x12), "divisor")
        m.outb(base + LCR, 0x03)
        equal(m.inb(base + IER), 0, "IER is another register")
        for register, written, read in ((IER, 0xff, 0x0f), (MCR, 0xff, 0x1f), (LCR, 0x7f, 0x7f)):
            m.outb(base + register, written)
            equal(m.inb(base + register), read, f"register {register}")


def test_loop_back_carries_data_and_modem_lines(directory):
    with machine(directory) as m:
        base = 0x3f8
        m.intercept()
        m.outb(base + LCR, 3)
        m.outb(base + MCR, 0x18)
        m.outb(base + IER, 1)
        m.outb(base + DATA, 0x5a)
        m.step(10000000)
        equal(m.inb(base + LSR) & 1, 1, "data ready")
        equal(m.inb(base + IIR) & 0x0f, 4, "receive interrupt")
        equal(m.inb(base + DATA), 0x5a, "the byte")
        equal(m.inb(base + LSR) & 1, 0, "taken")
        for outputs, inputs in ((0x01, 0x20), (0x02, 0x10), (0x04, 0x40), (0x08, 0x80)):
            m.outb(base + MCR, 0x10 | outputs)
            equal(m.inb(base + MSR) & 0xf0, inputs, f"outputs {outputs:x}")


def test_fifo_reports_itself(directory):
    with machine(directory) as m:
        base = 0x3f8
        equal(m.inb(base + IIR) & 0xc0, 0, "off")
        m.outb(base + IIR, 0xc1)
        equal(m.inb(base + IIR) & 0xc0, 0xc0, "on")
        m.outb(base + IIR, 0)
        equal(m.inb(base + IIR) & 0xc0, 0, "off again")


def test_a_socket_is_the_line(directory):
    path = os.path.join(directory, "line")
    config = f"""
machine = {{ memory = "16M"; }};
backends = {{ line = {{ plugin = "char-socket"; path = "{path}"; }}; }};
devices = {{ com1 = {{ plugin = "serial"; backend = "line"; }}; }};
"""
    with machine(directory, config) as m, socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(path)
        base = 0x3f8
        m.intercept()
        m.outb(base + LCR, 3)
        m.outb(base + IIR, 0x07)
        m.outb(base + MCR, 0x0b)
        for byte in b"hello":
            m.wait_until(lambda: m.inb(base + LSR) & 0x20, "THRE")
            m.outb(base + DATA, byte)
            m.step(1000000)
        got = b""
        while len(got) < 5:
            got += line.recv(5)
        equal(got, b"hello", "sent")
        m.outb(base + IER, 1)
        line.sendall(b"back")
        back = b""

        def more():
            nonlocal back
            m.step(1000000)
            if m.inb(base + LSR) & 1:
                equal(m.inb(base + IIR) & 0x0b, 0, "an interrupt")
                back += bytes([m.inb(base + DATA)])
            return len(back) == 4

        m.wait_until(more, "received bytes")
        equal(back, b"back", "received")


if __name__ == "__main__":
    run_tests([value for name, value in sorted(globals().items()) if name.startswith("test_")])
