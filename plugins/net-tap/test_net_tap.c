/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/net-tap on the fake core, in a network namespace of its own: the peer is the kernel, by
 * packet sockets and by UDP. Needs root, or user namespaces. */
#include <backplane/sdk/net.h>
#include <backplane/testhost.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS  5000u
#define HOST_IP  0x0a090001u
#define GUEST_IP 0x0a090002u
#define ALL      (BP_NET_CSUM | BP_NET_TSO4 | BP_NET_TSO6 | BP_NET_ECN | BP_NET_USO4 | BP_NET_USO6)

static const uint8_t guest_mac[6] = {2, 0, 0, 0, 0, 1};

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

/* --- the kernel's side ------------------------------------------------------------------------ */

static void
set_address(const char *name)
{
    struct ifreq request = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&request.ifr_addr;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(HOST_IP);
    assert_int_equal(ioctl(fd, SIOCSIFADDR, &request), 0);
    in->sin_addr.s_addr = htonl(0xffffff00);
    assert_int_equal(ioctl(fd, SIOCSIFNETMASK, &request), 0);
    (void)close(fd);
}

/* Tells the kernel where the guest is. */
static void
set_neighbour(const char *name)
{
    struct arpreq request = {.arp_flags = ATF_COM | ATF_PERM};
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&request.arp_pa;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(GUEST_IP);
    memcpy(request.arp_ha.sa_data, guest_mac, 6);
    (void)snprintf(request.arp_dev, sizeof(request.arp_dev), "%s", name);
    assert_int_equal(ioctl(fd, SIOCSARP, &request), 0);
    (void)close(fd);
}

static int
udp_socket(uint16_t port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval timeout = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    here.sin_addr.s_addr = htonl(HOST_IP);
    assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    return fd;
}

static void
udp_send(int fd, uint16_t port, const void *data, size_t length)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port)};

    there.sin_addr.s_addr = htonl(GUEST_IP);
    assert_int_equal(sendto(fd, data, length, 0, (struct sockaddr *)&there, sizeof(there)),
                     (int)length);
}

/* A socket for raw frames of ethertype 88b5 on the interface. */
static int
packet_socket(const char *name)
{
    struct sockaddr_ll here = {.sll_family = AF_PACKET, .sll_protocol = htons(0x88b5)};
    struct timeval timeout = {.tv_sec = 5};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x88b5));

    here.sll_ifindex = (int)if_nametoindex(name);
    assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    return fd;
}

static void
raw_frame(uint8_t *frame, uint32_t length, uint8_t fill)
{
    memset(frame, fill, length);
    memset(frame, 0xff, 6);
    memcpy(frame + 6, guest_mac, 6);
    bp_net_store16(frame + 12, 0x88b5);
}

/* --- the plugin ------------------------------------------------------------------------------- */

struct bench {
    struct th_host *th;
    struct bp_instance *net;
    struct th_wire *wire;
};

static void
bench_make(struct bench *bench, const char *options, uint32_t merge)
{
    bench->th = th_new();
    bench->net = th_plug(bench->th, &backplane_plugin_v1, "lan", options);
    if (bench->net == NULL) {
        fail_msg("%s", th_error_text(bench->th));
    }
    bench->wire = th_wire_open(bench->net, 0);
    th_wire_post(bench->wire, 64, 2048, 12, merge);
}

static void
bench_free(struct bench *bench)
{
    th_wire_close(bench->wire);
    th_free(bench->th);
}

static uint32_t
type_of(const struct th_net_frame *frame)
{
    return frame->length >= 14 ? bp_net_load16(frame->data + 12) : 0;
}

struct search {
    struct th_wire *wire;
    uint32_t type, wanted, found;
};

static int
has_frames(void *opaque)
{
    struct search *search = opaque;
    uint32_t count;
    const struct th_net_frame *frames = th_wire_frames(search->wire, &count);

    search->found = 0;
    for (uint32_t i = 0; i < count; i++) {
        search->found += type_of(&frames[i]) == search->type;
    }
    return search->found >= search->wanted;
}

/* Waits for `wanted` frames of a type; the kernel sends others, too. */
static void
wait_for(struct bench *bench, uint32_t type, uint32_t wanted)
{
    struct search search = {.wire = bench->wire, .type = type, .wanted = wanted};

    if (!th_run_until(bench->th, has_frames, &search, WAIT_MS)) {
        fail_msg("%u frames of type %x, not %u", search.found, type, wanted);
    }
}

/* The n-th received frame of a type. */
static const struct th_net_frame *
frame_of(struct bench *bench, uint32_t type, uint32_t n)
{
    uint32_t count;
    const struct th_net_frame *frames = th_wire_frames(bench->wire, &count);

    for (uint32_t i = 0; i < count; i++) {
        if (type_of(&frames[i]) == type && n-- == 0) {
            return &frames[i];
        }
    }
    fail_msg("no such frame of type %x", type);
    return NULL;
}

/* A UDP datagram of the guest for the host, with the pseudo header's sum only. */
static uint32_t
guest_udp(uint8_t *frame, uint16_t port, uint32_t length, struct bp_net_offload *offload)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "bptap0");
    assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &request), 0);
    (void)close(fd);
    memset(frame, 0, 42);
    memcpy(frame, request.ifr_hwaddr.sa_data, 6);
    memcpy(frame + 6, guest_mac, 6);
    bp_net_store16(frame + 12, ETH_P_IP);
    frame[14] = 0x45;
    bp_net_store16(frame + 16, 28 + length);
    frame[22] = 64;
    frame[23] = 17;
    bp_net_store32(frame + 26, GUEST_IP);
    bp_net_store32(frame + 30, HOST_IP);
    bp_net_store16(frame + 24, bp_net_sum_fold(bp_net_sum(frame + 14, 20, 0, 0)));
    bp_net_store16(frame + 34, 4000);
    bp_net_store16(frame + 36, port);
    bp_net_store16(frame + 38, 8 + length);
    for (uint32_t i = 0; i < length; i++) {
        frame[42 + i] = (uint8_t)(i / 1000 + i);
    }
    bp_net_store16(frame + 40,
                   (uint16_t)~bp_net_sum_fold(bp_net_pseudo_sum(frame + 14, 4, 17, 8 + length)));
    *offload = (struct bp_net_offload){
        .flags = BP_NET_NEEDS_CSUM, .header_length = 42, .csum_start = 34, .csum_offset = 6};
    return 42 + length;
}

/* --- tests ------------------------------------------------------------------------------------ */

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

/* Datagrams of `flows` flows, until `count` of them came by these two. */
static void
spread(struct th_host *th, struct th_wire **wires, uint32_t flows, uint32_t *counts)
{
    uint32_t all = 0, rounds = 0;

    for (uint32_t i = 0; i < flows; i++) {
        int fd = udp_socket((uint16_t)(7000 + i));
        udp_send(fd, 6000, "x", 1);
        (void)close(fd);
    }
    while (all < flows && rounds++ < 1000) {
        th_run(th);
        all = 0;
        for (uint32_t k = 0; k < 2; k++) {
            struct search search = {.wire = wires[k], .type = ETH_P_IP, .wanted = UINT32_MAX};
            (void)has_frames(&search);
            counts[k] = search.found;
            all += search.found;
        }
    }
    assert_int_equal(all, flows);
    th_wire_clear(wires[0]);
    th_wire_clear(wires[1]);
}

static void
test_flows_go_to_the_queues_that_take_part(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *net =
        th_plug(th, &backplane_plugin_v1, "lan", "interface = \"bptap0\"; queues = 3;");
    const struct bp_net_ops *ops = net != NULL ? th_table(net, BP_NET_ID) : NULL;
    struct th_wire *wires[2];
    uint32_t counts[2];

    if (ops == NULL) {
        fail_msg("%s", th_error_text(th));
        return;
    }
    set_address("bptap0");
    set_neighbour("bptap0");
    for (uint32_t i = 0; i < 2; i++) { /* the third is never opened: nothing may go there */
        wires[i] = th_wire_open(net, i);
        th_wire_post(wires[i], 64, 2048, 12, 0);
    }
    assert_null(th_wire_open(net, 1));
    assert_int_equal(th_status(th), -EBUSY);
    assert_null(th_wire_open(net, 3));
    assert_int_equal(th_status(th), -ENOENT);
    spread(th, wires, 100, counts);
    assert_true(counts[0] > 0 && counts[1] > 0);
    ops->queue_enable(th_self(net), th_wire_queue(wires[1]), 0);
    spread(th, wires, 100, counts);
    assert_int_equal(counts[0], 100);
    ops->queue_enable(th_self(net), th_wire_queue(wires[1]), 1);
    spread(th, wires, 100, counts);
    assert_true(counts[1] > 0);
    th_wire_close(wires[0]);
    th_wire_close(wires[1]);
    th_free(th);
}

static int
open_tap(const char *name, uint32_t flags)
{
    struct ifreq request = {0};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    request.ifr_flags = (short)flags;
    assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
    return fd;
}

static void
test_descriptors_are_queues_too(void **state)
{
    struct th_host *th = th_new();
    int tap[2], fd;
    struct bp_instance *net;
    struct th_wire *wires[2];
    uint32_t counts[2];
    char options[64];

    for (uint32_t i = 0; i < 2; i++) {
        tap[i] = open_tap("bptap0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
    }
    (void)snprintf(options, sizeof(options), "fds = [%d, %d];", tap[0], tap[1]);
    net = th_plug(th, &backplane_plugin_v1, "lan", options);
    if (net == NULL) {
        fail_msg("%s", th_error_text(th));
    }
    set_address("bptap0");
    set_neighbour("bptap0");
    for (uint32_t i = 0; i < 2; i++) {
        wires[i] = th_wire_open(net, i);
        th_wire_post(wires[i], 64, 2048, 12, 0);
    }
    spread(th, wires, 60, counts);
    assert_true(counts[0] > 0 && counts[1] > 0);
    th_wire_close(wires[0]);
    th_wire_close(wires[1]);
    th_free(th);
    fd = packet_socket("bptap0"); /* it was never ours: it is still there */
    (void)close(fd);
    (void)close(tap[0]);
    (void)close(tap[1]);
}

static void
test_an_interface_that_is_deleted_takes_the_link_with_it(void **state)
{
    struct bench bench;
    uint8_t frame[60];

    bench_make(&bench, "interface = \"bptap0\";", 0);
    assert_int_equal(th_wire_info_flags(bench.wire) & BP_NET_LINK_UP, BP_NET_LINK_UP);
    assert_int_equal(system("ip link delete bptap0"), 0);
    assert_true(th_wire_wait_event(bench.wire, BP_NET_EVENT_LINK, 1, WAIT_MS));
    assert_int_equal(th_wire_info_flags(bench.wire) & BP_NET_LINK_UP, 0);
    raw_frame(frame, sizeof(frame), 1);
    assert_int_equal(th_wire_send(bench.wire, frame, sizeof(frame), NULL), 1);
    assert_true(th_logged(bench.th, "interface 'bptap0' is gone"));
    bench_free(&bench);
}

static void
test_scripts_get_the_name_and_a_bridge_its_port(void **state)
{
    char directory[] = "/tmp/backplane-tap-XXXXXX", path[64], said[64], options[300];
    struct bench bench;
    FILE *file;

    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/script", directory);
    (void)snprintf(said, sizeof(said), "%s/said", directory);
    file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "#!/bin/sh\necho $1 >> %s\n", said);
    (void)fclose(file);
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(system("ip link add bpbr0 type bridge"), 0);
    (void)snprintf(options, sizeof(options),
                   "script = \"%s\"; down_script = \"%s\"; bridge = \"bpbr0\"; mtu = 1400;", path,
                   path);
    bench_make(&bench, options, 0);
    assert_int_equal(access("/sys/class/net/tap0", F_OK), -1); /* sysfs shows the outer namespace */
    assert_int_equal(system("ip link show master bpbr0 | grep -q 'tap0.*mtu 1400'"), 0);
    bench_free(&bench);
    (void)snprintf(options, sizeof(options), "test \"$(cat %s)\" = \"$(printf 'tap0\\ntap0')\"",
                   said);
    assert_int_equal(system(options), 0);
    assert_int_equal(system("ip link delete bpbr0"), 0);
    (void)unlink(path);
    (void)unlink(said);
    (void)rmdir(directory);
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

static void
assert_refused(const char *options, const char *text)
{
    struct th_host *th = th_new();

    assert_null(th_plug(th, &backplane_plugin_v1, "lan", options));
    if (strstr(th_error_text(th), text) == NULL) {
        fail_msg("'%s' does not say '%s'", th_error_text(th), text);
    }
    th_free(th);
}

static void
test_impossible_descriptions_are_refused_with_a_reason(void **state)
{
    int tun = open_tap("bptun0", IFF_TUN | IFF_NO_PI);
    int tap = open_tap("bptap1", IFF_TAP | IFF_NO_PI);
    char options[64];

    assert_refused("interface = \"averyveryverylongname\";", "longer than the name");
    assert_refused("interface = \"lo\";", "already, but not as a TAP interface");
    assert_refused("interface = \"bptap1\";", "in use by another program");
    assert_refused("interface = \"bptap0\"; fds = [5];", "not both");
    assert_refused("fds = [1000];", "not one of a TAP interface");
    (void)snprintf(options, sizeof(options), "fds = [%d];", tun);
    assert_refused(options, "must have been made with IFF_TAP");
    assert_refused("bridge = \"bpnobr\";", "there is no bridge 'bpnobr'");
    assert_refused("bridge = \"lo\";", "is no bridge");
    assert_refused("script = \"/nonexistent/script\";", "cannot run '/nonexistent/script'");
    assert_refused("script = \"/bin/false\";", "ended with a failure");
    assert_refused("mtu = 20;", "cannot set the MTU");
    (void)close(tun);
    (void)close(tap);
}

static void
test_who_may_not_is_told_what_to_do(void **state)
{
    struct stat status;
    uid_t uid = geteuid();

    assert_int_equal(stat("/dev/net/tun", &status), 0);
    if (uid != 0) {
        skip();
    }
    assert_int_equal(seteuid(65534), 0);
    assert_refused("interface = \"bptap0\";",
                   (status.st_mode & 2) != 0 ? "have root make it" : "ask for access to it");
    assert_int_equal(seteuid(uid), 0);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    assert_true(
        th_fail_each_call(&backplane_plugin_v1, NULL, "interface = \"bptap0\";", NULL, NULL) >= 1);
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
        cmocka_unit_test(test_what_waited_with_an_offload_that_was_given_up_does_not_come),
        cmocka_unit_test(test_flows_go_to_the_queues_that_take_part),
        cmocka_unit_test(test_descriptors_are_queues_too),
        cmocka_unit_test(test_an_interface_that_is_deleted_takes_the_link_with_it),
        cmocka_unit_test(test_scripts_get_the_name_and_a_bridge_its_port),
        cmocka_unit_test(test_a_full_interface_makes_the_guest_wait),
        cmocka_unit_test(test_impossible_descriptions_are_refused_with_a_reason),
        cmocka_unit_test(test_who_may_not_is_told_what_to_do),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };
    int fd;

    if ((unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) ||
        access("/dev/net/tun", R_OK | W_OK) != 0) {
        (void)printf("1..0 # SKIP no network namespace or no /dev/net/tun here: %s\n",
                     strerror(errno));
        return 77;
    }
    fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) { /* it would talk */
        (void)!write(fd, "1", 1);
        (void)close(fd);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
