#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""virtio-scsi through the whole machine: 256 units on one adapter, four request queues on two loops."""

import os
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import run_tests  # noqa: E402
from registers import Qmp, TestMachine, equal  # noqa: E402
import virtio_scsi  # noqa: E402
from virtio_scsi import ANSWER, COMMAND  # noqa: E402

BLOCK = 512


def machine(directory, places, options=""):
    backends, luns = "", []
    for target, lun in places:
        name, path = f"{target}_{lun}", os.path.join(directory, f"{target}.{lun}.img")
        with open(path, "wb") as file:
            file.write(struct.pack("<II", target, lun).ljust(BLOCK, b"\x5a"))
            file.truncate(64 * BLOCK)
        backends += f'f{name} = {{ plugin = "block-file"; path = "{path}"; }};\n'
        backends += f'd{name} = {{ plugin = "scsi-disk"; backend = "f{name}"; }};\n'
        luns.append(f'{{ target = {target}; lun = {lun}; backend = "d{name}"; }}')
    m = TestMachine(f"""
machine = {{ memory = "64M"; loops = 2; }};
backends = {{ {backends} }};
devices = {{ scsi0 = {{ plugin = "virtio-scsi"; queues = 4; luns = ( {", ".join(luns)} ); {options} }}; }};
""", directory)
    m.adapter = virtio_scsi.find(m)
    return m


def read(block):
    return struct.pack(">BBIBHB", 0x28, 0, block, 0, 1, 0)


def test_256_units_answer_on_one_adapter(directory):
    places = [(target, lun) for target in range(64) for lun in range(4)]
    start = time.monotonic()
    with machine(directory, places) as m:
        print(f"# start after {time.monotonic() - start:.2f} s")
        adapter = m.adapter
        for target, lun in places:
            adapter.attend(target, lun)
            response, status, _, data = adapter.command(target, lun, read(0), length=BLOCK)
            equal((response, status), (0, 0), f"{target}.{lun}")
            equal(data[:8], struct.pack("<II", target, lun), f"data of {target}.{lun}")
        listed = adapter.command(63, 0, b"\xa0" + bytes(7) + b"\0\x40" + bytes(2), length=64)[3]
        equal(listed[:4], struct.pack(">I", 32), "length of the list")
        equal(listed[8:40], b"".join(bytes((0, lun)) + bytes(6) for lun in range(4)), "the list")


def test_four_queues_on_two_loops_write_and_read(directory):
    with machine(directory, [(0, 0), (3, 5)], "queue_loops = (0, 1);") as m:
        adapter = m.adapter
        equal(adapter.get(0x2000, 4), 4, "num_queues")
        for target, lun in ((0, 0), (3, 5)):
            adapter.attend(target, lun)
            for queue in range(2, 6):
                data = os.urandom(BLOCK)
                cdb = struct.pack(">BBIBHB", 0x2a, 0, queue, 0, 1, 0)
                equal(adapter.command(target, lun, cdb, out=data, queue=queue)[:2], (0, 0), "write")
                equal(adapter.command(target, lun, read(queue), length=BLOCK, queue=7 - queue)[3], data, "read")
                with open(os.path.join(directory, f"{target}.{lun}.img"), "rb") as file:
                    file.seek(queue * BLOCK)
                    equal(file.read(BLOCK), data, "the file holds it")


def test_a_unit_reset_is_told_to_the_next_command(directory):
    with machine(directory, [(3, 5)], 'interface = "modern";') as m:
        adapter = m.adapter
        adapter.attend(3, 5)
        m.write(COMMAND, struct.pack("<II", 0, 5) + bytes((1, 3, 0x40, 5)) + bytes(12))
        adapter.run(0, [(COMMAND, 24, 0), (ANSWER, 1, 1)])
        equal(m.read(ANSWER, 1), b"\0", "the function is complete")
        _, status, sense, _ = adapter.command(3, 5, bytes(6))
        equal((status, sense[2] & 15, sense[12:14]), (2, 6, b"\x29\x03"), "the attention")
        equal(adapter.command(3, 0, bytes(6))[2][12:14], b"\x25\0", "LUN 0 is not there")
        equal(adapter.command(4, 0, bytes(6))[0], 3, "nor is target 4")


def test_an_operator_changes_the_disc(directory):
    for name, byte in (("one", b"1"), ("two", b"2")):
        with open(os.path.join(directory, name + ".iso"), "wb") as file:
            file.write(byte * (64 * 2048))
    control = os.path.join(directory, "control")
    with TestMachine(f"""
machine = {{ memory = "64M"; }};
backends = {{ iso = {{ plugin = "block-file"; path = "{directory}/one.iso"; readonly = true; }};
             cd0 = {{ plugin = "scsi-cd"; backend = "iso"; }}; }};
devices = {{ scsi0 = {{ plugin = "virtio-scsi"; luns = ( {{ backend = "cd0"; }} ); }}; }};
""", directory, "--control", control) as m, Qmp(control) as qmp:
        adapter = virtio_scsi.find(m)
        adapter.attend(0, 0)
        equal(adapter.command(0, 0, read(0), length=2048)[3], b"1" * 2048, "the first disc")
        qmp.ask("blockdev-change-medium", id="cd0:0", filename=os.path.join(directory, "two.iso"), format="raw")
        equal(qmp.event("DEVICE_TRAY_MOVED")["tray-open"], True, "the tray opened")
        _, status, sense, _ = adapter.command(0, 0, bytes(6))
        while status == 2:
            last = sense[2] & 15, sense[12:14]
            _, status, sense, _ = adapter.command(0, 0, bytes(6))
        equal(last, (6, b"\x28\0"), "the medium may have changed")
        equal(adapter.command(0, 0, read(0), length=2048)[3], b"2" * 2048, "the second disc")
        adapter.command(0, 0, bytes((0x1e, 0, 0, 0, 1, 0)))
        qmp.fails("is locked", "eject", id="cd0:0")
        qmp.ask("eject", id="cd0:0", force=True)
        equal(adapter.command(0, 0, bytes(6))[2][12:14], b"\x3a\x02", "no medium, tray open")


if __name__ == "__main__":
    run_tests([
        test_256_units_answer_on_one_adapter,
        test_four_queues_on_two_loops_write_and_read,
        test_a_unit_reset_is_told_to_the_next_command,
        test_an_operator_changes_the_disc,
    ])
