/* SPDX-License-Identifier: Apache-2.0 */
/* READ CD, READ CD MSF (MMC-6 6.18, 6.19): sectors with all that surrounds their data, made from
 * the 2048 bytes that the image has. A window may begin and end amid a sector. */
#include "ecc.h"
#include "mmc.h"

#include <string.h>

#define SYNC      0x80u
#define SUBHEADER 0x40u
#define HEADER    0x20u
#define USER_DATA 0x10u
#define EDC_ECC   0x08u
#define C2_SHIFT  1

#define ANY_TYPE    0u
#define MODE_1_TYPE 2u

#define SUBCODE_RAW 1u
#define SUBCODE_Q   2u
#define SUBCODE_RW  4u

#define BATCH  14u                         /* sectors of data in the bounce buffer */
#define MAKING ((uint64_t)BATCH * CD_DATA) /* behind them: the sector that is put together */
#define ROOM   (BP_SCSI_ARENA_BYTES - MAKING)

_Static_assert(ROOM >= CD_SECTOR + 296 + CD_SUBCODE, "no room for a sector");

/* task->detail: [0] bytes of a sector, [1] main channel, [2] sub-channel. */

static uint32_t
c2_bytes(uint32_t main_channel)
{
    static const uint32_t bytes[4] = {0, 294, 296, 0};

    return bytes[main_channel >> C2_SHIFT & 3];
}

/* Main channel: the selected fields, which lie side by side in a sector. Returns their length. */
static uint32_t
make_main(uint32_t selected, uint64_t lba, const uint8_t *data, uint8_t *out)
{
    static const struct {
        uint32_t field, at, length;
    } parts[] = {{SYNC, 0, CD_SYNC_END},
                 {HEADER, CD_SYNC_END, 4},
                 {USER_DATA, CD_DATA_AT, CD_DATA},
                 {EDC_ECC, CD_EDC_AT, CD_SECTOR - CD_EDC_AT}};
    uint8_t sector[CD_SECTOR];
    uint32_t length = 0;

    if ((selected & (SYNC | HEADER | USER_DATA | EDC_ECC)) == USER_DATA) {
        memcpy(out, data, CD_DATA);
        return CD_DATA;
    }
    cd_make_sector(lba, data, sector);
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(parts); i++) {
        if (selected & parts[i].field) {
            memcpy(out + length, sector + parts[i].at, parts[i].length);
            length += parts[i].length;
        }
    }
    return length;
}

/* Puts together what was asked for. Returns its length. */
static uint32_t
make(const struct bp_scsi_task *task, uint64_t lba, const uint8_t *data, uint8_t *out)
{
    uint32_t selected = task->detail[1];
    uint32_t length = make_main(selected, lba, data, out);

    memset(out + length, 0, c2_bytes(selected) + CD_SUBCODE);
    length += c2_bytes(selected);
    if (task->detail[2] == SUBCODE_RAW) {
        cd_make_subcode(lba, out + length);
        length += CD_SUBCODE;
    } else if (task->detail[2] == SUBCODE_Q) {
        cd_make_q(lba, out + length);
        length += 16;
    } else if (task->detail[2] == SUBCODE_RW) {
        length += CD_SUBCODE; /* no packs: zeroes */
    }
    return length;
}

static void
give(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint32_t size = task->detail[0];
    uint64_t first = task_position(task) / size;
    uint64_t count = task->request_length / CD_DATA;
    uint8_t *out = unit->arena + MAKING;

    for (uint64_t i = 0; i < count && task->state == BP_SCSI_WAIT && task->window != 0; i++) {
        uint64_t skip = task_position(task) - (first + i) * size;
        uint64_t bytes = bp_min_u64(size - skip, task_window_left(task));

        (void)make(task, task->lba + first + i, unit->arena + i * CD_DATA, out);
        (void)bp_iovec_write(task->iov, task->iov_count, 0, out + skip, bytes);
        io_consume(task, bytes);
        task_window_done(task, bytes);
    }
}

void
mmc_read_cd_advance(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint64_t first, end;

    if (!io_bounce(task)) {
        return;
    }
    if (task->phase == 1) {
        task->phase = 0;
        give(task);
        if (task->state != BP_SCSI_WAIT) {
            io_release(task);
            return;
        }
        if (task->moved == task->length) {
            task_good(task);
            return;
        }
    }
    task->phase = 1;
    first = task_position(task) / task->detail[0];
    end = (task_position(task) + task_window_left(task) + task->detail[0] - 1) / task->detail[0];
    task->own_iov = (struct bp_iovec){unit->arena, bp_min_u64(end - first, BATCH) * CD_DATA};
    io_request(task, BP_BLOCK_READ, (task->lba + first) * CD_DATA, task->own_iov.length,
               &task->own_iov, 1);
}

/* Which combinations there are: MMC-6 table 351 for mode 1. A sub-header is none in mode 1. */
static uint32_t
legal(uint32_t selected)
{
    if ((selected & EDC_ECC) && !(selected & USER_DATA)) {
        return 0;
    }
    if ((selected & SYNC) && !(selected & HEADER) && (selected & (SUBHEADER | USER_DATA))) {
        return 0;
    }
    return (selected >> C2_SHIFT & 3) != 3;
}

static void
read_sectors(struct bp_scsi_task *task, uint64_t lba, uint64_t blocks)
{
    static const struct {
        uint32_t field, length;
    } sizes[] = {{SYNC, CD_SYNC_END}, {HEADER, 4}, {USER_DATA, CD_DATA}, {EDC_ECC, 288}};
    uint32_t type = task->cdb[1] >> 2 & 7;
    uint32_t selected = task->cdb[9];
    uint32_t subcode = task->cdb[10] & 7;
    uint32_t size = c2_bytes(selected);

    if (type > 5) {
        task_fail_cdb(task, 1, 4);
    } else if (!legal(selected)) {
        task_fail_cdb(task, 9, 7);
    } else if (subcode != 0 && subcode != SUBCODE_RAW && subcode != SUBCODE_Q &&
               subcode != SUBCODE_RW) {
        task_fail_cdb(task, 10, 2);
    } else if (mmc_out_of_range(task, lba, blocks)) {
        return;
    } else if (mmc_profile(task_unit(task)) != MMC_PROFILE_CD &&
               ((selected & ~(uint32_t)SUBHEADER) != USER_DATA || subcode != 0)) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x3002); /* incompatible format */
    } else if (blocks != 0 && type != ANY_TYPE && type != MODE_1_TYPE) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x6400); /* illegal mode for this track */
    } else {
        for (uint32_t i = 0; i < BP_ARRAY_LENGTH(sizes); i++) {
            size += selected & sizes[i].field ? sizes[i].length : 0;
        }
        size += subcode == 0 ? 0 : subcode == SUBCODE_Q ? 16 : CD_SUBCODE;
        task->lba = lba;
        task->blocks = blocks;
        task->detail[0] = size;
        task->detail[1] = selected;
        task->detail[2] = subcode;
        task_data(task, KIND_BOUNCE, BP_SCSI_IN, blocks * size, 1);
    }
}

void
mmc_read_cd(struct bp_scsi_task *task)
{
    read_sectors(task, get_be(task->cdb + 2, 4), get_be(task->cdb + 6, 3));
}

/* Returns 1 and the address, or 0. */
static uint32_t
from_msf(const uint8_t *msf, uint64_t *ret_lba)
{
    uint64_t frames = (msf[0] * 60u + msf[1]) * 75u + msf[2];

    if (msf[1] > 59 || msf[2] > 74 || frames < 150) {
        return 0;
    }
    *ret_lba = frames - 150;
    return 1;
}

void
mmc_read_cd_msf(struct bp_scsi_task *task)
{
    uint64_t first = 0, end = 0;

    if (!from_msf(task->cdb + 3, &first)) {
        task_fail_cdb(task, 3, 8);
    } else if (!from_msf(task->cdb + 6, &end) || end < first) {
        task_fail_cdb(task, 6, 8);
    } else {
        read_sectors(task, first, end - first);
    }
}
