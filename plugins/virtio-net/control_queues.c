/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about queues: how many pairs are in use, how received frames are spread over them
 * (virtio 1.2, 5.1.6.5.5 to 5.1.6.5.7), and when a queue's notifications come (5.1.6.5.8; of one
 * queue: virtio 1.3). */
#include "virtio_net.h"

#include <string.h>

#define MQ_PAIRS_SET 0u
#define MQ_RSS       1u
#define MQ_HASH      2u

#define COALESCE_TX     0u
#define COALESCE_RX     1u
#define COALESCE_VQ_SET 2u
#define COALESCE_VQ_GET 3u

static void
use_pairs(struct net *net, uint32_t pairs)
{
    atomic_store(&net->active_pairs, pairs);
    net_apply_pairs(net);
}

/* The number of pairs alone says nothing of how to spread: frames come where the backend has them.
 */
static uint32_t
set_count(struct net *net, struct net_command *command)
{
    uint64_t pairs;

    if (!net_has(net, NET_F_MQ) || !net_command_number(command, 2, &pairs) || pairs == 0 ||
        pairs > net->pairs) {
        return NET_ACK_ERROR;
    }
    net->rules.spread = 0;
    net_rules_publish(net);
    use_pairs(net, (uint32_t)pairs);
    return NET_ACK_OK;
}

static int
take_key(struct net_command *command, struct net_rules *rules)
{
    uint64_t length;

    if (!net_command_number(command, 1, &length) || length > sizeof(rules->key)) {
        return 0;
    }
    memset(rules->key, 0, sizeof(rules->key));
    rules->key_length = (uint8_t)length;
    return length == 0 || net_command_take(command, rules->key, (uint32_t)length);
}

static int
take_types(struct net_command *command, struct net_rules *rules)
{
    uint64_t types;

    if (!net_command_number(command, 4, &types) || (types & ~(uint64_t)NET_HASH_TYPES) != 0) {
        return 0;
    }
    rules->hash_types = (uint32_t)types;
    return 1;
}

static uint32_t
set_hash(struct net *net, struct net_command *command)
{
    struct net_rules next = net->rules;
    uint8_t reserved[8];

    if (!net_has(net, NET_F_HASH_REPORT) || !take_types(command, &next) ||
        !net_command_take(command, reserved, sizeof(reserved)) || !take_key(command, &next)) {
        return NET_ACK_ERROR;
    }
    net->rules = next;
    net_rules_publish(net);
    return NET_ACK_OK;
}

/* 5.1.6.5.7: mask, pair of what has no hash, table. */
static int
take_table(const struct net *net, struct net_command *command, struct net_rules *rules)
{
    uint64_t mask, unclassified, pair;
    uint32_t i;

    if (!net_command_number(command, 2, &mask) || mask >= NET_RSS_TABLE ||
        (mask & (mask + 1)) != 0 || !net_command_number(command, 2, &unclassified) ||
        unclassified >= net->pairs) {
        return 0;
    }
    for (i = 0; i <= mask; i++) {
        if (!net_command_number(command, 2, &pair) || pair >= net->pairs) {
            return 0;
        }
        rules->table[i] = (uint16_t)pair;
    }
    rules->table_mask = (uint16_t)mask;
    rules->unclassified = (uint16_t)unclassified;
    return 1;
}

static uint32_t
set_rss(struct net *net, struct net_command *command)
{
    struct net_rules next = net->rules;
    uint64_t transmit;

    if (!net_has(net, NET_F_RSS) || !take_types(command, &next) ||
        !take_table(net, command, &next) || !net_command_number(command, 2, &transmit) ||
        transmit == 0 || transmit > net->pairs || !take_key(command, &next)) {
        return NET_ACK_ERROR;
    }
    next.spread = 1;
    net->rules = next;
    net_rules_publish(net);
    use_pairs(net, (uint32_t)transmit);
    return NET_ACK_OK;
}

uint32_t
net_set_pairs(struct net *net, uint32_t number, struct net_command *command)
{
    switch (number) {
    case MQ_PAIRS_SET:
        return set_count(net, command);
    case MQ_RSS:
        return set_rss(net, command);
    case MQ_HASH:
        return set_hash(net, command);
    default:
        return NET_ACK_ERROR;
    }
}

/* --- notification coalescing ----------------------------------------------------------------- */

/* Two independent limits: a batch that sees one of them changed is as good as another. */
static void
limit(struct net_coalesce *coalesce, uint64_t packets, uint64_t usecs)
{
    atomic_store(&coalesce->max_packets, (uint32_t)packets);
    atomic_store(&coalesce->max_usecs, (uint32_t)bp_min_u64(usecs, NET_MAX_USECS));
}

static uint32_t
coalesce_all(struct net *net, uint32_t number, struct net_command *command)
{
    uint64_t packets, usecs;
    uint32_t i;

    if (!net_has(net, NET_F_NOTF_COAL) || !net_command_number(command, 4, &packets) ||
        !net_command_number(command, 4, &usecs)) {
        return NET_ACK_ERROR;
    }
    for (i = 0; i < net->pairs; i++) {
        limit(number == COALESCE_RX ? &net->pair[i].rx_coalesce : &net->pair[i].tx_coalesce,
              packets, usecs);
    }
    return NET_ACK_OK;
}

/* The answer goes behind the byte that says whether it worked. */
static uint32_t
coalesce_tell(const struct net_coalesce *coalesce, struct net_command *command)
{
    struct bp_virtio_chain *chain = command->chain;
    uint8_t data[8];

    bp_store_le(data, 4, atomic_load(&coalesce->max_packets));
    bp_store_le(data + 4, 4, atomic_load(&coalesce->max_usecs));
    if (chain->in_bytes < 1 + sizeof(data)) {
        return NET_ACK_ERROR;
    }
    (void)bp_net_iov_fill(chain->iov + chain->out_count, chain->in_count, 1, data, sizeof(data));
    command->written = sizeof(data);
    return NET_ACK_OK;
}

static uint32_t
coalesce_one(struct net *net, uint32_t number, struct net_command *command)
{
    uint64_t queue, reserved, packets, usecs;
    struct net_coalesce *coalesce;

    if (!net_has(net, NET_F_VQ_NOTF_COAL) || !net_command_number(command, 2, &queue) ||
        queue >= (uint64_t)net->pairs * 2 || !net_command_number(command, 2, &reserved)) {
        return NET_ACK_ERROR;
    }
    coalesce = queue & 1 ? &net->pair[queue / 2].tx_coalesce : &net->pair[queue / 2].rx_coalesce;
    if (number == COALESCE_VQ_GET) {
        return coalesce_tell(coalesce, command);
    }
    if (!net_command_number(command, 4, &packets) || !net_command_number(command, 4, &usecs)) {
        return NET_ACK_ERROR;
    }
    limit(coalesce, packets, usecs);
    return NET_ACK_OK;
}

uint32_t
net_set_coalesce(struct net *net, uint32_t number, struct net_command *command)
{
    switch (number) {
    case COALESCE_TX:
    case COALESCE_RX:
        return coalesce_all(net, number, command);
    case COALESCE_VQ_SET:
    case COALESCE_VQ_GET:
        return coalesce_one(net, number, command);
    default:
        return NET_ACK_ERROR;
    }
}
