#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""backend-swap: backends and filters exchanged under a disk that is being used."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from registers import Qmp, TestMachine, equal  # noqa: E402

SIZE = 1 << 20
CONFIG = """
machine = { memory = "16M"; };
backends = { first = { plugin = "block-file"; path = "first.img"; create = "1M"; };
             top = { plugin = "filter-throttle"; below = "first"; }; };
devices = { ide0 = { plugin = "ide"; drives = ( { channel = 0; unit = 0; disk = "top"; } ); };
            fdc0 = { plugin = "floppy"; drives = ( { unit = 0; } ); }; };
"""


class Machine(TestMachine):
    """An IDE disk on a filter on a file; sectors are moved by PIO."""

    def __init__(self, directory):
        self.control = os.path.join(directory, "control")
        self.directory = directory
        super().__init__(CONFIG, directory, "--control", self.control)
        self.qmp = Qmp(self.control)

    def __exit__(self, *arguments):
        self.qmp.__exit__()
        super().__exit__(*arguments)

    def command(self, code, sector):
        for port, value in ((0x1f2, 1), (0x1f3, sector & 0xff), (0x1f4, sector >> 8), (0x1f5, 0), (0x1f6, 0xe0),
                            (0x1f7, code)):
            self.outb(port, value)

    def write_sector(self, sector, word):
        self.start_write(sector, word)
        self.wait_until(lambda: self.inb(0x1f7) & 0x80 == 0, "the end of the write")
        equal(self.inb(0x1f7) & 0x21, 0, "no error")

    def start_write(self, sector, word):
        self.command(0x30, sector)
        self.wait_until(lambda: self.inb(0x1f7) & 0x88 == 0x08, "DRQ")
        for _ in range(256):
            self.outw(0x1f0, word)

    def read_sector(self, sector):
        self.command(0x20, sector)
        self.wait_until(lambda: self.inb(0x1f7) & 0x88 == 0x08, "data")
        return [self.inw(0x1f0) for _ in range(256)]

    def image(self, name, sector):
        with open(os.path.join(self.directory, name + ".img"), "rb") as file:
            file.seek(sector * 512)
            return int.from_bytes(file.read(2), "little")

    def add_file(self, name, size=SIZE):
        self.qmp.ask("blockdev-add", driver="block-file", node__name=name, create=size,
                     path=os.path.join(self.directory, name + ".img"))

    def nodes(self):
        return sorted(node["node-name"] for node in self.qmp.ask("query-named-block-nodes"))


def test_a_disk_moves_to_another_file(directory):
    with Machine(directory) as m:
        m.add_file("second")
        m.write_sector(5, 0x1111)
        m.qmp.ask("backend-swap", device="top", backend="second")
        m.write_sector(6, 0x2222)
        equal((m.image("first", 5), m.image("first", 6)), (0x1111, 0), "the first file")
        equal((m.image("second", 5), m.image("second", 6)), (0, 0x2222), "the second file")
        m.qmp.fails("Node second is in use", "blockdev-del", node__name="second")
        m.qmp.ask("blockdev-del", node__name="first")
        equal(m.nodes(), ["second", "top"], "nodes")


def test_another_size_is_refused_and_undone(directory):
    with Machine(directory) as m:
        m.add_file("small", SIZE // 2)
        m.write_sector(1, 0x1234)
        m.qmp.fails("not of the same size", "backend-swap", device="top", backend="small")
        equal(m.read_sector(1), [0x1234] * 256, "the old one is back")
        m.write_sector(2, 0x4321)
        equal(m.image("first", 2), 0x4321, "and written to")
        m.qmp.ask("backend-swap", device="top", backend="small", verify="none")
        equal(m.read_sector(1), [0] * 256, "any size with verify=none")
        m.qmp.ask("backend-swap", device="top", backend="first", verify="none")


def test_a_filter_is_inserted_and_removed(directory):
    with Machine(directory) as m:
        m.write_sector(3, 0xaaaa)
        m.qmp.ask("backend-swap", device="top",
                  backend={"driver": "filter-fault", "node-name": "late", "rules": [{"op": "read", "count": 1}]})
        equal(m.nodes(), ["first", "late", "top"], "nodes with the filter")
        m.command(0x20, 3)
        m.wait_until(lambda: m.inb(0x1f7) & 0x80 == 0, "the end of the read")
        equal(m.inb(0x1f7) & 1, 1, "the filter's error")
        equal(m.read_sector(3), [0xaaaa] * 256, "then it reads through")
        m.qmp.ask("backend-swap", device="top", backend="first")
        equal(m.nodes(), ["first", "top"], "the filter is gone")
        equal(m.read_sector(3), [0xaaaa] * 256, "without the filter")


def test_what_fails_leaves_everything_as_it_was(directory):
    with Machine(directory) as m:
        m.add_file("second")
        fails = m.qmp.fails
        fails("Device 'nope' not found", "backend-swap", "DeviceNotFound", device="nope", backend="second")
        fails("Node 'nope' not found", "backend-swap", device="top", backend="nope")
        fails("Node 'first' is there already", "backend-swap", device="top", backend="first")
        fails("does not accept value 'x'", "backend-swap", device="top", backend="second", verify="x")
        fails("expected: string or object", "backend-swap", device="top", backend=5)
        fails("is no filter", "backend-swap", device="top", backend={"driver": "block-ram", "size": "1M"})
        fails("unknown option", "backend-swap", device="top", backend={"driver": "filter-throttle", "ipos": 1})
        fails("no backend that a filter", "backend-swap", device="fdc0", backend={"driver": "filter-throttle"})
        equal(m.nodes(), ["first", "second", "top"], "nodes")
        m.write_sector(9, 0x9999)
        equal(m.image("first", 9), 0x9999, "the disk works")


def test_two_hundred_swaps_lose_nothing(directory):
    """Each swap comes while a write is in flight; it ends in the old file or the new one, whole."""
    with Machine(directory) as m:
        m.add_file("second")
        names = ("second", "first")
        with Qmp(m.control) as other:
            for number in range(200):
                sector = number % 2000
                m.start_write(sector, number + 1)
                other.ask("backend-swap", device="top", backend=names[number & 1])
                m.wait_until(lambda: m.inb(0x1f7) & 0x80 == 0, "the end of the write")
                equal(m.inb(0x1f7) & 0x21, 0, "no error")
                found = sorted((m.image("first", sector), m.image("second", sector)))
                equal(found, [0, number + 1], f"write {number} is in one of the files")
        check(len(os.listdir(f"/proc/{m.process.pid}/fd")) < 64, "descriptors do not grow")


if __name__ == "__main__":
    run_tests([test for name, test in sorted(globals().items()) if name.startswith("test_")])
