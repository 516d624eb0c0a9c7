/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums and segmentation that the backend or the consumer lacks, in software: TCP segments, UDP
 * datagrams (USO), IP fragments of a UDP datagram (UFO). Each output frame is a copy of the headers
 * with what differs, then pieces of the original. */
#include <backplane/sdk/net.h>

#include <string.h>

#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_CWR 0x80u

#define IP4_MORE     0x2000u
#define IP6_FRAGMENT 44u

static int32_t
begin_checksum(struct bp_net_segmenter *segmenter)
{
    const struct bp_net_offload *offload = &segmenter->offload;

    if ((offload->flags & BP_NET_NEEDS_CSUM) == 0 ||
        (uint64_t)offload->csum_start + offload->csum_offset + 2 > segmenter->length) {
        return -EINVAL;
    }
    segmenter->segments = 1;
    return 1;
}

/* TCP, and UDP with datagrams of their own. */
static int32_t
begin_segments(struct bp_net_segmenter *segmenter, uint32_t protocol)
{
    const struct bp_net_headers *headers = &segmenter->headers;
    uint64_t payload;

    if (headers->protocol != protocol || headers->payload == 0 || headers->fragment) {
        return -EINVAL;
    }
    segmenter->header = headers->payload;
    segmenter->payload_at = headers->payload;
    segmenter->step = segmenter->offload.gso_size;
    payload = segmenter->length - segmenter->payload_at;
    segmenter->segments =
        payload == 0 ? 1 : (uint32_t)((payload + segmenter->step - 1) / segmenter->step);
    return (int32_t)segmenter->segments;
}

/* Puts the checksum of the whole datagram into the copy of its header. */
static void
checksum_datagram(struct bp_net_segmenter *segmenter)
{
    const struct bp_net_headers *headers = &segmenter->headers;
    uint32_t length = (uint32_t)segmenter->length - headers->l4;
    uint8_t *udp = segmenter->head + headers->l4;
    uint16_t checksum;
    uint64_t sum;

    bp_net_store16(udp + 4, length);
    bp_net_store16(udp + 6, 0);
    sum = bp_net_pseudo_sum(segmenter->head + headers->l3, headers->version, BP_NET_IP_UDP, length);
    sum = bp_net_sum(udp, 8, sum, 0);
    sum = bp_net_sum_iov(segmenter->iov, segmenter->iov_count, (uint64_t)headers->l4 + 8,
                         length - 8, sum);
    checksum = bp_net_sum_fold(sum);
    bp_net_store16(udp + 6, checksum != 0 ? checksum : 0xffff);
}

static int32_t
begin_fragments(struct bp_net_segmenter *segmenter)
{
    const struct bp_net_headers *headers = &segmenter->headers;
    uint64_t payload;

    segmenter->step = segmenter->offload.gso_size & ~7u;
    if (headers->protocol != BP_NET_IP_UDP || headers->payload == 0 || headers->fragment ||
        segmenter->step < 8) {
        return -EINVAL;
    }
    checksum_datagram(segmenter);
    segmenter->header = headers->l4;
    segmenter->payload_at = headers->l4;
    payload = segmenter->length - segmenter->payload_at;
    segmenter->segments = (uint32_t)((payload + segmenter->step - 1) / segmenter->step);
    return (int32_t)segmenter->segments;
}

int32_t
bp_net_segment_begin(struct bp_net_segmenter *segmenter, const struct bp_net_frame *frame,
                     uint32_t identification)
{
    uint32_t version;

    memset(segmenter, 0, sizeof(*segmenter));
    segmenter->iov = frame->iov;
    segmenter->iov_count = frame->iov_count;
    segmenter->length = frame->length;
    segmenter->offload = frame->offload;
    segmenter->identification = identification;
    if (frame->offload.gso_type == BP_NET_GSO_NONE) {
        return begin_checksum(segmenter);
    }
    if (frame->offload.gso_size == 0) {
        return -EINVAL;
    }
    bp_net_parse(segmenter->head,
                 (uint32_t)bp_net_iov_copy(frame->iov, frame->iov_count, 0, segmenter->head,
                                           BP_NET_HEADERS_MAX),
                 &segmenter->headers);
    version = segmenter->headers.version;
    switch (frame->offload.gso_type & ~BP_NET_GSO_ECN) {
    case BP_NET_GSO_TCP4:
        return version == 4 ? begin_segments(segmenter, BP_NET_IP_TCP) : -EINVAL;
    case BP_NET_GSO_TCP6:
        return version == 6 ? begin_segments(segmenter, BP_NET_IP_TCP) : -EINVAL;
    case BP_NET_GSO_UDP_L4:
        return version != 0 ? begin_segments(segmenter, BP_NET_IP_UDP) : -EINVAL;
    case BP_NET_GSO_UDP:
        return version != 0 ? begin_fragments(segmenter) : -EINVAL;
    default:
        return -EINVAL;
    }
}

/* One frame with its checksum filled in: everything but the two bytes is the original. */
static int
next_checksum(struct bp_net_segmenter *segmenter, uint8_t *header, struct bp_iovec *iov,
              uint32_t max, struct bp_net_frame *out)
{
    const struct bp_net_offload *offload = &segmenter->offload;
    uint64_t field = (uint64_t)offload->csum_start + offload->csum_offset;
    uint32_t before, after;
    uint16_t checksum =
        bp_net_sum_fold(bp_net_sum_iov(segmenter->iov, segmenter->iov_count, offload->csum_start,
                                       segmenter->length - offload->csum_start, 0));

    bp_net_store16(header, checksum != 0 ? checksum : 0xffff);
    before = bp_net_iov_slice(segmenter->iov, segmenter->iov_count, 0, field, iov, max - 1);
    iov[before].base = header;
    iov[before].length = 2;
    after = bp_net_iov_slice(segmenter->iov, segmenter->iov_count, field + 2,
                             segmenter->length - field - 2, iov + before + 1, max - before - 1);
    out->iov_count = before + 1 + after;
    out->length = segmenter->length;
    return 1;
}

static void
finish_ip(uint8_t *l3, const struct bp_net_segmenter *segmenter, uint32_t length, uint32_t index)
{
    uint32_t size;

    if (segmenter->headers.version == 6) {
        bp_net_store16(l3 + 4, length - 40);
        return;
    }
    size = (l3[0] & 15u) * 4;
    bp_net_store16(l3 + 2, length);
    bp_net_store16(l3 + 4, bp_net_load16(l3 + 4) + index);
    bp_net_store16(l3 + 10, 0);
    bp_net_store16(l3 + 10, bp_net_sum_fold(bp_net_sum(l3, size, 0, 0)));
}

static void
finish_tcp(uint8_t *tcp, uint64_t at, int first, int last)
{
    bp_net_store32(tcp + 4, bp_net_load32(tcp + 4) + (uint32_t)at);
    if (!first) {
        tcp[13] &= (uint8_t)~TCP_CWR;
    }
    if (!last) {
        tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    }
}

static int
next_segment(struct bp_net_segmenter *segmenter, uint8_t *header, struct bp_iovec *iov,
             uint32_t max, struct bp_net_frame *out)
{
    const struct bp_net_headers *headers = &segmenter->headers;
    uint32_t index = segmenter->index, l4_length;
    uint64_t at = (uint64_t)index * segmenter->step;
    uint64_t length = bp_min_u64(segmenter->step, segmenter->length - segmenter->payload_at - at);
    uint8_t *l4 = header + headers->l4, *field;
    uint16_t checksum;
    uint64_t sum;

    memcpy(header, segmenter->head, segmenter->header);
    l4_length = segmenter->header - headers->l4 + (uint32_t)length;
    finish_ip(header + headers->l3, segmenter, headers->l4 - headers->l3 + l4_length, index);
    if (headers->protocol == BP_NET_IP_TCP) {
        finish_tcp(l4, at, index == 0, index + 1 == segmenter->segments);
        field = l4 + 16;
    } else {
        bp_net_store16(l4 + 4, l4_length);
        field = l4 + 6;
    }
    bp_net_store16(field, 0);
    sum = bp_net_pseudo_sum(header + headers->l3, headers->version, headers->protocol, l4_length);
    sum = bp_net_sum(l4, segmenter->header - headers->l4, sum, 0);
    sum = bp_net_sum_iov(segmenter->iov, segmenter->iov_count, segmenter->payload_at + at, length,
                         sum);
    checksum = bp_net_sum_fold(sum);
    bp_net_store16(field, checksum != 0 ? checksum : 0xffff);
    iov[0] = (struct bp_iovec){header, segmenter->header};
    out->iov_count = 1 + bp_net_iov_slice(segmenter->iov, segmenter->iov_count,
                                          segmenter->payload_at + at, length, iov + 1, max - 1);
    out->length = segmenter->header + length;
    return 1;
}

/* The IP header of a fragment. Returns where its payload begins. */
static uint32_t
fragment_header(const struct bp_net_segmenter *segmenter, uint8_t *header, uint64_t at,
                uint64_t length, int last)
{
    const struct bp_net_headers *headers = &segmenter->headers;
    uint32_t size = segmenter->header, ip_length = (uint32_t)length + size - headers->l3;
    uint8_t *l3 = header + headers->l3, *fragment = header + size;

    memcpy(header, segmenter->head, size);
    if (headers->version == 4) {
        bp_net_store16(l3 + 6, (uint32_t)(at / 8) | (last ? 0 : IP4_MORE));
        finish_ip(l3, segmenter, ip_length, 0);
        return size;
    }
    l3[headers->next_at] = IP6_FRAGMENT;
    fragment[0] = BP_NET_IP_UDP;
    fragment[1] = 0;
    bp_net_store16(fragment + 2, (uint32_t)at | (last ? 0 : 1));
    bp_net_store32(fragment + 4, segmenter->identification);
    finish_ip(l3, segmenter, ip_length + 8, 0);
    return size + 8;
}

static int
next_fragment(struct bp_net_segmenter *segmenter, uint8_t *header, struct bp_iovec *iov,
              uint32_t max, struct bp_net_frame *out)
{
    uint32_t index = segmenter->index, size;
    uint64_t at = (uint64_t)index * segmenter->step;
    uint64_t length = bp_min_u64(segmenter->step, segmenter->length - segmenter->payload_at - at);

    size = fragment_header(segmenter, header, at, length, index + 1 == segmenter->segments);
    out->length = size + length;
    if (index == 0) { /* the UDP header with its checksum is ours */
        memcpy(header + size, segmenter->head + segmenter->headers.l4, 8);
        size += 8;
        at += 8;
        length -= 8;
    }
    iov[0] = (struct bp_iovec){header, size};
    out->iov_count = 1 + bp_net_iov_slice(segmenter->iov, segmenter->iov_count,
                                          segmenter->payload_at + at, length, iov + 1, max - 1);
    return 1;
}

int
bp_net_segment_next(struct bp_net_segmenter *segmenter, uint8_t *header, struct bp_iovec *iov,
                    uint32_t max, struct bp_net_frame *out)
{
    int result;

    if (segmenter->index >= segmenter->segments || max < segmenter->iov_count + 3) {
        return 0;
    }
    memset(out, 0, sizeof(*out));
    out->iov = iov;
    if (segmenter->offload.gso_type == BP_NET_GSO_NONE) {
        result = next_checksum(segmenter, header, iov, max, out);
    } else if (segmenter->offload.gso_type == BP_NET_GSO_UDP) {
        result = next_fragment(segmenter, header, iov, max, out);
    } else {
        result = next_segment(segmenter, header, iov, max, out);
    }
    segmenter->index++;
    return result;
}
