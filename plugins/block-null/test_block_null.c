/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/block-null on the fake core. */
#include <backplane/sdk/bits.h>
#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct bp_block_info
ask(struct bp_instance *instance)
{
    const struct bp_block_ops *ops = th_table(instance, BP_BLOCK_ID);
    struct bp_block_info info = {.size = sizeof(info)};

    assert_int_equal(ops->info(th_self(instance), &info), 0);
    return info;
}

static struct bp_block_request
read_request(struct bp_iovec *iov, uint64_t user)
{
    struct bp_block_request request = {
        .user = user, .op = BP_BLOCK_READ, .length = iov->length, .iov = iov, .iov_count = 1};
    return request;
}

static void
test_reads_give_the_pattern_and_writes_change_nothing(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *disk = th_plug(th, &backplane_plugin_v1, "n", "pattern = 0x5a;");
    struct th_queue *queue = th_queue_open(disk, 8);
    uint8_t data[1024], expected[1024];

    memset(expected, 0x5a, sizeof(expected));
    memset(data, 1, sizeof(data));
    assert_int_equal(th_queue_io(queue, BP_BLOCK_WRITE, BP_BLOCK_FUA, 512, data, 512), 0);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_WRITE_ZEROES, BP_BLOCK_UNMAP, 0, NULL, 4096), 0);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_DISCARD, 0, 0, NULL, 4096), 0);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_FLUSH, 0, 0, NULL, 0), 0);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_READ, 0, 512, data, sizeof(data)), 0);
    assert_memory_equal(data, expected, sizeof(data));
    th_queue_close(queue);
    th_free(th);
}

static void
test_the_size_is_the_option_s_and_its_end_is_the_end(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *disk = th_plug(th, &backplane_plugin_v1, "n",
                                       "size = \"8T\"; block_size = 4096; readonly = true;");
    struct th_queue *queue = th_queue_open(disk, 8);
    struct bp_block_info info = ask(disk);
    uint8_t data[4096];

    assert_int_equal(info.capacity, UINT64_C(8) << 40);
    assert_int_equal(info.block_size, 4096);
    assert_true(info.flags & BP_BLOCK_READONLY);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_READ, 0, info.capacity - 4096, data, 4096), 0);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_READ, 0, info.capacity, data, 4096), -EINVAL);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_READ, 0, 512, data, 4096), -EINVAL);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_WRITE, 0, 0, data, 4096), -EROFS);
    th_queue_close(queue);
    th_free(th);
}

static void
test_odd_sizes_are_refused_with_a_reason(void **state)
{
    struct th_host *th = th_new();

    assert_null(th_plug(th, &backplane_plugin_v1, "n", "size = 1000;"));
    assert_string_equal(th_error_text(th), "size must be a multiple of 512 bytes, not 1000");
    assert_null(th_plug(th, &backplane_plugin_v1, "n", "block_size = 1536;"));
    assert_string_equal(th_error_text(th), "block_size must be 512, 1024, 2048 or 4096, not 1536");
    th_free(th);
}

static void
test_depth_is_kept_and_room_comes_back_in_batches(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *disk = th_plug(th, &backplane_plugin_v1, "n", "");
    struct th_queue *queue = th_queue_open(disk, 100);
    struct bp_iovec iov = {th_arena(th, 512), 512};
    struct bp_block_request requests[128];
    uint32_t i, round;

    for (i = 0; i < 128; i++) {
        requests[i] = read_request(&iov, i);
    }
    for (round = 0; round < 3; round++) {
        assert_int_equal(th_queue_submit(queue, requests, 128), 100);
        assert_int_equal(th_queue_submit(queue, requests + 100, 28), 0);
        assert_int_equal(th_queue_completed(queue), round * 100);
        th_run(th);
        assert_int_equal(th_queue_completed(queue), round * 100 + 100);
    }
    for (i = 0; i < 100; i++) {
        assert_int_equal(th_queue_completion(queue, i)->user, i);
    }
    assert_int_equal(th_queue_batches(queue), 6); /* of 64 and 36 */
    th_queue_close(queue);
    th_free(th);
}

static void
test_latency_passes_on_the_machine_s_clock(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *disk = th_plug(th, &backplane_plugin_v1, "n", "latency_ns = 1000000;");
    struct th_queue *queue = th_queue_open(disk, 8);
    struct bp_iovec iov = {th_arena(th, 512), 512};
    struct bp_block_request request = read_request(&iov, 1);

    assert_int_equal(th_queue_submit(queue, &request, 1), 1);
    th_clock_step(th, 600000);
    request.user = 2;
    assert_int_equal(th_queue_submit(queue, &request, 1), 1);
    th_clock_step(th, 399999);
    assert_int_equal(th_queue_completed(queue), 0);
    th_clock_step(th, 1);
    assert_int_equal(th_queue_completed(queue), 1);
    th_clock_step(th, 600000);
    assert_int_equal(th_queue_completed(queue), 2);
    /* Nobody has to wait for a clock that may stand still: closing drains. */
    assert_int_equal(th_queue_submit(queue, &request, 1), 1);
    th_queue_close(queue);
    th_free(th);
}

static void
test_queues_can_come_and_go_for_ever(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *disk = th_plug(th, &backplane_plugin_v1, "n", "latency_ns = 1000;");
    struct bp_iovec iov = {th_arena(th, 512), 512};
    struct bp_block_request request = read_request(&iov, 1);
    uint32_t round, i;

    for (round = 0; round < 50; round++) {
        struct th_queue *queues[3];

        for (i = 0; i < 3; i++) {
            queues[i] = th_queue_open(disk, 1 + round * 7);
            assert_non_null(queues[i]);
            assert_int_equal(th_queue_submit(queues[i], &request, 1), 1);
        }
        if (round % 2 == 0) {
            th_run(th);
        }
        for (i = 0; i < 3; i++) {
            th_queue_close(queues[i]);
        }
    }
    th_free(th);
}

static void
test_a_resize_is_told(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *disk = th_plug(th, &backplane_plugin_v1, "n", "");
    const struct bp_block_ops *ops = th_table(disk, BP_BLOCK_ID);
    struct th_queue *queue = th_queue_open(disk, 8);

    assert_int_equal(ops->resize(th_self(disk), 4096), 0);
    assert_int_equal(ops->resize(th_self(disk), 4097), -EINVAL);
    assert_int_equal(ops->resize(th_self(disk), 0), -EINVAL);
    th_run(th);
    assert_int_equal(th_queue_events(queue, BP_BLOCK_EVENT_RESIZED), 1);
    assert_int_equal(ask(disk).capacity, 4096);
    th_queue_close(queue);
    th_free(th);
}

static void
test_wrong_queue_arguments_are_refused(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *disk = th_plug(th, &backplane_plugin_v1, "n", "");
    const struct bp_block_ops *ops = th_table(disk, BP_BLOCK_ID);
    struct {
        struct bp_block_queue_args args;
        uint64_t tail;
    } grown = {.args = {.size = sizeof(grown), .depth = 1}, .tail = 1};
    struct bp_block_queue_args args = {.size = sizeof(args), .depth = 1};
    struct bp_block_client client = {.size = sizeof(client)};
    void *queue = NULL;

    assert_null(th_queue_open(disk, 0));
    assert_int_equal(th_status(th), -EINVAL);
    assert_null(th_queue_open(disk, 4097));
    assert_int_equal(ops->queue_open(th_self(disk), &args, &queue), -EINVAL);
    args.client = &client;
    assert_int_equal(ops->queue_open(th_self(disk), &args, &queue), -EINVAL);
    grown.args.client = &client;
    assert_int_equal(ops->queue_open(th_self(disk), &grown.args, &queue), -E2BIG);
    assert_null(queue);
    th_free(th);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    (void)th_fail_each_call(&backplane_plugin_v1, NULL, "latency_ns = 5;", NULL, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_give_the_pattern_and_writes_change_nothing),
        cmocka_unit_test(test_the_size_is_the_option_s_and_its_end_is_the_end),
        cmocka_unit_test(test_odd_sizes_are_refused_with_a_reason),
        cmocka_unit_test(test_depth_is_kept_and_room_comes_back_in_batches),
        cmocka_unit_test(test_latency_passes_on_the_machine_s_clock),
        cmocka_unit_test(test_queues_can_come_and_go_for_ever),
        cmocka_unit_test(test_a_resize_is_told),
        cmocka_unit_test(test_wrong_queue_arguments_are_refused),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
