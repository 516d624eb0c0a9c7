#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux uses virtio-scsi: 256 disks (64 targets with 4 LUNs), a CD, and a LUN of an iSCSI target; sg3-utils look at
them in the guest, and the host compares. A unit comes, grows and goes with I/O in flight. Not part of the suite, it takes minutes:
BACKPLANE_BUILD=build python3 tests/linux/test_linux_scsi.py"""

import hashlib
import os
import random
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import BUILD, Machine, check, is_interpreting_kvm, need_file, need_kvm, run_tests, skip_all  # noqa: E402
from registers import Qmp, equal  # noqa: E402
from test_linux import CMDLINE, INTERPRETED, kernel, libraries_of, make_initramfs  # noqa: E402
from tgt import TARGET, Tgt, is_missing  # noqa: E402

TOOLS = ["sg_inq", "sg_vpd", "sg_opcodes", "sg_unmap", "sg_persist", "sg_compare_and_write", "sg_logs", "sg_readcap"]
DISK_BYTES = 64 << 10
PLACES = [(target, lun) for target in range(64) for lun in range(4)]
WWN = "5000c50012345678"


def image(directory, target, lun):
    return os.path.join(directory, f"{target}.{lun}.img")


def make_images(directory):
    for target, lun in PLACES:
        with open(image(directory, target, lun), "wb") as file:
            file.write(f"disk {target}.{lun}".encode().ljust(512, b"\0"))
            file.write(random.Random(4 * target + lun).randbytes(DISK_BYTES - 512))
    disc = random.Random(256).randbytes(64 << 10)
    with open(os.path.join(directory, "cd.iso"), "wb") as file:
        file.write(disc)
    return disc


def describe(directory, tgt):
    tools = [shutil.which(tool) for tool in TOOLS]
    initrd = make_initramfs(directory, "init_scsi", [*tools, os.path.join(BUILD, "tests", "linux", "scsi_disks")],
                            libraries_of(tools))
    backends, luns = "", []
    for target, lun in PLACES:
        name = f"{target}_{lun}"
        identity = f'wwn = "{WWN}"; serial = "D-4711";' if (target, lun) == (0, 0) else ""
        backends += f'i{name} = {{ plugin = "block-file"; path = "{image(directory, target, lun)}"; }};\n'
        backends += f'd{name} = {{ plugin = "scsi-disk"; backend = "i{name}"; {identity} }};\n'
        luns.append(f'{{ target = {target}; lun = {lun}; backend = "d{name}"; }}')
    luns += ['{ target = 64; backend = "cd"; }', "{ target = 65; lun = 3; }"]
    cmdline = CMDLINE + (INTERPRETED if is_interpreting_kvm() else "") + " quiet"
    return f"""
machine = {{ memory = "160M"; control = "{directory}/qmp";
  boot = {{ kernel = "{kernel('vmlinux')}"; cmdline = "{cmdline}"; initrd = "{initrd}"; }}; }};
backends = {{ {backends} tty = {{ plugin = "char-stdio"; }};
  iso = {{ plugin = "block-file"; path = "{directory}/cd.iso"; readonly = true; }};
  cd = {{ plugin = "scsi-cd"; backend = "iso"; }};
  store = {{ plugin = "scsi-iscsi"; portal = "127.0.0.1:{tgt.port}"; target = "{TARGET}"; lun = 1;
            initiator = "iqn.2026-11.org.example:linux"; }}; }};
devices = {{
  scsi0 = {{ plugin = "virtio-scsi"; luns = ( {", ".join(luns)} ); }};
  scsi1 = {{ plugin = "virtio-scsi"; luns = ( {{ backend = "store"; }} ); }};
  com1 = {{ plugin = "serial"; backend = "tty"; }};
}};
"""


def check_samples(directory):
    for target, lun in PLACES:
        with open(image(directory, target, lun), "rb") as file:
            file.seek(512)
            sample = file.read(512)
        if (4 * target + lun) % 16 == 0:
            check(sample.startswith(f"written to {target}.{lun}\0".encode()), f"{target}.{lun}: {sample[:32]}")
        else:
            check(sample == random.Random(4 * target + lun).randbytes(512), f"{target}.{lun} was changed")


def check_tools(facts, directory):
    with open(image(directory, 0, 0), "rb") as file:
        content = file.read()
    equal(facts.get("inq_serial"), "D-4711", "sg_inq")
    equal(facts.get("vpd_serial"), "D-4711", "sg_vpd -p sn")
    equal(facts.get("naa"), "0x" + WWN, "sg_vpd -p di")
    equal(facts.get("wwid"), "naa." + WWN, "what the kernel names it, and /dev/disk/by-id")
    equal(facts.get("wwids"), "256", "disks with names of their own")
    equal(facts.get("size"), str(DISK_BYTES // 512), "the kernel's capacity")
    equal(facts.get("readcap"), f"Number of logical blocks={DISK_BYTES // 512}", "sg_readcap")
    check("lbpme=1" in facts.get("thin", ""), "sg_readcap: thin")
    equal(facts.get("lbpu"), "1", "sg_vpd -p lbpv")
    check(int(facts.get("opcodes", 0)) >= 5, "sg_opcodes: " + facts.get("opcodes", ""))
    equal(facts.get("unmap"), "done", "sg_unmap")
    equal(facts.get("unmapped"), hashlib.md5(bytes(8 * 512)).hexdigest(), "unmapped blocks read as zeroes")
    equal(content[64 * 512:72 * 512], bytes(8 * 512), "and are so in the image")
    equal((facts.get("caw"), facts.get("caw_again")), ("done", "miscompare"), "sg_compare_and_write")
    equal(hashlib.md5(content[32 * 512:33 * 512]).hexdigest(), facts.get("caw_data"), "what it wrote")
    check(int(facts.get("logs", 0)) > 0, "sg_logs")
    equal(facts.get("keys"), "0xabc1", "sg_persist: keys")
    check(facts.get("held"), "sg_persist: reservation")


def check_target(facts, tgt):
    equal(facts.get("store"), "STORE", "INQUIRY is the target's")
    check(int(facts.get("store_di", 0)) > 0, "VPD 83 is the target's")
    equal(facts.get("store_key"), "0xabc2", "the registration")
    equal(facts.get("store_write"), "done", "writing")
    with open(tgt.image, "rb") as file:
        file.seek(3 * 512)
        equal(hashlib.md5(file.read(512)).hexdigest(), facts.get("caw_data"), "what the target has")


def change_a_unit(machine, qmp, directory):
    """A unit is added, grows and is removed while the guest writes to it and reads it."""
    path = os.path.join(directory, "hot.img")
    with open(path, "wb") as file:
        file.truncate(DISK_BYTES)
    machine.wait_for("READY add", 120)
    qmp.ask("blockdev-add", driver="block-file", node__name="hot-file", path=path)
    qmp.ask("device_add", driver="scsi-disk", id="hot", bus="scsi0.0", drive="hot-file", scsi__id=65, lun=3)
    machine.wait_for("READY grow", 120)
    qmp.ask("block_resize", **{"node-name": "hot-file", "size": 2 * DISK_BYTES})
    machine.wait_for("READY remove", 120)
    qmp.socket.settimeout(300)
    qmp.ask("device_del", id="hot")
    while qmp.event("DEVICE_DELETED")["device"] != "hot":
        pass
    qmp.ask("blockdev-del", node__name="hot-file")
    machine.wait_for("FACT end", 240)


def check_changed_unit(facts, directory):
    check("hot" in facts.get("hot_wwid", ""), "its name")
    equal((facts.get("hot_size"), facts.get("hot_resized")), (str(DISK_BYTES // 512), str(2 * DISK_BYTES // 512)),
          "sectors before and after")
    equal(facts.get("hot_last"), "512", "its last block after that")
    equal((facts.get("hot_written"), facts.get("hot_writer"), facts.get("hot_reader"), facts.get("hot_gone")),
          ("yes", "ended after some", "ended", "yes"), "and it went with its I/O")
    with open(os.path.join(directory, "hot.img"), "rb") as file:
        file.seek(5 * 512)
        equal(hashlib.md5(file.read(512)).hexdigest(), facts.get("caw_data"), "what was written")


def test_256_disks_a_cd_and_an_iscsi_lun(directory):
    disc = make_images(directory)
    with Tgt(directory) as tgt:
        with Machine(describe(directory, tgt), directory=directory) as machine:
            print(f"# ready after {machine.wait_for('READY resize', 2000):.0f} s")
            with Qmp(os.path.join(directory, "qmp")) as qmp:
                qmp.ask("block_resize", **{"node-name": "i0_0", "size": 2 * DISK_BYTES})
                change_a_unit(machine, qmp, directory)
            status = machine.wait_end(120)
            text = machine.text()
        equal(status, 0, "exit status")
        facts = dict(re.findall(r"FACT (\w+)=(.*?) *\r?\n", text))
        print("# " + ", ".join(f"{name} {value}" for name, value in facts.items()))
        equal((facts.get("disks"), facts.get("used")), ("256", "256"), "disks found and used")
        equal(facts.get("cd"), hashlib.md5(disc[:8 * 2048]).hexdigest(), "the CD")
        check_samples(directory)
        check_tools(facts, directory)
        check_target(facts, tgt)
        check("FACT await_failed" not in text, "the guest waited in vain")
        check_changed_unit(facts, directory)
        equal(facts.get("resized"), str(2 * DISK_BYTES // 512), "sectors after the resize")


if __name__ == "__main__":
    need_kvm()
    need_file("/bin/busybox", "busybox-static")
    need_file("/usr/bin/sg_inq", "sg3-utils")
    if kernel("vmlinux") is None:
        skip_all("no kernel to boot: set BACKPLANE_TEST_KERNEL")
    if is_missing():
        skip_all("no tgtd here (Debian package tgt)")
    run_tests([test_256_disks_a_cd_and_an_iscsi_lun])
