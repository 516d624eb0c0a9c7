/* SPDX-License-Identifier: Apache-2.0 */
/* PIO: single and multiple, all addressing, widths, limits. */
#include "ide_test.h"

#include <stdlib.h>

static uint8_t scratch[70000u * 16];

static void
test_read_sectors_delivers_each_sector_after_an_interrupt(void **state)
{
    struct rig rig = rig_new(NULL);

    command28(&rig, ATA_READ_SECTORS, 0, 100, 3);
    assert_int_equal(alt_status(&rig) & ATA_BSY, ATA_BSY);
    th_run(rig.th);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(irq(&rig), 1);
        assert_int_equal(alt_status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
        assert_int_equal(irq(&rig), 1); /* Alternate Status acknowledges nothing */
        assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
        assert_int_equal(irq(&rig), 0);
        data_in(&rig, scratch, 512);
        check_pattern(scratch, 100 + i, 1);
    }
    assert_int_equal(irq(&rig), 0);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC);
    assert_int_equal(get(&rig, ATA_REG_LOW), 102);
    assert_int_equal(get(&rig, ATA_REG_COUNT), 0);
    rig_free(&rig);
}

static void
test_a_command_of_256_sectors_is_one_request(void **state)
{
    struct rig rig = rig_new(NULL);
    uint32_t count;

    command28(&rig, ATA_READ_SECTORS_ONCE, 0, 0, 0);
    th_run(rig.th);
    for (uint32_t i = 0; i < 256; i++) {
        assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
        data_in(&rig, scratch, 512);
        check_pattern(scratch, i, 1);
    }
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC);
    (void)th_block_log(rig.disk, &count);
    assert_int_equal(count, 1);
    rig_free(&rig);
}

static void
test_write_sectors_interrupts_after_each_block_but_not_before_the_first(void **state)
{
    struct rig rig = rig_new(NULL);

    memset(scratch, 0x5a, 1024);
    command28(&rig, ATA_WRITE_SECTORS, 0, 7, 2);
    assert_int_equal(irq(&rig), 0);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    data_out(&rig, scratch, 512);
    assert_int_equal(irq(&rig), 1);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    data_out(&rig, scratch + 512, 512);
    assert_int_equal(alt_status(&rig) & ATA_BSY, ATA_BSY);
    expect_success(&rig);
    assert_memory_equal(th_block_data(rig.disk) + 7 * 512, scratch, 1024);
    check_pattern(th_block_data(rig.disk) + 9 * 512, 9, 1);
    rig_free(&rig);
}

static void
test_lba48_moves_65536_sectors_for_count_0(void **state)
{
    struct rig rig = rig_new(NULL);

    command48(&rig, ATA_READ_SECTORS_EXT, 0, 0); /* 65536 sectors of a disk of 20480 */
    expect_error(&rig, ATA_IDNF | ATA_ABRT);
    command48(&rig, ATA_READ_SECTORS_EXT, 0, 1000);
    th_run(rig.th);
    for (uint32_t i = 0; i < 1000; i++) {
        th_run(rig.th);
        assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
        data_in(&rig, scratch, 512);
        check_pattern(scratch, i, 1);
    }
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC);
    rig_free(&rig);
}

static void
test_multiple_moves_blocks_and_a_shorter_last_one(void **state)
{
    struct rig rig = rig_new(NULL);
    static const uint32_t blocks[] = {8, 8, 3};
    uint32_t at = 40;

    command_plain(&rig, ATA_SET_MULTIPLE_MODE, 0, 8);
    expect_success(&rig);
    command28(&rig, ATA_READ_MULTIPLE, 0, at, 19);
    th_run(rig.th);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(irq(&rig), 1);
        assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
        data_in(&rig, scratch, blocks[i] * 512);
        check_pattern(scratch, at, blocks[i]);
        at += blocks[i];
    }
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC);

    fill_pattern(scratch, 7777, 19);
    command48(&rig, ATA_WRITE_MULTIPLE_EXT, 1000, 19);
    for (uint32_t i = 0, done = 0; i < 3; i++) {
        assert_int_equal(irq(&rig), i != 0);
        assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
        data_out(&rig, scratch + done * 512, blocks[i] * 512);
        done += blocks[i];
    }
    expect_success(&rig);
    check_pattern(th_block_data(rig.disk) + 1000 * 512, 7777, 19);
    rig_free(&rig);
}

static void
test_multiple_without_a_block_size_is_aborted(void **state)
{
    struct rig rig = rig_new(NULL);
    static const uint8_t bad[] = {3, 17, 32, 255};

    for (uint32_t i = 0; i < sizeof(bad); i++) {
        command_plain(&rig, ATA_SET_MULTIPLE_MODE, 0, bad[i]);
        expect_error(&rig, ATA_ABRT);
    }
    command_plain(&rig, ATA_SET_MULTIPLE_MODE, 0, 0);
    expect_success(&rig);
    command28(&rig, ATA_READ_MULTIPLE, 0, 0, 1);
    expect_error(&rig, ATA_ABRT);
    command28(&rig, ATA_WRITE_MULTIPLE, 0, 0, 1);
    expect_error(&rig, ATA_ABRT);
    rig_free(&rig);
}

static void
test_chs_addresses_follow_the_translation(void **state)
{
    struct rig rig = rig_new(NULL);

    command_plain(&rig, ATA_INIT_DEVICE_PARAMETERS, 0, 63); /* no sector: heads from Device */
    (void)status(&rig);
    put(&rig, ATA_REG_DEVICE, 0xa3); /* four heads */
    command_plain(&rig, ATA_INIT_DEVICE_PARAMETERS, 0, 17);
    expect_success(&rig);
    put(&rig, ATA_REG_DEVICE, 0xa2); /* head 2 */
    put(&rig, ATA_REG_COUNT, 1);
    put(&rig, ATA_REG_LOW, 5);
    put(&rig, ATA_REG_MID, 10);
    put(&rig, ATA_REG_HIGH, 0);
    put(&rig, ATA_REG_STATUS, ATA_READ_SECTORS);
    th_run(rig.th);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    data_in(&rig, scratch, 512);
    check_pattern(scratch, (10 * 4 + 2) * 17 + 4, 1);
    assert_int_equal(get(&rig, ATA_REG_LOW), 5);
    assert_int_equal(get(&rig, ATA_REG_MID), 10);
    assert_int_equal(get(&rig, ATA_REG_DEVICE), 0xa2);
    rig_free(&rig);
}

static void
chs_fails(struct rig *rig, uint8_t device, uint8_t sector, uint16_t cylinder)
{
    put(rig, ATA_REG_DEVICE, device);
    put(rig, ATA_REG_COUNT, 1);
    put(rig, ATA_REG_LOW, sector);
    put(rig, ATA_REG_MID, (uint8_t)cylinder);
    put(rig, ATA_REG_HIGH, (uint8_t)(cylinder >> 8));
    put(rig, ATA_REG_STATUS, ATA_READ_SECTORS);
    expect_error(rig, ATA_IDNF | ATA_ABRT);
}

static void
test_addresses_outside_are_refused_before_any_request(void **state)
{
    struct rig rig = rig_new(NULL);
    uint32_t count;

    chs_fails(&rig, 0xa0, 0, 0); /* sectors count from 1 */
    chs_fails(&rig, 0xa0, 64, 0);
    chs_fails(&rig, 0xa0, 1, 20); /* 20480 / (16 * 63) = 20 cylinders */
    put(&rig, ATA_REG_DEVICE, 0xa3);
    command_plain(&rig, ATA_INIT_DEVICE_PARAMETERS, 0, 63);
    expect_success(&rig);
    chs_fails(&rig, 0xa4, 1, 0); /* four heads */
    command28(&rig, ATA_READ_SECTORS, 0, DISK_SECTORS, 1);
    expect_error(&rig, ATA_IDNF | ATA_ABRT);
    command28(&rig, ATA_WRITE_SECTORS, 0, DISK_SECTORS - 1, 2);
    expect_error(&rig, ATA_IDNF | ATA_ABRT);
    assert_int_equal(get(&rig, ATA_REG_LOW), DISK_SECTORS & 0xff); /* the first that is missing */
    assert_int_equal(get(&rig, ATA_REG_MID), DISK_SECTORS >> 8);
    command48(&rig, ATA_READ_DMA_EXT, UINT64_C(0xffffffffffff), 1);
    expect_error(&rig, ATA_IDNF | ATA_ABRT);
    command28(&rig, ATA_SEEK, 0, DISK_SECTORS, 0);
    expect_error(&rig, ATA_IDNF | ATA_ABRT);
    (void)th_block_log(rig.disk, &count);
    assert_int_equal(count, 0);
    rig_free(&rig);
}

static void
test_every_width_reads_the_same_bytes(void **state)
{
    struct rig rig = rig_new(NULL);

    for (uint32_t width = 1; width <= 4; width *= 2) {
        command28(&rig, ATA_READ_SECTORS, 0, 33, 1);
        th_run(rig.th);
        (void)status(&rig);
        for (uint32_t i = 0; i < 512; i += width) {
            uint32_t value = (uint32_t)th_in(rig.th, rig.base, width);
            memcpy(scratch + i, &value, width);
        }
        check_pattern(scratch, 33, 1);
        assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC);
    }
    rig_free(&rig);
}

static void
test_string_input_past_the_data_reads_zeroes_and_stops(void **state)
{
    struct rig rig = rig_new(NULL);

    command28(&rig, ATA_READ_SECTORS, 0, 5, 1);
    th_run(rig.th);
    (void)status(&rig);
    memset(scratch, 0xee, 4096);
    th_ins(rig.th, rig.base, 4, 1024, scratch);
    check_pattern(scratch, 5, 1);
    for (uint32_t i = 512; i < 4096; i++) {
        assert_int_equal(scratch[i], 0);
    }
    command28(&rig, ATA_WRITE_SECTORS, 0, 5, 1);
    memset(scratch, 0xee, 4096);
    th_outs(rig.th, rig.base, 4, 1024, scratch);
    expect_success(&rig);
    check_pattern(th_block_data(rig.disk) + 6 * 512, 6, 1);
    rig_free(&rig);
}

static void
test_data_out_during_a_read_is_ignored(void **state)
{
    struct rig rig = rig_new(NULL);

    command28(&rig, ATA_READ_SECTORS, 0, 5, 1);
    th_run(rig.th);
    (void)status(&rig);
    th_out(rig.th, rig.base, 2, 0xffff);
    data_in(&rig, scratch, 512);
    check_pattern(scratch, 5, 1);
    assert_int_equal(th_in(rig.th, rig.base, 2), 0);
    rig_free(&rig);
}

static void
test_verify_reads_and_transfers_nothing(void **state)
{
    struct rig rig = rig_new(NULL);
    const struct th_block_op *log;
    uint32_t count;

    command28(&rig, ATA_VERIFY, 0, 10, 0);
    expect_success(&rig);
    command48(&rig, ATA_VERIFY_EXT, 0, 600);
    expect_success(&rig);
    log = th_block_log(rig.disk, &count);
    assert_int_equal(count, 4);
    assert_int_equal(log[0].length, 256 * 512);
    assert_int_equal(log[3].length, 88 * 512);
    rig_free(&rig);
}

static void
test_writes_without_cache_are_durable_at_completion(void **state)
{
    struct rig rig = rig_new("write_cache = false;");

    for (uint32_t fua = 0; fua < 2; fua++) {
        if (!fua) { /* a backend that cannot: a flush before completion */
            th_block_info(rig.disk)->flags &= ~BP_BLOCK_CAN_FUA;
        } else {
            th_block_info(rig.disk)->flags |= BP_BLOCK_CAN_FUA;
        }
        th_block_send_event(rig.disk, BP_BLOCK_EVENT_RESIZED);
        th_run(rig.th);
        memset(scratch, 0x11 + (int)fua, 512);
        command28(&rig, ATA_WRITE_SECTORS, 0, 3, 1);
        data_out(&rig, scratch, 512);
        expect_success(&rig);
        assert_memory_equal(th_block_durable(rig.disk) + 3 * 512, scratch, 512);
    }
    command_plain(&rig, ATA_SET_FEATURES, 0x02, 0);
    expect_success(&rig);
    command28(&rig, ATA_WRITE_SECTORS, 0, 4, 1);
    data_out(&rig, scratch, 512);
    expect_success(&rig);
    assert_memory_not_equal(th_block_durable(rig.disk) + 4 * 512, scratch, 512);
    command_plain(&rig, ATA_FLUSH_CACHE, 0, 0);
    expect_success(&rig);
    assert_memory_equal(th_block_durable(rig.disk) + 4 * 512, scratch, 512);
    rig_free(&rig);
}

static void
test_fua_and_verifying_writes_are_durable_with_the_cache_on(void **state)
{
    struct rig rig = rig_new(NULL);

    memset(scratch, 0x77, 1024);
    command48(&rig, ATA_WRITE_MULTIPLE_FUA_EXT, 20, 1);
    data_out(&rig, scratch, 512);
    expect_success(&rig);
    command28(&rig, ATA_WRITE_VERIFY, 0, 21, 1);
    data_out(&rig, scratch, 512);
    expect_success(&rig);
    assert_memory_equal(th_block_durable(rig.disk) + 20 * 512, scratch, 1024);
    rig_free(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_sectors_delivers_each_sector_after_an_interrupt),
        cmocka_unit_test(test_a_command_of_256_sectors_is_one_request),
        cmocka_unit_test(test_write_sectors_interrupts_after_each_block_but_not_before_the_first),
        cmocka_unit_test(test_lba48_moves_65536_sectors_for_count_0),
        cmocka_unit_test(test_multiple_moves_blocks_and_a_shorter_last_one),
        cmocka_unit_test(test_multiple_without_a_block_size_is_aborted),
        cmocka_unit_test(test_chs_addresses_follow_the_translation),
        cmocka_unit_test(test_addresses_outside_are_refused_before_any_request),
        cmocka_unit_test(test_every_width_reads_the_same_bytes),
        cmocka_unit_test(test_string_input_past_the_data_reads_zeroes_and_stops),
        cmocka_unit_test(test_data_out_during_a_read_is_ignored),
        cmocka_unit_test(test_verify_reads_and_transfers_nothing),
        cmocka_unit_test(test_writes_without_cache_are_durable_at_completion),
        cmocka_unit_test(test_fua_and_verifying_writes_are_durable_with_the_cache_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
