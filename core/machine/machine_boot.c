/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine starts with: firmware and its boot order, or a kernel. */
#include "machine/machine_private.h"

#include "base/error.h"

#include <string.h>
#include <unistd.h>

#define SERCON_FILE "etc/sercon-port"

/* Where distributions put SeaBIOS; the 256 KiB build first, which has everything. */
static const char *const firmware_paths[] = {
    "/usr/share/seabios/bios-256k.bin",
    "/usr/share/qemu/bios-256k.bin",
    "/usr/share/seabios/bios.bin",
};

static const Node *
boot_node(const Machine *machine, const char *name)
{
    return node_child(node_child(machine->plan->machine, "boot"), name);
}

static bool
boots_kernel(const Machine *machine)
{
    return node_text(boot_node(machine, "kernel"), "")[0] != '\0';
}

bool
machine_load_firmware(Machine *machine, GuestMemory *memory, GError **error)
{
    const char *path = node_text(boot_node(machine, "firmware"), "");
    size_t i;

    if (boots_kernel(machine)) {
        return true;
    }
    if (path[0] != '\0') {
        return boot_load_firmware(memory, path, error);
    }
    for (i = 0; i < G_N_ELEMENTS(firmware_paths); i++) {
        if (access(firmware_paths[i], R_OK) == 0) {
            return boot_load_firmware(memory, firmware_paths[i], error);
        }
    }
    if (machine->args.test) {
        return true; /* no vCPU will miss it */
    }
    g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                "no firmware: %s does not exist; install the package seabios, or name an image in "
                "machine.boot.firmware",
                firmware_paths[0]);
    return false;
}

/* "ide0:0.0" or "net0" -> the path SeaBIOS knows it by. */
static char *
order_path(Machine *machine, const Node *entry, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(node_text(entry, ""), ":", 2);
    Instance *instance = machine_find_instance(machine, parts[0]);
    const char *unit = parts[1] != NULL ? parts[1] : "";
    char *path = instance != NULL ? instance_boot_path(instance, unit) : NULL;

    if (path == NULL && instance != NULL && parts[1] == NULL && instance->boot_units->len == 1) {
        path = instance_boot_path(instance, g_array_index(instance->boot_units, BootUnit, 0).unit);
    }
    if (path == NULL) {
        g_autoptr(GString) known = g_string_new(NULL);
        unsigned i;
        for (i = 0; instance != NULL && i < instance->boot_units->len; i++) {
            g_string_append_printf(known, "%s\"%s:%s\"", i > 0 ? ", " : "", instance->id,
                                   g_array_index(instance->boot_units, BootUnit, i).unit);
        }
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "%s:%u: machine.boot.order: \"%s\" is nothing to boot from (%s%s)", entry->file,
                    entry->line, node_text(entry, ""),
                    known->len > 0 ? "there is " : "that device has no boot medium", known->str);
    }
    return path;
}

static bool
set_boot_order(Machine *machine, GError **error)
{
    const Node *order = boot_node(machine, "order");
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    BoardBootOrder args = {
        .strict = node_bool(boot_node(machine, "strict"), false),
        .menu = node_bool(boot_node(machine, "menu"), false),
        .menu_wait_ms = (uint32_t)node_u64(boot_node(machine, "menu_wait"), 0),
    };
    unsigned i;

    for (i = 0; i < node_count(order); i++) {
        char *path = order_path(machine, node_at(order, i), error);
        if (path == NULL) {
            return false;
        }
        g_ptr_array_add(paths, path);
    }
    g_ptr_array_add(paths, NULL);
    args.paths = (const char *const *)paths->pdata;
    return board_set_boot_order(machine->services.board, &args, error);
}

/* Firmware shows its messages and text console on the first serial port as well. */
static bool
set_serial_console(Machine *machine, GError **error)
{
    uint64_t port = GUINT64_TO_LE(machine->services.console_port);

    if (machine->services.console_port == 0 ||
        !node_bool(boot_node(machine, "serial_console"), true)) {
        return true;
    }
    return board_fw_cfg_add_file(machine->services.board, SERCON_FILE, &port, sizeof(port), error);
}

static bool
open_kernel(Machine *machine, GError **error)
{
    const char *initrd = node_text(boot_node(machine, "initrd"), "");
    BootKernelArgs args = {
        .kernel = node_text(boot_node(machine, "kernel"), ""),
        .initrd = initrd[0] != '\0' ? initrd : NULL,
        .cmdline = node_text(boot_node(machine, "cmdline"), ""),
        .rsdp = board_place_tables(machine->services.board),
    };

    machine->boot_kernel = boot_kernel_open(&args, machine->services.bus.memory, error);
    return machine->boot_kernel != NULL;
}

bool
machine_prepare_boot(Machine *machine, GError **error)
{
    if (!set_boot_order(machine, error) || !set_serial_console(machine, error) ||
        !board_finalize(machine->services.board, error)) {
        return false;
    }
    return !boots_kernel(machine) || machine->args.test || open_kernel(machine, error);
}

bool
machine_place_boot(Machine *machine, GError **error)
{
    VmEntry entry;

    if (machine->boot_kernel == NULL) {
        return true;
    }
    board_setup_direct_boot(machine->services.board);
    vm_set_elcr(machine->services.vm, BOARD_DIRECT_BOOT_ELCR);
    (void)board_place_tables(machine->services.board);
    if (!boot_kernel_place(machine->boot_kernel, machine->services.bus.memory, &entry, error)) {
        return false;
    }
    vm_set_entry(machine->services.vm, &entry);
    return true;
}
