/* SPDX-License-Identifier: Apache-2.0 */
/* A CD/DVD drive's commands (MMC-6). */
#include "engine.h"

#include <string.h>

/* --- READ (6), (10), (12) ----------------------------------------------------------------------
 */

static void
read_blocks(struct bp_scsi_task *task, uint32_t lba, uint32_t blocks)
{
    const struct bp_scsi_unit *unit = task_unit(task);

    if (lba > unit->blocks || blocks > unit->blocks - lba) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x2100);
        return;
    }
    task_blocks(task, KIND_READ, lba, blocks);
}

static void
read10(struct bp_scsi_task *task)
{
    read_blocks(task, get_be(task->cdb + 2, 4), get_be(task->cdb + 7, 2));
}

static void
read12(struct bp_scsi_task *task)
{
    read_blocks(task, get_be(task->cdb + 2, 4), get_be(task->cdb + 6, 4));
}

static void
read_capacity(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint64_t last = unit->blocks - 1;

    put_be(task->page, 4, last > UINT32_MAX ? UINT32_MAX : last);
    put_be(task->page + 4, 4, unit->block_size);
    task_page_in(task, 8, 8);
}

/* --- the table ---------------------------------------------------------------------------------
 */

#define C(op, len, fl, fn, ...)                                                                    \
    {                                                                                              \
        .opcode = (op), .service = NO_SERVICE, .length = (len), .flags = (fl), .start = (fn),      \
        .usage = {(op), __VA_ARGS__},                                                              \
    }

static const struct bp_scsi_command commands[] = {
    C(0x00, 6, CMD_MEDIUM, scsi_test_unit_ready, 0, 0, 0, 0, 7),
    C(0x03, 6, CMD_ATTENTION, scsi_request_sense, 1, 0, 0, 0xff, 7),
    C(0x12, 6, CMD_ATTENTION, scsi_inquiry, 1, 0xff, 0xff, 0xff, 7),
    C(0x1e, 6, 0, scsi_prevent_allow, 0, 0, 0, 3, 7),
    C(0x25, 10, CMD_MEDIUM, read_capacity, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 7),
    C(0x28, 10, CMD_MEDIUM, read10, 0x1a, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 7),
    C(0xa0, 12, CMD_ATTENTION, scsi_report_luns, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 7),
    C(0xa8, 12, CMD_MEDIUM, read12, 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 7),
};

const struct command_table scsi_mmc_commands = {commands, BP_ARRAY_LENGTH(commands)};
