#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux uses a disk on every block backend and under every filter, in one boot: reads, writes with
fsync, discards, zeroes. Host and guest must agree on the contents. Takes some minutes where KVM
interprets its guests and proves little that tests/machine/test_stack.py does not: run by hand,

    BACKPLANE_BUILD=build python3 tests/linux/test_linux_block_stack.py"""

import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import BUILD, Machine, check, is_interpreting_kvm, need_file, need_kvm, run_tests, skip_all  # noqa: E402
from registers import equal  # noqa: E402
from test_linux import CMDLINE, INTERPRETED, kernel, make_initramfs  # noqa: E402

ZERO_RANGE = os.path.join(BUILD, "tests", "linux", "zero_range")
SIZE = 2 << 20
USED = 3 << 19  # the guest compares this much; the fault lies behind it
NOISE = random.Random("noise").randbytes(64 << 10)
BEFORE = random.Random("before").randbytes(SIZE)
AFTER = bytearray(BEFORE)
AFTER[512 << 10:576 << 10] = NOISE
AFTER[1 << 20:USED] = bytes(512 << 10)
AFTER[1001 * 512:1004 * 512] = NOISE[:1536]
AFTER = bytes(AFTER)


class Disk:
    """A backend as the description has it, and how the host reads its image afterwards."""

    def __init__(self, lines, image=None, kept=AFTER, before=BEFORE, after=AFTER):
        self.lines, self.image, self.kept, self.before, self.after = lines, image, kept, before, after
        self.last = "read"


def raw(directory, name, contents=BEFORE):
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        file.write(contents)
    return path


def qcow2(directory, name, *options):
    """An image with the contents in it, or, with a backing disk, in that."""
    path = os.path.join(directory, name)
    if options:
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, path, str(SIZE)], check=True)
    else:
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw(directory, name + ".raw"), path], check=True)
    return path


def file_node(name, path, more=""):
    return f'{name} = {{ plugin = "block-file"; path = "{path}"; {more} }};\n'


def node(name, plugin, more):
    return f'{name} = {{ plugin = "{plugin}"; {more} }};\n'


def plain_disks(directory):
    """The backends."""
    image = {name: os.path.join(directory, name) for name in ("file", "direct", "qcow", "over", "far")}
    for name in ("file", "direct", "far"):
        raw(directory, name)
    base = raw(directory, "base")
    yield "file", Disk(file_node("file", image["file"]), image["file"])
    yield "direct", Disk(file_node("direct", image["direct"], 'cache = "none";'), image["direct"])
    seven = bytes((7,)) * SIZE
    yield "null", Disk(node("null", "block-null", 'size = "2M"; pattern = 7;'), None, None, seven, seven)
    yield "ram", Disk(node("ram", "block-ram", f'image = "{base}";'), base, BEFORE)
    yield "qcow", Disk(file_node("qcow-file", qcow2(directory, "qcow"))
                       + node("qcow", "block-qcow2", 'file = "qcow-file";'), image["qcow"])
    over = qcow2(directory, "over", "-b", base, "-F", "raw")
    yield "over", Disk(file_node("over-base", base, "readonly = true;") + file_node("over-file", over)
                       + node("over", "block-qcow2", 'file = "over-file"; backing = "over-base";'), over)
    yield "far", Disk(node("far", "block-nbd", f'uri = "nbd+unix:///?socket={directory}/nbd";'), image["far"])


def filtered_disks(directory):
    """Each filter, and all of them."""
    lines = {name: file_node(name + "-file", raw(directory, name)) for name in
             ("throttle", "fault", "drop", "commit", "twin")}
    path = {name: os.path.join(directory, name) for name in lines}
    yield "throttle", Disk(lines["throttle"] + node("throttle", "filter-throttle",
                           'below = "throttle-file"; iops = 500; bps = "4M";'), path["throttle"])
    rule = 'rules = ( { op = "read"; offset = "1536K"; length = "4K"; } );'
    fault = Disk(lines["fault"] + node("fault", "filter-fault", 'below = "fault-file"; ' + rule), path["fault"])
    fault.last = "failed"
    yield "fault", fault
    yield "drop", Disk(lines["drop"] + node("drop", "filter-overlay", 'below = "drop-file";'),
                       path["drop"], BEFORE)
    yield "commit", Disk(lines["commit"] + node("commit", "filter-overlay",
                         'below = "commit-file"; end = "commit";'), path["commit"])
    verify = qcow2(directory, "verify")
    yield "verify", Disk(file_node("verify-file", verify) + lines["twin"]
                         + node("verify-qcow", "block-qcow2", 'file = "verify-file";')
                         + node("verify", "filter-verify", 'below = "verify-qcow"; other = "twin-file";'), verify)
    tower = qcow2(directory, "tower")
    tower_twin = raw(directory, "tower-twin")
    stack = Disk(file_node("t0", tower) + node("t1", "block-qcow2", 'file = "t0";')
                 + file_node("t2", tower_twin) + node("t3", "filter-verify", 'below = "t1"; other = "t2";')
                 + node("t4", "filter-overlay", 'below = "t3"; end = "commit";')
                 + node("t5", "filter-throttle", 'below = "t4"; iops = 2000;')
                 + node("tower", "filter-fault", 'below = "t5"; ' + rule), tower)
    stack.last = "failed"
    yield "tower", stack


def start_server(directory):
    server = subprocess.Popen(["nbdkit", "-f", "-U", os.path.join(directory, "nbd"), "file",
                               os.path.join(directory, "far")])
    while server.poll() is None and not os.path.exists(os.path.join(directory, "nbd")):
        time.sleep(0.01)
    return server


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


def check_image(directory, name, disk):
    if disk.image is None:
        return
    flat = os.path.join(directory, "flat")
    with open(disk.image, "rb") as file:
        is_qcow2 = file.read(4) == b"QFI\xfb"
    if is_qcow2:
        subprocess.run(["qemu-img", "check", "-q", disk.image], check=True)
    subprocess.run(["qemu-img", "convert", "-f", "qcow2" if is_qcow2 else "raw", "-O", "raw", disk.image, flat],
                   check=True)
    with open(flat, "rb") as file:
        check(file.read() == disk.kept, name + ": the host finds other contents")


def test_linux_uses_every_backend_and_filter(directory):
    disks = dict(plain_disks(directory)) | dict(filtered_disks(directory))
    server = start_server(directory)
    try:
        with Machine(describe(directory, disks), directory=directory) as machine:
            print(f"# done after {machine.wait_for('FACT all.end', 1500):.0f} s")
            status = machine.wait_end(200)
            text = machine.text()
    finally:
        server.kill()
        server.wait()
    equal(status, 0, "exit status")
    facts = dict(re.findall(r"FACT ([\w-]+\.\w+)=(.*?)\r?\n", text))
    for name, disk in disks.items():
        check_guest(name, disk, facts)
        check_image(directory, name, disk)
    with open(os.path.join(directory, "twin"), "rb") as file:
        check(file.read() == AFTER, "verify: the twin has other contents")
    print(f"# {len(disks)} disks: {' '.join(disks)}")


if __name__ == "__main__":
    need_kvm()
    need_file("/bin/busybox", "busybox-static")
    if kernel("vmlinux") is None:
        skip_all("no kernel to boot: set BACKPLANE_TEST_KERNEL")
    if shutil.which("nbdkit") is None or shutil.which("qemu-img") is None:
        skip_all("nbdkit or qemu-img is missing")
    run_tests([test_linux_uses_every_backend_and_filter])
