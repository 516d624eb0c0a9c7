/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin's note and descriptor, read from its file. The walk over the descriptor trusts no
 * pointer, no count and no string; what comes out of it can be used like any constant data. */
#include "plugin/plugin_image.h"

#include "base/error.h"
#include "base/fd.h"
#include "plugin/descriptor_check.h"
#include "plugin/elf_image.h"
#include "plugin/interfaces.h"
#include "plugin/link_check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define DESCRIPTOR_SYMBOL "backplane_plugin_v1"

struct PluginImage {
    char *path;
    ElfImage *elf;
    struct bp_note_desc note;
    struct bp_plugin descriptor; /* classes: pointers to the array below */
    PluginClass classes[BP_NOTE_MAX_CLASSES];
    const PluginClass *class_list[BP_NOTE_MAX_CLASSES + 1];
    unsigned class_count;
};

static bool refuse(const PluginImage *image, GError **error, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static bool
refuse(const PluginImage *image, GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, BACKPLANE_ERROR, ERROR_PLUGIN, "%s: %s", image->path, text);
    return false;
}

/* Finds our note in one PT_NOTE segment. Notes are aligned to 4 bytes (System V ABI, 5 "Note
 * Section"); segments of 8-byte notes hold other people's. */
static const uint8_t *
find_note(const uint8_t *segment, uint64_t length, uint32_t *desc_size)
{
    uint64_t at = 0;

    while (length - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr header;
        memcpy(&header, segment + at, sizeof(header));
        uint64_t name_size = (UINT64_C(3) + header.n_namesz) & ~UINT64_C(3);
        uint64_t room = length - at - sizeof(header);
        uint64_t padded = (UINT64_C(3) + header.n_descsz) & ~UINT64_C(3);
        if (name_size > room || header.n_descsz > room - name_size) {
            return NULL;
        }
        const uint8_t *name = segment + at + sizeof(header);
        if (header.n_type == BP_NOTE_TYPE && header.n_namesz == sizeof(BP_NOTE_NAME) &&
            memcmp(name, BP_NOTE_NAME, sizeof(BP_NOTE_NAME)) == 0) {
            *desc_size = header.n_descsz;
            return name + name_size;
        }
        at += sizeof(header) + name_size + MIN(padded, room - name_size);
    }
    return NULL;
}

static bool
read_note(PluginImage *image, GError **error)
{
    const uint8_t *found = NULL;
    uint32_t size = 0;

    for (unsigned i = 0; found == NULL && i < image->elf->header_count; i++) {
        const Elf64_Phdr *header = &image->elf->headers[i];
        const uint8_t *segment = header->p_type == PT_NOTE
                                     ? elf_image_at(image->elf, header->p_vaddr, header->p_memsz)
                                     : NULL;
        found = segment != NULL ? find_note(segment, header->p_memsz, &size) : NULL;
    }
    if (found == NULL) {
        return refuse(image, error, "no Backplane plugin: it has no note (BP_PLUGIN_NOTE)");
    }
    if (size < offsetof(struct bp_note_desc, id)) {
        return refuse(image, error, "its note is truncated");
    }
    memcpy(&image->note, found, MIN(size, sizeof(image->note)));
    if (image->note.abi_major != BP_ABI_MAJOR) {
        return refuse(image, error, "built for plugin ABI %u.%u; this core has %u.%u",
                      image->note.abi_major, image->note.abi_minor, BP_ABI_MAJOR, BP_ABI_MINOR);
    }
    if (size < sizeof(image->note) || image->note.size < sizeof(image->note)) {
        return refuse(image, error, "its note is truncated");
    }
    if (image->note.flags != 0) {
        return refuse(image, error, "its note has unknown flags %08x: built for a newer core",
                      image->note.flags);
    }
    return true;
}

static const HostInterface *
host_interface(const char *id)
{
    for (const HostInterface *interface = host_interfaces; interface->id != NULL; interface++) {
        if (strcmp(interface->id, id) == 0) {
            return interface;
        }
    }
    return NULL;
}

static bool
check_needs(const PluginImage *image, GError **error)
{
    const struct bp_note_desc *note = &image->note;

    for (unsigned i = 0; i < BP_NOTE_MAX_NEEDS && note->needs[i].interface_id[0] != '\0'; i++) {
        const struct bp_note_need *need = &note->needs[i];
        if (!descriptor_text_ends(need->interface_id, sizeof(need->interface_id))) {
            return refuse(image, error, "its note is damaged: an interface id does not end");
        }
        const HostInterface *offered = host_interface(need->interface_id);
        if (offered == NULL) {
            return refuse(image, error,
                          "needs the interface \"%s\", which this core (ABI %u.%u) does not have",
                          need->interface_id, BP_ABI_MAJOR, BP_ABI_MINOR);
        }
        if (offered->size < need->min_size) {
            return refuse(image, error,
                          "needs %u bytes of the interface \"%s\", of which this core (ABI %u.%u) "
                          "has %u: built for a newer core",
                          need->min_size, need->interface_id, BP_ABI_MAJOR, BP_ABI_MINOR,
                          offered->size);
        }
    }
    return true;
}

static uint32_t
note_promises(const struct bp_note_desc *note)
{
    uint32_t promises = 0;

    for (unsigned i = 0; i < BP_NOTE_MAX_CLASSES && note->classes[i].name[0] != '\0'; i++) {
        promises |= note->classes[i].promises;
    }
    return promises;
}

static bool
check_id(const PluginImage *image, GError **error)
{
    const struct bp_note_desc *note = &image->note;
    g_autofree char *file = g_path_get_basename(image->path);

    if (!descriptor_text_ends(note->id, sizeof(note->id)) || !descriptor_is_name(note->id)) {
        return refuse(image, error, "its note is damaged: the plugin's id is no name");
    }
    if (!descriptor_text_ends(note->version, sizeof(note->version)) ||
        !g_str_is_ascii(note->version)) {
        return refuse(image, error, "its note is damaged: the version is no text");
    }
    if (!g_str_has_suffix(file, ".so") || strlen(file) != strlen(note->id) + 3 ||
        !g_str_has_prefix(file, note->id)) {
        return refuse(image, error, "contains the plugin \"%s\": name the file %s.so", note->id,
                      note->id);
    }
    return true;
}

static bool
check_class_against_note(const PluginImage *image, unsigned index, GError **error)
{
    const struct bp_note_class *noted = &image->note.classes[index];
    const PluginClass *class = &image->classes[index];

    if (!descriptor_text_ends(noted->name, sizeof(noted->name)) ||
        strcmp(noted->name, class->name) != 0 || noted->kind != class->kind ||
        noted->thread_model != class->thread_model || noted->promises != class->promises ||
        noted->state_version != class->state_version || noted->state_min != class->state_min) {
        return refuse(image, error, "note and descriptor differ about class \"%s\"", class->name);
    }
    return true;
}

static bool
read_classes(PluginImage *image, const struct bp_plugin *raw, GError **error)
{
    for (unsigned i = 0;; i++) {
        const void *entry = raw->classes + i;
        const struct bp_class *class;
        if (!elf_image_contains(image->elf, entry, sizeof(void *))) {
            return refuse(image, error,
                          "its descriptor is damaged: the list of classes does not end");
        }
        memcpy(&class, entry, sizeof(void *));
        if (class == NULL) {
            break;
        }
        if (i >= BP_NOTE_MAX_CLASSES) {
            return refuse(image, error, "has more than %u classes", BP_NOTE_MAX_CLASSES);
        }
        g_autofree char *problem = descriptor_read_class(image->elf, class, &image->classes[i]);
        if (problem != NULL) {
            return refuse(image, error, "%s", problem);
        }
        if (!check_class_against_note(image, i, error)) {
            return false;
        }
        image->class_list[i] = &image->classes[i];
        image->class_count = i + 1;
    }
    if (image->class_count == 0 || (image->class_count < BP_NOTE_MAX_CLASSES &&
                                    image->note.classes[image->class_count].name[0] != '\0')) {
        return refuse(image, error, "note and descriptor differ about the number of classes");
    }
    return true;
}

static bool
read_descriptor(PluginImage *image, GError **error)
{
    const ElfImage *elf = image->elf;
    struct bp_plugin *copy = &image->descriptor;
    const uint8_t *raw = NULL;
    Elf64_Sym symbol;

    if (elf_image_find_symbol(elf, DESCRIPTOR_SYMBOL, &symbol)) {
        raw = elf_image_at(elf, symbol.st_value, sizeof(*copy));
    }
    if (raw == NULL) {
        return refuse(image, error, "no Backplane plugin: it does not export " DESCRIPTOR_SYMBOL);
    }
    memcpy(copy, raw, sizeof(*copy));
    if (copy->magic != BP_PLUGIN_MAGIC || copy->size < sizeof(*copy) || copy->flags != 0) {
        return refuse(image, error, "its descriptor is damaged: wrong magic, size or flags");
    }
    if (copy->abi_major != image->note.abi_major || copy->abi_minor != image->note.abi_minor) {
        return refuse(image, error, "note and descriptor differ about the ABI");
    }
    if (!descriptor_is_text(elf, copy->id) || strcmp(copy->id, image->note.id) != 0 ||
        !descriptor_is_text(elf, copy->version) ||
        strcmp(copy->version, image->note.version) != 0) {
        return refuse(image, error, "note and descriptor differ about the plugin's id or version");
    }
    if (!descriptor_is_text(elf, copy->license) || !descriptor_is_text(elf, copy->help)) {
        return refuse(image, error, "its descriptor is damaged: license or help is no text");
    }
    if (!read_classes(image, copy, error)) {
        return false;
    }
    copy->size = sizeof(*copy);
    copy->classes = image->class_list;
    return true;
}

PluginImage *
plugin_image_read(int fd, const char *path, GError **error)
{
    g_autoptr(PluginImage) image = g_new0(PluginImage, 1);

    image->path = g_strdup(path);
    image->elf = elf_image_read(fd, path, error);
    if (image->elf == NULL || !read_note(image, error) || !check_needs(image, error)) {
        return NULL;
    }
    bool upgradable = (note_promises(&image->note) & BP_PROMISE_UPGRADE) != 0;
    if (!link_check(image->elf, upgradable, error) || !elf_image_relocate(image->elf, error) ||
        !check_id(image, error) || !read_descriptor(image, error)) {
        return NULL;
    }
    return g_steal_pointer(&image);
}

PluginImage *
plugin_image_open(const char *path, GError **error)
{
    autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_PLUGIN, "cannot open the plugin \"%s\": %s", path,
                    g_strerror(errno));
        return NULL;
    }
    return plugin_image_read(fd, path, error);
}

void
plugin_image_free(PluginImage *image)
{
    if (image == NULL) {
        return;
    }
    elf_image_free(image->elf);
    g_free(image->path);
    g_free(image);
}

const char *
plugin_image_path(const PluginImage *image)
{
    return image->path;
}

const struct bp_note_desc *
plugin_image_note(const PluginImage *image)
{
    return &image->note;
}

const struct bp_plugin *
plugin_image_descriptor(const PluginImage *image)
{
    return &image->descriptor;
}

unsigned
plugin_image_class_count(const PluginImage *image)
{
    return image->class_count;
}

const PluginClass *
plugin_image_class(const PluginImage *image, unsigned index)
{
    return index < image->class_count ? &image->classes[index] : NULL;
}
