# SPDX-License-Identifier: Apache-2.0
"""A driver's steps for the 82078 and DMA channel 2, over the test protocol."""

import itertools
import os

from backplane import check
from registers import TestMachine, equal

SRA, SRB, DOR, TDR, MSR, DSR, FIFO, DIR, CCR = (
    0x3f0, 0x3f1, 0x3f2, 0x3f3, 0x3f4, 0x3f4, 0x3f5, 0x3f7, 0x3f7)
SECTOR = 512
TO_MEMORY, FROM_MEMORY, COUNT_ONLY = 0x46, 0x4a, 0x42  # the 8237's mode for channel 2, single
DATA = 0x20000
RAMP = int.from_bytes(bytes(i * 7 & 0xff for i in range(SECTOR)), "little")
NUMBERS = itertools.count()

RATE_500, RATE_300, RATE_250, RATE_1000 = range(4)
# size in KB: drive, data rate, cylinders, heads, sectors per track
FORMATS = {
    160: ("360K", RATE_250, 40, 1, 8), 180: ("360K", RATE_250, 40, 1, 9),
    320: ("360K", RATE_250, 40, 2, 8), 360: ("360K", RATE_250, 40, 2, 9),
    720: ("720K", RATE_250, 80, 2, 9), 1200: ("1.2M", RATE_500, 80, 2, 15),
    1440: ("1.44M", RATE_500, 80, 2, 18), 1600: ("1.44M", RATE_500, 80, 2, 20),
    1680: ("1.44M", RATE_500, 80, 2, 21), 1722: ("1.44M", RATE_500, 82, 2, 21),
    1743: ("1.44M", RATE_500, 83, 2, 21), 1760: ("1.44M", RATE_500, 80, 2, 22),
    1920: ("1.44M", RATE_500, 80, 2, 24), 2880: ("2.88M", RATE_1000, 80, 2, 36),
    3120: ("2.88M", RATE_1000, 80, 2, 39), 3840: ("2.88M", RATE_1000, 80, 2, 48),
}


def pattern(number, salt=0):
    """What sector `number` of an image holds."""
    seed = (number * 2654435761 + salt * 97) & 0xffffffff
    return (int.from_bytes(seed.to_bytes(4, "little") * (SECTOR // 4), "little") ^ RAMP).to_bytes(SECTOR, "little")


def make_image(directory, name, kilobytes, salt=0):
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        for number in range(kilobytes * 2):
            file.write(pattern(number, salt))
    return path


def sectors_of(path, number, count=1):
    with open(path, "rb") as file:
        file.seek(number * SECTOR)
        return file.read(count * SECTOR)


def description(drives, options=""):
    """drives: for unit 0 and 1, (image or None, options of the drive), or None for no drive."""
    backends, texts = "", []
    for unit, drive in enumerate(drives):
        if drive is None:
            continue
        image, more = drive
        if image is not None:
            backends += f'disk{unit} = {{ plugin = "block-file"; path = "{image}"; }}; '
            more = f'disk = "disk{unit}"; ' + more
        texts.append(f"{{ unit = {unit}; {more} }}")
    return f"""
machine = {{ memory = "16M"; }};
backends = {{ {backends} }};
devices = {{ fdc0 = {{ plugin = "floppy"; drives = ( {", ".join(texts)} ); {options} }}; }};
"""


class Floppy(TestMachine):
    """A machine with the controller at its usual place, out of reset, its interrupts watched."""

    __test__ = False

    def __init__(self, directory, drives, options="", *arguments):
        super().__init__(description(drives, options), directory, *arguments,
                         name=f"floppy{next(NUMBERS)}")
        self.intercept()

    def command(self, *data):
        for byte in data:
            equal(self.inb(MSR) & 0xc0, 0x80, f"MSR before byte of {bytes(data).hex()}")
            self.outb(FIFO, byte)

    def wait_result(self):
        self.wait_until(lambda: self.inb(MSR) & 0xf0 == 0xd0, "the result phase")

    def result(self, count):
        self.wait_result()
        data = bytearray()
        for _ in range(count):
            equal(self.inb(MSR) & 0xf0, 0xd0, "MSR in the result phase")
            data.append(self.inb(FIFO))
        equal(self.inb(MSR) & 0xf0, 0x80, "MSR after the result phase")
        return bytes(data)

    def expect(self, what, *wanted):
        """The seven result bytes of a data command, and its interrupt."""
        self.wait_result()
        equal(self.irq(6), True, what + ": IRQ 6")
        equal(self.result(7).hex(" "), bytes(wanted).hex(" "), what)
        equal(self.irq(6), False, what + ": IRQ 6 afterwards")

    def sense_interrupt(self):
        """ST0 and PCN; or (80h, None)."""
        self.command(0x08)
        self.wait_result()
        st0 = self.inb(FIFO)
        pcn = self.inb(FIFO) if st0 != 0x80 else None
        equal(self.inb(MSR) & 0xf0, 0x80, "MSR after SENSE INTERRUPT STATUS")
        return st0, pcn

    def seek(self, drive, cylinder):
        self.command(0x0f, drive, cylinder)
        self.wait_until(lambda: self.irq(6), "the seek's interrupt")
        equal(self.sense_interrupt(), (0x20 | drive & 3, cylinder), "seek")
        equal(self.irq(6), False, "IRQ 6 after the seek")

    def reset(self):
        """As a driver does it: pulse, interrupt, four answers."""
        self.outb(DOR, 0x08)
        self.outb(DOR, 0x0c)
        equal(self.irq(6), True, "IRQ 6 after the reset")
        for drive in range(4):
            equal(self.sense_interrupt(), (0xc0 | drive, 0), "polling")

    def specify(self, non_dma):
        self.command(0x03, 0xdf, 0x02 | non_dma)

    def dma(self, mode, length, address=DATA):
        self.outb(0x0a, 0x06)
        self.outb(0x0c, 0)
        self.outb(0x0b, mode)
        self.outb(0x04, address & 0xff)
        self.outb(0x04, address >> 8 & 0xff)
        self.outb(0x81, address >> 16 & 0xff)
        self.outb(0x05, (length - 1) & 0xff)
        self.outb(0x05, (length - 1) >> 8 & 0xff)
        self.outb(0x0a, 0x02)

    def transfer(self, code, select, c, h, r, eot, n=2, last=0xff):
        self.command(code, select, c, h, r, n, eot, 0x1b, last)

    def read_sectors(self, select, c, h, r, count, code=0x46, eot=None):
        """READ DATA by DMA with terminal count; returns the data."""
        self.dma(TO_MEMORY, count * SECTOR)
        self.transfer(code, select | h << 2, c, h, r, eot if eot is not None else r + count - 1)
        self.wait_result()
        status = self.result(7)
        check(status[0] & 0xc0 == 0, f"READ {c}/{h}/{r} ended with {status.hex(' ')}")
        return self.read(DATA, count * SECTOR)

    def format_track(self, select, c, h, sectors, filler, order=None, n=2, code=0x4d):
        ids = b"".join(bytes((c, h, r, n)) for r in (order or range(1, sectors + 1)))
        self.write(DATA, ids)
        self.dma(FROM_MEMORY, len(ids))
        self.command(code, select | h << 2, n, sectors, 0x54, filler)
        self.wait_result()
        return self.result(7)
