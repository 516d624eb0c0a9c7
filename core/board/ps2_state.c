/* SPDX-License-Identifier: Apache-2.0 */
/* The state of keyboard and mouse: objects of the 8042's state. */
#include "board/ps2_keyboard.h"
#include "board/ps2_mouse.h"

enum {
    TAG_KEYBOARD = 0x10,
    TAG_KEYBOARD_FIFO,
    TAG_KEYBOARD_SET3,
    TAG_MOUSE,
    TAG_MOUSE_FIFO,
    COMMAND_SCAN_SET = 0xF0, /* of those that wait for an argument */
    COMMAND_LEDS = 0xED,
    COMMAND_RATE = 0xF3,
    COMMAND_KEY_FIRST = 0xFB,
    COMMAND_KEY_LAST = 0xFD,
    MOUSE_RESOLUTION_MAX = 3,
    PIECES = 1 << 20, /* of movement that waits: ps2_mouse.c keeps no more */
};

static void
fifo_state(Ps2Fifo *fifo, unsigned tag, ChipState *state)
{
    static const struct bp_state_field fields[] = {
        CHIP_ARRAY(1, Ps2Fifo, replies),
        CHIP_ARRAY(2, Ps2Fifo, data),
        CHIP_FIELD(3, Ps2Fifo, reply_head, PS2_REPLY_MAX - 1),
        CHIP_FIELD(4, Ps2Fifo, reply_count, PS2_REPLY_MAX),
        CHIP_FIELD(5, Ps2Fifo, data_head, PS2_DATA_MAX - 1),
        CHIP_FIELD(6, Ps2Fifo, data_count, PS2_DATA_MAX),
        CHIP_FIELD(7, Ps2Fifo, last, 0),
    };
    static const ChipObject object = CHIP_OBJECT(0, fields, Ps2Fifo, NULL);

    chip_state_object(state, &object, tag, fifo);
}

static bool
check_keyboard(const void *object)
{
    const Ps2Keyboard *keyboard = object;
    uint8_t pending = keyboard->pending;

    return keyboard->scan_set >= 1 &&
           (pending == 0 || pending == COMMAND_LEDS || pending == COMMAND_SCAN_SET ||
            pending == COMMAND_RATE ||
            (pending >= COMMAND_KEY_FIRST && pending <= COMMAND_KEY_LAST));
}

void
ps2_keyboard_state(Ps2Keyboard *keyboard, ChipState *state)
{
    static const struct bp_state_field fields[] = {
        CHIP_FIELD(1, Ps2Keyboard, pending, 0), CHIP_FIELD(2, Ps2Keyboard, scan_set, 3),
        CHIP_FIELD(3, Ps2Keyboard, leds, 7),    CHIP_FIELD(4, Ps2Keyboard, rate, 0x7F),
        CHIP_BOOL(5, Ps2Keyboard, scanning),
    };
    static const struct bp_state_field set3_fields[] = {
        CHIP_ARRAY(1, Ps2Set3, type),
        CHIP_ARRAY(2, Ps2Set3, held),
    };
    static const ChipObject object = CHIP_OBJECT(TAG_KEYBOARD, fields, Ps2Keyboard, check_keyboard);
    static const ChipObject set3_object =
        CHIP_OBJECT(TAG_KEYBOARD_SET3, set3_fields, Ps2Set3, NULL);

    chip_state_object(state, &object, 0, keyboard);
    fifo_state(&keyboard->fifo, TAG_KEYBOARD_FIFO, state);
    chip_state_object(state, &set3_object, 0, &keyboard->set3);
}

static bool
check_movement(int32_t pieces)
{
    return pieces >= -PIECES && pieces <= PIECES;
}

static bool
check_mouse(const void *object)
{
    const Ps2Mouse *mouse = object;

    return check_movement(mouse->dx) && check_movement(mouse->dy) && check_movement(mouse->dz);
}

void
ps2_mouse_state(Ps2Mouse *mouse, ChipState *state)
{
    static const struct bp_state_field fields[] = {
        CHIP_FIELD(1, Ps2Mouse, pending, 0),
        CHIP_FIELD(2, Ps2Mouse, id, 4),
        CHIP_FIELD(3, Ps2Mouse, rate, 0),
        CHIP_FIELD(4, Ps2Mouse, resolution, MOUSE_RESOLUTION_MAX),
        CHIP_ARRAY(5, Ps2Mouse, knock),
        CHIP_FIELD(6, Ps2Mouse, buttons, 0x1F),
        CHIP_FIELD(7, Ps2Mouse, reported_buttons, 0x1F),
        CHIP_BOOL(8, Ps2Mouse, reporting),
        CHIP_BOOL(9, Ps2Mouse, remote),
        CHIP_BOOL(10, Ps2Mouse, wrap),
        CHIP_BOOL(11, Ps2Mouse, scaling),
        CHIP_FIELD(12, Ps2Mouse, dx, 0),
        CHIP_FIELD(13, Ps2Mouse, dy, 0),
        CHIP_FIELD(14, Ps2Mouse, dz, 0),
    };
    static const ChipObject object = CHIP_OBJECT(TAG_MOUSE, fields, Ps2Mouse, check_mouse);

    chip_state_object(state, &object, 0, mouse);
    fifo_state(&mouse->fifo, TAG_MOUSE_FIFO, state);
}
