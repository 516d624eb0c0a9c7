#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The control socket: what it tells, what it does with bad input, and who may talk to it."""

import json
import os
import socket
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import PROGRAM, SOURCE, check, run_tests  # noqa: E402
from registers import Qmp, TestMachine, equal  # noqa: E402
from test_virtio_blk import IN, OUT, Disk  # noqa: E402

CONFIG = """
machine = { name = "odd \\"name\\""; memory = "16M"; cpus = 2; %s };
backends = { disk = { plugin = "block-ram"; size = "1M"; };
             slow = { plugin = "filter-throttle"; below = "disk"; };
             tty = { plugin = "char-file"; path = "/dev/null"; }; };
devices = { com1 = { plugin = "serial"; backend = "tty"; };
            ide0 = { plugin = "ide"; drives = ( { channel = 0; unit = 0; disk = "slow"; } ); }; };
"""


class Machine(TestMachine):
    def __init__(self, directory, options=""):
        self.control = os.path.join(directory, "control")
        super().__init__(CONFIG % options, directory, "--control", self.control)
        self.qmp = Qmp(self.control)

    def __exit__(self, *arguments):
        self.qmp.__exit__()
        super().__exit__(*arguments)

    def connect(self):
        """A connection past its greeting, without negotiation."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        client.connect(self.control)
        file = client.makefile("r", encoding="utf-8")
        check("QMP" in json.loads(file.readline()), "no greeting")
        return client, file


def test_the_commands_answer(directory):
    with Machine(directory) as m:
        names = [entry["name"] for entry in m.qmp.ask("query-commands")]
        equal(names, sorted(names), "commands are in order")
        equal(m.qmp.ask("query-name"), {"name": 'odd "name"'}, "name")
        version = m.qmp.ask("query-version")
        equal(sorted(version["qemu"]), ["major", "micro", "minor"], version)
        check(m.qmp.ask("query-uuid")["UUID"].count("-") == 4, "a UUID")
        cpus = m.qmp.ask("query-cpus-fast")
        equal([(cpu["cpu-index"], cpu["target"]) for cpu in cpus], [(0, "x86_64"), (1, "x86_64")], "cpus")
        devices = m.qmp.ask("query-pci")[0]["devices"]
        ide = next(entry for entry in devices if entry["class_info"]["class"] == 0x101)
        equal(ide["qdev_id"], "ide0", "name of the controller")
        equal((ide["regions"][0]["bar"], ide["regions"][0]["size"], ide["regions"][0]["type"],
               ide["regions"][0]["address"]), (4, 16, "io", -1), "its BAR 4, not placed yet")
        chars = m.qmp.ask("query-chardev")
        equal([(c["label"], c["filename"], c["frontend-open"]) for c in chars], [("tty", "/dev/null", True)],
              "chardev")
        equal(m.qmp.ask("query-machines")[0]["name"], "pc", "machines")
        types = {entry["name"]: entry["parent"] for entry in m.qmp.ask("qom-list-types")}
        equal((types["ide"], types["block-ram"]), ("device", "backend"), "types")
        check("block-ram" not in [entry["name"] for entry in m.qmp.ask("qom-list-types", implements="device")],
              "only devices")
        options = {entry["name"]: entry for entry in m.qmp.ask("device-list-properties", typename="block-ram")}
        equal(options["size"]["type"], "size", "an option")
        m.qmp.fails("Device 'nope' not found", "device-list-properties", "DeviceNotFound", typename="nope")
        m.qmp.fails("no console", "screendump", filename="/tmp/x")
        m.qmp.ask("inject-nmi")


def test_human_monitor_command(directory):
    with Machine(directory) as m:
        def say(line):
            return m.qmp.ask("human-monitor-command", command__line=line)
        equal(say("info status"), "VM status: running\r\n", "status")
        m.qmp.ask("stop")
        equal(say(" info status"), "VM status: paused\r\n", "status")
        check(" (slow): slow (filter-throttle)\r\n" in say("info block"), say("info block"))
        check("  Bus  0, device   0, function 0:\r\n    Host bridge: PCI device 8086:1237\r\n" in say("info pci"),
              say("info pci"))
        check('dev: ide, id "ide0"\r\n' in say("info qtree"), say("info qtree"))
        equal(say("info foo"), "unknown command: 'info foo'\r\n", "unknown")


def test_pmemsave(directory):
    path = os.path.join(directory, "memory")
    with Machine(directory) as m:
        m.write(0x1ffffe, b"abcd")
        m.qmp.ask("pmemsave", val=0x1ffff0, size=1 << 20, filename=path)
        with open(path, "rb") as file:
            data = file.read()
        equal((len(data), data[14:18]), (1 << 20, b"abcd"), "what was saved")
        equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode")
        m.qmp.fails("no RAM there", "pmemsave", val=15 << 20, size=2 << 20, filename=path)
        m.qmp.fails("must not be negative", "pmemsave", val=-1, size=1, filename=path)
        m.qmp.fails("Could not open '/nowhere/x': No such file", "pmemsave", val=0, size=1, filename="/nowhere/x")
        os.mkfifo(path + ".pipe")
        m.qmp.fails("Could not open", "pmemsave", val=0, size=1, filename=path + ".pipe")


def test_statistics_and_limits(directory):
    limits = {"bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0}
    with Machine(directory) as m:
        def stats():
            entry = m.qmp.ask("query-blockstats")[0]
            equal((entry["device"][:4], entry["node-name"]), ("ide0", "slow"), "whose")
            return entry["stats"]

        def read_sector():
            m.outb(0x1f2, 1)
            for port, value in ((0x1f3, 0), (0x1f4, 0), (0x1f5, 0), (0x1f6, 0xe0), (0x1f7, 0x20)):
                m.outb(port, value)
        before = stats()
        read_sector()
        m.wait_until(lambda: m.inb(0x1f7) & 0x88 == 0x08, "data")
        after = stats()
        equal(after["rd_operations"] - before["rd_operations"], 1, "reads")
        equal(after["rd_bytes"] - before["rd_bytes"], 512, "bytes read")
        equal((after["wr_operations"], after["failed_operations"]), (0, 0), "nothing else")
        for _ in range(256):
            m.inw(0x1f0)
        m.qmp.ask("block_set_io_throttle", id="ide0", **dict(limits, iops=1))
        for _ in range(2):
            read_sector()
            m.step(1)
            busy = m.inb(0x1f7) & 0x80 != 0
            if busy:
                m.step(2000000000)
            m.wait_until(lambda: m.inb(0x1f7) & 0x88 == 0x08, "data")
            for _ in range(256):
                m.inw(0x1f0)
        check(busy, "the second of two reads waits for its turn")
        m.qmp.fails("Parameter 'iops_wr' is missing", "block_set_io_throttle", id="ide0", bps=0, bps_rd=0,
                    bps_wr=0, iops=0, iops_rd=0)
        m.qmp.fails("iops", "block_set_io_throttle", id="ide0", **dict(limits, iops=-1))


DISK = """
machine = { memory = "16M"; };
backends = { disk = { plugin = "block-ram"; size = "1M"; };
             shaky = { plugin = "filter-fault"; below = "disk"; rules = ( { op = "write"; error = "ENOSPC"; count = 1; } ); }; };
devices = { blk0 = { plugin = "virtio-blk"; backend = "shaky"; queues = 2; on_write_error = "stop";
                     address = "05.0"; }; };
"""


def ring_disk(directory):
    m = TestMachine(DISK, directory, "--control", os.path.join(directory, "control"))
    m.qmp = Qmp(os.path.join(directory, "control"))
    disk = Disk(m, 5 << 3, 0)
    disk.start_modern()
    return m, disk


def test_a_request_that_stops_the_machine_is_made_again(directory):
    m, disk = ring_disk(directory)
    with m, m.qmp:
        equal(m.qmp.ask("query-block")[0]["io-status"], "ok", "before")
        disk.offer(OUT, 1, b"\x11" * 512)
        event = m.qmp.event("BLOCK_IO_ERROR")
        equal((event["device"], event["action"], event["nospace"]), ("blk0", "stop", True), "the event")
        m.qmp.event("STOP")
        equal(m.qmp.ask("query-status")["status"], "io-error", "status")
        equal(m.qmp.ask("query-block")[0]["io-status"], "nospace", "io-status")
        equal(disk.used_index(), 0, "the request waits")
        m.qmp.ask("cont")
        m.wait_until(lambda: disk.used_index() == 1, "its end")
        equal(disk.request(IN, 1, length=512), (0, b"\x11" * 512), "it was carried out")
        equal(m.qmp.ask("query-block")[0]["io-status"], "ok", "after")


def test_latency_is_counted_for_who_asks(directory):
    m, disk = ring_disk(directory)
    with m, m.qmp:
        def stats():
            return m.qmp.ask("query-blockstats")[0]["stats"]

        def set_bounds(**options):
            m.qmp.ask("block-latency-histogram-set", id="blk0", **options)
        m.qmp.ask("backend-swap", device="blk0", backend="disk")
        equal(disk.request(IN, 0, length=512)[0], 0, "a read nobody times")
        check("rd_latency_histogram" not in stats() and "rd_total_time_ns" not in stats(), stats())
        set_bounds(boundaries=[10, 1000000000000], boundaries__write=[1000000000000])
        for sector in range(5):
            equal(disk.request(IN, sector, length=512)[0], 0, "a read")
        equal(disk.request(OUT, 7, b"x" * 512)[0], 0, "a write")
        found = stats()
        equal(found["rd_latency_histogram"], {"boundaries": [10, 1000000000000], "bins": [0, 5, 0]}, "reads")
        equal(found["wr_latency_histogram"], {"boundaries": [1000000000000], "bins": [1, 0]}, "writes")
        equal(found["flush_latency_histogram"]["bins"], [0, 0, 0], "a disk without a cache is not flushed")
        check(50 < found["rd_total_time_ns"] < 60 * 10**9, found)
        equal([(queue["rd_operations"], queue["wr_operations"]) for queue in found["queues"]], [(6, 1), (0, 0)],
              "each queue")
        set_bounds(boundaries=[10])
        equal(stats()["rd_latency_histogram"]["bins"], [0, 0], "from zero")
        set_bounds()
        check("rd_latency_histogram" not in stats(), "off")
        for bad in ([], [0], [5, 5], [7, 3], ["x"], list(range(1, 100)), {"a": 1}, 5):
            m.qmp.fails("'boundaries' expects", "block-latency-histogram-set", id="blk0", boundaries=bad)
        m.qmp.fails("Device 'x' not found", "block-latency-histogram-set", "DeviceNotFound", id="x")


def test_ids_and_several_clients(directory):
    with Machine(directory) as m:
        client, file = m.connect()
        client.sendall(b'{"execute":"query-name"}\n{"execute":"qmp_capabilities","id":{"a":[1,null]}}'
                       b'{"execute":"qmp_capabilities","id":"x"}')
        equal(json.loads(file.readline())["error"]["class"], "CommandNotFound", "before the negotiation")
        equal(json.loads(file.readline()), {"return": {}, "id": {"a": [1, None]}}, "an id of any kind")
        equal(json.loads(file.readline())["error"]["class"], "CommandNotFound", "a second negotiation")
        m.qmp.ask("stop")
        event = json.loads(file.readline())
        equal(event["event"], "STOP", "every client hears events")
        check(0 <= event["timestamp"]["microseconds"] < 1000000 and event["timestamp"]["seconds"] > 0, event)
        file.close()
        client.close()


def test_bad_input_gets_an_error_and_the_machine_goes_on(directory):
    with Machine(directory) as m:
        for text in (b'{"execute":5}', b'{}', b'{"execute":"stop","arguments":[]}', b'{"execute":"stop","x":1}',
                     b'{"execute":}', b'[1]\n', b'}\n', b'nonsense\n', b'{"a":"\xff\xfe"}', b'{"a":\x00}\n}',
                     b'{"execute":"stop" "id":1}', b'{"execute":"\\ud800"}', b'{' * 100 + b'\n',
                     b'{"execute":"' + b'x' * 100000 + b'"}', b'{"execute":"stop","arguments":{"\\u0000":1}}'):
            client, file = m.connect()
            client.sendall(b'{"execute":"qmp_capabilities"}')
            file.readline()
            client.sendall(text)
            check("error" in json.loads(file.readline()), text[:60])
            file.close()
            client.close()
        equal(m.qmp.ask("query-status")["status"], "running", "status")
        m.inb(0x71)


def test_half_a_message_waits_and_ten_megabytes_are_refused(directory):
    with Machine(directory) as m:
        half, half_file = m.connect()
        half.sendall(b'{"execute":"qmp_capa')
        huge, huge_file = m.connect()
        huge.settimeout(60)
        try:
            huge.sendall(b'{"execute":"' + b"y" * (10 << 20) + b'"}\n')
            check("error" in json.loads(huge_file.readline()), "ten megabytes")
        except (BrokenPipeError, ConnectionResetError):
            pass  # that is allowed, too
        equal(m.qmp.ask("query-name")["name"], 'odd "name"', "others are served")
        half.sendall(b'bilities"}')
        equal(json.loads(half_file.readline()), {"return": {}}, "the other half")
        for file in (half_file, huge_file, half, huge):
            file.close()


def test_a_client_that_never_reads_is_dropped(directory):
    with Machine(directory) as m:
        deaf, file = m.connect()
        deaf.setblocking(False)
        request = b'{"execute":"qmp_capabilities"}' + b'{"execute":"query-commands"}' * 2000
        sent = 0
        try:
            for _ in range(2000):
                sent += deaf.send(request)
                m.qmp.ask("query-name")
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            pass
        check(sent > 0, "something was sent")
        equal(m.qmp.ask("query-status")["status"], "running", "status")
        with open(f"/proc/{m.process.pid}/status", encoding="ascii") as status:
            size = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        check(size < 400000, f"{size} KiB are held for a client that does not read")
        file.close()
        deaf.close()


def test_two_hundred_clients(directory):
    with Machine(directory) as m:
        clients = []
        for _ in range(200):
            client = socket.socket(socket.AF_UNIX)
            client.connect(m.control)
            client.settimeout(30)
            clients.append(client)
        equal(m.qmp.ask("query-name")["name"], 'odd "name"', "the first one is served")
        served = sum(client.recv(5) == b'{"QMP' for client in clients)
        check(0 < served < 200, f"{served} were served, the others closed")
        for client in clients:
            client.close()
        m.wait_until(lambda: socket_works(m), "room for another one")


def socket_works(machine):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(machine.control)
    works = client.recv(5) == b'{"QMP'
    client.close()
    return works


def test_the_socket_is_its_owners(directory):
    with Machine(directory) as m:
        equal(stat.S_IMODE(os.stat(m.control).st_mode), 0o600, "mode")


def run_as(uid, path):
    """Whether a process of another user gets a greeting."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(uid)
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(10)
            client.connect(path)
            os.write(writer, b"y" if client.recv(5) == b'{"QMP' else b"n")
        except OSError:
            os.write(writer, b"n")
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    answer = os.read(reader, 1)
    os.close(reader)
    return answer == b"y"


def test_the_description_names_who_may_connect(directory):
    if os.getuid() != 0:
        return
    os.chmod(directory, 0o755)
    with Machine(directory, 'control_users = ["nobody", "4711"];') as m:
        equal(run_as(65534, m.control), True, "nobody")
        equal(run_as(4711, m.control), True, "4711")
        equal(run_as(4712, m.control), False, "4712")
        equal(run_as(0, m.control), True, "the owner")


def ctl(machine, *arguments):
    """(exit status, standard output, standard error)."""
    result = subprocess.run([PROGRAM, "ctl", machine.control, *arguments], capture_output=True, text=True,
                            timeout=60, check=False)
    return result.returncode, result.stdout, result.stderr


def test_ctl(directory):
    with Machine(directory) as m:
        equal(ctl(m, "query-status"), (0, "running     true\nsinglestep  false\nstatus      running\n", ""),
              "an object")
        status, text, _ = ctl(m, "query-chardev")
        equal((status, text.splitlines()), (0, ["label  filename   frontend-open",
                                                "tty    /dev/null  true"]), "a table")
        status, text, _ = ctl(m, "--json", "query-name")
        equal((status, json.loads(text)), (0, {"name": 'odd "name"'}), "JSON")
        equal(ctl(m, "stop"), (0, "", ""), "nothing to say")
        equal(ctl(m, "human-monitor-command", "command-line=info status"), (0, "VM status: paused\n", ""), "text")
        equal(ctl(m, "block_resize", "node-name=disk", "size=2M"), (0, "", ""), "a size")
        equal(m.qmp.ask("query-named-block-nodes")[0]["image"]["virtual-size"], 2 << 20, "the size")
        equal(ctl(m, "blockdev-add", "driver=block-ram", "node-name=x", "size=1M", "readonly=true"), (0, "", ""),
              "options of a plugin")
        equal(ctl(m, "eject", "id=nope"), (1, "", "backplane ctl: Device 'nope' not found\n"), "an error")
        equal(ctl(m, "ejct")[0::2], (2, "backplane ctl: there is no command \"ejct\" (did you mean \"eject\"?); "
                                        "try: --commands\n"), "a misspelt command")
        equal(ctl(m, "eject", "force=perhaps")[0], 2, "no boolean")
        equal(ctl(m, "eject", "x=1")[0], 2, "no argument of that name")
        equal(subprocess.run([PROGRAM, "ctl", m.control + ".not", "stop"], capture_output=True, check=False)
              .returncode, 2, "nobody listens")


def complete(machine, *words):
    """What bash offers after these words."""
    script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _backplane; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    path = os.path.join(SOURCE, "docs", "completion", "backplane.bash")
    result = subprocess.run(["bash", "-c", script, "bash", path, PROGRAM, "ctl", machine.control, *words],
                            capture_output=True, text=True, timeout=60, check=True)
    return result.stdout.split()


def test_ctl_completes_and_knows_the_commands_of_devices(directory):
    m, _ = ring_disk(directory)
    m.control = os.path.join(directory, "control")
    with m, m.qmp:
        equal(complete(m, "block_res"), ["block_resize"], "a command")
        equal(complete(m, "x-query-virtio-s"), ["x-query-virtio-status"], "a device's command")
        equal(complete(m, "eject", ""), ["device=", "id=", "force="], "arguments")
        equal(complete(m, "x-query-virtio-queue-status", "pa"), ["path="], "a device's arguments")
        equal(ctl(m, "x-query-virtio"), (0, "name        path\nvirtio-blk  /machine/peripheral/blk0/virtio-backend\n",
                                         ""), "a table")
        status, text, _ = ctl(m, "--json", "x-query-virtio-queue-status", "path=blk0", "queue=0")
        equal((status, json.loads(text)["vring-num-default"]), (0, 256), "JSON")
        equal(ctl(m, "x-query-virtio-queue-status", "path=blk0", "queue=x")[0], 2, "no number")
        check("x-query-virtio-status" in ctl(m, "--commands")[1], "the machine's commands")


def test_virtio_devices_are_looked_into(directory):
    m, disk = ring_disk(directory)
    with m, m.qmp:
        equal(m.qmp.ask("x-query-virtio"), [{"name": "virtio-blk",
                                             "path": "/machine/peripheral/blk0/virtio-backend"}], "devices")
        path = m.qmp.ask("x-query-virtio")[0]["path"]
        equal(disk.request(IN, 3, length=512)[0], 0, "a read")
        status = m.qmp.ask("x-query-virtio-status", path=path)
        equal((status["device-id"], status["num-vqs"], status["started"]), (2, 2, True), status)
        equal(status["guest-features"]["transports"], ["VIRTIO_F_VERSION_1"], "what the driver chose")
        check("VIRTIO_BLK_F_MQ" in status["host-features"]["dev-features"], status)
        check("unknown-dev-features" not in status["host-features"], status)
        equal(status["status"]["statuses"][-1], "VIRTIO_CONFIG_S_FEATURES_OK", status)
        queue = m.qmp.ask("x-query-virtio-queue-status", path="blk0", queue=0)
        equal([queue[name] for name in ("vring-num", "vring-desc", "vring-avail", "vring-used", "last-avail-idx",
                                        "used-idx", "inuse")], [disk.size, *disk.places, 1, 1, 0], queue)
        element = m.qmp.ask("x-query-virtio-queue-element", path="/machine/peripheral/blk0", queue=0, index=0)
        equal([(desc["len"], desc["flags"]) for desc in element["descs"]],
              [(16, ["next"]), (512, ["next", "write"]), (1, ["write"])], "the request")
        equal((element["avail"]["idx"], element["used"]["idx"]), (1, 1), element)
        m.write(disk.places[0] + 14, b"\0\0")  # a chain that runs in a circle is shown to its limit
        equal(len(m.qmp.ask("x-query-virtio-queue-element", path="blk0", queue=0, index=0)["descs"]), 2048, "circle")
        fails = m.qmp.fails
        fails("queue 1 does not run", "x-query-virtio-queue-element", path="blk0", queue=1)
        fails("it has queues 0 to 1", "x-query-virtio-queue-status", path="blk0", queue=2)
        fails("not served by vhost", "x-query-virtio-vhost-queue-status", path="blk0", queue=0)
        fails("queue: missing", "x-query-virtio-queue-status", path="blk0")
        fails("out of range", "x-query-virtio-queue-status", path="blk0", queue=-1)
        fails("unknown option", "x-query-virtio-queue-status", path="blk0", queue=0, y=1)
        fails("Parameter 'path' is missing", "x-query-virtio-status")
        fails("expected: string", "x-query-virtio-status", path=5)
        fails("'nope' not found", "x-query-virtio-status", "DeviceNotFound", path="nope")
        m.qmp.ask("device_del", id="blk0", force=True)
        fails("has not been found", "x-query-virtio", "CommandNotFound")


def test_events_of_the_machines_life(directory):
    with Machine(directory) as m:
        m.qmp.ask("system_reset")
        equal(m.qmp.event("RESET"), {"guest": False, "reason": "host-qmp-system-reset"}, "RESET")
        m.qmp.ask("system_powerdown")
        m.qmp.event("POWERDOWN")
        m.outb(0xcf9, 2)
        m.outb(0xcf9, 6)
        equal(m.qmp.event("RESET"), {"guest": True, "reason": "guest-reset"}, "RESET")
        m.process.terminate()
        equal(m.qmp.event("SHUTDOWN"), {"guest": False, "reason": "host-signal"}, "SHUTDOWN")


PANIC = """
machine = { memory = "16M"; };
devices = { panic0 = { plugin = "pvpanic"; %s }; };
"""


def test_a_guest_that_dies_is_heard(directory):
    control = os.path.join(directory, "control")
    with TestMachine(PANIC % 'on_panic = "pause";', directory, "--control", control) as m, Qmp(control) as qmp:
        equal(m.inb(0x505), 3, "what the guest may report")
        m.outb(0x505, 2)
        equal(qmp.event("GUEST_CRASHLOADED"), {"action": "run"}, "a crash kernel")
        equal(qmp.ask("query-status")["status"], "running", "it goes on")
        m.outb(0x505, 1)
        equal(qmp.event("GUEST_PANICKED"), {"action": "pause"}, "the event")
        qmp.event("STOP")
        equal(qmp.ask("query-status"), {"running": False, "singlestep": False, "status": "guest-panicked"}, "status")
        qmp.ask("cont")
        equal(qmp.ask("query-status")["status"], "running", "after cont")
    with TestMachine(PANIC % "", directory, "--control", control, name="ends") as m, Qmp(control) as qmp:
        m.raw("outb 0x505 1")
        equal(qmp.event("GUEST_PANICKED"), {"action": "poweroff"}, "the event")
        equal(qmp.event("SHUTDOWN"), {"guest": True, "reason": "guest-panic"}, "the end")
        equal(m.process.wait(20), 0, "exit status")


def test_a_guest_that_switches_off_says_so(directory):
    with Machine(directory) as m:
        m.config_write(1 << 3 | 3, 0x40, 0x601)
        m.config_write(1 << 3 | 3, 0x80, 1, 1)
        m.raw("outw 0x604 0x2000")  # SLP_EN, type 0: S5
        equal(m.qmp.event("SHUTDOWN"), {"guest": True, "reason": "guest-shutdown"}, "SHUTDOWN")
        equal(m.process.wait(20), 0, "exit status")


if __name__ == "__main__":
    run_tests([test for name, test in sorted(globals().items()) if name.startswith("test_")])
