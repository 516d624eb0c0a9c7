/* SPDX-License-Identifier: Apache-2.0 */
#include "virtqueue_driver.h"

#include <string.h>

#define DESC_BYTES   16u
#define BUFFER_BYTES 64u
#define EVENT_OFF    1u /* packed: suppression flags */
#define EVENT_DESC   2u
#define DESC_AVAIL   0x80u
#define DESC_USED    0x8000u

static uint16_t
load16(const uint8_t *at)
{
    return __atomic_load_n((const uint16_t *)(const void *)at, __ATOMIC_ACQUIRE);
}

static void
store16(uint8_t *at, uint16_t value)
{
    __atomic_store_n((uint16_t *)(void *)at, value, __ATOMIC_RELEASE);
}

static uint32_t
load32(const uint8_t *at)
{
    return __atomic_load_n((const uint32_t *)(const void *)at, __ATOMIC_RELAXED);
}

static void
store64(uint8_t *at, uint64_t value)
{
    __atomic_store_n((uint64_t *)(void *)at, value, __ATOMIC_RELAXED);
}

static void
fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* 2.7.10.1: whether index `event` lies in [before, now). */
static bool
passed(uint16_t event, uint16_t now, uint16_t before)
{
    return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

void
driver_init(Driver *driver, uint32_t size)
{
    driver->size = size;
    driver->next = driver->last_used = driver->added = 0;
    driver->next_wrap = driver->used_wrap = true;
    driver->sent = driver->used = driver->strange = 0;
    driver->free_count = size;
    for (uint32_t i = 0; i < size; i++) {
        driver->free_ids[i] = (uint16_t)i;
        driver->out[i] = false;
    }
}

static void
add_split(Driver *driver, uint16_t id)
{
    uint8_t *desc = driver->desc + (size_t)id * DESC_BYTES;

    store64(desc, driver->buffers_gpa + (uint64_t)id * BUFFER_BYTES);
    store64(desc + 8, BUFFER_BYTES);
    store16(driver->driver + 4 + (size_t)(driver->next % driver->size) * 2, id);
    store16(driver->driver + 2, ++driver->next);
}

static void
add_packed(Driver *driver, uint16_t id)
{
    uint8_t *desc = driver->desc + (size_t)driver->next * DESC_BYTES;

    store64(desc, driver->buffers_gpa + (uint64_t)id * BUFFER_BYTES);
    __atomic_store_n((uint32_t *)(void *)(desc + 8), BUFFER_BYTES, __ATOMIC_RELAXED);
    store16(desc + 12, id);
    store16(desc + 14, driver->next_wrap ? DESC_AVAIL : DESC_USED);
    if (++driver->next == driver->size) {
        driver->next = 0;
        driver->next_wrap = !driver->next_wrap;
    }
}

void
driver_add(Driver *driver)
{
    uint16_t id = driver->free_ids[--driver->free_count];

    driver->out[id] = true;
    driver->sent++;
    driver->added++;
    if (driver->packed) {
        add_packed(driver, id);
    } else {
        add_split(driver, id);
    }
}

static bool
must_notify_packed(const Driver *driver, uint16_t added)
{
    uint32_t wish = load32(driver->device); /* both halves at once */
    uint16_t event = wish & 0x7fff;

    if (wish >> 16 != EVENT_DESC) {
        return wish >> 16 != EVENT_OFF;
    }
    if ((wish >> 15 & 1) != driver->next_wrap) {
        event = (uint16_t)(event - driver->size);
    }
    return passed(event, driver->next, (uint16_t)(driver->next - added));
}

bool
driver_must_notify(Driver *driver)
{
    uint16_t added = driver->added;

    driver->added = 0;
    fence(); /* what is available must be visible before the device's wish is read */
    if (driver->packed) {
        return must_notify_packed(driver, added);
    }
    if (!driver->events) {
        return (load16(driver->device) & 1) == 0;
    }
    return passed(load16(driver->device + 4 + (size_t)driver->size * 8), driver->next,
                  (uint16_t)(driver->next - added));
}

static void
take_back(Driver *driver, uint32_t id)
{
    if (id >= driver->size || !driver->out[id]) {
        driver->strange++;
        return;
    }
    driver->out[id] = false;
    driver->free_ids[driver->free_count++] = (uint16_t)id;
    driver->used++;
}

static bool
next_is_used(const Driver *driver)
{
    uint16_t flags = load16(driver->desc + (size_t)driver->last_used * DESC_BYTES + 14);

    return ((flags & DESC_AVAIL) != 0) == driver->used_wrap &&
           ((flags & DESC_USED) != 0) == driver->used_wrap;
}

static uint32_t
collect_packed(Driver *driver)
{
    uint32_t count = 0;

    for (; next_is_used(driver); count++) {
        take_back(driver, load16(driver->desc + (size_t)driver->last_used * DESC_BYTES + 12));
        if (++driver->last_used == driver->size) {
            driver->last_used = 0;
            driver->used_wrap = !driver->used_wrap;
        }
    }
    return count;
}

uint32_t
driver_collect(Driver *driver)
{
    uint16_t end, count;

    if (driver->packed) {
        return collect_packed(driver);
    }
    end = load16(driver->device + 2);
    count = (uint16_t)(end - driver->last_used);
    while (driver->last_used != end) {
        uint32_t at = driver->last_used++ % driver->size;
        take_back(driver, load32(driver->device + 4 + (size_t)at * 8));
    }
    return count;
}

void
driver_disable_interrupt(Driver *driver)
{
    if (driver->packed) {
        store16(driver->driver + 2, EVENT_OFF);
    } else if (driver->events) {
        /* An index that the device has passed long ago. */
        store16(driver->driver + 4 + (size_t)driver->size * 2, (uint16_t)(driver->last_used - 1));
    } else {
        store16(driver->driver, 1);
    }
}

static void
enable_packed(Driver *driver, uint16_t more)
{
    uint32_t at = driver->last_used + more - 1u;
    bool wrap = driver->used_wrap;

    if (at >= driver->size) {
        at -= driver->size;
        wrap = !wrap;
    }
    if (driver->events) {
        store16(driver->driver, (uint16_t)(at | (wrap ? 0x8000u : 0)));
    }
    store16(driver->driver + 2, driver->events ? EVENT_DESC : 0);
}

bool
driver_enable_interrupt(Driver *driver, uint16_t more)
{
    if (!driver->events) {
        more = 1;
    }
    if (driver->packed) {
        enable_packed(driver, more);
        fence();
        return !next_is_used(driver); /* stricter than it need be: some, not `more`, are used */
    }
    if (driver->events) {
        store16(driver->driver + 4 + (size_t)driver->size * 2,
                (uint16_t)(driver->last_used + more - 1));
    } else {
        store16(driver->driver, 0);
    }
    fence();
    return (uint16_t)(load16(driver->device + 2) - driver->last_used) < more;
}
