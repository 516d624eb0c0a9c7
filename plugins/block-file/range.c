/* SPDX-License-Identifier: Apache-2.0 */
#include "range.h"

#include <stddef.h>

void
range_table_init(struct range_table *table)
{
    pthread_mutex_init(&table->lock, NULL);
    pthread_cond_init(&table->dropped, NULL);
    table->first = NULL;
    table->last = NULL;
    table->waiting = 0;
}

void
range_table_done(struct range_table *table)
{
    pthread_cond_destroy(&table->dropped);
    pthread_mutex_destroy(&table->lock);
}

/* Looks from `before` towards the oldest. Those that still wait count, too: so nobody overtakes,
 * and a stream of shared writes cannot starve an exclusive one. */
static uint32_t
conflicts_locked(const struct range *range, const struct range *before)
{
    for (; before != NULL; before = before->previous) {
        if (before->start < range->end && range->start < before->end &&
            (before->exclusive || range->exclusive)) {
            return 1;
        }
    }
    return 0;
}

static void
append_locked(struct range_table *table, struct range *range)
{
    range->previous = table->last;
    range->next = NULL;
    if (table->last != NULL) {
        table->last->next = range;
    } else {
        table->first = range;
    }
    table->last = range;
    range->held = 1;
}

uint32_t
range_try(struct range_table *table, struct range *range)
{
    uint32_t taken;

    pthread_mutex_lock(&table->lock);
    taken = !conflicts_locked(range, table->last);
    if (taken) {
        append_locked(table, range);
    }
    pthread_mutex_unlock(&table->lock);
    return taken;
}

void
range_wait(struct range_table *table, struct range *range)
{
    pthread_mutex_lock(&table->lock);
    append_locked(table, range);
    while (conflicts_locked(range, range->previous)) {
        table->waiting++;
        pthread_cond_wait(&table->dropped, &table->lock);
        table->waiting--;
    }
    pthread_mutex_unlock(&table->lock);
}

void
range_drop(struct range_table *table, struct range *range)
{
    uint32_t wake;

    pthread_mutex_lock(&table->lock);
    if (range->next != NULL) {
        range->next->previous = range->previous;
    } else {
        table->last = range->previous;
    }
    if (range->previous != NULL) {
        range->previous->next = range->next;
    } else {
        table->first = range->next;
    }
    range->held = 0;
    wake = table->waiting > 0;
    pthread_mutex_unlock(&table->lock);
    if (wake) {
        pthread_cond_broadcast(&table->dropped);
    }
}
