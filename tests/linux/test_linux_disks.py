#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux sees 28 virtio-blk disks in slots of their own, and 100 of them in functions of a slot and
behind bridges; each tells its serial and gives the first block of its image. Two boots that take
long: run by hand, test_linux_disks.py 28 or test_linux_disks.py 100."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))
from backplane import Machine, is_interpreting_kvm, need_file, need_kvm, run_tests, skip_all  # noqa: E402
from registers import equal  # noqa: E402
from test_linux import CMDLINE, INTERPRETED, kernel, make_initramfs  # noqa: E402


def disks_answer(directory, count, extra="", options=lambda index: ""):
    backends, devices = "", ""
    for index in range(count):
        path = os.path.join(directory, f"disk{index}.img")
        with open(path, "wb") as file:
            file.write(f"image {index:03d}\n".encode().ljust(65536, b"\0"))
        backends += f'b{index} = {{ plugin = "block-file"; path = "{path}"; }};\n'
        devices += (f'blk{index} = {{ plugin = "virtio-blk"; backend = "b{index}"; '
                    f'serial = "serial-{index:03d}"; {options(index)} }};\n')
    cmdline = CMDLINE + (INTERPRETED if is_interpreting_kvm() else "")
    config = f"""
machine = {{ memory = "96M"; {extra}
  boot = {{ kernel = "{kernel("vmlinux")}"; initrd = "{make_initramfs(directory, "init_disks")}"; cmdline = "{cmdline}"; }}; }};
backends = {{ tty = {{ plugin = "char-stdio"; }}; {backends} }};
devices = {{ {devices} com1 = {{ plugin = "serial"; backend = "tty"; }}; }};
"""
    with Machine(config, "--no-reboot", directory=directory) as machine:
        print(f"# {count} disks: init after {machine.wait_for('FACT begin', 1500):.0f} s")
        print(f"# {count} disks: read after {machine.wait_for('FACT end', 600):.0f} s")
        text = machine.text()
    found = re.findall(r"DISK (\S+) serial-(\d+) image (\d+)\r?\n", text)
    equal(sorted(int(serial) for _, serial, _ in found), list(range(count)), "serials")
    equal([name for name, serial, image in found if serial != image], [], "disks with another's contents")
    return re.findall(r"DISK (\S+) \S+ .*\n", text)


def test_28_disks_in_slots_of_their_own(directory):
    disks_answer(directory, 28)


# Two CPUs: a disk takes two interrupt vectors, and one CPU has some 200 for all devices. Linux's driver
# would do with the pin, but the serial port, which comes last, would have none.
def test_100_disks_in_functions_and_behind_bridges(directory):
    disks_answer(directory, 100, 'cpus = 2; loops = 2; pci_bridges = ("1d.0", "1e.0", "1f.0");',
                 lambda index: (f'address = "02.{index}"; ' if index < 8 else "") + f"loop = {index % 2};")


if __name__ == "__main__":
    need_kvm()
    need_file("/bin/busybox", "busybox-static")
    if kernel("vmlinux") is None:
        skip_all("no vmlinux (set BACKPLANE_TEST_KERNEL)")
    wanted = {"28": [test_28_disks_in_slots_of_their_own],
              "100": [test_100_disks_in_functions_and_behind_bridges]}
    run_tests(wanted[sys.argv[1]])
