# SPDX-License-Identifier: Apache-2.0
"""A PVH kernel small enough to write by hand: 32-bit code behind a Xen ELF note."""

import struct

LOAD_ADDRESS = 0x100000
NOTE_PHYS32_ENTRY = 18

# mov dx, port; mov al, '!'; out dx, al; then cli; hlt for ever
FIRST_BYTE = b"\x66\xba%s\xb0!\xee\xfa\xf4\xeb\xfd"


def pvh_kernel(code):
    """An ELF file that a PVH loader starts at its first byte of code."""
    note = struct.pack("<III4sI", 4, 4, NOTE_PHYS32_ENTRY, b"Xen\0", LOAD_ADDRESS)
    headers = 64 + 2 * 56
    note_at = headers
    code_at = 0x1000
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    elf = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, LOAD_ADDRESS, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, code_at, LOAD_ADDRESS, LOAD_ADDRESS, len(code), len(code),
                       0x1000)
    notes = struct.pack("<IIQQQQQQ", 4, 4, note_at, 0, 0, len(note), len(note), 4)
    image = elf + load + notes + note
    return image + bytes(code_at - len(image)) + code


def first_byte_kernel(port):
    return pvh_kernel(FIRST_BYTE % struct.pack("<H", port))
