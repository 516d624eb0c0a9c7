/* SPDX-License-Identifier: Apache-2.0 */
/* Requests carried out step by step with ordinary system calls: everything the fast way of io_uring
 * leaves over, and all requests of the thread engine. */
#include "iov.h"
#include "request.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WINDOW 64u /* buffers in one system call */

static uint64_t
min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* One preadv or pwritev. Returns the bytes, or a negative errno. */
static int64_t
transfer(const struct image *image, const struct iovec *iov, uint32_t count, uint64_t offset,
         uint32_t is_write, int flags)
{
    ssize_t done;

    do {
        done = is_write ? pwritev2(image->fd, iov, (int)count, (off_t)offset, flags)
                        : preadv(image->fd, iov, (int)count, (off_t)offset);
    } while (done < 0 && errno == EINTR);
    return done < 0 ? -errno : done;
}

/* Behind the end of the file everything reads as zeroes. With direct I/O a file can only end where
 * a read stopped between blocks, and going on from there would not be aligned. */
static uint32_t
is_end(const struct image *image, int64_t done)
{
    return done == 0 || (image->direct && ((uint64_t)done & (image->offset_align - 1)) != 0);
}

static int32_t
read_in_place(const struct request *request, const struct image *image)
{
    struct iov_cursor cursor = {request->iov, request->iov_count, 0};
    uint64_t position = request->offset, left = request->length;
    struct iovec window[WINDOW];

    while (left > 0) {
        uint32_t count = iov_window(&cursor, window, WINDOW);
        int64_t done = transfer(image, window, count, position, 0, 0);

        if (done < 0) {
            return (int32_t)done;
        }
        iov_skip(&cursor, (uint64_t)done);
        position += (uint64_t)done;
        left -= (uint64_t)done;
        if (is_end(image, done)) {
            iov_zero(&cursor, left);
            return 0;
        }
    }
    return 0;
}

static int32_t
write_in_place(const struct request *request, const struct image *image, int flags)
{
    struct iov_cursor cursor = {request->iov, request->iov_count, 0};
    uint64_t position = request->offset, left = request->length;
    struct iovec window[WINDOW];

    while (left > 0) {
        uint32_t count = iov_window(&cursor, window, WINDOW);
        int64_t done = transfer(image, window, count, position, 1, flags);

        if (done <= 0) {
            return done < 0 ? (int32_t)done : -EIO;
        }
        iov_skip(&cursor, (uint64_t)done);
        position += (uint64_t)done;
        left -= (uint64_t)done;
    }
    return 0;
}

/* Reads whole blocks into memory of ours; what the file does not have is zero. */
static int32_t
read_blocks(const struct image *image, uint8_t *memory, uint64_t length, uint64_t offset)
{
    while (length > 0) {
        struct iovec iov = {memory, length};
        int64_t done = transfer(image, &iov, 1, offset, 0, 0);

        if (done < 0) {
            return (int32_t)done;
        }
        memory += done;
        offset += (uint64_t)done;
        length -= (uint64_t)done;
        if (is_end(image, done)) {
            memset(memory, 0, length);
            return 0;
        }
    }
    return 0;
}

static int32_t
write_blocks(struct image *image, const uint8_t *memory, uint64_t length, uint64_t offset)
{
    if (offset + length > atomic_load(&image->capacity)) {
        atomic_store(&image->overgrown, 1);
    }
    while (length > 0) {
        struct iovec iov = {(void *)(uintptr_t)memory, length};
        int64_t done = transfer(image, &iov, 1, offset, 1, 0);

        if (done <= 0) {
            return done < 0 ? (int32_t)done : -EIO;
        }
        memory += done;
        offset += (uint64_t)done;
        length -= (uint64_t)done;
    }
    return 0;
}

/* A piece of a request as it lies in the host's blocks. */
struct piece {
    uint64_t start, end;             /* of the request's bytes */
    uint64_t block_start, block_end; /* of the blocks around them */
};

static struct piece
next_piece(const struct request *request, const struct image *image, const struct bounce *bounce,
           uint64_t position)
{
    uint64_t block = image->offset_align, end = request->offset + request->length;
    struct piece piece;

    piece.start = position;
    piece.block_start = position / block * block;
    piece.end = min_u64(end, piece.block_start + bounce->length);
    piece.block_end = (piece.end + block - 1) / block * block;
    return piece;
}

static int32_t
read_bounced(const struct request *request, const struct image *image, const struct bounce *bounce)
{
    struct iov_cursor cursor = {request->iov, request->iov_count, 0};
    uint64_t position = request->offset, end = position + request->length;

    while (position < end) {
        struct piece piece = next_piece(request, image, bounce, position);
        int32_t status = request_is_cancelled(request) ? -ECANCELED : 0;

        if (status == 0) {
            status = read_blocks(image, bounce->memory, piece.block_end - piece.block_start,
                                 piece.block_start);
        }
        if (status != 0) {
            return status;
        }
        iov_put(&cursor, bounce->memory + (piece.start - piece.block_start),
                piece.end - piece.start);
        position = piece.end;
    }
    return 0;
}

/* Fills the parts of the outermost blocks that the piece leaves alone with what is there. */
static int32_t
read_edges(const struct image *image, const struct bounce *bounce, const struct piece *piece)
{
    uint64_t block = image->offset_align, last = piece->block_end - block;
    int32_t status = 0;

    if (piece->start != piece->block_start ||
        (piece->end != piece->block_end && last == piece->block_start)) {
        status = read_blocks(image, bounce->memory, block, piece->block_start);
    }
    if (status == 0 && piece->end != piece->block_end && last != piece->block_start) {
        status = read_blocks(image, bounce->memory + (last - piece->block_start), block, last);
    }
    return status;
}

/* Writes through a copy; zeroes if cursor is NULL. The caller holds the range. */
static int32_t
write_bounced(const struct request *request, struct image *image, const struct bounce *bounce,
              struct iov_cursor *cursor)
{
    uint64_t position = request->offset, end = position + request->length;

    while (position < end) {
        struct piece piece = next_piece(request, image, bounce, position);
        uint8_t *data = bounce->memory + (piece.start - piece.block_start);
        int32_t status = request_is_cancelled(request) ? -ECANCELED : 0;

        if (status == 0) {
            status = read_edges(image, bounce, &piece);
        }
        if (status != 0) {
            return status;
        }
        if (cursor != NULL) {
            iov_get(cursor, data, piece.end - piece.start);
        } else {
            memset(data, 0, piece.end - piece.start);
        }
        status = write_blocks(image, bounce->memory, piece.block_end - piece.block_start,
                              piece.block_start);
        if (status != 0) {
            return status;
        }
        position = piece.end;
    }
    return 0;
}

static uint32_t
is_aligned(const struct request *request, const struct image *image)
{
    return ((request->offset | request->length) & (image->offset_align - 1)) == 0 &&
           iov_is_aligned(request->iov, request->iov_count, image->memory_align,
                          image->offset_align);
}

static int32_t
run_read(const struct request *request, const struct image *image, const struct bounce *bounce)
{
    int32_t status = -EINVAL;

    if (is_aligned(request, image)) {
        status = read_in_place(request, image);
    }
    /* Also when the host turns out to want more alignment than it said. */
    return status == -EINVAL ? read_bounced(request, image, bounce) : status;
}

/* FUA by RWF_DSYNC, or where the file system has none, by a flush behind the write. */
static int32_t
run_write(const struct request *request, struct image *image, const struct bounce *bounce)
{
    uint32_t wants_dsync = request_wants_dsync(request, image);
    int flags = wants_dsync && !image_lacks(image, IMAGE_LACKS_DSYNC) ? RWF_DSYNC : 0;
    int32_t status = -EINVAL;

    if (is_aligned(request, image)) {
        status = write_in_place(request, image, flags);
        if (status == -EOPNOTSUPP && flags != 0) {
            image_learn(image, IMAGE_LACKS_DSYNC);
            flags = 0;
            status = write_in_place(request, image, flags);
        }
    }
    if (status == -EINVAL) {
        struct iov_cursor cursor = {request->iov, request->iov_count, 0};

        flags = 0;
        status = write_bounced(request, image, bounce, &cursor);
    }
    return status == 0 && wants_dsync && flags == 0 ? image_flush(image) : status;
}

static int32_t
call_fallocate(const struct request *request, const struct image *image, int mode)
{
    int32_t status;

    do {
        status = fallocate(image->fd, mode, (off_t)request->offset, (off_t)request->length) < 0
                     ? -errno
                     : 0;
    } while (status == -EINTR && !request_is_cancelled(request));
    return status == -EINTR ? -ECANCELED : status;
}

/* Zeroes on a file system that can make holes but not zero ranges (tmpfs, NFS): a hole, and then
 * room in it again, as the request does not allow it to stay one. */
static int32_t
zero_by_hole(const struct request *request, struct image *image)
{
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    int32_t status;

    if (image->is_device || image_lacks(image, IMAGE_LACKS_PUNCH)) {
        return -EOPNOTSUPP;
    }
    status = call_fallocate(request, image, mode);
    if (status != 0) {
        return request_fallocate_failed(image, request->op, mode, status) ? -EOPNOTSUPP : status;
    }
    return call_fallocate(request, image, FALLOC_FL_KEEP_SIZE);
}

static int32_t
run_zeroes(const struct request *request, struct image *image, const struct bounce *bounce)
{
    int32_t status = -EOPNOTSUPP;
    uint32_t tries;

    for (tries = 0; tries < 2 && status == -EOPNOTSUPP; tries++) {
        int mode = request_fallocate_mode(image, request->op, request->flags);

        if (mode < 0) {
            break;
        }
        status = call_fallocate(request, image, mode);
        if (status < 0 && request_fallocate_failed(image, request->op, mode, status)) {
            status = -EOPNOTSUPP;
        }
    }
    if (status == -EOPNOTSUPP) {
        status = zero_by_hole(request, image);
    }
    if (status == -EOPNOTSUPP) {
        status = write_bounced(request, image, bounce, NULL);
    }
    if (status == 0 && (image->dsync || (request->flags & BP_BLOCK_FUA) != 0)) {
        status = image_flush(image);
    }
    return status;
}

/* A device discards whole blocks; what sticks out at the ends stays, as a discard may do less. */
static int32_t
discard_device(const struct request *request, struct image *image)
{
    uint64_t block = image->logical_block;
    uint64_t start = (request->offset + block - 1) / block * block;
    uint64_t end = (request->offset + request->length) / block * block;
    uint64_t range[2] = {start, end - start};
    int32_t status;

    if (end <= start) {
        return 0;
    }
    do {
        status = ioctl(image->fd, BLKDISCARD, range) < 0 ? -errno : 0;
    } while (status == -EINTR && !request_is_cancelled(request));
    if (status == -EOPNOTSUPP || status == -ENOTTY || status == -ENOSYS) {
        image_learn(image, IMAGE_LACKS_DISCARD);
        return -EOPNOTSUPP;
    }
    return status == -EINTR ? -ECANCELED : status;
}

static int32_t
discard_file(const struct request *request, struct image *image)
{
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    int32_t status = call_fallocate(request, image, mode);

    if (status < 0 && request_fallocate_failed(image, request->op, mode, status)) {
        return -EOPNOTSUPP;
    }
    return status;
}

static int32_t
run(const struct request *request, struct image *image, const struct bounce *bounce)
{
    switch (request->op) {
    case BP_BLOCK_READ:
        return run_read(request, image, bounce);
    case BP_BLOCK_WRITE:
        return run_write(request, image, bounce);
    case BP_BLOCK_WRITE_ZEROES:
        return run_zeroes(request, image, bounce);
    case BP_BLOCK_DISCARD:
        return image->is_device ? discard_device(request, image) : discard_file(request, image);
    default:
        return image_flush(image);
    }
}

int32_t
request_run(struct request *request, struct image *image, const struct bounce *bounce)
{
    int32_t status;

    if (request_is_cancelled(request)) {
        return -ECANCELED;
    }
    if (!request_range(request, image)) {
        return run(request, image, bounce);
    }
    range_wait(&image->ranges, &request->range);
    status = request_is_cancelled(request) ? -ECANCELED : run(request, image, bounce);
    range_drop(&image->ranges, &request->range);
    return status;
}
