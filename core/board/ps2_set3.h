/* SPDX-License-Identifier: Apache-2.0 */
/* Scan code set 3 of a PS/2 keyboard: one byte a key, and for each key whether it repeats and
 * whether it tells of its release. Reference: IBM PS/2 Hardware Interface Technical Reference,
 * "Keyboard (101/102-key)", scan code set 3 and commands F7h to FDh. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PS2_SET3_CODES 0x90u /* the highest is 8Dh */

typedef enum {
    PS2_SET3_TYPEMATIC,       /* repeats, tells of no release */
    PS2_SET3_MAKE_BREAK,      /* tells of its release, does not repeat */
    PS2_SET3_MAKE,            /* neither */
    PS2_SET3_TYPEMATIC_BREAK, /* both */
} Ps2Set3Type;

typedef struct {
    uint8_t type[PS2_SET3_CODES]; /* Ps2Set3Type, by code */
    uint8_t held[PS2_SET3_CODES / 8];
} Ps2Set3;

void ps2_set3_defaults(Ps2Set3 *set3);
void ps2_set3_all(Ps2Set3 *set3, Ps2Set3Type type);
/* One key, by its code; other values are ignored. */
void ps2_set3_one(Ps2Set3 *set3, uint8_t code, Ps2Set3Type type);
/* The bytes for a key named by its set 1 make code (0xE0xx when extended), at most 2. */
unsigned ps2_set3_codes(Ps2Set3 *set3, uint16_t key, bool down, uint8_t *codes);
