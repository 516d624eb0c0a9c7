/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/filter-netem on the fake core: frames against the virtual clock. */
#include <backplane/sdk/net.h>
#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

struct bench {
    struct th_host *th;
    struct th_net *net;
    struct bp_instance *filter;
    struct th_wire *wire;
};

static void
bench_make(struct bench *bench, const char *more)
{
    char options[256];

    (void)snprintf(options, sizeof(options), "below = \"wire\"; %s %s",
                   strstr(more, "seed") != NULL ? "" : "seed = 1;", more);
    bench->th = th_new();
    bench->net = th_net_new(bench->th, "wire");
    th_net_info(bench->net)->tx_features = BP_NET_CSUM | BP_NET_TSO4;
    th_net_info(bench->net)->rx_features = BP_NET_CSUM;
    bench->filter = th_plug(bench->th, &backplane_plugin_v1, "far", options);
    if (bench->filter == NULL) {
        fail_msg("%s", th_error_text(bench->th));
    }
    bench->wire = th_wire_open(bench->filter, 0);
    th_wire_post(bench->wire, 64, 2048, 12, BP_NET_MERGE);
}

static void
bench_free(struct bench *bench)
{
    th_wire_close(bench->wire);
    th_free(bench->th);
}

static const uint8_t *
numbered(uint32_t number, uint32_t length)
{
    static uint8_t frame[65535];

    memset(frame, (int)number, length);
    bp_net_store32(frame, number);
    return frame;
}

static int32_t
put(struct bench *bench, uint32_t number, uint32_t length)
{
    return th_wire_send(bench->wire, numbered(number, length), length, NULL);
}

static uint32_t
sent(struct bench *bench)
{
    uint32_t count;

    (void)th_net_sent(bench->net, &count);
    return count;
}

static uint32_t
received(struct bench *bench)
{
    uint32_t count;

    (void)th_wire_frames(bench->wire, &count);
    return count;
}

static void
test_a_frame_travels_as_long_as_it_should_both_ways(void **state)
{
    struct bench bench;

    bench_make(&bench, "delay_us = 1000;");
    assert_int_equal(put(&bench, 1, 100), 1);
    th_net_deliver(bench.net, 0, numbered(2, 200), 200, NULL);
    th_clock_step(bench.th, 500 * US);
    assert_int_equal(put(&bench, 3, 300), 1);
    th_clock_step(bench.th, 500 * US - 1);
    assert_int_equal(sent(&bench), 0);
    assert_int_equal(received(&bench), 0);
    th_clock_step(bench.th, 1);
    assert_int_equal(sent(&bench), 1);
    assert_int_equal(received(&bench), 1);
    th_clock_step(bench.th, 500 * US);
    assert_int_equal(sent(&bench), 2);
    bench_free(&bench);
}

static void
test_nothing_to_do_means_no_delay_and_the_same_bytes(void **state)
{
    static const uint32_t lengths[] = {60, 2047, 2048, 2049, 4096, 9000, 65535};
    struct bp_net_offload offload = {.flags = BP_NET_NEEDS_CSUM,
                                     .gso_type = BP_NET_GSO_TCP4,
                                     .gso_size = 1448,
                                     .csum_start = 34,
                                     .csum_offset = 16};
    const struct th_net_frame *frames;
    struct bench bench;
    uint32_t count;

    bench_make(&bench, "");
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(lengths); i++) {
        assert_int_equal(th_wire_send(bench.wire, numbered(i, lengths[i]), lengths[i], &offload),
                         1);
        frames = th_net_sent(bench.net, &count);
        assert_int_equal(count, i + 1);
        assert_int_equal(frames[i].length, lengths[i]);
        assert_memory_equal(frames[i].data, numbered(i, lengths[i]), lengths[i]);
        assert_memory_equal(&frames[i].offload, &offload, sizeof(offload));
        offload.flags |= BP_NET_DATA_VALID;
        th_net_deliver(bench.net, 0, numbered(i, lengths[i]), lengths[i], &offload);
        assert_true(th_wire_wait(bench.wire, i + 1, 1000));
        frames = th_wire_frames(bench.wire, &count);
        assert_int_equal(frames[i].length, lengths[i]);
        assert_memory_equal(frames[i].data, numbered(i, lengths[i]), lengths[i]);
        assert_memory_equal(&frames[i].offload, &offload, sizeof(offload));
        offload.flags = BP_NET_NEEDS_CSUM;
    }
    bench_free(&bench);
}

static void
test_a_line_sends_so_many_bits_a_second(void **state)
{
    struct bench bench;

    bench_make(&bench, "rate_kbit = 8000; direction = \"send\";"); /* a byte in a microsecond */
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(put(&bench, i, 1000), 1);
    }
    for (uint32_t i = 0; i < 10; i++) {
        th_clock_step(bench.th, MS - 1);
        assert_int_equal(sent(&bench), i);
        th_clock_step(bench.th, 1);
        assert_int_equal(sent(&bench), i + 1);
    }
    th_net_deliver(bench.net, 0, numbered(1, 1000), 1000, NULL); /* the other way: at once */
    assert_true(th_wire_wait(bench.wire, 1, 1000));
    bench_free(&bench);
}

static void
test_jitter_keeps_the_order_and_its_bounds(void **state)
{
    struct bench bench;
    const struct th_net_frame *frames;
    uint32_t count, early = 0;

    bench_make(&bench, "delay_us = 1000; jitter_us = 400;");
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(put(&bench, i, 60), 1);
        th_clock_step(bench.th, 600 * US - 1);
        assert_int_equal(sent(&bench), i); /* not before 600 us */
        th_clock_step(bench.th, 400 * US + 1);
        early += sent(&bench) == i + 1;
        th_clock_step(bench.th, 400 * US);
        assert_int_equal(sent(&bench), i + 1); /* not after 1400 us */
    }
    assert_in_range(early, 60, 140);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(put(&bench, 1000 + i, 60), 1);
        th_clock_step(bench.th, 10 * US);
    }
    th_clock_step(bench.th, 2 * MS);
    frames = th_net_sent(bench.net, &count);
    assert_int_equal(count, 300);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(bp_net_load32(frames[200 + i].data), 1000 + i);
    }
    bench_free(&bench);
}

/* Sends 4000 frames of which every one has its fate; returns how many came out. */
static uint32_t
thousands(struct bench *bench, const char *options)
{
    bench_make(bench, options);
    for (uint32_t i = 0; i < 4000; i++) {
        assert_int_equal(put(bench, i, 60), 1);
        if (i % 100 == 99) {
            th_clock_step(bench->th, MS);
        }
    }
    th_clock_step(bench->th, 10 * MS);
    return sent(bench);
}

static void
test_loss_and_duplication_are_as_frequent_as_said(void **state)
{
    struct bench bench;

    assert_in_range(thousands(&bench, "loss = 10.0;"), 3500, 3700);
    bench_free(&bench);
    assert_int_equal(thousands(&bench, "loss = 100.0;"), 0);
    bench_free(&bench);
    assert_in_range(thousands(&bench, "duplicate = 20.0;"), 4700, 4900);
    bench_free(&bench);
    assert_int_equal(thousands(&bench, "duplicate = 100.0;"), 8000);
    bench_free(&bench);
}

static void
test_some_overtake_others(void **state)
{
    struct bench bench;
    const struct th_net_frame *frames;
    uint32_t count, jumps = 0;

    assert_int_equal(thousands(&bench, "reorder = 5.0; delay_us = 2500;"), 4000);
    frames = th_net_sent(bench.net, &count);
    for (uint32_t i = 1; i < count; i++) {
        jumps += bp_net_load32(frames[i].data) < bp_net_load32(frames[i - 1].data);
    }
    assert_in_range(jumps, 20, 240);
    bench_free(&bench);
}

/* What comes out below, as one number. */
static uint64_t
fate(const char *options)
{
    const struct th_net_frame *frames;
    struct bench bench;
    uint64_t sum = 0;
    uint32_t count;

    (void)thousands(&bench, options);
    frames = th_net_sent(bench.net, &count);
    for (uint32_t i = 0; i < count; i++) {
        sum = sum * 31 + bp_net_load32(frames[i].data);
    }
    bench_free(&bench);
    return sum;
}

static void
test_the_same_seed_gives_the_same_fate(void **state)
{
    static const char options[] =
        "seed = 1; loss = 50.0; duplicate = 10.0; reorder = 10.0; jitter_us = 100;";
    static const char others[] =
        "seed = 2; loss = 50.0; duplicate = 10.0; reorder = 10.0; jitter_us = 100;";
    uint64_t once = fate(options);

    assert_true(fate(options) == once);
    assert_true(fate(others) != once);
}

static void
test_a_full_pipe_makes_both_ends_wait(void **state)
{
    struct bench bench;
    uint32_t taken = 0;

    bench_make(&bench, "delay_us = 1000; limit = 10;");
    while (put(&bench, taken, 60) == 1) {
        taken++;
    }
    assert_int_equal(taken, 10);
    for (uint32_t i = 0; i < 1000; i++) { /* more than its buffers and its pipe */
        th_net_deliver(bench.net, 0, numbered(i, 60), 60, NULL);
    }
    th_run(bench.th);
    assert_true(th_net_pending(bench.net) > 800);
    th_clock_step(bench.th, MS);
    assert_int_equal(sent(&bench), 10);
    assert_true(th_wire_writables(bench.wire) > 0);
    assert_int_equal(put(&bench, 11, 60), 1);
    for (uint32_t i = 0; i < 200; i++) {
        th_clock_step(bench.th, MS);
    }
    assert_int_equal(received(&bench), 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t count;
        assert_int_equal(bp_net_load32(th_wire_frames(bench.wire, &count)[i].data), i);
    }
    bench_free(&bench);
}

static void
test_little_memory_bounds_large_frames(void **state)
{
    struct bench bench;
    uint32_t taken = 0;

    bench_make(&bench, "delay_us = 1000; memory = \"128K\";");
    while (put(&bench, taken, 60000) == 1) {
        taken++;
    }
    assert_int_equal(taken, 2);
    th_clock_step(bench.th, MS);
    assert_int_equal(sent(&bench), 2);
    assert_int_equal(put(&bench, 3, 60000), 1);
    bench_free(&bench);
}

static void
test_a_guest_without_buffers_and_a_backend_without_room_lose_nothing(void **state)
{
    struct bench bench;

    bench_make(&bench, "delay_us = 10;");
    th_wire_flush(bench.wire);
    th_net_set_room(bench.net, 3);
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(put(&bench, i, 60), 1);
        th_net_deliver(bench.net, 0, numbered(i, 60), 60, NULL);
    }
    th_clock_step(bench.th, MS);
    assert_int_equal(sent(&bench), 3);
    assert_int_equal(received(&bench), 0);
    th_wire_post_again(bench.wire, 1);
    th_net_set_room(bench.net, UINT32_MAX);
    th_run(bench.th);
    assert_int_equal(sent(&bench), 50);
    assert_int_equal(received(&bench), 50);
    bench_free(&bench);
}

static void
test_frames_that_the_backend_keeps_give_their_memory_back(void **state)
{
    struct bench bench;

    bench_make(&bench, "memory = \"128K\";");
    th_net_hold(bench.net, 1);
    for (uint32_t round = 0; round < 20; round++) {
        assert_int_equal(put(&bench, 1, 60000), 1);
        assert_int_equal(put(&bench, 2, 60000), 1);
        assert_int_equal(put(&bench, 3, 60000), 0);
        assert_int_equal(th_wire_in_flight(bench.wire), 0); /* copied */
        if (round % 2 == 0) {
            th_net_release(bench.net, 0, 2);
        } else {
            th_wire_flush(bench.wire);
            th_wire_post_again(bench.wire, 1);
        }
    }
    bench_free(&bench);
}

static void
test_an_exchanged_backend_gets_what_was_on_its_way(void **state)
{
    struct bench bench;
    struct th_net *second;
    uint32_t count;

    bench_make(&bench, "delay_us = 1000;");
    second = th_net_new(bench.th, "second");
    assert_int_equal(put(&bench, 1, 60), 1);
    th_net_deliver(bench.net, 0, numbered(2, 60), 60, NULL);
    th_run(bench.th);
    th_detach(bench.filter, 0, 0);
    th_clock_step(bench.th, MS);
    assert_int_equal(received(&bench), 1); /* it had come */
    assert_int_equal(th_attach(bench.filter, 0, 0, "second"), 0);
    th_run(bench.th);
    (void)th_net_sent(second, &count);
    assert_int_equal(count, 1);
    th_net_deliver(second, 0, numbered(3, 5000), 5000, NULL);
    th_clock_step(bench.th, 2 * MS);
    assert_int_equal(received(&bench), 2);
    bench_free(&bench);
}

static void
test_rules_change_while_it_runs(void **state)
{
    struct bench bench;

    bench_make(&bench, "");
    assert_int_equal(th_set(bench.filter, "loss", "100.0"), 0);
    assert_int_equal(put(&bench, 1, 60), 1);
    assert_int_equal(sent(&bench), 0);
    assert_int_equal(th_set(bench.filter, "loss", "0.0"), 0);
    assert_int_equal(th_set(bench.filter, "delay_us", "5"), 0);
    assert_int_equal(put(&bench, 1, 60), 1);
    assert_int_equal(sent(&bench), 0);
    th_clock_step(bench.th, 5 * US);
    assert_int_equal(sent(&bench), 1);
    assert_true(th_set(bench.filter, "loss", "101.0") < 0);
    assert_non_null(strstr(th_error_text(bench.th), "0 to 100"));
    bench_free(&bench);
}

static void
make_net(struct th_host *th, void *opaque)
{
    (void)th_net_new(th, "wire");
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL, "below = \"wire\"; loss = 1.0;",
                                  make_net, NULL) < 100);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_frame_travels_as_long_as_it_should_both_ways),
        cmocka_unit_test(test_nothing_to_do_means_no_delay_and_the_same_bytes),
        cmocka_unit_test(test_a_line_sends_so_many_bits_a_second),
        cmocka_unit_test(test_jitter_keeps_the_order_and_its_bounds),
        cmocka_unit_test(test_loss_and_duplication_are_as_frequent_as_said),
        cmocka_unit_test(test_some_overtake_others),
        cmocka_unit_test(test_the_same_seed_gives_the_same_fate),
        cmocka_unit_test(test_a_full_pipe_makes_both_ends_wait),
        cmocka_unit_test(test_little_memory_bounds_large_frames),
        cmocka_unit_test(test_a_guest_without_buffers_and_a_backend_without_room_lose_nothing),
        cmocka_unit_test(test_frames_that_the_backend_keeps_give_their_memory_back),
        cmocka_unit_test(test_an_exchanged_backend_gets_what_was_on_its_way),
        cmocka_unit_test(test_rules_change_while_it_runs),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
