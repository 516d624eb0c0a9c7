/* SPDX-License-Identifier: Apache-2.0 */
/* Options that change while the instance lives (life.set). */
#include "base/error.h"
#include "config/schema.h"
#include "plugin/instance.h"

#include <errno.h>
#include <string.h>

static const struct bp_prop *
find_option(const Instance *instance, const char *name)
{
    const struct bp_prop *none[] = {instance->class->props, NULL};

    return instance->class->props != NULL ? schema_find(none, name) : NULL;
}

/* The group keeps what is set, so that it tells the truth. A plugin may look at what it was created
 * with until destroy(), so those nodes stay; values that were set are borrowed and may go. */
static void
keep(Instance *instance, Node *value)
{
    GPtrArray *members = instance->plan->node->children;
    Node *old = node_child(instance->plan->node, value->name);
    guint index;

    if (old != NULL && g_ptr_array_find(members, old, &index)) {
        (void)g_ptr_array_steal_index(members, index);
        if (g_hash_table_remove(instance->set_values, old)) {
            node_free(old);
        } else {
            g_ptr_array_add(instance->first_values, old);
        }
    }
    (void)g_hash_table_add(instance->set_values, value);
    g_ptr_array_add(members, value);
}

static int32_t
tell(Instance *instance, const Node *value)
{
    DeviceCall call;
    int32_t result;

    instance_lock(instance, &call);
    result = instance->life.set(instance->self, value->name, value);
    device_call_leave(&call);
    return result;
}

bool
instance_set(Instance *instance, Node *given, GError **error)
{
    g_autoptr(Node) value = given;
    const struct bp_prop *prop = find_option(instance, value->name);
    g_autoptr(ErrorList) errors = error_list_new();
    const SchemaCheck check = {.errors = errors};
    g_autofree char *path = g_strdup_printf("%s.%s", instance->id, value->name);
    int32_t result;

    if (prop == NULL || (prop->flags & BP_PROP_RUNTIME) == 0 || instance->life.set == NULL) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_UNSUPPORTED,
                    "\"%s\" has no option \"%s\" that changes while it runs", instance->id,
                    value->name);
        return false;
    }
    schema_check_value(&check, value, prop, path);
    if (!error_list_propagate(errors, error)) {
        return false;
    }
    result = tell(instance, value);
    if (result < 0) {
        instance_set_error(instance, "cannot change the option", result, error);
        return false;
    }
    keep(instance, g_steal_pointer(&value));
    return true;
}
