/* SPDX-License-Identifier: Apache-2.0 */
/* 82093AA I/O APIC, 24 inputs at FEC00000h, for machines whose interrupt controllers are not KVM's.
 * Each entry of the redirection table is a message (address FEExxxxxh) to the local APICs; with
 * KVM's split irqchip the vectors asked of the MsiController must be its first 24 (GSI 0-23),
 * because KVM reports the end of level interrupts only for those. Reference: Intel 290566. */
#pragma once

#include "base/chip_state.h"
#include "bus/address_space.h"
#include "bus/irq.h"
#include "bus/msi.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define IOAPIC_BASE     UINT64_C(0xFEC00000)
#define IOAPIC_PINS     24
#define IOAPIC_IRQ0_PIN 2 /* how a PC wires the PIT; MADT has the override */

typedef struct Ioapic Ioapic;

typedef struct {
    AddressSpace *mmio;
    MsiController *msi;
    IrqLines *irqs; /* told of each EOI (irq_lines_eoi(), GSI = pin, 0 for pin 2); or NULL */
} IoapicArgs;

Ioapic *ioapic_new(const IoapicArgs *args, GError **error);
void ioapic_reset(Ioapic *ioapic);
/* See base/chip_state.h. */
void ioapic_state(void *chip, ChipState *state);
void ioapic_free(Ioapic *ioapic);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ioapic, ioapic_free)

/* pin 0-23; the caller wires IRQ0 to IOAPIC_IRQ0_PIN. [any] */
void ioapic_set_irq(Ioapic *ioapic, unsigned pin, bool level);
/* A local APIC ended `vector`: clears Remote IRR and sends again what is still asserted. [any] */
void ioapic_eoi(Ioapic *ioapic, uint8_t vector);
