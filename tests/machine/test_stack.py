#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Block filters stack in any order on any backend, from the description alone."""

import itertools
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from block_disks import NOISE, SIZE, USED, all_disks, check_image, start_server  # noqa: E402
from registers import Qmp, TestMachine, equal  # noqa: E402
from test_virtio_blk import DATA, FLUSH, IN, OUT, STATUS, VERSION_1, Disk as VirtioDisk  # noqa: E402

SECTORS = 4096
PORT = 0x1f0
FILTERS = ("fault", "throttle", "overlay", "verify")
BACKENDS = ("file", "ram", "qcow2", "nbd")


def backend(directory, kind, name):
    """The lines that make one backend, of 2 MiB."""
    image = os.path.join(directory, name)
    if kind == "ram":
        return f'{name} = {{ plugin = "block-ram"; size = "2M"; }};\n'
    if kind == "file":
        return f'{name} = {{ plugin = "block-file"; path = "{image}"; create = "2M"; }};\n'
    if kind == "qcow2":
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "2M"], check=True)
        return (f'{name}-file = {{ plugin = "block-file"; path = "{image}"; }};\n'
                f'{name} = {{ plugin = "block-qcow2"; file = "{name}-file"; }};\n')
    return f'{name} = {{ plugin = "block-nbd"; uri = "nbd+unix:///?socket={directory}/nbd"; }};\n'


def stack(directory, kind, order):
    """A backend and filters on it; the lines and the id of the topmost."""
    lines, below = backend(directory, kind, "base"), "base"
    for name in order:
        more = {"fault": 'rules = ( { offset = "1M"; length = 512; } );',
                "throttle": "iops = 1000; iops_burst = 1000000; burst_length = 3600;",
                "overlay": "", "verify": 'other = "twin";'}[name]
        if name == "verify":
            lines += backend(directory, "ram", "twin")
        lines += f'{name} = {{ plugin = "filter-{name}"; below = "{below}"; {more} }};\n'
        below = name
    return lines, below


class Disk(TestMachine):
    def __init__(self, directory, lines, top):
        super().__init__(f"""
machine = {{ memory = "16M"; control = "{directory}/qmp"; }};
backends = {{ {lines} }};
devices = {{ ide0 = {{ plugin = "ide"; drives = ( {{ channel = 0; unit = 0; disk = "{top}"; }} ); }}; }};
""", directory)

    def settle(self):
        # The throttle goes by guest time, which stands still unless it is told to move.
        self.wait_until(lambda: self.step(1000000) >= 0 and self.inb(PORT + 0x206) & 0x80 == 0, "BSY")
        return self.inb(PORT + 7)

    def command(self, command, lba=0):
        self.outb(PORT + 6, 0xe0 | lba >> 24)
        self.outb(PORT + 2, 1)
        for i in range(3):
            self.outb(PORT + 3 + i, lba >> 8 * i & 0xff)
        self.outb(PORT + 7, command)
        return self.settle()

    def write_sector(self, lba, data):
        check(self.command(0x30, lba) & 0x08, "no DRQ")
        for i in range(0, 512, 2):
            self.outw(PORT, data[i] | data[i + 1] << 8)
        return self.settle()

    def read_sector(self, lba):
        status = self.command(0x20, lba)
        if status & 0x08 == 0:
            return status, b""
        return status, b"".join(self.inw(PORT).to_bytes(2, "little") for _ in range(256))


def drive(directory, kind, order):
    dice = random.Random(repr((kind, order)))
    lines, top = stack(directory, kind, order)
    with Disk(directory, lines, top) as disk:
        written = {dice.randrange(2048): dice.randbytes(512) for _ in range(3)}
        for lba, data in written.items():
            equal(disk.write_sector(lba, data) & 0x21, 0, f"{kind} {order}: write of {lba}")
        equal(disk.command(0xe7) & 0x21, 0, f"{kind} {order}: flush")
        for lba, data in written.items():
            status, back = disk.read_sector(lba)
            equal(status & 0x21, 0, f"{kind} {order}: read of {lba}")
            check(back == data, f"{kind} {order}: sector {lba} is another")
        if "fault" in order:
            check(disk.read_sector(2048)[0] & 0x01, f"{kind} {order}: the fault did not get through")


def stacks(top, kind, server=None):
    for i, order in enumerate(itertools.permutations(FILTERS)):
        if (i + BACKENDS.index(kind)) % 4 != 0:
            continue  # each order on one backend, each backend under six orders
        directory = os.path.join(top, f"{kind}{i}")
        os.mkdir(directory)
        process = server(directory) if server else None
        try:
            drive(directory, kind, order)
        finally:
            if process:
                process.kill()
                process.wait()


def nbd_server(directory):
    path = os.path.join(directory, "nbd")
    process = subprocess.Popen(["nbdkit", "-f", "-U", path, "memory", "2M"])
    while process.poll() is None:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) == 0:
                break
        time.sleep(0.01)
    return process


def test_filters_on_file_and_ram(directory):
    stacks(directory, "file")
    stacks(directory, "ram")


def test_filters_on_qcow2(directory):
    if shutil.which("qemu-img"):
        stacks(directory, "qcow2")


def test_filters_on_nbd(directory):
    if shutil.which("nbdkit"):
        stacks(directory, "nbd", nbd_server)


def sector(path, lba):
    with open(path, "rb") as file:
        file.seek(lba * 512)
        return file.read(512)


def test_qmp_commits_and_drops_what_an_overlay_keeps(directory):
    lines, top = stack(directory, "file", ("overlay",))
    image = os.path.join(directory, "base")
    with Disk(directory, lines, top) as disk, Qmp(os.path.join(directory, "qmp")) as qmp:
        disk.write_sector(5, b"a" * 512)
        equal(sector(image, 5), bytes(512), "the disk below, before")
        qmp.ask("qom-set", path="/machine/peripheral/overlay", property="now", value="commit")
        equal(sector(image, 5), b"a" * 512, "the disk below, committed")
        disk.write_sector(5, b"b" * 512)
        disk.write_sector(6, b"c" * 512)
        qmp.ask("qom-set", path="overlay", property="now", value="drop")
        status, data = disk.read_sector(5)
        if status & 1:  # it was told that the medium is another one
            status, data = disk.read_sector(5)
        equal(data, b"a" * 512, "what the guest reads, dropped")
        qmp.fails("sometimes", "qom-set", path="overlay", property="now", value="sometimes")
        qmp.fails('no option "store" that changes', "qom-set", path="overlay", property="store", value="x")
        qmp.fails("Device 'nothing' not found", "qom-set", "DeviceNotFound", path="nothing", property="now", value=1)
    equal(sector(image, 5), b"a" * 512, "the disk below, at the end")
    equal(sector(image, 6), bytes(512), "what was dropped, at the end")


def test_qmp_changes_what_a_fault_does(directory):
    lines, top = stack(directory, "ram", ("fault",))
    with Disk(directory, lines, top) as disk, Qmp(os.path.join(directory, "qmp")) as qmp:
        check(disk.read_sector(2048)[0] & 0x01, "the fault of the description")
        qmp.ask("qom-set", path="fault", property="rules",
                value=[{"op": "read", "offset": 0, "length": "4K", "nth": 2, "count": 1}])
        equal([disk.read_sector(lba)[0] & 0x01 for lba in (2048, 3, 3, 3)], [0, 0, 1, 0], "errors")
        qmp.fails("nht", "qom-set", path="fault", property="rules", value=[{"op": "read", "nht": 2}])
        qmp.fails("fault.rules[0].length", "qom-set", path="fault", property="rules", value=[{"length": "4 KiB"}])
        qmp.ask("qom-set", path="fault", property="enabled", value=False)
        equal(disk.read_sector(3)[0] & 0x01, 0, "nothing fails")


class Guest(VirtioDisk):
    """Its requests may have to wait for guest time, because of throttles."""

    def request(self, kind, sector=0, data=b"", length=0):
        self.offer(kind, sector, data, length)
        self.m.wait_until(lambda: self.m.step(1000000) >= 0 and self.used_index() == self.avail, "an end", 60)
        return self.m.read(STATUS, 1)[0], self.m.read(DATA, length) if length else b""


def use(guest, name, disk):
    """What tests/linux/init_block_stack does, by registers."""
    def do(*arguments, **more):
        status, data = guest.request(*arguments, **more)
        equal(status, 0, f"{name}: {arguments[:2]}")
        return data

    def read(length):
        return b"".join(do(IN, at // 512, length=64 << 10) for at in range(0, length, 64 << 10))

    check(read(SIZE // 4) == disk.before[:SIZE // 4], name + ": what the guest read")
    do(OUT, 1024, NOISE)
    do(11, 0, struct.pack("<QII", 2048, 512, 0))  # discard
    do(13, 0, struct.pack("<QII", 2560, 512, 1))  # zeroes
    do(OUT, 1001, NOISE[:1536])
    do(FLUSH)
    check(read(USED) == disk.after[:USED], name + ": what the guest read afterwards")
    status, _ = guest.request(IN, USED // 512, length=4096)
    equal(status, 1 if disk.last == "failed" else 0, name + ": the end of the disk")


def test_every_backend_and_filter_under_virtio(directory):
    if shutil.which("qemu-img") is None or shutil.which("nbdkit") is None:
        return
    disks, server = all_disks(directory), start_server(directory)
    devices = "".join(f'd{i} = {{ plugin = "virtio-blk"; backend = "{name}"; address = "{4 + i:02x}.0"; }};\n'
                      for i, name in enumerate(disks))
    description = (f'machine = {{ memory = "16M"; }};\nbackends = {{ {"".join(d.lines for d in disks.values())} }};\n'
                   f'devices = {{ {devices} }};\n')
    try:
        with TestMachine(description, directory) as machine:
            for i, (name, disk) in enumerate(disks.items()):
                guest = Guest(machine, (4 + i) << 3, i)
                guest.start_modern(guest.offered() & (VERSION_1 | 1 << 9 | 1 << 13 | 1 << 14))
                use(guest, name, disk)
    finally:
        server.kill()
        server.wait()
    for name, disk in disks.items():
        check_image(directory, name, disk)


def test_a_qcow2_disk_grows_under_its_guest(directory):
    if shutil.which("qemu-img") is None:
        return
    description = (f'machine = {{ memory = "16M"; control = "{directory}/qmp"; }};\n'
                   f'backends = {{ {backend(directory, "qcow2", "base")}'
                   'slow = { plugin = "filter-throttle"; below = "base"; iops = 100000; }; };\n'
                   'devices = { d = { plugin = "virtio-blk"; backend = "slow"; address = "04.0"; }; };\n')
    with TestMachine(description, directory) as machine, Qmp(os.path.join(directory, "qmp")) as qmp:
        guest = Guest(machine, 4 << 3, 0)
        guest.start_modern(VERSION_1)
        equal(guest.request(OUT, 8192, NOISE[:512])[0], 1, "a write behind the end")
        qmp.ask("block_resize", node__name="base", size=8 << 20)
        machine.wait_until(lambda: guest.mmio_read(0x2000, 4) == 16384, "the new capacity")
        equal(machine.read(guest.mmio + 0x1000, 1)[0] & 2, 2, "ISR: the configuration has changed")
        equal(guest.request(OUT, 8192, NOISE[:512])[0], 0, "a write to the new part")
        equal(guest.request(FLUSH)[0], 0, "flush")
        qmp.fails("", "block_resize", node__name="base", size=1 << 20)
    image, flat = os.path.join(directory, "base"), os.path.join(directory, "flat")
    subprocess.run(["qemu-img", "check", "-q", image], check=True)
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, flat], check=True)
    equal(os.path.getsize(flat), 8 << 20, "the size as qemu-img has it")
    equal(sector(flat, 8192), NOISE[:512], "what was written to the new part")


if __name__ == "__main__":
    run_tests([value for name, value in sorted(globals().items()) if name.startswith("test_")])
