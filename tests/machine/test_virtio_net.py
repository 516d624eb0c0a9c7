#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""virtio-net through the whole machine: a legacy driver, frames over a socket, over QEMU, a stopped
machine, its link pulled, its ROM."""

import os
import shutil
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from registers import Qmp, TestMachine, equal  # noqa: E402

IO, RX, TX, RX_DATA, TX_DATA = 0xc000, 0x100000, 0x110000, 0x200000, 0x300000
HEADER = 10
ROM = "/usr/lib/ipxe/qemu/pxe-virtio.rom"
MACHINE = """
machine = { memory = "16M"; %s };
backends = { lan = { plugin = "net-stream"; path = "%s"; server = %s; }; };
devices = { net0 = { plugin = "virtio-net"; address = "05.0"; backend = "lan"; mac = "02:00:00:00:00:07"; %s }; };
"""


class Card:
    """The card, driven as a legacy driver would, with rings of 256 entries."""

    def __init__(self, machine):
        self.m = machine
        self.avail = {RX: 0, TX: 0}
        self.used = {RX: 0, TX: 0}
        machine.config_write(0x28, 0x10, IO)
        machine.config_write(0x28, 4, 7, 2)
        machine.outb(IO + 18, 3)
        machine.outl(IO + 4, 1 << 16)
        for queue, ring in enumerate((RX, TX)):
            machine.ask(f"memset 0x{ring:x} 0x4000 0")
            machine.outw(IO + 14, queue)
            equal(machine.inw(IO + 12), 256, "entries")
            machine.outl(IO + 8, ring >> 12)
        machine.outb(IO + 18, 7)

    def link(self):
        return self.m.inw(IO + 20 + 6) & 1

    def add(self, ring, pieces):
        """pieces: (address, length, written by the device); descriptors 2n and 2n + 1 for entry n."""
        entry = self.avail[ring] % 128
        for i, (address, length, is_in) in enumerate(pieces):
            flags = (2 if is_in else 0) | (1 if i + 1 < len(pieces) else 0)
            self.m.write(ring + (2 * entry + i) * 16,
                         struct.pack("<QIHH", address, length, flags, 2 * entry + i + 1))
        self.m.write(ring + 4096 + 4 + (self.avail[ring] % 256) * 2, struct.pack("<H", 2 * entry))
        self.avail[ring] += 1
        self.m.write(ring + 4096 + 2, struct.pack("<H", self.avail[ring]))
        self.m.outw(IO + 16, 0 if ring == RX else 1)

    def post(self, count):
        for _ in range(count):
            self.add(RX, [(RX_DATA + 2048 * (self.avail[RX] % 128), 2048, True)])

    def used_index(self, ring):
        return int.from_bytes(self.m.read(ring + 8192 + 2, 2), "little")

    def receive(self):
        """The next frame."""
        self.m.wait_until(lambda: self.used_index(RX) != self.used[RX], "a received frame")
        entry = self.m.read(RX + 8192 + 4 + (self.used[RX] % 256) * 8, 8)
        index, length = struct.unpack("<II", entry)
        self.used[RX] += 1
        data = self.m.read(RX_DATA + 2048 * (index // 2), length)
        equal(data[:HEADER], bytes(HEADER), "header")
        return data[HEADER:]

    def send(self, frame):
        self.m.write(TX_DATA, bytes(16) + frame)
        self.add(TX, [(TX_DATA, HEADER, False), (TX_DATA + 16, len(frame), False)])


def frame(number, length=60):
    return bytes([2, 0, 0, 0, 0, 7, 2, 0, 0, 0, 0, 9, 0x88, 0xb5]) + bytes([number & 0xff]) * (length - 14)


def connect(path):
    for _ in range(200):
        peer = socket.socket(socket.AF_UNIX)
        try:
            peer.connect(path)
            peer.settimeout(20)
            return peer
        except OSError:
            peer.close()
            time.sleep(0.05)
    raise RuntimeError("nobody listens on " + path)


def put(peer, data):
    peer.sendall(struct.pack(">I", len(data)) + data)


def get(peer):
    data = b""
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
        more = peer.recv(65536)
        check(more, "the other end closed the connection")
        data += more
    return data[4:]


def machine(directory, server="true", machine_options="", options=""):
    path = os.path.join(directory, "lan.sock")
    return TestMachine(MACHINE % (machine_options, path, server, options), directory), path


def exchange(card, peer, count=20):
    card.post(count)
    for i in range(count):
        put(peer, frame(i, 60 + i * 70))
        equal(card.receive(), frame(i, 60 + i * 70), "a received frame")
        card.send(frame(100 + i, 60 + i * 70))
        equal(get(peer), frame(100 + i, 60 + i * 70), "a sent frame")


def test_frames_go_both_ways_over_a_socket(directory):
    m, path = machine(directory)
    with m:
        card = Card(m)
        equal(card.link(), 0, "link without anyone")
        peer = connect(path)
        m.wait_until(card.link, "link up")
        exchange(card, peer)
        peer.close()
        m.wait_until(lambda: not card.link(), "link down")
        peer = connect(path)
        m.wait_until(card.link, "link up again")
        exchange(card, peer)


def test_a_guest_without_buffers_loses_nothing(directory):
    m, path = machine(directory)
    with m:
        card = Card(m)
        peer = connect(path)
        m.wait_until(card.link, "link up")
        for i in range(100):
            put(peer, frame(i, 1000))
        equal(card.used_index(RX), 0, "frames")
        card.post(60)
        for i in range(60):
            equal(card.receive(), frame(i, 1000), f"frame {i}")
        card.post(60)
        for i in range(60, 100):
            equal(card.receive(), frame(i, 1000), f"frame {i}")


def test_a_stopped_machine_receives_when_it_goes_on(directory):
    control = os.path.join(directory, "qmp")
    m, path = machine(directory, machine_options=f'control = "{control}";')
    with m, Qmp(control) as qmp:
        card = Card(m)
        peer = connect(path)
        m.wait_until(card.link, "link up")
        qmp.ask("cont") if qmp.ask("query-status")["status"] != "running" else None
        card.post(10)
        exchange(card, peer, 5)
        qmp.ask("stop")
        put(peer, frame(1))
        time.sleep(0.1)  # what must not happen has had the time to
        equal(card.used_index(RX), card.used[RX], "frames of a stopped machine")
        qmp.ask("cont")
        equal(card.receive(), frame(1), "the frame")


def test_what_is_no_frame_is_dropped_and_used_up(directory):
    m, path = machine(directory)
    with m:
        card = Card(m)
        peer = connect(path)
        m.wait_until(card.link, "link up")
        m.write(TX_DATA, bytes(16))
        for pieces in (
                [(TX_DATA, HEADER, False)],                                    # no frame at all
                [(TX_DATA, 4, False), (TX_DATA + 16, 5, False)],               # half a header
                [(TX_DATA, HEADER, False), (TX_DATA + 16, 13, False)],         # half an Ethernet header
                [(TX_DATA, HEADER, False), (TX_DATA + 16, 65554, False)],      # longer than any frame
                [(TX_DATA, HEADER, False), (TX_DATA + 16, 0x200000, False)]):
            card.add(TX, pieces)
        m.write(TX_DATA + 32, bytes([1, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]))  # offloads never agreed on
        card.add(TX, [(TX_DATA + 32, HEADER, False), (TX_DATA + 64, 60, False)])
        card.send(frame(1, 65553))
        equal(len(get(peer)), 65553, "the longest frame")
        card.send(frame(2, 14))
        equal(get(peer), frame(2, 14), "the shortest frame")
        m.wait_until(lambda: card.used_index(TX) == 8, "all buffers back")
        equal(m.inb(IO + 18), 7, "status")


def test_a_guest_that_sends_more_than_is_read_waits_and_loses_nothing(directory):
    m, path = machine(directory)
    with m:
        card = Card(m)
        peer = connect(path)
        m.wait_until(card.link, "link up")
        for i in range(100):
            m.write(TX_DATA + 16 + i * 30000, frame(i, 30000))
            card.add(TX, [(TX_DATA, HEADER, False), (TX_DATA + 16 + i * 30000, 30000, False)])
        check(card.used_index(TX) < 100, "3 MB are taken by a socket that nobody reads")
        rest = b""
        for i in range(100):
            while len(rest) < 30004:
                rest += peer.recv(1 << 20)
            equal(rest[4:30004], frame(i, 30000), f"frame {i}")
            rest = rest[30004:]
        m.wait_until(lambda: card.used_index(TX) == 100, "all buffers back")


def test_the_rom_is_in_its_bar(directory):
    if not os.path.exists(ROM):
        return
    m, _ = machine(directory)
    with m, open(ROM, "rb") as file:
        m.config_write(0x28, 0x30, 0xfffff800)
        size = (~(m.config_read(0x28, 0x30) & 0xfffff800) & 0xffffffff) + 1
        check(size >= os.path.getsize(ROM), f"a ROM of {size} bytes")
        m.config_write(0x28, 0x30, 0xe8000001)
        m.config_write(0x28, 4, 7, 2)
        rom, image = m.read(0xe8000000, os.path.getsize(ROM)), file.read()
        data = image.index(b"PCIR")
        equal(rom[data + 4:data + 8], b"\xf4\x1a\0\x10", "the ids in the ROM, which serves a family")
        equal(sum(rom[:rom[2] * 512]) & 0xff, 0, "its checksum")
        equal(rom[:6] + rom[7:data + 4] + rom[data + 8:], image[:6] + image[7:data + 4] + image[data + 8:],
              "the ROM")


def test_frames_go_through_qemu(directory):
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        return
    far = os.path.join(directory, "far.sock")
    ours = os.path.join(directory, "lan.sock")
    arguments = [qemu, "-M", "none", "-nodefaults", "-display", "none"]
    for name, path in (("a", ours), ("b", far)):
        arguments += ["-netdev", f"stream,id={name},server=on,addr.type=unix,addr.path={path}",
                      "-netdev", f"hubport,id=hub{name},hubid=0,netdev={name}"]
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    try:
        peer = connect(far)
        m, _ = machine(directory, server="false")
        with m:
            card = Card(m)
            m.wait_until(card.link, "link up")
            exchange(card, peer)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    run_tests([
        test_frames_go_both_ways_over_a_socket,
        test_a_guest_without_buffers_loses_nothing,
        test_a_stopped_machine_receives_when_it_goes_on,
        test_what_is_no_frame_is_dropped_and_used_up,
        test_a_guest_that_sends_more_than_is_read_waits_and_loses_nothing,
        test_the_rom_is_in_its_bar,
        test_frames_go_through_qemu,
    ])
