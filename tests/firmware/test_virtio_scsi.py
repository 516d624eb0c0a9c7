#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SeaBIOS boots from virtio-scsi: target 0 LUN 0, a LUN other than 0 of a target without LUN 0, a CD; and so does GRUB."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import Machine, SOURCE, check, need_file, need_kvm, run_tests  # noqa: E402
from bootsector import boot_cd, boot_image  # noqa: E402


def boots(directory, places, order, options=""):
    """A disk in each place (target, LUN); the one that `order` names must come up."""
    backends, luns = "", []
    for target, lun in places:
        path = os.path.join(directory, f"{target}.{lun}.img")
        with open(path, "wb") as file:
            file.write(boot_image(f"BOOTED FROM {target}.{lun}"))
        name = f"{target}_{lun}"
        backends += f'f{name} = {{ plugin = "block-file"; path = "{path}"; }};\n'
        backends += f'd{name} = {{ plugin = "scsi-disk"; backend = "f{name}"; }};\n'
        luns.append(f'{{ target = {target}; lun = {lun}; backend = "d{name}"; }}')
    config = f"""
machine = {{ memory = "32M"; boot = {{ order = [ "scsi0:{order}" ]; }}; }};
backends = {{ {backends} tty = {{ plugin = "char-stdio"; }}; }};
devices = {{
    scsi0 = {{ plugin = "virtio-scsi"; luns = ( {", ".join(luns)} ); {options} }};
    com1 = {{ plugin = "serial"; backend = "tty"; }};
}};
"""
    with Machine(config, directory=directory) as machine:
        seconds = machine.wait_for(f"BOOTED FROM {order}", 120)
        print(f"# booted after {seconds:.1f} s")
        check(machine.wait_end(20) == 0, "power-off must end it with status 0:\n" + machine.tail())


def test_seabios_boots_from_target_0_lun_0(directory):
    boots(directory, [(0, 0)], "0.0")


def test_seabios_boots_by_the_modern_interface(directory):
    boots(directory, [(0, 0)], "0.0", 'interface = "modern"; queues = 4;')


def test_seabios_boots_from_target_3_lun_5_without_a_lun_0(directory):
    boots(directory, [(3, 5)], "3.5")


def test_seabios_boots_the_one_of_many_that_the_order_names(directory):
    boots(directory, [(0, 0), (0, 1), (3, 5), (3, 7), (20, 0)], "3.7")


def one_unit(plugin, image):
    return f"""
machine = {{ memory = "64M"; boot = {{ order = [ "scsi0" ]; }}; }};
backends = {{ img = {{ plugin = "block-file"; path = "{image}"; }}; unit = {{ plugin = "{plugin}"; backend = "img"; }};
             tty = {{ plugin = "char-stdio"; }}; }};
devices = {{ scsi0 = {{ plugin = "virtio-scsi"; luns = ( {{ target = 1; backend = "unit"; }} ); }};
            com1 = {{ plugin = "serial"; backend = "tty"; }}; }};
"""


def test_seabios_boots_from_a_cd(directory):
    image = os.path.join(directory, "boot.iso")
    with open(image, "wb") as file:
        file.write(boot_cd("BOOTED FROM CD"))
    with Machine(one_unit("scsi-cd", image), directory=directory) as machine:
        print(f"# booted after {machine.wait_for('BOOTED FROM CD', 120):.1f} s")
        check(machine.wait_end(20) == 0, "power-off must end it with status 0:\n" + machine.tail())


def test_grub_boots_from_a_disk(directory):
    image = os.path.join(directory, "grub.img")
    subprocess.run([os.path.join(SOURCE, "tools", "make-grub-disk"), image], check=True, stdout=subprocess.DEVNULL)
    with Machine(one_unit("scsi-disk", image), directory=directory) as machine:
        print(f"# GRUB's menu after {machine.wait_for('Backplane: power off', 400):.1f} s")
        machine.send(b"\r")
        check(machine.wait_end(60) == 0, "GRUB's halt must end it with status 0")


if __name__ == "__main__":
    need_kvm()
    need_file("/usr/share/seabios/bios-256k.bin", "seabios")
    need_file("/usr/lib/grub/i386-pc/boot.img", "grub-pc-bin")
    run_tests([
        test_seabios_boots_from_target_0_lun_0,
        test_seabios_boots_by_the_modern_interface,
        test_seabios_boots_from_target_3_lun_5_without_a_lun_0,
        test_seabios_boots_the_one_of_many_that_the_order_names,
        test_seabios_boots_from_a_cd,
        test_grub_boots_from_a_disk,
    ])
