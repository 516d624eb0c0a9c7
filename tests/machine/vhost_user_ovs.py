#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""net-vhost-user with a stranger: two machines on a bridge of Open vSwitch with DPDK, which is stopped and
started again meanwhile. Its poll threads keep a processor busy, so it is not registered; as root, with
openvswitch-switch-dpdk and librte-net-vhost23 installed:

    BACKPLANE_BUILD=build python3 tests/machine/vhost_user_ovs.py
"""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, need_file, run_tests  # noqa: E402
from registers import TestMachine, equal  # noqa: E402
from test_virtio_net import RX, Card, frame  # noqa: E402

DAEMON = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
MACHINE = """
machine = {{ memory = "16M"; }};
backends = {{ sw = {{ plugin = "net-vhost-user"; path = "{path}"; server = true; {options} }};
             seen = {{ plugin = "filter-pcap"; below = "sw"; path = "{path}.pcapng"; }}; }};
devices = {{ net0 = {{ plugin = "virtio-net"; address = "05.0"; backend = "seen"; mac = "02:00:00:00:00:07"; }}; }};
"""


class Switch:
    """ovsdb-server and ovs-vswitchd with everything they write in one folder."""

    def __init__(self, directory):
        self.directory = directory
        self.env = dict(os.environ, OVS_RUNDIR=directory, OVS_LOGDIR=directory, OVS_DBDIR=directory,
                        OVS_SYSCONFDIR=directory)
        self.database = f"unix:{directory}/db.sock"
        self.processes = []

    def vsctl(self, *arguments):
        subprocess.run(["ovs-vsctl", "--no-wait", "--db=" + self.database, *arguments], env=self.env, check=True)

    def start(self):
        self.processes.append(subprocess.Popen(
            [DAEMON, self.database, "--no-chdir", "-vconsole:off",
             f"--log-file={self.directory}/vswitchd.log", "--pidfile"], env=self.env))

    def stop(self):
        process = self.processes.pop()
        process.terminate()
        process.wait()

    def __enter__(self):
        conf = os.path.join(self.directory, "conf.db")
        subprocess.run(["ovsdb-tool", "create", conf, SCHEMA], env=self.env, check=True)
        self.processes.append(subprocess.Popen(
            ["ovsdb-server", conf, f"--remote=punix:{self.directory}/db.sock", "--no-chdir", "-vconsole:off"],
            env=self.env))
        while not os.path.exists(self.directory + "/db.sock"):
            time.sleep(0.05)
        self.vsctl("init")
        self.vsctl("set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                   'other_config:dpdk-extra="--no-huge --legacy-mem -m 512 --no-pci --iova-mode=va"',
                   "other_config:pmd-cpu-mask=0x2", "other_config:per-port-memory=true")
        self.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        self.start()
        return self

    def add(self, name, path):
        self.vsctl("add-port", "br0", name, "--", "set", "Interface", name, "type=dpdkvhostuserclient",
                   "options:vhost-server-path=" + path)

    def log(self):
        with open(os.path.join(self.directory, "vswitchd.log"), encoding="utf-8") as file:
            return file.read()

    def __exit__(self, *_):
        while self.processes:
            self.stop()


def wait_links(switch, machines, cards, up):
    for machine, card in zip(machines, cards):
        try:
            machine.wait_until(lambda: card.link() == up, f"link {up}", 60)
        except BaseException:
            print("# " + switch.log()[-6000:].replace("\n", "\n# "))
            raise


def warm_up(switch, here, there):
    """A switch that has just got a port drops frames for a while."""
    for _ in range(200):
        here.send(frame(255))
        time.sleep(0.5)
        if there.used_index(RX) != there.used[RX]:
            break
    else:
        print("# " + switch.log()[-6000:].replace("\n", "\n# "))
        check(False, "the switch forwards nothing")
    while there.used_index(RX) != there.used[RX]:
        equal(there.receive(), frame(255), "a frame through the switch")
        there.post(1)


def exchange(switch, cards, count):
    for here, there in (cards, cards[::-1]):
        there.post(count)
        warm_up(switch, here, there)
        for i in range(count):
            data = frame(i, 60 + i * 37)
            here.send(data)
            equal(there.receive(), data, "a frame through the switch")


def test_two_machines_meet_on_a_bridge_that_comes_and_goes(directory):
    paths = [os.path.join(directory, f"vhost{i}.sock") for i in (0, 1)]
    folders = [os.path.join(directory, f"m{i}") for i in (0, 1)]
    for folder in folders:
        os.makedirs(folder)
    with Switch(directory) as switch, \
            TestMachine(MACHINE.format(path=paths[0], options=""), folders[0]) as one, \
            TestMachine(MACHINE.format(path=paths[1], options="mtu = 1500;"), folders[1]) as two:
        for i, path in enumerate(paths):
            switch.add(f"vhost{i}", path)
        machines = one, two
        cards = Card(one), Card(two)
        wait_links(switch, machines, cards, 1)
        exchange(switch, cards, 30)
        switch.stop()
        wait_links(switch, machines, cards, 0)
        switch.start()
        wait_links(switch, machines, cards, 1)
        exchange(switch, cards, 30)
    check("VIRTIO" in switch.log() or "vHost" in switch.log(), "the switch did not speak of vhost")
    for path in paths:
        check(os.path.getsize(path + ".pcapng") > 60 * 60, "the filter above saw nothing")


if __name__ == "__main__":
    need_file(DAEMON, "openvswitch-switch-dpdk")
    run_tests([test_two_machines_meet_on_a_bridge_that_comes_and_goes])
