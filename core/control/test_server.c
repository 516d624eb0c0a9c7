/* SPDX-License-Identifier: Apache-2.0 */
#include "control/test_server.h"

#include "base/error.h"
#include "base/unix_socket.h"
#include "control/stream.h"
#include "control/test_commands.h"

#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES (192u << 20) /* the longest legal request: 64 MiB as hexadecimal */

struct TestServer {
    Machine *machine;
    Listener *listener; /* or NULL: it connected */
    Stream *stream;     /* or NULL: nobody is there */
    GString *in;
    TestCommands *commands;
};

static bool
received(void *opaque, const char *data, size_t length)
{
    TestServer *server = opaque;
    char *start, *end;

    if (server->in->len + length > LINE_MAX_BYTES) {
        return false;
    }
    g_string_append_len(server->in, data, (gssize)length);
    if (memchr(data, '\n', length) == NULL) {
        return true;
    }
    start = server->in->str;
    while ((end = memchr(start, '\n', server->in->len - (gsize)(start - server->in->str))) !=
           NULL) {
        *end = '\0';
        test_commands_run(server->commands, start);
        start = end + 1;
    }
    g_string_erase(server->in, 0, start - server->in->str);
    return true;
}

static void
closed(void *opaque)
{
    TestServer *server = opaque;

    g_clear_pointer(&server->commands, test_commands_free);
    g_clear_pointer(&server->stream, stream_free);
    g_string_truncate(server->in, 0);
    if (server->listener == NULL) {
        machine_request(server->machine, MACHINE_REQUEST_QUIT, "test protocol",
                        "the connection ended");
    }
}

/* Below the loops' priority: what a request set in motion is done before the next one is read. */
static void
adopt(TestServer *server, int fd)
{
    static const StreamFuncs funcs = {.received = received, .closed = closed};

    server->stream = stream_new(machine_context(server->machine), fd, G_PRIORITY_DEFAULT_IDLE, 0,
                                &funcs, server);
    server->commands = test_commands_new(server->machine, stream_output(server->stream));
}

static void
accepted(void *opaque, int fd)
{
    TestServer *server = opaque;

    if (server->stream != NULL) {
        (void)close(fd); /* one client at a time */
    } else {
        adopt(server, fd);
    }
}

static bool
parse_where(const char *where, char **path, bool *listening, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(where, ",", 0);
    const char *given = parts[0] != NULL ? parts[0] : "";
    unsigned i;

    for (i = 1; parts[0] != NULL && parts[i] != NULL; i++) {
        if (strcmp(parts[i], "server") == 0 || strcmp(parts[i], "server=on") == 0) {
            *listening = true;
        } else if (strcmp(parts[i], "wait=off") != 0 && strcmp(parts[i], "nowait") != 0) {
            g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                        "--test-socket: unknown option \"%s\" (known: server)", parts[i]);
            return false;
        }
    }
    *path = g_strdup(g_str_has_prefix(given, "unix:") ? given + strlen("unix:") : given);
    return true;
}

TestServer *
test_server_new(Machine *machine, const char *where, GError **error)
{
    g_autoptr(TestServer) server = g_new0(TestServer, 1);
    g_autofree char *path = NULL;
    bool listening = false;

    server->machine = machine;
    server->in = g_string_new(NULL);
    if (!parse_where(where, &path, &listening, error)) {
        return NULL;
    }
    if (listening) {
        server->listener =
            listener_new(machine_context(machine), path, G_PRIORITY_LOW, accepted, server, error);
        if (server->listener == NULL) {
            return NULL;
        }
    } else {
        int fd = unix_socket_connect(path, error);
        if (fd < 0) {
            return NULL;
        }
        adopt(server, fd);
    }
    return g_steal_pointer(&server);
}

void
test_server_free(TestServer *server)
{
    if (server == NULL) {
        return;
    }
    test_commands_free(server->commands);
    stream_free(server->stream);
    listener_free(server->listener);
    g_string_free(server->in, TRUE);
    g_free(server);
}
