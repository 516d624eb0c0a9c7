/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio.h"

#define CAP_VENDOR       0x09
#define CAP_COMMON       1u
#define CAP_NOTIFY       2u
#define CAP_DEVICE       4u
#define COMMON_DF_SELECT 0x00
#define COMMON_DF        0x04
#define COMMON_GF_SELECT 0x08
#define COMMON_GF        0x0c
#define COMMON_STATUS    0x14
#define COMMON_Q_SELECT  0x16
#define COMMON_Q_SIZE    0x18
#define COMMON_Q_VECTOR  0x1a
#define COMMON_Q_ENABLE  0x1c
#define COMMON_Q_NOTIFY  0x1e
#define COMMON_Q_DESC    0x20
#define COMMON_Q_DRIVER  0x28
#define COMMON_Q_DEVICE  0x30
#define STATUS_ACK       1u
#define STATUS_DRIVER    2u
#define STATUS_DRIVER_OK 4u
#define STATUS_FEATURES  8u
#define F_INDIRECT_DESC  (1u << 28)
#define F_EVENT_IDX      (1u << 29)
#define F_VERSION_1      (1u << 0) /* in the second word */

typedef struct {
    VirtioDesc descs[VIRTIO_QUEUE_MAX] __attribute__((aligned(4096)));
    VirtioAvail avail __attribute__((aligned(4096)));
    VirtioUsed used __attribute__((aligned(4096)));
    VirtioDesc tables[VIRTIO_QUEUE_MAX][VIRTIO_PIECES] __attribute__((aligned(4096)));
} QueueMemory;

static QueueMemory memory[VIRTIO_QUEUES];

static void
put8(VirtioPci *pci, unsigned offset, uint8_t value)
{
    *(pci->common + offset) = value;
}

static void
put16(VirtioPci *pci, unsigned offset, uint16_t value)
{
    *(volatile uint16_t *)(pci->common + offset) = value;
}

static void
put32(VirtioPci *pci, unsigned offset, uint32_t value)
{
    *(volatile uint32_t *)(pci->common + offset) = value;
}

static void
put_address(VirtioPci *pci, unsigned offset, const volatile void *address)
{
    put32(pci, offset, (uint32_t)(uintptr_t)address);
    put32(pci, offset + 4, 0);
}

static uint16_t
get16(VirtioPci *pci, unsigned offset)
{
    return *(volatile uint16_t *)(pci->common + offset);
}

static uint32_t
get32(VirtioPci *pci, unsigned offset)
{
    return *(volatile uint32_t *)(pci->common + offset);
}

static void
find_capabilities(VirtioPci *pci, uint32_t function)
{
    for (unsigned at = pci_read(function, 0x34) & 0xfc; at != 0;) {
        uint32_t head = pci_read(function, at);

        if ((head & 0xff) == CAP_VENDOR) {
            unsigned bar = pci_read(function, at + 4) & 0xff;
            unsigned type = head >> 24;
            volatile uint8_t *base =
                type <= CAP_DEVICE && bar < 6
                    ? (volatile uint8_t *)(uintptr_t)(pci_bar(function, bar) +
                                                      pci_read(function, at + 8))
                    : NULL;

            if (type == CAP_COMMON) {
                pci->common = base;
            } else if (type == CAP_NOTIFY) {
                pci->notify = base;
                pci->notify_multiplier = pci_read(function, at + 16);
            } else if (type == CAP_DEVICE) {
                pci->device = base;
            }
        }
        at = head >> 8 & 0xfc;
    }
    if (pci->common == NULL || pci->notify == NULL) {
        fail("not a modern virtio function");
    }
}

void
virtio_reset(VirtioPci *pci)
{
    put8(pci, COMMON_STATUS, 0);
    while (*(pci->common + COMMON_STATUS) != 0) {
        relax();
    }
}

void
virtio_start(VirtioPci *pci, uint32_t function, uint32_t wanted)
{
    const uint32_t must = F_INDIRECT_DESC | F_EVENT_IDX;

    pci_enable(function);
    if (pci->interrupts) {
        pci_enable_message(function);
    }
    find_capabilities(pci, function);
    virtio_reset(pci);
    put8(pci, COMMON_STATUS, STATUS_ACK | STATUS_DRIVER);
    put32(pci, COMMON_DF_SELECT, 0);
    uint32_t offered = get32(pci, COMMON_DF);
    if ((offered & must) != must) {
        fail("no indirect descriptors or event index");
    }
    put32(pci, COMMON_GF_SELECT, 0);
    put32(pci, COMMON_GF, must | (offered & wanted));
    put32(pci, COMMON_GF_SELECT, 1);
    put32(pci, COMMON_GF, F_VERSION_1);
    put8(pci, COMMON_STATUS, STATUS_ACK | STATUS_DRIVER | STATUS_FEATURES);
    if (!(*(pci->common + COMMON_STATUS) & STATUS_FEATURES)) {
        fail("features refused");
    }
}

uint32_t
virtio_find(uint32_t transitional, uint32_t modern)
{
    uint32_t function = pci_find(transitional, 0);

    if (function == PCI_NONE) {
        function = pci_find(modern, 0);
    }
    if (function == PCI_NONE) {
        fail("no such virtio function");
    }
    return function;
}

void
virtio_queue_start(VirtioPci *pci, VirtioQueue *queue, uint16_t index)
{
    QueueMemory *m = &memory[index];

    put16(pci, COMMON_Q_SELECT, index);
    uint16_t size = get16(pci, COMMON_Q_SIZE);
    *queue = (VirtioQueue){
        .size = size < VIRTIO_QUEUE_MAX ? size : VIRTIO_QUEUE_MAX,
        .index = index,
        .desc = m->descs,
        .avail = &m->avail,
        .used = &m->used,
        .tables = m->tables,
    };
    m->avail.idx = m->used.idx = 0;
    m->avail.flags = 0;
    m->avail.ring[queue->size] = 0x8000; /* no interrupt is wanted */
    for (uint16_t i = 0; i < queue->size; i++) {
        m->descs[i] = (VirtioDesc){.address = (uintptr_t)m->tables[i],
                                   .length = sizeof(m->tables[i]),
                                   .flags = VIRTIO_DESC_INDIRECT};
    }
    put16(pci, COMMON_Q_SIZE, queue->size);
    put_address(pci, COMMON_Q_DESC, m->descs);
    put_address(pci, COMMON_Q_DRIVER, &m->avail);
    put_address(pci, COMMON_Q_DEVICE, &m->used);
    queue->doorbell =
        (volatile uint16_t *)(pci->notify + get16(pci, COMMON_Q_NOTIFY) * pci->notify_multiplier);
    if (pci->interrupts) {
        put16(pci, COMMON_Q_VECTOR, 0);
    }
    put16(pci, COMMON_Q_ENABLE, 1);
}

void
virtio_ready(VirtioPci *pci)
{
    put8(pci, COMMON_STATUS, STATUS_ACK | STATUS_DRIVER | STATUS_FEATURES | STATUS_DRIVER_OK);
}
