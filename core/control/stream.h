/* SPDX-License-Identifier: Apache-2.0 */
/* One connection on the control thread, never blocking: bytes in by callback, bytes out through a
 * buffer that sends itself; and a listener that makes such connections. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct Stream Stream;

typedef struct {
    /* Bytes arrived. False ends the connection. */
    bool (*received)(void *opaque, const char *data, size_t length);
    /* The other end is gone, or an error or an overflow ended it; called once. Free it here or
     * later. */
    void (*closed)(void *opaque);
} StreamFuncs;

/* Takes over fd, which is non-blocking. priority: of its events in the context. output_max: bytes
 * that may wait for a peer that does not read; 0: no limit. */
Stream *stream_new(GMainContext *context, int fd, int priority, size_t output_max,
                   const StreamFuncs *funcs, void *opaque);
void stream_free(Stream *stream); /* takes NULL; sends nothing more */
/* What is appended here goes out when the control thread next comes around. */
GString *stream_output(Stream *stream);
/* Sends now what the socket takes. */
void stream_flush(Stream *stream);

typedef struct Listener Listener;

/* Listens on a unix socket (mode 0600). New connections are served after what is older: give it a
 * lower priority than its streams, and a closed one is noticed before the next one is accepted.
 * accepted: gets each new connection's descriptor. */
Listener *listener_new(GMainContext *context, const char *path, int priority,
                       void (*accepted)(void *opaque, int fd), void *opaque, GError **error);
void listener_free(Listener *listener); /* removes the socket file; takes NULL */
