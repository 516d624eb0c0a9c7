/* SPDX-License-Identifier: Apache-2.0 */
/* Help for net backends that are sockets: addresses as users write them, descriptors they were
 * given. Not ABI. All [control]. */
#ifndef BACKPLANE_SDK_NET_ADDRESS_H
#define BACKPLANE_SDK_NET_ADDRESS_H

#include <backplane/sdk/services.h>

#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bp_net_address {
    struct sockaddr_storage address;
    socklen_t length; /* 0: none */
    char text[128];   /* for messages */
};

/* node: the option, for messages. Both return 0, or a negative errno that was explained. */
int32_t bp_net_address_unix(const struct bp_services *services, const struct bp_node *node,
                            const char *path, struct bp_net_address *address) BP_MUST_CHECK;
/* text: "host:port", "[::1]:port"; here: an address to bind, which may leave the host out.
 * kind: SOCK_STREAM or SOCK_DGRAM. */
int32_t bp_net_address_inet(const struct bp_services *services, const struct bp_node *node,
                            const char *text, int kind, uint32_t here,
                            struct bp_net_address *address) BP_MUST_CHECK;
/* Removes the unix socket of a run that ended badly; anything else there is not ours to remove. */
void bp_net_address_remove_stale(const struct bp_net_address *address, int kind);
/* A duplicate, non-blocking, of a descriptor the program was started with; or a negative errno that
 * was explained. */
int32_t bp_net_take_socket(const struct bp_services *services, const struct bp_node *node,
                           uint64_t fd, int kind) BP_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
