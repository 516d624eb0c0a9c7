/* SPDX-License-Identifier: Apache-2.0 */
/* Receive side scaling (virtio 1.2, 5.1.6.5.7): frames go to the pair that their hash names, on
 * whatever queue of the backend they come. See struct net_stage. */
#include "virtio_net.h"

#include <stdlib.h>
#include <string.h>

#define BATCH       32u
#define ARENA_STAGE 64u /* + pair */

int32_t
net_steer_init(struct net_pair *pair)
{
    const struct bp_services *host = &pair->net->host;
    void *memory = NULL;
    uint32_t i;
    int32_t result;

    pair->stage = calloc(1, sizeof(*pair->stage));
    pair->ready.chains = calloc(bp_virtqueue_max_size(pair->rx), sizeof(*pair->ready.chains));
    if (pair->stage == NULL || pair->ready.chains == NULL) {
        return -ENOMEM;
    }
    result = host->memory->arena_alloc(host->instance, ARENA_STAGE + pair->index,
                                       (uint64_t)STAGE_BUFFERS * STAGE_BYTES, 4096, &memory);
    pair->stage->memory = memory;
    for (i = 0; i < STAGE_BUFFERS && result == 0; i++) {
        pair->stage->iov[i].base = pair->stage->memory + (uint64_t)i * STAGE_BYTES;
        pair->stage->iov[i].length = STAGE_BYTES;
    }
    return result;
}

void
net_steer_done(struct net_pair *pair)
{
    free(pair->stage);
    free(pair->ready.chains);
}

/* --- staging buffers ------------------------------------------------------------------------- */

static void
post_buffers(struct net_pair *pair, const uint16_t *buffers, uint32_t count)
{
    struct net_stage *stage = pair->stage;
    struct bp_net_buffer records[BATCH];
    uint32_t i, done = 0;

    while (done < count) {
        uint32_t n = bp_min_u32(count - done, BATCH);
        memset(records, 0, sizeof(records));
        for (i = 0; i < n; i++) {
            uint16_t buffer = buffers[done + i];
            records[i].user = STAGE_USER | buffer;
            records[i].iov = &stage->iov[buffer];
            records[i].iov_count = 1;
            records[i].length = STAGE_BYTES;
            records[i].flags = BP_NET_MERGE;
        }
        if (pair->net->ops->post(pair->net->self, pair->queue, records, n) != (int32_t)n) {
            bp_warn(&pair->net->host, "the backend takes fewer buffers than it promised");
        }
        done += n;
    }
}

/* Gives the backend the buffers of a frame again. */
static void
post_frame(struct net_pair *pair, const struct net_staged *frame)
{
    uint16_t buffers[STAGE_BUFFERS], at = frame->first;
    uint32_t i;

    for (i = 0; i < frame->count && i < STAGE_BUFFERS; i++) {
        buffers[i] = at;
        at = pair->stage->next[at];
    }
    post_buffers(pair, buffers, i);
}

/* Gives the backend all buffers that no waiting frame is in. */
static void
post_free(struct net_pair *pair)
{
    struct net_stage *stage = pair->stage;
    uint16_t buffers[STAGE_BUFFERS];
    uint8_t is_used[STAGE_BUFFERS] = {0};
    uint32_t i, k, count = 0;

    if (atomic_load(&stage->posted) || pair->queue == NULL ||
        atomic_load(&pair->net->parked) != 0) {
        return;
    }
    for (i = 0; i < stage->count; i++) {
        uint16_t at = stage->waiting[i].first;
        for (k = 0; k < stage->waiting[i].count; k++) {
            is_used[at] = 1;
            at = stage->next[at];
        }
    }
    for (i = 0; i < STAGE_BUFFERS; i++) {
        if (!is_used[i]) {
            buffers[count++] = (uint16_t)i;
        }
    }
    atomic_store(&stage->posted, 1);
    if (count > 0) {
        post_buffers(pair, buffers, count);
    }
}

/* --- a frame finds its pair ------------------------------------------------------------------ */

static uint64_t
ready_bytes(struct net_pair *target, uint32_t wanted, uint32_t *chains)
{
    uint32_t size = bp_virtqueue_max_size(target->rx), i;
    uint64_t bytes = 0;

    for (i = 0; i < target->ready.count && bytes < wanted; i++) {
        const struct bp_virtio_chain *chain =
            bp_virtqueue_chain(target->rx, target->ready.chains[(target->ready.head + i) % size]);
        bytes += chain != NULL ? chain->in_bytes : 0;
        if (!target->merge) {
            i++;
            break;
        }
    }
    *chains = i;
    return bytes;
}

/* Bytes [from, from + length) of a staged frame into a chain's pieces behind `skip` bytes. */
static void
copy_out(const struct net_pair *source, const struct net_staged *frame, uint32_t from,
         uint32_t length, const struct bp_virtio_chain *chain, uint32_t skip)
{
    const struct net_stage *stage = source->stage;
    uint16_t at = frame->first;
    uint32_t done = 0;

    for (; from >= STAGE_BYTES; from -= STAGE_BYTES) {
        at = stage->next[at];
    }
    while (done < length) {
        uint32_t n = bp_min_u32(length - done, STAGE_BYTES - from);
        (void)bp_net_iov_fill(chain->iov + chain->out_count, chain->in_count, skip + done,
                              (const uint8_t *)stage->iov[at].base + from, n);
        done += n;
        from = 0;
        at = stage->next[at];
    }
}

/* Copies a frame into the next ready chains. [the target's queue] */
static void
give(const struct net_pair *source, struct net_pair *target, const struct net_staged *frame,
     uint32_t chains)
{
    uint32_t size = bp_virtqueue_max_size(target->rx), done = 0, i;
    uint8_t header[NET_HDR_WITH_HASH];

    net_rx_make_header(target, &frame->offload, chains, frame->hash, frame->report, header);
    for (i = 0; i < chains; i++) {
        struct bp_virtio_chain *chain =
            bp_virtqueue_chain(target->rx, target->ready.chains[target->ready.head]);
        uint32_t skip = i == 0 ? target->header : 0, n;

        target->ready.head = (target->ready.head + 1) % size;
        target->ready.count--;
        if (chain == NULL) {
            continue;
        }
        n = bp_min_u32(frame->length - done,
                       (uint32_t)bp_min_u64(chain->in_bytes, UINT32_MAX) - skip);
        if (i == 0) {
            (void)bp_net_iov_fill(chain->iov + chain->out_count, chain->in_count, 0, header, skip);
        }
        copy_out(source, frame, done, n, chain, skip);
        done += n;
        net_coalesce_push(target, &target->rx_coalesce, chain, skip + n);
    }
}

/* Returns 0 if the frame must wait. [the target's queue] */
static int
hand_to(const struct net_pair *source, struct net_pair *target, const struct net_staged *frame)
{
    uint32_t need = frame->length + target->header, chains;
    uint64_t there;

    if (!target->is_live) {
        return 1; /* the driver has no such queue: dropped */
    }
    if (!bp_virtqueue_running(target->rx)) {
        return 0;
    }
    net_steer_run(target);
    there = ready_bytes(target, need, &chains);
    if (there >= need) {
        give(source, target, frame, chains);
        return 1;
    }
    return chains > 0 && !target->merge; /* longer than the driver's buffers: dropped */
}

/* From one pair's queue to another's; either may be NULL. */
static struct net_pair *
switch_queue(struct net_pair *from, struct net_pair *to)
{
    if (from != to && from != NULL) {
        bp_virtqueue_leave(from->rx);
    }
    if (from != to && to != NULL) {
        bp_virtqueue_enter(to->rx);
    }
    return to;
}

/* Gives waiting frames to whom they belong, in order; a pair without buffers holds up only its own.
 * On the source's loop. */
static void
hand_out(struct net_pair *source)
{
    struct net_stage *stage = source->stage;
    struct net_pair *entered = NULL;
    uint32_t blocked = 0, kept = 0, i;

    for (i = 0; i < stage->count; i++) {
        struct net_staged frame = stage->waiting[i];
        uint32_t bit = 1u << frame.target;
        int handed = 0;

        if ((blocked & bit) == 0) {
            entered = switch_queue(entered, &source->net->pair[frame.target]);
            handed = hand_to(source, entered, &frame);
        }
        if (!handed) {
            blocked |= bit;
            stage->waiting[kept++] = frame;
        } else if (atomic_load(&stage->posted)) {
            post_frame(source, &frame);
        }
    }
    (void)switch_queue(entered, NULL);
    stage->count = kept;
    atomic_store(&stage->has_waiting, kept > 0);
}

static void
look(void *opaque)
{
    struct net_pair *pair = opaque;
    struct net_stage *stage = pair->stage;

    atomic_store(&stage->looked_for, 0);
    if (stage->epoch != atomic_load(&pair->net->epoch)) {
        stage->epoch = atomic_load(&pair->net->epoch);
        stage->count = 0;
    }
    post_free(pair);
    hand_out(pair);
}

void
net_steer_wake(struct net *net)
{
    const struct bp_services *host = &net->host;

    for (uint32_t i = 0; i < net->pairs; i++) {
        struct net_stage *stage = net->pair[i].stage;
        if (atomic_exchange(&stage->looked_for, 1) == 0 &&
            host->loop->defer(host->instance, net->pair[i].loop, look, &net->pair[i]) != 0) {
            atomic_store(&stage->looked_for, 0);
        }
    }
}

/* Whether a loop has to look at its staging buffers because there is room. */
static int
somebody_waits(const struct net *net)
{
    for (uint32_t i = 0; i < net->pairs; i++) {
        struct net_pair *pair = &net->pair[i];
        if (atomic_load(&pair->stage->has_waiting) || !atomic_load(&pair->stage->posted)) {
            return 1;
        }
    }
    return 0;
}

void
net_steer_run(struct net_pair *pair)
{
    uint32_t size = bp_virtqueue_max_size(pair->rx), before = pair->ready.count;
    struct bp_virtio_chain *chain;

    /* The queue has no more chains than that: of a ring with more, pop() says that it is broken. */
    for (;;) {
        chain = bp_virtqueue_next_held(pair->rx);
        chain = chain != NULL ? chain : bp_virtqueue_pop(pair->rx);
        if (chain == NULL) {
            break;
        }
        if (!net_rx_fits(pair, chain)) {
            return;
        }
        pair->ready.chains[(pair->ready.head + pair->ready.count++) % size] = chain->index;
    }
    if (pair->ready.count != before && somebody_waits(pair->net)) {
        net_steer_wake(pair->net);
    }
}

void
net_steer_forget(struct net_pair *pair)
{
    pair->ready.head = pair->ready.count = 0;
}

/* --- what the backend brings ----------------------------------------------------------------- */

/* Fills in what the rules say of a frame. Returns 0: it is not for this guest. [pair->lock] */
static int
judge(const struct net_pair *pair, struct net_staged *frame)
{
    const struct net_rules *rules = &pair->rules;
    const struct bp_net_hash_rules hash_rules = {
        .types = rules->hash_types, .key_length = rules->key_length, .key = rules->key};
    const uint8_t *data = pair->stage->iov[frame->first].base;
    uint32_t length = bp_min_u32(frame->length, BP_NET_HEADERS_MAX);
    struct bp_net_headers headers;

    if (!net_link_up(pair->net) || !net_rules_accept(rules, data, length)) {
        return 0;
    }
    bp_net_parse(data, length, &headers);
    frame->report = (uint8_t)bp_net_hash(data, length, &headers, &hash_rules, &frame->hash);
    frame->target = !rules->spread       ? (uint16_t)pair->index
                    : frame->report != 0 ? rules->table[frame->hash & rules->table_mask]
                                         : rules->unclassified;
    return 1;
}

/* One frame of count records. Returns 0: it is dropped. [pair->lock] */
static int
stage_frame(struct net_pair *pair, const struct bp_net_received *records, uint32_t count,
            struct net_staged *frame)
{
    struct net_stage *stage = pair->stage;
    struct bp_iovec iov[STAGE_BUFFERS];
    uint16_t buffer, last = 0;
    uint32_t i;

    memset(frame, 0, sizeof(*frame));
    for (i = 0; i < count && i < STAGE_BUFFERS; i++) {
        buffer = (uint16_t)(records[i].user % STAGE_BUFFERS);
        if (i == 0) {
            frame->first = buffer;
        } else {
            stage->next[last] = buffer;
        }
        last = buffer;
        iov[i] = stage->iov[buffer];
        iov[i].length = bp_min_u32(records[i].length, STAGE_BYTES);
        frame->length += (uint32_t)iov[i].length;
        frame->count++;
    }
    frame->offload = records[0].offload;
    return judge(pair, frame) &&
           net_rx_complete(pair->net, iov, frame->count, 0, frame->length, &frame->offload);
}

void
net_steer_receive(struct net_pair *pair, const struct bp_net_received *records, uint32_t count)
{
    struct net_stage *stage = pair->stage;
    uint32_t i, buffers;

    for (i = 0; i < count; i += buffers) {
        struct net_staged frame;
        int taken;

        buffers = records[i].buffers > 0 ? bp_min_u32(records[i].buffers, count - i) : 1;
        pthread_mutex_lock(&pair->lock);
        taken = stage_frame(pair, records + i, buffers, &frame);
        pthread_mutex_unlock(&pair->lock);
        if (taken && stage->count < STAGE_BUFFERS) {
            stage->waiting[stage->count++] = frame;
        } else {
            post_frame(pair, &frame);
        }
    }
    hand_out(pair);
}
