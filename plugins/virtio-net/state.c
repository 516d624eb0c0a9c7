/* SPDX-License-Identifier: Apache-2.0 */
/* Saved state: what the driver said on the control queue, then the transport's records. The card is
 * at rest then: receive buffers, and a frame of which a part is sent, are held chains of their
 * queues. Frames in staging buffers (RSS) are not saved: they are as lost as those on the wire. */
#include "virtio_net.h"

#include <backplane/sdk/state.h>

#include <stdlib.h>
#include <string.h>

#define MAC_BYTES (2 * NET_MAX_MACS * 6)

struct net_saved {
    uint32_t link, announce, settled, active_pairs;
    uint64_t offloads;
    uint32_t mode;
    uint8_t mac[6];
    uint32_t filter_vlans, unicast, multicast;
    uint8_t macs[MAC_BYTES];
    uint64_t vlans[64];
    uint32_t hash_types, key_length;
    uint8_t key[BP_NET_HASH_KEY_MAX];
    uint32_t spread, unclassified, table_mask;
    uint16_t table[NET_RSS_TABLE];
    uint32_t packets[2 * NET_MAX_PAIRS],
        usecs[2 * NET_MAX_PAIRS]; /* receive queues, then transmit */
    uint32_t skip[NET_MAX_PAIRS], skip_identification[NET_MAX_PAIRS];
};

static const struct bp_state_field fields[] = {
    BP_STATE_FIELD(1, struct net_saved, link, BP_FIELD_REQUIRED, 1),
    BP_STATE_FIELD(2, struct net_saved, announce, BP_FIELD_REQUIRED, 1),
    BP_STATE_FIELD(3, struct net_saved, settled, BP_FIELD_REQUIRED, 1),
    BP_STATE_FIELD(4, struct net_saved, active_pairs, BP_FIELD_REQUIRED, NET_MAX_PAIRS),
    BP_STATE_FIELD(5, struct net_saved, offloads, BP_FIELD_REQUIRED, 0),
    BP_STATE_FIELD(6, struct net_saved, mode, BP_FIELD_REQUIRED, 0x3f),
    BP_STATE_ARRAY(7, struct net_saved, mac, BP_FIELD_REQUIRED),
    BP_STATE_FIELD(8, struct net_saved, filter_vlans, BP_FIELD_REQUIRED, 1),
    BP_STATE_FIELD(9, struct net_saved, unicast, BP_FIELD_REQUIRED, NET_MAX_MACS + 1),
    BP_STATE_FIELD(10, struct net_saved, multicast, BP_FIELD_REQUIRED, NET_MAX_MACS + 1),
    BP_STATE_ARRAY(11, struct net_saved, macs, BP_FIELD_REQUIRED),
    BP_STATE_ARRAY(12, struct net_saved, vlans, BP_FIELD_REQUIRED),
    BP_STATE_FIELD(13, struct net_saved, hash_types, 0, NET_HASH_TYPES),
    BP_STATE_FIELD(14, struct net_saved, key_length, 0, BP_NET_HASH_KEY_MAX),
    BP_STATE_ARRAY(15, struct net_saved, key, 0),
    BP_STATE_FIELD(16, struct net_saved, spread, 0, 1),
    BP_STATE_FIELD(17, struct net_saved, unclassified, 0, NET_MAX_PAIRS - 1),
    BP_STATE_FIELD(18, struct net_saved, table_mask, 0, NET_RSS_TABLE - 1),
    BP_STATE_ARRAY(19, struct net_saved, table, 0),
    BP_STATE_ARRAY(20, struct net_saved, packets, 0),
    BP_STATE_ARRAY(21, struct net_saved, usecs, 0),
    BP_STATE_ARRAY(22, struct net_saved, skip, 0),
    BP_STATE_ARRAY(23, struct net_saved, skip_identification, 0),
};

#define FIELD_COUNT BP_ARRAY_LENGTH(fields)

static void
collect_rules(const struct net_rules *rules, struct net_saved *saved)
{
    saved->mode = rules->mode;
    memcpy(saved->mac, rules->mac, sizeof(saved->mac));
    saved->filter_vlans = rules->filter_vlans;
    saved->unicast = rules->unicast;
    saved->multicast = rules->multicast;
    memcpy(saved->macs, rules->macs, sizeof(saved->macs));
    memcpy(saved->vlans, rules->vlans, sizeof(saved->vlans));
    saved->hash_types = rules->hash_types;
    saved->key_length = rules->key_length;
    memcpy(saved->key, rules->key, sizeof(saved->key));
    saved->spread = rules->spread;
    saved->unclassified = rules->unclassified;
    saved->table_mask = rules->table_mask;
    memcpy(saved->table, rules->table, sizeof(saved->table));
}

static void
collect(const struct net *net, struct net_saved *saved)
{
    uint32_t i;

    memset(saved, 0, sizeof(*saved));
    saved->link = atomic_load(&net->link);
    saved->announce = atomic_load(&net->announce);
    saved->settled = atomic_load(&net->settled);
    saved->active_pairs = atomic_load(&net->active_pairs);
    saved->offloads = atomic_load(&net->offloads);
    collect_rules(&net->rules, saved);
    for (i = 0; i < net->pairs; i++) {
        const struct net_pair *pair = &net->pair[i];
        saved->packets[i] = atomic_load(&pair->rx_coalesce.max_packets);
        saved->usecs[i] = atomic_load(&pair->rx_coalesce.max_usecs);
        saved->packets[NET_MAX_PAIRS + i] = atomic_load(&pair->tx_coalesce.max_packets);
        saved->usecs[NET_MAX_PAIRS + i] = atomic_load(&pair->tx_coalesce.max_usecs);
        saved->skip[i] = pair->soft->skip;
        saved->skip_identification[i] = pair->soft->skip_identification;
    }
}

static int32_t
net_save(void *self, const struct bp_state_sink *sink)
{
    struct net *net = self;
    struct net_saved *saved = calloc(1, sizeof(*saved));
    int32_t result;

    if (saved == NULL) {
        return -ENOMEM;
    }
    collect(net, saved);
    result = bp_state_save(fields, FIELD_COUNT, saved, sink);
    free(saved);
    return result == 0 ? bp_virtio_save(net->virtio, sink) : result;
}

/* What a table of limits cannot say. */
static int32_t
check(const struct net *net, const struct net_saved *saved)
{
    uint32_t i;

    if (saved->active_pairs == 0 || saved->active_pairs > net->pairs ||
        saved->unclassified >= net->pairs || (saved->spread && !net->rss) ||
        (saved->table_mask & (saved->table_mask + 1)) != 0) {
        return -EINVAL;
    }
    for (i = 0; i < NET_RSS_TABLE; i++) {
        if (saved->table[i] >= net->pairs) {
            return -EINVAL;
        }
    }
    return 0;
}

/* Takes a state apart on the heap. *ret: to be freed. */
static int32_t
read_state(struct net *net, const void *data, uint64_t length, struct net_saved **ret)
{
    struct net_saved *saved = calloc(1, sizeof(*saved));
    int32_t result = -ENOMEM;

    if (saved != NULL) {
        result =
            bp_state_restore_part(fields, FIELD_COUNT, saved, data, length, BP_VIRTIO_STATE_TAGS);
    }
    if (result == 0) {
        result = check(net, saved);
    }
    if (result != 0) {
        free(saved);
        return result;
    }
    *ret = saved;
    return 0;
}

static int32_t
net_validate(void *self, uint32_t version, const void *data, uint64_t length)
{
    struct net *net = self;
    struct net_saved *saved;
    int32_t result = read_state(net, data, length, &saved);

    if (result != 0) {
        return result;
    }
    free(saved);
    return bp_virtio_validate(net->virtio, data, length);
}

static void
apply_rules(struct net_rules *rules, const struct net_saved *saved)
{
    rules->mode = saved->mode;
    memcpy(rules->mac, saved->mac, sizeof(rules->mac));
    rules->filter_vlans = (uint8_t)saved->filter_vlans;
    rules->unicast = saved->unicast;
    rules->multicast = saved->multicast;
    memcpy(rules->macs, saved->macs, sizeof(rules->macs));
    memcpy(rules->vlans, saved->vlans, sizeof(rules->vlans));
    rules->hash_types = saved->hash_types;
    rules->key_length = (uint8_t)saved->key_length;
    memcpy(rules->key, saved->key, sizeof(rules->key));
    rules->spread = (uint8_t)saved->spread;
    rules->unclassified = (uint16_t)saved->unclassified;
    rules->table_mask = (uint16_t)saved->table_mask;
    memcpy(rules->table, saved->table, sizeof(rules->table));
}

static void
apply(struct net *net, const struct net_saved *saved)
{
    uint32_t i;

    atomic_store(&net->link, saved->link);
    atomic_store(&net->announce, saved->announce);
    atomic_store(&net->settled, saved->settled);
    atomic_store(&net->active_pairs, saved->active_pairs);
    atomic_store(&net->offloads, saved->offloads & bp_virtio_features(net->virtio));
    for (i = 0; i < net->pairs; i++) {
        struct net_pair *pair = &net->pair[i];
        atomic_store(&pair->rx_coalesce.max_packets, saved->packets[i]);
        atomic_store(&pair->rx_coalesce.max_usecs, bp_min_u32(saved->usecs[i], NET_MAX_USECS));
        atomic_store(&pair->tx_coalesce.max_packets, saved->packets[NET_MAX_PAIRS + i]);
        atomic_store(&pair->tx_coalesce.max_usecs,
                     bp_min_u32(saved->usecs[NET_MAX_PAIRS + i], NET_MAX_USECS));
        pair->soft->skip = saved->skip[i];
        pair->soft->skip_identification = saved->skip_identification[i];
    }
    pthread_mutex_lock(&net->lock);
    apply_rules(&net->rules, saved);
    net_rules_publish(net);
    pthread_mutex_unlock(&net->lock);
    net_show_all(net);
}

static int32_t
net_restore(void *self, uint32_t version, const void *data, uint64_t length)
{
    struct net *net = self;
    struct net_saved *saved;
    int32_t result = read_state(net, data, length, &saved);

    if (result != 0) {
        return result;
    }
    result = bp_virtio_restore(net->virtio, data, length);
    if (result == 0) {
        apply(net, saved);
    }
    free(saved);
    return result;
}

static int32_t
net_after_restore(void *self)
{
    struct net *net = self;

    net_apply_offloads(net);
    net_apply_pairs(net);
    return bp_virtio_after_restore(net->virtio);
}

const struct bp_state_ops net_state = {
    .size = sizeof(net_state),
    .save = net_save,
    .validate = net_validate,
    .restore = net_restore,
    .after_restore = net_after_restore,
};
