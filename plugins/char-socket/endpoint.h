/* SPDX-License-Identifier: Apache-2.0 */
/* The address of a unix socket: making it, connecting to it, removing it. */
#ifndef CHAR_SOCKET_ENDPOINT_H
#define CHAR_SOCKET_ENDPOINT_H

#include <backplane/sdk/sdk.h>

#include <sys/stat.h>
#include <sys/un.h>

struct endpoint {
    struct sockaddr_un address;
    uint32_t listens; /* server */
    uint32_t mode;    /* of the socket file */
    int fd;           /* listening socket, -1: none */
    struct stat made; /* the file we made, if fd is not -1 */
    const struct bp_node *node;
};

/* Reads the options path, server and mode; touches nothing. 0 or a negative errno, explained. */
int32_t endpoint_init(struct endpoint *endpoint, const struct bp_services *host,
                      const struct bp_node *config);
/* Makes the socket, if this is a server; replaces one that nobody listens on. Likewise. */
int32_t endpoint_listen(struct endpoint *endpoint, const struct bp_services *host);
/* Connects to it, without waiting. Returns the descriptor or a negative errno. */
int endpoint_connect(const struct endpoint *endpoint);
/* Closes the listening socket and removes its file, if that is still the one we made. */
void endpoint_done(struct endpoint *endpoint);

#endif
