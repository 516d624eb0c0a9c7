/* SPDX-License-Identifier: Apache-2.0 */
/* 8254 interval timer at 40h-43h and the NMI status and control port 61h, for machines whose PIT is
 * not KVM's. Counter 0 drives IRQ0, counter 2 is read at 61h bit 5. Runs on the virtual clock at
 * 1193182 Hz. Reference: Intel 8254 231164; port 61h: 82371SB, 2.5.5. */
#pragma once

#include "base/chip_state.h"
#include "bus/address_space.h"
#include "bus/irq.h"
#include "loop/loop.h"

#include <glib.h>

#define I8254_HZ UINT64_C(1193182)

typedef struct I8254 I8254;

typedef struct {
    AddressSpace *pio;
    IrqLines *irqs;
    Loop *loop;
    VirtualClock *clock;
} I8254Args;

I8254 *i8254_new(const I8254Args *args, GError **error);
void i8254_reset(I8254 *pit);
/* See base/chip_state.h. */
void i8254_state(void *chip, ChipState *state);
void i8254_free(I8254 *pit);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(I8254, i8254_free)
