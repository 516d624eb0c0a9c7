#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SeaBIOS and GRUB, drivers nobody here wrote, on our machine."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import SOURCE, Machine, check, need_file, need_kvm, run_tests  # noqa: E402
from bootsector import boot_image  # noqa: E402

POSITIONS = ((0, 0), (0, 1), (1, 0), (1, 1))


def machine_config(disks, order, memory="32M", extra=""):
    """disks: (channel, unit, image path)."""
    backends = "".join(
        f'  d{c}{u} = {{ plugin = "block-file"; path = "{path}"; }};\n' for c, u, path in disks)
    drives = ", ".join(f'{{ channel = {c}; unit = {u}; disk = "d{c}{u}"; }}' for c, u, _ in disks)
    return f"""
machine = {{ memory = "{memory}"; {extra} boot = {{ order = [ {order} ]; }}; }};
backends = {{
{backends}  tty = {{ plugin = "char-stdio"; }};
}};
devices = {{
  ide0 = {{ plugin = "ide"; drives = ( {drives} ); }};
  com1 = {{ plugin = "serial"; backend = "tty"; }};
}};
"""


def write_image(directory, name, data):
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def boots_from(directory, position):
    disks = [(c, u, write_image(directory, f"d{c}{u}.img", boot_image(f"BOOTED FROM {c}.{u}")))
             for c, u in POSITIONS]
    config = machine_config(disks, f'"ide0:{position[0]}.{position[1]}"')
    with Machine(config, directory=directory) as machine:
        machine.wait_for(f"BOOTED FROM {position[0]}.{position[1]}", 90)
        check(machine.wait_end(20) == 0, "power-off must end it with status 0:\n" + machine.tail())


def test_seabios_boots_the_primary_master(directory):
    boots_from(directory, (0, 0))


def test_seabios_boots_the_secondary_slave_when_told_to(directory):
    boots_from(directory, (1, 1))


def test_seabios_sees_two_cpus_and_says_its_name_on_the_console(directory):
    disks = [(0, 0, write_image(directory, "d.img", boot_image("TWO CPUS")))]
    config = machine_config(disks, '"ide0:0.0"', extra="cpus = 2;")
    with Machine(config, directory=directory) as machine:
        machine.wait_for("SeaBIOS", 60)
        machine.wait_for("TWO CPUS", 90)
        check(machine.wait_end(20) == 0, "status 0 expected")


def test_a_split_irqchip_boots_too(directory):
    disks = [(0, 0, write_image(directory, "d.img", boot_image("SPLIT")))]
    config = machine_config(disks, '"ide0:0.0"', extra='irqchip = "split";')
    with Machine(config, directory=directory) as machine:
        machine.wait_for("SPLIT", 120)
        check(machine.wait_end(20) == 0, "status 0 expected")


def test_a_ram_disk_takes_the_place_of_a_file_without_rebuilding(directory):
    image = write_image(directory, "d.img", boot_image("FROM MEMORY"))
    config = machine_config([(0, 0, image)], '"ide0:0.0"').replace(
        f'plugin = "block-file"; path = "{image}";', f'plugin = "block-ram"; image = "{image}";')
    with Machine(config, directory=directory) as machine:
        machine.wait_for("FROM MEMORY", 90)
        check(machine.wait_end(20) == 0, "status 0 expected")


def test_grub_shows_its_menu_and_powers_off(directory):
    image = os.path.join(directory, "grub.img")
    subprocess.run([os.path.join(SOURCE, "tools", "make-grub-disk"), image], check=True,
                   stdout=subprocess.DEVNULL)
    config = machine_config([(0, 0, image)], '"ide0:0.0"', memory="64M")
    with Machine(config, directory=directory) as machine:
        seconds = machine.wait_for("Backplane: power off", 180)
        print(f"# GRUB's menu after {seconds:.1f} s")
        machine.send(b"\r")
        check(machine.wait_end(60) == 0, "GRUB's halt must end it with status 0")


if __name__ == "__main__":
    need_kvm()
    need_file("/usr/share/seabios/bios-256k.bin", "seabios")
    need_file("/usr/lib/grub/i386-pc/boot.img", "grub-pc-bin")
    run_tests([
        test_seabios_boots_the_primary_master,
        test_seabios_boots_the_secondary_slave_when_told_to,
        test_seabios_sees_two_cpus_and_says_its_name_on_the_console,
        test_a_split_irqchip_boots_too,
        test_a_ram_disk_takes_the_place_of_a_file_without_rebuilding,
        test_grub_shows_its_menu_and_powers_off,
    ])
