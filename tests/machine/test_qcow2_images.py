#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images that qemu-img and qemu-io made, one in each of their options, all in one machine: the
guest reads what qemu-img reads; what the guest writes, qemu-img finds; and finds no fault."""

import os
import random
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests, skip_all  # noqa: E402
from registers import TestMachine, equal  # noqa: E402
from test_virtio_blk import FLUSH, IN, OUT, VERSION_1, Disk  # noqa: E402

SIZE = 3 << 20
PIECE = 128 << 10
ZEROES = 13
PLAIN = (
    "cluster_size=512", "cluster_size=1k", "cluster_size=2k,refcount_bits=1", "cluster_size=4k,refcount_bits=2",
    "cluster_size=8k,refcount_bits=4", "cluster_size=16k,refcount_bits=8", "cluster_size=32k,refcount_bits=32",
    "cluster_size=64k,refcount_bits=64", "cluster_size=128k", "cluster_size=1M", "cluster_size=2M",
    "compat=0.10", "compat=0.10,cluster_size=512", "compat=0.10,cluster_size=2M", "lazy_refcounts=on",
    "preallocation=metadata", "preallocation=falloc", "preallocation=full,cluster_size=4k",
)
PACKED = ("cluster_size=4k", "compression_type=zstd", "compat=0.10", "cluster_size=2M")


def tool(*command, status=0):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    equal(done.returncode, status, f"{' '.join(command)}\n{done.stdout.decode()}")


def contents(path, *options):
    """A disk as qemu-img reads it."""
    tool("qemu-img", "convert", *options, "-O", "raw", path, path + ".flat")
    with open(path + ".flat", "rb") as file:
        return file.read()


def scribble(dice, path, size):
    """qemu-io writes here and there."""
    commands = []
    for _ in range(12):
        length = dice.choice((512, 3584, 4096, 65536, 200704))
        offset = dice.randrange((size - length) // 512) * 512
        kind = dice.choice((f"-P {dice.randrange(256)}", f"-P {dice.randrange(256)}", "-z", "-z -u"))
        commands += ["-c", f"write {kind} {offset} {length}"]
    tool("qemu-io", "-f", "qcow2", *commands, path)


def raw(path, size, dice):
    with open(path, "wb") as file:
        file.write(b"".join(dice.choice((bytes(4096), dice.randbytes(4096), b"text " * 819 + b"!"))
                            for _ in range(size // 4096)))
    return path


class Image:
    """A disk of the machine: the lines that make it a backend, and what is in it."""

    def __init__(self, name, path, more="", lines="", expected=None):
        self.name, self.path, self.expected = name, path, bytearray(expected or contents(path))
        readonly = " readonly = true;" if expected is not None else ""
        self.readonly = expected is not None
        self.lines = (f'{lines}{name}-file = {{ plugin = "block-file"; path = "{path}";{readonly} }};\n'
                      f'{name} = {{ plugin = "block-qcow2"; file = "{name}-file"; {more} }};\n')


def create(directory, name, options, size=SIZE, backing=()):
    path = os.path.join(directory, name)
    tool("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, *backing, path, str(size))
    scribble(random.Random(name), path, size)
    return path


def base_node(name, path):
    return f'{name} = {{ plugin = "block-file"; path = "{path}"; readonly = true; }};\n'


def chain(directory, name, options, sizes):
    """raw <- qcow2 <- qcow2, named relative to each other."""
    dice = random.Random(name)
    raw(os.path.join(directory, name + "-base"), sizes[0], dice)
    create(directory, name + "-mid", options, sizes[1], ("-b", name + "-base", "-F", "raw"))
    top = create(directory, name, options, sizes[2], ("-b", name + "-mid", "-F", "qcow2"))
    lines = base_node(name + "-b", os.path.join(directory, name + "-base"))
    lines += base_node(name + "-mf", os.path.join(directory, name + "-mid"))
    lines += (f'{name}-m = {{ plugin = "block-qcow2"; file = "{name}-mf"; backing = "{name}-b"; '
              "readonly = true; };\n")
    return Image(name, top, f'backing = "{name}-m";', lines)


def snapshots(directory):
    path = create(directory, "snapshots", "cluster_size=16k")
    tool("qemu-img", "snapshot", "-c", "first", path)
    first = contents(path)
    scribble(random.Random("more"), path, SIZE)
    tool("qemu-img", "snapshot", "-c", "second", path)
    scribble(random.Random("and more"), path, SIZE)
    for name in ("old", "old-again"):
        shutil.copy(path, os.path.join(directory, name))
    yield Image("snapshots", path)
    yield Image("old", os.path.join(directory, "old"), 'snapshot = "first";', expected=first)
    yield Image("old-again", os.path.join(directory, "old-again"), 'snapshot = "2";',
                expected=contents(path, "-l", "snapshot.name=second"))


def images(directory):
    for i, options in enumerate(PLAIN):
        yield Image(f"plain{i}", create(directory, f"plain{i}", options))
    for i, options in enumerate(PACKED):
        source = raw(os.path.join(directory, "source"), SIZE, random.Random(i))
        path = os.path.join(directory, f"packed{i}")
        tool("qemu-img", "convert", "-c", "-O", "qcow2", "-o", options, source, path)
        yield Image(f"packed{i}", path)
    yield chain(directory, "chain", "cluster_size=64k", (SIZE, SIZE, SIZE))
    yield chain(directory, "larger", "cluster_size=4k", (1 << 20, 2 << 20, SIZE))
    yield chain(directory, "smaller", "compat=0.10", (SIZE + 4096, SIZE + 512, SIZE))
    yield from snapshots(directory)
    for options in ("cluster_size=16k", "cluster_size=64k", "cluster_size=2M"):
        name = "long-" + options[13:].lower()
        path = create(directory, name, "extended_l2=on," + options)
        yield Image(name, path, expected=contents(path))
        base = raw(path + ".base", SIZE, random.Random(name))
        path = create(directory, name + "-over", "extended_l2=on," + options, backing=("-b", base, "-F", "raw"))
        yield Image(name + "-over", path, f'backing = "{name}-b";', base_node(name + "-b", base), contents(path))
    tool("qemu-img", "convert", "-c", "-O", "qcow2", "-o", "extended_l2=on", path, path + ".packed")
    yield Image("long-packed", path + ".packed", expected=contents(path + ".packed"))
    dirty = create(directory, "dirty", "lazy_refcounts=on")
    whole = contents(dirty)
    with open(dirty, "r+b") as file:
        file.seek(72)
        file.write(struct.pack(">Q", 1))
    yield Image("dirty", dirty, expected=whole)
    bitmap = create(directory, "bitmap", "cluster_size=64k")
    tool("qemu-img", "bitmap", "--add", bitmap, "b")
    yield Image("bitmap", bitmap)


def read_all(disk):
    pieces = []
    for offset in range(0, SIZE, PIECE):
        status, data = disk.request(IN, offset // 512, length=PIECE)
        equal(status, 0, f"read at {offset}")
        pieces.append(data)
    return b"".join(pieces)


def change(disk, image):
    """The guest writes here and there, and flushes."""
    dice = random.Random(image.name)
    for _ in range(16):
        length = dice.choice((512, 1536, 4096, 20480))
        offset = dice.randrange((SIZE - length) // 512) * 512
        if dice.randrange(4) == 0:
            length *= 8
            length = min(length, SIZE - offset)
            status, _ = disk.request(ZEROES, 0, struct.pack("<QII", offset // 512, length // 512, dice.randrange(2)))
            image.expected[offset:offset + length] = bytes(length)
        else:
            data = dice.randbytes(length)
            status, _ = disk.request(OUT, offset // 512, data)
            image.expected[offset:offset + length] = data
        equal(status, 0, f"{image.name}: change at {offset}")
    equal(disk.request(FLUSH)[0], 0, image.name + ": flush")


def use(machine, batch):
    for index, image in enumerate(batch):
        disk = Disk(machine, (4 + index) << 3, index)
        disk.start_modern(disk.offered() & (VERSION_1 | 1 << 9 | 1 << 14))
        check(read_all(disk) == image.expected, image.name + ": the guest reads other contents")
        if not image.readonly:
            change(disk, image)
            check(read_all(disk) == image.expected, image.name + ": the guest lost what it wrote")


def test_images_in_all_options_read_and_write_as_qemu_img_does(directory):
    all_images = list(images(directory))
    for start in range(0, len(all_images), 16):
        batch = all_images[start:start + 16]
        devices = "".join(f'd{i} = {{ plugin = "virtio-blk"; backend = "{image.name}"; '
                          f'address = "{4 + i:02x}.0"; }};\n' for i, image in enumerate(batch))
        description = ('machine = { memory = "16M"; };\n'
                       f'backends = {{ {"".join(image.lines for image in batch)} }};\n'
                       f'devices = {{ {devices} }};\n')
        with TestMachine(description, directory, name=f"m{start}") as machine:
            use(machine, batch)
    for image in all_images:
        if not image.readonly:
            # A bitmap that does not follow our changes is void; its clusters are lost space (3).
            tool("qemu-img", "check", "-q", image.path, status=3 if image.name == "bitmap" else 0)
            check(contents(image.path) == image.expected, image.name + ": qemu-img reads other contents")
    print(f"# {len(all_images)} images")


if __name__ == "__main__":
    if shutil.which("qemu-img") is None or shutil.which("qemu-io") is None:
        skip_all("qemu-img and qemu-io are missing (package qemu-utils)")
    run_tests([test_images_in_all_options_read_and_write_as_qemu_img_does])
