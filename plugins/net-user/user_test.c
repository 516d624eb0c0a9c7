/* SPDX-License-Identifier: Apache-2.0 */
/* A guest whose frames are made by hand: see user_test.h. */
#include "user_test.h"

#include <string.h>

void
bench_make(struct bench *bench, const char *options)
{
    bench->th = th_new();
    bench->net = th_plug(bench->th, &backplane_plugin_v1, "wan", options);
    if (bench->net == NULL) {
        fail_msg("%s", th_error_text(bench->th));
    }
    bench->wire = th_wire_open(bench->net, 0);
    th_wire_post(bench->wire, 64, 2048, 12, 0);
}

void
bench_free(struct bench *bench)
{
    th_wire_close(bench->wire);
    th_free(bench->th);
}

uint32_t
make_udp(uint8_t *frame, struct udp_ends ends, const void *data, uint32_t length)
{
    memset(frame, 0, 42);
    memset(frame, 0xff, 6);
    memcpy(frame + 6, guest_mac, 6);
    frame[12] = 8;
    frame[14] = 0x45;
    bp_net_store16(frame + 16, 28 + length);
    frame[22] = 64;
    frame[23] = 17;
    bp_net_store32(frame + 26, ends.from);
    bp_net_store32(frame + 30, ends.to);
    bp_net_store16(frame + 24, bp_net_sum_fold(bp_net_sum(frame + 14, 20, 0, 0)));
    bp_net_store16(frame + 34, ends.source);
    bp_net_store16(frame + 36, ends.destination);
    bp_net_store16(frame + 38, 8 + length);
    memcpy(frame + 42, data, length);
    return 42 + length;
}

const uint8_t *
find_udp(struct bench *bench, uint16_t source, uint32_t *length)
{
    uint32_t count, i;
    const struct th_net_frame *frames = th_wire_frames(bench->wire, &count);

    for (i = 0; i < count; i++) {
        const uint8_t *data = frames[i].data;
        if (frames[i].length >= 42 && data[12] == 8 && data[13] == 0 && data[23] == 17 &&
            bp_net_load16(data + 34) == source) {
            *length = bp_net_load16(data + 38) - 8u;
            return data + 42;
        }
    }
    return NULL;
}

void
learn_address(struct bench *bench)
{
    uint8_t arp[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6,
                       0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0, 0, 0, 1};
    uint32_t count;
    const struct th_net_frame *frames;

    bp_net_store32(arp + 28, GUEST_IP);
    bp_net_store32(arp + 38, ROUTER_IP);
    assert_int_equal(th_wire_send(bench->wire, arp, sizeof(arp), NULL), 1);
    assert_true(th_wire_wait(bench->wire, 1, WAIT_MS));
    frames = th_wire_frames(bench->wire, &count);
    assert_int_equal(bp_net_load16(frames[0].data + 20), 2);
    assert_int_equal(bp_net_load32(frames[0].data + 28), ROUTER_IP);
    th_wire_clear(bench->wire);
}

/* --- TCP ------------------------------------------------------------------------------------- */

void
tcp_send(struct guest_tcp *tcp, uint32_t flags, const void *data, uint32_t length)
{
    uint8_t frame[1600];
    uint64_t sum;

    (void)make_udp(frame, (struct udp_ends){GUEST_IP, tcp->peer, tcp->port, tcp->peer_port}, "", 0);
    memset(frame + 34, 0, 20);
    frame[23] = BP_NET_IP_TCP;
    bp_net_store16(frame + 16, 40 + length);
    bp_net_store16(frame + 24, 0);
    bp_net_store16(frame + 24, bp_net_sum_fold(bp_net_sum(frame + 14, 20, 0, 0)));
    bp_net_store16(frame + 34, tcp->port);
    bp_net_store16(frame + 36, tcp->peer_port);
    bp_net_store32(frame + 38, tcp->sequence);
    bp_net_store32(frame + 42, flags & TCP_ACK ? tcp->acknowledged : 0);
    frame[46] = 0x50;
    frame[47] = (uint8_t)flags;
    bp_net_store16(frame + 48, 60000);
    memcpy(frame + 54, data, length);
    sum = bp_net_pseudo_sum(frame + 14, 4, BP_NET_IP_TCP, 20 + length);
    bp_net_store16(frame + 50, bp_net_sum_fold(bp_net_sum(frame + 34, 20 + length, sum, 0)));
    assert_int_equal(th_wire_send(tcp->bench->wire, frame, 54 + length, NULL), 1);
    tcp->sequence += length + ((flags & (TCP_SYN | TCP_FIN)) != 0);
}

struct segment {
    const struct guest_tcp *tcp;
    const uint8_t *frame;
};

/* Looks for a segment that says something new. */
static int
find_segment(void *opaque)
{
    struct segment *segment = opaque;
    const struct guest_tcp *tcp = segment->tcp;
    uint32_t count;
    const struct th_net_frame *frames = th_wire_frames(tcp->bench->wire, &count);

    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *data = frames[i].data;
        uint32_t length = bp_net_load16(data + 16) - 20u;
        if (frames[i].length < 54 || bp_net_load16(data + 12) != BP_NET_ETH_IP4 ||
            data[23] != BP_NET_IP_TCP || bp_net_load16(data + 36) != tcp->port ||
            (tcp->peer_port != 0 && bp_net_load16(data + 34) != tcp->peer_port)) {
            continue;
        }
        length -= (data[46] >> 4) * 4u;
        if ((data[47] & (TCP_SYN | 4)) != 0 || (bp_net_load32(data + 38) == tcp->acknowledged &&
                                                (length > 0 || (data[47] & TCP_FIN) != 0))) {
            segment->frame = data;
            return 1;
        }
    }
    return 0;
}

int32_t
tcp_receive(struct guest_tcp *tcp, uint32_t *flags, void *data, uint32_t size)
{
    struct segment segment = {.tcp = tcp};
    uint32_t length, header;

    if (!th_run_until(tcp->bench->th, find_segment, &segment, WAIT_MS)) {
        return -1;
    }
    header = (segment.frame[46] >> 4) * 4u;
    length = bp_net_load16(segment.frame + 16) - 20u - header;
    *flags = segment.frame[47];
    tcp->peer_port = bp_net_load16(segment.frame + 34);
    tcp->peer = bp_net_load32(segment.frame + 26);
    tcp->acknowledged =
        bp_net_load32(segment.frame + 38) + length + ((*flags & (TCP_SYN | TCP_FIN)) != 0);
    memcpy(data, segment.frame + 34 + header, bp_min_u32(length, size));
    th_wire_clear(tcp->bench->wire);
    return (int32_t)length;
}

int
tcp_connect(struct guest_tcp *tcp)
{
    uint32_t flags;
    uint8_t none;

    tcp_send(tcp, TCP_SYN, "", 0);
    if (tcp_receive(tcp, &flags, &none, 0) < 0 || flags != (TCP_SYN | TCP_ACK)) {
        return 0;
    }
    tcp_send(tcp, TCP_ACK, "", 0);
    return 1;
}

int
tcp_accept(struct guest_tcp *tcp, uint16_t port)
{
    uint32_t flags;
    uint8_t none;

    tcp->port = port;
    tcp->peer_port = 0;
    if (tcp_receive(tcp, &flags, &none, 0) < 0 || flags != TCP_SYN) {
        return 0;
    }
    tcp_send(tcp, TCP_SYN | TCP_ACK, "", 0);
    return 1;
}
