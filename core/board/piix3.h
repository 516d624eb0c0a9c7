/* SPDX-License-Identifier: Apache-2.0 */
/* Intel 82371SB (PIIX3) PCI-to-ISA bridge, 00:01.0: PIRQ routing, ELCR, reset control (CF9h), port
 * 92h. Reference: 82371FB/82371SB, Intel 290550. */
#pragma once

#include "base/chip_state.h"
#include "board/board.h"
#include "board/i8259.h"
#include "bus/irq.h"
#include "bus/pci.h"
#include "bus/physical.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Piix3 Piix3;

typedef struct {
    PciBus *pci;
    const PhysicalBus *bus;
    IrqLines *irqs;
    I8259 *pic; /* follows ELCR; NULL: KVM's 8259s have an ELCR of their own, before ours */
    void (*request)(void *opaque, BoardRequest request);
    void *opaque;
} Piix3Args;

/* The PCI bus exists first: its set_pirq leads here through the board. */
Piix3 *piix3_new(const Piix3Args *args, GError **error);
/* After pci_bus_reset(). */
void piix3_reset(Piix3 *bridge);
/* See base/chip_state.h. */
void piix3_state(void *chip, ChipState *state);
void piix3_free(Piix3 *bridge);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Piix3, piix3_free)

/* PIRQA-PIRQD (0-3), what PciBusArgs.set_pirq calls. [any] */
void piix3_set_pirq(Piix3 *bridge, unsigned pirq, bool level);
/* The IRQ a PIRQ leads to now, or -1. [any] */
int piix3_pirq_irq(Piix3 *bridge, unsigned pirq);

/* RST_CNT as the host bridge passes it on (byte accesses to CF9h). [vcpu] */
uint8_t piix3_reset_control_read(Piix3 *bridge);
void piix3_reset_control_write(Piix3 *bridge, uint8_t value);

/* A CPU reset that another part of the chipset asks for. [any] */
void piix3_request_reset(Piix3 *bridge);

/* The A20 gate of port 92h (bit 1); the keyboard controller's is another: the guest's A20 is open
 * when either is. KVM has no A20 mask, so the bit is only remembered. [any] */
bool piix3_a20(Piix3 *bridge);
