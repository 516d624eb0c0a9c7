/* SPDX-License-Identifier: Apache-2.0 */
/* A CD/DVD drive, command by command. */
#include "ecc.h"
#include "test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CD_BLOCKS  1000u
#define DVD_BLOCKS 2000000u

static int
setup(void **state)
{
    *state =
        rig_new(BP_SCSI_TYPE_CDROM, BP_SCSI_ATAPI | BP_SCSI_LENIENT, CD_BLOCKS, BP_SCSI_KEEP_SENSE);
    return 0;
}

static int
setup_dvd(void **state)
{
    *state = rig_new(BP_SCSI_TYPE_CDROM, BP_SCSI_ATAPI | BP_SCSI_LENIENT, DVD_BLOCKS,
                     BP_SCSI_KEEP_SENSE);
    return 0;
}

static int
setup_scsi(void **state)
{
    *state = rig_new(BP_SCSI_TYPE_CDROM, 0, CD_BLOCKS, 0);
    return 0;
}

static int
teardown(void **state)
{
    rig_free(*state);
    return 0;
}

static uint32_t
be(const uint8_t *bytes, uint32_t count)
{
    uint32_t value = 0;

    while (count-- > 0) {
        value = value << 8 | *bytes++;
    }
    return value;
}

static void
expect_data(struct rig *rig, const uint8_t *bytes, uint32_t length)
{
    assert_int_equal(rig->task.status, BP_SCSI_GOOD);
    assert_int_equal(rig->task.moved, length);
    assert_memory_equal(rig->data, bytes, length);
}

/* REQUEST SENSE of nexus 0. */
static void
expect_sense(struct rig *rig, uint32_t key, uint32_t code)
{
    assert_int_equal(RUN(rig, 0x03, 0, 0, 0, 18, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->task.moved, 18);
    assert_int_equal(rig->data[0], 0x70);
    assert_int_equal(rig->data[2], key);
    assert_int_equal(rig->data[7], 10);
    assert_int_equal(be(rig->data + 12, 2), code);
}

/* --- identity ----------------------------------------------------------------------------------
 */

static void
test_inquiry_of_an_atapi_drive_is_sff_8020(void **state)
{
    struct rig *rig = *state;
    static const uint8_t expected[36] = "\x05\x80\x00\x21\x1f\x00\x00\x00"
                                        "BACKPLN "
                                        "TEST UNIT       "
                                        "1.0 ";

    RUN(rig, 0x12, 0, 0, 0, 36, 0);
    expect_data(rig, expected, 36);
    RUN(rig, 0x12, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0);
    expect_data(rig, expected, 36);
    RUN(rig, 0x12, 0, 0, 0, 5, 0);
    expect_data(rig, expected, 5);
    assert_int_equal(RUN(rig, 0x12, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->task.moved, 0);
    RUN(rig, 0x12, 0, 0x80, 0, 36, 0);
    rig_expect(rig, 5, 0x2400);
}

static void
test_vital_product_data_lists_only_what_there_is(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0x12, 1, 0, 0, 255, 0);
    expect_data(rig, CDB(5, 0, 0, 3, 0, 0x80, 0x83), 7);
    RUN(rig, 0x12, 1, 0x80, 0, 255, 0);
    expect_data(rig, CDB(5, 0x80, 0, 4, 'S', '1', '2', '3'), 8);
    RUN(rig, 0x12, 1, 0x83, 0, 255, 0);
    assert_int_equal(rig->task.moved, be(rig->data + 2, 2) + 4);
    assert_memory_equal(rig->data + 4, CDB(2, 1, 0, 28), 4);
    assert_memory_equal(rig->data + 8, "BACKPLN TEST UNIT       S123", 28);
    assert_memory_equal(rig->data + 36, CDB(1, 3, 0, 8, 0x50, 0, 0xc5, 0, 0xa1, 0xb2, 0xc3, 0xd4),
                        12);
    RUN(rig, 0x12, 1, 0xb0, 0, 255, 0);
    rig_expect(rig, 5, 0x2400);
}

/* --- sense data and unit attentions ------------------------------------------------------------
 */

static void
test_sense_is_kept_until_it_is_fetched_or_another_command_begins(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0xff, 0, 0, 0, 0, 0);
    rig_expect(rig, 5, 0x2000);
    assert_int_equal(rig->nexus[0].kept.key, 5);
    expect_sense(rig, 5, 0x2000);
    expect_sense(rig, 0, 0);
    RUN(rig, 0xff, 0, 0, 0, 0, 0);
    assert_int_equal(RUN(rig, 0x00, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
    expect_sense(rig, 0, 0);
}

static void
test_unit_attention_of_an_atapi_drive_lasts_until_request_sense(void **state)
{
    struct rig *rig = *state;

    bp_scsi_unit_reset(&rig->unit, 0x2901);
    for (uint32_t i = 0; i < 3; i++) {
        RUN(rig, 0x00, 0, 0, 0, 0, 0);
        rig_expect(rig, 6, 0x2901);
    }
    assert_int_equal(RUN(rig, 0x12, 0, 0, 0, 36, 0), BP_SCSI_GOOD);
    RUN(rig, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    rig_expect(rig, 6, 0x2901);
    expect_sense(rig, 6, 0x2901);
    assert_int_equal(RUN(rig, 0x00, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
}

static void
test_unit_attention_of_a_scsi_drive_is_told_once_to_each_initiator(void **state)
{
    struct rig *rig = *state;

    bp_scsi_unit_reset(&rig->unit, 0x2901);
    for (uint32_t n = 0; n < RIG_NEXUS; n++) {
        assert_int_equal(rig_command(rig, n, CDB(0, 0, 0, 0, 0, 0), 6, 0), 2);
        rig_expect(rig, 6, 0x2901);
        assert_int_equal(rig_command(rig, n, CDB(0, 0, 0, 0, 0, 0), 6, 0), 0);
    }
    bp_scsi_nexus_attention(&rig->nexus[0], 0x2a01);
    RUN(rig, 0x03, 1, 0, 0, 96, 0); /* descriptor format */
    expect_data(rig, CDB(0x72, 6, 0x2a, 1, 0, 0, 0, 0), 8);
    assert_int_equal(RUN(rig, 0x00, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
}

static void
test_reserved_bits_are_refused_with_a_field_pointer_unless_lenient(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0x28, 0, 0, 0, 0, 0, 0x40, 0, 1, 0);
    rig_expect(rig, 5, 0x2400);
    assert_memory_equal(rig->task.sense + 15, CDB(0xc0 | 0x08 | 6, 0, 6), 3);
    RUN(rig, 0x00, 0, 0, 0, 0, 0x01);
    rig_expect(rig, 5, 0x2400);
    assert_memory_equal(rig->task.sense + 15, CDB(0xc8, 0, 5), 3);
    rig->unit.identity.flags |= BP_SCSI_LENIENT;
    assert_int_equal(RUN(rig, 0x00, 0, 0, 0, 0, 0x01), BP_SCSI_GOOD);
    /* a CDB that is too short is refused whatever */
    RUN(rig, 0x28, 0, 0, 0, 0, 0);
    rig_expect(rig, 5, 0x2400);
}

/* --- the medium --------------------------------------------------------------------------------
 */

static void
test_medium_change_is_not_ready_and_then_unit_attention(void **state)
{
    struct rig *rig = *state;

    rig_medium(rig, 1); /* another one */
    RUN(rig, 0x00, 0, 0, 0, 0, 0);
    rig_expect(rig, 2, 0x3a00);
    RUN(rig, 0x00, 0, 0, 0, 0, 0);
    rig_expect(rig, 6, 0x2800);
    expect_sense(rig, 6, 0x2800);
    assert_int_equal(RUN(rig, 0x00, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
}

static void
test_removal_is_not_ready_for_as_long_as_it_lasts(void **state)
{
    struct rig *rig = *state;

    rig_medium(rig, 0);
    for (uint32_t i = 0; i < 3; i++) {
        RUN(rig, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
        rig_expect(rig, 2, 0x3a01);
    }
    rig_medium(rig, 1);
    RUN(rig, 0x00, 0, 0, 0, 0, 0);
    rig_expect(rig, 6, 0x2800); /* absence had been told */
    expect_sense(rig, 6, 0x2800);
    assert_int_equal(RUN(rig, 0x00, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
    /* who did not look meanwhile still gets both */
    rig_command(rig, 1, CDB(0, 0, 0, 0, 0, 0), 6, 0);
    rig_expect(rig, 2, 0x3a00);
    rig_command(rig, 1, CDB(0, 0, 0, 0, 0, 0), 6, 0);
    rig_expect(rig, 6, 0x2800);
}

static void
test_every_command_that_needs_a_medium_says_so(void **state)
{
    static const uint8_t opcodes[] = {0x00, 0x08, 0x25, 0x28, 0x2b, 0x42, 0x43, 0x45, 0x47, 0x4b,
                                      0x4e, 0x51, 0x52, 0xa5, 0xa8, 0xad, 0xb9, 0xba, 0xbe};
    struct rig *rig = *state;

    rig_medium(rig, 0);
    for (uint32_t i = 0; i < sizeof(opcodes); i++) {
        RUN(rig, opcodes[i], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        rig_expect(rig, 2, 0x3a01);
    }
}

static void
test_guest_ejects_and_loads(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(RUN(rig, 0x1b, 0, 0, 0, 2, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->unit.tray_open, 1);
    assert_int_equal(rig->tray_calls, 1);
    RUN(rig, 0x00, 0, 0, 0, 0, 0);
    rig_expect(rig, 2, 0x3a02);
    RUN(rig, 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0);
    expect_data(rig, CDB(0, 0x10, 0, 0, 0, 1, 0, 0), 8);
    assert_int_equal(RUN(rig, 0x1b, 1, 0, 0, 3, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->tray_calls, 2);
    RUN(rig, 0x00, 0, 0, 0, 0, 0);
    rig_expect(rig, 6, 0x2800);
    expect_sense(rig, 6, 0x2800);
    /* LOAD/UNLOAD does the same, of slot 0 alone */
    assert_int_equal(RUN(rig, 0xa6, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->unit.tray_open, 1);
    RUN(rig, 0xa6, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0);
    rig_expect(rig, 5, 0x2400);
}

static void
test_prevention_holds_the_tray_and_the_operator(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(RUN(rig, 0x1e, 0, 0, 0, 1, 0), BP_SCSI_GOOD);
    RUN(rig, 0x1b, 0, 0, 0, 2, 0);
    rig_expect(rig, 2, 0x5302);
    assert_int_equal(bp_scsi_unit_set_tray(&rig->unit, 1, 0), -EBUSY);
    RUN(rig, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0);
    expect_data(rig, CDB(0, 6, 4, 0x16, 1, 2, 0, 0), 8); /* eject request */
    RUN(rig, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0);
    expect_data(rig, CDB(0, 6, 4, 0x16, 0, 2, 0, 0), 8);
    /* persistent prevention is another one */
    assert_int_equal(RUN(rig, 0x1e, 0, 0, 0, 3, 0), BP_SCSI_GOOD);
    assert_int_equal(RUN(rig, 0x1e, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
    RUN(rig, 0x1b, 0, 0, 0, 2, 0);
    rig_expect(rig, 2, 0x5302);
    assert_int_equal(RUN(rig, 0x1e, 0, 0, 0, 2, 0), BP_SCSI_GOOD);
    assert_int_equal(RUN(rig, 0x1b, 0, 0, 0, 2, 0), BP_SCSI_GOOD);
    assert_int_equal(bp_scsi_unit_set_tray(&rig->unit, 0, 0), 0);
    RUN(rig, 0x1e, 0, 0, 0, 1, 0);
    assert_int_equal(bp_scsi_unit_set_tray(&rig->unit, 1, 1), 0);
}

static void
test_event_status_tells_media_once(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8, 0);
    rig_expect(rig, 5, 0x2400); /* asynchronous */
    rig_medium(rig, 0);
    RUN(rig, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 4, 0);
    expect_data(rig, CDB(0, 6, 4, 0x16), 4); /* the event is not lost */
    RUN(rig, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0);
    expect_data(rig, CDB(0, 6, 4, 0x16, 3, 0, 0, 0), 8);
    rig_medium(rig, 1);
    RUN(rig, 0x4a, 1, 0, 0, 0x16, 0, 0, 0, 8, 0);
    expect_data(rig, CDB(0, 6, 1, 0x16, 2, 0, 0, 1), 8); /* operational change first */
    RUN(rig, 0x4a, 1, 0, 0, 0x16, 0, 0, 0, 8, 0);
    expect_data(rig, CDB(0, 6, 4, 0x16, 2, 2, 0, 0), 8);
    RUN(rig, 0x4a, 1, 0, 0, 0x16, 0, 0, 0, 8, 0);
    expect_data(rig, CDB(0, 6, 1, 0x16, 0, 0, 0, 0), 8);
    RUN(rig, 0x4a, 1, 0, 0, 0x40, 0, 0, 0, 8, 0);
    expect_data(rig, CDB(0, 2, 0x80, 0x16), 4);
}

/* --- reading -----------------------------------------------------------------------------------
 */

static void
test_read_10_gives_the_blocks_whatever_the_windows(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(RUN(rig, 0x28, 0, 0, 0, 0, 16, 0, 0, 20, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->task.moved, 20 * 2048);
    assert_memory_equal(rig->data, rig->image + 16 * 2048, 20 * 2048);
    memset(rig->data, 0, 20 * 2048);
    assert_int_equal(rig_command(rig, 0, CDB(0xa8, 0, 0, 0, 0, 17, 0, 0, 0, 20, 0, 0), 12, 6144),
                     0);
    assert_memory_equal(rig->data, rig->image + 17 * 2048, 20 * 2048);
    assert_int_equal(RUN(rig, 0x08, 0, 0, 5, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->task.moved, 256 * 2048);
    assert_memory_equal(rig->data, rig->image + 5 * 2048, 256 * 2048);
    assert_int_equal(RUN(rig, 0x28, 0, 0, 0, 0, 16, 0, 0, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->task.moved, 0);
}

static void
test_reading_past_the_end_is_out_of_range(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(RUN(rig, 0x28, 0, 0, 0, 0x03, 0xe7, 0, 0, 1, 0), BP_SCSI_GOOD);
    RUN(rig, 0x28, 0, 0, 0, 0x03, 0xe7, 0, 0, 2, 0);
    rig_expect(rig, 5, 0x2100);
    RUN(rig, 0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0);
    rig_expect(rig, 5, 0x2100);
    RUN(rig, 0x2b, 0, 0, 0, 0x03, 0xe8, 0, 0, 0, 0);
    rig_expect(rig, 5, 0x2100);
    assert_int_equal(RUN(rig, 0x2b, 0, 0, 0, 0x03, 0xe7, 0, 0, 0, 0), BP_SCSI_GOOD);
}

static void
test_scattered_pieces_smaller_than_the_backend_takes_are_bounced(void **state)
{
    struct rig *rig = *state;
    struct bp_iovec iov[256];
    uint32_t r;

    rig->unit.max_iov = rig->info.max_iov = 4;
    for (uint32_t i = 0; i < 256; i++) {
        iov[i] = (struct bp_iovec){rig->data + 16 * i, 16};
    }
    bp_scsi_task_init(&rig->task, &rig->nexus[0], CDB(0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0), 10);
    assert_int_equal(bp_scsi_start(&rig->task), BP_SCSI_IN);
    r = bp_scsi_move(&rig->task, iov, 256, 4096);
    assert_int_equal(r, BP_SCSI_WAIT);
    rig_run(rig);
    assert_int_equal(rig->task.state, BP_SCSI_DONE);
    assert_int_equal(rig->woken, 1);
    assert_memory_equal(rig->data, rig->image + 3 * 2048, 4096);
    assert_int_equal(rig->submitted[BP_BLOCK_READ], 2);
}

static void
test_read_error_names_the_bad_block(void **state)
{
    struct rig *rig = *state;

    rig->fail_op = BP_BLOCK_READ;
    rig->fail_from = 21 * 2048;
    rig->fail_to = 22 * 2048;
    rig->fail_status = -EIO;
    rig->fail_count = 2;
    RUN(rig, 0x28, 0, 0, 0, 0, 16, 0, 0, 20, 0);
    rig_expect(rig, 3, 0x1100);
    assert_int_equal(rig->task.sense[0], 0xf0);
    assert_int_equal(be(rig->task.sense + 3, 4), 21);
    assert_memory_equal(rig->data, rig->image + 16 * 2048, 5 * 2048);
}

static void
test_held_request_is_made_again(void **state)
{
    struct rig *rig = *state;
    struct bp_iovec iov = {rig->data, 4 * 2048};

    rig->policy = BP_SCSI_HOLD;
    rig->fail_op = BP_BLOCK_READ;
    rig->fail_status = -ENOSPC;
    rig->fail_count = 2;
    bp_scsi_task_init(&rig->task, &rig->nexus[0], CDB(0x28, 0, 0, 0, 0, 3, 0, 0, 4, 0), 10);
    assert_int_equal(bp_scsi_start(&rig->task), BP_SCSI_IN);
    assert_int_equal(bp_scsi_move(&rig->task, &iov, 1, 4 * 2048), BP_SCSI_WAIT);
    for (uint32_t i = 0; i < 2; i++) {
        rig_run(rig);
        assert_int_equal(rig->task.state, BP_SCSI_WAIT);
        assert_int_equal(rig->woken, 0);
        bp_scsi_unit_retry(&rig->unit);
    }
    rig_run(rig);
    assert_int_equal(rig->task.state, BP_SCSI_DONE);
    assert_int_equal(rig->task.status, BP_SCSI_GOOD);
    assert_memory_equal(rig->data, rig->image + 3 * 2048, 4 * 2048);
}

static void
test_abort_waits_for_the_request_in_flight(void **state)
{
    struct rig *rig = *state;
    struct bp_iovec iov = {rig->data, 4 * 2048};

    bp_scsi_task_init(&rig->task, &rig->nexus[0], CDB(0x28, 0, 0, 0, 0, 3, 0, 0, 4, 0), 10);
    assert_int_equal(bp_scsi_start(&rig->task), BP_SCSI_IN);
    assert_int_equal(bp_scsi_move(&rig->task, &iov, 1, 4 * 2048), BP_SCSI_WAIT);
    assert_int_equal(bp_scsi_abort(&rig->task), BP_SCSI_WAIT);
    rig_run(rig);
    assert_int_equal(rig->task.state, BP_SCSI_DONE);
    assert_int_equal(rig->task.status, BP_SCSI_TASK_ABORTED);
    assert_int_equal(rig->woken, 1);
    assert_int_equal(rig->settled, 1);
    bp_scsi_task_init(&rig->task, &rig->nexus[0], CDB(0x28, 0, 0, 0, 0, 3, 0, 0, 4, 0), 10);
    assert_int_equal(bp_scsi_start(&rig->task), BP_SCSI_IN);
    assert_int_equal(bp_scsi_abort(&rig->task), BP_SCSI_DONE);
}

/* --- READ CD -----------------------------------------------------------------------------------
 */

static void
test_raw_sector_is_that_of_ecma_130(void **state)
{
    struct rig *rig = *state;
    /* a sector of zeroes at 00:02:00: sync, header, EDC */
    uint8_t zeroes[2048] = {0};
    uint8_t sector[CD_SECTOR];

    cd_make_sector(0, zeroes, sector);
    assert_memory_equal(
        sector, CDB(0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 2, 0, 1), 16);
    RUN(rig, 0xbe, 0, 0, 0, 0, 16, 0, 0, 3, 0xf8, 0, 0);
    assert_int_equal(rig->task.status, BP_SCSI_GOOD);
    assert_int_equal(rig->task.moved, 3 * 2352);
    for (uint32_t i = 0; i < 3; i++) {
        cd_make_sector(16 + i, rig->image + (16 + i) * 2048, sector);
        assert_memory_equal(rig->data + i * 2352, sector, 2352);
        assert_memory_equal(rig->data + i * 2352 + 16, rig->image + (16 + i) * 2048, 2048);
    }
    assert_memory_equal(rig->data + 12, CDB(0, 2, 0x16, 1), 4);
}

/* GF(2^8) by logarithms: an own way to check what ecc.c computes. */
static uint32_t
syndrome(const uint8_t *words, uint32_t first, uint32_t step, uint32_t length, uint32_t plane,
         uint32_t tail, uint32_t tail_step, uint32_t weighted)
{
    uint32_t value = 0;

    for (uint32_t i = 0; i < length + 2; i++) {
        uint32_t word = i < length ? (first + i * step) % 1118 : tail + (i - length) * tail_step;

        if (weighted) {
            value = value << 1 ^ (value & 0x80 ? 0x11d : 0);
        }
        value ^= words[2 * word + plane];
    }
    return value;
}

static void
test_parity_of_a_raw_sector_has_no_syndrome(void **state)
{
    struct rig *rig = *state;
    uint8_t sector[CD_SECTOR];
    const uint8_t *words = sector + 12;

    cd_make_sector(123, rig->image + 5000, sector);
    for (uint32_t plane = 0; plane < 2; plane++) {
        for (uint32_t w = 0; w < 2; w++) {
            for (uint32_t n = 0; n < 43; n++) {
                assert_int_equal(syndrome(words, n, 43, 24, plane, 1032 + n, 43, w), 0);
            }
            for (uint32_t n = 0; n < 26; n++) {
                assert_int_equal(syndrome(words, 43 * n, 44, 43, plane, 1118 + n, 26, w), 0);
            }
        }
    }
}

static void
test_read_cd_gives_the_selected_fields_in_any_windows(void **state)
{
    static const struct {
        uint8_t main, sub;
        uint32_t size;
    } cases[] = {{0x10, 0, 2048}, {0x18, 0, 2336}, {0x20, 0, 4},    {0x30, 0, 2052},
                 {0x38, 0, 2340}, {0x60, 0, 4},    {0x78, 0, 2340}, {0xa0, 0, 16},
                 {0xb0, 0, 2064}, {0xb8, 0, 2352}, {0xf8, 1, 2448}, {0xf8, 2, 2368},
                 {0xfa, 0, 2646}, {0xfc, 4, 2744}, {0x00, 2, 16},   {0x80, 0, 12}};
    struct rig *rig = *state;

    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t bytes = 40 * cases[i].size;
        uint8_t *whole;

        assert_int_equal(RUN(rig, 0xbe, 0, 0, 0, 0, 9, 0, 0, 40, cases[i].main, cases[i].sub, 0),
                         BP_SCSI_GOOD);
        assert_int_equal(rig->task.moved, bytes);
        whole = malloc(bytes);
        memcpy(whole, rig->data, bytes);
        memset(rig->data, 0xee, bytes);
        assert_int_equal(
            rig_command(rig, 0, CDB(0xbe, 0, 0, 0, 0, 9, 0, 0, 40, cases[i].main, cases[i].sub, 0),
                        12, 1021),
            0);
        assert_memory_equal(rig->data, whole, bytes);
        free(whole);
    }
}

static void
test_read_cd_refuses_what_does_not_exist(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0xbe, 0, 0, 0, 0, 9, 0, 0, 1, 0x08, 0, 0); /* EDC without data */
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0xbe, 0, 0, 0, 0, 9, 0, 0, 1, 0x90, 0, 0); /* sync and data, no header */
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0xbe, 0, 0, 0, 0, 9, 0, 0, 1, 0x16, 0, 0); /* C2 of a reserved kind */
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0xbe, 0, 0, 0, 0, 9, 0, 0, 1, 0x10, 3, 0);
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0xbe, 0x04, 0, 0, 0, 9, 0, 0, 1, 0xf8, 0, 0); /* CD-DA */
    rig_expect(rig, 5, 0x6400);
    RUN(rig, 0xbe, 0x1c, 0, 0, 0, 9, 0, 0, 1, 0xf8, 0, 0);
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0xbe, 0, 0, 0, 0x03, 0xe7, 0, 0, 2, 0xf8, 0, 0);
    rig_expect(rig, 5, 0x2100);
    assert_int_equal(RUN(rig, 0xbe, 0x08, 0, 0, 0, 9, 0, 0, 1, 0xf8, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(RUN(rig, 0xbe, 0, 0, 0, 0, 9, 0, 0, 0, 0xf8, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(RUN(rig, 0xbe, 0, 0, 0, 0, 9, 0, 0, 5, 0, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->task.moved, 0);
}

static void
test_read_cd_msf_is_the_same_by_time(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(RUN(rig, 0xb9, 0, 0, 0, 2, 16, 0, 2, 18, 0x10, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->task.moved, 2 * 2048);
    assert_memory_equal(rig->data, rig->image + 16 * 2048, 2 * 2048);
    RUN(rig, 0xb9, 0, 0, 0, 2, 75, 0, 3, 0, 0x10, 0, 0);
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0xb9, 0, 0, 0, 3, 0, 0, 2, 0, 0x10, 0, 0);
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0xb9, 0, 0, 0, 1, 0, 0, 2, 0, 0x10, 0, 0); /* pre-gap */
    rig_expect(rig, 5, 0x2400);
}

/* --- what is on the disc -----------------------------------------------------------------------
 */

static void
test_capacity_and_tables_of_contents(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    expect_data(rig, CDB(0, 0, 3, 0xe7, 0, 0, 8, 0), 8);
    RUN(rig, 0x43, 0, 0, 0, 0, 0, 0, 0, 255, 0);
    expect_data(rig, CDB(0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 3, 0xe8),
                20);
    RUN(rig, 0x43, 2, 0, 0, 0, 0, 0xaa, 0, 255, 0);
    expect_data(rig, CDB(0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 15, 25), 12);
    RUN(rig, 0x43, 0, 0, 0, 0, 0, 2, 0, 255, 0);
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0x43, 0, 1, 0, 0, 0, 0, 0, 255, 0);
    expect_data(rig, CDB(0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0), 12);
    RUN(rig, 0x43, 0, 0, 0, 0, 0, 0, 0, 255, 0x40); /* SFF-8020i's place of the format */
    expect_data(rig, CDB(0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0), 12);
    RUN(rig, 0x43, 2, 2, 0, 0, 0, 0, 0, 255, 0);
    expect_data(rig,
                CDB(0, 46, 1, 1, 1, 0x14, 0, 0xa0, 0, 0, 0, 0, 1, 0, 0, 1, 0x14, 0, 0xa1, 0, 0, 0,
                    0, 1, 0, 0, 1, 0x14, 0, 0xa2, 0, 0, 0, 0, 0, 15, 25, 1, 0x14, 0, 1, 0, 0, 0, 0,
                    0, 2, 0),
                48);
    RUN(rig, 0x43, 2, 5, 0, 0, 0, 0, 0, 255, 0);
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0x43, 0, 0, 0, 0, 0, 0, 0, 4, 0);
    expect_data(rig, CDB(0, 18, 1, 1), 4);
}

static void
test_disc_track_and_sub_channel_information(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0x51, 0, 0, 0, 0, 0, 0, 0, 255, 0);
    assert_int_equal(rig->task.moved, 34);
    assert_memory_equal(rig->data, CDB(0, 32, 0x0e, 1, 1, 1, 1, 0x20, 0, 0, 0, 0), 12);
    RUN(rig, 0x51, 1, 0, 0, 0, 0, 0, 0, 255, 0);
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0x52, 1, 0, 0, 0, 1, 0, 0, 255, 0);
    assert_int_equal(rig->task.moved, 36);
    assert_memory_equal(rig->data, CDB(0, 34, 1, 1, 0, 4, 1, 0, 0, 0, 0, 0), 12);
    assert_int_equal(be(rig->data + 24, 4), CD_BLOCKS);
    RUN(rig, 0x52, 1, 0, 0, 0, 2, 0, 0, 255, 0);
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0x52, 0, 0, 0, 0x03, 0xe8, 0, 0, 255, 0);
    rig_expect(rig, 5, 0x2100);
    RUN(rig, 0x42, 2, 0x40, 1, 0, 0, 0, 0, 255, 0);
    expect_data(rig, CDB(0, 0x15, 0, 12, 1, 0x14, 1, 1, 0, 0, 2, 0, 0, 0, 0, 0), 16);
    RUN(rig, 0x42, 0, 0, 1, 0, 0, 0, 0, 255, 0);
    expect_data(rig, CDB(0, 0x15, 0, 0), 4);
    RUN(rig, 0x42, 0, 0x40, 4, 0, 0, 0, 0, 255, 0);
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0x23, 0, 0, 0, 0, 0, 0, 0, 255, 0);
    expect_data(rig, CDB(0, 0, 0, 8, 0, 0, 3, 0xe8, 2, 0, 8, 0), 12);
    RUN(rig, 0xad, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0);
    rig_expect(rig, 5, 0x3002); /* a CD has no DVD structures */
}

static void
test_dvd_is_told_by_its_size(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0x46, 2, 0, 0, 0, 0, 0, 0, 255, 0);
    expect_data(rig, CDB(0, 0, 0, 16, 0, 0, 0, 0x10, 0, 0, 3, 8, 0, 0x10, 1, 0, 0, 8, 0, 0), 20);
    RUN(rig, 0xad, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0);
    assert_int_equal(rig->task.moved, 2052);
    assert_memory_equal(rig->data, CDB(0x08, 0x02, 0, 0, 1, 0x0f, 1, 0, 0, 3, 0, 0, 0), 13);
    assert_int_equal(be(rig->data + 13, 3), 0x30000 + DVD_BLOCKS - 1);
    RUN(rig, 0xad, 0, 0, 0, 0, 0, 0, 1, 0x10, 0, 0, 0);
    expect_data(rig, CDB(0, 6, 0, 0, 0, 0, 0, 0), 8);
    RUN(rig, 0xad, 0, 0, 0, 0, 0, 0, 3, 0x10, 0, 0, 0);
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0xad, 0, 0, 0, 0, 0, 0, 0xff, 0x10, 0, 0, 0);
    expect_data(
        rig, CDB(0, 18, 0, 0, 0, 0x40, 8, 4, 1, 0x40, 0, 8, 4, 0x40, 8, 4, 0xff, 0x40, 0, 20), 20);
    RUN(rig, 0xbe, 0, 0, 0, 0, 9, 0, 0, 1, 0xf8, 0, 0);
    rig_expect(rig, 5, 0x3002);
    assert_int_equal(RUN(rig, 0xbe, 0, 0, 0, 0, 9, 0, 0, 1, 0x10, 0, 0), BP_SCSI_GOOD);
}

/* --- configuration and mode pages --------------------------------------------------------------
 */

static void
test_configuration_lists_features_and_which_are_current(void **state)
{
    static const uint16_t all[] = {0x00, 0x01,  0x02,  0x03,  0x10, 0x1e,
                                   0x1f, 0x100, 0x105, 0x107, 0x108};
    struct rig *rig = *state;
    uint32_t at = 8, count = 0;

    RUN(rig, 0x46, 0, 0, 0, 0, 0, 0, 4, 0, 0);
    assert_int_equal(be(rig->data, 4), rig->task.moved - 4);
    assert_int_equal(be(rig->data + 6, 2), 0x08);
    while (at < rig->task.moved) {
        assert_int_equal(be(rig->data + at, 2), all[count++]);
        at += 4 + rig->data[at + 3];
    }
    assert_int_equal(at, rig->task.moved);
    assert_int_equal(count, 11);
    /* current ones: no DVD */
    RUN(rig, 0x46, 1, 0, 0x1e, 0, 0, 0, 4, 0, 0);
    assert_memory_equal(rig->data + 8, CDB(0, 0x1e, 9, 4, 2, 0, 0, 0, 1, 0), 10);
    rig_medium(rig, 0);
    RUN(rig, 0x46, 2, 0, 0, 0, 0, 0, 0, 255, 0);
    expect_data(rig, CDB(0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 3, 8, 0, 0x10, 0, 0, 0, 8, 0, 0), 20);
    RUN(rig, 0x46, 2, 0, 0x20, 0, 0, 0, 0, 255, 0);
    expect_data(rig, CDB(0, 0, 0, 4, 0, 0, 0, 0), 8);
    RUN(rig, 0x46, 3, 0, 0, 0, 0, 0, 0, 255, 0);
    rig_expect(rig, 5, 0x2400);
}

static void
test_mode_pages_are_sensed_and_selected(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 255, 0);
    assert_int_equal(rig->task.moved, 30);
    assert_memory_equal(rig->data, CDB(0, 28, 1, 0, 0, 0, 0, 0, 0x2a, 20, 0x0b, 0, 0, 0x60, 0x29),
                        15);
    RUN(rig, 0x1e, 0, 0, 0, 1, 0);
    RUN(rig, 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 255, 0);
    assert_int_equal(rig->data[14], 0x2b);
    RUN(rig, 0x5a, 0, 0x01, 0, 0, 0, 0, 0, 255, 0);
    expect_data(rig, CDB(0, 18, 1, 0, 0, 0, 0, 0, 1, 10, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0), 20);
    rig->data[11] = 9;
    assert_int_equal(RUN(rig, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 20, 0), BP_SCSI_GOOD);
    RUN(rig, 0x1a, 0, 0x01, 0, 255, 0);
    expect_data(rig, CDB(15, 1, 0, 0, 1, 10, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0), 16);
    RUN(rig, 0x5a, 0, 0x81, 0, 0, 0, 0, 0, 255, 0); /* defaults */
    assert_int_equal(rig->data[11], 5);
    RUN(rig, 0x5a, 0, 0x41, 0, 0, 0, 0, 0, 255, 0); /* what can be changed */
    assert_memory_equal(rig->data + 10, CDB(0xff, 0xff, 0, 0, 0, 0, 0xff, 0), 8);
    RUN(rig, 0x5a, 0, 0xc1, 0, 0, 0, 0, 0, 255, 0);
    rig_expect(rig, 5, 0x3900);
    RUN(rig, 0x5a, 0, 0x33, 0, 0, 0, 0, 0, 255, 0);
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255, 0);
    assert_int_equal(rig->task.moved, 8 + 12 + 8 + 16 + 12 + 10 + 22);
    /* another initiator hears of the change */
    rig_command(rig, 1, CDB(0, 0, 0, 0, 0, 0), 6, 0);
    rig_expect(rig, 6, 0x2a01);
}

static void
test_mode_select_takes_all_or_nothing(void **state)
{
    struct rig *rig = *state;
    static const uint8_t list[] = {0, 0, 0, 0, 0, 0, 0,    0, 1, 10, 0, 7,  0, 0,
                                   0, 0, 0, 0, 0, 0, 0x0d, 6, 0, 5,  0, 60, 0, 74};

    memcpy(rig->data, list, sizeof(list)); /* 75 frames in a second, not 74 */
    RUN(rig, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 28, 0);
    rig_expect(rig, 5, 0x2600);
    assert_memory_equal(rig->task.sense + 15, CDB(0x80, 0, 27), 3);
    RUN(rig, 0x5a, 0, 0x01, 0, 0, 0, 0, 0, 255, 0);
    assert_int_equal(rig->data[11], 5);
    memcpy(rig->data, list, sizeof(list));
    RUN(rig, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 27, 0);
    rig_expect(rig, 5, 0x1a00);
    RUN(rig, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 5, 0);
    rig_expect(rig, 5, 0x1a00);
    memcpy(rig->data, list, sizeof(list));
    rig->data[27] = 75;
    assert_int_equal(rig_command(rig, 0, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 28, 0), 10, 3), 0);
    RUN(rig, 0x5a, 0, 0x0d, 0, 0, 0, 0, 0, 255, 0);
    assert_int_equal(rig->data[11], 5);
    assert_int_equal(RUN(rig, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
}

static void
test_speed_and_performance(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(RUN(rig, 0xbb, 0, 0x02, 0xc2, 0xff, 0xff, 0, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
    RUN(rig, 0xac, 0x10, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0);
    expect_data(
        rig, CDB(0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0xc2, 0, 0, 3, 0xe7, 0, 0, 2, 0xc2),
        24);
    RUN(rig, 0xac, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x01, 0);
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0xac, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x03, 0);
    expect_data(rig, CDB(0, 0, 0, 4, 0, 0, 0, 0), 8); /* write speeds: none */
    memset(rig->data, 0, 28);
    rig->data[14] = 0x10; /* 4096 kB ... */
    rig->data[18] = 0x04; /* in 1024 ms */
    assert_int_equal(RUN(rig, 0xb6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 28, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->unit.read_speed, 4000);
    memset(rig->data, 0, 28);
    RUN(rig, 0xb6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 28, 0);
    rig_expect(rig, 5, 0x2600);
    RUN(rig, 0xb6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 27, 0);
    rig_expect(rig, 5, 0x1a00);
}

static void
test_audio_commands_find_a_data_disc(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0x45, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    rig_expect(rig, 5, 0x6400);
    assert_int_equal(RUN(rig, 0x45, 0, 0, 0, 0, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
    RUN(rig, 0xa5, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0);
    rig_expect(rig, 5, 0x2100);
    RUN(rig, 0x47, 0, 0, 0, 2, 0, 0, 3, 0, 0);
    rig_expect(rig, 5, 0x6400);
    RUN(rig, 0x4b, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    rig_expect(rig, 5, 0x2c00);
    assert_int_equal(RUN(rig, 0x4e, 0, 0, 0, 0, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(RUN(rig, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
}

/* --- state -------------------------------------------------------------------------------------
 */

struct saved {
    struct bp_state_sink sink;
    uint8_t data[16384];
    uint64_t length;
};

static int32_t
save(const struct bp_state_sink *sink, uint32_t tag, const void *data, uint64_t length)
{
    struct saved *saved = (struct saved *)(uintptr_t)sink;

    assert_int_equal(tag, 7);
    assert_true(length <= sizeof(saved->data));
    memcpy(saved->data, data, length);
    saved->length = length;
    return 0;
}

static void
test_unit_state_comes_back(void **state)
{
    struct rig *rig = *state;
    struct rig *other = rig_new(BP_SCSI_TYPE_CDROM, BP_SCSI_ATAPI, CD_BLOCKS, BP_SCSI_KEEP_SENSE);
    struct saved saved = {.sink = {.size = sizeof(saved.sink), .put = save}};

    RUN(rig, 0x1e, 0, 0, 0, 1, 0);
    bp_scsi_nexus_attention(&rig->nexus[1], 0x2a01);
    rig_command(rig, 2, CDB(0xee, 0, 0, 0, 0, 0), 6, 0);
    assert_int_equal(bp_scsi_unit_set_tray(&rig->unit, 1, 1), 0);
    assert_int_equal(bp_scsi_unit_save(&rig->unit, &saved.sink, 7), 0);
    assert_int_equal(bp_scsi_unit_check(&other->unit, saved.data, saved.length), 0);
    assert_int_equal(bp_scsi_unit_check(&other->unit, saved.data, saved.length - 3), -EINVAL);
    assert_int_equal(bp_scsi_unit_restore(&other->unit, saved.data, saved.length), 0);
    assert_true(bp_scsi_unit_locked(&other->unit));
    assert_int_equal(other->unit.tray_open, 1);
    assert_int_equal(bp_scsi_nexus_pending(&other->nexus[1]), 0x2a01);
    assert_int_equal(other->nexus[2].kept.code, 0x2000);
    rig_free(other);
}

static void
test_task_amid_its_windows_comes_back(void **state)
{
    struct rig *rig = *state;
    struct rig *other = rig_new(BP_SCSI_TYPE_CDROM, BP_SCSI_ATAPI, CD_BLOCKS, BP_SCSI_KEEP_SENSE);
    struct saved saved = {.sink = {.size = sizeof(saved.sink), .put = save}};
    static const uint8_t cdbs[2][12] = {{0xa8, 0, 0, 0, 0, 7, 0, 0, 0, 10},
                                        {0xbe, 0, 0, 0, 0, 7, 0, 0, 10, 0xf8}};

    for (uint32_t i = 0; i < 2; i++) {
        struct bp_iovec iov = {rig->data, 4096};
        uint32_t r;

        bp_scsi_task_init(&rig->task, &rig->nexus[0], cdbs[i], 12);
        assert_int_equal(bp_scsi_start(&rig->task), BP_SCSI_IN);
        assert_int_equal(bp_scsi_move(&rig->task, &iov, 1, 4096), BP_SCSI_WAIT);
        rig_run(rig);
        assert_int_equal(rig->task.state, BP_SCSI_IN);
        /* the second one is held by a quiesce */
        bp_scsi_unit_hold(&rig->unit, 1);
        iov = (struct bp_iovec){rig->data + 4096, 4096};
        assert_int_equal(bp_scsi_move(&rig->task, &iov, 1, 4096), BP_SCSI_WAIT);
        rig_run(rig);
        assert_int_equal(rig->task.state, BP_SCSI_WAIT);
        assert_int_equal(bp_scsi_task_save(&rig->task, &saved.sink, 7), 0);
        assert_int_equal(bp_scsi_abort(&rig->task), BP_SCSI_DONE);
        bp_scsi_unit_hold(&rig->unit, 0);

        memcpy(other->data, rig->data, 4096);
        bp_scsi_task_init(&other->task, &other->nexus[0], cdbs[i], 12);
        other->task.page = other->page;
        assert_int_equal(bp_scsi_task_check(&other->unit, saved.data, saved.length), 0);
        assert_int_equal(bp_scsi_task_restore(&other->task, saved.data, saved.length), 0);
        assert_int_equal(other->task.state, BP_SCSI_IN);
        assert_int_equal(other->task.moved, 4096);
        iov = (struct bp_iovec){other->data + 4096, other->task.length - 4096};
        r = bp_scsi_move(&other->task, &iov, 1, other->task.length - 4096);
        assert_int_equal(r, BP_SCSI_WAIT);
        rig_run(other);
        assert_int_equal(other->task.status, BP_SCSI_GOOD);
        rig_command(rig, 0, cdbs[i], 12, 0);
        assert_memory_equal(other->data, rig->data, rig->task.length);
    }
    rig_free(other);
}

static void
test_task_state_from_anywhere_is_checked(void **state)
{
    struct rig *rig = *state;
    struct saved saved = {.sink = {.size = sizeof(saved.sink), .put = save}};
    uint8_t copy[sizeof(saved.data)];

    bp_scsi_task_init(&rig->task, &rig->nexus[0], CDB(0x28, 0, 0, 0, 0, 7, 0, 0, 10, 0), 10);
    assert_int_equal(bp_scsi_start(&rig->task), BP_SCSI_IN);
    assert_int_equal(bp_scsi_task_save(&rig->task, &saved.sink, 7), 0);
    for (uint64_t i = 0; i < saved.length; i++) {
        for (uint32_t bit = 0; bit < 8; bit++) {
            memcpy(copy, saved.data, saved.length);
            copy[i] ^= (uint8_t)(1u << bit);
            bp_scsi_task_init(&rig->task, &rig->nexus[0], CDB(0), 1);
            rig->task.page = rig->page;
            if (bp_scsi_task_restore(&rig->task, copy, saved.length) != 0) {
                continue;
            }
            assert_true(rig->task.length - rig->task.moved <= UINT32_MAX);
            (void)!bp_scsi_abort(&rig->task);
        }
    }
}

#define T(name)      cmocka_unit_test_setup_teardown(name, setup, teardown)
#define T_DVD(name)  cmocka_unit_test_setup_teardown(name, setup_dvd, teardown)
#define T_SCSI(name) cmocka_unit_test_setup_teardown(name, setup_scsi, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_inquiry_of_an_atapi_drive_is_sff_8020),
        T(test_vital_product_data_lists_only_what_there_is),
        T(test_sense_is_kept_until_it_is_fetched_or_another_command_begins),
        T(test_unit_attention_of_an_atapi_drive_lasts_until_request_sense),
        T_SCSI(test_unit_attention_of_a_scsi_drive_is_told_once_to_each_initiator),
        T_SCSI(test_reserved_bits_are_refused_with_a_field_pointer_unless_lenient),
        T(test_medium_change_is_not_ready_and_then_unit_attention),
        T(test_removal_is_not_ready_for_as_long_as_it_lasts),
        T(test_every_command_that_needs_a_medium_says_so),
        T(test_guest_ejects_and_loads),
        T(test_prevention_holds_the_tray_and_the_operator),
        T(test_event_status_tells_media_once),
        T(test_read_10_gives_the_blocks_whatever_the_windows),
        T(test_reading_past_the_end_is_out_of_range),
        T(test_scattered_pieces_smaller_than_the_backend_takes_are_bounced),
        T(test_read_error_names_the_bad_block),
        T(test_held_request_is_made_again),
        T(test_abort_waits_for_the_request_in_flight),
        T(test_raw_sector_is_that_of_ecma_130),
        T(test_parity_of_a_raw_sector_has_no_syndrome),
        T(test_read_cd_gives_the_selected_fields_in_any_windows),
        T(test_read_cd_refuses_what_does_not_exist),
        T(test_read_cd_msf_is_the_same_by_time),
        T(test_capacity_and_tables_of_contents),
        T(test_disc_track_and_sub_channel_information),
        T_DVD(test_dvd_is_told_by_its_size),
        T(test_configuration_lists_features_and_which_are_current),
        T(test_mode_pages_are_sensed_and_selected),
        T(test_mode_select_takes_all_or_nothing),
        T(test_speed_and_performance),
        T(test_audio_commands_find_a_data_disc),
        T(test_unit_state_comes_back),
        T(test_task_amid_its_windows_comes_back),
        T(test_task_state_from_anywhere_is_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
