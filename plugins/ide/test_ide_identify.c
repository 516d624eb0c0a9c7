/* SPDX-License-Identifier: Apache-2.0 */
/* IDENTIFY DEVICE word by word, and the commands that only describe: SMART, host protected area,
 * TRIM. */
#include "ide_test.h"

#include <stdio.h>

static void
check_string(const uint16_t *words, uint32_t count, const char *want)
{
    char text[64];

    for (uint32_t i = 0; i < count; i++) {
        text[2 * i] = (char)(words[i] >> 8);
        text[2 * i + 1] = (char)words[i];
    }
    text[2 * count] = '\0';
    assert_string_equal(text, want);
}

static void
check_sum(const void *page)
{
    const uint8_t *bytes = page;
    uint8_t sum = 0;

    for (uint32_t i = 0; i < 512; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    assert_int_equal(sum, 0);
}

static void
test_identify_words_of_a_disk_with_defaults(void **state)
{
    struct rig rig = rig_new(NULL);
    uint16_t id[256];

    identify(&rig, id);
    assert_int_equal(id[0], 0x0040);
    assert_int_equal(id[1], 20);
    assert_int_equal(id[3], 16);
    assert_int_equal(id[6], 63);
    check_string(id + 10, 10, "ide0-0-0            ");
    assert_int_equal(id[20], 3);
    assert_int_equal(id[21], 256);
    check_string(id + 23, 4, "1.0     ");
    check_string(id + 27, 20, "Backplane disk                          ");
    assert_int_equal(id[47], 0x8010);
    assert_int_equal(id[49], 0x2f00);
    assert_int_equal(id[50], 0x4000);
    assert_int_equal(id[53], 7);
    assert_int_equal(id[54], 20);
    assert_int_equal(id[55], 16);
    assert_int_equal(id[56], 63);
    assert_int_equal(id[57] | id[58] << 16, 20 * 16 * 63);
    assert_int_equal(id[59], 0x0110);
    assert_int_equal(id[60] | id[61] << 16, DISK_SECTORS);
    assert_int_equal(id[63], 0x0007);
    assert_int_equal(id[64], 3);
    assert_int_equal(id[65], 120);
    assert_int_equal(id[75], 0);
    assert_int_equal(id[80], 0x00f0);
    assert_int_equal(id[82], 0x746b);
    assert_int_equal(id[83], 0x7f08);
    assert_int_equal(id[84], 0x4673);
    assert_int_equal(id[85], 0x7469);
    assert_int_equal(id[86], 0xbc00);
    assert_int_equal(id[87], 0x4663);
    assert_int_equal(id[88], 0x203f);
    assert_int_equal(id[93], 0x604b);
    assert_int_equal(id[100] | id[101] << 16, DISK_SECTORS);
    assert_int_equal(id[102] | id[103], 0);
    assert_int_equal(id[89], 1);
    assert_int_equal(id[90], 1);
    assert_int_equal(id[92], 0xfffe);
    assert_int_equal(id[106], 0x4000);
    assert_int_equal(id[108] | id[109] | id[110] | id[111], 0);
    assert_int_equal(id[117] | id[118], 0);
    assert_int_equal(id[119], 0x4008);
    assert_int_equal(id[120], 0x4008);
    assert_int_equal(id[128], 0x0021);
    assert_int_equal(id[169], 1);
    assert_int_equal(id[209], 0);
    assert_int_equal(id[217], 1);
    assert_int_equal(id[222], 2);
    assert_int_equal(id[255] & 0xff, 0xa5);
    check_sum(id);
    rig_free(&rig);
}

static void
test_identify_shows_what_the_options_say(void **state)
{
    struct rig rig = rig_new("serial = \"S-123\"; model = \"M\"; firmware = \"f9\";"
                             "wwn = \"0x5000c500a1b2c3d4\"; rotation_rate = 5400;"
                             "physical_block_size = \"4K\"; cylinders = 100; heads = 4;"
                             "sectors = 17; write_cache = false; discard = false;");
    uint16_t id[256];

    identify(&rig, id);
    check_string(id + 10, 10, "S-123               ");
    check_string(id + 23, 4, "f9      ");
    assert_int_equal(id[27], 'M' << 8 | ' ');
    assert_int_equal(id[1], 100);
    assert_int_equal(id[3], 4);
    assert_int_equal(id[6], 17);
    assert_int_equal(id[56], 17);
    assert_int_equal(id[84] & 0x0100, 0x0100);
    assert_int_equal(id[87] & 0x0100, 0x0100);
    assert_int_equal(id[85] & 0x0020, 0);
    assert_int_equal(id[106], 0x6003);
    assert_int_equal(id[209], 0x4000);
    assert_int_equal(id[108], 0x5000);
    assert_int_equal(id[109], 0xc500);
    assert_int_equal(id[110], 0xa1b2);
    assert_int_equal(id[111], 0xc3d4);
    assert_int_equal(id[169], 0);
    assert_int_equal(id[217], 5400);
    check_sum(id);
    rig_free(&rig);
}

static void
test_identify_follows_settings_and_hard_reset_restores_them(void **state)
{
    struct rig rig = rig_new(NULL);
    static const uint8_t features[][2] = {{0x82, 0}, {0x55, 0}, {3, 0x21}, {5, 0x40}, {0x42, 0x80}};
    uint16_t id[256];

    for (uint32_t i = 0; i < 5; i++) {
        command_plain(&rig, ATA_SET_FEATURES, features[i][0], features[i][1]);
        expect_success(&rig);
    }
    command_plain(&rig, ATA_SET_MULTIPLE_MODE, 0, 4);
    expect_success(&rig);
    put(&rig, ATA_REG_DEVICE, 0xa7);
    command_plain(&rig, ATA_INIT_DEVICE_PARAMETERS, 0, 32);
    expect_success(&rig);
    identify(&rig, id);
    assert_int_equal(id[85] & 0x0060, 0);
    assert_int_equal(id[63], 0x0207);
    assert_int_equal(id[88], 0x003f);
    assert_int_equal(id[86] & 0x0208, 0x0208);
    assert_int_equal(id[91], 0x40);
    assert_int_equal(id[59], 0x0104);
    assert_int_equal(id[54], DISK_SECTORS / (8 * 32));
    assert_int_equal(id[55], 8);
    assert_int_equal(id[56], 32);
    th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST); /* a software reset keeps them (66h) */
    th_out(rig.th, rig.control, 1, 0);
    identify(&rig, id);
    assert_int_equal(id[59], 0x0104);
    command_plain(&rig, ATA_SET_FEATURES, 0xcc, 0); /* unless told otherwise */
    expect_success(&rig);
    th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST);
    th_out(rig.th, rig.control, 1, 0);
    identify(&rig, id);
    assert_int_equal(id[59], 0x0110);
    assert_int_equal(id[63], 0x0207); /* the transfer mode stays */
    th_reset(rig.ide, BP_RESET_SYSTEM);
    identify(&rig, id);
    assert_int_equal(id[63], 0x0007);
    assert_int_equal(id[85] & 0x0060, 0x0060);
    rig_free(&rig);
}

static void
test_large_disks_show_both_capacities(void **state)
{
    struct rig rig = rig_new(NULL);
    uint16_t id[256];

    th_block_info(rig.disk)->capacity = UINT64_C(3) << 40; /* 3 TiB */
    th_block_send_event(rig.disk, BP_BLOCK_EVENT_RESIZED);
    th_run(rig.th);
    identify(&rig, id);
    assert_int_equal(id[1], 16383);
    assert_int_equal((uint32_t)id[60] | (uint32_t)id[61] << 16, 0x0fffffff);
    assert_int_equal(id[100], 0);
    assert_int_equal(id[101], 0x8000);
    assert_int_equal(id[102], 1);
    put(&rig, ATA_REG_DEVICE, 0xe0);
    put(&rig, ATA_REG_STATUS, ATA_READ_NATIVE_MAX_EXT);
    expect_success(&rig);
    assert_int_equal(get(&rig, ATA_REG_LOW), 0xff);
    th_out(rig.th, rig.control, 1, ATA_CONTROL_HOB);
    assert_int_equal(get(&rig, ATA_REG_LOW), 0x7f);
    assert_int_equal(get(&rig, ATA_REG_MID), 1);
    put(&rig, ATA_REG_STATUS, ATA_READ_NATIVE_MAX);
    expect_success(&rig);
    assert_int_equal(get(&rig, ATA_REG_LOW), 0xfe);
    assert_int_equal(get(&rig, ATA_REG_DEVICE) & 0x0f, 0x0f);
    rig_free(&rig);
}

static void
set_max(struct rig *rig, uint32_t lba, uint8_t keep)
{
    put(rig, ATA_REG_DEVICE, 0xe0);
    put(rig, ATA_REG_STATUS, ATA_READ_NATIVE_MAX);
    expect_success(rig);
    put(rig, ATA_REG_ERROR, 0);
    command28(rig, ATA_SET_MAX, 0, lba, keep);
}

static uint32_t
capacity(struct rig *rig)
{
    uint16_t id[256];

    identify(rig, id);
    return id[60] | (uint32_t)id[61] << 16;
}

static void
test_host_protected_area_shrinks_until_reset(void **state)
{
    struct rig rig = rig_new(NULL);

    command28(&rig, ATA_SET_MAX, 0, 999, 0); /* without READ NATIVE MAX before it */
    expect_error(&rig, ATA_ABRT);
    set_max(&rig, 999, 0);
    expect_success(&rig);
    assert_int_equal(capacity(&rig), 1000);
    command28(&rig, ATA_READ_SECTORS, 0, 1000, 1);
    expect_error(&rig, ATA_IDNF | ATA_ABRT);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    assert_int_equal(capacity(&rig), DISK_SECTORS);
    set_max(&rig, 1999, 1);
    expect_success(&rig);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    assert_int_equal(capacity(&rig), 2000);
    set_max(&rig, DISK_SECTORS, 0);
    expect_error(&rig, ATA_IDNF | ATA_ABRT);
    assert_int_equal(capacity(&rig), 2000);
    rig_free(&rig);
}

/* --- SMART ----------------------------------------------------------------------------------- */

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
smart_page(struct rig *rig, uint8_t subcommand, uint8_t low, uint8_t page[512])
{
    smart(rig, subcommand, 1, low);
    assert_int_equal(irq(rig), 1);
    assert_int_equal(status(rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    data_in(rig, page, 512);
    assert_int_equal(status(rig), ATA_DRDY | ATA_DSC);
}

static void
test_smart_tells_of_a_healthy_disk(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t page[512];

    smart(&rig, 0xda, 0, 0);
    expect_success(&rig);
    assert_int_equal(get(&rig, ATA_REG_MID), 0x4f);
    assert_int_equal(get(&rig, ATA_REG_HIGH), 0xc2);
    smart_page(&rig, 0xd0, 0, page);
    check_sum(page);
    assert_int_equal(page[2], 1);
    assert_int_equal(page[5], 100);
    smart_page(&rig, 0xd1, 0, page);
    check_sum(page);
    assert_int_equal(page[2], 1);
    smart_page(&rig, 0xd5, 0, page);
    assert_int_equal(page[2] | page[3], 1);
    smart_page(&rig, 0xd5, 1, page);
    check_sum(page);
    smart(&rig, 0xd4, 0, 2);
    expect_success(&rig);
    smart_page(&rig, 0xd5, 6, page);
    check_sum(page);
    assert_int_equal(page[2], 2);
    assert_int_equal(page[508], 1);
    rig_free(&rig);
}

static void
test_smart_refuses_wrong_keys_logs_and_when_disabled(void **state)
{
    struct rig rig = rig_new(NULL);

    put(&rig, ATA_REG_ERROR, 0xda);
    put(&rig, ATA_REG_MID, 0);
    put(&rig, ATA_REG_STATUS, ATA_SMART);
    expect_error(&rig, ATA_ABRT);
    smart(&rig, 0xd5, 1, 0x30);
    expect_error(&rig, ATA_ABRT);
    smart(&rig, 0xd4, 0, 0x55);
    expect_error(&rig, ATA_ABRT);
    smart(&rig, 0xd2, 0x12, 0);
    expect_error(&rig, ATA_ABRT);
    smart(&rig, 0xee, 0, 0);
    expect_error(&rig, ATA_ABRT);
    smart(&rig, 0xd9, 0, 0);
    expect_success(&rig);
    smart(&rig, 0xda, 0, 0);
    expect_error(&rig, ATA_ABRT);
    smart(&rig, 0xd8, 0, 0);
    expect_success(&rig);
    smart(&rig, 0xda, 0, 0);
    expect_success(&rig);
    rig_free(&rig);
}

/* --- TRIM ------------------------------------------------------------------------------------ */

static void
range(struct rig *rig, uint32_t index, uint64_t lba, uint16_t count)
{
    th_write(rig->th, BUFFER + 8 * index, 8, lba | (uint64_t)count << 48);
}

static void
trim(struct rig *rig, uint16_t blocks)
{
    bm_stop(rig);
    prd(rig, 0, BUFFER, blocks * 512u | PRD_EOT);
    bm_start(rig, 0);
    put(rig, ATA_REG_ERROR, 1);
    put(rig, ATA_REG_COUNT, (uint8_t)(blocks >> 8));
    put(rig, ATA_REG_COUNT, (uint8_t)blocks);
    put(rig, ATA_REG_DEVICE, 0x40);
    put(rig, ATA_REG_STATUS, ATA_DATA_SET_MANAGEMENT);
}

static void
test_trim_joins_neighbours_and_skips_empty_ranges(void **state)
{
    struct rig rig = rig_new(NULL);
    const struct th_block_op *log;
    uint32_t count;

    range(&rig, 0, 100, 8);
    range(&rig, 1, 108, 8);
    range(&rig, 2, 0, 0);
    range(&rig, 3, 1000, 100);
    range(&rig, 64, 5000, 1); /* in the second block */
    trim(&rig, 2);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_INT);
    log = th_block_log(rig.disk, &count);
    assert_int_equal(count, 3);
    assert_int_equal(log[0].op, BP_BLOCK_DISCARD);
    assert_int_equal(log[0].offset, 100 * 512);
    assert_int_equal(log[0].length, 16 * 512);
    assert_int_equal(log[1].length, 100 * 512);
    assert_int_equal(log[2].offset, 5000 * 512);
    assert_int_equal(th_block_data(rig.disk)[100 * 512 + 7], 0);
    check_pattern(th_block_data(rig.disk) + 116 * 512, 116, 1);
    rig_free(&rig);
}

static void
test_trim_splits_at_the_backends_limit(void **state)
{
    struct rig rig = rig_new(NULL);
    uint32_t count;

    th_block_info(rig.disk)->max_discard = 64 * 512;
    th_block_send_event(rig.disk, BP_BLOCK_EVENT_RESIZED);
    th_run(rig.th);
    range(&rig, 0, 0, 200);
    trim(&rig, 1);
    expect_success(&rig);
    (void)th_block_log(rig.disk, &count);
    assert_int_equal(count, 4);
    rig_free(&rig);
}

static void
test_trim_outside_the_disk_discards_nothing(void **state)
{
    struct rig rig = rig_new(NULL);
    uint32_t count;

    range(&rig, 0, 100, 8);
    range(&rig, 1, DISK_SECTORS - 1, 2);
    trim(&rig, 1);
    expect_error(&rig, ATA_IDNF | ATA_ABRT);
    range(&rig, 1, UINT64_C(0xffffffffffff), 0xffff);
    trim(&rig, 1);
    expect_error(&rig, ATA_IDNF | ATA_ABRT);
    (void)th_block_log(rig.disk, &count);
    assert_int_equal(count, 0);
    rig_free(&rig);
}

static void
test_trim_is_refused_without_the_feature_or_blocks(void **state)
{
    struct rig rig = rig_new(NULL);

    trim(&rig, 0);
    expect_error(&rig, ATA_ABRT);
    trim(&rig, 65);
    expect_error(&rig, ATA_ABRT);
    put(&rig, ATA_REG_ERROR, 0);
    put(&rig, ATA_REG_COUNT, 1);
    put(&rig, ATA_REG_STATUS, ATA_DATA_SET_MANAGEMENT);
    expect_error(&rig, ATA_ABRT);
    rig_free(&rig);
    rig = rig_new("discard = false;");
    trim(&rig, 1);
    expect_error(&rig, ATA_ABRT);
    rig_free(&rig);
}

static void
test_a_count_of_trim_written_once_is_its_low_half(void **state)
{
    struct rig rig = rig_new(NULL);
    const struct th_block_op *log;
    uint32_t count;

    range(&rig, 0, 100, 8);
    prd(&rig, 0, BUFFER, 512 | PRD_EOT);
    bm_start(&rig, 0);
    put(&rig, ATA_REG_ERROR, 1);
    put(&rig, ATA_REG_COUNT, 1); /* the signature's 1 becomes the high half */
    put(&rig, ATA_REG_DEVICE, 0x40);
    put(&rig, ATA_REG_STATUS, ATA_DATA_SET_MANAGEMENT);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_INT);
    log = th_block_log(rig.disk, &count);
    assert_int_equal(count, 1);
    assert_int_equal(log[0].offset, 100 * 512);
    rig_free(&rig);
}

static void
test_trim_reset_in_the_middle_stops(void **state)
{
    struct rig rig = rig_new(NULL);

    th_block_hold(rig.disk, 1);
    range(&rig, 0, 100, 8);
    range(&rig, 1, 300, 8);
    trim(&rig, 1);
    th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST);
    th_out(rig.th, rig.control, 1, 0);
    assert_int_equal(alt_status(&rig), ATA_BSY);
    th_block_release(rig.disk, 1, 0);
    assert_int_equal(alt_status(&rig), ATA_DRDY | ATA_DSC);
    assert_int_equal(th_block_in_flight(rig.disk), 0);
    check_pattern(th_block_data(rig.disk) + 300 * 512, 300, 8);
    rig_free(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identify_words_of_a_disk_with_defaults),
        cmocka_unit_test(test_identify_shows_what_the_options_say),
        cmocka_unit_test(test_identify_follows_settings_and_hard_reset_restores_them),
        cmocka_unit_test(test_large_disks_show_both_capacities),
        cmocka_unit_test(test_host_protected_area_shrinks_until_reset),
        cmocka_unit_test(test_smart_tells_of_a_healthy_disk),
        cmocka_unit_test(test_smart_refuses_wrong_keys_logs_and_when_disabled),
        cmocka_unit_test(test_trim_joins_neighbours_and_skips_empty_ranges),
        cmocka_unit_test(test_trim_splits_at_the_backends_limit),
        cmocka_unit_test(test_trim_outside_the_disk_discards_nothing),
        cmocka_unit_test(test_trim_is_refused_without_the_feature_or_blocks),
        cmocka_unit_test(test_a_count_of_trim_written_once_is_its_low_half),
        cmocka_unit_test(test_trim_reset_in_the_middle_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
