/* SPDX-License-Identifier: Apache-2.0 */
/* Scan code set 3: the codes and the type of each key. */
#include "board/ps2_set3.h"

#include "board/ps2_keyboard.h"

#include <glib.h>
#include <string.h>

#define SET3_BREAK 0xF0u

/* Index: set 1 make code; 0: no such key. */
static const uint8_t plain[0x59] = {
    0x00, 0x08, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55, 0x66,
    0x0d, 0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d, 0x54, 0x5b, 0x5a, 0x11,
    0x1c, 0x1b, 0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c, 0x52, 0x0e, 0x12, 0x5c, 0x1a,
    0x22, 0x21, 0x2a, 0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a, 0x59, 0x7e, 0x19, 0x29, 0x14, 0x07,
    0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x47, 0x4f, 0x76, 0x5f, 0x6c, 0x75, 0x7d, 0x84,
    0x6b, 0x73, 0x74, 0x7c, 0x69, 0x72, 0x7a, 0x70, 0x71, 0x00, 0x00, 0x13, 0x56, 0x5e,
};

static const struct {
    uint8_t set1, set3;
} extended[] = {
    {0x1C, 0x79}, {0x1D, 0x58}, {0x35, 0x77}, {0x37, 0x57}, {0x38, 0x39}, {0x47, 0x6E},
    {0x48, 0x63}, {0x49, 0x6F}, {0x4B, 0x61}, {0x4D, 0x6A}, {0x4F, 0x65}, {0x50, 0x60},
    {0x51, 0x6D}, {0x52, 0x67}, {0x53, 0x64}, {0x5B, 0x8B}, {0x5C, 0x8C}, {0x5D, 0x8D},
};

/* Those that do not repeat at power-on: shifts, control, alt and caps lock tell of their release;
 * function keys, locks, editing keys and most of the keypad do not. */
static const uint8_t make_break[] = {0x11, 0x12, 0x14, 0x19, 0x59};
static const uint8_t make_only[] = {
    0x07, 0x08, 0x0F, 0x17, 0x1F, 0x27, 0x2F, 0x37, 0x39, 0x3F, 0x47, 0x4F, 0x56, 0x57,
    0x58, 0x5E, 0x5F, 0x62, 0x65, 0x67, 0x69, 0x6B, 0x6C, 0x6D, 0x6E, 0x6F, 0x70, 0x71,
    0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x79, 0x7A, 0x7D, 0x7E, 0x84, 0x8B, 0x8C, 0x8D,
};

static uint8_t
code_of(uint16_t key)
{
    if (key == PS2_KEY_PAUSE) {
        return 0x62;
    }
    if (key >> 8 == 0) {
        return key < G_N_ELEMENTS(plain) ? plain[key] : 0;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(extended); i++) {
        if (extended[i].set1 == (key & 0x7F)) {
            return extended[i].set3;
        }
    }
    return 0;
}

void
ps2_set3_defaults(Ps2Set3 *set3)
{
    memset(set3, 0, sizeof(*set3));
    ps2_set3_all(set3, PS2_SET3_TYPEMATIC);
    for (unsigned i = 0; i < G_N_ELEMENTS(make_break); i++) {
        set3->type[make_break[i]] = PS2_SET3_MAKE_BREAK;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(make_only); i++) {
        set3->type[make_only[i]] = PS2_SET3_MAKE;
    }
}

void
ps2_set3_all(Ps2Set3 *set3, Ps2Set3Type type)
{
    memset(set3->type, (int)type, sizeof(set3->type));
}

void
ps2_set3_one(Ps2Set3 *set3, uint8_t code, Ps2Set3Type type)
{
    if (code < PS2_SET3_CODES) {
        set3->type[code] = (uint8_t)type;
    }
}

unsigned
ps2_set3_codes(Ps2Set3 *set3, uint16_t key, bool down, uint8_t *codes)
{
    uint8_t code = code_of(key);
    uint8_t bit = (uint8_t)(1u << (code & 7));
    bool repeats, tells_release, was_held;

    if (code == 0 || code >= PS2_SET3_CODES) {
        return 0;
    }
    repeats =
        set3->type[code] == PS2_SET3_TYPEMATIC || set3->type[code] == PS2_SET3_TYPEMATIC_BREAK;
    tells_release =
        set3->type[code] == PS2_SET3_MAKE_BREAK || set3->type[code] == PS2_SET3_TYPEMATIC_BREAK;
    was_held = (set3->held[code / 8] & bit) != 0;
    set3->held[code / 8] =
        (uint8_t)(down ? set3->held[code / 8] | bit : set3->held[code / 8] & ~bit);
    if (down) {
        codes[0] = code;
        return !was_held || repeats ? 1 : 0;
    }
    codes[0] = SET3_BREAK;
    codes[1] = code;
    return tells_release ? 2 : 0;
}
