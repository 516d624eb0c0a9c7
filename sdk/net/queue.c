/* SPDX-License-Identifier: Apache-2.0 */
/* A backend's side of a queue: see <backplane/sdk/net.h>. */
#include <backplane/sdk/net.h>

#include <stdlib.h>
#include <string.h>

static int32_t
take_args(struct bp_net_queue *queue, const struct bp_net_queue_args *given)
{
    const struct bp_net_client *client;
    uint32_t i;

    if (given->size < offsetof(struct bp_net_queue_args, opaque)) {
        return -EINVAL;
    }
    for (i = sizeof(queue->args); i < given->size; i++) {
        if (((const uint8_t *)given)[i] != 0) {
            return -E2BIG;
        }
    }
    memcpy(&queue->args, given,
           given->size < sizeof(queue->args) ? given->size : sizeof(queue->args));
    client = given->client;
    if (client == NULL) {
        return -EINVAL;
    }
    memcpy(&queue->client, client,
           client->size < sizeof(queue->client) ? client->size : sizeof(queue->client));
    queue->args.client = &queue->client;
    return 0;
}

int32_t
bp_net_queue_init(struct bp_net_queue *queue, const struct bp_net_queue_args *given,
                  uint32_t max_queues)
{
    const struct bp_net_queue_args *args = &queue->args;
    uint32_t size = 1;
    int32_t result;

    memset(queue, 0, sizeof(*queue));
    result = take_args(queue, given);
    if (result != 0) {
        return result;
    }
    if (args->flags != 0 || args->tx_depth == 0 || args->tx_depth > BP_NET_MAX_DEPTH ||
        args->rx_depth == 0 || args->rx_depth > BP_NET_MAX_DEPTH || queue->client.receive == NULL ||
        queue->client.transmitted == NULL || queue->client.writable == NULL) {
        return -EINVAL;
    }
    if (args->index >= max_queues) {
        return -ENOENT;
    }
    while (size < args->rx_depth) {
        size <<= 1;
    }
    queue->ring = calloc(size, sizeof(*queue->ring));
    queue->ring_mask = size - 1;
    return queue->ring != NULL ? 0 : -ENOMEM;
}

void
bp_net_queue_done(struct bp_net_queue *queue)
{
    free(queue->ring);
    queue->ring = NULL;
}

int32_t
bp_net_queue_post(struct bp_net_queue *queue, const struct bp_net_buffer *buffers, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count && bp_net_queue_posted(queue) < queue->args.rx_depth; i++) {
        queue->ring[queue->tail++ & queue->ring_mask] = buffers[i];
    }
    return (int32_t)i;
}

void
bp_net_queue_flush(struct bp_net_queue *queue)
{
    queue->head = queue->tail;
    queue->batch_count = 0;
    queue->wants_room = 0;
}

/* Adds the pieces of one buffer from skip on. Returns how many pieces there are now. */
static uint32_t
place_buffer(const struct bp_net_buffer *buffer, uint64_t skip, struct iovec *iov, uint32_t used,
             uint32_t max, uint64_t *room)
{
    uint32_t i;

    for (i = 0; i < buffer->iov_count && used < max; i++) {
        uint64_t length = buffer->iov[i].length;
        if (length <= skip) {
            skip -= length;
            continue;
        }
        iov[used].iov_base = (uint8_t *)buffer->iov[i].base + skip;
        iov[used].iov_len = length - skip;
        *room += length - skip;
        skip = 0;
        used++;
    }
    return used;
}

uint32_t
bp_net_rx_place(const struct bp_net_queue *queue, struct iovec *iov, uint32_t max, uint64_t wanted,
                uint64_t *room)
{
    uint32_t at, used = 0;

    *room = 0;
    /* The pieces of at most one batch: what rx_filled() can give back at once. */
    for (at = queue->head; at != queue->tail && at - queue->head < BP_NET_BATCH; at++) {
        const struct bp_net_buffer *buffer = &queue->ring[at & queue->ring_mask];
        if (at != queue->head && (buffer->flags & BP_NET_MERGE) == 0) {
            break;
        }
        used = place_buffer(buffer, at == queue->head ? buffer->headroom : 0, iov, used, max, room);
        if ((buffer->flags & BP_NET_MERGE) == 0 || *room >= wanted || used == max) {
            break;
        }
    }
    return used;
}

/* Buffers a frame of this length takes; 0: more than there are. */
static uint32_t
buffers_for(const struct bp_net_queue *queue, uint64_t length)
{
    uint32_t at;

    for (at = queue->head; at != queue->tail && at - queue->head < BP_NET_BATCH; at++) {
        const struct bp_net_buffer *buffer = &queue->ring[at & queue->ring_mask];
        uint64_t room = buffer->length - (at == queue->head ? buffer->headroom : 0);
        if (length <= room) {
            return at - queue->head + 1;
        }
        if ((buffer->flags & BP_NET_MERGE) == 0) {
            return 0;
        }
        length -= room;
    }
    return 0;
}

void
bp_net_rx_filled(struct bp_net_queue *queue, uint32_t length, const struct bp_net_offload *offload)
{
    uint32_t count = buffers_for(queue, length), i;
    struct bp_net_received *first;

    if (count == 0) {
        return; /* more than was offered: the backend dropped the rest of it, and so do we */
    }
    if (queue->batch_count + count > BP_NET_BATCH) {
        bp_net_rx_deliver(queue);
    }
    first = &queue->batch[queue->batch_count];
    queue->batch_count += count;
    for (i = 0; i < count; i++) {
        const struct bp_net_buffer *buffer = &queue->ring[queue->head++ & queue->ring_mask];
        struct bp_net_received *record = &first[i];
        uint64_t room = buffer->length - (i == 0 ? buffer->headroom : 0);

        memset(record, 0, sizeof(*record));
        record->user = buffer->user;
        record->length = length < room ? length : (uint32_t)room;
        length -= record->length;
        record->flags = i + 1 < count ? BP_NET_MORE : 0;
    }
    first->buffers = count;
    if (offload != NULL) {
        first->offload = *offload;
    }
}

static int
next_merges(const struct bp_net_queue *queue)
{
    return (queue->ring[queue->head & queue->ring_mask].flags & BP_NET_MERGE) != 0;
}

int32_t
bp_net_rx_gather(struct bp_net_queue *queue, const struct bp_iovec *from, uint32_t from_count,
                 uint32_t length, const struct bp_net_offload *offload)
{
    struct iovec iov[BP_NET_MAX_IOV];
    uint64_t room, at = 0;
    uint32_t count, i;

    count = bp_net_rx_place(queue, iov, BP_NET_MAX_IOV, length, &room);
    if (room < length) {
        uint32_t most = queue->args.rx_depth < BP_NET_BATCH ? queue->args.rx_depth : BP_NET_BATCH;
        int more = count > 0 && count < BP_NET_MAX_IOV && next_merges(queue) &&
                   bp_net_queue_posted(queue) < most;
        return count == 0 || more ? 0 : -EMSGSIZE;
    }
    for (i = 0; i < count && at < length; i++) {
        at += bp_net_iov_copy(from, from_count, at, iov[i].iov_base,
                              iov[i].iov_len < length - at ? iov[i].iov_len : length - at);
    }
    bp_net_rx_filled(queue, length, offload);
    return 1;
}

int32_t
bp_net_rx_copy(struct bp_net_queue *queue, const void *data, uint32_t length,
               const struct bp_net_offload *offload)
{
    union {
        const void *data;
        void *base; /* only read: see bp_net_iov_copy() */
    } from = {.data = data};
    const struct bp_iovec iov = {from.base, length};

    return bp_net_rx_gather(queue, &iov, 1, length, offload);
}

void
bp_net_rx_deliver(struct bp_net_queue *queue)
{
    uint32_t count = queue->batch_count;

    if (count > 0) {
        queue->batch_count = 0;
        queue->client.receive(queue->args.opaque, queue->batch, count);
    }
}

void
bp_net_tx_room(struct bp_net_queue *queue)
{
    if (queue->wants_room) {
        queue->wants_room = 0;
        queue->client.writable(queue->args.opaque);
    }
}

void
bp_net_queue_event(struct bp_net_queue *queue, uint32_t event)
{
    if (queue->client.event != NULL) {
        queue->client.event(queue->args.opaque, event);
    }
}

void
bp_net_info_copy(struct bp_net_info *to, const struct bp_net_info *from)
{
    uint32_t size = to->size;

    memcpy(to, from, size < sizeof(*from) ? size : sizeof(*from));
    to->size = size;
}
