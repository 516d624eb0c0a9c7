/* SPDX-License-Identifier: Apache-2.0 */
/* Scattered buffers: length, copies at an offset, slices. */
#ifndef BACKPLANE_SDK_IOVEC_H
#define BACKPLANE_SDK_IOVEC_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sum of the lengths; UINT64_MAX if it does not fit. */
uint64_t bp_iovec_length(const struct bp_iovec *iov, uint32_t count);
/* Copies out of the pieces, from byte `offset` of their sum on. Returns the bytes copied, fewer
 * than length at the end of the pieces. */
uint64_t bp_iovec_read(const struct bp_iovec *iov, uint32_t count, uint64_t offset, void *data,
                       uint64_t length);
/* Copies into the pieces, likewise. */
uint64_t bp_iovec_write(const struct bp_iovec *iov, uint32_t count, uint64_t offset,
                        const void *data, uint64_t length);
/* Fills with one byte, likewise. */
uint64_t bp_iovec_fill(const struct bp_iovec *iov, uint32_t count, uint64_t offset, uint8_t byte,
                       uint64_t length);
/* Writes the pieces of [offset, offset + length) to out, room for max; empty pieces are left out.
 * Returns their number, -EINVAL: the range is not inside, -EMSGSIZE: more than max pieces. */
int32_t bp_iovec_slice(const struct bp_iovec *iov, uint32_t count, uint64_t offset, uint64_t length,
                       struct bp_iovec *out, uint32_t max) BP_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
