/* SPDX-License-Identifier: Apache-2.0 */
/* Help for plugins that provide bp.scsi/1, whatever carries out their commands. Not ABI.
 *
 * The front is what adapters see of a unit: queues, the commands on their way, task attributes
 * (SAM-5 8), task management (SAM-5 7). One lock is around it and what its owner keeps beside.
 *
 * A command is taken by submit(), is HELD while it must wait, ACTIVE when the owner carries it out,
 * ENDED until it was delivered on its queue's loop, without the lock. A function ends when the last
 * command that it aborted was delivered: from then on nobody touches their memory. */
#ifndef BACKPLANE_SDK_SCSI_FRONT_H
#define BACKPLANE_SDK_SCSI_FRONT_H

#include <backplane/scsi.h>
#include <backplane/sdk/sdk.h>

#include <pthread.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_SCSI_FUNCTIONS 8u /* task management functions of a queue at a time */
#define BP_SCSI_EVENTS    8u
#define BP_SCSI_BATCH     32u /* completions in one call of the client */

#define BP_SCSI_SLOT_FREE   0u
#define BP_SCSI_SLOT_HELD   1u
#define BP_SCSI_SLOT_ACTIVE 2u
#define BP_SCSI_SLOT_ENDED  3u

struct bp_scsi_front;
struct bp_scsi_queue;

/* A command; first member of the owner's. */
struct bp_scsi_slot {
    struct bp_scsi_slot
        *next; /* free, held or ended ones; the owner's between retire and deliver */
    struct bp_scsi_queue *queue;
    struct bp_scsi_request request;
    uint32_t state;   /* BP_SCSI_SLOT_... */
    uint32_t ordered; /* after all older ones, before all younger ones */
    uint32_t urgent;  /* before all others */
    int32_t result;   /* of the completion */
    uint64_t waiters; /* bit n: the function with this number waits for it */
};

/* What has become of a command whose result is 0. */
struct bp_scsi_outcome {
    uint32_t status;
    uint32_t sense_length;
    const uint8_t *sense;
    uint64_t in_moved; /* bytes of its buffers */
    uint64_t out_moved;
};

/* A task management function. */
struct bp_scsi_function {
    struct bp_scsi_queue *queue;
    uint64_t user;
    uint64_t request;
    uint32_t kind;    /* BP_SCSI_ABORT_TASK ...; 0: free */
    uint32_t number;  /* in the slots' waiters; no other function in use has it */
    uint32_t waiting; /* commands that have not been delivered */
    uint32_t ended;
    int32_t result;
};

/* First member of the owner's. */
struct bp_scsi_queue {
    struct bp_scsi_queue *next;
    struct bp_scsi_front *front;
    struct bp_scsi_client client;
    void *opaque;
    uint64_t initiator;
    uint32_t loop;
    uint32_t depth;
    uint32_t slot_count;
    uint32_t slots_used; /* those behind them were never touched, so cost no memory */
    uint32_t taken;      /* commands that were not delivered yet */
    uint32_t scheduled;
    uint32_t coming; /* deferred calls that have not returned */
    uint32_t event_count;
    uint32_t gone; /* the client shall hear it */
    uint8_t *slots;
    struct bp_scsi_slot *free;
    struct bp_scsi_slot *ended_first;
    struct bp_scsi_slot *ended_last;
    struct bp_scsi_function functions[BP_SCSI_FUNCTIONS];
    uint16_t events[BP_SCSI_EVENTS];
};

/* The owner's side. All with the lock held. */
struct bp_scsi_front_ops {
    uint32_t queue_bytes;
    uint32_t slot_bytes;
    /* A new command; may change `ordered` and `urgent`. -EINVAL: it is wrong. Optional. */
    int32_t (*check)(struct bp_scsi_slot *slot);
    /* Whether the command must wait for more than others of the front; bp_scsi_front_run() tells
     * when that may have changed. Optional. */
    uint32_t (*must_wait)(struct bp_scsi_slot *slot);
    /* Carries out a command, which is ACTIVE now, until bp_scsi_slot_end(). */
    void (*start)(struct bp_scsi_slot *slot);
    /* Ends a command that is HELD or ACTIVE with -ECANCELED, now or later. */
    void (*abort)(struct bp_scsi_slot *slot);
    void (*outcome)(const struct bp_scsi_slot *slot, struct bp_scsi_outcome *outcome);
    /* No command is in the function's way any more. Optional. */
    void (*finish)(struct bp_scsi_function *function);
};

/* In the owner's memory, zeroed. */
struct bp_scsi_front {
    const struct bp_services *services;
    const struct bp_scsi_front_ops *ops;
    pthread_mutex_t lock; /* protects: all below, and what the owner says */
    pthread_cond_t idle;  /* something was delivered */
    struct bp_scsi_queue *queues;
    struct bp_scsi_queue *closed;
    struct bp_scsi_slot *held_first; /* oldest first */
    struct bp_scsi_slot *held_last;
    uint32_t active;
    uint32_t ordered;    /* of the active ones */
    uint32_t completing; /* between enter() and leave(), which delivers */
};

void bp_scsi_front_init(struct bp_scsi_front *front, const struct bp_services *services,
                        const struct bp_scsi_front_ops *ops);
void bp_scsi_front_done(struct bp_scsi_front *front);

/* Makes a queue, which nobody sees before it is linked.
 * [control] as bp_scsi_ops.queue_open() */
int32_t bp_scsi_front_open(struct bp_scsi_front *front, const struct bp_scsi_queue_args *args,
                           struct bp_scsi_queue **ret_queue) BP_MUST_CHECK;
void bp_scsi_queue_free(struct bp_scsi_queue *queue); /* that was never linked */
/* Makes a queue and links it, where the owner has nothing to add. */
int32_t bp_scsi_front_queue_open(struct bp_scsi_front *front, const struct bp_scsi_queue_args *args,
                                 void **ret_queue) BP_MUST_CHECK;
/* bp_scsi_ops.submit() */
int32_t bp_scsi_front_submit(struct bp_scsi_front *front, struct bp_scsi_queue *queue,
                             const struct bp_scsi_request *requests, uint32_t count) BP_MUST_CHECK;
/* Around what happens on a loop: takes the lock; starts what may start, delivers what has ended
 * and belongs to this loop, and lets go of it. */
void bp_scsi_front_enter(struct bp_scsi_front *front);
void bp_scsi_front_leave(struct bp_scsi_front *front);

/* All that follows: with the lock held. */

void bp_scsi_queue_link(struct bp_scsi_queue *queue);
/* Nothing is in flight. */
void bp_scsi_queue_close(struct bp_scsi_queue *queue);
/* Commands and functions that were not delivered. */
uint32_t bp_scsi_queue_busy(const struct bp_scsi_queue *queue);
/* On the queue's loop; lets go of the lock meanwhile. */
void bp_scsi_queue_deliver(struct bp_scsi_queue *queue);
/* Whether this thread runs the queue's loop. */
uint32_t bp_scsi_queue_is_here(const struct bp_scsi_queue *queue);
/* A unit attention has come: the client is told on its loop. */
void bp_scsi_queue_event(struct bp_scsi_queue *queue, uint16_t code);
/* The unit will not come back: each client is told on its loop. */
void bp_scsi_front_gone(struct bp_scsi_front *front);
/* For a drain: until something was delivered, a second at most. */
void bp_scsi_front_wait(struct bp_scsi_front *front);
/* Starts those that are held and need not be. */
void bp_scsi_front_run(struct bp_scsi_front *front);

static inline struct bp_scsi_slot *
bp_scsi_queue_slot(const struct bp_scsi_queue *queue, uint32_t i)
{
    return (struct bp_scsi_slot *)(void *)(queue->slots +
                                           (uint64_t)i * queue->front->ops->slot_bytes);
}

#define BP_SCSI_FIXED_SENSE 18u

/* Sense data in fixed format (SPC-4 4.5.3); code: ASC << 8 | ASCQ. Returns its length. */
static inline uint32_t
bp_scsi_fixed_sense(uint8_t *sense, uint8_t key, uint16_t code)
{
    const uint8_t data[BP_SCSI_FIXED_SENSE] = {
        0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, (uint8_t)(code >> 8), (uint8_t)code};

    for (uint32_t i = 0; i < sizeof(data); i++) {
        sense[i] = data[i];
    }
    return sizeof(data);
}

/* A command has ended: bp_scsi_slot_retire(), then bp_scsi_slot_deliver(). */
void bp_scsi_slot_end(struct bp_scsi_slot *slot, int32_t result);
/* It is not HELD or ACTIVE any more, */
void bp_scsi_slot_retire(struct bp_scsi_slot *slot);
/* and goes to its queue's loop. */
void bp_scsi_slot_deliver(struct bp_scsi_slot *slot);
/* An active one has to be started once more. */
void bp_scsi_slot_hold(struct bp_scsi_slot *slot);

static inline uint32_t
bp_scsi_slot_is_running(const struct bp_scsi_slot *slot)
{
    return slot->state == BP_SCSI_SLOT_HELD || slot->state == BP_SCSI_SLOT_ACTIVE;
}

/* Begins bp_scsi_ops.manage(). -EINVAL, -EBUSY. */
int32_t bp_scsi_function_new(struct bp_scsi_queue *queue,
                             const struct bp_scsi_management *management,
                             struct bp_scsi_function **ret_function) BP_MUST_CHECK;
/* The next command of any queue that the function is about, or NULL; after: NULL to begin. */
struct bp_scsi_slot *bp_scsi_function_next(const struct bp_scsi_function *function,
                                           struct bp_scsi_slot *after);
/* Ends it when its commands were delivered: those that run are aborted, unless it is a query.
 * result: of a function that is no query. Returns how many commands were running. */
uint32_t bp_scsi_function_carry_out(struct bp_scsi_function *function, int32_t result);

#ifdef __cplusplus
}
#endif

#endif
