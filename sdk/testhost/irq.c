/* SPDX-License-Identifier: Apache-2.0 */
/* bp.irq/1: wired-OR lines and a log of every change. */
#include "th.h"

#include <stdlib.h>
#include <string.h>

#define GSI_COUNT 24u

struct th_line_source {
    struct th_line_source *next;
    struct bp_instance *owner;
    struct bp_irq_args args;
    uint32_t level;
    uint32_t eoi_due;
};

void
th_irq_record(struct th_host *th, struct bp_instance *instance, uint32_t kind, uint32_t number,
              uint32_t level)
{
    pthread_mutex_lock(&th->lock);
    if (th->irq_log_count == th->irq_log_room) {
        struct th_irq_event *log;
        th->irq_log_room = th->irq_log_room == 0 ? 64 : th->irq_log_room * 2;
        log = th_alloc(th->irq_log_room * sizeof(*log));
        if (th->irq_log_count > 0) {
            memcpy(log, th->irq_log, th->irq_log_count * sizeof(*log));
        }
        free(th->irq_log);
        th->irq_log = log;
    }
    th->irq_log[th->irq_log_count].kind = kind;
    th->irq_log[th->irq_log_count].number = number;
    th->irq_log[th->irq_log_count].level = level;
    th->irq_log[th->irq_log_count].instance = instance;
    th->irq_log_count++;
    pthread_mutex_unlock(&th->lock);
}

/* Several of a kind may be wired to one GSI: ISA n and GSI n are the same wire. */
static uint32_t
gsi_level(struct th_host *th, uint32_t gsi)
{
    const struct th_line_source *line;
    uint32_t level = 0;

    for (line = th->lines; line != NULL; line = line->next) {
        level |= line->args.kind != BP_IRQ_INTX && line->args.number == gsi && line->level;
    }
    return level;
}

uint32_t
th_irq_level(struct th_host *th, uint32_t gsi)
{
    uint32_t level;

    pthread_mutex_lock(&th->lock);
    level = gsi_level(th, gsi);
    pthread_mutex_unlock(&th->lock);
    return level;
}

uint32_t
th_intx_level(struct bp_instance *instance)
{
    const struct th_line_source *line;
    uint32_t level = 0;

    pthread_mutex_lock(&instance->th->lock);
    for (line = instance->th->lines; line != NULL; line = line->next) {
        level |= line->args.kind == BP_IRQ_INTX && line->owner == instance && line->level;
    }
    pthread_mutex_unlock(&instance->th->lock);
    return level;
}

const struct th_irq_event *
th_irq_log(struct th_host *th, uint32_t *count)
{
    *count = th->irq_log_count;
    return th->irq_log;
}

void
th_irq_log_clear(struct th_host *th)
{
    th->irq_log_count = 0;
}

static void
line_set(struct th_line_source *line, uint32_t level)
{
    struct th_host *th = line->owner->th;
    uint32_t before, after;

    if (line->args.kind == BP_IRQ_INTX) {
        if (line->level != level) {
            line->level = level;
            th_irq_record(th, line->owner, BP_IRQ_INTX, th_pci_devfn(line->owner), level);
        }
        return;
    }
    before = gsi_level(th, line->args.number);
    line->level = level;
    after = gsi_level(th, line->args.number);
    if (before != after) {
        th_irq_record(th, line->owner, line->args.kind, line->args.number, after);
    }
}

static struct th_line_source *
line_find(struct bp_instance *instance, uint32_t id)
{
    struct th_line_source *line;

    for (line = instance->th->lines; line != NULL; line = line->next) {
        if (line->owner == instance && line->args.id == id) {
            return line;
        }
    }
    return NULL;
}

static int32_t
line_check(struct bp_instance *instance, const struct bp_irq_args *args)
{
    const struct th_line_source *other;

    if ((args->flags & ~BP_IRQ_SHARED) != 0 || args->kind < BP_IRQ_ISA || args->kind > BP_IRQ_GSI) {
        return -EINVAL;
    }
    if (args->kind == BP_IRQ_INTX) {
        return th_pci_pin(instance) == 0 ? -ENOENT : 0;
    }
    if (args->number >= (args->kind == BP_IRQ_ISA ? 16 : GSI_COUNT) ||
        (args->kind == BP_IRQ_ISA && args->number == 2)) {
        return -EINVAL;
    }
    for (other = instance->th->lines; other != NULL; other = other->next) {
        if (other->args.kind != BP_IRQ_INTX && other->args.number == args->number &&
            (other->args.flags & args->flags & BP_IRQ_SHARED) == 0) {
            return -EBUSY;
        }
    }
    if (args->resample == NULL) {
        return 0;
    }
    return args->kind == BP_IRQ_INTX ? -EOPNOTSUPP
                                     : th_check_loop(instance, "irq.line", args->loop);
}

static int32_t
irq_line(struct bp_instance *instance, const struct bp_irq_args *args)
{
    struct th_line_source *line;
    struct bp_irq_args copy;
    int32_t result = th_call(instance, "irq.line", TH_CONTROL | TH_FAILS);

    if (result == 0) {
        result = th_copy_args(instance, "irq.line", &copy, sizeof(copy), args, args->size);
    }
    if (result == 0) {
        result = line_check(instance, &copy);
    }
    if (result != 0) {
        return result;
    }
    if (line_find(instance, copy.id) != NULL) {
        th_violate(instance->th, "%s: irq id %u made twice", instance->id, copy.id);
        return -EEXIST;
    }
    line = th_alloc(sizeof(*line));
    line->owner = instance;
    line->args = copy;
    pthread_mutex_lock(&instance->th->lock);
    line->next = instance->th->lines;
    instance->th->lines = line;
    pthread_mutex_unlock(&instance->th->lock);
    return 0;
}

static void
irq_set(struct bp_instance *instance, uint32_t id, uint32_t level)
{
    struct th_line_source *line;

    (void)th_call(instance, "irq.set", 0);
    pthread_mutex_lock(&instance->th->lock);
    line = line_find(instance, id);
    if (line == NULL || level > 1) {
        th_violate(instance->th, "%s: irq.set: no line %u, or level %u", instance->id, id, level);
    } else {
        line_set(line, level);
    }
    pthread_mutex_unlock(&instance->th->lock);
}

void
th_irq_eoi(struct th_host *th, uint32_t gsi)
{
    struct th_line_source *line;

    for (line = th->lines; line != NULL; line = line->next) {
        line->eoi_due |= line->args.kind != BP_IRQ_INTX && line->args.number == gsi;
    }
}

/* As KVM's resampling irqfd: the line goes low, the device raises it again if it must. */
static void
resample(struct th_host *th, struct th_line_source *line)
{
    enum th_context before = th_enter(th, TH_IN_LOOP);

    line->eoi_due = 0;
    if (line->args.resample != NULL) {
        pthread_mutex_lock(&th->lock);
        line_set(line, 0);
        pthread_mutex_unlock(&th->lock);
        line->args.resample(line->args.opaque);
    }
    th_leave(th, before);
}

int
th_irq_run(struct th_host *th)
{
    struct th_line_source *line;

    for (line = th->lines; line != NULL; line = line->next) {
        if (line->eoi_due) {
            resample(th, line);
            return 1;
        }
    }
    return 0;
}

void
th_irq_reset(struct bp_instance *instance)
{
    struct th_line_source *line;

    pthread_mutex_lock(&instance->th->lock);
    for (line = instance->th->lines; line != NULL; line = line->next) {
        if (line->owner == instance) {
            line_set(line, 0);
        }
    }
    pthread_mutex_unlock(&instance->th->lock);
}

void
th_irq_drop(struct bp_instance *instance)
{
    struct th_line_source **link = &instance->th->lines;

    th_irq_reset(instance);
    pthread_mutex_lock(&instance->th->lock);
    while (*link != NULL) {
        struct th_line_source *line = *link;
        if (line->owner == instance) {
            *link = line->next;
            free(line);
        } else {
            link = &line->next;
        }
    }
    pthread_mutex_unlock(&instance->th->lock);
}

const struct bp_irq_host th_irq_table = {
    .size = sizeof(struct bp_irq_host),
    .line = irq_line,
    .set = irq_set,
};
