#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux uses a disk on every block backend and under every filter, in one boot: reads, writes with
fsync, discards, zeroes. Host and guest must agree on the contents. Takes some minutes where KVM
interprets its guests and proves little that tests/machine/test_stack.py does not: run by hand,

    BACKPLANE_BUILD=build python3 tests/linux/test_linux_block_stack.py [DISK...]

DISK: file, direct, null, ram, qcow, over, far (NBD), throttle, fault, drop, commit, verify, tower;
all of them if none is named."""

import hashlib
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import BUILD, Machine, is_interpreting_kvm, need_file, need_kvm, run_tests, skip_all  # noqa: E402
from block_disks import NOISE, SIZE, USED, all_disks, check_image, raw, start_server  # noqa: E402
from registers import equal  # noqa: E402
from test_linux import CMDLINE, INTERPRETED, kernel, make_initramfs  # noqa: E402

ZERO_RANGE = os.path.join(BUILD, "tests", "linux", "zero_range")
def describe(directory, disks):
    noise = raw(directory, "noise", NOISE)
    backends = "".join(disk.lines for disk in disks.values())
    devices = "".join(f'd-{name} = {{ plugin = "virtio-blk"; backend = "{name}"; serial = "{name}"; }};\n'
                      for name in disks)
    cmdline = CMDLINE + (INTERPRETED if is_interpreting_kvm() else "")
    return f"""
machine = {{ memory = "96M";
  boot = {{ kernel = "{kernel('vmlinux')}"; cmdline = "{cmdline}";
           initrd = "{make_initramfs(directory, 'init_block_stack', [ZERO_RANGE, noise])}"; }}; }};
backends = {{ {backends} tty = {{ plugin = "char-stdio"; }}; }};
devices = {{ {devices} com1 = {{ plugin = "serial"; backend = "tty"; }}; }};
"""


def digest(data):
    return hashlib.md5(data).hexdigest()


def check_guest(name, disk, facts):
    fact = {key.split(".")[1]: value for key, value in facts.items() if key.startswith(name + ".")}
    equal(fact.get("size"), str(SIZE // 512), name + ": sectors")
    equal(fact.get("read"), digest(disk.before[:512 << 10]), name + ": what the guest read")
    for step in ("fsync", "zeroes", "small"):
        equal(fact.get(step), "done", f"{name}: {step}")
    equal(fact.get("discard"), "done", f"{name}: discard")
    equal(fact.get("again"), digest(disk.after[:USED]), name + ": what the guest read afterwards")
    equal(fact.get("last"), disk.last, name + ": the end of the disk")


def test_linux_uses_every_backend_and_filter(directory):
    disks = all_disks(directory)
    disks = {name: disk for name, disk in disks.items() if name in (sys.argv[1:] or disks)}
    server = start_server(directory)
    try:
        with Machine(describe(directory, disks), directory=directory) as machine:
            print(f"# done after {machine.wait_for('FACT all.end', 3000):.0f} s")
            status = machine.wait_end(600)
            text = machine.text()
    finally:
        server.kill()
        server.wait()
    equal(status, 0, "exit status")
    facts = dict(re.findall(r"FACT ([\w-]+\.\w+)=(.*?)\r?\n", text))
    for name, disk in disks.items():
        check_guest(name, disk, facts)
        check_image(directory, name, disk)
    print(f"# {len(disks)} disks: {' '.join(disks)}")


if __name__ == "__main__":
    need_kvm()
    need_file("/bin/busybox", "busybox-static")
    if kernel("vmlinux") is None:
        skip_all("no kernel to boot: set BACKPLANE_TEST_KERNEL")
    if shutil.which("nbdkit") is None or shutil.which("qemu-img") is None:
        skip_all("nbdkit or qemu-img is missing")
    run_tests([test_linux_uses_every_backend_and_filter])
