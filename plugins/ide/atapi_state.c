/* SPDX-License-Identifier: Apache-2.0 */
/* The saved state of a CD/DVD drive: registers and packet, the engine's unit and task, the buffer.
 */
#include "atapi.h"
#include "ide_state.h"

#include <stdlib.h>
#include <string.h>

#define TAG_BUFFER 0x80u
#define TAG_UNIT   0x81u
#define TAG_TASK   0x82u

#define F(tag, member, max) BP_STATE_FIELD(tag, struct atapi, member, BP_FIELD_REQUIRED, max)
#define FA(tag, member)     BP_STATE_ARRAY(tag, struct atapi, member, BP_FIELD_REQUIRED)

static const struct bp_state_field fields[] = {
    FA(0x01, device.regs.features),
    FA(0x02, device.regs.count),
    FA(0x03, device.regs.low),
    FA(0x04, device.regs.mid),
    FA(0x05, device.regs.high),
    F(0x06, device.regs.device, 0),
    F(0x07, device.regs.status, 0),
    F(0x08, device.regs.error, 0),
    F(0x09, device.intrq, 1),
    F(0x0a, device.dmarq, 1),
    F(0x0b, device.asleep, 1),
    F(0x0c, device.data_in, 1),
    F(0x0d, device.data_pos, ATAPI_BUFFER_BYTES),
    F(0x0e, device.data_end, ATAPI_BUFFER_BYTES),
    F(0x10, pio_mode, 4),
    F(0x11, dma_mode, 0x45),
    F(0x12, power, 0),
    F(0x13, revert, 1),
    FA(0x14, cdb),
    F(0x20, packet.phase, ATAPI_DRAIN),
    F(0x21, packet.dma, 1),
    F(0x22, packet.window, 1),
    F(0x23, packet.in_place, 1),
    F(0x24, packet.limit, 0),
    F(0x25, packet.bytes, 0),
    F(0x26, packet.start, ATAPI_BUFFER_BYTES),
    F(0x27, packet.end, ATAPI_BUFFER_BYTES),
    F(0x28, sg.end.next, 0),
    F(0x29, sg.end.budget, 0x2000),
    F(0x2a, sg.end.address, 0),
    F(0x2b, sg.end.left, 0x10000),
    F(0x2c, sg.end.last, 1),
};

_Static_assert(BP_ARRAY_LENGTH(fields) <= IDE_STATE_FIELDS, "tag table too small");

/* What of the buffer is in use. */
static uint64_t
buffer_bytes(const struct atapi *cd)
{
    const struct atapi_packet *p = &cd->packet;

    if (p->phase == ATAPI_IDENTIFY) {
        return ATA_SECTOR;
    }
    if ((p->phase != ATAPI_DATA && p->phase != ATAPI_DRAIN) || p->dma) {
        return 0;
    }
    return p->window && cd->task.direction == BP_SCSI_OUT ? p->bytes : p->end;
}

int32_t
atapi_save(const struct ide_device *device, const struct bp_state_sink *sink)
{
    const struct atapi *cd = (const struct atapi *)device;
    uint32_t base = ide_state_base(device);
    struct ide_state_table table;
    int32_t r;

    ide_state_table_make(&table, fields, BP_ARRAY_LENGTH(fields), base);
    r = bp_state_save(table.fields, table.count, cd, sink);
    if (r == 0) {
        r = bp_scsi_unit_save(&cd->unit, sink, base + TAG_UNIT);
    }
    if (r == 0 && cd->packet.phase == ATAPI_DATA) {
        r = bp_scsi_task_save(&cd->task, sink, base + TAG_TASK);
    }
    if (r == 0 && buffer_bytes(cd) != 0) {
        r = sink->put(sink, base + TAG_BUFFER, cd->buffer, buffer_bytes(cd));
    }
    return r;
}

/* --- checking -------------------------------------------------------------------------------- */

/* Where the data block of the phase lies, NULL if it cannot be as long as it says. */
static uint8_t *
data_block(struct atapi *cd)
{
    const struct atapi_packet *p = &cd->packet;
    uint32_t length = cd->device.data_end;

    switch (p->phase) {
    case ATAPI_CDB:
        return length == ATAPI_CDB_BYTES && !cd->device.data_in ? cd->cdb : NULL;
    case ATAPI_IDENTIFY:
        return length == ATA_SECTOR && cd->device.data_in ? cd->buffer : NULL;
    case ATAPI_DATA:
    case ATAPI_DRAIN:
        if (p->dma || p->window || (p->phase == ATAPI_DRAIN && !cd->device.data_in) ||
            length != (cd->device.regs.mid[0] | (uint32_t)cd->device.regs.high[0] << 8)) {
            return NULL;
        }
        if (cd->device.data_in) {
            return length <= p->end - p->start ? cd->buffer + p->start : NULL;
        }
        return length <= ATAPI_BUFFER_BYTES - p->end ? cd->buffer + p->end : NULL;
    default:
        return NULL;
    }
}

static int32_t
check(struct atapi *cd)
{
    const struct atapi_packet *p = &cd->packet;
    const struct ide_device *device = &cd->device;

    if (p->start > p->end || p->bytes > (p->in_place ? UINT32_MAX : ATAPI_BUFFER_BYTES) ||
        device->data_pos > device->data_end ||
        (device->data_end != 0 &&
         (device->data_pos == device->data_end || data_block(cd) == NULL)) ||
        (device->data_end == 0 &&
         (p->phase == ATAPI_CDB || p->phase == ATAPI_IDENTIFY || p->phase == ATAPI_DRAIN)) ||
        (device->dmarq && (p->phase != ATAPI_DATA || !p->dma || p->window)) ||
        (p->window && p->phase != ATAPI_DATA)) {
        return -EINVAL;
    }
    return 0;
}

/* The task goes with the packet: a direction for the data block, a place for a window. */
static int32_t
check_task(const struct atapi *cd)
{
    const struct atapi_packet *p = &cd->packet;
    const struct bp_scsi_task *task = &cd->task;
    uint64_t left = task->length - task->moved;

    if ((cd->device.data_end != 0 &&
         (task->direction == BP_SCSI_IN) != (cd->device.data_in != 0)) ||
        (cd->device.dmarq && task->state != BP_SCSI_IN && task->state != BP_SCSI_OUT) ||
        task->moved > task->length || (p->end != 0 && task->direction == 0) ||
        (cd->device.data_end != 0 && !cd->device.data_in &&
         (task->state != BP_SCSI_OUT || p->end + (uint64_t)cd->device.data_end > left))) {
        return -EINVAL;
    }
    return 0;
}

/* Reads into cd, a scratch copy; changes nothing else. */
static int32_t
read_all(struct atapi *cd, const void *data, uint64_t length, struct ide_state_blob *blobs)
{
    struct ide_state_table table;
    int32_t r;

    ide_state_table_make(&table, fields, BP_ARRAY_LENGTH(fields), ide_state_base(&cd->device));
    r = ide_state_take(&table, cd, data, length, blobs, 3);
    if (r == 0) {
        r = check(cd);
    }
    if (r == 0 && blobs[0].length > ATAPI_BUFFER_BYTES) {
        r = -EINVAL;
    }
    if (r == 0) {
        r = blobs[1].data != NULL ? bp_scsi_unit_check(&cd->unit, blobs[1].data, blobs[1].length)
                                  : -EINVAL;
    }
    if (r == 0 && cd->packet.phase == ATAPI_DATA) {
        r = blobs[2].data != NULL ? bp_scsi_task_check(&cd->unit, blobs[2].data, blobs[2].length)
                                  : -EINVAL;
    }
    return r;
}

/* The packet and its task may be right each for itself and wrong together. */
static int32_t
restore_task(struct atapi *cd, const struct ide_state_blob *task,
             const struct ide_state_blob *buffer)
{
    int32_t r;

    if (cd->packet.phase == ATAPI_DATA) {
        bp_scsi_task_init(&cd->task, &cd->nexus, cd->cdb, ATAPI_CDB_BYTES);
        cd->task.owner = cd;
        cd->task.page = cd->page;
        r = bp_scsi_task_restore(&cd->task, task->data, task->length);
        if (r == 0) {
            r = check_task(cd);
        }
        if (r != 0) {
            return r;
        }
    }
    if (cd->packet.phase == ATAPI_DRAIN) {
        memset(&cd->task, 0, sizeof(cd->task));
        cd->task.nexus = &cd->nexus;
        cd->task.state = BP_SCSI_DONE; /* and GOOD */
    }
    if (buffer->length != buffer_bytes(cd)) {
        return -EINVAL;
    }
    if (buffer->data != NULL) {
        memcpy(cd->buffer, buffer->data, buffer->length);
    }
    return 0;
}

/* Takes over what was read. */
static int32_t
apply_all(struct atapi *cd, const struct atapi *trial, const struct ide_state_blob *blobs)
{
    int32_t r;

    atapi_packet_abandon(cd); /* a task of before may be held; nothing is in flight */
    r = bp_scsi_unit_restore(&cd->unit, blobs[1].data, blobs[1].length);
    if (r != 0) {
        return r;
    }
    cd->device = trial->device;
    cd->packet = trial->packet;
    cd->sg.end = trial->sg.end;
    cd->pio_mode = trial->pio_mode;
    cd->dma_mode = trial->dma_mode;
    cd->power = trial->power;
    cd->revert = trial->revert;
    memcpy(cd->cdb, trial->cdb, sizeof(cd->cdb));
    r = restore_task(cd, &blobs[2], &blobs[0]);
    if (r != 0) {
        atapi_packet_abandon(cd); /* nothing is in flight */
        cd->device.data_pos = cd->device.data_end = 0;
        cd->device.dmarq = 0;
        return r;
    }
    cd->device.data = data_block(cd);
    cd->restored = cd->packet.window;
    atapi_tell_tray(cd);
    return 0;
}

int32_t
atapi_load(struct ide_device *device, const void *data, uint64_t length, uint32_t apply)
{
    struct atapi *cd = (struct atapi *)device;
    struct ide_state_blob blobs[3] = {{.tag = TAG_BUFFER}, {.tag = TAG_UNIT}, {.tag = TAG_TASK}};
    struct atapi *trial = malloc(sizeof(*trial));
    int32_t r;

    if (trial == NULL) {
        return -ENOMEM;
    }
    *trial = *cd;
    r = read_all(trial, data, length, blobs);
    if (r == 0 && apply) {
        r = apply_all(cd, trial, blobs);
    }
    free(trial);
    return r;
}
