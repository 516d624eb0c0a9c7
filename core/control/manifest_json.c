/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin's manifest as JSON. */
#include "control/manifest_json.h"

#include "config/schema.h"

static void
member(JsonBuilder *json, const char *name, const char *text)
{
    json_builder_set_member_name(json, name);
    json_builder_add_string_value(json, text);
}

static void
flag(JsonBuilder *json, const char *name, bool value)
{
    json_builder_set_member_name(json, name);
    json_builder_add_boolean_value(json, value);
}

static void
number(JsonBuilder *json, const char *name, int64_t value)
{
    json_builder_set_member_name(json, name);
    json_builder_add_int_value(json, value);
}

static void
texts(JsonBuilder *json, const char *name, const char *const *list)
{
    json_builder_set_member_name(json, name);
    json_builder_begin_array(json);
    for (; list != NULL && *list != NULL; list++) {
        json_builder_add_string_value(json, *list);
    }
    json_builder_end_array(json);
}

static void write_options(JsonBuilder *json, const char *name, const struct bp_prop *props);

static void
write_option(JsonBuilder *json, const struct bp_prop *prop)
{
    json_builder_begin_object(json);
    if (prop->name != NULL) {
        member(json, "name", prop->name);
    }
    member(json, "type", schema_type_name(prop->type));
    flag(json, "required", (prop->flags & BP_PROP_REQUIRED) != 0);
    flag(json, "per_instance", (prop->flags & BP_PROP_PER_INSTANCE) != 0);
    flag(json, "runtime", (prop->flags & BP_PROP_RUNTIME) != 0);
    member(json, "default", prop->def);
    if (prop->min != 0 || prop->max != 0) {
        number(json, "min", prop->min);
        number(json, "max", prop->max);
    }
    if (prop->type == BP_PROP_ENUM) {
        texts(json, "choices", prop->choices);
    }
    if (prop->type == BP_PROP_GROUP) {
        write_options(json, "members", prop->children);
    }
    if (prop->type == BP_PROP_LIST) {
        json_builder_set_member_name(json, "element");
        write_option(json, &prop->children[0]);
    }
    member(json, "help", prop->help);
    json_builder_end_object(json);
}

static void
write_options(JsonBuilder *json, const char *name, const struct bp_prop *props)
{
    json_builder_set_member_name(json, name);
    json_builder_begin_array(json);
    for (; props != NULL && props->name != NULL; props++) {
        write_option(json, props);
    }
    json_builder_end_array(json);
}

static void
write_slots(JsonBuilder *json, const struct bp_slot *slots)
{
    json_builder_set_member_name(json, "slots");
    json_builder_begin_array(json);
    for (; slots != NULL && slots->name != NULL; slots++) {
        json_builder_begin_object(json);
        member(json, "name", slots->name);
        member(json, "interface", slots->interface_id);
        number(json, "min", slots->min);
        number(json, "max", slots->max);
        flag(json, "hotplug", (slots->flags & BP_SLOT_HOTPLUG) != 0);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
}

static void
write_class(JsonBuilder *json, const PluginClass *class)
{
    json_builder_begin_object(json);
    member(json, "name", class->name);
    member(json, "kind", manifest_kind(class->kind));
    member(json, "threads", manifest_threads(class->thread_model));
    if (class->kind == BP_KIND_DEVICE) {
        member(json, "bus", manifest_bus(class->bus));
    }
    number(json, "state_version", class->state_version);
    number(json, "state_min", class->state_min);
    json_builder_set_member_name(json, "promises");
    json_builder_begin_array(json);
    for (unsigned bit = 0; bit < MANIFEST_PROMISES; bit++) {
        if ((class->promises & (1u << bit)) != 0) {
            json_builder_add_string_value(json, manifest_promise(bit));
        }
    }
    json_builder_end_array(json);
    texts(json, "provides", class->provides);
    write_slots(json, class->slots);
    write_options(json, "options", class->props);
    member(json, "help", class->help);
    json_builder_end_object(json);
}

void
manifest_write_json(JsonBuilder *json, const PluginImage *image)
{
    const struct bp_plugin *plugin = plugin_image_descriptor(image);
    const struct bp_note_desc *note = plugin_image_note(image);

    json_builder_begin_object(json);
    member(json, "id", plugin->id);
    member(json, "version", plugin->version);
    member(json, "license", plugin->license);
    member(json, "help", plugin->help);
    member(json, "file", plugin_image_path(image));
    number(json, "abi_major", plugin->abi_major);
    number(json, "abi_minor", plugin->abi_minor);
    json_builder_set_member_name(json, "needs");
    json_builder_begin_array(json);
    for (unsigned i = 0; i < BP_NOTE_MAX_NEEDS && note->needs[i].interface_id[0] != '\0'; i++) {
        json_builder_begin_object(json);
        member(json, "interface", note->needs[i].interface_id);
        number(json, "min_size", note->needs[i].min_size);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
    json_builder_set_member_name(json, "classes");
    json_builder_begin_array(json);
    for (unsigned i = 0; i < plugin_image_class_count(image); i++) {
        write_class(json, plugin_image_class(image, i));
    }
    json_builder_end_array(json);
    json_builder_end_object(json);
}
