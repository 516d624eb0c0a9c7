#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The virtio transport and rings over the test protocol, as virtio-blk shows them: each feature bit, the
registers' rules, event suppression, and every malformed ring. Virtio 1.2; comments name its sections."""

import os
import struct
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))
from backplane import check, run_tests  # noqa: E402
from registers import Qmp, equal  # noqa: E402
from test_virtio_blk import (DATA, FLUSH, GET_ID, HEADER, IN, OUT, RING_RESET, SECTOR, SIZE, STATUS, VERSION_1, Disk,  # noqa: E402
                             machine, slot_irq)

RO, BLK_SIZE, FLUSH_BIT, TOPOLOGY, WCE, MQ = 1 << 5, 1 << 6, 1 << 9, 1 << 10, 1 << 11, 1 << 12
SIZE_MAX, SEG_MAX, GEOMETRY, DISCARD, ZEROES, ERASE = 1 << 1, 1 << 2, 1 << 4, 1 << 13, 1 << 14, 1 << 16
ON_EMPTY, ANY_LAYOUT, INDIRECT, EVENT_IDX = 1 << 24, 1 << 27, 1 << 28, 1 << 29
PACKED, IN_ORDER = 1 << 34, 1 << 35
NEXT, WRITE, TABLE = 1, 2, 4
T_LIFETIME, T_DISCARD, T_ZEROES, T_ERASE = 10, 11, 13, 14
LIFETIME = 1 << 15
ALWAYS = SEG_MAX | GEOMETRY | BLK_SIZE | FLUSH_BIT | TOPOLOGY | WCE | DISCARD | ZEROES | INDIRECT | EVENT_IDX
MODERN = ALWAYS | VERSION_1 | RING_RESET
RAM_END = 64 << 20
TABLES = 0x190000


def bits(value):
    return [bit for bit in range(64) if value >> bit & 1]


def test_each_option_shows_in_its_feature_bit(directory):
    for options, features in (
            ("", MODERN), ("readonly = true;", (MODERN | RO) & ~(WCE | DISCARD | ZEROES)),
            ("queues = 2;", MODERN | MQ), ("size_max = 65536;", MODERN | SIZE_MAX),
            ("secure_erase = true;", MODERN | ERASE), ("discard = false;", MODERN & ~DISCARD),
            ("write_zeroes = false;", MODERN & ~ZEROES), ("config_wce = false;", MODERN & ~WCE),
            ("indirect = false;", MODERN & ~INDIRECT), ("event_idx = false;", MODERN & ~EVENT_IDX),
            ("ring_reset = false;", MODERN & ~RING_RESET), ("packed = true;", MODERN | PACKED),
            ("in_order = true;", MODERN | IN_ORDER)):
        path = tempfile.mkdtemp(dir=directory)
        with machine(path, options=options) as m:
            disk = Disk(m, m.disks[0], 0)
            equal(bits(disk.offered() & ~(DISCARD | ZEROES)), bits(features & ~(DISCARD | ZEROES)), options)
            if "readonly" not in options:
                equal(bits(disk.offered() & (DISCARD | ZEROES)), bits(features & (DISCARD | ZEROES)), options)
            disk.mmio_write(0, 4, 2)
            equal(disk.mmio_read(4, 4), 0, "there are no bits from 64 on")
            legacy = m.inl(disk.io)
            equal(bits(legacy & (ON_EMPTY | ANY_LAYOUT)), bits(ON_EMPTY | ANY_LAYOUT), "legacy only")
            equal(bits(legacy & (1 << 0 | 1 << 7 | ERASE)), [], "barrier, SCSI and erase are no legacy bits")


def test_features_that_were_not_offered_or_lack_version_1_are_refused(directory):
    with machine(directory) as m:
        disk = Disk(m, m.disks[0], 0)
        for features in (VERSION_1 | PACKED, VERSION_1 | 1 << 50, FLUSH_BIT, VERSION_1 | RO):
            disk.mmio_write(0x14, 1, 0)
            disk.mmio_write(0x14, 1, 3)
            for select in (0, 1):
                disk.mmio_write(8, 4, select)
                disk.mmio_write(12, 4, features >> 32 * select & 0xffffffff)
                equal(disk.mmio_read(12, 4), features >> 32 * select & 0xffffffff, "as written")
            disk.mmio_write(0x14, 1, 11)
            equal(disk.mmio_read(0x14, 1), 3, f"FEATURES_OK with {bits(features)}")
        disk.start_modern()
        disk.mmio_write(8, 4, 0)
        disk.mmio_write(12, 4, 0xffffffff)
        equal(disk.mmio_read(12, 4), 0, "settled features stay")
        disk.mmio_write(0x14, 1, 0x8f)
        equal(disk.mmio_read(0x14, 1), 0x8f, "FAILED is the driver's to set")
        disk.mmio_write(0x14, 1, 0)
        equal(disk.mmio_read(0x14, 1), 0, "and a reset clears it")


def test_registers_of_queues_that_are_not_there(directory):
    with machine(directory, options="queues = 2; queue_size = 128;") as m:
        disk = Disk(m, m.disks[0], 0)
        equal(disk.mmio_read(0x12, 2), 2, "queues")
        for queue, size in ((0, 128), (1, 128), (2, 0), (0xffff, 0)):
            disk.mmio_write(0x16, 2, queue)
            equal((disk.mmio_read(0x16, 2), disk.mmio_read(0x18, 2)), (queue, size), f"queue {queue}")
            m.outw(disk.io + 14, queue)
            equal(m.inw(disk.io + 12), size, f"legacy queue {queue}")
        disk.mmio_write(0x16, 2, 2)
        for offset, width in ((0x18, 2), (0x1a, 2), (0x1c, 2), (0x20, 4), (0x24, 4), (0x3a, 2)):
            disk.mmio_write(offset, width, 1)
        equal([disk.mmio_read(offset, 2) for offset in (0x18, 0x1a, 0x1c, 0x20)], [0, 0xffff, 0, 0], "nothing stays")
        disk.mmio_write(0x16, 2, 0)
        for size in (0, 3, 100, 129, 256, 0xffff):
            disk.mmio_write(0x18, 2, size)
            equal(disk.mmio_read(0x18, 2), 128, f"a size of {size} is not taken")
        disk.mmio_write(0x18, 2, 2)
        equal(disk.mmio_read(0x18, 2), 2, "the smallest")
        m.ask(f"writew 0x{disk.mmio + 0x3000 + 4 * 2:x} 2")  # the bell of no queue
        m.outw(disk.io + 16, 7)
        disk.start_modern()
        equal(disk.request(IN, 0, length=512)[0], 0, "read")


def test_the_capabilities_say_where_things_are(directory):
    with machine(directory, options="queues = 3;") as m:
        disk = Disk(m, m.disks[0], 0)
        found = {}
        for (kind, virtio), at in disk.caps.items():
            if kind == 9:
                length = m.config_read(disk.devfn, at + 2, 1)
                check(length >= (20 if virtio in (2, 5) else 16), f"cap_len of {virtio}")
                found[virtio] = (m.config_read(disk.devfn, at + 4, 1), m.config_read(disk.devfn, at + 8),
                                 m.config_read(disk.devfn, at + 12))
        equal(sorted(found), [1, 2, 3, 4, 5], "all five (4.1.4)")
        size, _ = m.bar_size(disk.devfn, 0x14)
        for virtio in (1, 2, 3, 4):
            bar, offset, length = found[virtio]
            check(bar == 1 and offset % 4 == 0 and offset + length <= size, f"structure {virtio} is inside its BAR")
        check(found[1][2] >= 56 and found[4][2] >= 60, "long enough for every field")
        equal(m.config_read(disk.devfn, disk.caps[9, 2] + 16), 4, "notify_off_multiplier")
        for queue in range(3):
            disk.mmio_write(0x16, 2, queue)
            check(disk.mmio_read(0x1e, 2) * 4 + 2 <= found[2][2], "each queue's bell is inside (4.1.4.4.1)")


def test_a_vector_that_is_not_there_reads_as_none(directory):
    with machine(directory) as m:
        disk = Disk(m, m.disks[0], 0)
        for vector, reads in ((0, 0), (1, 1), (2, 0xffff), (0x7ff, 0xffff), (0xffff, 0xffff)):
            for offset in (0x10, 0x1a):
                disk.mmio_write(offset, 2, vector)
                equal(disk.mmio_read(offset, 2), reads, f"vector {vector}")
        m.config_write(disk.devfn, disk.caps[0x11, 0] + 2, 0x8000, 2)
        disk.start_modern()
        equal(disk.request(IN, 0, length=512)[0], 0, "read without a vector")
        equal(disk.mmio_read(0x1000, 1), 0, "no ISR while MSI-X is on")
        check(not m.irq(slot_irq(disk.devfn >> 3)), "nor INTx")


def test_isr_and_generation_follow_a_resize(directory):
    with machine(directory) as m, Qmp(os.path.join(directory, "qmp")) as qmp:
        disk = Disk(m, m.disks[0], 0)
        disk.start_modern()
        before = disk.mmio_read(0x15, 1)
        irq = slot_irq(disk.devfn >> 3)
        qmp.ask("block_resize", **{"node-name": "d0", "size": 3 * SIZE})
        m.wait_until(lambda: m.inb(disk.io + 0x12) and m.irq(irq), "the interrupt")
        check(disk.mmio_read(0x15, 1) != before, "the generation changed (4.1.4.3.1)")
        equal([disk.mmio_read(0x1000, 1) for _ in range(2)], [2, 0], "ISR: configuration; read to clear")
        check(not m.irq(irq), "the line falls")
        equal(disk.mmio_read(0x2000, 4) | disk.mmio_read(0x2004, 4) << 32, 3 * SIZE // SECTOR, "capacity")
        disk.request(IN, 0, length=512)
        equal(disk.mmio_read(0x1000, 1), 1, "ISR: queue")
        disk.mmio_write(0x14, 1, 0)
        qmp.ask("block_resize", **{"node-name": "d0", "size": 2 * SIZE})
        m.wait_until(lambda: disk.mmio_read(0x2000, 4) == 2 * SIZE // SECTOR, "capacity")
        check(not m.irq(irq), "nobody is told before DRIVER_OK (2.1.2)")


def test_the_write_cache_follows_its_field(directory):
    with machine(directory) as m:
        disk = Disk(m, m.disks[0], 0)
        disk.start_modern(VERSION_1 | WCE | FLUSH_BIT)
        equal(disk.mmio_read(0x2020, 1), 1, "write back")
        disk.mmio_write(0x2020, 1, 0)
        equal(disk.mmio_read(0x2020, 1), 0, "write through")
        equal(disk.request(OUT, 5, bytes(512))[0], 0, "a stable write")
        disk.mmio_write(0x2000, 4, 77)
        equal(disk.mmio_read(0x2000, 4), SIZE // SECTOR, "the capacity is not the driver's")


def table(entries):
    return b"".join(struct.pack("<QIHH", *entry) for entry in entries)


def test_an_indirect_table_is_a_request(directory):
    with machine(directory) as m:
        disk = Disk(m, m.disks[0], 0)
        disk.start_modern(VERSION_1 | INDIRECT)
        for at in (TABLES, TABLES + 3):  # a table may lie anywhere (2.7.5.3)
            m.write(HEADER, struct.pack("<IIQ", IN, 0, 9))
            m.write(at, table([(HEADER, 16, NEXT, 1), (DATA, 512, NEXT | WRITE, 2), (STATUS, 1, WRITE, 0)]))
            m.write(disk.places[0], table([(at, 48, TABLE, 0)]))
            offer(m, disk, 0)
            m.wait_until(lambda: disk.used_index() == disk.avail, "a used entry")
            equal(m.read(DATA, 512), m.data[0][9 * SECTOR:10 * SECTOR], "read")
            equal(struct.unpack("<II", m.read(disk.places[2] + 4 + 8 * ((disk.avail - 1) % 64), 8)), (0, 513), "used")


def offer(m, disk, head, ring=True):
    m.write(disk.places[1] + 4 + 2 * (disk.avail % disk.size), struct.pack("<H", head))
    disk.avail = (disk.avail + 1) & 0xffff
    m.write(disk.places[1] + 2, struct.pack("<H", disk.avail))
    if ring:
        disk.notify()


def test_event_indices_hold_back_interrupts_and_notifications(directory):
    with machine(directory) as m:
        disk = Disk(m, m.disks[0], 0)
        disk.start_modern(VERSION_1 | EVENT_IDX)
        used_event, avail_event = disk.places[1] + 4 + 2 * disk.size, disk.places[2] + 4 + 8 * disk.size
        for done in range(1, 4):
            m.write(used_event, struct.pack("<H", 3))
            disk.request(IN, 0, length=512)
            equal(disk.mmio_read(0x1000, 1), 0, f"no interrupt after {done}")
            equal(struct.unpack("<H", m.read(avail_event, 2))[0], done, "tell me of the next one (2.7.10)")
        disk.request(IN, 0, length=512)
        equal(disk.mmio_read(0x1000, 1), 1, "index 3 is passed")
        for _ in range(70):  # round the ring
            m.write(used_event, struct.pack("<H", (disk.avail + 100) & 0xffff))
            disk.request(IN, 0, length=512)
        equal(disk.mmio_read(0x1000, 1), 0, "nor while the index is ahead")
        disk.start_modern()
        m.write(disk.places[1], b"\1\0")
        disk.request(IN, 0, length=512)
        equal(disk.mmio_read(0x1000, 1), 0, "without them: a flag (2.7.7)")
        equal(m.read(disk.places[2], 2), b"\0\0", "and the device wants to be notified")


def test_a_packed_ring_goes_round(directory):
    with machine(directory, options="packed = true;") as m:
        disk = Disk(m, m.disks[0], 0)
        disk.start_modern(VERSION_1 | PACKED)
        equal(disk.mmio_read(0x18, 2), 64, "size")
        at, wrap = 0, 1
        for sector in range(50):
            m.write(HEADER, struct.pack("<IIQ", IN, 0, sector))
            chain = [(HEADER, 16, NEXT), (DATA, 512, NEXT | WRITE), (STATUS, 1, WRITE)]
            first = at
            for k, (gpa, length, flags) in reversed(list(enumerate(chain))):
                place, w = (at + k) % 64, wrap ^ (at + k >= 64)
                m.write(disk.places[0] + 16 * place, struct.pack("<QIHH", gpa, length, 7, flags | (0x80 if w else 0x8000)))
            used_flags = 0x8080 if wrap else 0
            wrap ^= at + 3 >= 64
            at = (at + 3) % 64
            disk.notify()
            m.wait_until(lambda: struct.unpack("<H", m.read(disk.places[0] + 16 * first + 14, 2))[0] & 0x8080 == used_flags,
                         "a used descriptor")
            equal(struct.unpack("<IH", m.read(disk.places[0] + 16 * first + 8, 6)), (513, 7), "length and id")
            equal(m.read(DATA, 512), m.data[0][sector * SECTOR:(sector + 1) * SECTOR], "read")


def test_a_queue_is_reset_alone_and_starts_again(directory):
    with machine(directory, options="queues = 2;") as m:
        disk = Disk(m, m.disks[0], 0)
        disk.start_modern(VERSION_1 | RING_RESET | MQ)
        disk.request(IN, 0, length=512)
        disk.mmio_write(0x3a, 2, 1)
        m.wait_until(lambda: disk.mmio_read(0x3a, 2) == 0, "the end of the reset (2.6.1)")
        equal((disk.mmio_read(0x1c, 2), disk.mmio_read(0x14, 1)), (0, 15), "not enabled; the device goes on")
        disk.clear_ring()
        disk.mmio_write(0x18, 2, 32)
        disk.size = 32
        for i, place in enumerate(disk.places):
            disk.mmio_write(0x20 + 8 * i, 4, place)
        disk.mmio_write(0x1c, 2, 1)
        equal(disk.request(IN, 3, length=512), (0, m.data[0][3 * SECTOR:4 * SECTOR]), "read")


def test_a_legacy_driver_hears_of_an_empty_ring_if_it_wants_to(directory):
    with machine(directory) as m:
        disk = Disk(m, m.disks[0], 0)
        for without, interrupts in ((EVENT_IDX, 1), (EVENT_IDX | ON_EMPTY, 0)):
            disk.legacy(without)
            m.write(disk.places[1], b"\1\0")
            disk.request(IN, 0, length=512)
            equal(m.inb(disk.io + 0x13), interrupts, "interrupts in spite of the flag (virtio 0.9.5, 2.4)")


def test_a_legacy_ring_of_event_indices(directory):
    with machine(directory) as m:
        disk = Disk(m, m.disks[0], 0)
        disk.legacy(0)
        used_event = disk.places[1] + 4 + 2 * disk.size
        for index in range(5):
            m.write(used_event, struct.pack("<H", 3))
            disk.request(IN, index, length=512)
            equal(m.inb(disk.io + 0x13), index == 3, f"interrupt of {index}")


GOOD = [(HEADER, 16, NEXT, 1), (DATA, 512, NEXT | WRITE, 2), (STATUS, 1, WRITE, 0)]
# what is wrong: descriptors, head
BROKEN_CHAINS = {
    "a head outside the table": (GOOD, 64),
    "a next outside the table": ([(HEADER, 16, NEXT, 64)], 0),
    "a circle": ([(HEADER, 16, NEXT, 1), (HEADER, 16, NEXT, 0)], 0),
    "a descriptor that is its own next": ([(HEADER, 16, NEXT, 0)], 0),
    "a buffer beyond RAM": ([(RAM_END, 16, NEXT, 1), *GOOD[1:]], 0),
    "a buffer over the end of RAM": ([GOOD[0], (RAM_END - 256, 512, NEXT | WRITE, 2), GOOD[2]], 0),
    "a buffer round the end of addresses": ([GOOD[0], ((1 << 64) - 256, 512, NEXT | WRITE, 2), GOOD[2]], 0),
    "a buffer of four gigabytes": ([GOOD[0], (DATA, 0xffffffff, NEXT | WRITE, 2), GOOD[2]], 0),
    "memory of a device": ([(0xfee00000, 16, NEXT, 1), *GOOD[1:]], 0),
    "something to read after something to write": ([GOOD[0], (STATUS, 1, NEXT | WRITE, 2), (DATA, 512, 0, 0)], 0),
    "no place for the status": ([(HEADER, 16, NEXT, 1), (DATA, 512, 0, 0)], 0),
    "half a header": ([(HEADER, 15, NEXT, 1), *GOOD[1:]], 0),
    "no header": ([(STATUS, 1, WRITE, 0)], 0),
    "an indirect descriptor with a next one": ([(TABLES, 48, TABLE | NEXT, 1), *GOOD[1:]], 0),
    "a table of no entries": ([(TABLES, 0, TABLE, 0)], 0),
    "half an entry": ([(TABLES, 40, TABLE, 0)], 0),
    "a table beyond RAM": ([(RAM_END, 48, TABLE, 0)], 0),
    "a table in a table": ([(TABLES + 64, 16, TABLE, 0)], 0),
    "a next outside an indirect table": ([(TABLES + 128, 32, TABLE, 0)], 0),
}


def test_each_broken_chain_needs_a_reset_and_nothing_else(directory):
    with machine(directory) as m:
        disk = Disk(m, m.disks[0], 0)
        for what, (entries, head) in BROKEN_CHAINS.items():
            disk.start_modern(VERSION_1 | INDIRECT)
            m.write(TABLES, table(GOOD))
            m.write(TABLES + 64, table([(TABLES, 48, TABLE, 0)]))
            m.write(TABLES + 128, table([(HEADER, 16, NEXT, 2), GOOD[2], GOOD[2]]))
            m.write(disk.places[0], table(entries))
            offer(m, disk, head)
            m.wait_until(lambda: disk.mmio_read(0x14, 1) == 15 | 64, "NEEDS_RESET after " + what)
            if what not in ("no place for the status", "half a header", "no header"):  # no ring is broken by these
                equal(disk.used_index(), 0, "nothing is used after " + what)
            check(disk.mmio_read(0x1000, 1) & 2, "a configuration interrupt tells (2.1.2)")
            disk.mmio_write(0x14, 1, 15)
            equal(disk.mmio_read(0x14, 1), 15 | 64, "the driver does not clear it")
        disk.start_modern()
        m.write(TABLES, table(GOOD))
        m.write(disk.places[0], table([(TABLES, 48, TABLE, 0)]))
        offer(m, disk, 0)
        m.wait_until(lambda: disk.mmio_read(0x14, 1) & 64, "indirect descriptors that were not negotiated")
        disk.start_modern()
        equal(disk.request(IN, 1, length=512), (0, m.data[0][SECTOR:2 * SECTOR]), "read")


def test_each_broken_packed_chain_needs_a_reset(directory):
    with machine(directory, options="packed = true;") as m:
        disk = Disk(m, m.disks[0], 0)
        broken = {
            "a circle": [(HEADER, 16, 0, NEXT | 0x80)] * 64,
            "an indirect descriptor in a chain": [(HEADER, 16, 0, NEXT | 0x80), (TABLES, 48, 0, TABLE | 0x80)],
            "an indirect descriptor with a next one": [(TABLES, 48, 0, TABLE | NEXT | 0x80)],
            "a buffer beyond RAM": [(RAM_END, 16, 0, 0x80)],
            "a table in a table": [(TABLES + 64, 16, 0, TABLE | 0x80)],
            "no place for the status": [(HEADER, 16, 0, 0x80)],
        }
        for what, entries in broken.items():
            disk.start_modern(VERSION_1 | PACKED | INDIRECT)
            m.write(TABLES, table([(HEADER, 16, 0, 0), (DATA, 512, 0, WRITE), (STATUS, 1, 0, WRITE)]))
            m.write(TABLES + 64, table([(TABLES, 48, 0, TABLE)]))
            m.write(disk.places[0], table(entries))
            disk.notify()
            if "in a table" in what:  # only WRITE means something there (2.8.7): no status byte
                what = "a table whose entries are all to be read"
            m.wait_until(lambda: disk.mmio_read(0x14, 1) == 15 | 64, "NEEDS_RESET after " + what)


def test_each_broken_ring_needs_a_reset(directory):
    with machine(directory) as m:
        disk = Disk(m, m.disks[0], 0)
        good = (disk.ring, disk.ring + 0x1000, disk.ring + 0x2000)
        for what, part, value in (
                ("a table that is not aligned", 0, good[0] + 8), ("an available ring that is not", 1, good[1] + 1),
                ("a used ring that is not", 2, good[2] + 2), ("a table beyond RAM", 0, RAM_END),
                ("an available ring over the end of RAM", 1, RAM_END - 64), ("a used ring beyond RAM", 2, RAM_END),
                ("a used ring in ROM", 2, 0xfffff000), ("no table above 4 GiB", 0, 1 << 40)):
            disk.start_modern()
            disk.mmio_write(0x14, 1, 0)
            disk.mmio_write(0x14, 1, 3)
            disk.mmio_write(8, 4, 1)
            disk.mmio_write(12, 4, 1)
            disk.mmio_write(0x14, 1, 11)
            disk.mmio_write(0x16, 2, 0)
            disk.mmio_write(0x18, 2, 64)
            for i, place in enumerate(good):
                place = value if i == part else place
                disk.mmio_write(0x20 + 8 * i, 4, place & 0xffffffff)
                disk.mmio_write(0x24 + 8 * i, 4, place >> 32)
            disk.mmio_write(0x1c, 2, 1)
            disk.mmio_write(0x14, 1, 15)
            m.wait_until(lambda: disk.mmio_read(0x14, 1) == 15 | 64, "NEEDS_RESET after " + what)
        disk.start_modern()
        m.write(disk.places[1] + 2, struct.pack("<H", 65))
        disk.notify()
        m.wait_until(lambda: disk.mmio_read(0x14, 1) & 64, "more entries than the ring has")
        disk.start_modern()
        equal(disk.request(GET_ID, length=20)[0], 0, "the next driver is served")


def test_a_broken_legacy_ring_stands_still_until_a_reset(directory):
    with machine(directory, options='interface = "legacy";') as m:
        disk = Disk(m, m.disks[0], 0)
        disk.legacy()
        m.write(disk.places[0], table([(HEADER, 16, NEXT, 0)]))
        offer(m, disk, 0)
        for _ in range(5):
            equal((m.inb(disk.io + 0x12), disk.used_index()), (7, 0), "a bit that legacy drivers do not know stays clear")
        disk.legacy()
        equal(disk.request(IN, 2, length=512), (0, m.data[0][2 * SECTOR:3 * SECTOR]), "read")
        m.outl(disk.io + 8, 0)
        equal(m.inl(disk.io + 8), 0, "a queue without an address")
        m.outl(disk.io + 8, (RAM_END >> 12) - 1)
        disk.notify()
        disk.legacy()
        equal(disk.request(IN, 2, length=512)[0], 0, "after a ring over the end of RAM")


def ranges(*items):
    return b"".join(struct.pack("<QII", *item) for item in items)


def stored(m, sector, count):
    with open(m.images[0], "rb") as file:
        file.seek(sector * SECTOR)
        return file.read(count * SECTOR)


def test_ranges_are_discarded_zeroed_and_erased(directory):
    with machine(directory, options="secure_erase = true;") as m:
        disk = Disk(m, m.disks[0], 0)
        disk.start_modern(VERSION_1 | FLUSH_BIT | DISCARD | ZEROES | ERASE)
        zeroes = lambda count: bytes(count * SECTOR)  # noqa: E731
        equal(disk.request(T_ZEROES, data=ranges((1, 2, 0)))[0], 0, "zeroes")
        equal(stored(m, 0, 4), m.data[0][:SECTOR] + zeroes(2) + m.data[0][3 * SECTOR:4 * SECTOR], "of two sectors")
        equal(disk.request(T_ZEROES, data=ranges((8, 8, 1), (24, 1, 0)))[0], 0, "zeroes that may be unmapped")
        equal((stored(m, 8, 8), stored(m, 24, 1)), (zeroes(8), zeroes(1)), "two ranges")
        equal(disk.request(T_DISCARD, data=ranges((16, 8, 0)))[0], 0, "discard")
        equal(disk.request(IN, 16, length=8 * SECTOR), (0, zeroes(8)), "what was discarded")
        equal(disk.request(T_ERASE, data=ranges((32, 16, 0), (50, 1, 0)))[0], 0, "erase")
        equal((stored(m, 32, 16), stored(m, 50, 1)), (zeroes(16), zeroes(1)), "what was erased")
        equal(stored(m, 48, 2) + stored(m, 51, 13), m.data[0][48 * SECTOR:50 * SECTOR] + m.data[0][51 * SECTOR:64 * SECTOR],
              "the rest is untouched")


def test_the_lifetime_is_told_where_the_backend_knows_it(directory):
    with machine(directory, backend='plugin = "block-null"; life_used = 7; pre_eol = 2;') as m:
        disk = Disk(m, m.disks[0], 0)
        check(disk.offered() & LIFETIME and not m.inl(disk.io) & LIFETIME, "a feature, and no legacy one")
        disk.start_modern(VERSION_1 | LIFETIME)
        equal(disk.request(T_LIFETIME, length=8), (0, struct.pack("<HHHxx", 2, 7, 0)), "pre-EOL, types A and B")
        equal(disk.request(T_LIFETIME, length=5)[0], 1, "half an answer")
        disk.start_modern()
        equal(disk.request(T_LIFETIME, length=6)[0], 2, "without the feature")


def test_requests_that_are_wrong_end_with_their_status(directory):
    last = SIZE // SECTOR
    with machine(directory, options="secure_erase = true;") as m:
        disk = Disk(m, m.disks[0], 0)
        disk.start_modern(VERSION_1 | FLUSH_BIT | DISCARD | ZEROES | ERASE)
        for what, arguments, status in (
                ("a read past the end", (IN, last, b"", 512), 1), ("a read over the end", (IN, last - 1, b"", 1024), 1),
                ("a write past the end", (OUT, last, bytes(512), 0), 1), ("a sector far away", (IN, (1 << 64) - 1, b"", 512), 1),
                ("half a sector", (IN, 0, b"", 100), 1), ("SCSI passthrough", (2, 0, b"", 512), 2),
                ("a type of nobody", (0xffffffff, 0, b"", 512), 2), ("a lifetime nobody knows", (T_LIFETIME, 0, b"", 6), 2), ("a zone report", (16, 0, b"", 512), 2),
                ("half a range", (T_DISCARD, 0, bytes(15), 0), 1), ("no range", (T_DISCARD, 0, b"", 0), 1),
                ("too many ranges", (T_DISCARD, 0, ranges(*[(0, 1, 0)] * 17), 0), 1),
                ("a discard past the end", (T_DISCARD, 0, ranges((last, 1, 0)), 0), 1),
                ("a discard round the end of sectors", (T_DISCARD, 0, ranges(((1 << 64) - 1, 2, 0)), 0), 1),
                ("a discard that is to unmap", (T_DISCARD, 0, ranges((0, 1, 1)), 0), 2),
                ("a reserved flag", (T_ZEROES, 0, ranges((0, 1, 2)), 0), 2),
                ("zeroes past the end", (T_ZEROES, 0, ranges((last - 1, 2, 0)), 0), 1),
                ("an erase past the end", (T_ERASE, 0, ranges((last, 1, 0)), 0), 1)):
            equal(disk.request(*arguments)[0], status, what)
        equal(disk.mmio_read(0x14, 1), 15, "none of them breaks the device")
        equal(stored(m, 0, 64), m.data[0][:64 * SECTOR], "or changes the disk")


def test_a_read_only_disk_refuses_what_changes_it(directory):
    with machine(directory, options="readonly = true;") as m:
        disk = Disk(m, m.disks[0], 0)
        disk.start_modern(VERSION_1 | RO | FLUSH_BIT)
        equal(disk.request(OUT, 0, bytes(512))[0], 1, "a write")
        for kind in (T_DISCARD, T_ZEROES, T_ERASE):
            check(disk.request(kind, data=ranges((0, 1, 0)))[0] in (1, 2), "a range")
        equal(disk.request(IN, 0, length=512), (0, m.data[0][:512]), "a read")
        equal(disk.request(FLUSH)[0], 0, "a flush has nothing to do")
        equal(stored(m, 0, 64), m.data[0][:64 * SECTOR], "nothing changed")


def test_configuration_space_tells_what_the_features_promise(directory):
    options = ("size_max = 65536; seg_max = 20; cylinders = 7; heads = 5; sectors = 9; logical_block_size = 4096; "
               "physical_block_size = 16384; min_io_size = 32768; opt_io_size = 65536; queues = 3; secure_erase = true;")
    with machine(directory, options=options) as m:
        disk = Disk(m, m.disks[0], 0)
        field = lambda at, width: disk.mmio_read(0x2000 + at, width)  # noqa: E731
        equal(field(0, 4) | field(4, 4) << 32, SIZE // SECTOR, "capacity, in sectors whatever the block is")
        equal((field(8, 4), field(12, 4)), (65536, 20), "SIZE_MAX, SEG_MAX")
        equal((field(16, 2), field(18, 1), field(19, 1)), (7, 5, 9), "GEOMETRY")
        equal((field(20, 4), field(24, 1), field(25, 1)), (4096, 2, 0), "BLK_SIZE; 4 blocks in a physical one, aligned")
        equal((field(26, 2), field(28, 4)), (8, 16), "TOPOLOGY: least and best, in blocks")
        equal((field(32, 1), field(34, 2)), (1, 3), "CONFIG_WCE, MQ")
        for at in (36, 48, 60):
            equal(field(at, 4) % 8, 0, "whole blocks")
            check(field(at, 4) > 0 and field(at + 4, 4) > 0, "ranges of some length and number")
        check(field(44, 4) % 8 == 0 and field(68, 4) % 8 == 0, "alignment of DISCARD and SECURE_ERASE: whole blocks")
        disk.start_modern(VERSION_1 | BLK_SIZE)
        equal(disk.request(IN, 1, length=4096)[0], 1, "a sector that begins no block")
        equal(disk.request(IN, 8, length=4096), (0, m.data[0][8 * SECTOR:16 * SECTOR]), "a block")


def test_a_legacy_request_may_lie_in_any_layout(directory):
    with machine(directory) as m:
        disk = Disk(m, m.disks[0], 0)
        disk.legacy(without=EVENT_IDX)
        m.write(HEADER, struct.pack("<IIQ", IN, 0, 5))
        m.write(disk.places[0], table([  # a header in two pieces; data and status in one, and a piece apart (2.7.4.1)
            (HEADER, 5, NEXT, 1), (HEADER + 5, 11, NEXT, 2), (DATA, 100, NEXT | WRITE, 3), (DATA + 100, 413, WRITE, 0)]))
        offer(m, disk, 0)
        m.wait_until(lambda: disk.used_index() == disk.avail, "a used entry")
        equal(m.read(DATA, 513), m.data[0][5 * SECTOR:6 * SECTOR] + b"\0", "data, then the status")
        data = os.urandom(SECTOR)
        m.write(HEADER, struct.pack("<IIQ", OUT, 0, 6) + data)
        m.write(disk.places[0], table([(HEADER, 16 + SECTOR, NEXT, 1), (STATUS, 1, WRITE, 0)]))
        offer(m, disk, 0)
        m.wait_until(lambda: disk.used_index() == disk.avail, "a used entry")
        equal(stored(m, 6, 1), data, "header and data in one piece")


def test_an_in_order_ring_is_used_in_the_order_of_offering(directory):
    with machine(directory, options="in_order = true;") as m:
        disk = Disk(m, m.disks[0], 0)
        disk.start_modern(VERSION_1 | IN_ORDER | INDIRECT)
        for i in range(16):
            at = TABLES + 0x100 * i
            m.write(HEADER + 0x400 + 16 * i, struct.pack("<IIQ", IN, 0, i))
            m.write(at, table([(HEADER + 0x400 + 16 * i, 16, NEXT, 1), (DATA + 0x1000 * i, 4096 if i % 3 == 0 else 512, NEXT | WRITE, 2),
                               (STATUS + i, 1, WRITE, 0)]))
            m.write(disk.places[0] + 16 * i, table([(at, 48, TABLE, 0)]))
        for i in range(16):
            offer(m, disk, i, ring=i == 15)
        m.wait_until(lambda: disk.used_index() == 16, "all of them")
        last = struct.unpack("<II", m.read(disk.places[2] + 4 + 8 * 15, 8))
        equal(last[0], 15, "the last one used is the last one offered (2.7.9)")
        for i in range(16):
            equal(m.read(DATA + 0x1000 * i, 512), m.data[0][i * SECTOR:(i + 1) * SECTOR], "read")


if __name__ == "__main__":
    run_tests([test for name, test in list(globals().items()) if name.startswith("test_")])
