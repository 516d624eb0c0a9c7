/* SPDX-License-Identifier: Apache-2.0 */
/* Writes JSON (RFC 8259) in order, indented. Why not a library: docs/adr/0010. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct JsonWriter JsonWriter;

JsonWriter *json_writer_new(void);
void json_writer_free(JsonWriter *json);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JsonWriter, json_writer_free)

/* bracket: '{' or '['. Within '{', each value follows a name. */
void json_writer_begin(JsonWriter *json, char bracket);
void json_writer_end(JsonWriter *json);
void json_writer_name(JsonWriter *json, const char *name);
void json_writer_text(JsonWriter *json, const char *text); /* NULL: null */
void json_writer_int(JsonWriter *json, int64_t value);
void json_writer_real(JsonWriter *json, double value);
void json_writer_bool(JsonWriter *json, bool value);
/* The text, ending with a newline; owned by the caller. */
char *json_writer_finish(JsonWriter *json);
