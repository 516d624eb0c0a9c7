#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PCI devices that come and go: the registers at AE00h, and what the control socket says."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from registers import Qmp, TestMachine, equal  # noqa: E402
from test_virtio_blk import FLUSH, IN, OUT, Disk  # noqa: E402

UP, DOWN, EJECT, REMOVABLE, BUS, INDEX = (0xae00 + 4 * i for i in range(6))
GPE_STATUS, GPE_ENABLE = 0xafe0, 0xafe2
ABSENT = 0xffffffff
CONFIG = """
machine = { memory = "16M"; pci_bridges = ("1e.0"); %s };
backends = { d0 = { plugin = "block-ram"; size = "1M"; };
             slow = { plugin = "filter-fault"; below = "d1"; rules = ( { op = "read"; action = "delay"; delay_ms = 3600000; } ); };
             d1 = { plugin = "block-ram"; size = "1M"; };
             deep = { plugin = "block-ram"; size = "1M"; };
             n0 = { plugin = "net-null"; }; };
devices = { cold = { plugin = "virtio-blk"; backend = "d0"; address = "05.0"; };
            ide0 = { plugin = "ide"; };
            com1 = { plugin = "serial"; };
            far = { plugin = "virtio-blk"; backend = "deep"; address = "1:04.0"; };
            pair0 = { plugin = "virtio-blk"; backend = "slow"; address = "06.0"; };
            pair1 = { plugin = "virtio-net"; backend = "n0"; address = "06.1"; }; };
"""


class Machine(TestMachine):
    def __init__(self, directory, options=""):
        self.control = os.path.join(directory, "control")
        super().__init__(CONFIG % options, directory, "--control", self.control)
        self.qmp = Qmp(self.control)

    def __exit__(self, *arguments):
        self.qmp.__exit__()
        super().__exit__(*arguments)

    def add_disk(self, name, **options):
        self.qmp.ask("blockdev-add", driver="block-ram", node__name=name + "-disk", size="1M")
        self.qmp.ask("device_add", driver="virtio-blk-pci", id=name, drive=name + "-disk", **options)

    def devices(self):
        return sorted(entry["qdev_id"] for entry in self.qmp.ask("query-pci")[0]["devices"])

    def nodes(self):
        return sorted(node["node-name"] for node in self.qmp.ask("query-named-block-nodes"))

    def eject(self, slot):
        """What the guest's _EJ0 does; waits for the device's end."""
        self.outl(EJECT, 1 << slot)
        return self.qmp.event("DEVICE_DELETED")["device"]


def test_the_registers_are_those_the_dsdt_knows(directory):
    with Machine(directory) as m:
        equal([m.inl(port) for port in (UP, DOWN, EJECT, REMOVABLE, BUS, INDEX)], [0, 0, 0, 0xfffffffc, 0, 0],
              "at start")
        m.add_disk("hot", addr="7")
        equal(m.inb(GPE_STATUS), 2, "GPE 1")
        equal([m.inl(UP), m.inl(UP), m.inl(DOWN)], [0x80, 0, 0], "a new device, told once")
        m.outb(GPE_STATUS, 2)
        m.qmp.ask("device_del", id="hot")
        equal([m.inb(GPE_STATUS), m.inl(UP), m.inl(DOWN), m.inl(DOWN)], [2, 0, 0x80, 0x80],
              "it is wanted back until the guest gives it")
        m.qmp.fails("Device hot is already in the process of unplug", "device_del", id="hot")
        m.outl(BUS, 5)
        equal([m.inl(port) for port in (UP, DOWN, REMOVABLE, BUS)], [0, 0, 0xffffffff, 5], "no such bus")
        m.outl(EJECT, 0x80)
        m.outl(BUS, 0)
        equal(m.inl(DOWN), 0x80, "another bus's slot stays")
        equal(m.eject(7), "hot", "who goes")
        equal([m.inl(UP), m.inl(DOWN)], [0, 0], "settled")
        equal(m.inl(0xae18), ABSENT, "past the registers")


def test_sci_follows_the_event(directory):
    with Machine(directory) as m:
        m.intercept()
        m.outb(0xb2, 0xf1)  # SCI_EN
        m.outb(GPE_ENABLE, 2)
        equal(m.irq(9), False, "SCI before")
        m.add_disk("hot")
        m.inb(GPE_STATUS)
        equal(m.irq(9), True, "SCI")
        m.outb(GPE_STATUS, 2)
        equal(m.irq(9), False, "SCI after")


def test_a_plugged_disk_works_and_goes_as_the_guest_lets_it(directory):
    with Machine(directory) as m:
        m.add_disk("hot", addr="0x9", serial="HOT")
        devfn = 9 << 3
        equal(m.config_read(devfn, 0), 0x10011af4, "what the guest finds")
        disk = Disk(m, devfn, 0)
        disk.start_modern()
        equal(disk.request(OUT, 3, b"\x5a" * 512)[0], 0, "a write")
        equal(disk.request(IN, 3, length=512), (0, b"\x5a" * 512), "read back")
        m.qmp.ask("device_del", id="hot")
        equal(disk.request(FLUSH)[0], 0, "until then it works")
        equal(m.eject(9), "hot", "it goes")
        equal(m.config_read(devfn, 0), ABSENT, "nothing there")
        equal(int(m.ask(f"readl 0x{disk.mmio:x}"), 16), ABSENT, "nor in its BAR")
        check("hot-disk" in m.nodes(), "its backend stays")
        m.qmp.ask("device_add", driver="virtio-blk", id="hot", backend="hot-disk", addr="9")
        equal(m.inl(UP), 1 << 9, "and comes again")
        disk = Disk(m, devfn, 0)
        disk.start_modern()
        equal(disk.request(IN, 3, length=512), (0, b"\x5a" * 512), "with what was written")


def test_devices_of_the_description_can_go(directory):
    with Machine(directory) as m:
        m.qmp.ask("device_del", id="cold")
        equal(m.inl(DOWN), 1 << 5, "asked")
        equal(m.eject(5), "cold", "gone")
        m.outl(EJECT, 1 << 5)  # nothing there
        m.outl(EJECT, 3)       # the board's own
        m.outl(EJECT, 1 << 6)  # unasked: the guest may let go by itself
        equal(sorted(m.qmp.event("DEVICE_DELETED")["device"] for _ in range(2)), ["pair0", "pair1"],
              "all functions of a slot")
        check("ide0" in m.devices(), m.devices())
        m.qmp.ask("blockdev-del", node__name="d0")


def test_a_plugin_that_was_not_there_at_start(directory):
    with Machine(directory) as m:
        m.qmp.ask("blockdev-add", driver="block-ram", node__name="unit-disk", size="1M")
        m.qmp.ask("blockdev-add", driver="scsi-disk", node__name="unit", backend="unit-disk")
        m.qmp.ask("device_add", driver="virtio-scsi-pci", id="scsi0", addr="0a",
                  luns=[{"target": 0, "lun": 0, "backend": "unit"}])
        equal(m.config_read(10 << 3, 0), 0x10041af4, "the adapter")
        m.qmp.fails("Node unit is in use", "blockdev-del", node__name="unit")
        m.qmp.ask("device_del", id="scsi0")
        equal(m.eject(10), "scsi0", "gone")
        m.qmp.ask("blockdev-del", node__name="unit")
        m.qmp.ask("blockdev-del", node__name="unit-disk")


def test_force_takes_a_device_out_with_its_requests(directory):
    with Machine(directory) as m:
        disk = Disk(m, 5 << 3, 0)
        disk.start_modern()
        equal(disk.request(IN, 0, length=512)[0], 0, "a read")
        m.qmp.ask("device_del", id="cold", force=True)
        equal(m.qmp.event("DEVICE_DELETED"), {"device": "cold", "path": "/machine/peripheral/cold"}, "the event")
        equal(m.config_read(5 << 3, 0), ABSENT, "gone")
        equal(m.inl(DOWN), 0, "nobody is asked")
        m.qmp.ask("device_del", id="com1", force=True)
        equal(m.inb(0x3fd), 0xff, "an ISA device, too")


def test_one_whose_requests_do_not_end_stays_and_says_so(directory):
    with Machine(directory) as m:
        disk = Disk(m, 6 << 3, 0)
        disk.start_modern()
        disk.offer(IN, 0, length=512)
        m.qmp.ask("device_del", id="pair0")
        m.outl(EJECT, 1 << 6)
        equal(m.qmp.event("DEVICE_DELETED")["device"], "pair1", "the other function")
        equal(m.qmp.ask("query-name")["name"], "backplane", "the monitor answers meanwhile")
        equal(m.qmp.event("DEVICE_UNPLUG_GUEST_ERROR")["device"], "pair0", "after ten seconds")
        m.step(3600 * 10**9)
        equal(disk.used_index(), 1, "the request has ended")
        equal(disk.request(FLUSH)[0], 0, "and the disk goes on")
        m.qmp.ask("device_del", id="pair0")
        equal(m.eject(6), "pair0", "the second time it goes")


def test_the_machine_ends_while_a_device_comes_to_rest(directory):
    with Machine(directory) as m:
        disk = Disk(m, 6 << 3, 0)
        disk.start_modern()
        disk.offer(IN, 0, length=512)
        m.outl(EJECT, 1 << 6)
        equal(m.qmp.event("DEVICE_DELETED")["device"], "pair1", "the other function")
        m.qmp.ask("quit")
        equal(m.process.wait(20), 0, "status")


def test_a_reset_settles_what_was_asked(directory):
    with Machine(directory) as m:
        m.qmp.ask("device_del", id="cold")
        m.qmp.ask("system_reset")
        equal(m.qmp.event("DEVICE_DELETED")["device"], "cold", "gone")
        equal([m.inl(UP), m.inl(DOWN), m.inb(GPE_STATUS), m.config_read(5 << 3, 0)], [0, 0, 0, ABSENT], "after")


def test_what_fails_leaves_nothing(directory):
    with Machine(directory) as m:
        devices, nodes = m.devices(), m.nodes()
        m.qmp.ask("blockdev-add", driver="block-ram", node__name="x", size="1M")

        def fails(text, **arguments):
            m.qmp.fails(text, "device_add", **arguments)
        fails("'zzz' is not a valid device model name", driver="zzz")
        fails("'block-ram-pcix' is not", driver="block-ram-pcix")
        fails("devices.y.sirial: unknown option", driver="virtio-blk", id="y", backend="x", sirial="s")
        fails("did you mean", driver="virtio-blk", id="y", backend="x", sirial="s")
        fails("no backend \"nope\"", driver="virtio-blk", id="y", drive="nope")
        fails("provides bp.net/1", driver="virtio-blk", id="y", drive="n0")
        fails("is used by devices.cold", driver="virtio-blk", id="y", drive="d0")
        fails("Duplicate device ID 'cold'", driver="virtio-blk", id="cold", drive="x")
        fails("there is something with the id", driver="virtio-blk", id="d0", drive="x")
        fails("no proper id", driver="virtio-blk", id="Bad id", drive="x")
        fails("PCI address 05.0 is taken by devices.cold", driver="virtio-blk", id="y", drive="x", addr="5")
        fails("taken by the ISA bridge", driver="virtio-blk", id="y", drive="x", addr="1")
        fails("is no PCI address", driver="virtio-blk", id="y", drive="x", addr="zz")
        fails("taken by machine.pci_bridges", driver="virtio-blk", id="y", drive="x", addr="1e")
        fails("would not see function 1", driver="virtio-blk", id="y", drive="x", addr="5.1")
        fails("slot 08 has no function 0", driver="virtio-blk", id="y", drive="x", addr="8.1")
        fails("only PCI devices", driver="serial", id="y")
        fails("Bus 'pci.7' not found", driver="virtio-blk", id="y", drive="x", bus="pci.7")
        fails("it belongs under backends", driver="block-ram", id="y")
        fails("3 is not a power of two", driver="virtio-blk", id="y", drive="x", queue_size=3)
        m.qmp.fails("Device 'nope' not found", "device_del", "DeviceNotFound", id="nope")
        m.qmp.fails("has no way to be asked", "device_del", id="com1")
        m.qmp.fails("has no way to be asked", "device_del", id="ide0")
        m.qmp.fails("has no way to be asked", "device_del", id="far")
        equal((m.devices(), m.nodes()), (devices, sorted(nodes + ["x"])), "as before")
        equal([m.inl(UP), m.inl(DOWN), m.inb(GPE_STATUS)], [0, 0, 0], "nothing was announced")
        m.qmp.ask("blockdev-del", node__name="x")


def test_behind_a_bridge_nothing_comes_but_force_takes_out(directory):
    with Machine(directory) as m:
        m.config_write(0x1e << 3, 0x18, 1 << 16 | 1 << 8)
        equal(m.functions(1), [1 << 8 | 4 << 3], "behind the bridge")
        m.qmp.ask("blockdev-add", driver="block-ram", node__name="x", size="1M")
        m.qmp.fails("nothing can be plugged behind a bridge", "device_add", driver="virtio-blk", id="y", drive="x",
                    address="1:05.0")
        m.qmp.ask("device_del", id="far", force=True)
        equal(m.qmp.event("DEVICE_DELETED")["device"], "far", "who goes")
        equal(m.functions(1), [], "behind the bridge")
        m.qmp.ask("system_reset")
        check("cold" in m.devices(), "nobody else went")


def test_without_hotplug_nothing_is_there(directory):
    with Machine(directory, "hotplug = false;") as m:
        equal([m.inl(UP), m.inl(REMOVABLE)], [ABSENT, ABSENT], "registers")
        m.qmp.ask("blockdev-add", driver="block-ram", node__name="x", size="1M")
        m.qmp.fails("machine.hotplug is false", "device_add", driver="virtio-blk", drive="x")
        m.qmp.fails("has no way to be asked", "device_del", id="cold")
        m.qmp.ask("device_del", id="cold", force=True)


def test_a_full_bus_says_so(directory):
    with Machine(directory) as m:
        for i in range(30 - 3):
            m.add_disk(f"many{i}")
        m.qmp.ask("blockdev-add", driver="block-ram", node__name="x", size="1M")
        for i in range(30):
            answer = m.qmp.call("device_add", {"driver": "virtio-blk", "drive": "x", "id": "last"})
            if "error" in answer:
                break
            m.qmp.ask("device_del", id="last", force=True)
            m.add_disk(f"more{i}")
        check("the PCI bus is full" in answer["error"]["desc"], answer)


def test_a_hundred_times(directory):
    with Machine(directory) as m:
        m.qmp.ask("blockdev-add", driver="block-ram", node__name="x", size="1M")
        before = None
        for i in range(100):
            m.qmp.ask("device_add", driver="virtio-blk", id="hot", drive="x", addr="8")
            disk = Disk(m, 8 << 3, 0)
            disk.start_modern()
            equal(disk.request(OUT, i, bytes([i]) * 512)[0], 0, "a write")
            m.qmp.ask("device_del", id="hot")
            equal(m.eject(8), "hot", "gone")
            if i == 10:
                before = len(os.listdir(f"/proc/{m.process.pid}/fd"))
        equal(len(os.listdir(f"/proc/{m.process.pid}/fd")), before, "descriptors")


UNITS = """
machine = { memory = "16M"; };
backends = { d0 = { plugin = "block-ram"; size = "1M"; }; u0 = { plugin = "scsi-disk"; backend = "d0"; };
             d1 = { plugin = "block-ram"; size = "2M"; }; n0 = { plugin = "net-null"; }; };
devices = { scsi0 = { plugin = "virtio-scsi"; luns = ( { target = 1; }, { target = 0; backend = "u0"; },
                                                       { target = 3; lun = 5; } ); };
            net0 = { plugin = "virtio-net"; backend = "n0"; }; };
"""


def units(directory):
    m = TestMachine(UNITS, directory, "--control", os.path.join(directory, "control"))
    m.qmp = Qmp(os.path.join(directory, "control"))
    return m


def test_units_go_into_empty_places(directory):
    with units(directory) as m:
        fails = m.qmp.fails
        fails("the place is taken", "device_add", driver="scsi-disk", id="x", bus="scsi0.0", drive="d1", scsi__id=0)
        fails("no such place", "device_add", driver="scsi-disk", id="x", bus="scsi0.0", drive="d1", scsi__id=7)
        fails("unknown option", "device_add", driver="scsi-disk", id="x", bus="scsi0.0", drive="d1", scsi__id=3,
              lun=5, sirial="s")
        fails("provides no bp.scsi/1", "device_add", driver="block-ram", id="x", bus="scsi0.0", size="1M", scsi__id=3)
        m.qmp.ask("device_add", driver="scsi-disk", id="hot", bus="scsi0.0", drive="d1", scsi__id=3, lun=5)
        fails("the place is taken", "device_add", driver="scsi-disk", id="x", bus="scsi0", drive="d1", scsi__id=3)
        fails("is in use", "blockdev-del", node__name="d1")
        fails("in use", "blockdev-del", node__name="hot")
        m.qmp.ask("device_del", id="hot")
        equal(m.qmp.event("DEVICE_DELETED")["device"], "hot", "gone")
        m.qmp.ask("device_del", id="u0")
        m.qmp.ask("device_add", driver="scsi-disk", id="any", bus="scsi0.0", drive="d1")
        m.qmp.ask("device_del", id="scsi0", force=True)
        equal(m.qmp.event("DEVICE_DELETED")["device"], "u0", "the unit of the description")
        equal(m.qmp.event("DEVICE_DELETED")["device"], "scsi0", "the adapter")
        m.qmp.ask("blockdev-del", node__name="any")


def test_network_and_character_backends_and_the_cable(directory):
    with units(directory) as m:
        fails = m.qmp.fails
        m.qmp.ask("netdev_add", type="null", id="n1")
        fails("does not accept value 'nope'", "netdev_add", type="nope", id="n2")
        fails("block-ram\" provides no bp.net", "netdev_add", type="block-ram", id="n2", size="1M")
        fails("unknown option", "netdev_add", type="null", id="n2", x=1)
        m.qmp.ask("device_add", driver="virtio-net-pci", id="net1", netdev="n1")
        fails("in use", "netdev_del", id="n1")
        fails("not found", "netdev_del", "DeviceNotFound", id="d0")
        m.qmp.ask("netdev_add", type="net-null", id="n2")
        m.qmp.ask("backend-swap", device="net1", backend="n2")
        m.qmp.ask("netdev_del", id="n1")
        m.qmp.ask("set_link", name="net1", up=False)
        m.qmp.ask("set_link", name="n0", up=False)
        m.qmp.ask("set_link", name="net1", up=True)
        m.qmp.ask("announce-self", initial=50, max=550, rounds=10, step=50)
        m.qmp.ask("announce-self", initial=50, max=550, rounds=10, step=50, interfaces=["net1", "net0"], id="x")
        fails("Device 'nope' not found", "announce-self", "DeviceNotFound", initial=1, max=1, rounds=1, step=1, interfaces=["nope"])
        fails("expected: array", "announce-self", initial=1, max=1, rounds=1, step=1, interfaces=5)
        rule = m.qmp.ask("query-rx-filter", name="net1")[0]
        equal((rule["name"], rule["broadcast-allowed"], rule["vlan-table"]), ("net1", True, []), rule)
        equal(len(m.qmp.ask("query-rx-filter")), 2, "both cards")
        fails("not found", "query-rx-filter", "DeviceNotFound", name="scsi0")
        fails("Device 'd0' not found", "set_link", "DeviceNotFound", name="d0", up=True)
        fails("Device 'scsi0' not found", "set_link", "DeviceNotFound", name="scsi0", up=True)
        m.qmp.ask("chardev-add", id="c0", backend={"type": "file", "data": {"path": "/dev/null"}})
        fails("does not accept", "chardev-add", id="c1", backend={"type": "nope", "data": {}})
        fails("does not accept", "chardev-add", id="c1", backend={"type": 5})
        fails("expected: object", "chardev-add", id="c1", backend={"type": "file", "data": 5})
        equal([c["label"] for c in m.qmp.ask("query-chardev")], ["c0"], "characters")
        m.qmp.ask("chardev-remove", id="c0")
        fails("Chardev 'c0' not found", "chardev-remove", "DeviceNotFound", id="c0")


if __name__ == "__main__":
    run_tests([test for name, test in sorted(globals().items())
               if name.startswith("test_") and callable(test)])
