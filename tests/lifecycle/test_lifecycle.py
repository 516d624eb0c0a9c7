#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How a machine ends and restarts: by its guest, by signals, by its terminal. Status, terminal, files."""

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import PROGRAM, Failure, Machine, check, need_kvm, run_tests  # noqa: E402
from pvh import pvh_kernel  # noqa: E402
from registers import Qmp, equal  # noqa: E402

DEBUG_PORT = 0x402


def out8(port, value):
    return b"\x66\xba" + struct.pack("<H", port) + b"\xb0" + bytes([value]) + b"\xee"


def out16(port, value):
    return b"\x66\xba" + struct.pack("<H", port) + b"\x66\xb8" + struct.pack("<H", value) + b"\x66\xef"


SAY = out8(DEBUG_PORT, ord("!"))
SLEEP = b"\xfa\xf4\xeb\xfd"                      # cli; 1: hlt; jmp 1b
SPIN = b"\xeb\xfe"
POWER_OFF = out16(0x604, 0x2000)                 # PM1a control: SLP_EN, type 0
SLEEP_S3 = out16(0x604, 0x2400)                  # SLP_EN, type 1
RESET_CF9 = out8(0xcf9, 0x02) + out8(0xcf9, 0x06)
RESET_KEYBOARD = out8(0x64, 0xfe)
RESET_PORT92 = out8(0x92, 0x01)
TRIPLE_FAULT = b"\x0f\x01\x1d\x00\x00\x20\x00" + b"\x0f\x0b"  # lidt [200000h] (zeroes); ud2

CONFIG = """
machine = {{ memory = "32M"; boot = {{ kernel = "{kernel}"; }}; {machine} }};
backends = {{ out = {{ plugin = "char-stdio"; }}; {backends} }};
devices = {{ log = {{ plugin = "debugcon"; backend = "out"; }}; {devices} }};
"""


def config(directory, code, machine="", backends="", devices=""):
    kernel = os.path.join(directory, "kernel.elf")
    with open(kernel, "wb") as file:
        file.write(pvh_kernel(code))
    return CONFIG.format(kernel=kernel, machine=machine, backends=backends, devices=devices)


def ends_with(directory, code, *arguments, status=0):
    with Machine(config(directory, SAY + code + SLEEP), *arguments, directory=directory) as machine:
        machine.wait_for("!", 20)
        got = machine.wait_end(20)
        check(got == status, f"exit status {got}, not {status}:\n" + machine.tail())
        return machine.output


def test_s5_ends_it_with_status_0(directory):
    ends_with(directory, POWER_OFF)


def test_cf9_ends_it_with_no_reboot(directory):
    ends_with(directory, RESET_CF9, "--no-reboot")


def test_the_keyboard_controller_ends_it_with_no_reboot(directory):
    ends_with(directory, RESET_KEYBOARD, "--no-reboot")


def test_port_92_ends_it_with_no_reboot(directory):
    ends_with(directory, RESET_PORT92, "--no-reboot")


def test_a_triple_fault_ends_it_with_no_reboot(directory):
    ends_with(directory, TRIPLE_FAULT, "--no-reboot")


def restarts(directory, code):
    with Machine(config(directory, SAY + code + SLEEP), directory=directory) as machine:
        deadline = time.monotonic() + 30
        while machine.output.count(b"!") < 5:
            machine.read_some(deadline)
        machine.kill(signal.SIGTERM)
        got = machine.wait_end(20)
        check(got == 0, f"exit status {got} after SIGTERM:\n" + machine.tail())


def test_cf9_restarts_the_guest_again_and_again(directory):
    restarts(directory, RESET_CF9)


def test_a_triple_fault_restarts_the_guest_again_and_again(directory):
    restarts(directory, TRIPLE_FAULT)


def test_the_keyboard_controller_restarts_the_guest_again_and_again(directory):
    restarts(directory, RESET_KEYBOARD)


def ends_by_signal(directory, number, code):
    with Machine(config(directory, SAY + code), directory=directory) as machine:
        machine.wait_for("!", 20)
        machine.kill(number)
        got = machine.wait_end(20)
        check(got == 0, f"exit status {got} after signal {number}:\n" + machine.tail())


def test_sigint_ends_a_sleeping_guest(directory):
    ends_by_signal(directory, signal.SIGINT, SLEEP)


def test_sigterm_ends_a_spinning_guest(directory):
    ends_by_signal(directory, signal.SIGTERM, SPIN)


def test_sighup_ends_it(directory):
    ends_by_signal(directory, signal.SIGHUP, SPIN)


class Terminal:
    """The program on a pseudo-terminal of its own, as its controlling terminal."""

    def __init__(self, path):
        self.master, slave = pty.openpty()
        self.slave = slave
        self.before = termios.tcgetattr(slave)

        def become_session():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen([PROGRAM, "run", path], stdin=slave, stdout=slave, stderr=slave,
                                        preexec_fn=become_session)  # pylint: disable=W1509

    def wait_for(self, wanted, seconds):
        output = b""
        deadline = time.monotonic() + seconds
        while wanted not in output:
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                self.process.kill()
                raise Failure(f"no {wanted!r} on the terminal: {output!r}")
            output += os.read(self.master, 4096)

    def end(self, seconds):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            raise Failure("it did not end") from error


def terminal(directory, code):
    path = os.path.join(directory, "tty.cfg")
    with open(path, "w", encoding="utf-8") as file:
        file.write(config(directory, code))
    term = Terminal(path)
    term.wait_for(b"!", 20)
    return term


def test_ctrl_a_x_leaves_and_restores_the_terminal(directory):
    term = terminal(directory, SAY + SLEEP)
    raw = termios.tcgetattr(term.slave)
    check(raw[3] & termios.ICANON == 0, "the terminal is not raw while the guest runs")
    os.write(term.master, b"\x01x")
    check(term.end(20) == 0, "Ctrl-A x must end it with status 0")
    check(termios.tcgetattr(term.slave) == term.before, "the terminal is not as it was")


def test_sigterm_restores_the_terminal(directory):
    term = terminal(directory, SAY + SPIN)
    term.process.send_signal(signal.SIGTERM)
    check(term.end(20) == 0, "SIGTERM must end it with status 0")
    check(termios.tcgetattr(term.slave) == term.before, "the terminal is not as it was")


def test_power_off_restores_the_terminal(directory):
    path = os.path.join(directory, "tty.cfg")
    with open(path, "w", encoding="utf-8") as file:
        file.write(config(directory, SAY + POWER_OFF + SLEEP))
    term = Terminal(path)
    check(term.end(20) == 0, "S5 must end it with status 0")
    check(termios.tcgetattr(term.slave) == term.before, "the terminal is not as it was")


def test_a_killed_terminal_ends_it(directory):
    term = terminal(directory, SAY + SPIN)
    os.close(term.slave)
    os.close(term.master)
    check(term.end(20) == 0, "a closed terminal must end it with status 0")


def test_an_image_in_use_is_refused_and_the_lock_goes_with_its_owner(directory):
    image = os.path.join(directory, "disk.img")
    with open(image, "wb") as file:
        file.truncate(1 << 20)
    text = config(directory, SAY + SPIN,
                  backends=f'disk = {{ plugin = "block-file"; path = "{image}"; }};',
                  devices='ide0 = { plugin = "ide"; drives = ( { channel = 0; unit = 0; disk = "disk"; } ); };')
    with Machine(text, directory=directory, name="first") as first:
        first.wait_for("!", 20)
        with Machine(text, directory=directory, name="second") as second:
            check(second.wait_end(20) == 2, "a locked image must be refused with status 2")
            lines = second.text().strip().splitlines()
            check(len(lines) == 1 and image in lines[0], f"one line that names it: {lines}")
        first.kill(signal.SIGKILL)
        first.wait_end(20)
    with Machine(text, directory=directory, name="third") as third:
        third.wait_for("!", 20)
        third.kill()
        check(third.wait_end(20) == 0, "the lock of a killed machine must be gone")


def qmp(path):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    stream = client.makefile("rw")
    check("QMP" in json.loads(stream.readline()), "no greeting")

    def command(name):
        stream.write(json.dumps({"execute": name}))
        stream.flush()
        while True:
            reply = json.loads(stream.readline())
            if "event" not in reply:
                return reply

    command("qmp_capabilities")
    return command


def test_quit_ends_it_and_removes_the_control_socket(directory):
    path = os.path.join(directory, "control")
    with Machine(config(directory, SAY + SPIN), "--control", path, directory=directory) as machine:
        machine.wait_for("!", 20)
        check(os.stat(path).st_mode & 0o777 == 0o600, "the socket must have mode 0600")
        command = qmp(path)
        check(command("query-status")["return"]["status"] == "running", "it must say running")
        command("stop")
        check(command("query-status")["return"]["status"] == "paused", "it must say paused")
        command("cont")
        command("quit")
        check(machine.wait_end(20) == 0, "quit must end it with status 0")
    check(not os.path.exists(path), "the control socket is left behind")


def operate(directory, code):
    """What an operator does to a machine whose guest does nothing for him, each at once."""
    path = os.path.join(directory, "control")
    text = config(directory, SAY + code, backends='d0 = { plugin = "block-ram"; size = "1M"; };'
                  ' d1 = { plugin = "block-ram"; size = "1M"; };',
                  devices='blk0 = { plugin = "virtio-blk"; backend = "d0"; };')
    with Machine(text, "--control", path, directory=directory) as machine:
        machine.wait_for("!", 20)
        with Qmp(path) as control:
            for command in ("query-status", "query-cpus-fast", "query-pci", "stop", "cont", "system_powerdown",
                            "query-block"):
                control.ask(command)
            control.ask("backend-swap", device="blk0", backend="d1")
            control.ask("device_add", driver="virtio-blk", id="hot0", drive="d0")
            control.ask("device_del", id="hot0")
            control.ask("device_del", id="hot0", force=True)
            equal(control.event("DEVICE_DELETED")["device"], "hot0", "taken out, without the guest")
            control.ask("device_del", id="blk0", force=True)
            control.ask("system_reset")
            control.event("RESET")
            machine.wait_for("!!", 20)
            control.ask("quit")
        equal(machine.wait_end(20), 0, "status")


def test_a_guest_that_halted_for_good_does_not_hang_the_monitor(directory):
    operate(directory, SLEEP)


def test_a_guest_that_spins_without_interrupts_does_not_hang_the_monitor(directory):
    operate(directory, b"\xfa" + SPIN)


def test_paused_runs_nothing_until_cont(directory):
    path = os.path.join(directory, "control")
    with Machine(config(directory, SAY + POWER_OFF + SLEEP), "--paused", "--control", path,
                 directory=directory) as machine:
        deadline = time.monotonic() + 20
        while not os.path.exists(path):
            check(time.monotonic() < deadline, "no control socket")
            time.sleep(0.01)
        command = qmp(path)
        check(command("query-status")["return"]["status"] == "prelaunch", "it must not have started")
        check(machine.output == b"", "the guest ran")
        command("cont")
        machine.wait_for("!", 20)
        check(machine.wait_end(20) == 0, "it must end by S5")


def test_s3_rests_until_it_is_woken_and_starts_anew_without_firmware(directory):
    path = os.path.join(directory, "control")
    with Machine(config(directory, SAY + SLEEP_S3 + SLEEP), "--control", path, directory=directory) as machine:
        machine.wait_for("!", 20)
        command = qmp(path)
        deadline = time.monotonic() + 20
        while command("query-status")["return"]["status"] != "suspended":
            check(time.monotonic() < deadline, "it must say that it is suspended")
        check("return" in command("system_wakeup"), "system_wakeup must be taken")
        machine.wait_for("!!", 20)
        command("quit")
        check(machine.wait_end(20) == 0, "quit must end it with status 0")


def refused(directory, text, *words):
    with Machine(text, directory=directory) as machine:
        status = machine.wait_end(20)
        lines = machine.text().strip().splitlines()
    check(status == 2, f"exit status {status}, not 2: {lines}")
    check(len(lines) == 1, f"one clear line: {lines}")
    for word in words:
        check(word in lines[0], f"the line must name {word}: {lines[0]}")


def test_a_kernel_that_is_no_kernel_is_refused(directory):
    text = config(directory, SAY)
    kernel = os.path.join(directory, "kernel.elf")
    for content in (b"", b"hello", bytes(4096), b"\x7fELF" + bytes(100), os.urandom(100000)):
        with open(kernel, "wb") as file:
            file.write(content)
        refused(directory, text, kernel)


def test_a_missing_kernel_firmware_or_initrd_is_refused(directory):
    text = config(directory, SAY)
    missing = os.path.join(directory, "missing")
    refused(directory, text.replace("kernel.elf", "missing"), missing)
    refused(directory, text.replace('kernel.elf";', f'kernel.elf"; initrd = "{missing}";'), missing)
    refused(directory, f'machine = {{ memory = "32M"; boot = {{ firmware = "{missing}"; }}; }};', missing)
    with open(missing, "wb") as file:
        file.write(bytes(12345))
    refused(directory, f'machine = {{ memory = "32M"; boot = {{ firmware = "{missing}"; }}; }};', missing)


def test_more_memory_than_the_host_has_is_refused(directory):
    refused(directory, config(directory, SAY).replace('"32M"', '"64T"'), "memory")


if __name__ == "__main__":
    need_kvm()
    run_tests([value for name, value in sorted(globals().items()) if name.startswith("test_")])
