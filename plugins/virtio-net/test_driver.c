/* SPDX-License-Identifier: Apache-2.0 */
/* See test_driver.h. Reference: virtio 1.2, 2.7, 4.1. */
#include "test_driver.h"

#include <backplane/sdk/bits.h>

#include <string.h>

#define RINGS_GPA 0x100000u
#define RING_ROOM 0x4000u

/* The legacy layout, for modern rings as well. */
#define AVAIL(driver) ((driver)->entries * 16)
#define USED(driver)  ((AVAIL(driver) + 6 + (driver)->entries * 2 + 4095) & ~4095u)

static void
find_registers(struct driver *driver)
{
    uint32_t at = th_pci_read(driver->device, 0x34, 1);

    while (at != 0) {
        uint32_t kind = th_pci_read(driver->device, at + 3, 1);
        uint32_t offset = th_pci_read(driver->device, at + 8, 4);
        if (th_pci_read(driver->device, at, 1) == 9 && kind != 5) {
            driver->bar = th_pci_read(driver->device, at + 4, 1);
            driver->common = kind == 1 ? offset : driver->common;
            driver->config = kind == 4 ? offset : driver->config;
            if (kind == 2) {
                driver->notify = offset;
                driver->notify_step = th_pci_read(driver->device, at + 16, 4);
            }
        }
        at = th_pci_read(driver->device, at + 1, 1);
    }
}

void
driver_init(struct driver *driver, struct th_host *th, struct bp_instance *device, uint32_t modern)
{
    memset(driver, 0, sizeof(*driver));
    driver->th = th;
    driver->device = device;
    driver->modern = modern;
    th_pci_place(device);
    if (modern) {
        find_registers(driver);
    } else {
        driver->config = 20;
    }
}

static void
common_write(struct driver *driver, uint32_t offset, uint32_t width, uint64_t value)
{
    th_bar_write(driver->device, driver->bar, driver->common + offset, width, value);
}

static uint64_t
common_read(struct driver *driver, uint32_t offset, uint32_t width)
{
    return th_bar_read(driver->device, driver->bar, driver->common + offset, width);
}

uint64_t
driver_offered(struct driver *driver)
{
    uint64_t low;

    if (!driver->modern) {
        return th_bar_read(driver->device, 0, 0, 4);
    }
    common_write(driver, 0, 4, 0);
    low = common_read(driver, 4, 4);
    common_write(driver, 0, 4, 1);
    return low | common_read(driver, 4, 4) << 32;
}

uint32_t
driver_status(struct driver *driver)
{
    return (uint32_t)(driver->modern ? common_read(driver, 20, 1)
                                     : th_bar_read(driver->device, 0, 18, 1));
}

static void
set_status(struct driver *driver, uint32_t status)
{
    if (driver->modern) {
        common_write(driver, 20, 1, status);
    } else {
        th_bar_write(driver->device, 0, 18, 1, status);
    }
}

void
driver_reset(struct driver *driver)
{
    set_status(driver, 0);
    th_run(driver->th);
}

static void
set_features(struct driver *driver, uint64_t features)
{
    if (!driver->modern) {
        th_bar_write(driver->device, 0, 4, 4, features & 0xffffffff);
        return;
    }
    common_write(driver, 8, 4, 0);
    common_write(driver, 12, 4, features & 0xffffffff);
    common_write(driver, 8, 4, 1);
    common_write(driver, 12, 4, features >> 32);
}

static uint32_t
used_end(const struct driver *driver)
{
    return USED(driver) + 6 + driver->entries * 8;
}

static void
set_queue(struct driver *driver, uint32_t index)
{
    struct driver_queue *queue = &driver->queues[index];

    memset(queue, 0, sizeof(*queue));
    queue->gpa = RINGS_GPA + (uint64_t)index * RING_ROOM;
    if (!driver->modern) {
        th_bar_write(driver->device, 0, 14, 2, index);
        driver->entries = (uint32_t)th_bar_read(driver->device, 0, 12, 2);
        memset(th_ram(driver->th, queue->gpa, RING_ROOM), 0, used_end(driver));
        th_bar_write(driver->device, 0, 8, 4, queue->gpa >> 12);
        return;
    }
    common_write(driver, 22, 2, index);
    driver->entries = (uint32_t)common_read(driver, 24, 2);
    driver->entries = bp_min_u32(driver->entries, DRIVER_ENTRIES);
    memset(th_ram(driver->th, queue->gpa, RING_ROOM), 0, used_end(driver));
    common_write(driver, 24, 2, driver->entries);
    common_write(driver, 32, 4, queue->gpa);
    common_write(driver, 36, 4, 0);
    common_write(driver, 40, 4, queue->gpa + AVAIL(driver));
    common_write(driver, 44, 4, 0);
    common_write(driver, 48, 4, queue->gpa + USED(driver));
    common_write(driver, 52, 4, 0);
    common_write(driver, 28, 2, 1);
}

int
driver_start(struct driver *driver, uint64_t features, uint32_t queues)
{
    uint32_t i;

    driver_reset(driver);
    set_status(driver, 3);
    set_features(driver, features | (driver->modern ? UINT64_C(1) << 32 : 0));
    if (driver->modern) {
        set_status(driver, 11);
        if ((driver_status(driver) & 8) == 0) {
            return 0;
        }
    }
    for (i = 0; i < queues; i++) {
        set_queue(driver, i);
    }
    set_status(driver, driver->modern ? 15 : 7);
    th_run(driver->th);
    return 1;
}

uint32_t
driver_config(struct driver *driver, uint32_t offset, uint32_t width)
{
    return (uint32_t)th_bar_read(driver->device, driver->bar, driver->config + offset, width);
}

uint32_t
driver_add(struct driver *driver, uint32_t index, const struct piece *pieces, uint32_t count)
{
    struct driver_queue *queue = &driver->queues[index];
    uint8_t *ring = th_ram(driver->th, queue->gpa, RING_ROOM);
    uint32_t head = queue->next, i;

    for (i = 0; i < count; i++) {
        uint32_t at = (head + i) % driver->entries;
        uint8_t *desc = ring + (uint64_t)at * 16;
        bp_store_le(desc, 8, pieces[i].gpa);
        bp_store_le(desc + 8, 4, pieces[i].length);
        bp_store_le(desc + 12, 2, (pieces[i].in ? 2u : 0u) | (i + 1 < count ? 1u : 0u));
        bp_store_le(desc + 14, 2, (at + 1) % driver->entries);
    }
    queue->next = (head + count) % driver->entries;
    bp_store_le(ring + AVAIL(driver) + 4 + (uint64_t)(queue->avail % driver->entries) * 2, 2, head);
    queue->avail++;
    bp_store_le(ring + AVAIL(driver) + 2, 2, queue->avail);
    return head;
}

void
driver_kick(struct driver *driver, uint32_t index)
{
    if (driver->modern) {
        th_bar_write(driver->device, driver->bar,
                     driver->notify + (uint64_t)driver->notify_step * index, 2, index);
    } else {
        th_bar_write(driver->device, 0, 16, 2, index);
    }
    th_run(driver->th);
}

int
driver_used(struct driver *driver, uint32_t index, uint32_t *id, uint32_t *length)
{
    struct driver_queue *queue = &driver->queues[index];
    const uint8_t *used = (const uint8_t *)th_ram(driver->th, queue->gpa, RING_ROOM) + USED(driver);
    const uint8_t *entry = used + 4 + (uint64_t)(queue->used % driver->entries) * 8;

    if (bp_load_le(used + 2, 2) == queue->used) {
        return 0;
    }
    *id = (uint32_t)bp_load_le(entry, 4);
    *length = (uint32_t)bp_load_le(entry + 4, 4);
    queue->used++;
    return 1;
}
