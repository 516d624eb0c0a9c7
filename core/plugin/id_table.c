/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/id_table.h"

#include <errno.h>

struct IdEntry {
    IdEntry *next;
    uint32_t id; /* stable while value is set; changed only under the table's lock */
    void *value; /* atomic; NULL: free */
};

void
id_table_init(IdTable *table)
{
    g_mutex_init(&table->lock);
    table->first = NULL;
}

void
id_table_done(IdTable *table, GDestroyNotify free_value)
{
    IdEntry *entry = table->first;

    table->first = NULL;
    while (entry != NULL) {
        IdEntry *next = entry->next;
        if (entry->value != NULL && free_value != NULL) {
            free_value(entry->value);
        }
        g_free(entry);
        entry = next;
    }
    g_mutex_clear(&table->lock);
}

static IdEntry *
find_entry(IdTable *table, uint32_t id)
{
    IdEntry *entry;

    for (entry = g_atomic_pointer_get(&table->first); entry != NULL; entry = entry->next) {
        if (__atomic_load_n(&entry->value, __ATOMIC_ACQUIRE) != NULL &&
            __atomic_load_n(&entry->id, __ATOMIC_RELAXED) == id) {
            return entry;
        }
    }
    return NULL;
}

static void
add_entry(IdTable *table, uint32_t id, void *value)
{
    IdEntry *entry = table->first;

    while (entry != NULL && entry->value != NULL) {
        entry = entry->next;
    }
    if (entry == NULL) {
        entry = g_new0(IdEntry, 1);
        entry->id = id;
        entry->value = value;
        entry->next = table->first;
        g_atomic_pointer_set(&table->first, entry);
        return;
    }
    __atomic_store_n(&entry->id, id, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->value, value, __ATOMIC_RELEASE);
}

int
id_table_add(IdTable *table, uint32_t id, void *value)
{
    int result = 0;

    g_mutex_lock(&table->lock);
    if (find_entry(table, id) != NULL) {
        result = -EEXIST;
    } else {
        add_entry(table, id, value);
    }
    g_mutex_unlock(&table->lock);
    return result;
}

void *
id_table_find(IdTable *table, uint32_t id)
{
    IdEntry *entry = find_entry(table, id);

    return entry != NULL ? __atomic_load_n(&entry->value, __ATOMIC_ACQUIRE) : NULL;
}

void *
id_table_take(IdTable *table, uint32_t id)
{
    IdEntry *entry;
    void *value = NULL;

    g_mutex_lock(&table->lock);
    entry = find_entry(table, id);
    if (entry != NULL) {
        value = entry->value;
        __atomic_store_n(&entry->value, NULL, __ATOMIC_RELEASE);
    }
    g_mutex_unlock(&table->lock);
    return value;
}

void
id_table_foreach(IdTable *table, void (*each)(void *value, void *opaque), void *opaque)
{
    IdEntry *entry;

    for (entry = g_atomic_pointer_get(&table->first); entry != NULL; entry = entry->next) {
        void *value = __atomic_load_n(&entry->value, __ATOMIC_ACQUIRE);
        if (value != NULL) {
            each(value, opaque);
        }
    }
}
