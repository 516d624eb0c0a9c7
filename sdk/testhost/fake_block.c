/* SPDX-License-Identifier: Apache-2.0 */
/* The fake block backend: a memory image with a volatile write cache, scripted errors, held
 * completions, and a check of every request. */
#include "fake_block.h"

#include <stdlib.h>
#include <string.h>

static int32_t
block_host_call(struct th_block *block)
{
    struct th_host *th = block->th;

    th->calls++;
    if (th->fail_in != 0 && --th->fail_in == 0) {
        th->fail_hit = 1;
        return th->fail_error;
    }
    return 0;
}

static int32_t
block_get_info(void *self, struct bp_block_info *info)
{
    const struct th_block *block = self;
    struct bp_block_info full = block->info;
    uint32_t size = info->size;

    full.size = size;
    full.capacity = block->no_medium ? 0 : full.capacity;
    memcpy(info, &full, size < sizeof(full) ? size : sizeof(full));
    return block->no_medium ? -ENOMEDIUM : 0;
}

static int32_t
block_queue_open(void *self, const struct bp_block_queue_args *args, void **queue)
{
    struct th_block *block = self;
    struct fake_queue *made;
    int32_t result = block_host_call(block);

    if (result < 0) {
        return result;
    }
    if (args->size < sizeof(*args) || args->flags != 0 || args->depth == 0 || args->depth > 4096 ||
        args->client == NULL || args->client->complete == NULL) {
        th_violate(block->th, "backend %s: queue_open: bad arguments", block->id);
        return -EINVAL;
    }
    if (args->loop >= block->th->loops) {
        return -ENOENT;
    }
    made = th_alloc(sizeof(*made));
    made->block = block;
    made->args = *args;
    memcpy(&made->client, args->client,
           args->client->size < sizeof(made->client) ? args->client->size : sizeof(made->client));
    made->next = block->queues;
    block->queues = made;
    *queue = made;
    return 0;
}

static struct fake_queue *
queue_check(struct th_block *block, const void *queue, const char *what)
{
    struct fake_queue *found;

    for (found = block->queues; found != NULL; found = found->next) {
        if (found == queue) {
            return found;
        }
    }
    th_violate(block->th, "backend %s: %s with a queue that is not open", block->id, what);
    return NULL;
}

static void
block_queue_close(void *self, void *queue)
{
    struct th_block *block = self;
    struct fake_queue *found = queue_check(block, queue, "queue_close");
    struct fake_queue **link = &block->queues;

    if (found == NULL) {
        return;
    }
    if (found->in_flight != 0) {
        th_violate(block->th, "backend %s: queue_close with %u requests in flight", block->id,
                   found->in_flight);
    }
    while (*link != found) {
        link = &(*link)->next;
    }
    *link = found->next;
    free(found);
}

/* --- requests -------------------------------------------------------------------------------- */

static int32_t
buffers_check(struct th_block *block, const struct bp_block_request *request)
{
    uint64_t sum = 0;
    uint32_t i;

    if (request->iov_count == 0 || request->iov_count > block->info.max_iov) {
        th_violate(block->th, "backend %s: %u pieces, at most %u are allowed", block->id,
                   request->iov_count, block->info.max_iov);
        return -EINVAL;
    }
    for (i = 0; i < request->iov_count; i++) {
        sum += request->iov[i].length;
        if (!th_is_shareable(block->th, request->iov[i].base, request->iov[i].length)) {
            th_violate(block->th, "backend %s: a buffer is neither guest RAM nor arena", block->id);
            return -EINVAL;
        }
    }
    if (sum != request->length) {
        th_violate(block->th, "backend %s: pieces of %llu bytes for a request of %llu", block->id,
                   (unsigned long long)sum, (unsigned long long)request->length);
        return -EINVAL;
    }
    return 0;
}

static int32_t
request_check(struct th_block *block, const struct bp_block_request *request)
{
    uint32_t allowed = request->op == BP_BLOCK_WRITE          ? BP_BLOCK_FUA
                       : request->op == BP_BLOCK_WRITE_ZEROES ? BP_BLOCK_FUA | BP_BLOCK_UNMAP
                                                              : 0;

    if (request->op < BP_BLOCK_READ || request->op > BP_BLOCK_WRITE_ZEROES ||
        (request->flags & ~allowed) != 0 || request->reserved != 0 || request->reserved2[0] != 0 ||
        request->reserved2[1] != 0) {
        th_violate(block->th, "backend %s: op %u, flags %x or reserved fields are wrong", block->id,
                   request->op, request->flags);
        return -EINVAL;
    }
    if (request->op == BP_BLOCK_FLUSH) {
        return 0;
    }
    if (request->offset % block->info.block_size != 0 ||
        request->length % block->info.block_size != 0 || request->length == 0) {
        th_violate(block->th, "backend %s: offset or length is no multiple of %u", block->id,
                   block->info.block_size);
        return -EINVAL;
    }
    if (request->length > block->info.capacity ||
        request->offset > block->info.capacity - request->length) {
        return -EINVAL; /* a guest may try that; the backend says no */
    }
    if (request->op == BP_BLOCK_DISCARD || request->op == BP_BLOCK_WRITE_ZEROES) {
        return 0;
    }
    if (request->length > block->info.max_transfer) {
        th_violate(block->th, "backend %s: a transfer above max_transfer", block->id);
        return -EINVAL;
    }
    return buffers_check(block, request);
}

static void
copy_pieces(uint8_t *image, const struct bp_block_request *request, uint32_t is_write)
{
    uint32_t i;

    image += request->offset;
    for (i = 0; i < request->iov_count; i++) {
        if (is_write) {
            memcpy(image, request->iov[i].base, request->iov[i].length);
        } else {
            memcpy(request->iov[i].base, image, request->iov[i].length);
        }
        image += request->iov[i].length;
    }
}

static int32_t
request_do(struct th_block *block, const struct bp_block_request *request)
{
    int32_t result = request_check(block, request);

    if (result < 0) {
        return result;
    }
    if (block->no_medium) {
        return -ENOMEDIUM;
    }
    if (request->op != BP_BLOCK_READ && request->op != BP_BLOCK_FLUSH &&
        (block->info.flags & BP_BLOCK_READONLY)) {
        return -EROFS;
    }
    switch (request->op) {
    case BP_BLOCK_READ:
        copy_pieces(block->data, request, 0);
        return 0;
    case BP_BLOCK_WRITE:
        copy_pieces(block->data, request, 1);
        break;
    case BP_BLOCK_FLUSH:
        memcpy(block->durable, block->data, block->room);
        return 0;
    case BP_BLOCK_DISCARD:
        if (!(block->info.flags & BP_BLOCK_CAN_DISCARD)) {
            return -EOPNOTSUPP;
        }
        memset(block->data + request->offset, 0, request->length);
        break;
    default:
        memset(block->data + request->offset, 0, request->length);
        break;
    }
    if ((request->flags & BP_BLOCK_FUA) || !(block->info.flags & BP_BLOCK_WRITE_CACHE)) {
        memcpy(block->durable + request->offset, block->data + request->offset, request->length);
    }
    return 0;
}

static uint32_t
log_request(struct th_block *block, const struct bp_block_request *request)
{
    struct th_block_op *op;

    if (block->log_count == block->log_room) {
        struct th_block_op *log;
        block->log_room = block->log_room == 0 ? 64 : block->log_room * 2;
        log = th_alloc(block->log_room * sizeof(*log));
        if (block->log_count > 0) {
            memcpy(log, block->log, block->log_count * sizeof(*log));
        }
        free(block->log);
        block->log = log;
    }
    op = &block->log[block->log_count];
    op->op = request->op;
    op->flags = request->flags;
    op->offset = request->offset;
    op->length = request->length;
    op->status = 1;
    return block->log_count++;
}

static void
take(struct fake_queue *queue, const struct bp_block_request *request)
{
    struct th_block *block = queue->block;
    struct flight *flight = th_alloc(sizeof(*flight));
    struct flight **end = &block->flights;

    for (; *end != NULL; end = &(*end)->next) {
        if ((*end)->queue == queue && (*end)->request.user == request->user) {
            th_violate(block->th, "backend %s: two requests in flight with user %llu", block->id,
                       (unsigned long long)request->user);
        }
    }
    flight->request = *request;
    flight->queue = queue;
    flight->log_index = log_request(block, request);
    *end = flight;
    queue->in_flight++;
}

static int32_t
block_submit(void *self, void *queue, const struct bp_block_request *requests, uint32_t count)
{
    struct th_block *block = self;
    struct fake_queue *found = queue_check(block, queue, "submit");
    uint32_t i;

    if (found == NULL || count == 0) {
        th_violate(block->th, "backend %s: submit of nothing", block->id);
        return -EINVAL;
    }
    block->submits++;
    for (i = 0; i < count && found->in_flight < found->args.depth; i++) {
        take(found, &requests[i]);
    }
    return (int32_t)i;
}

static int32_t
scripted_status(struct th_block *block, uint32_t op, uint32_t *flags)
{
    struct script **link = &block->scripts;
    int32_t status = 0;

    while (*link != NULL) {
        struct script *script = *link;
        int matches = script->op == 0 || script->op == op;
        if (matches && script->skip == 0 && status == 0) {
            status = script->status;
            *flags = script->flags;
            *link = script->next;
            free(script);
            continue;
        }
        if (matches && script->skip > 0) {
            script->skip--;
        }
        link = &script->next;
    }
    return status;
}

void
th_block_finish(struct th_block *block, struct flight **link, int cancelled)
{
    struct flight *flight = *link;
    struct fake_queue *queue = flight->queue;
    struct bp_block_completion completion = {.user = flight->request.user};

    *link = flight->next;
    completion.status =
        cancelled ? -ECANCELED : scripted_status(block, flight->request.op, &completion.flags);
    if (completion.status == 0) {
        completion.status = request_do(block, &flight->request);
    }
    block->log[flight->log_index].status = completion.status;
    queue->in_flight--;
    free(flight);
    queue->client.complete(queue->args.opaque, &completion, 1);
}

static void
block_cancel(void *self, void *queue, uint64_t user)
{
    struct th_block *block = self;
    struct flight *flight;

    /* A held request stays held; it ends with -ECANCELED when it is its turn. */
    for (flight = block->flights; flight != NULL; flight = flight->next) {
        if (flight->queue == queue && (user == UINT64_MAX || flight->request.user == user)) {
            flight->request.op |= 0x80000000u;
        }
    }
}

static void
block_drain(void *self, void *queue)
{
    struct th_block *block = self;
    struct flight **link = &block->flights;
    enum th_context before;

    if (block->th->context != TH_IN_CONTROL) {
        th_violate(block->th, "backend %s: drain is [control]", block->id);
    }
    before = th_enter(block->th, TH_IN_LOOP);
    while (*link != NULL) {
        if ((*link)->queue == queue) {
            th_block_finish(block, link, (int)((*link)->request.op >> 31));
            link = &block->flights;
        } else {
            link = &(*link)->next;
        }
    }
    th_leave(block->th, before);
}

static int32_t
block_resize(void *self, uint64_t capacity)
{
    struct th_block *block = self;

    if (capacity > block->room) {
        return -ENOSPC;
    }
    block->info.capacity = capacity;
    th_block_send_event(block, BP_BLOCK_EVENT_RESIZED);
    return 0;
}

const struct bp_block_ops th_fake_block_ops = {
    .size = sizeof(struct bp_block_ops),
    .info = block_get_info,
    .queue_open = block_queue_open,
    .queue_close = block_queue_close,
    .submit = block_submit,
    .cancel = block_cancel,
    .drain = block_drain,
    .resize = block_resize,
};
