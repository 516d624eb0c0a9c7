#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CD drives of the IDE controller, and what drives do with errors, through the whole machine: packets by
PIO and DMA as a driver sends them, media changed by QMP, requests held until the machine goes on."""

import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from registers import Qmp, TestMachine, equal  # noqa: E402

FUNCTION, BM, TABLE, BUFFER, EOT = 0x09, 0xc000, 0x10000, 0x100000, 0x80000000
PORTS, IRQS = (0x1f0, 0x170), (14, 15)
BSY, DRDY, DF, DRQ, ERR = 0x80, 0x40, 0x20, 0x08, 0x01
BLOCK = 2048
CD_BYTES = 256 * BLOCK


class IdeMachine(TestMachine):
    def __init__(self, directory, drives, backends=""):
        self.cd = random.Random(5).randbytes(CD_BYTES)
        self.directory = directory
        with open(os.path.join(directory, "cd.iso"), "wb") as file:
            file.write(self.cd)
        self.control = os.path.join(directory, "control")
        super().__init__(f"""
machine = {{ memory = "16M"; }};
backends = {{ cd = {{ plugin = "block-file"; path = "{directory}/cd.iso"; readonly = true; }}; {backends} }};
devices = {{ ide0 = {{ plugin = "ide"; drives = ( {drives} ); }}; }};
""", directory, "--control", self.control)
        self.config_write(FUNCTION, 0x20, BM)
        self.config_write(FUNCTION, 4, 5, 2)
        self.intercept()

    def status(self, channel=0):
        return self.inb(PORTS[channel] + 0x206)

    def settle(self, channel=0):
        self.wait_until(lambda: self.status(channel) & BSY == 0, "BSY")
        return self.status(channel)

    def wait_irq(self, channel=0):
        self.wait_until(lambda: self.status(channel) is not None and self.irq(IRQS[channel]), "interrupt")

    def packet(self, cdb, limit=0xfffe, channel=0, unit=0, dma=False):
        port = PORTS[channel]
        self.outb(port + 6, 0xa0 | unit << 4)
        self.outb(port + 1, 1 if dma else 0)
        self.outb(port + 4, limit & 0xff)
        self.outb(port + 5, limit >> 8)
        self.outb(port + 7, 0xa0)
        equal(self.settle(channel) & (DRQ | DRDY | ERR | DF), DRQ | DRDY, "the drive wants the packet")
        equal(self.inb(port + 2), 1, "and says so: command")
        for (word,) in struct.iter_unpack("<H", bytes(cdb) + bytes(12 - len(cdb))):
            self.outw(port, word)

    def burst(self, expected, channel=0):
        port = PORTS[channel]
        self.wait_irq(channel)
        equal(self.inb(port + 7) & (BSY | DRQ | DRDY | ERR | DF), DRQ | DRDY, "status of a burst")
        check(not self.irq(IRQS[channel]), "the status read takes the interrupt")
        equal(self.inb(port + 2), 2, "reason: data to the host")
        equal(self.inb(port + 4) | self.inb(port + 5) << 8, expected, "byte count")
        return b"".join(struct.pack("<H", self.inw(port)) for _ in range((expected + 1) // 2))[:expected]

    def end(self, channel=0, error=0):
        port = PORTS[channel]
        self.wait_irq(channel)
        equal(self.inb(port + 2), 3, "reason: status")
        equal(self.inb(port + 7) & (BSY | DRQ | DRDY | ERR | DF), DRDY | (ERR if error else 0), "status")
        equal(self.inb(port + 1), error, "error")

    def sense(self, channel=0, unit=0):
        self.packet([3, 0, 0, 0, 18], 18, channel, unit)
        data = self.burst(18, channel)
        self.end(channel)
        return data[2] & 15, data[12], data[13]

    def read10(self, block, blocks, **how):
        self.packet(struct.pack(">BBIBHB", 0x28, 0, block, 0, blocks, 0), **how)

    def prds(self, *pieces):
        self.outb(BM, 0)
        self.outb(BM + 2, 6)
        self.write(TABLE, b"".join(struct.pack("<II", *piece) for piece in pieces))
        self.outl(BM + 4, TABLE)

    def command(self, command, lba, count):
        self.outb(0x1f6, 0xe0)
        for offset, value in ((2, count), (3, lba), (4, lba >> 8), (5, lba >> 16), (7, command)):
            self.outb(0x1f0 + offset, value & 0xff)


def test_large_reads_come_in_bursts(directory):
    with IdeMachine(directory, '{ channel = 0; unit = 0; cdrom = "cd"; }') as m:
        for limit, blocks in ((5120, 10), (2048, 3), (65535, 40), (513, 1)):
            m.read10(7, blocks, limit=limit)
            most = (0xfffe if limit == 65535 else limit) & ~1
            data = b""
            while len(data) < blocks * BLOCK:
                data += m.burst(min(most, blocks * BLOCK - len(data)))
            m.end()
            equal(data == m.cd[7 * BLOCK:(7 + blocks) * BLOCK], True, f"limit {limit}")


def test_dma_reads_scatter(directory):
    with IdeMachine(directory, '{ channel = 0; unit = 0; cdrom = "cd"; }') as m:
        m.prds((BUFFER, 4000), (BUFFER + 0x4000, 2), (BUFFER + 0x5000, EOT | 20480 - 4002))
        m.read10(3, 10, dma=True)
        check(not m.irq(14), "no interrupt before the bus master")
        m.outb(BM, 9)
        m.wait_until(lambda: m.inb(BM + 2) & 5 != 1, "the bus master")
        equal(m.inb(BM + 2) & 7, 4, "interrupt, not active")
        m.end()
        data = m.read(BUFFER, 4000) + m.read(BUFFER + 0x4000, 2) + m.read(BUFFER + 0x5000, 20480 - 4002)
        equal(data == m.cd[3 * BLOCK:13 * BLOCK], True, "data")


def test_four_cds_answer_for_themselves(directory):
    backends = "".join(f'e{i} = {{ plugin = "block-null"; size = "{i}M"; }}; ' for i in (1, 2, 3))
    drives = ", ".join(f'{{ channel = {i // 2}; unit = {i % 2}; cdrom = "{"cd" if i == 0 else f"e{i}"}"; }}'
                       for i in range(4))
    with IdeMachine(directory, drives, backends) as m:
        for i in range(4):
            where = {"channel": i // 2, "unit": i % 2}
            m.packet([0x25], 8, **where)
            last, size = struct.unpack(">II", m.burst(8, i // 2))
            m.end(i // 2)
            equal((last + 1, size), (256 if i == 0 else 512 * i, BLOCK), f"capacity of drive {i}")


def test_an_empty_drive_flushes_and_reports_no_medium(directory):
    with IdeMachine(directory, '{ channel = 0; unit = 0; kind = "cdrom"; }') as m:
        m.outb(0x1f6, 0xa0)
        m.outb(0x1f7, 0xe7)
        equal(m.settle() & (DRDY | ERR | DRQ), DRDY, "FLUSH CACHE")
        m.read10(0, 1)
        m.end(error=0x20)
        equal(m.sense()[:2], (2, 0x3a), "no medium")


def test_media_change_by_qmp(directory):
    other = os.path.join(directory, "other.iso")
    data = random.Random(6).randbytes(CD_BYTES)
    with open(other, "wb") as file:
        file.write(data)
    with IdeMachine(directory, '{ channel = 0; unit = 0; cdrom = "cd"; }') as m, Qmp(m.control) as qmp:
        m.packet([0x1e, 0, 0, 0, 1])
        m.end()
        qmp.fails("locked", "eject", id="ide0:0.0")
        m.packet([0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8], 8)
        event = m.burst(8)
        m.end()
        equal(event[4] & 15, 1, "an eject request")
        m.packet([0x1e])
        m.end()
        qmp.ask("blockdev-change-medium", id="ide0:0.0", filename=other, format="raw")
        m.packet([0])
        m.end(error=0x20)
        equal(m.sense()[:2], (2, 0x3a), "first there is none")
        m.packet([0])
        m.end(error=0x60)
        equal(m.sense(), (6, 0x28, 0), "then another")
        m.read10(9, 1)
        equal(m.burst(BLOCK) == data[9 * BLOCK:10 * BLOCK], True, "its data")
        m.end()
        qmp.ask("eject", id="ide0:0.0")
        m.packet([0])
        m.end(error=0x20)
        moves = [event["data"]["tray-open"] for event in qmp.events if event["event"] == "DEVICE_TRAY_MOVED"]
        equal(moves[:2], [True, False], "the tray opened and closed")


FAULTS = """real = {{ plugin = "block-ram"; size = "1M"; }};
  disk = {{ plugin = "filter-fault"; below = "real"; rules = ( {{ {} }} ); }};"""


def holds(directory, drive, fault, start, finish):
    """A request fails; the machine stops; `cont` makes it again."""
    with IdeMachine(directory, drive, FAULTS.format(fault)) as m, Qmp(m.control) as qmp:
        start(m)
        event = qmp.event("BLOCK_IO_ERROR")
        equal((event["device"], event["action"]), ("ide0:0.0", "stop"), "the event")
        qmp.event("STOP")
        equal(m.status() & BSY, BSY, "the command is pending")
        check(not m.irq(14), "without an interrupt")
        qmp.ask("cont")
        finish(m)


def test_a_flush_that_failed_is_made_again(directory):
    def start(m):
        m.outb(0x1f6, 0xa0)
        m.outb(0x1f7, 0xe7)

    def finish(m):
        equal(m.settle() & (DRDY | ERR | DF | DRQ), DRDY, "it ended well")

    holds(directory, '{ channel = 0; unit = 0; disk = "disk"; on_write_error = "stop"; }',
          'op = "flush"; error = "EIO"; count = 1;', start, finish)


def test_writes_that_failed_are_made_again_and_lose_nothing(directory):
    data = os.urandom(4096)

    def start_dma(m):
        m.write(BUFFER, data)
        m.prds((BUFFER, EOT | 4096))
        m.command(0xca, 9, 8)
        m.outb(BM, 1)

    def start_pio(m):
        m.command(0x30, 9, 8)
        for i in range(8):
            equal(m.settle() & DRQ, DRQ, "DRQ")
            m.inb(0x1f7)
            for (word,) in struct.iter_unpack("<H", data[i * 512:(i + 1) * 512]):
                m.outw(0x1f0, word)

    def finish(m):
        equal(m.settle() & (DRDY | ERR | DF | DRQ), DRDY, "it ended well")
        m.inb(0x1f7)
        m.outb(BM, 0)
        m.prds((BUFFER + 0x10000, EOT | 4096))
        m.command(0xc8, 9, 8)
        m.outb(BM, 9)
        m.wait_until(lambda: m.inb(BM + 2) & 5 == 4, "the bus master")
        equal(m.read(BUFFER + 0x10000, 4096) == data, True, "what was written")

    for start in (start_dma, start_pio):
        where = os.path.join(directory, start.__name__)
        os.makedirs(where)
        holds(where, '{ channel = 0; unit = 0; disk = "disk"; }',
              'op = "write"; error = "ENOSPC"; count = 1;', start, finish)


def test_an_error_is_reported_where_the_policy_says_so(directory):
    with IdeMachine(directory, '{ channel = 0; unit = 0; disk = "disk"; }',
                    FAULTS.format('op = "read"; offset = "8K"; length = 512; error = "EIO";')) as m, \
            Qmp(m.control) as qmp:
        m.command(0x20, 10, 10)
        for _ in range(6):
            equal(m.settle() & (DRQ | ERR), DRQ, "a good sector")
            for _ in range(256):
                m.inw(0x1f0)
        equal(m.settle() & (DRQ | ERR), ERR, "the bad one")
        equal((m.inb(0x1f1), m.inb(0x1f3)), (0x40, 16), "uncorrectable, at its address")
        equal(qmp.event("BLOCK_IO_ERROR")["action"], "report", "the event")


if __name__ == "__main__":
    run_tests([value for name, value in sorted(globals().items()) if name.startswith("test_")])
