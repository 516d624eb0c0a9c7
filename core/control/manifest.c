/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin's manifest as text, and the table of all. */
#include "control/manifest.h"

#include "base/json_text.h"
#include "config/schema.h"
#include "control/manifest_json.h"

#include <string.h>

const char *
manifest_kind(uint32_t kind)
{
    return kind == BP_KIND_DEVICE ? "device" : "backend";
}

const char *
manifest_bus(uint32_t bus)
{
    return bus == BP_BUS_PCI ? "pci" : bus == BP_BUS_ISA ? "isa" : "none";
}

const char *
manifest_threads(uint32_t thread_model)
{
    switch (thread_model) {
    case BP_THREADS_SERIAL:
        return "serial";
    case BP_THREADS_PER_QUEUE:
        return "per-queue";
    default:
        return "parallel";
    }
}

const char *
manifest_promise(unsigned bit)
{
    static const char *const names[MANIFEST_PROMISES] = {"sandbox", "upgrade", "dirty-tracked"};

    return names[bit];
}

char *
manifest_limit(const struct bp_prop *prop, int64_t value)
{
    return prop->type == BP_PROP_SIZE && value >= 0 ? schema_format_size((uint64_t)value)
                                                    : g_strdup_printf("%" G_GINT64_FORMAT, value);
}

static char *
class_promises(const PluginClass *class)
{
    GString *text = g_string_new(NULL);

    for (unsigned bit = 0; bit < MANIFEST_PROMISES; bit++) {
        if ((class->promises & (1u << bit)) != 0) {
            g_string_append_printf(text, "%s%s", text->len > 0 ? ", " : "", manifest_promise(bit));
        }
    }
    return g_string_free(text, FALSE);
}

/* Type, range, choices and default of an option, in brackets. */
static char *
option_facts(const struct bp_prop *prop)
{
    GString *text = g_string_new(schema_type_name(prop->type));

    if (prop->type == BP_PROP_ENUM) {
        g_autofree char *choices = g_strjoinv(" | ", (char **)(uintptr_t)prop->choices);
        g_string_assign(text, choices);
    }
    if (prop->min != 0 || prop->max != 0) {
        g_autofree char *from = manifest_limit(prop, prop->min);
        g_autofree char *to = manifest_limit(prop, prop->max);
        const char *unit = prop->type == BP_PROP_STRING ? " characters"
                           : prop->type == BP_PROP_LIST ? " elements"
                                                        : "";
        if (prop->max == G_MAXINT64) {
            g_string_append_printf(text, ", %s or more%s", from, unit);
        } else if (prop->min == prop->max) {
            g_string_append_printf(text, ", %s%s", from, unit);
        } else {
            g_string_append_printf(text, ", %s to %s%s", from, to, unit);
        }
    }
    if ((prop->flags & BP_PROP_REQUIRED) != 0) {
        g_string_append(text, ", required");
    } else if (prop->def != NULL) {
        g_string_append_printf(text, ", default %s%s", *prop->def != '\0' ? prop->def : "empty",
                               (prop->flags & BP_PROP_PER_INSTANCE) != 0 ? " in turn" : "");
    }
    if ((prop->flags & BP_PROP_RUNTIME) != 0) {
        g_string_append(text, ", can change at run time");
    }
    return g_string_free(text, FALSE);
}

static void
print_option(GString *text, const struct bp_prop *prop, const char *name, unsigned depth)
{
    g_autofree char *facts = option_facts(prop);

    g_string_append_printf(text, "%*s%s: %s\n", (int)(4 + 4 * depth), "", name, facts);
    if (prop->help != NULL) {
        g_string_append_printf(text, "%*s%s\n", (int)(8 + 4 * depth), "", prop->help);
    }
}

static void
print_options(GString *text, const struct bp_prop *props, unsigned depth)
{
    for (; props != NULL && props->name != NULL; props++) {
        bool is_list = props->type == BP_PROP_LIST;
        const struct bp_prop *inner = is_list ? &props->children[0] : props;
        print_option(text, props, props->name, depth);
        if (is_list && inner->type != BP_PROP_GROUP) {
            print_option(text, inner, "each", depth + 1);
        }
        if (inner->type == BP_PROP_GROUP) {
            print_options(text, inner->children, depth + 1);
        }
    }
}

static void
print_slots(GString *text, const struct bp_slot *slots)
{
    for (; slots != NULL && slots->name != NULL; slots++) {
        g_string_append_printf(text, "    slot %s: %s, %u to %u%s\n", slots->name,
                               slots->interface_id, slots->min, slots->max,
                               (slots->flags & BP_SLOT_HOTPLUG) != 0 ? ", hot-pluggable" : "");
    }
}

static void
print_class(GString *text, const PluginClass *class)
{
    g_autofree char *promises = class_promises(class);

    g_string_append_printf(text, "\n%s \"%s\"", manifest_kind(class->kind), class->name);
    if (class->help != NULL) {
        g_string_append_printf(text, ": %s", class->help);
    }
    g_string_append_printf(text, "\n    threads %s", manifest_threads(class->thread_model));
    if (class->kind == BP_KIND_DEVICE) {
        g_string_append_printf(text, ", bus %s", manifest_bus(class->bus));
    }
    if (class->state_version > 0) {
        g_string_append_printf(text, ", state version %u (reads from %u)", class->state_version,
                               class->state_min);
    }
    g_string_append_c(text, '\n');
    if (*promises != '\0') {
        g_string_append_printf(text, "    promises %s\n", promises);
    }
    if (class->provides != NULL) {
        g_autofree char *provides = g_strjoinv(", ", (char **)(uintptr_t) class->provides);
        g_string_append_printf(text, "    provides %s\n", provides);
    }
    print_slots(text, class->slots);
    if (class->props != NULL && class->props->name != NULL) {
        g_string_append(text, "  options:\n");
        print_options(text, class->props, 0);
    }
}

char *
manifest_text(const PluginImage *image)
{
    const struct bp_plugin *plugin = plugin_image_descriptor(image);
    const struct bp_note_desc *note = plugin_image_note(image);
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "%s %s: %s\n", plugin->id, plugin->version, plugin->help);
    g_string_append_printf(text, "  file %s\n", plugin_image_path(image));
    g_string_append_printf(text, "  license %s, plugin ABI %u.%u\n", plugin->license,
                           plugin->abi_major, plugin->abi_minor);
    g_string_append(text, "  needs");
    for (unsigned i = 0; i < BP_NOTE_MAX_NEEDS && note->needs[i].interface_id[0] != '\0'; i++) {
        g_string_append_printf(text, " %s", note->needs[i].interface_id);
    }
    g_string_append(text, note->needs[0].interface_id[0] != '\0' ? "\n" : " nothing\n");
    for (unsigned i = 0; i < plugin_image_class_count(image); i++) {
        print_class(text, plugin_image_class(image, i));
    }
    return g_string_free(text, FALSE);
}

char *
manifest_json(const PluginImage *image)
{
    g_autoptr(JsonBuilder) json = json_builder_new();

    manifest_write_json(json, image);
    return json_text(json);
}

/* --- the table
 * --------------------------------------------------------------------------------- */

struct ManifestTable {
    JsonBuilder *json; /* NULL: text */
    GPtrArray *rows;   /* char **: name, version, kind, interfaces, help */
};

ManifestTable *
manifest_table_new(bool as_json)
{
    ManifestTable *table = g_new0(ManifestTable, 1);

    table->rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    if (as_json) {
        table->json = json_builder_new();
        json_builder_begin_array(table->json);
    }
    return table;
}

void
manifest_table_free(ManifestTable *table)
{
    if (table != NULL) {
        if (table->json != NULL) {
            g_object_unref(table->json);
        }
        g_ptr_array_unref(table->rows);
        g_free(table);
    }
}

static void
add_word(GString *words, const char *word)
{
    if (strstr(words->str, word) == NULL) {
        g_string_append_printf(words, "%s%s", words->len > 0 ? "," : "", word);
    }
}

/* What a plugin is, in a word: the kinds of its classes and what they provide. */
static void
summarize(const PluginImage *image, GString *kinds, GString *interfaces)
{
    for (unsigned i = 0; i < plugin_image_class_count(image); i++) {
        const PluginClass *class = plugin_image_class(image, i);
        bool has_slots = class->slots != NULL && class->slots->name != NULL;
        bool is_filter = class->kind == BP_KIND_BACKEND && has_slots;
        add_word(kinds, is_filter ? "filter" : manifest_kind(class->kind));
        for (const char *const *id = class->provides; id != NULL && *id != NULL; id++) {
            add_word(interfaces, *id);
        }
    }
}

void
manifest_table_add(ManifestTable *table, const PluginImage *image)
{
    const struct bp_plugin *plugin = plugin_image_descriptor(image);

    if (table->json != NULL) {
        manifest_write_json(table->json, image);
        return;
    }
    g_autoptr(GString) kinds = g_string_new(NULL);
    g_autoptr(GString) interfaces = g_string_new(NULL);
    summarize(image, kinds, interfaces);
    char **row = g_new0(char *, 6);
    row[0] = g_strdup(plugin->id);
    row[1] = g_strdup(plugin->version);
    row[2] = g_strdup(kinds->str);
    row[3] = g_strdup(interfaces->len > 0 ? interfaces->str : "-");
    row[4] = g_strdup(plugin->help);
    g_ptr_array_add(table->rows, row);
}

char *
manifest_table_finish(ManifestTable *table)
{
    static const char *const head[] = {"NAME", "VERSION", "KIND", "PROVIDES", "WHAT IT IS"};
    int widths[4] = {4, 7, 4, 8};
    GString *text = g_string_new(NULL);

    if (table->json != NULL) {
        json_builder_end_array(table->json);
        g_string_free(text, TRUE);
        return json_text(table->json);
    }
    for (guint i = 0; i < table->rows->len; i++) {
        char **row = g_ptr_array_index(table->rows, i);
        for (unsigned column = 0; column < G_N_ELEMENTS(widths); column++) {
            widths[column] = MAX(widths[column], (int)strlen(row[column]));
        }
    }
    for (guint i = 0; i <= table->rows->len; i++) {
        const char *const *row = i == 0 ? head : g_ptr_array_index(table->rows, i - 1);
        for (unsigned column = 0; column < G_N_ELEMENTS(widths); column++) {
            g_string_append_printf(text, "%-*s  ", widths[column], row[column]);
        }
        g_string_append_printf(text, "%s\n", row[4]);
    }
    return g_string_free(text, FALSE);
}
