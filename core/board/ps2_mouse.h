/* SPDX-License-Identifier: Apache-2.0 */
/* A PS/2 mouse with IntelliMouse extensions (wheel: id 3; five buttons: id 4). Part of the i8042,
 * under its lock. Reference: IBM PS/2 Hardware Interface Technical Reference, "Mouse"; Microsoft's
 * IntelliMouse identification by sample rates. */
#pragma once

#include "base/chip_state.h"
#include "board/ps2_fifo.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    Ps2Fifo fifo;
    uint8_t pending; /* command that waits for its argument, or 0 */
    uint8_t id;      /* 0, 3, 4 */
    uint8_t rate;    /* samples a second */
    uint8_t resolution;
    uint8_t knock[3]; /* the last three rates set */
    uint8_t buttons;  /* bit 0 left, 1 right, 2 middle, 3 back, 4 forward */
    uint8_t reported_buttons;
    bool reporting, remote, wrap, scaling;
    int32_t dx, dy, dz; /* not reported yet; y grows upwards */
} Ps2Mouse;

void ps2_mouse_reset(Ps2Mouse *mouse);                   /* power-on: sends AAh 00h */
void ps2_mouse_state(Ps2Mouse *mouse, ChipState *state); /* part of the 8042's */
void ps2_mouse_write(Ps2Mouse *mouse, uint8_t value);
/* Movement (y upwards, z towards the user) and the state of all buttons. */
void ps2_mouse_event(Ps2Mouse *mouse, int32_t dx, int32_t dy, int32_t dz, uint8_t buttons);
/* Makes packets of what moved while there is room; called after bytes were taken, too. */
void ps2_mouse_pump(Ps2Mouse *mouse);
