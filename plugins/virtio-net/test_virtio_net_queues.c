/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/virtio-net: every command of the control queue, pairs, steering, and saved state. */
#include "test_bench.h"
#include "virtio_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EVERYTHING                                                                                 \
    (NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_CTRL_OFFLOADS | NET_F_MAC | NET_F_GUEST_TSO4 |          \
     NET_F_MRG_RXBUF | NET_F_STATUS | NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_CTRL_VLAN |            \
     NET_F_CTRL_RX_EXTRA | NET_F_GUEST_ANNOUNCE | NET_F_MQ | NET_F_CTRL_MAC_ADDR |                 \
     NET_F_VQ_NOTF_COAL | NET_F_NOTF_COAL | NET_F_HASH_REPORT | NET_F_RSS)
#define OPTIONS "pairs = 2; rss = true; hash_report = true;"

/* A good command: its class, number, data; what must be negotiated for it. */
static const struct good {
    uint64_t feature;
    uint8_t class, number, length, can_be_longer;
    uint8_t data[24];
} commands[] = {
    {NET_F_CTRL_RX, 0, 0, 1, 1, {1}},
    {NET_F_CTRL_RX, 0, 1, 1, 1, {1}},
    {NET_F_CTRL_RX_EXTRA, 0, 2, 1, 1, {1}},
    {NET_F_CTRL_RX_EXTRA, 0, 3, 1, 1, {0}},
    {NET_F_CTRL_RX_EXTRA, 0, 4, 1, 1, {0}},
    {NET_F_CTRL_RX_EXTRA, 0, 5, 1, 1, {0}},
    {NET_F_CTRL_RX, 1, 0, 14, 1, {1, 0, 0, 0, 2, 0, 0, 0, 0, 8, 0, 0, 0, 0}},
    {NET_F_CTRL_MAC_ADDR, 1, 1, 6, 0, {2, 0, 0, 0, 0, 8}},
    {NET_F_CTRL_VLAN, 2, 0, 2, 1, {0xff, 0x0f}},
    {NET_F_CTRL_VLAN, 2, 1, 2, 1, {0xff, 0x0f}},
    {NET_F_MQ, 4, 0, 2, 1, {2, 0}},
    {NET_F_RSS, 4, 1, 15, 1, {1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0}},
    {NET_F_HASH_REPORT, 4, 2, 13, 1, {1, 0, 0, 0}},
    {NET_F_CTRL_OFFLOADS, 5, 0, 8, 1, {2}},
    {NET_F_NOTF_COAL, 6, 0, 8, 1, {4, 0, 0, 0, 100}},
    {NET_F_NOTF_COAL, 6, 1, 8, 1, {4, 0, 0, 0, 100}},
    {NET_F_VQ_NOTF_COAL, 6, 2, 12, 1, {3, 0, 0, 0, 4, 0, 0, 0, 100}},
};

static void
test_each_command_works_in_full_and_not_when_cut_short_or_not_negotiated(void **state)
{
    struct bench bench;
    uint8_t longer[32];
    uint32_t i, length;

    bench_make(&bench, OPTIONS, 1);
    bench_start(&bench, EVERYTHING, 5);
    for (i = 0; i < BP_ARRAY_LENGTH(commands); i++) {
        const struct good *c = &commands[i];
        for (length = 0; length < c->length; length++) {
            assert_int_equal(command(&bench, c->class, c->number, c->data, length), 1);
        }
        assert_int_equal(command(&bench, c->class, c->number, c->data, c->length), 0);
        memset(longer, 0, sizeof(longer));
        memcpy(longer, c->data, c->length);
        assert_int_equal(command(&bench, c->class, c->number, longer, sizeof(longer)),
                         !c->can_be_longer);
    }
    for (i = 0; i < BP_ARRAY_LENGTH(commands); i++) {
        const struct good *c = &commands[i];
        uint64_t features = EVERYTHING & ~c->feature;
        features &= c->feature == NET_F_CTRL_RX ? ~NET_F_CTRL_RX_EXTRA : ~UINT64_C(0);
        bench_start(&bench, features, 5);
        assert_int_equal(command(&bench, c->class, c->number, c->data, c->length), 1);
    }
    th_free(bench.th);
}

static void
test_unknown_commands_are_refused(void **state)
{
    struct bench bench;
    uint8_t data[64];
    uint32_t class;

    memset(data, 1, sizeof(data));
    bench_make(&bench, OPTIONS, 1);
    bench_start(&bench, EVERYTHING, 5);
    for (class = 0; class < 256; class ++) {
        assert_int_equal(command(&bench, class, 7, data, sizeof(data)), 1);
        assert_int_equal(command(&bench, class, 255, data, sizeof(data)), 1);
    }
    assert_int_equal(command(&bench, 3, 0, data, 0), 1); /* nothing was to be announced */
    assert_int_equal(driver_status(&bench.driver) & 64, 0);
    th_free(bench.th);
}

/* Makes one chain available on the control queue and says how it ends: the answer, or -1. */
static int32_t
raw_command(struct bench *bench, const struct piece *pieces, uint32_t count)
{
    uint8_t *memory = th_ram(bench->th, CTRL_GPA, 64);
    uint32_t id, used;

    memory[40] = 0x77;
    (void)driver_add(&bench->driver, bench->control, pieces, count);
    driver_kick(&bench->driver, bench->control);
    return driver_used(&bench->driver, bench->control, &id, &used) && used > 0 ? memory[40] : -1;
}

static void
test_a_command_may_lie_in_any_pieces_and_must_have_room_for_its_answer(void **state)
{
    static const uint8_t promiscuous_off[3] = {0, 0, 0};
    struct bench bench;
    const struct piece scattered[] = {
        {CTRL_GPA, 1, 0}, {CTRL_GPA + 1, 1, 0}, {CTRL_GPA + 2, 1, 0}, {CTRL_GPA + 40, 3, 1}};
    const struct piece together[] = {{CTRL_GPA, 3, 0}, {CTRL_GPA + 40, 1, 1}};
    const struct piece half[] = {{CTRL_GPA, 1, 0}, {CTRL_GPA + 40, 1, 1}};
    const struct piece only_answer[] = {{CTRL_GPA + 40, 1, 1}};
    const struct piece no_answer[] = {{CTRL_GPA, 3, 0}};

    bench_make(&bench, OPTIONS, 1);
    bench_start(&bench, EVERYTHING, 5);
    memcpy(th_ram(bench.th, CTRL_GPA, 3), promiscuous_off, 3);
    assert_int_equal(raw_command(&bench, scattered, 4), 0);
    assert_int_equal(raw_command(&bench, together, 2), 0);
    assert_int_equal(raw_command(&bench, half, 2), 1);
    assert_int_equal(raw_command(&bench, only_answer, 1), 1);
    assert_int_equal(driver_status(&bench.driver) & 64, 0);
    assert_int_equal(raw_command(&bench, no_answer, 1), -1);
    assert_int_equal(driver_status(&bench.driver) & 64, 64);
    bench_start(&bench, EVERYTHING, 5);
    assert_int_equal(raw_command(&bench, together, 2), 0);
    th_free(bench.th);
}

static void
test_all_vlans_can_be_added_and_deleted(void **state)
{
    struct bench bench;
    uint8_t frame[64], vlan[2];
    uint32_t i, id, used, got = 0;

    bench_make(&bench, "", 1);
    bench_start(&bench, NET_F_MRG_RXBUF | NET_F_CTRL_VQ | NET_F_CTRL_VLAN, 3);
    for (i = 0; i < 4096; i++) {
        bp_store_le(vlan, 2, i);
        assert_int_equal(command(&bench, 2, 0, vlan, 2), 0);
    }
    for (i = 1; i < 4096; i += 2) {
        bp_store_le(vlan, 2, i);
        assert_int_equal(command(&bench, 2, 1, vlan, 2), 0);
    }
    bp_store_le(vlan, 2, 4096);
    assert_int_equal(command(&bench, 2, 0, vlan, 2), 1);
    make_frame(frame, sizeof(frame), "\2\0\0\0\0\7");
    for (i = 0; i < 4096; i += 63) {
        post_rx(&bench, 0, 1, 512);
        bp_net_store16(frame + 12, BP_NET_ETH_VLAN);
        bp_net_store16(frame + 14, 0xe000 | i);
        th_net_deliver(bench.wire, 0, frame, sizeof(frame), NULL);
        th_run(bench.th);
        if (driver_used(&bench.driver, 0, &id, &used)) {
            assert_int_equal(i & 1, 0);
            got++;
        }
    }
    assert_int_equal(got, 33);
    th_free(bench.th);
}

static void
test_one_queue_s_notifications_are_held_back_and_asked_for(void **state)
{
    struct bench bench;
    uint8_t set[12] = {0, 0, 0, 0, 3, 0, 0, 0, 50};
    const struct piece ask[] = {{CTRL_GPA, 6, 0}, {CTRL_GPA + 40, 9, 1}};
    const struct piece narrow[] = {{CTRL_GPA, 6, 0}, {CTRL_GPA + 40, 8, 1}};
    uint8_t *memory;

    bench_make(&bench, "", 1);
    bench_start(&bench, NET_F_MRG_RXBUF | NET_F_CTRL_VQ | NET_F_VQ_NOTF_COAL, 3);
    memory = th_ram(bench.th, CTRL_GPA, 64);
    post_rx(&bench, 0, 20, 512);
    assert_int_equal(command(&bench, 6, 2, set, sizeof(set)), 0);
    assert_int_equal(command(&bench, 6, 1, set, 8), 1); /* all at once: another feature */
    assert_false(reaches(&bench, "\2\0\0\0\0\7"));
    assert_false(reaches(&bench, "\2\0\0\0\0\7"));
    assert_true(reaches(&bench, "\2\0\0\0\0\7"));
    memcpy(memory, "\6\3\0\0\0\0", 6);
    assert_int_equal(raw_command(&bench, ask, 2), 0);
    assert_int_equal(bp_load_le(memory + 41, 4), 3);
    assert_int_equal(bp_load_le(memory + 45, 4), 50);
    memcpy(memory, "\6\3\1\0\0\0", 6);
    assert_int_equal(raw_command(&bench, ask, 2), 0);
    assert_int_equal(bp_load_le(memory + 41, 8), 0);
    assert_int_equal(raw_command(&bench, narrow, 2), 1);
    memcpy(memory, "\6\3\2\0\0\0", 6); /* the control queue has none */
    assert_int_equal(raw_command(&bench, ask, 2), 1);
    set[0] = 2;
    assert_int_equal(command(&bench, 6, 2, set, sizeof(set)), 1);
    th_free(bench.th);
}

static void
test_the_backend_is_told_how_many_pairs_are_in_use(void **state)
{
    struct bench bench;
    uint8_t pairs[2] = {0, 0};
    uint32_t i, n;

    memset(&bench, 0, sizeof(bench));
    bench.th = th_new();
    bench.wire = th_net_new(bench.th, "wan");
    th_net_info(bench.wire)->queues = 4;
    bench.card = th_plug(bench.th, &backplane_plugin_v1, "net0",
                         "backend = \"wan\"; rom = \"\"; pairs = 4;");
    driver_init(&bench.driver, bench.th, bench.card, 1);
    bench_start(&bench, NET_F_MRG_RXBUF | NET_F_CTRL_VQ | NET_F_MQ, 9);
    for (i = 0; i < 4; i++) {
        assert_int_equal(th_net_open(bench.wire, i), i == 0);
    }
    for (n = 4; n > 0; n--) {
        pairs[0] = (uint8_t)n;
        assert_int_equal(command(&bench, 4, 0, pairs, 2), 0);
        for (i = 0; i < 4; i++) {
            assert_int_equal(th_net_open(bench.wire, i), i < n);
        }
    }
    for (n = 5; n != 4; n = n == 5 ? 0 : 4) {
        pairs[0] = (uint8_t)n;
        assert_int_equal(command(&bench, 4, 0, pairs, 2), 1);
    }
    pairs[0] = 3;
    assert_int_equal(command(&bench, 4, 0, pairs, 2), 0);
    driver_reset(&bench.driver);
    bench_start(&bench, NET_F_MRG_RXBUF, 2);
    assert_int_equal(th_net_open(bench.wire, 2), 0);
    th_free(bench.th);
}

static void
test_offloads_follow_the_other_end_of_the_link(void **state)
{
    uint8_t header[12] = {1, 0, 0, 0, 0, 0, 34, 0, 16}, frame[64];
    struct bench bench;
    const struct th_net_frame *sent;
    uint32_t i, count;

    bench_make(&bench, "", 1);
    bench_start(&bench, NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_GUEST_TSO4, 2);
    assert_int_equal(th_net_features(bench.wire), 0);
    make_frame(frame, sizeof(frame), "\2\0\0\0\0\1");
    bp_net_store16(frame + 12, BP_NET_ETH_IP4);
    for (i = 0; i < 2; i++) {
        assert_int_equal(send_frame(&bench, 1, header, frame, sizeof(frame)), 1);
        th_net_info(bench.wire)->rx_features = BP_NET_CSUM | BP_NET_TSO4;
        th_net_info(bench.wire)->tx_features = BP_NET_CSUM;
        th_net_send_event(bench.wire, BP_NET_EVENT_LINK);
        th_run(bench.th);
    }
    assert_int_equal(th_net_features(bench.wire), BP_NET_CSUM | BP_NET_TSO4);
    sent = th_net_sent(bench.wire, &count);
    assert_int_equal(sent[count - 1].offload.flags, BP_NET_NEEDS_CSUM); /* left to it now */
    assert_true(count == 1 || sent[0].offload.flags == 0);
    th_free(bench.th);
}

/* A queue whose pair's loop is not that of the backend's queue. */
static void
test_pairs_on_other_loops_go_on_sending(void **state)
{
    static const uint8_t zeroes[12];
    struct bench bench;
    const struct th_net_frame *sent;
    uint8_t frame[64];
    uint32_t i, count;

    bench_make_on_loops(&bench, "pairs = 2; queue_loops = [0, 0, 1, 1];", 1, 2);
    bench_start(&bench, NET_F_MRG_RXBUF | NET_F_CTRL_VQ | NET_F_MQ, 5);
    make_frame(frame, sizeof(frame), "\2\0\0\0\0\1");
    for (i = 0; i < 5; i++) {
        assert_int_equal(send_frame(&bench, 3, zeroes, frame, sizeof(frame)), 1);
    }
    th_net_set_room(bench.wire, 0);
    assert_int_equal(send_frame(&bench, 3, zeroes, frame, sizeof(frame)), 0);
    th_net_set_room(bench.wire, 100);
    th_run(bench.th);
    assert_int_equal(driver_used(&bench.driver, 3, &i, &count), 1);
    assert_int_equal(send_frame(&bench, 3, zeroes, frame, sizeof(frame)), 1);
    sent = th_net_sent(bench.wire, &count);
    assert_int_equal(count, 7);
    assert_int_equal(sent[6].queue, 0);
    th_free(bench.th);
}

static void
test_operators_see_the_card_pull_its_cable_and_have_it_announced(void **state)
{
    static const uint8_t table[14] = {1, 0, 0, 0, 2, 0, 0, 0, 0, 9};
    struct bp_nic_info info = {.size = sizeof(info)};
    struct bp_nic_filter filter = {.size = sizeof(filter)};
    uint8_t vlan[2] = {64, 0};
    const struct bp_nic_ops *nic;
    struct bench bench;
    uint32_t id, used, count;
    const char *json;

    bench_make(&bench, OPTIONS, 1);
    nic = th_table(bench.card, BP_NIC_ID);
    bench_start(&bench, EVERYTHING & ~NET_F_GUEST_ANNOUNCE, 5);
    assert_int_equal(nic->announce(th_self(bench.card)), -EOPNOTSUPP);
    bench_start(&bench, EVERYTHING, 5);
    post_rx(&bench, 0, 4, 512);
    assert_int_equal(command(&bench, 1, 0, table, sizeof(table)), 0);
    assert_int_equal(command(&bench, 1, 1, "\2\0\0\0\0\5", 6), 0);
    assert_int_equal(command(&bench, 2, 0, vlan, 2), 0);
    assert_int_equal(command(&bench, 0, 1, "\1", 1), 0);
    assert_string_equal(th_event(bench.th, 0, &json), "NIC_RX_FILTER_CHANGED");
    assert_string_equal(json, "{\"name\": \"net0\"}");
    assert_null(th_event(bench.th, 1, &json)); /* once, until somebody looks */
    assert_int_equal(nic->filter(th_self(bench.card), &filter), 0);
    assert_int_equal(filter.flags, BP_NIC_PROMISCUOUS | BP_NIC_ALL_MULTICAST | BP_NIC_VLANS);
    assert_int_equal(filter.unicast_count, 1);
    assert_int_equal(filter.unicast[0][5], 9);
    assert_int_equal(filter.multicast_count, 0);
    assert_int_equal(filter.vlans[1], 1);
    assert_int_equal(filter.mac[5], 5);
    assert_int_equal(command(&bench, 0, 1, "\0", 1), 0);
    assert_non_null(th_event(bench.th, 1, &json));
    assert_int_equal(nic->info(th_self(bench.card), &info), 0);
    assert_int_equal(info.flags, BP_NIC_LINK_UP | BP_NIC_CONNECTED | BP_NIC_MAC_SET);
    assert_int_equal(nic->set_link(th_self(bench.card), 0), 0);
    assert_int_equal(nic->info(th_self(bench.card), &info), 0);
    assert_int_equal(info.flags, BP_NIC_CONNECTED | BP_NIC_MAC_SET);
    assert_int_equal(driver_config(&bench.driver, NET_CFG_STATUS, 2), 0);
    assert_false(reaches(&bench, "\2\0\0\0\0\5"));
    assert_int_equal(nic->set_link(th_self(bench.card), 1), 0);
    assert_true(reaches(&bench, "\2\0\0\0\0\5"));
    assert_int_equal(nic->announce(th_self(bench.card)), 0);
    assert_int_equal(driver_config(&bench.driver, NET_CFG_STATUS, 2), 3);
    assert_int_equal(command(&bench, 3, 0, vlan, 0), 0);
    assert_int_equal(driver_config(&bench.driver, NET_CFG_STATUS, 2), 1);
    assert_false(driver_used(&bench.driver, 0, &id, &used));
    (void)th_net_sent(bench.wire, &count);
    assert_int_equal(count, 0);
    th_free(bench.th);
}

/* --- RSS ------------------------------------------------------------------------------------- */

#define RSS_FEATURES (NET_F_MRG_RXBUF | NET_F_CTRL_VQ | NET_F_RSS)

/* An all-ones key: the hash is all ones for an odd number of set bits, else 0. So of a table of two
 * entries odd frames take the second one. */
static void
set_rss(struct bench *bench, uint32_t even, uint32_t odd, uint32_t unclassified)
{
    uint8_t data[15 + 40];

    memset(data, 0xff, sizeof(data));
    bp_store_le(data, 4, BP_NET_HASH_IP4);
    bp_store_le(data + 4, 2, 1);
    bp_store_le(data + 6, 2, unclassified);
    bp_store_le(data + 8, 2, even);
    bp_store_le(data + 10, 2, odd);
    bp_store_le(data + 12, 2, 1);
    data[14] = 40;
    assert_int_equal(command(bench, 4, 1, data, sizeof(data)), 0);
}

static void
deliver_ip(struct bench *bench, uint32_t odd, uint32_t length)
{
    static uint8_t frame[9000];

    make_frame(frame, length, "\2\0\0\0\0\7");
    memset(frame + 14, 0, 20);
    bp_net_store16(frame + 12, odd == 2 ? 0x88b5 : BP_NET_ETH_IP4);
    frame[14] = 0x45;
    frame[26] = odd == 1;
    th_net_deliver(bench->wire, 0, frame, length, NULL);
    th_run(bench->th);
}

static void
test_frames_go_to_the_pair_that_their_hash_names(void **state)
{
    struct bench bench;
    uint32_t id, used, i;

    bench_make(&bench, "pairs = 3; rss = true;", 1);
    assert_int_equal(driver_config(&bench.driver, NET_CFG_TABLE_SIZE, 2), 128);
    assert_int_equal(driver_config(&bench.driver, NET_CFG_KEY_SIZE, 1), 40);
    bench_start(&bench, RSS_FEATURES, 7);
    for (i = 0; i < 3; i++) {
        post_rx(&bench, i * 2, 10, 2048);
    }
    deliver_ip(&bench, 1, 100); /* nothing said as yet: the queue it comes on */
    assert_true(driver_used(&bench.driver, 0, &id, &used));
    set_rss(&bench, 1, 2, 0);
    deliver_ip(&bench, 0, 100);
    assert_true(driver_used(&bench.driver, 2, &id, &used));
    assert_int_equal(used, 112);
    deliver_ip(&bench, 1, 5000); /* over three buffers */
    for (i = 0; i < 3; i++) {
        assert_true(driver_used(&bench.driver, 4, &id, &used));
        assert_int_equal(used, i < 2 ? 2048 : 5012 - 4096);
    }
    assert_int_equal(bp_load_le(th_ram(bench.th, RX_GPA + 4 * 0x80000u + 10, 2), 2), 3);
    assert_int_equal(((uint8_t *)th_ram(bench.th, RX_GPA + 4 * 0x80000u, 2048))[12 + 300],
                     (uint8_t)(300 * 3));
    deliver_ip(&bench, 2, 100); /* not IP */
    assert_true(driver_used(&bench.driver, 0, &id, &used));
    for (i = 0; i < 6; i += 2) {
        assert_false(driver_used(&bench.driver, i, &id, &used));
    }
    th_free(bench.th);
}

static void
test_a_pair_without_buffers_holds_up_no_other(void **state)
{
    struct bench bench;
    uint32_t id, used, i;

    bench_make(&bench, "pairs = 3; rss = true;", 1);
    bench_start(&bench, RSS_FEATURES, 7);
    post_rx(&bench, 0, 5, 2048);
    post_rx(&bench, 2, 200, 2048);
    set_rss(&bench, 1, 2, 0);
    for (i = 0; i < 100; i++) {
        deliver_ip(&bench, i & 1, 100 + i);
    }
    for (i = 0; i < 50; i++) {
        assert_true(driver_used(&bench.driver, 2, &id, &used));
    }
    post_rx(&bench, 4, 20, 2048);
    post_rx(&bench, 4, 80, 2048);
    for (i = 0; i < 50; i++) {
        assert_true(driver_used(&bench.driver, 4, &id, &used));
        assert_int_equal(used, 12 + 101 + 2 * i); /* in order, all of them */
    }
    /* More than fit: they stay with the backend, and nothing is lost. */
    for (i = 0; i < 350; i++) {
        deliver_ip(&bench, 1, 200);
    }
    for (i = 0; i < 50; i++) {
        assert_true(driver_used(&bench.driver, 4, &id, &used));
    }
    assert_int_equal(th_net_pending(bench.wire), 350 - 50 - 256);
    for (i = 0; i < 6; i++) {
        uint32_t k;
        post_rx(&bench, 4, 50, 2048);
        for (k = 0; k < 50; k++) {
            assert_true(driver_used(&bench.driver, 4, &id, &used));
        }
    }
    assert_int_equal(th_net_pending(bench.wire), 0);
    assert_int_equal(th_net_dropped(bench.wire), 0);
    th_free(bench.th);
}

static void
test_steering_survives_stops_and_ends_with_the_driver(void **state)
{
    struct bench bench;
    uint32_t id, used;

    bench_make(&bench, "pairs = 3; rss = true;", 1);
    bench_start(&bench, RSS_FEATURES, 7);
    post_rx(&bench, 2, 5, 2048);
    post_rx(&bench, 4, 5, 2048);
    set_rss(&bench, 1, 2, 0);
    th_stop(bench.card);
    deliver_ip(&bench, 0, 100);
    assert_false(driver_used(&bench.driver, 2, &id, &used));
    th_start(bench.card);
    th_run(bench.th);
    assert_true(driver_used(&bench.driver, 2, &id, &used));
    assert_int_equal(th_quiesce(bench.card), 0);
    assert_int_equal(th_net_posted(bench.wire, 0), 0);
    deliver_ip(&bench, 1, 100);
    th_resume(bench.card);
    th_run(bench.th);
    assert_true(driver_used(&bench.driver, 4, &id, &used));
    deliver_ip(&bench, 2, 100); /* waits: pair 0 has no buffers */
    driver_reset(&bench.driver);
    assert_int_equal(th_net_posted(bench.wire, 0), 0);
    bench_start(&bench, NET_F_MRG_RXBUF, 2);
    post_rx(&bench, 0, 5, 2048);
    assert_int_equal(th_net_posted(bench.wire, 0), 5);
    assert_false(driver_used(&bench.driver, 0, &id, &used));
    th_free(bench.th);
}

/* --- offloads on the way in ------------------------------------------------------------------ */

static void
test_a_checksum_is_completed_for_a_driver_that_cannot(void **state)
{
    const struct bp_net_offload partial = {
        .flags = BP_NET_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
    const struct bp_net_offload large = {
        .flags = BP_NET_NEEDS_CSUM, .gso_type = BP_NET_GSO_TCP4, .gso_size = 100};
    struct bench bench;
    uint8_t frame[61];
    const uint8_t *got;
    uint32_t merge, id, used;

    for (merge = 0; merge < 2; merge++) {
        bench_make(&bench, "", 1);
        bench_start(&bench, merge ? NET_F_MRG_RXBUF : 0, 2);
        post_rx(&bench, 0, 10, merge ? 40 : 2048); /* the sum lies where two buffers meet */
        make_frame(frame, sizeof(frame), "\2\0\0\0\0\7");
        th_net_deliver(bench.wire, 0, frame, sizeof(frame), &partial);
        th_net_deliver(bench.wire, 0, frame, sizeof(frame), &large);
        th_run(bench.th);
        assert_true(driver_used(&bench.driver, 0, &id, &used));
        assert_int_equal(driver_used(&bench.driver, 0, &id, &used), merge);
        assert_false(driver_used(&bench.driver, 0, &id, &used)); /* the large one is dropped */
        got = th_ram(bench.th, RX_GPA, 2048);
        assert_int_equal(got[0], 0);
        assert_int_equal(bp_net_load16(got + 12 + 40),
                         bp_net_sum_fold(bp_net_sum(frame + 34, sizeof(frame) - 34, 0, 0)));
        th_free(bench.th);
    }
}

/* --- saved state ----------------------------------------------------------------------------- */

#define SAVED_OPTIONS "backend = \"wan\"; rom = \"\"; pairs = 2; rss = true; hash_report = true;"

/* Another card takes over; the backend is the same. */
static void
move(struct bench *bench, int mangle)
{
    uint8_t *data;
    uint64_t bytes, cut;

    th_stop(bench->card);
    assert_int_equal(th_quiesce(bench->card), 0);
    assert_int_equal(th_save(bench->card, &data, &bytes), 0);
    assert_int_equal(th_validate(bench->card, data, bytes), 0);
    for (cut = 0; mangle && cut < bytes; cut += 8) {
        assert_int_not_equal(th_validate(bench->card, data, cut), 0);
    }
    th_destroy(bench->card);
    bench->card = th_plug(bench->th, &backplane_plugin_v1, "net0", SAVED_OPTIONS);
    assert_non_null(bench->card);
    th_pci_place(bench->card);
    bench->driver.device = bench->card;
    th_stop(bench->card);
    assert_int_equal(th_restore(bench->card, data, bytes), 0);
    th_start(bench->card);
    th_run(bench->th);
    free(data);
}

static void
test_a_saved_card_goes_on_with_everything_the_driver_said(void **state)
{
    uint8_t vlan[2] = {5, 0}, table[14] = {1, 0, 0, 0, 2, 0, 0, 0, 0, 9}, frame[64];
    uint8_t offloads[8] = {2}, coalesce[12] = {0, 0, 0, 0, 7, 0, 0, 0, 50};
    const struct piece ask[] = {{CTRL_GPA, 6, 0}, {CTRL_GPA + 40, 9, 1}};
    struct bench bench;
    uint32_t id, used, i;

    bench_make(&bench, OPTIONS, 1);
    th_net_info(bench.wire)->rx_features = BP_NET_CSUM | BP_NET_TSO4;
    bench_start(&bench, EVERYTHING & ~NET_F_RSS, 5);
    post_rx(&bench, 0, 50, 512);
    assert_int_equal(command(&bench, 0, 0, "\0", 1), 0);
    assert_int_equal(command(&bench, 1, 0, table, sizeof(table)), 0);
    assert_int_equal(command(&bench, 1, 1, "\2\0\0\0\0\5", 6), 0);
    assert_int_equal(command(&bench, 2, 0, vlan, 2), 0);
    assert_int_equal(command(&bench, 5, 0, offloads, 8), 0);
    assert_int_equal(command(&bench, 6, 2, coalesce, 12), 0);
    coalesce[0] = 1;
    assert_int_equal(command(&bench, 6, 2, coalesce, 12), 0);
    th_net_send_event(bench.wire, BP_NET_EVENT_ANNOUNCE);
    th_run(bench.th);
    for (i = 0; i < 5; i++) { /* some of them wait for their notification */
        (void)reaches(&bench, "\2\0\0\0\0\5");
    }
    move(&bench, 1);
    for (i = 0; i < 5; i++) {
        assert_true(driver_used(&bench.driver, 0, &id, &used));
    }
    assert_int_equal(th_net_posted(bench.wire, 0), 45);
    assert_int_equal(th_net_features(bench.wire), BP_NET_CSUM);
    assert_int_equal(driver_config(&bench.driver, NET_CFG_STATUS, 2), 3);
    assert_int_equal(driver_config(&bench.driver, NET_CFG_MAC + 5, 1), 5);
    assert_int_equal(command(&bench, 3, 0, vlan, 0), 0);
    memcpy(th_ram(bench.th, CTRL_GPA, 6), "\6\3\1\0\0\0", 6);
    assert_int_equal(raw_command(&bench, ask, 2), 0);
    assert_int_equal(bp_load_le(th_ram(bench.th, CTRL_GPA + 41, 8), 8), 7 | UINT64_C(50) << 32);
    coalesce[0] = coalesce[8] = 0;
    assert_int_equal(command(&bench, 6, 2, coalesce, 12), 0);
    assert_true(reaches(&bench, "\2\0\0\0\0\5"));
    assert_true(reaches(&bench, "\2\0\0\0\0\11"));
    assert_false(reaches(&bench, "\2\0\0\0\0\6"));
    make_frame(frame, sizeof(frame), "\2\0\0\0\0\5");
    bp_net_store16(frame + 12, BP_NET_ETH_VLAN);
    for (i = 5; i < 7; i++) {
        bp_net_store16(frame + 14, i);
        th_net_deliver(bench.wire, 0, frame, sizeof(frame), NULL);
        th_run(bench.th);
        assert_int_equal(driver_used(&bench.driver, 0, &id, &used), i == 5);
    }
    th_free(bench.th);
}

static void
test_saved_steering_goes_on(void **state)
{
    struct bench bench;
    uint32_t id, used;

    bench_make(&bench, OPTIONS, 1);
    bench_start(&bench, RSS_FEATURES, 5);
    post_rx(&bench, 0, 10, 2048);
    post_rx(&bench, 2, 10, 2048);
    set_rss(&bench, 0, 1, 0);
    deliver_ip(&bench, 1, 100);
    assert_true(driver_used(&bench.driver, 2, &id, &used));
    move(&bench, 0);
    deliver_ip(&bench, 1, 100);
    assert_true(driver_used(&bench.driver, 2, &id, &used));
    deliver_ip(&bench, 0, 100);
    assert_true(driver_used(&bench.driver, 0, &id, &used));
    th_free(bench.th);
}

/* A segmented frame of which a part is sent when the card is saved: each segment goes out once. */
static void
test_a_half_sent_frame_is_finished_after_a_restore(void **state)
{
    static const uint8_t header[12] = {1, 1, 54, 0, 100, 0, 34, 0, 16, 0};
    static uint8_t frame[54 + 1000];
    struct bench bench;
    const struct th_net_frame *sent;
    uint32_t i, count;

    bench_make(&bench, OPTIONS, 1);
    bench_start(&bench, NET_F_CSUM | NET_F_HOST_TSO4, 2);
    make_frame(frame, sizeof(frame), "\2\0\0\0\0\1");
    bp_net_store16(frame + 12, BP_NET_ETH_IP4);
    memset(frame + 14, 0, 40);
    frame[14] = 0x45;
    bp_net_store16(frame + 16, sizeof(frame) - 14);
    frame[23] = BP_NET_IP_TCP;
    frame[46] = 0x50;
    th_net_set_room(bench.wire, 4);
    assert_int_equal(send_frame(&bench, 1, header, frame, sizeof(frame)), 0);
    (void)th_net_sent(bench.wire, &count);
    assert_int_equal(count, 4);
    move(&bench, 0);
    th_net_set_room(bench.wire, UINT32_MAX);
    th_run(bench.th);
    sent = th_net_sent(bench.wire, &count);
    assert_int_equal(count, 10);
    for (i = 0; i < count; i++) {
        assert_int_equal(bp_net_load32(sent[i].data + 38), i * 100);
    }
    assert_true(driver_used(&bench.driver, 1, &i, &count));
    th_free(bench.th);
}

static void
test_impossible_states_are_refused(void **state)
{
    static const struct {
        uint16_t tag;
        uint32_t at, value;
    } bad[] = {
        {4, 0, 0},   {4, 0, 3},  {6, 0, 0x40}, {9, 0, 66},   {13, 0, 0x200},
        {14, 0, 41}, {17, 0, 2}, {18, 0, 2},   {18, 0, 128}, {19, 4, 2},
    };
    struct bench bench;
    uint8_t *data;
    uint64_t bytes, at;
    uint32_t i;

    bench_make(&bench, OPTIONS, 1);
    bench_start(&bench, EVERYTHING, 5);
    th_stop(bench.card);
    assert_int_equal(th_quiesce(bench.card), 0);
    assert_int_equal(th_save(bench.card, &data, &bytes), 0);
    for (i = 0; i < BP_ARRAY_LENGTH(bad); i++) {
        uint64_t before;
        for (at = 0; bp_load_le(data + at, 2) != bad[i].tag;) {
            at += 8 + ((bp_load_le(data + at + 4, 4) + 7) & ~UINT64_C(7));
        }
        before = bp_load_le(data + at + 8 + bad[i].at, 4);
        bp_store_le(data + at + 8 + bad[i].at, 4, bad[i].value);
        assert_int_equal(th_validate(bench.card, data, bytes), -EINVAL);
        bp_store_le(data + at + 8 + bad[i].at, 4, before);
        assert_int_equal(th_validate(bench.card, data, bytes), 0);
    }
    th_resume(bench.card);
    th_start(bench.card);
    post_rx(&bench, 0, 1, 512);
    assert_int_equal(th_restore(bench.card, data, bytes), -EBUSY); /* not over a buffer in use */
    bp_store_le(data, 2, 0x8000 | 0x100); /* a record that must be understood */
    assert_int_equal(th_validate(bench.card, data, bytes), -EPROTO);
    free(data);
    th_free(bench.th);
}

static void
setup_wan(struct th_host *th, void *opaque)
{
    (void)th_net_new(th, "wan");
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL, SAVED_OPTIONS, setup_wan, NULL) > 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_command_works_in_full_and_not_when_cut_short_or_not_negotiated),
        cmocka_unit_test(test_unknown_commands_are_refused),
        cmocka_unit_test(test_a_command_may_lie_in_any_pieces_and_must_have_room_for_its_answer),
        cmocka_unit_test(test_all_vlans_can_be_added_and_deleted),
        cmocka_unit_test(test_one_queue_s_notifications_are_held_back_and_asked_for),
        cmocka_unit_test(test_the_backend_is_told_how_many_pairs_are_in_use),
        cmocka_unit_test(test_offloads_follow_the_other_end_of_the_link),
        cmocka_unit_test(test_pairs_on_other_loops_go_on_sending),
        cmocka_unit_test(test_operators_see_the_card_pull_its_cable_and_have_it_announced),
        cmocka_unit_test(test_frames_go_to_the_pair_that_their_hash_names),
        cmocka_unit_test(test_a_pair_without_buffers_holds_up_no_other),
        cmocka_unit_test(test_steering_survives_stops_and_ends_with_the_driver),
        cmocka_unit_test(test_a_checksum_is_completed_for_a_driver_that_cannot),
        cmocka_unit_test(test_a_saved_card_goes_on_with_everything_the_driver_said),
        cmocka_unit_test(test_saved_steering_goes_on),
        cmocka_unit_test(test_a_half_sent_frame_is_finished_after_a_restore),
        cmocka_unit_test(test_impossible_states_are_refused),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
