#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A guest that writes every port and every MMIO page at random: the machine may reset, never crash.

BACKPLANE_STORM_ACCESSES sets how many (two million by default)."""

import os
import select
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import Machine, check, need_kvm, run_tests  # noqa: E402

ACCESSES = int(os.environ.get("BACKPLANE_STORM_ACCESSES", "2000000"))
REPORT_EVERY = 4096  # as in storm.c
KERNEL = os.environ["BACKPLANE_STORM_ELF"]


def test_random_accesses_never_crash_the_machine(directory):
    image = os.path.join(directory, "disk.img")
    with open(image, "wb") as file:
        file.truncate(8 << 20)
    text = f"""
machine = {{ memory = "64M"; boot = {{ kernel = "{KERNEL}"; cmdline = "@LEFT@"; }}; }};
backends = {{ out = {{ plugin = "char-stdio"; }}; disk = {{ plugin = "block-file"; path = "{image}"; }};
  ram = {{ plugin = "block-ram"; size = "4M"; }}; }};
devices = {{ log = {{ plugin = "debugcon"; backend = "out"; }};
  ide0 = {{ plugin = "ide"; drives = ( {{ channel = 0; unit = 0; disk = "disk"; }},
                                       {{ channel = 1; unit = 1; disk = "ram"; }} ); }};
  com1 = {{ plugin = "serial"; }}; com2 = {{ plugin = "serial"; }}; }};
"""
    path = os.path.join(directory, "control")
    done = 0
    runs = 0
    started = time.monotonic()
    while done < ACCESSES:
        with Machine(text.replace("@LEFT@", str(ACCESSES - done)), "--paused", "--control", path,
                     directory=directory) as machine:
            with connect(machine, path) as control:
                status = storm(machine, control)
            done += machine.output.count(b".") * REPORT_EVERY
            if b"DONE" in machine.output:
                done = ACCESSES
            runs += 1
            check(status == 0, f"it died with status {status}:\n" + machine.tail())
    print(f"# {done} accesses in {time.monotonic() - started:.0f} s; "
          f"the guest found power-off or sleep {runs - 1} times")


def connect(machine, path):
    """A QMP client that hears events; the guest waits for it, or might be gone before it comes."""
    deadline = time.monotonic() + 30
    client = socket.socket(socket.AF_UNIX)
    # The name is there a moment before anyone listens.
    while client.connect_ex(path) != 0:
        if machine.process.poll() is not None:
            machine.wait_end(5)
            check(False, "it ended at once:\n" + machine.tail())
        check(time.monotonic() < deadline, "no control socket")
        time.sleep(0.01)
    client.sendall(b'{"execute": "qmp_capabilities"} {"execute": "cont"}')
    return client


def ask(control, command):
    """One QMP command; the machine must answer, whatever its guest did."""
    control.settimeout(30)
    control.sendall(b'{"execute": "' + command.encode() + b'", "id": 1}')
    reply = b""
    while b'"id"' not in reply:
        data = control.recv(65536)
        check(data, "the control connection was closed")
        reply += data
    return reply


def storm(machine, control):
    """One run: until the guest is done, or has switched itself off or put itself to sleep by chance.
    A guest may also run into the weeds: then the machine must still answer and restart it."""
    deadline = time.monotonic() + 300 + ACCESSES // 2000
    while b"DONE" not in machine.output:
        ready = select.select([control, machine.process.stdout], [], [], 20)[0]
        if control in ready:
            events = control.recv(65536)
            if not events:
                return machine.wait_end(30)
            if b"SUSPEND" in events:
                break
        elif ready:
            if not machine.read_some(deadline):
                return machine.wait_end(30)
        else:
            check(time.monotonic() < deadline, "too slow:\n" + machine.tail())
            ask(control, "query-status")
            ask(control, "system_reset")
            print("# the guest fell silent: the machine answered and restarted it")
    machine.kill(signal.SIGTERM)
    return machine.wait_end(30)


if __name__ == "__main__":
    need_kvm()
    run_tests([test_random_accesses_never_crash_the_machine])
