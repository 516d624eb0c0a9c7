/* SPDX-License-Identifier: Apache-2.0 */
/* CD/DVD drives on the ATA side: signatures, IDENTIFY PACKET DEVICE, packets by PIO and DMA,
 * resets. */
#include "ide_cd_test.h"

#include <stdlib.h>

/* --- ATA ------------------------------------------------------------------------------------- */

static void
expect_signature(struct rig *rig)
{
    assert_int_equal(get(rig, ATA_REG_ERROR), 1);
    assert_int_equal(get(rig, ATA_REG_COUNT), 1);
    assert_int_equal(get(rig, ATA_REG_LOW), 1);
    assert_int_equal(byte_count(rig), 0xeb14);
}

static void
test_resets_leave_the_packet_signature_and_no_drdy(void **state)
{
    struct rig rig = one_cd();

    expect_signature(&rig);
    assert_int_equal(alt_status(&rig), 0);
    for (uint32_t i = 0; i < 2; i++) { /* idle, and in the middle of a packet */
        th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST);
        assert_int_equal(alt_status(&rig), ATA_BSY);
        th_out(rig.th, rig.control, 1, 0);
        expect_signature(&rig);
        assert_int_equal(alt_status(&rig), 0);
        assert_int_equal(irq(&rig), 0);
        start_packet(&rig, 0, 512);
        assert_int_equal(alt_status(&rig), IDLE | ATA_DRQ);
    }
    put(&rig, ATA_REG_STATUS, ATA_DEVICE_RESET); /* although DRQ is set */
    expect_signature(&rig);
    assert_int_equal(alt_status(&rig), 0);
    assert_int_equal(irq(&rig), 0);
    put(&rig, ATA_REG_STATUS, ATA_EXECUTE_DIAGNOSTIC);
    assert_int_equal(irq(&rig), 1);
    expect_signature(&rig);
    assert_int_equal(status(&rig), 0);
    rig_free(&rig);
}

static void
test_device_reset_does_not_get_through_a_software_reset(void **state)
{
    struct rig rig = one_cd();

    th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST);
    put(&rig, ATA_REG_STATUS, ATA_DEVICE_RESET);
    assert_int_equal(alt_status(&rig), ATA_BSY);
    put(&rig, ATA_REG_STATUS, ATA_PACKET);
    assert_int_equal(alt_status(&rig), ATA_BSY);
    th_out(rig.th, rig.control, 1, 0);
    assert_int_equal(alt_status(&rig), 0);
    rig_free(&rig);
}

static void
test_device_reset_keeps_the_selection_and_wakes_from_sleep(void **state)
{
    struct rig rig = cd_rig("drives = ( { channel = 0; unit = 0; disk = \"two\"; },"
                            "{ channel = 0; unit = 1; cdrom = \"cd\"; } );");

    put(&rig, ATA_REG_DEVICE, 0xb0);
    command_plain(&rig, ATA_SLEEP, 0, 0);
    expect_success(&rig);
    command_plain(&rig, ATA_CHECK_POWER_MODE, 0, 0);
    assert_int_equal(irq(&rig), 0);
    put(&rig, ATA_REG_STATUS, ATA_DEVICE_RESET);
    assert_int_equal(get(&rig, ATA_REG_DEVICE) & ATA_DEVICE_DEV, ATA_DEVICE_DEV);
    expect_signature(&rig);
    command_plain(&rig, ATA_CHECK_POWER_MODE, 0, 0);
    expect_success(&rig);
    assert_int_equal(get(&rig, ATA_REG_COUNT), 0xff);
    put(&rig, ATA_REG_DEVICE, 0xa0); /* the disk was not touched, and has no such command */
    command_plain(&rig, ATA_DEVICE_RESET, 0, 0);
    expect_error(&rig, ATA_ABRT);
    rig_free(&rig);
}

static void
test_disk_commands_end_with_abort_and_signature(void **state)
{
    static const uint8_t opcodes[] = {ATA_IDENTIFY_DEVICE, ATA_READ_SECTORS, ATA_READ_SECTORS_ONCE};
    struct rig rig = one_cd();

    for (uint32_t i = 0; i < sizeof(opcodes); i++) {
        command28(&rig, opcodes[i], 0, 77, 9);
        expect_error(&rig, ATA_ABRT);
        assert_int_equal(byte_count(&rig), 0xeb14);
    }
    rig_free(&rig);
}

static void
test_every_other_command_is_done_or_aborted(void **state)
{
    static const uint8_t done[] = {0x94, 0x95, 0x98, 0xe0, 0xe1, 0xe5, 0xe7};
    struct rig rig = one_cd();

    for (uint32_t opcode = 0; opcode < 256; opcode++) {
        uint32_t special = opcode == ATA_DEVICE_RESET || opcode == ATA_PACKET ||
                           opcode == ATA_EXECUTE_DIAGNOSTIC || opcode == ATA_SLEEP ||
                           opcode == ATA_OLD_SLEEP || opcode == ATA_IDENTIFY_PACKET_DEVICE;
        if (special) {
            continue;
        }
        command_plain(&rig, (uint8_t)opcode, 0, 0);
        if (memchr(done, (int)opcode, sizeof(done)) != NULL) {
            expect_success(&rig);
        } else {
            expect_error(&rig, ATA_ABRT);
        }
    }
    rig_free(&rig);
}

static void
test_power_modes_are_told(void **state)
{
    static const uint8_t steps[][2] = {{0xe1, 0x80}, {0xe0, 0x00}, {0x95, 0x80}, {0x94, 0x00}};
    struct rig rig = one_cd();

    for (uint32_t i = 0; i < 4; i++) {
        command_plain(&rig, steps[i][0], 0, 0);
        expect_success(&rig);
        command_plain(&rig, ATA_CHECK_POWER_MODE, 0, 0);
        expect_success(&rig);
        assert_int_equal(get(&rig, ATA_REG_COUNT), steps[i][1]);
    }
    PACKET(&rig, 0, 0, 0x00);
    expect_end(&rig, 0);
    command_plain(&rig, ATA_CHECK_POWER_MODE, 0, 0);
    expect_success(&rig);
    assert_int_equal(get(&rig, ATA_REG_COUNT), 0xff);
    rig_free(&rig);
}

static void
read_identify(struct rig *rig, uint16_t words[256])
{
    put(rig, ATA_REG_STATUS, ATA_IDENTIFY_PACKET_DEVICE);
    assert_int_equal(irq(rig), 1);
    assert_int_equal(status(rig), IDLE | ATA_DRQ);
    data_in(rig, words, 512);
    assert_int_equal(status(rig), IDLE);
    assert_int_equal(irq(rig), 0);
}

static void
check_text(const uint16_t *words, const char *want)
{
    for (size_t i = 0; i < strlen(want); i++) {
        assert_int_equal((i & 1) ? words[i / 2] & 0xff : words[i / 2] >> 8, (uint8_t)want[i]);
    }
}

static void
test_identify_packet_device_tells_every_word(void **state)
{
    static const struct {
        uint16_t word, value;
    } want[] = {{0, 0x85c0},  {49, 0x0f00}, {53, 0x0006}, {62, 0},      {63, 0x0007}, {64, 0x0003},
                {65, 120},    {66, 120},    {67, 120},    {68, 120},    {71, 0},      {72, 0},
                {75, 0},      {80, 0x00f0}, {82, 0x4218}, {83, 0x5000}, {84, 0x4000}, {85, 0x4218},
                {86, 0x1000}, {87, 0x4000}, {88, 0x203f}, {93, 0x604b}, {108, 0},     {125, 0},
                {126, 0},     {127, 0},     {128, 0},     {222, 2}};
    struct rig rig = cd_rig("drives = ( { channel = 0; unit = 0; cdrom = \"cd\"; serial = \"SER\";"
                            "model = \"Some drive\"; firmware = \"9.8\"; } );");
    uint16_t w[256];
    uint8_t sum = 0;

    read_identify(&rig, w);
    for (uint32_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        assert_int_equal(w[want[i].word], want[i].value);
    }
    check_text(w + 10, "SER                 ");
    check_text(w + 23, "9.8     ");
    check_text(w + 27, "Some drive                              ");
    for (uint32_t i = 0; i < 512; i++) {
        sum = (uint8_t)(sum + ((uint8_t *)w)[i]);
    }
    assert_int_equal(sum, 0);
    assert_int_equal(w[255] & 0xff, 0xa5);
    rig_free(&rig);
}

static void
test_set_features_takes_transfer_modes(void **state)
{
    struct rig rig = one_cd();
    uint16_t w[256];

    command_plain(&rig, ATA_SET_FEATURES, 3, 0x22);
    expect_success(&rig);
    read_identify(&rig, w);
    assert_int_equal(w[63], 0x0407);
    assert_int_equal(w[88], 0x003f);
    command_plain(&rig, ATA_SET_FEATURES, 3, 0x47);
    expect_error(&rig, ATA_ABRT);
    command_plain(&rig, ATA_SET_FEATURES, 0x02, 0);
    expect_error(&rig, ATA_ABRT);
    rig_free(&rig);
}

/* --- packets by PIO -------------------------------------------------------------------------- */

static void
test_a_packet_without_data_ends_with_status(void **state)
{
    struct rig rig = one_cd();

    PACKET(&rig, 0, 0, 0x00);
    expect_end(&rig, 0);
    PACKET(&rig, 0, 0, 0xdf); /* there is no such command */
    expect_end(&rig, 0x50);
    assert_int_equal(sense(&rig), 0x052000);
    assert_int_equal(sense(&rig), 0);
    rig_free(&rig);
}

static void
test_reads_come_in_bursts_of_the_byte_count_limit(void **state)
{
    static const uint16_t limits[] = {2048, 5120, 512, 2, 0xfffe, 0xffff, 4095, 30000};
    struct rig rig = one_cd();
    uint8_t *data = malloc(200 * BLOCK);

    for (uint32_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        uint32_t blocks = limits[i] == 2 ? 1 : limits[i] < 5000 ? 7 : 150;
        uint32_t most = limits[i] == 0xffff ? 0xfffe : limits[i] & ~1u;
        read10(&rig, 0, limits[i], 20, (uint16_t)blocks);
        for (uint32_t at = 0; at < blocks * BLOCK;) {
            uint32_t n = blocks * BLOCK - at < most ? blocks * BLOCK - at : most;
            take_burst(&rig, data + at, n);
            at += n;
        }
        expect_end(&rig, 0);
        check_pattern(data, 80, blocks * 4);
    }
    free(data);
    rig_free(&rig);
}

static void
test_an_odd_limit_counts_in_full_when_it_is_all(void **state)
{
    struct rig rig = one_cd();
    uint8_t data[64];

    PACKET(&rig, 0, 35, 0x12, 0, 0, 0, 35, 0);
    take_burst(&rig, data, 35);
    expect_end(&rig, 0);
    PACKET(&rig, 0, 15, 0x12, 0, 0, 0, 35, 0);
    take_burst(&rig, data, 14);
    take_burst(&rig, data + 14, 14);
    take_burst(&rig, data + 28, 7);
    expect_end(&rig, 0);
    assert_int_equal(data[0], 5);
    assert_memory_equal(data + 16, "Backplane CD/DVD", 16);
    rig_free(&rig);
}

static void
test_a_limit_of_zero_aborts_a_command_with_data(void **state)
{
    struct rig rig = one_cd();

    for (uint16_t limit = 0; limit < 2; limit++) { /* 1: not even a word */
        read10(&rig, 0, limit, 0, 1);
        expect_end(&rig, ATA_ABRT);
        PACKET(&rig, 0, limit, 0x00);
        expect_end(&rig, 0);
    }
    rig_free(&rig);
}

static void
test_overlap_is_refused(void **state)
{
    struct rig rig = one_cd();

    start_packet(&rig, 2, 512);
    assert_int_equal(irq(&rig), 1);
    assert_int_equal(status(&rig), IDLE | ATA_ERR);
    assert_int_equal(get(&rig, ATA_REG_ERROR), ATA_ABRT);
    rig_free(&rig);
}

/* MODE SENSE of page 0Eh as MODE SELECT wants it back; its byte 17 is a volume. */
static void
audio_page(struct rig *rig, uint8_t data[24])
{
    PACKET(rig, 0, 24, 0x5a, 8, 0x0e, 0, 0, 0, 0, 0, 24, 0);
    take_burst(rig, data, 24);
    expect_end(rig, 0);
    assert_int_equal(data[8] & 0x3f, 0x0e);
    data[0] = data[1] = 0;
    data[8] &= 0x3f;
}

static void
test_parameters_go_out_in_bursts(void **state)
{
    struct rig rig = one_cd();
    uint8_t list[24], data[24];

    audio_page(&rig, list);
    list[17] = 55;
    for (uint32_t most = 24; most > 4; most = most == 24 ? 10 : 0) {
        PACKET(&rig, 0, (uint16_t)most, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 24, 0);
        for (uint32_t at = 0; at < 24;) {
            uint32_t n = 24 - at < most ? 24 - at : most;
            assert_int_equal(irq(&rig), 1);
            assert_int_equal(status(&rig), IDLE | ATA_DRQ);
            assert_int_equal(get(&rig, ATA_REG_COUNT), 0);
            assert_int_equal(byte_count(&rig), n);
            data_out(&rig, list + at, n);
            th_run(rig.th);
            at += n;
        }
        expect_end(&rig, 0);
        audio_page(&rig, data);
        assert_int_equal(data[17], 55);
    }
    rig_free(&rig);
}

static void
test_raw_blocks_have_sync_and_header(void **state)
{
    static const uint8_t sync[12] = {0,    0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xff, 0xff, 0xff, 0xff, 0xff, 0};
    struct rig rig = one_cd();
    uint8_t data[2 * 2352];

    PACKET(&rig, 0, 3000, 0xbe, 0, 0, 0, 0, 5, 0, 0, 2, 0xf8, 0, 0);
    take_burst(&rig, data, 3000);
    take_burst(&rig, data + 3000, 1704);
    expect_end(&rig, 0);
    for (uint32_t i = 0; i < 2; i++) {
        assert_memory_equal(data + (size_t)2352 * i, sync, 12);
        check_pattern(data + (size_t)2352 * i + 16, 20 + 4 * i, 4);
    }
    rig_free(&rig);
}

/* --- packets by DMA -------------------------------------------------------------------------- */

static void
test_dma_reads_in_place_with_one_request(void **state)
{
    struct rig rig = one_cd();
    uint32_t count;

    prd(&rig, 0, BUFFER, 6000);
    prd(&rig, 1, BUFFER + 0x2000, 14480 | PRD_EOT);
    read10(&rig, 1, 0, 3, 10);
    assert_int_equal(irq(&rig), 0);
    assert_int_equal(get(&rig, ATA_REG_COUNT), REASON_IO);
    th_block_log_clear(rig.disk);
    bm_start(&rig, 1);
    assert_int_equal(bm_status(&rig), BM_ACTIVE);
    assert_int_equal(alt_status(&rig) & ATA_BSY, ATA_BSY);
    th_run(rig.th);
    assert_int_equal(bm_status(&rig), BM_INT);
    expect_end(&rig, 0);
    (void)th_block_log(rig.disk, &count);
    assert_int_equal(count, 1);
    assert_memory_equal(th_ram(rig.th, BUFFER, 6000), th_block_data(rig.disk) + 3 * BLOCK, 6000);
    assert_memory_equal(th_ram(rig.th, BUFFER + 0x2000, 14480),
                        th_block_data(rig.disk) + 3 * BLOCK + 6000, 14480);
    rig_free(&rig);
}

static void
test_dma_moves_parameters_and_small_pieces(void **state)
{
    struct rig rig = one_cd();
    uint8_t list[24], data[24];

    prd(&rig, 0, BUFFER, 36 | PRD_EOT);
    bm_start(&rig, 1);
    PACKET(&rig, 1, 0, 0x12, 0, 0, 0, 36, 0);
    assert_int_equal(bm_status(&rig), BM_INT);
    expect_end(&rig, 0);
    assert_int_equal(((uint8_t *)th_ram(rig.th, BUFFER, 36))[0], 5);
    bm_stop(&rig);

    for (uint32_t i = 0; i < 1024; i++) { /* more pieces than a request takes */
        prd(&rig, i, BUFFER + 4 * i, 2 | (i == 1023 ? PRD_EOT : 0));
    }
    bm_start(&rig, 1);
    read10(&rig, 1, 0, 9, 1);
    assert_int_equal(bm_status(&rig), BM_INT);
    expect_end(&rig, 0);
    for (uint32_t i = 0; i < 1024; i++) {
        assert_memory_equal(th_ram(rig.th, BUFFER + 4 * i, 2),
                            th_block_data(rig.disk) + 9 * BLOCK + (size_t)2 * i, 2);
    }
    bm_stop(&rig);

    audio_page(&rig, list);
    list[17] = 44;
    memcpy(th_ram(rig.th, BUFFER, 24), list, 24);
    prd(&rig, 0, BUFFER, 24 | PRD_EOT);
    bm_start(&rig, 0);
    PACKET(&rig, 1, 0, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 24, 0);
    assert_int_equal(bm_status(&rig), BM_INT);
    expect_end(&rig, 0);
    audio_page(&rig, data);
    assert_int_equal(data[17], 44);
    rig_free(&rig);
}

static void
test_dma_tables_of_other_lengths_and_places(void **state)
{
    struct rig rig = one_cd();
    uint8_t *ram = th_ram(rig.th, BUFFER, 8192);

    prd(&rig, 0, BUFFER, 8192 | PRD_EOT); /* longer */
    bm_start(&rig, 1);
    read10(&rig, 1, 0, 1, 1);
    assert_int_equal(bm_status(&rig), BM_INT | BM_ACTIVE);
    expect_end(&rig, 0);
    bm_stop(&rig);

    memset(ram, 0xaa, 8192);
    prd(&rig, 0, BUFFER, 3000 | PRD_EOT); /* shorter */
    bm_start(&rig, 1);
    read10(&rig, 1, 0, 1, 2);
    assert_int_equal(bm_status(&rig), 0);
    assert_int_equal(irq(&rig), 0);
    assert_int_equal(status(&rig), IDLE);
    assert_memory_equal(ram, th_block_data(rig.disk) + BLOCK, 3000);
    assert_int_equal(ram[3000], 0xaa);
    bm_stop(&rig);

    prd(&rig, 0, 0xe0000000, 4096 | PRD_EOT); /* nowhere */
    bm_start(&rig, 1);
    read10(&rig, 1, 0, 1, 2);
    assert_int_equal(bm_status(&rig), BM_ERROR);
    assert_int_equal(status(&rig), IDLE);
    bm_stop(&rig);

    th_pci_write(rig.ide, 4, 2, 1); /* no bus master */
    prd(&rig, 0, BUFFER, 4096 | PRD_EOT);
    bm_start(&rig, 1);
    read10(&rig, 1, 0, 1, 2);
    expect_end(&rig, ATA_ABRT);
    PACKET(&rig, 0, 0, 0x00); /* the drive is well */
    expect_end(&rig, 0);
    rig_free(&rig);
}

static void
test_stopping_the_bus_master_in_flight_ends_the_transfer(void **state)
{
    struct rig rig = one_cd();

    prd(&rig, 0, BUFFER, 4096 | PRD_EOT);
    th_block_hold(rig.disk, 1);
    bm_start(&rig, 1);
    read10(&rig, 1, 0, 1, 2);
    th_bar_write(rig.ide, 4, 0, 1, 0);
    assert_int_equal(bm_status(&rig), BM_ACTIVE);
    th_block_release(rig.disk, 1, 0);
    assert_int_equal(bm_status(&rig), BM_INT);
    expect_end(&rig, 0);
    rig_free(&rig);
}

/* --- resets in the middle -------------------------------------------------------------------- */

static void
test_resets_drop_what_is_in_flight(void **state)
{
    struct rig rig = one_cd();

    for (uint32_t how = 0; how < 4; how++) {
        uint32_t dma = how & 1;
        prd(&rig, 0, BUFFER, 4096 | PRD_EOT);
        th_block_hold(rig.disk, 1);
        bm_start(&rig, 1);
        read10(&rig, (uint8_t)dma, 2048, 1, 2);
        assert_int_equal(th_block_in_flight(rig.disk), 1);
        if (how & 2) {
            put(&rig, ATA_REG_STATUS, ATA_DEVICE_RESET);
        } else {
            th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST);
            th_out(rig.th, rig.control, 1, 0);
        }
        assert_int_equal(alt_status(&rig) & ATA_BSY, ATA_BSY); /* until memory is not touched */
        bm_stop(&rig);
        th_block_hold(rig.disk, 0);
        th_run(rig.th);
        assert_int_equal(alt_status(&rig), 0);
        expect_signature(&rig);
        assert_int_equal(irq(&rig), 0);
        assert_int_equal(bm_status(&rig), 0);
        PACKET(&rig, 0, 0, 0x00);
        expect_end(&rig, 0);
    }
    th_block_hold(rig.disk, 1);
    read10(&rig, 0, 2048, 1, 2);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    assert_int_equal(th_block_in_flight(rig.disk), 0);
    expect_signature(&rig);
    rig_free(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resets_leave_the_packet_signature_and_no_drdy),
        cmocka_unit_test(test_device_reset_does_not_get_through_a_software_reset),
        cmocka_unit_test(test_device_reset_keeps_the_selection_and_wakes_from_sleep),
        cmocka_unit_test(test_disk_commands_end_with_abort_and_signature),
        cmocka_unit_test(test_every_other_command_is_done_or_aborted),
        cmocka_unit_test(test_power_modes_are_told),
        cmocka_unit_test(test_identify_packet_device_tells_every_word),
        cmocka_unit_test(test_set_features_takes_transfer_modes),
        cmocka_unit_test(test_a_packet_without_data_ends_with_status),
        cmocka_unit_test(test_reads_come_in_bursts_of_the_byte_count_limit),
        cmocka_unit_test(test_an_odd_limit_counts_in_full_when_it_is_all),
        cmocka_unit_test(test_a_limit_of_zero_aborts_a_command_with_data),
        cmocka_unit_test(test_overlap_is_refused),
        cmocka_unit_test(test_parameters_go_out_in_bursts),
        cmocka_unit_test(test_raw_blocks_have_sync_and_header),
        cmocka_unit_test(test_dma_reads_in_place_with_one_request),
        cmocka_unit_test(test_dma_moves_parameters_and_small_pieces),
        cmocka_unit_test(test_dma_tables_of_other_lengths_and_places),
        cmocka_unit_test(test_stopping_the_bus_master_in_flight_ends_the_transfer),
        cmocka_unit_test(test_resets_drop_what_is_in_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
