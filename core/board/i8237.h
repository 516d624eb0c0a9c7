/* SPDX-License-Identifier: Apache-2.0 */
/* The two 8237A DMA controllers of the PIIX3 with their page registers: 00h-0Fh, 80h-8Fh, C0h-DFh,
 * 480h-48Fh. Implements bus/isa_dma.h. Reference: Intel 8237A 231466; 82371SB, 2.4.1.
 *
 * Port 80h is the unused page register where firmware writes its progress: -D post shows it. */
#pragma once

#include "base/chip_state.h"
#include "bus/isa_dma.h"
#include "bus/physical.h"

#include <glib.h>

typedef struct {
    const PhysicalBus *bus;
} I8237Args;

IsaDma *i8237_new(const I8237Args *args, GError **error);
void i8237_reset(IsaDma *dma);
/* See base/chip_state.h. */
void i8237_state(void *chip, ChipState *state);
void i8237_free(IsaDma *dma);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(IsaDma, i8237_free)
