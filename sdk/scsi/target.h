/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the target: queues, slots, functions. */
#pragma once

#include <backplane/sdk/bits.h>
#include <backplane/sdk/scsi_target.h>

#define TARGET_FUNCTIONS 8u /* task management functions of a queue at a time */
#define TARGET_EVENTS    8u
#define TARGET_BATCH     32u /* completions in one call of the client */

struct bp_scsi_target_nexus {
    struct bp_scsi_nexus nexus; /* first member: the port casts */
    struct bp_scsi_target_nexus *next;
    uint32_t users;
};

#define SLOT_FREE    0u
#define SLOT_BLOCKED 1u
#define SLOT_ACTIVE  2u
#define SLOT_ENDED   3u

struct bp_scsi_target_slot {
    struct bp_scsi_task task; /* first member: wake() casts */
    struct bp_scsi_target_slot *next;
    struct bp_scsi_target_queue *queue;
    struct bp_scsi_request request;
    uint32_t state;     /* SLOT_... */
    int32_t result;     /* of the completion */
    uint64_t waiters;   /* bit n: the function with this bit waits for it */
    uint32_t preempted; /* PREEMPT AND ABORT waits for it */
};

/* A function that waits for commands to end. */
struct target_function {
    struct bp_scsi_target_queue *queue;
    uint64_t user;
    uint32_t function;
    uint32_t waiting; /* commands that have not been delivered */
    uint32_t bit;     /* in the slots' waiters, while it is used */
    uint32_t used;
    uint32_t ended;
    int32_t result;
};

struct bp_scsi_target_queue {
    struct bp_scsi_target *target;
    struct bp_scsi_target_queue *next;
    struct bp_scsi_target_nexus *nexus;
    struct bp_scsi_client client;
    void *opaque;
    void *block_queue;
    uint32_t loop;
    uint32_t slot_count;
    uint32_t slots_used; /* those behind them were never touched, so cost no memory */
    uint32_t taken;      /* commands that were not delivered yet */
    uint32_t scheduled;
    uint32_t coming; /* deferred calls that have not returned */
    struct bp_scsi_target_slot *slots;
    struct bp_scsi_target_slot *free;
    struct bp_scsi_target_slot *ended_first;
    struct bp_scsi_target_slot *ended_last;
    struct target_function functions[TARGET_FUNCTIONS];
    uint32_t event_count;
    uint16_t events[TARGET_EVENTS];
};

/* All with the lock held. */

/* Starts a command that no attribute holds back. */
void target_start(struct bp_scsi_target_slot *slot);
void target_end(struct bp_scsi_target_slot *slot);
/* Commands that were held back and may start now. */
void target_unblock(struct bp_scsi_target *target);
void target_unlink_blocked(struct bp_scsi_target_slot *slot);
/* Sees to it that the queue's loop comes and delivers. */
void target_kick(struct bp_scsi_target_queue *queue);
/* The command was delivered: functions that waited for it. */
void target_function_progress(struct bp_scsi_target_slot *slot);

/* The port's enter and leave: around what happens on a loop. */
void target_enter(struct bp_scsi_target *target);
void target_leave(struct bp_scsi_target *target);
/* The task is not BP_SCSI_WAIT any more. */
void target_wake(struct bp_scsi_target *target, struct bp_scsi_task *task);

/* Ends the commands of an initiator that was preempted; the one that did it ends after them. */
void target_preempt(struct bp_scsi_target *target, struct bp_scsi_nexus *nexus);
/* Aborts every command of every queue. */
void target_abort_all(struct bp_scsi_target *target);
/* On the queue's loop, with the lock, which it lets go of meanwhile. */
void target_deliver(struct bp_scsi_target_queue *queue);

/* target_queue.c: bp_scsi_ops, without the lock. */
int32_t target_queue_open(void *self, const struct bp_scsi_queue_args *given,
                          void **ret_queue) BP_MUST_CHECK;
void target_queue_close(void *self, void *queue);
void target_drain(void *self, void *queue);
void target_free_queue(struct bp_scsi_target_queue *queue);

/* bp_scsi_ops.manage */
int32_t target_manage(void *self, void *queue, const struct bp_scsi_management *management);

/* --- target_gate.c: a unit that several machines share. All of it does nothing for others. -------
 */

/* Takes up the file of reservations. [control] errors of core.open, -EUCLEAN, ... explained. */
int32_t target_gate_open(struct bp_scsi_target *target, const char *path) BP_MUST_CHECK;
void target_gate_close(struct bp_scsi_target *target);
/* An initiator comes: its name is its own. -EINVAL: it has none. -EBUSY. Logged. [control] */
int32_t target_gate_enlist(struct bp_scsi_target *target,
                           const struct bp_scsi_nexus *nexus) BP_MUST_CHECK;
void target_gate_discharge(struct bp_scsi_target *target, const struct bp_scsi_nexus *nexus);
/* With the lock: whether a command may start now; else target_unblock() will be called. */
uint32_t target_gate_admits(struct bp_scsi_target *target) BP_MUST_CHECK;
/* With the lock: a command has ended. */
void target_gate_idle(struct bp_scsi_target *target);
/* With the lock: nobody knows the reservations. */
uint32_t target_gate_failed(const struct bp_scsi_target *target);
/* With the lock: carries out PERSISTENT RESERVE OUT, the only active command. */
void target_gate_change(struct bp_scsi_target *target, struct bp_scsi_task *task);
/* With the lock. Returns 1 if the command is one of that kind and ends by itself. */
uint32_t target_gate_abort(struct bp_scsi_target_slot *slot) BP_MUST_CHECK;
/* With the lock: takes up what the thread has done. */
void target_gate_poll(struct bp_scsi_target *target);
/* With the lock, again and again while the target is drained: ends what has waited for another
 * machine for a second. */
void target_gate_hurry(struct bp_scsi_target *target);
/* Without the lock: until it may have done something. */
void target_gate_wait(struct bp_scsi_target *target);

/* --- target_media.c ----------------------------------------------------------------------------
 */

extern const struct bp_media_ops target_media_ops;

/* With the lock: the operators hear of a tray that has moved. */
void target_tell_tray(struct bp_scsi_target *target);
/* With the lock: each queue's one to the backend. [control] */
int32_t target_open_queues(struct bp_scsi_target *target) BP_MUST_CHECK;
void target_close_queues(struct bp_scsi_target *target);
/* life.quiesce, resume; and with the lock, when the last request has ended. */
int32_t target_quiesce(void *self, uint64_t deadline_ns);
void target_resume(void *self);
void target_settled(struct bp_scsi_target *target);
/* With the lock: what the policy says to a request that has failed, BP_SCSI_REPORT ...; life.start:
 * those that it holds are made again. */
uint32_t target_decide(struct bp_scsi_target *target, uint32_t op, int32_t status);
void target_retry(void *self);
/* With the lock: ends what the policy holds of a queue. */
void target_cancel_held(struct bp_scsi_target_queue *queue);
