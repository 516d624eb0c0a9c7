/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin "scsi-host": options, creation, description. See host.h.
 *
 * Threads: PARALLEL; a lock of its own. */
#include "host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLUGIN_VERSION "1.0"

/* INQUIRY: whether there is a unit, and of which kind. */
static int32_t
inquire(struct host_unit *unit)
{
    const uint8_t cdb[6] = {0x12, 0, 0, 0, 36, 0};
    uint8_t sense[HOST_SENSE];
    uint8_t data[36] = {0};
    const struct bp_iovec iov = {data, sizeof(data)};
    struct host_io io = {.cdb = cdb,
                         .cdb_length = sizeof(cdb),
                         .direction = HOST_IN,
                         .iov = &iov,
                         .iov_count = 1,
                         .timeout_ms = unit->timeout_ms,
                         .length = sizeof(data),
                         .sense = sense};
    int32_t r = host_sg_io(&unit->device, &io);

    if (r != 0) {
        return r;
    }
    if (io.transport != 0 || io.status != BP_SCSI_GOOD || io.residual > sizeof(data) - 1 ||
        data[0] >> 5 != 0) {
        return -ENXIO;
    }
    unit->type = data[0] & 0x1f;
    return 0;
}

static int32_t
open_device(struct host_unit *unit, const struct bp_node *options)
{
    const struct bp_services *services = &unit->services;
    const struct bp_node *where = bp_option(services, options, "path");
    const char *path = bp_option_str(services, options, "path", "");
    uint32_t readonly = (uint32_t)bp_option_bool(services, options, "readonly", 0);
    int32_t r;

    unit->device.fd = services->core->open(
        services->instance, path, BP_OPEN_READ | BP_OPEN_EXCL | (readonly ? 0 : BP_OPEN_WRITE));
    if (unit->device.fd < 0) {
        r = unit->device.fd;
        return bp_fail(services, r, where, "cannot open '%s': %s", path,
                       r == -EBUSY ? "the host, or another program, uses it" : strerror(-r));
    }
    r = host_look(&unit->device);
    if (r == 0) {
        r = inquire(unit);
    }
    if (r == 0) {
        return 0;
    }
    return bp_fail(services, r, where,
                   r == -ENOTTY  ? "'%s' is no SCSI device: give it a /dev/sg* or a SCSI disk"
                   : r == -ENXIO ? "there is no logical unit behind '%s'"
                                 : "'%s' does not answer INQUIRY",
                   path);
}

static const struct bp_prop host_props[] = {
    {.name = "path",
     .type = BP_PROP_PATH,
     .flags = BP_PROP_REQUIRED,
     .help = "/dev/sg*, or the block device of a SCSI disk or drive"},
    {.name = "readonly",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "open it for reading: the host refuses what writes"},
    {.name = "privileged",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "let the guest format, sanitize and change firmware, too"},
    {.name = "timeout",
     .type = BP_PROP_UINT,
     .def = "30",
     .min = 1,
     .max = 86400,
     .help = "seconds that a command may take"},
    {.name = "threads",
     .type = BP_PROP_UINT,
     .def = "4",
     .min = 1,
     .max = HOST_THREADS,
     .help = "commands that the host has at a time"},
    {.name = NULL},
};

static void
host_destroy(void *self)
{
    struct host_unit *unit = self;

    if (unit->device.fd >= 0) {
        (void)close(unit->device.fd);
    }
    bp_scsi_front_done(&unit->front);
    (void)pthread_cond_destroy(&unit->work);
    free(unit);
}

static int32_t
host_create(const struct bp_create *args, void **self)
{
    struct host_unit *unit = calloc(1, sizeof(*unit));
    int32_t r;

    if (unit == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&unit->services, args->host, args->instance);
    bp_scsi_front_init(&unit->front, &unit->services, &host_front_ops);
    (void)pthread_cond_init(&unit->work, NULL);
    unit->timeout_ms =
        (uint32_t)bp_option_u64(&unit->services, args->config, "timeout", 30) * 1000u;
    unit->threads = (uint32_t)bp_option_u64(&unit->services, args->config, "threads", 4);
    unit->privileged = (uint32_t)bp_option_bool(&unit->services, args->config, "privileged", 0);
    r = open_device(unit, args->config);
    if (r == 0) {
        r = host_threads_start(unit);
    }
    if (r != 0) {
        host_threads_stop(unit);
        host_destroy(unit);
        return r;
    }
    *self = unit;
    return 0;
}

static const void *
host_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_SCSI_ID) ? &host_ops : NULL;
}

static const char *const host_provides[] = {BP_SCSI_ID, NULL};

static const struct bp_class host_class = {
    .size = sizeof(host_class),
    .kind = BP_KIND_BACKEND,
    .name = "scsi-host",
    .thread_model = BP_THREADS_PARALLEL,
    .state_version = 1,
    .state_min = 1,
    .bus = BP_BUS_NONE,
    .help = "SCSI device of the host",
    .props = host_props,
    .provides = host_provides,
    .create = host_create,
    .destroy = host_destroy,
    .query = host_query,
};

static const struct bp_class *const host_classes[] = {&host_class, NULL};

BP_PLUGIN_NOTE(.id = "scsi-host", .version = PLUGIN_VERSION,
               .classes = {{"scsi-host", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 1, 1, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_CORE_ID, struct bp_core_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host)});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "scsi-host",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "SCSI device of the host",
    .classes = host_classes,
};
