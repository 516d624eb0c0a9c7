#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A guest that writes every port and every MMIO page at random: the machine may reset, never crash.

BACKPLANE_STORM_ACCESSES sets how many (two million by default)."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import Machine, check, need_kvm, run_tests  # noqa: E402

ACCESSES = int(os.environ.get("BACKPLANE_STORM_ACCESSES", "2000000"))
KERNEL = os.environ["BACKPLANE_STORM_ELF"]


def test_random_accesses_never_crash_the_machine(directory):
    image = os.path.join(directory, "disk.img")
    with open(image, "wb") as file:
        file.truncate(8 << 20)
    text = f"""
machine = {{ memory = "64M"; boot = {{ kernel = "{KERNEL}"; cmdline = "{ACCESSES}"; }}; }};
backends = {{ out = {{ plugin = "char-stdio"; }}; disk = {{ plugin = "block-file"; path = "{image}"; }};
  ram = {{ plugin = "block-ram"; size = "4M"; }}; }};
devices = {{ log = {{ plugin = "debugcon"; backend = "out"; }};
  ide0 = {{ plugin = "ide"; drives = ( {{ channel = 0; unit = 0; disk = "disk"; }},
                                       {{ channel = 1; unit = 1; disk = "ram"; }} ); }};
  com1 = {{ plugin = "serial"; }}; com2 = {{ plugin = "serial"; }}; }};
"""
    with Machine(text, directory=directory) as machine:
        try:
            seconds = machine.wait_for("DONE", 60 + ACCESSES // 10000)
        except Exception:
            status = machine.process.poll()
            check(status in (None, 0), f"it died with status {status}:\n" + machine.tail())
            check(status != 0, "the guest powered it off: run it again")
            raise
        machine.kill(signal.SIGTERM)
        check(machine.wait_end(30) == 0, "SIGTERM must end it with status 0")
        print(f"# {ACCESSES} accesses in {seconds:.0f} s")


if __name__ == "__main__":
    need_kvm()
    run_tests([test_random_accesses_never_crash_the_machine])
