#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SeaBIOS and GRUB boot from floppies."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import Machine, check, is_interpreting_kvm, need_file, need_kvm, run_tests  # noqa: E402
from bootsector import boot_image  # noqa: E402

GRUB = "/usr/lib/grub/i386-pc"

# A KVM that interprets the guest's kernel mode loses IRQ 6 of its own 8259 in real mode, where it is
# vector 14 (SeaBIOS on QEMU waits in vain there, too); ours does not.
IRQCHIP = 'irqchip = "split";' if is_interpreting_kvm() else ""


def config(image, options=""):
    return f"""
machine = {{ memory = "32M"; {IRQCHIP} boot = {{ order = [ "fdc0:0" ]; }}; }};
backends = {{
  a = {{ plugin = "block-file"; path = "{image}"; }};
  tty = {{ plugin = "char-stdio"; }};
}};
devices = {{
  fdc0 = {{ plugin = "floppy"; drives = ( {{ unit = 0; disk = "a"; }} ); {options} }};
  com1 = {{ plugin = "serial"; backend = "tty"; }};
}};
"""


def boots(directory, kilobytes, cylinders, heads, sectors, options="", signature=b"\x55\xaa"):
    """The boot sector reads its text from the last sector of the floppy."""
    text = f"BOOTED FROM {kilobytes} KB"
    image = os.path.join(directory, "floppy.img")
    with open(image, "wb") as file:
        file.write(boot_image(text, kilobytes * 1024, (cylinders - 1, heads - 1, sectors),
                              (heads, sectors)))
        file.seek(510)
        file.write(signature)
    with Machine(config(image, options), directory=directory) as machine:
        machine.wait_for(text, 120)
        check(machine.wait_end(20) == 0, "power-off must end it with status 0:\n" + machine.tail())


def test_seabios_boots_360_kb(directory):
    boots(directory, 360, 40, 2, 9)


def test_seabios_boots_720_kb(directory):
    boots(directory, 720, 80, 2, 9)


def test_seabios_boots_1200_kb(directory):
    boots(directory, 1200, 80, 2, 15)


def test_seabios_boots_1440_kb(directory):
    boots(directory, 1440, 80, 2, 18)


def test_seabios_boots_2880_kb(directory):
    boots(directory, 2880, 80, 2, 36)


def test_seabios_boots_an_unsigned_floppy_when_told_so(directory):
    boots(directory, 360, 40, 2, 9, "check_signature = false;", signature=b"\0\0")


def test_seabios_boots_with_seeks_and_turns_that_take_their_time(directory):
    boots(directory, 1440, 80, 2, 18, 'timing = "real";')


def test_grub_boots_from_a_floppy_and_powers_off(directory):
    image = os.path.join(directory, "grub.img")
    early = os.path.join(directory, "early.cfg")
    core = os.path.join(directory, "core.img")
    with open(early, "w", encoding="ascii") as file:
        file.write("serial --unit=0 --speed=115200\nterminal_output serial\n"
                   "echo GRUB ON A FLOPPY\ncat (fd0)2878+1\nhalt\n")
    subprocess.run(["grub-mkimage", "--directory", GRUB, "--format", "i386-pc", "--output", core,
                    "--prefix", "(fd0)/", "--config", early,
                    "biosdisk", "serial", "terminal", "echo", "cat", "halt"], check=True)
    data = bytearray(1440 * 1024)
    with open(os.path.join(GRUB, "boot.img"), "rb") as file:
        data[:512] = file.read(512)
    with open(core, "rb") as file:
        kernel = file.read()
    data[512:512 + len(kernel)] = kernel
    check(len(kernel) < 1440 * 1024 - 2 * 512, "the core fits")
    data[-1024:-512] = b"LAST BUT ONE\n" + bytes(499)
    with open(image, "wb") as file:
        file.write(data)
    with Machine(config(image), directory=directory) as machine:
        seconds = machine.wait_for("GRUB ON A FLOPPY", 240)
        machine.wait_for("LAST BUT ONE", 60)
        print(f"# GRUB's core runs after {seconds:.1f} s")
        check(machine.wait_end(60) == 0, "GRUB's halt must end it with status 0")


if __name__ == "__main__":
    need_kvm()
    need_file("/usr/share/seabios/bios-256k.bin", "seabios")
    need_file(GRUB + "/boot.img", "grub-pc-bin")
    run_tests([
        test_seabios_boots_360_kb,
        test_seabios_boots_720_kb,
        test_seabios_boots_1200_kb,
        test_seabios_boots_1440_kb,
        test_seabios_boots_2880_kb,
        test_seabios_boots_an_unsigned_floppy_when_told_so,
        test_seabios_boots_with_seeks_and_turns_that_take_their_time,
        test_grub_boots_from_a_floppy_and_powers_off,
    ])
