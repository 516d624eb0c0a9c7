#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux uses both floppy drives: reads, mounts FAT on both at once, writes with sync, formats a
cylinder, notices that a floppy was changed. What it read and wrote is compared on the host."""

import hashlib
import os
import random
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import BUILD, Machine, check, is_interpreting_kvm, need_file, need_kvm, run_tests, skip_all  # noqa: E402
from registers import Qmp, equal  # noqa: E402
from test_linux import CMDLINE, INTERPRETED, kernel, make_initramfs  # noqa: E402

FORMAT_CYLINDER = os.path.join(BUILD, "tests", "linux", "format_cylinder")
SECTOR = 512
EMPTY = hashlib.md5(b"").hexdigest()


def noise(seed, size):
    return random.Random(seed).randbytes(size)


def digest(data):
    return hashlib.md5(data).hexdigest()


def make_fat(directory, name, kilobytes, files):
    image = os.path.join(directory, name)
    subprocess.run(["mformat", "-C", "-f", str(kilobytes), "-i", image, "::"], check=True)
    for file_name, data in files.items():
        subprocess.run(["mcopy", "-i", image, "-", "::" + file_name], input=data, check=True)
    return image


def read_fat(image, name):
    return subprocess.run(["mcopy", "-i", image, "::" + name, "-"], check=True,
                          stdout=subprocess.PIPE).stdout


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def make_raw(directory, name, kilobytes, seed):
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        file.write(noise(seed, kilobytes * 1024))
    return path


class Guest(Machine):
    """Linux with both drives; /init is init_floppy."""

    def __init__(self, directory, floppies):
        self.control = os.path.join(directory, "qmp")
        cmdline = CMDLINE + (INTERPRETED if is_interpreting_kvm() else "")
        initrd = make_initramfs(directory, "init_floppy", [FORMAT_CYLINDER])
        super().__init__(f"""
machine = {{ memory = "64M"; acpi = false; control = "{self.control}";
  boot = {{ kernel = "{kernel("vmlinux")}"; initrd = "{initrd}"; cmdline = "{cmdline} acpi=off"; }}; }};
backends = {{ a = {{ plugin = "block-file"; path = "{floppies[0]}"; }};
  b = {{ plugin = "block-file"; path = "{floppies[1]}"; }}; tty = {{ plugin = "char-stdio"; }}; }};
devices = {{ com1 = {{ plugin = "serial"; backend = "tty"; }};
  fdc0 = {{ plugin = "floppy"; drives = ( {{ unit = 0; disk = "a"; name = "floppy0"; }},
                                          {{ unit = 1; disk = "b"; name = "floppy1"; }} ); }}; }};
""", "--no-reboot", directory=directory)

    def fact(self, name, seconds=240):
        """Waits for a line "FACT name=..."; its value."""
        pattern = re.compile(rf"FACT {name}=(.*?)\r?\n")
        deadline = time.monotonic() + seconds
        while not pattern.search(self.text()):
            check(self.read_some(deadline), f"it ended before it told '{name}':\n" + self.tail())
        return pattern.search(self.text()).group(1)


def uses_both(guest, images, noises):
    before = [contents(image) for image in images]
    equal(guest.fact("raw0", 400), digest(before[0]), "the whole of drive 0")
    equal(guest.fact("raw1"), digest(before[1][37 * SECTOR:98 * SECTOR]), "some of drive 1")
    equal(guest.fact("a"), digest(noises[0]), "noise.bin of drive 0")
    equal(guest.fact("b"), digest(noises[1]), "noise.bin of drive 1")
    equal(guest.fact("mount"), "done", "both mounted")
    equal(read_fat(images[1], "FROM_A.BIN"), noises[0], "the copy on drive 1")
    equal(read_fat(images[0], "FROM_B.BIN"), noises[1], "the copy on drive 0")
    equal(read_fat(images[0], "ANSWER.TXT"), b"written by the guest\n", "the answer")
    listing = subprocess.run(["mdir", "-b", "-i", images[0], "::"], check=True,
                             stdout=subprocess.PIPE).stdout.decode().lower()
    check("gone.txt" not in listing, "a file that was removed is there:\n" + listing)


def formats(guest, image):
    filler = bytes([0xf6]) * (18 * SECTOR)
    equal(guest.fact("formatted"), digest(2 * filler), "the formatted cylinder as the guest reads it")
    rewritten = guest.fact("rewritten")
    now = contents(image)
    equal(rewritten, digest(now[:18 * SECTOR]), "the second track, written again")
    equal(now[2844 * SECTOR:2862 * SECTOR] == filler, True, "the image has the filler on side 0")
    equal(now[2862 * SECTOR:] == now[:18 * SECTOR], True, "and what was written on side 1")


def changes(guest, directory, old):
    first = contents(old)[:8 * SECTOR]
    other = make_raw(directory, "other.img", 1440, 3)
    protected = make_raw(directory, "protected.img", 720, 4)
    equal(guest.fact("before"), digest(first), "before the change")
    with Qmp(guest.control) as qmp:
        guest.wait_for("FACT change=other", 60)
        qmp.ask("blockdev-change-medium", device="floppy1", filename=other, format="raw")
        guest.send(b"\n")
        equal(guest.fact("after_other"), digest(noise(3, 1440 * 1024)[:8 * SECTOR]), "the other floppy")
        equal(guest.fact("write_other"), "done", "a write to it")
        guest.wait_for("FACT change=protected", 60)
        qmp.ask("blockdev-change-medium", device="floppy1", filename=protected, format="raw",
                **{"read-only-mode": "read-only"})
        guest.send(b"\n")
        equal(guest.fact("after_protected"), digest(contents(protected)[:8 * SECTOR]), "the protected one")
        equal(guest.fact("write_protected"), "refused", "a write to it")
        guest.wait_for("FACT change=none", 60)
        qmp.ask("eject", device="floppy1")
        guest.send(b"\n")
        equal(guest.fact("after_none"), EMPTY, "no floppy")
    equal(contents(old)[:8 * SECTOR] == first, True, "the first floppy is as it was")
    equal(contents(protected) == noise(4, 720 * 1024), True, "so is the protected one")
    return other


def test_linux_uses_both_drives_formats_and_notices_a_change(directory):
    noises = [noise(1, 300001), noise(2, 77777)]
    images = [make_fat(directory, "a.img", 1440, {"NOISE.BIN": noises[0], "GONE.TXT": b"x" * 3000}),
              make_fat(directory, "b.img", 720, {"NOISE.BIN": noises[1]})]
    with Guest(directory, images) as guest:
        try:
            uses_both(guest, images, noises)
            formats(guest, images[0])
            other = changes(guest, directory, images[1])
        finally:
            print("# the console:")
            print("".join(f"#   {line}\n" for line in guest.tail(60).splitlines()), end="")
        guest.wait_for("FACT end", 120)
        check(guest.wait_end(60) == 0, "it ended with an error:\n" + guest.tail())
        print(f"# ended after {time.monotonic() - guest.started:.0f} s")
    equal(contents(other)[:SECTOR] == contents(images[0])[:SECTOR], True, "the write to the other one")


if __name__ == "__main__":
    need_kvm()
    need_file("/bin/busybox", "busybox-static")
    need_file("/usr/bin/mformat", "mtools")
    if kernel("vmlinux") is None:
        skip_all("no vmlinux (set BACKPLANE_TEST_KERNEL)")
    run_tests([test_linux_uses_both_drives_formats_and_notices_a_change])
