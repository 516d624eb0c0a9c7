/* SPDX-License-Identifier: Apache-2.0 */
/* A place in a list of buffers, for transfers done piece by piece. */
#ifndef BLOCK_FILE_IOV_H
#define BLOCK_FILE_IOV_H

#include <backplane/abi.h>

#include <stdint.h>
#include <sys/uio.h>

/* The two records are used as one another: request lists go to the kernel as they are. */
_Static_assert(sizeof(struct bp_iovec) == sizeof(struct iovec), "bp_iovec is iovec");
_Static_assert(offsetof(struct bp_iovec, base) == offsetof(struct iovec, iov_base), "base");
_Static_assert(offsetof(struct bp_iovec, length) == offsetof(struct iovec, iov_len), "length");

struct iov_cursor {
    const struct bp_iovec *iov;
    uint32_t count;  /* records left, from iov on */
    uint64_t offset; /* bytes used of the first */
};

/* Fills out[] with what comes next, at most max records. Returns how many. */
uint32_t iov_window(const struct iov_cursor *cursor, struct iovec *out, uint32_t max);
/* Skips length bytes. */
void iov_skip(struct iov_cursor *cursor, uint64_t length);
/* Copies to or from the buffers, or zeroes them, and skips what was used. */
void iov_put(struct iov_cursor *cursor, const void *data, uint64_t length);
void iov_get(struct iov_cursor *cursor, void *data, uint64_t length);
void iov_zero(struct iov_cursor *cursor, uint64_t length);

/* Every buffer starts and ends on a multiple of its alignment (powers of two). */
uint32_t iov_is_aligned(const struct bp_iovec *iov, uint32_t count, uint64_t memory_align,
                        uint64_t length_align);
uint32_t iov_is_zero(const struct bp_iovec *iov, uint32_t count);

#endif
