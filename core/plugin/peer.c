/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/peer.h"

#include "base/error.h"
#include "plugin/args.h"

#include <string.h>

struct Peer {
    Instance *consumer;
    Instance *backend;
    const char *interface_id;
    unsigned slot;
    unsigned use;
    bool attached;
    union {
        struct bp_block_ops block;
        struct bp_char_ops character;
        struct bp_net_ops net;
        struct bp_scsi_ops scsi;
    } copy;
    const void *table;
    void *self;
    PeerShim shim;
};

/* The tables this core knows are copied; one it does not know passes through as it is. */
static bool
copy_table(Peer *peer, const void *given)
{
    if (strcmp(peer->interface_id, BP_BLOCK_ID) == 0) {
        const struct bp_block_ops *ops = &peer->copy.block;
        if (table_copy(&peer->copy.block, sizeof(peer->copy.block), given) != 0 ||
            ops->info == NULL || ops->queue_open == NULL || ops->queue_close == NULL ||
            ops->submit == NULL || ops->drain == NULL) {
            return false;
        }
        peer->table = ops;
        if (peer->consumer->loop_lock != NULL || peer->consumer->plan->is_device) {
            peer_block_shim(&peer->shim, peer->consumer, ops, peer->self);
        }
    } else if (strcmp(peer->interface_id, BP_CHAR_ID) == 0) {
        const struct bp_char_ops *ops = &peer->copy.character;
        if (table_copy(&peer->copy.character, sizeof(peer->copy.character), given) != 0 ||
            ops->connect == NULL || ops->disconnect == NULL || ops->write == NULL ||
            ops->credit == NULL) {
            return false;
        }
        peer->table = ops;
        if (peer->consumer->loop_lock != NULL) {
            peer_char_shim(&peer->shim, peer->consumer, ops, peer->self);
        }
    } else if (strcmp(peer->interface_id, BP_NET_ID) == 0) {
        const struct bp_net_ops *ops = &peer->copy.net;
        if (table_copy(&peer->copy.net, sizeof(peer->copy.net), given) != 0 ||
            !peer_net_complete(ops)) {
            return false;
        }
        peer->table = ops;
        if (peer->consumer->loop_lock != NULL) {
            peer_net_shim(&peer->shim, peer->consumer, ops, peer->self);
        }
    } else if (strcmp(peer->interface_id, BP_SCSI_ID) == 0) {
        const struct bp_scsi_ops *ops = &peer->copy.scsi;
        if (table_copy(&peer->copy.scsi, sizeof(peer->copy.scsi), given) != 0 ||
            !peer_scsi_complete(ops)) {
            return false;
        }
        peer->table = ops;
        if (peer->consumer->loop_lock != NULL) {
            peer_scsi_shim(&peer->shim, peer->consumer, ops, peer->self);
        }
    } else {
        peer->table = given;
    }
    return true;
}

Peer *
peer_new(Instance *consumer, Instance *backend, const PlanSlotUse *use, GError **error)
{
    const struct bp_slot *slot = &consumer->class->slots[use->slot];
    const void *given = instance_query(backend, slot->interface_id);
    Peer *peer;
    uint32_t size = 0;

    if (given != NULL) {
        memcpy(&size, given, sizeof(size));
    }
    if (given == NULL || size < slot->min_size) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_PLUGIN,
                    "backend \"%s\" provides no %s of at least %u bytes (it has %u), which \"%s\" "
                    "needs",
                    backend->id, slot->interface_id, slot->min_size, size, consumer->id);
        return NULL;
    }
    peer = g_new0(Peer, 1);
    peer->consumer = consumer;
    peer->backend = backend;
    peer->interface_id = slot->interface_id;
    peer->slot = use->slot;
    peer->use = use->use;
    peer->self = backend->self;
    if (!copy_table(peer, given)) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_PLUGIN,
                    "backend \"%s\": its %s lacks a function that is not optional", backend->id,
                    slot->interface_id);
        peer_free(peer);
        return NULL;
    }
    if (peer->shim.table != NULL) {
        peer->table = peer->shim.table;
        peer->self = peer->shim.self;
    }
    return peer;
}

void
peer_free(Peer *peer)
{
    if (peer == NULL) {
        return;
    }
    if (peer->shim.free_self != NULL) {
        peer->shim.free_self(peer->shim.self);
    }
    g_free(peer);
}

void
peer_describe(const Peer *peer, struct bp_peer *out)
{
    *out = (struct bp_peer){
        .size = sizeof(*out),
        .id = peer->backend->id,
        .interface_id = peer->interface_id,
        .table = peer->table,
        .self = peer->self,
    };
}

unsigned
peer_slot(const Peer *peer)
{
    return peer->slot;
}

unsigned
peer_use(const Peer *peer)
{
    return peer->use;
}

bool
peer_is_attached(const Peer *peer)
{
    return peer->attached;
}

void
peer_set_attached(Peer *peer, bool attached)
{
    peer->attached = attached;
}

Instance *
peer_backend(const Peer *peer)
{
    return peer->backend;
}

static bool
is_counted(const Peer *peer)
{
    return peer->shim.self != NULL && strcmp(peer->interface_id, BP_BLOCK_ID) == 0;
}

bool
peer_block_stats(const Peer *peer, PeerBlockStats *stats)
{
    if (is_counted(peer)) {
        peer_block_shim_stats(&peer->shim, stats);
    }
    return is_counted(peer);
}

unsigned
peer_block_queue_stats(const Peer *peer, PeerBlockStats *stats, unsigned max)
{
    return is_counted(peer) ? peer_block_shim_queues(&peer->shim, stats, max) : 0;
}

bool
peer_block_set_latency(const Peer *peer, const PeerBlockLatency *latency)
{
    if (is_counted(peer)) {
        peer_block_shim_set_latency(&peer->shim, latency);
    }
    return is_counted(peer);
}

const PeerBlockLatency *
peer_block_latency(const Peer *peer, PeerBlockTimes *times)
{
    return is_counted(peer) ? peer_block_shim_latency(&peer->shim, times) : NULL;
}
