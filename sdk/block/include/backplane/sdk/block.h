/* SPDX-License-Identifier: Apache-2.0 */
/* Help for plugins that provide bp.block/1. Not ABI. */
#ifndef BACKPLANE_SDK_BLOCK_H
#define BACKPLANE_SDK_BLOCK_H

#include <backplane/sdk/services.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_BLOCK_SECTOR    512u
#define BP_BLOCK_MAX_DEPTH 4096u

/* Takes over the arguments of queue_open by the ABI's size rule; args->client points to client.
 * Returns 0, or -EINVAL: no client, an unknown flag or a depth out of range; -E2BIG: members of a
 * newer ABI are in use. */
int32_t bp_block_queue_args_copy(struct bp_block_queue_args *args, struct bp_block_client *client,
                                 const struct bp_block_queue_args *given);
/* Fills as much of an out struct as its size says. */
void bp_block_info_copy(struct bp_block_info *to, const struct bp_block_info *from);
/* Checks a request against the limits in info. Returns 0, -EINVAL, or -EROFS. */
int32_t bp_block_check(const struct bp_block_request *request, const struct bp_block_info *info);

/* --- queues of backends that carry requests out inside submit()
 * --------------------------------- */

/* Completions wait here for the loop, in the order of their requests. The submitter and the loop
 * share no lock: one fills at the tail, the other empties at the head. */
struct bp_block_ready;

/* All queues of an instance. The control thread's. */
struct bp_block_ready_set {
    const struct bp_services *services;
    struct bp_block_ready *first;
    uint32_t next_id;
    uint32_t delayed; /* the queues have timers: delay_ns may be given */
    uint32_t clock;   /* BP_CLOCK_... of the timers */
};

/* A queue, results as queue_open of bp.block/1. Timers get the ids from 0 on.
 * *ret_queue: untouched on failure. [control] */
int32_t bp_block_ready_open(struct bp_block_ready_set *set, const struct bp_block_queue_args *args,
                            struct bp_block_ready **ret_queue) BP_MUST_CHECK;
/* [control] */
void bp_block_ready_close(struct bp_block_ready_set *set, struct bp_block_ready *queue);
/* Frees every queue, in destroy(). */
void bp_block_ready_done(struct bp_block_ready_set *set);
/* How many more requests may be taken. The submitter's. */
uint32_t bp_block_ready_room(struct bp_block_ready *queue);
/* Adds one completion, to be delivered delay_ns from now. There must be room. The submitter's. */
void bp_block_ready_add(struct bp_block_ready *queue, uint64_t user, int32_t status,
                        uint64_t delay_ns);
/* Sees to it that the loop comes: after the last add of a submit(). The submitter's. */
void bp_block_ready_kick(struct bp_block_ready *queue);
/* Delivers everything that is left, at once. [control] */
void bp_block_ready_drain(struct bp_block_ready *queue);
/* Tells every client. [control] */
void bp_block_ready_event(struct bp_block_ready_set *set, uint32_t event);

#ifdef __cplusplus
}
#endif

#endif
