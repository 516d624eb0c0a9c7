/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts a byte stream into JSON objects, which QMP does not separate: braces are counted outside of
 * strings. Bounded: an object that is too long or too deep is an error at once. */
#pragma once

#include <glib.h>
#include <stddef.h>

#define QMP_OBJECT_MAX (1u << 20) /* bytes */
#define QMP_DEPTH_MAX  64

typedef struct {
    GString *text; /* of the object so far */
    unsigned depth;
    gboolean in_string, escaped;
} QmpFraming;

typedef enum {
    QMP_FRAMING_MORE,   /* everything was taken; no object is complete */
    QMP_FRAMING_OBJECT, /* framing->text is one object;
                         * *taken bytes belong to it or lie before it */
    QMP_FRAMING_ERROR,  /* not an object, too long or too deep; *taken leads past the line's end */
} QmpFramingResult;

void qmp_framing_init(QmpFraming *framing);
void qmp_framing_done(QmpFraming *framing);
/* After an OBJECT or an ERROR the next call starts a new one. */
QmpFramingResult qmp_framing_feed(QmpFraming *framing, const char *data, size_t length,
                                  size_t *taken);
