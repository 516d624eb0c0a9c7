/* SPDX-License-Identifier: Apache-2.0 */
/* Little-endian loads and stores at any alignment, and small arithmetic. */
#ifndef BACKPLANE_SDK_BITS_H
#define BACKPLANE_SDK_BITS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_ARRAY_LENGTH(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

/* width bytes (1..8) at data, least significant first. */
static inline uint64_t
bp_load_le(const void *data, uint32_t width)
{
    const uint8_t *bytes = (const uint8_t *)data;
    uint64_t value = 0;
    uint32_t i;

    for (i = 0; i < width; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

static inline void
bp_store_le(void *data, uint32_t width, uint64_t value)
{
    uint8_t *bytes = (uint8_t *)data;
    uint32_t i;

    for (i = 0; i < width; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

/* The lowest 8 * width bits set, width 0..8. */
static inline uint64_t
bp_width_mask(uint32_t width)
{
    return width >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * width)) - 1;
}

static inline uint64_t
bp_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint32_t
bp_min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

#ifdef __cplusplus
}
#endif

#endif
