/* SPDX-License-Identifier: Apache-2.0 */
/* Where plugins are looked for, and the images found there. */
#include "base/error.h"
#include "base/nearest.h"
#include "build_config.h"
#include "plugin/plugin_image.h"

#include <string.h>

typedef struct {
    char *path;
    bool is_build_tree; /* each plugin has a folder of its own */
} Directory;

struct PluginSearch {
    GArray *directories; /* Directory */
    GPtrArray *texts;    /* the same as texts, NULL-terminated */
    GHashTable *images;  /* name -> PluginImage */
};

static void
directory_clear(gpointer data)
{
    Directory *directory = data;

    g_free(directory->path);
}

static void
add_directory(PluginSearch *search, const char *path, bool is_build_tree)
{
    Directory directory = {g_strdup(path), is_build_tree};

    g_array_append_val(search->directories, directory);
}

static void
add_environment(PluginSearch *search)
{
    const char *value = g_getenv("BACKPLANE_PLUGIN_PATH");

    if (value == NULL) {
        return;
    }
    g_auto(GStrv) directories = g_strsplit(value, ":", -1);
    for (char **directory = directories; *directory != NULL; directory++) {
        if (**directory != '\0') {
            add_directory(search, *directory, false);
        }
    }
}

/* <build>/core/backplane finds <build>/plugins: only if <build> is meson's. */
static void
add_build_tree(PluginSearch *search)
{
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);

    if (program == NULL) {
        return;
    }
    g_autofree char *folder = g_path_get_dirname(program);
    g_autofree char *build = g_path_get_dirname(folder);
    g_autofree char *marker = g_build_filename(build, "meson-info", NULL);
    g_autofree char *plugins = g_build_filename(build, "plugins", NULL);
    if (g_file_test(marker, G_FILE_TEST_IS_DIR) && g_file_test(plugins, G_FILE_TEST_IS_DIR)) {
        add_directory(search, plugins, true);
    }
}

PluginSearch *
plugin_search_new(const char *const *directories)
{
    PluginSearch *search = g_new0(PluginSearch, 1);

    search->directories = g_array_new(FALSE, FALSE, sizeof(Directory));
    g_array_set_clear_func(search->directories, directory_clear);
    search->images =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)plugin_image_free);
    for (; directories != NULL && *directories != NULL; directories++) {
        add_directory(search, *directories, false);
    }
    add_environment(search);
    add_build_tree(search);
    add_directory(search, BACKPLANE_PLUGIN_DIR, false);
    search->texts = g_ptr_array_new();
    for (guint i = 0; i < search->directories->len; i++) {
        g_ptr_array_add(search->texts, g_array_index(search->directories, Directory, i).path);
    }
    g_ptr_array_add(search->texts, NULL);
    return search;
}

void
plugin_search_free(PluginSearch *search)
{
    if (search == NULL) {
        return;
    }
    g_hash_table_unref(search->images);
    g_ptr_array_unref(search->texts);
    g_array_unref(search->directories);
    g_free(search);
}

static char *
file_in(const Directory *directory, const char *name)
{
    g_autofree char *file = g_strconcat(name, ".so", NULL);

    return directory->is_build_tree ? g_build_filename(directory->path, name, file, NULL)
                                    : g_build_filename(directory->path, file, NULL);
}

static void
refuse_missing(PluginSearch *search, const char *name, GError **error)
{
    g_auto(GStrv) known = plugin_search_list(search);
    const char *nearest = nearest_name(name, (const char *const *)known);
    g_autofree char *where = g_strjoinv(", ", (char **)search->texts->pdata);
    g_autofree char *hint =
        nearest != NULL ? g_strdup_printf(" (did you mean \"%s\"?)", nearest) : g_strdup("");

    g_set_error(error, BACKPLANE_ERROR, ERROR_PLUGIN, "no plugin \"%s\"%s; searched: %s", name,
                hint, where);
}

static PluginImage *
open_by_name(PluginSearch *search, const char *name, GError **error)
{
    for (guint i = 0; i < search->directories->len; i++) {
        g_autofree char *path = file_in(&g_array_index(search->directories, Directory, i), name);
        if (g_file_test(path, G_FILE_TEST_EXISTS)) {
            return plugin_image_open(path, error);
        }
    }
    refuse_missing(search, name, error);
    return NULL;
}

PluginImage *
plugin_search_find(PluginSearch *search, const char *name, GError **error)
{
    PluginImage *image = g_hash_table_lookup(search->images, name);

    if (image != NULL) {
        return image;
    }
    image = strchr(name, '/') != NULL ? plugin_image_open(name, error)
                                      : open_by_name(search, name, error);
    if (image != NULL) {
        g_hash_table_insert(search->images, g_strdup(name), image);
    }
    return image;
}

static void
list_directory(const Directory *directory, GHashTable *names)
{
    g_autoptr(GDir) dir = g_dir_open(directory->path, 0, NULL);
    const char *entry;

    while (dir != NULL && (entry = g_dir_read_name(dir)) != NULL) {
        g_autofree char *name = g_str_has_suffix(entry, ".so")
                                    ? g_strndup(entry, strlen(entry) - strlen(".so"))
                                    : g_strdup(entry);
        g_autofree char *path = file_in(directory, name);
        if (g_file_test(path, G_FILE_TEST_IS_REGULAR) && !g_hash_table_contains(names, name)) {
            (void)g_hash_table_add(names, g_steal_pointer(&name));
        }
    }
}

static gint
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char **
plugin_search_list(PluginSearch *search)
{
    g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, NULL);
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter iterator;
    gpointer name;

    for (guint i = 0; i < search->directories->len; i++) {
        list_directory(&g_array_index(search->directories, Directory, i), names);
    }
    g_hash_table_iter_init(&iterator, names);
    while (g_hash_table_iter_next(&iterator, &name, NULL)) {
        g_ptr_array_add(list, name);
    }
    g_ptr_array_sort(list, compare_names);
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(list, FALSE);
}

const char *const *
plugin_search_directories(const PluginSearch *search)
{
    return (const char *const *)search->texts->pdata;
}
