/* SPDX-License-Identifier: Apache-2.0 */
/* MC146818A real-time clock with 114 bytes of CMOS RAM at ports 70h/71h, and the second bank of 128
 * bytes at 72h/73h as in Intel's PIIX4 (data sheet 290562, 11.2).
 *
 * Time is computed from a clock when it is looked at: an idle chip needs no timer. Timers run only
 * while an interrupt is enabled and not yet pending. Thread-safe: one lock inside. */
#pragma once

#include "base/chip_state.h"
#include "bus/address_space.h"
#include "bus/irq.h"
#include "loop/loop.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Mc146818 Mc146818;

#define MC146818_CELLS 256u /* 0..7Fh: first bank, 80h..FFh: second bank */

typedef struct {
    AddressSpace *pio;
    IrqLines *irqs; /* GSI 8 */
    Loop *loop;
    VirtualClock *clock;
    ClockSource source; /* VIRTUAL: base_s + virtual time; WALL: the host's time, base_s unused */
    int64_t base_s;     /* seconds since 1970 at virtual time 0 */
    int32_t offset_s;   /* added to what the guest reads: local time */
} Mc146818Args;

Mc146818 *mc146818_new(const Mc146818Args *args, GError **error);
void mc146818_free(Mc146818 *chip);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Mc146818, mc146818_free)

/* RESET pin: interrupts off and flags cleared; time and RAM stay. [control] */
void mc146818_reset(Mc146818 *chip);
/* See base/chip_state.h. */
void mc146818_state(void *chip, ChipState *state);
/* As the guest would, index already selected. [any] */
void mc146818_write_cell(Mc146818 *chip, uint8_t cell, uint8_t value);
uint8_t mc146818_read_cell(Mc146818 *chip, uint8_t cell);
/* Port 70h bit 7. [any] */
bool mc146818_nmi_masked(Mc146818 *chip);
