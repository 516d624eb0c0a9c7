/* SPDX-License-Identifier: Apache-2.0 */
#include "image.h"

void
request_end(struct request *request, int32_t status, uint32_t flags)
{
    bp_block_end(request->flight, status, flags);
}

static void
flushed(struct request *request)
{
    request_end(request, request->error, 0);
}

void
qcow2_start(struct bp_block_flight *flight)
{
    struct image *image = bp_block_lane_self(flight->lane);
    struct request *request = flight->data;

    request->image = image;
    request->flight = flight;
    request->lane = flight->lane;
    request->error = 0;
    request->done = 0;
    request->table = NULL;
    request->buffer = 0;
    request->pinned = 0;
    request->allocates = 0;
    request->zeroes = 0;
    switch (flight->request.op) {
    case BP_BLOCK_READ:
        read_step(request);
        return;
    case BP_BLOCK_WRITE:
        write_step(request);
        return;
    case BP_BLOCK_FLUSH:
        if (image->readonly) {
            request_end(request, 0, 0);
        } else if (image->broken) {
            request_end(request, -EIO, 0);
        } else {
            checkpoint_wait(request, flushed);
        }
        return;
    default:
        zero_step(request);
        return;
    }
}
