#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands of an IDE disk whose answer depends on what went before: SECURITY, SET MAX, the device
configuration overlay, SMART, logs, SET FEATURES, power, streams. Tables of states and commands; whatever waits
for data is reset in the middle, which must change nothing."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))
from backplane import check, run_tests  # noqa: E402
from ide import (ABRT, BSY, BUFFER, CONTROL, DMA_IN, DRDY, DRQ, DSC, EOT, ERR, IDNF, IRQ, KEY, PORT,  # noqa: E402
                 SECTORS, Disk)
from registers import equal  # noqa: E402

DONE, DATA, PAGE, NO = "is done", "takes a block", "has a block", "is refused"
UNIT_NS = 10_000_000  # of streams' limits


def answers(m, what, want, opcode, **registers):
    """One command; a block that it takes or has is given up in the middle."""
    m.issue(opcode, **registers)
    if want in (DATA, PAGE):
        m.wants(what)
        for _ in range(100):
            m.outw(PORT, 0xdead) if want == DATA else m.inw(PORT)
        m.srst()
    elif want == DONE:
        m.done(what)
    else:
        m.refused(what)


def set_password(m, text=b"user"):
    m.password(0xf1, text)
    m.done("SET PASSWORD")


# --- SECURITY ---

def unlocked(m):
    set_password(m)


def locked(m):
    set_password(m)
    m.hard_reset()


def frozen(m):
    m.issue(0xf5)
    m.done("FREEZE LOCK")


def expired(m):
    locked(m)
    for _ in range(5):
        m.password(0xf2, b"wrong")
        m.refused("UNLOCK")


SECURITY_COMMANDS = {0xf1: "SET PASSWORD", 0xf2: "UNLOCK", 0xf3: "ERASE PREPARE", 0xf4: "ERASE UNIT",
                     0xf6: "DISABLE PASSWORD", 0xf5: "FREEZE LOCK"}
# what they do in a state: in the order above; ERASE UNIT right after ERASE PREPARE
SECURITY = {
    None: (DATA, DATA, DONE, DATA, DATA, DONE),
    unlocked: (DATA, DATA, DONE, DATA, DATA, DONE),
    locked: (NO, DATA, DONE, DATA, NO, NO),
    frozen: (NO, NO, NO, NO, NO, DONE),
    expired: (NO, NO, DONE, NO, NO, NO),
}


def in_each_state(directory, table, untouched):
    """(a disk, the name of its state, what the table wants of it); untouched: the name of the state None."""
    for state, wants in table.items():
        name = state.__name__ if state else untouched
        where = os.path.join(directory, name)
        os.makedirs(where)
        with Disk(where) as m:
            if state:
                state(m)
            yield m, name, wants


def test_security_commands_in_each_state(directory):
    for m, name, wants in in_each_state(directory, SECURITY, "without a password"):
        before = m.identify()[128]
        for (opcode, command), want in zip(SECURITY_COMMANDS.items(), wants):
            if opcode == 0xf4:
                m.issue(0xf4)
                m.refused(f"{name}: ERASE UNIT without ERASE PREPARE")
                m.issue(0xf3)
                m.settle()
            answers(m, f"{name}: {command}", want, opcode)
            if opcode != 0xf5:
                equal(m.identify()[128], before, f"{name}: IDENTIFY after {command}")


def test_erasing_takes_the_right_password_and_leaves_zeroes(directory):
    with Disk(directory) as m:
        locked(m)
        for text, good in ((b"wrong", False), (b"user", True)):
            m.issue(0xf3)
            m.done("ERASE PREPARE")
            m.password(0xf4, text)
            m.done("ERASE UNIT") if good else m.refused("ERASE UNIT")
        equal(m.identify()[128] & 6, 0, "neither enabled nor locked")
        for lba in (0, 100, SECTORS - 1):
            m.issue(0x20, lba)
            equal(m.take(), bytes(512), f"sector {lba}")


# --- SET MAX ---

def max_password(m):
    m.password(0xf9, b"max", features=1)
    m.done("SET MAX SET PASSWORD")


def max_locked(m):
    max_password(m)
    m.issue(0xf9, features=2)
    m.done("SET MAX LOCK")


def max_frozen(m):
    max_password(m)
    m.issue(0xf9, features=4)
    m.done("SET MAX FREEZE LOCK")


# SET PASSWORD, LOCK, UNLOCK, FREEZE LOCK, and SET MAX ADDRESS (EXT) after READ NATIVE MAX (EXT)
SET_MAX = {
    None: (DATA, NO, NO, NO, DONE),
    max_password: (DATA, DONE, DATA, None, DONE),
    max_locked: (NO, DONE, DATA, None, NO),
    max_frozen: (NO, NO, NO, NO, NO),
}


def set_max(m, lba, ext=False, keep=0):
    m.issue(0x27 if ext else 0xf8, ext=ext)
    m.done("READ NATIVE MAX")
    m.issue(0x37 if ext else 0xf9, lba, count=keep, ext=ext)


def test_set_max_in_each_state(directory):
    for m, name, wants in in_each_state(directory, SET_MAX, "without a password"):
        for ext in (False, True):
            m.issue(0x37 if ext else 0xf9, 99, ext=ext)
            m.refused(f"{name}: SET MAX ADDRESS without READ NATIVE MAX")
            set_max(m, SECTORS - 1, ext)
            m.done(name) if wants[4] == DONE else m.refused(name)
        for features, want in zip((1, 2, 3, 4), wants):
            if want:  # the freeze ends the state
                answers(m, f"{name}: SET MAX with {features}", want, 0xf9, features=features)


def test_the_host_protected_area_hides_until_a_reset_or_for_good(directory):
    with Disk(directory) as m:
        for ext in (False, True):
            set_max(m, SECTORS, ext)
            m.refused("SET MAX ADDRESS beyond the end", IDNF)
            set_max(m, 499, ext)
            m.done("SET MAX ADDRESS")
            words = m.identify()
            equal((words[60], words[100]), (500, 500), "IDENTIFY")
            m.issue(0x20, 500)
            m.refused("READ SECTORS", IDNF)
            m.hard_reset()
            equal(m.identify()[60], SECTORS, "IDENTIFY after a reset")
        set_max(m, 499, keep=1)
        m.done("SET MAX ADDRESS to keep")
        m.hard_reset()
        equal(m.identify()[60], 500, "IDENTIFY after a reset")


# --- the overlay ---

def overlay(m, **words):
    """DEVICE CONFIGURATION SET: the structure that IDENTIFY gives with other words."""
    m.issue(0xb1, features=0xc2)
    page = bytearray(m.take()[:510] + b"\xa5")
    for word, value in words.items():
        struct.pack_into("<H", page, 2 * int(word[1:]), value)
    m.issue(0xb1, features=0xc3)
    m.give(bytes(page) + bytes([-sum(page) & 255]))


def modified(m):
    overlay(m, w3=999)
    m.done("DEVICE CONFIGURATION SET")


def protected(m):
    set_max(m, 499)
    m.done("SET MAX ADDRESS")


def overlay_frozen(m):
    m.issue(0xb1, features=0xc1)
    m.done("DEVICE CONFIGURATION FREEZE LOCK")


# IDENTIFY, SET, RESTORE; FREEZE LOCK
OVERLAY = {None: (PAGE, DATA, DONE, DONE), modified: (PAGE, NO, None, DONE), protected: (PAGE, NO, NO, DONE),
           overlay_frozen: (NO, NO, NO, NO), locked: (NO, NO, NO, NO)}


def test_the_overlay_in_each_state(directory):
    for m, name, wants in in_each_state(directory, OVERLAY, "nothing hidden"):
        before = m.identify()
        for features, want in zip((0xc2, 0xc3, 0xc0, 0xc1), wants):
            if want:
                answers(m, f"{name}: {features:x}h", want, 0xb1, features=features)
        equal(m.identify(), before, f"{name}: IDENTIFY")
        for features in set(range(256)) - {0xc0, 0xc1, 0xc2, 0xc3}:
            answers(m, f"{name}: {features:x}h", NO, 0xb1, features=features)


def test_the_overlay_hides_and_restores(directory):
    with Disk(directory) as m:
        before = m.identify()
        overlay(m, w2=0x1f)
        m.refused("the selected mode")
        equal([m.inb(PORT + i) for i in (3, 4, 5)], [0x20, 0, 2], "its place")
        overlay(m, w3=999, w7=0x0acf)  # no 48-bit addresses
        m.done("DEVICE CONFIGURATION SET")
        words = m.identify()
        equal((words[60], words[83] & 0x2400, words[100]), (1000, 0, 0), "IDENTIFY")
        for opcode in (0x24, 0x25, 0x29, 0x34, 0x35, 0x39, 0x3d, 0x42, 0xce, 0xea, 0x27, 0x37, 0x2a, 0x2b, 0x3a, 0x3b):
            m.issue(opcode, ext=True)
            m.refused(f"{opcode:02x}h")
        m.hard_reset()
        m.issue(0x20, 1000)
        m.refused("READ SECTORS behind the end", IDNF)
        m.issue(0xb1, features=0xc0)
        m.done("DEVICE CONFIGURATION RESTORE")
        equal(m.identify(), before, "IDENTIFY as before")


# --- SMART and logs ---

# subcommand: (what it does, registers)
SMART = {0xd0: (PAGE, {}), 0xd1: (PAGE, {}), 0xd2: (DONE, {"count": 0xf1}), 0xd3: (DONE, {}),
         0xd4: (DONE, {"low": 1}), 0xd5: (PAGE, {"low": 6}), 0xd6: (DATA, {"low": 0x80}), 0xd8: (DONE, {}),
         0xda: (DONE, {}), 0xdb: (DONE, {"count": 0xf1}), 0xd9: (DONE, {})}


def test_every_smart_subcommand(directory):
    with Disk(directory) as m:
        for features in range(256):
            want, registers = SMART.get(features, (NO, {}))
            if features != 0xd9:
                answers(m, f"SMART {features:x}h", want, 0xb0, features=features, **{**KEY, **registers})
            answers(m, f"SMART {features:x}h without the key", NO, 0xb0, features=features, mid=0x4e, high=0xc2)
        for features, registers in ((0xd2, {"count": 1}), (0xd4, {"low": 4}), (0xd5, {"low": 2}),
                                    (0xd5, {"low": 6, "count": 2}), (0xd5, {"low": 6, "count": 0}),
                                    (0xd6, {"low": 6})):
            answers(m, f"SMART {features:x}h with {registers}", NO, 0xb0, features=features, **{**KEY, **registers})
        answers(m, "SMART DISABLE", DONE, 0xb0, features=0xd9, **KEY)
        for features, (want, registers) in SMART.items():
            if features != 0xd8:
                answers(m, f"SMART {features:x}h while disabled", NO, 0xb0, features=features, **{**KEY, **registers})
        answers(m, "SMART ENABLE", DONE, 0xb0, features=0xd8, **KEY)
        answers(m, "SMART STATUS", DONE, 0xb0, features=0xda, **KEY)
        equal((m.inb(PORT + 4), m.inb(PORT + 5)), (0x4f, 0xc2), "no threshold is exceeded")


def read_log(m, number, count=1, first=0):
    m.issue(0x2f, low=number, mid=first, count=count, ext=True, lba=0)
    return b"".join(m.take(f"log {number:x}h") for _ in range(count))


def test_every_log_in_the_directory_is_there_and_no_other(directory):
    with Disk(directory) as m:
        sizes = struct.unpack("<256H", read_log(m, 0))
        equal({i: n for i, n in enumerate(sizes) if n and i and i < 0x80}, {3: 1, 7: 1, 0x20: 1, 0x21: 1, 0x22: 1},
              "the directory")
        for number in range(256):
            blocks = sizes[number] if number else 1
            if blocks:
                page = read_log(m, number)
                m.master(DMA_IN, [(BUFFER, EOT | 512 * blocks)])
                m.issue(0x47, low=number, mid=0, count=blocks, ext=True)
                m.done(f"log {number:x}h by DMA")
                equal(m.read(BUFFER, 512) == page, True, f"log {number:x}h by DMA")
            for opcode in (0x2f, 0x47, 0x3f, 0x57):
                answers(m, f"{opcode:x}h of more than log {number:x}h has", NO, opcode, low=number, count=blocks + 1,
                        ext=True)
                answers(m, f"{opcode:x}h behind log {number:x}h", NO, opcode, low=number, mid=blocks, ext=True)
                answers(m, f"{opcode:x}h of nothing", NO, opcode, low=number, count=0, ext=True)
            for opcode in (0x3f, 0x57) if number < 0x80 or number > 0x9f else ():
                answers(m, f"{opcode:x}h to log {number:x}h", NO, opcode, low=number, ext=True)


def test_a_log_that_was_written_is_read_back_and_outlives_a_reset(directory):
    with Disk(directory) as m:
        data = bytes(range(256)) * 4
        m.issue(0x3f, low=0x90, mid=14, count=2, ext=True)
        m.give(data[:512])
        m.give(data[512:])
        m.done("WRITE LOG EXT")
        m.issue(0x3f, low=0x90, mid=0, count=1, ext=True)
        m.wants("WRITE LOG EXT")
        m.outw(PORT, 0xdead)
        m.srst()
        m.hard_reset()
        equal(read_log(m, 0x90, 16) == bytes(14 * 512) + data, True, "the log")


# --- SET FEATURES and power ---

FEATURES = {0x02, 0x03, 0x05, 0x42, 0x43, 0x55, 0x66, 0x67, 0x69, 0x82, 0x85, 0x96, 0x9a, 0xaa, 0xc2, 0xcc}
MODES = {0, 1} | set(range(8, 13)) | {0x10, 0x11, 0x12, 0x20, 0x21, 0x22} | set(range(0x40, 0x46))


def test_set_features_takes_what_it_knows(directory):
    with Disk(directory) as m:
        for features in range(256):
            answers(m, f"SET FEATURES {features:x}h", DONE if features in FEATURES else NO, 0xef, features=features,
                    count=0x45)
        for mode in range(256):
            answers(m, f"transfer mode {mode:x}h", DONE if mode in MODES else NO, 0xef, features=3, count=mode)
        for value in (0, 0xff):
            answers(m, f"APM {value}", NO, 0xef, features=5, count=value)


def test_power_modes_by_both_sets_of_opcodes(directory):
    with Disk(directory) as m:
        for shift in (0, 1):
            standby, idle, standby_timer, idle_timer, check_mode, sleep = (
                range(0x94, 0x9a) if shift else (0xe0, 0xe1, 0xe2, 0xe3, 0xe5, 0xe6))
            for opcode, want in ((standby, 0), (idle, 0x80), (standby_timer, 0), (idle_timer, 0x80)):
                answers(m, f"{opcode:x}h", DONE, opcode, count=0)
                answers(m, f"{check_mode:x}h", DONE, check_mode)
                equal(m.inb(PORT + 2), want, f"the mode after {opcode:x}h")
            m.issue(0x20, 1)
            m.take()
            answers(m, f"{check_mode:x}h", DONE, check_mode)
            equal(m.inb(PORT + 2), 0xff, "active after a read")
            answers(m, f"{idle_timer:x}h", DONE, idle_timer, count=2)
            m.step(10_000_000_000)
            answers(m, f"{check_mode:x}h", DONE, check_mode)
            equal(m.inb(PORT + 2), 0, "standby ten seconds later")
            answers(m, f"{idle_timer:x}h", DONE, idle_timer, count=0)
            answers(m, f"{sleep:x}h", DONE, sleep)
            m.issue(0xec)
            equal(m.inb(CONTROL) & (BSY | DRQ | ERR), 0, "asleep: no answer")
            check(not m.irq(IRQ), "asleep: no interrupt")
            m.srst()
            m.identify()


# --- streams ---

CONTINUE, SE, CCTO = 0x40, 0x20, 1
STREAMS = {0x2a: "READ STREAM DMA EXT", 0x2b: "READ STREAM EXT", 0x3a: "WRITE STREAM DMA EXT",
           0x3b: "WRITE STREAM EXT"}


def stream_end(m, what, status, error, log, entries):
    m.settle()
    check(m.irq(IRQ), what + ": interrupt")
    equal(m.inb(PORT + 7), DRDY | status, what + ": status, with no deferred error in bit 4")
    equal(m.inb(PORT + 1), error, what + ": error")
    page = read_log(m, log)
    equal(page[2], entries, f"{what}: errors in log {log:x}h")
    return page


def test_streams_end_in_time_or_with_an_error(directory):
    with Disk(directory) as m:
        for opcode, name in STREAMS.items():
            log = 0x22 if opcode < 0x30 else 0x21
            for go_on in (0, CONTINUE):
                status, logged = SE if go_on else ERR, bool(go_on)
                m.issue(opcode, SECTORS, features=go_on, ext=True)
                page = stream_end(m, name + " beyond the end", status, 0 if go_on else IDNF | ABRT, log, logged)
                if go_on:
                    equal(page[0x12:0x18], bytes((DRDY | SE, IDNF | ABRT)) + struct.pack("<I", SECTORS), "the entry")
                m.issue(opcode, 7, count=2, features=1 << 8 | go_on, ext=True)  # one unit of time
                equal(m.settle() & (DRQ | DSC), DRQ, name + ": data")
                m.inb(PORT + 7)
                m.step(UNIT_NS)
                page = stream_end(m, name + " too late", status, 0 if go_on else CCTO, log, logged)
                if go_on:
                    equal(page[0x13:0x15], bytes((CCTO, 7)), "the entry")
        m.issue(0x51, features=0x05, ext=True)
        m.refused("CONFIGURE STREAM: no such stream")


if __name__ == "__main__":
    run_tests([value for name_, value in sorted(globals().items()) if name_.startswith("test_")])
