# SPDX-License-Identifier: Apache-2.0
"""A driver of virtio-scsi over the test protocol: one command at a time, with split queues."""

import struct

from registers import equal

SIZE, QUEUES = 16, 6
RING, COMMAND, DATA, EVENTS, MMIO = 0x100000, 0x180000, 0x200000, 0x1c0000, 0xe0000000
ANSWER = COMMAND + 0x800


class Adapter:
    """The function, driven as a driver would, with split queues."""

    def __init__(self, machine, devfn):
        self.m, self.avail = machine, [0] * QUEUES
        machine.config_write(devfn, 0x10, 0xc000)
        machine.config_write(devfn, 0x14, MMIO)
        machine.config_write(devfn, 4, 7, 2)
        for status in (0, 3):
            self.put(0x14, 1, status)
        for select, features in ((0, 6), (1, 1)):
            self.put(8, 4, select)
            self.put(12, 4, features)
        self.put(0x14, 1, 11)
        equal(self.get(0x14, 1), 11, "FEATURES_OK sticks")
        machine.ask(f"memset 0x{RING:x} 0x{QUEUES * 0x3000:x} 0")
        for queue in range(QUEUES):
            self.put(0x16, 2, queue)
            self.put(0x18, 2, SIZE)
            for part in range(3):
                self.put(0x20 + 8 * part, 4, RING + 0x3000 * queue + 0x1000 * part)
                self.put(0x24 + 8 * part, 4, 0)
            self.put(0x1c, 2, 1)
        self.put(0x14, 1, 15)

    def put(self, offset, width, value):
        self.m.ask(f"write{ {1: 'b', 2: 'w', 4: 'l'}[width] } 0x{MMIO + offset:x} 0x{value:x}")

    def get(self, offset, width):
        return int(self.m.ask(f"read{ {1: 'b', 2: 'w', 4: 'l'}[width] } 0x{MMIO + offset:x}"), 16)

    def offer(self, queue, pieces, notify=True):
        """At the beginning of the queue's table: one at a time."""
        ring = RING + 0x3000 * queue
        self.m.write(ring, b"".join(struct.pack("<QIHH", gpa, size, 2 * write + (i + 1 < len(pieces)), i + 1)
                                    for i, (gpa, size, write) in enumerate(pieces)))
        self.m.write(ring + 0x1000 + 4 + 2 * (self.avail[queue] % SIZE), b"\0\0")
        self.avail[queue] += 1
        self.m.write(ring + 0x1002, struct.pack("<H", self.avail[queue] & 0xffff))
        if notify:
            self.put(0x3000 + 4 * queue, 2, queue)

    def used(self, queue):
        return struct.unpack("<H", self.m.read(RING + 0x3000 * queue + 0x2002, 2))[0]

    def run(self, queue, pieces):
        self.offer(queue, pieces)
        self.m.wait_until(lambda: self.used(queue) == self.avail[queue] & 0xffff, "a used entry")

    def command(self, target, lun, cdb, out=b"", length=0, queue=2):
        """Returns response, status, sense data and data."""
        field = bytes((1, target, 0x40 | lun >> 8, lun & 255)) + bytes(4)
        self.m.write(COMMAND, field + bytes(11) + cdb.ljust(32, b"\0"))
        pieces = [(COMMAND, 51, 0), (ANSWER, 108, 1)]
        if out:
            self.m.write(DATA, out)
            pieces.insert(1, (DATA, len(out), 0))
        if length:
            pieces.append((DATA, length, 1))
        self.run(queue, pieces)
        answer = self.m.read(ANSWER, 108)
        size = struct.unpack("<I", answer[:4])[0]
        return answer[11], answer[10], answer[12:12 + size], self.m.read(DATA, length) if length else b""

    def attend(self, target, lun):
        """Takes the attention after power-on."""
        equal(self.command(target, lun, bytes(6))[1], 2, "unit attention")


def find(machine):
    """The adapter of a machine that has one."""
    return Adapter(machine, next(d for d in machine.functions() if machine.config_read(d, 0) in (0x10041af4, 0x10481af4)))
