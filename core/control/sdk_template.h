/* SPDX-License-Identifier: Apache-2.0 */
/* `backplane sdk new`: a plugin from the SDK's templates. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* directory: where the folder is made; NULL: plugins/ of the source tree if the program is called
 * in its root, else the current one. Writes what it made to stdout. Leaves nothing behind on
 * failure. */
bool sdk_template_new(const char *name, const char *kind, const char *directory, GError **error);
