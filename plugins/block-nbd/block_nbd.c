/* SPDX-License-Identifier: Apache-2.0 */
/* block-nbd: a disk on an NBD server, by libnbd.
 *
 * A request is one command for each of its buffers, which the library reads and writes in place.
 * When the connection is lost, its commands come back and are sent again over the next one: each of
 * them may be carried out twice.
 *
 * Threads: one connection, on the instance's home loop, for all queues. */
#include "block_nbd.h"

#include <stdlib.h>
#include <string.h>

#define PLUGIN_VERSION "1.0"
#define MAX_IOV        128u
#define NS_PER_MS      UINT64_C(1000000)

struct nbd_request {
    struct bp_block_flight *flight;
    struct block_nbd *nbd;
    uint32_t commands; /* on their way */
    uint32_t again;
    int32_t error;
    uint64_t zeroed; /* bytes, where zeroes are written as data */
};

/* --- on the loop ---------------------------------------------------------------------------------
 */

static void
end(struct bp_block_flight *flight, int32_t status, uint32_t flags)
{
    struct block_nbd *nbd = bp_block_lane_self(flight->lane);

    bp_block_end(flight, status, flags);
    if (nbd->touched != NULL && nbd->touched != flight->lane) {
        requests_deliver(nbd);
    }
    nbd->touched = flight->lane;
}

void
requests_deliver(struct block_nbd *nbd)
{
    struct bp_block_lane *lane = nbd->touched;

    nbd->touched = NULL;
    if (lane != NULL) {
        bp_block_lane_run(lane);
    }
}

static void
add_pending(struct block_nbd *nbd, struct bp_block_flight *flight)
{
    flight->next = NULL;
    *nbd->pending_last = flight;
    nbd->pending_last = &flight->next;
}

static uint32_t
is_lost(int error)
{
    return error == ENOTCONN || error == ESHUTDOWN || error == EPIPE || error == ECONNRESET;
}

static uint32_t send_zeroes(struct nbd_request *request);

static void
command_done(struct nbd_request *request)
{
    struct bp_block_flight *flight = request->flight;
    struct block_nbd *nbd = request->nbd;

    if (--request->commands > 0) {
        return;
    }
    if (request->error == 0 && request->again) {
        if (nbd->impatient || nbd->state == STATE_CLOSED || bp_block_lane_hurries(flight->lane)) {
            end(flight, -ENOTCONN, BP_BLOCK_RECOVERABLE);
        } else {
            add_pending(nbd, flight);
        }
        return;
    }
    if (request->error == 0 && request->zeroed > 0 && request->zeroed < flight->request.length &&
        send_zeroes(request)) {
        return;
    }
    end(flight, request->error, request->error == -ENOSPC ? BP_BLOCK_RECOVERABLE : 0);
}

static int
command_completed(void *user_data, int *error)
{
    struct nbd_request *request = user_data;

    if (is_lost(*error)) {
        request->again = 1;
    } else if (*error != 0) {
        request->error = -*error;
    }
    command_done(request);
    return 1; /* retire it */
}

static nbd_completion_callback
callback(struct nbd_request *request)
{
    nbd_completion_callback made = {.callback = command_completed, .user_data = request};

    return made;
}

/* The library refused a command: it will not call back. */
static void
command_refused(struct nbd_request *request)
{
    int error = nbd_get_errno();

    if (is_lost(error) || nbd_aio_is_dead(request->nbd->nbd) != 0) {
        request->again = 1;
    } else {
        request->error = error > 0 ? -error : -EIO;
    }
    command_done(request);
}

static uint32_t
fua(const struct bp_block_request *request)
{
    return (request->flags & BP_BLOCK_FUA) != 0 ? LIBNBD_CMD_FLAG_FUA : 0;
}

static void
send_data(struct nbd_request *request)
{
    const struct bp_block_request *guest = &request->flight->request;
    uint64_t offset = guest->offset;
    uint32_t i;

    request->commands = 1; /* ours, so that it does not end before all are sent */
    for (i = 0; i < guest->iov_count; i++) {
        const struct bp_iovec *iov = &guest->iov[i];
        int64_t cookie;

        if (iov->length == 0) {
            continue;
        }
        request->commands++;
        cookie = guest->op == BP_BLOCK_READ
                     ? nbd_aio_pread(request->nbd->nbd, iov->base, iov->length, offset,
                                     callback(request), 0)
                     : nbd_aio_pwrite(request->nbd->nbd, iov->base, iov->length, offset,
                                      callback(request), fua(guest));
        if (cookie < 0) {
            command_refused(request);
        }
        offset += iov->length;
    }
    command_done(request);
}

/* For servers that cannot zero: a piece of zeroes as data. Returns 0 if nothing was sent. */
static uint32_t
send_zeroes(struct nbd_request *request)
{
    const struct bp_block_request *guest = &request->flight->request;
    uint64_t left = guest->length - request->zeroed;
    uint64_t piece = left < ZEROES_BYTES ? left : ZEROES_BYTES;

    request->commands = 1;
    request->zeroed += piece;
    if (nbd_aio_pwrite(request->nbd->nbd, request->nbd->zeroes, piece,
                       guest->offset + request->zeroed - piece, callback(request),
                       fua(guest)) < 0) {
        request->again = is_lost(nbd_get_errno());
        request->error = request->again ? 0 : -EIO;
        request->zeroed = guest->length;
        command_done(request);
    }
    return 1;
}

static void
send_other(struct nbd_request *request)
{
    const struct bp_block_request *guest = &request->flight->request;
    struct nbd_handle *handle = request->nbd->nbd;
    uint32_t keep = (guest->flags & BP_BLOCK_UNMAP) == 0 ? LIBNBD_CMD_FLAG_NO_HOLE : 0;
    int64_t cookie;

    request->commands = 1;
    switch (guest->op) {
    case BP_BLOCK_FLUSH:
        cookie = nbd_aio_flush(handle, callback(request), 0);
        break;
    case BP_BLOCK_DISCARD:
        cookie = nbd_aio_trim(handle, guest->length, guest->offset, callback(request), 0);
        break;
    default:
        cookie = nbd_aio_zero(handle, guest->length, guest->offset, callback(request),
                              fua(guest) | keep);
        break;
    }
    if (cookie < 0) {
        command_refused(request);
    }
}

static void
send_request(struct bp_block_flight *flight)
{
    struct nbd_request *request = flight->data;
    struct block_nbd *nbd = request->nbd;
    uint32_t flags = atomic_load(&nbd->flags);

    request->again = 0;
    request->error = 0;
    request->zeroed = 0;
    if (flight->request.op == BP_BLOCK_READ || flight->request.op == BP_BLOCK_WRITE) {
        send_data(request);
    } else if (flight->request.op == BP_BLOCK_FLUSH && !atomic_load(&nbd->can_flush)) {
        end(flight, 0, 0);
    } else if (flight->request.op == BP_BLOCK_DISCARD && (flags & BP_BLOCK_CAN_DISCARD) == 0) {
        end(flight, -EOPNOTSUPP, 0);
    } else if (flight->request.op == BP_BLOCK_WRITE_ZEROES && (flags & BP_BLOCK_CAN_ZERO) == 0) {
        (void)send_zeroes(request);
    } else {
        send_other(request);
    }
}

void
requests_send(struct block_nbd *nbd)
{
    struct bp_block_flight *flight = nbd->pending;

    nbd->pending = NULL;
    nbd->pending_last = &nbd->pending;
    while (flight != NULL) {
        struct bp_block_flight *next = flight->next;

        if (nbd->state == STATE_CONNECTED) {
            send_request(flight);
        } else {
            add_pending(nbd, flight);
        }
        flight = next;
    }
}

void
requests_fail(struct block_nbd *nbd)
{
    struct bp_block_flight *flight = nbd->pending;

    nbd->pending = NULL;
    nbd->pending_last = &nbd->pending;
    while (flight != NULL) {
        struct bp_block_flight *next = flight->next;

        end(flight, -ENOTCONN, BP_BLOCK_RECOVERABLE);
        flight = next;
    }
}

static void
nbd_start(struct bp_block_flight *flight)
{
    struct block_nbd *nbd = bp_block_lane_self(flight->lane);
    struct nbd_request *request = flight->data;

    request->flight = flight;
    request->nbd = nbd;
    request->commands = 0;
    if ((flight->request.flags & BP_BLOCK_FUA) != 0 &&
        (atomic_load(&nbd->flags) & BP_BLOCK_CAN_FUA) == 0) {
        bp_block_end(flight, -EOPNOTSUPP, 0);
    } else if (nbd->state == STATE_CONNECTED) {
        send_request(flight);
        connection_update(nbd);
    } else if (nbd->impatient) {
        bp_block_end(flight, -ENOTCONN, BP_BLOCK_RECOVERABLE);
    } else {
        add_pending(nbd, flight);
    }
}

static void
nbd_cancel(struct bp_block_flight *flight)
{
    struct block_nbd *nbd = bp_block_lane_self(flight->lane);
    struct bp_block_flight **link = &nbd->pending;

    while (*link != NULL && *link != flight) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        return; /* the server has it: NBD knows no way to take it back */
    }
    *link = flight->next;
    if (*link == NULL) {
        nbd->pending_last = link;
    }
    bp_block_end(flight, -ECANCELED, 0);
}

/* A drain cannot wait for a server that is gone. */
static void
nbd_hurry(struct bp_block_lane *lane)
{
    struct block_nbd *nbd = bp_block_lane_self(lane);

    if (nbd->state != STATE_CONNECTED) {
        requests_fail(nbd);
    }
}

static void
nbd_wait(struct bp_block_lane *lane)
{
    connection_poll(bp_block_lane_self(lane));
}

static int32_t
nbd_own_info(void *self, struct bp_block_info *info)
{
    struct block_nbd *nbd = self;

    info->flags = atomic_load(&nbd->flags);
    info->capacity = atomic_load(&nbd->capacity);
    info->block_size = atomic_load(&nbd->block_size);
    info->physical_block_size = info->block_size > 4096 ? info->block_size : 4096;
    info->buffer_alignment = 1;
    info->max_transfer = atomic_load(&nbd->max_transfer);
    info->max_iov = MAX_IOV;
    if ((info->flags & BP_BLOCK_CAN_DISCARD) != 0) {
        info->discard_granularity = info->physical_block_size;
        info->max_discard = UINT64_C(1) << 30;
    }
    return 0;
}

static const struct bp_block_stack_ops nbd_stack_ops = {
    .start = nbd_start,
    .cancel = nbd_cancel,
    .hurry = nbd_hurry,
    .wait = nbd_wait,
    .info = nbd_own_info,
    .flight_size = sizeof(struct nbd_request),
};

BP_BLOCK_STACK_FUNCTIONS(nbd_block, block_nbd)

static const struct bp_block_ops nbd_ops = {
    .size = sizeof(nbd_ops),
    .info = nbd_block_info,
    .queue_open = nbd_block_queue_open,
    .queue_close = nbd_block_queue_close,
    .submit = nbd_block_submit,
    .cancel = nbd_block_cancel_request,
    .drain = nbd_block_drain,
};

/* --- life
 * ----------------------------------------------------------------------------------------- */

static int32_t
nbd_realize(void *self)
{
    struct block_nbd *nbd = self;
    const struct bp_services *services = &nbd->services;
    struct bp_timer_args timer = {.size = sizeof(timer),
                                  .id = TIMER_ID,
                                  .clock = BP_CLOCK_MONOTONIC,
                                  .expired = connection_timer,
                                  .opaque = nbd};
    void *memory;
    int32_t result;

    timer.loop = services->loop->home(services->instance);
    result = services->timer->create(services->instance, &timer);
    if (result == 0) {
        result = services->memory->arena_alloc(services->instance, ARENA_ZEROES, ZEROES_BYTES, 4096,
                                               &memory);
    }
    if (result != 0) {
        return bp_fail(services, result, NULL, "cannot set it up: %s", strerror(-result));
    }
    nbd->zeroes = memory;
    return connection_open(nbd);
}

static const struct bp_life_ops nbd_life = {
    .size = sizeof(nbd_life),
    .realize = nbd_realize,
    .quiesce = nbd_block_quiesce,
};

static const void *
nbd_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_BLOCK_ID)  ? (const void *)&nbd_ops
           : bp_same_id(interface_id, BP_LIFE_ID) ? (const void *)&nbd_life
                                                  : NULL;
}

static void
nbd_destroy(void *self)
{
    struct block_nbd *nbd = self;

    if (nbd != NULL) {
        connection_close(nbd);
        bp_block_stack_done(&nbd->stack);
        free(nbd);
    }
}

static int32_t
nbd_create_instance(const struct bp_create *args, void **self)
{
    struct block_nbd *nbd = calloc(1, sizeof(*nbd));

    if (nbd == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&nbd->services, args->host, args->instance);
    nbd->options = args->config;
    nbd->stack.services = &nbd->services;
    nbd->stack.ops = &nbd_stack_ops;
    nbd->stack.self = nbd;
    nbd->stack.one_loop = 1;
    nbd->pending_last = &nbd->pending;
    nbd->state = STATE_CLOSED;
    nbd->uri = bp_option_str(&nbd->services, args->config, "uri", "");
    nbd->readonly = bp_option_bool(&nbd->services, args->config, "readonly", 0);
    nbd->delay_ns = bp_option_u64(&nbd->services, args->config, "reconnect_ms", 500) * NS_PER_MS;
    nbd->patience_ns =
        bp_option_u64(&nbd->services, args->config, "patience", 60) * 1000 * NS_PER_MS;
    *self = nbd;
    return 0;
}

/* --- the plugin
 * ------------------------------------------------------------------------------------ */

static const struct bp_prop nbd_props[] = {
    {.name = "uri",
     .type = BP_PROP_STRING,
     .flags = BP_PROP_REQUIRED,
     .help = "nbd://host[:port]/export, nbd+unix:///export?socket=PATH, or nbds for TLS"},
    {.name = "readonly", .type = BP_PROP_BOOL, .def = "false", .help = "refuse writes"},
    {.name = "reconnect_ms",
     .type = BP_PROP_UINT,
     .def = "500",
     .min = 1,
     .max = 3600000,
     .help = "time between attempts to connect again"},
    {.name = "patience",
     .type = BP_PROP_UINT,
     .def = "60",
     .max = 1000000,
     .help = "seconds that requests wait for a lost server before they fail"},
    {.name = "tls_certificates",
     .type = BP_PROP_PATH,
     .help = "folder with ca-cert.pem, client-cert.pem, client-key.pem"},
    {.name = "tls_psk", .type = BP_PROP_PATH, .help = "file of pre-shared keys"},
    {.name = "tls_username", .type = BP_PROP_STRING, .help = "whose pre-shared key"},
    {.name = "tls_verify",
     .type = BP_PROP_BOOL,
     .def = "true",
     .help = "check the server's certificate"},
    {.name = NULL},
};

static const char *const nbd_provides[] = {BP_BLOCK_ID, NULL};

static const struct bp_class nbd_class = {
    .size = sizeof(nbd_class),
    .kind = BP_KIND_BACKEND,
    .name = "block-nbd",
    .thread_model = BP_THREADS_PARALLEL,
    .bus = BP_BUS_NONE,
    .help = "disk on an NBD server",
    .props = nbd_props,
    .provides = nbd_provides,
    .create = nbd_create_instance,
    .destroy = nbd_destroy,
    .query = nbd_query,
};

static const struct bp_class *const nbd_classes[] = {&nbd_class, NULL};

BP_PLUGIN_NOTE(.id = "block-nbd", .version = PLUGIN_VERSION,
               .classes = {{"block-nbd", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_MEMORY_ID, struct bp_memory_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         {BP_LOOP_ID, offsetof(struct bp_loop_host, is_current), 0}});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "block-nbd",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "client of NBD servers",
    .classes = nbd_classes,
};
