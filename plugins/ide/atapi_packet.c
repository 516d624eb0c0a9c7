/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a packet: see atapi.h. The protocols are those of ATA/ATAPI-7 V2, 9.8 and 9.9. */
#include "atapi.h"

#include <string.h>

static void go(struct atapi *cd, uint32_t state);

/* --- the end --------------------------------------------------------------------------------- */

static void
end_packet(struct atapi *cd, uint8_t error)
{
    uint8_t dma = cd->packet.dma;

    memset(&cd->packet, 0, sizeof(cd->packet));
    cd->device.regs.count[0] = ATAPI_REASON_CD | ATAPI_REASON_IO;
    if (dma) {
        ide_bus_master_finish(cd->device.channel);
    }
    ide_device_done(&cd->device, error);
}

/* Error register: sense key in the high half (ATA/ATAPI-7 V1, PACKET, error outputs). */
static void
finish(struct atapi *cd)
{
    uint8_t error = 0;

    if (cd->task.status == BP_SCSI_CHECK_CONDITION) {
        error = (uint8_t)(cd->nexus.kept.key << 4);
    }
    if (cd->task.status != BP_SCSI_GOOD && error == 0) {
        error = ATA_ABRT;
    }
    end_packet(cd, error);
}

static void
abort_task(struct atapi *cd)
{
    if (bp_scsi_abort(&cd->task) == BP_SCSI_WAIT) {
        cd->dropped = 1; /* port_wake() tells when its request has ended */
    }
}

/* The ATA side refuses: no data was moved. Nothing of the task is in flight. */
static void
refuse(struct atapi *cd)
{
    abort_task(cd);
    end_packet(cd, ATA_ABRT);
}

/* As for a disk (ata_transfer_bus_error): no interrupt, Active and Interrupt 0. */
static void
bus_error(struct atapi *cd, uint32_t error)
{
    abort_task(cd);
    memset(&cd->packet, 0, sizeof(cd->packet));
    cd->device.regs.count[0] = ATAPI_REASON_CD | ATAPI_REASON_IO;
    ide_bus_master_fail(cd->device.channel, error);
    ide_device_idle(&cd->device, 0);
}

/* --- windows --------------------------------------------------------------------------------- */

/* What the engine still wants. */
static uint64_t
wanted(const struct atapi *cd)
{
    return cd->task.length - cd->task.moved;
}

/* Whole grains of it that fit into room. */
static uint32_t
window_bytes(const struct atapi *cd, uint32_t room)
{
    uint64_t left = wanted(cd);
    uint32_t grain = cd->task.grain != 0 ? cd->task.grain : 1;

    return left <= room ? (uint32_t)left : room - room % grain;
}

static void
give_window(struct atapi *cd, struct bp_iovec *iov, uint32_t count, uint32_t bytes)
{
    cd->packet.window = 1;
    cd->packet.bytes = bytes;
    ide_device_busy(&cd->device);
    go(cd, bp_scsi_move(&cd->task, iov, count, bytes));
}

static void
give_buffer(struct atapi *cd, uint32_t at, uint32_t bytes)
{
    cd->packet.in_place = 0;
    cd->window = (struct bp_iovec){cd->buffer + at, bytes};
    give_window(cd, &cd->window, 1, bytes);
}

/* --- PIO ------------------------------------------------------------------------------------- */

/* Length of the next DRQ block of `left` bytes; 0: the limit allows none. An odd limit counts in
 * full only if it is all that is left; FFFFh means FFFEh (ATA/ATAPI-7 V1, PACKET, byte count
 * limit). */
static uint32_t
burst_bytes(uint16_t limit, uint64_t left)
{
    uint32_t most = limit == 0xffff ? 0xfffe : limit;

    return left <= most ? (uint32_t)left : most & ~1u;
}

static void
offer(struct atapi *cd, uint32_t at, uint32_t bytes, uint8_t to_host)
{
    struct ide_registers *regs = &cd->device.regs;

    regs->count[0] = to_host ? ATAPI_REASON_IO : 0;
    regs->mid[0] = (uint8_t)bytes;
    regs->high[0] = (uint8_t)(bytes >> 8);
    ide_device_data(&cd->device, cd->buffer + at, bytes, to_host, 1);
}

static uint32_t
buffered(const struct atapi *cd)
{
    return cd->packet.end - cd->packet.start;
}

static void
pio_in(struct atapi *cd)
{
    struct atapi_packet *p = &cd->packet;
    uint64_t left = buffered(cd) + wanted(cd);
    uint32_t burst = burst_bytes(p->limit, left);

    if (burst == 0) {
        refuse(cd);
    } else if (buffered(cd) >= burst) {
        offer(cd, p->start, burst, 1);
    } else {
        memmove(cd->buffer, cd->buffer + p->start, buffered(cd));
        p->end = buffered(cd);
        p->start = 0;
        give_buffer(cd, p->end, window_bytes(cd, ATAPI_BUFFER_BYTES - p->end));
    }
}

/* Parameters come whole, or as much as the buffer takes. */
static void
pio_out(struct atapi *cd)
{
    struct atapi_packet *p = &cd->packet;
    uint32_t bytes = window_bytes(cd, ATAPI_BUFFER_BYTES);
    uint32_t burst = burst_bytes(p->limit, bytes - p->end);

    if (p->end == bytes) {
        p->end = 0;
        give_buffer(cd, 0, bytes);
    } else if (burst == 0) {
        refuse(cd);
    } else {
        offer(cd, p->end, burst, 0);
    }
}

/* --- DMA ------------------------------------------------------------------------------------- */

static void
dma_in(struct atapi *cd)
{
    int32_t r = IDE_SG_FULL;

    if (cd->task.grain >= ATA_SECTOR) {
        uint64_t most =
            wanted(cd) < UINT32_MAX ? wanted(cd) : UINT32_MAX - UINT32_MAX % cd->task.grain;
        r = ide_bus_master_gather(cd->device.channel, most, cd->task.grain, 1, &cd->sg);
    }
    if (r == IDE_SG_OK) {
        cd->packet.in_place = 1;
        give_window(cd, cd->sg.iov, cd->sg.count, (uint32_t)cd->sg.bytes);
    } else if (r == IDE_SG_FAULT) {
        bus_error(cd, 1);
    } else {
        give_buffer(cd, 0, window_bytes(cd, ATAPI_BUFFER_BYTES));
    }
}

static void
dma_out(struct atapi *cd)
{
    struct ide_prd_cursor end;
    uint32_t bytes = window_bytes(cd, ATAPI_BUFFER_BYTES);
    uint32_t copied;
    int32_t r = ide_bus_master_copy(cd->device.channel, cd->buffer, bytes, 0, &end, &copied);

    if (r != IDE_SG_OK) {
        bus_error(cd, r == IDE_SG_FAULT);
        return;
    }
    cd->sg.end = end;
    give_buffer(cd, 0, bytes);
}

void
atapi_packet_dma(struct atapi *cd)
{
    ide_device_busy(&cd->device);
    if (!ide_may_master(cd->device.ide)) {
        refuse(cd);
    } else if (cd->task.state == BP_SCSI_IN) {
        dma_in(cd);
    } else {
        dma_out(cd);
    }
}

/* A window of a DMA is done. Returns 0 if that ended the packet. */
static uint32_t
dma_moved(struct atapi *cd)
{
    struct ide_prd_cursor *end = &cd->sg.end;
    uint32_t copied;
    int32_t r = IDE_SG_OK;

    if (!cd->packet.in_place && cd->task.direction == BP_SCSI_IN) {
        r = ide_bus_master_copy(cd->device.channel, cd->buffer, cd->packet.bytes, 1, end, &copied);
    }
    ide_bus_master_commit(cd->device.channel, end);
    if (r != IDE_SG_OK) {
        bus_error(cd, r == IDE_SG_FAULT);
    }
    return r == IDE_SG_OK;
}

/* --- steps ----------------------------------------------------------------------------------- */

/* The engine has the window's data, or gave them. Returns 0 if the packet ended. */
static uint32_t
window_moved(struct atapi *cd)
{
    struct atapi_packet *p = &cd->packet;

    p->window = 0;
    if (p->in_place) {
        ide_sg_mark_dirty(cd->device.ide, &cd->sg); /* even if it failed: memory may have changed */
    }
    if (cd->task.state == BP_SCSI_DONE && cd->task.status != BP_SCSI_GOOD) {
        finish(cd);
        return 0;
    }
    if (p->dma) {
        return dma_moved(cd);
    }
    if (cd->task.direction == BP_SCSI_IN) {
        p->end += p->bytes;
    }
    return 1;
}

static void
go_dma(struct atapi *cd, uint32_t more)
{
    cd->device.regs.count[0] = cd->task.state == BP_SCSI_IN ? ATAPI_REASON_IO : 0;
    if (more) {
        atapi_packet_dma(cd); /* the bus master is in the middle of it */
    } else {
        ide_device_request_dma(&cd->device);
    }
}

/* Does what the task's state asks for. */
static void
go(struct atapi *cd, uint32_t state)
{
    struct atapi_packet *p = &cd->packet;
    uint32_t more = p->window;

    if (state == BP_SCSI_WAIT) {
        ide_device_busy(&cd->device);
        return;
    }
    if (p->window && !window_moved(cd)) {
        return;
    }
    if (state == BP_SCSI_DONE && buffered(cd) == 0) {
        finish(cd);
    } else if (state == BP_SCSI_DONE) {
        p->phase = ATAPI_DRAIN;
        pio_in(cd);
    } else if (p->dma) {
        go_dma(cd, more);
    } else if (state == BP_SCSI_IN) {
        pio_in(cd);
    } else {
        pio_out(cd);
    }
}

void
atapi_packet_start(struct atapi *cd)
{
    struct ide_registers *regs = &cd->device.regs;
    uint8_t features = regs->features[0];

    if (features & ATAPI_FEATURE_OVERLAP) {
        ide_device_done(&cd->device, ATA_ABRT);
        return;
    }
    memset(&cd->packet, 0, sizeof(cd->packet));
    cd->packet.phase = ATAPI_CDB;
    cd->packet.dma = features & ATAPI_FEATURE_DMA;
    cd->packet.limit = (uint16_t)(regs->mid[0] | regs->high[0] << 8);
    cd->power = ATA_POWER_ACTIVE;
    regs->count[0] = ATAPI_REASON_CD;
    ide_device_data(&cd->device, cd->cdb, ATAPI_CDB_BYTES, 0, 0);
}

static void
cdb_received(struct atapi *cd)
{
    cd->packet.phase = ATAPI_DATA;
    ide_device_busy(&cd->device);
    bp_scsi_task_init(&cd->task, &cd->nexus, cd->cdb, ATAPI_CDB_BYTES);
    cd->task.owner = cd;
    cd->task.page = cd->page;
    go(cd, bp_scsi_start(&cd->task));
}

void
atapi_packet_block_done(struct atapi *cd)
{
    struct atapi_packet *p = &cd->packet;
    uint32_t bytes = cd->device.regs.mid[0] | (uint32_t)cd->device.regs.high[0] << 8;

    switch (p->phase) {
    case ATAPI_CDB:
        cdb_received(cd);
        break;
    case ATAPI_DATA:
    case ATAPI_DRAIN:
        if (cd->device.data_in) {
            p->start += bytes;
        } else {
            p->end += bytes;
        }
        ide_device_busy(&cd->device);
        go(cd, cd->task.state);
        break;
    default:
        memset(p, 0, sizeof(*p));
        ide_device_idle(&cd->device, 0);
        break;
    }
}

void
atapi_packet_abandon(struct atapi *cd)
{
    if (cd->packet.phase == ATAPI_DATA) {
        abort_task(cd);
    }
    if (!cd->dropped) {
        memset(&cd->packet, 0, sizeof(cd->packet));
    }
}

void
atapi_packet_resume(struct atapi *cd)
{
    struct atapi_packet *p = &cd->packet;

    if (!p->window || cd->task.state == BP_SCSI_WAIT) {
        return; /* nothing was under way, or the engine has had its window and goes on by itself */
    }
    p->window = 0;
    if (p->dma) {
        atapi_packet_dma(cd);
    } else if (cd->task.state == BP_SCSI_OUT) {
        give_buffer(cd, 0, window_bytes(cd, ATAPI_BUFFER_BYTES));
    } else {
        go(cd, cd->task.state);
    }
}

/* --- what the engine says -------------------------------------------------------------------- */

/* A task that was given up has ended: nothing touches guest memory any more. */
static void
dropped_ended(struct atapi *cd)
{
    cd->dropped = 0;
    if (cd->packet.in_place) {
        ide_sg_mark_dirty(cd->device.ide, &cd->sg);
    }
    memset(&cd->packet, 0, sizeof(cd->packet));
    ide_bus_master_settle(cd->device.channel);
    if (cd->reset_due) {
        cd->reset_due = 0;
        cd->device.regs.status = 0;
    }
}

static void
port_wake(void *opaque, struct bp_scsi_task *task)
{
    struct atapi *cd = opaque;

    if (cd->dropped) {
        dropped_ended(cd);
    } else if (cd->packet.phase == ATAPI_DATA) {
        go(cd, task->state);
    }
}

static uint32_t
port_failed(void *opaque, struct bp_scsi_task *task, uint32_t op, int32_t status, uint32_t flags)
{
    struct atapi *cd = opaque;
    uint32_t action = bp_on_error_action(&cd->options.on_error, op, status);

    if (status == -ENOMEDIUM || status == -ECANCELED) {
        return BP_SCSI_REPORT; /* no failure: someone took the medium out, or gave up */
    }
    ide_tell_error(&cd->device, op, status, action);
    if (action == BP_ON_ERROR_STOP) {
        return BP_SCSI_HOLD;
    }
    if (action == BP_ON_ERROR_IGNORE && op == BP_BLOCK_READ) {
        (void)bp_iovec_fill(task->request_iov, task->request_iovs, 0, 0, task->request_length);
    }
    return action == BP_ON_ERROR_IGNORE ? BP_SCSI_IGNORE : BP_SCSI_REPORT;
}

static void
port_settled(void *opaque)
{
    struct atapi *cd = opaque;

    ide_settle(cd->device.ide);
}

static void
port_tray(void *opaque)
{
    atapi_tell_tray(opaque);
}

const struct bp_scsi_port atapi_port = {
    .wake = port_wake,
    .failed = port_failed,
    .settled = port_settled,
    .tray = port_tray,
};
