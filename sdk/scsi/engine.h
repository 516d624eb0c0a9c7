/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the SCSI engine: tasks from CDB to status, requests to the backend, the command tables.
 * References: SAM-5, SPC-4 (r36e), SBC-3 (r36), MMC-6 (r02g), ECMA-130. */
#pragma once

#include <backplane/sdk/bits.h>
#include <backplane/sdk/iovec.h>
#include <backplane/sdk/scsi.h>

/* --- command tables --------------------------------------------------------------------------- */

#define CMD_ATTENTION (1u << 0) /* is done in spite of a unit attention */
#define CMD_MEDIUM    (1u << 1) /* needs a medium that is ready */
#define CMD_WRITES    (1u << 2) /* needs one that is not write protected */
#define CMD_CONFLICT  (1u << 3) /* allowed in spite of another's reservation */
#define CMD_SHARED    (1u << 4) /* in spite of another's persistent one, not of RESERVE */
#define CMD_READS     (1u << 5) /* in spite of another's that excludes writing */

#define NO_SERVICE 0xffu /* else the service action is in byte 1, bits 0-4 */

struct bp_scsi_command {
    uint8_t opcode;
    uint8_t service; /* service action, or NO_SERVICE */
    uint8_t length;  /* of the CDB */
    uint8_t flags;   /* CMD_... */
    /* Looks at the CDB and sets the task's state by one of the task_ functions. */
    void (*start)(struct bp_scsi_task *task);
    /* What is between windows and requests; NULL: by the task's kind alone. */
    void (*advance)(struct bp_scsi_task *task);
    uint8_t usage[16]; /* CDB usage data, SPC-4 6.35.3: a bit that is 0 must be 0 */
};

struct command_table {
    const struct bp_scsi_command *commands;
    uint32_t count;
};

extern const struct command_table scsi_mmc_commands;
extern const struct command_table scsi_sbc_commands;

/* The entry for a CDB, or NULL. */
const struct bp_scsi_command *scsi_find_command(const struct bp_scsi_unit *unit,
                                                const uint8_t *cdb);
/* Operation code or service action that is not in the table. */
void scsi_fail_unknown(struct bp_scsi_task *task);
const struct command_table *scsi_commands(const struct bp_scsi_unit *unit);

/* --- ways data moves (task.kind) ---------------------------------------------------------------
 */

#define KIND_NONE     0u
#define KIND_PAGE_IN  1u /* from task.page */
#define KIND_PAGE_OUT 2u /* to task.page; then command->advance */
#define KIND_READ     3u /* blocks to the window */
#define KIND_WRITE    4u /* blocks from the window */
#define KIND_BOUNCE   5u /* command->advance works with the bounce buffer, window by window */
#define KIND_STEPS    6u /* command->advance, without data */
#define KIND_BUFFER   7u /* data out to the bounce buffer; then command->advance */
#define KINDS         8u

#define TASK_FUA   (1u << 0) /* on stable storage before the status */
#define TASK_UNMAP (1u << 1) /* WRITE SAME: may deallocate */

/* --- task.c ------------------------------------------------------------------------------------
 */

void task_good(struct bp_scsi_task *task);
void task_status(struct bp_scsi_task *task, uint32_t status);
void task_fail(struct bp_scsi_task *task, uint8_t key, uint16_t code);
/* 24h/00h with a pointer to a byte of the CDB; bit: 0-7, or 8: the byte. */
void task_fail_cdb(struct bp_scsi_task *task, uint32_t field, uint32_t bit);
/* 26h/00h with a pointer into the parameter list. */
void task_fail_list(struct bp_scsi_task *task, uint32_t field, uint32_t bit);
/* Key, code and information (an LBA, a difference). */
void task_fail_at(struct bp_scsi_task *task, uint8_t key, uint16_t code, uint64_t information);
/* The page has `length` bytes, the initiator allows `allocated`. */
void task_page_in(struct bp_scsi_task *task, uint32_t length, uint64_t allocated);
void task_page_out(struct bp_scsi_task *task, uint32_t length);
/* Blocks from lba on; nothing to do if blocks is 0. */
void task_blocks(struct bp_scsi_task *task, uint32_t kind, uint64_t lba, uint64_t blocks);
/* Data of `length` bytes of any kind. */
void task_data(struct bp_scsi_task *task, uint32_t kind, uint32_t direction, uint64_t length,
               uint32_t grain);
/* KIND_STEPS: begins with the first advance. */
void task_steps(struct bp_scsi_task *task);
/* Goes on after a request that ended well, a window that came, a wait that is over. */
void task_advance(struct bp_scsi_task *task);
/* `bytes` of the window are done. Ends window and task when it was the last of them. */
void task_window_done(struct bp_scsi_task *task, uint64_t bytes);

static inline struct bp_scsi_unit *
task_unit(const struct bp_scsi_task *task)
{
    return task->nexus->unit;
}

static inline uint64_t
task_window_left(const struct bp_scsi_task *task)
{
    return task->window - task->window_done;
}

/* Bytes of data that have moved, with those of the window in progress. */
static inline uint64_t
task_position(const struct bp_scsi_task *task)
{
    return task->moved + task->window_done;
}

/* --- io.c --------------------------------------------------------------------------------------
 */

/* One request; the task stays in WAIT until task_advance(). iov_count pieces may hold more than
 * length: the last one is cut. */
void io_request(struct bp_scsi_task *task, uint32_t op, uint64_t offset, uint64_t length,
                struct bp_iovec *iov, uint32_t iov_count);
/* Next request of KIND_READ, KIND_WRITE. */
void io_advance(struct bp_scsi_task *task);
/* Gives the task the bounce buffer. Returns 1, or 0: task_advance() comes when it is free. */
uint32_t io_bounce(struct bp_scsi_task *task) BP_MUST_CHECK;
/* Gives up bounce buffer and place in queues. */
void io_release(struct bp_scsi_task *task);
/* A task without a window that a retry makes go on. */
void task_hold_restored(struct bp_scsi_task *task);
/* Takes the window's next bytes out of its array of pieces. */
void io_consume(struct bp_scsi_task *task, uint64_t bytes);
/* Asks the backend about its medium. */
int32_t io_learn(struct bp_scsi_unit *unit) BP_MUST_CHECK;

/* --- sense.c -----------------------------------------------------------------------------------
 */

void nexus_forget(struct bp_scsi_nexus *nexus, uint32_t attentions);
/* Ends the task if a unit attention is pending. Returns 1 if it did. */
uint32_t nexus_attend(struct bp_scsi_task *task) BP_MUST_CHECK;
void scsi_request_sense(struct bp_scsi_task *task);

/* --- media.c -----------------------------------------------------------------------------------
 */

/* Ends the task if no medium is ready. Returns 1 if it did. */
uint32_t media_not_ready(struct bp_scsi_task *task) BP_MUST_CHECK;
uint32_t media_ready(const struct bp_scsi_unit *unit);
void media_moved(struct bp_scsi_unit *unit, uint32_t open, struct bp_scsi_nexus *by);
/* The backend said something: looks what is in now. */
void media_look(struct bp_scsi_unit *unit, uint32_t announce);
/* The backend was attached, where one of so many blocks was before (0: none); was detached. */
void media_came(struct bp_scsi_unit *unit, uint64_t blocks);
void media_went(struct bp_scsi_unit *unit);

/* --- shared commands ---------------------------------------------------------------------------
 */

void scsi_test_unit_ready(struct bp_scsi_task *task);
void scsi_inquiry(struct bp_scsi_task *task);
void scsi_prevent_allow(struct bp_scsi_task *task);
void scsi_report_luns(struct bp_scsi_task *task);
void scsi_mode_sense(struct bp_scsi_task *task);
void scsi_mode_select(struct bp_scsi_task *task);
void scsi_mode_selected(struct bp_scsi_task *task);
void scsi_mode_reset(struct bp_scsi_unit *unit);
/* The operator, the backend or SWP. */
uint32_t scsi_write_protected(const struct bp_scsi_unit *unit);
void scsi_synchronize(struct bp_scsi_task *task);
void scsi_synchronize_advance(struct bp_scsi_task *task);
void scsi_report_opcodes(struct bp_scsi_task *task);
void scsi_report_tmfs(struct bp_scsi_task *task);
void scsi_log_sense(struct bp_scsi_task *task);
/* --- reserve_command.c -------------------------------------------------------------------------
 */

struct reserve_actor;
struct reserve_outcome;

/* Whether another initiator's reservation stands against the command. */
uint32_t scsi_reserve_conflicts(const struct bp_scsi_task *task);
/* Another state, which `by` (or somebody elsewhere: NULL) has made; tells the others. abort: ends
 * the commands of those that have lost their registration. */
void scsi_reserve_replace(struct bp_scsi_unit *unit, const struct bp_scsi_reservations *to,
                          const struct bp_scsi_nexus *by, uint32_t abort);
void scsi_reserve_keys(struct bp_scsi_task *task);
void scsi_reserve_reservation(struct bp_scsi_task *task);
void scsi_reserve_capabilities(struct bp_scsi_task *task);
void scsi_reserve_status(struct bp_scsi_task *task);
void scsi_reserve_out(struct bp_scsi_task *task);
void scsi_reserve_out_advance(struct bp_scsi_task *task);
/* Who asks, and for what: the list, filled up with zeroes. */
void scsi_reserve_prepare(const struct bp_scsi_task *task, struct reserve_actor *actor,
                          uint8_t *list);
/* Ends PERSISTENT RESERVE OUT, which had this outcome and has left this state. */
void scsi_reserve_end(struct bp_scsi_task *task, const struct bp_scsi_reservations *state,
                      const struct reserve_outcome *outcome);
void scsi_reserve(struct bp_scsi_task *task);
void scsi_release(struct bp_scsi_task *task);

/* Fills a page of disks. Returns its length, 0: no such page. */
uint32_t sbc_vpd(const struct bp_scsi_unit *unit, uint32_t code, uint8_t *page);

/* --- big endian --------------------------------------------------------------------------------
 */

static inline uint32_t
get_be(const uint8_t *bytes, uint32_t count)
{
    uint32_t value = 0;

    for (uint32_t i = 0; i < count; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static inline uint64_t
get_be64(const uint8_t *bytes)
{
    return (uint64_t)get_be(bytes, 4) << 32 | get_be(bytes + 4, 4);
}

static inline void
put_be(uint8_t *bytes, uint32_t count, uint64_t value)
{
    for (uint32_t i = count; i-- > 0; value >>= 8) {
        bytes[i] = (uint8_t)value;
    }
}
