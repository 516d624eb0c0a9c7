/* SPDX-License-Identifier: Apache-2.0 */
/* The modern interface: four structures in a memory BAR (virtio 1.2, 4.1.4). */
#include "virtio_internal.h"

#define COMMON_LENGTH 0x40u

#define DEVICE_FEATURE_SELECT 0x00u
#define DEVICE_FEATURE        0x04u
#define DRIVER_FEATURE_SELECT 0x08u
#define DRIVER_FEATURE        0x0cu
#define CONFIG_VECTOR         0x10u
#define NUM_QUEUES            0x12u
#define DEVICE_STATUS         0x14u
#define CONFIG_GENERATION     0x15u
#define QUEUE_SELECT          0x16u
#define QUEUE_SIZE            0x18u
#define QUEUE_VECTOR          0x1au
#define QUEUE_ENABLE          0x1cu
#define QUEUE_NOTIFY_OFF      0x1eu
#define QUEUE_DESC            0x20u
#define QUEUE_DRIVER          0x28u
#define QUEUE_DEVICE          0x30u
#define QUEUE_RESET           0x3au

/* --- common configuration ----------------------------------------------------------------------
 */

/* The 32 bits at an offset that is a multiple of 4. A queue that does not exist has size 0. */
static uint32_t
queue_read(const struct bp_virtio *virtio, const struct bp_virtqueue *queue, uint32_t offset)
{
    if (queue == NULL) {
        return offset == QUEUE_SIZE ? VIRTIO_NO_VECTOR << 16 : 0;
    }
    switch (offset) {
    case QUEUE_SIZE:
        return queue->size | atomic_load(&queue->vector) << 16;
    case QUEUE_ENABLE:
        return queue->enabled | queue->index << 16; /* the notification offset is the index */
    case QUEUE_DESC:
        return (uint32_t)queue->desc;
    case QUEUE_DESC + 4:
        return (uint32_t)(queue->desc >> 32);
    case QUEUE_DRIVER:
        return (uint32_t)queue->driver;
    case QUEUE_DRIVER + 4:
        return (uint32_t)(queue->driver >> 32);
    case QUEUE_DEVICE:
        return (uint32_t)queue->device;
    case QUEUE_DEVICE + 4:
        return (uint32_t)(queue->device >> 32);
    case QUEUE_RESET - 2: /* with queue_notify_data, which is not offered */
        return atomic_load(&queue->resetting) << 16;
    default:
        return 0;
    }
}

static uint32_t
feature_word(uint64_t features, uint32_t select)
{
    return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

static uint32_t
common_word(struct bp_virtio *virtio, uint32_t offset)
{
    switch (offset) {
    case DEVICE_FEATURE_SELECT:
        return virtio->feature_select;
    case DEVICE_FEATURE:
        return feature_word(virtio_offered(virtio, 0), virtio->feature_select);
    case DRIVER_FEATURE_SELECT:
        return virtio->driver_feature_select;
    case DRIVER_FEATURE:
        return feature_word(virtio->driver_features, virtio->driver_feature_select);
    case CONFIG_VECTOR:
        return atomic_load(&virtio->config_vector) | virtio->queue_count << 16;
    case DEVICE_STATUS:
        return virtio_read_status(virtio) | virtio_generation(virtio) << 8 |
               virtio->queue_select << 16;
    default:
        return queue_read(virtio, virtio_selected(virtio), offset);
    }
}

static uint64_t
common_read(struct bp_virtio *virtio, uint32_t offset, uint32_t width)
{
    uint32_t shift = 8 * (offset & 3);

    return common_word(virtio, offset & ~3u) >> shift & bp_width_mask(width);
}

static void
write_features(struct bp_virtio *virtio, uint32_t value)
{
    uint32_t select = virtio->driver_feature_select;
    uint32_t settled = BP_VIRTIO_FEATURES_OK | BP_VIRTIO_DRIVER_OK;

    if (select > 1 || (atomic_load(&virtio->status) & settled)) {
        return;
    }
    virtio->driver_features &= ~((uint64_t)UINT32_MAX << (32 * select));
    virtio->driver_features |= (uint64_t)value << (32 * select);
}

/* A split ring's size is a power of two, a packed one's need not be (2.7, 2.8). */
static void
write_size(struct bp_virtio *virtio, struct bp_virtqueue *queue, uint32_t size)
{
    uint32_t power = size != 0 && (size & (size - 1)) == 0;

    if (size == 0 || size > queue->max_size ||
        (!power && !(virtio->driver_features & BP_VIRTIO_F_RING_PACKED))) {
        bp_debug(virtio->host, "queue %u: %u entries, ignoring that", queue->index, size);
        return;
    }
    queue->size = (uint16_t)size;
}

/* 4.1.4.3.2: enabling is for good, until a reset of the device or the queue. */
static void
write_enable(struct bp_virtqueue *queue, uint32_t value)
{
    if (value == 1 && !queue->enabled) {
        queue->enabled = 1;
        virtqueue_update(queue);
    }
}

/* 2.6.1: reads as 1 until the queue has no more to do with the driver's memory. */
static void
write_reset(struct bp_virtio *virtio, struct bp_virtqueue *queue, uint32_t value)
{
    if (value != 1 || !queue->enabled || !virtio_has(virtio, BP_VIRTIO_F_RING_RESET)) {
        return;
    }
    atomic_store(&queue->resetting, 1);
    virtqueue_reset(queue);
    bp_virtqueue_enter(queue);
    bp_virtqueue_leave(queue);
}

static void
set_half(uint64_t *address, uint32_t high, uint32_t value)
{
    uint32_t shift = high ? 32 : 0;

    *address = (*address & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)value << shift;
}

/* The addresses of a queue that is enabled are not the driver's to change (4.1.4.3.2). */
static void
queue_write(struct bp_virtio *virtio, uint32_t offset, uint32_t value)
{
    struct bp_virtqueue *queue = virtio_selected(virtio);

    if (queue == NULL || (queue->enabled && offset != QUEUE_VECTOR && offset != QUEUE_RESET)) {
        return;
    }
    switch (offset) {
    case QUEUE_SIZE:
        write_size(virtio, queue, value & 0xffff);
        break;
    case QUEUE_VECTOR:
        atomic_store(&queue->vector, virtio_vector_or_none(virtio, value & 0xffff));
        break;
    case QUEUE_ENABLE:
        write_enable(queue, value & 0xffff);
        break;
    case QUEUE_DESC:
    case QUEUE_DESC + 4:
        set_half(&queue->desc, offset & 4, value);
        break;
    case QUEUE_DRIVER:
    case QUEUE_DRIVER + 4:
        set_half(&queue->driver, offset & 4, value);
        break;
    case QUEUE_DEVICE:
    case QUEUE_DEVICE + 4:
        set_half(&queue->device, offset & 4, value);
        break;
    case QUEUE_RESET:
        write_reset(virtio, queue, value & 0xffff);
        break;
    default:
        break;
    }
}

/* Fields are written with their own width (4.1.3.1). */
static void
common_write(struct bp_virtio *virtio, uint32_t offset, uint32_t value)
{
    virtio->legacy = virtio->interface == VIRTIO_INTERFACE_LEGACY;
    switch (offset) {
    case DEVICE_FEATURE_SELECT:
        virtio->feature_select = value;
        break;
    case DRIVER_FEATURE_SELECT:
        virtio->driver_feature_select = value;
        break;
    case DRIVER_FEATURE:
        write_features(virtio, value);
        break;
    case CONFIG_VECTOR:
        atomic_store(&virtio->config_vector, virtio_vector_or_none(virtio, value & 0xffff));
        break;
    case DEVICE_STATUS:
        virtio_write_status(virtio, value & 0xff);
        break;
    case QUEUE_SELECT:
        virtio->queue_select = value & 0xffff;
        break;
    default:
        queue_write(virtio, offset, value);
        break;
    }
}

/* --- the BAR -----------------------------------------------------------------------------------
 */

uint64_t
modern_read(struct bp_virtio *virtio, uint64_t offset, uint32_t width)
{
    if (offset < COMMON_LENGTH) {
        return common_read(virtio, (uint32_t)offset, width);
    }
    if (offset == MODERN_ISR) {
        return virtio_read_isr(virtio);
    }
    if (offset >= MODERN_DEVICE && offset < MODERN_NOTIFY) {
        return virtio_config_read(virtio, offset - MODERN_DEVICE, width);
    }
    return 0;
}

void
modern_write(struct bp_virtio *virtio, uint64_t offset, uint32_t width, uint64_t value)
{
    uint64_t queue;

    if (offset < COMMON_LENGTH) {
        common_write(virtio, (uint32_t)offset, (uint32_t)value);
    } else if (offset >= MODERN_DEVICE && offset < MODERN_NOTIFY) {
        virtio_config_write(virtio, offset - MODERN_DEVICE, width, value);
    } else if (offset >= MODERN_NOTIFY) { /* what no doorbell took: by PCI configuration access */
        queue = (offset - MODERN_NOTIFY) / MODERN_NOTIFY_BYTES;
        if (offset % MODERN_NOTIFY_BYTES == 0 && queue < virtio->queue_count) {
            bp_virtqueue_kick(&virtio->queues[queue]);
        }
    }
}

static uint64_t
region_read(void *opaque, uint64_t offset, uint32_t width)
{
    return modern_read(opaque, offset, width);
}

static void
region_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
    modern_write(opaque, offset, width, value);
}

const struct bp_region_ops modern_ops = {
    .size = sizeof(modern_ops),
    .read = region_read,
    .write = region_write,
};
