/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the net stack share. */
#pragma once

#include <backplane/sdk/net_stack.h>

#define BP_NET_ARENA_OWN 0x10000u /* arena ids of lanes' own buffers */

extern const struct bp_net_client bp_net_lane_client;

/* Says that frames are done: to the filter, or to the consumer. [loop] */
void bp_net_tell_transmitted(struct bp_net_lane *lane, const uint64_t *users, uint32_t count);

/* stack_own.c. init, done: [control]; the others: [loop]. */
int32_t bp_net_own_init(struct bp_net_lane *lane);
void bp_net_own_done(struct bp_net_lane *lane);
void bp_net_own_receive(struct bp_net_lane *lane, const struct bp_net_received *records,
                        uint32_t count);
/* The backend has given all of them back, or is new: it gets what is not kept. */
void bp_net_own_flushed(struct bp_net_lane *lane);
