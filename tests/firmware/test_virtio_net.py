#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SeaBIOS starts iPXE from the ROM BAR of a virtio-net card, and iPXE drives the card. On a KVM that
interprets the guest's kernel mode iPXE stalls in its own timed wait after that; on hardware it goes on
to a lease and a script by TFTP from net-user."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import Machine, check, is_interpreting_kvm, need_file, need_kvm, run_tests  # noqa: E402

ROM = "/usr/lib/ipxe/qemu/pxe-virtio.rom"
SCRIPT = "#!ipxe\necho iPXE runs a script of ${net0/mac}\npoweroff\n"


def config(tftp):
    return f"""
machine = {{ memory = "32M"; boot = {{ order = [ "net0" ]; }}; }};
backends = {{ wan = {{ plugin = "net-user"; tftp = "{tftp}"; bootfile = "boot.ipxe"; }};
             tty = {{ plugin = "char-stdio"; }}; }};
devices = {{ net0 = {{ plugin = "virtio-net"; backend = "wan"; mac = "02:00:00:00:00:2a"; }};
            com1 = {{ plugin = "serial"; backend = "tty"; }}; }};
"""


def test_ipxe_starts_from_the_rom_bar(directory):
    tftp = os.path.join(directory, "tftp")
    os.makedirs(tftp)
    with open(os.path.join(tftp, "boot.ipxe"), "w", encoding="ascii") as file:
        file.write(SCRIPT)
    with Machine(config(tftp), directory=directory) as machine:
        seconds = machine.wait_for("iPXE initialising devices", 600)
        print(f"# iPXE's banner after {seconds:.1f} s")
        if is_interpreting_kvm():
            return
        machine.wait_for("iPXE runs a script of 02:00:00:00:00:2a", 60)
        check(machine.wait_end(20) == 0, "power-off must end it with status 0:\n" + machine.tail())


if __name__ == "__main__":
    need_kvm()
    need_file("/usr/share/seabios/bios-256k.bin", "seabios")
    need_file(ROM, "ipxe-qemu")
    run_tests([test_ipxe_starts_from_the_rom_bar])
