#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Disk throughput of the benchmark guest (bench/guest) on Backplane and on QEMU, in turn.

The guest is the same file with the same command line on both, the image is the same file opened with
O_DIRECT (or, with --null, none at all). Figures are medians of alternating runs: operations per second,
and the CPU time of the host's threads other than the vCPU for one operation. The guest polls.

  bench/disk.py [--driver ide|virtio-blk] [--runs N] [--seconds S] [--image FILE] [--null] [--json]"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("BACKPLANE_BUILD", "build")
PROGRAM = os.path.join(BUILD, "core", "backplane")
GUEST = os.path.join(BUILD, "bench", "guest", "bench_guest.elf")
IMAGE_BYTES = 1 << 30
TICKS = os.sysconf("SC_CLK_TCK")

# driver of the guest, read or write, walk, depth, bytes
CASES = {
    "ide": [(driver, operation, walk, 1, size) for driver in ("ide-dma", "ide-pio")
            for walk, size in (("seq", 4096), ("rand", 4096), ("seq", 131072))
            for operation in ("read", "write")],
    "virtio-blk": [("virtio-blk", operation, walk, depth, size)
                   for operation, walk, size in (("read", "rand", 4096), ("write", "rand", 4096),
                                                 ("read", "seq", 131072))
                   for depth in (1, 32, 256) if depth * size <= 64 << 20],
}
DESCRIPTION = """
machine = {{ memory = "128M"; boot = {{ kernel = "{guest}"; cmdline = "{cases}"; }}; }};
backends = {{ out = {{ plugin = "char-stdio"; }}; disk = {{ {backend} }}; }};
devices = {{ log = {{ plugin = "debugcon"; backend = "out"; }}; {device} }};
"""
DEVICES = {
    "ide": 'ide0 = { plugin = "ide"; drives = ( { channel = 0; unit = 0; disk = "disk"; } ); };',
    "virtio-blk": 'blk0 = { plugin = "virtio-blk"; backend = "disk"; };',
}
QEMU_DEVICES = {
    "ide": ["-device", "ide-hd,drive=disk,bus=ide.0"],
    "virtio-blk": ["-object", "iothread,id=io",
                   "-device", "virtio-blk-pci,drive=disk,iothread=io,queue-size=256,num-queues=1"],
}


def backplane_command(driver, image, cases, directory):
    config = os.path.join(directory, "machine.cfg")
    backend = (f'plugin = "block-file"; path = "{image}"; cache = "none";' if image else
               f'plugin = "block-null"; size = "{IMAGE_BYTES >> 20}M";')
    with open(config, "w", encoding="utf-8") as file:
        file.write(DESCRIPTION.format(guest=os.path.abspath(GUEST), cases=cases, backend=backend,
                                      device=DEVICES[driver]))
    return [PROGRAM, "run", config]


def qemu_command(driver, image, cases):
    blockdev = (f"driver=raw,node-name=disk,file.driver=file,file.filename={image},"
                "cache.direct=on,file.aio=io_uring,file.cache.direct=on" if image else
                f"driver=null-aio,node-name=disk,size={IMAGE_BYTES},read-zeroes=on")
    return ["qemu-system-x86_64", "-M", "pc", "-accel", "kvm", "-cpu", "qemu64", "-m", "128",
            "-name", "bench,debug-threads=on", "-nodefaults", "-no-user-config", "-display", "none",
            "-kernel", GUEST, "-append", cases, "-chardev", "stdio,id=out",
            "-device", "isa-debugcon,iobase=0x402,chardev=out", "-blockdev", blockdev,
            *QEMU_DEVICES[driver]]


def thread_seconds(pid):
    """CPU time of all threads that are not a vCPU."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii", errors="replace") as file:
            name, rest = file.read().rsplit(")", 1)
        if "vcpu" not in name.lower() and "cpu " not in name.lower():
            fields = rest.split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def run_machine(command, limit=600):
    """[(seconds, CPU seconds)] of each case."""
    results = []
    deadline = time.monotonic() + limit
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            for line in process.stdout:
                word = line.decode("ascii", "replace").split()
                if word and word[0].endswith("start"):
                    started, used = time.perf_counter(), thread_seconds(process.pid)
                elif word and word[0] == "end":
                    results.append((time.perf_counter() - started,
                                    thread_seconds(process.pid) - used))
                elif word and word[0].endswith("done"):
                    return results
                if word and word[0].endswith("fail") or time.monotonic() > deadline:
                    sys.exit(f"{command[0]}: {line.decode('ascii', 'replace').strip()}")
            sys.exit(f"{command[0]}: ended early")
        finally:
            process.kill()


def case_text(case, count):
    return ":".join(str(word) for word in (*case, count))


def calibrate(command_of, cases, seconds):
    """How many operations of each case take about so many seconds."""
    first = [max(16, 64 * case[3]) for case in cases]
    times = run_machine(command_of(" ".join(map(case_text, cases, first))))
    return [max(n, int(n * seconds / max(t, 1e-4))) for n, (t, _) in zip(first, times)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--driver", choices=CASES, default="virtio-blk")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--image", help="a file to use, its contents are lost; else one is made")
    parser.add_argument("--null", action="store_true", help="no image: what the machine alone costs")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    cases = CASES[arguments.driver]
    with tempfile.TemporaryDirectory(prefix="backplane-bench-", dir="/var/tmp") as directory:
        image = None if arguments.null else arguments.image or os.path.join(directory, "disk.img")
        if image and not arguments.image:
            with open(image, "wb") as file:  # written: holes would not be read from the disk
                for _ in range(IMAGE_BYTES >> 20):
                    file.write(os.urandom(1 << 20))
                os.fsync(file.fileno())
        commands = {"backplane": lambda c: backplane_command(arguments.driver, image, c, directory)}
        if shutil.which("qemu-system-x86_64"):
            commands["qemu"] = lambda c: qemu_command(arguments.driver, image, c)
        counts = calibrate(commands["backplane"], cases, arguments.seconds)
        text = " ".join(map(case_text, cases, counts))
        runs = {name: [] for name in commands}
        for _ in range(arguments.runs):
            for name, command_of in commands.items():
                runs[name].append(run_machine(command_of(text)))
    report(cases, counts, runs, arguments.json)


def report(cases, counts, runs, as_json):
    rows = []
    for i, (case, count) in enumerate(zip(cases, counts)):
        row = {"case": case_text(case, count)}
        for name, results in runs.items():
            row[name] = count / statistics.median(result[i][0] for result in results)
            row[name + "_cpu_us"] = statistics.median(result[i][1] for result in results) / count * 1e6
        rows.append(row)
    if as_json:
        print(json.dumps(rows))
        return
    print(f"{'':34}{'operations/s':>26}{'ratio':>8}{'CPU us/operation':>22}")
    print(f"{'':34}{'backplane':>13}{'qemu':>13}{'':8}{'backplane':>13}{'qemu':>9}")
    for case, row in zip(cases, rows):
        name = f"{case[0]} {case[1]} {case[2]} {case[4] // 1024}K depth {case[3]}"
        qemu = row.get("qemu", float("nan"))
        print(f"{name:34}{row['backplane']:13.0f}{qemu:13.0f}{row['backplane'] / qemu:8.2f}"
              f"{row['backplane_cpu_us']:13.1f}{row.get('qemu_cpu_us', float('nan')):9.1f}")


if __name__ == "__main__":
    main()
