/* SPDX-License-Identifier: Apache-2.0 */
/* How long the requests of a queue take, for as long as somebody wants to know. Each request goes
 * to the backend under a number of ours, by which its end finds its beginning. Made and freed while
 * nothing is in flight; a queue without one pays a branch. */
#pragma once

#include "plugin/peer.h"

typedef struct BlockTimes BlockTimes;

#define BLOCK_TIMES_CHUNK 32u /* records that are renumbered at a time */

BlockTimes *block_times_new(uint32_t depth);
void block_times_free(BlockTimes *times);
/* Copies of count requests, at most BLOCK_TIMES_CHUNK, under our numbers. Returns how many: fewer
 * when depth is reached. Submitter. */
uint32_t block_times_begin(BlockTimes *times, const struct bp_block_request *requests,
                           uint32_t count, struct bp_block_request *out);
/* The backend did not take these. */
void block_times_undo(BlockTimes *times, const struct bp_block_request *requests, uint32_t count);
/* The completions' own numbers again, in copies. Loop. */
void block_times_end(BlockTimes *times, const struct bp_block_completion *completions,
                     uint32_t count, const PeerBlockLatency *latency,
                     struct bp_block_completion *out);
/* Our number of a request in flight; UINT64_MAX: there is none. */
uint64_t block_times_find(BlockTimes *times, uint64_t user);
/* Adds what this queue counted. */
void block_times_add(BlockTimes *times, PeerBlockTimes *sum);
