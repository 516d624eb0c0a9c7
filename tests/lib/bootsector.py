# SPDX-License-Identifier: Apache-2.0
"""A boot sector of our own: writes a text to the first serial port, checks that it can read a second
sector through the firmware, and powers the machine off by ACPI."""

# 16-bit code, loaded at 0:7C00 with the drive number in DL.
#   cli; xor ax,ax; mov ds,ax; mov es,ax; mov ss,ax; mov sp,7C00h; sti
#   mov ax,0201h; mov cx,0002h; mov dh,0; mov bx,7E00h; int 13h; jc fail
#   mov si,7E00h; call print; jmp off
# fail: mov si,text; call print
# off:  mov dx,0604h; mov ax,2000h; out dx,ax; hlt; jmp $-1
# print: lodsb; or al,al; jz ret; mov ah,al; mov dx,3FDh; wait: in al,dx; test al,20h; jz wait;
#        mov dx,3F8h; mov al,ah; out dx,al; jmp print; ret


def _assemble():
    code = bytearray()
    code += b"\xfa\x31\xc0\x8e\xd8\x8e\xc0\x8e\xd0\xbc\x00\x7c\xfb"
    code += b"\xb8\x01\x02\xb9\x02\x00\xb6\x00\xbb\x00\x7e\xcd\x13"
    jc_at = len(code)
    code += b"\x72\x00"
    code += b"\xbe\x00\x7e"
    call1_at = len(code)
    code += b"\xe8\x00\x00"
    jmp_at = len(code)
    code += b"\xeb\x00"
    fail = len(code)
    text_at = len(code) + 1
    code += b"\xbe\x00\x00"
    call2_at = len(code)
    code += b"\xe8\x00\x00"
    off = len(code)
    code += b"\xba\x04\x06\xb8\x00\x20\xef\xf4\xeb\xfd"
    show = len(code)
    code += b"\xac\x08\xc0\x74\x10\x88\xc4\xba\xfd\x03\xec\xa8\x20\x74\xfb\xb2\xf8\x88\xe0\xee\xeb\xea\xc3"
    text = 0x7C00 + len(code)
    code += b"BOOT READ FAILED\r\n\0"
    code[jc_at + 1] = fail - (jc_at + 2)
    code[jmp_at + 1] = off - (jmp_at + 2)
    code[text_at:text_at + 2] = text.to_bytes(2, "little")
    for at in (call1_at, call2_at):
        code[at + 1:at + 3] = (show - (at + 3)).to_bytes(2, "little", signed=True)
    # the jz of print leaps to its ret
    code[show + 4] = (show + 22) - (show + 5)
    return bytes(code)


def boot_image(text, size=1 << 20, place=(0, 0, 2), geometry=(0, 0)):
    """A disk image whose boot sector writes text, which stands in its second sector; or in that at
    place (cylinder, head, sector), which takes heads and sectors per track to find."""
    cylinder, head, number = place
    heads, sectors = geometry
    sector = _assemble().replace(b"\xb9\x02\x00\xb6\x00", bytes((0xb9, number, cylinder, 0xb6, head)))
    sector += bytes(510 - len(sector)) + b"\x55\xaa"
    at = ((cylinder * heads + head) * sectors + number - 1) * 512
    second = text.encode("ascii") + b"\r\n\0"
    image = sector + bytes(at - len(sector)) + second
    return image + bytes(size - len(image))


def _sector(data):
    return data + bytes(-len(data) % 2048)


def _both(value):
    """ISO 9660's both-endian 32 bits."""
    return value.to_bytes(4, "little") + value.to_bytes(4, "big")


def _cd_sector(lba):
    """The boot sector, but it reads one 2048-byte block of the CD at lba by INT 13h, AH=42h."""
    code = _assemble()
    read = b"\xb8\x01\x02\xb9\x02\x00\xb6\x00\xbb\x00\x7e\xcd\x13"
    packet = 0x7C00 + len(code)
    # mov si,packet; mov ah,42h; int 13h; nop ...
    code = code.replace(read, b"\xbe" + packet.to_bytes(2, "little") + b"\xb4\x42\xcd\x13" + b"\x90" * 6)
    return code + b"\x10\0\1\0\x00\x7e\0\0" + lba.to_bytes(8, "little")


def boot_cd(text, floppy=None, blocks=64):
    """A CD image by El Torito 1.0: no emulation, its boot sector writes text, which stands in a block of
    the CD; or emulating the 1.44 MB floppy given."""
    boot = floppy if floppy is not None else _cd_sector(21)
    volume = bytearray(2048)
    volume[:8] = b"\1CD001\1\0"
    volume[40:72] = b"BACKPLANE".ljust(32)
    volume[80:88] = _both(blocks)
    record = (b"\0CD001\1" + b"EL TORITO SPECIFICATION".ljust(64, b"\0") + (19).to_bytes(4, "little"))
    check = bytearray(b"\1\0\0\0" + bytes(24) + b"\0\0\x55\xaa")
    total = sum(int.from_bytes(check[i:i + 2], "little") for i in range(0, 32, 2))
    check[28:30] = (-total & 0xffff).to_bytes(2, "little")
    # bootable; media type 2: 1.44 MB floppy; load segment 7C0h; type 0; sectors of 512 bytes; where
    entry = (b"\x88" + (b"\2" if floppy is not None else b"\0") + b"\0\0\0\0"
             + (1 if floppy is not None else 4).to_bytes(2, "little") + (20).to_bytes(4, "little"))
    image = (bytes(16 * 2048) + bytes(volume) + _sector(record) + _sector(b"\xffCD001\1")
             + _sector(bytes(check) + entry) + _sector(boot))
    if floppy is None:
        image += _sector(text.encode("ascii") + b"\r\n\0")
    return image + bytes(max(0, blocks * 2048 - len(image)))
