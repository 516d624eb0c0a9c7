/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/machine_identity.h"

#include "base/error.h"
#include "machine/machine_private.h"
#include "plugin/args.h"

#include <errno.h>
#include <string.h>

#define END_BYTES   65536u
#define PATIENCE_US (INT64_C(5) * G_USEC_PER_SEC) /* for one read; then it is cancelled */
#define ARENA       UINT32_MAX                    /* no plugin's: theirs are small numbers */

typedef struct {
    GMutex lock; /* protects: is_ended, status */
    GCond ended;
    bool is_ended;
    int32_t status;
} Read;

static void
read_ended(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    Read *read = opaque;

    if (count > 0) {
        g_mutex_lock(&read->lock);
        read->is_ended = true;
        read->status = completions[0].status;
        g_cond_signal(&read->ended);
        g_mutex_unlock(&read->lock);
    }
}

static bool
wait_for_end(Read *read)
{
    gint64 deadline = g_get_monotonic_time() + PATIENCE_US;
    bool is_ended;

    g_mutex_lock(&read->lock);
    while (!read->is_ended && g_cond_wait_until(&read->ended, &read->lock, deadline)) {
    }
    is_ended = read->is_ended;
    g_mutex_unlock(&read->lock);
    return is_ended;
}

/* One read through a queue of our own. In the test protocol the loops are the control thread's, and
 * drain() lets them run. */
static int32_t
read_at(const Machine *machine, const struct bp_block_ops *ops, void *self, uint64_t offset,
        const struct bp_iovec *into)
{
    const struct bp_block_client client = {.size = sizeof(client), .complete = read_ended};
    Read read = {.status = -EIO};
    const struct bp_block_queue_args args = {
        .size = sizeof(args),
        .depth = 1,
        .client = &client,
        .opaque = &read,
    };
    const struct bp_block_request request = {
        .op = BP_BLOCK_READ,
        .offset = offset,
        .length = into->length,
        .iov = into,
        .iov_count = 1,
    };
    void *queue = NULL;
    int32_t result = ops->queue_open(self, &args, &queue);

    if (result < 0) {
        return result;
    }
    g_mutex_init(&read.lock);
    g_cond_init(&read.ended);
    if (ops->submit(self, queue, &request, 1) == 1 && !machine->args.test && !wait_for_end(&read) &&
        ops->cancel != NULL) {
        ops->cancel(self, queue, UINT64_MAX);
    }
    ops->drain(self, queue);
    ops->queue_close(self, queue);
    g_mutex_clear(&read.lock);
    g_cond_clear(&read.ended);
    return read.status;
}

typedef struct {
    uint64_t capacity;
    uint64_t length; /* of each end */
    uint8_t *ends;   /* in the backend's arena: both, one after the other */
} Identity;

static int32_t
read_ends(const Machine *machine, Instance *backend, Identity *identity)
{
    struct bp_block_info info = {.size = sizeof(info)};
    struct bp_block_ops ops;
    struct bp_iovec into;
    void *memory = NULL;
    int32_t result;

    if (table_copy(&ops, sizeof(ops), instance_query(backend, BP_BLOCK_ID)) != 0 ||
        ops.info == NULL || ops.queue_open == NULL || ops.submit == NULL || ops.drain == NULL ||
        ops.queue_close == NULL) {
        return -ENOTBLK;
    }
    result = ops.info(backend->self, &info);
    if (result == 0) {
        result = host_memory.arena_alloc(backend, ARENA, (uint64_t)2 * END_BYTES, 4096, &memory);
    }
    if (result != 0 || memory == NULL) {
        return result < 0 ? result : -ENOMEM;
    }
    identity->ends = memory;
    identity->capacity = info.capacity;
    identity->length = MIN(info.capacity, END_BYTES);
    into = (struct bp_iovec){identity->ends, identity->length};
    result = identity->length > 0 ? read_at(machine, &ops, backend->self, 0, &into) : 0;
    into.base = identity->ends + identity->length;
    if (result == 0 && identity->length > 0) {
        result =
            read_at(machine, &ops, backend->self, identity->capacity - identity->length, &into);
    }
    return result;
}

static bool
must_read_ends(const Machine *machine, Instance *backend, Identity *identity, GError **error)
{
    int32_t result = read_ends(machine, backend, identity);

    if (result == -ENOTBLK) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_UNSUPPORTED,
                    "\"%s\" is no disk that could be told from another: leave verify=id out",
                    backend->id);
    } else if (result < 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "cannot read \"%s\" to compare it: %s",
                    backend->id, g_strerror(-result));
    }
    return result == 0;
}

bool
machine_same_disk(Machine *machine, Instance *one, Instance *other, GError **error)
{
    Identity first = {.ends = NULL}, second = {.ends = NULL};
    bool is_read = must_read_ends(machine, one, &first, error) &&
                   must_read_ends(machine, other, &second, error);
    bool is_same = is_read && first.capacity == second.capacity &&
                   memcmp(first.ends, second.ends, 2 * first.length) == 0;

    if (is_read && !is_same) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_STATE,
                    "\"%s\" and \"%s\" do not hold the same disk: their first and last %u KiB "
                    "differ; without verify=id any is taken",
                    one->id, other->id, END_BYTES / 1024);
    }
    host_memory.arena_free(one, ARENA);
    host_memory.arena_free(other, ARENA);
    return is_same;
}
