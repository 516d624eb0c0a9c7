/* SPDX-License-Identifier: Apache-2.0 */
/* The gate of a unit that several machines share: commands pass while this machine reads the state
 * of the reservations (reserve_file.h), PERSISTENT RESERVE OUT when it alone writes it.
 *
 * The gate opens with the first command and closes after the last one; under load it lets nobody
 * pass after some time until those before have ended, for the sake of who wants to write. A thread
 * waits for locks and writes; everything else runs under the target's lock. */
#include "reserve_file.h"
#include "target.h"

#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREAD       1u
#define OPEN_NS      (UINT64_C(20) * 1000 * 1000)   /* at a time, under load */
#define RETRY_NS     2000000                        /* between two tries to get a lock */
#define PATIENCE_NS  (UINT64_C(1000) * 1000 * 1000) /* with another machine, in a drain */
#define PRESENCE_TRY 1000u                          /* of them until another has started */

/* States. */
#define CLOSED    0u
#define OPENING   1u /* the thread waits for the lock */
#define OPEN      2u
#define EXCLUSIVE 3u /* the thread changes the state */

/* What the thread has to do. */
#define JOB_NONE   0u
#define JOB_SHARE  1u
#define JOB_CHANGE 2u
#define JOB_DONE   3u

struct target_gate {
    struct bp_scsi_target *target;
    int32_t fd;
    /* with the target's lock */
    uint32_t state;
    uint32_t failed; /* the file cannot be read: nobody passes */
    uint64_t opened_ns;
    uint64_t job_ns;                  /* when the thread was given it */
    struct bp_scsi_target_slot *slot; /* EXCLUSIVE: whose command it is */
    /* protects: what follows */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    uint32_t job;
    uint32_t stop;
    uint32_t cancel; /* the command was aborted */
    int32_t result;
    uint8_t cdb[16];
    uint8_t list[RESERVE_LIST_BYTES + BP_SCSI_TRANSPORT_ID_BYTES];
    struct reserve_actor actor;
    struct reserve_outcome outcome;
    struct bp_scsi_reservations changed;
};

static uint64_t
now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void
unlock(struct target_gate *gate, uint64_t what)
{
    if (reserve_file_lock(gate->fd, what, RESERVE_UNLOCK) != 0) {
        bp_error(&gate->target->services, "cannot unlock the file of reservations");
    }
}

/* --- the thread --------------------------------------------------------------------------------
 */

/* Waits for a lock, with gate->lock held. -ECANCELED: nobody wants it any more. */
static int32_t
wait_for(struct target_gate *gate, uint64_t what, uint32_t how)
{
    int32_t r = -EAGAIN;

    while (r == -EAGAIN && !gate->stop && !gate->cancel) {
        r = reserve_file_lock(gate->fd, what, how);
        if (r == -EAGAIN) {
            struct timespec until;

            (void)clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += RETRY_NS;
            until.tv_sec += until.tv_nsec / 1000000000;
            until.tv_nsec %= 1000000000;
            (void)pthread_cond_timedwait(&gate->wake, &gate->lock, &until);
        }
    }
    return r == -EAGAIN ? -ECANCELED : r;
}

/* Both locks, in their order. */
static int32_t
take_locks(struct target_gate *gate, uint32_t how)
{
    int32_t r = wait_for(gate, RESERVE_LOCK_INTENT, how);

    if (r == 0) {
        r = wait_for(gate, RESERVE_LOCK_STATE, how);
        unlock(gate, RESERVE_LOCK_INTENT);
    }
    return r;
}

static int32_t
change(struct target_gate *gate)
{
    int32_t r = take_locks(gate, RESERVE_OWN);

    if (r != 0) {
        return r;
    }
    r = reserve_file_read(gate->fd, &gate->changed);
    if (r == 0) {
        reserve_out(&gate->changed, &gate->actor, gate->cdb, gate->list, 1, &gate->outcome);
        r = gate->outcome.changed ? reserve_file_write(gate->fd, &gate->changed) : 0;
    }
    unlock(gate, RESERVE_LOCK_STATE);
    return r;
}

static void
arrived(void *opaque)
{
    struct bp_scsi_target *target = opaque;

    bp_scsi_front_enter(&target->front);
    target_gate_poll(target);
    bp_scsi_front_leave(&target->front);
}

static void
run_thread(void *opaque)
{
    struct target_gate *gate = opaque;
    const struct bp_services *services = &gate->target->services;

    pthread_mutex_lock(&gate->lock);
    while (!gate->stop) {
        if (gate->job == JOB_NONE || gate->job == JOB_DONE) {
            (void)pthread_cond_wait(&gate->wake, &gate->lock);
            continue;
        }
        gate->result = gate->job == JOB_SHARE ? take_locks(gate, RESERVE_SHARE) : change(gate);
        gate->job = JOB_DONE;
        (void)pthread_cond_broadcast(&gate->wake);
        if (services->loop->defer(services->instance, services->loop->home(services->instance),
                                  arrived, gate->target) != 0) {
            bp_error(services, "cannot go on after a change of reservations");
        }
    }
    pthread_mutex_unlock(&gate->lock);
}

static void
stop_thread(void *opaque)
{
    struct target_gate *gate = opaque;

    pthread_mutex_lock(&gate->lock);
    gate->stop = 1;
    (void)pthread_cond_broadcast(&gate->wake);
    pthread_mutex_unlock(&gate->lock);
}

static void
give_job(struct target_gate *gate, uint32_t job, uint32_t state)
{
    gate->state = state;
    gate->job_ns = now_ns();
    pthread_mutex_lock(&gate->lock);
    gate->job = job;
    gate->cancel = 0;
    (void)pthread_cond_broadcast(&gate->wake);
    pthread_mutex_unlock(&gate->lock);
}

/* --- with the target's lock --------------------------------------------------------------------
 */

/* The lock is ours: what have others done? */
static void
open_gate(struct target_gate *gate)
{
    struct bp_scsi_unit *unit = &gate->target->unit;
    struct bp_scsi_reservations state;
    int32_t r = 0;

    gate->state = OPEN;
    gate->opened_ns = now_ns();
    if (!gate->failed && !reserve_file_changed(gate->fd, &unit->reservations)) {
        return;
    }
    r = reserve_file_read(gate->fd, &state);
    if (r != 0 && !gate->failed) {
        bp_error(&gate->target->services, "cannot read the reservations that are shared: %s",
                 strerror(-r));
    }
    gate->failed = r != 0;
    if (r == 0) {
        scsi_reserve_replace(unit, &state, NULL, 0);
    }
}

static uint32_t
try_locks(struct target_gate *gate)
{
    uint32_t got = 0;

    if (reserve_file_lock(gate->fd, RESERVE_LOCK_INTENT, RESERVE_SHARE) == 0) {
        got = reserve_file_lock(gate->fd, RESERVE_LOCK_STATE, RESERVE_SHARE) == 0;
        unlock(gate, RESERVE_LOCK_INTENT);
    }
    return got;
}

uint32_t
target_gate_admits(struct bp_scsi_target *target)
{
    struct target_gate *gate = target->gate;

    if (gate == NULL) {
        return 1;
    }
    if (gate->state == OPEN) {
        return now_ns() - gate->opened_ns < OPEN_NS;
    }
    if (gate->state != CLOSED) {
        return 0;
    }
    if (try_locks(gate)) {
        open_gate(gate);
        return 1;
    }
    give_job(gate, JOB_SHARE, OPENING);
    return 0;
}

void
target_gate_idle(struct bp_scsi_target *target)
{
    struct target_gate *gate = target->gate;

    if (gate != NULL && gate->state == OPEN && target->front.active == 0) {
        unlock(gate, RESERVE_LOCK_STATE);
        gate->state = CLOSED;
    }
}

uint32_t
target_gate_failed(const struct bp_scsi_target *target)
{
    return target->gate != NULL && target->gate->failed;
}

void
target_gate_change(struct bp_scsi_target *target, struct bp_scsi_task *task)
{
    struct target_gate *gate = target->gate;

    gate->slot = target_slot_of_task(task);
    unlock(gate, RESERVE_LOCK_STATE);
    pthread_mutex_lock(&gate->lock);
    memcpy(gate->cdb, task->cdb, sizeof(gate->cdb));
    scsi_reserve_prepare(task, &gate->actor, gate->list);
    pthread_mutex_unlock(&gate->lock);
    give_job(gate, JOB_CHANGE, EXCLUSIVE);
}

static void
cancel(struct target_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->cancel = 1;
    (void)pthread_cond_broadcast(&gate->wake);
    pthread_mutex_unlock(&gate->lock);
}

uint32_t
target_gate_abort(struct bp_scsi_target_slot *slot)
{
    struct target_gate *gate = target_of_slot(slot)->gate;

    if (gate == NULL || gate->slot != slot) {
        return 0;
    }
    cancel(gate);
    return 1;
}

void
target_gate_hurry(struct bp_scsi_target *target)
{
    struct target_gate *gate = target->gate;

    if (gate != NULL && (gate->state == OPENING || gate->state == EXCLUSIVE) &&
        now_ns() - gate->job_ns > PATIENCE_NS) {
        cancel(gate);
    }
}

/* Commands that wait for the gate: they will not pass. */
static void
turn_away(struct bp_scsi_target *target)
{
    while (target->front.held_first != NULL) {
        target_abort(target->front.held_first);
    }
}

/* A change has been made, or not. */
static void
end_change(struct target_gate *gate, int32_t r)
{
    struct bp_scsi_task *task = &gate->slot->task;

    gate->slot = NULL;
    gate->state = CLOSED;
    if (r == 0) {
        scsi_reserve_end(task, &gate->changed, &gate->outcome);
    } else if (r == -ECANCELED) {
        task_status(task, BP_SCSI_TASK_ABORTED);
    } else {
        bp_error(&gate->target->services, "cannot change the reservations that are shared: %s",
                 strerror(-r));
        task_fail(task, BP_SCSI_HARDWARE_ERROR, 0x4400);
    }
    target_wake(gate->target, task);
}

void
target_gate_poll(struct bp_scsi_target *target)
{
    struct target_gate *gate = target->gate;
    uint32_t done;
    int32_t result;

    if (gate == NULL) {
        return;
    }
    pthread_mutex_lock(&gate->lock);
    done = gate->job == JOB_DONE;
    result = gate->result;
    gate->job = done ? JOB_NONE : gate->job;
    pthread_mutex_unlock(&gate->lock);
    if (!done) {
        return;
    }
    if (gate->state == EXCLUSIVE) {
        end_change(gate, result);
    } else if (result == 0) {
        open_gate(gate);
    } else if (result == -ECANCELED) {
        gate->state = CLOSED;
        turn_away(target);
    } else {
        bp_error(&target->services, "cannot lock the file of reservations: %s", strerror(-result));
        gate->state = CLOSED;
        gate->failed = 1;
    }
}

void
target_gate_wait(struct bp_scsi_target *target)
{
    struct target_gate *gate = target->gate;
    struct timespec until;

    if (gate == NULL) {
        return;
    }
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += RETRY_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&gate->lock);
    if (gate->job == JOB_SHARE || gate->job == JOB_CHANGE) {
        (void)pthread_cond_timedwait(&gate->wake, &gate->lock, &until);
    }
    pthread_mutex_unlock(&gate->lock);
}

/* --- initiators --------------------------------------------------------------------------------
 */

int32_t
target_gate_enlist(struct bp_scsi_target *target, const struct bp_scsi_nexus *nexus)
{
    uint64_t name = reserve_file_name(nexus->transport_id, nexus->transport_id_length);

    if (target->gate == NULL) {
        return 0;
    }
    /* the adapter reports that it was refused; only we know why */
    if (nexus->transport_id_length == 0) {
        bp_error(&target->services,
                 "shared reservations need to know who is who: give the adapter a name of its own "
                 "(initiator = \"iqn...\")");
        return -EINVAL;
    }
    if (reserve_file_lock(target->gate->fd, name, RESERVE_OWN) != 0) {
        bp_error(&target->services,
                 "another machine uses the same initiator name with these reservations");
        return -EBUSY;
    }
    return 0;
}

void
target_gate_discharge(struct bp_scsi_target *target, const struct bp_scsi_nexus *nexus)
{
    if (target->gate != NULL) {
        unlock(target->gate, reserve_file_name(nexus->transport_id, nexus->transport_id_length));
    }
}

/* --- life --------------------------------------------------------------------------------------
 */

/* Nobody else has the unit: its power comes on (SPC-4 5.12.4, 5.12.5). */
static int32_t
power_on(struct target_gate *gate, struct bp_scsi_reservations *state)
{
    if (state->sequence == 0 || (state->aptpl && state->generation == 0)) {
        return 0;
    }
    if (!state->aptpl) {
        *state = (struct bp_scsi_reservations){.sequence = state->sequence};
    }
    state->generation = 0;
    state->sequence++;
    return reserve_file_write(gate->fd, state);
}

static int32_t
enter_file(struct target_gate *gate)
{
    static const struct timespec pause = {.tv_nsec = RETRY_NS};
    struct bp_scsi_reservations state = {0};
    uint32_t alone = reserve_file_lock(gate->fd, RESERVE_LOCK_PRESENCE, RESERVE_OWN) == 0;
    int32_t r = 0;

    if (alone) {
        r = reserve_file_read(gate->fd, &state);
        r = r == 0 ? power_on(gate, &state) : r;
    }
    if (r == 0) {
        r = reserve_file_lock(gate->fd, RESERVE_LOCK_PRESENCE, RESERVE_SHARE);
    }
    /* another one is about to have started */
    for (uint32_t i = 0; r == -EAGAIN && i < PRESENCE_TRY; i++) {
        (void)nanosleep(&pause, NULL);
        r = reserve_file_lock(gate->fd, RESERVE_LOCK_PRESENCE, RESERVE_SHARE);
    }
    if (r == 0) {
        gate->target->unit.reservations = state;
    }
    return r;
}

int32_t
target_gate_open(struct bp_scsi_target *target, const char *path)
{
    const struct bp_services *services = &target->services;
    struct target_gate *gate = calloc(1, sizeof(*gate));
    int32_t r;

    if (gate == NULL) {
        return bp_fail(services, -ENOMEM, NULL, "out of memory");
    }
    gate->target = target;
    (void)pthread_mutex_init(&gate->lock, NULL);
    (void)pthread_cond_init(&gate->wake, NULL);
    target->gate = gate;
    gate->fd = services->core->open(services->instance, path,
                                    BP_OPEN_READ | BP_OPEN_WRITE | BP_OPEN_CREATE);
    r = gate->fd >= 0 ? enter_file(gate) : gate->fd;
    if (r != 0) {
        return bp_fail(services, r, NULL, "cannot share reservations by '%s': %s", path,
                       r == -EUCLEAN ? "no state in it is whole" : strerror(-r));
    }
    r = services->loop->thread_start(services->instance, THREAD, "scsi-reserve", run_thread,
                                     stop_thread, gate);
    return r == 0 ? 0 : bp_fail(services, r, NULL, "cannot start a thread");
}

/* The thread has been joined. */
void
target_gate_close(struct bp_scsi_target *target)
{
    struct target_gate *gate = target->gate;

    if (gate == NULL) {
        return;
    }
    if (gate->fd >= 0) {
        (void)close(gate->fd);
    }
    (void)pthread_cond_destroy(&gate->wake);
    (void)pthread_mutex_destroy(&gate->lock);
    free(gate);
    target->gate = NULL;
}
