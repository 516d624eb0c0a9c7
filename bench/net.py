#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Network throughput and latency of the benchmark guest (bench/guest) on Backplane and on QEMU, in turn.

The guest is the same file with the same command line on both, and so is the program at the other end
(bench/net_peer.c) of the cable: a unix stream socket (net-stream; QEMU: -netdev stream), or a TAP interface
(net-tap; QEMU: -netdev tap), which takes root. Figures are medians of alternating runs: frames and bytes per second, the CPU
time of the host's threads other than the vCPU for one frame, and round trips as the peer sees them.
The guest polls; nothing is lost, or a case would not end.

  bench/net.py [--cable stream|tap]... [--runs N] [--seconds S] [--depth N] [--json]"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from disk import BUILD, GUEST, PROGRAM, run_machine  # noqa: E402

PEER = os.path.join(BUILD, "bench", "net_peer")
DESCRIPTION = """
machine = {{ memory = "64M"; boot = {{ kernel = "{guest}"; cmdline = "{cases}"; }}; }};
backends = {{ out = {{ plugin = "char-stdio"; }};
             lan = {{ {lan} }}; }};
devices = {{ log = {{ plugin = "debugcon"; backend = "out"; }};
            net0 = {{ plugin = "virtio-net"; backend = "lan"; rom = ""; }}; }};
"""


def cases_of(depth):
    """(name, guest's case without its count, frame size)"""
    return [("guest to host", f"virtio-net:write:seq:{depth}:64", 64),
            ("guest to host", f"virtio-net:write:seq:{depth}:1514", 1514),
            ("host to guest", f"virtio-net:read:seq:{depth}:64", 64),
            ("host to guest", f"virtio-net:read:seq:{depth}:1514", 1514),
            ("round trip", f"virtio-net:read:rand:{depth}:64", 64)]


class Stream:
    """A unix socket that the peer listens on."""
    name = "stream"

    def __init__(self, directory):
        self.path = self.peer = os.path.join(directory, "cable.sock")
        self.ours = f'plugin = "net-stream"; path = "{self.path}"; server = false;'
        self.qemu = f"stream,id=lan,server=off,addr.type=unix,addr.path={self.path}"

    def close(self):
        pass


class Tap:
    """An interface that nothing else of the host speaks on."""
    name = "tap"

    def __init__(self, _):
        self.interface = f"bpbench{os.getpid() % 100000}"
        self.peer = "tap:" + self.interface
        self.ours = f'plugin = "net-tap"; interface = "{self.interface}";'
        self.qemu = f"tap,id=lan,ifname={self.interface},script=no,downscript=no,vhost=off"
        self.ip("tuntap", "add", self.interface, "mode", "tap")
        with open(f"/proc/sys/net/ipv6/conf/{self.interface}/disable_ipv6", "w", encoding="ascii") as file:
            file.write("1")
        self.ip("link", "set", self.interface, "up")

    def ip(self, *arguments):
        subprocess.run(["ip", *arguments], check=True)

    def close(self):
        self.ip("link", "del", self.interface)


def backplane_command(cases, cable, directory):
    config = os.path.join(directory, "machine.cfg")
    with open(config, "w", encoding="utf-8") as file:
        file.write(DESCRIPTION.format(guest=os.path.abspath(GUEST), cases=cases, lan=cable.ours))
    return [PROGRAM, "run", config]


def qemu_command(cases, cable, _):
    return ["qemu-system-x86_64", "-M", "pc", "-accel", "kvm", "-cpu", "qemu64", "-m", "64",
            "-name", "bench,debug-threads=on", "-nodefaults", "-no-user-config", "-display", "none",
            "-kernel", GUEST, "-append", cases, "-chardev", "stdio,id=out",
            "-device", "isa-debugcon,iobase=0x402,chardev=out", "-netdev", cable.qemu,
            "-device", "virtio-net-pci,netdev=lan,romfile=,rx_queue_size=256,tx_queue_size=256"]


def run(command_of, cases, cable, directory):
    """[(seconds, CPU seconds, median and p99 of round trips in ns or None)] of each case."""
    with subprocess.Popen([PEER, cable.peer], stdout=subprocess.PIPE, text=True) as peer:
        try:
            if peer.stdout.readline() != "ready\n":
                sys.exit("net_peer does not start")
            times = run_machine(command_of(cases, cable, directory))
        finally:
            peer.kill()
        trips = [tuple(map(int, line.split()[1:])) for line in peer.stdout if line.startswith("rtt")]
    results = []
    for case, (seconds, cpu) in zip(cases.split(), times):
        results.append((seconds, cpu, trips.pop(0) if ":rand:" in case else None))
    return results


def rows_of(cable, cases, counts, runs):
    rows = []
    for i, ((name, _, size), count) in enumerate(zip(cases, counts)):
        row = {"case": f"{cable.name}: {name}, {size} bytes"}
        for machine, results in runs.items():
            mine = [result[i] for result in results]
            row[machine] = {"frames_per_s": count / statistics.median(r[0] for r in mine),
                            "cpu_us": statistics.median(r[1] for r in mine) / count * 1e6}
            row[machine]["bytes_per_s"] = row[machine]["frames_per_s"] * size
            if mine[0][2]:
                row[machine]["median_us"] = statistics.median(r[2][0] for r in mine) / 1e3
                row[machine]["p99_us"] = statistics.median(r[2][1] for r in mine) / 1e3
        rows.append(row)
    return rows


def report(rows):
    print(f"{'':34}{'frames/s':>22}{'ratio':>7}{'MB/s':>14}{'CPU us/frame':>18}{'ratio':>7}")
    print(f"{'':34}{'backplane':>12}{'qemu':>10}{'':7}{'ours':>7}{'qemu':>7}{'backplane':>11}{'qemu':>7}")
    empty = {"frames_per_s": float("nan"), "cpu_us": float("nan"), "bytes_per_s": float("nan")}
    for row in rows:
        ours, qemu = row["backplane"], row.get("qemu", empty)
        print(f"{row['case']:34}{ours['frames_per_s']:12.0f}{qemu['frames_per_s']:10.0f}"
              f"{ours['frames_per_s'] / qemu['frames_per_s']:7.2f}"
              f"{ours['bytes_per_s'] / 1e6:7.1f}{qemu['bytes_per_s'] / 1e6:7.1f}"
              f"{ours['cpu_us']:11.2f}{qemu['cpu_us']:7.2f}{ours['cpu_us'] / qemu['cpu_us']:7.2f}")
        if "median_us" in ours:
            print(f"{'  median, p99 in us':34}{ours['median_us']:7.1f} {ours['p99_us']:7.1f}"
                  f"{qemu.get('median_us', float('nan')):12.1f} {qemu.get('p99_us', float('nan')):7.1f}")


def measure(cable, arguments, directory):
    cases = cases_of(arguments.depth)
    commands = {"backplane": backplane_command}
    if shutil.which("qemu-system-x86_64"):
        commands["qemu"] = qemu_command
    first = [2000] * (len(cases) - 1) + [500]
    text = " ".join(f"{case[1]}:{n}" for case, n in zip(cases, first))
    times = run(backplane_command, text, cable, directory)
    counts = [max(n, int(n * arguments.seconds / max(t[0], 1e-4))) for n, t in zip(first, times)]
    text = " ".join(f"{case[1]}:{n}" for case, n in zip(cases, counts))
    runs = {name: [] for name in commands}
    for _ in range(arguments.runs):
        for name, command_of in commands.items():
            runs[name].append(run(command_of, text, cable, directory))
    return rows_of(cable, cases, counts, runs)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cable", action="append", choices=["stream", "tap"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--depth", type=int, default=128)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    makers = {"stream": Stream}
    if os.geteuid() == 0 and os.path.exists("/dev/net/tun"):
        makers["tap"] = Tap
    rows = []
    with tempfile.TemporaryDirectory(prefix="backplane-bench-") as directory:
        for name, make in makers.items():
            if name not in (arguments.cable or makers):
                continue
            cable = make(directory)
            try:
                rows += measure(cable, arguments, directory)
            finally:
                cable.close()
    if arguments.json:
        print(json.dumps(rows))
    else:
        report(rows)


if __name__ == "__main__":
    main()
