/* SPDX-License-Identifier: Apache-2.0 */
/* A small virtio driver for tests on the fake core: split rings of up to 256 entries, legacy or
 * modern. */
#pragma once

#include <backplane/testhost.h>

#define DRIVER_QUEUES  40u
#define DRIVER_ENTRIES 256u
#define DRIVER_BUFFERS 0x800000u /* guest memory that tests may use from here on */

struct driver_queue {
    uint64_t gpa;
    uint32_t next; /* descriptor */
    uint16_t avail, used;
};

struct driver {
    struct th_host *th;
    struct bp_instance *device;
    uint32_t modern;
    uint32_t entries; /* of each queue */
    uint32_t bar, common, notify, notify_step, config;
    struct driver_queue queues[DRIVER_QUEUES];
};

struct piece {
    uint64_t gpa;
    uint32_t length;
    uint32_t in; /* the device writes it */
};

/* Finds the registers of a device that th_pci_place() has placed. */
void driver_init(struct driver *driver, struct th_host *th, struct bp_instance *device,
                 uint32_t modern);
uint64_t driver_offered(struct driver *driver);
/* Resets, negotiates, sets queues 0..queues-1 up, sets DRIVER_OK. Returns 0 if the device refused
 * the features. */
int driver_start(struct driver *driver, uint64_t features, uint32_t queues);
void driver_reset(struct driver *driver);
uint32_t driver_status(struct driver *driver);
uint32_t driver_config(struct driver *driver, uint32_t offset, uint32_t width);
/* Makes a chain available. Returns its id. */
uint32_t driver_add(struct driver *driver, uint32_t queue, const struct piece *pieces,
                    uint32_t count);
/* Notifies and runs the host. */
void driver_kick(struct driver *driver, uint32_t queue);
/* The next used chain. Returns 0 if there is none. */
int driver_used(struct driver *driver, uint32_t queue, uint32_t *id, uint32_t *length);
