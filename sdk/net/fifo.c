/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded line of copied frames: see <backplane/sdk/net.h>. */
#include <backplane/sdk/net.h>

#include <stdlib.h>
#include <string.h>

/* An entry lies in one piece. One that would cross the end of the memory begins at its start, and a
 * mark stands for the bytes left over. */
struct entry {
    uint32_t length; /* SKIP: nothing more up to the end */
    uint32_t reserved;
    struct bp_net_offload offload;
};

#define SKIP UINT32_MAX

static uint32_t
entry_size(uint32_t length)
{
    return (uint32_t)((sizeof(struct entry) + length + 7) & ~7u);
}

int32_t
bp_net_fifo_init(struct bp_net_fifo *fifo, uint32_t capacity)
{
    memset(fifo, 0, sizeof(*fifo));
    fifo->memory = malloc(capacity);
    fifo->capacity = capacity;
    return fifo->memory != NULL ? 0 : -ENOMEM;
}

void
bp_net_fifo_done(struct bp_net_fifo *fifo)
{
    free(fifo->memory);
    fifo->memory = NULL;
}

void
bp_net_fifo_clear(struct bp_net_fifo *fifo)
{
    fifo->head = fifo->tail = fifo->count = 0;
}

/* Bytes that an entry costs now, with those left over at the end. */
static uint32_t
cost(const struct bp_net_fifo *fifo, uint32_t length)
{
    uint32_t at = fifo->tail & (fifo->capacity - 1);
    uint32_t size = entry_size(length), left = fifo->capacity - at;

    return size <= left ? size : left + size;
}

int
bp_net_fifo_fits(const struct bp_net_fifo *fifo, uint32_t length)
{
    return length <= BP_NET_MAX_FRAME &&
           cost(fifo, length) <= fifo->capacity - (fifo->tail - fifo->head);
}

int
bp_net_fifo_push(struct bp_net_fifo *fifo, const void *data, uint32_t length,
                 const struct bp_net_offload *offload)
{
    uint32_t at = fifo->tail & (fifo->capacity - 1), size = entry_size(length);
    struct entry *entry;

    if (!bp_net_fifo_fits(fifo, length)) {
        return 0;
    }
    if (size > fifo->capacity - at) {
        uint32_t skip = SKIP;
        memcpy(fifo->memory + at, &skip, sizeof(skip));
        fifo->tail += fifo->capacity - at;
        at = 0;
    }
    entry = (struct entry *)(void *)(fifo->memory + at); /* aligned: sizes are multiples of 8 */
    memset(entry, 0, sizeof(*entry));
    entry->length = length;
    if (offload != NULL) {
        entry->offload = *offload;
    }
    memcpy(entry + 1, data, length);
    fifo->tail += size;
    fifo->count++;
    return 1;
}

static const struct entry *
oldest(const struct bp_net_fifo *fifo, uint32_t *skipped)
{
    uint32_t at = fifo->head & (fifo->capacity - 1);
    const struct entry *entry = (const struct entry *)(const void *)(fifo->memory + at);
    uint32_t length;

    memcpy(&length, entry, sizeof(length));
    *skipped = length == SKIP ? fifo->capacity - at : 0;
    return length == SKIP ? (const struct entry *)(const void *)fifo->memory : entry;
}

const uint8_t *
bp_net_fifo_peek(const struct bp_net_fifo *fifo, uint32_t *length, struct bp_net_offload *offload)
{
    const struct entry *entry;
    uint32_t skipped;

    if (fifo->count == 0) {
        return NULL;
    }
    entry = oldest(fifo, &skipped);
    *length = entry->length;
    if (offload != NULL) {
        *offload = entry->offload;
    }
    return (const uint8_t *)(entry + 1);
}

void
bp_net_fifo_pop(struct bp_net_fifo *fifo)
{
    const struct entry *entry;
    uint32_t skipped;

    if (fifo->count > 0) {
        entry = oldest(fifo, &skipped);
        fifo->head += skipped + entry_size(entry->length);
        fifo->count--;
    }
}

uint32_t
bp_net_fifo_drain(struct bp_net_fifo *fifo, struct bp_net_queue *queue)
{
    const uint8_t *data;
    struct bp_net_offload offload;
    uint32_t length, moved;

    do {
        moved = 0;
        while ((data = bp_net_fifo_peek(fifo, &length, &offload)) != NULL &&
               bp_net_rx_copy(queue, data, length, &offload) != 0) {
            bp_net_fifo_pop(fifo);
            moved++;
        }
        bp_net_rx_deliver(queue); /* may post more */
    } while (data != NULL && moved > 0 && bp_net_queue_posted(queue) > 0);
    return fifo->count;
}
