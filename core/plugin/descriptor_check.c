/* SPDX-License-Identifier: Apache-2.0 */
/* The walk of descriptor_check.h. Lists and depth are bounded, and so is their product, since lists
 * may be shared. */
#include "plugin/descriptor_check.h"

#include <string.h>

#define TEXT_MAX   4096u
#define LIST_MAX   128u
#define DEPTH_MAX  6u
#define PROPS_MAX  1024u
#define PROP_FLAGS (BP_PROP_REQUIRED | BP_PROP_PER_INSTANCE | BP_PROP_RUNTIME)
#define SLOT_FLAGS BP_SLOT_HOTPLUG

typedef struct {
    const ElfImage *elf;
    const struct bp_class *class;
    unsigned props; /* seen so far */
} Walk;

static char *check_props(Walk *walk, const struct bp_prop *props, unsigned depth);

bool
descriptor_is_text(const ElfImage *elf, const char *text)
{
    for (size_t i = 0; i < TEXT_MAX; i++) {
        if (text == NULL || !elf_image_contains(elf, text + i, 1)) {
            return false;
        }
        if (text[i] == '\0') {
            return g_utf8_validate(text, (gssize)i, NULL);
        }
    }
    return false;
}

bool
descriptor_text_ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

bool
descriptor_is_name(const char *text)
{
    size_t length = strlen(text);

    if (length > 31 || !g_ascii_islower(text[0])) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (!g_ascii_islower(text[i]) && !g_ascii_isdigit(text[i]) && text[i] != '_' &&
            text[i] != '-') {
            return false;
        }
    }
    return true;
}

/* A NULL-terminated list of texts. */
static bool
is_text_list(const ElfImage *elf, const char *const *list)
{
    for (unsigned i = 0; i < LIST_MAX; i++) {
        const char *text;
        if (!elf_image_contains(elf, list + i, sizeof(text))) {
            return false;
        }
        memcpy(&text, list + i, sizeof(text));
        if (text == NULL) {
            return true;
        }
        if (!descriptor_is_text(elf, text)) {
            return false;
        }
    }
    return false;
}

static bool
is_aligned(const void *pointer, size_t alignment)
{
    return ((uintptr_t)pointer & (alignment - 1)) == 0;
}

static bool
is_zero(const uint64_t *reserved, size_t count)
{
    uint64_t all = 0;

    for (size_t i = 0; i < count; i++) {
        all |= reserved[i];
    }
    return all == 0;
}

static bool
has_slot(const struct bp_class *class, const char *name)
{
    for (const struct bp_slot *slot = class->slots; slot != NULL && slot->name != NULL; slot++) {
        if (strcmp(slot->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Options the core gives to every instance (config/machine_schema.h). */
static bool
is_reserved(const struct bp_class *class, const char *name)
{
    return strcmp(name, "plugin") == 0 || strcmp(name, "class") == 0 || strcmp(name, "loop") == 0 ||
           (class->bus == BP_BUS_PCI && strcmp(name, "address") == 0);
}

static const char *
check_prop_type(const Walk *walk, const struct bp_prop *prop, unsigned depth)
{
    bool is_compound = prop->type == BP_PROP_LIST || prop->type == BP_PROP_GROUP;

    if (prop->type < BP_PROP_BOOL || prop->type > BP_PROP_GROUP ||
        (prop->flags & ~PROP_FLAGS) != 0 || !is_zero(prop->reserved, 4)) {
        return "has a type or flags this core does not know: built for a newer one";
    }
    if (depth == 0 && is_reserved(walk->class, prop->name)) {
        return "has the name of an option that the core gives to every instance";
    }
    if (prop->min > prop->max && !(prop->max == 0 && prop->min == 0)) {
        return "has a range that ends before it begins";
    }
    if (prop->type == BP_PROP_ENUM &&
        (prop->choices == NULL || !is_text_list(walk->elf, prop->choices))) {
        return "is a choice of nothing";
    }
    if (is_compound && prop->children == NULL) {
        return "is a list or group of nothing";
    }
    if (prop->type == BP_PROP_BACKEND && !has_slot(walk->class, prop->name)) {
        return "names a backend, but the class has no slot of that name";
    }
    if ((prop->flags & BP_PROP_PER_INSTANCE) != 0 &&
        (is_compound || depth > 0 || prop->def == NULL)) {
        return "cannot be dealt out to instances: that takes a plain option with a list of "
               "defaults";
    }
    return NULL;
}

static char *check_prop(Walk *walk, const struct bp_prop *prop, unsigned depth);

/* What a list's elements are: one record, whose name matters only if it is a slot's. */
static char *
check_element(Walk *walk, const struct bp_prop *prop, unsigned depth)
{
    if (depth > DEPTH_MAX || !is_aligned(prop, _Alignof(struct bp_prop)) ||
        !elf_image_contains(walk->elf, prop, sizeof(*prop))) {
        return g_strdup_printf("class \"%s\" has options nested too deeply", walk->class->name);
    }
    return check_prop(walk, prop, depth);
}

static bool
has_name(const Walk *walk, const struct bp_prop *prop, bool is_element)
{
    if (prop->name == NULL) {
        return is_element && prop->type != BP_PROP_BACKEND;
    }
    return descriptor_is_text(walk->elf, prop->name) && descriptor_is_name(prop->name);
}

static char *
check_prop(Walk *walk, const struct bp_prop *prop, unsigned depth)
{
    if (!has_name(walk, prop, depth > 0)) {
        return g_strdup_printf("class \"%s\" has an option without a proper name",
                               walk->class->name);
    }
    if ((prop->def != NULL && !descriptor_is_text(walk->elf, prop->def)) ||
        (prop->help != NULL && !descriptor_is_text(walk->elf, prop->help))) {
        return g_strdup_printf(
            "option \"%s\" of class \"%s\" has a default or help that is no text", prop->name,
            walk->class->name);
    }
    const char *problem = check_prop_type(walk, prop, depth);
    if (problem != NULL) {
        return g_strdup_printf("option \"%s\" of class \"%s\" %s", prop->name, walk->class->name,
                               problem);
    }
    if (prop->type == BP_PROP_LIST) {
        return check_element(walk, prop->children, depth + 1);
    }
    return prop->type == BP_PROP_GROUP ? check_props(walk, prop->children, depth + 1) : NULL;
}

static char *
check_props(Walk *walk, const struct bp_prop *props, unsigned depth)
{
    if (depth > DEPTH_MAX || !is_aligned(props, _Alignof(struct bp_prop))) {
        return g_strdup_printf("class \"%s\" has options nested too deeply", walk->class->name);
    }
    for (unsigned i = 0; i < LIST_MAX; i++) {
        if (!elf_image_contains(walk->elf, props + i, sizeof(*props))) {
            break;
        }
        if (props[i].name == NULL) {
            return NULL;
        }
        walk->props++;
        if (walk->props > PROPS_MAX) {
            break;
        }
        char *problem = check_prop(walk, &props[i], depth);
        if (problem != NULL) {
            return problem;
        }
    }
    return g_strdup_printf("class \"%s\" has a list of options that does not end",
                           walk->class->name);
}

static char *
check_slots(const Walk *walk, const struct bp_slot *slots)
{
    for (unsigned i = 0; i < LIST_MAX; i++) {
        const struct bp_slot *slot = slots + i;
        if (!is_aligned(slots, _Alignof(struct bp_slot)) ||
            !elf_image_contains(walk->elf, slot, sizeof(*slot))) {
            break;
        }
        if (slot->name == NULL) {
            return NULL;
        }
        if (!descriptor_is_text(walk->elf, slot->name) || !descriptor_is_name(slot->name) ||
            !descriptor_is_text(walk->elf, slot->interface_id)) {
            return g_strdup_printf("class \"%s\" has a slot without a proper name or interface",
                                   walk->class->name);
        }
        if (slot->min > slot->max || slot->max == 0 || (slot->flags & ~SLOT_FLAGS) != 0 ||
            !is_zero(slot->reserved, 4)) {
            return g_strdup_printf("slot \"%s\" of class \"%s\" has limits or flags this core does "
                                   "not know: built for a newer one",
                                   slot->name, walk->class->name);
        }
    }
    return g_strdup_printf("class \"%s\" has a list of slots that does not end", walk->class->name);
}

static const char *
check_kind(const ElfImage *elf, const struct bp_class *class)
{
    bool is_backend = class->kind == BP_KIND_BACKEND;

    if (class->kind != BP_KIND_DEVICE && !is_backend) {
        return "is neither a device nor a backend";
    }
    if (class->thread_model != BP_THREADS_SERIAL && class->thread_model != BP_THREADS_PER_QUEUE &&
        class->thread_model != BP_THREADS_PARALLEL) {
        return "has a thread model this core does not know";
    }
    if (is_backend && class->thread_model == BP_THREADS_SERIAL) {
        return "is a backend and SERIAL: its callers hold locks of their own, which must not nest";
    }
    if (class->bus > BP_BUS_PCI || class->preferred_devfn > 0xFF) {
        return "sits on a bus this core does not know";
    }
    if (class->state_min > class->state_version) {
        return "reads no version of its own state";
    }
    if (class->provides != NULL && !is_text_list(elf, class->provides)) {
        return "has a damaged list of interfaces";
    }
    if (is_backend && (class->provides == NULL || class->provides[0] == NULL)) {
        return "is a backend that provides no interface";
    }
    return class->help != NULL && !descriptor_is_text(elf, class->help)
               ? "has a help that is no text"
               : NULL;
}

char *
descriptor_read_class(const ElfImage *elf, const struct bp_class *raw, struct bp_class *class)
{
    Walk walk = {elf, class, 0};

    memset(class, 0, sizeof(*class));
    if (!is_aligned(raw, _Alignof(struct bp_class)) ||
        !elf_image_contains(elf, raw, sizeof(*class)) || raw->size < sizeof(*class)) {
        return g_strdup("its descriptor is damaged: a class lies outside its memory");
    }
    memcpy(class, raw, sizeof(*class));
    class->size = sizeof(*class);
    class->create = NULL;
    class->destroy = NULL;
    class->query = NULL;
    if (!descriptor_is_text(elf, class->name) || !descriptor_is_name(class->name)) {
        return g_strdup("has a class without a proper name");
    }
    const char *problem = check_kind(elf, class);
    if (problem != NULL) {
        return g_strdup_printf("class \"%s\" %s", class->name, problem);
    }
    char *text = class->slots != NULL ? check_slots(&walk, class->slots) : NULL;
    if (text == NULL && class->props != NULL) {
        text = check_props(&walk, class->props, 0);
    }
    return text;
}
