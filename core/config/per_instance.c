/* SPDX-License-Identifier: Apache-2.0 */
/* Options dealt out to the instances of a class: the first serial port is at 3F8h, the second at
 * 2F8h.
 *
 * The defaults of a class's options are columns; equal places in them make a row. An instance that
 * states the first such option takes the row with that value, if there is one; the others get the
 * rows that are left, in order of the description. Whatever an instance leaves out comes from its
 * row. */
#include "config/plan_steps.h"
#include "config/schema.h"

#include <string.h>

typedef struct {
    const struct bp_prop *prop;
    GPtrArray *values; /* Node; NULL where the default is broken */
} Column;

typedef struct {
    ErrorList *errors;
    GPtrArray *instances; /* PlanInstance of one class */
    GArray *columns;      /* Column */
    bool *is_taken;       /* for each row */
    guint row_count;
} Deal;

static void
column_clear(gpointer data)
{
    Column *column = data;

    g_ptr_array_unref(column->values);
}

static void
add_column(Deal *deal, const struct bp_prop *prop)
{
    g_auto(GStrv) texts = g_strsplit(prop->def, ",", -1);
    Column column = {prop, g_ptr_array_new_with_free_func((GDestroyNotify)node_free)};

    for (char **text = texts; *text != NULL; text++) {
        g_ptr_array_add(column.values, schema_default(prop, g_strstrip(*text)));
    }
    g_array_append_val(deal->columns, column);
}

static bool
is_equal(const Node *a, const Node *b)
{
    if (a == NULL || b == NULL || a->type != b->type) {
        return false;
    }
    switch (a->type) {
    case BP_NODE_STRING:
        return strcmp(a->text, b->text) == 0;
    case BP_NODE_BOOL:
        return a->boolean == b->boolean;
    case BP_NODE_INT:
        return a->integer == b->integer;
    default:
        return false;
    }
}

/* The row of an instance, or row_count if none is left or fits. */
static guint
find_row(const Deal *deal, const Node *key)
{
    const Column *column = &g_array_index(deal->columns, Column, 0);
    guint row = 0;

    while (row < deal->row_count) {
        if (!deal->is_taken[row] &&
            (key == NULL || is_equal(key, g_ptr_array_index(column->values, row)))) {
            return row;
        }
        row++;
    }
    return row;
}

static void
fill(const Deal *deal, const PlanInstance *instance, guint row)
{
    const Column *key = &g_array_index(deal->columns, Column, 0);

    for (guint i = 0; i < deal->columns->len; i++) {
        const Column *column = &g_array_index(deal->columns, Column, i);
        if (node_child(instance->node, column->prop->name) != NULL) {
            continue;
        }
        if (row < column->values->len && g_ptr_array_index(column->values, row) != NULL) {
            g_ptr_array_add(instance->node->children, g_ptr_array_index(column->values, row));
            g_ptr_array_index(column->values, row) = NULL;
            continue;
        }
        g_autofree char *path = g_strdup_printf("%s.%s.%s", plan_group_name(instance), instance->id,
                                                column->prop->name);
        if (column != key && node_child(instance->node, key->prop->name) != NULL) {
            error_list_add(deal->errors, instance->node->file, instance->node->line, path,
                           "missing: it has a default only with one of the usual values of \"%s\" "
                           "(%s)",
                           key->prop->name, key->prop->def);
        } else {
            error_list_add(deal->errors, instance->node->file, instance->node->line, path,
                           "missing: others have the usual values already (%s)", column->prop->def);
        }
    }
}

/* stated: this pass is for those that state the first option. */
static void
deal_pass(Deal *deal, bool stated)
{
    const struct bp_prop *key = g_array_index(deal->columns, Column, 0).prop;

    for (guint i = 0; i < deal->instances->len; i++) {
        const PlanInstance *instance = g_ptr_array_index(deal->instances, i);
        const Node *value = node_child(instance->node, key->name);
        if ((value != NULL && !value->is_default) != stated) {
            continue;
        }
        guint row = find_row(deal, value);
        if (row < deal->row_count) {
            deal->is_taken[row] = true;
        }
        fill(deal, instance, row);
    }
}

static void
deal_class(GPtrArray *instances, ErrorList *errors)
{
    const PlanInstance *first = g_ptr_array_index(instances, 0);
    g_autoptr(GArray) columns = g_array_new(FALSE, FALSE, sizeof(Column));
    Deal deal = {errors, instances, columns, NULL, 0};

    g_array_set_clear_func(columns, column_clear);
    for (const struct bp_prop *prop = plan_instance_class(first)->props;
         prop != NULL && prop->name != NULL; prop++) {
        if ((prop->flags & BP_PROP_PER_INSTANCE) != 0) {
            add_column(&deal, prop);
        }
    }
    if (columns->len == 0) {
        return;
    }
    deal.row_count = g_array_index(columns, Column, 0).values->len;
    g_autofree bool *is_taken = g_new0(bool, deal.row_count + 1);
    deal.is_taken = is_taken;
    deal_pass(&deal, true);
    deal_pass(&deal, false);
}

static bool
is_same_class(const PlanInstance *a, const PlanInstance *b)
{
    return a->image != NULL && b->image != NULL &&
           strcmp(plugin_image_note(a->image)->id, plugin_image_note(b->image)->id) == 0 &&
           a->class_index == b->class_index;
}

/* All instances of an instance's class; none unless it is the first of them. */
static GPtrArray *
same_class(const GPtrArray *list, guint index)
{
    const PlanInstance *instance = g_ptr_array_index(list, index);
    GPtrArray *same = g_ptr_array_new();

    for (guint i = 0; i < list->len; i++) {
        PlanInstance *other = g_ptr_array_index(list, i);
        if (!is_same_class(instance, other)) {
            continue;
        }
        if (i < index) {
            break;
        }
        g_ptr_array_add(same, other);
    }
    return same;
}

static void
deal_list(const GPtrArray *list, ErrorList *errors)
{
    for (guint i = 0; i < list->len; i++) {
        g_autoptr(GPtrArray) same = same_class(list, i);
        if (same->len > 0) {
            deal_class(same, errors);
        }
    }
}

void
per_instance_deal(MachinePlan *plan, ErrorList *errors)
{
    deal_list(plan->backends, errors);
    deal_list(plan->devices, errors);
}
