# SPDX-License-Identifier: Apache-2.0
"""A disk on every block backend and under every filter, what a guest does to each, and how the host
sees it afterwards. The guest writes NOISE at 512 KiB, discards 256 KiB at 1 MiB, zeroes 256 KiB
behind that, and writes the first 3 sectors of NOISE to sector 1001."""

import os
import random
import subprocess
import time

from backplane import check

SIZE = 2 << 20
USED = 3 << 19  # the guest compares this much; the fault lies behind it
NOISE = random.Random("noise").randbytes(64 << 10)
BEFORE = random.Random("before").randbytes(SIZE)
AFTER = bytearray(BEFORE)
AFTER[512 << 10:576 << 10] = NOISE
AFTER[1 << 20:USED] = bytes(512 << 10)
AFTER[1001 * 512:1004 * 512] = NOISE[:1536]
AFTER = bytes(AFTER)


class BlockDisk:
    """A backend as the description has it, and how the host reads its image afterwards."""

    def __init__(self, lines, image=None, kept=AFTER, before=BEFORE, after=AFTER):
        self.lines, self.image, self.kept, self.before, self.after = lines, image, kept, before, after
        self.last = "read"


def raw(directory, name, contents=BEFORE):
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        file.write(contents)
    return path


def qcow2(directory, name, *options):
    """An image with the contents in it, or, with a backing disk, in that."""
    path = os.path.join(directory, name)
    if options:
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, path, str(SIZE)], check=True)
    else:
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw(directory, name + ".raw"), path], check=True)
    return path


def file_node(name, path, more=""):
    return f'{name} = {{ plugin = "block-file"; path = "{path}"; {more} }};\n'


def node(name, plugin, more):
    return f'{name} = {{ plugin = "{plugin}"; {more} }};\n'


def plain_disks(directory):
    """The backends."""
    image = {name: os.path.join(directory, name) for name in ("file", "direct", "qcow", "over", "far")}
    for name in ("file", "direct", "far"):
        raw(directory, name)
    base = raw(directory, "base")
    yield "file", BlockDisk(file_node("file", image["file"]), image["file"])
    yield "direct", BlockDisk(file_node("direct", image["direct"], 'cache = "none";'), image["direct"])
    seven = bytes((7,)) * SIZE
    yield "null", BlockDisk(node("null", "block-null", 'size = "2M"; pattern = 7;'), None, None, seven, seven)
    yield "ram", BlockDisk(node("ram", "block-ram", f'image = "{base}";'), base, BEFORE)
    yield "qcow", BlockDisk(file_node("qcow-file", qcow2(directory, "qcow"))
                       + node("qcow", "block-qcow2", 'file = "qcow-file";'), image["qcow"])
    over = qcow2(directory, "over", "-b", base, "-F", "raw")
    yield "over", BlockDisk(file_node("over-base", base, "readonly = true;") + file_node("over-file", over)
                       + node("over", "block-qcow2", 'file = "over-file"; backing = "over-base";'), over)
    yield "far", BlockDisk(node("far", "block-nbd", f'uri = "nbd+unix:///?socket={directory}/nbd";'), image["far"])


def filtered_disks(directory):
    """Each filter, and all of them."""
    lines = {name: file_node(name + "-file", raw(directory, name)) for name in
             ("throttle", "fault", "drop", "commit", "twin")}
    path = {name: os.path.join(directory, name) for name in lines}
    yield "throttle", BlockDisk(lines["throttle"] + node("throttle", "filter-throttle",
                           'below = "throttle-file"; iops = 500; bps = "4M";'), path["throttle"])
    rule = 'rules = ( { op = "read"; offset = "1536K"; length = "4K"; } );'
    fault = BlockDisk(lines["fault"] + node("fault", "filter-fault", 'below = "fault-file"; ' + rule), path["fault"])
    fault.last = "failed"
    yield "fault", fault
    yield "drop", BlockDisk(lines["drop"] + node("drop", "filter-overlay", 'below = "drop-file";'),
                       path["drop"], BEFORE)
    yield "commit", BlockDisk(lines["commit"] + node("commit", "filter-overlay",
                         'below = "commit-file"; end = "commit";'), path["commit"])
    verify = qcow2(directory, "verify")
    yield "verify", BlockDisk(file_node("verify-file", verify) + lines["twin"]
                         + node("verify-qcow", "block-qcow2", 'file = "verify-file";')
                         + node("verify", "filter-verify", 'below = "verify-qcow"; other = "twin-file";'), verify)
    tower = qcow2(directory, "tower")
    tower_twin = raw(directory, "tower-twin")
    stack = BlockDisk(file_node("t0", tower) + node("t1", "block-qcow2", 'file = "t0";')
                 + file_node("t2", tower_twin) + node("t3", "filter-verify", 'below = "t1"; other = "t2";')
                 + node("t4", "filter-overlay", 'below = "t3"; end = "commit";')
                 + node("t5", "filter-throttle", 'below = "t4"; iops = 2000;')
                 + node("tower", "filter-fault", 'below = "t5"; ' + rule), tower)
    stack.last = "failed"
    yield "tower", stack


def start_server(directory):
    server = subprocess.Popen(["nbdkit", "-f", "-U", os.path.join(directory, "nbd"), "file",
                               os.path.join(directory, "far")])
    while server.poll() is None and not os.path.exists(os.path.join(directory, "nbd")):
        time.sleep(0.01)
    return server


def all_disks(directory):
    return dict(plain_disks(directory)) | dict(filtered_disks(directory))


def check_image(directory, name, disk):
    """The host finds what it should, in the twin of filter-verify, too."""
    if name == "verify":
        with open(os.path.join(directory, "twin"), "rb") as file:
            check(file.read() == AFTER, "verify: the twin has other contents")
    if disk.image is None:
        return
    flat = os.path.join(directory, "flat")
    with open(disk.image, "rb") as file:
        is_qcow2 = file.read(4) == b"QFI\xfb"
    if is_qcow2:
        subprocess.run(["qemu-img", "check", "-q", disk.image], check=True)
    subprocess.run(["qemu-img", "convert", "-f", "qcow2" if is_qcow2 else "raw", "-O", "raw", disk.image, flat],
                   check=True)
    with open(flat, "rb") as file:
        check(file.read() == disk.kept, name + ": the host finds other contents")
