#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux on virtio-net and net-user: a lease, a ping, a file by TFTP, 2 MiB by TCP each way."""

import hashlib
import http.server
import os
import re
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))
from backplane import Machine, check, is_interpreting_kvm, need_file, need_kvm, run_tests, skip_all  # noqa: E402
from test_linux import CMDLINE, INTERPRETED, kernel, make_initramfs  # noqa: E402

MIB_2 = 2 * 1024 * 1024


class Sink(threading.Thread):
    """Takes one connection and everything that comes."""

    def __init__(self, listener):
        super().__init__(daemon=True)
        self.listener = listener
        self.sum = hashlib.md5()
        self.bytes = 0

    def run(self):
        connection, _ = self.listener.accept()
        with connection:
            while data := connection.recv(65536):
                self.sum.update(data)
                self.bytes += len(data)


def servers(data, address="127.0.0.1", sink_type=Sink):
    """An HTTP server that gives data, and a sink on the port after it."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    for port in range(23000, 24000, 2):
        listener = socket.socket()
        try:
            listener.bind((address, port + 1))
            web = http.server.ThreadingHTTPServer((address, port), Handler)
        except OSError:
            listener.close()
            continue
        listener.listen()
        threading.Thread(target=web.serve_forever, daemon=True).start()
        sink = sink_type(listener)
        sink.start()
        return port, sink
    raise RuntimeError("no free ports")


def network_works(directory, interface, options, backend=None, address="127.0.0.1"):
    """backend: the lines of one "wan", instead of net-user; address: of the host as the guest's network sees it."""
    down = os.urandom(MIB_2)
    port, sink = servers(down, address)
    tftp = os.path.join(directory, "tftp")
    os.makedirs(tftp, exist_ok=True)
    backend = backend or f'wan = {{ plugin = "net-user"; tftp = "{tftp}"; }};'
    with open(os.path.join(tftp, "greeting"), "w", encoding="ascii") as file:
        file.write("hello from the host\n")
    cmdline = CMDLINE + (INTERPRETED if is_interpreting_kvm() else "") + f" acpi=off port={port}"
    config = f"""
machine = {{ memory = "96M"; acpi = false;
  boot = {{ kernel = "{kernel("vmlinux")}"; initrd = "{make_initramfs(directory, "init_net")}"; cmdline = "{cmdline}"; }}; }};
backends = {{ {backend} tty = {{ plugin = "char-stdio"; }}; }};
devices = {{
  net0 = {{ plugin = "virtio-net"; backend = "wan"; interface = "{interface}"; mac = "02:00:00:00:00:2a"; {options} }};
  com1 = {{ plugin = "serial"; backend = "tty"; }};
}};
"""
    with Machine(config, "--no-reboot", directory=directory) as machine:
        machine.wait_for("FACT end", 600)
        text = machine.text()
    facts = dict(re.findall(r"FACT (\w+)=(.*?)\r?\n", text))
    print(f"# {interface} {options}: {facts}")
    check(facts.get("mac") == "02:00:00:00:00:2a", "its address is " + str(facts.get("mac")))
    check(facts.get("lease") == "10.0.2.15", "no lease:\n" + machine.tail(60))
    check(facts.get("ping") == "done", "the router does not answer pings:\n" + machine.tail(60))
    check(facts.get("tftp") == "hello from the host", "TFTP gave " + str(facts.get("tftp")))
    check(facts.get("http") == hashlib.md5(down).hexdigest(), "what came by HTTP differs")
    sink.join(10)
    check(sink.bytes == MIB_2, f"the host got {sink.bytes} bytes:\n" + machine.tail(60))
    check(facts.get("up") == sink.sum.hexdigest(), "what the guest sent differs")


def test_modern_with_all_offloads(directory):
    network_works(directory, "modern", "")


def test_legacy_without_offloads_and_mergeable_buffers(directory):
    network_works(directory, "legacy", "offloads = false; mergeable = false;")


if __name__ == "__main__":
    need_kvm()
    need_file("/bin/busybox", "busybox-static")
    if kernel("vmlinux") is None:
        skip_all("no vmlinux (set BACKPLANE_TEST_KERNEL)")
    wanted = {"modern": [test_modern_with_all_offloads],
              "legacy": [test_legacy_without_offloads_and_mergeable_buffers]}
    run_tests(wanted[sys.argv[1]])
