/* SPDX-License-Identifier: Apache-2.0 */
/* The test protocol's socket. */
#pragma once

#include "machine/machine.h"

#include <glib.h>

typedef struct TestServer TestServer;

/* where: "PATH" connects to a listener there; "PATH,server" listens and serves one client at a
 * time. A leading "unix:" is accepted. When a connection it made ends, the machine ends too. */
TestServer *test_server_new(Machine *machine, const char *where, GError **error);
void test_server_free(TestServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestServer, test_server_free)
