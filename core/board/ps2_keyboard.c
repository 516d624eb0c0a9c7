/* SPDX-License-Identifier: Apache-2.0 */
/* PS/2 keyboard. The typematic repeat belongs to whoever injects keys: a key that is down and goes
 * down again. */
#include "board/ps2_keyboard.h"

#include <glib.h>
#include <string.h>

enum {
    REPLY_ACK = 0xFA,
    REPLY_RESEND = 0xFE,
    REPLY_SELF_TEST_OK = 0xAA,
    REPLY_ECHO = 0xEE,
    COMMAND_LEDS = 0xED,
    COMMAND_ECHO = 0xEE,
    COMMAND_SCAN_SET = 0xF0,
    COMMAND_IDENTIFY = 0xF2,
    COMMAND_RATE = 0xF3,
    COMMAND_ENABLE = 0xF4,
    COMMAND_DISABLE = 0xF5,
    COMMAND_DEFAULTS = 0xF6,
    COMMAND_ALL_FIRST = 0xF7, /* F7-FA: all keys of set 3 are of a Ps2Set3Type, in its order */
    COMMAND_ALL_LAST = 0xFA,
    COMMAND_KEY_FIRST = 0xFB, /* FB-FD: the same for single keys, but for the last type */
    COMMAND_KEY_LAST = 0xFD,
    COMMAND_RESEND = 0xFE,
    COMMAND_RESET = 0xFF,
    DEFAULT_RATE = 0x2B, /* 10.9 characters a second after 500 ms */
    SET2_BREAK = 0xF0,
    SET1_BREAK = 0x80,
    EXTENDED = 0xE0,
    EXTENDED_PAUSE = 0xE1,
    SHIFT_SET1 = 0x2A, /* print screen comes with a faked shift */
    PRINT_SET1 = 0x37,
    OVERRUN_SET1 = 0xFF,
    OVERRUN_SET2 = 0x00,
};

/* Index: set 2 code. The 8042's own table (IBM PS/2 Hardware Interface Technical Reference). */
static const uint8_t set1_of_set2[128] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

uint8_t
ps2_translate_set2(uint8_t code)
{
    if (code < G_N_ELEMENTS(set1_of_set2)) {
        return set1_of_set2[code];
    }
    if (code == 0x83) { /* F7 */
        return 0x41;
    }
    return code == 0x84 ? 0x54 : code; /* SysRq; replies pass unchanged */
}

static uint8_t
set2_of_set1(uint8_t code)
{
    if (code == 0x41) {
        return 0x83;
    }
    if (code == 0x54) {
        return 0x84;
    }
    for (unsigned i = 1; i < G_N_ELEMENTS(set1_of_set2); i++) {
        if (set1_of_set2[i] == code) {
            return (uint8_t)i;
        }
    }
    return 0;
}

static void
set_defaults(Ps2Keyboard *keyboard)
{
    keyboard->scan_set = 2;
    keyboard->rate = DEFAULT_RATE;
    ps2_set3_defaults(&keyboard->set3);
    ps2_fifo_drop_data(&keyboard->fifo);
}

void
ps2_keyboard_reset(Ps2Keyboard *keyboard)
{
    memset(keyboard, 0, sizeof(*keyboard));
    set_defaults(keyboard);
    keyboard->scanning = true;
    ps2_fifo_reply(&keyboard->fifo, REPLY_SELF_TEST_OK);
}

/* The byte after a command that takes one. */
static void
take_argument(Ps2Keyboard *keyboard, uint8_t command, uint8_t value)
{
    Ps2Fifo *fifo = &keyboard->fifo;

    switch (command) {
    case COMMAND_LEDS:
        keyboard->leds = value & 7;
        ps2_fifo_reply(fifo, REPLY_ACK);
        break;
    case COMMAND_RATE:
        keyboard->rate = value & 0x7F;
        ps2_fifo_reply(fifo, REPLY_ACK);
        break;
    case COMMAND_SCAN_SET:
        if (value > 3) {
            ps2_fifo_reply(fifo, REPLY_RESEND);
            break;
        }
        ps2_fifo_reply(fifo, REPLY_ACK);
        if (value == 0) {
            ps2_fifo_reply(fifo, keyboard->scan_set);
        } else {
            keyboard->scan_set = value;
        }
        break;
    default: /* FB-FD: the list of keys goes on until the next command */
        ps2_set3_one(&keyboard->set3, value, (Ps2Set3Type)(command - COMMAND_KEY_FIRST));
        keyboard->pending = command;
        ps2_fifo_reply(fifo, REPLY_ACK);
        break;
    }
}

static void
take_command(Ps2Keyboard *keyboard, uint8_t value)
{
    Ps2Fifo *fifo = &keyboard->fifo;

    switch (value) {
    case COMMAND_ECHO:
        ps2_fifo_reply(fifo, REPLY_ECHO);
        return;
    case COMMAND_RESEND:
        ps2_fifo_reply(fifo, fifo->last);
        return;
    case COMMAND_RESET:
        ps2_keyboard_reset(keyboard);
        ps2_fifo_drop_replies(fifo);
        ps2_fifo_reply(fifo, REPLY_ACK);
        ps2_fifo_reply(fifo, REPLY_SELF_TEST_OK);
        return;
    case COMMAND_IDENTIFY:
        ps2_fifo_reply(fifo, REPLY_ACK);
        ps2_fifo_reply(fifo, 0xAB);
        ps2_fifo_reply(fifo, 0x83);
        return;
    case COMMAND_ENABLE:
        keyboard->scanning = true;
        ps2_fifo_drop_data(fifo);
        break;
    case COMMAND_DISABLE:
    case COMMAND_DEFAULTS:
        keyboard->scanning = value == COMMAND_DISABLE ? false : keyboard->scanning;
        set_defaults(keyboard);
        break;
    case COMMAND_LEDS:
    case COMMAND_RATE:
    case COMMAND_SCAN_SET:
        keyboard->pending = value;
        break;
    default:
        if (value < COMMAND_ALL_FIRST) {
            ps2_fifo_reply(fifo, REPLY_RESEND);
            return;
        }
        ps2_fifo_drop_data(fifo);
        if (value >= COMMAND_KEY_FIRST && value <= COMMAND_KEY_LAST) {
            keyboard->pending = value;
            keyboard->scanning = false; /* until it is enabled again */
        } else {
            ps2_set3_all(&keyboard->set3, (Ps2Set3Type)(value - COMMAND_ALL_FIRST));
        }
        break;
    }
    ps2_fifo_reply(fifo, REPLY_ACK);
}

void
ps2_keyboard_write(Ps2Keyboard *keyboard, uint8_t value)
{
    uint8_t command = keyboard->pending;

    ps2_fifo_drop_replies(&keyboard->fifo);
    keyboard->pending = 0;
    /* A command in place of an argument is taken as that command. */
    if (command != 0 && value < COMMAND_LEDS) {
        take_argument(keyboard, command, value);
    } else {
        take_command(keyboard, value);
    }
}

static unsigned
put_set1(uint8_t *codes, uint8_t prefix, uint8_t code, bool down)
{
    unsigned count = 0;

    if (prefix != 0) {
        codes[count++] = prefix;
    }
    codes[count++] = down ? code : code | SET1_BREAK;
    return count;
}

static unsigned
put_set2(uint8_t *codes, uint8_t prefix, uint8_t code, bool down)
{
    unsigned count = 0;

    if (prefix != 0) {
        codes[count++] = prefix;
    }
    if (!down) {
        codes[count++] = SET2_BREAK;
    }
    codes[count++] = set2_of_set1(code);
    return count;
}

static unsigned
put_code(const Ps2Keyboard *keyboard, uint8_t *codes, uint8_t prefix, uint8_t code, bool down)
{
    return keyboard->scan_set == 1 ? put_set1(codes, prefix, code, down)
                                   : put_set2(codes, prefix, code, down);
}

/* Pause sends make and break at once, and nothing when it is let go. */
static unsigned
pause_codes(const Ps2Keyboard *keyboard, uint8_t *codes, bool down)
{
    unsigned count = 0;

    if (!down) {
        return 0;
    }
    count += put_code(keyboard, codes + count, EXTENDED_PAUSE, 0x1D, true);
    count += put_code(keyboard, codes + count, 0, 0x45, true);
    count += put_code(keyboard, codes + count, EXTENDED_PAUSE, 0x1D, false);
    count += put_code(keyboard, codes + count, 0, 0x45, false);
    return count;
}

static unsigned
print_screen_codes(const Ps2Keyboard *keyboard, uint8_t *codes, bool down)
{
    const uint8_t order[2] = {down ? SHIFT_SET1 : PRINT_SET1, down ? PRINT_SET1 : SHIFT_SET1};
    unsigned count = put_code(keyboard, codes, EXTENDED, order[0], down);

    return count + put_code(keyboard, codes + count, EXTENDED, order[1], down);
}

bool
ps2_keyboard_key(Ps2Keyboard *keyboard, uint16_t key, bool down)
{
    uint8_t codes[12];
    unsigned count;
    Ps2Fifo *fifo = &keyboard->fifo;

    if (!keyboard->scanning) {
        return false;
    }
    if (keyboard->scan_set == 3) {
        count = ps2_set3_codes(&keyboard->set3, key, down, codes);
    } else if (key == PS2_KEY_PAUSE) {
        count = pause_codes(keyboard, codes, down);
    } else if (key == PS2_KEY_PRINT_SCREEN) {
        count = print_screen_codes(keyboard, codes, down);
    } else {
        count = put_code(keyboard, codes, (uint8_t)(key >> 8), key & 0x7F, down);
    }
    if (ps2_fifo_room(fifo) <= count) {
        /* One place is kept for the overrun code, sent once. */
        if (ps2_fifo_room(fifo) > 0) {
            ps2_fifo_put(fifo, keyboard->scan_set == 1 ? OVERRUN_SET1 : OVERRUN_SET2);
        }
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        ps2_fifo_put(fifo, codes[i]);
    }
    return true;
}
