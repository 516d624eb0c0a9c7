/* SPDX-License-Identifier: Apache-2.0 */
/* The device configuration overlay: what can be hidden, what not, and who is told. */
#include "ide_test.h"

#include <stdlib.h>

#define DCO_RESTORE  0xc0u
#define DCO_FREEZE   0xc1u
#define DCO_IDENTIFY 0xc2u
#define DCO_SET      0xc3u

static void
configuration(struct rig *rig, uint8_t feature)
{
    put(rig, ATA_REG_ERROR, feature);
    put(rig, ATA_REG_STATUS, ATA_DEVICE_CONFIGURATION);
}

static void
read_overlay(struct rig *rig, uint8_t page[512])
{
    configuration(rig, DCO_IDENTIFY);
    read_blocks(rig, page, 1);
}

static void
seal(uint8_t page[512])
{
    uint8_t sum = 0;

    page[510] = 0xa5;
    page[511] = 0;
    for (uint32_t i = 0; i < 512; i++) {
        sum = (uint8_t)(sum + page[i]);
    }
    page[511] = (uint8_t)-sum;
}

/* SET with the structure as it is now, but for one word. */
static void
set_word(struct rig *rig, uint32_t word, uint16_t value)
{
    uint8_t page[512];

    read_overlay(rig, page);
    page[(size_t)2 * word] = (uint8_t)value;
    page[(size_t)2 * word + 1] = (uint8_t)(value >> 8);
    seal(page);
    put(rig, ATA_REG_ERROR, DCO_SET);
    send_block(rig, ATA_DEVICE_CONFIGURATION, page);
}

static void
restore(struct rig *rig)
{
    configuration(rig, DCO_RESTORE);
    expect_success(rig);
}

/* The command ended with ABRT and said where. */
static void
expect_refused(struct rig *rig, uint8_t word, uint16_t bits)
{
    expect_error(rig, ATA_ABRT);
    assert_int_equal(get(rig, ATA_REG_HIGH), word);
    assert_int_equal(get(rig, ATA_REG_LOW) | get(rig, ATA_REG_MID) << 8, bits);
}

static void
expect_every_subcommand_refused(struct rig *rig)
{
    for (uint8_t feature = DCO_RESTORE; feature <= DCO_SET; feature++) {
        configuration(rig, feature);
        expect_error(rig, ATA_ABRT);
    }
}

static void
test_the_structure_tells_all_that_can_be_hidden(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t page[512], want[512] = {2, 0, 7, 0, 0x3f, 0, 0xff, 0x4f};

    want[14] = 0xcf;
    want[15] = 0x0b;
    seal(want);
    read_overlay(&rig, page);
    assert_memory_equal(page, want, 512);
    rig_free(&rig);
}

static void
test_a_smaller_disk_is_smaller_for_everyone(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t data[512];
    uint16_t id[256];

    set_word(&rig, 3, 999);
    expect_success(&rig);
    identify(&rig, id);
    assert_int_equal(id[60] | id[61] << 16, 1000);
    assert_int_equal(id[100] | id[101] << 16, 1000);
    put(&rig, ATA_REG_DEVICE, 0xe0);
    put(&rig, ATA_REG_STATUS, ATA_READ_NATIVE_MAX);
    expect_success(&rig);
    assert_int_equal(get(&rig, ATA_REG_LOW) | get(&rig, ATA_REG_MID) << 8, 999);
    command28(&rig, ATA_READ_SECTORS, 0, 1000, 1);
    expect_error(&rig, ATA_IDNF | ATA_ABRT);
    th_reset(rig.ide, BP_RESET_SYSTEM); /* it outlives a reset */
    th_pci_place(rig.ide);
    identify(&rig, id);
    assert_int_equal(id[60] | id[61] << 16, 1000);
    restore(&rig);
    identify(&rig, id);
    assert_int_equal(id[60] | id[61] << 16, DISK_SECTORS);
    command28(&rig, ATA_READ_SECTORS, 0, 1000, 1);
    th_run(rig.th);
    (void)status(&rig);
    data_in(&rig, data, 512);
    check_pattern(data, 1000, 1);
    rig_free(&rig);
}

static void
test_a_host_protected_area_keeps_the_overlay_as_it_is(void **state)
{
    struct rig rig = rig_new(NULL);
    uint16_t id[256];

    put(&rig, ATA_REG_DEVICE, 0xe0);
    put(&rig, ATA_REG_STATUS, ATA_READ_NATIVE_MAX);
    expect_success(&rig);
    command28(&rig, ATA_SET_MAX, 0, 499, 0);
    expect_success(&rig);
    configuration(&rig, DCO_SET);
    expect_error(&rig, ATA_ABRT);
    configuration(&rig, DCO_RESTORE);
    expect_error(&rig, ATA_ABRT);
    th_reset(rig.ide, BP_RESET_SYSTEM); /* VV was 0 */
    set_word(&rig, 3, 999);
    expect_success(&rig);
    put(&rig, ATA_REG_DEVICE, 0xe0);
    put(&rig, ATA_REG_STATUS, ATA_READ_NATIVE_MAX);
    expect_success(&rig);
    command28(&rig, ATA_SET_MAX, 0, 1000, 0); /* beyond what is left */
    expect_error(&rig, ATA_IDNF | ATA_ABRT);
    put(&rig, ATA_REG_DEVICE, 0xe0);
    put(&rig, ATA_REG_STATUS, ATA_READ_NATIVE_MAX);
    expect_success(&rig);
    command28(&rig, ATA_SET_MAX, 0, 499, 0);
    expect_success(&rig);
    identify(&rig, id);
    assert_int_equal(id[60], 500);
    rig_free(&rig);
}

static void
test_set_needs_a_whole_structure_and_restore_before_the_next(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t page[512];
    uint16_t id[256];

    read_overlay(&rig, page);
    page[6] = 0x10;
    put(&rig, ATA_REG_ERROR, DCO_SET);
    send_block(&rig, ATA_DEVICE_CONFIGURATION, page);
    expect_refused(&rig, 0, 0); /* the sum is wrong */
    seal(page);
    page[510] = 0xa6;
    page[511]--;
    put(&rig, ATA_REG_ERROR, DCO_SET);
    send_block(&rig, ATA_DEVICE_CONFIGURATION, page);
    expect_refused(&rig, 0, 0); /* the signature is */
    identify(&rig, id);
    assert_int_equal(id[60] | id[61] << 16, DISK_SECTORS);
    set_word(&rig, 3, 99);
    expect_success(&rig);
    configuration(&rig, DCO_SET);
    expect_error(&rig, ATA_ABRT);
    restore(&rig);
    set_word(&rig, 3, 98);
    expect_success(&rig);
    configuration(&rig, 0x42); /* no such subcommand */
    expect_error(&rig, ATA_ABRT);
    rig_free(&rig);
}

static void
test_what_is_in_use_cannot_be_hidden(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t page[512];

    set_word(&rig, 2, 0x1f); /* Ultra DMA 5 is selected */
    expect_refused(&rig, 2, 0x20);
    set_word(&rig, 2, 0x2f); /* not without the mode below */
    expect_refused(&rig, 2, 0x10);
    set_word(&rig, 1, 0x06); /* multiword mode 0 stays */
    expect_refused(&rig, 1, 0x01);
    command_plain(&rig, ATA_SET_FEATURES, 0x03, 0x22);
    expect_success(&rig);
    set_word(&rig, 1, 0x03);
    expect_refused(&rig, 1, 0x04);
    set_word(&rig, 7, 0x0bce); /* SMART is enabled, its logs are there */
    expect_refused(&rig, 7, 0x0001);
    read_overlay(&rig, page);
    page[8] = 1; /* 65536 sectors more than there are */
    seal(page);
    put(&rig, ATA_REG_ERROR, DCO_SET);
    send_block(&rig, ATA_DEVICE_CONFIGURATION, page);
    expect_refused(&rig, 3, 0);
    memset(page, 0, sizeof(page));
    page[0] = 1;
    put(&rig, ATA_REG_ERROR, 0);
    send_block(&rig, ATA_SECURITY_SET_PASSWORD, page); /* the master's enables nothing */
    expect_success(&rig);
    page[0] = 0;
    send_block(&rig, ATA_SECURITY_SET_PASSWORD, page);
    expect_success(&rig);
    set_word(&rig, 7, 0x0bc7);
    expect_refused(&rig, 7, 0x0008);
    rig_free(&rig);
}

static void
test_hidden_modes_are_not_offered_and_not_taken(void **state)
{
    struct rig rig = rig_new(NULL);
    uint16_t id[256];

    command_plain(&rig, ATA_SET_FEATURES, 0x03, 0x42);
    expect_success(&rig);
    set_word(&rig, 2, 0x07);
    expect_success(&rig);
    identify(&rig, id);
    assert_int_equal(id[88], 0x0407);
    command_plain(&rig, ATA_SET_FEATURES, 0x03, 0x43);
    expect_error(&rig, ATA_ABRT);
    th_reset(rig.ide, BP_RESET_SYSTEM); /* the best that is left is the default */
    identify(&rig, id);
    assert_int_equal(id[88], 0x0407);
    restore(&rig);
    command_plain(&rig, ATA_SET_FEATURES, 0x03, 0x20);
    expect_success(&rig);
    set_word(&rig, 2, 0);
    expect_success(&rig);
    restore(&rig);
    set_word(&rig, 1, 1);
    expect_success(&rig);
    identify(&rig, id);
    assert_int_equal(id[63], 0x0101);
    command_plain(&rig, ATA_SET_FEATURES, 0x03, 0x22);
    expect_error(&rig, ATA_ABRT);
    rig_free(&rig);
}

struct feature {
    uint16_t bit;    /* of word 7 */
    uint16_t w[3];   /* of words 82 to 84 */
    uint8_t opcode;  /* a command that goes with it */
    uint8_t feature; /* its Features and Count */
    uint8_t count;
};

static void
test_hidden_feature_sets_leave_identify_and_the_commands(void **state)
{
    static const struct feature features[] = {
        {0x0008, {0x0002, 0, 0}, ATA_SECURITY_FREEZE_LOCK, 0, 0},
        {0x0040, {0, 0x0200, 0}, ATA_SET_FEATURES, 0x42, 0x80},
        {0x0080, {0x0400, 0x0100, 0}, ATA_READ_NATIVE_MAX, 0, 0},
        {0x0100, {0, 0x2400, 0x0650}, ATA_READ_SECTORS_EXT, 0, 1},
        {0x0200, {0, 0, 0x0610}, ATA_CONFIGURE_STREAM, 0x80, 0},
        {0x0800, {0, 0, 0x0040}, ATA_WRITE_DMA_FUA_EXT, 0, 1},
        {0x0004, {0, 0, 0x0001}, ATA_NOP, 0, 0},
        {0x0002, {0, 0, 0x0002}, ATA_NOP, 0, 0},
    };
    struct rig rig = rig_new(NULL);
    uint16_t before[256], id[256];

    for (uint32_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        identify(&rig, before);
        set_word(&rig, 7, 0x0bcf & (uint16_t)~features[i].bit);
        expect_success(&rig);
        identify(&rig, id);
        for (uint32_t word = 0; word < 3; word++) {
            assert_int_equal(id[82 + word], before[82 + word] & ~features[i].w[word]);
            assert_int_equal(id[85 + word], before[85 + word] & ~features[i].w[word]);
        }
        command_plain(&rig, features[i].opcode, features[i].feature, features[i].count);
        expect_error(&rig, ATA_ABRT);
        restore(&rig);
    }
    rig_free(&rig);
}

static void
test_words_that_belong_to_hidden_sets_are_zero(void **state)
{
    static const uint8_t words[][8] = {
        {89, 90, 92, 128}, {94}, {100}, {95, 96, 97, 98, 104}}; /* security, AAM, 48-bit, streams */
    static const uint16_t bits[] = {0x0008, 0x0040, 0x0100, 0x0200};
    struct rig rig = rig_new(NULL);
    uint16_t id[256];

    for (uint32_t i = 0; i < 4; i++) {
        identify(&rig, id);
        for (uint32_t k = 0; k < 8 && words[i][k] != 0; k++) {
            assert_int_not_equal(id[words[i][k]], 0);
        }
        set_word(&rig, 7, 0x0bcf & (uint16_t)~bits[i]);
        expect_success(&rig);
        identify(&rig, id);
        for (uint32_t k = 0; k < 8 && words[i][k] != 0; k++) {
            assert_int_equal(id[words[i][k]], 0);
        }
        restore(&rig);
    }
    rig_free(&rig);
}

static void
test_smart_without_logs_and_self_tests(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t page[512];

    set_word(&rig, 7, 0x0bc9);
    expect_success(&rig);
    log_command(&rig, ATA_READ_LOG_EXT, 0, 0, 1);
    read_blocks(&rig, page, 1);
    assert_int_equal(page[6] | page[14], 0); /* logs 03h, 07h */
    log_command(&rig, ATA_READ_LOG_EXT, 3, 0, 1);
    expect_error(&rig, ATA_ABRT);
    put(&rig, ATA_REG_ERROR, 0xd4); /* SMART EXECUTE OFF-LINE: a self-test */
    put(&rig, ATA_REG_LOW, 1);
    put(&rig, ATA_REG_MID, 0x4f);
    put(&rig, ATA_REG_HIGH, 0xc2);
    put(&rig, ATA_REG_STATUS, ATA_SMART);
    expect_error(&rig, ATA_ABRT);
    put(&rig, ATA_REG_ERROR, 0xd9); /* disabled, all of it can be hidden */
    put(&rig, ATA_REG_STATUS, ATA_SMART);
    expect_success(&rig);
    restore(&rig);
    set_word(&rig, 7, 0x0bc8);
    expect_success(&rig);
    put(&rig, ATA_REG_ERROR, 0xd8);
    put(&rig, ATA_REG_MID, 0x4f);
    put(&rig, ATA_REG_HIGH, 0xc2);
    put(&rig, ATA_REG_STATUS, ATA_SMART);
    expect_error(&rig, ATA_ABRT);
    rig_free(&rig);
}

static void
test_the_freeze_lock_outlives_a_reset(void **state)
{
    struct rig rig = rig_new(NULL);

    configuration(&rig, DCO_FREEZE);
    expect_success(&rig);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    expect_every_subcommand_refused(&rig);
    rig_free(&rig);
}

static void
test_a_locked_disk_refuses_the_overlay(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t block[512] = {0};

    send_block(&rig, ATA_SECURITY_SET_PASSWORD, block);
    expect_success(&rig);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    expect_every_subcommand_refused(&rig);
    rig_free(&rig);
}

static void
test_a_locked_set_max_holds_the_overlay_too(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t block[512] = {0};

    put(&rig, ATA_REG_ERROR, 1);
    send_block(&rig, ATA_SET_MAX, block);
    expect_success(&rig);
    command_plain(&rig, ATA_SET_MAX, 2, 0);
    expect_success(&rig);
    configuration(&rig, DCO_SET);
    expect_error(&rig, ATA_ABRT);
    configuration(&rig, DCO_RESTORE);
    expect_error(&rig, ATA_ABRT);
    rig_free(&rig);
}

static void
test_the_overlay_is_saved_in_the_middle_of_set_too(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t page[512], *saved = NULL;
    uint64_t length = 0;
    uint16_t id[256];

    read_overlay(&rig, page);
    page[6] = 99;
    page[7] = 0;
    page[15] = 0x09; /* no streams */
    seal(page);
    configuration(&rig, DCO_SET);
    (void)status(&rig);
    data_out(&rig, page, 200);
    assert_int_equal(th_save(rig.ide, &saved, &length), 0);
    rig_free(&rig);
    rig = rig_new(NULL);
    assert_int_equal(th_restore(rig.ide, saved, length), 0);
    free(saved);
    data_out(&rig, page + 200, 312);
    expect_success(&rig);
    assert_int_equal(th_save(rig.ide, &saved, &length), 0);
    rig_free(&rig);
    rig = rig_new(NULL);
    assert_int_equal(th_restore(rig.ide, saved, length), 0);
    free(saved);
    identify(&rig, id);
    assert_int_equal(id[60] | id[61] << 16, 100);
    assert_int_equal(id[95], 0);
    restore(&rig);
    identify(&rig, id);
    assert_int_equal(id[60] | id[61] << 16, DISK_SECTORS);
    rig_free(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_structure_tells_all_that_can_be_hidden),
        cmocka_unit_test(test_a_smaller_disk_is_smaller_for_everyone),
        cmocka_unit_test(test_a_host_protected_area_keeps_the_overlay_as_it_is),
        cmocka_unit_test(test_set_needs_a_whole_structure_and_restore_before_the_next),
        cmocka_unit_test(test_what_is_in_use_cannot_be_hidden),
        cmocka_unit_test(test_hidden_modes_are_not_offered_and_not_taken),
        cmocka_unit_test(test_hidden_feature_sets_leave_identify_and_the_commands),
        cmocka_unit_test(test_words_that_belong_to_hidden_sets_are_zero),
        cmocka_unit_test(test_smart_without_logs_and_self_tests),
        cmocka_unit_test(test_the_freeze_lock_outlives_a_reset),
        cmocka_unit_test(test_a_locked_disk_refuses_the_overlay),
        cmocka_unit_test(test_a_locked_set_max_holds_the_overlay_too),
        cmocka_unit_test(test_the_overlay_is_saved_in_the_middle_of_set_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
