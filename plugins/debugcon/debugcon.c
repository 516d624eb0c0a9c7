/* SPDX-License-Identifier: Apache-2.0 */
/* The debug console of Bochs: a port whose every byte written goes to a char backend, and which
 * answers reads with E9h so that firmware knows it is there (SeaBIOS, src/fw/paravirt.c checks it).
 * SERIAL: every callback comes under the instance's lock. */
#include <backplane/sdk/sdk.h>

#include <stdlib.h>

#define DEBUGCON_REGION 0u
#define PENDING_BYTES   4096u /* kept while the backend is slow */

struct debugcon {
    struct bp_services host;
    const struct bp_char_ops *backend; /* NULL: nobody listens */
    void *backend_self;
    uint8_t readback;
    uint32_t dropped; /* bytes since the backend was last able to take some */
    struct bp_fifo pending;
    uint8_t pending_data[PENDING_BYTES];
};

static void
debugcon_flush(struct debugcon *con)
{
    const uint8_t *run;
    uint32_t length;

    if (con->backend == NULL) {
        return;
    }
    while ((length = bp_fifo_peek(&con->pending, &run)) > 0) {
        int32_t taken = con->backend->write(con->backend_self, run, length);
        if (taken > 0) {
            bp_fifo_drop(&con->pending, (uint32_t)taken);
        }
        if (taken < (int32_t)length) {
            return; /* writable() comes */
        }
    }
    if (con->dropped > 0) {
        bp_warn(&con->host, "dropped %u bytes: the backend was too slow", con->dropped);
        con->dropped = 0;
    }
}

static void
debugcon_output(struct debugcon *con, const uint8_t *data, uint32_t length)
{
    uint32_t kept;

    if (con->backend == NULL) {
        return;
    }
    /* Straight to the backend as long as nothing waits, so that a crash loses nothing. */
    if (con->pending.count == 0) {
        int32_t taken = con->backend->write(con->backend_self, data, length);
        if (taken > 0) {
            data += taken;
            length -= (uint32_t)taken;
        }
    }
    kept = bp_fifo_write(&con->pending, data, length);
    con->dropped += length - kept;
}

static uint64_t
debugcon_port_read(void *opaque, uint64_t offset, uint32_t width)
{
    const struct debugcon *con = opaque;

    return con->readback;
}

static void
debugcon_port_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
    uint8_t byte = (uint8_t)value;

    debugcon_output(opaque, &byte, 1);
}

static void
debugcon_port_write_block(void *opaque, uint64_t offset, uint32_t width, uint32_t count,
                          const void *data)
{
    debugcon_output(opaque, data, count);
}

static const struct bp_region_ops debugcon_port_ops = {
    .size = sizeof(debugcon_port_ops),
    .read = debugcon_port_read,
    .write = debugcon_port_write,
    .write_block = debugcon_port_write_block,
};

/* Input of the backend has nowhere to go: no credit is ever given. */
static void
debugcon_receive(void *opaque, const uint8_t *data, uint32_t length)
{
}

static void
debugcon_writable(void *opaque)
{
    debugcon_flush(opaque);
}

static int32_t
debugcon_attach(void *self, uint32_t slot, uint32_t use, const struct bp_peer *peer)
{
    static const struct bp_char_client client = {
        .size = sizeof(client),
        .receive = debugcon_receive,
        .writable = debugcon_writable,
    };
    struct debugcon *con = self;
    const struct bp_char_ops *ops = peer->table;
    const struct bp_char_connect args = {
        .size = sizeof(args),
        .loop = con->host.loop->home(con->host.instance),
        .client = &client,
        .opaque = con,
    };
    int32_t status = ops->connect(peer->self, &args);

    if (status < 0) {
        return bp_fail(&con->host, status, NULL, "backend '%s' cannot be used: %s", peer->id,
                       status == -EBUSY ? "another device has it" : "it refused the connection");
    }
    con->backend = ops;
    con->backend_self = peer->self;
    return 0;
}

static void
debugcon_detach(void *self, uint32_t slot, uint32_t use)
{
    struct debugcon *con = self;
    const struct bp_char_ops *ops = con->backend;

    debugcon_flush(con);
    bp_fifo_clear(&con->pending);
    /* First forget it: disconnect() lets callbacks through while it waits for the last ones. */
    con->backend = NULL;
    ops->disconnect(con->backend_self);
}

static const struct bp_life_ops debugcon_life = {
    .size = sizeof(debugcon_life),
    .attach = debugcon_attach,
    .detach = debugcon_detach,
};

/* --- state: what the backend has not taken yet ----------------------------------------------- */

static const struct bp_state_field debugcon_fields[] = {
    BP_STATE_ARRAY(1, struct debugcon, pending_data, 0),
    BP_STATE_FIELD(2, struct debugcon, pending.head, 0, PENDING_BYTES - 1),
    BP_STATE_FIELD(3, struct debugcon, pending.count, 0, PENDING_BYTES),
};

static int32_t
debugcon_save(void *self, const struct bp_state_sink *sink)
{
    const struct debugcon *con = self;

    /* Nothing waits, as nearly always: nothing to say. */
    return con->pending.count == 0
               ? 0
               : bp_state_save(debugcon_fields, BP_ARRAY_LENGTH(debugcon_fields), self, sink);
}

static int32_t
debugcon_validate(void *self, uint32_t version, const void *data, uint64_t length)
{
    return bp_state_validate(debugcon_fields, BP_ARRAY_LENGTH(debugcon_fields), data, length);
}

static int32_t
debugcon_restore(void *self, uint32_t version, const void *data, uint64_t length)
{
    return bp_state_restore(debugcon_fields, BP_ARRAY_LENGTH(debugcon_fields), self, data, length);
}

static int32_t
debugcon_after_restore(void *self)
{
    debugcon_flush(self);
    return 0;
}

static const struct bp_state_ops debugcon_state = {
    .size = sizeof(debugcon_state),
    .save = debugcon_save,
    .validate = debugcon_validate,
    .restore = debugcon_restore,
    .after_restore = debugcon_after_restore,
};

static int32_t
debugcon_create(const struct bp_create *args, void **self)
{
    struct debugcon *con = calloc(1, sizeof(*con));
    struct bp_region_args port = {
        .size = sizeof(port),
        .id = DEBUGCON_REGION,
        .space = BP_SPACE_PIO,
        .length = 1,
        .ops = &debugcon_port_ops,
        .opaque = con,
    };
    struct bp_services host;
    int32_t status;

    bp_services_init(&host, args->host, args->instance);
    if (con == NULL) {
        return bp_fail(&host, -ENOMEM, NULL, "out of memory");
    }
    con->host = host;
    con->readback = (uint8_t)bp_option_u64(&host, args->config, "readback", 0xe9);
    bp_fifo_init(&con->pending, con->pending_data, PENDING_BYTES);
    port.base = bp_option_u64(&host, args->config, "port", 0x402);
    status = host.region->create(args->instance, &port);
    if (status < 0) {
        free(con);
        return bp_fail(&host, status, bp_option(&host, args->config, "port"),
                       "cannot have port 0x%x: %s", (unsigned)port.base,
                       status == -EBUSY ? "another device has it" : "the core refused it");
    }
    *self = con;
    return 0;
}

static void
debugcon_destroy(void *self)
{
    free(self);
}

static const void *
debugcon_query(void *self, const char *interface_id)
{
    if (bp_same_id(interface_id, BP_LIFE_ID)) {
        return &debugcon_life;
    }
    return bp_same_id(interface_id, BP_STATE_ID) ? &debugcon_state : NULL;
}

static const struct bp_prop debugcon_props[] = {
    {.name = "backend", .type = BP_PROP_BACKEND, .help = "where the output goes; none: nowhere"},
    {.name = "port",
     .type = BP_PROP_UINT,
     .def = "0x402",
     .max = 0xffff,
     .help = "I/O port; SeaBIOS writes to 0x402, Bochs software to 0xe9"},
    {.name = "readback",
     .type = BP_PROP_UINT,
     .def = "0xe9",
     .max = 0xff,
     .help = "what a read of the port gives"},
    {.name = NULL},
};

static const struct bp_slot debugcon_slots[] = {
    {.name = "backend", .interface_id = BP_CHAR_ID, .max = 1, .flags = BP_SLOT_HOTPLUG},
    {.name = NULL},
};

static const struct bp_class debugcon_class = {
    .size = sizeof(debugcon_class),
    .kind = BP_KIND_DEVICE,
    .name = "debugcon",
    .thread_model = BP_THREADS_SERIAL,
    .promises = BP_PROMISE_SANDBOX | BP_PROMISE_UPGRADE | BP_PROMISE_DIRTY_TRACKED,
    .state_version = 1,
    .state_min = 1,
    .bus = BP_BUS_ISA,
    .help = "debug console on a port",
    .props = debugcon_props,
    .slots = debugcon_slots,
    .create = debugcon_create,
    .destroy = debugcon_destroy,
    .query = debugcon_query,
};

static const struct bp_class *const debugcon_classes[] = {&debugcon_class, NULL};

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "debugcon",
    .version = "1.0",
    .license = "Apache-2.0",
    .help = "debug console on a port, for firmware's messages",
    .classes = debugcon_classes,
};

BP_PLUGIN_NOTE(.id = "debugcon", .version = "1.0",
               .classes = {{"debugcon", BP_KIND_DEVICE, BP_THREADS_SERIAL,
                            BP_PROMISE_SANDBOX | BP_PROMISE_UPGRADE | BP_PROMISE_DIRTY_TRACKED, 1,
                            1, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_REGION_ID, struct bp_region_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host)});
