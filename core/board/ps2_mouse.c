/* SPDX-License-Identifier: Apache-2.0 */
/* PS/2 mouse. The sample rate is remembered and reported, not timed: a packet is made as soon as
 * the one before left the buffer. */
#include "board/ps2_mouse.h"

#include <glib.h>
#include <string.h>

enum {
    REPLY_ACK = 0xFA,
    REPLY_RESEND = 0xFE,
    REPLY_SELF_TEST_OK = 0xAA,
    COMMAND_SCALING_1 = 0xE6,
    COMMAND_SCALING_2 = 0xE7,
    COMMAND_RESOLUTION = 0xE8,
    COMMAND_STATUS = 0xE9,
    COMMAND_STREAM = 0xEA,
    COMMAND_READ = 0xEB,
    COMMAND_WRAP_OFF = 0xEC,
    COMMAND_WRAP_ON = 0xEE,
    COMMAND_REMOTE = 0xF0,
    COMMAND_IDENTIFY = 0xF2,
    COMMAND_RATE = 0xF3,
    COMMAND_ENABLE = 0xF4,
    COMMAND_DISABLE = 0xF5,
    COMMAND_DEFAULTS = 0xF6,
    COMMAND_RESEND = 0xFE,
    COMMAND_RESET = 0xFF,
    ID_WHEEL = 3,
    ID_BUTTONS = 4,
    DEFAULT_RATE = 100,
    DEFAULT_RESOLUTION = 2, /* 4 counts a millimetre */
    PACKET_ALWAYS_1 = 0x08,
    PACKET_X_SIGN = 0x10,
    PACKET_Y_SIGN = 0x20,
    STATUS_REMOTE = 0x40,
    STATUS_ENABLED = 0x20,
    STATUS_SCALING = 0x10,
    MOVE_LIMIT = 1 << 20, /* what nobody fetches must not overflow */
};

static void
forget_movement(Ps2Mouse *mouse)
{
    ps2_fifo_drop_data(&mouse->fifo);
    mouse->dx = mouse->dy = mouse->dz = 0;
    mouse->reported_buttons = mouse->buttons;
}

static void
set_defaults(Ps2Mouse *mouse)
{
    mouse->rate = DEFAULT_RATE;
    mouse->resolution = DEFAULT_RESOLUTION;
    mouse->reporting = mouse->remote = mouse->scaling = false;
    forget_movement(mouse);
}

void
ps2_mouse_reset(Ps2Mouse *mouse)
{
    uint8_t buttons = mouse->buttons;

    memset(mouse, 0, sizeof(*mouse));
    mouse->buttons = buttons;
    set_defaults(mouse);
    ps2_fifo_reply(&mouse->fifo, REPLY_SELF_TEST_OK);
    ps2_fifo_reply(&mouse->fifo, 0x00);
}

/* 2:1 scaling of the streaming mode (1 2 3 4 5 count 1 1 3 6 9, more count double). */
static int32_t
scaled(const Ps2Mouse *mouse, int32_t value)
{
    static const uint8_t small[6] = {0, 1, 1, 3, 6, 9};
    int32_t magnitude = ABS(value);

    if (!mouse->scaling || mouse->remote) {
        return value;
    }
    magnitude = magnitude < 6 ? small[magnitude] : magnitude * 2;
    return value < 0 ? -magnitude : magnitude;
}

/* Takes up to what a packet can carry off *left. */
static int32_t
take_movement(int32_t *left, int32_t limit)
{
    int32_t taken = CLAMP(*left, -limit, limit);

    *left -= taken;
    return taken;
}

static unsigned
make_packet(Ps2Mouse *mouse, uint8_t packet[4])
{
    int32_t limit = mouse->scaling && !mouse->remote ? 127 : 255;
    int32_t dx = scaled(mouse, take_movement(&mouse->dx, limit));
    int32_t dy = scaled(mouse, take_movement(&mouse->dy, limit));
    int32_t dz;

    packet[0] = (uint8_t)(PACKET_ALWAYS_1 | (mouse->buttons & 7) | (dx < 0 ? PACKET_X_SIGN : 0) |
                          (dy < 0 ? PACKET_Y_SIGN : 0));
    packet[1] = (uint8_t)dx;
    packet[2] = (uint8_t)dy;
    mouse->reported_buttons = mouse->buttons;
    if (mouse->id == 0) {
        mouse->dz = 0;
        return 3;
    }
    dz = take_movement(&mouse->dz, 7);
    packet[3] = (uint8_t)dz;
    if (mouse->id == ID_BUTTONS) {
        packet[3] = (uint8_t)((dz & 0x0F) | (mouse->buttons & 0x18) << 1);
    }
    return 4;
}

void
ps2_mouse_pump(Ps2Mouse *mouse)
{
    uint8_t packet[4];
    unsigned count = mouse->id == 0 ? 3 : 4;

    while (mouse->reporting && !mouse->remote && !mouse->wrap &&
           ps2_fifo_room(&mouse->fifo) >= count &&
           (mouse->dx != 0 || mouse->dy != 0 || mouse->dz != 0 ||
            mouse->buttons != mouse->reported_buttons)) {
        (void)make_packet(mouse, packet);
        for (unsigned i = 0; i < count; i++) {
            ps2_fifo_put(&mouse->fifo, packet[i]);
        }
    }
}

void
ps2_mouse_event(Ps2Mouse *mouse, int32_t dx, int32_t dy, int32_t dz, uint8_t buttons)
{
    mouse->buttons = buttons & 0x1F;
    if (!mouse->reporting && !mouse->remote) {
        return;
    }
    mouse->dx = CLAMP(mouse->dx + CLAMP(dx, -MOVE_LIMIT, MOVE_LIMIT), -MOVE_LIMIT, MOVE_LIMIT);
    mouse->dy = CLAMP(mouse->dy + CLAMP(dy, -MOVE_LIMIT, MOVE_LIMIT), -MOVE_LIMIT, MOVE_LIMIT);
    mouse->dz = CLAMP(mouse->dz + CLAMP(dz, -MOVE_LIMIT, MOVE_LIMIT), -MOVE_LIMIT, MOVE_LIMIT);
    ps2_mouse_pump(mouse);
}

static void
set_rate(Ps2Mouse *mouse, uint8_t rate)
{
    static const uint8_t wheel[3] = {200, 100, 80};
    static const uint8_t buttons[3] = {200, 200, 80};

    mouse->rate = rate;
    memmove(mouse->knock, mouse->knock + 1, 2);
    mouse->knock[2] = rate;
    if (memcmp(mouse->knock, wheel, sizeof(wheel)) == 0 && mouse->id == 0) {
        mouse->id = ID_WHEEL;
    } else if (memcmp(mouse->knock, buttons, sizeof(buttons)) == 0) {
        mouse->id = ID_BUTTONS;
    }
}

static void
reply_status(Ps2Mouse *mouse)
{
    uint8_t b = mouse->buttons;
    uint8_t flags =
        (uint8_t)((mouse->remote ? STATUS_REMOTE : 0) | (mouse->reporting ? STATUS_ENABLED : 0) |
                  (mouse->scaling ? STATUS_SCALING : 0));

    /* Bits 2-0: left, middle, right. */
    flags |= (uint8_t)((b & 1) << 2 | (b & 4) >> 1 | (b & 2) >> 1);
    ps2_fifo_reply(&mouse->fifo, flags);
    ps2_fifo_reply(&mouse->fifo, mouse->resolution);
    ps2_fifo_reply(&mouse->fifo, mouse->rate);
}

static void
reply_packet(Ps2Mouse *mouse)
{
    uint8_t packet[4];
    unsigned count = make_packet(mouse, packet);

    for (unsigned i = 0; i < count; i++) {
        ps2_fifo_reply(&mouse->fifo, packet[i]);
    }
}

static void
take_argument(Ps2Mouse *mouse, uint8_t command, uint8_t value)
{
    if (command == COMMAND_RATE) {
        set_rate(mouse, value);
    } else {
        mouse->resolution = value & 3;
    }
    ps2_fifo_reply(&mouse->fifo, REPLY_ACK);
}

/* Settings that change without an answer beyond the acknowledgement. False: no such command. */
static bool
change_setting(Ps2Mouse *mouse, uint8_t command)
{
    switch (command) {
    case COMMAND_SCALING_1:
    case COMMAND_SCALING_2:
        mouse->scaling = command == COMMAND_SCALING_2;
        return true;
    case COMMAND_RESOLUTION:
    case COMMAND_RATE:
        mouse->pending = command;
        return true;
    case COMMAND_STREAM:
    case COMMAND_REMOTE:
        mouse->remote = command == COMMAND_REMOTE;
        forget_movement(mouse);
        return true;
    case COMMAND_WRAP_OFF:
    case COMMAND_WRAP_ON:
        mouse->wrap = command == COMMAND_WRAP_ON;
        forget_movement(mouse);
        return true;
    case COMMAND_ENABLE:
    case COMMAND_DISABLE:
        mouse->reporting = command == COMMAND_ENABLE;
        forget_movement(mouse);
        return true;
    case COMMAND_DEFAULTS:
        set_defaults(mouse);
        return true;
    case COMMAND_STATUS:
    case COMMAND_READ:
    case COMMAND_IDENTIFY:
        return true;
    default:
        return false;
    }
}

static void
take_command(Ps2Mouse *mouse, uint8_t command)
{
    Ps2Fifo *fifo = &mouse->fifo;

    if (command == COMMAND_RESET) {
        ps2_mouse_reset(mouse);
        ps2_fifo_drop_replies(fifo);
        ps2_fifo_reply(fifo, REPLY_ACK);
        ps2_fifo_reply(fifo, REPLY_SELF_TEST_OK);
        ps2_fifo_reply(fifo, 0x00);
        return;
    }
    if (command == COMMAND_RESEND) {
        ps2_fifo_reply(fifo, fifo->last);
        return;
    }
    if (!change_setting(mouse, command)) {
        ps2_fifo_reply(fifo, REPLY_RESEND);
        return;
    }
    ps2_fifo_reply(fifo, REPLY_ACK);
    if (command == COMMAND_STATUS) {
        reply_status(mouse);
    } else if (command == COMMAND_READ) {
        reply_packet(mouse);
    } else if (command == COMMAND_IDENTIFY) {
        ps2_fifo_reply(fifo, mouse->id);
    }
}

void
ps2_mouse_write(Ps2Mouse *mouse, uint8_t value)
{
    uint8_t command = mouse->pending;

    ps2_fifo_drop_replies(&mouse->fifo);
    mouse->pending = 0;
    if (mouse->wrap && value != COMMAND_WRAP_OFF && value != COMMAND_RESET) {
        ps2_fifo_reply(&mouse->fifo, value); /* wrap mode echoes */
    } else if (command != 0) {
        take_argument(mouse, command, value);
    } else {
        take_command(mouse, value);
    }
}
