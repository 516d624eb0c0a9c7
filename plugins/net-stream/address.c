/* SPDX-License-Identifier: Apache-2.0 */
/* Where the other end is: a unix socket, a TCP address, or a descriptor. */
#include "net_stream.h"

#include <string.h>

static int32_t
begin_listening(struct net_stream *stream, const struct bp_node *node)
{
    int family = stream->place.address.ss_family, on = 1;

    bp_net_address_remove_stale(&stream->place, SOCK_STREAM);
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
        stream->given =
            bp_net_take_socket(host, fd, bp_option_u64(host, options, "fd", 0), SOCK_STREAM);
        return stream->given < 0 ? stream->given : 0;
    }
    result = path != NULL
                 ? bp_net_address_unix(host, node, path, &stream->place)
                 : bp_net_address_inet(host, node, address, SOCK_STREAM, server, &stream->place);
    return result == 0 && server ? begin_listening(stream, node) : result;
}
