/* SPDX-License-Identifier: Apache-2.0 */
/* Bus master: shapes of descriptor tables, the active/interrupt table, errors. */
#include "ide_test.h"

static void
test_a_table_of_the_right_length_ends_with_interrupt_and_no_active(void **state)
{
    struct rig rig = rig_new(NULL);

    prd(&rig, 0, BUFFER, 1024 | PRD_EOT);
    command28(&rig, ATA_READ_DMA, 0, 50, 2);
    assert_int_equal(alt_status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    bm_start(&rig, 1);
    assert_int_equal(bm_status(&rig), BM_ACTIVE);
    assert_int_equal(alt_status(&rig) & ATA_BSY, ATA_BSY);
    th_run(rig.th);
    assert_int_equal(bm_status(&rig), BM_INT);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_INT); /* the status read does not clear it */
    bm_stop(&rig);
    assert_int_equal(bm_status(&rig), 0);
    check_pattern(th_ram(rig.th, BUFFER, 1024), 50, 2);
    rig_free(&rig);
}

static void
test_started_before_the_command_it_works_too(void **state)
{
    struct rig rig = rig_new(NULL);

    prd(&rig, 0, BUFFER, 512 | PRD_EOT);
    fill_pattern(th_ram(rig.th, BUFFER, 512), 9000, 1);
    bm_start(&rig, 0);
    command48(&rig, ATA_WRITE_DMA_EXT, 12, 1);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_INT);
    check_pattern(th_block_data(rig.disk) + 12 * 512, 9000, 1);
    rig_free(&rig);
}

static void
test_a_longer_table_leaves_active_set(void **state)
{
    struct rig rig = rig_new(NULL);

    prd(&rig, 0, BUFFER, 4096 | PRD_EOT);
    bm_start(&rig, 1);
    command28(&rig, ATA_READ_DMA, 0, 1, 1);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_ACTIVE | BM_INT);
    bm_stop(&rig);
    assert_int_equal(bm_status(&rig), 0);
    prd(&rig, 0, BUFFER, 512); /* equal, but the table does not end here */
    prd(&rig, 1, BUFFER, 512 | PRD_EOT);
    bm_start(&rig, 1);
    command28(&rig, ATA_READ_DMA, 0, 1, 1);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_ACTIVE | BM_INT);
    rig_free(&rig);
}

static void
test_a_shorter_table_ends_without_interrupt_and_active(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t *ram = th_ram(rig.th, BUFFER, 2048);

    memset(ram, 0xaa, 2048);
    prd(&rig, 0, BUFFER, 700 | PRD_EOT);
    bm_start(&rig, 1);
    command28(&rig, ATA_READ_DMA, 0, 1, 4);
    th_run(rig.th);
    assert_int_equal(bm_status(&rig), 0);
    assert_int_equal(irq(&rig), 0);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC);
    check_pattern(ram, 1, 1); /* and 188 bytes of the next */
    assert_memory_equal(ram + 512, th_block_data(rig.disk) + 2 * 512, 188);
    assert_int_equal(ram[700], 0xaa);

    bm_stop(&rig);
    fill_pattern(ram, 5000, 4);
    bm_start(&rig, 0);
    command28(&rig, ATA_WRITE_DMA, 0, 8, 2);
    th_run(rig.th);
    assert_int_equal(bm_status(&rig), 0);
    check_pattern(th_block_data(rig.disk) + 8 * 512, 5000, 1);
    check_pattern(th_block_data(rig.disk) + 9 * 512, 9, 1); /* not a whole sector: not written */
    rig_free(&rig);
}

/* One request for pieces of any size, as long as sectors fit. */
static void
test_pieces_of_odd_sizes_need_no_copy(void **state)
{
    struct rig rig = rig_new(NULL);
    static const uint32_t pieces[] = {2, 510, 514, 1022, 1000, 24};
    uint32_t at = BUFFER, count;

    for (uint32_t i = 0; i < 6; i++) {
        prd(&rig, i, at, pieces[i] | (i == 5 ? PRD_EOT : 0));
        at += 0x1000 + pieces[i];
    }
    bm_start(&rig, 1);
    command28(&rig, ATA_READ_DMA, 0, 300, 6);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_INT);
    (void)th_block_log(rig.disk, &count);
    assert_int_equal(count, 1);
    at = BUFFER;
    for (uint32_t i = 0, done = 0; i < 6; i++) {
        assert_memory_equal(th_ram(rig.th, at, pieces[i]),
                            th_block_data(rig.disk) + 300 * 512 + done, pieces[i]);
        at += 0x1000 + pieces[i];
        done += pieces[i];
    }
    rig_free(&rig);
}

static void
two_byte_pieces(struct rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        prd(rig, i, BUFFER + 4 * i, 2 | (i == count - 1 ? PRD_EOT : 0));
    }
}

static void
test_more_pieces_than_a_request_takes_go_through_the_buffer(void **state)
{
    struct rig rig = rig_new(NULL);

    two_byte_pieces(&rig, 768); /* three sectors, 256 pieces each; 128 fit */
    bm_start(&rig, 1);
    command28(&rig, ATA_READ_DMA, 0, 77, 3);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_INT);
    for (uint32_t i = 0; i < 768; i++) {
        assert_memory_equal(th_ram(rig.th, BUFFER + 4 * i, 2),
                            th_block_data(rig.disk) + 77 * 512 + 2 * i, 2);
    }
    bm_stop(&rig);
    bm_start(&rig, 0);
    command28(&rig, ATA_WRITE_DMA, 0, 200, 3);
    expect_success(&rig);
    check_pattern(th_block_data(rig.disk) + 200 * 512, 77, 3);
    rig_free(&rig);
}

static void
test_requests_split_at_sector_boundaries(void **state)
{
    struct rig rig = rig_new(NULL);
    const struct th_block_op *log;
    uint32_t count;

    th_block_info(rig.disk)->max_iov = 128;
    for (uint32_t i = 0; i < 512; i++) { /* 300 bytes each: 300 sectors */
        prd(&rig, i, BUFFER + 300 * i, 300 | (i == 511 ? PRD_EOT : 0));
    }
    bm_start(&rig, 1);
    command48(&rig, ATA_READ_DMA_EXT, 500, 300);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_INT);
    check_pattern(th_ram(rig.th, BUFFER, 153600), 500, 300);
    log = th_block_log(rig.disk, &count);
    assert_in_range(count, 4, 6);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(log[i].length % 512, 0);
    }
    rig_free(&rig);
}

static void
test_large_transfers_split_at_the_backends_limit(void **state)
{
    struct rig rig = rig_new(NULL);
    const struct th_block_op *log;
    uint32_t count;

    for (uint32_t i = 0; i < 64; i++) { /* count 0: 64 KiB each, 4 MiB */
        prd(&rig, i, 0x100000 + (i << 16), i == 63 ? PRD_EOT : 0);
    }
    bm_start(&rig, 1);
    command48(&rig, ATA_READ_DMA_EXT, 64, 8192);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_INT);
    check_pattern(th_ram(rig.th, 0x100000, 4 << 20), 64, 8192);
    log = th_block_log(rig.disk, &count);
    assert_int_equal(count, 4);
    assert_int_equal(log[0].length, 1 << 20);
    rig_free(&rig);
}

static void
test_bit_0_of_address_and_count_is_ignored(void **state)
{
    struct rig rig = rig_new(NULL);

    prd(&rig, 0, BUFFER | 1, 513 | PRD_EOT);
    bm_start(&rig, 1);
    command28(&rig, ATA_READ_DMA, 0, 4, 1);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_INT);
    check_pattern(th_ram(rig.th, BUFFER, 512), 4, 1);
    rig_free(&rig);
}

static void
test_descriptors_into_nowhere_set_error_and_stop(void **state)
{
    struct rig rig = rig_new(NULL);

    prd(&rig, 0, 0xe0000000, 512 | PRD_EOT);
    bm_start(&rig, 1);
    command28(&rig, ATA_READ_DMA, 0, 4, 1);
    th_run(rig.th);
    assert_int_equal(bm_status(&rig), BM_ERROR);
    assert_int_equal(irq(&rig), 0);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC);
    bm_stop(&rig);
    assert_int_equal(bm_status(&rig), 0);

    th_bar_write(rig.ide, 4, 4, 4, 0xe0000000); /* the table itself */
    th_bar_write(rig.ide, 4, 0, 1, 1);
    command28(&rig, ATA_WRITE_DMA, 0, 4, 1);
    th_run(rig.th);
    assert_int_equal(bm_status(&rig), BM_ERROR);
    check_pattern(th_block_data(rig.disk) + 4 * 512, 4, 1);
    rig_free(&rig);
}

static void
test_the_end_of_ram_stops_a_transfer_after_what_lies_before(void **state)
{
    struct rig rig = rig_new(NULL);

    prd(&rig, 0, TH_LOW_RAM_BYTES - 1024, 4096 | PRD_EOT);
    bm_start(&rig, 1);
    command28(&rig, ATA_READ_DMA, 0, 60, 8);
    th_run(rig.th);
    assert_int_equal(bm_status(&rig), BM_ERROR);
    check_pattern(th_ram(rig.th, TH_LOW_RAM_BYTES - 1024, 1024), 60, 2);
    rig_free(&rig);
}

static void
test_a_table_without_end_stops_at_its_64_kib_boundary(void **state)
{
    struct rig rig = rig_new(NULL);

    for (uint32_t i = 0; i < 8; i++) { /* two descriptors fit before 20000h */
        th_write(rig.th, 0x1fff0 + 8 * i, 4, 0x40000 + 512 * i);
        th_write(rig.th, 0x1fff0 + 8 * i + 4, 4, 512);
    }
    th_bar_write(rig.ide, 4, 4, 4, 0x1fff0);
    th_bar_write(rig.ide, 4, 0, 1, 9);
    command28(&rig, ATA_READ_DMA, 0, 4, 4);
    th_run(rig.th);
    assert_int_equal(bm_status(&rig), 0);
    check_pattern(th_ram(rig.th, 0x40000, 1024), 4, 2);
    assert_int_equal(th_read(rig.th, 0x40400, 4), 0);
    rig_free(&rig);
}

static void
test_without_mastering_no_memory_is_touched_and_nothing_written(void **state)
{
    struct rig rig = rig_new(NULL);
    uint32_t count;

    th_pci_write(rig.ide, 4, 2, 1);
    prd(&rig, 0, BUFFER, 512 | PRD_EOT);
    memset(th_ram(rig.th, BUFFER, 512), 0xaa, 512);
    bm_start(&rig, 1);
    command28(&rig, ATA_READ_DMA, 0, 4, 1);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_ACTIVE | BM_INT);
    assert_int_equal(th_read(rig.th, BUFFER, 4), 0xaaaaaaaa);
    bm_stop(&rig);
    bm_start(&rig, 0);
    command28(&rig, ATA_WRITE_DMA, 0, 4, 1);
    expect_error(&rig, ATA_ABRT);
    (void)th_block_log(rig.disk, &count);
    assert_int_equal(count, 0);
    rig_free(&rig);
}

static void
test_stopping_in_flight_waits_for_the_request(void **state)
{
    struct rig rig = rig_new(NULL);

    prd(&rig, 0, BUFFER, 1024 | PRD_EOT);
    bm_start(&rig, 1);
    command28(&rig, ATA_READ_DMA, 0, 4, 1);
    th_bar_write(rig.ide, 4, 0, 1, 0);
    assert_int_equal(bm_status(&rig), BM_ACTIVE);
    th_run(rig.th);
    assert_int_equal(bm_status(&rig), BM_INT);
    check_pattern(th_ram(rig.th, BUFFER, 512), 4, 1);
    rig_free(&rig);
}

static void
test_stopping_before_a_command_makes_it_wait_for_the_next_start(void **state)
{
    struct rig rig = rig_new(NULL);

    prd(&rig, 0, BUFFER, 512 | PRD_EOT);
    bm_start(&rig, 1);
    assert_int_equal(bm_status(&rig), BM_ACTIVE);
    th_bar_write(rig.ide, 4, 0, 1, 0);
    assert_int_equal(bm_status(&rig), 0);
    command28(&rig, ATA_READ_DMA, 0, 4, 1);
    th_run(rig.th);
    assert_int_equal(alt_status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    bm_start(&rig, 1);
    expect_success(&rig);
    rig_free(&rig);
}

static void
test_registers_keep_what_they_should(void **state)
{
    struct rig rig = rig_new(NULL);

    th_bar_write(rig.ide, 4, 2, 1, 0xff); /* drive bits kept, simplex and active read-only */
    assert_int_equal(bm_status(&rig), 0x60);
    th_bar_write(rig.ide, 4, 2, 1, 0x20);
    assert_int_equal(bm_status(&rig), 0x20);
    th_bar_write(rig.ide, 4, 0, 1, 0xf8);
    assert_int_equal(th_bar_read(rig.ide, 4, 0, 1), 8);
    th_bar_write(rig.ide, 4, 12, 4, 0xffffffff);
    assert_int_equal(th_bar_read(rig.ide, 4, 12, 4), 0xfffffffc);
    th_bar_write(rig.ide, 4, 14, 2, 0x1234);
    assert_int_equal(th_bar_read(rig.ide, 4, 12, 4), 0x1234fffc);
    assert_int_equal(th_bar_read(rig.ide, 4, 4, 4), 0);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    th_pci_place(rig.ide); /* the reset took the BAR's address away */
    assert_int_equal(th_bar_read(rig.ide, 4, 12, 4), 0);
    rig_free(&rig);
}

static void
test_channels_transfer_at_the_same_time(void **state)
{
    struct rig rig = rig_new_two(1, 0);
    struct rig second = rig;

    rig_channel(&second, 1);
    fill_pattern(th_block_data(rig.other), 100000, 64);
    th_block_hold(rig.disk, 1);
    prd(&rig, 0, BUFFER, 512 | PRD_EOT);
    bm_start(&rig, 1);
    command28(&rig, ATA_READ_DMA, 0, 4, 1);
    th_run(rig.th);
    th_write(rig.th, 0x11000, 4, BUFFER + 0x1000);
    th_write(rig.th, 0x11004, 4, 512 | PRD_EOT);
    th_bar_write(rig.ide, 4, 12, 4, 0x11000);
    th_bar_write(rig.ide, 4, 8, 1, 9);
    command28(&second, ATA_READ_DMA, 0, 9, 1);
    expect_success(&second);
    assert_int_equal(irq(&rig), 0);
    check_pattern(th_ram(rig.th, BUFFER + 0x1000, 512), 100009, 1);
    th_block_release(rig.disk, 1, 0);
    expect_success(&rig);
    check_pattern(th_ram(rig.th, BUFFER, 512), 4, 1);
    rig_free(&rig);
}

/* Every size of table against every size of transfer: the truth table of Bus Master IDE 1.0,
 * 3.1. */
static void
test_the_truth_table_holds_for_all_sizes(void **state)
{
    struct rig rig = rig_new(NULL);

    for (uint32_t sectors = 1; sectors <= 256; sectors *= 2) {
        for (uint32_t size = 0; size < 65536; size += 3840) {
            uint32_t bytes = size == 0 ? 65536 : size;
            uint32_t want = bytes < sectors * 512    ? 0
                            : bytes == sectors * 512 ? BM_INT
                                                     : BM_ACTIVE | BM_INT;
            prd(&rig, 0, BUFFER, size | PRD_EOT);
            bm_start(&rig, 1);
            command28(&rig, ATA_READ_DMA, 0, 0, (uint8_t)sectors);
            th_run(rig.th);
            assert_int_equal(bm_status(&rig), want);
            assert_int_equal(irq(&rig), want != 0);
            assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC);
            bm_stop(&rig);
        }
    }
    rig_free(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_table_of_the_right_length_ends_with_interrupt_and_no_active),
        cmocka_unit_test(test_started_before_the_command_it_works_too),
        cmocka_unit_test(test_a_longer_table_leaves_active_set),
        cmocka_unit_test(test_a_shorter_table_ends_without_interrupt_and_active),
        cmocka_unit_test(test_pieces_of_odd_sizes_need_no_copy),
        cmocka_unit_test(test_more_pieces_than_a_request_takes_go_through_the_buffer),
        cmocka_unit_test(test_requests_split_at_sector_boundaries),
        cmocka_unit_test(test_large_transfers_split_at_the_backends_limit),
        cmocka_unit_test(test_bit_0_of_address_and_count_is_ignored),
        cmocka_unit_test(test_descriptors_into_nowhere_set_error_and_stop),
        cmocka_unit_test(test_the_end_of_ram_stops_a_transfer_after_what_lies_before),
        cmocka_unit_test(test_a_table_without_end_stops_at_its_64_kib_boundary),
        cmocka_unit_test(test_without_mastering_no_memory_is_touched_and_nothing_written),
        cmocka_unit_test(test_stopping_in_flight_waits_for_the_request),
        cmocka_unit_test(test_stopping_before_a_command_makes_it_wait_for_the_next_start),
        cmocka_unit_test(test_registers_keep_what_they_should),
        cmocka_unit_test(test_channels_transfer_at_the_same_time),
        cmocka_unit_test(test_the_truth_table_holds_for_all_sizes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
