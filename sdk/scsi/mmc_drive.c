/* SPDX-License-Identifier: Apache-2.0 */
/* What the drive is and does (MMC-6): features and profiles, events, performance, mechanism. */
#include "mmc.h"

#include <string.h>

/* --- GET CONFIGURATION (6.6) -------------------------------------------------------------------
 */

/* Version << 2; bit 1 persistent, bit 0 current (5.2.2). */
#define PERSISTENT 3u

static uint8_t *
put_feature(uint8_t *to, uint32_t code, uint32_t bits, uint32_t length)
{
    memset(to, 0, 4 + length);
    put_be(to, 2, code);
    to[2] = (uint8_t)bits;
    to[3] = (uint8_t)length;
    return to + 4;
}

/* Each adds its feature at `to` and returns the length. */

static uint32_t
feature_profiles(const struct bp_scsi_unit *unit, uint8_t *to)
{
    uint8_t *data = put_feature(to, 0x0000, PERSISTENT, 8);

    put_be(data, 2, MMC_PROFILE_DVD);
    data[2] = mmc_profile(unit) == MMC_PROFILE_DVD;
    put_be(data + 4, 2, MMC_PROFILE_CD);
    data[6] = mmc_profile(unit) == MMC_PROFILE_CD;
    return 12;
}

static uint32_t
feature_core(const struct bp_scsi_unit *unit, uint8_t *to)
{
    uint8_t *data = put_feature(to, 0x0001, 2 << 2 | PERSISTENT, 8);

    put_be(data, 4, unit->identity.flags & BP_SCSI_ATAPI ? 2 : 1); /* physical interface */
    return 12;
}

static uint32_t
feature_morphing(const struct bp_scsi_unit *unit, uint8_t *to)
{
    uint8_t *data = put_feature(to, 0x0002, 1 << 2 | PERSISTENT, 4);

    data[0] = 0x02; /* OCEvent: operational change is told */
    return 8;
}

static uint32_t
feature_removable(const struct bp_scsi_unit *unit, uint8_t *to)
{
    uint8_t *data = put_feature(to, 0x0003, 1 << 2 | PERSISTENT, 4);

    data[0] = 0x39; /* tray; load, eject, lock */
    return 8;
}

static uint32_t
feature_random(const struct bp_scsi_unit *unit, uint8_t *to)
{
    uint8_t *data = put_feature(to, 0x0010, media_ready(unit), 8);

    put_be(data, 4, unit->block_size);
    put_be(data + 4, 2, mmc_profile(unit) == MMC_PROFILE_DVD ? 16 : 1);
    data[6] = 0x01; /* PP: there is an error recovery page */
    return 12;
}

static uint32_t
feature_cd_read(const struct bp_scsi_unit *unit, uint8_t *to)
{
    uint8_t *data = put_feature(to, 0x001e, 2 << 2 | (mmc_profile(unit) == MMC_PROFILE_CD), 4);

    data[0] = 0x02; /* C2 error bits can be had */
    return 8;
}

static uint32_t
feature_dvd_read(const struct bp_scsi_unit *unit, uint8_t *to)
{
    (void)put_feature(to, 0x001f, mmc_profile(unit) == MMC_PROFILE_DVD, 0);
    return 4;
}

static uint32_t
feature_power(const struct bp_scsi_unit *unit, uint8_t *to)
{
    (void)put_feature(to, 0x0100, PERSISTENT, 0);
    return 4;
}

static uint32_t
feature_timeout(const struct bp_scsi_unit *unit, uint8_t *to)
{
    (void)put_feature(to, 0x0105, 1 << 2 | PERSISTENT, 4);
    return 8;
}

static uint32_t
feature_streaming(const struct bp_scsi_unit *unit, uint8_t *to)
{
    uint8_t *data = put_feature(to, 0x0107, 4 << 2 | media_ready(unit), 4);

    data[0] = 0x0c; /* SCS: SET CD SPEED; MP2A: page 2A */
    return 8;
}

static uint32_t
feature_serial(const struct bp_scsi_unit *unit, uint8_t *to)
{
    uint32_t length = (uint32_t)strlen(unit->identity.serial);
    uint32_t padded = (length + 3) & ~3u;
    uint8_t *data;

    if (length == 0) {
        return 0;
    }
    data = put_feature(to, 0x0108, PERSISTENT, padded);
    memset(data, ' ', padded);
    memcpy(data, unit->identity.serial, length);
    return 4 + padded;
}

static const struct {
    uint16_t code;
    uint32_t (*put)(const struct bp_scsi_unit *unit, uint8_t *to);
} features[] = {
    {0x0000, feature_profiles},  {0x0001, feature_core},   {0x0002, feature_morphing},
    {0x0003, feature_removable}, {0x0010, feature_random}, {0x001e, feature_cd_read},
    {0x001f, feature_dvd_read},  {0x0100, feature_power},  {0x0105, feature_timeout},
    {0x0107, feature_streaming}, {0x0108, feature_serial},
};

void
mmc_get_configuration(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint32_t type = task->cdb[1] & 3;
    uint32_t first = get_be(task->cdb + 2, 2);
    uint8_t *data = task->page;
    uint32_t length = 8;

    if (type == 3) {
        task_fail_cdb(task, 1, 1);
        return;
    }
    memset(data, 0, 8);
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(features); i++) {
        uint32_t added;

        if (features[i].code < first || (type == 2 && features[i].code != first)) {
            continue;
        }
        added = features[i].put(unit, data + length);
        if (type == 1 && added != 0 && !(data[length + 2] & 1)) {
            continue; /* not current */
        }
        length += added;
    }
    put_be(data, 4, length - 4);
    put_be(data + 6, 2, mmc_profile(unit));
    task_page_in(task, length, get_be(task->cdb + 7, 2));
}

/* --- GET EVENT STATUS NOTIFICATION (6.7) -------------------------------------------------------
 */

#define CLASS_OPERATIONAL 1u
#define CLASS_POWER       2u
#define CLASS_MEDIA       4u
#define CLASSES           (1u << CLASS_OPERATIONAL | 1u << CLASS_POWER | 1u << CLASS_MEDIA)

#define MEDIA_EJECT_REQUEST 1u

static uint32_t
event_pending(const struct bp_scsi_unit *unit, uint32_t class)
{
    if (class == CLASS_OPERATIONAL) {
        return unit->operational;
    }
    if (class == CLASS_POWER) {
        return unit->power_event;
    }
    return unit->media_event != 0 ? unit->media_event
                                  : (unit->eject_request ? MEDIA_EJECT_REQUEST : 0);
}

static void
put_event(struct bp_scsi_unit *unit, uint32_t class, uint8_t *data)
{
    uint32_t event = event_pending(unit, class);

    if (class == CLASS_OPERATIONAL) {
        data[0] = event ? 0x02 : 0x00; /* a feature has changed */
        data[1] = bp_scsi_unit_locked(unit) ? 0x80 : 0;
        data[3] = event ? 0x01 : 0x00;
        unit->operational = 0;
    } else if (class == CLASS_POWER) {
        data[0] = event ? 0x01 : 0x00; /* the power state was changed */
        data[1] = (uint8_t)(unit->power_state != 0 ? unit->power_state : 1);
        unit->power_event = 0;
    } else {
        data[0] = (uint8_t)event;
        data[1] = (uint8_t)((unit->present ? 0x02 : 0) | (unit->tray_open ? 0x01 : 0));
        if (unit->media_event != 0) {
            unit->media_event = 0;
        } else {
            unit->eject_request = 0;
        }
    }
}

void
mmc_get_event_status(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint32_t allocated = get_be(task->cdb + 7, 2);
    uint32_t wanted = task->cdb[4] & CLASSES;
    uint8_t *data = task->page;
    uint32_t class = 0;

    if (!(task->cdb[1] & 1)) {
        task_fail_cdb(task, 1, 0); /* nothing comes unasked */
        return;
    }
    memset(data, 0, 8);
    data[3] = CLASSES;
    if (wanted == 0) {
        put_be(data, 2, 2);
        data[2] = 0x80; /* NEA: none of these */
        task_page_in(task, 4, allocated);
        return;
    }
    /* the lowest with an event, or else the lowest */
    for (uint32_t i = 7; i > 0; i--) {
        if ((wanted & 1u << i) &&
            (event_pending(unit, i) || !(class && event_pending(unit, class)))) {
            class = i;
        }
    }
    put_be(data, 2, 6);
    data[2] = (uint8_t) class;
    if (allocated > 4) {
        put_event(unit, class, data + 4); /* what nobody sees has not been told */
    }
    task_page_in(task, 8, allocated);
}

/* --- GET PERFORMANCE (6.8), SET CD SPEED (6.36), SET STREAMING (6.39) --------------------------
 */

void
mmc_get_performance(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint32_t type = task->cdb[10];
    uint32_t most = get_be(task->cdb + 8, 2);
    uint8_t *data = task->page;
    uint32_t length = 8;

    if (type != 0x00 && type != 0x03) {
        task_fail_cdb(task, 10, 8);
        return;
    }
    memset(data, 0, 24);
    if (type == 0x00) {
        data[4] = task->cdb[1] & 0x04 ? 0x02 : 0;  /* write */
        data[4] |= task->cdb[1] & 0x03 ? 0x01 : 0; /* exceptions: there are none */
        if (data[4] == 0 && media_ready(unit)) {
            put_be(data + 12, 4, unit->read_speed);
            put_be(data + 16, 4, bp_min_u64(unit->blocks - 1, UINT32_MAX));
            put_be(data + 20, 4, unit->read_speed);
            length = 24;
        }
    }
    put_be(data, 4, length - 4);
    task_page_in(task, length, 8 + most * 16u);
}

static void
set_speed(struct bp_scsi_unit *unit, uint32_t speed)
{
    unit->read_speed = speed == 0 || speed > MMC_SPEED_MAX ? MMC_SPEED_MAX : speed;
}

void
mmc_set_cd_speed(struct bp_scsi_task *task)
{
    set_speed(task_unit(task), get_be(task->cdb + 2, 2));
    task_good(task);
}

void
mmc_set_streaming(struct bp_scsi_task *task)
{
    uint32_t length = get_be(task->cdb + 9, 2);

    if (task->cdb[8] != 0) {
        task_fail_cdb(task, 8, 8); /* a performance descriptor alone */
    } else if (length != 0 && length != 28) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x1a00);
    } else {
        task_page_out(task, length);
    }
}

void
mmc_set_streaming_data(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint32_t size = get_be(task->page + 12, 4); /* kB in a time of ms */
    uint32_t time = get_be(task->page + 16, 4);

    if (task->page[0] & 0x04) { /* RDD: restore defaults */
        set_speed(unit, 0);
    } else if (time == 0) {
        task_fail_list(task, 16, 8);
        return;
    } else {
        uint64_t speed = (uint64_t)size * 1000 / time;

        set_speed(unit, (uint32_t)bp_min_u64(speed, UINT32_MAX));
    }
    task_good(task);
}

/* --- MECHANISM STATUS (6.10) -------------------------------------------------------------------
 */

void
mmc_mechanism_status(struct bp_scsi_task *task)
{
    memset(task->page, 0, 8);
    task->page[1] = task_unit(task)->tray_open ? 0x10 : 0;
    task->page[5] = 1; /* slot */
    task_page_in(task, 8, get_be(task->cdb + 8, 2));
}
