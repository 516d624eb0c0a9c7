/* SPDX-License-Identifier: Apache-2.0 */
/* The options that are the core's own. */
#include "config/machine_schema.h"

#include <stddef.h>
#include <stdint.h>

static const char *const loop_engines[] = {"auto", "io_uring", "epoll", NULL};
static const char *const irqchips[] = {"kernel", "split", NULL};
static const char *const page_sizes[] = {"none", "2M", "1G", NULL};
static const char *const rtc_clocks[] = {"host", "vm", NULL};

static const struct bp_prop rtc_props[] = {
    {.name = "base",
     .type = BP_PROP_STRING,
     .def = "utc",
     .help = "time at start: utc, localtime or a date such as 2026-11-22T10:00:00"},
    {.name = "clock",
     .type = BP_PROP_ENUM,
     .def = "host",
     .choices = rtc_clocks,
     .help = "host: goes on while the machine is stopped; vm: stops with it"},
    {.name = NULL},
};

static const struct bp_prop order_element[] = {
    {.name = "device",
     .type = BP_PROP_STRING,
     .help = "a device's id, or id:unit for one of several drives"},
    {.name = NULL},
};

static const struct bp_prop boot_props[] = {
    {.name = "order",
     .type = BP_PROP_LIST,
     .children = order_element,
     .help = "devices that firmware tries, first to last"},
    {.name = "strict",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "try nothing that order does not name"},
    {.name = "menu", .type = BP_PROP_BOOL, .def = "false", .help = "firmware offers a boot menu"},
    {.name = "menu_wait",
     .type = BP_PROP_UINT,
     .def = "0",
     .min = 0,
     .max = 65535,
     .help = "how long the menu waits for a key, in milliseconds; 0: firmware's own time"},
    {.name = "firmware", .type = BP_PROP_PATH, .help = "firmware image (SeaBIOS)"},
    {.name = "kernel",
     .type = BP_PROP_PATH,
     .help = "start this kernel directly: bzImage or PVH ELF"},
    {.name = "initrd", .type = BP_PROP_PATH, .help = "initial RAM disk for kernel"},
    {.name = "cmdline", .type = BP_PROP_STRING, .def = "", .help = "command line for kernel"},
    {.name = "serial_console",
     .type = BP_PROP_BOOL,
     .def = "true",
     .help = "firmware's messages go to the first serial port as well"},
    {.name = NULL},
};

static const struct bp_prop oem_element[] = {
    {.name = "string", .type = BP_PROP_STRING, .help = "one OEM string"},
    {.name = NULL},
};

static const struct bp_prop smbios_props[] = {
    {.name = "manufacturer", .type = BP_PROP_STRING, .help = "system manufacturer"},
    {.name = "product", .type = BP_PROP_STRING, .help = "product name"},
    {.name = "version", .type = BP_PROP_STRING, .help = "product version"},
    {.name = "serial", .type = BP_PROP_STRING, .help = "serial number"},
    {.name = "sku", .type = BP_PROP_STRING, .help = "SKU number"},
    {.name = "family", .type = BP_PROP_STRING, .help = "product family"},
    {.name = "oem_strings",
     .type = BP_PROP_LIST,
     .children = oem_element,
     .min = 0,
     .max = 255,
     .help = "OEM strings (type 11)"},
    {.name = NULL},
};

static const struct bp_prop pci_bridge_prop = {
    .name = "address", .type = BP_PROP_STRING, .help = "PCI slot and function, such as 1f.0"};

static const struct bp_prop control_user_prop = {
    .name = "user", .type = BP_PROP_STRING, .min = 1, .max = 64, .help = "a user"};

const struct bp_prop machine_props[] = {
    {.name = "name",
     .type = BP_PROP_STRING,
     .def = "backplane",
     .min = 1,
     .max = 63,
     .help = "what the machine is called"},
    {.name = "uuid",
     .type = BP_PROP_STRING,
     .def = "",
     .help = "identity the guest sees (RFC 4122 text); empty: none"},
    {.name = "memory",
     .type = BP_PROP_SIZE,
     .def = "128M",
     .min = 2 << 20,
     .max = INT64_C(1) << 40,
     .help = "RAM, in steps of 1M"},
    {.name = "cpus",
     .type = BP_PROP_UINT,
     .def = "1",
     .min = 1,
     .max = 255,
     .help = "number of virtual processors"},
    {.name = "cpu",
     .type = BP_PROP_STRING,
     .def = "host",
     .min = 1,
     .max = 4096,
     .help = "processor model: host, then features to add or take away: host,-avx"},
    {.name = "loops",
     .type = BP_PROP_UINT,
     .def = "1",
     .min = 1,
     .max = 64,
     .help = "number of event loop threads"},
    {.name = "loop_engine",
     .type = BP_PROP_ENUM,
     .def = "auto",
     .choices = loop_engines,
     .help = "how event loops wait; auto: io_uring if the host allows it"},
    {.name = "loop_poll_us",
     .type = BP_PROP_UINT,
     .def = "32",
     .min = 0,
     .max = 1000,
     .help = "microseconds a busy loop looks for more work before it sleeps, at most"},
    {.name = "irqchip",
     .type = BP_PROP_ENUM,
     .def = "kernel",
     .choices = irqchips,
     .help = "where interrupt controllers are: in KVM, or split between KVM and the board"},
    {.name = "hugepages",
     .type = BP_PROP_ENUM,
     .def = "none",
     .choices = page_sizes,
     .help = "page size of the host memory behind the guest's RAM"},
    {.name = "shared_memory",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "the guest's RAM is a file (memfd), which other processes can map"},
    {.name = "prealloc",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "take all memory from the host at start"},
    {.name = "pci_bridges",
     .type = BP_PROP_LIST,
     .children = &pci_bridge_prop,
     .max = 8,
     .help = "addresses of PCI bridges; what is behind the n-th has an address such as n:05.0"},
    {.name = "acpi", .type = BP_PROP_BOOL, .def = "true", .help = "ACPI tables"},
    {.name = "hotplug",
     .type = BP_PROP_BOOL,
     .def = "true",
     .help = "PCI devices come and go while it runs; needs acpi"},
    {.name = "control",
     .type = BP_PROP_PATH,
     .def = "",
     .help = "path of the control socket (QMP); empty: none"},
    {.name = "control_users",
     .type = BP_PROP_LIST,
     .children = &control_user_prop,
     .help = "users, by name or number, that may use the control socket beside its owner"},
    {.name = "rtc", .type = BP_PROP_GROUP, .children = rtc_props, .help = "real-time clock"},
    {.name = "boot", .type = BP_PROP_GROUP, .children = boot_props, .help = "what is started"},
    {.name = "smbios",
     .type = BP_PROP_GROUP,
     .children = smbios_props,
     .help = "what the guest reads about its maker"},
    {.name = NULL},
};

const struct bp_prop instance_props[] = {
    {.name = "plugin",
     .type = BP_PROP_STRING,
     .flags = BP_PROP_REQUIRED,
     .help = "name of a plugin, or the path of its file"},
    {.name = "class",
     .type = BP_PROP_STRING,
     .help = "which of the plugin's classes; default: the first"},
    {.name = "loop",
     .type = BP_PROP_UINT,
     .def = "0",
     .min = 0,
     .max = 63,
     .help = "event loop that serves it"},
    {.name = NULL},
};

const struct bp_prop pci_props[] = {
    {.name = "address",
     .type = BP_PROP_STRING,
     .help = "PCI slot and function in hexadecimal, such as 05.0, or 1:05.0 behind a bridge; "
             "default: assigned"},
    {.name = NULL},
};
