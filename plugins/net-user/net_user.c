/* SPDX-License-Identifier: Apache-2.0 */
/* net-user: a network of the guest's own, with a router that speaks for it by sockets of this
 * process. Needs no privilege. See net_user.h. */
#include "net_user.h"

#include <stdlib.h>
#include <string.h>

#define PLUGIN_VERSION "1.0"
#define WAITING_BYTES  (1u << 20)

/* Called by libslirp with a frame for the guest: into its buffers, or into the line. */
ssize_t
user_send_packet(const void *data, size_t length, void *opaque)
{
    struct net_user *user = opaque;

    if (!user->open || length > BP_NET_MAX_FRAME) {
        return (ssize_t)length;
    }
    if (user->waiting.count == 0 &&
        bp_net_rx_copy(&user->queue, data, (uint32_t)length, NULL) != 0) {
        return (ssize_t)length;
    }
    /* What does not fit any more is lost as on a wire: the sockets are not read by then. */
    (void)bp_net_fifo_push(&user->waiting, data, (uint32_t)length, NULL);
    return (ssize_t)length;
}

/* --- bp.net/1 -------------------------------------------------------------------------------- */

static int32_t
user_info(void *self, struct bp_net_info *info)
{
    const struct bp_net_info full = {
        .size = sizeof(full), .flags = BP_NET_LINK_UP, .queues = 1, .mtu = 1500};

    bp_net_info_copy(info, &full);
    return 0;
}

static int32_t
user_queue_open(void *self, const struct bp_net_queue_args *args, void **ret_queue)
{
    struct net_user *user = self;
    int32_t result;

    if (user->open) {
        return args->index == 0 ? -EBUSY : -ENOENT;
    }
    result = bp_net_queue_init(&user->queue, args, 1);
    if (result != 0) {
        return result;
    }
    result = user_poll_start(user, user->queue.args.loop);
    if (result != 0) {
        bp_net_queue_done(&user->queue);
        return result;
    }
    bp_net_fifo_clear(&user->waiting);
    user->closed_input = 0;
    *ret_queue = &user->queue;
    return 0;
}

static void
user_queue_close(void *self, void *queue)
{
    struct net_user *user = self;

    user_poll_stop(user);
    bp_net_queue_done(&user->queue);
}

static int32_t
user_set_features(void *self, uint32_t features)
{
    return features == 0 ? 0 : -EINVAL;
}

static void
deliver_later(void *opaque)
{
    struct net_user *user = opaque;

    if (user->open) {
        (void)bp_net_fifo_drain(&user->waiting, &user->queue);
        bp_net_rx_deliver(&user->queue);
        if (user->waiting.count == 0 && user->closed_input) {
            user->closed_input = 0;
            user->host.loop->fd_modify(user->host.instance, 0, BP_FD_IN);
        }
        user_poll_sync(user);
    }
}

static void
plan_delivery(struct net_user *user)
{
    if (user->host.loop->defer(user->host.instance, atomic_load(&user->loop), deliver_later,
                               user) != 0) {
        bp_warn(&user->host, "cannot deliver frames");
    }
}

static int32_t
user_transmit(void *self, void *queue, const struct bp_net_frame *frames, uint32_t count,
              uint32_t *done)
{
    struct net_user *user = self;
    uint32_t i;

    for (i = 0; i < count; i++) {
        const struct bp_net_frame *frame = &frames[i];
        if (!bp_net_frame_ok(frame, 0)) {
            continue;
        }
        (void)bp_net_iov_copy(frame->iov, frame->iov_count, 0, user->frame, frame->length);
        slirp_input(user->slirp, user->frame, (int)frame->length);
    }
    *done = count;
    plan_delivery(user); /* answers may be ready; nothing is delivered in here */
    return (int32_t)count;
}

static int32_t
user_post(void *self, void *queue, const struct bp_net_buffer *buffers, uint32_t count)
{
    struct net_user *user = self;
    int32_t taken = bp_net_queue_post(queue, buffers, count);

    if (user->waiting.count > 0) {
        plan_delivery(user);
    }
    return taken;
}

static void
user_flush(void *self, void *queue)
{
    bp_net_queue_flush(queue);
}

static const struct bp_net_ops user_ops = {
    .size = sizeof(user_ops),
    .info = user_info,
    .queue_open = user_queue_open,
    .queue_close = user_queue_close,
    .set_features = user_set_features,
    .transmit = user_transmit,
    .post = user_post,
    .flush = user_flush,
};

/* --- life ------------------------------------------------------------------------------------ */

static void
user_destroy(void *self)
{
    struct net_user *user = self;

    if (user->slirp != NULL) {
        slirp_cleanup(user->slirp);
    }
    user_poll_done(user);
    bp_net_fifo_done(&user->waiting);
    free(user->frame);
    free(user);
}

static int32_t
user_create(const struct bp_create *args, void **self)
{
    struct net_user *user = calloc(1, sizeof(*user));
    int32_t result;

    if (user == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&user->host, args->host, args->instance);
    user->options = args->config;
    user->epoll = -1;
    user->frame = malloc(BP_NET_MAX_FRAME);
    result = user->frame != NULL ? bp_net_fifo_init(&user->waiting, WAITING_BYTES) : -ENOMEM;
    if (result == 0) {
        result = user_poll_init(user);
    }
    if (result == 0) {
        result = user_make_network(user);
    }
    if (result != 0) {
        result = bp_fail(&user->host, result, NULL, "cannot make the network: %s",
                         strerror(-result)); /* a reason given before counts */
        user_destroy(user);
        return result;
    }
    *self = user;
    return 0;
}

static const void *
user_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_NET_ID) ? &user_ops : NULL;
}

static const char *const user_provides[] = {BP_NET_ID, NULL};

static const struct bp_class user_class = {
    .size = sizeof(user_class),
    .kind = BP_KIND_BACKEND,
    .name = "net-user",
    .thread_model = BP_THREADS_PARALLEL,
    .help = "user-mode network with address translation",
    .props = user_props,
    .provides = user_provides,
    .create = user_create,
    .destroy = user_destroy,
    .query = user_query,
};

static const struct bp_class *const user_classes[] = {&user_class, NULL};

BP_PLUGIN_NOTE(.id = "net-user", .version = PLUGIN_VERSION,
               .classes = {{"net-user", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host)});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "net-user",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "user-mode network by libslirp",
    .classes = user_classes,
};
