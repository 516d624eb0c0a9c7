/* SPDX-License-Identifier: Apache-2.0 */
#include "control/qmp_framing.h"

#include <string.h>

void
qmp_framing_init(QmpFraming *framing)
{
    memset(framing, 0, sizeof(*framing));
    framing->text = g_string_new(NULL);
}

void
qmp_framing_done(QmpFraming *framing)
{
    g_string_free(framing->text, TRUE);
}

static void
restart(QmpFraming *framing)
{
    g_string_truncate(framing->text, 0);
    framing->depth = 0;
    framing->in_string = FALSE;
    framing->escaped = FALSE;
}

static void
step(QmpFraming *framing, char c)
{
    if (framing->escaped) {
        framing->escaped = FALSE;
    } else if (framing->in_string) {
        framing->escaped = c == '\\';
        framing->in_string = c != '"';
    } else if (c == '"') {
        framing->in_string = TRUE;
    } else if (c == '{' || c == '[') {
        framing->depth++;
    } else if (c == '}' || c == ']') {
        framing->depth--;
    }
}

static QmpFramingResult
fail(const char *data, size_t length, size_t at, size_t *taken)
{
    const char *end = memchr(data + at, '\n', length - at);

    *taken = end != NULL ? (size_t)(end - data) + 1 : length;
    return QMP_FRAMING_ERROR;
}

QmpFramingResult
qmp_framing_feed(QmpFraming *framing, const char *data, size_t length, size_t *taken)
{
    size_t i;

    if (framing->text->len > 0 && framing->depth == 0) {
        restart(framing);
    }
    for (i = 0; i < length; i++) {
        if (framing->depth == 0 && strchr(" \t\r\n", data[i]) != NULL) {
            continue;
        }
        if (framing->depth == 0 && data[i] != '{') {
            restart(framing);
            return fail(data, length, i, taken);
        }
        step(framing, data[i]);
        g_string_append_c(framing->text, data[i]);
        if (framing->depth == 0) {
            *taken = i + 1;
            return QMP_FRAMING_OBJECT;
        }
        if (framing->depth > QMP_DEPTH_MAX || framing->text->len >= QMP_OBJECT_MAX) {
            restart(framing);
            return fail(data, length, i, taken);
        }
    }
    *taken = length;
    return QMP_FRAMING_MORE;
}
