/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupt lines. A GSI (global system interrupt: ISA IRQ 0-15, IOAPIC pins 16-23) is the wired-OR
 * of its sources; each change of the GSI's level goes to the interrupt controller (KVM's or ours)
 * and to an observer (the test protocol's `irq_intercept_in`). */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define IRQ_GSI_COUNT 24

typedef struct IrqLines IrqLines;
typedef struct IrqSource IrqSource;

/* set: called on each change of a GSI's level, in order for one GSI, from any thread. */
typedef struct {
    void (*set)(void *opaque, unsigned gsi, bool level);
} IrqSink;

IrqLines *irq_lines_new(void);
void irq_lines_free(IrqLines *lines);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(IrqLines, irq_lines_free)

/* The sink is set once, before the machine runs; the observer (or NULL) at any time. [control] */
void irq_lines_set_sink(IrqLines *lines, const IrqSink *sink, void *opaque);
void irq_lines_set_observer(IrqLines *lines, const IrqSink *observer, void *opaque);
bool irq_lines_level(IrqLines *lines, unsigned gsi);

/* One wire to a GSI; starts low. [control] */
IrqSource *irq_source_new(IrqLines *lines, unsigned gsi);
void irq_source_free(IrqSource *source); /* lowers first; takes NULL */
/* Setting the level it has does nothing, at the price of one atomic load. [any] */
void irq_source_set(IrqSource *source, bool level);
/* Moves the wire to another GSI, with its level (PIRQ routing changed). [any] */
void irq_source_move(IrqSource *source, unsigned gsi);
bool irq_source_level(const IrqSource *source);

/* End-of-interrupt listeners for level-triggered lines (resample). The interrupt controller calls
 * irq_lines_eoi(). */
void irq_lines_add_eoi(IrqLines *lines, unsigned gsi, void (*eoi)(void *opaque), void *opaque);
void irq_lines_remove_eoi(IrqLines *lines, unsigned gsi, void (*eoi)(void *opaque), void *opaque);
void irq_lines_eoi(IrqLines *lines, unsigned gsi);
