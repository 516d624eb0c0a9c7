/* SPDX-License-Identifier: Apache-2.0 */
/* Unix stream sockets by path. Every descriptor is close-on-exec and non-blocking. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* Listens at path with these permissions. A socket file nobody listens on any more is replaced; one
 * that somebody serves, or a file that is no socket, is refused. -1 with error set. */
int unix_socket_listen(const char *path, mode_t mode, GError **error);
int unix_socket_connect(const char *path, GError **error);
int unix_socket_accept(int listen_fd); /* or -errno */
