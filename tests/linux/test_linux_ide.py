#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux uses two disks and two CD drives at once, by bus-master DMA and, in a second boot, by PIO: what
it read and wrote is compared on the host, so is what the drives told about themselves; TRIM makes
holes; its sr driver notices that a CD was taken out and another put in."""

import hashlib
import os
import random
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import Machine, check, is_interpreting_kvm, need_file, need_kvm, run_tests, skip_all  # noqa: E402
from registers import Qmp, equal  # noqa: E402
from test_linux import CMDLINE, INTERPRETED, kernel, make_initramfs  # noqa: E402

DISK_BYTES, CD_BYTES = 8 << 20, 2 << 20
# what init_ide reads of each drive, and writes to each disk, by DMA and by PIO
SAMPLES = {True: (1 << 20, 512 << 10), False: (128 << 10, 64 << 10)}
EMPTY = hashlib.md5(b"").hexdigest()


def digest(data):
    return hashlib.md5(data).hexdigest()


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def noise(directory, name, seed, size):
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        file.write(random.Random(seed).randbytes(size))
    return path


class Guest(Machine):
    """Linux with a disk and a CD on each channel; /init is init_ide."""

    def __init__(self, directory, images, more=""):
        self.control = os.path.join(directory, "qmp")
        cmdline = CMDLINE + (INTERPRETED if is_interpreting_kvm() else "") + " acpi=off " + more
        initrd = make_initramfs(directory, "init_ide")
        super().__init__(f"""
machine = {{ memory = "64M"; acpi = false; control = "{self.control}";
  boot = {{ kernel = "{kernel("vmlinux")}"; initrd = "{initrd}"; cmdline = "{cmdline}"; }}; }};
backends = {{ a = {{ plugin = "block-file"; path = "{images["sda"]}"; }};
  b = {{ plugin = "block-file"; path = "{images["sdb"]}"; }};
  c = {{ plugin = "block-file"; path = "{images["sr0"]}"; readonly = true; }};
  d = {{ plugin = "block-file"; path = "{images["sr1"]}"; readonly = true; }};
  tty = {{ plugin = "char-stdio"; }}; }};
devices = {{ com1 = {{ plugin = "serial"; backend = "tty"; }};
  ide0 = {{ plugin = "ide"; drives = (
    {{ channel = 0; unit = 0; disk = "a"; serial = "SER-A"; model = "Model of A"; firmware = "F1.2"; }},
    {{ channel = 0; unit = 1; cdrom = "c"; serial = "SER-C"; model = "Model of C"; firmware = "F3"; }},
    {{ channel = 1; unit = 0; disk = "b"; wwn = "0x5000c500a1b2c3d4"; rotation_rate = 5400;
       physical_block_size = 4096; }},
    {{ channel = 1; unit = 1; cdrom = "d"; }} ); }}; }};
""", "--no-reboot", directory=directory)

    def fact(self, name, seconds=600):
        """Waits for a line "FACT name=..."; its value."""
        pattern = re.compile(rf"FACT {re.escape(name)}=(.*?)\r?\n")
        deadline = time.monotonic() + seconds
        while not pattern.search(self.text()):
            check(self.read_some(deadline), f"it ended before it told '{name}':\n" + self.tail())
        return pattern.search(self.text()).group(1)


def text_of(words, first, count):
    return b"".join(bytes((w >> 8, w & 255)) for w in words[first:first + count]).decode().rstrip()


def identity(guest, place):
    """The words that the drive told the guest."""
    digits = guest.fact("id" + place, 1000)
    return [int(digits[i:i + 4], 16) for i in range(0, len(digits), 4)]


def tells_what_the_description_said(guest):
    disk, cd, other = identity(guest, "1.0"), identity(guest, "1.1"), identity(guest, "2.0")
    for words, what, letter in ((disk, "F1.2", "A"), (cd, "F3", "C")):
        equal(text_of(words, 10, 10), "SER-" + letter, "serial number")
        equal(text_of(words, 27, 20), "Model of " + letter, "model")
        equal(text_of(words, 23, 4), what, "firmware revision")
    equal(disk[60] | disk[61] << 16, DISK_BYTES // 512, "sectors")
    equal(cd[0] >> 8 & 0x9f, 0x85, "a packet device of type CD")
    equal(text_of(other, 10, 10), "ide0-1-0", "the serial number by default")
    equal(other[108:112], [0x5000, 0xc500, 0xa1b2, 0xc3d4], "world wide name")
    equal((other[217], other[106]), (5400, 0x6003), "rotation rate, physical sectors")


def reads_and_writes(guest, images, before, by_dma):
    read, written = SAMPLES[by_dma]
    for name, data in before.items():
        equal(guest.fact("read_" + name), digest(data[:read]), name + " as the guest read it")
    for name in ("sda", "sdb"):
        large, small = guest.fact("wrote_" + name).split()
        now = contents(images[name])
        equal(digest(now[1 << 20:(1 << 20) + written]), large, name + ": what the guest wrote in large pieces")
        equal(digest(now[12288:12288 + 20480]), small, name + ": in small ones")
        rest = before[name][:12288] + now[12288:32768] + before[name][32768:1 << 20] + now[1 << 20:(1 << 20) + written]
        equal(now[:4 << 20] == rest + before[name][(1 << 20) + written:4 << 20], True, name + ": nothing else")
        if name == "sdb":
            equal(now[4 << 20:] == before[name][4 << 20:], True, name + ": nor behind it")


def trims(guest, image, allocated):
    equal(guest.fact("trim"), "done", "blkdiscard")
    equal(guest.fact("trimmed"), digest(bytes(2 << 20)), "what was trimmed reads as zeroes")
    holes = allocated - os.stat(image).st_blocks * 512
    print(f"# TRIM of 2 MiB gave {holes} bytes back")
    check(holes >= (2 << 20) - 65536, f"only {holes} bytes were given back")


def changes(guest, directory, first):
    other = noise(directory, "other.iso", 9, CD_BYTES * 2)
    watched = noise(directory, "watched.iso", 10, CD_BYTES)
    equal(guest.fact("before"), digest(contents(first)[:2048]), "the first CD")
    with Qmp(guest.control) as qmp:
        guest.wait_for("FACT change=none", 120)
        qmp.ask("eject", id="ide0:1.1", force=True)
        guest.send(b"\n")
        equal(guest.fact("after_none"), EMPTY, "no CD")
        guest.wait_for("FACT change=other", 120)
        qmp.ask("blockdev-change-medium", id="ide0:1.1", filename=other, format="raw")
        guest.send(b"\n")
        equal(guest.fact("after_other"), digest(contents(other)[:2048]), "the other CD")
        equal(guest.fact("size_other"), str(CD_BYTES * 2 // 512), "its size")
        guest.wait_for("FACT change=watched", 120)
        qmp.ask("blockdev-change-medium", id="ide0:1.1", filename=watched, format="raw", force=True)
        guest.send(b"\n")
        equal(guest.fact("after_watched"), digest(contents(watched)[:2048]), "the CD put in under its eyes")
        moves = [event["data"]["tray-open"] for event in qmp.events if event["event"] == "DEVICE_TRAY_MOVED"]
        check(len(moves) >= 4 and moves[0], f"the tray moved {moves}")


def linux(directory, more, mode, work):
    images = {name: noise(directory, name, seed, size) for seed, (name, size) in enumerate(
        (("sda", DISK_BYTES), ("sdb", DISK_BYTES), ("sr0", CD_BYTES), ("sr1", CD_BYTES * 3 // 2)))}
    before = {name: contents(path) for name, path in images.items()}
    allocated = os.stat(images["sda"]).st_blocks * 512
    with Guest(directory, images, more) as guest:
        try:
            tells_what_the_description_said(guest)
            for place in ("1.0", "1.1", "2.0", "2.1"):
                told = guest.fact("mode" + place)
                check(re.search(mode, told), f"drive {place} moves data by {told}, not {mode}")
            reads_and_writes(guest, images, before, not more)
            work(guest, images, allocated)
        finally:
            print("# the console:")
            print("".join(f"#   {line[:160]}\n" for line in guest.tail(60).splitlines()), end="")
        guest.wait_for("FACT end", 120)
        check(guest.wait_end(60) == 0, "it ended with an error:\n" + guest.tail())
        print(f"# ended after {time.monotonic() - guest.started:.0f} s")


def test_linux_uses_all_four_by_dma_trims_and_notices_changes(directory):
    def work(guest, images, allocated):
        trims(guest, images["sda"], allocated)
        changes(guest, directory, images["sr1"])

    linux(directory, "", "MW_DMA", work)  # what ata_piix knows of a PIIX3


def test_linux_uses_all_four_by_pio(directory):
    linux(directory, "libata.force=pio4", "PIO_?4$", lambda *_: None)


if __name__ == "__main__":
    need_kvm()
    need_file("/bin/busybox", "busybox-static")
    if kernel("vmlinux") is None:
        skip_all("no vmlinux (set BACKPLANE_TEST_KERNEL)")
    run_tests({"dma": [test_linux_uses_all_four_by_dma_trims_and_notices_changes],
               "pio": [test_linux_uses_all_four_by_pio]}[sys.argv[1]])
