#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Disks of the benchmark guest (bench/guest) on Backplane and on QEMU, in turn.

The guest is the same file on both, the image is the same file opened with O_DIRECT (or, with --null,
none at all). Each case is a fresh machine (virtio-scsi's share one), Backplane's and QEMU's alternately;
figures are medians, and medians of the ratios of neighbours: operations per second, and the CPU time that the host's threads
other than the vCPU spend on one operation. The guest polls, or with an -irq driver sleeps until it is
interrupted. fio (io_uring, one job, the same file and depth) is the host's own figure, and takes its turn, too.

  bench/disk.py [--driver NAME]... [--runs N] [--seconds S] [--image FILE] [--null] [--fio] [--json]"""

import argparse
import json
import os
import shutil
import stat
import statistics
import subprocess
import sys
import tempfile
import threading
import time

BUILD = os.environ.get("BACKPLANE_BUILD", "build")
PROGRAM = os.path.join(BUILD, "core", "backplane")
GUEST = os.path.join(BUILD, "bench", "guest", "bench_guest.elf")
IMAGE_BYTES = 1 << 30
PROBE_SECONDS = 0.05  # long enough to tell how fast a case is
PROBES_MAX = 4

ALL = [(operation, walk, size) for size in (4096, 131072) for walk in ("rand", "seq")
       for operation in ("read", "write")]
SOME = [("read", "rand", 4096), ("write", "rand", 4096), ("read", "seq", 131072),
        ("write", "seq", 131072)]


def cases_of(driver, shapes, depths):
    """(driver of the guest, read or write, walk, depth, bytes)"""
    return [(driver, operation, walk, depth, size) for operation, walk, size in shapes
            for depth in depths]


CASES = {
    "ide-dma": cases_of("ide-dma", ALL, (1,)),
    "ide-pio": cases_of("ide-pio", ALL[:4], (1,)),
    "virtio-blk": cases_of("virtio-blk", ALL, (1, 32, 256)),
    "virtio-blk-irq": cases_of("virtio-blk-irq", SOME[:1], (1, 32)),
    "virtio-scsi": cases_of("virtio-scsi", SOME, (1, 32, 256)),
    "virtio-scsi-irq": cases_of("virtio-scsi-irq", SOME[:1], (1, 32)),
}
DESCRIPTION = """
machine = {{ memory = "128M"; boot = {{ kernel = "{guest}"; cmdline = "{cases}"; }}; }};
backends = {{ out = {{ plugin = "char-stdio"; }}; disk = {{ {backend} }}; {more} }};
devices = {{ log = {{ plugin = "debugcon"; backend = "out"; }}; {device} }};
"""
DEVICES = {
    "ide": 'ide0 = { plugin = "ide"; drives = ( { channel = 0; unit = 0; disk = "disk"; } ); };',
    "virtio-blk": 'blk0 = { plugin = "virtio-blk"; backend = "disk"; };',
    "virtio-scsi": 'scsi0 = { plugin = "virtio-scsi"; luns = ( { backend = "unit"; } ); };',
}
MORE_BACKENDS = {"virtio-scsi": 'unit = { plugin = "scsi-disk"; backend = "disk"; };'}
QEMU_DEVICES = {
    "ide": ["-device", "ide-hd,drive=disk,bus=ide.0"],
    "virtio-blk": ["-object", "iothread,id=io",
                   "-device", "virtio-blk-pci,drive=disk,iothread=io,queue-size=256,num-queues=1"],
    "virtio-scsi": ["-object", "iothread,id=io", "-device",
                    "virtio-scsi-pci,iothread=io,num_queues=1,virtqueue_size=256,cmd_per_lun=256",
                    "-device", "scsi-hd,drive=disk"],
}


def device_of(case):
    return "ide" if case[0].startswith("ide") else case[0].removesuffix("-irq")


def case_text(case, count):
    return ":".join(str(word) for word in (*case, count))


def case_name(case):
    return f"{case[0]} {case[1]} {case[2]} {case[4] // 1024}K, depth {case[3]}"


def backplane_command(device, cases, image, directory):
    config = os.path.join(directory, "machine.cfg")
    backend = (f'plugin = "block-file"; path = "{image}"; cache = "none"; pin_memory = true;' if image else
               f'plugin = "block-null"; size = "{IMAGE_BYTES >> 20}M";')
    with open(config, "w", encoding="utf-8") as file:
        file.write(DESCRIPTION.format(guest=os.path.abspath(GUEST), cases=cases, backend=backend,
                                      device=DEVICES[device], more=MORE_BACKENDS.get(device, "")))
    return [PROGRAM, "run", config]


def qemu_command(device, cases, image, _):
    kind = "host_device" if image and stat.S_ISBLK(os.stat(image).st_mode) else "file"
    blockdev = (f"driver=raw,node-name=disk,file.driver={kind},file.filename={image},"
                "cache.direct=on,file.aio=io_uring,file.cache.direct=on" if image else
                f"driver=null-aio,node-name=disk,size={IMAGE_BYTES},read-zeroes=on")
    return ["qemu-system-x86_64", "-M", "pc", "-accel", "kvm", "-cpu", "qemu64,-sse3", "-m", "128",
            "-name", "bench,debug-threads=on", "-nodefaults", "-no-user-config", "-display", "none",
            "-kernel", GUEST, "-append", cases, "-boot", "strict=on", "-chardev", "stdio,id=out",
            "-device", "isa-debugcon,iobase=0x402,chardev=out", "-blockdev", blockdev,
            *QEMU_DEVICES[device]]


def machines():
    """The machines to compare, QEMU only where there is one."""
    found = {"backplane": backplane_command}
    if shutil.which("qemu-system-x86_64"):
        found["qemu"] = qemu_command
    return found


def thread_seconds(pid):
    """CPU time of all threads that are not a vCPU, by the scheduler's own clock."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii", errors="replace") as file:
                name = file.read().lower()
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                used = int(file.read().split()[0])
        except FileNotFoundError:
            continue  # it has ended
        if "vcpu" not in name and "cpu " not in name:
            total += used
    return total / 1e9


def run_machine(command, limit=120):
    """[(seconds, CPU seconds)] of each case."""
    results = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        watchdog = threading.Timer(limit, process.kill)
        watchdog.start()
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
                if word and word[0].endswith("fail"):
                    sys.exit(f"{command[0]}: {line.decode('ascii', 'replace').strip()}")
            sys.exit(f"{command[0]}: did not get to the end in {limit} s")
        finally:
            watchdog.cancel()
            process.kill()


def run_cases(command_of, cases, counts, image, directory):
    """[(seconds, CPU seconds)] of cases of one device, in one machine."""
    text = " ".join(map(case_text, cases, counts))
    return run_machine(command_of(device_of(cases[0]), text, image, directory))


def counts_for(command_of, cases, image, directory, seconds):
    """How many operations of each case take about so many seconds on this machine."""
    counts = [max(32, 4 * case[3]) for case in cases]
    for _ in range(PROBES_MAX):
        times = [elapsed for elapsed, _ in run_cases(command_of, cases, counts, image, directory)]
        done = min(times) >= PROBE_SECONDS
        aim = seconds if done else min(seconds, 2 * PROBE_SECONDS)
        counts = [max(case[3], min(int(count * aim / elapsed), 64 * count))
                  for case, count, elapsed in zip(cases, counts, times)]
        if done:
            break
    return counts


def measure(cases, image, runs, seconds, directory, fio=False):
    """For each case of one device {machine: [(operations per second, CPU us per operation)]}, run by run; with
    fio, "fio" is one of the machines."""
    results = [{} for _ in cases]
    counts = {name: counts_for(command_of, cases, image, directory, seconds)
              for name, command_of in machines().items()}
    for _ in range(runs):
        for name, command_of in machines().items():
            times = run_cases(command_of, cases, counts[name], image, directory)
            for result, count, (elapsed, used) in zip(results, counts[name], times):
                result.setdefault(name, []).append((count / elapsed, used / count * 1e6))
        for case, result in zip(cases, results):
            rate = fio_rate(case, image, max(seconds, 0.3)) if fio else None
            if rate is not None:
                result.setdefault("fio", []).append((rate, 0))
    return results


def groups(cases):
    """What runs in one machine: a case, but of virtio-scsi all, as QEMU's firmware looks for units for
    seconds."""
    together = [case for case in cases if device_of(case) == "virtio-scsi"]
    return [[case] for case in cases if case not in together] + ([together] if together else [])


def fio_rate(case, image, seconds):
    """Operations per second of fio on the host, or None without fio."""
    if not image or not shutil.which("fio"):
        return None
    operation = ("rand" if case[2] == "rand" else "") + case[1]
    output = subprocess.run(
        ["fio", "--name=bench", f"--filename={image}", "--direct=1", "--ioengine=io_uring",
         f"--iodepth={case[3]}", f"--bs={case[4]}", f"--rw={operation}", f"--runtime={round(seconds * 1000)}ms",
         "--time_based", "--output-format=json"], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(output)["jobs"][0][case[1]]["iops"]


def summary(case, results):
    """One line's figures: medians, ratios of neighbouring runs, and their spread."""
    row = {"case": case_name(case)}
    if "fio" in results:
        row["of_fio"] = statistics.median(
            ours[0] / host[0] for ours, host in zip(results["backplane"], results["fio"]))
    for name, runs in results.items():
        row[name] = statistics.median(rate for rate, _ in runs)
        row[name + "_cpu_us"] = statistics.median(used for _, used in runs)
    if "qemu" in results:
        ratios = [ours[0] / theirs[0] for ours, theirs in zip(results["backplane"], results["qemu"])]
        row["ratio"] = statistics.median(ratios)
        row["ratio_least"], row["ratio_most"] = min(ratios), max(ratios)
        row["cpu_ratio"] = statistics.median(
            ours[1] / theirs[1] for ours, theirs in zip(results["backplane"], results["qemu"])
            if theirs[1] > 0)
    return row


def make_image(directory):
    """A file whose blocks are written: holes and unwritten extents are not what a disk does."""
    path = os.path.join(directory, "disk.img")
    with open(path, "wb") as file:
        for _ in range(IMAGE_BYTES >> 20):
            file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())
    return path


HEAD = ("| case | Backplane op/s | QEMU op/s | ratio | least .. most | CPU us/op | QEMU's | CPU ratio "
        "| of fio |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|")


def table_line(row):
    def figure(key, form):
        return format(row[key], form) if row.get(key) is not None else ""
    spread = f"{row['ratio_least']:.2f} .. {row['ratio_most']:.2f}" if "ratio" in row else ""
    return (f"| {row['case']} | {row['backplane']:,.0f} | {figure('qemu', ',.0f')} "
            f"| {figure('ratio', '.2f')} | {spread} | {row['backplane_cpu_us']:.2f} "
            f"| {figure('qemu_cpu_us', '.2f')} | {figure('cpu_ratio', '.2f')} | {figure('of_fio', '.2f')} |")


def measure_all(cases, arguments, image, directory):
    """The rows, each printed when it is there unless as JSON."""
    rows = []
    for group in groups(cases):
        results = measure(group, image, arguments.runs, arguments.seconds, directory, arguments.fio)
        for case, result in zip(group, results):
            rows.append(summary(case, result))
            if not arguments.json:
                print(table_line(rows[-1]), flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--driver", choices=CASES, action="append")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--image", help="a file to use, its contents are lost; else one is made")
    parser.add_argument("--null", action="store_true", help="no image: what the machine alone costs")
    parser.add_argument("--fio", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="backplane-bench-", dir="/var/tmp") as directory:
        image = None if arguments.null else arguments.image or make_image(directory)
        cases = [case for driver in arguments.driver or ["virtio-blk"] for case in CASES[driver]]
        if not arguments.json:
            print(HEAD)
        rows = measure_all(cases, arguments, image, directory)
        if arguments.json:
            print(json.dumps(rows))


if __name__ == "__main__":
    main()
