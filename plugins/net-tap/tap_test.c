/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's card on a TAP interface, and the kernel on its other side: see tap_test.h. */
#include "tap_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int
isolate(void)
{
    int fd;

    if ((unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) ||
        access("/dev/net/tun", R_OK | W_OK) != 0) {
        (void)printf("1..0 # SKIP no network namespace or no /dev/net/tun here: %s\n",
                     strerror(errno));
        return 0;
    }
    fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) { /* it would talk */
        (void)!write(fd, "1", 1);
        (void)close(fd);
    }
    return 1;
}

void
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

void
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

int
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

void
udp_send(int fd, uint16_t port, const void *data, size_t length)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port)};

    there.sin_addr.s_addr = htonl(GUEST_IP);
    assert_int_equal(sendto(fd, data, length, 0, (struct sockaddr *)&there, sizeof(there)),
                     (int)length);
}

int
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

void
raw_frame(uint8_t *frame, uint32_t length, uint8_t fill)
{
    memset(frame, fill, length);
    memset(frame, 0xff, 6);
    memcpy(frame + 6, guest_mac, 6);
    bp_net_store16(frame + 12, 0x88b5);
}

void
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

void
bench_free(struct bench *bench)
{
    th_wire_close(bench->wire);
    th_free(bench->th);
}

uint32_t
type_of(const struct th_net_frame *frame)
{
    return frame->length >= 14 ? bp_net_load16(frame->data + 12) : 0;
}

int
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

void
wait_for(struct bench *bench, uint32_t type, uint32_t wanted)
{
    struct search search = {.wire = bench->wire, .type = type, .wanted = wanted};

    if (!th_run_until(bench->th, has_frames, &search, WAIT_MS)) {
        fail_msg("%u frames of type %x, not %u", search.found, type, wanted);
    }
}

const struct th_net_frame *
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

uint32_t
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
