/* SPDX-License-Identifier: Apache-2.0 */
/* 8042 keyboard controller. Bytes move from the controller's own replies, the keyboard and the
 * mouse, in this order, into the one output buffer whenever it is empty; the interrupt line of the
 * byte's source is high while it waits there. */
#include "board/i8042.h"

#include "board/chip.h"
#include "board/ps2_keyboard.h"
#include "board/ps2_mouse.h"

#include <string.h>

enum {
    PORT_DATA = 0x60,
    PORT_COMMAND = 0x64,
    KEYBOARD_GSI = 1,
    MOUSE_GSI = 12,
    RAM_SIZE = 32,
};

enum {
    STATUS_OUTPUT_FULL = 0x01,
    STATUS_SYSTEM = 0x04,
    STATUS_COMMAND = 0x08, /* the last write went to 64h */
    STATUS_UNLOCKED = 0x10,
    STATUS_MOUSE = 0x20,
    MODE_KEYBOARD_IRQ = 0x01,
    MODE_MOUSE_IRQ = 0x02,
    MODE_SYSTEM = 0x04,
    MODE_KEYBOARD_OFF = 0x10,
    MODE_MOUSE_OFF = 0x20,
    MODE_TRANSLATE = 0x40,
    OUTPUT_NO_RESET = 0x01,
    OUTPUT_A20 = 0x02,
    OUTPUT_KEYBOARD_FULL = 0x10,
    OUTPUT_MOUSE_FULL = 0x20,
    OUTPUT_LINES = 0xC0, /* keyboard clock and data, idle */
    INPUT_PORT = 0xA0,   /* no key lock, no manufacturing jumper */
};

enum {
    COMMAND_READ_RAM = 0x20,
    COMMAND_WRITE_RAM = 0x60,
    COMMAND_TEST_PASSWORD = 0xA4,
    COMMAND_MOUSE_OFF = 0xA7,
    COMMAND_MOUSE_ON = 0xA8,
    COMMAND_MOUSE_TEST = 0xA9,
    COMMAND_SELF_TEST = 0xAA,
    COMMAND_KEYBOARD_TEST = 0xAB,
    COMMAND_KEYBOARD_OFF = 0xAD,
    COMMAND_KEYBOARD_ON = 0xAE,
    COMMAND_READ_INPUT = 0xC0,
    COMMAND_READ_OUTPUT = 0xD0,
    COMMAND_WRITE_OUTPUT = 0xD1,
    COMMAND_FAKE_KEYBOARD = 0xD2,
    COMMAND_FAKE_MOUSE = 0xD3,
    COMMAND_TO_MOUSE = 0xD4,
    COMMAND_A20_OFF = 0xDD, /* DDh, DFh: as D1h with that byte, in many compatible controllers */
    COMMAND_A20_ON = 0xDF,
    COMMAND_TEST_INPUTS = 0xE0,
    COMMAND_PULSE = 0xF0,
    REPLY_SELF_TEST_OK = 0x55,
    REPLY_NO_PASSWORD = 0xF1,
};

typedef enum {
    SOURCE_CONTROLLER,
    SOURCE_KEYBOARD,
    SOURCE_MOUSE,
} OutputSource;

struct I8042 {
    GMutex lock; /* protects everything below */
    Region *regions[2];
    IrqSource *keyboard_irq, *mouse_irq;
    void (*reset)(void *opaque);
    void *opaque;
    Ps2Keyboard keyboard;
    Ps2Mouse mouse;
    uint8_t ram[RAM_SIZE]; /* cell 0 is the command byte ("mode" here) */
    uint8_t pending;       /* command that waits for a byte at 60h, or 0 */
    uint8_t output_port;   /* reset and A20 */
    bool last_was_command;
    bool break_prefix; /* F0h was swallowed: the next code is a release */
    bool output_full;
    bool output_is_mouse;
    uint8_t output;
    uint8_t reply; /* the controller's own byte, not yet in the output buffer */
    bool has_reply, reply_is_mouse;
};

static void
update_irqs(I8042 *i8042)
{
    uint8_t mode = i8042->ram[0];

    irq_source_set(i8042->keyboard_irq, i8042->output_full && !i8042->output_is_mouse &&
                                            (mode & MODE_KEYBOARD_IRQ) != 0);
    irq_source_set(i8042->mouse_irq,
                   i8042->output_full && i8042->output_is_mouse && (mode & MODE_MOUSE_IRQ) != 0);
}

static void
put_output(I8042 *i8042, uint8_t value, bool is_mouse)
{
    i8042->output = value;
    i8042->output_full = true;
    i8042->output_is_mouse = is_mouse;
}

/* One byte of the keyboard through the translator. False: it was a prefix, there is no byte yet. */
static bool
translate(I8042 *i8042, uint8_t *value)
{
    if ((i8042->ram[0] & MODE_TRANSLATE) == 0) {
        return true;
    }
    if (*value == 0xF0) {
        i8042->break_prefix = true;
        return false;
    }
    *value = ps2_translate_set2(*value);
    if (i8042->break_prefix) {
        *value |= 0x80;
        i8042->break_prefix = false;
    }
    return true;
}

/* Fills the output buffer if it is empty and somebody has something to say. */
static void
pump(I8042 *i8042)
{
    uint8_t value;

    if (i8042->output_full) {
        return;
    }
    if (i8042->has_reply) {
        i8042->has_reply = false;
        put_output(i8042, i8042->reply, i8042->reply_is_mouse);
    }
    while (!i8042->output_full && (i8042->ram[0] & MODE_KEYBOARD_OFF) == 0 &&
           ps2_fifo_get(&i8042->keyboard.fifo, &value)) {
        if (translate(i8042, &value)) {
            put_output(i8042, value, false);
        }
    }
    if (!i8042->output_full && (i8042->ram[0] & MODE_MOUSE_OFF) == 0 &&
        ps2_fifo_get(&i8042->mouse.fifo, &value)) {
        put_output(i8042, value, true);
        ps2_mouse_pump(&i8042->mouse);
    }
}

static void
reply(I8042 *i8042, uint8_t value, bool as_mouse)
{
    i8042->reply = value;
    i8042->reply_is_mouse = as_mouse;
    i8042->has_reply = true;
}

/* With nothing new, the byte read last is still in the buffer. */
static uint8_t
read_data(I8042 *i8042)
{
    uint8_t value = i8042->output;

    if (i8042->output_full) {
        i8042->output_full = false;
        update_irqs(i8042); /* the line falls before it may rise again: the 8259 wants an edge */
        pump(i8042);
    }
    return value;
}

static uint8_t
read_status(const I8042 *i8042)
{
    return (uint8_t)(STATUS_UNLOCKED | (i8042->output_full ? STATUS_OUTPUT_FULL : 0) |
                     (i8042->output_full && i8042->output_is_mouse ? STATUS_MOUSE : 0) |
                     (i8042->last_was_command ? STATUS_COMMAND : 0) |
                     ((i8042->ram[0] & MODE_SYSTEM) != 0 ? STATUS_SYSTEM : 0));
}

static uint8_t
read_output_port(const I8042 *i8042)
{
    uint8_t full = i8042->output_is_mouse ? OUTPUT_MOUSE_FULL : OUTPUT_KEYBOARD_FULL;

    return (uint8_t)(i8042->output_port | OUTPUT_LINES | (i8042->output_full ? full : 0));
}

/* Commands answered by one byte. False: not one of them. */
static bool
command_with_reply(I8042 *i8042, uint8_t command)
{
    switch (command) {
    case COMMAND_TEST_PASSWORD:
        reply(i8042, REPLY_NO_PASSWORD, false);
        return true;
    case COMMAND_MOUSE_TEST:
    case COMMAND_KEYBOARD_TEST:
    case COMMAND_TEST_INPUTS:
        reply(i8042, 0x00, false);
        return true;
    case COMMAND_SELF_TEST:
        i8042->ram[0] |= MODE_SYSTEM;
        reply(i8042, REPLY_SELF_TEST_OK, false);
        return true;
    case COMMAND_READ_INPUT:
        reply(i8042, INPUT_PORT, false);
        return true;
    case COMMAND_READ_OUTPUT:
        reply(i8042, read_output_port(i8042), false);
        return true;
    default:
        if (command >= COMMAND_READ_RAM && command < COMMAND_READ_RAM + RAM_SIZE) {
            reply(i8042, i8042->ram[command - COMMAND_READ_RAM], false);
            return true;
        }
        return false;
    }
}

/* True: the CPU's reset line goes low. */
static bool
write_command(I8042 *i8042, uint8_t command)
{
    i8042->last_was_command = true;
    i8042->pending = 0;
    if (command >= COMMAND_PULSE) {
        /* Bits 3-0 low: the output port bits to pulse; bit 0 is the reset line. */
        return (command & OUTPUT_NO_RESET) == 0;
    }
    if (command_with_reply(i8042, command)) {
        return false;
    }
    switch (command) {
    case COMMAND_MOUSE_OFF:
        i8042->ram[0] |= MODE_MOUSE_OFF;
        break;
    case COMMAND_MOUSE_ON:
        i8042->ram[0] &= (uint8_t)~MODE_MOUSE_OFF;
        break;
    case COMMAND_KEYBOARD_OFF:
        i8042->ram[0] |= MODE_KEYBOARD_OFF;
        break;
    case COMMAND_KEYBOARD_ON:
        i8042->ram[0] &= (uint8_t)~MODE_KEYBOARD_OFF;
        break;
    case COMMAND_A20_OFF:
    case COMMAND_A20_ON:
        i8042->output_port = (uint8_t)(OUTPUT_NO_RESET | (command & OUTPUT_A20));
        break;
    case COMMAND_WRITE_OUTPUT:
    case COMMAND_FAKE_KEYBOARD:
    case COMMAND_FAKE_MOUSE:
    case COMMAND_TO_MOUSE:
        i8042->pending = command;
        break;
    default:
        if (command >= COMMAND_WRITE_RAM && command < COMMAND_WRITE_RAM + RAM_SIZE) {
            i8042->pending = command;
        }
        break; /* anything else is ignored, as the chip's firmware does */
    }
    return false;
}

/* True: the CPU's reset line goes low. */
static bool
write_data(I8042 *i8042, uint8_t value)
{
    uint8_t command = i8042->pending;

    i8042->last_was_command = false;
    i8042->pending = 0;
    switch (command) {
    case 0:
        i8042->ram[0] &= (uint8_t)~MODE_KEYBOARD_OFF; /* talking to it enables it */
        i8042->break_prefix = false;
        ps2_keyboard_write(&i8042->keyboard, value);
        return false;
    case COMMAND_WRITE_OUTPUT:
        i8042->output_port = (uint8_t)(OUTPUT_NO_RESET | (value & OUTPUT_A20));
        return (value & OUTPUT_NO_RESET) == 0;
    case COMMAND_FAKE_KEYBOARD:
        reply(i8042, value, false);
        return false;
    case COMMAND_FAKE_MOUSE:
        reply(i8042, value, true);
        return false;
    case COMMAND_TO_MOUSE:
        i8042->ram[0] &= (uint8_t)~MODE_MOUSE_OFF;
        ps2_mouse_write(&i8042->mouse, value);
        return false;
    default:
        i8042->ram[command - COMMAND_WRITE_RAM] = value;
        return false;
    }
}

static uint64_t
port_read(I8042 *i8042, bool is_data)
{
    uint8_t value;

    g_mutex_lock(&i8042->lock);
    if (is_data) {
        value = read_data(i8042);
        update_irqs(i8042);
    } else {
        value = read_status(i8042);
    }
    g_mutex_unlock(&i8042->lock);
    return value;
}

static void
port_write(I8042 *i8042, bool is_data, uint8_t value)
{
    bool reset;

    g_mutex_lock(&i8042->lock);
    reset = is_data ? write_data(i8042, value) : write_command(i8042, value);
    pump(i8042);
    update_irqs(i8042);
    g_mutex_unlock(&i8042->lock);
    if (reset) {
        i8042->reset(i8042->opaque);
    }
}

static uint64_t
data_read(void *opaque, uint64_t offset, unsigned size)
{
    return port_read(opaque, true);
}

static void
data_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    port_write(opaque, true, (uint8_t)value);
}

static uint64_t
command_read(void *opaque, uint64_t offset, unsigned size)
{
    return port_read(opaque, false);
}

static void
command_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    port_write(opaque, false, (uint8_t)value);
}

static const RegionOps data_ops = {.read = data_read, .write = data_write};
static const RegionOps command_ops = {.read = command_read, .write = command_write};

bool
i8042_key(I8042 *controller, uint16_t key, bool down)
{
    bool taken;

    g_mutex_lock(&controller->lock);
    taken = ps2_keyboard_key(&controller->keyboard, key, down);
    pump(controller);
    update_irqs(controller);
    g_mutex_unlock(&controller->lock);
    return taken;
}

void
i8042_mouse(I8042 *controller, int32_t dx, int32_t dy, int32_t dz, uint8_t buttons)
{
    g_mutex_lock(&controller->lock);
    ps2_mouse_event(&controller->mouse, dx, dy, dz, buttons);
    pump(controller);
    update_irqs(controller);
    g_mutex_unlock(&controller->lock);
}

uint8_t
i8042_leds(I8042 *controller)
{
    uint8_t leds;

    g_mutex_lock(&controller->lock);
    leds = controller->keyboard.leds;
    g_mutex_unlock(&controller->lock);
    return leds;
}

bool
i8042_a20(I8042 *controller)
{
    bool open;

    g_mutex_lock(&controller->lock);
    open = (controller->output_port & OUTPUT_A20) != 0;
    g_mutex_unlock(&controller->lock);
    return open;
}

void
i8042_reset(I8042 *controller)
{
    g_mutex_lock(&controller->lock);
    memset(controller->ram, 0, sizeof(controller->ram));
    controller->ram[0] = MODE_KEYBOARD_IRQ | MODE_MOUSE_IRQ;
    controller->output_port = OUTPUT_NO_RESET | OUTPUT_A20;
    controller->pending = 0;
    controller->last_was_command = false;
    controller->break_prefix = false;
    controller->output_full = controller->output_is_mouse = controller->has_reply = false;
    controller->output = 0;
    /* The devices' power-on AAh is long gone when the CPU has started. */
    ps2_keyboard_reset(&controller->keyboard);
    ps2_fifo_drop_replies(&controller->keyboard.fifo);
    ps2_mouse_reset(&controller->mouse);
    ps2_fifo_drop_replies(&controller->mouse.fifo);
    update_irqs(controller);
    g_mutex_unlock(&controller->lock);
}

static Region *
add_region(I8042 *i8042, AddressSpace *pio, uint16_t port, const RegionOps *ops, GError **error)
{
    /* No RegionArgs.lock: reset() is called without one. */
    RegionArgs args = {
        .name = "keyboard controller", .base = port, .length = 1, .ops = ops, .opaque = i8042};

    return chip_claim(pio, &args, error);
}

I8042 *
i8042_new(const I8042Args *args, GError **error)
{
    g_autoptr(I8042) i8042 = g_new0(I8042, 1);

    g_mutex_init(&i8042->lock);
    i8042->reset = args->reset;
    i8042->opaque = args->opaque;
    i8042->keyboard_irq = irq_source_new(args->irqs, KEYBOARD_GSI);
    i8042->mouse_irq = irq_source_new(args->irqs, MOUSE_GSI);
    i8042->regions[0] = add_region(i8042, args->pio, PORT_DATA, &data_ops, error);
    if (i8042->regions[0] == NULL) {
        return NULL;
    }
    i8042->regions[1] = add_region(i8042, args->pio, PORT_COMMAND, &command_ops, error);
    if (i8042->regions[1] == NULL) {
        return NULL;
    }
    i8042_reset(i8042);
    return g_steal_pointer(&i8042);
}

static bool
check_controller(const void *object)
{
    uint8_t pending = ((const I8042 *)object)->pending;

    return pending == 0 ||
           (pending >= COMMAND_WRITE_RAM && pending < COMMAND_WRITE_RAM + RAM_SIZE) ||
           (pending >= COMMAND_WRITE_OUTPUT && pending <= COMMAND_TO_MOUSE);
}

void
i8042_state(void *chip, ChipState *state)
{
    static const struct bp_state_field fields[] = {
        CHIP_ARRAY(1, I8042, ram),
        CHIP_FIELD(2, I8042, pending, 0),
        CHIP_FIELD(3, I8042, output_port, OUTPUT_NO_RESET | OUTPUT_A20),
        CHIP_BOOL(4, I8042, last_was_command),
        CHIP_BOOL(5, I8042, break_prefix),
        CHIP_BOOL(6, I8042, output_full),
        CHIP_BOOL(7, I8042, output_is_mouse),
        CHIP_FIELD(8, I8042, output, 0),
        CHIP_FIELD(9, I8042, reply, 0),
        CHIP_BOOL(10, I8042, has_reply),
        CHIP_BOOL(11, I8042, reply_is_mouse),
    };
    static const ChipObject object = CHIP_OBJECT(1, fields, I8042, check_controller);
    I8042 *i8042 = chip;

    g_mutex_lock(&i8042->lock);
    chip_state_object(state, &object, 0, i8042);
    ps2_keyboard_state(&i8042->keyboard, state);
    ps2_mouse_state(&i8042->mouse, state);
    if (chip_state_is_after(state)) {
        update_irqs(i8042);
    }
    g_mutex_unlock(&i8042->lock);
}

void
i8042_free(I8042 *controller)
{
    if (controller == NULL) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(controller->regions); i++) {
        region_free(controller->regions[i]);
    }
    irq_source_free(controller->keyboard_irq);
    irq_source_free(controller->mouse_irq);
    g_mutex_clear(&controller->lock);
    g_free(controller);
}
