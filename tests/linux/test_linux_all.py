#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux with every device at once: IDE disk and CD, floppy, virtio-blk, virtio-scsi disk and CD,
virtio-net. Each is read, each disk written with fsync, the router pinged; the host compares."""

import hashlib
import os
import random
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))
from backplane import Machine, check, is_interpreting_kvm, need_file, need_kvm, run_tests, skip_all  # noqa: E402
from registers import equal  # noqa: E402
from test_linux import CMDLINE, INTERPRETED, kernel, make_initramfs  # noqa: E402

SIZES = {"ide_disk": 2 << 20, "scsi_disk": 2 << 20, "ide_cd": 1 << 20, "scsi_cd": 1 << 20,
         "virtio_disk": 2 << 20, "floppy": 1440 << 10}
READ_BYTES = 256 << 10
WRITTEN_AT, WRITTEN_BYTES = 512 << 10, 128 << 10
DESCRIPTION = """
machine = {{ memory = "96M"; cpus = 2;
  boot = {{ kernel = "{kernel}"; initrd = "{initrd}"; cmdline = "{cmdline}"; }}; }};
backends = {{ {images} wan = {{ plugin = "net-user"; }}; tty = {{ plugin = "char-stdio"; }};
  disk = {{ plugin = "scsi-disk"; backend = "scsi_disk"; }}; cd = {{ plugin = "scsi-cd"; backend = "scsi_cd"; }}; }};
devices = {{
  ide0 = {{ plugin = "ide"; drives = ( {{ channel = 0; unit = 0; disk = "ide_disk"; }},
                                       {{ channel = 1; unit = 0; cdrom = "ide_cd"; }} ); }};
  fdc0 = {{ plugin = "floppy"; drives = ( {{ unit = 0; disk = "floppy"; }} ); }};
  blk0 = {{ plugin = "virtio-blk"; backend = "virtio_disk"; }};
  scsi0 = {{ plugin = "virtio-scsi"; luns = ( {{ target = 0; lun = 0; backend = "disk"; }},
                                              {{ target = 1; lun = 0; backend = "cd"; }} ); }};
  net0 = {{ plugin = "virtio-net"; backend = "wan"; }};
  com1 = {{ plugin = "serial"; backend = "tty"; }};
}};
"""


def digest(data):
    return hashlib.md5(data).hexdigest()


def make_images(directory):
    contents = {}
    for seed, (name, size) in enumerate(SIZES.items()):
        contents[name] = random.Random(seed).randbytes(size)
        with open(os.path.join(directory, name), "wb") as file:
            file.write(contents[name])
    return contents


def image(directory, name):
    more = "readonly = true;" if name.endswith("cd") else ""
    return f'{name} = {{ plugin = "block-file"; path = "{os.path.join(directory, name)}"; {more} }};'


def test_linux_uses_every_device_at_once(directory):
    contents = make_images(directory)
    config = DESCRIPTION.format(
        kernel=kernel("vmlinux"), initrd=make_initramfs(directory, "init_all"),
        cmdline=CMDLINE + (INTERPRETED if is_interpreting_kvm() else ""),
        images=" ".join(image(directory, name) for name in SIZES))
    with Machine(config, directory=directory) as machine:
        print(f"# done after {machine.wait_for('FACT end', 900):.0f} s")
        status = machine.wait_end(120)
        text = machine.text()
    facts = dict(re.findall(r"FACT (\w+)=(.*?)\r?\n", text))
    for name in SIZES:
        equal(facts.get(name), digest(contents[name][:READ_BYTES]), name + ": what the guest read")
    for name in ("ide_disk", "scsi_disk", "virtio_disk"):
        equal(facts.get("wrote_" + name), "done", name + ": write with fsync")
        with open(os.path.join(directory, name), "rb") as file:
            after = file.read()
        equal(digest(after[WRITTEN_AT:WRITTEN_AT + WRITTEN_BYTES]), facts.get("noise"), name + ": written")
        check(after[:WRITTEN_AT] == contents[name][:WRITTEN_AT], name + ": the rest is untouched")
    check(facts.get("ping") == "done", "the router does not answer:\n" + machine.tail(60))
    equal(status, 0, "exit status")


if __name__ == "__main__":
    need_kvm()
    need_file("/bin/busybox", "busybox-static")
    if kernel("vmlinux") is None:
        skip_all("no vmlinux (set BACKPLANE_TEST_KERNEL)")
    run_tests([test_linux_uses_every_device_at_once])
