/* SPDX-License-Identifier: Apache-2.0 */
/* Writes, zeroing, discarding. A cluster that is the disk's alone is written in place; everything
 * else gets a new one, and the L2 table refers to it once the data is there. */
#include "image.h"

#include <backplane/sdk/iovec.h>

#include <string.h>

static uint64_t
place_of(const struct request *request)
{
    return request->flight->request.offset + request->done;
}

static void
next_step(struct request *request)
{
    request->error = 0;
    if (request->flight->request.op == BP_BLOCK_WRITE) {
        write_step(request);
    } else {
        zero_step(request);
    }
}

/* --- who allocates what ------------------------------------------------------------------------
 */

static uint32_t
is_allocating(const struct image *image, uint64_t first, uint64_t count)
{
    const struct request *other;

    for (other = image->allocating; other != NULL; other = other->next_allocating) {
        if (first < other->guest + other->count && other->guest < first + count) {
            return 1;
        }
    }
    return 0;
}

static void
begin_allocation(struct request *request, uint64_t first, uint64_t count)
{
    request->guest = first;
    request->count = count;
    request->next_allocating = request->image->allocating;
    request->image->allocating = request;
    request->allocates = 1;
}

/* Lets go of all that an allocation holds. */
static void
end_allocation(struct request *request)
{
    struct image *image = request->image;
    struct request **link = &image->allocating;
    uint32_t buffer = request->buffer;
    struct table *table = request->table;

    if (!request->allocates) {
        return;
    }
    while (*link != request) {
        link = &(*link)->next_allocating;
    }
    *link = request->next_allocating;
    request->allocates = 0;
    request->buffer = 0;
    request->table = NULL;
    wake_all(&image->allocation_waiting, 0);
    cache_put(image, table);
    buffer_put(image, buffer);
}

static void
fail_allocation(struct request *request, int32_t status, uint32_t flags)
{
    clusters_return(request->image, request->host, request->count);
    end_allocation(request);
    request_end(request, status, flags);
}

/* The data is in its new place. */
static void
refer(struct request *request)
{
    struct image *image = request->image;
    uint64_t mask = (UINT64_C(1) << image->l2_bits) - 1, i;

    if (image->holding) {
        wait_for(&image->held, request, refer);
        return;
    }
    if (image->free_count + 4 * request->count > MAX_FREES) {
        checkpoint_wait(request, refer);
        return;
    }
    for (i = 0; i < request->count; i++) {
        uint64_t index = (request->guest & mask) + i;

        free_entry(image, get64(request->table->data + index * 8));
        put64(request->table->data + index * 8,
              ((request->host + i) << image->cluster_bits) | COPIED);
        table_dirty(request->table, index * 8, index * 8 + 8);
    }
    end_allocation(request);
    request->done += request->piece;
    next_step(request);
}

/* --- sending data ------------------------------------------------------------------------------
 */

static void
data_written(struct bp_block_io *io, int32_t status, uint32_t flags)
{
    struct bp_block_flight *flight =
        (struct bp_block_flight *)(void *)((uint8_t *)io - offsetof(struct bp_block_flight, io));
    struct request *request = flight->data;

    if (request->allocates) {
        if (status != 0) {
            fail_allocation(request, status, flags);
        } else {
            refer(request);
        }
        return;
    }
    unpin_data(request);
    request->done += request->piece;
    if (status != 0) {
        request_end(request, status, flags);
    } else {
        next_step(request);
    }
}

static void
send_data(struct request *request, uint64_t offset, uint64_t length)
{
    struct bp_block_flight *flight = request->flight;
    int32_t count = 1;

    request->piece = length;
    if (request->zeroes) {
        request->iov[0].base = request->image->zeroes;
        request->iov[0].length = length;
    } else {
        count = bp_iovec_slice(flight->request.iov, flight->request.iov_count, request->done,
                               length, request->iov, MAX_IOV);
    }
    flight->io.request = (struct bp_block_request){.op = BP_BLOCK_WRITE,
                                                   .offset = offset,
                                                   .length = length,
                                                   .iov = request->iov,
                                                   .iov_count = (uint32_t)count};
    flight->io.slot = SLOT_FILE;
    flight->io.done = data_written;
    if (count < 0) {
        flight->io.request.length = 0;
        data_written(&flight->io, count, 0); /* cannot be: our own limits hold */
        return;
    }
    bp_block_io_send(flight->lane, &flight->io);
}

static void
copy_written(struct transfer *transfer, int32_t status)
{
    struct request *request = transfer->owner;

    if (status != 0) {
        fail_allocation(request, status, status == -ENOSPC ? BP_BLOCK_RECOVERABLE : 0);
    } else {
        refer(request);
    }
}

/* The old cluster is in the buffer: put what is new over it and write it out. */
static void
copy_loaded(struct request *request)
{
    struct image *image = request->image;
    const struct bp_block_request *guest = &request->flight->request;
    uint8_t *data = image->buffers[request->buffer - 1];
    uint64_t within = place_of(request) & (image->cluster_size - 1);

    if (request->error != 0) {
        fail_allocation(request, request->error, 0);
        return;
    }
    if (request->zeroes) {
        memset(data + within, 0, request->piece);
    } else {
        (void)bp_iovec_read(guest->iov, guest->iov_count, request->done, data + within,
                            request->piece);
    }
    request->transfer.done = copy_written;
    request->transfer.io.slot = SLOT_FILE;
    transfer_start(&request->transfer, request->lane, BP_BLOCK_WRITE,
                   request->host << image->cluster_bits, data, image->cluster_size);
}

/* --- one piece ---------------------------------------------------------------------------------
 */

static uint64_t
entry_at(const struct image *image, const struct table *table, uint64_t guest)
{
    return get64(table->data + (guest & ((UINT64_C(1) << image->l2_bits) - 1)) * 8);
}

static uint32_t
is_own(const struct image *image, uint64_t entry)
{
    return entry_kind(image, entry) == IS_DATA && (entry & COPIED) != 0;
}

/* Bytes from place on that lie side by side in clusters of the disk's own. */
static uint64_t
own_run(const struct image *image, const struct table *table, uint64_t place, uint64_t length)
{
    uint64_t mask = (UINT64_C(1) << image->l2_bits) - 1, guest = place >> image->cluster_bits;
    uint64_t host = entry_at(image, table, guest) & OFFSET_MASK;
    uint64_t run = image->cluster_size - (place & (image->cluster_size - 1));

    while (run < length && (++guest & mask) != 0) {
        uint64_t entry = entry_at(image, table, guest);

        host += image->cluster_size;
        if (!is_own(image, entry) || (entry & OFFSET_MASK) != host) {
            break;
        }
        run += image->cluster_size;
    }
    return run < length ? run : length;
}

static void
write_in_place(struct request *request, struct table *table, uint64_t length)
{
    struct image *image = request->image;
    uint64_t place = place_of(request), within = place & (image->cluster_size - 1);
    uint64_t host = entry_at(image, table, place >> image->cluster_bits) & OFFSET_MASK;
    int32_t error;

    if (request->zeroes && length > image->cluster_size - within) {
        length = image->cluster_size - within;
    }
    length = own_run(image, table, place, length);
    error = data_check(image, host,
                       (within + length + image->cluster_size - 1) & ~(image->cluster_size - 1));
    cache_put(image, table);
    if (error != 0) {
        request_end(request, error, 0);
        return;
    }
    pin_data(request);
    send_data(request, host + within, length);
}

/* How many whole clusters from `guest` on need a new place. */
static uint64_t
new_run(const struct image *image, const struct table *table, uint64_t guest, uint64_t most)
{
    uint64_t mask = (UINT64_C(1) << image->l2_bits) - 1, count = 1;

    while (count < most && ((guest + count) & mask) != 0 &&
           !is_own(image, entry_at(image, table, guest + count)) &&
           !is_allocating(image, guest + count, 1)) {
        count++;
    }
    return count;
}

static int32_t
check_entries(struct image *image, const struct table *table, uint64_t guest, uint64_t count)
{
    int32_t error = 0;

    while (count-- > 0 && error == 0) {
        error = entry_check(image, entry_at(image, table, guest++));
    }
    return error;
}

/* A new place for whole clusters, or for one of which a part is written. */
static void
write_anew(struct request *request, struct table *table, uint64_t length,
           void (*step)(struct request *request))
{
    struct image *image = request->image;
    uint64_t place = place_of(request), guest = place >> image->cluster_bits;
    uint64_t within = place & (image->cluster_size - 1), count = 1, host;
    uint32_t whole = within == 0 && length >= image->cluster_size && !request->zeroes;
    uint64_t entry = entry_at(image, table, guest);
    int32_t error;

    request->buffer = 0;
    if (whole) {
        count = length >> image->cluster_bits;
        count = new_run(image, table, guest, count < MAX_RUN ? count : MAX_RUN);
    } else {
        length = length < image->cluster_size - within ? length : image->cluster_size - within;
        request->buffer = buffer_get(image);
        if (request->buffer == 0) {
            cache_put(image, table);
            wait_for(&image->buffer_waiting, request, step);
            return;
        }
    }
    error = check_entries(image, table, guest, count);
    count = error == 0 ? clusters_take(request, count, step, &host, &error) : 0;
    if (count == 0) {
        uint32_t buffer = request->buffer;
        request->buffer = 0;
        cache_put(image, table);
        buffer_put(image, buffer);
        if (error != 0) {
            request_end(request, error, 0);
        }
        return;
    }
    request->table = table;
    request->host = host;
    begin_allocation(request, guest, count);
    if (whole) {
        send_data(request, host << image->cluster_bits, count << image->cluster_bits);
        return;
    }
    request->piece = length;
    if (image->took_fresh && !request->zeroes &&
        (entry_kind(image, entry) == IS_ZERO ||
         (entry_kind(image, entry) == IS_NOTHING &&
          guest << image->cluster_bits >= image->backing_size))) {
        send_data(request, (host << image->cluster_bits) + within, length);
        return;
    }
    cluster_load(request, guest, entry, copy_loaded);
}

static void
write_piece(struct request *request, uint64_t length, void (*step)(struct request *request))
{
    struct image *image = request->image;
    uint64_t place = place_of(request), guest = place >> image->cluster_bits;
    uint64_t span = UINT64_C(1) << (image->cluster_bits + image->l2_bits);
    struct table *table;
    int32_t error;

    length = length < span - place % span ? length : span - place % span;
    table = map_for_write(request, place, step, &error);
    if (table == NULL) {
        if (error != 0) {
            request_end(request, error, 0);
        }
        return;
    }
    if (is_allocating(image, guest, 1)) {
        cache_put(image, table);
        wait_for(&image->allocation_waiting, request, step);
        return;
    }
    if (is_own(image, entry_at(image, table, guest))) {
        write_in_place(request, table, length);
    } else {
        write_anew(request, table, length, step);
    }
}

static uint32_t
must_end(struct request *request)
{
    int32_t error = request->error;

    if (error == 0 && request->image->broken) {
        error = -EIO;
    }
    if (error == 0 && request->flight->cancelled) {
        error = -ECANCELED;
    }
    if (error != 0 || request->done >= request->flight->request.length) {
        request_end(request, error, error == -ENOSPC ? BP_BLOCK_RECOVERABLE : 0);
        return 1;
    }
    return 0;
}

void
write_step(struct request *request)
{
    if (!must_end(request)) {
        request->zeroes = 0;
        write_piece(request, request->flight->request.length - request->done, write_step);
    }
}

/* --- zeroes and discards ------------------------------------------------------------------------
 */

/* What the entry of a zeroed or discarded cluster becomes; 0 in *ret_possible if it cannot be said
 * in an entry: version 2 has no word for zeroes in front of a backing disk. */
static uint64_t
cleared_entry(const struct image *image, uint64_t guest, uint32_t *ret_possible)
{
    *ret_possible = 1;
    if (guest << image->cluster_bits >= image->backing_size) {
        return 0;
    }
    *ret_possible = image->header.version >= 3;
    return ZERO;
}

/* Clears clusters of one table, some hundred at a time. Returns how many bytes; 0: the request
 * waits or has ended. */
static uint64_t
clear_entries(struct request *request, uint64_t guest, uint64_t count)
{
    struct image *image = request->image;
    uint64_t mask = (UINT64_C(1) << image->l2_bits) - 1, i;
    struct table *table;
    uint32_t possible;
    int32_t error;

    count = count < mask + 1 - (guest & mask) ? count : mask + 1 - (guest & mask);
    count = count < 512 ? count : 512;
    if (image->free_count + 4 * count > MAX_FREES) {
        checkpoint_wait(request, zero_step);
        return 0;
    }
    table = map_for_write(request, guest << image->cluster_bits, zero_step, &error);
    if (table == NULL) {
        if (error != 0) {
            request_end(request, error, 0);
        }
        return 0;
    }
    if (is_allocating(image, guest, count) || image->holding) {
        cache_put(image, table);
        wait_for(image->holding ? &image->held : &image->allocation_waiting, request, zero_step);
        return 0;
    }
    error = check_entries(image, table, guest, count);
    for (i = 0; i < count && error == 0; i++) {
        uint64_t index = (guest + i) & mask, before = get64(table->data + index * 8);
        uint64_t after = cleared_entry(image, guest + i, &possible);

        if (before != after) {
            free_entry(image, before);
            put64(table->data + index * 8, after);
            table_dirty(table, index * 8, index * 8 + 8);
        }
    }
    cache_put(image, table);
    if (error != 0) {
        request_end(request, error, 0);
        return 0;
    }
    return count << image->cluster_bits;
}

/* Nothing is there and nothing shows through: it is zero already. */
static uint64_t
empty_span(const struct image *image, uint64_t place)
{
    uint64_t span = UINT64_C(1) << (image->cluster_bits + image->l2_bits);
    uint64_t l1_index = place / span;

    if (place < image->backing_size || l1_index >= image->l1_size ||
        (image->l1[l1_index] & OFFSET_MASK) != 0) {
        return 0;
    }
    return span - place % span;
}

/* Clears what can be cleared by an entry. Returns bytes; 0: the request waits or ended; UINT64_MAX:
 * this piece needs zeroes as data. */
static uint64_t
clear_piece(struct request *request, uint64_t place, uint64_t length)
{
    struct image *image = request->image;
    uint64_t within = place & (image->cluster_size - 1), empty = empty_span(image, place);
    uint64_t part = image->cluster_size - within, possible_bytes = length;
    uint32_t discard = request->flight->request.op == BP_BLOCK_DISCARD, possible;

    if (empty != 0) {
        return empty < length ? empty : length;
    }
    (void)cleared_entry(image, place >> image->cluster_bits, &possible);
    part = part < length ? part : length;
    /* The last cluster of the disk may be a part of one. */
    if (within != 0 || (length < image->cluster_size && place + length < image->size) ||
        !possible) {
        return discard ? part : UINT64_MAX;
    }
    possible_bytes = (length + (place + length >= image->size ? image->cluster_size - 1 : 0)) &
                     ~(image->cluster_size - 1);
    possible_bytes =
        clear_entries(request, place >> image->cluster_bits, possible_bytes >> image->cluster_bits);
    return possible_bytes < length ? possible_bytes : length;
}

void
zero_step(struct request *request)
{
    uint64_t length, cleared;

    while (!must_end(request)) {
        length = request->flight->request.length - request->done;
        cleared = clear_piece(request, place_of(request), length);
        if (cleared == 0) {
            return;
        }
        if (cleared == UINT64_MAX) {
            request->zeroes = 1;
            write_piece(request,
                        length < request->image->cluster_size ? length
                                                              : request->image->cluster_size,
                        zero_step);
            return;
        }
        request->done += cleared;
    }
}
