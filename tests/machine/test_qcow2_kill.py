#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A machine with a qcow2 disk is killed while its guest writes, zeroes, discards and flushes. After
each SIGKILL qemu-img finds no corruption, and every sector has what the last acknowledged flush
covers, or something that was written later.

test_qcow2_kill.py [REQUESTS]: in all, over the kinds of images below (default: a short run)."""

import base64
import os
import random
import shutil
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import Failure, check, run_tests, skip_all  # noqa: E402
from registers import TestMachine  # noqa: E402
from test_virtio_blk import DATA, RING, VERSION_1, Disk  # noqa: E402

SECTORS = 32768  # 16 MiB
SECTOR = 512
BATCH = 16
PLACE = 16384  # bytes of guest memory for one request's data
HEADERS = RING + 0x3000
OUT, FLUSH, DISCARD, ZEROES = 1, 4, 11, 13
FEATURES = VERSION_1 | 1 << 9 | 1 << 13 | 1 << 14
IMAGES = ("cluster_size=64k", "cluster_size=4k", "cluster_size=512", "compat=0.10", "lazy_refcounts=on",
          "backing", "snapshot", "refcount_bits=64,cluster_size=16k")
SHORT = 3000


def run(*command, allowed=(0,)):
    for _ in range(100):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if b"lock" not in done.stdout:
            break
        time.sleep(0.05)  # the kernel closes files of io_uring some time after the process has gone
    check(done.returncode in allowed, f"{' '.join(command)}: {done.returncode}\n{done.stdout.decode()}")


def sector_of(number, sector):
    """Zeroes, or what the write of that number puts into a sector."""
    return bytes(SECTOR) if number == 0 else struct.pack("<QQ", number, sector) * 32


class Model:
    """What each sector may have: now, and after a crash. A discarded one may have its old contents
    or zeroes."""

    def __init__(self):
        self.now = [(0,)] * SECTORS
        self.crash = [(0,)] * SECTORS
        self.unflushed = {}  # sectors changed since the last flush
        self.number = 0

    def change(self, first, count, value):
        """value None: discarded."""
        for sector in range(first, first + count):
            now = (value,) if value is not None else tuple(set(self.now[sector] + (0,)))
            self.now[sector] = now
            self.crash[sector] = tuple(set(self.crash[sector] + now))
            self.unflushed[sector] = None

    def flushed(self, before, batch):
        """A flush ended that came after all of `before` and together with `batch`, a set."""
        for sector in before:
            if sector not in batch:
                self.crash[sector] = self.now[sector]
                del self.unflushed[sector]

    def compare(self, raw):
        numbers = memoryview(raw).cast("Q")[::SECTOR // 8]
        for sector, number in enumerate(numbers):
            check(number in self.crash[sector],
                  f"sector {sector} has write {number}, not one of {self.crash[sector]}")
            place = sector * SECTOR
            check(raw[place:place + SECTOR] == sector_of(number, sector), f"sector {sector} is torn")
            self.now[sector] = self.crash[sector] = (number,)
        self.unflushed = {}


class Guest(Disk):
    """Many requests at a time, written with few commands."""

    def __init__(self, machine, devfn):
        super().__init__(machine, devfn, 0)
        self.start_modern(FEATURES)

    def submit(self, requests):
        """requests: (kind, sector, sectors, number of the write)."""
        table, headers, chains = b"", b"", []
        for i, (kind, sector, count, number) in enumerate(requests):
            data = DATA + i * PLACE
            if kind == OUT:
                body = b"".join(sector_of(number, sector + n) for n in range(count))
            else:
                body = b"" if kind == FLUSH else struct.pack("<QII", sector, count, 0)
            if body:
                self.m.ask(f"b64write 0x{data:x} {len(body)} {base64.b64encode(body).decode()}")
            header = HEADERS + 32 * i
            headers += struct.pack("<IIQ", kind, 0, sector if kind == OUT else 0) + b"\xee" * 16
            chain = [(header, 16, 0)] + ([(data, len(body), 0)] if body else []) + [(header + 16, 1, 2)]
            first = len(table) // 16
            chains.append(first)
            for n, (gpa, length, flags) in enumerate(chain):
                last = n == len(chain) - 1
                table += struct.pack("<QIHH", gpa, length, flags | (not last), first + n + 1)
        self.m.write(HEADERS, headers)
        self.m.write(self.places[0], table)
        for first in chains:
            self.m.write(self.places[1] + 4 + 2 * (self.avail % self.size), struct.pack("<H", first))
            self.avail = self.avail + 1 & 0xffff
        self.m.write(self.places[1] + 2, struct.pack("<H", self.avail))
        self.notify()

    def wait(self, count):
        self.m.wait_until(lambda: self.used_index() == self.avail, "the requests' end", 60)
        statuses = self.m.read(HEADERS, 32 * count)[16::32]
        check(statuses == bytes(count), f"statuses {statuses.hex()}")


def choose(dice, model):
    """A batch of requests that do not overlap, and the sectors they change."""
    requests, taken = [], set()
    for _ in range(dice.randrange(1, BATCH)):
        kind = dice.choice((OUT, OUT, OUT, OUT, OUT, DISCARD, ZEROES))
        count = dice.choice((1, 1, 3, 8, 8, 17)) if kind == OUT else dice.choice((1, 8, 40, 128, 700))
        area = dice.choice((1024, 8192, SECTORS))  # some clusters are hot
        sector = dice.randrange(area)
        sector -= sector % dice.choice((1, 8, 128))
        count = min(count, SECTORS - sector)
        span = range(sector, sector + count)
        if not taken.isdisjoint(span):
            continue
        taken.update(span)
        model.number += 1
        requests.append((kind, sector, count, model.number))
    if dice.randrange(4) == 0:
        requests.append((FLUSH, 0, 0, 0))
    return requests, taken


def storm(guest, dice, model, counts):
    """Until the machine is gone."""
    while True:
        requests, taken = choose(dice, model)
        before = list(model.unflushed)
        for kind, sector, count, number in requests:
            if kind != FLUSH:
                model.change(sector, count, {OUT: number, ZEROES: 0, DISCARD: None}[kind])
        guest.submit(requests)
        guest.wait(len(requests))
        for kind, *_ in requests:
            counts[kind] += 1
        if requests[-1][0] == FLUSH:
            model.flushed(before, taken)


def killed_round(directory, description, dice, model, counts, name):
    machine = TestMachine(description, directory, name=name)
    timer = threading.Timer(dice.uniform(0.005, 0.3), machine.process.kill)
    try:
        guest = Guest(machine, 4 << 3)
        timer.start()
        storm(guest, dice, model, counts)
    except (Failure, OSError) as error:
        # Only what the kill itself explains.
        check("closed the connection" in str(error) or isinstance(error, OSError), str(error))
    finally:
        timer.cancel()
        machine.process.kill()
        machine.socket.close()
    check(machine.process.wait(30) == -9, "the machine ended by itself")


def make_image(directory, kind):
    """Returns its path, and the lines that make it a backend "disk"."""
    image, base = os.path.join(directory, "disk.qcow2"), os.path.join(directory, "base.raw")
    options = kind if "=" in kind else "cluster_size=64k"
    lines = f'file = {{ plugin = "block-file"; path = "{image}"; }};\n'
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", options]
    if kind == "backing":
        with open(base, "wb") as file:
            file.truncate(8 << 20)
        create += ["-b", base, "-F", "raw"]
        lines += f'base = {{ plugin = "block-file"; path = "{base}"; readonly = true; }};\n'
    run(*create, image, str(SECTORS * SECTOR))
    if kind == "snapshot":
        run("qemu-io", "-f", "qcow2", "-c", "write -z 0 16M", image)
        run("qemu-img", "snapshot", "-c", "s", image)
    more = ' backing = "base";' if kind == "backing" else ""
    return image, lines + f'disk = {{ plugin = "block-qcow2"; file = "file"; cache = "64K";{more} }};\n'


def storms(top, kind, wanted, dice):
    """Kills a machine until that many requests were answered. Returns counts and the kills."""
    directory = os.path.join(top, kind.replace("=", "-").replace(",", "-"))
    os.mkdir(directory)
    image, lines = make_image(directory, kind)
    raw = os.path.join(directory, "raw")
    description = f"""
machine = {{ memory = "16M"; }};
backends = {{ {lines} }};
devices = {{ blk = {{ plugin = "virtio-blk"; backend = "disk"; queue_size = 64; address = "04.0"; }}; }};
"""
    model, counts, kills = Model(), {OUT: 0, FLUSH: 0, DISCARD: 0, ZEROES: 0}, 0
    while sum(counts.values()) < wanted:
        killed_round(directory, description, dice, model, counts, f"m{kills}")
        kills += 1
        run("qemu-img", "check", "-q", image, allowed=(0, 3))  # 3: lost space
        run("qemu-img", "convert", "-O", "raw", image, raw)
        with open(raw, "rb") as file:
            model.compare(file.read())
        if kills % 40 == 0:
            run("qemu-img", "check", "-q", "-r", "leaks", image)
    return counts, kills


def test_kills_corrupt_nothing_and_lose_no_flush(directory):
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else SHORT
    total, all_kills = {}, 0
    for i, kind in enumerate(IMAGES):
        counts, kills = storms(directory, kind, wanted // len(IMAGES), random.Random(i))
        print(f"# {kind}: {counts[OUT]} writes, {counts[ZEROES]} zeroings, {counts[DISCARD]} discards, "
              f"{counts[FLUSH]} flushes, {kills} kills", flush=True)
        for key, count in counts.items():
            total[key] = total.get(key, 0) + count
        all_kills += kills
    print(f"# in all: {sum(total.values())} requests, {all_kills} kills")


if __name__ == "__main__":
    if shutil.which("qemu-img") is None or shutil.which("qemu-io") is None:
        skip_all("qemu-img and qemu-io are missing (package qemu-utils)")
    run_tests([test_kills_corrupt_nothing_and_lose_no_flush])
