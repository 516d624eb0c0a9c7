/* SPDX-License-Identifier: Apache-2.0 */
/* A 102-key PS/2 keyboard: commands, scan code sets 1, 2 and 3. Part of the i8042, under its lock.
 * Reference: IBM PS/2 Hardware Interface Technical Reference, "Keyboard (101/102-key)". */
#pragma once

#include "base/chip_state.h"
#include "board/ps2_fifo.h"
#include "board/ps2_set3.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    Ps2Fifo fifo;
    uint8_t pending; /* command that waits for its argument, or 0 */
    uint8_t scan_set;
    uint8_t leds; /* bit 0 scroll, 1 num, 2 caps lock */
    uint8_t rate; /* typematic rate and delay as written */
    Ps2Set3 set3;
    bool scanning;
} Ps2Keyboard;

/* Keys are named by their set 1 make code, E0xxh for the extended ones; these two stand apart. */
#define PS2_KEY_PRINT_SCREEN 0xE037u
#define PS2_KEY_PAUSE        0xE11Du

void ps2_keyboard_reset(Ps2Keyboard *keyboard);                   /* power-on: sends AAh */
void ps2_keyboard_state(Ps2Keyboard *keyboard, ChipState *state); /* part of the 8042's */
void ps2_keyboard_write(Ps2Keyboard *keyboard, uint8_t value);
/* A key went down or up. False: the host's buffer is full, or scanning is off: the key is lost. */
bool ps2_keyboard_key(Ps2Keyboard *keyboard, uint16_t key, bool down);
/* How the 8042 translates set 2 to set 1, one byte (F0h is the controller's to handle). */
uint8_t ps2_translate_set2(uint8_t code);
