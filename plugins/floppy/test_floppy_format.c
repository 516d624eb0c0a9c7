/* SPDX-License-Identifier: Apache-2.0 */
/* FORMAT TRACK, deleted data marks, READ TRACK and SCAN. */
#include "floppy_test.h"

/* --- FORMAT -------------------------------------------------------------------------------------
 */

/* IDs of a track at DATA, sector numbers with an interleave. */
static void
put_ids(struct rig *rig, uint8_t c, uint8_t h, uint8_t sectors, uint8_t interleave)
{
    uint8_t *id = data(rig);

    for (uint32_t i = 0; i < sectors; i++, id += 4) {
        id[0] = c;
        id[1] = h;
        id[2] = (uint8_t)(i * interleave % sectors + 1);
        id[3] = 2;
    }
}

static void
expect_filled(const uint8_t *image, uint32_t lba, uint32_t sectors, uint8_t filler)
{
    for (uint32_t i = 0; i < sectors * 512; i++) {
        assert_int_equal(image[lba * 512 + i], filler);
    }
}

static void
test_format_fills_the_track_and_nothing_else(void **state)
{
    struct rig rig = rig_new(NULL);
    const uint8_t *image = th_block_durable(rig.a);

    seek(&rig, 0, 40);
    put_ids(&rig, 40, 1, 18, 5);
    dma_from_memory(&rig, 18 * 4);
    COMMAND(&rig, 0x4d, 4, 2, 18, 0x50, 0xf6);
    assert_int_equal(irq(&rig), 1);
    result(&rig, 7);
    assert_int_equal(rig.result[0], 0x04);
    assert_int_equal(rig.result[1], 0);
    assert_int_equal(rig.result[2], 0);
    expect_filled(image, 40 * 36 + 18, 18, 0xf6);
    check_pattern(th_block_data(rig.a), 0, 40 * 36 + 18, SALT_A);
    check_pattern(th_block_data(rig.a) + 41 * 36 * 512, 41 * 36, 39 * 36, SALT_A);
    /* written and read back */
    fill_pattern(data(&rig), 1234, 1, 9);
    dma_from_memory(&rig, 512);
    transfer(&rig, 0x45, 4, 40, 1, 18, 18);
    expect_result(&rig, 0x04, 0, 0, 41, 1, 1, 2);
    dma_to_memory(&rig, 2 * 512);
    transfer(&rig, 0x46, 4, 40, 1, 17, 18);
    expect_result(&rig, 0x04, 0, 0, 41, 1, 1, 2);
    expect_filled(data(&rig), 0, 1, 0xf6);
    check_pattern(data(&rig) + 512, 1234, 1, 9);
    rig_free(&rig);
}

static void
test_whole_floppies_of_every_standard_size_can_be_formatted(void **state)
{
    static const struct {
        uint16_t kilobytes;
        uint8_t cylinders, sectors, rate;
    } sizes[] = {
        {360, 40, 9, 2}, {720, 80, 9, 2}, {1200, 80, 15, 0}, {1440, 80, 18, 0}, {2880, 80, 36, 3}};

    for (uint32_t i = 0; i < 5; i++) {
        struct rig rig = rig_new_media(sizes[i].kilobytes * 1024u, 0, NULL);
        put(&rig, CCR, sizes[i].rate);
        for (uint8_t c = 0; c < sizes[i].cylinders; c++) {
            seek(&rig, 0, c);
            for (uint8_t h = 0; h < 2; h++) {
                put_ids(&rig, c, h, sizes[i].sectors, 1);
                dma_from_memory(&rig, sizes[i].sectors * 4u);
                COMMAND(&rig, 0x4d, (uint8_t)(h << 2), 2, sizes[i].sectors, 0x50, 0x5a);
                result(&rig, 7);
                assert_int_equal(rig.result[0], h << 2);
                assert_int_equal(rig.result[1], 0);
            }
        }
        expect_filled(th_block_durable(rig.a), 0, sizes[i].kilobytes * 2u, 0x5a);
        rig_free(&rig);
    }
}

static void
test_format_by_pio_and_with_bit_7_as_msdos_has_it(void **state)
{
    struct rig rig = rig_new(NULL);

    COMMAND(&rig, 0x03, 0xaf, 0x03);
    COMMAND(&rig, 0xcd, 0, 2, 18, 0x50, 0x11);
    for (uint8_t r = 1; r <= 18; r++) {
        const uint8_t id[] = {0, 0, r, 2};
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(get(&rig, MSR), 0xb0);
            put(&rig, FIFO, id[i]);
        }
    }
    th_run(rig.th);
    result(&rig, 7);
    assert_int_equal(rig.result[0], 0);
    expect_filled(th_block_durable(rig.a), 0, 18, 0x11);
    rig_free(&rig);
}

static void
refused_format(struct rig *rig, uint8_t select, uint8_t n, uint8_t count)
{
    dma_from_memory(rig, count * 4u);
    COMMAND(rig, 0x4d, select, n, count, 0x50, 0xf6);
    assert_int_equal(irq(rig), 1);
    result(rig, 7);
    assert_int_equal(rig->result[0], 0x40 | select);
    assert_int_equal(rig->result[1], 0x04);
    check_pattern(th_block_data(rig->a), 0, 2880, SALT_A);
}

static void
test_layouts_an_image_cannot_hold_are_refused_as_a_whole(void **state)
{
    struct rig rig = rig_new(NULL);

    put_ids(&rig, 0, 0, 21, 1); /* more sectors than the medium has */
    refused_format(&rig, 0, 2, 21);
    put_ids(&rig, 1, 0, 18, 1); /* another cylinder's */
    refused_format(&rig, 0, 2, 18);
    put_ids(&rig, 0, 0, 18, 1); /* another side's */
    refused_format(&rig, 4, 2, 18);
    put_ids(&rig, 0, 0, 18, 1); /* other sizes */
    data(&rig)[17 * 4 + 3] = 3;
    refused_format(&rig, 0, 2, 18);
    put_ids(&rig, 0, 0, 18, 1);
    refused_format(&rig, 0, 3, 18);
    data(&rig)[2] = 0; /* no such number */
    refused_format(&rig, 0, 2, 18);
    put_ids(&rig, 0, 0, 255, 1);
    refused_format(&rig, 0, 2, 255);
    rig_free(&rig);
}

static void
test_format_ends_early_with_terminal_count(void **state)
{
    struct rig rig = rig_new(NULL);

    put_ids(&rig, 0, 0, 18, 1);
    dma_from_memory(&rig, 3 * 4 + 2); /* half an ID is none */
    COMMAND(&rig, 0x4d, 0, 2, 18, 0x50, 0xf6);
    result(&rig, 7);
    assert_int_equal(rig.result[0], 0);
    expect_filled(th_block_data(rig.a), 0, 3, 0xf6);
    check_pattern(th_block_data(rig.a) + 3 * 512, 3, 15, SALT_A);
    COMMAND(&rig, 0x4d, 0, 2, 0, 0x50, 0xf6); /* no sectors at all */
    result(&rig, 7);
    assert_int_equal(rig.result[0], 0);
    rig_free(&rig);
}

static void
test_format_and_write_takes_data_with_each_id(void **state)
{
    struct rig rig = rig_new(NULL);

    for (uint32_t i = 0; i < 18; i++) {
        uint8_t *unit = data(&rig) + i * 516;
        unit[0] = unit[1] = 0;
        unit[2] = (uint8_t)(18 - i);
        unit[3] = 2;
        fill_pattern(unit + 4, 300 + 17 - i, 1, 1);
    }
    dma_from_memory(&rig, 18 * 516);
    COMMAND(&rig, 0xed, 0, 2, 18, 0x50, 0xf6);
    expect_result(&rig, 0, 0, 0, 0, 0, 1, 2);
    check_pattern(th_block_durable(rig.a), 300, 18, 1);
    check_pattern(th_block_data(rig.a) + 18 * 512, 18, 1, SALT_A);
    rig_free(&rig);
}

/* --- deleted data -------------------------------------------------------------------------------
 */

/* Sectors 3 and 5 of the first track have deleted data marks. */
static struct rig
rig_with_deleted(void)
{
    struct rig rig = rig_new(NULL);

    for (uint8_t r = 3; r <= 5; r += 2) {
        fill_pattern(data(&rig), r - 1u, 1, SALT_A);
        dma_from_memory(&rig, 512);
        transfer(&rig, 0x49, 0, 0, 0, r, 18);
        expect_result(&rig, 0, 0, 0, 0, 0, (uint8_t)(r + 1), 2);
    }
    return rig;
}

static void
test_read_stops_after_a_deleted_sector_without_skip(void **state)
{
    struct rig rig = rig_with_deleted();

    dma_to_memory(&rig, 6 * 512);
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    expect_result(&rig, 0, 0, 0x40, 0, 0, 3, 2);
    check_pattern(data(&rig), 0, 3, SALT_A);
    assert_int_equal(th_dma_remaining(rig.th, 2), 3 * 512);
    rig_free(&rig);
}

static void
test_read_passes_over_deleted_sectors_with_skip(void **state)
{
    struct rig rig = rig_with_deleted();

    dma_to_memory(&rig, 4 * 512);
    transfer(&rig, 0x66, 0, 0, 0, 1, 18);
    expect_result(&rig, 0, 0, 0x40, 0, 0, 7, 2);
    check_pattern(data(&rig), 0, 2, SALT_A);
    check_pattern(data(&rig) + 2 * 512, 3, 1, SALT_A);
    check_pattern(data(&rig) + 3 * 512, 5, 1, SALT_A);
    rig_free(&rig);
}

static void
test_read_deleted_is_the_other_way_round(void **state)
{
    struct rig rig = rig_with_deleted();

    dma_to_memory(&rig, 512);
    transfer(&rig, 0x4c, 0, 0, 0, 3, 18);
    expect_result(&rig, 0, 0, 0, 0, 0, 4, 2);
    dma_to_memory(&rig, 6 * 512);
    transfer(&rig, 0x4c, 0, 0, 0, 3, 18); /* then a normal one */
    expect_result(&rig, 0, 0, 0x40, 0, 0, 4, 2);
    dma_to_memory(&rig, 2 * 512);
    transfer(&rig, 0x6c, 0, 0, 0, 1, 18);
    expect_result(&rig, 0, 0, 0x40, 0, 0, 6, 2);
    check_pattern(data(&rig), 2, 1, SALT_A);
    check_pattern(data(&rig) + 512, 4, 1, SALT_A);
    rig_free(&rig);
}

static void
test_writing_or_formatting_takes_the_mark_away(void **state)
{
    struct rig rig = rig_with_deleted();

    dma_from_memory(&rig, 512);
    transfer(&rig, 0x45, 0, 0, 0, 3, 18);
    result(&rig, 7);
    put_ids(&rig, 0, 0, 18, 1);
    data(&rig)[0] = 0;
    dma_from_memory(&rig, 18 * 4);
    COMMAND(&rig, 0x4d, 0, 2, 18, 0x50, 0xf6);
    result(&rig, 7);
    dma_to_memory(&rig, 18 * 512);
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    expect_result(&rig, 0, 0, 0, 1, 0, 1, 2);
    rig_free(&rig);
}

static void
test_all_skipped_is_the_end_of_the_track(void **state)
{
    struct rig rig = rig_with_deleted();

    dma_to_memory(&rig, 512);
    transfer(&rig, 0x6c, 0, 0, 0, 6, 18);
    expect_result(&rig, 0x40, 0x80, 0x40, 1, 0, 1, 2);
    assert_int_equal(th_dma_remaining(rig.th, 2), 512);
    rig_free(&rig);
}

/* --- READ TRACK ---------------------------------------------------------------------------------
 */

static void
test_read_track_begins_at_the_index_hole(void **state)
{
    struct rig rig = rig_new(NULL);

    dma_to_memory(&rig, 18 * 512);
    transfer(&rig, 0x42, 0, 0, 0, 1, 18);
    expect_result(&rig, 0, 0, 0, 1, 0, 1, 2);
    check_pattern(data(&rig), 0, 18, SALT_A);
    /* other IDs than expected are told, and read */
    dma_to_memory(&rig, 4 * 512);
    transfer(&rig, 0x42, 0, 0, 0, 7, 18);
    assert_int_equal(irq(&rig), 1);
    result(&rig, 7);
    assert_int_equal(rig.result[0], 0x40);
    assert_int_equal(rig.result[1], 0x04);
    check_pattern(data(&rig), 0, 4, SALT_A);
    /* EOT is a number of sectors here; the track comes round again */
    dma_to_memory(&rig, 40 * 512);
    transfer(&rig, 0x42, 0, 0, 0, 1, 20);
    result(&rig, 7);
    assert_int_equal(rig.result[0], 0x40);
    assert_int_equal(rig.result[1], 0x84);
    assert_int_equal(th_dma_remaining(rig.th, 2), 20 * 512);
    check_pattern(data(&rig), 0, 18, SALT_A);
    check_pattern(data(&rig) + 18 * 512, 0, 2, SALT_A);
    rig_free(&rig);
}

/* --- SCAN ---------------------------------------------------------------------------------------
 */

/* Sectors 1 to 4 hold 10h, 20h, 30h, 40h; memory one value. */
static struct rig
rig_to_scan(uint8_t value)
{
    struct rig rig = rig_new(NULL);

    for (uint32_t i = 0; i < 4; i++) {
        memset(th_block_data(rig.a) + i * 512, (int)(i + 1) * 0x10, 512);
    }
    memset(data(&rig), value, 18 * 512);
    dma_from_memory(&rig, 18 * 512);
    return rig;
}

static void
scan(struct rig *rig, uint8_t code, uint8_t stride)
{
    COMMAND(rig, code, 0, 0, 0, 1, 2, 4, 0x1b, stride);
}

static void
test_scan_equal_ends_with_the_sector_that_is(void **state)
{
    struct rig rig = rig_to_scan(0x30);

    scan(&rig, 0x51, 1);
    expect_result(&rig, 0, 0, 0x08, 0, 0, 4, 2);
    rig_free(&rig);
    rig = rig_to_scan(0x35);
    scan(&rig, 0x51, 1);
    expect_result(&rig, 0, 0, 0x04, 1, 0, 1, 2);
    rig_free(&rig);
}

static void
test_scan_low_and_high_tell_equal_from_unequal(void **state)
{
    struct rig rig = rig_to_scan(0x10);

    scan(&rig, 0x59, 1); /* disk <= host */
    expect_result(&rig, 0, 0, 0x08, 0, 0, 2, 2);
    rig_free(&rig);
    rig = rig_to_scan(0x15);
    scan(&rig, 0x59, 1);
    expect_result(&rig, 0, 0, 0x00, 0, 0, 2, 2);
    rig_free(&rig);
    rig = rig_to_scan(0x05);
    scan(&rig, 0x59, 1);
    expect_result(&rig, 0, 0, 0x04, 1, 0, 1, 2);
    rig_free(&rig);
    rig = rig_to_scan(0x25);
    scan(&rig, 0x5d, 1); /* disk >= host */
    expect_result(&rig, 0, 0, 0x00, 0, 0, 4, 2);
    rig_free(&rig);
    rig = rig_to_scan(0x40);
    scan(&rig, 0x5d, 1);
    expect_result(&rig, 0, 0, 0x08, 1, 0, 1, 2);
    rig_free(&rig);
}

static void
test_scan_takes_ff_for_anything_and_every_other_sector(void **state)
{
    struct rig rig = rig_to_scan(0xff);

    scan(&rig, 0x51, 1);
    expect_result(&rig, 0, 0, 0x08, 0, 0, 2, 2);
    rig_free(&rig);
    rig = rig_to_scan(0x30);
    scan(&rig, 0x51, 2); /* 1, 3 */
    expect_result(&rig, 0, 0, 0x08, 1, 0, 1, 2);
    rig_free(&rig);
    rig = rig_to_scan(0x20);
    scan(&rig, 0x51, 2);
    expect_result(&rig, 0, 0, 0x04, 1, 0, 1, 2);
    assert_int_equal(th_dma_remaining(rig.th, 2), 16 * 512);
    rig_free(&rig);
}

static void
test_scan_ends_with_terminal_count(void **state)
{
    struct rig rig = rig_to_scan(0x40);

    dma_from_memory(&rig, 2 * 512);
    scan(&rig, 0x51, 1);
    expect_result(&rig, 0, 0, 0x04, 0, 0, 3, 2);
    rig_free(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format_fills_the_track_and_nothing_else),
        cmocka_unit_test(test_whole_floppies_of_every_standard_size_can_be_formatted),
        cmocka_unit_test(test_format_by_pio_and_with_bit_7_as_msdos_has_it),
        cmocka_unit_test(test_layouts_an_image_cannot_hold_are_refused_as_a_whole),
        cmocka_unit_test(test_format_ends_early_with_terminal_count),
        cmocka_unit_test(test_format_and_write_takes_data_with_each_id),
        cmocka_unit_test(test_read_stops_after_a_deleted_sector_without_skip),
        cmocka_unit_test(test_read_passes_over_deleted_sectors_with_skip),
        cmocka_unit_test(test_read_deleted_is_the_other_way_round),
        cmocka_unit_test(test_writing_or_formatting_takes_the_mark_away),
        cmocka_unit_test(test_all_skipped_is_the_end_of_the_track),
        cmocka_unit_test(test_read_track_begins_at_the_index_hole),
        cmocka_unit_test(test_scan_equal_ends_with_the_sector_that_is),
        cmocka_unit_test(test_scan_low_and_high_tell_equal_from_unequal),
        cmocka_unit_test(test_scan_takes_ff_for_anything_and_every_other_sector),
        cmocka_unit_test(test_scan_ends_with_terminal_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
