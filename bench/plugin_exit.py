#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an exit to a plugin's register costs, against a bare KVM_RUN loop that ignores the exit.

The guest reads debugcon's port many times between two bytes it writes; the bare loop is that of
exit_cost, run alternately. Medians."""

import argparse
import json
import os
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "lib"))
from pvh import pvh_kernel  # noqa: E402

BUILD = os.environ.get("BACKPLANE_BUILD", "build")
PORT = 0x402
CONFIG = """
machine = {{ memory = "32M"; boot = {{ kernel = "{kernel}"; }}; }};
backends = {{ out = {{ plugin = "char-stdio"; }}; }};
devices = {{ log = {{ plugin = "debugcon"; backend = "out"; }}; }};
"""


def reading_guest(count):
    """Says '!', reads the port count times, says '!' again and sleeps."""
    say = b"\x66\xba" + struct.pack("<H", PORT) + b"\xb0!\xee"
    reads = b"\xb9" + struct.pack("<I", count) + b"\xec\xe2\xfd"  # mov ecx, count; 1: in al, dx; loop 1b
    return pvh_kernel(say + reads + say + b"\xfa\xf4\xeb\xfd")


def plugin_ns(config, count):
    with subprocess.Popen([os.path.join(BUILD, "core", "backplane"), "run", config],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0) as process:
        process.stdout.read(1)
        started = time.perf_counter_ns()
        process.stdout.read(1)
        elapsed = time.perf_counter_ns() - started
        process.kill()
    return elapsed / count


def bare_ns():
    text = subprocess.run([os.path.join(BUILD, "bench", "exit_cost")], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    return float(re.search(r"bare\D*([0-9.]+)", text).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="backplane-bench-") as directory:
        kernel, config = (os.path.join(directory, n) for n in ("k.elf", "m.cfg"))
        with open(kernel, "wb") as file:
            file.write(reading_guest(arguments.count))
        with open(config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(kernel=kernel))
        rows = [(plugin_ns(config, arguments.count), bare_ns()) for _ in range(arguments.runs)]
    plugin, bare = (statistics.median(column) for column in zip(*rows))
    if arguments.json:
        print(json.dumps({"plugin_ns": plugin, "bare_ns": bare}))
    else:
        print(f"exit to a plugin's register {plugin / 1000:.2f} us, bare loop {bare / 1000:.2f} us, "
              f"ratio {plugin / bare:.3f}")


if __name__ == "__main__":
    main()
