/* SPDX-License-Identifier: Apache-2.0 */
/* What the host says about a file or device: statx(2), the block ioctls, and sysfs
 * (Documentation/ABI/stable/sysfs-block). */
#include "image.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MAX_BLOCK 65536u /* larger blocks than any device has */

int64_t
image_size(const struct image *image)
{
    struct stat status;
    uint64_t bytes;

    if (image->is_device) {
        if (ioctl(image->fd, BLKGETSIZE64, &bytes) < 0) {
            return -errno;
        }
        return bytes <= INT64_MAX ? (int64_t)bytes : -EFBIG;
    }
    return fstat(image->fd, &status) < 0 ? -errno : (int64_t)status.st_size;
}

static uint32_t
power_of_two(uint64_t value, uint32_t fallback)
{
    return value > 0 && value <= MAX_BLOCK && (value & (value - 1)) == 0 ? (uint32_t)value
                                                                         : fallback;
}

/* The first line of what sysfs has by this name for a disk. Returns 0 if there is none. */
static uint32_t
read_line(const char *directory, const char *name, char *line, uint32_t size)
{
    char path[PATH_MAX];
    FILE *file;
    uint32_t found;

    if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path)) {
        return 0;
    }
    file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    found = fgets(line, (int)size, file) != NULL;
    (void)fclose(file);
    return found;
}

/* The same for the disk that a device number belongs to: the disk itself, or the one a partition is
 * part of. There is none on btrfs, on NFS, in a sandbox. */
static uint32_t
disk_line(dev_t device, const char *name, char *line, uint32_t size)
{
    char directory[64];

    (void)snprintf(directory, sizeof(directory), "/sys/dev/block/%u:%u", major(device),
                   minor(device));
    if (read_line(directory, name, line, size)) {
        return 1;
    }
    (void)snprintf(directory, sizeof(directory), "/sys/dev/block/%u:%u/..", major(device),
                   minor(device));
    return read_line(directory, name, line, size);
}

/* UINT64_MAX if there is none. */
static uint64_t
queue_number(dev_t device, const char *name)
{
    char line[32], *end = line;
    uint64_t value = 0;

    if (disk_line(device, name, line, sizeof(line))) {
        value = strtoull(line, &end, 10);
    }
    return end != line ? value : UINT64_MAX;
}

/* An eMMC's registers (Documentation/driver-api/mmc/mmc-dev-attrs.rst), which Linux reads when it
 * finds the card: "0x01 0x02" and "0x01". */
uint32_t
image_parse_lifetime(const char *life, const char *pre_eol, struct bp_block_lifetime *ret_lifetime)
{
    unsigned int a, b, eol;

    // NOLINTNEXTLINE(cert-err34-c): what is larger is refused below
    if (sscanf(life, "0x%2x 0x%2x", &a, &b) != 2 || sscanf(pre_eol, "0x%2x", &eol) != 1 || a > 11 ||
        b > 11 || eol > 3 || (a | b | eol) == 0) {
        return 0; /* all 0: an old card, which does not tell */
    }
    *ret_lifetime = (struct bp_block_lifetime){
        .pre_eol = (uint16_t)eol, .used_a = (uint16_t)a, .used_b = (uint16_t)b};
    return 1;
}

static void
probe_lifetime(struct image *image, dev_t device)
{
    char life[32], pre_eol[32];

    image->has_lifetime = disk_line(device, "device/life_time", life, sizeof(life)) &&
                          disk_line(device, "device/pre_eol_info", pre_eol, sizeof(pre_eol)) &&
                          image_parse_lifetime(life, pre_eol, &image->lifetime);
}

/* The host's kernel fails writes that are not at a zone's write pointer. */
static int32_t
check_zones(const struct image *image, dev_t device)
{
    char line[32];

    if (!image->readonly && disk_line(device, "queue/zoned", line, sizeof(line)) &&
        strncmp(line, "host-managed", strlen("host-managed")) == 0) {
        return image_fail(image, -EINVAL, "path",
                          "'%s' is a zoned device, which cannot be written in any order: put "
                          "dm-zoned over it, or set readonly = true",
                          image->path);
    }
    return 0;
}

/* Direct I/O of a file on a kernel before 6.1: the smallest read that is not refused. */
static uint32_t
try_direct_reads(const struct image *image)
{
    uint32_t align;
    void *memory;

    if (posix_memalign(&memory, 4096, 4096) != 0) {
        return 4096;
    }
    for (align = IMAGE_SECTOR; align < 4096; align *= 2) {
        if (pread(image->fd, memory, align, 0) >= 0) {
            break;
        }
    }
    free(memory);
    return align;
}

/* What the kernel says about direct I/O, since 6.1 for files, 6.11 for devices. Returns 0, -EINVAL:
 * it says that there is none, -ENOTSUP: it does not say. */
static int32_t
ask_direct(struct image *image)
{
#ifdef STATX_DIOALIGN
    struct statx status;

    memset(&status, 0, sizeof(status));
    if (statx(image->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) != 0 ||
        (status.stx_mask & STATX_DIOALIGN) == 0) {
        return -ENOTSUP;
    }
    if (status.stx_dio_offset_align == 0) {
        return -EINVAL;
    }
    image->offset_align = power_of_two(status.stx_dio_offset_align, 4096);
    image->memory_align = power_of_two(status.stx_dio_mem_align, 4096);
    return 0;
#else
    return -ENOTSUP;
#endif
}

/* Returns 0, or -EINVAL: no direct I/O. */
static int32_t
probe_direct(struct image *image)
{
    int32_t result = ask_direct(image);

    if (result == -ENOTSUP) {
        image->offset_align = image->is_device ? image->logical_block : try_direct_reads(image);
        image->memory_align = image->offset_align;
        result = 0;
    }
    if (image->offset_align < IMAGE_SECTOR) {
        image->offset_align = IMAGE_SECTOR; /* requests are never smaller */
    }
    return result;
}

static void
probe_device(struct image *image, dev_t device)
{
    unsigned int physical = 0, optimal = 0;
    int logical = 0;
    uint64_t grain;

    (void)ioctl(image->fd, BLKSSZGET, &logical);
    (void)ioctl(image->fd, BLKPBSZGET, &physical);
    (void)ioctl(image->fd, BLKIOOPT, &optimal);
    image->logical_block = power_of_two((uint64_t)(logical > 0 ? logical : 0), IMAGE_SECTOR);
    image->physical_block = power_of_two(physical, image->logical_block);
    image->optimal_io = optimal;
    grain = queue_number(device, "queue/discard_granularity");
    image->discard_granularity = grain <= UINT32_MAX ? (uint32_t)grain : 0;
    probe_lifetime(image, device);
}

static void
probe_file(struct image *image, const struct stat *status)
{
    uint64_t block = status->st_blksize > 0 ? (uint64_t)status->st_blksize : IMAGE_SECTOR;

    /* The page cache works in pages even where the file system says that it likes larger pieces. */
    block = block < 4096 ? block : 4096;
    image->logical_block = 1;
    image->physical_block = power_of_two(block, 4096);
    image->optimal_io = 0;
    image->discard_granularity = image->physical_block;
}

static int32_t
apply_options(struct image *image, dev_t device)
{
    const char *rotational = image_text(image, "rotational");
    uint64_t block = image_number(image, "physical_block_size");

    if (block != 0) {
        if (block < IMAGE_SECTOR || power_of_two(block, 0) == 0) {
            return image_fail(image, -EINVAL, "physical_block_size",
                              "physical_block_size must be a power of two from 512 to 65536, not "
                              "%" PRIu64,
                              block);
        }
        image->physical_block = (uint32_t)block;
    }
    if (strcmp(rotational, "auto") == 0) {
        image->rotational = queue_number(device, "queue/rotational") == 1;
    } else {
        image->rotational = strcmp(rotational, "on") == 0;
    }
    return 0;
}

static int32_t
check_writable(const struct image *image)
{
    int readonly = 0;

    if (image->is_device && !image->readonly && ioctl(image->fd, BLKROGET, &readonly) == 0 &&
        readonly) {
        return image_fail(image, -EROFS, "path", "'%s' is a read-only device: set readonly = true",
                          image->path);
    }
    return 0;
}

int32_t
image_probe(struct image *image)
{
    struct stat status;
    int32_t result = check_writable(image);

    if (result != 0) {
        return result;
    }
    if (fstat(image->fd, &status) < 0) {
        return image_fail(image, -errno, "path", "cannot ask about '%s'", image->path);
    }
    if (image->is_device) {
        result = check_zones(image, status.st_rdev);
        if (result != 0) {
            return result;
        }
        probe_device(image, status.st_rdev);
    } else {
        probe_file(image, &status);
    }
    image->offset_align = 1;
    image->memory_align = 1;
    if (image->direct && probe_direct(image) != 0) {
        return image_fail(image, -EINVAL, "cache",
                          "'%s' cannot be read and written directly: set cache = \"writeback\"",
                          image->path);
    }
    if (image->physical_block < image->offset_align) {
        image->physical_block = image->offset_align;
    }
    return apply_options(image, image->is_device ? status.st_rdev : status.st_dev);
}
