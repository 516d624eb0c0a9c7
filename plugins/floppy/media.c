/* SPDX-License-Identifier: Apache-2.0 */
/* Formats of floppies. A family has a range of sectors per track and of cylinders; within one
 * family no two combinations have the same size, so the size of an image tells the format. */
#include "media.h"

#include <stddef.h>

#define IN(type) (1u << (type))

struct family {
    uint8_t drives; /* mask of types that take it; the lowest set bit of `home` is preferred */
    uint8_t home;   /* drive type for a medium of that family when nothing is told */
    uint8_t heads;
    uint8_t rates;
    uint8_t first_cylinders, last_cylinders;
    uint8_t sectors[8]; /* ascending, 0: end */
};

/* Order: what a size means when the drive takes several; home 0: never by size alone. 5.25-inch
 * double density media answer at 250 and at 300 kbit/s: that is 300 and 360 turns a minute, and an
 * image does not know in which drive it was written. */
static const struct family families[] = {
    {.drives = IN(FLOPPY_DRIVE_1440K) | IN(FLOPPY_DRIVE_2880K),
     .home = FLOPPY_DRIVE_1440K,
     .heads = 2,
     .rates = FLOPPY_RATE_500,
     .first_cylinders = 80,
     .last_cylinders = 83,
     .sectors = {18, 19, 20, 21, 22, 23, 24}},
    {.drives = IN(FLOPPY_DRIVE_720K) | IN(FLOPPY_DRIVE_1440K) | IN(FLOPPY_DRIVE_2880K),
     .home = FLOPPY_DRIVE_1440K,
     .heads = 2,
     .rates = FLOPPY_RATE_250,
     .first_cylinders = 80,
     .last_cylinders = 83,
     .sectors = {8, 9, 10, 11, 12, 13, 14}},
    {.drives = IN(FLOPPY_DRIVE_2880K),
     .home = FLOPPY_DRIVE_2880K,
     .heads = 2,
     .rates = FLOPPY_RATE_1000,
     .first_cylinders = 80,
     .last_cylinders = 83,
     .sectors = {36, 39, 40, 44, 48}},
    {.drives = IN(FLOPPY_DRIVE_1200K),
     .home = FLOPPY_DRIVE_1200K,
     .heads = 2,
     .rates = FLOPPY_RATE_500,
     .first_cylinders = 80,
     .last_cylinders = 83,
     .sectors = {15, 16, 17, 18, 20}},
    {.drives = IN(FLOPPY_DRIVE_360K) | IN(FLOPPY_DRIVE_1200K),
     .home = FLOPPY_DRIVE_360K,
     .heads = 2,
     .rates = FLOPPY_RATE_250 | FLOPPY_RATE_300,
     .first_cylinders = 40,
     .last_cylinders = 42,
     .sectors = {8, 9, 10}},
    {.drives = IN(FLOPPY_DRIVE_360K) | IN(FLOPPY_DRIVE_1200K),
     .home = FLOPPY_DRIVE_360K,
     .heads = 1,
     .rates = FLOPPY_RATE_250 | FLOPPY_RATE_300,
     .first_cylinders = 40,
     .last_cylinders = 42,
     .sectors = {8, 9, 10}},
    {.drives = IN(FLOPPY_DRIVE_1200K), /* quad density */
     .heads = 2,
     .rates = FLOPPY_RATE_250 | FLOPPY_RATE_300,
     .first_cylinders = 80,
     .last_cylinders = 83,
     .sectors = {8, 9, 10, 11}},
    {.drives = IN(FLOPPY_DRIVE_720K) | IN(FLOPPY_DRIVE_1440K) | IN(FLOPPY_DRIVE_2880K),
     .heads = 1,
     .rates = FLOPPY_RATE_250,
     .first_cylinders = 80,
     .last_cylinders = 83,
     .sectors = {8, 9, 10}},
};

#define FAMILIES (sizeof(families) / sizeof(families[0]))

static const struct {
    const char *name;
    struct floppy_format largest; /* of the standard ones */
    uint8_t cylinders;
    uint8_t turns_a_minute_60; /* 300/60, 360/60 */
} drives[FLOPPY_DRIVE_TYPES] = {
    [FLOPPY_DRIVE_NONE] = {"none", {0}, 1, 5},
    [FLOPPY_DRIVE_360K] = {"360K", {40, 2, 9, FLOPPY_RATE_250 | FLOPPY_RATE_300}, 42, 5},
    [FLOPPY_DRIVE_1200K] = {"1.2M", {80, 2, 15, FLOPPY_RATE_500}, FLOPPY_MAX_CYLINDERS, 6},
    [FLOPPY_DRIVE_720K] = {"720K", {80, 2, 9, FLOPPY_RATE_250}, FLOPPY_MAX_CYLINDERS, 5},
    [FLOPPY_DRIVE_1440K] = {"1.44M", {80, 2, 18, FLOPPY_RATE_500}, FLOPPY_MAX_CYLINDERS, 5},
    [FLOPPY_DRIVE_2880K] = {"2.88M", {80, 2, 36, FLOPPY_RATE_1000}, FLOPPY_MAX_CYLINDERS, 5},
};

static uint64_t
format_bytes(const struct floppy_format *format)
{
    return (uint64_t)format->cylinders * format->heads * format->sectors * FLOPPY_SECTOR_BYTES;
}

/* Whether a medium of that size is of the family, and its format. */
static uint32_t
family_match(const struct family *family, uint64_t bytes, struct floppy_format *format)
{
    struct floppy_format candidate = {0, family->heads, 0, family->rates};

    for (uint32_t i = 0; i < sizeof(family->sectors) && family->sectors[i] != 0; i++) {
        candidate.sectors = family->sectors[i];
        candidate.cylinders = family->first_cylinders;
        while (candidate.cylinders < family->last_cylinders && format_bytes(&candidate) != bytes) {
            candidate.cylinders++;
        }
        if (format_bytes(&candidate) == bytes) {
            *format = candidate;
            return 1;
        }
    }
    return 0;
}

uint32_t
floppy_drive_for(uint64_t bytes)
{
    struct floppy_format format;

    for (uint32_t i = 0; i < FAMILIES; i++) {
        if (families[i].home != FLOPPY_DRIVE_NONE && family_match(&families[i], bytes, &format)) {
            return families[i].home;
        }
    }
    return bytes > format_bytes(&drives[FLOPPY_DRIVE_1440K].largest) ? FLOPPY_DRIVE_2880K
                                                                     : FLOPPY_DRIVE_1440K;
}

uint32_t
floppy_format_find(uint64_t bytes, uint32_t drive, struct floppy_format *format)
{
    struct floppy_format other;
    uint32_t known = 0;

    if (drive == FLOPPY_DRIVE_NONE || drive >= FLOPPY_DRIVE_TYPES || bytes < FLOPPY_SECTOR_BYTES) {
        return 0;
    }
    for (uint32_t i = 0; i < FAMILIES; i++) {
        if ((families[i].drives & IN(drive)) && family_match(&families[i], bytes, format)) {
            return 1;
        }
        known |= families[i].home != FLOPPY_DRIVE_NONE && family_match(&families[i], bytes, &other);
    }
    if (known || bytes > format_bytes(&drives[drive].largest)) {
        return 0; /* another drive's, or larger than anything here */
    }
    *format = drives[drive].largest;
    return 1;
}

const char *
floppy_drive_name(uint32_t drive)
{
    return drives[drive < FLOPPY_DRIVE_TYPES ? drive : 0].name;
}

uint32_t
floppy_drive_cylinders(uint32_t drive)
{
    return drives[drive < FLOPPY_DRIVE_TYPES ? drive : 0].cylinders;
}

uint64_t
floppy_drive_turn_ns(uint32_t drive)
{
    return 1000000000u / drives[drive < FLOPPY_DRIVE_TYPES ? drive : 0].turns_a_minute_60;
}
