/* SPDX-License-Identifier: Apache-2.0 */
/* Registers, resets, seeks with their interrupts, and every command without data. */
#include "floppy_test.h"

/* --- registers and resets -----------------------------------------------------------------------
 */

static void
test_power_on_leaves_it_ready_for_commands(void **state)
{
    struct rig rig = rig_new(NULL);

    assert_int_equal(irq(&rig), 0);
    assert_int_equal(get(&rig, DOR), 0x0c);
    assert_int_equal(get(&rig, MSR), MSR_REQUEST);
    assert_int_equal(get(&rig, TDR), 0);
    COMMAND(&rig, 0x08);
    result(&rig, 1);
    assert_int_equal(rig.result[0], 0x80);
    rig_free(&rig);
}

static void
test_controller_in_reset_is_deaf_and_dumb(void **state)
{
    struct rig rig = rig_new(NULL);

    put(&rig, DOR, 0x08);
    assert_int_equal(get(&rig, MSR), 0);
    put(&rig, FIFO, 0x10);
    assert_int_equal(get(&rig, MSR), 0);
    assert_int_equal(get(&rig, FIFO), 0);
    put(&rig, DSR, 0x80);
    assert_int_equal(irq(&rig), 0);
    put(&rig, DOR, 0x0c);
    assert_int_equal(irq(&rig), 1);
    assert_int_equal(get(&rig, MSR), MSR_REQUEST);
    rig_free(&rig);
}

static void
sense_polling(struct rig *rig)
{
    for (uint8_t i = 0; i < 4; i++) {
        COMMAND(rig, 0x08);
        result(rig, 2);
        assert_int_equal(rig->result[0], 0xc0 | i);
        assert_int_equal(rig->result[1], 0);
        assert_int_equal(irq(rig), 0);
    }
    COMMAND(rig, 0x08);
    result(rig, 1);
    assert_int_equal(rig->result[0], 0x80);
}

static void
test_resets_by_dor_and_dsr_interrupt_for_four_drives(void **state)
{
    struct rig rig = rig_new(NULL);

    put(&rig, DOR, 0x00);
    put(&rig, DOR, 0x0c);
    assert_int_equal(irq(&rig), 1);
    sense_polling(&rig);
    put(&rig, DSR, 0x80);
    assert_int_equal(irq(&rig), 1);
    sense_polling(&rig);
    rig_free(&rig);
}

static void
test_seek_after_a_reset_is_answered_before_the_polling(void **state)
{
    struct rig rig = rig_new(NULL);

    put(&rig, DOR, 0x00);
    put(&rig, DOR, 0x0c);
    COMMAND(&rig, 0x08);
    result(&rig, 2);
    COMMAND(&rig, 0x0f, 0, 3);
    expect_seek_end(&rig, 0x20, 3);
    rig_free(&rig);
}

static void
test_reset_drops_a_command_in_each_phase(void **state)
{
    struct rig rig = rig_new(NULL);

    COMMAND(&rig, 0x46, 0, 0); /* half a command */
    assert_int_equal(get(&rig, MSR), MSR_REQUEST | MSR_BUSY);
    put(&rig, DSR, 0x80);
    assert_int_equal(get(&rig, MSR), MSR_REQUEST);
    sense_polling(&rig);

    th_dma_mask(rig.th, 2, 1); /* waiting for the host */
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    assert_int_equal(th_dma_dreq(rig.th, 2), 1);
    put(&rig, DSR, 0x80);
    assert_int_equal(th_dma_dreq(rig.th, 2), 0);
    assert_int_equal(get(&rig, MSR), MSR_REQUEST);
    sense_polling(&rig);

    transfer(&rig, 0x46, 0, 9, 0, 1, 18); /* a result nobody has read */
    assert_int_equal(irq(&rig), 1);
    put(&rig, DOR, 0x08);
    assert_int_equal(irq(&rig), 0);
    put(&rig, DOR, 0x0c);
    sense_polling(&rig);
    rig_free(&rig);
}

static void
test_reset_does_not_wait_for_the_backend_but_the_next_command_does(void **state)
{
    struct rig rig = rig_new(NULL);

    th_block_hold(rig.a, 1);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    assert_int_equal(th_block_in_flight(rig.a), 1);
    put(&rig, DSR, 0x80);
    assert_int_equal(get(&rig, MSR), MSR_REQUEST);
    sense_polling(&rig);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 0, 0, 2, 18);
    assert_int_equal(th_block_in_flight(rig.a), 1);
    th_block_hold(rig.a, 0);
    th_block_release(rig.a, 8, 0);
    th_run(rig.th);
    expect_result(&rig, 0, 0, 0, 0, 0, 3, 2);
    check_pattern(data(&rig), 1, 1, SALT_A);
    rig_free(&rig);
}

static void
test_status_registers_a_and_b_show_the_lines(void **state)
{
    struct rig one = rig_new(NULL);
    struct rig two = rig_new_media(SIZE_1440K, 0, NULL);

    assert_int_equal(get(&one, SRA), SRA_NOT_DRV2 | SRA_NOT_INDEX | SRA_NOT_WP);
    assert_int_equal(get(&two, SRA) & SRA_NOT_DRV2, 0);
    assert_int_equal(get(&one, SRB), 0xc0);
    put(&one, DOR, 0x3d);
    assert_int_equal(get(&one, SRB), 0xc0 | 0x20 | 0x03);
    put(&one, DOR, 0x0c);
    COMMAND(&one, 0x0f, 0, 5);
    assert_int_equal(get(&one, SRA), SRA_INTERRUPT | SRA_NOT_DRV2 | SRA_NOT_INDEX | SRA_NOT_WP |
                                         SRA_STEP | SRA_DIRECTION | SRA_NOT_TRK0);
    rig_free(&one);
    rig_free(&two);
}

static void
test_boot_select_exchanges_the_drives(void **state)
{
    struct rig rig = rig_new_media(SIZE_1440K, SIZE_1440K, NULL);

    put(&rig, TDR, 0xff);
    assert_int_equal(get(&rig, TDR), TDR_BOOT_SEL | TDR_TAPE);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    expect_result(&rig, 0, 0, 0, 0, 0, 2, 2);
    check_pattern(data(&rig), 0, 1, SALT_B);
    rig_free(&rig);
}

static void
test_power_down_by_dsr_ends_with_an_access(void **state)
{
    struct rig rig = rig_new(NULL);

    seek(&rig, 0, 7);
    put(&rig, DSR, 0x40);
    assert_int_equal(irq(&rig), 0);
    assert_int_equal(get(&rig, MSR), MSR_REQUEST);
    COMMAND(&rig, 0x0e);
    result(&rig, 10);
    assert_int_equal(rig.result[0], 0); /* PCN is lost */
    rig_free(&rig);
}

static void
test_wide_accesses_reach_the_registers_one_by_one(void **state)
{
    struct rig rig = rig_new(NULL);

    th_out(rig.th, MSR, 2, 0x1000); /* DSR 0, then VERSION */
    assert_int_equal(th_in(rig.th, MSR, 2), 0x90d0);
    assert_int_equal(th_in(rig.th, SRA, 4) >> 16 & 0xff, 0x0c);
    rig_free(&rig);
}

/* --- heads --------------------------------------------------------------------------------------
 */

static void
test_recalibrate_finds_track_0_in_79_steps_or_says_so(void **state)
{
    struct rig rig = rig_new(NULL);

    seek(&rig, 0, 79);
    COMMAND(&rig, 0x07, 0);
    expect_seek_end(&rig, 0x20, 0);
    seek(&rig, 0, 82);
    COMMAND(&rig, 0x07, 0);
    expect_seek_end(&rig, 0x70, 0);
    COMMAND(&rig, 0x07, 0);
    expect_seek_end(&rig, 0x20, 0);
    for (uint8_t absent = 1; absent < 4; absent++) {
        COMMAND(&rig, 0x07, absent);
        expect_seek_end(&rig, 0x70 | absent, 0);
    }
    rig_free(&rig);
}

static void
test_relative_seeks_count_from_where_the_heads_are(void **state)
{
    struct rig rig = rig_new(NULL);

    seek(&rig, 0, 10);
    COMMAND(&rig, 0xcf, 0, 5);
    expect_seek_end(&rig, 0x20, 15);
    COMMAND(&rig, 0x8f, 0, 3);
    expect_seek_end(&rig, 0x20, 12);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 12, 0, 1, 18);
    expect_result(&rig, 0, 0, 0, 12, 0, 2, 2);
    check_pattern(data(&rig), 12 * 36, 1, SALT_A);
    COMMAND(&rig, 0x8f, 0, 200); /* stops at track 0 */
    expect_seek_end(&rig, 0x20, 0);
    COMMAND(&rig, 0x04, 0);
    result(&rig, 1);
    assert_int_equal(rig.result[0], 0x28 | 0x10);
    rig_free(&rig);
}

static void
test_heads_stop_at_the_end_of_the_drive(void **state)
{
    struct rig rig = rig_new(NULL);

    seek(&rig, 0, 255); /* PCN believes it */
    COMMAND(&rig, 0x0e);
    result(&rig, 10);
    assert_int_equal(rig.result[0], 255);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 255, 0, 1, 18);
    expect_result(&rig, 0x40, 0x01, 0, 255, 0, 1, 2);
    rig_free(&rig);
}

static void
test_sense_drive_status_shows_track_0_side_and_select(void **state)
{
    struct rig rig = rig_new_media(SIZE_1440K, 0, NULL);
    static const uint8_t want[] = {0x38, 0x39, 0x2a, 0x2b};

    for (uint8_t i = 0; i < 4; i++) {
        COMMAND(&rig, 0x04, i);
        result(&rig, 1);
        assert_int_equal(rig.result[0], want[i]);
        COMMAND(&rig, 0x04, i | 4);
        result(&rig, 1);
        assert_int_equal(rig.result[0], want[i] | 4);
        assert_int_equal(irq(&rig), 0);
    }
    rig_free(&rig);
}

static void
test_seeks_overlap_and_each_interrupts(void **state)
{
    struct rig rig = rig_new_media(SIZE_1440K, SIZE_1440K, "timing = \"real\";");

    COMMAND(&rig, 0x03, 0xdf, 0x02); /* 3 ms a step */
    COMMAND(&rig, 0x0f, 0, 10);
    assert_int_equal(get(&rig, MSR), MSR_REQUEST | 0x01);
    COMMAND(&rig, 0x0f, 1, 20);
    assert_int_equal(get(&rig, MSR), MSR_REQUEST | 0x03);
    assert_int_equal(irq(&rig), 0);
    th_clock_step(rig.th, 46 * 1000000);
    assert_int_equal(get(&rig, MSR), MSR_REQUEST | 0x02);
    expect_seek_end(&rig, 0x20, 10);
    th_clock_step(rig.th, 40 * 1000000);
    assert_int_equal(get(&rig, MSR), MSR_REQUEST);
    expect_seek_end(&rig, 0x21, 20);
    rig_free(&rig);
}

static void
test_second_seek_end_raises_the_line_again(void **state)
{
    struct rig rig = rig_new_media(SIZE_1440K, SIZE_1440K, NULL);

    COMMAND(&rig, 0x0f, 0, 10);
    COMMAND(&rig, 0x0f, 1, 20);
    th_irq_log_clear(rig.th);
    COMMAND(&rig, 0x08);
    result(&rig, 2);
    assert_int_equal(rig.result[0], 0x20);
    assert_int_equal(irq(&rig), 1); /* with an edge in between */
    {
        uint32_t count;
        (void)th_irq_log(rig.th, &count);
        assert_int_equal(count, 2);
    }
    expect_seek_end(&rig, 0x21, 20);
    rig_free(&rig);
}

/* The line is the data command's until its result is read; then it tells of the seek. */
static void
test_seek_that_ends_during_a_result_is_told_after_it(void **state)
{
    struct rig rig = rig_new_media(SIZE_1440K, SIZE_1440K, "timing = \"real\";");
    uint32_t count;

    COMMAND(&rig, 0x03, 0xdf, 0x02);
    COMMAND(&rig, 0x0f, 1, 20);
    COMMAND(&rig, 0x4a, 0); /* finds nothing: the motor stands still */
    while (!irq(&rig)) {
        th_clock_step(rig.th, 1000000);
    }
    th_irq_log_clear(rig.th);
    th_clock_step(rig.th, 500000000);
    (void)th_irq_log(rig.th, &count);
    assert_int_equal(count, 0);
    result(&rig, 7);
    assert_int_equal(rig.result[0], ST0_ABNORMAL);
    expect_seek_end(&rig, 0x21, 20);
    rig_free(&rig);
}

static void
test_reset_forgets_a_seek_under_way(void **state)
{
    struct rig rig = rig_new("timing = \"real\";");

    COMMAND(&rig, 0x0f, 0, 40);
    put(&rig, DOR, 0x00);
    put(&rig, DOR, 0x0c);
    sense_polling(&rig);
    th_clock_step(rig.th, 2000000000);
    assert_int_equal(irq(&rig), 0);
    assert_int_equal(get(&rig, MSR), MSR_REQUEST);
    rig_free(&rig);
}

/* --- commands without data ----------------------------------------------------------------------
 */

static void
test_invalid_commands_answer_80h_without_an_interrupt(void **state)
{
    struct rig rig = rig_new(NULL);
    static const uint8_t codes[] = {0x00, 0x01, 0x0b, 0x15, 0x1a, 0x1f,
                                    0x48, 0x53, 0x92, 0xf0, 0xff};

    for (uint32_t i = 0; i < sizeof(codes); i++) {
        COMMAND(&rig, codes[i]);
        assert_int_equal(irq(&rig), 0);
        result(&rig, 1);
        assert_int_equal(rig.result[0], 0x80);
    }
    rig_free(&rig);
}

static void
test_version_and_part_id_are_those_of_an_82078(void **state)
{
    struct rig rig = rig_new(NULL);

    COMMAND(&rig, 0x10);
    result(&rig, 1);
    assert_int_equal(rig.result[0], 0x90);
    COMMAND(&rig, 0x18);
    result(&rig, 1);
    assert_int_equal(rig.result[0], 0x41);
    rig_free(&rig);
}

static void
expect_dump(struct rig *rig, const uint8_t want[10])
{
    COMMAND(rig, 0x0e);
    result(rig, 10);
    assert_memory_equal(rig->result, want, 10);
}

static void
test_dumpreg_shows_what_was_programmed(void **state)
{
    struct rig rig = rig_new_media(SIZE_1440K, SIZE_1440K, NULL);
    static const uint8_t fresh[10] = {[8] = 0x20};
    static const uint8_t set[10] = {3, 4, 0, 0, 0xaf, 0x1e, 18, 0x96, 0x57, 0x21};

    expect_dump(&rig, fresh);
    seek(&rig, 0, 3);
    seek(&rig, 1, 4);
    COMMAND(&rig, 0x03, 0xaf, 0x1e);
    COMMAND(&rig, 0x13, 0, 0x57, 0x21);
    COMMAND(&rig, 0x12, 0x96);
    COMMAND(&rig, 0x94);
    result(&rig, 1);
    assert_int_equal(rig.result[0], 0x10);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 3, 0, 1, 18);
    result(&rig, 7);
    expect_dump(&rig, set);
    rig_free(&rig);
}

static void
test_lock_keeps_fifo_and_precompensation_over_a_reset(void **state)
{
    struct rig rig = rig_new(NULL);
    static const uint8_t locked[10] = {[4] = 0xaf, [5] = 0x02, [7] = 0x94, [8] = 0x07, [9] = 0x21};
    static const uint8_t unlocked[10] = {[4] = 0xaf, [5] = 0x02, [7] = 0x14, [8] = 0x20};

    COMMAND(&rig, 0x03, 0xaf, 0x02);
    COMMAND(&rig, 0x13, 0, 0x57, 0x21);
    COMMAND(&rig, 0x12, 0x97); /* drives 0 and 2, GAP, WGATE */
    COMMAND(&rig, 0x94);
    result(&rig, 1);
    put(&rig, DSR, 0x80);
    expect_dump(&rig, locked); /* EIS, POLL, GAP and WGATE are cleared all the same */
    COMMAND(&rig, 0x14);
    result(&rig, 1);
    assert_int_equal(rig.result[0], 0);
    put(&rig, DSR, 0x80);
    expect_dump(&rig, unlocked);
    rig_free(&rig);
}

static void
test_perpendicular_drives_change_only_with_ow(void **state)
{
    struct rig rig = rig_new(NULL);

    COMMAND(&rig, 0x12, 0x8c);
    COMMAND(&rig, 0x12, 0x33);
    COMMAND(&rig, 0x0e);
    result(&rig, 10);
    assert_int_equal(rig.result[7], 0x0f);
    rig_free(&rig);
}

static void
test_save_and_restore_carry_the_chip_over(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t bytes[17] = {0x4e};
    uint8_t saved[16];

    seek(&rig, 0, 9);
    COMMAND(&rig, 0x03, 0xdf, 0x02);
    COMMAND(&rig, 0x13, 0, 0x4a, 0x12);
    COMMAND(&rig, 0x33, 0x01);
    COMMAND(&rig, 0x17, 0x02);
    result(&rig, 1);
    assert_int_equal(rig.result[0], 0x02);
    put(&rig, CCR, 2);
    COMMAND(&rig, 0x2e);
    result(&rig, 16);
    memcpy(saved, rig.result, 16);
    assert_int_equal(saved[0], 0x02);
    assert_int_equal(saved[1], 0x01);
    assert_int_equal(saved[2], 9);
    assert_int_equal(saved[6], 0xdf);
    assert_int_equal(saved[10], 0x4a);
    assert_int_equal(saved[11], 0x12);
    assert_int_equal(saved[12], 0x02);
    th_reset(rig.fdc, BP_RESET_SYSTEM);
    memcpy(bytes + 1, saved, 16);
    command(&rig, 17, bytes);
    assert_int_equal(get(&rig, MSR), MSR_REQUEST);
    COMMAND(&rig, 0x2e);
    result(&rig, 16);
    assert_memory_equal(rig.result, saved, 16);
    rig_free(&rig);
}

static void
test_drive_specification_takes_bytes_until_the_last(void **state)
{
    struct rig rig = rig_new(NULL);

    put(&rig, FIFO, 0x8e);
    for (uint32_t i = 0; i < 1000; i++) { /* far more than four */
        assert_int_equal(get(&rig, MSR), MSR_REQUEST | MSR_BUSY);
        put(&rig, FIFO, (uint8_t)((i & 3) << 5 | (i & 3)));
    }
    put(&rig, FIFO, 0x80);
    result(&rig, 4);
    for (uint8_t i = 0; i < 4; i++) {
        assert_int_equal(rig.result[i], i);
    }
    COMMAND(&rig, 0x8e, 0x04, 0xc0); /* no result */
    assert_int_equal(get(&rig, MSR), MSR_REQUEST);
    /* drive 0 has three speeds now: rate code 1 is 500 kbit/s */
    put(&rig, CCR, 1);
    COMMAND(&rig, 0x4a, 0);
    result(&rig, 7);
    assert_int_equal(rig.result[0], 0);
    rig_free(&rig);
}

static void
test_read_id_shows_the_sectors_as_they_come_round(void **state)
{
    struct rig rig = rig_new(NULL);

    seek(&rig, 0, 12);
    for (uint8_t i = 0; i < 40; i++) {
        COMMAND(&rig, 0x4a, 4);
        expect_result(&rig, 0x04, 0, 0, 12, 1, i % 18 + 1, 2);
    }
    COMMAND(&rig, 0x0a, 0); /* an image has no other density */
    expect_result(&rig, 0, 0, 0, 12, 0, 5, 2);
    COMMAND(&rig, 0x4a, 1);
    assert_int_equal(irq(&rig), 1);
    result(&rig, 7);
    assert_int_equal(rig.result[0], 0x41);
    assert_int_equal(rig.result[1], 0x01);
    rig_free(&rig);
}

/* CVE-2015-3456: the commands that read parameters without end, and everything after them. */
static void
test_too_many_parameters_go_nowhere(void **state)
{
    struct rig rig = rig_new(NULL);
    static const uint8_t codes[] = {0x0a, 0x8e, 0x04, 0x13, 0x4e, 0x46};

    for (uint32_t i = 0; i < sizeof(codes); i++) {
        put(&rig, FIFO, codes[i]);
        for (uint32_t n = 0; n < 5000; n++) {
            put(&rig, FIFO, 0x42);
        }
        put(&rig, DSR, 0x80);
        assert_int_equal(get(&rig, MSR), MSR_REQUEST);
    }
    for (uint32_t n = 0; n < 5000; n++) {
        (void)get(&rig, FIFO);
    }
    COMMAND(&rig, 0x10);
    result(&rig, 1);
    assert_int_equal(rig.result[0], 0x90);
    rig_free(&rig);
}

static void
test_random_accesses_are_survived(void **state)
{
    struct rig rig = rig_new_media(SIZE_1440K, 360 * 1024, NULL);
    uint32_t random = 1;

    for (uint32_t i = 0; i < 200000; i++) {
        uint16_t port;
        random = random * 1664525u + 1013904223u;
        port = (uint16_t)(SRA + (random >> 28 & 7));
        if (random & 0x100) {
            put(&rig, random & 0x600 ? FIFO : port, (uint8_t)(random >> 12));
        } else {
            (void)get(&rig, port);
        }
        if ((random >> 11 & 31) == 0) {
            th_dma_program(rig.th, 2, random >> 20 & 3, DATA, (random >> 22 & 1023) + 1, 0);
            th_run(rig.th);
        }
    }
    rig_free(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_on_leaves_it_ready_for_commands),
        cmocka_unit_test(test_controller_in_reset_is_deaf_and_dumb),
        cmocka_unit_test(test_resets_by_dor_and_dsr_interrupt_for_four_drives),
        cmocka_unit_test(test_seek_after_a_reset_is_answered_before_the_polling),
        cmocka_unit_test(test_reset_drops_a_command_in_each_phase),
        cmocka_unit_test(test_reset_does_not_wait_for_the_backend_but_the_next_command_does),
        cmocka_unit_test(test_status_registers_a_and_b_show_the_lines),
        cmocka_unit_test(test_boot_select_exchanges_the_drives),
        cmocka_unit_test(test_power_down_by_dsr_ends_with_an_access),
        cmocka_unit_test(test_wide_accesses_reach_the_registers_one_by_one),
        cmocka_unit_test(test_recalibrate_finds_track_0_in_79_steps_or_says_so),
        cmocka_unit_test(test_relative_seeks_count_from_where_the_heads_are),
        cmocka_unit_test(test_heads_stop_at_the_end_of_the_drive),
        cmocka_unit_test(test_sense_drive_status_shows_track_0_side_and_select),
        cmocka_unit_test(test_seeks_overlap_and_each_interrupts),
        cmocka_unit_test(test_second_seek_end_raises_the_line_again),
        cmocka_unit_test(test_seek_that_ends_during_a_result_is_told_after_it),
        cmocka_unit_test(test_reset_forgets_a_seek_under_way),
        cmocka_unit_test(test_invalid_commands_answer_80h_without_an_interrupt),
        cmocka_unit_test(test_version_and_part_id_are_those_of_an_82078),
        cmocka_unit_test(test_dumpreg_shows_what_was_programmed),
        cmocka_unit_test(test_lock_keeps_fifo_and_precompensation_over_a_reset),
        cmocka_unit_test(test_perpendicular_drives_change_only_with_ow),
        cmocka_unit_test(test_save_and_restore_carry_the_chip_over),
        cmocka_unit_test(test_drive_specification_takes_bytes_until_the_last),
        cmocka_unit_test(test_read_id_shows_the_sectors_as_they_come_round),
        cmocka_unit_test(test_too_many_parameters_go_nowhere),
        cmocka_unit_test(test_random_accesses_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
