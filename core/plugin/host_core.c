/* SPDX-License-Identifier: Apache-2.0 */
/* bp.core/1: what an instance asks of the machine as a whole. */
#include "plugin/args.h"
#include "plugin/instance.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static void
core_host_event(Instance *instance, const char *name, const char *json)
{
    Services *services = instance->services;

    if (name != NULL) {
        services->event(services->opaque, instance->id, name, json);
    }
}

static int32_t
core_host_request(Instance *instance, uint32_t what, const char *reason)
{
    Services *services = instance->services;

    if (what < BP_REQUEST_QUIT || what > BP_REQUEST_PANIC_END) {
        return -EINVAL;
    }
    services->request(services->opaque, what, instance->id, reason != NULL ? reason : "");
    return 0;
}

static void
core_host_quiesced(Instance *instance, int32_t status)
{
    Services *services = instance->services;

    services->quiesced(services->opaque, instance->id, status);
}

/* A named pipe without another end would hold the control thread; whoever asked for a file looks at
 * what it got, and says so. */
static int
open_without_waiting(const char *path, int flags)
{
    autofd int fd = open(path, flags | O_NONBLOCK, 0666);

    if (fd < 0) {
        return -errno;
    }
    return fcntl(fd, F_SETFL, flags & (O_APPEND | O_DIRECT)) == 0 ? fd_steal(&fd) : -errno;
}

static int32_t
core_host_open(Instance *instance, const char *path, uint32_t open_flags)
{
    const uint32_t known = BP_OPEN_READ | BP_OPEN_WRITE | BP_OPEN_CREATE | BP_OPEN_TRUNC |
                           BP_OPEN_DIRECT | BP_OPEN_DSYNC | BP_OPEN_APPEND | BP_OPEN_EXCL;
    int flags = O_CLOEXEC | O_NOCTTY;

    if (path == NULL || (open_flags & ~known) != 0 ||
        (open_flags & (BP_OPEN_READ | BP_OPEN_WRITE)) == 0 ||
        ((open_flags & BP_OPEN_EXCL) != 0 && (open_flags & BP_OPEN_CREATE) != 0)) {
        return -EINVAL;
    }
    if ((open_flags & BP_OPEN_WRITE) != 0) {
        flags |= (open_flags & BP_OPEN_READ) != 0 ? O_RDWR : O_WRONLY;
    }
    flags |= (open_flags & BP_OPEN_CREATE) != 0 ? O_CREAT : 0;
    flags |= (open_flags & BP_OPEN_TRUNC) != 0 ? O_TRUNC : 0;
    flags |= (open_flags & BP_OPEN_DIRECT) != 0 ? O_DIRECT : 0;
    flags |= (open_flags & BP_OPEN_DSYNC) != 0 ? O_DSYNC : 0;
    flags |= (open_flags & BP_OPEN_APPEND) != 0 ? O_APPEND : 0;
    flags |= (open_flags & BP_OPEN_EXCL) != 0 ? O_EXCL : 0;
    return open_without_waiting(path, flags);
}

/* The cells that describe devices, in every PC since the AT, and firmware's flags for starting from
 * them. */
static bool
is_device_cell(uint32_t cell)
{
    return (cell >= 0x10 && cell <= 0x2d) || (cell >= 0x38 && cell <= 0x3c);
}

static int32_t
core_host_cmos(Instance *instance, uint32_t cell, uint32_t mask, uint32_t value)
{
    Board *board = instance->services->board;
    uint8_t old;

    if (!is_device_cell(cell) || mask > 0xff || value > 0xff) {
        return -EINVAL;
    }
    old = board_cmos_get(board, (uint8_t)cell);
    board_cmos_set(board, (uint8_t)cell, (uint8_t)((old & ~mask) | (value & mask)));
    return 0;
}

static int32_t
core_host_firmware_file(Instance *instance, const char *name, const void *data, uint64_t length)
{
    g_autoptr(GError) error = NULL;

    if (name == NULL || strlen(name) > 55) {
        return -ENAMETOOLONG;
    }
    if (length > UINT32_MAX) {
        return -ENOSPC;
    }
    if (!board_fw_cfg_add_file(instance->services->board, name, data, length, &error)) {
        host_log.error(instance, -EEXIST, NULL, error->message);
        return -EEXIST;
    }
    return 0;
}

static int32_t
core_host_boot_path(Instance *instance, const char *unit, const char *path)
{
    BootUnit entry;

    if (unit == NULL || path == NULL) {
        return -EINVAL;
    }
    entry.unit = g_strdup(unit);
    entry.path = g_strdup(path);
    g_array_append_val(instance->boot_units, entry);
    return 0;
}

static int32_t
core_host_isa_resource(Instance *instance, const struct bp_isa_resource *given)
{
    g_autoptr(GError) error = NULL;
    struct bp_isa_resource resource;
    BoardIsaDevice device = {0};
    unsigned i;
    int result = args_copy(&resource, sizeof(resource), given);

    if (result != 0 || resource.hid == NULL || resource.flags != 0) {
        return result != 0 ? result : -EINVAL;
    }
    device.hid = resource.hid;
    device.uid = resource.uid;
    device.irq = resource.irq;
    device.dma = resource.dma;
    for (i = 0; i < 2; i++) {
        if (resource.io_length[i] > UINT8_MAX) {
            return -EINVAL;
        }
        device.io[i].base = resource.io_base[i];
        device.io[i].length = (uint8_t)resource.io_length[i];
    }
    if (instance->services->console_port == 0 && strcmp(resource.hid, "PNP0501") == 0) {
        instance->services->console_port = resource.io_base[0];
    }
    if (!board_add_isa_device(instance->services->board, &device, &error)) {
        host_log.error(instance, -EINVAL, NULL, error->message);
        return -EINVAL;
    }
    return 0;
}

static const void *
core_host_peer(Instance *instance, const char *id, const char *interface_id, void **peer_self)
{
    Services *services = instance->services;

    if (id == NULL || interface_id == NULL || peer_self == NULL) {
        return NULL;
    }
    return services->find_peer(services->opaque, id, interface_id, peer_self);
}

const struct bp_core_host host_core = {
    .size = sizeof(host_core),
    .event = core_host_event,
    .request = core_host_request,
    .quiesced = core_host_quiesced,
    .open = core_host_open,
    .cmos = core_host_cmos,
    .firmware_file = core_host_firmware_file,
    .boot_path = core_host_boot_path,
    .isa_resource = core_host_isa_resource,
    .peer = core_host_peer,
};
