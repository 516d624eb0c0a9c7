#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""IDE disks through the whole machine: ports, interrupts, bus-master DMA and the image file."""

import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from registers import Qmp, TestMachine, equal  # noqa: E402

SECTOR = 512
SECTORS = 4096
FUNCTION = 0x09
PORTS, IRQS = (0x1f0, 0x170), (14, 15)
BM, TABLE, BUFFER = 0xc000, 0x10000, 0x100000
EOT = 0x80000000
BSY, DRDY, DF, DRQ, ERR = 0x80, 0x40, 0x20, 0x08, 0x01
READ, WRITE = 0xc8, 0xca


class IdeMachine(TestMachine):
    """Three disks of random sectors: two on the first channel, one on the second."""

    def __init__(self, directory, *arguments, sectors=SECTORS):
        self.images = [os.path.join(directory, f"disk{i}.img") for i in range(3)]
        self.data = [random.Random(i).randbytes(sectors * SECTOR) for i in range(3)]
        for image, data in zip(self.images, self.data):
            with open(image, "wb") as file:
                file.write(data)
        backends = "".join(f'd{i} = {{ plugin = "block-file"; path = "{image}"; }};\n'
                           for i, image in enumerate(self.images))
        drives = ", ".join(f'{{ channel = {i // 2}; unit = {i % 2}; disk = "d{i}"; }}' for i in range(3))
        super().__init__(f"""
machine = {{ memory = "16M"; }};
backends = {{ {backends} }};
devices = {{ ide0 = {{ plugin = "ide"; drives = ( {drives} ); }}; }};
""", directory, *arguments)
        self.config_write(FUNCTION, 0x20, BM)
        self.config_write(FUNCTION, 4, 5, 2)
        self.intercept()

    def image(self, disk):
        with open(self.images[disk], "rb") as file:
            return file.read()

    def status(self, channel=0):
        return self.inb(PORTS[channel] + 0x206)

    def settle(self, channel=0):
        self.wait_until(lambda: self.status(channel) & BSY == 0, "BSY")
        return self.status(channel)

    def command(self, command, lba=0, count=1, disk=0, features=0, ext=False):
        channel, unit = divmod(disk, 2)
        port = PORTS[channel]
        self.outb(port + 6, 0xe0 | unit << 4 | (0 if ext else lba >> 24 & 15))
        if ext:
            for offset, value in ((2, count >> 8), (3, lba >> 24), (4, lba >> 32), (5, lba >> 40)):
                self.outb(port + offset, value & 0xff)
        self.outb(port + 1, features)
        for offset, value in ((2, count), (3, lba), (4, lba >> 8), (5, lba >> 16)):
            self.outb(port + offset, value & 0xff)
        self.outb(port + 7, command)

    def pio_in(self, channel=0, words=256):
        return struct.pack(f"<{words}H", *(self.inw(PORTS[channel]) for _ in range(words)))

    def pio_out(self, data, channel=0):
        for (word,) in struct.iter_unpack("<H", data):
            self.outw(PORTS[channel], word)

    def dma(self, command, prds, lba=0, count=1, disk=0, abort=False, ext=False):
        """One transfer; returns (bus master status, device status) at its end."""
        channel = disk // 2
        bm = BM + 8 * channel
        self.outb(bm, 0)
        self.outb(bm + 2, 6)
        self.write(TABLE, b"".join(struct.pack("<II", *prd) for prd in prds))
        self.outl(bm + 4, TABLE)
        self.command(command, lba, count, disk, ext=ext)
        self.outb(bm, 1 if command in (WRITE, 0x35) else 9)
        if abort:
            self.outb(bm, 0)
        self.wait_until(lambda: self.inb(bm + 2) & 5 != 1, "the bus master")
        status = self.inb(bm + 2) & 7
        equal(self.irq(IRQS[channel]), status & 4 != 0, "the interrupt line is the status' interrupt bit")
        result = status, self.inb(PORTS[channel] + 7)
        check(not self.irq(IRQS[channel]), "reading the status lowers the interrupt")
        self.outb(bm, 0)
        return result


def test_identify_describes_the_disk(directory):
    with IdeMachine(directory) as m:
        for disk in range(3):
            channel = disk // 2
            m.command(0xec, disk=disk)
            equal(m.settle(channel) & (DRDY | DRQ | ERR), DRDY | DRQ, "status")
            check(m.irq(IRQS[channel]), "interrupt")
            equal(m.inb(PORTS[channel] + 7) & DRQ, DRQ, "status")
            check(not m.irq(IRQS[channel]), "interrupt after the status read")
            words = struct.unpack("<256H", m.pio_in(channel))
            equal(words[60] | words[61] << 16, SECTORS, "LBA28 sectors")
            equal(words[100] | words[101] << 16, SECTORS, "LBA48 sectors")
            equal(sum(struct.pack("<256H", *words)) & 0xff, 0, "checksum")
            check(words[49] & 0x300 == 0x300, "LBA and DMA")
            equal(m.status(channel) & DRQ, 0, "all read")


def test_the_absent_drive_answers_nothing(directory):
    with IdeMachine(directory) as m:
        m.outb(0x176, 0xb0)
        m.outb(0x177, 0xec)
        equal(m.inb(0x177) & (BSY | DRQ | DRDY), 0, "status")
        check(not m.irq(15), "interrupt")
        m.outb(0x176, 0xa0)
        equal(m.inb(0x177) & DRDY, DRDY, "the other one is there")


def test_pio_reads_what_the_file_holds(directory):
    with IdeMachine(directory) as m:
        for disk, lba, count in ((0, 0, 1), (1, 7, 3), (2, SECTORS - 2, 2), (0, 100, 0)):
            m.command(0x20, lba, count, disk)
            channel = disk // 2
            data = b""
            for _ in range(count or 256):
                equal(m.settle(channel) & (DRQ | ERR), DRQ, "status")
                m.inb(PORTS[channel] + 7)
                data += m.pio_in(channel)
            equal(data == m.data[disk][lba * SECTOR:lba * SECTOR + len(data)], True, f"sectors from {lba}")
            equal(m.settle(channel) & (DRQ | ERR | DRDY), DRDY, "at the end")


def test_pio_writes_reach_the_file(directory):
    with IdeMachine(directory) as m:
        data = os.urandom(3 * SECTOR)
        for disk in (1, 2):
            m.command(0x30, 40, 3, disk)
            for i in range(3):
                equal(m.settle(disk // 2) & DRQ, DRQ, "status")
                m.pio_out(data[i * SECTOR:(i + 1) * SECTOR], disk // 2)
            equal(m.settle(disk // 2) & (DRQ | ERR), 0, "status")
            m.command(0xe7, disk=disk)
            equal(m.settle(disk // 2) & (DRQ | ERR | DRDY), DRDY, "flush")
            wanted = m.data[disk][:40 * SECTOR] + data + m.data[disk][43 * SECTOR:]
            equal(m.image(disk) == wanted, True, "the file")


def test_read_multiple_moves_blocks(directory):
    with IdeMachine(directory) as m:
        m.command(0xc6, count=8)
        m.settle()
        equal(m.inb(0x1f7) & ERR, 0, "SET MULTIPLE")
        m.irqs.clear()
        m.command(0xc4, 10, 20)
        data = b""
        for sectors in (8, 8, 4):
            equal(m.settle() & DRQ, DRQ, "status")
            m.inb(0x1f7)
            data += m.pio_in(words=256 * sectors)
        equal(data == m.data[0][10 * SECTOR:30 * SECTOR], True, "data")
        equal(m.irqs.count(("raise", 14)), 3, "one interrupt a block")


def test_dma_reads_and_writes_each_disk(directory):
    with IdeMachine(directory) as m:
        for disk in range(3):
            equal(m.dma(READ, [(BUFFER, EOT | 4096)], 5, 8, disk), (4, 0x50), "read")
            equal(m.read(BUFFER, 4096) == m.data[disk][5 * SECTOR:13 * SECTOR], True, f"disk {disk}")
            data = os.urandom(4096)
            m.write(BUFFER, data)
            equal(m.dma(WRITE, [(BUFFER, EOT | 4096)], 64, 8, disk), (4, 0x50), "write")
            m.command(0xe7, disk=disk)
            m.settle(disk // 2)
            equal(m.image(disk)[64 * SECTOR:72 * SECTOR] == data, True, f"file {disk}")


def test_both_channels_transfer_at_once(directory):
    with IdeMachine(directory) as m:
        for channel, disk in ((0, 0), (1, 2)):
            table, buffer = TABLE + 8 * channel, BUFFER + 0x10000 * channel
            m.write(table, struct.pack("<II", buffer, EOT))
            m.outl(BM + 8 * channel + 4, table)
            m.command(READ, 0, 128, disk)
        m.outb(BM, 9)
        m.outb(BM + 8, 9)
        m.wait_until(lambda: m.inb(BM + 2) & 4 and m.inb(BM + 10) & 4, "both")
        check(m.irq(14) and m.irq(15), "both interrupts")
        for channel, disk in ((0, 0), (1, 2)):
            equal(m.read(BUFFER + 0x10000 * channel, 65536) == m.data[disk][:65536], True, f"disk {disk}")


def test_prds_scatter_in_words(directory):
    with IdeMachine(directory) as m:
        prds = [(BUFFER, 2), (BUFFER + 0x1000, 100), (BUFFER + 0x2000, 410), (BUFFER + 0x2ffe, EOT | 512)]
        equal(m.dma(READ, prds, 9, 2), (4, 0x50), "status")
        data = b"".join(m.read(address, size & 0xffff) for address, size in prds)
        equal(data == m.data[0][9 * SECTOR:11 * SECTOR], True, "data")


def test_prd_sizes_against_the_transfer(directory):
    """PIIX3 data sheet, 2.7.2: what ACTIVE and INTERRUPT say at the end."""
    with IdeMachine(directory) as m:
        for sectors in (1, 2, 16, 128):
            for size in (16, 512, 1024, 4096, 8192, 0xfffe, 0):
                have, want = size or 65536, sectors * SECTOR
                wanted = 0 if have < want else 4 if have == want else 5
                prds = [(BUFFER, EOT | size)]
                what = f"{have} bytes for {want}"
                equal(m.dma(READ, prds, 0, sectors), (wanted, 0x50), what)
                if have >= want:
                    equal(m.read(BUFFER, want) == m.data[0][:want], True, what)
                equal(m.dma(READ, prds, 0, sectors, abort=True)[0] & ~4, 0, what + ", aborted")


def test_a_size_of_zero_means_64_kib(directory):
    with IdeMachine(directory) as m:
        equal(m.dma(READ, [(BUFFER, 0), (BUFFER + 65536, EOT)], 0, 0), (4, 0x50), "256 sectors")
        equal(m.read(BUFFER, 131072) == m.data[0][:131072], True, "data")


def test_dma_to_where_no_memory_is_harms_nothing(directory):
    with IdeMachine(directory) as m:
        for address in (0xf0000000, 0x1000000 - 256, 0xfffffe00, 0xc000):
            m.dma(READ, [(address, EOT | 512)], 0, 1)
            m.outb(0x3f6, 4)
            m.outb(0x3f6, 0)
            m.settle()
        equal(m.dma(READ, [(BUFFER, EOT | 512)], 0, 1), (4, 0x50), "afterwards")


def test_reading_past_the_end_is_an_error(directory):
    with IdeMachine(directory) as m:
        for lba, count in ((SECTORS, 1), (SECTORS - 1, 2), (0x0fffffff, 1)):
            m.command(0x20, lba, count)
            equal(m.settle() & (ERR | DRQ | DF), ERR, "PIO status")
            check(m.inb(0x1f1) & 0x14, "ID not found or aborted")
            status, device = m.dma(READ, [(BUFFER, EOT | 1024)], lba, count)
            equal((status & 2, device & (ERR | DRQ)), (0, ERR), "DMA status")
        m.command(0x30, SECTORS, 1)
        m.settle()
        equal(m.image(0) == m.data[0], True, "nothing is written")


def test_lba48_reads_and_reads_back_both_halves(directory):
    with IdeMachine(directory) as m:
        equal(m.dma(0x25, [(BUFFER, 0), (BUFFER + 65536, 0), (BUFFER + 131072, EOT | 512)], 3, 257, ext=True),
              (4, 0x50), "257 sectors")
        equal(m.read(BUFFER, 257 * SECTOR) == m.data[0][3 * SECTOR:260 * SECTOR], True, "data")
        m.command(0x24, 1 << 40, 1, ext=True)
        equal(m.settle() & ERR, ERR, "past the end")
        m.outb(0x1f3, 0x12)
        m.outb(0x1f3, 0x34)
        m.outb(0x3f6, 0x80)
        equal(m.inb(0x1f3), 0x12, "HOB")
        m.outb(0x3f6, 0)
        equal(m.inb(0x1f3), 0x34, "without HOB")


def test_software_reset_leaves_the_signature(directory):
    with IdeMachine(directory) as m:
        m.command(0x20, 0, 1)
        m.settle()
        m.outb(0x3f6, 4)
        equal(m.status() & BSY, BSY, "while it lasts")
        m.outb(0x3f6, 0)
        equal(m.settle() & (DRQ | ERR | DRDY), DRDY, "status")
        equal([m.inb(0x1f1 + i) for i in range(5)], [1, 1, 1, 0, 0], "signature")
        check(not m.irq(14), "no interrupt")


def test_interrupts_can_be_disabled(directory):
    with IdeMachine(directory) as m:
        m.outb(0x3f6, 2)
        m.command(0xec)
        m.settle()
        check(not m.irq(14), "nIEN")
        m.outb(0x3f6, 0)
        check(m.irq(14), "the pending one comes")


def test_unknown_commands_are_aborted(directory):
    with IdeMachine(directory) as m:
        for command in (0x00, 0x01, 0xff, 0xa0, 0xa1):
            m.command(command)
            equal((m.settle() & (ERR | DRQ), m.inb(0x1f1) & 4), (ERR, 4), f"{command:x}")


def test_diagnostic_speaks_for_both_drives(directory):
    with IdeMachine(directory) as m:
        m.command(0x90, disk=1)
        equal(m.settle() & ERR, 0, "status")
        equal([m.inb(0x1f1 + i) for i in range(6)], [1, 1, 1, 0, 0, 0xa0], "code and signature of drive 0")


def test_bus_master_registers_keep_what_they_should(directory):
    with IdeMachine(directory) as m:
        m.outl(BM + 4, 0xffffffff)
        equal(m.inl(BM + 4), 0xfffffffc, "table address")
        m.outb(BM + 2, 0x66)
        equal(m.inb(BM + 2), 0x60, "drive capability bits")
        m.outb(BM, 0xf6)
        equal(m.inb(BM), 0, "command")
        equal(m.inl(BM + 12), 0, "the second channel's")


def test_a_reset_in_mid_transfer_comes_back_clean(directory):
    control = os.path.join(directory, "control")
    with IdeMachine(directory, "--control", control) as m, Qmp(control) as qmp:
        for _ in range(20):
            m.config_write(FUNCTION, 0x20, BM)
            m.config_write(FUNCTION, 4, 5, 2)
            m.write(TABLE, struct.pack("<II", BUFFER, EOT))
            m.outl(BM + 4, TABLE)
            # In one packet: the requests are in flight when the reset comes.
            m.command(0x20, 0, 128, disk=2)
            m.command(READ, 0, 128)
            m.socket.sendall(f"outb 0x{BM:x} 9\noutb 0x1f7 0x{READ:x}\noutb 0xcf9 2\noutb 0xcf9 6\n".encode())
            for _ in range(4):
                line = m._line()  # pylint: disable=protected-access
                while line.startswith("IRQ"):
                    line = m._line()  # pylint: disable=protected-access
                equal(line, "OK", "reply")
            qmp.event("RESET")
            equal([m.inb(0x1f1 + i) for i in range(5)], [1, 1, 1, 0, 0], "signature")
            equal(m.status() & (BSY | DRQ), 0, "status")
        m.levels.clear()
        m.config_write(FUNCTION, 0x20, BM)
        m.config_write(FUNCTION, 4, 5, 2)
        equal(m.dma(READ, [(BUFFER, EOT | 512)], 1, 1), (4, 0x50), "afterwards")
        equal(m.read(BUFFER, 512) == m.data[0][512:1024], True, "data")


if __name__ == "__main__":
    run_tests([value for name, value in sorted(globals().items()) if name.startswith("test_")])
