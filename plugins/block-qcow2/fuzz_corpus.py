#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes inputs of fuzz_block_qcow2 from small images of qemu-img, one for each of its options:
fuzz_corpus.py FOLDER"""

import os
import random
import subprocess
import sys
import tempfile

READONLY, BACKING, SNAPSHOT, AGAIN, FIXED, STOPPED, PIECES = (1 << bit for bit in range(7))
READ, WRITE, ZEROES, DISCARD, FLUSH, RESIZE, FAIL, CANCEL, DRAIN, RUN = 0, 2, 5, 6, 7, 8, 9, 10, 12, 13
SECTOR = 512

IMAGES = {
    # name: flags, options of qemu-img create, size, and what qemu-io and qemu-img do to it
    "c512": (AGAIN, "cluster_size=512", "96k", ["write -P 7 1k 9k", "write -z 20k 4k", "discard 2k 2k"]),
    "c1k": (AGAIN, "cluster_size=1k", "300k", ["write -P 8 0 3k", "write -P 9 200k 5k"]),
    "c4k": (AGAIN, "cluster_size=4k", "1M", ["write -P 8 100k 3k", "write -z 0 64k"]),
    "c64k": (AGAIN, "cluster_size=64k", "1M", ["write -P 8 3k 3k"]),
    "c2M": (0, "cluster_size=2M", "8M", ["write -P 8 3k 3k"]),
    "v2": (AGAIN, "compat=0.10,cluster_size=512", "96k", ["write -P 7 1k 9k"]),
    "r1": (AGAIN, "refcount_bits=1,cluster_size=512", "96k", ["write -P 7 1k 9k"]),
    "r64": (AGAIN, "refcount_bits=64,cluster_size=512", "96k", ["write -P 7 1k 9k"]),
    "lazy": (AGAIN, "lazy_refcounts=on,cluster_size=512", "96k", ["write -P 7 1k 9k"]),
    "meta": (AGAIN, "preallocation=metadata,cluster_size=512", "16k", []),
    "long": (AGAIN, "extended_l2=on,cluster_size=16k", "256k", ["write -P 7 1k 2k", "write -z 3k 2k"]),
    "back": (BACKING | AGAIN, "cluster_size=512", "64k", ["write -P 7 1k 3k", "write -z 9k 2k"]),
    "back2": (BACKING, "compat=0.10,cluster_size=512", "32k", ["write -P 7 1k 3k"]),
    "longback": (BACKING, "extended_l2=on,cluster_size=16k", "64k", ["write -P 7 1k 3k"]),
    "snap": (SNAPSHOT, "cluster_size=512", "32k", ["write -P 7 1k 3k", "snapshot", "write -P 8 2k 2k"]),
    "snaprw": (AGAIN, "cluster_size=512", "32k", ["write -P 7 1k 3k", "snapshot", "write -P 8 2k 2k"]),
    "fixed": (FIXED, "cluster_size=512", "32k", ["write -P 7 1k 3k"]),
    "stopped": (STOPPED, "cluster_size=512", "32k", ["write -P 7 1k 3k"]),
    "pieces": (PIECES | AGAIN, "cluster_size=64k", "1M", ["write -P 7 1k 3k"]),
    "packed": (AGAIN, "cluster_size=4k", "32k", ["packed"]),
    "packedz": (AGAIN, "cluster_size=64k,compression_type=zstd", "128k", ["packed"]),
    "bitmap": (AGAIN, "cluster_size=512", "32k", ["write -P 7 1k 3k", "bitmap"]),
}


def script(dice, size):
    """What the guest does: places are those of the disk, and sometimes just behind it."""
    records = b""
    for _ in range(dice.choice((4, 8, 16))):
        kind = dice.choice((READ, READ, WRITE, WRITE, WRITE, ZEROES, DISCARD, FLUSH, RUN, RUN, RESIZE,
                            FAIL, CANCEL, DRAIN))
        place = dice.randrange(size // SECTOR + 4)
        length = dice.choice((0, 1, 3, 7, 15))
        if kind == RESIZE:
            place, length = min(65535, size // SECTOR + 64), dice.randrange(3)
        if kind == FAIL:
            length = dice.randrange(1, 20)
        records += bytes((kind, length)) + min(place, 65535).to_bytes(2, "little")
    return records


def pieces(image):
    """The sectors that are not zero; and the last one, so that the length is right."""
    data = b""
    sectors = [image[at:at + SECTOR].ljust(SECTOR, b"\0") for at in range(0, len(image), SECTOR)]
    at = 0
    while at < len(sectors):
        end = at
        while end < len(sectors) and end - at < 256 and (any(sectors[end]) or end == len(sectors) - 1):
            end += 1
        if end > at:
            data += at.to_bytes(2, "little") + bytes((end - at - 1,)) + b"".join(sectors[at:end])
        at = max(end, at + 1)
    return data


def size_of(text):
    return int(text[:-1]) << {"k": 10, "M": 20}[text[-1]]


def make(name, directory):
    flags, options, size, steps = IMAGES[name]
    image, raw = os.path.join(directory, name), os.path.join(directory, "raw")
    dice = random.Random(name)
    backing = ["-b", raw, "-F", "raw", "-u"] if flags & BACKING else []
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, *backing, image, size], check=True)
    with open(raw, "wb") as file:
        file.write(bytes(index >> 9 & 255 for index in range(48 << 10)) if flags & BACKING
                   else bytes(dice.choice(b"abc") for _ in range(size_of(size) // 2)))
    for step in steps:
        command = {"snapshot": ["qemu-img", "snapshot", "-c", "1", image],
                   "bitmap": ["qemu-img", "bitmap", "--add", image, "b"],
                   "packed": ["qemu-img", "convert", "-c", "-O", "qcow2", "-o", options, raw, image],
                   }.get(step, ["qemu-io", "-f", "qcow2", "-c", step, image])
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with open(image, "rb") as file:
        contents = pieces(file.read())
    os.unlink(image)
    records = script(dice, size_of(size))
    return bytes((flags, len(records) // 4)) + records + contents


def main():
    os.makedirs(sys.argv[1], exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        for name in IMAGES:
            data = make(name, directory)
            with open(os.path.join(sys.argv[1], name), "wb") as file:
                file.write(data)
            print(f"{name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
