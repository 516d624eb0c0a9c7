/* SPDX-License-Identifier: Apache-2.0 */
/* The card as operators see it: bp.nic/1. */
#include "virtio_net.h"

#include <stdio.h>
#include <string.h>

static int32_t
net_info(void *self, struct bp_nic_info *info)
{
    struct net *net = self;
    struct bp_nic_info full = {
        .size = info->size,
        .queues = atomic_load(&net->active_pairs),
    };

    pthread_mutex_lock(&net->lock);
    memcpy(full.mac, net->rules.mac, 6);
    pthread_mutex_unlock(&net->lock);
    memcpy(full.burnt_in, net->mac, 6);
    full.flags = (atomic_load(&net->link) ? BP_NIC_LINK_UP : 0) |
                 (atomic_load(&net->backend_link) ? BP_NIC_CONNECTED : 0) |
                 (memcmp(full.mac, full.burnt_in, 6) != 0 ? BP_NIC_MAC_SET : 0);
    memcpy(info, &full, bp_min_u32(info->size, sizeof(full)));
    return 0;
}

static int32_t
net_nic_set_link(void *self, uint32_t up)
{
    net_set_link(self, up != 0);
    return 0;
}

static int32_t
net_announce(void *self)
{
    struct net *net = self;

    if (!net_has(net, NET_F_GUEST_ANNOUNCE)) {
        return -EOPNOTSUPP;
    }
    net_ask_announcement(net);
    return 0;
}

/* One of the two tables; too many addresses are none that are named. */
static uint32_t
copy_macs(uint8_t (*to)[8], uint8_t (*from)[6], uint32_t count)
{
    uint32_t i;

    if (count > NET_MAX_MACS) {
        return 0;
    }
    for (i = 0; i < count; i++) {
        memcpy(to[i], from[i], 6);
    }
    return count;
}

static int32_t
net_filter(void *self, struct bp_nic_filter *filter)
{
    struct net *net = self;
    struct net_rules *rules = &net->rules;
    struct bp_nic_filter full = {.size = filter->size};

    _Static_assert(NET_MAX_MACS == BP_NIC_MAX_MACS, "both tables fit");
    _Static_assert(NET_MODE_NOBCAST == BP_NIC_NO_BROADCAST, "the bits are the same");
    pthread_mutex_lock(&net->lock);
    full.flags = rules->mode | (rules->filter_vlans ? BP_NIC_VLANS : 0) |
                 (rules->multicast > NET_MAX_MACS ? BP_NIC_MANY_MULTICAST : 0) |
                 (rules->unicast > NET_MAX_MACS ? BP_NIC_MANY_UNICAST : 0);
    memcpy(full.mac, rules->mac, 6);
    full.unicast_count = copy_macs(full.unicast, rules->macs, rules->unicast);
    full.multicast_count = copy_macs(full.multicast, rules->macs + NET_MAX_MACS, rules->multicast);
    memcpy(full.vlans, rules->vlans, sizeof(full.vlans));
    net->told = 0;
    pthread_mutex_unlock(&net->lock);
    memcpy(filter, &full, bp_min_u32(filter->size, sizeof(full)));
    return 0;
}

void
net_filter_changed(struct net *net)
{
    char json[160];

    if (!net->told) {
        net->told = 1;
        (void)snprintf(json, sizeof(json), "{\"name\": \"%.100s\"}", net->id);
        net->host.core->event(net->host.instance, "NIC_RX_FILTER_CHANGED", json);
    }
}

const struct bp_nic_ops net_nic = {
    .size = sizeof(net_nic),
    .info = net_info,
    .set_link = net_nic_set_link,
    .announce = net_announce,
    .filter = net_filter,
};
