/* SPDX-License-Identifier: Apache-2.0 */
/* What the adapter answers itself: REPORT LUNS (SPC-4 6.33), and commands for units that are not
 * there (SAM-5 4.11.2). */
#include "vscsi.h"

#include <string.h>

#define TEST_UNIT_READY 0x00u
#define REQUEST_SENSE   0x03u
#define INQUIRY         0x12u
#define REPORT_LUNS     0xa0u

#define REPORT_CDB    12u
#define ABSENT_CDB    6u /* of the commands that a unit which is not there answers */
#define REPORT_HEADER 8u
#define INQUIRY_BYTES 36u

static uint32_t
load_be(const uint8_t *data, uint32_t width)
{
    uint32_t value = 0;

    for (uint32_t i = 0; i < width; i++) {
        value = value << 8 | data[i];
    }
    return value;
}

/* Writes data of the command, as far as allocation length and buffer reach. */
static void
put(struct vscsi_request *request, uint64_t *at, uint64_t limit, const uint8_t *data,
    uint32_t length)
{
    if (*at < limit) {
        (void)bp_iovec_write(request->in_iov, request->in_count, *at, data,
                             bp_min_u64(length, limit - *at));
    }
    *at += length;
}

/* The list for a target, or, with the adapter's form of the field, of all targets. */
static void
put_units(struct vscsi *vscsi, struct vscsi_request *request, uint64_t limit, uint32_t whole)
{
    uint64_t at = REPORT_HEADER;
    uint32_t first = whole ? 0 : vscsi->targets[request->lun[1]].first;
    uint32_t count = whole ? vscsi->unit_count : vscsi->targets[request->lun[1]].count;
    uint8_t header[REPORT_HEADER] = {0};

    for (uint32_t i = first; i < first + count; i++) {
        struct vscsi_unit *unit = &vscsi->units[i];
        uint8_t field[8 + 2] = {1, unit->target};

        if (!atomic_load_explicit(&unit->present, memory_order_relaxed)) {
            continue;
        }
        vscsi_put_lun(unit, field + 2);
        put(request, &at, limit, whole ? field : field + 2, 8);
    }
    at -= REPORT_HEADER;
    for (uint32_t i = 0; i < 4; i++) {
        header[i] = (uint8_t)(at >> (24 - 8 * i));
    }
    (void)bp_iovec_write(request->in_iov, request->in_count, 0, header,
                         bp_min_u64(limit, sizeof(header)));
}

/* How many entries the list will have. */
static uint64_t
count_units(struct vscsi *vscsi, const struct vscsi_request *request, uint32_t whole)
{
    uint32_t first = whole ? 0 : vscsi->targets[request->lun[1]].first;
    uint32_t count = whole ? vscsi->unit_count : vscsi->targets[request->lun[1]].count;
    uint64_t present = 0;

    for (uint32_t i = first; i < first + count; i++) {
        present += atomic_load_explicit(&vscsi->units[i].present, memory_order_relaxed) != 0;
    }
    return present;
}

/* The initiator knows now. */
static void
forget_changes(struct vscsi *vscsi, uint32_t target)
{
    for (uint32_t i = 0; i < vscsi->targets[target].count; i++) {
        atomic_store(&vscsi->units[vscsi->targets[target].first + i].changed, 0);
    }
}

/* SPC-4 6.33; as the units themselves check their CDBs. */
static uint32_t
is_wrong(const struct vscsi_request *request)
{
    static const uint8_t usage[REPORT_CDB] = {0xff, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0};
    uint8_t reserved = 0;

    for (uint32_t i = 0; i < REPORT_CDB; i++) {
        reserved |= request->cdb[i] & (uint8_t)~usage[i];
    }
    return request->cdb_length < REPORT_CDB || reserved != 0 || request->cdb[2] > 2 ||
           load_be(request->cdb + 6, 4) < 16;
}

void
vscsi_report_luns(struct vscsi *vscsi, struct bp_virtio_chain *chain, uint32_t where)
{
    static const uint8_t well_known[16] = {0, 0, 0, 8, 0, 0, 0, 0, 0xc1, 0x01};
    struct vscsi_request *request = chain->request;
    uint32_t allocated = load_be(request->cdb + 6, 4);
    uint32_t whole = where == VSCSI_AT_DEVICE_WLU;
    uint64_t limit = bp_min_u64(allocated, request->in_length);
    uint64_t length;

    if (is_wrong(request)) {
        vscsi_check(chain, 0x05, 0x2400);
        return;
    }
    if (allocated > request->in_length) {
        vscsi_finish(chain, VSCSI_S_OVERRUN, BP_SCSI_GOOD, 0);
        return;
    }
    if (request->cdb[2] == 1) {
        uint64_t at = 0;
        put(request, &at, limit, well_known, sizeof(well_known));
        length = sizeof(well_known);
    } else {
        put_units(vscsi, request, limit, whole);
        length = REPORT_HEADER + 8 * count_units(vscsi, request, whole);
    }
    if (!whole) {
        forget_changes(vscsi, request->lun[1]);
    }
    vscsi_finish(chain, VSCSI_S_OK, BP_SCSI_GOOD, bp_min_u64(length, limit));
}

/* Qualifier 011b: there cannot be a unit; the well-known one has its type (SPC-4 6.6.2). */
static void
inquiry(struct bp_virtio_chain *chain, uint32_t where)
{
    static const uint8_t names[] = "BACKPLN VIRTIO-SCSI     1.0 ";
    struct vscsi_request *request = chain->request;
    uint32_t allocated = load_be(request->cdb + 3, 2);
    uint8_t data[INQUIRY_BYTES] = {0x7f, 0, 0x06, 0x12, INQUIRY_BYTES - 5, 0, 0, 0x02};
    uint64_t at = 0;
    uint64_t limit = bp_min_u64(allocated, request->in_length);

    if (request->cdb[1] & 1 || request->cdb[2] != 0) {
        vscsi_check(chain, 0x05, 0x2400);
        return;
    }
    if (allocated > request->in_length) {
        vscsi_finish(chain, VSCSI_S_OVERRUN, BP_SCSI_GOOD, 0);
        return;
    }
    if (where != VSCSI_AT_ABSENT) {
        data[0] = 0x1e;
    }
    memcpy(data + 8, names, sizeof(data) - 8);
    put(request, &at, limit, data, sizeof(data));
    vscsi_finish(chain, VSCSI_S_OK, BP_SCSI_GOOD, bp_min_u64(sizeof(data), limit));
}

static void
request_sense(struct bp_virtio_chain *chain, uint32_t where)
{
    struct vscsi_request *request = chain->request;
    uint32_t allocated = request->cdb[4];
    uint64_t limit = bp_min_u64(allocated, request->in_length);
    uint64_t at = 0;
    uint8_t sense[18] = {0x70, 0, 0, 0, 0, 0, 0, 10};

    if (allocated > request->in_length) {
        vscsi_finish(chain, VSCSI_S_OVERRUN, BP_SCSI_GOOD, 0);
        return;
    }
    if (where == VSCSI_AT_ABSENT) {
        sense[2] = 0x05;
        sense[12] = 0x25;
    }
    put(request, &at, limit, sense, sizeof(sense));
    vscsi_finish(chain, VSCSI_S_OK, BP_SCSI_GOOD, bp_min_u64(sizeof(sense), limit));
}

void
vscsi_absent(struct bp_virtio_chain *chain, uint32_t where)
{
    const struct vscsi_request *request = chain->request;

    if (request->cdb_length < ABSENT_CDB) {
        vscsi_check(chain, 0x05, 0x2400);
        return;
    }
    switch (request->cdb[0]) {
    case INQUIRY:
        inquiry(chain, where);
        break;
    case REQUEST_SENSE:
        request_sense(chain, where);
        break;
    case TEST_UNIT_READY:
        if (where != VSCSI_AT_ABSENT) {
            vscsi_finish(chain, VSCSI_S_OK, BP_SCSI_GOOD, 0);
            break;
        }
        vscsi_check(chain, 0x05, 0x2500);
        break;
    default:
        vscsi_check(chain, 0x05, where == VSCSI_AT_ABSENT ? 0x2500 : 0x2000);
        break;
    }
}
