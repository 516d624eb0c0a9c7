/* SPDX-License-Identifier: Apache-2.0 */
/* What is on the medium (MMC-6): one session, one data track, from LBA 0 to the end of the image.
 */
#include "ecc.h"
#include "mmc.h"

#include <string.h>

#define CONTROL_ADR 0x14u /* ADR 1, data track, uninterrupted */
#define LEAD_OUT    0xaau

static uint32_t
has_msf(const struct bp_scsi_task *task)
{
    return task->cdb[1] & 2;
}

/* Four bytes of an address: LBA, or 0, M, S, F. */
static void
put_address(uint8_t *to, uint64_t lba, uint32_t msf)
{
    if (msf) {
        to[0] = 0;
        cd_msf(lba, to + 1);
    } else {
        put_be(to, 4, lba);
    }
}

/* --- READ TOC/PMA/ATIP (6.25) ------------------------------------------------------------------
 */

static uint32_t
put_track(uint8_t *to, uint32_t track, uint64_t lba, uint32_t msf)
{
    memset(to, 0, 8);
    to[1] = CONTROL_ADR;
    to[2] = (uint8_t)track;
    put_address(to + 4, lba, msf);
    return 8;
}

static uint32_t
toc_tracks(struct bp_scsi_task *task, uint8_t *data)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint32_t first = task->cdb[6];
    uint32_t at = 4;

    if (first > 1 && first != LEAD_OUT) {
        return 0;
    }
    data[2] = data[3] = 1;
    if (first <= 1) {
        at += put_track(data + at, 1, 0, has_msf(task));
    }
    return at + put_track(data + at, LEAD_OUT, unit->blocks, has_msf(task));
}

static uint32_t
put_point(uint8_t *to, uint32_t point, const uint8_t *value)
{
    memset(to, 0, 11);
    to[0] = 1; /* session */
    to[1] = CONTROL_ADR;
    to[3] = (uint8_t)point;
    memcpy(to + 8, value, 3);
    return 11;
}

/* Format 2, what the lead-in holds. */
static uint32_t
toc_full(struct bp_scsi_task *task, uint8_t *data)
{
    static const uint8_t first_track[3] = {1, 0, 0};
    uint8_t msf[3];
    uint32_t at = 4;

    if (task->cdb[6] > 1) {
        return 0;
    }
    data[2] = data[3] = 1;
    at += put_point(data + at, 0xa0, first_track); /* first track, disc type 00h: CD-ROM */
    at += put_point(data + at, 0xa1, first_track); /* last track */
    cd_msf(task_unit(task)->blocks, msf);
    at += put_point(data + at, 0xa2, msf); /* lead-out */
    cd_msf(0, msf);
    return at + put_point(data + at, 1, msf);
}

void
mmc_read_toc(struct bp_scsi_task *task)
{
    uint32_t format = task->cdb[2] & 0x0f;
    uint32_t length = 0;

    memset(task->page, 0, 64);
    /* before MMC-2 the format stood in the control byte (SFF-8020i 10.8.17) */
    format = format == 0 ? task->cdb[9] >> 6 : format;
    if (format == 0) {
        length = toc_tracks(task, task->page);
    } else if (format == 1) {
        task->page[2] = task->page[3] = 1;
        length = 4 + put_track(task->page + 4, 1, 0, has_msf(task));
    } else if (format == 2) {
        length = toc_full(task, task->page);
    } else {
        task_fail_cdb(task, 2, 3); /* PMA, ATIP, CD-TEXT: not on a ROM */
        return;
    }
    if (length == 0) {
        task_fail_cdb(task, 6, 8);
        return;
    }
    put_be(task->page, 2, length - 2);
    task_page_in(task, length, get_be(task->cdb + 7, 2));
}

/* --- READ SUB-CHANNEL (6.23) -------------------------------------------------------------------
 */

void
mmc_read_sub_channel(struct bp_scsi_task *task)
{
    static const uint8_t lengths[4] = {0, 12, 20, 20};
    uint32_t format = task->cdb[3];
    uint8_t *data = task->page;
    uint32_t length = 4;

    memset(data, 0, 32);
    data[1] = 0x15; /* no audio status to return */
    if (task->cdb[2] & 0x40) {
        if (format < 1 || format > 3) {
            task_fail_cdb(task, 3, 8);
            return;
        }
        if (format == 3 && task->cdb[6] != 1) {
            task_fail_cdb(task, 6, 8);
            return;
        }
        length += lengths[format];
        data[4] = (uint8_t)format;
        if (format == 1) {
            data[5] = CONTROL_ADR;
            data[6] = data[7] = 1;
            put_address(data + 8, 0, has_msf(task));
            put_be(data + 12, 4, 0);
        } else if (format == 3) {
            data[5] = CONTROL_ADR;
            data[6] = 1;
        }
    }
    put_be(data + 2, 2, length - 4);
    task_page_in(task, length, get_be(task->cdb + 7, 2));
}

/* --- READ DISC INFORMATION (6.21), READ TRACK INFORMATION (6.26) -------------------------------
 */

void
mmc_read_disc_information(struct bp_scsi_task *task)
{
    uint8_t *data = task->page;

    if (task->cdb[1] & 7) {
        task_fail_cdb(task, 1, 2);
        return;
    }
    memset(data, 0, 34);
    data[1] = 32;
    data[2] = 0x0e; /* last session complete, disc finalized, not erasable */
    data[3] = data[4] = data[5] = data[6] = 1;
    data[7] = 0x20;             /* URU: unrestricted use */
    memset(data + 16, 0xff, 8); /* no further session, no further lead-out */
    task_page_in(task, 34, get_be(task->cdb + 7, 2));
}

void
mmc_read_track_information(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint32_t type = task->cdb[1] & 3;
    uint32_t address = get_be(task->cdb + 2, 4);
    uint8_t *data = task->page;

    if (type == 3 || (type == 0 && (task->cdb[1] & 4))) {
        task_fail_cdb(task, 1, 1);
        return;
    }
    if (type == 0 && address >= unit->blocks) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x2100);
        return;
    }
    if (type != 0 && address != 1) {
        task_fail_cdb(task, 2, 8);
        return;
    }
    memset(data, 0, 36);
    data[1] = 34;
    data[2] = data[3] = 1;
    data[5] = 0x04; /* track mode: data, uninterrupted */
    data[6] = 0x01; /* data mode 1 */
    put_be(data + 24, 4, bp_min_u64(unit->blocks, UINT32_MAX));
    task_page_in(task, 36, get_be(task->cdb + 7, 2));
}

/* --- READ DISC STRUCTURE (6.22) ----------------------------------------------------------------
 */

#define PHYSICAL_FIRST 0x30000u

static const struct {
    uint8_t format;
    uint16_t length;
} structures[] = {{0x00, 2052}, {0x01, 8}, {0x04, 2052}, {0xff, 4 + 4 * 4}};

static void
put_physical(const struct bp_scsi_unit *unit, uint8_t *data)
{
    data[0] = 0x01; /* DVD-ROM, part version 1 */
    data[1] = 0x0f; /* 120 mm; no maximum rate specified */
    data[2] = 0x01; /* one layer, embossed */
    put_be(data + 5, 3, PHYSICAL_FIRST);
    put_be(data + 9, 3, PHYSICAL_FIRST + unit->blocks - 1);
}

static void
put_structure_list(uint8_t *data)
{
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(structures); i++) {
        data[0] = structures[i].format;
        data[1] = 0x40; /* RDS: can be read */
        put_be(data + 2, 2, structures[i].length);
        data += 4;
    }
}

void
mmc_read_disc_structure(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint32_t format = task->cdb[7];
    uint32_t length = 0;

    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(structures); i++) {
        length = structures[i].format == format ? structures[i].length : length;
    }
    if (task->cdb[1] & 0x0f) {
        task_fail_cdb(task, 1, 3); /* of a DVD alone */
    } else if (mmc_profile(unit) != MMC_PROFILE_DVD && format != 0xff) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x3002);
    } else if (length == 0) {
        task_fail_cdb(task, 7, 8); /* BCA and others: this disc has none */
    } else if (task->cdb[6] != 0 && format != 0xff) {
        task_fail_cdb(task, 6, 8); /* there is one layer */
    } else {
        memset(task->page, 0, length);
        put_be(task->page, 2, length - 2);
        if (format == 0x00) {
            put_physical(unit, task->page + 4);
        } else if (format == 0xff) {
            put_structure_list(task->page + 4);
        }
        task_page_in(task, length, get_be(task->cdb + 8, 2));
    }
}

/* --- READ FORMAT CAPACITIES (6.24) -------------------------------------------------------------
 */

void
mmc_read_format_capacities(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint8_t *data = task->page;

    memset(data, 0, 12);
    data[3] = 8;
    put_be(data + 4, 4, media_ready(unit) ? bp_min_u64(unit->blocks, UINT32_MAX) : 0);
    data[8] = media_ready(unit) ? 0x02 : 0x03; /* formatted; no medium */
    put_be(data + 9, 3, unit->block_size);
    task_page_in(task, 12, get_be(task->cdb + 7, 2));
}
