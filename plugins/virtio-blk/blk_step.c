/* SPDX-License-Identifier: Apache-2.0 */
/* From a chain to steps. Whatever is read from guest memory is copied first, then checked. */
#include "virtio_blk.h"

#include <string.h>

/* --- the buffers -------------------------------------------------------------------------------
 */

static void
skip(struct bp_iovec **iov, uint32_t *count, uint64_t bytes)
{
    while (bytes != 0 && *count != 0) {
        uint64_t n = bp_min_u64(bytes, (*iov)->length);

        (*iov)->base = (uint8_t *)(*iov)->base + n;
        (*iov)->length -= n;
        bytes -= n;
        if ((*iov)->length == 0) {
            (*iov)++;
            (*count)--;
        }
    }
}

/* The status is the last byte to write, wherever it lies (5.2.6, ANY_LAYOUT). */
static void
take_status(struct blk_request *request)
{
    struct bp_virtio_chain *chain = request->chain;
    struct bp_iovec *last = &chain->iov[chain->out_count + chain->in_count - 1];

    last->length--;
    request->status = (uint8_t *)last->base + last->length;
}

static void
take_data(struct blk_request *request, uint32_t write)
{
    struct bp_virtio_chain *chain = request->chain;

    if (write) {
        request->iov = chain->iov + chain->out_count;
        request->iov_count = chain->in_count;
        if (request->iov[request->iov_count - 1].length == 0) {
            request->iov_count--;
        }
    } else {
        request->iov = chain->iov;
        request->iov_count = chain->out_count;
        skip(&request->iov, &request->iov_count, BLK_HEADER_BYTES);
    }
}

void
blk_zero_rest(struct blk_request *request)
{
    if (request->cut != 0) {
        request->iov[request->step_iov - 1].length += request->cut;
        request->cut = 0;
    }
    (void)bp_iovec_fill(request->iov, request->iov_count, 0, 0, UINT64_MAX);
}

/* --- checks ------------------------------------------------------------------------------------
 */

static uint32_t
check_transfer(struct blk *blk, struct blk_request *request, uint64_t bytes)
{
    uint64_t capacity = atomic_load_explicit(&blk->capacity, memory_order_relaxed);
    uint64_t sectors = bytes / BLK_SECTOR;

    if (bytes % blk->logical_size != 0 || request->sector % (blk->logical_size / BLK_SECTOR) != 0 ||
        request->sector > capacity || sectors > capacity - request->sector) {
        return BLK_S_IOERR;
    }
    request->offset = request->sector * BLK_SECTOR;
    request->end = request->offset + bytes;
    request->length = 0;
    return BLK_S_GO_ON;
}

static uint32_t
begin_read(struct blk *blk, struct blk_request *request)
{
    take_data(request, 1);
    return check_transfer(blk, request, request->chain->in_bytes - 1);
}

static uint32_t
begin_write(struct blk *blk, struct blk_request *request)
{
    take_data(request, 0);
    if (blk->readonly) { /* 5.2.6.2 */
        return BLK_S_IOERR;
    }
    request->stable = !atomic_load_explicit(&blk->writeback, memory_order_relaxed);
    return check_transfer(blk, request, request->chain->out_bytes - BLK_HEADER_BYTES);
}

/* At most 20 bytes, zero-terminated only if it is shorter (5.2.6). */
static uint32_t
answer_id(struct blk *blk, struct blk_request *request)
{
    take_data(request, 1);
    if (request->chain->in_bytes - 1 < BLK_ID_BYTES) {
        return BLK_S_IOERR;
    }
    (void)bp_iovec_write(request->iov, request->iov_count, 0, blk->options.serial, BLK_ID_BYTES);
    skip(&request->iov, &request->iov_count, BLK_ID_BYTES);
    blk_zero_rest(request);
    return BLK_S_OK;
}

/* Asked for anew each time: it changes while the guest runs. */
static uint32_t
answer_lifetime(struct blk *blk, struct blk_request *request)
{
    struct bp_block_info info = {.size = sizeof(info)};
    uint8_t data[BLK_LIFETIME_BYTES];

    if (!(bp_virtio_features(blk->virtio) & BLK_F_LIFETIME)) {
        return BLK_S_UNSUPP;
    }
    take_data(request, 1);
    if (request->chain->in_bytes - 1 < BLK_LIFETIME_BYTES ||
        blk->ops->info(blk->self, &info) != 0 || !(info.flags & BP_BLOCK_HAS_LIFETIME)) {
        return BLK_S_IOERR;
    }
    bp_store_le(data, 2, info.lifetime.pre_eol);
    bp_store_le(data + 2, 2, info.lifetime.used_a);
    bp_store_le(data + 4, 2, info.lifetime.used_b);
    (void)bp_iovec_write(request->iov, request->iov_count, 0, data, sizeof(data));
    skip(&request->iov, &request->iov_count, sizeof(data));
    blk_zero_rest(request);
    return BLK_S_OK;
}

static uint32_t
begin_ranges(struct blk *blk, struct blk_request *request, uint64_t feature)
{
    uint64_t bytes = request->chain->out_bytes - BLK_HEADER_BYTES;

    if (!(bp_virtio_features(blk->virtio) & feature)) {
        return BLK_S_UNSUPP;
    }
    take_data(request, 0);
    if (blk->readonly || bytes == 0 || bytes % BLK_RANGE_BYTES != 0 ||
        bytes / BLK_RANGE_BYTES > BLK_MAX_RANGES) {
        return BLK_S_IOERR;
    }
    request->ranges = (uint32_t)(bytes / BLK_RANGE_BYTES);
    request->stable = request->type != BLK_T_DISCARD &&
                      (request->type == BLK_T_SECURE_ERASE ||
                       !atomic_load_explicit(&blk->writeback, memory_order_relaxed));
    return BLK_S_GO_ON;
}

uint32_t
blk_begin(struct blk *blk, struct blk_request *request)
{
    struct bp_virtio_chain *chain = request->chain;
    uint8_t header[BLK_HEADER_BYTES];

    if (chain->out_bytes < BLK_HEADER_BYTES || chain->in_bytes == 0) {
        bp_virtio_broken(blk->virtio, "queue %u: a request without %s",
                         bp_virtqueue_index(chain->queue),
                         chain->in_bytes == 0 ? "a place for its status" : "a whole header");
        return BLK_S_BROKEN;
    }
    (void)bp_iovec_read(chain->iov, chain->out_count, 0, header, sizeof(header));
    request->type = (uint32_t)bp_load_le(header, 4);
    request->sector = bp_load_le(header + 8, 8);
    take_status(request);
    switch (request->type) {
    case BLK_T_IN:
        return begin_read(blk, request);
    case BLK_T_OUT:
        return begin_write(blk, request);
    case BLK_T_FLUSH:
        request->stable = 1;
        return BLK_S_GO_ON;
    case BLK_T_GET_ID:
        return answer_id(blk, request);
    case BLK_T_GET_LIFETIME:
        return answer_lifetime(blk, request);
    case BLK_T_DISCARD:
        return begin_ranges(blk, request, BLK_F_DISCARD);
    case BLK_T_WRITE_ZEROES:
        return begin_ranges(blk, request, BLK_F_WRITE_ZEROES);
    case BLK_T_SECURE_ERASE:
        return begin_ranges(blk, request, BLK_F_SECURE_ERASE);
    default:
        return BLK_S_UNSUPP; /* 5.2.6.2 */
    }
}

/* --- steps -------------------------------------------------------------------------------------
 */

/* As many pieces as the backend takes; when that is not whole blocks, the last one is cut. */
static uint32_t
step_transfer(struct blk *blk, struct blk_request *request, struct bp_block_request *step)
{
    uint64_t left = request->end - request->offset;
    uint64_t length = 0;
    uint64_t limit = bp_min_u64(left, blk->max_transfer);
    uint32_t count = 0;

    while (count < request->iov_count && count < blk->max_iov && length < limit) {
        length += request->iov[count++].length;
    }
    limit = bp_min_u64(limit, length) / blk->logical_size * blk->logical_size;
    if (limit == 0) { /* so many pieces that no block is whole */
        return BLK_S_IOERR;
    }
    while (length - request->iov[count - 1].length >= limit) {
        length -= request->iov[--count].length;
    }
    request->cut = length - limit;
    request->iov[count - 1].length -= request->cut;
    request->step_iov = count;
    request->op = request->type == BLK_T_IN ? BP_BLOCK_READ : BP_BLOCK_WRITE;
    request->length = limit;
    step->iov = request->iov;
    step->iov_count = count;
    return BLK_S_GO_ON;
}

/* The next range; what the driver changed since is checked again, not trusted. */
static uint32_t
next_range(struct blk *blk, struct blk_request *request)
{
    uint64_t most = request->type == BLK_T_DISCARD ? blk->max_discard : blk->max_zeroes;
    uint8_t range[BLK_RANGE_BYTES];
    uint64_t sectors;
    uint32_t known = request->type == BLK_T_WRITE_ZEROES ? BLK_RANGE_UNMAP : 0;

    (void)bp_iovec_read(request->iov, request->iov_count,
                        (uint64_t)request->range * BLK_RANGE_BYTES, range, sizeof(range));
    request->range++;
    request->sector = bp_load_le(range, 8);
    sectors = bp_load_le(range + 8, 4);
    request->range_flags = (uint32_t)bp_load_le(range + 12, 4);
    if (request->range_flags & ~known) { /* 5.2.6.2 */
        return BLK_S_UNSUPP;
    }
    if (most == 0) {
        return BLK_S_UNSUPP;
    }
    return check_transfer(blk, request, sectors * BLK_SECTOR);
}

static uint32_t
step_erase(struct blk *blk, struct blk_request *request, struct bp_block_request *step,
           uint64_t left)
{
    uint64_t most = bp_min_u64(blk->max_transfer, (uint64_t)blk->max_iov * BLK_ZEROES_BYTES);
    uint64_t length = bp_min_u64(left, most) / BLK_ZEROES_BYTES * BLK_ZEROES_BYTES;

    request->op = BP_BLOCK_WRITE;
    if (length != 0) {
        step->iov = blk->zero_iov;
        step->iov_count = (uint32_t)(length / BLK_ZEROES_BYTES);
    } else {
        length = bp_min_u64(left, most);
        request->erase.base = blk->zeroes;
        request->erase.length = length;
        step->iov = &request->erase;
        step->iov_count = 1;
    }
    request->length = length;
    return BLK_S_GO_ON;
}

static uint32_t
step_range(struct blk *blk, struct blk_request *request, struct bp_block_request *step)
{
    uint64_t left = request->end - request->offset;

    if (request->type == BLK_T_SECURE_ERASE) {
        return step_erase(blk, request, step, left);
    }
    if (request->type == BLK_T_DISCARD) {
        request->op = BP_BLOCK_DISCARD;
        request->length = bp_min_u64(left, blk->max_discard);
        return BLK_S_GO_ON;
    }
    request->op = BP_BLOCK_WRITE_ZEROES;
    request->length = bp_min_u64(left, blk->max_zeroes);
    step->flags = request->range_flags & BLK_RANGE_UNMAP ? BP_BLOCK_UNMAP : 0;
    return BLK_S_GO_ON;
}

static uint32_t
step_flush(struct blk *blk, struct blk_request *request)
{
    request->stable = 0;
    if (!(blk->info_flags & BP_BLOCK_WRITE_CACHE)) {
        return BLK_S_OK; /* what has completed is stable */
    }
    request->op = BP_BLOCK_FLUSH;
    request->flushed = 1;
    request->length = 0;
    return BLK_S_GO_ON;
}

static void
use_fua(const struct blk *blk, struct blk_request *request, struct bp_block_request *step)
{
    if (request->stable && (blk->info_flags & BP_BLOCK_CAN_FUA) &&
        (request->op == BP_BLOCK_WRITE || request->op == BP_BLOCK_WRITE_ZEROES)) {
        step->flags |= BP_BLOCK_FUA;
    }
}

static uint32_t
is_range(const struct blk_request *request)
{
    return request->ranges != 0;
}

uint32_t
blk_next_step(struct blk *blk, struct blk_request *request, struct bp_block_request *step)
{
    uint32_t status = BLK_S_OK;

    memset(step, 0, sizeof(*step));
    while (request->offset == request->end && request->range < request->ranges) {
        status = next_range(blk, request);
        if (status != BLK_S_GO_ON) {
            return status;
        }
    }
    if (request->offset != request->end) {
        status =
            is_range(request) ? step_range(blk, request, step) : step_transfer(blk, request, step);
        use_fua(blk, request, step);
    } else if (request->stable &&
               (request->type == BLK_T_FLUSH || !(blk->info_flags & BP_BLOCK_CAN_FUA))) {
        status = step_flush(blk, request);
    } else {
        return BLK_S_OK;
    }
    step->user = request->chain->index;
    step->op = request->op;
    step->offset = request->op == BP_BLOCK_FLUSH ? 0 : request->offset;
    step->length = request->length;
    return status;
}

void
blk_step_done(struct blk_request *request)
{
    request->offset += request->length;
    request->length = 0;
    if (request->op != BP_BLOCK_READ && (request->op != BP_BLOCK_WRITE || is_range(request))) {
        return;
    }
    request->iov += request->step_iov;
    request->iov_count -= request->step_iov;
    request->step_iov = 0;
    if (request->cut != 0) { /* the rest of the last piece */
        request->iov--;
        request->iov_count++;
        request->iov->base = (uint8_t *)request->iov->base + request->iov->length;
        request->iov->length = request->cut;
        request->cut = 0;
    }
}
