/* SPDX-License-Identifier: Apache-2.0 */
/* What a PS/2 device has to send: replies to commands go before scan codes and movement, and always
 * fit (a command clears the replies of the one before). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PS2_REPLY_MAX 8u
#define PS2_DATA_MAX  16u /* the buffer of a real keyboard */

typedef struct {
    uint8_t replies[PS2_REPLY_MAX];
    uint8_t data[PS2_DATA_MAX];
    unsigned reply_head, reply_count;
    unsigned data_head, data_count;
    uint8_t last; /* what FEh (resend) asks for */
} Ps2Fifo;

static inline unsigned
ps2_fifo_room(const Ps2Fifo *fifo)
{
    return PS2_DATA_MAX - fifo->data_count;
}

static inline void
ps2_fifo_put(Ps2Fifo *fifo, uint8_t value)
{
    if (fifo->data_count < PS2_DATA_MAX) {
        fifo->data[(fifo->data_head + fifo->data_count++) % PS2_DATA_MAX] = value;
    }
}

static inline void
ps2_fifo_reply(Ps2Fifo *fifo, uint8_t value)
{
    if (fifo->reply_count < PS2_REPLY_MAX) {
        fifo->replies[(fifo->reply_head + fifo->reply_count++) % PS2_REPLY_MAX] = value;
    }
}

static inline void
ps2_fifo_drop_replies(Ps2Fifo *fifo)
{
    fifo->reply_count = 0;
}

static inline void
ps2_fifo_drop_data(Ps2Fifo *fifo)
{
    fifo->data_count = 0;
}

static inline bool
ps2_fifo_get(Ps2Fifo *fifo, uint8_t *value)
{
    if (fifo->reply_count > 0) {
        *value = fifo->replies[fifo->reply_head];
        fifo->reply_head = (fifo->reply_head + 1) % PS2_REPLY_MAX;
        fifo->reply_count--;
    } else if (fifo->data_count > 0) {
        *value = fifo->data[fifo->data_head];
        fifo->data_head = (fifo->data_head + 1) % PS2_DATA_MAX;
        fifo->data_count--;
    } else {
        return false;
    }
    fifo->last = *value;
    return true;
}
