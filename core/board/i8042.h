/* SPDX-License-Identifier: Apache-2.0 */
/* 8042 keyboard controller at 60h/64h with a PS/2 keyboard (IRQ1) and mouse (IRQ12) behind it.
 * Reference: IBM PS/2 Hardware Interface Technical Reference, "Keyboard/Auxiliary Device
 * Controller". Thread-safe: one lock inside, not held while reset() is called. */
#pragma once

#include "base/chip_state.h"
#include "bus/address_space.h"
#include "bus/irq.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct I8042 I8042;

typedef struct {
    AddressSpace *pio;
    IrqLines *irqs;
    void (*reset)(void *opaque); /* the CPU reset line was pulsed [vcpu] */
    void *opaque;
} I8042Args;

I8042 *i8042_new(const I8042Args *args, GError **error);
void i8042_free(I8042 *controller);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(I8042, i8042_free)
void i8042_reset(I8042 *controller);
/* See base/chip_state.h. */
void i8042_state(void *chip, ChipState *state);

/* A key changed: set 1 make code, E0xxh when extended, or one of PS2_KEY_* (ps2_keyboard.h). False:
 * the guest does not take keys now. [any] */
bool i8042_key(I8042 *controller, uint16_t key, bool down);
/* Relative movement (y upwards, z towards the user) and the state of all buttons (bit 0 left, 1
 * right, 2 middle, 3 back, 4 forward). [any] */
void i8042_mouse(I8042 *controller, int32_t dx, int32_t dy, int32_t dz, uint8_t buttons);
/* Lock lights: bit 0 scroll, 1 num, 2 caps. [any] */
uint8_t i8042_leds(I8042 *controller);
/* Output port bit 1, as command D1h left it. KVM has no A20 mask: it is only remembered. [any] */
bool i8042_a20(I8042 *controller);
