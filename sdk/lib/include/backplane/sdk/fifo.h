/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded queue of bytes in memory of the caller's. Not thread-safe. */
#ifndef BACKPLANE_SDK_FIFO_H
#define BACKPLANE_SDK_FIFO_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bp_fifo {
    uint8_t *data;     /* capacity bytes, the caller's */
    uint32_t capacity; /* at least 1 */
    uint32_t head;     /* index of the oldest byte */
    uint32_t count;    /* bytes in it */
};

void bp_fifo_init(struct bp_fifo *fifo, uint8_t *data, uint32_t capacity);
void bp_fifo_clear(struct bp_fifo *fifo);

static inline uint32_t
bp_fifo_room(const struct bp_fifo *fifo)
{
    return fifo->capacity - fifo->count;
}

/* Returns 1, or 0 if it is full. */
int32_t bp_fifo_push(struct bp_fifo *fifo, uint8_t byte);
/* Returns the oldest byte, or -1 if it is empty. */
int32_t bp_fifo_pop(struct bp_fifo *fifo);
/* Appends as many as fit. Returns how many. */
uint32_t bp_fifo_write(struct bp_fifo *fifo, const uint8_t *data, uint32_t length);
/* Takes out up to length bytes. Returns how many. */
uint32_t bp_fifo_read(struct bp_fifo *fifo, uint8_t *data, uint32_t length);
/* The oldest bytes that lie side by side: *data and their number. bp_fifo_drop() takes them out. */
uint32_t bp_fifo_peek(const struct bp_fifo *fifo, const uint8_t **data);
/* Drops the oldest length bytes (at most what is in it). */
void bp_fifo_drop(struct bp_fifo *fifo, uint32_t length);

#ifdef __cplusplus
}
#endif

#endif
