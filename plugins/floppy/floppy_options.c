/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the "floppy" class. */
#include "floppy.h"

#include <errno.h>
#include <string.h>

#define CHOICE_AUTO FLOPPY_DRIVE_TYPES

/* Order: FLOPPY_DRIVE_... */
static const char *const type_choices[] = {"none",  "360K",  "1.2M", "720K",
                                           "1.44M", "2.88M", "auto", NULL};

static const char *const timing_choices[] = {"instant", "real", NULL};

static const struct bp_prop drive_props[] = {
    {.name = "unit",
     .type = BP_PROP_UINT,
     .flags = BP_PROP_REQUIRED,
     .max = FDC_DRIVES - 1,
     .help = "0: drive A; 1: drive B"},
    {.name = "disk",
     .type = BP_PROP_BACKEND,
     .help = "backend that is the floppy in the drive; without one the drive is empty"},
    {.name = "name",
     .type = BP_PROP_STRING,
     .max = 63,
     .help = "what operators call the drive, beside \"<id>:<unit>\""},
    {.name = "type",
     .type = BP_PROP_ENUM,
     .def = "auto",
     .choices = type_choices,
     .help = "the drive; auto: one that fits the floppy, 1.44M if it is empty"},
    {.name = "readonly",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "floppies in this drive are write-protected"},
    BP_ON_ERROR_PROPS,
    {.name = NULL},
};

static const struct bp_prop drive_element = {
    .name = "drive", .type = BP_PROP_GROUP, .children = drive_props, .help = "one drive"};

const struct bp_prop floppy_props[] = {
    {.name = "drives",
     .type = BP_PROP_LIST,
     .children = &drive_element,
     .max = FDC_DRIVES,
     .help = "up to two drives"},
    {.name = "check_signature",
     .type = BP_PROP_BOOL,
     .def = "true",
     .help = "false: firmware starts a floppy whose first sector does not end with 55h AAh, too"},
    {.name = "timing",
     .type = BP_PROP_ENUM,
     .def = "instant",
     .choices = timing_choices,
     .help = "instant: heads and media are always where they are wanted; real: seeks, turns and "
             "motors take their time"},
    {.name = NULL},
};

static int32_t
take_drive(struct fdc *fdc, const struct bp_node *group, uint32_t taken[FDC_DRIVES])
{
    uint64_t unit = bp_option_u64(&fdc->host, group, "unit", 0);
    struct fdc_drive *drive;
    uint32_t type;

    if (unit >= FDC_DRIVES || taken[unit]) {
        return bp_fail(&fdc->host, -EINVAL, bp_option(&fdc->host, group, "unit"),
                       "there is a drive with unit %u already", (unsigned)unit);
    }
    taken[unit] = 1;
    drive = &fdc->drives[unit];
    type = bp_option_choice(&fdc->host, group, "type", type_choices, CHOICE_AUTO);
    drive->automatic = type == CHOICE_AUTO;
    drive->type = drive->automatic ? FLOPPY_DRIVE_1440K : type;
    drive->node = group;
    drive->named = bp_option(&fdc->host, group, "disk") != NULL;
    drive->name = bp_option_str(&fdc->host, group, "name", NULL);
    drive->protect = bp_option_bool(&fdc->host, group, "readonly", 0);
    drive->on_error = bp_on_error_options(&fdc->host, group);
    if (drive->named && drive->type == FLOPPY_DRIVE_NONE) {
        return bp_fail(&fdc->host, -EINVAL, bp_option(&fdc->host, group, "disk"),
                       "a drive of type \"none\" cannot have a floppy");
    }
    return 0;
}

/* Uses of the slot: drives that name a backend in order of the description, then those that a
 * floppy may be put into later. */
static void
number_uses(struct fdc *fdc, const uint32_t order[FDC_DRIVES], uint32_t count)
{
    uint32_t use = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (fdc->drives[order[i]].named) {
            fdc->drives[order[i]].use = use++;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!fdc->drives[order[i]].named) {
            fdc->drives[order[i]].use = use++;
        }
    }
}

int32_t
floppy_options(struct fdc *fdc, const struct bp_node *config)
{
    const struct bp_node *list = bp_option(&fdc->host, config, "drives");
    uint32_t count = list != NULL ? fdc->host.config->count(fdc->host.instance, list) : 0;
    uint32_t taken[FDC_DRIVES] = {0};
    uint32_t order[FDC_DRIVES] = {0};
    int32_t r;

    fdc->real_time = bp_option_choice(&fdc->host, config, "timing", timing_choices, 0);
    for (uint32_t i = 0; i < count && i < FDC_DRIVES; i++) {
        const struct bp_node *group = fdc->host.config->at(fdc->host.instance, list, i);
        r = take_drive(fdc, group, taken);
        if (r != 0) {
            return r;
        }
        order[i] = (uint32_t)bp_option_u64(&fdc->host, group, "unit", 0);
    }
    fdc->unsigned_boot = !bp_option_bool(&fdc->host, config, "check_signature", 1);
    number_uses(fdc, order, bp_min_u32(count, FDC_DRIVES));
    return 0;
}
