/* SPDX-License-Identifier: Apache-2.0 */
/* Intel 82441FX host bridge, 00:00.0: configuration mechanism #1 (CF8h/CFCh), the shadow segments
 * (PAM), SMRAM and the DRAM row boundaries. Reference: 440FX PCIset, Intel 290549. */
#pragma once

#include "base/chip_state.h"
#include "board/piix3.h"
#include "bus/pci.h"
#include "bus/physical.h"

#include <glib.h>

typedef struct I440fx I440fx;

typedef struct {
    PciBus *pci;
    const PhysicalBus *bus; /* memory: shadowing; pio: CF8h-CFFh */
    Piix3 *isa_bridge;      /* answers what is not a dword access at CF8h (CF9h) */
} I440fxArgs;

/* Every chip: x_new() makes it and claims its ports (ERROR_CONFIG when they are taken), x_reset()
 * is power-on or a warm reset, x_free() takes NULL. [control] */
I440fx *i440fx_new(const I440fxArgs *args, GError **error);
/* After pci_bus_reset(), which puts the registers back; makes memory follow them. */
void i440fx_reset(I440fx *bridge);
/* See base/chip_state.h. */
void i440fx_state(void *chip, ChipState *state);
void i440fx_free(I440fx *bridge);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(I440fx, i440fx_free)

/* Direct boot: all of C0000h-FFFFFh is RAM, as firmware leaves it. */
void i440fx_open_shadow(I440fx *bridge);
