/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers in a qcow2 file are big-endian. */
#ifndef BLOCK_QCOW2_BIGENDIAN_H
#define BLOCK_QCOW2_BIGENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t
get64(const uint8_t *data)
{
    uint64_t value;

    memcpy(&value, data, sizeof(value));
    return be64toh(value);
}

static inline uint32_t
get32(const uint8_t *data)
{
    uint32_t value;

    memcpy(&value, data, sizeof(value));
    return be32toh(value);
}

static inline uint16_t
get16(const uint8_t *data)
{
    return (uint16_t)(data[0] << 8 | data[1]);
}

static inline void
put64(uint8_t *data, uint64_t value)
{
    value = htobe64(value);
    memcpy(data, &value, sizeof(value));
}

static inline void
put32(uint8_t *data, uint32_t value)
{
    value = htobe32(value);
    memcpy(data, &value, sizeof(value));
}

#endif
