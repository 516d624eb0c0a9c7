/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/filter-throttle on the fake core: all times are virtual and exact. */
#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

struct rig {
    struct th_host *th;
    struct th_block *disk;
    struct bp_instance *filter;
    const struct bp_block_ops *ops;
    struct th_queue *queue;
    uint64_t user;
};

static void
rig_init(struct rig *rig, const char *limits)
{
    char options[512];

    memset(rig, 0, sizeof(*rig));
    rig->th = th_new();
    rig->disk = th_block_new(rig->th, "disk", 1 << 20);
    (void)snprintf(options, sizeof(options), "below = \"disk\"; %s", limits);
    rig->filter = th_plug(rig->th, &backplane_plugin_v1, "slow", options);
    assert_non_null(rig->filter);
    rig->ops = th_table(rig->filter, BP_BLOCK_ID);
    rig->queue = th_queue_open(rig->filter, 64);
}

static void
rig_done(struct rig *rig)
{
    th_queue_close(rig->queue);
    th_free(rig->th);
}

static void
submit(struct rig *rig, uint32_t op, uint64_t length, uint32_t count)
{
    while (count-- > 0) {
        struct bp_iovec *iov = th_arena(rig->th, sizeof(*iov));
        struct bp_block_request request = {.user = rig->user++, .op = op, .length = length};

        if (op == BP_BLOCK_READ || op == BP_BLOCK_WRITE) {
            iov->base = th_arena(rig->th, length);
            iov->length = length;
            request.iov = iov;
            request.iov_count = 1;
        }
        assert_int_equal(th_queue_submit(rig->queue, &request, 1), 1);
    }
    th_run(rig->th);
}

static void
assert_done(struct rig *rig, uint64_t at_ms, uint32_t count)
{
    th_clock_step(rig->th, at_ms * MS - th_clock_now(rig->th));
    assert_int_equal(th_queue_completed(rig->queue), count);
}

static void
test_without_limits_nothing_waits(void **state)
{
    struct rig rig;

    rig_init(&rig, "");
    submit(&rig, BP_BLOCK_READ, 512, 60);
    assert_int_equal(th_queue_completed(rig.queue), 60);
    rig_done(&rig);
}

static void
test_operations_are_spread_evenly_and_in_order(void **state)
{
    struct rig rig;
    uint32_t i;

    rig_init(&rig, "iops = 100;");
    submit(&rig, BP_BLOCK_READ, 512, 20);
    for (i = 1; i <= 20; i++) {
        assert_int_equal(th_queue_completed(rig.queue), i);
        assert_int_equal(th_queue_completion(rig.queue, i - 1)->user, i - 1);
        th_clock_step(rig.th, 10 * MS);
    }
    /* A rest gives nothing without a burst. */
    assert_done(&rig, 5000, 20);
    submit(&rig, BP_BLOCK_READ, 512, 3);
    assert_int_equal(th_queue_completed(rig.queue), 21);
    assert_done(&rig, 5010, 22);
    assert_done(&rig, 5020, 23);
    rig_done(&rig);
}

static void
test_a_thousand_requests_take_exactly_their_time(void **state)
{
    struct rig rig;
    uint32_t i;

    rig_init(&rig, "iops = 250;");
    submit(&rig, BP_BLOCK_READ, 512, 40);
    for (i = 0; i < 960; i++) {
        th_clock_step(rig.th, 4 * MS);
        assert_int_equal(th_queue_completed(rig.queue), i + 2);
        submit(&rig, BP_BLOCK_READ, 512, 1);
    }
    assert_done(&rig, 4 * 999 - 1, 999);
    assert_done(&rig, 4 * 999, 1000);
    rig_done(&rig);
}

static void
test_bytes_are_limited_for_each_direction(void **state)
{
    struct rig rig;

    rig_init(&rig, "bps_write = 512000;");
    submit(&rig, BP_BLOCK_WRITE, 51200, 3); /* 100 ms each */
    assert_int_equal(th_queue_completed(rig.queue), 1);
    submit(&rig, BP_BLOCK_READ, 51200, 5); /* pass by */
    assert_int_equal(th_queue_completed(rig.queue), 6);
    submit(&rig, BP_BLOCK_DISCARD, 51200, 1); /* moves no bytes, but keeps its place among writes */
    submit(&rig, BP_BLOCK_FLUSH, 0, 1);
    assert_int_equal(th_queue_completed(rig.queue), 7);
    assert_done(&rig, 99, 7);
    assert_done(&rig, 100, 8);
    assert_done(&rig, 200, 10);
    rig_done(&rig);
}

static void
test_the_tightest_limit_counts(void **state)
{
    struct rig rig;

    rig_init(&rig, "iops = 1000; bps = 51200; iops_read = 100;");
    submit(&rig, BP_BLOCK_READ, 512, 2); /* 10 ms each by bytes and by reads */
    submit(&rig, BP_BLOCK_READ, 5120, 2);
    assert_int_equal(th_queue_completed(rig.queue), 1);
    assert_done(&rig, 10, 2);
    assert_done(&rig, 20, 3);
    assert_done(&rig, 119, 3);
    assert_done(&rig, 120, 4);
    rig_done(&rig);
}

static void
test_a_burst_lasts_its_length_and_comes_back_after_a_rest(void **state)
{
    struct rig rig;
    uint32_t round, i;

    rig_init(&rig, "iops = 10; iops_burst = 100; burst_length = 1;");
    for (round = 0; round < 2; round++) {
        uint64_t start = th_clock_now(rig.th) / MS;
        uint32_t before = th_queue_completed(rig.queue);

        /* Never fewer than 20 waiting. */
        submit(&rig, BP_BLOCK_READ, 512, 40);
        for (i = 0; i < 200; i++) {
            th_clock_step(rig.th, 10 * MS);
            submit(&rig, BP_BLOCK_READ, 512,
                   40 - ((uint32_t)rig.user - th_queue_completed(rig.queue)));
        }
        /* One second at 100, one at 10. */
        assert_in_range(th_queue_completed(rig.queue) - before, 108, 113);
        assert_int_equal(th_quiesce(rig.filter), 0); /* lets the rest through */
        th_resume(rig.filter);
        assert_done(&rig, start + 40000, (uint32_t)rig.user);
    }
    rig_done(&rig);
}

static void
test_a_large_request_counts_as_several_when_asked(void **state)
{
    struct rig rig;

    rig_init(&rig, "iops = 100; iops_size = 4096;");
    submit(&rig, BP_BLOCK_WRITE, 4096 * 3 + 512, 2);
    assert_int_equal(th_queue_completed(rig.queue), 1);
    assert_done(&rig, 39, 1);
    assert_done(&rig, 40, 2);
    rig_done(&rig);
}

static void
test_a_change_reckons_those_who_wait_anew(void **state)
{
    struct rig rig;

    rig_init(&rig, "iops = 1;");
    submit(&rig, BP_BLOCK_READ, 512, 11);
    assert_done(&rig, 500, 1);
    assert_int_equal(th_set(rig.filter, "iops", "100"), 0);
    th_run(rig.th);
    assert_int_equal(th_queue_completed(rig.queue), 2);
    assert_done(&rig, 510, 3);
    assert_int_equal(th_set(rig.filter, "iops", "0"), 0);
    th_run(rig.th);
    assert_int_equal(th_queue_completed(rig.queue), 11);
    rig_done(&rig);
}

static void
test_two_queues_share_the_limit_first_come_first_served(void **state)
{
    struct rig rig;
    struct th_queue *other;
    struct bp_iovec iov;
    struct bp_block_request request = {
        .op = BP_BLOCK_READ, .length = 512, .iov = &iov, .iov_count = 1};
    uint32_t i;

    rig_init(&rig, "iops = 100;");
    iov.base = th_arena(rig.th, 512);
    iov.length = 512;
    other = th_queue_open(rig.filter, 64);
    for (i = 0; i < 10; i++) {
        submit(&rig, BP_BLOCK_READ, 512, 1);
        request.user = i;
        assert_int_equal(th_queue_submit(other, &request, 1), 1);
    }
    th_run(rig.th);
    for (i = 1; i <= 20; i++) {
        assert_int_equal(th_queue_completed(rig.queue), (i + 1) / 2);
        assert_int_equal(th_queue_completed(other), i / 2);
        th_clock_step(rig.th, 10 * MS);
    }
    th_queue_close(other);
    rig_done(&rig);
}

static uint32_t ended_count;

static void
count_completions(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    uint32_t i, *cancelled = opaque;

    ended_count += count;
    for (i = 0; i < count; i++) {
        *cancelled += completions[i].status == -ECANCELED;
    }
}

static void
test_what_is_cancelled_gives_back_what_it_took(void **state)
{
    static const struct bp_block_client client = {.size = sizeof(client),
                                                  .complete = count_completions};
    uint32_t cancelled = 0, i;
    struct bp_block_queue_args args = {
        .size = sizeof(args), .depth = 32, .client = &client, .opaque = &cancelled};
    struct bp_block_request request = {.op = BP_BLOCK_DISCARD, .length = 4096};
    void *queue;
    struct rig rig;

    ended_count = 0;
    rig_init(&rig, "iops = 10;");
    assert_int_equal(rig.ops->queue_open(th_self(rig.filter), &args, &queue), 0);
    for (i = 0; i < 21; i++) {
        request.user = i;
        assert_int_equal(rig.ops->submit(th_self(rig.filter), queue, &request, 1), 1);
    }
    th_run(rig.th);
    assert_int_equal(ended_count, 1);
    rig.ops->cancel(th_self(rig.filter), queue, UINT64_MAX);
    th_run(rig.th);
    assert_int_equal(cancelled, 20);
    assert_int_equal(ended_count, 21);
    assert_done(&rig, 100, 0);
    submit(&rig, BP_BLOCK_READ, 512, 1);
    assert_int_equal(th_queue_completed(rig.queue), 1);
    rig.ops->queue_close(th_self(rig.filter), queue);
    rig_done(&rig);
}

static void
add_disk(struct th_host *th, void *opaque)
{
    (void)th_block_new(th, "disk", 1 << 20);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    (void)th_fail_each_call(&backplane_plugin_v1, NULL, "below = \"disk\"; iops = 5;", add_disk,
                            NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_limits_nothing_waits),
        cmocka_unit_test(test_operations_are_spread_evenly_and_in_order),
        cmocka_unit_test(test_a_thousand_requests_take_exactly_their_time),
        cmocka_unit_test(test_bytes_are_limited_for_each_direction),
        cmocka_unit_test(test_the_tightest_limit_counts),
        cmocka_unit_test(test_a_burst_lasts_its_length_and_comes_back_after_a_rest),
        cmocka_unit_test(test_a_large_request_counts_as_several_when_asked),
        cmocka_unit_test(test_a_change_reckons_those_who_wait_anew),
        cmocka_unit_test(test_two_queues_share_the_limit_first_come_first_served),
        cmocka_unit_test(test_what_is_cancelled_gives_back_what_it_took),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
