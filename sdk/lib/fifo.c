/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded queue of bytes: see <backplane/sdk/fifo.h>. */
#include <backplane/sdk/fifo.h>

#include <string.h>

void
bp_fifo_init(struct bp_fifo *fifo, uint8_t *data, uint32_t capacity)
{
    fifo->data = data;
    fifo->capacity = capacity;
    bp_fifo_clear(fifo);
}

void
bp_fifo_clear(struct bp_fifo *fifo)
{
    fifo->head = 0;
    fifo->count = 0;
}

static uint32_t
fifo_index(const struct bp_fifo *fifo, uint32_t distance)
{
    uint32_t index = fifo->head + distance;

    return index >= fifo->capacity ? index - fifo->capacity : index;
}

int32_t
bp_fifo_push(struct bp_fifo *fifo, uint8_t byte)
{
    if (fifo->count == fifo->capacity) {
        return 0;
    }
    fifo->data[fifo_index(fifo, fifo->count)] = byte;
    fifo->count++;
    return 1;
}

int32_t
bp_fifo_pop(struct bp_fifo *fifo)
{
    uint8_t byte;

    if (fifo->count == 0) {
        return -1;
    }
    byte = fifo->data[fifo->head];
    bp_fifo_drop(fifo, 1);
    return byte;
}

uint32_t
bp_fifo_write(struct bp_fifo *fifo, const uint8_t *data, uint32_t length)
{
    uint32_t taken = length < bp_fifo_room(fifo) ? length : bp_fifo_room(fifo);
    uint32_t end = fifo_index(fifo, fifo->count);
    uint32_t first = fifo->capacity - end;

    if (taken == 0) {
        return 0;
    }
    first = taken < first ? taken : first;
    memcpy(fifo->data + end, data, first);
    memcpy(fifo->data, data + first, taken - first);
    fifo->count += taken;
    return taken;
}

uint32_t
bp_fifo_read(struct bp_fifo *fifo, uint8_t *data, uint32_t length)
{
    uint32_t done = 0;

    while (done < length && fifo->count > 0) {
        const uint8_t *run;
        uint32_t n = bp_fifo_peek(fifo, &run);
        n = n < length - done ? n : length - done;
        memcpy(data + done, run, n);
        bp_fifo_drop(fifo, n);
        done += n;
    }
    return done;
}

uint32_t
bp_fifo_peek(const struct bp_fifo *fifo, const uint8_t **data)
{
    uint32_t run = fifo->capacity - fifo->head;

    *data = fifo->data + fifo->head;
    return run < fifo->count ? run : fifo->count;
}

void
bp_fifo_drop(struct bp_fifo *fifo, uint32_t length)
{
    length = length < fifo->count ? length : fifo->count;
    fifo->head = fifo_index(fifo, length);
    fifo->count -= length;
}
