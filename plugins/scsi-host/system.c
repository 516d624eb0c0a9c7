/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side: Documentation/scsi/scsi-generic.rst of the Linux kernel (version 3 of the
 * interface), which block devices of SCSI disks and drives have, too. */
#include "host.h"

#include <backplane/sdk/bits.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <scsi/sg.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SG_VERSION_3 30000
#define SECTOR       512u

/* struct bp_iovec is what readv() and SG_IO take: two words, of the same meaning. */
_Static_assert(sizeof(struct bp_iovec) == sizeof(struct iovec) &&
                   offsetof(struct bp_iovec, base) == offsetof(struct iovec, iov_base) &&
                   offsetof(struct bp_iovec, length) == offsetof(struct iovec, iov_len),
               "a list of pieces is the host's");

static const struct iovec *
as_iovec(const struct bp_iovec *iov)
{
    return (const struct iovec *)(const void *)iov;
}

static int32_t
look_at_block_device(struct host_device *device)
{
    unsigned short sectors = 0; /* its width is the interface's */
    int block_size = 0;
    uint64_t bytes = 0;

    if (ioctl(device->fd, BLKSSZGET, &block_size) != 0 || block_size <= 0) {
        return -errno;
    }
    /* a drive without a medium has no size: everything goes to it by SG_IO */
    if (ioctl(device->fd, BLKGETSIZE64, &bytes) != 0) {
        bytes = 0;
    }
    if (ioctl(device->fd, BLKSECTGET, &sectors) == 0 && sectors != 0) {
        device->max_bytes = bp_min_u32(sectors * SECTOR, HOST_MAX_BYTES);
    }
    device->is_block = 1;
    device->block_size = (uint32_t)block_size;
    device->blocks = bytes / device->block_size;
    /* SG_IO and the block path must see the same data */
    return fcntl(device->fd, F_SETFL, fcntl(device->fd, F_GETFL) | O_DIRECT) == 0 ? 0 : -errno;
}

int32_t
host_look(struct host_device *device)
{
    struct stat status;
    int version = 0;
    int bytes = 0;

    if (fstat(device->fd, &status) != 0) {
        return -errno;
    }
    if (ioctl(device->fd, SG_GET_VERSION_NUM, &version) != 0 || version < SG_VERSION_3) {
        return -ENOTTY;
    }
    device->max_bytes = HOST_MAX_BYTES;
    if (S_ISBLK(status.st_mode)) {
        return look_at_block_device(device);
    }
    if (ioctl(device->fd, BLKSECTGET, &bytes) == 0 && bytes > 0) {
        device->max_bytes = bp_min_u32((uint32_t)bytes, HOST_MAX_BYTES);
    }
    return 0;
}

int32_t
host_sg_io(const struct host_device *device, struct host_io *io)
{
    sg_io_hdr_t header = {
        .interface_id = 'S',
        .dxfer_direction = io->direction == HOST_IN    ? SG_DXFER_FROM_DEV
                           : io->direction == HOST_OUT ? SG_DXFER_TO_DEV
                                                       : SG_DXFER_NONE,
        .cmd_len = (unsigned char)io->cdb_length,
        .mx_sb_len = HOST_SENSE,
        .iovec_count = (unsigned short)io->iov_count,
        .dxfer_len = (unsigned int)io->length,
        .dxferp = (void *)(uintptr_t)io->iov,
        .cmdp = (unsigned char *)(uintptr_t)io->cdb,
        .sbp = io->sense,
        .timeout = io->timeout_ms,
    };

    if (ioctl(device->fd, SG_IO, &header) != 0) {
        return -errno;
    }
    io->status = header.status;
    io->transport = header.host_status;
    io->sense_length = header.sb_len_wr;
    io->residual = header.resid > 0 ? bp_min_u64((uint64_t)header.resid, io->length) : 0;
    return 0;
}

int32_t
host_transfer(const struct host_device *device, const struct host_range *range,
              const struct bp_iovec *iov, uint32_t count)
{
    ssize_t n;

    if (count > IOV_MAX) {
        return -EINVAL;
    }
    n = range->out ? pwritev2(device->fd, as_iovec(iov), (int)count, (off_t)range->offset,
                              range->stable ? RWF_DSYNC : 0)
                   : preadv2(device->fd, as_iovec(iov), (int)count, (off_t)range->offset, 0);
    if (n < 0) {
        return -errno;
    }
    return (uint64_t)n == range->length ? 0 : -EIO;
}

int32_t
host_reset(const struct host_device *device)
{
    int what = SG_SCSI_RESET_DEVICE;

    return ioctl(device->fd, SG_SCSI_RESET, &what) == 0 ? 0 : -errno;
}
