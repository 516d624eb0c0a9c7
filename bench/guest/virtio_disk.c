/* SPDX-License-Identifier: Apache-2.0 */
/* What the virtio disks have in common: depth requests always in flight on one queue. */
#include "virtio.h"

static void
submit(const Case *c, VirtioQueue *queue, const VirtioDisk *disk, uint16_t id, uint64_t block)
{
    disk->prepare(id, block * (c->size / 512));
    virtio_submit(queue, id);
}

/* Asks for an interrupt at the next used entry, and looks once more before it sleeps (2.6.7.2). */
static int
wait_for_one(const Case *c, VirtioQueue *queue)
{
    int id;

    if (!c->interrupts) {
        relax();
        return -1;
    }
    queue->avail->ring[queue->size] = queue->used_idx;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    id = virtio_reap(queue);
    if (id < 0) {
        wait_interrupt();
    }
    return id;
}

void
virtio_disk_run(const Case *c, VirtioQueue *queue, const VirtioDisk *disk, uint64_t blocks)
{
    uint64_t submitted = 0;
    uint64_t ended = 0;

    for (; submitted < c->depth && submitted < c->count; submitted++) {
        submit(c, queue, disk, (uint16_t)submitted, case_block(c, submitted, blocks));
    }
    virtio_kick(queue);
    while (ended < c->count) {
        int id = virtio_reap(queue);

        if (id < 0) {
            id = wait_for_one(c, queue);
        }
        for (; id >= 0; id = virtio_reap(queue)) {
            if (disk->failed((uint16_t)id)) {
                fail("the disk reports an error");
            }
            ended++;
            if (submitted < c->count) {
                submit(c, queue, disk, (uint16_t)id, case_block(c, submitted++, blocks));
            }
        }
        virtio_kick(queue);
    }
}
