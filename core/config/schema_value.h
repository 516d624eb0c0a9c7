/* SPDX-License-Identifier: Apache-2.0 */
/* One value against one option. */
#pragma once

#include "config/node.h"

#include <backplane/plugin.h>

/* Checks type, range and choices, and turns the value into its final form. NULL, or what is wrong,
 * owned by the caller. Elements and members are left to the caller. */
char *schema_value_convert(Node *node, const struct bp_prop *prop);
