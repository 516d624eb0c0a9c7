/* SPDX-License-Identifier: Apache-2.0 */
/* What a libFuzzer target reads its operations from; what is missing at the end counts as zero. */
#ifndef BACKPLANE_FUZZ_INPUT_H
#define BACKPLANE_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct th_input {
    const uint8_t *data;
    size_t length;
};

/* The next bytes, 8 at most, little-endian. */
static inline uint64_t
th_take(struct th_input *in, uint32_t bytes)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < bytes && in->length > 0; i++) {
        value |= (uint64_t)*in->data++ << (8 * i);
        in->length--;
    }
    return value;
}

static inline void
th_take_bytes(struct th_input *in, uint8_t *to, uint32_t length)
{
    uint32_t there = in->length < length ? (uint32_t)in->length : length;

    memset(to, 0, length);
    memcpy(to, in->data, there);
    in->data += there;
    in->length -= there;
}

#endif
