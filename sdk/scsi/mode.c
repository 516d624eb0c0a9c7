/* SPDX-License-Identifier: Apache-2.0 */
/* Mode parameters. */
#include "engine.h"

void
scsi_mode_reset(struct bp_scsi_unit *unit)
{
    unit->write_cache = unit->saved_write_cache;
    unit->read_cache_off = unit->saved_read_cache_off;
    unit->descriptor_sense = unit->saved_descriptor_sense;
    unit->software_protect = unit->saved_software_protect;
}
