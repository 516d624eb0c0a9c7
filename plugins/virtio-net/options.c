/* SPDX-License-Identifier: Apache-2.0 */
/* What an instance is to be: its options, the features that follow, and which of them go together.
 */
#include "virtio_net.h"

#include <stdio.h>
#include <string.h>

static int32_t
read_mac(struct net *net, const struct bp_node *options)
{
    const char *text = bp_option_str(&net->host, options, "mac", NULL);
    uint32_t hash = 2166136261u; /* FNV-1a: an address that stays with the instance's name */
    unsigned m[6];
    int end = 0;
    const char *c;

    if (text == NULL) {
        for (c = net->id; *c != '\0'; c++) {
            hash = (hash ^ (uint8_t)*c) * 16777619u;
        }
        net->mac[0] = 0x02; /* locally administered */
        net->mac[1] = 0x62;
        net->mac[2] = 0x70;
        bp_net_store16(net->mac + 3, hash >> 8);
        net->mac[5] = (uint8_t)hash;
        return 0;
    }
    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5], &end) !=
            6 ||
        text[end] != '\0' || (m[0] & 1) != 0) {
        return bp_fail(&net->host, -EINVAL, bp_option(&net->host, options, "mac"),
                       "mac must be a unicast address like \"02:00:00:00:00:01\", not \"%s\"",
                       text);
    }
    for (uint32_t i = 0; i < 6; i++) {
        net->mac[i] = (uint8_t)m[i];
    }
    return 0;
}

int32_t
net_read_options(struct net *net, const struct bp_node *options)
{
    const struct bp_services *host = &net->host;

    net->pairs = (uint32_t)bp_option_u64(host, options, "pairs", 1);
    net->mtu = (uint32_t)bp_option_u64(host, options, "mtu", 0);
    net->speed = (uint32_t)bp_option_u64(host, options, "speed", 0);
    net->duplex = strcmp(bp_option_str(host, options, "duplex", "full"), "full") == 0;
    net->rss = bp_option_bool(host, options, "rss", 0);
    atomic_store(&net->link, bp_option_bool(host, options, "link", 1));
    return read_mac(net, options);
}

uint64_t
net_features_offered(const struct net *net, const struct bp_node *options)
{
    uint64_t features = NET_F_MAC | NET_F_STATUS | NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_CTRL_VLAN |
                        NET_F_CTRL_RX_EXTRA | NET_F_CTRL_MAC_ADDR | NET_F_GUEST_ANNOUNCE |
                        NET_F_SPEED_DUPLEX | NET_F_NOTF_COAL | NET_F_VQ_NOTF_COAL;

    if (bp_option_bool(&net->host, options, "offloads", 1)) {
        features |= NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_HOST_TSO4 | NET_F_HOST_TSO6 |
                    NET_F_HOST_ECN | NET_F_HOST_UFO | NET_F_HOST_USO | NET_F_GUEST_TSO4 |
                    NET_F_GUEST_TSO6 | NET_F_GUEST_ECN | NET_F_GUEST_UFO | NET_F_GUEST_USO4 |
                    NET_F_GUEST_USO6 | NET_F_CTRL_OFFLOADS;
    }
    features |= bp_option_bool(&net->host, options, "mergeable", 1) ? NET_F_MRG_RXBUF : 0;
    features |= bp_option_bool(&net->host, options, "hash_report", 0) ? NET_F_HASH_REPORT : 0;
    features |= net->rss ? NET_F_RSS : 0;
    features |= net->pairs > 1 ? NET_F_MQ : 0;
    features |= net->mtu != 0 ? NET_F_MTU : 0;
    return features;
}

/* 5.1.3.1: what each feature needs. */
int32_t
net_features_check(uint64_t features)
{
    static const struct {
        uint64_t feature, needs; /* one of `needs` at least */
    } rules[] = {
        {NET_F_GUEST_TSO4, NET_F_GUEST_CSUM},
        {NET_F_GUEST_TSO6, NET_F_GUEST_CSUM},
        {NET_F_GUEST_ECN, NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6},
        {NET_F_GUEST_UFO, NET_F_GUEST_CSUM},
        {NET_F_GUEST_USO4, NET_F_GUEST_CSUM},
        {NET_F_GUEST_USO6, NET_F_GUEST_CSUM},
        {NET_F_HOST_TSO4, NET_F_CSUM},
        {NET_F_HOST_TSO6, NET_F_CSUM},
        {NET_F_HOST_ECN, NET_F_HOST_TSO4 | NET_F_HOST_TSO6},
        {NET_F_HOST_UFO, NET_F_CSUM},
        {NET_F_HOST_USO, NET_F_CSUM},
        {NET_F_CTRL_OFFLOADS, NET_F_CTRL_VQ},
        {NET_F_CTRL_RX, NET_F_CTRL_VQ},
        {NET_F_CTRL_VLAN, NET_F_CTRL_VQ},
        {NET_F_CTRL_RX_EXTRA, NET_F_CTRL_RX},
        {NET_F_GUEST_ANNOUNCE, NET_F_CTRL_VQ},
        {NET_F_MQ, NET_F_CTRL_VQ},
        {NET_F_CTRL_MAC_ADDR, NET_F_CTRL_VQ},
        {NET_F_NOTF_COAL, NET_F_CTRL_VQ},
        {NET_F_VQ_NOTF_COAL, NET_F_CTRL_VQ},
        {NET_F_RSS, NET_F_CTRL_VQ},
        {NET_F_HASH_REPORT, NET_F_CTRL_VQ},
    };

    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(rules); i++) {
        if ((features & rules[i].feature) != 0 && (features & rules[i].needs) == 0) {
            return -EINVAL;
        }
    }
    return 0;
}

static const char *const duplexes[] = {"full", "half", NULL};

const struct bp_prop net_props[] = {
    BP_VIRTIO_PROPS,
    {.name = "backend",
     .type = BP_PROP_BACKEND,
     .flags = BP_PROP_REQUIRED,
     .help = "the network it is connected to"},
    {.name = "mac",
     .type = BP_PROP_STRING,
     .help = "its address; by default one of the instance's name: give it where machines meet"},
    {.name = "pairs",
     .type = BP_PROP_UINT,
     .def = "1",
     .min = 1,
     .max = NET_MAX_PAIRS,
     .help = "most pairs of queues"},
    {.name = "link",
     .type = BP_PROP_BOOL,
     .flags = BP_PROP_RUNTIME,
     .def = "true",
     .help = "the cable is plugged in"},
    {.name = "mtu",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = 65535,
     .help = "MTU the driver is told, 68 or more; 0: none"},
    {.name = "speed",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = INT32_MAX,
     .help = "speed the driver is told, Mbit/s; 0: the backend's"},
    {.name = "duplex",
     .type = BP_PROP_ENUM,
     .def = "full",
     .choices = duplexes,
     .help = "duplex the driver is told"},
    {.name = "offloads",
     .type = BP_PROP_BOOL,
     .def = "true",
     .help = "offer checksum and segmentation offloads"},
    {.name = "mergeable",
     .type = BP_PROP_BOOL,
     .def = "true",
     .help = "offer mergeable receive buffers"},
    {.name = "hash_report",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "offer to report the hash of each received packet"},
    {.name = "rss",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "offer to spread received packets over the pairs by their hash"},
    {.name = "rom",
     .type = BP_PROP_STRING,
     .def = "/usr/lib/ipxe/qemu/pxe-virtio.rom",
     .help = "expansion ROM to boot from the network, left out if missing; \"\": none"},
    {.name = NULL},
};
