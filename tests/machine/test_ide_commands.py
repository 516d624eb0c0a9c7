#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every command of an IDE disk and of a CD drive, from one table, with each of its error paths: an address
out of range, a locked disk, a drive asleep or without a medium, a reset in the middle, DMA without bus
mastering, descriptors that lead nowhere; and every word of IDENTIFY (PACKET) DEVICE."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))
from backplane import check, run_tests  # noqa: E402
from ide import (ABRT, ADDRESS, BM, BSY, BUFFER, CONTROL, DF, DISK, DMA_IN, DMA_OUT, DRDY, DRQ, DSC, EOT, ERR,  # noqa: E402
                 EXT, FUNCTION, IDNF, IRQ, MEDIUM, NOWHERE, OTHER, PIO_IN, PIO_OUT, PORT, SECTORS, Disk, name,
                 reading)
from registers import equal  # noqa: E402


def test_every_command_does_its_work_and_interrupts_once(directory):
    with Disk(directory) as m:
        for opcode in DISK:
            m.write(BUFFER, bytes(512))
            m.start(opcode, lba=100)
            came = m.finish(opcode, name(opcode))
            if reading(opcode) and came[:4] != struct.pack("<I", 100):
                check(came == b"\xa5\x5a" * 256 or came == bytes(512), name(opcode) + ": what was written before")


def test_every_other_opcode_is_aborted(directory):
    with Disk(directory) as m:
        for opcode in range(256):
            if opcode not in DISK and opcode not in OTHER:
                m.issue(opcode)
                m.refused(f"{opcode:02x}h")


def test_addresses_beyond_the_end_are_refused_by_each_command_that_has_one(directory):
    with Disk(directory) as m:
        for opcode, (_, _, flags, _) in DISK.items():
            if not flags & ADDRESS:
                continue
            for lba in (SECTORS, SECTORS + 1, 0xfffffff, 0xffffffffffff if flags & EXT else SECTORS):
                m.start(opcode, lba)
                m.refused(f"{name(opcode)} at {lba:x}h", IDNF)
            if opcode != 0x70:
                m.start(opcode, SECTORS - 1, 2)
                m.refused(name(opcode) + " across the end", IDNF)
                m.start(opcode, SECTORS - 100, 0)  # 256 sectors, or 65536
                m.refused(name(opcode) + " with a count of 0", IDNF)
            m.start(opcode, SECTORS - 1)
            m.finish(opcode, name(opcode) + " of the last sector")


def test_chs_addresses_outside_the_translation_are_refused(directory):
    with Disk(directory) as m:
        for opcode, (_, data, flags, _) in DISK.items():
            if not flags & ADDRESS or flags & EXT:
                continue
            for low, mid, device in ((0, 0, 0xa0), (64, 0, 0xa0), (1, 5, 0xa0)):
                if data in (DMA_IN, DMA_OUT):
                    m.master(data, [(BUFFER, EOT | 512)])
                m.issue(opcode, low=low, mid=mid, high=0, device=device)
                m.refused(f"{name(opcode)} at cylinder {mid} sector {low}", IDNF)
            if data in (DMA_IN, DMA_OUT):
                m.master(data, [(BUFFER, EOT | 512)])
            m.issue(opcode, low=63, mid=3, high=0, device=0xaf)
            came = m.finish(opcode, name(opcode) + " of the last one")
            if reading(opcode) and opcode < 0x30:
                equal(came[:4], struct.pack("<I", 4 * 16 * 63 - 1), name(opcode))


def test_a_locked_disk_refuses_its_media(directory):
    with Disk(directory) as m:
        m.password(0xf1, b"secret")
        m.settle()
        m.hard_reset()  # which locks
        equal(m.identify()[128] & 6, 6, "IDENTIFY: enabled, locked")
        for opcode, (_, _, flags, _) in DISK.items():
            m.start(opcode, lba=100)
            if flags & MEDIUM:
                m.refused(name(opcode))
            else:
                m.finish(opcode, name(opcode))
        m.password(0xf2, b"wrong")
        m.refused("UNLOCK with another password")
        m.password(0xf2, b"secret")
        m.settle()
        m.inb(PORT + 7)
        m.start(0x20, lba=100)
        m.finish(0x20, "READ SECTORS once it is unlocked")


def test_a_sleeping_disk_takes_nothing_but_a_reset(directory):
    with Disk(directory) as m:
        for opcode in DISK:
            m.issue(0xe6)
            m.settle()
            m.inb(PORT + 7)
            m.start(opcode)
            check(not m.irq(IRQ), name(opcode) + ": interrupt")
            equal(m.inb(CONTROL) & (BSY | DRQ | ERR), 0, name(opcode) + ": status")
            m.srst()
        m.start(0x20, lba=7)
        m.finish(0x20, "READ SECTORS after the last one")


def test_a_reset_in_the_middle_ends_each_command(directory):
    with Disk(directory) as m:
        for opcode, (_, data, _, _) in DISK.items():
            m.start(opcode, lba=3)
            if data in (PIO_IN, PIO_OUT):
                m.settle()
                for _ in range(100):
                    m.inw(PORT) if data == PIO_IN else m.outw(PORT, 0xdead)
            m.srst()
            check(not m.irq(IRQ), name(opcode) + ": an interrupt outlives the reset")
            equal([m.inb(PORT + i) for i in range(1, 6)], [1, 1, 1, 0, 0], name(opcode) + ": signature")
            equal(m.inb(CONTROL) & ~DSC, DRDY, name(opcode) + ": status")
        m.start(0x20, lba=9)
        equal(m.finish(0x20, "READ SECTORS afterwards")[:4], struct.pack("<I", 9), "data")


def test_dma_without_bus_mastering_touches_nothing(directory):
    with Disk(directory) as m:
        m.config_write(FUNCTION, 4, 1, 2)
        for opcode, (_, data, _, _) in DISK.items():
            if data in (DMA_IN, DMA_OUT):
                m.write(BUFFER, b"\xee" * 512)
                m.start(opcode, lba=5)
                m.settle()
                check(m.irq(IRQ), name(opcode) + ": interrupt")
                equal(m.inb(PORT + 7) & ERR, ERR if data == DMA_OUT else 0, name(opcode) + ": status")
                equal(m.read(BUFFER, 512), b"\xee" * 512, name(opcode) + ": memory")
        m.config_write(FUNCTION, 4, 5, 2)
        m.start(0xc8, lba=5)
        equal(m.finish(0xc8, "READ DMA with it")[:4], struct.pack("<I", 5), "nothing was written")


def test_descriptors_into_nowhere_and_short_tables_end_each_transfer(directory):
    with Disk(directory) as m:
        for opcode, (_, data, _, _) in DISK.items():
            if data not in (DMA_IN, DMA_OUT):
                continue
            for table, want in (([(NOWHERE, EOT | 512)], 2), ([(BUFFER, 256), (NOWHERE, EOT | 256)], 2),
                                ([(BUFFER, EOT | 256)], 0), ([(BUFFER, 128), (BUFFER, EOT | 382)], 0)):
                m.start(opcode, lba=5, table=table)
                m.settle()
                equal(m.inb(BM + 2) & 7, want, f"{name(opcode)}: bus master status with {table}")
                equal(m.inb(PORT + 7) & ~DSC, DRDY, name(opcode) + ": the disk is ready again")
                m.outb(BM, 0)
            m.start(opcode, lba=5, table=[(BUFFER, EOT | 1024)])
            m.settle()
            equal(m.inb(BM + 2) & 7, 5, name(opcode) + ": a longer table leaves Active set")
            m.inb(PORT + 7)
            m.outb(BM, 0)
        m.start(0xc8, lba=5)
        equal(m.finish(0xc8, "READ DMA afterwards")[:4], struct.pack("<I", 5), "nothing was written by halves")


def test_every_word_of_identify_device(directory):
    options = ('serial = "S1"; model = "A model"; firmware = "F"; wwn = "5000c500a1b2c3d4"; '
               'rotation_rate = 7200; physical_block_size = 4096;')

    def text(string, words):
        padded = string.ljust(2 * words).encode()
        return [padded[i] << 8 | padded[i + 1] for i in range(0, 2 * words, 2)]

    want = {0: [0x0040, 4, 0, 16, 63 * 512, 512, 63], 10: text("S1", 10), 20: [3, 256, 4], 23: text("F", 4),
            27: text("A model", 20), 47: [0x8010, 1, 0x2f00, 0x4000, 0x0200, 0x0200, 7, 4, 16, 63, 4032, 0, 0x0110,
                                          SECTORS, 0, 7, 7, 3, 120, 120, 120, 120, 0x4c20],
            80: [0xf0, 0x1d, 0x746b, 0x7f08, 0x4773, 0x7469, 0xbc00, 0x4763, 0x203f, 1, 1, 0, 0xfffe, 0x604b, 0x8000, 8, 66, 256, 10000, 0],
            100: [SECTORS, 0, 0, 0, 66, 64, 0x6003, 0, 0x5000, 0xc500, 0xa1b2, 0xc3d4], 119: [0x4008, 0x4008],
            128: [0x0021], 169: [1], 209: [0x4000], 217: [7200], 222: [2]}
    with Disk(directory, options) as m:
        words = list(m.identify())
        equal(words[255] & 255, 0xa5, "word 255: the checksum is valid")
        equal(sum(struct.pack("<256H", *words)) & 255, 0, "word 255: checksum")
        expected = [0] * 255
        for first, values in want.items():
            expected[first:first + len(values)] = values
        for i in range(255):
            equal(words[i], expected[i], f"word {i}")


def test_every_word_of_identify_packet_device(directory):
    with Disk(directory, 'serial = "C1"; model = "CD"; firmware = "G";', drive='kind = "cdrom"') as m:
        words = list(m.identify(0xa1))
        want = {0: 0x85c0, 10: 0x4331, 23: 0x4720, 27: 0x4344, 48: 1, 49: 0x0f00, 51: 0x0200, 53: 6, 63: 7, 64: 3,
                65: 120, 66: 120, 67: 120, 68: 120, 80: 0xf0, 81: 0x1d, 82: 0x4218, 83: 0x5000, 84: 0x4000,
                85: 0x4218, 86: 0x1000, 87: 0x4000, 88: 0x203f, 93: 0x604b, 222: 2}
        blanks = set(range(11, 20)) | set(range(24, 27)) | set(range(28, 47))
        for i in range(255):
            equal(words[i], want.get(i, 0x2020 if i in blanks else 0), f"word {i}")
        equal(sum(struct.pack("<256H", *words)) & 255, 0, "word 255: checksum")


def test_every_ata_command_of_a_cd_drive(directory):
    done = {0x08, 0x90, 0x94, 0x95, 0x98, 0x99, 0xe0, 0xe1, 0xe5, 0xe6, 0xe7, 0xef}
    with Disk(directory, drive='kind = "cdrom"') as m:
        for opcode in range(256):
            m.srst()
            equal((m.inb(PORT + 4), m.inb(PORT + 5)), (0x14, 0xeb), "signature")
            m.issue(opcode, features=3 if opcode == 0xef else 0, count=8, device=0xa0)
            status = m.settle()
            if opcode in (0xa0, 0xa1):
                equal(status & (DRQ | ERR), DRQ, f"{opcode:02x}h has data")
            elif opcode in done:
                equal(status & (DRQ | ERR), 0, f"{opcode:02x}h is done")
                equal(m.irq(IRQ), opcode != 0x08, f"{opcode:02x}h: interrupt")
            else:
                m.refused(f"{opcode:02x}h")
                if opcode in (0x20, 0x21, 0xec):
                    equal((m.inb(PORT + 4), m.inb(PORT + 5)), (0x14, 0xeb), f"{opcode:02x}h: signature")


def test_firmware_sees_the_logical_geometry_and_translation(directory):
    options = 'translation = "large"; logical_cylinders = 16; logical_heads = 4; logical_sectors = 32;'
    with Disk(directory, options) as m:
        equal(m.fw_cfg_file("bios-geometry"), b"/pci@i0cf8/ide@1,1/drive@0/disk@0 16 4 32\n\0", "the file")
        equal(m.cmos(0x39) & 3, 2, "CMOS")


if __name__ == "__main__":
    run_tests([value for name_, value in sorted(globals().items()) if name_.startswith("test_")])
