/* SPDX-License-Identifier: Apache-2.0 */
/* A look at libraries on disk; needed only for symbols without a version, so rarely. */
#include "plugin/library_symbols.h"

#include "base/fd.h"

#include <fcntl.h>
#include <string.h>

static const char *const system_directories[] = {
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/local/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/usr/local/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
    NULL,
};

static ElfImage *
open_library(const char *directory, const char *name)
{
    g_autofree char *path = g_build_filename(directory, name, NULL);
    autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    return fd >= 0 ? elf_image_read(fd, path, NULL) : NULL;
}

static ElfImage *
open_on_run_path(const ElfImage *image, const char *name)
{
    const char *text =
        image->dynamic.has_run_path ? elf_image_string(image, image->dynamic.run_path) : NULL;

    if (text == NULL) {
        return NULL;
    }
    g_auto(GStrv) directories = g_strsplit(text, ":", 32);
    g_autofree char *origin = g_path_get_dirname(image->path);
    for (char **directory = directories; *directory != NULL; directory++) {
        g_auto(GStrv) parts = g_strsplit(*directory, "$ORIGIN", -1);
        g_autofree char *expanded = g_strjoinv(origin, parts);
        ElfImage *library = open_library(expanded, name);
        if (library != NULL) {
            return library;
        }
    }
    return NULL;
}

static ElfImage *
find_library(const ElfImage *image, const char *name)
{
    ElfImage *library = strchr(name, '/') == NULL ? open_on_run_path(image, name) : NULL;

    for (const char *const *directory = system_directories;
         library == NULL && *directory != NULL && strchr(name, '/') == NULL; directory++) {
        library = open_library(*directory, name);
    }
    return library;
}

bool
library_symbols_provide(const ElfImage *image, const char *name)
{
    for (unsigned i = 0; i < image->dynamic.needed_count; i++) {
        const char *library_name = elf_image_string(image, image->dynamic.needed[i]);
        g_autoptr(ElfImage) library =
            library_name != NULL ? find_library(image, library_name) : NULL;
        Elf64_Sym symbol;
        if (library == NULL || elf_image_find_symbol(library, name, &symbol)) {
            return true;
        }
    }
    return false;
}
