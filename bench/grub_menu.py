#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From exec to GRUB's menu on the serial console, against QEMU's -M pc in the same run: the same disk,
SeaBIOS and KVM on both. Medians, alternating runs."""

import argparse
import json
import os
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.join(os.path.dirname(__file__), "..")
PROGRAM = os.path.join(os.environ.get("BACKPLANE_BUILD", "build"), "core", "backplane")
FIRMWARE = "/usr/share/seabios/bios-256k.bin"
MENU_ENTRY = b"Backplane: power off"
CONFIG = """
machine = {{ memory = "64M"; boot = {{ firmware = "{firmware}"; order = [ "ide0:0.0" ]; }}; }};
backends = {{ disk = {{ plugin = "block-file"; path = "{disk}"; }}; tty = {{ plugin = "char-stdio"; }}; }};
devices = {{ ide0 = {{ plugin = "ide"; drives = ( {{ channel = 0; unit = 0; disk = "disk"; }} ); }};
  com1 = {{ plugin = "serial"; backend = "tty"; }}; }};
"""


def seconds_to_menu(command, limit):
    started = time.perf_counter()
    seen = b""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, bufsize=0) as process:
        try:
            while MENU_ENTRY not in seen:
                left = started + limit - time.perf_counter()
                ready = left > 0 and select.select([process.stdout], [], [], left)[0]
                data = os.read(process.stdout.fileno(), 65536) if ready else b""
                if not data:
                    sys.exit(f"no menu within {limit} s: {' '.join(command)}")
                seen += data
            return time.perf_counter() - started
        finally:
            process.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--limit", type=int, default=300, help="seconds for one run")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="backplane-bench-") as directory:
        disk, config = (os.path.join(directory, n) for n in ("grub.img", "m.cfg"))
        subprocess.run([os.path.join(TOP, "tools", "make-grub-disk"), disk], check=True,
                       stdout=subprocess.DEVNULL)
        with open(config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(firmware=FIRMWARE, disk=disk))
        commands = {"backplane": [PROGRAM, "run", config]}
        if shutil.which("qemu-system-x86_64"):
            commands["qemu"] = ["qemu-system-x86_64", "-M", "pc", "-accel", "kvm", "-m", "64",
                                "-nodefaults", "-no-user-config", "-display", "none", "-bios",
                                FIRMWARE, "-drive", f"file={disk},format=raw,if=ide",
                                "-serial", "stdio"]
        results = {name: [] for name in commands}
        for _ in range(arguments.runs):
            for name, command in commands.items():
                results[name].append(seconds_to_menu(command, arguments.limit))
    medians = {name: statistics.median(times) for name, times in results.items()}
    if arguments.json:
        print(json.dumps(medians))
        return
    for name, seconds in medians.items():
        print(f"{name:12}{seconds:9.2f} s to GRUB's menu")
    if "qemu" in medians:
        print(f"{'ratio':12}{medians['backplane'] / medians['qemu']:11.2f}")


if __name__ == "__main__":
    main()
