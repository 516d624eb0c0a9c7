/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin's file, read as data: its note, descriptor, classes, options and slots, without running
 * any of its code. What is wrong with it is refused here. */
#pragma once

#include <backplane/plugin.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct PluginImage PluginImage;
typedef struct PluginSearch PluginSearch;

/* One class as the file describes it: a zeroed struct bp_class of today's size, filled with the
 * smaller of both sizes; pointers lead into the image; function pointers are NULL. */
typedef struct bp_class PluginClass;

/* Refuses, naming the path and the exact reason: not ELF, truncated, another architecture, no note,
 * a note of another ABI, an interface that is missing or too small, undefined symbols the core
 * would have to provide, STB_GNU_UNIQUE, DF_1_NODELETE, TEXTREL, executable stack, constructors and
 * destructors (DT_INIT_ARRAY beyond the compiler's own frame_dummy, DT_INIT), a descriptor that is
 * out of bounds, forbidden imports of a plugin that promises upgrade. */
PluginImage *plugin_image_open(const char *path, GError **error);
/* The same for a file that is open already; path: what it is called. */
PluginImage *plugin_image_read(int fd, const char *path, GError **error);
void plugin_image_free(PluginImage *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PluginImage, plugin_image_free)

const char *plugin_image_path(const PluginImage *image);
const struct bp_note_desc *plugin_image_note(const PluginImage *image);
const struct bp_plugin *plugin_image_descriptor(const PluginImage *image); /* pointers into image */
unsigned plugin_image_class_count(const PluginImage *image);
const PluginClass *plugin_image_class(const PluginImage *image, unsigned index);

/* Directories in order: --plugin-path, BACKPLANE_PLUGIN_PATH (colon-separated), the build tree's
 * plugins/ when the program runs from it, the install prefix. */
PluginSearch *plugin_search_new(const char *const *directories);
void plugin_search_free(PluginSearch *search);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PluginSearch, plugin_search_free)
/* name: a plugin's, or a path with a slash. Cached: one image a name. The error of a missing one
 * lists the directories searched and the nearest name found there. */
PluginImage *plugin_search_find(PluginSearch *search, const char *name, GError **error);
/* Every plugin file found, NULL-terminated names in alphabetical order; free with g_strfreev. */
char **plugin_search_list(PluginSearch *search);
const char *const *plugin_search_directories(const PluginSearch *search);
