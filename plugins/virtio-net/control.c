/* SPDX-License-Identifier: Apache-2.0 */
/* The control queue (virtio 1.2, 5.1.6.5). A command is a class, a number and data; the answer is
 * one byte. What it changes of receiving is copied to each pair. */
#include "virtio_net.h"

#include <string.h>

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
#define OFFLOADS_SET  0u

#define GUEST_OFFLOADS                                                                             \
    (NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_ECN | NET_F_GUEST_UFO |  \
     NET_F_GUEST_USO4 | NET_F_GUEST_USO6)

int
net_command_take(struct net_command *command, void *data, uint32_t length)
{
    const struct bp_virtio_chain *chain = command->chain;

    if (bp_net_iov_copy(chain->iov, chain->out_count, command->at, data, length) != length) {
        return 0;
    }
    command->at += length;
    return 1;
}

int
net_command_number(struct net_command *command, uint32_t width, uint64_t *value)
{
    uint8_t bytes[8];

    if (!net_command_take(command, bytes, width)) {
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
set_mode(struct net *net, uint32_t number, struct net_command *command)
{
    uint64_t on;

    if (number >= RX_COMMANDS || !net_has(net, NET_F_CTRL_RX) ||
        (number >= RX_EXTRA && !net_has(net, NET_F_CTRL_RX_EXTRA)) ||
        !net_command_number(command, 1, &on)) {
        return NET_ACK_ERROR;
    }
    if (on) {
        net->rules.mode |= 1u << number;
    } else {
        net->rules.mode &= ~(1u << number);
    }
    net_rules_publish(net);
    net_filter_changed(net);
    return NET_ACK_OK;
}

/* One of the two tables. More addresses than fit: all are let through (5.1.6.5.2). */
static int
take_table(struct net_command *command, uint8_t (*macs)[6], uint32_t *count)
{
    uint64_t entries;

    if (!net_command_number(command, 4, &entries) ||
        entries > (command->chain->out_bytes - command->at) / 6) {
        return 0;
    }
    *count = entries > NET_MAX_MACS ? NET_MAX_MACS + 1 : (uint32_t)entries;
    if (entries > NET_MAX_MACS) {
        command->at += entries * 6;
        return 1;
    }
    return entries == 0 || net_command_take(command, macs, (uint32_t)entries * 6);
}

static uint32_t
set_mac(struct net *net, uint32_t number, struct net_command *command)
{
    struct net_rules *rules = &net->rules;

    if (number == MAC_TABLE_SET && net_has(net, NET_F_CTRL_RX)) {
        struct net_rules next = *rules;
        if (!take_table(command, next.macs, &next.unicast) ||
            !take_table(command, next.macs + NET_MAX_MACS, &next.multicast)) {
            return NET_ACK_ERROR;
        }
        *rules = next;
        net_rules_publish(net);
        net_filter_changed(net);
        return NET_ACK_OK;
    }
    if (number == MAC_ADDR_SET && net_has(net, NET_F_CTRL_MAC_ADDR)) {
        uint8_t mac[6];
        if (command->chain->out_bytes != 2 + 6 || !net_command_take(command, mac, 6)) {
            return NET_ACK_ERROR;
        }
        memcpy(rules->mac, mac, 6);
        net_show_mac(net);
        net_rules_publish(net);
        net_filter_changed(net);
        return NET_ACK_OK;
    }
    return NET_ACK_ERROR;
}

static uint32_t
set_vlan(struct net *net, uint32_t number, struct net_command *command)
{
    uint64_t vlan, bit;

    if (!net_has(net, NET_F_CTRL_VLAN) || number > VLAN_DEL ||
        !net_command_number(command, 2, &vlan) || vlan > 4095) {
        return NET_ACK_ERROR;
    }
    bit = UINT64_C(1) << (vlan & 63);
    if (number == VLAN_ADD) {
        net->rules.vlans[vlan >> 6] |= bit;
    } else {
        net->rules.vlans[vlan >> 6] &= ~bit;
    }
    net_rules_publish(net);
    net_filter_changed(net);
    return NET_ACK_OK;
}

static uint32_t
set_offloads(struct net *net, uint32_t number, struct net_command *command)
{
    uint64_t offloads;

    if (!net_has(net, NET_F_CTRL_OFFLOADS) || number != OFFLOADS_SET ||
        !net_command_number(command, 8, &offloads) ||
        (offloads & ~(bp_virtio_features(net->virtio) & GUEST_OFFLOADS)) != 0) {
        return NET_ACK_ERROR;
    }
    atomic_store(&net->offloads, offloads);
    net_apply_offloads(net);
    return NET_ACK_OK;
}

static uint32_t
answer(struct net *net, struct net_command *command)
{
    uint8_t head[2];

    if (!net_command_take(command, head, 2)) {
        return NET_ACK_ERROR;
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
            return NET_ACK_ERROR;
        }
        net_show_status(net, 0);
        return NET_ACK_OK;
    case CLASS_MQ:
        return net_set_pairs(net, head[1], command);
    case CLASS_OFFLOADS:
        return set_offloads(net, head[1], command);
    case CLASS_COALESCE:
        return net_set_coalesce(net, head[1], command);
    default:
        return NET_ACK_ERROR;
    }
}

void
net_control_run(struct net *net, struct bp_virtqueue *queue)
{
    struct bp_virtio_chain *chain;

    while ((chain = bp_virtqueue_pop(queue)) != NULL) {
        struct net_command command = {.chain = chain};
        uint32_t ack;

        if (chain->in_bytes == 0) {
            bp_virtqueue_push(chain, 0);
            bp_virtio_broken(net->virtio, "a control command without room for its answer");
            return;
        }
        pthread_mutex_lock(&net->lock);
        ack = answer(net, &command);
        pthread_mutex_unlock(&net->lock);
        *(uint8_t *)chain->iov[chain->out_count].base = (uint8_t)ack; /* pop() makes none empty */
        bp_virtqueue_push(chain, 1 + command.written);
    }
}
