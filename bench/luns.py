#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a logical unit of virtio-scsi costs: start-up time and resident memory for 0 to 256 of them.

Time: from exec to the answer of the test protocol, which a machine gives when all its devices are there. Memory:
resident pages without guest RAM. Over block-null (what scsi-disk and the adapter need), and over block-file.
Medians of alternating runs; BACKPLANE_BUILD=build bench/luns.py"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time

from startup import PROGRAM, resident_kib

COUNTS = (0, 64, 128, 256)
KINDS = {"block-null": 'plugin = "block-null"; size = "1M";', "block-file": 'plugin = "block-file"; path = "{path}";'}


def describe(directory, kind, count):
    backends, luns = "", []
    for i in range(count):
        path = os.path.join(directory, f"{i}.img")
        if kind == "block-file" and not os.path.exists(path):
            with open(path, "wb") as file:
                file.truncate(1 << 20)
        backends += f'b{i} = {{ {KINDS[kind].format(path=path)} }}; '
        backends += f'd{i} = {{ plugin = "scsi-disk"; backend = "b{i}"; }};\n'
        luns.append(f'{{ target = {i // 4}; lun = {i % 4}; backend = "d{i}"; }}')
    return f"""
machine = {{ memory = "64M"; }};
backends = {{ {backends} }};
devices = {{ scsi0 = {{ plugin = "virtio-scsi"; luns = ( {", ".join(luns)} ); }}; }};
"""


def run_once(directory, kind, count):
    """(ms until the machine answers, resident KiB)."""
    config, where = os.path.join(directory, "m.cfg"), os.path.join(directory, "s")
    with open(config, "w", encoding="utf-8") as file:
        file.write(describe(directory, kind, count))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(where)
        listener.listen(1)
        started = time.perf_counter()
        with subprocess.Popen([PROGRAM, "run", "--test-socket=" + where, config]) as process:
            connection, _ = listener.accept()
            connection.sendall(b"inb 0x70\n")
            connection.recv(64)
            elapsed = (time.perf_counter() - started) * 1000
            resident = resident_kib(process.pid)
            connection.close()
            process.wait(60)
    os.unlink(where)
    return elapsed, resident


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory(prefix="backplane-bench-") as directory:
        samples = {(kind, count): [] for kind in KINDS for count in COUNTS}
        for _ in range(arguments.runs):
            for kind, count in samples:
                samples[kind, count].append(run_once(directory, kind, count))
    for (kind, count), runs in samples.items():
        results.setdefault(kind, {})[count] = {
            "ms": round(statistics.median(ms for ms, _ in runs), 1),
            "fastest_ms": round(min(ms for ms, _ in runs), 1),
            "resident_kib": statistics.median(kib for _, kib in runs),
        }
    if arguments.json:
        print(json.dumps(results))
        return
    for kind, rows in results.items():
        base = rows[0]
        for count, row in rows.items():
            each = f", {(row['resident_kib'] - base['resident_kib']) / count:.1f} KiB each" if count else ""
            print(f"{kind:10} {count:3} units: {row['ms']:7.1f} ms (fastest {row['fastest_ms']:.1f}), "
                  f"{row['resident_kib']:.0f} KiB{each}")


if __name__ == "__main__":
    main()
