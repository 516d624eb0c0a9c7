/* SPDX-License-Identifier: Apache-2.0 */
/* A disk's commands (SBC-3): reading, writing, capacity, power; the table. */
#include "sbc.h"
#include "reserve.h"

#include <string.h>

uint64_t
sbc_lba(const struct bp_scsi_task *task)
{
    switch (task->cdb[0] >> 5) {
    case 0:
        return get_be(task->cdb + 1, 3) & 0x1fffff;
    case 4:
        return get_be64(task->cdb + 2);
    default:
        return get_be(task->cdb + 2, 4);
    }
}

uint64_t
sbc_count(const struct bp_scsi_task *task)
{
    switch (task->cdb[0] >> 5) {
    case 0:
        return task->cdb[4] != 0 ? task->cdb[4] : 256;
    case 4:
        return get_be(task->cdb + 10, 4);
    case 5:
        return get_be(task->cdb + 6, 4);
    default:
        return get_be(task->cdb + 7, 2);
    }
}

uint32_t
sbc_out_of_range(struct bp_scsi_task *task, uint64_t lba, uint64_t blocks)
{
    const struct bp_scsi_unit *unit = task_unit(task);

    if (lba <= unit->blocks && blocks <= unit->blocks - lba) {
        return 0;
    }
    task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x2100);
    return 1;
}

void
sbc_set_fua(struct bp_scsi_task *task, uint32_t fua)
{
    if (fua || !task_unit(task)->write_cache) {
        task->flags |= TASK_FUA;
    }
}

static void
read_blocks(struct bp_scsi_task *task)
{
    if (!sbc_out_of_range(task, sbc_lba(task), sbc_count(task))) {
        task_blocks(task, KIND_READ, sbc_lba(task), sbc_count(task));
    }
}

static void
write_blocks(struct bp_scsi_task *task)
{
    if (!sbc_out_of_range(task, sbc_lba(task), sbc_count(task))) {
        sbc_set_fua(task, task->cdb[0] >= 0x20 && (task->cdb[1] & 0x08));
        task_blocks(task, KIND_WRITE, sbc_lba(task), sbc_count(task));
    }
}

/* SEEK, PRE-FETCH: nothing to be done for blocks that are there. PRE-FETCH says that they fit the
 * cache (SBC-3 5.11). */
static void
seek(struct bp_scsi_task *task)
{
    if (!sbc_out_of_range(task, sbc_lba(task), 1)) {
        task_good(task);
    }
}

static void
prefetch(struct bp_scsi_task *task)
{
    if (!sbc_out_of_range(task, sbc_lba(task), sbc_count(task))) {
        task_status(task, BP_SCSI_CONDITION_MET);
    }
}

static void
synchronize(struct bp_scsi_task *task)
{
    if (!sbc_out_of_range(task, sbc_lba(task), sbc_count(task))) {
        scsi_synchronize(task);
    }
}

/* --- capacity ----------------------------------------------------------------------------------
 */

static void
read_capacity10(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);

    put_be(task->page, 4, bp_min_u64(unit->blocks - 1, UINT32_MAX));
    put_be(task->page + 4, 4, unit->block_size);
    task_page_in(task, 8, 8);
}

static uint32_t
physical_exponent(const struct bp_scsi_unit *unit)
{
    uint32_t size =
        unit->identity.physical_size != 0 ? unit->identity.physical_size : unit->physical_size;
    uint32_t exponent = 0;

    while (exponent < 15 && (uint64_t)unit->block_size << (exponent + 1) <= size) {
        exponent++;
    }
    return exponent;
}

static void
read_capacity16(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint8_t *data = task->page;

    memset(data, 0, 32);
    put_be(data, 4, (unit->blocks - 1) >> 32);
    put_be(data + 4, 4, unit->blocks - 1);
    put_be(data + 8, 4, unit->block_size);
    data[13] = (uint8_t)physical_exponent(unit);
    if (sbc_provisioned(unit)) {
        data[14] = (uint8_t)(0x80 | (sbc_zeroed(unit) ? 0x40 : 0)); /* LBPME, LBPRZ */
    }
    task_page_in(task, 32, get_be(task->cdb + 10, 4));
}

/* --- power and diagnosis -----------------------------------------------------------------------
 */

static void
start_stop_advance(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);

    if (task->phase++ == 0) {
        io_request(task, BP_BLOCK_FLUSH, 0, 0, NULL, 0);
        return;
    }
    unit->stopped = 1;
    task_good(task);
}

static uint32_t
eject(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);

    if (!(unit->identity.flags & BP_SCSI_REMOVABLE)) {
        task_fail_cdb(task, 4, 1);
        return 1;
    }
    if (bp_scsi_unit_locked(unit)) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x5302);
        return 1;
    }
    media_moved(unit, !(task->cdb[4] & 1), task->nexus);
    if (unit->port->tray != NULL) {
        unit->port->tray(unit->opaque);
    }
    return 0;
}

/* SBC-3 5.20. What is stopped has its cache on the medium. */
static void
start_stop(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);

    if (task->cdb[4] >> 4 != 0) {
        task_fail_cdb(task, 4, 7); /* no power conditions */
    } else if ((task->cdb[4] & 2) && eject(task)) {
        return;
    } else if (task->cdb[4] & 1) {
        unit->stopped = 0;
        task_good(task);
    } else if (media_ready(unit) && !(task->cdb[4] & 4)) {
        task_steps(task);
    } else {
        unit->stopped = 1;
        task_good(task);
    }
}

/* SPC-4 6.43: the default self-test, which a unit that answers has passed. */
static void
send_diagnostic(struct bp_scsi_task *task)
{
    if (task->cdb[1] >> 5 != 0) {
        task_fail_cdb(task, 1, 7);
    } else if (get_be(task->cdb + 3, 2) != 0) {
        task_fail_cdb(task, 3, 8);
    } else {
        task_good(task);
    }
}

/* --- the table ---------------------------------------------------------------------------------
 */

#define COMMAND(op, sa, len, fl, fn, adv, ...)                                                     \
    {                                                                                              \
        .opcode = (op), .service = (sa), .length = (len), .flags = (fl), .start = (fn),            \
        .advance = (adv), .usage = {(op), __VA_ARGS__},                                            \
    }
#define C(op, len, fl, fn, ...)       COMMAND(op, NO_SERVICE, len, fl, fn, NULL, __VA_ARGS__)
#define CA(op, len, fl, fn, adv, ...) COMMAND(op, NO_SERVICE, len, fl, fn, adv, __VA_ARGS__)
#define CS(op, sa, len, fl, fn, ...)  COMMAND(op, sa, len, fl, fn, NULL, __VA_ARGS__)
#define B4                            0xff, 0xff, 0xff, 0xff
#define B8                            B4, B4
#define R                             CMD_MEDIUM
#define RR                            (CMD_MEDIUM | CMD_READS)
#define W                             (CMD_MEDIUM | CMD_WRITES)

#define PRIN(sa, fn) CS(0x5e, sa, 10, CMD_SHARED, fn, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0)
#define PROUT(sa)                                                                                  \
    COMMAND(0x5f, sa, 10, CMD_SHARED, scsi_reserve_out, scsi_reserve_out_advance, 0x1f, 0xff, 0,   \
            0, B4, 0)

static const struct bp_scsi_command commands[] = {
    C(0x00, 6, R | CMD_SHARED, scsi_test_unit_ready, 0, 0, 0, 0, 0),
    C(0x03, 6, CMD_ATTENTION | CMD_CONFLICT, scsi_request_sense, 1, 0, 0, 0xff, 0),
    CA(0x04, 6, W, sbc_format, sbc_format_advance, 0x10, 0, 0, 0, 0),
    C(0x08, 6, RR, read_blocks, 0x1f, 0xff, 0xff, 0xff, 0),
    C(0x0a, 6, W, write_blocks, 0x1f, 0xff, 0xff, 0xff, 0),
    C(0x12, 6, CMD_ATTENTION | CMD_CONFLICT, scsi_inquiry, 1, 0xff, 0xff, 0xff, 0),
    CA(0x15, 6, 0, scsi_mode_select, scsi_mode_selected, 0x11, 0, 0, 0xff, 0),
    C(0x16, 6, CMD_SHARED, scsi_reserve, 0, 0, 0, 0, 0),
    C(0x17, 6, CMD_CONFLICT, scsi_release, 0, 0, 0, 0, 0),
    C(0x1a, 6, 0, scsi_mode_sense, 0x08, 0xff, 0xff, 0xff, 0),
    CA(0x1b, 6, 0, start_stop, start_stop_advance, 1, 0, 0, 0xf7, 0),
    C(0x1d, 6, 0, send_diagnostic, 0xf7, 0, 0xff, 0xff, 0),
    C(0x1e, 6, 0, scsi_prevent_allow, 0, 0, 0, 3, 0),
    C(0x25, 10, R | CMD_CONFLICT, read_capacity10, 0, B4, 0, 0, 0, 0),
    C(0x28, 10, RR, read_blocks, 0x18, B4, 0, 0xff, 0xff, 0),
    C(0x2a, 10, W, write_blocks, 0x18, B4, 0, 0xff, 0xff, 0),
    C(0x2b, 10, R, seek, 0, B4, 0, 0, 0, 0),
    CA(0x2e, 10, W, sbc_write_verify, sbc_write_verify_advance, 0x16, B4, 0, 0xff, 0xff, 0),
    CA(0x2f, 10, RR, sbc_verify, sbc_verify_advance, 0x16, B4, 0, 0xff, 0xff, 0),
    C(0x34, 10, RR, prefetch, 2, B4, 0, 0xff, 0xff, 0),
    CA(0x35, 10, R, synchronize, scsi_synchronize_advance, 6, B4, 0, 0xff, 0xff, 0),
    CA(0x41, 10, W, sbc_write_same, sbc_write_same_advance, 0x08, B4, 0, 0xff, 0xff, 0),
    CA(0x42, 10, W, sbc_unmap, sbc_unmap_advance, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0),
    C(0x4d, 10, CMD_CONFLICT, scsi_log_sense, 0, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0),
    CA(0x55, 10, 0, scsi_mode_select, scsi_mode_selected, 0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 0),
    C(0x56, 10, CMD_SHARED, scsi_reserve, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    C(0x57, 10, CMD_CONFLICT, scsi_release, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    C(0x5a, 10, 0, scsi_mode_sense, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0),
    PRIN(0, scsi_reserve_keys),
    PRIN(1, scsi_reserve_reservation),
    PRIN(2, scsi_reserve_capabilities),
    PRIN(3, scsi_reserve_status),
    PROUT(RESERVE_REGISTER),
    PROUT(RESERVE_RESERVE),
    PROUT(RESERVE_RELEASE),
    PROUT(RESERVE_CLEAR),
    PROUT(RESERVE_PREEMPT),
    PROUT(RESERVE_PREEMPT_ABORT),
    PROUT(RESERVE_REGISTER_IGNORE),
    PROUT(RESERVE_REGISTER_MOVE),
    C(0x88, 16, RR, read_blocks, 0x18, B8, B4, 0, 0),
    CA(0x89, 16, W, sbc_compare_write, sbc_compare_write_advance, 0x18, B8, 0, 0, 0, 0xff, 0, 0),
    C(0x8a, 16, W, write_blocks, 0x18, B8, B4, 0, 0),
    CA(0x8b, 16, W, sbc_orwrite, sbc_orwrite_advance, 0x18, B8, B4, 0, 0),
    CA(0x8e, 16, W, sbc_write_verify, sbc_write_verify_advance, 0x16, B8, B4, 0, 0),
    CA(0x8f, 16, RR, sbc_verify, sbc_verify_advance, 0x16, B8, B4, 0, 0),
    C(0x90, 16, RR, prefetch, 2, B8, B4, 0, 0),
    CA(0x91, 16, R, synchronize, scsi_synchronize_advance, 6, B8, B4, 0, 0),
    CA(0x93, 16, W, sbc_write_same, sbc_write_same_advance, 0x09, B8, B4, 0, 0),
    CS(0x9e, 0x10, 16, R | CMD_CONFLICT, read_capacity16, 0x1f, B8, B4, 0, 0),
    CS(0x9e, 0x12, 16, RR, sbc_lba_status, 0x1f, B8, B4, 0, 0),
    C(0xa0, 12, CMD_ATTENTION | CMD_CONFLICT, scsi_report_luns, 0, 0xff, 0, 0, 0, B4, 0, 0),
    CS(0xa3, 0x0c, 12, 0, scsi_report_opcodes, 0x1f, 0x87, 0xff, 0xff, 0xff, B4, 0, 0),
    CS(0xa3, 0x0d, 12, 0, scsi_report_tmfs, 0x1f, 0x80, 0, 0, 0, B4, 0, 0),
    C(0xa8, 12, RR, read_blocks, 0x18, B8, 0, 0),
    C(0xaa, 12, W, write_blocks, 0x18, B8, 0, 0),
    CA(0xae, 12, W, sbc_write_verify, sbc_write_verify_advance, 0x16, B8, 0, 0),
    CA(0xaf, 12, RR, sbc_verify, sbc_verify_advance, 0x16, B8, 0, 0),
};

const struct command_table scsi_sbc_commands = {commands, BP_ARRAY_LENGTH(commands)};
