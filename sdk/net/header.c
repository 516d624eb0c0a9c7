/* SPDX-License-Identifier: Apache-2.0 */
/* Offload records as the header that the kernel's TAP interfaces and virtio have before each frame
 * (virtio 1.2, 5.1.6): see <backplane/sdk/net.h>. */
#include <backplane/sdk/net.h>

#include <linux/virtio_net.h>
#include <string.h>

_Static_assert(VIRTIO_NET_HDR_F_NEEDS_CSUM == BP_NET_NEEDS_CSUM &&
                   VIRTIO_NET_HDR_F_DATA_VALID == BP_NET_DATA_VALID &&
                   VIRTIO_NET_HDR_GSO_TCPV4 == BP_NET_GSO_TCP4 &&
                   VIRTIO_NET_HDR_GSO_UDP == BP_NET_GSO_UDP &&
                   VIRTIO_NET_HDR_GSO_TCPV6 == BP_NET_GSO_TCP6 &&
                   VIRTIO_NET_HDR_GSO_ECN == BP_NET_GSO_ECN,
               "offload records and virtio's headers share their values");
_Static_assert(sizeof(struct virtio_net_hdr) == BP_NET_VNET_HEADER, "the header's size");

static uint32_t
gso_feature(uint32_t gso_type)
{
    switch (gso_type & ~BP_NET_GSO_ECN) {
    case BP_NET_GSO_TCP4:
        return BP_NET_TSO4;
    case BP_NET_GSO_TCP6:
        return BP_NET_TSO6;
    case BP_NET_GSO_UDP:
        return BP_NET_UFO;
    case BP_NET_GSO_UDP_L4:
        return BP_NET_USO4 | BP_NET_USO6;
    default:
        return 0;
    }
}

int
bp_net_vnet_read(const uint8_t *from, uint32_t wanted, struct bp_net_offload *offload)
{
    struct virtio_net_hdr header;

    memcpy(&header, from, sizeof(header));
    memset(offload, 0, sizeof(*offload));
    offload->flags = header.flags & (BP_NET_NEEDS_CSUM | BP_NET_DATA_VALID);
    if (offload->flags & BP_NET_NEEDS_CSUM) {
        if ((wanted & BP_NET_CSUM) == 0) {
            return 0;
        }
        offload->csum_start = header.csum_start;
        offload->csum_offset = header.csum_offset;
    }
    if (header.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
        if ((wanted & gso_feature(header.gso_type)) == 0 || header.gso_size == 0) {
            return 0;
        }
        offload->gso_type = header.gso_type;
        offload->gso_size = header.gso_size;
        offload->header_length = header.hdr_len;
    }
    return 1;
}

void
bp_net_vnet_write(const struct bp_net_frame *frame, uint8_t *to)
{
    const struct bp_net_offload *offload = &frame->offload;
    struct virtio_net_hdr header = {
        .gso_type = offload->gso_type,
        .gso_size = offload->gso_size,
        .hdr_len = offload->header_length < frame->length ? offload->header_length : 0,
    };

    if (offload->flags & BP_NET_NEEDS_CSUM) {
        header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        header.csum_start = offload->csum_start;
        header.csum_offset = offload->csum_offset;
    }
    memcpy(to, &header, sizeof(header));
}
