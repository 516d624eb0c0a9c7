/* SPDX-License-Identifier: Apache-2.0 */
/* Drives: heads, the medium, and the lines that the controller sees. */
#include "floppy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DOUBLE_STEP_CYLINDERS 42u /* media of 48 tracks per inch have no more */

struct fdc_drive *
fdc_drive_selected(struct fdc *fdc, uint32_t select)
{
    uint32_t unit = select & SELECT_DRIVE;

    if (unit >= FDC_DRIVES) {
        return NULL;
    }
    unit ^= (fdc->tdr & TDR_BOOT_SEL) != 0;
    return fdc->drives[unit].type != FLOPPY_DRIVE_NONE ? &fdc->drives[unit] : NULL;
}

/* --- the medium ---------------------------------------------------------------------------------
 */

int32_t
fdc_drive_learn(struct fdc_drive *drive, const char **ret_text)
{
    struct fdc_medium *medium = &drive->medium;
    struct bp_block_info info = {.size = sizeof(info)};
    int32_t r = drive->ops->info(drive->self, &info);

    memset(medium, 0, sizeof(*medium));
    if (r == -ENOMEDIUM) {
        return 0; /* an empty drive */
    }
    if (r != 0) {
        *ret_text = "it cannot tell its size";
        return r;
    }
    if (info.block_size > FLOPPY_SECTOR_BYTES) {
        *ret_text = "its blocks are larger than 512 bytes";
        return -EINVAL;
    }
    if (!floppy_format_find(info.capacity, drive->type, &medium->format)) {
        *ret_text = "its size is that of no floppy which fits the drive";
        return -EINVAL;
    }
    medium->inserted = 1;
    medium->readonly = (info.flags & BP_BLOCK_READONLY) != 0;
    medium->can_fua = (info.flags & BP_BLOCK_CAN_FUA) != 0;
    medium->volatile_cache = (info.flags & BP_BLOCK_WRITE_CACHE) != 0;
    medium->sectors = (uint32_t)(info.capacity / FLOPPY_SECTOR_BYTES);
    return 0;
}

int32_t
fdc_drive_insert(struct fdc_drive *drive, const struct bp_peer *peer, const char **ret_text)
{
    const struct bp_block_queue_args args = {
        .size = sizeof(args),
        .depth = 2, /* one in flight; the next may be made while its completion is delivered */
        .loop = drive->fdc->loop,
        .client = &fdc_io_client,
        .opaque = drive,
    };
    int32_t r;

    drive->ops = peer->table;
    drive->self = peer->self;
    (void)snprintf(drive->backend, sizeof(drive->backend), "%s", peer->id != NULL ? peer->id : "");
    r = fdc_drive_learn(drive, ret_text);
    if (r == 0) {
        *ret_text = "it refused the connection";
        r = drive->ops->queue_open(drive->self, &args, &drive->queue);
    }
    if (r != 0) {
        drive->ops = NULL;
        memset(&drive->medium, 0, sizeof(drive->medium));
    }
    drive->changed = 1;
    return r;
}

void
fdc_drive_eject(struct fdc_drive *drive)
{
    if (drive->queue != NULL) {
        drive->ops->queue_close(drive->self, drive->queue);
    }
    drive->queue = NULL;
    drive->ops = NULL;
    drive->in_flight = 0;
    drive->changed = 1;
    memset(&drive->medium, 0, sizeof(drive->medium));
}

uint32_t
fdc_drive_protected(const struct fdc_drive *drive)
{
    return drive->medium.inserted && (drive->protect || drive->medium.readonly);
}

/* --- data rate ----------------------------------------------------------------------------------
 */

/* DRIVE SPECIFICATION, DRT: the tables of data rates (82078, table "Data Rate Select"). */
static uint32_t
rate_in_force(const struct fdc *fdc, uint32_t select)
{
    uint32_t table = fdc->drive_spec[select & SELECT_DRIVE] >> 2 & 3;

    switch (fdc->dsr & DSR_RATE) {
    case RATE_CODE_1000:
        return FLOPPY_RATE_1000;
    case RATE_CODE_500:
        return FLOPPY_RATE_500;
    case RATE_CODE_250:
        return FLOPPY_RATE_250;
    default:
        /* 300 kbit/s; 500 for drives with three speeds; 2 Mbit/s for tapes */
        return table == 0 ? FLOPPY_RATE_300 : table == 1 ? FLOPPY_RATE_500 : 0;
    }
}

uint32_t
fdc_rate_matches(const struct fdc *fdc, const struct fdc_drive *drive, uint32_t select)
{
    return (drive->medium.format.rates & rate_in_force(fdc, select)) != 0;
}

/* --- heads --------------------------------------------------------------------------------------
 */

/* Media of 40 tracks in a drive of 80: drivers make two steps for each cylinder, firmware often
 * one. Either finds what it looks for. */
uint32_t
fdc_drive_cylinder(const struct fdc_drive *drive, uint32_t c)
{
    uint32_t at = drive->head_at;

    if (drive->medium.format.cylinders <= DOUBLE_STEP_CYLINDERS &&
        floppy_drive_cylinders(drive->type) > DOUBLE_STEP_CYLINDERS && at != c) {
        at /= 2;
    }
    return at;
}

void
fdc_drive_arrive(struct fdc_drive *drive, uint32_t cylinder, uint32_t steps)
{
    drive->head_at = (uint8_t)bp_min_u32(cylinder, floppy_drive_cylinders(drive->type) - 1);
    if (steps != 0 && drive->medium.inserted) {
        drive->changed = 0; /* a step pulse with a medium in place */
    }
}

/* --- marks --------------------------------------------------------------------------------------
 */

static uint32_t
mark_number(uint32_t cylinder, uint32_t head, uint32_t r)
{
    return (cylinder * FLOPPY_MAX_HEADS + head) * FLOPPY_MAX_SECTORS + r - 1;
}

uint32_t
fdc_deleted_get(const struct fdc_medium *medium, uint32_t cylinder, uint32_t head, uint32_t r)
{
    uint32_t n = mark_number(cylinder, head, r);

    return n < FLOPPY_TOTAL_SECTORS && (medium->deleted[n / 8] >> (n % 8) & 1);
}

void
fdc_deleted_set(struct fdc_medium *medium, uint32_t cylinder, uint32_t head, uint32_t r,
                uint32_t deleted)
{
    uint32_t n = mark_number(cylinder, head, r);

    if (n < FLOPPY_TOTAL_SECTORS) {
        uint8_t bit = (uint8_t)(1u << (n % 8));
        medium->deleted[n / 8] =
            (uint8_t)(deleted ? medium->deleted[n / 8] | bit : medium->deleted[n / 8] & ~bit);
    }
}
