/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets by description. */
#include "net_dgram.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define BUFFER_BYTES (1 << 20) /* of the kernel, in each direction */

static const struct sockaddr *
sockaddr_of(const struct bp_net_address *address)
{
    return (const struct sockaddr *)&address->address;
}

static int32_t
make_socket(struct net_dgram *dgram, int family, int *fd)
{
    int size = BUFFER_BYTES;

    *fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) {
        return bp_fail(&dgram->host, -errno, NULL, "cannot make a socket: %s", strerror(errno));
    }
    (void)setsockopt(*fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)); /* as far as it is allowed */
    (void)setsockopt(*fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    return 0;
}

static int32_t
bind_local(struct net_dgram *dgram, const struct bp_node *node)
{
    if (bind(dgram->fd, sockaddr_of(&dgram->local), dgram->local.length) != 0) {
        return bp_fail(&dgram->host, -errno, node, "cannot receive at '%s': %s", dgram->local.text,
                       strerror(errno));
    }
    dgram->is_bound = 1;
    return 0;
}

/* --- unix ------------------------------------------------------------------------------------ */

void
dgram_connect(struct net_dgram *dgram)
{
    uint32_t before = dgram->connected;
    uint8_t byte;

    dgram->connected = connect(dgram->fd, sockaddr_of(&dgram->remote), dgram->remote.length) == 0;
    if (dgram->connected && !before) {
        while (recv(dgram->fd, &byte, 1, MSG_DONTWAIT) >= 0) {
        } /* from times when anybody could send */
    }
}

static int32_t
set_up_unix(struct net_dgram *dgram, const struct bp_node *options)
{
    const struct bp_services *host = &dgram->host;
    const struct bp_node *node = bp_option(host, options, "path");
    const char *path = bp_option_str(host, options, "path", NULL);
    const char *peer = bp_option_str(host, options, "peer_path", NULL);
    int32_t result;

    if (path == NULL || peer == NULL) {
        return bp_fail(host, -EINVAL, node, "give it both path and peer_path");
    }
    result = bp_net_address_unix(host, node, path, &dgram->local);
    if (result == 0) {
        result =
            bp_net_address_unix(host, bp_option(host, options, "peer_path"), peer, &dgram->remote);
    }
    if (result == 0) {
        result = make_socket(dgram, AF_UNIX, &dgram->fd);
    }
    if (result == 0) {
        bp_net_address_remove_stale(&dgram->local, SOCK_DGRAM);
        result = bind_local(dgram, node);
    }
    if (result == 0) {
        dgram_connect(dgram); /* it may come later */
    }
    return result;
}

/* --- UDP ------------------------------------------------------------------------------------- */

static int32_t
set_up_udp(struct net_dgram *dgram, const struct bp_node *options)
{
    const struct bp_services *host = &dgram->host;
    const struct bp_node *node = bp_option(host, options, "address");
    const struct bp_node *peer_node = bp_option(host, options, "peer");
    const char *address = bp_option_str(host, options, "address", NULL);
    const char *peer = bp_option_str(host, options, "peer", NULL);
    int32_t result;

    if (address == NULL || peer == NULL) {
        return bp_fail(host, -EINVAL, node, "give it both address and peer");
    }
    result = bp_net_address_inet(host, peer_node, peer, SOCK_DGRAM, 0, &dgram->remote);
    if (result == 0) {
        result = bp_net_address_inet(host, node, address, SOCK_DGRAM, 1, &dgram->local);
    }
    if (result == 0) {
        result = make_socket(dgram, dgram->local.address.ss_family, &dgram->fd);
    }
    if (result == 0) {
        result = bind_local(dgram, node);
    }
    if (result != 0) {
        return result;
    }
    /* From now on the kernel lets nobody else's datagrams in. */
    if (connect(dgram->fd, sockaddr_of(&dgram->remote), dgram->remote.length) != 0) {
        return bp_fail(host, -errno, peer_node, "cannot send to '%s': %s", peer, strerror(errno));
    }
    dgram->connected = 1;
    return 0;
}

/* --- multicast ------------------------------------------------------------------------------- */

static int32_t
join_group(struct net_dgram *dgram, const struct bp_node *options, const struct bp_node *node)
{
    const struct bp_services *host = &dgram->host;
    const struct sockaddr_in *group =
        (const struct sockaddr_in *)(const void *)&dgram->remote.address;
    const char *text = bp_option_str(host, options, "group_interface", NULL);
    struct ip_mreqn request = {.imr_multiaddr = group->sin_addr};
    uint8_t loop = 1;
    int on = 1;

    if (text != NULL && inet_pton(AF_INET, text, &request.imr_address) != 1) {
        return bp_fail(host, -EINVAL, bp_option(host, options, "group_interface"),
                       "group_interface: \"%s\" is no IPv4 address", text);
    }
    if (setsockopt(dgram->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(dgram->fd, sockaddr_of(&dgram->remote), dgram->remote.length) != 0 ||
        setsockopt(dgram->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)) != 0 ||
        setsockopt(dgram->sender, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, sizeof(loop)) != 0 ||
        (text != NULL &&
         setsockopt(dgram->sender, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof(request)) != 0)) {
        return bp_fail(host, -errno, node, "cannot join '%s': %s", dgram->remote.text,
                       strerror(errno));
    }
    return 0;
}

/* A socket of its own sends, so that what comes back of it is known by its source. */
static int32_t
set_up_group(struct net_dgram *dgram, const struct bp_node *options)
{
    const struct bp_services *host = &dgram->host;
    const struct bp_node *node = bp_option(host, options, "group");
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&dgram->remote.address;
    int32_t result = bp_net_address_inet(host, node, bp_option_str(host, options, "group", ""),
                                         SOCK_DGRAM, 0, &dgram->remote);

    if (result == 0 && (in->sin_family != AF_INET || !IN_MULTICAST(ntohl(in->sin_addr.s_addr)))) {
        return bp_fail(host, -EINVAL, node,
                       "group must be a multicast address, like \"230.0.0.1:1234\", not \"%s\"",
                       dgram->remote.text);
    }
    if (result == 0) {
        result = make_socket(dgram, AF_INET, &dgram->fd);
    }
    if (result == 0) {
        result = make_socket(dgram, AF_INET, &dgram->sender);
    }
    if (result == 0) {
        result = join_group(dgram, options, node);
    }
    if (result != 0) {
        return result;
    }
    dgram->self.length = sizeof(dgram->self.address);
    if (connect(dgram->sender, sockaddr_of(&dgram->remote), dgram->remote.length) != 0 ||
        getsockname(dgram->sender, (struct sockaddr *)&dgram->self.address, &dgram->self.length) !=
            0) {
        return bp_fail(host, -errno, node, "cannot send to '%s': %s", dgram->remote.text,
                       strerror(errno));
    }
    dgram->connected = 1;
    return 0;
}

/* --------------------------------------------------------------------------------------------- */

static int32_t
take_descriptor(struct net_dgram *dgram, const struct bp_node *options)
{
    const struct bp_services *host = &dgram->host;
    const struct bp_node *node = bp_option(host, options, "fd");
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);

    dgram->fd = bp_net_take_socket(host, node, bp_option_u64(host, options, "fd", 0), SOCK_DGRAM);
    if (dgram->fd < 0) {
        return dgram->fd;
    }
    if (getpeername(dgram->fd, (struct sockaddr *)&peer, &length) != 0) {
        return bp_fail(host, -ENOTCONN, node, "descriptor %d has no other end: connect it",
                       (int)bp_option_u64(host, options, "fd", 0));
    }
    dgram->connected = 1;
    return 0;
}

int32_t
dgram_set_up(struct net_dgram *dgram, const struct bp_node *options)
{
    static const struct {
        const char *option;
        int32_t (*set_up)(struct net_dgram *dgram, const struct bp_node *options);
    } ways[] = {{"path", set_up_unix},
                {"address", set_up_udp},
                {"group", set_up_group},
                {"fd", take_descriptor}};
    int32_t (*set_up)(struct net_dgram * dgram, const struct bp_node *options) = NULL;
    int32_t result;
    uint32_t i;

    for (i = 0; i < BP_ARRAY_LENGTH(ways); i++) {
        if (bp_option(&dgram->host, options, ways[i].option) == NULL) {
            continue;
        }
        if (set_up != NULL) {
            set_up = NULL;
            break;
        }
        set_up = ways[i].set_up;
    }
    if (set_up == NULL) {
        return bp_fail(&dgram->host, -EINVAL, NULL,
                       "give it a path, an address, a group or an fd, one of them");
    }
    result = set_up(dgram, options);
    if (result == 0 && dgram->sender < 0) {
        dgram->sender = dgram->fd;
    }
    return result;
}

void
dgram_take_down(struct net_dgram *dgram)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&dgram->local.address;

    if (dgram->is_bound && un->sun_family == AF_UNIX) {
        (void)unlink(un->sun_path);
    }
    if (dgram->sender >= 0 && dgram->sender != dgram->fd) {
        (void)close(dgram->sender);
    }
    if (dgram->fd >= 0) {
        (void)close(dgram->fd);
    }
}
