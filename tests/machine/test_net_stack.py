#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Networks below virtio-net: filters in every order, captures that tcpdump reads, backends exchanged,
TAP with dnsmasq, passt. Each test runs in a network namespace of its own where that is allowed."""

import ctypes
import itertools
import os
import shutil
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))
from backplane import check, run_tests  # noqa: E402
from registers import Qmp, TestMachine, equal  # noqa: E402
from test_virtio_net import RX, Card, connect, frame, get, put  # noqa: E402

GUEST = bytes([2, 0, 0, 0, 0, 9])  # what frame() has as its source
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
CLONE_NEWNET = 0x40000000
FILTERS = {
    "netem": "delay_us = 2000; jitter_us = 1000; seed = 1;",
    "pcap": 'path = "net.pcapng";',
    "macguard": 'macs = [ "02:00:00:00:00:09" ];',
}
MACHINE = """
machine = {{ memory = "16M"; {machine} }};
backends = {{ {backends} }};
devices = {{ net0 = {{ plugin = "virtio-net"; address = "05.0"; backend = "{top}"; mac = "02:00:00:00:00:09"; }}; }};
"""


def namespace():
    """Whether this process is in a network of its own now, with ip(8) at hand."""
    libc = ctypes.CDLL(None, use_errno=True)
    return shutil.which("ip", path=PATH) and libc.unshare(CLONE_NEWNET) == 0 and run("ip link set lo up")


def run(command):
    return subprocess.run(command.split(), env={**os.environ, "PATH": PATH}, check=False,
                          stderr=subprocess.DEVNULL).returncode == 0


def skipped(reason):
    print(f"# skipped: {reason}")


def stack(order, base="base"):
    """Filters on a backend: their lines and the id of the topmost."""
    lines, below = "", base
    for name in order:
        lines += f'{name} = {{ plugin = "filter-{name}"; below = "{below}"; {FILTERS[name]} }};\n'
        below = name
    return lines, below


class Network(TestMachine):
    """A machine with one card, driven through a Card."""

    def __init__(self, directory, backends, top, machine=""):
        super().__init__(MACHINE.format(backends=backends, top=top, machine=machine), directory, name=f"on-{top}")

    def __enter__(self):
        super().__enter__()
        self.card = Card(self)
        self.card.post(100)
        return self

    def pull(self):
        """The next frame for the guest; time goes on meanwhile."""
        self.wait_until(lambda: self.step(1000000) >= 0 and self.waits(), "a frame for the guest")
        data = self.card.receive()
        self.card.post(1)
        return data

    def waits(self):
        return self.card.used_index(RX) != self.card.used[RX]

    def ask_for_lease(self):
        """Says that it needs an address until somebody offers one."""
        for _ in range(100):
            self.card.send(discover())
            time.sleep(0.1)
            while self.waits():
                data = self.pull()
                if is_offer(data):
                    return data
        raise AssertionError("nobody offers an address")

    def push(self, peer, data):
        """Sends a frame of the guest; waits for it at the other end of a net-stream."""
        self.card.send(data)
        peer.settimeout(0.02)
        for _ in range(500):
            self.step(1000000)
            try:
                return get(peer)
            except TimeoutError:
                pass
        raise AssertionError("the frame did not come out")


def captured(path):
    """What tcpdump reads: (direction or None, bytes) of each frame."""
    with open(path, "rb") as file:
        text = subprocess.run(["tcpdump", "-r", "-", "-xx", "-n", "-t"], stdin=file, capture_output=True, check=True,
                              env={**os.environ, "PATH": PATH}, text=True).stdout
    frames = []
    for line in text.splitlines():
        if line.startswith("\t0x"):
            frames[-1] += bytes.fromhex(line.split(":", 1)[1].replace(" ", ""))
        else:
            frames.append(b"")
    return frames


def test_filters_stack_in_every_order(directory):
    path = os.path.join(directory, "lan.sock")
    for order in itertools.permutations(FILTERS):
        lines, top = stack(order)
        lines, top = lines.replace(f"{top} =", f"{'-'.join(order)} =", 1), "-".join(order)
        with Network(directory, f'base = {{ plugin = "net-stream"; path = "{path}"; }};\n' + lines, top) as m:
            peer = connect(path)
            m.wait_until(m.card.link, "link up")
            sent, expected = [], []
            for i in range(6):
                data = frame(i, 60 + i * 290)
                put(peer, data)
                equal(m.pull(), data, f"{order}: a received frame")
                equal(m.push(peer, data), data, f"{order}: a sent frame")
                expected += [data, data]
                stranger = data[:6] + bytes([2, 0, 0, 0, 0, 8]) + data[12:]
                m.card.send(stranger)
                sent.append(stranger)
            equal(m.push(peer, frame(99)), frame(99), f"{order}: strangers' frames come out")
            expected.append(frame(99))
            peer.close()
        if shutil.which("tcpdump", path=PATH):
            got = captured(os.path.join(directory, "net.pcapng"))
            above_guard = order.index("pcap") > order.index("macguard")
            equal([x for x in got if x[6:12] == GUEST], expected, f"{order}: the capture")
            equal([x for x in got if x[6:12] != GUEST], sent if above_guard else [], f"{order}: strangers in it")


def test_backends_are_exchanged_below_filters(directory):
    first, second = (os.path.join(directory, name) for name in ("first.sock", "second.sock"))
    control = os.path.join(directory, "qmp")
    lines, top = stack(("pcap", "netem"))
    with Network(directory, f'base = {{ plugin = "net-stream"; path = "{first}"; }};\n' + lines, top,
                 f'control = "{control}";') as m, Qmp(control) as qmp:
        peer = connect(first)
        m.wait_until(m.card.link, "link up")
        equal(m.push(peer, frame(1)), frame(1), "a frame to the first network")
        qmp.ask("blockdev-add", driver="net-stream", node__name="other", path=second)
        qmp.ask("backend-swap", device="pcap", backend="other")
        peer.close()
        peer = connect(second)
        m.wait_until(m.card.link, "link up again")
        equal(m.push(peer, frame(2)), frame(2), "a frame to the second network")
        put(peer, frame(3))
        equal(m.pull(), frame(3), "a frame from it")


def meet(one, two):
    """Waits until frames of the first machine reach the second one."""
    for _ in range(200):
        one.card.send(frame(0))
        one.step(100000000)
        time.sleep(0.05)
        if two.waits():
            break
    time.sleep(0.1)
    while two.waits():
        two.pull()


def test_two_machines_talk_over_sockets(directory):
    cables = {"stream": ('path = "cable";', 'path = "cable"; server = false; reconnect = 10;'),
              "dgram": ('path = "left"; peer_path = "right";', 'path = "right"; peer_path = "left";')}
    for kind, (left, right) in cables.items():
        with Network(directory, f'a-{kind} = {{ plugin = "net-{kind}"; {left} }};', f"a-{kind}") as one:
            for i in range(2):  # the second one of these is another machine
                with Network(directory, f'b-{kind}{i} = {{ plugin = "net-{kind}"; {right} }};', f"b-{kind}{i}") as two:
                    meet(one, two)
                    meet(two, one)
                    for n in range(8):
                        one.card.send(frame(n, 60 + n * 180))
                        equal(two.pull(), frame(n, 60 + n * 180), f"{kind}: a frame for the second machine")
                        two.card.send(frame(n, 1500 - n * 180))
                        equal(one.pull(), frame(n, 1500 - n * 180), f"{kind}: a frame for the first machine")
                if kind == "stream":
                    one.wait_until(lambda: not one.card.link(), "link down")


def find_frame(peer, wanted):
    """Reads frames until one is this: of a group, QEMU gives its own back as well."""
    peer.settimeout(20)
    stream = peer.makefile("rb", buffering=0)
    while True:
        data = read_exactly(stream, int.from_bytes(read_exactly(stream, 4), "big"))
        if data == wanted:
            return


def read_exactly(stream, count):
    data = b""
    while len(data) < count:
        more = stream.read(count - len(data))
        check(more, "the other end closed the connection")
        data += more
    return data


def test_qemu_speaks_the_same_datagrams(directory):
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        return skipped("no qemu-system-x86_64")
    ours, theirs, far = (os.path.join(directory, name) for name in ("ours", "theirs", "far"))
    group = f"239.77.{os.getpid() >> 8 & 255}.{os.getpid() & 255}:12346"
    kinds = {"unix": (f"dgram,id=a,local.type=unix,local.path={theirs},remote.type=unix,remote.path={ours}",
                      f'path = "{ours}"; peer_path = "{theirs}";'),
             "mcast": (f"socket,id=a,mcast={group},localaddr=127.0.0.1",
                       f'group = "{group}"; group_interface = "127.0.0.1";')}
    for kind, (netdev, options) in kinds.items():
        arguments = [qemu, "-M", "none", "-nodefaults", "-display", "none", "-netdev", netdev,
                     "-netdev", f"stream,id=b,server=on,addr.type=unix,addr.path={far}{kind}"]
        for name in "ab":
            arguments += ["-netdev", f"hubport,id=hub{name},hubid=0,netdev={name}"]
        process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
        try:
            peer = connect(far + kind)
            with Network(directory, f'{kind} = {{ plugin = "net-dgram"; {options} }};', kind) as m:
                m.wait_until(lambda: put(peer, frame(0)) or time.sleep(0.05) or m.waits(), f"{kind}: a frame of QEMU's")
                time.sleep(0.1)
                while m.waits():
                    equal(m.pull(), frame(0), f"{kind}: the first frames")
                for i in range(8):
                    put(peer, frame(i, 60 + i * 180))
                    equal(m.pull(), frame(i, 60 + i * 180), f"{kind}: a frame of QEMU's")
                    m.card.send(frame(50 + i, 60 + i * 180))
                    find_frame(peer, frame(50 + i, 60 + i * 180))
            peer.close()
        finally:
            process.kill()
            process.wait()
    return None


def udp(source, destination, ports, data, macs):
    """A frame with a UDP datagram; no UDP checksum."""
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + len(data), 0, 0, 64, 17, 0, source, destination)
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xffff) + (total >> 16)
    head = head[:10] + struct.pack(">H", ~(total + (total >> 16)) & 0xffff) + head[12:]
    return macs + b"\x08\x00" + head + struct.pack(">HHHH", *ports, 8 + len(data), 0) + data


def discover():
    data = struct.pack(">BBBBI", 1, 1, 6, 0, 0x5eed) + bytes(20) + GUEST + bytes(202)
    data += bytes.fromhex("63825363 350101 3707010306 0f1c4243 ff".replace(" ", "")) + bytes(60)
    return udp(bytes(4), b"\xff" * 4, (68, 67), data, b"\xff" * 6 + GUEST)


def is_offer(data):
    return data[12:14] == b"\x08\x00" and data[23] == 17 and data[34:38] == struct.pack(">HH", 67, 68)


def test_tap_gets_a_lease_of_dnsmasq_on_a_bridge(directory):
    if not os.access("/dev/net/tun", os.W_OK) or not namespace():
        return skipped("no network namespace, no ip(8), or no /dev/net/tun")
    if not shutil.which("dnsmasq", path=PATH):
        return skipped("no dnsmasq (dnsmasq-base)")
    check(run("ip link add br0 type bridge") and run("ip addr add 10.7.0.1/24 dev br0") and
          run("ip link set br0 up"), "cannot make a bridge")
    lines, top = stack(("macguard", "pcap"))
    backend = 'base = { plugin = "net-tap"; interface = "tap0"; bridge = "br0"; };\n'
    server = None
    try:
        with Network(directory, backend + lines, top) as m:
            server = subprocess.Popen(["dnsmasq", "-k", "-C", "/dev/null", "-i", "br0", "-p", "0", "-u", "root",
                                       "--bind-interfaces", "-F", "10.7.0.50,10.7.0.60", "-M", "boot.ipxe",
                                       "-l", os.path.join(directory, "leases"), "--no-ping", "-x", ""],
                                      env={**os.environ, "PATH": PATH}, stderr=subprocess.DEVNULL)
            offer = m.ask_for_lease()
            check(offer[58:61] == bytes([10, 7, 0]), "the address offered is " + offer[58:62].hex())
            check(b"boot.ipxe" in offer, "no boot file in the offer")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:  # checksums are the card's and the kernel's
                host.bind(("10.7.0.1", 7000))
                host.settimeout(20)
                shown = subprocess.run(["ip", "link", "show", "br0"], env={**os.environ, "PATH": PATH}, check=True,
                                       capture_output=True, text=True).stdout
                mac = bytes.fromhex(shown.split("link/ether ")[1].split()[0].replace(":", ""))
                m.card.send(udp(bytes([10, 7, 0, 50]), bytes([10, 7, 0, 1]), (7001, 7000), b"hello", mac + GUEST))
                equal(host.recv(100), b"hello", "a datagram of the guest")
    finally:
        if server is not None:
            server.kill()
            server.wait()


def test_passt_answers_over_net_stream(directory):
    if not shutil.which("passt", path=PATH) or not namespace():
        return skipped("no passt, or no network namespace")
    check(run("ip link add up0 type bridge") and run("ip addr add 192.0.2.10/24 dev up0") and
          run("ip link set up0 up") and run("ip route add default via 192.0.2.1"), "cannot make an interface")
    path = os.path.join(directory, "passt.sock")
    os.chmod(directory, 0o777)  # passt gives root up
    server = subprocess.Popen(["passt", "-f", "-s", path, "-1"], env={**os.environ, "PATH": PATH},
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        backend = f'base = {{ plugin = "net-stream"; path = "{path}"; server = false; reconnect = 20; }};\n'
        with Network(directory, backend, "base") as m:
            m.wait_until(lambda: server.poll() is not None or m.step(20000000) >= 0 and m.card.link(), "passt")
            if server.poll() is not None:
                return skipped("passt does not run here")
            offer = m.ask_for_lease()
            equal(offer[58:62], bytes([192, 0, 2, 10]), "the address that passt offers")
    finally:
        server.kill()
        server.wait()
    return None


if __name__ == "__main__":
    run_tests([
        test_filters_stack_in_every_order,
        test_backends_are_exchanged_below_filters,
        test_two_machines_talk_over_sockets,
        test_qemu_speaks_the_same_datagrams,
        test_tap_gets_a_lease_of_dnsmasq_on_a_bridge,
        test_passt_answers_over_net_stream,
    ])
