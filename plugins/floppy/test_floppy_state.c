/* SPDX-License-Identifier: Apache-2.0 */
/* Saved state in the middle of commands, and states that are refused. */
#include "floppy_test.h"

#include <errno.h>

/* Quiesces and saves one controller, restores the state into a fresh one with the same floppies,
 * memory, time and DMA channel. */
static struct rig
move(struct rig *old, const char *options, uint32_t dma_direction, uint32_t dma_bytes)
{
    struct rig rig = rig_new_media(SIZE_1440K, SIZE_1440K, options);
    uint8_t *saved = NULL;
    uint64_t length = 0;

    assert_int_equal(th_quiesce(old->fdc), 0);
    assert_int_equal(th_save(old->fdc, &saved, &length), 0);
    memcpy(th_block_data(rig.a), th_block_data(old->a), SIZE_1440K);
    memcpy(th_ram(rig.th, 0, TH_LOW_RAM_BYTES), th_ram(old->th, 0, TH_LOW_RAM_BYTES),
           TH_LOW_RAM_BYTES);
    th_clock_step(rig.th, th_clock_now(old->th));
    if (dma_bytes != 0) {
        th_dma_program(rig.th, 2, dma_direction, DATA, dma_bytes, 0);
    }
    assert_int_equal(th_restore(rig.fdc, saved, length), 0);
    th_run(rig.th);
    free(saved);
    rig_free(old);
    return rig;
}

static struct rig
start(const char *options)
{
    return rig_new_media(SIZE_1440K, SIZE_1440K, options);
}

static void
test_half_a_command_is_kept(void **state)
{
    struct rig rig = start(NULL);

    COMMAND(&rig, 0x46, 0, 0, 0);
    rig = move(&rig, NULL, BP_ISADMA_TO_MEMORY, 512);
    assert_int_equal(get(&rig, MSR), MSR_REQUEST | MSR_BUSY);
    COMMAND(&rig, 5, 2, 18, 0x1b, 0xff);
    expect_result(&rig, 0, 0, 0, 0, 0, 6, 2);
    check_pattern(data(&rig), 4, 1, SALT_A);
    rig_free(&rig);
}

static void
test_read_is_kept_between_two_bytes(void **state)
{
    struct rig rig = start(NULL);
    uint8_t bytes[1024];

    COMMAND(&rig, 0x03, 0xaf, 0x03);
    transfer(&rig, 0x46, 0, 0, 0, 7, 8);
    th_ins(rig.th, FIFO, 1, 300, bytes);
    rig = move(&rig, NULL, 0, 0);
    assert_int_equal(irq(&rig), 1);
    th_ins(rig.th, FIFO, 1, 1024 - 300, bytes + 300);
    check_pattern(bytes, 6, 2, SALT_A);
    expect_result(&rig, 0x40, 0x80, 0, 1, 0, 1, 2);
    rig_free(&rig);
}

static void
test_write_is_kept_between_two_sectors(void **state)
{
    struct rig rig = start(NULL);
    uint8_t bytes[1024];

    fill_pattern(bytes, 900, 2, 1);
    COMMAND(&rig, 0x03, 0xaf, 0x03);
    transfer(&rig, 0x45, 0, 0, 0, 7, 8);
    th_outs(rig.th, FIFO, 1, 512, bytes);
    rig = move(&rig, NULL, 0, 0);
    check_pattern(th_block_data(rig.a) + 6 * 512, 6, 1, SALT_A);
    th_outs(rig.th, FIFO, 1, 512, bytes + 512);
    th_run(rig.th);
    expect_result(&rig, 0x40, 0x80, 0, 1, 0, 1, 2);
    check_pattern(th_block_durable(rig.a) + 6 * 512, 900, 2, 1);
    rig_free(&rig);
}

static void
test_command_that_waits_for_dma_is_kept(void **state)
{
    struct rig rig = start(NULL);

    th_dma_mask(rig.th, 2, 1);
    transfer(&rig, 0x46, 0, 0, 0, 2, 18);
    rig = move(&rig, NULL, BP_ISADMA_TO_MEMORY, 1024);
    expect_result(&rig, 0, 0, 0, 0, 0, 4, 2);
    check_pattern(data(&rig), 1, 2, SALT_A);
    rig_free(&rig);
}

static void
test_held_request_is_made_again_elsewhere(void **state)
{
    struct rig rig = start(NULL);

    th_block_fail(rig.a, BP_BLOCK_WRITE, 0, -ENOSPC, BP_BLOCK_RECOVERABLE);
    fill_pattern(data(&rig), 900, 1, 1);
    dma_from_memory(&rig, 512);
    transfer(&rig, 0x45, 0, 0, 0, 1, 18);
    assert_int_equal(th_take_request(rig.th), BP_REQUEST_STOP);
    rig = move(&rig, NULL, 0, 0);
    expect_result(&rig, 0, 0, 0, 0, 0, 2, 2);
    check_pattern(th_block_durable(rig.a), 900, 1, 1);
    rig_free(&rig);
}

static void
test_quiesce_waits_for_the_request_and_holds_the_next(void **state)
{
    struct rig rig = start(NULL);
    const struct bp_life_ops *life = th_table(rig.fdc, BP_LIFE_ID);

    th_block_hold(rig.a, 1);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    assert_int_equal(th_block_in_flight(rig.a), 1);
    assert_non_null(life->quiesce);
    th_block_hold(rig.a, 0);
    rig = move(&rig, NULL, BP_ISADMA_TO_MEMORY, 512);
    if (irq(&rig)) { /* it was through before */
        result(&rig, 7);
    }
    assert_int_equal(get(&rig, MSR), MSR_REQUEST);
    rig_free(&rig);
}

static void
test_result_phase_and_pending_interrupts_are_kept(void **state)
{
    struct rig rig = start(NULL);

    COMMAND(&rig, 0x0f, 1, 7);
    rig = move(&rig, NULL, 0, 0);
    expect_seek_end(&rig, 0x21, 7);
    transfer(&rig, 0x46, 0, 9, 0, 1, 18);
    assert_int_equal(get(&rig, FIFO), 0x40);
    rig = move(&rig, NULL, 0, 0);
    assert_int_equal(irq(&rig), 1);
    result(&rig, 6);
    assert_int_equal(rig.result[0], 0x04);
    assert_int_equal(irq(&rig), 0);
    put(&rig, DSR, 0x80);
    rig = move(&rig, NULL, 0, 0);
    COMMAND(&rig, 0x08);
    result(&rig, 2);
    assert_int_equal(rig.result[0], 0xc0);
    rig_free(&rig);
}

static void
test_seek_and_turn_under_way_go_on(void **state)
{
    struct rig rig = start("timing = \"real\";");

    put(&rig, DOR, 0x1c);
    COMMAND(&rig, 0x03, 0xdf, 0x02);
    COMMAND(&rig, 0x0f, 0, 10);
    th_clock_step(rig.th, 10 * 1000000);
    rig = move(&rig, "timing = \"real\";", 0, 0);
    assert_int_equal(get(&rig, MSR), MSR_REQUEST | 1);
    th_clock_step(rig.th, 40 * 1000000);
    expect_seek_end(&rig, 0x20, 10);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 10, 0, 1, 18);
    rig = move(&rig, "timing = \"real\";", BP_ISADMA_TO_MEMORY, 512);
    assert_int_equal(irq(&rig), 0);
    th_clock_step(rig.th, 600 * 1000000);
    expect_result(&rig, 0, 0, 0, 10, 0, 2, 2);
    check_pattern(data(&rig), 360, 1, SALT_A);
    rig_free(&rig);
}

static void
test_marks_heads_and_change_line_are_kept(void **state)
{
    struct rig rig = start(NULL);

    seek(&rig, 0, 5);
    dma_from_memory(&rig, 512);
    transfer(&rig, 0x49, 0, 5, 0, 2, 18);
    result(&rig, 7);
    rig = move(&rig, NULL, BP_ISADMA_TO_MEMORY, 512);
    assert_int_equal(get(&rig, DIR), 0);
    transfer(&rig, 0x46, 0, 5, 0, 2, 18);
    expect_result(&rig, 0, 0, 0x40, 5, 0, 2, 2);
    rig_free(&rig);
}

/* --- what is refused ----------------------------------------------------------------------------
 */

static void
test_state_of_other_drives_or_floppies_is_refused(void **state)
{
    struct rig rig = start(NULL);
    struct rig other = rig_new_media(SIZE_1440K, 0, NULL);
    struct rig larger = rig_new_media(SIZE_1440K, 2880 * 1024, NULL);
    uint8_t *saved = NULL;
    uint64_t length = 0;

    assert_int_equal(th_save(rig.fdc, &saved, &length), 0);
    assert_int_equal(th_validate(rig.fdc, saved, length), 0);
    assert_int_equal(th_validate(other.fdc, saved, length), -EINVAL);
    assert_int_equal(th_validate(larger.fdc, saved, length), -EINVAL);
    assert_int_equal(th_validate(rig.fdc, saved, length - 8), -EINVAL);
    assert_int_equal(th_validate(rig.fdc, saved, 0), -EINVAL);
    free(saved);
    rig_free(&rig);
    rig_free(&other);
    rig_free(&larger);
}

/* Any byte changed to anything: refused, or restored into something that survives being used. */
static void
test_damaged_states_are_refused_or_survived(void **state)
{
    struct rig rig = start("timing = \"instant\";");
    uint8_t *saved = NULL;
    uint64_t length = 0;
    uint32_t random = 7;
    uint8_t bytes[600];

    COMMAND(&rig, 0x03, 0xaf, 0x03);
    transfer(&rig, 0x45, 0, 0, 0, 7, 8);
    th_outs(rig.th, FIFO, 1, 100, bytes);
    assert_int_equal(th_quiesce(rig.fdc), 0);
    assert_int_equal(th_save(rig.fdc, &saved, &length), 0);
    th_resume(rig.fdc);
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t at;
        uint8_t before;
        random = random * 1664525u + 1013904223u;
        at = (random >> 8) % (length < 3000 ? length : 3000);
        before = saved[at];
        saved[at] = (uint8_t)(random >> 3);
        if (th_validate(rig.fdc, saved, length) == 0) {
            assert_int_equal(th_restore(rig.fdc, saved, length), 0);
            th_outs(rig.th, FIFO, 1, random % 600, bytes);
            th_run(rig.th);
            th_ins(rig.th, FIFO, 1, 20, bytes);
        }
        saved[at] = before;
    }
    free(saved);
    rig_free(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_a_command_is_kept),
        cmocka_unit_test(test_read_is_kept_between_two_bytes),
        cmocka_unit_test(test_write_is_kept_between_two_sectors),
        cmocka_unit_test(test_command_that_waits_for_dma_is_kept),
        cmocka_unit_test(test_held_request_is_made_again_elsewhere),
        cmocka_unit_test(test_quiesce_waits_for_the_request_and_holds_the_next),
        cmocka_unit_test(test_result_phase_and_pending_interrupts_are_kept),
        cmocka_unit_test(test_seek_and_turn_under_way_go_on),
        cmocka_unit_test(test_marks_heads_and_change_line_are_kept),
        cmocka_unit_test(test_state_of_other_drives_or_floppies_is_refused),
        cmocka_unit_test(test_damaged_states_are_refused_or_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
