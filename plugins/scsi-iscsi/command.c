/* SPDX-License-Identifier: Apache-2.0 */
/* Commands on their way to the target and back. With the lock, but for submit(). */
#include "iscsi.h"

#include <backplane/sdk/bits.h>
#include <backplane/sdk/iovec.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- ending ------------------------------------------------------------------------------------
 */

static uint32_t
is_ordered(const struct slot *slot)
{
    return slot->request.attribute == BP_SCSI_ORDERED;
}

void
command_end(struct slot *slot, int32_t result)
{
    struct unit *unit = slot->queue->unit;
    struct unit_queue *queue = slot->queue;

    if (slot->state == SLOT_ACTIVE) {
        unit->active--;
        unit->ordered -= is_ordered(slot);
    }
    slot->state = SLOT_ENDED;
    slot->result = result;
    slot->next = NULL;
    if (queue->ended_last != NULL) {
        queue->ended_last->next = slot;
    } else {
        queue->ended_first = slot;
    }
    queue->ended_last = slot;
    queue_kick(queue);
}

/* CHECK CONDITION of our own, fixed format. */
static void
end_with_sense(struct slot *slot, uint8_t key, uint16_t code)
{
    memset(slot->sense, 0, 18);
    slot->sense[0] = 0x70;
    slot->sense[2] = key;
    slot->sense[7] = 10;
    slot->sense[12] = (uint8_t)(code >> 8);
    slot->sense[13] = (uint8_t)code;
    slot->sense_length = 18;
    slot->status = BP_SCSI_CHECK_CONDITION;
    slot->moved = 0;
    command_end(slot, 0);
}

static void
append(struct slot *slot)
{
    struct unit *unit = slot->queue->unit;

    slot->state = SLOT_PENDING;
    slot->next = NULL;
    if (unit->pending_last != NULL) {
        unit->pending_last->next = slot;
    } else {
        unit->pending_first = slot;
    }
    unit->pending_last = slot;
}

void
command_unlink(struct slot *slot)
{
    struct unit *unit = slot->queue->unit;
    struct slot *before = NULL;

    for (struct slot *at = unit->pending_first; at != NULL; before = at, at = at->next) {
        if (at != slot) {
            continue;
        }
        if (before != NULL) {
            before->next = slot->next;
        } else {
            unit->pending_first = slot->next;
        }
        unit->pending_last = unit->pending_last == slot ? before : unit->pending_last;
        return;
    }
}

/* Commands that may be carried out twice without anybody knowing. */
static uint32_t
is_safe(const struct slot *slot)
{
    static const uint8_t safe[] = {0x00, 0x08, 0x12, 0x1a, 0x25, 0x28, 0x34, 0x35, 0x43, 0x4d,
                                   0x5a, 0x5e, 0x88, 0x90, 0x91, 0x9e, 0xa0, 0xa3, 0xa8};

    return memchr(safe, slot->request.cdb[0], sizeof(safe)) != NULL && slot->tries < ISCSI_RETRIES;
}

/* The session went away under a command. */
static void
lose(struct slot *slot)
{
    struct unit *unit = slot->queue->unit;

    if (!is_safe(slot) || unit->state == SESSION_CLOSED) {
        command_end(slot, -EIO);
        return;
    }
    unit->active--;
    unit->ordered -= is_ordered(slot);
    append(slot);
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
    struct bp_scsi_request *request = &slot->request;
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
    command_end(slot, task->residual_status == SCSI_RESIDUAL_OVERFLOW ? -EOVERFLOW : 0);
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
            command_end(slot, -EIO);
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
    const struct bp_scsi_request *request = &slot->request;
    struct job *job = calloc(1, sizeof(*job));
    int direction = request->out_length != 0  ? SCSI_XFER_WRITE
                    : request->in_length != 0 ? SCSI_XFER_READ
                                              : SCSI_XFER_NONE;
    uint8_t cdb[SCSI_CDB_MAX_SIZE] = {0};

    if (job == NULL) {
        return NULL;
    }
    memcpy(cdb, request->cdb, bp_min_u32(request->cdb_length, sizeof(cdb)));
    job->unit = slot->queue->unit;
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
    struct unit *unit = slot->queue->unit;
    struct job *job = new_job(slot);
    struct iscsi_data data = {.size = slot->request.out_length};

    slot->state = SLOT_ACTIVE;
    slot->tries++;
    unit->active++;
    unit->ordered += is_ordered(slot);
    if (job == NULL) {
        slot->status = BP_SCSI_BUSY;
        command_end(slot, 0);
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
}

/* SAM-5 5.14: these do not report it. */
static uint32_t
hears_of_loss(struct unit *unit, const struct slot *slot)
{
    uint8_t opcode = slot->request.cdb[0];

    if (!unit->nexus_lost || opcode == 0x12 || opcode == 0xa0 || opcode == 0x03) {
        return 0;
    }
    unit->nexus_lost = 0;
    return 1;
}

static uint32_t
must_wait(const struct unit *unit, const struct slot *slot)
{
    return unit->state != SESSION_READY || unit->broken || unit->ordered != 0 ||
           (is_ordered(slot) && unit->active != 0);
}

void
commands_send(struct unit *unit)
{
    while (unit->pending_first != NULL && !must_wait(unit, unit->pending_first)) {
        struct slot *slot = unit->pending_first;

        command_unlink(slot);
        if (hears_of_loss(unit, slot)) {
            end_with_sense(slot, 0x06, 0x2907); /* I_T nexus loss occurred */
        } else {
            send(slot);
        }
    }
}

void
commands_fail_pending(struct unit *unit)
{
    while (unit->pending_first != NULL) {
        struct slot *slot = unit->pending_first;

        command_unlink(slot);
        command_end(slot, -EIO);
    }
}

static uint32_t
is_bad(const struct bp_scsi_request *request)
{
    return request->cdb_length == 0 || request->cdb_length > SCSI_CDB_MAX_SIZE ||
           request->flags != 0 || request->attribute > BP_SCSI_ORDERED ||
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

static void
take(struct unit_queue *queue, const struct bp_scsi_request *request)
{
    struct slot *slot = queue->free;

    queue->free = slot->next;
    queue->taken++;
    *slot = (struct slot){.queue = queue, .request = *request};
    shorten(&slot->request);
    if (is_bad(&slot->request)) {
        command_end(slot, -EINVAL);
    } else {
        append(slot);
    }
}

int32_t
iscsi_submit(void *self, void *opaque, const struct bp_scsi_request *requests, uint32_t count)
{
    struct unit *unit = self;
    struct unit_queue *queue = opaque;
    uint32_t taken = 0;

    pthread_mutex_lock(&unit->lock);
    while (taken < count && queue->free != NULL) {
        take(queue, &requests[taken++]);
    }
    commands_send(unit);
    session_update(unit);
    pthread_mutex_unlock(&unit->lock);
    return (int32_t)taken;
}
