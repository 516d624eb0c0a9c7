/* SPDX-License-Identifier: Apache-2.0 */
/* READ, WRITE and VERIFY by DMA: data, and the result phase of each way they end. */
#include "floppy_test.h"

static void
test_firmware_sequence_reads_the_boot_sector(void **state)
{
    struct rig rig = rig_new(NULL);

    put(&rig, DOR, 0x00);
    put(&rig, DOR, 0x1c);
    assert_int_equal(irq(&rig), 1);
    for (uint8_t i = 0; i < 4; i++) {
        COMMAND(&rig, 0x08);
        result(&rig, 2);
        assert_int_equal(rig.result[0], 0xc0 | i);
        assert_int_equal(rig.result[1], 0);
    }
    assert_int_equal(irq(&rig), 0);
    put(&rig, CCR, 0);
    COMMAND(&rig, 0x07, 0);
    expect_seek_end(&rig, 0x20, 0);
    COMMAND(&rig, 0x4a, 0);
    expect_result(&rig, 0, 0, 0, 0, 0, 1, 2);
    COMMAND(&rig, 0x03, 0xaf, 0x02);
    dma_to_memory(&rig, 512);
    COMMAND(&rig, 0xe6, 0, 0, 0, 1, 2, 1, 0x1b, 0xff);
    expect_result(&rig, 0, 0, 0, 0, 1, 1, 2); /* MT, EOT: the other side is next */
    check_pattern(data(&rig), 0, 1, SALT_A);
    rig_free(&rig);
}

static void
test_terminal_count_within_the_track_ends_with_the_next_sector(void **state)
{
    struct rig rig = rig_new(NULL);

    dma_to_memory(&rig, 3 * 512);
    transfer(&rig, 0x46, 0x04, 0, 1, 5, 18);
    expect_result(&rig, 0x04, 0, 0, 0, 1, 8, 2);
    check_pattern(data(&rig), 18 + 4, 3, SALT_A);
    rig_free(&rig);
}

static void
test_terminal_count_at_the_end_of_the_track_names_the_next_cylinder(void **state)
{
    struct rig rig = rig_new(NULL);

    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 0, 0, 18, 18);
    expect_result(&rig, 0, 0, 0, 1, 0, 1, 2);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0xc6, 0x04, 0, 1, 18, 18); /* MT, side 1 */
    expect_result(&rig, 0x04, 0, 0, 1, 0, 1, 2);
    rig_free(&rig);
}

static void
test_multi_track_goes_on_with_the_other_side(void **state)
{
    struct rig rig = rig_new(NULL);

    seek(&rig, 0, 7);
    dma_to_memory(&rig, 36 * 512);
    transfer(&rig, 0xe6, 0, 7, 0, 1, 18);
    expect_result(&rig, 0x04, 0, 0, 8, 0, 1, 2);
    check_pattern(data(&rig), 7 * 36, 36, SALT_A);
    rig_free(&rig);
}

static void
test_end_of_track_without_terminal_count_is_end_of_cylinder(void **state)
{
    struct rig rig = rig_new(NULL);

    dma_to_memory(&rig, 10 * 512);
    transfer(&rig, 0x46, 0, 0, 0, 17, 18);
    expect_result(&rig, 0x40, 0x80, 0, 1, 0, 1, 2);
    check_pattern(data(&rig), 16, 2, SALT_A);
    assert_int_equal(th_dma_remaining(rig.th, 2), 8 * 512);
    rig_free(&rig);
}

static void
test_sector_past_the_last_one_is_no_data(void **state)
{
    struct rig rig = rig_new(NULL);

    dma_to_memory(&rig, 3 * 512);
    transfer(&rig, 0x46, 0, 0, 0, 18, 20);
    expect_result(&rig, 0x40, 0x04, 0, 0, 0, 19, 2);
    check_pattern(data(&rig), 17, 1, SALT_A);
    transfer(&rig, 0x46, 0, 0, 0, 0, 20); /* there is no sector 0 either */
    expect_result(&rig, 0x40, 0x04, 0, 0, 0, 0, 2);
    rig_free(&rig);
}

static void
test_other_cylinder_head_or_size_in_the_id_is_no_data(void **state)
{
    struct rig rig = rig_new(NULL);

    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 3, 0, 1, 18);
    expect_result(&rig, 0x40, 0x04, 0x10, 3, 0, 1, 2); /* wrong cylinder */
    transfer(&rig, 0x46, 0, 0, 1, 1, 18);
    expect_result(&rig, 0x40, 0x04, 0, 0, 1, 1, 2);
    COMMAND(&rig, 0x46, 0, 0, 0, 1, 3, 18, 0x1b, 0xff);
    expect_result(&rig, 0x40, 0x04, 0, 0, 0, 1, 3);
    COMMAND(&rig, 0x46, 0, 0, 0, 1, 0xff, 18, 0x1b, 0xff);
    expect_result(&rig, 0x40, 0x04, 0, 0, 0, 1, 0xff);
    assert_int_equal(th_dma_remaining(rig.th, 2), 512);
    rig_free(&rig);
}

static void
test_no_medium_no_cylinder_and_no_drive_are_missing_address_marks(void **state)
{
    struct rig rig = rig_new_media(SIZE_1440K, 0, NULL);

    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 1, 0, 0, 1, 18);
    expect_result(&rig, 0x41, 0x01, 0, 0, 0, 1, 2);
    transfer(&rig, 0x46, 2, 0, 0, 1, 18);
    expect_result(&rig, 0x42, 0x01, 0, 0, 0, 1, 2);
    seek(&rig, 0, 80);
    transfer(&rig, 0x46, 0, 80, 0, 1, 18);
    expect_result(&rig, 0x40, 0x01, 0, 80, 0, 1, 2);
    rig_free(&rig);
}

static void
test_other_data_rate_finds_no_address_marks(void **state)
{
    struct rig rig = rig_new(NULL);

    dma_to_memory(&rig, 512);
    for (uint8_t rate = 1; rate < 4; rate++) {
        put(&rig, CCR, rate);
        COMMAND(&rig, 0x4a, 0);
        assert_int_equal(irq(&rig), 1);
        result(&rig, 7);
        assert_int_equal(rig.result[0], 0x40);
        assert_int_equal(rig.result[1], 0x01);
        transfer(&rig, 0x46, 0, 0, 0, 1, 18);
        expect_result(&rig, 0x40, 0x01, 0, 0, 0, 1, 2);
    }
    put(&rig, DSR, 0); /* DSR and CCR are two ways to the same bits */
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    expect_result(&rig, 0, 0, 0, 0, 0, 2, 2);
    rig_free(&rig);
}

static void
test_written_sectors_are_on_the_image_and_stable(void **state)
{
    struct rig rig = rig_new(NULL);

    seek(&rig, 0, 79);
    fill_pattern(data(&rig), 5000, 36, 1);
    dma_from_memory(&rig, 36 * 512);
    transfer(&rig, 0xc5, 0, 79, 0, 1, 18);
    expect_result(&rig, 0x04, 0, 0, 80, 0, 1, 2);
    check_pattern(th_block_data(rig.a) + 79 * 36 * 512, 5000, 36, 1);
    check_pattern(th_block_durable(rig.a) + 79 * 36 * 512, 5000, 36, 1);
    check_pattern(th_block_data(rig.a), 0, 79 * 36, SALT_A);
    rig_free(&rig);
}

static void
test_terminal_count_within_a_sector_fills_it_with_zeroes(void **state)
{
    struct rig rig = rig_new(NULL);
    static const uint8_t zeroes[512];

    memset(data(&rig), 0x11, 1024);
    dma_from_memory(&rig, 512 + 100);
    transfer(&rig, 0x45, 0, 0, 0, 2, 18);
    expect_result(&rig, 0, 0, 0, 0, 0, 4, 2);
    assert_memory_equal(th_block_data(rig.a) + 512, data(&rig), 612);
    assert_memory_equal(th_block_data(rig.a) + 512 + 612, zeroes, 412);
    check_pattern(th_block_data(rig.a) + 3 * 512, 3, 1, SALT_A);
    rig_free(&rig);
}

static void
test_sectors_before_a_missing_one_are_written(void **state)
{
    struct rig rig = rig_new(NULL);

    fill_pattern(data(&rig), 9000, 4, 1);
    dma_from_memory(&rig, 4 * 512);
    transfer(&rig, 0x45, 0, 0, 0, 17, 20);
    expect_result(&rig, 0x40, 0x04, 0, 0, 0, 19, 2);
    check_pattern(th_block_data(rig.a) + 16 * 512, 9000, 2, 1);
    check_pattern(th_block_data(rig.a) + 18 * 512, 18, 1, SALT_A);
    rig_free(&rig);
}

static void
test_write_without_mfm_is_taken_as_beos_sends_it(void **state)
{
    static const uint8_t codes[] = {0x05, 0x25, 0x45, 0x65, 0x85, 0xe5};
    struct rig rig = rig_new(NULL);

    for (uint8_t i = 0; i < sizeof(codes); i++) {
        memset(data(&rig), i + 1, 512);
        dma_from_memory(&rig, 512);
        transfer(&rig, codes[i], 0, 0, 0, 9, 18);
        expect_result(&rig, 0, 0, 0, 0, 0, 10, 2);
        assert_memory_equal(th_block_data(rig.a) + 8 * 512, data(&rig), 512);
    }
    rig_free(&rig);
}

static void
test_write_protected_media_refuse_every_kind_of_write(void **state)
{
    struct th_host *th = th_new();
    struct rig rig = {.th = th};

    rig.a = th_block_new(th, "a", SIZE_1440K);
    rig.fdc = th_plug(th, &backplane_plugin_v1, "fdc0",
                      "drives = ( { unit = 0; disk = \"a\"; readonly = true; } );");
    assert_non_null(rig.fdc);
    dma_from_memory(&rig, 512);
    transfer(&rig, 0x45, 0, 0, 0, 1, 18);
    expect_result(&rig, 0x40, 0x02, 0, 0, 0, 1, 2);
    transfer(&rig, 0x49, 0, 0, 0, 1, 18);
    expect_result(&rig, 0x40, 0x02, 0, 0, 0, 1, 2);
    COMMAND(&rig, 0x4d, 0, 2, 18, 0x50, 0xf6);
    assert_int_equal(irq(&rig), 1);
    result(&rig, 7);
    assert_int_equal(rig.result[0], 0x40);
    assert_int_equal(rig.result[1], 0x02);
    COMMAND(&rig, 0x04, 0);
    result(&rig, 1);
    assert_int_equal(rig.result[0], 0x28 | 0x40 | 0x10);
    assert_int_equal(get(&rig, SRA) & SRA_NOT_WP, 0);
    assert_int_equal(th_dma_remaining(th, 2), 512);
    rig_free(&rig);
}

static void
test_verify_ends_as_its_table_says(void **state)
{
    struct rig rig = rig_new(NULL);

    /* EC = 0: up to EOT; more than there are is no success */
    COMMAND(&rig, 0x56, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(&rig, 0, 0, 0, 1, 0, 1, 2);
    COMMAND(&rig, 0x56, 0, 0, 0, 1, 2, 19, 0x1b, 0xff);
    expect_result(&rig, 0x40, 0x04, 0, 0, 0, 19, 2);
    COMMAND(&rig, 0xd6, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    expect_result(&rig, 0x04, 0, 0, 1, 0, 1, 2);
    /* EC = 1: so many sectors */
    COMMAND(&rig, 0x56, 0x80, 0, 0, 4, 2, 18, 0x1b, 5);
    expect_result(&rig, 0, 0, 0, 0, 0, 9, 2);
    COMMAND(&rig, 0xd6, 0x80, 0, 0, 10, 2, 18, 0x1b, 20);
    expect_result(&rig, 0x04, 0, 0, 0, 1, 12, 2);
    COMMAND(&rig, 0x56, 0x80, 0, 0, 4, 2, 18, 0x1b, 16);
    expect_result(&rig, 0x40, 0x80, 0, 1, 0, 1, 2);
    COMMAND(&rig, 0xd6, 0x80, 0, 0, 1, 2, 18, 0x1b, 0); /* 256 */
    expect_result(&rig, 0x44, 0x80, 0, 1, 0, 1, 2);
    rig_free(&rig);
}

static void
test_two_drives_work_one_after_the_other(void **state)
{
    struct rig rig = rig_new_media(SIZE_1440K, 720 * 1024, NULL);

    seek(&rig, 0, 5);
    seek(&rig, 1, 9);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 5, 0, 3, 18);
    expect_result(&rig, 0, 0, 0, 5, 0, 4, 2);
    check_pattern(data(&rig), 5 * 36 + 2, 1, SALT_A);
    put(&rig, CCR, 2);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0x05, 9, 1, 9, 9);
    expect_result(&rig, 0x05, 0, 0, 10, 1, 1, 2);
    check_pattern(data(&rig), 9 * 18 + 9 + 8, 1, SALT_B);
    put(&rig, CCR, 0);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 5, 0, 4, 18);
    expect_result(&rig, 0, 0, 0, 5, 0, 5, 2);
    check_pattern(data(&rig), 5 * 36 + 3, 1, SALT_A);
    rig_free(&rig);
}

static void
test_masked_channel_is_waited_for(void **state)
{
    struct rig rig = rig_new(NULL);

    dma_to_memory(&rig, 1024);
    th_dma_mask(rig.th, 2, 1);
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    assert_int_equal(irq(&rig), 0);
    assert_int_equal(get(&rig, MSR), MSR_BUSY);
    assert_int_equal(th_dma_dreq(rig.th, 2), 1);
    th_dma_mask(rig.th, 2, 0);
    th_run(rig.th);
    expect_result(&rig, 0, 0, 0, 0, 0, 3, 2);
    check_pattern(data(&rig), 0, 2, SALT_A);
    assert_int_equal(th_dma_dreq(rig.th, 2), 0);
    rig_free(&rig);
}

static void
test_channel_that_goes_the_other_way_moves_nothing(void **state)
{
    struct rig rig = rig_new(NULL);

    memset(data(&rig), 0x77, 512);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x45, 0, 0, 0, 1, 18);
    assert_int_equal(get(&rig, MSR), MSR_BUSY);
    assert_int_equal(th_dma_remaining(rig.th, 2), 512);
    dma_from_memory(&rig, 512);
    th_run(rig.th);
    expect_result(&rig, 0, 0, 0, 0, 0, 2, 2);
    assert_int_equal(th_block_data(rig.a)[0], 0x77);
    rig_free(&rig);
}

static void
test_channel_that_only_counts_ends_a_read_without_data(void **state)
{
    struct rig rig = rig_new(NULL);

    memset(data(&rig), 0x77, 1024);
    th_dma_program(rig.th, 2, BP_ISADMA_VERIFY, DATA, 1024, 0);
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    expect_result(&rig, 0, 0, 0, 0, 0, 3, 2);
    assert_int_equal(data(&rig)[0], 0x77);
    rig_free(&rig);
}

static void
test_one_request_serves_a_whole_cylinder(void **state)
{
    struct rig rig = rig_new(NULL);
    uint32_t count;

    dma_to_memory(&rig, 36 * 512);
    transfer(&rig, 0xe6, 0, 0, 0, 1, 18);
    (void)th_block_log(rig.a, &count);
    assert_int_equal(count, 1);
    rig_free(&rig);
}

static void
test_seeks_are_implied_when_configured(void **state)
{
    struct rig rig = rig_new(NULL);

    COMMAND(&rig, 0x13, 0, 0x60, 0);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 33, 0, 2, 18);
    expect_result(&rig, ST0_SEEK_END, 0, 0, 33, 0, 3, 2);
    check_pattern(data(&rig), 33 * 36 + 1, 1, SALT_A);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 33, 0, 3, 18); /* there already: no seek */
    expect_result(&rig, 0, 0, 0, 33, 0, 4, 2);
    COMMAND(&rig, 0x0e);
    result(&rig, 10);
    assert_int_equal(rig.result[0], 33);
    rig_free(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_firmware_sequence_reads_the_boot_sector),
        cmocka_unit_test(test_terminal_count_within_the_track_ends_with_the_next_sector),
        cmocka_unit_test(test_terminal_count_at_the_end_of_the_track_names_the_next_cylinder),
        cmocka_unit_test(test_multi_track_goes_on_with_the_other_side),
        cmocka_unit_test(test_end_of_track_without_terminal_count_is_end_of_cylinder),
        cmocka_unit_test(test_sector_past_the_last_one_is_no_data),
        cmocka_unit_test(test_other_cylinder_head_or_size_in_the_id_is_no_data),
        cmocka_unit_test(test_no_medium_no_cylinder_and_no_drive_are_missing_address_marks),
        cmocka_unit_test(test_other_data_rate_finds_no_address_marks),
        cmocka_unit_test(test_written_sectors_are_on_the_image_and_stable),
        cmocka_unit_test(test_terminal_count_within_a_sector_fills_it_with_zeroes),
        cmocka_unit_test(test_sectors_before_a_missing_one_are_written),
        cmocka_unit_test(test_write_without_mfm_is_taken_as_beos_sends_it),
        cmocka_unit_test(test_write_protected_media_refuse_every_kind_of_write),
        cmocka_unit_test(test_verify_ends_as_its_table_says),
        cmocka_unit_test(test_two_drives_work_one_after_the_other),
        cmocka_unit_test(test_masked_channel_is_waited_for),
        cmocka_unit_test(test_channel_that_goes_the_other_way_moves_nothing),
        cmocka_unit_test(test_channel_that_only_counts_ends_a_read_without_data),
        cmocka_unit_test(test_one_request_serves_a_whole_cylinder),
        cmocka_unit_test(test_seeks_are_implied_when_configured),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
