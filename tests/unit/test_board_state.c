/* SPDX-License-Identifier: Apache-2.0 */
/* The board's state: saved in the middle of something, restored into a new board, which goes on
 * there; and states that nobody saved. */
#include "board_machine.h"

#include "board/board_state.h"
#include "board/ps2_keyboard.h"

#include <errno.h>
#include <stdlib.h>

#define HOST_BRIDGE 0x00u
#define ISA_BRIDGE  0x08u
#define POWER       0x0Bu
#define STEP_NS     UINT64_C(1234567)

typedef struct {
    struct bp_state_sink sink;
    GByteArray *bytes;
} Saved;

static int32_t
saved_put(const struct bp_state_sink *sink, uint32_t tag, const void *data, uint64_t length)
{
    const Saved *saved = (const Saved *)sink;
    const uint8_t head[8] = {(uint8_t)tag,
                             (uint8_t)(tag >> 8),
                             0,
                             0,
                             (uint8_t)length,
                             (uint8_t)(length >> 8),
                             (uint8_t)(length >> 16),
                             (uint8_t)(length >> 24)};
    const uint8_t zeroes[8] = {0};

    g_byte_array_append(saved->bytes, head, sizeof(head));
    g_byte_array_append(saved->bytes, data, (guint)length);
    g_byte_array_append(saved->bytes, zeroes, (guint)(-length & 7));
    return 0;
}

typedef struct {
    Machine from, to;
} Pair;

static int
setup(void **state)
{
    static Pair pair;

    machine_start(&pair.from, &(MachineArgs){0});
    machine_start(&pair.to, &(MachineArgs){0});
    *state = &pair;
    return 0;
}

static int
teardown(void **state)
{
    Pair *pair = *state;

    machine_stop(&pair->from);
    machine_stop(&pair->to);
    return 0;
}

static GByteArray *
save(Machine *machine)
{
    Saved saved = {{.size = sizeof(struct bp_state_sink), .put = saved_put}, g_byte_array_new()};

    assert_int_equal(board_save(machine->board, &saved.sink), 0);
    return saved.bytes;
}

/* As a snapshot does: clock, chips, then what follows from them. */
static void
move(Pair *pair)
{
    g_autoptr(GByteArray) state = save(&pair->from);

    virtual_clock_set(pair->to.parts.clock, virtual_clock_now(pair->from.parts.clock));
    assert_int_equal(board_restore(pair->to.board, state->data, state->len), 0);
    board_after_restore(pair->to.board);
}

static void
out(Pair *pair, uint16_t port, uint8_t value)
{
    parts_out(&pair->from.parts, port, value);
}

/* Both boards answer alike, and as wanted. */
static void
both_in(Pair *pair, uint16_t port, uint8_t wanted)
{
    assert_int_equal(parts_in(&pair->from.parts, port), wanted);
    assert_int_equal(parts_in(&pair->to.parts, port), wanted);
}

static void
both_out(Pair *pair, uint16_t port, uint8_t value)
{
    parts_out(&pair->from.parts, port, value);
    parts_out(&pair->to.parts, port, value);
}

static void
same_in(Pair *pair, uint16_t port)
{
    assert_int_equal(parts_in(&pair->from.parts, port), parts_in(&pair->to.parts, port));
}

static void
both_step(Pair *pair, uint64_t ns)
{
    parts_step(&pair->from.parts, ns);
    parts_step(&pair->to.parts, ns);
}

static void
test_8259_goes_on_in_the_middle_of_its_initialization(void **state)
{
    Pair *pair = *state;

    out(pair, 0x20, 0x11);
    out(pair, 0x21, 0x20); /* ICW3 is next */
    move(pair);
    both_out(pair, 0x21, 0x04);
    both_out(pair, 0x21, 0x01);
    both_out(pair, 0x21, 0xEF); /* OCW1 now */
    both_in(pair, 0x21, 0xEF);
}

static void
test_8259_keeps_what_is_pending_and_in_service(void **state)
{
    Pair *pair = *state;
    IrqSource *source = irq_source_new(pair->from.parts.irqs, 4);

    for (unsigned i = 0; i < 4; i++) {
        static const uint8_t icw[4] = {0x11, 0x20, 0x04, 0x01};
        out(pair, i == 0 ? 0x20 : 0x21, icw[i]);
    }
    out(pair, 0x21, 0x00);
    irq_source_set(source, true);
    assert_int_equal(board_pic_ack(pair->from.board), 0x24);
    irq_source_set(source, false);
    irq_source_set(source, true); /* a second edge behind the first */
    move(pair);
    both_out(pair, 0x20, 0x0B);
    both_in(pair, 0x20, 0x10); /* ISR */
    both_out(pair, 0x20, 0x20);
    assert_int_equal(board_pic_ack(pair->to.board), 0x24);
    irq_source_free(source);
}

static void
test_8254_goes_on_between_the_bytes_of_a_count_and_of_a_latch(void **state)
{
    Pair *pair = *state;

    out(pair, 0x43, 0x34); /* counter 0: rate generator, low then high */
    out(pair, 0x40, 0x00);
    out(pair, 0x40, 0x10);
    parts_step(&pair->from.parts, STEP_NS);
    out(pair, 0x43, 0x00);                   /* latch */
    (void)parts_in(&pair->from.parts, 0x40); /* its low byte */
    out(pair, 0x43, 0xB6);                   /* counter 2: square wave */
    out(pair, 0x42, 0x34);                   /* its low byte */
    move(pair);
    same_in(pair, 0x40); /* the latch's high byte */
    both_out(pair, 0x42, 0x12);
    for (unsigned i = 0; i < 10; i++) {
        both_step(pair, STEP_NS);
        both_out(pair, 0x43, 0x00);
        same_in(pair, 0x40);
        same_in(pair, 0x40);
        assert_int_equal(irq_lines_level(pair->from.parts.irqs, 0),
                         irq_lines_level(pair->to.parts.irqs, 0));
        assert_int_equal(loop_next_virtual_deadline(pair->from.parts.loop),
                         loop_next_virtual_deadline(pair->to.parts.loop));
    }
}

static void
test_rtc_keeps_its_index_time_and_alarm(void **state)
{
    Pair *pair = *state;

    out(pair, 0x70, 0x0B);
    out(pair, 0x71, 0x12); /* update-ended interrupt, 24 hours */
    parts_step(&pair->from.parts, UINT64_C(3500000000));
    out(pair, 0x70, 0x00);
    move(pair);
    both_in(pair, 0x71, 0x03);
    assert_true(irq_lines_level(pair->to.parts.irqs, 8));
    both_out(pair, 0x70, 0x0C);
    same_in(pair, 0x71);
    assert_false(irq_lines_level(pair->to.parts.irqs, 8));
    both_step(pair, UINT64_C(600000000));
    assert_true(irq_lines_level(pair->to.parts.irqs, 8)); /* the timer is armed */
    both_out(pair, 0x70, 0x00);
    both_in(pair, 0x71, 0x04);
}

static void
test_8042_goes_on_between_command_and_argument(void **state)
{
    Pair *pair = *state;

    out(pair, 0x64, 0x60);
    out(pair, 0x60, 0x01); /* interrupt on, no translation */
    assert_true(board_key(pair->from.board, 0x1E, true));
    assert_true(board_key(pair->from.board, 0x1E, false));
    out(pair, 0x64, 0xD1); /* output port is next */
    move(pair);
    assert_true(irq_lines_level(pair->to.parts.irqs, 1));
    both_out(pair, 0x60, 0xDD); /* A20 off */
    both_in(pair, 0x60, 0x1C);
    both_in(pair, 0x60, 0xF0);
    both_in(pair, 0x60, 0x1C);
    both_out(pair, 0x64, 0xD0);
    both_in(pair, 0x60, 0xC1);
    assert_int_equal(pair->to.resets, 0);
}

static void
test_8237_keeps_its_flip_flop_and_page(void **state)
{
    Pair *pair = *state;

    out(pair, 0x0C, 0);
    out(pair, 0x04, 0x78); /* channel 2: the low byte of its address */
    out(pair, 0x81, 0x5A);
    move(pair);
    both_out(pair, 0x04, 0x56); /* the high one */
    both_in(pair, 0x04, 0x78);
    both_in(pair, 0x04, 0x56);
    both_in(pair, 0x81, 0x5A);
}

static void
test_fw_cfg_goes_on_in_the_middle_of_an_item(void **state)
{
    Pair *pair = *state;

    parts_out16(&pair->from.parts, 0x510, 0);
    both_in(pair, 0x510, 0xFF);
    assert_int_equal(parts_in(&pair->from.parts, 0x511), 'Q');
    assert_int_equal(parts_in(&pair->from.parts, 0x511), 'E');
    move(pair);
    both_in(pair, 0x511, 'M');
    both_in(pair, 0x511, 'U');
    both_in(pair, 0x511, 0);
}

static void
config_write(Machine *machine, unsigned devfn, uint16_t offset, unsigned size, uint32_t value)
{
    pci_bus_config_write(board_pci(machine->board), 0, devfn, offset, size, value);
}

static void
test_configuration_space_moves_regions_memory_and_routes(void **state)
{
    Pair *pair = *state;
    const uint32_t written = 0x12345678;
    uint32_t read = 0;

    physical_write(&pair->to.parts.bus, 0xF0000, &written, sizeof(written));
    physical_read(&pair->to.parts.bus, 0xF0000, &read, sizeof(read));
    assert_int_not_equal(read, written);
    config_write(&pair->from, HOST_BRIDGE, 0x59, 1, 0x30); /* F segment: RAM, read and write */
    config_write(&pair->from, ISA_BRIDGE, 0x60, 1, 5);     /* PIRQA to IRQ 5 */
    config_write(&pair->from, POWER, 0x40, 4, 0xB001);
    config_write(&pair->from, POWER, 0x80, 1, 1);
    parts_out16(&pair->from.parts, 0xB002, 0x0101); /* PM1 enable: power button, timer */
    parts_out32(&pair->from.parts, 0xCF8, 0x80000840);
    move(pair);
    both_in(pair, 0xB003, 0x01);
    assert_int_equal(parts_in32(&pair->to.parts, 0xCF8), 0x80000840);
    assert_int_equal(machine_config_read(&pair->to, ISA_BRIDGE, 0x60, 1), 5);
    physical_write(&pair->to.parts.bus, 0xF0000, &written, sizeof(written));
    physical_read(&pair->to.parts.bus, 0xF0000, &read, sizeof(read));
    assert_int_equal(read, written);
    /* SCI: enabled by SCI_EN, raised by the power button. */
    parts_out16(&pair->to.parts, 0xB004, 0x0001);
    board_power_button(pair->to.board);
    assert_true(irq_lines_level(pair->to.parts.irqs, 9));
}

static void
test_a_state_saved_again_is_the_same(void **state)
{
    Pair *pair = *state;

    out(pair, 0x43, 0x34);
    out(pair, 0x40, 0x00);
    out(pair, 0x40, 0x10);
    config_write(&pair->from, HOST_BRIDGE, 0x72, 1, 0x1A);
    parts_step(&pair->from.parts, STEP_NS);
    move(pair);
    g_autoptr(GByteArray) first = save(&pair->from);
    g_autoptr(GByteArray) second = save(&pair->to);
    assert_int_equal(first->len, second->len);
    assert_memory_equal(first->data, second->data, first->len);
}

/* Whatever a file says: it is refused without a trace, or taken. */
static void
test_no_damaged_state_harms_the_board(void **state)
{
    Pair *pair = *state;
    g_autoptr(GByteArray) good = save(&pair->from);
    g_autoptr(GByteArray) before = save(&pair->to);
    g_autofree uint8_t *bad = g_memdup2(good->data, good->len);
    unsigned seed = 1, refused = 0;

    for (guint length = 0; length < good->len; length += 8) {
        assert_int_equal(board_validate(pair->to.board, good->data, length), -EINVAL);
    }
    for (unsigned round = 0; round < 4000; round++) {
        guint at = (guint)(rand_r(&seed) % (int)good->len);
        bad[at] = (uint8_t)rand_r(&seed);
        int result = board_validate(pair->to.board, bad, good->len);
        assert_true(result == 0 || result == -EINVAL || result == -EPROTO);
        refused += result != 0;
        bad[at] = good->data[at];
    }
    assert_true(refused > 100);
    g_autoptr(GByteArray) after = save(&pair->to);
    assert_int_equal(before->len, after->len);
    assert_memory_equal(before->data, after->data, before->len);
}

/* Those that are taken run on, for a while, without a fault. */
static void
test_every_state_that_is_taken_can_run(void **state)
{
    Pair *pair = *state;
    g_autoptr(GByteArray) good = save(&pair->from);
    g_autofree uint8_t *bad = g_memdup2(good->data, good->len);
    unsigned seed = 2;

    for (unsigned round = 0; round < 400; round++) {
        guint at = (guint)(rand_r(&seed) % (int)good->len);
        bad[at] = (uint8_t)rand_r(&seed);
        if (board_restore(pair->to.board, bad, good->len) == 0) {
            board_after_restore(pair->to.board);
            for (unsigned i = 0; i < 20 && parts_step_to_timer(&pair->to.parts); i++) {
            }
            for (uint16_t port = 0; port < 0x100; port++) {
                (void)parts_in(&pair->to.parts, port);
            }
        }
        bad[at] = good->data[at];
    }
}

static void
test_a_board_without_a_chip_refuses_one_that_has_it(void **state)
{
    Pair *pair = *state;
    g_autoptr(GByteArray) full = save(&pair->from);
    Machine plain;

    machine_start(&plain, &(MachineArgs){.no_acpi = true});
    assert_true(board_validate(plain.board, full->data, full->len) < 0);
    g_autoptr(GByteArray) less = save(&plain);
    assert_int_equal(board_validate(pair->to.board, less->data, less->len), -EINVAL);
    machine_stop(&plain);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_8259_goes_on_in_the_middle_of_its_initialization),
        TEST(test_8259_keeps_what_is_pending_and_in_service),
        TEST(test_8254_goes_on_between_the_bytes_of_a_count_and_of_a_latch),
        TEST(test_rtc_keeps_its_index_time_and_alarm),
        TEST(test_8042_goes_on_between_command_and_argument),
        TEST(test_8237_keeps_its_flip_flop_and_page),
        TEST(test_fw_cfg_goes_on_in_the_middle_of_an_item),
        TEST(test_configuration_space_moves_regions_memory_and_routes),
        TEST(test_a_state_saved_again_is_the_same),
        TEST(test_no_damaged_state_harms_the_board),
        TEST(test_every_state_that_is_taken_can_run),
        TEST(test_a_board_without_a_chip_refuses_one_that_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
