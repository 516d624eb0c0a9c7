#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A machine that is operated while Linux uses it: devices plugged and unplugged under I/O, a CD changed,
the power button; all that time a second client moves a disk from a file to NBD and back and puts a
throttle above it, a thousand swaps under a checksummed write load. At last the guest hangs, and the
monitor does not. One boot.

Disks are moved as operators do it: nbdkit serves the same file, so nothing is copied. It takes its time
for each write, so that swaps come while requests are in flight.

Not registered, as it takes many minutes on a KVM that interprets. By hand, from the source tree:
    BACKPLANE_BUILD=build tests/linux/test_linux_control.py"""

import hashlib
import os
import random
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))
from backplane import Machine, check, is_interpreting_kvm, need_file, need_kvm, run_tests, skip_all  # noqa: E402
from registers import Qmp, equal  # noqa: E402
from test_linux import CMDLINE, INTERPRETED, kernel, make_initramfs  # noqa: E402

SWAPS = 1000
SWAP_PAUSE = 0.1 if is_interpreting_kvm() else 0.01  # for the guest to write something in between
SUMMED = 256 << 10
DESCRIPTION = """
machine = {{ memory = "64M"; boot = {{ kernel = "{kernel}"; initrd = "{initrd}"; cmdline = "{cmdline}"; }}; }};
backends = {{ disk = {{ plugin = "block-file"; path = "disk"; }}; tty = {{ plugin = "char-stdio"; }};
              cd = {{ plugin = "block-file"; path = "cd1"; readonly = true; }}; }};
devices = {{ com1 = {{ plugin = "serial"; backend = "tty"; }};
             blk0 = {{ plugin = "virtio-blk"; backend = "disk"; }};
             ide0 = {{ plugin = "ide"; drives = ( {{ channel = 1; unit = 0; cdrom = "cd"; }} ); }}; }};
"""


def make_file(directory, name):
    data = random.Random(name).randbytes(1 << 20)
    with open(os.path.join(directory, name), "wb") as file:
        file.write(data)
    return hashlib.md5(data[:SUMMED]).hexdigest()


class Guest(Machine):
    """A machine whose init carries out lines, and its control socket."""

    def __init__(self, config, directory):
        control = os.path.join(directory, "control")
        super().__init__(config, "--control", control, directory=directory)
        self.directory = directory
        self.number = 0
        print(f"# ready after {self.wait_for('FACT ready', 900):.0f} s", flush=True)
        self.qmp = Qmp(control)
        self.qmp.socket.settimeout(300)

    def __exit__(self, *arguments):
        if hasattr(self, "qmp"):
            self.qmp.__exit__()
        super().__exit__(*arguments)

    def do(self, line, seconds=300):
        """Carries out a line; what it wrote."""
        self.number += 1
        start = len(self.output)
        self.send(f"{line}; echo FACT end_{self.number}\n".encode())
        self.wait_for(f"FACT end_{self.number}\r\n", seconds)
        text = self.output[start:].decode("utf-8", "replace")
        check("FACT await_failed" not in text, f"'{line}' waited in vain:\n" + self.tail(40))
        return text

    def value(self, line):
        found = re.search(r"FACT value=(.*?)\r?\n", self.do(f'echo "FACT value=$({line})"'))
        check(found, self.tail())
        return found[1]

    def add_file(self, node, name, **options):
        self.qmp.ask("blockdev-add", driver="block-file", node__name=node,
                     path=os.path.join(self.directory, name), **options)

    def unplug(self, name):
        started = time.monotonic()
        self.qmp.ask("device_del", id=name)
        self.qmp.socket.settimeout(300)
        while self.qmp.event("DEVICE_DELETED")["device"] != name:
            pass
        print(f"# {name}: unplugged after {time.monotonic() - started:.1f} s", flush=True)


def plug_a_disk(guest, sums):
    guest.add_file("hot", "hot")
    guest.qmp.ask("device_add", driver="virtio-blk-pci", id="hot0", drive="hot")
    guest.do("await '[ -b /dev/vdb ]'")
    equal(guest.value("sum /dev/vdb"), sums["hot"], "the plugged disk")
    guest.do("readers vdb & true")
    guest.unplug("hot0")
    guest.do("await '[ ! -e /sys/block/vdb ]'")
    guest.wait_for("FACT reader_ended=vdb", 300)
    guest.qmp.ask("blockdev-del", node__name="hot")


def plug_a_network(guest):
    guest.qmp.ask("netdev_add", type="user", id="wan")
    guest.qmp.ask("device_add", driver="virtio-net-pci", id="net0", netdev="wan")
    guest.do("await '[ -e /sys/class/net/eth0 ]'")
    text = guest.do("$b ip link set eth0 up; $b ip addr add 10.0.2.15/24 dev eth0; "
                    "$b ping -c 2 -W 10 10.0.2.2 >/dev/null 2>&1 && echo FACT ping")
    check("FACT ping" in text, "the router does not answer:\n" + guest.tail(40))
    guest.qmp.ask("set_link", name="net0", up=False)
    guest.do("await '[ $($b cat /sys/class/net/eth0/carrier) = 0 ]'")
    guest.qmp.ask("set_link", name="net0", up=True)
    guest.do("await '[ $($b cat /sys/class/net/eth0/carrier) = 1 ]'; $b ping -c 40 10.0.2.2 >/dev/null 2>&1 & true")
    guest.unplug("net0")
    guest.do("await '[ ! -e /sys/class/net/eth0 ]'")
    guest.qmp.ask("netdev_del", id="wan")


def plug_an_adapter(guest, sums):
    guest.add_file("s0", "hot")
    guest.add_file("s1", "unit")
    guest.qmp.ask("blockdev-add", driver="scsi-disk", node__name="unit0", backend="s0")
    guest.qmp.ask("device_add", driver="virtio-scsi-pci", id="scsi0",
                  luns=[{"target": 0, "backend": "unit0"}, {"target": 1, "lun": 2}])
    guest.do("await '[ -b /dev/sda ]'")
    equal(guest.value("sum /dev/sda"), sums["hot"], "the adapter's first unit")
    guest.qmp.ask("device_add", driver="scsi-disk", id="unit1", bus="scsi0.0", drive="s1", scsi__id=1, lun=2)
    guest.do("await '[ -b /dev/sdb ]'")
    equal(guest.value("sum /dev/sdb"), sums["unit"], "the unit that came")
    guest.do("readers sda & readers sdb & true")
    guest.unplug("unit1")
    guest.do("await '[ ! -e /sys/block/sdb ]'")
    guest.wait_for("FACT reader_ended=sdb", 300)
    guest.unplug("scsi0")
    guest.do("await '[ ! -e /sys/block/sda ]'")
    guest.wait_for("FACT reader_ended=sda", 300)


def change_the_cd(guest, sums):
    equal(guest.value("sum /dev/sr0"), sums["cd1"], "the first disc")
    guest.qmp.ask("blockdev-change-medium", id="ide0:1.0", filename=os.path.join(guest.directory, "cd2"))
    guest.do("await '[ $(sum /dev/sr0) = " + sums["cd2"] + " ]'")
    guest.qmp.ask("eject", id="ide0:1.0")
    guest.do("await '! $b dd if=/dev/sr0 of=/dev/null count=1 2>/dev/null'")


class Swapper(threading.Thread):
    """A second client: a file, NBD, the file, a throttle on it, and round again; always under load."""

    def __init__(self, guest):
        super().__init__(daemon=True)
        self.disk = os.path.join(guest.directory, "disk")
        self.path = os.path.join(guest.directory, "nbd")
        self.qmp = Qmp(os.path.join(guest.directory, "control"))
        self.failure = None
        self.writes = {}
        self.server = subprocess.Popen(["nbdkit", "-f", "-U", self.path, "--filter=delay", "file", self.disk,
                                        "wdelay=20ms"])
        while not os.path.exists(self.path):
            check(self.server.poll() is None, "nbdkit ended")
            time.sleep(0.05)
        self.qmp.ask("blockdev-add", driver="block-nbd", node__name="far", uri="nbd+unix:///?socket=" + self.path)
        self.start()

    def run(self):
        try:
            throttle = {"driver": "filter-throttle", "node-name": "slow", "iops": 50}
            steps = (("far", "far"), ("file", "disk"), ("throttle", throttle), ("file", "disk"))
            for i in range(SWAPS):
                name, backend = steps[i % len(steps)]
                self.qmp.ask("backend-swap", device="blk0", backend=backend)
                before = self.written()
                time.sleep(SWAP_PAUSE)
                self.writes[name] = self.writes.get(name, 0) + self.written() - before
            self.qmp.ask("blockdev-del", node__name="far")
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def written(self):
        return next(entry["stats"]["wr_operations"] for entry in self.qmp.ask("query-blockstats")
                    if entry["device"] == "blk0")

    def finish(self):
        self.join(600)
        self.server.terminate()
        self.server.wait()
        check(not self.is_alive() and self.failure is None, f"the swaps: {self.failure}")
        print(f"# {SWAPS} swaps; writes while the disk was: {self.writes}", flush=True)
        check(all(self.writes.get(name) for name in ("far", "file", "throttle")), "one of them saw no write")


def press_the_power_button(guest):
    """The guest has no driver for it: it enables the event, and its ACPI core says what came."""
    guest.do("$b printf '\\001' | $b dd of=/dev/port bs=1 seek=1539 conv=notrunc 2>/dev/null")
    guest.qmp.ask("system_powerdown")
    guest.wait_for("PowerButton", 120)
    guest.qmp.event("POWERDOWN")


def hang(guest):
    """A panic without a restart: the guest answers nothing any more, and everything else goes on."""
    guest.do("echo 0 >/proc/sys/kernel/panic")
    guest.send(b"echo c >/proc/sysrq-trigger\n")
    guest.wait_for("end Kernel panic", 120)
    equal(guest.qmp.ask("query-status")["status"], "running", "status")
    guest.qmp.ask("system_powerdown")
    guest.add_file("last", "last")
    guest.qmp.ask("device_add", driver="virtio-blk-pci", id="hot1", drive="last")
    guest.qmp.ask("device_del", id="hot1")
    check("hot1" in [device.get("qdev_id") for device in guest.qmp.ask("query-pci")[0]["devices"]],
          "it waits for the guest")
    guest.qmp.ask("device_del", id="hot1", force=True)
    equal(guest.qmp.event("DEVICE_DELETED")["device"], "hot1", "taken out")
    guest.qmp.ask("backend-swap", device="blk0",
                  backend={"driver": "filter-throttle", "node-name": "slow", "iops": 20})
    guest.qmp.ask("quit")
    equal(guest.qmp.event("SHUTDOWN")["reason"], "host-qmp-quit", "the end")
    equal(guest.wait_end(60), 0, "exit status")


def test_linux_is_operated(directory):
    sums = {name: make_file(directory, name) for name in ("disk", "hot", "unit", "last", "cd1", "cd2")}
    config = DESCRIPTION.format(kernel=kernel("vmlinux"), initrd=make_initramfs(directory, "init_control"),
                                cmdline=CMDLINE + (INTERPRETED if is_interpreting_kvm() else ""))
    with Guest(config, directory) as guest:
        guest.do("$b dd if=/dev/urandom of=/noise bs=65536 count=4 2>/dev/null; "
                 "$b dd if=/dev/vda of=/mirror bs=65536 count=4 2>/dev/null; : >/load; load vda & true")
        swapper = Swapper(guest)
        plug_a_disk(guest, sums)
        plug_a_network(guest)
        plug_an_adapter(guest, sums)
        change_the_cd(guest, sums)
        press_the_power_button(guest)
        swapper.finish()
        guest.do("$b rm /load")
        guest.wait_for("FACT load_ended", 300)
        print("# rounds of 32 writes and a flush:", re.search(r"FACT load=(\d+)", guest.text())[1], flush=True)
        check("FACT load_failed" not in guest.text(), "a write failed")
        written = guest.value("sum /mirror")
        equal(guest.value("echo 3 >/proc/sys/vm/drop_caches; sum /dev/vda"), written, "what the guest reads back")
        hang(guest)
        with open(os.path.join(directory, "disk"), "rb") as file:
            equal(hashlib.md5(file.read(SUMMED)).hexdigest(), written, "what is in the file")


if __name__ == "__main__":
    need_kvm()
    need_file("/bin/busybox", "busybox-static")
    need_file("/usr/bin/nbdkit", "nbdkit")
    if kernel("vmlinux") is None:
        skip_all("no vmlinux (set BACKPLANE_TEST_KERNEL)")
    run_tests([test_linux_is_operated])
