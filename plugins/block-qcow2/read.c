/* SPDX-License-Identifier: Apache-2.0 */
/* Reads: piece by piece, each as long as it comes from one place. */
#include "image.h"

#include <backplane/sdk/iovec.h>

#include <string.h>

static void
fill_zeroes(struct request *request, uint64_t length)
{
    const struct bp_block_request *guest = &request->flight->request;

    (void)bp_iovec_fill(guest->iov, guest->iov_count, request->done, 0, length);
    request->done += length;
}

static void
piece_read(struct bp_block_io *io, int32_t status, uint32_t flags)
{
    struct bp_block_flight *flight =
        (struct bp_block_flight *)(void *)((uint8_t *)io - offsetof(struct bp_block_flight, io));
    struct request *request = flight->data;

    request->done += request->piece;
    unpin_data(request);
    if (status != 0) {
        request_end(request, status, flags);
    } else {
        request->error = 0;
        read_step(request);
    }
}

static void
read_piece(struct request *request, uint32_t slot, uint64_t offset, uint64_t length)
{
    struct bp_block_flight *flight = request->flight;
    int32_t count = bp_iovec_slice(flight->request.iov, flight->request.iov_count, request->done,
                                   length, request->iov, MAX_IOV);

    if (count < 0) {
        request_end(request, count, 0);
        return;
    }
    request->piece = length;
    pin_data(request);
    flight->io.request = (struct bp_block_request){.op = BP_BLOCK_READ,
                                                   .offset = offset,
                                                   .length = length,
                                                   .iov = request->iov,
                                                   .iov_count = (uint32_t)count};
    flight->io.slot = slot;
    flight->io.done = piece_read;
    bp_block_io_send(flight->lane, &flight->io);
}

/* --- whole clusters, for compressed ones and for copies --------------------------------------- */

static uint8_t *
buffer_of(const struct request *request)
{
    return request->image->buffers[request->buffer - 1];
}

static void
cluster_loaded(struct transfer *transfer, int32_t status)
{
    struct request *request = transfer->owner;

    request->error = status;
    request->step(request);
}

static void
cluster_packed_loaded(struct transfer *transfer, int32_t status)
{
    struct request *request = transfer->owner;
    struct image *image = request->image;
    uint64_t offset, length;

    if (status == 0) {
        entry_packed(image, request->old, &offset, &length);
        status = packed_inflate(
            image, buffer_of(request) + image->cluster_size + (offset & (BP_BLOCK_SECTOR - 1)),
            length, buffer_of(request));
        if (status != 0) {
            bp_error(&image->services, "the compressed data at %llu is damaged",
                     (unsigned long long)offset);
        }
    }
    request->error = status;
    request->step(request);
}

static void
load_packed(struct request *request, uint64_t entry)
{
    struct image *image = request->image;
    uint8_t *input = buffer_of(request) + image->cluster_size;
    uint64_t offset, length, end, start;

    entry_packed(image, entry, &offset, &length);
    start = offset & ~(uint64_t)(BP_BLOCK_SECTOR - 1);
    end = offset + length;
    end = end < image->file_size ? end : image->file_size / BP_BLOCK_SECTOR * BP_BLOCK_SECTOR;
    memset(input, 0, 2 * image->cluster_size + BP_BLOCK_SECTOR);
    request->transfer.done = cluster_packed_loaded;
    transfer_start(&request->transfer, request->lane, BP_BLOCK_READ, start, input, end - start);
}

void
cluster_load(struct request *request, uint64_t guest_cluster, uint64_t entry,
             void (*step)(struct request *request))
{
    struct image *image = request->image;
    uint64_t place = guest_cluster << image->cluster_bits, length = image->cluster_size;
    uint32_t kind = entry_kind(image, entry);

    request->step = step;
    request->old = entry;
    request->transfer.owner = request;
    request->transfer.most = image->most;
    request->transfer.done = cluster_loaded;
    request->transfer.io.slot = SLOT_FILE;
    if (kind == IS_PACKED) {
        load_packed(request, entry);
        return;
    }
    if (kind == IS_DATA) {
        transfer_start(&request->transfer, request->lane, BP_BLOCK_READ, entry & OFFSET_MASK,
                       buffer_of(request), length);
        return;
    }
    memset(buffer_of(request), 0, length);
    if (kind == IS_ZERO || place >= image->backing_size) {
        request->error = 0;
        step(request);
        return;
    }
    request->transfer.io.slot = SLOT_BACKING;
    length = length < image->backing_size - place ? length : image->backing_size - place;
    transfer_start(&request->transfer, request->lane, BP_BLOCK_READ, place, buffer_of(request),
                   length);
}

static void
packed_read(struct request *request)
{
    const struct bp_block_request *guest = &request->flight->request;
    struct image *image = request->image;
    uint64_t within = (guest->offset + request->done) & (image->cluster_size - 1);
    uint32_t buffer = request->buffer;
    int32_t error = request->error;

    unpin_data(request);
    if (error == 0) {
        (void)bp_iovec_write(guest->iov, guest->iov_count, request->done,
                             buffer_of(request) + within, request->piece);
        request->done += request->piece;
    }
    request->buffer = 0;
    buffer_put(image, buffer);
    if (error != 0) {
        request_end(request, error, 0);
    } else {
        read_step(request);
    }
}

static void
read_packed(struct request *request, uint64_t entry, uint64_t length)
{
    struct image *image = request->image;
    uint64_t place = request->flight->request.offset + request->done;

    request->buffer = buffer_get(image);
    if (request->buffer == 0) {
        wait_for(&image->buffer_waiting, request, read_step);
        return;
    }
    request->piece = length;
    pin_data(request);
    cluster_load(request, place >> image->cluster_bits, entry, packed_read);
}

/* --- where the next piece is ------------------------------------------------------------------ */

/* Bytes from `place` on, at most length, that are of one kind and lie side by side. All of it is in
 * one L2 table. */
static uint64_t
run_length(const struct image *image, const struct table *table, uint64_t place, uint64_t length)
{
    uint64_t granule = place_granule(image), mask = image->cluster_size - 1, entry, first;
    uint32_t kind = place_kind(image, table, place, &first);
    uint64_t run = granule - (place & (granule - 1));

    if (kind == IS_PACKED) {
        run = image->cluster_size - (place & mask);
    }
    while (run < length && kind != IS_PACKED &&
           place_kind(image, table, place + run, &entry) == kind &&
           (kind != IS_DATA || (entry & OFFSET_MASK) + ((place + run) & mask) ==
                                   (first & OFFSET_MASK) + (place & mask) + run)) {
        run += granule;
    }
    return run < length ? run : length;
}

/* Nothing is there: the backing disk shows through. Returns 1 if a read is on its way. */
static uint32_t
read_nothing(struct request *request, uint64_t place, uint64_t length)
{
    const struct image *image = request->image;

    if (place >= image->backing_size) {
        fill_zeroes(request, length);
        return 0;
    }
    read_piece(request, SLOT_BACKING, place,
               length < image->backing_size - place ? length : image->backing_size - place);
    return 1;
}

/* Returns 1 if the request goes on by itself. */
static uint32_t
read_mapped(struct request *request, const struct table *table, uint64_t place, uint64_t length)
{
    struct image *image = request->image;
    uint64_t entry;
    uint32_t kind = place_kind(image, table, place, &entry);
    int32_t error = entry_check(image, entry);

    length = run_length(image, table, place, length);
    if (error == 0 && kind == IS_DATA) {
        uint64_t within = place & (image->cluster_size - 1);
        uint64_t granule = place_granule(image);
        uint64_t whole = (within + length + granule - 1) & ~(granule - 1);
        error = data_check(image, entry & OFFSET_MASK, whole);
    }
    if (error != 0) {
        request_end(request, error, 0);
        return 1;
    }
    switch (kind) {
    case IS_NOTHING:
        return read_nothing(request, place, length);
    case IS_ZERO:
        fill_zeroes(request, length);
        return 0;
    case IS_PACKED:
        read_packed(request, entry, length);
        return 1;
    default:
        read_piece(request, SLOT_FILE, (entry & OFFSET_MASK) + (place & (image->cluster_size - 1)),
                   length);
        return 1;
    }
}

/* Returns 1 if the request goes on by itself. */
static uint32_t
read_next(struct request *request)
{
    struct image *image = request->image;
    uint64_t place = request->flight->request.offset + request->done;
    uint64_t span = UINT64_C(1) << (image->cluster_bits + image->l2_bits);
    uint64_t length = request->flight->request.length - request->done;
    uint64_t l1_index = place / span, offset;
    struct table *table;
    uint32_t goes_on;

    length = length < span - place % span ? length : span - place % span;
    offset = l1_index < image->l1_size ? image->l1[l1_index] & OFFSET_MASK : 0;
    if (offset == 0) {
        return read_nothing(request, place, length);
    }
    if (offset_check(image, offset, image->cluster_size) != 0) {
        request_end(request, -EIO, 0);
        return 1;
    }
    table = cache_get(image, &image->tables, offset, request, read_step);
    if (table == NULL) {
        return 1;
    }
    goes_on = read_mapped(request, table, place, length);
    cache_put(image, table);
    return goes_on;
}

void
read_step(struct request *request)
{
    if (request->error != 0) {
        request_end(request, request->error, 0);
        return;
    }
    do {
        if (request->flight->cancelled) {
            request_end(request, -ECANCELED, 0);
            return;
        }
        if (request->done >= request->flight->request.length) {
            request_end(request, 0, 0);
            return;
        }
    } while (!read_next(request));
}
