/* SPDX-License-Identifier: Apache-2.0 */
#include "control/test_server.h"

#include "base/error.h"
#include "base/unix_socket.h"
#include "control/test_commands.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES (192u << 20) /* the longest legal request: 64 MiB as hexadecimal */
#define READ_BYTES     65536

struct TestServer {
    Machine *machine;
    char *path;        /* of the listening socket, else NULL */
    int listen_fd;
    int fd;
    GSource *accept_source, *read_source, *write_source, *output_source;
    GString *in, *out;
    TestCommands *commands;
};

static void
drop_source(GSource **source)
{
    if (*source != NULL) {
        g_source_destroy(*source);
        g_clear_pointer(source, g_source_unref);
    }
}

static void
disconnect(TestServer *server)
{
    drop_source(&server->read_source);
    drop_source(&server->write_source);
    g_clear_pointer(&server->commands, test_commands_free);
    g_string_truncate(server->in, 0);
    g_string_truncate(server->out, 0);
    if (server->fd >= 0) {
        (void)close(server->fd);
        server->fd = -1;
    }
    if (server->listen_fd < 0) {
        machine_request(server->machine, MACHINE_REQUEST_QUIT, "test protocol",
                        "the connection ended");
    }
}

/* Lower than the loops' priority: what a request set in motion is done before the next one. */
static GSource *
watch(TestServer *server, int fd, GIOCondition condition, GUnixFDSourceFunc func)
{
    GSource *source = g_unix_fd_source_new(fd, condition);

    g_source_set_priority(source, G_PRIORITY_DEFAULT_IDLE);
    g_source_set_callback(source, G_SOURCE_FUNC(func), server, NULL);
    (void)g_source_attach(source, machine_context(server->machine));
    return source;
}

static gboolean writable(gint fd, GIOCondition condition, gpointer opaque);

/* False when the connection is gone. */
static bool
flush(TestServer *server)
{
    while (server->out->len > 0) {
        ssize_t written = write(server->fd, server->out->str, server->out->len);
        if (written > 0) {
            g_string_erase(server->out, 0, written);
        } else if (errno == EAGAIN) {
            if (server->write_source == NULL) {
                server->write_source = watch(server, server->fd, G_IO_OUT, writable);
            }
            return true;
        } else if (errno != EINTR) {
            return false;
        }
    }
    drop_source(&server->write_source);
    return true;
}

static gboolean
writable(gint fd, GIOCondition condition, gpointer opaque)
{
    TestServer *server = opaque;

    if (!flush(server)) {
        disconnect(server);
    }
    return G_SOURCE_CONTINUE;
}

static void
serve_lines(TestServer *server)
{
    char *start = server->in->str;
    char *end;

    while ((end = memchr(start, '\n', server->in->len - (gsize)(start - server->in->str))) !=
           NULL) {
        *end = '\0';
        test_commands_run(server->commands, start);
        start = end + 1;
    }
    g_string_erase(server->in, 0, start - server->in->str);
}

static gboolean
readable(gint fd, GIOCondition condition, gpointer opaque)
{
    TestServer *server = opaque;
    char data[READ_BYTES];
    ssize_t got = read(fd, data, sizeof(data));

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (got <= 0 || server->in->len + (gsize)got > LINE_MAX_BYTES) {
        disconnect(server);
        return G_SOURCE_CONTINUE;
    }
    g_string_append_len(server->in, data, got);
    if (memchr(data, '\n', (size_t)got) != NULL) {
        serve_lines(server);
    }
    if (!flush(server)) {
        disconnect(server);
    }
    return G_SOURCE_CONTINUE;
}

static void
adopt(TestServer *server, int fd)
{
    server->fd = fd;
    (void)g_unix_set_fd_nonblocking(fd, TRUE, NULL);
    server->commands = test_commands_new(server->machine, server->out);
    server->read_source = watch(server, fd, G_IO_IN | G_IO_HUP | G_IO_ERR, readable);
}

static gboolean
acceptable(gint fd, GIOCondition condition, gpointer opaque)
{
    TestServer *server = opaque;
    int client = unix_socket_accept(fd);

    if (client >= 0 && server->fd >= 0) {
        (void)close(client); /* one client at a time */
    } else if (client >= 0) {
        adopt(server, client);
    }
    return G_SOURCE_CONTINUE;
}

/* Interrupts that come between requests (a completion) are sent as they come: a source that is ready
 * whenever there is output that no event of the socket will send. */
typedef struct {
    GSource source;
    TestServer *server;
} OutputSource;

static gboolean
output_waits(GSource *source)
{
    const TestServer *server = ((OutputSource *)source)->server;

    return server->fd >= 0 && server->out->len > 0 && server->write_source == NULL;
}

static gboolean
output_prepare(GSource *source, gint *timeout)
{
    *timeout = -1;
    return output_waits(source);
}

static gboolean
output_dispatch(GSource *source, GSourceFunc callback, gpointer opaque)
{
    TestServer *server = ((OutputSource *)source)->server;

    if (!flush(server)) {
        disconnect(server);
    }
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs output_funcs = {
    .prepare = output_prepare,
    .check = output_waits,
    .dispatch = output_dispatch,
};

static GSource *
output_source_new(TestServer *server)
{
    GSource *source = g_source_new(&output_funcs, sizeof(OutputSource));

    ((OutputSource *)source)->server = server;
    (void)g_source_attach(source, machine_context(server->machine));
    return source;
}

TestServer *
test_server_new(Machine *machine, const char *where, GError **error)
{
    g_autoptr(TestServer) server = g_new0(TestServer, 1);
    g_auto(GStrv) parts = g_strsplit(where, ",", 0);
    const char *path = g_str_has_prefix(parts[0], "unix:") ? parts[0] + 5 : parts[0];
    bool listening = false;
    unsigned i;

    server->machine = machine;
    server->listen_fd = -1;
    server->fd = -1;
    server->in = g_string_new(NULL);
    server->out = g_string_new(NULL);
    for (i = 1; parts[i] != NULL; i++) {
        if (strcmp(parts[i], "server") == 0 || strcmp(parts[i], "server=on") == 0) {
            listening = true;
        } else if (strcmp(parts[i], "wait=off") != 0 && strcmp(parts[i], "nowait") != 0) {
            g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                        "--test-socket: unknown option \"%s\" (known: server)", parts[i]);
            return NULL;
        }
    }
    if (listening) {
        server->listen_fd = unix_socket_listen(path, 0600, error);
        if (server->listen_fd < 0) {
            return NULL;
        }
        server->path = g_strdup(path);
        server->accept_source = watch(server, server->listen_fd, G_IO_IN, acceptable);
    } else {
        int fd = unix_socket_connect(path, error);
        if (fd < 0) {
            return NULL;
        }
        adopt(server, fd);
    }
    server->output_source = output_source_new(server);
    return g_steal_pointer(&server);
}

void
test_server_free(TestServer *server)
{
    if (server == NULL) {
        return;
    }
    drop_source(&server->accept_source);
    drop_source(&server->read_source);
    drop_source(&server->write_source);
    drop_source(&server->output_source);
    test_commands_free(server->commands);
    if (server->fd >= 0) {
        (void)close(server->fd);
    }
    if (server->listen_fd >= 0) {
        (void)close(server->listen_fd);
        (void)unlink(server->path);
    }
    g_free(server->path);
    g_string_free(server->in, TRUE);
    g_string_free(server->out, TRUE);
    g_free(server);
}
