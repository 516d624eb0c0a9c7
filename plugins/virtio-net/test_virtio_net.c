/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/virtio-net on the fake core, by way of its registers and rings. */
#include "test_bench.h"
#include "virtio_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
test_headers_are_those_of_the_interface_and_its_features(void **state)
{
    static const struct {
        uint32_t modern;
        uint64_t features;
        uint32_t header;
    } cases[] = {
        {0, 0, 10},
        {0, NET_F_MRG_RXBUF, 12},
        {1, 0, 12},
        {1, NET_F_MRG_RXBUF, 12},
    };
    static const uint8_t zeroes[32];
    uint8_t frame[100];
    uint32_t i, id, used, count;

    for (i = 0; i < BP_ARRAY_LENGTH(cases); i++) {
        struct bench bench;
        const struct th_net_frame *sent;
        const uint8_t *memory;

        bench_make(&bench, "", cases[i].modern);
        bench_start(&bench, cases[i].features, 2);
        make_frame(frame, sizeof(frame), "\2\0\0\0\0\1");
        post_rx(&bench, 0, 4, 2048);
        memory = th_ram(bench.th, RX_GPA, 2048);
        th_net_deliver(bench.wire, 0, frame, sizeof(frame), NULL);
        th_run(bench.th);
        assert_int_equal(driver_used(&bench.driver, 0, &id, &used), 1);
        assert_int_equal(used, cases[i].header + sizeof(frame));
        assert_memory_equal(memory + cases[i].header, frame, sizeof(frame));
        assert_memory_equal(memory, zeroes, 10);
        if (cases[i].header == 12) {
            assert_int_equal(memory[10] | memory[11] << 8, 1);
        }
        assert_int_equal(send_frame(&bench, 1, zeroes, frame, sizeof(frame)), 1);
        sent = th_net_sent(bench.wire, &count);
        assert_int_equal(count, 1);
        assert_int_equal(sent[0].length, sizeof(frame));
        assert_memory_equal(sent[0].data, frame, sizeof(frame));
        th_free(bench.th);
    }
}

static void
test_a_large_frame_spans_mergeable_buffers_and_says_how_many(void **state)
{
    static uint8_t frame[20000];
    const struct bp_net_offload offload = {.flags = BP_NET_NEEDS_CSUM,
                                           .gso_type = BP_NET_GSO_TCP4,
                                           .header_length = 54,
                                           .gso_size = 1448,
                                           .csum_start = 34,
                                           .csum_offset = 16};
    struct bench bench;
    uint32_t i, id, used, at = 0;
    const uint8_t *memory;

    bench_make(&bench, "", 1);
    th_net_info(bench.wire)->rx_features = BP_NET_CSUM | BP_NET_TSO4;
    th_detach(bench.card, 0, 0);
    assert_int_equal(th_attach(bench.card, 0, 0, "wan"), 0);
    bench_start(&bench, NET_F_MRG_RXBUF | NET_F_GUEST_CSUM | NET_F_GUEST_TSO4, 2);
    assert_int_equal(th_net_features(bench.wire), BP_NET_CSUM | BP_NET_TSO4);
    make_frame(frame, sizeof(frame), "\2\0\0\0\0\1");
    post_rx(&bench, 0, 100, 1526);
    th_net_deliver(bench.wire, 0, frame, sizeof(frame), &offload);
    th_run(bench.th);
    memory = th_ram(bench.th, RX_GPA, 100 * 1526);
    for (i = 0; driver_used(&bench.driver, 0, &id, &used); i++) {
        uint32_t skip = i == 0 ? 12 : 0;
        assert_memory_equal(memory + (uint64_t)id * 1526 + skip, frame + at, used - skip);
        at += used - skip;
    }
    assert_int_equal(at, sizeof(frame));
    assert_int_equal(i, 14);
    assert_int_equal(memory[0], 1);
    assert_int_equal(memory[1], 1);
    assert_int_equal(bp_load_le(memory + 2, 2), 54);
    assert_int_equal(bp_load_le(memory + 4, 2), 1448);
    assert_int_equal(bp_load_le(memory + 6, 2), 34);
    assert_int_equal(bp_load_le(memory + 8, 2), 16);
    assert_int_equal(bp_load_le(memory + 10, 2), 14);
    th_free(bench.th);
}

static void
test_segmentation_is_done_here_when_the_backend_has_none(void **state)
{
    static uint8_t frame[54 + 200 * 500];
    uint8_t header[12] = {0};
    struct bench bench;
    const struct th_net_frame *sent;
    uint32_t count, i, payload = 200 * 300, at = 0;

    bench_make(&bench, "", 1);
    bench_start(&bench, NET_F_CSUM | NET_F_HOST_TSO4, 2);
    frame[12] = 8;
    frame[14] = 0x45;
    frame[23] = 6;
    frame[46] = 0x50;
    for (i = 0; i < payload; i++) {
        frame[54 + i] = (uint8_t)(i / 7);
    }
    header[0] = 1;
    header[1] = 1;
    bp_store_le(header + 4, 2, 300);
    bp_store_le(header + 6, 2, 34);
    bp_store_le(header + 8, 2, 16);
    th_net_set_room(bench.wire, 70); /* less than it needs: the rest has to wait */
    assert_int_equal(send_frame(&bench, 1, header, frame, 54 + payload), 0);
    (void)th_net_sent(bench.wire, &count);
    assert_int_equal(count, 70);
    th_net_set_room(bench.wire, UINT32_MAX);
    th_run(bench.th);
    sent = th_net_sent(bench.wire, &count);
    assert_int_equal(count, 200);
    for (i = 0; i < count; i++) {
        assert_int_equal(sent[i].length, 354);
        assert_int_equal(sent[i].offload.flags | sent[i].offload.gso_type, 0);
        assert_memory_equal(sent[i].data + 54, frame + 54 + at, 300);
        at += 300;
    }
    assert_int_equal(driver_used(&bench.driver, 1, &i, &at), 1);
    th_free(bench.th);
}

static void
test_a_full_backend_loses_nothing_and_keeps_the_order(void **state)
{
    static const uint8_t zeroes[12];
    struct bench bench;
    const struct th_net_frame *sent;
    uint8_t frame[64];
    uint32_t i, count, id, used;

    bench_make(&bench, "", 1);
    bench_start(&bench, 0, 2);
    th_net_set_room(bench.wire, 5);
    for (i = 0; i < 100; i++) {
        struct piece pieces[2] = {{TX_GPA, 12, 0}, {TX_GPA + 64 + i * 64u, 64, 0}};
        memcpy(th_ram(bench.th, TX_GPA, 12), zeroes, 12);
        make_frame(frame, sizeof(frame), "\2\0\0\0\0\1");
        frame[20] = (uint8_t)i;
        memcpy(th_ram(bench.th, TX_GPA + 64 + i * 64u, 64), frame, 64);
        (void)driver_add(&bench.driver, 1, pieces, 2);
    }
    driver_kick(&bench.driver, 1);
    for (i = 0; i < 20; i++) {
        th_net_hold(bench.wire, i & 1); /* some of them are done later */
        th_net_set_room(bench.wire, 5);
        th_run(bench.th);
        th_net_release(bench.wire, 0, 100);
    }
    sent = th_net_sent(bench.wire, &count);
    assert_int_equal(count, 100);
    for (i = 0; i < 100; i++) {
        assert_int_equal(sent[i].data[20], i);
        assert_int_equal(driver_used(&bench.driver, 1, &id, &used), 1);
    }
    assert_int_equal(driver_used(&bench.driver, 1, &id, &used), 0);
    th_free(bench.th);
}

static void
test_frames_wait_for_a_guest_without_buffers(void **state)
{
    struct bench bench;
    uint8_t frame[64];
    uint32_t i, id, used;

    bench_make(&bench, "", 1);
    bench_start(&bench, NET_F_MRG_RXBUF, 2);
    for (i = 0; i < 10; i++) {
        make_frame(frame, sizeof(frame), "\2\0\0\0\0\1");
        frame[30] = (uint8_t)i;
        th_net_deliver(bench.wire, 0, frame, sizeof(frame), NULL);
    }
    th_run(bench.th);
    assert_int_equal(th_net_pending(bench.wire), 10);
    post_rx(&bench, 0, 4, 1526);
    assert_int_equal(th_net_pending(bench.wire), 6);
    post_rx(&bench, 0, 10, 1526);
    assert_int_equal(th_net_pending(bench.wire), 0);
    for (i = 0; i < 10; i++) {
        assert_int_equal(driver_used(&bench.driver, 0, &id, &used), 1);
    }
    th_free(bench.th);
}

static void
test_receive_modes_filter(void **state)
{
    static const char mine[] = "\2\0\0\0\0\7", other[] = "\2\0\0\0\0\10",
                      group[] = "\1\0\136\0\0\1";
    static const char broadcast[] = "\377\377\377\377\377\377";
    uint8_t table[4 + 6 + 4 + 6] = {1, 0, 0, 0, 2, 0, 0, 0, 0, 8, 1, 0, 0, 0};
    struct bench bench;
    uint8_t on = 1, off = 0;

    memcpy(table + 14, group, 6);
    bench_make(&bench, "mac = \"02:00:00:00:00:07\";", 1);
    bench_start(&bench, NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_CTRL_RX_EXTRA, 3);
    post_rx(&bench, 0, 200, 512);
    assert_true(reaches(&bench, other));
    assert_int_equal(command(&bench, 0, 0, &off, 1), 0);
    assert_true(reaches(&bench, mine));
    assert_true(reaches(&bench, broadcast));
    assert_false(reaches(&bench, other));
    assert_false(reaches(&bench, group));
    assert_int_equal(command(&bench, 1, 0, table, sizeof(table)), 0);
    assert_true(reaches(&bench, other));
    assert_true(reaches(&bench, group));
    assert_false(reaches(&bench, "\1\0\136\0\0\2"));
    assert_int_equal(command(&bench, 0, 1, &on, 1), 0); /* ALLMULTI */
    assert_true(reaches(&bench, "\1\0\136\0\0\2"));
    assert_int_equal(command(&bench, 0, 3, &on, 1), 0); /* NOMULTI */
    assert_false(reaches(&bench, group));
    assert_int_equal(command(&bench, 0, 5, &on, 1), 0); /* NOBCAST */
    assert_false(reaches(&bench, broadcast));
    assert_int_equal(command(&bench, 0, 4, &on, 1), 0); /* NOUNI */
    assert_false(reaches(&bench, mine));
    assert_int_equal(command(&bench, 0, 4, &off, 1), 0);
    assert_int_equal(command(&bench, 0, 2, &on, 1), 0); /* ALLUNI */
    assert_true(reaches(&bench, "\2\0\0\0\0\11"));
    assert_int_equal(command(&bench, 0, 6, &on, 1), 1);
    assert_int_equal(command(&bench, 0, 0, &on, 0), 1);
    /* filtered frames gave their buffers back */
    assert_int_equal(th_net_posted(bench.wire, 0), 200 - 7);
    th_free(bench.th);
}

static void
test_impossible_tables_are_refused_and_change_nothing(void **state)
{
    uint8_t table[4 + 6 + 4] = {2, 0, 0, 0, 2, 0, 0, 0, 0, 8};
    static uint8_t many[4 + 100 * 6 + 4];
    struct bench bench;
    uint8_t off = 0;

    bench_make(&bench, "mac = \"02:00:00:00:00:07\";", 1);
    bench_start(&bench, NET_F_CTRL_VQ | NET_F_CTRL_RX, 3);
    post_rx(&bench, 0, 20, 512);
    assert_int_equal(command(&bench, 0, 0, &off, 1), 0);
    assert_int_equal(command(&bench, 1, 0, table, sizeof(table)), 1);
    assert_false(reaches(&bench, "\2\0\0\0\0\10"));
    table[0] = 0xff;
    table[3] = 0xff;
    assert_int_equal(command(&bench, 1, 0, table, sizeof(table)), 1);
    many[0] = 100; /* more than there is room for: everything unicast is let through */
    assert_int_equal(command(&bench, 1, 0, many, sizeof(many)), 0);
    assert_true(reaches(&bench, "\2\0\0\0\0\10"));
    assert_false(reaches(&bench, "\3\0\0\0\0\10"));
    assert_int_equal(command(&bench, 1, 1, "\2\2\2\2\2\2", 6), 1); /* not negotiated */
    assert_int_equal(command(&bench, 9, 0, "", 0), 1);
    th_free(bench.th);
}

static void
test_the_guest_sets_its_address(void **state)
{
    struct bench bench;

    bench_make(&bench, "mac = \"02:00:00:00:00:07\";", 1);
    bench_start(&bench, NET_F_CTRL_VQ | NET_F_CTRL_MAC_ADDR, 3);
    assert_int_equal(driver_config(&bench.driver, 5, 1), 7);
    assert_int_equal(command(&bench, 1, 1, "\2\2\2\2\2\2", 6), 0);
    assert_int_equal(driver_config(&bench.driver, 5, 1), 2);
    assert_int_equal(command(&bench, 1, 1, "\2\2\2\2\2\2\2", 7), 1);
    driver_reset(&bench.driver);
    assert_int_equal(driver_config(&bench.driver, 5, 1), 7);
    th_free(bench.th);
}

static int
vlan_reaches(struct bench *bench, uint32_t vlan)
{
    uint8_t frame[64];
    uint32_t id, used;

    make_frame(frame, sizeof(frame), "\2\0\0\0\0\7");
    bp_net_store16(frame + 12, BP_NET_ETH_VLAN);
    bp_net_store16(frame + 14, vlan | 0x6000);
    th_net_deliver(bench->wire, 0, frame, sizeof(frame), NULL);
    th_run(bench->th);
    return driver_used(&bench->driver, 0, &id, &used);
}

static void
test_vlans_are_filtered_until_they_are_added(void **state)
{
    struct bench bench;
    uint8_t id[2];
    uint32_t vlan;

    bench_make(&bench, "", 1);
    bench_start(&bench, NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_CTRL_VLAN, 3);
    post_rx(&bench, 0, 20, 512);
    assert_true(reaches(&bench, "\2\0\0\0\0\7"));
    assert_false(vlan_reaches(&bench, 5));
    for (vlan = 0; vlan < 4096; vlan++) {
        bp_store_le(id, 2, vlan);
        assert_int_equal(command(&bench, 2, 0, id, 2), 0);
    }
    assert_true(vlan_reaches(&bench, 5));
    assert_true(vlan_reaches(&bench, 4095));
    bp_store_le(id, 2, 5);
    assert_int_equal(command(&bench, 2, 1, id, 2), 0);
    assert_false(vlan_reaches(&bench, 5));
    assert_true(vlan_reaches(&bench, 6));
    bp_store_le(id, 2, 4096);
    assert_int_equal(command(&bench, 2, 0, id, 2), 1);
    assert_int_equal(command(&bench, 2, 2, id, 2), 1);
    th_free(bench.th);
}

static void
test_link_and_announcement_are_shown_and_acknowledged(void **state)
{
    static const uint8_t zeroes[12];
    struct bench bench;
    uint8_t frame[64];
    uint32_t count;

    bench_make(&bench, "", 1);
    bench_start(&bench, NET_F_STATUS | NET_F_CTRL_VQ | NET_F_GUEST_ANNOUNCE, 3);
    post_rx(&bench, 0, 20, 512);
    assert_int_equal(driver_config(&bench.driver, NET_CFG_STATUS, 2), 1);
    assert_int_equal(th_set(bench.card, "link", "false"), 0);
    assert_int_equal(driver_config(&bench.driver, NET_CFG_STATUS, 2), 0);
    assert_false(reaches(&bench, "\2\0\0\0\0\7"));
    make_frame(frame, sizeof(frame), "\2\0\0\0\0\1");
    assert_int_equal(send_frame(&bench, 1, zeroes, frame, sizeof(frame)), 1);
    (void)th_net_sent(bench.wire, &count);
    assert_int_equal(count, 0);
    assert_int_equal(th_set(bench.card, "link", "true"), 0);
    assert_true(reaches(&bench, "\2\0\0\0\0\7"));
    th_net_info(bench.wire)->flags = 0;
    th_net_send_event(bench.wire, BP_NET_EVENT_LINK);
    th_run(bench.th);
    assert_int_equal(driver_config(&bench.driver, NET_CFG_STATUS, 2), 0);
    th_net_info(bench.wire)->flags = BP_NET_LINK_UP;
    th_net_send_event(bench.wire, BP_NET_EVENT_LINK);
    th_net_send_event(bench.wire, BP_NET_EVENT_ANNOUNCE);
    th_run(bench.th);
    assert_int_equal(driver_config(&bench.driver, NET_CFG_STATUS, 2), 3);
    assert_int_equal(command(&bench, 3, 0, "", 0), 0);
    assert_int_equal(driver_config(&bench.driver, NET_CFG_STATUS, 2), 1);
    assert_int_equal(command(&bench, 3, 0, "", 0), 1);
    th_free(bench.th);
}

static void
test_offloads_are_switched_at_run_time_within_what_was_negotiated(void **state)
{
    struct bench bench;
    uint8_t value[8];

    bench_make(&bench, "", 1);
    th_net_info(bench.wire)->rx_features = BP_NET_CSUM | BP_NET_TSO4 | BP_NET_UFO;
    th_detach(bench.card, 0, 0);
    assert_int_equal(th_attach(bench.card, 0, 0, "wan"), 0);
    bench_start(&bench,
                NET_F_CTRL_VQ | NET_F_CTRL_OFFLOADS | NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 |
                    NET_F_GUEST_TSO6,
                3);
    assert_int_equal(th_net_features(bench.wire), BP_NET_CSUM | BP_NET_TSO4);
    bp_store_le(value, 8, NET_F_GUEST_CSUM);
    assert_int_equal(command(&bench, 5, 0, value, 8), 0);
    assert_int_equal(th_net_features(bench.wire), BP_NET_CSUM);
    bp_store_le(value, 8, NET_F_GUEST_CSUM | NET_F_GUEST_UFO);
    assert_int_equal(command(&bench, 5, 0, value, 8), 1);
    bp_store_le(value, 8, 0);
    assert_int_equal(command(&bench, 5, 0, value, 8), 0);
    assert_int_equal(th_net_features(bench.wire), 0);
    driver_reset(&bench.driver);
    th_free(bench.th);
}

static void
test_features_that_need_others_are_refused_alone(void **state)
{
    static const uint64_t bad[] = {
        NET_F_GUEST_TSO4,     NET_F_HOST_TSO4, NET_F_CTRL_RX,       NET_F_CTRL_MAC_ADDR,
        NET_F_GUEST_ANNOUNCE, NET_F_HOST_USO,  NET_F_CTRL_RX_EXTRA, NET_F_CSUM | NET_F_HOST_ECN,
    };
    struct bench bench;
    uint32_t i;

    bench_make(&bench, "", 1);
    for (i = 0; i < BP_ARRAY_LENGTH(bad); i++) {
        assert_int_equal(driver_start(&bench.driver, bad[i], 2), 0);
    }
    assert_int_equal(driver_start(&bench.driver, NET_F_CSUM | NET_F_HOST_TSO4, 2), 1);
    th_free(bench.th);
}

static void
test_malformed_packets_are_dropped_and_the_queue_goes_on(void **state)
{
    static const uint8_t good[12];
    static const struct {
        uint8_t header[12];
        uint32_t length;
    } bad[] = {
        {{0}, 13},                              /* shorter than an Ethernet header */
        {{1, 0, 0, 0, 0, 0, 60, 0, 10, 0}, 60}, /* a checksum behind the end */
        {{1, 0, 0, 0, 0, 0, 255, 255, 255, 255}, 60},
        {{1, 1, 0, 0, 0, 0, 34, 0, 6, 0}, 60},    /* segments of no size */
        {{0, 1, 0, 0, 100, 0, 34, 0, 6, 0}, 60},  /* segments without a checksum */
        {{1, 9, 0, 0, 100, 0, 34, 0, 6, 0}, 60},  /* an unknown kind */
        {{1, 4, 0, 0, 100, 0, 34, 0, 6, 0}, 60},  /* a kind that was not negotiated */
        {{1, 1, 0, 0, 100, 0, 34, 0, 16, 0}, 60}, /* not TCP at all */
    };
    struct bench bench;
    uint8_t frame[64];
    uint32_t i, count, id, used;
    struct piece alone = {TX_GPA, 5, 0};

    bench_make(&bench, "", 1);
    bench_start(&bench, NET_F_CSUM | NET_F_HOST_TSO4, 2);
    make_frame(frame, sizeof(frame), "\2\0\0\0\0\1");
    for (i = 0; i < BP_ARRAY_LENGTH(bad); i++) {
        assert_int_equal(send_frame(&bench, 1, bad[i].header, frame, bad[i].length), 1);
    }
    (void)driver_add(&bench.driver, 1, &alone, 1);
    driver_kick(&bench.driver, 1);
    assert_int_equal(driver_used(&bench.driver, 1, &id, &used), 1);
    (void)th_net_sent(bench.wire, &count);
    assert_int_equal(count, 0);
    assert_int_equal(send_frame(&bench, 1, good, frame, sizeof(frame)), 1);
    (void)th_net_sent(bench.wire, &count);
    assert_int_equal(count, 1);
    assert_int_equal(driver_status(&bench.driver) & 64, 0);
    th_free(bench.th);
}

static void
test_a_buffer_too_small_for_a_header_breaks_the_device_until_reset(void **state)
{
    struct bench bench;

    bench_make(&bench, "", 1);
    bench_start(&bench, NET_F_MRG_RXBUF, 2);
    post_rx(&bench, 0, 1, 12);
    assert_int_equal(driver_status(&bench.driver) & 64, 64);
    bench_start(&bench, NET_F_MRG_RXBUF, 2);
    post_rx(&bench, 0, 2, 512);
    assert_true(reaches(&bench, "\2\0\0\0\0\7"));
    th_free(bench.th);
}

static void
test_reset_stop_and_quiesce_take_every_buffer_back(void **state)
{
    struct bench bench;
    uint32_t round;

    bench_make(&bench, "", 1);
    for (round = 0; round < 3; round++) {
        bench_start(&bench, NET_F_MRG_RXBUF, 2);
        post_rx(&bench, 0, 100, 512);
        assert_int_equal(th_net_posted(bench.wire, 0), 100);
        assert_true(reaches(&bench, "\2\0\0\0\0\7"));
        th_stop(bench.card);
        assert_int_equal(th_net_posted(bench.wire, 0), 0);
        th_start(bench.card);
        th_run(bench.th);
        assert_int_equal(th_net_posted(bench.wire, 0), 99);
        assert_true(reaches(&bench, "\2\0\0\0\0\7"));
        assert_int_equal(th_quiesce(bench.card), 0);
        assert_int_equal(th_net_posted(bench.wire, 0), 0);
        th_resume(bench.card);
        th_run(bench.th);
        assert_int_equal(th_net_posted(bench.wire, 0), 98);
        if (round == 1) {
            th_reset(bench.card, BP_RESET_SYSTEM);
            th_pci_place(bench.card);
        } else {
            driver_reset(&bench.driver);
        }
        assert_int_equal(th_net_posted(bench.wire, 0), 0);
        assert_int_equal(driver_status(&bench.driver), 0);
    }
    th_free(bench.th);
}

static void
test_the_backend_is_swapped_under_a_running_driver(void **state)
{
    struct bench bench;
    struct th_net *other;
    static const uint8_t zeroes[12];
    uint8_t frame[64];
    uint32_t count;

    bench_make(&bench, "", 1);
    other = th_net_new(bench.th, "lan");
    bench_start(&bench, NET_F_MRG_RXBUF | NET_F_STATUS, 2);
    post_rx(&bench, 0, 10, 512);
    assert_int_equal(th_quiesce(bench.card), 0);
    th_detach(bench.card, 0, 0);
    assert_int_equal(driver_config(&bench.driver, NET_CFG_STATUS, 2), 0);
    assert_int_equal(th_attach(bench.card, 0, 0, "lan"), 0);
    th_resume(bench.card);
    th_run(bench.th);
    assert_int_equal(driver_config(&bench.driver, NET_CFG_STATUS, 2), 1);
    assert_int_equal(th_net_posted(other, 0), 10);
    make_frame(frame, sizeof(frame), "\2\0\0\0\0\1");
    assert_int_equal(send_frame(&bench, 1, zeroes, frame, sizeof(frame)), 1);
    (void)th_net_sent(other, &count);
    assert_int_equal(count, 1);
    th_free(bench.th);
}

static void
test_coalesced_packets_come_together_or_after_their_time(void **state)
{
    struct bench bench;
    uint8_t value[8];
    uint32_t id, used;

    bench_make(&bench, "", 1);
    bench_start(&bench, NET_F_MRG_RXBUF | NET_F_CTRL_VQ | NET_F_NOTF_COAL, 3);
    post_rx(&bench, 0, 20, 512);
    bp_store_le(value, 4, 3);
    bp_store_le(value + 4, 4, 50);
    assert_int_equal(command(&bench, 6, 1, value, 8), 0);
    assert_false(reaches(&bench, "\2\0\0\0\0\7"));
    assert_false(reaches(&bench, "\2\0\0\0\0\7"));
    assert_true(reaches(&bench, "\2\0\0\0\0\7"));
    assert_true(driver_used(&bench.driver, 0, &id, &used));
    assert_true(driver_used(&bench.driver, 0, &id, &used));
    assert_false(reaches(&bench, "\2\0\0\0\0\7"));
    th_clock_step(bench.th, 49000);
    assert_false(driver_used(&bench.driver, 0, &id, &used));
    th_clock_step(bench.th, 1000);
    assert_true(driver_used(&bench.driver, 0, &id, &used));
    assert_false(reaches(&bench, "\2\0\0\0\0\7")); /* and nothing is kept over a reset */
    driver_reset(&bench.driver);
    assert_int_equal(driver_status(&bench.driver), 0);
    th_free(bench.th);
}

static void
test_pairs_send_through_the_queues_the_backend_has(void **state)
{
    static const uint8_t zeroes[12];
    struct bench bench;
    const struct th_net_frame *sent;
    uint8_t frame[64], value[2] = {4, 0};
    uint32_t i, count;

    bench_make(&bench, "pairs = 4;", 1);
    assert_int_equal(driver_config(&bench.driver, NET_CFG_MAX_PAIRS, 2), 4);
    bench_start(&bench, NET_F_MRG_RXBUF | NET_F_CTRL_VQ, 3); /* without MQ: control is queue 2 */
    assert_int_equal(command(&bench, 4, 0, value, 2), 1);
    bench_start(&bench, NET_F_MRG_RXBUF | NET_F_CTRL_VQ | NET_F_MQ, 9);
    make_frame(frame, sizeof(frame), "\2\0\0\0\0\1");
    for (i = 0; i < 4; i++) {
        assert_int_equal(send_frame(&bench, i * 2 + 1, zeroes, frame, sizeof(frame)), 1);
    }
    sent = th_net_sent(bench.wire, &count);
    assert_int_equal(count, 4);
    assert_int_equal(sent[3].queue, 0);
    th_free(bench.th);
}

static void
test_the_hash_of_a_packet_is_reported(void **state)
{
    uint8_t data[4 + 8 + 1 + 40] = {0}, frame[64] = {0};
    struct bench bench;
    const uint8_t *memory;
    uint32_t id, used;

    bench_make(&bench, "hash_report = true;", 1);
    bench_start(&bench, NET_F_MRG_RXBUF | NET_F_CTRL_VQ | NET_F_HASH_REPORT, 3);
    post_rx(&bench, 0, 20, 512);
    data[0] = 1; /* IPv4 */
    data[12] = 40;
    memset(data + 13, 0xff, 40);
    assert_int_equal(command(&bench, 4, 2, data, sizeof(data)), 0);
    frame[12] = 8;
    frame[14] = 0x45;
    frame[26] = 0x80; /* one bit set: the hash is the key's first word */
    th_net_deliver(bench.wire, 0, frame, sizeof(frame), NULL);
    th_run(bench.th);
    assert_int_equal(driver_used(&bench.driver, 0, &id, &used), 1);
    assert_int_equal(used, 20 + sizeof(frame));
    memory = th_ram(bench.th, RX_GPA, 512);
    assert_int_equal(bp_load_le(memory + 12, 4), 0xffffffff);
    assert_int_equal(bp_load_le(memory + 16, 2), 1);
    data[1] = 0x80; /* an unknown kind */
    assert_int_equal(command(&bench, 4, 2, data, sizeof(data)), 1);
    data[1] = 0;
    data[12] = 41;
    assert_int_equal(command(&bench, 4, 2, data, sizeof(data)), 1);
    th_free(bench.th);
}

static void
assert_refused(const char *options, const char *text)
{
    struct th_host *th = th_new();

    (void)th_net_new(th, "wan");
    assert_null(th_plug(th, &backplane_plugin_v1, "net0", options));
    if (strstr(th_error_text(th), text) == NULL) {
        fail_msg("'%s' does not say '%s'", th_error_text(th), text);
    }
    th_free(th);
}

static void
test_impossible_descriptions_are_refused_with_a_reason(void **state)
{
    assert_refused("backend = \"wan\"; mac = \"02:00\";", "unicast address like");
    assert_refused("backend = \"wan\"; mac = \"01:00:00:00:00:00\";", "unicast address like");
    assert_refused("backend = \"wan\"; mac = \"02:00:00:00:00:00x\";", "unicast address like");
}

static void
setup_wan(struct th_host *th, void *opaque)
{
    (void)th_net_new(th, "wan");
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL,
                                  "backend = \"wan\"; pairs = 2; rom = \"\";", setup_wan,
                                  NULL) > 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers_are_those_of_the_interface_and_its_features),
        cmocka_unit_test(test_a_large_frame_spans_mergeable_buffers_and_says_how_many),
        cmocka_unit_test(test_segmentation_is_done_here_when_the_backend_has_none),
        cmocka_unit_test(test_a_full_backend_loses_nothing_and_keeps_the_order),
        cmocka_unit_test(test_frames_wait_for_a_guest_without_buffers),
        cmocka_unit_test(test_receive_modes_filter),
        cmocka_unit_test(test_impossible_tables_are_refused_and_change_nothing),
        cmocka_unit_test(test_the_guest_sets_its_address),
        cmocka_unit_test(test_vlans_are_filtered_until_they_are_added),
        cmocka_unit_test(test_link_and_announcement_are_shown_and_acknowledged),
        cmocka_unit_test(test_offloads_are_switched_at_run_time_within_what_was_negotiated),
        cmocka_unit_test(test_features_that_need_others_are_refused_alone),
        cmocka_unit_test(test_malformed_packets_are_dropped_and_the_queue_goes_on),
        cmocka_unit_test(test_a_buffer_too_small_for_a_header_breaks_the_device_until_reset),
        cmocka_unit_test(test_reset_stop_and_quiesce_take_every_buffer_back),
        cmocka_unit_test(test_the_backend_is_swapped_under_a_running_driver),
        cmocka_unit_test(test_coalesced_packets_come_together_or_after_their_time),
        cmocka_unit_test(test_pairs_send_through_the_queues_the_backend_has),
        cmocka_unit_test(test_the_hash_of_a_packet_is_reported),
        cmocka_unit_test(test_impossible_descriptions_are_refused_with_a_reason),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
