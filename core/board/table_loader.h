/* SPDX-License-Identifier: Apache-2.0 */
/* The script `etc/table-loader`: how firmware allocates, links and checksums tables it gets as
 * fw_cfg files. Commands of 128 bytes: ALLOCATE, ADD_POINTER, ADD_CHECKSUM. A pointer's field holds
 * an offset into the file it points to until the loader adds that file's address. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    TABLE_ZONE_HIGH = 1,      /* anywhere in memory below 4 GiB */
    TABLE_ZONE_F_SEGMENT = 2, /* F0000h-FFFFFh, where anchors are searched */
} TableZone;

/* file: a fw_cfg name. alignment: a power of two. */
void table_loader_allocate(GByteArray *script, const char *file, uint32_t alignment,
                           TableZone zone);
/* The field of size 1, 2, 4 or 8 bytes at offset of file points into target. */
void table_loader_add_pointer(GByteArray *script, const char *file, uint32_t offset, uint8_t size,
                              const char *target);
/* The byte at offset makes [start, start + length) of file sum up to 0. */
void table_loader_add_checksum(GByteArray *script, const char *file, uint32_t offset,
                               uint32_t start, uint32_t length);

/* A piece of memory, given out from its start. */
typedef struct {
    uint64_t next, end;
} TableArea;

/* Address of length bytes, or 0: full. */
uint64_t table_area_take(TableArea *area, uint64_t length, uint64_t alignment);

typedef struct {
    const char *name;
    GByteArray *data; /* changed in place */
    uint64_t gpa;     /* out; 0: not allocated by the script */
} TableFile;

/* Does what firmware would do, into areas of the caller's choice. False: the script names a file
 * that is not there, reaches outside one, or there is no room. */
bool table_loader_run(const GByteArray *script, TableFile *files, unsigned count, TableArea *high,
                      TableArea *f_segment);
