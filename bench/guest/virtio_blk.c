/* SPDX-License-Identifier: Apache-2.0 */
/* The first virtio-blk function: depth requests always in flight on queue 0. */
#include "virtio.h"

#define VENDOR_DEVICE_TRANSITIONAL 0x10011af4u
#define VENDOR_DEVICE_MODERN       0x10421af4u
#define SECTOR                     512u
#define BLK_T_IN                   0u
#define BLK_T_OUT                  1u

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
submit(const Case *c, VirtioQueue *queue, uint16_t id, uint64_t i, uint64_t blocks)
{
    headers[id].sector = case_block(c, i, blocks) * (c->size / SECTOR);
    states[id] = 0xff;
    virtio_submit(queue, id);
}

static void
run(const Case *c, VirtioQueue *queue, uint64_t blocks)
{
    uint64_t submitted = 0;
    uint64_t ended = 0;

    while (submitted < c->depth && submitted < c->count) {
        submit(c, queue, (uint16_t)submitted, submitted, blocks);
        submitted++;
    }
    virtio_kick(queue);
    while (ended < c->count) {
        int id = virtio_reap(queue);

        if (id < 0) {
            relax();
            continue;
        }
        for (; id >= 0; id = virtio_reap(queue)) {
            if (states[id] != 0) {
                fail("the disk reports an error");
            }
            ended++;
            if (submitted < c->count) {
                submit(c, queue, (uint16_t)id, submitted++, blocks);
            }
        }
        virtio_kick(queue);
    }
}

void
virtio_blk(const Case *c)
{
    VirtioPci pci = {.common = NULL};
    VirtioQueue queue;
    uint32_t function = pci_find(VENDOR_DEVICE_TRANSITIONAL, 0);

    if (function == PCI_NONE) {
        function = pci_find(VENDOR_DEVICE_MODERN, 0);
    }
    if (function == PCI_NONE) {
        fail("no virtio-blk function");
    }
    virtio_start(&pci, function, 0);
    virtio_queue_start(&pci, &queue, 0);
    virtio_ready(&pci);
    if (c->depth == 0 || c->depth > queue.size || c->size == 0 || c->size % SECTOR != 0) {
        fail("virtio-blk: a depth up to the queue's size, a size of whole sectors");
    }
    uint64_t blocks = *(volatile uint64_t *)pci.device * SECTOR / c->size;
    fill_tables(c, &queue);
    say_start("virtio-blk");
    run(c, &queue, blocks);
    say_end();
    virtio_reset(&pci);
}
