/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the "ide" class. */
#pragma once

#include "ata_disk.h"

struct ide_place {
    uint32_t channel;
    uint32_t unit;
};

extern const struct bp_prop ide_props[];

/* Reads one element of "drives". [control] -EINVAL, explained. */
int32_t ide_options_drive(struct ide *ide, const struct bp_node *group, struct ide_place *place,
                          struct ata_options *options) BP_MUST_CHECK;
