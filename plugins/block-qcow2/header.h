/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a qcow2 image, in the host's byte order and checked. Offsets, fields and bits are
 * those of the format's specification (QEMU documentation, "qcow2 image file format"). */
#ifndef BLOCK_QCOW2_HEADER_H
#define BLOCK_QCOW2_HEADER_H

#include <stdint.h>

#define HEADER_MAX  4096u /* bytes that are read to parse it */
#define BACKING_MAX 1023u

#define INCOMPATIBLE_DIRTY       (UINT64_C(1) << 0)
#define INCOMPATIBLE_CORRUPT     (UINT64_C(1) << 1)
#define INCOMPATIBLE_DATA_FILE   (UINT64_C(1) << 2)
#define INCOMPATIBLE_COMPRESSION (UINT64_C(1) << 3)
#define INCOMPATIBLE_LONG_L2     (UINT64_C(1) << 4)

#define COMPRESSION_ZLIB 0u
#define COMPRESSION_ZSTD 1u

#define L1_MAX_BYTES       (32u << 20)
#define REFTABLE_MAX_BYTES (8u << 20)
#define SNAPSHOTS_MAX      65536u

struct header {
    uint32_t version;
    uint32_t cluster_bits;
    uint64_t size; /* of the disk, bytes */
    uint32_t l1_size;
    uint64_t l1_offset;
    uint64_t reftable_offset;
    uint32_t reftable_clusters;
    uint32_t snapshots;
    uint64_t snapshots_offset;
    uint64_t incompatible, compatible, autoclear;
    uint32_t refcount_order;
    uint32_t compression;
    char backing[BACKING_MAX + 1]; /* "": none */
};

/* Takes a header apart. data: the first `length` bytes of the file (HEADER_MAX, or all there is);
 * file_size: bytes of the file.
 * error: room for why not. Returns 0, -EINVAL: no or a broken header; -EOPNOTSUPP: a feature. */
int32_t header_parse(struct header *header, const uint8_t *data, uint64_t length,
                     uint64_t file_size, char *error, uint64_t error_size)
    __attribute__((warn_unused_result));
/* Entries of an L2 table, as a power of two. */
uint32_t header_l2_bits(const struct header *header);
/* Entries of the level 1 table that a disk of this size needs. */
uint64_t header_l1_needed(const struct header *header, uint64_t size);

/* Where the fields are that are written again. */
#define HEADER_AT_SIZE            24u
#define HEADER_AT_L1_SIZE         36u
#define HEADER_AT_L1_OFFSET       40u
#define HEADER_AT_REFTABLE        48u
#define HEADER_AT_REFTABLE_LENGTH 56u
#define HEADER_AT_AUTOCLEAR       88u

#endif
