#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Start-up time and resident memory, against QEMU's -M microvm in the same run.

Time: from exec to the first byte a PVH guest writes to a port. Memory: resident pages of the process
that are not guest RAM, with serial, ide and block-file loaded. Medians, alternating runs."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "lib"))
from pvh import first_byte_kernel  # noqa: E402

PROGRAM = os.path.join(os.environ.get("BACKPLANE_BUILD", "build"), "core", "backplane")
PORT = 0x402
CONFIG = """
machine = {{ memory = "64M"; boot = {{ kernel = "{kernel}"; }}; }};
backends = {{ out = {{ plugin = "char-stdio"; }}; disk = {{ plugin = "block-file"; path = "{disk}"; }}; }};
devices = {{ log = {{ plugin = "debugcon"; backend = "out"; }}; com1 = {{ plugin = "serial"; }};
  ide0 = {{ plugin = "ide"; drives = ( {{ channel = 0; unit = 0; disk = "disk"; }} ); }}; }};
"""


def resident_kib(pid):
    """Resident KiB of the process, without the mappings of guest RAM."""
    total = 0
    ram = False
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as file:
        for line in file:
            fields = line.split()
            if "-" in fields[0] and not fields[0].endswith(":"):
                start, end = (int(x, 16) for x in fields[0].split("-"))
                ram = end - start >= 60 << 20
            elif fields[0] == "Rss:" and not ram:
                total += int(fields[1])
    return total


def run_once(command):
    """(ms until the guest's byte, resident KiB)."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, bufsize=0) as process:
        while True:
            data = process.stdout.read(1)
            if data == b"!" or not data:  # firmware may write other bytes first
                break
        elapsed = (time.perf_counter() - started) * 1000
        if not data:
            sys.exit(f"no byte from: {' '.join(command)}")
        time.sleep(0.1)
        resident = resident_kib(process.pid)
        process.kill()
    return elapsed, resident


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="backplane-bench-") as directory:
        kernel, disk, config = (os.path.join(directory, n) for n in ("k.elf", "d.img", "m.cfg"))
        with open(kernel, "wb") as file:
            file.write(first_byte_kernel(PORT))
        with open(disk, "wb") as file:
            file.truncate(16 << 20)
        with open(config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(kernel=kernel, disk=disk))
        commands = {"backplane": [PROGRAM, "run", config]}
        if shutil.which("qemu-system-x86_64"):
            commands["qemu"] = ["qemu-system-x86_64", "-M", "microvm", "-accel", "kvm", "-cpu",
                                "qemu64", "-m", "64", "-nodefaults", "-display", "none",
                                "-no-user-config", "-kernel", kernel, "-chardev", "stdio,id=out",
                                "-device", "isa-debugcon,iobase=0x402,chardev=out"]
        results = {name: [] for name in commands}
        for _ in range(arguments.runs):
            for name, command in commands.items():
                results[name].append(run_once(command))
    medians = {name: [statistics.median(column) for column in zip(*rows)]
               for name, rows in results.items()}
    if arguments.json:
        print(json.dumps(medians))
        return
    print(f"{'':12}{'first byte':>12}{'resident':>14}")
    for name, (elapsed, resident) in medians.items():
        print(f"{name:12}{elapsed:9.1f} ms{resident / 1024:10.1f} MiB")
    if "qemu" in medians:
        ratios = [medians["backplane"][i] / medians["qemu"][i] for i in range(2)]
        print(f"{'ratio':12}{ratios[0]:12.2f}{ratios[1]:14.2f}")


if __name__ == "__main__":
    main()
