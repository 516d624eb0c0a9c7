#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux with a virtio-net card of each kind in one boot: modern and legacy, with offloads and mergeable
buffers and without, several pairs of queues and one. Each gets a lease, pings, resolves a name, fetches
a file by TFTP, and moves 2 MiB by TCP in each direction; the machine is stopped and a filter put below a
card meanwhile; a fifth card's cable is plugged and pulled. Not registered, for it takes many minutes on
a KVM that interprets; by hand, as root, the second form with two guests on one cable:

    meson devenv -C build python3 ../tests/linux/test_linux_net_cards.py [two]
"""

import hashlib
import os
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))
from backplane import Machine, check, is_interpreting_kvm, need_file, need_kvm, run_tests, skip_all  # noqa: E402
from registers import Qmp, equal  # noqa: E402
from test_linux import CMDLINE, INTERPRETED, kernel, make_initramfs  # noqa: E402
from test_linux_net import servers  # noqa: E402

MIB_2 = 2 * 1024 * 1024
BOOT_SECONDS = 900
# name, options, network
NICS = [("modern", 'interface = "modern"; pairs = 4; queue_loops = [0, 0, 1, 1];', "10.0.10"),
        ("plain", 'interface = "modern"; offloads = false; mergeable = false;', "10.0.11"),
        ("legacy", 'interface = "legacy";', "10.0.12"),
        ("old", 'interface = "legacy"; offloads = false; mergeable = false;', "10.0.13")]
CABLE_MAC = 0x30


class Sink(threading.Thread):
    """Takes connections, one after the other, and everything that comes."""

    def __init__(self, listener):
        super().__init__(daemon=True)
        self.listener = listener
        self.sums = []

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            sum_, size = hashlib.md5(), 0
            with connection:
                while data := connection.recv(65536):
                    sum_.update(data)
                    size += len(data)
            self.sums.append((size, sum_.hexdigest()))


class NameServer(threading.Thread):
    """Answers every question with 192.0.2.77, on the port that resolvers know. None if it is taken."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.bind(("127.0.0.1", 53))
        except OSError:
            self.socket = None
            return
        self.start()

    def run(self):
        while True:
            query, sender = self.socket.recvfrom(512)
            end = query.index(b"\0", 12) + 5
            answer = query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:end]
            self.socket.sendto(answer + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([192, 0, 2, 77]), sender)


def command_line(words):
    return CMDLINE + (INTERPRETED if is_interpreting_kvm() else "") + " acpi=off " + words


def description(initrd, words, backends, devices, extra="", cpus=2):
    return f"""
machine = {{ memory = "96M"; cpus = {cpus}; acpi = false; {extra}
  boot = {{ kernel = "{kernel("vmlinux")}"; initrd = "{initrd}"; cmdline = "{command_line(words)}"; }}; }};
backends = {{ {backends} tty = {{ plugin = "char-stdio"; }}; }};
devices = {{ {devices} com1 = {{ plugin = "serial"; backend = "tty"; }}; }};
"""


def make_greeting(directory):
    tftp = os.path.join(directory, "tftp")
    os.makedirs(tftp, exist_ok=True)
    with open(os.path.join(tftp, "greeting"), "w", encoding="ascii") as file:
        file.write("hello from the host\n")
    return tftp


def check_card(facts, name, network, down, sent, tail):
    """What a card's facts must be. down: what was to be fetched; sent: (bytes, sum) that the host got."""
    equal(facts.get(name + "_lease"), network + ".15", f"{name}: lease\n{tail}")
    equal(facts.get(name + "_ping"), "done", f"{name}: pings of the router\n{tail}")
    equal(facts.get(name + "_tftp"), "hello from the host", f"{name}: TFTP\n{tail}")
    equal(facts.get(name + "_http"), hashlib.md5(down).hexdigest(), f"{name}: what came by HTTP\n{tail}")
    equal(sent, (MIB_2, facts.get(name + "_sent")), f"{name}: what the guest sent\n{tail}")


def five_cards(directory, port):
    tftp = make_greeting(directory)
    words, backends, devices = f"port={port} cable=cable:{CABLE_MAC:02x}", "", ""
    for i, (name, options, network) in enumerate(NICS):
        backends += f'wan{i} = {{ plugin = "net-user"; network = "{network}.0/24"; tftp = "{tftp}"; }};\n'
        devices += (f'net{i} = {{ plugin = "virtio-net"; backend = "wan{i}"; rom = ""; '
                    f'mac = "02:00:00:00:00:{0x20 + i:02x}"; {options} }};\n')
        words += f" nic={name}:{0x20 + i:02x}:{network}"
    backends += f'cable = {{ plugin = "net-stream"; path = "{directory}/cable.sock"; }};\n'
    devices += (f'net9 = {{ plugin = "virtio-net"; backend = "cable"; rom = ""; '
                f'mac = "02:00:00:00:00:{CABLE_MAC:02x}"; }};\n')
    return description(make_initramfs(directory, "init_net_cards"), words, backends, devices,
                       f'loops = 2; control = "{directory}/qmp";')


def disturb(directory):
    """While 2 MiB come down: the machine stands still for a while, and goes on upon a filter."""
    with Qmp(os.path.join(directory, "qmp")) as qmp:
        qmp.ask("stop")
        time.sleep(1)  # what must survive is a pause
        qmp.ask("cont")
        qmp.ask("backend-swap", device="net0",
                backend={"driver": "filter-pcap", "node-name": "dump", "path": directory + "/net0.pcapng"})
        qmp.ask("stop")
        qmp.ask("cont")


def pull_the_cable(directory, machine):
    machine.wait_for("FACT cable_link=down", BOOT_SECONDS)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(directory + "/cable.sock")
        machine.wait_for("FACT cable_link=up", 120)
    machine.wait_for("FACT cable_link=down again", 120)


def test_every_kind_of_card_works(directory):
    down = os.urandom(MIB_2)
    port, sink = servers(down, sink_type=Sink)
    names = NameServer()
    with Machine(five_cards(directory, port), "--no-reboot", directory=directory) as machine:
        pull_the_cable(directory, machine)
        machine.wait_for("FACT modern_begins", BOOT_SECONDS)
        disturb(directory)
        for name, *_ in NICS:
            machine.wait_for(f"FACT {name}_sent", BOOT_SECONDS)
        machine.wait_for("FACT end", 120)
        text, tail = machine.text(), machine.tail(70)
    facts = dict(re.findall(r"FACT (\w+)=(.*?)\r?\n", text))
    print(f"# {facts}")
    equal(len(sink.sums), len(NICS), f"connections of the guest\n{tail}")
    for (name, _, network), sent in zip(NICS, sink.sums):
        check_card(facts, name, network, down, sent, tail)
        check(names.socket is None or facts.get(name + "_dns") == "done", f"{name}: no answer from the name server")
    equal(facts["modern_queues"], "4", "queues of the card with several pairs")
    equal(facts["plain_queues"], "1", "queues of a card with one pair")
    with open(os.path.join(directory, "net0.pcapng"), "rb") as file:
        check(len(file.read()) > MIB_2 // 2, "the filter saw nothing of the transfer")


def guest_of_two(directory, number):
    mine, there = f"10.9.0.{number}", f"10.9.0.{3 - number}"
    os.makedirs(directory)
    return description(
        make_initramfs(directory, "init_net_cards"), f"lan={mine}:{number:02x}:{there}",
        f'lan = {{ plugin = "net-stream"; path = "{directory}/../lan.sock"; server = {str(number == 1).lower()}; }};',
        f'net0 = {{ plugin = "virtio-net"; backend = "lan"; rom = ""; mac = "02:00:00:00:00:{number:02x}"; }};',
        cpus=1)


def test_two_guests_talk_over_a_cable(directory):
    first, second = os.path.join(directory, "1"), os.path.join(directory, "2")
    with Machine(guest_of_two(first, 1), "--no-reboot", directory=first) as one, \
            Machine(guest_of_two(second, 2), "--no-reboot", directory=second) as two:
        for fact in ("link", "ping", "got"):
            for machine, other in ((one, two), (two, one)):
                try:
                    machine.wait_for(f"FACT lan_{fact}", BOOT_SECONDS)
                except BaseException:
                    print("# the other guest:\n# " + other.tail(20).replace("\n", "\n# "))
                    raise
        for machine in (one, two):
            machine.wait_for("FACT end", 300)
        facts = [dict(re.findall(r"FACT (\w+)=(.*?)\r?\n", m.text())) for m in (one, two)]
    print(f"# {facts}")
    equal(facts[0]["lan_got"], facts[1]["lan_up"], "what the first guest fetched")
    equal(facts[1]["lan_got"], facts[0]["lan_up"], "what the second guest fetched")


if __name__ == "__main__":
    need_kvm()
    need_file("/bin/busybox", "busybox-static")
    if kernel("vmlinux") is None:
        skip_all("no vmlinux (set BACKPLANE_TEST_KERNEL)")
    run_tests([test_two_guests_talk_over_a_cable] if sys.argv[1:] == ["two"] else
              [test_every_kind_of_card_works])
