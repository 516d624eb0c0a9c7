/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/filter-verify on the fake core, over two fake disks. */
#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIZE (4u << 20)

struct rig {
    struct th_host *th;
    struct th_block *disk[2];
    struct bp_instance *verify;
    struct th_queue *queue;
};

static void
rig_init(struct rig *rig)
{
    rig->th = th_new();
    rig->disk[0] = th_block_new(rig->th, "a", SIZE);
    rig->disk[1] = th_block_new(rig->th, "b", SIZE);
    rig->verify = th_plug(rig->th, &backplane_plugin_v1, "verify", "below = \"a\"; other = \"b\";");
    assert_non_null(rig->verify);
    rig->queue = th_queue_open(rig->verify, 16);
    assert_non_null(rig->queue);
}

static void
rig_done(struct rig *rig)
{
    th_queue_close(rig->queue);
    th_free(rig->th);
}

static void
test_random_requests_keep_two_equal_disks_equal(void **state)
{
    uint8_t *data = malloc(65536), *shadow = calloc(1, SIZE);
    struct rig rig;
    uint32_t i;

    srandom(11);
    rig_init(&rig);
    for (i = 0; i < 2000; i++) {
        uint32_t op = 1 + (uint32_t)(random() % 5);
        uint64_t length = 512 * (1 + (uint64_t)random() % 128);
        uint64_t offset = 512 * ((uint64_t)random() % ((SIZE - length) / 512 + 1));

        memset(data, (int)random() & 0xff, length);
        if (op == BP_BLOCK_FLUSH) {
            offset = length = 0;
        }
        assert_int_equal(th_queue_io(rig.queue, op, 0, offset, data, length), 0);
        if (op == BP_BLOCK_READ) {
            assert_memory_equal(data, shadow + offset, length);
        } else if (op == BP_BLOCK_WRITE) {
            memcpy(shadow + offset, data, length);
        } else {
            memset(shadow + offset, 0, length);
        }
    }
    assert_memory_equal(th_block_data(rig.disk[0]), shadow, SIZE);
    assert_memory_equal(th_block_data(rig.disk[1]), shadow, SIZE);
    assert_int_equal(th_log_count(rig.th, BP_LOG_ERROR), 0);
    free(data);
    free(shadow);
    rig_done(&rig);
}

static void
test_a_difference_is_an_error_that_names_the_byte(void **state)
{
    uint8_t data[4096];
    struct rig rig;

    rig_init(&rig);
    th_block_data(rig.disk[1])[8192 + 77] = 0x55;
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 4096, data, 4096), 0);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 8192, data, 4096), -EIO);
    assert_true(th_logged(rig.th, "the disks differ at byte 8269: below has 0x00, other has 0x55"));
    rig_done(&rig);
}

static void
test_statuses_that_differ_are_an_error_and_equal_ones_pass(void **state)
{
    uint8_t data[512] = {0};
    struct rig rig;

    rig_init(&rig);
    th_block_fail(rig.disk[1], BP_BLOCK_WRITE, 0, -ENOSPC, BP_BLOCK_RECOVERABLE);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 0, data, 512), -EIO);
    assert_true(
        th_logged(rig.th, "write of 512 bytes at 0: below says Success, other says No space"));
    th_block_fail(rig.disk[0], BP_BLOCK_WRITE, 0, -ENOSPC, BP_BLOCK_RECOVERABLE);
    th_block_fail(rig.disk[1], BP_BLOCK_WRITE, 0, -ENOSPC, BP_BLOCK_RECOVERABLE);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 0, data, 512), -ENOSPC);
    assert_int_equal(th_queue_completion(rig.queue, 1)->flags, BP_BLOCK_RECOVERABLE);
    rig_done(&rig);
}

static void
test_more_requests_than_buffers_wait_their_turn(void **state)
{
    struct bp_iovec iov[16];
    struct bp_block_request requests[16];
    struct rig rig;
    uint32_t i;

    rig_init(&rig);
    for (i = 0; i < 16; i++) {
        iov[i].base = th_arena(rig.th, 512);
        iov[i].length = 512;
        memset(iov[i].base, (int)i + 1, 512);
        requests[i] = (struct bp_block_request){.user = i,
                                                .op = BP_BLOCK_WRITE,
                                                .offset = UINT64_C(512) * i,
                                                .length = 512,
                                                .iov = &iov[i],
                                                .iov_count = 1};
    }
    th_block_hold(rig.disk[0], 1);
    assert_int_equal(th_queue_submit(rig.queue, requests, 16), 16);
    th_run(rig.th);
    assert_int_equal(th_block_in_flight(rig.disk[0]), 4);
    memset(iov[0].base, 0xff, 512); /* too late to matter */
    for (i = 1; i <= 16; i++) {
        th_block_release(rig.disk[0], 1, 0);
        assert_int_equal(th_queue_completed(rig.queue), i);
    }
    for (i = 0; i < 16; i++) {
        assert_int_equal(th_block_data(rig.disk[0])[512 * i], i + 1);
        assert_int_equal(th_block_data(rig.disk[1])[512 * i], i + 1);
    }
    rig_done(&rig);
}

static void
test_what_it_says_of_itself_is_what_both_can(void **state)
{
    struct bp_block_info info = {.size = sizeof(info)};
    const struct bp_block_ops *ops;
    struct rig rig;

    rig_init(&rig);
    ops = th_table(rig.verify, BP_BLOCK_ID);
    th_block_info(rig.disk[1])->flags &= ~BP_BLOCK_CAN_FUA;
    th_block_info(rig.disk[1])->flags |= BP_BLOCK_READONLY;
    th_block_info(rig.disk[1])->capacity = 4096;
    assert_int_equal(ops->info(th_self(rig.verify), &info), 0);
    assert_int_equal(info.flags & (BP_BLOCK_CAN_FUA | BP_BLOCK_READONLY), BP_BLOCK_READONLY);
    assert_int_equal(info.capacity, 4096);
    assert_false(BP_HAS(ops, resize));
    rig_done(&rig);
}

static void
add_disks(struct th_host *th, void *opaque)
{
    (void)th_block_new(th, "a", SIZE);
    (void)th_block_new(th, "b", SIZE);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    (void)th_fail_each_call(&backplane_plugin_v1, NULL, "below = \"a\"; other = \"b\";", add_disks,
                            NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_requests_keep_two_equal_disks_equal),
        cmocka_unit_test(test_a_difference_is_an_error_that_names_the_byte),
        cmocka_unit_test(test_statuses_that_differ_are_an_error_and_equal_ones_pass),
        cmocka_unit_test(test_more_requests_than_buffers_wait_their_turn),
        cmocka_unit_test(test_what_it_says_of_itself_is_what_both_can),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
