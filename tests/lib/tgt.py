# SPDX-License-Identifier: Apache-2.0
"""An iSCSI target: tgtd, as Debian's package tgt has it, with a LUN that is a file."""

import os
import shutil
import socket
import subprocess
import tempfile
import time

from backplane import check
from registers import equal

BLOCK = 512
BLOCKS = 32768
TARGET = "iqn.2026-11.org.example:store"


def is_missing():
    return shutil.which("tgtd") is None or shutil.which("tgtadm") is None


class Tgt:
    """tgtd with one target, whose LUN 1 is a file."""

    def __init__(self, directory, account=None, outgoing=None):
        """account: name and secret that it asks for; outgoing: those that it shows (mutual CHAP)."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.account, self.outgoing = account, outgoing
        self.place = tempfile.mkdtemp(prefix="tgt")  # short: the name of a socket goes there
        self.environment = dict(os.environ, TGT_IPC_SOCKET=os.path.join(self.place, "ipc"))
        self.image = os.path.join(directory, "lun.img")
        with open(self.image, "wb") as file:
            file.truncate(BLOCKS * BLOCK)
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.place)

    def admin(self, *arguments):
        return subprocess.run(["tgtadm", "--lld", "iscsi", *arguments], env=self.environment, capture_output=True,
                              text=True, timeout=20, check=False)

    def start(self):
        with open(os.path.join(self.place, "log"), "ab") as log:
            self.process = subprocess.Popen(["tgtd", "-f", "--iscsi", f"portal=127.0.0.1:{self.port}"],
                                            env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while self.admin("--mode", "sys", "--op", "show").returncode != 0:
            check(time.monotonic() < deadline, "tgtd does not answer")
            time.sleep(0.05)
        self.do("--mode", "target", "--op", "new", "--tid", "1", "--targetname", TARGET)
        self.do("--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", "1", "-b", self.image)
        self.do("--mode", "logicalunit", "--op", "update", "--tid", "1", "--lun", "1", "--params",
                "vendor_id=ACME,product_id=STORE,scsi_sn=S-4711")
        self.do("--mode", "target", "--op", "bind", "--tid", "1", "-I", "ALL")
        for account, more in ((self.account, ()), (self.outgoing, ("--outgoing",))):
            if account:
                self.do("--mode", "account", "--op", "new", "--user", account[0], "--password", account[1])
                self.do("--mode", "account", "--op", "bind", "--tid", "1", "--user", account[0], *more)

    def do(self, *arguments):
        done = self.admin(*arguments)
        equal(done.returncode, 0, f"tgtadm {' '.join(arguments)}: {done.stderr}")

    def stop(self):
        self.process.kill()
        self.process.wait()
