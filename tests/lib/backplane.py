# SPDX-License-Identifier: Apache-2.0
"""Running the program under test from Python: machines, their consoles, and TAP."""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("BACKPLANE_BUILD", "build")
SOURCE = os.environ.get("BACKPLANE_SOURCE", os.path.join(os.path.dirname(__file__), "..", ".."))
PROGRAM = os.path.join(BUILD, "core", "backplane")
SKIP = 77


class Failure(Exception):
    """A check that did not hold; its text goes into the report."""


def check(condition, text):
    if not condition:
        raise Failure(text)


class Machine:
    """One `backplane run`, with its console on a pipe."""

    def __init__(self, config, *arguments, directory, name="machine"):
        self.path = os.path.join(directory, name + ".cfg")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(config)
        self.output = b""
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [PROGRAM, "run", self.path, *arguments], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def read_some(self, deadline):
        """One piece of output; False at its end."""
        left = max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([self.process.stdout], [], [], left)
        if not ready:
            raise Failure("timeout; the end of its output is:\n" + self.tail())
        data = self.process.stdout.read(65536)
        self.output += data
        return bool(data)

    def tail(self, lines=25):
        return "\n".join(self.output.decode("utf-8", "replace").splitlines()[-lines:])

    def wait_for(self, text, seconds):
        """Waits until the console has shown text."""
        wanted = text.encode()
        deadline = time.monotonic() + seconds
        while wanted not in self.output:
            if not self.read_some(deadline):
                raise Failure(f"it ended before it wrote '{text}':\n" + self.tail())
        return time.monotonic() - self.started

    def send(self, data):
        self.process.stdin.write(data)

    def wait_end(self, seconds):
        """Waits for the end of the program; its exit status (negative: a signal)."""
        deadline = time.monotonic() + seconds
        while self.read_some(deadline):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def text(self):
        return self.output.decode("utf-8", "replace")

    def kill(self, number=signal.SIGTERM):
        self.process.send_signal(number)


def need_kvm():
    """Skips the whole test program where /dev/kvm cannot be used."""
    try:
        # udev makes the node on machines without virtualisation, too; there it cannot be opened.
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        skip_all(f"no usable /dev/kvm: {error.strerror}")


def need_file(path, package):
    if not os.path.exists(path):
        skip_all(f"no {path} (package {package})")


def skip_all(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def is_interpreting_kvm():
    """True on a KVM that interprets guest kernel mode, where everything takes a hundred times longer."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        flags = file.read()
    return " vmx" not in flags and " svm" not in flags


def run_tests(tests):
    """tests: functions of one argument, a fresh directory; their names are sentences."""
    print(f"1..{len(tests)}", flush=True)
    failed = 0
    for number, test in enumerate(tests, 1):
        directory = tempfile.mkdtemp(prefix="backplane-test-")
        started = time.monotonic()
        try:
            test(directory)
            print(f"ok {number} - {test.__name__} # {time.monotonic() - started:.1f} s", flush=True)
        except Failure as failure:
            failed += 1
            print(f"not ok {number} - {test.__name__}")
            for line in str(failure).splitlines():
                print("# " + line)
            sys.stdout.flush()
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    sys.exit(1 if failed else 0)
