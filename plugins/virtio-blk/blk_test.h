/* SPDX-License-Identifier: Apache-2.0 */
/* A driver for the tests: it drives the device by its registers and rings, as a guest would. */
#pragma once

#include "virtio_blk.h"

#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants these before it */
#include <cmocka.h>

#define DISK_BYTES (8u << 20)

#define QUEUE_GPA(n) (0x100000u + (n)*0x20000u)
#define HEADERS_GPA  0x300000u
#define TABLES_GPA   0x340000u
#define STATUS_GPA   0x380000u
#define DATA_GPA     0x400000u
#define RIG_QUEUES   4u
#define RIG_MAX_SIZE 256u

#define COMMON(offset) (0x0000u + (offset))
#define ISR_OFFSET     0x1000u
#define CONFIG(offset) (0x2000u + (offset))
#define NOTIFY(queue)  (0x3000u + 4u * (queue))

#define VERSION_1 BP_VIRTIO_F_VERSION_1
#define INDIRECT  BP_VIRTIO_F_INDIRECT_DESC
#define EVENT_IDX BP_VIRTIO_F_EVENT_IDX
#define PACKED    BP_VIRTIO_F_RING_PACKED
#define IN_ORDER  BP_VIRTIO_F_IN_ORDER

struct buffer {
    uint64_t gpa;
    uint32_t length;
    uint32_t write;
};

struct driver_queue {
    uint32_t size;
    uint64_t desc, avail, used;
    uint16_t next_desc; /* split: descriptors are handed out in turn; packed: position */
    uint16_t avail_index;
    uint16_t used_index;
    uint8_t wrap, used_wrap;
    uint16_t lengths[RIG_MAX_SIZE]; /* packed: descriptors of buffer id */
};

struct rig {
    struct th_host *th;
    struct th_block *disk;
    struct bp_instance *dev;
    uint64_t features;
    uint32_t legacy;
    uint32_t indirect; /* chains go through a table */
    uint32_t silent;   /* no notification after an add */
    uint32_t next_slot;
    struct driver_queue q[RIG_QUEUES];
};

void rig_plug(struct rig *rig, const char *options);
void rig_free(struct rig *rig);

/* Registers of BAR 1; of the legacy BAR. */
uint64_t get(struct rig *rig, uint32_t offset, uint32_t width);
void put(struct rig *rig, uint32_t offset, uint32_t width, uint64_t value);
uint64_t in(struct rig *rig, uint32_t offset, uint32_t width);
void out(struct rig *rig, uint32_t offset, uint32_t width, uint64_t value);

uint64_t offered(struct rig *rig);
/* Reset to FEATURES_OK with these features (VERSION_1 is added). Returns whether it stuck. */
uint32_t negotiate(struct rig *rig, uint64_t features);
/* One queue with its rings empty, before DRIVER_OK. */
void set_up_queue(struct rig *rig, uint32_t queue, uint32_t size);
void driver_ok(struct rig *rig);
/* All of it: features, `queues` queues of `size`, DRIVER_OK. */
void bring_up(struct rig *rig, uint64_t features, uint32_t queues, uint32_t size);
void bring_up_legacy(struct rig *rig, uint32_t features);
uint32_t status(struct rig *rig);

/* Offers a chain and notifies. Returns its id. */
uint32_t add(struct rig *rig, uint32_t queue, const struct buffer *buffers, uint32_t count);
void notify(struct rig *rig, uint32_t queue);
/* The next used entry: 1 with its id and length, or 0. */
uint32_t used(struct rig *rig, uint32_t queue, uint32_t *id, uint32_t *length);

/* Header, data, status byte as three buffers; length with TO_GUEST if the device writes the data.
 * Returns the slot of header and status. */
#define TO_GUEST 0x80000000u
uint32_t send(struct rig *rig, uint32_t queue, uint32_t type, uint64_t sector, uint64_t gpa,
              uint32_t length);
uint8_t status_of(struct rig *rig, uint32_t slot);
/* Sends one, runs, and checks that it is used. Returns its status byte. */
uint8_t transfer(struct rig *rig, uint32_t type, uint64_t sector, uint64_t gpa, uint32_t length,
                 uint32_t write);
/* Raw access to a split ring; flags_next: flags | next << 16. */
void write_desc(struct rig *rig, uint32_t queue, uint32_t index, uint64_t gpa, uint32_t length,
                uint32_t flags_next);
void offer(struct rig *rig, uint32_t queue, uint16_t head);
