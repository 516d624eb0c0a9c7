#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux uses virtio-blk: one and four queues, MSI-X and INTx, the legacy interface, packed rings;
reads, writes, flushes, discards, zeroes, a resize. The host compares the contents."""

import hashlib
import os
import random
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import BUILD, Machine, check, is_interpreting_kvm, need_file, need_kvm, run_tests, skip_all  # noqa: E402
from registers import Qmp, equal  # noqa: E402
from test_linux import CMDLINE, INTERPRETED, kernel, make_initramfs  # noqa: E402

ZERO_RANGE = os.path.join(BUILD, "tests", "linux", "zero_range")
SIZE = 8 << 20
CPUS = 4

# name: options, queues Linux uses, interrupts
DISKS = {
    "vda": ("queues = 4; queue_loops = (0, 1);", CPUS, "MSI"),
    "vdb": ('interface = "legacy"; queue_size = 128;', 1, "MSI"),
    "vdc": ('vectors = 0; interface = "modern";', 1, "IO-APIC"),
    "vdd": ("packed = true; in_order = true; queues = 2;", 2, "MSI"),
}


def digest(data):
    return hashlib.md5(data).hexdigest()


def describe(directory, images, arguments):
    backends = "".join(f'{name}img = {{ plugin = "block-file"; path = "{path}"; }}; '
                       for name, path in images.items())
    disks = "".join(f'{name} = {{ plugin = "virtio-blk"; backend = "{name}img"; {options[0]} }}; '
                    for name, options in DISKS.items())
    cmdline = CMDLINE + (INTERPRETED if is_interpreting_kvm() else "") + arguments
    return f"""
machine = {{ memory = "96M"; cpus = {CPUS}; loops = 2; control = "{directory}/qmp";
  boot = {{ kernel = "{kernel('vmlinux')}"; cmdline = "{cmdline}";
           initrd = "{make_initramfs(directory, 'init_virtio_blk', [ZERO_RANGE])}"; }}; }};
backends = {{ {backends} tty = {{ plugin = "char-stdio"; }}; }};
devices = {{ {disks} com1 = {{ plugin = "serial"; backend = "tty"; }}; }};
"""


def check_disk(name, facts, before, after):
    options, queues, _ = DISKS[name]
    fact = {key.split(".")[1]: value for key, value in facts.items() if key.startswith(name + ".")}
    equal(fact.get("size"), str(SIZE // 512), name + ": sectors")
    equal(fact.get("serial"), name, name + ": serial")
    equal(fact.get("queues"), str(queues), name + ": queues")
    equal(fact.get("read"), digest(before[:512 << 10]), name + ": what the guest read")
    for step in ("fsync", "discard", "zeroes"):
        equal(fact.get(step), "done", f"{name}: {step}")
    equal(fact.get("cache"), "write through", name + ": cache")
    equal(digest(after[1 << 20:(1 << 20) + (256 << 10)]), fact.get("noise"), name + ": what the guest wrote")
    equal(digest(after[3 << 19:(3 << 19) + (256 << 10)]), fact.get("noise"), name + ": written through")
    check(after[2 << 20:4 << 20] == bytes(2 << 20), name + ": discarded and zeroed")
    check(after[4 << 20:SIZE] == before[4 << 20:], name + ": the rest is untouched")


def uses(directory, arguments=""):
    images, before = {}, {}
    for index, name in enumerate(DISKS):
        images[name] = os.path.join(directory, name + ".img")
        before[name] = random.Random(index).randbytes(SIZE)
        with open(images[name], "wb") as file:
            file.write(before[name])
    with Machine(describe(directory, images, arguments), directory=directory) as machine:
        print(f"# ready after {machine.wait_for('READY resize', 900):.0f} s")
        with Qmp(os.path.join(directory, "qmp")) as qmp:
            qmp.ask("block_resize", **{"node-name": "vdaimg", "size": 2 * SIZE})
            machine.wait_for("FACT end", 120)
        status = machine.wait_end(120)
        text = machine.text()
    equal(status, 0, "exit status")
    facts = dict(re.findall(r"FACT (\w+\.\w+)=(.*?)\r?\n", text))
    for name in DISKS:
        with open(images[name], "rb") as file:
            check_disk(name, facts, before[name], file.read())
    equal(facts.get("vda.resized"), str(2 * SIZE // 512), "sectors after the resize")
    return re.findall(r"IRQ (.*?)\r?\n", text)


def test_each_kind_of_disk_is_used(directory):
    irqs = uses(directory)
    check(len([line for line in irqs if "PCI-MSI" in line and "req" in line]) == 7,
          "one message for each queue:\n" + "\n".join(irqs))
    check([line for line in irqs if "IO-APIC" in line], "INTx for the disk without vectors:\n" + "\n".join(irqs))


def test_each_kind_of_disk_is_used_without_messages(directory):
    irqs = uses(directory, " pci=nomsi")
    check(not [line for line in irqs if "PCI-MSI" in line], "no messages:\n" + "\n".join(irqs))


if __name__ == "__main__":
    need_kvm()
    need_file("/bin/busybox", "busybox-static")
    if kernel("vmlinux") is None:
        skip_all("no kernel to boot: set BACKPLANE_TEST_KERNEL")
    tests = [test_each_kind_of_disk_is_used, test_each_kind_of_disk_is_used_without_messages]
    run_tests(tests[:1] if sys.argv[1:] == ["msix"] else tests[1:] if sys.argv[1:] == ["intx"] else tests)
