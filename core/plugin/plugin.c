/* SPDX-License-Identifier: Apache-2.0 */
/* The loader: dlopen() of a file whose image was accepted. */
#include "plugin/plugin.h"

#include "base/error.h"

#include <dlfcn.h>
#include <string.h>

struct Plugin {
    void *handle;
    char *id;
    struct bp_class classes[BP_NOTE_MAX_CLASSES];
    unsigned class_count;
};

static bool
refuse(const PluginImage *image, GError **error, const char *text)
{
    g_set_error(error, BACKPLANE_ERROR, ERROR_PLUGIN, "%s: %s", plugin_image_path(image), text);
    return false;
}

static bool
is_same_class(const struct bp_class *loaded, const PluginClass *read)
{
    return loaded->size >= sizeof(*loaded) && loaded->kind == read->kind &&
           strcmp(loaded->name, read->name) == 0 && loaded->thread_model == read->thread_model &&
           loaded->promises == read->promises && loaded->bus == read->bus;
}

/* The file may have been replaced since it was read: then the image that was checked is another
 * one. */
static bool
copy_classes(Plugin *plugin, const PluginImage *image, const struct bp_plugin *descriptor,
             GError **error)
{
    const struct bp_plugin *read = plugin_image_descriptor(image);
    static const char changed[] = "changed while it was loaded: try again";

    if (descriptor->magic != BP_PLUGIN_MAGIC || descriptor->size < sizeof(*descriptor) ||
        descriptor->abi_major != read->abi_major || strcmp(descriptor->id, read->id) != 0 ||
        strcmp(descriptor->version, read->version) != 0) {
        return refuse(image, error, changed);
    }
    for (unsigned i = 0; i < plugin_image_class_count(image); i++) {
        const struct bp_class *class = descriptor->classes[i];
        if (class == NULL || !is_same_class(class, plugin_image_class(image, i))) {
            return refuse(image, error, changed);
        }
        if (class->create == NULL || class->destroy == NULL) {
            return refuse(image, error, "has a class without create() or destroy()");
        }
        memcpy(&plugin->classes[i], class, sizeof(*class));
        plugin->classes[i].size = sizeof(*class);
        plugin->class_count = i + 1;
    }
    return descriptor->classes[plugin->class_count] == NULL || refuse(image, error, changed);
}

Plugin *
plugin_load(const PluginImage *image, GError **error)
{
    g_autoptr(Plugin) plugin = g_new0(Plugin, 1);
    /* A name without a slash would be looked for in the system's library directories. */
    g_autofree char *path = g_canonicalize_filename(plugin_image_path(image), NULL);

    plugin->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin->handle == NULL) {
        (void)refuse(image, error, dlerror());
        return NULL;
    }
    const struct bp_plugin *descriptor = dlsym(plugin->handle, "backplane_plugin_v1");
    if (descriptor == NULL) {
        (void)refuse(image, error, "changed while it was loaded: try again");
        return NULL;
    }
    if (!copy_classes(plugin, image, descriptor, error)) {
        return NULL;
    }
    plugin->id = g_strdup(descriptor->id);
    return g_steal_pointer(&plugin);
}

void
plugin_unload(Plugin *plugin)
{
    if (plugin == NULL) {
        return;
    }
    if (plugin->handle != NULL) {
        (void)dlclose(plugin->handle);
    }
    g_free(plugin->id);
    g_free(plugin);
}

const char *
plugin_id(const Plugin *plugin)
{
    return plugin->id;
}

const struct bp_class *
plugin_class(const Plugin *plugin, unsigned index)
{
    return index < plugin->class_count ? &plugin->classes[index] : NULL;
}
