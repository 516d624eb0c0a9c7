/* SPDX-License-Identifier: Apache-2.0 */
/* The legacy interface: registers in an I/O BAR (virtio 0.9.5, 2.2.2; virtio 1.2, 4.1.4.8). */
#include "virtio_internal.h"

#define DEVICE_FEATURES 0x00u
#define DRIVER_FEATURES 0x04u
#define QUEUE_ADDRESS   0x08u
#define QUEUE_SIZE      0x0cu
#define QUEUE_SELECT    0x0eu
#define STATUS          0x12u
#define ISR             0x13u
#define CONFIG_VECTOR   0x14u
#define QUEUE_VECTOR    0x16u
#define CONFIG          0x14u /* 18h while MSI-X is on */
#define CONFIG_MSIX     0x18u

#define MODE_MSIX 2

static uint32_t
msix_on(const struct bp_virtio *virtio)
{
    return virtio->host->pci->message_mode(virtio->host->instance) == MODE_MSIX;
}

static uint32_t
legacy_size(const struct bp_virtqueue *queue)
{
    return bp_min_u32(queue->max_size, VIRTIO_LEGACY_SIZE);
}

static uint64_t
vector_read(const struct bp_virtio *virtio, const struct bp_virtqueue *queue, uint64_t offset)
{
    if (offset == CONFIG_VECTOR) {
        return atomic_load(&virtio->config_vector);
    }
    return queue != NULL ? atomic_load(&queue->vector) : VIRTIO_NO_VECTOR;
}

static uint64_t
legacy_read(void *opaque, uint64_t offset, uint32_t width)
{
    struct bp_virtio *virtio = opaque;
    struct bp_virtqueue *queue = virtio_selected(virtio);
    uint32_t config = msix_on(virtio) ? CONFIG_MSIX : CONFIG;

    if (offset >= config) {
        return virtio_config_read(virtio, offset - config, width);
    }
    switch (offset) {
    case DEVICE_FEATURES:
        return virtio_offered(virtio, 1);
    case DRIVER_FEATURES:
        return virtio->driver_features & UINT32_MAX;
    case QUEUE_ADDRESS:
        return queue != NULL ? queue->pfn : 0;
    case QUEUE_SIZE:
        return queue != NULL ? legacy_size(queue) : 0;
    case QUEUE_SELECT:
        return virtio->queue_select;
    case STATUS:
        return virtio_read_status(virtio);
    case ISR:
        return virtio_read_isr(virtio);
    case CONFIG_VECTOR:
    case QUEUE_VECTOR:
        return vector_read(virtio, queue, offset);
    default:
        return 0; /* the notification register, and the middle of others */
    }
}

/* The three parts lie behind each other, the used ring on a page of its own (2.7.2). An address of
 * 0 in the selected queue takes it back; the rest of the device stays. */
static void
write_address(struct bp_virtio *virtio, uint32_t pfn)
{
    struct bp_virtqueue *queue = virtio_selected(virtio);
    uint64_t size, page = UINT64_C(1) << VIRTIO_PAGE_SHIFT;

    virtio->legacy = 1;
    if (queue == NULL) {
        return;
    }
    queue->pfn = 0;
    virtqueue_update(queue);
    if (pfn == 0) {
        return;
    }
    size = legacy_size(queue);
    queue->size = (uint16_t)size;
    queue->desc = (uint64_t)pfn << VIRTIO_PAGE_SHIFT;
    queue->driver = queue->desc + size * 16;
    queue->device = (queue->driver + 4 + size * 2 + 2 + page - 1) & ~(page - 1);
    queue->pfn = pfn;
    virtqueue_update(queue);
}

static void
write_vector(struct bp_virtio *virtio, uint64_t offset, uint32_t vector)
{
    struct bp_virtqueue *queue = virtio_selected(virtio);

    vector = virtio_vector_or_none(virtio, vector);
    if (offset == CONFIG_VECTOR) {
        atomic_store(&virtio->config_vector, vector);
    } else if (queue != NULL) {
        atomic_store(&queue->vector, vector);
    }
}

static void
legacy_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
    struct bp_virtio *virtio = opaque;
    uint32_t config = msix_on(virtio) ? CONFIG_MSIX : CONFIG;

    if (offset >= config) {
        virtio_config_write(virtio, offset - config, width, value);
        return;
    }
    switch (offset) {
    case DRIVER_FEATURES:
        virtio_write_legacy_features(virtio, (uint32_t)value);
        break;
    case QUEUE_ADDRESS:
        write_address(virtio, (uint32_t)value);
        break;
    case QUEUE_SELECT:
        virtio->queue_select = (uint16_t)value;
        break;
    case LEGACY_NOTIFY: /* doorbells have taken what names a queue */
        break;
    case STATUS:
        virtio_write_status(virtio, (uint8_t)value);
        break;
    case CONFIG_VECTOR:
    case QUEUE_VECTOR:
        write_vector(virtio, offset, (uint16_t)value);
        break;
    default:
        break; /* read-only */
    }
}

const struct bp_region_ops legacy_ops = {
    .size = sizeof(legacy_ops),
    .read = legacy_read,
    .write = legacy_write,
};
