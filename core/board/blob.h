/* SPDX-License-Identifier: Apache-2.0 */
/* Little-endian tables, built byte by byte in a GByteArray. */
#pragma once

#include <glib.h>
#include <stdint.h>
#include <string.h>

static inline void
blob_bytes(GByteArray *blob, const void *data, size_t length)
{
    g_byte_array_append(blob, data, (guint)length);
}

static inline void
blob_le(GByteArray *blob, uint64_t value, unsigned size)
{
    uint64_t wire = GUINT64_TO_LE(value);

    blob_bytes(blob, &wire, size);
}

static inline void
blob_u8(GByteArray *blob, uint8_t value)
{
    blob_le(blob, value, 1);
}

static inline void
blob_u16(GByteArray *blob, uint16_t value)
{
    blob_le(blob, value, 2);
}

static inline void
blob_u32(GByteArray *blob, uint32_t value)
{
    blob_le(blob, value, 4);
}

static inline void
blob_u64(GByteArray *blob, uint64_t value)
{
    blob_le(blob, value, 8);
}

static inline void
blob_zeros(GByteArray *blob, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        blob_u8(blob, 0);
    }
}

/* text in a field of `size` bytes, padded with `pad`, cut when longer; no NUL is promised. */
static inline void
blob_text(GByteArray *blob, const char *text, unsigned size, char pad)
{
    size_t length = strnlen(text, size);

    blob_bytes(blob, text, length);
    for (size_t i = length; i < size; i++) {
        blob_u8(blob, (uint8_t)pad);
    }
}

/* Overwrites size bytes at offset, which exist already. */
static inline void
blob_put(GByteArray *blob, size_t offset, uint64_t value, unsigned size)
{
    uint64_t wire = GUINT64_TO_LE(value);

    memcpy(blob->data + offset, &wire, size);
}

static inline uint64_t
blob_get(const GByteArray *blob, size_t offset, unsigned size)
{
    uint64_t wire = 0;

    memcpy(&wire, blob->data + offset, size);
    return GUINT64_FROM_LE(wire);
}

static inline void
blob_align(GByteArray *blob, unsigned alignment)
{
    while (blob->len % alignment != 0) {
        blob_u8(blob, 0);
    }
}

/* Drops *blob, if there is one. */
static inline void
blob_clear(GByteArray **blob)
{
    if (*blob != NULL) {
        g_byte_array_unref(*blob);
        *blob = NULL;
    }
}

/* The value that makes length bytes at data sum up to 0 (mod 256) when it replaces a zero. */
static inline uint8_t
blob_checksum(const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint8_t sum = 0;

    for (size_t i = 0; i < length; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    return (uint8_t)(0u - sum);
}
