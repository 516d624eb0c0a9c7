/* SPDX-License-Identifier: Apache-2.0 */
/* A CD/DVD drive's commands (MMC-6): reading blocks, tray, audio, the table. */
#include "mmc.h"

#include <string.h>

uint32_t
mmc_profile(const struct bp_scsi_unit *unit)
{
    if (!media_ready(unit)) {
        return MMC_PROFILE_NONE;
    }
    return unit->blocks > MMC_CD_BLOCKS ? MMC_PROFILE_DVD : MMC_PROFILE_CD;
}

uint32_t
mmc_out_of_range(struct bp_scsi_task *task, uint64_t lba, uint64_t blocks)
{
    const struct bp_scsi_unit *unit = task_unit(task);

    if (lba <= unit->blocks && blocks <= unit->blocks - lba &&
        (blocks != 0 || lba < unit->blocks)) {
        return 0;
    }
    task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x2100);
    return 1;
}

/* --- reading -----------------------------------------------------------------------------------
 */

static void
read_blocks(struct bp_scsi_task *task, uint32_t lba, uint32_t blocks)
{
    if (!mmc_out_of_range(task, lba, blocks)) {
        task_blocks(task, KIND_READ, lba, blocks);
    }
}

static void
read6(struct bp_scsi_task *task)
{
    read_blocks(task, get_be(task->cdb + 1, 3) & 0x1fffff, task->cdb[4] != 0 ? task->cdb[4] : 256);
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

    put_be(task->page, 4, bp_min_u64(unit->blocks - 1, UINT32_MAX));
    put_be(task->page + 4, 4, unit->block_size);
    task_page_in(task, 8, 8);
}

static void
seek10(struct bp_scsi_task *task)
{
    if (!mmc_out_of_range(task, get_be(task->cdb + 2, 4), 0)) {
        task_good(task);
    }
}

/* --- tray --------------------------------------------------------------------------------------
 */

static void
move_tray(struct bp_scsi_task *task, uint32_t open)
{
    struct bp_scsi_unit *unit = task_unit(task);

    if (open && !unit->tray_open && bp_scsi_unit_locked(unit)) {
        /* medium removal prevented */
        task_fail(task, unit->present ? BP_SCSI_NOT_READY : BP_SCSI_ILLEGAL_REQUEST, 0x5302);
        return;
    }
    if (open != unit->tray_open) {
        media_moved(unit, open, task->nexus);
        if (unit->port->tray != NULL) {
            unit->port->tray(unit->opaque);
        }
    }
    task_good(task);
}

/* START STOP UNIT (6.42). A power condition makes the drive ignore LoEj and Start. */
static void
start_stop(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint32_t power = task->cdb[4] >> 4;

    if (power != 0) {
        if (power != 2 && power != 3 && power != 5) {
            task_fail_cdb(task, 4, 7);
            return;
        }
        unit->power_event = 1;
        unit->power_state = power == 5 ? 4 : power;
        task_good(task);
    } else if (task->cdb[4] & 2) {
        move_tray(task, !(task->cdb[4] & 1));
    } else if (task->cdb[4] & 1) {
        if (!media_not_ready(task)) {
            unit->spun_down = 0;
            task_good(task);
        }
    } else {
        unit->spun_down = 1;
        task_good(task);
    }
}

/* LOAD/UNLOAD MEDIUM (6.9), of a changer with one slot. */
static void
load_unload(struct bp_scsi_task *task)
{
    if (task->cdb[8] != 0) {
        task_fail_cdb(task, 8, 8);
    } else if (task->cdb[4] & 2) {
        move_tray(task, !(task->cdb[4] & 1));
    } else {
        task_good(task);
    }
}

/* --- audio: there is none on a data disc -------------------------------------------------------
 */

static void
play(struct bp_scsi_task *task, uint32_t lba, uint32_t blocks)
{
    if (mmc_out_of_range(task, lba, blocks)) {
        return;
    }
    if (blocks == 0) {
        task_good(task);
    } else {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x6400); /* illegal mode for this track */
    }
}

static void
play10(struct bp_scsi_task *task)
{
    play(task, get_be(task->cdb + 2, 4), get_be(task->cdb + 7, 2));
}

static void
play12(struct bp_scsi_task *task)
{
    play(task, get_be(task->cdb + 2, 4), get_be(task->cdb + 6, 4));
}

static void
play_msf(struct bp_scsi_task *task)
{
    if (memcmp(task->cdb + 3, task->cdb + 6, 3) == 0) {
        task_good(task);
    } else {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x6400);
    }
}

static void
scan(struct bp_scsi_task *task)
{
    task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x6400);
}

static void
pause_resume(struct bp_scsi_task *task)
{
    task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x2c00); /* nothing is playing */
}

static void
stop_play(struct bp_scsi_task *task)
{
    task_good(task);
}

/* --- the table ---------------------------------------------------------------------------------
 */

#define COMMAND(op, len, fl, fn, adv, ...)                                                         \
    {                                                                                              \
        .opcode = (op), .service = NO_SERVICE, .length = (len), .flags = (fl), .start = (fn),      \
        .advance = (adv), .usage = {(op), __VA_ARGS__},                                            \
    }
#define C(op, len, fl, fn, ...)       COMMAND(op, len, fl, fn, NULL, __VA_ARGS__)
#define CA(op, len, fl, fn, adv, ...) COMMAND(op, len, fl, fn, adv, __VA_ARGS__)
#define LBA                           0xff, 0xff, 0xff, 0xff

static const struct bp_scsi_command commands[] = {
    C(0x00, 6, CMD_MEDIUM, scsi_test_unit_ready, 0, 0, 0, 0, 0),
    C(0x03, 6, CMD_ATTENTION, scsi_request_sense, 1, 0, 0, 0xff, 0),
    C(0x08, 6, CMD_MEDIUM, read6, 0x1f, 0xff, 0xff, 0xff, 0),
    C(0x12, 6, CMD_ATTENTION, scsi_inquiry, 1, 0xff, 0xff, 0xff, 0),
    CA(0x15, 6, 0, scsi_mode_select, scsi_mode_selected, 0x11, 0, 0, 0xff, 0),
    C(0x1a, 6, 0, scsi_mode_sense, 0x08, 0xff, 0xff, 0xff, 0),
    C(0x1b, 6, 0, start_stop, 1, 0, 0x03, 0xf7, 0),
    C(0x1e, 6, 0, scsi_prevent_allow, 0, 0, 0, 3, 0),
    C(0x23, 10, 0, mmc_read_format_capacities, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0),
    C(0x25, 10, CMD_MEDIUM, read_capacity, 0, LBA, 0, 0, 1, 0),
    C(0x28, 10, CMD_MEDIUM, read10, 0x1a, LBA, 0, 0xff, 0xff, 0),
    C(0x2b, 10, CMD_MEDIUM, seek10, 0, LBA, 0, 0, 0, 0),
    CA(0x35, 10, 0, scsi_synchronize, scsi_synchronize_advance, 2, LBA, 0, 0xff, 0xff, 0),
    C(0x42, 10, CMD_MEDIUM, mmc_read_sub_channel, 2, 0x40, 0xff, 0, 0, 0xff, 0xff, 0xff, 0),
    C(0x43, 10, CMD_MEDIUM, mmc_read_toc, 2, 0x0f, 0, 0, 0, 0xff, 0xff, 0xff, 0xc0),
    C(0x45, 10, CMD_MEDIUM, play10, 0, LBA, 0, 0xff, 0xff, 0),
    C(0x46, 10, CMD_ATTENTION, mmc_get_configuration, 3, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0),
    C(0x47, 10, CMD_MEDIUM, play_msf, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0),
    C(0x4a, 10, CMD_ATTENTION, mmc_get_event_status, 1, 0, 0, 0xff, 0, 0, 0xff, 0xff, 0),
    C(0x4b, 10, CMD_MEDIUM, pause_resume, 0, 0, 0, 0, 0, 0, 0, 1, 0),
    C(0x4e, 10, CMD_MEDIUM, stop_play, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    C(0x51, 10, CMD_MEDIUM, mmc_read_disc_information, 7, 0, 0, 0, 0, 0, 0xff, 0xff, 0),
    C(0x52, 10, CMD_MEDIUM, mmc_read_track_information, 7, LBA, 0, 0xff, 0xff, 0),
    CA(0x55, 10, 0, scsi_mode_select, scsi_mode_selected, 0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 0),
    C(0x5a, 10, 0, scsi_mode_sense, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0),
    C(0xa0, 12, CMD_ATTENTION, scsi_report_luns, 0, 0xff, 0, 0, 0, LBA, 0, 0),
    C(0xa5, 12, CMD_MEDIUM, play12, 0, LBA, LBA, 0, 0),
    C(0xa6, 12, 0, load_unload, 1, 0, 0, 3, 0, 0, 0, 0xff, 0, 0, 0),
    C(0xa8, 12, CMD_MEDIUM, read12, 0x1a, LBA, LBA, 0, 0),
    C(0xac, 12, 0, mmc_get_performance, 0x1f, LBA, 0, 0, 0xff, 0xff, 0xff, 0),
    C(0xad, 12, CMD_MEDIUM, mmc_read_disc_structure, 0x0f, LBA, 0xff, 0xff, 0xff, 0xff, 0xc0, 0),
    CA(0xb6, 12, 0, mmc_set_streaming, mmc_set_streaming_data, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff,
       0xff, 0),
    CA(0xb9, 12, CMD_MEDIUM, mmc_read_cd_msf, mmc_read_cd_advance, 0x1e, 0, LBA, 0xff, 0xff, 0xfe,
       7, 0),
    C(0xba, 12, CMD_MEDIUM, scan, 0x11, LBA, 0, 0, 0, 0xc0, 0, 0),
    C(0xbb, 12, 0, mmc_set_cd_speed, 3, LBA, 0, 0, 0, 0, 0, 0),
    C(0xbd, 12, CMD_ATTENTION, mmc_mechanism_status, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0),
    CA(0xbe, 12, CMD_MEDIUM, mmc_read_cd, mmc_read_cd_advance, 0x1e, LBA, 0xff, 0xff, 0xff, 0xfe, 7,
       0),
};

const struct command_table scsi_mmc_commands = {commands, BP_ARRAY_LENGTH(commands)};
