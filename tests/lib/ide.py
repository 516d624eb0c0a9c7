# SPDX-License-Identifier: Apache-2.0
"""The commands of an IDE disk as one table, and a machine with one drive to try them on."""

import os
import struct

from backplane import check
from registers import TestMachine, equal

FUNCTION, BM, TABLE, BUFFER, NOWHERE, EOT = 0x09, 0xc000, 0x10000, 0x20000, 0xd0000000, 0x80000000
PORT, CONTROL, IRQ = 0x1f0, 0x3f6, 14
SECTORS = 4096
BSY, DRDY, DF, DSC, DRQ, ERR = 0x80, 0x40, 0x20, 0x10, 0x08, 0x01
ABRT, IDNF = 0x04, 0x10
KEY = {"mid": 0x4f, "high": 0xc2}

# How data moves: none, blocks by PIO, or the bus master; to the host ("in") or from it ("out").
NONE, PIO_IN, PIO_OUT, DMA_IN, DMA_OUT = "none", "pio in", "pio out", "dma in", "dma out"
# What else is true of a command. LBA48, or address: has one that can be beyond the end. MEDIUM: refused by
# a locked disk.
# STREAM: its Status has no seek complete.
EXT, ADDRESS, MEDIUM, STREAM = 1, 2, 4, 8
SECTOR28, SECTOR48 = ADDRESS | MEDIUM, ADDRESS | MEDIUM | EXT

# opcode: (name, data, flags, registers); one sector or one page each
DISK = {
    0x06: ("DATA SET MANAGEMENT", DMA_OUT, MEDIUM | EXT, {"features": 1}),
    0x10: ("RECALIBRATE", NONE, 0, {}),
    0x20: ("READ SECTORS", PIO_IN, SECTOR28, {}),
    0x21: ("READ SECTORS once", PIO_IN, SECTOR28, {}),
    0x24: ("READ SECTORS EXT", PIO_IN, SECTOR48, {}),
    0x25: ("READ DMA EXT", DMA_IN, SECTOR48, {}),
    0x27: ("READ NATIVE MAX EXT", NONE, EXT, {}),
    0x29: ("READ MULTIPLE EXT", PIO_IN, SECTOR48, {}),
    0x2a: ("READ STREAM DMA EXT", DMA_IN, SECTOR48 | STREAM, {}),
    0x2b: ("READ STREAM EXT", PIO_IN, SECTOR48 | STREAM, {}),
    0x2f: ("READ LOG EXT", PIO_IN, EXT, {"low": 0x80}),
    0x30: ("WRITE SECTORS", PIO_OUT, SECTOR28, {}),
    0x31: ("WRITE SECTORS once", PIO_OUT, SECTOR28, {}),
    0x34: ("WRITE SECTORS EXT", PIO_OUT, SECTOR48, {}),
    0x35: ("WRITE DMA EXT", DMA_OUT, SECTOR48, {}),
    0x39: ("WRITE MULTIPLE EXT", PIO_OUT, SECTOR48, {}),
    0x3a: ("WRITE STREAM DMA EXT", DMA_OUT, SECTOR48 | STREAM, {}),
    0x3b: ("WRITE STREAM EXT", PIO_OUT, SECTOR48 | STREAM, {}),
    0x3c: ("WRITE VERIFY", PIO_OUT, SECTOR28, {}),
    0x3d: ("WRITE DMA FUA EXT", DMA_OUT, SECTOR48, {}),
    0x3f: ("WRITE LOG EXT", PIO_OUT, MEDIUM | EXT, {"low": 0x80}),
    0x40: ("READ VERIFY", NONE, SECTOR28, {}),
    0x41: ("READ VERIFY once", NONE, SECTOR28, {}),
    0x42: ("READ VERIFY EXT", NONE, SECTOR48, {}),
    0x47: ("READ LOG DMA EXT", DMA_IN, EXT, {"low": 0x80}),
    0x51: ("CONFIGURE STREAM", NONE, MEDIUM | EXT, {"features": 0x81}),
    0x57: ("WRITE LOG DMA EXT", DMA_OUT, MEDIUM | EXT, {"low": 0x80}),
    0x70: ("SEEK", NONE, ADDRESS, {}),
    0x91: ("INITIALIZE DEVICE PARAMETERS", NONE, 0, {"count": 63, "device": 0x0f}),
    0xb0: ("SMART", PIO_IN, 0, {"features": 0xd0, **KEY}),
    0xb1: ("DEVICE CONFIGURATION IDENTIFY", PIO_IN, MEDIUM, {"features": 0xc2}),
    0xc4: ("READ MULTIPLE", PIO_IN, SECTOR28, {}),
    0xc5: ("WRITE MULTIPLE", PIO_OUT, SECTOR28, {}),
    0xc6: ("SET MULTIPLE MODE", NONE, 0, {"count": 16}),
    0xc8: ("READ DMA", DMA_IN, SECTOR28, {}),
    0xc9: ("READ DMA once", DMA_IN, SECTOR28, {}),
    0xca: ("WRITE DMA", DMA_OUT, SECTOR28, {}),
    0xcb: ("WRITE DMA once", DMA_OUT, SECTOR28, {}),
    0xce: ("WRITE MULTIPLE FUA EXT", PIO_OUT, SECTOR48, {}),
    0xe0: ("STANDBY IMMEDIATE", NONE, 0, {}),
    0xe1: ("IDLE IMMEDIATE", NONE, 0, {}),
    0xe2: ("STANDBY", NONE, 0, {"count": 0}),
    0xe3: ("IDLE", NONE, 0, {"count": 0}),
    0xe4: ("READ BUFFER", PIO_IN, 0, {}),
    0xe5: ("CHECK POWER MODE", NONE, 0, {}),
    0xe7: ("FLUSH CACHE", NONE, MEDIUM, {}),
    0xe8: ("WRITE BUFFER", PIO_OUT, 0, {}),
    0xe9: ("READ BUFFER DMA", DMA_IN, 0, {}),
    0xea: ("FLUSH CACHE EXT", NONE, MEDIUM, {}),
    0xeb: ("WRITE BUFFER DMA", DMA_OUT, 0, {}),
    0xec: ("IDENTIFY DEVICE", PIO_IN, 0, {}),
    0xef: ("SET FEATURES", NONE, 0, {"features": 0xaa}),
    0xf3: ("SECURITY ERASE PREPARE", NONE, 0, {}),
    0xf8: ("READ NATIVE MAX", NONE, 0, {}),
}
# with a state of their own, tested one by one, and old names of others
OTHER = {0x11 + i for i in range(15)} | {0x71 + i for i in range(15)} | {0x37, 0x90, 0x94, 0x95, 0x96, 0x97, 0x98,
         0x99, 0xe6, 0xf1, 0xf2, 0xf4, 0xf5, 0xf6, 0xf9}


class Disk(TestMachine):
    """One disk, the primary master, whose sector n holds n in every word."""

    def __init__(self, directory, options="", drive='disk = "disk"'):
        image = os.path.join(directory, "disk.img")
        with open(image, "wb") as file:
            file.write(b"".join(struct.pack("<I", n) * 128 for n in range(SECTORS)))
        super().__init__(f"""
machine = {{ memory = "16M"; }};
backends = {{ disk = {{ plugin = "block-file"; path = "{image}"; }}; }};
devices = {{ ide0 = {{ plugin = "ide"; drives = ( {{ channel = 0; unit = 0; {drive}; {options} }} ); }}; }};
""", directory)
        self.config_write(FUNCTION, 0x20, BM)
        self.config_write(FUNCTION, 4, 5, 2)
        self.intercept()

    def settle(self):
        self.wait_until(lambda: self.inb(CONTROL) & BSY == 0, "BSY")
        return self.inb(CONTROL)

    def srst(self):
        self.outb(CONTROL, 4)
        equal(self.inb(CONTROL), BSY, "busy while SRST is set")
        self.outb(CONTROL, 0)
        self.settle()

    def issue(self, opcode, lba=0, count=1, features=0, low=None, mid=None, high=None, device=0xe0, ext=False):
        """Writes the registers, previous contents first, and the command."""
        self.outb(PORT + 6, device | (0 if ext else lba >> 24 & 15))
        if ext:
            for offset, value in ((1, features >> 8), (2, count >> 8), (3, lba >> 24), (4, lba >> 32), (5, lba >> 40)):
                self.outb(PORT + offset, value & 255)
        for offset, value in ((1, features), (2, count), (3, lba if low is None else low),
                              (4, lba >> 8 if mid is None else mid), (5, lba >> 16 if high is None else high)):
            self.outb(PORT + offset, value & 255)
        self.outb(PORT + 7, opcode)

    def start(self, opcode, lba=0, count=1, table=None):
        """A command of the table; its descriptors, if it has any."""
        _, data, flags, registers = DISK[opcode]
        if data in (DMA_IN, DMA_OUT):
            self.master(data, table or [(BUFFER, EOT | 512)])
        self.issue(opcode, lba, **{"count": count, **registers}, ext=bool(flags & EXT))

    def master(self, data, table):
        self.outb(BM, 0)
        self.outb(BM + 2, 6)
        self.write(TABLE, b"".join(struct.pack("<II", *entry) for entry in table))
        self.outl(BM + 4, TABLE)
        self.outb(BM, 9 if data == DMA_IN else 1)

    def finish(self, opcode, what):
        """Moves the data of a command that goes well; returns what came."""
        data = DISK[opcode][1]
        came = b""
        if data in (PIO_IN, PIO_OUT):
            status = self.settle()
            equal(status & (DRQ | ERR | DF), DRQ, what + ": data")
            equal(self.irq(IRQ), data == PIO_IN, what + ": an interrupt before data to the host only")
            self.inb(PORT + 7)
            for _ in range(256):
                if data == PIO_IN:
                    came += struct.pack("<H", self.inw(PORT))
                else:
                    self.outw(PORT, 0x5aa5)
        self.settle()
        if data != PIO_IN:
            self.wait_until(lambda: self.irq(IRQ), what + ": interrupt")
        equal(self.inb(CONTROL) & ~DSC, DRDY, what + ": status")
        equal(self.irq(IRQ), data != PIO_IN, what + ": alternate status acknowledges nothing")
        equal(self.inb(PORT + 7) & ~DSC, DRDY, what + ": status")
        check(not self.irq(IRQ), what + ": status acknowledges")
        equal(self.inb(PORT + 1), 0, what + ": error")
        if data in (DMA_IN, DMA_OUT):
            equal(self.inb(BM + 2) & 7, 4, what + ": the bus master is through, interrupt")
            came = self.read(BUFFER, 512) if data == DMA_IN else b""
        return came

    def refused(self, what, error=ABRT):
        self.settle()
        check(self.irq(IRQ), what + ": interrupt")
        equal(self.inb(PORT + 7) & ~DSC, DRDY | ERR, what + ": status")
        equal(self.inb(PORT + 1) & error, error, what + ": error")
        check(not self.irq(IRQ), what + ": acknowledged")

    def done(self, what):
        """A command without data, or after its data, ended well."""
        self.settle()
        check(self.irq(IRQ), what + ": interrupt")
        equal(self.inb(PORT + 7) & ~DSC, DRDY, what + ": status")
        equal(self.inb(PORT + 1), 0, what + ": error")

    def wants(self, what):
        """It waits for a block, or has one."""
        equal(self.settle() & (DRQ | ERR), DRQ, what + ": data")
        self.inb(PORT + 7)

    def take(self, what="a block"):
        self.wants(what)
        return b"".join(struct.pack("<H", self.inw(PORT)) for _ in range(256))

    def give(self, data, what="a block"):
        self.wants(what)
        for (word,) in struct.iter_unpack("<H", data):
            self.outw(PORT, word)

    def hard_reset(self):
        self.outb(0xcf9, 0x06)
        self.config_write(FUNCTION, 0x20, BM)
        self.config_write(FUNCTION, 4, 5, 2)

    def identify(self, opcode=0xec):
        self.issue(opcode, device=0xa0)
        equal(self.settle() & (DRQ | ERR), DRQ, "identify")
        self.inb(PORT + 7)
        return struct.unpack("<256H", b"".join(struct.pack("<H", self.inw(PORT)) for _ in range(256)))

    def password(self, opcode, text, word=0, features=0):
        self.issue(opcode, features=features)
        equal(self.settle() & (DRQ | ERR), DRQ, "the disk wants a password")
        block = struct.pack("<H", word) + text.ljust(32, b"\0") + bytes(478)
        for (value,) in struct.iter_unpack("<H", block):
            self.outw(PORT, value)


def name(opcode):
    return f"{opcode:02x}h {DISK[opcode][0]}"


def reading(opcode):
    return DISK[opcode][1] in (PIO_IN, DMA_IN) and DISK[opcode][2] & ADDRESS
