#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""backend-swap: backends and filters exchanged under a disk that is being used."""

import base64
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import virtio_scsi  # noqa: E402
from backplane import check, run_tests  # noqa: E402
from floppy import CCR, RATE_500, Floppy, make_image, sectors_of  # noqa: E402
from registers import Qmp, TestMachine, equal  # noqa: E402
from test_virtio_blk import IN, OUT, Disk  # noqa: E402
from test_virtio_net import TX, TX_DATA, Card, frame  # noqa: E402

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


def test_what_does_not_hold_the_same_disk_is_refused(directory):
    with Machine(directory) as m:
        def copy(name, *at):
            """A copy of the first image with bytes changed."""
            with open(os.path.join(directory, "first.img"), "rb") as file:
                data = bytearray(file.read())
            for offset in at:
                data[offset] ^= 1
            with open(os.path.join(directory, name + ".img"), "wb") as file:
                file.write(data)
            m.qmp.ask("blockdev-add", driver="block-file", node__name=name, path=os.path.join(directory, name + ".img"))
        m.write_sector(0, 0x5aa5)
        m.write_sector(2047, 0x1234)
        for name, at in (("same", ()), ("middle", (SIZE // 2,)), ("head", (65535,)), ("tail", (SIZE - 65536,))):
            copy(name, *at)
        for name in ("head", "tail"):
            m.qmp.fails("do not hold the same disk", "backend-swap", device="top", backend=name, verify="size,id")
        m.add_file("small", 4096)
        m.qmp.fails("do not hold the same disk", "backend-swap", device="top", backend="small", verify="id")
        equal(m.read_sector(0), [0x5aa5] * 256, "undone")
        m.qmp.ask("backend-swap", device="top", backend="same", verify="size,id")
        m.qmp.ask("backend-swap", device="top", backend="middle", verify="id,size")
        m.write_sector(1, 0x7777)
        equal((m.image("middle", 1), m.image("same", 1)), (0x7777, 0), "it is the other one")
        m.qmp.ask("backend-swap", device="top", backend={"driver": "filter-throttle", "node-name": "slow"}, verify="id")
        m.qmp.ask("backend-swap", device="top", backend="middle", verify="size,id")
        m.qmp.ask("blockdev-add", driver="block-ram", node__name="broken-ram", size=SIZE)
        m.qmp.ask("blockdev-add", driver="filter-fault", node__name="broken", below="broken-ram",
                  rules=[{"op": "read", "error": "EIO"}])
        m.qmp.fails("cannot read \"broken\" to compare it", "backend-swap", device="top", backend="broken", verify="id")
        m.qmp.fails("does not accept", "backend-swap", device="top", backend="same", verify="size,x")
        m.qmp.fails("does not accept", "backend-swap", device="top", backend="same", verify="none,size")
        m.write_sector(3, 0x3333)
        equal(m.image("middle", 3), 0x3333, "the disk works")


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


RING = """
machine = { memory = "16M"; };
backends = { first = { plugin = "block-file"; path = "first.img"; create = "1M"; }; };
devices = { blk0 = { plugin = "virtio-blk"; backend = "first"; address = "05.0"; }; };
"""


def test_a_thousand_swaps_under_a_ring_that_writes(directory):
    """Sixteen writes are in the ring whenever the backend changes; each ends whole, in one of the files, and what
    the guest reads is what it wrote last, as each write is repeated into both."""
    control = os.path.join(directory, "control")
    with TestMachine(RING, directory, "--control", control) as m, Qmp(control) as qmp:
        qmp.ask("blockdev-add", driver="block-file", node__name="second", create=SIZE,
                path=os.path.join(directory, "second.img"))
        ring = Ring(m, 5 << 3)
        names = ("second", "first")
        written = {}
        for swap in range(1000):
            batch = [(sector, swap * 16 + i + 1) for i, sector in
                     enumerate((swap * 7 + 11 * i) % 2048 for i in range(16))]
            ring.offer_writes(batch)
            qmp.ask("backend-swap", device="blk0", backend=names[swap & 1])
            ring.wait(len(batch))
            written.update(batch)
            if swap % 100 == 99:
                check_files(directory, written)
        check_files(directory, written)
        check(len(os.listdir(f"/proc/{m.process.pid}/fd")) < 64, "descriptors do not grow")


def check_files(directory, written):
    files = []
    for name in ("first", "second"):
        with open(os.path.join(directory, name + ".img"), "rb") as file:
            files.append(file.read())
    for sector, number in written.items():
        whole = number.to_bytes(4, "little") * 128
        found = [data[sector * 512:][:512] for data in files]
        check(whole in found, f"write {number} of sector {sector} is in no file")
        for data in found:
            check(len({data[i:i + 4] for i in range(0, 512, 4)}) == 1, f"sector {sector} is torn")


class Ring(Disk):
    """Writes of one sector, several at a time."""

    def __init__(self, machine, devfn):
        super().__init__(machine, devfn, 0)
        self.start_modern()

    def offer_writes(self, batch):
        table, heads = b"", b""
        for i, (sector, number) in enumerate(batch):
            at = 0x200000 + i * 0x1000
            self.m.write(at, struct.pack("<IIQ", OUT, 0, sector) + b"\xee")
            self.m.ask(f"b64write 0x{at + 0x200:x} 512 "
                       + base64.b64encode(number.to_bytes(4, "little") * 128).decode())
            for gpa, size, flags in ((at, 16, 1), (at + 0x200, 512, 1), (at + 16, 1, 2)):
                table += struct.pack("<QIHH", gpa, size, flags, len(table) // 16 + 1)
            heads += struct.pack("<H", 3 * i)
        self.m.write(self.places[0], table)
        for i in range(len(batch)):
            self.m.write(self.places[1] + 4 + 2 * ((self.avail + i) % self.size), heads[2 * i:2 * i + 2])
        self.avail = (self.avail + len(batch)) & 0xffff
        self.m.write(self.places[1] + 2, struct.pack("<H", self.avail))
        self.notify()

    def wait(self, count):
        self.m.wait_until(lambda: self.used_index() == self.avail, "the end of the writes")
        for i in range(count):
            equal(self.m.read(0x200010 + i * 0x1000, 1), b"\0", "status")


def test_a_ring_disk_refuses_what_its_guest_could_not_use(directory):
    control = os.path.join(directory, "control")
    with TestMachine(RING, directory, "--control", control) as m, Qmp(control) as qmp:
        ring = Ring(m, 5 << 3)
        qmp.ask("blockdev-add", driver="block-ram", node__name="ro", size=SIZE, readonly=True)
        qmp.fails("it is read-only", "backend-swap", device="blk0", backend="ro")
        qmp.ask("blockdev-add", driver="block-ram", node__name="big", size=2 * SIZE)
        qmp.fails("not of the same size", "backend-swap", device="blk0", backend="big")
        ring.offer_writes([(1, 77)])
        ring.wait(1)
        qmp.ask("backend-swap", device="blk0", backend="big", verify="none")
        equal(int(m.ask(f"readq 0x{ring.mmio + 0x2000:x}"), 16), 2 * SIZE // 512, "the capacity follows")
        equal(ring.request(IN, 1, length=512), (0, bytes(512)), "another disk")


LUN = """
machine = { memory = "16M"; };
backends = { first = { plugin = "block-file"; path = "first.img"; create = "1M"; };
             unit = { plugin = "scsi-disk"; backend = "first"; }; };
devices = { scsi0 = { plugin = "virtio-scsi"; luns = ( { target = 0; backend = "unit"; } ); }; };
"""


def scsi(code, block):
    return struct.pack(">BBIBHB", code, 0, block, 0, 1, 0)


def test_a_lun_moves_below_its_disk(directory):
    """The guest hears nothing of it: no unit attention, and another capacity is refused."""
    control = os.path.join(directory, "control")
    with TestMachine(LUN, directory, "--control", control) as m, Qmp(control) as qmp:
        adapter = virtio_scsi.find(m)
        adapter.attend(0, 0)
        qmp.ask("blockdev-add", driver="block-file", node__name="second", create=SIZE,
                path=os.path.join(directory, "second.img"))
        qmp.ask("blockdev-add", driver="block-ram", node__name="big", size=2 * SIZE)
        written = {}
        for swap in range(100):
            block = swap * 7 % 2048
            equal(adapter.command(0, 0, scsi(0x2a, block), (swap + 1).to_bytes(4, "little") * 128)[:2], (0, 0),
                  "a write")
            written[block] = swap + 1
            qmp.ask("backend-swap", device="unit", backend=("second", "first")[swap & 1])
        check_files(directory, written)
        qmp.fails("not of the same size", "backend-swap", device="unit", backend="big")
        qmp.ask("backend-swap", device="unit",
                backend={"driver": "filter-fault", "node-name": "late", "rules": [{"op": "read", "count": 1}]})
        equal(adapter.command(0, 0, scsi(0x28, 0), length=512)[1], 2, "the filter's error")
        equal(adapter.command(0, 0, scsi(0x28, 0), length=512)[:2], (0, 0), "then it reads through")
        qmp.ask("backend-swap", device="unit", backend="first")
        qmp.ask("backend-swap", device="unit", backend="big", verify="none")
        sense = adapter.command(0, 0, bytes(6))[2]
        equal((sense[2] & 15, sense[12:14]), (6, b"\x2a\x09"), "the guest is told of another capacity")
        capacity = adapter.command(0, 0, b"\x25".ljust(10, b"\0"), length=8)[3]
        equal(struct.unpack(">I", capacity[:4])[0], 2 * SIZE // 512 - 1, "which it then finds")


def test_an_ide_drive_itself_gets_another_disk(directory):
    with Machine(directory) as m:
        m.add_file("second")
        m.write_sector(4, 0x4444)
        with Qmp(m.control) as other:
            m.start_write(5, 0x5555)
            other.ask("backend-swap", device="ide0:0.0", backend="second")
            m.wait_until(lambda: m.inb(0x1f7) & 0x80 == 0, "the end of the write")
        equal(m.inb(0x1f7) & 0x21, 0, "no error")
        equal(sorted((m.image("first", 5), m.image("second", 5))), [0, 0x5555], "the write is in one of them")
        equal(m.read_sector(4), [0] * 256, "another disk")
        m.qmp.ask("blockdev-del", node__name="top")
        m.qmp.ask("backend-swap", device="ide0:0.0", backend="first")
        equal(m.read_sector(4), [0x4444] * 256, "and back, without the filter")


def test_a_floppy_drive_gets_another_disk(directory):
    control = os.path.join(directory, "control")
    first, second = make_image(directory, "a.img", 1440), make_image(directory, "b.img", 1440, salt=7)
    with Floppy(directory, [(first, "")], "", "--control", control) as m, Qmp(control) as qmp:
        m.reset()
        m.specify(0)
        m.outb(CCR, RATE_500)
        qmp.ask("blockdev-add", driver="block-file", node__name="other", path=second)
        equal(m.read_sectors(0, 0, 0, 1, 1), sectors_of(first, 0), "the first")
        qmp.ask("backend-swap", device="fdc0:0", backend="other")
        m.seek(0, 1)
        m.seek(0, 0)
        equal(m.read_sectors(0, 0, 0, 1, 1), sectors_of(second, 0), "the second")


CARD = """
machine = { memory = "16M"; };
backends = { one = { plugin = "net-dgram"; path = "one.sock"; peer_path = "one.peer"; }; };
devices = { net0 = { plugin = "virtio-net"; address = "05.0"; backend = "one"; }; };
"""


def bind(path):
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    peer.bind(path)
    peer.setblocking(False)
    return peer


def take_frames(peer, found):
    """Appends the numbers of the frames that wait."""
    try:
        while True:
            found.append(int.from_bytes(peer.recv(2048)[14:18], "big"))
    except BlockingIOError:
        pass


def test_a_card_changes_networks_while_it_sends(directory):
    """Sixteen frames are on their way at each change; each leaves the machine once, in order."""
    control = os.path.join(directory, "control")
    peers = [bind(os.path.join(directory, name)) for name in ("one.peer", "two.peer")]
    found = [[], []]
    with TestMachine(CARD, directory, "--control", control) as m, Qmp(control) as qmp:
        qmp.ask("netdev_add", type="dgram", id="two", path=os.path.join(directory, "two.sock"),
                peer_path=os.path.join(directory, "two.peer"))
        card = Card(m)
        qmp.fails("is no disk", "backend-swap", device="net0", backend="two", verify="id")

        def all_sent():
            for peer, numbers in zip(peers, found):
                take_frames(peer, numbers)
            return card.used_index(TX) == card.avail[TX] & 0xffff
        for swap in range(100):
            for i in range(16):
                at = TX_DATA + 2048 * (card.avail[TX] % 128)
                m.write(at, bytes(10) + frame(0)[:14] + (swap * 16 + i).to_bytes(4, "big") + bytes(42))
                card.add(TX, [(at, 70, False)])
            qmp.ask("backend-swap", device="net0", backend=("two", "one")[swap & 1])
            m.wait_until(all_sent, "the end of the frames")
        all_sent()
        check(sorted(found[0] + found[1]) == list(range(1600)), f"{len(found[0])} + {len(found[1])} frames of 1600")
        check(all(part == sorted(part) and part for part in found), "in order, on both networks")
        print(f"# {len(found[0])} and {len(found[1])} frames on the two networks")
    for peer in peers:
        peer.close()


if __name__ == "__main__":
    run_tests([test for name, test in sorted(globals().items()) if name.startswith("test_") and callable(test)])
