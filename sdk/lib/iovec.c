/* SPDX-License-Identifier: Apache-2.0 */
/* Scattered buffers: see <backplane/sdk/iovec.h>. */
#include <backplane/sdk/iovec.h>

#include <string.h>

/* What to do with one piece of memory; position: bytes done before it. */
typedef void piece_func(uint8_t *piece, uint64_t position, uint64_t length, void *opaque);

static uint64_t
iovec_walk(const struct bp_iovec *iov, uint32_t count, uint64_t offset, uint64_t length,
           piece_func *func, void *opaque)
{
    uint64_t done = 0;
    uint32_t i;

    for (i = 0; i < count && done < length; i++) {
        uint64_t n;
        if (offset >= iov[i].length) {
            offset -= iov[i].length;
            continue;
        }
        n = iov[i].length - offset;
        n = n < length - done ? n : length - done;
        func((uint8_t *)iov[i].base + offset, done, n, opaque);
        done += n;
        offset = 0;
    }
    return done;
}

uint64_t
bp_iovec_length(const struct bp_iovec *iov, uint32_t count)
{
    uint64_t sum = 0;
    uint32_t i;

    for (i = 0; i < count; i++) {
        if (iov[i].length > UINT64_MAX - sum) {
            return UINT64_MAX;
        }
        sum += iov[i].length;
    }
    return sum;
}

static void
piece_read(uint8_t *piece, uint64_t position, uint64_t length, void *opaque)
{
    memcpy((uint8_t *)opaque + position, piece, length);
}

uint64_t
bp_iovec_read(const struct bp_iovec *iov, uint32_t count, uint64_t offset, void *data,
              uint64_t length)
{
    return iovec_walk(iov, count, offset, length, piece_read, data);
}

struct source {
    const uint8_t *data;
};

static void
piece_write(uint8_t *piece, uint64_t position, uint64_t length, void *opaque)
{
    const struct source *source = opaque;

    memcpy(piece, source->data + position, length);
}

uint64_t
bp_iovec_write(const struct bp_iovec *iov, uint32_t count, uint64_t offset, const void *data,
               uint64_t length)
{
    struct source source = {.data = data};

    return iovec_walk(iov, count, offset, length, piece_write, &source);
}

static void
piece_fill(uint8_t *piece, uint64_t position, uint64_t length, void *opaque)
{
    (void)position;
    memset(piece, *(uint8_t *)opaque, length);
}

uint64_t
bp_iovec_fill(const struct bp_iovec *iov, uint32_t count, uint64_t offset, uint8_t byte,
              uint64_t length)
{
    return iovec_walk(iov, count, offset, length, piece_fill, &byte);
}

struct slice {
    struct bp_iovec *out;
    uint32_t count;
    uint32_t max;
};

static void
piece_slice(uint8_t *piece, uint64_t position, uint64_t length, void *opaque)
{
    struct slice *slice = opaque;

    (void)position;
    if (slice->count < slice->max) {
        slice->out[slice->count].base = piece;
        slice->out[slice->count].length = length;
    }
    slice->count++;
}

int32_t
bp_iovec_slice(const struct bp_iovec *iov, uint32_t count, uint64_t offset, uint64_t length,
               struct bp_iovec *out, uint32_t max)
{
    struct slice slice = {.out = out, .count = 0, .max = max};

    if (iovec_walk(iov, count, offset, length, piece_slice, &slice) != length) {
        return -EINVAL;
    }
    return slice.count > max ? -EMSGSIZE : (int32_t)slice.count;
}
