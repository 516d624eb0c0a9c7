/* SPDX-License-Identifier: Apache-2.0 */
/* What a test does with the fake block backend. */
#include "fake_block.h"

#include <stdlib.h>
#include <string.h>

static void
tell_oldest_event(struct th_block *block)
{
    struct fake_queue *queue;
    uint32_t event = block->events[0];

    memmove(block->events, block->events + 1, sizeof(block->events) - sizeof(event));
    block->event_count--;
    for (queue = block->queues; queue != NULL; queue = queue->next) {
        if (queue->client.event != NULL) {
            queue->client.event(queue->args.opaque, event);
        }
    }
}

static int
block_run(void *self)
{
    struct th_block *block = self;
    uint32_t i;

    if (block->event_count > 0) {
        tell_oldest_event(block);
        return 1;
    }
    if (block->hold || block->flights == NULL) {
        return 0;
    }
    for (i = 0; block->flights != NULL && i < 64; i++) {
        th_block_finish(block, &block->flights, (int)(block->flights->request.op >> 31));
    }
    return 1;
}

static void
block_free(void *self)
{
    struct th_block *block = self;

    while (block->flights != NULL) {
        struct flight *flight = block->flights;
        block->flights = flight->next;
        free(flight);
    }
    while (block->scripts != NULL) {
        struct script *script = block->scripts;
        block->scripts = script->next;
        free(script);
    }
    while (block->queues != NULL) {
        struct fake_queue *queue = block->queues;
        block->queues = queue->next;
        free(queue);
    }
    free(block->data);
    free(block->durable);
    free(block->log);
    free(block->id);
    free(block);
}

static int
block_busy(void *self)
{
    return ((struct th_block *)self)->queues != NULL;
}

struct th_block *
th_block_new(struct th_host *th, const char *id, uint64_t capacity)
{
    struct th_block *block = th_alloc(sizeof(*block));
    struct th_backend backend = {.interface_id = BP_BLOCK_ID,
                                 .table = &th_fake_block_ops,
                                 .self = block,
                                 .run = block_run,
                                 .free = block_free,
                                 .busy = block_busy};

    block->th = th;
    block->id = th_strdup(id);
    block->room = capacity;
    block->data = th_alloc(capacity);
    block->durable = th_alloc(capacity);
    block->info.size = sizeof(block->info);
    block->info.flags = BP_BLOCK_WRITE_CACHE | BP_BLOCK_CAN_DISCARD | BP_BLOCK_CAN_ZERO |
                        BP_BLOCK_CAN_FUA | BP_BLOCK_CAN_RESIZE;
    block->info.capacity = capacity;
    block->info.block_size = 512;
    block->info.physical_block_size = 4096;
    block->info.buffer_alignment = 1;
    block->info.max_transfer = 1 << 20;
    block->info.max_iov = 128;
    block->info.discard_granularity = 4096;
    block->info.max_discard = 1 << 30;
    block->info.generation = 1;
    backend.id = block->id;
    th_add_backend(th, &backend);
    return block;
}

uint8_t *
th_block_data(struct th_block *block)
{
    return block->data;
}

const uint8_t *
th_block_durable(struct th_block *block)
{
    return block->durable;
}

void
th_block_crash(struct th_block *block)
{
    memcpy(block->data, block->durable, block->room);
}

struct bp_block_info *
th_block_info(struct th_block *block)
{
    return &block->info;
}

void
th_block_set_medium(struct th_block *block, int present)
{
    block->no_medium = !present;
    block->info.generation++;
    th_block_send_event(block, BP_BLOCK_EVENT_MEDIA);
}

void
th_block_send_event(struct th_block *block, uint32_t event)
{
    if (block->event_count < sizeof(block->events) / sizeof(block->events[0])) {
        block->events[block->event_count++] = event;
    }
}

void
th_block_fail(struct th_block *block, uint32_t op, uint32_t skip, int32_t status, uint32_t flags)
{
    struct script **end = &block->scripts;
    struct script *script;

    while (status == 0 && *end != NULL) {
        script = *end;
        *end = script->next;
        free(script);
    }
    if (status == 0) {
        return;
    }
    script = th_alloc(sizeof(*script));
    script->op = op;
    script->skip = skip;
    script->status = status;
    script->flags = flags;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = script;
}

void
th_block_hold(struct th_block *block, int hold)
{
    block->hold = hold;
}

void
th_block_release(struct th_block *block, uint32_t count, int reverse)
{
    while (count-- > 0 && block->flights != NULL) {
        struct flight **link = &block->flights;
        enum th_context before;
        while (reverse && (*link)->next != NULL) {
            link = &(*link)->next;
        }
        before = th_enter(block->th, TH_IN_LOOP);
        th_block_finish(block, link, (int)((*link)->request.op >> 31));
        th_leave(block->th, before);
    }
    th_run(block->th);
}

uint32_t
th_block_in_flight(struct th_block *block)
{
    const struct flight *flight;
    uint32_t count = 0;

    for (flight = block->flights; flight != NULL; flight = flight->next) {
        count++;
    }
    return count;
}

const struct th_block_op *
th_block_log(struct th_block *block, uint32_t *count)
{
    *count = block->log_count;
    return block->log;
}

void
th_block_log_clear(struct th_block *block)
{
    uint32_t kept = 0;
    struct flight *flight;

    /* What is in flight keeps its entry. */
    for (flight = block->flights; flight != NULL; flight = flight->next) {
        block->log[kept] = block->log[flight->log_index];
        flight->log_index = kept++;
    }
    block->log_count = kept;
}

uint32_t
th_block_submits(struct th_block *block)
{
    return block->submits;
}
