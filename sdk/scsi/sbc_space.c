/* SPDX-License-Identifier: Apache-2.0 */
/* Space (SBC-3 4.7): UNMAP, WRITE SAME, FORMAT UNIT, GET LBA STATUS. */
#include "sbc.h"

#include <string.h>

/* --- UNMAP (5.28) ------------------------------------------------------------------------------
 */

/* phase: descriptor; done_blocks: of it. The list is in the bounce buffer. */

static uint32_t
descriptor_count(const struct bp_scsi_unit *unit, uint64_t length)
{
    return (uint32_t)bp_min_u64(get_be(unit->arena + 2, 2), length - 8) / 16;
}

static uint64_t
descriptor_lba(const struct bp_scsi_unit *unit, uint32_t n)
{
    return get_be64(unit->arena + 8 + (uint64_t)16 * n);
}

static uint32_t
descriptor_blocks(const struct bp_scsi_unit *unit, uint32_t n)
{
    return get_be(unit->arena + 16 + (uint64_t)16 * n, 4);
}

static uint64_t
max_unmap(const struct bp_scsi_unit *unit)
{
    uint64_t bytes = unit->max_discard != 0 ? unit->max_discard : 1u << 30;

    return bytes >= unit->block_size ? bytes / unit->block_size : 1;
}

/* All of it before any of it. Returns 1 if the task ended. */
static uint32_t
check_list(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint32_t count;

    if (task->length < 8 || get_be(unit->arena + 2, 2) > task->length - 8) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x1a00);
        return 1;
    }
    count = descriptor_count(unit, task->length);
    if (count > SBC_UNMAP_DESCRIPTORS) {
        task_fail_list(task, 2, 8);
        return 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (sbc_out_of_range(task, descriptor_lba(unit, i), descriptor_blocks(unit, i))) {
            return 1;
        }
    }
    return 0;
}

void
sbc_unmap_advance(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint32_t count;
    uint64_t left;

    if (task->detail[0] == 0) {
        if (check_list(task)) {
            return;
        }
        task->detail[0] = 1;
    } else {
        task->done_blocks += task->request_length / unit->block_size;
    }
    count = descriptor_count(unit, task->length);
    while (task->phase < count && task->done_blocks == descriptor_blocks(unit, task->phase)) {
        task->phase++;
        task->done_blocks = 0;
    }
    if (task->phase == count) {
        task_good(task);
        return;
    }
    left = bp_min_u64(descriptor_blocks(unit, task->phase) - task->done_blocks, max_unmap(unit));
    io_request(task, BP_BLOCK_DISCARD,
               (descriptor_lba(unit, task->phase) + task->done_blocks) * unit->block_size,
               left * unit->block_size, NULL, 0);
}

void
sbc_unmap(struct bp_scsi_task *task)
{
    uint32_t length = get_be(task->cdb + 7, 2);

    if (!sbc_provisioned(task_unit(task))) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x2000);
    } else if (length > SBC_UNMAP_BYTES) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x1a00);
    } else {
        task_data(task, KIND_BUFFER, BP_SCSI_OUT, length, 1);
    }
}

/* --- WRITE SAME (5.44, 5.45) -------------------------------------------------------------------
 */

#define SAME_NDOB  0x01u
#define SAME_UNMAP 0x08u

static uint32_t
is_zero(const uint8_t *data, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        if (data[i] != 0) {
            return 0;
        }
    }
    return 1;
}

static void
same_next(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint64_t left = (task->blocks - task->done_blocks) * unit->block_size;
    uint64_t offset = (task->lba + task->done_blocks) * unit->block_size;

    if (task->detail[0]) { /* zeroes */
        uint64_t most = unit->max_discard != 0 ? unit->max_discard : 1u << 30;

        left = bp_min_u64(left, most > unit->block_size ? most - most % unit->block_size
                                                        : unit->block_size);
        io_request(task, BP_BLOCK_WRITE_ZEROES, offset, left, NULL, 0);
        return;
    }
    left = bp_min_u64(left, BP_SCSI_ARENA_BYTES);
    task->own_iov = (struct bp_iovec){unit->arena, left};
    io_request(task, BP_BLOCK_WRITE, offset, left, &task->own_iov, 1);
}

void
sbc_write_same_advance(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint32_t size = unit->block_size;

    if (task->phase == 0) {
        /* the block, over and over */
        task->detail[0] = task->kind == KIND_STEPS || is_zero(unit->arena, size);
        for (uint32_t at = size; !task->detail[0] && at + size <= BP_SCSI_ARENA_BYTES; at += size) {
            memcpy(unit->arena + at, unit->arena, size);
        }
        task->phase = 1;
    } else if (task->phase == 1) {
        task->done_blocks += task->request_length / size;
    }
    if (task->done_blocks < task->blocks) {
        same_next(task);
    } else if (task->phase == 1 && (task->flags & TASK_FUA) &&
               !(unit->block_flags & BP_BLOCK_CAN_FUA)) {
        task->phase = 2;
        io_request(task, BP_BLOCK_FLUSH, 0, 0, NULL, 0);
    } else {
        task_good(task);
    }
}

void
sbc_write_same(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint64_t blocks = sbc_count(task);
    uint32_t ndob = task->cdb[0] == 0x93 && (task->cdb[1] & SAME_NDOB);

    if ((task->cdb[1] & SAME_UNMAP) && !sbc_provisioned(unit)) {
        task_fail_cdb(task, 1, 3);
        return;
    }
    /* WSNZ: 0 does not mean the rest of the medium */
    if (blocks == 0 || blocks > SBC_MAX_SAME / unit->block_size) {
        task_fail_cdb(task, task->cdb[0] == 0x93 ? 10 : 7, 8);
        return;
    }
    if (sbc_out_of_range(task, sbc_lba(task), blocks)) {
        return;
    }
    sbc_set_fua(task, 0);
    task->flags |= task->cdb[1] & SAME_UNMAP ? TASK_UNMAP : 0;
    task->lba = sbc_lba(task);
    task->blocks = blocks;
    if (ndob) {
        task_steps(task);
    } else {
        task_data(task, KIND_BUFFER, BP_SCSI_OUT, unit->block_size, unit->block_size);
    }
}

/* --- FORMAT UNIT (5.3): every block reads as zeroes after it -----------------------------------
 */

void
sbc_format_advance(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);

    if (task->kind == KIND_PAGE_OUT && task->phase == 0 &&
        (task->page[1] & 0x7f || get_be(task->page + 2, 2) != 0)) {
        task_fail_list(task, task->page[1] & 0x7f ? 1 : 2, 8); /* no defects, no patterns */
        return;
    }
    if (task->phase == 0) {
        task->lba = 0;
        task->blocks = unit->blocks;
        task->flags |= sbc_provisioned(unit) ? TASK_UNMAP : 0;
        task->detail[0] = 1;
        task->phase = 1;
    } else if (task->phase == 1) {
        task->done_blocks += task->request_length / unit->block_size;
    }
    if (task->done_blocks < task->blocks) {
        same_next(task);
    } else if (task->phase == 1) {
        task->phase = 2;
        io_request(task, BP_BLOCK_FLUSH, 0, 0, NULL, 0);
    } else {
        task_good(task);
    }
}

void
sbc_format(struct bp_scsi_task *task)
{
    if (task->cdb[1] & 0x10) {
        task_page_out(task, 4);
    } else {
        task_steps(task);
    }
}

/* --- GET LBA STATUS (5.4): the backend does not tell, so all is mapped -------------------------
 */

void
sbc_lba_status(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint64_t lba = get_be64(task->cdb + 2);
    uint8_t *data = task->page;

    if (sbc_out_of_range(task, lba, 1)) {
        return;
    }
    memset(data, 0, 24);
    put_be(data, 4, 20);
    put_be(data + 8, 4, lba >> 32);
    put_be(data + 12, 4, lba);
    put_be(data + 16, 4, bp_min_u64(unit->blocks - lba, UINT32_MAX));
    task_page_in(task, 24, get_be(task->cdb + 10, 4));
}
