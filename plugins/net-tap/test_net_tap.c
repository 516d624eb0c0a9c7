/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/net-tap on the fake core: frames and offloads, against packet sockets, UDP and TCP of the
 * kernel. */
#include "tap_test.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define ALL (BP_NET_CSUM | BP_NET_TSO4 | BP_NET_TSO6 | BP_NET_ECN | BP_NET_USO4 | BP_NET_USO6)

/* A kernel whose send buffer is full, which a test cannot bring about with frames: the linker leads
 * the plugin's writev() here. */
static int full;
/* NOLINTBEGIN(readability-identifier-naming): the linker's names */
ssize_t __real_writev(int fd, const struct iovec *iov, int count);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int count);
/* NOLINTEND(readability-identifier-naming) */

ssize_t
__wrap_writev(int fd, const struct iovec *iov, int count)
{
    if (full) {
        errno = EAGAIN;
        return -1;
    }
    return __real_writev(fd, iov, count);
}

static void
test_frames_go_both_ways_as_they_are(void **state)
{
    struct bench bench;
    uint8_t frame[1514], got[2048];
    int fd;

    for (uint32_t vnet = 0; vnet < 2; vnet++) {
        bench_make(&bench,
                   vnet ? "interface = \"bptap0\";" : "interface = \"bptap0\"; vnet_hdr = false;",
                   0);
        fd = packet_socket("bptap0");
        for (uint32_t length = 14; length <= sizeof(frame); length += 300) {
            raw_frame(frame, length, (uint8_t)length);
            assert_int_equal(th_wire_send(bench.wire, frame, length, NULL), 1);
            assert_int_equal(recv(fd, got, sizeof(got), 0), (int)length);
            assert_memory_equal(got, frame, length);
            assert_int_equal(send(fd, frame, length, 0), (int)length);
            wait_for(&bench, 0x88b5, 1);
            assert_int_equal(frame_of(&bench, 0x88b5, 0)->length, length);
            assert_memory_equal(frame_of(&bench, 0x88b5, 0)->data, frame, length);
            th_wire_clear(bench.wire);
        }
        (void)close(fd);
        bench_free(&bench);
    }
}

static void
test_frames_wait_for_a_guest_without_buffers(void **state)
{
    struct bench bench;
    uint8_t frame[600];
    int fd;

    bench_make(&bench, "interface = \"bptap0\";", 0);
    fd = packet_socket("bptap0");
    th_wire_flush(bench.wire);
    for (uint32_t i = 0; i < 200; i++) {
        raw_frame(frame, sizeof(frame), (uint8_t)i);
        assert_int_equal(send(fd, frame, sizeof(frame), 0), (int)sizeof(frame));
    }
    th_run(bench.th);
    th_wire_post_again(bench.wire, 1);
    wait_for(&bench, 0x88b5, 200);
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(frame_of(&bench, 0x88b5, i)->data[100], i);
    }
    (void)close(fd);
    bench_free(&bench);
}

static void
test_a_long_frame_waits_for_buffers_that_it_can_be_merged_into(void **state)
{
    struct bench bench;
    uint8_t frame[9000];
    int fd;

    bench.th = th_new();
    bench.net =
        th_plug(bench.th, &backplane_plugin_v1, "lan", "interface = \"bptap0\"; mtu = 9000;");
    assert_non_null(bench.net);
    bench.wire = th_wire_open(bench.net, 0);
    th_wire_post_again(bench.wire, 0);
    th_wire_post(bench.wire, 3, 2048, 12, BP_NET_MERGE);
    fd = packet_socket("bptap0");
    raw_frame(frame, sizeof(frame), 5);
    frame[8999] = 77;
    assert_int_equal(send(fd, frame, sizeof(frame), 0), (int)sizeof(frame));
    raw_frame(frame, 100, 6);
    assert_int_equal(send(fd, frame, 100, 0), 100);
    th_run(bench.th);
    th_run(bench.th);
    th_wire_close(bench.wire);
    bench.wire = th_wire_open(bench.net, 0); /* the long one is this one's no more */
    th_wire_post(bench.wire, 16, 2048, 12, BP_NET_MERGE);
    raw_frame(frame, sizeof(frame), 5);
    frame[8999] = 77;
    assert_int_equal(send(fd, frame, sizeof(frame), 0), (int)sizeof(frame));
    wait_for(&bench, 0x88b5, 2);
    assert_int_equal(frame_of(&bench, 0x88b5, 0)->length, 100);
    assert_int_equal(frame_of(&bench, 0x88b5, 1)->length, 9000);
    assert_int_equal(frame_of(&bench, 0x88b5, 1)->data[8999], 77);
    (void)close(fd);
    bench_free(&bench);
}

static void
test_buffers_posted_while_frames_are_delivered_are_seen(void **state)
{
    struct bench bench;
    uint8_t frame[9000];
    int fd;

    bench.th = th_new();
    bench.net =
        th_plug(bench.th, &backplane_plugin_v1, "lan", "interface = \"bptap0\"; mtu = 9000;");
    assert_non_null(bench.net);
    bench.wire = th_wire_open(bench.net, 0);
    th_wire_post(bench.wire, 5, 2048, 12, BP_NET_MERGE); /* just enough for the long one */
    fd = packet_socket("bptap0");
    for (uint32_t i = 0; i < 30; i++) {
        uint32_t length = i % 3 == 2 ? sizeof(frame) : 100;
        raw_frame(frame, length, (uint8_t)i);
        assert_int_equal(send(fd, frame, length, 0), (int)length);
    }
    wait_for(&bench, 0x88b5, 30);
    for (uint32_t i = 0; i < 30; i++) {
        assert_int_equal(frame_of(&bench, 0x88b5, i)->data[50], i);
    }
    (void)close(fd);
    bench_free(&bench);
}

static void
test_a_frame_too_long_for_the_posted_buffers_is_dropped_alone(void **state)
{
    struct bench bench;
    uint8_t frame[4000];
    int fd;

    bench_make(&bench, "interface = \"bptap0\"; mtu = 9000;", 0);
    fd = packet_socket("bptap0");
    raw_frame(frame, sizeof(frame), 5);
    assert_int_equal(send(fd, frame, sizeof(frame), 0), (int)sizeof(frame));
    raw_frame(frame, 100, 6);
    assert_int_equal(send(fd, frame, 100, 0), 100);
    wait_for(&bench, 0x88b5, 1);
    assert_int_equal(frame_of(&bench, 0x88b5, 0)->length, 100);
    (void)close(fd);
    bench_free(&bench);
}

static void
test_the_kernel_finishes_checksums_and_cuts_segments(void **state)
{
    struct bench bench;
    struct bp_net_offload offload;
    static uint8_t frame[8000], got[8000];
    uint32_t length;
    int fd;

    bench_make(&bench, "interface = \"bptap0\";", BP_NET_MERGE);
    set_address("bptap0");
    set_neighbour("bptap0");
    fd = udp_socket(5000);
    length = guest_udp(frame, 5000, 700, &offload);
    assert_int_equal(th_wire_send(bench.wire, frame, length, &offload), 1);
    assert_int_equal(recv(fd, got, sizeof(got), 0), 700);
    assert_memory_equal(got, frame + 42, 700);
    length = guest_udp(frame, 5000, 5300, &offload);
    offload.gso_type = BP_NET_GSO_UDP_L4;
    offload.gso_size = 1000;
    assert_int_equal(th_wire_send(bench.wire, frame, length, &offload), 1);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(recv(fd, got, sizeof(got), 0), i < 5 ? 1000 : 300);
        assert_memory_equal(got, frame + 42 + (size_t)i * 1000, i < 5 ? 1000 : 300);
    }
    offload.csum_start = 60000; /* nonsense is dropped, and does no harm */
    assert_int_equal(th_wire_send(bench.wire, frame, length, &offload), 1);
    offload.csum_start = 34;
    offload.gso_size = 0;
    assert_int_equal(th_wire_send(bench.wire, frame, length, &offload), 1);
    length = guest_udp(frame, 5000, 9, &offload);
    assert_int_equal(th_wire_send(bench.wire, frame, length, &offload), 1);
    assert_int_equal(recv(fd, got, sizeof(got), 0), 9);
    (void)close(fd);
    bench_free(&bench);
}

static void
assert_whole_checksum(const struct th_net_frame *frame)
{
    uint64_t sum = bp_net_pseudo_sum(frame->data + 14, 4, 17, frame->length - 34);

    assert_int_equal(frame->offload.flags & BP_NET_NEEDS_CSUM, 0);
    assert_int_equal(frame->offload.gso_type, BP_NET_GSO_NONE);
    assert_int_equal(bp_net_sum_fold(bp_net_sum(frame->data + 34, frame->length - 34, sum, 0)), 0);
}

static void
test_the_guest_gets_just_the_offloads_it_takes(void **state)
{
    static const uint8_t data[5300] = {1, 2, 3};
    const struct th_net_frame *frame;
    struct bench bench;
    int fd, segment = 1000;

    bench_make(&bench, "interface = \"bptap0\";", BP_NET_MERGE);
    set_address("bptap0");
    set_neighbour("bptap0");
    fd = udp_socket(5000);
    assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
    udp_send(fd, 6000, data, sizeof(data));
    wait_for(&bench, ETH_P_IP, 6);
    for (uint32_t i = 0; i < 6; i++) {
        frame = frame_of(&bench, ETH_P_IP, i);
        assert_int_equal(frame->length, 42 + (i < 5 ? 1000 : 300));
        assert_whole_checksum(frame);
    }
    th_wire_clear(bench.wire);
    assert_int_equal(th_wire_set_features(bench.wire, ALL), 0);
    udp_send(fd, 6000, data, sizeof(data));
    wait_for(&bench, ETH_P_IP, 1);
    frame = frame_of(&bench, ETH_P_IP, 0);
    assert_int_equal(frame->length, 42 + sizeof(data));
    assert_int_equal(frame->offload.gso_type, BP_NET_GSO_UDP_L4);
    assert_int_equal(frame->offload.gso_size, 1000);
    assert_int_equal(frame->offload.flags, BP_NET_NEEDS_CSUM);
    assert_int_equal(frame->offload.csum_start, 34);
    assert_int_equal(frame->offload.csum_offset, 6);
    assert_memory_equal(frame->data + 42, data, sizeof(data));
    th_wire_clear(bench.wire);
    assert_int_equal(th_wire_set_features(bench.wire, BP_NET_CSUM), 0);
    udp_send(fd, 6000, data, 900);
    wait_for(&bench, ETH_P_IP, 1);
    assert_int_equal(frame_of(&bench, ETH_P_IP, 0)->offload.flags, BP_NET_NEEDS_CSUM);
    assert_int_equal(th_wire_set_features(bench.wire, 1u << 31), -EINVAL);
    (void)close(fd);
    bench_free(&bench);
}

static void
test_what_waited_with_an_offload_that_was_given_up_does_not_come(void **state)
{
    static const uint8_t data[500] = {1, 2, 3};
    struct bench bench;
    int fd;

    bench_make(&bench, "interface = \"bptap0\";", BP_NET_MERGE);
    set_address("bptap0");
    set_neighbour("bptap0");
    fd = udp_socket(5000);
    assert_int_equal(th_wire_set_features(bench.wire, BP_NET_CSUM), 0);
    udp_send(fd, 6000, data, 400);
    assert_int_equal(th_wire_set_features(bench.wire, 0), 0);
    udp_send(fd, 6000, data, 500);
    wait_for(&bench, ETH_P_IP, 1);
    assert_int_equal(frame_of(&bench, ETH_P_IP, 0)->length, 542);
    assert_whole_checksum(frame_of(&bench, ETH_P_IP, 0));
    (void)close(fd);
    bench_free(&bench);
}

static void
test_a_full_interface_makes_the_guest_wait(void **state)
{
    struct bench bench;
    uint8_t frame[300];
    int fd;

    bench_make(&bench, "interface = \"bptap0\"; send_buffer = \"32K\";", 0);
    fd = packet_socket("bptap0");
    raw_frame(frame, sizeof(frame), 3);
    full = 1;
    assert_int_equal(th_wire_send(bench.wire, frame, sizeof(frame), NULL), 0);
    assert_int_equal(th_wire_writables(bench.wire), 0);
    full = 0;
    th_run(bench.th);
    assert_int_equal(th_wire_writables(bench.wire), 1);
    assert_int_equal(th_wire_send(bench.wire, frame, sizeof(frame), NULL), 1);
    assert_int_equal(recv(fd, frame, sizeof(frame), MSG_DONTWAIT), (int)sizeof(frame));
    assert_int_equal(recv(fd, frame, sizeof(frame), MSG_DONTWAIT), -1);
    (void)close(fd);
    bench_free(&bench);
}

/* A TCP segment of the guest for port 5000 of the host, its checksum left to others. */
static uint32_t
guest_tcp(uint8_t *frame, uint32_t sequence, uint32_t acknowledged, uint8_t flags, uint32_t length,
          struct bp_net_offload *offload)
{
    (void)guest_udp(frame, 5000, 12 + length, offload); /* with a header of 20 bytes */
    memmove(frame + 54, frame + 42, length);
    memset(frame + 38, 0, 16);
    frame[23] = BP_NET_IP_TCP;
    bp_net_store16(frame + 24, 0);
    bp_net_store16(frame + 24, bp_net_sum_fold(bp_net_sum(frame + 14, 20, 0, 0)));
    bp_net_store32(frame + 38, sequence);
    bp_net_store32(frame + 42, acknowledged);
    frame[46] = 0x50;
    frame[47] = flags;
    bp_net_store16(frame + 48, 65535);
    bp_net_store16(frame + 50, (uint16_t)~bp_net_sum_fold(
                                   bp_net_pseudo_sum(frame + 14, 4, BP_NET_IP_TCP, 20 + length)));
    offload->csum_offset = 16;
    offload->header_length = 54;
    return 54 + length;
}

static int
tcp_server(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(5000)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    here.sin_addr.s_addr = htonl(HOST_IP);
    assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void
test_tcp_goes_both_ways_in_segments_that_the_kernel_cuts_and_joins(void **state)
{
    static uint8_t frame[11000], got[10000];
    struct bench bench;
    struct bp_net_offload offload;
    const struct th_net_frame *answer;
    uint32_t length, theirs;
    int listener, fd;

    bench_make(&bench, "interface = \"bptap0\";", BP_NET_MERGE);
    set_address("bptap0");
    set_neighbour("bptap0");
    listener = tcp_server();
    length = guest_tcp(frame, 1000, 0, 2, 0, &offload); /* SYN */
    assert_int_equal(th_wire_send(bench.wire, frame, length, &offload), 1);
    wait_for(&bench, ETH_P_IP, 1);
    answer = frame_of(&bench, ETH_P_IP, 0);
    assert_int_equal(answer->data[47], 0x12); /* SYN, ACK */
    theirs = bp_net_load32(answer->data + 38) + 1;
    length = guest_tcp(frame, 1001, theirs, 0x10, 10000, &offload);
    offload.gso_type = BP_NET_GSO_TCP4;
    offload.gso_size = 1400;
    assert_int_equal(th_wire_send(bench.wire, frame, length, &offload), 1);
    fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    assert_int_equal(recv(fd, got, sizeof(got), MSG_WAITALL), 10000);
    assert_memory_equal(got, frame + 54, sizeof(got));
    th_run(bench.th);
    th_wire_clear(bench.wire); /* acknowledgements */
    assert_int_equal(th_wire_set_features(bench.wire, ALL), 0);
    assert_int_equal(send(fd, got, sizeof(got), MSG_DONTWAIT), sizeof(got));
    wait_for(&bench, ETH_P_IP, 1);
    answer = frame_of(&bench, ETH_P_IP, 0);
    assert_int_equal(answer->offload.gso_type, BP_NET_GSO_TCP4);
    assert_int_equal(answer->offload.flags, BP_NET_NEEDS_CSUM);
    assert_true(answer->length > 1514);
    assert_memory_equal(answer->data + 54, got, answer->length - 54);
    (void)close(fd);
    (void)close(listener);
    bench_free(&bench);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_go_both_ways_as_they_are),
        cmocka_unit_test(test_frames_wait_for_a_guest_without_buffers),
        cmocka_unit_test(test_a_long_frame_waits_for_buffers_that_it_can_be_merged_into),
        cmocka_unit_test(test_buffers_posted_while_frames_are_delivered_are_seen),
        cmocka_unit_test(test_a_frame_too_long_for_the_posted_buffers_is_dropped_alone),
        cmocka_unit_test(test_the_kernel_finishes_checksums_and_cuts_segments),
        cmocka_unit_test(test_the_guest_gets_just_the_offloads_it_takes),
        cmocka_unit_test(test_tcp_goes_both_ways_in_segments_that_the_kernel_cuts_and_joins),
        cmocka_unit_test(test_what_waited_with_an_offload_that_was_given_up_does_not_come),
        cmocka_unit_test(test_a_full_interface_makes_the_guest_wait),
    };

    return isolate() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
