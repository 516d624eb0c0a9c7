/* SPDX-License-Identifier: Apache-2.0 */
/* The control queue (virtio 1.2, 5.1.6.5). A command is a class, a number and data; the answer is
 * one byte. What it changes of receiving is copied to each pair. */
#include "virtio_net.h"

#include <string.h>

#define ACK_OK    0u
#define ACK_ERROR 1u

#define CLASS_RX       0u
#define CLASS_MAC      1u
#define CLASS_VLAN     2u
#define CLASS_ANNOUNCE 3u
#define CLASS_MQ       4u
#define CLASS_OFFLOADS 5u
#define CLASS_COALESCE 6u

#define RX_COMMANDS   6u /* PROMISC, ALLMULTI, ALLUNI, NOMULTI, NOUNI, NOBCAST: bits of the mode */
#define RX_EXTRA      2u /* from here on CTRL_RX_EXTRA is needed */
#define MAC_TABLE_SET 0u
#define MAC_ADDR_SET  1u
#define VLAN_ADD      0u
#define VLAN_DEL      1u
#define ANNOUNCE_ACK  0u
#define MQ_PAIRS_SET  0u
#define MQ_HASH       2u
#define OFFLOADS_SET  0u
#define COALESCE_TX   0u
#define COALESCE_RX   1u

#define GUEST_OFFLOADS                                                                             \
    (NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_ECN | NET_F_GUEST_UFO |  \
     NET_F_GUEST_USO4 | NET_F_GUEST_USO6)

/* A command's data, read piece by piece; each byte of the guest's once. */
struct command {
    const struct bp_virtio_chain *chain;
    uint64_t at; /* next byte */
};

/* Returns 0 if there is not as much. */
static int
take(struct command *command, void *data, uint32_t length)
{
    const struct bp_virtio_chain *chain = command->chain;

    if (bp_net_iov_copy(chain->iov, chain->out_count, command->at, data, length) != length) {
        return 0;
    }
    command->at += length;
    return 1;
}

static int
take_number(struct command *command, uint32_t width, uint64_t *value)
{
    uint8_t bytes[8];

    if (!take(command, bytes, width)) {
        return 0;
    }
    *value = bp_load_le(bytes, width);
    return 1;
}

void
net_rules_reset(struct net *net)
{
    struct net_rules *rules = &net->rules;

    memset(rules, 0, sizeof(*rules));
    rules->mode = NET_MODE_PROMISC; /* a driver without a control queue gets everything */
    memcpy(rules->mac, net->mac, 6);
}

void
net_rules_publish(struct net *net)
{
    uint32_t i;

    for (i = 0; i < net->pairs; i++) {
        pthread_mutex_lock(&net->pair[i].lock);
        net->pair[i].rules = net->rules;
        pthread_mutex_unlock(&net->pair[i].lock);
    }
}

static uint32_t
set_mode(struct net *net, uint32_t number, struct command *command)
{
    uint64_t on;

    if (number >= RX_COMMANDS || !net_has(net, NET_F_CTRL_RX) ||
        (number >= RX_EXTRA && !net_has(net, NET_F_CTRL_RX_EXTRA)) ||
        !take_number(command, 1, &on)) {
        return ACK_ERROR;
    }
    if (on) {
        net->rules.mode |= 1u << number;
    } else {
        net->rules.mode &= ~(1u << number);
    }
    net_rules_publish(net);
    return ACK_OK;
}

/* One of the two tables. More addresses than fit: all are let through (5.1.6.5.2). */
static int
take_table(struct command *command, uint8_t (*macs)[6], uint32_t *count)
{
    uint64_t entries;

    if (!take_number(command, 4, &entries) ||
        entries > (command->chain->out_bytes - command->at) / 6) {
        return 0;
    }
    *count = entries > NET_MAX_MACS ? NET_MAX_MACS + 1 : (uint32_t)entries;
    if (entries > NET_MAX_MACS) {
        command->at += entries * 6;
        return 1;
    }
    return entries == 0 || take(command, macs, (uint32_t)entries * 6);
}

static uint32_t
set_mac(struct net *net, uint32_t number, struct command *command)
{
    struct net_rules *rules = &net->rules;

    if (number == MAC_TABLE_SET && net_has(net, NET_F_CTRL_RX)) {
        struct net_rules next = *rules;
        if (!take_table(command, next.macs, &next.unicast) ||
            !take_table(command, next.macs + NET_MAX_MACS, &next.multicast)) {
            return ACK_ERROR;
        }
        *rules = next;
        net_rules_publish(net);
        return ACK_OK;
    }
    if (number == MAC_ADDR_SET && net_has(net, NET_F_CTRL_MAC_ADDR)) {
        uint8_t mac[6];
        if (command->chain->out_bytes != 2 + 6 || !take(command, mac, 6)) {
            return ACK_ERROR;
        }
        memcpy(rules->mac, mac, 6);
        net_show_mac(net);
        net_rules_publish(net);
        return ACK_OK;
    }
    return ACK_ERROR;
}

static uint32_t
set_vlan(struct net *net, uint32_t number, struct command *command)
{
    uint64_t vlan, bit;

    if (!net_has(net, NET_F_CTRL_VLAN) || number > VLAN_DEL || !take_number(command, 2, &vlan) ||
        vlan > 4095) {
        return ACK_ERROR;
    }
    bit = UINT64_C(1) << (vlan & 63);
    if (number == VLAN_ADD) {
        net->rules.vlans[vlan >> 6] |= bit;
    } else {
        net->rules.vlans[vlan >> 6] &= ~bit;
    }
    net_rules_publish(net);
    return ACK_OK;
}

static uint32_t
set_pairs(struct net *net, struct command *command)
{
    uint64_t pairs;
    uint32_t i;

    if (!net_has(net, NET_F_MQ) || !take_number(command, 2, &pairs) || pairs == 0 ||
        pairs > net->pairs) {
        return ACK_ERROR;
    }
    atomic_store(&net->active_pairs, (uint32_t)pairs);
    for (i = 0; i < net->pairs; i++) {
        bp_virtqueue_kick(net->pair[i].tx); /* each tells the backend on its own loop */
        bp_virtqueue_kick(net->pair[i].rx);
    }
    return ACK_OK;
}

static uint32_t
set_hash(struct net *net, struct command *command)
{
    uint8_t reserved[8], key[BP_NET_HASH_KEY_MAX];
    uint64_t types, length;

    memset(key, 0, sizeof(key));
    if (!net_has(net, NET_F_HASH_REPORT) || !take_number(command, 4, &types) ||
        (types & ~(uint64_t)NET_HASH_TYPES) != 0 || !take(command, reserved, sizeof(reserved)) ||
        !take_number(command, 1, &length) || length > sizeof(key) ||
        (length > 0 && !take(command, key, (uint32_t)length))) {
        return ACK_ERROR;
    }
    net->rules.hash_types = (uint32_t)types;
    net->rules.key_length = (uint8_t)length;
    memcpy(net->rules.key, key, sizeof(key));
    net_rules_publish(net);
    return ACK_OK;
}

static uint32_t
set_offloads(struct net *net, uint32_t number, struct command *command)
{
    uint64_t offloads;

    if (!net_has(net, NET_F_CTRL_OFFLOADS) || number != OFFLOADS_SET ||
        !take_number(command, 8, &offloads) ||
        (offloads & ~(bp_virtio_features(net->virtio) & GUEST_OFFLOADS)) != 0) {
        return ACK_ERROR;
    }
    atomic_store(&net->offloads, offloads);
    net_apply_offloads(net);
    return ACK_OK;
}

static uint32_t
set_coalesce(struct net *net, uint32_t number, struct command *command)
{
    uint64_t packets, usecs;
    uint32_t i;

    if (!net_has(net, NET_F_NOTF_COAL) || number > COALESCE_RX ||
        !take_number(command, 4, &packets) || !take_number(command, 4, &usecs)) {
        return ACK_ERROR;
    }
    for (i = 0; i < net->pairs; i++) {
        struct net_pair *pair = &net->pair[i];
        struct net_coalesce *coalesce =
            number == COALESCE_RX ? &pair->rx_coalesce : &pair->tx_coalesce;
        /* Two independent limits: a batch that sees one of them changed is as good as another. */
        atomic_store(&coalesce->max_packets, (uint32_t)packets);
        atomic_store(&coalesce->max_usecs, (uint32_t)bp_min_u64(usecs, 1000000));
    }
    return ACK_OK;
}

static uint32_t
answer(struct net *net, struct command *command)
{
    uint8_t head[2];

    if (!take(command, head, 2)) {
        return ACK_ERROR;
    }
    switch (head[0]) {
    case CLASS_RX:
        return set_mode(net, head[1], command);
    case CLASS_MAC:
        return set_mac(net, head[1], command);
    case CLASS_VLAN:
        return set_vlan(net, head[1], command);
    case CLASS_ANNOUNCE:
        if (head[1] != ANNOUNCE_ACK || !net_has(net, NET_F_GUEST_ANNOUNCE) ||
            !atomic_exchange(&net->announce, 0)) {
            return ACK_ERROR;
        }
        net_show_status(net, 0);
        return ACK_OK;
    case CLASS_MQ:
        return head[1] == MQ_PAIRS_SET ? set_pairs(net, command)
               : head[1] == MQ_HASH    ? set_hash(net, command)
                                       : ACK_ERROR;
    case CLASS_OFFLOADS:
        return set_offloads(net, head[1], command);
    case CLASS_COALESCE:
        return set_coalesce(net, head[1], command);
    default:
        return ACK_ERROR;
    }
}

void
net_control_run(struct net *net, struct bp_virtqueue *queue)
{
    struct bp_virtio_chain *chain;

    while ((chain = bp_virtqueue_pop(queue)) != NULL) {
        struct command command = {.chain = chain};
        uint32_t i = chain->out_count;

        while (i < chain->out_count + chain->in_count && chain->iov[i].length == 0) {
            i++;
        }
        if (i == chain->out_count + chain->in_count) {
            bp_virtqueue_push(chain, 0);
            bp_virtio_broken(net->virtio, "a control command without room for its answer");
            return;
        }
        *(uint8_t *)chain->iov[i].base = (uint8_t)answer(net, &command);
        bp_virtqueue_push(chain, 1);
    }
}
