/* SPDX-License-Identifier: Apache-2.0 */
/* The headers of a frame: Ethernet II with tags, IPv4, IPv6 with extension headers (RFC 8200, 4),
 * TCP, UDP. */
#include <backplane/sdk/net.h>

#include <string.h>

#define IP6_HOP      0u
#define IP6_ROUTING  43u
#define IP6_FRAGMENT 44u
#define IP6_DEST     60u

#define IP6_MAX_EXTENSIONS 8u
#define IP6_OPTION_PAD1    0u
#define IP6_OPTION_HOME    0xc9u /* RFC 6275, 6.3 */

static void
parse_l4(const uint8_t *data, uint32_t length, struct bp_net_headers *headers)
{
    uint32_t at = headers->l4;

    if (headers->protocol == BP_NET_IP_UDP && length >= at + 8) {
        headers->payload = (uint16_t)(at + 8);
    } else if (headers->protocol == BP_NET_IP_TCP && length >= at + 20) {
        uint32_t size = (uint32_t)(data[at + 12] >> 4) * 4;
        if (size >= 20 && length >= at + size) {
            headers->payload = (uint16_t)(at + size);
        }
    }
}

static void
parse_ip4(const uint8_t *data, uint32_t length, uint32_t at, struct bp_net_headers *headers)
{
    uint32_t size, fragment;

    if (length < at + 20 || data[at] >> 4 != 4) {
        return;
    }
    size = (data[at] & 15u) * 4;
    if (size < 20) {
        return;
    }
    headers->l3 = (uint16_t)at;
    headers->version = 4;
    headers->protocol = data[at + 9];
    fragment = bp_net_load16(data + at + 6);
    headers->fragment = (fragment & 0x3fff) != 0;
    if ((fragment & 0x1fff) == 0 && length >= at + size) {
        headers->l4 = (uint16_t)(at + size);
        parse_l4(data, length, headers);
    }
}

/* Finds a home address option among destination options. */
static void
parse_destination(const uint8_t *data, uint32_t at, uint32_t end, struct bp_net_headers *headers)
{
    at += 2;
    while (at < end) {
        uint32_t type = data[at];
        if (type == IP6_OPTION_PAD1) {
            at++;
            continue;
        }
        if (at + 2 > end || at + 2 + data[at + 1] > end) {
            return;
        }
        if (type == IP6_OPTION_HOME && data[at + 1] == 16) {
            headers->home = (uint16_t)(at + 2);
            return;
        }
        at += 2u + data[at + 1];
    }
}

/* One extension header. Returns its length, 0: the walk is over. */
static uint32_t
parse_extension(const uint8_t *data, uint32_t length, uint32_t at, struct bp_net_headers *headers)
{
    uint32_t size;

    if (length < at + 8) {
        return 0;
    }
    if (headers->protocol == IP6_FRAGMENT) {
        headers->fragment = 1;
        return bp_net_load16(data + at + 2) >> 3 == 0 ? 8 : 0;
    }
    size = (data[at + 1] + 1u) * 8;
    if (length < at + size) {
        return 0;
    }
    if (headers->protocol == IP6_DEST) {
        parse_destination(data, at, at + size, headers);
    } else if (headers->protocol == IP6_ROUTING && data[at + 2] == 2 && size >= 24) {
        headers->route = (uint16_t)(at + 8);
    }
    return size;
}

static void
parse_ip6(const uint8_t *data, uint32_t length, uint32_t at, struct bp_net_headers *headers)
{
    uint32_t here = at + 40, i;

    if (length < here || data[at] >> 4 != 6) {
        return;
    }
    headers->l3 = (uint16_t)at;
    headers->version = 6;
    headers->protocol = data[at + 6];
    headers->next_at = 6;
    for (i = 0; i <= IP6_MAX_EXTENSIONS; i++) {
        uint32_t size;
        if (headers->protocol != IP6_HOP && headers->protocol != IP6_ROUTING &&
            headers->protocol != IP6_FRAGMENT && headers->protocol != IP6_DEST) {
            headers->l4 = (uint16_t)here;
            parse_l4(data, length, headers);
            return;
        }
        size = parse_extension(data, length, here, headers);
        if (size == 0) {
            return;
        }
        headers->protocol = data[here];
        headers->next_at = (uint8_t)(here - at);
        here += size;
    }
}

void
bp_net_parse(const uint8_t *data, uint32_t length, struct bp_net_headers *headers)
{
    uint32_t at = 12, type;

    memset(headers, 0, sizeof(*headers));
    headers->vlan = UINT16_MAX;
    length = bp_min_u32(length, BP_NET_HEADERS_MAX);
    if (length < BP_NET_ETH_HEADER) {
        return;
    }
    type = bp_net_load16(data + at);
    while ((type == BP_NET_ETH_VLAN || type == BP_NET_ETH_QINQ) && length >= at + 6) {
        if (headers->vlan == UINT16_MAX) {
            headers->vlan = bp_net_load16(data + at + 2) & 0xfff;
        }
        at += BP_NET_VLAN_TAG;
        type = bp_net_load16(data + at);
    }
    headers->ether_type = (uint16_t)type;
    if (type == BP_NET_ETH_IP4) {
        parse_ip4(data, length, at + 2, headers);
    } else if (type == BP_NET_ETH_IP6) {
        parse_ip6(data, length, at + 2, headers);
    }
}
