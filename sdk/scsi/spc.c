/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that every type of unit has: TEST UNIT READY, INQUIRY and vital product data, PREVENT
 * ALLOW MEDIUM REMOVAL, REPORT LUNS, SYNCHRONIZE CACHE. */
#include "engine.h"

#include <string.h>

void
scsi_test_unit_ready(struct bp_scsi_task *task)
{
    task_good(task);
}

/* --- INQUIRY (SPC-4 6.6) -----------------------------------------------------------------------
 */

/* Left-aligned, filled with blanks (SPC-4 4.3.1). */
static void
put_text(uint8_t *to, uint32_t size, const char *text)
{
    uint32_t i = 0;

    for (; i < size && text[i] != 0; i++) {
        to[i] = (uint8_t)text[i];
    }
    memset(to + i, ' ', size - i);
}

static void
standard_inquiry(struct bp_scsi_task *task)
{
    const struct bp_scsi_identity *identity = &task_unit(task)->identity;
    uint32_t atapi = identity->flags & BP_SCSI_ATAPI;
    uint8_t *data = task->page;
    uint32_t length = atapi ? 36 : 96;

    memset(data, 0, 96);
    data[0] = (uint8_t)identity->type;
    data[1] = identity->flags & BP_SCSI_REMOVABLE ? 0x80 : 0;
    if (atapi) {
        data[3] = 0x21; /* ATAPI version 2, response data format 1 (SFF-8020i 10.8.1) */
    } else {
        data[2] = 0x06;               /* SPC-4 */
        data[3] = 0x12;               /* HISUP, response data format 2 */
        data[7] = 0x02;               /* CMDQUE */
        put_be(data + 58, 2, 0x00a0); /* SAM-5 */
        put_be(data + 60, 2, 0x0460); /* SPC-4 */
        put_be(data + 62, 2, identity->type == BP_SCSI_TYPE_CDROM ? 0x04e0 : 0x04c0);
    }
    data[4] = (uint8_t)(length - 5);
    put_text(data + 8, 8, identity->vendor);
    put_text(data + 16, 16, identity->product);
    put_text(data + 32, 4, identity->revision);
    task_page_in(task, length, get_be(task->cdb + 3, 2));
}

/* One designation descriptor (SPC-4 7.8.6). Returns its length. */
static uint32_t
put_designator(uint8_t *to, uint32_t code_set, uint32_t kind, const void *data, uint32_t length)
{
    to[0] = (uint8_t)code_set;
    to[1] = (uint8_t)kind;
    to[2] = 0;
    to[3] = (uint8_t)length;
    memcpy(to + 4, data, length);
    return 4 + length;
}

static uint32_t
vpd_identification(const struct bp_scsi_unit *unit, uint8_t *page)
{
    const struct bp_scsi_identity *identity = &unit->identity;
    uint32_t serial = (uint32_t)strlen(identity->serial);
    uint8_t text[8 + 16 + 36];
    uint8_t number[8];
    uint32_t at = 4;

    put_text(text, 8, identity->vendor);
    put_text(text + 8, 16, identity->product);
    memcpy(text + 24, identity->serial, serial);
    at += put_designator(page + at, 2, 1, text, 24 + serial); /* T10 vendor id */
    if (identity->wwn != 0) {
        put_be(number, 8, identity->wwn);
        at += put_designator(page + at, 1, 3, number, 8); /* NAA */
    }
    if (identity->port_wwn != 0) {
        put_be(number, 8, identity->port_wwn);
        at += put_designator(page + at, 0x61, 0x93, number, 8); /* SAS, PIV, port: NAA */
    }
    if (identity->port_index != 0) {
        put_be(number, 4, identity->port_index);
        at += put_designator(page + at, 1, 0x14, number, 4); /* relative target port */
    }
    return at;
}

/* Extended INQUIRY data, SPC-4 7.8.7. */
static uint32_t
vpd_extended(uint8_t *page)
{
    page[5] = 0x07; /* HEADSUP, ORDSUP, SIMPSUP */
    page[6] = 0x01; /* V_SUP: a volatile cache may be there */
    page[7] = 0x01; /* LUICLR */
    return 64;
}

static uint32_t
vpd_supported(const struct bp_scsi_unit *unit, uint8_t *page)
{
    static const uint8_t disk_pages[] = {0xb0, 0xb1, 0xb2, 0xb6};
    uint32_t cd = unit->identity.type == BP_SCSI_TYPE_CDROM;
    uint32_t at = 4;

    page[at++] = 0x00;
    if (unit->identity.serial[0] != 0) {
        page[at++] = 0x80;
    }
    page[at++] = 0x83;
    if (!(unit->identity.flags & BP_SCSI_ATAPI)) {
        page[at++] = 0x86;
    }
    for (uint32_t i = 0; !cd && i < BP_ARRAY_LENGTH(disk_pages); i++) {
        page[at++] = disk_pages[i];
    }
    return at;
}

static uint32_t
vpd_serial(const struct bp_scsi_unit *unit, uint8_t *page)
{
    uint32_t length = (uint32_t)strlen(unit->identity.serial);

    memcpy(page + 4, unit->identity.serial, length);
    return 4 + length;
}

static void
vital_product_data(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);
    uint32_t code = task->cdb[2];
    uint8_t *page = task->page;
    uint32_t length = 0;

    memset(page, 0, 256);
    if (code == 0x00) {
        length = vpd_supported(unit, page);
    } else if (code == 0x80 && unit->identity.serial[0] != 0) {
        length = vpd_serial(unit, page);
    } else if (code == 0x83) {
        length = vpd_identification(unit, page);
    } else if (code == 0x86 && !(unit->identity.flags & BP_SCSI_ATAPI)) {
        length = vpd_extended(page);
    } else if (unit->identity.type == BP_SCSI_TYPE_DISK) {
        length = sbc_vpd(unit, code, page);
    }
    if (length == 0) {
        task_fail_cdb(task, 2, 8);
        return;
    }
    page[0] = (uint8_t)unit->identity.type;
    page[1] = (uint8_t)code;
    put_be(page + 2, 2, length - 4);
    task_page_in(task, length, get_be(task->cdb + 3, 2));
}

void
scsi_inquiry(struct bp_scsi_task *task)
{
    if (task->cdb[1] & 1) {
        vital_product_data(task);
    } else if (task->cdb[2] != 0) {
        task_fail_cdb(task, 2, 8);
    } else {
        standard_inquiry(task);
    }
}

/* --- the rest ----------------------------------------------------------------------------------
 */

/* SPC-4 6.18, MMC-6 6.14: bit 0 is PREVENT, bit 1 persistent prevention, each of its own. */
void
scsi_prevent_allow(struct bp_scsi_task *task)
{
    struct bp_scsi_unit *unit = task_unit(task);
    uint32_t bit = task->cdb[4] & 2 ? 2 : 1;
    uint32_t before = bp_scsi_unit_locked(unit);

    if (task->cdb[4] & 1) {
        task->nexus->prevented |= bit;
    } else {
        task->nexus->prevented &= ~bit;
    }
    if (before != bp_scsi_unit_locked(unit) && unit->port->tray != NULL) {
        unit->port->tray(unit->opaque);
    }
    task_good(task);
}

/* SPC-4 6.33, for a target with this unit alone. */
void
scsi_report_luns(struct bp_scsi_task *task)
{
    uint32_t allocated = get_be(task->cdb + 6, 4);
    uint32_t known = task->cdb[2] == 0x00 || task->cdb[2] == 0x02;

    if (task->cdb[2] > 0x02) {
        task_fail_cdb(task, 2, 8);
        return;
    }
    if (allocated < 16) {
        task_fail_cdb(task, 6, 8);
        return;
    }
    memset(task->page, 0, 16);
    put_be(task->page, 4, known ? 8 : 0);
    task_page_in(task, known ? 16 : 8, allocated);
}

void
scsi_synchronize_advance(struct bp_scsi_task *task)
{
    if (task->phase++ == 0) {
        io_request(task, BP_BLOCK_FLUSH, 0, 0, NULL, 0);
    } else {
        task_good(task);
    }
}

/* SBC-3 5.21, MMC-6 6.37. The whole cache is written, whatever the range. */
void
scsi_synchronize(struct bp_scsi_task *task)
{
    const struct bp_scsi_unit *unit = task_unit(task);

    if (!(unit->block_flags & BP_BLOCK_WRITE_CACHE) || (unit->block_flags & BP_BLOCK_READONLY)) {
        task_good(task);
        return;
    }
    task_steps(task);
}

uint32_t
scsi_write_protected(const struct bp_scsi_unit *unit)
{
    return unit->identity.read_only || unit->software_protect ||
           (unit->block_flags & BP_BLOCK_READONLY) != 0;
}
