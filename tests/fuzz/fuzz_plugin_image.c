/* SPDX-License-Identifier: Apache-2.0 */
/* Reads arbitrary bytes as a plugin's file. Start from real plugins: fuzz_plugin_image corpus/ */
#include "plugin/plugin_image.h"

#include "base/fd.h"

#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The walk checked every pointer; reading all of it is the proof, with a sanitizer as the judge. */
static size_t
read_props(const struct bp_prop *props)
{
    size_t sum = 0;

    for (; props != NULL && props->name != NULL; props++) {
        sum += strlen(props->name) + (props->def != NULL ? strlen(props->def) : 0);
        for (const char *const *choice = props->type == BP_PROP_ENUM ? props->choices : NULL;
             choice != NULL && *choice != NULL; choice++) {
            sum += strlen(*choice);
        }
        if (props->type == BP_PROP_GROUP) {
            sum += read_props(props->children);
        }
    }
    return sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofd int fd = memfd_create("plugin", MFD_CLOEXEC);
    size_t sum = 0;

    if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
        return -1;
    }
    g_autoptr(PluginImage) image = plugin_image_read(fd, "good.so", NULL);
    for (unsigned i = 0; image != NULL && i < plugin_image_class_count(image); i++) {
        const PluginClass *class = plugin_image_class(image, i);
        sum += strlen(class->name) + read_props(class->props);
        for (const struct bp_slot *slot = class->slots; slot != NULL && slot->name != NULL;
             slot++) {
            sum += strlen(slot->name) + strlen(slot->interface_id);
        }
    }
    return sum == SIZE_MAX;
}
