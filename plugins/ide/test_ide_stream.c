/* SPDX-License-Identifier: Apache-2.0 */
/* Streaming commands: data, the limit of time, errors that are gone on after, their logs. */
#include "ide_test.h"

#include <stdlib.h>

#define CONTINUE 0x40u
#define FLUSH    0x20u
#define SE       0x20u
#define CCTO     0x01u
#define UNIT_NS  (UINT64_C(10000) * 1000)

/* A streaming command; limit in units of 10 ms, 0: the stream's own. */
static void
stream(struct rig *rig, uint8_t opcode, uint8_t features, uint8_t limit, uint64_t lba,
       uint16_t count)
{
    put(rig, ATA_REG_ERROR, limit);
    put(rig, ATA_REG_ERROR, features);
    command48(rig, opcode, lba, count);
}

static void
configure(struct rig *rig, uint8_t features, uint8_t limit)
{
    put(rig, ATA_REG_ERROR, limit);
    put(rig, ATA_REG_ERROR, features);
    put(rig, ATA_REG_STATUS, ATA_CONFIGURE_STREAM);
}

/* The end of a command that interrupts: Status and Error. Its bit 4 says that no write was deferred
 * and failed. */
static void
expect_end(struct rig *rig, uint8_t bits, uint8_t error)
{
    th_run(rig->th);
    assert_int_equal(irq(rig), 1);
    assert_int_equal(status(rig), ATA_DRDY | bits);
    assert_int_equal(get(rig, ATA_REG_ERROR), error);
}

static uint64_t
address(struct rig *rig)
{
    uint64_t low, high;

    low = get(rig, ATA_REG_LOW) | get(rig, ATA_REG_MID) << 8 | get(rig, ATA_REG_HIGH) << 16;
    th_out(rig->th, rig->control, 1, ATA_CONTROL_HOB);
    high = get(rig, ATA_REG_LOW) | get(rig, ATA_REG_MID) << 8 | get(rig, ATA_REG_HIGH) << 16;
    th_out(rig->th, rig->control, 1, 0);
    return low | high << 24;
}

/* One entry of the log of reads or writes; how many errors it counts. */
static uint32_t
read_log(struct rig *rig, uint8_t number, uint32_t entry, uint8_t bytes[16])
{
    uint8_t page[512];

    log_command(rig, ATA_READ_LOG_EXT, number, 0, 1);
    read_blocks(rig, page, 1);
    assert_int_equal(page[0], 2);
    memcpy(bytes, page + (size_t)16 * (entry != 0 ? entry : page[1]), 16);
    return page[2] | (uint32_t)page[3] << 8;
}

static void
test_streams_are_added_and_removed(void **state)
{
    struct rig rig = rig_new(NULL);
    uint16_t id[256];

    configure(&rig, 0x03, 0);
    expect_error(&rig, ATA_ABRT); /* not there */
    configure(&rig, 0x83, 5);
    expect_success(&rig);
    identify(&rig, id);
    assert_int_equal(id[84] & 0x0610, 0x0610);
    assert_int_equal(id[87] & 0x0610, 0x0610);
    assert_int_equal(id[95], 8);
    assert_int_equal(id[98] | id[99] << 16, 10000);
    configure(&rig, 0x03, 0);
    expect_success(&rig);
    configure(&rig, 0x87, 0);
    expect_success(&rig);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    identify(&rig, id);
    assert_int_equal(id[87] & 0x0610, 0x0600);
    rig_free(&rig);
}

static void
test_a_stream_moves_data_by_pio_and_dma(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t data[1024];
    const struct th_block_op *log;
    uint32_t count;

    stream(&rig, ATA_READ_STREAM_EXT, 0x01, 10, 77, 2);
    th_run(rig.th);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(irq(&rig), 1);
        assert_int_equal(status(&rig), ATA_DRDY | ATA_DRQ);
        data_in(&rig, data + (size_t)512 * i, 512);
    }
    assert_int_equal(status(&rig), ATA_DRDY);
    check_pattern(data, 77, 2);
    stream(&rig, ATA_WRITE_STREAM_EXT, 0, 0, 300, 2);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DRQ);
    data_out(&rig, data, 512);
    (void)status(&rig);
    data_out(&rig, data + 512, 512);
    expect_end(&rig, 0, 0);
    check_pattern(th_block_data(rig.disk) + (size_t)300 * 512, 77, 2);
    prd(&rig, 0, BUFFER, 1024 | PRD_EOT);
    bm_start(&rig, 1);
    stream(&rig, ATA_READ_STREAM_DMA_EXT, 0, 0, 300, 2);
    expect_end(&rig, 0, 0);
    assert_int_equal(bm_status(&rig), BM_INT);
    check_pattern(th_ram(rig.th, BUFFER, 1024), 77, 2);
    bm_stop(&rig);
    th_block_log_clear(rig.disk);
    bm_start(&rig, 0);
    stream(&rig, ATA_WRITE_STREAM_DMA_EXT, FLUSH, 0, 400, 2);
    expect_end(&rig, 0, 0);
    log = th_block_log(rig.disk, &count);
    assert_int_equal(count, 2);
    assert_int_equal(log[1].op, BP_BLOCK_FLUSH);
    check_pattern(th_block_data(rig.disk) + (size_t)400 * 512, 77, 2);
    bm_stop(&rig);
    command28(&rig, ATA_VERIFY, 0, 0, 1); /* the next command has its usual status */
    expect_success(&rig);
    rig_free(&rig);
}

static void
test_an_error_ends_a_stream_that_does_not_go_on(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t entry[16];

    for (uint32_t i = 0; i < 3; i++) { /* 4, 2, 1 sectors */
        th_block_fail(rig.disk, BP_BLOCK_READ, 0, -EIO, 0);
    }
    prd(&rig, 0, BUFFER, 2048 | PRD_EOT);
    bm_start(&rig, 1);
    stream(&rig, ATA_READ_STREAM_DMA_EXT, 0, 0, 1000, 4);
    expect_end(&rig, ATA_ERR, ATA_UNC);
    assert_int_equal(address(&rig), 1000);
    assert_int_equal(get(&rig, ATA_REG_COUNT), 1);
    assert_int_equal(read_log(&rig, 0x22, 1, entry), 0); /* only what was gone on after */
    stream(&rig, ATA_READ_STREAM_EXT, 0, 0, DISK_SECTORS - 1, 3);
    expect_end(&rig, ATA_ERR, ATA_IDNF | ATA_ABRT);
    assert_int_equal(address(&rig), DISK_SECTORS);
    assert_int_equal(get(&rig, ATA_REG_COUNT), 2);
    rig_free(&rig);
}

static void
test_a_continuous_read_delivers_everything_and_logs_the_error(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t data[2048], entry[16];

    /* sectors 101 and 102 of 100 to 103: 4 fail, 2 fail, 1 passes, 1 fails, 2 fail, 1 fails, 1 */
    th_block_fail(rig.disk, BP_BLOCK_READ, 0, -EIO, 0);
    th_block_fail(rig.disk, BP_BLOCK_READ, 1, -EIO, 0);
    th_block_fail(rig.disk, BP_BLOCK_READ, 3, -EIO, 0);
    th_block_fail(rig.disk, BP_BLOCK_READ, 4, -EIO, 0);
    th_block_fail(rig.disk, BP_BLOCK_READ, 5, -EIO, 0);
    stream(&rig, ATA_READ_STREAM_EXT, CONTINUE | 2, 9, 100, 4);
    th_run(rig.th);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(status(&rig), ATA_DRDY | ATA_DRQ);
        data_in(&rig, data + (size_t)512 * i, 512);
    }
    assert_int_equal(status(&rig), ATA_DRDY | SE);
    assert_int_equal(get(&rig, ATA_REG_ERROR), 0);
    assert_int_equal(address(&rig), 101);
    assert_int_equal(get(&rig, ATA_REG_COUNT), 2);
    check_pattern(data, 100, 1);
    check_pattern(data + 1536, 103, 1);
    for (uint32_t i = 512; i < 1536; i++) {
        assert_int_equal(data[i], 0);
    }
    assert_int_equal(read_log(&rig, 0x22, 0, entry), 1);
    assert_memory_equal(
        entry, ((uint8_t[16]){CONTINUE | 2, 9, 0x60, ATA_UNC, 101, 0, 0, 0, 0, 0, 0, 0, 2}), 16);
    assert_int_equal(read_log(&rig, 0x22, 1, entry), 0); /* it is told once */
    rig_free(&rig);
}

static void
test_a_continuous_write_leaves_out_the_bad_sector(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t entry[16];

    /* the first of two sectors */
    th_block_fail(rig.disk, BP_BLOCK_WRITE, 0, -EIO, 0);
    th_block_fail(rig.disk, BP_BLOCK_WRITE, 0, -EIO, 0);
    fill_pattern(th_ram(rig.th, BUFFER, 1024), 9000, 2);
    prd(&rig, 0, BUFFER, 1024 | PRD_EOT);
    bm_start(&rig, 0);
    stream(&rig, ATA_WRITE_STREAM_DMA_EXT, CONTINUE, 0, 500, 2);
    expect_end(&rig, SE, 0);
    assert_int_equal(bm_status(&rig), BM_INT);
    check_pattern(th_block_data(rig.disk) + (size_t)500 * 512, 500, 1);
    check_pattern(th_block_data(rig.disk) + (size_t)501 * 512, 9001, 1);
    assert_int_equal(read_log(&rig, 0x22, 1, entry), 0);
    assert_int_equal(read_log(&rig, 0x21, 0, entry), 1);
    assert_int_equal(entry[3], ATA_ABRT);
    assert_int_equal(entry[4] | entry[5] << 8, 500);
    assert_int_equal(entry[12], 1);
    rig_free(&rig);
}

static void
test_the_log_has_the_newest_31_errors_and_counts_all(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t page[512], entry[16];

    for (uint32_t i = 0; i < 33; i++) { /* beyond the end: no data moves */
        stream(&rig, ATA_READ_STREAM_EXT, CONTINUE, 0, DISK_SECTORS + i, 1);
        expect_end(&rig, SE, 0);
    }
    prd(&rig, 0, BUFFER, 512 | PRD_EOT);
    bm_start(&rig, 1);
    log_command(&rig, ATA_READ_LOG_DMA_EXT, 0x22, 0, 1);
    expect_success(&rig);
    bm_stop(&rig);
    memcpy(page, th_ram(rig.th, BUFFER, 512), 512);
    assert_int_equal(page[1], 2);
    assert_int_equal(page[2], 33);
    assert_int_equal(page[16 + 4] | page[16 + 5] << 8, DISK_SECTORS + 31);
    assert_int_equal(page[32 + 4] | page[32 + 5] << 8, DISK_SECTORS + 32);
    assert_int_equal(page[48 + 4] | page[48 + 5] << 8, DISK_SECTORS + 2);
    assert_int_equal(page[16 + 3], ATA_IDNF | ATA_ABRT);
    assert_int_equal(read_log(&rig, 0x22, 1, entry), 0);
    rig_free(&rig);
}

static void
test_a_log_that_was_not_read_to_its_end_is_kept(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t page[512], entry[16];

    stream(&rig, ATA_WRITE_STREAM_EXT, CONTINUE, 0, DISK_SECTORS, 1);
    expect_end(&rig, SE, 0);
    log_command(&rig, ATA_READ_LOG_EXT, 0x21, 0, 1);
    data_in(&rig, page, 510);
    th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST);
    th_out(rig.th, rig.control, 1, 0);
    assert_int_equal(read_log(&rig, 0x21, 0, entry), 1);
    stream(&rig, ATA_WRITE_STREAM_EXT, CONTINUE, 0, DISK_SECTORS, 1);
    expect_end(&rig, SE, 0);
    th_reset(rig.ide, BP_RESET_SYSTEM); /* but a hardware reset empties it */
    assert_int_equal(read_log(&rig, 0x21, 1, entry), 0);
    rig_free(&rig);
}

static void
test_a_request_that_takes_too_long_is_given_up(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t entry[16];

    prd(&rig, 0, BUFFER, 1024 | PRD_EOT);
    for (uint32_t go_on = 0; go_on < 2; go_on++) {
        th_block_hold(rig.disk, 1);
        bm_start(&rig, 1);
        stream(&rig, ATA_READ_STREAM_DMA_EXT, go_on ? CONTINUE : 0, 3, 64, 2);
        th_clock_step(rig.th, 3 * UNIT_NS - 1);
        assert_int_equal(alt_status(&rig) & ATA_BSY, ATA_BSY);
        th_clock_step(rig.th, 1);
        th_block_hold(rig.disk, 0); /* whatever becomes of it */
        expect_end(&rig, go_on ? SE : ATA_ERR, go_on ? 0 : CCTO);
        assert_int_equal(address(&rig), 64);
        assert_int_equal(get(&rig, ATA_REG_COUNT), 2);
        bm_stop(&rig);
        assert_int_equal(read_log(&rig, 0x22, 1, entry), go_on);
    }
    assert_int_equal(entry[3], CCTO);
    bm_start(&rig, 1);
    stream(&rig, ATA_READ_STREAM_DMA_EXT, 0, 3, 64, 2);
    expect_end(&rig, 0, 0);
    rig_free(&rig);
}

static void
test_a_host_that_takes_too_long_is_not_waited_for(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t data[1024] = {0};

    configure(&rig, 0x85, 2);
    expect_success(&rig);
    stream(&rig, ATA_READ_STREAM_EXT, 5, 0, 64, 3); /* the stream's limit */
    th_run(rig.th);
    (void)status(&rig);
    data_in(&rig, data, 700);
    th_clock_step(rig.th, 2 * UNIT_NS);
    expect_end(&rig, ATA_ERR, CCTO);
    assert_int_equal(address(&rig), 65);
    assert_int_equal(get(&rig, ATA_REG_COUNT), 2);
    stream(&rig, ATA_WRITE_STREAM_EXT, 5, 1, 64, 2); /* its own is shorter */
    data_out(&rig, data, 512);
    th_clock_step(rig.th, UNIT_NS);
    expect_end(&rig, ATA_ERR, CCTO);
    assert_int_equal(address(&rig), 64);
    check_pattern(th_block_data(rig.disk) + (size_t)64 * 512, 64, 2);
    stream(&rig, ATA_READ_STREAM_DMA_EXT, 5, 1, 64, 2); /* never started */
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DRQ);
    th_clock_step(rig.th, UNIT_NS);
    expect_end(&rig, ATA_ERR, CCTO);
    stream(&rig, ATA_READ_STREAM_EXT, 4, 0, 64, 1); /* without a limit */
    th_clock_step(rig.th, 1000 * UNIT_NS);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DRQ);
    data_in(&rig, data, 512);
    check_pattern(data, 64, 1);
    rig_free(&rig);
}

static void
test_time_is_up_for_what_a_quiesce_holds(void **state)
{
    struct rig rig = rig_new(NULL);

    prd(&rig, 0, BUFFER, 1024 | PRD_EOT);
    assert_int_equal(th_quiesce(rig.ide), 0);
    bm_start(&rig, 1);
    stream(&rig, ATA_READ_STREAM_DMA_EXT, 0, 1, 64, 2);
    th_clock_step(rig.th, UNIT_NS);
    assert_int_equal(alt_status(&rig) & ATA_BSY, ATA_BSY);
    th_resume(rig.ide);
    expect_end(&rig, ATA_ERR, CCTO);
    rig_free(&rig);
}

static void
test_a_flush_that_fails_is_an_error_of_the_stream(void **state)
{
    struct rig rig = rig_new("on_write_error = \"report\";");

    th_block_fail(rig.disk, BP_BLOCK_FLUSH, 0, -EIO, 0);
    prd(&rig, 0, BUFFER, 512 | PRD_EOT);
    bm_start(&rig, 0);
    stream(&rig, ATA_WRITE_STREAM_DMA_EXT, CONTINUE | FLUSH, 0, 64, 1);
    expect_end(&rig, SE, 0);
    rig_free(&rig);
}

static void
test_a_short_table_ends_a_stream(void **state)
{
    struct rig rig = rig_new(NULL);

    prd(&rig, 0, BUFFER, 510 | PRD_EOT);
    bm_start(&rig, 1);
    stream(&rig, ATA_READ_STREAM_DMA_EXT, 0, 1, 64, 1);
    th_run(rig.th);
    assert_int_equal(irq(&rig), 0);
    assert_int_equal(bm_status(&rig), 0);
    assert_int_equal(status(&rig), ATA_DRDY);
    th_clock_step(rig.th, UNIT_NS); /* nobody is surprised */
    assert_int_equal(irq(&rig), 0);
    rig_free(&rig);
}

static void
test_speed_is_told_by_log_20h(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t page[512];

    log_command(&rig, ATA_READ_LOG_EXT, 0x20, 0, 1);
    read_blocks(&rig, page, 1);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(page[i], i & 1 ? 0 : 2);
    }
    assert_int_equal(page[14], 66);
    assert_int_equal(page[16] | page[17] << 8, DISK_SECTORS - 1);
    assert_int_equal(page[22], 66);
    assert_int_equal(page[38] | page[39] << 8, 32767);
    assert_int_equal(page[47], 1);
    command_plain(&rig, ATA_SET_FEATURES, 0x43, 0); /* the host's own speed */
    expect_success(&rig);
    rig_free(&rig);
}

static void
test_a_stream_is_saved_in_its_middle_with_its_errors(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t data[1024], entry[16], *saved = NULL;
    uint64_t length = 0;

    configure(&rig, 0x86, 0);
    expect_success(&rig);
    /* the first of two sectors is bad */
    th_block_fail(rig.disk, BP_BLOCK_READ, 0, -EIO, 0);
    th_block_fail(rig.disk, BP_BLOCK_READ, 0, -EIO, 0);
    stream(&rig, ATA_READ_STREAM_EXT, CONTINUE, 0, 64, 2);
    th_run(rig.th);
    (void)status(&rig);
    data_in(&rig, data, 600);
    assert_int_equal(th_save(rig.ide, &saved, &length), 0);
    rig_free(&rig);
    rig = rig_new(NULL);
    assert_int_equal(th_restore(rig.ide, saved, length), 0);
    free(saved);
    assert_int_equal(alt_status(&rig), ATA_DRDY | ATA_DRQ);
    data_in(&rig, data + 600, 424);
    assert_int_equal(status(&rig), ATA_DRDY | SE);
    check_pattern(data + 512, 65, 1);
    assert_int_equal(read_log(&rig, 0x22, 0, entry), 1);
    assert_int_equal(entry[4], 64);
    configure(&rig, 0x06, 0); /* the stream is there */
    expect_success(&rig);
    rig_free(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_are_added_and_removed),
        cmocka_unit_test(test_a_stream_moves_data_by_pio_and_dma),
        cmocka_unit_test(test_an_error_ends_a_stream_that_does_not_go_on),
        cmocka_unit_test(test_a_continuous_read_delivers_everything_and_logs_the_error),
        cmocka_unit_test(test_a_continuous_write_leaves_out_the_bad_sector),
        cmocka_unit_test(test_the_log_has_the_newest_31_errors_and_counts_all),
        cmocka_unit_test(test_a_log_that_was_not_read_to_its_end_is_kept),
        cmocka_unit_test(test_a_request_that_takes_too_long_is_given_up),
        cmocka_unit_test(test_a_host_that_takes_too_long_is_not_waited_for),
        cmocka_unit_test(test_time_is_up_for_what_a_quiesce_holds),
        cmocka_unit_test(test_a_flush_that_fails_is_an_error_of_the_stream),
        cmocka_unit_test(test_a_short_table_ends_a_stream),
        cmocka_unit_test(test_speed_is_told_by_log_20h),
        cmocka_unit_test(test_a_stream_is_saved_in_its_middle_with_its_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
