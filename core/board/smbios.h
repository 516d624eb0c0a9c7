/* SPDX-License-Identifier: Apache-2.0 */
/* SMBIOS 2.8 structures with a 32-bit entry point (DMTF DSP0134). Firmware gets both as fw_cfg
 * files and fills in the address; a direct boot uses smbios_anchor_locate(). */
#pragma once

#include "board/board.h"

#include <glib.h>
#include <stdint.h>

#define SMBIOS_FILE_TABLES "etc/smbios/smbios-tables"
#define SMBIOS_FILE_ANCHOR "etc/smbios/smbios-anchor"

typedef struct {
    uint64_t start, end;
} SmbiosRange;

typedef struct {
    const BoardIdentity *identity;
    const uint8_t *uuid; /* 16 bytes in the order of the text */
    unsigned cpus;
    uint64_t ram_bytes;
    const SmbiosRange *ram; /* where it is mapped */
    unsigned ram_count;
} SmbiosArgs;

typedef struct {
    GByteArray *tables, *anchor;
} Smbios;

/* ERROR_CONFIG: the strings of the identity exceed 64 KiB. smbios_done() in any case. */
bool smbios_build(Smbios *smbios, const SmbiosArgs *args, GError **error);
void smbios_done(Smbios *smbios);
/* Puts the address of the tables into an anchor and sums it up. */
void smbios_anchor_locate(GByteArray *anchor, uint32_t tables_gpa);
