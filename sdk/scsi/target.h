/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the target: queues, slots, functions. */
#pragma once

#include <backplane/sdk/bits.h>
#include <backplane/sdk/scsi_target.h>

struct bp_scsi_target_nexus {
    struct bp_scsi_nexus nexus; /* first member: the port casts */
    struct bp_scsi_target_nexus *next;
    uint32_t users;
};

struct bp_scsi_target_slot {
    struct bp_scsi_slot slot;         /* first member: the front casts */
    struct bp_scsi_target_slot *next; /* of those that have preempted */
    struct bp_scsi_task task;
    uint32_t preempted; /* PREEMPT AND ABORT waits for it */
};

struct bp_scsi_target_queue {
    struct bp_scsi_queue queue; /* first member: the front casts */
    struct bp_scsi_target_nexus *nexus;
    void *block_queue;
};

static inline struct bp_scsi_target *
target_of_front(struct bp_scsi_front *front)
{
    return (struct bp_scsi_target *)(void *)((uint8_t *)front -
                                             offsetof(struct bp_scsi_target, front));
}

static inline struct bp_scsi_target_queue *
target_queue(struct bp_scsi_queue *queue)
{
    return (struct bp_scsi_target_queue *)(void *)queue;
}

static inline struct bp_scsi_target_slot *
target_slot(struct bp_scsi_slot *slot)
{
    return (struct bp_scsi_target_slot *)(void *)slot;
}

static inline struct bp_scsi_target_slot *
target_slot_of_task(struct bp_scsi_task *task)
{
    return (struct bp_scsi_target_slot *)(void *)((uint8_t *)task -
                                                  offsetof(struct bp_scsi_target_slot, task));
}

static inline struct bp_scsi_target *
target_of_slot(struct bp_scsi_target_slot *slot)
{
    return target_of_front(slot->slot.queue->front);
}

/* All with the lock held. */

void target_end(struct bp_scsi_target_slot *slot);
/* The task is not BP_SCSI_WAIT any more. */
void target_wake(struct bp_scsi_target *target, struct bp_scsi_task *task);

/* Ends the commands of an initiator that was preempted; the one that did it ends after them. */
void target_preempt(struct bp_scsi_target *target, struct bp_scsi_nexus *nexus);
/* Aborts every command of every queue. */
void target_abort_all(struct bp_scsi_target *target);
/* bp_scsi_front_ops.abort, finish */
void target_abort(struct bp_scsi_slot *slot);
void target_finish(struct bp_scsi_function *function);

/* target_queue.c: bp_scsi_ops, without the lock. */
int32_t target_queue_open(void *self, const struct bp_scsi_queue_args *given,
                          void **ret_queue) BP_MUST_CHECK;
void target_queue_close(void *self, void *queue);
void target_drain(void *self, void *queue);

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
/* With the lock: whether a command may start now; else the front is left later. */
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
void target_cancel_held(struct bp_scsi_queue *queue);
