#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Media and backends that come and go over QMP, seen from the guest's side of a floppy drive."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from floppy import CCR, DIR, DOR, RATE_500, Floppy, make_image, sectors_of  # noqa: E402
from registers import Qmp, equal  # noqa: E402


class Machine(Floppy):
    """With a controller of two drives and a control socket."""

    def __init__(self, directory, drives):
        self.control = os.path.join(directory, "control")
        super().__init__(directory, drives, "", "--control", self.control)
        self.qmp = Qmp(self.control)
        self.reset()
        self.specify(0)
        self.outb(CCR, RATE_500)

    def __exit__(self, *arguments):
        self.qmp.__exit__()
        super().__exit__(*arguments)

    def changed(self, drive):
        """Bit 7 of DIR with the drive selected and its motor on."""
        self.outb(DOR, 0x0c | 0x10 << drive | drive)
        return self.inb(DIR) & 0x80 != 0

    def see(self, drive):
        """What a driver does after a change: two steps, then it reads sector 0."""
        self.outb(DOR, 0x0c | 0x10 << drive | drive)
        self.seek(drive, 1)
        self.seek(drive, 0)
        return self.read_sectors(drive, 0, 0, 1, 1)

    def block(self, name):
        return next(entry for entry in self.qmp.ask("query-block") if entry["device"] == name)


def two_images(directory):
    return make_image(directory, "a.img", 1440), make_image(directory, "b.img", 1440, salt=7)


def test_query_block_tells_drives_and_media(directory):
    image, _ = two_images(directory)
    with Machine(directory, [(image, "readonly = true;"), (None, "")]) as m:
        full, empty = m.block("fdc0:0"), m.block("fdc0:1")
        equal(full["removable"], True, "removable")
        equal(full["locked"], False, "locked")
        check("tray_open" not in full, "a floppy drive has no tray")
        equal(full["inserted"]["node-name"], "disk0", "node")
        equal(full["inserted"]["file"], image, "file")
        equal(full["inserted"]["image"]["virtual-size"], 1440 * 1024, "size")
        check("inserted" not in empty, "the second drive is empty")
        nodes = m.qmp.ask("query-named-block-nodes")
        equal([node["node-name"] for node in nodes], ["disk0"], "nodes")


def test_change_medium_is_seen_by_the_guest(directory):
    first, second = two_images(directory)
    with Machine(directory, [(first, ""), (None, "")]) as m:
        equal(m.see(0), sectors_of(first, 0), "the first floppy")
        equal(m.changed(0), False, "the change line after a step")
        m.qmp.ask("blockdev-change-medium", id="fdc0:0", filename=second, format="raw")
        equal(m.changed(0), True, "the change line")
        equal(m.see(0), sectors_of(second, 0), "the second floppy")
        equal(m.block("fdc0:0")["inserted"]["file"], second, "file")
        m.qmp.fails("is in use by another backend", "blockdev-change-medium", device="fdc0:1", filename=first)
        m.qmp.ask("blockdev-del", node__name="disk0")
        m.qmp.ask("blockdev-change-medium", device="fdc0:1", filename=first)
        equal(m.see(1), sectors_of(first, 0), "what was in drive A is free for drive B")


def test_a_medium_made_for_a_change_goes_with_the_next(directory):
    first, second = two_images(directory)
    with Machine(directory, [(first, "")]) as m:
        m.qmp.ask("blockdev-change-medium", id="fdc0", filename=second)
        equal([node["node-name"] for node in m.qmp.ask("query-named-block-nodes")], ["disk0", "medium0"],
              "nodes with a medium of the operator's")
        m.qmp.ask("eject", id="fdc0")
        equal([node["node-name"] for node in m.qmp.ask("query-named-block-nodes")], ["disk0"],
              "the description's stays, the other one goes")
        m.qmp.ask("blockdev-insert-medium", id="fdc0", node__name="disk0")
        equal(m.see(0), sectors_of(first, 0), "the first again")


def test_read_only_modes(directory):
    first, second = two_images(directory)
    third = make_image(directory, "c.img", 1440)
    with Machine(directory, [(first, "")]) as m:
        for mode, file, wanted in (("read-only", second, True), ("retain", third, True),
                                   ("read-write", second, False), ("retain", third, False)):
            m.qmp.ask("blockdev-change-medium", id="fdc0:0", filename=file, read__only__mode=mode)
            equal(m.block("fdc0:0")["inserted"]["ro"], wanted, mode)
        m.qmp.fails("does not accept value 'best'", "blockdev-change-medium", id="fdc0:0", filename=second,
                    read__only__mode="best")


def test_what_fails_is_undone(directory):
    first, second = two_images(directory)
    wrong = make_image(directory, "wrong.img", 5000)
    with Machine(directory, [(first, "")]) as m:
        equal(m.see(0), sectors_of(first, 0), "before")
        m.qmp.fails("there is no '/nowhere/x.img'", "blockdev-change-medium", id="fdc0", filename="/nowhere/x.img")
        equal(m.changed(0), False, "a file that is not there changes nothing")
        m.qmp.fails("Unknown driver 'foo'", "blockdev-change-medium", id="fdc0", filename=second, format="foo")
        m.qmp.fails("size is that of no floppy", "blockdev-change-medium", id="fdc0", filename=wrong)
        equal(m.see(0), sectors_of(first, 0), "after a medium that does not fit")
        equal([node["node-name"] for node in m.qmp.ask("query-named-block-nodes")], ["disk0"], "nodes")
        equal(m.qmp.ask("query-status")["status"], "running", "status")


def test_errors_have_qemus_words(directory):
    first, second = two_images(directory)
    with Machine(directory, [(first, ""), (None, "")]) as m:
        fails = m.qmp.fails
        fails("Need exactly one of 'device' and 'id'", "eject")
        fails("Need exactly one of 'device' and 'id'", "eject", device="fdc0:0", id="fdc0:0")
        fails("Device 'nope' not found", "eject", "DeviceNotFound", id="nope")
        fails("Device 'fdc0' not found", "eject", "DeviceNotFound", id="fdc0")
        fails("Invalid parameter type for 'force', expected: boolean", "eject", id="fdc0:0", force="yes")
        fails("Parameter 'foo' is unexpected", "eject", id="fdc0:0", foo=1)
        fails("Parameter 'filename' is missing", "blockdev-change-medium", id="fdc0:0")
        fails("Node 'x' not found", "blockdev-insert-medium", id="fdc0:0", node__name="x")
        fails("Node 'disk0' is already in use", "blockdev-insert-medium", id="fdc0:1", node__name="disk0")
        fails("Failed to find node with node-name='zz'", "blockdev-del", node__name="zz")
        fails("Node disk0 is in use", "blockdev-del", node__name="disk0")
        fails("'node-name' must be specified for the root node", "blockdev-add", driver="file")
        fails("Parameter 'driver' is missing", "blockdev-add", node__name="n")
        fails("Duplicate nodes with node-name='disk0'", "blockdev-add", driver="file", node__name="disk0")
        m.qmp.ask("blockdev-add", driver="raw", node__name="n1",
                  file={"driver": "file", "filename": second}, read__only=True)
        fails("There already is a medium in device 'fdc0:0'", "blockdev-insert-medium", id="fdc0:0",
              node__name="n1")
        m.qmp.ask("blockdev-open-tray", id="fdc0:0")
        m.qmp.ask("blockdev-close-tray", id="fdc0:0")
        m.qmp.ask("blockdev-insert-medium", id="fdc0:1", node__name="n1")
        equal(m.see(1), sectors_of(second, 0), "the inserted one")
        fails("Node n1 is in use", "blockdev-del", node__name="n1")
        m.qmp.ask("blockdev-remove-medium", id="fdc0:1")
        m.qmp.ask("blockdev-remove-medium", id="fdc0:1")
        m.qmp.ask("blockdev-del", node__name="n1")


def test_blockdev_add_checks_options_as_the_description_is_checked(directory):
    first, _ = two_images(directory)
    with Machine(directory, [(first, "")]) as m:
        fails = m.qmp.fails
        fails('backends.n.pth: unknown option (did you mean "path"?)', "blockdev-add", driver="block-file",
              node__name="n", pth=first)
        fails("backends.n.path: missing: this option must be given", "blockdev-add", driver="block-file",
              node__name="n")
        fails("backends.n.readonly:", "blockdev-add", driver="block-file", node__name="n", path=first,
              readonly=5)
        fails('no plugin "block-fiel"', "blockdev-add", driver="block-fiel", node__name="n")
        fails("no proper id", "blockdev-add", driver="block-ram", node__name="No Id", size="1M")
        fails('backend "disk0" is used by', "blockdev-add", driver="filter-throttle", node__name="n",
              below="disk0")
        fails('no backend "disk1" (did you mean "disk0"?)', "blockdev-add", driver="filter-throttle",
              node__name="n", below="disk1")
        fails("there is something with the id", "blockdev-add", driver="block-ram", node__name="fdc0",
              size="1M")
        equal(len(m.qmp.ask("query-named-block-nodes")), 1, "nodes")


def test_a_plugin_that_the_machine_did_not_have_is_loaded(directory):
    with Machine(directory, [(None, "")]) as m:
        m.qmp.ask("blockdev-add", driver="block-ram", node__name="ram", size="1440K")
        m.qmp.ask("blockdev-add", driver="filter-throttle", node__name="slow", below="ram", iops=100000)
        m.qmp.ask("blockdev-insert-medium", id="fdc0:0", node__name="slow")
        equal(m.see(0), bytes(512), "an empty disk in memory, through a filter")
        m.qmp.fails("Node ram is in use", "blockdev-del", node__name="ram")
        m.qmp.ask("eject", id="fdc0:0")
        m.qmp.ask("blockdev-del", node__name="slow")
        m.qmp.ask("blockdev-del", node__name="ram")
        equal(m.qmp.ask("query-named-block-nodes"), [], "nodes")


def test_a_thousand_changes_leave_nothing_behind(directory):
    first, second = two_images(directory)
    with Machine(directory, [(None, "")]) as m:
        folder = f"/proc/{m.process.pid}/fd"
        m.qmp.ask("blockdev-change-medium", id="fdc0", filename=second)
        before = len(os.listdir(folder))
        for number in range(1000):
            m.qmp.ask("blockdev-change-medium", id="fdc0", filename=(first, second)[number & 1],
                      read__only__mode="read-only")
        equal(len(os.listdir(folder)), before, "descriptors")
        equal(m.see(0), sectors_of(second, 0), "the last one")


def test_a_change_waits_for_the_request_in_flight(directory):
    """And the control socket does not wait with it."""
    first, second = two_images(directory)
    with Machine(directory, [(None, "")]) as m:
        m.qmp.ask("blockdev-add", driver="file", filename=first, node__name="disk")
        m.qmp.ask("blockdev-add", driver="filter-fault", node__name="late", below="disk",
                  rules=[{"op": "read", "action": "delay", "delay_ms": 1000, "offset": "1K"}])
        m.qmp.ask("blockdev-insert-medium", id="fdc0", node__name="late")
        m.see(0)
        m.dma(0x46, 512)
        m.transfer(0x46, 0, 0, 0, 3, 3)
        with Qmp(m.control) as other:
            other.socket.sendall(b'{"execute": "blockdev-change-medium", "id": 7, "arguments": '
                                 b'{"id": "fdc0", "filename": "%s"}}{"execute": "query-name", "id": 8}'
                                 % second.encode())
            m.wait_until(lambda: "inserted" in m.block("fdc0:0"), "an answer on another connection")
            equal(m.block("fdc0:0")["inserted"]["node-name"], "late", "nothing has changed yet")
            m.qmp.fails("is busy", "eject", id="fdc0")
            m.step(1000000000)
            equal(other._next()["id"], 7, "the change's answer comes first")
            equal(other._next()["id"], 8, "then the other's")
        equal(m.result(7)[0] & 0xc0, 0, "the read ended well")
        equal(m.read(0x20000, 512), sectors_of(first, 2), "with the old floppy's data")
        equal(m.see(0), sectors_of(second, 0), "the new floppy")


def test_block_resize(directory):
    first, _ = two_images(directory)
    with Machine(directory, [(first, "")]) as m:
        m.qmp.ask("blockdev-add", driver="file", filename=os.path.join(directory, "b.img"), node__name="b")
        m.qmp.ask("block_resize", node__name="b", size=3 << 20)
        equal(os.path.getsize(os.path.join(directory, "b.img")), 3 << 20, "size")
        sizes = {n["node-name"]: n["image"]["virtual-size"] for n in m.qmp.ask("query-named-block-nodes")}
        equal(sizes["b"], 3 << 20, "size that is told")
        m.qmp.fails("Parameter 'size' expects a >0 size", "block_resize", node__name="b", size=-1)
        m.qmp.fails("Cannot find device='nope' nor node-name=''", "block_resize", device="nope", size=1)
        m.qmp.fails("expected: integer", "block_resize", device="nope", size="x")


def test_a_write_error_stops_the_machine_and_cont_tries_again(directory):
    first, _ = two_images(directory)
    with Machine(directory, [(None, 'on_write_error = "stop";')]) as m:
        m.qmp.ask("blockdev-add", driver="file", filename=first, node__name="disk")
        m.qmp.ask("blockdev-add", driver="filter-fault", node__name="bad", below="disk",
                  rules=[{"op": "write", "count": 2, "error": "ENOSPC"}])
        m.qmp.ask("blockdev-insert-medium", id="fdc0", node__name="bad")
        m.see(0)
        m.write(0x20000, b"\xa7" * 512)
        m.dma(0x4a, 512)
        m.transfer(0x45, 0, 0, 0, 2, 2)
        for attempt in ("first", "second"):
            data = m.qmp.event("BLOCK_IO_ERROR")
            equal((data["device"], data["operation"], data["action"], data["nospace"]),
                  ("fdc0:0", "write", "stop", True), "event of the " + attempt)
            m.qmp.event("STOP")
            equal(m.qmp.ask("query-status"), {"running": False, "singlestep": False, "status": "io-error"},
                  "status")
            m.qmp.ask("cont")
            m.qmp.event("RESUME")
        equal(m.result(7)[0] & 0xc0, 0, "the write ended well")
        equal(sectors_of(first, 1), b"\xa7" * 512, "what was written")


if __name__ == "__main__":
    run_tests([test for name, test in sorted(globals().items()) if name.startswith("test_")])
