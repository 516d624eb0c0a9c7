/* SPDX-License-Identifier: Apache-2.0 */
#include <backplane/sdk/json.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void
put(struct bp_json *json, const char *text, size_t length)
{
    json->answer->write(json->answer->opaque, text, length);
}

static void
put_string(struct bp_json *json, const char *text)
{
    put(json, "\"", 1);
    for (; *text != '\0'; text++) {
        char escape[8];
        if (*text == '"' || *text == '\\' || (unsigned char)*text < 0x20) {
            put(json, escape,
                (size_t)snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)*text));
        } else {
            put(json, text, 1);
        }
    }
    put(json, "\"", 1);
}

static void
begin(struct bp_json *json, const char *name)
{
    if (json->comma) {
        put(json, ", ", 2);
    }
    if (name != NULL) {
        put_string(json, name);
        put(json, ": ", 2);
    }
    json->comma = 1;
}

void
bp_json_init(struct bp_json *json, const struct bp_inspect_answer *answer)
{
    json->answer = answer;
    json->comma = 0;
}

void
bp_json_open(struct bp_json *json, const char *name, char bracket)
{
    begin(json, name);
    put(json, &bracket, 1);
    json->comma = 0;
}

void
bp_json_close(struct bp_json *json, char bracket)
{
    put(json, &bracket, 1);
    json->comma = 1;
}

void
bp_json_text(struct bp_json *json, const char *name, const char *text)
{
    begin(json, name);
    put_string(json, text);
}

void
bp_json_number(struct bp_json *json, const char *name, uint64_t number)
{
    char text[24];

    begin(json, name);
    put(json, text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, number));
}

void
bp_json_bool(struct bp_json *json, const char *name, uint32_t value)
{
    begin(json, name);
    put(json, value ? "true" : "false", value ? 4 : 5);
}
