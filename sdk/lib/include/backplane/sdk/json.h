/* SPDX-License-Identifier: Apache-2.0 */
/* Writes JSON as the answer to a question (bp.inspect/1): each call one value, commas by
 * themselves. name: of a member of an object; NULL in a list, and for the outermost value. */
#ifndef BACKPLANE_SDK_JSON_H
#define BACKPLANE_SDK_JSON_H

#include <backplane/inspect.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bp_json {
    const struct bp_inspect_answer *answer;
    uint32_t comma; /* a value precedes the next one */
};

void bp_json_init(struct bp_json *json, const struct bp_inspect_answer *answer);
/* bracket: '{' or '['; ended with '}' or ']'. */
void bp_json_open(struct bp_json *json, const char *name, char bracket);
void bp_json_close(struct bp_json *json, char bracket);
void bp_json_text(struct bp_json *json, const char *name, const char *text);
void bp_json_number(struct bp_json *json, const char *name, uint64_t number);
void bp_json_bool(struct bp_json *json, const char *name, uint32_t value);

#ifdef __cplusplus
}
#endif

#endif
