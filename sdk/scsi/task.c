/* SPDX-License-Identifier: Apache-2.0 */
/* A task's way from CDB to status. */
#include "engine.h"

#include <string.h>

void
bp_scsi_task_init(struct bp_scsi_task *task, struct bp_scsi_nexus *nexus, const uint8_t *cdb,
                  uint32_t length)
{
    memset(task, 0, sizeof(*task));
    task->nexus = nexus;
    task->cdb_length = bp_min_u32(length, BP_SCSI_CDB_BYTES);
    memcpy(task->cdb, cdb, task->cdb_length);
}

/* --- how a task ends ---------------------------------------------------------------------------
 */

void
task_status(struct bp_scsi_task *task, uint32_t status)
{
    task->state = BP_SCSI_DONE;
    task->status = status;
    task->window = task->window_done = 0;
    task->kind = KIND_NONE;
    io_release(task);
}

void
task_good(struct bp_scsi_task *task)
{
    task_status(task, BP_SCSI_GOOD);
}

static void
task_check(struct bp_scsi_task *task)
{
    struct bp_scsi_nexus *nexus = task->nexus;

    if (nexus->flags & BP_SCSI_KEEP_SENSE) {
        nexus->kept = task->fault;
        nexus->kept_attention = 0;
    }
    task->sense_length = bp_scsi_sense_encode(&task->fault, task_unit(task)->descriptor_sense,
                                              task->sense, sizeof(task->sense));
    task_status(task, BP_SCSI_CHECK_CONDITION);
}

void
task_fail(struct bp_scsi_task *task, uint8_t key, uint16_t code)
{
    task->fault = (struct bp_scsi_sense){.key = key, .code = code};
    task_check(task);
}

void
task_fail_at(struct bp_scsi_task *task, uint8_t key, uint16_t code, uint64_t information)
{
    task->fault = (struct bp_scsi_sense){
        .key = key, .code = code, .flags = BP_SCSI_SENSE_INFO, .information = information};
    task_check(task);
}

static void
fail_field(struct bp_scsi_task *task, uint16_t code, uint8_t flags, uint32_t field, uint32_t bit)
{
    task->fault = (struct bp_scsi_sense){
        .key = BP_SCSI_ILLEGAL_REQUEST,
        .code = code,
        .flags = (uint8_t)(flags | BP_SCSI_SENSE_FIELD | (bit < 8 ? BP_SCSI_SENSE_BIT : 0)),
        .field = (uint16_t)field,
        .bit = (uint8_t)(bit < 8 ? bit : 0),
    };
    task_check(task);
}

void
task_fail_cdb(struct bp_scsi_task *task, uint32_t field, uint32_t bit)
{
    fail_field(task, 0x2400, BP_SCSI_SENSE_CDB, field, bit);
}

void
task_fail_list(struct bp_scsi_task *task, uint32_t field, uint32_t bit)
{
    fail_field(task, 0x2600, 0, field, bit);
}

/* --- how data begins ---------------------------------------------------------------------------
 */

void
task_data(struct bp_scsi_task *task, uint32_t kind, uint32_t direction, uint64_t length,
          uint32_t grain)
{
    task->kind = kind;
    task->direction = direction;
    task->wanted = task->length = length;
    task->grain = grain;
    if (length == 0) {
        task_good(task);
        return;
    }
    task->state = direction;
}

void
task_page_in(struct bp_scsi_task *task, uint32_t length, uint64_t allocated)
{
    task_data(task, KIND_PAGE_IN, BP_SCSI_IN, bp_min_u64(length, allocated), 1);
    task->wanted = allocated;
}

void
task_page_out(struct bp_scsi_task *task, uint32_t length)
{
    task_data(task, KIND_PAGE_OUT, BP_SCSI_OUT, length, 1);
}

void
task_blocks(struct bp_scsi_task *task, uint32_t kind, uint64_t lba, uint64_t blocks)
{
    const struct bp_scsi_unit *unit = task_unit(task);

    task->lba = lba;
    task->blocks = blocks;
    task_data(task, kind, kind == KIND_READ ? BP_SCSI_IN : BP_SCSI_OUT, blocks * unit->block_size,
              unit->block_size);
}

void
task_steps(struct bp_scsi_task *task)
{
    task->kind = KIND_STEPS;
    task->state = BP_SCSI_WAIT;
    task_advance(task);
}

/* --- how data goes on --------------------------------------------------------------------------
 */

void
task_window_done(struct bp_scsi_task *task, uint64_t bytes)
{
    task->window_done += bytes;
    if (task->window_done < task->window) {
        return;
    }
    task->moved += task->window;
    task->window = task->window_done = 0;
    task->state = task->moved < task->length ? task->direction : BP_SCSI_WAIT;
}

static void
page_move(struct bp_scsi_task *task)
{
    uint8_t *page = task->page + task->moved;
    uint64_t length = task->window;

    if (task->kind == KIND_PAGE_IN) {
        (void)bp_iovec_write(task->iov, task->iov_count, 0, page, length);
    } else {
        (void)bp_iovec_read(task->iov, task->iov_count, 0, page, length);
    }
    task_window_done(task, length);
    if (task->state == BP_SCSI_WAIT && task->kind == KIND_PAGE_IN) {
        task_good(task);
    } else if (task->state == BP_SCSI_WAIT) {
        task->command->advance(task);
    }
}

/* A window of what the bounce buffer collects. */
static void
buffer_move(struct bp_scsi_task *task)
{
    if (!io_bounce(task)) {
        return;
    }
    (void)bp_iovec_read(task->iov, task->iov_count, 0, task_unit(task)->arena + task->moved,
                        task->window);
    task_window_done(task, task->window);
    if (task->state == BP_SCSI_WAIT) {
        task->command->advance(task);
    }
}

void
task_advance(struct bp_scsi_task *task)
{
    switch (task->kind) {
    case KIND_PAGE_IN:
        page_move(task);
        break;
    case KIND_PAGE_OUT:
        /* the list is complete once; what its command does after that has steps */
        if (task->moved < task->length) {
            page_move(task);
        } else {
            task->command->advance(task);
        }
        break;
    case KIND_READ:
    case KIND_WRITE:
        io_advance(task);
        break;
    case KIND_BUFFER:
        if (task->moved < task->length) {
            buffer_move(task);
        } else {
            task->command->advance(task);
        }
        break;
    case KIND_BOUNCE:
    case KIND_STEPS:
        task->command->advance(task);
        break;
    default:
        break;
    }
}

uint32_t
bp_scsi_move(struct bp_scsi_task *task, struct bp_iovec *iov, uint32_t count, uint64_t length)
{
    if (task->state != BP_SCSI_IN && task->state != BP_SCSI_OUT) {
        return task->state;
    }
    /* A transport's mistake, not the guest's; it must not become a read of what is not there. */
    if (length == 0 || length > task->length - task->moved ||
        (length % task->grain != 0 && length != task->length - task->moved) ||
        bp_iovec_length(iov, count) < length) {
        task_fail(task, BP_SCSI_ABORTED_COMMAND, 0x4400);
        return task->state;
    }
    task->iov = iov;
    task->iov_count = count;
    task->window = length;
    task->window_done = 0;
    task->state = BP_SCSI_WAIT;
    task_advance(task);
    return task->state;
}

/* --- start -------------------------------------------------------------------------------------
 */

/* What the usage mask leaves no room for. Returns 1 if the task ended. */
static uint32_t
check_usage(struct bp_scsi_task *task)
{
    const struct bp_scsi_command *command = task->command;

    if (task->cdb_length < command->length) {
        task_fail_cdb(task, task->cdb_length, 8);
        return 1;
    }
    if (task_unit(task)->identity.flags & BP_SCSI_LENIENT) {
        return 0;
    }
    for (uint32_t i = 1; i < command->length; i++) {
        uint8_t wrong = (uint8_t)(task->cdb[i] & ~command->usage[i]);
        uint32_t bit = 7;

        if (wrong == 0) {
            continue;
        }
        while ((wrong >> bit & 1) == 0) {
            bit--;
        }
        task_fail_cdb(task, i, bit);
        return 1;
    }
    return 0;
}

uint32_t
bp_scsi_start(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    const struct bp_scsi_command *command = scsi_find_command(unit, task->cdb);

    task->command = command;
    task->state = BP_SCSI_WAIT;
    if (task->cdb[0] != 0x03) {
        task->nexus->kept = (struct bp_scsi_sense){0};
        task->nexus->kept_attention = 0;
    }
    if ((command == NULL || !(command->flags & CMD_ATTENTION)) && nexus_attend(task)) {
        return task->state;
    }
    if (command == NULL) {
        scsi_fail_unknown(task);
        return task->state;
    }
    if (scsi_reserve_conflicts(task)) {
        task_status(task, BP_SCSI_RESERVATION_CONFLICT);
        return task->state;
    }
    if (check_usage(task)) {
        return task->state;
    }
    if ((command->flags & CMD_MEDIUM) && media_not_ready(task)) {
        return task->state;
    }
    if ((command->flags & CMD_WRITES) && scsi_write_protected(unit)) {
        task_fail(task, BP_SCSI_DATA_PROTECT, 0x2700);
        return task->state;
    }
    command->start(task);
    return task->state;
}

uint32_t
bp_scsi_abort(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);

    if (task->state == BP_SCSI_DONE || task->state == BP_SCSI_IDLE) {
        task->state = BP_SCSI_DONE;
        return task->state;
    }
    if (task->in_flight) {
        task->aborted = 1;
        if (BP_HAS(unit->ops, cancel)) {
            unit->ops->cancel(unit->self, task->queue != NULL ? task->queue : unit->queue,
                              (uint64_t)(uintptr_t)task);
        }
        return task->state;
    }
    task_status(task, BP_SCSI_TASK_ABORTED);
    return task->state;
}
