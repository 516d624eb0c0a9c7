/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a frame says the truth about who sent it: Ethernet, ARP (RFC 826), IPv4, IPv6 and its
 * neighbour discovery (RFC 4861). */
#include "macguard.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ETH_ARP 0x0806u

#define IP6_FRAGMENT         44u
#define ICMP6                58u
#define ND_ROUTER_SOLICIT    133u
#define ND_ROUTER_ADVERT     134u
#define ND_NEIGHBOR_SOLICIT  135u
#define ND_NEIGHBOR_ADVERT   136u
#define ND_REDIRECT          137u
#define ND_OPTION_SOURCE_MAC 1u
#define ND_OPTION_TARGET_MAC 2u

#define PORT_DHCP_SERVER  67u
#define PORT_DHCP6_SERVER 547u

int
guard_read_mac(const char *text, uint8_t *mac)
{
    int end = 0;

    return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2], &mac[3],
                  &mac[4], &mac[5], &end) == 6 &&
           text[end] == '\0' && (mac[0] & 1) == 0;
}

int
guard_read_address(const char *text, struct guard_address *address)
{
    const char *slash = strchr(text, '/');
    size_t length = slash != NULL ? (size_t)(slash - text) : strlen(text);
    char copy[INET6_ADDRSTRLEN], *end = NULL;
    unsigned long most, bits;

    memset(address, 0, sizeof(*address));
    if (length >= sizeof(copy)) {
        return 0;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    address->version = strchr(copy, ':') != NULL ? 6 : 4;
    if (inet_pton(address->version == 6 ? AF_INET6 : AF_INET, copy, address->bytes) != 1) {
        return 0;
    }
    most = address->version == 6 ? 128 : 32;
    bits = slash != NULL ? strtoul(slash + 1, &end, 10) : most;
    address->bits = (uint8_t)bits;
    return bits <= most && (slash == NULL || (end != slash + 1 && *end == '\0'));
}

static int
mac_ok(const struct guard_rules *rules, const uint8_t *mac)
{
    for (uint32_t i = 0; i < rules->mac_count; i++) {
        if (memcmp(rules->macs[i], mac, 6) == 0) {
            return 1;
        }
    }
    return 0;
}

static int
matches(const struct guard_address *address, const uint8_t *bytes)
{
    uint32_t whole = address->bits / 8u, rest = address->bits % 8u;

    return memcmp(address->bytes, bytes, whole) == 0 &&
           (rest == 0 || ((address->bytes[whole] ^ bytes[whole]) >> (8u - rest)) == 0);
}

/* No address at all is allowed: who looks for one, or asks whether one is free, sends it. */
static int
address_ok(const struct guard_rules *rules, uint32_t version, const uint8_t *bytes)
{
    static const uint8_t nobody[16];

    if (rules->address_count == 0 || memcmp(bytes, nobody, version == 6 ? 16 : 4) == 0) {
        return 1;
    }
    if (version == 6 && rules->link_local && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) {
        return 1;
    }
    for (uint32_t i = 0; i < rules->address_count; i++) {
        if (rules->addresses[i].version == version && matches(&rules->addresses[i], bytes)) {
            return 1;
        }
    }
    return 0;
}

/* at: the ARP packet. */
static uint32_t
judge_arp(const struct guard_rules *rules, const uint8_t *at, uint32_t length)
{
    if (length < 28 || bp_net_load16(at) != 1 || bp_net_load16(at + 2) != BP_NET_ETH_IP4 ||
        at[4] != 6 || at[5] != 4) {
        return GUARD_PROTOCOL;
    }
    if (!mac_ok(rules, at + 8)) {
        return GUARD_MAC;
    }
    return address_ok(rules, 4, at + 14) ? GUARD_PASS : GUARD_ADDRESS;
}

/* Options of a neighbour discovery message that tell a hardware address. */
static uint32_t
judge_options(const struct guard_rules *rules, const uint8_t *at, uint32_t length)
{
    while (length >= 8) {
        uint32_t size = at[1] * 8u;
        if (size == 0 || size > length) {
            return GUARD_PROTOCOL;
        }
        if ((at[0] == ND_OPTION_SOURCE_MAC || at[0] == ND_OPTION_TARGET_MAC) &&
            !mac_ok(rules, at + 2)) {
            return GUARD_MAC;
        }
        at += size;
        length -= size;
    }
    return GUARD_PASS;
}

static uint32_t
judge_icmp6(const struct guard_rules *rules, const uint8_t *at, uint32_t length, uint32_t whole)
{
    if (length < 4) {
        return GUARD_PROTOCOL;
    }
    if (at[0] < ND_ROUTER_SOLICIT || at[0] > ND_REDIRECT) {
        return GUARD_PASS;
    }
    if (!whole) {
        return GUARD_PROTOCOL; /* fragments: RFC 6980; and more options than are looked at */
    }
    if (at[0] == ND_ROUTER_ADVERT || at[0] == ND_REDIRECT) {
        return rules->services ? GUARD_PASS : GUARD_SERVICE;
    }
    if (at[0] == ND_ROUTER_SOLICIT) {
        return length < 8 ? GUARD_PROTOCOL : judge_options(rules, at + 8, length - 8);
    }
    if (length < 24) {
        return GUARD_PROTOCOL;
    }
    if (at[0] == ND_NEIGHBOR_ADVERT && !address_ok(rules, 6, at + 8)) {
        return GUARD_ADDRESS;
    }
    return judge_options(rules, at + 24, length - 24);
}

/* Of headers whose end was not found: the packet's first part was another frame. */
static int
is_later_fragment(const uint8_t *data, const struct bp_net_headers *headers)
{
    if (headers->version == 4) {
        return (bp_net_load16(data + headers->l3 + 6) & 0x1fff) != 0;
    }
    return headers->fragment && headers->protocol == IP6_FRAGMENT;
}

static uint32_t
judge_ip(const struct guard_rules *rules, const uint8_t *data, uint32_t length,
         const struct bp_net_headers *headers, uint32_t whole)
{
    uint32_t port;

    if (!address_ok(rules, headers->version,
                    data + headers->l3 + (headers->version == 6 ? 8 : 12))) {
        return GUARD_ADDRESS;
    }
    if (headers->l4 == 0) { /* what belongs to an earlier fragment is that one's affair */
        return is_later_fragment(data, headers) ? GUARD_PASS : GUARD_PROTOCOL;
    }
    if (headers->version == 6 && headers->protocol == ICMP6) {
        return judge_icmp6(rules, data + headers->l4, length - headers->l4,
                           whole && !headers->fragment);
    }
    if (headers->protocol == BP_NET_IP_UDP && !rules->services) {
        if (length < headers->l4 + 2u) {
            return GUARD_PROTOCOL; /* cut so short to hide its port */
        }
        port = bp_net_load16(data + headers->l4);
        if (port == (headers->version == 4 ? PORT_DHCP_SERVER : PORT_DHCP6_SERVER)) {
            return GUARD_SERVICE;
        }
    }
    return GUARD_PASS;
}

uint32_t
guard_judge(const struct guard_rules *rules, const uint8_t *data, uint32_t length, uint32_t whole)
{
    struct bp_net_headers headers;
    uint32_t at = BP_NET_ETH_HEADER;

    if (!mac_ok(rules, data + 6)) {
        return GUARD_MAC;
    }
    bp_net_parse(data, length, &headers);
    if (headers.ether_type == ETH_ARP) {
        /* The parser has skipped tags; ARP's packet begins behind the last type. */
        while (at + 28 <= length && bp_net_load16(data + at - 2) != ETH_ARP) {
            at += BP_NET_VLAN_TAG;
        }
        return at <= length ? judge_arp(rules, data + at, length - at) : GUARD_PROTOCOL;
    }
    if (headers.l3 != 0) {
        return judge_ip(rules, data, length, &headers, whole);
    }
    return rules->address_count == 0 && headers.ether_type != BP_NET_ETH_IP4 &&
                   headers.ether_type != BP_NET_ETH_IP6
               ? GUARD_PASS
               : GUARD_PROTOCOL;
}
