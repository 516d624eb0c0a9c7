/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the "machine" group, and those that every backend and device has, in the same form
 * as a plugin's. */
#pragma once

#include <backplane/plugin.h>

/* machine = {
 *   name = "backplane";  uuid = "" (RFC 4122; empty: none);
 *   memory = "128M" (2M..);  cpus = 1 (1..255);  cpu = "host" ("host,-avx");
 *   loops = 1 (1..64);  loop_engine = "auto" | "io_uring" | "epoll";
 *   irqchip = "kernel" | "split";
 *   hugepages = "none" | "2M" | "1G";  shared_memory = false;  prealloc = false;
 *   acpi = true;  pci_bridges = ("1f.0", ...) (to bus 1, 2, ... of devices' addresses);
 *   control = "" (path of the control socket; empty: none);
 *   rtc = { base = "utc" | "localtime" | "2026-11-22T10:00:00"; clock = "host" | "vm"; };
 *   boot = { order = [...]; strict = false; menu = false; menu_wait = 0 (ms);
 *            firmware = path (default: first of /usr/share/seabios/bios-256k.bin,
 *                       /usr/share/qemu/bios-256k.bin);
 *            kernel = path; initrd = path; cmdline = ""; serial_console = true
 *            (firmware's messages go to the first serial port as well: etc/sercon-port); };
 *   smbios = { manufacturer; product; version; serial; sku; family; oem_strings = [...]; };
 * }; */
extern const struct bp_prop machine_props[];

/* plugin (required), class (optional: another class of the plugin), loop = 0. */
extern const struct bp_prop instance_props[];
/* Those of devices on the PCI bus, besides: address = "05.0" (slot.function, hexadecimal), behind
 * the first bridge "1:05.0". */
extern const struct bp_prop pci_props[];
