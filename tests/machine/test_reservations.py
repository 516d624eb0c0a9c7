#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Machines that share one image and keep off each other by persistent reservations: two processes."""

import os
import signal
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import PROGRAM, check, run_tests  # noqa: E402
from registers import TestMachine, equal  # noqa: E402
import virtio_scsi  # noqa: E402

BLOCK = 512
CONFLICT = 0x18
REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_ABORT = range(6)
WRITE_EXCLUSIVE, EXCLUSIVE, REGISTRANTS_ONLY = 1, 3, 5


def description(directory, initiator):
    image = os.path.join(directory, "shared.img")
    if not os.path.exists(image):
        with open(image, "wb") as file:
            file.truncate(256 * BLOCK)
    return f"""
machine = {{ memory = "64M"; }};
backends = {{ img = {{ plugin = "block-file"; path = "{image}"; lock = "off"; }};
             lun0 = {{ plugin = "scsi-disk"; backend = "img"; reservations = "{image}.pr"; }}; }};
devices = {{ scsi0 = {{ plugin = "virtio-scsi"; {initiator} luns = ( {{ backend = "lun0"; }} ); }}; }};
"""


def named(number):
    return f'initiator = "iqn.2026-11.org.example:node{number}";'


class Node:
    """A machine with the shared disk at target 0 LUN 0."""

    def __init__(self, directory, number):
        self.key = 0xa0 + number
        self.machine = TestMachine(description(directory, named(number)), tempfile.mkdtemp(dir=directory))

    def __enter__(self):
        self.machine.__enter__()
        self.adapter = virtio_scsi.find(self.machine)
        equal(self.command(bytes(6))[1], 2, "unit attention of power-on")
        return self

    def __exit__(self, *arguments):
        return self.machine.__exit__(*arguments)

    def command(self, cdb, out=b"", length=0):
        response, status, sense, data = self.adapter.command(0, 0, cdb, out=out, length=length)
        equal(response, 0, "response")
        return (sense[2] & 15, sense[12] << 8 | sense[13]) if sense else None, status, data

    def change(self, action, kind=0, key=None, action_key=0, aptpl=0):
        """PERSISTENT RESERVE OUT; the status."""
        cdb = struct.pack(">BBBHIB", 0x5f, action, kind, 0, 24, 0)
        key = self.key if key is None else key
        return self.command(cdb, out=struct.pack(">QQIBBH", key, action_key, 0, aptpl, 0, 0))[1]

    def register(self, aptpl=0):
        equal(self.change(REGISTER, key=0, action_key=self.key, aptpl=aptpl), 0, "REGISTER")

    def keys(self):
        data = self.command(struct.pack(">BBIBHB", 0x5e, 0, 0, 0, 256, 0), length=256)[2]
        generation, length = struct.unpack(">II", data[:8])
        return generation, [struct.unpack(">Q", data[at:at + 8])[0] for at in range(8, 8 + length, 8)]

    def reservation(self):
        """Key and type, or None."""
        data = self.command(struct.pack(">BBIBHB", 0x5e, 1, 0, 0, 256, 0), length=256)[2]
        if struct.unpack(">I", data[4:8])[0] == 0:
            return None
        return struct.unpack(">Q", data[8:16])[0], data[21]

    def write(self, block, byte):
        return self.command(struct.pack(">BBIBHB", 0x2a, 0, block, 0, 1, 0), out=bytes([byte]) * BLOCK)[1]

    def read(self, block):
        _, status, data = self.command(struct.pack(">BBIBHB", 0x28, 0, block, 0, 1, 0), length=BLOCK)
        return status, data

    def attention(self, code):
        sense, status, _ = self.command(bytes(6))
        equal((status, sense), (2, (6, code)), "unit attention")


def content(directory, block):
    with open(os.path.join(directory, "shared.img"), "rb") as file:
        file.seek(block * BLOCK)
        return file.read(1)


def test_two_machines_fight_and_exactly_one_wins(directory):
    with Node(directory, 1) as one, Node(directory, 2) as two:
        one.register()
        two.register()
        equal(one.keys(), (2, [0xa1, 0xa2]), "both see both")
        equal(sorted((one.change(RESERVE, WRITE_EXCLUSIVE), two.change(RESERVE, WRITE_EXCLUSIVE))), [0, CONFLICT],
              "one reserves")
        equal(one.reservation(), (0xa1, WRITE_EXCLUSIVE), "the holder")
        equal(two.reservation(), one.reservation(), "as the other sees it")
        equal((one.write(7, 0x11), two.write(7, 0x22)), (0, CONFLICT), "one writes")
        equal(content(directory, 7), b"\x11", "the image has what the winner wrote")
        equal(two.read(7), (0, b"\x11" * BLOCK), "the loser may read")

        equal(two.change(PREEMPT_ABORT, EXCLUSIVE, action_key=0xa1), 0, "the other takes over")
        one.attention(0x2a05)
        equal((one.write(7, 0x33), two.write(7, 0x44)), (CONFLICT, 0), "now the other writes")
        equal(one.read(7)[0], CONFLICT, "and alone may read")
        equal(content(directory, 7), b"\x44", "what the image has")
        equal(one.keys()[1], [0xa2], "the loser has lost its registration, too")
        equal(one.change(RESERVE, EXCLUSIVE), CONFLICT, "and cannot reserve")


def settle(*nodes):
    """Takes the attentions of what has been done."""
    for node in nodes:
        while node.command(bytes(6))[1] == 2:
            pass


# Type: whether another registrant, and whether a stranger, may write and read (SPC-4 table 64).
TYPES = {1: ((0, 1), (0, 1)), 3: ((0, 0), (0, 0)), 5: ((1, 1), (0, 1)), 6: ((1, 1), (0, 0)), 7: ((1, 1), (0, 1)),
         8: ((1, 1), (0, 0))}


def test_each_type_holds_across_machines(directory):
    with Node(directory, 1) as one, Node(directory, 2) as two, Node(directory, 3) as three:
        for kind, (registrant, stranger) in TYPES.items():
            one.register()
            two.register()
            equal(one.change(RESERVE, kind), 0, f"type {kind}: RESERVE")
            equal(two.change(RESERVE, kind), 0 if kind >= 7 else CONFLICT, f"type {kind}: of the other one")
            equal(three.change(RESERVE, kind), CONFLICT, f"type {kind}: of a stranger")
            equal((one.write(3, kind), one.read(3)[0]), (0, 0), f"type {kind}: the holder")
            for node, (writes, reads) in ((two, registrant), (three, stranger)):
                equal((node.write(4, kind), node.read(4)[0]), (0 if writes else CONFLICT, 0 if reads else CONFLICT),
                      f"type {kind}: node {node.key - 0xa0} writes and reads")
            equal(one.change(CLEAR), 0, f"type {kind}: CLEAR")
            settle(one, two, three)


def test_each_type_outlives_power_with_aptpl(directory):
    for kind in TYPES:
        with Node(directory, 1) as one:
            one.register(aptpl=1)
            equal(one.change(RESERVE, kind), 0, f"type {kind}: RESERVE")
        with Node(directory, 2) as two:
            equal(two.reservation(), (0 if kind >= 7 else 0xa1, kind), f"type {kind} after power-on")
            equal(two.write(5, kind), CONFLICT, f"type {kind}: a stranger writes")
        with Node(directory, 1) as one:
            equal(one.write(5, kind), 0, f"type {kind}: its holder is back")
            equal(one.change(CLEAR), 0, f"type {kind}: CLEAR")


def test_registrants_hear_of_release_and_clear(directory):
    with Node(directory, 1) as one, Node(directory, 2) as two:
        one.register()
        two.register()
        equal(one.change(RESERVE, REGISTRANTS_ONLY), 0, "RESERVE")
        equal((one.write(1, 1), two.write(2, 2)), (0, 0), "both write")
        equal(one.change(RELEASE, REGISTRANTS_ONLY), 0, "RELEASE")
        two.attention(0x2a04)
        equal(two.change(CLEAR), 0, "CLEAR")
        one.attention(0x2a03)
        equal(one.keys()[1], [], "nobody is left")
        equal(two.command(bytes((0x16, 0, 0, 0, 0, 0)))[:2], ((5, 0x2000), 2), "there is no RESERVE beside it")


def test_aptpl_outlives_both_machines(directory):
    with Node(directory, 1) as one, Node(directory, 2) as two:
        one.register(aptpl=1)
        two.register(aptpl=1)
        equal(one.change(RESERVE, WRITE_EXCLUSIVE), 0, "RESERVE")
    with Node(directory, 2) as two:
        equal(two.keys(), (0, [0xa1, 0xa2]), "after power-on: generation 0, the same keys")
        equal(two.write(3, 3), CONFLICT, "the reservation has stayed")
        with Node(directory, 1) as one:
            equal(one.write(3, 0x77), 0, "the holder has come back")
            equal(one.change(REGISTER, action_key=0xa1, aptpl=0), 0, "without APTPL")
        equal(two.reservation(), (0xa1, WRITE_EXCLUSIVE), "the unit has had power all the time")
    with Node(directory, 2) as two:
        equal(two.keys(), (0, []), "without APTPL nothing is left")
        equal(two.write(3, 4), 0, "anybody writes")


def test_a_machine_that_is_killed_holds_nothing_up(directory):
    with Node(directory, 2) as two:
        one = Node(directory, 1).__enter__()
        one.register()
        two.register()
        equal(one.change(RESERVE, EXCLUSIVE), 0, "RESERVE")
        one.machine.process.send_signal(signal.SIGKILL)
        one.machine.process.wait()
        equal(two.write(5, 5), CONFLICT, "its reservation stays: it may only be slow")
        equal(two.change(PREEMPT, EXCLUSIVE, action_key=0xa1), 0, "PREEMPT")
        equal(two.write(5, 5), 0, "until somebody decides")


def refusal(directory, initiator):
    """What a machine says that cannot start."""
    path = os.path.join(directory, "refused.cfg")
    with open(path, "w", encoding="utf-8") as file:
        file.write(description(directory, initiator))
    done = subprocess.run([PROGRAM, "run", "--test-socket=" + path + ".test", path], capture_output=True, text=True,
                          timeout=30, check=False)
    check(done.returncode != 0, "it started")
    return done.stderr


def test_each_machine_needs_a_name_of_its_own(directory):
    with Node(directory, 1):
        check("uses the same initiator name" in refusal(directory, named(1)), "a name that is taken")
    check("give the adapter a name" in refusal(directory, ""), "no name")
    check("iSCSI name" in refusal(directory, 'initiator = "me";'), "no iSCSI name")


if __name__ == "__main__":
    run_tests([
        test_two_machines_fight_and_exactly_one_wins,
        test_each_type_holds_across_machines,
        test_each_type_outlives_power_with_aptpl,
        test_registrants_hear_of_release_and_clear,
        test_aptpl_outlives_both_machines,
        test_a_machine_that_is_killed_holds_nothing_up,
        test_each_machine_needs_a_name_of_its_own,
    ])
