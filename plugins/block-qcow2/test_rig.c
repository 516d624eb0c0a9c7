/* SPDX-License-Identifier: Apache-2.0 */
#include "test_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RING 8192u

/* A write that a power failure may undo. */
struct unflushed {
    struct unflushed *next;
    const struct file_queue *queue;
    uint64_t user, offset, length;
    uint64_t flush; /* the flush that covers it; 0: none yet */
    uint32_t completed;
    uint8_t before[];
};

struct file_queue {
    struct file_queue *next;
    struct file_disk *disk;
    struct bp_block_client client;
    void *opaque;
    struct bp_block_completion done[RING];
    uint64_t flush[RING]; /* number of the flush that ends there; 0: another request */
    uint32_t count;
    uint32_t coming;
};

static int32_t
file_info(void *self, struct bp_block_info *info)
{
    struct file_disk *disk = self;
    struct stat status;
    struct bp_block_info full = {.size = sizeof(full)};

    (void)fstat(disk->fd, &status);
    full.capacity = ((uint64_t)status.st_size + 511) & ~UINT64_C(511);
    full.block_size = 512;
    full.physical_block_size = 512;
    full.max_transfer = 1 << 20;
    full.max_iov = 128;
    full.flags = BP_BLOCK_WRITE_CACHE |
                 (disk->readonly ? BP_BLOCK_READONLY : BP_BLOCK_CAN_RESIZE | BP_BLOCK_CAN_DISCARD);
    full.max_discard = 1 << 20;
    full.discard_granularity = 512;
    bp_block_info_copy(info, &full);
    return 0;
}

static int32_t
file_open(void *self, const struct bp_block_queue_args *args, void **ret_queue)
{
    struct file_disk *disk = self;
    struct file_queue *queue = calloc(1, sizeof(*queue));

    queue->disk = disk;
    queue->client = *args->client;
    queue->opaque = args->opaque;
    *ret_queue = queue;
    return 0;
}

static void
remember(struct file_disk *disk, const struct file_queue *queue,
         const struct bp_block_request *request)
{
    struct unflushed *made = calloc(1, sizeof(*made) + request->length);

    made->queue = queue;
    made->user = request->user;
    made->offset = request->offset;
    made->length = request->length;
    made->next = disk->unflushed;
    disk->unflushed = made;
    if (pread(disk->fd, made->before, request->length, (off_t)request->offset) < 0) {
        abort();
    }
}

/* A flush covers the writes that had completed when it was submitted. */
static uint64_t
begin_flush(struct file_disk *disk)
{
    struct unflushed *write;

    disk->flushes++;
    for (write = disk->unflushed; write != NULL; write = write->next) {
        if (write->completed && write->flush == 0) {
            write->flush = disk->flushes;
        }
    }
    return disk->flushes;
}

static void
completed(struct file_disk *disk, const struct file_queue *queue, uint64_t user, uint64_t flush)
{
    struct unflushed **link = &disk->unflushed;

    while (*link != NULL) {
        struct unflushed *write = *link;

        if (flush == 0 && write->queue == queue && write->user == user) {
            write->completed = 1;
        }
        if (flush != 0 && write->flush != 0 && write->flush <= flush) {
            *link = write->next;
            free(write);
        } else {
            link = &write->next;
        }
    }
}

static void
file_deliver(void *opaque)
{
    struct file_queue *queue = opaque;

    queue->coming = 0;
    while (queue->count > 0) {
        /* Not in the order of submission. */
        struct bp_block_completion completion =
            queue->done[queue->count > 1 && (random() & 1) ? queue->count - 1 : 0];
        uint32_t i;

        for (i = 0; queue->done[i].user != completion.user; i++) {
        }
        completed(queue->disk, queue, completion.user, queue->flush[i]);
        queue->done[i] = queue->done[--queue->count];
        queue->flush[i] = queue->flush[queue->count];
        queue->client.complete(queue->opaque, &completion, 1);
    }
}

static int32_t
discard(struct file_disk *disk, const struct bp_block_request *request)
{
    uint8_t garbage[512];
    uint64_t i;

    memset(garbage, 0xdb, sizeof(garbage));
    disk->discarded += request->length;
    for (i = 0; i < request->length; i += sizeof(garbage)) {
        if (pwrite(disk->fd, garbage, sizeof(garbage), (off_t)(request->offset + i)) < 0) {
            return -errno;
        }
    }
    return 0;
}

static int32_t
transfer(struct file_disk *disk, const struct bp_block_request *request)
{
    uint64_t offset = request->offset;
    uint32_t i;

    if (request->op == BP_BLOCK_DISCARD) {
        return discard(disk, request);
    }

    for (i = 0; i < request->iov_count; i++) {
        const struct bp_iovec *iov = &request->iov[i];

        if (request->op == BP_BLOCK_READ) {
            memset(iov->base, 0, iov->length);
            if (pread(disk->fd, iov->base, iov->length, (off_t)offset) < 0) {
                return -errno;
            }
        } else if (pwrite(disk->fd, iov->base, iov->length, (off_t)offset) !=
                   (ssize_t)iov->length) {
            return -EIO;
        }
        offset += iov->length;
    }
    return 0;
}

static int32_t
file_submit(void *self, void *opaque, const struct bp_block_request *requests, uint32_t count)
{
    struct file_disk *disk = self;
    struct file_queue *queue = opaque;
    struct bp_block_info info = {.size = sizeof(info)};
    uint32_t i;

    (void)file_info(disk, &info);
    for (i = 0; i < count; i++) {
        struct bp_block_completion *completion = &queue->done[queue->count];

        queue->flush[queue->count++] = requests[i].op == BP_BLOCK_FLUSH ? begin_flush(disk) : 0;
        completion->user = requests[i].user;
        completion->flags = 0;
        completion->status = bp_block_check(&requests[i], &info);
        if (requests[i].op == BP_BLOCK_WRITE && requests[i].offset == 0 && disk->fail_header > 0 &&
            --disk->fail_header == 0) {
            completion->status = -EIO;
        }
        if (disk->is_volatile && requests[i].op == BP_BLOCK_WRITE && completion->status == 0) {
            remember(disk, queue, &requests[i]);
        }
        if (completion->status == 0 && requests[i].op != BP_BLOCK_FLUSH) {
            completion->status = transfer(disk, &requests[i]);
        }
    }
    if (disk->interrupt_in > 0 && --disk->interrupt_in == 0) {
        disk->interrupt(disk->opaque);
    }
    if (!queue->coming) {
        queue->coming = 1;
        if (disk->image->services.loop->defer(disk->user, 0, file_deliver, queue) != 0) {
            abort();
        }
    }
    return (int32_t)count;
}

static void
file_drain(void *self, void *opaque)
{
    file_deliver(opaque);
}

/* A deferred call may still come: the memory goes with the rig. */
static void
file_close(void *self, void *opaque)
{
    struct file_disk *disk = self;
    struct file_queue *queue = opaque;

    queue->next = disk->closed;
    disk->closed = queue;
}

static int32_t
file_resize(void *self, uint64_t capacity)
{
    const struct file_disk *disk = self;

    return ftruncate(disk->fd, (off_t)capacity) < 0 ? -errno : 0;
}

static const struct bp_block_ops file_ops = {
    .size = sizeof(file_ops),
    .info = file_info,
    .queue_open = file_open,
    .queue_close = file_close,
    .submit = file_submit,
    .drain = file_drain,
    .resize = file_resize,
};

static void
load_backing(struct rig *rig, const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &status) < 0) {
        abort();
    }
    rig->backing = th_block_new(rig->th, "backing", (uint64_t)status.st_size);
    if (read(fd, th_block_data(rig->backing), (size_t)status.st_size) != status.st_size) {
        abort();
    }
    (void)close(fd);
}

int32_t
rig_open(struct rig *rig, const char *path, const char *options, const char *backing)
{
    char text[512];
    struct bp_peer peer = {.size = sizeof(peer), .id = "file", .interface_id = BP_BLOCK_ID};
    const struct bp_life_ops *life;

    memset(rig, 0, sizeof(*rig));
    rig->th = th_new();
    rig->file.ops = file_ops;
    rig->file.fd = open(path, O_RDWR | O_CLOEXEC);
    if (rig->file.fd < 0) {
        abort();
    }
    if (backing != NULL) {
        load_backing(rig, backing);
    }
    (void)snprintf(text, sizeof(text), "file = \"file\"; %s %s",
                   backing != NULL ? "backing = \"backing\";" : "", options);
    rig->qcow2 = th_create(rig->th, &backplane_plugin_v1, NULL, "qcow2", text);
    if (rig->qcow2 == NULL) {
        (void)fprintf(stderr, "%s\n", th_error_text(rig->th));
        abort();
    }
    rig->file.user = rig->qcow2;
    rig->file.image = th_self(rig->qcow2);
    peer.table = &rig->file.ops;
    peer.self = &rig->file;
    life = th_table(rig->qcow2, BP_LIFE_ID);
    if (life->attach(th_self(rig->qcow2), SLOT_FILE, 0, &peer) != 0 ||
        (backing != NULL && th_attach(rig->qcow2, SLOT_BACKING, 0, "backing") != 0)) {
        abort();
    }
    if (th_realize(rig->qcow2) != 0) {
        return th_status(rig->th);
    }
    th_start(rig->qcow2);
    rig->ops = th_table(rig->qcow2, BP_BLOCK_ID);
    rig->queue = th_queue_open(rig->qcow2, 64);
    return rig->queue != NULL ? 0 : -EIO;
}

/* Newest first: a sector that keeps a write keeps it, whatever was there before. */
void
rig_power_failure(struct rig *rig, const char *path)
{
    const struct unflushed *write;
    struct stat status;
    int from = rig->file.fd, to = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint8_t *kept, sector[512];
    off_t offset = 0;

    if (to < 0 || fstat(from, &status) < 0 || ftruncate(to, status.st_size) < 0) {
        abort();
    }
    kept = calloc(1, (size_t)status.st_size / 512 + 1);
    while ((offset = lseek(from, offset, SEEK_DATA)) >= 0) {
        off_t end = lseek(from, offset, SEEK_HOLE);

        for (; offset < end; offset += 512) {
            if (pread(from, sector, 512, offset) < 0 || pwrite(to, sector, 512, offset) != 512) {
                abort();
            }
        }
    }
    for (write = rig->file.unflushed; write != NULL; write = write->next) {
        uint64_t i;

        for (i = 0; i < write->length; i += 512) {
            uint64_t at = write->offset + i;

            kept[at / 512] |= (uint8_t)(random() & 1);
            if (!kept[at / 512] && pwrite(to, write->before + i, 512, (off_t)at) != 512) {
                abort();
            }
        }
    }
    free(kept);
    (void)close(to);
}

void
rig_close(struct rig *rig)
{
    const struct bp_life_ops *life = th_table(rig->qcow2, BP_LIFE_ID);

    if (rig->queue != NULL) {
        th_queue_close(rig->queue);
    }
    life->detach(th_self(rig->qcow2), SLOT_FILE, 0);
    th_free(rig->th);
    while (rig->file.closed != NULL) {
        struct file_queue *queue = rig->file.closed;
        rig->file.closed = queue->next;
        free(queue);
    }
    while (rig->file.unflushed != NULL) {
        struct unflushed *write = rig->file.unflushed;
        rig->file.unflushed = write->next;
        free(write);
    }
    (void)close(rig->file.fd);
}
