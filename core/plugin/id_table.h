/* SPDX-License-Identifier: Apache-2.0 */
/* Registrations of one kind, found by the id the plugin chose. Lookup takes no lock: entries never
 * move; a removed one is only marked free and reused by the same or another id. */
#pragma once

#include <glib.h>
#include <stdint.h>

typedef struct IdEntry IdEntry;

typedef struct {
    GMutex lock;    /* protects: additions and removals */
    IdEntry *first; /* atomic; a list that only grows */
} IdTable;

void id_table_init(IdTable *table);
void id_table_done(IdTable *table, GDestroyNotify free_value); /* frees what is still registered */
/* 0, or -EEXIST. [any] */
int id_table_add(IdTable *table, uint32_t id, void *value);
void *id_table_find(IdTable *table, uint32_t id); /* NULL if there is none [any] */
void *id_table_take(IdTable *table, uint32_t id); /* removes and returns it, or NULL [any] */
void id_table_foreach(IdTable *table, void (*each)(void *value, void *opaque), void *opaque);
