/* SPDX-License-Identifier: Apache-2.0 */
/* Copying a template: in each file the words between at signs are replaced.
 *   @NAME@ my-device   @IDENT@ my_device   @UPPER@ MY_DEVICE
 *   @TAG@ "MYDE"   @TAGVALUE@ 0x4544594d */
#include "control/sdk_template.h"

#include "base/error.h"
#include "base/nearest.h"
#include "build_config.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_LENGTH 31
#define TAG_LENGTH      4

#define SOURCE_SUFFIX ".c.in"
#define TEST_SUFFIX   ".test.c.in"

/* One file of the result. */
typedef struct {
    char *template_name;
    char *target;
} Piece;

/* The build tree's copy if the program runs from there, else the installed one. */
static char *
template_directory(void)
{
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = program != NULL ? g_path_get_dirname(program) : g_strdup(".");
    g_autofree char *near = g_build_filename(folder, "..", "sdk", "template", NULL);

    if (g_file_test(near, G_FILE_TEST_IS_DIR)) {
        return g_steal_pointer(&near);
    }
    return g_build_filename(BACKPLANE_DATA_DIR, "template", NULL);
}

static bool
check_name(const char *name, GError **error)
{
    bool good = g_ascii_islower(name[0]) && strlen(name) <= NAME_MAX_LENGTH;

    for (const char *c = name; *c != '\0' && good; c++) {
        good = g_ascii_islower(*c) || g_ascii_isdigit(*c) || *c == '-';
    }
    if (!good) {
        g_set_error(
            error, BACKPLANE_ERROR, ERROR_CONFIG,
            "sdk new: \"%s\" cannot be a plugin's name: lower-case letters, digits and '-', a "
            "letter first, at most %d characters",
            name, NAME_MAX_LENGTH);
        return false;
    }
    return true;
}

static int
compare_kinds(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each kind is a source among the templates. NULL: they cannot be read. */
static char **
list_kinds(const char *templates, GError **error)
{
    g_autoptr(GPtrArray) kinds = g_ptr_array_new();
    g_autoptr(GError) cause = NULL;
    g_autoptr(GDir) dir = g_dir_open(templates, 0, &cause);
    const char *file;

    if (dir == NULL) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                    "sdk new: cannot read the templates: %s; is the SDK installed?",
                    cause->message);
        return NULL;
    }
    while ((file = g_dir_read_name(dir)) != NULL) {
        if (g_str_has_suffix(file, SOURCE_SUFFIX) && !g_str_has_suffix(file, TEST_SUFFIX)) {
            g_ptr_array_add(kinds, g_strndup(file, strlen(file) - strlen(SOURCE_SUFFIX)));
        }
    }
    g_ptr_array_sort(kinds, compare_kinds);
    g_ptr_array_add(kinds, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&kinds), FALSE);
}

static bool
check_kind(const char *templates, const char *kind, GError **error)
{
    g_auto(GStrv) kinds = list_kinds(templates, error);

    if (kinds == NULL) {
        return false;
    }
    if (!g_strv_contains((const char *const *)kinds, kind)) {
        const char *nearest = nearest_name(kind, (const char *const *)kinds);
        g_autofree char *all = g_strjoinv(", ", kinds);
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "sdk new: there is no kind \"%s\"%s%s%s; there are: %s", kind,
                    nearest != NULL ? " (did you mean \"" : "", nearest != NULL ? nearest : "",
                    nearest != NULL ? "\"?)" : "", all);
        return false;
    }
    return true;
}

static char *
fill_in(const char *text, const char *name)
{
    g_autofree char *ident = g_strdelimit(g_strdup(name), "-", '_');
    g_autofree char *upper = g_ascii_strup(ident, -1);
    g_autoptr(GString) result = g_string_new(text);
    g_autofree char *tag = g_strdup_printf("%-4.4s", upper);
    uint32_t value = 0;

    (void)g_strdelimit(tag, " ", '_');
    for (unsigned i = 0; i < TAG_LENGTH; i++) {
        value |= (uint32_t)(unsigned char)tag[i] << (8 * i);
    }
    g_autofree char *number = g_strdup_printf("0x%08x", value);
    g_string_replace(result, "@NAME@", name, 0);
    g_string_replace(result, "@IDENT@", ident, 0);
    g_string_replace(result, "@UPPER@", upper, 0);
    g_string_replace(result, "@TAG@", tag, 0);
    g_string_replace(result, "@TAGVALUE@", number, 0);
    return g_string_free(g_steal_pointer(&result), FALSE);
}

static bool
write_piece(const char *templates, const char *folder, const Piece *piece, const char *name,
            GError **error)
{
    g_autofree char *source = g_build_filename(templates, piece->template_name, NULL);
    g_autofree char *target = g_build_filename(folder, piece->target, NULL);
    g_autofree char *text = NULL;
    g_autoptr(GError) cause = NULL;

    if (!g_file_get_contents(source, &text, NULL, &cause)) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                    "sdk new: cannot read the template: %s; is the SDK installed?", cause->message);
        return false;
    }
    g_autofree char *filled = fill_in(text, name);
    if (!g_file_set_contents(target, filled, -1, &cause)) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "sdk new: %s", cause->message);
        return false;
    }
    return true;
}

static void
piece_clear(gpointer data)
{
    Piece *piece = data;

    g_free(piece->template_name);
    g_free(piece->target);
}

static GArray *
list_pieces(const char *name, const char *kind, bool in_tree)
{
    GArray *pieces = g_array_new(FALSE, FALSE, sizeof(Piece));
    const Piece all[] = {
        {g_strdup(in_tree ? "plugin.meson.build.in" : "project.meson.build.in"),
         g_strdup("meson.build")},
        {g_strdup_printf("%s.c.in", kind), g_strdup_printf("%s.c", name)},
        {g_strdup_printf("%s.test.c.in", kind), g_strdup_printf("test_%s.c", name)},
        {g_strdup_printf("%s.md.in", kind), g_strdup_printf("%s.md", name)},
    };

    g_array_set_clear_func(pieces, piece_clear);
    g_array_append_vals(pieces, all, G_N_ELEMENTS(all));
    return pieces;
}

static void
remove_pieces(const char *folder, const GArray *pieces)
{
    for (guint i = 0; i < pieces->len; i++) {
        g_autofree char *path =
            g_build_filename(folder, g_array_index(pieces, Piece, i).target, NULL);
        (void)g_unlink(path);
    }
    (void)g_rmdir(folder);
}

static bool
write_folder(const char *templates, const char *folder, const GArray *pieces, const char *name,
             GError **error)
{
    if (g_mkdir(folder, 0777) != 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "sdk new: cannot make the folder '%s': %s",
                    folder, g_strerror(errno));
        return false;
    }
    for (guint i = 0; i < pieces->len; i++) {
        if (!write_piece(templates, folder, &g_array_index(pieces, Piece, i), name, error)) {
            remove_pieces(folder, pieces);
            return false;
        }
    }
    return true;
}

/* Puts the name into the list of plugins, in order. */
static bool
add_to_list(const char *list_path, const char *name, GError **error)
{
    g_autofree char *text = NULL;
    g_autofree char *line = g_strdup_printf("  '%s',", name);
    g_autoptr(GString) result = g_string_new(NULL);
    bool in_list = false, added = false;

    if (!g_file_get_contents(list_path, &text, NULL, error)) {
        return false;
    }
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **at = lines; *at != NULL; at++) {
        bool ends = in_list && g_str_has_prefix(*at, "]");
        if (in_list && !added && (ends || strcmp(*at, line) > 0)) {
            g_string_append_printf(result, "%s\n", line);
            added = true;
        }
        in_list = (in_list && !ends) || g_str_has_prefix(*at, "all_plugins = [");
        g_string_append_printf(result, "%s%s", *at, at[1] != NULL ? "\n" : "");
    }
    if (!added) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "sdk new: no list of plugins in '%s'",
                    list_path);
        return false;
    }
    return g_file_set_contents(list_path, result->str, -1, error);
}

static bool
is_source_root(void)
{
    return g_file_test("plugins/meson.build", G_FILE_TEST_IS_REGULAR) &&
           g_file_test("sdk/include/backplane/abi.h", G_FILE_TEST_IS_REGULAR);
}

bool
sdk_template_new(const char *name, const char *kind, const char *directory, GError **error)
{
    bool in_tree = directory == NULL && is_source_root();
    const char *parent = in_tree ? "plugins" : directory != NULL ? directory : ".";
    g_autofree char *folder = g_build_filename(parent, name, NULL);

    g_autofree char *templates = template_directory();
    if (!check_name(name, error) || !check_kind(templates, kind, error)) {
        return false;
    }
    g_autoptr(GArray) pieces = list_pieces(name, kind, in_tree);
    if (!write_folder(templates, folder, pieces, name, error)) {
        return false;
    }
    if (in_tree && !add_to_list("plugins/meson.build", name, error)) {
        remove_pieces(folder, pieces);
        return false;
    }
    (void)printf("made %s (%s)\n", folder, kind);
    if (in_tree) {
        (void)printf("next: meson compile -C build && meson test -C build %s\n", name);
    } else {
        (void)printf(
            "next: cd %s && meson setup build && meson compile -C build && meson test -C build\n",
            folder);
    }
    return true;
}
