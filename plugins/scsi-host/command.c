/* SPDX-License-Identifier: Apache-2.0 */
/* Commands, the threads that carry them out, task management. With the lock, but where it says. */
#include "host.h"

#include <backplane/sdk/bits.h>

#include <errno.h>
#include <string.h>

#define SG_CDB_BYTES 16u

static struct host_unit *
unit_of_front(struct bp_scsi_front *front)
{
    return (struct host_unit *)(void *)((uint8_t *)front - offsetof(struct host_unit, front));
}

static struct host_slot *
host_slot(struct bp_scsi_slot *slot)
{
    return (struct host_slot *)(void *)slot;
}

/* --- answers -----------------------------------------------------------------------------------
 */

/* CHECK CONDITION of our own, fixed format. Without the lock: the command is the thread's. */
static void
set_sense(struct host_slot *slot, uint8_t key, uint16_t code)
{
    slot->sense_length = bp_scsi_fixed_sense(slot->sense, key, code);
    slot->status = BP_SCSI_CHECK_CONDITION;
    slot->moved = 0;
}

/* The host has not sent it. */
static int32_t
explain_refusal(struct host_slot *slot, int32_t error)
{
    switch (error) {
    case -EPERM:
    case -EACCES: /* only privileged programs may send it */
        set_sense(slot, 0x05, 0x2000);
        return 0;
    case -EINVAL: /* longer than the host's adapter can */
        set_sense(slot, 0x05, 0x2400);
        return 0;
    case -ENOMEM:
    case -EAGAIN:
    case -EBUSY:
        slot->status = BP_SCSI_BUSY;
        return 0;
    case -ENODEV:
    case -ENXIO:
        return -ENODEV;
    default:
        return -EIO;
    }
}

static int32_t
by_sg_io(struct host_unit *unit, struct host_slot *slot)
{
    const struct bp_scsi_request *request = &slot->slot.request;
    uint32_t out = request->out_length != 0;
    struct host_io io = {
        .cdb = request->cdb,
        .cdb_length = request->cdb_length,
        .direction = out                       ? HOST_OUT
                     : request->in_length != 0 ? HOST_IN
                                               : HOST_NONE,
        .iov = out ? request->out_iov : request->in_iov,
        .iov_count = out ? request->out_count : request->in_count,
        .timeout_ms = unit->timeout_ms,
        .length = request->out_length + request->in_length,
        .sense = slot->sense,
    };
    int32_t r = host_sg_io(&unit->device, &io);

    if (r != 0) {
        return explain_refusal(slot, r);
    }
    slot->status = io.status;
    slot->sense_length = bp_min_u32(io.sense_length, HOST_SENSE);
    slot->moved = io.length - io.residual;
    switch (io.transport) {
    case 0:
        return 0;
    case HOST_NO_CONNECT:
        return -ENODEV;
    case HOST_BUS_BUSY:
    case HOST_REQUEUE:
        slot->status = BP_SCSI_BUSY;
        slot->moved = 0;
        return 0;
    default:
        return io.status != BP_SCSI_GOOD ? 0 : -EIO;
    }
}

/* What the block path cannot do, the device does, and says why it cannot. */
static int32_t
carry_out(struct host_unit *unit, struct host_slot *slot)
{
    const struct bp_scsi_request *request = &slot->slot.request;
    struct host_range range;

    if (host_block_range(&unit->device, request, &range) &&
        host_transfer(&unit->device, &range, range.out ? request->out_iov : request->in_iov,
                      range.out ? request->out_count : request->in_count) == 0) {
        slot->status = BP_SCSI_GOOD;
        slot->moved = range.length;
        return 0;
    }
    return by_sg_io(unit, slot);
}

/* --- threads -----------------------------------------------------------------------------------
 */

static struct host_slot *
next_queued(struct host_unit *unit)
{
    struct host_slot *slot = unit->queued_first;

    if (slot != NULL) {
        unit->queued_first = slot->next;
        unit->queued_last = slot->next != NULL ? unit->queued_last : NULL;
    }
    return slot;
}

/* Operators, or the guest, unplug it. */
static void
lose(struct host_unit *unit)
{
    if (!unit->gone) {
        unit->gone = 1;
        bp_warn(&unit->services, "the host's device is gone");
        bp_scsi_front_gone(&unit->front);
    }
}

static void
work_on(struct host_unit *unit, struct host_slot *slot)
{
    int32_t r;

    slot->at_work = 1;
    pthread_mutex_unlock(&unit->front.lock);
    r = carry_out(unit, slot);
    pthread_mutex_lock(&unit->front.lock);
    slot->at_work = 0;
    if (r == -ENODEV) {
        lose(unit);
    }
    bp_scsi_slot_end(&slot->slot, slot->cancelled ? -ECANCELED : r);
    bp_scsi_front_run(&unit->front); /* those that waited for an ORDERED one */
    (void)pthread_cond_broadcast(&unit->front.idle);
}

static void
run_thread(void *opaque)
{
    struct host_unit *unit = opaque;
    struct host_slot *slot;

    pthread_mutex_lock(&unit->front.lock);
    while (!unit->stop) {
        slot = next_queued(unit);
        if (slot != NULL) {
            work_on(unit, slot);
        } else {
            (void)pthread_cond_wait(&unit->work, &unit->front.lock);
        }
    }
    pthread_mutex_unlock(&unit->front.lock);
}

/* The device is reset first: so that its commands end. */
static void
run_resets(void *opaque)
{
    struct host_unit *unit = opaque;

    pthread_mutex_lock(&unit->front.lock);
    while (!unit->stop) {
        if (unit->reset_count == 0) {
            (void)pthread_cond_wait(&unit->work, &unit->front.lock);
            continue;
        }
        struct bp_scsi_function *function = unit->resets[0];
        int32_t r;

        unit->reset_count--;
        memmove(unit->resets, unit->resets + 1, unit->reset_count * sizeof(function));
        pthread_mutex_unlock(&unit->front.lock);
        r = host_reset(&unit->device);
        pthread_mutex_lock(&unit->front.lock);
        if (r != 0) {
            bp_debug(&unit->services, "the host does not reset its device: %s", strerror(-r));
        }
        (void)bp_scsi_function_carry_out(function, 0);
        (void)pthread_cond_broadcast(&unit->front.idle);
    }
    pthread_mutex_unlock(&unit->front.lock);
}

static void
stop_threads(void *opaque)
{
    struct host_unit *unit = opaque;

    pthread_mutex_lock(&unit->front.lock);
    unit->stop = 1;
    (void)pthread_cond_broadcast(&unit->work);
    pthread_mutex_unlock(&unit->front.lock);
}

int32_t
host_threads_start(struct host_unit *unit)
{
    const struct bp_services *services = &unit->services;
    int32_t r = 0;

    for (uint32_t i = 0; i <= unit->threads && r == 0; i++) {
        r = services->loop->thread_start(services->instance, i, "scsi-host",
                                         i < unit->threads ? run_thread : run_resets, stop_threads,
                                         unit);
    }
    return r == 0 ? 0 : bp_fail(services, r, NULL, "cannot start a thread");
}

void
host_threads_stop(struct host_unit *unit)
{
    for (uint32_t i = 0; i <= unit->threads; i++) {
        unit->services.loop->thread_stop(unit->services.instance, i);
    }
}

/* --- the front's side --------------------------------------------------------------------------
 */

/* What reaches beyond this unit, or changes it for good. */
static uint32_t
is_dangerous(const struct host_unit *unit, const uint8_t *cdb)
{
    switch (cdb[0]) {
    case 0x04: /* FORMAT UNIT */
    case 0x3b: /* WRITE BUFFER: firmware */
    case 0x48: /* SANITIZE */
    case 0x83: /* EXTENDED COPY: other units */
    case 0x85: /* ATA PASS-THROUGH(16) */
    case 0xa4: /* MAINTENANCE OUT */
    case 0xb5: /* SECURITY PROTOCOL OUT */
        return 1;
    case 0xa1: /* ATA PASS-THROUGH(12); BLANK of a CD drive */
        return unit->type == BP_SCSI_TYPE_DISK;
    default:
        return 0;
    }
}

/* Adapters give CDBs with zeroes behind them; none that SG_IO takes is longer than 16 bytes. */
static int32_t
check(struct bp_scsi_slot *slot)
{
    struct bp_scsi_request *request = &slot->request;
    const struct host_unit *unit = unit_of_front(slot->queue->front);
    struct host_slot *command = host_slot(slot);

    while (request->cdb_length > SG_CDB_BYTES && request->cdb[request->cdb_length - 1] == 0) {
        request->cdb_length--;
    }
    command->cancelled = command->at_work = 0;
    command->status = command->sense_length = 0;
    command->moved = 0;
    return request->cdb_length > SG_CDB_BYTES ||
                   (request->in_length != 0 && request->out_length != 0) ||
                   request->in_length > unit->device.max_bytes ||
                   request->out_length > unit->device.max_bytes
               ? -EINVAL
               : 0;
}

static void
start(struct bp_scsi_slot *slot)
{
    struct host_unit *unit = unit_of_front(slot->queue->front);
    struct host_slot *command = host_slot(slot);

    if (unit->gone) {
        bp_scsi_slot_end(slot, -ENODEV);
    } else if (!unit->privileged && is_dangerous(unit, slot->request.cdb)) {
        set_sense(command, 0x05, 0x2000);
        bp_scsi_slot_end(slot, 0);
    } else {
        command->next = NULL;
        if (unit->queued_last != NULL) {
            unit->queued_last->next = command;
        } else {
            unit->queued_first = command;
        }
        unit->queued_last = command;
        (void)pthread_cond_broadcast(&unit->work);
    }
}

static void
unlink_queued(struct host_unit *unit, const struct host_slot *slot)
{
    struct host_slot *before = NULL;
    struct host_slot *at = unit->queued_first;

    while (at != NULL && at != slot) {
        before = at;
        at = at->next;
    }
    if (at == NULL) {
        return;
    }
    if (before != NULL) {
        before->next = at->next;
    } else {
        unit->queued_first = at->next;
    }
    unit->queued_last = unit->queued_last == at ? before : unit->queued_last;
}

static void
cancel(struct bp_scsi_slot *slot)
{
    struct host_slot *command = host_slot(slot);

    if (command->at_work) {
        command->cancelled = 1; /* the thread ends it */
        return;
    }
    if (slot->state == BP_SCSI_SLOT_ACTIVE) {
        unlink_queued(unit_of_front(slot->queue->front), command);
    }
    bp_scsi_slot_end(slot, -ECANCELED);
}

static void
outcome(const struct bp_scsi_slot *slot, struct bp_scsi_outcome *outcome)
{
    const struct host_slot *command = (const struct host_slot *)(const void *)slot;

    outcome->status = command->status;
    outcome->sense = command->sense;
    outcome->sense_length = command->sense_length;
    outcome->in_moved = slot->request.in_length != 0 ? command->moved : 0;
    outcome->out_moved = slot->request.out_length != 0 ? command->moved : 0;
}

const struct bp_scsi_front_ops host_front_ops = {
    .queue_bytes = sizeof(struct bp_scsi_queue),
    .slot_bytes = sizeof(struct host_slot),
    .check = check,
    .start = start,
    .abort = cancel,
    .outcome = outcome,
};

/* --- bp_scsi_ops, without the lock -------------------------------------------------------------
 */

static int32_t
host_info(void *self, struct bp_scsi_info *info)
{
    const struct host_unit *unit = self;
    const struct bp_scsi_info full = {.size = info->size,
                                      .type = unit->type,
                                      .max_iov = 1024,
                                      .max_transfer = unit->device.max_bytes};

    memcpy(info, &full, bp_min_u32(info->size, (uint32_t)sizeof(full)));
    return 0;
}

static int32_t
host_queue_open(void *self, const struct bp_scsi_queue_args *args, void **ret_queue)
{
    struct host_unit *unit = self;

    return bp_scsi_front_queue_open(&unit->front, args, ret_queue);
}

static int32_t
host_submit(void *self, void *queue, const struct bp_scsi_request *requests, uint32_t count)
{
    struct host_unit *unit = self;

    return bp_scsi_front_submit(&unit->front, queue, requests, count);
}

static int32_t
host_manage(void *self, void *queue, const struct bp_scsi_management *management)
{
    struct host_unit *unit = self;
    struct bp_scsi_function *function;
    int32_t r;

    pthread_mutex_lock(&unit->front.lock);
    r = bp_scsi_function_new(queue, management, &function);
    if (r == 0 && function->kind == BP_SCSI_UNIT_RESET &&
        unit->reset_count < BP_ARRAY_LENGTH(unit->resets)) {
        unit->resets[unit->reset_count++] = function;
        (void)pthread_cond_broadcast(&unit->work);
    } else if (r == 0) {
        (void)bp_scsi_function_carry_out(function, 0);
    }
    pthread_mutex_unlock(&unit->front.lock);
    return r;
}

static void
host_drain(void *self, void *opaque)
{
    struct host_unit *unit = self;
    struct bp_scsi_queue *queue = opaque;
    uint32_t here = bp_scsi_queue_is_here(queue);

    pthread_mutex_lock(&unit->front.lock);
    while (bp_scsi_queue_busy(queue)) {
        if (here) {
            bp_scsi_queue_deliver(queue);
        }
        if (bp_scsi_queue_busy(queue) && !(here && queue->ended_first != NULL)) {
            bp_scsi_front_wait(&unit->front);
        }
    }
    pthread_mutex_unlock(&unit->front.lock);
}

static void
host_queue_close(void *self, void *queue)
{
    struct host_unit *unit = self;

    host_drain(self, queue);
    pthread_mutex_lock(&unit->front.lock);
    bp_scsi_queue_close(queue);
    pthread_mutex_unlock(&unit->front.lock);
}

const struct bp_scsi_ops host_ops = {
    .size = sizeof(host_ops),
    .info = host_info,
    .queue_open = host_queue_open,
    .queue_close = host_queue_close,
    .submit = host_submit,
    .manage = host_manage,
    .drain = host_drain,
};
