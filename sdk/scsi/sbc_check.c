/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that look at what is on the medium: VERIFY, WRITE AND VERIFY, COMPARE AND WRITE, ORWRITE
 * (SBC-3 5.2, 5.7, 5.31, 5.41). They work chunk by chunk in the bounce buffer, which one task has
 * at a time: so they are atomic to each other. */
#include "sbc.h"

#include <string.h>

#define HALF (BP_SCSI_ARENA_BYTES / 2)

static uint64_t
offset_of(const struct bp_scsi_task *task, uint64_t done)
{
    return task->lba * task_unit(task)->block_size + done;
}

static void
request(struct bp_scsi_task *task, uint32_t op, uint64_t done, uint64_t length, uint8_t *buffer)
{
    task->own_iov = (struct bp_iovec){buffer, length};
    io_request(task, op, offset_of(task, done), length, &task->own_iov, 1);
}

static void
miscompare(struct bp_scsi_task *task, const uint8_t *a, const uint8_t *b, uint64_t length,
           uint64_t before)
{
    uint64_t at = 0;

    while (at < length && a[at] == b[at]) {
        at++;
    }
    task_fail_at(task, BP_SCSI_MISCOMPARE, 0x1d00, before + at);
}

/* The window's next bytes; at most half a buffer of them, whole blocks. */
static uint64_t
chunk(const struct bp_scsi_task *task)
{
    return bp_min_u64(task_window_left(task), HALF);
}

/* After a chunk: the next one, the next window (1), or none (0). */
static uint32_t
chunk_done(struct bp_scsi_task *task, uint64_t length)
{
    io_consume(task, length);
    task_window_done(task, length);
    if (task->state != BP_SCSI_WAIT) {
        io_release(task);
        return 1;
    }
    return 0;
}

/* --- VERIFY ------------------------------------------------------------------------------------
 */

#define BYTCHK(task) ((task)->cdb[1] >> 1 & 3u)

/* The medium alone: reads all of it. */
static void
verify_medium(struct bp_scsi_task *task, uint64_t from)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint64_t left = (task->blocks - task->done_blocks) * unit->block_size;
    uint64_t length = bp_min_u64(left, BP_SCSI_ARENA_BYTES - from);

    length -= length % unit->block_size;
    request(task, BP_BLOCK_READ, task->done_blocks * unit->block_size, length, unit->arena + from);
}

/* Each block against one that was sent (BYTCHK 11b). */
static void
verify_pattern(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint64_t size = unit->block_size;

    for (uint64_t at = 0; at < task->request_length; at += size) {
        if (memcmp(unit->arena, unit->arena + size + at, size) != 0) {
            miscompare(task, unit->arena, unit->arena + size + at, size, 0);
            return;
        }
    }
}

/* Data against data (BYTCHK 01b). */
static void
verify_data(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint64_t length = chunk(task);

    if (!io_bounce(task)) {
        return;
    }
    if (task->phase == 1) {
        task->phase = 0;
        (void)bp_iovec_read(task->iov, task->iov_count, 0, unit->arena + HALF, length);
        if (memcmp(unit->arena, unit->arena + HALF, length) != 0) {
            miscompare(task, unit->arena, unit->arena + HALF, length, task_position(task));
            return;
        }
        if (chunk_done(task, length)) {
            return;
        }
        if (task->moved == task->length) {
            task_good(task);
            return;
        }
    }
    task->phase = 1;
    request(task, BP_BLOCK_READ, task_position(task), chunk(task), unit->arena);
}

void
sbc_verify_advance(struct bp_scsi_task *task)
{
    uint64_t size = task_unit(task)->block_size;

    if (task->kind == KIND_BOUNCE) {
        verify_data(task);
        return;
    }
    if (!io_bounce(task)) {
        return;
    }
    if (task->phase == 1) {
        if (task->kind == KIND_BUFFER) {
            verify_pattern(task);
        }
        if (task->state == BP_SCSI_DONE) {
            return;
        }
        task->done_blocks += task->request_length / size;
    }
    task->phase = 1;
    if (task->done_blocks == task->blocks) {
        task_good(task);
    } else {
        verify_medium(task, task->kind == KIND_BUFFER ? size : 0);
    }
}

void
sbc_verify(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint64_t lba = sbc_lba(task);
    uint64_t blocks = sbc_count(task);

    if (sbc_out_of_range(task, lba, blocks)) {
        return;
    }
    task->lba = lba;
    task->blocks = blocks;
    if (BYTCHK(task) == 2) {
        task_fail_cdb(task, 1, 2);
    } else if (blocks == 0) {
        task_good(task);
    } else if (BYTCHK(task) == 0) {
        task_steps(task);
    } else if (BYTCHK(task) == 1) {
        task_data(task, KIND_BOUNCE, BP_SCSI_OUT, blocks * unit->block_size, unit->block_size);
    } else {
        task_data(task, KIND_BUFFER, BP_SCSI_OUT, unit->block_size, unit->block_size);
    }
}

/* --- WRITE AND VERIFY: each chunk is written, made durable and read back -----------------------
 */

void
sbc_write_verify_advance(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint64_t length = chunk(task);
    uint64_t at = task_position(task);

    if (!io_bounce(task)) {
        return;
    }
    switch (task->phase++) {
    case 0:
        (void)bp_iovec_read(task->iov, task->iov_count, 0, unit->arena, length);
        request(task, BP_BLOCK_WRITE, at, length, unit->arena);
        return;
    case 1:
        io_request(task, BP_BLOCK_FLUSH, 0, 0, NULL, 0);
        return;
    case 2:
        request(task, BP_BLOCK_READ, at, length, unit->arena + HALF);
        return;
    default:
        break;
    }
    task->phase = 0;
    if (memcmp(unit->arena, unit->arena + HALF, length) != 0) {
        miscompare(task, unit->arena, unit->arena + HALF, length, at);
        return;
    }
    if (chunk_done(task, length)) {
        return;
    }
    if (task->moved == task->length) {
        task_good(task);
    } else {
        sbc_write_verify_advance(task);
    }
}

void
sbc_write_verify(struct bp_scsi_task *task)
{
    uint32_t size = task_unit(task)->block_size;

    if (BYTCHK(task) > 1) {
        task_fail_cdb(task, 1, 2);
        return;
    }
    if (!sbc_out_of_range(task, sbc_lba(task), sbc_count(task))) {
        task->lba = sbc_lba(task);
        task->blocks = sbc_count(task);
        task_data(task, KIND_BOUNCE, BP_SCSI_OUT, task->blocks * size, size);
    }
}

/* --- COMPARE AND WRITE -------------------------------------------------------------------------
 */

void
sbc_compare_write_advance(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint64_t length = task->length / 2;
    uint8_t *now = unit->arena + task->length;
    uint32_t flush = (task->flags & TASK_FUA) && !(unit->block_flags & BP_BLOCK_CAN_FUA);

    switch (task->phase++) {
    case 0:
        request(task, BP_BLOCK_READ, 0, length, now);
        break;
    case 1:
        if (memcmp(unit->arena, now, length) != 0) {
            miscompare(task, unit->arena, now, length, 0);
            return;
        }
        request(task, BP_BLOCK_WRITE, 0, length, unit->arena + length);
        break;
    case 2:
        if (flush) {
            io_request(task, BP_BLOCK_FLUSH, 0, 0, NULL, 0);
            break;
        }
        task_good(task);
        break;
    default:
        task_good(task);
        break;
    }
}

void
sbc_compare_write(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint32_t blocks = task->cdb[13];

    if (blocks > sbc_max_compare(unit)) {
        task_fail_cdb(task, 13, 8);
        return;
    }
    if (sbc_out_of_range(task, sbc_lba(task), blocks)) {
        return;
    }
    sbc_set_fua(task, task->cdb[1] & 0x08);
    task->lba = sbc_lba(task);
    task->blocks = blocks;
    task_data(task, KIND_BUFFER, BP_SCSI_OUT, (uint64_t)2 * blocks * unit->block_size,
              unit->block_size);
}

/* --- ORWRITE -----------------------------------------------------------------------------------
 */

void
sbc_orwrite_advance(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint64_t length = chunk(task);
    uint32_t flush = (task->flags & TASK_FUA) && !(unit->block_flags & BP_BLOCK_CAN_FUA);

    if (!io_bounce(task)) {
        return;
    }
    switch (task->phase++) {
    case 0:
        request(task, BP_BLOCK_READ, task_position(task), length, unit->arena);
        return;
    case 1:
        (void)bp_iovec_read(task->iov, task->iov_count, 0, unit->arena + HALF, length);
        for (uint64_t i = 0; i < length; i++) {
            unit->arena[i] |= unit->arena[HALF + i];
        }
        request(task, BP_BLOCK_WRITE, task_position(task), length, unit->arena);
        return;
    case 2:
        if (flush) {
            io_request(task, BP_BLOCK_FLUSH, 0, 0, NULL, 0);
            return;
        }
        break;
    default:
        break;
    }
    task->phase = 0;
    if (chunk_done(task, length)) {
        return;
    }
    if (task->moved == task->length) {
        task_good(task);
    } else {
        sbc_orwrite_advance(task);
    }
}

void
sbc_orwrite(struct bp_scsi_task *task)
{
    uint32_t size = task_unit(task)->block_size;

    if (!sbc_out_of_range(task, sbc_lba(task), sbc_count(task))) {
        sbc_set_fua(task, task->cdb[1] & 0x08);
        task->lba = sbc_lba(task);
        task->blocks = sbc_count(task);
        task_data(task, KIND_BOUNCE, BP_SCSI_OUT, task->blocks * size, size);
    }
}
