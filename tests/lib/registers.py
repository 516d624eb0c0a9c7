# SPDX-License-Identifier: Apache-2.0
"""A machine without a vCPU, driven register by register over the test protocol."""

import os
import socket
import subprocess
import time

from backplane import PROGRAM, Failure, check


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

    def wait_until(self, condition, what, seconds=20):
        """For what a host thread completes: asks again until it holds."""
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

    def cmos(self, cell, value=None):
        self.outb(0x70, cell)
        if value is None:
            return self.inb(0x71)
        return self.outb(0x71, value)
