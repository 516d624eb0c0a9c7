/* SPDX-License-Identifier: Apache-2.0 */
#include "iov.h"

#include <string.h>

uint32_t
iov_window(const struct iov_cursor *cursor, struct iovec *out, uint32_t max)
{
    uint64_t used = cursor->offset;
    uint32_t i, count = 0;

    for (i = 0; i < cursor->count && count < max; i++) {
        if (cursor->iov[i].length >
            used) { /* a transfer of empty records would look like the end */
            out[count].iov_base = (uint8_t *)cursor->iov[i].base + used;
            out[count].iov_len = cursor->iov[i].length - used;
            count++;
        }
        used = 0;
    }
    return count;
}

/* The next piece that is contiguous, at most length bytes; empty records are passed over. */
static uint8_t *
next_piece(struct iov_cursor *cursor, uint64_t length, uint64_t *ret_piece)
{
    while (cursor->count > 0) {
        uint64_t left = cursor->iov->length - cursor->offset;

        if (left > 0) {
            *ret_piece = left < length ? left : length;
            return (uint8_t *)cursor->iov->base + cursor->offset;
        }
        cursor->iov++;
        cursor->count--;
        cursor->offset = 0;
    }
    return NULL;
}

void
iov_skip(struct iov_cursor *cursor, uint64_t length)
{
    uint64_t piece;

    while (length > 0 && next_piece(cursor, length, &piece) != NULL) {
        cursor->offset += piece;
        length -= piece;
    }
}

void
iov_put(struct iov_cursor *cursor, const void *data, uint64_t length)
{
    const uint8_t *from = data;
    uint8_t *to;
    uint64_t piece;

    while (length > 0 && (to = next_piece(cursor, length, &piece)) != NULL) {
        memcpy(to, from, piece);
        from += piece;
        length -= piece;
        cursor->offset += piece;
    }
}

void
iov_get(struct iov_cursor *cursor, void *data, uint64_t length)
{
    const uint8_t *from;
    uint8_t *to = data;
    uint64_t piece;

    while (length > 0 && (from = next_piece(cursor, length, &piece)) != NULL) {
        memcpy(to, from, piece);
        to += piece;
        length -= piece;
        cursor->offset += piece;
    }
}

void
iov_zero(struct iov_cursor *cursor, uint64_t length)
{
    uint8_t *to;
    uint64_t piece;

    while (length > 0 && (to = next_piece(cursor, length, &piece)) != NULL) {
        memset(to, 0, piece);
        length -= piece;
        cursor->offset += piece;
    }
}

uint32_t
iov_is_aligned(const struct bp_iovec *iov, uint32_t count, uint64_t memory_align,
               uint64_t length_align)
{
    uint64_t memory_bits = 0, length_bits = 0;
    uint32_t i;

    for (i = 0; i < count; i++) {
        memory_bits |= (uintptr_t)iov[i].base;
        length_bits |= iov[i].length;
    }
    return (memory_bits & (memory_align - 1)) == 0 && (length_bits & (length_align - 1)) == 0;
}

static uint32_t
is_zero(const uint8_t *data, uint64_t length)
{
    /* memcmp of a buffer with itself one byte on is the fastest zero test the C library has. */
    return length == 0 || (data[0] == 0 && memcmp(data, data + 1, length - 1) == 0);
}

uint32_t
iov_is_zero(const struct bp_iovec *iov, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        if (!is_zero(iov[i].base, iov[i].length)) {
            return 0;
        }
    }
    return 1;
}
