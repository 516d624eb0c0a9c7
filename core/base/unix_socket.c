/* SPDX-License-Identifier: Apache-2.0 */
#include "base/unix_socket.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool
make_address(const char *path, struct sockaddr_un *address, GError **error)
{
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    if (path[0] == '\0' || strlen(path) >= sizeof(address->sun_path)) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "socket path \"%s\" must have 1 to %zu characters", path,
                    sizeof(address->sun_path) - 1);
        return false;
    }
    memcpy(address->sun_path, path, strlen(path));
    return true;
}

static int
make_socket(GError **error)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "cannot make a socket: %s",
                    g_strerror(errno));
    }
    return fd;
}

int
unix_socket_connect(const char *path, GError **error)
{
    struct sockaddr_un address;
    autofd int fd = -1;

    if (!make_address(path, &address, error)) {
        return -1;
    }
    fd = make_socket(error);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "cannot connect to socket '%s': %s", path,
                    g_strerror(errno));
        return -1;
    }
    return fd_steal(&fd);
}

/* Removes what a killed process left behind. */
static bool
remove_stale(const char *path, GError **error)
{
    struct stat file;
    autofd int probe = -1;

    if (lstat(path, &file) != 0) {
        return true;
    }
    if (!S_ISSOCK(file.st_mode)) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                    "'%s' exists and is no socket; remove it or choose another path", path);
        return false;
    }
    probe = unix_socket_connect(path, NULL);
    if (probe >= 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                    "another process listens on socket '%s'; choose another path", path);
        return false;
    }
    return unlink(path) == 0 || errno == ENOENT;
}

int
unix_socket_listen(const char *path, mode_t mode, GError **error)
{
    struct sockaddr_un address;
    autofd int fd = -1;
    mode_t old_mask;
    int result;

    if (!make_address(path, &address, error) || !remove_stale(path, error)) {
        return -1;
    }
    fd = make_socket(error);
    if (fd < 0) {
        return -1;
    }
    /* The file must never exist with wider permissions, not even for a moment. */
    old_mask = umask(~mode & 0777);
    result = bind(fd, (const struct sockaddr *)&address, sizeof(address));
    (void)umask(old_mask);
    if (result != 0 || listen(fd, 16) != 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "cannot listen on socket '%s': %s", path,
                    g_strerror(errno));
        return -1;
    }
    return fd_steal(&fd);
}

int
unix_socket_accept(int listen_fd)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    return fd >= 0 ? fd : -errno;
}
