#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The plugin of a later SDK in today's core: it loads, its larger tables are read as far as they are
known, and the core's answers are those the ABI promises. Speaks TAP.

usage: test_future_core.py BACKPLANE FUTURE.so"""

import os
import socket
import subprocess
import sys
import tempfile
import time


def ask(path, command):
    deadline = time.monotonic() + 20
    while True:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.connect(path)
            break
        except OSError:
            client.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    with client, client.makefile("rw") as lines:
        lines.write(command + "\n")
        lines.flush()
        return lines.readline().strip()


def main():
    backplane, plugin = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    print("1..2")
    manifest = subprocess.run([backplane, "plugins", plugin], capture_output=True, text=True)
    good = manifest.returncode == 0 and "9.9" in manifest.stdout
    print("%sok 1 - its manifest is read" % ("" if good else "not "), flush=True)
    for line in (manifest.stdout + manifest.stderr).splitlines():
        print("# " + line, flush=True)
    with tempfile.TemporaryDirectory() as work:
        config, path = os.path.join(work, "m.cfg"), os.path.join(work, "test.sock")
        with open(config, "w", encoding="utf-8") as file:
            file.write('machine = { memory = "8M"; };\n'
                       'devices = { later = { plugin = "%s"; }; };\n' % plugin)
        with subprocess.Popen([backplane, "run", "--test-socket=" + path + ",server", config],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as machine:
            try:
                answer = ask(path, "inb 0x300")
            except OSError as error:
                answer = str(error)
            machine.terminate()
            output = machine.communicate(timeout=20)[0].decode()
    good &= answer == "OK 0x001f"
    print("%sok 2 - every expectation holds: %s" % ("" if answer == "OK 0x001f" else "not ", answer))
    for line in output.splitlines():
        print("# " + line)
    return 0 if good else 1


sys.exit(main())
