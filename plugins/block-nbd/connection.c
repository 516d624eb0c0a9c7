/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to an NBD server: the first one is waited for, later ones are made by the loop. */
#include "block_nbd.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define POLL_MS     10
#define GREETING_NS UINT64_C(10000000000) /* that a server has for its handshake */
#define SHARED_INFO (UINT64_C(32) << 20)  /* most that any server must take in one request */

static uint64_t
now_ns(struct block_nbd *nbd)
{
    return nbd->services.timer->now(nbd->services.instance, BP_CLOCK_MONOTONIC);
}

/* --- a handle -----------------------------------------------------------------------------------
 */

static int
set_tls(struct block_nbd *nbd, struct nbd_handle *handle)
{
    const struct bp_services *services = &nbd->services;
    const char *certificates = bp_option_str(services, nbd->options, "tls_certificates", NULL);
    const char *psk = bp_option_str(services, nbd->options, "tls_psk", NULL);
    const char *username = bp_option_str(services, nbd->options, "tls_username", NULL);
    int result = 0;

    if (certificates != NULL) {
        result = nbd_set_tls_certificates(handle, certificates);
    }
    if (result == 0 && psk != NULL) {
        result = nbd_set_tls_psk_file(handle, psk);
    }
    if (result == 0 && username != NULL) {
        result = nbd_set_tls_username(handle, username);
    }
    if (result == 0) {
        result = nbd_set_tls_verify_peer(handle,
                                         bp_option_bool(services, nbd->options, "tls_verify", 1));
    }
    return result;
}

static struct nbd_handle *
make_handle(struct block_nbd *nbd)
{
    struct nbd_handle *handle = nbd_create();

    if (handle == NULL) {
        return NULL;
    }
    /* A URI is the user's own: it may name the files of its keys. It must not start programs. */
    if (nbd_set_uri_allow_local_file(handle, true) < 0 ||
        nbd_set_uri_allow_transports(handle, LIBNBD_ALLOW_TRANSPORT_TCP |
                                                 LIBNBD_ALLOW_TRANSPORT_UNIX |
                                                 LIBNBD_ALLOW_TRANSPORT_VSOCK) < 0 ||
        set_tls(nbd, handle) < 0) {
        nbd_close(handle);
        return NULL;
    }
    return handle;
}

static uint32_t
flag(int answer, uint32_t flags)
{
    return answer > 0 ? flags : 0;
}

/* Takes over what the server says about the export. */
static int32_t
learn(struct block_nbd *nbd)
{
    struct nbd_handle *handle = nbd->nbd;
    int64_t size = nbd_get_size(handle), least = nbd_get_block_size(handle, LIBNBD_SIZE_MINIMUM);
    int64_t most = nbd_get_block_size(handle, LIBNBD_SIZE_MAXIMUM);
    uint32_t block = least > BP_BLOCK_SECTOR ? (uint32_t)least : BP_BLOCK_SECTOR;
    uint32_t flags = 0;

    if (size < 0 || least > (1 << 16)) {
        return -EPROTO;
    }
    if (nbd_is_read_only(handle) > 0 || nbd->readonly) {
        flags |= BP_BLOCK_READONLY;
    } else {
        flags |= flag(nbd_can_trim(handle), BP_BLOCK_CAN_DISCARD);
        flags |= flag(nbd_can_zero(handle), BP_BLOCK_CAN_ZERO);
    }
    flags |= flag(nbd_can_fua(handle), BP_BLOCK_CAN_FUA);
    flags |= flag(nbd_can_flush(handle), BP_BLOCK_WRITE_CACHE);
    flags |= flag(nbd_is_rotational(handle), BP_BLOCK_ROTATIONAL);
    most = most <= 0 || most > (int64_t)SHARED_INFO ? (int64_t)SHARED_INFO : most;
    atomic_store(&nbd->can_flush, nbd_can_flush(handle) > 0);
    atomic_store(&nbd->block_size, block);
    atomic_store(&nbd->max_transfer, (uint32_t)most / block * block);
    atomic_store(&nbd->flags, flags);
    if (atomic_exchange(&nbd->capacity, (uint64_t)size / block * block) !=
        (uint64_t)size / block * block) {
        bp_block_stack_event(&nbd->stack, BP_BLOCK_EVENT_RESIZED);
    }
    return 0;
}

/* --- its descriptor ------------------------------------------------------------------------------
 */

static void
forget_fd(struct block_nbd *nbd)
{
    if (nbd->has_fd) {
        nbd->services.loop->fd_del(nbd->services.instance, nbd->fd_id);
        (void)close(nbd->fd);
        nbd->has_fd = 0;
    }
}

static uint32_t
wanted_events(struct block_nbd *nbd)
{
    unsigned direction = nbd_aio_get_direction(nbd->nbd);

    return ((direction & LIBNBD_AIO_DIRECTION_READ) != 0 ? BP_FD_IN : 0) |
           ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 ? BP_FD_OUT : 0);
}

static void
notify(struct block_nbd *nbd, uint32_t events)
{
    unsigned direction = nbd_aio_get_direction(nbd->nbd);

    if ((events & (BP_FD_IN | BP_FD_HUP | BP_FD_ERR)) != 0 &&
        (direction & LIBNBD_AIO_DIRECTION_READ) != 0) {
        (void)nbd_aio_notify_read(nbd->nbd);
    } else if ((events & (BP_FD_OUT | BP_FD_HUP | BP_FD_ERR)) != 0 &&
               (direction & LIBNBD_AIO_DIRECTION_WRITE) != 0) {
        (void)nbd_aio_notify_write(nbd->nbd);
    }
}

static void
fd_ready(void *opaque, uint32_t events)
{
    struct block_nbd *nbd = opaque;

    if (nbd->nbd != NULL) {
        notify(nbd, events);
        connection_update(nbd);
    }
    requests_deliver(nbd);
}

static int32_t
watch_fd(struct block_nbd *nbd)
{
    const struct bp_services *services = &nbd->services;
    struct bp_fd_args args = {.size = sizeof(args),
                              .id = ++nbd->fd_id,
                              .loop = services->loop->home(services->instance),
                              .ready = fd_ready,
                              .opaque = nbd};
    int32_t result;

    /* A descriptor of our own: the library closes its one whenever the connection breaks. */
    args.fd = fcntl(nbd_aio_get_fd(nbd->nbd), F_DUPFD_CLOEXEC, 0);
    if (args.fd < 0) {
        return -errno;
    }
    args.events = wanted_events(nbd);
    result = services->loop->fd_add(services->instance, &args);
    nbd->fd = args.fd;
    nbd->has_fd = result == 0;
    if (result != 0) {
        (void)close(args.fd);
    }
    return result;
}

/* --- losing it and getting it back
 * ---------------------------------------------------------------- */

static void
wait_a_while(struct block_nbd *nbd)
{
    uint64_t now = now_ns(nbd);

    nbd->state = STATE_WAITING;
    if (!nbd->impatient && now - nbd->lost_ns >= nbd->patience_ns) {
        bp_warn(&nbd->services, "no connection for %llu s: requests fail from now on",
                (unsigned long long)(nbd->patience_ns / 1000000000));
        nbd->impatient = 1;
        requests_fail(nbd);
    }
    nbd->services.timer->arm(nbd->services.instance, TIMER_ID, now + nbd->delay_ns);
}

/* Closing the handle ends its commands: they come back to the pending list. */
static void
drop_handle(struct block_nbd *nbd)
{
    struct nbd_handle *handle = nbd->nbd;

    forget_fd(nbd);
    nbd->nbd = NULL;
    if (handle != NULL) {
        nbd_close(handle);
    }
}

static void
lose(struct block_nbd *nbd)
{
    if (nbd->state == STATE_CONNECTED) {
        bp_warn(&nbd->services, "lost the connection to %s: requests wait for a new one", nbd->uri);
        nbd->lost_ns = now_ns(nbd);
    }
    nbd->state = STATE_WAITING;
    drop_handle(nbd);
    wait_a_while(nbd);
}

static void
connected(struct block_nbd *nbd)
{
    if (learn(nbd) != 0) {
        lose(nbd);
        return;
    }
    nbd->state = STATE_CONNECTED;
    nbd->impatient = 0;
    bp_info(&nbd->services, "connected to %s again", nbd->uri);
    requests_send(nbd);
}

void
connection_update(struct block_nbd *nbd)
{
    if (nbd->nbd == NULL) {
        return;
    }
    if (nbd_aio_is_dead(nbd->nbd) != 0 || nbd_aio_is_closed(nbd->nbd) != 0) {
        lose(nbd);
        return;
    }
    if (nbd->state == STATE_CONNECTING && nbd_aio_is_ready(nbd->nbd) > 0) {
        connected(nbd);
    }
    if (nbd->nbd != NULL && nbd->has_fd) {
        nbd->services.loop->fd_modify(nbd->services.instance, nbd->fd_id, wanted_events(nbd));
    }
}

void
connection_timer(void *opaque)
{
    struct block_nbd *nbd = opaque;

    if (nbd->state == STATE_CONNECTING) {
        /* It took the connection and says nothing: it may hang, and never end it. */
        drop_handle(nbd);
        wait_a_while(nbd);
        requests_deliver(nbd);
        return;
    }
    if (nbd->state != STATE_WAITING) {
        return;
    }
    nbd->nbd = make_handle(nbd);
    nbd->state = STATE_CONNECTING;
    if (nbd->nbd == NULL || nbd_aio_connect_uri(nbd->nbd, nbd->uri) < 0 || watch_fd(nbd) != 0) {
        drop_handle(nbd);
        wait_a_while(nbd);
    } else {
        nbd->services.timer->arm(nbd->services.instance, TIMER_ID, now_ns(nbd) + GREETING_NS);
        connection_update(nbd);
    }
    requests_deliver(nbd);
}

void
connection_poll(struct block_nbd *nbd)
{
    if (nbd->nbd != NULL) {
        (void)nbd_poll(nbd->nbd, POLL_MS);
        connection_update(nbd);
    }
    requests_deliver(nbd);
}

/* --- the first and the last
 * ------------------------------------------------------------------------ */

int32_t
connection_open(struct block_nbd *nbd)
{
    const struct bp_services *services = &nbd->services;
    const struct bp_node *node = bp_option(services, nbd->options, "uri");
    int32_t result;

    nbd->nbd = make_handle(nbd);
    if (nbd->nbd == NULL || nbd_connect_uri(nbd->nbd, nbd->uri) < 0) {
        int code = nbd_get_errno();
        return bp_fail(services, code > 0 ? -code : -EIO, node, "cannot connect to '%s': %s",
                       nbd->uri, nbd_get_error());
    }
    result = learn(nbd);
    if (result == 0) {
        result = watch_fd(nbd);
    }
    if (result != 0) {
        return bp_fail(services, result, node, "cannot use '%s': %s", nbd->uri, strerror(-result));
    }
    nbd->state = STATE_CONNECTED;
    return 0;
}

void
connection_close(struct block_nbd *nbd)
{
    if (nbd->nbd != NULL && nbd->state == STATE_CONNECTED) {
        (void)nbd_shutdown(nbd->nbd, 0);
    }
    nbd->state = STATE_CLOSED;
    if (nbd->has_fd) {
        (void)close(nbd->fd); /* the core has withdrawn it */
    }
    if (nbd->nbd != NULL) {
        nbd_close(nbd->nbd);
        nbd->nbd = NULL;
    }
}
