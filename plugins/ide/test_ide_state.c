/* SPDX-License-Identifier: Apache-2.0 */
/* Saved state at awkward moments, refused states, and registers driven at random. */
#include "ide_test.h"

#include <stdlib.h>

/* Quiesces and saves one controller, restores the state into a fresh one with the same image. */
static struct rig
move(struct rig *old, const char *options)
{
    struct rig rig = rig_new(options);
    uint8_t *data = NULL;
    uint64_t length = 0;

    assert_int_equal(th_quiesce(old->ide), 0);
    assert_int_equal(th_save(old->ide, &data, &length), 0);
    memcpy(th_block_data(rig.disk), th_block_data(old->disk), (size_t)DISK_SECTORS * ATA_SECTOR);
    memcpy(th_ram(rig.th, 0, TH_LOW_RAM_BYTES), th_ram(old->th, 0, TH_LOW_RAM_BYTES),
           TH_LOW_RAM_BYTES);
    assert_int_equal(th_restore(rig.ide, data, length), 0);
    free(data);
    rig_free(old);
    return rig;
}

static void
test_a_read_is_saved_between_two_words(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t data[1536];

    command28(&rig, ATA_READ_SECTORS, 0, 44, 3);
    th_run(rig.th);
    (void)status(&rig);
    data_in(&rig, data, 512 + 100);
    (void)irq(&rig);
    rig = move(&rig, NULL);
    assert_int_equal(irq(&rig), 1); /* of the second block */
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    data_in(&rig, data + 612, 412);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    data_in(&rig, data + 1024, 512);
    check_pattern(data, 44, 3);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC);
    rig_free(&rig);
}

static void
test_a_write_is_saved_between_two_words(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t data[1024];

    fill_pattern(data, 8888, 2);
    command28(&rig, ATA_WRITE_MULTIPLE, 0, 44, 2);
    data_out(&rig, data, 602);
    rig = move(&rig, NULL);
    assert_int_equal(alt_status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    data_out(&rig, data + 602, 422);
    expect_success(&rig);
    check_pattern(th_block_data(rig.disk) + 44 * 512, 8888, 2);
    rig_free(&rig);
}

/* The request in flight ends before the save; the next one is made after the restore. */
static void
test_a_dma_transfer_is_saved_between_two_requests(void **state)
{
    struct rig rig = rig_new(NULL);

    for (uint32_t i = 0; i < 48; i++) {
        prd(&rig, i, 0x100000 + (i << 16), i == 47 ? PRD_EOT : 0);
    }
    bm_start(&rig, 1);
    command48(&rig, ATA_READ_DMA_EXT, 16, 6144); /* three requests of 1 MiB */
    assert_int_equal(th_block_in_flight(rig.disk), 1);
    rig = move(&rig, NULL);
    assert_int_equal(th_block_in_flight(rig.disk), 1);
    expect_success(&rig);
    assert_int_equal(bm_status(&rig), BM_INT);
    check_pattern(th_ram(rig.th, 0x100000, 3 << 20), 16, 6144);
    rig_free(&rig);
}

static void
test_quiesce_holds_and_resume_goes_on(void **state)
{
    struct rig rig = rig_new(NULL);

    for (uint32_t i = 0; i < 48; i++) {
        prd(&rig, i, 0x100000 + (i << 16), i == 47 ? PRD_EOT : 0);
    }
    bm_start(&rig, 1);
    command48(&rig, ATA_READ_DMA_EXT, 16, 6144);
    assert_int_equal(th_quiesce(rig.ide), 0);
    assert_int_equal(th_block_in_flight(rig.disk), 0);
    assert_int_equal(irq(&rig), 0);
    th_resume(rig.ide);
    expect_success(&rig);
    check_pattern(th_ram(rig.th, 0x100000, 3 << 20), 16, 6144);
    rig_free(&rig);
}

static void
test_a_held_write_is_retried_after_the_restore(void **state)
{
    struct rig rig = rig_new("on_write_error = \"stop\";");
    uint8_t data[512];

    fill_pattern(data, 4321, 1);
    th_block_fail(rig.disk, BP_BLOCK_WRITE, 0, -EIO, 0);
    command28(&rig, ATA_WRITE_SECTORS, 0, 12, 1);
    data_out(&rig, data, 512);
    th_run(rig.th);
    assert_int_equal(th_take_request(rig.th), BP_REQUEST_STOP);
    rig = move(&rig, "on_write_error = \"stop\";");
    expect_success(&rig);
    check_pattern(th_block_data(rig.disk) + 12 * 512, 4321, 1);
    rig_free(&rig);
}

static void
test_settings_and_registers_survive(void **state)
{
    struct rig rig = rig_new(NULL);
    uint16_t before[256], after[256];

    command_plain(&rig, ATA_SET_FEATURES, 0x82, 0);
    expect_success(&rig);
    command_plain(&rig, ATA_SET_FEATURES, 3, 0x22);
    expect_success(&rig);
    put(&rig, ATA_REG_DEVICE, 0xa3);
    command_plain(&rig, ATA_INIT_DEVICE_PARAMETERS, 0, 9);
    expect_success(&rig);
    identify(&rig, before);
    put(&rig, ATA_REG_LOW, 0x11);
    put(&rig, ATA_REG_LOW, 0x22);
    th_out(rig.th, rig.control, 1, ATA_CONTROL_NIEN);
    command_plain(&rig, ATA_CHECK_POWER_MODE, 0, 0);
    rig = move(&rig, NULL);
    assert_int_equal(irq(&rig), 0);
    th_out(rig.th, rig.control, 1, ATA_CONTROL_HOB);
    assert_int_equal(irq(&rig), 1);
    assert_int_equal(get(&rig, ATA_REG_LOW), 0x11);
    (void)status(&rig);
    identify(&rig, after);
    assert_memory_equal(before, after, 512);
    rig_free(&rig);
}

static void
test_a_trim_is_saved_between_two_discards(void **state)
{
    struct rig rig = rig_new(NULL);

    th_write(rig.th, BUFFER, 8, 100 | UINT64_C(8) << 48);
    th_write(rig.th, BUFFER + 8, 8, 300 | UINT64_C(8) << 48);
    prd(&rig, 0, BUFFER, 512 | PRD_EOT);
    bm_start(&rig, 0);
    put(&rig, ATA_REG_COUNT, 0);
    command_plain(&rig, ATA_DATA_SET_MANAGEMENT, 1, 1);
    rig = move(&rig, NULL);
    expect_success(&rig);
    assert_int_equal(th_block_data(rig.disk)[307 * 512], 0);
    check_pattern(th_block_data(rig.disk) + 308 * 512, 308, 1);
    rig_free(&rig);
}

/* Every state that a flipped byte makes is refused or harmless. */
static void
test_damaged_states_are_refused_or_harmless(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t *data = NULL;
    uint64_t length = 0;
    uint32_t seed = 1;

    command28(&rig, ATA_WRITE_SECTORS, 0, 44, 3);
    th_out(rig.th, rig.base, 2, 0x1234);
    assert_int_equal(th_quiesce(rig.ide), 0);
    assert_int_equal(th_save(rig.ide, &data, &length), 0);
    th_resume(rig.ide);
    for (uint64_t cut = 0; cut < length; cut += 97) {
        int32_t r = th_validate(rig.ide, data, cut);
        assert_true(r < 0);
    }
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t at = (seed = seed * 1664525 + 1013904223) % (length < 4096 ? length : 4096);
        uint8_t kept = data[at];
        data[at] ^= (uint8_t)(1u << (seed >> 28 & 7));
        if (th_validate(rig.ide, data, length) == 0 && i % 8 == 0) {
            uint8_t sector[2048] = {0};
            assert_int_equal(th_restore(rig.ide, data, length), 0);
            th_outs(rig.th, rig.base, 2, 1024, sector);
            th_ins(rig.th, rig.base, 2, 1024, sector);
            th_run(rig.th);
            th_reset(rig.ide, BP_RESET_SYSTEM);
        }
        data[at] = kept;
    }
    free(data);
    rig_free(&rig);
}

/* --- at random ------------------------------------------------------------------------------- */

static uint32_t
next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void
random_access(struct rig *rig, uint32_t *seed)
{
    uint32_t r = next_random(seed);
    uint32_t value = next_random(seed);
    static const uint8_t opcodes[] = {0x20, 0x24, 0x25, 0x30, 0x34, 0x35, 0x29, 0x39, 0xc4, 0xc5,
                                      0xc8, 0xca, 0x06, 0xe7, 0xec, 0xe8, 0x40, 0xef, 0xc6, 0xb0};
    uint8_t block[4096];

    switch (r % 16) {
    case 0:
    case 1:
        put(rig, 1 + (r >> 8) % 6, (uint8_t)(value & (r & 0x80 ? 0x0f : 0xff)));
        break;
    case 2:
        put(rig, ATA_REG_STATUS, opcodes[(r >> 8) % sizeof(opcodes)]);
        break;
    case 3:
        put(rig, ATA_REG_STATUS, (uint8_t)value);
        break;
    case 4:
        th_out(rig->th, rig->control, 1, value & 0x86);
        break;
    case 5:
        (void)get(rig, 1 + (r >> 8) % 7);
        break;
    case 6:
        th_ins(rig->th, rig->base, 2, (r >> 8) % 1024, block);
        break;
    case 7:
        memset(block, (int)value, sizeof(block));
        th_outs(rig->th, rig->base, 4, (r >> 8) % 1024, block);
        break;
    case 8:
        prd(rig, (r >> 8) % 8, value & 0x1fffffff, next_random(seed));
        break;
    case 9:
        th_bar_write(rig->ide, 4, (r >> 8) % 16, 1u << ((r >> 12) % 3), value);
        break;
    case 10:
        bm_start(rig, value & 1);
        break;
    case 11:
        th_bar_write(rig->ide, 4, rig->bm, 1, 0);
        break;
    case 12:
        th_block_hold(rig->disk, value % 4 == 0);
        break;
    case 13:
        th_block_fail(rig->disk, 0, value % 16, -(int32_t)(5 + value % 3 * 23), 0);
        break;
    case 14:
        rig_channel(rig, value & 1);
        break;
    default:
        th_run(rig->th);
        break;
    }
}

static void
test_random_accesses_break_nothing(void **state)
{
    struct rig rig = rig_new_two(1, 0);
    uint32_t seed = 12345;
    uint16_t id[256];

    for (uint32_t i = 0; i < 300000; i++) {
        random_access(&rig, &seed);
        if (i % 50000 == 0) {
            th_reset(rig.ide, BP_RESET_SYSTEM);
            th_pci_place(rig.ide);
        }
        if (th_take_request(rig.th) == BP_REQUEST_STOP) {
            th_start(rig.ide);
        }
    }
    th_block_hold(rig.disk, 0);
    th_reset(rig.ide, BP_RESET_SYSTEM);
    for (uint32_t c = 0; c < 2; c++) {
        rig_channel(&rig, c);
        identify(&rig, id);
    }
    rig_free(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_read_is_saved_between_two_words),
        cmocka_unit_test(test_a_write_is_saved_between_two_words),
        cmocka_unit_test(test_a_dma_transfer_is_saved_between_two_requests),
        cmocka_unit_test(test_quiesce_holds_and_resume_goes_on),
        cmocka_unit_test(test_a_held_write_is_retried_after_the_restore),
        cmocka_unit_test(test_settings_and_registers_survive),
        cmocka_unit_test(test_a_trim_is_saved_between_two_discards),
        cmocka_unit_test(test_damaged_states_are_refused_or_harmless),
        cmocka_unit_test(test_random_accesses_break_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
