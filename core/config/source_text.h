/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a machine description with its @include directives carried out, and for each line of
 * it the file and line it comes from. It is what libconfig is given to parse: libconfig 1.5 itself
 * resolves includes against one directory only, and cuts numbers that do not fit 32 bits without a
 * word; here an include is relative to the file that names it, and integers are marked as 64 bits
 * wide. */
#pragma once

#include "config/error_list.h"

#include <glib.h>
#include <stdbool.h>

#define SOURCE_FILE_MAX    (1u << 20) /* bytes of one file */
#define SOURCE_TOTAL_MAX   (4u << 20) /* bytes of all: includes cannot multiply without end */
#define SOURCE_FILES_MAX   256        /* files, each as often as it is included */
#define SOURCE_DEPTH_MAX   16         /* files that include each other */
#define SOURCE_NESTING_MAX 32         /* groups and lists within each other */

typedef struct {
    const char *file; /* interned */
    unsigned line;
} SourcePlace;

typedef struct {
    GString *text;
    GArray *lines; /* SourcePlace of line i + 1 */
    size_t bytes;  /* read from files so far */
    unsigned files;
} SourceText;

/* False after adding to errors. */
bool source_text_read(SourceText *source, const char *path, ErrorList *errors);
/* The same for a text that is no file; an @include in it is an error. */
bool source_text_from_string(SourceText *source, const char *text, const char *file,
                             ErrorList *errors);
void source_text_done(SourceText *source);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SourceText, source_text_done)

/* line: from 1, as libconfig counts. */
SourcePlace source_text_place(const SourceText *source, unsigned line);
