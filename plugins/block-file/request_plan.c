/* SPDX-License-Identifier: Apache-2.0 */
/* Which way a request takes. */
#include "iov.h"
#include "request.h"

#include <linux/falloc.h>

#define DETECT_GRAIN 4096u /* smaller zero writes cost less than the hole they would make */

static uint32_t
allowed_flags(uint32_t op)
{
    switch (op) {
    case BP_BLOCK_WRITE:
        return BP_BLOCK_FUA;
    case BP_BLOCK_WRITE_ZEROES:
        return BP_BLOCK_FUA | BP_BLOCK_UNMAP;
    default:
        return 0;
    }
}

static int32_t
check_buffers(const struct request *request)
{
    uint64_t sum = 0;
    uint32_t i;

    if (request->length > IMAGE_MAX_TRANSFER || request->iov_count == 0 ||
        request->iov_count > IMAGE_MAX_IOV || request->iov == NULL) {
        return -EINVAL;
    }
    for (i = 0; i < request->iov_count; i++) {
        if (request->iov[i].length > request->length - sum) {
            return -EINVAL;
        }
        sum += request->iov[i].length;
    }
    return sum == request->length ? 0 : -EINVAL;
}

static int32_t
check(const struct request *request, const struct image *image)
{
    uint64_t capacity = atomic_load_explicit(&image->capacity, memory_order_acquire);

    if (request->op < BP_BLOCK_READ || request->op > BP_BLOCK_WRITE_ZEROES ||
        (request->flags & ~allowed_flags(request->op)) != 0) {
        return -EINVAL;
    }
    if (request->op == BP_BLOCK_FLUSH) {
        return 0;
    }
    if (request->length == 0 || request->offset % IMAGE_SECTOR != 0 ||
        request->length % IMAGE_SECTOR != 0 || request->offset > capacity ||
        request->length > capacity - request->offset) {
        return -EINVAL;
    }
    if (request->op != BP_BLOCK_READ && image->readonly) {
        return -EROFS;
    }
    if (request->op == BP_BLOCK_READ || request->op == BP_BLOCK_WRITE) {
        return check_buffers(request);
    }
    return 0;
}

/* A guest may change the buffer while it is looked at: then it gets zeroes or what it wrote, as
 * with any write that races with its own buffer. */
static void
detect_zeroes(struct request *request, const struct image *image)
{
    if (image->detect_zeroes == DETECT_OFF || request->op != BP_BLOCK_WRITE ||
        (request->offset | request->length) % DETECT_GRAIN != 0 ||
        request_fallocate_mode(image, BP_BLOCK_WRITE_ZEROES, 0) < 0 ||
        !iov_is_zero(request->iov, request->iov_count)) {
        return;
    }
    request->op = BP_BLOCK_WRITE_ZEROES;
    request->flags |= image->detect_zeroes == DETECT_UNMAP ? BP_BLOCK_UNMAP : 0;
}

int
request_fallocate_mode(const struct image *image, uint32_t op, uint32_t flags)
{
    uint32_t unmap = op == BP_BLOCK_DISCARD || ((flags & BP_BLOCK_UNMAP) != 0 && image->discard);

    if (unmap && !image_lacks(image, IMAGE_LACKS_PUNCH)) {
        return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    }
    if (op == BP_BLOCK_WRITE_ZEROES && !image_lacks(image, IMAGE_LACKS_ZERO_RANGE)) {
        return FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
    }
    return -1;
}

uint32_t
request_fallocate_failed(struct image *image, uint32_t op, int mode, int32_t status)
{
    if (status == -EOPNOTSUPP || status == -ENOSYS || status == -ENODEV) {
        image_learn(image, (mode & FALLOC_FL_PUNCH_HOLE) != 0 ? IMAGE_LACKS_PUNCH
                                                              : IMAGE_LACKS_ZERO_RANGE);
        return 1;
    }
    /* A block device refuses what is no multiple of its blocks; others may do so, too. */
    return status == -EINVAL;
}

uint32_t
request_wants_dsync(const struct request *request, const struct image *image)
{
    return (request->flags & BP_BLOCK_FUA) != 0 && !image->dsync && !image->unsafe;
}

static uint32_t
has_aligned_buffers(const struct request *request, const struct image *image)
{
    return !image->direct ||
           (((request->offset | request->length) & (image->offset_align - 1)) == 0 &&
            iov_is_aligned(request->iov, request->iov_count, image->memory_align,
                           image->offset_align));
}

static uint32_t
plan_zeroes(struct request *request, const struct image *image)
{
    request->mode = request_fallocate_mode(image, request->op, request->flags);
    /* Neither O_DSYNC nor RWF_DSYNC makes fallocate() durable: that takes a second step. */
    if (request->mode < 0 || image->dsync ||
        ((request->flags & BP_BLOCK_FUA) != 0 && !image->unsafe) ||
        ((request->offset | request->length) & (image->logical_block - 1)) != 0) {
        return REQUEST_WAY_WORKER;
    }
    return REQUEST_WAY_KERNEL;
}

static uint32_t
plan_discard(struct request *request, const struct image *image)
{
    if (!image->discard) {
        request->status = 0; /* a hint: the description says not to take it */
        return REQUEST_WAY_DONE;
    }
    if (image_lacks(image, image->is_device ? IMAGE_LACKS_DISCARD : IMAGE_LACKS_PUNCH)) {
        request->status = -EOPNOTSUPP;
        return REQUEST_WAY_DONE;
    }
    request->mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return image->is_device ? REQUEST_WAY_WORKER : REQUEST_WAY_KERNEL; /* BLKDISCARD is an ioctl */
}

static uint32_t
plan_flush(struct request *request, const struct image *image)
{
    if (image->unsafe || image->readonly) {
        request->status = 0;
        return REQUEST_WAY_DONE;
    }
    if (atomic_load_explicit(&image->flush_broke, memory_order_relaxed)) {
        request->status = -EIO;
        return REQUEST_WAY_DONE;
    }
    return REQUEST_WAY_KERNEL;
}

uint32_t
request_plan(struct request *request, struct image *image)
{
    request->status = check(request, image);
    if (request->status != 0) {
        return REQUEST_WAY_DONE;
    }
    detect_zeroes(request, image);
    switch (request->op) {
    case BP_BLOCK_FLUSH:
        return plan_flush(request, image);
    case BP_BLOCK_DISCARD:
        return plan_discard(request, image);
    case BP_BLOCK_WRITE_ZEROES:
        return plan_zeroes(request, image);
    case BP_BLOCK_WRITE:
        if (request_wants_dsync(request, image) && image_lacks(image, IMAGE_LACKS_DSYNC)) {
            return REQUEST_WAY_WORKER;
        }
        break;
    default:
        break;
    }
    return has_aligned_buffers(request, image) ? REQUEST_WAY_KERNEL : REQUEST_WAY_WORKER;
}

uint32_t
request_range(struct request *request, const struct image *image)
{
    uint64_t block = image->offset_align;

    if (!image_tracks_writes(image) || request->op == BP_BLOCK_READ ||
        request->op == BP_BLOCK_FLUSH) {
        return 0;
    }
    request->range.start = request->offset / block * block;
    request->range.end = (request->offset + request->length + block - 1) / block * block;
    request->range.exclusive = request->range.start != request->offset ||
                               request->range.end != request->offset + request->length;
    return 1;
}
