/* SPDX-License-Identifier: Apache-2.0 */
/* filter-netem from the inside: a pipe is one direction of one lane, where copies of frames wait
 * for their time. Nothing is allocated on the way: frames lie in chains of chunks of one arena. */
#pragma once

#include <backplane/sdk/net_stack.h>

#include <stdatomic.h>

#define NETEM_CHUNK  2048u
#define NETEM_PIECES (BP_NET_MAX_FRAME / NETEM_CHUNK + 1u) /* chunks of the longest frame */

#define NETEM_SEND    0u
#define NETEM_RECEIVE 1u

/* What happens to frames; may change at any time. Probabilities: of 2^32. */
struct netem_rules {
    _Atomic(uint64_t) delay_ns, jitter_ns;
    _Atomic(uint64_t) bits_per_second; /* 0: any */
    _Atomic(uint64_t) loss, duplicate, reorder;
};

struct netem_entry {
    uint64_t due_ns;
    uint64_t sequence; /* among frames that are due at the same time */
    uint32_t first;    /* chunk */
    uint32_t length;
    struct bp_net_offload offload;
};

struct netem_pipe {
    const struct netem_rules *rules;
    uint8_t *memory;
    uint32_t *next; /* of each chunk; UINT32_MAX: last */
    uint32_t free_first, free_count;
    struct netem_entry *heap; /* the next frame is the first */
    uint32_t count, limit;
    uint64_t sequence;
    uint64_t random;
    uint64_t line_free_ns; /* when the line has sent what it was given */
    uint64_t last_due_ns;
};

/* pipe.c. memory: chunks * NETEM_CHUNK bytes. */
int32_t netem_pipe_init(struct netem_pipe *pipe, const struct netem_rules *rules, void *memory,
                        uint32_t chunks, uint32_t limit, uint64_t seed);
void netem_pipe_done(struct netem_pipe *pipe);
/* A frame comes. Returns 1: it is on its way, or lost; 0: the pipe is full. */
int netem_pipe_push(struct netem_pipe *pipe, uint64_t now_ns, const struct bp_iovec *iov,
                    uint32_t iov_count, uint32_t length, const struct bp_net_offload *offload);
/* The next frame, if it is due by now; NULL. */
const struct netem_entry *netem_pipe_due(const struct netem_pipe *pipe, uint64_t now_ns);
/* Takes the first frame off; its chunks stay until they are freed. */
struct netem_entry netem_pipe_pop(struct netem_pipe *pipe);
/* Puts back a frame that was popped: it is the first again. */
void netem_pipe_unpop(struct netem_pipe *pipe, const struct netem_entry *entry);
void netem_pipe_free(struct netem_pipe *pipe, uint32_t first);
/* A frame's pieces. Returns their number, at most NETEM_PIECES. */
uint32_t netem_pipe_pieces(const struct netem_pipe *pipe, const struct netem_entry *entry,
                           struct bp_iovec *iov);
