/* SPDX-License-Identifier: Apache-2.0 */
/* filter-macguard from the inside: what a guest may send, and how a frame is judged. */
#pragma once

#include <backplane/sdk/net_stack.h>

#include <stdatomic.h>

#define GUARD_LIST 64u

/* Why a frame is dropped; in the order of the counters. */
#define GUARD_PASS     0u
#define GUARD_MAC      1u /* another's hardware address */
#define GUARD_ADDRESS  2u /* another's IP address */
#define GUARD_SERVICE  3u /* what only routers and DHCP servers send */
#define GUARD_PROTOCOL 4u /* neither ARP nor IP, or headers that cannot be followed */
#define GUARD_REASONS  5u

struct guard_address {
    uint8_t version; /* 4 or 6 */
    uint8_t bits;
    uint8_t bytes[16];
};

struct guard_rules {
    uint32_t mac_count, address_count;
    uint32_t services;   /* routers' and servers' messages are allowed */
    uint32_t link_local; /* fe80::/10 is, whatever the list says */
    uint8_t macs[GUARD_LIST][6];
    struct guard_address addresses[GUARD_LIST];
};

/* rules.c. data: the first `length` bytes of a frame, at least BP_NET_ETH_HEADER: all of it if
 * whole, else BP_NET_HEADERS_MAX. Returns GUARD_... */
uint32_t guard_judge(const struct guard_rules *rules, const uint8_t *data, uint32_t length,
                     uint32_t whole);
/* Both return 0: the text is none. */
int guard_read_mac(const char *text, uint8_t *mac);
int guard_read_address(const char *text, struct guard_address *address);
