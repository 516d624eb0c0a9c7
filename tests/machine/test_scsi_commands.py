#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""virtio-scsi by registers and rings: every command of a disk with a good, a short, a long and illegal CDBs, and every
task management function on a command in every state."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from registers import TestMachine, equal  # noqa: E402
import virtio_scsi  # noqa: E402

BLOCK = 512
GOOD, CHECK, CONDITION_MET, CONFLICT = 0, 2, 4, 0x18
HANGS, WRITTEN, LATE = 10, 20, 30  # blocks; see below

# The disk is at rest but for these blocks: 10 is never read, 20 is written but never read back, 30 takes its time.
DISK = f"""
machine = {{ memory = "64M"; }};
backends = {{ plain = {{ plugin = "block-ram"; size = "64K"; }}; ram = {{ plugin = "block-ram"; size = "64K"; }};
  fault = {{ plugin = "filter-fault"; below = "ram"; rules = (
    {{ op = "read"; offset = {HANGS * BLOCK}; length = {BLOCK}; action = "hang"; }},
    {{ op = "read"; offset = {WRITTEN * BLOCK}; length = {BLOCK}; action = "hang"; }},
    {{ op = "read"; offset = {LATE * BLOCK}; length = {BLOCK}; action = "delay"; delay_ms = 50; }} ); }};
  disk = {{ plugin = "scsi-disk"; backend = "%s"; }}; }};
devices = {{ scsi0 = {{ plugin = "virtio-scsi"; queues = 4; luns = ( {{ target = 2; lun = 1; backend = "disk"; }} ); }}; }};
"""
LUN = bytes((1, 2, 0x40, 1, 0, 0, 0, 0))


def machine(directory, backend):
    m = TestMachine(DISK % backend, directory)
    m.adapter = virtio_scsi.find(m)
    return m


# --- every command -----------------------------------------------------------------------------------------------

LIST = struct.pack(">HH4xQI4x", 22, 16, 8, 1)  # of UNMAP: block 8
KEYS = struct.pack(">QQ8x", 0, 7)
OWN = struct.pack(">QQ8x", 7, 7)
RELEASE = struct.pack(">QQ8x", 7, 0)

# CDB, data out, bytes of data in, status. In an order in which each can succeed.
COMMANDS = [
    ("00 00 00 00 00 00", b"", 0, GOOD), ("03 00 00 00 12 00", b"", 18, GOOD), ("12 00 00 00 24 00", b"", 36, GOOD),
    ("1a 00 3f 00 c0 00", b"", 192, GOOD), ("15 10 00 00 04 00", bytes(4), 0, GOOD),
    ("5a 00 3f 00 00 00 00 00 c0 00", b"", 192, GOOD), ("55 10 00 00 00 00 00 00 08 00", bytes(8), 0, GOOD),
    ("1b 00 00 00 01 00", b"", 0, GOOD), ("1d 04 00 00 00 00", b"", 0, GOOD), ("1e 00 00 00 00 00", b"", 0, GOOD),
    ("25 00 00 00 00 00 00 00 00 00", b"", 8, GOOD), ("9e 10" + " 00" * 11 + " 20 00 00", b"", 32, GOOD),
    ("9e 12" + " 00" * 11 + " 20 00 00", b"", 32, GOOD), ("2b 00 00 00 00 05 00 00 00 00", b"", 0, GOOD),
    ("08 00 00 05 01 00", b"", 512, GOOD), ("28 00 00 00 00 05 00 00 01 00", b"", 512, GOOD),
    ("a8 00 00 00 00 05 00 00 00 01 00 00", b"", 512, GOOD),
    ("88 00 00 00 00 00 00 00 00 05 00 00 00 01 00 00", b"", 512, GOOD),
    ("0a 00 00 05 01 00", b"w" * 512, 0, GOOD), ("2a 00 00 00 00 05 00 00 01 00", b"w" * 512, 0, GOOD),
    ("aa 00 00 00 00 05 00 00 00 01 00 00", b"w" * 512, 0, GOOD),
    ("8a 00 00 00 00 00 00 00 00 05 00 00 00 01 00 00", b"w" * 512, 0, GOOD),
    ("2e 00 00 00 00 05 00 00 01 00", b"v" * 512, 0, GOOD),
    ("ae 00 00 00 00 05 00 00 00 01 00 00", b"v" * 512, 0, GOOD),
    ("8e 00 00 00 00 00 00 00 00 05 00 00 00 01 00 00", b"v" * 512, 0, GOOD),
    ("2f 02 00 00 00 05 00 00 01 00", b"v" * 512, 0, GOOD), ("af 00 00 00 00 05 00 00 00 01 00 00", b"", 0, GOOD),
    ("8f 00 00 00 00 00 00 00 00 05 00 00 00 01 00 00", b"", 0, GOOD),
    ("34 00 00 00 00 05 00 00 01 00", b"", 0, CONDITION_MET),
    ("90 00 00 00 00 00 00 00 00 05 00 00 00 01 00 00", b"", 0, CONDITION_MET),
    ("35 00 00 00 00 00 00 00 00 00", b"", 0, GOOD), ("91" + " 00" * 15, b"", 0, GOOD),
    ("41 00 00 00 00 06 00 00 02 00", b"s" * 512, 0, GOOD),
    ("93 00 00 00 00 00 00 00 00 06 00 00 00 02 00 00", b"s" * 512, 0, GOOD),
    ("42 00 00 00 00 00 00 00 18 00", LIST, 0, GOOD),
    ("89 00 00 00 00 00 00 00 00 05 00 00 00 01 00 00", b"v" * 512 + b"c" * 512, 0, GOOD),
    ("8b 00 00 00 00 00 00 00 00 05 00 00 00 01 00 00", b"o" * 512, 0, GOOD),
    ("4d 00 40 00 00 00 00 00 40 00", b"", 64, GOOD),
    ("a0 00 00 00 00 00 00 00 00 40 00 00", b"", 64, GOOD), ("a3 0c 00 00 00 00 00 00 02 00 00 00", b"", 512, GOOD),
    ("a3 0d 00 00 00 00 00 00 00 04 00 00", b"", 4, GOOD),
    ("16 00 00 00 00 00", b"", 0, GOOD), ("17 00 00 00 00 00", b"", 0, GOOD),
    ("56 00 00 00 00 00 00 00 00 00", b"", 0, GOOD), ("57 00 00 00 00 00 00 00 00 00", b"", 0, GOOD),
    ("5f 00 00 00 00 00 00 00 18 00", KEYS, 0, GOOD), ("5f 01 01 00 00 00 00 00 18 00", OWN, 0, GOOD),
    ("5e 00 00 00 00 00 00 00 40 00", b"", 64, GOOD), ("5e 01 00 00 00 00 00 00 40 00", b"", 64, GOOD),
    ("5e 02 00 00 00 00 00 00 40 00", b"", 64, GOOD), ("5e 03 00 00 00 00 00 00 40 00", b"", 64, GOOD),
    ("5f 02 01 00 00 00 00 00 18 00", RELEASE, 0, GOOD), ("5f 06 00 00 00 00 00 00 18 00", KEYS, 0, GOOD),
    ("5f 04 01 00 00 00 00 00 18 00", struct.pack(">QQ8x", 7, 9), 0, CONFLICT),
    ("5f 05 01 00 00 00 00 00 18 00", struct.pack(">QQ8x", 7, 9), 0, CONFLICT),
    ("5f 07 00 00 00 00 00 00 18 00", KEYS, 0, CONFLICT),
    ("5f 03 00 00 00 00 00 00 18 00", RELEASE, 0, GOOD), ("04 00 00 00 00 00", b"", 0, GOOD),
]
SERVICES = (0x5e, 0x5f, 0x9e, 0xa3)


def run(adapter, cdb, out=b"", length=0, cdb_size=32):
    """A command in a CDB field of cdb_size bytes; response, status, key and code of the sense data."""
    adapter.m.write(virtio_scsi.COMMAND, LUN + bytes(11) + cdb[:cdb_size].ljust(cdb_size, b"\0"))
    pieces = [(virtio_scsi.COMMAND, 19 + cdb_size, 0), (virtio_scsi.ANSWER, 108, 1)]
    if out:
        adapter.m.write(virtio_scsi.DATA, out)
        pieces.insert(1, (virtio_scsi.DATA, len(out), 0))
    if length:
        pieces.append((virtio_scsi.DATA, length, 1))
    adapter.run(2, pieces)
    answer = adapter.m.read(virtio_scsi.ANSWER, 108)
    return answer[11], answer[10], (answer[14] & 15, answer[24] << 8 | answer[25])


def usage(adapter, cdb):
    """CDB usage data (SPC-4 6.35.3): the bits that a CDB of this command may have."""
    service = cdb[1] if cdb[0] in SERVICES else 0
    run(adapter, bytes((0xa3, 0x0c, 3, cdb[0], 0, service, 0, 0, 0, 64, 0, 0)), length=64)
    size = struct.unpack(">H", adapter.m.read(virtio_scsi.DATA + 2, 2))[0]
    return adapter.m.read(virtio_scsi.DATA + 4, size)


def set_cdb_size(adapter, size):
    adapter.put(0x2000 + 24, 4, size)


def test_every_command_that_the_disk_lists_is_tried(directory):
    with machine(directory, "plain") as m:
        m.adapter.attend(2, 1)
        run(m.adapter, bytes.fromhex("a30c00000000000004000000"), length=1024)
        listed = m.read(virtio_scsi.DATA, 1024)
        entries = listed[4:4 + struct.unpack(">I", listed[:4])[0]]
        known = {(e[0], e[3] if e[5] & 1 else None) for e in (entries[i:i + 8] for i in range(0, len(entries), 8))}
        tried = {(c[0], c[1] if c[0] in SERVICES else None) for c in (bytes.fromhex(c[0]) for c in COMMANDS)}
        equal(tried ^ known, set(), "commands that are listed or tried, but not both")
        for opcode in set(range(256)) - {opcode for opcode, _ in known}:
            equal(run(m.adapter, bytes((opcode,)) + bytes(15)), (0, CHECK, (5, 0x2000)), f"{opcode:02x}")


def test_every_command_succeeds_in_a_good_and_a_long_cdb(directory):
    with machine(directory, "plain") as m:
        m.adapter.attend(2, 1)
        for text, out, length, status in COMMANDS:
            equal(run(m.adapter, bytes.fromhex(text), out, length)[:2], (0, status), text)
        set_cdb_size(m.adapter, 260)  # what is behind the command's own bytes means nothing
        for text, out, length, status in COMMANDS:
            cdb = bytes.fromhex(text).ljust(260, b"\xff")
            equal(run(m.adapter, cdb, out, length, 260)[:2], (0, status), f"{text} in 260 bytes")


def test_every_command_refuses_short_and_illegal_cdbs(directory):
    with machine(directory, "plain") as m:
        m.adapter.attend(2, 1)
        for text, out, length, _ in COMMANDS:
            cdb = bytes.fromhex(text)
            mask = usage(m.adapter, cdb)
            equal(len(mask), len(cdb), f"{text}: length by REPORT SUPPORTED OPERATION CODES")
            for i in range(1, len(cdb)):
                free = ~mask[i] & (0xe0 if i == 1 and cdb[0] in SERVICES else 0xff)
                if free:
                    wrong = cdb[:i] + bytes((cdb[i] | (free & -free),)) + cdb[i + 1:]
                    equal(run(m.adapter, wrong, out, length), (0, CHECK, (5, 0x2400)), f"{text}: byte {i}")
            set_cdb_size(m.adapter, len(cdb) - 1)
            equal(run(m.adapter, cdb, out, length, len(cdb) - 1), (0, CHECK, (5, 0x2400)), f"{text}: too short")
            set_cdb_size(m.adapter, 32)


def test_every_transfer_refuses_buffers_that_are_too_small(directory):
    with machine(directory, "plain") as m:
        m.adapter.attend(2, 1)
        for text, out, length, status in COMMANDS:
            cdb = bytes.fromhex(text)
            if out and status == GOOD:
                equal(run(m.adapter, cdb, out[:-1])[0], 1, f"{text}: OVERRUN of data out")
            elif length == BLOCK and cdb[0] != 0xa3:
                equal(run(m.adapter, cdb, length=length - 1)[0], 1, f"{text}: OVERRUN of data in")
            elif length and cdb[0] != 0xa3:  # the allocation length is what the buffer must have
                check(run(m.adapter, cdb, length=length - 1)[0] in (0, 1), f"{text}: a small buffer")


# --- every function in every state ---------------------------------------------------------------------------------

ABORT_TASK, ABORT_TASK_SET, CLEAR_ACA, CLEAR_TASK_SET, NEXUS_RESET, UNIT_RESET, QUERY_TASK, QUERY_TASK_SET = range(8)
COMPLETE, SUCCEEDED, REJECTED, ABORTED, RESET = 0, 10, 11, 2, 4
ABORTING = {ABORT_TASK: ABORTED, ABORT_TASK_SET: ABORTED, CLEAR_TASK_SET: ABORTED, NEXUS_RESET: RESET, UNIT_RESET: RESET}
AREA, SIZE, TAG = 0x300000, 0x4000, 0x1234
FIRST, SECOND = AREA, AREA + SIZE  # memory of two commands: header, answer, data
CONTROL = AREA + 2 * SIZE


def read_of(block):
    return struct.pack(">BBIBHB", 0x28, 0, block, 0, 1, 0), 0


def write_and_verify_of(block):
    return struct.pack(">BBIBHB", 0x2e, 0, block, 0, 1, 0), BLOCK


def offer(adapter, queue, area, command, tag, attribute=0, notify=True):
    cdb, out = command
    adapter.m.write(area, LUN + struct.pack("<QBBB", tag, attribute, 0, 0) + cdb.ljust(32, b"\0"))
    adapter.m.write(area + 0x800, b"\xee" * 108)
    header, answer = (area, 51, 0), (area + 0x800, 108, 1)
    data = (area + 0x1000, BLOCK, 0 if out else 1)
    adapter.offer(queue, [header, data, answer] if out else [header, answer, data], notify)


def function(adapter, subtype, tag):
    """Its response; time moves on until it has ended."""
    adapter.m.write(CONTROL, struct.pack("<II", 0, subtype) + LUN + struct.pack("<Q", tag))
    adapter.offer(0, [(CONTROL, 24, 0), (CONTROL + 0x100, 1, 1)])

    def has_ended():
        adapter.m.ask("clock_step 10000000")
        return adapter.used(0) == adapter.avail[0] & 0xffff

    adapter.m.wait_until(has_ended, "a function's end")
    return adapter.m.read(CONTROL + 0x100, 1)[0]


def has_ended(adapter, queue):
    return adapter.used(queue) == adapter.avail[queue] & 0xffff


def bring_about(adapter, state):
    """Queue 2 has the command, queue 3 one that holds it up."""
    if state == "offered":  # on the ring, and nobody was told
        offer(adapter, 2, FIRST, read_of(HANGS), TAG, notify=False)
    elif state == "held":  # ORDERED, behind another
        offer(adapter, 3, SECOND, read_of(HANGS), TAG + 1)
        offer(adapter, 2, FIRST, read_of(0), TAG, attribute=1)
    elif state == "in the backend":
        offer(adapter, 2, FIRST, read_of(HANGS), TAG)
    elif state == "slow":
        offer(adapter, 2, FIRST, read_of(LATE), TAG)
    elif state == "without its status":  # the data has been moved
        offer(adapter, 2, FIRST, write_and_verify_of(WRITTEN), TAG)
    elif state == "ended":
        offer(adapter, 2, FIRST, read_of(0), TAG)
        adapter.m.wait_until(lambda: has_ended(adapter, 2), "its end")


RUNNING = ("offered", "held", "in the backend", "slow", "without its status")
STATES = (*RUNNING, "ended", "never there")


def check_promise(adapter, what):
    """From the end of the function on nobody touches the command's memory."""
    adapter.m.ask(f"memset 0x{FIRST:x} 0x{SIZE:x} 0xa5")
    for _ in range(8):
        adapter.m.ask("clock_step 20000000")
        adapter.m.inb(0x70)
    equal(adapter.m.read(FIRST, SIZE), b"\xa5" * SIZE, f"{what}: its memory")


def try_function(adapter, subtype, state):
    what = f"function {subtype} on a command {state}"
    while run(adapter, bytes(6))[1] != GOOD:
        pass  # attentions of before
    bring_about(adapter, state)
    runs = state in RUNNING
    response = function(adapter, subtype, TAG)
    ended = has_ended(adapter, 2)
    if subtype in ABORTING:
        equal((response, ended), (COMPLETE, True), what)
        if runs:
            equal(adapter.m.read(FIRST + 0x800 + 11, 1)[0], ABORTING[subtype], f"{what}: its response")
        check_promise(adapter, what)
    elif subtype in (QUERY_TASK, QUERY_TASK_SET):
        equal((response, ended or state == "slow"), (SUCCEEDED if runs else COMPLETE, not runs or state == "slow"), what)
    else:
        equal(response, REJECTED, what)
    equal(function(adapter, UNIT_RESET, 0), COMPLETE, f"{what}: reset")
    check(has_ended(adapter, 2) and has_ended(adapter, 3), f"{what}: nothing is left")


def test_every_function_on_a_command_in_every_state(directory):
    with machine(directory, "fault") as m:
        m.adapter.attend(2, 1)
        for state in STATES:
            for subtype in (*range(8), 8):
                try_function(m.adapter, subtype, state)


if __name__ == "__main__":
    run_tests([
        test_every_command_that_the_disk_lists_is_tried,
        test_every_command_succeeds_in_a_good_and_a_long_cdb,
        test_every_command_refuses_short_and_illegal_cdbs,
        test_every_transfer_refuses_buffers_that_are_too_small,
        test_every_function_on_a_command_in_every_state,
    ])
