/* SPDX-License-Identifier: Apache-2.0 */
/* bp.irq/1: interrupt lines. */
#include "plugin/args.h"
#include "plugin/instance.h"
#include "plugin/irq_claims.h"

#include <errno.h>

typedef struct {
    Instance *instance;
    uint32_t kind;
    unsigned gsi; /* ISA, GSI */
    bool claimed;
    IrqSource *source; /* ISA, GSI */
    Loop *loop;
    void (*resample)(void *opaque);
    void *opaque;
} HostLine;

static void
run_resample(void *opaque)
{
    HostLine *line = opaque;

    line->resample(line->opaque);
}

/* From the interrupt controller's thread: the line falls before it can interrupt again, and the
 * plugin hears of it on its loop. */
static void
line_eoi(void *opaque)
{
    HostLine *line = opaque;

    irq_source_set(line->source, false);
    loop_defer(line->loop, line->instance->loop_lock, run_resample, line);
}

static void
host_line_free(void *value)
{
    HostLine *line = value;
    Services *services = line->instance->services;

    if (line->resample != NULL) {
        irq_lines_remove_eoi(services->irqs, line->gsi, line_eoi, line);
        loop_defer_cancel(line->loop, line);
    }
    irq_source_free(line->source);
    if (line->claimed) {
        irq_claims_release(services, line->gsi);
    }
    if (line->kind == BP_IRQ_INTX && line->instance->function != NULL) {
        pci_function_set_intx(line->instance->function, false);
    }
    g_free(line);
}

static int
check_args(const Instance *instance, const struct bp_irq_args *args)
{
    if ((args->flags & ~BP_IRQ_SHARED) != 0) {
        return -EINVAL;
    }
    /* docs/adr/0010: rather none than one that never comes. */
    if (args->resample != NULL && (args->kind == BP_IRQ_INTX || !instance->services->has_eoi)) {
        return -EOPNOTSUPP;
    }
    switch (args->kind) {
    case BP_IRQ_ISA:
        return args->number < 16 && args->number != 2 ? 0 : -EINVAL;
    case BP_IRQ_GSI:
        return args->number < IRQ_GSI_COUNT ? 0 : -EINVAL;
    case BP_IRQ_INTX:
        return instance->function != NULL && instance->has_pin ? 0 : -ENOENT;
    default:
        return -EINVAL;
    }
}

static int32_t
irq_host_line(Instance *instance, const struct bp_irq_args *given)
{
    Services *services = instance->services;
    struct bp_irq_args args;
    HostLine *line;
    int result = args_copy(&args, sizeof(args), given);

    if (result == 0) {
        result = check_args(instance, &args);
    }
    if (result == 0 && services_loop(services, args.loop) == NULL) {
        result = -EINVAL;
    }
    if (result == 0 && id_table_find(&instance->lines, args.id) != NULL) {
        result = -EEXIST;
    }
    if (result == 0 && args.kind != BP_IRQ_INTX) {
        result = irq_claims_take(services, args.number,
                                 args.kind == BP_IRQ_GSI || (args.flags & BP_IRQ_SHARED) != 0);
    }
    if (result != 0) {
        return result;
    }
    line = g_new0(HostLine, 1);
    line->instance = instance;
    line->kind = args.kind;
    line->gsi = args.number;
    line->resample = args.resample;
    line->opaque = args.opaque;
    line->loop = services_loop(services, args.loop);
    if (args.kind != BP_IRQ_INTX) {
        line->claimed = true;
        line->source = irq_source_new(services->irqs, args.number);
        if (args.resample != NULL) {
            irq_lines_add_eoi(services->irqs, args.number, line_eoi, line);
        }
    }
    (void)id_table_add(&instance->lines, args.id, line);
    return 0;
}

static void
irq_host_set(Instance *instance, uint32_t id, uint32_t level)
{
    HostLine *line = id_table_find(&instance->lines, id);

    if (line == NULL) {
        return;
    }
    if (line->kind == BP_IRQ_INTX) {
        pci_function_set_intx(instance->function, level != 0);
    } else {
        irq_source_set(line->source, level != 0);
    }
}

static void
lower(void *value, void *opaque)
{
    HostLine *line = value;

    if (line->kind == BP_IRQ_INTX) {
        pci_function_set_intx(line->instance->function, false);
    } else {
        irq_source_set(line->source, false);
    }
}

void
host_irq_reset(Instance *instance)
{
    id_table_foreach(&instance->lines, lower, NULL);
}

void
host_irq_withdraw(Instance *instance)
{
    id_table_done(&instance->lines, host_line_free);
}

const struct bp_irq_host host_irq = {
    .size = sizeof(host_irq),
    .line = irq_host_line,
    .set = irq_host_set,
};
