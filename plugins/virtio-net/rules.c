/* SPDX-License-Identifier: Apache-2.0 */
/* Receive filtering (virtio 1.2, 5.1.6.5.1 to 5.1.6.5.3). */
#include "virtio_net.h"

#include <string.h>

static int
has_mac(const uint8_t (*macs)[6], uint32_t count, const uint8_t *mac)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        if (memcmp(macs[i], mac, 6) == 0) {
            return 1;
        }
    }
    return 0;
}

static int
accept_group(const struct net_rules *rules, const uint8_t *mac)
{
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    if (memcmp(mac, broadcast, 6) == 0) {
        return (rules->mode & NET_MODE_NOBCAST) == 0;
    }
    if (rules->mode & NET_MODE_NOMULTI) {
        return 0;
    }
    return (rules->mode & NET_MODE_ALLMULTI) != 0 || rules->multicast > NET_MAX_MACS ||
           has_mac(rules->macs + NET_MAX_MACS, rules->multicast, mac);
}

int
net_rules_accept(const struct net_rules *rules, const uint8_t *data, uint32_t length)
{
    if (length < BP_NET_ETH_HEADER) {
        return 0;
    }
    if (rules->filter_vlans && length >= 16 && bp_net_load16(data + 12) == BP_NET_ETH_VLAN) {
        uint32_t vlan = bp_net_load16(data + 14) & 0xfff;
        if ((rules->vlans[vlan >> 6] >> (vlan & 63) & 1) == 0) {
            return 0;
        }
    }
    if (rules->mode & NET_MODE_PROMISC) {
        return 1;
    }
    if (data[0] & 1) {
        return accept_group(rules, data);
    }
    if (rules->mode & NET_MODE_NOUNI) {
        return 0;
    }
    return (rules->mode & NET_MODE_ALLUNI) != 0 || memcmp(data, rules->mac, 6) == 0 ||
           rules->unicast > NET_MAX_MACS || has_mac(rules->macs, rules->unicast, data);
}
