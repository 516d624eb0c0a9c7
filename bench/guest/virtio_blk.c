/* SPDX-License-Identifier: Apache-2.0 */
/* The first virtio-blk function (virtio 1.1, 5.2), queue 0. */
#include "virtio.h"

#define VENDOR_DEVICE_TRANSITIONAL 0x10011af4u
#define VENDOR_DEVICE_MODERN       0x10421af4u
#define SECTOR                     512u
#define BLK_T_IN                   0u
#define BLK_T_OUT                  1u
#define BLK_S_NONE                 0xff
#define BLK_F_FLUSH                (1u << 9) /* without it each write is stable at its end */

typedef struct {
    uint32_t type, reserved;
    uint64_t sector;
} BlkHeader;

static BlkHeader headers[VIRTIO_QUEUE_MAX];
static volatile uint8_t states[VIRTIO_QUEUE_MAX];

static void
fill_tables(const Case *c, VirtioQueue *queue)
{
    for (uint32_t i = 0; i < c->depth; i++) {
        uint16_t data = c->write ? 0 : VIRTIO_DESC_WRITE;

        headers[i] = (BlkHeader){.type = c->write ? BLK_T_OUT : BLK_T_IN};
        queue->tables[i][0] =
            (VirtioDesc){(uintptr_t)&headers[i], sizeof(headers[i]), VIRTIO_DESC_NEXT, 1};
        queue->tables[i][1] = (VirtioDesc){BUFFERS_ADDRESS + (uint64_t)i * c->size, c->size,
                                           (uint16_t)(data | VIRTIO_DESC_NEXT), 2};
        queue->tables[i][2] = (VirtioDesc){(uintptr_t)&states[i], 1, VIRTIO_DESC_WRITE, 0};
    }
}

static void
prepare(uint16_t id, uint64_t sector)
{
    headers[id].sector = sector;
    states[id] = BLK_S_NONE;
}

static bool
failed(uint16_t id)
{
    return states[id] != 0;
}

void
virtio_blk(const Case *c)
{
    static const VirtioDisk disk = {prepare, failed};
    VirtioPci pci = {.interrupts = c->interrupts};
    VirtioQueue queue;

    virtio_start(&pci, virtio_find(VENDOR_DEVICE_TRANSITIONAL, VENDOR_DEVICE_MODERN), BLK_F_FLUSH);
    virtio_queue_start(&pci, &queue, 0);
    virtio_ready(&pci);
    if (c->depth == 0 || c->depth > queue.size || c->size == 0 || c->size % SECTOR != 0) {
        fail("virtio-blk: a depth up to the queue's size, a size of whole sectors");
    }
    uint64_t blocks = *(volatile uint64_t *)pci.device * SECTOR / c->size;
    fill_tables(c, &queue);
    say_start("virtio-blk");
    virtio_disk_run(c, &queue, &disk, blocks);
    say_end();
    virtio_reset(&pci);
}
