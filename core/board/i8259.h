/* SPDX-License-Identifier: Apache-2.0 */
/* The pair of 8259A interrupt controllers: 20h/21h and, cascaded on IRQ2, A0h/A1h. For machines
 * whose interrupt controllers are not KVM's. Reference: Intel 8259A 231468; ELCR: 82371SB,
 * 2.5.4. */
#pragma once

#include "base/chip_state.h"
#include "bus/address_space.h"
#include "bus/irq.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct I8259 I8259;

typedef struct {
    AddressSpace *pio;
    IrqLines *irqs; /* told of each EOI (irq_lines_eoi()); or NULL */
    /* INTR of the master changed; called with the pair's lock held: must not call back. Or NULL. */
    void (*output)(void *opaque, bool level);
    void *opaque;
} I8259Args;

I8259 *i8259_new(const I8259Args *args, GError **error);
void i8259_reset(I8259 *pic);
/* See base/chip_state.h. */
void i8259_state(void *chip, ChipState *state);
void i8259_free(I8259 *pic);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(I8259, i8259_free)

/* irq 0-15; 2 is the cascade and is ignored. [any] */
void i8259_set_irq(I8259 *pic, unsigned irq, bool level);
/* ELCR: bit n set: IRQ n is level-triggered. [any] */
void i8259_set_elcr(I8259 *pic, uint16_t mask);
/* The INTA cycles: vector of the highest request (a spurious 7 or 15 when it went away), or -1 when
 * INTR is low. [vcpu] */
int i8259_ack(I8259 *pic);
bool i8259_output(I8259 *pic);
