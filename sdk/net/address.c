/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of sockets as users write them: see <backplane/sdk/net_address.h>. */
#include <backplane/sdk/net_address.h>

#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int32_t
bp_net_address_unix(const struct bp_services *services, const struct bp_node *node,
                    const char *path, struct bp_net_address *address)
{
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&address->address;

    if (strlen(path) >= sizeof(un->sun_path)) {
        return bp_fail(services, -ENAMETOOLONG, node,
                       "'%s' is longer than the path of a socket may be", path);
    }
    memset(address, 0, sizeof(*address));
    un->sun_family = AF_UNIX;
    (void)snprintf(un->sun_path, sizeof(un->sun_path), "%s", path);
    address->length = sizeof(*un);
    (void)snprintf(address->text, sizeof(address->text), "%s", path);
    return 0;
}

int32_t
bp_net_address_inet(const struct bp_services *services, const struct bp_node *node,
                    const char *text, int kind, uint32_t here, struct bp_net_address *address)
{
    const struct addrinfo hints = {.ai_socktype = kind,
                                   .ai_flags = AI_NUMERICSERV | (here ? AI_PASSIVE : 0)};
    const char *colon = strrchr(text, ':');
    struct addrinfo *found = NULL;
    char name[96];
    size_t length = colon != NULL ? (size_t)(colon - text) : 0;
    int result;

    if (colon == NULL || length >= sizeof(name)) {
        return bp_fail(services, -EINVAL, node,
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
        return bp_fail(services, -EINVAL, node, "cannot find \"%s\": %s", name,
                       gai_strerror(result));
    }
    memset(address, 0, sizeof(*address));
    memcpy(&address->address, found->ai_addr, found->ai_addrlen);
    address->length = found->ai_addrlen;
    (void)snprintf(address->text, sizeof(address->text), "%s:%s", name, colon + 1);
    freeaddrinfo(found);
    return 0;
}

void
bp_net_address_remove_stale(const struct bp_net_address *address, int kind)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&address->address;
    struct stat status;
    int fd, result;

    if (un->sun_family != AF_UNIX || lstat(un->sun_path, &status) != 0 ||
        !S_ISSOCK(status.st_mode)) {
        return;
    }
    fd = socket(AF_UNIX, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return;
    }
    result = connect(fd, (const struct sockaddr *)un, sizeof(*un));
    if (result != 0 && errno == ECONNREFUSED) {
        (void)unlink(un->sun_path);
    }
    (void)close(fd);
}

int32_t
bp_net_take_socket(const struct bp_services *services, const struct bp_node *node, uint64_t fd,
                   int kind)
{
    int found = 0, own;
    socklen_t length = sizeof(found);

    if (fd > INT32_MAX || getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &found, &length) != 0 ||
        found != kind) {
        return bp_fail(services, -EBADF, node, "descriptor %d is not a %s socket", (int)fd,
                       kind == SOCK_STREAM ? "stream" : "datagram");
    }
    own = fcntl((int)fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0 || fcntl(own, F_SETFL, O_NONBLOCK) != 0) {
        int32_t result = bp_fail(services, -errno, node, "cannot use descriptor %d: %s", (int)fd,
                                 strerror(errno));
        if (own >= 0) {
            (void)close(own);
        }
        return result;
    }
    return own;
}
