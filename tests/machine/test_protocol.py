#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The test protocol itself: every request, every refusal, the socket in both roles."""

import base64
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import PROGRAM, check, run_tests  # noqa: E402
from registers import TestMachine  # noqa: E402

CONFIG = """
machine = { memory = "16M"; };
devices = { log = { plugin = "debugcon"; }; };
"""


def machine(directory, *arguments, config=CONFIG):
    return TestMachine(config, directory, *arguments)


def equal(got, wanted, what):
    check(got == wanted, f"{what}: got {got!r}, not {wanted!r}")


def test_it_says_its_byte_order(directory):
    with machine(directory) as m:
        equal(m.raw("endianness"), "OK little", "endianness")


def test_a_pipe_in_place_of_an_image_is_refused_at_once(directory):
    pipe = os.path.join(directory, "pipe")
    os.mkfifo(pipe)
    description = os.path.join(directory, "pipe.cfg")
    with open(description, "w", encoding="utf-8") as stream:
        stream.write("""machine = { memory = "16M"; };
            backends = { disk = { plugin = "block-file"; path = "pipe"; }; };
            devices = { ide0 = { plugin = "ide"; drives = ( { channel = 0; unit = 0; disk = "disk"; } ); }; };""")
    done = subprocess.run([PROGRAM, "run", "--test-socket=" + os.path.join(directory, "socket"),
                           description], capture_output=True, text=True, timeout=30, check=False)
    equal(done.returncode, 2, "exit status")
    check("is neither a regular file nor a block device" in done.stderr, done.stderr)


def test_numbers_come_in_every_notation_of_c(directory):
    with machine(directory) as m:
        for port in ("0x402", "1026", "02002"):
            equal(m.raw(f"inb {port}"), "OK 0x00e9", port)


def test_replies_have_their_widths(directory):
    with machine(directory) as m:
        m.ask("writeq 0x1000 0x1122334455667788")
        equal(m.raw("readb 0x1000"), "OK 0x0000000000000088", "readb")
        equal(m.raw("readw 0x1000"), "OK 0x0000000000007788", "readw")
        equal(m.raw("readl 0x1000"), "OK 0x0000000055667788", "readl")
        equal(m.raw("readq 0x1000"), "OK 0x1122334455667788", "readq")
        equal(m.raw("inw 0x1234"), "OK 0xffff", "inw of nothing")
        equal(m.raw("inl 0x1234"), "OK 0xffffffff", "inl of nothing")


def test_memory_moves_as_hexadecimal_base64_and_fill(directory):
    data = bytes(range(256)) * 17
    with machine(directory) as m:
        m.write(0x2001, data)
        equal(m.read(0x2001, len(data)), data, "read")
        equal(base64.b64decode(m.ask(f"b64read 0x2001 {len(data)}")), data, "b64read")
        m.ask("memset 0x2001 16 0x5a")
        equal(m.read(0x2000, 18), b"\0" + b"\x5a" * 16 + data[16:17], "memset")
        m.ask(f"b64write 0x4000 {len(data)} {base64.b64encode(data).decode()}")
        equal(m.read(0x4000, len(data)), data, "b64write")


def test_short_data_is_padded_and_long_data_cut(directory):
    with machine(directory) as m:
        m.ask("memset 0x3000 8 0xff")
        m.ask("write 0x3000 4 0x01")
        equal(m.read(0x3000, 5), b"\x01\0\0\0\xff", "short")
        m.ask("write 0x3000 2 0x0a0b0c0d")
        equal(m.read(0x3000, 4), b"\x0a\x0b\0\0", "long")


def test_a_megabyte_passes_in_one_request(directory):
    data = os.urandom(1 << 20)
    with machine(directory) as m:
        m.write(0x100000, data)
        equal(m.read(0x100000, len(data)) == data, True, "a megabyte")


def test_nothing_reads_as_ones_and_ignores_writes(directory):
    with machine(directory) as m:
        m.outl(0x5550, 0)
        m.write(0xd0000000, b"\0" * 8)
        equal(m.read(0xd0000000, 8), b"\xff" * 8, "a hole")
        equal(m.inb(0x5550), 0xff, "a free port")


def test_wrong_requests_get_err_and_the_connection_lives(directory):
    with machine(directory) as m:
        for request in ("", "bogus", "inb", "inb 1 2", "inb x", "inb 0x", "outb 1", "outb 1 z",
                        "read 0", "read 0 99999999999", "write 0 4", "write 0 4 123", "write 0 2 0xzz",
                        "clock_step -", "clock_set", "irq_intercept_in pic", "readl 1z"):
            reply = m.raw(request)
            check(reply.startswith("ERR "), f"'{request}' got '{reply}'")
        equal(m.raw("endianness"), "OK little", "afterwards")


def test_the_clock_stands_still_until_told(directory):
    with machine(directory) as m:
        equal(m.step(0), 0, "at the start")
        time.sleep(0.05)
        equal(m.step(0), 0, "after a while")
        equal(m.step(1000), 1000, "a step")
        equal(m.raw("clock_set 5000"), "OK 5000", "clock_set")


def test_a_step_without_a_number_goes_to_the_next_timer(directory):
    with machine(directory) as m:
        m.intercept()
        m.cmos(0x0a, 0x26)  # 32.768 kHz base, 1024 Hz
        m.cmos(0x0b, 0x42)  # periodic interrupt, 24 h
        now = m.step()
        check(0 < now <= 976563, f"one period at most, not {now} ns")
        equal(m.irqs, [("raise", 8)], "one interrupt")


def test_interrupts_come_before_the_ok_that_caused_them(directory):
    with machine(directory) as m:
        m.intercept()
        m.cmos(0x0b, 0x42)
        m.cmos(0x0a, 0x26)
        m.step(1000000)
        check(("raise", 8) in m.irqs, "the RTC must raise IRQ 8")
        m.irqs.clear()
        equal(m.cmos(0x0c) & 0xc0, 0xc0, "register C")
        equal(m.irqs, [("lower", 8)], "reading C lowers it")


def test_requests_in_one_packet_are_answered_in_order(directory):
    with machine(directory) as m:
        m.socket.sendall(b"inb 0x402\nendianness\nreadb 0x0\nclock_step 5\n")
        replies = [m._line() for _ in range(4)]  # pylint: disable=protected-access
        equal(replies, ["OK 0x00e9", "OK little", "OK 0x0000000000000000", "OK 5"], "order")


def test_it_serves_as_a_listener_again_and_again(directory):
    path = os.path.join(directory, "listen")
    config = os.path.join(directory, "l.cfg")
    with open(config, "w", encoding="utf-8") as file:
        file.write(CONFIG)
    process = subprocess.Popen([PROGRAM, "run", f"--test-socket={path},server", config])
    try:
        deadline = time.monotonic() + 20
        while not os.path.exists(path):
            check(time.monotonic() < deadline, "no socket")
            time.sleep(0.01)
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(path)
                client.sendall(b"inb 0x402\n")
                equal(client.recv(100), b"OK 0x00e9\n", "reply")
        process.send_signal(signal.SIGTERM)
        equal(process.wait(20), 0, "SIGTERM's exit status")
    finally:
        process.kill()
        process.wait()
    check(not os.path.exists(path), "the socket is left behind")


def test_the_control_socket_is_served_at_the_same_time(directory):
    path = os.path.join(directory, "control")
    with machine(directory, "--control", path) as m:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            check(client.recv(1000).startswith(b'{"QMP":'), "the greeting comes unprompted")
        equal(m.raw("endianness"), "OK little", "the test protocol")


def test_a_hundred_thousand_requests_are_answered(directory):
    with machine(directory) as m:
        for _ in range(100):
            m.socket.sendall(b"inb 0x402\n" * 1000)
            for _ in range(1000):
                equal(m._line(), "OK 0x00e9", "reply")  # pylint: disable=protected-access


if __name__ == "__main__":
    run_tests([value for name, value in sorted(globals().items()) if name.startswith("test_")])
