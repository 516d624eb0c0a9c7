/* SPDX-License-Identifier: Apache-2.0 */
/* The first virtio-scsi function (virtio 1.1, 5.6): target 0, LUN 0, on the first request queue. */
#include "virtio.h"

#define VENDOR_DEVICE_TRANSITIONAL 0x10041af4u
#define VENDOR_DEVICE_MODERN       0x10481af4u
#define REQUEST_QUEUE              2
#define SECTOR                     512u
#define TEST_UNIT_READY            0x00
#define READ_CAPACITY_10           0x25
#define READ_10                    0x28
#define WRITE_10                   0x2a
#define CAPACITY_BYTES             8
#define ATTENTIONS_MAX             8 /* unit attentions that a fresh unit may have to tell */

typedef struct {
    uint8_t lun[8];
    uint64_t tag;
    uint8_t task_attr, priority, crn;
    uint8_t cdb[32];
} __attribute__((packed)) ScsiRequest;

typedef struct {
    uint32_t sense_length, residual;
    uint16_t status_qualifier;
    uint8_t status, response;
    uint8_t sense[96];
} __attribute__((packed)) ScsiResponse;

static ScsiRequest requests[VIRTIO_QUEUE_MAX];
static volatile ScsiResponse responses[VIRTIO_QUEUE_MAX];
static volatile uint8_t capacity[CAPACITY_BYTES];

static void
put_big_endian(uint8_t *to, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        to[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

static void
fill_table(VirtioQueue *queue, uint16_t id, uint8_t operation, uint64_t data, uint32_t size,
           bool write)
{
    VirtioDesc response = {(uintptr_t)&responses[id], sizeof(responses[id]), VIRTIO_DESC_WRITE, 0};
    VirtioDesc buffer = {data, size, write ? 0 : VIRTIO_DESC_WRITE, 0};
    VirtioDesc *table = queue->tables[id];

    requests[id] = (ScsiRequest){.lun = {1, 0, 0x40}, .tag = id, .cdb = {operation}};
    table[0] = (VirtioDesc){(uintptr_t)&requests[id], sizeof(requests[id]), VIRTIO_DESC_NEXT, 1};
    table[1] = write || size == 0 ? buffer : response;
    table[2] = write || size == 0 ? response : buffer;
    if (size == 0) {
        table[1] = response;
    } else {
        table[1].flags |= VIRTIO_DESC_NEXT;
        table[1].next = 2;
    }
    queue->desc[id].length = (size == 0 ? 2 : 3) * (uint32_t)sizeof(VirtioDesc);
}

static void
prepare(uint16_t id, uint64_t sector)
{
    put_big_endian(&requests[id].cdb[2], (uint32_t)sector);
    responses[id].response = responses[id].status = 0xff;
}

static bool
failed(uint16_t id)
{
    return responses[id].response != 0 || responses[id].status != 0;
}

/* One command by itself; polled. */
static bool
command(VirtioQueue *queue, uint8_t operation, uint64_t data, uint32_t size)
{
    fill_table(queue, 0, operation, data, size, false);
    responses[0].response = responses[0].status = 0xff;
    virtio_submit(queue, 0);
    virtio_kick(queue);
    while (virtio_reap(queue) < 0) {
        relax();
    }
    return !failed(0);
}

static uint64_t
read_capacity(VirtioQueue *queue)
{
    uint64_t last = 0;

    for (unsigned i = 0; i < ATTENTIONS_MAX && !command(queue, TEST_UNIT_READY, 0, 0); i++) {
    }
    if (!command(queue, READ_CAPACITY_10, (uintptr_t)capacity, sizeof(capacity))) {
        fail("READ CAPACITY");
    }
    for (unsigned i = 0; i < 4; i++) {
        last = last << 8 | capacity[i];
    }
    return last + 1;
}

static void
fill_tables(const Case *c, VirtioQueue *queue)
{
    for (uint32_t i = 0; i < c->depth; i++) {
        fill_table(queue, (uint16_t)i, c->write ? WRITE_10 : READ_10,
                   BUFFERS_ADDRESS + (uint64_t)i * c->size, c->size, c->write);
        requests[i].cdb[7] = (uint8_t)(c->size / SECTOR >> 8);
        requests[i].cdb[8] = (uint8_t)(c->size / SECTOR);
    }
}

void
virtio_scsi(const Case *c)
{
    static const VirtioDisk disk = {prepare, failed};
    VirtioPci pci = {.interrupts = c->interrupts};
    VirtioQueue queue;

    virtio_start(&pci, virtio_find(VENDOR_DEVICE_TRANSITIONAL, VENDOR_DEVICE_MODERN), 0);
    virtio_queue_start(&pci, &queue, REQUEST_QUEUE);
    virtio_ready(&pci);
    if (c->depth == 0 || c->depth > queue.size || c->size == 0 || c->size % SECTOR != 0) {
        fail("virtio-scsi: a depth up to the queue's size, a size of whole sectors");
    }
    uint64_t blocks = read_capacity(&queue) * SECTOR / c->size;
    fill_tables(c, &queue);
    say_start("virtio-scsi");
    virtio_disk_run(c, &queue, &disk, blocks);
    say_end();
    virtio_reset(&pci);
}
