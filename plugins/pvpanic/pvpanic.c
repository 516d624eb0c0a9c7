/* SPDX-License-Identifier: Apache-2.0 */
/* A port by which a guest's kernel says that it has died, as the ISA device QEMU0001 does: a read
 * tells which events the device knows, a write of such a bit reports the event. Reference: QEMU's
 * description of the interface (specs/pvpanic). SERIAL: every callback comes under the instance's
 * lock. */
#include <backplane/sdk/sdk.h>

#include <stdlib.h>

#define PVPANIC_REGION 0u

#define PVPANIC_PANICKED     1u /* the kernel has died */
#define PVPANIC_CRASH_LOADED 2u /* it has died, and another kernel takes a look at it */

/* What follows a panic: the choices of "on_panic", in the order of pvpanic_ask()'s table. */
static const char *const pvpanic_actions[] = {"shutdown", "pause", "reset", "none", NULL};

struct pvpanic {
    struct bp_services host;
    uint8_t events; /* those the guest is told of */
    uint32_t action;
};

static void
pvpanic_ask(struct pvpanic *panic)
{
    static const struct {
        uint32_t request;
        const char *json;
    } actions[] = {
        {BP_REQUEST_PANIC_END, "{\"action\": \"poweroff\"}"},
        {BP_REQUEST_PANIC_STOP, "{\"action\": \"pause\"}"},
        {BP_REQUEST_RESET, "{\"action\": \"reset\"}"},
        {0, "{\"action\": \"run\"}"},
    };
    const struct bp_core_host *core = panic->host.core;

    core->event(panic->host.instance, "GUEST_PANICKED", actions[panic->action].json);
    if (actions[panic->action].request != 0) {
        (void)core->request(panic->host.instance, actions[panic->action].request,
                            "the guest's kernel has died");
    }
}

static uint64_t
pvpanic_port_read(void *opaque, uint64_t offset, uint32_t width)
{
    const struct pvpanic *panic = opaque;

    return panic->events;
}

/* Bits of events that the device does not tell of mean nothing. */
static void
pvpanic_port_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
    struct pvpanic *panic = opaque;
    uint8_t events = (uint8_t)value & panic->events;

    if ((events & PVPANIC_PANICKED) != 0) {
        pvpanic_ask(panic);
    } else if ((events & PVPANIC_CRASH_LOADED) != 0) {
        panic->host.core->event(panic->host.instance, "GUEST_CRASHLOADED", "{\"action\": \"run\"}");
    }
}

static const struct bp_region_ops pvpanic_port_ops = {
    .size = sizeof(pvpanic_port_ops),
    .read = pvpanic_port_read,
    .write = pvpanic_port_write,
};

/* --- creation ----------------------------------------------------------------------------------
 */

/* Drivers find the port by ACPI; firmware and small kernels by the file. */
static int32_t
pvpanic_describe(struct pvpanic *panic, uint64_t port)
{
    const struct bp_isa_resource resource = {
        .size = sizeof(resource),
        .hid = "QEMU0001",
        .io_base = {(uint16_t)port},
        .io_length = {1},
        .irq = -1,
        .dma = -1,
    };
    const uint8_t file[2] = {(uint8_t)port, (uint8_t)(port >> 8)};
    int32_t status = panic->host.core->isa_resource(panic->host.instance, &resource);

    if (status == 0) {
        status = panic->host.core->firmware_file(panic->host.instance, "etc/pvpanic-port", file,
                                                 sizeof(file));
    }
    return status == 0 ? 0
                       : bp_fail(&panic->host, status, NULL, "%s",
                                 status == -EEXIST ? "a machine has one such device"
                                                   : "the core refused to tell the guest of it");
}

static int32_t
pvpanic_claim(struct pvpanic *panic, const struct bp_node *config)
{
    const struct bp_region_args port = {
        .size = sizeof(port),
        .id = PVPANIC_REGION,
        .space = BP_SPACE_PIO,
        .base = bp_option_u64(&panic->host, config, "port", 0x505),
        .length = 1,
        .ops = &pvpanic_port_ops,
        .opaque = panic,
    };
    int32_t status = panic->host.region->create(panic->host.instance, &port);

    if (status < 0) {
        return bp_fail(&panic->host, status, bp_option(&panic->host, config, "port"),
                       "cannot have port 0x%x: %s", (unsigned)port.base,
                       status == -EBUSY ? "another device has it" : "the core refused it");
    }
    return pvpanic_describe(panic, port.base);
}

static int32_t
pvpanic_create(const struct bp_create *args, void **self)
{
    struct pvpanic *panic = calloc(1, sizeof(*panic));
    struct bp_services host;
    int32_t status;

    bp_services_init(&host, args->host, args->instance);
    if (panic == NULL) {
        return bp_fail(&host, -ENOMEM, NULL, "out of memory");
    }
    panic->host = host;
    panic->events = (uint8_t)bp_option_u64(&host, args->config, "events",
                                           PVPANIC_PANICKED | PVPANIC_CRASH_LOADED);
    panic->action = bp_option_choice(&host, args->config, "on_panic", pvpanic_actions, 0);
    status = pvpanic_claim(panic, args->config);
    if (status < 0) {
        free(panic);
        return status;
    }
    *self = panic;
    return 0;
}

static void
pvpanic_destroy(void *self)
{
    free(self);
}

static const struct bp_prop pvpanic_props[] = {
    {.name = "port",
     .type = BP_PROP_UINT,
     .def = "0x505",
     .max = 0xffff,
     .help = "I/O port; drivers without ACPI look at 0x505"},
    {.name = "events",
     .type = BP_PROP_UINT,
     .def = "3",
     .min = 1,
     .max = PVPANIC_PANICKED | PVPANIC_CRASH_LOADED,
     .help = "what the guest may report: 1 a panic, 2 a crash kernel that was started, 3 both"},
    {.name = "on_panic",
     .type = BP_PROP_ENUM,
     .def = "shutdown",
     .choices = pvpanic_actions,
     .help = "what the machine does when the guest has died"},
    {.name = NULL},
};

static const struct bp_class pvpanic_class = {
    .size = sizeof(pvpanic_class),
    .kind = BP_KIND_DEVICE,
    .name = "pvpanic",
    .thread_model = BP_THREADS_SERIAL,
    .promises = BP_PROMISE_SANDBOX | BP_PROMISE_UPGRADE | BP_PROMISE_DIRTY_TRACKED,
    .bus = BP_BUS_ISA,
    .help = "tells operators that the guest's kernel has died",
    .props = pvpanic_props,
    .create = pvpanic_create,
    .destroy = pvpanic_destroy,
};

static const struct bp_class *const pvpanic_classes[] = {&pvpanic_class, NULL};

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "pvpanic",
    .version = "1.0",
    .license = "Apache-2.0",
    .help = "tells operators that the guest's kernel has died",
    .classes = pvpanic_classes,
};

BP_PLUGIN_NOTE(.id = "pvpanic", .version = "1.0",
               .classes = {{"pvpanic", BP_KIND_DEVICE, BP_THREADS_SERIAL,
                            BP_PROMISE_SANDBOX | BP_PROMISE_UPGRADE | BP_PROMISE_DIRTY_TRACKED, 0,
                            0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_REGION_ID, struct bp_region_host),
                         BP_NEED(BP_CORE_ID, struct bp_core_host)});
