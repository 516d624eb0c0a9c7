/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation of block-file, one at a time, with both engines and every cache mode. */
#include "test_rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1u << 20)

static const char *const modes[] = {
    "cache = \"none\"; aio = \"threads\";",
    "cache = \"writeback\"; aio = \"threads\";",
    "cache = \"writethrough\"; aio = \"threads\";",
    "cache = \"directsync\"; aio = \"threads\";",
    "cache = \"unsafe\"; aio = \"threads\";",
    "cache = \"none\";",
    "cache = \"writeback\";",
    "cache = \"writethrough\";",
    "cache = \"directsync\";",
    "cache = \"unsafe\";",
};
#define MODES BP_ARRAY_LENGTH(modes)

/* Runs a check in every mode; with direct I/O a second time with blocks of 4096 bytes, so that the
 * ways for partial blocks are taken on any host. */
static void
in_every_mode(uint64_t length, void (*check)(struct rig *rig))
{
    uint32_t mode, large;

    for (mode = 0; mode < MODES; mode++) {
        for (large = 0; large < 2; large++) {
            struct rig rig;

            rig_open(&rig, length, modes[mode]);
            if (rig_image(&rig)->direct && large) {
                rig_image(&rig)->offset_align = 4096;
                rig_image(&rig)->memory_align = 4096;
            }
            if (!large || rig_image(&rig)->direct) {
                check(&rig);
            }
            rig_close(&rig, 1);
        }
    }
}

static void
assert_pattern(const uint8_t *data, uint64_t offset, uint64_t length)
{
    uint64_t i;

    for (i = 0; i < length; i++) {
        if (data[i] != rig_pattern(offset + i)) {
            fail_msg("byte %llu is %02x", (unsigned long long)(offset + i), data[i]);
        }
    }
}

static void
assert_bytes(const uint8_t *data, uint8_t value, uint64_t length)
{
    uint64_t i;

    for (i = 0; i < length; i++) {
        if (data[i] != value) {
            fail_msg("byte %llu is %02x, not %02x", (unsigned long long)i, data[i], value);
        }
    }
}

static void
check_reads(struct rig *rig)
{
    static const uint64_t places[][2] = {
        {0, 512},       {512, 512},     {0, 4096},          {4096, 65536},
        {3584, 1024},   {512, 131072},  {MIB - 512, 512},   {MIB - 131072, 131072},
        {1536, 301056}, {4096, 262144}, {MIB - 4096, 4096},
    };
    uint8_t *data = malloc(MIB);
    uint32_t i, skew;

    for (i = 0; i < BP_ARRAY_LENGTH(places); i++) {
        for (skew = 0; skew <= 514; skew += 257) {
            memset(data, 0xee, MIB);
            assert_int_equal(rig_io(rig, BP_BLOCK_READ, 0, places[i][0], data, places[i][1], skew),
                             0);
            assert_pattern(data, places[i][0], places[i][1]);
        }
    }
    free(data);
}

static void
test_reads_give_what_is_in_the_file(void **state)
{
    in_every_mode(MIB, check_reads);
}

static void
check_writes(struct rig *rig)
{
    static const uint64_t places[][2] = {
        {0, 512},     {1024, 512},         {4096, 4096},    {9728, 1024},
        {16384, 512}, {20480 + 512, 8192}, {65536, 300032}, {MIB - 512, 512},
    };
    uint8_t *shadow = malloc(MIB), *data = malloc(MIB);
    uint32_t i, skew = 0;
    uint64_t k;

    for (k = 0; k < MIB; k++) {
        shadow[k] = rig_pattern(k);
    }
    for (i = 0; i < BP_ARRAY_LENGTH(places); i++) {
        memset(shadow + places[i][0], 0x40 + (int)i, places[i][1]);
        assert_int_equal(rig_io(rig, BP_BLOCK_WRITE, i % 2 == 0 ? BP_BLOCK_FUA : 0, places[i][0],
                                shadow + places[i][0], places[i][1], skew),
                         0);
        skew = skew == 0 ? 1 : skew == 1 ? 512 : 0;
    }
    assert_int_equal(rig_op(rig, BP_BLOCK_FLUSH, 0, 0, 0), 0);
    assert_int_equal(rig_read(rig, 0, data, MIB), 0);
    assert_memory_equal(data, shadow, MIB);
    rig_read_file(rig->path, 0, data, MIB);
    assert_memory_equal(data, shadow, MIB);
    free(shadow);
    free(data);
}

static void
test_writes_reach_the_file_and_nothing_beside_them(void **state)
{
    in_every_mode(MIB, check_writes);
}

static void
check_zeroes(struct rig *rig)
{
    static const uint64_t places[][2] = {
        {0, 512}, {4608, 512}, {8192, 4096}, {20480 + 512, 65536}, {262144, 524288},
    };
    uint32_t i, flags;

    for (flags = 0; flags < 4; flags++) {
        uint8_t *shadow = malloc(MIB), *data = malloc(MIB);

        memset(shadow, 0xa5, MIB);
        assert_int_equal(rig_write(rig, 0, shadow, MIB), 0);
        for (i = 0; i < BP_ARRAY_LENGTH(places); i++) {
            memset(shadow + places[i][0], 0, places[i][1]);
            assert_int_equal(rig_op(rig, BP_BLOCK_WRITE_ZEROES, flags, places[i][0], places[i][1]),
                             0);
        }
        assert_int_equal(rig_read(rig, 0, data, MIB), 0);
        assert_memory_equal(data, shadow, MIB);
        free(shadow);
        free(data);
    }
}

static void
check_zeroes_by_each_way(struct rig *rig)
{
    check_zeroes(rig);
    image_learn(rig_image(rig), IMAGE_LACKS_ZERO_RANGE);
    check_zeroes(rig);
    image_learn(rig_image(rig), IMAGE_LACKS_PUNCH);
    check_zeroes(rig);
    assert_int_equal(rig_file_size(rig->path), MIB);
}

static void
test_zeroed_ranges_read_as_zeroes_whatever_the_host_can(void **state)
{
    in_every_mode(MIB, check_zeroes_by_each_way);
}

static void
test_unmapped_zeroes_and_discards_give_blocks_back_and_plain_zeroes_do_not(void **state)
{
    struct rig rig;
    uint64_t full, half;
    uint8_t data[4096];

    rig_open(&rig, MIB, "");
    assert_int_equal(rig_op(&rig, BP_BLOCK_FLUSH, 0, 0, 0), 0);
    full = rig_file_blocks(rig.path);
    assert_int_equal(rig_op(&rig, BP_BLOCK_WRITE_ZEROES, 0, 0, MIB / 2), 0);
    assert_true(rig_file_blocks(rig.path) >= full - 8);
    assert_int_equal(rig_op(&rig, BP_BLOCK_WRITE_ZEROES, BP_BLOCK_UNMAP, 0, MIB / 2), 0);
    half = rig_file_blocks(rig.path);
    assert_true(half <= full - MIB / 2 / 512 + 16);
    assert_int_equal(rig_op(&rig, BP_BLOCK_DISCARD, 0, MIB / 2, MIB / 4), 0);
    assert_true(rig_file_blocks(rig.path) <= half - MIB / 4 / 512 + 16);
    assert_int_equal(rig_read(&rig, MIB / 2, data, sizeof(data)), 0);
    assert_bytes(data, 0, sizeof(data));
    assert_int_equal(rig_file_size(rig.path), MIB);
    rig_close(&rig, 1);
}

static void
test_ignored_discards_succeed_and_change_nothing(void **state)
{
    struct bp_block_info info = {.size = sizeof(info)};
    const struct bp_block_ops *ops;
    uint8_t data[4096];
    struct rig rig;

    rig_open(&rig, MIB, "discard = \"ignore\";");
    ops = th_table(rig.instance, BP_BLOCK_ID);
    assert_int_equal(ops->info(th_self(rig.instance), &info), 0);
    assert_int_equal(info.flags & BP_BLOCK_CAN_DISCARD, 0);
    assert_int_equal(info.discard_granularity, 0);
    assert_int_equal(rig_op(&rig, BP_BLOCK_DISCARD, 0, 0, MIB), 0);
    assert_int_equal(rig_read(&rig, 8192, data, sizeof(data)), 0);
    assert_pattern(data, 8192, sizeof(data));
    rig_close(&rig, 1);
}

static void
test_a_discard_the_host_cannot_do_is_refused_and_no_longer_offered(void **state)
{
    struct bp_block_info info = {.size = sizeof(info)};
    const struct bp_block_ops *ops;
    struct rig rig;

    rig_open(&rig, MIB, "");
    ops = th_table(rig.instance, BP_BLOCK_ID);
    image_learn(rig_image(&rig), IMAGE_LACKS_PUNCH);
    assert_int_equal(rig_op(&rig, BP_BLOCK_DISCARD, 0, 0, 4096), -EOPNOTSUPP);
    assert_int_equal(ops->info(th_self(rig.instance), &info), 0);
    assert_int_equal(info.flags & BP_BLOCK_CAN_DISCARD, 0);
    rig_close(&rig, 1);
}

static void
check_tail(struct rig *rig)
{
    struct bp_block_info info = {.size = sizeof(info)};
    const struct bp_block_ops *ops = th_table(rig->instance, BP_BLOCK_ID);
    uint8_t data[8192];

    assert_int_equal(ops->info(th_self(rig->instance), &info), 0);
    assert_int_equal(info.capacity, 10240 + 512);
    assert_int_equal(rig_read(rig, 10240, data, 512), 0);
    assert_pattern(data, 10240, 100);
    assert_bytes(data + 100, 0, 412);
    assert_int_equal(rig_io(rig, BP_BLOCK_READ, 0, 4096 - 512, data, 7168, 3), 0);
    assert_pattern(data, 3584, 10340 - 3584);
    assert_bytes(data + (10340 - 3584), 0, 412);
    assert_int_equal(rig_read(rig, 10752, data, 512), -EINVAL);
    memset(data, 0x77, 512);
    assert_int_equal(rig_write(rig, 10240, data, 512), 0);
    memset(data, 0, 512);
    assert_int_equal(rig_read(rig, 10240, data, 512), 0);
    assert_bytes(data, 0x77, 512);
    assert_int_equal(rig_read(rig, 9728, data, 512), 0);
    assert_pattern(data, 9728, 512);
}

static void
test_a_partial_last_sector_is_padded_with_zeroes_and_filled_by_writing(void **state)
{
    in_every_mode(10340, check_tail);
}

static void
test_whole_blocks_at_the_end_do_not_make_the_file_longer_for_good(void **state)
{
    uint8_t data[512];
    struct rig rig;

    rig_open(&rig, 10752, "cache = \"none\";");
    rig_image(&rig)->offset_align = 4096;
    memset(data, 0x55, sizeof(data));
    assert_int_equal(rig_write(&rig, 10240, data, sizeof(data)), 0);
    rig_close(&rig, 0);
    assert_int_equal(rig_file_size(rig.path), 10752);
    (void)unlink(rig.path);
}

static void
check_bad_requests(struct rig *rig)
{
    struct bp_iovec iov[2] = {{rig->arena, 512}, {rig->arena + 512, 512}};
    const struct bp_block_request bad[] = {
        {.op = 0, .length = 512, .iov = iov, .iov_count = 1},
        {.op = 6, .length = 512, .iov = iov, .iov_count = 1},
        {.op = BP_BLOCK_READ, .length = 0, .iov = iov, .iov_count = 1},
        {.op = BP_BLOCK_READ, .length = 100, .iov = iov, .iov_count = 1},
        {.op = BP_BLOCK_READ, .offset = 7, .length = 512, .iov = iov, .iov_count = 1},
        {.op = BP_BLOCK_READ, .offset = MIB, .length = 512, .iov = iov, .iov_count = 1},
        {.op = BP_BLOCK_READ, .offset = MIB - 512, .length = 1024, .iov = iov, .iov_count = 2},
        {.op = BP_BLOCK_WRITE,
         .offset = UINT64_MAX - 511,
         .length = 512,
         .iov = iov,
         .iov_count = 1},
        {.op = BP_BLOCK_WRITE, .length = UINT64_MAX - 511, .iov = iov, .iov_count = 1},
        {.op = BP_BLOCK_WRITE, .length = 1024, .iov = iov, .iov_count = 1},
        {.op = BP_BLOCK_WRITE, .length = 512, .iov = iov, .iov_count = 2},
        {.op = BP_BLOCK_WRITE, .length = 512, .iov = iov, .iov_count = 0},
        {.op = BP_BLOCK_WRITE, .length = 512, .iov = iov, .iov_count = 1025},
        {.op = BP_BLOCK_WRITE, .length = 512, .iov = NULL, .iov_count = 1},
        {.op = BP_BLOCK_WRITE, .flags = BP_BLOCK_UNMAP, .length = 512, .iov = iov, .iov_count = 1},
        {.op = BP_BLOCK_READ, .flags = BP_BLOCK_FUA, .length = 512, .iov = iov, .iov_count = 1},
        {.op = BP_BLOCK_FLUSH, .flags = BP_BLOCK_FUA},
        {.op = BP_BLOCK_DISCARD, .offset = MIB, .length = 512},
        {.op = BP_BLOCK_DISCARD, .length = 0},
        {.op = BP_BLOCK_WRITE_ZEROES, .flags = 4, .length = 512},
        {.op = BP_BLOCK_WRITE_ZEROES, .length = 513},
    };
    uint32_t i, before = th_queue_completed(rig->queue);

    assert_int_equal(th_queue_submit(rig->queue, bad, BP_ARRAY_LENGTH(bad)), BP_ARRAY_LENGTH(bad));
    assert_true(th_queue_wait(rig->queue, before + BP_ARRAY_LENGTH(bad), 30000));
    for (i = 0; i < BP_ARRAY_LENGTH(bad); i++) {
        if (th_queue_completion(rig->queue, before + i)->status != -EINVAL) {
            fail_msg("bad request %u ends with %d", i,
                     th_queue_completion(rig->queue, before + i)->status);
        }
    }
}

static void
test_wrong_requests_complete_with_einval(void **state)
{
    in_every_mode(MIB, check_bad_requests);
}

static void
test_a_readonly_image_refuses_writes_and_is_not_touched(void **state)
{
    struct bp_block_info info = {.size = sizeof(info)};
    const struct bp_block_ops *ops;
    uint8_t data[512] = {0};
    struct rig rig;

    rig_open(&rig, MIB, "readonly = true; cache = \"none\";");
    ops = th_table(rig.instance, BP_BLOCK_ID);
    assert_int_equal(ops->info(th_self(rig.instance), &info), 0);
    assert_true(info.flags & BP_BLOCK_READONLY);
    assert_int_equal(info.flags & (BP_BLOCK_CAN_DISCARD | BP_BLOCK_CAN_ZERO | BP_BLOCK_CAN_RESIZE),
                     0);
    assert_int_equal(rig_write(&rig, 0, data, sizeof(data)), -EROFS);
    assert_int_equal(rig_op(&rig, BP_BLOCK_DISCARD, 0, 0, 512), -EROFS);
    assert_int_equal(rig_op(&rig, BP_BLOCK_WRITE_ZEROES, 0, 0, 512), -EROFS);
    assert_int_equal(rig_op(&rig, BP_BLOCK_FLUSH, 0, 0, 0), 0);
    assert_int_equal(ops->resize(th_self(rig.instance), MIB / 2), -EROFS);
    assert_int_equal(rig_read(&rig, 0, data, sizeof(data)), 0);
    assert_pattern(data, 0, sizeof(data));
    rig_close(&rig, 1);
}

static void
test_resizing_changes_file_and_capacity_and_tells_every_queue(void **state)
{
    struct bp_block_info info = {.size = sizeof(info)};
    const struct bp_block_ops *ops;
    struct th_queue *second;
    uint8_t data[512];
    struct rig rig;

    rig_open(&rig, MIB, "");
    second = th_queue_open(rig.instance, 4);
    ops = th_table(rig.instance, BP_BLOCK_ID);
    assert_int_equal(ops->resize(th_self(rig.instance), 2 * MIB), 0);
    th_run(rig.th);
    assert_int_equal(th_queue_events(rig.queue, BP_BLOCK_EVENT_RESIZED), 1);
    assert_int_equal(th_queue_events(second, BP_BLOCK_EVENT_RESIZED), 1);
    assert_int_equal(ops->info(th_self(rig.instance), &info), 0);
    assert_int_equal(info.capacity, 2 * MIB);
    assert_int_equal(rig_read(&rig, 2 * MIB - 512, data, sizeof(data)), 0);
    assert_bytes(data, 0, sizeof(data));
    assert_int_equal(ops->resize(th_self(rig.instance), 4096), 0);
    assert_int_equal(rig_read(&rig, 4096, data, sizeof(data)), -EINVAL);
    assert_int_equal(rig_file_size(rig.path), 4096);
    assert_int_equal(ops->resize(th_self(rig.instance), 4097), -EINVAL);
    assert_int_equal(ops->resize(th_self(rig.instance), 0), -EINVAL);
    assert_int_equal(ops->resize(th_self(rig.instance), UINT64_MAX - 511), -EINVAL);
    th_queue_close(second);
    rig_close(&rig, 1);
}

static void
test_detected_zeroes_become_holes_only_if_asked(void **state)
{
    static const char *const options[] = {"", "detect_zeroes = \"on\";",
                                          "detect_zeroes = \"unmap\";"};
    uint8_t *zeroes = calloc(1, MIB), *data = malloc(MIB);
    uint32_t i;

    for (i = 0; i < 3; i++) {
        struct rig rig;
        uint64_t full;

        rig_open(&rig, MIB, options[i]);
        assert_int_equal(rig_op(&rig, BP_BLOCK_FLUSH, 0, 0, 0), 0);
        full = rig_file_blocks(rig.path);
        assert_int_equal(rig_write(&rig, 0, zeroes, MIB / 2), 0);
        assert_int_equal(rig_op(&rig, BP_BLOCK_FLUSH, 0, 0, 0), 0);
        if (i == 2) {
            assert_true(rig_file_blocks(rig.path) <= full - MIB / 2 / 512 + 16);
        } else {
            assert_true(rig_file_blocks(rig.path) >= full - 8);
        }
        /* One byte that is not zero, at the very end, and it is an ordinary write. */
        zeroes[MIB / 4 - 1] = 1;
        assert_int_equal(rig_write(&rig, MIB / 2, zeroes, MIB / 4), 0);
        assert_int_equal(rig_read(&rig, MIB / 2, data, MIB / 4), 0);
        assert_memory_equal(data, zeroes, MIB / 4);
        zeroes[MIB / 4 - 1] = 0;
        rig_close(&rig, 1);
    }
    free(zeroes);
    free(data);
}

static void
test_the_info_is_the_host_s(void **state)
{
    struct bp_block_info info = {.size = sizeof(info)};
    const struct bp_block_ops *ops;
    struct rig rig;

    rig_open(&rig, MIB, "rotational = \"on\"; physical_block_size = 8192;");
    ops = th_table(rig.instance, BP_BLOCK_ID);
    assert_int_equal(ops->info(th_self(rig.instance), &info), 0);
    assert_int_equal(info.size, sizeof(info));
    assert_int_equal(info.capacity, MIB);
    assert_int_equal(info.block_size, 512);
    assert_int_equal(info.physical_block_size, 8192);
    assert_int_equal(info.buffer_alignment, 1);
    assert_true(info.max_transfer >= MIB && info.max_iov >= 128);
    assert_true(info.flags & BP_BLOCK_ROTATIONAL);
    assert_true(info.flags & BP_BLOCK_WRITE_CACHE);
    assert_true(info.flags & BP_BLOCK_CAN_FUA);
    rig_close(&rig, 1);
    rig_open(&rig, MIB, "rotational = \"off\"; cache = \"directsync\";");
    ops = th_table(rig.instance, BP_BLOCK_ID);
    /* A caller with an older, shorter struct: nothing behind its end is touched. */
    memset(&info, 0xaa, sizeof(info));
    info.size = offsetof(struct bp_block_info, physical_block_size);
    assert_int_equal(ops->info(th_self(rig.instance), &info), 0);
    assert_int_equal(info.size, offsetof(struct bp_block_info, physical_block_size));
    assert_int_equal(info.flags & (BP_BLOCK_ROTATIONAL | BP_BLOCK_WRITE_CACHE), 0);
    assert_int_equal(info.physical_block_size, 0xaaaaaaaa);
    rig_close(&rig, 1);
}

static void
test_a_failed_flush_makes_every_later_flush_fail(void **state)
{
    uint8_t data[512] = {1};
    struct rig rig;

    rig_open(&rig, MIB, "");
    assert_int_equal(image_flush_result(rig_image(&rig), -EIO), -EIO);
    assert_true(th_logged(rig.th, "may be lost"));
    assert_int_equal(rig_op(&rig, BP_BLOCK_FLUSH, 0, 0, 0), -EIO);
    assert_int_equal(rig_write(&rig, 0, data, sizeof(data)), 0);
    assert_int_equal(image_flush(rig_image(&rig)), -EIO);
    rig_close(&rig, 1);
}

static void
test_a_full_file_system_is_worth_another_try(void **state)
{
    const struct bp_block_completion *completion;
    struct rig rig;

    rig_open(&rig, MIB, "aio = \"threads\";");
    {
        struct bp_iovec iov = {rig.arena, 512};
        struct bp_block_request request = {
            .op = BP_BLOCK_WRITE, .length = 512, .iov = &iov, .iov_count = 1};
        /* /dev/full answers every write with ENOSPC. */
        assert_int_equal(dup2(open("/dev/full", O_RDWR | O_CLOEXEC), rig_image(&rig)->fd),
                         rig_image(&rig)->fd);
        assert_int_equal(th_queue_submit(rig.queue, &request, 1), 1);
        assert_true(th_queue_wait(rig.queue, 1, 30000));
    }
    completion = th_queue_completion(rig.queue, 0);
    assert_int_equal(completion->status, -ENOSPC);
    assert_int_equal(completion->flags, BP_BLOCK_RECOVERABLE);
    rig_close(&rig, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_give_what_is_in_the_file),
        cmocka_unit_test(test_writes_reach_the_file_and_nothing_beside_them),
        cmocka_unit_test(test_zeroed_ranges_read_as_zeroes_whatever_the_host_can),
        cmocka_unit_test(
            test_unmapped_zeroes_and_discards_give_blocks_back_and_plain_zeroes_do_not),
        cmocka_unit_test(test_ignored_discards_succeed_and_change_nothing),
        cmocka_unit_test(test_a_discard_the_host_cannot_do_is_refused_and_no_longer_offered),
        cmocka_unit_test(test_a_partial_last_sector_is_padded_with_zeroes_and_filled_by_writing),
        cmocka_unit_test(test_whole_blocks_at_the_end_do_not_make_the_file_longer_for_good),
        cmocka_unit_test(test_wrong_requests_complete_with_einval),
        cmocka_unit_test(test_a_readonly_image_refuses_writes_and_is_not_touched),
        cmocka_unit_test(test_resizing_changes_file_and_capacity_and_tells_every_queue),
        cmocka_unit_test(test_detected_zeroes_become_holes_only_if_asked),
        cmocka_unit_test(test_the_info_is_the_host_s),
        cmocka_unit_test(test_a_failed_flush_makes_every_later_flush_fail),
        cmocka_unit_test(test_a_full_file_system_is_worth_another_try),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
