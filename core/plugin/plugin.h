/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded plugin: dlopen()ed after its image was accepted, its classes copied into memory of ours
 * and never looked at again in the original. */
#pragma once

#include "plugin/plugin_image.h"

typedef struct Plugin Plugin;

/* RTLD_NOW | RTLD_LOCAL. Checks that what was loaded is what was read. */
Plugin *plugin_load(const PluginImage *image, GError **error);
void plugin_unload(Plugin *plugin); /* no object of it exists */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Plugin, plugin_unload)

const char *plugin_id(const Plugin *plugin);
const struct bp_class *plugin_class(const Plugin *plugin, unsigned index); /* today's size */
