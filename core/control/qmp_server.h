/* SPDX-License-Identifier: Apache-2.0 */
/* QMP, the JSON control protocol people have clients for: a greeting, qmp_capabilities, commands
 * with ids, events with time stamps. Several clients at once;
 * none of them can hold up the machine. */
#pragma once

#include "machine/machine.h"

#include <glib.h>

typedef struct QmpServer QmpServer;

/* Listens on a unix socket with mode 0600; machine.control_users names others that may connect. */
QmpServer *qmp_server_new(Machine *machine, const char *path, GError **error);
void qmp_server_free(QmpServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmpServer, qmp_server_free)
/* Tells every client that has negotiated. json: an object as text, or NULL. [control] */
void qmp_server_event(QmpServer *server, const char *name, const char *json);
