/* SPDX-License-Identifier: Apache-2.0 */
#include "control/stream.h"

#include "base/unix_socket.h"

#include <errno.h>
#include <glib-unix.h>
#include <unistd.h>

#define READ_BYTES 65536

struct Stream {
    GMainContext *context;
    int fd;
    int priority;
    size_t output_max;
    StreamFuncs funcs;
    void *opaque;
    GString *out;
    bool closed;
    GSource *read_source, *write_source, *output_source;
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
stream_close(Stream *stream)
{
    if (stream->closed) {
        return;
    }
    stream->closed = true;
    drop_source(&stream->read_source);
    drop_source(&stream->write_source);
    drop_source(&stream->output_source);
    stream->funcs.closed(stream->opaque);
}

static GSource *
watch(Stream *stream, GIOCondition condition, GUnixFDSourceFunc func)
{
    GSource *source = g_unix_fd_source_new(stream->fd, condition);

    g_source_set_priority(source, stream->priority);
    g_source_set_callback(source, G_SOURCE_FUNC(func), stream, NULL);
    (void)g_source_attach(source, stream->context);
    return source;
}

static gboolean
writable(gint fd, GIOCondition condition, gpointer opaque)
{
    stream_flush(opaque);
    return G_SOURCE_CONTINUE;
}

/* False when more waits than a peer that does not read may be given. */
static bool
wait_for_reader(Stream *stream)
{
    if (stream->write_source == NULL) {
        stream->write_source = watch(stream, G_IO_OUT, writable);
    }
    return stream->output_max == 0 || stream->out->len <= stream->output_max;
}

/* False when the connection is gone. */
static bool
send_some(Stream *stream)
{
    while (stream->out->len > 0) {
        ssize_t written = write(stream->fd, stream->out->str, stream->out->len);
        if (written > 0) {
            g_string_erase(stream->out, 0, written);
        } else if (errno == EAGAIN) {
            return wait_for_reader(stream);
        } else if (errno != EINTR) {
            return false;
        }
    }
    drop_source(&stream->write_source);
    return true;
}

void
stream_flush(Stream *stream)
{
    if (!stream->closed && !send_some(stream)) {
        stream_close(stream);
    }
}

static void
receive(Stream *stream)
{
    char data[READ_BYTES];
    ssize_t got = read(stream->fd, data, sizeof(data));

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0 || !stream->funcs.received(stream->opaque, data, (size_t)got)) {
        stream_close(stream);
    } else {
        stream_flush(stream);
    }
}

/* Input. GLib takes an ordinary source out of its poll set while it is dispatched and puts it back
 * afterwards, and wakes itself up for both: three system calls a request. A source that may recurse
 * stays in; this one says for itself that it is not ready until its dispatch is over. */
typedef struct {
    GSource source;
    Stream *stream;
    gpointer tag;
    bool busy;
} InputSource;

static gboolean
input_prepare(GSource *source, gint *timeout)
{
    *timeout = -1;
    return FALSE;
}

static gboolean
input_check(GSource *source)
{
    const InputSource *input = (InputSource *)source;

    return !input->busy && g_source_query_unix_fd(source, input->tag) != 0;
}

static gboolean
input_dispatch(GSource *source, GSourceFunc callback, gpointer opaque)
{
    InputSource *input = (InputSource *)source;

    input->busy = true;
    receive(input->stream); /* may free the stream, not the source: GLib holds it */
    input->busy = false;
    return G_SOURCE_CONTINUE;
}

static GSource *
input_source_new(Stream *stream)
{
    static GSourceFuncs funcs = {
        /* check: allow; GLib wants it writable */
        .prepare = input_prepare,
        .check = input_check,
        .dispatch = input_dispatch,
    };
    GSource *source = g_source_new(&funcs, sizeof(InputSource));
    InputSource *input = (InputSource *)source;

    input->stream = stream;
    input->tag = g_source_add_unix_fd(source, stream->fd, G_IO_IN | G_IO_HUP | G_IO_ERR);
    g_source_set_can_recurse(source, TRUE);
    g_source_set_priority(source, stream->priority);
    (void)g_source_attach(source, stream->context);
    return source;
}

/* Output that was appended outside of a callback of the socket: ready whenever some waits. */
typedef struct {
    GSource source;
    Stream *stream;
} OutputSource;

static gboolean
output_waits(GSource *source)
{
    const Stream *stream = ((OutputSource *)source)->stream;

    return stream->out->len > 0 && stream->write_source == NULL;
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
    stream_flush(((OutputSource *)source)->stream);
    return G_SOURCE_CONTINUE;
}

static GSource *
output_source_new(Stream *stream)
{
    static GSourceFuncs funcs = {
        /* check: allow; GLib wants it writable */
        .prepare = output_prepare,
        .check = output_waits,
        .dispatch = output_dispatch,
    };
    GSource *source = g_source_new(&funcs, sizeof(OutputSource));

    ((OutputSource *)source)->stream = stream;
    (void)g_source_attach(source, stream->context);
    return source;
}

Stream *
stream_new(GMainContext *context, int fd, int priority, size_t output_max, const StreamFuncs *funcs,
           void *opaque)
{
    Stream *stream = g_new0(Stream, 1);

    stream->context = context;
    stream->fd = fd;
    stream->priority = priority;
    stream->output_max = output_max;
    stream->funcs = *funcs;
    stream->opaque = opaque;
    stream->out = g_string_new(NULL);
    stream->read_source = input_source_new(stream);
    stream->output_source = output_source_new(stream);
    return stream;
}

void
stream_free(Stream *stream)
{
    if (stream == NULL) {
        return;
    }
    drop_source(&stream->read_source);
    drop_source(&stream->write_source);
    drop_source(&stream->output_source);
    (void)close(stream->fd);
    g_string_free(stream->out, TRUE);
    g_free(stream);
}

GString *
stream_output(Stream *stream)
{
    return stream->out;
}

struct Listener {
    char *path;
    int fd;
    GSource *source;
    void (*accepted)(void *opaque, int fd);
    void *opaque;
};

static gboolean
acceptable(gint fd, GIOCondition condition, gpointer opaque)
{
    const Listener *listener = opaque;
    int client = unix_socket_accept(fd);

    if (client >= 0) {
        listener->accepted(listener->opaque, client);
    }
    return G_SOURCE_CONTINUE;
}

Listener *
listener_new(GMainContext *context, const char *path, int priority,
             void (*accepted)(void *opaque, int fd), void *opaque, GError **error)
{
    int fd = unix_socket_listen(path, 0600, error);
    Listener *listener;

    if (fd < 0) {
        return NULL;
    }
    listener = g_new0(Listener, 1);
    listener->path = g_strdup(path);
    listener->fd = fd;
    listener->accepted = accepted;
    listener->opaque = opaque;
    listener->source = g_unix_fd_source_new(fd, G_IO_IN);
    g_source_set_priority(listener->source, priority);
    g_source_set_callback(listener->source, G_SOURCE_FUNC(acceptable), listener, NULL);
    (void)g_source_attach(listener->source, context);
    return listener;
}

void
listener_free(Listener *listener)
{
    if (listener == NULL) {
        return;
    }
    drop_source(&listener->source);
    (void)close(listener->fd);
    (void)unlink(listener->path);
    g_free(listener->path);
    g_free(listener);
}
