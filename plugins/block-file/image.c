/* SPDX-License-Identifier: Apache-2.0 */
#include "image.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 1024 /* what bp_fail() shows */

int32_t
image_fail(const struct image *image, int32_t code, const char *option, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return bp_fail(image->services, code, bp_option(image->services, image->options, option), "%s",
                   text);
}

const char *
image_text(const struct image *image, const char *option)
{
    return bp_option_str(image->services, image->options, option, "");
}

uint64_t
image_number(const struct image *image, const char *option)
{
    return bp_option_u64(image->services, image->options, option, 0);
}

static uint64_t
round_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) / to * to;
}

static void
read_options(struct image *image)
{
    const char *cache = image_text(image, "cache");
    const char *detect = image_text(image, "detect_zeroes");

    image->path = image_text(image, "path");
    image->readonly = bp_option_bool(image->services, image->options, "readonly", 0);
    image->direct = strcmp(cache, "none") == 0 || strcmp(cache, "directsync") == 0;
    image->dsync = strcmp(cache, "writethrough") == 0 || strcmp(cache, "directsync") == 0;
    image->unsafe = strcmp(cache, "unsafe") == 0;
    image->discard = strcmp(image_text(image, "discard"), "unmap") == 0;
    image->detect_zeroes = strcmp(detect, "unmap") == 0 ? DETECT_UNMAP
                           : strcmp(detect, "on") == 0  ? DETECT_ON
                                                        : DETECT_OFF;
}

static uint32_t
open_flags(const struct image *image)
{
    uint32_t flags = BP_OPEN_READ;

    if (!image->readonly) {
        flags |= BP_OPEN_WRITE;
    }
    if (image->direct) {
        flags |= BP_OPEN_DIRECT;
    }
    if (image->dsync && !image->readonly) {
        flags |= BP_OPEN_DSYNC;
    }
    return flags;
}

static int32_t
tell_open_error(const struct image *image, int32_t code)
{
    const char *path = image->path;

    switch (code) {
    case -ENOENT:
        return image_fail(
            image, code, "path",
            "there is no '%s': make it with truncate or qemu-img, or give its size in "
            "create",
            path);
    case -EISDIR:
        return image_fail(image, code, "path", "'%s' is a directory, not an image", path);
    case -EACCES:
    case -EPERM:
        return image_fail(
            image, code, "path",
            image->readonly
                ? "no permission to read '%s'"
                : "no permission to write '%s': change its mode, or set readonly = true",
            path);
    case -EROFS:
        return image_fail(image, code, "path",
                          "'%s' cannot be written, it lies on a read-only file system: set "
                          "readonly = true",
                          path);
    case -EINVAL:
        if (image->direct) {
            return image_fail(image, code, "cache",
                              "'%s' lies on a file system without direct I/O: set cache = "
                              "\"writeback\"",
                              path);
        }
        break;
    default:
        break;
    }
    return image_fail(image, code, "path", "cannot open '%s': %s", path, strerror(-code));
}

/* Opens; a missing file is made if the description gives its size. */
static int32_t
open_file(struct image *image, uint32_t *ret_made)
{
    const struct bp_core_host *core = image->services->core;
    struct bp_instance *instance = image->services->instance;
    uint32_t flags = open_flags(image);
    int32_t fd = core->open(instance, image->path, flags);

    if (fd == -ENOENT && !image->readonly && image_number(image, "create") > 0) {
        fd = core->open(instance, image->path, flags | BP_OPEN_CREATE);
        *ret_made = fd >= 0;
    }
    if (fd < 0) {
        return tell_open_error(image, fd);
    }
    image->fd = fd;
    return 0;
}

static int32_t
check_kind(struct image *image)
{
    struct stat status;

    if (fstat(image->fd, &status) < 0) {
        int32_t code = -errno;
        return image_fail(image, code, "path", "cannot ask about '%s': %s", image->path,
                          strerror(-code));
    }
    if (S_ISDIR(status.st_mode)) {
        return tell_open_error(image, -EISDIR);
    }
    image->is_device = S_ISBLK(status.st_mode);
    if (!image->is_device && !S_ISREG(status.st_mode)) {
        return image_fail(image, -EINVAL, "path",
                          "'%s' is neither a regular file nor a block device", image->path);
    }
    return 0;
}

/* The file is ours, locked, and new: gives it its size.
 * Someone who was faster may have filled it. */
static int32_t
fill_new_file(struct image *image)
{
    uint64_t wanted = round_up(image_number(image, "create"), IMAGE_SECTOR);

    if (image_size(image) != 0) {
        return 0;
    }
    if (ftruncate(image->fd, (off_t)wanted) < 0) {
        int32_t code = -errno;
        (void)unlink(image->path);
        return image_fail(image, code, "create", "cannot make '%s' %" PRIu64 " bytes long: %s",
                          image->path, wanted, strerror(-code));
    }
    bp_log(image->services, BP_LOG_INFO, "made '%s', %" PRIu64 " bytes", image->path, wanted);
    return 0;
}

static int32_t
measure(struct image *image)
{
    int64_t size = image_size(image);

    if (size < 0) {
        return image_fail(image, (int32_t)size, "path", "cannot tell the size of '%s': %s",
                          image->path, strerror((int)-size));
    }
    if (size == 0 && image->is_device) {
        return image_fail(image, -ENOMEDIUM, "path", "there is no medium in '%s'", image->path);
    }
    if (size == 0) {
        return image_fail(image, -EINVAL, "path",
                          "'%s' is empty: give it a size, e.g. with truncate -s 1G", image->path);
    }
    atomic_store(&image->capacity, round_up((uint64_t)size, IMAGE_SECTOR));
    return 0;
}

int32_t
image_open(struct image *image, const struct bp_services *services, const struct bp_node *options)
{
    uint32_t made = 0;
    int32_t result;

    image->services = services;
    image->options = options;
    image->fd = -1;
    range_table_init(&image->ranges);
    read_options(image);
    result = open_file(image, &made);
    if (result == 0) {
        result = check_kind(image);
    }
    if (result == 0) {
        result = image_lock(image);
    }
    if (result == 0 && made) {
        result = fill_new_file(image);
    }
    if (result == 0) {
        result = measure(image);
    }
    if (result == 0) {
        result = image_probe(image);
    }
    if (result != 0) {
        image_close(image);
    }
    return result;
}

/* Whole blocks written at the end may have made the file longer than what the guest sees. */
static void
trim(const struct image *image)
{
    uint64_t capacity = atomic_load(&image->capacity);

    if (!image->is_device && atomic_load(&image->overgrown) &&
        image_size(image) > (int64_t)capacity && ftruncate(image->fd, (off_t)capacity) < 0) {
        bp_log(image->services, BP_LOG_WARN, "cannot cut '%s' back to %" PRIu64 " bytes: %s",
               image->path, capacity, strerror(errno));
    }
}

void
image_close(struct image *image)
{
    if (image->fd >= 0) {
        trim(image);
        image_unlock(image);
        (void)close(image->fd);
        image->fd = -1;
    }
    range_table_done(&image->ranges);
}

void
image_info(const struct image *image, struct bp_block_info *info)
{
    uint32_t flags = BP_BLOCK_CAN_FUA;

    if (image->readonly) {
        flags |= BP_BLOCK_READONLY;
    } else {
        flags |= image->is_device ? 0 : BP_BLOCK_CAN_RESIZE;
        flags |= image_lacks(image, IMAGE_LACKS_ZERO_RANGE) ? 0 : BP_BLOCK_CAN_ZERO;
        flags |= image->dsync ? 0 : BP_BLOCK_WRITE_CACHE;
    }
    if (image->discard && image->discard_granularity != 0 && !image->readonly &&
        !image_lacks(image, image->is_device ? IMAGE_LACKS_DISCARD : IMAGE_LACKS_PUNCH)) {
        flags |= BP_BLOCK_CAN_DISCARD;
        flags |= image->is_device ? 0 : BP_BLOCK_CAN_ZERO_DISCARD;
        info->discard_granularity = image->discard_granularity;
        info->max_discard = IMAGE_MAX_DISCARD;
    }
    flags |= image->rotational ? BP_BLOCK_ROTATIONAL : 0;
    if (image->has_lifetime) {
        flags |= BP_BLOCK_HAS_LIFETIME;
        info->lifetime = image->lifetime;
    }
    info->flags = flags;
    info->capacity = atomic_load_explicit(&image->capacity, memory_order_acquire);
    info->block_size = IMAGE_SECTOR;
    info->physical_block_size = image->physical_block;
    info->optimal_io_size = image->optimal_io;
    info->buffer_alignment = image->memory_align;
    info->max_transfer = IMAGE_MAX_TRANSFER;
    info->max_iov = IMAGE_MAX_IOV;
}

/* A device has the size it has: take it over, and see whether it is the wanted one. */
static int32_t
resize_device(struct image *image, uint64_t wanted, uint32_t *ret_changed)
{
    int64_t size = image_size(image);
    uint64_t now;

    if (size < 0) {
        return (int32_t)size;
    }
    now = (uint64_t)size / IMAGE_SECTOR * IMAGE_SECTOR;
    *ret_changed = atomic_exchange(&image->capacity, now) != now;
    return now == wanted ? 0 : -EINVAL;
}

int32_t
image_resize(struct image *image, uint64_t capacity, uint32_t *ret_changed)
{
    *ret_changed = 0;
    if (image->readonly) {
        return -EROFS;
    }
    if (capacity == 0 || capacity % IMAGE_SECTOR != 0 || capacity > INT64_MAX) {
        return -EINVAL;
    }
    if (image->is_device) {
        return resize_device(image, capacity, ret_changed);
    }
    if (ftruncate(image->fd, (off_t)capacity) < 0) {
        return errno == EFBIG ? -ENOSPC : -errno;
    }
    *ret_changed = atomic_exchange(&image->capacity, capacity) != capacity;
    return 0;
}

int32_t
image_flush_result(struct image *image, int32_t result)
{
    if (result == 0 || result == -EINTR || result == -ECANCELED) {
        return result;
    }
    /* The kernel reports a lost page once and forgets it: the next fdatasync would say that all is
     * well. Data that only the page cache held is gone, so no flush may succeed any more. */
    if (!image->direct && atomic_exchange(&image->flush_broke, 1) == 0) {
        bp_log(image->services, BP_LOG_ERROR,
               "flushing '%s' failed: %s; data the guest wrote may be lost, so every flush fails "
               "until the image is opened again",
               image->path, strerror(-result));
    }
    return result;
}

int32_t
image_flush(struct image *image)
{
    int32_t result;

    if (image->unsafe || image->readonly) {
        return 0;
    }
    if (atomic_load_explicit(&image->flush_broke, memory_order_relaxed)) {
        return -EIO;
    }
    do {
        result = fdatasync(image->fd) < 0 ? -errno : 0;
    } while (result == -EINTR);
    return image_flush_result(image, result);
}
