/* SPDX-License-Identifier: Apache-2.0 */
/* Which backend stands behind which slot. A backend serves one slot: who wants to share one puts
 * something between that is made for it. */
#include "config/plan_steps.h"
#include "config/schema.h"

#include <string.h>

typedef struct {
    MachinePlan *plan;
    ErrorList *errors;
    GHashTable *users; /* PlanInstance (backend) -> PlanSlotUse that has it */
} Resolver;

static PlanInstance *
find(const GPtrArray *instances, const char *id)
{
    for (guint i = 0; i < instances->len; i++) {
        PlanInstance *instance = g_ptr_array_index(instances, i);
        if (strcmp(instance->id, id) == 0) {
            return instance;
        }
    }
    return NULL;
}

static void
report_unknown(const Resolver *resolver, const PlanSlotUse *use)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    const GPtrArray *backends = resolver->plan->backends;

    if (find(resolver->plan->devices, use->node->text) != NULL) {
        error_list_add(resolver->errors, use->node->file, use->node->line, use->path,
                       "\"%s\" is a device, not a backend", use->node->text);
        return;
    }
    for (guint i = 0; i < backends->len; i++) {
        const PlanInstance *backend = g_ptr_array_index(backends, i);
        g_ptr_array_add(known, backend->id);
    }
    g_ptr_array_add(known, NULL);
    g_autofree char *hint = schema_suggest(use->node->text, (const char *const *)known->pdata);
    error_list_add(resolver->errors, use->node->file, use->node->line, use->path,
                   "no backend \"%s\"%s", use->node->text, hint);
}

static void
check_interface(const Resolver *resolver, const PlanSlotUse *use, const struct bp_slot *slot)
{
    const PluginClass *class = plan_instance_class(use->backend);

    if (class == NULL || g_strv_contains(class->provides, slot->interface_id)) {
        return;
    }
    g_autofree char *offered = g_strjoinv(", ", (char **)(uintptr_t) class->provides);
    error_list_add(resolver->errors, use->node->file, use->node->line, use->path,
                   "backend \"%s\" (%s) provides %s, but %s is needed here", use->backend->id,
                   class->name, offered, slot->interface_id);
}

static void
check_single_user(const Resolver *resolver, const PlanSlotUse *use)
{
    const PlanSlotUse *other = g_hash_table_lookup(resolver->users, use->backend);

    if (other == NULL) {
        g_hash_table_insert(resolver->users, (gpointer)(uintptr_t)use->backend,
                            (gpointer)(uintptr_t)use);
        return;
    }
    g_autofree char *place = other->node->line != 0
                                 ? g_strdup_printf("%s:%u", other->node->file, other->node->line)
                                 : g_strdup(other->node->file);
    error_list_add(resolver->errors, use->node->file, use->node->line, use->path,
                   "backend \"%s\" is used by %s already (%s); each backend serves one slot",
                   use->backend->id, other->path, place);
}

/* A missing option that must be given was reported as such. */
static bool
is_required(const PlanInstance *instance, const char *name)
{
    const struct bp_prop *props = plan_instance_class(instance)->props;

    for (; props != NULL && props->name != NULL; props++) {
        if (strcmp(props->name, name) == 0) {
            return (props->flags & BP_PROP_REQUIRED) != 0;
        }
    }
    return false;
}

static void
check_counts(const Resolver *resolver, const PlanInstance *instance)
{
    const struct bp_slot *slots = plan_instance_class(instance)->slots;

    for (unsigned i = 0; slots != NULL && slots[i].name != NULL; i++) {
        unsigned count = 0;
        for (guint j = 0; j < instance->slot_uses->len; j++) {
            count += g_array_index(instance->slot_uses, PlanSlotUse, j).slot == i;
        }
        bool is_few = count < slots[i].min;
        if ((!is_few && count <= slots[i].max) ||
            (count == 0 && is_required(instance, slots[i].name))) {
            continue;
        }
        g_autofree char *path = g_strdup_printf("%s.%s", plan_group_name(instance), instance->id);
        error_list_add(resolver->errors, instance->node->file, instance->node->line, path,
                       "%u backends are given as \"%s\"; it takes at %s %u", count, slots[i].name,
                       is_few ? "least" : "most", is_few ? slots[i].min : slots[i].max);
    }
}

static void
resolve_instance(const Resolver *resolver, PlanInstance *instance)
{
    const PluginClass *class = plan_instance_class(instance);

    if (class == NULL) {
        return;
    }
    for (guint i = 0; i < instance->slot_uses->len; i++) {
        PlanSlotUse *use = &g_array_index(instance->slot_uses, PlanSlotUse, i);
        use->backend = find(resolver->plan->backends, use->node->text);
        if (use->backend == NULL) {
            report_unknown(resolver, use);
            continue;
        }
        check_interface(resolver, use, &class->slots[use->slot]);
        check_single_user(resolver, use);
    }
    check_counts(resolver, instance);
}

/* --- order
 * ------------------------------------------------------------------------------------- */

typedef struct {
    GPtrArray *sorted;   /* PlanInstance, those below first */
    GHashTable *visited; /* set */
    GPtrArray *trail;    /* from a start to where we are */
    ErrorList *errors;
} Sorter;

static void
report_circle(const Sorter *sorter, guint start, const PlanSlotUse *use)
{
    GString *text = g_string_new(NULL);

    for (guint i = start; i < sorter->trail->len; i++) {
        const PlanInstance *instance = g_ptr_array_index(sorter->trail, i);
        g_string_append_printf(text, "\"%s\" -> ", instance->id);
    }
    g_string_append_printf(text, "\"%s\"", use->backend->id);
    error_list_add(sorter->errors, use->node->file, use->node->line, use->path,
                   "backends stand on each other in a circle: %s", text->str);
    g_string_free(text, TRUE);
}

/* Recursion ends: at most PLAN_INSTANCES_MAX deep. */
static void
visit(Sorter *sorter, const PlanInstance *instance)
{
    if (!g_hash_table_add(sorter->visited, (gpointer)(uintptr_t)instance)) {
        return;
    }
    g_ptr_array_add(sorter->trail, (gpointer)(uintptr_t)instance);
    for (guint i = 0; i < instance->slot_uses->len; i++) {
        const PlanSlotUse *use = &g_array_index(instance->slot_uses, PlanSlotUse, i);
        guint start = 0;
        if (use->backend == NULL) {
            continue;
        }
        if (g_ptr_array_find(sorter->trail, use->backend, &start)) {
            report_circle(sorter, start, use);
        } else {
            visit(sorter, use->backend);
        }
    }
    g_ptr_array_set_size(sorter->trail, (gint)sorter->trail->len - 1);
    g_ptr_array_add(sorter->sorted, (gpointer)(uintptr_t)instance);
}

static void
sort_backends(MachinePlan *plan, ErrorList *errors)
{
    g_autoptr(GHashTable) visited = g_hash_table_new(NULL, NULL);
    g_autoptr(GPtrArray) trail = g_ptr_array_new();
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();
    Sorter sorter = {sorted, visited, trail, errors};

    for (guint i = 0; i < plan->backends->len; i++) {
        visit(&sorter, g_ptr_array_index(plan->backends, i));
    }
    for (guint i = 0; i < plan->backends->len; i++) {
        g_ptr_array_index(plan->backends, i) = g_ptr_array_index(sorted, i);
    }
}

void
references_resolve(MachinePlan *plan, ErrorList *errors)
{
    g_autoptr(GHashTable) users = g_hash_table_new(NULL, NULL);
    Resolver resolver = {plan, errors, users};

    for (guint i = 0; i < plan->backends->len; i++) {
        resolve_instance(&resolver, g_ptr_array_index(plan->backends, i));
    }
    for (guint i = 0; i < plan->devices->len; i++) {
        resolve_instance(&resolver, g_ptr_array_index(plan->devices, i));
    }
    sort_backends(plan, errors);
}

static void
take_uses(const Resolver *resolver, const GPtrArray *instances, const PlanInstance *except)
{
    for (guint i = 0; i < instances->len; i++) {
        const PlanInstance *instance = g_ptr_array_index(instances, i);
        for (guint j = 0; instance != except && j < instance->slot_uses->len; j++) {
            PlanSlotUse *use = &g_array_index(instance->slot_uses, PlanSlotUse, j);
            g_hash_table_insert(resolver->users, (gpointer)(uintptr_t)use->backend, use);
        }
    }
}

void
references_resolve_added(MachinePlan *plan, PlanInstance *added, ErrorList *errors)
{
    g_autoptr(GHashTable) users = g_hash_table_new(NULL, NULL);
    Resolver resolver = {plan, errors, users};

    take_uses(&resolver, plan->backends, added);
    take_uses(&resolver, plan->devices, added);
    resolve_instance(&resolver, added);
}
