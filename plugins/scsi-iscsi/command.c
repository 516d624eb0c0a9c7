/* SPDX-License-Identifier: Apache-2.0 */
/* Commands on their way to the target and back. With the lock. */
#include "iscsi.h"

#include <backplane/sdk/bits.h>
#include <backplane/sdk/iovec.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- ending ------------------------------------------------------------------------------------
 */

static struct unit *
unit_of(const struct slot *slot)
{
    return unit_of_front(slot->slot.queue->front);
}

/* CHECK CONDITION of our own, fixed format. */
static void
end_with_sense(struct slot *slot, uint8_t key, uint16_t code)
{
    slot->sense_length = bp_scsi_fixed_sense(slot->sense, key, code);
    slot->status = BP_SCSI_CHECK_CONDITION;
    slot->moved = 0;
    bp_scsi_slot_end(&slot->slot, 0);
}

/* Commands that may be carried out twice without anybody knowing. */
static uint32_t
is_safe(const struct slot *slot)
{
    static const uint8_t safe[] = {0x00, 0x08, 0x12, 0x1a, 0x25, 0x28, 0x34, 0x35, 0x43, 0x4d,
                                   0x5a, 0x5e, 0x88, 0x90, 0x91, 0x9e, 0xa0, 0xa3, 0xa8};

    return memchr(safe, slot->slot.request.cdb[0], sizeof(safe)) != NULL &&
           slot->tries < ISCSI_RETRIES;
}

/* The session went away under a command. */
static void
lose(struct slot *slot)
{
    struct unit *unit = unit_of(slot);

    if (!is_safe(slot) || unit->state == SESSION_CLOSED) {
        bp_scsi_slot_end(&slot->slot, -EIO);
        return;
    }
    bp_scsi_slot_hold(&slot->slot);
}

/* --- answers of the target ---------------------------------------------------------------------
 */

/* The sense data is behind its length (RFC 7143 11.4.7). */
static void
take_sense(struct slot *slot, const struct scsi_task *task)
{
    uint32_t size = task->datain.size > 2 ? (uint32_t)task->datain.size - 2 : 0;
    const uint8_t *data = task->datain.data;

    if (size == 0) {
        return;
    }
    size = bp_min_u32(size, (uint32_t)data[0] << 8 | data[1]);
    size = bp_min_u32(size, sizeof(slot->sense));
    memcpy(slot->sense, data + 2, size);
    slot->sense_length = size;
}

static void
take_answer(struct slot *slot, const struct scsi_task *task, uint32_t status)
{
    const struct bp_scsi_request *request = &slot->slot.request;
    uint64_t offered = request->in_length + request->out_length;

    slot->status = status;
    if (status == BP_SCSI_CHECK_CONDITION) {
        take_sense(slot, task);
        slot->moved = 0;
    } else if (request->in_length != 0) {
        slot->moved =
            bp_min_u64(task->datain.size > 0 ? (uint64_t)task->datain.size : 0, request->in_length);
        (void)bp_iovec_write(request->in_iov, request->in_count, 0, task->datain.data, slot->moved);
    } else {
        slot->moved = offered;
    }
    if (task->residual_status == SCSI_RESIDUAL_UNDERFLOW && request->out_length != 0) {
        slot->moved -= bp_min_u64(task->residual, slot->moved);
    }
    bp_scsi_slot_end(&slot->slot, task->residual_status == SCSI_RESIDUAL_OVERFLOW ? -EOVERFLOW : 0);
}

static void
answered(struct iscsi_context *context, int status, void *data, void *opaque)
{
    struct job *job = opaque;
    struct slot *slot = job->slot;
    struct unit *unit = job->unit;

    if (slot != NULL) {
        slot->job = NULL;
        if (status >= 0 && status <= 0xff) {
            take_answer(slot, job->task, (uint32_t)status);
        } else if (status == SCSI_STATUS_TIMEOUT) {
            bp_scsi_slot_end(&slot->slot, -EIO);
        } else {
            unit->broken |= !unit->losing;
            lose(slot);
        }
    }
    scsi_free_scsi_task(job->task);
    free(job->data);
    free(job);
}

/* --- sending -----------------------------------------------------------------------------------
 */

static struct job *
new_job(struct slot *slot)
{
    const struct bp_scsi_request *request = &slot->slot.request;
    struct job *job = calloc(1, sizeof(*job));
    int direction = request->out_length != 0  ? SCSI_XFER_WRITE
                    : request->in_length != 0 ? SCSI_XFER_READ
                                              : SCSI_XFER_NONE;
    uint8_t cdb[SCSI_CDB_MAX_SIZE] = {0};

    if (job == NULL) {
        return NULL;
    }
    memcpy(cdb, request->cdb, bp_min_u32(request->cdb_length, sizeof(cdb)));
    job->unit = unit_of(slot);
    job->slot = slot;
    job->task = scsi_create_task(sizeof(cdb), cdb, direction,
                                 (int)(request->out_length + request->in_length));
    if (job->task != NULL && request->out_length != 0) {
        job->data = malloc(request->out_length);
    }
    if (job->task == NULL || (request->out_length != 0 && job->data == NULL)) {
        if (job->task != NULL) {
            scsi_free_scsi_task(job->task);
        }
        free(job);
        return NULL;
    }
    if (job->data != NULL) {
        (void)bp_iovec_read(request->out_iov, request->out_count, 0, job->data,
                            request->out_length);
    }
    return job;
}

static void
send(struct slot *slot)
{
    struct unit *unit = unit_of(slot);
    struct job *job = new_job(slot);
    struct iscsi_data data = {.size = slot->slot.request.out_length};

    slot->tries++;
    if (job == NULL) {
        slot->status = BP_SCSI_BUSY;
        bp_scsi_slot_end(&slot->slot, 0);
        return;
    }
    slot->job = job;
    data.data = job->data;
    if (iscsi_scsi_command_async(unit->context, (int)unit->lun, job->task, answered,
                                 job->data != NULL ? &data : NULL, job) != 0) {
        unit->broken = 1;
        slot->job = NULL;
        scsi_free_scsi_task(job->task);
        free(job->data);
        free(job);
        lose(slot);
    }
    session_update(unit);
}

/* SAM-5 5.14: these do not report it. */
static uint32_t
hears_of_loss(struct unit *unit, const struct slot *slot)
{
    uint8_t opcode = slot->slot.request.cdb[0];

    if (!unit->nexus_lost || opcode == 0x12 || opcode == 0xa0 || opcode == 0x03) {
        return 0;
    }
    unit->nexus_lost = 0;
    return 1;
}

static uint32_t
must_wait(struct bp_scsi_slot *slot)
{
    const struct unit *unit = unit_of(iscsi_slot(slot));

    return unit->state != SESSION_READY || unit->broken;
}

static void
start(struct bp_scsi_slot *slot)
{
    struct slot *command = iscsi_slot(slot);

    if (hears_of_loss(unit_of(command), command)) {
        end_with_sense(command, 0x06, 0x2907); /* I_T nexus loss occurred */
    } else {
        send(command);
    }
}

void
commands_fail_pending(struct unit *unit)
{
    while (unit->front.held_first != NULL) {
        bp_scsi_slot_end(unit->front.held_first, -EIO);
    }
}

static uint32_t
is_bad(const struct bp_scsi_request *request)
{
    return request->cdb_length > SCSI_CDB_MAX_SIZE ||
           (request->in_length != 0 && request->out_length != 0) ||
           request->in_length > ISCSI_MAX_BYTES || request->out_length > ISCSI_MAX_BYTES;
}

/* Adapters give CDBs with zeroes behind them; none of ours is longer than 16 bytes. */
static void
shorten(struct bp_scsi_request *request)
{
    while (request->cdb_length > SCSI_CDB_MAX_SIZE && request->cdb_length <= BP_SCSI_MAX_CDB &&
           request->cdb[request->cdb_length - 1] == 0) {
        request->cdb_length--;
    }
}

static int32_t
check(struct bp_scsi_slot *slot)
{
    struct slot *command = iscsi_slot(slot);

    *command = (struct slot){.slot = *slot};
    shorten(&slot->request);
    return is_bad(&slot->request) ? -EINVAL : 0;
}

/* Ends a command here; what the network still has of it finds nobody. */
static void
cancel(struct bp_scsi_slot *slot)
{
    struct job *job = iscsi_slot(slot)->job;

    iscsi_slot(slot)->job = NULL;
    bp_scsi_slot_end(slot, -ECANCELED);
    if (job != NULL) {
        job->slot = NULL;
        (void)iscsi_scsi_cancel_task(job->unit->context, job->task);
    }
}

static void
outcome(const struct bp_scsi_slot *slot, struct bp_scsi_outcome *outcome)
{
    const struct slot *command = (const struct slot *)(const void *)slot;
    uint64_t moved = command->moved;

    outcome->status = command->status;
    outcome->sense = command->sense;
    outcome->sense_length = command->sense_length;
    outcome->in_moved = slot->request.out_length != 0 ? 0 : moved;
    outcome->out_moved = slot->request.out_length != 0 ? moved : 0;
}

const struct bp_scsi_front_ops iscsi_front_ops = {
    .queue_bytes = sizeof(struct bp_scsi_queue),
    .slot_bytes = sizeof(struct slot),
    .check = check,
    .must_wait = must_wait,
    .start = start,
    .abort = cancel,
    .outcome = outcome,
};
