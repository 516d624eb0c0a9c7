#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SeaBIOS and GRUB boot from each place of the IDE controller, from disks and from CDs."""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import Machine, check, need_file, need_kvm, run_tests  # noqa: E402
from bootsector import boot_cd, boot_image  # noqa: E402

PLACES = ((0, 0), (0, 1), (1, 0), (1, 1))


def config(drives, boot):
    """drives: (channel, unit, "disk" or "cdrom", image)."""
    backends = "".join(f'  b{c}{u} = {{ plugin = "block-file"; path = "{path}";'
                       f' readonly = {"true" if kind == "cdrom" else "false"}; }};\n'
                       for c, u, kind, path in drives)
    listed = ", ".join(f'{{ channel = {c}; unit = {u}; {kind} = "b{c}{u}"; }}' for c, u, kind, _ in drives)
    return f"""
machine = {{ memory = "64M"; boot = {{ order = [ "ide0:{boot[0]}.{boot[1]}" ]; }}; }};
backends = {{
{backends}  tty = {{ plugin = "char-stdio"; }};
}};
devices = {{
  ide0 = {{ plugin = "ide"; drives = ( {listed} ); }};
  com1 = {{ plugin = "serial"; backend = "tty"; }};
}};
"""


def write(directory, name, data):
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def runs(directory, drives, boot, text):
    with Machine(config(drives, boot), directory=directory) as machine:
        machine.wait_for(text, 120)
        check(machine.wait_end(30) == 0, "power-off must end it with status 0:\n" + machine.tail())


def boots_disk(directory, place):
    drives = [(c, u, "disk", write(directory, f"d{c}{u}.img", boot_image(f"BOOTED DISK {c}.{u}")))
              for c, u in PLACES]
    runs(directory, drives, place, f"BOOTED DISK {place[0]}.{place[1]}")


def boots_cd(directory, place):
    drives = [(c, u, "cdrom", write(directory, f"c{c}{u}.iso", boot_cd(f"BOOTED CD {c}.{u}")))
              for c, u in PLACES]
    runs(directory, drives, place, f"BOOTED CD {place[0]}.{place[1]}")


def test_seabios_boots_a_disk_at_0_0(directory):
    boots_disk(directory, (0, 0))


def test_seabios_boots_a_disk_at_0_1(directory):
    boots_disk(directory, (0, 1))


def test_seabios_boots_a_disk_at_1_0(directory):
    boots_disk(directory, (1, 0))


def test_seabios_boots_a_disk_at_1_1(directory):
    boots_disk(directory, (1, 1))


def test_seabios_boots_a_cd_at_0_0(directory):
    boots_cd(directory, (0, 0))


def test_seabios_boots_a_cd_at_0_1(directory):
    boots_cd(directory, (0, 1))


def test_seabios_boots_a_cd_at_1_0(directory):
    boots_cd(directory, (1, 0))


def test_seabios_boots_a_cd_at_1_1(directory):
    boots_cd(directory, (1, 1))


def test_seabios_boots_the_floppy_on_a_cd_beside_a_disk(directory):
    floppy = boot_image("BOOTED EMULATED FLOPPY", 1440 * 1024, (79, 1, 18), (2, 18))
    drives = [(0, 0, "disk", write(directory, "d.img", bytes(1 << 20))),
              (0, 1, "cdrom", write(directory, "c.iso", boot_cd("", floppy)))]
    runs(directory, drives, (0, 1), "BOOTED EMULATED FLOPPY")


def test_grub_boots_from_an_iso_of_grub_mkrescue(directory):
    root = os.path.join(directory, "root")
    os.makedirs(os.path.join(root, "boot", "grub"))
    with open(os.path.join(root, "words"), "w", encoding="ascii") as file:
        file.write("READ FROM THE ISO\n")
    with open(os.path.join(root, "boot", "grub", "grub.cfg"), "w", encoding="ascii") as file:
        file.write("serial --unit=0 --speed=115200\nterminal_output serial\n"
                   "echo GRUB ON A CD\ncat /words\nhalt\n")
    image = os.path.join(directory, "rescue.iso")
    subprocess.run(["grub-mkrescue", "-o", image, root, "-d", "/usr/lib/grub/i386-pc", "--locales=",
                    "--fonts=", "--themes=", "--install-modules=serial terminal echo cat halt normal"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with Machine(config([(1, 0, "cdrom", image)], (1, 0)), directory=directory) as machine:
        seconds = machine.wait_for("GRUB ON A CD", 300)
        machine.wait_for("READ FROM THE ISO", 60)
        print(f"# GRUB's first words after {seconds:.1f} s")
        check(machine.wait_end(60) == 0, "GRUB's halt must end it with status 0")


if __name__ == "__main__":
    need_kvm()
    need_file("/usr/share/seabios/bios-256k.bin", "seabios")
    need_file("/usr/lib/grub/i386-pc/boot.img", "grub-pc-bin")
    tests = [value for name, value in list(globals().items()) if name.startswith("test_seabios")]
    if shutil.which("grub-mkrescue") and shutil.which("xorriso") and shutil.which("mformat"):
        tests.append(test_grub_boots_from_an_iso_of_grub_mkrescue)
    else:
        print("# no GRUB ISO: grub-common, xorriso and mtools make it")
    run_tests(tests)
