/* SPDX-License-Identifier: Apache-2.0 */
/* MODE SENSE, MODE SELECT (SPC-4 6.9 - 6.14) and the pages of disks (SBC-3 6.5) and CD drives
 * (MMC-6 7). A page is described by a function that writes its current, default and saved values, a
 * mask of what may be changed, and a function that takes a new one over. */
#include "mmc.h"

#include <string.h>

#define CURRENT    0u
#define CHANGEABLE 1u
#define DEFAULT    2u
#define SAVED      3u

#define PAGE_MAX 26u
#define ALL      0x3fu

#define FOR_DISK 1u
#define FOR_CD   2u

struct mode_page { // NOLINT(clang-analyzer-optin.performance.Padding): read as a table
    uint8_t code;
    uint8_t length; /* with its two bytes of header */
    uint8_t units;
    /* page: zeroed; header is there. which: CURRENT, DEFAULT or SAVED. */
    void (*fill)(const struct bp_scsi_unit *unit, uint8_t *page, uint32_t which);
    void (*take)(struct bp_scsi_unit *unit, const uint8_t *page, uint32_t save);
    uint8_t changeable[PAGE_MAX];
};

void
scsi_mode_reset(struct bp_scsi_unit *unit)
{
    static const uint8_t recovery[10] = {0, 5};

    memcpy(unit->recovery, recovery, sizeof(recovery));
    memset(unit->audio, 0, sizeof(unit->audio));
    memset(unit->power, 0, sizeof(unit->power));
    unit->audio[0] = 1;
    unit->audio[1] = 0xff;
    unit->audio[2] = 2;
    unit->audio[3] = 0xff;
    unit->inactivity = 0;
    unit->write_cache = unit->saved_write_cache;
    unit->read_cache_off = unit->saved_read_cache_off;
    unit->descriptor_sense = unit->saved_descriptor_sense;
    unit->software_protect = unit->saved_software_protect;
}

/* --- pages -------------------------------------------------------------------------------------
 */

static void
fill_recovery(const struct bp_scsi_unit *unit, uint8_t *page, uint32_t which)
{
    page[3] = 5; /* retries */
    if (which == CURRENT) {
        memcpy(page + 2, unit->recovery, sizeof(unit->recovery));
    }
}

static void
take_recovery(struct bp_scsi_unit *unit, const uint8_t *page, uint32_t save)
{
    memcpy(unit->recovery, page + 2, sizeof(unit->recovery));
}

/* Power condition of MMC-6 7.7. */
static void
fill_power(const struct bp_scsi_unit *unit, uint8_t *page, uint32_t which)
{
    if (which == CURRENT) {
        memcpy(page + 2, unit->power, sizeof(unit->power));
    }
}

static void
take_power(struct bp_scsi_unit *unit, const uint8_t *page, uint32_t save)
{
    memcpy(unit->power, page + 2, sizeof(unit->power));
}

/* CD-ROM, SFF-8020i 10.8.6.2. */
static void
fill_cdrom(const struct bp_scsi_unit *unit, uint8_t *page, uint32_t which)
{
    page[3] = which == CURRENT ? unit->inactivity : 0;
    page[5] = 60;
    page[7] = 75;
}

static void
take_cdrom(struct bp_scsi_unit *unit, const uint8_t *page, uint32_t save)
{
    unit->inactivity = page[3];
}

/* CD audio control, SFF-8020i 10.8.6.3: two ports with channel and volume. */
static void
fill_audio(const struct bp_scsi_unit *unit, uint8_t *page, uint32_t which)
{
    static const uint8_t defaults[4] = {1, 0xff, 2, 0xff};

    page[2] = 0x04; /* IMMED */
    page[7] = 75;   /* obsolete: blocks a second */
    memcpy(page + 8, which == CURRENT ? unit->audio : defaults, 4);
}

static void
take_audio(struct bp_scsi_unit *unit, const uint8_t *page, uint32_t save)
{
    memcpy(unit->audio, page + 8, 4);
}

static void
fill_timeout(const struct bp_scsi_unit *unit, uint8_t *page, uint32_t which)
{
}

/* CD/DVD capabilities and mechanical status, MMC-3 7.11: obsolete, and what everybody reads. */
static void
fill_capabilities(const struct bp_scsi_unit *unit, uint8_t *page, uint32_t which)
{
    page[2] = 0x0b; /* reads DVD-ROM, CD-RW, CD-R */
    page[5] = 0x60; /* UPC, ISRC can be asked for */
    page[6] = (uint8_t)(0x29 | (which == CURRENT && bp_scsi_unit_locked(unit) ? 0x02 : 0));
    put_be(page + 8, 2, MMC_SPEED_MAX);
    put_be(page + 12, 2, 2048); /* KiB of buffer */
    put_be(page + 14, 2, which == CURRENT ? unit->read_speed : MMC_SPEED_MAX);
}

/* Read-write error recovery of disks, SBC-3 6.5.8. */
static void
fill_disk_recovery(const struct bp_scsi_unit *unit, uint8_t *page, uint32_t which)
{
    page[2] = 0xc0; /* reallocation is what the backend does */
}

#define HEADS   UINT64_C(255)
#define SECTORS UINT64_C(63)

/* Rigid disk geometry, SBC-2 6.3.5: obsolete, and what firmware still reads. */
static void
fill_geometry(const struct bp_scsi_unit *unit, uint8_t *page, uint32_t which)
{
    put_be(page + 2, 3, bp_min_u64(unit->blocks / (HEADS * SECTORS), 0xffffff));
    page[5] = HEADS;
    put_be(page + 20, 2, unit->identity.rotation_rate > 1 ? unit->identity.rotation_rate : 0);
}

#define WCE     0x04u
#define RCD     0x01u
#define D_SENSE 0x04u
#define SWP     0x08u

static uint32_t
has_cache(const struct bp_scsi_unit *unit)
{
    return (unit->block_flags & BP_BLOCK_WRITE_CACHE) != 0;
}

/* Caching, SBC-3 6.5.5. Without a cache below there is none to switch on. */
static void
fill_caching(const struct bp_scsi_unit *unit, uint8_t *page, uint32_t which)
{
    uint32_t write = which == SAVED     ? unit->saved_write_cache
                     : which == DEFAULT ? 1
                                        : unit->write_cache;
    uint32_t no_read = which == SAVED     ? unit->saved_read_cache_off
                       : which == DEFAULT ? 0
                                          : unit->read_cache_off;

    page[2] = (uint8_t)((write && has_cache(unit) ? WCE : 0) | (no_read ? RCD : 0));
}

static void
take_caching(struct bp_scsi_unit *unit, const uint8_t *page, uint32_t save)
{
    if (has_cache(unit)) {
        unit->write_cache = (page[2] & WCE) != 0;
    }
    unit->read_cache_off = (page[2] & RCD) != 0;
    if (save) {
        unit->saved_write_cache = unit->write_cache;
        unit->saved_read_cache_off = unit->read_cache_off;
    }
}

/* Control, SPC-4 7.5.8. */
static void
fill_control(const struct bp_scsi_unit *unit, uint8_t *page, uint32_t which)
{
    uint32_t sense = which == SAVED     ? unit->saved_descriptor_sense
                     : which == DEFAULT ? 0
                                        : unit->descriptor_sense;
    uint32_t protect = which == SAVED     ? unit->saved_software_protect
                       : which == DEFAULT ? 0
                                          : unit->software_protect;

    page[2] = sense ? D_SENSE : 0;
    page[3] = 0x10; /* unrestricted reordering */
    page[4] = protect ? SWP : 0;
    page[5] = 0x40; /* TAS */
    put_be(page + 8, 2, 0xffff);
}

static void
take_control(struct bp_scsi_unit *unit, const uint8_t *page, uint32_t save)
{
    unit->descriptor_sense = (page[2] & D_SENSE) != 0;
    unit->software_protect = (page[4] & SWP) != 0;
    if (save) {
        unit->saved_descriptor_sense = unit->descriptor_sense;
        unit->saved_software_protect = unit->software_protect;
    }
}

static const struct mode_page pages[] = {
    {0x01, 12, FOR_DISK, fill_disk_recovery, NULL, {0}},
    {0x04, 24, FOR_DISK, fill_geometry, NULL, {0}},
    {0x08, 20, FOR_DISK, fill_caching, take_caching, {[2] = WCE | RCD}},
    {0x0a, 12, FOR_DISK, fill_control, take_control, {[2] = D_SENSE, [4] = SWP}},
    {0x1c, 12, FOR_DISK, fill_timeout, NULL, {0}},
    {0x01, 12, FOR_CD, fill_recovery, take_recovery, {[2] = 0xff, [3] = 0xff, [8] = 0xff}},
    {0x0d, 8, FOR_CD, fill_cdrom, take_cdrom, {[3] = 0x0f}},
    {0x0e, 16, FOR_CD, fill_audio, take_audio, {[8] = 0x0f, [9] = 0xff, [10] = 0x0f, [11] = 0xff}},
    {0x1a,
     12,
     FOR_CD,
     fill_power,
     take_power,
     {[3] = 0x03,
      [4] = 0xff,
      [5] = 0xff,
      [6] = 0xff,
      [7] = 0xff,
      [8] = 0xff,
      [9] = 0xff,
      [10] = 0xff,
      [11] = 0xff}},
    {0x1d, 10, FOR_CD, fill_timeout, NULL, {0}},
    {0x2a, 22, FOR_CD, fill_capabilities, NULL, {0}},
};

static uint32_t
has_page(const struct bp_scsi_unit *unit, const struct mode_page *page)
{
    uint32_t cd = unit->identity.type == BP_SCSI_TYPE_CDROM;

    return (page->units & (cd ? FOR_CD : FOR_DISK)) != 0;
}

static void
make_page(const struct bp_scsi_unit *unit, const struct mode_page *page, uint32_t which,
          uint8_t *to)
{
    uint32_t savable = unit->identity.type != BP_SCSI_TYPE_CDROM;

    memset(to, 0, page->length);
    if (which == CHANGEABLE) {
        memcpy(to, page->changeable, page->length);
        if (page->fill == fill_caching && !has_cache(unit)) {
            to[2] &= (uint8_t)~WCE;
        }
    } else {
        page->fill(unit, to, which);
    }
    to[0] = (uint8_t)(page->code | (savable ? 0x80 : 0));
    to[1] = (uint8_t)(page->length - 2);
}

/* --- headers -----------------------------------------------------------------------------------
 */

/* SFF-8020i table 71; MMC made the byte obsolete. */
static uint8_t
medium_type(const struct bp_scsi_unit *unit)
{
    if (unit->identity.type != BP_SCSI_TYPE_CDROM) {
        return 0;
    }
    if (unit->tray_open) {
        return 0x71;
    }
    return !unit->present ? 0x70 : mmc_profile(unit) == MMC_PROFILE_CD ? 0x01 : 0x00;
}

static uint8_t
device_specific(const struct bp_scsi_unit *unit)
{
    if (unit->identity.type == BP_SCSI_TYPE_CDROM) {
        return 0;
    }
    return (uint8_t)(0x10 | (scsi_write_protected(unit) ? 0x80 : 0)); /* DPOFUA; WP */
}

static uint32_t
put_block_descriptor(const struct bp_scsi_unit *unit, uint8_t *to, uint32_t long_lba)
{
    memset(to, 0, 16);
    if (unit->identity.type == BP_SCSI_TYPE_CDROM) {
        return 0;
    }
    if (long_lba) {
        put_be(to, 4, unit->blocks >> 32);
        put_be(to + 4, 4, unit->blocks);
        put_be(to + 12, 4, unit->block_size);
        return 16;
    }
    put_be(to, 4, bp_min_u64(unit->blocks, UINT32_MAX));
    put_be(to + 5, 3, unit->block_size);
    return 8;
}

/* --- MODE SENSE --------------------------------------------------------------------------------
 */

void
scsi_mode_sense(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint32_t ten = task->cdb[0] == 0x5a;
    uint32_t which = task->cdb[2] >> 6;
    uint32_t code = task->cdb[2] & 0x3f;
    uint8_t *data = task->page;
    uint32_t header = ten ? 8 : 4;
    uint32_t descriptor = 0, length, found = code == ALL;

    if (task->cdb[3] != 0 && task->cdb[3] != 0xff) {
        task_fail_cdb(task, 3, 8);
        return;
    }
    if (which == SAVED && unit->identity.type == BP_SCSI_TYPE_CDROM) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x3900); /* saving is not supported */
        return;
    }
    if (!(task->cdb[1] & 0x08)) {
        descriptor = put_block_descriptor(unit, data + header, ten && (task->cdb[1] & 0x10));
    }
    length = header + descriptor;
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(pages); i++) {
        if (has_page(unit, &pages[i]) && (code == ALL || code == pages[i].code)) {
            make_page(unit, &pages[i], which, data + length);
            length += pages[i].length;
            found = 1;
        }
    }
    if (!found) {
        task_fail_cdb(task, 2, 5);
        return;
    }
    memset(data, 0, header);
    if (ten) {
        put_be(data, 2, length - 2);
        data[2] = medium_type(unit);
        data[3] = device_specific(unit);
        data[4] = descriptor == 16;
        put_be(data + 6, 2, descriptor);
    } else {
        data[0] = (uint8_t)(length - 1);
        data[1] = medium_type(unit);
        data[2] = device_specific(unit);
        data[3] = (uint8_t)descriptor;
    }
    task_page_in(task, length, ten ? get_be(task->cdb + 7, 2) : task->cdb[4]);
}

/* --- MODE SELECT -------------------------------------------------------------------------------
 */

void
scsi_mode_select(struct bp_scsi_task *task)
{
    uint32_t ten = task->cdb[0] == 0x55;
    uint32_t length = ten ? get_be(task->cdb + 7, 2) : task->cdb[4];

    if (!(task->cdb[1] & 0x10) && !(task_unit(task)->identity.flags & BP_SCSI_LENIENT)) {
        task_fail_cdb(task, 1, 4); /* pages of a vendor's own format */
    } else if ((task->cdb[1] & 1) && task_unit(task)->identity.type == BP_SCSI_TYPE_CDROM) {
        task_fail_cdb(task, 1, 0); /* nothing can be saved */
    } else if (length > BP_SCSI_PAGE_BYTES) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x1a00);
    } else {
        task_page_out(task, length);
    }
}

/* Checks one page of the list. Returns it, or NULL: the task ended. */
static const struct mode_page *
check_page(struct bp_scsi_task *task, uint32_t at, uint32_t length)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    const uint8_t *given = task->page + at;
    const struct mode_page *page = NULL;
    uint8_t now[PAGE_MAX], changeable[PAGE_MAX];

    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(pages); i++) {
        if (has_page(unit, &pages[i]) && pages[i].code == (given[0] & 0x3f)) {
            page = &pages[i];
        }
    }
    if (page == NULL || (given[0] & 0x40)) {
        task_fail_list(task, at, given[0] & 0x40 ? 6 : 5);
        return NULL;
    }
    if (length - at < 2 || length - at < given[1] + 2u) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x1a00);
        return NULL;
    }
    if (given[1] != page->length - 2) {
        task_fail_list(task, at + 1, 8);
        return NULL;
    }
    make_page(unit, page, CURRENT, now);
    make_page(unit, page, CHANGEABLE, changeable);
    for (uint32_t i = 2; i < page->length; i++) {
        if ((now[i] ^ given[i]) & ~changeable[i]) {
            task_fail_list(task, at + i, 8);
            return NULL;
        }
    }
    return page;
}

/* The block descriptor may say what is so anyway. Returns 1 if the task ended. */
static uint32_t
check_descriptor(struct bp_scsi_task *task, uint32_t at, uint32_t length, uint32_t given)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    const uint8_t *data = task->page + at;
    uint32_t cd = unit->identity.type == BP_SCSI_TYPE_CDROM;
    uint64_t blocks;

    if (given == 0) {
        return 0;
    }
    if (given != 8 && given != 16) {
        task_fail_list(task, at - 1, 8);
        return 1;
    }
    if (length - at < given) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x1a00);
        return 1;
    }
    if ((given == 8 ? get_be(data + 5, 3) : get_be(data + 12, 4)) != unit->block_size) {
        task_fail_list(task, at + (given == 8 ? 5 : 12), 8);
        return 1;
    }
    blocks = given == 8 ? get_be(data, 4) : get_be64(data);
    if (!cd && blocks != 0 && blocks != unit->blocks && blocks != UINT32_MAX) {
        task_fail_list(task, at, 8);
        return 1;
    }
    return 0;
}

/* Checks the pages of the list, or takes them over. Returns 1, or 0: the task ended. */
static uint32_t
walk_pages(struct bp_scsi_task *task, uint32_t at, uint32_t apply)
{
    struct bp_scsi_unit *unit = task_unit(task);

    while (at < task->length) {
        const struct mode_page *page = check_page(task, at, (uint32_t)task->length);

        if (page == NULL) {
            return 0;
        }
        if (apply && page->take != NULL) {
            page->take(unit, task->page + at, task->cdb[1] & 1);
        }
        at += page->length;
    }
    return 1;
}

void
scsi_mode_selected(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint32_t ten = task->cdb[0] == 0x55;
    uint32_t length = (uint32_t)task->length;
    uint32_t header = ten ? 8 : 4;
    uint32_t descriptor, cached = unit->write_cache;

    if (task->phase == 1) {
        task_good(task); /* the cache that was switched off is empty */
        return;
    }
    if (length < header) {
        task_fail(task, BP_SCSI_ILLEGAL_REQUEST, 0x1a00);
        return;
    }
    descriptor = ten ? get_be(task->page + 6, 2) : task->page[3];
    if (check_descriptor(task, header, length, descriptor)) {
        return;
    }
    /* all or nothing: first look, then do */
    if (!walk_pages(task, header + descriptor, 0)) {
        return;
    }
    (void)walk_pages(task, header + descriptor, 1);
    if (length > header + descriptor) {
        bp_scsi_unit_attention(unit, task->nexus, 0x2a01); /* mode parameters changed */
    }
    if (cached && !unit->write_cache) {
        task->phase = 1;
        io_request(task, BP_BLOCK_FLUSH, 0, 0, NULL, 0);
    } else {
        task_good(task);
    }
}
