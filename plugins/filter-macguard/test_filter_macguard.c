/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/filter-macguard on the fake core: true and false frames. */
#include <backplane/sdk/net.h>
#include <backplane/testhost.h>

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OPTIONS                                                                                    \
    "below = \"wire\"; macs = [\"02:00:00:00:00:05\", \"02:00:00:00:00:06\"]; "                    \
    "addresses = [\"10.0.0.5\", \"10.1.0.0/20\", \"2001:db8::5\", \"2001:db8:1::/49\"];"

static const uint8_t mine[6] = {2, 0, 0, 0, 0, 5};
static const uint8_t other[6] = {2, 0, 0, 0, 0, 9};

struct bench {
    struct th_host *th;
    struct th_net *net;
    struct th_wire *wire;
};

static void
bench_make(struct bench *bench, const char *options)
{
    struct bp_instance *guard;

    bench->th = th_new();
    bench->net = th_net_new(bench->th, "wire");
    th_net_info(bench->net)->tx_features = BP_NET_CSUM | BP_NET_TSO4;
    th_net_info(bench->net)->rx_features = BP_NET_CSUM;
    th_net_info(bench->net)->mtu = 1400;
    guard = th_plug(bench->th, &backplane_plugin_v1, "guard", options);
    if (guard == NULL) {
        fail_msg("%s", th_error_text(bench->th));
    }
    bench->wire = th_wire_open(guard, 0);
    th_wire_post(bench->wire, 8, 2048, 12, BP_NET_MERGE);
}

static void
bench_free(struct bench *bench)
{
    th_wire_close(bench->wire);
    th_free(bench->th);
}

/* Sends a frame; returns whether it came out below, as it was. */
static int
passes(struct bench *bench, const uint8_t *frame, uint32_t length)
{
    const struct th_net_frame *sent;
    uint32_t count;

    th_net_clear(bench->net);
    assert_int_equal(th_wire_send(bench->wire, frame, length, NULL), 1);
    th_run(bench->th);
    assert_int_equal(th_wire_in_flight(bench->wire), 0);
    sent = th_net_sent(bench->net, &count);
    if (count == 1) {
        assert_int_equal(sent[0].length, length);
        assert_memory_equal(sent[0].data, frame, length);
    }
    return count == 1;
}

static uint32_t
eth(uint8_t *frame, const uint8_t *source, uint16_t type)
{
    memset(frame, 0, 400);
    memset(frame, 0xff, 6);
    memcpy(frame + 6, source, 6);
    bp_net_store16(frame + 12, type);
    return 14;
}

static uint32_t
arp(uint8_t *frame, const uint8_t *source, const uint8_t *sender, const char *address)
{
    static const uint8_t reply[8] = {0, 1, 8, 0, 6, 4, 0, 2};

    eth(frame, source, 0x0806);
    memcpy(frame + 14, reply, sizeof(reply));
    memcpy(frame + 22, sender, 6);
    (void)inet_pton(AF_INET, address, frame + 28);
    return 60;
}

static uint32_t
ip4(uint8_t *frame, const char *source, uint8_t protocol, uint32_t payload)
{
    eth(frame, mine, BP_NET_ETH_IP4);
    frame[14] = 0x45;
    bp_net_store16(frame + 16, 20 + payload);
    frame[23] = protocol;
    (void)inet_pton(AF_INET, source, frame + 26);
    return 34 + payload;
}

static uint32_t
ip6(uint8_t *frame, const char *source, uint8_t protocol, uint32_t payload)
{
    eth(frame, mine, BP_NET_ETH_IP6);
    frame[14] = 0x60;
    bp_net_store16(frame + 18, payload);
    frame[20] = protocol;
    (void)inet_pton(AF_INET6, source, frame + 22);
    return 54 + payload;
}

static uint32_t
neighbour(uint8_t *frame, uint8_t type, const char *target, uint8_t option, const uint8_t *mac)
{
    uint32_t length = ip6(frame, "fe80::1", 58, 32);

    frame[54] = type;
    (void)inet_pton(AF_INET6, target, frame + 62);
    frame[78] = option;
    frame[79] = 1;
    memcpy(frame + 80, mac, 6);
    return length;
}

static void
test_another_hardware_address_goes_nowhere(void **state)
{
    struct bench bench;
    uint8_t frame[400];
    const char *json = NULL;

    bench_make(&bench, "below = \"wire\"; macs = [\"02:00:00:00:00:05\"];");
    (void)eth(frame, mine, 0x88b5);
    assert_true(passes(&bench, frame, 60));
    assert_true(passes(&bench, frame, 14));
    assert_true(passes(&bench, frame, 400));
    (void)eth(frame, other, 0x88b5);
    assert_false(passes(&bench, frame, 60));
    (void)arp(frame, mine, other, "10.0.0.5");
    assert_false(passes(&bench, frame, 60));
    (void)arp(frame, mine, mine, "1.2.3.4"); /* no list of addresses */
    assert_true(passes(&bench, frame, 60));
    assert_string_equal(th_event(bench.th, 0, &json), "NET_FRAME_REFUSED");
    assert_non_null(strstr(json, "\"reason\": \"mac\", \"mac\": 1,"));
    assert_null(th_event(bench.th, 1, &json)); /* once a second */
    th_clock_step(bench.th, 1000000001);
    (void)eth(frame, other, 0x88b5);
    assert_false(passes(&bench, frame, 60));
    assert_string_equal(th_event(bench.th, 1, &json), "NET_FRAME_REFUSED");
    assert_non_null(strstr(json, "\"mac\": 3,"));
    bench_free(&bench);
}

static void
test_another_ip_address_goes_nowhere(void **state)
{
    static const struct {
        const char *address;
        int ok;
    } cases4[] = {{"10.0.0.5", 1}, {"10.0.0.6", 0},    {"0.0.0.0", 1},
                  {"10.1.0.0", 1}, {"10.1.15.255", 1}, {"10.1.16.0", 0}},
      cases6[] = {{"2001:db8::5", 1}, {"2001:db8::6", 0},        {"::", 1},
                  {"fe80::77", 1},    {"2001:db8:1:7fff::1", 1}, {"2001:db8:1:8000::1", 0},
                  {"fec0::1", 0}};
    struct bench bench;
    uint8_t frame[400];

    bench_make(&bench, OPTIONS);
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(cases4); i++) {
        assert_int_equal(passes(&bench, frame, ip4(frame, cases4[i].address, 6, 20)), cases4[i].ok);
        assert_int_equal(passes(&bench, frame, arp(frame, mine, mine, cases4[i].address)),
                         cases4[i].ok);
    }
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(cases6); i++) {
        assert_int_equal(passes(&bench, frame, ip6(frame, cases6[i].address, 6, 20)), cases6[i].ok);
    }
    bench_free(&bench);
}

/* The frame with a tag. Returns its length. */
static uint32_t
tag(uint8_t *tagged, const uint8_t *frame, uint32_t length)
{
    memcpy(tagged, frame, 12);
    bp_net_store16(tagged + 12, 0x8100);
    bp_net_store16(tagged + 14, 7);
    memcpy(tagged + 16, frame + 12, length - 12);
    return length + 4;
}

static void
test_behind_a_vlan_tag_the_same_rules_hold(void **state)
{
    struct bench bench;
    uint8_t frame[400], tagged[404];

    bench_make(&bench, OPTIONS);
    for (int ok = 0; ok < 2; ok++) {
        const char *address = ok ? "10.0.0.5" : "10.0.0.6";
        uint32_t length = ip4(frame, address, 6, 30);
        assert_int_equal(passes(&bench, tagged, tag(tagged, frame, length)), ok);
        length = arp(frame, mine, mine, address);
        assert_int_equal(passes(&bench, tagged, tag(tagged, frame, length)), ok);
    }
    memset(tagged + 12, 0, sizeof(tagged) - 12); /* tags as far as one looks */
    for (uint32_t i = 12; i < 300; i += 4) {
        bp_net_store16(tagged + i, 0x8100);
    }
    assert_false(passes(&bench, tagged, 400));
    bench_free(&bench);
}

static void
test_neighbour_discovery_says_no_lies(void **state)
{
    struct bench bench;
    uint8_t frame[400];
    uint32_t length;

    bench_make(&bench, OPTIONS);
    assert_true(passes(&bench, frame, neighbour(frame, 136, "2001:db8::5", 2, mine)));
    assert_false(passes(&bench, frame, neighbour(frame, 136, "2001:db8::5", 2, other)));
    assert_false(passes(&bench, frame, neighbour(frame, 136, "2001:db8::6", 2, mine)));
    assert_true(passes(&bench, frame, neighbour(frame, 135, "2001:db8::6", 1, mine)));
    assert_false(passes(&bench, frame, neighbour(frame, 135, "2001:db8::6", 1, other)));
    length = neighbour(frame, 136, "2001:db8::5", 2, mine);
    frame[79] = 0; /* an option without length */
    assert_false(passes(&bench, frame, length));
    length = ip6(frame, "fe80::1", 58, 250); /* an advertisement with more than is looked at */
    frame[54] = 136;
    (void)inet_pton(AF_INET6, "2001:db8::5", frame + 62);
    frame[78] = 14;
    frame[79] = 24;
    assert_false(passes(&bench, frame, length));
    length = ip6(frame, "fe80::1", 44, 40); /* an advertisement in fragments */
    frame[54] = 58;
    frame[57] = 1;
    frame[62] = 136;
    assert_false(passes(&bench, frame, length));
    frame[62] = 128; /* a ping in fragments */
    assert_true(passes(&bench, frame, length));
    bp_net_store16(frame + 56, 64); /* and its rest */
    assert_true(passes(&bench, frame, length));
    bench_free(&bench);
}

static void
test_routers_and_servers_need_leave(void **state)
{
    struct bench bench;
    uint8_t frame[400];

    for (uint32_t services = 0; services < 2; services++) {
        bench_make(&bench, services ? OPTIONS "services = true;" : OPTIONS);
        (void)ip6(frame, "fe80::1", 58, 16);
        frame[54] = 134;
        assert_int_equal(passes(&bench, frame, 70), (int)services);
        (void)ip4(frame, "10.0.0.5", 17, 20);
        bp_net_store16(frame + 34, 67);
        assert_int_equal(passes(&bench, frame, 54), (int)services);
        bp_net_store16(frame + 16, 20);
        assert_int_equal(passes(&bench, frame, 34), (int)services); /* cut before its port */
        (void)ip6(frame, "fe80::1", 17, 20);
        bp_net_store16(frame + 54, 547);
        assert_int_equal(passes(&bench, frame, 74), (int)services);
        bp_net_store16(frame + 54, 546); /* a client */
        assert_true(passes(&bench, frame, 74));
        bench_free(&bench);
    }
}

static void
test_what_cannot_be_understood_goes_nowhere_with_a_list(void **state)
{
    struct bench bench;
    uint8_t frame[400];

    bench_make(&bench, OPTIONS);
    (void)eth(frame, mine, 0x88b5);
    assert_false(passes(&bench, frame, 60));
    (void)eth(frame, mine, 0x0806);
    assert_false(passes(&bench, frame, 30));
    (void)eth(frame, mine, BP_NET_ETH_IP4);
    assert_false(passes(&bench, frame, 60)); /* version 0 */
    (void)ip4(frame, "10.0.0.5", 6, 20);
    assert_false(passes(&bench, frame, 30));
    frame[14] = 0x4f; /* options that reach past the end */
    assert_false(passes(&bench, frame, 54));
    bench_free(&bench);
}

static void
test_backpressure_and_completions_come_through(void **state)
{
    struct bench bench;
    uint8_t frame[400], bad[400];
    uint32_t count;

    bench_make(&bench, OPTIONS);
    (void)ip4(frame, "10.0.0.5", 6, 366);
    (void)eth(bad, other, 0x0806);
    th_net_set_room(bench.net, 1);
    assert_int_equal(th_wire_send(bench.wire, frame, 400, NULL), 1);
    assert_int_equal(th_wire_send(bench.wire, frame, 400, NULL), 0);
    assert_int_equal(th_wire_send(bench.wire, bad, 60, NULL), 1); /* dropped needs no room */
    th_run(bench.th);
    assert_int_equal(th_wire_writables(bench.wire), 0);
    th_net_set_room(bench.net, UINT32_MAX);
    th_run(bench.th);
    assert_int_equal(th_wire_writables(bench.wire), 1);
    th_net_hold(bench.net, 1);
    for (uint32_t i = 0; i < 64; i++) {
        assert_int_equal(th_wire_send(bench.wire, frame, 400, NULL), 1);
    }
    assert_int_equal(th_wire_send(bench.wire, frame, 400, NULL), 0); /* as many as it can hold */
    assert_int_equal(th_wire_in_flight(bench.wire), 64);
    th_net_release(bench.net, 0, 10);
    assert_int_equal(th_wire_in_flight(bench.wire), 54);
    assert_int_equal(th_wire_writables(bench.wire), 2);
    assert_int_equal(th_wire_send(bench.wire, frame, 400, NULL), 1);
    th_wire_flush(bench.wire);
    th_net_hold(bench.net, 0);
    th_net_clear(bench.net);
    assert_int_equal(th_wire_send(bench.wire, frame, 400, NULL), 1);
    (void)th_net_sent(bench.net, &count);
    assert_int_equal(count, 1);
    bench_free(&bench);
}

/* A batch of its own: transmit() straight. */
static void
test_a_dropped_frame_between_unfinished_ones_is_told_of_later(void **state)
{
    struct bench bench;
    struct bp_instance *guard;
    const struct bp_net_ops *ops;
    struct bp_iovec iov[3];
    struct bp_net_frame frames[3];
    uint32_t done = 77, count;

    bench_make(&bench, OPTIONS);
    guard = th_wire_backend(bench.wire);
    ops = th_table(guard, BP_NET_ID);
    memset(frames, 0, sizeof(frames));
    for (uint32_t i = 0; i < 3; i++) {
        iov[i] = (struct bp_iovec){th_arena(bench.th, 400), 60}; /* eth() clears 400 */
        (void)(i == 1 ? eth(iov[i].base, other, 0x88b5) : ip4(iov[i].base, "10.0.0.5", 6, 26));
        frames[i] = (struct bp_net_frame){.user = i, .iov = &iov[i], .iov_count = 1, .length = 60};
    }
    th_net_hold(bench.net, 1);
    assert_int_equal(ops->transmit(th_self(guard), th_wire_queue(bench.wire), frames, 3, &done), 3);
    assert_int_equal(done, 0);
    th_wire_expect(bench.wire, 3);
    th_run(bench.th);
    assert_int_equal(th_wire_in_flight(bench.wire), 2);
    th_net_release(bench.net, 0, 2);
    assert_int_equal(th_wire_in_flight(bench.wire), 0);
    (void)th_net_sent(bench.net, &count);
    assert_int_equal(count, 2);
    bench_free(&bench);
}

static void
test_everything_else_is_the_backends(void **state)
{
    struct bench bench;
    struct bp_net_info info = {.size = sizeof(info)};
    const struct th_net_frame *frames;
    const struct bp_net_ops *ops;
    uint8_t frame[3000];
    uint32_t count;

    bench_make(&bench, OPTIONS);
    ops = th_table(th_wire_backend(bench.wire), BP_NET_ID);
    assert_int_equal(ops->info(th_self(th_wire_backend(bench.wire)), &info), 0);
    assert_int_equal(info.tx_features, BP_NET_CSUM | BP_NET_TSO4);
    assert_int_equal(info.mtu, 1400);
    assert_int_equal(th_wire_set_features(bench.wire, BP_NET_CSUM), 0);
    assert_int_equal(th_net_features(bench.net), BP_NET_CSUM);
    (void)eth(frame, other, 0x88b5);
    memset(frame + 14, 7, sizeof(frame) - 14);
    th_net_deliver(bench.net, 0, frame, sizeof(frame), NULL); /* in two merged buffers */
    assert_true(th_wire_wait(bench.wire, 1, 1000));
    frames = th_wire_frames(bench.wire, &count);
    assert_int_equal(frames[0].length, sizeof(frame));
    assert_memory_equal(frames[0].data, frame, sizeof(frame));
    th_net_send_event(bench.net, BP_NET_EVENT_ANNOUNCE);
    assert_true(th_wire_wait_event(bench.wire, BP_NET_EVENT_ANNOUNCE, 1, 1000));
    bench_free(&bench);
}

static void
test_a_backend_is_exchanged_without_loss(void **state)
{
    struct bench bench;
    struct th_net *second;
    struct bp_instance *guard;
    uint8_t frame[400];
    uint32_t count;

    bench_make(&bench, OPTIONS);
    guard = th_wire_backend(bench.wire);
    second = th_net_new(bench.th, "second");
    th_net_info(second)->rx_features = BP_NET_CSUM;
    assert_int_equal(th_wire_set_features(bench.wire, BP_NET_CSUM), 0);
    (void)ip4(frame, "10.0.0.5", 6, 100);
    th_net_hold(bench.net, 1);
    assert_int_equal(th_wire_send(bench.wire, frame, 134, NULL), 1);
    th_detach(guard, 0, 0);
    th_run(bench.th);
    assert_int_equal(th_wire_in_flight(bench.wire), 0);
    assert_int_equal(th_net_open(bench.net, 0), 0);
    assert_int_equal(th_wire_send(bench.wire, frame, 134, NULL), 0); /* wait */
    assert_int_equal(th_attach(guard, 0, 0, "second"), 0);
    th_run(bench.th);
    assert_int_equal(th_wire_writables(bench.wire), 1);
    assert_true(th_wire_wait_event(bench.wire, BP_NET_EVENT_LINK, 1, 1000));
    assert_int_equal(th_net_posted(second, 0), 8);
    assert_int_equal(th_net_features(second), BP_NET_CSUM);
    assert_int_equal(th_wire_send(bench.wire, frame, 134, NULL), 1);
    (void)th_net_sent(second, &count);
    assert_int_equal(count, 1);
    th_net_deliver(second, 0, frame, 134, NULL);
    assert_true(th_wire_wait(bench.wire, 1, 1000));
    bench_free(&bench);
}

static void
test_a_poorer_backend_is_refused_when_the_guest_relies_on_the_old(void **state)
{
    struct bench bench;
    struct bp_instance *guard;
    struct bp_net_info info = {.size = sizeof(info)};
    const struct bp_net_ops *ops;

    bench_make(&bench, OPTIONS);
    guard = th_wire_backend(bench.wire);
    ops = th_table(guard, BP_NET_ID);
    assert_int_equal(ops->info(th_self(guard), &info), 0); /* the guest has been told */
    (void)th_net_new(bench.th, "poor");
    th_detach(guard, 0, 0);
    assert_true(th_attach(guard, 0, 0, "poor") < 0);
    assert_non_null(strstr(th_error_text(bench.th), "does not do what the guest leaves"));
    assert_int_equal(th_attach(guard, 0, 0, "wire"), 0);
    th_run(bench.th);
    assert_int_equal(th_net_posted(bench.net, 0), 8);
    bench_free(&bench);
}

static void
assert_refused(const char *options, const char *text)
{
    struct th_host *th = th_new();

    (void)th_net_new(th, "wire");
    assert_null(th_plug(th, &backplane_plugin_v1, "guard", options));
    if (strstr(th_error_text(th), text) == NULL) {
        fail_msg("'%s' does not say '%s'", th_error_text(th), text);
    }
    th_free(th);
}

static void
test_impossible_descriptions_are_refused_with_a_reason(void **state)
{
    assert_refused("below = \"wire\"; macs = [\"02:00\"];", "no hardware address of one card");
    assert_refused("below = \"wire\"; macs = [\"01:00:00:00:00:01\"];", "no hardware address");
    assert_refused("below = \"wire\"; macs = [\"02:00:00:00:00:01\"]; addresses = [\"1.2.3\"];",
                   "no address");
    assert_refused("below = \"wire\"; macs = [\"02:00:00:00:00:01\"]; addresses = [\"::1/129\"];",
                   "no address");
    assert_refused("below = \"wire\"; macs = [\"02:00:00:00:00:01\"]; addresses = [\"1.2.3.4/\"];",
                   "no address");
}

static void
make_net(struct th_host *th, void *opaque)
{
    (void)th_net_new(th, "wire");
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL, OPTIONS, make_net, NULL) < 100);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_hardware_address_goes_nowhere),
        cmocka_unit_test(test_another_ip_address_goes_nowhere),
        cmocka_unit_test(test_behind_a_vlan_tag_the_same_rules_hold),
        cmocka_unit_test(test_neighbour_discovery_says_no_lies),
        cmocka_unit_test(test_routers_and_servers_need_leave),
        cmocka_unit_test(test_what_cannot_be_understood_goes_nowhere_with_a_list),
        cmocka_unit_test(test_backpressure_and_completions_come_through),
        cmocka_unit_test(test_a_dropped_frame_between_unfinished_ones_is_told_of_later),
        cmocka_unit_test(test_everything_else_is_the_backends),
        cmocka_unit_test(test_a_backend_is_exchanged_without_loss),
        cmocka_unit_test(test_a_poorer_backend_is_refused_when_the_guest_relies_on_the_old),
        cmocka_unit_test(test_impossible_descriptions_are_refused_with_a_reason),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
