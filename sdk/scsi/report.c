/* SPDX-License-Identifier: Apache-2.0 */
/* What the unit says of itself: REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS
 * (SPC-4 6.35, 6.36), LOG SENSE (SPC-4 6.7). */
#include "engine.h"

#include <string.h>

/* --- operation codes ---------------------------------------------------------------------------
 */

#define TIMEOUT_BYTES 12u

/* Command timeouts descriptor: none are known. Returns its length. */
static uint32_t
put_timeouts(uint8_t *to)
{
    memset(to, 0, TIMEOUT_BYTES);
    put_be(to, 2, TIMEOUT_BYTES - 2);
    return TIMEOUT_BYTES;
}

static void
report_all(struct bp_scsi_task *task)
{
    const struct command_table *table = scsi_commands(task_unit(task));
    uint32_t timeouts = task->cdb[2] & 0x80;
    uint8_t *data = task->page;
    uint32_t at = 4;

    for (uint32_t i = 0; i < table->count; i++) {
        const struct bp_scsi_command *command = &table->commands[i];
        uint8_t *to = data + at;

        memset(to, 0, 8);
        to[0] = command->opcode;
        if (command->service != NO_SERVICE) {
            to[3] = command->service;
            to[5] |= 0x01; /* SERVACTV */
        }
        to[5] |= timeouts ? 0x02 : 0; /* CTDP */
        to[7] = command->length;
        at += 8;
        at += timeouts ? put_timeouts(data + at) : 0;
    }
    put_be(data, 4, at - 4);
    task_page_in(task, at, get_be(task->cdb + 6, 4));
}

static void
report_one(struct bp_scsi_task *task, const struct bp_scsi_command *command)
{
    uint32_t timeouts = task->cdb[2] & 0x80;
    uint8_t *data = task->page;
    uint32_t at = 4;

    memset(data, 0, 4);
    data[1] = command != NULL ? 0x03 : 0x01; /* as the standard has it; not supported */
    if (command != NULL) {
        data[3] = command->length;
        memcpy(data + 4, command->usage, command->length);
        if (command->service != NO_SERVICE) {
            data[5] = (uint8_t)((data[5] & ~0x1f) | command->service);
        }
        at += command->length;
        if (timeouts) {
            data[1] |= 0x80;
            at += put_timeouts(data + at);
        }
    }
    task_page_in(task, at, get_be(task->cdb + 6, 4));
}

void
scsi_report_opcodes(struct bp_scsi_task *task)
{
    uint32_t option = task->cdb[2] & 7;
    uint32_t service = get_be(task->cdb + 4, 2);
    const uint8_t cdb[2] = {task->cdb[3], (uint8_t)(service & 0x1f)};
    const struct command_table *table = scsi_commands(task_unit(task));
    const struct bp_scsi_command *command = NULL;
    uint32_t has_services = 0;

    if (option == 0) {
        report_all(task);
        return;
    }
    for (uint32_t i = 0; i < table->count; i++) {
        has_services |=
            table->commands[i].opcode == cdb[0] && table->commands[i].service != NO_SERVICE;
    }
    command = service <= 0x1f ? scsi_find_command(task_unit(task), cdb) : NULL;
    if (option > 3) {
        task_fail_cdb(task, 2, 2);
    } else if ((option == 1 && has_services) ||
               (option == 2 && command != NULL && command->service == NO_SERVICE)) {
        task_fail_cdb(task, option == 1 ? 3 : 4, 8);
    } else if (option == 3 && !has_services && service != 0) {
        report_one(task, NULL);
    } else {
        report_one(task, command);
    }
}

void
scsi_report_tmfs(struct bp_scsi_task *task)
{
    uint32_t extended = task->cdb[2] & 0x80;
    uint32_t allocated = get_be(task->cdb + 6, 4);

    if (allocated < 4) {
        task_fail_cdb(task, 6, 8);
        return;
    }
    memset(task->page, 0, 16);
    /* ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET, QUERY TASK */
    task->page[0] = 0x80 | 0x40 | 0x10 | 0x08 | 0x04;
    task->page[1] = 0x02 | 0x01; /* QUERY TASK SET, I_T NEXUS RESET */
    task->page[3] = extended ? 12 : 0;
    task_page_in(task, extended ? 16 : 4, allocated);
}

/* --- log pages ---------------------------------------------------------------------------------
 */

#define TEMPERATURE 25u /* degrees Celsius: such a disk does not get warm */
#define TOO_WARM    60u

static uint32_t
put_parameter(uint8_t *to, uint32_t code, const uint8_t *data, uint32_t length)
{
    put_be(to, 2, code);
    to[2] = 0x03; /* binary, list parameter */
    to[3] = (uint8_t)length;
    memcpy(to + 4, data, length);
    return 4 + length;
}

/* Writes the page's parameters. Returns their length, or UINT32_MAX: there is no such page. */
static uint32_t
put_log_page(uint8_t *to, uint32_t page, uint32_t subpage)
{
    static const uint8_t codes[] = {0x00, 0x0d, 0x2f};
    static const uint8_t now[2] = {0, TEMPERATURE};
    static const uint8_t limit[2] = {0, TOO_WARM};
    static const uint8_t exceptions[4] = {0, 0, TEMPERATURE, 0};
    uint32_t length = 0;

    if (page == 0x00 && (subpage == 0 || subpage == 0xff)) {
        for (uint32_t i = 0; i < BP_ARRAY_LENGTH(codes); i++) {
            to[length] = codes[i];
            to[length + 1] = 0;
            length += subpage == 0xff ? 2 : 1;
        }
        return length;
    }
    if (page == 0x0d && subpage == 0) {
        length = put_parameter(to, 0, now, 2);
        return length + put_parameter(to + length, 1, limit, 2);
    }
    if (page == 0x2f && subpage == 0) {
        return put_parameter(to, 0, exceptions, 4);
    }
    return UINT32_MAX;
}

void
scsi_log_sense(struct bp_scsi_task *task)
{
    uint32_t page = task->cdb[2] & 0x3f;
    uint32_t subpage = task->cdb[3];
    uint32_t pointer = get_be(task->cdb + 5, 2);
    uint32_t length = put_log_page(task->page + 4, page, subpage);

    if (length == UINT32_MAX) {
        task_fail_cdb(task, 2, 5);
        return;
    }
    if (pointer != 0) {
        task_fail_cdb(task, 5, 8); /* pages are short: all of one */
        return;
    }
    task->page[0] = (uint8_t)(page | (subpage != 0 ? 0x40 : 0));
    task->page[1] = (uint8_t)subpage;
    put_be(task->page + 2, 2, length);
    task_page_in(task, 4 + length, get_be(task->cdb + 7, 2));
}
