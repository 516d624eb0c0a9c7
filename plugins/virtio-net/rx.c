/* SPDX-License-Identifier: Apache-2.0 */
/* Receiving: the driver's buffers are posted to the backend, which fills them; here they get their
 * headers (virtio 1.2, 5.1.6.4) and go back to the driver. */
#include "virtio_net.h"

#include <string.h>

#define BATCH 32u

/* A driver that takes none of these cannot have a frame that is to be cut. */
#define GSO_FEATURES                                                                               \
    (NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_UFO | NET_F_GUEST_USO4 | NET_F_GUEST_USO6)

static void
describe(const struct net_pair *pair, const struct bp_virtio_chain *chain,
         struct bp_net_buffer *buffer)
{
    uint32_t count = bp_min_u32(chain->in_count, BP_NET_MAX_IOV), i;

    memset(buffer, 0, sizeof(*buffer));
    buffer->user = chain->index;
    buffer->iov = chain->iov + chain->out_count;
    buffer->iov_count = count;
    buffer->headroom = pair->header;
    buffer->flags = pair->merge;
    buffer->length = chain->in_bytes;
    for (i = count; i < chain->in_count; i++) { /* more pieces than a backend takes */
        buffer->length -= chain->iov[chain->out_count + i].length;
    }
}

static void
post(struct net_pair *pair, struct bp_virtio_chain *const *chains, uint32_t count)
{
    struct bp_net_buffer buffers[BATCH];
    int32_t taken;
    uint32_t i;

    memset(&buffers[0], 0, sizeof(buffers[0])); /* for compilers that do not know that count > 0 */
    for (i = 0; i < count; i++) {
        describe(pair, chains[i], &buffers[i]);
    }
    taken = pair->net->ops->post(pair->net->self, pair->queue, buffers, count);
    for (i = taken > 0 ? (uint32_t)taken : 0; i < count; i++) {
        bp_virtqueue_hold(chains[i]); /* a backend that breaks its promise */
    }
}

int
net_rx_fits(struct net_pair *pair, struct bp_virtio_chain *chain)
{
    uint64_t length = chain->in_bytes;

    if (length > pair->header) {
        return 1;
    }
    bp_virtqueue_push(chain, 0);
    bp_virtio_broken(pair->net->virtio, "receive queue %u: a buffer of %u bytes", pair->index,
                     (uint32_t)length);
    return 0;
}

/* Posts what the driver has made available. [queue] */
void
net_rx_run(struct net_pair *pair)
{
    struct bp_virtio_chain *chains[BATCH], *chain;
    uint32_t count = 0;

    if (pair->spreads) {
        net_steer_run(pair);
        return;
    }
    if (pair->queue == NULL) {
        bp_virtqueue_wait(pair->rx);
        return;
    }
    while ((chain = bp_virtqueue_pop(pair->rx)) != NULL) {
        if (!net_rx_fits(pair, chain)) {
            return;
        }
        chains[count++] = chain;
        if (count == BATCH) {
            post(pair, chains, count);
            count = 0;
        }
    }
    if (count > 0) {
        post(pair, chains, count);
    }
}

/* Posts what was held while the machine or the backend stood still. [queue] */
void
net_rx_retry(struct net_pair *pair)
{
    struct bp_virtio_chain *chain;

    if (pair->spreads) {
        net_steer_run(pair);
        net_steer_wake(pair->net);
        return;
    }
    while (pair->queue != NULL && (chain = bp_virtqueue_next_held(pair->rx)) != NULL &&
           net_rx_fits(pair, chain)) {
        post(pair, &chain, 1);
    }
}

void
net_rx_make_header(const struct net_pair *pair, const struct bp_net_offload *offload,
                   uint32_t buffers, uint32_t hash, uint32_t report, uint8_t *header)
{
    memset(header, 0, NET_HDR_WITH_HASH);
    header[NET_HDR_FLAGS] = offload->flags & (BP_NET_NEEDS_CSUM | BP_NET_DATA_VALID);
    header[NET_HDR_GSO_TYPE] = offload->gso_type;
    bp_store_le(header + NET_HDR_LENGTH, 2, offload->header_length);
    bp_store_le(header + NET_HDR_GSO_SIZE, 2, offload->gso_size);
    bp_store_le(header + NET_HDR_CSUM_START, 2, offload->csum_start);
    bp_store_le(header + NET_HDR_CSUM_OFFSET, 2, offload->csum_offset);
    bp_store_le(header + NET_HDR_BUFFERS, 2, pair->merge ? buffers : 1);
    bp_store_le(header + NET_HDR_HASH, 4, hash);
    bp_store_le(header + NET_HDR_REPORT, 2, report);
}

/* The frame's first bytes, up to BP_NET_HEADERS_MAX. */
static uint32_t
peek(const struct net_pair *pair, const struct bp_virtio_chain *chain, uint32_t length,
     uint8_t *data)
{
    return (uint32_t)bp_net_iov_copy(chain->iov + chain->out_count, chain->in_count, pair->header,
                                     data, bp_min_u32(length, BP_NET_HEADERS_MAX));
}

int
net_rx_complete(const struct net *net, const struct bp_iovec *iov, uint32_t count, uint64_t from,
                uint64_t length, struct bp_net_offload *offload)
{
    uint64_t offloads = atomic_load_explicit(&net->offloads, memory_order_relaxed);
    uint64_t at = (uint64_t)offload->csum_start + offload->csum_offset;
    uint8_t sum[2];

    if (offload->flags == 0 && offload->gso_type == BP_NET_GSO_NONE) {
        return 1;
    }
    if (offload->gso_type != BP_NET_GSO_NONE && (offloads & GSO_FEATURES) == 0) {
        return 0;
    }
    if (offloads & NET_F_GUEST_CSUM) {
        return 1;
    }
    if ((offload->flags & BP_NET_NEEDS_CSUM) != 0 && at + 2 <= length) {
        bp_net_store16(sum, bp_net_sum_fold(bp_net_sum_iov(iov, count, from + offload->csum_start,
                                                           length - offload->csum_start, 0)));
        (void)bp_net_iov_fill(iov, count, from + at, sum, 2);
    }
    offload->flags = 0;
    offload->csum_start = offload->csum_offset = 0;
    return 1;
}

/* The same for a frame in the driver's buffers. */
static int
complete_frame(struct net_pair *pair, const struct bp_net_received *records, uint32_t count,
               struct bp_net_offload *offload)
{
    struct bp_iovec iov[BP_NET_MAX_IOV];
    uint32_t used = 0, i, k;
    uint64_t length = 0;

    if (offload->flags == 0 && offload->gso_type == BP_NET_GSO_NONE) {
        return 1;
    }
    for (i = 0; i < count; i++) {
        const struct bp_virtio_chain *chain = bp_virtqueue_chain(pair->rx, records[i].user);
        for (k = 0; chain != NULL && k < chain->in_count && used < BP_NET_MAX_IOV; k++) {
            iov[used++] = chain->iov[chain->out_count + k];
        }
        length += records[i].length;
    }
    return net_rx_complete(pair->net, iov, used, pair->header, length, offload);
}

/* Whether the frame is for this guest; then its header is in place. [pair->lock] */
static int
take_frame(struct net_pair *pair, const struct bp_virtio_chain *chain,
           const struct bp_net_received *records, uint32_t count)
{
    uint8_t data[BP_NET_HEADERS_MAX], header[NET_HDR_WITH_HASH];
    uint32_t length = peek(pair, chain, records[0].length, data), hash = 0, report = 0;
    struct bp_net_offload offload;
    struct bp_net_headers headers;

    if (!net_link_up(pair->net) || !net_rules_accept(&pair->rules, data, length)) {
        return 0;
    }
    if (pair->takes_hash) {
        const struct bp_net_hash_rules rules = {.types = pair->rules.hash_types,
                                                .key_length = pair->rules.key_length,
                                                .key = pair->rules.key};
        bp_net_parse(data, length, &headers);
        report = bp_net_hash(data, length, &headers, &rules, &hash);
    }
    offload = records[0].offload;
    if (!complete_frame(pair, records, count, &offload)) {
        return 0;
    }
    net_rx_make_header(pair, &offload, records[0].buffers, hash, report, header);
    (void)bp_net_iov_fill(chain->iov + chain->out_count, chain->in_count, 0, header, pair->header);
    return 1;
}

/* One frame of count records. [queue] [pair->lock] */
static void
receive_frame(struct net_pair *pair, const struct bp_net_received *records, uint32_t count)
{
    struct bp_virtio_chain *chain = bp_virtqueue_chain(pair->rx, records[0].user);
    int taken = chain != NULL && take_frame(pair, chain, records, count);
    uint32_t i;

    for (i = 0; i < count; i++) {
        chain = bp_virtqueue_chain(pair->rx, records[i].user);
        if (chain == NULL) {
            continue;
        }
        if (taken) {
            net_coalesce_push(pair, &pair->rx_coalesce, chain,
                              records[i].length + (i == 0 ? pair->header : 0));
        } else if (bp_virtqueue_running(pair->rx)) {
            post(pair, &chain, 1);
        } else {
            bp_virtqueue_hold(chain);
        }
    }
}

void
net_rx_receive(void *opaque, const struct bp_net_received *records, uint32_t count)
{
    struct net_pair *pair = opaque;
    uint32_t i, buffers;

    if (count > 0 && (records[0].user & STAGE_USER) != 0) {
        net_steer_receive(pair, records, count);
        return;
    }
    bp_virtqueue_enter(pair->rx);
    pthread_mutex_lock(&pair->lock);
    for (i = 0; i < count; i += buffers) {
        buffers = records[i].buffers > 0 ? bp_min_u32(records[i].buffers, count - i) : 1;
        receive_frame(pair, records + i, buffers);
    }
    pthread_mutex_unlock(&pair->lock);
    if (bp_virtqueue_running(pair->rx)) {
        net_rx_run(pair); /* what was made available meanwhile: a driver that keeps up rings less */
    }
    bp_virtqueue_leave(pair->rx);
}
