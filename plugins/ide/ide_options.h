/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the "ide" class. */
#pragma once

#include "ata_disk.h"

/* One element of "drives". */
struct ide_drive_options {
    uint32_t channel;
    uint32_t unit;
    uint32_t slot;    /* IDE_SLOT_...: disk or CD */
    uint8_t is_empty; /* nothing is in the drive at the start */
    struct ata_options ata;
};

extern const struct bp_prop ide_props[];

/* Whether the option "chip" asks for a PIIX4's function. */
uint8_t ide_options_piix4(struct ide *ide, const struct bp_node *config);
/* Reads one element of "drives". [control] -EINVAL, explained. */
int32_t ide_options_drive(struct ide *ide, const struct bp_node *group,
                          struct ide_drive_options *options) BP_MUST_CHECK;
