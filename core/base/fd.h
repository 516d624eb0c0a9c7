/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors that close themselves: `autofd int fd = open(...)`;
 * give away with fd_steal(). */
#pragma once

#include <unistd.h>

static inline void
fd_auto_close(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}

static inline int
fd_steal(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#define autofd __attribute__((cleanup(fd_auto_close)))
