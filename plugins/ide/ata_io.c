/* SPDX-License-Identifier: Apache-2.0 */
/* A disk's way to its backend. */
#include "ata_disk.h"

#include <string.h>

static void
completed(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    struct ata_disk *disk = opaque;
    struct ata_io *io = &disk->io;

    for (uint32_t i = 0; i < count; i++) {
        if (!io->in_flight || completions[i].user != io->tag) {
            continue;
        }
        io->in_flight = 0;
        if (io->waited) {
            io->waited_status = completions[i].status;
        } else {
            ata_transfer_completed(disk, completions[i].status);
        }
    }
    if (!io->in_flight) {
        ide_settle(disk->device.ide);
    }
}

/* What the backend says about itself now. */
static int32_t
learn(struct ata_disk *disk, struct bp_block_info *info)
{
    struct ata_io *io = &disk->io;
    int32_t r;

    memset(info, 0, sizeof(*info));
    info->size = sizeof(*info);
    r = io->ops->info(io->self, info);
    if (r != 0) {
        return r;
    }
    io->sg.max =
        info->max_iov != 0 && info->max_iov < IDE_SG_PIECES ? info->max_iov : IDE_SG_PIECES;
    io->can_fua = (info->flags & BP_BLOCK_CAN_FUA) != 0;
    io->volatile_cache = (info->flags & BP_BLOCK_WRITE_CACHE) != 0;
    io->can_discard = (info->flags & BP_BLOCK_CAN_DISCARD) != 0;
    io->zero_discard = (info->flags & BP_BLOCK_CAN_ZERO_DISCARD) != 0;
    io->rotational = (info->flags & BP_BLOCK_ROTATIONAL) != 0;
    io->physical_size = info->physical_block_size;
    io->max_sectors = info->max_transfer / ATA_SECTOR;
    io->max_sectors = io->max_sectors != 0 ? io->max_sectors : ATA_BUFFER_SECTORS;
    io->max_discard = info->max_discard / ATA_SECTOR;
    return 0;
}

/* The backend was resized: IDENTIFY shows the new capacity. A host protected area stays in force as
 * long as it lies inside. */
static void
event(void *opaque, uint32_t what)
{
    struct ata_disk *disk = opaque;
    struct bp_block_info info;
    uint64_t before = disk->native_sectors;

    if (learn(disk, &info) != 0 || info.capacity < ATA_SECTOR) {
        return; /* requests will fail, and the policy says what becomes of them */
    }
    disk->capacity = info.capacity / ATA_SECTOR;
    disk->native_sectors = ata_dco_sectors(disk);
    if (disk->sectors == before || disk->sectors > disk->native_sectors) {
        disk->sectors = disk->native_sectors;
    }
    if (disk->kept_sectors == before || disk->kept_sectors > disk->native_sectors) {
        disk->kept_sectors = disk->native_sectors;
    }
}

static const struct bp_block_client client = {
    .size = sizeof(client),
    .complete = completed,
    .event = event,
};

int32_t
ata_io_open(struct ata_disk *disk, const struct bp_peer *peer)
{
    struct ata_io *io = &disk->io;
    const struct bp_block_queue_args args = {
        .size = sizeof(args),
        .depth = 2, /* one in flight; the next may be made while its completion is delivered */
        .loop = disk->device.ide->loop,
        .client = &client,
        .opaque = disk,
    };
    uint64_t before = disk->capacity;
    struct bp_block_info info;
    int32_t r;

    io->ops = peer->table;
    io->self = peer->self;
    r = learn(disk, &info);
    if (r != 0) {
        return r;
    }
    if (info.capacity < ATA_SECTOR || info.block_size > ATA_SECTOR) {
        return -EINVAL;
    }
    disk->capacity = info.capacity / ATA_SECTOR;
    if (disk->capacity != before) { /* another backend of that size is the same disk to the guest */
        disk->native_sectors = ata_dco_sectors(disk);
        disk->sectors = disk->kept_sectors = disk->native_sectors;
    }
    return io->ops->queue_open(io->self, &args, &io->queue);
}

int32_t
ata_io_read_first(struct ata_disk *disk)
{
    struct ata_io *io = &disk->io;
    int32_t r;

    io->buffer_iov = (struct bp_iovec){disk->buffer, ATA_SECTOR};
    io->waited = 1;
    io->waited_status = -EIO;
    r = ata_io_submit(disk, BP_BLOCK_READ, 0, 1, &io->buffer_iov, 1);
    if (r == 0) {
        io->ops->drain(io->self, io->queue);
        r = io->waited_status;
    }
    io->waited = 0;
    disk->transfer.op = 0;
    return r;
}

void
ata_io_close(struct ata_disk *disk)
{
    struct ata_io *io = &disk->io;

    if (io->queue != NULL) {
        io->ops->queue_close(io->self, io->queue);
    }
    io->queue = NULL;
    io->ops = NULL;
}

void
ata_io_cancel(struct ata_disk *disk)
{
    struct ata_io *io = &disk->io;

    if (io->in_flight && BP_HAS(io->ops, cancel)) {
        io->ops->cancel(io->self, io->queue, io->tag);
    }
}

int32_t
ata_io_submit(struct ata_disk *disk, uint32_t op, uint64_t lba, uint64_t sectors,
              struct bp_iovec *iov, uint32_t iov_count)
{
    struct ata_io *io = &disk->io;
    struct bp_block_request request = {
        .op = op,
        .offset = lba * ATA_SECTOR,
        .length = sectors * ATA_SECTOR,
        .iov = iov,
        .iov_count = iov_count,
    };

    if (io->queue == NULL) {
        return -EIO;
    }
    if (op == BP_BLOCK_WRITE && io->can_fua && (disk->transfer.flags & ATA_TF_FUA)) {
        request.flags = BP_BLOCK_FUA;
    }
    if (op == BP_BLOCK_WRITE_ZEROES && disk->options.discard) {
        request.flags = BP_BLOCK_UNMAP;
    }
    request.user = ++io->tag;
    disk->transfer.op = op;
    io->in_flight = 1;
    if (io->ops->submit(io->self, io->queue, &request, 1) != 1) {
        io->in_flight = 0;
        return -EIO;
    }
    return 0;
}
