/* SPDX-License-Identifier: Apache-2.0 */
/* The PCI function (virtio 1.2, 4.1): identity, BARs, capabilities, doorbells, interrupts.
 *
 *   BAR 0  I/O     legacy registers (not on a modern device)
 *   BAR 1  memory  0000h common configuration, 1000h ISR, 2000h device configuration,
 *                  3000h notifications (4 bytes a queue), then the MSI-X table and pending bits
 *
 * The instance's ids of regions, doorbells and lines are this file's. */
#include "virtio_internal.h"

#include <string.h>

#define TRANSITIONAL_ID     0x1000u /* 4.1.2.1 */
#define MODERN_ID           0x1040u
#define MODERN_SUBSYSTEM_ID 0x1100u /* 40h or more (4.1.2.1) */
#define CAPABILITY_VENDOR   0x09u
#define CAP_HEADER          2u /* bytes that the core adds */
#define PAGE                0x1000u
#define LEGACY_HEADER       0x18u
#define MSIX_ENTRY          16u
#define COMMAND_MASTER      4u

#define CAP_COMMON  1u
#define CAP_NOTIFY  2u
#define CAP_ISR     3u
#define CAP_DEVICE  4u
#define CAP_PCI_CFG 5u

/* Offsets in a capability, header included. */
#define CAP_TYPE       3u
#define CAP_BAR        4u
#define CAP_OFFSET     8u
#define CAP_LENGTH     12u
#define CAP_DATA       16u /* of PCI_CFG; NOTIFY: the multiplier */
#define CAP_BYTES      16u
#define CAP_LONG_BYTES 20u

static uint32_t
round_up(uint32_t value, uint32_t to)
{
    return (value + to - 1) / to * to;
}

static uint32_t
power_of_two(uint32_t value)
{
    uint32_t size = 1;

    while (size < value) {
        size <<= 1;
    }
    return size;
}

/* --- windows -----------------------------------------------------------------------------------
 */

struct layout {
    uint32_t notify_bytes;
    uint32_t table;
    uint32_t pending;
    uint32_t size;
};

static void
lay_out(const struct bp_virtio *virtio, struct layout *layout)
{
    layout->notify_bytes = round_up(virtio->queue_count * MODERN_NOTIFY_BYTES, PAGE);
    layout->table = MODERN_NOTIFY + layout->notify_bytes;
    layout->pending = layout->table + round_up(virtio->vectors * MSIX_ENTRY, PAGE);
    layout->size = power_of_two(layout->pending + PAGE);
}

/* --- the capability that gives access without BARs (4.1.4.9) -----------------------------------
 */

static uint32_t
cfg_peek(const struct bp_virtio *virtio, uint32_t field, uint32_t width)
{
    const struct bp_services *host = virtio->host;

    return host->pci->peek(host->instance, virtio->pci_cfg + field, width);
}

/* The access that the guest has put together, if there is such a place. */
static uint32_t
cfg_target(const struct bp_virtio *virtio, uint32_t *offset, uint32_t *width)
{
    *offset = cfg_peek(virtio, CAP_OFFSET, 4);
    *width = cfg_peek(virtio, CAP_LENGTH, 4);
    return cfg_peek(virtio, CAP_BAR, 1) == VIRTIO_BAR_MODERN &&
           (*width == 1 || *width == 2 || *width == 4) && *offset % *width == 0;
}

/* A doorbell's place rings through the registers here. */
static void
config_written(void *opaque, uint32_t offset, uint32_t width, uint32_t value)
{
    struct bp_virtio *virtio = opaque;
    uint32_t data = virtio->pci_cfg + CAP_DATA;
    uint32_t at, size;

    if (virtio->pci_cfg != 0 && offset == data && cfg_target(virtio, &at, &size)) {
        modern_write(virtio, at, size, value & (uint32_t)bp_width_mask(size));
    }
}

static void
config_reading(void *opaque, uint32_t offset, uint32_t width)
{
    struct bp_virtio *virtio = opaque;
    uint32_t data = virtio->pci_cfg + CAP_DATA;
    uint32_t at, size;

    if (virtio->pci_cfg != 0 && offset == data && cfg_target(virtio, &at, &size)) {
        virtio->host->pci->poke(virtio->host->instance, data, size,
                                (uint32_t)modern_read(virtio, at, size));
    }
}

static void
command_changed(void *opaque, uint32_t command)
{
    virtio_set_master(opaque, (command & COMMAND_MASTER) != 0);
}

static const struct bp_pci_ops pci_ops = {
    .size = sizeof(pci_ops),
    .config_reading = config_reading,
    .command_changed = command_changed,
    .config_written = config_written,
};

/* --- capabilities ------------------------------------------------------------------------------
 */

static int32_t
add_capability(struct bp_virtio *virtio, uint32_t type, uint32_t offset, uint32_t length)
{
    const struct bp_services *host = virtio->host;
    uint8_t cap[CAP_LONG_BYTES] = {0};
    uint8_t mask[CAP_LONG_BYTES] = {0};
    uint32_t bytes = type == CAP_NOTIFY || type == CAP_PCI_CFG ? CAP_LONG_BYTES : CAP_BYTES;

    cap[2] = (uint8_t)bytes;
    cap[CAP_TYPE] = (uint8_t)type;
    cap[CAP_BAR] = type == CAP_PCI_CFG ? 0 : VIRTIO_BAR_MODERN;
    bp_store_le(&cap[CAP_OFFSET], 4, offset);
    bp_store_le(&cap[CAP_LENGTH], 4, length);
    if (type == CAP_NOTIFY) {
        bp_store_le(&cap[CAP_DATA], 4, MODERN_NOTIFY_BYTES);
    }
    if (type == CAP_PCI_CFG) {
        mask[CAP_BAR] = 0xff;
        memset(&mask[CAP_OFFSET], 0xff, CAP_LONG_BYTES - CAP_OFFSET);
    }
    return host->pci->add_capability(host->instance, CAPABILITY_VENDOR, 0, bytes - CAP_HEADER,
                                     cap + CAP_HEADER, mask + CAP_HEADER);
}

static int32_t
add_capabilities(struct bp_virtio *virtio, const struct layout *layout)
{
    const uint32_t device_bytes = virtio->config_length != 0 ? virtio->config_length : 4;
    int32_t result = add_capability(virtio, CAP_COMMON, MODERN_COMMON, 0x40);

    if (result >= 0) {
        result = add_capability(virtio, CAP_NOTIFY, MODERN_NOTIFY, layout->notify_bytes);
    }
    if (result >= 0) {
        result = add_capability(virtio, CAP_ISR, MODERN_ISR, 4);
    }
    if (result >= 0) {
        result = add_capability(virtio, CAP_DEVICE, MODERN_DEVICE, round_up(device_bytes, 4));
    }
    if (result >= 0) {
        result = add_capability(virtio, CAP_PCI_CFG, 0, 0);
    }
    if (result >= 0) {
        virtio->pci_cfg = (uint8_t)result;
        result = 0;
    }
    return result;
}

/* --- declarations ------------------------------------------------------------------------------
 */

static uint16_t
transitional_id(uint32_t type)
{
    static const uint8_t ids[] = {
        [BP_VIRTIO_TYPE_NET] = 0x00,     [BP_VIRTIO_TYPE_BLOCK] = 0x01,
        [BP_VIRTIO_TYPE_CONSOLE] = 0x03, [BP_VIRTIO_TYPE_RNG] = 0x05,
        [BP_VIRTIO_TYPE_BALLOON] = 0x02, [BP_VIRTIO_TYPE_SCSI] = 0x04,
        [BP_VIRTIO_TYPE_9P] = 0x09,
    };

    return (uint16_t)(TRANSITIONAL_ID + (type < sizeof(ids) ? ids[type] : 0));
}

static int32_t
add_function(struct bp_virtio *virtio, const struct bp_virtio_args *args,
             const struct layout *layout)
{
    const struct bp_services *host = virtio->host;
    uint32_t modern = virtio->interface == VIRTIO_INTERFACE_MODERN;
    uint32_t has_memory = virtio->interface != VIRTIO_INTERFACE_LEGACY || virtio->vectors != 0;
    struct bp_pci_args function = {
        .size = sizeof(function),
        .vendor_id = BP_VIRTIO_VENDOR_ID,
        .device_id = modern ? (uint16_t)(MODERN_ID + virtio->type) : transitional_id(virtio->type),
        .subsystem_vendor_id = BP_VIRTIO_VENDOR_ID,
        .subsystem_id = modern ? MODERN_SUBSYSTEM_ID : (uint16_t)virtio->type,
        .base_class = args->base_class,
        .sub_class = args->sub_class,
        .revision = modern ? 1 : 0,
        .interrupt_pin = 1,
        .rom_path = args->rom_path,
        .ops = &pci_ops,
        .opaque = virtio,
    };

    if (!modern) {
        function.bars[VIRTIO_BAR_LEGACY].size = power_of_two(LEGACY_HEADER + virtio->config_length);
        function.bars[VIRTIO_BAR_LEGACY].flags = BP_PCI_BAR_IO;
    }
    if (has_memory) {
        function.bars[VIRTIO_BAR_MODERN].size = layout->size;
    }
    return host->pci->function(host->instance, &function);
}

static int32_t
add_region(struct bp_virtio *virtio, uint32_t id, uint32_t bar, uint64_t length,
           const struct bp_region_ops *ops)
{
    const struct bp_region_args args = {
        .size = sizeof(args),
        .id = id,
        .space = BP_SPACE_BAR,
        .bar = bar,
        .widths = BP_WIDTH_1 | BP_WIDTH_2 | BP_WIDTH_4,
        .length = length,
        .ops = ops,
        .opaque = virtio,
    };

    return virtio->host->region->create(virtio->host->instance, &args);
}

/* A write of the queue's number into the legacy register; any write to the queue's own place. */
static int32_t
add_doorbells(struct bp_virtio *virtio, uint32_t region)
{
    const struct bp_services *host = virtio->host;
    uint32_t legacy = region == VIRTIO_REGION_LEGACY;
    int32_t result = 0;

    for (uint32_t i = 0; i < virtio->queue_count && result == 0; i++) {
        const struct bp_doorbell_args args = {
            .size = sizeof(args),
            .flags = legacy ? BP_DOORBELL_MATCH : 0,
            .id = 2 * i + region,
            .region = region,
            .offset = legacy ? LEGACY_NOTIFY : MODERN_NOTIFY + i * MODERN_NOTIFY_BYTES,
            .value = legacy ? i : 0,
            .width = legacy ? 2 : 0,
            .loop = virtio->queues[i].loop,
            .ring = virtqueue_ring,
            /* The ring is looked at, whichever interface the driver uses: once is enough. */
            .poll = legacy && virtio->interface != VIRTIO_INTERFACE_LEGACY ? NULL : virtqueue_poll,
            .opaque = &virtio->queues[i],
        };
        result = host->region->doorbell(host->instance, &args);
    }
    return result;
}

static int32_t
add_legacy(struct bp_virtio *virtio)
{
    int32_t result = add_region(virtio, VIRTIO_REGION_LEGACY, VIRTIO_BAR_LEGACY,
                                power_of_two(LEGACY_HEADER + virtio->config_length), &legacy_ops);

    return result == 0 ? add_doorbells(virtio, VIRTIO_REGION_LEGACY) : result;
}

static int32_t
add_modern(struct bp_virtio *virtio, const struct layout *layout)
{
    int32_t result = add_capabilities(virtio, layout);

    if (result == 0) {
        result = add_region(virtio, VIRTIO_REGION_MODERN, VIRTIO_BAR_MODERN,
                            MODERN_NOTIFY + layout->notify_bytes, &modern_ops);
    }
    return result == 0 ? add_doorbells(virtio, VIRTIO_REGION_MODERN) : result;
}

static int32_t
add_interrupts(struct bp_virtio *virtio, const struct layout *layout)
{
    const struct bp_services *host = virtio->host;
    const struct bp_irq_args line = {
        .size = sizeof(line),
        .id = VIRTIO_LINE,
        .kind = BP_IRQ_INTX,
    };
    int32_t result = host->irq->line(host->instance, &line);

    if (result == 0 && virtio->vectors != 0) {
        result = host->msix->enable(host->instance, virtio->vectors, VIRTIO_BAR_MODERN,
                                    layout->table, layout->pending);
    }
    return result;
}

int32_t
virtio_pci_init(struct bp_virtio *virtio, const struct bp_virtio_args *args)
{
    struct layout layout;
    int32_t result;

    lay_out(virtio, &layout);
    result = add_function(virtio, args, &layout);
    if (result < 0) {
        return bp_fail(virtio->host, result, NULL, "cannot be put on the PCI bus: %s",
                       result == -EBUSY ? "another device has the address" : "the core refused it");
    }
    result = add_interrupts(virtio, &layout);
    if (result == 0 && virtio->interface != VIRTIO_INTERFACE_MODERN) {
        result = add_legacy(virtio);
    }
    if (result == 0 && virtio->interface != VIRTIO_INTERFACE_LEGACY) {
        result = add_modern(virtio, &layout);
    }
    return result < 0 ? bp_fail(virtio->host, result, NULL,
                                "the core refused a register, a doorbell or an interrupt")
                      : 0;
}
