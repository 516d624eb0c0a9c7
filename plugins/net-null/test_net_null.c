/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/net-null on the fake core. */
#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
test_everything_sent_is_done_at_once_and_nothing_comes_back(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *net = th_plug(th, &backplane_plugin_v1, "wan", "");
    struct th_wire *wire = th_wire_open(net, 0);
    struct bp_net_offload offload = {.flags = BP_NET_NEEDS_CSUM,
                                     .gso_type = BP_NET_GSO_TCP4,
                                     .gso_size = 1448,
                                     .csum_start = 34,
                                     .csum_offset = 16};
    uint8_t frame[1000] = {1};
    uint32_t count, i;

    th_wire_post(wire, 4, 2048, 12, BP_NET_MERGE);
    for (i = 0; i < 1000; i++) {
        assert_int_equal(th_wire_send(wire, frame, sizeof(frame), &offload), 1);
    }
    th_run(th);
    assert_int_equal(th_wire_in_flight(wire), 0);
    (void)th_wire_frames(wire, &count);
    assert_int_equal(count, 0);
    th_wire_close(wire);
    th_free(th);
}

static void
test_it_tells_what_its_options_say(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *net = th_plug(th, &backplane_plugin_v1, "wan",
                                      "link = false; queues = 2; mtu = 9000; speed = 10;");
    const struct bp_net_ops *ops = th_table(net, BP_NET_ID);
    struct bp_net_info info = {.size = sizeof(info)};
    struct th_wire *wires[2];

    assert_int_equal(ops->info(th_self(net), &info), 0);
    assert_int_equal(info.flags & BP_NET_LINK_UP, 0);
    assert_int_equal(info.queues, 2);
    assert_int_equal(info.mtu, 9000);
    assert_int_equal(info.speed, 10);
    wires[0] = th_wire_open(net, 0);
    wires[1] = th_wire_open(net, 1);
    assert_null(th_wire_open(net, 1));
    assert_int_equal(th_status(th), -EBUSY);
    assert_null(th_wire_open(net, 2));
    assert_int_equal(th_status(th), -ENOENT);
    assert_int_equal(th_wire_set_features(wires[0], BP_NET_CSUM), 0);
    assert_int_equal(th_wire_set_features(wires[0], 1u << 31), -EINVAL);
    th_wire_close(wires[0]);
    th_wire_close(wires[1]);
    th_free(th);
}

static void
test_a_short_info_struct_is_filled_as_far_as_it_goes(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *net = th_plug(th, &backplane_plugin_v1, "wan", "");
    const struct bp_net_ops *ops = th_table(net, BP_NET_ID);
    struct bp_net_info info;

    memset(&info, 0x55, sizeof(info));
    info.size = 12;
    assert_int_equal(ops->info(th_self(net), &info), 0);
    assert_int_equal(info.size, 12);
    assert_int_equal(info.flags, BP_NET_LINK_UP);
    assert_int_equal(info.rx_features, 0x55555555);
    th_free(th);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL, "", NULL, NULL) < 100);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_sent_is_done_at_once_and_nothing_comes_back),
        cmocka_unit_test(test_it_tells_what_its_options_say),
        cmocka_unit_test(test_a_short_info_struct_is_filled_as_far_as_it_goes),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
