/* SPDX-License-Identifier: Apache-2.0 */
/* A sorted list of what is wrong with a machine description. */
#include "config/error_list.h"

#include "base/error.h"

#include <string.h>

/* More than anyone reads; a hostile description must not make the list grow without end. */
#define ERRORS_MAX 500u

typedef struct {
    char *file;
    unsigned line;
    char *path;
    char *text;
} ErrorEntry;

struct ErrorList {
    GPtrArray *entries; /* ErrorEntry, in the order in which they were found */
};

static void
error_entry_free(gpointer data)
{
    ErrorEntry *entry = data;

    g_free(entry->file);
    g_free(entry->path);
    g_free(entry->text);
    g_free(entry);
}

ErrorList *
error_list_new(void)
{
    ErrorList *list = g_new0(ErrorList, 1);

    list->entries = g_ptr_array_new_with_free_func(error_entry_free);
    return list;
}

void
error_list_free(ErrorList *list)
{
    if (list == NULL) {
        return;
    }
    g_ptr_array_unref(list->entries);
    g_free(list);
}

static bool
is_known(const ErrorList *list, const ErrorEntry *entry)
{
    for (guint i = 0; i < list->entries->len; i++) {
        const ErrorEntry *other = g_ptr_array_index(list->entries, i);
        if (g_strcmp0(other->file, entry->file) == 0 && other->line == entry->line &&
            g_strcmp0(other->path, entry->path) == 0 && strcmp(other->text, entry->text) == 0) {
            return true;
        }
    }
    return false;
}

void
error_list_add(ErrorList *list, const char *file, unsigned line, const char *path,
               const char *format, ...)
{
    ErrorEntry *entry = g_new0(ErrorEntry, 1);
    va_list arguments;

    va_start(arguments, format);
    entry->text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    entry->file = g_strdup(file);
    entry->line = line;
    entry->path = g_strdup(path);
    if (list->entries->len > ERRORS_MAX || is_known(list, entry)) {
        error_entry_free(entry);
        return;
    }
    g_ptr_array_add(list->entries, entry);
    if (list->entries->len == ERRORS_MAX) {
        ErrorEntry *last = g_new0(ErrorEntry, 1);
        last->file = g_strdup(entry->file);
        last->line = entry->line;
        last->text = g_strdup("too many errors: no more of them are looked for");
        g_ptr_array_add(list->entries, last);
    }
}

unsigned
error_list_count(const ErrorList *list)
{
    return list->entries->len;
}

static gint
compare_places(gconstpointer a, gconstpointer b)
{
    const ErrorEntry *const *first = a;
    const ErrorEntry *const *second = b;
    int order = g_strcmp0((*first)->file, (*second)->file);

    if (order != 0) {
        return order;
    }
    return (*first)->line < (*second)->line ? -1 : (*first)->line > (*second)->line;
}

/* In order of file and line, and of discovery within a line. */
static GPtrArray *
error_list_sorted(const ErrorList *list)
{
    GPtrArray *sorted = g_ptr_array_copy(list->entries, NULL, NULL);

    g_ptr_array_set_free_func(sorted, NULL);
    g_ptr_array_sort(sorted, compare_places); /* GLib's sort is stable */
    return sorted;
}

/* One line for each error. */
static char *
error_list_text(const ErrorList *list)
{
    g_autoptr(GPtrArray) sorted = error_list_sorted(list);
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < sorted->len; i++) {
        const ErrorEntry *entry = g_ptr_array_index(sorted, i);
        if (entry->file != NULL && entry->line != 0) {
            g_string_append_printf(text, "%s:%u: ", entry->file, entry->line);
        } else if (entry->file != NULL) {
            g_string_append_printf(text, "%s: ", entry->file);
        }
        if (entry->path != NULL) {
            g_string_append_printf(text, "%s: ", entry->path);
        }
        g_string_append(text, entry->text);
        g_string_append_c(text, '\n');
    }
    return g_string_free(text, FALSE);
}

void
error_list_foreach(const ErrorList *list,
                   void (*each)(void *opaque, const char *file, unsigned line, const char *path,
                                const char *text),
                   void *opaque)
{
    g_autoptr(GPtrArray) sorted = error_list_sorted(list);

    for (guint i = 0; i < sorted->len; i++) {
        const ErrorEntry *entry = g_ptr_array_index(sorted, i);
        each(opaque, entry->file, entry->line, entry->path, entry->text);
    }
}

void
error_list_print(const ErrorList *list, FILE *out)
{
    g_autofree char *text = error_list_text(list);

    fputs(text, out);
}

bool
error_list_propagate(const ErrorList *list, GError **error)
{
    if (list->entries->len == 0) {
        return true;
    }
    g_autofree char *text = error_list_text(list);
    g_strchomp(text);
    g_set_error_literal(error, BACKPLANE_ERROR, ERROR_CONFIG, text);
    return false;
}
