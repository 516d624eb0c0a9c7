/* SPDX-License-Identifier: Apache-2.0 */
/* sdk/net: queues, lines of frames, headers, segmentation, hashes. Checksums are checked with the
 * plainest possible sum. */
#include <backplane/sdk/net.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- a client that counts -------------------------------------------------------------------- */

struct seen {
    struct bp_net_received records[256];
    uint32_t count, calls, writables;
};

static void
seen_receive(void *opaque, const struct bp_net_received *records, uint32_t count)
{
    struct seen *seen = opaque;

    memcpy(seen->records + seen->count, records, count * sizeof(*records));
    seen->count += count;
    seen->calls++;
}

static void
seen_transmitted(void *opaque, const uint64_t *users, uint32_t count)
{
    (void)opaque;
    (void)users;
    (void)count;
}

static void
seen_writable(void *opaque)
{
    ((struct seen *)opaque)->writables++;
}

static const struct bp_net_client seen_client = {
    .size = sizeof(seen_client),
    .receive = seen_receive,
    .transmitted = seen_transmitted,
    .writable = seen_writable,
};

static void
open_queue(struct bp_net_queue *queue, struct seen *seen, uint32_t depth)
{
    struct bp_net_queue_args args = {.size = sizeof(args),
                                     .tx_depth = 8,
                                     .rx_depth = depth,
                                     .client = &seen_client,
                                     .opaque = seen};

    memset(seen, 0, sizeof(*seen));
    assert_int_equal(bp_net_queue_init(queue, &args, 1), 0);
}

static void
test_wrong_queue_arguments_are_refused(void **state)
{
    struct bp_net_client client = seen_client;
    struct bp_net_queue_args good = {
        .size = sizeof(good), .tx_depth = 1, .rx_depth = 1, .client = &client};
    struct {
        struct bp_net_queue_args args;
        uint64_t tail;
    } longer;
    struct bp_net_queue queue;
    struct bp_net_queue_args bad;

    bad = good;
    bad.flags = 2;
    assert_int_equal(bp_net_queue_init(&queue, &bad, 1), -EINVAL);
    bad = good;
    bad.tx_depth = 0;
    assert_int_equal(bp_net_queue_init(&queue, &bad, 1), -EINVAL);
    bad = good;
    bad.rx_depth = BP_NET_MAX_DEPTH + 1;
    assert_int_equal(bp_net_queue_init(&queue, &bad, 1), -EINVAL);
    bad = good;
    bad.index = 1;
    assert_int_equal(bp_net_queue_init(&queue, &bad, 1), -ENOENT);
    bad = good;
    bad.client = NULL;
    assert_int_equal(bp_net_queue_init(&queue, &bad, 1), -EINVAL);
    client.writable = NULL;
    assert_int_equal(bp_net_queue_init(&queue, &good, 1), -EINVAL);
    client = seen_client;
    longer.args = good;
    longer.args.size = sizeof(longer);
    longer.tail = 1;
    assert_int_equal(bp_net_queue_init(&queue, &longer.args, 1), -E2BIG);
    longer.tail = 0;
    assert_int_equal(bp_net_queue_init(&queue, &longer.args, 1), 0);
    bp_net_queue_done(&queue);
}

static void
test_a_frame_fills_several_buffers_behind_the_headroom_of_the_first(void **state)
{
    struct bp_net_queue queue;
    struct seen seen;
    uint8_t memory[3][40], frame[70];
    struct bp_iovec pieces[4] = {
        {memory[0], 10}, {memory[0] + 10, 30}, {memory[1], 40}, {memory[2], 40}};
    struct bp_net_buffer buffers[3] = {{.user = 7,
                                        .iov = &pieces[0],
                                        .iov_count = 2,
                                        .headroom = 12,
                                        .length = 40,
                                        .flags = BP_NET_MERGE},
                                       {.user = 8,
                                        .iov = &pieces[2],
                                        .iov_count = 1,
                                        .headroom = 12,
                                        .length = 40,
                                        .flags = BP_NET_MERGE},
                                       {.user = 9,
                                        .iov = &pieces[3],
                                        .iov_count = 1,
                                        .headroom = 12,
                                        .length = 40,
                                        .flags = BP_NET_MERGE}};
    uint32_t i;

    for (i = 0; i < sizeof(frame); i++) {
        frame[i] = (uint8_t)(i + 1);
    }
    memset(memory, 0, sizeof(memory));
    open_queue(&queue, &seen, 3);
    assert_int_equal(bp_net_queue_post(&queue, buffers, 3), 3);
    assert_int_equal(bp_net_queue_post(&queue, buffers, 1), 0);
    assert_int_equal(bp_net_rx_copy(&queue, frame, 68, NULL), 1);
    assert_int_equal(seen.count, 0);
    bp_net_rx_deliver(&queue);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.records[0].user, 7);
    assert_int_equal(seen.records[0].length, 28);
    assert_int_equal(seen.records[0].buffers, 2);
    assert_int_equal(seen.records[0].flags, BP_NET_MORE);
    assert_int_equal(seen.records[1].length, 40);
    assert_int_equal(seen.records[1].flags, 0);
    assert_int_equal(memory[0][11], 0);
    assert_memory_equal(memory[0] + 12, frame, 28);
    assert_memory_equal(memory[1], frame + 28, 40);
    /* one buffer left, and more could be posted: wait; with all of them posted: never */
    assert_int_equal(bp_net_rx_copy(&queue, frame, 70, NULL), 0);
    assert_int_equal(bp_net_queue_post(&queue, buffers, 2), 2);
    assert_int_equal(bp_net_rx_copy(&queue, frame, 70, NULL), 1);
    bp_net_queue_flush(&queue);
    bp_net_rx_deliver(&queue);
    assert_int_equal(seen.count, 2);
    bp_net_queue_done(&queue);
}

static void
test_without_merging_a_frame_that_is_too_long_is_dropped_and_the_buffer_kept(void **state)
{
    struct bp_net_queue queue;
    struct seen seen;
    uint8_t memory[64], frame[100] = {1};
    struct bp_iovec piece = {memory, sizeof(memory)};
    struct bp_net_buffer buffer = {.iov = &piece, .iov_count = 1, .headroom = 4, .length = 64};

    open_queue(&queue, &seen, 4);
    assert_int_equal(bp_net_rx_copy(&queue, frame, 60, NULL), 0);
    assert_int_equal(bp_net_queue_post(&queue, &buffer, 1), 1);
    assert_int_equal(bp_net_rx_copy(&queue, frame, 61, NULL), -EMSGSIZE);
    assert_int_equal(bp_net_queue_posted(&queue), 1);
    assert_int_equal(bp_net_rx_copy(&queue, frame, 60, NULL), 1);
    bp_net_rx_deliver(&queue);
    assert_int_equal(seen.count, 1);
    bp_net_queue_done(&queue);
}

static void
test_a_fifo_keeps_order_over_its_end_and_is_bounded(void **state)
{
    struct bp_net_fifo fifo;
    struct bp_net_offload offload = {.gso_size = 5}, got;
    uint8_t frame[600];
    uint32_t pushed = 0, popped = 0, length, round;
    const uint8_t *data;

    assert_int_equal(bp_net_fifo_init(&fifo, 4096), 0);
    for (round = 0; round < 2000; round++) {
        uint32_t size = 14 + (pushed * 37) % 580;
        memset(frame, (int)(pushed & 0xff), size);
        offload.gso_size = (uint16_t)(pushed + 1);
        if (bp_net_fifo_push(&fifo, frame, size, &offload)) {
            pushed++;
            continue;
        }
        assert_true(fifo.count >= 3);
        data = bp_net_fifo_peek(&fifo, &length, &got);
        assert_non_null(data);
        assert_int_equal(length, 14 + (popped * 37) % 580);
        assert_int_equal(data[0], popped & 0xff);
        assert_int_equal(data[length - 1], popped & 0xff);
        assert_int_equal(got.gso_size, popped + 1);
        bp_net_fifo_pop(&fifo);
        popped++;
    }
    assert_true(popped > 500);
    while (bp_net_fifo_peek(&fifo, &length, NULL) != NULL) {
        bp_net_fifo_pop(&fifo);
        popped++;
    }
    assert_int_equal(popped, pushed);
    bp_net_fifo_done(&fifo);
}

/* --- frames ---------------------------------------------------------------------------------- */

static uint16_t
plain_sum(const uint8_t *data, uint32_t length, uint32_t sum)
{
    uint32_t i;

    for (i = 0; i + 1 < length; i += 2) {
        sum += (uint32_t)(data[i] << 8 | data[i + 1]);
    }
    if (length & 1) {
        sum += (uint32_t)data[length - 1] << 8;
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)sum;
}

/* Ethernet (with a tag), IP of a version, TCP with 12 bytes of options or UDP, payload. Returns the
 * offset of the IP header; *l4: of the next one. */
static uint32_t
build(uint8_t *frame, uint32_t version, uint32_t protocol, uint32_t payload, uint32_t *l4)
{
    uint32_t l3 = 18, size = protocol == BP_NET_IP_TCP ? 32 : 8, i;
    static const uint8_t ethernet[18] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0x20, 5};

    memcpy(frame, ethernet, sizeof(ethernet));
    *l4 = l3 + (version == 4 ? 20 : 40);
    bp_net_store16(frame + 16, version == 4 ? BP_NET_ETH_IP4 : BP_NET_ETH_IP6);
    memset(frame + l3, 0, *l4 - l3 + size);
    for (i = 0; i < payload; i++) {
        frame[*l4 + size + i] = (uint8_t)(i * 7 + (i >> 8));
    }
    if (version == 4) {
        frame[l3] = 0x45;
        bp_net_store16(frame + l3 + 2, *l4 - l3 + size + payload);
        bp_net_store16(frame + l3 + 4, 0xfffe);
        frame[l3 + 8] = 64;
        frame[l3 + 9] = (uint8_t)protocol;
        bp_net_store32(frame + l3 + 12, 0x0a000001);
        bp_net_store32(frame + l3 + 16, 0x0a000002);
    } else {
        frame[l3] = 0x60;
        bp_net_store16(frame + l3 + 4, size + payload);
        frame[l3 + 6] = (uint8_t)protocol;
        frame[l3 + 7] = 64;
        memset(frame + l3 + 8, 0x11, 16);
        memset(frame + l3 + 24, 0x22, 16);
    }
    if (protocol == BP_NET_IP_TCP) {
        bp_net_store32(frame + *l4 + 4, 0xfffff000);
        frame[*l4 + 12] = 0x80;
        frame[*l4 + 13] = 0x99; /* CWR ACK PSH FIN */
    } else {
        bp_net_store16(frame + *l4 + 4, size + payload);
    }
    return l3;
}

static uint32_t
flatten(const struct bp_net_frame *frame, uint8_t *out)
{
    return (uint32_t)bp_net_iov_copy(frame->iov, frame->iov_count, 0, out, 70000);
}

static void
check_l4(const uint8_t *frame, uint32_t version, uint32_t protocol, uint32_t l3, uint32_t l4,
         uint32_t length)
{
    uint32_t sum = protocol + (length - l4);

    sum += version == 4 ? plain_sum(frame + l3 + 12, 8, 0) : plain_sum(frame + l3 + 8, 32, 0);
    assert_int_equal(plain_sum(frame + l4, length - l4, sum), 0xffff);
}

static void
segment_case(uint32_t version, uint32_t protocol, uint32_t payload, uint32_t mss)
{
    static uint8_t frame[70000], out[70000], header[BP_NET_SEGMENT_HEADER];
    uint32_t l4, l3 = build(frame, version, protocol, payload, &l4), i;
    uint32_t size = l4 + (protocol == BP_NET_IP_TCP ? 32 : 8), at = 0;
    struct bp_iovec pieces[4] = {{frame, 5}, {frame + 5, 60}, {frame + 65, 1001}, {NULL, 0}};
    struct bp_iovec iov[8];
    struct bp_net_frame whole = {.iov = pieces, .iov_count = 4, .length = size + payload}, one;
    struct bp_net_segmenter segmenter;
    int32_t count;

    pieces[3] = (struct bp_iovec){frame + 1066, size + payload - 1066};
    whole.offload.flags = BP_NET_NEEDS_CSUM;
    whole.offload.gso_type = protocol == BP_NET_IP_UDP ? BP_NET_GSO_UDP_L4
                             : version == 4            ? BP_NET_GSO_TCP4 | BP_NET_GSO_ECN
                                                       : BP_NET_GSO_TCP6 | BP_NET_GSO_ECN;
    whole.offload.gso_size = (uint16_t)mss;
    count = bp_net_segment_begin(&segmenter, &whole, 1);
    assert_int_equal(count, (payload + mss - 1) / mss);
    for (i = 0; i < (uint32_t)count; i++) {
        uint32_t length, part = payload - at < mss ? payload - at : mss;
        assert_int_equal(bp_net_segment_next(&segmenter, header, iov, 8, &one), 1);
        length = flatten(&one, out);
        assert_int_equal(length, size + part);
        assert_int_equal(length, one.length);
        assert_int_equal(one.offload.flags | one.offload.gso_type, 0);
        assert_memory_equal(out, frame, l3);
        assert_memory_equal(out + size, frame + size + at, part);
        check_l4(out, version, protocol, l3, l4, length);
        if (version == 4) {
            assert_int_equal(plain_sum(out + l3, 20, 0), 0xffff);
            assert_int_equal(bp_net_load16(out + l3 + 2), length - l3);
            assert_int_equal(bp_net_load16(out + l3 + 4), (0xfffe + i) & 0xffff);
        } else {
            assert_int_equal(bp_net_load16(out + l3 + 4), length - l4);
        }
        if (protocol == BP_NET_IP_TCP) {
            assert_int_equal(bp_net_load32(out + l4 + 4), 0xfffff000 + at);
            assert_int_equal(out[l4 + 13],
                             0x10 | (i == 0 ? 0x80 : 0) | (i + 1 == (uint32_t)count ? 0x09 : 0));
        } else {
            assert_int_equal(bp_net_load16(out + l4 + 4), 8 + part);
        }
        at += part;
    }
    assert_int_equal(at, payload);
    assert_int_equal(bp_net_segment_next(&segmenter, header, iov, 8, &one), 0);
}

static void
test_tcp_and_udp_are_cut_into_segments_with_right_checksums(void **state)
{
    uint32_t version;

    for (version = 4; version <= 6; version += 2) {
        segment_case(version, BP_NET_IP_TCP, 5000, 1448);
        segment_case(version, BP_NET_IP_TCP, 2896, 1448);
        segment_case(version, BP_NET_IP_TCP, 1101, 1);
        segment_case(version, BP_NET_IP_TCP, 65000, 65535);
        segment_case(version, BP_NET_IP_UDP, 4001, 1400);
    }
}

static void
test_a_datagram_is_cut_into_fragments_that_add_up_to_it(void **state)
{
    static uint8_t frame[9000], out[9000], again[9000], header[BP_NET_SEGMENT_HEADER];
    uint32_t version;

    for (version = 4; version <= 6; version += 2) {
        uint32_t l4, l3 = build(frame, version, BP_NET_IP_UDP, 4000, &l4), at = 0, more = 1;
        uint32_t extra = version == 6 ? 8 : 0;
        struct bp_iovec piece = {frame, l4 + 4008}, iov[4];
        struct bp_net_frame whole = {.iov = &piece, .iov_count = 1, .length = l4 + 4008}, one;
        struct bp_net_segmenter segmenter;

        whole.offload.flags = BP_NET_NEEDS_CSUM;
        whole.offload.gso_type = BP_NET_GSO_UDP;
        whole.offload.gso_size = 1477;
        assert_int_equal(bp_net_segment_begin(&segmenter, &whole, 0x1234), 3);
        memcpy(again, frame, l4);
        while (bp_net_segment_next(&segmenter, header, iov, 4, &one)) {
            uint32_t length = flatten(&one, out), field;
            struct bp_net_headers headers;

            bp_net_parse(out, length, &headers);
            assert_int_equal(headers.fragment, 1);
            assert_int_equal(length, one.length);
            if (version == 4) {
                field = bp_net_load16(out + l3 + 6);
                assert_int_equal((field & 0x1fff) * 8, at);
                more = field >> 13;
                assert_int_equal(plain_sum(out + l3, 20, 0), 0xffff);
            } else {
                assert_int_equal(out[l3 + 6], 44);
                field = bp_net_load16(out + l4 + 2);
                assert_int_equal(field & 0xfff8, at);
                more = field & 1;
                assert_int_equal(out[l4], BP_NET_IP_UDP);
                assert_int_equal(bp_net_load32(out + l4 + 4), 0x1234);
                assert_int_equal(bp_net_load16(out + l3 + 4), length - l4);
            }
            memcpy(again + l4 + at, out + l4 + extra, length - l4 - extra);
            at += length - l4 - extra;
        }
        assert_int_equal(more, 0);
        assert_int_equal(at, 4008);
        assert_memory_equal(again + l4 + 8, frame + l4 + 8, 4000);
        check_l4(again, version, BP_NET_IP_UDP, l3, l4, l4 + 4008);
    }
}

static void
test_a_checksum_is_put_in_place_without_touching_the_original(void **state)
{
    uint8_t frame[512], copy[512], out[512], header[BP_NET_SEGMENT_HEADER];
    uint32_t l4, l3 = build(frame, 4, BP_NET_IP_UDP, 101, &l4), i, length = l4 + 109;

    bp_net_store16(frame + l4 + 6, plain_sum(frame + l3 + 12, 8, BP_NET_IP_UDP + 109));
    memcpy(copy, frame, sizeof(copy));
    for (i = 1; i < length; i++) { /* wherever the pieces meet, also within the field */
        struct bp_iovec pieces[2] = {{frame, i}, {frame + i, length - i}}, iov[5];
        struct bp_net_frame whole = {.iov = pieces, .iov_count = 2, .length = length}, one;
        struct bp_net_segmenter segmenter;

        whole.offload.flags = BP_NET_NEEDS_CSUM;
        whole.offload.csum_start = (uint16_t)l4;
        whole.offload.csum_offset = 6;
        assert_true(bp_net_frame_ok(&whole, BP_NET_CSUM));
        assert_false(bp_net_frame_ok(&whole, 0));
        assert_int_equal(bp_net_segment_begin(&segmenter, &whole, 0), 1);
        assert_int_equal(bp_net_segment_next(&segmenter, header, iov, 5, &one), 1);
        assert_int_equal(flatten(&one, out), length);
        check_l4(out, 4, BP_NET_IP_UDP, l3, l4, length);
        assert_memory_equal(frame, copy, length);
    }
}

static void
test_records_that_do_not_fit_their_frame_are_refused(void **state)
{
    uint8_t frame[512];
    uint32_t l4;
    struct bp_iovec piece = {frame, 200};
    struct bp_net_frame whole = {.iov = &piece, .iov_count = 1, .length = 200};
    struct bp_net_segmenter segmenter;

    (void)build(frame, 4, BP_NET_IP_TCP, 130, &l4);
    whole.offload.gso_type = BP_NET_GSO_TCP4;
    assert_int_equal(bp_net_segment_begin(&segmenter, &whole, 0), -EINVAL);
    whole.offload.gso_size = 100;
    assert_int_equal(bp_net_segment_begin(&segmenter, &whole, 0), 2);
    whole.offload.gso_type = BP_NET_GSO_TCP6;
    assert_int_equal(bp_net_segment_begin(&segmenter, &whole, 0), -EINVAL);
    whole.offload.gso_type = BP_NET_GSO_UDP;
    assert_int_equal(bp_net_segment_begin(&segmenter, &whole, 0), -EINVAL);
    whole.offload.gso_type = 77;
    assert_int_equal(bp_net_segment_begin(&segmenter, &whole, 0), -EINVAL);
    whole.offload.gso_type = BP_NET_GSO_TCP4;
    frame[l4 + 12] = 0x40; /* a header shorter than TCP's */
    assert_int_equal(bp_net_segment_begin(&segmenter, &whole, 0), -EINVAL);
    whole.offload.gso_type = 0;
    whole.offload.flags = BP_NET_NEEDS_CSUM;
    whole.offload.csum_start = 190;
    whole.offload.csum_offset = 9;
    assert_int_equal(bp_net_segment_begin(&segmenter, &whole, 0), -EINVAL);
    assert_false(bp_net_frame_ok(&whole, BP_NET_CSUM));
}

static uint32_t
hash_of(const uint8_t *frame, uint32_t length, const struct bp_net_headers *headers, uint32_t types,
        const uint8_t *key, uint32_t *hash)
{
    const struct bp_net_hash_rules rules = {.types = types, .key_length = 40, .key = key};

    return bp_net_hash(frame, length, headers, &rules, hash);
}

static void
test_hashes_are_those_of_the_published_examples(void **state)
{
    static const uint8_t key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                    0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                    0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                    0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
    uint8_t frame[256];
    uint32_t l4, l3 = build(frame, 4, BP_NET_IP_TCP, 10, &l4), hash;
    struct bp_net_headers headers;

    bp_net_store32(frame + l3 + 12, 0x420995bb); /* 66.9.149.187:2794 to 161.142.100.80:1766 */
    bp_net_store32(frame + l3 + 16, 0xa18e6450);
    bp_net_store16(frame + l4, 2794);
    bp_net_store16(frame + l4 + 2, 1766);
    bp_net_parse(frame, 100, &headers);
    assert_int_equal(headers.vlan, 5);
    assert_int_equal(hash_of(frame, 100, &headers, 0x1ff, key, &hash), 2);
    assert_int_equal(hash, 0x51ccc178);
    assert_int_equal(hash_of(frame, 100, &headers, BP_NET_HASH_IP4, key, &hash), 1);
    assert_int_equal(hash, 0x323e8fc2);
    assert_int_equal(hash_of(frame, 100, &headers, BP_NET_HASH_UDP4, key, &hash), 0);
    assert_int_equal(hash, 0);
    /* 3ffe:2501:200:1fff::7, 2794 to 3ffe:2501:200:3::1, 1766 */
    l3 = build(frame, 6, BP_NET_IP_TCP, 10, &l4);
    memset(frame + l3 + 8, 0, 32);
    memcpy(frame + l3 + 8, "\x3f\xfe\x25\x01\x02\x00\x1f\xff", 8);
    frame[l3 + 23] = 7;
    memcpy(frame + l3 + 24, "\x3f\xfe\x25\x01\x02\x00\x00\x03", 8);
    frame[l3 + 39] = 1;
    bp_net_store16(frame + l4, 2794);
    bp_net_store16(frame + l4 + 2, 1766);
    bp_net_parse(frame, 120, &headers);
    assert_int_equal(hash_of(frame, 120, &headers, BP_NET_HASH_TCP6, key, &hash), 5);
    assert_int_equal(hash, 0x40207d3d);
    assert_int_equal(hash_of(frame, 120, &headers, BP_NET_HASH_IP6, key, &hash), 4);
    assert_int_equal(hash, 0x2cc18cd5);
}

static void
test_no_prefix_of_a_frame_and_no_garbage_is_read_beyond_its_end(void **state)
{
    uint8_t frame[256];
    uint32_t l4, i, k;
    struct bp_net_headers headers;

    (void)build(frame, 6, BP_NET_IP_TCP, 10, &l4);
    for (i = 0; i < 120; i++) {
        uint8_t *exact = malloc(i + 1);
        memcpy(exact, frame, i);
        bp_net_parse(exact, i, &headers);
        assert_true(headers.payload <= i);
        free(exact);
    }
    srandom(3);
    for (k = 0; k < 20000; k++) {
        uint32_t length = (uint32_t)random() % 200, hash;
        uint8_t *exact = malloc(length + 1);
        for (i = 0; i < length; i++) {
            exact[i] = (uint8_t)random();
        }
        if (length > 60) {
            bp_net_store16(exact + 12, random() & 1 ? BP_NET_ETH_IP6 : BP_NET_ETH_IP4);
            exact[14] = exact[12] == 8 ? 0x45 : 0x60;
            exact[20] = (uint8_t)(random() % 64);
        }
        bp_net_parse(exact, length, &headers);
        assert_true(headers.payload <= length && headers.l4 <= length);
        (void)hash_of(exact, length, &headers, 0x1ff, frame, &hash);
        free(exact);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_queue_arguments_are_refused),
        cmocka_unit_test(test_a_frame_fills_several_buffers_behind_the_headroom_of_the_first),
        cmocka_unit_test(
            test_without_merging_a_frame_that_is_too_long_is_dropped_and_the_buffer_kept),
        cmocka_unit_test(test_a_fifo_keeps_order_over_its_end_and_is_bounded),
        cmocka_unit_test(test_tcp_and_udp_are_cut_into_segments_with_right_checksums),
        cmocka_unit_test(test_a_datagram_is_cut_into_fragments_that_add_up_to_it),
        cmocka_unit_test(test_a_checksum_is_put_in_place_without_touching_the_original),
        cmocka_unit_test(test_records_that_do_not_fit_their_frame_are_refused),
        cmocka_unit_test(test_hashes_are_those_of_the_published_examples),
        cmocka_unit_test(test_no_prefix_of_a_frame_and_no_garbage_is_read_beyond_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
