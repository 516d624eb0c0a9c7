/* SPDX-License-Identifier: Apache-2.0 */
/* From a description to a plan. */
#include "config/plan.h"

#include "config/description.h"
#include "config/machine_check.h"
#include "config/machine_schema.h"
#include "config/plan_steps.h"
#include "config/schema.h"

#include <string.h>

#define ID_MAX 31u

static const char *const top_groups[] = {"machine", "backends", "devices", NULL};

typedef struct {
    PlanInstance *instance;
    ErrorList *errors;
} InstanceCheck;

const PluginClass *
plan_instance_class(const PlanInstance *instance)
{
    return instance->image != NULL ? plugin_image_class(instance->image, instance->class_index)
                                   : NULL;
}

void
plan_instance_free(gpointer data)
{
    PlanInstance *instance = data;

    g_free(instance->id);
    g_array_unref(instance->slot_uses);
    g_free(instance);
}

void
machine_plan_free(MachinePlan *plan)
{
    if (plan == NULL) {
        return;
    }
    g_ptr_array_unref(plan->backends);
    g_ptr_array_unref(plan->devices);
    node_free(plan->root);
    plugin_search_free(plan->search);
    g_free(plan->path);
    g_free(plan);
}

/* --- the three
 * groups -------------------------------------------------------------------------- */

static void
check_top_level(const Node *root, ErrorList *errors)
{
    for (unsigned i = 0; i < node_count(root); i++) {
        const Node *child = node_at(root, i);
        if (!g_strv_contains(top_groups, child->name)) {
            g_autofree char *hint = schema_suggest(child->name, top_groups);
            error_list_add(errors, child->file, child->line, child->name,
                           "unknown group: there are machine, backends and devices%s", hint);
        } else if (child->type != BP_NODE_GROUP) {
            error_list_add(errors, child->file, child->line, child->name,
                           "must be a group: %s = { ... };", child->name);
        }
    }
}

/* Takes a group of that name out of the list, or makes an empty one. */
static Node *
take_group(GPtrArray *list, const char *name)
{
    for (guint i = 0; i < list->len; i++) {
        const Node *child = g_ptr_array_index(list, i);
        if (strcmp(child->name, name) == 0 && child->type == BP_NODE_GROUP) {
            return g_ptr_array_steal_index(list, i);
        }
    }
    return node_new(BP_NODE_GROUP, name, FILE_DEFAULT, 0);
}

/* Puts exactly the three groups into the root, in order. */
static void
arrange_top_level(MachinePlan *plan, ErrorList *errors)
{
    g_autoptr(GPtrArray) old = g_steal_pointer(&plan->root->children);

    plan->root->children = g_ptr_array_new_with_free_func((GDestroyNotify)node_free);
    for (const char *const *name = top_groups; *name != NULL; name++) {
        g_ptr_array_add(plan->root->children, take_group(old, *name));
    }
    plan->machine = node_child(plan->root, "machine");
    if (strcmp(plan->machine->file, FILE_DEFAULT) == 0 && error_list_count(errors) == 0) {
        error_list_add(errors, plan->path, 0, NULL,
                       "no machine is described: the group \"machine\" is missing");
    }
}

/* --- instances
 * --------------------------------------------------------------------------------- */

static bool
is_id(const char *text)
{
    size_t length = strlen(text);

    for (size_t i = 0; i < length; i++) {
        bool is_other = g_ascii_isdigit(text[i]) || text[i] == '_' || text[i] == '-';
        if (!g_ascii_islower(text[i]) && (i == 0 || !is_other)) {
            return false;
        }
    }
    return length > 0 && length <= ID_MAX;
}

static void
report_class(const PlanInstance *instance, GPtrArray *known, const Node *place, const char *path,
             ErrorList *errors)
{
    const char *plugin = plugin_image_note(instance->image)->id;

    if (known->len == 0) {
        error_list_add(errors, place->file, place->line, path,
                       "plugin \"%s\" has no %s: it belongs under %s", plugin,
                       instance->is_device ? "device" : "backend",
                       instance->is_device ? "backends" : "devices");
        return;
    }
    const char *wanted = node_text(node_child(instance->node, "class"), "");
    g_ptr_array_add(known, NULL);
    g_autofree char *hint = schema_suggest(wanted, (const char *const *)known->pdata);
    error_list_add(errors, place->file, place->line, path, "plugin \"%s\" has no class \"%s\"%s",
                   plugin, wanted, hint);
}

/* Chooses the class: the one that is named, else the first of the right kind. place: the option
 * "plugin", for messages. */
static bool
choose_class(PlanInstance *instance, const Node *place, const char *path, ErrorList *errors)
{
    uint32_t kind = instance->is_device ? BP_KIND_DEVICE : BP_KIND_BACKEND;
    const char *wanted = node_text(node_child(instance->node, "class"), NULL);
    g_autoptr(GPtrArray) known = g_ptr_array_new();

    for (unsigned i = 0; i < plugin_image_class_count(instance->image); i++) {
        const PluginClass *class = plugin_image_class(instance->image, i);
        if (class->kind != kind) {
            continue;
        }
        g_ptr_array_add(known, (gpointer)(uintptr_t) class->name);
        if (wanted == NULL || strcmp(wanted, class->name) == 0) {
            instance->class_index = i;
            return true;
        }
    }
    report_class(instance, known, place, path, errors);
    return false;
}

static void
state_class(PlanInstance *instance)
{
    const PluginClass *class = plan_instance_class(instance);

    if (class == NULL || node_child(instance->node, "class") != NULL ||
        plugin_image_class_count(instance->image) == 1) {
        return;
    }
    Node *node = node_new(BP_NODE_STRING, "class", FILE_DEFAULT, 0);
    node->text = g_strdup(class->name);
    node->is_default = true;
    g_ptr_array_add(instance->node->children, node);
}

static bool
find_plugin(MachinePlan *plan, PlanInstance *instance, ErrorList *errors)
{
    Node *node = node_child(instance->node, "plugin");
    const char *name = node_text(node, NULL);
    g_autofree char *path =
        g_strdup_printf("%s.%s.plugin", plan_group_name(instance), instance->id);
    g_autoptr(GError) error = NULL;

    if (name == NULL) {
        return false; /* the schema check says so */
    }
    if (strchr(name, '/') != NULL) {
        g_autofree char *absolute = description_resolve_path(node, name);
        node_set_text(node, absolute);
    }
    instance->image = plugin_search_find(plan->search, node->text, &error);
    if (instance->image == NULL) {
        error_list_add(errors, node->file, node->line, path, "%s", error->message);
        return false;
    }
    if (!choose_class(instance, node, path, errors)) {
        instance->image = NULL;
        return false;
    }
    state_class(instance);
    return true;
}

/* A BACKEND option of an instance: a use of the slot of that name. */
static void
add_slot_use(void *opaque, const struct bp_prop *prop, const Node *node, const char *path)
{
    const InstanceCheck *check = opaque;
    const PluginClass *class = plan_instance_class(check->instance);
    PlanSlotUse use = {.node = node, .path = g_intern_string(path)};

    while (strcmp(class->slots[use.slot].name, prop->name) != 0) {
        use.slot++; /* it is there: the image was refused otherwise */
    }
    for (guint i = 0; i < check->instance->slot_uses->len; i++) {
        use.use += g_array_index(check->instance->slot_uses, PlanSlotUse, i).slot == use.slot;
    }
    g_array_append_val(check->instance->slot_uses, use);
}

static void
check_loop(const MachinePlan *plan, PlanInstance *instance, const char *path, ErrorList *errors)
{
    const Node *node = node_child(instance->node, "loop");
    uint64_t loops = node_u64(node_child(plan->machine, "loops"), 1);

    instance->loop = (unsigned)node_u64(node, 0);
    if (instance->loop >= loops && instance->loop < 64 && loops >= 1 && loops <= 64) {
        g_autofree char *loop_path = g_strdup_printf("%s.loop", path);
        error_list_add(errors, node->file, node->line, loop_path,
                       "there is no loop %u: machine.loops is %" G_GUINT64_FORMAT
                       ", and they count from 0",
                       instance->loop, loops);
    }
}

static void
check_instance(MachinePlan *plan, PlanInstance *instance, ErrorList *errors)
{
    static const struct bp_prop none[] = {{.name = NULL}};
    g_autofree char *path = g_strdup_printf("%s.%s", plan_group_name(instance), instance->id);
    InstanceCheck data = {instance, errors};
    SchemaCheck check = {errors, add_slot_use, &data};

    if (!find_plugin(plan, instance, errors)) {
        /* Without a schema only the absence of the plugin itself can be told. */
        if (node_text(node_child(instance->node, "plugin"), NULL) == NULL) {
            error_list_add(errors, instance->node->file, instance->node->line, path,
                           "option \"plugin\" is missing, or no text: the name of a plugin");
        }
        return;
    }
    const PluginClass *class = plan_instance_class(instance);
    bool is_pci = instance->is_device && class->bus == BP_BUS_PCI;
    const struct bp_prop *tables[] = {instance_props, is_pci ? pci_props : none,
                                      class->props != NULL ? class->props : none, NULL};
    schema_check(&check, instance->node, tables, path);
    check_loop(plan, instance, path, errors);
}

void
plan_add_instance(MachinePlan *plan, GPtrArray *list, Node *node, bool is_device, ErrorList *errors)
{
    const char *group = is_device ? "devices" : "backends";
    g_autofree char *path = g_strdup_printf("%s.%s", group, node->name);

    if (!is_id(node->name)) {
        error_list_add(errors, node->file, node->line, path,
                       "no proper id: lower-case letters, digits, '_' and '-', a letter first, at "
                       "most %u",
                       ID_MAX);
    }
    if (node->type != BP_NODE_GROUP) {
        error_list_add(errors, node->file, node->line, path,
                       "must be a group: %s = { plugin = \"...\"; ... };", node->name);
        return;
    }
    for (guint i = 0; is_device && i < plan->backends->len; i++) {
        const PlanInstance *backend = g_ptr_array_index(plan->backends, i);
        if (strcmp(backend->id, node->name) == 0) {
            error_list_add(errors, node->file, node->line, path,
                           "a backend has this id already (%s:%u)", backend->node->file,
                           backend->node->line);
        }
    }
    PlanInstance *instance = g_new0(PlanInstance, 1);
    instance->id = g_strdup(node->name);
    instance->is_device = is_device;
    instance->node = node;
    instance->slot_uses = g_array_new(FALSE, FALSE, sizeof(PlanSlotUse));
    g_ptr_array_add(list, instance);
    check_instance(plan, instance, errors);
}

static void
add_instances(MachinePlan *plan, GPtrArray *list, bool is_device, ErrorList *errors)
{
    const Node *group = node_child(plan->root, is_device ? "devices" : "backends");

    if (node_count(group) > PLAN_INSTANCES_MAX) {
        error_list_add(errors, group->file, group->line, group->name,
                       "more than %u members: no machine is that large", PLAN_INSTANCES_MAX);
        return;
    }
    for (unsigned i = 0; i < node_count(group); i++) {
        plan_add_instance(plan, list, node_at(group, i), is_device, errors);
    }
}

/* --- the plan
 * ---------------------------------------------------------------------------------- */

static MachinePlan *
plan_new_empty(const char *path, const char *const *plugin_path)
{
    MachinePlan *plan = g_new0(MachinePlan, 1);

    plan->path = g_strdup(path);
    plan->backends = g_ptr_array_new_with_free_func(plan_instance_free);
    plan->devices = g_ptr_array_new_with_free_func(plan_instance_free);
    plan->search = plugin_search_new(plugin_path);
    return plan;
}

MachinePlan *
machine_plan_new(const char *path, const char *const *overrides, const char *const *plugin_path,
                 ErrorList *errors)
{
    g_autoptr(MachinePlan) plan = plan_new_empty(path, plugin_path);
    const struct bp_prop *tables[] = {machine_props, NULL};
    SchemaCheck check = {errors, NULL, NULL};

    plan->root = description_read(path, errors);
    if (plan->root == NULL) {
        return NULL;
    }
    for (; overrides != NULL && *overrides != NULL; overrides++) {
        description_override(plan->root, *overrides, errors);
    }
    check_top_level(plan->root, errors);
    arrange_top_level(plan, errors);
    schema_check(&check, node_child(plan->root, "machine"), tables, "machine");
    add_instances(plan, plan->backends, false, errors);
    add_instances(plan, plan->devices, true, errors);
    per_instance_deal(plan, errors);
    references_resolve(plan, errors);
    pci_addresses_assign(plan, errors);
    machine_check(plan, errors);
    return error_list_count(errors) == 0 ? g_steal_pointer(&plan) : NULL;
}
