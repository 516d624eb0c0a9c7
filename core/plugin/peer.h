/* SPDX-License-Identifier: Apache-2.0 */
/* What a consumer gets to see of a backend: a copy of its table and, for a SERIAL consumer, a shim
 * that takes the consumer's lock around what the backend calls back. Others talk to the backend
 * directly. */
#pragma once

#include "plugin/instance.h"

#define PEER_BLOCK_OPS 6u /* BP_BLOCK_READ .. BP_BLOCK_WRITE_ZEROES, and 0 */

typedef struct Peer Peer;

/* slot, use: where it is attached in the consumer. */
Peer *peer_new(Instance *consumer, Instance *backend, const PlanSlotUse *use, GError **error);
void peer_free(Peer *peer);
/* For life.attach; valid until peer_free(). */
void peer_describe(const Peer *peer, struct bp_peer *out);
unsigned peer_slot(const Peer *peer);
unsigned peer_use(const Peer *peer);
bool peer_is_attached(const Peer *peer);
void peer_set_attached(Peer *peer, bool attached);
Instance *peer_backend(const Peer *peer);

/* What went through since it was attached. */
typedef struct {
    uint64_t operations[PEER_BLOCK_OPS]; /* by BP_BLOCK_READ ...; 0: others */
    uint64_t bytes[PEER_BLOCK_OPS];
    uint64_t completed, failed;
} PeerBlockStats;
/* False: nothing is counted there. [control] */
bool peer_block_stats(const Peer *peer, PeerBlockStats *stats);

/* The same of each queue that is open now, in the order they were opened. Returns how many there
 * are; stats: room for max of them. */
unsigned peer_block_queue_stats(const Peer *peer, PeerBlockStats *stats, unsigned max);

/* How long requests take, while somebody asks for it: bins between boundaries in nanoseconds. */
#define PEER_BLOCK_BOUNDS 32u
typedef struct {
    uint32_t count; /* 0: no histogram */
    uint64_t ns[PEER_BLOCK_BOUNDS];
} PeerBlockBounds;
typedef struct {
    PeerBlockBounds bounds[PEER_BLOCK_OPS];
} PeerBlockLatency;
typedef struct {
    uint64_t total_ns[PEER_BLOCK_OPS];
    uint64_t bins[PEER_BLOCK_OPS][PEER_BLOCK_BOUNDS + 1];
} PeerBlockTimes;
/* From now on, from zero; NULL: no more. The consumer is at rest. False: nothing is counted there.
 */
bool peer_block_set_latency(const Peer *peer, const PeerBlockLatency *latency);
/* NULL: nobody asked for it. */
const PeerBlockLatency *peer_block_latency(const Peer *peer, PeerBlockTimes *times);

/* Shims; each owns what it made. The returned table's functions take the shim as self. */
typedef struct {
    const void *table;
    void *self;
    GDestroyNotify free_self;
} PeerShim;
void peer_block_shim(PeerShim *shim, Instance *consumer, const struct bp_block_ops *below,
                     void *below_self);
void peer_block_shim_stats(const PeerShim *shim, PeerBlockStats *stats);
unsigned peer_block_shim_queues(const PeerShim *shim, PeerBlockStats *stats, unsigned max);
void peer_block_shim_set_latency(const PeerShim *shim, const PeerBlockLatency *latency);
const PeerBlockLatency *peer_block_shim_latency(const PeerShim *shim, PeerBlockTimes *times);
void peer_char_shim(PeerShim *shim, Instance *consumer, const struct bp_char_ops *below,
                    void *below_self);
/* Whether a backend's table has every function that is not optional. */
bool peer_net_complete(const struct bp_net_ops *ops);
void peer_net_shim(PeerShim *shim, Instance *consumer, const struct bp_net_ops *below,
                   void *below_self);
/* Whether a backend's table has every function that is not optional. */
bool peer_scsi_complete(const struct bp_scsi_ops *ops);
void peer_scsi_shim(PeerShim *shim, Instance *consumer, const struct bp_scsi_ops *below,
                    void *below_self);
