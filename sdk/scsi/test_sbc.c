/* SPDX-License-Identifier: Apache-2.0 */
/* A disk, command by command. */
#include "test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCKS 8192u /* 4 MiB */
#define SIZE   512u

static int
setup(void **state)
{
    *state = rig_new(BP_SCSI_TYPE_DISK, 0, BLOCKS, 0);
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

static void
fill(uint8_t *data, uint32_t length, uint32_t seed)
{
    for (uint32_t i = 0; i < length; i++) {
        data[i] = (uint8_t)(i * 7 + (i >> 9) + seed);
    }
}

/* --- identity ----------------------------------------------------------------------------------
 */

static void
test_standard_inquiry_names_the_standards(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0x12, 0, 0, 0, 255, 0);
    assert_int_equal(rig->task.moved, 96);
    assert_memory_equal(rig->data, CDB(0, 0, 6, 0x12, 91, 0, 0, 2), 8);
    assert_memory_equal(rig->data + 8, "BACKPLN TEST UNIT       1.0 ", 28);
    assert_memory_equal(rig->data + 58, CDB(0x00, 0xa0, 0x04, 0x60, 0x04, 0xc0), 6);
}

static void
test_vital_product_data_of_a_disk(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0x12, 1, 0, 0, 255, 0);
    expect_data(rig, CDB(0, 0, 0, 8, 0, 0x80, 0x83, 0x86, 0xb0, 0xb1, 0xb2, 0xb6), 12);
    RUN(rig, 0x12, 1, 0x86, 0, 255, 0);
    assert_int_equal(rig->task.moved, 64);
    assert_memory_equal(rig->data, CDB(0, 0x86, 0, 60, 0, 7, 1, 1), 8);
    RUN(rig, 0x12, 1, 0xb0, 0, 255, 0);
    assert_int_equal(rig->task.moved, 64);
    assert_memory_equal(rig->data, CDB(0, 0xb0, 0, 60, 1, 21, 0, 8), 8);
    assert_int_equal(be(rig->data + 20, 4), (1u << 30) / SIZE);
    assert_int_equal(be(rig->data + 24, 4), 255);
    assert_int_equal(be(rig->data + 28, 4), 8);
    assert_int_equal(be(rig->data + 32, 4), 0x80000000u);
    RUN(rig, 0x12, 1, 0xb1, 0, 255, 0);
    assert_memory_equal(rig->data, CDB(0, 0xb1, 0, 60, 0, 1), 6);
    RUN(rig, 0x12, 1, 0xb2, 0, 255, 0);
    expect_data(rig, CDB(0, 0xb2, 0, 4, 0, 0xe4, 2, 0), 8);
    RUN(rig, 0x12, 1, 0xb6, 0, 255, 0);
    assert_int_equal(rig->task.moved, 64);
}

static void
test_capacity_in_both_sizes(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    expect_data(rig, CDB(0, 0, 0x1f, 0xff, 0, 0, 2, 0), 8);
    RUN(rig, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0);
    assert_int_equal(rig->task.moved, 32);
    assert_memory_equal(rig->data, CDB(0, 0, 0, 0, 0, 0, 0x1f, 0xff, 0, 0, 2, 0, 0, 3, 0xc0, 0),
                        16);
}

/* --- reading and writing -----------------------------------------------------------------------
 */

static void
test_every_read_and_write_reaches_its_blocks(void **state)
{
    static const uint8_t cdbs[4][2][16] = {
        {{0x0a, 0, 0, 40, 8}, {0x08, 0, 0, 40, 8}},
        {{0x2a, 0, 0, 0, 0, 40, 0, 0, 8}, {0x28, 0, 0, 0, 0, 40, 0, 0, 8}},
        {{0xaa, 0, 0, 0, 0, 40, 0, 0, 0, 8}, {0xa8, 0, 0, 0, 0, 40, 0, 0, 0, 8}},
        {{0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 8},
         {0x88, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 8}},
    };
    struct rig *rig = *state;

    for (uint32_t i = 0; i < 4; i++) {
        uint8_t expected[8 * SIZE];

        fill(expected, sizeof(expected), i);
        memcpy(rig->data, expected, sizeof(expected));
        assert_int_equal(rig_command(rig, 0, cdbs[i][0], 16, 1024), BP_SCSI_GOOD);
        assert_memory_equal(rig->image + 40 * SIZE, expected, sizeof(expected));
        memset(rig->data, 0, sizeof(expected));
        assert_int_equal(rig_command(rig, 0, cdbs[i][1], 16, 0), BP_SCSI_GOOD);
        expect_data(rig, expected, sizeof(expected));
    }
}

static void
test_addresses_beyond_the_end_are_refused(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0x28, 0, 0, 0, 0x1f, 0xff, 0, 0, 2, 0);
    rig_expect(rig, 5, 0x2100);
    RUN(rig, 0x88, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1, 0, 0);
    rig_expect(rig, 5, 0x2100);
    RUN(rig, 0x2a, 0, 0, 0, 0x20, 0x01, 0, 0, 0, 0);
    rig_expect(rig, 5, 0x2100);
    assert_int_equal(RUN(rig, 0x2a, 0, 0, 0, 0x20, 0x00, 0, 0, 0, 0), BP_SCSI_GOOD);
    RUN(rig, 0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0); /* RDPROTECT */
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0x2b, 0, 0, 0, 0x20, 0, 0, 0, 0, 0);
    rig_expect(rig, 5, 0x2100);
    assert_int_equal(RUN(rig, 0x34, 0, 0, 0, 0, 0, 0, 0, 8, 0), BP_SCSI_CONDITION_MET);
}

static void
test_fua_reaches_stable_storage_whatever_the_backend_can(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(RUN(rig, 0x2a, 8, 0, 0, 0, 0, 0, 0, 1, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->fua, 1);
    assert_int_equal(RUN(rig, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->fua, 1);
    rig->unit.block_flags &= ~BP_BLOCK_CAN_FUA;
    assert_int_equal(RUN(rig, 0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->submitted[BP_BLOCK_FLUSH], 1);
    assert_int_equal(RUN(rig, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->submitted[BP_BLOCK_FLUSH], 2);
}

static void
test_long_transfers_are_split_to_the_backends_limits(void **state)
{
    struct rig *rig = *state;

    rig->unit.max_transfer = rig->info.max_transfer = 65536;
    assert_int_equal(RUN(rig, 0x28, 0, 0, 0, 0, 0, 0, 4, 1, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->largest, 65536);
    assert_int_equal(rig->submitted[BP_BLOCK_READ], 9);
    assert_memory_equal(rig->data, rig->image, 1025 * SIZE);
}

static void
test_write_protection_by_backend_option_and_mode_page(void **state)
{
    struct rig *rig = *state;

    rig->unit.identity.read_only = 1;
    RUN(rig, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    rig_expect(rig, 7, 0x2700);
    RUN(rig, 0x1a, 0, 0x3f, 0, 4, 0);
    assert_int_equal(rig->data[2], 0x90);
    rig->unit.identity.read_only = 0;
    memcpy(rig->data, CDB(0, 0, 0, 0, 0x0a, 10, 0, 0x10, 0x08, 0x40, 0, 0, 0xff, 0xff, 0, 0), 16);
    assert_int_equal(RUN(rig, 0x15, 0x10, 0, 0, 16, 0), BP_SCSI_GOOD);
    RUN(rig, 0x42, 0, 0, 0, 0, 0, 0, 0, 8, 0);
    rig_expect(rig, 7, 0x2700);
    assert_int_equal(RUN(rig, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), BP_SCSI_GOOD);
}

static void
test_errors_of_the_backend_have_their_sense(void **state)
{
    static const struct {
        int32_t status;
        uint32_t key, code;
    } cases[] = {{-EIO, 3, 0x0c00},
                 {-ENOSPC, 7, 0x2707},
                 {-EROFS, 7, 0x2700},
                 {-EINVAL, 4, 0x4400},
                 {-ECANCELED, 0xb, 0x0000}};
    struct rig *rig = *state;

    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rig->fail_op = BP_BLOCK_WRITE;
        rig->fail_status = cases[i].status;
        rig->fail_count = 1;
        RUN(rig, 0x2a, 0, 0, 0, 0, 5, 0, 0, 1, 0);
        rig_expect(rig, cases[i].key, cases[i].code);
    }
    rig->policy = BP_SCSI_IGNORE;
    rig->fail_count = 1;
    assert_int_equal(RUN(rig, 0x2a, 0, 0, 0, 0, 5, 0, 0, 1, 0), BP_SCSI_GOOD);
}

/* --- checking ----------------------------------------------------------------------------------
 */

static void
test_verify_in_its_three_ways(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(RUN(rig, 0x2f, 0, 0, 0, 0, 0, 0, 1, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->submitted[BP_BLOCK_READ], 4);
    memcpy(rig->data, rig->image + 10 * SIZE, 100 * SIZE);
    assert_int_equal(RUN(rig, 0x2f, 2, 0, 0, 0, 10, 0, 0, 100, 0), BP_SCSI_GOOD);
    rig->data[70 * SIZE + 3] ^= 1;
    assert_int_equal(
        rig_command(rig, 0, CDB(0x8f, 2, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 100, 0, 0), 16, 8192),
        2);
    rig_expect(rig, 0xe, 0x1d00);
    assert_int_equal(be(rig->task.sense + 3, 4), 70 * SIZE + 3);
    memset(rig->image + 20 * SIZE, 0x77, 200 * SIZE);
    memset(rig->data, 0x77, SIZE);
    assert_int_equal(RUN(rig, 0xaf, 6, 0, 0, 0, 20, 0, 0, 0, 200, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->task.moved, SIZE);
    rig->image[219 * SIZE] = 0;
    RUN(rig, 0xaf, 6, 0, 0, 0, 20, 0, 0, 0, 200, 0, 0);
    rig_expect(rig, 0xe, 0x1d00);
    RUN(rig, 0x2f, 4, 0, 0, 0, 0, 0, 0, 1, 0);
    rig_expect(rig, 5, 0x2400);
    rig->fail_op = BP_BLOCK_READ;
    rig->fail_status = -EIO;
    rig->fail_count = 1;
    RUN(rig, 0x2f, 0, 0, 0, 0, 0, 0, 0, 8, 0);
    rig_expect(rig, 3, 0x1100);
}

static void
test_write_and_verify_reads_back(void **state)
{
    struct rig *rig = *state;
    uint8_t expected[70 * SIZE];

    fill(expected, sizeof(expected), 3);
    memcpy(rig->data, expected, sizeof(expected));
    assert_int_equal(RUN(rig, 0x2e, 2, 0, 0, 0, 40, 0, 0, 70, 0), BP_SCSI_GOOD);
    assert_memory_equal(rig->image + 40 * SIZE, expected, sizeof(expected));
    assert_true(rig->submitted[BP_BLOCK_FLUSH] > 0 && rig->submitted[BP_BLOCK_READ] > 0);
    assert_int_equal(RUN(rig, 0x8e, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(RUN(rig, 0xae, 0, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0), BP_SCSI_GOOD);
}

static void
test_compare_and_write_is_all_or_nothing(void **state)
{
    struct rig *rig = *state;
    uint8_t before[2 * SIZE];

    memcpy(before, rig->image + 8 * SIZE, sizeof(before));
    memcpy(rig->data, before, sizeof(before));
    memset(rig->data + sizeof(before), 0x5a, sizeof(before));
    rig->data[SIZE + 9] ^= 4;
    RUN(rig, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0);
    rig_expect(rig, 0xe, 0x1d00);
    assert_int_equal(be(rig->task.sense + 3, 4), SIZE + 9);
    assert_memory_equal(rig->image + 8 * SIZE, before, sizeof(before));
    rig->data[SIZE + 9] ^= 4;
    assert_int_equal(RUN(rig, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->image[8 * SIZE], 0x5a);
    assert_int_equal(rig->image[10 * SIZE - 1], 0x5a);
    RUN(rig, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 22, 0, 0);
    rig_expect(rig, 5, 0x2400);
    assert_int_equal(RUN(rig, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
}

static void
test_two_compare_and_writes_come_one_after_the_other(void **state)
{
    struct rig *rig = *state;
    struct bp_scsi_task tasks[2];
    struct bp_iovec iov[2];
    uint8_t data[2][2 * SIZE];

    /* both expect what is there now: one must lose */
    for (uint32_t i = 0; i < 2; i++) {
        iov[i] = (struct bp_iovec){data[i], sizeof(data[i])};
        memcpy(data[i], rig->image, SIZE);
        memset(data[i] + SIZE, 0x10 + (int)i, SIZE);
        bp_scsi_task_init(&tasks[i], &rig->nexus[i],
                          CDB(0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0), 16);
        assert_int_equal(bp_scsi_start(&tasks[i]), BP_SCSI_OUT);
        assert_int_equal(bp_scsi_move(&tasks[i], &iov[i], 1, sizeof(data[i])), BP_SCSI_WAIT);
    }
    rig_run(rig);
    assert_int_equal(rig->woken, 2);
    assert_int_equal(tasks[0].status, BP_SCSI_GOOD);
    assert_int_equal(tasks[1].status, BP_SCSI_CHECK_CONDITION);
    assert_int_equal(tasks[1].fault.key, BP_SCSI_MISCOMPARE);
    assert_int_equal(rig->image[0], 0x10);
}

static void
test_orwrite_sets_bits(void **state)
{
    struct rig *rig = *state;
    uint8_t expected[50 * SIZE];

    fill(rig->data, sizeof(expected), 9);
    for (uint32_t i = 0; i < sizeof(expected); i++) {
        expected[i] = rig->image[3 * SIZE + i] | rig->data[i];
    }
    assert_int_equal(RUN(rig, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 50, 0, 0), BP_SCSI_GOOD);
    assert_memory_equal(rig->image + 3 * SIZE, expected, sizeof(expected));
}

/* --- space -------------------------------------------------------------------------------------
 */

static void
test_unmap_takes_its_list_or_none_of_it(void **state)
{
    struct rig *rig = *state;
    static const uint8_t list[] = {0, 38, 0,    32,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                   0, 8,  0,    0,    0, 8, 0, 0, 0, 0, 0, 0, 0, 0,
                                   0, 0,  0x1f, 0xf8, 0, 0, 0, 8, 0, 0, 0, 0};

    memcpy(rig->data, list, sizeof(list));
    assert_int_equal(RUN(rig, 0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->submitted[BP_BLOCK_DISCARD], 2);
    assert_int_equal(rig->image[8 * SIZE], 0);
    assert_int_equal(rig->image[BLOCKS * SIZE - 1], 0);
    memset(rig->image + 8 * SIZE, 1, SIZE);
    memcpy(rig->data, list, sizeof(list));
    rig->data[35] = 9; /* one block too many */
    RUN(rig, 0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0);
    rig_expect(rig, 5, 0x2100);
    assert_int_equal(rig->image[8 * SIZE], 1);
    RUN(rig, 0x42, 0, 0, 0, 0, 0, 0, 0, 7, 0);
    rig_expect(rig, 5, 0x1a00);
    memcpy(rig->data, list, sizeof(list));
    RUN(rig, 0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0); /* the list says more than it has */
    rig_expect(rig, 5, 0x1a00);
    assert_int_equal(RUN(rig, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
    RUN(rig, 0x42, 1, 0, 0, 0, 0, 0, 0, 40, 0); /* ANCHOR */
    rig_expect(rig, 5, 0x2400);
}

static void
test_write_same_writes_zeroes_patterns_and_nothing_for_zero_blocks(void **state)
{
    struct rig *rig = *state;

    memset(rig->data, 0, SIZE);
    assert_int_equal(RUN(rig, 0x93, 8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 200, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->submitted[BP_BLOCK_WRITE_ZEROES], 1);
    assert_int_equal(rig->image[203 * SIZE], 0);
    fill(rig->data, SIZE, 1);
    assert_int_equal(RUN(rig, 0x41, 0, 0, 0, 0, 4, 0, 0, 200, 0), BP_SCSI_GOOD);
    for (uint32_t i = 4; i < 204; i++) {
        assert_memory_equal(rig->image + i * SIZE, rig->data, SIZE);
    }
    assert_int_equal(RUN(rig, 0x93, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->task.direction, 0); /* NDOB */
    assert_int_equal(rig->image[4 * SIZE + 5], 0);
    assert_int_not_equal(rig->image[5 * SIZE + 5], 0);
    RUN(rig, 0x41, 0, 0, 0, 0, 4, 0, 0, 0, 0);
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0x41, 0, 0, 0, 0x1f, 0xff, 0, 0, 2, 0);
    rig_expect(rig, 5, 0x2100);
}

static void
test_lba_status_is_mapped_to_the_end(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 255, 0, 0);
    expect_data(rig,
                CDB(0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0x1f, 0xf0, 0, 0, 0, 0),
                24);
    RUN(rig, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 255, 0, 0);
    rig_expect(rig, 5, 0x2100);
    RUN(rig, 0x9e, 0x13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0);
    rig_expect(rig, 5, 0x2400);
}

static void
test_format_leaves_zeroes(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(RUN(rig, 0x04, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        assert_int_equal(rig->image[i * SIZE + i % SIZE], 0);
    }
    memcpy(rig->data, CDB(0, 0x80, 0, 0), 4);
    assert_int_equal(RUN(rig, 0x04, 0x10, 0, 0, 0, 0), BP_SCSI_GOOD);
    memcpy(rig->data, CDB(0, 0, 0, 8), 4);
    RUN(rig, 0x04, 0x10, 0, 0, 0, 0);
    rig_expect(rig, 5, 0x2600);
}

/* --- reports and mode pages --------------------------------------------------------------------
 */

static void
test_supported_operation_codes_are_those_that_are_done(void **state)
{
    struct rig *rig = *state;
    uint8_t list[4096];
    uint32_t length;

    RUN(rig, 0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0);
    length = (uint32_t)rig->task.moved;
    memcpy(list, rig->data, length);
    assert_int_equal(be(list, 4), length - 4);
    for (uint32_t at = 4; at < length; at += 8) {
        uint8_t service = list[at + 5] & 1 ? list[at + 3] : 0;

        RUN(rig, 0xa3, 0x0c, 3, list[at], 0, service, 0, 0, 0, 64, 0, 0);
        assert_int_equal(rig->task.status, BP_SCSI_GOOD);
        assert_int_equal(rig->data[1], 3);
        assert_int_equal(rig->data[3], list[at + 7]);
        assert_int_equal(rig->data[4], list[at]);
    }
    RUN(rig, 0xa3, 0x0c, 1, 0xee, 0, 0, 0, 0, 0, 64, 0, 0);
    expect_data(rig, CDB(0, 1, 0, 0), 4);
    RUN(rig, 0xa3, 0x0c, 0x82, 0x9e, 0, 0x10, 0, 0, 0, 64, 0, 0);
    assert_int_equal(rig->task.moved, 4 + 16 + 12);
    assert_memory_equal(rig->data, CDB(0, 0x83, 0, 16, 0x9e, 0x10, 0xff), 7);
    assert_memory_equal(rig->data + 20, CDB(0, 10, 0, 0), 4);
    RUN(rig, 0xa3, 0x0c, 1, 0x9e, 0, 0, 0, 0, 0, 64, 0, 0);
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0xa3, 0x0c, 2, 0x28, 0, 0, 0, 0, 0, 64, 0, 0);
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0xa3, 0x0d, 0x80, 0, 0, 0, 0, 0, 0, 64, 0, 0);
    expect_data(rig, CDB(0xdc, 3, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 16);
}

static void
test_every_opcode_refuses_each_reserved_bit(void **state)
{
    struct rig *rig = *state;
    uint8_t list[4096];
    uint32_t length;

    RUN(rig, 0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0);
    length = (uint32_t)rig->task.moved;
    memcpy(list, rig->data, length);
    for (uint32_t at = 4; at < length; at += 8) {
        uint32_t size = list[at + 7];
        uint32_t has_service = list[at + 5] & 1;
        uint8_t service = has_service ? list[at + 3] : 0;
        uint8_t usage[16];

        RUN(rig, 0xa3, 0x0c, 3, list[at], 0, service, 0, 0, 0, 64, 0, 0);
        memcpy(usage, rig->data + 4, size);
        for (uint32_t i = 8; i < size * 8; i++) {
            uint8_t cdb[16] = {list[at], service};

            if ((usage[i / 8] >> i % 8 & 1) || (has_service && i < 13)) {
                continue;
            }
            cdb[i / 8] |= (uint8_t)(1u << i % 8);
            assert_int_equal(rig_command(rig, 0, cdb, size, 0), BP_SCSI_CHECK_CONDITION);
            rig_expect(rig, 5, 0x2400);
            assert_int_equal(rig->task.sense[15], 0xc8 | i % 8);
            assert_int_equal(be(rig->task.sense + 16, 2), i / 8);
        }
        /* and a CDB that is too short */
        {
            uint8_t cdb[16] = {list[at], service};

            assert_int_equal(rig_command(rig, 0, cdb, size - 1, 0), BP_SCSI_CHECK_CONDITION);
            rig_expect(rig, 5, 0x2400);
        }
    }
}

/* What a disk has, by the standards and not by the engine's table: operation code, service action
 * (0xff: none), bytes of the CDB. */
static const uint8_t expected_commands[][3] = {
    {0x00, 0xff, 6},  {0x03, 0xff, 6},  {0x04, 0xff, 6},  {0x08, 0xff, 6},  {0x0a, 0xff, 6},
    {0x12, 0xff, 6},  {0x15, 0xff, 6},  {0x16, 0xff, 6},  {0x17, 0xff, 6},  {0x1a, 0xff, 6},
    {0x1b, 0xff, 6},  {0x1d, 0xff, 6},  {0x1e, 0xff, 6},  {0x25, 0xff, 10}, {0x28, 0xff, 10},
    {0x2a, 0xff, 10}, {0x2b, 0xff, 10}, {0x2e, 0xff, 10}, {0x2f, 0xff, 10}, {0x34, 0xff, 10},
    {0x35, 0xff, 10}, {0x41, 0xff, 10}, {0x42, 0xff, 10}, {0x4d, 0xff, 10}, {0x55, 0xff, 10},
    {0x56, 0xff, 10}, {0x57, 0xff, 10}, {0x5a, 0xff, 10}, {0x5e, 0, 10},    {0x5e, 1, 10},
    {0x5e, 2, 10},    {0x5e, 3, 10},    {0x5f, 0, 10},    {0x5f, 1, 10},    {0x5f, 2, 10},
    {0x5f, 3, 10},    {0x5f, 4, 10},    {0x5f, 5, 10},    {0x5f, 6, 10},    {0x5f, 7, 10},
    {0x88, 0xff, 16}, {0x89, 0xff, 16}, {0x8a, 0xff, 16}, {0x8b, 0xff, 16}, {0x8e, 0xff, 16},
    {0x8f, 0xff, 16}, {0x90, 0xff, 16}, {0x91, 0xff, 16}, {0x93, 0xff, 16}, {0x9e, 0x10, 16},
    {0x9e, 0x12, 16}, {0xa0, 0xff, 12}, {0xa3, 0x0c, 12}, {0xa3, 0x0d, 12}, {0xa8, 0xff, 12},
    {0xaa, 0xff, 12}, {0xae, 0xff, 12}, {0xaf, 0xff, 12},
};

static void
test_the_list_of_operation_codes_is_the_standards(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0);
    assert_int_equal(rig->task.moved, 4 + 8 * sizeof(expected_commands) / 3);
    for (uint32_t i = 0; i < sizeof(expected_commands) / 3; i++) {
        const uint8_t *entry = rig->data + 4 + 8 * (size_t)i;
        const uint8_t *expected = expected_commands[i];

        assert_int_equal(entry[0], expected[0]);
        assert_int_equal(entry[5] & 1, expected[1] != 0xff);
        assert_int_equal(entry[3], expected[1] != 0xff ? expected[1] : 0);
        assert_int_equal(entry[7], expected[2]);
    }
}

/* Whether a disk has the operation code (0), and with that service action (1). */
static uint32_t
is_expected(uint32_t opcode, uint32_t service)
{
    uint32_t known = 0;

    for (uint32_t i = 0; i < sizeof(expected_commands) / 3; i++) {
        if (expected_commands[i][0] == opcode) {
            known |= 1;
            known |= expected_commands[i][1] == 0xff || expected_commands[i][1] == service ? 2 : 0;
        }
    }
    return known;
}

/* Every operation code with every service action, in a CDB of 32 bytes that is zero but for them:
 * what there is, is never refused as unknown, whatever else is wrong with it; what there is not,
 * always. */
static void
test_unknown_commands_and_service_actions_are_refused(void **state)
{
    struct rig *rig = *state;

    for (uint32_t opcode = 0; opcode < 256; opcode++) {
        for (uint32_t service = 0; service < 32; service++) {
            uint8_t cdb[32] = {(uint8_t)opcode, (uint8_t)service};
            uint32_t known = is_expected(opcode, service);
            uint32_t status;

            memset(rig->data, 0, 64);
            status = rig_command(rig, 0, cdb, sizeof(cdb), 0);
            if (known == 0) {
                rig_expect(rig, 5, 0x2000);
            } else if (known == 1) {
                rig_expect(rig, 5, 0x2400);
                assert_int_equal(be(rig->task.sense + 16, 2), 1);
            } else {
                assert_true(status != BP_SCSI_CHECK_CONDITION || rig->task.fault.code != 0x2000);
            }
            bp_scsi_unit_reset(&rig->unit, 0); /* a RESERVE, a STOP */
        }
    }
}

static void
test_log_pages(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0x4d, 0, 0x40, 0, 0, 0, 0, 0, 255, 0);
    expect_data(rig, CDB(0, 0, 0, 3, 0, 0x0d, 0x2f), 7);
    RUN(rig, 0x4d, 0, 0x4d, 0, 0, 0, 0, 0, 255, 0);
    expect_data(rig, CDB(0x0d, 0, 0, 12, 0, 0, 3, 2, 0, 25, 0, 1, 3, 2, 0, 60), 16);
    RUN(rig, 0x4d, 0, 0x6f, 0, 0, 0, 0, 0, 255, 0);
    expect_data(rig, CDB(0x2f, 0, 0, 8, 0, 0, 3, 4, 0, 0, 25, 0), 12);
    RUN(rig, 0x4d, 0, 0x42, 0, 0, 0, 0, 0, 255, 0);
    rig_expect(rig, 5, 0x2400);
}

static void
test_write_cache_bit_is_saved_reset_and_flushes(void **state)
{
    struct rig *rig = *state;

    RUN(rig, 0x1a, 8, 0x08, 0, 255, 0);
    assert_memory_equal(rig->data, CDB(23, 0, 0x10, 0, 0x88, 18, 4), 7);
    RUN(rig, 0x5a, 0x10, 0x08, 0, 0, 0, 0, 0, 255, 0); /* LLBAA */
    assert_memory_equal(rig->data, CDB(0, 42, 0, 0x10, 1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0x20, 0), 16);
    memset(rig->data, 0, 24);
    rig->data[4] = 0x08;
    rig->data[5] = 18;
    assert_int_equal(RUN(rig, 0x15, 0x10, 0, 0, 24, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->submitted[BP_BLOCK_FLUSH], 1);
    assert_int_equal(RUN(rig, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->fua, 1); /* without a cache every write is durable */
    bp_scsi_unit_reset(&rig->unit, 0);
    assert_int_equal(rig->unit.write_cache, 1); /* it was not saved */
    memset(rig->data, 0, 24);
    rig->data[4] = 0x08;
    rig->data[5] = 18;
    assert_int_equal(RUN(rig, 0x15, 0x11, 0, 0, 24, 0), BP_SCSI_GOOD);
    bp_scsi_unit_reset(&rig->unit, 0);
    assert_int_equal(rig->unit.write_cache, 0);
    RUN(rig, 0x1a, 8, 0xc8, 0, 255, 0);
    assert_int_equal(rig->data[6], 0);
    RUN(rig, 0x1a, 8, 0x88, 0, 255, 0);
    assert_int_equal(rig->data[6], 4);
    /* no cache below: the bit cannot be set */
    rig->unit.block_flags &= ~BP_BLOCK_WRITE_CACHE;
    RUN(rig, 0x1a, 8, 0x48, 0, 255, 0);
    assert_int_equal(rig->data[6], 1);
}

static void
test_descriptor_sense_by_the_control_page(void **state)
{
    struct rig *rig = *state;

    memcpy(rig->data, CDB(0, 0, 0, 0, 0x0a, 10, 4, 0x10, 0, 0x40, 0, 0, 0xff, 0xff, 0, 0), 16);
    assert_int_equal(RUN(rig, 0x15, 0x10, 0, 0, 16, 0), BP_SCSI_GOOD);
    rig->fail_op = BP_BLOCK_READ;
    rig->fail_status = -EIO;
    rig->fail_count = 1;
    RUN(rig, 0x28, 0, 0, 0, 0, 5, 0, 0, 1, 0);
    assert_int_equal(rig->task.sense_length, 20);
    assert_memory_equal(rig->task.sense,
                        CDB(0x72, 3, 0x11, 0, 0, 0, 0, 12, 0, 10, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 5),
                        20);
    RUN(rig, 0x28, 0, 0, 0, 0, 5, 1, 0, 1, 0);
    assert_memory_equal(rig->task.sense,
                        CDB(0x72, 5, 0x24, 0, 0, 0, 0, 8, 2, 6, 0, 0, 0xc8, 0, 6, 0), 16);
}

/* --- states of the unit ------------------------------------------------------------------------
 */

static void
test_reservation_keeps_others_out(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(RUN(rig, 0x16, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(RUN(rig, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), BP_SCSI_GOOD);
    assert_int_equal(rig_command(rig, 1, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 10, 0), 0x18);
    assert_int_equal(rig_command(rig, 1, CDB(0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0), 10, 0), 0x18);
    assert_int_equal(rig_command(rig, 1, CDB(0x12, 0, 0, 0, 36, 0), 6, 0), 0);
    assert_int_equal(rig_command(rig, 1, CDB(0x17, 0, 0, 0, 0, 0), 6, 0), 0); /* not its own */
    assert_int_equal(rig_command(rig, 1, CDB(0x00, 0, 0, 0, 0, 0), 6, 0), 0x18);
    assert_int_equal(RUN(rig, 0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(rig_command(rig, 1, CDB(0x00, 0, 0, 0, 0, 0), 6, 0), 0);
    RUN(rig, 0x16, 0, 0, 0, 0, 0);
    bp_scsi_unit_reset(&rig->unit, 0x2903);
    rig_command(rig, 1, CDB(0x00, 0, 0, 0, 0, 0), 6, 0);
    rig_expect(rig, 6, 0x2903);
    assert_int_equal(rig_command(rig, 1, CDB(0x00, 0, 0, 0, 0, 0), 6, 0), 0);
}

static void
test_a_resized_disk_tells_every_initiator(void **state)
{
    struct rig *rig = *state;

    rig->info.capacity = 4096 * SIZE;
    rig->client->event(rig->client_opaque, BP_BLOCK_EVENT_RESIZED);
    assert_int_equal(rig->last_attention, 0x2a09);
    for (uint32_t n = 0; n < 2; n++) {
        rig_command(rig, n, CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 10, 0);
        rig_expect(rig, 6, 0x2a09);
        rig_command(rig, n, CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 10, 0);
        expect_data(rig, CDB(0, 0, 0x0f, 0xff, 0, 0, 2, 0), 8);
    }
}

/* Found by the fuzzer: the next request of a command would have been outside of the backend. */
static void
test_a_disk_that_shrinks_amid_a_command_is_not_read_past_its_end(void **state)
{
    struct rig *rig = *state;
    struct bp_iovec iov = {rig->data, 4096};

    bp_scsi_task_init(&rig->task, &rig->nexus[0], CDB(0x28, 0, 0, 0, 0x1f, 0xf0, 0, 0, 16, 0), 10);
    assert_int_equal(bp_scsi_start(&rig->task), BP_SCSI_IN);
    assert_int_equal(bp_scsi_move(&rig->task, &iov, 1, 4096), BP_SCSI_WAIT);
    rig_run(rig);
    rig->info.capacity = 4096 * SIZE;
    rig->client->event(rig->client_opaque, BP_BLOCK_EVENT_RESIZED);
    iov = (struct bp_iovec){rig->data, 4096};
    assert_int_equal(bp_scsi_move(&rig->task, &iov, 1, 4096), BP_SCSI_DONE);
    rig_expect(rig, 5, 0x2100);
}

static void
test_stopped_disk_has_flushed_and_wants_a_start(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(RUN(rig, 0x1b, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
    assert_int_equal(rig->submitted[BP_BLOCK_FLUSH], 1);
    RUN(rig, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    rig_expect(rig, 2, 0x0402);
    assert_int_equal(RUN(rig, 0x1b, 0, 0, 0, 1, 0), BP_SCSI_GOOD);
    assert_int_equal(RUN(rig, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), BP_SCSI_GOOD);
    RUN(rig, 0x1b, 0, 0, 0, 2, 0); /* not removable */
    rig_expect(rig, 5, 0x2400);
    RUN(rig, 0x1b, 0, 0, 0, 0x10, 0);
    rig_expect(rig, 5, 0x2400);
    assert_int_equal(RUN(rig, 0x1d, 4, 0, 0, 0, 0), BP_SCSI_GOOD);
    RUN(rig, 0x1d, 0x20, 0, 0, 0, 0);
    rig_expect(rig, 5, 0x2400);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_standard_inquiry_names_the_standards),
        T(test_vital_product_data_of_a_disk),
        T(test_capacity_in_both_sizes),
        T(test_every_read_and_write_reaches_its_blocks),
        T(test_addresses_beyond_the_end_are_refused),
        T(test_fua_reaches_stable_storage_whatever_the_backend_can),
        T(test_long_transfers_are_split_to_the_backends_limits),
        T(test_write_protection_by_backend_option_and_mode_page),
        T(test_errors_of_the_backend_have_their_sense),
        T(test_verify_in_its_three_ways),
        T(test_write_and_verify_reads_back),
        T(test_compare_and_write_is_all_or_nothing),
        T(test_two_compare_and_writes_come_one_after_the_other),
        T(test_orwrite_sets_bits),
        T(test_unmap_takes_its_list_or_none_of_it),
        T(test_write_same_writes_zeroes_patterns_and_nothing_for_zero_blocks),
        T(test_lba_status_is_mapped_to_the_end),
        T(test_format_leaves_zeroes),
        T(test_supported_operation_codes_are_those_that_are_done),
        T(test_every_opcode_refuses_each_reserved_bit),
        T(test_the_list_of_operation_codes_is_the_standards),
        T(test_unknown_commands_and_service_actions_are_refused),
        T(test_log_pages),
        T(test_write_cache_bit_is_saved_reset_and_flushes),
        T(test_descriptor_sense_by_the_control_page),
        T(test_reservation_keeps_others_out),
        T(test_a_resized_disk_tells_every_initiator),
        T(test_a_disk_that_shrinks_amid_a_command_is_not_read_past_its_end),
        T(test_stopped_disk_has_flushed_and_wants_a_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
