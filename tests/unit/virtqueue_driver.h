/* SPDX-License-Identifier: Apache-2.0 */
/* A driver's side of one virtqueue, as virtio 1.2 describes it (2.7.13-15, 2.8.21-22): buffers of
 * one descriptor, notifications and interrupts by flag or by index. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define DRIVER_MAX 256u

typedef struct {
    bool packed, events;
    uint32_t size;
    uint8_t *desc, *driver, *device; /* the ring's parts */
    uint64_t buffers_gpa;
    uint16_t next;      /* split: avail->idx; packed: position */
    uint16_t last_used; /* likewise */
    uint16_t added;     /* since the last look whether to notify */
    bool next_wrap, used_wrap;
    uint16_t free_ids[DRIVER_MAX];
    uint32_t free_count;
    bool out[DRIVER_MAX]; /* by id: the device has it */
    uint64_t sent, used, strange;
} Driver;

/* The parts lie in RAM, zeroed. */
void driver_init(Driver *driver, uint32_t size);
/* Makes one buffer available; there must be a free one. */
void driver_add(Driver *driver);
/* Whether the device wants to be notified of what was added since the last call. */
bool driver_must_notify(Driver *driver);
/* Takes back what is used. Returns how many. */
uint32_t driver_collect(Driver *driver);
void driver_disable_interrupt(Driver *driver);
/* Asks for an interrupt once `more` buffers beyond those collected are used (at least 1; without
 * indices: the next one). False: they are used already, collect again. */
bool driver_enable_interrupt(Driver *driver, uint16_t more);

static inline uint32_t
driver_in_flight(const Driver *driver)
{
    return driver->size - driver->free_count;
}
