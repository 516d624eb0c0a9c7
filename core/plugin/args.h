/* SPDX-License-Identifier: Apache-2.0 */
/* The size rule of argument structs (backplane/abi.h), for everything a plugin hands in. */
#pragma once

#include <errno.h>
#include <stdint.h>
#include <string.h>

/* Copies a plugin's struct into `copy` (known bytes, zeroed where the plugin's is shorter).
 * 0; -EINVAL: no struct, or a size that cannot hold size and flags; -E2BIG: an unknown tail that is
 * not zero. */
static inline int
args_copy(void *copy, uint32_t known, const void *given)
{
    uint32_t size, i;

    memset(copy, 0, known);
    if (given == NULL) {
        return -EINVAL;
    }
    memcpy(&size, given, sizeof(size));
    if (size < 2 * sizeof(uint32_t) || size > 65536) {
        return -EINVAL;
    }
    for (i = known; i < size; i++) {
        if (((const uint8_t *)given)[i] != 0) {
            return -E2BIG;
        }
    }
    memcpy(copy, given, size < known ? size : known);
    return 0;
}

/* Copies a table a plugin provides: the smaller of both sizes, the rest zero ("not provided"). */
static inline int
table_copy(void *copy, uint32_t known, const void *given)
{
    uint32_t size;

    memset(copy, 0, known);
    if (given == NULL) {
        return -EINVAL;
    }
    memcpy(&size, given, sizeof(size));
    if (size < 2 * sizeof(uint32_t)) {
        return -EINVAL;
    }
    size = size < known ? size : known;
    memcpy(copy, given, size);
    memcpy(copy, &size, sizeof(size));
    return 0;
}
