#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""virtio-blk through the whole machine: both interfaces, INTx and MSI-X, many disks, resize."""

import os
import random
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from registers import Qmp, TestMachine, equal  # noqa: E402

SECTOR = 512
SIZE = 1 << 20
RING, HEADER, STATUS, DATA, MESSAGES = 0x100000, 0x180000, 0x180100, 0x200000, 0x3f0000
IO, MMIO = 0xc000, 0xe0000000
VERSION_1, RING_RESET = 1 << 32, 1 << 40
IN, OUT, FLUSH, GET_ID = 0, 1, 4, 8


def slot_irq(slot):
    """The GSI of INTA of a slot, whose PIRQ the test routed to 10 or 11."""
    return 10 + (slot - 1) % 2


class Disk:
    """One function, driven as a driver would, with one split queue of 64 entries."""

    def __init__(self, machine, devfn, index):
        self.m, self.devfn = machine, devfn
        self.io, self.mmio = IO + 0x80 * index, MMIO + 0x10000 * index
        self.ring = RING + 0x4000 * (index % 8)
        machine.config_write(devfn, 0x10, self.io)
        machine.config_write(devfn, 0x14, self.mmio)
        machine.config_write(devfn, 4, 7, 2)
        self.caps = dict(self.capabilities())

    def capabilities(self):
        at = self.m.config_read(self.devfn, 0x34, 1)
        while at:
            kind = self.m.config_read(self.devfn, at, 1)
            yield (kind, self.m.config_read(self.devfn, at + 3, 1) if kind == 9 else 0), at
            at = self.m.config_read(self.devfn, at + 1, 1)

    def mmio_write(self, offset, width, value):
        self.m.ask(f"write{ {1: 'b', 2: 'w', 4: 'l'}[width] } 0x{self.mmio + offset:x} 0x{value:x}")

    def mmio_read(self, offset, width):
        return int(self.m.ask(f"read{ {1: 'b', 2: 'w', 4: 'l'}[width] } 0x{self.mmio + offset:x}"), 16)

    def offered(self):
        self.mmio_write(0, 4, 1)
        high = self.mmio_read(4, 4)
        self.mmio_write(0, 4, 0)
        return high << 32 | self.mmio_read(4, 4)

    def clear_ring(self):
        self.m.ask(f"memset 0x{self.ring:x} 0x4000 0")
        self.avail = self.used = 0

    def legacy(self, without=1 << 29):
        self.modern = False
        self.m.outb(self.io + 0x12, 0)
        self.m.outb(self.io + 0x12, 3)
        self.m.outl(self.io + 4, self.m.inl(self.io) & ~without)
        self.m.outw(self.io + 14, 0)
        self.size = self.m.inw(self.io + 12)
        self.clear_ring()
        self.places = (self.ring, self.ring + 16 * self.size,
                       (self.ring + 16 * self.size + 6 + 2 * self.size + 4095) & ~4095)
        self.m.outl(self.io + 8, self.ring >> 12)
        self.m.outb(self.io + 0x12, 7)

    def start_modern(self, features=VERSION_1, vector=0xffff):
        self.modern, self.size = True, 64
        self.mmio_write(0x14, 1, 0)
        self.mmio_write(0x14, 1, 3)
        for select in (0, 1):
            self.mmio_write(8, 4, select)
            self.mmio_write(12, 4, features >> 32 * select & 0xffffffff)
        self.mmio_write(0x14, 1, 11)
        equal(self.mmio_read(0x14, 1), 11, "FEATURES_OK sticks")
        self.mmio_write(0x10, 2, 0 if vector != 0xffff else 0xffff)
        self.mmio_write(0x16, 2, 0)
        self.mmio_write(0x18, 2, self.size)
        self.mmio_write(0x1a, 2, vector)
        self.clear_ring()
        self.places = (self.ring, self.ring + 0x1000, self.ring + 0x2000)
        for i, place in enumerate(self.places):
            self.mmio_write(0x20 + 8 * i, 4, place)
            self.mmio_write(0x24 + 8 * i, 4, 0)
        self.mmio_write(0x1c, 2, 1)
        self.mmio_write(0x14, 1, 15)

    def notify(self):
        if self.modern:
            self.mmio_write(0x3000, 2, 0)
        else:
            self.m.outw(self.io + 16, 0)

    def used_index(self):
        return int.from_bytes(self.m.read(self.places[2] + 2, 2), "little")

    def offer(self, kind, sector=0, data=b"", length=0):
        """Puts a request into the ring, and tells the device."""
        self.m.write(HEADER, struct.pack("<IIQ", kind, 0, sector))
        self.m.write(STATUS, b"\xee")
        size = length or len(data)
        if data:
            self.m.write(DATA, data)
        chain = [(HEADER, 16, 0)] + ([(DATA, size, 2 if length else 0)] if size else []) + [(STATUS, 1, 2)]
        table = b"".join(struct.pack("<QIHH", gpa, n, flags | (i + 1 < len(chain)), i + 1)
                         for i, (gpa, n, flags) in enumerate(chain))
        self.m.write(self.places[0], table)
        self.m.write(self.places[1] + 4 + 2 * (self.avail % self.size), b"\0\0")
        self.avail = (self.avail + 1) & 0xffff
        self.m.write(self.places[1] + 2, struct.pack("<H", self.avail))
        self.notify()

    def request(self, kind, sector=0, data=b"", length=0):
        """Returns the status byte and, for reads, the data."""
        self.offer(kind, sector, data, length)
        self.m.wait_until(lambda: self.used_index() == self.avail, "a used entry")
        return self.m.read(STATUS, 1)[0], self.m.read(DATA, length) if length else b""


def machine(directory, count=1, options="", extra="", backend='plugin = "block-file"; path = "{image}";'):
    images, data = [], []
    for i in range(count):
        images.append(os.path.join(directory, f"disk{i}.img"))
        data.append(random.Random(i).randbytes(64 * SECTOR) + bytes(SIZE - 64 * SECTOR))
        with open(images[i], "wb") as file:
            file.write(data[i])
    backends = "".join(f'd{i} = {{ {backend.format(image=image)} }};\n'
                       for i, image in enumerate(images))
    disks = "".join(f'blk{i} = {{ plugin = "virtio-blk"; backend = "d{i}"; '
                    f'{options(i) if callable(options) else options} }};\n' for i in range(count))
    m = TestMachine(f"""
machine = {{ memory = "64M"; {extra} }};
backends = {{ {backends} }};
devices = {{ {disks} }};
""", directory, f"--control={os.path.join(directory, 'qmp')}")
    m.intercept()
    for pirq in range(4):
        m.config_write(0x08, 0x60 + pirq, 10 + pirq % 2, 1)
    m.disks = [devfn for devfn in m.functions() if m.config_read(devfn, 0) in (0x10011af4, 0x10421af4)]
    m.images, m.data = images, data
    return m


def test_a_legacy_driver_reads_writes_and_is_interrupted(directory):
    with machine(directory) as m:
        disk = Disk(m, m.disks[0], 0)
        disk.legacy()
        equal(m.inl(disk.io + 0x14), SIZE // SECTOR, "capacity")
        equal(disk.request(IN, 3, length=4096), (0, m.data[0][3 * SECTOR:3 * SECTOR + 4096]), "read")
        irq = slot_irq(m.disks[0] >> 3)
        check(m.irq(irq), "INTx is raised")
        equal(m.inb(disk.io + 0x13), 1, "ISR")
        check(not m.irq(irq), "reading ISR lowers it")
        equal(disk.request(OUT, 9, os.urandom(1024))[0], 0, "write")
        with open(m.images[0], "rb") as file:
            file.seek(9 * SECTOR)
            equal(file.read(1024), m.read(DATA, 1024), "the file holds it")
        equal(disk.request(FLUSH)[0], 0, "flush")
        equal(disk.request(GET_ID, length=20), (0, b"blk0" + bytes(16)), "id")
        equal(disk.request(7)[0], 2, "unsupported")
        m.outb(disk.io + 0x12, 0)
        equal(m.inb(disk.io + 0x12), 0, "status after reset")


def test_a_modern_driver_gets_messages(directory):
    with machine(directory, options='interface = "modern";') as m:
        disk = Disk(m, m.disks[0], 0)
        msix = disk.caps[0x11, 0]
        table = m.config_read(disk.devfn, msix + 4)
        equal(table & 7, 1, "the table's BAR")
        for vector in range(2):
            at = disk.mmio + (table & ~7) + 16 * vector
            for offset, value in ((0, MESSAGES + 4 * vector), (4, 0), (8, 0x1234 + vector), (12, 0)):
                m.ask(f"writel 0x{at + offset:x} 0x{value:x}")
        m.config_write(disk.devfn, msix + 2, 0x8000, 2)
        disk.start_modern(vector=1)
        equal(disk.request(IN, 0, length=512), (0, m.data[0][:512]), "read")
        m.wait_until(lambda: m.read(MESSAGES + 4, 4) == struct.pack("<I", 0x1235), "the queue's message")
        equal(m.read(MESSAGES, 4), bytes(4), "no configuration message yet")
        with Qmp(os.path.join(directory, "qmp")) as qmp:
            qmp.ask("block_resize", **{"node-name": "d0", "size": 2 * SIZE})
        m.wait_until(lambda: m.read(MESSAGES, 4) == struct.pack("<I", 0x1234), "the message after a resize")
        equal(disk.mmio_read(0x2000, 4), 2 * SIZE // SECTOR, "capacity")
        equal(disk.request(IN, 2 * SIZE // SECTOR - 1, length=512), (0, bytes(512)), "the new end")


def test_a_masked_vector_waits_with_its_pending_bit(directory):
    with machine(directory) as m:
        disk = Disk(m, m.disks[0], 0)
        msix = disk.caps[0x11, 0]
        table = disk.mmio + (m.config_read(disk.devfn, msix + 4) & ~7)
        pending = disk.mmio + (m.config_read(disk.devfn, msix + 8) & ~7)
        m.ask(f"writel 0x{table + 16:x} 0x{MESSAGES:x}")
        m.ask(f"writel 0x{table + 24:x} 0x77")
        m.config_write(disk.devfn, msix + 2, 0x8000, 2)
        disk.start_modern(vector=1)
        disk.request(IN, 0, length=512)
        m.wait_until(lambda: int(m.ask(f"readl 0x{pending:x}"), 16) == 2, "the pending bit")
        equal(m.read(MESSAGES, 4), bytes(4), "no message while masked")
        m.ask(f"writel 0x{table + 28:x} 0")
        m.wait_until(lambda: m.read(MESSAGES, 4) == b"\x77\0\0\0", "the message after unmasking")


def test_registers_are_reached_through_configuration_space(directory):
    with machine(directory) as m:
        disk = Disk(m, m.disks[0], 0)
        disk.start_modern()
        cap = disk.caps[9, 5]

        def select(offset, width):
            m.config_write(disk.devfn, cap + 4, 1, 1)
            m.config_write(disk.devfn, cap + 8, offset)
            m.config_write(disk.devfn, cap + 12, width)

        select(0x14, 1)
        equal(m.config_read(disk.devfn, cap + 16, 1), 15, "status")
        select(0x2000, 4)
        equal(m.config_read(disk.devfn, cap + 16), SIZE // SECTOR, "capacity")
        select(0x14, 1)
        m.config_write(disk.devfn, cap + 16, 0, 1)
        equal(disk.mmio_read(0x14, 1), 0, "the reset came through")
        equal(m.config_read(disk.devfn, cap + 16, 1), 0, "each read asks anew")


def test_28_disks_answer_in_one_machine(directory):
    with machine(directory, 28) as m:
        equal(len(m.disks), 28, "disks on the bus")
        for index, devfn in enumerate(m.disks):
            disk = Disk(m, devfn, index)
            (disk.legacy if index % 2 else disk.start_modern)()
            equal(disk.request(GET_ID, length=20)[1].rstrip(b"\0"), b"blk%d" % index, "id")
            equal(disk.request(IN, 7, length=512), (0, m.data[index][7 * SECTOR:8 * SECTOR]), "read")


class Bridge:
    """A bridge, with a bus number and a window of ports and of memory as firmware would give them."""

    def __init__(self, machine, devfn, number):
        self.m, self.devfn, self.number = machine, devfn, number
        machine.config_write(devfn, 0x18, number << 16 | number << 8)
        self.windows(True)
        machine.config_write(devfn, 4, 7, 2)

    def windows(self, are_open):
        io, memory = 0x1000 * self.number, MMIO + 0x1000000 * self.number
        self.m.config_write(self.devfn, 0x1c, (io >> 8) * 0x101 if are_open else 0x00f0, 2)
        self.m.config_write(self.devfn, 0x20, (memory >> 16) + 0xf0 << 16 | memory >> 16 if are_open else 0xfff0)
        self.m.config_write(self.devfn, 0x24, 0xfff0)

    def disk(self, devfn, index):
        disk = Disk(self.m, devfn, 0)
        disk.io, disk.mmio = 0x1000 * self.number + 0x80 * index, MMIO + 0x1000000 * self.number + 0x10000 * index
        self.m.config_write(devfn, 0x10, disk.io)
        self.m.config_write(devfn, 0x14, disk.mmio)
        return disk


def answers(m, disk, index):
    """A disk is the one that it should be."""
    (disk.legacy if index % 2 else disk.start_modern)()
    equal(disk.request(GET_ID, length=20)[1].rstrip(b"\0"), b"blk%d" % index, "id")
    equal(disk.request(IN, 7, length=512), (0, m.data[index][7 * SECTOR:8 * SECTOR]), "read")


def test_100_disks_answer_in_functions_of_a_slot_and_behind_bridges(directory):
    started = time.monotonic()
    with machine(directory, 100, options=lambda i: f'address = "02.{i}";' if i < 8 else "",
                 extra='pci_bridges = ("1d.0", "1e.0", "1f.0");') as m:
        print(f"# 100 disks: ready after {time.monotonic() - started:.2f} s")
        equal(len(m.disks), 8 + 26, "disks on the board's bus")
        check(m.config_read(0x10, 0x0e, 1) & 0x80, "the slot says that it has more functions")
        for index, devfn in enumerate(m.disks):
            answers(m, Disk(m, devfn, index), index)
        index = len(m.disks)
        for number, devfn in enumerate(d for d in m.functions() if m.config_read(d, 8) >> 8 == 0x060400):
            equal(m.config_read(devfn, 0x0e, 1), 1, "header of a bridge")
            number = number + 1
            equal(m.functions(number), [], "nothing has that number yet")
            bridge = Bridge(m, devfn, number)
            for at, behind in enumerate(m.functions(number)):
                answers(m, bridge.disk(behind, at), index)
                index += 1
        equal(index, 100, "disks that answered")


def test_a_bridge_passes_what_its_windows_say_and_turns_interrupt_pins(directory):
    with machine(directory, 2, options=lambda i: f'address = "1:{6 + i:02x}.0";', extra='pci_bridges = ("1e.0");') as m:
        equal(m.disks, [], "disks on the board's bus")
        bridge = Bridge(m, 0x1e << 3, 3)
        found = m.functions(3)
        equal(found, [3 << 8 | 6 << 3, 3 << 8 | 7 << 3], "behind the bridge")
        for index, devfn in enumerate(found):
            disk = bridge.disk(devfn, index)
            disk.legacy()
            equal(disk.request(GET_ID, length=20)[1].rstrip(b"\0"), b"blk%d" % index, "id")
            pin = ((devfn >> 3) + 0) & 3
            irq = 10 + (0x1e - 1 + pin) % 4 % 2
            check(m.irq(irq), f"the pin turns to IRQ {irq}")
            m.inb(disk.io + 0x13)
            check(not m.irq(irq), "and falls")
        bridge.windows(False)
        equal(m.inl(disk.io), 0xffffffff, "ports outside the window")
        equal(disk.mmio_read(0x14, 1), 0xff, "memory outside the window")
        bridge.windows(True)
        equal(m.inb(disk.io + 0x12), 7, "inside again")
        m.config_write(bridge.devfn, 4, 4, 2)
        equal(m.inl(disk.io), 0xffffffff, "a bridge that forwards nothing")
        m.config_write(bridge.devfn, 4, 7, 2)
        equal(m.inb(disk.io + 0x12), 7, "and forwards again")
        m.config_write(bridge.devfn, 0x3e, 0x40, 2)
        equal(m.config_read(found[0], 0x10), 1, "a reset of the bus takes the BARs away")
        m.config_write(bridge.devfn, 0x3e, 0, 2)
        m.config_write(bridge.devfn, 0x18, 5 << 16 | 5 << 8)
        equal((m.functions(3), len(m.functions(5))), ([], 2), "the number is the guest's")


def test_two_loops_serve_four_queues(directory):
    with machine(directory, options="queues = 4; queue_loops = (0, 1);", extra="loops = 2;") as m:
        disk = Disk(m, m.disks[0], 0)
        equal(disk.mmio_read(0x12, 2), 4, "queues")
        equal(disk.mmio_read(0x2000 + 34, 2), 4, "num_queues")
        disk.start_modern(VERSION_1 | 1 << 12)
        for sector in range(20):
            equal(disk.request(IN, sector, length=512),
                  (0, m.data[0][sector * SECTOR:(sector + 1) * SECTOR]), "read")


def test_a_broken_ring_needs_a_reset_and_nothing_else(directory):
    with machine(directory) as m:
        disk = Disk(m, m.disks[0], 0)
        disk.start_modern()
        m.write(disk.places[0], struct.pack("<QIHH", 1 << 50, 16, 0, 0))
        m.write(disk.places[1] + 2, b"\1\0")
        disk.notify()
        m.wait_until(lambda: disk.mmio_read(0x14, 1) & 64, "NEEDS_RESET")
        disk.start_modern()
        equal(disk.request(IN, 1, length=512), (0, m.data[0][SECTOR:2 * SECTOR]), "read")


if __name__ == "__main__":
    run_tests([
        test_a_legacy_driver_reads_writes_and_is_interrupted,
        test_a_modern_driver_gets_messages,
        test_a_masked_vector_waits_with_its_pending_bit,
        test_registers_are_reached_through_configuration_space,
        test_28_disks_answer_in_one_machine,
        test_100_disks_answer_in_functions_of_a_slot_and_behind_bridges,
        test_a_bridge_passes_what_its_windows_say_and_turns_interrupt_pins,
        test_two_loops_serve_four_queues,
        test_a_broken_ring_needs_a_reset_and_nothing_else,
    ])
