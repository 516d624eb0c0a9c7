#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every packet command of a CD drive, from one table, with each of its error paths: no medium, a medium that was
changed, an address out of range, a byte count limit of 0, resets in the middle, DMA without bus mastering,
descriptors that lead nowhere."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))
from backplane import check, run_tests  # noqa: E402
from registers import Qmp, equal  # noqa: E402
from test_ide_cd import BM, BUFFER, CD_BYTES, DF, DRDY, DRQ, EOT, ERR, FUNCTION, IdeMachine  # noqa: E402

PORT, CONTROL, IRQ = 0x1f0, 0x3f6, 14
NOWHERE = 0xd0000000
ABRT = 4
BLOCKS = CD_BYTES // 2048
NO_MEDIUM, CHANGED, OUT_OF_RANGE, UNKNOWN = (2, 0x3a), (6, 0x28), (5, 0x21), (5, 0x20)

NONE, IN, OUT = "no data", "data in", "data out"
# MEDIUM: refused without one. ALWAYS: done while a unit attention is pending. LBA4, LBA3: where the address is.
MEDIUM, ALWAYS, LBA4, LBA3 = 1, 2, 4, 8

# opcode: (name, the rest of the packet, data, flags, sense key and code of its usual end)
PACKETS = {
    0x00: ("TEST UNIT READY", "", NONE, MEDIUM, None),
    0x03: ("REQUEST SENSE", "00 0000 12", IN, ALWAYS, None),
    0x08: ("READ (6)", "000005 01", IN, MEDIUM | LBA3, None),
    0x12: ("INQUIRY", "00 0000 24", IN, ALWAYS, None),
    0x15: ("MODE SELECT (6)", "10 0000 10", OUT, 0, None),
    0x1a: ("MODE SENSE (6)", "00 01 00 ff", IN, 0, None),
    0x1b: ("START STOP UNIT", "00 0000 01", NONE, MEDIUM, None),
    0x1e: ("PREVENT ALLOW MEDIUM REMOVAL", "00 0000 00", NONE, 0, None),
    0x23: ("READ FORMAT CAPACITIES", "00 00000000 00 00fc", IN, 0, None),
    0x25: ("READ CAPACITY", "", IN, MEDIUM, None),
    0x28: ("READ (10)", "00 00000005 00 0001", IN, MEDIUM | LBA4, None),
    0x2b: ("SEEK", "00 00000005", NONE, MEDIUM | LBA4, None),
    0x35: ("SYNCHRONIZE CACHE", "", NONE, 0, None),
    0x42: ("READ SUB-CHANNEL", "02 40 01 000000 0030", IN, MEDIUM, None),
    0x43: ("READ TOC", "00 00 000000 00 0324", IN, MEDIUM, None),
    0x45: ("PLAY AUDIO (10)", "00 00000005 00 0000", NONE, MEDIUM | LBA4, None),
    0x46: ("GET CONFIGURATION", "00 0000 000000 0100", IN, ALWAYS, None),
    0x47: ("PLAY AUDIO MSF", "00 00 000205 000205", NONE, MEDIUM, None),
    0x4a: ("GET EVENT STATUS NOTIFICATION", "01 0000 10 0000 0008", IN, ALWAYS, None),
    0x4b: ("PAUSE RESUME", "00 0000000000 00 01", NONE, MEDIUM, (5, 0x2c)),
    0x4e: ("STOP PLAY SCAN", "", NONE, MEDIUM, None),
    0x51: ("READ DISC INFORMATION", "00 0000000000 0022", IN, MEDIUM, None),
    0x52: ("READ TRACK INFORMATION", "01 00000001 00 0024", IN, MEDIUM, None),
    0x55: ("MODE SELECT (10)", "10 0000000000 0014", OUT, 0, None),
    0x5a: ("MODE SENSE (10)", "00 01 0000000000 ff", IN, 0, None),
    0xa0: ("REPORT LUNS", "00 00 000000 00000010", IN, ALWAYS, None),
    0xa5: ("PLAY AUDIO (12)", "00 00000005 00000000", NONE, MEDIUM | LBA4, None),
    0xa6: ("LOAD UNLOAD MEDIUM", "", NONE, 0, None),
    0xa8: ("READ (12)", "00 00000005 00000001", IN, MEDIUM | LBA4, None),
    0xac: ("GET PERFORMANCE", "10 00000000 0000 0001 00", IN, 0, None),
    0xad: ("READ DISC STRUCTURE", "00 00000000 00 ff 0100", IN, MEDIUM, None),
    0xb6: ("SET STREAMING", "00 00000000 000000 001c", OUT, 0, None),
    0xb9: ("READ CD MSF", "00 00 000205 000206 10", IN, MEDIUM, None),
    0xba: ("SCAN", "00 00000005 000000 00", NONE, MEDIUM, (5, 0x64)),
    0xbb: ("SET CD SPEED", "00 ffff ffff", NONE, 0, None),
    0xbd: ("MECHANISM STATUS", "00 000000000000 0008", IN, ALWAYS, None),
    0xbe: ("READ CD", "00 00000005 000001 f8", IN, MEDIUM | LBA4, None),
}
PAGE = bytes.fromhex("010a00000000000000000000")  # read error recovery, as MODE SELECT takes it
PARAMETERS = {0x15: bytes(4) + PAGE, 0x55: bytes(8) + PAGE,
              0xb6: struct.pack(">IIIIIII", 0, 0, BLOCKS - 1, 1411, 1000, 1411, 1000)}


def name(opcode):
    return f"{opcode:02x}h {PACKETS[opcode][0]}"


class Drive(IdeMachine):
    """One CD drive; a packet goes from its command to its end."""

    def __init__(self, directory, medium=True):
        drive = 'cdrom = "cd"' if medium else 'kind = "cdrom"'
        super().__init__(directory, f"{{ channel = 0; unit = 0; {drive}; }}")

    def cdb(self, opcode, lba=None):
        _, rest, _, flags, _ = PACKETS[opcode]
        cdb = bytes([opcode]) + bytes.fromhex(rest)
        if lba is not None:
            cdb = (cdb[:2] + struct.pack(">I", lba) + cdb[6:] if flags & LBA4 else
                   cdb[:1] + struct.pack(">I", lba)[1:] + cdb[4:])
        return cdb

    def table(self, *pieces, write=False):
        self.prds(*pieces)
        self.outb(BM, 1 if write else 9)

    def run(self, opcode, lba=None, **how):
        """(Error register, data) of a command by PIO."""
        self.packet(self.cdb(opcode, lba), **how)
        data, sent = b"", 0
        while True:
            self.wait_irq()
            reason, status = self.inb(PORT + 2), self.inb(PORT + 7)
            if not status & DRQ:
                equal((reason, status & (DRDY | DF)), (3, DRDY), name(opcode) + ": the end")
                return self.inb(PORT + 1), data
            count = self.inb(PORT + 4) | self.inb(PORT + 5) << 8
            equal(reason, 0 if PACKETS[opcode][2] == OUT else 2, name(opcode) + ": direction")
            if PACKETS[opcode][2] == OUT:
                for (word,) in struct.iter_unpack("<H", PARAMETERS[opcode][sent:sent + count]):
                    self.outw(PORT, word)
                sent += count
            else:
                data += b"".join(struct.pack("<H", self.inw(PORT)) for _ in range((count + 1) // 2))[:count]

    def ends(self, opcode, want, what="", **how):
        """want: sense key and code, None: it is good. Returns its data."""
        error, data = self.run(opcode, **how)
        equal(error, want[0] << 4 if want else 0, f"{name(opcode)}{what}: error")
        if want:
            equal(self.sense()[:2], want, f"{name(opcode)}{what}: sense")
        else:
            equal(data != b"", PACKETS[opcode][2] == IN, f"{name(opcode)}{what}: data")
        return data

    def reset(self, device):
        if device:
            self.outb(PORT + 7, 0x08)
        else:
            self.outb(CONTROL, 4)
            self.outb(CONTROL, 0)
        self.settle()
        check(not self.irq(IRQ), "an interrupt outlives the reset")
        equal([self.inb(PORT + i) for i in range(1, 6)], [1, 1, 1, 0x14, 0xeb], "signature")


def test_every_command_does_its_work(directory):
    with Drive(directory) as m:
        for opcode, (_, _, _, _, want) in PACKETS.items():
            data = m.ends(opcode, want)
            if opcode in (0x08, 0x28, 0xa8, 0xb9):
                equal(data == m.cd[5 * 2048:6 * 2048], True, name(opcode) + ": the block")
            if opcode == 0xbe:
                equal((len(data), data[16:2064] == m.cd[5 * 2048:6 * 2048]), (2352, True), "the raw block")


def test_every_command_by_dma(directory):
    with Drive(directory) as m:
        for opcode, (_, _, direction, _, _) in PACKETS.items():
            if direction == IN:
                data = m.ends(opcode, None)
                m.write(BUFFER, bytes(4096))
                m.table((BUFFER, EOT | len(data)))
                m.packet(m.cdb(opcode), dma=True, limit=0)
                m.end()
                equal(m.inb(BM + 2) & 7, 4, name(opcode) + ": the bus master")
                equal(m.read(BUFFER, len(data)) == data, True, name(opcode) + ": data")
            elif direction == OUT:
                m.write(BUFFER, PARAMETERS[opcode])
                m.table((BUFFER, EOT | len(PARAMETERS[opcode])), write=True)
                m.packet(m.cdb(opcode), dma=True)
                m.end()


def test_every_other_opcode_is_illegal(directory):
    with Drive(directory) as m:
        for opcode in range(256):
            if opcode not in PACKETS:
                m.packet([opcode])
                m.end(error=0x50)
                equal(m.sense()[:2], UNKNOWN, f"{opcode:02x}h")


def test_without_a_medium(directory):
    with Drive(directory, medium=False) as m:
        for opcode, (_, _, _, flags, want) in PACKETS.items():
            m.ends(opcode, NO_MEDIUM if flags & MEDIUM else want, " without a medium")


def test_after_a_change_of_the_medium(directory):
    with Drive(directory) as m, Qmp(m.control) as qmp:
        for i, (opcode, (_, _, _, flags, want)) in enumerate(PACKETS.items()):
            path = os.path.join(directory, f"other{i % 2}.iso")
            with open(path, "wb") as file:
                file.write(m.cd)
            qmp.ask("blockdev-change-medium", id="ide0:0.0", filename=path, format="raw")
            m.ends(0x00, NO_MEDIUM, " after a change")
            m.ends(opcode, want if flags & ALWAYS else CHANGED, " with unit attention")
            if opcode != 0x03:  # which is how it is told
                m.ends(0x00, CHANGED if flags & ALWAYS else None, f" after {name(opcode)}")


def test_addresses_beyond_the_end(directory):
    with Drive(directory) as m:
        for opcode, (_, _, _, flags, _) in PACKETS.items():
            if flags & (LBA3 | LBA4):
                for lba in (BLOCKS, BLOCKS + 1, 0x1fffff if flags & LBA3 else 0xffffffff):
                    m.ends(opcode, OUT_OF_RANGE, f" at {lba:x}h", lba=lba)
                m.ends(opcode, None, " of the last block", lba=BLOCKS - 1)
        m.packet(bytes.fromhex("b9 00 00 000200 100000 10"))
        m.end(error=0x50)
        equal(m.sense()[:2], OUT_OF_RANGE, "READ CD MSF")


def test_a_byte_count_limit_of_zero_is_refused(directory):
    with Drive(directory) as m:
        for opcode, (_, _, direction, _, _) in PACKETS.items():
            if direction != NONE:
                m.outb(PORT + 6, 0xa0)
                for limit in (0, 1):
                    error, _ = m.run(opcode, limit=limit)
                    equal(error, ABRT, f"{name(opcode)} with {limit}")
        m.outb(PORT + 1, 2)  # overlapped
        m.outb(PORT + 7, 0xa0)
        m.end(error=ABRT)


def test_resets_in_the_middle_of_each_command(directory):
    with Drive(directory) as m:
        for device in (False, True):
            for opcode, (_, _, direction, _, _) in PACKETS.items():
                m.outb(PORT + 6, 0xa0)
                m.outb(PORT + 7, 0xa0)
                equal(m.settle() & (DRQ | ERR), DRQ, "the drive wants the packet")
                m.outw(PORT, opcode)
                m.reset(device)  # before the packet is whole
                if direction != NONE:
                    m.packet(m.cdb(opcode))
                    m.wait_irq()
                    equal(m.settle() & (DRQ | ERR), DRQ, name(opcode) + ": data")
                    m.inw(PORT) if direction == IN else m.outw(PORT, 0)
                    m.reset(device)
            m.ends(0x00, None, " after the resets")


def test_dma_that_cannot_be_done(directory):
    with Drive(directory) as m:
        for opcode, (_, _, direction, _, _) in PACKETS.items():
            if direction == NONE:
                continue
            length = len(m.ends(opcode, None)) if direction == IN else len(PARAMETERS[opcode])
            for pieces, want in (([(NOWHERE, EOT | length)], 2), ([(BUFFER, EOT | (length - 1 & ~1))], 0)):
                m.table(*pieces, write=direction == OUT)
                m.packet(m.cdb(opcode), dma=True)
                m.settle()
                equal(m.inb(BM + 2) & 7, want, f"{name(opcode)}: the bus master with {pieces}")
                equal(m.inb(PORT + 7) & (DRQ | ERR | DRDY), DRDY, name(opcode) + ": the drive is ready")
                m.outb(BM, 0)
            m.config_write(FUNCTION, 4, 1, 2)
            m.write(BUFFER, b"\xee" * 4096)
            m.table((BUFFER, EOT | length), write=direction == OUT)
            m.packet(m.cdb(opcode), dma=True)
            m.settle()
            check(m.irq(IRQ), name(opcode) + ": an end without bus mastering")
            m.inb(PORT + 7)
            equal(m.read(BUFFER, 4096) == b"\xee" * 4096, True, name(opcode) + ": memory")
            m.config_write(FUNCTION, 4, 5, 2)
            m.outb(BM, 0)
        m.ends(0x28, None, " afterwards")


def test_a_sleeping_drive_takes_nothing_but_a_reset(directory):
    with Drive(directory) as m:
        for sleep in (0xe6, 0x99):
            m.outb(PORT + 7, sleep)
            m.settle()
            m.inb(PORT + 7)
            m.outb(PORT + 7, 0xa0)
            equal(m.settle() & (DRQ | ERR), 0, "PACKET")
            m.reset(True)
            m.ends(0x28, None, " after DEVICE RESET")


def test_a_locked_tray_stays_closed_and_an_open_one_has_no_medium(directory):
    with Drive(directory) as m:
        m.packet([0x1e, 0, 0, 0, 1])
        m.end()
        for cdb in ([0x1b, 0, 0, 0, 2], [0xa6, 0, 0, 0, 2]):
            m.packet(cdb)
            m.end(error=0x20)
            equal(m.sense(), (2, 0x53, 2), "medium removal prevented")
        m.packet([0x1e])
        m.end()
        for unload, load in (([0x1b, 0, 0, 0, 2], [0x1b, 0, 0, 0, 3]), ([0xa6, 0, 0, 0, 2], [0xa6, 0, 0, 0, 3])):
            m.packet(unload)
            m.end()
            for opcode, (_, _, _, flags, _) in PACKETS.items():
                if flags & MEDIUM and opcode != 0x1b:
                    m.ends(opcode, NO_MEDIUM, " with an open tray")
            m.packet(load)
            m.end()
            m.ends(0x00, CHANGED, " after the tray has closed")
            m.ends(0x28, None, " again")


if __name__ == "__main__":
    run_tests([value for name_, value in sorted(globals().items()) if name_.startswith("test_")])
