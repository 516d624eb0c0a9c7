/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords, erasing, logs, buffers by DMA: what the disk keeps beside its sectors. */
#include "ide_test.h"

#include <stdlib.h>

#define HOUR_NS (UINT64_C(3600) * 1000000000)

/* word: identifier and level; the password is one character repeated. */
static void
send_password(struct rig *rig, uint8_t opcode, uint16_t word, char password)
{
    uint8_t block[512] = {(uint8_t)word, (uint8_t)(word >> 8)};

    memset(block + 2, password, 32);
    send_block(rig, opcode, block);
}

static uint16_t
security_word(struct rig *rig)
{
    uint16_t id[256];

    identify(rig, id);
    assert_int_equal(id[85] >> 1 & 1, id[128] >> 1 & 1);
    return id[128];
}

static void
lock(struct rig *rig, uint16_t level)
{
    send_password(rig, ATA_SECURITY_SET_PASSWORD, level, 'u');
    expect_success(rig);
    th_reset(rig->ide, BP_RESET_SYSTEM);
    th_pci_place(rig->ide);
}

static void
test_a_password_locks_at_the_next_reset_and_unlocks(void **state)
{
    struct rig rig = rig_new(NULL);
    static const uint8_t refused[] = {0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x37, 0x39,
                                      0x3c, 0x3d, 0x3f, 0x40, 0x42, 0x57, 0x06, 0xc4, 0xc5,
                                      0xc8, 0xca, 0xce, 0xe7, 0xea, 0xf1, 0xf5, 0xf6, 0xf9};
    uint8_t data[512];
    uint32_t count;

    assert_int_equal(security_word(&rig), 0x0021);
    send_password(&rig, ATA_SECURITY_SET_PASSWORD, 0, 'u');
    expect_success(&rig);
    assert_int_equal(security_word(&rig), 0x0023);
    command28(&rig, ATA_READ_SECTORS, 0, 1, 1); /* not before the reset */
    th_run(rig.th);
    (void)status(&rig);
    data_in(&rig, data, 512);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    th_block_log_clear(rig.disk);
    assert_int_equal(security_word(&rig), 0x0027);
    for (uint32_t i = 0; i < sizeof(refused); i++) {
        command28(&rig, refused[i], 0, 1, 1);
        expect_error(&rig, ATA_ABRT);
    }
    (void)th_block_log(rig.disk, &count);
    assert_int_equal(count, 0);
    send_password(&rig, ATA_SECURITY_UNLOCK, 0, 'x');
    expect_error(&rig, ATA_ABRT);
    send_password(&rig, ATA_SECURITY_UNLOCK, 0, 'u');
    expect_success(&rig);
    assert_int_equal(security_word(&rig), 0x0023);
    command28(&rig, ATA_READ_SECTORS, 0, 1, 1);
    th_run(rig.th);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    data_in(&rig, data, 512);
    send_password(&rig, ATA_SECURITY_DISABLE, 0, 'u');
    expect_success(&rig);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    assert_int_equal(security_word(&rig), 0x0021);
    rig_free(&rig);
}

static void
test_five_wrong_passwords_are_all_until_the_next_reset(void **state)
{
    struct rig rig = rig_new(NULL);

    lock(&rig, 0);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(security_word(&rig), 0x0027);
        send_password(&rig, ATA_SECURITY_UNLOCK, 0, 'x');
        expect_error(&rig, ATA_ABRT);
    }
    assert_int_equal(security_word(&rig), 0x0037); /* expired */
    put(&rig, ATA_REG_STATUS, ATA_SECURITY_UNLOCK);
    expect_error(&rig, ATA_ABRT);
    put(&rig, ATA_REG_STATUS, ATA_SECURITY_ERASE_PREPARE);
    expect_success(&rig);
    put(&rig, ATA_REG_STATUS, ATA_SECURITY_ERASE_UNIT);
    expect_error(&rig, ATA_ABRT);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    send_password(&rig, ATA_SECURITY_UNLOCK, 0, 'u');
    expect_success(&rig);
    rig_free(&rig);
}

static void
test_at_the_maximum_level_the_master_password_only_erases(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t block[512] = {1};
    uint16_t id[256];

    memset(block + 2, 'm', 32);
    block[34] = 0x34;
    block[35] = 0x12;
    send_block(&rig, ATA_SECURITY_SET_PASSWORD, block);
    expect_success(&rig);
    identify(&rig, id);
    assert_int_equal(id[92], 0x1234);
    assert_int_equal(id[128], 0x0021); /* a master password alone locks nothing */
    lock(&rig, 0x0100);
    assert_int_equal(security_word(&rig), 0x0127);
    send_password(&rig, ATA_SECURITY_UNLOCK, 1, 'm');
    expect_error(&rig, ATA_ABRT);
    put(&rig, ATA_REG_STATUS, ATA_SECURITY_ERASE_PREPARE);
    expect_success(&rig);
    send_password(&rig, ATA_SECURITY_ERASE_UNIT, 1, 'm');
    expect_success(&rig);
    assert_int_equal(security_word(&rig), 0x0021);
    lock(&rig, 0);
    send_password(&rig, ATA_SECURITY_UNLOCK, 1, 'm'); /* level high */
    expect_success(&rig);
    rig_free(&rig);
}

static void
test_a_frozen_disk_keeps_its_passwords_as_they_are(void **state)
{
    struct rig rig = rig_new(NULL);
    static const uint8_t refused[] = {ATA_SECURITY_SET_PASSWORD, ATA_SECURITY_UNLOCK,
                                      ATA_SECURITY_ERASE_PREPARE, ATA_SECURITY_ERASE_UNIT,
                                      ATA_SECURITY_DISABLE};

    put(&rig, ATA_REG_STATUS, ATA_SECURITY_FREEZE_LOCK);
    expect_success(&rig);
    assert_int_equal(security_word(&rig), 0x0029);
    for (uint32_t i = 0; i < sizeof(refused); i++) {
        put(&rig, ATA_REG_STATUS, refused[i]);
        expect_error(&rig, ATA_ABRT);
    }
    th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST); /* a software reset does not thaw it */
    th_out(rig.th, rig.control, 1, 0);
    assert_int_equal(security_word(&rig), 0x0029);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    assert_int_equal(security_word(&rig), 0x0021);
    rig_free(&rig);
}

static void
test_erasing_needs_prepare_right_before_and_leaves_zeroes(void **state)
{
    struct rig rig = rig_new(NULL);
    const struct th_block_op *log;
    uint32_t count;

    fill_pattern(th_block_data(rig.disk), 0, DISK_SECTORS);
    lock(&rig, 0);
    put(&rig, ATA_REG_STATUS, ATA_SECURITY_ERASE_UNIT);
    expect_error(&rig, ATA_ABRT);
    put(&rig, ATA_REG_STATUS, ATA_SECURITY_ERASE_PREPARE);
    expect_success(&rig);
    command_plain(&rig, ATA_CHECK_POWER_MODE, 0, 0); /* comes between */
    expect_success(&rig);
    put(&rig, ATA_REG_STATUS, ATA_SECURITY_ERASE_UNIT);
    expect_error(&rig, ATA_ABRT);
    put(&rig, ATA_REG_STATUS, ATA_SECURITY_ERASE_PREPARE);
    expect_success(&rig);
    th_block_log_clear(rig.disk);
    send_password(&rig, ATA_SECURITY_ERASE_UNIT, 0, 'u');
    assert_int_equal(alt_status(&rig) & ATA_BSY, ATA_BSY);
    expect_success(&rig);
    log = th_block_log(rig.disk, &count);
    assert_int_equal(count, 2);
    assert_int_equal(log[0].op, BP_BLOCK_WRITE_ZEROES);
    assert_int_equal(log[0].length, (uint64_t)DISK_SECTORS * 512);
    assert_int_equal(log[1].op, BP_BLOCK_FLUSH);
    for (uint64_t i = 0; i < (uint64_t)DISK_SECTORS * 512; i += 512) {
        assert_int_equal(th_block_data(rig.disk)[i + 100], 0);
    }
    assert_int_equal(security_word(&rig), 0x0021);
    rig_free(&rig);
}

static void
test_an_erase_that_fails_or_is_reset_leaves_the_disk_locked(void **state)
{
    struct rig rig = rig_new(NULL);

    lock(&rig, 0);
    th_block_fail(rig.disk, BP_BLOCK_WRITE_ZEROES, 0, -EIO, 0);
    put(&rig, ATA_REG_STATUS, ATA_SECURITY_ERASE_PREPARE);
    expect_success(&rig);
    send_password(&rig, ATA_SECURITY_ERASE_UNIT, 0, 'u');
    expect_error(&rig, ATA_ABRT);
    assert_int_equal(security_word(&rig), 0x0027);
    th_block_fail(rig.disk, 0, 0, 0, 0);
    th_block_hold(rig.disk, 1);
    put(&rig, ATA_REG_STATUS, ATA_SECURITY_ERASE_PREPARE);
    expect_success(&rig);
    send_password(&rig, ATA_SECURITY_ERASE_UNIT, 0, 'u');
    th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST);
    th_out(rig.th, rig.control, 1, 0);
    th_block_hold(rig.disk, 0);
    th_run(rig.th);
    assert_int_equal(security_word(&rig), 0x0027);
    rig_free(&rig);
}

/* --- SET MAX --------------------------------------------------------------------------------- */

static void
set_max(struct rig *rig, uint8_t feature)
{
    put(rig, ATA_REG_ERROR, feature);
    put(rig, ATA_REG_DEVICE, 0xe0);
    put(rig, ATA_REG_STATUS, ATA_SET_MAX);
}

static void
set_max_password(struct rig *rig, uint8_t feature, char password)
{
    uint8_t block[512] = {0};

    memset(block + 2, password, 32);
    put(rig, ATA_REG_ERROR, feature);
    put(rig, ATA_REG_DEVICE, 0xe0);
    send_block(rig, ATA_SET_MAX, block);
}

static void
set_max_address(struct rig *rig, uint8_t native, uint8_t opcode, uint32_t lba)
{
    put(rig, ATA_REG_DEVICE, 0xe0);
    put(rig, ATA_REG_STATUS, native);
    expect_success(rig);
    put(rig, ATA_REG_ERROR, 0);
    if (opcode == ATA_SET_MAX_EXT) {
        command48(rig, opcode, lba, 0);
    } else {
        command28(rig, opcode, 0, lba, 0);
    }
}

static void
test_set_max_is_locked_by_its_own_password(void **state)
{
    struct rig rig = rig_new(NULL);
    uint16_t id[256];

    for (uint8_t feature = 2; feature < 6; feature++) {
        set_max(&rig, feature); /* no password yet; 05h is none */
        expect_error(&rig, ATA_ABRT);
    }
    set_max_password(&rig, 1, 'p');
    expect_success(&rig);
    identify(&rig, id);
    assert_int_equal(id[86] & 0x0100, 0x0100);
    set_max(&rig, 2);
    expect_success(&rig);
    set_max_address(&rig, ATA_READ_NATIVE_MAX, ATA_SET_MAX, 999);
    expect_error(&rig, ATA_ABRT);
    set_max_address(&rig, ATA_READ_NATIVE_MAX_EXT, ATA_SET_MAX_EXT, 999);
    expect_error(&rig, ATA_ABRT);
    set_max(&rig, 1);
    expect_error(&rig, ATA_ABRT);
    set_max_password(&rig, 3, 'x');
    expect_error(&rig, ATA_ABRT);
    set_max_password(&rig, 3, 'p');
    expect_success(&rig);
    set_max_address(&rig, ATA_READ_NATIVE_MAX_EXT, ATA_SET_MAX_EXT, 999);
    expect_success(&rig);
    set_max(&rig, 4);
    expect_success(&rig);
    for (uint8_t feature = 1; feature < 5; feature++) {
        set_max(&rig, feature);
        expect_error(&rig, ATA_ABRT);
    }
    th_reset(rig.ide, BP_RESET_SYSTEM); /* thaws and forgets */
    identify(&rig, id);
    assert_int_equal(id[86] & 0x0100, 0);
    rig_free(&rig);
}

/* --- logs ------------------------------------------------------------------------------------ */

static void
test_the_directory_names_the_logs(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t page[512];

    log_command(&rig, ATA_READ_LOG_EXT, 0, 0, 1);
    read_blocks(&rig, page, 1);
    assert_int_equal(page[0], 1);
    for (uint32_t i = 1; i < 256; i++) {
        uint8_t one = i == 3 || i == 7 || (i >= 0x20 && i <= 0x22);
        uint8_t want = one ? 1 : i >= 0x80 && i < 0xa0 ? 16 : 0;
        assert_int_equal(page[(size_t)2 * i], want);
        log_command(&rig, ATA_READ_LOG_EXT, (uint8_t)i, 0, 1);
        if (want == 0) {
            expect_error(&rig, ATA_ABRT);
        } else {
            read_blocks(&rig, page + 0, 1);
            log_command(&rig, ATA_READ_LOG_EXT, 0, 0, 1);
            read_blocks(&rig, page, 1);
        }
    }
    rig_free(&rig);
}

static void
test_the_hosts_logs_keep_what_was_written_by_pio_and_dma(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t data[1024], back[8192];

    fill_pattern(data, 7, 2);
    log_command(&rig, ATA_WRITE_LOG_EXT, 0x85, 3, 2);
    assert_int_equal(irq(&rig), 0);
    data_out(&rig, data, 512);
    assert_int_equal(irq(&rig), 1); /* for the second block */
    (void)status(&rig);
    data_out(&rig, data + 512, 512);
    expect_success(&rig);
    log_command(&rig, ATA_READ_LOG_EXT, 0x85, 0, 16);
    read_blocks(&rig, back, 16);
    check_pattern(back + (size_t)3 * 512, 7, 2);
    assert_int_equal(back[2 * 512 + 5] | back[5 * 512 + 5], 0);
    prd(&rig, 0, BUFFER, 1024 | PRD_EOT);
    bm_start(&rig, 1);
    log_command(&rig, ATA_READ_LOG_DMA_EXT, 0x85, 3, 2);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_INT);
    check_pattern(th_ram(rig.th, BUFFER, 1024), 7, 2);
    bm_stop(&rig);
    fill_pattern(th_ram(rig.th, BUFFER, 1024), 50, 2);
    bm_start(&rig, 0);
    log_command(&rig, ATA_WRITE_LOG_DMA_EXT, 0x9f, 14, 2);
    expect_success(&rig);
    bm_stop(&rig);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    log_command(&rig, ATA_READ_LOG_EXT, 0x9f, 15, 1);
    read_blocks(&rig, back, 1);
    check_pattern(back, 51, 1);
    rig_free(&rig);
}

static void
test_logs_refuse_what_does_not_exist(void **state)
{
    struct rig rig = rig_new(NULL);

    log_command(&rig, ATA_READ_LOG_EXT, 0x80, 0, 0);
    expect_error(&rig, ATA_ABRT);
    log_command(&rig, ATA_READ_LOG_EXT, 0x80, 1, 16);
    expect_error(&rig, ATA_ABRT);
    log_command(&rig, ATA_READ_LOG_EXT, 0x80, 16, 1);
    expect_error(&rig, ATA_ABRT);
    log_command(&rig, ATA_READ_LOG_EXT, 0x80, 0xffff, 0xffff);
    expect_error(&rig, ATA_ABRT);
    log_command(&rig, ATA_WRITE_LOG_EXT, 0x07, 0, 1); /* read-only */
    expect_error(&rig, ATA_ABRT);
    log_command(&rig, ATA_WRITE_LOG_DMA_EXT, 0x00, 0, 1);
    expect_error(&rig, ATA_ABRT);
    rig_free(&rig);
}

static void
smart(struct rig *rig, uint8_t subcommand, uint8_t count, uint8_t low)
{
    put(rig, ATA_REG_ERROR, subcommand);
    put(rig, ATA_REG_COUNT, count);
    put(rig, ATA_REG_LOW, low);
    put(rig, ATA_REG_MID, 0x4f);
    put(rig, ATA_REG_HIGH, 0xc2);
    put(rig, ATA_REG_STATUS, ATA_SMART);
}

static void
test_self_tests_are_logged_with_their_hour_newest_last(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t page[512];

    for (uint32_t i = 0; i < 23; i++) {
        smart(&rig, 0xd4, 0, i & 1 ? 2 : 1);
        expect_success(&rig);
        th_clock_step(rig.th, HOUR_NS);
    }
    smart(&rig, 0xd5, 1, 6);
    read_blocks(&rig, page, 1);
    assert_int_equal(page[508], 21);
    assert_int_equal(page[2], 1); /* the third test: two are forgotten */
    assert_int_equal(page[2 + 2], 2);
    assert_int_equal(page[2 + 24 * 20 + 2], 22);
    log_command(&rig, ATA_READ_LOG_EXT, 7, 0, 1);
    read_blocks(&rig, page, 1);
    assert_int_equal(page[2], 19);
    assert_int_equal(page[4 + 26 * 18 + 2], 22);
    rig_free(&rig);
}

static void
test_smart_reads_and_writes_the_hosts_logs(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t data[512], back[1024];

    fill_pattern(data, 3, 1);
    smart(&rig, 0xd6, 1, 0x80);
    data_out(&rig, data, 512);
    expect_success(&rig);
    smart(&rig, 0xd5, 2, 0x80);
    read_blocks(&rig, back, 2);
    check_pattern(back, 3, 1);
    smart(&rig, 0xd5, 17, 0x80);
    expect_error(&rig, ATA_ABRT);
    smart(&rig, 0xd5, 0, 0x80);
    expect_error(&rig, ATA_ABRT);
    smart(&rig, 0xd6, 1, 6);
    expect_error(&rig, ATA_ABRT);
    rig_free(&rig);
}

/* --- buffers by DMA -------------------------------------------------------------------------- */

static void
test_the_sector_buffer_moves_by_dma_too(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t data[512];

    fill_pattern(th_ram(rig.th, BUFFER, 512), 9, 1);
    prd(&rig, 0, BUFFER, 512 | PRD_EOT);
    bm_start(&rig, 0);
    put(&rig, ATA_REG_STATUS, ATA_WRITE_BUFFER_DMA);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_INT);
    bm_stop(&rig);
    put(&rig, ATA_REG_STATUS, ATA_READ_BUFFER);
    read_blocks(&rig, data, 1);
    check_pattern(data, 9, 1);
    bm_stop(&rig);
    prd(&rig, 0, BUFFER + 0x1000, 510 | PRD_EOT); /* two bytes short */
    bm_start(&rig, 1);
    put(&rig, ATA_REG_STATUS, ATA_READ_BUFFER_DMA);
    th_run(rig.th);
    assert_int_equal(irq(&rig), 0);
    assert_int_equal(bm_status(&rig), 0);
    bm_stop(&rig);
    prd(&rig, 0, 0xf0000000, 512 | PRD_EOT); /* nowhere */
    bm_start(&rig, 1);
    put(&rig, ATA_REG_STATUS, ATA_READ_BUFFER_DMA);
    assert_int_equal(bm_status(&rig), BM_ERROR);
    bm_stop(&rig);
    th_pci_write(rig.ide, 4, 2, 1); /* no bus mastering */
    prd(&rig, 0, BUFFER, 512 | PRD_EOT);
    bm_start(&rig, 0);
    put(&rig, ATA_REG_STATUS, ATA_WRITE_BUFFER_DMA);
    expect_error(&rig, ATA_ABRT);
    rig_free(&rig);
}

static void
test_a_transfer_held_by_a_quiesce_keeps_the_bus_master_active(void **state)
{
    struct rig rig = rig_new(NULL);

    fill_pattern(th_ram(rig.th, BUFFER, 512), 9, 1);
    prd(&rig, 0, BUFFER, 512 | PRD_EOT);
    assert_int_equal(th_quiesce(rig.ide), 0);
    bm_start(&rig, 1);
    put(&rig, ATA_REG_STATUS, ATA_READ_BUFFER_DMA);
    assert_int_equal(alt_status(&rig) & ATA_BSY, ATA_BSY);
    bm_stop(&rig);
    assert_int_equal(bm_status(&rig), BM_ACTIVE); /* memory will still change */
    check_pattern(th_ram(rig.th, BUFFER, 512), 9, 1);
    th_resume(rig.ide);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_INT);
    assert_int_equal(*(uint8_t *)th_ram(rig.th, BUFFER + 5, 1), 0);
    rig_free(&rig);
}

/* --- states ---------------------------------------------------------------------------------- */

static void
test_passwords_and_logs_are_saved(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t data[1024], back[512];
    uint8_t *saved = NULL;
    uint64_t length = 0;

    fill_pattern(data, 5, 2);
    log_command(&rig, ATA_WRITE_LOG_EXT, 0x90, 0, 1);
    data_out(&rig, data, 512);
    expect_success(&rig);
    lock(&rig, 0);
    log_command(&rig, ATA_READ_LOG_EXT, 0x90, 0, 2); /* in the middle of the first block */
    (void)status(&rig);
    data_in(&rig, back, 100);
    assert_int_equal(th_save(rig.ide, &saved, &length), 0);
    rig_free(&rig);
    rig = rig_new(NULL);
    assert_int_equal(th_restore(rig.ide, saved, length), 0);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    data_in(&rig, back + 100, 412);
    check_pattern(back, 5, 1);
    data_in(&rig, back, 512);
    (void)status(&rig);
    assert_int_equal(security_word(&rig), 0x0027);
    log_command(&rig, ATA_READ_LOG_EXT, 0x90, 0, 1);
    read_blocks(&rig, back, 1);
    check_pattern(back, 5, 1);
    send_password(&rig, ATA_SECURITY_UNLOCK, 0, 'u');
    expect_success(&rig);
    free(saved);
    rig_free(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_password_locks_at_the_next_reset_and_unlocks),
        cmocka_unit_test(test_five_wrong_passwords_are_all_until_the_next_reset),
        cmocka_unit_test(test_at_the_maximum_level_the_master_password_only_erases),
        cmocka_unit_test(test_a_frozen_disk_keeps_its_passwords_as_they_are),
        cmocka_unit_test(test_erasing_needs_prepare_right_before_and_leaves_zeroes),
        cmocka_unit_test(test_an_erase_that_fails_or_is_reset_leaves_the_disk_locked),
        cmocka_unit_test(test_set_max_is_locked_by_its_own_password),
        cmocka_unit_test(test_the_directory_names_the_logs),
        cmocka_unit_test(test_the_hosts_logs_keep_what_was_written_by_pio_and_dma),
        cmocka_unit_test(test_logs_refuse_what_does_not_exist),
        cmocka_unit_test(test_self_tests_are_logged_with_their_hour_newest_last),
        cmocka_unit_test(test_smart_reads_and_writes_the_hosts_logs),
        cmocka_unit_test(test_the_sector_buffer_moves_by_dma_too),
        cmocka_unit_test(test_a_transfer_held_by_a_quiesce_keeps_the_bus_master_active),
        cmocka_unit_test(test_passwords_and_logs_are_saved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
