/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/filter-fault on the fake core, over a fake disk. */
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
};

static void
rig_init(struct rig *rig, const char *rules)
{
    char options[1024];

    rig->th = th_new();
    rig->disk = th_block_new(rig->th, "disk", 1 << 20);
    (void)snprintf(options, sizeof(options), "below = \"disk\"; %s", rules);
    rig->filter = th_plug(rig->th, &backplane_plugin_v1, "fault", options);
    if (rig->filter == NULL) {
        fail_msg("%s", th_error_text(rig->th));
    }
    rig->ops = th_table(rig->filter, BP_BLOCK_ID);
    rig->queue = th_queue_open(rig->filter, 16);
    assert_non_null(rig->queue);
}

static void
rig_done(struct rig *rig)
{
    th_queue_close(rig->queue);
    th_free(rig->th);
}

static int32_t
io(struct rig *rig, uint32_t op, uint64_t offset)
{
    uint8_t data[512];

    memset(data, 0x5a, sizeof(data));
    return th_queue_io(rig->queue, op, 0, offset, data, op == BP_BLOCK_FLUSH ? 0 : sizeof(data));
}

/* Submits one read that is not waited for. */
static void
submit_read(struct rig *rig, uint64_t user)
{
    struct bp_iovec *iov = th_arena(rig->th, sizeof(*iov));
    struct bp_block_request request = {
        .user = user, .op = BP_BLOCK_READ, .length = 512, .iov = iov, .iov_count = 1};

    iov->base = th_arena(rig->th, 512);
    iov->length = 512;
    assert_int_equal(th_queue_submit(rig->queue, &request, 1), 1);
    th_run(rig->th);
}

static void
test_without_rules_everything_passes(void **state)
{
    struct rig rig;
    struct bp_block_info info = {.size = sizeof(info)};
    uint8_t data[4096], back[4096];
    uint32_t i;

    rig_init(&rig, "");
    for (i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 7);
    }
    assert_int_equal(rig.ops->info(th_self(rig.filter), &info), 0);
    assert_memory_equal(&info, th_block_info(rig.disk), sizeof(info));
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, BP_BLOCK_FUA, 8192, data, 4096), 0);
    assert_memory_equal(th_block_durable(rig.disk) + 8192, data, 4096);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 8192, back, 4096), 0);
    assert_memory_equal(data, back, 4096);
    assert_int_equal(io(&rig, BP_BLOCK_FLUSH, 0), 0);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_DISCARD, 0, 8192, NULL, 4096), 0);
    assert_int_equal(th_block_data(rig.disk)[8192], 0);
    assert_int_equal(io(&rig, BP_BLOCK_READ, 100), -EINVAL);
    assert_int_equal(io(&rig, BP_BLOCK_READ, 1 << 20), -EINVAL);
    rig_done(&rig);
}

static void
test_only_the_nth_write_fails_when_count_is_one(void **state)
{
    struct rig rig;
    uint32_t i;

    rig_init(&rig, "rules = ( { op = \"write\"; nth = 3; count = 1; error = \"ENOSPC\"; } );");
    for (i = 1; i <= 6; i++) {
        assert_int_equal(io(&rig, BP_BLOCK_READ, 0), 0);
        assert_int_equal(io(&rig, BP_BLOCK_WRITE, 0), i == 3 ? -ENOSPC : 0);
    }
    assert_int_equal(th_queue_completion(rig.queue, 5)->status, -ENOSPC);
    assert_int_equal(th_queue_completion(rig.queue, 5)->flags, BP_BLOCK_RECOVERABLE);
    rig_done(&rig);
}

static void
test_every_second_from_the_nth_on_fails(void **state)
{
    struct rig rig;
    uint32_t i;

    rig_init(&rig, "rules = ( { nth = 2; every = 2; count = 2; } );");
    for (i = 1; i <= 8; i++) {
        assert_int_equal(io(&rig, BP_BLOCK_READ, 0), i == 2 || i == 4 ? -EIO : 0);
    }
    rig_done(&rig);
}

static void
test_a_range_is_hit_by_what_overlaps_it_and_by_nothing_else(void **state)
{
    struct rig rig;

    rig_init(&rig, "rules = ( { offset = 4096; length = 1024; } );");
    assert_int_equal(io(&rig, BP_BLOCK_READ, 3584), 0);
    assert_int_equal(io(&rig, BP_BLOCK_READ, 4096), -EIO);
    assert_int_equal(io(&rig, BP_BLOCK_WRITE, 4608), -EIO);
    assert_int_equal(io(&rig, BP_BLOCK_READ, 5120), 0);
    assert_int_equal(io(&rig, BP_BLOCK_FLUSH, 0), 0);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_DISCARD, 0, 0, NULL, 65536), -EIO);
    rig_done(&rig);
}

static void
test_the_first_rule_that_fires_counts(void **state)
{
    struct rig rig;

    rig_init(&rig, "rules = ( { op = \"read\"; error = \"EROFS\"; count = 1; },"
                   " { error = \"EIO\"; recoverable = true; } );");
    assert_int_equal(io(&rig, BP_BLOCK_READ, 0), -EROFS);
    assert_int_equal(th_queue_completion(rig.queue, 0)->flags, 0);
    assert_int_equal(io(&rig, BP_BLOCK_READ, 0), -EIO);
    assert_int_equal(th_queue_completion(rig.queue, 1)->flags, BP_BLOCK_RECOVERABLE);
    rig_done(&rig);
}

static void
test_an_error_before_leaves_the_disk_alone_and_one_after_does_not(void **state)
{
    struct rig rig;

    rig_init(&rig, "rules = ( { op = \"write\"; after = true; nth = 2; } ,"
                   " { op = \"write\"; count = 1; } );");
    assert_int_equal(io(&rig, BP_BLOCK_WRITE, 0), -EIO);
    assert_int_equal(th_block_data(rig.disk)[0], 0);
    assert_int_equal(io(&rig, BP_BLOCK_WRITE, 0), -EIO);
    assert_int_equal(th_block_data(rig.disk)[0], 0x5a);
    th_block_fail(rig.disk, BP_BLOCK_WRITE, 0, -ENOSPC, 0); /* the real error wins */
    assert_int_equal(io(&rig, BP_BLOCK_WRITE, 0), -ENOSPC);
    rig_done(&rig);
}

static void
test_a_delay_lasts_its_virtual_time(void **state)
{
    struct rig rig;

    rig_init(&rig, "rules = ( { action = \"delay\"; delay_ms = 50; count = 1; },"
                   " { delay_ms = 10; count = 1; } );");
    submit_read(&rig, 1);
    submit_read(&rig, 2);
    submit_read(&rig, 3);
    assert_int_equal(th_queue_completed(rig.queue), 1);
    assert_int_equal(th_queue_completion(rig.queue, 0)->user, 3);
    th_clock_step(rig.th, 10 * MS);
    assert_int_equal(th_queue_completed(rig.queue), 2);
    assert_int_equal(th_queue_completion(rig.queue, 1)->user, 2);
    assert_int_equal(th_queue_completion(rig.queue, 1)->status, -EIO);
    th_clock_step(rig.th, 40 * MS - 1);
    assert_int_equal(th_queue_completed(rig.queue), 2);
    th_clock_step(rig.th, 1);
    assert_int_equal(th_queue_completed(rig.queue), 3);
    assert_int_equal(th_queue_completion(rig.queue, 2)->status, 0);
    rig_done(&rig);
}

/* The test's queues have no cancel: a queue of our own. */
struct own_queue {
    void *queue;
    struct bp_block_completion last;
    uint32_t count;
};

static void
own_complete(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    struct own_queue *own = opaque;

    own->last = completions[count - 1];
    own->count += count;
}

static void
test_cancel_ends_what_it_names_and_leaves_the_rest(void **state)
{
    static const struct bp_block_client client = {.size = sizeof(client), .complete = own_complete};
    struct own_queue own = {.count = 0};
    struct bp_block_queue_args args = {
        .size = sizeof(args), .depth = 4, .client = &client, .opaque = &own};
    struct bp_block_request requests[3];
    struct bp_iovec iov;
    struct rig rig;
    uint32_t i;

    rig_init(&rig, "rules = ( { action = \"hang\"; count = 2; } );");
    iov.base = th_arena(rig.th, 512);
    iov.length = 512;
    for (i = 0; i < 3; i++) {
        requests[i] = (struct bp_block_request){
            .user = 70 + i, .op = BP_BLOCK_READ, .length = 512, .iov = &iov, .iov_count = 1};
    }
    assert_int_equal(rig.ops->queue_open(th_self(rig.filter), &args, &own.queue), 0);
    th_block_hold(rig.disk, 1);
    assert_int_equal(rig.ops->submit(th_self(rig.filter), own.queue, requests, 3), 3);
    th_run(rig.th);
    assert_int_equal(own.count, 0);
    rig.ops->cancel(th_self(rig.filter), own.queue, 12345);
    th_run(rig.th);
    assert_int_equal(own.count, 0);
    rig.ops->cancel(th_self(rig.filter), own.queue, 71);
    th_run(rig.th);
    assert_int_equal(own.count, 1);
    assert_int_equal(own.last.user, 71);
    assert_int_equal(own.last.status, -ECANCELED);
    rig.ops->cancel(th_self(rig.filter), own.queue, UINT64_MAX);
    th_run(rig.th);
    assert_int_equal(own.count, 2); /* the third is the disk's: it was asked */
    assert_int_equal(own.last.user, 70);
    th_block_release(rig.disk, 1, 0);
    assert_int_equal(own.count, 3);
    assert_int_equal(own.last.user, 72);
    assert_int_equal(own.last.status, -ECANCELED);
    rig.ops->queue_close(th_self(rig.filter), own.queue);
    rig_done(&rig);
}

static void
test_a_change_of_rules_takes_effect_at_once_and_frees_what_hangs(void **state)
{
    struct rig rig;
    uint32_t i;

    rig_init(&rig, "rules = ( { action = \"hang\"; } );");
    submit_read(&rig, 1);
    assert_int_equal(th_set(rig.filter, "rules", "( { op = \"write\"; error = \"EROFS\"; } )"), 0);
    th_run(rig.th);
    assert_int_equal(th_queue_completed(rig.queue), 1);
    assert_int_equal(th_queue_completion(rig.queue, 0)->status, 0);
    for (i = 0; i < 10; i++) {
        assert_int_equal(io(&rig, BP_BLOCK_READ, 0), 0);
        assert_int_equal(io(&rig, BP_BLOCK_WRITE, 0), -EROFS);
        assert_int_equal(th_set(rig.filter, "enabled", "false"), 0);
        assert_int_equal(io(&rig, BP_BLOCK_WRITE, 0), 0);
        assert_int_equal(th_set(rig.filter, "enabled", "true"), 0);
        assert_int_equal(th_set(rig.filter, "rules", "( { op = \"write\"; error = \"EROFS\"; } )"),
                         0);
    }
    assert_int_equal(th_set(rig.filter, "rules", "( { action = \"delay\"; } )"), -EINVAL);
    assert_int_equal(io(&rig, BP_BLOCK_WRITE, 0), -EROFS);
    rig_done(&rig);
}

static void
test_stop_lets_go_of_what_hangs(void **state)
{
    struct rig rig;

    rig_init(&rig, "rules = ( { action = \"hang\"; } );");
    submit_read(&rig, 1);
    th_stop(rig.filter);
    th_run(rig.th);
    assert_int_equal(th_queue_completed(rig.queue), 1);
    th_start(rig.filter);
    submit_read(&rig, 2);
    assert_int_equal(th_queue_completed(rig.queue), 1);
    assert_int_equal(th_quiesce(rig.filter), 0);
    assert_int_equal(th_queue_completed(rig.queue), 2);
    th_resume(rig.filter);
    rig_done(&rig);
}

static void
test_drain_waits_for_what_is_below_and_for_what_is_kept(void **state)
{
    struct rig rig;

    rig_init(&rig, "rules = ( { action = \"hang\"; nth = 2; count = 1; },"
                   " { action = \"delay\"; delay_ms = 1000; nth = 2; count = 1; } );");
    th_block_hold(rig.disk, 1);
    submit_read(&rig, 1);
    submit_read(&rig, 2);
    submit_read(&rig, 3);
    assert_int_equal(th_block_in_flight(rig.disk), 1);
    th_queue_close(rig.queue); /* drains, and complains unless all three have completed */
    rig.queue = th_queue_open(rig.filter, 16);
    th_block_hold(rig.disk, 0);
    assert_int_equal(io(&rig, BP_BLOCK_READ, 0), 0);
    rig_done(&rig);
}

static void
test_events_and_resize_pass(void **state)
{
    struct rig rig;

    rig_init(&rig, "");
    assert_int_equal(rig.ops->resize(th_self(rig.filter), 65536), 0);
    th_run(rig.th);
    assert_int_equal(th_queue_events(rig.queue, BP_BLOCK_EVENT_RESIZED), 1);
    assert_int_equal(io(&rig, BP_BLOCK_READ, 65536), -EINVAL);
    assert_int_equal(rig.ops->resize(th_self(rig.filter), 1 << 20), 0);
    assert_int_equal(io(&rig, BP_BLOCK_READ, 65536), 0); /* before the event was seen */
    th_block_set_medium(rig.disk, 0);
    th_run(rig.th);
    assert_int_equal(th_queue_events(rig.queue, BP_BLOCK_EVENT_MEDIA), 1);
    rig_done(&rig);
}

static void
test_a_full_queue_takes_no_more_and_goes_on_when_there_is_room(void **state)
{
    struct rig rig;
    struct bp_iovec iov;
    struct bp_block_request requests[32];
    uint32_t i;

    rig_init(&rig, "");
    iov.base = th_arena(rig.th, 512);
    iov.length = 512;
    for (i = 0; i < 32; i++) {
        requests[i] = (struct bp_block_request){
            .user = i, .op = BP_BLOCK_READ, .length = 512, .iov = &iov, .iov_count = 1};
    }
    th_block_hold(rig.disk, 1);
    assert_int_equal(th_queue_submit(rig.queue, requests, 32), 16);
    assert_int_equal(th_block_in_flight(rig.disk), 16);
    assert_int_equal(th_block_submits(rig.disk), 1); /* a batch stays one */
    assert_int_equal(th_queue_submit(rig.queue, requests + 16, 1), 0);
    th_block_release(rig.disk, 4, 1);
    assert_int_equal(th_queue_completed(rig.queue), 4);
    assert_int_equal(th_queue_submit(rig.queue, requests + 16, 16), 4);
    th_block_hold(rig.disk, 0);
    th_run(rig.th);
    assert_int_equal(th_queue_completed(rig.queue), 20);
    rig_done(&rig);
}

static void
test_the_backend_can_be_taken_away_and_come_back(void **state)
{
    struct rig rig;
    struct th_block *other;

    rig_init(&rig, "");
    other = th_block_new(rig.th, "other", 1 << 19);
    assert_int_equal(io(&rig, BP_BLOCK_WRITE, 0), 0);
    assert_int_equal(th_quiesce(rig.filter), 0);
    th_detach(rig.filter, 0, 0);
    th_resume(rig.filter);
    assert_int_equal(io(&rig, BP_BLOCK_READ, 0), -ENOMEDIUM);
    assert_int_equal(th_attach(rig.filter, 0, 0, "other"), 0);
    th_run(rig.th);
    assert_int_equal(th_queue_events(rig.queue, BP_BLOCK_EVENT_MEDIA), 1);
    assert_int_equal(io(&rig, BP_BLOCK_WRITE, 0), 0);
    assert_int_equal(th_block_data(other)[0], 0x5a);
    rig_done(&rig);
}

static void
test_impossible_rules_are_refused_with_a_reason(void **state)
{
    static const char *const bad[] = {"rules = ( { action = \"delay\"; } );", "needs delay_ms",
                                      "rules = ( { op = \"flush\"; offset = 512; } );",
                                      "a flush has no range"};
    uint32_t i;

    for (i = 0; i < 4; i += 2) {
        struct th_host *th = th_new();
        char options[256];

        (void)th_block_new(th, "disk", 4096);
        (void)snprintf(options, sizeof(options), "below = \"disk\"; %s", bad[i]);
        assert_null(th_plug(th, &backplane_plugin_v1, "fault", options));
        assert_non_null(strstr(th_error_text(th), bad[i + 1]));
        th_free(th);
    }
}

static void
add_disk(struct th_host *th, void *opaque)
{
    (void)th_block_new(th, "disk", 1 << 20);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    (void)th_fail_each_call(&backplane_plugin_v1, NULL, "below = \"disk\"; rules = ( { } );",
                            add_disk, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_rules_everything_passes),
        cmocka_unit_test(test_only_the_nth_write_fails_when_count_is_one),
        cmocka_unit_test(test_every_second_from_the_nth_on_fails),
        cmocka_unit_test(test_a_range_is_hit_by_what_overlaps_it_and_by_nothing_else),
        cmocka_unit_test(test_the_first_rule_that_fires_counts),
        cmocka_unit_test(test_an_error_before_leaves_the_disk_alone_and_one_after_does_not),
        cmocka_unit_test(test_a_delay_lasts_its_virtual_time),
        cmocka_unit_test(test_cancel_ends_what_it_names_and_leaves_the_rest),
        cmocka_unit_test(test_a_change_of_rules_takes_effect_at_once_and_frees_what_hangs),
        cmocka_unit_test(test_stop_lets_go_of_what_hangs),
        cmocka_unit_test(test_drain_waits_for_what_is_below_and_for_what_is_kept),
        cmocka_unit_test(test_events_and_resize_pass),
        cmocka_unit_test(test_a_full_queue_takes_no_more_and_goes_on_when_there_is_room),
        cmocka_unit_test(test_the_backend_can_be_taken_away_and_come_back),
        cmocka_unit_test(test_impossible_rules_are_refused_with_a_reason),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
