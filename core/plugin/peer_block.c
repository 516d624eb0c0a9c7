/* SPDX-License-Identifier: Apache-2.0 */
/* bp.block/1 for a device: what goes through is counted. For a SERIAL one completions and events
 * come under its lock, and drain() lets go of that lock while it waits for them.
 *
 * Each counter has one writer: submit() calls for a queue never overlap, completions come from the
 * queue's loop. So counting is a load and a store; whoever asks adds up the queues. */
#include "base/device_call.h"
#include "plugin/args.h"
#include "plugin/peer.h"
#include "plugin/peer_block_times.h"

#include <errno.h>
#include <stdatomic.h>

typedef struct {
    struct bp_block_ops ops; /* the consumer's table */
    const struct bp_block_ops *below;
    void *below_self;
    Instance *consumer;
    GPtrArray *queues;         /* BlockQueue*, open now; [control] */
    PeerBlockStats closed;     /* of those that were closed */
    PeerBlockLatency *latency; /* NULL: nobody asks; changed at rest */
    PeerBlockTimes closed_times;
} BlockShim;

typedef struct {
    _Atomic uint64_t operations[PEER_BLOCK_OPS], bytes[PEER_BLOCK_OPS]; /* by submit() */
    _Atomic uint64_t completed, failed;                                 /* by complete() */
} BlockCounters;

typedef struct {
    BlockShim *shim;
    void *below;
    struct bp_block_client client;
    void *opaque;
    uint32_t depth;
    BlockTimes *times; /* NULL: nobody asks; changed at rest */
    BlockCounters counters;
} BlockQueue;

static void
count(_Atomic uint64_t *counter, uint64_t amount)
{
    uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, old + amount, memory_order_relaxed);
}

static uint64_t
counted(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void
add_counters(PeerBlockStats *stats, const BlockCounters *counters)
{
    unsigned i;

    for (i = 0; i < PEER_BLOCK_OPS; i++) {
        stats->operations[i] += counted(&counters->operations[i]);
        stats->bytes[i] += counted(&counters->bytes[i]);
    }
    stats->completed += counted(&counters->completed);
    stats->failed += counted(&counters->failed);
}

void
peer_block_shim_stats(const PeerShim *given, PeerBlockStats *stats)
{
    const BlockShim *shim = given->self;
    guint i;

    *stats = shim->closed;
    for (i = 0; i < shim->queues->len; i++) {
        const BlockQueue *queue = shim->queues->pdata[i];
        add_counters(stats, &queue->counters);
    }
}

/* The thread is a loop's and inside no device, or inside this one in drain(), which has let go. */
static void
enter(Instance *consumer, DeviceCall *call)
{
    if (consumer->loop_lock != NULL) {
        device_call_enter_always(call, consumer->loop_lock);
    }
}

static void
leave(Instance *consumer, DeviceCall *call)
{
    if (consumer->loop_lock != NULL) {
        device_call_leave(call);
    }
}

static void
let_go(Instance *consumer)
{
    if (consumer->loop_lock != NULL) {
        g_mutex_unlock(consumer->loop_lock);
    }
}

static void
take_again(Instance *consumer)
{
    if (consumer->loop_lock != NULL) {
        g_mutex_lock(consumer->loop_lock);
    }
}

/* In pieces, under the consumer's own numbers. */
static void
complete_timed(BlockQueue *queue, const struct bp_block_completion *completions, uint32_t number)
{
    struct bp_block_completion own[BLOCK_TIMES_CHUNK];

    while (number > 0) {
        uint32_t piece = MIN(number, BLOCK_TIMES_CHUNK);
        block_times_end(queue->times, completions, piece, queue->shim->latency, own);
        queue->client.complete(queue->opaque, own, piece);
        completions += piece;
        number -= piece;
    }
}

static void
queue_complete(void *opaque, const struct bp_block_completion *completions, uint32_t number)
{
    BlockQueue *queue = opaque;
    uint32_t i, failed = 0;
    DeviceCall call;

    for (i = 0; i < number; i++) {
        failed += completions[i].status < 0;
    }
    count(&queue->counters.completed, number);
    if (failed != 0) {
        count(&queue->counters.failed, failed);
    }
    enter(queue->shim->consumer, &call);
    if (queue->times != NULL) {
        complete_timed(queue, completions, number);
    } else {
        queue->client.complete(queue->opaque, completions, number);
    }
    leave(queue->shim->consumer, &call);
}

static void
queue_event(void *opaque, uint32_t event)
{
    BlockQueue *queue = opaque;
    DeviceCall call;

    enter(queue->shim->consumer, &call);
    queue->client.event(queue->opaque, event);
    leave(queue->shim->consumer, &call);
}

static int32_t
shim_info(void *self, struct bp_block_info *info)
{
    const BlockShim *shim = self;

    return shim->below->info(shim->below_self, info);
}

static int32_t
shim_queue_open(void *self, const struct bp_block_queue_args *given, void **queue_out)
{
    BlockShim *shim = self;
    struct bp_block_queue_args args;
    struct bp_block_client client = {.size = sizeof(client)};
    BlockQueue *queue;
    int result = args_copy(&args, sizeof(args), given);

    if (result != 0) {
        return result;
    }
    queue = g_new0(BlockQueue, 1);
    queue->shim = shim;
    queue->opaque = args.opaque;
    queue->depth = args.depth;
    if (table_copy(&queue->client, sizeof(queue->client), args.client) != 0 ||
        queue->client.complete == NULL) {
        g_free(queue);
        return -EINVAL;
    }
    client.complete = queue_complete;
    client.event = queue->client.event != NULL ? queue_event : NULL;
    args.size = sizeof(args);
    args.client = &client;
    args.opaque = queue;
    result = shim->below->queue_open(shim->below_self, &args, &queue->below);
    if (result != 0) {
        g_free(queue);
        return result;
    }
    if (shim->latency != NULL) {
        queue->times = block_times_new(queue->depth);
    }
    g_ptr_array_add(shim->queues, queue);
    *queue_out = queue;
    return 0;
}

/* The lock is the caller's by the SERIAL rule; a completion on its way needs it. */
static void
shim_drain(void *self, void *opaque)
{
    const BlockShim *shim = self;
    const BlockQueue *queue = opaque;

    let_go(shim->consumer);
    shim->below->drain(shim->below_self, queue->below);
    take_again(shim->consumer);
}

static void
shim_queue_close(void *self, void *opaque)
{
    BlockShim *shim = self;
    BlockQueue *queue = opaque;

    let_go(shim->consumer);
    shim->below->queue_close(shim->below_self, queue->below);
    take_again(shim->consumer);
    add_counters(&shim->closed, &queue->counters);
    if (queue->times != NULL) {
        block_times_add(queue->times, &shim->closed_times);
        block_times_free(queue->times);
    }
    (void)g_ptr_array_remove(shim->queues, queue);
    g_free(queue);
}

/* A piece at a time, under numbers of ours, until the backend takes no more. */
static int32_t
submit_timed(const BlockShim *shim, BlockQueue *queue, const struct bp_block_request *requests,
             uint32_t number)
{
    struct bp_block_request own[BLOCK_TIMES_CHUNK];
    uint32_t done = 0, piece, all;

    do {
        int32_t taken;
        all = MIN(number - done, BLOCK_TIMES_CHUNK);
        piece = block_times_begin(queue->times, requests + done, all, own);
        taken = piece > 0 ? shim->below->submit(shim->below_self, queue->below, own, piece) : 0;
        if (taken < 0) {
            block_times_undo(queue->times, own, piece);
            return done > 0 ? (int32_t)done : taken;
        }
        block_times_undo(queue->times, own + taken, piece - (uint32_t)taken);
        done += (uint32_t)taken;
        piece = (uint32_t)taken;
    } while (piece == all && done < number);
    return (int32_t)done;
}

static int32_t
shim_submit(void *self, void *opaque, const struct bp_block_request *requests, uint32_t number)
{
    const BlockShim *shim = self;
    BlockQueue *queue = opaque;
    int32_t taken = queue->times != NULL
                        ? submit_timed(shim, queue, requests, number)
                        : shim->below->submit(shim->below_self, queue->below, requests, number);
    int32_t i;

    for (i = 0; i < taken; i++) {
        uint32_t op = requests[i].op < PEER_BLOCK_OPS ? requests[i].op : 0;
        count(&queue->counters.operations[op], 1);
        count(&queue->counters.bytes[op], requests[i].length);
    }
    return taken;
}

static void
shim_cancel(void *self, void *opaque, uint64_t user)
{
    const BlockShim *shim = self;
    const BlockQueue *queue = opaque;

    if (queue->times != NULL && user != UINT64_MAX) {
        user = block_times_find(queue->times, user);
        if (user == UINT64_MAX) {
            return; /* it has ended */
        }
    }
    shim->below->cancel(shim->below_self, queue->below, user);
}

static int32_t
shim_resize(void *self, uint64_t capacity)
{
    const BlockShim *shim = self;

    return shim->below->resize(shim->below_self, capacity);
}

static void
free_shim(gpointer data)
{
    BlockShim *shim = data;

    g_ptr_array_free(shim->queues, TRUE);
    g_free(shim->latency);
    g_free(shim);
}

void
peer_block_shim(PeerShim *out, Instance *consumer, const struct bp_block_ops *below,
                void *below_self)
{
    BlockShim *shim = g_new0(BlockShim, 1);

    shim->consumer = consumer;
    shim->queues = g_ptr_array_new();
    shim->below = below;
    shim->below_self = below_self;
    shim->ops = (struct bp_block_ops){
        .size = sizeof(shim->ops),
        .info = shim_info,
        .queue_open = shim_queue_open,
        .queue_close = shim_queue_close,
        .submit = shim_submit,
        .cancel = below->cancel != NULL ? shim_cancel : NULL,
        .drain = shim_drain,
        .resize = below->resize != NULL ? shim_resize : NULL,
    };
    out->table = &shim->ops;
    out->self = shim;
    out->free_self = free_shim;
}

/* --- for whoever looks --------------------------------------------------------------------------
 */

unsigned
peer_block_shim_queues(const PeerShim *given, PeerBlockStats *stats, unsigned max)
{
    const BlockShim *shim = given->self;
    guint i;

    for (i = 0; i < shim->queues->len && i < max; i++) {
        const BlockQueue *queue = shim->queues->pdata[i];
        stats[i] = (PeerBlockStats){.failed = 0};
        add_counters(&stats[i], &queue->counters);
    }
    return i;
}

void
peer_block_shim_set_latency(const PeerShim *given, const PeerBlockLatency *latency)
{
    BlockShim *shim = given->self;
    guint i;

    g_free(shim->latency);
    shim->latency = latency != NULL ? g_memdup2(latency, sizeof(*latency)) : NULL;
    shim->closed_times = (PeerBlockTimes){.total_ns = {0}};
    for (i = 0; i < shim->queues->len; i++) {
        BlockQueue *queue = shim->queues->pdata[i];
        g_clear_pointer(&queue->times, block_times_free);
        queue->times = latency != NULL ? block_times_new(queue->depth) : NULL;
    }
}

const PeerBlockLatency *
peer_block_shim_latency(const PeerShim *given, PeerBlockTimes *times)
{
    const BlockShim *shim = given->self;
    guint i;

    *times = shim->closed_times;
    for (i = 0; i < shim->queues->len && shim->latency != NULL; i++) {
        const BlockQueue *queue = shim->queues->pdata[i];
        block_times_add(queue->times, times);
    }
    return shim->latency;
}
