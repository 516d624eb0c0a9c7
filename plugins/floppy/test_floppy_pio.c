/* SPDX-License-Identifier: Apache-2.0 */
/* Transfers without DMA: INT and RQM, FIFO and threshold; the end without terminal count. */
#include "floppy_test.h"

#define EXECUTE (MSR_REQUEST | MSR_NON_DMA | MSR_BUSY)

static void
non_dma(struct rig *rig)
{
    COMMAND(rig, 0x03, 0xaf, 0x03);
}

static void
pio_in(struct rig *rig, uint8_t *out, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        assert_int_equal(get(rig, MSR), EXECUTE | MSR_TO_HOST);
        assert_int_equal(irq(rig), 1);
        out[i] = get(rig, FIFO);
    }
}

static void
pio_out(struct rig *rig, const uint8_t *in, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        assert_int_equal(get(rig, MSR), EXECUTE);
        assert_int_equal(irq(rig), 1);
        put(rig, FIFO, in[i]);
    }
    th_run(rig->th);
}

static void
test_read_gives_byte_after_byte_and_ends_at_eot(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t bytes[4 * 512];

    non_dma(&rig);
    transfer(&rig, 0x46, 0, 0, 0, 3, 6);
    pio_in(&rig, bytes, sizeof(bytes));
    check_pattern(bytes, 2, 4, SALT_A);
    expect_result(&rig, 0x40, 0x80, 0, 1, 0, 1, 2); /* nobody can give a terminal count */
    rig_free(&rig);
}

static void
test_multi_track_read_passes_both_sides(void **state)
{
    struct rig rig = rig_new(NULL);
    static uint8_t bytes[36 * 512];
    uint32_t count;

    non_dma(&rig);
    transfer(&rig, 0xe6, 0, 0, 0, 1, 18);
    pio_in(&rig, bytes, sizeof(bytes));
    check_pattern(bytes, 0, 36, SALT_A);
    expect_result(&rig, 0x44, 0x80, 0, 1, 0, 1, 2);
    (void)th_block_log(rig.a, &count);
    assert_int_equal(count, 1);
    rig_free(&rig);
}

static void
test_write_takes_byte_after_byte(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t bytes[2 * 512];

    non_dma(&rig);
    fill_pattern(bytes, 777, 2, 3);
    transfer(&rig, 0x45, 0x04, 0, 1, 17, 18);
    pio_out(&rig, bytes, sizeof(bytes));
    expect_result(&rig, 0x44, 0x80, 0, 1, 1, 1, 2);
    check_pattern(th_block_durable(rig.a) + 34 * 512, 777, 2, 3);
    rig_free(&rig);
}

static void
test_string_input_reads_a_sector_at_once(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t bytes[512];

    non_dma(&rig);
    transfer(&rig, 0x46, 0, 0, 0, 9, 9);
    th_ins(rig.th, FIFO, 1, 512, bytes);
    check_pattern(bytes, 8, 1, SALT_A);
    expect_result(&rig, 0x40, 0x80, 0, 1, 0, 1, 2);
    rig_free(&rig);
}

/* Edges of the interrupt during one sector, the one of the result phase included. */
static uint32_t
interrupts_of_a_sector(struct rig *rig)
{
    uint8_t bytes[512];
    uint32_t count, rises = 0;
    const struct th_irq_event *log;

    th_irq_log_clear(rig->th);
    transfer(rig, 0x46, 0, 0, 0, 1, 1);
    pio_in(rig, bytes, sizeof(bytes));
    result(rig, 7);
    log = th_irq_log(rig->th, &count);
    for (uint32_t i = 0; i < count; i++) {
        rises += log[i].level;
    }
    return rises;
}

static void
test_threshold_decides_how_often_it_interrupts(void **state)
{
    struct rig rig = rig_new(NULL);

    non_dma(&rig);
    assert_int_equal(interrupts_of_a_sector(&rig), 512 + 1); /* no FIFO after reset */
    COMMAND(&rig, 0x13, 0, 0x07, 0);                         /* 8 bytes */
    assert_int_equal(interrupts_of_a_sector(&rig), 512 / 8 + 1);
    COMMAND(&rig, 0x13, 0, 0x0f, 0); /* every byte */
    assert_int_equal(interrupts_of_a_sector(&rig), 512 + 1);
    rig_free(&rig);
}

static void
test_wrong_direction_and_idle_fifo_do_nothing(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t bytes[512];

    non_dma(&rig);
    assert_int_equal(get(&rig, FIFO), 0);
    transfer(&rig, 0x46, 0, 0, 0, 1, 1);
    put(&rig, FIFO, 0x55); /* nobody asked */
    pio_in(&rig, bytes, sizeof(bytes));
    check_pattern(bytes, 0, 1, SALT_A);
    put(&rig, FIFO, 0x55); /* result phase */
    expect_result(&rig, 0x40, 0x80, 0, 1, 0, 1, 2);
    transfer(&rig, 0x45, 0, 0, 0, 1, 1);
    assert_int_equal(get(&rig, FIFO), 0);
    pio_out(&rig, bytes, sizeof(bytes));
    expect_result(&rig, 0x40, 0x80, 0, 1, 0, 1, 2);
    check_pattern(th_block_data(rig.a), 0, 1, SALT_A);
    rig_free(&rig);
}

static void
test_closed_dma_gate_means_pio_and_an_end_without_error(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t bytes[1024];

    put(&rig, DOR, 0x04);
    transfer(&rig, 0xe6, 0, 0, 0, 1, 1);
    pio_in(&rig, bytes, sizeof(bytes));
    check_pattern(bytes, 0, 1, SALT_A);
    check_pattern(bytes + 512, 18, 1, SALT_A);
    expect_result(&rig, 0x04, 0, 0, 1, 0, 1, 2);
    assert_int_equal(th_dma_dreq(rig.th, 2), 0);
    rig_free(&rig);
}

static void
test_host_that_does_not_come_is_an_overrun_with_timing(void **state)
{
    struct rig rig = rig_new("timing = \"real\";");

    put(&rig, DOR, 0x1c);
    non_dma(&rig);
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    th_clock_step(rig.th, 600 * 1000000ull);
    expect_result(&rig, 0x40, 0x10, 0, 0, 0, 1, 2);
    transfer(&rig, 0x45, 0, 0, 0, 1, 18);
    th_clock_step(rig.th, 600 * 1000000ull);
    expect_result(&rig, 0x40, 0x10, 0, 0, 0, 1, 2);
    COMMAND(&rig, 0x03, 0xaf, 0x02); /* DMA that stays masked */
    th_dma_mask(rig.th, 2, 1);
    transfer(&rig, 0x46, 0, 0, 0, 2, 18);
    th_clock_step(rig.th, 600 * 1000000ull);
    expect_result(&rig, 0x40, 0x10, 0, 0, 0, 2, 2);
    check_pattern(th_block_data(rig.a), 0, 36, SALT_A);
    rig_free(&rig);
}

static void
test_turns_and_spin_up_take_their_time(void **state)
{
    struct rig rig = rig_new("timing = \"real\";");
    uint64_t before;

    put(&rig, DOR, 0x1c);
    dma_to_memory(&rig, 18 * 512);
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    assert_int_equal(get(&rig, MSR), MSR_BUSY);
    th_clock_step(rig.th, 299 * 1000000ull);
    assert_int_equal(th_dma_remaining(rig.th, 2), 18 * 512);
    th_clock_step(rig.th, 400 * 1000000ull); /* to the index hole, and a turn */
    expect_result(&rig, 0, 0, 0, 1, 0, 1, 2);
    /* a turn for a track, now that it turns */
    before = th_clock_now(rig.th);
    th_clock_step(rig.th, 200 * 1000000ull - before % (200 * 1000000ull));
    dma_to_memory(&rig, 18 * 512);
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    th_clock_step(rig.th, 199 * 1000000ull);
    assert_int_equal(irq(&rig), 0);
    th_clock_step(rig.th, 2 * 1000000ull);
    expect_result(&rig, 0, 0, 0, 1, 0, 1, 2);
    /* a medium that stands still has no marks */
    put(&rig, DOR, 0x0c);
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    th_clock_step(rig.th, 401 * 1000000ull);
    expect_result(&rig, 0x40, 0x01, 0, 0, 0, 1, 2);
    rig_free(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_gives_byte_after_byte_and_ends_at_eot),
        cmocka_unit_test(test_multi_track_read_passes_both_sides),
        cmocka_unit_test(test_write_takes_byte_after_byte),
        cmocka_unit_test(test_string_input_reads_a_sector_at_once),
        cmocka_unit_test(test_threshold_decides_how_often_it_interrupts),
        cmocka_unit_test(test_wrong_direction_and_idle_fifo_do_nothing),
        cmocka_unit_test(test_closed_dma_gate_means_pio_and_an_end_without_error),
        cmocka_unit_test(test_host_that_does_not_come_is_an_overrun_with_timing),
        cmocka_unit_test(test_turns_and_spin_up_take_their_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
