/* SPDX-License-Identifier: Apache-2.0 */
/* Formats of floppies by image size, and which drive takes them. */
#pragma once

#include <stdint.h>

#define FLOPPY_SECTOR_BYTES     512u
#define FLOPPY_SIZE_CODE        2u /* N of an ID: 128 << 2 */
#define FLOPPY_MAX_CYLINDERS    84u
#define FLOPPY_MAX_HEADS        2u
#define FLOPPY_MAX_SECTORS      48u
#define FLOPPY_CYLINDER_SECTORS (FLOPPY_MAX_HEADS * FLOPPY_MAX_SECTORS)
#define FLOPPY_TOTAL_SECTORS    (FLOPPY_MAX_CYLINDERS * FLOPPY_CYLINDER_SECTORS)

/* Types of drives as CMOS 10h names them. */
#define FLOPPY_DRIVE_NONE  0u
#define FLOPPY_DRIVE_360K  1u
#define FLOPPY_DRIVE_1200K 2u
#define FLOPPY_DRIVE_720K  3u
#define FLOPPY_DRIVE_1440K 4u
#define FLOPPY_DRIVE_2880K 5u
#define FLOPPY_DRIVE_TYPES 6u

/* Data rates, as a mask. */
#define FLOPPY_RATE_250  1u
#define FLOPPY_RATE_300  2u
#define FLOPPY_RATE_500  4u
#define FLOPPY_RATE_1000 8u

struct floppy_format {
    uint8_t cylinders;
    uint8_t heads;
    uint8_t sectors; /* of a track */
    uint8_t rates;   /* FLOPPY_RATE_... at which it can be read */
};

/* The drive in which a medium of that size is most at home; FLOPPY_DRIVE_1440K for sizes that are
 * no format's. */
uint32_t floppy_drive_for(uint64_t bytes);
/* The format of a medium of that size in that drive. An image shorter than the drive's largest
 * format that is no format's size is taken for the beginning of one. Returns 1, or 0: it does not
 * fit. */
uint32_t floppy_format_find(uint64_t bytes, uint32_t drive, struct floppy_format *format);
/* "1.44M" etc.; "none". */
const char *floppy_drive_name(uint32_t drive);
/* Cylinders the head can reach, with those beyond the standard ones. */
uint32_t floppy_drive_cylinders(uint32_t drive);
/* One turn of the medium, ns. */
uint64_t floppy_drive_turn_ns(uint32_t drive);
