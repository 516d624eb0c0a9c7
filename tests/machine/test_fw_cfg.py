#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What firmware learns about the machine: fw_cfg and the CMOS cells."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import check, run_tests  # noqa: E402
from registers import TestMachine, equal  # noqa: E402

UUID = "01234567-89ab-cdef-0123-456789abcdef"
DMA_ERROR, DMA_READ, DMA_SKIP, DMA_SELECT, DMA_WRITE = 1, 2, 4, 8, 16
REQUEST = 0x20000


def machine(directory, memory="128M", cpus=1, more=""):
    return TestMachine(f"""
machine = {{ memory = "{memory}"; cpus = {cpus}; uuid = "{UUID}"; {more} }};
devices = {{ ide0 = {{ plugin = "ide"; }}; com1 = {{ plugin = "serial"; }}; }};
""", directory)


def number(m, key, length):
    return int.from_bytes(m.fw_cfg(key, length), "little")


def dma(m, control, length, address, high=True):
    """Returns the control word afterwards."""
    m.write(REQUEST, struct.pack(">IIQ", control, length, address))
    if high:
        m.outl(0x514, 0)
    m.outl(0x518, int.from_bytes(struct.pack(">I", REQUEST), "little"))
    return int.from_bytes(m.read(REQUEST, 4), "big")


def test_the_numbered_items_say_what_the_machine_is(directory):
    with machine(directory, cpus=3) as m:
        equal(m.fw_cfg(0, 4), b"QEMU", "signature")
        equal(number(m, 1, 4), 3, "id: traditional and DMA")
        equal(m.fw_cfg(2, 16).hex(), UUID.replace("-", ""), "UUID")
        equal(number(m, 3, 8), 128 << 20, "RAM size")
        equal(number(m, 4, 2), 0, "nographic")
        equal((number(m, 5, 2), number(m, 0x0f, 2)), (3, 3), "processors")
        equal(number(m, 0x0e, 2), 0, "boot menu")
        equal(number(m, 0x0d, 8), 0, "NUMA nodes")


def test_reading_past_an_item_gives_zeroes(directory):
    with machine(directory) as m:
        equal(m.fw_cfg(0, 10), b"QEMU" + b"\0" * 6, "past the signature")
        equal(m.fw_cfg(0x7777, 4), b"\0" * 4, "an item that is not there")


def test_the_directory_is_sorted_and_consistent(directory):
    with machine(directory) as m:
        files = m.fw_cfg_files()
        equal(list(files), sorted(files), "order")
        keys = [key for key, _ in files.values()]
        equal(len(set(keys)), len(keys), "keys differ")
        check(min(keys) >= 0x20, "keys of files")
        for name in ("etc/acpi/rsdp", "etc/acpi/tables", "etc/table-loader", "etc/e820",
                     "etc/smbios/smbios-anchor", "etc/smbios/smbios-tables"):
            check(name in files and files[name][1] > 0, f"no {name}")


def test_acpi_tables_are_whole(directory):
    with machine(directory) as m:
        check(m.fw_cfg_file("etc/acpi/rsdp").startswith(b"RSD PTR "), "RSDP")
        tables, found, at = m.fw_cfg_file("etc/acpi/tables"), [], 0
        while at + 8 < len(tables):
            if tables[at:at + 4] in (b"FACS", b"DSDT", b"FACP", b"APIC", b"RSDT", b"WAET"):
                length = struct.unpack_from("<I", tables, at + 4)[0]
                check(36 <= length <= len(tables) - at, f"length of {tables[at:at + 4]}")
                found.append(tables[at:at + 4])
                at += length
            else:
                at += 1
        check({b"FACS", b"DSDT", b"FACP", b"APIC", b"RSDT"} <= set(found), f"tables: {found}")
        equal(len(m.fw_cfg_file("etc/table-loader")) % 128, 0, "the loader's script")


def test_dma_selects_reads_and_skips(directory):
    with machine(directory) as m:
        equal(m.inl(0x514) | m.inl(0x518) << 32, int.from_bytes(b"QEMU CFG", "little"), "signature")
        m.write(0x30000, b"\xee" * 16)
        equal(dma(m, DMA_SELECT | DMA_READ, 4, 0x30000), 0, "control")
        equal(m.read(0x30000, 5), b"QEMU\xee", "item 0")
        key, size = m.fw_cfg_files()["etc/acpi/tables"]
        whole = m.fw_cfg(key, size)
        equal(dma(m, key << 16 | DMA_SELECT | DMA_SKIP, 36, 0), 0, "skip")
        equal(dma(m, DMA_READ, size - 36, 0x40000), 0, "read")
        equal(m.read(0x40000, size - 36) == whole[36:], True, "the rest of the file")
        equal(dma(m, DMA_READ, 8, 0x30000, high=False), 0, "at the end")
        equal(m.read(0x30000, 8), b"\0" * 8, "zeroes")


def test_dma_reports_what_it_cannot_do(directory):
    with machine(directory) as m:
        check(dma(m, DMA_SELECT | DMA_READ, 4, 0xf0000000) & DMA_ERROR, "no memory there")
        check(dma(m, DMA_SELECT | DMA_READ, 0xffffffff, 0) & DMA_ERROR, "more than there is")
        check(dma(m, DMA_SELECT | DMA_WRITE, 4, 0x30000) & DMA_ERROR, "items are read-only")
        check(dma(m, DMA_SELECT | DMA_READ, 4, 0xfffffffffffffffe) & DMA_ERROR, "past the end of space")
        m.outl(0x514, 0xffffffff)
        m.outl(0x518, 0xffffffff)
        equal(m.fw_cfg(0, 4), b"QEMU", "afterwards")


def test_the_boot_menu_and_order_are_told(directory):
    with machine(directory) as m:
        check("bootorder" not in m.fw_cfg_files() and "etc/boot-menu-wait" not in m.fw_cfg_files(), "no order")
        equal(m.fw_cfg_file("etc/boot-fail-wait"), b"\xff" * 4, "no second look")
        equal((m.cmos(0x38), m.cmos(0x3d)), (0x30, 0x12), "disk, floppy, CD")
        equal(m.fw_cfg_file("etc/sercon-port"), struct.pack("<Q", 0x3f8), "serial console")
    other = os.path.join(directory, "2")
    os.mkdir(other)
    with machine(other, more="boot = { menu = true; menu_wait = 1234; serial_console = false; };") as m:
        equal(number(m, 0x0e, 2), 1, "menu")
        equal(m.fw_cfg_file("etc/boot-menu-wait"), struct.pack("<H", 1234), "its wait")
        check("etc/sercon-port" not in m.fw_cfg_files(), "no serial console")


def test_cmos_and_e820_tell_the_memory(directory):
    for i, mib in enumerate((16, 17, 64, 1024, 3072, 3584, 4096, 6000)):
        place = os.path.join(directory, str(i))
        os.mkdir(place)
        with machine(place, memory=f"{mib}M") as m:
            e820 = m.fw_cfg_file("etc/e820")
            ram = sorted(entry[:2] for entry in struct.iter_unpack("<QQI", e820) if entry[2] == 1)
            low = ram[0][1]
            high = sum(size for start, size in ram if start >= 1 << 32)
            equal(low + high, mib << 20, "all of it")
            check(low <= 0xe0000000, "room for PCI")
            equal(m.cmos(0x15) | m.cmos(0x16) << 8, 640, "base")
            for cell in (0x17, 0x30):
                equal(m.cmos(cell) | m.cmos(cell + 1) << 8, min(low // 1024 - 1024, 0xffff), f"{mib} MiB: {cell:x}")
            equal(m.cmos(0x34) | m.cmos(0x35) << 8, max(low - (16 << 20), 0) >> 16, f"{mib} MiB: 34h")
            equal(sum(m.cmos(0x5b + k) << 8 * k for k in range(3)), high >> 16, f"{mib} MiB: 5Bh")
            total = sum(m.cmos(cell) for cell in range(0x10, 0x2e)) & 0xffff
            equal(m.cmos(0x2e) << 8 | m.cmos(0x2f), total, "checksum")


def test_cmos_tells_the_processors(directory):
    with machine(directory, cpus=4) as m:
        equal(m.cmos(0x5f), 3, "processors but one")


if __name__ == "__main__":
    run_tests([value for name, value in sorted(globals().items()) if name.startswith("test_")])
