/* SPDX-License-Identifier: Apache-2.0 */
/* net-vhost-user: a network served by another process over rings in shared memory. See
 * vhost_user.h. */
#include "vhost_user.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define PLUGIN_VERSION "1.0"
#define FD_CALL        2u /* + pair; behind those of the socket */

static int32_t
vhost_info(void *self, struct bp_net_info *info)
{
    struct vhost_user *vu = self;
    const struct bp_net_info full = {
        .size = sizeof(full),
        .flags = atomic_load(&vu->connected) ? BP_NET_LINK_UP : 0,
        .tx_features = atomic_load(&vu->tx_features),
        .rx_features = atomic_load(&vu->rx_features),
        .queues = vu->pairs,
        .mtu = vu->mtu,
    };

    bp_net_info_copy(info, &full);
    return 0;
}

/* --- queues ---------------------------------------------------------------------------------- */

static void
close_pair(void *opaque)
{
    struct vu_pair *pair = opaque;

    pair->vu->host.loop->fd_del(pair->vu->host.instance, FD_CALL + pair->index);
    pair->state = VU_DOWN;
    atomic_store(&pair->open, 0);
}

static void
end_session(void *opaque)
{
    struct vhost_user *vu = opaque;

    bp_net_socket_end(&vu->sock);
    vu_session_reset(vu);
    atomic_store(&vu->connected, 0);
}

static void
on_loop_or_here(struct vhost_user *vu, uint32_t loop, void (*func)(void *), void *opaque)
{
    if (bp_net_on_loop(&vu->host, loop, func, opaque) != 0) {
        func(opaque);
    }
}

static void
vhost_queue_close(void *self, void *queue)
{
    struct vhost_user *vu = self;
    struct vu_pair *pair = queue;

    on_loop_or_here(vu, atomic_load(&pair->loop), close_pair, pair);
    bp_net_queue_done(&pair->queue);
    if (--vu->opened == 0) {
        on_loop_or_here(vu, vu->home, end_session, vu);
    } else {
        vu_change(vu);
    }
}

static int32_t
watch_calls(struct vu_pair *pair)
{
    const struct bp_services *host = &pair->vu->host;
    const struct bp_fd_args args = {
        .size = sizeof(args),
        .id = FD_CALL + pair->index,
        .loop = pair->queue.args.loop,
        .fd = pair->call,
        .events = BP_FD_IN,
        .ready = vu_called,
        .opaque = pair,
        .poll = vu_poll,
    };

    return host->loop->fd_add(host->instance, &args);
}

static int32_t
vhost_queue_open(void *self, const struct bp_net_queue_args *args, void **ret_queue)
{
    struct vhost_user *vu = self;
    struct vu_pair *pair = args->index < vu->pairs ? &vu->pair[args->index] : NULL;
    int32_t result;

    if (pair == NULL) {
        return -ENOENT;
    }
    if (atomic_load(&pair->open)) {
        return -EBUSY;
    }
    result = bp_net_queue_init(&pair->queue, args, vu->pairs);
    if (result != 0) {
        return result;
    }
    pair->state = VU_DOWN;
    pair->receive_planned = 0;
    atomic_store(&pair->loop, args->loop);
    atomic_store(&pair->enabled, 1);
    result = watch_calls(pair);
    if (result == 0 && vu->opened == 0) {
        result = bp_net_socket_begin(&vu->sock, vu->home);
        if (result != 0) {
            vu->host.loop->fd_del(vu->host.instance, FD_CALL + pair->index);
        }
    }
    if (result != 0) {
        bp_net_queue_done(&pair->queue);
        return result;
    }
    atomic_store(&pair->open, 1);
    vu->opened++;
    vu_change(vu);
    *ret_queue = pair;
    return 0;
}

static int32_t
vhost_set_features(void *self, uint32_t features)
{
    struct vhost_user *vu = self;

    if ((features & ~atomic_load(&vu->rx_features)) != 0) {
        return -EINVAL;
    }
    if (atomic_exchange(&vu->wanted, features) != features) {
        vu_change(vu);
    }
    return 0;
}

static int32_t
vhost_transmit(void *self, void *queue, const struct bp_net_frame *frames, uint32_t count,
               uint32_t *done)
{
    struct vu_pair *pair = queue;
    uint32_t taken = vu_transmit(pair, frames, count);

    pair->queue.wants_room |= taken < count;
    *done = taken;
    return (int32_t)taken;
}

static int32_t
vhost_post(void *self, void *queue, const struct bp_net_buffer *buffers, uint32_t count)
{
    struct vu_pair *pair = queue;
    int32_t taken = bp_net_queue_post(&pair->queue, buffers, count);

    vu_posted(pair);
    return taken;
}

static void
vhost_flush(void *self, void *queue)
{
    bp_net_queue_flush(&((struct vu_pair *)queue)->queue);
}

static void
vhost_queue_enable(void *self, void *queue, uint32_t enabled)
{
    struct vu_pair *pair = queue;

    if (atomic_exchange(&pair->enabled, enabled) != enabled) {
        vu_change(self);
    }
}

static const struct bp_net_ops vhost_ops = {
    .size = sizeof(vhost_ops),
    .info = vhost_info,
    .queue_open = vhost_queue_open,
    .queue_close = vhost_queue_close,
    .set_features = vhost_set_features,
    .transmit = vhost_transmit,
    .post = vhost_post,
    .flush = vhost_flush,
    .queue_enable = vhost_queue_enable,
};

/* --- creation -------------------------------------------------------------------------------- */

static void
close_fd(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void
vhost_destroy(void *self)
{
    struct vhost_user *vu = self;

    bp_net_socket_done(&vu->sock);
    for (uint32_t i = 0; i < VU_MAX_PAIRS; i++) {
        close_fd(vu->pair[i].call);
        close_fd(vu->pair[i].rx.kick);
        close_fd(vu->pair[i].tx.kick);
    }
    if (vu->map != NULL) {
        (void)munmap(vu->map, vu->map_length);
    }
    close_fd(vu->memory);
    free(vu);
}

/* What the other end maps cannot be cut short by it: that would be our SIGBUS. */
static int32_t
make_memory(struct vhost_user *vu)
{
    void *map;

    vu->map_length = (uint64_t)vu->pairs * 2 * vu_ring_bytes();
    vu->memory = memfd_create("backplane-vhost-user", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (vu->memory < 0 || ftruncate(vu->memory, (off_t)vu->map_length) != 0 ||
        fcntl(vu->memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return -errno;
    }
    map = mmap(NULL, vu->map_length, PROT_READ | PROT_WRITE, MAP_SHARED, vu->memory, 0);
    if (map == MAP_FAILED) {
        return -errno;
    }
    vu->map = map;
    return 0;
}

static int32_t
make_pair(struct vhost_user *vu, uint32_t index)
{
    struct vu_pair *pair = &vu->pair[index];
    uint64_t bytes = vu_ring_bytes(), at = (uint64_t)index * 2 * bytes;

    pair->vu = vu;
    pair->index = index;
    vu_ring_place(&pair->rx, vu->map + at, VU_BASE + at, 1);
    vu_ring_place(&pair->tx, vu->map + at + bytes, VU_BASE + at + bytes, 0);
    pair->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pair->rx.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pair->tx.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return pair->call < 0 || pair->rx.kick < 0 || pair->tx.kick < 0 ? -EMFILE : 0;
}

static int32_t
set_up(struct vhost_user *vu, const struct bp_node *options)
{
    int32_t result;

    vu->home = vu->host.loop->home(vu->host.instance);
    vu->pairs = (uint32_t)bp_option_u64(&vu->host, options, "queues", 1);
    vu->mtu = (uint32_t)bp_option_u64(&vu->host, options, "mtu", 0);
    result = make_memory(vu);
    for (uint32_t i = 0; i < vu->pairs && result == 0; i++) {
        result = make_pair(vu, i);
    }
    return result == 0 ? bp_net_socket_set_up(&vu->sock, options, 0) : result;
}

static int32_t
vhost_create(const struct bp_create *args, void **self)
{
    struct vhost_user *vu = calloc(1, sizeof(*vu));
    int32_t result;

    if (vu == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&vu->host, args->host, args->instance);
    bp_net_socket_init(&vu->sock, &vu->host, &vu_socket_ops, vu);
    vu->memory = vu->out_fd = -1;
    for (uint32_t i = 0; i < VU_MAX_PAIRS; i++) {
        vu->pair[i].call = vu->pair[i].rx.kick = vu->pair[i].tx.kick = -1;
    }
    result = set_up(vu, args->config);
    if (result != 0) {
        result = bp_fail(&vu->host, result, NULL, "cannot be set up: %s",
                         strerror(-result)); /* a reason given before counts */
        vhost_destroy(vu);
        return result;
    }
    *self = vu;
    return 0;
}

static const void *
vhost_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_NET_ID) ? &vhost_ops : NULL;
}

static const struct bp_prop vhost_props[] = {
    {.name = "path", .type = BP_PROP_PATH, .help = "unix socket of the other end"},
    BP_NET_SOCKET_PROPS("false", "make the socket and wait for the other end; else connect to it"),
    {.name = "queues",
     .type = BP_PROP_UINT,
     .def = "1",
     .min = 1,
     .max = VU_MAX_PAIRS,
     .help = "pairs of rings"},
    {.name = "mtu",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = 65535,
     .help = "MTU the other end is told; 0: none"},
    {.name = NULL},
};

static const char *const vhost_provides[] = {BP_NET_ID, NULL};

static const struct bp_class vhost_class = {
    .size = sizeof(vhost_class),
    .kind = BP_KIND_BACKEND,
    .name = "net-vhost-user",
    .thread_model = BP_THREADS_PARALLEL,
    .help = "network served by another process over rings in shared memory",
    .props = vhost_props,
    .provides = vhost_provides,
    .create = vhost_create,
    .destroy = vhost_destroy,
    .query = vhost_query,
};

static const struct bp_class *const vhost_classes[] = {&vhost_class, NULL};

BP_PLUGIN_NOTE(.id = "net-vhost-user", .version = PLUGIN_VERSION,
               .classes = {{"net-vhost-user", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host)});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "net-vhost-user",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "network served by another process over rings in shared memory",
    .classes = vhost_classes,
};
