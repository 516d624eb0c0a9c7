/* SPDX-License-Identifier: Apache-2.0 */
/* Intel 82371AB (PIIX4) power management, 00:01.3: ACPI PM1, PM timer, GPE0, APM ports B2h/B3h and
 * an SMBus host with nothing on its bus. Reference: 82371AB, Intel 290562; ACPI 6.4, chapter 4.
 *
 * SCI is IRQ9, active high, level. What the FADT and the DSDT say must agree with the constants
 * here. */
#pragma once

#include "base/chip_state.h"
#include "board/board.h"
#include "bus/irq.h"
#include "bus/pci.h"
#include "bus/physical.h"
#include "loop/loop.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Piix4Pm Piix4Pm;

/* FADT. Offsets are relative to PMBASE, which firmware chooses (SeaBIOS: 600h). */
#define PIIX4_PM_SCI_IRQ        9
#define PIIX4_PM_SMI_CMD        0xB2
#define PIIX4_PM_ACPI_ENABLE    0xF1
#define PIIX4_PM_ACPI_DISABLE   0xF0
#define PIIX4_PM_PM1_EVT        0x00 /* 4 bytes: status, enable */
#define PIIX4_PM_PM1_CNT        0x04 /* 2 bytes */
#define PIIX4_PM_PM_TMR         0x08 /* 4 bytes, 24 bits count */
#define PIIX4_PM_IO_SIZE        0x40
#define PIIX4_PM_DEFAULT_BASE   0x600 /* where SeaBIOS and board_setup_direct_boot() put it */
#define PIIX4_PM_DEFAULT_SMBASE 0x700
/* GPE0 block, fixed: 2 bytes of status, 2 bytes of enable (GPE00-GPE15). */
#define PIIX4_PM_GPE0_BASE 0xAFE0
#define PIIX4_PM_GPE0_SIZE 4
/* SLP_TYP values of PM1_CNT bits 12:10, for _S3, _S4 and _S5. S4 ends as S5 does: off. */
#define PIIX4_PM_SLP_TYP_S5 0
#define PIIX4_PM_SLP_TYP_S3 1
#define PIIX4_PM_SLP_TYP_S4 2

typedef struct {
    PciBus *pci;
    const PhysicalBus *bus;
    IrqLines *irqs;
    Loop *loop;
    VirtualClock *clock;
    void (*request)(void *opaque, BoardRequest request);
    void *opaque;
} Piix4PmArgs;

Piix4Pm *piix4_pm_new(const Piix4PmArgs *args, GError **error);
/* After pci_bus_reset(). */
void piix4_pm_reset(Piix4Pm *pm);
/* See base/chip_state.h. */
void piix4_pm_state(void *chip, ChipState *state);
void piix4_pm_free(Piix4Pm *pm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Piix4Pm, piix4_pm_free)

/* The user pressed the power button: PWRBTN_STS, SCI if enabled. [any] */
void piix4_pm_power_button(Piix4Pm *pm);
/* A general-purpose event 0-15 happened: its status bit, SCI if enabled. [any] */
void piix4_pm_raise_gpe(Piix4Pm *pm, unsigned gpe);
/* The machine comes back from S3: WAK_STS, and PWRBTN_STS when the button did it. Call after
 * piix4_pm_reset(). [control] */
void piix4_pm_wake(Piix4Pm *pm, bool by_button);
/* Direct boot without SMM: SCI_EN as SMI_CMD would set it. */
void piix4_pm_set_acpi_enabled(Piix4Pm *pm, bool enabled);
