/* SPDX-License-Identifier: Apache-2.0 */
/* The address of a unix socket: see endpoint.h. */
#include "endpoint.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int32_t
endpoint_init(struct endpoint *endpoint, const struct bp_services *host,
              const struct bp_node *config)
{
    const char *path = bp_option_str(host, config, "path", "");
    const char *mode = bp_option_str(host, config, "mode", "0600");
    char *end;

    memset(endpoint, 0, sizeof(*endpoint));
    endpoint->fd = -1;
    endpoint->address.sun_family = AF_UNIX;
    endpoint->node = bp_option(host, config, "path");
    endpoint->listens = bp_option_bool(host, config, "server", 1);
    endpoint->mode = (uint32_t)strtoul(mode, &end, 8);
    if (end == mode || *end != '\0' || endpoint->mode > 0777) {
        return bp_fail(host, -EINVAL, bp_option(host, config, "mode"),
                       "'%s' is no file mode; it is three octal digits like \"0660\"", mode);
    }
    if (strlen(path) >= sizeof(endpoint->address.sun_path)) {
        return bp_fail(host, -ENAMETOOLONG, endpoint->node,
                       "the path has %u characters, a socket's may have %u; use a shorter one",
                       (unsigned)strlen(path), (unsigned)sizeof(endpoint->address.sun_path) - 1);
    }
    memcpy(endpoint->address.sun_path, path, strlen(path));
    return 0;
}

int
endpoint_connect(const struct endpoint *endpoint)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error;

    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, (const struct sockaddr *)&endpoint->address, sizeof(endpoint->address)) == 0) {
        return fd;
    }
    error = errno;
    (void)close(fd);
    return -error;
}

/* A socket file outlives a server that was killed. It may go if nobody answers. */
static int32_t
remove_stale(const struct endpoint *endpoint, const struct bp_services *host)
{
    const char *path = endpoint->address.sun_path;
    struct stat status;
    int fd;

    if (lstat(path, &status) != 0) {
        return 0; /* bind() says what is wrong with it, if anything */
    }
    if (!S_ISSOCK(status.st_mode)) {
        return bp_fail(host, -EEXIST, endpoint->node, "'%s' exists and is no socket", path);
    }
    fd = endpoint_connect(endpoint);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (fd != -ECONNREFUSED) {
        return bp_fail(host, -EADDRINUSE, endpoint->node,
                       "'%s' is in use: another program listens there", path);
    }
    (void)unlink(path);
    return 0;
}

int32_t
endpoint_listen(struct endpoint *endpoint, const struct bp_services *host)
{
    const char *path = endpoint->address.sun_path;
    int32_t status;
    int fd;

    if (!endpoint->listens) {
        return 0;
    }
    status = remove_stale(endpoint, host);
    if (status < 0) {
        return status;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The file gets the socket's mode (less the umask) when it is made,
     * so nobody slips in between. */
    if (fd < 0 || fchmod(fd, endpoint->mode) != 0 ||
        bind(fd, (const struct sockaddr *)&endpoint->address, sizeof(endpoint->address)) != 0) {
        status = -errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return bp_fail(host, status, endpoint->node, "cannot make the socket '%s': %s", path,
                       strerror(-status));
    }
    endpoint->fd = fd;
    if (chmod(path, endpoint->mode) != 0 || lstat(path, &endpoint->made) != 0 ||
        listen(fd, 4) != 0) {
        status = -errno;
        return bp_fail(host, status, endpoint->node, "cannot listen on '%s': %s", path,
                       strerror(-status));
    }
    return 0;
}

void
endpoint_done(struct endpoint *endpoint)
{
    struct stat now;

    if (endpoint->fd < 0) {
        return;
    }
    (void)close(endpoint->fd);
    endpoint->fd = -1;
    if (lstat(endpoint->address.sun_path, &now) == 0 && now.st_dev == endpoint->made.st_dev &&
        now.st_ino == endpoint->made.st_ino) {
        (void)unlink(endpoint->address.sun_path);
    }
}
