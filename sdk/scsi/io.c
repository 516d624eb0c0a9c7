/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of tasks to the backend: one in flight a task, split to the backend's limits, held,
 * retried, cut and mended. The array of a window's pieces is used in place: its first pieces are
 * consumed as they are done, and the last one of a request is shortened while that is in flight. */
#include "engine.h"

#include <string.h>

/* --- the bounce buffer -------------------------------------------------------------------------
 */

uint32_t
io_bounce(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);

    if (unit->bounce_owner == task) {
        return 1;
    }
    task->state = BP_SCSI_WAIT;
    if (unit->bounce_owner == NULL) {
        unit->bounce_owner = task;
        return 1;
    }
    if (!task->waiting) {
        task->waiting = 1;
        task->next = NULL;
        if (unit->bounce_last != NULL) {
            unit->bounce_last->next = task;
        } else {
            unit->bounce_first = task;
        }
        unit->bounce_last = task;
    }
    return 0;
}

static uint32_t
unlink_task(struct bp_scsi_task **first, struct bp_scsi_task **last, struct bp_scsi_task *task)
{
    struct bp_scsi_task *before = NULL;

    for (struct bp_scsi_task *at = *first; at != NULL; before = at, at = at->next) {
        if (at != task) {
            continue;
        }
        if (before != NULL) {
            before->next = task->next;
        } else {
            *first = task->next;
        }
        *last = *last == task ? before : *last;
        task->next = NULL;
        return 1;
    }
    return 0;
}

static void
hand_on_bounce(struct bp_scsi_unit *unit)
{
    struct bp_scsi_task *next;

    /* a task that ends at once passes it on by itself */
    while (unit->bounce_owner == NULL && unit->bounce_first != NULL) {
        next = unit->bounce_first;
        (void)unlink_task(&unit->bounce_first, &unit->bounce_last, next);
        next->waiting = 0;
        unit->bounce_owner = next;
        task_advance(next);
        if (next->state != BP_SCSI_WAIT) {
            unit->port->wake(unit->opaque, next);
        }
    }
}

void
io_release(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);

    if (task->waiting) {
        (void)unlink_task(&unit->bounce_first, &unit->bounce_last, task);
        (void)unlink_task(&unit->held_first, &unit->held_last, task);
        task->waiting = 0;
    }
    if (unit->bounce_owner == task) {
        unit->bounce_owner = NULL;
        hand_on_bounce(unit);
    }
}

/* --- submitting --------------------------------------------------------------------------------
 */

/* The array of pieces as it was before the request. */
static void
mend(struct bp_scsi_task *task)
{
    if (task->cut != 0) {
        task->request_iov[task->request_iovs - 1].length = task->cut;
        task->cut = 0;
    }
}

static void
hold(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);

    mend(task);
    task->waiting = 1;
    task->next = NULL;
    if (unit->held_last != NULL) {
        unit->held_last->next = task;
    } else {
        unit->held_first = task;
    }
    unit->held_last = task;
}

void
task_hold_restored(struct bp_scsi_task *task)
{
    task->restored = 1;
    hold(task);
}

static void *
task_queue(const struct bp_scsi_task *task)
{
    return task->queue != NULL ? task->queue : task_unit(task)->queue;
}

static void
submit(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    struct bp_block_request request = {
        .user = (uint64_t)(uintptr_t)task,
        .op = task->request_op,
        .flags = task->request_flags,
        .offset = task->request_offset,
        .length = task->request_length,
        .iov = task->request_iov,
        .iov_count = task->request_iovs,
    };

    task->state = BP_SCSI_WAIT;
    if (unit->quiesced) {
        hold(task);
        return;
    }
    if (unit->queue == NULL) {
        task_fail(task, BP_SCSI_NOT_READY, 0x3a00);
        return;
    }
    /* the medium may have shrunk, or be another one, since the CDB was looked at */
    if (request.op != BP_BLOCK_FLUSH &&
        (request.offset > unit->blocks * unit->block_size ||
         request.length > unit->blocks * unit->block_size - request.offset)) {
        mend(task);
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x2100);
        return;
    }
    task->in_flight = 1;
    unit->in_flight++;
    if (unit->ops->submit(unit->self, task_queue(task), &request, 1) != 1) {
        task->in_flight = 0;
        unit->in_flight--;
        task_fail(task, BP_SCSI_HARDWARE_ERROR, 0x4400);
    }
}

void
io_request(struct bp_scsi_task *task, uint32_t op, uint64_t offset, uint64_t length,
           struct bp_iovec *iov, uint32_t iov_count)
{
    uint64_t sum = 0;

    task->request_op = op;
    task->request_flags = 0;
    task->request_offset = offset;
    task->request_length = length;
    task->request_iov = iov;
    task->request_iovs = 0;
    task->cut = 0;
    while (iov != NULL && sum < length && task->request_iovs < iov_count) {
        sum += iov[task->request_iovs++].length;
    }
    if (sum > length) {
        struct bp_iovec *last = &iov[task->request_iovs - 1];

        task->cut = last->length;
        last->length -= sum - length;
    }
    if ((op == BP_BLOCK_WRITE || op == BP_BLOCK_WRITE_ZEROES) && (task->flags & TASK_FUA) &&
        (task_unit(task)->block_flags & BP_BLOCK_CAN_FUA)) {
        task->request_flags = BP_BLOCK_FUA;
    }
    if (op == BP_BLOCK_WRITE_ZEROES && (task->flags & TASK_UNMAP)) {
        task->request_flags |= BP_BLOCK_UNMAP;
    }
    submit(task);
}

void
io_consume(struct bp_scsi_task *task, uint64_t bytes)
{
    while (bytes > 0 && task->iov_count > 0) {
        uint64_t n = bp_min_u64(bytes, task->iov->length);

        task->iov->base = (uint8_t *)task->iov->base + n;
        task->iov->length -= n;
        bytes -= n;
        if (task->iov->length == 0) {
            task->iov++;
            task->iov_count--;
        }
    }
}

/* --- blocks in and out of windows --------------------------------------------------------------
 */

static void
bounce_block(struct bp_scsi_task *task, uint32_t op, uint64_t offset, uint64_t length)
{
    struct bp_scsi_unit *unit = task_unit(task);

    if (!io_bounce(task)) {
        return;
    }
    task->bounced = 1;
    if (op == BP_BLOCK_WRITE) {
        (void)bp_iovec_read(task->iov, task->iov_count, 0, unit->arena, length);
    }
    task->own_iov = (struct bp_iovec){unit->arena, length};
    io_request(task, op, offset, length, &task->own_iov, 1);
}

/* Data is through: the cache, where the initiator wants it to be. */
static void
finish(struct bp_scsi_task *task)
{
    uint32_t flags = task_unit(task)->block_flags;

    if (task->kind == KIND_WRITE && (task->flags & TASK_FUA) && !(flags & BP_BLOCK_CAN_FUA) &&
        (flags & BP_BLOCK_WRITE_CACHE) && task->phase == 0) {
        task->phase = 1;
        io_request(task, BP_BLOCK_FLUSH, 0, 0, NULL, 0);
    } else if (task->command->advance != NULL) {
        task->command->advance(task); /* WRITE AND VERIFY goes on with what was written */
    } else {
        task_good(task);
    }
}

void
io_advance(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint32_t op = task->kind == KIND_READ ? BP_BLOCK_READ : BP_BLOCK_WRITE;
    uint64_t want = bp_min_u64(task_window_left(task), unit->max_transfer);
    uint64_t offset = task->lba * unit->block_size + task_position(task);
    uint64_t have = 0;

    if (task->moved == task->length) {
        finish(task);
        return;
    }
    want = task->narrow ? unit->block_size : want;
    for (uint32_t i = 0; i < task->iov_count && i < unit->max_iov && have < want; i++) {
        have += task->iov[i].length;
    }
    have = bp_min_u64(have, want);
    have -= task->grain != 0 ? have % task->grain : 0;
    if (have == 0) {
        /* not one block in as many pieces as the backend takes */
        bounce_block(task, op, offset, unit->block_size);
        return;
    }
    io_request(task, op, offset, have, task->iov, task->iov_count);
}

/* --- completions -------------------------------------------------------------------------------
 */

static void
account(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint64_t bytes = task->request_length;

    if ((task->kind != KIND_READ && task->kind != KIND_WRITE) ||
        task->request_op == BP_BLOCK_FLUSH) {
        return;
    }
    if (task->bounced && task->kind == KIND_READ) {
        (void)bp_iovec_write(task->iov, task->iov_count, 0, unit->arena, bytes);
    }
    io_consume(task, bytes);
    task_window_done(task, bytes);
    if (task->bounced) {
        task->bounced = 0;
        io_release(task);
    }
}

static void
fail(struct bp_scsi_task *task, int32_t status)
{
    uint64_t lba = task->request_offset / task_unit(task)->block_size;

    if (status == -ENOMEDIUM) {
        task_fail(task, BP_SCSI_NOT_READY, 0x3a00);
    } else if (status == -ENOSPC) {
        task_fail(task, BP_SCSI_DATA_PROTECT, 0x2707); /* space allocation failed */
    } else if (status == -EROFS) {
        task_fail(task, BP_SCSI_DATA_PROTECT, 0x2700);
    } else if (status == -ECANCELED) {
        task_fail(task, BP_SCSI_ABORTED_COMMAND, 0x0000);
    } else if (status == -EINVAL || status == -EOPNOTSUPP) {
        task_fail(task, BP_SCSI_HARDWARE_ERROR, 0x4400); /* internal target failure */
    } else if (task->request_op == BP_BLOCK_READ) {
        task_fail_at(task, BP_SCSI_MEDIUM_ERROR, 0x1100, lba);
    } else if (task->request_op == BP_BLOCK_FLUSH) {
        task_fail(task, BP_SCSI_MEDIUM_ERROR, 0x0c00);
    } else {
        task_fail_at(task, BP_SCSI_MEDIUM_ERROR, 0x0c00, lba);
    }
}

static void
failed(struct bp_scsi_task *task, int32_t status, uint32_t flags)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint32_t decision = BP_SCSI_REPORT;

    if (status == -EIO && (task->kind == KIND_READ || task->kind == KIND_WRITE) &&
        task->request_length > unit->block_size && task->request_op != BP_BLOCK_FLUSH) {
        task->narrow = 1; /* the sense data names the block */
        io_advance(task);
        return;
    }
    if (unit->port->failed != NULL) {
        decision = unit->port->failed(unit->opaque, task, task->request_op, status, flags);
    }
    if (decision == BP_SCSI_HOLD) {
        hold(task);
    } else if (decision == BP_SCSI_IGNORE) {
        account(task);
        if (task->state == BP_SCSI_WAIT) {
            task_advance(task);
        }
    } else {
        fail(task, status);
    }
}

static void
completed_one(struct bp_scsi_unit *unit, struct bp_scsi_task *task, int32_t status, uint32_t flags)
{
    task->in_flight = 0;
    unit->in_flight--;
    mend(task);
    if (task->aborted) {
        task_status(task, BP_SCSI_TASK_ABORTED);
    } else if (status < 0) {
        failed(task, status, flags);
    } else {
        account(task);
        if (task->state == BP_SCSI_WAIT) {
            task_advance(task);
        }
    }
    if (task->state != BP_SCSI_WAIT) {
        unit->port->wake(unit->opaque, task);
    }
}

static void
completed(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    struct bp_scsi_unit *unit = opaque;
    const struct bp_scsi_port *port = unit->port;

    if (port->enter != NULL) {
        port->enter(unit->opaque);
    }
    for (uint32_t i = 0; i < count; i++) {
        completed_one(unit, (struct bp_scsi_task *)(uintptr_t)completions[i].user,
                      completions[i].status, completions[i].flags);
    }
    if (unit->in_flight == 0 && port->settled != NULL) {
        port->settled(unit->opaque);
    }
    if (port->leave != NULL) {
        port->leave(unit->opaque);
    }
}

static void
event(void *opaque, uint32_t what)
{
    struct bp_scsi_unit *unit = opaque;
    const struct bp_scsi_port *port = unit->port;

    if (port->enter != NULL) {
        port->enter(unit->opaque);
    }
    if (what == BP_BLOCK_EVENT_RESIZED || what == BP_BLOCK_EVENT_MEDIA) {
        media_look(unit, what == BP_BLOCK_EVENT_MEDIA);
    }
    if (port->leave != NULL) {
        port->leave(unit->opaque);
    }
}

/* --- holding and retrying ----------------------------------------------------------------------
 */

void
bp_scsi_unit_hold(struct bp_scsi_unit *unit, uint32_t on)
{
    unit->quiesced = on != 0;
}

void
bp_scsi_unit_retry(struct bp_scsi_unit *unit)
{
    struct bp_scsi_task *task = unit->held_first;

    /* those that are held again meanwhile are not looked at twice */
    unit->held_first = unit->held_last = NULL;
    while (task != NULL) {
        struct bp_scsi_task *next = task->next;

        task->next = NULL;
        task->waiting = 0;
        if (task->restored) {
            task->restored = 0;
            task_advance(task);
        } else {
            io_request(task, task->request_op, task->request_offset, task->request_length,
                       task->request_iov, task->request_iov != NULL ? UINT32_MAX : 0);
        }
        if (task->state != BP_SCSI_WAIT) {
            unit->port->wake(unit->opaque, task);
        }
        task = next;
    }
}

/* --- the backend -------------------------------------------------------------------------------
 */

static const struct bp_block_client client = {
    .size = sizeof(client),
    .complete = completed,
    .event = event,
};

int32_t
io_learn(struct bp_scsi_unit *unit)
{
    struct bp_block_info info = {.size = sizeof(info)};
    int32_t r = unit->ops->info(unit->self, &info);

    if (r != 0 && r != -ENOMEDIUM) {
        return r;
    }
    unit->block_flags = info.flags;
    unit->physical_size = info.physical_block_size;
    unit->optimal_io = info.optimal_io_size;
    unit->max_iov = info.max_iov != 0 ? info.max_iov : 128;
    unit->max_transfer = info.max_transfer - info.max_transfer % unit->block_size;
    unit->max_transfer = unit->max_transfer != 0 ? unit->max_transfer : 1u << 20;
    unit->max_discard = info.max_discard;
    unit->discard_granularity = info.discard_granularity;
    unit->generation = info.generation;
    unit->blocks = r == 0 ? info.capacity / unit->block_size : 0;
    unit->present = unit->blocks != 0;
    return r == 0 && (!unit->present || info.block_size > unit->block_size ||
                      unit->block_size % (info.block_size != 0 ? info.block_size : 1) != 0)
               ? -EINVAL
               : 0;
}

int32_t
bp_scsi_unit_queue_open(struct bp_scsi_unit *unit, uint32_t loop, uint32_t depth, void **queue)
{
    const struct bp_block_queue_args args = {
        .size = sizeof(args), .depth = depth, .loop = loop, .client = &client, .opaque = unit};

    return unit->ops != NULL ? unit->ops->queue_open(unit->self, &args, queue) : -ENOMEDIUM;
}

void
bp_scsi_unit_queue_close(struct bp_scsi_unit *unit, void *queue)
{
    unit->ops->queue_close(unit->self, queue);
}

int32_t
bp_scsi_unit_attach(struct bp_scsi_unit *unit, const struct bp_block_ops *ops, void *self,
                    uint32_t loop, uint32_t depth)
{
    uint64_t blocks = unit->blocks;
    int32_t r;

    unit->ops = ops;
    unit->self = self;
    r = io_learn(unit);
    if (r == 0) {
        r = bp_scsi_unit_queue_open(unit, loop, depth, &unit->queue);
    }
    if (r != 0) {
        unit->ops = NULL;
        unit->queue = NULL;
        unit->present = 0;
        unit->blocks = 0;
        return r;
    }
    media_came(unit, blocks);
    return 0;
}

void
bp_scsi_unit_drain(struct bp_scsi_unit *unit)
{
    if (unit->queue != NULL) {
        unit->ops->drain(unit->self, unit->queue);
    }
}

void
bp_scsi_unit_detach(struct bp_scsi_unit *unit)
{
    if (unit->queue != NULL) {
        unit->ops->queue_close(unit->self, unit->queue);
    }
    unit->queue = NULL;
    unit->ops = NULL;
    media_went(unit);
}
