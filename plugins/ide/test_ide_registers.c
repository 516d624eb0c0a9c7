/* SPDX-License-Identifier: Apache-2.0 */
/* Registers, selection, resets, interrupts, and the commands that move no sectors. */
#include "ide_test.h"

static void
test_after_power_on_the_signature_of_a_disk_is_shown(void **state)
{
    struct rig rig = rig_new(NULL);

    assert_int_equal(alt_status(&rig), ATA_DRDY | ATA_DSC);
    assert_int_equal(get(&rig, ATA_REG_ERROR), ATA_DIAGNOSTIC_PASSED);
    assert_int_equal(get(&rig, ATA_REG_COUNT), 1);
    assert_int_equal(get(&rig, ATA_REG_LOW), 1);
    assert_int_equal(get(&rig, ATA_REG_MID), 0);
    assert_int_equal(get(&rig, ATA_REG_HIGH), 0);
    assert_int_equal(irq(&rig), 0);
    rig_free(&rig);
}

static void
test_nobody_answers_on_a_channel_without_devices(void **state)
{
    struct rig rig = rig_new(NULL);

    rig_channel(&rig, 1);
    for (uint8_t unit = 0; unit < 2; unit++) {
        put(&rig, ATA_REG_DEVICE, (uint8_t)(0xa0 | unit << 4));
        put(&rig, ATA_REG_COUNT, 0x55);
        put(&rig, ATA_REG_LOW, 0xaa);
        for (uint32_t i = 0; i < 8; i++) {
            assert_int_equal(get(&rig, i), 0);
        }
        put(&rig, ATA_REG_STATUS, ATA_IDENTIFY_DEVICE);
        put(&rig, ATA_REG_STATUS, ATA_EXECUTE_DIAGNOSTIC);
        th_run(rig.th);
        assert_int_equal(alt_status(&rig), 0);
        assert_int_equal(irq(&rig), 0);
    }
    rig_free(&rig);
}

static void
test_the_master_answers_for_an_absent_slave_with_status_0(void **state)
{
    struct rig rig = rig_new(NULL);

    put(&rig, ATA_REG_DEVICE, 0xb0);
    put(&rig, ATA_REG_COUNT, 0x55);
    put(&rig, ATA_REG_LOW, 0xaa);
    assert_int_equal(get(&rig, ATA_REG_COUNT), 0x55);
    assert_int_equal(get(&rig, ATA_REG_DEVICE), 0xb0);
    assert_int_equal(status(&rig), 0);
    put(&rig, ATA_REG_STATUS, ATA_IDENTIFY_DEVICE); /* ignored */
    th_run(rig.th);
    assert_int_equal(alt_status(&rig), 0);
    assert_int_equal(irq(&rig), 0);
    put(&rig, ATA_REG_DEVICE, 0xa0);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC);
    rig_free(&rig);
}

static void
test_a_slave_alone_works(void **state)
{
    struct rig rig = rig_new_two(1, 1);
    uint16_t id[256];

    rig_channel(&rig, 1);
    assert_int_equal(alt_status(&rig), 0); /* nobody is device 0 */
    put(&rig, ATA_REG_DEVICE, 0xb0);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC);
    identify(&rig, id);
    assert_int_equal(id[93], 0x6b00);
    rig_free(&rig);
}

static void
test_both_devices_take_register_writes_and_one_takes_the_command(void **state)
{
    struct rig rig = rig_new_two(0, 1);
    uint8_t data[512];

    fill_pattern(th_block_data(rig.other), 70000, 16);
    command28(&rig, ATA_READ_SECTORS, 1, 9, 1);
    th_run(rig.th);
    assert_int_equal(irq(&rig), 1);
    (void)status(&rig);
    data_in(&rig, data, 512);
    check_pattern(data, 70009, 1);
    put(&rig, ATA_REG_COUNT, 0x12);
    put(&rig, ATA_REG_DEVICE, 0xa0);
    assert_int_equal(get(&rig, ATA_REG_COUNT), 0x12);
    assert_int_equal(get(&rig, ATA_REG_LOW), 9);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC);
    rig_free(&rig);
}

static void
test_hob_shows_what_was_written_before_and_falls_at_the_next_write(void **state)
{
    struct rig rig = rig_new(NULL);

    for (uint32_t i = ATA_REG_COUNT; i <= ATA_REG_HIGH; i++) {
        put(&rig, i, (uint8_t)(0x10 + i));
        put(&rig, i, (uint8_t)(0x20 + i));
    }
    th_out(rig.th, rig.control, 1, ATA_CONTROL_HOB);
    for (uint32_t i = ATA_REG_COUNT; i <= ATA_REG_HIGH; i++) {
        assert_int_equal(get(&rig, i), 0x10 + i);
    }
    put(&rig, ATA_REG_DEVICE, 0xa0);
    assert_int_equal(get(&rig, ATA_REG_LOW), 0x23);
    rig_free(&rig);
}

static void
test_nien_holds_the_interrupt_back_until_it_is_cleared(void **state)
{
    struct rig rig = rig_new(NULL);

    th_out(rig.th, rig.control, 1, ATA_CONTROL_NIEN);
    command_plain(&rig, ATA_CHECK_POWER_MODE, 0, 0);
    assert_int_equal(irq(&rig), 0);
    assert_int_equal(bm_status(&rig), 0);
    th_out(rig.th, rig.control, 1, 0);
    assert_int_equal(irq(&rig), 1);
    assert_int_equal(bm_status(&rig), BM_INT);
    put(&rig, ATA_REG_STATUS,
        ATA_NOP); /* a command clears a pending interrupt, then makes its own */
    expect_error(&rig, ATA_ABRT);
    rig_free(&rig);
}

static void
test_the_interrupt_of_a_device_that_is_not_selected_waits(void **state)
{
    struct rig rig = rig_new_two(0, 1);

    command_plain(&rig, ATA_CHECK_POWER_MODE, 0, 0);
    assert_int_equal(irq(&rig), 1);
    put(&rig, ATA_REG_DEVICE, 0xb0);
    assert_int_equal(irq(&rig), 0);
    put(&rig, ATA_REG_DEVICE, 0xa0);
    assert_int_equal(irq(&rig), 1);
    rig_free(&rig);
}

static void
test_registers_and_commands_are_ignored_while_busy(void **state)
{
    struct rig rig = rig_new(NULL);
    uint32_t count;

    th_block_hold(rig.disk, 1);
    command28(&rig, ATA_READ_SECTORS, 0, 5, 1);
    put(&rig, ATA_REG_DEVICE, 0xb0);
    put(&rig, ATA_REG_LOW, 77);
    put(&rig, ATA_REG_STATUS, ATA_WRITE_SECTORS);
    assert_int_equal(get(&rig, ATA_REG_DEVICE), 0xe0);
    assert_int_equal(get(&rig, ATA_REG_LOW), 5);
    th_block_release(rig.disk, 1, 0);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    put(&rig, ATA_REG_STATUS, ATA_IDENTIFY_DEVICE); /* nor while data is waiting */
    th_run(rig.th);
    assert_int_equal(irq(&rig), 0);
    (void)th_block_log(rig.disk, &count);
    assert_int_equal(count, 1);
    rig_free(&rig);
}

static void
test_srst_ends_a_pio_transfer_and_shows_the_signature(void **state)
{
    struct rig rig = rig_new(NULL);

    command28(&rig, ATA_READ_SECTORS, 0, 5, 2);
    th_run(rig.th);
    th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST);
    assert_int_equal(alt_status(&rig), ATA_BSY);
    assert_int_equal(irq(&rig), 0);
    th_out(rig.th, rig.control, 1, 0);
    assert_int_equal(alt_status(&rig), ATA_DRDY | ATA_DSC);
    assert_int_equal(get(&rig, ATA_REG_LOW), 1);
    assert_int_equal(get(&rig, ATA_REG_ERROR), 1);
    assert_int_equal(th_in(rig.th, rig.base, 2), 0);
    assert_int_equal(irq(&rig), 0);
    command_plain(&rig, ATA_CHECK_POWER_MODE, 0, 0);
    expect_success(&rig);
    rig_free(&rig);
}

static void
test_a_channel_whose_decode_is_disabled_is_not_there(void **state)
{
    struct rig rig = rig_new(NULL);
    uint16_t words[2] = {0};

    put(&rig, ATA_REG_STATUS, ATA_IDENTIFY_DEVICE);
    th_pci_write(rig.ide, 0x40, 2, 0x0307);
    assert_int_equal(alt_status(&rig), 0xff);
    assert_int_equal(get(&rig, ATA_REG_COUNT), 0xff);
    data_in(&rig, words, 4);
    assert_int_equal(words[1], 0xffff);
    put(&rig, ATA_REG_COUNT, 0x12);
    put(&rig, ATA_REG_STATUS, ATA_EXECUTE_DIAGNOSTIC);
    th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST);
    th_pci_write(rig.ide, 0x40, 2, 0x8307);
    assert_int_equal(alt_status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ); /* nothing was lost */
    assert_int_equal(get(&rig, ATA_REG_COUNT), 1);
    th_pci_write(rig.ide, 0x42, 2, 0); /* the other channel's */
    assert_int_equal(alt_status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    th_pci_write(rig.ide, 0x40, 2, 0);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    assert_int_equal(alt_status(&rig), ATA_DRDY | ATA_DSC);
    rig_free(&rig);
}

static void
test_the_function_can_be_a_piix4s(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *ide = th_plug(th, &backplane_plugin_v1, "ide0", "chip = \"piix4\";");

    assert_non_null(ide);
    assert_int_equal(th_pci_read(ide, 0, 4), 0x71118086);
    th_pci_write(ide, 0x48, 4, 0xffffffff);
    assert_int_equal(th_pci_read(ide, 0x48, 4), 0x3333000f);
    th_free(th);
}

static void
test_a_second_srst_is_busy_whatever_ends_meanwhile(void **state)
{
    struct rig rig = rig_new(NULL);

    th_block_hold(rig.disk, 1);
    command28(&rig, ATA_READ_SECTORS, 0, 5, 1);
    th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST);
    th_out(rig.th, rig.control, 1, 0); /* busy until the request has ended */
    th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST);
    th_block_hold(rig.disk, 0);
    th_run(rig.th);
    assert_int_equal(alt_status(&rig), ATA_BSY);
    put(&rig, ATA_REG_STATUS, ATA_CHECK_POWER_MODE);
    put(&rig, ATA_REG_STATUS, ATA_EXECUTE_DIAGNOSTIC);
    th_run(rig.th);
    assert_int_equal(alt_status(&rig), ATA_BSY);
    th_out(rig.th, rig.control, 1, 0);
    assert_int_equal(alt_status(&rig), ATA_DRDY | ATA_DSC);
    rig_free(&rig);
}

static void
test_srst_stays_busy_until_the_request_in_flight_has_ended(void **state)
{
    struct rig rig = rig_new(NULL);

    th_block_hold(rig.disk, 1);
    prd(&rig, 0, BUFFER, 512 | PRD_EOT);
    bm_start(&rig, 1);
    command28(&rig, ATA_READ_DMA, 0, 5, 1);
    th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST);
    th_out(rig.th, rig.control, 1, 0);
    th_bar_write(rig.ide, 4, 0, 1, 0);
    assert_int_equal(alt_status(&rig), ATA_BSY);
    assert_int_equal(bm_status(&rig), BM_ACTIVE);
    put(&rig, ATA_REG_STATUS, ATA_IDENTIFY_DEVICE); /* too early */
    th_block_release(rig.disk, 1, 0);
    assert_int_equal(alt_status(&rig), ATA_DRDY | ATA_DSC);
    assert_int_equal(get(&rig, ATA_REG_ERROR), 1);
    assert_int_equal(irq(&rig), 0);
    assert_int_equal(bm_status(&rig), 0);
    th_block_hold(rig.disk, 0);
    bm_start(&rig, 1);
    command28(&rig, ATA_READ_DMA, 0, 6, 1);
    expect_success(&rig);
    check_pattern(th_ram(rig.th, BUFFER, 512), 6, 1);
    rig_free(&rig);
}

static void
test_a_system_reset_leaves_nothing_in_flight(void **state)
{
    struct rig rig = rig_new_two(1, 0);
    struct rig second = rig;

    rig_channel(&second, 1);
    th_block_hold(rig.disk, 1);
    th_block_hold(rig.other, 1);
    prd(&rig, 0, BUFFER, 512 | PRD_EOT);
    bm_start(&rig, 1);
    command28(&rig, ATA_READ_DMA, 0, 5, 1);
    command28(&second, ATA_READ_SECTORS, 0, 5, 1);
    memset(th_ram(rig.th, BUFFER, 512), 0xaa, 512);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    assert_int_equal(th_block_in_flight(rig.disk), 0);
    assert_int_equal(th_block_in_flight(rig.other), 0);
    assert_int_equal(th_read(rig.th, BUFFER, 4), 0xaaaaaaaa);
    assert_int_equal(alt_status(&rig), ATA_DRDY | ATA_DSC);
    assert_int_equal(alt_status(&second), ATA_DRDY | ATA_DSC);
    assert_int_equal(irq(&rig), 0);
    rig_free(&rig);
}

static void
test_diagnostic_runs_on_both_and_device_0_interrupts(void **state)
{
    struct rig rig = rig_new_two(0, 1);

    put(&rig, ATA_REG_DEVICE, 0xb0);
    put(&rig, ATA_REG_STATUS, ATA_EXECUTE_DIAGNOSTIC);
    assert_int_equal(irq(&rig), 1);
    assert_int_equal(get(&rig, ATA_REG_DEVICE) & ATA_DEVICE_DEV, 0);
    assert_int_equal(get(&rig, ATA_REG_ERROR), ATA_DIAGNOSTIC_PASSED);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC);
    put(&rig, ATA_REG_DEVICE, 0xb0);
    assert_int_equal(get(&rig, ATA_REG_ERROR), ATA_DIAGNOSTIC_PASSED);
    assert_int_equal(irq(&rig), 0);
    rig_free(&rig);
}

static void
test_packet_identify_is_aborted_with_the_signature(void **state)
{
    struct rig rig = rig_new(NULL);

    put(&rig, ATA_REG_MID, 0x14);
    put(&rig, ATA_REG_HIGH, 0xeb);
    put(&rig, ATA_REG_STATUS, ATA_IDENTIFY_PACKET_DEVICE);
    expect_error(&rig, ATA_ABRT);
    assert_int_equal(get(&rig, ATA_REG_MID), 0);
    assert_int_equal(get(&rig, ATA_REG_HIGH), 0);
    rig_free(&rig);
}

static void
test_every_command_that_is_not_offered_is_aborted(void **state)
{
    struct rig rig = rig_new(NULL);
    static const uint8_t first_last[][2] = {
        {0x06, 0x06}, {0x10, 0x25}, {0x27, 0x27}, {0x29, 0x2b}, {0x2f, 0x31}, {0x34, 0x35},
        {0x37, 0x37}, {0x39, 0x3d}, {0x3f, 0x42}, {0x47, 0x47}, {0x51, 0x51}, {0x57, 0x57},
        {0x70, 0x7f}, {0x90, 0x91}, {0x94, 0x99}, {0xb0, 0xb1}, {0xc4, 0xc6}, {0xc8, 0xcb},
        {0xce, 0xce}, {0xe0, 0xec}, {0xef, 0xef}, {0xf1, 0xf6}, {0xf8, 0xf9}};
    static const uint8_t holes[] = {0x22, 0x23};
    uint32_t refused = 0;

    for (uint32_t opcode = 0; opcode < 256; opcode++) {
        uint32_t offered = 0;
        for (uint32_t i = 0; i < sizeof(first_last) / 2; i++) {
            offered |= opcode >= first_last[i][0] && opcode <= first_last[i][1];
        }
        for (uint32_t i = 0; i < sizeof(holes); i++) {
            offered &= opcode != holes[i];
        }
        if (!offered) {
            put(&rig, ATA_REG_STATUS, (uint8_t)opcode);
            expect_error(&rig, ATA_ABRT);
            refused++;
        }
    }
    assert_int_equal(refused, 256 - 99);
    rig_free(&rig);
}

static void
test_recalibrate_and_seek_succeed(void **state)
{
    struct rig rig = rig_new(NULL);

    for (uint32_t i = 0; i < 16; i++) {
        put(&rig, ATA_REG_STATUS, (uint8_t)(0x10 + i));
        expect_success(&rig);
        command28(&rig, (uint8_t)(0x70 + i), 0, 1000, 9);
        expect_success(&rig);
        assert_int_equal(get(&rig, ATA_REG_COUNT), 9);
    }
    rig_free(&rig);
}

static uint8_t
power_mode(struct rig *rig, uint8_t opcode)
{
    put(rig, ATA_REG_STATUS, opcode);
    expect_success(rig);
    return get(rig, ATA_REG_COUNT);
}

static void
test_power_modes_by_both_sets_of_opcodes(void **state)
{
    struct rig rig = rig_new(NULL);
    static const uint8_t sets[2][6] = {{ATA_CHECK_POWER_MODE, ATA_STANDBY_IMMEDIATE,
                                        ATA_IDLE_IMMEDIATE, ATA_STANDBY, ATA_IDLE, ATA_SLEEP},
                                       {ATA_OLD_CHECK_POWER_MODE, ATA_OLD_STANDBY_IMMEDIATE,
                                        ATA_OLD_IDLE_IMMEDIATE, ATA_OLD_STANDBY, ATA_OLD_IDLE,
                                        ATA_OLD_SLEEP}};

    for (uint32_t i = 0; i < 2; i++) {
        const uint8_t *set = sets[i];
        command28(&rig, ATA_VERIFY, 0, 0, 1);
        expect_success(&rig);
        assert_int_equal(power_mode(&rig, set[0]), 0xff);
        put(&rig, ATA_REG_STATUS, set[1]);
        expect_success(&rig);
        assert_int_equal(power_mode(&rig, set[0]), 0x00);
        put(&rig, ATA_REG_STATUS, set[2]);
        expect_success(&rig);
        assert_int_equal(power_mode(&rig, set[0]), 0x80);
        command_plain(&rig, set[4], 0, 12); /* one minute */
        expect_success(&rig);
        th_clock_step(rig.th, UINT64_C(59000000000));
        assert_int_equal(power_mode(&rig, set[0]), 0x80);
        th_clock_step(rig.th, UINT64_C(2000000000));
        assert_int_equal(power_mode(&rig, set[0]), 0x00);
        command_plain(&rig, set[3], 0, 0);
        expect_success(&rig);
        put(&rig, ATA_REG_STATUS, set[5]);
        expect_success(&rig);
        put(&rig, ATA_REG_STATUS, set[0]); /* asleep: only a reset wakes it */
        th_run(rig.th);
        assert_int_equal(irq(&rig), 0);
        th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST);
        th_out(rig.th, rig.control, 1, 0);
        (void)power_mode(&rig, set[0]);
    }
    rig_free(&rig);
}

static void
test_set_features_take_and_refuse(void **state)
{
    struct rig rig = rig_new(NULL);
    static const uint8_t good[] = {0x02, 0x82, 0x55, 0xaa, 0x66, 0xcc, 0x85, 0x42, 0xc2};
    static const uint8_t bad[] = {0x00, 0x01, 0x10, 0x90, 0x77, 0x88, 0xbb, 0xff};
    static const uint8_t modes[] = {0, 1, 8, 0xc, 0x10, 0x12, 0x20, 0x22, 0x40, 0x45};
    static const uint8_t no_modes[] = {2, 0xd, 0x13, 0x18, 0x23, 0x46, 0x80, 0xff};

    for (uint32_t i = 0; i < sizeof(good); i++) {
        command_plain(&rig, ATA_SET_FEATURES, good[i], 0);
        expect_success(&rig);
    }
    for (uint32_t i = 0; i < sizeof(bad); i++) {
        command_plain(&rig, ATA_SET_FEATURES, bad[i], 0);
        expect_error(&rig, ATA_ABRT);
    }
    for (uint32_t i = 0; i < sizeof(modes); i++) {
        command_plain(&rig, ATA_SET_FEATURES, 3, modes[i]);
        expect_success(&rig);
    }
    for (uint32_t i = 0; i < sizeof(no_modes); i++) {
        command_plain(&rig, ATA_SET_FEATURES, 3, no_modes[i]);
        expect_error(&rig, ATA_ABRT);
    }
    command_plain(&rig, ATA_SET_FEATURES, 5, 0); /* APM level 0 is reserved */
    expect_error(&rig, ATA_ABRT);
    command_plain(&rig, ATA_SET_FEATURES, 5, 0x80);
    expect_success(&rig);
    rig_free(&rig);
}

static void
test_sector_buffer_comes_back(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t out[512], in[512];

    fill_pattern(out, 4242, 1);
    put(&rig, ATA_REG_STATUS, ATA_WRITE_BUFFER);
    assert_int_equal(irq(&rig), 0);
    data_out(&rig, out, 512);
    expect_success(&rig);
    put(&rig, ATA_REG_STATUS, ATA_READ_BUFFER);
    assert_int_equal(irq(&rig), 1);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    data_in(&rig, in, 512);
    assert_memory_equal(in, out, 512);
    rig_free(&rig);
}

static void
test_flush_reaches_the_backend_and_its_failure_the_guest(void **state)
{
    struct rig rig = rig_new(NULL);
    uint32_t count;
    const struct th_block_op *log;

    put(&rig, ATA_REG_STATUS, ATA_FLUSH_CACHE);
    assert_int_equal(status(&rig), ATA_BSY | ATA_DRDY | ATA_DSC);
    expect_success(&rig);
    put(&rig, ATA_REG_STATUS, ATA_FLUSH_CACHE_EXT);
    expect_success(&rig);
    log = th_block_log(rig.disk, &count);
    assert_int_equal(count, 2);
    assert_int_equal(log[1].op, BP_BLOCK_FLUSH);
    th_block_fail(rig.disk, BP_BLOCK_FLUSH, 0, -EIO, 0);
    put(&rig, ATA_REG_STATUS, ATA_FLUSH_CACHE);
    expect_error(&rig, ATA_ABRT);
    rig_free(&rig);
}

static void
test_timing_registers_are_kept_and_say_enabled_after_reset(void **state)
{
    struct rig rig = rig_new(NULL);

    assert_int_equal(th_pci_read(rig.ide, 0, 4), 0x70108086);
    assert_int_equal(th_pci_read(rig.ide, 8, 4), 0x01018000);
    assert_int_equal(th_pci_read(rig.ide, 0x40, 4), 0x80008000);
    th_pci_write(rig.ide, 0x40, 4, 0xa307e377);
    assert_int_equal(th_pci_read(rig.ide, 0x40, 4), 0xa307e377);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    assert_int_equal(th_pci_read(rig.ide, 0x40, 4), 0x80008000);
    rig_free(&rig);
}

static void
test_word_accesses_to_registers_reach_each_byte(void **state)
{
    struct rig rig = rig_new(NULL);

    th_out(rig.th, (uint16_t)(rig.base + ATA_REG_COUNT), 2, 0x3412);
    assert_int_equal(get(&rig, ATA_REG_COUNT), 0x12);
    assert_int_equal(get(&rig, ATA_REG_LOW), 0x34);
    assert_int_equal(th_in(rig.th, (uint16_t)(rig.base + ATA_REG_DEVICE), 2), 0x50a0);
    assert_int_equal(th_port_claimed(rig.th, 0x3f7), 0); /* the floppy controller's */
    rig_free(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after_power_on_the_signature_of_a_disk_is_shown),
        cmocka_unit_test(test_nobody_answers_on_a_channel_without_devices),
        cmocka_unit_test(test_the_master_answers_for_an_absent_slave_with_status_0),
        cmocka_unit_test(test_a_slave_alone_works),
        cmocka_unit_test(test_both_devices_take_register_writes_and_one_takes_the_command),
        cmocka_unit_test(test_hob_shows_what_was_written_before_and_falls_at_the_next_write),
        cmocka_unit_test(test_nien_holds_the_interrupt_back_until_it_is_cleared),
        cmocka_unit_test(test_the_interrupt_of_a_device_that_is_not_selected_waits),
        cmocka_unit_test(test_registers_and_commands_are_ignored_while_busy),
        cmocka_unit_test(test_srst_ends_a_pio_transfer_and_shows_the_signature),
        cmocka_unit_test(test_a_channel_whose_decode_is_disabled_is_not_there),
        cmocka_unit_test(test_the_function_can_be_a_piix4s),
        cmocka_unit_test(test_a_second_srst_is_busy_whatever_ends_meanwhile),
        cmocka_unit_test(test_srst_stays_busy_until_the_request_in_flight_has_ended),
        cmocka_unit_test(test_a_system_reset_leaves_nothing_in_flight),
        cmocka_unit_test(test_diagnostic_runs_on_both_and_device_0_interrupts),
        cmocka_unit_test(test_packet_identify_is_aborted_with_the_signature),
        cmocka_unit_test(test_every_command_that_is_not_offered_is_aborted),
        cmocka_unit_test(test_recalibrate_and_seek_succeed),
        cmocka_unit_test(test_power_modes_by_both_sets_of_opcodes),
        cmocka_unit_test(test_set_features_take_and_refuse),
        cmocka_unit_test(test_sector_buffer_comes_back),
        cmocka_unit_test(test_flush_reaches_the_backend_and_its_failure_the_guest),
        cmocka_unit_test(test_timing_registers_are_kept_and_say_enabled_after_reset),
        cmocka_unit_test(test_word_accesses_to_registers_reach_each_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
