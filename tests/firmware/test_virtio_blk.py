#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SeaBIOS and GRUB boot from virtio-blk, by the legacy, the modern and both interfaces."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import SOURCE, Machine, check, need_file, need_kvm, run_tests  # noqa: E402
from bootsector import boot_image  # noqa: E402


def machine_config(images, options="", memory="32M", order=0, extra=""):
    backends = "".join(f'd{i} = {{ plugin = "block-file"; path = "{path}"; }}; '
                       for i, path in enumerate(images))
    disks = "".join(f'blk{i} = {{ plugin = "virtio-blk"; backend = "d{i}"; {options(i) if callable(options) else options} }}; '
                    for i in range(len(images)))
    return f"""
machine = {{ memory = "{memory}"; {extra} boot = {{ order = [ "blk{order}" ]; }}; }};
backends = {{ {backends} tty = {{ plugin = "char-stdio"; }}; }};
devices = {{ {disks} com1 = {{ plugin = "serial"; backend = "tty"; }}; }};
"""


def write_image(directory, name, data):
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def boots(directory, options, count=1, order=0, extra=""):
    images = [write_image(directory, f"d{i}.img", boot_image(f"BOOTED FROM DISK {i}")) for i in range(count)]
    with Machine(machine_config(images, options, order=order, extra=extra), directory=directory) as machine:
        machine.wait_for(f"BOOTED FROM DISK {order}", 120)
        check(machine.wait_end(20) == 0, "power-off must end it with status 0:\n" + machine.tail())


def test_seabios_boots_by_the_legacy_interface(directory):
    boots(directory, 'interface = "legacy";')


def test_seabios_boots_by_the_modern_interface(directory):
    boots(directory, 'interface = "modern"; queue_size = 1024;')


def test_seabios_boots_the_second_of_two_transitional_disks(directory):
    boots(directory, "", count=2, order=1)


def test_seabios_boots_the_last_of_disks_behind_bridges(directory):
    boots(directory, lambda i: f'address = "{i + 1}:03.0";', count=2, order=1, extra='pci_bridges = ("05.0", "09.0");')


def test_grub_boots_from_a_transitional_disk(directory):
    image = os.path.join(directory, "grub.img")
    subprocess.run([os.path.join(SOURCE, "tools", "make-grub-disk"), image], check=True,
                   stdout=subprocess.DEVNULL)
    with Machine(machine_config([image], memory="64M"), directory=directory) as machine:
        seconds = machine.wait_for("Backplane: power off", 180)
        print(f"# GRUB's menu after {seconds:.1f} s")
        machine.send(b"\r")
        check(machine.wait_end(60) == 0, "GRUB's halt must end it with status 0")


if __name__ == "__main__":
    need_kvm()
    need_file("/usr/share/seabios/bios-256k.bin", "seabios")
    need_file("/usr/lib/grub/i386-pc/boot.img", "grub-pc-bin")
    run_tests([
        test_seabios_boots_by_the_legacy_interface,
        test_seabios_boots_by_the_modern_interface,
        test_seabios_boots_the_second_of_two_transitional_disks,
        test_seabios_boots_the_last_of_disks_behind_bridges,
        test_grub_boots_from_a_transitional_disk,
    ])
