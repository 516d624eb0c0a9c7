/* SPDX-License-Identifier: Apache-2.0 */
/* Which commands there are: one table serves the dispatch of CDBs, the check of their reserved bits
 * and REPORT SUPPORTED OPERATION CODES (SPC-4 6.35). */
#include "engine.h"

#include <string.h>

const struct command_table *
scsi_commands(const struct bp_scsi_unit *unit)
{
    return unit->identity.type == BP_SCSI_TYPE_CDROM ? &scsi_mmc_commands : &scsi_sbc_commands;
}

const struct bp_scsi_command *
scsi_find_command(const struct bp_scsi_unit *unit, const uint8_t *cdb)
{
    const struct command_table *table = scsi_commands(unit);

    for (uint32_t i = 0; i < table->count; i++) {
        const struct bp_scsi_command *command = &table->commands[i];

        if (command->opcode == cdb[0] &&
            (command->service == NO_SERVICE || command->service == (cdb[1] & 0x1f))) {
            return command;
        }
    }
    return NULL;
}

void
scsi_fail_unknown(struct bp_scsi_task *task)
{
    const struct command_table *table = scsi_commands(task_unit(task));

    for (uint32_t i = 0; i < table->count; i++) {
        if (table->commands[i].opcode == task->cdb[0]) {
            task_fail_cdb(task, 1, 4);
            return;
        }
    }
    task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x2000);
}
