/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that is wrong with a machine description,
 * gathered so that the user sees it at once. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct ErrorList ErrorList;

ErrorList *error_list_new(void);
void error_list_free(ErrorList *list);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ErrorList, error_list_free)

/* file NULL: no place. path: "devices.blk0.backend" or NULL. Printed as
 * "machine.cfg:12: devices.blk0.backend: no backend \"dsik0\" (did you mean \"disk0\"?)". */
void error_list_add(ErrorList *list, const char *file, unsigned line, const char *path,
                    const char *format, ...) G_GNUC_PRINTF(5, 6);
unsigned error_list_count(const ErrorList *list);
/* In order of file and line. */
void error_list_print(const ErrorList *list, FILE *out);
/* The same, one by one; file and path may be NULL, line 0. */
void error_list_foreach(const ErrorList *list,
                        void (*each)(void *opaque, const char *file, unsigned line,
                                     const char *path, const char *text),
                        void *opaque);
/* Joins all of it into one GError (ERROR_CONFIG); false if the list is not empty. */
bool error_list_propagate(const ErrorList *list, GError **error);
