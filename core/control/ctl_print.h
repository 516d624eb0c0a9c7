/* SPDX-License-Identifier: Apache-2.0 */
/* An answer of QMP as a table for people. */
#pragma once

#include <json-glib/json-glib.h>

/* A list of objects: a line for each, a column for each member; an object: a line for each member;
 * texts as they are. Owned by the caller. */
char *ctl_print(JsonNode *value);
