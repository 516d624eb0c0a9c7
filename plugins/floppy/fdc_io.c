/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the backends, and the error policy. */
#include "floppy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void
fdc_settle(struct fdc *fdc)
{
    if (!fdc->quiesce_due || fdc->drives[0].in_flight || fdc->drives[1].in_flight) {
        return;
    }
    fdc->quiesce_due = 0;
    fdc->host.core->quiesced(fdc->host.instance, 0);
}

static void
completed(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    struct fdc_drive *drive = opaque;
    struct fdc *fdc = drive->fdc;

    for (uint32_t i = 0; i < count; i++) {
        if (!drive->in_flight || completions[i].user != drive->tag) {
            continue;
        }
        drive->in_flight = 0;
        if (drive == fdc_transfer_drive(fdc) && fdc->transfer.awaiting) {
            fdc_transfer_completed(fdc, completions[i].status);
        }
        fdc_run(fdc); /* or it was of a command that was dropped, and the next one waits for it */
    }
    fdc_settle(fdc);
}

/* The backend itself changed its medium, or its size: for the guest, a floppy was exchanged. */
static void
event(void *opaque, uint32_t what)
{
    struct fdc_drive *drive = opaque;
    const char *text = "";

    if (what != BP_BLOCK_EVENT_MEDIA && what != BP_BLOCK_EVENT_RESIZED) {
        return;
    }
    fdc_transfer_medium_left(drive->fdc, drive);
    drive->changed = 1;
    if (fdc_drive_learn(drive, &text) != 0) {
        bp_warn(&drive->fdc->host, "backend '%s' cannot be in drive %u (%s) any more: %s",
                drive->backend, drive->unit, floppy_drive_name(drive->type), text);
    }
    fdc_run(drive->fdc);
}

const struct bp_block_client fdc_io_client = {
    .size = sizeof(fdc_io_client),
    .complete = completed,
    .event = event,
};

int32_t
fdc_io_submit(struct fdc_drive *drive, uint32_t op, uint32_t cylinder, uint32_t first,
              uint32_t count)
{
    const struct floppy_format *format = &drive->medium.format;
    uint64_t lba = (uint64_t)cylinder * format->heads * format->sectors + first;
    struct bp_block_request request = {
        .user = drive->tag + 1,
        .op = op,
    };

    if (drive->queue == NULL) {
        return -ENOMEDIUM;
    }
    if (count != 0) {
        drive->iov.base = drive->fdc->buffer + (size_t)first * FLOPPY_SECTOR_BYTES;
        drive->iov.length = (uint64_t)count * FLOPPY_SECTOR_BYTES;
        request.offset = lba * FLOPPY_SECTOR_BYTES;
        request.length = drive->iov.length;
        request.iov = &drive->iov;
        request.iov_count = 1;
    }
    if (op == BP_BLOCK_WRITE && drive->medium.can_fua) {
        request.flags = BP_BLOCK_FUA;
    }
    drive->tag++;
    drive->flight_op = op;
    drive->in_flight = 1;
    if (drive->ops->submit(drive->self, drive->queue, &request, 1) != 1) {
        drive->in_flight = 0;
        return -EIO;
    }
    return 0;
}

/* --- errors -------------------------------------------------------------------------------------
 */

uint32_t
fdc_io_failed(struct fdc_drive *drive, int32_t status)
{
    uint32_t action = bp_on_error_action(&drive->on_error, drive->flight_op, status);
    char device[64];

    (void)snprintf(device, sizeof(device), "%s:%u", drive->fdc->id, drive->unit);
    bp_on_error_tell(&drive->fdc->host, device, drive->backend, drive->flight_op, status, action);
    return action;
}
