# SPDX-License-Identifier: Apache-2.0
"""A machine without a vCPU, driven register by register over the test protocol."""

import json
import os
import socket
import subprocess
import time

from backplane import PROGRAM, Failure, check


def equal(got, wanted, what):
    check(got == wanted, f"{what}: got {shown(got)}, not {shown(wanted)}")


def shown(value):
    return f"0x{value:x}" if isinstance(value, int) and not isinstance(value, bool) else repr(value)


class Qmp:
    """A client of the control socket; events are kept in the order they came."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.file = self.socket.makefile("r", encoding="utf-8")
        self.events = []
        check("QMP" in json.loads(self.file.readline()), "no greeting")
        self.ask("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def _next(self):
        line = self.file.readline()
        check(line, "the control socket was closed")
        return json.loads(line)

    def call(self, command, arguments):
        """The whole answer. A name with a dash is written with two underscores: node__name."""
        request = {"execute": command}
        if arguments:
            request["arguments"] = {name.replace("__", "-"): value for name, value in arguments.items()}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            answer = self._next()
            if "event" not in answer:
                return answer
            self.events.append(answer)

    def ask(self, command, **arguments):
        answer = self.call(command, arguments)
        check("return" in answer, f"{command}: {answer}")
        return answer["return"]

    def fails(self, text, command, /, error_class="GenericError", **arguments):
        """The command must fail with this class, and text in its description."""
        answer = self.call(command, arguments)
        check("error" in answer, f"{command} did not fail: {answer}")
        equal(answer["error"]["class"], error_class, f"{command}: class of {answer['error']['desc']}")
        check(text in answer["error"]["desc"], f"{command}: got '{answer['error']['desc']}', not '{text}'")

    def event(self, name):
        """Waits for an event; returns its data."""
        while True:
            for i, event in enumerate(self.events):
                if event["event"] == name:
                    del self.events[:i + 1]
                    return event.get("data", {})
            self.events.append(self._next())


class TestMachine:
    """Starts `backplane run --test-socket`; each method is one request."""

    __test__ = False

    def __init__(self, config, directory, *arguments, name="machine"):
        self.path = os.path.join(directory, name + ".cfg")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(config)
        where = os.path.join(directory, name + ".test")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(where)
        listener.listen(1)
        listener.settimeout(30)
        self.irqs = []
        self.levels = {}
        self.process = subprocess.Popen([PROGRAM, "run", "--test-socket=" + where, self.path, *arguments])
        try:
            self.socket, _ = listener.accept()
        except socket.timeout as error:
            self.process.kill()
            raise Failure("the machine did not connect") from error
        finally:
            listener.close()
        self.socket.settimeout(30)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(20)
        if status != 0:
            raise Failure(f"the machine ended with status {status}")

    def _line(self):
        while b"\n" not in self.buffer:
            data = self.socket.recv(1 << 20)
            check(data, "the machine closed the connection")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode("ascii")

    def raw(self, request):
        """Sends one line, notes interrupts, returns the reply's line."""
        self.socket.sendall(request.encode("ascii") + b"\n")
        while True:
            line = self._line()
            if not line.startswith("IRQ "):
                return line
            _, change, number = line.split()
            self.irqs.append((change, int(number)))
            self.levels[int(number)] = change == "raise"

    def ask(self, request):
        reply = self.raw(request)
        check(reply.startswith("OK"), f"'{request[:60]}' got '{reply}'")
        return reply[3:]

    def outb(self, port, value):
        self.ask(f"outb 0x{port:x} 0x{value:x}")

    def outw(self, port, value):
        self.ask(f"outw 0x{port:x} 0x{value:x}")

    def outl(self, port, value):
        self.ask(f"outl 0x{port:x} 0x{value:x}")

    def inb(self, port):
        return int(self.ask(f"inb 0x{port:x}"), 16)

    def inw(self, port):
        return int(self.ask(f"inw 0x{port:x}"), 16)

    def inl(self, port):
        return int(self.ask(f"inl 0x{port:x}"), 16)

    def read(self, address, length):
        return bytes.fromhex(self.ask(f"read 0x{address:x} {length}")[2:])

    def write(self, address, data):
        self.ask(f"write 0x{address:x} {len(data)} 0x{data.hex()}")

    def step(self, nanoseconds=None):
        return int(self.ask("clock_step" + ("" if nanoseconds is None else f" {nanoseconds}")))

    def intercept(self):
        self.ask("irq_intercept_in ioapic")

    def irq(self, number):
        return self.levels.get(number, False)

    def wait_until(self, condition, what, seconds=120):
        """For what a host thread completes: asks again until it holds. A write waits for the host's
        journal, and that for all that a build has left to be written: half a minute was seen."""
        deadline = time.monotonic() + seconds
        while not condition():
            check(time.monotonic() < deadline, "timeout: " + what)

    # PCI configuration mechanism 1

    def config_read(self, devfn, offset, width=4):
        self.outl(0xcf8, 0x80000000 | devfn << 8 | (offset & 0xfc))
        return {1: self.inb, 2: self.inw, 4: self.inl}[width](0xcfc + offset % 4)

    def config_write(self, devfn, offset, value, width=4):
        self.outl(0xcf8, 0x80000000 | devfn << 8 | (offset & 0xfc))
        {1: self.outb, 2: self.outw, 4: self.outl}[width](0xcfc + offset % 4, value)

    def functions(self, bus=0):
        """bus << 8 | devfn of every function of a bus, found the way firmware does."""
        found = []
        for slot in range(32):
            many = True
            for function in range(8):
                devfn = bus << 8 | slot << 3 | function
                if (function == 0 or many) and self.config_read(devfn, 0, 2) != 0xffff:
                    found.append(devfn)
                if function == 0:
                    many = self.config_read(devfn, 0x0e, 1) & 0x80 != 0
        return found

    def bar_size(self, devfn, offset):
        """(size, is I/O) of a BAR; it reads as before afterwards."""
        before = self.config_read(devfn, offset)
        self.config_write(devfn, offset, 0xffffffff)
        mask = self.config_read(devfn, offset)
        self.config_write(devfn, offset, before)
        if mask == 0:
            return 0, False
        is_io = mask & 1 != 0
        mask &= 0xfffffffc if is_io else 0xfffffff0
        return (~mask & 0xffffffff) + 1, is_io

    def fw_cfg(self, key, length):
        self.outw(0x510, key)
        return bytes(self.inb(0x511) for _ in range(length))

    def fw_cfg_files(self):
        """name -> (key, size)"""
        count = int.from_bytes(self.fw_cfg(0x19, 4), "big")
        check(count < 1000, f"{count} files")
        files = {}
        for _ in range(count):
            entry = bytes(self.inb(0x511) for _ in range(64))
            files[entry[8:].split(b"\0")[0].decode()] = (
                int.from_bytes(entry[4:6], "big"), int.from_bytes(entry[:4], "big"))
        return files

    def fw_cfg_file(self, name):
        files = self.fw_cfg_files()
        check(name in files, f"no file {name} in {sorted(files)}")
        return self.fw_cfg(*files[name])

    def cmos(self, cell, value=None):
        self.outb(0x70, cell)
        if value is None:
            return self.inb(0x71)
        return self.outb(0x71, value)
