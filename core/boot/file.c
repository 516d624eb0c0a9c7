/* SPDX-License-Identifier: Apache-2.0 */
/* Files that a guest boots from: opened once, read in pieces. */
#include "boot/boot_private.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

bool
boot_file_open(BootFile *file, const char *what, const char *path, GError **error)
{
    struct stat status;
    /* O_NONBLOCK: a FIFO must not hang us before we can refuse it. */
    autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &status) < 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG, "cannot open %s '%s': %s", what, path,
                    g_strerror(errno));
        return false;
    }
    if (!S_ISREG(status.st_mode)) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG, "%s '%s' is not a regular file", what,
                    path);
        return false;
    }
    file->path = g_strdup(path);
    file->size_bytes = (uint64_t)status.st_size;
    file->fd = fd_steal(&fd);
    return true;
}

void
boot_file_close(BootFile *file)
{
    if (file->path != NULL) {
        (void)close(file->fd);
    }
    g_clear_pointer(&file->path, g_free);
}

bool
boot_file_read(const BootFile *file, void *data, uint64_t offset, uint64_t length, GError **error)
{
    uint8_t *next = data;

    while (length > 0) {
        ssize_t got = pread(file->fd, next, MIN(length, (uint64_t)SSIZE_MAX), (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "cannot read '%s': %s", file->path,
                        got < 0 ? g_strerror(errno) : "the file became shorter");
            return false;
        }
        next += got;
        offset += (uint64_t)got;
        length -= (uint64_t)got;
    }
    return true;
}

bool
boot_file_refuse(const BootFile *file, GError **error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *reason = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG, "cannot boot '%s': %s", file->path, reason);
    return false;
}
