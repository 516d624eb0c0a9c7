#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a bad plugin of a good one by changing its bytes: patch.py HOW GOOD.so OUT.so"""
import struct
import sys


def find_note(data):
    """Offset of the note's descriptor: after namesz, descsz, type and the padded name."""
    header = struct.pack('<I', 10)
    name = b'Backplane\0\0\0'
    at = data.find(name)
    assert data[at - 12:at - 8] == header
    return at + len(name)


def program_header(data, wanted):
    offset, = struct.unpack_from('<Q', data, 32)
    size, count = struct.unpack_from('<HH', data, 54)
    for i in range(count):
        at = offset + i * size
        if struct.unpack_from('<I', data, at)[0] == wanted:
            return at
    raise SystemExit('no such program header')


def patch(how, data):
    if how == 'empty':
        return b''
    if how == 'text':
        return b'#!/bin/sh\necho this is a script\n'
    if how == 'header-only':
        return data[:32]
    if how == 'truncated':
        return data[:len(data) // 8]
    data = bytearray(data)
    if how == 'aarch64':
        struct.pack_into('<H', data, 18, 183)
    elif how == 'i386':
        data[4] = 1
        struct.pack_into('<H', data, 18, 3)
    elif how == 's390x':
        data[5] = 2
        struct.pack_into('>H', data, 18, 22)
    elif how == 'abi-major':
        struct.pack_into('<II', data, find_note(data) + 8, 2, 7)
    elif how == 'note-flags':
        struct.pack_into('<I', data, find_note(data) + 4, 0x80)
    elif how == 'no-stack-note':
        struct.pack_into('<I', data, program_header(data, 0x6474E551), 0)
    elif how == 'no-dynamic':
        struct.pack_into('<I', data, program_header(data, 2), 0)
    elif how == 'huge-segment':
        struct.pack_into('<Q', data, program_header(data, 1) + 40, 1 << 40)
    else:
        raise SystemExit('patch.py: unknown way ' + how)
    return bytes(data)


def main():
    how, source, target = sys.argv[1:]
    with open(source, 'rb') as file:
        data = file.read()
    with open(target, 'wb') as file:
        file.write(patch(how, data))


main()
