/* SPDX-License-Identifier: Apache-2.0 */
/* The fake net backend: what the device sends is collected, what the test delivers is put into
 * posted buffers. It checks every frame, buffer and call against the contract. */
#include "fake_net.h"

#include <stdlib.h>
#include <string.h>

static int32_t
net_info(void *self, struct bp_net_info *info)
{
    const struct th_net *net = self;
    struct bp_net_info full = net->info;
    uint32_t size = info->size;

    full.size = size;
    memcpy(info, &full, size < sizeof(full) ? size : sizeof(full));
    return 0;
}

static int32_t
open_check(struct th_net *net, const struct bp_net_queue_args *args)
{
    struct th_host *th = net->th;
    const struct bp_net_client *client = args->client;

    th->calls++;
    if (th->fail_in != 0 && --th->fail_in == 0) {
        th->fail_hit = 1;
        return th->fail_error;
    }
    if (args->size < sizeof(*args) || args->flags != 0 || args->tx_depth == 0 ||
        args->tx_depth > BP_NET_MAX_DEPTH || args->rx_depth == 0 ||
        args->rx_depth > BP_NET_MAX_DEPTH || client == NULL || client->receive == NULL ||
        client->transmitted == NULL || client->writable == NULL) {
        th_violate(th, "backend %s: queue_open: bad arguments", net->id);
        return -EINVAL;
    }
    if (args->loop >= th->loops || args->index >= net->info.queues) {
        return -ENOENT;
    }
    return net->queues[args->index] != NULL ? -EBUSY : 0;
}

static int32_t
net_queue_open(void *self, const struct bp_net_queue_args *args, void **out)
{
    struct th_net *net = self;
    struct net_queue *queue;
    int32_t result = open_check(net, args);

    if (result < 0) {
        return result;
    }
    queue = th_alloc(sizeof(*queue));
    queue->net = net;
    queue->args = *args;
    memcpy(&queue->client, args->client,
           args->client->size < sizeof(queue->client) ? args->client->size : sizeof(queue->client));
    queue->posted = th_alloc(args->rx_depth * sizeof(*queue->posted));
    queue->held = th_alloc(args->tx_depth * sizeof(*queue->held));
    net->queues[args->index] = queue;
    net->open++;
    *out = queue;
    return 0;
}

static struct net_queue *
queue_check(struct th_net *net, void *given, const char *what)
{
    uint32_t i;

    for (i = 0; i < MAX_QUEUES; i++) {
        if (given != NULL && net->queues[i] == given) {
            return given;
        }
    }
    th_violate(net->th, "backend %s: %s with a queue that is not open", net->id, what);
    return NULL;
}

static void
free_queue(struct th_net *net, struct net_queue *queue)
{
    net->queues[queue->args.index] = NULL;
    net->open--;
    free(queue->posted);
    free(queue->held);
    free(queue);
}

static void
net_queue_close(void *self, void *given)
{
    struct net_queue *queue = queue_check(self, given, "queue_close");

    if (queue != NULL) {
        free_queue(self, queue);
    }
}

static int32_t
net_set_features(void *self, uint32_t features)
{
    struct th_net *net = self;

    if ((features & ~net->info.rx_features) != 0) {
        th_violate(net->th, "backend %s: features %x of %x", net->id, features,
                   net->info.rx_features);
        return -EINVAL;
    }
    net->features = features;
    return 0;
}

static int
pieces_check(struct th_net *net, const struct bp_iovec *iov, uint32_t count, uint64_t length)
{
    uint64_t sum = 0;
    uint32_t i;

    if (count == 0 || count > BP_NET_MAX_IOV) {
        th_violate(net->th, "backend %s: %u pieces", net->id, count);
        return 0;
    }
    for (i = 0; i < count; i++) {
        sum += iov[i].length;
        if (!th_is_shareable(net->th, iov[i].base, iov[i].length)) {
            th_violate(net->th, "backend %s: a buffer is neither guest RAM nor arena", net->id);
            return 0;
        }
    }
    if (sum != length) {
        th_violate(net->th, "backend %s: pieces of %llu bytes for a length of %llu", net->id,
                   (unsigned long long)sum, (unsigned long long)length);
        return 0;
    }
    return 1;
}

/* The feature a kind of segmentation needs. */
static uint32_t
gso_feature(uint32_t gso_type)
{
    switch (gso_type) {
    case BP_NET_GSO_NONE:
        return 0;
    case BP_NET_GSO_TCP4:
        return BP_NET_TSO4;
    case BP_NET_GSO_TCP6:
        return BP_NET_TSO6;
    case BP_NET_GSO_TCP4 | BP_NET_GSO_ECN:
        return BP_NET_TSO4 | BP_NET_ECN;
    case BP_NET_GSO_TCP6 | BP_NET_GSO_ECN:
        return BP_NET_TSO6 | BP_NET_ECN;
    case BP_NET_GSO_UDP:
        return BP_NET_UFO;
    case BP_NET_GSO_UDP_L4:
        return BP_NET_USO4 | BP_NET_USO6;
    default:
        return UINT32_MAX;
    }
}

static void
offload_check(struct th_net *net, const struct bp_net_frame *frame)
{
    const struct bp_net_offload *offload = &frame->offload;
    uint32_t needs = gso_feature(offload->gso_type);

    if (offload->flags & BP_NET_NEEDS_CSUM) {
        needs |= BP_NET_CSUM;
    }
    if ((needs & ~net->info.tx_features) != 0 && offload->gso_type != BP_NET_GSO_UDP_L4) {
        th_violate(net->th, "backend %s: a frame needs offloads %x of %x", net->id, needs,
                   net->info.tx_features);
    }
    if ((offload->flags & ~BP_NET_NEEDS_CSUM) != 0 ||
        (offload->gso_type != 0 && offload->gso_size == 0) ||
        ((offload->flags & BP_NET_NEEDS_CSUM) != 0 &&
         (uint64_t)offload->csum_start + offload->csum_offset + 2 > frame->length)) {
        th_violate(net->th, "backend %s: a frame's offload record is wrong", net->id);
    }
}

static int
frame_check(struct th_net *net, const struct bp_net_frame *frame)
{
    if (frame->flags != 0 || frame->reserved[0] != 0 || frame->reserved[1] != 0 ||
        frame->length < 14 || frame->length > BP_NET_MAX_FRAME) {
        th_violate(net->th, "backend %s: a frame of %llu bytes, flags %x", net->id,
                   (unsigned long long)frame->length, frame->flags);
        return 0;
    }
    offload_check(net, frame);
    return pieces_check(net, frame->iov, frame->iov_count, frame->length);
}

static void
record_frame(struct th_net *net, uint32_t queue, const struct bp_net_frame *frame)
{
    struct th_net_frame *grown = th_alloc((net->sent_count + 1) * sizeof(*grown));
    uint8_t *data = th_alloc(frame->length);
    uint64_t at = 0;
    uint32_t i;

    if (net->sent_count > 0) {
        memcpy(grown, net->sent, net->sent_count * sizeof(*grown));
    }
    for (i = 0; i < frame->iov_count; i++) {
        memcpy(data + at, frame->iov[i].base, frame->iov[i].length);
        at += frame->iov[i].length;
    }
    grown[net->sent_count] = (struct th_net_frame){data, (uint32_t)at, queue, frame->offload};
    free(net->sent);
    net->sent = grown;
    net->sent_count++;
}

static int32_t
net_transmit(void *self, void *given, const struct bp_net_frame *frames, uint32_t count,
             uint32_t *done)
{
    struct th_net *net = self;
    struct net_queue *queue = queue_check(net, given, "transmit");
    uint32_t taken = 0;

    if (queue == NULL || count == 0 || net->th->context == TH_IN_VCPU) {
        th_violate(net->th, "backend %s: transmit of %u frames, not on the loop", net->id, count);
        return 0;
    }
    net->transmits++;
    while (taken < count && net->room > 0 &&
           (!net->hold || queue->held_count < queue->args.tx_depth)) {
        if (frame_check(net, &frames[taken])) {
            record_frame(net, queue->args.index, &frames[taken]);
        }
        if (net->hold) {
            queue->held[queue->held_count++] = frames[taken].user;
        }
        net->room -= net->room != UINT32_MAX;
        taken++;
    }
    queue->wants_room |= taken < count;
    *done = net->hold ? 0 : taken;
    return (int32_t)taken;
}

static int32_t
net_post(void *self, void *given, const struct bp_net_buffer *buffers, uint32_t count)
{
    struct th_net *net = self;
    struct net_queue *queue = queue_check(net, given, "post");
    uint32_t taken = 0;

    if (queue == NULL || count == 0 || net->th->context == TH_IN_VCPU) {
        th_violate(net->th, "backend %s: post of %u buffers, not on the loop", net->id, count);
        return 0;
    }
    while (taken < count && queue->posted_count < queue->args.rx_depth) {
        const struct bp_net_buffer *buffer = &buffers[taken++];
        if (buffer->headroom >= buffer->length || (buffer->flags & ~BP_NET_MERGE) != 0 ||
            buffer->reserved != 0 || buffer->reserved2 != 0 ||
            !pieces_check(net, buffer->iov, buffer->iov_count, buffer->length)) {
            th_violate(net->th, "backend %s: a wrong buffer was posted", net->id);
            continue;
        }
        queue->posted[queue->posted_count++] = *buffer;
    }
    return (int32_t)taken;
}

static void
net_flush(void *self, void *given)
{
    struct th_net *net = self;
    struct net_queue *queue = queue_check(net, given, "flush");

    if (queue == NULL) {
        return;
    }
    if (queue->calling) {
        th_violate(net->th, "backend %s: flush inside a function of the client", net->id);
    }
    net->flushes++;
    queue->posted_count = 0;
    queue->held_count = 0;
    queue->wants_room = 0;
}

static void
net_queue_enable(void *self, void *given, uint32_t enabled)
{
    struct net_queue *queue = queue_check(self, given, "queue_enable");

    if (queue != NULL) {
        queue->disabled = !enabled;
    }
}

static const struct bp_net_ops fake_net_ops = {
    .size = sizeof(struct bp_net_ops),
    .info = net_info,
    .queue_open = net_queue_open,
    .queue_close = net_queue_close,
    .set_features = net_set_features,
    .transmit = net_transmit,
    .post = net_post,
    .flush = net_flush,
    .queue_enable = net_queue_enable,
};

/* --- what the test does ---------------------------------------------------------------------- */

/* Copies what fits into one buffer. Returns how much. */
static uint32_t
fill(const struct bp_net_buffer *buffer, uint32_t skip, const uint8_t *data, uint32_t length)
{
    uint32_t i, done = 0;

    for (i = 0; i < buffer->iov_count && done < length; i++) {
        uint64_t room = buffer->iov[i].length;
        uint32_t from = room < skip ? (uint32_t)room : skip, n;
        skip -= from;
        n = length - done < room - from ? length - done : (uint32_t)(room - from);
        memcpy((uint8_t *)buffer->iov[i].base + from, data + done, n);
        done += n;
    }
    return done;
}

/* Returns non-zero if the frame left the list. */
static int
deliver(struct th_net *net, struct net_queue *queue, struct net_input *input)
{
    struct bp_net_received records[64];
    uint32_t used = 0, at = 0, merges = 1;

    memset(records, 0, sizeof(records));
    while (at < input->length && used < queue->posted_count && used < 64 && merges) {
        const struct bp_net_buffer *buffer = &queue->posted[used];
        merges = buffer->flags & BP_NET_MERGE;
        if (used > 0 && !merges) {
            break;
        }
        records[used].user = buffer->user;
        records[used].length =
            fill(buffer, used == 0 ? buffer->headroom : 0, input->data + at, input->length - at);
        at += records[used].length;
        records[used].flags = BP_NET_MORE;
        used++;
    }
    if (at < input->length) {
        net->dropped += !merges;
        return !merges;
    }
    records[used - 1].flags = 0;
    records[0].buffers = used;
    records[0].offload = input->offload;
    queue->posted_count -= used;
    memmove(queue->posted, queue->posted + used, queue->posted_count * sizeof(*queue->posted));
    queue->calling++;
    queue->client.receive(queue->args.opaque, records, used);
    queue->calling--;
    return 1;
}

/* The client may have added inputs meanwhile: the link to this one is searched anew. */
static void
remove_input(struct th_net *net, struct net_input *input)
{
    struct net_input **link = &net->inputs;

    while (*link != input) {
        link = &(*link)->next;
    }
    *link = input->next;
    free(input);
}

static int
run_input(struct th_net *net)
{
    struct net_input *input;

    for (input = net->inputs; input != NULL; input = input->next) {
        struct net_queue *queue = net->queues[input->queue];
        if (queue != NULL && queue->posted_count > 0 && !queue->disabled &&
            deliver(net, queue, input)) {
            remove_input(net, input);
            return 1;
        }
    }
    return 0;
}

static int
run_events(struct th_net *net)
{
    uint32_t i = 0, event = net->events[0];
    const struct net_queue *queue;

    if (net->event_count == 0) {
        return 0;
    }
    net->event_count--;
    memmove(net->events, net->events + 1, sizeof(net->events) - sizeof(event));
    while (i < MAX_QUEUES - 1 && net->queues[i] == NULL) {
        i++;
    }
    queue = net->queues[i];
    if (queue != NULL && queue->client.event != NULL) {
        queue->client.event(queue->args.opaque, event);
    }
    return 1;
}

static int
net_run(void *self)
{
    struct th_net *net = self;
    uint32_t i;

    if (run_events(net)) {
        return 1;
    }
    for (i = 0; i < MAX_QUEUES; i++) {
        struct net_queue *queue = net->queues[i];
        if (queue != NULL && queue->wants_room && net->room > 0 &&
            (!net->hold || queue->held_count < queue->args.tx_depth)) {
            queue->wants_room = 0;
            queue->client.writable(queue->args.opaque);
            return 1;
        }
    }
    return run_input(net);
}

static void
net_free(void *self)
{
    struct th_net *net = self;
    uint32_t i;

    for (i = 0; i < MAX_QUEUES; i++) {
        if (net->queues[i] != NULL) {
            free_queue(net, net->queues[i]);
        }
    }
    th_net_clear(net);
    while (net->inputs != NULL) {
        struct net_input *input = net->inputs;
        net->inputs = input->next;
        free(input);
    }
    free(net->id);
    free(net);
}

static int
net_busy(void *self)
{
    return ((struct th_net *)self)->open > 0;
}

struct th_net *
th_net_new(struct th_host *th, const char *id)
{
    struct th_net *net = th_alloc(sizeof(*net));
    struct th_backend backend = {.interface_id = BP_NET_ID,
                                 .table = &fake_net_ops,
                                 .self = net,
                                 .run = net_run,
                                 .free = net_free,
                                 .busy = net_busy};

    net->th = th;
    net->id = th_strdup(id);
    net->room = UINT32_MAX;
    net->info.size = sizeof(net->info);
    net->info.flags = BP_NET_LINK_UP;
    net->info.queues = 1;
    backend.id = net->id;
    th_add_backend(th, &backend);
    return net;
}
