/* SPDX-License-Identifier: Apache-2.0 */
#include "header.h"

#include "bigendian.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define MAGIC     0x514649fbu
#define V2_LENGTH 72u
#define V3_LENGTH 104u
#define EXT_END   0u
#define EXT_NAMES 0x6803f857u

#define LONG_L2_BITS 14u /* 32 subclusters of a sector */
#define NAME_BYTES   48u /* of an entry: kind, bit, text */

struct parser {
    struct header *header;
    const uint8_t *data;
    uint64_t length, file_size;
    char *error;
    uint64_t error_size;
};

static int32_t __attribute__((format(printf, 3, 4)))
fail(const struct parser *parser, int32_t code, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    (void)vsnprintf(parser->error, parser->error_size, format, list);
    va_end(list);
    return code;
}

uint32_t
header_l2_bits(const struct header *header)
{
    return header->cluster_bits - ((header->incompatible & INCOMPATIBLE_LONG_L2) != 0 ? 4 : 3);
}

uint64_t
header_l1_needed(const struct header *header, uint64_t size)
{
    uint32_t bits = header->cluster_bits + header_l2_bits(header);

    return (size >> bits) + ((size & ((UINT64_C(1) << bits) - 1)) != 0);
}

/* A table must lie in the file, on a cluster. */
static int32_t
check_table(const struct parser *parser, const char *what, uint64_t offset, uint64_t bytes)
{
    uint64_t mask = (UINT64_C(1) << parser->header->cluster_bits) - 1;

    if (bytes == 0) {
        return 0;
    }
    if ((offset & mask) != 0 || offset == 0 || offset > parser->file_size ||
        bytes > parser->file_size - offset) {
        return fail(parser, -EINVAL,
                    "its %s (%" PRIu64 " bytes at %" PRIu64 ") does not lie in the file", what,
                    bytes, offset);
    }
    return 0;
}

static int32_t
parse_backing(const struct parser *parser)
{
    uint64_t offset = get64(parser->data + 8);
    uint32_t size = get32(parser->data + 16);

    parser->header->backing[0] = '\0';
    if (offset == 0 || size == 0) {
        return 0;
    }
    if (size > BACKING_MAX || offset > parser->length || size > parser->length - offset) {
        return fail(parser, -EINVAL, "the name of its backing file does not lie in the header");
    }
    memcpy(parser->header->backing, parser->data + offset, size);
    parser->header->backing[size] = '\0';
    return 0;
}

/* The header extension of a type. Returns its data, or NULL. */
static const uint8_t *
find_extension(const struct parser *parser, uint64_t start, uint32_t type, uint32_t *ret_length)
{
    uint64_t at = start;

    while (at <= parser->length && parser->length - at >= 8) {
        uint32_t found = get32(parser->data + at), length = get32(parser->data + at + 4);

        at += 8;
        if (found == EXT_END || length > parser->length - at) {
            break;
        }
        if (found == type) {
            *ret_length = length;
            return parser->data + at;
        }
        at += ((uint64_t)length + 7) & ~UINT64_C(7);
    }
    return NULL;
}

/* An image may bring the names of its features along, for programs that are older than these. */
static int32_t
refuse_features(const struct parser *parser, uint32_t header_length, uint64_t unknown)
{
    uint32_t length = 0, i, bit = 0;
    const uint8_t *names = find_extension(parser, header_length, EXT_NAMES, &length);
    char text[NAME_BYTES] = "it gives no name";

    while ((unknown >> bit & 1) == 0) {
        bit++;
    }
    for (i = 0; names != NULL && length - i >= NAME_BYTES; i += NAME_BYTES) {
        if (names[i] == 0 && names[i + 1] == bit) {
            memcpy(text, names + i + 2, NAME_BYTES - 2);
            text[NAME_BYTES - 2] = '\0';
        }
    }
    return fail(parser, -EOPNOTSUPP, "it needs a feature that is not known: bit %u (%s)", bit,
                text);
}

static int32_t
parse_features(const struct parser *parser)
{
    struct header *header = parser->header;
    uint32_t header_length = get32(parser->data + 100);

    header->incompatible = get64(parser->data + 72);
    header->compatible = get64(parser->data + 80);
    header->autoclear = get64(parser->data + HEADER_AT_AUTOCLEAR);
    header->refcount_order = get32(parser->data + 96);
    if (header_length < V3_LENGTH || header_length > parser->length || header_length % 8 != 0) {
        return fail(parser, -EINVAL, "its header is %u bytes long", header_length);
    }
    if (header->refcount_order > 6) {
        return fail(parser, -EINVAL, "its reference counts are 2^%u bits wide",
                    header->refcount_order);
    }
    if ((header->incompatible & INCOMPATIBLE_COMPRESSION) != 0) {
        header->compression = header_length > V3_LENGTH ? parser->data[104] : COMPRESSION_ZLIB;
    }
    if ((header->incompatible & INCOMPATIBLE_DATA_FILE) != 0) {
        return fail(parser, -EOPNOTSUPP, "its data is in another file (data_file): not supported");
    }
    if ((header->incompatible & INCOMPATIBLE_LONG_L2) != 0 && header->cluster_bits < LONG_L2_BITS) {
        return fail(parser, -EINVAL, "its clusters of 2^%u bytes are too small for extended L2",
                    header->cluster_bits);
    }
    if (header->incompatible >> 5 != 0) {
        return refuse_features(parser, header_length, header->incompatible >> 5 << 5);
    }
    if (header->compression > COMPRESSION_ZSTD) {
        return fail(parser, -EOPNOTSUPP, "it is compressed by an unknown method (%u)",
                    header->compression);
    }
    return 0;
}

static int32_t
check_sizes(const struct parser *parser)
{
    const struct header *header = parser->header;
    uint64_t needed;

    if (header->size > UINT64_C(1) << 60) {
        return fail(parser, -EINVAL, "a disk of %" PRIu64 " bytes is too large", header->size);
    }
    needed = header_l1_needed(header, header->size);
    if (header->l1_size < needed) {
        return fail(parser, -EINVAL, "its L1 table has %u entries, the disk needs %" PRIu64,
                    header->l1_size, needed);
    }
    if (header->l1_size > L1_MAX_BYTES / 8) {
        return fail(parser, -EINVAL, "its L1 table has %u entries, more than %u", header->l1_size,
                    L1_MAX_BYTES / 8);
    }
    if (header->reftable_clusters == 0 ||
        (uint64_t)header->reftable_clusters << header->cluster_bits > REFTABLE_MAX_BYTES) {
        return fail(parser, -EINVAL, "its refcount table has %u clusters",
                    header->reftable_clusters);
    }
    if (header->snapshots > SNAPSHOTS_MAX) {
        return fail(parser, -EINVAL, "it has %u snapshots, more than %u", header->snapshots,
                    SNAPSHOTS_MAX);
    }
    return 0;
}

static int32_t
check_tables(const struct parser *parser)
{
    const struct header *header = parser->header;
    int32_t result =
        check_table(parser, "L1 table", header->l1_offset, (uint64_t)header->l1_size * 8);

    if (result == 0) {
        result = check_table(parser, "refcount table", header->reftable_offset,
                             (uint64_t)header->reftable_clusters << header->cluster_bits);
    }
    if (result == 0) {
        result = check_table(parser, "snapshot table", header->snapshots_offset,
                             header->snapshots == 0 ? 0 : 40);
    }
    return result;
}

static int32_t
parse_start(const struct parser *parser)
{
    struct header *header = parser->header;

    if (parser->length < V2_LENGTH || get32(parser->data) != MAGIC) {
        return fail(parser, -EINVAL, "this is no qcow2 image");
    }
    header->version = get32(parser->data + 4);
    if (header->version != 2 && header->version != 3) {
        return fail(parser, -EOPNOTSUPP, "qcow version %u is not known", header->version);
    }
    header->cluster_bits = get32(parser->data + 20);
    if (header->cluster_bits < 9 || header->cluster_bits > 21) {
        return fail(parser, -EINVAL, "its clusters are 2^%u bytes large", header->cluster_bits);
    }
    if (get32(parser->data + 32) != 0) {
        return fail(parser, -EOPNOTSUPP, "it is encrypted: not supported");
    }
    if (header->version == 3 && parser->length < V3_LENGTH) {
        return fail(parser, -EINVAL, "its header is cut off");
    }
    return 0;
}

int32_t
header_parse(struct header *header, const uint8_t *data, uint64_t length, uint64_t file_size,
             char *error, uint64_t error_size)
{
    const struct parser parser = {header, data, length, file_size, error, error_size};
    int32_t result;

    memset(header, 0, sizeof(*header));
    result = parse_start(&parser);
    if (result != 0) {
        return result;
    }
    header->size = get64(data + HEADER_AT_SIZE);
    header->l1_size = get32(data + HEADER_AT_L1_SIZE);
    header->l1_offset = get64(data + HEADER_AT_L1_OFFSET);
    header->reftable_offset = get64(data + HEADER_AT_REFTABLE);
    header->reftable_clusters = get32(data + HEADER_AT_REFTABLE_LENGTH);
    header->snapshots = get32(data + 60);
    header->snapshots_offset = get64(data + 64);
    header->refcount_order = 4;
    result = header->version == 3 ? parse_features(&parser) : 0;
    if (result == 0) {
        result = parse_backing(&parser);
    }
    if (result == 0) {
        result = check_sizes(&parser);
    }
    return result == 0 ? check_tables(&parser) : result;
}
