#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scsi-iscsi against tgt: the guest's commands reach a LUN of an iSCSI target, and what it says comes back."""

import os
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import PROGRAM, check, run_tests  # noqa: E402
from registers import TestMachine, equal  # noqa: E402
from tgt import BLOCK, BLOCKS, TARGET, Tgt, is_missing  # noqa: E402
import virtio_scsi  # noqa: E402
from virtio_scsi import ANSWER, COMMAND  # noqa: E402

CONFLICT = 0x18


def description(tgt, options="", number=1):
    return f"""
machine = {{ memory = "64M"; }};
backends = {{ lun = {{ plugin = "scsi-iscsi"; portal = "127.0.0.1:{tgt.port}"; target = "{TARGET}"; lun = 1;
                     initiator = "iqn.2026-11.org.example:node{number}"; {options} }}; }};
devices = {{ scsi0 = {{ plugin = "virtio-scsi"; luns = ( {{ backend = "lun"; }} ); }}; }};
"""


class Node:
    def __init__(self, tgt, directory, options="", number=1):
        self.key = 0xa0 + number
        self.machine = TestMachine(description(tgt, options, number), tempfile.mkdtemp(dir=directory))

    def __enter__(self):
        self.machine.__enter__()
        self.adapter = virtio_scsi.find(self.machine)
        for _ in range(3):  # attentions of the target's
            if self.command(bytes(6))[1] == 0:
                break
        return self

    def __exit__(self, *arguments):
        return self.machine.__exit__(*arguments)

    def raw(self, cdb, out=b"", length=0):
        return self.adapter.command(0, 0, cdb, out=out, length=length)

    def command(self, cdb, out=b"", length=0):
        """Key and code, status, data."""
        response, status, sense, data = self.raw(cdb, out, length)
        equal(response, 0, "response")
        return (sense[2] & 15, sense[12] << 8 | sense[13]) if sense else None, status, data

    def read(self, block):
        return self.command(struct.pack(">BBIBHB", 0x28, 0, block, 0, 1, 0), length=BLOCK)

    def write(self, block, data):
        return self.command(struct.pack(">BBIBHB", 0x2a, 0, block, 0, len(data) // BLOCK, 0), out=data)

    def reserve_out(self, action, kind, key, action_key):
        return self.command(struct.pack(">BBBHIB", 0x5f, action, kind, 0, 24, 0),
                            out=struct.pack(">QQ8x", key, action_key))[1]


def test_identity_data_and_errors_are_the_targets(directory):
    with Tgt(directory) as tgt, Node(tgt, directory) as node:
        inquiry = node.command(b"\x12\0\0\0\x60\0", length=96)[2]
        equal(inquiry[8:32], b"ACME    STORE           ", "INQUIRY")
        serial = node.command(b"\x12\1\x80\0\x60\0", length=96)[2]
        check(b"S-4711" in serial, f"VPD 80: {serial}")
        name = node.command(b"\x12\1\x83\0\xff\0", length=255)[2]
        check(b"IET     00010001" in name, f"VPD 83, as tgt makes it: {name}")
        capacity = node.command(b"\x25" + bytes(9), length=8)[2]
        equal(struct.unpack(">II", capacity), (BLOCKS - 1, BLOCK), "READ CAPACITY")
        data = os.urandom(16 * BLOCK)
        equal(node.write(100, data)[:2], (None, 0), "WRITE")
        equal(node.command(b"\x35" + bytes(9))[:2], (None, 0), "SYNCHRONIZE CACHE")
        with open(tgt.image, "rb") as file:
            file.seek(100 * BLOCK)
            equal(file.read(len(data)), data, "the target's file")
        equal(node.read(107)[2], data[7 * BLOCK:8 * BLOCK], "READ")
        equal(node.read(BLOCKS)[:2], ((5, 0x2100), 2), "past the end")
        equal(node.command(b"\xff" + bytes(9))[:2], ((5, 0x2000), 2), "no such command")


def test_a_persistent_reservation_is_the_targets(directory):
    with Tgt(directory) as tgt, Node(tgt, directory, number=1) as one, Node(tgt, directory, number=2) as two:
        for node in (one, two):
            equal(node.reserve_out(0, 0, 0, node.key), 0, "REGISTER")
        equal(sorted((one.reserve_out(1, 1, one.key, 0), two.reserve_out(1, 1, two.key, 0))), [0, CONFLICT], "one wins")
        equal((one.write(5, b"1" * BLOCK)[1], two.write(5, b"2" * BLOCK)[1]), (0, CONFLICT), "and writes")
        keys = two.command(struct.pack(">BBIBHB", 0x5e, 0, 0, 0, 64, 0), length=64)[2]
        equal(sorted(struct.unpack(">QQ", keys[8:24])), [0xa1, 0xa2], "both see both keys")
        equal(two.reserve_out(4, 1, two.key, one.key), 0, "PREEMPT")
        equal(two.write(5, b"2" * BLOCK)[1], 0, "now the other one writes")


def test_a_lost_connection_is_made_again_and_told(directory):
    with Tgt(directory) as tgt, Node(tgt, directory) as node:
        node.write(9, b"9" * BLOCK)
        tgt.stop()
        time.sleep(0.2)
        tgt.start()
        # it waits for the connection, and hears that it was another one
        equal(node.read(9)[:2], ((6, 0x2907), 2), "I_T nexus loss")
        equal(node.read(9)[1:], (0, b"9" * BLOCK), "and goes on")


def test_patience_ends(directory):
    with Tgt(directory) as tgt, Node(tgt, directory, "patience = 1;") as node:
        tgt.stop()
        time.sleep(0.2)
        equal(node.raw(struct.pack(">BBIBHB", 0x28, 0, 9, 0, 1, 0), length=BLOCK)[0], 6, "transport failure")


def test_a_unit_reset_reaches_the_target(directory):
    with Tgt(directory) as tgt, Node(tgt, directory) as node:
        node.machine.write(COMMAND, struct.pack("<II", 0, 5) + bytes((1, 0, 0x40, 0)) + bytes(12))
        node.adapter.run(0, [(COMMAND, 24, 0), (ANSWER, 1, 1)])
        equal(node.machine.read(ANSWER, 1), b"\0", "the function is complete")
        sense, status, _ = node.command(bytes(6))
        equal((status, sense[0], sense[1] >> 8), (2, 6, 0x29), "the target's attention")
        equal(node.command(bytes(6))[1], 0, "once")


def refusal(directory, text):
    path = os.path.join(directory, "refused.cfg")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    done = subprocess.run([PROGRAM, "run", "--test-socket=" + path + ".test", path], capture_output=True, text=True,
                          timeout=60, check=False)
    check(done.returncode != 0, "it started")
    return done.stderr


def test_chap_by_a_file_and_header_digests(directory):
    good, bad = os.path.join(directory, "good"), os.path.join(directory, "bad")
    for path, secret in ((good, "twelve-letters-long"), (bad, "something-else-here")):
        with open(path, "w", encoding="utf-8") as file:
            file.write(secret + "\n")
    with Tgt(directory, ("guest", "twelve-letters-long")) as tgt:
        with Node(tgt, directory, f'user = "guest"; secret = "{good}"; header_digest = "crc32c";') as node:
            equal(node.write(1, b"c" * BLOCK)[1], 0, "WRITE")
            equal(node.read(1)[1:], (0, b"c" * BLOCK), "READ")
        text = refusal(directory, description(tgt, f'user = "guest"; secret = "{bad}";'))
        check("cannot log in to " + TARGET in text and "something-else" not in text, text)
        text = refusal(directory, description(tgt, 'user = "guest";'))
        check("CHAP needs user and secret" in text, text)
        text = refusal(directory, description(tgt, f'user = "guest"; secret = "{good}";').replace("lun = 1", "lun = 7"))
        check("LUN 7" in text or "cannot log in" in text, text)


def test_mutual_chap_knows_a_false_target(directory):
    secrets = {}
    for name, secret in (("ours", "twelve-letters-long"), ("theirs", "another-dozen-of-them"), ("false", "not-what-it-shows")):
        secrets[name] = os.path.join(directory, name)
        with open(secrets[name], "w", encoding="utf-8") as file:
            file.write(secret + "\n")
    options = f'user = "guest"; secret = "{secrets["ours"]}"; target_user = "host"; target_secret = "%s";'
    with Tgt(directory, ("guest", "twelve-letters-long"), ("host", "another-dozen-of-them")) as tgt:
        with Node(tgt, directory, options % secrets["theirs"]) as node:
            equal(node.write(1, b"m" * BLOCK)[1], 0, "WRITE")
        text = refusal(directory, description(tgt, options % secrets["false"]))
        check("cannot log in to " + TARGET in text, text)


if __name__ == "__main__":
    if is_missing():
        print("1..0 # SKIP no tgtd here (Debian package tgt)")
        sys.exit(0)
    run_tests([
        test_identity_data_and_errors_are_the_targets,
        test_a_persistent_reservation_is_the_targets,
        test_a_lost_connection_is_made_again_and_told,
        test_patience_ends,
        test_a_unit_reset_reaches_the_target,
        test_chap_by_a_file_and_header_digests,
        test_mutual_chap_knows_a_false_target,
    ])
