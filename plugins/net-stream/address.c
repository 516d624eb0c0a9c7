/* SPDX-License-Identifier: Apache-2.0 */
/* Where the other end is: a unix socket, a TCP address, or a descriptor. */
#include "net_stream.h"

#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int32_t
set_unix(struct net_stream *stream, const char *path, const struct bp_node *node)
{
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&stream->place.address;

    if (strlen(path) >= sizeof(un->sun_path)) {
        return bp_fail(&stream->host, -ENAMETOOLONG, node,
                       "'%s' is longer than the path of a socket may be", path);
    }
    un->sun_family = AF_UNIX;
    (void)snprintf(un->sun_path, sizeof(un->sun_path), "%s", path);
    stream->place.length = sizeof(*un);
    (void)snprintf(stream->place.text, sizeof(stream->place.text), "%s", path);
    return 0;
}

static int32_t
set_tcp(struct net_stream *stream, const char *text, uint32_t server, const struct bp_node *node)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICSERV | (server ? AI_PASSIVE : 0)};
    const char *colon = strrchr(text, ':');
    struct addrinfo *found = NULL;
    char name[96];
    size_t length = colon != NULL ? (size_t)(colon - text) : 0;
    int result;

    if (colon == NULL || length >= sizeof(name)) {
        return bp_fail(&stream->host, -EINVAL, node,
                       "address must be like \"127.0.0.1:5000\" or \"[::1]:5000\", not \"%s\"",
                       text);
    }
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    memcpy(name, text, length);
    name[length] = '\0';
    result = getaddrinfo(length > 0 ? name : NULL, colon + 1, &hints, &found);
    if (result != 0) {
        return bp_fail(&stream->host, -EINVAL, node, "cannot find \"%s\": %s", name,
                       gai_strerror(result));
    }
    memcpy(&stream->place.address, found->ai_addr, found->ai_addrlen);
    stream->place.length = found->ai_addrlen;
    (void)snprintf(stream->place.text, sizeof(stream->place.text), "%s:%s", name, colon + 1);
    freeaddrinfo(found);
    return 0;
}

/* A socket of a run that ended badly is in the way; anything else there is not ours to remove. */
static void
remove_stale(const struct net_stream *stream)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&stream->place.address;
    struct stat status;
    int fd, result;

    if (un->sun_family != AF_UNIX || lstat(un->sun_path, &status) != 0 ||
        !S_ISSOCK(status.st_mode)) {
        return;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return;
    }
    result = connect(fd, (const struct sockaddr *)un, sizeof(*un));
    if (result != 0 && errno == ECONNREFUSED) {
        (void)unlink(un->sun_path);
    }
    (void)close(fd);
}

static int32_t
begin_listening(struct net_stream *stream, const struct bp_node *node)
{
    int family = stream->place.address.ss_family, on = 1;

    remove_stale(stream);
    stream->listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (stream->listener >= 0 && family != AF_UNIX) {
        (void)setsockopt(stream->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    if (stream->listener < 0 ||
        bind(stream->listener, (const struct sockaddr *)&stream->place.address,
             stream->place.length) != 0 ||
        listen(stream->listener, 1) != 0) {
        return bp_fail(&stream->host, -errno, node, "cannot listen on '%s': %s", stream->place.text,
                       strerror(errno));
    }
    return 0;
}

static int32_t
take_descriptor(struct net_stream *stream, uint64_t fd, const struct bp_node *node)
{
    int kind = 0;
    socklen_t length = sizeof(kind);

    if (getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &kind, &length) != 0 || kind != SOCK_STREAM) {
        return bp_fail(&stream->host, -EBADF, node, "descriptor %d is not a stream socket",
                       (int)fd);
    }
    stream->given = fcntl((int)fd, F_DUPFD_CLOEXEC, 3);
    if (stream->given < 0 || fcntl(stream->given, F_SETFL, O_NONBLOCK) != 0) {
        return bp_fail(&stream->host, -errno, node, "cannot use descriptor %d: %s", (int)fd,
                       strerror(errno));
    }
    return 0;
}

int32_t
stream_set_up(struct net_stream *stream, const struct bp_node *options)
{
    const struct bp_services *host = &stream->host;
    const struct bp_node *fd = bp_option(host, options, "fd");
    const char *path = bp_option_str(host, options, "path", NULL);
    const char *address = bp_option_str(host, options, "address", NULL);
    const struct bp_node *node = bp_option(host, options, path != NULL ? "path" : "address");
    uint32_t server = bp_option_bool(host, options, "server", 1);
    int32_t result;

    stream->reconnect_ns = bp_option_u64(host, options, "reconnect", 1000) * 1000000;
    if ((path != NULL) + (address != NULL) + (fd != NULL) != 1) {
        return bp_fail(host, -EINVAL, NULL, "give it a path, or an address, or an fd, one of them");
    }
    if (fd != NULL) {
        return take_descriptor(stream, bp_option_u64(host, options, "fd", 0), fd);
    }
    result = path != NULL ? set_unix(stream, path, node) : set_tcp(stream, address, server, node);
    return result == 0 && server ? begin_listening(stream, node) : result;
}
