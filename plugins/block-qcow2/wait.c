/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting lists, transfers, buffers. */
#include "image.h"

void
waiting_init(struct waiting *waiting)
{
    waiting->first = NULL;
    waiting->last = &waiting->first;
}

void
wait_for(struct waiting *waiting, struct request *request, void (*step)(struct request *request))
{
    request->step = step;
    request->next = NULL;
    *waiting->last = request;
    waiting->last = &request->next;
}

void
wake_all(struct waiting *waiting, int32_t error)
{
    struct request *request = waiting->first;

    /* A step may wait again, for the same thing. */
    waiting_init(waiting);
    while (request != NULL) {
        struct request *next = request->next;

        request->error = error;
        request->step(request);
        request = next;
    }
}

void
wake_one(struct waiting *waiting)
{
    struct request *request = waiting->first;

    if (request == NULL) {
        return;
    }
    waiting->first = request->next;
    if (waiting->first == NULL) {
        waiting->last = &waiting->first;
    }
    request->error = 0;
    request->step(request);
}

static void
send_piece(struct transfer *transfer)
{
    transfer->piece = transfer->length < transfer->most ? transfer->length : transfer->most;
    transfer->iov.base = transfer->data;
    transfer->iov.length = transfer->piece;
    transfer->io.request = (struct bp_block_request){.op = transfer->op,
                                                     .offset = transfer->offset,
                                                     .length = transfer->piece,
                                                     .iov = &transfer->iov,
                                                     .iov_count = 1};
    bp_block_io_send(transfer->lane, &transfer->io);
}

static void
piece_done(struct bp_block_io *io, int32_t status, uint32_t flags)
{
    struct transfer *transfer =
        (struct transfer *)(void *)((uint8_t *)io - offsetof(struct transfer, io));

    transfer->length -= transfer->piece;
    if (status == 0 && transfer->length > 0) {
        transfer->offset += transfer->piece;
        transfer->data += transfer->piece;
        send_piece(transfer);
    } else {
        transfer->done(transfer, status);
    }
}

void
transfer_start(struct transfer *transfer, struct bp_block_lane *lane, uint32_t op, uint64_t offset,
               uint8_t *data, uint64_t length)
{
    transfer->lane = lane;
    transfer->op = op;
    transfer->offset = offset;
    transfer->data = data;
    transfer->length = length;
    transfer->io.done = piece_done;
    if (op == BP_BLOCK_FLUSH) {
        transfer->piece = 0;
        transfer->length = 0;
        transfer->io.request = (struct bp_block_request){.op = op};
        bp_block_io_send(lane, &transfer->io);
    } else {
        send_piece(transfer);
    }
}

uint32_t
buffer_get(struct image *image)
{
    uint32_t number;

    for (number = 0; number < image->buffer_count; number++) {
        if ((image->buffers_used & 1u << number) == 0) {
            image->buffers_used |= 1u << number;
            return number + 1;
        }
    }
    return 0;
}

void
buffer_put(struct image *image, uint32_t buffer)
{
    if (buffer != 0) {
        image->buffers_used &= ~(1u << (buffer - 1));
        wake_one(&image->buffer_waiting);
    }
}

int32_t
image_broken(struct image *image, const char *what, uint64_t value)
{
    if (!image->broken) {
        bp_error(&image->services,
                 "the image is damaged: %s (0x%llx): refusing writes from now on; qemu-img check "
                 "tells more",
                 what, (unsigned long long)value);
    }
    image->broken = 1;
    return -EIO;
}
