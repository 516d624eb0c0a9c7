/* SPDX-License-Identifier: Apache-2.0 */
/* JSON output. */
#include "base/json_writer.h"

#include <math.h>

struct JsonWriter {
    GString *text;
    GString *open; /* closing brackets of what is open */
    bool is_first; /* in the innermost one */
    bool has_name; /* a value follows on the same line */
};

JsonWriter *
json_writer_new(void)
{
    JsonWriter *json = g_new0(JsonWriter, 1);

    json->text = g_string_new(NULL);
    json->open = g_string_new(NULL);
    json->is_first = true;
    return json;
}

void
json_writer_free(JsonWriter *json)
{
    if (json != NULL) {
        g_string_free(json->text, TRUE);
        g_string_free(json->open, TRUE);
        g_free(json);
    }
}

static void
new_line(JsonWriter *json)
{
    g_string_append_c(json->text, '\n');
    for (gsize i = 0; i < json->open->len; i++) {
        g_string_append(json->text, "  ");
    }
}

static void
before_value(JsonWriter *json)
{
    if (json->has_name) {
        json->has_name = false;
        return;
    }
    if (!json->is_first) {
        g_string_append_c(json->text, ',');
    }
    if (json->open->len > 0) {
        new_line(json);
    }
    json->is_first = false;
}

void
json_writer_begin(JsonWriter *json, char bracket)
{
    before_value(json);
    g_string_append_c(json->text, bracket);
    g_string_append_c(json->open, bracket == '{' ? '}' : ']');
    json->is_first = true;
}

void
json_writer_end(JsonWriter *json)
{
    char bracket = json->open->str[json->open->len - 1];

    g_string_truncate(json->open, json->open->len - 1);
    if (!json->is_first) {
        new_line(json);
    }
    g_string_append_c(json->text, bracket);
    json->is_first = false;
}

static void
append_quoted(GString *out, const char *text)
{
    g_string_append_c(out, '"');
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            g_string_append_printf(out, "\\%c", *c);
        } else if ((unsigned char)*c < 0x20) {
            g_string_append_printf(out, "\\u%04x", (unsigned)*c);
        } else {
            g_string_append_c(out, *c);
        }
    }
    g_string_append_c(out, '"');
}

void
json_writer_name(JsonWriter *json, const char *name)
{
    before_value(json);
    append_quoted(json->text, name);
    g_string_append(json->text, ": ");
    json->has_name = true;
}

void
json_writer_text(JsonWriter *json, const char *text)
{
    before_value(json);
    if (text == NULL) {
        g_string_append(json->text, "null");
    } else {
        append_quoted(json->text, text);
    }
}

void
json_writer_int(JsonWriter *json, int64_t value)
{
    before_value(json);
    g_string_append_printf(json->text, "%" G_GINT64_FORMAT, value);
}

void
json_writer_real(JsonWriter *json, double value)
{
    char buffer[G_ASCII_DTOSTR_BUF_SIZE];

    before_value(json);
    g_string_append(json->text,
                    isfinite(value) ? g_ascii_dtostr(buffer, sizeof(buffer), value) : "null");
}

void
json_writer_bool(JsonWriter *json, bool value)
{
    before_value(json);
    g_string_append(json->text, value ? "true" : "false");
}

char *
json_writer_finish(JsonWriter *json)
{
    g_string_append_c(json->text, '\n');
    return g_strdup(json->text->str);
}
