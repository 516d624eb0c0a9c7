/* SPDX-License-Identifier: Apache-2.0 */
/* What a builder holds, as text for people and scripts. */
#pragma once

#include <json-glib/json-glib.h>

/* Indented, ending with a newline; owned by the caller. */
char *json_text(JsonBuilder *builder);
