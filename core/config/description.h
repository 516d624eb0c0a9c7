/* SPDX-License-Identifier: Apache-2.0 */
/* A machine description as a tree of nodes, not yet held against any schema. */
#pragma once

#include "config/error_list.h"
#include "config/node.h"

#define FILE_COMMAND_LINE "command line"
#define FILE_DEFAULT      "default"
#define FILE_CONTROL      "control socket" /* relative paths: the working directory */

/* Reads a file and what it includes. NULL after adding to errors. */
Node *description_read(const char *path, ErrorList *errors);
/* Reads one value, as it stands right of an "=". NULL if text is none. */
Node *description_read_value(const char *text, const char *name, const char *file);
/* Carries out one "path=value" of -s: replaces or creates what the path names. A value that
 * libconfig would not take for one is a text. */
void description_override(Node *root, const char *assignment, ErrorList *errors);
/* A relative path seen from the file that names it (from the working directory for the command
 * line). */
char *description_resolve_path(const Node *node, const char *path);
