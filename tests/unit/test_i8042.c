/* SPDX-License-Identifier: Apache-2.0 */
/* The keyboard controller with its keyboard and mouse, driven by ports 60h and 64h. */
#include "board_parts.h"

#include "board/i8042.h"
#include "board/ps2_keyboard.h"

#define KEYBOARD_IRQ 1
#define MOUSE_IRQ    12

enum {
    OBF = 0x01,
    SYS = 0x04,
    CMD = 0x08,
    UNLOCKED = 0x10,
    AUX = 0x20,
};

typedef struct {
    Parts parts;
    I8042 *i8042;
    unsigned resets;
} Fixture;

static void
note_reset(void *opaque)
{
    Fixture *f = opaque;

    f->resets++;
    (void)i8042_a20(f->i8042); /* no lock is held: this would hang */
}

static int
setup(void **state)
{
    static Fixture fixture;
    Fixture *f = &fixture;

    memset(f, 0, sizeof(*f));
    parts_init(&f->parts);
    I8042Args args = {
        .pio = f->parts.bus.pio, .irqs = f->parts.irqs, .reset = note_reset, .opaque = f};
    f->i8042 = i8042_new(&args, NULL);
    assert_non_null(f->i8042);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    i8042_free(f->i8042);
    parts_done(&f->parts);
    return 0;
}

static uint8_t
status(Fixture *f)
{
    return parts_in(&f->parts, 0x64);
}

static void
command(Fixture *f, uint8_t value)
{
    parts_out(&f->parts, 0x64, value);
}

static void
data(Fixture *f, uint8_t value)
{
    parts_out(&f->parts, 0x60, value);
}

static void
set_mode(Fixture *f, uint8_t mode)
{
    command(f, 0x60);
    data(f, mode);
}

static void
to_mouse(Fixture *f, uint8_t value)
{
    command(f, 0xD4);
    data(f, value);
}

/* The next byte is there, comes from the right device and has this value. */
static void
expect(Fixture *f, uint8_t value)
{
    assert_int_equal(status(f) & (OBF | AUX), OBF);
    assert_int_equal(parts_in(&f->parts, 0x60), value);
}

static void
expect_mouse(Fixture *f, uint8_t value)
{
    assert_int_equal(status(f) & (OBF | AUX), OBF | AUX);
    assert_int_equal(parts_in(&f->parts, 0x60), value);
}

static void
expect_nothing(Fixture *f)
{
    assert_int_equal(status(f) & OBF, 0);
}

static bool
irq(Fixture *f, unsigned gsi)
{
    return irq_lines_level(f->parts.irqs, gsi);
}

static void
test_self_tests_answer_as_firmware_expects(void **state)
{
    Fixture *f = *state;

    assert_int_equal(status(f), UNLOCKED);
    command(f, 0xAA);
    assert_int_equal(status(f), UNLOCKED | CMD | SYS | OBF);
    expect(f, 0x55);
    command(f, 0xAB);
    expect(f, 0x00);
    command(f, 0xA9);
    expect(f, 0x00);
    command(f, 0xA4);
    expect(f, 0xF1);
    command(f, 0xC0);
    expect(f, 0xA0);
    command(f, 0xE0);
    expect(f, 0x00);
    expect_nothing(f);
}

static void
test_command_byte_and_ram_read_back(void **state)
{
    Fixture *f = *state;

    command(f, 0x20);
    expect(f, 0x03);
    set_mode(f, 0x45);
    command(f, 0x20);
    expect(f, 0x45);
    assert_int_equal(status(f) & SYS, SYS); /* bit 2 shows in the status */
    set_mode(f, 0x41);
    assert_int_equal(status(f) & SYS, 0);
    command(f, 0x7F);
    data(f, 0xA5);
    command(f, 0x3F);
    expect(f, 0xA5);
}

static void
test_disable_and_enable_commands_change_the_command_byte(void **state)
{
    Fixture *f = *state;

    command(f, 0xAD);
    command(f, 0xA7);
    command(f, 0x20);
    expect(f, 0x33);
    command(f, 0xAE);
    command(f, 0xA8);
    command(f, 0x20);
    expect(f, 0x03);
}

static void
test_status_tells_where_the_last_write_went(void **state)
{
    Fixture *f = *state;

    command(f, 0xA8);
    assert_int_equal(status(f) & CMD, CMD);
    data(f, 0xEE);
    assert_int_equal(status(f) & CMD, 0);
    expect(f, 0xEE);
}

static void
test_reset_line_is_pulsed_by_even_pulse_commands_and_the_output_port(void **state)
{
    Fixture *f = *state;

    for (unsigned value = 0xF0; value <= 0xFF; value++) {
        command(f, (uint8_t)value);
    }
    assert_int_equal(f->resets, 8);
    command(f, 0xFE);
    assert_int_equal(f->resets, 9);
    command(f, 0xD1);
    data(f, 0xDF);
    assert_int_equal(f->resets, 9);
    command(f, 0xD1);
    data(f, 0xDE);
    assert_int_equal(f->resets, 10);
}

static void
test_output_port_has_a20(void **state)
{
    Fixture *f = *state;

    assert_true(i8042_a20(f->i8042));
    command(f, 0xD1);
    data(f, 0xDD);
    assert_false(i8042_a20(f->i8042));
    command(f, 0xD0);
    expect(f, 0xC1);
    command(f, 0xD1);
    data(f, 0xDF);
    command(f, 0xD0);
    expect(f, 0xC3);
    command(f, 0xDD);
    assert_false(i8042_a20(f->i8042));
    command(f, 0xDF);
    assert_true(i8042_a20(f->i8042));
}

static void
test_faked_bytes_come_from_keyboard_and_mouse(void **state)
{
    Fixture *f = *state;

    command(f, 0xD2);
    data(f, 0x1E);
    assert_true(irq(f, KEYBOARD_IRQ));
    expect(f, 0x1E);
    command(f, 0xD3);
    data(f, 0x77);
    assert_true(irq(f, MOUSE_IRQ));
    expect_mouse(f, 0x77);
    assert_false(irq(f, MOUSE_IRQ));
}

static void
test_keyboard_commands_are_acknowledged(void **state)
{
    Fixture *f = *state;

    data(f, 0xFF);
    expect(f, 0xFA);
    expect(f, 0xAA);
    data(f, 0xF2);
    expect(f, 0xFA);
    expect(f, 0xAB);
    expect(f, 0x83);
    data(f, 0xED);
    expect(f, 0xFA);
    data(f, 0x05);
    expect(f, 0xFA);
    assert_int_equal(i8042_leds(f->i8042), 5);
    data(f, 0xEE);
    expect(f, 0xEE);
    data(f, 0xF3);
    expect(f, 0xFA);
    data(f, 0x20);
    expect(f, 0xFA);
    for (unsigned value = 0xF4; value <= 0xFA; value++) {
        data(f, (uint8_t)value);
        expect(f, 0xFA);
    }
    data(f, 0xF1); /* no such command */
    expect(f, 0xFE);
    data(f, 0xEE);
    expect(f, 0xEE);
    data(f, 0xFE); /* say it again */
    expect(f, 0xEE);
    expect_nothing(f);
}

static void
test_command_instead_of_an_argument_is_taken_as_command(void **state)
{
    Fixture *f = *state;

    data(f, 0xED);
    expect(f, 0xFA);
    data(f, 0xF2);
    expect(f, 0xFA);
    expect(f, 0xAB);
    expect(f, 0x83);
    assert_int_equal(i8042_leds(f->i8042), 0);
}

static void
test_identity_is_translated_like_everything_else(void **state)
{
    Fixture *f = *state;

    set_mode(f, 0x41);
    data(f, 0xF2);
    expect(f, 0xFA);
    expect(f, 0xAB);
    expect(f, 0x41);
}

static void
test_scan_sets_can_be_chosen_and_asked_for(void **state)
{
    Fixture *f = *state;

    for (uint8_t set = 1; set <= 3; set++) {
        data(f, 0xF0);
        expect(f, 0xFA);
        data(f, set);
        expect(f, 0xFA);
        data(f, 0xF0);
        expect(f, 0xFA);
        data(f, 0x00);
        expect(f, 0xFA);
        expect(f, set);
    }
    data(f, 0xF0);
    expect(f, 0xFA);
    data(f, 0x04);
    expect(f, 0xFE);
}

static void
press(Fixture *f, uint16_t key)
{
    assert_true(i8042_key(f->i8042, key, true));
    assert_true(i8042_key(f->i8042, key, false));
}

static void
expect_bytes(Fixture *f, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        expect(f, bytes[i]);
    }
    expect_nothing(f);
}

#define EXPECT_BYTES(f, ...)                                                                       \
    do {                                                                                           \
        const uint8_t bytes_[] = {__VA_ARGS__};                                                    \
        expect_bytes(f, bytes_, sizeof(bytes_));                                                   \
    } while (0)

static void
send(Fixture *f, uint8_t value)
{
    data(f, value);
    expect(f, 0xFA);
}

static void
test_set_3_has_one_byte_a_key_and_a_type_for_each(void **state)
{
    Fixture *f = *state;

    send(f, 0xF0);
    send(f, 0x03);
    press(f, 0x1E); /* A repeats and does not tell of its release */
    EXPECT_BYTES(f, 0x1C);
    press(f, 0x2A); /* left shift tells */
    EXPECT_BYTES(f, 0x12, 0xF0, 0x12);
    press(f, 0xE01D); /* right control does neither */
    EXPECT_BYTES(f, 0x58);
    press(f, PS2_KEY_PAUSE);
    EXPECT_BYTES(f, 0x62);
    press(f, 0xE048); /* up */
    EXPECT_BYTES(f, 0x63);
    press(f, 0x4A); /* keypad minus */
    EXPECT_BYTES(f, 0x84);
    assert_true(i8042_key(f->i8042, 0x1E, true));
    assert_true(i8042_key(f->i8042, 0x1E, true));
    EXPECT_BYTES(f, 0x1C, 0x1C);
    assert_true(i8042_key(f->i8042, 0x2A, true));
    assert_true(i8042_key(f->i8042, 0x2A, true));
    EXPECT_BYTES(f, 0x12);
    press(f, 0x7F); /* no such key */
    expect_nothing(f);
}

static void
test_set_3_types_can_be_changed_for_all_keys_and_for_one(void **state)
{
    Fixture *f = *state;

    send(f, 0xF0);
    send(f, 0x03);
    send(f, 0xF8); /* all make and break */
    press(f, 0x1E);
    EXPECT_BYTES(f, 0x1C, 0xF0, 0x1C);
    send(f, 0xF9); /* all make only */
    press(f, 0x2A);
    EXPECT_BYTES(f, 0x12);
    send(f, 0xFC); /* these: make and break */
    send(f, 0x23);
    send(f, 0x24);
    assert_false(i8042_key(f->i8042, 0x20, true)); /* does not scan while it is told */
    send(f, 0xF4);
    press(f, 0x20);
    EXPECT_BYTES(f, 0x23, 0xF0, 0x23);
    press(f, 0x1E);
    EXPECT_BYTES(f, 0x1C);
    send(f, 0xFA);
    press(f, 0x1E);
    EXPECT_BYTES(f, 0x1C, 0xF0, 0x1C);
}

static void
test_keys_arrive_in_set_2_untranslated(void **state)
{
    Fixture *f = *state;

    press(f, 0x1E); /* A */
    EXPECT_BYTES(f, 0x1C, 0xF0, 0x1C);
    press(f, 0xE048); /* up */
    EXPECT_BYTES(f, 0xE0, 0x75, 0xE0, 0xF0, 0x75);
    press(f, 0x41); /* F7 */
    EXPECT_BYTES(f, 0x83, 0xF0, 0x83);
    press(f, PS2_KEY_PRINT_SCREEN);
    EXPECT_BYTES(f, 0xE0, 0x12, 0xE0, 0x7C, 0xE0, 0xF0, 0x7C, 0xE0, 0xF0, 0x12);
    press(f, PS2_KEY_PAUSE);
    EXPECT_BYTES(f, 0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77);
}

static void
test_keys_arrive_in_set_1_when_translated(void **state)
{
    Fixture *f = *state;

    set_mode(f, 0x41);
    for (uint16_t key = 1; key <= 0x58; key++) {
        if (key == 0x54 || key == 0x55 || key == 0x56) {
            continue;
        }
        press(f, key);
        EXPECT_BYTES(f, (uint8_t)key, (uint8_t)(key | 0x80));
    }
    press(f, 0xE01D);
    EXPECT_BYTES(f, 0xE0, 0x1D, 0xE0, 0x9D);
    press(f, PS2_KEY_PAUSE);
    EXPECT_BYTES(f, 0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5);
    press(f, PS2_KEY_PRINT_SCREEN);
    EXPECT_BYTES(f, 0xE0, 0x2A, 0xE0, 0x37, 0xE0, 0xB7, 0xE0, 0xAA);
}

static void
test_keyboard_in_set_1_needs_no_translation(void **state)
{
    Fixture *f = *state;

    data(f, 0xF0);
    expect(f, 0xFA);
    data(f, 0x01);
    expect(f, 0xFA);
    press(f, 0xE048);
    EXPECT_BYTES(f, 0xE0, 0x48, 0xE0, 0xC8);
}

static void
test_interrupt_falls_between_bytes(void **state)
{
    Fixture *f = *state;

    assert_true(i8042_key(f->i8042, 0x1E, true));
    assert_true(irq(f, KEYBOARD_IRQ));
    assert_true(i8042_key(f->i8042, 0x1E, false));
    expect(f, 0x1C);
    assert_true(irq(f, KEYBOARD_IRQ)); /* the next byte */
    expect(f, 0xF0);
    expect(f, 0x1C);
    assert_false(irq(f, KEYBOARD_IRQ));
    set_mode(f, 0x00);
    assert_true(i8042_key(f->i8042, 0x1E, true));
    assert_false(irq(f, KEYBOARD_IRQ));
    set_mode(f, 0x01);
    assert_true(irq(f, KEYBOARD_IRQ));
}

static void
test_disabled_keyboard_keeps_its_bytes(void **state)
{
    Fixture *f = *state;

    command(f, 0xAD);
    assert_true(i8042_key(f->i8042, 0x1E, true));
    expect_nothing(f);
    command(f, 0xAE);
    expect(f, 0x1C);
}

static void
test_scanning_off_loses_keys(void **state)
{
    Fixture *f = *state;

    data(f, 0xF5);
    expect(f, 0xFA);
    assert_false(i8042_key(f->i8042, 0x1E, true));
    expect_nothing(f);
    data(f, 0xF4);
    expect(f, 0xFA);
    press(f, 0x1E);
    EXPECT_BYTES(f, 0x1C, 0xF0, 0x1C);
}

static void
test_overrun_is_reported_once_and_no_code_is_torn(void **state)
{
    Fixture *f = *state;
    unsigned taken = 0, zeroes = 0, bytes = 0;

    for (unsigned i = 0; i < 100; i++) {
        taken += i8042_key(f->i8042, 0xE048, true) ? 1 : 0;
    }
    assert_in_range(taken, 7, 9);
    while ((status(f) & OBF) != 0) {
        uint8_t value = parts_in(&f->parts, 0x60);
        bytes++;
        zeroes += value == 0 ? 1 : 0;
        assert_true(bytes <= 20);
    }
    assert_int_equal(zeroes, 1);
    assert_int_equal(bytes, 2 * taken + 1);
}

static void
test_reply_overtakes_scan_codes(void **state)
{
    Fixture *f = *state;

    press(f, 0x1E);
    data(f, 0xEE);
    expect(f, 0x1C); /* was in the output buffer already */
    expect(f, 0xEE);
    expect(f, 0xF0);
    expect(f, 0x1C);
}

static void
enable_mouse(Fixture *f)
{
    to_mouse(f, 0xF4);
    expect_mouse(f, 0xFA);
}

static void
test_mouse_resets_and_identifies(void **state)
{
    Fixture *f = *state;

    to_mouse(f, 0xFF);
    assert_true(irq(f, MOUSE_IRQ));
    expect_mouse(f, 0xFA);
    expect_mouse(f, 0xAA);
    expect_mouse(f, 0x00);
    assert_false(irq(f, MOUSE_IRQ));
    to_mouse(f, 0xF2);
    expect_mouse(f, 0xFA);
    expect_mouse(f, 0x00);
    to_mouse(f, 0xE1); /* no such command */
    expect_mouse(f, 0xFE);
    expect_nothing(f);
}

static void
test_mouse_status_shows_what_was_set(void **state)
{
    static const uint8_t setting[] = {0xE8, 3, 0xF3, 40, 0xE7, 0xF4};
    Fixture *f = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(setting); i++) {
        to_mouse(f, setting[i]);
        expect_mouse(f, 0xFA);
    }
    i8042_mouse(f->i8042, 0, 0, 0, 1);
    for (unsigned i = 0; i < 3; i++) {
        (void)parts_in(&f->parts, 0x60);
    }
    to_mouse(f, 0xE9);
    expect_mouse(f, 0xFA);
    expect_mouse(f, 0x34);
    expect_mouse(f, 3);
    expect_mouse(f, 40);
}

static void
test_mouse_movement_comes_as_three_bytes(void **state)
{
    Fixture *f = *state;

    i8042_mouse(f->i8042, 5, 5, 0, 0);
    expect_nothing(f); /* not enabled */
    enable_mouse(f);
    i8042_mouse(f->i8042, 5, -3, 0, 2);
    expect_mouse(f, 0x2A);
    expect_mouse(f, 5);
    expect_mouse(f, 0xFD);
    expect_nothing(f);
    i8042_mouse(f->i8042, 0, 0, 0, 2); /* nothing new */
    expect_nothing(f);
}

static void
test_long_mouse_movement_takes_several_packets(void **state)
{
    Fixture *f = *state;

    enable_mouse(f);
    i8042_mouse(f->i8042, 600, 0, 0, 0);
    expect_mouse(f, 0x08);
    expect_mouse(f, 255);
    expect_mouse(f, 0);
    expect_mouse(f, 0x08);
    expect_mouse(f, 255);
    expect_mouse(f, 0);
    expect_mouse(f, 0x08);
    expect_mouse(f, 90);
    expect_mouse(f, 0);
    expect_nothing(f);
}

static void
set_rates(Fixture *f, uint8_t a, uint8_t b, uint8_t c)
{
    const uint8_t rates[3] = {a, b, c};

    for (unsigned i = 0; i < 3; i++) {
        to_mouse(f, 0xF3);
        expect_mouse(f, 0xFA);
        to_mouse(f, rates[i]);
        expect_mouse(f, 0xFA);
    }
}

static void
test_intellimouse_knock_brings_wheel_and_buttons(void **state)
{
    Fixture *f = *state;

    set_rates(f, 200, 100, 80);
    to_mouse(f, 0xF2);
    expect_mouse(f, 0xFA);
    expect_mouse(f, 3);
    enable_mouse(f);
    i8042_mouse(f->i8042, 0, 0, -1, 0);
    expect_mouse(f, 0x08);
    expect_mouse(f, 0);
    expect_mouse(f, 0);
    expect_mouse(f, 0xFF);
    set_rates(f, 200, 200, 80);
    to_mouse(f, 0xF2);
    expect_mouse(f, 0xFA);
    expect_mouse(f, 4);
    i8042_mouse(f->i8042, 1, 0, 2, 0x18);
    expect_mouse(f, 0x08);
    expect_mouse(f, 1);
    expect_mouse(f, 0);
    expect_mouse(f, 0x32);
    to_mouse(f, 0xFF);
    for (unsigned i = 0; i < 3; i++) {
        (void)parts_in(&f->parts, 0x60);
    }
    to_mouse(f, 0xF2);
    expect_mouse(f, 0xFA);
    expect_mouse(f, 0);
}

static void
test_remote_mode_answers_only_when_asked(void **state)
{
    Fixture *f = *state;

    to_mouse(f, 0xF0);
    expect_mouse(f, 0xFA);
    i8042_mouse(f->i8042, 7, 0, 0, 0);
    expect_nothing(f);
    to_mouse(f, 0xEB);
    expect_mouse(f, 0xFA);
    expect_mouse(f, 0x08);
    expect_mouse(f, 7);
    expect_mouse(f, 0);
    expect_nothing(f);
}

static void
test_wrap_mode_echoes_until_it_is_left(void **state)
{
    Fixture *f = *state;

    to_mouse(f, 0xEE);
    expect_mouse(f, 0xFA);
    to_mouse(f, 0xF2);
    expect_mouse(f, 0xF2);
    to_mouse(f, 0xEC);
    expect_mouse(f, 0xFA);
    to_mouse(f, 0xF2);
    expect_mouse(f, 0xFA);
    expect_mouse(f, 0x00);
}

static void
test_reset_returns_to_power_on_state(void **state)
{
    Fixture *f = *state;

    set_mode(f, 0x77);
    press(f, 0x1E);
    i8042_reset(f->i8042);
    expect_nothing(f);
    assert_int_equal(status(f), UNLOCKED);
    assert_false(irq(f, KEYBOARD_IRQ));
    command(f, 0x20);
    expect(f, 0x03);
}

static void
test_random_accesses_end_nowhere_bad(void **state)
{
    Fixture *f = *state;
    g_autoptr(GRand) rand = g_rand_new_with_seed(8042);

    for (unsigned i = 0; i < 200000; i++) {
        uint8_t value = (uint8_t)g_rand_int_range(rand, 0, 256);
        switch (g_rand_int_range(rand, 0, 5)) {
        case 0:
            command(f, value);
            break;
        case 1:
            data(f, value);
            break;
        case 2:
            (void)i8042_key(f->i8042, (uint16_t)g_rand_int(rand), (value & 1) != 0);
            break;
        case 3:
            i8042_mouse(f->i8042, (int32_t)g_rand_int(rand), (int32_t)g_rand_int(rand),
                        (int32_t)g_rand_int(rand), value);
            break;
        default:
            (void)parts_in(&f->parts, (value & 1) != 0 ? 0x60 : 0x64);
            break;
        }
    }
    i8042_reset(f->i8042);
    command(f, 0xAA);
    expect(f, 0x55);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_self_tests_answer_as_firmware_expects),
        TEST(test_command_byte_and_ram_read_back),
        TEST(test_disable_and_enable_commands_change_the_command_byte),
        TEST(test_status_tells_where_the_last_write_went),
        TEST(test_reset_line_is_pulsed_by_even_pulse_commands_and_the_output_port),
        TEST(test_output_port_has_a20),
        TEST(test_faked_bytes_come_from_keyboard_and_mouse),
        TEST(test_keyboard_commands_are_acknowledged),
        TEST(test_command_instead_of_an_argument_is_taken_as_command),
        TEST(test_identity_is_translated_like_everything_else),
        TEST(test_scan_sets_can_be_chosen_and_asked_for),
        TEST(test_set_3_has_one_byte_a_key_and_a_type_for_each),
        TEST(test_set_3_types_can_be_changed_for_all_keys_and_for_one),
        TEST(test_keys_arrive_in_set_2_untranslated),
        TEST(test_keys_arrive_in_set_1_when_translated),
        TEST(test_keyboard_in_set_1_needs_no_translation),
        TEST(test_interrupt_falls_between_bytes),
        TEST(test_disabled_keyboard_keeps_its_bytes),
        TEST(test_scanning_off_loses_keys),
        TEST(test_overrun_is_reported_once_and_no_code_is_torn),
        TEST(test_reply_overtakes_scan_codes),
        TEST(test_mouse_resets_and_identifies),
        TEST(test_mouse_status_shows_what_was_set),
        TEST(test_mouse_movement_comes_as_three_bytes),
        TEST(test_long_mouse_movement_takes_several_packets),
        TEST(test_intellimouse_knock_brings_wheel_and_buttons),
        TEST(test_remote_mode_answers_only_when_asked),
        TEST(test_wrap_mode_echoes_until_it_is_left),
        TEST(test_reset_returns_to_power_on_state),
        TEST(test_random_accesses_end_nowhere_bad),
    };

    return cmocka_run_group_tests_name("i8042", tests, NULL, NULL);
}
