/* SPDX-License-Identifier: Apache-2.0 */
/* Split virtqueues of a modern virtio-pci function (virtio 1.1, 2.6 and 4.1). A request is
 * one descriptor: an indirect one, or what the driver makes of it. */
#pragma once

#include "guest.h"

#define VIRTIO_QUEUE_MAX 256u
#define VIRTIO_PIECES    3u
#define VIRTIO_QUEUES    3u

typedef struct {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
} VirtioDesc;

#define VIRTIO_DESC_NEXT     1u
#define VIRTIO_DESC_WRITE    2u
#define VIRTIO_DESC_INDIRECT 4u

typedef struct {
    volatile uint16_t flags, idx;
    volatile uint16_t ring[VIRTIO_QUEUE_MAX];
    volatile uint16_t used_event_max; /* where used_event is when the queue has its largest size */
} VirtioAvail;

typedef struct {
    volatile uint16_t flags, idx;
    struct {
        volatile uint32_t id, length;
    } ring[VIRTIO_QUEUE_MAX];
    volatile uint16_t avail_event_max;
} VirtioUsed;

typedef struct {
    uint16_t size, index;
    uint16_t avail_idx, kicked_idx, used_idx;
    volatile uint16_t *doorbell;
    VirtioDesc *desc;
    VirtioAvail *avail;
    VirtioUsed *used;
    VirtioDesc (*tables)[VIRTIO_PIECES]; /* of each ring entry */
} VirtioQueue;

typedef struct {
    volatile uint8_t *common, *notify, *device;
    uint32_t notify_multiplier;
    bool interrupts; /* message 0 is on */
} VirtioPci;

/* Finds the function, resets it, agrees on VERSION_1, INDIRECT_DESC, EVENT_IDX and wanted. */
void virtio_start(VirtioPci *pci, uint32_t function, uint32_t wanted);
/* Finds the first function of either id. */
uint32_t virtio_find(uint32_t transitional, uint32_t modern);
/* Sets queue index up, below VIRTIO_QUEUES. */
void virtio_queue_start(VirtioPci *pci, VirtioQueue *queue, uint16_t index);
void virtio_ready(VirtioPci *pci);
void virtio_reset(VirtioPci *pci);

/* Publishes entry id, whose table is filled. */
static inline void
virtio_submit(VirtioQueue *queue, uint16_t id)
{
    queue->avail->ring[queue->avail_idx % queue->size] = id;
    queue->avail_idx++;
    __atomic_store_n(&queue->avail->idx, queue->avail_idx, __ATOMIC_RELEASE);
}

/* Rings the doorbell if the device wants it for what was submitted since the last time (2.6.7.2).
 */
static inline void
virtio_kick(VirtioQueue *queue)
{
    const volatile uint16_t *event = (const volatile uint16_t *)&queue->used->ring[queue->size];

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint16_t published = (uint16_t)(queue->avail_idx - queue->kicked_idx);
    if ((uint16_t)(queue->avail_idx - *event - 1) < published) {
        *queue->doorbell = queue->index;
    }
    queue->kicked_idx = queue->avail_idx;
}

/* The next entry that the device is done with, or -1. */
static inline int
virtio_reap(VirtioQueue *queue)
{
    if (__atomic_load_n(&queue->used->idx, __ATOMIC_ACQUIRE) == queue->used_idx) {
        return -1;
    }
    int id = (int)queue->used->ring[queue->used_idx % queue->size].id;
    queue->used_idx++;
    /* Far ahead: no interrupt is wanted. */
    queue->avail->ring[queue->size] = (uint16_t)(queue->used_idx + 0x8000);
    return id;
}

/* A disk's driver: fills request id for a block, and looks at what came of it. */
typedef struct {
    void (*prepare)(uint16_t id, uint64_t block);
    bool (*failed)(uint16_t id);
} VirtioDisk;

/* virtio_disk.c: keeps depth requests in flight until the case is done. */
void virtio_disk_run(const Case *c, VirtioQueue *queue, const VirtioDisk *disk, uint64_t blocks);
